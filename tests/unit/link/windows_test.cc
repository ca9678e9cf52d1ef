// The two windows as they are without lines: decisions about values, against a model that keeps everything.
#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/error.h"
#include "protocol/link/receive_window.h"
#include "protocol/link/records.h"
#include "protocol/link/send_window.h"
#include "tests/support/content.h"

namespace vmferry::link {
namespace {

using Clock = SendWindow::Clock;

void write(SendWindow& window, ByteView bytes) {
  while (!bytes.empty()) {
    const auto room = window.grow(bytes.size());
    std::ranges::copy(bytes.first(room.size()), room.begin());
    window.written(room.size());
    bytes = bytes.subspan(room.size());
  }
}

Bytes take_all(ReceiveWindow& window, std::size_t at_once = 1 << 20) {
  Bytes taken;
  while (window.readable()) {
    std::size_t count = 0;
    for (const ByteView view : window.at_hand(at_once)) {
      taken.insert(taken.end(), view.begin(), view.end());
      count += view.size();
    }
    window.took(count);
  }
  return taken;
}

TEST(SendWindow, KeepsNoMoreThanItMayAndGivesRoomForWhatIsAcknowledged) {
  PagePool pool;
  SendWindow window(pool, 100'000);
  write(window, test::random_bytes(1, 100'000));
  EXPECT_EQ(window.room(), 0u);
  EXPECT_FALSE(window.has_segment()) << "the peer has not said yet that it may";
  ASSERT_TRUE(window.acknowledge(0, 70'000, Clock::now()));
  EXPECT_EQ(window.claim(1, page_bytes, Clock::now()).bytes.size(), page_bytes);
  EXPECT_EQ(window.claim(1, page_bytes, Clock::now()).bytes.size(), 70'000 - page_bytes);
  EXPECT_FALSE(window.has_segment());
  ASSERT_TRUE(window.acknowledge(66'000, 200'000, Clock::now()));
  EXPECT_EQ(window.room(), 66'000u);
  EXPECT_TRUE(window.has_segment());
}

TEST(SendWindow, WhatALineLostIsClaimedFirstAndOnlyWhatIsNotAcknowledged) {
  PagePool pool;
  SendWindow window(pool, 1 << 20);
  const Bytes content = test::random_bytes(2, 5 * page_bytes);
  window.acknowledge(0, 1 << 20, Clock::now());
  write(window, content);
  for (const SendWindow::LineNumber line : {1u, 2u, 1u}) window.claim(line, page_bytes, Clock::now());
  window.acknowledge(1000, 1 << 20, Clock::now());  // the front of the first
  window.give_back(1);
  const SendWindow::Segment first = window.claim(2, page_bytes, Clock::now());
  EXPECT_EQ(first.position, 1000u);
  EXPECT_EQ(first.bytes.size(), page_bytes - 1000);
  EXPECT_TRUE(std::ranges::equal(first.bytes, ByteView(content).subspan(1000, first.bytes.size())));
  EXPECT_EQ(window.claim(2, page_bytes, Clock::now()).position, 2 * page_bytes);
  EXPECT_EQ(window.claim(2, page_bytes, Clock::now()).position, 3 * page_bytes) << "the second one was not lost";
}

TEST(SendWindow, AFinishIsOneMorePosition) {
  PagePool pool;
  SendWindow window(pool, 1 << 20);
  window.acknowledge(0, 1 << 20, Clock::now());
  write(window, as_bytes("abc"));
  window.finish();
  EXPECT_FALSE(window.has_finish()) << "data goes first";
  window.claim(1, page_bytes, Clock::now());
  EXPECT_FALSE(window.acknowledge(4, 1 << 20, Clock::now())) << "it was not sent";
  ASSERT_TRUE(window.has_finish());
  EXPECT_EQ(window.claim_finish(1), 3u);
  window.give_back(1);
  EXPECT_FALSE(window.has_finish()) << "the data that was lost goes first again";
  ASSERT_TRUE(window.acknowledge(3, 1 << 20, Clock::now()));
  EXPECT_TRUE(window.has_finish());
  EXPECT_FALSE(window.all_acknowledged());
  window.claim_finish(2);
  ASSERT_TRUE(window.acknowledge(4, 1 << 20, Clock::now()));
  EXPECT_TRUE(window.all_acknowledged());
  EXPECT_FALSE(window.acknowledge(5, 1 << 20, Clock::now()));
}

TEST(SendWindow, NoMoreRecordsAreUnderWayThanAReceiverRemembers) {
  PagePool pool;
  SendWindow window(pool, 1 << 20);
  window.acknowledge(0, 1 << 20, Clock::now());
  write(window, Bytes(10'000));
  std::size_t claimed = 0;
  for (; window.has_segment(); ++claimed) window.claim(1, 1, Clock::now());
  EXPECT_EQ(claimed, records_unacknowledged_max);
  window.give_back(1);
  for (claimed = 0; window.has_segment(); ++claimed) window.claim(2, 1, Clock::now());
  EXPECT_EQ(claimed, records_unacknowledged_max);
  window.acknowledge(1, 1 << 20, Clock::now());
  EXPECT_TRUE(window.has_segment());
}

TEST(SendWindow, TheOldestSegmentIsOfferedToAnotherLineWhenItIsLate) {
  using namespace std::chrono_literals;
  PagePool pool;
  SendWindow window(pool, 1 << 20);
  const auto now = Clock::now();
  window.acknowledge(0, 1 << 20, now);
  write(window, as_bytes("abc"));
  window.claim(1, page_bytes, now);
  EXPECT_EQ(window.late_at(1, 1s), Clock::time_point::max()) << "the line itself";
  EXPECT_EQ(window.late_at(2, 1s), now + 1s);
  EXPECT_EQ(as_text(window.claim_late(2, now + 1s).bytes), "abc");
  EXPECT_EQ(window.late_at(1, 1s), now + 2s);
  window.give_back(1);
  EXPECT_FALSE(window.has_segment()) << "it is the other line's now";
  window.give_back(2);
  EXPECT_TRUE(window.has_segment());
}

TEST(ReceiveWindow, APageThatComesWholeIsKeptAsItIs) {
  PagePool pool;
  ReceiveWindow window(pool, 1 << 20);
  PagePtr page = pool.take();
  std::ranges::fill(page->bytes, std::byte{5});
  const std::byte* const where = page->bytes.data();
  window.accept(page_bytes, page->bytes, &page);
  EXPECT_EQ(page, nullptr);
  EXPECT_EQ(window.received(), 0u);
  PagePtr again = pool.take();
  window.accept(page_bytes, again->bytes, &again);
  EXPECT_NE(again, nullptr) << "a second one is not needed";
  window.accept(0, again->bytes, &again);
  EXPECT_EQ(window.received(), 2 * page_bytes);
  const auto views = window.at_hand(1 << 20);
  EXPECT_EQ(views[1].data(), where);
  EXPECT_EQ(views[1][17], std::byte{5}) << "the first one counts";
}

TEST(ReceiveWindow, ReadsAreAsLargeAsAskedForUpToFourPages) {
  PagePool pool;
  ReceiveWindow window(pool, 1 << 20);
  const Bytes content = test::random_bytes(3, page_bytes);
  for (unsigned i = 0; i < 4; ++i) window.accept(i * page_bytes, content);
  EXPECT_EQ(window.at_hand(1)[0].size(), 1u);
  EXPECT_TRUE(window.at_hand(1)[1].empty());
  window.took(page_bytes - 1);
  const auto views = window.at_hand(3);
  EXPECT_EQ(views[0].size(), 1u);
  EXPECT_EQ(views[1].size(), 2u);
  EXPECT_EQ(take_all(window).size(), 3 * page_bytes + 1);
}

TEST(ReceiveWindow, OpensUpOnceSomebodyReads) {
  PagePool pool;
  ReceiveWindow window(pool, 1 << 20);
  EXPECT_EQ(window.limit(), ReceiveWindow::first_window_bytes);
  window.accept(0, as_bytes("abc"));
  EXPECT_EQ(window.limit(), ReceiveWindow::first_window_bytes);
  window.took(1);
  EXPECT_EQ(window.limit(), (1u << 20) + 1);
}

// Pieces of any size in any order, some twice, over both windows with several lines that break.
TEST(Windows, WhateverHappensBetweenThemTheStreamIsTheSame) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    test::Random random(seed);
    PagePool send_pool, receive_pool;
    const std::size_t some_window = random.size_between(window_bytes_min, 600'000);
    SendWindow sending(send_pool, random.size_between(window_bytes_min, 600'000));
    ReceiveWindow receiving(receive_pool, some_window);
    const Bytes content = test::random_bytes(seed, random.size_between(1, 1'000'000));
    const std::size_t piece_max = random.size_between(1000, page_bytes);
    struct Flying {
      SendWindow::LineNumber line;
      std::uint64_t position;
      Bytes bytes;
      bool finish;
    };
    std::vector<Flying> flying;
    SendWindow::LineNumber first_line = 1;
    Bytes received;
    std::size_t written = 0;
    sending.acknowledge(0, receiving.limit(), Clock::now());
    while (!sending.all_acknowledged()) {
      const auto line = static_cast<SendWindow::LineNumber>(first_line + random.below(3));
      switch (random.below(8)) {
        case 0:
        case 1: {
          if (sending.finished()) break;
          const std::size_t count = std::min<std::uint64_t>(
              {sending.room(), content.size() - written, random.size_between(1, 100'000)});
          write(sending, ByteView(content).subspan(written, count));
          written += count;
          if (written == content.size()) sending.finish();
          break;
        }
        case 2:
        case 3:
          if (sending.has_segment()) {
            const auto segment = sending.claim(line, random.size_between(1, piece_max), Clock::now());
            flying.push_back({line, segment.position, {segment.bytes.begin(), segment.bytes.end()}, false});
          } else if (sending.has_finish()) {
            flying.push_back({line, sending.claim_finish(line), {}, true});
          } else if (random.below(10) == 0 && sending.late_at(line, {}) != Clock::time_point::max()) {
            const auto segment = sending.claim_late(line, Clock::now());
            flying.push_back({line, segment.position, {segment.bytes.begin(), segment.bytes.end()}, false});
          }
          break;
        case 4:
        case 5:
          if (!flying.empty()) {
            const auto arrives = flying.begin() + static_cast<std::ptrdiff_t>(random.below(flying.size()));
            if (arrives->finish) {
              receiving.accept_finish(arrives->position);
            } else if (random.below(2) == 0) {
              receiving.accept(arrives->position, arrives->bytes);
            } else {
              PagePtr page = receive_pool.take();
              std::ranges::copy(arrives->bytes, page->bytes.begin());
              receiving.accept(arrives->position, ByteView(page->bytes).first(arrives->bytes.size()), &page);
            }
            if (random.below(20) != 0) flying.erase(arrives);  // else it comes twice
          }
          break;
        case 6:
          if (receiving.readable()) {
            const Bytes taken = take_all(receiving, random.size_between(1, 300'000));
            received.insert(received.end(), taken.begin(), taken.end());
          }
          ASSERT_TRUE(sending.acknowledge(receiving.received(), receiving.limit(), Clock::now()));
          break;
        case 7:
          if (random.below(20) != 0) break;
          std::erase_if(flying, [&](const Flying& one) { return one.line == first_line; });
          sending.give_back(first_line);
          ++first_line;
          break;
      }
    }
    const Bytes rest = take_all(receiving);
    received.insert(received.end(), rest.begin(), rest.end());
    EXPECT_TRUE(received == content);
    EXPECT_TRUE(receiving.at_end());
  }
}

}  // namespace
}  // namespace vmferry::link
