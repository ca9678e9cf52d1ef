// sweep_tree: reads the parts of a tree that hold given keys, level by level: the nodes of one level are asked for
// together (a few thousand at a time), so that a thousand look-ups cost as many round trips as one.
#pragma once

#include <functional>
#include <vector>

#include "protocol/tree.h"

namespace vmferry::restore {

// Both ends belong to it; so does the entry before `first`, where no entry has that very key (image maps).
struct KeyRange {
  Bytes first;
  Bytes last;
};

// Ranges in any order, and they may overlap. Visits entries in key order, some neighbours of what was asked for too.
// Throws what the source throws, and Error{malformed} for a node that does not belong where it is.
void sweep_tree(const TreeRoot& root, ChunkSource& source, std::vector<KeyRange> ranges,
                const std::function<void(const TreeEntry&)>& visit);

}  // namespace vmferry::restore
