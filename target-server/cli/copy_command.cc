#include "target-server/cli/copy_command.h"

#include <CLI/CLI.hpp>
#include <chrono>

#include "protocol/error.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/size_text.h"

namespace vmferry::target_server {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds progress_every{500};

Json json_of(const PointSummary& point) {
  return {{"name", point.machine_name},
          {"point", point.number},
          {"id", to_hex(point.uuid.view())},
          {"client", point.client_name},
          {"client_uuid", point.client_uuid.to_string()},
          {"data_bytes", point.data_bytes},
          {"new_bytes", point.new_bytes}};
}

// Says what happens as it happens, and keeps it for the end.
class Report final : public CopyEvents {
 public:
  Report(const CopySessions& sessions, std::size_t points, const Invocation& invocation)
      : far_(&sessions.near == &sessions.from ? sessions.to : sessions.from),
        points_(points),
        invocation_(invocation),
        before_(far_.counts()),
        began_(Clock::now()) {}

  void begins(const PointSummary& point) override {
    now_ = name_of(point);
    ++at_;
    show();
  }

  void tick() override {
    if (Clock::now() - shown_ >= progress_every) show();
  }

  void copied(const CopiedPoint& done) override {
    const std::uint64_t bytes = far_bytes();
    Json json = json_of(done.point);
    json["sent_chunks"] = done.counts.sent_chunks;
    json["sent_nodes"] = done.counts.sent_nodes;
    json["frame_bytes"] = done.counts.frame_bytes;
    json["delta_bytes"] = done.counts.delta_bytes;
    json["whole_again_chunks"] = done.counts.whole_again;
    copied_.push_back(std::move(json));
    chunks_ += done.counts.sent_chunks + done.counts.sent_nodes;
    say("copied     " + name_of(done.point) + ", " + size_text(bytes - told_) + "\n");
    told_ = bytes;
  }

  void failed(const PointSummary& point, const Error& error) override {
    Json json = json_of(point);
    json["error"] = {{"code", error_code_name(error.code())}, {"message", error.what()}};
    fail(name_of(point), error, std::move(json));
  }

  void fail(const std::string& what, const Error& error, Json json) {
    failed_.push_back(std::move(json));
    exit_code_ = std::max(exit_code_, exit_code_for(error.code()));
    say("NOT COPIED " + what + ": " + error.what() + "\n");
  }

  Outcome outcome(const CopySessions& sessions, std::uint64_t there) {
    const TransportCounts counts = far_.counts();
    const Json facts = {{"from", sessions.from.facts().store_uuid.to_string()},
                        {"to", sessions.to.facts().store_uuid.to_string()},
                        {"copied", copied_},
                        {"there_already", there},
                        {"failed", failed_},
                        {"chunks", chunks_},
                        {"sent_bytes", counts.sent_bytes - before_.sent_bytes},
                        {"received_bytes", counts.received_bytes - before_.received_bytes},
                        {"elapsed_ms", elapsed_ms()}};
    return {std::to_string(copied_.size()) + " restore points copied, " + std::to_string(there) +
                " were there already" + (failed_.empty() ? "" : ", " + std::to_string(failed_.size()) + " NOT COPIED") +
                "; " + size_text(far_bytes()) + " over the line\n",
            json_members(facts), exit_code_};
  }

 private:
  std::int64_t elapsed_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_).count();
  }

  // Over the line to the other store, both ways.
  std::uint64_t far_bytes() const {
    const TransportCounts counts = far_.counts();
    return counts.sent_bytes - before_.sent_bytes + counts.received_bytes - before_.received_bytes;
  }

  void say(const std::string& text) const {
    if (!invocation_.json) invocation_.print_now({text, {}});
  }

  void show() {
    shown_ = Clock::now();
    invocation_.progress(now_ + " (" + std::to_string(at_) + " of " + std::to_string(points_) + "): " +
                         size_text(far_bytes() - told_));
  }

  target::TargetSession& far_;
  const std::size_t points_;
  const Invocation& invocation_;
  const TransportCounts before_;
  const Clock::time_point began_;
  Clock::time_point shown_{};
  std::string now_;
  std::size_t at_ = 0;
  std::uint64_t told_ = 0, chunks_ = 0;
  Json copied_ = Json::array(), failed_ = Json::array();
  int exit_code_ = 0;
};

Outcome dry_run(const CopyPlan& plan) {
  Json points = Json::array();
  std::string text;
  for (const PointSummary& point : plan.missing) {
    points.push_back(json_of(point));
    text += "would copy " + name_of(point) + ", " + size_text(point.data_bytes) + " of data, " +
            size_text(point.new_bytes) + " new when it was made\n";
  }
  Json conflicts = Json::array();
  for (const CopyPlan::Conflict& conflict : plan.conflicts) conflicts.push_back(json_of(conflict.ours));
  text += std::to_string(plan.missing.size()) + " restore points to copy, " + std::to_string(plan.there.size()) +
          " are there already" +
          (plan.conflicts.empty() ? "" : ", " + std::to_string(plan.conflicts.size()) + " cannot be copied") +
          ". Nothing was changed.\n";
  return {text, json_members({{"dry_run", true},
                              {"would_copy", points},
                              {"there_already", plan.there.size()},
                              {"conflicts", conflicts}})};
}

}  // namespace

void add_copy_options(CLI::App& command, CopyArguments& arguments, const std::string& other_option) {
  command.add_option("--store", arguments.directory, "the store at hand: its directory")->required()->type_name("DIR");
  command.add_option(other_option, arguments.url, "the other store: tls://HOST, ssh://HOST/DIR, file:///DIR or unix:///SOCKET")
      ->required()
      ->type_name("URL");
  command.add_option("names", arguments.names, "only these machines or points; default: all that there are")
      ->type_name("NAME[@POINT]");
  command.add_flag("--no-delta", arguments.no_delta, "send changed chunks whole");
  command.add_flag("--dry-run", arguments.dry_run, "only say what would be copied");
  add_line_options(command, arguments.line);
}

Outcome copy_command(const CopyArguments& arguments, const CopySessions& sessions,
                     const std::vector<store::DamagedPoint>& damaged, const Invocation& invocation) {
  check_same_domain(sessions.from, sessions.to);
  const std::vector<PointSummary> all = sessions.from.points();
  const CopyPlan plan = plan_copy(all, select_points(all, arguments.names), sessions.to.points());
  if (arguments.dry_run) return dry_run(plan);
  Report report(sessions, plan.missing.size(), invocation);
  for (const CopyPlan::Conflict& conflict : plan.conflicts)
    report.failed(conflict.ours, Error(ErrorCode::refused, "the other store has another restore point of this number",
                                       conflict.theirs.uuid.to_string(),
                                       "the machine was backed up to both stores; each keeps its own"));
  if (arguments.names.empty())
    for (const store::DamagedPoint& point : damaged)
      report.fail(point.file, Error(ErrorCode::damaged, point.reason),
                  {{"file", point.file}, {"error", {{"code", "damaged"}, {"message", point.reason}}}});
  FerryOptions options;
  options.deltas = !arguments.no_delta;
  copy_points(sessions, plan.missing, plan.both, options, report);
  return report.outcome(sessions, plan.there.size());
}

}  // namespace vmferry::target_server
