#include "engine/crack/ntfs/mft.h"

#include <algorithm>

#include "engine/crack/ntfs/file_record.h"
#include "engine/crack/ntfs/little_endian.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::size_t batch_bytes = std::size_t{1} << 20;
constexpr std::size_t bitmap_window_bytes = 64 * 1024;

[[noreturn]] void reject_mft(const char* why) {
  throw Error(ErrorCode::malformed, "cannot crack the volume", {}, std::string("its $MFT cannot be read: ") + why);
}

// The runs of $MFT as far as record 0 itself tells them.
StreamEntry runs_in_record_0(ByteView record, std::uint64_t clusters) {
  StreamEntry stream;
  AttributeWalk walk(record, parse_record_header(record));
  while (const auto attribute = walk.next()) {
    if (attribute->type != attribute_data || !attribute->name.empty()) continue;
    if (attribute->resident || attribute->lowest_vcn != 0) reject_mft("its first run is not in record 0");
    append_mapping_pairs(attribute->mapping_pairs, attribute->end_vcn, clusters, stream.runs);
    stream.data_bytes = attribute->data_bytes;
    stream.initialized_bytes = attribute->initialized_bytes;
    return stream;
  }
  reject_mft("it has no data");
}

}  // namespace

Mft::Mft(VolumeReader& volume, const BootSector& boot) : volume_(volume), boot_(boot) {
  Bytes record(boot_.mft_record_bytes);
  volume_.read(checked_mul<std::uint64_t>(boot_.mft_lcn, boot_.cluster_bytes, "$MFT"), record);
  if (!apply_fixups(record, "FILE")) reject_mft("record 0 is damaged");
  try {
    const RecordHeader header = parse_record_header(record);
    if (!header.in_use || header.base != 0) reject_mft("record 0 is not in use");
    // What record 0 tells reaches the extension records that tell the rest, in the order of the pieces: so each
    // round of reading reaches further, until nothing new is found.
    StreamEntry known = runs_in_record_0(record, boot_.clusters);
    known.data_bytes = known.initialized_bytes =
        checked_mul<std::uint64_t>(clusters_of(known.runs), boot_.cluster_bytes, "$MFT");
    FileRecord file;
    for (;;) {
      data_ = RunReader(volume_, boot_.cluster_bytes, known);
      records_ = data_.size_bytes() / boot_.mft_record_bytes;
      try {
        parse_file(*this, 0, record, header, file);
        break;
      } catch (const Error&) {
        // parse_file takes pieces in the order of the attribute list: those before the one it failed at are good.
        const StreamEntry* partly = file.stream(attribute_data);
        if (partly == nullptr || clusters_of(partly->runs) <= clusters_of(known.runs)) throw;
        known.runs = partly->runs;
        known.data_bytes = known.initialized_bytes =
            checked_mul<std::uint64_t>(clusters_of(known.runs), boot_.cluster_bytes, "$MFT");
      }
    }
    const StreamEntry* data = file.stream(attribute_data);
    if (data == nullptr || data->resident) reject_mft("it has no runs");
    if (clusters_of(data->runs) > boot_.clusters) reject_mft("it is larger than the volume");
    data_ = RunReader(volume_, boot_.cluster_bytes, *data);
    if (data_.has_holes()) reject_mft("it has holes");
    records_ = data_.initialized_bytes() / boot_.mft_record_bytes;
    if (const StreamEntry* bitmap = file.stream(attribute_bitmap)) {
      bitmap_.emplace(volume_, boot_.cluster_bytes, *bitmap);
    } else {
      bitmap_resident_ = file.resident_bitmap;
    }
  } catch (const Error& error) {
    reject_mft(error.what());
  }
}

bool Mft::read_record(std::uint64_t number, std::span<std::byte> record) {
  if (number >= records_) return false;
  data_.read(number * boot_.mft_record_bytes, record);
  return apply_fixups(record, "FILE");
}

void Mft::for_each_batch(const std::function<void(std::uint64_t first, std::span<std::byte> records)>& use) {
  const std::uint64_t end = records_ * boot_.mft_record_bytes;
  Bytes batch(batch_bytes);
  for (std::uint64_t at = 0; at < end; at += batch.size()) {
    const std::span<std::byte> part(batch.data(), static_cast<std::size_t>(std::min<std::uint64_t>(batch.size(), end - at)));
    data_.read(at, part);
    data_.prefetch(at + part.size(), batch.size());
    use(at / boot_.mft_record_bytes, part);
  }
}

bool Mft::marked_in_use(std::uint64_t number) {
  const std::uint64_t byte = number / 8;
  const unsigned bit = static_cast<unsigned>(number % 8);
  if (!bitmap_) {
    if (byte >= bitmap_resident_.size()) return true;
    return (std::to_integer<unsigned>(bitmap_resident_[static_cast<std::size_t>(byte)]) >> bit & 1) != 0;
  }
  if (byte >= bitmap_->size_bytes()) return true;
  const std::uint64_t window_at = byte / bitmap_window_bytes * bitmap_window_bytes;
  if (window_at != bitmap_window_at_) {
    bitmap_window_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bitmap_window_bytes, bitmap_->size_bytes() - window_at)));
    bitmap_->read(window_at, bitmap_window_);
    bitmap_window_at_ = window_at;
  }
  return (std::to_integer<unsigned>(bitmap_window_[static_cast<std::size_t>(byte - window_at)]) >> bit & 1) != 0;
}

}  // namespace vmferry::crack
