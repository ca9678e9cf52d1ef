// Signature: the sums of a chunk's blocks: what a delta needs to know of a chunk that is not at hand. Signatures of chunks
// that follow each other join into one librsync signature, because the sums cover only a chunk's whole blocks; what lies
// between and after them has fine sums (protocol/delta/fine_sums.h).
// docs/format/signature.md has the encoding with worked hex:
//   version u8 (1) | strong bytes u8 | fine bytes u16 | block bytes u32 | chunk bytes u32
//   per whole block: weak (4, big-endian), strong | per fine block, where fine bytes is not 0: u16
#pragma once

#include <cstdint>
#include <span>

#include "protocol/bytes.h"
#include "protocol/delta/block_sums.h"
#include "protocol/delta/fine_sums.h"

namespace vmferry::delta {

struct SignatureParameters {
  std::uint32_t block_bytes = 512;  // 64 .. 65536
  std::uint8_t strong_bytes = 6;    // 4 .. 32; a false match is caught by the chunk's id
  std::uint16_t fine_bytes = 0;     // of a fine block: 0 (there are none), or 16 .. 4096
  bool operator==(const SignatureParameters&) const = default;
};

// How backups sign chunks: chosen by measurement (docs/decisions/0005-deltas.md).
inline constexpr SignatureParameters chunk_signing{512, 6, 64};

// Views into the encoded bytes.
struct SignatureView {
  SignatureParameters parameters;
  std::uint32_t chunk_bytes = 0;  // at most limits::chunk_size_max
  ByteView entries;
  ByteView fine;

  std::size_t entry_bytes() const noexcept { return weak_sum_bytes + parameters.strong_bytes; }
  std::size_t blocks() const noexcept { return entries.size() / entry_bytes(); }
  std::size_t fine_blocks() const noexcept { return fine.size() / fine_sum_bytes; }
  std::uint32_t fine_block_bytes(std::size_t block) const noexcept {
    const auto begin = static_cast<std::uint32_t>(block * parameters.fine_bytes);
    return chunk_bytes - begin < parameters.fine_bytes ? chunk_bytes - begin : parameters.fine_bytes;
  }
  std::uint16_t fine_sum(std::size_t block) const noexcept {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(fine[2 * block]) |
                                      std::to_integer<unsigned>(fine[2 * block + 1]) << 8);
  }
  // The part of the chunk that can be copied from: its whole blocks; all of it where there are fine sums.
  std::uint32_t basis_bytes() const noexcept {
    return fine.empty() ? static_cast<std::uint32_t>(blocks() * parameters.block_bytes) : chunk_bytes;
  }
};

Bytes make_signature(ByteView chunk, const SignatureParameters& parameters);
// Error{malformed} for anything that make_signature does not make.
SignatureView parse_signature(ByteView encoded);

// librsync's file formats, for its programs and for tests: a signature of these chunks' whole blocks, one after another
// (all of the same parameters); and the entries of such a file.
Bytes to_librsync_signature(std::span<const SignatureView> signatures);
struct LibrsyncSignature {
  SignatureParameters parameters;
  Bytes entries;
};
LibrsyncSignature parse_librsync_signature(ByteView file);  // Error{malformed}, Error{unsupported} for MD4 or rollsum

}  // namespace vmferry::delta
