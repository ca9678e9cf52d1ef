#include "engine/crack/ntfs/file_record.h"

#include <algorithm>
#include <map>

#include "engine/crack/event_codec.h"
#include "engine/crack/ntfs/little_endian.h"
#include "engine/crack/ntfs/mft.h"
#include "engine/crack/ntfs/require.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::uint64_t attribute_list_bytes_max = 1 << 20;  // NTFS allows 256 KiB
constexpr std::size_t list_entry_bytes = 0x1a;
constexpr std::size_t extension_records_max = 16384;
constexpr std::size_t names_max = 65536;
constexpr std::size_t streams_max = 65536;

// A piece of a stream that came before its predecessor.
struct EarlyPiece {
  std::size_t stream = 0;
  std::uint64_t lowest_vcn = 0;
  std::uint64_t end_vcn = 0;
  std::vector<StreamRun> runs;
};

class Assembly {
 public:
  Assembly(Mft& mft, FileRecord& file) : mft_(mft), file_(file) {}

  void take_base(ByteView record, const RecordHeader& header) {
    std::optional<Attribute> list;
    AttributeWalk walk(record, header);
    while (const auto attribute = walk.next()) {
      if (attribute->type == attribute_list) {
        require(!list, "two attribute lists");
        list = *attribute;
      }
      take(*attribute);
    }
    if (list) follow_list(*list);
    join_early_pieces();
    for (std::size_t i = 0; i < file_.streams.size(); ++i) {
      const StreamEntry& stream = file_.streams[i];
      require(stream.resident || (first_piece_seen_[i] && stream.data_bytes <= joined_vcns_[i] * mft_.boot().cluster_bytes),
              "a stream is longer than its runs");
      if (stream.attribute_type == attribute_data && stream.name.empty()) file_.data_bytes = stream.data_bytes;
    }
  }

 private:
  void take(const Attribute& attribute) {
    if (attribute.resident) {
      take_resident(attribute);
    } else {
      if (attribute.type == attribute_security_descriptor) file_.has_security_descriptor = true;
      take_piece(attribute);
    }
  }

  void take_resident(const Attribute& attribute) {
    const ByteView value = attribute.value;
    switch (attribute.type) {
      case attribute_standard_information:
        require(value.size() >= 0x24, "its standard information is too short");
        file_.times = {le64(value, 0), le64(value, 8), le64(value, 0x10), le64(value, 0x18)};
        file_.attributes = le32(value, 0x20);
        if (value.size() >= 0x38) file_.security_id = le32(value, 0x34);
        break;
      case attribute_file_name: take_name(value); break;
      case attribute_reparse_point:
        require(value.size() >= 8, "its reparse point is too short");
        file_.reparse_tag = le32(value, 0);
        break;
      case attribute_security_descriptor: file_.has_security_descriptor = true; break;
      case attribute_volume_name: file_.volume_name.assign(value.begin(), value.end()); break;
      case attribute_volume_information: file_.volume_information.assign(value.begin(), value.end()); break;
      case attribute_bitmap:
        if (mft_record_number(file_.reference) == 0) file_.resident_bitmap.assign(value.begin(), value.end());
        break;
      case attribute_data: {
        StreamEntry& stream = open_stream(attribute);
        stream.resident = true;
        stream.data_bytes = stream.initialized_bytes = value.size();
        first_piece_seen_.back() = true;
        break;
      }
      default: break;
    }
  }

  void take_name(ByteView value) {
    require(value.size() >= 0x42, "a file name is too short");
    const std::size_t units = std::to_integer<std::size_t>(value[0x40]);
    require(units > 0 && range_fits(0x42, 2 * units, value.size()), "a file name is cut off");
    require(file_.names.size() < names_max, "too many names");
    FileLink& link = file_.names.emplace_back();
    link.parent = le64(value, 0);
    link.attributes = le32(value, 0x38);
    link.reparse_tag = (link.attributes & 0x400) != 0 ? le32(value, 0x3c) : 0;
    link.name_space = std::to_integer<std::uint8_t>(value[0x41]);
    link.name = utf16_from(value.subspan(0x42, 2 * units));
  }

