#include "engine/catalog/node_cache.h"

#include "protocol/error.h"
#include "protocol/image_map.h"
#include "protocol/point.h"

namespace vmferry::catalog {
namespace {

// Below this, trimming is not worth the walk.
constexpr std::int64_t trim_bytes_min = 64 << 20;

// The statements are prepared against it.
sqlite::Database& with_reached_table(sqlite::Database& database) {
  database.run("CREATE TEMP TABLE IF NOT EXISTS reached (number INTEGER PRIMARY KEY)");
  return database;
}

}  // namespace

NodeCache::NodeCache(sqlite::Database& database)
    : database_(with_reached_table(database)),
      find_(database, "SELECT number, body FROM nodes WHERE id = ? AND domain = ?"),
      insert_(database, "INSERT OR IGNORE INTO nodes (domain, id, body) VALUES (?, ?, ?) RETURNING 1"),
      mark_(database, "INSERT OR IGNORE INTO temp.reached VALUES (?) RETURNING 1") {}

std::optional<std::int64_t> NodeCache::domain_number(const Uuid& domain) {
  const auto known = domains_.find(domain);
  if (known != domains_.end()) return known->second;
  sqlite::Statement select(database_, "SELECT number FROM domains WHERE uuid = ?");
  select.bind(1, domain.view());
  if (!select.step()) return std::nullopt;
  return domains_[domain] = select.number(0);
}

std::int64_t NodeCache::domain_number_or_new(const Uuid& domain) {
  if (const auto number = domain_number(domain)) return *number;
  sqlite::Statement insert(database_, "INSERT INTO domains (uuid) VALUES (?) RETURNING number");
  insert.bind(1, domain.view());
  insert.step();
  return insert.number(0);  // not remembered here: the transaction may be rolled back
}

std::optional<Bytes> NodeCache::find(const Uuid& domain, const ChunkId& id) {
  const auto number = domain_number(domain);
  if (!number) return std::nullopt;
  find_.bind(1, id.view()).bind(2, *number);
  std::optional<Bytes> node;
  if (find_.step()) {
    const ByteView body = find_.blob(1);
    node.emplace(body.begin(), body.end());
  }
  find_.reset();
  return node;
}

std::uint64_t NodeCache::add(std::int64_t domain, const ChunkId& id, ByteView node) {
  insert_.bind(1, domain).bind(2, id.view()).bind(3, node);
  const bool added = insert_.step();
  insert_.run();
  return added ? node.size() : 0;
}

void NodeCache::count_added(std::uint64_t bytes) {
  sqlite::Statement count(database_, "UPDATE counters SET value = value + ? WHERE name = 'node_bytes'");
  count.bind(1, static_cast<std::int64_t>(bytes)).run();
}

void NodeCache::trim() {
  const auto counter = [&](const char* name) {
    sqlite::Statement select(database_, "SELECT value FROM counters WHERE name = ?");
    select.bind_text(1, name);
    return select.step() ? select.number(0) : 0;
  };
  const auto outweighed = [&] {
    return counter("node_bytes") - 2 * counter("node_bytes_reached") > trim_bytes_min;
  };
  if (!outweighed()) return;
  sqlite::Transaction transaction(database_);
  if (!outweighed()) return;  // another process was faster
  database_.run("DELETE FROM temp.reached");
  std::uint64_t reached = 0;
  sqlite::Statement points(database_, "SELECT domain, body FROM last_points");
  while (points.step()) {
    const auto domain = domain_number(Uuid::from_bytes(points.blob(0)));
    if (!domain) continue;
    const RestorePoint point = decode_point(points.blob(1));
    for (const PointDisk& disk : point.disks) {
      reached += mark_tree(*domain, disk.image_map);
      for (const PointVolume& volume : disk.volumes) reached += mark_tree(*domain, volume.file_index);
    }
  }
  points.reset();
  database_.run("DELETE FROM nodes WHERE number NOT IN (SELECT number FROM temp.reached); DELETE FROM temp.reached;");
  sqlite::Statement set(database_, "INSERT OR REPLACE INTO counters VALUES ('node_bytes', ?1), ('node_bytes_reached', ?1)");
  set.bind(1, static_cast<std::int64_t>(reached)).run();
  transaction.commit();
}

void NodeCache::visit_chunks(const std::function<void(const ChunkId&)>& visit) {
  sqlite::Statement points(database_, "SELECT domain, body FROM last_points");
  while (points.step()) {
    const auto domain = domain_number(Uuid::from_bytes(points.blob(0)));
    if (!domain) continue;
    for (const PointDisk& disk : decode_point(points.blob(1)).disks)
      if (disk.image_map.levels > 0)
        visit_below(*domain, disk.image_map.node, static_cast<std::uint8_t>(disk.image_map.levels - 1), visit);
  }
}

void NodeCache::visit_below(std::int64_t domain, const ChunkId& id, std::uint8_t level,
                            const std::function<void(const ChunkId&)>& visit) {
  find_.bind(1, id.view()).bind(2, domain);
  TreeNode node;
  if (find_.step()) try {
      node = parse_tree_node(find_.blob(1));
    } catch (const Error&) {  // a damaged cache entry names nothing
    }
  find_.reset();
  if (node.level != level) return;
  for (const TreeEntry& entry : node.entries) {
    const MapEntry slice = decode_map_entry(entry.key, entry.value);
    if (slice.kind == MapKind::data) visit(slice.chunk);
  }
  for (const TreeNode::Child& child : node.children)
    visit_below(domain, child.node, static_cast<std::uint8_t>(level - 1), visit);
}

std::uint64_t NodeCache::mark_tree(std::int64_t domain, const TreeRoot& root) {
  std::uint64_t bytes = 0;
  if (root.levels > 0) mark_below(domain, root.node, static_cast<std::uint8_t>(root.levels - 1), bytes);
  return bytes;
}

// Nodes that are not cached are passed over, with all below them; what is marked already was walked already.
void NodeCache::mark_below(std::int64_t domain, const ChunkId& id, std::uint8_t level, std::uint64_t& bytes) {
  find_.bind(1, id.view()).bind(2, domain);
  if (!find_.step()) {
    find_.reset();
    return;
  }
  const std::int64_t number = find_.number(0);
  const ByteView body = find_.blob(1);
  const std::uint64_t length = body.size();
  TreeNode node;
  if (level > 0) try {
      node = parse_tree_node(body);
    } catch (const Error&) {  // a damaged cache entry reaches nothing
    }
  find_.reset();
  mark_.bind(1, number);
  const bool first_time = mark_.step();
  mark_.run();
  if (!first_time) return;
  bytes += length;
  for (const TreeNode::Child& child : node.children)
    mark_below(domain, child.node, static_cast<std::uint8_t>(level - 1), bytes);
}

}  // namespace vmferry::catalog
