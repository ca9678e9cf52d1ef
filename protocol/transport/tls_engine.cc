#include "protocol/transport/tls_engine.h"

#include <algorithm>
#include <cstring>

#include "protocol/error.h"
#include "protocol/transport/tls_openssl.h"

namespace vmferry {
namespace {

// A peer that asks for new keys makes us answer; if it never reads, that must end somewhere.
constexpr std::size_t unread_answers_bytes_max = 64 * 1024;
constexpr long certificate_list_bytes_max = 16 * 1024;

TlsEngine& engine_of(BIO* bio) { return *static_cast<TlsEngine*>(BIO_get_data(bio)); }
TlsEngine& engine_of(const SSL* session) { return *static_cast<TlsEngine*>(SSL_get_ex_data(session, 0)); }

}  // namespace

// OpenSSL's way to the engine's buffers. Writing never blocks, reading asks to be called again.
struct TlsEngineIo {
  static int read(BIO* bio, char* into, int size) {
    TlsEngine& engine = engine_of(bio);
    BIO_clear_retry_flags(bio);
    const std::size_t count = std::min(static_cast<std::size_t>(size), engine.input_end_ - engine.input_begin_);
    if (count == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(into, engine.input_.data() + engine.input_begin_, count);
    engine.input_begin_ += count;
    return static_cast<int>(count);
  }

  static int write(BIO* bio, const char* from, int size) {
    Bytes& output = engine_of(bio).output_;
    const auto* bytes = reinterpret_cast<const std::byte*>(from);
    try {
      output.insert(output.end(), bytes, bytes + size);
    } catch (const std::bad_alloc&) {  // no exception may cross OpenSSL
      return -1;
    }
    return size;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static const std::unique_ptr<BIO_METHOD, openssl::Free<BIO_meth_free>> made = [] {
      std::unique_ptr<BIO_METHOD, openssl::Free<BIO_meth_free>> fresh(
          BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "vmferry"));
      if (fresh) {
        BIO_meth_set_read(fresh.get(), read);
        BIO_meth_set_write(fresh.get(), write);
        BIO_meth_set_ctrl(fresh.get(), control);
        BIO_meth_set_create(fresh.get(), [](BIO* bio) {
          BIO_set_init(bio, 1);
          return 1;
        });
      }
      return fresh;
    }();
    return made.get();
  }
};

// Instead of a chain to an authority: is it the key that was enrolled, and is its certificate of today? That the peer
// holds the key is proved by the handshake itself.
struct TlsEngineVerifier {
  static int verify(X509_STORE_CTX* chain, void*) {
    const auto* session = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const X509* shown = X509_STORE_CTX_get0_cert(chain);
    if (session == nullptr || shown == nullptr) return 0;
    TlsEngine& engine = engine_of(session);
    try {
      engine.peer_ = openssl::fingerprint_of(*shown);
      if (engine.must_show_) judge(engine, *shown);
      return 1;
    } catch (const Error& why) {
      engine.verdict_ = why;
    } catch (const std::exception& why) {
      engine.verdict_ = Error(ErrorCode::failed, "cannot check the peer's certificate", engine.peer_name_, why.what());
    }
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }

  static void judge(const TlsEngine& engine, const X509& shown) {
    if (engine.peer_ != *engine.must_show_)
      throw Error(ErrorCode::refused, "this is not the target that was enrolled", engine.peer_name_,
                  "it shows the key " + engine.peer_.to_string() + ", and enrolled was " + engine.must_show_->to_string() +
                      "; if its key was replaced on purpose, enrol anew with: vmferry enroll -; if nobody knows of it, "
                      "somebody may be listening in between");
    const auto now = std::chrono::system_clock::now();
    if (const auto until = openssl::valid_until(shown); until < now)
      throw Error(ErrorCode::refused, "the target's certificate expired on " + openssl::date_text(until),
                  engine.peer_name_, "on the target: vmferry-target certificate renew --store DIR");
    if (const auto from = openssl::valid_from(shown); from > now)
      throw Error(ErrorCode::refused, "the target's certificate is not valid before " + openssl::date_text(from),
                  engine.peer_name_,
                  "here it is " + openssl::date_text(now) + ": set the clock that is wrong, this host's or the target's");
  }
};

namespace {

TlsContext context_for(const SSL_METHOD* method, const TlsIdentity& identity) {
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) throw Error(ErrorCode::failed, "cannot set up TLS", {}, openssl::last_words());
  SSL_CTX* settings = context.get();
  const openssl::Certificate certificate = openssl::read_certificate(identity.certificate_pem);
  const openssl::Key key = openssl::read_key(identity.key_pem);
  if (X509_check_private_key(certificate.get(), key.get()) != 1)
    throw Error(ErrorCode::malformed, "this certificate is of another key", {}, openssl::last_words());
  openssl::check(SSL_CTX_set_min_proto_version(settings, TLS1_3_VERSION), "cannot ask for TLS 1.3");
  openssl::check(SSL_CTX_set_max_proto_version(settings, TLS1_3_VERSION), "cannot ask for TLS 1.3");
  openssl::check(SSL_CTX_set_ciphersuites(
                     settings, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"),
        "cannot choose ciphers");
  openssl::check(SSL_CTX_set1_groups_list(settings, "X25519:P-256"), "cannot choose a key exchange");
  // Our own kind of key only: nobody makes us check a giant RSA signature.
  openssl::check(SSL_CTX_set1_sigalgs_list(settings, "ECDSA+SHA256"), "cannot choose signatures");
  openssl::check(SSL_CTX_use_certificate(settings, certificate.get()), "cannot use this certificate");
  openssl::check(SSL_CTX_use_PrivateKey(settings, key.get()), "cannot use this key");
  SSL_CTX_set_options(settings, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(settings, SSL_SESS_CACHE_OFF);
  openssl::check(SSL_CTX_set_num_tickets(settings, 0), "cannot do without tickets");
  SSL_CTX_set_mode(settings, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(settings, certificate_list_bytes_max);
  SSL_CTX_set_verify(settings, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(settings, TlsEngineVerifier::verify, nullptr);
  return context;
}

}  // namespace

TlsContext tls_client_context(const TlsIdentity& identity) { return context_for(TLS_client_method(), identity); }
TlsContext tls_server_context(const TlsIdentity& identity) { return context_for(TLS_server_method(), identity); }

void TlsEngine::FreeSession::operator()(ssl_st* session) const noexcept { SSL_free(session); }

TlsEngine::TlsEngine(const TlsContext& context, std::string peer_name, std::optional<KeyFingerprint> must_show,
                     std::uint64_t key_lifetime_bytes)
    : context_(context),
      peer_name_(std::move(peer_name)),
      must_show_(must_show),
      key_lifetime_bytes_(key_lifetime_bytes),
      session_(SSL_new(context.get())) {
  if (!session_) throw Error(ErrorCode::failed, "cannot begin a TLS session", {}, openssl::last_words());
  openssl::check(SSL_set_ex_data(session_.get(), 0, this), "cannot begin a TLS session");
  BIO* io = BIO_new(TlsEngineIo::method());
  if (io == nullptr) throw Error(ErrorCode::failed, "cannot begin a TLS session", {}, openssl::last_words());
  BIO_set_data(io, this);
  SSL_set_bio(session_.get(), io, io);  // owns it
  if (SSL_is_server(session_.get()) != 0) {
    SSL_set_accept_state(session_.get());
  } else {
    SSL_set_connect_state(session_.get());
  }
}

TlsEngine::~TlsEngine() = default;

bool TlsEngine::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(session_.get());
  if (done == 1) return true;
  if (SSL_get_error(session_.get(), done) == SSL_ERROR_WANT_READ) return false;
  throw_handshake_failure();
}

void TlsEngine::throw_handshake_failure() {
  if (verdict_) throw *verdict_;
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  const std::string words = openssl::last_words();
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_HTTP_REQUEST:
      throw Error(ErrorCode::unreachable, "this is no vmferry target", peer_name_,
                  "it does not speak TLS 1.3 (" + words + "): is the port right?");
    default: throw Error(ErrorCode::unreachable, "the TLS handshake failed", peer_name_, words);
  }
}

std::span<std::byte> TlsEngine::input_room(std::size_t bytes) {
  if (input_begin_ == input_end_) input_begin_ = input_end_ = 0;
  if (input_.size() - input_end_ < bytes) input_.resize(input_end_ + bytes);
  return std::span(input_).subspan(input_end_);
}

std::size_t TlsEngine::read(std::span<std::byte> into) {
  std::size_t total = 0;
  while (total < into.size() && !ended_ && !fault_) {
    ERR_clear_error();
    std::size_t count = 0;
    if (SSL_read_ex(session_.get(), into.data() + total, into.size() - total, &count) == 1) {
      total += count;
      continue;
    }
    const int why = SSL_get_error(session_.get(), 0);
    if (output_.size() > unread_answers_bytes_max + tls_output_bytes_max) {
      fault_ = "it asks for new keys without an end";
    } else if (why == SSL_ERROR_WANT_READ) {
      break;
    } else if (why == SSL_ERROR_ZERO_RETURN) {
      ended_ = true;
    } else {
      fault_ = openssl::last_words();
    }
  }
  if (total == 0 && fault_) throw_broken(*fault_);  // what was right before the fault is given out first
  return total;
}

void TlsEngine::write(ByteView bytes) {
  if (bytes.empty()) return;
  if (fault_) throw_broken(*fault_);
  ERR_clear_error();
  if (written_with_this_key_bytes_ > key_lifetime_bytes_) {
    if (SSL_key_update(session_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) throw_broken(openssl::last_words());
    written_with_this_key_bytes_ = 0;
  }
  written_with_this_key_bytes_ += bytes.size() + tls_record_bytes;  // it is records that count, however short
  std::size_t written = 0;
  if (SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &written) != 1 || written != bytes.size())
    throw_broken(openssl::last_words());
}

void TlsEngine::finish() {
  ERR_clear_error();
  if (SSL_shutdown(session_.get()) < 0) throw_broken(openssl::last_words());
}

void TlsEngine::throw_broken(std::string why) {
  fault_ = std::move(why);
  throw Error(ErrorCode::unreachable, "the other end of the session is gone", {}, *fault_);
}

void TlsEngine::release_input() {
  if (input_begin_ != input_end_) return;
  input_begin_ = input_end_ = 0;
  Bytes().swap(input_);
}

void TlsEngine::release_output() {
  if (output_.empty()) Bytes().swap(output_);
}

}  // namespace vmferry
