// Truncated, corrupt and hostile disks: an error of the right kind, never a crash and never other bytes.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "protocol/limits.h"
#include "tests/unit/disk/disk_model.h"
#include "tests/unit/disk/images.h"

namespace vmferry::disk::test {
namespace {

using limits::MiB;

class BadInput : public ::testing::Test {
 protected:
  ErrorCode code_of_text(const std::string& text) {
    write_file(folder / "d.vmdk", text);
    return open_code();
  }
  ErrorCode open_code() {
    return code_of([&] { open_disk(folder / "d.vmdk"); });
  }
  // A sparse disk whose header has one number changed.
  ErrorCode code_of_header(std::size_t offset, std::uint64_t value, unsigned length) {
    Bytes bytes = sparse;
    put(bytes, offset, value, length);
    write_file(folder / "d.vmdk", bytes);
    return open_code();
  }
  static std::string flat(std::uint64_t sectors, const std::string& name) {
    return "RW " + std::to_string(sectors) + " FLAT \"" + name + "\" 0\n";
  }

  TemporaryFolder folder;
  const Bytes model = random_disk(2 * MiB, 6);
  const Bytes stream = stream_optimized(layer_of(model, 65536),
                                        descriptor("streamOptimized", "RW 4096 SPARSE \"d.vmdk\"\n"));
  const Bytes sparse = hosted_sparse(layer_of(model, 65536),
                                     {.descriptor = descriptor("monolithicSparse", "RW 4096 SPARSE \"d.vmdk\"\n")});
};

TEST_F(BadInput, AbsurdHeaderNumbersAreRefused) {
  for (const std::uint64_t grain : {0ULL, 3ULL, 100ULL, 1ULL << 40, ~0ULL})
    EXPECT_EQ(code_of_header(20, grain, 8), ErrorCode::malformed) << "grain " << grain;
  for (const std::uint64_t entries : {0ULL, 0xffffffffULL})
    EXPECT_EQ(code_of_header(44, entries, 4), ErrorCode::malformed) << "table entries " << entries;
  for (const std::uint64_t capacity : {0ULL, 4095ULL, 4096ULL + 128, 1ULL << 62, ~0ULL})
    EXPECT_EQ(code_of_header(12, capacity, 8), ErrorCode::malformed) << "capacity " << capacity;
  for (const std::uint64_t directory : {1ULL << 20, 1ULL << 55, ~0ULL - 1})
    EXPECT_EQ(code_of_header(56, directory, 8), ErrorCode::malformed) << "directory " << directory;
  for (const std::uint64_t sectors : {2049ULL, 1ULL << 60})
    EXPECT_EQ(code_of_header(36, sectors, 8), ErrorCode::malformed) << "descriptor " << sectors;
  EXPECT_EQ(code_of_header(28, ~0ULL, 8), ErrorCode::malformed);
  EXPECT_EQ(code_of_header(56, ~0ULL, 8), ErrorCode::malformed) << "a footer that is not there";
  EXPECT_EQ(code_of_header(4, 4, 4), ErrorCode::unsupported);
  EXPECT_EQ(code_of_header(73, 0x0a0a200a, 4), ErrorCode::malformed) << "copied as text";
}

TEST_F(BadInput, AGrainOrTableOutsideTheFileIsAnErrorWhereItIsRead) {
  for (const bool in_directory : {true, false}) {
    Bytes bytes = sparse;
    put(bytes, in_directory ? 21 * 512 : 22 * 512, 0x7fffffff, 4);
    write_file(folder / "d.vmdk", bytes);
    const auto disk = open_disk(folder / "d.vmdk");
    Bytes got(65536);
    EXPECT_EQ(code_of([&] { disk->read(0, got); }), ErrorCode::malformed);
  }
}

TEST_F(BadInput, ATruncatedFileGivesAnErrorOrTheRightBytes) {
  for (const Bytes* whole : {&sparse, &stream}) {
    for (std::size_t cut = 1; cut < whole->size(); cut += whole->size() / 61 + 1) {
      write_file(folder / "d.vmdk", ByteView(*whole).first(whole->size() - cut));
      try {
        const auto disk = open_disk(folder / "d.vmdk");
        ASSERT_NE(whole, &stream) << "a stream without its footer was opened";
        Bytes got(model.size());
        disk->read(0, got);
        ASSERT_EQ(got, model);
      } catch (const Error& error) {
        ASSERT_TRUE(error.code() == ErrorCode::malformed || error.code() == ErrorCode::usage) << error.what();
      }
    }
  }
}

// One flipped bit in the compressed part: zlib's checksum or the marker tells.
TEST_F(BadInput, ADamagedCompressedGrainIsNeverReadAsSomethingElse) {
  std::mt19937 random(1);
  int errors = 0;
  for (int i = 0; i < 100; ++i) {
    Bytes bytes = stream;
    bytes[65536 + random() % (stream.size() - 65536 - 4096)] ^= static_cast<std::byte>(1 << random() % 8);
    write_file(folder / "d.vmdk", bytes);
    try {
      const auto disk = open_disk(folder / "d.vmdk");
      Bytes got(model.size());
      disk->read(0, got);
      ASSERT_EQ(got, model);  // the bit was padding
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::malformed) << error.what();
      ++errors;
    }
  }
  EXPECT_GT(errors, 30);
}

TEST_F(BadInput, FlatFilesThatAreTooShortAreRefusedAtOnce) {
  write_file(folder / "f.vmdk", Bytes(MiB));
  EXPECT_EQ(code_of_text(descriptor("monolithicFlat", flat(2049, "f.vmdk"))), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 2048 FLAT \"f.vmdk\" 1\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 2048 FLAT \"f.vmdk\" 36028797018963967\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("monolithicFlat", flat(2048, "gone.vmdk"))), ErrorCode::not_found);
}

TEST_F(BadInput, WhatWeCannotReadIsNamed) {
  for (const char* line : {"NOACCESS 2048 FLAT \"it.vmdk\" 0\n", "RW 2048 VMFSRDM \"it.vmdk\"\n",
                           "RW 2048 VMFSRAW \"it.vmdk\"\n",
                           "RW 2048 SURPRISE \"it.vmdk\"\n"}) {
    write_file(folder / "it.vmdk", Bytes(MiB));
    EXPECT_EQ(code_of_text(descriptor("custom", line)), ErrorCode::unsupported) << line;
    EXPECT_NE(message_of([&] { open_disk(folder / "d.vmdk"); }).find("it.vmdk"), std::string::npos);
  }
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 8 ZERO\n", "1", "ffffffff", "encryptionKeys=\"vmware:key/list\"\n")),
            ErrorCode::unsupported);
}

