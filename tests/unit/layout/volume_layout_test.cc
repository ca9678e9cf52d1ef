// The layout's rules against a model that decides cluster by cluster, over random volumes.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/backup/volume_layout.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::backup {
namespace {

constexpr std::uint64_t cluster_bytes = 4096;

struct Owner {
  MftReference record = 0;
  std::uint64_t stream_offset = 0;
};

// What each cluster must become.
struct Model {
  explicit Model(std::uint64_t clusters)
      : owner(clusters), owned(clusters), allocated(clusters), kept(clusters), pagefile(clusters), hiberfil(clusters) {}
  std::vector<Owner> owner;
  std::vector<bool> owned, allocated, kept, pagefile, hiberfil;
};

enum class Kind { none, piece, remainder, free, excluded };

Kind expected(const Model& model, std::size_t cluster, const VolumeKeep& keep) {
  if (model.owned[cluster]) return Kind::piece;
  if (model.kept[cluster]) return Kind::remainder;
  if ((model.pagefile[cluster] && !keep.pagefile) || (model.hiberfil[cluster] && !keep.hiberfil)) return Kind::excluded;
  if (model.allocated[cluster] || model.pagefile[cluster] || model.hiberfil[cluster] || keep.free) return Kind::remainder;
  return Kind::free;
}

struct Seen {
  Kind kind = Kind::none;
  StreamKey stream;
  std::uint64_t stream_offset = 0;
};

class RandomVolume {
 public:
  RandomVolume(std::uint64_t seed, bool overlapping) : random_(seed), overlapping_(overlapping), model_(clusters_) {}

  void feed(VolumeLayout& layout) {
    crack::VolumeFacts facts;
    facts.cluster_bytes = cluster_bytes;
    facts.clusters = clusters_;
    layout.volume(facts);
    for (MftReference record = 1; record <= 60; ++record) feed_stream(layout, record);
    for (int i = 0; i < 10; ++i) {
      const auto [lcn, count] = any_range(30);
      layout.kept(lcn, count);
      for (std::uint64_t c = lcn; c < lcn + count; ++c) model_.kept[c] = true;
    }
    feed_bitmap(layout);
    layout.done({});
  }

  const Model& model() const { return model_; }
  std::uint64_t clusters() const { return clusters_; }

 private:
  std::uint64_t below(std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random_); }

  std::pair<std::uint64_t, std::uint64_t> any_range(std::uint64_t most) {
    const std::uint64_t lcn = below(clusters_);
    return {lcn, 1 + below(std::min(most, clusters_ - lcn))};
  }

  void feed_stream(VolumeLayout& layout, MftReference record) {
    crack::StreamEvent event;
    event.record = record;
    event.stream.attribute_type = 0x80;
    event.excludable = record == 20 ? 1 : record == 21 ? 2 : 0;
    std::uint64_t stored = 0;
    for (std::uint64_t run = 0, runs = below(5); run < runs; ++run) {
      if (below(5) == 0) event.stream.runs.push_back({StreamRun::run_hole, 1 + below(100)});
      const auto [lcn, count] = any_range(40);
      if (!overlapping_ && taken(lcn, count)) continue;
      event.stream.runs.push_back({lcn, count});
      note(event, lcn, count, stored);
      stored += count;
    }
    layout.stream(event);
  }

  bool taken(std::uint64_t lcn, std::uint64_t count) {
    for (std::uint64_t c = lcn; c < lcn + count; ++c)
      if (model_.owned[c] || model_.pagefile[c] || model_.hiberfil[c]) return true;
    return false;
  }

  void note(const crack::StreamEvent& event, std::uint64_t lcn, std::uint64_t count, std::uint64_t stored) {
    for (std::uint64_t c = lcn; c < lcn + count; ++c) {
      if (event.excludable == 1) model_.pagefile[c] = true;
      if (event.excludable == 2) model_.hiberfil[c] = true;
      if (event.excludable != 0) continue;
      model_.owner[c] = {event.record, (stored + c - lcn) * cluster_bytes};
      model_.owned[c] = true;
    }
  }

  void feed_bitmap(VolumeLayout& layout) {
    for (std::uint64_t at = below(20); at < clusters_;) {
      const std::uint64_t count = 1 + below(std::min<std::uint64_t>(50, clusters_ - at));
      layout.allocated(at, count);
      for (std::uint64_t c = at; c < at + count; ++c) model_.allocated[c] = true;
      at += count + 1 + below(30);
    }
  }

  static constexpr std::uint64_t clusters_ = 40'000;  // more than one region
  std::mt19937_64 random_;
  bool overlapping_;
  Model model_;
};

