#include "tests/support/cutting_transport.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "protocol/error.h"

namespace vmferry::test {

CuttingTransport::CuttingTransport(std::unique_ptr<Transport> line, const CutPlan& plan)
    : line_(std::move(line)),
      plan_(plan),
      sending_{plan.cut_at_sent, plan.stall_at_sent, 0, Random(plan.seed)},
      receiving_{plan.cut_at_received, plan.stall_at_received, 0, Random(plan.seed + 1)} {}

CuttingTransport::~CuttingTransport() {
  if (plan_.graveyard != nullptr && stalled_) plan_.graveyard->bury(std::move(line_));
}

void CuttingTransport::send(std::span<const ByteView> parts) {
  for (ByteView part : parts) {
    while (!part.empty()) {
      const std::size_t count = pass(sending_, part.size());
      const std::array<ByteView, 1> piece = {part.first(count)};
      line_->send(piece);
      sending_.passed += count;
      part = part.subspan(count);
    }
  }
}

std::size_t CuttingTransport::receive(std::span<std::byte> into) {
  const std::size_t count = line_->receive(into.first(pass(receiving_, into.size())));
  receiving_.passed += count;
  return count;
}

void CuttingTransport::finish_sending() {
  {
    const std::lock_guard lock(mutex_);
    if (stalled_) return;
  }
  line_->finish_sending();
}

void CuttingTransport::abort() noexcept {
  const std::lock_guard lock(mutex_);
  aborted_ = true;
  ended_.notify_all();
  if (plan_.graveyard == nullptr || !stalled_) line_->abort();
}

TransportCounts CuttingTransport::counts() const noexcept { return line_->counts(); }

std::size_t CuttingTransport::pass(Way& way, std::size_t wanted) {
  pause(way);
  std::unique_lock lock(mutex_);
  if (way.passed >= way.stall_at) stalled_ = true;
  ended_.wait(lock, [this] { return aborted_ || !stalled_; });
  if (way.passed >= way.cut_at && !aborted_) {
    aborted_ = true;
    ended_.notify_all();
    line_->abort();
  }
  if (aborted_) throw Error(ErrorCode::unreachable, "the line was cut", "a test's line");
  return static_cast<std::size_t>(std::min<std::uint64_t>(
      {wanted, plan_.piece_bytes_max, way.cut_at - way.passed, way.stall_at - way.passed}));
}

void CuttingTransport::pause(Way& way) const {
  if (plan_.pause_us_max == 0) return;
  std::this_thread::sleep_for(std::chrono::microseconds(way.random.below(plan_.pause_us_max + 1)));
}

}  // namespace vmferry::test
