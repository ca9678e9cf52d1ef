// NodeSource: metadata tree nodes for the planning of a backup: from the catalog where it has them, else from the
// target, in batches. Every node is checked against its id. Nodes that had to be fetched are kept in a spool file, for
// this backup and for the catalog afterwards. The last ones used stay in memory. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/catalog/catalog.h"
#include "protocol/chunk_source.h"
#include "protocol/external_sort.h"
#include "protocol/tree.h"
#include "protocol/uuid.h"

namespace vmferry::backup {

// Nodes in a file without a name, by id. Beyond nodes_max it forgets: it is a cache.
class NodeSpool {
 public:
  explicit NodeSpool(const std::filesystem::path& directory) : file_(directory) {}

  static constexpr std::size_t nodes_max = 1 << 19;

  void add(const ChunkId& id, ByteView node);
  std::optional<Bytes> find(const ChunkId& id) const;
  void visit(const std::function<void(const ChunkId& id, ByteView node)>& use) const;

 private:
  struct Place {
    std::uint64_t offset;
    std::uint32_t length;
  };
  TemporaryFile file_;
  std::unordered_map<ChunkId, Place> places_;
};

class NodeSource final : public ChunkSource {
 public:
  NodeSource(catalog::Catalog& catalog, const Uuid& domain, const DomainKey& key, ChunkSource& target,
             const std::filesystem::path& spool_directory);

  void get(std::span<const ChunkId> ids, const Use& use) override;
  // Before these trees are read: what the catalog lacks of them comes from the target, all of one level together. The
  // leaves too, unless the inner nodes were all in the catalog: it got them together. Throws FormerUnreadable.
  void bring(const std::vector<TreeRoot>& trees);
  // What is there without asking the target.
  std::optional<Bytes> local(const ChunkId& id);
  // The same; `siblings` (its own id among them) are fetched with it where it is not local.
  Bytes node(const ChunkId& id, std::span<const ChunkId> siblings);
  bool in_catalog(const ChunkId& id);

  const NodeSpool& fetched() const noexcept { return fetched_; }
  // Not empty: the catalog gave errors, and was not used from then on.
  const std::string& catalog_problem() const noexcept { return catalog_problem_; }

 private:
  std::optional<Bytes> from_catalog(const ChunkId& id);
  bool bring_nodes(std::span<const ChunkId> ids);
  void add_children(const ChunkId& id, std::uint8_t level, std::vector<ChunkId>& children);
  const Bytes& keep_recent(const ChunkId& id, Bytes node);

  static constexpr std::size_t recent_bytes_max = 12u << 20;

  catalog::Catalog& catalog_;
  const Uuid domain_;
  const DomainKey key_;
  ChunkSource& target_;
  NodeSpool fetched_;
  std::unordered_map<ChunkId, Bytes> recent_;  // for walks that come back; emptied when it is full
  std::size_t recent_bytes_ = 0;
  std::string catalog_problem_;
};

}  // namespace vmferry::backup
