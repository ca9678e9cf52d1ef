// Metadata trees: entries built and looked up a second, and what a scattered change rewrites.
#include <benchmark/benchmark.h>

#include <unordered_map>

#include "protocol/chunk_source.h"
#include "protocol/tree.h"
#include "tests/support/content.h"

namespace {

using namespace vmferry;

class MemoryNodes final : public ChunkSource {
 public:
  void get(std::span<const ChunkId> ids, const Use& use) override {
    for (const ChunkId& id : ids) use(id, nodes.at(id));
  }
  std::unordered_map<ChunkId, Bytes> nodes;
  std::size_t added_bytes = 0;
};

// Every changed_every-th entry has another value; 0: none.
TreeRoot build(const DomainKey& key, MemoryNodes& into, std::uint64_t entries, std::uint64_t changed_every) {
  TreeBuilder builder(key, [&](const ChunkId& id, ByteView node) {
    if (into.nodes.emplace(id, Bytes(node.begin(), node.end())).second) into.added_bytes += node.size();
  });
  for (std::uint64_t i = 0; i < entries; ++i) {
    ByteWriter entry_key;
    entry_key.u64_big_endian(i * 65536);
    const bool changed = changed_every != 0 && i % changed_every == 0;
    builder.add(entry_key.view(), test::random_bytes(changed ? ~i : i, 40));
  }
  return builder.finish();
}

void build_tree(benchmark::State& state) {
  const DomainKey key = DomainKey::random();
  const auto entries = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    MemoryNodes nodes;
    benchmark::DoNotOptimize(build(key, nodes, entries, 0).node);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(build_tree)->Arg(100'000);

void look_up_in_tree(benchmark::State& state) {
  MemoryNodes nodes;
  const TreeRoot root = build(DomainKey::random(), nodes, 100'000, 0);
  test::Random random(1);
  for (auto _ : state) {
    ByteWriter key;
    key.u64_big_endian(random.below(100'000) * 65536);
    benchmark::DoNotOptimize(tree_lookup(root, nodes, key.view()));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(look_up_in_tree);

void rewrite_by_scattered_change(benchmark::State& state) {  // 0.5 % of the entries
  const DomainKey key = DomainKey::random();
  double share = 0;
  for (auto _ : state) {
    MemoryNodes nodes;
    build(key, nodes, 100'000, 0);
    const auto whole = static_cast<double>(nodes.added_bytes);
    nodes.added_bytes = 0;
    build(key, nodes, 100'000, 200);
    share = static_cast<double>(nodes.added_bytes) / whole;
  }
  state.counters["rewritten_share"] = share;
}
BENCHMARK(rewrite_by_scattered_change)->Iterations(1);

}  // namespace
