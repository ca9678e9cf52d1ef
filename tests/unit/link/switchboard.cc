#include "tests/unit/link/switchboard.h"

namespace vmferry::test {
namespace {

// A line that the switchboard can cut.
class Shared final : public Transport {
 public:
  explicit Shared(std::shared_ptr<Transport> line) : line_(std::move(line)) {}
  ~Shared() override { line_->abort(); }
  void send(std::span<const ByteView> parts) override { line_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override { return line_->receive(into); }
  void finish_sending() override { line_->finish_sending(); }
  void abort() noexcept override { line_->abort(); }
  TransportCounts counts() const noexcept override { return line_->counts(); }
  bool is_held_back() noexcept override { return line_->is_held_back(); }

 private:
  const std::shared_ptr<Transport> line_;
};

}  // namespace

link::Dial Switchboard::dial() {
  return [this]() -> std::unique_ptr<Transport> {
    link::Dial answer;
    {
      const std::lock_guard lock(mutex_);
      ++dials_;
      dialed_.notify_all();
      answer = answer_;
    }
    const std::shared_ptr<Transport> line = answer();
    const std::lock_guard lock(mutex_);
    lines_.push_back(line);
    return std::make_unique<Shared>(line);
  };
}

void Switchboard::answer(link::Dial answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

void Switchboard::cut_all() noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& line : lines_) line->abort();
  lines_.clear();
}

unsigned Switchboard::dials() const {
  const std::lock_guard lock(mutex_);
  return dials_;
}

unsigned Switchboard::wait_for_dials(unsigned at_least) const {
  std::unique_lock lock(mutex_);
  dialed_.wait(lock, [&] { return dials_ >= at_least; });
  return dials_;
}

}  // namespace vmferry::test
