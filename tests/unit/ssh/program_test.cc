// What only a program's transport has: a process, its end, and its words.
#include "protocol/transport/program_transport.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>

#include "protocol/error.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/transport_text.h"

namespace vmferry {
namespace {

using test::error_of;
using test::receive_all;
using testing::HasSubstr;

std::unique_ptr<Transport> run_shell(const std::string& script) { return run_program({"sh", "-c", script}); }

TEST(Program, ItsEndIsCleanOnlyWhenItSucceeds) {
  EXPECT_EQ(receive_all(*run_shell("echo hello")), "hello\n");
  const auto failing = run_shell("echo hello; echo 'first line' >&2; echo \"ssh: no \033[31mroute\" >&2; exit 255");
  const Error error = error_of([&] { receive_all(*failing); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), HasSubstr("exit code 255"));
  EXPECT_THAT(error.what(), HasSubstr("first line; ssh: no ?[31mroute")) << "what it says must not reach the terminal raw";
}

TEST(Program, WhatIsSentToOneThatHasEndedSaysWhy) {
  const auto program = run_shell("echo 'permission denied' >&2; exit 3");
  const Bytes content(1 << 20);
  const ByteView part = content;
  const Error error = error_of([&] {
    for (;;) program->send(std::span(&part, 1));
  });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), HasSubstr("permission denied"));
}

TEST(Program, OneThatIsKilledIsNoCleanEnd) {
  const auto program = run_shell("kill -9 $$");
  EXPECT_THAT(error_of([&] { receive_all(*program); }).what(), HasSubstr("signal 9"));
}

TEST(Program, AFloodOnItsStandardErrorNeitherStopsItNorFillsOurMemory) {
  const auto program = run_shell("i=0; while [ $i -lt 20000 ]; do echo 'a line of words' >&2; i=$((i+1)); done; "
                                 "echo the last one >&2; echo done; exit 1");
  const Error error = error_of([&] { receive_all(*program); });
  EXPECT_THAT(error.what(), HasSubstr("the last one"));
  EXPECT_LT(std::string(error.what()).size(), 500u);
}

TEST(Program, OneThatIsNotThereIsNamed) {
  const Error error = error_of([] { run_program({"no-such-program-here"}); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_THAT(error.what(), HasSubstr("no-such-program-here"));
}

TEST(Program, HasNoTerminalAndIsNotInOurProcessGroup) {
  const std::string answer = receive_all(*run_shell("if sh -c ': </dev/tty' 2>/dev/null; then echo terminal; else echo none; fi; "
                                                    "ps -o pgid= -p $$"));
  EXPECT_THAT(answer, testing::StartsWith("none\n"));
  EXPECT_NE(std::stoi(answer.substr(5)), ::getpgrp());
}

TEST(Program, InheritsNothingButItsThreeStreams) {
  const int leaked = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as some library may do it
  const auto other = run_shell("cat");
  EXPECT_EQ(receive_all(*run_program({"ls", "/proc/self/fd"})), "0\n1\n2\n3\n") << "3: by which ls reads the directory";
  ::close(leaked);
}

// A process is gone when its directory in /proc is; a zombie would still have one.
bool exists(const std::string& pid) { return std::filesystem::exists("/proc/" + pid); }

std::string first_line(Transport& transport) {
  std::string text;
  std::byte one;
  while (transport.receive(std::span(&one, 1)) == 1 && one != std::byte{'\n'}) text += static_cast<char>(one);
  return text;
}

TEST(Program, EndsWithItsTransportAndSoDoItsChildren) {
  auto program = run_shell("sleep 1000 & echo $! $$; wait");
  const std::string pids = first_line(*program), child = pids.substr(0, pids.find(' ')),
                    parent = pids.substr(pids.find(' ') + 1);
  ASSERT_TRUE(exists(parent));
  pollfd child_ends = {static_cast<int>(::syscall(SYS_pidfd_open, std::stoi(child), 0)), POLLIN, 0};
  program.reset();
  EXPECT_FALSE(exists(parent)) << "the owner waits for it";
  EXPECT_EQ(::poll(&child_ends, 1, 10'000), 1);
  ::close(child_ends.fd);
}

TEST(Program, OneThatIgnoresSigtermIsKilled) {
  auto program = run_shell("trap '' TERM; echo $$; while :; do sleep 0.1; done");
  const std::string pid = first_line(*program);
  program->abort();
  EXPECT_EQ(error_of([&] { receive_all(*program); }).code(), ErrorCode::unreachable);
  program.reset();
  EXPECT_FALSE(exists(pid));
}

TEST(Program, OneThatEndsItsOutputAndReadsOnGetsWhatIsSent) {
  const test::TemporaryDirectory directory;
  const std::string file = directory / "got";
  {
    const auto program = run_shell("exec >&-; cat > " + file);
    EXPECT_EQ(receive_all(*program), "") << "half-closed, and no failure";
    const ByteView part = as_bytes("after its end");
    program->send(std::span(&part, 1));
    program->finish_sending();
  }
  std::ifstream got(file);
  std::string text;
  std::getline(got, text);
  EXPECT_EQ(text, "after its end");
}

}  // namespace
}  // namespace vmferry
