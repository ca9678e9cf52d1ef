// ClientSession::Call: one question of a session and its answers. Inside of the session: used where its calls are made.
#pragma once

#include "protocol/session/client_session.h"
#include "protocol/session/malformed.h"

namespace vmferry::target {

// Registers a number for answers before the question is sent, and takes it back in the end.
class ClientSession::Call {
 public:
  explicit Call(ClientSession& session) : session_(session) {
    const std::lock_guard lock(session_.mutex_);
    if (session_.broken_) session_.throw_broken();
    number_ = session_.next_number_++;
    session_.calls_.emplace(number_, Answers());
  }
  // Of a question that has been asked.
  Call(ClientSession& session, std::uint64_t number) : session_(session), number_(number) {}
  ~Call() {
    const std::lock_guard lock(session_.mutex_);
    session_.calls_.erase(number_);
    session_.changed_.notify_all();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  std::uint64_t number() const noexcept { return number_; }

  void ask(messages::Control& question) {
    question.set_request(number_);
    const std::string text = question.SerializeAsString();
    session_.send(wire::PacketType::control, {as_bytes(text)});
  }

  // The next answer. Throws the target's error where that is the answer.
  messages::Control next() {
    while (true) {
      messages::Control answer = take();
      if (answer.has_failure()) throw wire::error_of_failure(answer);
      if (!answer.has_note()) return answer;
      if (session_.note_) session_.note_(answer.note().sentence());
    }
  }

 private:
  messages::Control take() {
    std::unique_lock lock(session_.mutex_);
    Answers& answers = session_.calls_.at(number_);
    session_.changed_.wait(lock, [&] { return session_.broken_ || !answers.empty(); });
    if (answers.empty()) session_.throw_broken();
    messages::Control answer = std::move(answers.front());
    answers.pop_front();
    session_.changed_.notify_all();
    return answer;
  }

  ClientSession& session_;
  std::uint64_t number_ = 0;
};

}  // namespace vmferry::target
