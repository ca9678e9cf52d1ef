// [bandwidth] in the configuration, and the limits that follow it: by the clock, and on a real SIGHUP.
#include "engine/cli/bandwidth.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>

#include "engine/cli/bandwidth_table.h"
#include "engine/cli/interrupts.h"
#include "engine/cli/settings.h"
#include "protocol/error.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::cli {
namespace {

using testing::HasSubstr;

class BandwidthTest : public testing::Test {
 protected:
  void write(const std::string& text) const { std::ofstream(config_) << text; }
  std::string fault_of(const std::string& text) const {
    write(text);
    try {
      read_bandwidth(config_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_THAT(error.what(), HasSubstr(config_.string()));
      return error.what();
    }
    ADD_FAILURE() << text;
    return {};
  }

  const test::TemporaryDirectory directory_;
  const std::filesystem::path config_ = directory_ / "config.toml";
};

TEST_F(BandwidthTest, WithoutAFileOrTheTableThereIsNoLimit) {
  EXPECT_EQ(read_bandwidth(config_).otherwise, 0u);
  write("target = \"file:///x\"\n");
  EXPECT_EQ(read_bandwidth(config_).otherwise, 0u);
  EXPECT_TRUE(read_bandwidth(config_).rules.empty());
}

TEST_F(BandwidthTest, TheTimetableKeepsTheOrderInWhichItIsWritten) {
  std::string lines = "[bandwidth]\n", in_line = "bandwidth = { ";
  for (unsigned hour = 0; hour < 20; ++hour) {  // enough that a table's own order would be another one
    const std::string line = "\"" + std::string(hour < 10 ? "0" : "") + std::to_string(hour) + ":00-24:00\" = \"" +
                             std::to_string(100 - hour) + "mbit\"";
    lines += line + (hour == 10 ? "\nlimit = \"20mbit\"\n" : "\n");
    in_line += line + (hour == 10 ? ", limit = \"20mbit\", " : hour == 19 ? " }\n" : ", ");
  }
  for (const std::string& each : {lines, in_line}) {
    write(each);
    const RateSchedule schedule = read_bandwidth(config_);
    EXPECT_EQ(schedule.otherwise, 2'500'000u);
    ASSERT_EQ(schedule.rules.size(), 20u);
    for (unsigned hour = 0; hour < 20; ++hour) {
      EXPECT_EQ(schedule.rules[hour].begin_minute, hour * 60);
      EXPECT_EQ(schedule.rules[hour].rate, (100 - hour) * 125'000u);
    }
  }
}

TEST_F(BandwidthTest, WhatIsWrongIsNamedWithItsLine) {
  EXPECT_THAT(fault_of("[bandwidth]\nlimit = \"fast\"\n"), HasSubstr("config.toml line 2: not a rate: fast"));
  EXPECT_THAT(fault_of("[bandwidth]\nlimit = 20\n"), HasSubstr("not a rate: 20"));
  EXPECT_THAT(fault_of("[bandwidth]\nlimit = 2.5\n"), HasSubstr("in quotes"));
  EXPECT_THAT(fault_of("[bandwidth]\n\n\"Mon-Fry\" = \"5mbit\"\n"),
              HasSubstr("line 3: not a time of a timetable: Mon-Fry"));
  EXPECT_THAT(fault_of("[bandwidth]\ntimetable = [[\"Mon\", \"5mbit\"]]\n"), HasSubstr("line 2"));
  EXPECT_THAT(fault_of("bandwidth = \"5mbit\"\n"), HasSubstr("write [bandwidth]"));
  EXPECT_THAT(fault_of("[bandwidth\n"), HasSubstr("cannot be read"));
}

TEST_F(BandwidthTest, AWrongTableIsAnErrorAtTheStartAndALimitOnTheCommandLineStandsInForIt) {
  Settings settings;
  settings.config = config_;
  write("[bandwidth]\n\"Mon-Fry\" = \"5mbit\"\n");
  EXPECT_THROW(complete_settings(settings), Error);
  settings.line.bwlimit_text = "20mbit";
  EXPECT_THROW(complete_settings(settings), Error);
  write("[bandwidth]\nlimit = \"5mbit\"\n\"Mon\" = \"1mbit\"\n");
  complete_settings(settings);
  EXPECT_EQ(settings.rates.otherwise, 2'500'000u);
  EXPECT_TRUE(settings.rates.rules.empty());
}

TEST_F(BandwidthTest, ByTheClockTheRateChangesBothWays) {
  std::atomic<int> minute{11 * 60 + 59};
  BandwidthSource source;
  const std::time_t today = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  source.now = [&minute, today] {
    std::tm time{};
    ::localtime_r(&today, &time);
    time.tm_hour = minute / 60;
    time.tm_min = minute % 60;
    time.tm_isdst = -1;
    return std::chrono::system_clock::from_time_t(::mktime(&time));
  };
  const Bandwidth bandwidth({2'500'000, {parse_rule("00:00-12:00", "5mbit")}}, source);
  EXPECT_EQ(bandwidth.sending()->bytes_per_second(), 625'000u);
  EXPECT_EQ(bandwidth.receiving()->bytes_per_second(), 625'000u);
  minute = 12 * 60;
  while (bandwidth.sending()->bytes_per_second() == 625'000u || bandwidth.receiving()->bytes_per_second() == 625'000u)
    std::this_thread::yield();
  EXPECT_EQ(bandwidth.sending()->bytes_per_second(), 2'500'000u);
  EXPECT_EQ(bandwidth.receiving()->bytes_per_second(), 2'500'000u);
}

TEST_F(BandwidthTest, SighupReadsTheTableAnewAndAWrongOneIsOnlyTold) {
  take_signals();
  write("[bandwidth]\nlimit = \"20mbit\"\n");
  std::promise<std::string> first, second;
  std::vector<std::promise<std::string>*> waiting{&second, &first};
  BandwidthSource source;
  source.reload = [this] { return read_bandwidth(config_); };
  source.note = [&waiting](const std::string& sentence) {
    waiting.back()->set_value(sentence);
    waiting.pop_back();
  };
  const Bandwidth bandwidth(source.reload(), source);
  write("[bandwidth]\nlimit = \"5mbit\"\n");
  ::kill(::getpid(), SIGHUP);
  EXPECT_THAT(first.get_future().get(), HasSubstr("5.0 Mbit/s"));
  while (bandwidth.sending()->bytes_per_second() != 625'000u) std::this_thread::yield();
  write("[bandwidth]\nlimit = \"fast\"\n");
  ::kill(::getpid(), SIGHUP);
  EXPECT_THAT(second.get_future().get(), HasSubstr("the former bandwidth stays"));
  EXPECT_EQ(bandwidth.sending()->bytes_per_second(), 625'000u);
  EXPECT_FALSE(cancelled());
}

}  // namespace
}  // namespace vmferry::cli
