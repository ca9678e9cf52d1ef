// Packet: what a tun device with IFF_VNET_HDR hands over: a virtio_net_hdr, then an IP packet. With TSO on, one
// TCP/IPv4 packet may hold up to 64 KiB of payload that a real line would carry as many segments. Here they are
// counted, and some of them cut out as a packet of their own. Everything else (UDP, ICMP, IPv6) is one segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmferry::bench {

using PacketBytes = std::vector<std::byte>;

inline constexpr std::size_t packet_bytes_max = 10 + 65535;  // the header before it, and the longest of IPv4

class Packet {
 public:
  // Views the bytes: they must outlive it. Bytes that are no well-formed packet are one segment too.
  explicit Packet(std::span<const std::byte> bytes);

  std::size_t segments() const noexcept { return segments_; }
  // The length of segments [first, first + count) as a line carries them: each with IP and TCP headers of its own.
  std::uint64_t wire_bytes(std::size_t first, std::size_t count) const noexcept;
  // What of it TCP over IPv4 carries for somebody.
  std::uint64_t payload_bytes(std::size_t first, std::size_t count) const noexcept;
  // These segments as a packet of their own, with sequence number, lengths, flags and checksums to match.
  PacketBytes cut(std::size_t first, std::size_t count) const;

 private:
  std::span<const std::byte> bytes_;
  std::size_t segments_ = 1;
  std::size_t segment_bytes_ = 0;  // payload of each but the last
  std::size_t tcp_at_ = 0;         // where the TCP header begins in bytes_
  std::size_t payload_at_;         // and the payload: at the end, where there is no TCP
};

}  // namespace vmferry::bench
