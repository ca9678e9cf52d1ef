#include "bench/link/control.h"

#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace vmferry::bench {
namespace {

using nlohmann::json;

std::int64_t microseconds(Time time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

Time time_of(const json& value) { return std::chrono::microseconds(value.get<std::int64_t>()); }

json to_json(const LineCounters& counters) {
  return {{"packets", counters.packets},
          {"bytes", counters.bytes},
          {"payload_bytes", counters.payload_bytes},
          {"lost", counters.lost},
          {"dropped", counters.dropped},
          {"queue_bytes_peak", counters.queue_bytes_peak},
          {"busy_us", microseconds(counters.busy)}};
}

std::int64_t own_cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

void check_names(const json& command) {
  static const std::set<std::string> known{"direction", "rate_bits_per_s", "delay_us", "jitter_us",
                                           "loss",      "queue_bytes",     "stall_us"};
  for (const auto& [name, value] : command.items())
    if (!known.contains(name)) throw std::runtime_error("there is no \"" + name + "\"");
}

void change(Line& line, const json& command, Time now) {
  LineShape shape = line.shape();
  shape.rate_bits_per_s = command.value("rate_bits_per_s", shape.rate_bits_per_s);
  shape.loss = command.value("loss", shape.loss);
  if (command.contains("delay_us")) shape.delay = time_of(command["delay_us"]);
  if (command.contains("jitter_us")) shape.jitter = time_of(command["jitter_us"]);
  if (command.contains("queue_bytes")) {
    shape.queue_bytes.reset();
    if (!command["queue_bytes"].is_null()) shape.queue_bytes = command["queue_bytes"].get<std::uint64_t>();
  }
  line.reshape(shape);
  if (command.contains("stall_us")) line.stall(time_of(command["stall_us"]), now);
}

}  // namespace

std::string obey(const std::string& text, EmulatedLink& link, Time now) {
  try {
    const json command = json::parse(text);
    if (!command.is_object()) throw std::runtime_error("a command is a JSON object");
    check_names(command);
    const std::string direction = command.value("direction", "both");
    if (direction != "both" && direction != "a_to_b" && direction != "b_to_a")
      throw std::runtime_error("there is no direction " + direction);
    if (direction != "b_to_a") change(link.a_to_b(), command, now);
    if (direction != "a_to_b") change(link.b_to_a(), command, now);
    return counters_of(link, now);
  } catch (const std::exception& error) {
    return json{{"error", error.what()}}.dump();
  }
}

std::string counters_of(EmulatedLink& link, Time now) {
  return json{{"time_us", microseconds(now)},
              {"own_cpu_us", own_cpu_us()},
              {"refused", link.refused()},
              {"a_to_b", to_json(link.a_to_b().counters(now))},
              {"b_to_a", to_json(link.b_to_a().counters(now))}}
      .dump();
}

}  // namespace vmferry::bench
