// What push and pull share: their arguments, and what they say.
#pragma once

#include <string>
#include <vector>

#include "target-server/cli/commands.h"
#include "target-server/cli/line_options.h"
#include "target-server/replicate/copy_points.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

struct CopyArguments {
  std::string directory;  // of the store at hand
  std::string url;        // of the other one
  std::vector<std::string> names;
  LineArguments line;
  bool dry_run = false;
  bool no_delta = false;
};

// --store, the other store's option ("--to"), the names, --dry-run.
void add_copy_options(CLI::App& command, CopyArguments& arguments, const std::string& other_option);

// damaged: points that the store cannot read, which are not in its list.
Outcome copy_command(const CopyArguments& arguments, const CopySessions& sessions,
                     const std::vector<store::DamagedPoint>& damaged, const Invocation& invocation);

}  // namespace vmferry::target_server
