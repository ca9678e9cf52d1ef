// NodeCache: the catalog's table of metadata tree nodes, by domain and id. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "protocol/sqlite.h"
#include "protocol/chunk_id.h"
#include "protocol/tree.h"
#include "protocol/uuid.h"

namespace vmferry::catalog {

class NodeCache {
 public:
  explicit NodeCache(sqlite::Database& database);

  std::optional<Bytes> find(const Uuid& domain, const ChunkId& id);
  // Inside a transaction. Returns the bytes it added: 0 where the node was there.
  std::int64_t domain_number_or_new(const Uuid& domain);
  std::uint64_t add(std::int64_t domain, const ChunkId& id, ByteView node);
  void count_added(std::uint64_t bytes);

  // Drops what no last point reaches, once that is more than what is reached. In one transaction.
  void trim();

  // The chunks that the last points' image maps name, as far as their nodes are here.
  void visit_chunks(const std::function<void(const ChunkId&)>& visit);

 private:
  std::optional<std::int64_t> domain_number(const Uuid& domain);
  std::uint64_t mark_tree(std::int64_t domain, const TreeRoot& root);
  void visit_below(std::int64_t domain, const ChunkId& id, std::uint8_t level,
                   const std::function<void(const ChunkId&)>& visit);
  void mark_below(std::int64_t domain, const ChunkId& id, std::uint8_t level, std::uint64_t& bytes);

  sqlite::Database& database_;
  sqlite::Statement find_, insert_, mark_;
  std::map<Uuid, std::int64_t> domains_;
};

}  // namespace vmferry::catalog
