#include "target-server/receive/serve_session.h"

#include <algorithm>
#include <optional>

#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/messages.pb.h"
#include "protocol/software.h"
#include "target-server/receive/server_session.h"

namespace vmferry::target_server {
namespace {

// After the last words the peer may still be sending; reading on for a while lets it come to read them.
constexpr std::uint64_t discard_bytes_max = 64 * limits::MiB;

// Throws Error{refused} where the peer is not the controller that its client is known to be.
void identify(const Uuid& client_uuid, const ServeOptions& options, access::Access& access) {
  if (access.wants_binding() && options.bind) access = access::Access::client(options.bind(access.name(), client_uuid));
  access.check_identity(client_uuid);
}

std::optional<wire::Packet> first_packet(Transport& transport, wire::PacketReader& reader, const ServeOptions& options) {
  std::optional<Deadlines::Guard> deadline;
  if (options.deadlines) deadline.emplace(*options.deadlines, transport, options.hello_timeout);
  return reader.next(wire::hello_bytes_max);
}

Peer greet(Transport& transport, wire::PacketWriter& writer, wire::PacketReader& reader, const store::Store& store,
           const ServeOptions& options, access::Access access) {
  const auto packet = first_packet(transport, reader, options);
  if (!packet) throw Error(ErrorCode::unreachable, "the client went away before it said hello");
  messages::Control control;
  if (packet->type == wire::PacketType::control) control = wire::parse_control(packet->payload);
  const messages::Hello& hello = control.hello();
  if (!control.has_hello() || hello.magic() != wire::hello_magic)
    throw Error(ErrorCode::malformed, "this is not a vmferry client");
  if (hello.major() != wire::version_major)
    throw Error(ErrorCode::version,
                "the client speaks version " + std::to_string(hello.major()) + " of the protocol, this target " +
                    std::to_string(wire::version_major),
                {}, hello.major() > wire::version_major ? "update vmferry on the target" : "update the client");
  const Uuid client_uuid = wire::uuid_of_field(hello.client_uuid());
  if (client_uuid.is_none()) throw Error(ErrorCode::malformed, "the client has no UUID");
  identify(client_uuid, options, access);
  Peer peer{client_uuid, hello.features() & wire::features, std::move(access),
            hello.role() == messages::REPLICA};

  const store::DomainFacts& domain = store.domain();
  messages::Control answer;
  messages::Welcome& welcome = *answer.mutable_welcome();
  welcome.set_major(wire::version_major);
  welcome.set_minor(std::min(hello.minor(), wire::version_minor));
  welcome.set_features(peer.features);
  welcome.set_software(software_name);
  welcome.set_store_uuid(wire::to_field(store.uuid().view()));
  welcome.set_domain_uuid(wire::to_field(domain.uuid.view()));
  welcome.set_domain_key(wire::to_field(domain.key.bytes));
  welcome.set_chunk_size_min(domain.chunking.size_min);
  welcome.set_chunk_size_average(domain.chunking.size_average);
  welcome.set_chunk_size_max(domain.chunking.size_max);
  welcome.set_gear_seed(domain.chunking.gear_seed);
  wire::send_control(writer, answer);
  return peer;
}

void end_session(Transport& transport, LastWords& last_words, const ServeOptions& options, const Error& why) noexcept {
  std::optional<Deadlines::Guard> deadline;
  if (options.deadlines) deadline.emplace(*options.deadlines, transport, options.last_words_timeout);
  last_words.say(why);
  try {
    transport.finish_sending();
    Bytes discarded(64 * limits::KiB);
    for (std::uint64_t bytes = 0; bytes < discard_bytes_max;) {
      const std::size_t more = transport.receive(discarded);
      if (more == 0) break;
      bytes += more;
    }
  } catch (...) {  // as far as the line carries it
  }
  transport.abort();
}

}  // namespace

void serve_session(Transport& transport, store::Store& store, const ServeOptions& options, access::Access access) {
  wire::PacketWriter writer(transport);
  wire::PacketReader reader(transport);
  LastWords last_words(writer);
  try {
    try {
      const Peer peer = greet(transport, writer, reader, store, options, std::move(access));
      ServerSession session(transport, writer, reader, last_words, store, peer, options);
      session.run();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      throw Error(ErrorCode::failed, "the target failed", {}, error.what());
    }
    transport.finish_sending();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable)
      transport.abort();
    else
      end_session(transport, last_words, options, error);
    throw;
  }
}

}  // namespace vmferry::target_server
