// What every transport must do. A new one adds its factory to the list at the end, and no test of its own.
#include "protocol/transport/transport.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/transport/program_transport.h"
#include "protocol/transport/ssh.h"
#include "protocol/transport/tls.h"
#include "tests/support/content.h"
#include "tests/support/link_pair.h"
#include "tests/support/sshd.h"
#include "tests/support/temporary_directory.h"

namespace vmferry {
namespace {

using limits::MiB;

struct Ends {
  std::unique_ptr<Transport> one, other;
};

struct Factory {
  const char* name;
  Ends (*make)();
  std::uint64_t framing_bytes_max = 0;  // that counts() may have beyond what was sent
};

Ends memory_ends() {
  auto [one, other] = memory_transport(64 * 1024);
  return {std::move(one), std::move(other)};
}

Ends unix_ends() {
  const test::TemporaryDirectory directory;
  const auto listener = listen_unix(directory / "socket");
  Ends ends;
  ends.one = connect_unix(directory / "socket");
  ends.other = listener->accept();
  return ends;
}

// A program's ends, by way of this one's --bridge (main.cc): standard input and output here and there.
Ends program_ends() {
  const test::TemporaryDirectory directory;
  const auto listener = listen_unix(directory / "socket");
  Ends ends;
  ends.one = run_program({std::filesystem::read_symlink("/proc/self/exe"), "--bridge", directory / "socket"});
  ends.other = listener->accept();
  return ends;
}

// The same seen from the far side.
Ends standard_io_ends() {
  Ends ends = program_ends();
  std::swap(ends.one, ends.other);
  return ends;
}

// A command's ends over a real sshd; there, too, it is this program's --bridge. All of them share one connection, which
// is what a link makes of it.
Ends ssh_ends() {
  static test::Sshd sshd;
  static const auto connection = SshConnection::open(
      {{}, "127.0.0.1", sshd.port(), {}},
      {.key_files = {sshd.add_user_key("ed25519")}, .known_hosts = {sshd.known_hosts()}, .dscp = {}});
  const test::TemporaryDirectory directory;
  const auto listener = listen_unix(directory / "socket");
  Ends ends;
  ends.one = connection->run(std::filesystem::read_symlink("/proc/self/exe").string() + " --bridge " +
                             (directory / "socket").string());
  ends.other = listener->accept();
  return ends;
}

Ends ssh_ends_turned() {
  Ends ends = ssh_ends();
  std::swap(ends.one, ends.other);
  return ends;
}

Ends tls_ends() {
  static const TlsIdentity server = make_tls_identity("target", std::chrono::days(1)),
                           client = make_tls_identity("controller", std::chrono::days(1));
  const auto listener = listen_tls({"127.0.0.1", 0}, server);
  Ends ends;
  ends.one = connect_tls(listener->address(), {.identity = client, .server = fingerprint_of(server), .dscp = {}});
  ends.other = std::move(listener->accept().value().transport);
  return ends;
}

// The pipe has no favourite end: `one` is the accepting side here.
Ends tls_ends_turned() {
  Ends ends = tls_ends();
  std::swap(ends.one, ends.other);
  return ends;
}

// An end of a link, which keeps the target's side alive.
class LinkedEnd final : public Transport {
 public:
  LinkedEnd(std::shared_ptr<test::LinkTarget> target, std::unique_ptr<Transport> end)
      : target_(std::move(target)), end_(std::move(end)) {}
  void send(std::span<const ByteView> parts) override { end_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override { return end_->receive(into); }
  void finish_sending() override { end_->finish_sending(); }
  void abort() noexcept override { end_->abort(); }
  TransportCounts counts() const noexcept override { return end_->counts(); }

 private:
  const std::shared_ptr<test::LinkTarget> target_;
  const std::unique_ptr<Transport> end_;
};

template <unsigned lines>
Ends link_ends() {
  link::LinkOptions options;
  options.lines_max = lines;
  options.line_more_after_bytes = 0;
  options.limits.window_bytes = 2 * MiB;
  test::LinkPair pair = test::link_pair(options, {.limits = options.limits});
  return {std::make_unique<LinkedEnd>(pair.target, std::move(pair.client)),
          std::make_unique<LinkedEnd>(pair.target, std::move(pair.server))};
}

void send(Transport& transport, ByteView bytes) {
  const std::array<ByteView, 1> parts = {bytes};
  transport.send(parts);
}

// Everything up to `count` bytes or the end.
Bytes receive(Transport& transport, std::size_t count, std::size_t at_once = 128 * 1024) {
  Bytes received(count);
  std::size_t have = 0;
  while (have < count) {
    const std::size_t more =
        transport.receive(std::span(received).subspan(have, std::min(at_once, count - have)));
    if (more == 0) break;
    have += more;
  }
  received.resize(have);
  return received;
}

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::failed;
}

class TransportTest : public testing::TestWithParam<Factory> {
 protected:
  Ends ends_ = GetParam().make();
};

TEST_P(TransportTest, PartsArriveInOrderAsOneStreamOfBytes) {
  const Bytes first = test::random_bytes(1, 3), second = test::random_bytes(2, 100'000),
              third = test::random_bytes(3, 1);
  std::thread sender([&] {
    const std::array<ByteView, 4> parts = {first, second, ByteView(), third};
    ends_.one->send(parts);
    ends_.one->finish_sending();
  });
  Bytes expected = first;
  expected.insert(expected.end(), second.begin(), second.end());
  expected.insert(expected.end(), third.begin(), third.end());
  EXPECT_EQ(receive(*ends_.other, 1 * MiB, 777), expected);
  sender.join();
}

TEST_P(TransportTest, ManyTinySendsAndTinyReceivesLoseNothing) {
  const Bytes content = test::random_bytes(4, 20'000);
  std::thread sender([&] {
    for (std::size_t i = 0; i < content.size(); ++i) send(*ends_.one, ByteView(content).subspan(i, 1));
  });
  EXPECT_EQ(receive(*ends_.other, content.size(), 3), content);
  sender.join();
}

TEST_P(TransportTest, ASendMuchLargerThanAnyBufferArrivesWhole) {
  const Bytes content = test::random_bytes(5, 32 * MiB);
  std::thread sender([&] { send(*ends_.one, content); });
  EXPECT_TRUE(receive(*ends_.other, content.size()) == content);
  sender.join();
}

TEST_P(TransportTest, BothDirectionsFlowAtOnceThoughNeitherFitsTheBuffers) {
  const Bytes up = test::random_bytes(6, 8 * MiB), down = test::random_bytes(7, 8 * MiB);
  std::thread up_sender([&] { send(*ends_.one, up); });
  std::thread down_sender([&] { send(*ends_.other, down); });
  std::thread up_receiver([&] { EXPECT_TRUE(receive(*ends_.other, up.size()) == up); });
  EXPECT_TRUE(receive(*ends_.one, down.size()) == down);
  up_sender.join();
  down_sender.join();
  up_receiver.join();
}

// The sender counts what it has handed over in small sends; it cannot be done before the receiver has taken all but
// what buffers hold, however long we wait, so its count at the receiver's first byte proves that it was held back.
TEST_P(TransportTest, ASenderWaitsWhileThePeerDoesNotRead) {
  constexpr std::size_t total = 64 * MiB, piece = 64 * 1024;
  const Bytes content = test::random_bytes(8, piece);
  std::atomic<std::size_t> handed_over = 0;
  std::thread sender([&] {
    for (std::size_t sent = 0; sent < total; sent += piece) {
      send(*ends_.one, content);
      handed_over += piece;
    }
  });
  std::size_t received = 0;
  std::size_t ahead_max = 0;
  Bytes into(piece);
  while (received < total) {
    received += ends_.other->receive(into);
    const std::size_t sent = handed_over;
    if (sent > received) ahead_max = std::max(ahead_max, sent - received);
  }
  sender.join();
  EXPECT_LT(ahead_max, 16 * MiB);
}

TEST_P(TransportTest, AStalledPeerBlocksTheSenderUntilItReadsOrAborts) {
  const Bytes content = test::random_bytes(9, 32 * MiB);
  auto sending = std::async(std::launch::async, [&] { return code_of([&] { send(*ends_.one, content); }); });
  receive(*ends_.other, 1000);  // so it has begun
  EXPECT_LT(ends_.other->counts().received_bytes, content.size());
  ends_.other->abort();
  EXPECT_EQ(sending.get(), ErrorCode::unreachable);
}

TEST_P(TransportTest, AfterTheHalfCloseTheOtherDirectionGoesOn) {
  const Bytes question = test::random_bytes(10, 1000), answer = test::random_bytes(11, 2 * MiB);
  std::thread server([&] {
    EXPECT_EQ(receive(*ends_.other, 2000), question);  // ends at the half-close
    send(*ends_.other, answer);
    ends_.other->finish_sending();
  });
  send(*ends_.one, question);
  ends_.one->finish_sending();
  EXPECT_TRUE(receive(*ends_.one, answer.size() + 1) == answer);
  server.join();
  Bytes into(1);
  EXPECT_EQ(ends_.one->receive(into), 0u) << "the end stays the end";
}

TEST_P(TransportTest, LeavingTakesNothingFromTheLastWords) {
  const Bytes content = test::random_bytes(12, 300'000), answer = test::random_bytes(13, 5000);
  const Bytes last_words = test::random_bytes(14, 100);
  auto other = std::async(std::launch::async, [&] {
    EXPECT_TRUE(receive(*ends_.other, content.size()) == content);
    send(*ends_.other, answer);
    const Bytes received = receive(*ends_.other, last_words.size() + 1);
    ends_.other->finish_sending();
    return received == last_words;
  });
  send(*ends_.one, content);
  receive(*ends_.one, 1);  // the rest has come too, and nobody reads it
  send(*ends_.one, last_words);
  ends_.one->finish_sending();
  ends_.one->leave();
  try {
    while (receive(*ends_.one, 10'000).size() > 0) {
    }
  } catch (const Error& error) {  // or it ends so
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
  }
  ends_.one.reset();
  EXPECT_TRUE(other.get()) << "up to a clean end";
}

TEST_P(TransportTest, AbortWakesAReceiverOnEitherSide) {
  for (const bool own_side : {true, false}) {
    ends_ = GetParam().make();
    std::promise<void> started;
    auto receiving = std::async(std::launch::async, [&] {
      started.set_value();
      return code_of([&] { receive(*ends_.one, 1); });
    });
    started.get_future().wait();
    (own_side ? ends_.one : ends_.other)->abort();
    EXPECT_EQ(receiving.get(), ErrorCode::unreachable) << (own_side ? "own side" : "peer");
  }
}

TEST_P(TransportTest, AfterAnAbortEveryCallThrowsUnreachable) {
  ends_.one->abort();
  const Bytes content(100);
  EXPECT_EQ(code_of([&] { send(*ends_.one, content); }), ErrorCode::unreachable);
  for (Transport* end : {ends_.one.get(), ends_.other.get()})
    EXPECT_EQ(code_of([&] { receive(*end, 1); }), ErrorCode::unreachable);
  // Between processes the news takes its time, but what was received says that it has come.
  EXPECT_EQ(code_of([&] { send(*ends_.other, content); }), ErrorCode::unreachable);
  ends_.one->abort();  // again: harmless
}

TEST_P(TransportTest, APeerThatIsDestroyedInTheMiddleIsNotACleanEnd) {
  const Bytes content(100);
  send(*ends_.other, content);
  ends_.other.reset();
  EXPECT_EQ(code_of([&] {
              while (receive(*ends_.one, 1000).size() > 0) {
              }
            }),
            ErrorCode::unreachable);
  EXPECT_EQ(code_of([&] {
              for (int i = 0; i < 100'000; ++i) send(*ends_.one, content);
            }),
            ErrorCode::unreachable);
}

TEST_P(TransportTest, CountsAreTheBytesThatWentThrough) {
  send(*ends_.one, Bytes(1234));
  receive(*ends_.other, 1234);
  send(*ends_.other, Bytes(77));
  receive(*ends_.one, 77);
  const auto expect_count = [](std::uint64_t counted, std::uint64_t bytes) {
    EXPECT_GE(counted, bytes);
    EXPECT_LE(counted, bytes + GetParam().framing_bytes_max);
  };
  expect_count(ends_.one->counts().sent_bytes, 1234);
  expect_count(ends_.one->counts().received_bytes, 77);
  expect_count(ends_.other->counts().sent_bytes, 77);
  expect_count(ends_.other->counts().received_bytes, 1234);
}

INSTANTIATE_TEST_SUITE_P(Transports, TransportTest,
                         testing::Values(Factory{"memory", memory_ends}, Factory{"unix", unix_ends},
                                         Factory{"link", link_ends<1>, 1000}, Factory{"striped_link", link_ends<3>, 1000},
                                         Factory{"tls", tls_ends}, Factory{"tls_turned", tls_ends_turned},
                                         Factory{"program", program_ends}, Factory{"standard_io", standard_io_ends},
                                         Factory{"ssh", ssh_ends}, Factory{"ssh_turned", ssh_ends_turned}),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace vmferry
