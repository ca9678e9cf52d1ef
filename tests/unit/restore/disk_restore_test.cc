// Whole disks and machines: equal, or named as not equal.
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/disk/vmx.h"
#include "point_maker.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/process.h"

namespace vmferry::restore {
namespace {

using limits::MiB;

class DiskRestore : public testing::Test {
 protected:
  // 8 MiB: data with text, a repeated piece, zeros between.
  std::filesystem::path make_image(std::uint64_t seed = 1) {
    Bytes image(8 * MiB);
    const Bytes random = test::random_bytes(seed, 2 * MiB + 777);
    const Bytes text = test::text_bytes(seed, MiB);
    std::copy(random.begin(), random.end(), image.begin() + 12345);
    std::copy(text.begin(), text.end(), image.begin() + 4 * MiB);
    std::copy(text.begin(), text.end(), image.begin() + 6 * MiB + 511);
    image.back() = std::byte{7};
    const std::filesystem::path path = directory_ / ("image-" + std::to_string(seed) + ".raw");
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
    return path;
  }
  DiskRestoreOptions options() {
    DiskRestoreOptions o;
    o.spool_directory = directory_.path();
    return o;
  }
  RestoreResult restore(const RestorePoint& point, const std::filesystem::path& out, const DiskRestoreOptions& o) {
    return restore_machine(point, out, o, target_.session(), no_events, not_cancelled);
  }
  // qemu-img judges: the image as raw bytes.
  Bytes judged(const std::filesystem::path& disk) {
    const std::filesystem::path raw = directory_ / "judged.raw";
    test::run_ok({"qemu-img", "convert", "-O", "raw", disk.string(), raw.string()});
    return bytes_of(raw);
  }
  Bytes read_by_us(const std::filesystem::path& disk) {
    const auto opened = disk::open_disk(disk);
    Bytes bytes(opened->size_bytes());
    opened->read(0, bytes);
    return bytes;
  }

