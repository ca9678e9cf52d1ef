#include "engine/cli/settings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <toml.hpp>

#include "protocol/error.h"

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

void read_config(Settings& settings, const fs::path& file) {
  static constexpr std::array known = {"target", "catalog", "spool_directory", "compression", "compression_level",
                                       "signature_budget_bytes"};
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
  } catch (const toml::exception& error) {
    throw Error(ErrorCode::usage, "cannot read the configuration", file.string(), error.what());
  } catch (const std::runtime_error& error) {  // toml11 throws it for a file that it cannot open
    if (dynamic_cast<const Error*>(&error) != nullptr) throw;
    throw Error(ErrorCode::usage, "cannot read the configuration", file.string(), error.what());
  }
}

}  // namespace

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
