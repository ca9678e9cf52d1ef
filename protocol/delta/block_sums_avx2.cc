// The block sums with AVX2: four blocks at once for BLAKE2b, one 64-bit word of each per register.
#include "protocol/delta/blake2b.h"
#include "protocol/delta/sum_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#define VMFERRY_AVX2 __attribute__((target("avx2")))
#define VMFERRY_AVX2_INLINE __attribute__((target("avx2"), always_inline)) inline

namespace vmferry::delta {
namespace {

constexpr std::size_t lanes = 4;

VMFERRY_AVX2_INLINE __m256i load(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// Four words of each of four blocks become four registers that hold the same word of every block.
VMFERRY_AVX2_INLINE void load_transposed(const std::byte* const* blocks, std::size_t at, __m256i* m) {
  const __m256i r0 = load(blocks[0] + at);
  const __m256i r1 = load(blocks[1] + at);
  const __m256i r2 = load(blocks[2] + at);
  const __m256i r3 = load(blocks[3] + at);
  const __m256i even01 = _mm256_unpacklo_epi64(r0, r1);
  const __m256i odd01 = _mm256_unpackhi_epi64(r0, r1);
  const __m256i even23 = _mm256_unpacklo_epi64(r2, r3);
  const __m256i odd23 = _mm256_unpackhi_epi64(r2, r3);
  m[0] = _mm256_permute2x128_si256(even01, even23, 0x20);
  m[1] = _mm256_permute2x128_si256(odd01, odd23, 0x20);
  m[2] = _mm256_permute2x128_si256(even01, even23, 0x31);
  m[3] = _mm256_permute2x128_si256(odd01, odd23, 0x31);
}

// AVX2 has no rotation: by whole bytes it is a shuffle, by 63 an addition and a shift.
VMFERRY_AVX2_INLINE void mix(__m256i& a, __m256i& b, __m256i& c, __m256i& d, __m256i x, __m256i y) {
  const __m256i by24 = _mm256_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
                                        3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10);
  const __m256i by16 = _mm256_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
                                        2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);
  a = _mm256_add_epi64(_mm256_add_epi64(a, x), b);
  d = _mm256_shuffle_epi32(_mm256_xor_si256(d, a), 0xb1);
  c = _mm256_add_epi64(c, d);
  b = _mm256_shuffle_epi8(_mm256_xor_si256(b, c), by24);
  a = _mm256_add_epi64(_mm256_add_epi64(a, y), b);
  d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), by16);
  c = _mm256_add_epi64(c, d);
  b = _mm256_xor_si256(b, c);
  b = _mm256_or_si256(_mm256_add_epi64(b, b), _mm256_srli_epi64(b, 63));
}

template <std::size_t Round>
VMFERRY_AVX2_INLINE void mix_round(__m256i (&v)[16], const __m256i (&m)[16]) {
  constexpr auto& s = blake2b::sigma[Round];
  mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
  mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
  mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
  mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
  mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
  mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
  mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
  mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
}

VMFERRY_AVX2 void compress(__m256i (&h)[8], const std::byte* const* blocks, std::size_t at,
                                  std::uint64_t counter, bool last) {
  __m256i m[16];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) load_transposed(blocks, at + 32 * i, m + 4 * i);
  __m256i v[16];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    v[i] = h[i];
    v[i + 8] = _mm256_set1_epi64x(static_cast<long long>(blake2b::iv[i]));
  }
  v[12] = _mm256_xor_si256(v[12], _mm256_set1_epi64x(static_cast<long long>(counter)));
  if (last) v[14] = _mm256_xor_si256(v[14], _mm256_set1_epi64x(-1));
  mix_round<0>(v, m);
  mix_round<1>(v, m);
  mix_round<2>(v, m);
  mix_round<3>(v, m);
  mix_round<4>(v, m);
  mix_round<5>(v, m);
  mix_round<6>(v, m);
  mix_round<7>(v, m);
  mix_round<8>(v, m);
  mix_round<9>(v, m);
  mix_round<10>(v, m);
  mix_round<11>(v, m);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) h[i] = _mm256_xor_si256(h[i], _mm256_xor_si256(v[i], v[i + 8]));
}

