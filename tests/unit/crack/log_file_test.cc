#include "engine/crack/ntfs/log_file.h"

#include <gtest/gtest.h>

#include "tests/support/content.h"
#include "tests/unit/crack/log_builder.h"

namespace vmferry::crack {
namespace {

constexpr std::uint64_t log_bytes = 2 << 20;
const LogGeometry geometry{.cluster_bytes = 4096, .mft_record_bytes = 1024, .clusters = 1 << 20};

LogFindings examine(Bytes log) { return examine_log(log, geometry); }

bool names(const LogFindings& findings, std::uint64_t lcn) {
  for (const ClusterRange& range : findings.named) {
    if (lcn >= range.lcn && lcn < range.lcn + range.clusters) return true;
  }
  return false;
}

class LogFile : public testing::TestWithParam<int> {
 protected:
  LogBuilder builder{log_bytes, static_cast<std::uint16_t>(GetParam()), static_cast<std::uint16_t>(GetParam() == 1 ? 1 : 0)};
};

INSTANTIATE_TEST_SUITE_P(Versions, LogFile, testing::Values(1, 2), [](const auto& test) {
  return test.param == 1 ? "Version11" : "Version20";
});

TEST_P(LogFile, ClustersThatBitmapRecordsSetOrClearAreNamedEachWithTheirPageOfTheBitmap) {
  const std::uint64_t first = builder.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, 1000, 3);
  builder.add_bitmap(LogBuilder::clear_bits, LogBuilder::set_bits, 1, 5, 2);
  builder.set_restart(first, first);
  const LogFindings findings = examine(builder.finish());
  EXPECT_FALSE(findings.cleanly_closed);
  ASSERT_TRUE(findings.readable) << findings.why;
  EXPECT_EQ(findings.named, (std::vector<ClusterRange>{{0, 1}, {1000, 3}, {4096 * 8 + 5, 2}}));
}

TEST_P(LogFile, RecordsOverPagesAndAroundTheRingAreFollowed) {
  std::uint64_t oldest = 0;
  // About one and a half rounds; what a replay needs begins before the ring's end.
  const std::uint64_t ring = log_bytes - builder.first_page();
  std::uint64_t written = 0;
  std::uint32_t cluster = 10;
  std::vector<std::uint32_t> live;
  while (written < ring + ring / 2) {
    const std::uint64_t lsn = builder.add_bitmap(LogBuilder::set_bits, LogBuilder::noop, 0, cluster % 32000, 1);
    if (oldest == 0 && written > ring * 3 / 4) oldest = lsn;
    if (oldest != 0) live.push_back(cluster % 32000);
    Bytes filler(3000 + written % 9000);  // a client's restart data, which means nothing to us
    builder.add_client_data(filler, 2);
    written += filler.size() + 200;
    cluster += 7;
  }
  builder.set_restart(oldest, oldest);
  const LogFindings findings = examine(builder.finish());
  ASSERT_TRUE(findings.readable) << findings.why;
  for (const std::uint32_t lcn : live) EXPECT_TRUE(names(findings, lcn)) << lcn;
  EXPECT_FALSE(names(findings, 17));  // long before the oldest record
}

TEST_P(LogFile, ARecordThatOnlyTheCopyOfItsPageHoldsIsFound) {
  const std::uint64_t first = builder.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, 100, 1);
  builder.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, 200, 1);
  builder.set_restart(first, first);
  builder.leave_last_page_to_its_copy();
  const LogFindings findings = examine(builder.finish());
  ASSERT_TRUE(findings.readable) << findings.why;
  EXPECT_TRUE(names(findings, 100));
  EXPECT_TRUE(names(findings, 200));
}

