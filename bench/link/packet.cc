#include "bench/link/packet.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace vmferry::bench {
namespace {

// The kernel's virtio_net_hdr, in the host's byte order; <linux/virtio_net.h> is not C++.
struct VirtioHeader {
  std::uint8_t flags, gso_type;
  std::uint16_t header_bytes, gso_bytes, checksum_start, checksum_offset;
};
constexpr std::uint8_t gso_none = 0, gso_tcp_ipv4 = 1, gso_with_ecn = 0x80;
constexpr std::size_t ip_at = sizeof(VirtioHeader);
static_assert(ip_at == 10);
constexpr std::size_t ip_header_least = 20, tcp_header_least = 20;
// Where fields lie in their headers.
constexpr std::size_t ip_length = 2, ip_id = 4, ip_protocol = 9, ip_checksum = 10, ip_addresses = 12;
constexpr std::size_t tcp_sequence = 4, tcp_offset = 12, tcp_flags = 13, tcp_checksum = 16;
constexpr std::uint8_t flag_fin = 0x01, flag_psh = 0x08, flag_cwr = 0x80;

std::uint32_t get(std::span<const std::byte> bytes, std::size_t at, std::size_t width) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

void put(std::span<std::byte> bytes, std::size_t at, std::size_t width, std::uint32_t value) {
  for (std::size_t i = width; i > 0; --i, value >>= 8) bytes[at + i - 1] = static_cast<std::byte>(value);
}

// The Internet checksum's sum (RFC 1071), folded, of an even number of bytes and what is added to it.
std::uint32_t folded_sum(std::span<const std::byte> bytes, std::uint32_t sum) {
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2) sum += get(bytes, at, 2);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

}  // namespace

Packet::Packet(std::span<const std::byte> bytes) : bytes_(bytes), payload_at_(bytes.size()) {
  if (bytes.size() < ip_at + ip_header_least + tcp_header_least) return;
  const std::size_t ip_bytes = 4 * (get(bytes, ip_at, 1) & 0x0f);
  if (get(bytes, ip_at, 1) >> 4 != 4 || get(bytes, ip_at + ip_protocol, 1) != IPPROTO_TCP ||
      ip_bytes < ip_header_least || bytes.size() < ip_at + ip_bytes + tcp_header_least)
    return;
  tcp_at_ = ip_at + ip_bytes;
  const std::size_t tcp_bytes = 4 * (get(bytes, tcp_at_ + tcp_offset, 1) >> 4);
  if (tcp_bytes < tcp_header_least || bytes.size() <= tcp_at_ + tcp_bytes) return;
  payload_at_ = tcp_at_ + tcp_bytes;

  VirtioHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  if ((header.gso_type & ~gso_with_ecn) != gso_tcp_ipv4 || header.gso_bytes == 0) return;
  segment_bytes_ = header.gso_bytes;
  segments_ = (bytes.size() - payload_at_ + segment_bytes_ - 1) / segment_bytes_;
}

std::uint64_t Packet::payload_bytes(std::size_t first, std::size_t count) const noexcept {
  const std::size_t all = bytes_.size() - payload_at_;
  if (count == segments_) return all;
  const std::size_t begin = first * segment_bytes_;
  return std::min(all, begin + count * segment_bytes_) - begin;
}

std::uint64_t Packet::wire_bytes(std::size_t first, std::size_t count) const noexcept {
  return payload_bytes(first, count) + count * (payload_at_ - std::min(payload_at_, ip_at));
}

PacketBytes Packet::cut(std::size_t first, std::size_t count) const {
  if (count == segments_) return {bytes_.begin(), bytes_.end()};
  const std::size_t begin = payload_at_ + first * segment_bytes_;
  const std::size_t end = std::min(bytes_.size(), begin + count * segment_bytes_);
  PacketBytes out(payload_at_ + (end - begin));
  std::copy_n(bytes_.begin(), payload_at_, out.begin());
  std::copy(bytes_.begin() + static_cast<std::ptrdiff_t>(begin), bytes_.begin() + static_cast<std::ptrdiff_t>(end),
            out.begin() + static_cast<std::ptrdiff_t>(payload_at_));

  VirtioHeader header{};
  std::memcpy(&header, out.data(), sizeof header);
  if (count == 1) header.gso_type = gso_none, header.gso_bytes = 0;
  std::memcpy(out.data(), &header, sizeof header);

  const std::span ip(out.data() + ip_at, tcp_at_ - ip_at);
  put(ip, ip_length, 2, static_cast<std::uint32_t>(out.size() - ip_at));
  put(ip, ip_id, 2, get(ip, ip_id, 2) + static_cast<std::uint32_t>(first));
  put(ip, ip_checksum, 2, 0);
  put(ip, ip_checksum, 2, ~folded_sum(ip, 0));

  const std::span tcp(out.data() + tcp_at_, out.size() - tcp_at_);
  put(tcp, tcp_sequence, 4, get(tcp, tcp_sequence, 4) + static_cast<std::uint32_t>(first * segment_bytes_));
  std::uint32_t flags = get(tcp, tcp_flags, 1);
  if (end < bytes_.size()) flags &= ~std::uint32_t{flag_fin | flag_psh};
  if (first > 0) flags &= ~std::uint32_t{flag_cwr};
  put(tcp, tcp_flags, 1, flags);
  // The kernel left the checksum to us as to a network card: the field holds the pseudo header's sum, to be completed.
  const auto rest = static_cast<std::uint32_t>(IPPROTO_TCP + tcp.size());
  put(tcp, tcp_checksum, 2, folded_sum(ip.subspan(ip_addresses, 8), rest));
  return out;
}

}  // namespace vmferry::bench
