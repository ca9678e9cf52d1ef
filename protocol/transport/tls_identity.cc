// Keys, certificates and fingerprints: making them, and reading PEM.
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "protocol/error.h"
#include "protocol/random_bytes.h"
#include "protocol/transport/tls.h"
#include "protocol/transport/tls_openssl.h"

namespace vmferry {
namespace {

using openssl::Certificate;
using openssl::Io;
using openssl::Key;

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view prefix = "SHA256:";
constexpr std::size_t text_digits = 43;  // 32 bytes, 6 bits a digit

// So long before now does a certificate begin: the other side's clock may be behind.
constexpr std::chrono::hours clock_leeway{24};

std::string text_of(const Io& memory) {
  char* begin = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &begin);
  return std::string(begin, static_cast<std::size_t>(size));
}

Io reading(const std::string& text) { return Io(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string pem_of(EVP_PKEY& key) {
  const Io memory(BIO_new(BIO_s_mem()));
  openssl::check(PEM_write_bio_PKCS8PrivateKey(memory.get(), &key, nullptr, nullptr, 0, nullptr, nullptr),
                 "cannot write a key");
  return text_of(memory);
}

std::string pem_of(X509& certificate) {
  const Io memory(BIO_new(BIO_s_mem()));
  openssl::check(PEM_write_bio_X509(memory.get(), &certificate), "cannot write a certificate");
  return text_of(memory);
}

// X.509 allows 64 characters; the name is a label for people and nothing is decided by it.
std::string label_of(const std::string& common_name) {
  std::string label;
  for (const char c : common_name.substr(0, 64)) label += c >= ' ' && c <= '~' ? c : '?';
  return label.empty() ? "vmferry" : label;
}

void set_dates(X509& certificate, std::chrono::days valid_for) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const auto ends = std::chrono::seconds(valid_for).count();
  const auto begins = std::min<std::int64_t>(-std::chrono::seconds(clock_leeway).count(), ends);
  std::time_t from = now, to = now;
  if (X509_time_adj_ex(X509_getm_notBefore(&certificate), 0, static_cast<long>(begins), &from) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(&certificate), 0, static_cast<long>(ends), &to) == nullptr)
    openssl::cannot("cannot date a certificate");
}

void set_serial(X509& certificate) {
  std::array<unsigned char, 16> serial{};
  fill_random(std::as_writable_bytes(std::span(serial)));
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3f) | 0x40);  // positive, and never shorter
  const std::unique_ptr<BIGNUM, openssl::Free<BN_free>> number(
      BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  if (!number || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) == nullptr)
    openssl::cannot("cannot number a certificate");
}

Certificate sign_certificate(EVP_PKEY& key, const std::string& label, std::chrono::days valid_for) {
  Certificate certificate(X509_new());
  if (!certificate) openssl::cannot("cannot make a certificate");
  openssl::check(X509_set_version(certificate.get(), X509_VERSION_3), "cannot make a certificate");
  set_serial(*certificate);
  set_dates(*certificate, valid_for);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  openssl::check(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                            reinterpret_cast<const unsigned char*>(label.data()),
                                            static_cast<int>(label.size()), -1, 0),
                 "cannot name a certificate");
  openssl::check(X509_set_issuer_name(certificate.get(), name), "cannot name a certificate");
  openssl::check(X509_set_pubkey(certificate.get(), &key), "cannot make a certificate");
  openssl::check(X509_sign(certificate.get(), &key, EVP_sha256()), "cannot sign a certificate");
  return certificate;
}

std::string common_name_of(const X509& certificate) {
  std::array<char, 256> name{};
  const int length = X509_NAME_get_text_by_NID(X509_get_subject_name(&certificate), NID_commonName, name.data(),
                                               static_cast<int>(name.size()));
  return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : std::string();
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1)
    throw Error(ErrorCode::malformed, "this certificate has no proper dates");
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

// Never asks at the terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

