// PrefixedTransport: a transport some of whose bytes were read already, to find out what it carries: they come first.
#pragma once

#include <algorithm>
#include <memory>

#include "protocol/transport/transport.h"

namespace vmferry {

class PrefixedTransport final : public Transport {
 public:
  PrefixedTransport(std::unique_ptr<Transport> transport, ByteView prefix)
      : transport_(std::move(transport)), prefix_(prefix.begin(), prefix.end()) {}

  void send(std::span<const ByteView> parts) override { transport_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override {
    if (taken_ == prefix_.size()) return transport_->receive(into);
    const std::size_t count = std::min(into.size(), prefix_.size() - taken_);
    std::copy_n(prefix_.begin() + static_cast<std::ptrdiff_t>(taken_), count, into.begin());
    taken_ += count;
    return count;
  }
  void finish_sending() override { transport_->finish_sending(); }
  void abort() noexcept override { transport_->abort(); }
  TransportCounts counts() const noexcept override { return transport_->counts(); }

 private:
  std::unique_ptr<Transport> transport_;
  const Bytes prefix_;
  std::size_t taken_ = 0;
};

}  // namespace vmferry
