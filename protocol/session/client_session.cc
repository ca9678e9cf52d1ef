#include "protocol/session/client_session.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <tuple>

#include "protocol/session/client_call.h"
#include "protocol/session/handshake.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::target {
namespace {

constexpr std::size_t offers_in_flight_max = 64;
constexpr std::size_t deltas_in_flight_max = 64;
constexpr std::size_t answers_waiting_max = 64;  // of one call; more block the receiving thread until it takes some
constexpr std::chrono::seconds last_words_wait_max{5};

// fetch_frames(): what comes is used on the receiving thread.
class DirectCall final : public FetchCall {
 public:
  DirectCall(TargetSession::UseFrame use, std::function<void(std::exception_ptr)> done)
      : use_(std::move(use)), done_(std::move(done)) {}

  void deliver(const FrameView& frame, std::span<const std::size_t> wanted) override { use_(frame, wanted); }
  void begin_request() { open_ += 1; }
  void request_ended() override {
    if (--open_ == 0) done_(failure());
  }

 private:
  TargetSession::UseFrame use_;
  std::function<void(std::exception_ptr)> done_;
  std::atomic<std::size_t> open_ = 1;  // one for the caller, who is still starting requests
};

constexpr std::uint64_t early_number = 1;  // a session's first

messages::Control question_of(const BackupOpening& opening) {
  messages::Control question;
  messages::OpenBackup& open = *question.mutable_open_backup();
  open.set_machine_uuid(wire::to_field(opening.machine_uuid.view()));
  open.set_machine_name(opening.machine_name);
  for (const Uuid& uuid : opening.disk_uuids) open.add_disk_uuids(wire::to_field(uuid.view()));
  open.set_adopt(opening.adopt);
  for (const Uuid& uuid : opening.base_candidates) open.add_base_candidates(wire::to_field(uuid.view()));
  return question;
}

}  // namespace

std::unique_ptr<TargetSession> TargetSession::open(std::unique_ptr<Transport> transport, const ClientFacts& client,
                                                   Note note, const std::optional<BackupOpening>& early) {
  return std::make_unique<ClientSession>(std::move(transport), client, std::move(note), early);
}

ClientSession::ClientSession(std::unique_ptr<Transport> transport, const ClientFacts& client, Note note,
                             const std::optional<BackupOpening>& early)
    : note_(std::move(note)),
      early_(early),
      transport_(std::move(transport)),
      writer_(*transport_),
      reader_(*transport_),
      facts_(shake_hands(client)),
      source_(facts_.domain_key, [this](const auto& call, std::span<const ChunkId> ids) { send_fetch(call, ids); }),
      receiving_opener_(facts_.domain_key),
      next_number_(early_ ? early_number + 1 : early_number),
      calls_(early_ ? std::map<std::uint64_t, Answers>{{early_number, {}}} : std::map<std::uint64_t, Answers>{}),
      receiver_([this] { receive_all(); }) {}

TargetFacts ClientSession::shake_hands(const ClientFacts& client) {
  say_hello(writer_, client);
  if (early_) {
    messages::Control question = question_of(*early_);
    question.set_request(early_number);
    wire::send_control(writer_, question);
  }
  return hear_welcome(reader_);
}

ClientSession::~ClientSession() {
  bool clean;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    clean = !broken_ && calls_.empty() && offers_.empty() && deltas_.empty() && fetches_.empty();
  }
  try {
    if (clean) {
      transport_->finish_sending();
      transport_->leave();  // everything was answered
    }
  } catch (...) {
    clean = false;
  }
  if (!clean) transport_->abort();
  receiver_.join();
}

// --- sending

void ClientSession::throw_broken() { throw Error(broken_code_, broken_message_); }

void ClientSession::throw_if_broken() {
  const std::lock_guard lock(mutex_);
  if (broken_) throw_broken();
}

void ClientSession::send(wire::PacketType type, std::initializer_list<ByteView> parts) {
  throw_if_broken();
  try {
    writer_.send(type, parts);
  } catch (const Error&) {
    throw_last_words();
  }
}

// The line broke. The target may have said why before it went: the receiving thread reads that, then finds the end.
void ClientSession::throw_last_words() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, last_words_wait_max, [&] { return broken_; })) {
    lock.unlock();
    transport_->abort();
    lock.lock();
    changed_.wait(lock, [&] { return broken_; });
  }
  throw_broken();
}

