#include "protocol/transport/tcp_limits.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fstream>
#include <utility>

namespace vmferry {
namespace {

// A receiver's window is at most half of the memory that it may take (tcp_adv_win_scale 1); near that it is the limit.
std::uint64_t receive_window_max() {
  static const std::uint64_t bytes = [] {
    std::uint64_t least = 0, usual = 0, most = 0;
    std::ifstream("/proc/sys/net/ipv4/tcp_rmem") >> least >> usual >> most;
    return most / 2;
  }();
  return bytes;
}

std::uint64_t since(std::uint64_t& last, std::uint64_t now) { return now - std::exchange(last, now); }

}  // namespace

bool TcpLimits::is_held_back(int socket) noexcept {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
  const std::uint64_t out = since(bytes_out_, info.tcpi_bytes_acked), in = since(bytes_in_, info.tcpi_bytes_received);
  const std::uint64_t busy_us = since(busy_us_, info.tcpi_busy_time);
  const std::uint64_t limited_us = since(limited_us_, info.tcpi_rwnd_limited + info.tcpi_sndbuf_limited);
  const bool sends = out > in;
  const std::uint64_t lost = since(lost_, std::uint64_t{info.tcpi_total_retrans} + info.tcpi_rcv_ooopack);
  if (sends ? limited_us > busy_us / 4 : info.tcpi_rcv_space > receive_window_max() / 4 * 3) return true;
  // Losses where nothing queues: the line is bad, and not full.
  const std::uint32_t round_trip_us = sends ? info.tcpi_rtt : info.tcpi_rcv_rtt;
  return lost > 0 && info.tcpi_min_rtt > 0 && round_trip_us < info.tcpi_min_rtt + info.tcpi_min_rtt / 4;
}

}  // namespace vmferry
