#include "target-server/access/client_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::access {

ClientWatch::ClientWatch(const std::filesystem::path& folder, std::function<void()> changed)
    : changed_(std::move(changed)) {
  store::make_directory(folder);
  notify_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  const int watched = ::inotify_add_watch(notify_, folder.c_str(), IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE);
  if (notify_ < 0 || stop_ < 0 || watched < 0) {
    const int why = errno;
    ::close(notify_);
    ::close(stop_);
    throw system_error(why, "cannot watch the store's clients", folder.string());
  }
  thread_ = std::thread([this] { run(); });
}

ClientWatch::~ClientWatch() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(stop_, &one, sizeof one);
  thread_.join();
  ::close(notify_);
  ::close(stop_);
}

void ClientWatch::run() {
  std::array<char, 4096> events;
  while (true) {
    std::array<pollfd, 2> waiting = {{{notify_, POLLIN, 0}, {stop_, POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    bool any = false;
    while (::read(notify_, events.data(), events.size()) > 0) any = true;
    if (any) changed_();
  }
}

}  // namespace vmferry::access