void ClientSession::offer(std::vector<ChunkId> ids, std::function<void(WantBitmap)> answered) {
  if (ids.empty()) return answered({});
  if (ids.size() > limits::offer_ids_max) throw std::logic_error("an offer of too many chunks");
  std::uint64_t batch;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return broken_ || offers_.size() < offers_in_flight_max; });
    if (broken_) throw_broken();
    batch = next_number_++;
    offers_.emplace(batch, Offer{ids.size(), std::move(answered)});
  }
  send(wire::PacketType::offer, {wire::encode_numbered_ids(batch, ids)});
}

void ClientSession::send_frame(ByteView frame) { send(wire::PacketType::frame, {frame}); }

void ClientSession::send_delta(ByteView delta_frame, DeltaAnswered answered) {
  if (!takes_deltas()) throw std::logic_error("a delta for a target that takes none");
  Delta delta{{}, std::move(answered)};
  for (const FrameChunk& chunk : delta::parse_delta_frame(delta_frame).chunks) delta.ids.push_back(chunk.id);
  std::ranges::sort(delta.ids);
  std::uint64_t number;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return broken_ || deltas_.size() < deltas_in_flight_max; });
    if (broken_) throw_broken();
    number = next_number_++;
    deltas_.emplace(number, std::move(delta));
  }
  try {
    send(wire::PacketType::delta, {wire::encode_number(number), delta_frame});
  } catch (const Error&) {  // the session broke, which answered it: the next call throws why
  }
}

void ClientSession::send_fetch(const std::shared_ptr<FetchCall>& call, std::span<const ChunkId> ids) {
  const std::uint64_t number = fetches_.start(call, ids);
  send(wire::PacketType::fetch, {wire::encode_numbered_ids(number, ids)});
}

// --- calls

BackupOpened ClientSession::open_backup(const BackupOpening& opening) {
  if (early_)
    if (std::optional<BackupOpened> opened = take_early(opening)) return std::move(*opened);
  Call call(*this);
  messages::Control question = question_of(opening);
  call.ask(question);
  return opened_of(call);
}

// What was opened with the handshake, if it is what is wanted. It was asked for without base points: the target chose those
// that it knows, and where the catalog's is not among them, it has to be asked.
std::optional<BackupOpened> ClientSession::take_early(const BackupOpening& opening) {
  BackupOpening wanted = opening;
  wanted.base_candidates = early_->base_candidates;
  const bool is_wanted = *early_ == wanted;
  early_.reset();
  std::optional<BackupOpened> opened;
  try {
    Call call(*this, early_number);
    opened = opened_of(call);
  } catch (const Error&) {
    if (is_wanted) throw;
    return std::nullopt;
  }
  const auto has = [&](const Uuid& uuid) { return std::ranges::count(opened->bases, uuid, &RestorePoint::uuid) > 0; };
  if (is_wanted && std::ranges::all_of(opening.base_candidates, has)) return opened;
  close_backup();
  return std::nullopt;
}

BackupOpened ClientSession::opened_of(Call& call) {
  BackupOpened opened;
  wire::PointAssembly assembly;
  while (true) {
    const messages::Control answer = call.next();
    if (answer.has_point_piece()) {
      if (opened.bases.size() == limits::base_points_max) malformed("more base points than a session may have");
      if (auto base = assembly.add(answer.point_piece())) opened.bases.push_back(std::move(*base));
    } else if (answer.has_backup_opened()) {
      if (answer.backup_opened().bases() != opened.bases.size()) malformed("a base point did not come");
      opened.session = wire::uuid_of_field(answer.backup_opened().session());
      return opened;
    } else {
      malformed("it answered another question");
    }
  }
}

