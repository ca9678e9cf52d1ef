// Link: a line between a controller and a target, as a user names it, and how long a night takes over it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmferry::measure {

struct Link {
  std::uint64_t bits_per_second = 0;  // each way
  std::uint64_t round_trip_ms = 0;
  bool operator==(const Link&) const = default;
};

// "10mbit,80ms": a rate in kbit, mbit or gbit (powers of ten), and a round trip of 0 to 60000 ms. Throws Error{usage}.
Link parse_link(std::string_view text);
std::string link_name(const Link& link);  // the shortest text that parse_link() takes for it
std::vector<Link> default_links();

// What one way of saving a night puts on the line.
struct Traffic {
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  unsigned round_trips = 0;  // that nothing else hides
};

// All bytes of both directions one after another, and the round trips.
std::uint64_t link_ms(const Link& link, const Traffic& traffic) noexcept;
// Reading and compressing go on while the line is busy: the longer of the two. work_ms: 0 where it was not measured.
std::uint64_t night_ms(const Link& link, const Traffic& traffic, std::uint64_t work_ms) noexcept;

}  // namespace vmferry::measure
