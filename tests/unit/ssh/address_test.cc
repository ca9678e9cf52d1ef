// What a user writes of an SSH target, and the words that follow from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "protocol/error.h"
#include "protocol/transport/program_transport.h"
#include "protocol/transport/ssh.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace vmferry {
namespace {

using Words = std::vector<std::string>;

void expect_usage(const std::function<void()>& call, const std::string& of_what) {
  try {
    call();
    ADD_FAILURE() << "taken: " << of_what;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage) << of_what;
  }
}

TEST(SshUrl, ItsPartsAreFound) {
  const SshAddress plain = parse_ssh_url("ssh://backup.example/srv/store");
  EXPECT_EQ(plain.user, "");
  EXPECT_EQ(plain.host, "backup.example");
  EXPECT_EQ(plain.port, 22);
  EXPECT_EQ(plain.store, "/srv/store");
  const SshAddress full = parse_ssh_url("ssh://me@corp@[2001:db8::7]:2222/a store/of mine");
  EXPECT_EQ(full.user, "me@corp");
  EXPECT_EQ(full.host, "2001:db8::7");
  EXPECT_EQ(full.port, 2222);
  EXPECT_EQ(full.store, "/a store/of mine");
}

TEST(SshUrl, WhatCouldBeAnOptionOrACommandIsRefused) {
  for (const char* url : {"ssh://host", "ssh://", "ssh:///store", "ssh://@host/store", "ssh://-oProxyCommand=x/store",
                          "ssh://-l@host/store", "ssh://a b@host/store", "ssh://ho st/store", "ssh://host:0/store",
                          "ssh://host:70000/store", "ssh://host/a\nb", "tls://host/store", "ssh://::1/store"})
    expect_usage([&] { parse_ssh_url(url); }, url);
}

// The far shell is asked what it makes of the command: a real one, with all that could mean something to it.
TEST(FarCommand, AStoreOfAnyNameReachesTheProgramAsOneWord) {
  const std::string store = "/srv/it's \"a\" $HOME `id` \\ * ; rm -rf / & store\xc3\xa9";
  const std::string command = far_command(store);
  ASSERT_TRUE(command.starts_with("vmferry-target session --stdio --store "));
  const test::TemporaryDirectory directory;
  std::ofstream(directory / "vmferry-target") << "#!/bin/sh\nprintf '%s|' \"$@\"\n";
  std::filesystem::permissions(directory / "vmferry-target", std::filesystem::perms::owner_all);
  const auto shell = test::run_ok({"sh", "-c", "PATH=" + directory.path().string() + ":$PATH; " + command});
  EXPECT_EQ(shell.out, "session|--stdio|--store|" + store + "|");
  EXPECT_EQ(far_command("/srv/store"), "vmferry-target session --stdio --store /srv/store");
}

TEST(SshCommand, IsCalledAsRsyncCallsIt) {
  EXPECT_EQ(ssh_command_words("ssh -J 'my jump'", parse_ssh_url("ssh://me@host:2222/srv/store")),
            (Words{"ssh", "-J", "my jump", "-l", "me", "-p", "2222", "host", far_command("/srv/store")}));
  EXPECT_EQ(ssh_command_words("ssh", parse_ssh_url("ssh://host/srv/store")),
            (Words{"ssh", "host", far_command("/srv/store")}));
}

TEST(SplitWords, FollowsTheShellsQuoting) {
  // The same words by a real shell, of commands in which it expands nothing.
  for (const std::string command :
       {"ssh -J jump", "  a\tb\n c  ", "ssh -o 'ProxyCommand=nc -X 5 %h' x", R"(a "b c" d\ e 'f\g' "h\"i\\j\k")", "a '' b",
        R"(x'y'"z"w)"}) {
    std::string joined;
    for (const std::string& word : split_words(command)) joined += word + "|";
    std::string one_line = command;
    std::replace(one_line.begin(), one_line.end(), '\n', ' ');
    EXPECT_EQ(joined, test::run_ok({"sh", "-c", "printf '%s|' " + one_line}).out) << command;
  }
}

TEST(SplitWords, WhatIsNotWholeIsRefused) {
  for (const char* command : {"", "   ", "ssh 'x", "ssh \"x", "ssh x\\", "''"})
    expect_usage([&] { split_words(command); }, command);
}

}  // namespace
}  // namespace vmferry
