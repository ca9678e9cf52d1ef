// LastWords: tells the peer, once, why the session ends. From any thread.
#pragma once

#include <atomic>

#include "protocol/control.h"

namespace vmferry::target_server {

class LastWords {
 public:
  explicit LastWords(wire::PacketWriter& writer) : writer_(writer) {}

  void say(const Error& why) noexcept {
    if (said_.exchange(true)) return;
    try {
      wire::send_failure(writer_, 0, why);
    } catch (...) {  // as far as the line carries it
    }
  }

 private:
  wire::PacketWriter& writer_;
  std::atomic<bool> said_ = false;
};

}  // namespace vmferry::target_server
