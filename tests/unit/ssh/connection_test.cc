// SshConnection against OpenSSH's own sshd on loopback: who is let in, by which key, and what the sentences say.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <future>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/transport/program_transport.h"
#include "protocol/transport/ssh.h"
#include "protocol/transport/ssh_keys.h"
#include "tests/support/content.h"
#include "tests/support/error_of.h"
#include "tests/support/process.h"
#include "tests/support/sshd.h"
#include "tests/support/transport_text.h"

namespace vmferry {
namespace {

using test::error_of;
using test::receive_all;
using test::Sshd;
using testing::AllOf;
using testing::HasSubstr;

using limits::MiB;

void send(Transport& transport, ByteView bytes) { transport.send(std::span(&bytes, 1)); }

class SshTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::unsetenv("SSH_AUTH_SOCK");
    // Keys are exchanged anew after each MiB; a user has no keys; a connection runs four commands.
    sshd_ = new Sshd({.lines = {"RekeyLimit 1M", "MaxSessions 4", "Match User passwords", "PubkeyAuthentication no",
                                "PasswordAuthentication yes"}});
    key_ = sshd_->add_user_key("ed25519");
  }
  static void TearDownTestSuite() { delete sshd_; }

  static SshAddress address(const Sshd& sshd, const std::string& user = {}) {
    return {user, "127.0.0.1", sshd.port(), "/store"};
  }
  static SshOptions options(const Sshd& sshd, std::vector<std::filesystem::path> keys = {key_}) {
    SshOptions made;
    made.key_files = std::move(keys);
    made.known_hosts = {sshd.known_hosts()};
    made.dscp = 10;
    return made;
  }
  static std::shared_ptr<SshConnection> open() { return SshConnection::open(address(*sshd_), options(*sshd_)); }
  // With a file of known hosts of these lines.
  static SshOptions knowing(const std::string& lines) {
    const std::filesystem::path file = sshd_->directory() / "known_by_test";
    std::ofstream(file) << lines;
    SshOptions made = options(*sshd_);
    made.known_hosts = {sshd_->directory() / "none", file};
    return made;
  }
  static std::string name() { return "[127.0.0.1]:" + std::to_string(sshd_->port()); }

  // That nobody knows.
  static std::filesystem::path strange_key(const std::string& type) {
    static int number = 0;
    const std::filesystem::path file = sshd_->directory() / ("strange_" + std::to_string(number++));
    test::make_ssh_key(type, file);
    return file;
  }

  static inline Sshd* sshd_ = nullptr;
  static inline std::filesystem::path key_;
};

TEST_F(SshTest, ACommandsStreamsAreTheTransport) {
  const auto cat = open()->run("cat");  // the connection lives as long as the command
  send(*cat, as_bytes("over the wire"));
  cat->finish_sending();
  EXPECT_EQ(receive_all(*cat), "over the wire");
  EXPECT_EQ(cat->counts().sent_bytes, 13u);
  EXPECT_EQ(cat->counts().received_bytes, 13u);
}

// While the host exchanges keys anew, which it does in the middle of packets.
TEST_F(SshTest, SeveralCommandsRunAtOnceOverOneConnection) {
  const auto connection = open();
  std::vector<std::future<void>> all;
  for (std::uint64_t i = 0; i < 4; ++i)
    all.push_back(std::async(std::launch::async, [&, i] {
      const Bytes content = test::random_bytes(i, 3 * MiB);
      const auto cat = connection->run("cat");
      auto sending = std::async(std::launch::async, [&] {
        send(*cat, content);
        cat->finish_sending();
      });
      EXPECT_TRUE(receive_all(*cat) == as_text(content));
    }));
  for (auto& each : all) each.get();
}

// The window is 8 MiB: one command's output that nobody reads must not hold up the others.
TEST_F(SshTest, AReaderThatStallsHoldsUpNobodyElse) {
  const auto connection = open();
  const auto stalled = connection->run("cat /dev/zero");
  Bytes one(1);
  stalled->receive(one);
  const auto cat = connection->run("cat");
  const Bytes content = test::random_bytes(1, 4 * MiB);
  auto sending = std::async(std::launch::async, [&] {
    send(*cat, content);
    cat->finish_sending();
  });
  EXPECT_TRUE(receive_all(*cat) == as_text(content));
  stalled->abort();
  EXPECT_EQ(error_of([&] { stalled->receive(one); }).code(), ErrorCode::unreachable);
}

