"""Running a program and what it cost: wall time, CPU of it and all its children, and peak memory."""

import os
import subprocess
import threading
import time
from dataclasses import dataclass


@dataclass
class Cost:
    wall_s: float
    cpu_s: float
    rss_max_bytes: int  # the largest of its processes
    main_rss_max_bytes: int  # of the first process only
    exit_code: int
    out: str
    err: str


class Failed(Exception):
    pass


def peak_rss_of(pid):
    """VmHWM only grows, so the last look before the end is the peak but for what came after it."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def cpu_of_running(pid):
    """CPU seconds so far of a process that goes on running, and of its children that it has waited for."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def run(words, directory=None, environment=None, expect=(0,), output_file=None):
    begin = time.monotonic()
    out_to = open(output_file, "wb") if output_file else subprocess.PIPE
    process = subprocess.Popen(words, cwd=directory, env={**os.environ, **(environment or {})},
                               stdin=subprocess.DEVNULL, stdout=out_to, stderr=subprocess.PIPE)
    texts = {}

    def drain(name, stream):
        texts[name] = stream.read().decode(errors="replace") if stream else ""

    threads = [threading.Thread(target=drain, args=(name, stream))
               for name, stream in (("out", process.stdout), ("err", process.stderr))]
    for thread in threads:
        thread.start()
    main_peak = 0
    while True:
        main_peak = max(main_peak, peak_rss_of(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    for thread in threads:
        thread.join()
    if output_file:
        out_to.close()
    cost = Cost(time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, main_peak,
                process.returncode, texts["out"], texts["err"])
    if expect is not None and cost.exit_code not in expect:
        raise Failed(f"{' '.join(map(str, words))} ended with {cost.exit_code}: {(cost.err or cost.out)[-2000:]}")
    return cost


def bytes_in(directory):
    """The bytes of all files below a directory, as they are read, not as they are allocated; hard links once."""
    seen = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            seen[(status.st_dev, status.st_ino)] = status.st_size
    return sum(seen.values())
