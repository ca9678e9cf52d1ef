#!/usr/bin/env python3
"""What many sessions cost a target: 200 idle ones and 20 backups at once, over TLS; its peak memory beside the bar of 512 MiB.

    cmake --build --preset release --target vmferry vmferry-target make-sample-disk many-sessions
    bench/sessions.py [--idle 200] [--busy 20] [--mib 96] [--json FILE]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(os.environ.get("VMFERRY_BINARY_DIR", Path(__file__).resolve().parents[1] / "build/release"))
BAR_MIB = 512


def status_kib(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, **options)


def measure(arguments, directory):
    store = directory / "store"
    run(BUILD / "vmferry-target", "init", "--store", store)
    server = subprocess.Popen([str(BUILD / "vmferry-target"), "serve", "--store", str(store), "--listen", "tls://127.0.0.1:0", "--json"],
                              stdout=subprocess.PIPE, stderr=open(directory / "serve.log", "wb"))
    idle = None
    try:
        url = json.loads(server.stdout.readline())["listen"][0]
        address = url.removeprefix("tls://")
        enrolments = directory / "targets"

        def enroll(name, catalog):
            line = run(BUILD / "vmferry-target", "client", "add", name, "--role", "sender,reader", "--store", store, "--address", address).stdout
            run(BUILD / "vmferry", "enroll", "-", "--enrolments", enrolments / name, "--catalog", catalog, input=line)

        enroll("idle", directory / "idle.sqlite")
        idle = subprocess.Popen([str(BUILD / "bench/many-sessions"), url, str(enrolments / "idle"), str(arguments.idle)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if json.loads(idle.stdout.readline() or b"{}").get("open") != arguments.idle:
            raise SystemExit("the idle sessions could not be opened: see the server's log")
        with_idle = status_kib(server.pid, "VmRSS")
        disks = []
        for number in range(arguments.busy):
            disk = directory / f"disk{number}.vmdk"
            run(BUILD / "bench/make-sample-disk", "create", disk, "--size-mib", arguments.mib)
            enroll(f"busy{number}", directory / f"busy{number}.sqlite")
            disks.append(disk)
        backups = [subprocess.Popen([str(BUILD / "vmferry"), "backup", str(disk), "--name", f"machine{number}", "--target", url, "--enrolments",
                                     str(enrolments / f"busy{number}"), "--catalog", str(directory / f"busy{number}.sqlite"), "--quiet"])
                   for number, disk in enumerate(disks)]
        failed = sum(backup.wait() not in (0, 2) for backup in backups)
        return {"idle_sessions": arguments.idle, "backups": arguments.busy, "failed": failed, "rss_with_idle_mib": round(with_idle / 1024, 1),
                "peak_mib": round(status_kib(server.pid, "VmHWM") / 1024, 1), "threads": status_kib(server.pid, "Threads"),
                "bar_mib": BAR_MIB}
    finally:
        if idle:
            idle.stdin.close()
            idle.wait()
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--busy", type=int, default=20)
    parser.add_argument("--mib", type=int, default=96)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmferry-sessions-") as directory:
        result = measure(arguments, Path(directory))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    passed = result["failed"] == 0 and result["peak_mib"] <= BAR_MIB
    print(f"{result['idle_sessions']} idle sessions: {result['rss_with_idle_mib']} MiB, {result['threads']} threads; "
          f"with {result['backups']} backups at once, {result['failed']} failed: peak {result['peak_mib']} MiB of {BAR_MIB}: "
          f"{'pass' if passed else 'FAIL'}")
    return 0 if passed else 2


if __name__ == "__main__":
    sys.exit(main())
