// Our signatures and deltas as files, with the rdiff program on the other side.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "protocol/delta/delta_frame.h"
#include "protocol/delta/matcher.h"
#include "protocol/delta/signature.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/delta/librsync_judge.h"

namespace vmferry::delta {
namespace {

class Rdiff : public testing::TestWithParam<SignatureParameters> {
 protected:
  void write(const std::string& name, ByteView bytes) {
    std::ofstream file(directory_ / name, std::ios::binary);
    file.write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + name);
  }
  Bytes read(const std::string& name) {
    std::ifstream file(directory_ / name, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const ByteView bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
  }
  void rdiff(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "rdiff");
    test::run_ok(arguments, {.directory = directory_.path()});
  }

  // Three chunks of a file, and the file one edit and one changed page later.
  std::vector<Bytes> old_chunks() const {
    return {test::random_bytes(1, 70001), test::text_bytes(2, 65536), test::random_bytes(3, 131000)};
  }
  static Bytes changed(ByteView old) {
    Bytes content(old.begin(), old.end());
    content.insert(content.begin() + 30000, 77, std::byte{'i'});
    const Bytes page = test::random_bytes(4, 4096);
    std::copy(page.begin(), page.end(), content.begin() + 150000);
    return content;
  }

  test::TemporaryDirectory directory_;
};

TEST_P(Rdiff, MakesADeltaOfOurSignatureThatBothPatch) {
  std::vector<Bytes> encoded;
  std::vector<SignatureView> views;
  Bytes basis;
  for (const Bytes& chunk : old_chunks()) {
    encoded.push_back(make_signature(chunk, GetParam()));
    const ByteView whole_blocks = ByteView(chunk).first(parse_signature(encoded.back()).basis_bytes());
    basis.insert(basis.end(), whole_blocks.begin(), whole_blocks.end());
  }
  for (const Bytes& signature : encoded) views.push_back(parse_signature(signature));
  const Bytes content = changed(basis);
  write("signature", to_librsync_signature(views));
  write("basis", basis);
  write("content", content);
  rdiff({"delta", "signature", "content", "delta"});
  rdiff({"patch", "basis", "delta", "patched"});
  EXPECT_EQ(read("patched"), content);
  EXPECT_LT(read("delta").size(), content.size() / 2);
  EXPECT_EQ(test::librsync_patch(basis, read("delta")), content);
}

TEST_P(Rdiff, AppliesOurDeltaOfItsSignature) {
  Bytes basis;
  for (const Bytes& chunk : old_chunks()) basis.insert(basis.end(), chunk.begin(), chunk.end());
  const Bytes content = changed(basis);
  write("basis", basis);
  rdiff({"-b", std::to_string(GetParam().block_bytes), "-S", std::to_string(GetParam().strong_bytes), "signature", "basis",
         "signature"});
  const LibrsyncSignature signature = parse_librsync_signature(read("signature"));
  ASSERT_EQ(signature.parameters, GetParam());
  // Its last entry is of a block that is not whole: no content of ours can match that, so it may stay.
  BasisPart part;
  part.signature.parameters = signature.parameters;
  part.signature.chunk_bytes = static_cast<std::uint32_t>(basis.size());
  part.signature.entries = signature.entries;
  part.expected_at = 0;
  Matcher matcher;
  const auto copies = matcher.match(content, std::span(&part, 1));
  std::size_t copied = 0;
  for (const Copy& copy : copies) copied += copy.length;
  EXPECT_GT(copied, content.size() / 2);
  write("delta", to_librsync_delta(content, copies));
  rdiff({"patch", "basis", "delta", "patched"});
  EXPECT_EQ(read("patched"), content);
}

INSTANTIATE_TEST_SUITE_P(Parameters, Rdiff,
                         testing::Values(SignatureParameters{512, 6}, SignatureParameters{1024, 8},
                                         SignatureParameters{64, 12}, SignatureParameters{4096, 32}),
                         [](const auto& tried) {
                           return std::to_string(tried.param.block_bytes) + "x" + std::to_string(tried.param.strong_bytes);
                         });

}  // namespace
}  // namespace vmferry::delta
