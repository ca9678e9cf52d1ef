#include "target-server/replicate/node_packer.h"

#include <algorithm>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "target-server/serve/frame_repacker.h"

namespace vmferry::target_server {

bool NodePacker::fits(std::size_t bytes) const {
  return chunks_.empty() ||
         (content_.size() + bytes <= frame_content_bytes && chunks_.size() < limits::frame_chunks_max);
}

void NodePacker::add(const wire::ChunkWithBasis& node, ByteView content) {
  chunks_.push_back({node.id, static_cast<std::uint32_t>(content.size())});
  content_.insert(content_.end(), content.begin(), content.end());
  for (const ChunkId& id : node.basis)  // neighbours often share one
    if (basis_.empty() || basis_.back() != id) basis_.push_back(id);
}

Outgoing NodePacker::finish() {
  Outgoing outgoing;
  if (bases_ != nullptr && !basis_.empty()) outgoing.bytes = as_delta();
  outgoing.kind = outgoing.bytes.empty() ? Outgoing::Kind::new_frame : Outgoing::Kind::delta;
  if (outgoing.bytes.empty()) outgoing.bytes = frames_.build(chunks_, content_);
  chunks_.clear();
  content_.clear();
  basis_.clear();
  return outgoing;
}

// Empty where there is none that is smaller.
Bytes NodePacker::as_delta() {
  std::unordered_map<ChunkId, Bytes> contents;
  try {
    bases_->get(basis_, [&](const ChunkId& id, ByteView bytes) { contents[id].assign(bytes.begin(), bytes.end()); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unreachable) throw;
    return {};
  }
  std::vector<delta::DeltaBasis> basis;
  Bytes basis_content;
  for (const ChunkId& id : basis_) {
    Bytes& bytes = contents[id];
    if (bytes.empty() || basis_content.size() + bytes.size() > limits::delta_basis_max ||
        basis.size() == limits::delta_basis_chunks_max)
      continue;
    basis.push_back({id, static_cast<std::uint32_t>(bytes.size())});
    basis_content.insert(basis_content.end(), bytes.begin(), bytes.end());
    bytes.clear();  // once
  }
  if (basis.empty()) return {};
  return deltas_.prefix(chunks_, content_, basis, basis_content, content_.size());
}

}  // namespace vmferry::target_server
