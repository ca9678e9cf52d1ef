// The session's calls of a store that copies points: docs/format/wire.md, steps 12 to 14.
#include <unordered_set>

#include "protocol/limits.h"
#include "protocol/session/client_call.h"

namespace vmferry::target {

namespace {

// fetch_deltas(): one request; what comes is used on the receiving thread.
class DeltasCall final : public FetchCall {
 public:
  DeltasCall(TargetSession::UseDelta use_delta, TargetSession::UseFrame use,
             std::function<void(std::exception_ptr)> done)
      : use_delta_(std::move(use_delta)), use_(std::move(use)), done_(std::move(done)) {}

  void deliver(const FrameView& frame, std::span<const std::size_t> wanted) override { use_(frame, wanted); }
  void deliver_delta(ByteView delta_frame) override { use_delta_(delta_frame); }
  void request_ended() override { done_(failure()); }

 private:
  TargetSession::UseDelta use_delta_;
  TargetSession::UseFrame use_;
  std::function<void(std::exception_ptr)> done_;
};

}  // namespace

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

void ClientSession::fetch_deltas(std::vector<wire::ChunkWithBasis> chunks, UseDelta use_delta, UseFrame use,
                                 std::function<void(std::exception_ptr)> done) {
  throw_if_broken();
  std::unordered_set<ChunkId> ids;
  std::erase_if(chunks, [&](const wire::ChunkWithBasis& chunk) { return !ids.insert(chunk.id).second; });
  const auto call = std::make_shared<DeltasCall>(std::move(use_delta), std::move(use), std::move(done));
  const std::uint64_t number = fetches_.start(call, std::vector<ChunkId>(ids.begin(), ids.end()));
  try {
    send(wire::PacketType::fetch_deltas, {wire::encode_delta_request(number, chunks)});
  } catch (const Error&) {  // the session broke, which ended the request
  }
}

}  // namespace vmferry::target
