#include "engine/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "engine/cli/interrupts.h"
#include "engine/cli/output.h"

namespace vmferry::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto bar_interval = std::chrono::milliseconds(200);
constexpr auto line_interval = std::chrono::minutes(1);

std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 80;
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress(const Settings& settings)
    : enabled_(settings.progress_mode() != ProgressMode::never),
      bar_(enabled_ && isatty(STDERR_FILENO) == 1),
      phase_begin_(Clock::now()),
      shown_(Clock::now()) {
  if (settings.progress_mode() == ProgressMode::always && !bar_) shown_ -= line_interval;
}

Progress::~Progress() { clear(); }

void Progress::phase(const std::string& name) {
  phase_ = name;
  done_ = total_ = sent_ = 0;
  phase_begin_ = Clock::now();
  if (bar_) draw();
}

void Progress::update(std::uint64_t done_bytes, std::uint64_t total_bytes, std::uint64_t sent_bytes) {
  done_ = done_bytes;
  total_ = total_bytes;
  sent_ = sent_bytes;
  const bool asked = take_progress_request();
  if (!enabled_ && !asked) return;
  const auto now = Clock::now();
  if (!asked && now - shown_ < (bar_ ? Clock::duration(bar_interval) : Clock::duration(line_interval))) return;
  shown_ = now;
  if (bar_ && !asked)
    draw();
  else {
    clear();
    print(line() + "\n");
  }
}

std::string Progress::line() const {
  const auto elapsed = std::chrono::duration<double>(Clock::now() - phase_begin_).count();
  std::string text = phase_;
  if (total_ == 0) return text;
  text += ": " + human_bytes(done_) + " of " + human_bytes(total_) + " (" +
          std::to_string(static_cast<unsigned>(100.0 * static_cast<double>(done_) / static_cast<double>(total_))) + "%)";
  if (elapsed > 0.5 && done_ > 0) {
    const double rate = static_cast<double>(done_) / elapsed;
    text += ", " + human_bytes(static_cast<std::uint64_t>(rate)) + "/s";
    if (done_ < total_)
      text += ", " + human_duration_ms(static_cast<std::uint64_t>(static_cast<double>(total_ - done_) / rate * 1000)) +
              " left";
  }
  if (sent_ > 0) text += ", " + human_bytes(sent_) + " sent";
  return text;
}

void Progress::draw() {
  const std::size_t columns = terminal_columns() - 1;
  std::string text = line();
  constexpr std::size_t bar_columns = 20;
  if (total_ > 0 && text.size() + bar_columns + 3 < columns) {
    const auto filled = static_cast<std::size_t>(static_cast<double>(bar_columns) * static_cast<double>(done_) /
                                                 static_cast<double>(total_));
    text = "[" + std::string(std::min(filled, bar_columns), '#') +
           std::string(bar_columns - std::min(filled, bar_columns), '.') + "] " + text;
  }
  if (text.size() > columns) text.resize(columns);
  print("\r\033[K" + text);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  print("\r\033[K");
  drawn_ = false;
}

}  // namespace vmferry::cli
