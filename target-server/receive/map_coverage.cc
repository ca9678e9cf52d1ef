#include "target-server/receive/map_coverage.h"

#include <string>

#include "protocol/error.h"

namespace vmferry::target_server {

std::uint64_t MapCoverage::offset_of(ByteView key) {
  ByteReader reader(key, "an image map's key");
  const std::uint64_t offset = reader.u64_big_endian();
  reader.expect_end();
  return offset;
}

void MapCoverage::expect(std::uint64_t offset) const {
  if (offset != covered_)
    throw Error(ErrorCode::malformed, "the image map does not cover the disk once", {},
                "what follows offset " + std::to_string(covered_) + " is offset " + std::to_string(offset));
}

void MapCoverage::entry(const MapEntry& entry) {
  expect(entry.disk.offset);
  if (!range_fits(entry.disk.offset, entry.disk.length, disk_bytes_))
    throw Error(ErrorCode::malformed, "the image map reaches past the disk's end");
  covered_ = entry.disk.end();
}

void MapCoverage::same_as_base(ByteView first_key, const std::optional<Bytes>& end) {
  expect(offset_of(first_key));
  covered_ = end ? offset_of(*end) : base_disk_bytes_;
}

void MapCoverage::skip_to(const std::optional<Bytes>& end) { covered_ = end ? offset_of(*end) : disk_bytes_; }

void MapCoverage::finish() const { expect(disk_bytes_); }

}  // namespace vmferry::target_server