  // The stream of this attribute's type and name; made where there is none.
  StreamEntry& open_stream(const Attribute& attribute) {
    std::u16string name = utf16_from(attribute.name);
    for (const StreamEntry& stream : file_.streams) {
      require(attribute.resident ? stream.attribute_type != attribute.type || stream.name != name : true,
              "two streams of one name");
    }
    require(file_.streams.size() < streams_max, "too many streams");
    StreamEntry& stream = file_.streams.emplace_back();
    stream.attribute_type = attribute.type;
    stream.name = std::move(name);
    stream.flags = attribute.flags;
    first_piece_seen_.push_back(false);
    joined_vcns_.push_back(0);
    return stream;
  }

  std::size_t stream_of(const Attribute& attribute) {
    for (std::size_t i = file_.streams.size(); i-- > 0;) {
      const StreamEntry& stream = file_.streams[i];
      if (stream.attribute_type == attribute.type && 2 * stream.name.size() == attribute.name.size() &&
          stream.name == utf16_from(attribute.name)) {
        return i;
      }
    }
    open_stream(attribute);
    return file_.streams.size() - 1;
  }

  void take_piece(const Attribute& attribute) {
    const std::size_t index = stream_of(attribute);
    StreamEntry& stream = file_.streams[index];
    require(!stream.resident, "a stream is resident and not");
    if (attribute.lowest_vcn == 0) {
      require(!first_piece_seen_[index], "a stream has two beginnings");
      first_piece_seen_[index] = true;
      stream.flags = attribute.flags;
      stream.data_bytes = attribute.data_bytes;
      stream.initialized_bytes = std::min(attribute.initialized_bytes, attribute.data_bytes);
    }
    if (attribute.lowest_vcn == joined_vcns_[index]) {
      append_mapping_pairs(attribute.mapping_pairs, attribute.end_vcn - attribute.lowest_vcn, mft_.boot().clusters,
                           stream.runs);
      joined_vcns_[index] = attribute.end_vcn;
      return;
    }
    EarlyPiece piece{index, attribute.lowest_vcn, attribute.end_vcn, {}};
    append_mapping_pairs(attribute.mapping_pairs, attribute.end_vcn - attribute.lowest_vcn, mft_.boot().clusters, piece.runs);
    early_.push_back(std::move(piece));
  }

  void join_early_pieces() {
    std::sort(early_.begin(), early_.end(), [](const EarlyPiece& a, const EarlyPiece& b) {
      return a.stream != b.stream ? a.stream < b.stream : a.lowest_vcn < b.lowest_vcn;
    });
    for (const EarlyPiece& piece : early_) {
      require(piece.lowest_vcn == joined_vcns_[piece.stream], "a stream's pieces do not follow each other");
      std::vector<StreamRun>& runs = file_.streams[piece.stream].runs;
      require(runs.size() + piece.runs.size() <= runs_per_stream_max, "a stream has too many runs");
      runs.insert(runs.end(), piece.runs.begin(), piece.runs.end());
      joined_vcns_[piece.stream] = piece.end_vcn;
    }
  }

  Bytes list_value(const Attribute& list) {
    if (list.resident) return Bytes(list.value.begin(), list.value.end());
    StreamEntry stream;
    require(list.lowest_vcn == 0 && list.data_bytes <= attribute_list_bytes_max, "its attribute list is too long");
    stream.data_bytes = list.data_bytes;
    stream.initialized_bytes = list.initialized_bytes;
    append_mapping_pairs(list.mapping_pairs, list.end_vcn, mft_.boot().clusters, stream.runs);
    Bytes value(static_cast<std::size_t>(list.data_bytes));
    RunReader(mft_.volume(), mft_.boot().cluster_bytes, stream).read(0, value);
    return value;
  }

