#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "engine/cli/command.h"
#include "engine/cli/interrupts.h"
#include "engine/cli/output.h"
#include "engine/cli/reference.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct VerifyArguments {
  std::string reference;
  std::string at;
  bool pull = false;
};

target::VerifyResult verify_at_target(const RestorePoint& point, const Settings& settings,
                                      target::TargetSession& session) {
  Progress progress(settings);
  progress.phase("verifying at the target");
  return session.verify(point.uuid, [&](std::uint64_t done, std::uint64_t total) {
    if (cancelled()) throw Error(ErrorCode::cancelled, "the verification was stopped");
    progress.update(done, total);
  });
}

int run_verify_command(const Settings& settings, const VerifyArguments& arguments) {
  const Reference reference = parse_reference(arguments.reference, arguments.at);
  if (reference.path)
    throw Error(ErrorCode::usage, "a restore point is verified whole", arguments.reference, "write it as NAME[@POINT]");
  const Reading reading = open_for_reading(settings);
  const RestorePoint point = resolve_point(reference.point, reading.session(), reading.own_client);
  target::VerifyResult result;
  if (arguments.pull) {
    RestoreProgress progress(settings);
    result = restore::verify_by_pulling(point, restore_options(settings), reading.session(), progress, cancelled());
  } else {
    result = verify_at_target(point, settings, reading.session());
  }
  const int exit_code = result.damage.empty() ? exit_done : exit_damage;
  if (settings.json) {
    nlohmann::json object{{"name", point.machine_name}, {"point", point.number},   {"id", to_hex(point.uuid.view())},
                          {"chunks", result.chunks},    {"bytes", result.bytes},   {"pulled", arguments.pull},
                          {"damage", result.damage}};
    if (!result.damage.empty()) object["error"] = {{"code", "damaged"}, {"message", result.damage.front()}};
    return print_json(std::move(object), exit_code);
  }
  for (const std::string& damage : result.damage) std::fprintf(stderr, "damage: %s\n", printable(damage).c_str());
  if (result.damage.empty()) {
    if (!settings.quiet)
      std::printf("%s point %llu is whole: %s in %s chunks read back and checked %s\n",
                  printable(point.machine_name).c_str(), static_cast<unsigned long long>(point.number),
                  human_bytes(result.bytes).c_str(), human_count(result.chunks).c_str(),
                  arguments.pull ? "by this host" : "at the target");
  } else {
    std::fprintf(stderr,
                 "%s point %llu is damaged. Back the machine up again: what is damaged counts as missing, and is sent where the "
                 "disk still has it. Then verify again, and look at the store's disk.\n",
                 printable(point.machine_name).c_str(), static_cast<unsigned long long>(point.number));
  }
  return exit_code;
}

}  // namespace

void add_verify_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* command = app.add_subcommand("verify", "Read every byte of a point back and check it");
  command->footer("Examples:\n  vmferry verify web1\n  vmferry verify web1@12 --pull    # over the line, by this host");
  command->add_option("reference", arguments->reference, "The point")->required()->type_name("NAME[@POINT]");
  command->add_flag("--pull", arguments->pull, "Bring every byte here and check it here");
  command->add_option("--at", arguments->at, "The newest point not after this local time")->type_name("'2026-11-22 04:00'");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_verify_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
