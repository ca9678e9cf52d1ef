// How much of a line may be used, and when.
#include "engine/cli/rate_schedule.h"

#include <gtest/gtest.h>

#include "protocol/error.h"

namespace vmferry::cli {
namespace {

constexpr unsigned Mon = 0, Fri = 4, Sat = 5, Sun = 6;

WeekTime at(unsigned day, unsigned hour, unsigned minute = 0) { return {day, hour * 60 + minute}; }

TEST(Rate, IsWrittenInBitsOrBytesASecond) {
  EXPECT_EQ(parse_rate("20mbit"), 2'500'000u);
  EXPECT_EQ(parse_rate("800kbit/s"), 100'000u);
  EXPECT_EQ(parse_rate("1gbit"), 125'000'000u);
  EXPECT_EQ(parse_rate("2.5MiB"), 2'621'440u);
  EXPECT_EQ(parse_rate("512KiB/s"), 524'288u);
  EXPECT_EQ(parse_rate("unlimited"), 0u);
  EXPECT_EQ(parse_rate("0"), 0u);
}

TEST(Rate, WhatIsNoneIsRefused) {
  for (const char* text : {"", "fast", "20", "-5mbit", "5 mbit", "mbit", "1e400mbit", "nanmbit", "99999gbit", "0.1bit"})
    EXPECT_THROW(parse_rate(text), Error) << text;
}

TEST(RateSchedule, TheFirstRuleThatMatchesCountsElseTheLimit) {
  const RateSchedule schedule(100, {{"Mon-Fri 08:00-18:00", "5mbit"}, {"Sat,Sun", "unlimited"}, {"22:00-06:00", "50mbit"}});
  EXPECT_EQ(schedule.rate_at(at(Mon, 8)), 625'000u);
  EXPECT_EQ(schedule.rate_at(at(Fri, 17, 59)), 625'000u);
  EXPECT_EQ(schedule.rate_at(at(Mon, 18)), 100u);
  EXPECT_EQ(schedule.rate_at(at(Mon, 7, 59)), 100u);
  EXPECT_EQ(schedule.rate_at(at(Sat, 12)), 0u);
  EXPECT_EQ(schedule.rate_at(at(Mon, 23)), 6'250'000u);
  EXPECT_EQ(schedule.rate_at(at(Mon, 5, 59)), 6'250'000u);
  EXPECT_EQ(schedule.rate_at(at(Mon, 6)), 100u);
}

TEST(RateSchedule, ANightBelongsToTheDayThatItBeginsOn) {
  const RateSchedule schedule(0, {{"Fri 22:00-06:00", "8kbit"}});
  EXPECT_EQ(schedule.rate_at(at(Fri, 22)), 1000u);
  EXPECT_EQ(schedule.rate_at(at(Sat, 5, 59)), 1000u);
  EXPECT_EQ(schedule.rate_at(at(Sat, 6)), 0u);
  EXPECT_EQ(schedule.rate_at(at(Fri, 3)), 0u);
}

TEST(RateSchedule, DaysWrapAroundTheWeek) {
  const RateSchedule schedule(0, {{"Sat-Mon", "8kbit"}});
  for (const unsigned day : {Sat, Sun, Mon}) EXPECT_EQ(schedule.rate_at(at(day, 12)), 1000u);
  EXPECT_EQ(schedule.rate_at(at(Fri, 12)), 0u);
}

TEST(RateSchedule, WhatIsNoTimeIsRefused) {
  for (const char* when : {"", "Mo", "Mon-", "08:00", "8:00-18:00", "08:00-08:00", "25:00-26:00", "08:00-24:01", "Mon Tue",
                           "08:00-09:00 10:00-11:00", "mon", "Mon 08:60-09:00"})
    EXPECT_THROW(RateSchedule(0, {{when, "5mbit"}}), Error) << when;
  EXPECT_EQ(RateSchedule(0, {{"18:00-24:00", "8kbit"}}).rate_at(at(Mon, 23, 59)), 1000u);
}

}  // namespace
}  // namespace vmferry::cli
