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
constexpr std::size_t fetches_open_max = 16;  // all that a client may have under way
constexpr std::size_t cancelled_max = 256;    // remembered: more than may be under way
constexpr std::uint64_t progress_steps = 256;
constexpr int repack_level = 3;

using Reading = std::optional<ReadPriority::Reading>;

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

ReadRequests::ReadRequests(store::Store& store, wire::PacketWriter& writer, Transport& transport, MayRead may_read,
                           std::shared_ptr<ReadPriority> priority)
    : store_(store),
      writer_(writer),
      transport_(transport),
      may_read_(std::move(may_read)),
      priority_(std::move(priority)),
      worker_([this] { work(); }) {}

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

// One that waits is answered in its turn, and then at once.
void ReadRequests::cancel(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (cancelled_.size() == cancelled_max) cancelled_.pop_front();
  cancelled_.push_back(number);
}

bool ReadRequests::cancelled(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::find(cancelled_, number) != cancelled_.end();
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
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty() || !open_.empty(); });
    if (stopping_) return;
    const std::optional<ReadRequest> request = take_next();
    busy_ = true;
    changed_.notify_all();
    lock.unlock();
    bool line_broke = false;
    try {
      if (request)
        answer(*request);
      else
        send_frame_of_shortest();
    } catch (...) {
      line_broke = true;  // answer() tells all other trouble to the peer
      transport_.abort();  // so that the receiving thread ends the session
    }
    lock.lock();
    busy_ = !open_.empty();
    if (line_broke) stopping_ = true;
    changed_.notify_all();
  }
}

std::optional<ReadRequest> ReadRequests::take_next() {
  const auto take = [&](auto found) {
    ReadRequest request = std::move(*found);
    queue_.erase(found);
    return request;
  };
  const auto is_fetch = [](const ReadRequest& request) {
    return std::holds_alternative<FetchRequest>(request.what) || std::holds_alternative<DeltasRequest>(request.what);
  };
  const auto is_short = [](const ReadRequest& request) {
    return std::holds_alternative<ListRequest>(request.what) || std::holds_alternative<PointRequest>(request.what);
  };
  if (const auto found = std::ranges::find_if(queue_, is_short); found != queue_.end()) return take(found);
  if (open_.size() < fetches_open_max)
    if (const auto found = std::ranges::find_if(queue_, is_fetch); found != queue_.end()) return take(found);
  if (open_.empty()) return take(queue_.begin());
  return std::nullopt;
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
  OpenFetch open;
  open.end.request = number;
  const auto fail = [&](std::span<const ChunkId> ids, wire::NotFetched why) {
    for (const ChunkId& id : ids) open.end.failed.push_back({why, id});
  };
  std::vector<ChunkId> missing;
  try {
    Reading reading;
    if (priority_) reading.emplace(*priority_);
    open.frames = store_.locate(fetch.ids, missing);
  } catch (const Error&) {
    fail(fetch.ids, wire::NotFetched::damaged);
  }
  fail(missing, wire::NotFetched::missing);
  if (fetch.only_wanted) return send_repacked(open);
  for (const auto& located : open.frames) open.bytes_left += located.frame.length;
  std::ranges::reverse(open.frames);
  open_.push_back(std::move(open));
}

// In one go: what is repacked has to wait for its frame to be full.
void ReadRequests::send_repacked(OpenFetch& fetch) {
  const Bytes prefix = wire::encode_number(fetch.end.request);
  const auto send = [&](ByteView frame) { writer_.send(wire::PacketType::fetched, {prefix, frame}); };
  FrameRepacker repacker(repack_level, std::nullopt, send);
  for (const auto& [location, ids] : fetch.frames) {
    if (stopping()) return;
    Bytes frame;
    try {
      frame = store_.read_frame(location);
      if (repack_if_shared(frame, ids, repacker)) continue;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unreachable) throw;
      store_.recheck(ids, false);
      for (const ChunkId& id : ids) fetch.end.failed.push_back({wire::NotFetched::damaged, id});
      continue;
    }
    send(frame);
  }
  repacker.finish();
  writer_.send(wire::PacketType::fetch_end, {wire::encode_fetch_end(fetch.end)});
}

void ReadRequests::answer(std::uint64_t number, const DeltasRequest& deltas) {
  if (!delta_maker_) delta_maker_ = std::make_unique<DeltaMaker>(store_);
  const Bytes prefix = wire::encode_number(number);
  std::vector<ChunkId> whole = delta_maker_->make(deltas.chunks, [&](ByteView delta_frame) {
    writer_.send(wire::PacketType::fetched_delta, {prefix, delta_frame});
    return !stopping() && !cancelled(number);
  });
  answer(number, FetchRequest{std::move(whole), true});
}

void ReadRequests::send_frame_of_shortest() {
  const auto shortest = std::ranges::min_element(open_, {}, &OpenFetch::bytes_left);
  if (!shortest->frames.empty() && cancelled(shortest->end.request)) drop_frames(*shortest);
  if (!shortest->frames.empty()) return send_frame(*shortest);
  const wire::FetchEnd end = std::move(shortest->end);
  open_.erase(shortest);
  writer_.send(wire::PacketType::fetch_end, {wire::encode_fetch_end(end)});
}

void ReadRequests::drop_frames(OpenFetch& fetch) {
  for (const auto& [location, ids] : fetch.frames)
    for (const ChunkId& id : ids) fetch.end.failed.push_back({wire::NotFetched::missing, id});
  fetch.frames.clear();
}

void ReadRequests::send_frame(OpenFetch& fetch) {
  const auto [location, ids] = std::move(fetch.frames.back());
  fetch.frames.pop_back();
  fetch.bytes_left -= location.length;
  Bytes frame;
  try {
    Reading reading;
    if (priority_) reading.emplace(*priority_);
    frame = store_.read_frame(location);
  } catch (const Error&) {
    store_.recheck(ids, false);
    for (const ChunkId& id : ids) fetch.end.failed.push_back({wire::NotFetched::damaged, id});
    return;
  }
  writer_.send(wire::PacketType::fetched, {wire::encode_number(fetch.end.request), frame});
}

void ReadRequests::answer(std::uint64_t number, const ListRequest&) {
  std::vector<PointSummary> points = store_.points();
  std::erase_if(points, [&](const PointSummary& point) { return !may_read_(point); });
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

// What a client may not see is not there for it.
RestorePoint ReadRequests::readable_point(const Uuid& uuid) {
  RestorePoint point = store_.point(uuid);
  if (!may_read_(summarize(point)))
    throw Error(ErrorCode::not_found, "no such restore point in the store", uuid.to_string());
  return point;
}

void ReadRequests::answer(std::uint64_t number, const PointRequest& point) {
  readable_point(point.uuid);
  wire::send_encoded_point(writer_, number, store_.encoded_point(point.uuid));
}

void ReadRequests::answer(std::uint64_t number, const VerifyRequest& verify) {
  const RestorePoint point = readable_point(verify.point);
  std::uint64_t told = 0;
  const auto progress = [&](std::uint64_t done, std::uint64_t total) {
    if (stopping()) throw Error(ErrorCode::unreachable, "the session ended");
    if (cancelled(number)) throw Error(ErrorCode::cancelled, "the verification was stopped");
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
