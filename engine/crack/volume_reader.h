// VolumeReader: the volume's bytes as the cracker's parsers see them. In the sandbox they come from the parent; a
// fuzz target or a unit test can give them from memory. One thread.
#pragma once

#include <cstdint>
#include <span>

#include "protocol/bytes.h"

namespace vmferry::crack {

class VolumeReader {
 public:
  virtual ~VolumeReader() = default;
  virtual std::uint64_t size_bytes() const = 0;
  // Fills `into`; Error{malformed} where the range is not within the volume.
  virtual void read(std::uint64_t offset, std::span<std::byte> into) = 0;
  // A hint: this range, of which at most 1 MiB counts, is wanted next. Costs no waiting.
  virtual void prefetch(std::uint64_t offset, std::uint64_t length) = 0;
};

}  // namespace vmferry::crack
