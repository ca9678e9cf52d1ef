#include "engine/cli/command.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/catalog/catalog.h"
#include "engine/cli/output.h"
#include "protocol/error.h"

namespace vmferry::cli {
namespace {

target::ClientFacts stranger() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return {Uuid::random(), host.data()};
}

}  // namespace

Reading open_for_reading(const Settings& settings) {
  target::ClientFacts client = stranger();
  std::error_code missing;
  if (std::filesystem::exists(settings.catalog, missing)) {
    // A catalog that cannot be opened must not stop a restore.
    try {
      const auto identity = catalog::Catalog::open(settings.catalog)->client();
      client = {identity.uuid, identity.name};
    } catch (const Error&) {
    }
  }
  return {client.uuid, connect_target(settings, client, Access::read)};
}

int print_json(nlohmann::json object, int exit_code) {
  object["exit_code"] = exit_code;
  // Names from a guest may be no UTF-8: they are replaced, not refused.
  const std::string text = object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  return exit_code;
}

void print_warnings(const std::vector<Warning>& warnings) {
  for (const Warning& warning : warnings)
    std::fprintf(stderr, "warning: %s%s%s\n", printable(warning.object).c_str(), warning.object.empty() ? "" : ": ",
                 printable(warning.message).c_str());
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", printable(note).c_str());
}

restore::RestoreOptions restore_options(const Settings& settings) {
  restore::RestoreOptions options;
  options.spool_directory = settings.spool_directory;
  return options;
}

}  // namespace vmferry::cli
