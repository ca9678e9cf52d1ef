#include "protocol/compression.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <new>

namespace vmferry {
namespace {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

}  // namespace

struct Compressor::State {
  std::unique_ptr<ZSTD_CCtx, FreeWith<ZSTD_freeCCtx>> zstd{ZSTD_createCCtx()};
  int level = 0;

  void set(ZSTD_cParameter parameter, int value) { ZSTD_CCtx_setParameter(zstd.get(), parameter, value); }
  void reach_over(std::size_t bytes);
  void reach_as_the_level_says();
};

// A level's own window and tables are made for content that is alone: they would forget the prefix' beginning.
void Compressor::State::reach_over(std::size_t bytes) {
  const int log = std::clamp(static_cast<int>(std::bit_width(bytes)), 10, 27);
  set(ZSTD_c_windowLog, log);
  set(ZSTD_c_hashLog, std::clamp(log, 12, 22));
  set(ZSTD_c_enableLongDistanceMatching, log > 23 ? 1 : 0);  // for less, the level's own search reaches
}

void Compressor::State::reach_as_the_level_says() {
  set(ZSTD_c_windowLog, 0);
  set(ZSTD_c_hashLog, 0);
  set(ZSTD_c_enableLongDistanceMatching, 0);
}

Compressor::Compressor(int level) : state_(std::make_unique<State>()) {
  if (state_->zstd == nullptr) throw std::bad_alloc();
  state_->set(ZSTD_c_checksumFlag, 0);
  set_level(level);
}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;

int Compressor::level() const noexcept { return state_->level; }
void Compressor::set_level(int level) {
  state_->level = level;
  state_->set(ZSTD_c_compressionLevel, level);
}

std::optional<std::size_t> Compressor::compress(ByteView content, std::span<std::byte> out, ByteView prefix) {
  ZSTD_CCtx* zstd = state_->zstd.get();
  if (!prefix.empty()) {
    state_->reach_over(prefix.size() + content.size());
    ZSTD_CCtx_refPrefix(zstd, prefix.data(), prefix.size());  // for the next call only
  }
  const std::size_t packed = ZSTD_compress2(zstd, out.data(), out.size(), content.data(), content.size());
  if (!prefix.empty()) state_->reach_as_the_level_says();
  if (ZSTD_isError(packed) != 0) return std::nullopt;
  return packed;
}

struct Decompressor::State {
  std::unique_ptr<ZSTD_DCtx, FreeWith<ZSTD_freeDCtx>> zstd{ZSTD_createDCtx()};
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {
  if (state_->zstd == nullptr) throw std::bad_alloc();
}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;

std::size_t Decompressor::frame_bytes(ByteView packed) noexcept {
  const std::size_t bytes = ZSTD_findFrameCompressedSize(packed.data(), packed.size());
  return ZSTD_isError(bytes) != 0 ? 0 : bytes;
}

std::optional<std::size_t> Decompressor::decompress(ByteView packed, std::span<std::byte> out, ByteView prefix,
                                                    std::string& why) {
  ZSTD_DCtx* zstd = state_->zstd.get();
  ZSTD_DCtx_refPrefix(zstd, prefix.data(), prefix.size());  // for the next call only; an empty one is none
  const std::size_t got = ZSTD_decompressDCtx(zstd, out.data(), out.size(), packed.data(), packed.size());
  ZSTD_DCtx_refPrefix(zstd, nullptr, 0);  // a failed call would keep a view of the caller's bytes
  if (ZSTD_isError(got) == 0) return got;
  why = ZSTD_getErrorName(got);
  return std::nullopt;
}

}  // namespace vmferry
