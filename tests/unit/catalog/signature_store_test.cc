#include "engine/catalog/signature_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "protocol/error.h"
#include "protocol/sqlite.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::catalog {
namespace {

ChunkId id_of(std::uint32_t number) {
  ChunkId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::byte>(number * 31 + i * (number + 7));
  std::memcpy(id.bytes.data(), &number, sizeof number);
  return id;
}

Bytes signature_of(std::uint32_t number, std::size_t bytes = 1000) {
  return Bytes(bytes, static_cast<std::byte>(number));
}

std::vector<std::pair<ChunkId, Bytes>> some(std::uint32_t begin, std::uint32_t end) {
  std::vector<std::pair<ChunkId, Bytes>> made;
  for (std::uint32_t i = begin; i < end; ++i) made.emplace_back(id_of(i), signature_of(i));
  return made;
}

class SignatureStoreTest : public testing::Test {
 protected:
  std::filesystem::path file() const { return directory_ / "catalog.signatures"; }
  test::TemporaryDirectory directory_;
};

TEST_F(SignatureStoreTest, GivesBackWhatWasAddedInALaterRun) {
  {
    SignatureStore store(file());
    store.add(some(0, 20));
  }
  SignatureStore store(file());
  const std::vector<Bytes> found = store.find(std::vector{id_of(3), id_of(99), id_of(19)});
  EXPECT_EQ(found[0], signature_of(3));
  EXPECT_TRUE(found[1].empty());
  EXPECT_EQ(found[2], signature_of(19));
  EXPECT_TRUE(store.contains(id_of(0)));
  EXPECT_FALSE(store.contains(id_of(20)));
  EXPECT_EQ(store.size().signatures, 20u);
  EXPECT_EQ(store.size().bytes, 20'000u);
}

TEST_F(SignatureStoreTest, AChunkIsSignedOnce) {
  SignatureStore store(file());
  store.add(some(0, 5));
  store.add({{id_of(3), signature_of(77)}});
  EXPECT_EQ(store.size().signatures, 5u);
  EXPECT_EQ(store.find(std::vector{id_of(3)})[0], signature_of(3));
}

TEST_F(SignatureStoreTest, OverItsBudgetWhatNoLastPointNamesGoesFirstThenTheOldest) {
  SignatureStore store(file(), 10'000);
  store.add(some(0, 20));
  store.trim([](const SignatureStore::Name& name) {
    for (std::uint32_t i = 0; i < 4; ++i) name(id_of(i));
    for (std::uint32_t i = 18; i < 20; ++i) name(id_of(i));
  });
  EXPECT_LE(store.size().bytes, 10'000u);
  EXPECT_EQ(store.size().signatures, 9u);
  for (const std::uint32_t kept : {0u, 3u, 18u, 19u}) EXPECT_TRUE(store.contains(id_of(kept))) << kept;
  EXPECT_FALSE(store.contains(id_of(4)));

  store.add(some(100, 110));
  store.trim([](const SignatureStore::Name& name) {
    for (std::uint32_t i = 0; i < 200; ++i) name(id_of(i));
  });
  EXPECT_LE(store.size().bytes, 10'000u);
  EXPECT_FALSE(store.contains(id_of(0)));
  EXPECT_TRUE(store.contains(id_of(109)));
}

TEST_F(SignatureStoreTest, WithinItsBudgetNobodyIsAskedWhatIsNamed) {
  SignatureStore store(file(), 1'000'000);
  store.add(some(0, 20));
  store.trim([](const SignatureStore::Name&) { FAIL(); });
  EXPECT_EQ(store.size().signatures, 20u);
}

TEST_F(SignatureStoreTest, ADamagedFileIsMadeAnew) {
  {
    SignatureStore store(file());
    store.add(some(0, 2000));
  }
  {
    std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
    const std::string rubbish(1 << 20, 'x');
    bytes.write(rubbish.data(), static_cast<std::streamsize>(rubbish.size()));
  }
  SignatureStore store(file());
  EXPECT_NE(store.problem(), "");
  EXPECT_EQ(store.size().signatures, 0u);
  store.add(some(0, 5));
  EXPECT_EQ(store.size().signatures, 5u);
}

TEST_F(SignatureStoreTest, DamageFoundOnTheWayEndsItsUseAndTheNextRunBeginsAnew) {
  {
    SignatureStore store(file());
    store.add(some(0, 4000));
  }
  std::filesystem::remove(file().string() + "-wal");
  {  // all but the first page
    std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(8192);
    const std::string rubbish(static_cast<std::size_t>(std::filesystem::file_size(file())) - 8192, '\xff');
    bytes.write(rubbish.data(), static_cast<std::streamsize>(rubbish.size()));
  }
  {
    SignatureStore store(file());
    for (std::uint32_t i = 0; i < 4000; i += 100) static_cast<void>(store.find(std::vector{id_of(i)}));
    EXPECT_NE(store.problem(), "");
    EXPECT_FALSE(store.contains(id_of(1)));
  }
  SignatureStore again(file());
  EXPECT_EQ(again.problem(), "");
  EXPECT_EQ(again.size().signatures, 0u);
}

TEST_F(SignatureStoreTest, APlaceThatCannotBeWrittenIsNoErrorOfTheBackup) {
  SignatureStore store(directory_ / "no/such/folder/catalog.signatures");
  EXPECT_NE(store.problem(), "");
  store.add(some(0, 3));
  EXPECT_TRUE(store.find(std::vector{id_of(0)})[0].empty());
}

TEST_F(SignatureStoreTest, AnotherProgramsFileIsLeftAlone) {
  const std::filesystem::path catalog = directory_ / "catalog.signatures";
  EXPECT_NE(SignatureStore::file_beside(catalog), catalog);
  {
    sqlite::Database other(file(), sqlite::Database::Mode::create, {"another one", "none"});
    other.run("CREATE TABLE precious (x); INSERT INTO precious VALUES (42)");
  }
  {
    SignatureStore store(file());
    EXPECT_NE(store.problem(), "");
    store.add(some(0, 3));
  }
  sqlite::Database other(file(), sqlite::Database::Mode::read, {"another one", "none"});
  EXPECT_EQ(other.number("SELECT x FROM precious"), 42);
}

TEST_F(SignatureStoreTest, WhoCannotSayWhatIsNamedDropsNothing) {
  SignatureStore store(file(), 10'000);
  store.add(some(0, 20));
  EXPECT_THROW(store.trim([](const SignatureStore::Name&) { throw Error(ErrorCode::damaged, "the catalog is damaged"); }), Error);
  EXPECT_EQ(store.size().signatures, 20u);
  EXPECT_EQ(store.problem(), "");
}

TEST_F(SignatureStoreTest, RemembersUpToWhichPointAMachineIsSigned) {
  const Uuid kept_in = Uuid::random(), machine = Uuid::random(), point = Uuid::random();
  {
    SignatureStore store(file());
    EXPECT_EQ(store.signed_up_to(kept_in, machine), std::nullopt);
    store.set_signed_up_to(kept_in, machine, Uuid::random());
    store.set_signed_up_to(kept_in, machine, point);
    store.set_signed_up_to(Uuid::random(), machine, Uuid::random());
  }
  SignatureStore store(file());
  EXPECT_EQ(store.signed_up_to(kept_in, machine), point);
}

}  // namespace
}  // namespace vmferry::catalog
