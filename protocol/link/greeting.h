// Greeting: a line at the target from its acceptance until its hello has been read, and the line has been handed to its
// link or refused. Has a thread of its own; rings the keeper's bell when it is done.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "protocol/link/bell.h"
#include "protocol/link/link_end.h"

namespace vmferry::link {

class Greeting {
 public:
  using Clock = std::chrono::steady_clock;
  // Takes the line (moves its transport away), or throws Error: what the client is told.
  using Admit = std::function<void(const Hello& hello, const PeerName& peer, NewLine& line)>;

  Greeting(std::unique_ptr<Transport> line, PeerName peer, ByteView received_already, Clock::time_point due, Admit admit,
           std::shared_ptr<Bell> bell);
  ~Greeting();  // gives up, and joins

  const PeerName& peer() const noexcept { return peer_; }
  Clock::time_point due() const noexcept { return due_; }  // the keeper gives it up then
  bool done() const;
  void give_up() noexcept;
  bool given_up() const;

 private:
  void run() noexcept;
  void greet();
  void refuse(const Error& why);

  const PeerName peer_;
  const Clock::time_point due_;
  const Admit admit_;
  const std::shared_ptr<Bell> bell_;
  mutable std::mutex mutex_;
  Transport* abortable_ = nullptr;  // while the line is the greeting's
  bool done_ = false, given_up_ = false;
  NewLine line_;
  std::thread thread_;
};

}  // namespace vmferry::link
