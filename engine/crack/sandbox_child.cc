// The child: locks itself in, then answers requests until its parent hangs up.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "engine/crack/broken_rules.h"
#include "engine/crack/child_channel.h"
#include "engine/crack/cracker.h"
#include "engine/crack/file_reader.h"
#include "engine/crack/ntfs/volume_cracker.h"
#include "engine/crack/sandbox.h"
#include "engine/crack/sanitizer.h"
#include "engine/crack/syscall_filter.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

// Program text, libraries and stacks, which the address space holds beside what is allocated.
constexpr std::uint64_t address_space_overhead_bytes = std::uint64_t{256} << 20;

void limit(__rlimit_resource resource, std::uint64_t value) {
  const rlimit both{value, value};
  if (::setrlimit(resource, &both) != 0) ::_exit(5);
}

void close_everything_else() {
  // A sanitizer's report goes to standard error, the only way to learn of it.
  for (const int fd : {0, 1, 2}) {
    if (!(built_with_sanitizer && fd == 2)) ::close(fd);
  }
  if (::close_range(channel_memory_fd + 1, ~0U, 0) != 0) ::_exit(6);
}

void confine(const Message& begin) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(7);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, begin.slot);
  if (!built_with_sanitizer) {
    limit(RLIMIT_DATA, begin.b);
    limit(RLIMIT_AS, begin.b + shared_memory_bytes + address_space_overhead_bytes);
    limit(RLIMIT_NOFILE, 0);
  }
  limit(RLIMIT_NPROC, 0);
  limit(RLIMIT_FSIZE, 0);
  confine_system_calls();
}

void answer(ChildChannel& channel, std::unique_ptr<FileReader>& files, const Message& request) {
  EventWriter events(channel);
  switch (request.kind) {
    case MessageKind::crack: crack_ntfs(channel, events); break;
    case MessageKind::mount: files = std::make_unique<FileReader>(channel); break;
    case MessageKind::file_facts:
    case MessageKind::file_read:
      if (!files) ::_exit(8);
      if (request.kind == MessageKind::file_facts) {
        events.facts(files->facts(request.a));
      } else {
        files->read(request.a, events);
      }
      break;
    case MessageKind::break_rule: break_rule(static_cast<BrokenRule>(request.a)); break;
    default: ::_exit(9);
  }
  events.flush();
}

[[noreturn]] void run_child() {
  ::clearenv();
  close_everything_else();
  ChildChannel channel;
  const Message begin = channel.next_request();
  if (begin.kind != MessageKind::begin) ::_exit(10);
  channel.set_volume_bytes(begin.a);
  confine(begin);
  std::unique_ptr<FileReader> files;
  for (;;) {
    const Message request = channel.next_request();
    try {
      answer(channel, files, request);
      channel.answer_finished();
    } catch (const Error& error) {
      channel.answer_failed(error.code() == ErrorCode::unsupported ? FailureKind::unsupported : FailureKind::malformed,
                            error.what());
    } catch (const std::bad_alloc&) {
      channel.answer_failed(FailureKind::out_of_memory, {});
    } catch (const std::exception& error) {
      channel.answer_failed(FailureKind::malformed, error.what());
    }
  }
}

}  // namespace

void maybe_run_sandbox_child(int argc, char** argv) {
  sandbox_child_hook_called = true;
  if (argc == 2 && std::strcmp(argv[1], child_argument) == 0) run_child();
}

}  // namespace vmferry::crack
