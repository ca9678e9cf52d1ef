// ClientWatch: tells at once when the clients of a store change, also where another process changes them (a client is
// revoked beside the running server). One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <thread>

namespace vmferry::access {

class ClientWatch {
 public:
  // changed: on the watch's thread, after one or several changes. Makes the folder where it is not there.
  ClientWatch(const std::filesystem::path& folder, std::function<void()> changed);
  ~ClientWatch();
  ClientWatch(const ClientWatch&) = delete;
  ClientWatch& operator=(const ClientWatch&) = delete;

 private:
  void run();

  std::function<void()> changed_;
  int notify_ = -1, stop_ = -1;
  std::thread thread_;
};

}  // namespace vmferry::access
