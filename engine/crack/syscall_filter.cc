#include "engine/crack/syscall_filter.h"

#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>

#include "engine/crack/sanitizer.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

void check(int result) {
  if (result != 0) throw system_error(-result, "cannot confine the cracker with seccomp", {});
}

}  // namespace

void confine_system_calls() {
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release);
  if (!filter) throw system_error(ENOMEM, "cannot confine the cracker with seccomp", {});
  for (const int call :
       {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
        SCMP_SYS(munmap), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(exit),
        SCMP_SYS(exit_group), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
        SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(getgid)}) {
    check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0));
  }
  // Memory of its own, never executable, never of a file.
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                         SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)));
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  // abort() raises a signal for itself, and for nobody else.
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
                         SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()), 0),
                         SCMP_A2(SCMP_CMP_EQ, SIGABRT, 0)));
  if (built_with_sanitizer) {
    // What a sanitizer's runtime does on its own: to report, and (pipe, close) to find out whether memory is readable.
    for (const int call : {SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(prctl), SCMP_SYS(getrlimit),
                           SCMP_SYS(sched_getaffinity), SCMP_SYS(ioctl), SCMP_SYS(readlink), SCMP_SYS(pipe),
                           SCMP_SYS(pipe2), SCMP_SYS(close)}) {
      check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0));
    }
  }
  check(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 1));
  check(seccomp_load(filter.get()));
}

}  // namespace vmferry::crack
