// TcpLimits: what holds a TCP connection back that has enough to carry. A line that is full is shared by several connections, and
// they disturb each other; but where one connection's window, or what it makes of losses, is the limit, another one carries more.
#pragma once

#include <cstdint>

namespace vmferry {

class TcpLimits {
 public:
  // Whether another connection would help, by what the kernel counted since the last look. False where it does not say.
  bool is_held_back(int socket) noexcept;

 private:
  std::uint64_t bytes_out_ = 0, bytes_in_ = 0, busy_us_ = 0, limited_us_ = 0, lost_ = 0;
};

}  // namespace vmferry
