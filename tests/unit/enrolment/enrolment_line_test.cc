// The one line that an administrator copies from the target to a controller.
#include <gtest/gtest.h>

#include "protocol/error.h"
#include "protocol/session/enrolment.h"
#include "tests/support/content.h"

namespace vmferry::target {
namespace {

EnrolmentLine line_of(const std::string& host, int seed) {
  EnrolmentLine line;
  line.address = {host, 7447};
  const Bytes random = test::random_bytes(static_cast<std::uint64_t>(seed), 64);
  std::copy_n(random.begin(), 32, line.server.bytes.begin());
  std::copy_n(random.begin() + 32, 32, line.secret.begin());
  return line;
}

TEST(EnrolmentLine, SurvivesTheJourneyWithWhiteSpaceAround) {
  for (const char* host : {"a", "backup.example", "192.0.2.7", "2001:db8::7"}) {
    const EnrolmentLine line = line_of(host, 5);
    const EnrolmentLine parsed = parse_enrolment_line("  \t" + encode_enrolment_line(line) + " \r\n");
    EXPECT_EQ(parsed.address, line.address);
    EXPECT_EQ(parsed.server, line.server);
    EXPECT_EQ(parsed.secret, line.secret);
  }
}

TEST(EnrolmentLine, IsOneWordThatADoubleClickSelectsAndATerminalDoesNotBreak) {
  const std::string text = encode_enrolment_line(line_of("backup.example", 1));
  EXPECT_EQ(text.find_first_of(" \n=+/"), std::string::npos);
  EXPECT_LT(text.size(), 160u);
}

TEST(EnrolmentLine, WhatWasNotCopiedWholeIsRefused) {
  const std::string text = encode_enrolment_line(line_of("backup.example", 1));
  for (std::size_t length = 0; length < text.size(); ++length)
    EXPECT_THROW(parse_enrolment_line(text.substr(0, length)), Error) << length;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {  // the last character has spare bits
    std::string other = text;
    other[i] = other[i] == 'x' ? 'y' : 'x';
    if (other == text) continue;
    EXPECT_THROW(parse_enrolment_line(other), Error) << i;
  }
  EXPECT_THROW(parse_enrolment_line(std::string(5000, 'A')), Error);
}

}  // namespace
}  // namespace vmferry::target
