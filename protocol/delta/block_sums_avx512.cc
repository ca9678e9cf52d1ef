// The block sums with AVX-512: eight blocks at once for BLAKE2b, one 64-bit word of each per register.
#include "protocol/delta/blake2b.h"
#include "protocol/delta/sum_kernel.h"

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 warns of its own _mm512_undefined_*
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <cstring>

#define VMFERRY_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq")))
#define VMFERRY_AVX512_INLINE __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq"), always_inline)) inline

namespace vmferry::delta {
namespace {

constexpr std::size_t lanes = 8;

// Eight words of each of eight blocks become eight registers that hold the same word of every block.
VMFERRY_AVX512_INLINE void load_transposed(const std::byte* const* blocks, std::size_t at, __m512i* m) {
  __m512i r[8];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) r[i] = _mm512_loadu_si512(blocks[i] + at);
  __m512i pairs[8];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    pairs[2 * i] = _mm512_unpacklo_epi64(r[2 * i], r[2 * i + 1]);
    pairs[2 * i + 1] = _mm512_unpackhi_epi64(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (std::size_t odd = 0; odd < 2; ++odd) {
    // Words (odd, 2 + odd, 4 + odd, 6 + odd), one per 128 bits, of blocks 0..3 and 4..7.
    const __m512i low02 = _mm512_shuffle_i64x2(pairs[odd], pairs[2 + odd], 0x44);
    const __m512i high02 = _mm512_shuffle_i64x2(pairs[odd], pairs[2 + odd], 0xee);
    const __m512i low46 = _mm512_shuffle_i64x2(pairs[4 + odd], pairs[6 + odd], 0x44);
    const __m512i high46 = _mm512_shuffle_i64x2(pairs[4 + odd], pairs[6 + odd], 0xee);
    m[odd] = _mm512_shuffle_i64x2(low02, low46, 0x88);
    m[2 + odd] = _mm512_shuffle_i64x2(low02, low46, 0xdd);
    m[4 + odd] = _mm512_shuffle_i64x2(high02, high46, 0x88);
    m[6 + odd] = _mm512_shuffle_i64x2(high02, high46, 0xdd);
  }
}

VMFERRY_AVX512_INLINE void mix(__m512i& a, __m512i& b, __m512i& c, __m512i& d, __m512i x, __m512i y) {
  a = _mm512_add_epi64(_mm512_add_epi64(a, x), b);
  d = _mm512_ror_epi64(_mm512_xor_si512(d, a), 32);
  c = _mm512_add_epi64(c, d);
  b = _mm512_ror_epi64(_mm512_xor_si512(b, c), 24);
  a = _mm512_add_epi64(_mm512_add_epi64(a, y), b);
  d = _mm512_ror_epi64(_mm512_xor_si512(d, a), 16);
  c = _mm512_add_epi64(c, d);
  b = _mm512_ror_epi64(_mm512_xor_si512(b, c), 63);
}

template <std::size_t Round>
VMFERRY_AVX512_INLINE void mix_round(__m512i (&v)[16], const __m512i (&m)[16]) {
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

VMFERRY_AVX512 void compress(__m512i (&h)[8], const std::byte* const* blocks, std::size_t at,
                                    std::uint64_t counter, bool last) {
  __m512i m[16];
  load_transposed(blocks, at, m);
  load_transposed(blocks, at + 64, m + 8);
  __m512i v[16];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    v[i] = h[i];
    v[i + 8] = _mm512_set1_epi64(static_cast<long long>(blake2b::iv[i]));
  }
  v[12] = _mm512_xor_si512(v[12], _mm512_set1_epi64(static_cast<long long>(counter)));
  if (last) v[14] = _mm512_xor_si512(v[14], _mm512_set1_epi64(-1));
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
  for (std::size_t i = 0; i < 8; ++i) h[i] = _mm512_ternarylogic_epi64(h[i], v[i], v[i + 8], 0x96);
}

VMFERRY_AVX512 void strong(const std::byte* const* given, std::size_t count, std::size_t block_bytes, StrongSum* sums) {
  if (count == 1) return portable_kernel().strong(given, count, block_bytes, sums);
  const std::byte* blocks[lanes];
  for (std::size_t i = 0; i < lanes; ++i) blocks[i] = given[i < count ? i : 0];
  __m512i h[8];
  for (std::size_t i = 0; i < 8; ++i) h[i] = _mm512_set1_epi64(static_cast<long long>(blake2b::iv[i]));
  h[0] = _mm512_xor_si512(h[0], _mm512_set1_epi64(static_cast<long long>(blake2b::parameters)));
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
  alignas(64) std::uint64_t words[4][lanes];
  for (std::size_t i = 0; i < 4; ++i) _mm512_store_si512(words[i], h[i]);
  for (std::size_t lane = 0; lane < count; ++lane)
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(sums[lane].data() + 8 * i, &words[i][lane], 8);
}

// Modulo 2^32: gcc's _mm512_reduce_add_epi32 adds signed numbers, whose overflow is undefined.
VMFERRY_AVX512_INLINE std::uint32_t added_up(__m512i numbers) {
  const __m256i eight = _mm256_add_epi32(_mm512_castsi512_si256(numbers), _mm512_extracti64x4_epi64(numbers, 1));
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(four));
}

// Horner's rule in 64 columns: lane k of accumulator j gathers bytes 16 j + k of every 64.
VMFERRY_AVX512 std::uint32_t weak(const std::byte* block, std::size_t block_bytes) {
  alignas(64) static constexpr auto weights = [] {
    std::array<std::uint32_t, 64> powers{};
    for (std::size_t i = 0; i < powers.size(); ++i) powers[i] = weak_power(63 - i);
    return powers;
  }();
  std::uint32_t sum = 0;
  std::size_t done = 0;
  if (block_bytes >= 64) {
    const __m512i stride = _mm512_set1_epi32(static_cast<int>(weak_power(64)));
    __m512i columns[4];
    for (__m512i& column : columns) column = _mm512_setzero_si512();
    for (; block_bytes - done >= 64; done += 64) {
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + done + 16 * j));
        columns[j] = _mm512_add_epi32(_mm512_mullo_epi32(columns[j], stride), _mm512_cvtepu8_epi32(bytes));
      }
    }
    __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j)
      total = _mm512_add_epi32(total, _mm512_mullo_epi32(columns[j], _mm512_load_si512(weights.data() + 16 * j)));
    sum = added_up(total);
  }
  for (; done < block_bytes; ++done) sum = sum * weak_multiplier + std::to_integer<std::uint32_t>(block[done]);
  return sum;
}