namespace openssl {

std::string last_words() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "OpenSSL does not say why" : reason;
}

void cannot(const std::string& what) { throw Error(ErrorCode::failed, what, {}, last_words()); }

void check(long one, const std::string& what) {
  if (one <= 0) cannot(what);
}

Key read_key(const std::string& pem) {
  ERR_clear_error();
  Key key(PEM_read_bio_PrivateKey(reading(pem).get(), nullptr, no_passphrase, nullptr));
  if (!key) throw Error(ErrorCode::malformed, "this is not a private key in PEM, without a passphrase", {}, last_words());
  return key;
}

Certificate read_certificate(const std::string& pem) {
  ERR_clear_error();
  Certificate certificate(PEM_read_bio_X509(reading(pem).get(), nullptr, no_passphrase, nullptr));
  if (!certificate) throw Error(ErrorCode::malformed, "this is not a certificate in PEM", {}, last_words());
  return certificate;
}

KeyFingerprint fingerprint_of(const X509& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &der);
  if (size <= 0) throw Error(ErrorCode::malformed, "this certificate has no public key", {}, last_words());
  KeyFingerprint fingerprint;
  SHA256(der, static_cast<std::size_t>(size), reinterpret_cast<unsigned char*>(fingerprint.bytes.data()));
  OPENSSL_free(der);
  return fingerprint;
}

std::chrono::system_clock::time_point valid_from(const X509& certificate) {
  return time_of(X509_get0_notBefore(&certificate));
}
std::chrono::system_clock::time_point valid_until(const X509& certificate) {
  return time_of(X509_get0_notAfter(&certificate));
}

std::string date_text(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  std::array<char, 40> text{};
  ::gmtime_r(&seconds, &parts);
  return std::string(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts));
}

}  // namespace openssl

std::string KeyFingerprint::to_string() const {
  std::string text(prefix);
  unsigned bits = 0, count = 0;
  for (const std::byte byte : bytes) {
    bits = bits << 8 | std::to_integer<unsigned>(byte);
    for (count += 8; count >= 6; count -= 6) text += digits[bits >> (count - 6) & 63];
  }
  text += digits[bits << (6 - count) & 63];
  return text;
}

std::optional<KeyFingerprint> KeyFingerprint::parse(std::string_view text) {
  if (text.size() != prefix.size() + text_digits || !text.starts_with(prefix)) return std::nullopt;
  KeyFingerprint fingerprint;
  unsigned bits = 0, count = 0;
  std::size_t at = 0;
  for (const char digit : text.substr(prefix.size())) {
    const std::size_t value = digits.find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    fingerprint.bytes[at++] = static_cast<std::byte>(bits >> count & 0xff);
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;  // one fingerprint has one text
  return fingerprint;
}

TlsIdentity make_tls_identity(const std::string& common_name, std::chrono::days valid_for) {
  ERR_clear_error();
  const Key key(EVP_EC_gen("P-256"));
  if (!key) openssl::cannot("cannot make a key");
  return {pem_of(*key), pem_of(*sign_certificate(*key, label_of(common_name), valid_for))};
}

TlsIdentity renew_certificate(const TlsIdentity& identity, std::chrono::days valid_for) {
  const Key key = openssl::read_key(identity.key_pem);
  std::string name = "vmferry";
  if (!identity.certificate_pem.empty()) name = common_name_of(*openssl::read_certificate(identity.certificate_pem));
  return {identity.key_pem, pem_of(*sign_certificate(*key, label_of(name), valid_for))};
}

KeyFingerprint fingerprint_of(const TlsIdentity& identity) {
  return openssl::fingerprint_of(*openssl::read_certificate(identity.certificate_pem));
}

std::chrono::system_clock::time_point valid_until(const TlsIdentity& identity) {
  return openssl::valid_until(*openssl::read_certificate(identity.certificate_pem));
}

}  // namespace vmferry
