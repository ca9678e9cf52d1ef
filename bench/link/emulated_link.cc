#include "bench/link/emulated_link.h"

#include <algorithm>

namespace vmferry::bench {
namespace {

constexpr int packets_at_once_max = 64;  // of one device, before the others have their turn

}  // namespace

EmulatedLink::EmulatedLink(const LinkEnd& a, const LinkEnd& b, const LineShape& shape, std::uint64_t seed)
    : a_(a.namespace_file, a.device), b_(b.namespace_file, b.device), a_to_b_(shape, seed), b_to_a_(shape, seed + 1) {}

std::optional<Time> EmulatedLink::due() const noexcept {
  const auto there = a_to_b_.next_arrival(), back = b_to_a_.next_arrival();
  if (there && back) return std::min(*there, *back);
  return there ? there : back;
}

void EmulatedLink::pass(Time now) {
  give(a_to_b_, b_, now);
  give(b_to_a_, a_, now);
  take(a_, a_to_b_, now);
  take(b_, b_to_a_, now);
}

void EmulatedLink::take(TunDevice& from, Line& line, Time now) {
  for (int i = 0; i < packets_at_once_max; ++i) {
    const std::size_t length = from.read(read_into_);
    if (length == 0) return;
    line.accept(std::span(read_into_).first(length), now);
  }
}

void EmulatedLink::give(Line& line, TunDevice& to, Time now) {
  while (const auto packet = line.take_arrived(now))
    if (!to.write(*packet)) ++refused_;
}

}  // namespace vmferry::bench
