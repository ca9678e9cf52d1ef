// link: protocol
// Signatures from a damaged file: never a crash; what is accepted matches any content within its bounds, and what a
// matcher says is what a delta frame can carry.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "protocol/delta/matcher.h"
#include "protocol/delta/operations.h"
#include "protocol/delta/signature.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace {

using namespace vmferry;
using namespace vmferry::delta;

void match(ByteView content, const std::vector<BasisPart>& basis) {
  static Matcher matcher;
  std::uint32_t basis_bytes = 0;
  for (const BasisPart& part : basis) basis_bytes += part.signature.basis_bytes();
  const auto copies = matcher.match(content, basis);
  const Bytes operations = encode_operations(copies);
  ByteReader in(operations);
  std::vector<Copy> decoded;
  // Throws where a copy is out of range.
  decode_operations(in, static_cast<std::uint32_t>(content.size()), basis_bytes, decoded);
  if (!std::ranges::equal(decoded, copies)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const ByteView bytes = std::as_bytes(std::span(data, size));
  const auto place = static_cast<std::int64_t>(static_cast<std::int16_t>(data[0] | data[1] << 8));
  const std::size_t split = std::min<std::size_t>(bytes.size(), 4 + 16 * std::size_t{data[2]});
  // What follows the split is content; signatures of parts of it make matches happen, and of them changed, fine ones.
  const ByteView content = bytes.subspan(split);
  const ByteView old = content.subspan(content.size() / 3);
  const Bytes own = make_signature(old, {64, 4});
  Bytes changed(old.begin(), old.end());
  for (std::size_t at = data[3]; at < changed.size(); at += 64 + std::size_t{data[3]} * 7) changed[at] ^= std::byte{1};
  const auto fine_bytes = static_cast<std::uint16_t>(data[3] < 16 ? 0 : data[3]);
  const Bytes fine = make_signature(changed, {64, 4, fine_bytes});
  std::vector<BasisPart> basis = {{parse_signature(own), place},
                                  {parse_signature(own), std::nullopt},
                                  {parse_signature(fine), static_cast<std::int64_t>(content.size() / 3)},
                                  {parse_signature(fine), place}};
  try {
    const SignatureView view = parse_signature(bytes.subspan(4, split - 4));
    basis.push_back({view, place});
    basis.push_back({view, std::nullopt});
  } catch (const Error&) {
  }
  LibrsyncSignature librsyncs;
  try {
    librsyncs = parse_librsync_signature(bytes.subspan(4, split - 4));
    BasisPart part;
    part.signature.parameters = librsyncs.parameters;
    part.signature.entries = librsyncs.entries;
    if (part.signature.blocks() * librsyncs.parameters.block_bytes <= limits::chunk_size_max) basis.push_back(part);
  } catch (const Error&) {
  }
  match(content, basis);
  return 0;
}
