// MapCoverage: follows an image map in disk order and checks that it covers [0, disk size) once.
#pragma once

#include <cstdint>
#include <optional>

#include "protocol/image_map.h"

namespace vmferry::target_server {

class MapCoverage {
 public:
  MapCoverage(std::uint64_t disk_bytes, std::uint64_t base_disk_bytes)
      : disk_bytes_(disk_bytes), base_disk_bytes_(base_disk_bytes) {}

  // Each throws Error{malformed} where there is a gap or an overlap.
  void entry(const MapEntry& entry);
  void same_as_base(ByteView first_key, const std::optional<Bytes>& end);  // the base's own map has no gap
  void skip_to(const std::optional<Bytes>& end);                           // nothing is known up to there
  void finish() const;

  static std::uint64_t offset_of(ByteView key);  // throws Error{malformed}

 private:
  void expect(std::uint64_t offset) const;

  std::uint64_t disk_bytes_;
  std::uint64_t base_disk_bytes_;
  std::uint64_t covered_ = 0;
};

}  // namespace vmferry::target_server
