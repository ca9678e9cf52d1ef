// The bytes of a relay's preamble, as docs/format/relay.md shows them.
#include <gtest/gtest.h>

#include "target-server/relay/preamble.h"
#include "tests/golden/formats/doc_examples.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t header_bytes = 8;

TEST(FormatExamples, RelayPreamble) {
  for (const auto& [name, preamble] : {std::pair("client", RelayPreamble{"web"}), std::pair("owner", RelayPreamble{})}) {
    const Bytes example = test::example_bytes("relay.md", name);
    EXPECT_EQ(to_hex(encode_relay_preamble(preamble)), to_hex(example));
    EXPECT_EQ(ByteReader(example).u32(), relay_magic);
    EXPECT_EQ(parse_relay_preamble(ByteView(example).subspan(header_bytes)), preamble);
  }
}

TEST(FormatExamples, RelayTaken) {
  const Bytes example = test::example_bytes("relay.md", "taken");
  const auto [server, relay] = memory_transport();
  send_relay_taken(*server);
  Bytes sent(example.size() + 1);
  sent.resize(relay->receive(sent));
  EXPECT_EQ(to_hex(sent), to_hex(example));
}

}  // namespace
}  // namespace vmferry::target_server
