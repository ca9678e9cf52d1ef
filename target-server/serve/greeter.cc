#include "target-server/serve/greeter.h"

#include <algorithm>
#include <array>

#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/link/refuse.h"
#include "protocol/messages.pb.h"
#include "protocol/transport/prefixed_transport.h"
#include "target-server/relay/preamble.h"
#include "target-server/serve/log.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t magic_bytes = 4;
constexpr std::string_view client_peer_prefix = "client ";

Bytes read_exactly(Transport& transport, std::size_t bytes) {
  Bytes read(bytes);
  for (std::size_t at = 0; at < bytes;) {
    const std::size_t more = transport.receive(std::span(read).subspan(at));
    if (more == 0) throw Error(ErrorCode::unreachable, "the peer went away before it said hello");
    at += more;
  }
  return read;
}

bool is_link(ByteView first) { return ByteReader(first).u32() == link::hello_magic; }

}  // namespace

std::string peer_of_client(const std::string& client) { return std::string(client_peer_prefix) + client; }

std::string client_of_peer(const std::string& peer) {
  return peer.starts_with(client_peer_prefix) ? peer.substr(client_peer_prefix.size()) : std::string();
}

Greeter::~Greeter() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
    for (Greeting& greeting : greetings_)
      if (!greeting.done && greeting.transport) greeting.transport->abort();
  }
  for (Greeting& greeting : greetings_) greeting.thread.join();
}

void Greeter::reap() {
  for (auto greeting = greetings_.begin(); greeting != greetings_.end();) {
    if (!greeting->done) {
      ++greeting;
      continue;
    }
    greeting->thread.join();
    greeting = greetings_.erase(greeting);
  }
}

// Those that were dropped end soon, but not at once: so they are bounded, too.
bool Greeter::make_room(From from) {
  if (greetings_.size() >= 3 * greeted_max) return false;
  const auto counts = [&](const Greeting& each) { return each.from == from && !each.dropped && !each.done; };
  if (static_cast<std::size_t>(std::ranges::count_if(greetings_, counts)) < greeted_max) return true;
  if (from == From::socket) return false;
  Greeting& oldest = *std::ranges::find_if(greetings_, counts);
  oldest.dropped = true;
  if (oldest.transport) oldest.transport->abort();
  return true;
}

void Greeter::start(std::unique_ptr<Transport> transport, From from, std::string address, Greet greet) {
  const std::lock_guard guard(mutex_);
  reap();
  if (stopping_ || !make_room(from)) return;  // dropped: it may try again
  Greeting& greeting = greetings_.emplace_back();
  greeting.transport = std::move(transport);
  greeting.from = from;
  greeting.thread = std::thread([this, &greeting, address = std::move(address), greet = std::move(greet)] {
    std::unique_ptr<Transport> taken;
    try {
      // The deadline and the destructor abort it where it lies; greet() moves it away only once its hello is read.
      greet(greeting.transport);
    } catch (const std::exception& error) {
      log_line("connection from " + address + ": " + error.what());
    }
    const std::lock_guard done(mutex_);
    taken = std::move(greeting.transport);
    greeting.done = true;
  });
}

void Greeter::take_local(std::unique_ptr<Transport> transport) {
  start(std::move(transport), From::socket, "this host", [this](std::unique_ptr<Transport>& line) { greet_local(line); });
}

void Greeter::take_tls(AcceptedTls accepted) {
  std::optional<access::ClientRecord> client;
  try {
    client = clients_.by_key(accepted.client);
  } catch (const Error& error) {
    log_line("clients: " + std::string(error.what()));
  }
  if (client) return links_.take(std::move(accepted.transport), peer_of_client(client->name));
  start(std::move(accepted.transport), From::stranger, accepted.address,
        [this, key = accepted.client, address = accepted.address](std::unique_ptr<Transport>& line) {
          greet_stranger(line, key, address);
        });
}

void Greeter::greet_local(std::unique_ptr<Transport>& transport) {
  Bytes first;
  {
    const Deadlines::Guard deadline(deadlines_, *transport, hello_timeout);
    first = read_exactly(*transport, magic_bytes);
  }
  if (ByteReader(first).u32() == relay_magic) return greet_relay(transport);
  if (is_link(first)) return links_.take(take_over(transport), owner_peer, first);
  sessions_.submit(std::make_unique<PrefixedTransport>(take_over(transport), first), access::Access::owner());
}

