#include "engine/backup/node_source.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "engine/backup/former_cuts.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::backup {

void NodeSpool::add(const ChunkId& id, ByteView node) {
  if (places_.size() == nodes_max || places_.contains(id)) return;
  places_.emplace(id, Place{file_.size(), static_cast<std::uint32_t>(node.size())});
  file_.append(node.data(), node.size());
}

std::optional<Bytes> NodeSpool::find(const ChunkId& id) const {
  const auto found = places_.find(id);
  if (found == places_.end()) return std::nullopt;
  Bytes node(found->second.length);
  file_.read(found->second.offset, node.data(), node.size());
  return node;
}

void NodeSpool::visit(const std::function<void(const ChunkId&, ByteView)>& use) const {
  Bytes node;
  for (const auto& [id, place] : places_) {
    node.resize(place.length);
    file_.read(place.offset, node.data(), node.size());
    use(id, node);
  }
}

NodeSource::NodeSource(catalog::Catalog& catalog, const Uuid& domain, const DomainKey& key, ChunkSource& target,
                       const std::filesystem::path& spool_directory)
    : catalog_(catalog), domain_(domain), key_(key), target_(target), fetched_(spool_directory) {}

// A catalog that gives wrong bytes or an error only costs time.
std::optional<Bytes> NodeSource::from_catalog(const ChunkId& id) {
  if (!catalog_problem_.empty()) return std::nullopt;
  try {
    std::optional<Bytes> node = catalog_.node(domain_, id);
    if (node && chunk_id_of(key_, *node) != id) node.reset();
    return node;
  } catch (const Error& error) {
    catalog_problem_ = error.what();
    return std::nullopt;
  }
}

bool NodeSource::in_catalog(const ChunkId& id) { return from_catalog(id).has_value(); }

std::optional<Bytes> NodeSource::local(const ChunkId& id) {
  if (auto node = from_catalog(id)) return node;
  return fetched_.find(id);
}

Bytes NodeSource::node(const ChunkId& id, std::span<const ChunkId> siblings) {
  if (auto node = local(id)) return std::move(*node);
  std::vector<ChunkId> wanted;
  for (const ChunkId& sibling : siblings)
    if (sibling == id || !local(sibling)) wanted.push_back(sibling);
  if (wanted.empty()) wanted.push_back(id);
  Bytes content;
  target_.get(wanted, [&](const ChunkId& got, ByteView node) {
    fetched_.add(got, node);
    if (got == id) content.assign(node.begin(), node.end());
  });
  return content;
}

void NodeSource::bring(const std::vector<TreeRoot>& trees) try {
  std::array<std::vector<ChunkId>, limits::tree_depth_max> levels;
  for (const TreeRoot& tree : trees)
    if (tree.levels > 0 && tree.levels <= levels.size()) levels[tree.levels - 1u].push_back(tree.node);
  const std::vector<ChunkId> roots_that_are_leaves = levels[0];
  bool catalog_has_all = true;
  for (std::size_t level = levels.size(); level-- > 0;) {
    std::vector<ChunkId>& ids = levels[level];
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    ids.resize(std::min(ids.size(), NodeSpool::nodes_max));  // what is left out is fetched when it is read
    if (level == 0) return static_cast<void>(bring_nodes(catalog_has_all ? roots_that_are_leaves : ids));
    if (bring_nodes(ids)) catalog_has_all = false;
    for (const ChunkId& id : ids) add_children(id, static_cast<std::uint8_t>(level), levels[level - 1]);
  }
} catch (const Error& error) {
  throw_former_unreadable(error);
}

// True where any had to come from the target.
bool NodeSource::bring_nodes(std::span<const ChunkId> ids) {
  std::vector<ChunkId> missing;
  std::ranges::copy_if(ids, std::back_inserter(missing), [this](const ChunkId& id) { return !local(id); });
  if (!missing.empty())
    target_.get(missing, [this](const ChunkId& id, ByteView node) { fetched_.add(id, node); });
  return !missing.empty();
}

void NodeSource::add_children(const ChunkId& id, std::uint8_t level, std::vector<ChunkId>& children) {
  const std::optional<Bytes> content = local(id);
  if (!content) return;
  const TreeNode node = parse_tree_node(*content);
  if (node.level != level) throw Error(ErrorCode::malformed, "a tree node of the base point has the wrong level", id.to_string());
  for (const TreeNode::Child& child : node.children) children.push_back(child.node);
}

const Bytes& NodeSource::keep_recent(const ChunkId& id, Bytes node) {
  if (recent_bytes_ + node.size() > recent_bytes_max) {
    recent_.clear();
    recent_bytes_ = 0;
  }
  recent_bytes_ += node.size();
  return recent_.insert_or_assign(id, std::move(node)).first->second;
}

void NodeSource::get(std::span<const ChunkId> ids, const Use& use) {
  std::vector<ChunkId> missing;
  for (const ChunkId& id : ids) {
    const auto recent = recent_.find(id);
    if (recent != recent_.end())
      use(id, recent->second);
    else if (auto node = local(id))
      use(id, keep_recent(id, std::move(*node)));
    else
      missing.push_back(id);
  }
  if (missing.empty()) return;
  target_.get(missing, [&](const ChunkId& id, ByteView node) {
    fetched_.add(id, node);
    use(id, keep_recent(id, Bytes(node.begin(), node.end())));
  });
}

}  // namespace vmferry::backup
