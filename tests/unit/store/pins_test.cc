#include "target-server/store/pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store_fixture.h"

namespace vmferry::store {
namespace {

constexpr std::int64_t day = 24 * 60 * 60;
constexpr std::int64_t begin = 1'764'000'000;

class Pins : public testing::Test {
 protected:
  void write(std::int64_t now, unsigned days = 30) { write_pin(scratch_.path(), client_, machine_, "web 1", now, days); }
  std::filesystem::path file() const {
    return scratch_.path() / "pins" / client_.to_string() / machine_.to_string();
  }
  TemporaryDirectory scratch_;
  const Uuid client_ = Uuid::random(), machine_ = Uuid::random();
};

TEST_F(Pins, EachTryRenewsAndKeepsTheBeginning) {
  EXPECT_TRUE(read_pins(scratch_.path()).empty());
  write(begin);
  write(begin + 20 * day);
  write(begin + 45 * day);
  const std::vector<Pin> pins = read_pins(scratch_.path());
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_EQ(pins[0].client, client_);
  EXPECT_EQ(pins[0].machine, machine_);
  EXPECT_EQ(pins[0].machine_name, "web 1");
  EXPECT_EQ(pins[0].since, begin);
  EXPECT_EQ(pins[0].until, begin + 75 * day);
  remove_pin(scratch_.path(), client_, machine_);
  remove_pin(scratch_.path(), client_, machine_);
  EXPECT_TRUE(read_pins(scratch_.path()).empty());
}

TEST_F(Pins, OneThatNobodyRenewedInTimeBeginsAnewAndEveryNextBackupRemovesIt) {
  write(begin);
  write(begin + 31 * day);
  EXPECT_EQ(read_pins(scratch_.path()).at(0).since, begin + 31 * day);
  const Uuid other = Uuid::random();
  write_pin(scratch_.path(), other, machine_, "other", begin + 62 * day, 30);
  const std::vector<Pin> pins = read_pins(scratch_.path());
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_EQ(pins[0].client, other);
}

TEST_F(Pins, TheFileIsAsItsFormatSays) {
  write(begin, 2);
  EXPECT_EQ(as_text(read_file(file())), "client " + client_.to_string() + "\nmachine " + machine_.to_string() +
                                            "\nsince 1764000000\nuntil 1764172800\nname web 1\n");
}

TEST_F(Pins, AFileThatCannotBeUnderstoodPinsEverythingForAWhile) {
  write(begin);
  write_file(file(), as_bytes("\xff\xfe nonsense \n\n until\n"));
  const std::vector<Pin> pins = read_pins(scratch_.path());
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_EQ(pins[0].since, 0);
  EXPECT_GT(pins[0].until, std::time(nullptr) + 29 * day);
  write_file(file(), random_bytes(1, 10'000));
  EXPECT_EQ(read_pins(scratch_.path()).at(0).since, 0);
  write_file(scratch_.path() / "pins" / "stranger", as_bytes("x"));
  std::filesystem::create_directory(scratch_.path() / "pins" / "strange folder");
  EXPECT_EQ(read_pins(scratch_.path()).size(), 1u);
}

TEST_F(Pins, AClockThatWasSetBackKeepsMoreRatherThanLess) {
  write(begin);
  write(begin - 5 * day);
  EXPECT_EQ(read_pins(scratch_.path()).at(0).since, begin - 5 * day);
}

class PinnedStore : public StoreTest {};

TEST_F(PinnedStore, KeepsAPinUntilTheCommitAndNoneWhereToldSo) {
  const Uuid client = Uuid::random(), machine = Uuid::random();
  {
    const auto store = open();
    store->pin(client, machine, "web1");
    ASSERT_EQ(store->pins().size(), 1u);
    EXPECT_NEAR(static_cast<double>(store->pins()[0].until - std::time(nullptr)), 30.0 * day, 100);
  }
  EXPECT_EQ(open(false)->pins().size(), 1u);
  const auto store = open();
  store->unpin(client, machine);
  store->unpin(client, machine);
  EXPECT_TRUE(store->pins().empty());
  EXPECT_EQ(error_of([&] { open(false)->pin(client, machine, "web1"); }), ErrorCode::refused);
}

TEST_F(PinnedStore, WithNoDaysNothingIsPinned) {
  const auto store = Store::open(directory_, {.pin_days = 0});
  store->pin(Uuid::random(), Uuid::random(), "web1");
  EXPECT_TRUE(store->pins().empty());
}

}  // namespace
}  // namespace vmferry::store
