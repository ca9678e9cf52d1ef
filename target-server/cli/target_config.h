// The target's configuration, /etc/vmferry/target.toml: what `serve` is not told on its command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace vmferry::target_server {

struct TargetConfig {
  std::string store;
  std::string socket;
  std::vector<std::string> listen;   // "tls://HOST:PORT" or "HOST:PORT"
  std::optional<std::int64_t> sessions, backups, rebuild_level, pin_days, dscp;
};

// Throws Error{usage} for a file that is not TOML, or has a setting that is not known.
TargetConfig read_target_config(const std::filesystem::path& file);

}  // namespace vmferry::target_server
