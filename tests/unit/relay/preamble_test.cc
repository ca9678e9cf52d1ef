#include "target-server/relay/preamble.h"

#include <gtest/gtest.h>

#include <thread>

#include "protocol/error.h"

namespace vmferry::target_server {
namespace {

ErrorCode code_of(std::string_view payload) {
  try {
    parse_relay_preamble(as_bytes(payload));
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "taken: " << payload;
  return ErrorCode::failed;
}

TEST(RelayPreamble, WhatIsNoPreambleIsRefusedAndNeverHalfBelieved) {
  for (const std::string_view payload :
       {"client web", "client web\nclient db\n", "client \n", "client ../web\n", "client .web\n", "client -web\n",
        "client we b\n", "client web\r\n", "role owner\n", "client web\nread-only\n", "\n", "clientweb\n"})
    EXPECT_EQ(code_of(payload), ErrorCode::malformed) << payload;
  EXPECT_EQ(code_of("client " + std::string(256, 'a') + "\n"), ErrorCode::malformed);
  EXPECT_EQ(code_of(std::string_view("client w\0b\n", 11)), ErrorCode::malformed);
}

TEST(RelayPreamble, TheLongestNameComesBackAsItWas) {
  const RelayPreamble preamble{std::string(255, 'a')};
  const Bytes bytes = encode_relay_preamble(preamble);
  EXPECT_EQ(parse_relay_preamble(ByteView(bytes).subspan(8)), preamble);
}

class Receiving : public testing::Test {
 protected:
  void send(ByteView bytes) { ends_.first->send(std::span(&bytes, 1)); }
  std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> ends_ = memory_transport();
};

TEST_F(Receiving, OfWhatFollowsThePreambleNothingIsTaken) {
  const Bytes bytes = encode_relay_preamble({"web"});
  send(ByteView(bytes).subspan(4));
  send(as_bytes("session"));
  EXPECT_EQ(receive_relay_preamble(*ends_.second).client, "web");
  Bytes rest(100);
  EXPECT_EQ(ends_.second->receive(rest), 7u);
}

TEST_F(Receiving, ALengthThatNoPreambleHasIsRefusedBeforeThereIsRoomMadeForIt) {
  ByteWriter length;
  length.u32(0xffffffff);
  send(length.view());
  try {
    receive_relay_preamble(*ends_.second);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::malformed);
  }
}

TEST_F(Receiving, APreambleThatIsCutOffIsABrokenLine) {
  const Bytes bytes = encode_relay_preamble({"web"});
  send(ByteView(bytes).subspan(4, 9));
  ends_.first->finish_sending();
  try {
    receive_relay_preamble(*ends_.second);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
  }
}

}  // namespace
}  // namespace vmferry::target_server
