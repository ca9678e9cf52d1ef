#include "bench/link/tun_device.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace vmferry::bench {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

void enter(const std::string& namespace_file) {
  const int descriptor = ::open(namespace_file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot open the network namespace " + namespace_file);
  const int result = ::setns(descriptor, CLONE_NEWNET);
  ::close(descriptor);
  if (result != 0) fail("cannot enter the network namespace " + namespace_file);
}

}  // namespace

TunDevice::TunDevice(const std::string& namespace_file, const std::string& name) {
  enter(namespace_file);
  descriptor_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot open /dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(descriptor_, TUNSETIFF, &request) != 0 ||
      ::ioctl(descriptor_, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) {
    const int error = errno;
    ::close(descriptor_);
    errno = error;
    fail("cannot make the tun device " + name);
  }
}

TunDevice::~TunDevice() { ::close(descriptor_); }

std::size_t TunDevice::read(std::span<std::byte> into) {
  const ssize_t count = ::read(descriptor_, into.data(), into.size());
  if (count < 0 && errno != EAGAIN && errno != EINTR) fail("cannot read from the tun device");
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

bool TunDevice::write(std::span<const std::byte> packet) noexcept {
  return ::write(descriptor_, packet.data(), packet.size()) == static_cast<ssize_t>(packet.size());
}

}  // namespace vmferry::bench
