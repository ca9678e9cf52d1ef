#include "target-server/relay/relay.h"

#include <gtest/gtest.h>

#include <future>

#include "protocol/error.h"
#include "tests/support/content.h"

namespace vmferry::target_server {
namespace {

// client <-> [near, far: the relay's] <-> server
class Relay : public testing::Test {
 protected:
  Relay() {
    std::tie(client_, near_) = memory_transport(64 * 1024);
    std::tie(far_, server_) = memory_transport(64 * 1024);
    relaying_ = std::async(std::launch::async, [this] { relay(*near_, *far_); });
  }
  ~Relay() override {
    client_->abort();
    server_->abort();
  }

  static void send(Transport& transport, ByteView bytes) { transport.send(std::span(&bytes, 1)); }
  static Bytes receive_all(Transport& transport) {
    Bytes received, piece(10'000);
    while (const std::size_t count = transport.receive(piece))
      received.insert(received.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
    return received;
  }
  void expect_unreachable(Transport& transport) {
    Bytes into(1);
    EXPECT_THROW(transport.receive(into), Error);
    EXPECT_THROW(relaying_.get(), Error);
  }

  std::unique_ptr<Transport> client_, near_, far_, server_;
  std::future<void> relaying_;
};

TEST_F(Relay, EachDirectionEndsByItselfAndTheRelayAfterBoth) {
  const Bytes question = test::random_bytes(1, 3'000'000), answer = test::random_bytes(2, 3'000'000);
  auto asking = std::async(std::launch::async, [&] {
    send(*client_, question);
    client_->finish_sending();
  });
  EXPECT_TRUE(receive_all(*server_) == question);
  auto answering = std::async(std::launch::async, [&] {
    send(*server_, answer);
    server_->finish_sending();
  });
  EXPECT_TRUE(receive_all(*client_) == answer);
  relaying_.get();
}

TEST_F(Relay, AClientThatBreaksOffIsBrokenOffForTheServerToo) {
  client_->abort();
  expect_unreachable(*server_);
}

TEST_F(Relay, AServerThatBreaksOffIsBrokenOffForTheClientToo) {
  server_->abort();
  expect_unreachable(*client_);
}

TEST_F(Relay, AServerThatDiesWhileTheClientFloodsItEndsTheRelay) {
  auto flooding = std::async(std::launch::async, [&] {
    const Bytes content(100'000);
    EXPECT_THROW(
        {
          for (;;) send(*client_, content);
        },
        Error);
  });
  Bytes into(1000);
  server_->receive(into);
  server_->abort();
  EXPECT_THROW(relaying_.get(), Error);
}

}  // namespace
}  // namespace vmferry::target_server
