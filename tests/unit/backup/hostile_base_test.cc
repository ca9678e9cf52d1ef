// What a hostile target, or a cracker that a hostile guest took over, could give the planning of a backup.
#include <gtest/gtest.h>

#include "engine/backup/former_point.h"
#include "engine/backup/volume_layout.h"
#include "tests/support/tangled_tree.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::backup {
namespace {

TEST(HostileBase, ATreeWithMorePathsThanAnybodyCanWalkIsReadNodeByNode) {
  const test::TemporaryDirectory directory;
  const auto catalog = catalog::Catalog::open(directory / "catalog.sqlite");
  const DomainKey key{};
  test::MemoryChunks chunks;
  const TreeRoot root = test::tangled_tree(chunks, key, 10, 100);
  NodeSource nodes(*catalog, Uuid::random(), key, chunks, directory.path());
  KnownNodes known;
  known.add_tree(root, nodes);
  for (const auto& [id, node] : chunks.chunks) EXPECT_TRUE(known.contains(id));
}

TEST(HostileCracker, ARecordOfEndlessStreamsEndsTheVolumeNotTheMemory) {
  const test::TemporaryDirectory directory;
  VolumeLayout layout(directory.path(), 1 << 20);
  crack::VolumeFacts facts;
  facts.cluster_bytes = 4096;
  facts.mft_record_bytes = 1024;
  facts.clusters = 1 << 20;
  layout.volume(facts);
  crack::StreamEvent event;
  event.record = 30;
  event.stream.attribute_type = 0x80;
  event.stream.runs.assign(100'000, StreamRun{StreamRun::run_hole, 1});
  const auto many = [&] {
    for (int i = 0; i < 2000; ++i) layout.stream(event);  // 3 GiB
  };
  EXPECT_THROW(many(), Error);
}

}  // namespace
}  // namespace vmferry::backup
