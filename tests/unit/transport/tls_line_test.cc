// A bad line under TLS: whatever it does to the bytes, wrong ones are never given out, and no cut looks like an end.
#include <gmock/gmock.h>

#include <future>
#include <thread>

#include "tests/support/byte_proxy.h"
#include "tests/support/content.h"
#include "tests/unit/transport/tls_fixture.h"

namespace vmferry {
namespace {

using namespace test;
using Kind = ByteFault::Kind;

class TlsLineTest : public testing::Test {
 protected:
  // Sends content and its end over a line with this fault. What arrived, and whether the end was clean.
  struct Arrived {
    Bytes content;
    bool clean = false;
    std::optional<ErrorCode> fault;
  };
  Arrived carry(const ByteFault& fault) {
    proxy_.set_faults(fault);
    listener_.reset();
    listener_ = listen_tls(where_, target_identity());
    std::promise<void> over;
    // A longer length in the last record's head makes the receiver wait for what never comes. That such a line is dead
    // is for the link to notice; here it is cut.
    std::thread patience([&, done = over.get_future()] {
      if (done.wait_for(std::chrono::seconds(3)) != std::future_status::ready) proxy_.reset_all();
    });
    std::thread client([&] { send_content(); });
    Arrived arrived;
    if (auto accepted = listener_->accept()) {
      receive_all(*accepted->transport, arrived);
      accepted->transport->abort();
    }
    client.join();
    over.set_value();
    patience.join();
    return arrived;
  }

  void send_content() {
    try {
      auto options = options_for(target_identity());
      options.timeout = std::chrono::milliseconds(3000);
      const auto client = connect_tls(proxy_.address(), options);
      send(*client, content_);
      client->finish_sending();
      receive(*client, 1);  // until the other side has had enough
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unreachable) << error.what();
    }
    listener_->stop();  // it may never have got as far as being accepted
  }

  static void receive_all(Transport& transport, Arrived& arrived) {
    Bytes into(10'000);
    try {
      while (const std::size_t count = transport.receive(into))
        arrived.content.insert(arrived.content.end(), into.begin(), into.begin() + static_cast<std::ptrdiff_t>(count));
      arrived.clean = true;
    } catch (const Error& error) {
      arrived.fault = error.code();
    }
  }

  bool is_a_beginning(const Bytes& content) const {
    return content.size() <= content_.size() && std::equal(content.begin(), content.end(), content_.begin());
  }

  const Bytes content_ = random_bytes(1, 100'000);
  std::unique_ptr<TlsListener> listener_ = listen_tls({"127.0.0.1", 0}, target_identity());
  const HostPort where_ = listener_->address();
  ByteProxy proxy_{where_};
};

TEST_F(TlsLineTest, AGoodLineCarriesEverythingAndItsEnd) {
  const Arrived arrived = carry({});
  EXPECT_TRUE(arrived.clean);
  EXPECT_EQ(arrived.content, content_);
  EXPECT_GT(proxy_.up_bytes(), content_.size());
}

TEST_F(TlsLineTest, AFlippedByteAnywhereEndsWithUnreachableAndNothingWrongIsGivenOut) {
  carry({});
  const std::uint64_t all_bytes = proxy_.up_bytes();
  for (std::uint64_t at = 0; at < all_bytes; at += all_bytes / 40) {
    const Arrived arrived = carry({Kind::flip, at});
    EXPECT_FALSE(arrived.clean) << at;
    EXPECT_TRUE(is_a_beginning(arrived.content)) << at;
    EXPECT_EQ(arrived.fault.value_or(ErrorCode::unreachable), ErrorCode::unreachable) << at;
  }
}

TEST_F(TlsLineTest, ACutAnywhereIsNoCleanEnd) {
  carry({});
  const std::uint64_t all_bytes = proxy_.up_bytes();
  for (const Kind kind : {Kind::reset, Kind::end}) {
    // A signature's length varies by a byte or two from one connection to the next.
    for (std::uint64_t at = 1; at < all_bytes; at += (all_bytes - 2) / 20) {
      const Arrived arrived = carry({kind, at});
      EXPECT_FALSE(arrived.clean) << at;
      EXPECT_TRUE(is_a_beginning(arrived.content)) << at;
    }
    EXPECT_FALSE(carry({kind, all_bytes - 8}).clean) << "inside the close";
  }
  EXPECT_TRUE(carry({Kind::end, all_bytes + 8}).clean);
}

TEST_F(TlsLineTest, AReceiverOfAResetLineIsWokenOnBothSides) {
  const TlsPair pair = connected_pair(*listener_, proxy_.address());
  for (Transport* end : {pair.client.get(), pair.server.get()}) {
    auto code = std::async(std::launch::async, [&] { return error_of([&] { receive(*end, 1); }).code(); });
    proxy_.reset_all();
    EXPECT_EQ(code.get(), ErrorCode::unreachable);
  }
}

TEST_F(TlsLineTest, ASenderIntoAStalledLineIsWokenByItsOwnAbort) {
  proxy_.set_faults({Kind::stall, 100'000});
  const TlsPair pair = connected_pair(*listener_, proxy_.address());
  const Bytes much = random_bytes(2, 32 << 20);
  auto code = std::async(std::launch::async, [&] { return error_of([&] { send(*pair.client, much); }).code(); });
  receive(*pair.server, 1);  // so it has begun
  pair.client->abort();
  EXPECT_EQ(code.get(), ErrorCode::unreachable);
}

}  // namespace
}  // namespace vmferry
