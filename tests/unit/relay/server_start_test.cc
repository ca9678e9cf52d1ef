// How a relay finds the store's server, with programs in the place of a server; tests/e2e/test_ssh.py has the real one.
#include "target-server/relay/server_start.h"

#include <gmock/gmock.h>

#include <fstream>
#include <future>

#include "protocol/error.h"
#include "target-server/store/file_lock.h"
#include "target-server/store/store.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::target_server {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ServerStartTest : public testing::Test {
 protected:
  ServerStartTest() { store::Store::init(store_); }

  // Runs in the server's place, with its arguments.
  ServerStart script(const std::string& text) {
    const std::filesystem::path file = directory_ / "server";
    std::ofstream(file) << "#!/bin/sh\n" << text << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return {.program = file, .idle_exit = std::chrono::seconds(7), .patience = std::chrono::milliseconds(2'000)};
  }
  Error failure(const ServerStart& start) {
    try {
      connect_to_server(store_, {}, start);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::failed, "it connected");
  }
  static RelayPreamble receive_preamble(Transport& transport) {
    Bytes magic(4);
    EXPECT_EQ(transport.receive(magic), magic.size());
    EXPECT_EQ(ByteReader(magic).u32(), relay_magic);
    return receive_relay_preamble(transport);
  }
  store::FileLock hold(const std::string& socket) {
    auto lock = store::FileLock::take(store_ / "lock", 1000, "held already");
    lock.write(store::encode_holder({4711, "some program", socket}));
    return lock;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path store_ = directory_ / "store";
};

TEST_F(ServerStartTest, TheServerThatHoldsTheLockIsConnectedToWhereverItListens) {
  const auto listener = listen_unix(directory_ / "elsewhere");
  const auto lock = hold(directory_ / "elsewhere");
  auto asking = std::async(std::launch::async, [&] { return connect_to_server(store_, {"web"}, script("exit 1")); });
  const auto taken = listener->accept();
  EXPECT_EQ(receive_preamble(*taken).client, "web");
  send_relay_taken(*taken);
  EXPECT_NE(asking.get(), nullptr);
}

// What a user saw: a backup that failed because the store's server was ending, idle or killed, in that very moment.
TEST_F(ServerStartTest, AServerThatEndsWhileItIsAskedIsNotTakenForOneThatServes) {
  auto listener = listen_unix(directory_ / "elsewhere");
  std::optional<store::FileLock> lock = hold(directory_ / "elsewhere");
  auto asking = std::async(std::launch::async, [&] { return connect_to_server(store_, {}, script("exit 1")); });
  listener->accept()->abort();  // taken, and dropped before it was answered
  auto half = listener->accept();
  receive_preamble(*half);
  half.reset();       // heard, and dropped
  listener.reset();
  listener = listen_unix(directory_ / "elsewhere");  // another one comes
  const auto good = listener->accept();
  receive_preamble(*good);
  send_relay_taken(*good);
  EXPECT_NE(asking.get(), nullptr);
}

TEST_F(ServerStartTest, AProgramThatHeldTheStoreForAMomentIsWaitedFor) {
  const std::filesystem::path first = directory_ / "first";
  const auto listener = listen_unix(directory_ / "socket");
  // The first server finds the store busy; the second one is there.
  auto asking = std::async(std::launch::async, [&] {
    return connect_to_server(store_, {}, script("if mkdir " + first.string() +
                                                R"(; then echo '{"error":{"code":"busy","message":"in use"}}'; exit 3; fi; )"
                                                "flock " + (store_ / "lock").string() + " sh -c 'printf \"pid 1\\ncommand x\\nsocket " +
                                                (directory_ / "socket").string() + "\\n\" >" + (store_ / "lock").string() +
                                                R"(; echo {\"socket\":\"x\"}; exec >/dev/null; exec sleep 3')"));
  });
  const auto good = listener->accept();
  receive_preamble(*good);
  send_relay_taken(*good);
  EXPECT_NE(asking.get(), nullptr);
}

TEST_F(ServerStartTest, AServerThatDoesNotStartSaysWhyInItsOwnWords) {
  const Error told = failure(script(R"(echo '{"exit_code":1,"error":{"code":"damaged","message":"the index is torn"}}'; exit 1)"));
  EXPECT_EQ(told.code(), ErrorCode::unreachable);
  EXPECT_THAT(told.what(), AllOf(HasSubstr("does not start"), HasSubstr("the index is torn")));
  EXPECT_THAT(failure(script("echo 'no such luck' >&2; exit 1")).what(), HasSubstr((store_ / "serve.log").string()));
  std::ifstream log(store_ / "serve.log");
  std::string line;
  EXPECT_TRUE(std::getline(log, line) && line == "no such luck");
  EXPECT_THAT(failure(script("sleep 1000 >/dev/null & kill -9 $$")).what(), HasSubstr("said nothing"));
}

TEST_F(ServerStartTest, ItIsStartedWithNothingOfOursAndItsOwnSession) {
  failure(script("echo \"$*\" >" + (directory_ / "words").string() + "; (pwd; ls /proc/self/fd; ps -o sid= -p $$; echo $$) >" +
                 (directory_ / "state").string()));
  std::ifstream words(directory_ / "words"), state(directory_ / "state");
  std::string line;
  std::getline(words, line);
  EXPECT_EQ(line, "serve --json --store " + store_.string() + " --idle-exit 7");
  std::vector<std::string> lines;
  while (std::getline(state, line)) lines.push_back(line.substr(line.find_first_not_of(' ')));
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_THAT(lines, testing::ElementsAre("/", "0", "1", "2", "3", lines[6], lines[6])) << "3: by which ls reads";
}

TEST_F(ServerStartTest, AProgramThatHoldsTheStoreAndServesNobodyIsNamed) {
  const auto lock = hold("");
  const Error error = failure(script("exit 1"));
  EXPECT_EQ(error.code(), ErrorCode::busy);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("4711"), HasSubstr("some program")));
}

TEST_F(ServerStartTest, AServerThatHoldsTheLockAndNeverListensIsGivenUp) {
  const auto lock = hold(directory_ / "never");
  const Error error = failure(script("exit 1"));
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), HasSubstr("does not answer yet"));
}

TEST_F(ServerStartTest, WhereNoStoreIsNothingIsStartedAndNoLogWritten) {
  store_ = directory_.path() / "none";
  EXPECT_EQ(failure(script("exit 1")).code(), ErrorCode::not_found);
  EXPECT_FALSE(std::filesystem::exists(store_));
}

}  // namespace
}  // namespace vmferry::target_server
