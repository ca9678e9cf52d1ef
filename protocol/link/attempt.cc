#include "protocol/link/attempt.h"

namespace vmferry::link {

Attempt::Attempt(const Dial& dial, std::function<Opening()> open, std::shared_ptr<Bell> bell)
    : dial_(dial), open_(std::move(open)), bell_(std::move(bell)), thread_([this] { run(); }) {}

Attempt::~Attempt() {
  give_up();
  thread_.join();
}

bool Attempt::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

std::optional<Attempt::Clock::time_point> Attempt::dialed_at() const {
  const std::lock_guard lock(mutex_);
  return dialed_at_;
}

void Attempt::give_up() noexcept {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  if (transport_ != nullptr) transport_->abort();
}

Attempt::Result Attempt::take_result() {
  const std::lock_guard lock(mutex_);
  return std::move(result_);
}

void Attempt::run() noexcept {
  std::exception_ptr failure;
  try {
    greet();
  } catch (const LineBroken& broken) {
    failure = std::make_exception_ptr(
        Error(ErrorCode::unreachable, "the line broke before the target answered", {}, broken.why));
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    result_.failure = failure;
    done_ = true;
  }
  bell_->ring();
}

void Attempt::greet() {
  std::unique_ptr<Transport> dialed = dial_();
  if (dialed == nullptr) throw std::logic_error("a dial without a transport");
  Transport& transport = *dialed;
  {
    const std::lock_guard lock(mutex_);
    transport_ = std::move(dialed);
    dialed_at_ = Clock::now();
    if (given_up_) transport_->abort();
  }
  bell_->ring();

  const auto [hello, early] = open_();
  Bytes bytes;
  put_hello(bytes, hello);
  RecordReader records([&transport](std::span<std::byte> into) {
    try {
      return transport.receive(into);
    } catch (const std::exception& why) {
      throw LineBroken{why.what()};
    }
  });
  try {
    const std::array<ByteView, 2> parts = {bytes, early};
    transport.send(parts);
  } catch (const std::exception&) {
    // The target may have refused before it read all: its sentence tells more than a broken pipe.
  }
  const auto header = records.next();
  if (!header) throw LineBroken{"it was closed"};
  const ByteView payload = records.payload(std::min<std::size_t>(header->length, control_bytes_max));
  if (header->type == RecordType::refuse) {
    result_.refused = true;
    result_.created = hello.create;
    throw parse_refuse(payload);
  }
  if (header->type != RecordType::welcome) malformed("a record before the welcome");
  result_.welcome = parse_welcome(*header, payload);
  const std::lock_guard lock(mutex_);
  result_.line.emplace(NewLine{hello.line, std::move(transport_), std::move(records), std::nullopt});
}

}  // namespace vmferry::link
