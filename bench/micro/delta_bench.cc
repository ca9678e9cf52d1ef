// Deltas: sums per implementation beside librsync's signature, the matcher beside librsync's delta job, the patch.
#include <benchmark/benchmark.h>
#include <librsync.h>

#include <stdexcept>

#include "protocol/delta/block_sums.h"
#include "tests/support/content.h"

namespace {

using namespace vmferry;

constexpr std::size_t content_bytes = 1 << 20;

// A librsync job over memory, its output thrown away or kept.
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

void librsync_signature(benchmark::State& state) {
  const Bytes content = test::random_bytes(1, content_bytes);
  for (auto _ : state)
    run_job(rs_sig_begin(static_cast<std::size_t>(state.range(0)), 6, RS_RK_BLAKE2_SIG_MAGIC), content);
  count_bytes(state, content.size());
}
BENCHMARK(librsync_signature)->ArgName("block")->Arg(512)->Arg(1024)->Arg(4096);

const bool registered = [] {
  for (const delta::BlockSummer& summer : delta::block_summers())
    benchmark::RegisterBenchmark(("block_sums/" + std::string(summer.name)).c_str(),
                                 [summer](benchmark::State& state) { block_sums(state, summer); })
        ->ArgName("block")->Arg(64)->Arg(512)->Arg(1024)->Arg(4096)->Arg(65536);
  return true;
}();

}  // namespace
