// What a client is told: each way not to reach the target has its sentence. openssl s_server judges.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "protocol/transport/tcp_connect.h"
#include "tests/support/process.h"
#include "tests/support/running_process.h"
#include "tests/unit/transport/tls_fixture.h"

namespace vmferry {
namespace {

using testing::HasSubstr;
using namespace test;
using std::chrono::milliseconds;

// A plain TCP socket that listens on loopback and takes no connection from its queue.
class DeafSocket {
 public:
  explicit DeafSocket(int queue) : socket_(new_tcp_socket(AF_INET)) {
    address_.storage.ss_family = AF_INET;
    address_.bytes = sizeof(sockaddr_in);
    reinterpret_cast<sockaddr_in&>(address_.storage).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_.get(), address_.get(), address_.bytes), 0);
    EXPECT_EQ(::listen(socket_.get(), queue), 0);
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_.storage), &address_.bytes);
  }

  // After this no further connection is answered, as behind a firewall that drops.
  void fill_queue() { connected_ = connect_tcp(where(), {address_}, {}, std::chrono::seconds(5)); }

  const SocketAddress& address() const { return address_; }
  HostPort where() const { return host_port_of(address_); }
  int descriptor() const { return socket_.get(); }
  void close() { socket_ = OwnedSocket(); }

 private:
  OwnedSocket socket_;
  SocketAddress address_;
  OwnedSocket connected_;
};

