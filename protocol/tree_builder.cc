#include <limits>
#include <stdexcept>
#include <utility>

#include "protocol/checksum.h"
#include "protocol/limits.h"
#include "protocol/tree.h"
#include "protocol/tree_node.h"

namespace vmferry {
namespace {

// Where nodes end. A cut after an item is the likelier, per byte, the longer the node already is (the hazard grows with
// its length), which gives Rayleigh-distributed lengths: mean 4 KiB, and a scattered change meets a node of 1.27 times
// the mean; a constant hazard would make that 2. The factor is 2^33 / 4608^2, and 4608 * sqrt(pi)/2 = 4084.
constexpr std::uint64_t cut_factor = 404;
// Keys may be chosen by the guest: inner nodes of at least this many children bound the depth whatever they hash to.
constexpr std::size_t inner_children_min = 8;
constexpr std::size_t node_header_bytes_max = 2 + 5;

bool cut_after(ByteView key, std::uint8_t level, std::uint64_t item_bytes, std::uint64_t body_bytes) {
  const std::uint64_t threshold = cut_factor * item_bytes * body_bytes;
  return (checksum64(key, level) >> 32) < threshold;
}

}  // namespace

struct TreeBuilder::State {
  struct Level {
    tree::NodeWriter node;
    Bytes last_key;              // of the level, so that an item's length does not depend on where a node begins
    std::uint64_t entries = 0;   // below the node under construction
    std::uint64_t nodes = 0;     // finished ones
    ChunkId last_node;
  };

  DomainKey key;
  EmitNode emit;
  std::vector<Level> levels;
  std::uint64_t entries = 0;
  bool finished = false;

  void add(std::size_t level_number, ByteView item_key, ByteView value, std::uint64_t item_entries) {
    if (level_number == levels.size()) {
      if (level_number == limits::tree_depth_max) throw std::length_error("a tree is too deep");
      levels.emplace_back();
    }
    Level* level = &levels[level_number];
    const bool is_leaf = level_number == 0;
    const std::size_t shared = tree::shared_prefix(level->last_key, item_key);
    const std::size_t suffix = item_key.size() - shared;
    const std::size_t value_bytes = value.size() + (is_leaf ? tree::varint_bytes(value.size()) : 0);
    const std::size_t item_bytes = tree::varint_bytes(shared) + tree::varint_bytes(suffix) + suffix + value_bytes;

    // As the first of a node the item takes a few bytes more: its whole key.
    if (level->node.body_bytes() + item_bytes + node_header_bytes_max > limits::tree_node_max) {
      finish_node(level_number);
      level = &levels[level_number];
    }
    level->node.add(item_key, value, is_leaf);
    level->entries += item_entries;
    level->last_key.assign(item_key.begin(), item_key.end());
    const bool may_cut = is_leaf || level->node.count() >= inner_children_min;
    if (may_cut && cut_after(item_key, static_cast<std::uint8_t>(level_number), item_bytes, level->node.body_bytes()))
      finish_node(level_number);
  }

  void finish_node(std::size_t level_number) {
    Level& level = levels[level_number];
    const Bytes first_key = level.node.first_key();
    const std::uint64_t below = std::exchange(level.entries, 0);
    const Bytes node = level.node.finish(static_cast<std::uint8_t>(level_number));
    const ChunkId id = chunk_id_of(key, node);
    emit(id, node);
    level.last_node = id;
    ++level.nodes;
    ByteWriter value;
    value.bytes(id.view());
    value.varint(below);
    add(level_number + 1, first_key, value.view(), below);
  }
};

TreeBuilder::TreeBuilder(const DomainKey& key, EmitNode emit) : state_(std::make_unique<State>()) {
  state_->key = key;
  state_->emit = std::move(emit);
}
TreeBuilder::~TreeBuilder() = default;

void TreeBuilder::add(ByteView key, ByteView value) {
  State& state = *state_;
  if (key.empty() || key.size() > limits::tree_key_max || value.size() > limits::tree_value_max)
    throw std::logic_error("a tree entry past the limits");
  if (state.finished || (!state.levels.empty() && tree::compare_keys(state.levels[0].last_key, key) >= 0))
    throw std::logic_error("tree entries do not ascend");
  ++state.entries;
  state.add(0, key, value, 1);
}

TreeRoot TreeBuilder::finish() {
  State& state = *state_;
  if (std::exchange(state.finished, true)) throw std::logic_error("a tree is finished twice");
  if (state.entries == 0) return {};
  // The lowest level that has one node in all is the root.
  for (std::size_t number = 0;; ++number) {
    if (state.levels[number].node.count() > 0) {
      const bool only_one = state.levels[number].nodes == 0;
      state.finish_node(number);
      if (only_one) return {state.levels[number].last_node, static_cast<std::uint8_t>(number + 1), state.entries};
    } else if (state.levels[number].nodes == 1) {
      return {state.levels[number].last_node, static_cast<std::uint8_t>(number + 1), state.entries};
    }
  }
}

}  // namespace vmferry