VMFERRY_AVX2 void strong_of_four(const std::byte* const* given, std::size_t count, std::size_t block_bytes,
                                 StrongSum* sums) {
  const std::byte* blocks[lanes];
  for (std::size_t i = 0; i < lanes; ++i) blocks[i] = given[i < count ? i : 0];
  __m256i h[8];
  for (std::size_t i = 0; i < 8; ++i) h[i] = _mm256_set1_epi64x(static_cast<long long>(blake2b::iv[i]));
  h[0] = _mm256_xor_si256(h[0], _mm256_set1_epi64x(static_cast<long long>(blake2b::parameters)));
  std::size_t done = 0;
  for (; block_bytes - done > blake2b::block_bytes; done += blake2b::block_bytes)
    compress(h, blocks, done, done + blake2b::block_bytes, false);
  const std::size_t rest = block_bytes - done;
  if (rest == blake2b::block_bytes) {
    compress(h, blocks, done, block_bytes, true);
  } else {
    std::byte padded[lanes][blake2b::block_bytes] = {};
    const std::byte* last[lanes];
    for (std::size_t i = 0; i < lanes; ++i) {
      if (rest != 0) std::memcpy(padded[i], blocks[i] + done, rest);
      last[i] = padded[i];
    }
    compress(h, last, 0, block_bytes, true);
  }
  alignas(32) std::uint64_t words[4][lanes];
  for (std::size_t i = 0; i < 4; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(words[i]), h[i]);
  for (std::size_t lane = 0; lane < count; ++lane)
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(sums[lane].data() + 8 * i, &words[i][lane], 8);
}

VMFERRY_AVX2 void strong(const std::byte* const* blocks, std::size_t count, std::size_t block_bytes, StrongSum* sums) {
  for (std::size_t first = 0; first < count; first += lanes) {
    const std::size_t these = count - first < lanes ? count - first : lanes;
    if (these == 1)
      portable_kernel().strong(blocks + first, 1, block_bytes, sums + first);
    else
      strong_of_four(blocks + first, these, block_bytes, sums + first);
  }
}

// Horner's rule in 64 columns: lane k of accumulator j gathers bytes 8 j + k of every 64.
VMFERRY_AVX2 std::uint32_t weak(const std::byte* block, std::size_t block_bytes) {
  alignas(32) static constexpr auto weights = [] {
    std::array<std::uint32_t, 64> powers{};
    for (std::size_t i = 0; i < powers.size(); ++i) powers[i] = weak_power(63 - i);
    return powers;
  }();
  std::uint32_t sum = 0;
  std::size_t done = 0;
  if (block_bytes >= 64) {
    const __m256i stride = _mm256_set1_epi32(static_cast<int>(weak_power(64)));
    __m256i columns[8];
    for (__m256i& column : columns) column = _mm256_setzero_si256();
    for (; block_bytes - done >= 64; done += 64) {
#pragma GCC unroll 8
      for (std::size_t j = 0; j < 8; ++j) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(block + done + 8 * j));
        columns[j] = _mm256_add_epi32(_mm256_mullo_epi32(columns[j], stride), _mm256_cvtepu8_epi32(bytes));
      }
    }
    __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      const __m256i weight = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights.data() + 8 * j));
      total = _mm256_add_epi32(total, _mm256_mullo_epi32(columns[j], weight));
    }
    alignas(32) std::uint32_t parts[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(parts), total);
    for (const std::uint32_t part : parts) sum += part;
  }
  for (; done < block_bytes; ++done) sum = sum * weak_multiplier + std::to_integer<std::uint32_t>(block[done]);
  return sum;
}

}  // namespace

const SumKernel* avx2_kernel() noexcept {
  static const bool here = __builtin_cpu_supports("avx2") != 0;
  static const SumKernel kernel{"avx2", &weak, &strong, portable_kernel().roll};
  return here ? &kernel : nullptr;
}

}  // namespace vmferry::delta

#else

namespace vmferry::delta {
const SumKernel* avx2_kernel() noexcept { return nullptr; }
}  // namespace vmferry::delta

#endif