CommitResult ClientSession::commit(const RestorePoint& point) {
  Call call(*this);
  try {
    wire::send_point(writer_, call.number(), point);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable) throw_last_words();
    throw;
  }
  messages::Control question;
  question.mutable_commit();
  call.ask(question);

  CommitResult result;
  wire::PointAssembly assembly;
  std::optional<RestorePoint> stored;
  while (true) {
    const messages::Control answer = call.next();
    if (answer.has_point_piece()) {
      stored = assembly.add(answer.point_piece());
      continue;
    }
    if (!answer.has_committed()) malformed("it answered another question");
    result.committed = answer.committed().committed();
    result.stored_bytes = answer.committed().stored_bytes();
    result.deltas = answer.committed().deltas();
    result.delta_chunks = answer.committed().delta_chunks();
    result.whole_again = answer.committed().whole_again();
    for (const std::string& id : answer.committed().missing())
      result.missing.push_back(ChunkId::from_bytes(as_bytes(id)));
    if (result.committed != stored.has_value() || result.committed != result.missing.empty())
      malformed("its answer to a commit contradicts itself");
    if (stored) result.point = std::move(*stored);
    return result;
  }
}

void ClientSession::close_backup() {
  Call call(*this);
  messages::Control question;
  question.mutable_close_backup();
  call.ask(question);
  if (!call.next().has_backup_closed()) malformed("it answered another question");
}

// What the target still does for this request is for nobody any more.
void ClientSession::cancel(std::uint64_t request) noexcept {
  if ((facts_.features & wire::feature_cancel) == 0) return;
  try {
    messages::Control control;
    control.mutable_cancel()->set_request(request);
    wire::send_control(writer_, control);
  } catch (...) {  // the line broke: the target finds that out by itself
  }
}

std::vector<PointSummary> ClientSession::points() {
  Call call(*this);
  messages::Control question;
  question.mutable_list_points();
  call.ask(question);
  std::vector<PointSummary> points;
  while (true) {
    const messages::Control answer = call.next();
    if (!answer.has_point_list()) malformed("it answered another question");
    for (const auto& summary : answer.point_list().points()) points.push_back(wire::summary_of(summary));
    if (answer.point_list().last()) break;
  }
  std::ranges::sort(points, {}, [](const PointSummary& p) {
    return std::tie(p.machine_name, p.client_uuid, p.machine_uuid, p.number);
  });
  return points;
}

RestorePoint ClientSession::point(const Uuid& uuid) { return decode_point(encoded_point(uuid)); }

Bytes ClientSession::encoded_point(const Uuid& uuid) {
  Call call(*this);
  messages::Control question;
  question.mutable_get_point()->set_uuid(wire::to_field(uuid.view()));
  call.ask(question);
  wire::PointAssembly assembly;
  while (true) {
    const messages::Control answer = call.next();
    if (!answer.has_point_piece()) malformed("it answered another question");
    if (auto encoded = assembly.add_encoded(answer.point_piece())) return std::move(*encoded);
  }
}

VerifyResult ClientSession::verify(const Uuid& point, const Progress& progress) {
  Call call(*this);
  messages::Control question;
  question.mutable_verify()->set_point(wire::to_field(point.view()));
  call.ask(question);
  while (true) {
    const messages::Control answer = call.next();
    if (answer.has_verify_progress()) {
      if (!progress) continue;
      try {
        progress(answer.verify_progress().done_bytes(), answer.verify_progress().total_bytes());
      } catch (...) {
        cancel(call.number());
        throw;
      }
    } else if (answer.has_verified()) {
      const messages::Verified& verified = answer.verified();
      return {verified.chunks(), verified.bytes(), {verified.damage().begin(), verified.damage().end()}};
    } else {
      malformed("it answered another question");
    }
  }
}

void ClientSession::fetch(std::vector<ChunkId> ids, std::function<void(const ChunkId&, ByteView)> use,
                          std::function<void(std::exception_ptr)> done) {
  fetch_frames(
      std::move(ids),
      [this, use = std::move(use)](const FrameView& frame, std::span<const std::size_t> wanted) {
        receiving_opener_.open(frame, wanted, use);
      },
      std::move(done));
}

