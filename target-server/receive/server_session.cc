#include "target-server/receive/server_session.h"

#include <algorithm>

#include "protocol/error.h"
#include "target-server/receive/base_points.h"
#include "target-server/receive/commit_check.h"
#include "target-server/receive/lost_reach.h"
#include "target-server/receive/malformed.h"
#include "target-server/receive/opening.h"

namespace vmferry::target_server {
namespace {

Opening opening_of(const messages::OpenBackup& message, const Uuid& client_uuid) {
  Opening opening;
  opening.client_uuid = client_uuid;
  opening.machine_uuid = wire::uuid_of_field(message.machine_uuid());
  opening.machine_name = message.machine_name();
  opening.adopt = message.adopt();
  for (const std::string& uuid : message.disk_uuids()) opening.disk_uuids.push_back(wire::uuid_of_field(uuid));
  for (const std::string& uuid : message.base_candidates())
    opening.base_candidates.push_back(wire::uuid_of_field(uuid));
  validate(opening);
  return opening;
}

}  // namespace

ServerSession::ServerSession(Transport& transport, wire::PacketWriter& writer, wire::PacketReader& reader,
                             LastWords& last_words, store::Store& store, const Peer& peer, const ServeOptions& options)
    : writer_(writer),
      reader_(reader),
      last_words_(last_words),
      store_(store),
      peer_(peer),
      may_replicate_(peer.is_replica && peer.access.may_replicate() && both_have(wire::feature_replicas)),
      options_(options),
      reading_(store, writer, transport,
               [this](const PointSummary& point) { return peer_.access.may_read(point, peer_.client_uuid); },
               options.read_priority) {}

ServerSession::~ServerSession() { keep_what_arrived(); }

void ServerSession::run() {
  try {
    while (const auto packet = reader_.next()) on_packet(*packet);
  } catch (const Error& error) {
    // A client that was told of a failure of the intake hangs up: the failure is why.
    if (backup_) backup_->intake.drop_deltas();
    if (error.code() == ErrorCode::unreachable && backup_) backup_->intake.check();
    throw;
  }
  reading_.drain();
}

void ServerSession::on_packet(const wire::Packet& packet) {
  switch (packet.type) {
    case wire::PacketType::control: return on_control(wire::parse_control(packet.payload));
    case wire::PacketType::offer: return on_offer(packet.payload);
    case wire::PacketType::frame: return backup().intake.add(packet.payload);
    case wire::PacketType::delta: return on_delta(packet.payload);
    case wire::PacketType::fetch: {
      wire::NumberedIds fetch = wire::parse_numbered_ids(packet.payload);
      return reading_.add({fetch.number, FetchRequest{std::move(fetch.ids)}});
    }
    case wire::PacketType::fetch_deltas: {
      // It only reads: whoever copies may ask, with the rights of a reader too.
      if (!peer_.is_replica || !both_have(wire::feature_replicas)) malformed("it asked for deltas, and is no replica");
      wire::DeltaRequest deltas = wire::parse_delta_request(packet.payload);
      return reading_.add({deltas.number, DeltasRequest{std::move(deltas.chunks)}});
    }
    default: malformed("it sent what only a target sends");
  }
}

void ServerSession::on_control(const messages::Control& control) {
  const std::uint64_t request = control.request();
  if (request == 0 && !control.has_cancel()) malformed("a request without a number");
  try {
    switch (control.body_case()) {
      case messages::Control::kOpenBackup: return open_backup(control);
      case messages::Control::kPointPiece: return on_point_piece(control);
      case messages::Control::kCommit: return commit(request);
      case messages::Control::kCloseBackup: return close_backup(request);
      case messages::Control::kOpenReplica: return open_replica(control);
      case messages::Control::kCommitReplica: return commit_replica(request);
      case messages::Control::kListPoints: return reading_.add({request, ListRequest{}});
      case messages::Control::kGetPoint:
        return reading_.add({request, PointRequest{wire::uuid_of_field(control.get_point().uuid())}});
      case messages::Control::kVerify:
        return reading_.add({request, VerifyRequest{wire::uuid_of_field(control.verify().point())}});
      case messages::Control::kCancel: return reading_.cancel(control.cancel().request());
      default: malformed("it sent a message that a target does not know");
    }
  } catch (const Error& error) {
    // A peer that breaks the protocol loses the session; all else is the answer to this one request.
    if (error.code() == ErrorCode::unreachable || error.code() == ErrorCode::malformed) throw;
    wire::send_failure(writer_, request, error);
  }
}

ServerSession::Backup& ServerSession::backup() {
  if (!backup_) malformed("no backup is open");
  return *backup_;
}

void ServerSession::on_offer(ByteView payload) {
  backup().intake.check();
  const wire::NumberedIds offer = wire::parse_numbered_ids(payload);
  // A chunk that is there stays there while the session lasts: nothing deletes chunks while a session holds a lease.
  std::vector<bool> wanted = store_.contains(offer.ids);
  wanted.flip();
  writer_.send(wire::PacketType::want, {wire::encode_want(offer.number, wanted)});
}

void ServerSession::on_delta(ByteView payload) {
  if (!both_have(wire::feature_deltas)) malformed("it sent a delta, which it did not say that it knows");
  const std::uint64_t number = wire::take_number(payload);
  backup().intake.add_delta(number, payload);
}

IntakeEvents ServerSession::intake_events() {
  return {[this](std::uint64_t number, const std::vector<ChunkId>& whole) {
            writer_.send(wire::PacketType::delta_done, {wire::encode_numbered_ids(number, whole)});
          },
          [this](const Error& why) { last_words_.say(why); }};
}

// A bounded number of backups at a time: the others wait, and are told how many are before them.
Turnstile::Turn ServerSession::wait_for_turn(std::uint64_t request) {
  if (!options_.backup_turns) return {};
  return options_.backup_turns->take([&](std::size_t before) {
    if (!both_have(wire::feature_notes)) return;
    messages::Control control;
    control.set_request(request);
    control.mutable_note()->set_sentence(before == 0 ? "the target is busy: this backup is the next one"
                                                     : "the target is busy: " + std::to_string(before) +
                                                           (before == 1 ? " backup is" : " backups are") +
                                                           " before this one");
    wire::send_control(writer_, control);
  });
}

IntakeLimits ServerSession::intake_limits() const {
  return {options_.verify_threads, options_.queue_bytes_max, options_.rebuild_compression_level,
          options_.read_priority};
}

void ServerSession::open_backup(const messages::Control& question) {
  if (backup_) malformed("a backup is open already");
  const Opening opening = opening_of(question.open_backup(), peer_.client_uuid);
  peer_.access.check_add(opening.machine_name, peer_.client_uuid);
  refuse_below_reserve(store_);
  Turnstile::Turn turn = wait_for_turn(question.request());
  std::vector<PointSummary> points = store_.points();
  std::erase_if(points, [&](const PointSummary& point) { return !peer_.access.may_read(point, peer_.client_uuid); });
  if (const auto last = newest_of_name(points, opening)) {
    if (const auto point = sound_point(store_, last->uuid))
      refuse_another_machine(opening, *point);
    else
      refuse_another_machine(opening, *last);
  }
  std::vector<Uuid> base_uuids = choose_bases(points, opening);
  std::vector<ChunkId> lost;
  if (store_.any_lost()) lost = store_.lost(lost_ids_max);
  drop_what_reaches_lost(store_, lost, base_uuids);
  auto opened = std::make_unique<Backup>(store_, intake_limits(), intake_events());
  opened->turn = std::move(turn);
  opened->lease = store_.lease(peer_.client_uuid, opening.machine_uuid, base_uuids);
  store_.pin(peer_.client_uuid, opening.machine_uuid, opening.machine_name);
  opened->machine_uuid = opening.machine_uuid;
  opened->machine_name = opening.machine_name;
  opened->lost_at_open = std::move(lost);
  for (const Uuid& uuid : base_uuids)
    if (auto base = sound_point(store_, uuid)) opened->bases.push_back(std::move(*base));
  backup_ = std::move(opened);

  const Backup& open = *backup_;
  for (const RestorePoint& base : open.bases) wire::send_point(writer_, question.request(), base);
  messages::Control answer;
  answer.set_request(question.request());
  answer.mutable_backup_opened()->set_session(wire::to_field(open.lease->session().view()));
  answer.mutable_backup_opened()->set_bases(static_cast<std::uint32_t>(open.bases.size()));
  wire::send_control(writer_, answer);
}

bool ServerSession::all_is_there(const RestorePoint& point, messages::Committed& committed) {
  Backup& open = backup();
  open.intake.drain();
  store_.sync();  // so that everything that arrived can be read back
  drop_bases_that_lost();
  const std::vector<ChunkId> missing = missing_chunks(store_, point, open.bases);
  const IntakeCounts counts = open.intake.counts();
  committed.set_stored_bytes(counts.stored_bytes);
  committed.set_deltas(counts.deltas);
  committed.set_delta_chunks(counts.delta_chunks);
  committed.set_whole_again(counts.whole_again);
  for (const ChunkId& id : missing) committed.add_missing(wire::to_field(id.view()));
  if (missing.empty()) store_.sync();  // what the check found may be another session's, and not durable yet
  return missing.empty();
}

// What was found lost while the backup ran, maybe by its own deltas: what a base reaches of it is to be answered as
// missing, and so must be looked up.
void ServerSession::drop_bases_that_lost() {
  if (!store_.any_lost()) return;
  Backup& open = backup();
  const std::vector<ChunkId> lost = store_.lost(lost_ids_max);
  std::vector<ChunkId> since_open;
  std::ranges::set_difference(lost, open.lost_at_open, std::back_inserter(since_open));
  if (since_open.empty()) return;
  std::erase_if(open.bases, [&](const RestorePoint& base) {
    return lost.size() == lost_ids_max || reaches_lost(store_, base, since_open);
  });
}

void ServerSession::on_point_piece(const messages::Control& control) {
  Backup& open = backup();
  if (open.to_commit) malformed("a point came before the last one was committed");
  if (auto encoded = open.assembly.add_encoded(control.point_piece())) {
    open.to_commit.emplace(control.request(), decode_point(*encoded));
    if (open.replica_of) open.replica_to_commit = std::move(*encoded);
  }
}

void ServerSession::commit(std::uint64_t request) {
  Backup& open = backup();
  if (open.replica_of || !open.to_commit || open.to_commit->first != request) malformed("a commit without its point");
  const RestorePoint point = std::move(open.to_commit->second);
  open.to_commit.reset();
  if (point.uuid.is_none() || point.client_uuid != peer_.client_uuid || point.machine_uuid != open.machine_uuid ||
      point.machine_name != open.machine_name || point.domain_uuid != store_.domain().uuid)
    malformed("the point is not one of the backup that is open");

  messages::Control answer;
  answer.set_request(request);
  messages::Committed& committed = *answer.mutable_committed();
  if (all_is_there(point, committed)) {
    const RestorePoint stored = store_.add_point(point);
    store_.unpin(peer_.client_uuid, point.machine_uuid);
    backup_.reset();
    committed.set_committed(true);
    wire::send_point(writer_, request, stored);
  }
  wire::send_control(writer_, answer);
}

void ServerSession::close_backup(std::uint64_t request) {
  if (backup_) {
    backup_->intake.drain();
    store_.sync();
    backup_.reset();
  }
  messages::Control answer;
  answer.set_request(request);
  answer.mutable_backup_closed();
  wire::send_control(writer_, answer);
}

void ServerSession::keep_what_arrived() noexcept {
  if (!backup_) return;
  try {
    backup_->intake.drain();
  } catch (...) {  // the frames before the one that failed count all the same
  }
  try {
    store_.sync();
  } catch (...) {  // a later open of the store recovers what it can
  }
  backup_.reset();
}

}  // namespace vmferry::target_server
