#include "protocol/transport/standard_io.h"

#include <fcntl.h>
#include <signal.h>

#include <cerrno>
#include <system_error>

#include "protocol/error.h"
#include "protocol/transport/descriptor_transport.h"

namespace vmferry {
namespace {

// A peer that dies closes one of the two pipes before the other. A clean end waits for so long in vain.
constexpr int both_pipes_grace_ms = 20;

class StandardIoTransport final : public DescriptorTransport {
 public:
  StandardIoTransport(Descriptor in, Descriptor out, Descriptor nothing)
      : DescriptorTransport(std::move(in), std::move(out)), nothing_(std::move(nothing)) {}

  void finish_sending() override {
    DescriptorTransport::finish_sending();
    for (const int number : {STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing_.number(), number);
  }

 private:
  void confirm_end() override {
    if (out_is_broken(both_pipes_grace_ms)) throw_gone(EPIPE);
  }
  [[noreturn]] void throw_gone(int error_number) override {
    throw Error(ErrorCode::unreachable, "the other end of the session is gone", "standard input and output",
                error_number == 0 ? "" : std::generic_category().message(error_number));
  }

  const Descriptor nothing_;  // /dev/null
};

Descriptor moved_up(int number) {
  Descriptor moved(::fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!moved.is_open()) throw system_error(errno, "cannot take standard input and output", {});
  return moved;
}

}  // namespace

std::unique_ptr<Transport> standard_io_transport() {
  ::signal(SIGPIPE, SIG_IGN);
  Descriptor in = moved_up(STDIN_FILENO), out = moved_up(STDOUT_FILENO);
  Descriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing.is_open() || ::dup2(nothing.number(), STDIN_FILENO) < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
    throw system_error(errno, "cannot take standard input and output", {});
  return std::make_unique<StandardIoTransport>(std::move(in), std::move(out), std::move(nothing));
}

}  // namespace vmferry
