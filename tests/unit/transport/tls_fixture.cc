#include "tests/unit/transport/tls_fixture.h"

#include <array>
#include <fstream>

namespace vmferry::test {

const TlsIdentity& target_identity() {
  static const TlsIdentity identity = make_tls_identity("target", std::chrono::days(30));
  return identity;
}

const TlsIdentity& controller_identity() {
  static const TlsIdentity identity = make_tls_identity("controller", std::chrono::days(30));
  return identity;
}

TlsConnectOptions options_for(const TlsIdentity& target) {
  TlsConnectOptions options;
  options.identity = controller_identity();
  options.server = fingerprint_of(target);
  return options;
}

TlsPair connected_pair(TlsListener& listener, const HostPort& through) {
  TlsPair pair;
  pair.client = connect_tls(through, options_for(target_identity()));
  pair.server = std::move(listener.accept().value().transport);
  return pair;
}

TlsPair connected_pair() {
  const auto listener = listen_tls({"127.0.0.1", 0}, target_identity());
  return connected_pair(*listener, listener->address());
}

void send(Transport& transport, ByteView bytes) {
  const std::array<ByteView, 1> parts = {bytes};
  transport.send(parts);
}

Bytes receive(Transport& transport, std::size_t count) {
  Bytes received(count);
  std::size_t have = 0;
  while (have < count) {
    const std::size_t more = transport.receive(std::span(received).subspan(have));
    if (more == 0) break;
    have += more;
  }
  received.resize(have);
  return received;
}

void write_files(const TlsIdentity& identity, const TemporaryDirectory& directory) {
  std::ofstream(directory / "key.pem") << identity.key_pem;
  std::ofstream(directory / "certificate.pem") << identity.certificate_pem;
}

}  // namespace vmferry::test
