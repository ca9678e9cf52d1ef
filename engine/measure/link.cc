#include "engine/measure/link.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "protocol/error.h"

namespace vmferry::measure {
namespace {

constexpr std::uint64_t units_max = 1'000'000;
constexpr std::uint64_t round_trip_ms_max = 60'000;

struct Unit {
  std::string_view name;
  std::uint64_t bits;
};
constexpr Unit units[] = {{"gbit", 1'000'000'000}, {"mbit", 1'000'000}, {"kbit", 1'000}};

// The number that text begins with; text becomes what follows it. No signs, spaces or fractions.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<Link> parse(std::string_view text) {
  Link link;
  const auto rate = take_number(text);
  if (!rate || *rate == 0 || *rate > units_max) return std::nullopt;
  for (const Unit& unit : units) {
    if (!text.starts_with(unit.name)) continue;
    link.bits_per_second = *rate * unit.bits;
    text.remove_prefix(unit.name.size());
    break;
  }
  if (link.bits_per_second == 0 || !text.starts_with(',')) return std::nullopt;
  text.remove_prefix(1);
  const auto round_trip = take_number(text);
  if (!round_trip || *round_trip > round_trip_ms_max || text != "ms") return std::nullopt;
  link.round_trip_ms = *round_trip;
  return link;
}

}  // namespace

Link parse_link(std::string_view text) {
  if (const auto link = parse(text)) return *link;
  throw Error(ErrorCode::usage, "not a link", std::string(text),
              "write its rate and its round trip, like 10mbit,80ms (kbit, mbit or gbit; whole numbers; at most "
              "60000ms)");
}

std::string link_name(const Link& link) {
  for (const Unit& unit : units)
    if (link.bits_per_second % unit.bits == 0)
      return std::to_string(link.bits_per_second / unit.bits) + std::string(unit.name) + "," +
             std::to_string(link.round_trip_ms) + "ms";
  return {};  // parse_link() makes none such
}

std::vector<Link> default_links() { return {{10'000'000, 80}, {100'000'000, 40}, {1'000'000'000, 5}}; }

std::uint64_t link_ms(const Link& link, const Traffic& traffic) noexcept {
  const double seconds = (static_cast<double>(traffic.sent_bytes) + static_cast<double>(traffic.received_bytes)) * 8 /
                         static_cast<double>(link.bits_per_second);
  return static_cast<std::uint64_t>(seconds * 1000 + 0.5) + traffic.round_trips * link.round_trip_ms;
}

std::uint64_t night_ms(const Link& link, const Traffic& traffic, std::uint64_t work_ms) noexcept {
  return std::max(link_ms(link, traffic), work_ms);
}

}  // namespace vmferry::measure
