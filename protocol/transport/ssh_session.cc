#include "protocol/transport/ssh_session.h"

#include <libssh2.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "protocol/error.h"
#include "protocol/transport/last_lines.h"

namespace vmferry {

// What libssh2 takes for its socket.
struct SshSessionBytes {
  static ssize_t take(SshSession& session, void* into, std::size_t length) {
    const std::size_t there = session.input_.size() - session.input_taken_;
    if (there == 0) return session.ended_ && session.discarding_ ? -ECONNRESET : -EAGAIN;
    const std::size_t count = std::min(there, length);
    std::memcpy(into, session.input_.data() + session.input_taken_, count);
    session.input_taken_ += count;
    if (session.input_taken_ == session.input_.size()) {
      session.input_.clear();
      session.input_taken_ = 0;
    }
    return static_cast<ssize_t>(count);
  }
  static ssize_t give(SshSession& session, const void* from, std::size_t length) {
    if (session.discarding_) return -ECONNRESET;
    const auto* bytes = static_cast<const std::byte*>(from);
    session.output_.insert(session.output_.end(), bytes, bytes + length);
    return static_cast<ssize_t>(length);
  }
  static void hang_up(SshSession& session, std::string_view message) {
    session.hung_up_ = true;
    session.host_said_ = message;
  }
};

namespace {

constexpr std::uint32_t packet_bytes = LIBSSH2_CHANNEL_PACKET_DEFAULT;

LIBSSH2_RECV_FUNC(take_bytes) {
  static_cast<void>(socket), static_cast<void>(flags);
  return SshSessionBytes::take(*static_cast<SshSession*>(*abstract), buffer, length);
}

LIBSSH2_SEND_FUNC(give_bytes) {
  static_cast<void>(socket), static_cast<void>(flags);
  return SshSessionBytes::give(*static_cast<SshSession*>(*abstract), buffer, length);
}

LIBSSH2_DISCONNECT_FUNC(hang_up) {
  static_cast<void>(session), static_cast<void>(reason), static_cast<void>(language), static_cast<void>(language_len);
  SshSessionBytes::hang_up(*static_cast<SshSession*>(*abstract), {message, static_cast<std::size_t>(message_len)});
}

void initialize_once() {
  static std::once_flag once;
  std::call_once(once, [] { libssh2_init(0); });
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

// No SHA-1, no CBC. SHA-512 is the quicker one where the processor has no instructions for SHA-256.
constexpr const char* key_exchanges =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
    "diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group-exchange-sha256,"
    "diffie-hellman-group14-sha256";
constexpr const char* ciphers = "aes128-ctr,aes192-ctr,aes256-ctr";
constexpr const char* checksums = "hmac-sha2-512,hmac-sha2-256";

int sign_with(LIBSSH2_SESSION*, unsigned char** signature, std::size_t* signature_bytes, const unsigned char* data,
              std::size_t data_bytes, void** abstract) {
  const auto& sign = *static_cast<const SshSession::Sign*>(*abstract);
  const std::optional<Bytes> made = sign(ByteView(reinterpret_cast<const std::byte*>(data), data_bytes));
  if (!made) return -1;
  *signature = static_cast<unsigned char*>(std::malloc(made->size()));  // libssh2 frees it, by the default free()
  if (*signature == nullptr) return -1;
  std::memcpy(*signature, made->data(), made->size());
  *signature_bytes = made->size();
  return 0;
}

}  // namespace

SshSession::SshSession(int socket, const std::vector<std::string>& host_key_types) {
  initialize_once();
  session_ = libssh2_session_init_ex(nullptr, nullptr, nullptr, this);
  if (session_ == nullptr) throw Error(ErrorCode::failed, "cannot start SSH: out of memory");
  libssh2_session_set_blocking(session_, 0);
  libssh2_session_callback_set(session_, LIBSSH2_CALLBACK_RECV, reinterpret_cast<void*>(&take_bytes));
  libssh2_session_callback_set(session_, LIBSSH2_CALLBACK_SEND, reinterpret_cast<void*>(&give_bytes));
  libssh2_session_callback_set(session_, LIBSSH2_CALLBACK_DISCONNECT, reinterpret_cast<void*>(&hang_up));
  const struct {
    int kind;
    std::string methods;
  } preferences[] = {{LIBSSH2_METHOD_HOSTKEY, joined(host_key_types)}, {LIBSSH2_METHOD_KEX, key_exchanges},
                     {LIBSSH2_METHOD_CRYPT_CS, ciphers},               {LIBSSH2_METHOD_CRYPT_SC, ciphers},
                     {LIBSSH2_METHOD_MAC_CS, checksums},               {LIBSSH2_METHOD_MAC_SC, checksums},
                     {LIBSSH2_METHOD_COMP_CS, "none"},                 {LIBSSH2_METHOD_COMP_SC, "none"}};
  for (const auto& each : preferences)
    if (libssh2_session_method_pref(session_, each.kind, each.methods.c_str()) != 0) {
      libssh2_session_free(session_);
      throw Error(ErrorCode::unsupported, "this libssh2 has no algorithm that we want", {}, each.methods);
    }
  socket_ = socket;
}

SshSession::~SshSession() {
  // Channels that are still open would wait for the host's answer: there is no host any more.
  ended_ = discarding_ = true;
  input_.clear();
  input_taken_ = 0;
  libssh2_session_free(session_);
}

Step SshSession::handshake() {
  const int result = libssh2_session_handshake(session_, socket_);
  if (result == LIBSSH2_ERROR_EAGAIN) return wait("the host closed the connection before it showed a key");
  switch (result) {
    case 0: return Step::done;
    case LIBSSH2_ERROR_KEX_FAILURE:
    case LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE:
    case LIBSSH2_ERROR_METHOD_NONE:
      throw Error(ErrorCode::refused, "the host and this program have no algorithm in common", {},
                  "perhaps it has an RSA key only, or only AES-GCM; the system's ssh may do: --ssh-command ssh");
    case LIBSSH2_ERROR_HOSTKEY_INIT:
    case LIBSSH2_ERROR_HOSTKEY_SIGN:
      throw Error(ErrorCode::refused, "the host does not hold the key that it shows");
    default: fail("the SSH handshake failed");
  }
}

Bytes SshSession::host_key() const {
  std::size_t length = 0;
  int type = 0;
  const char* key = libssh2_session_hostkey(session_, &length, &type);
  const auto* bytes = reinterpret_cast<const std::byte*>(key);
  return key == nullptr ? Bytes() : Bytes(bytes, bytes + length);
}

std::optional<std::string> SshSession::authentication_methods(const std::string& user) {
  const char* list = libssh2_userauth_list(session_, user.c_str(), static_cast<unsigned>(user.size()));
  if (list != nullptr) return list;
  if (libssh2_userauth_authenticated(session_) != 0) return "none";
  if (libssh2_session_last_errno(session_) != LIBSSH2_ERROR_EAGAIN) fail("the host does not say how to log in");
  wait("the host closed the connection");
  return std::nullopt;
}

SshSession::Accepted SshSession::authenticate(const std::string& user, ByteView public_key, const Sign& sign) {
  void* abstract = const_cast<SshSession::Sign*>(&sign);  // only called
  return accepted(libssh2_userauth_publickey(session_, user.c_str(),
                                             reinterpret_cast<const unsigned char*>(public_key.data()), public_key.size(),
                                             &sign_with, &abstract));
}

SshSession::Accepted SshSession::authenticate_with_file(const std::string& user, const std::string& private_key) {
  return accepted(libssh2_userauth_publickey_frommemory(session_, user.c_str(), user.size(), nullptr, 0,
                                                        private_key.data(), private_key.size(), ""));
}

SshSession::Accepted SshSession::accepted(int result) {
  if (hung_up_ && result != 0) fail("the host ended the login");  // libssh2 says then that it did not take the key
  switch (result) {
    case 0: return Accepted::yes;
    case LIBSSH2_ERROR_EAGAIN: wait("the host closed the connection while we logged in"); return Accepted::waits;
    case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
    case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
    case LIBSSH2_ERROR_FILE:  // a key's file that it cannot read
    case LIBSSH2_ERROR_METHOD_NONE: return Accepted::no;
    default: fail("the host ended the login");
  }
}

SshSession::Channel SshSession::open_channel(std::uint32_t window_bytes) {
  const Channel channel = libssh2_channel_open_ex(session_, "session", 7, window_bytes, packet_bytes, nullptr, 0);
  if (channel != nullptr) return channel;
  const int why = libssh2_session_last_errno(session_);
  if (why == LIBSSH2_ERROR_EAGAIN) return nullptr;
  if (why == LIBSSH2_ERROR_CHANNEL_FAILURE)
    throw ChannelRefused("the host opens no further session; its MaxSessions says how many it may");
  fail("no session could be opened");
}

Step SshSession::execute(Channel channel, const std::string& command) {
  const int result = libssh2_channel_process_startup(channel, "exec", 4, command.data(), static_cast<unsigned>(command.size()));
  if (result == LIBSSH2_ERROR_EAGAIN) return Step::waits;
  if (result == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED || result == LIBSSH2_ERROR_CHANNEL_FAILURE)
    throw ChannelRefused("the host does not run commands for this user");
  if (result != 0) fail("the command could not be started");
  return Step::done;
}

std::size_t SshSession::write(Channel channel, ByteView bytes) {
  const ssize_t result = libssh2_channel_write_ex(channel, 0, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (result < 0 && result != LIBSSH2_ERROR_EAGAIN) fail("the connection broke");
  return result < 0 ? 0 : static_cast<std::size_t>(result);
}

std::size_t SshSession::read(Channel channel, std::span<std::byte> into) { return read_stream(channel, 0, into); }

std::size_t SshSession::read_error_stream(Channel channel, std::span<std::byte> into) {
  return read_stream(channel, SSH_EXTENDED_DATA_STDERR, into);
}

std::size_t SshSession::read_stream(Channel channel, int stream, std::span<std::byte> into) {
  const ssize_t result = libssh2_channel_read_ex(channel, stream, reinterpret_cast<char*>(into.data()), into.size());
  if (result < 0 && result != LIBSSH2_ERROR_EAGAIN) fail("the connection broke");
  return result < 0 ? 0 : static_cast<std::size_t>(result);
}

void SshSession::take_input(Channel channel) {
  std::byte nothing;
  read_stream(channel, 0, std::span(&nothing, 0));
}

bool SshSession::ended(Channel channel) { return libssh2_channel_eof(channel) != 0; }

Step SshSession::send_end(Channel channel) {
  const int result = libssh2_channel_send_eof(channel);
  if (result != 0 && result != LIBSSH2_ERROR_EAGAIN) fail("the connection broke");
  return result == 0 ? Step::done : Step::waits;
}

std::optional<CommandEnd> SshSession::command_end(Channel channel) {
  const int result = libssh2_channel_wait_closed(channel);
  if (result == LIBSSH2_ERROR_EAGAIN) return std::nullopt;
  if (result != 0) fail("the connection broke");
  CommandEnd end;
  end.exit_code = libssh2_channel_get_exit_status(channel);
  char* signal = nullptr;
  std::size_t length = 0;
  libssh2_channel_get_exit_signal(channel, &signal, &length, nullptr, nullptr, nullptr, nullptr);
  if (signal != nullptr) end.signal.assign(signal, length);
  libssh2_free(session_, signal);
  return end;
}

Step SshSession::close(Channel channel) {
  const int result = libssh2_channel_free(channel);
  if (result != 0 && result != LIBSSH2_ERROR_EAGAIN) fail("the connection broke");
  return result == 0 ? Step::done : Step::waits;
}

Step SshSession::wait(const char* what_if_ended) {
  if (ended_) throw Error(ErrorCode::unreachable, what_if_ended);
  return Step::waits;
}

void SshSession::fail(const std::string& what_happened) {
  char* said = nullptr;
  int length = 0;
  libssh2_session_last_error(session_, &said, &length, 0);
  std::string why = said == nullptr ? "" : std::string(said, static_cast<std::size_t>(length));
  if (hung_up_) why = "it said: " + plain_text(host_said_);
  throw Error(ErrorCode::unreachable, what_happened, {}, why);
}

}  // namespace vmferry
