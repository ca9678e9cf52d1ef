#include "protocol/point.h"

#include <gtest/gtest.h>

#include "protocol/checksum.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/point.pb.h"

namespace vmferry {
namespace {

Uuid uuid_of(unsigned char fill) {
  Uuid uuid;
  uuid.bytes.fill(std::byte{fill});
  return uuid;
}
ChunkId id_of(unsigned char fill) {
  ChunkId id;
  id.bytes.fill(std::byte{fill});
  return id;
}

// No field at its default, so that one that is forgotten is noticed.
RestorePoint whole_point() {
  PointVolume volume;
  volume.partition = 2;
  volume.range = {1048576, 4 << 20};
  volume.type = "0x07";
  volume.file_system = "ntfs";
  volume.cracked = true;
  volume.label = "Da\xffta";  // no UTF-8, and kept
  volume.serial = 0xfedcba9876543210;
  volume.cluster_bytes = 4096;
  volume.mft_record_bytes = 1024;
  volume.files = 100;
  volume.directories = 10;
  volume.file_index = {id_of(1), 2, 200};
  volume.bytes = {.data = 1 << 20, .free = 2 << 20, .excluded = 512, .hole = 1024};
  volume.flags = {"dirty", "free_kept"};
  PointDisk disk;
  disk.key = "scsi0:1";
  disk.file_name = "web 1-flat.vmdk";
  disk.uuid = uuid_of(2);
  disk.uuid_made_up = true;
  disk.size_bytes = 8 << 20;
  disk.format = "monolithicSparse";
  disk.adapter_type = "lsilogic";
  disk.cylinders = 1;
  disk.heads = 255;
  disk.sectors = 63;
  disk.descriptor = "# Disk DescriptorFile\n";
  disk.ddb = {{"ddb.uuid", "60 00"}, {"ddb.adapterType", "lsilogic"}};
  disk.image_map = {id_of(3), 1, 5};
  disk.volumes = {volume};
  disk.bytes = {.data = 1, .free = 2, .excluded = 3, .hole = 4};
  PointFile file;
  file.name = "web1.vmx";
  file.size_bytes = 300;
  file.chunks = {id_of(4), id_of(5)};
  file.chunk_lengths = {200, 100};
  RestorePoint point;
  point.uuid = uuid_of(6);
  point.number = 12;
  point.machine_uuid = uuid_of(7);
  point.machine_uuid_made_up = true;
  point.machine_name = "wéb1";
  point.client_uuid = uuid_of(8);
  point.client_name = "esx-1.example";
  point.domain_uuid = uuid_of(9);
  point.source = SourceKind::frozen;
  point.taken_ms = 1700000000000;
  point.arrived_ms = -1;
  point.exact = true;
  point.is_vmx = true;
  point.disks = {disk, disk};
  point.files = {file};
  point.report = {.disk_bytes = 1, .read_bytes = 2, .files = 3, .chunks = 4, .new_chunks = 5, .new_bytes = 6,
                  .sent_bytes = 7, .received_bytes = 8, .stored_bytes = 9, .elapsed_ms = 10,
                  .warnings = {{"volume_not_cracked", "scsi0:1.2", "it is encrypted"}}, .notes = {"EFI"}};
  point.software = "vmferry 0.1.0";
  return point;
}

ErrorCode code_of(const Bytes& bytes) {
  try {
    decode_point(bytes);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "a bad point was read";
  return ErrorCode::failed;
}

Bytes wrap(const std::string& body) {
  ByteWriter out;
  out.bytes(as_bytes("VFP1"));
  out.u32(1);
  out.u32(static_cast<std::uint32_t>(body.size()));
  out.bytes(as_bytes(body));
  out.u64(checksum64(out.view()));
  return std::move(out).take();
}

wire::PointRecord message_of(const RestorePoint& point) {
  const Bytes bytes = encode_point(point);
  wire::PointRecord message;
  EXPECT_TRUE(message.ParseFromArray(bytes.data() + 12, static_cast<int>(bytes.size() - 20)));
  return message;
}

TEST(Point, ComesBackWhole) {
  const RestorePoint point = whole_point();
  const Bytes bytes = encode_point(point);
  EXPECT_EQ(decode_point(bytes), point);
  EXPECT_EQ(encode_point(decode_point(bytes)), bytes);
}

TEST(Point, TheSmallestComesBack) {
  RestorePoint point;
  point.machine_name = "m";
  point.client_name = "c";
  EXPECT_EQ(decode_point(encode_point(point)), point);
}

TEST(Point, NoticesEveryFlippedByteAndTruncation) {
  const Bytes good = encode_point(whole_point());
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{0x10};
    const ErrorCode code = code_of(bad);
    EXPECT_EQ(code, i < 4 ? ErrorCode::malformed : i < 8 ? ErrorCode::version : ErrorCode::damaged) << i;
    const ErrorCode cut = code_of(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i)));
    EXPECT_TRUE(cut == ErrorCode::malformed || cut == ErrorCode::damaged);
  }
}

