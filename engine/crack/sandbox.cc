#include "engine/crack/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/crack/sanitizer.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {

bool sandbox_child_hook_called = false;

namespace {

using Clock = std::chrono::steady_clock;

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

[[noreturn]] void fail(const std::string& why) {
  throw Error(ErrorCode::malformed, "cannot crack the volume", {}, why);
}

// The child's words are a guest's words: printable ASCII and UTF-8 only.
std::string plain_text(const Message& message) {
  std::string text(message.text.data(), std::min<std::size_t>(message.text_bytes, message.text.size()));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

void make_sealed_memory(Descriptor& memory) {
  memory.reset(::memfd_create("vmferry-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (memory.get() < 0) throw system_error(errno, "cannot make shared memory for the sandbox", {});
  if (::ftruncate(memory.get(), static_cast<off_t>(shared_memory_bytes)) != 0) {
    throw system_error(errno, "cannot size the shared memory of the sandbox", {});
  }
  // Else the child could shorten it under the parent's feet.
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw system_error(errno, "cannot seal the shared memory of the sandbox", {});
  }
}

// A descriptor at or above 5, so that the numbers 3 and 4 of the child can be laid without treading on it.
void move_above_channel(Descriptor& descriptor) {
  const int moved = ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, channel_memory_fd + 1);
  if (moved < 0) throw system_error(errno, "cannot start the sandbox", {});
  descriptor.reset(moved);
}

pid_t spawn_child(int socket, int memory) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, socket, channel_socket_fd);
  ::posix_spawn_file_actions_adddup2(&actions, memory, channel_memory_fd);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // Who tells a whole group of processes to read its configuration anew means no cracker: it ends with its parent's
  // socket.
  sigset_t blocked, all;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGHUP);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &blocked);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string name = "vmferry-cracker", argument = child_argument;
  char* argv[] = {name.data(), argument.data(), nullptr};
  // A crash is to be seen as what it is, not as the report that a sanitizer cannot write from in there.
  std::string address_options = "ASAN_OPTIONS=handle_segv=0:detect_leaks=0", other_options = "UBSAN_OPTIONS=handle_segv=0";
  char* environment[] = {built_with_sanitizer ? address_options.data() : nullptr, other_options.data(), nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, environment);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw system_error(error, "cannot start the sandbox", "/proc/self/exe");
  return pid;
}

std::string fate_of_child(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (signal == SIGSYS) return "the cracker was stopped: it tried a system call that it may not make (signal 31)";
    if (signal == SIGXCPU) return "the cracker ran out of time";
    return "the cracker crashed (signal " + std::to_string(signal) + ")";
  }
  return "the cracker ended early (status " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : status) + ")";
}

}  // namespace

struct Sandbox::State {
  VolumeBytes bytes;
  SandboxLimits limits;
  Descriptor socket;
  std::byte* shared = nullptr;
  pid_t child = -1;
  Clock::duration time_left{};
  std::vector<std::byte> read_buffer;
  std::vector<std::byte> event_buffer;

  ~State() {
    end_child();
    if (shared != nullptr) ::munmap(shared, shared_memory_bytes);
  }

  int end_child() {
    int status = 0;
    if (child < 0) return status;
    socket.reset();
    ::kill(child, SIGKILL);
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    child = -1;
    return status;
  }

  // The socket is at its end: the child is dead or dying.
  [[noreturn]] void fail_dead() {
    int status = 0;
    socket.reset();
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    child = -1;
    fail(fate_of_child(status));
  }

  void send(const Message& message) {
    for (;;) {
      if (::send(socket.get(), &message, sizeof message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof message)) return;
      if (errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET) fail_dead();
      throw system_error(errno, "cannot talk to the sandbox", {});
    }
  }