std::unique_ptr<Transport> Greeter::take_over(std::unique_ptr<Transport>& transport) {
  const std::lock_guard guard(mutex_);
  return std::move(transport);
}

// The socket is the owner's alone, so that what a relay says about its client is the owner's word (authorized_keys).
void Greeter::greet_relay(std::unique_ptr<Transport>& transport) {
  RelayPreamble preamble;
  {
    const Deadlines::Guard deadline(deadlines_, *transport, hello_timeout);
    preamble = receive_relay_preamble(*transport);
    send_relay_taken(*transport);
  }
  if (preamble.client && !clients_.by_name(*preamble.client)) {
    const Deadlines::Guard deadline(deadlines_, *transport, hello_timeout);
    return link::refuse(*transport,
                        Error(ErrorCode::permission, "the target has no such client, or it was revoked", *preamble.client,
                              "its administrator adds it: vmferry-target client add " + *preamble.client + " --ssh"));
  }
  links_.take(take_over(transport), preamble.client ? peer_of_client(*preamble.client) : owner_peer);
}

// A key that no client has: it may enrol, with an invitation's secret, and is told so otherwise.
void Greeter::greet_stranger(std::unique_ptr<Transport>& transport, const KeyFingerprint& key,
                             const std::string& address) {
  const Deadlines::Guard deadline(deadlines_, *transport, hello_timeout);  // for all of it, whatever it does
  const Bytes first = read_exactly(*transport, magic_bytes);
  if (is_link(first)) {
    log_line("connection from " + address + ": its key is no client's: " + key.to_string());
    return link::refuse(*transport,
                        Error(ErrorCode::permission, "the target does not know this key, or it was revoked",
                              key.to_string(),
                              "enrol anew with a line of `vmferry-target client add`: vmferry enroll -"));
  }
  put_in_front(transport, first);
  answer_enrolment(*transport, key, address);
}

// So that the greeter's end still finds it where it is.
void Greeter::put_in_front(std::unique_ptr<Transport>& transport, ByteView first) {
  const std::lock_guard guard(mutex_);
  transport = std::make_unique<PrefixedTransport>(std::move(transport), first);
}

void Greeter::answer_enrolment(Transport& transport, const KeyFingerprint& key, const std::string& address) {
  wire::PacketWriter writer(transport);
  wire::PacketReader reader(transport);
  std::uint64_t request = 0;
  try {
    const auto packet = reader.next(wire::hello_bytes_max);
    if (!packet || packet->type != wire::PacketType::control) throw Error(ErrorCode::malformed, "this is not an enrolment");
    const messages::Control question = wire::parse_control(packet->payload);
    const messages::Enrol& enrol = question.enrol();
    access::ClientBook::Secret secret{};
    if (!question.has_enrol() || enrol.secret().size() != secret.size())
      throw Error(ErrorCode::malformed, "this is not an enrolment");
    request = question.request();
    std::ranges::copy(as_bytes(enrol.secret()), secret.begin());
    const access::ClientRecord client = clients_.accept(secret, key, wire::uuid_of_field(enrol.client_uuid()));
    log_line("client " + client.name + " enrolled from " + address + " with key " + key.to_string());
    messages::Control answer;
    answer.set_request(request);
    messages::Enrolled& enrolled = *answer.mutable_enrolled();
    enrolled.set_name(client.name);
    enrolled.set_roles(client.roles.to_string());
    enrolled.set_store_uuid(wire::to_field(store_.uuid().view()));
    enrolled.set_domain_uuid(wire::to_field(store_.domain().uuid.view()));
    wire::send_control(writer, answer);
  } catch (const Error& error) {
    wire::send_failure(writer, request, error);
    log_line("connection from " + address + ": " + error.what());
  }
  transport.finish_sending();
  Bytes rest(4096);
  while (transport.receive(rest) > 0) {  // until the peer has read the answer and closes
  }
}

}  // namespace vmferry::target_server