// weak_multiplier is odd, so it has an inverse, and sixteen steps become one sum over prefixes: with d(i) what step i
// adds,
//   sum(k) = M^k (sum(0) + d(1) M^-1 + ... + d(k) M^-k).
constexpr std::uint32_t weak_inverse = [] {
  std::uint32_t inverse = 1;
  for (int i = 0; i < 5; ++i) inverse *= 2 - weak_multiplier * inverse;  // doubles the right bits each time
  return inverse;
}();
static_assert(weak_inverse * weak_multiplier == 1);

struct StepPowers {
  alignas(64) std::array<std::uint32_t, 16> forward{};
  alignas(64) std::array<std::uint32_t, 16> back{};
};

template <int Lanes>
VMFERRY_AVX512_INLINE __m512i add_shifted(__m512i prefix) {
  return _mm512_add_epi32(prefix, _mm512_alignr_epi32(prefix, _mm512_setzero_si512(), 16 - Lanes));
}

VMFERRY_AVX512 std::uint32_t roll(const WeakRoll& rolled, const std::byte* window, std::uint32_t sum,
                                  std::size_t steps, WeakHits& hits) {
  static constexpr StepPowers powers = [] {
    StepPowers made;
    std::uint32_t forward = 1;
    std::uint32_t back = 1;
    for (std::size_t i = 0; i < 16; ++i) {
      made.forward[i] = forward *= weak_multiplier;
      made.back[i] = back *= weak_inverse;
    }
    return made;
  }();
  const __m512i forward = _mm512_load_si512(powers.forward.data());
  const __m512i back = _mm512_load_si512(powers.back.data());
  const __m512i power = _mm512_set1_epi32(static_cast<int>(rolled.power));
  const __m512i seed_part = _mm512_set1_epi32(static_cast<int>(rolled.leaving[0]));
  const __m512i last_lane = _mm512_set1_epi32(15);
  const __m512i one = _mm512_set1_epi32(1);
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(rolled.filter_shift));
  __m512i step_numbers = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
  __m512i before = _mm512_set1_epi32(static_cast<int>(sum));
  std::size_t done = 0;
  std::size_t count = 0;
  for (; steps - done >= 16; done += 16) {
    const __m512i leaving =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(window + done)));
    const __m512i entering = _mm512_cvtepu8_epi32(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(window + rolled.block_bytes + done)));
    __m512i prefix = _mm512_sub_epi32(_mm512_sub_epi32(entering, seed_part), _mm512_mullo_epi32(leaving, power));
    prefix = _mm512_mullo_epi32(prefix, back);
    prefix = add_shifted<1>(prefix);
    prefix = add_shifted<2>(prefix);
    prefix = add_shifted<4>(prefix);
    prefix = add_shifted<8>(prefix);
    const __m512i sums = _mm512_mullo_epi32(_mm512_add_epi32(before, prefix), forward);
    before = _mm512_permutexvar_epi32(last_lane, sums);
    const __m512i bits = _mm512_srl_epi32(sums, shift);
    const __m512i words = _mm512_i32gather_epi32(_mm512_srli_epi32(bits, 5), rolled.filter, 4);
    const __mmask16 passed =
        _mm512_test_epi32_mask(words, _mm512_sllv_epi32(one, _mm512_and_si512(bits, _mm512_set1_epi32(31))));
    _mm512_storeu_si512(hits.step.data() + count, _mm512_maskz_compress_epi32(passed, step_numbers));
    _mm512_storeu_si512(hits.sum.data() + count, _mm512_maskz_compress_epi32(passed, sums));
    count += static_cast<std::size_t>(__builtin_popcount(passed));
    step_numbers = _mm512_add_epi32(step_numbers, _mm512_set1_epi32(16));
  }
  sum = static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(before)));
  for (; done < steps; ++done) {
    sum = sum * weak_multiplier + (std::to_integer<std::uint32_t>(window[rolled.block_bytes + done]) -
                                   rolled.leaving[std::to_integer<std::size_t>(window[done])]);
    hits.step[count] = static_cast<std::uint32_t>(done + 1);
    hits.sum[count] = sum;
    count += rolled.passes(sum) ? 1 : 0;
  }
  hits.count = count;
  return sum;
}

constexpr SumKernel kernel{"avx512", &weak, &strong, &roll};

}  // namespace

const SumKernel* avx512_kernel() noexcept {
  static const bool here = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") &&
                           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                           __builtin_cpu_supports("avx512dq");
  return here ? &kernel : nullptr;
}

}  // namespace vmferry::delta

#else

namespace vmferry::delta {
const SumKernel* avx512_kernel() noexcept { return nullptr; }
}  // namespace vmferry::delta

#endif
