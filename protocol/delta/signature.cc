#include "protocol/delta/signature.h"

#include <stdexcept>
#include <string>

#include "protocol/delta/librsync_delta.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::delta {
namespace {

constexpr std::uint8_t version = 1;
constexpr std::uint32_t block_bytes_min = 64;
constexpr std::uint32_t block_bytes_max = 65536;
constexpr std::uint8_t strong_bytes_min = 4;
constexpr std::uint16_t fine_bytes_min = 16;
constexpr std::uint16_t fine_bytes_max = 4096;

// librsync's RS_RK_BLAKE2_SIG_MAGIC, and the other three: all begin alike.
constexpr std::uint32_t rk_blake2_magic = 0x72730147;
constexpr std::uint32_t other_magics[] = {0x72730136, 0x72730137, 0x72730146};

bool allowed(const SignatureParameters& parameters) {
  return parameters.block_bytes >= block_bytes_min && parameters.block_bytes <= block_bytes_max &&
         parameters.strong_bytes >= strong_bytes_min && parameters.strong_bytes <= strong_sum_bytes_max &&
         (parameters.fine_bytes == 0 || (parameters.fine_bytes >= fine_bytes_min && parameters.fine_bytes <= fine_bytes_max));
}

void check(bool holds, std::string_view why) {
  if (!holds) throw Error(ErrorCode::malformed, "cannot read a signature", {}, std::string(why));
}

std::uint32_t get_big_endian(ByteReader& in) { return __builtin_bswap32(in.u32()); }

}  // namespace

Bytes make_signature(ByteView chunk, const SignatureParameters& parameters) {
  if (!allowed(parameters) || chunk.size() > limits::chunk_size_max)
    throw std::logic_error("no signature of these parameters, or of so long a chunk");
  ByteWriter header;
  const std::size_t fine_blocks = parameters.fine_bytes == 0 ? 0 : chunk.size() / parameters.fine_bytes + 1;
  header.reserve(12 + chunk.size() / parameters.block_bytes * (weak_sum_bytes + parameters.strong_bytes) +
                 fine_blocks * fine_sum_bytes);
  header.u8(version);
  header.u8(parameters.strong_bytes);
  header.u16(parameters.fine_bytes);
  header.u32(parameters.block_bytes);
  header.u32(static_cast<std::uint32_t>(chunk.size()));
  Bytes encoded = std::move(header).take();
  append_block_sums(chunk, parameters.block_bytes, parameters.strong_bytes, encoded);
  if (parameters.fine_bytes != 0) append_fine_sums(chunk, parameters.fine_bytes, encoded);
  return encoded;
}

SignatureView parse_signature(ByteView encoded) {
  ByteReader in(encoded, "a signature");
  check(in.u8() == version, "unknown version");
  SignatureView signature;
  signature.parameters.strong_bytes = in.u8();
  signature.parameters.fine_bytes = in.u16();
  signature.parameters.block_bytes = in.u32();
  signature.chunk_bytes = in.u32();
  check(allowed(signature.parameters), "bad parameters");
  check(signature.chunk_bytes <= limits::chunk_size_max, "bad chunk length");
  const std::size_t blocks = signature.chunk_bytes / signature.parameters.block_bytes;
  signature.entries = in.bytes(blocks * signature.entry_bytes());
  if (const std::uint32_t fine_bytes = signature.parameters.fine_bytes; fine_bytes != 0)
    signature.fine = in.bytes((signature.chunk_bytes + fine_bytes - 1) / fine_bytes * fine_sum_bytes);
  in.expect_end();
  return signature;
}

Bytes to_librsync_signature(std::span<const SignatureView> signatures) {
  if (signatures.empty()) throw std::logic_error("a signature of nothing has no parameters");
  const SignatureParameters& parameters = signatures.front().parameters;
  ByteWriter out;
  put_big_endian(out, rk_blake2_magic, 4);
  put_big_endian(out, parameters.block_bytes, 4);
  put_big_endian(out, parameters.strong_bytes, 4);
  for (const SignatureView& signature : signatures) {
    if (signature.parameters != parameters) throw std::logic_error("signatures of different parameters do not join");
    out.bytes(signature.entries);
  }
  return std::move(out).take();
}

LibrsyncSignature parse_librsync_signature(ByteView file) {
  ByteReader in(file, "a librsync signature");
  const std::uint32_t magic = get_big_endian(in);
  for (const std::uint32_t other : other_magics)
    if (magic == other)
      throw Error(ErrorCode::unsupported, "cannot read a librsync signature", {},
                  "it has MD4 or rollsum sums: make it with 'rdiff -R rabinkarp -H blake2 signature'");
  check(magic == rk_blake2_magic, "it does not begin like librsync's");
  const std::uint32_t block_bytes = get_big_endian(in);
  const std::uint32_t strong_bytes = get_big_endian(in);
  check(block_bytes != 0 && strong_bytes != 0 && strong_bytes <= strong_sum_bytes_max, "bad parameters");
  LibrsyncSignature signature;
  signature.parameters = {block_bytes, static_cast<std::uint8_t>(strong_bytes), 0};
  if (!allowed(signature.parameters))
    throw Error(ErrorCode::unsupported, "cannot read a librsync signature", {},
                "blocks of 64 to 65536 bytes with strong sums of 4 to 32 bytes are");
  const ByteView entries = in.rest();
  check(entries.size() % (weak_sum_bytes + strong_bytes) == 0, "it ends inside an entry");
  signature.entries.assign(entries.begin(), entries.end());
  return signature;
}

}  // namespace vmferry::delta