TEST_F(BadInput, ADescriptorReadsOnlyRegularFilesBelowItsFolder) {
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(code_of_text(descriptor("custom", flat(8, "fifo"))), ErrorCode::unsupported);
  EXPECT_EQ(code_of_text(descriptor("custom", flat(8, "/dev/zero"))), ErrorCode::unsupported);
  EXPECT_EQ(code_of_text(descriptor("custom", flat(1, "../../etc/hostname"))), ErrorCode::refused);
  EXPECT_EQ(code_of([&] { open_disk(folder / "fifo"); }), ErrorCode::unsupported);
  EXPECT_EQ(code_of([&] { open_disk(folder.path()); }), ErrorCode::usage);
  EXPECT_EQ(code_of([&] { open_disk(folder / "nothing.vmdk"); }), ErrorCode::not_found);
}

TEST_F(BadInput, DescriptorsThatMakeNoSenseAreRefused) {
  using namespace std::string_literals;
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 8 ZERO\n") + "\0 more"s), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 0 ZERO\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW -1 ZERO\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 99999999999999999999 ZERO\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 137438953472 ZERO\nRW 8 ZERO\n")), ErrorCode::unsupported);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 8 FLAT\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 8 FLAT \"unended\n")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 8 ZERO\n", "xyz")), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(descriptor("custom", "RW 8 ZERO\n", "1", "2")), ErrorCode::malformed) << "no parent's name";
  EXPECT_EQ(code_of_text("# Disk DescriptorFile\n" + std::string(2 * MiB, '#')), ErrorCode::malformed);
  EXPECT_EQ(code_of_text(""), ErrorCode::malformed);
  write_file(folder / "d.vmdk", descriptor("custom", "RW 8 ZERO\n") + std::string(400, '\0'));
  EXPECT_EQ(open_disk(folder / "d.vmdk")->size_bytes(), 4096U) << "NULs at the end are padding";
}

