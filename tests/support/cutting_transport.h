// CuttingTransport: a transport on a bad line. Around any other; breaks it, or lets it fall silent, after so many bytes in
// either direction, and can pass bytes on in small pieces and with pauses.
#pragma once

#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "protocol/transport/transport.h"
#include "tests/support/content.h"

namespace vmferry::test {

// Transports whose peers are to notice nothing yet: the far side of a line that only one end knows to be dead.
class Graveyard {
 public:
  void bury(std::unique_ptr<Transport> transport) {
    const std::lock_guard lock(mutex_);
    buried_.push_back(std::move(transport));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Transport>> buried_;
};

struct CutPlan {
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t cut_at_sent = never, cut_at_received = never;    // both ends see the line break
  std::uint64_t stall_at_sent = never, stall_at_received = never;  // nothing passes any more, and nothing breaks
  std::size_t piece_bytes_max = std::numeric_limits<std::size_t>::max();
  unsigned pause_us_max = 0;          // before each piece
  std::uint64_t seed = 1;             // of the pauses
  // With it, ending a stalled line here is not noticed at the other end before the graveyard goes.
  std::shared_ptr<Graveyard> graveyard = nullptr;
};

class CuttingTransport final : public Transport {
 public:
  CuttingTransport(std::unique_ptr<Transport> line, const CutPlan& plan);
  ~CuttingTransport() override;

  void send(std::span<const ByteView> parts) override;
  std::size_t receive(std::span<std::byte> into) override;
  void finish_sending() override;
  void abort() noexcept override;
  TransportCounts counts() const noexcept override;

 private:
  // One direction's way to its end.
  struct Way {
    std::uint64_t cut_at, stall_at, passed = 0;
    Random random;
  };
  std::size_t pass(Way& way, std::size_t wanted);  // how much may pass now; waits, or throws
  void pause(Way& way) const;

  std::unique_ptr<Transport> line_;
  const CutPlan plan_;
  Way sending_, receiving_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  bool aborted_ = false, stalled_ = false;
};

}  // namespace vmferry::test
