#include "engine/crack/broken_rules.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmferry::crack {

void break_rule(BrokenRule rule) {
  switch (rule) {
    case BrokenRule::open_file: (void)!::open("/etc/passwd", O_RDONLY); break;
    case BrokenRule::open_socket: (void)!::socket(AF_INET, SOCK_STREAM, 0); break;
    case BrokenRule::fork: (void)!::fork(); break;
    case BrokenRule::use_all_memory: {
      std::vector<std::vector<std::byte>> hoard;
      for (;;) hoard.emplace_back(std::size_t{1} << 20, std::byte{1});
    }
    case BrokenRule::run_forever: {
      volatile std::uint64_t rounds = 0;
      for (;;) rounds = rounds + 1;
    }
    case BrokenRule::crash: {
      // Not the null pointer: a sanitizer would make a report of that, not a crash.
      volatile std::uintptr_t address = 64;  // read at run time: a compiler warns of a constant one
      *reinterpret_cast<volatile int*>(address) = 1;
      break;
    }
    case BrokenRule::abort_another: {
      // A process that cannot be there: a filter that lets this through harms nobody in a test.
      constexpr int nobody = 0x7ffffffe;
      (void)!::syscall(SYS_tgkill, nobody, nobody, SIGABRT);
      break;
    }
    case BrokenRule::read_outside: {
      const Message lie{.kind = MessageKind::read, .slot = 0, .a = ~std::uint64_t{0}, .b = read_slot_bytes};
      (void)!::send(channel_socket_fd, &lie, sizeof lie, 0);
      break;
    }
  }
}

}  // namespace vmferry::crack
