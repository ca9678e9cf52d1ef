// What connections cost that nothing happens on: 200 of them must not matter to a server.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/content.h"
#include "tests/unit/transport/tls_fixture.h"

namespace vmferry {
namespace {

using namespace test;

std::size_t resident_bytes() {
  std::size_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(TlsMemory, AnIdleConnectionTakesLessThan64KiBAtEachEnd) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's memory is not ours";
#endif
  constexpr std::size_t count = 200;
  const auto listener = listen_tls({"127.0.0.1", 0}, target_identity());
  std::vector<TlsPair> pairs;
  pairs.push_back(connected_pair(*listener, listener->address()));  // what is made once is made
  const Bytes packet = random_bytes(1, 1000);
  const std::size_t before = resident_bytes();
  for (std::size_t i = 0; i < count; ++i) {
    TlsPair pair = connected_pair(*listener, listener->address());
    send(*pair.client, packet);
    EXPECT_EQ(receive(*pair.server, packet.size()), packet);
    send(*pair.server, packet);
    EXPECT_EQ(receive(*pair.client, packet.size()), packet);
    pairs.push_back(std::move(pair));
  }
  const std::size_t each = (resident_bytes() - before) / (2 * count);
  RecordProperty("bytes_for_each_end", static_cast<int>(each));
  std::printf("an idle end takes %zu bytes\n", each);
  EXPECT_LT(each, 64u * 1024);
}

}  // namespace
}  // namespace vmferry
