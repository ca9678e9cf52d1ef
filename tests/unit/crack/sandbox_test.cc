#include "engine/crack/sandbox.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include "protocol/error.h"
#include "tests/unit/crack/cracked.h"

namespace vmferry::crack {
namespace {

VolumeBytes zeros(std::uint64_t size) {
  return {size, [](std::uint64_t, std::span<std::byte> into) { std::fill(into.begin(), into.end(), std::byte{0}); }};
}

// What became of a child that broke a rule.
std::string fate_of(BrokenRule rule, const SandboxLimits& limits = {}) {
  Sandbox sandbox(zeros(1 << 20), limits, std::chrono::seconds(30));
  try {
    sandbox.run(MessageKind::break_rule, static_cast<std::uint64_t>(rule), [](ByteView) {});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::malformed);
    return error.what();
  }
  return "it got away with it";
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

TEST(SandboxRules, ACrackerThatOpensAFileIsStopped) {
  EXPECT_NE(fate_of(BrokenRule::open_file).find("may not make"), std::string::npos) << fate_of(BrokenRule::open_file);
}

TEST(SandboxRules, ACrackerThatOpensASocketOrAProcessIsStopped) {
  EXPECT_NE(fate_of(BrokenRule::open_socket).find("may not make"), std::string::npos);
  EXPECT_NE(fate_of(BrokenRule::fork).find("may not make"), std::string::npos);
}

TEST(SandboxRules, ACrackerThatSignalsAnotherProcessIsStopped) {
  EXPECT_NE(fate_of(BrokenRule::abort_another).find("may not make"), std::string::npos);
}

TEST(SandboxRules, ACrackerThatCrashesIsReportedWithItsSignal) {
  const std::string fate = fate_of(BrokenRule::crash);
  EXPECT_TRUE(fate.find("crashed (signal 11)") != std::string::npos || fate.find("ended early") != std::string::npos) << fate;
}

TEST(SandboxRules, ACrackerThatRunsForeverIsEnded) {
  SandboxLimits limits;
  limits.time_max = std::chrono::seconds(1);
  EXPECT_NE(fate_of(BrokenRule::run_forever, limits).find("ran out of time"), std::string::npos);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(SandboxRules, ACrackerThatHoardsMemoryIsToldNo) {
  SandboxLimits limits;
  limits.memory_bytes_max = 64 << 20;
  EXPECT_NE(fate_of(BrokenRule::use_all_memory, limits).find("ran out of memory (64 MiB)"), std::string::npos);
}
#endif

TEST(SandboxRules, ACrackerThatReadsOutsideItsVolumeIsEnded) {
  EXPECT_NE(fate_of(BrokenRule::read_outside).find("broke the rules"), std::string::npos);
}

TEST(Sandbox, LeavesNoDescriptorAndNoProcessBehind) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 5; ++i) {
    fate_of(BrokenRule::crash);
    Cracked nothing;
    EXPECT_THROW(crack_volume(zeros(1 << 20), {}, nothing), Error);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Sandbox, WhatTheReaderThrowsReachesTheCaller) {
  const VolumeBytes broken{1 << 20, [](std::uint64_t, std::span<std::byte>) -> void {
                             throw Error(ErrorCode::unreachable, "the store is gone");
                           }};
  Cracked nothing;
  try {
    crack_volume(broken, {}, nothing);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
  }
}

TEST(Sandbox, AVolumeThatIsNoNtfsIsNamedSo) {
  Cracked nothing;
  try {
    crack_volume(zeros(1 << 20), {}, nothing);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::malformed);
    EXPECT_NE(std::string(error.what()).find("boot sector"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace vmferry::crack
