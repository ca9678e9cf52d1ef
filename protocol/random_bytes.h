// Bytes from the kernel's random source, for keys and UUIDs. Throws Error where there is none.
#pragma once

#include <cstddef>
#include <span>

namespace vmferry {

void fill_random(std::span<std::byte> into);

}  // namespace vmferry
