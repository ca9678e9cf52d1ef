// A number of bytes for a person: "1.5 GiB".
#pragma once

#include <cstdint>
#include <string>

namespace vmferry::target_server {

std::string size_text(std::uint64_t bytes);

}  // namespace vmferry::target_server
