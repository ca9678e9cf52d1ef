// First byte of each event on the channel.
#pragma once

#include <cstdint>

namespace vmferry::crack {

enum class EventTag : std::uint8_t {
  volume = 1,
  stream,
  runs,
  file,
  kept,
  allocated,
  problem,
  done,
  facts,
  piece,
  data,
};

enum FactBit : std::uint8_t {
  fact_dirty = 1,
  fact_cleanly_closed = 2,
  fact_log_readable = 4,
  fact_hibernated = 8,
  fact_shadow_copies = 16,
  fact_mirror_differs = 32,
};

enum FileBit : std::uint8_t {
  file_has_acl = 1,
  file_encrypted = 2,
  file_sparse = 4,
  file_compressed = 8,
};

}  // namespace vmferry::crack
