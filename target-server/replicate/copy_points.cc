#include "target-server/replicate/copy_points.h"

#include <algorithm>
#include <optional>
#include <set>

#include "protocol/error.h"
#include "target-server/replicate/framed_nodes.h"
#include "target-server/replicate/new_content.h"

namespace vmferry::target_server {
namespace {

constexpr int attempts_max = 3;
constexpr std::size_t kept_nodes_bytes_max = 32u << 20;

bool ends_all(ErrorCode code) {
  return code == ErrorCode::unreachable || code == ErrorCode::no_space || code == ErrorCode::permission ||
         code == ErrorCode::cancelled;
}

class Copy {
 public:
  Copy(const CopySessions& sessions, std::vector<PointSummary> both, const FerryOptions& options, CopyEvents& events)
      : from_(sessions.from),
        to_(sessions.to),
        near_(sessions.near),
        nodes_(sessions.from, kept_nodes_bytes_max),
        both_(std::move(both)),
        options_(options),
        events_(events) {}

  void run(const std::vector<PointSummary>& missing) {
    for (const PointSummary& point : missing) {
      const Machine machine(point.client_uuid, point.machine_uuid);
      if (busy_.contains(machine)) {
        events_.failed(point, Error(ErrorCode::busy, "its machine is in use by another session"));
        continue;
      }
      events_.begins(point);
      try {
        events_.copied({point, copy(point)});
        both_.push_back(point);
      } catch (const Error& error) {
        if (ends_all(error.code())) throw;
        close_after(error);
        if (error.code() == ErrorCode::busy) busy_.insert(machine);
        events_.failed(point, error);
      }
    }
    if (open_) to_.close_backup();
  }

 private:
  using Machine = std::pair<Uuid, Uuid>;

  // The session may have ended with the error: then that is what to tell.
  void close_after(const Error& error) {
    if (!open_) return;
    open_.reset();
    try {
      to_.close_backup();
    } catch (const Error&) {
      throw error;
    }
  }

  // The base, if the other store has leased it.
  std::optional<Uuid> open_for(const PointSummary& point) {
    const Machine machine(point.client_uuid, point.machine_uuid);
    const std::optional<Uuid> wished = nearest_base(point, both_);
    const auto leased = [&] { return wished && std::ranges::find(leased_, *wished) != leased_.end(); };
    if (open_ != machine || (wished && !leased())) {
      if (open_) to_.close_backup();
      open_.reset();
      target::ReplicaOpening opening{point.client_uuid, point.machine_uuid, {}};
      if (wished) opening.base_candidates.push_back(*wished);
      leased_ = to_.open_replica(opening).bases;
      open_ = machine;
    }
    return leased() ? wished : std::nullopt;
  }

  // Null where it cannot be read here: then nothing counts as known.
  const RestorePoint* load_base(const std::optional<Uuid>& uuid) {
    if (!uuid) return nullptr;
    if (last_ && last_->uuid == *uuid) return &*last_;
    try {
      last_ = near_.point(*uuid);
      return &*last_;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unreachable) throw;
      return nullptr;
    }
  }

  FerryCounts copy(const PointSummary& summary) {
    const Bytes encoded = from_.encoded_point(summary.uuid);
    RestorePoint point = decode_point(encoded);
    if (point.uuid != summary.uuid) throw Error(ErrorCode::malformed, "another point came", name_of(summary));
    const RestorePoint* base = load_base(open_for(summary));
    FerryCounts counts;
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
      counts += send(point, base);
      if (to_.commit_replica(encoded).committed) {
        leased_.push_back(point.uuid);
        last_ = std::move(point);
        return counts;
      }
      base = nullptr;  // something that the base reaches is lost there: all is offered
    }
    throw Error(ErrorCode::damaged, "the other store says again and again that chunks are missing", name_of(summary),
                "look at its disk, and run vmferry verify there");
  }

  FerryCounts send(const RestorePoint& point, const RestorePoint* base) {
    FerryOptions options = options_;
    options.tick = [this] { events_.tick(); };
    options.from_is_far = &near_ == &to_;
    if (!options.from_is_far) options.base_nodes = &near_.chunks();
    ChunkFerry ferry(from_, to_, options);
    NewContent visit;
    visit.node = [&](const ChunkId& id, ByteView content, const std::optional<ChunkId>& in_base) {
      wire::ChunkWithBasis node{id, {}};
      if (in_base) node.basis.push_back(*in_base);
      ferry.add_node(std::move(node), content);
    };
    visit.chunk = [&](const ChunkId& id, std::vector<ChunkId> in_base) { ferry.add_chunk({id, std::move(in_base)}); };
    visit_new_content(point, nodes_, base, near_.chunks(), visit);
    ferry.finish();
    return ferry.counts();
  }

  target::TargetSession& from_;
  target::TargetSession& to_;
  target::TargetSession& near_;
  FramedNodes nodes_;
  std::vector<PointSummary> both_;
  const FerryOptions options_;
  CopyEvents& events_;
  std::optional<Machine> open_;
  std::vector<Uuid> leased_;
  std::optional<RestorePoint> last_;  // the last base, or the point copied last
  std::set<Machine> busy_;
};

}  // namespace

void check_same_domain(const target::TargetSession& from, const target::TargetSession& to) {
  if (from.facts().store_uuid == to.facts().store_uuid)
    throw Error(ErrorCode::refused, "both ends are the same store", from.facts().store_uuid.to_string());
  if (from.facts().domain_uuid == to.facts().domain_uuid && from.facts().domain_key == to.facts().domain_key) return;
  throw Error(ErrorCode::refused, "the two stores are of different dedup domains, so their chunks have different names",
              from.facts().domain_uuid.to_string() + " and " + to.facts().domain_uuid.to_string(),
              "a store joins a domain when it is made: `vmferry-target key export --store A > FILE` at the one, "
              "`vmferry-target init --store DIR --domain FILE` for the other");
}

void copy_points(const CopySessions& sessions, const std::vector<PointSummary>& missing,
                 std::vector<PointSummary> both, const FerryOptions& options, CopyEvents& events) {
  for (const target::TargetSession* session : {&sessions.from, &sessions.to})
    if (!session->takes_replicas())
      throw Error(ErrorCode::unsupported, "the other store's vmferry is too old to copy points",
                  session->facts().software, "update vmferry-target there");
  Copy(sessions, std::move(both), options, events).run(missing);
}

}  // namespace vmferry::target_server
