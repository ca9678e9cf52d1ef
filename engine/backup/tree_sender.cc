#include "engine/backup/tree_sender.h"

#include <cstring>

namespace vmferry::backup {

void TreeSender::begin_tree(const TreeRoot* former) {
  former_.reset();
  if (former != nullptr && former->levels > 0 && sender_.deltas()) former_ = std::make_unique<FormerNodes>(*former, nodes_);
}

bool TreeSender::emit(const ChunkId& id, ByteView node) {
  if (known_.contains(id)) {
    if (!nodes_.in_catalog(id)) for_catalog_.add(id, node);
    return false;
  }
  for_catalog_.add(id, node);
  if (slab_ && used_ + node.size() > slab_->capacity) finish();
  if (!slab_) {
    const std::atomic<bool> never{false};
    sender_.flush_if_short_of_memory();
    slab_ = pool_.take(never);
    used_ = 0;
  }
  std::byte* const place = slab_->body() + used_;
  std::memcpy(place, node.data(), node.size());
  used_ += node.size();
  ChunkFacts facts;
  facts.is_node = true;
  if (former_) facts.run = former_->basis_of(node);
  sender_.add(id, slab_, ByteView(place, node.size()), std::move(facts));
  return true;
}

void TreeSender::finish() {
  slab_.reset();
  sender_.slab_done();
}

}  // namespace vmferry::backup
