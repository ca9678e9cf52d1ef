// FormerNodes: what a former metadata tree has at the place of a new node: the basis of the new node's delta. The former
// nodes are at hand in the catalog, so their bytes come with them. One thread.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "engine/backup/delta_run.h"
#include "engine/backup/node_source.h"
#include "protocol/tree.h"
#include "protocol/tree_node.h"
#include "protocol/tree_path.h"

namespace vmferry::backup {

class FormerNodes {
 public:
  FormerNodes(const TreeRoot& former, NodeSource& nodes) : former_(former), nodes_(nodes), path_(former, nodes) {}

  // Nodes in the order in which a TreeBuilder emits them. Null where the former tree has nothing there that is at hand.
  // Throws FormerUnreadable.
  RunPointer basis_of(ByteView node);

 private:
  void add(const ChunkId& id, DeltaRun& run);

  TreeRoot former_;
  NodeSource& nodes_;
  tree::TreePath path_;
  tree::FlatNode node_;
  std::deque<std::pair<ChunkId, std::shared_ptr<const Bytes>>> recent_;  // neighbours share their basis
};

}  // namespace vmferry::backup
