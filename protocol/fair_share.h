// How many of a server's places (sessions, links, waiting ones) one client may have, so that none keeps all others out.
#pragma once

#include <cstddef>

namespace vmferry {

constexpr std::size_t share_of_one(std::size_t places) { return places - places / 5; }

}  // namespace vmferry