  void follow_list(const Attribute& list) {
    const Bytes value = list_value(list);
    const ByteView entries(value);
    for (std::size_t at = 0; at < entries.size();) {
      require(range_fits(at, list_entry_bytes, entries.size()), "its attribute list is cut off");
      const std::size_t length = le16(entries, at + 4);
      require(length >= list_entry_bytes && length % 8 == 0 && range_fits(at, length, entries.size()),
              "an entry of its attribute list makes no sense");
      const ByteView entry = entries.subspan(at, length);
      at += length;
      const MftReference where = le64(entry, 0x10);
      if (mft_record_number(where) == mft_record_number(file_.reference)) continue;  // taken already
      take_listed(entry, where);
    }
  }

  void take_listed(ByteView entry, MftReference where) {
    const std::size_t name_bytes = 2 * std::to_integer<std::size_t>(entry[6]), name_offset = std::to_integer<std::size_t>(entry[7]);
    require(range_fits(name_offset, name_bytes, entry.size()), "an entry of its attribute list makes no sense");
    const ByteView name = name_bytes == 0 ? ByteView{} : entry.subspan(name_offset, name_bytes);
    const std::uint32_t type = le32(entry, 0);
    const std::uint16_t instance = le16(entry, 0x18);
    const Bytes& record = extension(where);
    AttributeWalk walk(record, parse_record_header(record));
    while (const auto attribute = walk.next()) {
      if (attribute->type != type || attribute->instance != instance || !std::ranges::equal(attribute->name, name)) continue;
      require(attribute->resident || attribute->lowest_vcn == le64(entry, 8), "its attribute list names another piece");
      require(type != attribute_list, "an attribute list in an extension record");
      take(*attribute);
      return;
    }
    throw Error(ErrorCode::malformed, "its attribute list names an attribute that is not there");
  }

  const Bytes& extension(MftReference where) {
    const auto [found, is_new] = extensions_.try_emplace(mft_record_number(where));
    if (!is_new) return found->second;
    require(extensions_.size() <= extension_records_max, "its attribute list is too long");
    found->second.resize(mft_.boot().mft_record_bytes);
    require(mft_.read_record(found->first, found->second), "an extension record cannot be read");
    const RecordHeader header = parse_record_header(found->second);
    require(header.in_use && header.sequence == where >> 48, "an extension record is not in use any more");
    require(header.base == file_.reference, "an extension record belongs to another file");
    return found->second;
  }

  Mft& mft_;
  FileRecord& file_;
  std::vector<bool> first_piece_seen_;
  std::vector<std::uint64_t> joined_vcns_;  // by stream
  std::vector<EarlyPiece> early_;
  std::map<std::uint64_t, Bytes> extensions_;
};

}  // namespace

const StreamEntry* FileRecord::stream(std::uint32_t type, std::u16string_view name) const {
  for (const StreamEntry& entry : streams) {
    if (entry.attribute_type == type && entry.name == name) return &entry;
  }
  return nullptr;
}

void parse_file(Mft& mft, std::uint64_t number, ByteView record, const RecordHeader& header, FileRecord& file) {
  file.reference = number | std::uint64_t{header.sequence} << 48;
  file.directory = header.directory;
  file.links = header.links;
  file.times = {};
  file.attributes = file.reparse_tag = file.security_id = 0;
  file.data_bytes = 0;
  file.has_security_descriptor = false;
  file.names.clear();
  file.streams.clear();
  file.volume_name.clear();
  file.volume_information.clear();
  file.resident_bitmap.clear();
  Assembly(mft, file).take_base(record, header);
  if (file.reparse_tag == 0 && (file.attributes & 0x400) != 0) {
    for (const FileLink& link : file.names) file.reparse_tag = file.reparse_tag != 0 ? file.reparse_tag : link.reparse_tag;
  }
}

}  // namespace vmferry::crack