  Message receive() {
    for (;;) {
      const auto before = Clock::now();
      pollfd wait{socket.get(), POLLIN, 0};
      const auto left_ms = std::chrono::duration_cast<std::chrono::milliseconds>(time_left).count();
      const int ready = ::poll(&wait, 1, static_cast<int>(std::clamp<std::int64_t>(left_ms, 0, 1 << 30)));
      time_left -= Clock::now() - before;
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) throw system_error(errno, "cannot wait for the sandbox", {});
      if (ready == 0) {
        end_child();
        fail("the cracker ran out of time (" + std::to_string(limits.time_max.count()) + " s)");
      }
      Message message;
      const ssize_t got = ::recv(socket.get(), &message, sizeof message, MSG_TRUNC);
      if (got < 0 && errno == EINTR) continue;
      if (got == 0 || (got < 0 && errno == ECONNRESET)) fail_dead();
      if (got < 0) throw system_error(errno, "cannot hear the sandbox", {});
      if (got != static_cast<ssize_t>(sizeof message)) fail("the cracker broke the rules of its channel (a message's size)");
      return message;
    }
  }

  void serve_read(const Message& message) {
    if (message.slot >= read_slots || message.b > read_slot_bytes || message.c > message.b ||
        !range_fits(message.a, message.b, bytes.size_bytes)) {
      fail("the cracker broke the rules of its channel (a read outside the volume)");
    }
    // Not into the slot itself: what `read` unpacks or checks on its way must not be reachable for the child.
    const std::span<std::byte> into(read_buffer.data(), message.b);
    std::uint64_t held = message.b;
    if (bytes.read_ahead) {
      if (message.c > 0) bytes.read(message.a, into.first(message.c));
      if (message.b > message.c && !bytes.read_ahead(message.a + message.c, into.subspan(message.c))) held = message.c;
    } else {
      bytes.read(message.a, into);
    }
    std::memcpy(shared + message.slot * read_slot_bytes, into.data(), held);
    send({.kind = MessageKind::read_done, .slot = message.slot, .a = held});
  }

  void serve_events(const Message& message, const std::function<void(ByteView)>& on_events) {
    if (message.slot >= event_buffers || message.a > event_buffer_bytes) {
      fail("the cracker broke the rules of its channel (a buffer of events)");
    }
    const std::span<std::byte> copy(event_buffer.data(), message.a);
    std::memcpy(copy.data(), shared + event_buffer_offset(message.slot), copy.size());
    send({.kind = MessageKind::events_done, .slot = message.slot});
    on_events(copy);
  }
};

Sandbox::Sandbox(VolumeBytes bytes, const SandboxLimits& limits, std::chrono::seconds cpu_time_max)
    : state_(std::make_unique<State>()) {
  if (!sandbox_child_hook_called) {
    throw std::logic_error("main() must call crack::maybe_run_sandbox_child before a volume is cracked");
  }
  state_->bytes = std::move(bytes);
  state_->limits = limits;
  state_->time_left = limits.time_max;
  state_->read_buffer.resize(read_slot_bytes);
  state_->event_buffer.resize(event_buffer_bytes);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    throw system_error(errno, "cannot make a channel to the sandbox", {});
  }
  state_->socket.reset(pair[0]);
  Descriptor theirs(pair[1]);
  Descriptor memory;
  make_sealed_memory(memory);
  void* mapped = ::mmap(nullptr, shared_memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapped == MAP_FAILED) throw system_error(errno, "cannot map the shared memory of the sandbox", {});
  state_->shared = static_cast<std::byte*>(mapped);
  move_above_channel(theirs);
  move_above_channel(memory);
  state_->child = spawn_child(theirs.get(), memory.get());
  theirs.reset();
  state_->send({.kind = MessageKind::begin,
                .slot = static_cast<std::uint32_t>(std::clamp<std::int64_t>(cpu_time_max.count(), 1, 1 << 30)),
                .a = state_->bytes.size_bytes,
                .b = limits.memory_bytes_max});
}

Sandbox::~Sandbox() = default;

void Sandbox::run(MessageKind request, std::uint64_t argument, const std::function<void(ByteView)>& on_events) {
  if (state_->child < 0) fail("the cracker is gone after an earlier failure");
  state_->time_left = state_->limits.time_max;
  bool answered = false;
  try {
    state_->send({.kind = request, .a = argument});
    while (!answered) {
      const Message message = state_->receive();
      switch (message.kind) {
        case MessageKind::read: state_->serve_read(message); break;
        case MessageKind::events: state_->serve_events(message, on_events); break;
        case MessageKind::finished: answered = true; break;
        case MessageKind::failed: {
          answered = true;
          const auto kind = static_cast<FailureKind>(message.slot);
          if (kind == FailureKind::out_of_memory) {
            fail("the cracker ran out of memory (" + std::to_string(state_->limits.memory_bytes_max >> 20) + " MiB)");
          }
          throw Error(kind == FailureKind::unsupported ? ErrorCode::unsupported : ErrorCode::malformed,
                      plain_text(message));
        }
        default: fail("the cracker broke the rules of its channel (an unknown message)");
      }
    }
  } catch (...) {
    if (!answered) state_->end_child();
    throw;
  }
}

}  // namespace vmferry::crack
