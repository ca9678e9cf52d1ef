// The unit in which VMDK files of every kind count; the sectors of the disk's partitions may be larger.
#pragma once

#include <cstdint>

namespace vmferry::disk {

inline constexpr std::uint64_t vmdk_sector_bytes = 512;

}  // namespace vmferry::disk
