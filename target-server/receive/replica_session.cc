// A session's half that takes in points of another store: docs/format/wire.md, steps 12 to 14.
#include <algorithm>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "target-server/receive/base_points.h"
#include "target-server/receive/commit_check.h"
#include "target-server/receive/lost_reach.h"
#include "target-server/receive/malformed.h"
#include "target-server/receive/opening.h"
#include "target-server/receive/server_session.h"

namespace vmferry::target_server {
namespace {

// Of the candidates those that are here, in their order.
std::vector<Uuid> bases_of(const messages::OpenReplica& open, const std::vector<PointSummary>& points) {
  if (static_cast<std::size_t>(open.base_candidates_size()) > base_candidates_max) malformed("too many base points");
  std::vector<Uuid> bases;
  for (const std::string& field : open.base_candidates()) {
    const Uuid uuid = wire::uuid_of_field(field);
    if (bases.size() < limits::base_points_max && std::ranges::find(bases, uuid) == bases.end() &&
        std::ranges::find(points, uuid, &PointSummary::uuid) != points.end())
      bases.push_back(uuid);
  }
  return bases;
}

}  // namespace

void ServerSession::open_replica(const messages::Control& question) {
  if (!may_replicate_)
    throw Error(ErrorCode::refused, "this client may not bring points of others", peer_.client_uuid.to_string(),
                "only a client with the role replica may");
  if (backup_) malformed("a backup is open already");
  const messages::OpenReplica& open = question.open_replica();
  const Uuid client_uuid = wire::uuid_of_field(open.client_uuid());
  const Uuid machine_uuid = wire::uuid_of_field(open.machine_uuid());
  if (client_uuid.is_none() || machine_uuid.is_none()) malformed("points of no client or no machine");
  refuse_below_reserve(store_);
  Turnstile::Turn turn = wait_for_turn(question.request());
  std::vector<Uuid> bases = bases_of(open, store_.points());
  std::vector<ChunkId> lost;
  if (store_.any_lost()) lost = store_.lost(lost_ids_max);
  drop_what_reaches_lost(store_, lost, bases);

  auto opened = std::make_unique<Backup>(store_, intake_limits(), intake_events());
  opened->turn = std::move(turn);
  opened->lease = store_.lease(client_uuid, machine_uuid, bases);
  opened->machine_uuid = machine_uuid;
  opened->replica_of = client_uuid;
  opened->lost_at_open = std::move(lost);
  messages::Control answer;
  answer.set_request(question.request());
  messages::ReplicaOpened& told = *answer.mutable_replica_opened();
  told.set_session(wire::to_field(opened->lease->session().view()));
  for (const Uuid& uuid : bases) {
    std::optional<RestorePoint> base = sound_point(store_, uuid);
    if (!base) continue;
    opened->bases.push_back(std::move(*base));
    told.add_bases(wire::to_field(uuid.view()));
  }
  backup_ = std::move(opened);
  wire::send_control(writer_, answer);
}

void ServerSession::commit_replica(std::uint64_t request) {
  Backup& open = backup();
  if (!open.replica_of || !open.to_commit || open.to_commit->first != request)
    malformed("a commit without its point");
  RestorePoint point = std::move(open.to_commit->second);
  const Bytes encoded = std::move(open.replica_to_commit);
  open.to_commit.reset();
  if (point.client_uuid != *open.replica_of || point.machine_uuid != open.machine_uuid ||
      point.domain_uuid != store_.domain().uuid)
    malformed("the point is not one of the machine that is open");
  peer_.access.check_replicate(point.machine_name);

  messages::Control answer;
  answer.set_request(request);
  messages::Committed& committed = *answer.mutable_committed();
  if (all_is_there(point, committed)) {
    store_.add_replica_point(encoded);
    // The next point is a small step from this one. Its chunks stay while the lease lives, whichever points it names.
    open.bases.insert(open.bases.begin(), std::move(point));
    if (open.bases.size() > limits::base_points_max) open.bases.pop_back();
    committed.set_committed(true);
  }
  wire::send_control(writer_, answer);
}

}  // namespace vmferry::target_server
