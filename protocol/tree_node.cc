#include "protocol/tree_node.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "protocol/byte_range.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/tree.h"

namespace vmferry {
namespace tree {
namespace {

constexpr std::uint8_t node_version = 1;
constexpr std::size_t leaf_item_bytes_min = 3;  // shared, suffix length, value length

[[noreturn]] void throw_bad_node(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a tree node", {}, std::string(why));
}

}  // namespace

void FlatNode::parse(ByteView node) {
  if (node.size() > limits::tree_node_max) throw_bad_node("it is too long");
  ByteReader in(node, "a tree node");
  if (const std::uint8_t version = in.u8(); version != node_version)
    throw Error(ErrorCode::version, "cannot read a tree node", "version " + std::to_string(version),
                "it was written by a newer vmferry");
  level_ = in.u8();
  if (level_ >= limits::tree_depth_max) throw_bad_node("its level is too high");
  const std::uint64_t count = in.varint();
  if (count == 0 || count > in.rest().size() / leaf_item_bytes_min) throw_bad_node("bad item count");
  items_.clear();
  items_.reserve(static_cast<std::size_t>(count));
  arena_.clear();
  entries_sum_ = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t shared = in.varint();
    const std::uint64_t suffix_bytes = in.varint();
    const ByteView suffix = in.bytes(suffix_bytes);
    const ByteView before = i == 0 ? ByteView{} : view(items_.back().key_at, items_.back().key_bytes);
    if (shared > before.size() || shared + suffix.size() > limits::tree_key_max) throw_bad_node("bad key length");
    // The suffix begins where the keys part, and there this key is the greater: canonical and ascending at once.
    if (i > 0 && (suffix.empty() || (shared < before.size() && suffix[0] <= before[shared])))
      throw_bad_node("its keys do not ascend");
    Item item{};
    item.key_at = static_cast<std::uint32_t>(arena_.size());
    item.key_bytes = static_cast<std::uint32_t>(shared + suffix.size());
    arena_.resize(arena_.size() + item.key_bytes);
    if (shared > 0) std::memcpy(arena_.data() + item.key_at, arena_.data() + items_.back().key_at, shared);
    if (!suffix.empty()) std::memcpy(arena_.data() + item.key_at + shared, suffix.data(), suffix.size());
    if (level_ == 0) {
      const std::uint64_t value_bytes = in.varint();
      if (value_bytes > limits::tree_value_max) throw_bad_node("a value is too long");
      item.value_bytes = static_cast<std::uint32_t>(value_bytes);
      item.entries = 1;
    } else {
      item.value_bytes = chunk_id_bytes;
    }
    item.value_at = static_cast<std::uint32_t>(arena_.size());
    append(in.bytes(item.value_bytes));
    if (level_ > 0) item.entries = in.varint();
    if (item.entries == 0) throw_bad_node("a child without entries");
    entries_sum_ = checked_add(entries_sum_, item.entries, "entries of a tree node");
    items_.push_back(item);
  }
  in.expect_end();
}

ChunkId FlatNode::child(std::size_t i) const noexcept {
  ChunkId id;
  std::memcpy(id.bytes.data(), arena_.data() + items_[i].value_at, id.bytes.size());
  return id;
}

std::size_t FlatNode::lower_bound(ByteView wanted) const noexcept {
  const auto found = std::partition_point(items_.begin(), items_.end(), [&](const Item& item) {
    return compare_keys(view(item.key_at, item.key_bytes), wanted) < 0;
  });
  return static_cast<std::size_t>(found - items_.begin());
}

std::size_t FlatNode::upper_bound(ByteView wanted) const noexcept {
  const auto found = std::partition_point(items_.begin(), items_.end(), [&](const Item& item) {
    return compare_keys(view(item.key_at, item.key_bytes), wanted) <= 0;
  });
  return static_cast<std::size_t>(found - items_.begin());
}

void NodeWriter::add(ByteView key, ByteView value, bool is_leaf) {
  const std::size_t shared = count_ == 0 ? 0 : shared_prefix(last_key_, key);
  body_.varint(shared);
  body_.varint(key.size() - shared);
  body_.bytes(key.subspan(shared));
  if (is_leaf) body_.varint(value.size());
  body_.bytes(value);
  if (count_ == 0) first_key_.assign(key.begin(), key.end());
  last_key_.assign(key.begin(), key.end());
  ++count_;
}

Bytes NodeWriter::finish(std::uint8_t level) {
  ByteWriter out;
  out.reserve(body_.size() + 8);
  out.u8(node_version);
  out.u8(level);
  out.varint(count_);
  out.bytes(body_.view());
  body_.clear();
  first_key_.clear();
  count_ = 0;
  return std::move(out).take();
}

std::strong_ordering compare_keys(ByteView a, ByteView b) noexcept {
  const std::size_t common = std::min(a.size(), b.size());
  const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  return order != 0 ? order <=> 0 : a.size() <=> b.size();
}

std::size_t shared_prefix(ByteView a, ByteView b) noexcept {
  const std::size_t common = std::min(a.size(), b.size());
  std::size_t i = 0;
  while (i < common && a[i] == b[i]) ++i;
  return i;
}

std::size_t varint_bytes(std::uint64_t value) noexcept {
  std::size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

}  // namespace tree

TreeNode parse_tree_node(ByteView bytes) {
  tree::FlatNode flat;
  flat.parse(bytes);
  TreeNode node;
  node.level = flat.level();
  const auto copy = [](ByteView from) { return Bytes(from.begin(), from.end()); };
  for (std::size_t i = 0; i < flat.size(); ++i) {
    if (node.level == 0)
      node.entries.push_back({copy(flat.key(i)), copy(flat.value(i))});
    else
      node.children.push_back({copy(flat.key(i)), flat.child(i), flat.entries(i)});
  }
  return node;
}

}  // namespace vmferry
