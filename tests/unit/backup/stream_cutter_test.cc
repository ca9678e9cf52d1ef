#include "engine/backup/stream_cutter.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/content.h"

namespace vmferry::backup {
namespace {

const DomainKey domain_key{};

ChunkingParameters small_parameters() {
  ChunkingParameters parameters;
  parameters.size_min = 256;
  parameters.size_average = 1024;
  parameters.size_max = 4096;
  parameters.gear_seed = 7;
  return parameters;
}

// The former version of a stream, as a list.
class ListedCuts final : public FormerCuts {
 public:
  explicit ListedCuts(std::vector<FormerCut> cuts) : cuts_(std::move(cuts)) {}
  const FormerCut* covering(std::uint64_t position) override {
    EXPECT_GE(position, last_);
    last_ = position;
    while (at_ < cuts_.size() && cuts_[at_].end() <= position) ++at_;
    return at_ < cuts_.size() && cuts_[at_].offset <= position ? &cuts_[at_] : nullptr;
  }

 private:
  std::vector<FormerCut> cuts_;
  std::size_t at_ = 0;
  std::uint64_t last_ = 0;
};

std::vector<std::size_t> plain_cuts(const Chunker& chunker, ByteView stream) {
  std::vector<std::size_t> ends;
  for (std::size_t at = 0; at < stream.size();) ends.push_back(at += chunker.next_cut(stream.subspan(at)));
  return ends;
}

struct CutRun {
  std::vector<std::size_t> ends;
  std::vector<StreamCutter::Cut> cuts;
};

// Feeds the stream in windows of random sizes, as slabs do: what was not cut stays for the next.
CutRun run(const Chunker& chunker, ByteView stream, FormerCuts* former, CutRule rule, test::Random& random) {
  StreamCutter cutter(chunker, domain_key);
  cutter.begin(former, rule);
  CutRun result;
  std::size_t at = 0;
  std::size_t known = 0;
  while (at < stream.size()) {
    const bool was_whole = known == stream.size();
    known = std::min<std::size_t>(stream.size(), known + random.below(3 * 4096) + 1);
    bool any = false;
    while (const auto cut = cutter.next(stream.subspan(at, known - at), known == stream.size())) {
      any = true;
      at += cut->length;
      result.ends.push_back(at);
      result.cuts.push_back(*cut);
      if (at > stream.size()) throw std::logic_error("cut past the end");
    }
    if (was_whole && !any && at < stream.size()) throw std::logic_error("no progress");
    if (known - at >= cutter.window_bytes() && known != stream.size()) throw std::logic_error("needs too large a window");
  }
  return result;
}

std::vector<FormerCut> as_former(const CutRun& run) {
  std::vector<FormerCut> cuts;
  std::uint64_t at = 0;
  for (const StreamCutter::Cut& cut : run.cuts) {
    cuts.push_back(FormerCut{at, cut.length, cut.zero ? FormerCut::Kind::gap : FormerCut::Kind::chunk, false, false, 0, cut.id});
    at += cut.length;
  }
  // As an image map has it: neighbouring zeros are one entry.
  std::vector<FormerCut> joined;
  for (const FormerCut& cut : cuts) {
    if (!joined.empty() && cut.kind == FormerCut::Kind::gap && joined.back().kind == FormerCut::Kind::gap)
      joined.back().length += cut.length;
    else
      joined.push_back(cut);
  }
  if (!joined.empty()) joined.back().stream_end = true;
  return joined;
}

Bytes random_stream(test::Random& random) {
  Bytes stream;
  for (std::size_t parts = random.below(8); parts > 0; --parts) {
    const auto bytes = static_cast<std::size_t>(random.size_between(1, 20000));
    switch (random.below(4)) {
      case 0: stream.resize(stream.size() + bytes); break;
      case 1: {  // few values: long chunks, cut at the maximum
        for (std::size_t i = 0; i < bytes; ++i) stream.push_back(static_cast<std::byte>(i % 3));
        break;
      }
      default: {
        const Bytes part = random.below(2) == 0 ? test::random_bytes(random.next(), bytes) : test::text_bytes(random.next(), bytes);
        stream.insert(stream.end(), part.begin(), part.end());
      }
    }
  }
  return stream;
}

Bytes edited(Bytes stream, test::Random& random) {
  for (std::size_t edits = random.below(4); edits > 0; --edits) {
    const auto at = static_cast<std::size_t>(random.below(stream.size() + 1));
    const auto bytes = std::min(static_cast<std::size_t>(random.size_between(1, 6000)), stream.size() - at);
    const auto place = stream.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random.below(5)) {
      case 0: stream.erase(place, place + static_cast<std::ptrdiff_t>(bytes)); break;
      case 1: {
        const Bytes put = test::random_bytes(random.next(), static_cast<std::size_t>(random.size_between(1, 6000)));
        stream.insert(place, put.begin(), put.end());
        break;
      }
      case 2: std::fill(place, place + static_cast<std::ptrdiff_t>(bytes), std::byte{0}); break;
      case 3: stream.resize(at); break;  // truncated
      default: {
        const Bytes put = test::random_bytes(random.next(), bytes);
        std::copy(put.begin(), put.end(), place);
      }
    }
  }
  if (random.below(4) == 0) {  // it grew
    const Bytes put = test::text_bytes(random.next(), static_cast<std::size_t>(random.size_between(1, 9000)));
    stream.insert(stream.end(), put.begin(), put.end());
  }
  return stream;
}

TEST(StreamCutter, FormerCutsNeverMoveACutThatFastCdcMakes) {
  const Chunker chunker(small_parameters());
  test::Random random(1);
  std::size_t known = 0;
  for (int i = 0; i < 1000; ++i) {
    const Bytes before = random_stream(random);
    const Bytes after = edited(before, random);
    const CutRun first = run(chunker, before, nullptr, CutRule::exact, random);
    ASSERT_EQ(first.ends, plain_cuts(chunker, before)) << i;
    ListedCuts former(as_former(first));
    const CutRun second = run(chunker, after, &former, CutRule::exact, random);
    ASSERT_EQ(second.ends, plain_cuts(chunker, after)) << i;
    std::size_t at = 0;
    for (const StreamCutter::Cut& cut : second.cuts) {
      const ByteView bytes = ByteView(after).subspan(at, cut.length);
      ASSERT_EQ(cut.zero, all_zero(bytes));
      if (!cut.zero) {
        ASSERT_EQ(cut.id, chunk_id_of(domain_key, bytes));
      }
      known += cut.known ? 1 : 0;
      at += cut.length;
    }
  }
  EXPECT_GT(known, 1000U);  // or it tested nothing
}

TEST(StreamCutter, AnUnchangedStreamIsKnownChunkForChunk) {
  const Chunker chunker(small_parameters());
  test::Random random(2);
  for (int i = 0; i < 300; ++i) {
    const Bytes stream = random_stream(random);
    ListedCuts former(as_former(run(chunker, stream, nullptr, CutRule::exact, random)));
    for (const StreamCutter::Cut& cut : run(chunker, stream, &former, CutRule::exact, random).cuts)
      ASSERT_TRUE(cut.zero || cut.known);
  }
}

TEST(StreamCutter, ALastChunkThatTheStreamOutgrewIsCutAnew) {
  const Chunker chunker(small_parameters());
  test::Random random(3);
  Bytes stream = test::random_bytes(4, 300);  // one chunk that the stream's end cut
  ListedCuts former(as_former(run(chunker, stream, nullptr, CutRule::exact, random)));
  const Bytes more = test::random_bytes(5, 5000);
  stream.insert(stream.end(), more.begin(), more.end());
  ASSERT_NE(plain_cuts(chunker, stream)[0], 300U);
  EXPECT_EQ(run(chunker, stream, &former, CutRule::exact, random).ends, plain_cuts(chunker, stream));
}

TEST(StreamCutter, AnOpaqueStreamKeepsEveryFormerCutWhereItsBytesChanged) {
  const Chunker chunker(small_parameters());
  test::Random random(6);
  // Files of 300 bytes each: FastCDC over the whole would never cut there.
  Bytes stream;
  std::vector<FormerCut> cuts;
  for (std::uint64_t i = 0; i < 40; ++i) {
    const Bytes file = test::random_bytes(100 + i, 300);
    cuts.push_back(FormerCut{stream.size(), 300, FormerCut::Kind::chunk, false, false, 0, chunk_id_of(domain_key, file)});
    stream.insert(stream.end(), file.begin(), file.end());
  }
  stream[7 * 300 + 5] ^= std::byte{1};
  ListedCuts former(cuts);
  const CutRun result = run(chunker, stream, &former, CutRule::as_former, random);
  ASSERT_EQ(result.cuts.size(), 40U);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(result.cuts[i].known, i != 7) << i;
}

TEST(StreamCutter, AnOpaqueStreamCutsByContentWhereNothingWasBefore) {
  const Chunker chunker(small_parameters());
  test::Random random(8);
  const Bytes gap = test::random_bytes(9, 50000);
  const Bytes file = test::random_bytes(10, 1000);
  Bytes stream = gap;
  stream.insert(stream.end(), file.begin(), file.end());
  ListedCuts former({FormerCut{0, gap.size(), FormerCut::Kind::gap, false, false, 0, {}},
                     FormerCut{gap.size(), 1000, FormerCut::Kind::chunk, false, false, 0, chunk_id_of(domain_key, file)}});
  const CutRun result = run(chunker, stream, &former, CutRule::as_former, random);
  std::vector<std::size_t> expected = plain_cuts(chunker, gap);
  expected.push_back(stream.size());
  EXPECT_EQ(result.ends, expected);
  EXPECT_TRUE(result.cuts.back().known);
}

TEST(StreamCutter, ZerosAreKeptWhereTheirHomeHasNoPlaceForThem) {
  const Chunker chunker(small_parameters());
  StreamCutter cutter(chunker, domain_key);
  cutter.keep_zeros(true);
  cutter.begin(nullptr, CutRule::exact);
  const Bytes zeros(1000);
  const auto cut = cutter.next(zeros, true);
  ASSERT_TRUE(cut);
  EXPECT_FALSE(cut->zero);
  EXPECT_EQ(cut->id, chunk_id_of(domain_key, ByteView(zeros).first(cut->length)));
}

}  // namespace
}  // namespace vmferry::backup
