// Matcher: finds what new content has in common with a basis of which only signatures are at hand. Position first: blocks
// that are where they are expected cost one sum and roll nothing; only what is left between them is rolled over.
// The result is the same set of operations as librsync's delta: copies from the basis, and literals between them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/delta/signature.h"

namespace vmferry::delta {

// One basis chunk. The basis is the concatenation of the parts' first SignatureView::basis_bytes(): with fine sums all of each
// chunk, without them its whole blocks.
struct BasisPart {
  SignatureView signature;
  // Where in the content its first byte is expected, if at all; may be negative or past the end (then some of it may lie in).
  std::optional<std::int64_t> expected_at;
};

// content[at, at + length) is basis[from, from + length). What no copy covers is literal.
struct Copy {
  std::uint32_t at = 0;
  std::uint32_t from = 0;
  std::uint32_t length = 0;
  bool operator==(const Copy&) const = default;
};

// Appends it; where it goes on from the last one, that one grows. In ascending order.
void append_joined(std::vector<Copy>& copies, const Copy& copy);

// Keeps its tables between calls. One thread.
class Matcher {
 public:
  Matcher();
  ~Matcher();
  Matcher(Matcher&&) noexcept;

  // In ascending order, disjoint; neighbours that continue each other are joined. Parts may differ in their parameters.
  // Valid until the next call. content and basis at most limits::delta_content_max and limits::delta_basis_max.
  std::span<const Copy> match(ByteView content, std::span<const BasisPart> basis);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same as librsync's delta file (rdiff patch applies it).
Bytes to_librsync_delta(ByteView content, std::span<const Copy> copies);

}  // namespace vmferry::delta
