#include "engine/measure/measuring_target.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "protocol/control.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/error.h"
#include "protocol/frame.h"
#include "protocol/messages.pb.h"
#include "protocol/software.h"
#include "protocol/wire.h"

namespace vmferry::measure {
namespace {

// The same every time, so that the same disks give the same numbers. Nothing is stored under this key.
Uuid fixed_uuid(std::string_view name) { return Uuid::derived(as_bytes(name)); }

class Answers {
 public:
  Answers(Transport& transport, MeasuredStore& store) : writer_(transport), reader_(transport), store_(store) {}

  void run() {
    while (const auto packet = reader_.next()) on_packet(*packet);
  }

 private:
  void on_packet(const wire::Packet& packet) {
    switch (packet.type) {
      case wire::PacketType::control: return on_control(wire::parse_control(packet.payload));
      case wire::PacketType::offer: return on_offer(wire::parse_numbered_ids(packet.payload));
      case wire::PacketType::frame: return on_frame(packet.payload);
      case wire::PacketType::delta: return on_delta(packet.payload);
      case wire::PacketType::fetch: return on_fetch(wire::parse_numbered_ids(packet.payload));
      default: throw Error(ErrorCode::malformed, "the client broke the protocol");
    }
  }

  void on_control(const messages::Control& question) {
    messages::Control answer;
    answer.set_request(question.request());
    switch (question.body_case()) {
      case messages::Control::kHello: welcome(*answer.mutable_welcome()); break;
      case messages::Control::kOpenBackup: {
        const RestorePoint* base = store_.newest_point();
        if (base != nullptr) wire::send_point(writer_, question.request(), *base);
        answer.mutable_backup_opened()->set_session(wire::to_field(fixed_uuid("measured session").view()));
        answer.mutable_backup_opened()->set_bases(base != nullptr ? 1 : 0);
        stored_bytes_ = deltas_ = delta_chunks_ = whole_again_ = 0;
        break;
      }
      case messages::Control::kPointPiece:
        if (auto point = assembly_.add(question.point_piece())) to_commit_ = std::move(point);
        return;
      case messages::Control::kCommit: commit(question.request(), *answer.mutable_committed()); break;
      case messages::Control::kCloseBackup: answer.mutable_backup_closed(); break;
      case messages::Control::kListPoints:
        if (const RestorePoint* newest = store_.newest_point())
          wire::put_summary(summarize(*newest), *answer.mutable_point_list()->add_points());
        answer.mutable_point_list()->set_last(true);
        break;
      case messages::Control::kGetPoint: {
        const RestorePoint* newest = store_.newest_point();
        if (newest == nullptr || newest->uuid != wire::uuid_of_field(question.get_point().uuid()))
          return wire::send_failure(writer_, question.request(), Error(ErrorCode::not_found, "there is no such point"));
        return wire::send_point(writer_, question.request(), *newest);
      }
      default:
        return wire::send_failure(writer_, question.request(),
                                  Error(ErrorCode::unsupported, "a target that only measures does not know this"));
    }
    wire::send_control(writer_, answer);
  }

  static void welcome(messages::Welcome& welcome) {
    const ChunkingParameters chunking;
    welcome.set_major(wire::version_major);
    welcome.set_minor(wire::version_minor);
    welcome.set_features(wire::features);
    welcome.set_software(software_name);
    welcome.set_store_uuid(wire::to_field(fixed_uuid("measured store").view()));
    welcome.set_domain_uuid(wire::to_field(fixed_uuid("measured domain").view()));
    welcome.set_domain_key(wire::to_field(blake3_of(as_bytes("measured domain"))));
    welcome.set_chunk_size_min(chunking.size_min);
    welcome.set_chunk_size_average(chunking.size_average);
    welcome.set_chunk_size_max(chunking.size_max);
    welcome.set_gear_seed(1);
  }

  void commit(std::uint64_t request, messages::Committed& committed) {
    if (!to_commit_) throw Error(ErrorCode::malformed, "a commit without its point");
    wire::send_point(writer_, request, store_.add_point(*std::exchange(to_commit_, std::nullopt)));
    committed.set_committed(true);
    committed.set_stored_bytes(stored_bytes_);
    committed.set_deltas(deltas_);
    committed.set_delta_chunks(delta_chunks_);
    committed.set_whole_again(whole_again_);
  }

  void on_offer(const wire::NumberedIds& offer) {
    std::vector<bool> wanted;
    wanted.reserve(offer.ids.size());
    for (const ChunkId& id : offer.ids) wanted.push_back(!store_.contains(id));
    writer_.send(wire::PacketType::want, {wire::encode_want(offer.number, wanted)});
  }

  void on_frame(ByteView frame) {
    for (const FrameChunk& chunk : parse_frame(frame).chunks) store_.add(chunk.id);
    stored_bytes_ += frame.size();
  }

  void on_delta(ByteView payload) {
    const std::uint64_t number = wire::take_number(payload);
    const delta::DeltaFrameView frame = delta::parse_delta_frame(payload);
    const bool known = std::ranges::all_of(frame.basis, [&](const auto& basis) { return store_.contains(basis.id); });
    std::vector<ChunkId> whole;
    for (const FrameChunk& chunk : frame.chunks) {
      if (known)
        store_.add(chunk.id);
      else
        whole.push_back(chunk.id);
    }
    deltas_ += 1;
    delta_chunks_ += frame.chunks.size() - whole.size();
    whole_again_ += whole.size();
    stored_bytes_ += payload.size();
    writer_.send(wire::PacketType::delta_done, {wire::encode_numbered_ids(number, whole)});
  }

  // The catalog has all that a backup reads of the former point; if not, the backup goes on without that point.
  void on_fetch(const wire::NumberedIds& fetch) {
    wire::FetchEnd end{fetch.number, {}};
    for (const ChunkId& id : fetch.ids) end.failed.push_back({wire::NotFetched::missing, id});
    writer_.send(wire::PacketType::fetch_end, {wire::encode_fetch_end(end)});
  }

  wire::PacketWriter writer_;
  wire::PacketReader reader_;
  MeasuredStore& store_;
  wire::PointAssembly assembly_;
  std::optional<RestorePoint> to_commit_;
  std::uint64_t stored_bytes_ = 0, deltas_ = 0, delta_chunks_ = 0, whole_again_ = 0;
};

}  // namespace

MeasuringTarget::MeasuringTarget(MeasuredStore& store, const target::ClientFacts& client) {
  auto [ours, theirs] = memory_transport();
  targets_end_ = std::move(theirs);
  thread_ = std::thread([this, &store] {
    try {
      Answers(*targets_end_, store).run();
      targets_end_->finish_sending();
    } catch (...) {  // the session then finds its line broken, and says so
      targets_end_->abort();
    }
  });
  try {
    session_ = target::TargetSession::open(std::move(ours), client);
  } catch (...) {
    targets_end_->abort();
    thread_.join();
    throw;
  }
}

MeasuringTarget::~MeasuringTarget() {
  session_.reset();
  targets_end_->abort();
  thread_.join();
}

}  // namespace vmferry::measure
