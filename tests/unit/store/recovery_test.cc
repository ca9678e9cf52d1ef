#include <gmock/gmock.h>

#include "store_fixture.h"
#include "target-server/store/pack_format.h"

namespace vmferry::store {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class Recovery : public StoreTest {
 protected:
  std::filesystem::path open_pack() {
    const auto found = files_below(directory_ / "journal", ".pack");
    return found.size() == 1 ? found[0] : std::filesystem::path();
  }
  void delete_index() {
    for (const char* suffix : {"", "-wal", "-shm"})
      std::filesystem::remove(directory_ / (std::string("index.sqlite") + suffix));
  }
  void copy_store(const std::filesystem::path& to) {
    std::filesystem::remove_all(to);
    std::filesystem::copy(directory_, to, std::filesystem::copy_options::recursive);
  }
};

TEST_F(Recovery, AJournalCutAtAnyByteKeepsEveryWholeFrame) {
  std::vector<std::pair<std::uint64_t, std::vector<ChunkId>>> ends;  // the journal's size after each frame
  {
    const auto store = open();
    for (std::uint64_t i = 0; i < 3; ++i) {
      const std::vector<ChunkId> ids = append_frame(*store, i * 10, 2, 40);
      store->sync();
      ends.push_back({std::filesystem::file_size(open_pack()), ids});
    }
  }
  const Bytes whole = read_file(open_pack());
  const std::string name = open_pack().filename();
  const DomainKey key = open(false)->domain().key;
  for (const std::size_t size : {std::size_t{0}, pack_header_bytes - 1}) {
    ByteView cut = ByteView(whole).first(size);
    write_file(directory_ / "journal" / name, cut);
    delete_index();
    EXPECT_NO_THROW(open());
    for (const auto& aside : files_below(directory_ / "journal", ".damaged")) std::filesystem::remove(aside);
  }
  for (std::size_t size = ends[0].first; size <= whole.size(); ++size) {
    const ReadAt read = [&](std::uint64_t offset, std::span<std::byte> into) {
      const std::size_t count = std::min<std::size_t>(into.size(), size - offset);
      std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
      return count;
    };
    std::size_t frames = 0;
    const ScanResult scan = scan_frames(read, pack_header_bytes, size, key, [&](const ScannedFrame&) { ++frames; });
    const auto expected = static_cast<std::size_t>(
        std::count_if(ends.begin(), ends.end(), [&](const auto& end) { return end.first <= size; }));
    ASSERT_EQ(frames, expected) << "cut at " << size;
    ASSERT_EQ(scan.end, ends[expected - 1].first);
    ASSERT_THAT(scan.damaged, IsEmpty());
    if (size % 61 != 0 && size != whole.size()) continue;  // the whole store, now and then: it syncs a lot
    std::filesystem::remove_all(directory_ / "packs");
    std::filesystem::create_directory(directory_ / "packs");
    write_file(directory_ / "journal" / name, ByteView(whole).first(size));
    delete_index();
    const auto store = open();
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (i < expected)
        expect_readable(*store, ends[i].second);
      else
        EXPECT_THAT(store->contains(ends[i].second), testing::Each(false));
    }
    const std::vector<ChunkId> more = append_frame(*store, 500);
    store->sync();
    expect_readable(*store, more);
  }
}