std::vector<Seen> assemble(VolumeLayout& layout, const VolumeKeep& keep, std::uint64_t clusters) {
  std::vector<Seen> seen(clusters);
  const auto mark = [&](ByteRange range, Kind kind, StreamKey stream, std::uint64_t offset) {
    EXPECT_EQ(range.offset % cluster_bytes, 0u);
    for (std::uint64_t at = range.offset; at < range.end(); at += cluster_bytes) {
      Seen& cluster = seen.at(at / cluster_bytes);
      EXPECT_EQ(cluster.kind, Kind::none) << "cluster " << at / cluster_bytes << " comes twice";
      cluster = {kind, stream, offset + at - range.offset};
    }
  };
  VolumeLayout::Visitor visitor;
  visitor.piece = [&](const StreamKey& stream, std::uint64_t offset, ByteRange range) {
    mark(range, Kind::piece, stream, offset);
  };
  visitor.remainder = [&](ByteRange range) { mark(range, Kind::remainder, {}, 0); };
  visitor.skip = [&](ByteRange range, MapKind kind) {
    mark(range, kind == MapKind::free ? Kind::free : Kind::excluded, {}, 0);
  };
  layout.assemble(keep, visitor);
  return seen;
}

class VolumeLayoutRules : public testing::TestWithParam<std::uint64_t> {
 protected:
  test::TemporaryDirectory directory_;
};

TEST_P(VolumeLayoutRules, EveryClusterComesOnceAndIsWhatTheRulesSay) {
  RandomVolume volume(GetParam(), false);
  VolumeLayout layout(directory_.path(), 64 * 1024);  // so small that sorting spills
  volume.feed(layout);
  for (const VolumeKeep& keep : {VolumeKeep{}, VolumeKeep{true, false, false}, VolumeKeep{false, true, false},
                                 VolumeKeep{false, false, true}, VolumeKeep{true, true, true}}) {
    const auto seen = assemble(layout, keep, volume.clusters());
    for (std::size_t c = 0; c < seen.size(); ++c) {
      ASSERT_EQ(seen[c].kind, expected(volume.model(), c, keep)) << "cluster " << c;
      if (seen[c].kind != Kind::piece) continue;
      ASSERT_EQ(layout.stream_info(seen[c].stream).record, volume.model().owner[c].record) << "cluster " << c;
      ASSERT_EQ(seen[c].stream_offset, volume.model().owner[c].stream_offset) << "cluster " << c;
    }
    EXPECT_EQ(layout.overlapping_clusters(), 0u);
  }
}

TEST_P(VolumeLayoutRules, ClustersThatTwoFilesClaimAreGivenToOneAndCounted) {
  RandomVolume volume(GetParam(), true);
  VolumeLayout layout(directory_.path(), 64 * 1024);
  volume.feed(layout);
  const auto seen = assemble(layout, {}, volume.clusters());
  std::map<StreamKey, std::uint64_t> bytes;
  for (std::size_t c = 0; c < seen.size(); ++c) {
    ASSERT_EQ(seen[c].kind, expected(volume.model(), c, {})) << "cluster " << c;
    if (seen[c].kind == Kind::piece) bytes[seen[c].stream] += cluster_bytes;
  }
  EXPECT_GT(layout.overlapping_clusters(), 0u);
  for (const auto& [stream, total] : bytes) EXPECT_EQ(layout.stream_info(stream).bytes, total);
}

INSTANTIATE_TEST_SUITE_P(Seeds, VolumeLayoutRules, testing::Range<std::uint64_t>(1, 21));

TEST(EntrySorter, GivesAnyEntriesInKeyOrderThoughTheyDoNotFitInMemory) {
  const test::TemporaryDirectory directory;
  std::mt19937_64 random(7);
  EntrySorter sorter(directory.path(), 64 * 1024);
  std::multimap<std::string, std::string> model;
  for (int i = 0; i < 20'000; ++i) {
    const std::string key(1 + random() % 20, static_cast<char>('a' + random() % 26));
    const std::string value(random() % 60, static_cast<char>(random() % 256));
    sorter.add(as_bytes(key), as_bytes(value));
    model.emplace(key, value);  // equal keys keep their order, as the sorter promises
  }
  for (int round = 0; round < 2; ++round) {
    auto expected = model.begin();
    sorter.visit([&](ByteView key, ByteView value) {
      ASSERT_NE(expected, model.end());
      ASSERT_EQ(as_text(key), expected->first);
      ASSERT_EQ(as_text(value), expected->second);
      ++expected;
    });
    EXPECT_EQ(expected, model.end());
  }
}

}  // namespace
}  // namespace vmferry::backup
