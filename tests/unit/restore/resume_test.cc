// Restores that were interrupted, and go on with what is there: the disk is equal in the end, whatever was left of it, and
// no more travels than what was missing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "point_maker.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/breaking_transport.h"
#include "tests/support/content.h"

namespace vmferry::restore {
namespace {

using limits::MiB;
constexpr std::uint64_t resumed_disk_bytes = 12 * MiB + 512;
// Four chunks that lie in four places each, one of them all zeros, as those of fragmented files do.
constexpr std::uint64_t fragments_begin = MiB, fragment_bytes = 3 * 4096, fragmented_bytes = 16 * fragment_bytes;
// What is lost where a line breaks: the frame that had not come whole.
// A restore's whole map, and what its session says beside: less than the smallest frame of data that there is here.
constexpr std::uint64_t overhead_bytes = 20'000;

void write_file(const std::filesystem::path& file, ByteView bytes) {
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

class ResumedRestore : public testing::Test {
 protected:
  // Data that does not compress, text, long and short zeros between.
  Bytes make_image(std::uint64_t seed) {
    Bytes image(resumed_disk_bytes);
    const auto put = [&](std::uint64_t offset, const Bytes& content) {
      std::ranges::copy(content, image.begin() + static_cast<std::ptrdiff_t>(offset));
    };
    put(100, test::random_bytes(seed, 5 * MiB + 777));
    put(6 * MiB + 511, test::text_bytes(seed, MiB));
    put(8 * MiB, test::random_bytes(seed + 1, 4 * MiB + 512));
    std::fill_n(image.begin() + 2 * MiB + 3, 20'000, std::byte{0});
    std::fill_n(image.begin() + 9 * MiB, 250'000, std::byte{0});
    std::fill_n(image.begin() + fragments_begin + 5 * fragment_bytes, fragment_bytes, std::byte{0});
    return image;
  }
  static std::vector<std::vector<ByteRange>> fragmented() {
    std::vector<std::vector<ByteRange>> chunks(4);
    for (std::uint64_t i = 0; i < 16; ++i)
      chunks[i % 4].push_back({fragments_begin + (i * 5 % 16) * fragment_bytes, fragment_bytes});
    return chunks;
  }
  RestorePoint add_point(const Bytes& image, const std::string& format = "raw") {
    write_file(directory_ / "image.raw", image);
    return target_.add(target_.make_point({{.image = directory_ / "image.raw",
                                            .format = format,
                                            .left_out = {{{5 * MiB + 100'000, 300'000}, MapKind::free}},
                                            .fragmented = fragmented()}}));
  }
  static Bytes expected_of(const Bytes& image) { return zeroed(image, {{5 * MiB + 100'000, 300'000}}); }

  DiskRestoreOptions options(bool resume) {
    DiskRestoreOptions o;
    o.spool_directory = directory_.path();
    o.resume = resume;
    return o;
  }
  RestoreResult restore(const RestorePoint& point, const std::filesystem::path& out, const DiskRestoreOptions& o) {
    return restore_machine(point, out, o, target_.session(), no_events, not_cancelled);
  }
  // Breaks off after so many bytes have come.
  void restore_in_part(const RestorePoint& point, const std::filesystem::path& out, DiskRestoreOptions o,
                       std::uint64_t received_bytes) {
    auto ends = memory_transport();
    ends.first = std::make_unique<test::BreakingTransport>(std::move(ends.first),
                                                           test::BreakAfter{.received_bytes = received_bytes});
    const auto session = target_.connect(std::move(ends));
    EXPECT_THROW(restore_machine(point, out, o, *session, no_events, not_cancelled), Error);
  }
  static ErrorCode code_of(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorCode::failed;
  }

  test::TemporaryDirectory directory_;
  TestTarget target_;
};

TEST_F(ResumedRestore, WhateverIsLeftOfAnInterruptedOneTheDiskIsEqualInTheEnd) {
  const Bytes image = make_image(1);
  const RestorePoint point = add_point(image);
  const Bytes expected = expected_of(image);
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    test::Random random(seed);
    Bytes left = expected;
    left.resize(random.below(3) == 0 ? random.below(resumed_disk_bytes) : resumed_disk_bytes + random.below(2) * 5000);
    std::uint64_t damaged = expected.size() - std::min(expected.size(), left.size()) + fragmented_bytes;
    const std::uint64_t places = random.below(12);
    for (std::uint64_t i = places; i > 0 && !left.empty(); --i) {
      const std::uint64_t at = random.below(left.size());
      const std::uint64_t length = std::min<std::uint64_t>(left.size() - at, random.size_between(1, 200'000));
      const auto begin = left.begin() + static_cast<std::ptrdiff_t>(at);
      if (random.below(2) == 0)
        std::fill_n(begin, length, std::byte{0});
      else
        std::ranges::copy(test::random_bytes(random.next(), length), begin);
      damaged += length + 2 * 50'000;  // whole chunks come again
    }
    const auto out = directory_ / ("out-" + std::to_string(seed));
    write_file(out.string() + ".partial", left);
    const RestoreResult result = restore(point, out, options(true));
    ASSERT_TRUE(bytes_of(out) == expected) << "seed " << seed;
    EXPECT_EQ(result.reused_bytes + result.written_bytes, point.disks[0].bytes.data);
    EXPECT_LE(result.written_bytes, damaged);
    EXPECT_LE(result.received_bytes,
              result.written_bytes + TestTarget::sent_frame_bytes_max * 2 * (places + 1) + overhead_bytes);
    EXPECT_FALSE(std::filesystem::exists(out.string() + ".partial"));
    std::filesystem::remove(out);
  }
}

TEST_F(ResumedRestore, OneThatBreaksAgainAndAgainComesToItsEnd) {
  const Bytes image = make_image(2);
  const RestorePoint point = add_point(image);
  for (const auto format : {disk::OutputFormat::raw, disk::OutputFormat::flat}) {
    const auto out = directory_ / "out.vmdk";
    const auto data = format == disk::OutputFormat::raw ? out : directory_ / "out-flat.vmdk";
    DiskRestoreOptions o = options(true);
    o.format = format;
    constexpr std::uint64_t received = 2 * MiB;
    for (int i = 0; i < 4; ++i) restore_in_part(point, out, o, received);
    EXPECT_FALSE(std::filesystem::exists(out));
    const RestoreResult result = restore(point, out, o);
    EXPECT_TRUE(bytes_of(data) == expected_of(image));
    EXPECT_EQ(result.reused_bytes + result.written_bytes, point.disks[0].bytes.data);
    EXPECT_GE(result.reused_bytes, 4 * (received - TestTarget::sent_frame_bytes_max - overhead_bytes));
    EXPECT_LE(result.received_bytes, result.written_bytes + overhead_bytes);  // whole frames came, or none of theirs
    for (const auto& output : result.outputs) std::filesystem::remove(output);
  }
}

TEST_F(ResumedRestore, AnotherPointsUnfinishedDiskLeavesNothingOfItsOwn) {
  const Bytes older = make_image(3);
  Bytes newer = older;
  std::fill_n(newer.begin() + 3 * MiB + 5, MiB, std::byte{0});
  std::ranges::copy(test::random_bytes(9, 100'000), newer.begin() + 7 * MiB);
  const RestorePoint point = add_point(newer);
  write_file(directory_ / "out.raw.partial", older);
  const RestoreResult result = restore(point, directory_ / "out.raw", options(true));
  EXPECT_TRUE(bytes_of(directory_ / "out.raw") == expected_of(newer));
  EXPECT_LT(result.written_bytes, MiB);
  struct stat facts {};
  ASSERT_EQ(stat((directory_ / "out.raw").c_str(), &facts), 0);
  // Zeros became holes, but for the blocks that they share with data, and what the file system needs itself.
  EXPECT_LT(static_cast<std::uint64_t>(facts.st_blocks) * 512, resumed_disk_bytes - MiB + 64 * 1024);
}

TEST_F(ResumedRestore, WithoutResumeAnUnfinishedDiskIsInTheWayAndTheSentenceSaysWhatToDo) {
  const RestorePoint point = add_point(make_image(4));
  restore_in_part(point, directory_ / "out.raw", options(false), 2 * MiB);
  try {
    restore(point, directory_ / "out.raw", options(false));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::exists);
    EXPECT_THAT(error.what(), testing::HasSubstr("--resume"));
  }
}

TEST_F(ResumedRestore, AFinishedDiskIsKeptWhereItIsRightAndRefusedWhereItIsNot) {
  const Bytes image = make_image(5);
  const RestorePoint point = add_point(image);
  for (const auto format : {disk::OutputFormat::raw, disk::OutputFormat::flat, disk::OutputFormat::sparse}) {
    DiskRestoreOptions o = options(true);
    o.format = format;
    const auto out = directory_ / "out.vmdk";
    const RestoreResult first = restore(point, out, o);
    EXPECT_EQ(first.reused_bytes, 0u);
    const RestoreResult again = restore(point, out, o);
    EXPECT_THAT(again.outputs, testing::UnorderedElementsAreArray(first.outputs));
    EXPECT_EQ(again.reused_bytes, point.disks[0].bytes.data);
    EXPECT_EQ(again.written_bytes, 0u);
    EXPECT_LE(again.received_bytes, overhead_bytes);
    if (format == disk::OutputFormat::raw) {
      Bytes changed = expected_of(image);
      changed[5 * MiB + 200'000] = std::byte{1};  // in what was left out
      write_file(out, changed);
      EXPECT_EQ(code_of([&] { restore(point, out, o); }), ErrorCode::exists);
      changed = expected_of(image);
      changed[4 * MiB] ^= std::byte{1};
      write_file(out, changed);
      EXPECT_EQ(code_of([&] { restore(point, out, o); }), ErrorCode::exists);
      EXPECT_TRUE(bytes_of(out) == changed);
    }
    for (const auto& output : first.outputs) std::filesystem::remove(output);
  }
}

TEST_F(ResumedRestore, AFlatDiskWhoseDescriptorLacksItsNameOnlyIsFinished) {
  const Bytes image = make_image(6);
  const RestorePoint point = add_point(image);
  DiskRestoreOptions o = options(true);
  o.format = disk::OutputFormat::flat;
  restore(point, directory_ / "out.vmdk", o);
  std::filesystem::rename(directory_ / "out.vmdk", directory_ / "out.vmdk.partial");
  const RestoreResult result = restore(point, directory_ / "out.vmdk", o);
  EXPECT_EQ(result.written_bytes, 0u);
  EXPECT_TRUE(bytes_of(directory_ / "out-flat.vmdk") == expected_of(image));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "out.vmdk"));
}

TEST_F(ResumedRestore, AnExtentThatIsNobodysIsNotTaken) {
  const RestorePoint point = add_point(make_image(6));
  DiskRestoreOptions o = options(true);
  o.format = disk::OutputFormat::flat;
  write_file(directory_ / "out-flat.vmdk", as_bytes("mine"));
  write_file(directory_ / "out.vmdk.partial", as_bytes("RW 5 FLAT \"other-flat.vmdk\" 0\n"));
  EXPECT_EQ(code_of([&] { restore(point, directory_ / "out.vmdk", o); }), ErrorCode::exists);
  EXPECT_EQ(as_text(bytes_of(directory_ / "out-flat.vmdk")), "mine");
}

TEST_F(ResumedRestore, OneThatAnotherProcessIsWritingIsLeftAlone) {
  const RestorePoint point = add_point(make_image(7));
  write_file(directory_ / "out.raw.partial", as_bytes("begun"));
  const int other = open((directory_ / "out.raw.partial").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX), 0);
  EXPECT_EQ(code_of([&] { restore(point, directory_ / "out.raw", options(true)); }), ErrorCode::busy);
  DiskRestoreOptions force = options(false);
  force.force = true;
  EXPECT_EQ(code_of([&] { restore(point, directory_ / "out.raw", force); }), ErrorCode::busy);
  EXPECT_EQ(as_text(bytes_of(directory_ / "out.raw.partial")), "begun");
  close(other);
}

TEST_F(ResumedRestore, AFormatOfWhichNothingCanBeKeptBeginsAnewAndSaysSo) {
  const Bytes image = make_image(8);
  const RestorePoint point = add_point(image);
  for (const auto format : {disk::OutputFormat::sparse, disk::OutputFormat::stream}) {
    DiskRestoreOptions o = options(true);
    o.format = format;
    const auto out = directory_ / ("out-" + std::to_string(static_cast<int>(format)) + ".vmdk");
    restore_in_part(point, out, o, 2 * MiB);
    const RestoreResult result = restore(point, out, o);
    EXPECT_THAT(result.notes, testing::Contains(testing::HasSubstr("anew")));
    const auto opened = disk::open_disk(out);
    Bytes bytes(opened->size_bytes());
    opened->read(0, bytes);
    EXPECT_TRUE(bytes == expected_of(image));
  }
}

TEST_F(ResumedRestore, AMachineKeepsItsFinishedDisksAndFiles) {
  const Bytes first = make_image(9), second = make_image(10);
  write_file(directory_ / "first.raw", first);
  write_file(directory_ / "second.raw", second);
  RestorePoint point = target_.make_point(
      {{.image = directory_ / "first.raw", .key = "scsi0:0", .file_name = "web1.vmdk", .format = "vmfs"},
       {.image = directory_ / "second.raw", .key = "scsi0:1", .file_name = "web1_1.vmdk", .format = "vmfs"}});
  point.is_vmx = true;
  point.files.push_back(target_.make_file(
      "web1.vmx", "displayName = \"web1\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"web1.vmdk\"\n"
                  "scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"web1_1.vmdk\"\n"));
  point.files.push_back(target_.make_file("web1.nvram", std::string(5000, 'n')));
  point = target_.add(std::move(point));
  const auto out = directory_ / "machine";
  restore_in_part(point, out, options(false), 14 * MiB);
  EXPECT_TRUE(std::filesystem::exists(out / "web1.vmdk"));
  EXPECT_TRUE(std::filesystem::exists(out / "web1_1.vmdk.partial"));
  const RestoreResult result = restore(point, out, options(true));
  EXPECT_GE(result.reused_bytes, 14 * MiB - TestTarget::sent_frame_bytes_max - overhead_bytes);
  EXPECT_LE(result.received_bytes, result.written_bytes + overhead_bytes);
  EXPECT_TRUE(bytes_of(out / "web1-flat.vmdk") == first);
  EXPECT_TRUE(bytes_of(out / "web1_1-flat.vmdk") == second);
  EXPECT_EQ(result.outputs.size(), 6u);
  // And once more: nothing is left to do.
  const RestoreResult again = restore(point, out, options(true));
  EXPECT_EQ(again.written_bytes, 0u);
  // Each of two trees' two levels brings the frame that the nodes of both lie in; and the .vmx is compared.
  EXPECT_LE(again.received_bytes, 4 * overhead_bytes);
  write_file(out / "web1.nvram", as_bytes("of somebody else"));
  EXPECT_EQ(code_of([&] { restore(point, out, options(true)); }), ErrorCode::exists);
}

}  // namespace
}  // namespace vmferry::restore
