#include "target-server/store/pins.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <tuple>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::store {
namespace {

constexpr std::uint64_t pin_bytes_max = 4096;
constexpr std::int64_t seconds_per_day = 24 * 60 * 60;
constexpr std::int64_t kept_unread_days = 30;  // what cannot be understood

std::filesystem::path file_of(const std::filesystem::path& store, const Uuid& client, const Uuid& machine) {
  return store / "pins" / client.to_string() / machine.to_string();
}

std::string encode(const Pin& pin) {
  return "client " + pin.client.to_string() + "\nmachine " + pin.machine.to_string() + "\nsince " +
         std::to_string(pin.since) + "\nuntil " + std::to_string(pin.until) + "\nname " + pin.machine_name + "\n";
}

std::int64_t seconds_of(std::string_view text) {
  std::int64_t seconds = 0;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return seconds;
}

// client and machine are those of the file's place.
void decode(ByteView text, Pin& pin) {
  std::istringstream lines{std::string(as_text(text))};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string word = line.substr(0, space), value = line.substr(std::min(space + 1, line.size()));
    if (word == "since") pin.since = seconds_of(value);
    if (word == "until") pin.until = seconds_of(value);
    if (word == "name") pin.machine_name = value;
  }
}

std::optional<Pin> read_pin(const std::filesystem::path& file, const Uuid& client, const Uuid& machine) {
  const std::optional<FileFacts> facts = facts_of(file);
  if (!facts) return std::nullopt;
  Pin pin{client, machine, {}, 0, 0};
  try {
    decode(read_whole(file, pin_bytes_max), pin);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_found) return std::nullopt;  // its backup was committed just now
  }
  if (pin.until == 0) pin.until = facts->modified_ns / 1'000'000'000 + kept_unread_days * seconds_per_day;
  return pin;
}

}  // namespace

void write_pin(const std::filesystem::path& store, const Uuid& client, const Uuid& machine, const std::string& machine_name,
               std::int64_t now, unsigned days) {
  Pin pin{client, machine, machine_name, now, now + days * seconds_per_day};
  for (const Pin& other : read_pins(store)) {
    if (other.until < now) {
      remove_pin(store, other.client, other.machine);
    } else if (other.client == client && other.machine == machine) {
      pin.since = std::min(other.since, now);
    }
  }
  const std::filesystem::path file = file_of(store, client, machine);
  make_directory(file.parent_path());
  const std::string text = encode(pin);
  write_durably(file, as_bytes(text), Existing::replace);
}

void remove_pin(const std::filesystem::path& store, const Uuid& client, const Uuid& machine) {
  remove_durably(file_of(store, client, machine));
}

std::vector<Pin> read_pins(const std::filesystem::path& store) {
  std::vector<Pin> pins;
  for (const std::string& client_name : names_in(store / "pins")) {
    const std::optional<Uuid> client = Uuid::parse(client_name);
    if (!client) continue;
    for (const std::string& machine_name : names_in(store / "pins" / client_name)) {
      const std::optional<Uuid> machine = Uuid::parse(machine_name);
      if (!machine) continue;
      if (auto pin = read_pin(file_of(store, *client, *machine), *client, *machine)) pins.push_back(std::move(*pin));
    }
  }
  std::ranges::sort(pins, {}, [](const Pin& pin) { return std::tie(pin.client, pin.machine); });
  return pins;
}

}  // namespace vmferry::store
