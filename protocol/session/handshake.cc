#include "protocol/session/handshake.h"

#include <algorithm>

#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/messages.pb.h"
#include "protocol/software.h"

namespace vmferry::target {

void say_hello(wire::PacketWriter& writer, const ClientFacts& client) {
  messages::Control question;
  messages::Hello& hello = *question.mutable_hello();
  hello.set_magic(wire::hello_magic);
  hello.set_major(wire::version_major);
  hello.set_minor(wire::version_minor);
  hello.set_features(wire::features);
  hello.set_software(software_name);
  hello.set_client_uuid(wire::to_field(client.uuid.view()));
  hello.set_client_name(client.name);
  if (client.role == ClientRole::replica) hello.set_role(messages::REPLICA);
  wire::send_control(writer, question);
}

TargetFacts hear_welcome(wire::PacketReader& reader) {
  const auto packet = reader.next(wire::hello_bytes_max);
  if (!packet || packet->type != wire::PacketType::control)
    throw Error(ErrorCode::unreachable, "the target ended the session instead of answering");
  const messages::Control answer = wire::parse_control(packet->payload);
  if (answer.has_failure()) throw wire::error_of_failure(answer);
  if (!answer.has_welcome())
    throw Error(ErrorCode::malformed, "the target broke the protocol", {}, "it did not answer the handshake");
  const messages::Welcome& welcome = answer.welcome();
  if (welcome.major() != wire::version_major)
    throw Error(ErrorCode::version,
                "the target speaks version " + std::to_string(welcome.major()) + " of the protocol, this vmferry " +
                    std::to_string(wire::version_major),
                {}, "update the older of the two");

  TargetFacts facts;
  facts.store_uuid = wire::uuid_of_field(welcome.store_uuid());
  facts.domain_uuid = wire::uuid_of_field(welcome.domain_uuid());
  if (welcome.domain_key().size() != facts.domain_key.bytes.size())
    throw Error(ErrorCode::malformed, "the target broke the protocol", {}, "its domain key has a wrong length");
  std::ranges::copy(as_bytes(welcome.domain_key()), facts.domain_key.bytes.begin());
  facts.chunking = {welcome.chunk_size_min(), welcome.chunk_size_average(), welcome.chunk_size_max(),
                    welcome.gear_seed()};
  facts.chunking.validate();
  facts.software = welcome.software();
  facts.features = welcome.features() & wire::features;
  return facts;
}

}  // namespace vmferry::target
