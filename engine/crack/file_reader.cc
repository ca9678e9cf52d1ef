#include "engine/crack/file_reader.h"

#include <algorithm>

#include "engine/crack/ntfs/little_endian.h"
#include "engine/crack/wof.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::uint16_t stream_compressed = 0x0001, stream_encrypted = 0x4000, stream_sparse = 0x8000;
constexpr std::uint32_t attribute_encrypted = 0x4000;
constexpr std::uint32_t tag_deduplicated = 0x80000013;
constexpr std::uint32_t tag_cloud_mask = 0xffff0fff, tag_cloud = 0x9000001a;
constexpr std::size_t library_read_bytes = std::size_t{256} * 1024;
constexpr std::uint64_t reparse_bytes_max = 16 * 1024;
constexpr std::size_t reparse_header_bytes = 8;

bool is_plain(const StreamEntry& stream) { return (stream.flags & (stream_compressed | stream_encrypted)) == 0; }

std::string hex(std::uint32_t value) {
  ByteWriter bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.u8(static_cast<std::uint8_t>(value >> shift));
  return "0x" + to_hex(bytes.view());
}

// Why the unnamed stream is not the file's content, by its reparse tag alone; empty where it is (or is a link).
std::string why_elsewhere(std::uint32_t tag) {
  if (tag == 0 || tag == reparse_tag_wof || (tag & tag_is_name_surrogate) != 0) return {};
  if (tag == tag_deduplicated) return "deduplicated by Windows Server: its content lies in the chunk store of the volume";
  if ((tag & tag_cloud_mask) == tag_cloud) return "a placeholder of a cloud service: its content is not on this volume";
  return "its content belongs to a Windows component that is not known (reparse tag " + hex(tag) + ")";
}

}  // namespace

FileReader::FileReader(VolumeReader& volume)
    : volume_(volume), mft_(volume, read_boot_sector(volume)), mounted_(volume, mft_) {}

void FileReader::load(MftReference reference) {
  const std::uint64_t number = mft_record_number(reference);
  const auto reject = [&](const std::string& why) {
    throw Error(ErrorCode::malformed, "cannot read MFT record " + std::to_string(number), {}, why);
  };
  Bytes record(mft_.boot().mft_record_bytes);
  if (!mft_.read_record(number, record)) reject("it is damaged or not there");
  const RecordHeader header = parse_record_header(record);
  if (!header.in_use || header.base != 0) reject("no file is there any more");
  if (header.sequence != reference >> 48) reject("another file is there now");
  parse_file(mft_, number, record, header, file_);
}

Bytes FileReader::reparse_data() {
  Bytes data = mounted_.open(file_.reference).reparse_point(reparse_bytes_max);
  if (data.size() < reparse_header_bytes) throw Error(ErrorCode::malformed, "a reparse point is too short");
  data.erase(data.begin(), data.begin() + reparse_header_bytes);
  return data;
}

VolumeFiles::FileFacts FileReader::facts(MftReference record) {
  load(record);
  VolumeFiles::FileFacts facts;
  facts.data_bytes = file_.data_bytes;
  facts.attributes = file_.attributes;
  facts.reparse_tag = file_.reparse_tag;
  facts.times = file_.times;
  // Since NTFS 3.0 a file names a descriptor in $Secure; before, it had one of its own.
  facts.has_acl = file_.has_security_descriptor || file_.security_id != 0;
  for (const StreamEntry& stream : file_.streams) {
    if (stream.attribute_type != attribute_data) continue;
    if (!stream.name.empty()) {
      if (!(file_.reparse_tag == reparse_tag_wof && stream.name == wof_stream_name)) ++facts.named_streams;
      continue;
    }
    facts.encrypted = (stream.flags & stream_encrypted) != 0;
    facts.compressed = (stream.flags & stream_compressed) != 0;
    facts.sparse = (stream.flags & stream_sparse) != 0;
  }
  facts.encrypted |= !file_.directory && (file_.attributes & attribute_encrypted) != 0;
  facts.unreadable_because = why_elsewhere(file_.reparse_tag);
  if (facts.encrypted) facts.unreadable_because = "encrypted by EFS: only its owner's key can read it";
  if (facts.unreadable_because.empty() && file_.reparse_tag == reparse_tag_wof) {
    facts.compressed = true;
    facts.sparse = false;
    if (wof_algorithm(reparse_data(), facts.unreadable_because) && file_.stream(attribute_data, wof_stream_name) == nullptr) {
      facts.unreadable_because = "compressed by Windows, but its compressed content is not there";
    }
  }
  return facts;
}

