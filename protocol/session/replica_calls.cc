// The session's calls of a store that copies points: docs/format/wire.md, steps 12 to 14.
#include "protocol/limits.h"
#include "protocol/session/client_call.h"

namespace vmferry::target {

bool ClientSession::takes_replicas() const noexcept { return (facts_.features & wire::feature_replicas) != 0; }

ReplicaOpened ClientSession::open_replica(const ReplicaOpening& opening) {
  Call call(*this);
  messages::Control question;
  messages::OpenReplica& open = *question.mutable_open_replica();
  open.set_client_uuid(wire::to_field(opening.client_uuid.view()));
  open.set_machine_uuid(wire::to_field(opening.machine_uuid.view()));
  for (const Uuid& uuid : opening.base_candidates) open.add_base_candidates(wire::to_field(uuid.view()));
  call.ask(question);

  const messages::Control answer = call.next();
  if (!answer.has_replica_opened()) malformed("it answered another question");
  if (answer.replica_opened().bases_size() > static_cast<int>(limits::base_points_max))
    malformed("more base points than a session may have");
  ReplicaOpened opened;
  opened.session = wire::uuid_of_field(answer.replica_opened().session());
  for (const std::string& uuid : answer.replica_opened().bases()) opened.bases.push_back(wire::uuid_of_field(uuid));
  return opened;
}

ReplicaCommit ClientSession::commit_replica(ByteView encoded_point) {
  Call call(*this);
  try {
    wire::send_encoded_point(writer_, call.number(), encoded_point);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable) throw_last_words();
    throw;
  }
  messages::Control question;
  question.mutable_commit_replica();
  call.ask(question);

  const messages::Control answer = call.next();
  if (!answer.has_committed()) malformed("it answered another question");
  ReplicaCommit result;
  result.committed = answer.committed().committed();
  result.stored_bytes = answer.committed().stored_bytes();
  for (const std::string& id : answer.committed().missing())
    result.missing.push_back(ChunkId::from_bytes(as_bytes(id)));
  if (result.committed != result.missing.empty()) malformed("its answer to a commit contradicts itself");
  return result;
}

}  // namespace vmferry::target
