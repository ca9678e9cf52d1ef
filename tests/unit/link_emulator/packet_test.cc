// Packets that the kernel left to us to segment.
#include "bench/link/packet.h"

#include <gtest/gtest.h>

#include <numeric>

#include "bench/link/line.h"

namespace vmferry::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t ip_at = 10, tcp_at = 30, payload_at = 62;  // a TCP header with timestamps: 32 bytes

std::uint32_t get(const PacketBytes& bytes, std::size_t at, std::size_t width) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | std::to_integer<std::uint32_t>(bytes.at(at + i));
  return value;
}
void put(PacketBytes& bytes, std::size_t at, std::size_t width, std::uint32_t value) {
  for (std::size_t i = width; i > 0; --i, value >>= 8) bytes.at(at + i - 1) = std::byte(value & 0xff);
}

// The last packet of a connection: 1000 bytes a segment, FIN, PSH and CWR set.
PacketBytes tcp_packet(std::size_t payload_bytes) {
  PacketBytes bytes(payload_at + payload_bytes);
  const auto header = [&](std::size_t at, std::uint8_t value) { bytes.at(at) = std::byte(value); };
  header(0, 1), header(1, 1);                // checksum is to be completed; TCP over IPv4
  header(4, 1000 % 256), header(5, 1000 / 256);
  header(ip_at, 0x45), header(ip_at + 9, 6);
  put(bytes, ip_at + 2, 2, static_cast<std::uint32_t>(bytes.size() - ip_at));
  put(bytes, ip_at + 4, 2, 500);
  put(bytes, ip_at + 12, 4, 0x0a4d0001), put(bytes, ip_at + 16, 4, 0x0a4d0002);
  put(bytes, tcp_at + 4, 4, 0xfffffe00);     // the sequence number is about to pass zero
  header(tcp_at + 12, 8 << 4), header(tcp_at + 13, 0x80 | 0x10 | 0x08 | 0x01);
  for (std::size_t i = 0; i < payload_bytes; ++i) bytes[payload_at + i] = std::byte(i * 7 & 0xff);
  return bytes;
}

std::uint32_t sum16(const PacketBytes& bytes, std::size_t begin, std::size_t end, std::uint32_t sum = 0) {
  for (std::size_t at = begin; at < end; at += 2) sum += get(bytes, at, 2);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

TEST(Packet, CountsItsSegmentsWithHeadersOfTheirOwn) {
  const PacketBytes bytes = tcp_packet(2500);
  const Packet packet(bytes);
  EXPECT_EQ(packet.segments(), 3U);
  EXPECT_EQ(packet.wire_bytes(0, 3), 2500U + 3 * 52);
  EXPECT_EQ(packet.wire_bytes(0, 1), 1052U);
  EXPECT_EQ(packet.wire_bytes(2, 1), 552U);
  EXPECT_EQ(packet.payload_bytes(2, 1), 500U);
  EXPECT_EQ(packet.cut(0, 3), bytes);
}

TEST(Packet, PiecesHoldItsBytesInOrderAndAreWellFormed) {
  const PacketBytes bytes = tcp_packet(4500);
  const Packet packet(bytes);
  PacketBytes joined;
  for (const auto& [first, count] : {std::pair(0, 2), std::pair(2, 1), std::pair(3, 2)}) {
    const PacketBytes piece = packet.cut(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    EXPECT_EQ(get(piece, tcp_at + 4, 4), 0xfffffe00U + static_cast<std::uint32_t>(joined.size()));
    EXPECT_EQ(get(piece, ip_at + 2, 2), piece.size() - ip_at);
    EXPECT_EQ(get(piece, ip_at + 4, 2), 500U + static_cast<std::uint32_t>(first));
    EXPECT_EQ(sum16(piece, ip_at, tcp_at), 0xffffU);
    EXPECT_EQ(get(piece, tcp_at + 16, 2),
              sum16(piece, ip_at + 12, tcp_at, static_cast<std::uint32_t>(6 + piece.size() - tcp_at)));
    EXPECT_EQ(std::to_integer<int>(piece[1]), count == 1 ? 0 : 1) << "one segment is no packet to segment";
    const std::uint32_t flags = get(piece, tcp_at + 13, 1);
    EXPECT_EQ(flags & 0x09, first == 3 ? 0x09U : 0U) << "only the last one ends the stream";
    EXPECT_EQ(flags & 0x80, first == 0 ? 0x80U : 0U);
    EXPECT_EQ(Packet(piece).segments(), static_cast<std::size_t>(count));
    joined.insert(joined.end(), piece.begin() + payload_at, piece.end());
  }
  EXPECT_TRUE(std::equal(joined.begin(), joined.end(), bytes.begin() + payload_at, bytes.end()));
}

TEST(Packet, WhatIsNoTcpToSegmentIsOneSegment) {
  PacketBytes udp = tcp_packet(2500);
  udp[ip_at + 9] = std::byte(17);
  EXPECT_EQ(Packet(udp).segments(), 1U);
  EXPECT_EQ(Packet(udp).wire_bytes(0, 1), udp.size() - ip_at);
  EXPECT_EQ(Packet(udp).payload_bytes(0, 1), 0U);
  const PacketBytes tcp = tcp_packet(2500);
  for (std::size_t length = 0; length < payload_at + 2; ++length)
    EXPECT_EQ(Packet(std::span(tcp).first(length)).segments(), 1U) << length;
}

TEST(Line, LosesAndDropsSingleSegmentsOfALongPacket) {
  Line line({.rate_bits_per_s = 1e9, .loss = 0.2}, 3);
  const PacketBytes bytes = tcp_packet(40000);
  line.accept(bytes, 0ms);
  std::size_t arrived = 0, pieces = 0;
  while (const auto piece = line.take_arrived(1s)) arrived += Packet(*piece).segments(), ++pieces;
  const LineCounters counters = line.counters(1s);
  EXPECT_GT(counters.lost, 0U);
  EXPECT_EQ(arrived + counters.lost, 40U);
  EXPECT_EQ(counters.bytes, Packet(bytes).wire_bytes(0, 40));
  EXPECT_GT(pieces, 1U);
  EXPECT_LE(pieces, counters.lost + 1);

  Line slow({.rate_bits_per_s = 1e6, .queue_bytes = 10520}, 1);
  slow.accept(bytes, 0ms);
  EXPECT_EQ(slow.counters(0ms).packets, 10U);
  EXPECT_EQ(slow.counters(0ms).dropped, 30U);
  EXPECT_EQ(slow.next_arrival(), Time(8416us)) << "a slow line does not deliver in bursts";
}

}  // namespace
}  // namespace vmferry::bench
