#include "target-server/cli/target_config.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <toml.hpp>

#include "protocol/error.h"

namespace vmferry::target_server {
namespace {

constexpr std::array<std::string_view, 8> known = {"store",         "socket",   "listen", "sessions", "backups",
                                                   "rebuild_level", "pin_days", "dscp"};

std::optional<std::int64_t> number_in(const toml::value& values, const char* key) {
  if (!values.contains(key)) return std::nullopt;
  return toml::find<std::int64_t>(values, key);
}

std::vector<std::string> listen_in(const toml::value& values) {
  if (!values.contains("listen")) return {};
  const toml::value& listen = toml::find(values, "listen");
  if (listen.is_string()) return {toml::get<std::string>(listen)};
  return toml::get<std::vector<std::string>>(listen);
}

}  // namespace

TargetConfig read_target_config(const std::filesystem::path& file) {
  try {
    const toml::value values = toml::parse(file.string());
    for (const auto& [key, value] : values.as_table())
      if (std::ranges::find(known, key) == known.end())
        throw Error(ErrorCode::usage, "the configuration has a setting that vmferry-target does not know", file.string(),
                    key);
    TargetConfig config;
    config.store = toml::find_or<std::string>(values, "store", "");
    config.socket = toml::find_or<std::string>(values, "socket", "");
    config.listen = listen_in(values);
    config.sessions = number_in(values, "sessions");
    config.backups = number_in(values, "backups");
    config.rebuild_level = number_in(values, "rebuild_level");
    config.pin_days = number_in(values, "pin_days");
    config.dscp = number_in(values, "dscp");
    return config;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {  // toml11: not TOML, another type, or a file that it cannot open
    throw Error(ErrorCode::usage, "cannot read the configuration", file.string(), error.what());
  }
}

}  // namespace vmferry::target_server
