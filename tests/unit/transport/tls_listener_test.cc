// What a server takes and refuses: openssl s_client judges; slow, dumb and many peers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <thread>

#include "protocol/transport/tcp_connect.h"
#include "tests/support/process.h"
#include "tests/support/running_process.h"
#include "tests/unit/transport/tls_fixture.h"

namespace vmferry {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace test;

class TlsListenerTest : public testing::Test {
 protected:
  std::vector<std::string> s_client(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"openssl", "s_client", "-connect", to_string(listener_->address())};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> s_client_with_key(std::vector<std::string> more = {}) {
    write_files(controller_identity(), directory_);
    for (const char* word : {"-key", "-cert"}) more.emplace_back(word), more.push_back(directory_ / (word[1] == 'k' ? "key.pem" : "certificate.pem"));
    return s_client(std::move(more));
  }
  OwnedSocket plain_connection() const {
    return connect_tcp(listener_->address(), resolve_tcp(listener_->address(), std::chrono::seconds(5)), {},
                       std::chrono::seconds(5));
  }
  // The listener still takes a good peer, and nothing came before it.
  void expect_a_good_peer_is_next() {
    const TlsPair pair = connected_pair(*listener_, listener_->address());
    send(*pair.client, as_bytes("well"));
    EXPECT_EQ(as_text(receive(*pair.server, 4)), "well");
  }

