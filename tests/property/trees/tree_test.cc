#include "protocol/tree.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/memory_chunks.h"

namespace vmferry {
namespace {

using test::MemoryChunks;
using Entries = std::map<Bytes, Bytes>;

const DomainKey tree_key{};

Bytes bytes_of(std::string_view text) { return {as_bytes(text).begin(), as_bytes(text).end()}; }

TreeRoot build(const Entries& entries, MemoryChunks& chunks) {
  TreeBuilder builder(tree_key, chunks.emit());
  for (const auto& [k, v] : entries) builder.add(k, v);
  return builder.finish();
}

// Keys that share prefixes, of very different lengths, now and then as long as is allowed; values likewise.
Entries random_entries(std::size_t count, std::mt19937& random, std::size_t value_max) {
  Entries entries;
  while (entries.size() < count) {
    std::string k = "dir" + std::to_string(random() % 50) + "/file" + std::to_string(random() % (count * 4));
    if (random() % 200 == 0) k.resize(limits::tree_key_max, 'x');
    Bytes v(random() % 20 == 0 ? random() % (value_max + 1) : random() % 60);
    for (std::byte& b : v) b = static_cast<std::byte>(random() & 0xff);
    entries.emplace(bytes_of(k), std::move(v));
  }
  return entries;
}

std::set<ChunkId> nodes_of(const TreeRoot& root, const TreeRoot& base, ChunkSource& source) {
  std::set<ChunkId> ids;
  visit_new_nodes(root, source, base, source, [&](const NewNode& node) { ids.insert(node.id); });
  return ids;
}

class TreeOfSize : public ::testing::TestWithParam<std::size_t> {
 protected:
  std::mt19937 random{static_cast<unsigned>(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(Sizes, TreeOfSize, ::testing::Values(0, 1, 2, 40, 300, 3000, 30000));

TEST_P(TreeOfSize, GivesBackItsEntriesInOrder) {
  MemoryChunks chunks;
  const Entries entries = random_entries(GetParam(), random, limits::tree_value_max);
  const TreeRoot root = build(entries, chunks);
  EXPECT_EQ(root.entries, entries.size());
  TreeCursor cursor(root, chunks);
  cursor.seek({});
  for (const auto& [k, v] : entries) {
    ASSERT_FALSE(cursor.at_end());
    ASSERT_EQ(cursor.entry().key, k);
    ASSERT_EQ(cursor.entry().value, v);
    cursor.next();
  }
  EXPECT_TRUE(cursor.at_end());
  EXPECT_LE(chunks.fetched, chunks.chunks.size());
}

TEST_P(TreeOfSize, SeeksAndLooksUpAsAMapDoes) {
  MemoryChunks chunks;
  const Entries entries = random_entries(GetParam(), random, 1000);
  const TreeRoot root = build(entries, chunks);
  const Entries others = random_entries(200, random, 0);
  std::vector<Bytes> keys = {{}, bytes_of("zzzz")};
  for (const auto& [k, v] : others) keys.push_back(k);
  for (std::size_t i = 0; i < 200 && !entries.empty(); ++i)
    keys.push_back(std::next(entries.begin(), static_cast<std::ptrdiff_t>(random() % entries.size()))->first);
  std::shuffle(keys.begin(), keys.end(), random);

  TreeCursor cursor(root, chunks);
  for (const Bytes& k : keys) {
    const auto found = entries.find(k);
    const std::optional<Bytes> value = tree_lookup(root, chunks, k);
    ASSERT_EQ(value.has_value(), found != entries.end());
    if (value) {
      ASSERT_EQ(*value, found->second);
    }

    auto expected = entries.lower_bound(k);
    cursor.seek(k);
    for (int steps = 0; steps < 30; ++steps, cursor.next(), ++expected) {
      ASSERT_EQ(cursor.at_end(), expected == entries.end());
      if (cursor.at_end()) break;
      ASSERT_EQ(cursor.entry().key, expected->first);
    }

    cursor.seek_floor(k);
    auto floor = entries.upper_bound(k);
    if (floor != entries.begin()) --floor;
    ASSERT_EQ(cursor.at_end(), entries.empty());
    if (!cursor.at_end()) {
      ASSERT_EQ(cursor.entry().key, floor->first);
    }
  }
}

TEST_P(TreeOfSize, NodesAreWithinLimitsAndNearFourKilobytes) {
  MemoryChunks chunks;
  build(random_entries(GetParam(), random, 100), chunks);
  std::size_t sum = 0;
  for (const auto& [id, node] : chunks.chunks) {
    EXPECT_LE(node.size(), limits::tree_node_max);
    sum += node.size();
  }
  if (GetParam() >= 3000) {
    EXPECT_GT(sum / chunks.chunks.size(), 3000U);
    EXPECT_LT(sum / chunks.chunks.size(), 5500U);
  }
}

// The entries alone make the nodes: after any changes a tree is what it would have been without its past.
TEST_P(TreeOfSize, AChangeTouchesItsNodesOnly) {
  MemoryChunks chunks;
  Entries entries = random_entries(GetParam(), random, 100);
  const TreeRoot before = build(entries, chunks);
  const std::set<ChunkId> old_nodes = nodes_of(before, {}, chunks);
  EXPECT_EQ(old_nodes.size(), chunks.chunks.size());
  for (int change = 0; change < 10; ++change) {
    Entries changed = entries;
    const Entries added = random_entries(1, random, 100);
    changed.insert(added.begin(), added.end());
    if (change % 3 == 1)
      changed.erase(std::next(changed.begin(), static_cast<std::ptrdiff_t>(random() % changed.size())));
    if (change % 3 == 2) changed.begin()->second.push_back(std::byte{1});
    const TreeRoot after = build(changed, chunks);
    const std::set<ChunkId> new_nodes = nodes_of(after, before, chunks);
    const std::set<ChunkId> all_nodes = nodes_of(after, {}, chunks);
    // What was not visited is in the base, and what was visited is not.
    for (const ChunkId& id : all_nodes) EXPECT_NE(new_nodes.contains(id), old_nodes.contains(id));
    EXPECT_LE(new_nodes.size(), 6U * after.levels) << "of " << all_nodes.size();
  }
}

TEST(Tree, NewNodesAreFoundBetweenTreesOfDifferentHeight) {
  MemoryChunks chunks;
  std::mt19937 random(5);
  const Entries large = random_entries(20000, random, 100);
  Entries small;
  for (auto it = large.begin(); small.size() < 1500; ++it) small.insert(*it);
  const TreeRoot tall = build(large, chunks);
  const TreeRoot low = build(small, chunks);
  ASSERT_GT(tall.levels, low.levels);
  const std::set<ChunkId> of_tall = nodes_of(tall, {}, chunks);
  const std::set<ChunkId> of_low = nodes_of(low, {}, chunks);
  for (const auto& [tree, base, in_tree, in_base] :
       {std::tuple(tall, low, of_tall, of_low), std::tuple(low, tall, of_low, of_tall)}) {
    const std::set<ChunkId> visited = nodes_of(tree, base, chunks);
    std::size_t shared = 0;
    for (const ChunkId& id : in_tree) {
      if (!in_base.contains(id)) {
        EXPECT_TRUE(visited.contains(id));
      } else {
        shared += visited.contains(id) ? 0 : 1;
      }
    }
    EXPECT_GT(shared, 5U);  // the first leaves of the large tree are the small one's
  }
}

TEST(Tree, EqualTreesCostNothingToCompare) {
  MemoryChunks chunks;
  std::mt19937 random(6);
  const TreeRoot root = build(random_entries(3000, random, 100), chunks);
  EXPECT_TRUE(nodes_of(root, root, chunks).empty());
  EXPECT_EQ(chunks.calls, 0U);
}

TEST(Tree, AScanAsksForManyNodesAtOnceAndALookupForItsPathOnly) {
  MemoryChunks chunks;
  std::mt19937 random(8);
  const Entries entries = random_entries(30000, random, 100);
  const TreeRoot root = build(entries, chunks);
  tree_lookup(root, chunks, entries.begin()->first);
  EXPECT_EQ(chunks.fetched, root.levels);
  chunks.calls = chunks.fetched = 0;
  TreeCursor cursor(root, chunks);
  for (cursor.seek({}); !cursor.at_end(); cursor.next()) {
  }
  EXPECT_EQ(chunks.fetched, chunks.chunks.size());
  EXPECT_LT(chunks.calls, chunks.chunks.size() / 10);
}

TEST(Tree, BuilderRefusesWhatDoesNotAscendOrFit) {
  MemoryChunks chunks;
  TreeBuilder builder(tree_key, chunks.emit());
  builder.add(bytes_of("b"), {});
  EXPECT_THROW(builder.add(bytes_of("b"), {}), std::logic_error);
  EXPECT_THROW(builder.add(bytes_of("a"), {}), std::logic_error);
  EXPECT_THROW(builder.add(Bytes(limits::tree_key_max + 1, std::byte{'x'}), {}), std::logic_error);
  EXPECT_THROW(builder.add(bytes_of("c"), Bytes(limits::tree_value_max + 1)), std::logic_error);
  builder.add(bytes_of("bb"), {});
  EXPECT_EQ(builder.finish().entries, 2U);
}

// Keys of a hostile guest that all cut a node at once must not make the tree too deep to be read.
TEST(Tree, KeysThatWereChosenToCutStayWithinTheDepth) {
  MemoryChunks chunks;
  TreeBuilder builder(tree_key, chunks.emit());
  std::uint32_t made = 0;
  for (std::uint32_t i = 0; made < 30000; ++i, ++made) {
    ByteWriter writer;
    writer.u64_big_endian(i);
    writer.bytes(Bytes(limits::tree_key_max - 8, std::byte{'k'}));
    builder.add(writer.view(), {});
  }
  const TreeRoot root = builder.finish();
  EXPECT_LT(root.levels, limits::tree_depth_max);
  TreeCursor cursor(root, chunks);
  cursor.seek({});
  std::uint32_t count = 0;
  for (; !cursor.at_end(); cursor.next()) ++count;
  EXPECT_EQ(count, made);
}

// A lying inner node: other children than its keys and counts say. The source's ids are right each time.
class HostileTree : public ::testing::Test {
 protected:
  Bytes leaf(const std::vector<std::string>& keys) {
    ByteWriter out;
    out.u8(1);
    out.u8(0);
    out.varint(keys.size());
    for (const std::string& k : keys) {
      out.varint(0);
      out.string(k);
      out.string("v");
    }
    return std::move(out).take();
  }
  struct Child {
    std::string first_key;
    ChunkId id;
    std::uint64_t entries;
  };
  Bytes inner(std::uint8_t level, const std::vector<Child>& children) {
    ByteWriter out;
    out.u8(1);
    out.u8(level);
    out.varint(children.size());
    for (const Child& child : children) {
      out.varint(0);
      out.string(child.first_key);
      out.bytes(child.id.view());
      out.varint(child.entries);
    }
    return std::move(out).take();
  }
  ChunkId put(const Bytes& node) {
    const ChunkId id = chunk_id_of(tree_key, node);
    chunks.chunks[id] = node;
    return id;
  }
  // All ways of reading refuse it.
  void expect_refused(const TreeRoot& root) {
    const auto scan = [&] {
      TreeCursor cursor(root, chunks);
      for (cursor.seek({}); !cursor.at_end(); cursor.next()) {
      }
    };
    EXPECT_THROW(scan(), Error);
    EXPECT_THROW(nodes_of(root, {}, chunks), Error);
  }
  MemoryChunks chunks;
  ChunkId ab = put(leaf({"a", "b"}));
  ChunkId cd = put(leaf({"c", "d"}));
};

TEST_F(HostileTree, AGoodOneIsRead) {
  const ChunkId root = put(inner(1, {{"a", ab, 2}, {"c", cd, 2}}));
  EXPECT_EQ(nodes_of({root, 2, 4}, {}, chunks).size(), 3U);
  EXPECT_TRUE(tree_lookup({root, 2, 4}, chunks, bytes_of("d")));
}

TEST_F(HostileTree, WrongLevels) {
  const ChunkId inner_one = put(inner(1, {{"a", ab, 2}}));
  expect_refused({ab, 2, 2});
  expect_refused({inner_one, 1, 2});
  expect_refused({put(inner(2, {{"a", ab, 2}})), 3, 2});
  expect_refused({put(inner(1, {{"a", inner_one, 2}})), 2, 2});
  expect_refused({ab, 13, 2});
}

TEST_F(HostileTree, WrongKeysAndCounts) {
  expect_refused({put(inner(1, {{"a", cd, 2}, {"c", ab, 2}})), 2, 4});
  expect_refused({put(inner(1, {{"a", ab, 2}, {"b", put(leaf({"b", "c"})), 2}})), 2, 4});
  expect_refused({put(inner(1, {{"a", ab, 3}, {"c", cd, 2}})), 2, 5});
  expect_refused({put(inner(1, {{"a", ab, 2}, {"c", cd, 2}})), 2, 5});
  expect_refused({put(inner(1, {{"a", ab, 2}, {"c", ab, 2}})), 2, 4});
}

TEST_F(HostileTree, BrokenNodes) {
  EXPECT_THROW(parse_tree_node({}), Error);
  EXPECT_THROW(parse_tree_node(leaf({})), Error);
  EXPECT_THROW(parse_tree_node(leaf({"b", "a"})), Error);
  EXPECT_THROW(parse_tree_node(leaf({"a", "a"})), Error);
  EXPECT_THROW(parse_tree_node(leaf({"aa", "ab"})), Error);  // a shared prefix that is not shared
  EXPECT_THROW(parse_tree_node(leaf({std::string(limits::tree_key_max + 1, 'k')})), Error);
  EXPECT_THROW(parse_tree_node(inner(1, {{"a", ab, 0}})), Error);
  const Bytes good = leaf({"a", "b"});
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_THROW(parse_tree_node(ByteView(good).first(length)), Error) << length;
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_THROW(parse_tree_node(longer), Error);
  Bytes newer = good;
  newer[0] = std::byte{2};
  EXPECT_THROW(parse_tree_node(newer), Error);
}

TEST_F(HostileTree, ACursorThatFailedIsAtItsEnd) {
  const ChunkId root = put(inner(1, {{"a", ab, 2}, {"c", cd, 2}}));
  chunks.chunks.erase(cd);
  TreeCursor cursor({root, 2, 4}, chunks);
  cursor.seek(bytes_of("b"));
  EXPECT_THROW(cursor.next(), Error);
  EXPECT_TRUE(cursor.at_end());
  cursor.seek(bytes_of("a"));
  EXPECT_EQ(cursor.entry().key, bytes_of("a"));
}

}  // namespace
}  // namespace vmferry