TEST_F(SshTest, ACommandThatFailsIsNoCleanEndAndItsLastWordsSayWhy) {
  const auto connection = open();
  const auto failing = connection->run("echo before; echo 'the store is \033[31m elsewhere' >&2; exit 3");
  std::string got;
  const Error error = error_of([&] { got = receive_all(*failing); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("exit code 3"), HasSubstr("the store is ?[31m elsewhere")));
  const auto missing = connection->run("vmferry-target-that-is-not-there");
  EXPECT_THAT(error_of([&] { receive_all(*missing); }).what(),
              AllOf(HasSubstr("exit code 127"), HasSubstr("is vmferry-target installed there")));
  const auto killed = connection->run("kill -9 $$");
  EXPECT_THAT(error_of([&] { receive_all(*killed); }).what(), HasSubstr("signal KILL"));
}

TEST_F(SshTest, AnSshdThatIsKilledInTheMiddleIsUnreachable) {
  const auto connection = open();
  const auto one = connection->run("cat"), other = connection->run("cat /dev/zero");
  Bytes into(1000);
  other->receive(into);
  auto receiving = std::async(std::launch::async, [&] { return error_of([&] { one->receive(into); }).code(); });
  auto sending = std::async(std::launch::async, [&] {
    return error_of([&] {
             for (;;) send(*other, Bytes(100'000));
           })
        .code();
  });
  sshd_->kill_connections();
  EXPECT_EQ(receiving.get(), ErrorCode::unreachable);
  EXPECT_EQ(sending.get(), ErrorCode::unreachable);
  EXPECT_EQ(error_of([&] { connection->run("cat"); }).code(), ErrorCode::unreachable);
}

TEST_F(SshTest, MoreCommandsThanTheHostAllowsAreRefusedAndTheOthersGoOn) {
  const auto connection = open();
  std::vector<std::unique_ptr<Transport>> all;
  for (int i = 0; i < 4; ++i) all.push_back(connection->run("cat"));
  const Error error = error_of([&] { connection->run("cat"); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), HasSubstr("MaxSessions"));
  send(*all[0], as_bytes("x"));
  all[0]->finish_sending();
  EXPECT_EQ(receive_all(*all[0]), "x");
}

// --- the host's key

TEST_F(SshTest, AHostIsAskedForTheKindOfKeyThatItIsKnownBy) {
  for (const std::string type : {"ed25519", "ecdsa"}) {
    const auto connection = SshConnection::open(address(*sshd_), knowing(name() + " " + sshd_->host_key(type) + "\n"));
    EXPECT_EQ(receive_all(*connection->run("echo in")), "in\n") << type;
  }
}

TEST_F(SshTest, AnUnknownHostIsRefusedWithItsFingerprintAndWhatToDo) {
  const Error error = error_of([&] { SshConnection::open(address(*sshd_, "me"), knowing("")); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  const std::string port = std::to_string(sshd_->port());
  EXPECT_THAT(error.what(), AllOf(HasSubstr("not known"), HasSubstr("ssh-ed25519 SHA256:"),
                                  HasSubstr("ssh -p " + port + " me@127.0.0.1 true"),
                                  HasSubstr("ssh-keyscan -p " + port + " 127.0.0.1")));
  EXPECT_EQ(std::filesystem::file_size(sshd_->directory() / "known_by_test"), 0u) << "nothing is accepted by itself";
}

TEST_F(SshTest, AChangedKeyIsRefusedWithFileAndLineAndTheWarning) {
  const SshOptions options = knowing("# one line\n" + name() + " " + test::public_key(strange_key("ed25519")) + "\n");
  const Error error = error_of([&] { SshConnection::open(address(*sshd_), options); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_THAT(error.what(), AllOf(HasSubstr(options.known_hosts[1].string() + ":2"), HasSubstr("SHA256:"),
                                  HasSubstr("listening in"),
                                  HasSubstr("ssh-keygen -f " + options.known_hosts[1].string() + " -R '" + name() + "'")));
}

TEST_F(SshTest, AKeyOfAKindThatIsNotTheKnownOneIsNoWayAround) {
  Sshd ecdsa_only({.host_key_types = {"ecdsa"}});
  SshOptions made = options(ecdsa_only, {ecdsa_only.add_user_key("ed25519")});
  const std::filesystem::path file = ecdsa_only.directory() / "other";
  std::ofstream(file) << "[127.0.0.1]:" << ecdsa_only.port() << " " << sshd_->host_key("ed25519") << "\n";
  made.known_hosts = {file};
  EXPECT_THAT(error_of([&] { SshConnection::open(address(ecdsa_only), made); }).what(), HasSubstr("has changed"));
}

TEST_F(SshTest, ARevokedKeyIsRefused) {
  const std::string key = sshd_->host_key("ed25519");
  const Error error = error_of([&] {
    SshConnection::open(address(*sshd_), knowing(name() + " " + key + "\n@revoked * " + key + "\n"));
  });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("revoked"), HasSubstr("known_by_test:2")));
}

TEST_F(SshTest, AHostThatHasOnlyAnRsaKeySendsOneToTheSystemsSsh) {
  Sshd rsa({.host_key_types = {"rsa"}});
  const Error error = error_of([&] { SshConnection::open(address(rsa), options(rsa)); });
  EXPECT_EQ(error.code(), ErrorCode::refused);
  EXPECT_THAT(error.what(), HasSubstr("--ssh-command ssh"));
}

// --- the user's key

TEST_F(SshTest, AnEcdsaKeyLetsUsInAndSoDoOldPemFiles) {
  const auto ecdsa = sshd_->add_user_key("ecdsa");
  EXPECT_EQ(receive_all(*SshConnection::open(address(*sshd_), options(*sshd_, {ecdsa}))->run("echo in")), "in\n");
  test::run_ok({"ssh-keygen", "-q", "-p", "-m", "PEM", "-N", "", "-f", ecdsa});
  ASSERT_EQ(read_key_file(ecdsa).type, "ecdsa");
  EXPECT_EQ(receive_all(*SshConnection::open(address(*sshd_), options(*sshd_, {ecdsa}))->run("echo in")), "in\n");
}

TEST_F(SshTest, TheAgentsKeysAreUsedEvenThoseWhoseFilesAreEncrypted) {
  for (const std::string type : {"ed25519", "ecdsa"}) {
    test::Agent agent;
    const auto key = sshd_->add_user_key(type);
    agent.add(key);
    test::run_ok({"ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key});
    EXPECT_EQ(receive_all(*SshConnection::open(address(*sshd_), options(*sshd_, {key}))->run("echo in")), "in\n");
    SshOptions without = options(*sshd_, {key});
    without.agent = false;
    const Error error = error_of([&] { SshConnection::open(address(*sshd_), without); });
    EXPECT_EQ(error.code(), ErrorCode::permission);
    EXPECT_THAT(error.what(), HasSubstr("ssh-add " + key.string()));
  }
}

// sshd hangs up after six keys, and an agent may hold more.
TEST_F(SshTest, TheKeyThatIsNamedComesBeforeTheAgentsOthers) {
  test::Agent agent;
  for (int i = 0; i < 7; ++i) agent.add(strange_key("ed25519"));
  EXPECT_EQ(receive_all(*open()->run("echo in")), "in\n");
  const auto wrong = strange_key("ecdsa");
  const Error error = error_of([&] { SshConnection::open(address(*sshd_), options(*sshd_, {wrong})); });
  EXPECT_EQ(error.code(), ErrorCode::permission) << error.what();
  EXPECT_THAT(error.what(), AllOf(HasSubstr(wrong.string()), HasSubstr("too many")));
}

TEST_F(SshTest, AKeyThatTheHostDoesNotKnowIsNamedAndAPasswordNeverAskedFor) {
  const auto wrong = strange_key("ed25519");
  const Error error = error_of([&] { SshConnection::open(address(*sshd_), options(*sshd_, {wrong})); });
  EXPECT_EQ(error.code(), ErrorCode::permission);
  EXPECT_THAT(error.what(), AllOf(HasSubstr(wrong.string()), HasSubstr("ssh-copy-id -p")));
  EXPECT_EQ(error_of([&] { SshConnection::open(address(*sshd_, "no-such-user"), options(*sshd_)); }).code(),
            ErrorCode::permission);
  EXPECT_THAT(error_of([&] { SshConnection::open(address(*sshd_, "passwords"), options(*sshd_)); }).what(),
              HasSubstr("takes no keys"));
}

TEST_F(SshTest, AnRsaKeySendsOneToAnotherKeyOrTheSystemsSsh) {
  const auto rsa = sshd_->add_user_key("rsa");
  const Error error = error_of([&] { SshConnection::open(address(*sshd_), options(*sshd_, {rsa})); });
  EXPECT_EQ(error.code(), ErrorCode::permission);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("RSA"), HasSubstr("--ssh-command ssh"), HasSubstr("ed25519")));
}

TEST_F(SshTest, AKeyFileThatIsNoneIsAnErrorAndNotSkipped) {
  const std::filesystem::path missing = sshd_->directory() / "missing";
  EXPECT_EQ(error_of([&] { SshConnection::open(address(*sshd_), options(*sshd_, {missing})); }).code(), ErrorCode::not_found);
  std::filesystem::path wrong_half = key_;
  wrong_half += ".pub";
  EXPECT_THAT(error_of([&] { SshConnection::open(address(*sshd_), options(*sshd_, {wrong_half})); }).what(),
              HasSubstr("no private key"));
}

// --- the line

// Connections are taken by the kernel, and nobody says a word.
class SilentListener {
 public:
  SilentListener() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address_;
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address_), length), 0);
    EXPECT_EQ(::listen(descriptor_, 5), 0);
    EXPECT_EQ(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address_), &length), 0);
  }
  ~SilentListener() { ::close(descriptor_); }
  std::uint16_t port() const { return ntohs(address_.sin_port); }

 private:
  const int descriptor_;
  sockaddr_in address_{};
};

