// Trees as a hostile target could make them.
#include <gtest/gtest.h>

#include "engine/restore/tree_check.h"
#include "engine/restore/tree_sweep.h"
#include "protocol/error.h"
#include "tests/support/tangled_tree.h"

namespace vmferry::restore {
namespace {

const DomainKey domain_key{};

TEST(HostileTree, ANodeThatIsNamedAgainAndAgainEndsASweep) {
  test::MemoryChunks chunks;
  const TreeRoot root = test::tangled_tree(chunks, domain_key, 4, 60);
  std::size_t visited = 0;
  const KeyRange all{Bytes(8, std::byte{0}), Bytes(8, std::byte{0xff})};
  try {
    sweep_tree(root, chunks, {all}, [&](const TreeEntry&) { ++visited; });
    ADD_FAILURE() << "it was taken for a tree";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::malformed) << error.what();
  }
  EXPECT_LT(visited, 60U);
}

TEST(HostileTree, ANodeThatIsNamedAgainAndAgainIsDamageAndIsNotWalked) {
  test::MemoryChunks chunks;
  const TreeRoot root = test::tangled_tree(chunks, domain_key, 4, 60);
  std::size_t visited = 0, damage = 0;
  check_tree(root, chunks, [&](const TreeEntry&) { ++visited; }, [&](const std::string&) { ++damage; });
  EXPECT_LE(visited, 1U);
  EXPECT_GT(damage, 0U);
  EXPECT_LE(damage, 4U * 60U);
}

}  // namespace
}  // namespace vmferry::restore
