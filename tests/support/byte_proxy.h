// ByteProxy: a TCP proxy on 127.0.0.1 that does harm at an exact byte of what passes: flips it, or cuts, ends or stalls the
// connection before it. One thread of its own; all calls may come from any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "protocol/transport/host_port.h"

namespace vmferry::test {

struct ByteFault {
  enum class Kind {
    none,
    flip,   // that byte arrives with its lowest bit turned
    reset,  // both sides see a reset; what was on its way is lost
    end,    // the receiver sees a clean TCP end; what its sender still sends is swallowed
    stall,  // nothing passes any more in this direction, and nobody is told
  };
  Kind kind = Kind::none;
  std::uint64_t at = 0;  // so many bytes pass unharmed, counted for each connection and direction
};

class ByteProxy {
 public:
  explicit ByteProxy(const HostPort& target);  // throws Error
  ~ByteProxy();                                // resets what is open
  HostPort address() const;

  // For connections that are accepted from now on: up is towards the target.
  void set_faults(const ByteFault& up, const ByteFault& down = {});
  void reset_all();                            // every open connection, now

  std::uint64_t connections() const;           // accepted so far
  std::uint64_t up_bytes() const;              // passed on so far, over all connections
  std::uint64_t down_bytes() const;

 private:
  class Pump;
  std::unique_ptr<Pump> pump_;
};

}  // namespace vmferry::test
