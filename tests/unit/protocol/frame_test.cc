#include "protocol/frame.h"

#include <gtest/gtest.h>

#include <random>

#include "protocol/checksum.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

const DomainKey domain_key{};

Bytes random_bytes(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(length);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 0xff);
  return bytes;
}

Bytes text_bytes(std::size_t length) {
  Bytes bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>("the quick brown fox "[i * i % 20]);
  return bytes;
}

Bytes frame_of(const std::vector<Bytes>& chunks) {
  FrameBuilder builder(3);
  for (const Bytes& chunk : chunks) builder.add(chunk_id_of(domain_key, chunk), chunk);
  return builder.finish();
}

std::vector<Bytes> chunks_of(ByteView frame) {
  std::vector<Bytes> chunks;
  FrameDecoder decoder;
  decoder.decode_verified(parse_frame(frame), domain_key,
                          [&](const ChunkId&, ByteView content) {
                            chunks.emplace_back(content.begin(), content.end());
                          });
  return chunks;
}

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::failed;
}

// Makes the checksum right again, so that what is behind it is reached.
void sign(Bytes& frame) {
  const std::uint64_t sum = checksum64(ByteView(frame).first(frame.size() - 8));
  for (std::size_t i = 0; i < 8; ++i) frame[frame.size() - 8 + i] = static_cast<std::byte>((sum >> (8 * i)) & 0xff);
}

TEST(Frame, GivesBackItsChunks) {
  const std::vector<Bytes> chunks = {text_bytes(1), text_bytes(70000), random_bytes(300, 1), Bytes(1 << 20)};
  const Bytes frame = frame_of(chunks);
  EXPECT_EQ(parse_frame(frame).codec, FrameCodec::zstd);
  EXPECT_EQ(frame_length(ByteView(frame).first(frame_header_bytes)), frame.size());
  EXPECT_EQ(chunks_of(frame), chunks);
}

TEST(Frame, IsPlainWhereZstdDoesNotPay) {
  const std::vector<Bytes> chunks = {random_bytes(65536, 2)};
  const Bytes frame = frame_of(chunks);
  EXPECT_EQ(parse_frame(frame).codec, FrameCodec::plain);
  EXPECT_EQ(frame.size(), frame_header_bytes + 36 + 65536 + 8);
  EXPECT_EQ(chunks_of(frame), chunks);
}

TEST(Frame, BuilderIsEmptyAgainAfterFinish) {
  FrameBuilder builder(3);
  builder.add(chunk_id_of(domain_key, text_bytes(10)), text_bytes(10));
  EXPECT_EQ(builder.content_bytes(), 10U);
  const Bytes first = builder.finish();
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.content_bytes(), 0U);
  builder.add(chunk_id_of(domain_key, text_bytes(10)), text_bytes(10));
  EXPECT_EQ(builder.finish(), first);
}

TEST(Frame, BuiltWhereItsContentLiesItIsTheSame) {
  for (const auto& chunks : {std::vector<Bytes>{text_bytes(1), text_bytes(70000)}, std::vector<Bytes>(1, random_bytes(65536, 2))}) {
    std::vector<FrameChunk> directory;
    Bytes content;
    for (const Bytes& chunk : chunks) {
      directory.push_back({chunk_id_of(domain_key, chunk), static_cast<std::uint32_t>(chunk.size())});
      content.insert(content.end(), chunk.begin(), chunk.end());
    }
    FrameBuilder builder(3);
    EXPECT_EQ(builder.build(directory, content), frame_of(chunks));
    content.push_back(std::byte{1});
    EXPECT_THROW(builder.build(directory, content), std::logic_error);
  }
  FrameBuilder builder(3);
  EXPECT_THROW(builder.build({}, {}), std::logic_error);
  const std::vector<FrameChunk> too_long = {{ChunkId{}, limits::chunk_size_max + 1}};
  EXPECT_THROW(builder.build(too_long, Bytes(limits::chunk_size_max + 1)), std::logic_error);
}