TEST_F(BadInput, ARawImageOfBrokenSectorsIsRefused) {
  write_file(folder / "d.vmdk", Bytes(1000));
  EXPECT_EQ(open_code(), ErrorCode::malformed);
}

TEST_F(BadInput, AnExtentIsNotTakenForADisk) {
  write_file(folder / "d.vmdk", hosted_sparse(layer_of(model, 65536)));
  EXPECT_EQ(open_code(), ErrorCode::usage);
  write_file(folder / "d.vmdk", se_sparse(layer_of(model, 4096)));
  EXPECT_EQ(open_code(), ErrorCode::usage);
}

TEST_F(BadInput, ParentsThatAreMissingChangedOrTheirOwnChildren) {
  const auto child = [&](const char* name, const char* hint, const char* cid, const char* parent_cid) {
    write_file(folder / name, descriptor("custom", "RW 8 ZERO\n", cid, parent_cid,
                                         "parentFileNameHint=\"" + std::string(hint) + "\"\n"));
  };
  child("d.vmdk", "base.vmdk", "2", "1");
  EXPECT_EQ(open_code(), ErrorCode::not_found);
  write_file(folder / "base.vmdk", descriptor("custom", "RW 8 ZERO\n", "deadbeef"));
  EXPECT_EQ(open_code(), ErrorCode::malformed);
  const std::string message = message_of([&] { open_disk(folder / "d.vmdk"); });
  EXPECT_NE(message.find("00000001"), std::string::npos) << message;
  EXPECT_NE(message.find("deadbeef"), std::string::npos) << message;
  write_file(folder / "base.vmdk", Bytes(4096));
  EXPECT_EQ(open_code(), ErrorCode::malformed) << "a raw parent has no CID";
  child("base.vmdk", "d.vmdk", "1", "2");
  EXPECT_EQ(open_code(), ErrorCode::malformed) << "a circle";
  child("d.vmdk", "d.vmdk", "1", "1");
  EXPECT_EQ(open_code(), ErrorCode::malformed) << "its own parent";
}

TEST_F(BadInput, ChainsHaveAnEnd) {
  write_file(folder / "0.vmdk", descriptor("custom", "RW 8 ZERO\n", "0"));
  for (int i = 1; i <= 256; ++i)
    write_file(folder / (std::to_string(i) + ".vmdk"),
               descriptor("custom", "RW 8 ZERO\n", "0", "0",
                          "parentFileNameHint=\"" + std::to_string(i - 1) + ".vmdk\"\n"));
  EXPECT_EQ(open_disk(folder / "255.vmdk")->files().size(), 256U);
  EXPECT_EQ(code_of([&] { open_disk(folder / "256.vmdk"); }), ErrorCode::malformed);
}

TEST_F(BadInput, SeSparseWithAnythingUnknownIsRefused) {
  const Bytes good = se_sparse(random_layer(2 * MiB, 4096, 2));
  write_file(folder / "d.vmdk", descriptor("seSparse", "RW 4096 SESPARSE \"e.vmdk\"\n"));
  for (const std::size_t field : {8, 24, 32, 40, 48, 512 + 24}) {
    Bytes bytes = good;
    put(bytes, field, 0x77, 8);
    write_file(folder / "e.vmdk", bytes);
    EXPECT_EQ(open_code(), ErrorCode::unsupported) << field;
  }
  Bytes bytes = good;
  put(bytes, 8 * 512, 0x2000000000000000, 8);
  write_file(folder / "e.vmdk", bytes);
  Bytes got(512);
  EXPECT_EQ(code_of([&] { open_disk(folder / "d.vmdk")->read(0, got); }), ErrorCode::malformed);
  put(bytes, 8 * 512, 0x10000000ffffffff, 8);
  write_file(folder / "e.vmdk", bytes);
  EXPECT_EQ(code_of([&] { open_disk(folder / "d.vmdk")->read(0, got); }), ErrorCode::malformed);
}

}  // namespace
}  // namespace vmferry::disk::test
