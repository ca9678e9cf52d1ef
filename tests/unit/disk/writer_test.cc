// What the writers write, judged by our reader, by qemu-img and by libvmdk.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "engine/disk/disk_writer.h"
#include "engine/disk/libvmdk_reader.h"
#include "protocol/limits.h"
#include "tests/unit/disk/disk_model.h"

namespace vmferry::disk::test {
namespace {

using limits::MiB;

// Writes the model as a restore would: in order, in pieces of any length, some zeros left out.
void write_disk(DiskWriter& writer, ByteView model, std::uint32_t seed) {
  std::mt19937 random(seed);
  for (std::size_t at = 0; at < model.size();) {
    const std::size_t sectors = 1 + random() % (seed % 2 == 0 ? 40 : 700);
    const ByteView piece = model.subspan(at, std::min(model.size() - at, sectors * 512));
    const bool zeros = std::ranges::all_of(piece, [](std::byte b) { return b == std::byte{0}; });
    if (!zeros || random() % 2 == 0) writer.write(at, piece);
    at += piece.size();
  }
}

OutputDisk described(std::uint64_t size) {
  OutputDisk disk{.size_bytes = size, .description = {}};
  disk.description.adapter_type = "buslogic";
  disk.description.geometry = {77, 64, 32};
  disk.description.uuid = *Uuid::parse("6000c29a000102030405060708090a0b");
  disk.description.ddb = {{"ddb.toolsVersion", "10304"}, {"ddb.longContentID", "00112233445566778899aabbccddeeff"}};
  return disk;
}

class Writer : public ::testing::TestWithParam<OutputFormat> {};

TEST_P(Writer, EveryJudgeReadsBackWhatWasWritten) {
  for (const std::uint32_t seed : {1U, 2U, 3U, 4U}) {
    const TemporaryFolder folder;
    const Bytes model = random_disk(seed == 4 ? 70 * MiB : 5 * MiB + 512 * seed, seed);
    const auto out = folder / "out \xc3\xb6.vmdk";
    const auto writer = create_disk(out, GetParam(), described(model.size()), {});
    write_disk(*writer, model, seed);
    EXPECT_FALSE(std::filesystem::exists(out)) << "the output has its name before it is complete";
    writer->finish();
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      EXPECT_NE(entry.path().extension(), ".partial");
    for (const auto& path : writer->outputs()) EXPECT_TRUE(std::filesystem::exists(path));

    const auto disk = open_disk(out);
    expect_disk(*disk, model);
    EXPECT_GT(hole_bytes(*disk), model.size() / 8);
    write_file(folder / "model.raw", model);
    const bool raw = GetParam() == OutputFormat::raw;
    const Ran compared = run({"qemu-img", "compare", "-f", "raw", "-F", raw ? "raw" : "vmdk",
                              (folder / "model.raw").string(), out.string()});
    EXPECT_EQ(compared.exit_code, 0) << compared.output;
    if (raw) continue;
    if (GetParam() != OutputFormat::flat) {
      const Ran checked = run({"qemu-img", "check", "-f", "vmdk", out.string()});
      EXPECT_EQ(checked.exit_code, 0) << checked.output;
    }
    const LibvmdkReader judge(out);
    ASSERT_EQ(judge.size_bytes(), model.size());
    Bytes whole(model.size());
    judge.read(0, whole);
    EXPECT_EQ(whole, model);

    const DiskDescription& got = disk->description();
    EXPECT_EQ(got.geometry, (Geometry{77, 64, 32}));
    EXPECT_EQ(got.adapter_type, "buslogic");
    EXPECT_EQ(got.uuid.to_string(), "6000c29a-0001-0203-0405-060708090a0b");
    EXPECT_EQ(got.ddb.at("ddb.toolsVersion"), "10304");
    EXPECT_NE(got.cid, 0xffffffffU);
    EXPECT_EQ(same_format(got), GetParam());
    // The long content id ends in the CID, as VMware wants it.
    EXPECT_NE(got.descriptor.find("CID=" + got.ddb.at("ddb.longContentID").substr(24)), std::string::npos);
  }
}

TEST_P(Writer, AnEmptyDiskOf2500GiBCostsLittleAndReadsAsOneHole) {
  const TemporaryFolder folder;
  const std::uint64_t size = 2500 * 1024 * MiB;
  const auto writer = create_disk(folder / "o", GetParam(), described(size), {});
  const Bytes sector(512, std::byte{7});
  writer->write(size - 512, sector);
  writer->finish();
  const auto disk = open_disk(folder / "o");
  EXPECT_EQ(disk->size_bytes(), size);
  EXPECT_GE(hole_bytes(*disk), size - MiB);
  Bytes got(512);
  disk->read(size - 512, got);
  EXPECT_EQ(got, sector);
  std::uint64_t stored = 0;
  for (const auto& path : writer->outputs()) {
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    stored += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  EXPECT_LT(stored, 4 * MiB);
}

TEST_P(Writer, NothingIsOverwrittenUnlessAskedFor) {
  const TemporaryFolder folder;
  write_file(folder / "o.vmdk", "precious");
  EXPECT_EQ(code_of([&] { create_disk(folder / "o.vmdk", GetParam(), described(MiB), {}); }), ErrorCode::exists);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "it left something behind";
  const auto writer = create_disk(folder / "o.vmdk", GetParam(), described(MiB), {.overwrite = true});
  EXPECT_EQ(read_file(folder / "o.vmdk").size(), 8U);
  writer->finish();
  expect_disk(*open_disk(folder / "o.vmdk"), Bytes(MiB));
}

TEST_P(Writer, WhatCameWhileItWasWrittenIsNotOverwritten) {
  const TemporaryFolder folder;
  const auto writer = create_disk(folder / "o.vmdk", GetParam(), described(MiB), {});
  write_file(folder / "o.vmdk", "precious");
  EXPECT_EQ(code_of([&] { writer->finish(); }), ErrorCode::exists);
  EXPECT_EQ(as_text(read_file(folder / "o.vmdk")), "precious");
}

TEST_P(Writer, DescendingOrOddWritesAreRefused) {
  const TemporaryFolder folder;
  const auto writer = create_disk(folder / "o.vmdk", GetParam(), described(MiB), {});
  const Bytes sectors(1024, std::byte{1});
  writer->write(4096, sectors);
  EXPECT_THROW(writer->write(4608, sectors), Error);
  EXPECT_THROW(writer->write(8192 + 1, sectors), Error);
  EXPECT_THROW(writer->write(8192, ByteView(sectors).first(100)), Error);
  EXPECT_THROW(writer->write(MiB - 512, sectors), Error);
}

INSTANTIATE_TEST_SUITE_P(AllFormats, Writer,
                         ::testing::Values(OutputFormat::flat, OutputFormat::sparse, OutputFormat::stream,
                                           OutputFormat::raw));

TEST(FlatWriter, AnExistingExtentIsNotOverwritten) {
  const TemporaryFolder folder;
  write_file(folder / "o-flat.vmdk", "precious");
  EXPECT_EQ(code_of([&] { create_disk(folder / "o.vmdk", OutputFormat::flat, described(MiB), {}); }),
            ErrorCode::exists);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(OutputDescriptor, LinesThatWouldBreakTheTextAreRefused) {
  const TemporaryFolder folder;
  OutputDisk disk = described(MiB);
  disk.description.ddb["ddb.comment"] = "a\"\nRW 1 FLAT \"/etc/shadow\" 0";
  EXPECT_EQ(code_of([&] { create_disk(folder / "o.vmdk", OutputFormat::sparse, disk, {}); }), ErrorCode::malformed);
  EXPECT_EQ(code_of([&] { create_disk(folder / "a\"b.vmdk", OutputFormat::flat, described(MiB), {}); }),
            ErrorCode::usage);
}

}  // namespace
}  // namespace vmferry::disk::test
