#include "bench/link/line.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vmferry::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t queue_bytes_least = 256 * 1024;
constexpr Time burst_max = 1ms;

}  // namespace

std::uint64_t LineShape::queue_bytes_max() const noexcept {
  if (queue_bytes) return *queue_bytes;
  const double round_trip_s = 2 * std::chrono::duration<double>(delay).count();
  return std::max(queue_bytes_least, static_cast<std::uint64_t>(rate_bits_per_s / 8 * round_trip_s));
}

Line::Line(const LineShape& shape, std::uint64_t seed) : random_(seed) { reshape(shape); }

void Line::reshape(const LineShape& shape) {
  shape_ = shape;
  draw_next_loss();
}

void Line::stall(Time how_long, Time now) {
  note_departures(now);
  for (std::size_t i = 0; i < under_way_.size(); ++i) {
    if (i >= departed_) under_way_[i].leaves += how_long;
    under_way_[i].arrives += how_long;
  }
  line_free_ = std::max(line_free_, now) + how_long;
  last_arrival_ += how_long;
}

void Line::accept(std::span<const std::byte> bytes, Time now) {
  note_departures(now);
  const Packet packet(bytes);
  for (std::size_t at = 0; at < packet.segments();) {
    const std::size_t fitting = segments_that_fit(packet, at, packet.segments() - at);
    if (fitting == 0) {
      ++counters_.dropped, ++at;
    } else if (segments_until_loss_ == 0) {
      carry(packet, at, 1, true, now);
      draw_next_loss(), ++at;
    } else {
      const std::size_t count = std::min<std::uint64_t>(fitting, segments_until_loss_);
      carry(packet, at, count, false, now);
      segments_until_loss_ -= count, at += count;
    }
  }
}

// As many as the queue has room for and the line carries in a burst's time; one that fits is never too long for it.
std::size_t Line::segments_that_fit(const Packet& packet, std::size_t first, std::size_t count) const noexcept {
  if (shape_.rate_bits_per_s <= 0) return count;
  const std::uint64_t queue_max = shape_.queue_bytes_max();
  const std::uint64_t room = queue_max - std::min(queue_max, queue_bytes_);
  std::uint64_t bytes = 0;
  for (std::size_t fitting = 0; fitting < count; ++fitting) {
    bytes += packet.wire_bytes(first + fitting, 1);
    if (bytes > room || (fitting > 0 && time_on_line(bytes) > burst_max)) return fitting;
  }
  return count;
}

void Line::carry(const Packet& packet, std::size_t first, std::size_t count, bool lost, Time now) {
  const std::uint64_t wire_bytes = packet.wire_bytes(first, count);
  counters_.packets += count;
  counters_.bytes += wire_bytes;
  if (lost) counters_.lost += count;
  if (!lost) counters_.payload_bytes += packet.payload_bytes(first, count);
  counters_.busy += time_on_line(wire_bytes);
  line_free_ = std::max(line_free_, now) + time_on_line(wire_bytes);
  last_arrival_ = std::max(last_arrival_, line_free_ + draw_delay());
  queue_bytes_ += wire_bytes;
  counters_.queue_bytes_peak = std::max(counters_.queue_bytes_peak, queue_bytes_);
  under_way_.push_back({lost ? PacketBytes{} : packet.cut(first, count), wire_bytes, line_free_, last_arrival_});
}

void Line::note_departures(Time now) {
  for (; departed_ < under_way_.size() && under_way_[departed_].leaves <= now; ++departed_)
    queue_bytes_ -= under_way_[departed_].wire_bytes;
}

std::optional<Time> Line::next_arrival() const noexcept {
  if (under_way_.empty()) return {};
  return under_way_.front().arrives;
}

std::optional<PacketBytes> Line::take_arrived(Time now) {
  note_departures(now);
  while (!under_way_.empty() && under_way_.front().arrives <= now) {
    PacketBytes content = std::move(under_way_.front().content);
    under_way_.pop_front();
    --departed_;
    if (!content.empty()) return content;
  }
  return {};
}

LineCounters Line::counters(Time now) {
  note_departures(now);
  LineCounters counters = counters_;
  counters.busy -= time_on_line(queue_bytes_);  // is still to come
  return counters;
}

Time Line::time_on_line(std::uint64_t bytes) const noexcept {
  if (shape_.rate_bits_per_s <= 0) return {};
  return Time(static_cast<Time::rep>(static_cast<double>(bytes) * 8e9 / shape_.rate_bits_per_s));
}

Time Line::draw_delay() {
  const Time::rep jitter = shape_.jitter.count();
  if (jitter == 0) return shape_.delay;
  return std::max(Time{}, shape_.delay + Time(std::uniform_int_distribution(-jitter, jitter)(random_)));
}

// How many segments pass before the next is lost: the same as drawing for each, at a fraction of the work.
void Line::draw_next_loss() {
  segments_until_loss_ = std::numeric_limits<std::uint64_t>::max();
  if (shape_.loss >= 1) segments_until_loss_ = 0;
  if (shape_.loss > 0 && shape_.loss < 1)
    segments_until_loss_ = std::geometric_distribution<std::uint64_t>(shape_.loss)(random_);
}

}  // namespace vmferry::bench
