// TLS 1.3 over TCP, the one kind of encrypted connection that a target listens for. Both ends show a key of their own
// and nothing else is trusted: the client pins the fingerprint of the server's key, the server looks the client's up
// among its clients. No certificate authority, no names: a certificate is the key's wrapping, with dates.
// Asio drives connecting and the handshakes (a listener's on the process's IoLoop). Once connected, content is encrypted
// and decrypted on the threads that send and receive: connections do not share a thread, and the Transports block as all
// do. An end without TLS's own close is Error{unreachable}, never the end.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "protocol/bytes.h"
#include "protocol/transport/host_port.h"
#include "protocol/transport/transport.h"

namespace vmferry {

// SHA-256 of a public key (SubjectPublicKeyInfo, DER). Text: "SHA256:" and 43 characters of base64, as ssh-keygen
// writes fingerprints. A certificate that is renewed with the same key keeps it.
struct KeyFingerprint {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const KeyFingerprint&) const = default;
  std::string to_string() const;
  static std::optional<KeyFingerprint> parse(std::string_view text);
};

// A private key and a self-signed certificate of it, both PEM. ECDSA P-256.
struct TlsIdentity {
  std::string key_pem;
  std::string certificate_pem;
};
// Valid from a day ago, for clocks that are behind. Of the name 64 characters, ASCII; it is a label for people.
TlsIdentity make_tls_identity(const std::string& common_name, std::chrono::days valid_for);
// The same key, and so the same fingerprint, with new dates; the former certificate may be missing. Throws Error{malformed}.
TlsIdentity renew_certificate(const TlsIdentity& identity, std::chrono::days valid_for);
KeyFingerprint fingerprint_of(const TlsIdentity& identity);                          // throws Error{malformed}
std::chrono::system_clock::time_point valid_until(const TlsIdentity& identity);      // throws Error{malformed}

struct TlsConnectOptions {
  TlsIdentity identity;                            // the client's
  KeyFingerprint server;                           // that the server must show
  std::chrono::milliseconds timeout{15'000};       // for name, TCP and TLS together
  std::optional<unsigned> dscp;                    // 0 to 63
};
// Throws Error{unreachable} for what another try may heal (no route, refused, timeout, reset), Error{refused} where the
// server shows another key or a certificate whose dates are wrong: the sentence says which, and what to do.
std::unique_ptr<Transport> connect_tls(const HostPort& where, const TlsConnectOptions& options);

struct TlsListenOptions {
  std::size_t handshakes_max = 256;                // at a time, with those that accept() has not taken
  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds give_way_after{500};   // when the room is full: the handshake that has waited longest is closed
                                                   // once it is that old; until then the next peer waits in the kernel
  std::optional<unsigned> dscp;
};

struct AcceptedTls {
  std::unique_ptr<Transport> transport;
  KeyFingerprint client;                           // of the key that the peer proved to hold; anybody can make one
  std::string address;                             // "192.0.2.7:51234", for logs
};

// Accepts TLS 1.3 with a client key, and nothing less. Handshakes run on the IoLoop, and slow ones give way: slow peers
// delay nobody while they are fewer than handshakes_max, and by give_way_after for each such number that came before.
class TlsListener {
 public:
  virtual ~TlsListener() = default;
  virtual std::optional<AcceptedTls> accept() = 0;  // nullopt after stop()
  virtual void stop() noexcept = 0;                 // from any thread
  virtual HostPort address() const = 0;             // with the port that port 0 became
};
// Port 0: any. Host "" is not valid; "::" listens on IPv4 too. Throws Error{busy}, Error{permission}, Error{not_found} for
// a name that is not known or an address that is not this host's, Error{malformed} for an identity that is none. Renewed certificates are shown by a
// new listener only. Once it is destroyed the port is free; what accept() gave out lives on.
std::unique_ptr<TlsListener> listen_tls(const HostPort& where, const TlsIdentity& identity,
                                        const TlsListenOptions& options = {});

}  // namespace vmferry
