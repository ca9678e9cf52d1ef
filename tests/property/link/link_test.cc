// Whatever happens to its lines, a link carries both streams to their ends, byte for byte.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/cutting_transport.h"
#include "tests/support/link_pair.h"

namespace vmferry {
namespace {

using namespace std::chrono_literals;

using limits::KiB;

// What a seed stands for.
struct Weather {
  explicit Weather(std::uint64_t seed_) : seed(seed_), random(seed_) {
    lines = 1 + static_cast<unsigned>(random.below(4));
    window_bytes[0] = random.size_between(4 * KiB, 512 * KiB);
    window_bytes[1] = random.size_between(4 * KiB, 512 * KiB);
    buffer_bytes = random.size_between(500, 64 * KiB);
    up_bytes = random.below(8) == 0 ? 0 : random.size_between(1, 600 * KiB);
    down_bytes = random.below(8) == 0 ? 0 : random.size_between(1, 600 * KiB);
    bad_dials = static_cast<unsigned>(random.below(12));
  }

  test::CutPlan next_plan();

  const std::uint64_t seed;
  test::Random random;
  unsigned lines = 1;
  std::size_t window_bytes[2] = {};
  std::size_t buffer_bytes = 1;
  std::uint64_t up_bytes = 0, down_bytes = 0;
  unsigned bad_dials = 0;
  std::shared_ptr<test::Graveyard> graveyard = std::make_shared<test::Graveyard>();
};

test::CutPlan Weather::next_plan() {
  test::CutPlan plan;
  plan.seed = random.next();
  if (random.below(4) == 0) plan.piece_bytes_max = random.size_between(1, 20 * KiB) + 100;
  if (random.below(4) == 0) plan.pause_us_max = 200;
  if (bad_dials == 0) return plan;
  --bad_dials;
  const std::uint64_t at = random.size_between(1, 300 * KiB);
  switch (random.below(8)) {
    case 0: plan.stall_at_sent = at; break;
    case 1: plan.stall_at_received = at; break;
    case 2:
    case 3:
    case 4: plan.cut_at_sent = at; break;
    default: plan.cut_at_received = at; break;
  }
  if (random.below(2) == 0) plan.graveyard = graveyard;
  return plan;
}

void send_all(Transport& transport, ByteView content, std::uint64_t seed) {
  test::Random random(seed);
  while (!content.empty()) {
    std::array<ByteView, 3> parts;
    for (ByteView& part : parts) {
      part = content.first(std::min<std::size_t>(content.size(), random.size_between(1, 100 * KiB)));
      content = content.subspan(part.size());
    }
    transport.send(parts);
  }
  transport.finish_sending();
}

Bytes receive_all(Transport& transport, std::uint64_t seed) {
  test::Random random(seed);
  Bytes received;
  Bytes bite(300 * KiB);
  while (const std::size_t count = transport.receive(std::span(bite).first(random.size_between(1, bite.size()))))
    received.insert(received.end(), bite.begin(), bite.begin() + static_cast<std::ptrdiff_t>(count));
  return received;
}

void run(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Weather weather(seed);
  const Bytes up = test::random_bytes(seed * 2, weather.up_bytes);
  const Bytes down = test::random_bytes(seed * 2 + 1, weather.down_bytes);

  link::LinkOptions options;
  options.limits = {.window_bytes = weather.window_bytes[0], .ping_every = 20ms, .dead_after = 100ms, .hello_timeout = 100ms};
  options.lines_max = weather.lines;
  options.line_more_after_bytes = weather.random.below(100 * KiB);
  options.first_patience = options.patience = 60s;
  options.retry_min = 1ms;
  options.retry_max = 4ms;
  link::LinkServerOptions server_options;
  server_options.limits = options.limits;
  server_options.limits.window_bytes = weather.window_bytes[1];
  server_options.lines_max = 4;

  test::LinkTarget target(server_options);
  const link::Dial direct = target.dial("client", weather.buffer_bytes);
  auto client = link::open_link(
      [&]() -> std::unique_ptr<Transport> {
        const test::CutPlan plan = weather.next_plan();
        return std::make_unique<test::CuttingTransport>(direct(), plan);
      },
      options);
  auto server = target.accept();

  try {
    std::thread up_sender([&] { send_all(*client, up, seed + 1); });
    std::thread down_sender([&] { send_all(*server, down, seed + 2); });
    Bytes up_received;
    std::thread up_receiver([&] { up_received = receive_all(*server, seed + 3); });
    const Bytes down_received = receive_all(*client, seed + 4);
    up_sender.join();
    down_sender.join();
    up_receiver.join();
    EXPECT_TRUE(up_received == up) << up_received.size() << " of " << up.size();
    EXPECT_TRUE(down_received == down) << down_received.size() << " of " << down.size();
  } catch (const Error& error) {
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), error.what());
    throw;
  }
  client.reset();
  server.reset();
}

// VMFERRY_SEED runs one, VMFERRY_SEEDS so many.
TEST(LinkProperty, BothStreamsArriveWholeHoweverTheLinesBreak) {
  if (const char* const one = std::getenv("VMFERRY_SEED")) return run(std::strtoull(one, nullptr, 10));
  const char* const many = std::getenv("VMFERRY_SEEDS");
  const std::uint64_t seeds = many != nullptr ? std::strtoull(many, nullptr, 10) : 300;
  std::atomic<std::uint64_t> next = 1;
  const auto work = [&] {
    for (std::uint64_t seed = next++; seed <= seeds && !testing::Test::HasFailure(); seed = next++) run(seed);
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < 8; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
}

}  // namespace
}  // namespace vmferry
