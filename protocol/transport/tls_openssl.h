// OpenSSL's handles with owners, and its error queue as text. For the .cc files of TLS only.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <chrono>
#include <memory>
#include <string>

#include "protocol/transport/tls.h"

namespace vmferry::openssl {

template <auto free>
struct Free {
  template <typename Handle>
  void operator()(Handle* handle) const noexcept {
    free(handle);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Io = std::unique_ptr<BIO, Free<BIO_free>>;

// What OpenSSL said last, without its file names; empties the queue.
std::string last_words();

// Throw Error{failed}: what could not be done, and OpenSSL's last words. Its functions give 1 where all is well.
[[noreturn]] void cannot(const std::string& what);
void check(long one, const std::string& what);

// PEM in, PEM out. Throw Error{malformed}.
Key read_key(const std::string& pem);
Certificate read_certificate(const std::string& pem);

KeyFingerprint fingerprint_of(const X509& certificate);
std::chrono::system_clock::time_point valid_from(const X509& certificate);
std::chrono::system_clock::time_point valid_until(const X509& certificate);
std::string date_text(std::chrono::system_clock::time_point time);  // "2026-03-01 09:30 UTC"

}  // namespace vmferry::openssl
