// The suite, and the far end of those transports that need a program there: `--bridge SOCKET` copies between its
// standard input and output and a Unix socket.
#include <gtest/gtest.h>

#include <cstdio>
#include <string_view>

#include "protocol/transport/standard_io.h"
#include "target-server/relay/relay.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--bridge") {
    try {
      const auto near = vmferry::standard_io_transport();
      const auto far = vmferry::connect_unix(argv[2]);
      vmferry::target_server::relay(*near, *far);
      return 0;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "bridge: %s\n", error.what());
      return 1;
    }
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
