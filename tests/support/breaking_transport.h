// BreakingTransport: a transport that breaks after so many bytes, in the middle of whatever is under way, as a line or a
// target does that goes away.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>

#include "protocol/transport/transport.h"

namespace vmferry::test {

struct BreakAfter {
  std::uint64_t sent_bytes = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t received_bytes = std::numeric_limits<std::uint64_t>::max();
};

class BreakingTransport final : public Transport {
 public:
  BreakingTransport(std::unique_ptr<Transport> real, const BreakAfter& after)
      : real_(std::move(real)), may_send_(after.sent_bytes), may_receive_(after.received_bytes) {}

  void send(std::span<const ByteView> parts) override {
    for (const ByteView part : parts) {
      const ByteView some = part.first(static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), may_send_)));
      may_send_ -= some.size();
      real_->send(std::span(&some, 1));
      if (some.size() < part.size()) real_->abort();
    }
  }
  std::size_t receive(std::span<std::byte> into) override {
    if (may_receive_ == 0) real_->abort();
    const std::size_t got = real_->receive(
        may_receive_ == 0 ? into : into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), may_receive_))));
    may_receive_ -= got;
    return got;
  }
  void finish_sending() override { real_->finish_sending(); }
  void abort() noexcept override { real_->abort(); }
  TransportCounts counts() const noexcept override { return real_->counts(); }

 private:
  std::unique_ptr<Transport> real_;
  std::uint64_t may_send_;     // one thread sends,
  std::uint64_t may_receive_;  // another receives
};

}  // namespace vmferry::test
