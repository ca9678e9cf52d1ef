// What every byte of a disk costs: the cut, the zero check, the hash.
#include <benchmark/benchmark.h>

#include "protocol/chunk_id.h"
#include "protocol/chunker.h"
#include "tests/support/content.h"

namespace {

using namespace vmferry;

constexpr std::size_t content_bytes = 16 << 20;

void cut_into_chunks(benchmark::State& state) {
  const Bytes content = test::random_bytes(1, content_bytes);
  const Chunker chunker(
      ChunkingParameters{.size_min = 16 * 1024, .size_average = 64 * 1024, .size_max = 256 * 1024, .gear_seed = 1});
  std::size_t chunks = 0;
  for (auto _ : state) {
    chunks = 0;
    for (ByteView rest = content; !rest.empty(); ++chunks) rest = rest.subspan(chunker.next_cut(rest));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * content_bytes);
  state.counters["average_chunk_bytes"] = static_cast<double>(content_bytes) / static_cast<double>(chunks);
}
BENCHMARK(cut_into_chunks);

void hash_chunks(benchmark::State& state) {
  const auto chunk_bytes = static_cast<std::size_t>(state.range(0));
  const Bytes content = test::random_bytes(2, content_bytes);
  const DomainKey key = DomainKey::random();
  for (auto _ : state) {
    for (std::size_t at = 0; at + chunk_bytes <= content.size(); at += chunk_bytes) {
      benchmark::DoNotOptimize(chunk_id_of(key, ByteView(content).subspan(at, chunk_bytes)));
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * content_bytes);
}
BENCHMARK(hash_chunks)->Arg(4096)->Arg(16 * 1024)->Arg(64 * 1024)->Arg(256 * 1024);

void find_zeros(benchmark::State& state) {
  const Bytes content(content_bytes);
  for (auto _ : state) benchmark::DoNotOptimize(all_zero(content));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * content_bytes);
}
BENCHMARK(find_zeros);

}  // namespace
