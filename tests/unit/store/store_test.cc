#include <gmock/gmock.h>

#include "store_fixture.h"

namespace vmferry::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(StoreTest, WhatWasAppendedIsReadBackBeforeAndAfterSyncAndInANewProcess) {
  std::vector<ChunkId> ids;
  {
    const auto store = open();
    for (std::uint64_t i = 0; i < 20; ++i)
      for (const ChunkId& id : append_frame(*store, i * 10, 3)) ids.push_back(id);
    expect_readable(*store, ids);
    store->sync();
    expect_readable(*store, ids);
  }
  const auto again = open();
  expect_readable(*again, ids);
  EXPECT_EQ(again->status().chunks, ids.size());
  EXPECT_THAT(again->notes(), IsEmpty());
}

TEST_F(StoreTest, ContainsKnowsPendingAndStoredAndNothingElse) {
  const auto store = open();
  const ChunkId pending = append_frame(*store, 1)[0];
  const ChunkId unknown = make_frame(store->domain().key, 2).ids[0];
  EXPECT_THAT(store->contains(std::vector{unknown, pending}), ElementsAre(false, true));
  store->sync();
  EXPECT_THAT(store->contains(std::vector{unknown, pending}), ElementsAre(false, true));
}

TEST_F(StoreTest, AFrameOfKnownChunksTakesNoSpaceAndOneNewChunkStoresAll) {
  const auto store = open();
  const MadeFrame frame = make_frame(store->domain().key, 1, 4);
  EXPECT_EQ(store->append(parse_frame(frame.bytes)), frame.bytes.size());
  EXPECT_EQ(store->append(parse_frame(frame.bytes)), 0u);
  store->sync();
  EXPECT_EQ(store->append(parse_frame(frame.bytes)), 0u);
  const MadeFrame overlapping = make_frame(store->domain().key, 4, 2);
  EXPECT_EQ(store->append(parse_frame(overlapping.bytes)), overlapping.bytes.size());
  store->sync();
  EXPECT_EQ(store->status().chunks, 5u);
}

