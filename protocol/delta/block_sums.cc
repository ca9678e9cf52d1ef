#include "protocol/delta/block_sums.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "protocol/delta/blake2b.h"
#include "protocol/delta/sum_kernel.h"

namespace vmferry::delta {
namespace {

std::uint32_t weak_portable(const std::byte* block, std::size_t block_bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < block_bytes; ++i) sum = sum * weak_multiplier + std::to_integer<std::uint32_t>(block[i]);
  return sum;
}

std::uint64_t load_little_endian(const std::byte* from) {
  std::uint64_t value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
  return value;
}

void compress(std::uint64_t (&h)[8], const std::byte* block, std::uint64_t counter, bool last) {
  std::uint64_t m[16];
  for (std::size_t i = 0; i < 16; ++i) m[i] = load_little_endian(block + 8 * i);
  std::uint64_t v[16];
  for (std::size_t i = 0; i < 8; ++i) {
    v[i] = h[i];
    v[i + 8] = blake2b::iv[i];
  }
  v[12] ^= counter;
  if (last) v[14] = ~v[14];
#pragma GCC unroll 12
  for (std::size_t round = 0; round < 12; ++round) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) {
      std::uint64_t& a = v[blake2b::mixed[i][0]];
      std::uint64_t& b = v[blake2b::mixed[i][1]];
      std::uint64_t& c = v[blake2b::mixed[i][2]];
      std::uint64_t& d = v[blake2b::mixed[i][3]];
      a += b + m[blake2b::sigma[round][2 * i]];
      d = std::rotr(d ^ a, 32);
      c += d;
      b = std::rotr(b ^ c, 24);
      a += b + m[blake2b::sigma[round][2 * i + 1]];
      d = std::rotr(d ^ a, 16);
      c += d;
      b = std::rotr(b ^ c, 63);
    }
  }
  for (std::size_t i = 0; i < 8; ++i) h[i] ^= v[i] ^ v[i + 8];
}

StrongSum strong_of(const std::byte* content, std::size_t length) {
  std::uint64_t h[8];
  std::copy(blake2b::iv.begin(), blake2b::iv.end(), h);
  h[0] ^= blake2b::parameters;
  std::size_t done = 0;
  for (; length - done > blake2b::block_bytes; done += blake2b::block_bytes)
    compress(h, content + done, done + blake2b::block_bytes, false);
  std::byte last[blake2b::block_bytes] = {};
  if (length > done) std::memcpy(last, content + done, length - done);
  compress(h, last, length, true);
  StrongSum sum;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = static_cast<std::byte>(h[i / 8] >> (8 * (i % 8)) & 0xff);
  return sum;
}

void strong_portable(const std::byte* const* blocks, std::size_t count, std::size_t block_bytes, StrongSum* sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] = strong_of(blocks[i], block_bytes);
}

std::uint32_t roll_portable(const WeakRoll& roll, const std::byte* window, std::uint32_t sum, std::size_t steps,
                            WeakHits& hits) {
  const std::byte* entering = window + roll.block_bytes;
  std::size_t count = 0;
  for (std::size_t step = 0; step < steps; ++step) {
    sum = sum * weak_multiplier +
          (std::to_integer<std::uint32_t>(entering[step]) - roll.leaving[std::to_integer<std::size_t>(window[step])]);
    hits.step[count] = static_cast<std::uint32_t>(step + 1);
    hits.sum[count] = sum;
    count += roll.passes(sum) ? 1 : 0;
  }
  hits.count = count;
  return sum;
}

void append_with(const SumKernel& kernel, ByteView content, std::uint32_t block_bytes, std::size_t strong_bytes,
                 Bytes& entries) {
  if (block_bytes == 0 || strong_bytes == 0 || strong_bytes > strong_sum_bytes_max)
    throw std::logic_error("no such block sums");
  const std::size_t blocks = content.size() / block_bytes;
  std::size_t at = entries.size();
  entries.resize(at + blocks * (weak_sum_bytes + strong_bytes));
  const std::uint32_t seed_part = weak_seed * weak_power(block_bytes);
  for (std::size_t first = 0; first < blocks; first += sum_lanes_max) {
    const std::size_t count = std::min(sum_lanes_max, blocks - first);
    const std::byte* lanes[sum_lanes_max];
    StrongSum strong[sum_lanes_max];
    for (std::size_t i = 0; i < count; ++i) lanes[i] = content.data() + (first + i) * block_bytes;
    kernel.strong(lanes, count, block_bytes, strong);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t weak = kernel.weak(lanes[i], block_bytes) + seed_part;
      for (std::size_t b = 0; b < weak_sum_bytes; ++b)
        entries[at++] = static_cast<std::byte>(weak >> (24 - 8 * b) & 0xff);
      std::memcpy(&entries[at], strong[i].data(), strong_bytes);
      at += strong_bytes;
    }
  }
}

// A BlockSummer's function knows nothing but its arguments: one function per kernel.
template <const SumKernel* (*Kernel)() noexcept>
void append_by(ByteView content, std::uint32_t block_bytes, std::size_t strong_bytes, Bytes& entries) {
  append_with(*Kernel(), content, block_bytes, strong_bytes, entries);
}

const SumKernel* portable_kernel_pointer() noexcept { return &portable_kernel(); }

}  // namespace

std::uint32_t weak_sum(ByteView block) noexcept {
  return weak_portable(block.data(), block.size()) + weak_seed * weak_power(block.size());
}

StrongSum strong_sum(ByteView block) noexcept { return strong_of(block.data(), block.size()); }

void WeakRoll::set_block_bytes(std::size_t bytes) noexcept {
  block_bytes = bytes;
  power = weak_power(bytes);
  for (std::uint32_t byte = 0; byte < leaving.size(); ++byte)
    leaving[byte] = power * (byte + weak_seed * (weak_multiplier - 1));
}

const SumKernel& portable_kernel() noexcept {
  static constexpr SumKernel kernel{"portable", &weak_portable, &strong_portable, &roll_portable};
  return kernel;
}

const SumKernel& fastest_kernel() noexcept {
  static const SumKernel& fastest = avx512_kernel() != nullptr ? *avx512_kernel()
                                    : avx2_kernel() != nullptr ? *avx2_kernel()
                                                               : portable_kernel();
  return fastest;
}

std::vector<BlockSummer> block_summers() {
  std::vector<BlockSummer> summers = {{portable_kernel().name, &append_by<&portable_kernel_pointer>}};
  if (avx2_kernel() != nullptr) summers.push_back({avx2_kernel()->name, &append_by<&avx2_kernel>});
  if (avx512_kernel() != nullptr) summers.push_back({avx512_kernel()->name, &append_by<&avx512_kernel>});
  return summers;
}

void append_block_sums(ByteView content, std::uint32_t block_bytes, std::size_t strong_bytes, Bytes& entries) {
  append_with(fastest_kernel(), content, block_bytes, strong_bytes, entries);
}

}  // namespace vmferry::delta
