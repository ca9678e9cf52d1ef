#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/point.h"
#include "protocol/utf8.h"

namespace vmferry {
namespace {

constexpr std::size_t uuid_digits = 32;

[[noreturn]] void throw_usage(std::string_view text, std::string_view why) {
  throw Error(ErrorCode::usage, "not the name of a restore point", std::string(text), std::string(why));
}

[[noreturn]] void throw_not_found(std::string_view what, const PointName& name) {
  std::string named = name.machine;
  if (name.which == PointName::Which::number) named += '@' + std::to_string(name.number);
  if (name.which == PointName::Which::id_prefix) named += "@id:" + name.id_prefix;
  throw Error(ErrorCode::not_found, std::string(what), named, "'vmferry points' lists what there is");
}

// Lower-case hex digits without dashes; empty where the text is something else.
std::string uuid_prefix(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c == '-') continue;
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return {};
    digits += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return digits.size() <= uuid_digits ? digits : std::string();
}

bool is_client(const PointSummary& point, std::string_view client) {
  if (point.client_name == client) return true;
  const std::string prefix = uuid_prefix(client);
  return !prefix.empty() && to_hex(point.client_uuid.bytes).starts_with(prefix);
}

using Points = std::vector<const PointSummary*>;

// The points that the name can mean, all of one client.
Points points_of_one_client(const PointName& name, const std::vector<PointSummary>& all, const Uuid& own_client) {
  std::map<Uuid, Points> by_client;
  for (const PointSummary& point : all)
    if (point.machine_name == name.machine && (name.client.empty() || is_client(point, name.client)))
      by_client[point.client_uuid].push_back(&point);
  if (by_client.empty())
    throw_not_found(name.client.empty() ? "there is no restore point of this machine"
                                        : "this client has no restore point of this machine",
                    name);
  if (by_client.size() == 1) return by_client.begin()->second;
  if (const auto own = by_client.find(own_client); own != by_client.end()) return own->second;

  // Several others: say how to name each. Host names where they tell them apart, else UUIDs.
  std::map<std::string, int> host_names;
  for (const auto& [client, points] : by_client) ++host_names[points.back()->client_name];
  std::string choices;
  for (const auto& [client, points] : by_client) {
    const std::string& host = points.back()->client_name;
    choices += (choices.empty() ? "" : ", ") + (host_names[host] == 1 ? host : client.to_string()) + "/" + name.machine;
  }
  throw Error(ErrorCode::usage, "several clients have a machine of this name", name.machine, "say which: " + choices);
}

bool is_newer(const PointSummary* a, const PointSummary* b) {
  return a->arrived_ms != b->arrived_ms ? a->arrived_ms > b->arrived_ms : a->number > b->number;
}

// A name that was adopted by another machine has points of both; numbers are each machine's own. It means the machine
// that the newest point is of, and another one only for what that one does not have.
void put_current_machine_first(Points& points) {
  std::sort(points.begin(), points.end(), is_newer);
  const Uuid current = points.front()->machine_uuid;
  std::stable_partition(points.begin(), points.end(),
                        [&](const PointSummary* point) { return point->machine_uuid == current; });
}

const PointSummary* latest(const Points& points) {
  const PointSummary* found = points.front();
  for (const PointSummary* point : points)
    if (point->machine_uuid == found->machine_uuid && point->number > found->number) found = point;
  return found;
}

const PointSummary* by_id(const Points& points, const PointName& name) {
  const PointSummary* found = nullptr;
  for (const PointSummary* point : points) {
    if (!to_hex(point->uuid.bytes).starts_with(name.id_prefix)) continue;
    if (found != nullptr)
      throw Error(ErrorCode::usage, "several restore points begin with this id", "id:" + name.id_prefix,
                  "give more digits: " + found->uuid.to_string() + ", " + point->uuid.to_string());
    found = point;
  }
  return found;
}

const PointSummary* by_time(const Points& points, std::int64_t not_after_ms) {
  const PointSummary* found = nullptr;
  for (const PointSummary* point : points)
    if (point->arrived_ms <= not_after_ms && (found == nullptr || is_newer(point, found))) found = point;
  return found;
}

}  // namespace

PointName parse_point_name(std::string_view text) {
  PointName name;
  std::string_view machine = text;
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    machine = text.substr(0, at);
    const std::string_view point = text.substr(at + 1);
    if (point.starts_with("id:")) {
      name.which = PointName::Which::id_prefix;
      name.id_prefix = uuid_prefix(point.substr(3));
      if (name.id_prefix.empty()) throw_usage(text, "after 'id:' come the first hex digits of the point's id");
    } else if (point != "latest") {
      name.which = PointName::Which::number;
      const auto [end, fault] = std::from_chars(point.data(), point.data() + point.size(), name.number);
      if (fault != std::errc() || end != point.data() + point.size())
        throw_usage(text, "after '@' comes 'latest', a number as 'vmferry points' lists it, or id:...");
    }
  }
  if (const std::size_t slash = machine.find('/'); slash != std::string_view::npos) {
    name.client = machine.substr(0, slash);
    machine = machine.substr(slash + 1);
    if (!valid_machine_name(name.client)) throw_usage(text, "what is before '/' is no client's name or UUID");
  }
  name.machine = machine;
  if (!valid_machine_name(machine)) throw_usage(text, "give NAME, NAME@POINT or CLIENT/NAME@POINT");
  return name;
}

PointSummary pick_point(const PointName& name, const std::vector<PointSummary>& all, const Uuid& own_client) {
  Points points = points_of_one_client(name, all, own_client);
  put_current_machine_first(points);
  const PointSummary* found = nullptr;
  switch (name.which) {
    case PointName::Which::latest: found = latest(points); break;
    case PointName::Which::id_prefix: found = by_id(points, name); break;
    case PointName::Which::not_after: found = by_time(points, name.not_after_ms); break;
    case PointName::Which::number: {
      const auto match = std::find_if(points.begin(), points.end(),
                                      [&](const PointSummary* point) { return point->number == name.number; });
      if (match != points.end()) found = *match;
      break;
    }
  }
  if (found == nullptr)
    throw_not_found(name.which == PointName::Which::not_after ? "this machine has no restore point that old"
                                                              : "this machine has no such restore point",
                    name);
  return *found;
}

bool valid_machine_name(std::string_view name) {
  if (name.empty() || name.size() > limits::name_bytes_max || name == "." || name == ".." || name[0] == '-')
    return false;
  if (name.find_first_of("/@:\\") != std::string_view::npos || !valid_utf8(name)) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    // U+0080 to U+009F, the second set of control characters.
    if (byte == 0xc2 && static_cast<unsigned char>(name[i + 1]) < 0xa0) return false;
  }
  return true;
}

}  // namespace vmferry