TEST_F(StoreTest, FullPacksAreSealedAndReadTheSame) {
  std::vector<ChunkId> ids;
  {
    const auto store = open(true, 20'000);
    for (std::uint64_t i = 0; i < 100; ++i) ids.push_back(append_frame(*store, i)[0]);
    store->sync();
    expect_readable(*store, ids);
    store->seal(0);
    expect_readable(*store, ids);
    EXPECT_THAT(files_below(directory_ / "journal", ".pack"), IsEmpty());
    EXPECT_GE(files_below(directory_ / "packs", ".pack").size(), 5u);
  }
  const auto again = open();
  EXPECT_THAT(again->notes(), IsEmpty());
  expect_readable(*again, ids);
}

TEST_F(StoreTest, LocateGroupsByFrameInStoreOrderAndNamesWhatIsMissing) {
  const auto store = open();
  const std::vector<ChunkId> first = append_frame(*store, 1, 3);
  const std::vector<ChunkId> second = append_frame(*store, 10, 3);
  store->sync();
  const std::vector<ChunkId> third = append_frame(*store, 20, 1);
  const ChunkId unknown = make_frame(store->domain().key, 99).ids[0];
  std::vector<ChunkId> missing;
  const auto located = store->locate(std::vector{third[0], second[1], unknown, first[2], first[0], first[0]}, missing);
  ASSERT_EQ(located.size(), 3u);
  EXPECT_THAT(located[0].ids, testing::UnorderedElementsAre(first[0], first[2]));
  EXPECT_THAT(located[1].ids, ElementsAre(second[1]));
  EXPECT_THAT(located[2].ids, ElementsAre(third[0]));
  EXPECT_LT(located[0].frame.offset, located[1].frame.offset);
  EXPECT_THAT(missing, ElementsAre(unknown));
}

TEST_F(StoreTest, AReaderSeesWhatAWriterSyncsAndSealsBesideIt) {
  const auto writer = open();
  const ChunkId early = append_frame(*writer, 1)[0];
  writer->sync();
  const auto reader = open(false);
  std::vector<ChunkId> missing;
  const auto located = reader->locate(std::vector{early}, missing);
  ASSERT_EQ(located.size(), 1u);
  writer->seal(0);  // the pack moves between locate and read
  EXPECT_NO_THROW(reader->read_frame(located[0].frame));
  const ChunkId late = append_frame(*writer, 2)[0];
  writer->sync();
  expect_readable(*reader, std::vector{early, late});
  EXPECT_EQ(reader->status().writer_pid, ::getpid());
}

TEST_F(StoreTest, WithADamagedFrameAllOfItsChunksAreLostAndNoOthers) {
  for (const bool sealed : {false, true}) {
    const auto store = open();
    const std::uint64_t seed = sealed ? 1000 : 0;
    const std::vector<ChunkId> damaged = append_frame(*store, seed, 8), sound = append_frame(*store, seed + 100, 8);
    store->sync();
    std::vector<ChunkId> missing;
    const FrameLocation frame = store->locate(damaged, missing).at(0).frame;
    if (sealed) store->seal(0);
    for (const std::filesystem::path& pack : files_below(directory_, ".pack")) {
      if (pack.stem() != frame.pack.to_string()) continue;
      std::filesystem::permissions(pack, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
      std::fstream file(pack, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(frame.offset + frame.length / 2));
      file.write("damaged", 7);
    }
    store->recheck(std::span(&damaged[3], 1), false);
    EXPECT_EQ(store->contains(damaged), std::vector<bool>(8, false));
    EXPECT_EQ(store->contains(sound), std::vector<bool>(8, true));
    EXPECT_EQ(store->lost(100).size(), 8u);
    append_frame(*store, seed, 8);
    store->sync();
    EXPECT_FALSE(store->any_lost());
    expect_readable(*store, damaged);
  }
}

TEST_F(StoreTest, WhatAVerifyingReaderFindsLostIsRecordedWhereNobodyWrites) {
  const ChunkId gone = make_frame(DomainKey{}, 1).ids[0];
  open()->sync();
  {
    const auto writer = open();
    open(false)->recheck(std::span(&gone, 1), true);
    EXPECT_FALSE(writer->any_lost()) << "another writes";
  }
  open(false)->recheck(std::span(&gone, 1), false);
  EXPECT_FALSE(open()->any_lost()) << "no point names it";
  open(false)->recheck(std::span(&gone, 1), true);
  EXPECT_EQ(open()->lost(10), std::vector<ChunkId>{gone});
}

TEST_F(StoreTest, OpeningNeverCreatesAStore) {
  const std::filesystem::path nowhere = scratch_.path() / "nowhere";
  std::string message;
  EXPECT_EQ(error_of([&] { Store::open(nowhere); }, &message), ErrorCode::not_found);
  EXPECT_THAT(message,
              HasSubstr("is the disk mounted? `vmferry-target init --store " + nowhere.string() + "` makes one"));
  EXPECT_FALSE(std::filesystem::exists(nowhere));
}

TEST_F(StoreTest, InitRefusesAStoreAndADirectoryWithFiles) {
  EXPECT_EQ(error_of([&] { Store::init(directory_); }), ErrorCode::exists);
  std::filesystem::create_directory(scratch_.path() / "full");
  write_file(scratch_.path() / "full" / "letter.txt", as_bytes("x"));
  EXPECT_EQ(error_of([&] { Store::init(scratch_.path() / "full"); }), ErrorCode::exists);
}

TEST_F(StoreTest, AStoreOfANewerVersionIsRefused) {
  std::string text(as_text(read_file(directory_ / "vmferry-store.toml")));
  text.replace(text.find("format_version = 1"), 18, "format_version = 2");
  write_file(directory_ / "vmferry-store.toml", as_bytes(text));
  EXPECT_EQ(error_of([&] { open(); }), ErrorCode::version);
  EXPECT_EQ(error_of([&] { open(false); }), ErrorCode::version);
}

TEST_F(StoreTest, TheKeyAndTheDirectoryAreForTheOwnerOnly) {
  using std::filesystem::perms;
  const auto domain = open()->domain();
  EXPECT_EQ(std::filesystem::status(directory_).permissions(), perms::owner_all);
  EXPECT_EQ(std::filesystem::status(directory_ / "domains" / domain.uuid.to_string() / "domain").permissions(),
            perms::owner_read | perms::owner_write);
}

TEST_F(StoreTest, BelowTheReserveNothingIsAppendedAndWhatIsThereIsReadable) {
  ChunkId id;
  {
    const auto store = open();
    id = append_frame(*store, 1)[0];
  }
  const auto full =
      Store::open(directory_, {.writable = true, .reserve_fraction = 1.0, .pack_bytes_target = 1u << 20, .socket = {}});
  std::string message;
  EXPECT_EQ(error_of([&] { append_frame(*full, 2); }, &message), ErrorCode::no_space);
  EXPECT_THAT(message, HasSubstr("kept in reserve"));
  expect_readable(*full, std::vector{id});
  EXPECT_EQ(full->append(parse_frame(make_frame(full->domain().key, 1).bytes)), 0u);
}

TEST_F(StoreTest, AReaderCannotWrite) {
  const auto reader = open(false);
  EXPECT_EQ(error_of([&] { append_frame(*reader, 1); }), ErrorCode::refused);
  EXPECT_EQ(error_of([&] { reader->add_point(make_point(Uuid::random(), Uuid::random())); }), ErrorCode::refused);
}

}  // namespace
}  // namespace vmferry::store
