#include "engine/cli/settings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <toml.hpp>

#include "engine/cli/bandwidth_table.h"
#include "protocol/error.h"
#include "protocol/session/enrolment.h"

namespace vmferry::cli {
namespace fs = std::filesystem;
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

fs::path in_home(const char* xdg_variable, const char* fallback) {
  const std::string xdg = environment(xdg_variable);
  return (xdg.empty() ? fs::path(environment("HOME")) / fallback : fs::path(xdg)) / "vmferry";
}

// `compression` is "auto" or a number; `compression_level`, its former name, a number.
std::string compression_in(const toml::value& values) {
  for (const char* key : {"compression", "compression_level"}) {
    if (!values.contains(key)) continue;
    const toml::value& value = toml::find(values, key);
    return value.is_string() ? toml::get<std::string>(value) : std::to_string(toml::get<std::int64_t>(value));
  }
  return {};
}

// What the command line left open.
void read_line_settings(LineSettings& line, const toml::value& values) {
  const auto paths = [&](std::vector<fs::path>& into, const char* key) {
    if (!into.empty() || !values.contains(key)) return;
    for (const std::string& path : toml::find<std::vector<std::string>>(values, key)) into.emplace_back(path);
  };
  if (line.enrolments.empty()) line.enrolments = toml::find_or<std::string>(values, "enrolments", "");
  if (line.ssh_command.empty()) line.ssh_command = toml::find_or<std::string>(values, "ssh_command", "");
  paths(line.ssh_keys, "ssh_keys");
  paths(line.known_hosts, "known_hosts");
  if (line.retry_for_text.empty()) line.retry_for_text = toml::find_or<std::string>(values, "retry_for", "");
  if (!line.connections) line.connections = toml::find_or<unsigned>(values, "connections", 0);
  if (!line.dscp && values.contains("dscp")) line.dscp = toml::find<unsigned>(values, "dscp");
}

// Where no target is named, and this host has enrolled at one only, that one is meant.
std::string the_one_enrolled(const LineSettings& line) {
  const auto enrolled =
      target::enrolled_targets(line.enrolments.empty() ? target::default_enrolments_directory() : line.enrolments);
  return enrolled.size() == 1 ? "tls://" + to_string(enrolled.front()) : std::string();
}

void read_config(Settings& settings, const fs::path& file) {
  static constexpr std::array known = {"target", "catalog", "spool_directory", "compression", "compression_level",
                                       "signature_budget_bytes", "enrolments", "ssh_command", "ssh_keys",
                                       "known_hosts", "retry_for", "connections", "dscp",
                                       "bandwidth"};
  toml::value values;
  try {
    values = toml::parse(file.string());
    for (const auto& [key, value] : values.as_table())
      if (std::find(known.begin(), known.end(), std::string_view(key)) == known.end())
        throw Error(ErrorCode::usage, "the configuration has a setting that vmferry does not know", file.string(), key);
    if (settings.target.empty()) settings.target = toml::find_or<std::string>(values, "target", "");
    if (settings.catalog.empty()) settings.catalog = toml::find_or<std::string>(values, "catalog", "");
    if (settings.spool_directory.empty())
      settings.spool_directory = toml::find_or<std::string>(values, "spool_directory", "");
    const auto budget = toml::find_or<std::int64_t>(values, "signature_budget_bytes",
                                                    static_cast<std::int64_t>(settings.signature_budget_bytes));
    if (budget < 0)
      throw Error(ErrorCode::usage, "signature_budget_bytes is negative", file.string(), "0 keeps no signatures: no deltas");
    settings.signature_budget_bytes = static_cast<std::uint64_t>(budget);
    if (settings.compression_text.empty()) settings.compression_text = compression_in(values);
    read_line_settings(settings.line, values);
  } catch (const toml::exception& error) {
    throw Error(ErrorCode::usage, "cannot read the configuration", file.string(), error.what());
  } catch (const std::runtime_error& error) {  // toml11 throws it for a file that it cannot open
    if (dynamic_cast<const Error*>(&error) != nullptr) throw;
    throw Error(ErrorCode::usage, "cannot read the configuration", file.string(), error.what());
  }
}

}  // namespace

RateSchedule read_rate_schedule(const Settings& settings) {
  const RateSchedule written = read_bandwidth(settings.config.empty() ? default_config_file() : settings.config);
  return settings.line.bwlimit_text.empty() ? written : RateSchedule{parse_rate(settings.line.bwlimit_text), {}};
}

ProgressMode Settings::progress_mode() const noexcept {
  if (quiet || progress == "never") return ProgressMode::never;
  return progress == "always" ? ProgressMode::always : ProgressMode::automatic;
}

fs::path default_config_file() {
  if (geteuid() == 0) return "/etc/vmferry/config.toml";
  return in_home("XDG_CONFIG_HOME", ".config") / "config.toml";
}

fs::path default_catalog_file() {
  if (geteuid() == 0) return "/var/lib/vmferry/catalog.sqlite";
  return in_home("XDG_STATE_HOME", ".local/state") / "catalog.sqlite";
}

void complete_settings(Settings& settings) {
  if (settings.target.empty()) settings.target = environment("VMFERRY_TARGET");
  std::error_code missing;
  const fs::path config = settings.config.empty() ? default_config_file() : settings.config;
  if (!settings.config.empty() || fs::exists(config, missing)) read_config(settings, config);
  if (settings.catalog.empty()) settings.catalog = default_catalog_file();
  if (settings.spool_directory.empty()) settings.spool_directory = environment("TMPDIR");
  if (settings.spool_directory.empty()) settings.spool_directory = "/var/tmp";
  complete_line_settings(settings.line);
  settings.rates = read_rate_schedule(settings);
  if (settings.target.empty()) settings.target = the_one_enrolled(settings.line);
  settings.compression = parse_compression(settings.compression_text.empty() ? "auto" : settings.compression_text);
}

backup::CompressionChoice parse_compression(const std::string& text) {
  backup::CompressionChoice choice;
  if (text == "auto") {
    choice.automatic = true;
    return choice;
  }
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), choice.level);
  if (fault != std::errc() || end != text.data() + text.size() || choice.level < backup::CompressionChoice::level_min ||
      choice.level > backup::CompressionChoice::level_max)
    throw Error(ErrorCode::usage, "not a kind of compression", text,
                "auto (follows the link, the default), or a number from 1 (fast) to 19 (small)");
  return choice;
}

}  // namespace vmferry::cli
