#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>

#include "engine/cli/command.h"
#include "engine/cli/reference.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

struct CatArguments {
  std::string reference;
  std::string at;
};

int run_cat_command(const Settings& settings, const CatArguments& arguments) {
  if (settings.json)
    throw Error(ErrorCode::usage, "cat prints the file itself", {}, "leave --json out, or use `vmferry ls --json`");
  const Reference reference = parse_reference(arguments.reference, arguments.at);
  if (!reference.path)
    throw Error(ErrorCode::usage, "no path is named", arguments.reference, "write it as NAME:[VOLUME]/PATH");
  const Reading reading = open_for_reading(settings);
  const RestorePoint point = resolve_point(reference.point, reading.session(), reading.own_client);
  restore::cat_file(point, *reference.path, restore_options(settings), reading.session(), [](ByteView bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size())
      throw system_error(errno, "cannot write", "standard output");
  });
  if (std::fflush(stdout) != 0) throw system_error(errno, "cannot write", "standard output");
  return exit_done;
}

}  // namespace

void add_cat_command(CLI::App& app, Invocation& invocation) {
  auto arguments = std::make_shared<CatArguments>();
  CLI::App* command = app.add_subcommand("cat", "Write one file to standard output");
  command->footer("Example:\n  vmferry cat web1@latest:/inetpub/wwwroot/web.config");
  command->add_option("reference", arguments->reference, "The file")->required()->type_name("NAME[@POINT]:[VOLUME]/PATH");
  command->add_option("--at", arguments->at, "The newest point not after this local time")->type_name("'2026-11-22 04:00'");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return run_cat_command(invocation.settings, *arguments); };
  });
}

}  // namespace vmferry::cli
