// A failure on the wire: code, sentence and object, whatever bytes are in a name.
#include <gtest/gtest.h>

#include "protocol/control.h"
#include "protocol/messages.pb.h"
#include "protocol/transport/transport.h"

namespace vmferry {
namespace {

Error over_the_wire(const Error& error) {
  const auto [here, there] = memory_transport();
  wire::PacketWriter writer(*here);
  wire::send_failure(writer, 7, error);
  wire::PacketReader reader(*there);
  const messages::Control control = wire::parse_control(reader.next().value().payload);
  EXPECT_EQ(control.request(), 7u);
  return wire::error_of_failure(control);
}

TEST(Failure, SaysWhatHappenedAndNamesItsObject) {
  const Error told = over_the_wire(Error(ErrorCode::not_found, "there is no machine of that name", "web1"));
  EXPECT_EQ(told.code(), ErrorCode::not_found);
  EXPECT_STREQ(told.what(), "there is no machine of that name: web1");
  EXPECT_EQ(told.object(), "web1");
}

TEST(Failure, ANameInAnotherEncodingDoesNotBreakTheMessage) {
  const Error told = over_the_wire(Error(ErrorCode::damaged, "a chunk is damaged", "\xff\xe9t\xe9"));
  EXPECT_STREQ(told.what(), "a chunk is damaged: ??t?");
  EXPECT_EQ(told.object(), "??t?");
}

TEST(Failure, WithoutAnObjectThereIsNone) {
  EXPECT_EQ(over_the_wire(Error(ErrorCode::busy, "the target stops")).object(), "");
}

}  // namespace
}  // namespace vmferry
