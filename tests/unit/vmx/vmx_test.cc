#include "engine/disk/vmx.h"

#include <fstream>
#include <gtest/gtest.h>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::disk {
namespace {

constexpr char typical[] =
    "#!/usr/bin/vmware\r\n"
    ".encoding = \"UTF-8\"\r\n"
    "displayName = \"Web |22one|22 \xc3\xa4\"\r\n"
    "uuid.bios = \"56 4d 12 34 56 78 9a bc-de f0 12 34 56 78 9a bc\"\r\n"
    "\r\n"
    "scsi0.present = \"TRUE\"\r\n"
    "SCSI0:10.fileName = \"ten.vmdk\"\r\n"
    "scsi0:10.present = \"true\"\r\n"
    "scsi0:2.present = TRUE\r\n"
    "scsi0:2.fileName = \"/vmfs/volumes/ds/two disks.vmdk\"   # the data\r\n"
    "scsi0:2.mode = \"independent-persistent\"\r\n"
    "scsi0:3.present = \"FALSE\"\r\n"
    "scsi0:3.fileName = \"gone.vmdk\"\r\n"
    "scsi1.present = \"FALSE\"\r\n"
    "scsi1:0.present = \"TRUE\"\r\n"
    "scsi1:0.fileName = \"on-a-controller-that-is-off.vmdk\"\r\n"
    "ide1:0.present = \"TRUE\"\r\n"
    "ide1:0.deviceType = \"cdrom-image\"\r\n"
    "ide1:0.fileName = \"tools.vmdk\"\r\n"
    "ide0:0.present = \"TRUE\"\r\n"
    "ide0:0.fileName = \"boot.vmdk\"\r\n"
    "floppy0.fileName = \"f.flp\"\r\n"
    "checkpoint.vmState = \"\"\r\n";

ErrorCode code_of(const std::string& text) {
  try {
    Vmx::parse(text);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::failed;
}

TEST(Vmx, ListsThePresentHardDisksInTheOrderPeopleCount) {
  const std::vector<VmxDisk> disks = Vmx::parse(typical).disks();
  ASSERT_EQ(disks.size(), 3u);
  EXPECT_EQ(disks[0].key, "ide0:0");
  EXPECT_EQ(disks[1].key, "scsi0:2");
  EXPECT_EQ(disks[1].file_name, "/vmfs/volumes/ds/two disks.vmdk");
  EXPECT_EQ(disks[1].mode, "independent-persistent");
  EXPECT_EQ(disks[2].key, "scsi0:10");
  EXPECT_EQ(disks[2].file_name, "ten.vmdk");
}

TEST(Vmx, KeysAreFoundWhateverTheirCaseAndValuesAreUnescaped) {
  const Vmx vmx = Vmx::parse(typical);
  EXPECT_EQ(vmx.display_name(), "Web \"one\" \xc3\xa4");
  EXPECT_EQ(vmx.get("DISPLAYNAME"), vmx.display_name());
  EXPECT_EQ(vmx.get("nothing"), std::nullopt);
  EXPECT_EQ(vmx.bios_uuid().to_string(), "564d1234-5678-9abc-def0-123456789abc");
  EXPECT_TRUE(Vmx::parse("uuid.bios = \"rubbish\"\n").bios_uuid().is_none());
}

TEST(Vmx, SettingAKeyChangesThatLineOnly) {
  Vmx vmx = Vmx::parse(typical);
  vmx.set("scsi0:10.filename", "restored \"ten\"|.vmdk");
  std::string expected = typical;
  const std::string before = "SCSI0:10.fileName = \"ten.vmdk\"";
  expected.replace(expected.find(before), before.size(), "SCSI0:10.fileName = \"restored |22ten|22|7C.vmdk\"");
  EXPECT_EQ(vmx.text(), expected);
  EXPECT_EQ(vmx.get("scsi0:10.fileName"), "restored \"ten\"|.vmdk");
}

TEST(Vmx, ANewKeyIsAddedOnALineOfItsOwn) {
  Vmx crlf = Vmx::parse(typical);
  crlf.set("scsi0:4.present", "FALSE");
  EXPECT_EQ(crlf.text(), std::string(typical) + "scsi0:4.present = \"FALSE\"\r\n");
  Vmx unterminated = Vmx::parse("a = \"1\"");
  unterminated.set("b", "2\n3");
  EXPECT_EQ(unterminated.text(), "a = \"1\"\nb = \"2|0A3\"\n");
  Vmx empty = Vmx::parse("");
  empty.set("a", "");
  EXPECT_EQ(empty.get("a"), "");
}

TEST(Vmx, SuspendedOnlyWhereTheCheckpointNamesAFile) {
  EXPECT_FALSE(Vmx::parse(typical).suspended());
  EXPECT_FALSE(Vmx::parse("").suspended());
  EXPECT_TRUE(Vmx::parse("checkpoint.vmState = \"web1.vmss\"\n").suspended());
}

TEST(Vmx, WhatCannotBeReadIsRefusedAndNotGuessed) {
  EXPECT_EQ(code_of("scsi0:0.fileName \"a.vmdk\"\n"), ErrorCode::malformed);
  EXPECT_EQ(code_of("scsi0:0.fileName = \"a.vmdk\n"), ErrorCode::malformed);
  EXPECT_EQ(code_of("scsi0:0.fileName = \"a.vmdk\" b\n"), ErrorCode::malformed);
  EXPECT_EQ(code_of(" = \"a.vmdk\"\n"), ErrorCode::malformed);
  EXPECT_EQ(code_of("a = \"1\"\nA = \"2\"\n"), ErrorCode::malformed);
  EXPECT_EQ(code_of(std::string("a = \"1\"\n\0", 9)), ErrorCode::malformed);
  EXPECT_EQ(code_of(std::string(limits::config_file_bytes_max + 1, '\n')), ErrorCode::malformed);
  EXPECT_NO_THROW(Vmx::parse("a = \"1\"\nA = \"1\"\n"));
}

TEST(Vmx, HostileSlotNumbersAreNoDisks) {
  EXPECT_TRUE(Vmx::parse("scsi99999999999:0.present = \"TRUE\"\nscsi99999999999:0.fileName = \"a\"\n").disks().empty());
  EXPECT_TRUE(Vmx::parse("scsi0:.present = \"TRUE\"\nscsi0:.fileName = \"a\"\n").disks().empty());
  EXPECT_TRUE(Vmx::parse("scsi0:1x.present = \"TRUE\"\nscsi0:1x.fileName = \"a\"\n").disks().empty());
}

TEST(Vmx, LoadNamesTheFileInItsErrors) {
  const test::TemporaryDirectory directory;
  std::ofstream(directory / "bad.vmx") << "rubbish\n";
  try {
    Vmx::load(directory / "bad.vmx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.object(), (directory / "bad.vmx").string());
  }
  std::ofstream(directory / "good.vmx") << typical;
  EXPECT_EQ(Vmx::load(directory / "good.vmx").text(), typical);
  EXPECT_THROW(Vmx::load(directory / "none.vmx"), Error);
}

}  // namespace
}  // namespace vmferry::disk