  test::TemporaryDirectory directory_;
  TestTarget target_;
};

TEST_F(DiskRestore, EveryFormatHoldsTheSameBytes) {
  const auto image = make_image();
  const RestorePoint point = target_.add(target_.make_point({{.image = image}}));
  const Bytes expected = bytes_of(image);
  using disk::OutputFormat;
  for (const auto& [format, name] : {std::pair(OutputFormat::flat, "flat.vmdk"), {OutputFormat::sparse, "sparse.vmdk"},
                                     {OutputFormat::stream, "stream.vmdk"}, {OutputFormat::raw, "raw.img"}}) {
    auto o = options();
    o.format = format;
    const RestoreResult result = restore(point, directory_ / name, o);
    EXPECT_TRUE(result.warnings.empty());
    ASSERT_FALSE(result.outputs.empty()) << name;
    EXPECT_GT(result.received_bytes, 0u);
    EXPECT_TRUE(read_by_us(directory_ / name) == expected) << name;
    EXPECT_TRUE(judged(directory_ / name) == expected) << name;
  }
}

TEST_F(DiskRestore, LittleMemoryGivesTheSameBytes) {
  const auto image = make_image();
  const RestorePoint point = target_.add(target_.make_point({{.image = image, .chunk_bytes = 1000}}));
  auto o = options();
  o.format = disk::OutputFormat::raw;
  o.memory_bytes = 100'000;
  restore(point, directory_ / "out.raw", o);
  EXPECT_TRUE(bytes_of(directory_ / "out.raw") == bytes_of(image));
}

TEST_F(DiskRestore, SameKeepsTheKindOfDisk) {
  const auto image = make_image();
  const RestorePoint point = target_.add(target_.make_point({{.image = image, .format = "streamOptimized"}}));
  restore(point, directory_ / "out.vmdk", options());
  EXPECT_EQ(disk::open_disk(directory_ / "out.vmdk")->description().format, "streamOptimized");
  EXPECT_EQ(disk::open_disk(directory_ / "out.vmdk")->description().uuid, point.disks[0].uuid);
}

TEST_F(DiskRestore, WhatWasLeftOutReadsAsZerosAndZerosAreHoles) {
  const auto image = make_image();
  const ByteRange excluded{4 * MiB, 64 * 1024}, free{MiB, 512 * 1024};
  const RestorePoint point = target_.add(
      target_.make_point({{.image = image, .left_out = {{free, MapKind::free}, {excluded, MapKind::excluded}}}}));
  auto o = options();
  o.format = disk::OutputFormat::raw;
  restore(point, directory_ / "out.raw", o);
  EXPECT_TRUE(bytes_of(directory_ / "out.raw") == zeroed(bytes_of(image), {free, excluded}));
  struct stat facts {};
  ASSERT_EQ(stat((directory_ / "out.raw").c_str(), &facts), 0);
  EXPECT_LT(static_cast<std::uint64_t>(facts.st_blocks) * 512, 5 * MiB);
}

TEST_F(DiskRestore, NothingIsOverwrittenWithoutForce) {
  const auto image = make_image();
  const RestorePoint point = target_.add(target_.make_point({{.image = image}}));
  std::ofstream(directory_ / "out.vmdk") << "mine";
  EXPECT_THROW(restore(point, directory_ / "out.vmdk", options()), Error);
  EXPECT_EQ(as_text(bytes_of(directory_ / "out.vmdk")), "mine");
  auto o = options();
  o.force = true;
  restore(point, directory_ / "out.vmdk", o);
  EXPECT_TRUE(read_by_us(directory_ / "out.vmdk") == bytes_of(image));
}

TEST_F(DiskRestore, ForceDoesNotOverwriteADiskInUse) {
  const auto image = make_image();
  const RestorePoint point = target_.add(target_.make_point({{.image = image}}));
  auto o = options();
  restore(point, directory_ / "out.vmdk", o);
  std::filesystem::create_directory(directory_ / "out.vmdk.lck");
  std::ofstream(directory_ / "out.vmdk.lck" / "M12345.lck") << "locked";
  o.force = true;
  try {
    restore(point, directory_ / "out.vmdk", o);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::refused);
  }
}

TEST_F(DiskRestore, AMissingChunkStopsTheRestoreAndLeavesNoFinishedDisk) {
  const auto image = make_image();
  const RestorePoint point = target_.add(target_.make_point({{.image = image, .missing_chunks_at = {4 * MiB + 5}}}));
  auto o = options();
  o.format = disk::OutputFormat::raw;
  try {
    restore(point, directory_ / "out.raw", o);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::damaged);
    EXPECT_NE(error.object().find("4150000 to 4200000"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out.raw"));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "out.raw.partial"));
}

TEST_F(DiskRestore, WithKeepGoingTheRestIsThereButStaysPartialAndTheRangeIsNamed) {
  const auto image = make_image();
  const RestorePoint point =
      target_.add(target_.make_point({{.image = image, .missing_chunks_at = {4 * MiB + 5, 4'200'000}}}));
  auto o = options();
  o.format = disk::OutputFormat::raw;
  o.keep_going = true;
  const RestoreResult result = restore(point, directory_ / "out.raw", o);
  EXPECT_TRUE(result.damaged);
  EXPECT_TRUE(result.outputs.empty());
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_EQ(result.warnings[0].code, "damaged_range");
  EXPECT_NE(result.warnings[0].message.find("4150000 to 4250000"), std::string::npos) << result.warnings[0].message;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out.raw"));
  EXPECT_TRUE(bytes_of(directory_ / "out.raw.partial") == zeroed(bytes_of(image), {{4'150'000, 100'000}}));
}

TEST_F(DiskRestore, CancelStopsIt) {
  const RestorePoint point = target_.add(target_.make_point({{.image = make_image()}}));
  const std::atomic<bool> cancelled{true};
  try {
    restore_machine(point, directory_ / "out.vmdk", options(), target_.session(), no_events, cancelled);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
}

TEST_F(DiskRestore, MoreThanTheOutputsDiskHoldsIsRefusedBefore) {
  RestorePoint point = target_.add(target_.make_point({{.image = make_image()}}));
  point.disks[0].bytes.data = std::uint64_t{1} << 60;
  try {
    restore(point, directory_ / "out.vmdk", options());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::no_space);
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out.vmdk.partial"));
}

class MachineRestore : public DiskRestore {
 protected:
  RestorePoint make_machine() {
    first_ = make_image(1);
    second_ = make_image(2);
    RestorePoint point = target_.make_point(
        {{.image = first_, .key = "scsi0:0", .file_name = "web1-000002.vmdk"},
         {.image = second_, .key = "scsi0:1", .file_name = "/vmfs/volumes/other/web1-000002.vmdk", .format = "vmfs"}});
    point.is_vmx = true;
    point.files.push_back(
        target_.make_file("web1.vmx",
                          "displayName = \"web1\"\nnvram = \"old.nvram\"\n"
                          "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"web1-000002.vmdk\"\n"
                          "scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"/vmfs/volumes/other/web1-000002.vmdk\"\n"
                          "scsi0:2.present = \"TRUE\"\nscsi0:2.fileName = \"raw-device.vmdk\"\n"));
    point.files.push_back(target_.make_file("web1.nvram", std::string(5000, 'n')));
    point.files.push_back(target_.make_file("web1-000002.vmdk", "the source's descriptor"));
    return target_.add(std::move(point));
  }
  std::filesystem::path first_, second_;
};

TEST_F(MachineRestore, TheRestoredVmxNamesTheDisksThatWereWritten) {
  const RestorePoint point = make_machine();
  const auto out = directory_ / "machine";
  const RestoreResult result = restore(point, out, options());
  const disk::Vmx vmx = disk::Vmx::load(out / "web1.vmx");
  const auto disks = vmx.disks();
  ASSERT_EQ(disks.size(), 2u);
  EXPECT_NE(disks[0].file_name, disks[1].file_name);
  EXPECT_TRUE(judged(out / disks[0].file_name) == bytes_of(first_));
  EXPECT_TRUE(judged(out / disks[1].file_name) == bytes_of(second_));
  EXPECT_EQ(vmx.get("scsi0:2.present"), "FALSE");
  EXPECT_TRUE(has_warning(result, "disk_skipped"));
  EXPECT_EQ(vmx.get("nvram"), "web1.nvram");
  EXPECT_EQ(as_text(bytes_of(out / "web1.nvram")), std::string(5000, 'n'));
}

TEST_F(MachineRestore, NamesThatThePointBringsAreNoPaths) {
  RestorePoint point = make_machine();
  point.files[1].name = "../web1.nvram";
  point.disks[0].file_name = "../..";
  restore(point, directory_ / "machine", options());
  EXPECT_FALSE(std::filesystem::exists(directory_ / "web1.nvram"));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "machine" / "web1.nvram"));
  EXPECT_TRUE(judged(directory_ / "machine" / "disk-0.vmdk") == bytes_of(first_));
}

TEST_F(MachineRestore, OneDiskOfItGoesToAFile) {
  const RestorePoint point = make_machine();
  auto o = options();
  o.disk = "scsi0:1";
  restore(point, directory_ / "one.vmdk", o);
  EXPECT_TRUE(judged(directory_ / "one.vmdk") == bytes_of(second_));
  o.disk = "scsi3:3";
  EXPECT_THROW(restore(point, directory_ / "two.vmdk", o), Error);
}

TEST_F(MachineRestore, ADirectoryThatIsNotEmptyIsRefused) {
  const RestorePoint point = make_machine();
  std::filesystem::create_directory(directory_ / "machine");
  std::ofstream(directory_ / "machine" / "mine") << "mine";
  EXPECT_THROW(restore(point, directory_ / "machine", options()), Error);
  auto o = options();
  o.force = true;
  restore(point, directory_ / "machine", o);
  EXPECT_TRUE(std::filesystem::exists(directory_ / "machine" / "mine"));
  restore(point, directory_ / "machine", o);
}

}  // namespace
}  // namespace vmferry::restore