TEST_F(SshTest, WhereNobodyListensOrNobodyAnswersItIsUnreachableInTime) {
  std::uint16_t port = 0;
  {
    const SilentListener silent;
    port = silent.port();
    SshOptions made = options(*sshd_);
    made.timeout = std::chrono::milliseconds(200);
    const Error error = error_of([&] { SshConnection::open({"", "127.0.0.1", port, "/"}, made); });
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
    EXPECT_THAT(error.what(), HasSubstr("too long"));
  }
  EXPECT_EQ(error_of([&] { SshConnection::open({"", "127.0.0.1", port, "/"}, options(*sshd_)); }).code(),
            ErrorCode::unreachable);
}

TEST_F(SshTest, TheSystemsSshIsUsedInOurPlaceAndItsWordsAreTold) {
  const auto words = [&](const std::string& known_hosts, const std::string& command) {
    std::vector<std::string> made =
        split_words("ssh -F none -o BatchMode=yes -o GlobalKnownHostsFile=none -o UserKnownHostsFile=" + known_hosts + " -i " +
                    key_.string());
    made.insert(made.end(), {"-p", std::to_string(sshd_->port()), "127.0.0.1", command});
    return made;
  };
  const auto cat = run_program(words(sshd_->known_hosts(), "cat"));
  const Bytes content = test::random_bytes(3, 4 * MiB);
  auto sending = std::async(std::launch::async, [&] {
    send(*cat, content);
    cat->finish_sending();
  });
  EXPECT_TRUE(receive_all(*cat) == as_text(content));
  EXPECT_THAT(error_of([&] { receive_all(*run_program(words("none", "cat"))); }).what(),
              HasSubstr("Host key verification failed"));
  EXPECT_THAT(error_of([&] { receive_all(*run_program(words(sshd_->known_hosts(), "exit 7"))); }).what(),
              HasSubstr("exit code 7"));
}

}  // namespace
}  // namespace vmferry
