// Signature: the sums of a chunk's blocks: what a delta needs to know of a chunk that is not at hand. Signatures of chunks
// that follow each other join into one librsync signature, because each covers only its chunk's whole blocks.
// docs/format/signature.md has the encoding with worked hex:
//   version u8 (1) | strong bytes u8 | u16 0 | block bytes u32 | chunk bytes u32 | per whole block: weak (4, big-endian), strong
#pragma once

#include <cstdint>
#include <span>

#include "protocol/bytes.h"
#include "protocol/delta/block_sums.h"

namespace vmferry::delta {

struct SignatureParameters {
  std::uint32_t block_bytes = 512;  // 64 .. 65536
  std::uint8_t strong_bytes = 6;    // 4 .. 32; a false match is caught by the chunk's id
  bool operator==(const SignatureParameters&) const = default;
};

// Views into the encoded bytes.
struct SignatureView {
  SignatureParameters parameters;
  std::uint32_t chunk_bytes = 0;  // at most limits::chunk_size_max
  ByteView entries;

  std::size_t entry_bytes() const noexcept { return weak_sum_bytes + parameters.strong_bytes; }
  std::size_t blocks() const noexcept { return entries.size() / entry_bytes(); }
  // The part of the chunk that can be copied from: its whole blocks.
  std::uint32_t basis_bytes() const noexcept { return static_cast<std::uint32_t>(blocks() * parameters.block_bytes); }
};

Bytes make_signature(ByteView chunk, const SignatureParameters& parameters);
// Error{malformed} for anything that make_signature does not make.
SignatureView parse_signature(ByteView encoded);

// librsync's file formats, for its programs and for tests: a signature of the concatenated basis parts of these chunks
// (all of the same parameters); and the entries of such a file.
Bytes to_librsync_signature(std::span<const SignatureView> signatures);
struct LibrsyncSignature {
  SignatureParameters parameters;
  Bytes entries;
};
LibrsyncSignature parse_librsync_signature(ByteView file);  // Error{malformed}, Error{unsupported} for MD4 or rollsum

}  // namespace vmferry::delta
