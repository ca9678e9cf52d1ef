// The server's key and certificate, as files of the store.
#include "protocol/error.h"
#include "target-server/serve/server.h"
#include "target-server/store/local_files.h"

namespace vmferry::target_server {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t file_bytes_max = 64 << 10;
constexpr std::chrono::days valid_for{3650};

fs::path key_file(const fs::path& store) { return store / "server.key"; }
fs::path certificate_file(const fs::path& store) { return store / "server.crt"; }

std::string text_of(const fs::path& file) { return std::string(as_text(store::read_whole(file, file_bytes_max))); }

void write_certificate(const fs::path& store, const TlsIdentity& identity) {
  store::write_durably(certificate_file(store), as_bytes(identity.certificate_pem), store::Existing::replace);
}

}  // namespace

TlsIdentity server_identity(const fs::path& store) {
  if (!store::facts_of(key_file(store))) {
    const TlsIdentity made = make_tls_identity("vmferry-target", valid_for);
    write_certificate(store, made);
    // The key last: with it the identity is there. Of two processes that make one, both use the first one's key.
    store::write_durably(key_file(store), as_bytes(made.key_pem), store::Existing::keep);
  }
  TlsIdentity identity{text_of(key_file(store)), {}};
  if (store::facts_of(certificate_file(store))) identity.certificate_pem = text_of(certificate_file(store));
  try {
    fingerprint_of(identity);
    valid_until(identity);
  } catch (const Error&) {  // the certificate is gone, or damaged: the key is what counts
    identity.certificate_pem.clear();
    identity = renew_certificate(identity, valid_for);
    write_certificate(store, identity);
  }
  return identity;
}

TlsIdentity renew_server_certificate(const fs::path& store) {
  const TlsIdentity renewed = renew_certificate(server_identity(store), valid_for);
  write_certificate(store, renewed);
  return renewed;
}

}  // namespace vmferry::target_server
