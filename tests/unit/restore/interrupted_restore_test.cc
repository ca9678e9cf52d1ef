// A restore whose line breaks at a hundred seeded places: each is gone on with, comes to the same disk, and of what had come
// nothing comes again but the frame that had not come whole.
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <limits>

#include "point_maker.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/breaking_transport.h"
#include "tests/support/content.h"

namespace vmferry::restore {
namespace {

using limits::KiB;
constexpr std::uint64_t interrupted_disk_bytes = 3072 * KiB + 512;
constexpr unsigned cuts_min = 100;

class InterruptedRestore : public testing::Test {
 protected:
  InterruptedRestore() : image_(interrupted_disk_bytes) {
    const auto put = [&](std::uint64_t offset, const Bytes& content) {
      std::ranges::copy(content, image_.begin() + static_cast<std::ptrdiff_t>(offset));
    };
    put(100, test::random_bytes(1, 1024 * KiB + 77));
    put(1200 * KiB, test::text_bytes(2, 500 * KiB));
    put(2000 * KiB, test::random_bytes(3, 1024 * KiB));
    std::fill_n(image_.begin() + 300 * KiB, 30'000, std::byte{0});
    const auto file = directory_ / "image.raw";
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(image_.data()), static_cast<std::streamsize>(image_.size()));
    point_ = target_.add(target_.make_point({{.image = file, .chunk_bytes = 20'000, .fragmented = fragmented()}}));
    options_.spool_directory = directory_.path();
    options_.format = disk::OutputFormat::raw;
    options_.resume = true;
  }

  // Chunks of four parts each all over the disk, one part of them all zeros.
  static std::vector<std::vector<ByteRange>> fragmented() {
    std::vector<std::vector<ByteRange>> chunks(20);
    for (std::uint64_t i = 0; i < 80; ++i) chunks[i % 20].push_back({(i + 1) * 32 * KiB, 2500});
    return chunks;
  }

  // What came, the handshake too. Zero where it did not come to its end.
  std::uint64_t received_to_the_end(std::uint64_t breaks_after_bytes) {
    auto ends = memory_transport();
    ends.first = std::make_unique<test::BreakingTransport>(std::move(ends.first),
                                                           test::BreakAfter{.received_bytes = breaks_after_bytes});
    try {
      const auto session = target_.connect(std::move(ends));
      restore_machine(point_, output(), options_, *session, no_events, not_cancelled);
      return session->counts().received_bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unreachable) << error.what();
      return 0;
    }
  }
  std::filesystem::path output() const { return directory_ / "out.raw"; }

  test::TemporaryDirectory directory_;
  TestTarget target_;
  Bytes image_;
  RestorePoint point_;
  DiskRestoreOptions options_;
};

TEST_F(InterruptedRestore, AtAHundredPlacesNothingThatCameComesAgain) {
  constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t whole = received_to_the_end(never);
  ASSERT_GT(whole, 2 * 1024 * KiB);
  const std::uint64_t map_only = received_to_the_end(never);  // it is finished
  ASSERT_LT(map_only, 20'000u);
  std::filesystem::remove(output());

  test::Random random(11);
  unsigned cuts = 0, disks = 0;
  std::uint64_t all = 0, all_bound = 0;
  while (cuts < cuts_min) {
    std::uint64_t received = 0, last = 0;
    unsigned cuts_here = 0;
    while (last == 0) {
      // A quarter of them in the handshake and the map, or soon after.
      const std::uint64_t breaks_after =
          random.below(4) == 0 ? random.size_between(map_only / 8, whole) : random.below(whole * 3 / 4);
      last = received_to_the_end(breaks_after);
      received += last != 0 ? last : breaks_after;
      cuts_here += last == 0;
      ASSERT_LT(cuts_here, 200u);
    }
    ASSERT_TRUE(bytes_of(output()) == image_) << "disk " << disks;
    EXPECT_LE(received, whole + cuts_here * (TestTarget::sent_frame_bytes_max + map_only))
        << "disk " << disks << ", cuts " << cuts_here;
    std::filesystem::remove(output());
    cuts += cuts_here;
    ++disks;
    all += received;
    all_bound += whole + cuts_here * (TestTarget::sent_frame_bytes_max + map_only);
  }
  RecordProperty("cuts", static_cast<int>(cuts));
  RecordProperty("disks", static_cast<int>(disks));
  RecordProperty("received_bytes", std::to_string(all));
  RecordProperty("bound_bytes", std::to_string(all_bound));
}

TEST_F(InterruptedRestore, WhatCameIsWrittenThoughWhatLiesBeforeItDidNotCome) {
  // The first chunk of the disk is the store's last: all that arrives before the cut lies behind it.
  const Bytes first = test::random_bytes(99, 20'000);
  std::ranges::copy(first, image_.begin());
  std::fstream(directory_ / "image.raw", std::ios::binary | std::ios::in | std::ios::out)
      .write(reinterpret_cast<const char*>(first.data()), static_cast<std::streamsize>(first.size()));
  point_ = target_.add(target_.make_point(
      {{.image = directory_ / "image.raw", .chunk_bytes = 20'000, .fragmented = fragmented()}}));
  constexpr std::uint64_t came = 1024 * KiB;
  ASSERT_EQ(received_to_the_end(came), 0u);
  const RestoreResult result = restore_machine(point_, output(), options_, target_.session(), no_events, not_cancelled);
  EXPECT_GE(result.reused_bytes, came - TestTarget::sent_frame_bytes_max - 20'000);
  EXPECT_TRUE(bytes_of(output()) == image_);
}

// Sets a flag once so many bytes have come.
class FlaggingTransport final : public Transport {
 public:
  FlaggingTransport(std::unique_ptr<Transport> real, std::uint64_t after_bytes, std::atomic<bool>& flag)
      : real_(std::move(real)), after_bytes_(after_bytes), flag_(flag) {}
  void send(std::span<const ByteView> parts) override { real_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override {
    if (real_->counts().received_bytes >= after_bytes_) flag_ = true;
    return real_->receive(into);
  }
  void finish_sending() override { real_->finish_sending(); }
  void abort() noexcept override { real_->abort(); }
  TransportCounts counts() const noexcept override { return real_->counts(); }

 private:
  std::unique_ptr<Transport> real_;
  const std::uint64_t after_bytes_;
  std::atomic<bool>& flag_;
};

TEST_F(InterruptedRestore, OneThatIsCancelledKeepsWhatCame) {
  constexpr std::uint64_t came = 1024 * KiB;
  std::atomic<bool> cancel{false};
  auto ends = memory_transport();
  ends.first = std::make_unique<FlaggingTransport>(std::move(ends.first), came, cancel);
  {
    const auto session = target_.connect(std::move(ends));
    try {
      restore_machine(point_, output(), options_, *session, no_events, cancel);
      FAIL() << "it was not cancelled";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
    }
  }
  const RestoreResult result = restore_machine(point_, output(), options_, target_.session(), no_events, not_cancelled);
  EXPECT_GE(result.reused_bytes, came - TestTarget::sent_frame_bytes_max - 20'000);
  EXPECT_TRUE(bytes_of(output()) == image_);
}

}  // namespace
}  // namespace vmferry::restore
