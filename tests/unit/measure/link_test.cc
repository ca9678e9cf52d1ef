// Links: how they are named, and how long bytes take over them.
#include <gtest/gtest.h>

#include "engine/measure/link.h"
#include "protocol/error.h"

namespace vmferry::measure {
namespace {

TEST(LinkTest, ALinkIsARateAndARoundTrip) {
  EXPECT_EQ(parse_link("10mbit,80ms"), (Link{10'000'000, 80}));
  EXPECT_EQ(parse_link("1gbit,0ms"), (Link{1'000'000'000, 0}));
  EXPECT_EQ(parse_link("512kbit,600ms"), (Link{512'000, 600}));
}

TEST(LinkTest, ALinkReadsBackAsItIsNamed) {
  for (const Link& link : default_links()) EXPECT_EQ(parse_link(link_name(link)), link);
  EXPECT_EQ(link_name({1'500'000, 7}), "1500kbit,7ms");
  EXPECT_EQ(link_name({10'000'000, 80}), "10mbit,80ms");
}

TEST(LinkTest, WhatIsNoLinkIsRefusedWithAnExample) {
  for (const char* text : {"", "10mbit", "10mbit,", "10mbit,80", "10 mbit,80ms", "10mbit, 80ms", "-10mbit,80ms",
                           "0mbit,80ms", "1.5mbit,80ms", "10mbits,80ms", "10mbit,80ms ", "10mbit,60001ms",
                           "10MBit,80ms", "mbit,80ms",
                           "10mbit,80ms,1", "99999999999999999999gbit,1ms", "1000001mbit,1ms"}) {
    try {
      parse_link(text);
      ADD_FAILURE() << "taken: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_NE(std::string(error.what()).find("10mbit,80ms"), std::string::npos);
    }
  }
}

TEST(LinkTest, BothDirectionsAndTheRoundTripsTakeTime) {
  // 1,250,000 bytes are 10 mbit: one second.
  EXPECT_EQ(link_ms({10'000'000, 80}, {1'250'000, 0, 0}), 1000U);
  EXPECT_EQ(link_ms({10'000'000, 80}, {1'000'000, 250'000, 5}), 1400U);
  EXPECT_EQ(link_ms({1'000'000'000, 0}, {std::uint64_t{1} << 46, 0, 3}), 562'949'953U) << "64 TiB do not overflow";
}

TEST(LinkTest, ANightTakesTheLongerOfLineAndWork) {
  EXPECT_EQ(night_ms({10'000'000, 0}, {1'250'000, 0, 0}, 400), 1000U);
  EXPECT_EQ(night_ms({10'000'000, 0}, {1'250'000, 0, 0}, 2500), 2500U);
}

}  // namespace
}  // namespace vmferry::measure
