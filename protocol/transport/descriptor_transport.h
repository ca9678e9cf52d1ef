// DescriptorTransport: a transport over two descriptors, one to read and one to write (pipes or sockets). What they belong
// to says, in a derived class, whether the end of the one was a clean end. Both are made non-blocking; every wait is
// a poll() that abort() wakes.
#pragma once

#include <atomic>
#include <mutex>

#include "protocol/transport/descriptor.h"
#include "protocol/transport/transport.h"

namespace vmferry {

class DescriptorTransport : public Transport {
 public:
  void send(std::span<const ByteView> parts) override;
  std::size_t receive(std::span<std::byte> into) override;
  void finish_sending() override;
  void abort() noexcept override;
  TransportCounts counts() const noexcept override { return {sent_bytes_, received_bytes_}; }

 protected:
  // beside: -1, or a descriptor that is read whenever we wait for another one (see read_beside).
  DescriptorTransport(Descriptor in, Descriptor out, Descriptor beside = {});

  // `in` is at its end. Throws Error{unreachable} where that is no clean end.
  virtual void confirm_end() = 0;
  // `out` or `in` failed.
  [[noreturn]] virtual void throw_gone(int error_number) = 0;
  // What came on `beside`.
  virtual void read_beside(ByteView) {}

  bool is_aborted() const noexcept { return aborted_; }
  bool has_finished() const noexcept { return finished_; }
  // Nobody reads what we write: the pipe or socket is broken. Waits at most timeout_ms for it to become so.
  bool out_is_broken(int timeout_ms);
  // Everything that is there now, without waiting.
  void drain_beside();

 private:
  void wait_for(int descriptor, short events);

  Descriptor in_, out_, beside_, wake_;
  const bool out_is_socket_;
  std::mutex out_closing_;     // held to close `out_`, and to look at it from another thread than the sender's
  std::mutex beside_reading_;
  std::atomic<bool> beside_ended_;
  std::atomic<bool> aborted_ = false, finished_ = false;
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
};

}  // namespace vmferry
