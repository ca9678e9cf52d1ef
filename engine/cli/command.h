// Commands of `vmferry`: each cmd_*.cc adds one to the parser and sets `run`, which main() calls once everything is
// parsed. A command prints what it has to say and returns an exit code; failures are thrown.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/backup/backup.h"
#include "engine/cli/progress.h"
#include "engine/cli/settings.h"
#include "engine/cli/target_connection.h"
#include "engine/restore/restore.h"

namespace CLI {
class App;
}

namespace vmferry::cli {

inline constexpr int exit_done = 0;
inline constexpr int exit_warnings = 2;
inline constexpr int exit_damage = 4;

struct Invocation {
  Settings settings;
  std::function<int()> run;
};

void add_backup_command(CLI::App& app, Invocation& invocation);
void add_points_command(CLI::App& app, Invocation& invocation);
void add_ls_command(CLI::App& app, Invocation& invocation);
void add_restore_command(CLI::App& app, Invocation& invocation);
void add_cat_command(CLI::App& app, Invocation& invocation);
void add_verify_command(CLI::App& app, Invocation& invocation);
void add_inspect_command(CLI::App& app, Invocation& invocation);
void add_explain_command(CLI::App& app, Invocation& invocation);
void add_bench_command(CLI::App& app, Invocation& invocation);
void add_enroll_command(CLI::App& app, Invocation& invocation);

// A connection for reading: no catalog is needed, but where there is one its client's own machines come first.
struct Reading {
  Uuid own_client;
  std::unique_ptr<TargetConnection> connection;
  target::TargetSession& session() const { return connection->session(); }
};
Reading open_for_reading(const Settings& settings);

// One object on standard output; adds "exit_code". Returns exit_code.
int print_json(nlohmann::json object, int exit_code);
// Warnings and notes for a person, on standard error.
void print_warnings(const std::vector<Warning>& warnings);
void print_notes(const std::vector<std::string>& notes);

// Shows the events of a restore as progress.
class RestoreProgress final : public restore::RestoreEvents {
 public:
  explicit RestoreProgress(const Settings& settings) : progress_(settings) {}
  void phase(const std::string& name) override { progress_.phase(name); }
  void progress(std::uint64_t done_bytes, std::uint64_t total_bytes) override {
    progress_.update(done_bytes, total_bytes);
  }
  void clear() { progress_.clear(); }

 private:
  Progress progress_;
};

restore::RestoreOptions restore_options(const Settings& settings);

}  // namespace vmferry::cli
