// TrafficLedger: what it says of a backup must add up.
#include "engine/backup/traffic.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace vmferry::backup {
namespace {

StreamInfo file_stream(MftReference record) {
  StreamInfo stream;
  stream.record = record;
  stream.attribute_type = 0x80;
  return stream;
}

TEST(TrafficLedgerTest, WhatWasReadIsReusedSentAsDeltaOrSentWholeAndTheTotalsAreTheAccountsSum) {
  TrafficLedger ledger;
  const AccountNumber first = ledger.open(0, file_stream(40));
  const AccountNumber second = ledger.open(1, file_stream(40));
  ledger.read(first, 1000);
  ledger.read(second, 500);
  ledger.unchanged(7000);
  ledger.sent(std::array{TrafficLedger::Sent{first, 300, 0, 30}, TrafficLedger::Sent{second, 0, 400, 100}});
  ledger.sent(std::array{TrafficLedger::Sent{first, 0, 200, 150}});
  ledger.nodes_sent(4000, 0, 90);

  const auto accounts = ledger.accounts();
  ASSERT_EQ(accounts.size(), 2U);
  EXPECT_EQ(accounts[0].traffic.reused, 500U);
  EXPECT_EQ(accounts[0].traffic.delta, 300U);
  EXPECT_EQ(accounts[0].traffic.whole, 200U);
  EXPECT_EQ(accounts[0].traffic.wire, 180U);
  EXPECT_EQ(accounts[0].traffic.delta_wire, 30U);
  EXPECT_EQ(accounts[1].traffic.reused, 100U);
  EXPECT_EQ(accounts[1].disk, 1U);

  const auto totals = ledger.totals();
  EXPECT_EQ(totals.streams.read, 1500U);
  EXPECT_EQ(totals.streams.reused + totals.streams.delta + totals.streams.whole, totals.streams.read);
  EXPECT_EQ(totals.streams.wire, 280U);
  EXPECT_EQ(totals.unchanged_streams, 1U);
  EXPECT_EQ(totals.unchanged_bytes, 7000U);
  EXPECT_EQ(totals.nodes.wire, 90U);
}

TEST(TrafficLedgerTest, AChunkThatWentTwiceNeverMakesReusedNegative) {
  TrafficLedger ledger;
  const AccountNumber account = ledger.open(0, file_stream(40));
  ledger.read(account, 100);
  ledger.sent(std::array{TrafficLedger::Sent{account, 100, 0, 10}, TrafficLedger::Sent{account, 0, 100, 60}});
  EXPECT_EQ(ledger.accounts()[0].traffic.reused, 0U);
}

TEST(TrafficLedgerTest, PastItsBoundStreamsShareOneAccountPerDisk) {
  TrafficLedger ledger;
  for (std::size_t i = 0; i < TrafficLedger::accounts_max; ++i) ledger.open(0, file_stream(i));
  const AccountNumber shared = ledger.open(0, file_stream(1));
  EXPECT_EQ(ledger.open(0, file_stream(2)), shared);
  const AccountNumber other_disk = ledger.open(1, file_stream(2));
  EXPECT_NE(other_disk, shared);
  ledger.read(shared, 5);
  const auto accounts = ledger.accounts();
  EXPECT_EQ(accounts.size(), TrafficLedger::accounts_max + 2);
  EXPECT_TRUE(accounts[shared].shared);
  EXPECT_EQ(accounts[shared].files, 2U);
  EXPECT_EQ(accounts[shared].traffic.reused, 5U);
  EXPECT_EQ(accounts[other_disk].disk, 1U);
}

TEST(TrafficLedgerTest, ThreadsThatSendAtOnceLoseNothing) {
  TrafficLedger ledger;
  const AccountNumber account = ledger.open(0, file_stream(40));
  const auto send = [&] {
    for (int i = 0; i < 10'000; ++i) ledger.sent(std::array{TrafficLedger::Sent{account, 1, 2, 3}});
  };
  std::thread other(send);
  send();
  other.join();
  EXPECT_EQ(ledger.totals().streams.delta, 20'000U);
  EXPECT_EQ(ledger.totals().streams.wire, 60'000U);
}

}  // namespace
}  // namespace vmferry::backup
