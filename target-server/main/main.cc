#include "target-server/cli/commands.h"

int main(int argc, char** argv) { return vmferry::target_server::run_command_line(argc, argv); }
