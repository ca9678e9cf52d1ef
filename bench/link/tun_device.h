// TunDevice: a network device of the kernel's whose line we are. It lives in a network namespace as long as this object
// does. TCP checksums and segmentation are left to us (TSO), so that a busy sender hands over up to 64 KiB at once.
// Throws std::system_error and needs CAP_NET_ADMIN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vmferry::bench {

class TunDevice {
 public:
  // `namespace_file`: as /proc/PID/ns/net. The calling thread is in that namespace afterwards.
  TunDevice(const std::string& namespace_file, const std::string& name);
  ~TunDevice();
  TunDevice(const TunDevice&) = delete;
  TunDevice& operator=(const TunDevice&) = delete;

  int descriptor() const noexcept { return descriptor_; }
  // A packet (see packet.h) that the namespace sends; 0: none now.
  std::size_t read(std::span<std::byte> into);
  // Gives the namespace a packet. False: the kernel did not take it (the device is down, say).
  bool write(std::span<const std::byte> packet) noexcept;

 private:
  int descriptor_ = -1;
};

}  // namespace vmferry::bench