void FileReader::read(MftReference record, EventWriter& events) {
  const VolumeFiles::FileFacts found = facts(record);
  if (!found.unreadable_because.empty()) {
    throw Error(ErrorCode::unsupported, "cannot read MFT record " + std::to_string(mft_record_number(record)), {},
                found.unreadable_because);
  }
  const StreamEntry* content = file_.stream(attribute_data);
  if (content == nullptr || content->data_bytes == 0) return;
  if (file_.reparse_tag == reparse_tag_wof) {
    std::string why;
    const auto algorithm = wof_algorithm(reparse_data(), why);
    send_decompressed(*file_.stream(attribute_data, wof_stream_name), content->data_bytes,
                      static_cast<std::uint32_t>(*algorithm), events);
  } else if (!content->resident && is_plain(*content)) {
    send_runs(*content, events);
  } else {
    send_through_library(*content, events);
  }
}

void FileReader::send_runs(const StreamEntry& stream, EventWriter& events) {
  const std::uint64_t cluster_bytes = mft_.boot().cluster_bytes;
  const std::uint64_t end = std::min(stream.data_bytes, stream.initialized_bytes);
  std::uint64_t at = 0;
  for (const StreamRun& run : stream.runs) {
    if (at >= end) return;
    const std::uint64_t length = std::min(run.clusters * cluster_bytes, end - at);
    if (run.lcn != StreamRun::run_hole) events.piece(at, run.lcn * cluster_bytes, length);
    at += length;
  }
}

// LZNT1 and resident content. A compression unit that is wholly a hole is skipped.
void FileReader::send_through_library(const StreamEntry& stream, EventWriter& events) {
  Ntfs3gVolume::File file = mounted_.open(file_.reference);
  Bytes buffer(library_read_bytes);
  RunReader runs;
  if (!stream.resident) runs = RunReader(volume_, mft_.boot().cluster_bytes, stream);
  const std::uint64_t end = std::min(stream.data_bytes, stream.initialized_bytes);
  // Units are 16 clusters: library_read_bytes is a multiple of every unit that Windows makes (clusters up to 4 KiB).
  for (std::uint64_t at = 0; at < end;) {
    std::uint64_t length = std::min<std::uint64_t>(buffer.size(), end - at);
    if (!stream.resident) {
      const RunReader::Piece piece = runs.piece_at(at);
      if (piece.volume_offset == piece_hole && piece.length >= buffer.size()) {
        at += piece.length / buffer.size() * buffer.size();
        continue;
      }
      if (piece.volume_offset != piece_hole) volume_.prefetch(piece.volume_offset, piece.length);
    }
    const std::span<std::byte> into(buffer.data(), static_cast<std::size_t>(length));
    if (file.read({}, at, into) != into.size()) throw Error(ErrorCode::malformed, "a file is shorter than its size");
    events.data(at, into);
    at += length;
  }
}

void FileReader::send_decompressed(const StreamEntry& stored, std::uint64_t bytes, std::uint32_t algorithm,
                                   EventWriter& events) {
  const auto use = [&](std::uint64_t offset, ByteView content) { events.data(offset, content); };
  if (!stored.resident && is_plain(stored)) {
    RunReader runs(volume_, mft_.boot().cluster_bytes, stored);
    decompress_wof(static_cast<WofAlgorithm>(algorithm), stored.data_bytes, bytes,
                   [&](std::uint64_t offset, std::span<std::byte> into) { runs.read(offset, into); }, use);
    return;
  }
  Ntfs3gVolume::File file = mounted_.open(file_.reference);
  decompress_wof(static_cast<WofAlgorithm>(algorithm), stored.data_bytes, bytes,
                 [&](std::uint64_t offset, std::span<std::byte> into) {
                   if (file.read(wof_stream_name, offset, into) != into.size()) {
                     throw Error(ErrorCode::malformed, "a stream is shorter than its size");
                   }
                 },
                 use);
}

}  // namespace vmferry::crack
