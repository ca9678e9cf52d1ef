// Settings: what every command shares, from the command line, the environment and the configuration file, in this order
// of precedence. The file is TOML: target, catalog, spool_directory, compression, signature_budget_bytes, and how
// targets beyond a line are reached: enrolments, ssh_command, ssh_keys, known_hosts, retry_for, connections, dscp, and
// the table [bandwidth] (engine/cli/bandwidth_table.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/backup/compression_choice.h"
#include "engine/catalog/signature_store.h"
#include "engine/cli/line_settings.h"
#include "engine/cli/rate_schedule.h"

namespace vmferry::cli {

enum class ProgressMode { automatic, always, never };

struct Settings {
  std::string target;                       // a URL; empty: not given
  LineSettings line;
  RateSchedule rates;                       // --bwlimit, else [bandwidth]
  std::filesystem::path catalog;
  std::filesystem::path config;             // as given; empty: the default one, if it is there
  std::filesystem::path spool_directory;
  std::string compression_text;             // as given: "auto", "1" to "19"; empty: not given
  backup::CompressionChoice compression{true, 3};  // what it means
  std::uint64_t signature_budget_bytes = catalog::SignatureStore::budget_bytes_default;
  bool quiet = false;
  bool verbose = false;
  bool json = false;
  std::string progress = "auto";

  ProgressMode progress_mode() const noexcept;
};

// What --bwlimit says, else the configuration's [bandwidth], which is read anew and must be right in both cases. Throws
// Error{usage}.
RateSchedule read_rate_schedule(const Settings& settings);

// Fills what the command line left empty. Throws Error{usage} for a file that is not TOML or has an unknown key.
void complete_settings(Settings& settings);

// "auto" or a zstd level. Throws Error{usage}.
backup::CompressionChoice parse_compression(const std::string& text);

// /etc/vmferry/config.toml as root, else $XDG_CONFIG_HOME/vmferry/config.toml.
std::filesystem::path default_config_file();
// /var/lib/vmferry/catalog.sqlite as root, else $XDG_STATE_HOME/vmferry/catalog.sqlite.
std::filesystem::path default_catalog_file();

}  // namespace vmferry::cli
