// TreeSender: the nodes of new metadata trees on their way to the target: those of the base point's trees are known,
// the others are offered and sent like chunks. It keeps those that the catalog does not have yet. One thread.
#pragma once

#include <atomic>
#include <filesystem>

#include "engine/backup/chunk_sender.h"
#include "engine/backup/former_point.h"
#include "engine/backup/node_source.h"

namespace vmferry::backup {

class TreeSender {
 public:
  TreeSender(ChunkSender& sender, SlabPool& pool, const KnownNodes& known, NodeSource& nodes, NodeSpool& for_catalog)
      : sender_(sender), pool_(pool), known_(known), nodes_(nodes), for_catalog_(for_catalog) {}

  void emit(const ChunkId& id, ByteView node);
  void finish();  // nothing of it is held back any more

 private:
  ChunkSender& sender_;
  SlabPool& pool_;
  const KnownNodes& known_;
  NodeSource& nodes_;
  NodeSpool& for_catalog_;
  SlabPointer slab_;
  std::size_t used_ = 0;
};

}  // namespace vmferry::backup
