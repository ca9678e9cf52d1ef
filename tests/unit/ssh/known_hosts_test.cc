// known_hosts by the rules of sshd(8); hashed files are made, and hosts looked up, by ssh-keygen too.
#include "protocol/transport/known_hosts.h"

#include <gmock/gmock.h>

#include <fstream>

#include "protocol/error.h"
#include "protocol/transport/ssh_keys.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace vmferry {
namespace {

using Verdict = KnownHosts::Verdict;
using testing::ElementsAre;

// A key's line of the given type; the same number gives the same key.
Bytes key_blob(const std::string& type, int number) {
  Bytes blob;
  append_ssh_string(blob, as_bytes(type));
  append_ssh_string(blob, Bytes(32, static_cast<std::byte>(number)));
  return blob;
}
std::string key_text(const std::string& type, int number) { return type + " " + encode_base64(key_blob(type, number)); }

const Bytes first = key_blob("ssh-ed25519", 1), second = key_blob("ssh-ed25519", 2),
            ecdsa = key_blob("ecdsa-sha2-nistp256", 3);
const std::string first_text = key_text("ssh-ed25519", 1), second_text = key_text("ssh-ed25519", 2),
                  ecdsa_text = key_text("ecdsa-sha2-nistp256", 3);

class KnownHostsTest : public testing::Test {
 protected:
  KnownHosts known(const std::string& text) {
    std::ofstream(file_) << text;
    return KnownHosts::read({file_});
  }
  test::TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "known_hosts";
};

TEST_F(KnownHostsTest, AHostIsKnownByItsKeyAndChangedWithAnother) {
  const KnownHosts hosts = known("# a comment\n\nother " + second_text + "\nweb,192.0.2.7 " + first_text + " a comment\n");
  EXPECT_EQ(hosts.check("web", 22, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("WEB", 22, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("192.0.2.7", 22, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("we", 22, first).verdict, Verdict::unknown);
  const KnownHosts::Answer changed = hosts.check("web", 22, second);
  EXPECT_EQ(changed.verdict, Verdict::changed);
  EXPECT_EQ(changed.file, file_);
  EXPECT_EQ(changed.line, 4u);
}

// Else whoever listens in needs only to show a key of another type.
TEST_F(KnownHostsTest, AKeyOfAnotherTypeThanTheKnownOneIsAChangeToo) {
  EXPECT_EQ(known("web " + first_text + "\n").check("web", 22, ecdsa).verdict, Verdict::changed);
}

TEST_F(KnownHostsTest, OneOfSeveralKeysIsEnough) {
  const KnownHosts hosts = known("web " + ecdsa_text + "\nweb " + second_text + "\nweb " + first_text + "\n");
  EXPECT_EQ(hosts.check("web", 22, first).verdict, Verdict::known);
  EXPECT_THAT(hosts.key_types("web", 22), ElementsAre("ecdsa-sha2-nistp256", "ssh-ed25519"));
  EXPECT_THAT(hosts.key_types("other", 22), ElementsAre());
}

TEST_F(KnownHostsTest, ARevokedKeyIsRefusedWhereverItStands) {
  for (const std::string& text : {"web " + first_text + "\n@revoked web " + first_text + "\n",
                                  "@revoked * " + first_text + "\nweb " + first_text + "\n"}) {
    const KnownHosts hosts = known(text);
    EXPECT_EQ(hosts.check("web", 22, first).verdict, Verdict::revoked);
    EXPECT_EQ(hosts.check("web", 2222, first).verdict == Verdict::revoked, true) << "on any port";
    EXPECT_EQ(hosts.check("web", 22, second).verdict, Verdict::changed);
  }
  EXPECT_THAT(known("@revoked web " + first_text + "\n").key_types("web", 22), ElementsAre());
  EXPECT_EQ(known("@revoked web " + first_text + "\n").check("web", 22, second).verdict, Verdict::unknown);
}

TEST_F(KnownHostsTest, ACertificateAuthorityIsNoHostKey) {
  EXPECT_EQ(known("@cert-authority * " + first_text + "\n").check("web", 22, first).verdict, Verdict::unknown);
  EXPECT_EQ(known("@something * " + first_text + "\n").check("web", 22, first).verdict, Verdict::unknown);
}

TEST_F(KnownHostsTest, WildcardsAndNegations) {
  const KnownHosts hosts = known("*.example.com,!bad.example.com,h?st,[10.0.0.*]:22* " + first_text + "\n");
  EXPECT_EQ(hosts.check("a.b.example.com", 22, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("bad.example.com", 22, first).verdict, Verdict::unknown);
  EXPECT_EQ(hosts.check("example.com", 22, first).verdict, Verdict::unknown);
  EXPECT_EQ(hosts.check("host", 22, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("hoost", 22, first).verdict, Verdict::unknown);
  EXPECT_EQ(hosts.check("10.0.0.9", 2222, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("10.0.0.9", 2322, first).verdict, Verdict::unknown);
}

TEST_F(KnownHostsTest, AnotherPortIsAnotherHostButAKeyKnownWithoutAPortIsGoodForAny) {
  const KnownHosts hosts = known("[web]:2222 " + first_text + "\nweb " + second_text + "\n");
  EXPECT_EQ(hosts.check("web", 2222, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("web", 22, first).verdict, Verdict::changed);
  EXPECT_EQ(hosts.check("web", 2223, second).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("web", 2223, first).verdict, Verdict::unknown);
  EXPECT_EQ(hosts.check("web", 2222, second).verdict, Verdict::changed);
}

TEST_F(KnownHostsTest, HashedNamesAsSshKeygenWritesThem) {
  std::ofstream(file_) << "web.example.com " << first_text << "\n[web.example.com]:2222 " << second_text << "\n@revoked old "
                       << ecdsa_text << "\n";
  test::run_ok({"ssh-keygen", "-H", "-f", file_});
  const KnownHosts hosts = KnownHosts::read({file_});
  EXPECT_EQ(std::filesystem::exists(file_), true);
  EXPECT_EQ(hosts.check("Web.Example.com", 22, first).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("web.example.com", 2222, second).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("web.example.com", 22, second).verdict, Verdict::changed);
  EXPECT_EQ(hosts.check("old", 22, ecdsa).verdict, Verdict::revoked);
  EXPECT_EQ(hosts.check("elsewhere", 22, first).verdict, Verdict::unknown);
  EXPECT_NE(test::run_ok({"ssh-keygen", "-F", "web.example.com", "-f", file_}).out.find("|1|"), std::string::npos)
      << "the judge sees hashed names too";
}

TEST_F(KnownHostsTest, SeveralFilesCountAsOneAndThoseThatAreNotThereAsEmpty) {
  std::ofstream(directory_ / "one") << "web " << first_text << "\n";
  std::ofstream(directory_ / "two") << "@revoked web " << first_text << "\nweb " << second_text << "\n";
  const KnownHosts hosts = KnownHosts::read({directory_ / "none", directory_ / "one", directory_ / "two"});
  EXPECT_EQ(hosts.check("web", 22, first).verdict, Verdict::revoked);
  EXPECT_EQ(hosts.check("web", 22, second).verdict, Verdict::known);
  EXPECT_EQ(hosts.check("web", 22, second).file, directory_ / "two");
}

TEST_F(KnownHostsTest, BrokenLinesAreSkippedAndKnowNothing) {
  const std::string base64 = first_text.substr(first_text.find(' ') + 1);
  for (const std::string& line :
       {std::string("web"), std::string("web ssh-ed25519"), std::string("web ssh-ed25519 !!!!"), "web ssh-rsa " + base64,
        "web ssh-ed25519 " + base64.substr(1), "|1|x|y " + first_text, "|1|" + first_text, "|1||| " + first_text,
        std::string("@revoked"), std::string(200'000, 'x'), "web ssh-ed25519 " + std::string(200'000, 'A'),
        std::string("web \0 ssh-ed25519", 17)})
    EXPECT_EQ(known(line + "\n").check("web", 22, first).verdict, Verdict::unknown) << line.substr(0, 80);
}

TEST_F(KnownHostsTest, AFileThatCannotBeReadIsNotTakenForAnEmptyOne) {
  std::filesystem::create_directory(file_);
  EXPECT_THROW(KnownHosts::read({file_}), Error);
}

TEST_F(KnownHostsTest, ALongPatternOfManyStarsTakesNoTime) {
  std::string stars;
  for (int i = 0; i < 2000; ++i) stars += "*a";
  EXPECT_EQ(known(stars + "b " + first_text + "\n").check(std::string(250, 'a'), 22, first).verdict, Verdict::unknown);
}

}  // namespace
}  // namespace vmferry
