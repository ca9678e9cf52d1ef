// Rates and timetables by value: what is read, what is refused, and which rate holds when, over midnight and over the
// days on which the clocks change.
#include "engine/cli/rate_schedule.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/error.h"

namespace vmferry::cli {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using Time = std::chrono::system_clock::time_point;

TEST(Rate, IsWrittenInBitsOrBytesASecond) {
  EXPECT_EQ(parse_rate("20mbit"), 2'500'000u);
  EXPECT_EQ(parse_rate("5 Mbit/s"), 625'000u);
  EXPECT_EQ(parse_rate("800kbit/s"), 100'000u);
  EXPECT_EQ(parse_rate("1.5Gbit"), 187'500'000u);
  EXPECT_EQ(parse_rate("2.5MiB"), 2'621'440u);
  EXPECT_EQ(parse_rate("512KiB/s"), 524'288u);
  EXPECT_EQ(parse_rate("10MB"), 10'000'000u);
  EXPECT_EQ(parse_rate("8kbit"), 1000u);
  for (const char* text : {"0", "unlimited", "Unlimited", "0mbit", " 0 "}) EXPECT_EQ(parse_rate(text), 0u) << text;
}

TEST(Rate, WhatCouldMeanTwoThingsOrNothingIsRefused) {
  for (const char* text : {"", " ", "fast", "20", "20m", "20mb", "20Mb", "mbit", "-5mbit", "+5mbit", "5mbit/h", "5,5mbit",
                           "inf", "nanmbit", "0x10mbit", "1e3mbit", "5mbit 3", "5mbit/s/s", "5..5mbit", "7kbit", "99999gbit"})
    EXPECT_THROW(parse_rate(text), Error) << text;
}

TEST(Rate, ItsTextIsReadBack) {
  for (const char* text : {"20.0 Mbit/s", "8.0 kbit/s", "unlimited", "1.5 Mbit/s", "1000 Mbit/s"})
    EXPECT_EQ(rate_text(parse_rate(text)), text);
}

TEST(Timetable, WhatIsNoTimeIsRefused) {
  for (const char* when : {"", "Mo", "Monday", "Mon-", "-Fri", "Mon,", "Mon Fri", "limits", "8:00-18:00", "08:00",
                           "08:00-", "25:00-26:00", "08:00-24:01", "08:60-09:00", "24:00-08:00", "10:00-10:00",
                           "08:00-09:00 10:00-11:00", "08:00-18:00 Mon", "Mon-Fri08:00-18:00", "0a:00-18:00"})
    EXPECT_THROW(parse_rule(when, "5mbit"), Error) << when;
  EXPECT_THROW(parse_rule("Mon", "fast"), Error);
}

// As POSIX writes it, so that no zone files are needed: Central Europe, clocks change on the last Sundays of March and
// October at 1:00 UTC.
class InCentralEurope {
 public:
  InCentralEurope() : former_(::getenv("TZ") == nullptr ? "" : ::getenv("TZ")) { set("CET-1CEST,M3.5.0,M10.5.0/3"); }
  ~InCentralEurope() { set(former_); }

 private:
  static void set(const std::string& zone) {
    if (zone.empty()) {
      ::unsetenv("TZ");
    } else {
      ::setenv("TZ", zone.c_str(), 1);
    }
    ::tzset();
  }
  std::string former_;
};

Time utc(int year, unsigned month, unsigned day, int hour, int minute = 0) {
  const auto date = std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
  return std::chrono::sys_days(date) + hours(hour) + minutes(minute);
}

class RateScheduleTest : public testing::Test {
 protected:
  const InCentralEurope zone_;
  // 2026-06-01 is a Monday; local time is two hours ahead of UTC in summer.
  static Time june(unsigned day, int hour, int minute = 0) { return utc(2026, 6, day, hour, minute) - hours(2); }
  // Every minute from `from` to `to` that a schedule limits.
  static std::vector<Time> limited(const char* when, Time from, Time to) {
    const RateSchedule schedule{0, {parse_rule(when, "5mbit")}};
    std::vector<Time> found;
    for (Time time = from; time < to; time += minutes(1))
      if (rate_at(schedule, time) != 0) found.push_back(time);
    return found;
  }
  static constexpr BytesPerSecond slow = 625'000, usual = 2'500'000, fast = 6'250'000;
};

TEST_F(RateScheduleTest, TheFirstLineThatCoversATimeCountsElseTheLimit) {
  const RateSchedule office{usual,
                            {parse_rule("Mon-Fri 08:00-18:00", "5mbit"), parse_rule("Sat,Sun", "unlimited"),
                             parse_rule("22:00-06:00", "50mbit")}};
  EXPECT_EQ(rate_at(office, june(1, 7, 59)), usual);
  EXPECT_EQ(rate_at(office, june(1, 8)), slow);
  EXPECT_EQ(rate_at(office, june(1, 17, 59)), slow);
  EXPECT_EQ(rate_at(office, june(1, 18)), usual);
  EXPECT_EQ(rate_at(office, june(1, 22)), fast);
  EXPECT_EQ(rate_at(office, june(2, 5, 59)), fast);
  EXPECT_EQ(rate_at(office, june(2, 6)), usual);
  EXPECT_EQ(rate_at(office, june(5, 23, 59)), fast) << "Friday night";
  EXPECT_EQ(rate_at(office, june(6, 0)), 0u) << "Saturday stands before the night";
  EXPECT_EQ(rate_at(office, june(7, 23)), 0u);
  EXPECT_EQ(rate_at(office, june(8, 0)), fast) << "Sunday's night, in Monday's morning";
}

TEST_F(RateScheduleTest, WithoutALimitWhatNoLineCoversIsUnlimited) {
  EXPECT_EQ(rate_at({}, june(1, 8)), 0u);
  EXPECT_EQ(rate_at({0, {parse_rule("Mon 08:00-18:00", "5mbit")}}, june(1, 18)), 0u);
}

TEST_F(RateScheduleTest, DaysWrapAroundTheWeek) {
  for (unsigned day = 1; day <= 7; ++day)
    EXPECT_EQ(limited("fri-Mon", june(day, 0), june(day + 1, 0)).size(), day == 1 || day >= 5 ? 1440u : 0u) << day;
}

TEST_F(RateScheduleTest, ANightBelongsToTheDayOnWhichItBegins) {
  const auto night = limited("Fri 22:00-06:00", june(1, 0), june(8, 0));
  ASSERT_EQ(night.size(), 8u * 60);
  EXPECT_EQ(night.front(), june(5, 22));
  EXPECT_EQ(night.back(), june(6, 5, 59));
  EXPECT_EQ(limited("Sun 22:00-06:00", june(8, 0), june(9, 0)).size(), 6u * 60) << "Monday morning";
  EXPECT_EQ(limited("Fri 20:00-24:00", june(5, 0), june(7, 0)).back(), june(5, 23, 59));
}

TEST_F(RateScheduleTest, WhereTheClocksGoForwardTheMissingHourIsPassedOver) {
  // Sunday 2026-03-29: 01:59 CET is followed by 03:00 CEST, at 01:00 UTC.
  const auto night = limited("Sun 02:30-04:00", utc(2026, 3, 28, 12), utc(2026, 3, 29, 12));
  ASSERT_EQ(night.size(), 60u);
  EXPECT_EQ(night.front(), utc(2026, 3, 29, 1)) << "03:00, the first minute that is there";
  EXPECT_EQ(limited("02:15-02:45", utc(2026, 3, 29, 0), utc(2026, 3, 29, 12)).size(), 0u);
  EXPECT_EQ(limited("Sat 22:00-06:00", utc(2026, 3, 28, 12), utc(2026, 3, 29, 12)).size(), 7u * 60);
}

TEST_F(RateScheduleTest, WhereTheClocksGoBackTheHourThatComesTwiceIsCoveredTwice) {
  // Sunday 2026-10-25: 02:59 CEST is followed by 02:00 CET, at 01:00 UTC.
  const auto quarter = limited("02:30-02:45", utc(2026, 10, 24, 12), utc(2026, 10, 25, 12));
  ASSERT_EQ(quarter.size(), 30u);
  EXPECT_EQ(quarter.front(), utc(2026, 10, 25, 0, 30));
  EXPECT_EQ(quarter.back(), utc(2026, 10, 25, 1, 44));
  EXPECT_EQ(limited("Sat 22:00-06:00", utc(2026, 10, 24, 12), utc(2026, 10, 25, 12)).size(), 9u * 60);
}

}  // namespace
}  // namespace vmferry::cli
