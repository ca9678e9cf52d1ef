#include "protocol/delta/signature.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/unit/delta/librsync_judge.h"

namespace vmferry::delta {
namespace {

ErrorCode refusal(ByteView encoded, auto parse) {
  try {
    parse(encoded);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::failed;
}
ErrorCode refusal_of_ours(ByteView encoded) {
  return refusal(encoded, [](ByteView bytes) { parse_signature(bytes); });
}
ErrorCode refusal_of_librsyncs(ByteView encoded) {
  return refusal(encoded, [](ByteView bytes) { parse_librsync_signature(bytes); });
}

TEST(Signature, ComesBackAsItWasMade) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{511}, std::size_t{512}, std::size_t{70001},
                                  limits::chunk_size_max}) {
    const Bytes chunk = test::random_bytes(bytes, bytes);
    const Bytes encoded = make_signature(chunk, {512, 8});
    const SignatureView view = parse_signature(encoded);
    EXPECT_EQ(view.parameters, (SignatureParameters{512, 8}));
    EXPECT_EQ(view.chunk_bytes, bytes);
    EXPECT_EQ(view.blocks(), bytes / 512);
    EXPECT_EQ(view.basis_bytes(), bytes / 512 * 512);
    EXPECT_EQ(encoded.size(), 12 + bytes / 512 * 12);
  }
}

TEST(Signature, OfChunksThatFollowEachOtherJoinIntoLibrsyncsOfTheirWholeBlocks) {
  const Bytes first = test::random_bytes(1, 70000);
  const Bytes second = test::text_bytes(2, 40000);
  const Bytes a = make_signature(first, {1024, 6});
  const Bytes b = make_signature(second, {1024, 6});
  Bytes basis(first.begin(), first.begin() + 70000 / 1024 * 1024);
  basis.insert(basis.end(), second.begin(), second.begin() + 40000 / 1024 * 1024);
  const std::vector<SignatureView> views = {parse_signature(a), parse_signature(b)};
  EXPECT_EQ(to_librsync_signature(views), test::librsync_signature(basis, 1024, 6));
}

TEST(Signature, LibrsyncsIsReadAsOurs) {
  const Bytes content = test::random_bytes(3, 100 * 512);
  const LibrsyncSignature read = parse_librsync_signature(test::librsync_signature(content, 512, 12));
  EXPECT_EQ(read.parameters, (SignatureParameters{512, 12}));
  const Bytes ours = make_signature(content, {512, 12});
  EXPECT_EQ(to_hex(read.entries), to_hex(parse_signature(ours).entries));
}

TEST(Signature, OneThatNobodyMakesIsMalformed) {
  const Bytes good = make_signature(test::random_bytes(4, 2000), {512, 6});
  const auto with = [&](std::size_t at, unsigned char value) {
    Bytes bad = good;
    bad[at] = std::byte{value};
    return bad;
  };
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_EQ(refusal_of_ours(ByteView(good).first(length)), ErrorCode::malformed) << length;
  Bytes longer = good;
  longer.push_back({});
  EXPECT_EQ(refusal_of_ours(longer), ErrorCode::malformed);
  EXPECT_EQ(refusal_of_ours(with(0, 2)), ErrorCode::malformed);    // version
  EXPECT_EQ(refusal_of_ours(with(1, 3)), ErrorCode::malformed);    // strong sums too short
  EXPECT_EQ(refusal_of_ours(with(1, 33)), ErrorCode::malformed);   // and too long
  EXPECT_EQ(refusal_of_ours(with(2, 1)), ErrorCode::malformed);    // flags
  EXPECT_EQ(refusal_of_ours(with(5, 0)), ErrorCode::malformed);    // a block of no bytes
  EXPECT_EQ(refusal_of_ours(with(7, 0x80)), ErrorCode::malformed); // a block of 2 GiB
  EXPECT_EQ(refusal_of_ours(with(11, 0xff)), ErrorCode::malformed);// a chunk of 4 GiB
  EXPECT_EQ(refusal_of_ours(with(9, 0x10)), ErrorCode::malformed); // more blocks than there are
}

TEST(Signature, LibrsyncsOlderKindsAreUnsupportedAndNoiseIsMalformed) {
  Bytes file = test::librsync_signature(test::random_bytes(5, 5000), 512, 8);
  EXPECT_EQ(refusal_of_librsyncs(ByteView(file).first(file.size() - 1)), ErrorCode::malformed);
  EXPECT_EQ(refusal_of_librsyncs(ByteView(file).first(11)), ErrorCode::malformed);
  file[3] = std::byte{0x37};
  EXPECT_EQ(refusal_of_librsyncs(file), ErrorCode::unsupported);
  file[3] = std::byte{0x48};
  EXPECT_EQ(refusal_of_librsyncs(file), ErrorCode::malformed);
  EXPECT_EQ(refusal_of_librsyncs(test::librsync_signature(Bytes(100), 32, 8)), ErrorCode::unsupported);
}

TEST(Signature, RefusesParametersThatItsFormatHasNot) {
  EXPECT_THROW(make_signature({}, {63, 6}), std::logic_error);
  EXPECT_THROW(make_signature({}, {65537, 6}), std::logic_error);
  EXPECT_THROW(make_signature({}, {512, 3}), std::logic_error);
  EXPECT_THROW(make_signature({}, {512, 33}), std::logic_error);
  EXPECT_THROW(make_signature(Bytes(limits::chunk_size_max + 1), {512, 6}), std::logic_error);
}

}  // namespace
}  // namespace vmferry::delta