TEST_F(Recovery, ALostOrDestroyedIndexIsRebuiltFromSealedAndOpenPacks) {
  std::vector<ChunkId> ids;
  {
    const auto store = open(true, 10'000);
    for (std::uint64_t i = 0; i < 30; ++i) ids.push_back(append_frame(*store, i)[0]);
  }
  delete_index();
  expect_readable(*open(), ids);
  write_file(directory_ / "index.sqlite", random_bytes(1, 100'000));
  {
    const auto store = open();
    expect_readable(*store, ids);
    EXPECT_EQ(store->status().chunks, ids.size());
    EXPECT_THAT(store->notes(), testing::Not(IsEmpty()));
  }
  delete_index();
  expect_readable(*open(false), ids);  // a reader, too
}

TEST_F(Recovery, AnOldIndexUnderANewerStoreAndTheReverseComeRight) {
  std::vector<ChunkId> early, late;
  const std::filesystem::path old = scratch_.path() / "old", now = scratch_.path() / "now";
  {
    const auto store = open(true, 10'000);
    for (std::uint64_t i = 0; i < 12; ++i) early.push_back(append_frame(*store, i)[0]);
  }
  copy_store(old);
  {
    const auto store = open(true, 10'000);
    for (std::uint64_t i = 100; i < 125; ++i) late.push_back(append_frame(*store, i)[0]);
  }
  copy_store(now);

  std::filesystem::copy_file(old / "index.sqlite", now / "index.sqlite",
                             std::filesystem::copy_options::overwrite_existing);
  {
    const auto newer = Store::open(now);
    expect_readable(*newer, early);
    expect_readable(*newer, late);
  }
  std::filesystem::copy_file(directory_ / "index.sqlite", old / "index.sqlite",
                             std::filesystem::copy_options::overwrite_existing);
  {
    const auto rolled_back = Store::open(old);
    expect_readable(*rolled_back, early);
    EXPECT_THAT(rolled_back->contains(late), testing::Each(false));
    for (std::uint64_t i = 100; i < 125; ++i) append_frame(*rolled_back, i);
    rolled_back->sync();
    expect_readable(*rolled_back, late);
    EXPECT_EQ(rolled_back->status().chunks, early.size() + late.size());
  }
}

TEST_F(Recovery, ADamagedByteInAPackIsNeverReadAsContent) {
  const std::vector<ChunkId> ids = append_frame(*open(), 1, 3, 60);
  {
    const auto store = open();
    store->seal(0);
  }
  const std::filesystem::path pack = files_below(directory_ / "packs", ".pack").at(0);
  const Bytes whole = read_file(pack);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes bad = whole;
    bad[at] ^= std::byte{0x10};
    write_file(pack, bad);
    if (at % 97 == 0) delete_index();
    if (at % 7 != 0) continue;
    const auto store = open(false);
    try {
      expect_readable(*store, ids);  // header, trailer: the frames are still right
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::damaged) << "at " << at << ": " << error.what();
    }
  }
}

TEST_F(Recovery, ABadFrameBetweenGoodOnesIsKeptAsideAndCostsOnlyItself) {
  std::vector<std::vector<ChunkId>> ids;
  std::vector<std::uint64_t> ends;
  {
    const auto store = open();
    for (std::uint64_t i = 0; i < 3; ++i) {
      ids.push_back(append_frame(*store, i * 10, 2));
      store->sync();
      ends.push_back(std::filesystem::file_size(open_pack()));
    }
  }
  const std::filesystem::path pack = open_pack();
  for (const std::uint64_t at : {ends[0] + 8, ends[0] + 200}) {  // its length, its content
    Bytes bad = read_file(pack.string());
    bad[static_cast<std::size_t>(at)] ^= std::byte{1};
    delete_index();
    write_file(pack, bad);
    const Bytes damaged = bad;
    {
      const auto store = open();
      expect_readable(*store, ids[0]);
      expect_readable(*store, ids[2]);
      EXPECT_THAT(store->contains(ids[1]), testing::Each(false));
      EXPECT_THAT(store->notes(), testing::Not(IsEmpty()));
    }
    const auto kept = files_below(directory_ / "journal", ".damaged");
    ASSERT_THAT(kept, SizeIs(1));
    EXPECT_EQ(read_file(kept[0]), damaged);
    delete_index();
    expect_readable(*open(), ids[2]);  // sealed, with the trailer naming the good ones
    std::filesystem::remove(kept[0]);
    const std::filesystem::path sealed = files_below(directory_ / "packs", ".pack").at(0);
    bad = damaged;
    bad[static_cast<std::size_t>(at)] ^= std::byte{1};
    std::filesystem::remove(sealed);
    write_file(pack, bad);
  }
}

TEST_F(Recovery, AFrameInsideDamagedContentIsBelievedOnlyWithItsContentChecked) {
  // A client may store a whole frame, with ids that lie, as the content of a plain frame.
  const DomainKey key = open(false)->domain().key;
  const Bytes secret = random_bytes(7, 300);
  const ChunkId stolen = chunk_id_of(key, random_bytes(8, 300));
  FrameBuilder inner(1);
  inner.add(stolen, secret);
  Bytes lying = inner.finish();
  FrameBuilder outer(1);
  outer.add(chunk_id_of(key, lying), lying);
  const Bytes frame = outer.finish();
  {
    const auto store = open();
    append_frame(*store, 1);
    store->append(parse_frame(frame));
    append_frame(*store, 2);
  }
  const std::filesystem::path pack = open_pack();
  Bytes bytes = read_file(pack);
  const auto outer_at = std::search(bytes.begin(), bytes.end(), frame.begin(), frame.end()) - bytes.begin();
  bytes[static_cast<std::size_t>(outer_at) + 9] ^= std::byte{1};
  write_file(pack, bytes);
  delete_index();
  const auto store = open();
  EXPECT_THAT(store->contains(std::vector{stolen}), testing::ElementsAre(false));
  EXPECT_EQ(store->status().chunks, 2u);
}

TEST_F(Recovery, ATrailerThatWasNotMovedYetIsCutOrSealed) {
  const std::vector<ChunkId> ids = append_frame(*open(), 1, 2);
  const std::filesystem::path pack = open_pack();
  const Bytes frames = read_file(pack);
  {
    const auto store = open();
    store->seal(0);
  }
  const std::filesystem::path sealed = files_below(directory_ / "packs", ".pack").at(0);
  const Bytes with_trailer = read_file(sealed);
  std::filesystem::remove(sealed);
  for (std::size_t size = frames.size(); size <= with_trailer.size(); size += 9) {
    write_file(pack, ByteView(with_trailer).first(size));
    delete_index();
    {
      const auto store = open();
      expect_readable(*store, ids);
    }
    for (const auto& left : files_below(directory_ / "packs", ".pack")) std::filesystem::remove(left);
  }
}

TEST_F(Recovery, AnotherStoresPackIsNotUsed) {
  Store::init(scratch_.path() / "other");
  ChunkId foreign;
  {
    const auto other = Store::open(scratch_.path() / "other");
    foreign = append_frame(*other, 1)[0];
    other->seal(0);
  }
  const auto pack = files_below(scratch_.path() / "other" / "packs", ".pack").at(0);
  const auto to = directory_ / "packs" / pack.parent_path().filename();
  std::filesystem::create_directories(to);
  std::filesystem::copy_file(pack, to / pack.filename());
  const auto store = open();
  EXPECT_THAT(store->contains(std::vector{foreign}), testing::ElementsAre(false));
  EXPECT_THAT(store->notes(), SizeIs(1));
}

}  // namespace
}  // namespace vmferry::store
