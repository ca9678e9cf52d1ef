#include "protocol/transport/tls_handshake.h"

#include "protocol/error.h"

namespace vmferry {
namespace {

using AsioDescriptor = asio::posix::stream_descriptor;

constexpr std::size_t receive_bytes = 4096;  // hello, certificate and proof are about 1 KiB

Error timed_out() {
  return Error(ErrorCode::unreachable, "the TLS handshake took too long", {},
               "the connection was taken, but what is there does not answer as a vmferry target");
}

}  // namespace

TlsHandshake::TlsHandshake(asio::io_context& context, OwnedSocket socket, std::unique_ptr<TlsEngine> engine, Done done)
    : socket_(context), deadline_(context), engine_(std::move(engine)), done_(std::move(done)) {
  socket_.assign(socket.get());
  socket.release();
}

std::shared_ptr<TlsHandshake> TlsHandshake::start(asio::io_context& context, OwnedSocket socket,
                                                  std::unique_ptr<TlsEngine> engine, std::chrono::milliseconds timeout,
                                                  Done done) {
  auto handshake = std::make_shared<TlsHandshake>(context, std::move(socket), std::move(engine), std::move(done));
  asio::post(context, [handshake, timeout] { handshake->begin(timeout); });
  return handshake;
}

void TlsHandshake::cancel() noexcept {
  done_ = nullptr;
  boost::system::error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
}

void TlsHandshake::begin(std::chrono::milliseconds timeout) {
  if (!done_) return;
  deadline_.expires_after(timeout);
  deadline_.async_wait([handshake = shared_from_this()](const boost::system::error_code& cancelled) {
    if (!cancelled) handshake->end(std::make_exception_ptr(timed_out()));
  });
  step();
}

void TlsHandshake::step() {
  try {
    advance();
  } catch (...) {
    end(std::current_exception());
  }
}

void TlsHandshake::advance() {
  while (true) {
    if (!send_output()) return wait(AsioDescriptor::wait_write);
    if (shaken_) return end(nullptr);
    try {
      shaken_ = engine_->handshake();
    } catch (...) {
      try {
        send_output();  // the alert that tells the peer why; all the same if it does not fit
      } catch (const Error&) {
      }
      throw;
    }
    if (shaken_ || !engine_->output().empty()) continue;
    const std::size_t count = receive_some(socket_.native_handle(), engine_->input_room(receive_bytes));
    engine_->input_arrived(count);
    if (count == 0) return wait(AsioDescriptor::wait_read);
  }
}

bool TlsHandshake::send_output() {
  Bytes& output = engine_->output();
  while (!output.empty()) {
    const std::size_t count = send_some(socket_.native_handle(), output);
    if (count == 0) return false;
    output.erase(output.begin(), output.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return true;
}

void TlsHandshake::wait(AsioDescriptor::wait_type what) {
  socket_.async_wait(what, [handshake = shared_from_this()](const boost::system::error_code&) {
    if (handshake->done_) handshake->step();
  });
}

void TlsHandshake::end(std::exception_ptr error) {
  if (!done_) return;
  const Done done = std::exchange(done_, nullptr);
  deadline_.cancel();
  OwnedSocket socket(socket_.release());
  engine_->release_input();
  engine_->release_output();
  done(std::move(error), std::move(socket), std::move(engine_));
}

}  // namespace vmferry
