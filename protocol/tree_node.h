// The bytes of one tree node, read and written. Inside of the trees: others use protocol/tree.h.
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/chunk_id.h"

namespace vmferry::tree {

// FlatNode: a parsed node in one piece of memory; reused, it allocates nothing. parse() throws Error{malformed} unless
// the node is within limits::tree_*_max, canonical, and its keys ascend strictly.
class FlatNode {
 public:
  void parse(ByteView node);

  std::uint8_t level() const noexcept { return level_; }
  std::size_t size() const noexcept { return items_.size(); }
  ByteView key(std::size_t i) const noexcept { return view(items_[i].key_at, items_[i].key_bytes); }
  ByteView value(std::size_t i) const noexcept { return view(items_[i].value_at, items_[i].value_bytes); }
  ChunkId child(std::size_t i) const noexcept;                                         // level > 0
  std::uint64_t entries(std::size_t i) const noexcept { return items_[i].entries; }  // below child i
  std::uint64_t entries_sum() const noexcept { return entries_sum_; }

  // The first item with a key >= this (or > this), or size().
  std::size_t lower_bound(ByteView wanted) const noexcept;
  std::size_t upper_bound(ByteView wanted) const noexcept;

 private:
  struct Item {
    std::uint32_t key_at, key_bytes;
    std::uint32_t value_at, value_bytes;  // in an inner node the child's id
    std::uint64_t entries;
  };
  ByteView view(std::uint32_t at, std::uint32_t length) const noexcept { return ByteView(arena_).subspan(at, length); }
  void append(ByteView bytes) { arena_.insert(arena_.end(), bytes.begin(), bytes.end()); }

  std::uint8_t level_ = 0;
  std::uint64_t entries_sum_ = 0;
  std::vector<Item> items_;
  Bytes arena_;
};

// NodeWriter: one node under construction. Items in ascending key order.
class NodeWriter {
 public:
  // value: a leaf's value, or an inner item's 32 bytes of id followed by the varint of its entries.
  void add(ByteView key, ByteView value, bool is_leaf);
  Bytes finish(std::uint8_t level);  // and begins the next one
  std::size_t count() const noexcept { return count_; }
  std::size_t body_bytes() const noexcept { return body_.size(); }
  const Bytes& first_key() const noexcept { return first_key_; }

 private:
  ByteWriter body_;
  Bytes first_key_;
  Bytes last_key_;
  std::uint64_t count_ = 0;
};

std::strong_ordering compare_keys(ByteView a, ByteView b) noexcept;
std::size_t shared_prefix(ByteView a, ByteView b) noexcept;
std::size_t varint_bytes(std::uint64_t value) noexcept;

}  // namespace vmferry::tree
