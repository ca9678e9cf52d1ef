// Keys and certificates, as OpenSSL's own programs read them.
#include <gmock/gmock.h>

#include "tests/support/process.h"
#include "tests/unit/transport/tls_fixture.h"

namespace vmferry {
namespace {

using testing::HasSubstr;
using namespace test;

std::string openssl(std::vector<std::string> arguments, const std::string& input = {}) {
  arguments.insert(arguments.begin(), "openssl");
  return run_ok(arguments, {.input = input}).out;
}

TEST(TlsIdentity, OpensslReadsAP256KeyAndItsSelfSignedCertificate) {
  const TlsIdentity identity = make_tls_identity("backup.example", std::chrono::days(365));
  const std::string text = openssl({"x509", "-noout", "-text"}, identity.certificate_pem);
  EXPECT_THAT(text, HasSubstr("Version: 3"));
  EXPECT_THAT(text, HasSubstr("NIST CURVE: P-256"));
  EXPECT_THAT(text, HasSubstr("Signature Algorithm: ecdsa-with-SHA256"));
  EXPECT_THAT(text, HasSubstr("Issuer: CN = backup.example"));
  EXPECT_THAT(text, HasSubstr("Subject: CN = backup.example"));
  const TemporaryDirectory directory;
  write_files(identity, directory);
  EXPECT_THAT(openssl({"verify", "-CAfile", directory / "certificate.pem", directory / "certificate.pem"}), HasSubstr("OK"));
  EXPECT_THAT(openssl({"pkey", "-noout", "-check"}, identity.key_pem), HasSubstr("valid"));
  EXPECT_EQ(openssl({"pkey", "-pubout"}, identity.key_pem), openssl({"x509", "-noout", "-pubkey"}, identity.certificate_pem));
}

TEST(TlsIdentity, ItIsValidFromADayAgoForAsLongAsAsked) {
  const TlsIdentity identity = make_tls_identity("x", std::chrono::days(10));
  const auto left = valid_until(identity) - std::chrono::system_clock::now();
  EXPECT_LE(left, std::chrono::days(10));
  EXPECT_GT(left, std::chrono::days(10) - std::chrono::minutes(5));
  EXPECT_EQ(run({"openssl", "x509", "-noout", "-checkend", std::to_string(9 * 86400)}, {.input = identity.certificate_pem}).exit_code, 0);
  EXPECT_EQ(run({"openssl", "x509", "-noout", "-checkend", std::to_string(10 * 86400)}, {.input = identity.certificate_pem}).exit_code, 1);
}

TEST(TlsIdentity, DatesPastTheYear2050Hold) {
  const TlsIdentity identity = make_tls_identity("x", std::chrono::days(40 * 365));
  EXPECT_GT(valid_until(identity) - std::chrono::system_clock::now(), std::chrono::days(39 * 365));
}

TEST(TlsIdentity, TheFingerprintIsTheSha256OfThePublicKeyInDer) {
  const TlsIdentity identity = make_tls_identity("x", std::chrono::days(1));
  const TemporaryDirectory directory;
  openssl({"pkey", "-pubout", "-outform", "DER", "-out", directory / "key.der"}, identity.key_pem);
  std::string expected = run_ok({"sh", "-c", "openssl dgst -sha256 -binary " + (directory / "key.der").string() + " | base64"}).out;
  expected.resize(43);  // no padding
  EXPECT_EQ(fingerprint_of(identity).to_string(), "SHA256:" + expected);
}

TEST(TlsIdentity, AFingerprintsTextIsReadBackAndNoOtherTextIs) {
  for (int round = 0; round < 50; ++round) {
    KeyFingerprint fingerprint;
    for (std::size_t i = 0; i < fingerprint.bytes.size(); ++i)
      fingerprint.bytes[i] = static_cast<std::byte>(round * 37 + static_cast<int>(i * i) * 11);
    const std::string text = fingerprint.to_string();
    EXPECT_EQ(text.size(), 50u);
    EXPECT_EQ(KeyFingerprint::parse(text), fingerprint);
    EXPECT_EQ(KeyFingerprint::parse(text + "="), std::nullopt);
    EXPECT_EQ(KeyFingerprint::parse(text.substr(0, 49)), std::nullopt);
    EXPECT_EQ(KeyFingerprint::parse("MD5:--:" + text.substr(7)), std::nullopt);
    std::string wrong = text;
    wrong[20] = '-';
    EXPECT_EQ(KeyFingerprint::parse(wrong), std::nullopt);
    wrong = text;
    wrong.back() = 'B';  // the last digit has two bits to spare, which must be 0
    EXPECT_EQ(KeyFingerprint::parse(wrong), std::nullopt);
  }
  EXPECT_EQ(KeyFingerprint::parse(""), std::nullopt);
}

TEST(TlsIdentity, ARenewedCertificateHasTheSameKeyAndNameAndNewDates) {
  const TlsIdentity old = make_tls_identity("backup.example", std::chrono::days(-1));
  const TlsIdentity renewed = renew_certificate(old, std::chrono::days(100));
  EXPECT_EQ(renewed.key_pem, old.key_pem);
  EXPECT_EQ(fingerprint_of(renewed), fingerprint_of(old));
  EXPECT_LT(valid_until(old), std::chrono::system_clock::now());
  EXPECT_GT(valid_until(renewed), std::chrono::system_clock::now() + std::chrono::days(99));
  EXPECT_THAT(openssl({"x509", "-noout", "-subject"}, renewed.certificate_pem), HasSubstr("backup.example"));
  EXPECT_NE(openssl({"x509", "-noout", "-serial"}, renewed.certificate_pem),
            openssl({"x509", "-noout", "-serial"}, old.certificate_pem));
}

TEST(TlsIdentity, ANameThatX509HasNoRoomForIsCutAndNothingInItDoesHarm) {
  const TlsIdentity identity = make_tls_identity(std::string(300, 'n') + "\n", std::chrono::days(1));
  EXPECT_THAT(openssl({"x509", "-noout", "-subject"}, identity.certificate_pem), HasSubstr(std::string(64, 'n')));
  EXPECT_NO_THROW(make_tls_identity("", std::chrono::days(1)));
  EXPECT_THAT(openssl({"x509", "-noout", "-subject"}, make_tls_identity("a\nb", std::chrono::days(1)).certificate_pem),
              HasSubstr("a?b"));
}

TEST(TlsIdentity, WhatIsNoPemIsMalformed) {
  const TlsIdentity broken = {"no key", "no certificate"};
  EXPECT_EQ(error_of([&] { fingerprint_of(broken); }).code(), ErrorCode::malformed);
  EXPECT_EQ(error_of([&] { valid_until(broken); }).code(), ErrorCode::malformed);
  EXPECT_EQ(error_of([&] { renew_certificate(broken, std::chrono::days(1)); }).code(), ErrorCode::malformed);
  EXPECT_EQ(error_of([&] { listen_tls({"127.0.0.1", 0}, broken); }).code(), ErrorCode::malformed);
  const TlsIdentity mixed = {target_identity().key_pem, controller_identity().certificate_pem};
  EXPECT_EQ(error_of([&] { listen_tls({"127.0.0.1", 0}, mixed); }).code(), ErrorCode::malformed);
}

TEST(TlsIdentity, AKeyThatNeedsAPassphraseIsRefusedAndNobodyIsAsked) {
  const std::string locked = openssl({"pkcs8", "-topk8", "-v2", "aes-128-cbc", "-passout", "pass:secret"}, target_identity().key_pem);
  const TlsIdentity identity = {locked, target_identity().certificate_pem};
  EXPECT_EQ(error_of([&] { listen_tls({"127.0.0.1", 0}, identity); }).code(), ErrorCode::malformed);
}

}  // namespace
}  // namespace vmferry
