// Line: one direction of an emulated link. Packets pass a queue with a tail drop, then leave one after the other at the
// line's rate, then travel for the delay; their order stays. It knows no clock and no device: the caller says what time
// it is, which never goes back. One owner, one thread.
//
// A TCP packet of many segments (Packet) is treated as these segments: each counts with its headers, each is lost or
// dropped by itself, and at most a millisecond's worth of them arrives at once. A lost segment takes its time on the
// line like any other.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>

#include "bench/link/packet.h"

namespace vmferry::bench {

using Time = std::chrono::nanoseconds;  // since any instant, the same one in all calls

struct LineShape {
  double rate_bits_per_s = 0;  // 0: no limit, and no queue
  Time delay{};
  Time jitter{};    // the delay is drawn from delay - jitter to delay + jitter
  double loss = 0;  // share of segments
  std::optional<std::uint64_t> queue_bytes{};

  // What was chosen; else what the line carries in one round trip of 2 * delay, at least 256 KiB.
  std::uint64_t queue_bytes_max() const noexcept;
};

struct LineCounters {
  std::uint64_t packets = 0;  // carried: segments and their bytes with IP and TCP headers, the lost ones too
  std::uint64_t bytes = 0;
  std::uint64_t payload_bytes = 0;  // of these: what TCP over IPv4 carried in them
  std::uint64_t lost = 0;     // of these
  std::uint64_t dropped = 0;  // not carried: the queue was full
  std::uint64_t queue_bytes_peak = 0;
  Time busy{};  // how long the line was in use
};

class Line {
 public:
  Line(const LineShape& shape, std::uint64_t seed);

  // What is under way already keeps its times.
  void reshape(const LineShape& shape);
  const LineShape& shape() const noexcept { return shape_; }
  // Nothing leaves, travels or arrives for this long; what comes meanwhile waits in the queue.
  void stall(Time how_long, Time now);

  void accept(std::span<const std::byte> packet, Time now);
  // When the next packet arrives at the other end, if one is under way.
  std::optional<Time> next_arrival() const noexcept;
  // The next packet that has arrived by now; nothing: none has. Lost ones do not arrive.
  std::optional<PacketBytes> take_arrived(Time now);

  LineCounters counters(Time now);

 private:
  struct UnderWay {
    PacketBytes content;  // empty: lost
    std::uint64_t wire_bytes;
    Time leaves, arrives;
  };

  void note_departures(Time now);
  std::size_t segments_that_fit(const Packet& packet, std::size_t first, std::size_t count) const noexcept;
  void carry(const Packet& packet, std::size_t first, std::size_t count, bool lost, Time now);
  Time time_on_line(std::uint64_t bytes) const noexcept;
  Time draw_delay();
  void draw_next_loss();

  LineShape shape_;
  LineCounters counters_;
  std::deque<UnderWay> under_way_;  // by arrival, which is also by departure
  std::size_t departed_ = 0;        // of under_way_
  std::uint64_t queue_bytes_ = 0;   // of those that have not departed
  Time line_free_{};
  Time last_arrival_{};
  std::uint64_t segments_until_loss_ = 0;
  std::mt19937_64 random_;
};

}  // namespace vmferry::bench
