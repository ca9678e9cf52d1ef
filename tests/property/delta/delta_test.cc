// Any two versions, any cuts: the target rebuilds exactly.
#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/delta/delta_frame.h"
#include "protocol/delta/matcher.h"
#include "protocol/delta/signature.h"
#include "protocol/limits.h"
#include "tests/support/content.h"

namespace vmferry::delta {
namespace {

using test::Random;

Bytes some_content(Random& random, std::size_t bytes) {
  switch (random.below(5)) {
    case 0: return Bytes(bytes);
    case 1: {
      Bytes repeated = test::random_bytes(random.next(), bytes);
      const std::size_t period = random.size_between(1, 2000);
      for (std::size_t i = period; i < bytes; ++i) repeated[i] = repeated[i - period];
      return repeated;
    }
    case 2: return test::text_bytes(random.next(), bytes);
    default: return test::random_bytes(random.next(), bytes);
  }
}

// One of the ways in which files change.
void change(Random& random, Bytes& content) {
  const std::size_t at = random.below(content.size() + 1);
  const std::size_t length = std::min(content.size() - at, static_cast<std::size_t>(random.size_between(1, 20000)));
  const auto begin = content.begin() + static_cast<std::ptrdiff_t>(at);
  const auto end = begin + static_cast<std::ptrdiff_t>(length);
  switch (random.below(6)) {
    case 0: {  // inserted
      const Bytes fresh = some_content(random, random.size_between(1, 5000));
      content.insert(begin, fresh.begin(), fresh.end());
      break;
    }
    case 1: content.erase(begin, end); break;
    case 2: {  // moved
      const Bytes moved(begin, end);
      content.erase(begin, end);
      content.insert(content.begin() + static_cast<std::ptrdiff_t>(random.below(content.size() + 1)), moved.begin(), moved.end());
      break;
    }
    case 3: {  // copied
      const Bytes copied(begin, end);
      content.insert(content.begin() + static_cast<std::ptrdiff_t>(random.below(content.size() + 1)), copied.begin(), copied.end());
      break;
    }
    case 4: std::fill(begin, end, std::byte{0}); break;
    default:  // pages overwritten
      for (std::size_t page = random.below(20) * 512; page + 512 <= content.size(); page += random.size_between(512, 100000)) {
        const Bytes fresh = test::random_bytes(random.next(), 512);
        std::ranges::copy(fresh, content.begin() + static_cast<std::ptrdiff_t>(page));
      }
  }
}

std::vector<ByteView> cut(Random& random, ByteView content, std::size_t pieces_max) {
  std::vector<ByteView> pieces;
  const std::size_t average = std::max<std::size_t>(1, content.size() / std::max<std::size_t>(1, random.below(pieces_max)));
  while (!content.empty()) {
    const std::size_t length = std::min({content.size(), static_cast<std::size_t>(random.size_between(1, 2 * average)), limits::chunk_size_max});
    pieces.push_back(content.first(pieces.size() + 1 == pieces_max ? std::min(content.size(), limits::chunk_size_max) : length));
    content = content.subspan(pieces.back().size());
  }
  return pieces;
}

ChunkId number_id(std::size_t number) {
  ChunkId id;
  id.bytes[0] = static_cast<std::byte>(number & 0xff);
  id.bytes[1] = static_cast<std::byte>(number >> 8);
  return id;
}

class AnyTwoVersions : public testing::TestWithParam<std::uint64_t> {};

TEST_P(AnyTwoVersions, RebuildExactly) {
  Random random(GetParam());
  Matcher matcher;
  DeltaFrameBuilder builder(static_cast<int>(1 + random.below(5)));
  DeltaPatcher patcher;
  for (int round = 0; round < 12; ++round) {
    const Bytes old = some_content(random, random.size_between(1, 600000));
    Bytes content = random.below(8) == 0 ? some_content(random, random.size_between(1, 300000)) : old;
    for (std::uint64_t changes = random.below(8); changes != 0; --changes) change(random, content);
    if (content.empty()) continue;

    // The basis: chunks of the old version, some left out, expected at their old place, elsewhere, or nowhere.
    std::vector<Bytes> signatures;
    std::vector<BasisPart> parts;
    std::vector<DeltaBasis> basis;
    Bytes basis_content;
    const SignatureParameters usual{std::uint32_t{64} << random.below(6), static_cast<std::uint8_t>(4 + random.below(29))};
    for (const ByteView chunk : cut(random, old, 40)) {
      if (random.below(10) == 0) continue;
      const SignatureParameters parameters = random.below(10) == 0 ? SignatureParameters{777, 8} : usual;
      signatures.push_back(make_signature(chunk, parameters));
      std::optional<std::int64_t> expected_at;
      if (random.below(3) != 0) expected_at = chunk.data() - old.data();
      if (random.below(5) == 0) expected_at = static_cast<std::int64_t>(random.below(2000000)) - 1000000;
      parts.push_back({parse_signature(signatures.back()), expected_at});
      basis.push_back({number_id(parts.size()), parts.back().signature.basis_bytes()});
      basis_content.insert(basis_content.end(), chunk.begin(), chunk.begin() + basis.back().length);
    }
    if (basis.empty()) continue;
    std::vector<FrameChunk> chunks;
    for (const ByteView chunk : cut(random, content, 40))
      chunks.push_back({number_id(1000 + chunks.size()), static_cast<std::uint32_t>(chunk.size())});

    const auto copies = matcher.match(content, parts);
    std::size_t done = 0;
    for (const Copy& copy : copies) {
      ASSERT_GE(copy.at, done);
      ASSERT_GT(copy.length, 0U);
      ASSERT_LE(std::size_t{copy.at} + copy.length, content.size());
      ASSERT_LE(std::size_t{copy.from} + copy.length, basis_content.size());
      ASSERT_TRUE(std::ranges::equal(ByteView(content).subspan(copy.at, copy.length),
                                     ByteView(basis_content).subspan(copy.from, copy.length)));
      done = std::size_t{copy.at} + copy.length;
    }

    const std::size_t size_max = random.below(2) == 0 ? limits::delta_frame_max : random.size_between(1, 2 * content.size());
    for (const DeltaKind kind : {DeltaKind::copies, DeltaKind::prefix}) {
      const Bytes frame = kind == DeltaKind::copies ? builder.copies(chunks, content, basis, copies, size_max)
                                                    : builder.prefix(chunks, content, basis, basis_content, size_max);
      ASSERT_TRUE(frame.size() < size_max);
      if (frame.empty()) {
        ASSERT_NE(size_max, limits::delta_frame_max);
        continue;
      }
      const DeltaFrameView view = parse_delta_frame(frame);
      ASSERT_EQ(view.kind, kind);
      ASSERT_EQ(view.chunks.size(), chunks.size());
      ASSERT_EQ(view.basis.size(), basis.size());
      ASSERT_TRUE(std::ranges::equal(patcher.rebuild(view, basis_content), content)) << "round " << round;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyTwoVersions, testing::Range(std::uint64_t{1}, std::uint64_t{31}));

}  // namespace
}  // namespace vmferry::delta
