// Frames: what is paid per byte that is sent, received and restored.
#include <benchmark/benchmark.h>

#include "protocol/frame.h"
#include "tests/support/content.h"

namespace {

using namespace vmferry;

struct Chunk {
  ChunkId id;
  Bytes content;
};

// Half text, half random, as a mixed disk compresses.
std::vector<Chunk> some_chunks(const DomainKey& key, std::size_t chunk_bytes) {
  std::vector<Chunk> chunks;
  for (std::uint64_t i = 0; i * chunk_bytes < 1 << 20; ++i) {
    Bytes content = i % 2 == 0 ? test::text_bytes(i, chunk_bytes) : test::random_bytes(i, chunk_bytes);
    const ChunkId id = chunk_id_of(key, content);
    chunks.push_back({id, std::move(content)});
  }
  return chunks;
}

Bytes build(FrameBuilder& builder, const std::vector<Chunk>& chunks) {
  for (const Chunk& chunk : chunks) builder.add(chunk.id, chunk.content);
  return builder.finish();
}

void build_frames(benchmark::State& state) {
  const DomainKey key = DomainKey::random();
  const auto chunks = some_chunks(key, static_cast<std::size_t>(state.range(0)));
  FrameBuilder builder(static_cast<int>(state.range(1)));
  std::size_t bytes = 0;
  for (auto _ : state) bytes = build(builder, chunks).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * (1 << 20));
  state.counters["bytes_per_MiB"] = static_cast<double>(bytes);
}
BENCHMARK(build_frames)->ArgNames({"chunk", "level"})->ArgsProduct({{4096, 64 * 1024}, {1, 3}});

void decode_and_verify_frames(benchmark::State& state) {
  const DomainKey key = DomainKey::random();
  FrameBuilder builder(3);
  const Bytes frame = build(builder, some_chunks(key, static_cast<std::size_t>(state.range(0))));
  FrameDecoder decoder;
  for (auto _ : state) {
    decoder.decode_verified(parse_frame(frame), key,
                            [](const ChunkId&, ByteView content) { benchmark::DoNotOptimize(content.data()); });
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * (1 << 20));
}
BENCHMARK(decode_and_verify_frames)->Arg(4096)->Arg(64 * 1024);

void check_frames(benchmark::State& state) {  // whoever only moves or scrubs bytes
  FrameBuilder builder(3);
  const Bytes frame = build(builder, some_chunks(DomainKey::random(), 64 * 1024));
  for (auto _ : state) benchmark::DoNotOptimize(parse_frame(frame).content_bytes);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * frame.size()));
}
BENCHMARK(check_frames);

}  // namespace
