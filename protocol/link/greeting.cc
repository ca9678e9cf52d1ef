#include "protocol/link/greeting.h"

#include "protocol/link/refuse.h"

namespace vmferry::link {
namespace {

RecordReader::Source source_of(Transport& transport) {
  return [&transport](std::span<std::byte> into) {
    try {
      return transport.receive(into);
    } catch (const std::exception& why) {
      throw LineBroken{why.what()};
    }
  };
}

void check_version(const HelloHeader& header) {
  if (header.major == version_major) return;
  throw Error(ErrorCode::version,
              "the controller speaks version " + std::to_string(header.major) + " of the link, the target version " +
                  std::to_string(version_major),
              {}, header.major > version_major ? "update the target" : "update the controller");
}

}  // namespace

Greeting::Greeting(std::unique_ptr<Transport> line, PeerName peer, ByteView received_already, Clock::time_point due,
                   Admit admit, std::shared_ptr<Bell> bell)
    : peer_(std::move(peer)),
      due_(due),
      admit_(std::move(admit)),
      bell_(std::move(bell)),
      abortable_(line.get()),
      line_{0, std::move(line), RecordReader(source_of(*abortable_), received_already), std::nullopt},
      thread_([this] { run(); }) {}

Greeting::~Greeting() {
  give_up();
  thread_.join();
}

bool Greeting::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

bool Greeting::given_up() const {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

void Greeting::give_up() noexcept {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  if (abortable_ != nullptr) abortable_->abort();
}

void Greeting::run() noexcept {
  try {
    greet();
  } catch (...) {  // a line that is not a link's costs nobody else anything
  }
  {
    const std::lock_guard lock(mutex_);
    abortable_ = nullptr;
    done_ = true;
  }
  line_.transport.reset();
  bell_->ring();
}

void Greeting::greet() {
  try {
    const auto header = line_.records.next_hello();
    if (!header) return;
    check_version(*header);
    const Hello hello = parse_hello(*header, line_.records.payload(header->length));
    {
      // From here on the link may end the line, and the keeper must not.
      const std::lock_guard lock(mutex_);
      abortable_ = nullptr;
    }
    admit_(hello, peer_, line_);
  } catch (const Error& why) {
    if (line_.transport != nullptr) refuse(why);
  }
}

// Until the client has read it and closes, or the keeper gives up.
void Greeting::refuse(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    abortable_ = line_.transport.get();
  }
  link::refuse(*line_.transport, why);
}

}  // namespace vmferry::link
