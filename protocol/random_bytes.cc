#include "protocol/random_bytes.h"

#include <sys/random.h>

#include <cerrno>

#include "protocol/error.h"

namespace vmferry {

void fill_random(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::getrandom(into.data(), into.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "cannot get random bytes", "getrandom");
    }
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace vmferry