TEST_P(LogFile, AClosedLogAndOneThatWasNeverWrittenAreClean) {
  builder.add_bitmap(LogBuilder::set_bits, LogBuilder::clear_bits, 0, 100, 1);
  builder.set_closed(true);
  Bytes closed = builder.finish();
  EXPECT_TRUE(log_cleanly_closed(closed));
  EXPECT_TRUE(examine(closed).cleanly_closed);
  EXPECT_TRUE(log_cleanly_closed(Bytes(log_bytes, std::byte{0xff})));
  closed[300] ^= std::byte{1};  // the content of a restart page is not what counts; its fixups are
  closed[510] ^= std::byte{1};
  EXPECT_FALSE(log_cleanly_closed(closed));
  EXPECT_FALSE(examine(closed).readable);
}

TEST_P(LogFile, WhatIsLostInTheLiveRangeMakesTheLogUnreadable) {
  std::vector<std::uint64_t> lsns;
  for (std::uint32_t i = 0; i < 400; ++i) lsns.push_back(builder.add_bitmap(LogBuilder::set_bits, 0, 0, 100 + i, 1));
  builder.set_restart(lsns[0], lsns[0]);
  const Bytes good = builder.finish();
  ASSERT_TRUE(examine(good).readable) << examine(good).why;
  for (const std::size_t victim : {0, 100, 399}) {
    Bytes torn = good;
    torn[builder.place_of(lsns[victim]) / 4096 * 4096 + 510] ^= std::byte{1};
    EXPECT_FALSE(examine(torn).readable) << victim;
  }
  Bytes overwritten = good;  // one header in the middle is gone: what follows must not be forgotten
  overwritten[builder.place_of(lsns[200])] ^= std::byte{1};
  EXPECT_FALSE(examine(overwritten).readable);
}

TEST_P(LogFile, UnknownOperationsAndLostLastRecordsMakeTheLogUnreadable) {
  const std::uint64_t first = builder.add_bitmap(0x26, 0, 0, 100, 1);
  builder.set_restart(first, first);
  EXPECT_FALSE(examine(builder.finish()).readable);
  LogBuilder behind(log_bytes, 1, 1);
  const std::uint64_t lsn = behind.add_bitmap(LogBuilder::set_bits, 0, 0, 100, 1);
  behind.set_restart(lsn, lsn + 64);  // the restart page knows of a record that is not there
  EXPECT_FALSE(examine(behind.finish()).readable);
}

TEST(LogFileVersions, OtherVersionsAreNotReadable) {
  for (const auto& [major, minor] : {std::pair{0, 9}, {1, 0}, {1, 2}, {2, 1}, {3, 0}}) {
    LogBuilder builder(log_bytes, static_cast<std::uint16_t>(major), static_cast<std::uint16_t>(minor));
    const std::uint64_t lsn = builder.add_bitmap(LogBuilder::set_bits, 0, 0, 100, 1);
    builder.set_restart(lsn, lsn);
    const LogFindings findings = examine(builder.finish());
    EXPECT_FALSE(findings.cleanly_closed);
    EXPECT_FALSE(findings.readable) << major << '.' << minor;
  }
}

TEST(LogFileVersions, AttributesInRecordsNameTheirClusters) {
  LogBuilder builder(log_bytes, 2, 0);
  ByteWriter data;
  for (const int field : {0x05, 0x06, 0x28, 0x48, 0, 0, 0x18, 1, 0x38, 0, 0, 0}) data.u16(static_cast<std::uint16_t>(field));
  data.u64(0);
  data.u64(77);  // the page's cluster
  // A non-resident $DATA of 4 clusters at 0x1234.
  data.u32(0x80), data.u32(0x48), data.u8(1), data.u8(0), data.u16(0x40), data.u16(0), data.u16(1);
  data.u64(0), data.u64(3), data.u16(0x40), data.u16(0), data.u32(0);
  data.u64(16384), data.u64(16384), data.u64(16384);
  data.u8(0x21), data.u8(4), data.u16(0x1234), data.u32(0);
  const std::uint64_t lsn = builder.add_client_data(std::move(data).take());
  builder.set_restart(lsn, lsn);
  const LogFindings findings = examine(builder.finish());
  ASSERT_TRUE(findings.readable) << findings.why;
  EXPECT_EQ(findings.named, (std::vector<ClusterRange>{{77, 1}, {0x1234, 4}}));
}

}  // namespace
}  // namespace vmferry::crack
