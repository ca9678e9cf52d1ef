// Any two versions, any cuts, any signatures: the target rebuilds exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "protocol/delta/delta_frame.h"
#include "protocol/delta/matcher.h"
#include "protocol/delta/signature.h"
#include "protocol/error.h"
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

const DomainKey key{};

constexpr SignatureParameters kinds[] = {{512, 6, 0}, {512, 6, 64}, {1024, 6, 128}, {64, 4, 16}};

class AnyTwoVersions : public testing::TestWithParam<std::tuple<std::uint64_t, SignatureParameters>> {};

TEST_P(AnyTwoVersions, RebuildExactly) {
  const auto [seed, usual] = GetParam();
  Random random(seed);
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
    for (const ByteView chunk : cut(random, old, 40)) {
      if (random.below(10) == 0) continue;
      SignatureParameters parameters = usual;
      if (random.below(10) == 0) parameters = kinds[random.below(4)];
      if (random.below(10) == 0) parameters = {777, 8, static_cast<std::uint16_t>(random.below(2) * 100)};
      signatures.push_back(make_signature(chunk, parameters));
      std::optional<std::int64_t> expected_at;
      if (random.below(3) != 0) expected_at = chunk.data() - old.data();
      if (random.below(5) == 0) expected_at = static_cast<std::int64_t>(random.below(2000000)) - 1000000;
      const SignatureView signature = parse_signature(signatures.back());
      if (signature.basis_bytes() == 0) continue;  // shorter than a block: nothing to copy from
      parts.push_back({signature, expected_at});
      basis.push_back({chunk_id_of(key, chunk), parts.back().signature.basis_bytes()});
      basis_content.insert(basis_content.end(), chunk.begin(), chunk.begin() + basis.back().length);
    }
    if (basis.empty()) continue;
    std::vector<FrameChunk> chunks;
    for (const ByteView chunk : cut(random, content, 40))
      chunks.push_back({chunk_id_of(key, chunk), static_cast<std::uint32_t>(chunk.size())});

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
      const ByteView rebuilt = patcher.rebuild(view, basis_content);
      // Fine sums have 16 bits: other seeds may find a false match of them. It would be one of the next test's.
      ASSERT_TRUE(std::ranges::equal(rebuilt, content)) << "round " << round;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyTwoVersions,
                         testing::Combine(testing::Range(std::uint64_t{1}, std::uint64_t{31}), testing::ValuesIn(kinds)));

// Sums that lie, as chance or a damaged cache makes them. That is no malformed frame, even where the literals' context
// is another one at the target: the content is as long as it should be, and each chunk that differs is refused by its
// id.
TEST_P(AnyTwoVersions, AFalseMatchIsCaughtByTheIdsOfItsChunks) {
  const auto [seed, parameters] = GetParam();
  Random random(seed);
  const Bytes content = some_content(random, random.size_between(5000, 300000));
  Bytes old = content;
  for (std::size_t lies = 1 + random.below(20); lies != 0; --lies) old[random.below(old.size())] ^= std::byte{0x80};
  // The sums are those of the new content but for some literals, the bytes at the target are the old ones.
  Bytes summed = content;
  for (std::size_t literals = random.below(5); literals != 0; --literals)
    summed[random.below(summed.size())] ^= std::byte{1};
  std::vector<Bytes> signatures;
  std::vector<BasisPart> parts;
  std::vector<DeltaBasis> basis;
  Bytes basis_content;
  for (const ByteView chunk : cut(random, summed, 20)) {
    const std::ptrdiff_t at = chunk.data() - summed.data();
    signatures.push_back(make_signature(chunk, parameters));
    const SignatureView signature = parse_signature(signatures.back());
    if (signature.basis_bytes() == 0) continue;
    parts.push_back({signature, at});
    basis.push_back({chunk_id_of(key, chunk), parts.back().signature.basis_bytes()});
    basis_content.insert(basis_content.end(), old.begin() + at, old.begin() + at + basis.back().length);
  }
  if (basis.empty()) return;
  std::vector<FrameChunk> chunks;
  for (const ByteView chunk : cut(random, content, 20))
    chunks.push_back({chunk_id_of(key, chunk), static_cast<std::uint32_t>(chunk.size())});
  Matcher matcher;
  const auto copies = matcher.match(content, parts);
  const Bytes frame = DeltaFrameBuilder(3).copies(chunks, content, basis, copies, limits::delta_frame_max);
  const DeltaFrameView view = parse_delta_frame(frame);
  DeltaPatcher patcher;
  const ByteView rebuilt = patcher.rebuild(view, basis_content);
  ASSERT_EQ(rebuilt.size(), content.size());
  std::size_t at = 0;
  for (const FrameChunk& chunk : view.chunks) {
    const ByteView got = rebuilt.subspan(at, chunk.length);
    ASSERT_EQ(std::ranges::equal(got, ByteView(content).subspan(at, chunk.length)), chunk_id_of(key, got) == chunk.id);
    at += chunk.length;
  }
}

TEST_P(AnyTwoVersions, SignaturesComeBackAndNoOtherBytesDo) {
  const auto [seed, parameters] = GetParam();
  Random random(seed);
  const Bytes chunk = some_content(random, random.below(20) == 0 ? 0 : random.size_between(1, 20000));
  const Bytes encoded = make_signature(chunk, parameters);
  const SignatureView view = parse_signature(encoded);
  ASSERT_EQ(view.parameters, parameters);
  ASSERT_EQ(view.chunk_bytes, chunk.size());
  ASSERT_EQ(view.blocks(), chunk.size() / parameters.block_bytes);
  std::size_t fine_end = 0;
  for (std::size_t block = 0; block < view.fine_blocks(); ++block) {
    ASSERT_EQ(view.fine_sum(block), fine_sum(ByteView(chunk).subspan(fine_end, view.fine_block_bytes(block))));
    fine_end += view.fine_block_bytes(block);
  }
  ASSERT_EQ(fine_end, parameters.fine_bytes == 0 ? 0 : chunk.size());
  ASSERT_EQ(view.basis_bytes(), parameters.fine_bytes == 0 ? view.blocks() * parameters.block_bytes : chunk.size());

  const auto refused = [](ByteView bytes) {
    try {
      parse_signature(bytes);
    } catch (const Error& error) {
      return error.code() == ErrorCode::malformed;
    }
    return false;
  };
  for (std::size_t length = 0; length < encoded.size(); length += 1 + length / 40)
    ASSERT_TRUE(refused(ByteView(encoded).first(length)));
  ASSERT_TRUE(refused(ByteView(encoded).first(encoded.size() - 1)));
  for (const std::size_t more : {1U, 2U, 10U}) {
    Bytes longer = encoded;
    longer.resize(longer.size() + more);
    ASSERT_TRUE(refused(longer));
  }
  // The header with one bit changed: refused, unless it says another length or strength that takes as many bytes.
  for (std::size_t bit = 0; bit < 12 * 8; ++bit) {
    Bytes altered = encoded;
    altered[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    if (refused(altered)) continue;
    const SignatureView other = parse_signature(altered);
    const std::size_t fine_bytes = other.parameters.fine_bytes;
    ASSERT_EQ(altered[0], encoded[0]);
    ASSERT_EQ(other.entries.size(), other.chunk_bytes / other.parameters.block_bytes * other.entry_bytes());
    ASSERT_EQ(other.fine_blocks(), fine_bytes == 0 ? 0 : (other.chunk_bytes + fine_bytes - 1) / fine_bytes);
    ASSERT_EQ(12 + other.entries.size() + other.fine.size(), encoded.size());
  }
}

}  // namespace
}  // namespace vmferry::delta
