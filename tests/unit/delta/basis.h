// A basis of several chunks as a matcher takes it, with their joined content beside it.
#pragma once

#include <initializer_list>
#include <optional>
#include <vector>

#include "protocol/delta/matcher.h"

namespace vmferry::test {

inline constexpr delta::SignatureParameters fine{512, 6, 64};
inline constexpr delta::SignatureParameters coarse{512, 6, 0};

struct Basis {
  explicit Basis(delta::SignatureParameters signing) : usual(signing) {}

  // Gives where the chunk begins in the content.
  std::uint32_t add(ByteView chunk, std::optional<std::int64_t> expected_at) { return add(chunk, expected_at, usual); }
  std::uint32_t add(ByteView chunk, std::optional<std::int64_t> expected_at, delta::SignatureParameters with) {
    const auto from = static_cast<std::uint32_t>(content.size());
    signatures.push_back(delta::make_signature(chunk, with));
    parts.push_back({delta::parse_signature(signatures.back()), expected_at});
    content.insert(content.end(), chunk.begin(), chunk.begin() + parts.back().signature.basis_bytes());
    return from;
  }

  const delta::SignatureParameters usual;
  std::vector<Bytes> signatures;
  std::vector<delta::BasisPart> parts;
  Bytes content;
};

inline Bytes join(std::initializer_list<ByteView> pieces) {
  Bytes all;
  for (const ByteView piece : pieces) all.insert(all.end(), piece.begin(), piece.end());
  return all;
}

inline std::vector<delta::Copy> match(ByteView content, const Basis& basis) {
  delta::Matcher matcher;
  const auto copies = matcher.match(content, basis.parts);
  return {copies.begin(), copies.end()};
}

}  // namespace vmferry::test
