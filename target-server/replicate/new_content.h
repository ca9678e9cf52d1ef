// What a point has that another point, its base, does not have at the same place: tree nodes, whose bytes come with
// them because they were read on the way, and chunks. The cost follows the difference: equal subtrees are not read.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "protocol/chunk_source.h"
#include "protocol/point.h"

namespace vmferry::target_server {

struct NewContent {
  // in_base: the node that the base has at this place, if any.
  std::function<void(const ChunkId& id, ByteView content, const std::optional<ChunkId>& in_base)> node;
  // in_base: the chunks that the base has in the same range of the disk, at most wire::delta_request_basis_max of them.
  // Some chunks come more than once.
  std::function<void(const ChunkId& id, std::vector<ChunkId> in_base)> chunk;
};

// In the order of the disks and of the bytes on them, nearly. base: null for none; its nodes are read from
// `base_source`, and where they cannot be read, everything counts as new. Throws what `source` throws, and
// Error{malformed}.
void visit_new_content(const RestorePoint& point, ChunkSource& source, const RestorePoint* base,
                       ChunkSource& base_source, const NewContent& visit);

}  // namespace vmferry::target_server