void ClientSession::fetch_frames(std::vector<ChunkId> ids, UseFrame use, std::function<void(std::exception_ptr)> done) {
  throw_if_broken();
  const std::vector<ChunkId> unique = distinct(ids);
  std::span<const ChunkId> rest = unique;
  const auto call = std::make_shared<DirectCall>(std::move(use), std::move(done));
  while (!rest.empty() && !call->failure()) {
    const auto some = rest.first(std::min(rest.size(), fetch_ids_per_request_max));
    rest = rest.subspan(some.size());
    call->begin_request();
    std::uint64_t number;
    try {
      number = fetches_.start(call, some);
    } catch (...) {  // not registered: nobody else will end it
      call->fail(std::current_exception());
      call->request_ended();
      break;
    }
    try {
      send(wire::PacketType::fetch, {wire::encode_numbered_ids(number, some)});
    } catch (...) {  // the session broke, which ended the request
      break;
    }
  }
  call->request_ended();
}

// --- the receiving thread

void ClientSession::receive_all() {
  const std::string target = "store " + facts_.store_uuid.to_string();
  try {
    while (const auto packet = reader_.next()) on_packet(*packet);
    break_session(ErrorCode::unreachable, Error(ErrorCode::unreachable, "the target ended the session", target).what());
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable)
      break_session(ErrorCode::unreachable,
                    Error(ErrorCode::unreachable, "the line to the target broke", target, error.what()).what());
    else
      break_session(error.code(), error.what());
  } catch (const std::exception& error) {
    break_session(ErrorCode::failed, error.what());
  }
}

void ClientSession::on_packet(const wire::Packet& packet) {
  switch (packet.type) {
    case wire::PacketType::control: return on_control(wire::parse_control(packet.payload));
    case wire::PacketType::want: return on_want(packet.payload);
    case wire::PacketType::delta_done: return on_delta_done(packet.payload);
    case wire::PacketType::fetched: return fetches_.on_fetched(packet.payload);
    case wire::PacketType::fetched_delta: return fetches_.on_fetched_delta(packet.payload);
    case wire::PacketType::fetch_end: return fetches_.on_fetch_end(packet.payload);
    default: malformed("it sent what only a client sends");
  }
}

void ClientSession::on_control(messages::Control control) {
  if (control.request() == 0) {
    if (control.has_failure()) throw wire::error_of_failure(control);
    malformed("it sent a message that answers nothing");
  }
  std::unique_lock lock(mutex_);
  const auto waiting = [&] { return calls_.find(control.request()); };
  changed_.wait(lock, [&] {
    return closing_ || waiting() == calls_.end() || waiting()->second.size() < answers_waiting_max;
  });
  // A call that failed half-way has gone: what still comes for it is dropped.
  if (waiting() == calls_.end()) return;
  waiting()->second.push_back(std::move(control));
  changed_.notify_all();
}

void ClientSession::on_want(ByteView payload) {
  const std::uint64_t batch = wire::take_number(payload);
  Offer offer;
  WantBitmap wanted;
  {
    const std::lock_guard lock(mutex_);
    const auto found = offers_.find(batch);
    if (found == offers_.end()) malformed("it answered an offer that was not made");
    wanted = wire::parse_want_bitmap(payload, found->second.ids);  // throws: then break_session() answers it
    offer = std::move(found->second);
    offers_.erase(found);
  }
  changed_.notify_all();
  offer.answered(std::move(wanted));
}

void ClientSession::on_delta_done(ByteView payload) {
  wire::NumberedIds whole = wire::parse_delta_done(payload);
  std::ranges::sort(whole.ids);
  DeltaAnswered answered;
  {
    const std::lock_guard lock(mutex_);
    const auto found = deltas_.find(whole.number);
    if (found == deltas_.end()) malformed("it answered a delta that was not sent");
    if (!std::ranges::includes(found->second.ids, whole.ids)) malformed("it wants chunks that are not of the delta");
    answered = std::move(found->second.answered);
    deltas_.erase(found);
  }
  changed_.notify_all();
  answered(std::move(whole.ids));
}

void ClientSession::break_session(ErrorCode code, const std::string& message) {
  std::map<std::uint64_t, Offer> offers;
  std::map<std::uint64_t, Delta> deltas;
  {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    broken_code_ = code;
    broken_message_ = message;
    offers.swap(offers_);
    deltas.swap(deltas_);
  }
  changed_.notify_all();
  transport_->abort();
  fetches_.fail_all(std::make_exception_ptr(Error(code, message)));
  for (auto& [batch, offer] : offers) offer.answered({});
  for (auto& [number, delta] : deltas) delta.answered(std::nullopt);
}

}  // namespace vmferry::target
