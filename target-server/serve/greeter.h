// Greeter: finds out what a connection that was just accepted carries, and hands it on: a plain session or a link to the
// owner's, a relay's line to the link of the client that it names, a line with a known key to the link of that key's
// client, an enrolment to the client book. Each is read on a thread of its own, within a deadline, so nobody delays
// anybody. Where too many strangers are being greeted, the one that has been for longest is dropped; of what comes over
// the store's socket, which strangers cannot open, the next. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "protocol/link/link.h"
#include "protocol/transport/deadlines.h"
#include "protocol/transport/tls.h"
#include "target-server/access/client_book.h"
#include "target-server/serve/session_pool.h"

namespace vmferry::target_server {

class Greeter {
 public:
  static constexpr std::chrono::milliseconds hello_timeout{10'000};
  static constexpr std::size_t greeted_max = 256;  // at a time: over the socket, and strangers

  Greeter(store::Store& store, const access::ClientBook& clients, link::LinkServer& links, SessionPool& sessions)
      : store_(store), clients_(clients), links_(links), sessions_(sessions) {}
  ~Greeter();

  // Over the store's own socket: its owner, or a relay that speaks for a client.
  void take_local(std::unique_ptr<Transport> transport);
  void take_tls(AcceptedTls accepted);

 private:
  enum class From { socket, stranger };
  struct Greeting {
    std::unique_ptr<Transport> transport;
    From from = From::socket;
    std::thread thread;
    bool dropped = false;  // aborted, to make room
    bool done = false;
  };
  using Greet = std::function<void(std::unique_ptr<Transport>& transport)>;  // takes it over, or leaves it to be dropped
  void start(std::unique_ptr<Transport> transport, From from, std::string address, Greet greet);
  void reap();                // under mutex_
  bool make_room(From from);  // under mutex_

  void greet_local(std::unique_ptr<Transport>& transport);
  void greet_relay(std::unique_ptr<Transport>& transport);
  void greet_stranger(std::unique_ptr<Transport>& transport, const KeyFingerprint& key, const std::string& address);
  void answer_enrolment(Transport& transport, const KeyFingerprint& key, const std::string& address);
  std::unique_ptr<Transport> take_over(std::unique_ptr<Transport>& transport);
  void put_in_front(std::unique_ptr<Transport>& transport, ByteView first);

  store::Store& store_;
  access::ClientBook clients_;
  link::LinkServer& links_;
  SessionPool& sessions_;
  Deadlines deadlines_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Greeting> greetings_;
  bool stopping_ = false;
};

// The names that links know their peers by.
inline constexpr const char* owner_peer = "owner";
std::string peer_of_client(const std::string& client);            // "client NAME"
std::string client_of_peer(const std::string& peer);              // "" for the owner

}  // namespace vmferry::target_server