TEST(Frame, RefusesToBeBuiltPastTheLimits) {
  FrameBuilder builder(1);
  EXPECT_THROW(builder.finish(), std::logic_error);
  EXPECT_THROW(builder.add(ChunkId{}, {}), std::logic_error);
  EXPECT_THROW(builder.add(ChunkId{}, Bytes(limits::chunk_size_max + 1)), std::logic_error);
  builder.add(ChunkId{}, Bytes(limits::chunk_size_max));
  builder.add(ChunkId{}, Bytes(limits::chunk_size_max));
  EXPECT_THROW(builder.add(ChunkId{}, Bytes(1)), std::logic_error);
  FrameBuilder many(1);
  for (std::size_t i = 0; i < limits::frame_chunks_max; ++i) many.add(ChunkId{}, Bytes(1));
  EXPECT_THROW(many.add(ChunkId{}, Bytes(1)), std::logic_error);
}

TEST(Frame, LengthNeedsItsHeader) {
  const Bytes frame = frame_of({text_bytes(100)});
  EXPECT_EQ(frame_length(ByteView(frame).first(frame_header_bytes - 1)), std::nullopt);
  Bytes other = frame;
  other[0] = std::byte{'X'};
  EXPECT_EQ(code_of([&] { frame_length(other); }), ErrorCode::malformed);
}

TEST(Frame, NoticesEveryFlippedBit) {
  const Bytes frame = frame_of({text_bytes(60), random_bytes(20, 3)});
  for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Bytes broken = frame;
    broken[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    const ErrorCode code = code_of([&] { parse_frame(broken); });
    // From the directory's ids on, only the checksum can tell.
    if (bit / 8 >= frame_header_bytes + 2 * 36)
      EXPECT_EQ(code, ErrorCode::damaged) << bit;
    else
      EXPECT_TRUE(code == ErrorCode::damaged || code == ErrorCode::malformed) << bit;
  }
}

TEST(Frame, NoticesEveryTruncation) {
  const Bytes frame = frame_of({text_bytes(60)});
  for (std::size_t length = 0; length < frame.size(); ++length)
    EXPECT_EQ(code_of([&] { parse_frame(ByteView(frame).first(length)); }), ErrorCode::malformed) << length;
}

TEST(Frame, ContentLengthBombIsRefusedBeforeAnyMemoryIsTaken) {
  Bytes frame = frame_of({text_bytes(60)});
  for (const std::size_t at : {8U, 12U}) {  // content length, stored length
    Bytes bomb = frame;
    for (std::size_t i = 0; i < 4; ++i) bomb[at + i] = std::byte{0xff};
    EXPECT_EQ(code_of([&] { frame_length(bomb); }), ErrorCode::malformed);
    EXPECT_EQ(code_of([&] { parse_frame(bomb); }), ErrorCode::malformed);
  }
}

TEST(Frame, ChecksumIsGoodButThePayloadIsNot) {
  Bytes frame = frame_of({text_bytes(600)});
  const std::size_t payload = frame_header_bytes + 36;
  frame[payload] ^= std::byte{0xff};  // zstd's magic
  sign(frame);
  const FrameView view = parse_frame(frame);
  FrameDecoder decoder;
  EXPECT_EQ(code_of([&] { decoder.decode(view); }), ErrorCode::damaged);
}

TEST(Frame, PayloadOfAnotherLengthThanTheDirectorySaysIsRefused) {
  Bytes frame = frame_of({text_bytes(600)});
  for (const int by : {-1, 1}) {
    Bytes other = frame;
    other[8] = static_cast<std::byte>(std::to_integer<int>(other[8]) + by);                            // content
    other[frame_header_bytes + 32] = static_cast<std::byte>(std::to_integer<int>(other[frame_header_bytes + 32]) + by);
    sign(other);
    const FrameView view = parse_frame(other);
    FrameDecoder decoder;
    EXPECT_EQ(code_of([&] { decoder.decode(view); }), ErrorCode::damaged) << by;
  }
}

TEST(Frame, AChunkUnderAnotherIdIsNotHandedOut) {
  FrameBuilder builder(3);
  builder.add(chunk_id_of(domain_key, text_bytes(50)), text_bytes(50));
  builder.add(chunk_id_of(domain_key, text_bytes(51)), text_bytes(52));
  const Bytes frame = builder.finish();
  FrameDecoder decoder;
  int handed_out = 0;
  EXPECT_EQ(code_of([&] {
              decoder.decode_verified(parse_frame(frame), domain_key, [&](const ChunkId&, ByteView) { ++handed_out; });
            }),
            ErrorCode::damaged);
  EXPECT_EQ(handed_out, 1);
}

}  // namespace
}  // namespace vmferry
