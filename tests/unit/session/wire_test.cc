// Packets: what a hostile or broken peer may send, and that nothing is kept for it.
#include "protocol/wire.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/error.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::wire {
namespace {

Bytes packet_of(PacketType type, ByteView payload) {
  auto [one, other] = memory_transport();
  PacketWriter(*one).send(type, {payload});
  Bytes bytes(payload.size() + packet_header_bytes + packet_checksum_bytes);
  std::size_t have = 0;
  while (have < bytes.size()) have += other->receive(std::span(bytes).subspan(have));
  return bytes;
}

// What a reader makes of these bytes and then the end.
struct Read {
  std::size_t packets = 0;
  std::optional<ErrorCode> error;
};
Read read_all(ByteView bytes, std::size_t payload_max = limits::wire_payload_max) {
  auto [one, other] = memory_transport(bytes.size() + 1);
  const std::array<ByteView, 1> parts = {bytes};
  one->send(parts);
  one->finish_sending();
  PacketReader reader(*other);
  Read read;
  try {
    while (reader.next(payload_max)) ++read.packets;
  } catch (const Error& error) {
    read.error = error.code();
  }
  return read;
}

TEST(Packets, OfAllSizesArriveInOrderThroughOneBuffer) {
  auto [one, other] = memory_transport(100'000);
  const std::vector<std::size_t> sizes = {0, 1, 100, 262'144, 262'143, 7, limits::frame_stored_max, 0, 300'000, 5};
  std::thread sender([&, &end = one] {
    PacketWriter writer(*end);
    for (std::size_t i = 0; i < sizes.size(); ++i) writer.send(PacketType::frame, {test::random_bytes(i, sizes[i])});
    end->finish_sending();
  });
  PacketReader reader(*other);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto packet = reader.next();
    ASSERT_TRUE(packet);
    EXPECT_TRUE(std::ranges::equal(packet->payload, test::random_bytes(i, sizes[i]))) << i;
  }
  EXPECT_FALSE(reader.next());
  sender.join();
}

TEST(Packets, PacketsOfSeveralThreadsNeverMix) {
  auto [one, other] = memory_transport(5000);
  PacketWriter writer(*one);
  std::vector<std::thread> senders;
  for (unsigned t = 0; t < 4; ++t)
    senders.emplace_back([&, t] {
      const Bytes payload(1000 + t, static_cast<std::byte>(t));
      for (int i = 0; i < 200; ++i)
        writer.send(PacketType::frame, {ByteView(payload).first(500), ByteView(payload).subspan(500)});
    });
  PacketReader reader(*other);
  for (int i = 0; i < 800; ++i) {
    const auto packet = reader.next();
    ASSERT_TRUE(packet);
    const auto t = std::to_integer<unsigned>(packet->payload[0]);
    EXPECT_EQ(packet->payload.size(), 1000 + t);
    EXPECT_TRUE(std::ranges::all_of(packet->payload, [&](std::byte b) { return std::to_integer<unsigned>(b) == t; }));
  }
  for (std::thread& sender : senders) sender.join();
}

TEST(Packets, EveryFlippedBitIsNoticed) {
  const Bytes good = packet_of(PacketType::frame, test::random_bytes(1, 40));
  ASSERT_EQ(read_all(good).packets, 1u);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    const Read read = read_all(bad);
    EXPECT_EQ(read.packets, 0u) << bit;
    EXPECT_TRUE(read.error) << bit;
  }
}

TEST(Packets, EveryTruncationIsNoticed) {
  const Bytes good = packet_of(PacketType::frame, test::random_bytes(1, 40));
  for (std::size_t length = 1; length < good.size(); ++length)
    EXPECT_EQ(read_all(ByteView(good).first(length)).error, ErrorCode::unreachable) << length;
  EXPECT_EQ(read_all({}).error, std::nullopt);
}

// The peer goes silent after the header: a reader that made room or waited for the payload would hang here.
TEST(Packets, ALengthPastItsLimitIsRefusedBeforeAnythingOfItArrives) {
  for (const auto& [type, length] : std::vector<std::pair<int, std::uint32_t>>{
           {1, limits::control_message_max + 1}, {2, 8 + 32 * 4096 + 1}, {4, limits::frame_stored_max + 1},
           {6, 0xffffffff}, {8, 8 + limits::delta_frame_max + 1}, {9, 8 + 32 * 1024 + 1}, {0, 0}, {12, 0}, {255, 10}}) {
    auto [one, other] = memory_transport();
    ByteWriter header;
    header.u32(length);
    header.u8(static_cast<std::uint8_t>(type));
    header.u8(0);
    header.u16(0);
    const std::array<ByteView, 1> parts = {header.view()};
    one->send(parts);
    PacketReader reader(*other);
    EXPECT_EQ(test::error_of([&] { reader.next(); }).code(), ErrorCode::malformed) << type << " " << length;
  }
}

TEST(Packets, TheFirstPacketHasASmallerLimit) {
  const Bytes large = packet_of(PacketType::control, Bytes(hello_bytes_max + 1));
  EXPECT_EQ(read_all(large, hello_bytes_max).error, ErrorCode::malformed);
}

TEST(Payloads, BitmapsComeBackAsTheyWere) {
  for (const std::size_t size : {1u, 7u, 8u, 9u, 64u, 4096u}) {
    test::Random random(size);
    std::vector<bool> wanted(size);
    for (std::size_t i = 0; i < size; ++i) wanted[i] = random.below(2) == 1;
    const Bytes encoded = encode_want(77, wanted);
    ByteView payload = encoded;
    EXPECT_EQ(take_number(payload), 77u);
    EXPECT_EQ(parse_want_bitmap(payload, size), wanted);
    EXPECT_EQ(test::error_of([&] { parse_want_bitmap(payload, size + 8); }).code(), ErrorCode::malformed);
  }
  const Bytes spare = {std::byte{0x80}};
  EXPECT_EQ(test::error_of([&] { parse_want_bitmap(spare, 7); }).code(), ErrorCode::malformed);
}

TEST(Payloads, ListsOfIdsOfAWrongLengthAreRefused) {
  for (const std::size_t bytes : {0u, 7u, 8u, 9u, 39u, 41u})
    EXPECT_EQ(test::error_of([&] { parse_numbered_ids(Bytes(bytes)); }).code(), ErrorCode::malformed) << bytes;
  EXPECT_EQ(parse_numbered_ids(Bytes(8 + 64)).ids.size(), 2u);
  for (const std::size_t bytes : {0u, 7u, 9u, 39u, 41u})
    EXPECT_EQ(test::error_of([&] { parse_delta_done(Bytes(bytes)); }).code(), ErrorCode::malformed) << bytes;
  EXPECT_TRUE(parse_delta_done(Bytes(8)).ids.empty()) << "all was rebuilt";
  EXPECT_EQ(parse_delta_done(Bytes(8 + 32 * limits::frame_chunks_max)).ids.size(), limits::frame_chunks_max);
  EXPECT_EQ(test::error_of([&] { parse_fetch_end(Bytes(8 + 32)); }).code(), ErrorCode::malformed);
  Bytes unknown_reason(8 + 33);
  unknown_reason[8] = std::byte{2};
  EXPECT_EQ(test::error_of([&] { parse_fetch_end(unknown_reason); }).code(), ErrorCode::malformed);
}

}  // namespace
}  // namespace vmferry::wire