TEST(Point, FieldsOfANewerVmferryAreNoHindrance) {
  const RestorePoint point = whole_point();
  std::string body = message_of(point).SerializeAsString();
  body += std::string("\xfa\x3f\x03new", 6);  // field 1023
  EXPECT_EQ(decode_point(wrap(body)), point);
}

TEST(Point, WhatNoProtobufIsIsRefused) { EXPECT_EQ(code_of(wrap("\x0a\xff")), ErrorCode::malformed); }

TEST(Point, ImpossibleContentIsRefusedInBothDirections) {
  using Change = std::function<void(RestorePoint&)>;
  const std::vector<Change> changes = {
      [](auto& p) { p.machine_name = "../x"; },
      [](auto& p) { p.client_name.clear(); },
      [](auto& p) { p.disks.resize(limits::disks_per_machine_max + 1, p.disks[0]); },
      [](auto& p) { p.disks[0].size_bytes = limits::disk_bytes_max + 1; },
      [](auto& p) { p.disks[0].image_map.levels = limits::tree_depth_max + 1; },
      [](auto& p) { p.disks[0].image_map.entries = 0; },
      [](auto& p) { p.disks[0].bytes.hole = 8 << 20; },
      [](auto& p) { p.disks[0].bytes = {.data = ~std::uint64_t{0}, .free = 2}; },
      [](auto& p) { p.disks[0].file_name = std::string("a\0b", 3); },
      [](auto& p) { p.disks[0].volumes[0].range = {8 << 20, 1}; },
      [](auto& p) { p.disks[0].volumes[0].range = {1, ~std::uint64_t{0}}; },
      [](auto& p) { p.disks[0].volumes[0].cracked = false; },
      [](auto& p) { p.disks[0].volumes[0].bytes.data = 4 << 20; },
      [](auto& p) { p.disks[0].volumes.resize(limits::volumes_per_disk_max + 1, p.disks[0].volumes[0]); },
      [](auto& p) { p.disks[0].volumes.push_back(p.disks[0].volumes[0]), p.disks[0].volumes[1].range = {0, 8 << 20}; },
      [](auto& p) { p.files[0].name = "../../etc/passwd"; },
      [](auto& p) { p.files[0].name = ".."; },
      [](auto& p) { p.files[0].size_bytes = 301; },
      [](auto& p) { p.files[0].chunk_lengths.pop_back(); },
      [](auto& p) { p.files[0].chunk_lengths = {0, 300}; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    RestorePoint point = whole_point();
    changes[i](point);
    EXPECT_THROW(encode_point(point), Error) << i;
  }
  wire::PointRecord message = message_of(whole_point());
  message.mutable_files(0)->set_name("../../etc/passwd");
  EXPECT_EQ(code_of(wrap(message.SerializeAsString())), ErrorCode::malformed);
  message = message_of(whole_point());
  message.set_source(2);
  EXPECT_EQ(code_of(wrap(message.SerializeAsString())), ErrorCode::malformed);
  message = message_of(whole_point());
  message.set_uuid("short");
  EXPECT_EQ(code_of(wrap(message.SerializeAsString())), ErrorCode::malformed);
  message = message_of(whole_point());
  message.mutable_files(0)->mutable_chunks()->pop_back();
  EXPECT_EQ(code_of(wrap(message.SerializeAsString())), ErrorCode::malformed);
}

TEST(Point, TooLargeIsNotWritten) {
  RestorePoint point = whole_point();
  point.report.notes.assign(5, std::string(1 << 20, 'n'));
  EXPECT_THROW(encode_point(point), std::logic_error);
}

TEST(Point, SummaryAddsItsDisksUp) {
  const PointSummary summary = summarize(whole_point());
  EXPECT_EQ(summary.number, 12U);
  EXPECT_EQ(summary.disk_bytes, 16U << 20);
  EXPECT_EQ(summary.data_bytes, 2U);
  EXPECT_EQ(summary.new_bytes, 6U);
  EXPECT_EQ(summary.stored_bytes, 9U);
  EXPECT_EQ(summary.warnings, 1U);
  EXPECT_EQ(summary.client_name, "esx-1.example");
}

}  // namespace
}  // namespace vmferry