  TemporaryDirectory directory_;
  std::unique_ptr<TlsListener> listener_ = listen_tls({"127.0.0.1", 0}, target_identity());
};

TEST_F(TlsListenerTest, OpensslsClientWithAKeyIsTakenAndSeesTheCertificateAsItWasMade) {
  RunningProcess client(s_client_with_key({"-tls1_3"}));
  auto accepted = listener_->accept().value();
  EXPECT_EQ(accepted.client, fingerprint_of(controller_identity()));
  EXPECT_THAT(accepted.address, testing::StartsWith("127.0.0.1:"));
  client.write("to the target\n");
  EXPECT_EQ(as_text(receive(*accepted.transport, 14)), "to the target\n");
  send(*accepted.transport, as_bytes("from the target\n"));
  client.wait_for_line("from the target");
  EXPECT_THAT(client.output(), HasSubstr("New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"));
  EXPECT_THAT(client.output(), HasSubstr("Verification error: self-signed certificate"));
  EXPECT_THAT(client.output(), HasSubstr("Server Temp Key: X25519"));
  EXPECT_THAT(client.output(), HasSubstr("Early data was not sent"));
  EXPECT_THAT(client.output(), Not(HasSubstr("New Session Ticket")));
  const std::size_t begin = client.output().find("-----BEGIN CERTIFICATE-----");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_THAT(client.output().substr(begin), testing::StartsWith(target_identity().certificate_pem));
  accepted.transport->finish_sending();
  client.end_input();
  EXPECT_EQ(receive(*accepted.transport, 1), Bytes()) << "its close is a clean end";
  EXPECT_EQ(client.wait(), 0);
}

TEST_F(TlsListenerTest, OlderTlsIsRefused) {
  for (const char* version : {"-tls1_2", "-tls1_1", "-tls1"}) {
    const ProcessResult result = run(s_client_with_key({version, "-cipher", "ALL:@SECLEVEL=0"}));
    EXPECT_NE(result.exit_code, 0) << version;
    EXPECT_THAT(result.err, testing::AnyOf(HasSubstr("alert protocol version"), HasSubstr("no protocols available")));
  }
  expect_a_good_peer_is_next();
}

TEST_F(TlsListenerTest, AClientWithoutAKeyIsRefused) {
  RunningProcess client(s_client({"-tls1_3"}));
  client.wait_for_line("alert certificate required");
  EXPECT_NE(client.wait(), 0);
  expect_a_good_peer_is_next();
}

TEST_F(TlsListenerTest, AClientWithAKeyThatIsNoP256IsRefused) {
  run_ok({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", directory_ / "rsa.pem", "-out",
          directory_ / "rsa-certificate.pem", "-subj", "/CN=x", "-days", "1"});
  RunningProcess client(
      s_client({"-tls1_3", "-key", directory_ / "rsa.pem", "-cert", directory_ / "rsa-certificate.pem"}));
  client.wait_for_line("alert");  // its input is still open: it hears what the server thinks of its key
  EXPECT_NE(client.wait(), 0);
  expect_a_good_peer_is_next();
}

TEST_F(TlsListenerTest, ASecondConnectionIsNeverAResumedOne) {
  const std::string session = directory_ / "session.pem";
  for (int round = 0; round < 2; ++round) {
    RunningProcess client(s_client_with_key({"-tls1_3", "-sess_out", session}));
    auto accepted = listener_->accept().value();
    client.end_input();
    EXPECT_EQ(receive(*accepted.transport, 1), Bytes());
    accepted.transport->finish_sending();
    EXPECT_EQ(client.wait(), 0);
    EXPECT_FALSE(std::filesystem::exists(session) && std::filesystem::file_size(session) > 0) << "a ticket was given";
  }
}

TEST_F(TlsListenerTest, PeersThatSayNothingGiveWayToAGoodOneLongBeforeTheirTimeIsOver) {
  TlsListenOptions options;
  options.handshake_timeout = std::chrono::hours(1);
  options.give_way_after = std::chrono::milliseconds(10);
  options.handshakes_max = 20;
  listener_ = listen_tls({"127.0.0.1", 0}, target_identity(), options);
  std::vector<OwnedSocket> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(plain_connection());
  expect_a_good_peer_is_next();
  std::array<std::byte, 1> into{};
  for (int i = 0; i < 81; ++i) {  // who came first went first
    pollfd gone = {silent[static_cast<std::size_t>(i)].get(), POLLIN, 0};
    ASSERT_EQ(::poll(&gone, 1, 10'000), 1) << i;
    EXPECT_EQ(error_of([&] { receive_some(gone.fd, into); }).code(), ErrorCode::unreachable);
  }
  pollfd stays = {silent[99].get(), POLLIN, 0};
  EXPECT_EQ(::poll(&stays, 1, 0), 0) << "nobody needed its place";
}

TEST_F(TlsListenerTest, SilentPeersAreDroppedAfterTheirTimeThoughTheyFillTheRoom) {
  TlsListenOptions options;
  options.give_way_after = std::chrono::hours(1);
  options.handshakes_max = 3;
  options.handshake_timeout = std::chrono::milliseconds(200);
  listener_ = listen_tls({"127.0.0.1", 0}, target_identity(), options);
  std::vector<OwnedSocket> silent;
  for (int i = 0; i < 10; ++i) silent.push_back(plain_connection());
  expect_a_good_peer_is_next();
  // Those before it are gone.
  pollfd gone = {silent[0].get(), POLLIN, 0};
  EXPECT_EQ(::poll(&gone, 1, 10'000), 1);
  std::array<std::byte, 1> into{};
  EXPECT_EQ(error_of([&] { receive_some(silent[0].get(), into); }).code(), ErrorCode::unreachable);
}

TEST_F(TlsListenerTest, FinishedConnectionsThatNobodyTakesAreBoundedAndNoneIsLost) {
  TlsListenOptions options;
  options.handshakes_max = 2;
  listener_ = listen_tls({"127.0.0.1", 0}, target_identity(), options);
  std::vector<std::future<std::unique_ptr<Transport>>> clients;
  for (int i = 0; i < 8; ++i)
    clients.push_back(std::async(std::launch::async, [&] { return connect_tls(listener_->address(), options_for(target_identity())); }));
  std::vector<AcceptedTls> accepted;
  for (int i = 0; i < 8; ++i) accepted.push_back(listener_->accept().value());
  for (auto& client : clients) EXPECT_NE(client.get(), nullptr);
}

TEST_F(TlsListenerTest, GarbageAndTornHandshakesHarmNobodyElse) {
  for (const std::string_view text : {std::string_view("GET / HTTP/1.0\r\n\r\n"), std::string_view("\x16\x03\x01\x02\x00\x01\x00", 7),
                                      std::string_view("\0\0\0\0\0\0\0\0\0\0", 10), std::string_view("\x16\x03\x01\xff\xff", 5)}) {
    const OwnedSocket peer = plain_connection();
    EXPECT_EQ(send_some(peer.get(), as_bytes(text)), text.size());
  }  // closed in the middle of its hello
  const OwnedSocket stays = plain_connection();
  EXPECT_EQ(send_some(stays.get(), as_bytes(std::string_view("\x16\x03\x01\x02\x00\x01\x00", 7))), 7u);
  expect_a_good_peer_is_next();
}

TEST_F(TlsListenerTest, StopEndsAWaitingAcceptAndAllLaterOnes) {
  std::thread accepting([&] { EXPECT_EQ(listener_->accept(), std::nullopt); });
  listener_->stop();
  accepting.join();
  EXPECT_EQ(listener_->accept(), std::nullopt);
}

TEST_F(TlsListenerTest, ItsPortIsFreeOnceItIsGoneEvenWhileHandshakesWereUnderWay) {
  const HostPort where = listener_->address();
  std::vector<OwnedSocket> silent;
  for (int i = 0; i < 5; ++i) silent.push_back(plain_connection());
  listener_.reset();
  listener_ = listen_tls(where, target_identity());
  EXPECT_EQ(listener_->address(), where);
  expect_a_good_peer_is_next();
}

TEST_F(TlsListenerTest, APortThatIsTakenIsBusy) {
  const Error error = error_of([&] { listen_tls(listener_->address(), target_identity()); });
  EXPECT_EQ(error.code(), ErrorCode::busy);
  EXPECT_THAT(error.what(), HasSubstr(to_string(listener_->address())));
}

TEST_F(TlsListenerTest, AnAddressThatIsNotOurs) {
  EXPECT_EQ(error_of([&] { listen_tls({"192.0.2.1", 0}, target_identity()); }).code(), ErrorCode::not_found);
  EXPECT_EQ(error_of([&] { listen_tls({"", 0}, target_identity()); }).code(), ErrorCode::usage);
  const Error unknown = error_of([&] { listen_tls({"no-such-host.invalid", 7447}, target_identity()); });
  EXPECT_EQ(unknown.code(), ErrorCode::not_found);
  EXPECT_THAT(unknown.what(), testing::AllOf(HasSubstr("cannot listen"), HasSubstr("no-such-host.invalid:7447"), HasSubstr("[::] for all")));
}

TEST_F(TlsListenerTest, AllAddressesMeansIpv4AndIpv6) {
  listener_ = listen_tls({"::", 0}, target_identity());
  const std::uint16_t port = listener_->address().port;
  for (const char* host : {"::1", "127.0.0.1", "localhost"}) {
    const auto client = connect_tls({host, port}, options_for(target_identity()));
    const auto accepted = listener_->accept().value();
    const bool either = host == std::string("localhost");
    EXPECT_THAT(accepted.address, testing::StartsWith(host == std::string("::1") || (either && accepted.address[0] == '[')
                                                          ? "[::1]:"
                                                          : "127.0.0.1:"));
  }
}

TEST_F(TlsListenerTest, TheDscpIsOnThePacketsOfBothSides) {
  TlsListenOptions options;
  options.dscp = 8;
  for (const char* host : {"127.0.0.1", "::1"}) {
    listener_ = listen_tls({host, 0}, target_identity(), options);
    auto client_options = options_for(target_identity());
    client_options.dscp = 8;
    const auto client = connect_tls(listener_->address(), client_options);
    const auto accepted = listener_->accept();
    // ss shows each socket's mark, in hexadecimal and shifted by two.
    const std::string shown = run_ok({"ss", "-tnH", "--tos", "( sport = :" + std::to_string(listener_->address().port) + " or dport = :" +
                                                          std::to_string(listener_->address().port) + " )"}).out;
    const std::string mark = host == std::string("::1") ? "tclass:0x20" : "tos:0x20";
    const std::size_t first = shown.find(mark);
    ASSERT_NE(first, std::string::npos) << shown;
    EXPECT_NE(shown.find(mark, first + 1), std::string::npos) << shown;
  }
}

// accept() fails while no descriptor is left, and the connection stays pending: the loop must neither spin nor forget it.
TEST_F(TlsListenerTest, WithoutDescriptorsItWaitsAndThenGoesOn) {
  OwnedSocket peer = new_tcp_socket(AF_INET);
  const SocketAddress where = resolve_tcp(listener_->address(), std::chrono::seconds(5)).front();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few = {256, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<OwnedSocket> all;
  for (int copy = ::fcntl(peer.get(), F_DUPFD_CLOEXEC, 0); copy >= 0; copy = ::fcntl(peer.get(), F_DUPFD_CLOEXEC, 0))
    all.emplace_back(copy);
  ::connect(peer.get(), where.get(), where.bytes);
  rusage cpu_before{}, cpu_after{};
  ::getrusage(RUSAGE_SELF, &cpu_before);
  pollfd hears = {peer.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&hears, 1, 350), 0) << "it cannot have been accepted";
  ::getrusage(RUSAGE_SELF, &cpu_after);
  all.clear();
  ::setrlimit(RLIMIT_NOFILE, &before);
  const auto cpu_us = (cpu_after.ru_utime.tv_sec - cpu_before.ru_utime.tv_sec + cpu_after.ru_stime.tv_sec - cpu_before.ru_stime.tv_sec) * 1'000'000 +
                      (cpu_after.ru_utime.tv_usec - cpu_before.ru_utime.tv_usec + cpu_after.ru_stime.tv_usec - cpu_before.ru_stime.tv_usec);
  EXPECT_LT(cpu_us, 100'000) << "it spins";
  expect_a_good_peer_is_next();
}

}  // namespace
}  // namespace vmferry
