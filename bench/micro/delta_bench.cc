// Deltas: sums per implementation beside librsync's signature, the matcher beside librsync's delta job, the patch.
#include <benchmark/benchmark.h>
#include <librsync.h>

#include <algorithm>
#include <stdexcept>

#include "protocol/delta/block_sums.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/delta/matcher.h"
#include "protocol/delta/signature.h"
#include "protocol/delta/sum_kernel.h"
#include "protocol/limits.h"
#include "tests/support/content.h"

namespace {

using namespace vmferry;

constexpr std::size_t content_bytes = 1 << 20;

// A librsync job over memory.
Bytes run_job(rs_job_t* job, ByteView input) {
  Bytes output(input.size() * 2 + 65536);
  rs_buffers_t buffers{};
  buffers.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(input.data()));
  buffers.avail_in = input.size();
  buffers.eof_in = 1;
  buffers.next_out = reinterpret_cast<char*>(output.data());
  buffers.avail_out = output.size();
  const rs_result result = rs_job_iter(job, &buffers);
  rs_job_free(job);
  if (result != RS_DONE) throw std::runtime_error(rs_strerror(result));
  output.resize(output.size() - buffers.avail_out);
  return output;
}

void count_bytes(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

void block_sums(benchmark::State& state, const delta::BlockSummer& summer) {
  const Bytes content = test::random_bytes(1, content_bytes);
  Bytes entries;
  for (auto _ : state) {
    entries.clear();
    summer.append(content, static_cast<std::uint32_t>(state.range(0)), 6, entries);
  }
  count_bytes(state, content.size());
}

// Alone: what the matcher pays for each byte that matches nothing, on machines with these instructions.
void roll(benchmark::State& state, const delta::SumKernel& kernel) {
  const Bytes content = test::random_bytes(1, content_bytes);
  const std::vector<std::uint32_t> filter((1 << 16) / 32, 0x00010000);  // passes one in 32
  delta::WeakRoll rolled;
  rolled.set_block_bytes(512);
  rolled.filter = filter.data();
  rolled.filter_shift = 16;
  delta::WeakHits hits;
  for (auto _ : state) {
    std::uint32_t sum = delta::weak_sum(ByteView(content).first(512));
    for (std::size_t at = 0; at + 512 + delta::roll_steps_max <= content.size(); at += delta::roll_steps_max)
      sum = kernel.roll(rolled, content.data() + at, sum, delta::roll_steps_max, hits);
    benchmark::DoNotOptimize(sum);
  }
  count_bytes(state, content.size() - delta::roll_steps_max);
}

void librsync_signature(benchmark::State& state) {
  const Bytes content = test::random_bytes(1, content_bytes);
  for (auto _ : state)
    run_job(rs_sig_begin(static_cast<std::size_t>(state.range(0)), 6, RS_RK_BLAKE2_SIG_MAGIC), content);
  count_bytes(state, content.size());
}
BENCHMARK(librsync_signature)->ArgName("block")->Arg(512)->Arg(1024)->Arg(4096);

// A window of 1 MiB in sixteen chunks, and what became of it.
enum Change : std::int64_t { identical, scattered_pages, inserted, all_new, all_new_text };

Bytes changed(ByteView old, std::int64_t how) {
  Bytes content(old.begin(), old.end());
  switch (how) {
    case scattered_pages: {
      test::Random random(2);
      for (std::size_t i = 0; i < content_bytes / 4096 / 100 + 1; ++i) {
        const Bytes page = test::random_bytes(100 + i, 4096);
        std::ranges::copy(page, content.begin() + static_cast<std::ptrdiff_t>(random.below(content_bytes / 4096) * 4096));
      }
      break;
    }
    case inserted: content.insert(content.begin() + 1000, 100, std::byte{'i'}); break;
    case all_new: return test::random_bytes(3, content_bytes);
    case all_new_text: return test::text_bytes(3, content_bytes);
    default: break;
  }
  return content;
}

struct Window {
  Bytes old = test::random_bytes(1, content_bytes);
  Bytes content;
  std::vector<Bytes> signatures;
  std::vector<delta::BasisPart> parts;
  std::vector<delta::DeltaBasis> basis;
  std::vector<FrameChunk> chunks;

  Window(std::int64_t how, std::uint32_t block_bytes, bool in_place) : content(changed(old, how)) {
    constexpr std::size_t chunk_bytes = content_bytes / 16;
    for (std::size_t at = 0; at < old.size(); at += chunk_bytes) {
      signatures.push_back(delta::make_signature(ByteView(old).subspan(at, chunk_bytes), {block_bytes, 6}));
      basis.push_back({{}, chunk_bytes});
      delta::BasisPart part{delta::parse_signature(signatures.back()), std::nullopt};
      if (in_place) part.expected_at = static_cast<std::int64_t>(at);
      parts.push_back(part);
    }
    for (std::size_t at = 0; at < content.size(); at += chunk_bytes)
      chunks.push_back({{}, static_cast<std::uint32_t>(std::min(chunk_bytes, content.size() - at))});
  }
};

const char* const change_names[] = {"identical", "1% pages", "inserted", "all new", "all new text"};

void match(benchmark::State& state) {
  const Window window(state.range(0), static_cast<std::uint32_t>(state.range(1)), state.range(2) != 0);
  delta::Matcher matcher;
  for (auto _ : state) benchmark::DoNotOptimize(matcher.match(window.content, window.parts).data());
  count_bytes(state, window.content.size());
  state.SetLabel(change_names[state.range(0)]);
}
BENCHMARK(match)->ArgNames({"change", "block", "in_place"})
    ->ArgsProduct({{identical, scattered_pages, inserted, all_new, all_new_text}, {512, 1024}, {1}})
    ->Args({identical, 512, 0});

void librsync_delta(benchmark::State& state) {
  const Window window(state.range(0), static_cast<std::uint32_t>(state.range(1)), true);
  const Bytes signature_file =
      run_job(rs_sig_begin(static_cast<std::size_t>(state.range(1)), 6, RS_RK_BLAKE2_SIG_MAGIC), window.old);
  rs_signature_t* signature = nullptr;
  run_job(rs_loadsig_begin(&signature), signature_file);
  rs_build_hash_table(signature);  // ours is made anew for each window: it is in its time
  for (auto _ : state) run_job(rs_delta_begin(signature), window.content);
  rs_free_sumset(signature);
  count_bytes(state, window.content.size());
  state.SetLabel(change_names[state.range(0)]);
}
BENCHMARK(librsync_delta)->ArgNames({"change", "block"})
    ->ArgsProduct({{identical, scattered_pages, inserted, all_new, all_new_text}, {512, 1024}});

// What the receiver pays: parse, unpack, librsync's patch (or zstd with a prefix).
void patch(benchmark::State& state) {
  const Window window(state.range(0), 512, true);
  delta::DeltaFrameBuilder builder(3);
  const bool prefix = state.range(1) != 0;
  delta::Matcher matcher;
  const Bytes frame =
      prefix ? builder.prefix(window.chunks, window.content, window.basis, window.old, limits::delta_frame_max)
             : builder.copies(window.chunks, window.content, window.basis, matcher.match(window.content, window.parts),
                              limits::delta_frame_max);
  delta::DeltaPatcher patcher;
  for (auto _ : state) benchmark::DoNotOptimize(patcher.rebuild(delta::parse_delta_frame(frame), window.old).data());
  count_bytes(state, window.content.size());
  state.SetLabel(change_names[state.range(0)]);
  state.counters["frame_bytes"] = static_cast<double>(frame.size());
}
BENCHMARK(patch)->ArgNames({"change", "prefix"})->ArgsProduct({{identical, scattered_pages, inserted, all_new_text}, {0, 1}});

// What the sender pays for a prefix frame.
void build_prefix(benchmark::State& state) {
  const Window window(state.range(0), 512, true);
  delta::DeltaFrameBuilder builder(static_cast<int>(state.range(1)));
  std::size_t bytes = 0;
  for (auto _ : state)
    bytes = builder.prefix(window.chunks, window.content, window.basis, window.old, limits::delta_frame_max).size();
  count_bytes(state, window.content.size());
  state.SetLabel(change_names[state.range(0)]);
  state.counters["frame_bytes"] = static_cast<double>(bytes);
}
BENCHMARK(build_prefix)->ArgNames({"change", "level"})->ArgsProduct({{identical, scattered_pages, inserted, all_new_text}, {3}});

const bool registered = [] {
  for (const delta::BlockSummer& summer : delta::block_summers())
    benchmark::RegisterBenchmark(("block_sums/" + std::string(summer.name)).c_str(),
                                 [summer](benchmark::State& state) { block_sums(state, summer); })
        ->ArgName("block")->Arg(64)->Arg(512)->Arg(1024)->Arg(4096)->Arg(65536);
  for (const delta::SumKernel* kernel : {&delta::portable_kernel(), delta::avx2_kernel(), delta::avx512_kernel()})
    if (kernel != nullptr)
      benchmark::RegisterBenchmark(("roll/" + std::string(kernel->name)).c_str(),
                                   [kernel](benchmark::State& state) { roll(state, *kernel); });
  return true;
}();

}  // namespace
