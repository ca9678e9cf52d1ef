// Compression: the adapter of zstd; nothing else includes the vendor's header. Each object keeps its context, so
// reuse it; one thread each. The bytes are one zstd frame with its content's size and no checksum: our formats have
// their own.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"

namespace vmferry {

class Compressor {
 public:
  explicit Compressor(int level);
  ~Compressor();
  Compressor(Compressor&&) noexcept;

  int level() const noexcept;
  void set_level(int level);
  // Into `out`, whole; how many bytes of it, or nullopt where they do not fit. With a prefix, content is compressed
  // as what follows those bytes: matches reach back to the prefix' first byte, and only who has it can decompress.
  std::optional<std::size_t> compress(ByteView content, std::span<std::byte> out, ByteView prefix = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;

  // Into `out`; how many bytes of it, or nullopt (and `why`) where that is no zstd or more than fits. Takes no memory
  // that grows with what `packed` claims.
  std::optional<std::size_t> decompress(ByteView packed, std::span<std::byte> out, ByteView prefix, std::string& why);
  // How many of these bytes belong to the zstd frame that they begin with; 0 for none.
  static std::size_t frame_bytes(ByteView packed) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry
