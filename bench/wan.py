#!/usr/bin/env python3
"""vmferry over emulated links, beside rsync over ssh and restic over sftp on the same links in one run: seconds, bytes,
line use, CPU and memory of a first full, an unchanged disk, a day of changes and restores; then the bars. As root.

  bench/wan.py --cases /tmp/wan --quick --json /tmp/wan/result.json
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import measure
import wan_report
from link import network
from link.network import Line, Network, bits_per_s
from link.recorder import Recorder, line_facts
from wan_contenders import ARCHIVE, CONTENDERS, forget_peak_rss, settled_cpu_of

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPEATS_OF_UNCHANGED = 3  # the quickest counts: it is compared with a scan, and either can be disturbed


@dataclass
class Scene:
    """One link, and the size of the disks that go over it. Without -z rsync only where the disk is not the matter."""

    name: str
    line: Line
    quick_gib: float
    whole_gib: float
    contenders: tuple


WITHOUT_PLAIN_RSYNC = tuple(name for name in CONTENDERS if name != "rsync")
SCENES = (
    Scene("10mbit/80ms", Line("10mbit", 80), 0.25, 0.5, WITHOUT_PLAIN_RSYNC),
    Scene("100mbit/100ms", Line("100mbit", 100), 1, 3, WITHOUT_PLAIN_RSYNC),
    Scene("1gbit/50ms", Line("1gbit", 50), 1, 3, tuple(CONTENDERS)),
    Scene("unlimited", Line(), 1, 3, tuple(CONTENDERS)),
)


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine_ticks():
    """(busy, all) of all cores since the start."""
    with open("/proc/stat") as stat:
        ticks = [int(count) for count in stat.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def measured(contender, link, action):
    """Runs it and says what it took, at both ends and on the line."""
    for server in contender.servers:
        forget_peak_rss(server.pid)
    cpu_before = [settled_cpu_of(server.pid) for server in contender.servers]
    busy_before, all_before = machine_ticks()
    with Recorder(link) as recorder:
        cost = action()
    busy, everything = machine_ticks()
    target_cpu = sum(settled_cpu_of(server.pid) - before for server, before in zip(contender.servers, cpu_before))
    return {"seconds": cost.wall_s, "controller_cpu_s": cost.cpu_s, "target_cpu_s": target_cpu,
            "controller_rss_max_bytes": cost.rss_max_bytes,
            "target_rss_max_bytes": measure.peak_rss_of(contender.servers[0].pid),
            "machine_busy": (busy - busy_before) / max(1, everything - all_before),
            "report": getattr(cost, "report", None), "line": recorder.result()}


class Run:
    """All steps of one contender on one scene."""

    def __init__(self, scene_network, contender, disks, work):
        self.contender, self.link, self.disks, self.work = contender, scene_network.link(), disks, work
        self.found = {}

    def step(self, name, action):
        say(f"    {name} ...")
        self.found[name] = measured(self.contender, self.link, action)

    def backup(self, name, day):
        disk = self.contender.disk(self.disks.case, day)
        self.step(name, lambda: self.contender.backup(disk, name))

    def whole(self):
        self.found["version"] = self.contender.version()
        self.backup("first", "day1")
        for _ in range(REPEATS_OF_UNCHANGED):
            before = self.found.get("unchanged")
            self.backup("unchanged", "day1")
            if before and before["seconds"] < self.found["unchanged"]["seconds"]:
                self.found["unchanged"] = before
        self.backup("day", "day2")
        self.restore_disk()
        if hasattr(self.contender, "restore_files"):
            self.restore_files()
        return self.found

    def restore_disk(self):
        out = os.path.join(self.work, "restored.raw")
        self.step("restore", lambda: self.contender.restore(out))
        original = os.path.join(self.disks.case, "day2-flat.vmdk")
        if hasattr(self.contender, "restore_files"):
            judge = [os.path.join(self.disks.tools, "compare-disks"), original, out,
                     str(self.disks.facts["volume_offset"]), str(self.disks.facts["volume_bytes"])]
        else:
            judge = ["cmp", original, out]
        measure.run(judge)  # fails if it is not what was backed up
        os.unlink(out)

    def restore_files(self):
        out = os.path.join(self.work, "files")
        self.contender.put_files(os.path.join(self.disks.files, "base.vmdk"))
        self.step("files", lambda: self.contender.restore_files(out))
        sizes = [os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(out) for name in names]
        self.found["files"].update(files=len(sizes), content_bytes=sum(sizes))
        if len(sizes) != 10_000:
            raise measure.Failed(f"of 10,000 files of {ARCHIVE} {len(sizes)} came back")
        shutil.rmtree(out)


class Disks:
    """The cases, made when they are not there yet: they are the same ones for every contender."""

    def __init__(self, directory, tools, gib):
        self.tools = tools
        self.case, self.files = os.path.join(directory, f"case-{gib}"), os.path.join(directory, "files")
        self.make(self.case, "case.json", ["make-case", "--size-gib", str(gib)])
        self.make(self.files, "kinds.json", ["make-kinds", "--size-mib", "256", "--only", "unchanged"])
        with open(os.path.join(self.case, "case.json")) as file:
            self.facts = json.load(file)

    def make(self, directory, last_file, command):
        if os.path.exists(os.path.join(directory, last_file)):
            return
        say(f"making {directory} ...")
        being_made = directory + ".new"
        shutil.rmtree(being_made, ignore_errors=True)
        measure.run([os.path.join(self.tools, command[0]), "--output", being_made, *command[1:]])
        os.rename(being_made, directory)


def kernel_facts(host):
    return {name: host.sysctl(name) for name in ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
                                                 "net.ipv4.tcp_congestion_control")}


def play(scene, arguments, keep):
    disks = Disks(arguments.cases, arguments.tools_dir, scene.quick_gib if arguments.quick else scene.whole_gib)
    result = {"rate_bits_per_s": bits_per_s(scene.line.rate), "disk_bytes": disks.facts["disk_bytes"], "contenders": {}}
    with Network("target", ("controller",), scene.line, build=arguments.vmferry_bin_dir) as made:
        say(f"{scene.name}: iperf3, ping ...")
        result["line"] = line_facts(made, "controller", result["rate_bits_per_s"])
        result["kernel"] = kernel_facts(made["controller"])
    for name in scene.contenders:
        if arguments.only and name not in arguments.only:
            continue
        say(f"{scene.name}: {name} ...")
        result["contenders"][name] = compete(scene, name, disks, arguments)
        keep(result)


def compete(scene, name, disks, arguments):
    """With a network of its own, so that nothing is left of the one before. What fails is named; the rest goes on."""
    work = tempfile.mkdtemp(prefix="wan-", dir=arguments.cases)
    run = None
    try:
        with Network("target", ("controller",), scene.line, build=arguments.vmferry_bin_dir) as made:
            contender = CONTENDERS[name](made, work, arguments.vmferry_bin_dir)
            run = Run(made, contender, disks, work)
            try:
                contender.begin()
                return run.whole()
            finally:
                contender.end()
    except (measure.Failed, network.NetworkError, OSError, subprocess.SubprocessError) as error:
        say(f"    failed: {error}")
        return {**(run.found if run else {}), "failed": str(error)}
    finally:
        shutil.rmtree(work, ignore_errors=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", required=True, metavar="DIR",
                        help="where the disks are; made there when they are not, 3 times their size; stores too")
    parser.add_argument("--quick", action="store_true", help="smaller disks: a quarter of the time")
    parser.add_argument("--link", action="append", choices=[scene.name for scene in SCENES],
                        help="this one only; may be repeated")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS), help="this one only; may be repeated")
    parser.add_argument("--vmferry-bin-dir", default=os.path.join(ROOT, "build/release"))
    parser.add_argument("--json", metavar="FILE", help="write every number here too")
    parser.add_argument("--report", metavar="FILE", help="measure nothing: the tables and bars of an earlier --json")
    arguments = parser.parse_args()
    arguments.tools_dir = os.path.join(arguments.vmferry_bin_dir, "bench")
    return arguments


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it made is removed
    results = {}
    if arguments.report:
        with open(arguments.report) as file:
            results = json.load(file)
    else:
        if missing := network.why_not(arguments.vmferry_bin_dir):
            raise measure.Failed(f"no emulated links: {missing}")
        os.makedirs(arguments.cases, exist_ok=True)
        for scene in SCENES:
            if arguments.link and scene.name not in arguments.link:
                continue

            def keep(result, name=scene.name):  # after each contender: an interrupted run is not lost
                results[name] = result
                if arguments.json:
                    with open(arguments.json, "w") as file:
                        json.dump(results, file, indent=1)

            play(scene, arguments, keep)
    wan_report.print_tables(results)
    return 0 if wan_report.print_bars(results) else 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (measure.Failed, network.NetworkError, OSError) as error:
        say(f"wan: {error}")
        sys.exit(1)
