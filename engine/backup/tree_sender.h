// TreeSender: the nodes of new metadata trees on their way to the target: those of the base point's trees are known,
// the others are offered and sent like chunks, as deltas against the former nodes. It keeps those that the catalog does not
// have yet. One thread.
#pragma once

#include <atomic>
#include <filesystem>

#include "engine/backup/chunk_sender.h"
#include "engine/backup/former_nodes.h"
#include "engine/backup/former_point.h"
#include "engine/backup/node_source.h"

namespace vmferry::backup {

class TreeSender {
 public:
  TreeSender(ChunkSender& sender, SlabPool& pool, const KnownNodes& known, NodeSource& nodes, NodeSpool& for_catalog)
      : sender_(sender), pool_(pool), known_(known), nodes_(nodes), for_catalog_(for_catalog) {}

  // The tree whose nodes come next; former: the base point's tree of the same disk or volume, or null.
  void begin_tree(const TreeRoot* former);
  bool emit(const ChunkId& id, ByteView node);  // false: the target is known to have it
  void finish();  // nothing of it is held back any more

 private:
  ChunkSender& sender_;
  SlabPool& pool_;
  const KnownNodes& known_;
  NodeSource& nodes_;
  NodeSpool& for_catalog_;
  std::unique_ptr<FormerNodes> former_;
  SlabPointer slab_;
  std::size_t used_ = 0;
};

}  // namespace vmferry::backup
