// Refining a match: between blocks that a delta copies lie changes that are smaller than a block. Where a signature has
// fine sums (two bytes for 64, say), the gap between two copies is compared with the basis at the distance at which its
// neighbours were found, or where it was expected: an update of a few bytes costs its fine blocks, not its blocks.
#pragma once

#include <span>
#include <vector>

#include "protocol/delta/matcher.h"

namespace vmferry::delta {

// Adds copies to those that are there, which stay as they are but for being joined.
void refine(ByteView content, std::span<const BasisPart> basis, std::vector<Copy>& copies);

}  // namespace vmferry::delta
