// EmulatedLink: two tun devices and a Line each way between them. One thread: wait for a descriptor or for `due`, then
// call `pass`.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "bench/link/line.h"
#include "bench/link/tun_device.h"

namespace vmferry::bench {

struct LinkEnd {
  std::string namespace_file;
  std::string device;
};

class EmulatedLink {
 public:
  EmulatedLink(const LinkEnd& a, const LinkEnd& b, const LineShape& shape, std::uint64_t seed);

  std::array<int, 2> descriptors() const noexcept { return {a_.descriptor(), b_.descriptor()}; }
  // When something arrives, if anything is under way.
  std::optional<Time> due() const noexcept;
  // Takes what the devices have to send and gives them what has arrived.
  void pass(Time now);

  Line& a_to_b() noexcept { return a_to_b_; }
  Line& b_to_a() noexcept { return b_to_a_; }
  // Packets that had arrived and that a namespace's kernel did not take.
  std::uint64_t refused() const noexcept { return refused_; }

 private:
  void take(TunDevice& from, Line& line, Time now);
  void give(Line& line, TunDevice& to, Time now);

  TunDevice a_, b_;
  Line a_to_b_, b_to_a_;
  std::uint64_t refused_ = 0;
  std::array<std::byte, packet_bytes_max> read_into_;
};

}  // namespace vmferry::bench