std::string sentence_for(const HostPort& where, milliseconds timeout = std::chrono::seconds(10)) {
  auto options = options_for(target_identity());
  options.timeout = timeout;
  const Error error = error_of([&] { connect_tls(where, options); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable) << error.what();
  EXPECT_THAT(error.what(), HasSubstr(to_string(where)));
  return error.what();
}

TEST(ConnectTls, WhereNobodyListensTheSentenceAsksForTheServer) {
  DeafSocket deaf(1);
  const HostPort where = deaf.where();
  deaf.close();
  const std::string sentence = sentence_for(where);
  EXPECT_THAT(sentence, HasSubstr("Connection refused"));
  EXPECT_THAT(sentence, HasSubstr("vmferry-target serve"));
}

TEST(ConnectTls, ANameThatNobodyKnowsIsSaidToBeUnknown) {
  EXPECT_THAT(sentence_for({"no-such-host.invalid", 7447}, milliseconds(3000)), HasSubstr("its name"));
}

TEST(ConnectTls, AHostThatDoesNotAnswerEndsWithTheTimeout) {
  DeafSocket deaf(0);
  deaf.fill_queue();
  EXPECT_THAT(sentence_for(deaf.where(), milliseconds(300)), HasSubstr("no answer within"));
}

TEST(ConnectTls, AServerThatTakesTheConnectionAndSaysNothingEndsWithTheTimeout) {
  const DeafSocket deaf(5);
  EXPECT_THAT(sentence_for(deaf.where(), milliseconds(300)), HasSubstr("the TLS handshake took too long"));
}

TEST(ConnectTls, OfSeveralAddressesTheFirstThatAnswersIsTaken) {
  DeafSocket silent(0), refusing(1), good(5);
  silent.fill_queue();
  refusing.close();
  const std::vector<SocketAddress> addresses = {silent.address(), refusing.address(), good.address()};
  const OwnedSocket connected = connect_tcp({"several", 1}, addresses, {}, std::chrono::seconds(10));
  SocketAddress peer;
  peer.bytes = sizeof peer.storage;
  ASSERT_EQ(::getpeername(connected.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.bytes), 0);
  EXPECT_EQ(host_port_of(peer), good.where());
}

TEST(ConnectTls, WhereNoAddressAnswersEachOnesFaultIsNamed) {
  DeafSocket silent(0), refusing(1);
  silent.fill_queue();
  refusing.close();
  const std::vector<SocketAddress> both = {refusing.address(), silent.address()}, one = {refusing.address(), refusing.address()};
  const Error timeout = error_of([&] { connect_tcp({"several", 1}, both, {}, milliseconds(100)); });
  EXPECT_THAT(timeout.what(), HasSubstr("no answer within 100 ms"));
  EXPECT_THAT(timeout.what(), HasSubstr("127.0.0.1: Connection refused"));
  const Error refused = error_of([&] { connect_tcp({"several", 1}, one, {}, milliseconds(10'000)); });
  EXPECT_THAT(refused.what(), HasSubstr("cannot reach the target: several:1: 127.0.0.1: Connection refused"));
}

TEST(ConnectTls, AnotherKeyThanTheEnrolledOneIsRefusedWithBothFingerprints) {
  const TlsIdentity stranger = make_tls_identity("target", std::chrono::days(1));
  const auto listener = listen_tls({"127.0.0.1", 0}, stranger);
  const Error error = error_of([&] { connect_tls(listener->address(), options_for(target_identity())); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_THAT(error.what(), HasSubstr("this is not the target that was enrolled"));
  EXPECT_THAT(error.what(), HasSubstr(fingerprint_of(stranger).to_string()));
  EXPECT_THAT(error.what(), HasSubstr(fingerprint_of(target_identity()).to_string()));
  EXPECT_THAT(error.what(), HasSubstr(to_string(listener->address())));
}

TEST(ConnectTls, AnExpiredCertificateIsRefusedWithTheCommandThatRenewsIt) {
  const TlsIdentity expired = renew_certificate(target_identity(), std::chrono::days(-2));
  const auto listener = listen_tls({"127.0.0.1", 0}, expired);
  const Error error = error_of([&] { connect_tls(listener->address(), options_for(expired)); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_THAT(error.what(), HasSubstr("the target's certificate expired on 20"));
  EXPECT_THAT(error.what(), HasSubstr("vmferry-target certificate renew --store DIR"));
}

// openssl s_server, on a port of its choice.
class OtherServer {
 public:
  explicit OtherServer(const TlsIdentity& identity, std::vector<std::string> more = {}) {
    write_files(identity, directory_);
    std::vector<std::string> arguments = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-key", directory_ / "key.pem",
                                          "-cert", directory_ / "certificate.pem"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    process_ = std::make_unique<RunningProcess>(arguments);
    const std::string line = process_->wait_for_line("ACCEPT");
    where_ = {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)))};
  }
  const HostPort& where() const { return where_; }
  RunningProcess& process() { return *process_; }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<RunningProcess> process_;
  HostPort where_;
};

TEST(ConnectTls, OpensslsServerIsSpokenToAndSeesOurCertificate) {
  OtherServer server(target_identity(), {"-Verify", "1", "-verify_quiet"});
  const auto client = connect_tls(server.where(), options_for(target_identity()));
  server.process().write("hello from there\n");
  EXPECT_EQ(as_text(receive(*client, 17)), "hello from there\n");
  send(*client, as_bytes("hello from here\n"));
  EXPECT_EQ(server.process().wait_for_line("hello from here"), "hello from here");
  EXPECT_THAT(server.process().output(), HasSubstr("CN = controller"));
  EXPECT_THAT(server.process().output(), HasSubstr("TLS_AES"));
}

TEST(ConnectTls, OpensslsServerWithAnotherKeyIsRefused) {
  OtherServer server(make_tls_identity("target", std::chrono::days(1)));
  EXPECT_EQ(error_of([&] { connect_tls(server.where(), options_for(target_identity())); }).code(), ErrorCode::refused);
}

TEST(ConnectTls, OpensslsServerWithACertificateOfTomorrowIsRefused) {
  const TemporaryDirectory directory;
  write_files(target_identity(), directory);
  // openssl x509 cannot date a certificate ahead, openssl ca can.
  run_ok({"sh", "-c",
          "openssl req -new -key key.pem -subj /CN=target -out request.pem && touch index.txt && "
          "printf '[ca]\\ndefault_ca=own\\n[own]\\ndatabase=index.txt\\nrand_serial=yes\\nnew_certs_dir=.\\n"
          "default_md=sha256\\npolicy=any\\n[any]\\ncommonName=supplied\\n' >ca.conf && "
          "openssl ca -config ca.conf -batch -selfsign -keyfile key.pem -in request.pem -out certificate.pem -notext "
          "-startdate \"$(date -u -d 'now + 3 days' +%Y%m%d%H%M%SZ)\" -days 30"},
         {.directory = directory.path()});
  TlsIdentity tomorrow = target_identity();
  tomorrow.certificate_pem = run_ok({"cat", directory / "certificate.pem"}).out;
  OtherServer server(tomorrow);
  const Error error = error_of([&] { connect_tls(server.where(), options_for(target_identity())); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_THAT(error.what(), HasSubstr("is not valid before"));
  EXPECT_THAT(error.what(), HasSubstr("set the clock"));
}

TEST(ConnectTls, AServerOfOlderTlsIsNoTarget) {
  OtherServer server(target_identity(), {"-tls1_2"});
  EXPECT_THAT(sentence_for(server.where()), HasSubstr("it does not speak TLS 1.3"));
}

TEST(ConnectTls, AServerThatSpeaksNoTlsIsNoTarget) {
  const DeafSocket plain(5);
  std::thread answering([&] {
    pollfd waiting = {plain.descriptor(), POLLIN, 0};
    ::poll(&waiting, 1, 10'000);
    const OwnedSocket connection(::accept4(plain.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    constexpr std::string_view greeting = "SSH-2.0-OpenSSH_9.2p1\r\n";
    EXPECT_EQ(::send(connection.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(greeting.size()));
    std::array<char, 4096> hello{};
    while (::recv(connection.get(), hello.data(), hello.size(), 0) > 0) {
    }
  });
  EXPECT_THAT(sentence_for(plain.where()), HasSubstr("it does not speak TLS 1.3"));
  answering.join();
}

}  // namespace
}  // namespace vmferry
