#include <wimlib.h>

#include "engine/crack/wof.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/unit/crack/cracked.h"

namespace vmferry::crack {
namespace {

using test::NtfsImage;
using limits::MiB;

class Files : public testing::Test {
 protected:
  Files() { NtfsImage::format(path, 96 * MiB); }

  // Reads a file through the sandbox by what the cracker told of it.
  Bytes read(std::string_view file_path) {
    const Cracked cracked = crack_file(path);
    const NameEntry* name = cracked.find(file_path);
    if (name == nullptr) throw std::runtime_error("no such file");
    VolumeFile volume(path);
    VolumeFiles files(volume.bytes(), {});
    return read_whole(files, name->record, name->data_bytes);
  }

  VolumeFiles::FileFacts facts(std::string_view file_path) {
    const Cracked cracked = crack_file(path);
    VolumeFile volume(path);
    VolumeFiles files(volume.bytes(), {});
    return files.facts(cracked.find(file_path)->record);
  }

  test::TemporaryDirectory directory;
  std::filesystem::path path = directory / "a.img";
};

TEST_F(Files, PlainFragmentedResidentAndEmptyContentIsTheFilesOwn) {
  NtfsImage image(path);
  const Bytes big = test::random_bytes(1, 5 * MiB + 123);
  std::vector<std::pair<std::string, Bytes>> interleaved;
  for (int i = 0; i < 4; ++i) interleaved.emplace_back("f" + std::to_string(i), test::random_bytes(static_cast<std::uint64_t>(10 + i), 700000));
  image.write_file("big", big);
  image.write_file("tiny", "hello");
  image.write_file("empty", "");
  image.write_interleaved(interleaved, 4096);
  image.close();
  EXPECT_EQ(read("big"), big);
  EXPECT_EQ(as_text(read("tiny")), "hello");
  EXPECT_EQ(read("empty").size(), 0U);
  for (const auto& [name, content] : interleaved) EXPECT_EQ(read(name), content) << name;
}

TEST_F(Files, OfASparseFileOnlyWhatIsStoredIsGiven) {
  NtfsImage image(path);
  const Bytes piece = test::random_bytes(3, 200000);
  image.write_sparse("sparse", 50 * MiB, {{0, piece}, {30 * MiB, piece}});
  image.close();
  const Cracked cracked = crack_file(path);
  const NameEntry* name = cracked.find("sparse");
  ASSERT_NE(name, nullptr);
  EXPECT_EQ(name->data_bytes, 50 * MiB);
  VolumeFile volume(path);
  VolumeFiles files(volume.bytes(), {});
  EXPECT_TRUE(files.facts(name->record).sparse);
  std::uint64_t given = 0;
  files.read(name->record, [&](std::uint64_t, std::span<const std::byte> bytes) { given += bytes.size(); });
  EXPECT_LT(given, 2 * MiB);
  const Bytes content = read_whole(files, name->record, name->data_bytes);
  EXPECT_TRUE(std::equal(piece.begin(), piece.end(), content.begin() + 30 * MiB));
}

TEST_F(Files, CompressedContentComesDecompressed) {
  NtfsImage image(path);
  const Bytes text = test::text_bytes(4, 3 * MiB + 77);
  image.write_compressed("text", text);
  image.close();
  EXPECT_TRUE(facts("text").compressed);
  EXPECT_EQ(read("text"), text);
}

// A file as CompactOS leaves it: a sparse unnamed stream, a reparse point, and the chunks in a named stream.
void write_wof(NtfsImage& image, std::string_view path, const Bytes& content, WofAlgorithm algorithm) {
  static constexpr std::size_t sizes[] = {4096, 32768, 8192, 16384};
  const std::size_t chunk = sizes[static_cast<std::size_t>(algorithm)];
  wimlib_compressor* compressor = nullptr;
  const auto type = algorithm == WofAlgorithm::lzx ? WIMLIB_COMPRESSION_TYPE_LZX : WIMLIB_COMPRESSION_TYPE_XPRESS;
  ASSERT_EQ(wimlib_create_compressor(type, chunk, 0, &compressor), 0);
  ByteWriter table, chunks;
  for (std::size_t at = 0; at < content.size(); at += chunk) {
    if (at > 0) table.u32(static_cast<std::uint32_t>(chunks.size()));
    const std::size_t part = std::min(chunk, content.size() - at);
    Bytes packed(part);
    const std::size_t length = wimlib_compress(content.data() + at, part, packed.data(), part - 1, compressor);
    chunks.bytes(length == 0 ? ByteView(content).subspan(at, part) : ByteView(packed).first(length));
  }
  wimlib_free_compressor(compressor);
  table.bytes(chunks.view());
  image.write_sparse(path, content.size(), {});
  image.write_stream(path, "WofCompressedData", table.view());
  ByteWriter reparse;
  for (const std::uint32_t field : {1U, 2U, 1U, static_cast<std::uint32_t>(algorithm)}) reparse.u32(field);
  image.set_reparse_point(path, reparse_tag_wof, reparse.view());
}

TEST_F(Files, ContentThatWindowsCompressedByItselfComesDecompressed) {
  NtfsImage image(path);
  Bytes content = test::text_bytes(5, 300001);
  const Bytes noise = test::random_bytes(6, 50000);  // chunks that are stored as they are
  content.insert(content.begin() + 100000, noise.begin(), noise.end());
  for (int i = 0; i < 4; ++i) write_wof(image, "wof" + std::to_string(i), content, static_cast<WofAlgorithm>(i));
  image.close();
  for (int i = 0; i < 4; ++i) {
    const VolumeFiles::FileFacts found = facts("wof" + std::to_string(i));
    EXPECT_TRUE(found.compressed);
    EXPECT_EQ(found.unreadable_because, "");
    EXPECT_EQ(found.named_streams, 0U);
    EXPECT_EQ(read("wof" + std::to_string(i)), content) << i;
  }
}

TEST_F(Files, WhatCannotBeHadRightIsNamedAndNotRead) {
  NtfsImage image(path);
  ByteWriter wim;
  for (const std::uint32_t field : {1U, 1U, 0U, 0U}) wim.u32(field);
  const std::vector<std::tuple<std::string, std::uint32_t, Bytes, std::string>> cases = {
      {"dedup", 0x80000013, Bytes(40), "deduplicated"},
      {"cloud", 0x9000601a, Bytes(40), "cloud"},
      {"other", 0x80000021, Bytes(8), "0x80000021"},
      {"wim", 0x80000017, Bytes(wim.view().begin(), wim.view().end()), "WIM"},
  };
  for (const auto& [name, tag, data, why] : cases) {
    image.write_sparse(name, 100000, {});
    image.set_reparse_point(name, tag, data);
  }
  image.write_file("target", "x");
  image.make_symlink("link", "target");
  image.close();
  const Cracked cracked = crack_file(path);
  VolumeFile volume(path);
  VolumeFiles files(volume.bytes(), {});
  for (const auto& [name, tag, data, why] : cases) {
    const MftReference record = cracked.find(name)->record;
    EXPECT_EQ(cracked.find(name)->reparse_tag, tag);
    EXPECT_NE(files.facts(record).unreadable_because.find(why), std::string::npos) << files.facts(record).unreadable_because;
    try {
      files.read(record, [](std::uint64_t, std::span<const std::byte>) { FAIL(); });
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unsupported);
    }
  }
  EXPECT_EQ(files.facts(cracked.find("link")->record).unreadable_because, "");
  EXPECT_EQ(files.facts(cracked.find("link")->record).reparse_tag, 0xa000000cU);
}

TEST_F(Files, ARecordThatHasBeenReusedOrNeverWasIsRefusedAndTheRestIsStillReadable) {
  NtfsImage image(path);
  image.write_file("a", "one");
  image.close();
  const Cracked cracked = crack_file(path);
  VolumeFile volume(path);
  VolumeFiles files(volume.bytes(), {});
  const MftReference record = cracked.find("a")->record;
  EXPECT_THROW(files.facts(record + (std::uint64_t{1} << 48)), Error);
  EXPECT_THROW(files.facts(1 << 30), Error);
  EXPECT_THROW(files.read(record + (std::uint64_t{1} << 48), [](std::uint64_t, std::span<const std::byte>) {}), Error);
  EXPECT_EQ(as_text(read_whole(files, record, 3)), "one");
}

TEST_F(Files, AMountReadsLittleInFewRequests) {
  NtfsImage image(path);
  for (int i = 0; i < 500; ++i) image.write_file("d/f" + std::to_string(i), test::random_bytes(static_cast<std::uint64_t>(i), 5000));
  image.close();
  VolumeFile volume(path);
  VolumeFiles files(volume.bytes(), {});
  EXPECT_LE(volume.reads, 40U);
  EXPECT_LE(volume.bytes_read, 2 * MiB);
  RecordProperty("mount_reads", static_cast<int>(volume.reads));
  RecordProperty("mount_bytes", static_cast<int>(volume.bytes_read));
  std::printf("a mount: %d reads, %d bytes\n", static_cast<int>(volume.reads), static_cast<int>(volume.bytes_read));
}

}  // namespace
}  // namespace vmferry::crack
