// TlsEngine: the TLS 1.3 of one connection without its socket: what arrived goes in, what is to be sent comes out.
// First handshake() until it is true; then one thread may read() while another writes, if each call of read(), write(),
// finish() and output() is made under one lock of theirs; input_room() and input_arrived() belong to the reading thread
// and need none. Errors are Error{unreachable} unless said otherwise; after one the engine is of no use.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"
#include "protocol/error.h"
#include "protocol/transport/tls.h"

struct ssl_st;
struct ssl_ctx_st;

namespace vmferry {

// What all connections of one identity share. Thread-safe.
using TlsContext = std::shared_ptr<ssl_ctx_st>;
TlsContext tls_client_context(const TlsIdentity& identity);  // throw Error{malformed} for an identity that is none
TlsContext tls_server_context(const TlsIdentity& identity);

inline constexpr std::size_t tls_record_bytes = 16 * 1024;  // the most content that one record carries
inline constexpr std::size_t tls_output_bytes_max = 256 * 1024;  // send output() when there is so much of it
// AES-GCM may protect 2^24.5 full records with one key (RFC 8446, 5.5); we change it long before.
inline constexpr std::uint64_t tls_key_lifetime_bytes = std::uint64_t{64} << 30;

class TlsEngine {
 public:
  // peer_name: for sentences. must_show: the key that a client wants to see; a server takes any and asks peer().
  TlsEngine(const TlsContext& context, std::string peer_name, std::optional<KeyFingerprint> must_show,
            std::uint64_t key_lifetime_bytes = tls_key_lifetime_bytes);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  // True: done. False: it wants more input. Either way, and after an error too, output() is to be sent.
  // Throws Error{refused} where a client's peer shows another key, or a certificate that is not valid today.
  bool handshake();
  const KeyFingerprint& peer() const noexcept { return peer_; }

  // Room for at least `bytes` that arrive, and then how many did.
  std::span<std::byte> input_room(std::size_t bytes);
  void input_arrived(std::size_t bytes) noexcept { input_end_ += bytes; }

  // How much was read; 0: it wants more input, or the peer has ended().
  std::size_t read(std::span<std::byte> into);
  bool ended() const noexcept { return ended_; }

  void write(ByteView bytes);
  void finish();  // the peer's read() ends after what was written
  Bytes& output() noexcept { return output_; }

  // A connection that has gone quiet gives its memory back.
  void release_input();
  void release_output();

 private:
  friend struct TlsEngineIo;
  friend struct TlsEngineVerifier;

  struct FreeSession {
    void operator()(ssl_st* session) const noexcept;
  };

  [[noreturn]] void throw_handshake_failure();
  [[noreturn]] void throw_broken(std::string why);

  TlsContext context_;
  std::string peer_name_;
  std::optional<KeyFingerprint> must_show_;
  std::uint64_t key_lifetime_bytes_;
  KeyFingerprint peer_;
  std::optional<Error> verdict_;      // why a client did not like what it was shown
  std::optional<std::string> fault_;  // what ended it
  Bytes input_, output_;
  std::size_t input_begin_ = 0, input_end_ = 0;
  std::uint64_t written_with_this_key_bytes_ = 0;
  bool ended_ = false;
  std::unique_ptr<ssl_st, FreeSession> session_;  // last: it reaches into all of the above
};

}  // namespace vmferry
