#include "target-server/serve/read_requests.h"

#include <algorithm>
#include <optional>

#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/messages.pb.h"
#include "target-server/receive/serve_session.h"
#include "target-server/serve/delta_maker.h"
#include "target-server/serve/frame_repacker.h"

namespace vmferry::target_server {
namespace {

constexpr std::size_t requests_queued_max = 64;  // of at most limits::offer_ids_max ids each
constexpr std::uint64_t progress_steps = 256;
constexpr int repack_level = 3;

// A sentence as a message carries it: a proto3 string must be UTF-8, a name in it need not be.
std::string plain(std::string sentence) {
  std::ranges::replace_if(sentence, [](char c) { return (c & 0x80) != 0; }, '?');
  return sentence.substr(0, 2048);
}

// False where all of the frame's chunks are wanted: it travels as it is.
bool repack_if_shared(ByteView stored, const std::vector<ChunkId>& wanted, FrameRepacker& repacker) {
  const FrameView frame = parse_frame(stored);
  if (frame.chunks.size() == wanted.size()) return false;
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < frame.chunks.size(); ++i)
    if (std::ranges::find(wanted, frame.chunks[i].id) != wanted.end()) indices.push_back(i);
  repacker.add(frame, indices);
  return true;
}

}  // namespace

ReadRequests::ReadRequests(store::Store& store, wire::PacketWriter& writer, Transport& transport)
    : store_(store), writer_(writer), transport_(transport), worker_([this] { work(); }) {}

ReadRequests::~ReadRequests() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void ReadRequests::add(ReadRequest request) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || queue_.size() < requests_queued_max; });
  queue_.push_back(std::move(request));
  changed_.notify_all();
}

void ReadRequests::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || (queue_.empty() && !busy_); });
}

bool ReadRequests::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void ReadRequests::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const ReadRequest request = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    changed_.notify_all();
    lock.unlock();
    bool line_broke = false;
    try {
      answer(request);
    } catch (...) {
      line_broke = true;  // answer() tells all other trouble to the peer
      transport_.abort();  // so that the receiving thread ends the session
    }
    lock.lock();
    busy_ = false;
    if (line_broke) stopping_ = true;
    changed_.notify_all();
  }
}

void ReadRequests::answer(const ReadRequest& request) {
  try {
    std::visit([&](const auto& what) { answer(request.number, what); }, request.what);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable) throw;
    wire::send_failure(writer_, request.number, error);
  } catch (const std::exception& error) {
    wire::send_failure(writer_, request.number, Error(ErrorCode::failed, "the target failed", {}, error.what()));
  }
}

void ReadRequests::answer(std::uint64_t number, const FetchRequest& fetch) {
  wire::FetchEnd end{number, {}};
  const auto fail = [&](std::span<const ChunkId> ids, wire::NotFetched why) {
    for (const ChunkId& id : ids) end.failed.push_back({why, id});
  };
  std::vector<ChunkId> missing;
  std::vector<store::Store::Located> located;
  try {
    located = store_.locate(fetch.ids, missing);
  } catch (const Error&) {
    fail(fetch.ids, wire::NotFetched::damaged);
  }
  fail(missing, wire::NotFetched::missing);
  const Bytes prefix = wire::encode_number(number);
  const auto send = [&](ByteView frame) { writer_.send(wire::PacketType::fetched, {prefix, frame}); };
  std::optional<FrameRepacker> repacker;
  if (fetch.only_wanted) repacker.emplace(repack_level, std::nullopt, send);
  for (const auto& [location, ids] : located) {
    Bytes frame;
    try {
      frame = store_.read_frame(location);
      if (repacker && repack_if_shared(frame, ids, *repacker)) continue;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unreachable) throw;
      store_.recheck(ids, false);
      fail(ids, wire::NotFetched::damaged);
      continue;
    }
    send(frame);
    if (stopping()) return;
  }
  if (repacker) repacker->finish();
  writer_.send(wire::PacketType::fetch_end, {wire::encode_fetch_end(end)});
}

void ReadRequests::answer(std::uint64_t number, const DeltasRequest& deltas) {
  if (!delta_maker_) delta_maker_ = std::make_unique<DeltaMaker>(store_);
  const Bytes prefix = wire::encode_number(number);
  std::vector<ChunkId> whole = delta_maker_->make(deltas.chunks, [&](ByteView delta_frame) {
    writer_.send(wire::PacketType::fetched_delta, {prefix, delta_frame});
    return !stopping();
  });
  answer(number, FetchRequest{std::move(whole), true});
}

void ReadRequests::answer(std::uint64_t number, const ListRequest&) {
  const std::vector<PointSummary> points = store_.points();
  std::span<const PointSummary> rest = points;
  do {
    const auto some = rest.first(std::min(rest.size(), wire::summaries_per_message_max));
    rest = rest.subspan(some.size());
    messages::Control control;
    control.set_request(number);
    for (const PointSummary& point : some) wire::put_summary(point, *control.mutable_point_list()->add_points());
    control.mutable_point_list()->set_last(rest.empty());
    wire::send_control(writer_, control);
  } while (!rest.empty());
}

void ReadRequests::answer(std::uint64_t number, const PointRequest& point) {
  wire::send_encoded_point(writer_, number, store_.encoded_point(point.uuid));
}

void ReadRequests::answer(std::uint64_t number, const VerifyRequest& verify) {
  const RestorePoint point = store_.point(verify.point);
  std::uint64_t told = 0;
  const auto progress = [&](std::uint64_t done, std::uint64_t total) {
    if (stopping()) throw Error(ErrorCode::unreachable, "the session ended");
    if (done < total && done - std::min(told, done) < std::max<std::uint64_t>(total / progress_steps, 1)) return;
    told = done;
    messages::Control control;
    control.set_request(number);
    control.mutable_verify_progress()->set_done_bytes(done);
    control.mutable_verify_progress()->set_total_bytes(total);
    wire::send_control(writer_, control);
  };
  const PointCheck check = check_point(store_, point, progress);
  messages::Control control;
  control.set_request(number);
  control.mutable_verified()->set_chunks(check.chunks);
  control.mutable_verified()->set_bytes(check.bytes);
  for (const std::string& sentence : check.damage) control.mutable_verified()->add_damage(plain(sentence));
  wire::send_control(writer_, control);
}

}  // namespace vmferry::target_server
