// What only the Unix socket has: a file, its mode, and who may replace it.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "protocol/error.h"
#include "protocol/transport/transport.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"

namespace vmferry {
namespace {

using test::error_of;

// Leaves the socket file of a process that died.
void make_stale_socket(const std::filesystem::path& path) {
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(descriptor);
}

class UnixListenerTest : public testing::Test {
 protected:
  test::TemporaryDirectory directory_;
  std::filesystem::path socket_ = directory_ / "vmferry.socket";
};

TEST_F(UnixListenerTest, TheSocketIsForItsOwnerOnlyAndGoesWithItsListener) {
  {
    const auto listener = listen_unix(socket_);
    struct stat there {};
    ASSERT_EQ(::stat(socket_.c_str(), &there), 0);
    EXPECT_EQ(there.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(UnixListenerTest, ASocketThatNobodyServesIsReplaced) {
  make_stale_socket(socket_);
  const auto listener = listen_unix(socket_);
  const auto client = connect_unix(socket_);
  EXPECT_NE(listener->accept(), nullptr);
}

TEST_F(UnixListenerTest, ASocketThatIsServedIsLeftAlone) {
  const auto listener = listen_unix(socket_);
  EXPECT_EQ(error_of([&] { listen_unix(socket_); }).code(), ErrorCode::busy);
  EXPECT_NO_THROW(connect_unix(socket_));
}

TEST_F(UnixListenerTest, AFileOfThatNameIsNeverRemoved) {
  std::ofstream(socket_) << "precious";
  EXPECT_EQ(error_of([&] { listen_unix(socket_); }).code(), ErrorCode::exists);
  EXPECT_EQ(std::filesystem::file_size(socket_), 8u);
}

TEST_F(UnixListenerTest, StopEndsAWaitingAccept) {
  const auto listener = listen_unix(socket_);
  std::thread accepting([&] { EXPECT_EQ(listener->accept(), nullptr); });
  listener->stop();
  accepting.join();
}

TEST_F(UnixListenerTest, WithoutAServerTheSentenceSaysWhatToStart) {
  const Error error = error_of([&] { connect_unix(socket_); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_NE(std::string(error.what()).find("vmferry-target serve"), std::string::npos) << error.what();
}

TEST_F(UnixListenerTest, APathThatIsTooLongIsAUsageErrorNotACutPath) {
  EXPECT_EQ(error_of([&] { listen_unix(directory_ / std::string(200, 'x')); }).code(), ErrorCode::usage);
}

}  // namespace
}  // namespace vmferry
