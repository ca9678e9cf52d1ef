"""vmferry on the same case: backups, a restore of the disk compared cluster by cluster, one small file, memory."""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

import measure
import relay

STEPS = (("first", "A", "day1"), ("next_day", "A", "day2"), ("sibling", "B", "sibling"))


class Vmferry:
    def __init__(self, work, binaries, tools, separate_target):
        self.work, self.tools = os.path.join(work, "vmferry"), tools
        self.vmferry, self.target = os.path.join(binaries, "vmferry"), os.path.join(binaries, "vmferry-target")
        self.store = os.path.join(self.work, "store")
        self.separate = separate_target
        self.server = self.relay = None
        os.makedirs(self.work)
        measure.run([self.target, "init", "--store", self.store])
        self.backup_help = measure.run([self.vmferry, "backup", "--help"]).out

    def url(self):
        return f"unix://{self.work}/relay" if self.separate else f"file://{self.store}"

    def run(self, *words, **options):
        common = ["--target", self.url(), "--catalog", os.path.join(self.work, "catalog.sqlite")]
        before = measure.cpu_of_running(self.server.pid) if self.server else 0
        cost = measure.run([self.vmferry, *words, *common], **options)
        if self.server:
            cost.cpu_s += measure.cpu_of_running(self.server.pid) - before
        return cost

    @contextlib.contextmanager
    def serving(self):
        if self.separate:
            socket = f"{self.work}/socket"
            self.server = subprocess.Popen([self.target, "serve", "--store", self.store, "--socket", socket])
            while not os.path.exists(socket):
                if self.server.poll() is not None:
                    raise measure.Failed("vmferry-target serve ended")
                time.sleep(0.05)
        try:
            if self.separate:
                with relay.CountingRelay(f"{self.work}/relay", f"{self.work}/socket") as self.relay:
                    yield
            else:
                yield
        finally:
            self.relay = None
            if self.server:
                self.server.send_signal(signal.SIGTERM)
                self.server.wait()
                self.server = None

    def backup(self, machine, disk_file, *words):
        """At the floor's level of compression, where it can be chosen."""
        level = ("--compression", "3") if "--compression" in self.backup_help else ()
        before = measure.bytes_in(self.store)
        passed = (self.relay.sent, self.relay.received) if self.relay else None
        cost = self.run("backup", disk_file, "--name", machine, "--json", *level, *words, expect=(0, 2))
        report = json.loads(cost.out)
        stored = measure.bytes_in(self.store) - before
        if self.relay:
            self.check_counts(report, self.relay.sent - passed[0], self.relay.received - passed[1])
        return {
            "bytes": report["sent_bytes"] + report["received_bytes"],
            "sent_bytes": report["sent_bytes"], "received_bytes": report["received_bytes"], "stored_bytes": stored,
            "cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "exit_code": cost.exit_code,
            "rss_max_bytes": cost.main_rss_max_bytes, "with_cracker_rss_max_bytes": cost.rss_max_bytes,
            "target_rss_max_bytes": measure.peak_rss_of(self.server.pid) if self.server else None, "report": report,
            "catalog_bytes": self.kept("catalog.sqlite"), "signature_bytes": self.kept("catalog.signatures"),
        }

    @staticmethod
    def check_counts(report, sent, received):
        """The relay's count is of the whole connection: a little more than the session knows before its last words."""
        for what, counted, said in (("sent", sent, report["sent_bytes"]),
                                    ("received", received, report["received_bytes"])):
            if abs(counted - said) > said / 100 + 4096:
                raise measure.Failed(f"it says that it {what} {said} bytes; {counted} passed the relay")

    def kept(self, name):
        """What the controller keeps beside it, with SQLite's own files."""
        return sum(os.path.getsize(path) for path in glob.glob(os.path.join(self.work, name + "*")))

    def save(self, name):
        """Keeps the store and the catalog as they are now; `go_back_to` brings them back."""
        shutil.copytree(self.work, f"{self.work}-{name}")

    def go_back_to(self, name):
        shutil.rmtree(self.work)
        shutil.copytree(f"{self.work}-{name}", self.work)

    def forget(self, name):
        shutil.rmtree(f"{self.work}-{name}")

    def restore(self, case, facts):
        out = os.path.join(self.work, "restored.raw")
        cost = self.run("restore", "A", "--output", out, "--format", "raw", expect=(0, 2))
        judged = measure.run([os.path.join(self.tools, "compare-disks"), os.path.join(case, "day2-flat.vmdk"), out,
                              str(facts["volume_offset"]), str(facts["volume_bytes"])])
        os.unlink(out)
        return {"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "rss_max_bytes": cost.main_rss_max_bytes,
                "differs": json.loads(judged.out)}

    def small_file(self, facts):
        words = [self.vmferry, "cat", f"A:{facts['small_file']}", "--target", self.url(),
                 "--catalog", os.path.join(self.work, "catalog.sqlite")]
        content = os.path.join(self.work, "small-file")
        walls = sorted(measure.run(words, output_file=content).wall_s for _ in range(3))
        result = {"wall_s": walls[1], "bytes": os.path.getsize(content), "store_read_bytes": None}
        if not self.separate:
            result["store_read_bytes"] = self.store_reads(words)
        return result

    def store_reads(self, words):
        """What its processes read of the store's files, by strace; a memory map would not be seen."""
        trace = os.path.join(self.work, "trace")
        try:
            measure.run(["strace", "-f", "-y", "-qq", "-e", "trace=read,readv,pread64,preadv,preadv2", "-o", trace,
                         *words])
        except FileNotFoundError:
            return None
        total = 0
        with open(trace, errors="replace") as lines:
            for line in lines:
                match = re.search(r"(?:read|readv|pread64|preadv|preadv2)\(\d+<([^>]*)>.*= (\d+)$", line)
                if match and match.group(1).startswith(self.store):
                    total += int(match.group(2))
        return total


def without_deltas(ours, machine, disk_file, say):
    """The same step with whole chunks only; the store is as before afterwards."""
    say("vmferry: next_day without deltas ...")
    ours.save("first")
    result = ours.backup(machine, disk_file, "--no-delta")
    ours.go_back_to("first")
    ours.forget("first")
    return result


def measure_all(case, work, facts, binaries, tools, separate_target, say):
    ours = Vmferry(work, binaries, tools, separate_target)
    version = measure.run([ours.vmferry, "--version"]).out.split()[-1]
    result = {"version": version, "target": "unix" if separate_target else "file"}
    with ours.serving():
        for step, machine, disk in STEPS:
            disk_file = os.path.join(case, f"{disk}.vmdk")
            if step == "next_day" and not separate_target and "--no-delta" in ours.backup_help:
                result["no_delta"] = without_deltas(ours, machine, disk_file, say)
            say(f"vmferry: {step} ...")
            result[step] = ours.backup(machine, disk_file)
        say("vmferry: restore ...")
        result["restore"] = ours.restore(case, facts)
        result["small_file"] = ours.small_file(facts)
    return result


def measure_large(case, work, binaries, tools, separate_target):
    """Only the first full of a larger case, for its memory."""
    ours = Vmferry(work, binaries, tools, separate_target)
    with ours.serving():
        return ours.backup("A", os.path.join(case, "day1.vmdk"))
