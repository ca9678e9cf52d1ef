// emulate-link: a link between two network namespaces, with rate, delay, jitter, loss, a queue and stalls.
//
// It makes a tun device in each namespace and passes packets between them until its standard input ends. Every line
// there is a command (control.h); every answer is a line on standard output, the first one as soon as the devices are
// there. Addresses are the caller's business: network.py does it all. Needs root.
#include <sched.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <system_error>

#include "bench/link/control.h"
#include "bench/link/emulated_link.h"

namespace {

using namespace vmferry::bench;
using namespace std::chrono_literals;

// Arrivals nearer to each other than this wait for one wake-up: a late packet costs less than the wake-ups.
constexpr Time wake_up_interval_least = 100us;
constexpr std::size_t command_bytes_max = 4096;

struct Arguments {
  LinkEnd a{"", "line0"}, b{"", "line0"};
  double rate_bits_per_s = 0, delay_us = 0, jitter_us = 0, loss = 0, queue_bytes = 0;
  std::uint64_t seed = 1;

  LineShape shape() const {
    const auto time = [](double microseconds) { return Time(static_cast<Time::rep>(microseconds * 1000)); };
    LineShape shape{rate_bits_per_s, time(delay_us), time(jitter_us), loss, {}};
    if (queue_bytes > 0) shape.queue_bytes = static_cast<std::uint64_t>(queue_bytes);
    return shape;
  }
};

void add_options(CLI::App& app, Arguments& arguments) {
  using Units = std::map<std::string, double>;
  const auto in = [](const Units& units) {
    return CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE);
  };
  const auto rate = in(Units{{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}});
  const auto time = in(Units{{"us", 1}, {"ms", 1e3}, {"s", 1e6}});
  app.add_option("--a-namespace", arguments.a.namespace_file, "as /proc/PID/ns/net")->required();
  app.add_option("--b-namespace", arguments.b.namespace_file)->required();
  app.add_option("--a-device", arguments.a.device, "the device's name there");
  app.add_option("--b-device", arguments.b.device);
  app.add_option("--rate", arguments.rate_bits_per_s, "as 100mbit; of packets with IP headers; 0: no limit")
      ->transform(rate);
  app.add_option("--delay", arguments.delay_us, "one way, as 25ms")->transform(time);
  app.add_option("--jitter", arguments.jitter_us, "the delay varies by up to this; the order stays")
      ->transform(time);
  app.add_option("--loss", arguments.loss, "share of packets, as 0.01")->check(CLI::Range(0.0, 1.0));
  app.add_option("--queue", arguments.queue_bytes, "bytes that may wait; 0: one round trip's worth, at least 256 KiB")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--seed", arguments.seed, "of loss and jitter");
}

Time now() { return std::chrono::steady_clock::now().time_since_epoch(); }

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

// The descriptors that wake the program up, and an alarm.
class Waiter {
 public:
  Waiter() : epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")),
             timer_(checked(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd")) {
    add(timer_);
  }
  void add(int descriptor) const {
    epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
    checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event), "epoll");
  }
  // Zero: no alarm.
  void set_alarm(Time at) {
    if (at == alarm_) return;
    alarm_ = at;
    const auto count = at.count();
    constexpr Time::rep second = 1'000'000'000;
    const itimerspec when{.it_interval = {}, .it_value = {.tv_sec = count / second, .tv_nsec = count % second}};
    checked(::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr), "timerfd");
  }
  // Waits; says whether this descriptor was among those that woke it up.
  bool wait_and_see(int descriptor) {
    std::array<epoll_event, 8> events{};
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    bool seen = false;
    for (int i = 0; i < count; ++i) {
      const int woken = events[static_cast<std::size_t>(i)].data.fd;
      seen = seen || woken == descriptor;
      std::uint64_t expirations = 0;
      if (woken == timer_ && ::read(timer_, &expirations, sizeof expirations) > 0) alarm_ = Time{};
    }
    return seen;
  }

 private:
  int epoll_, timer_;
  Time alarm_{};
};

// Commands as they come in, whole lines only. False: there will be no more.
bool obey_commands(std::string& pending, EmulatedLink& link) {
  std::array<char, command_bytes_max> piece{};
  const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
  if (count <= 0) return count < 0 && errno == EINTR;
  pending.append(piece.data(), static_cast<std::size_t>(count));
  for (std::size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1))
    std::puts(obey(pending.substr(0, end), link, now()).c_str());
  std::fflush(stdout);
  return pending.size() < command_bytes_max;
}

void run(const Arguments& arguments) {
  EmulatedLink link(arguments.a, arguments.b, arguments.shape(), arguments.seed);
  // A line does not wait until a busy machine has time for it. Without the right to this it runs, less exactly.
  const sched_param priority{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_FIFO, &priority);

  Waiter waiter;
  for (const int descriptor : link.descriptors()) waiter.add(descriptor);
  waiter.add(STDIN_FILENO);
  std::puts(counters_of(link, now()).c_str());
  std::fflush(stdout);

  std::string commands;
  Time last_passed{};
  for (;;) {
    const auto due = link.due();
    waiter.set_alarm(due ? std::max(*due, last_passed + wake_up_interval_least) : Time{});
    if (waiter.wait_and_see(STDIN_FILENO) && !obey_commands(commands, link)) return;
    last_passed = now();
    link.pass(last_passed);
  }
}

}  // namespace

int main(int count, char** words) {
  CLI::App app{"A link between two network namespaces. Commands and counters: JSON on standard input and output."};
  Arguments arguments;
  add_options(app, arguments);
  CLI11_PARSE(app, count, words);
  try {
    run(arguments);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "emulate-link: %s\n", error.what());
    return 1;
  }
}
