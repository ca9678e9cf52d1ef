"""restic, borg, casync, rsync and rdiff on the raw bytes of the case's disks: three backups and a restore."""

import os
import re
import shutil
import subprocess

import measure

STEPS = (("first", "A", "day1"), ("next_day", "A", "day2"), ("sibling", "B", "sibling"))


def present(case, work, machine, disk):
    """The disk under the path that its machine always has, without a copy."""
    path = os.path.join(work, "disks", machine, "disk.raw")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        os.unlink(path)
    os.link(os.path.join(case, f"{disk}-flat.vmdk"), path)
    return path


def as_result(cost, moved):
    return {"bytes": moved, "cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "rss_max_bytes": cost.rss_max_bytes}


def check_equal(restored, case, disk):
    if subprocess.run(["cmp", "-s", restored, os.path.join(case, f"{disk}-flat.vmdk")]).returncode != 0:
        raise measure.Failed(f"{restored} is not what was backed up")


class StorePeer:
    """A peer that keeps a store: what it adds to it is what it would send."""

    def __init__(self, work):
        self.work = os.path.join(work, self.name)
        self.store = os.path.join(self.work, "store")
        os.makedirs(self.work)

    def measure(self, case, work):
        result = {"version": self.version()}
        self.init()
        for step, machine, disk in STEPS:
            path = present(case, work, machine, disk)
            before = measure.bytes_in(self.store) if os.path.exists(self.store) else 0
            cost = self.backup(path, step)
            result[step] = as_result(cost, measure.bytes_in(self.store) - before)
        out = os.path.join(self.work, "out")
        os.makedirs(out)
        cost, restored = self.restore("next_day", out)
        check_equal(restored, case, "day2")
        result["restore"] = as_result(cost, 0)
        return result


class Restic(StorePeer):
    name = "restic"
    environment = {"RESTIC_PASSWORD": "bench"}

    def __init__(self, work):
        super().__init__(work)
        self.environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": self.store,
                            "RESTIC_CACHE_DIR": os.path.join(self.work, "cache")}

    def version(self):
        return measure.run(["restic", "version"]).out.split()[1]

    def init(self):
        measure.run(["restic", "init", "--repository-version", "2"], environment=self.environment)

    def backup(self, path, step):
        return measure.run(["restic", "backup", "--quiet", "--tag", step, path], environment=self.environment)

    def restore(self, step, out):
        cost = measure.run(["restic", "restore", "--quiet", "latest", "--tag", step, "--target", out],
                           environment=self.environment)
        found = [os.path.join(folder, name) for folder, _, names in os.walk(out) for name in names]
        return cost, found[0]


class Borg(StorePeer):
    name = "borg"

    def __init__(self, work):
        super().__init__(work)
        self.environment = {"BORG_BASE_DIR": os.path.join(self.work, "base"),
                            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}

    def version(self):
        return measure.run(["borg", "--version"]).out.split()[1]

    def init(self):
        measure.run(["borg", "init", "--encryption", "none", self.store], environment=self.environment)

    def backup(self, path, step):
        return measure.run(["borg", "create", "--compression", "zstd", f"{self.store}::{step}", os.path.basename(path)],
                           directory=os.path.dirname(path), environment=self.environment)

    def restore(self, step, out):
        cost = measure.run(["borg", "extract", f"{self.store}::{step}"], directory=out, environment=self.environment)
        return cost, os.path.join(out, "disk.raw")


class Casync(StorePeer):
    name = "casync"

    def version(self):
        return measure.run(["casync", "--version"]).out.split()[1]

    def init(self):
        pass

    def index(self, step):
        return os.path.join(self.work, f"{step}.caibx")

    def backup(self, path, step):
        return measure.run(["casync", "make", f"--store={self.store}", self.index(step), path])

    def restore(self, step, out):
        restored = os.path.join(out, "disk.raw")
        return measure.run(["casync", "extract", f"--store={self.store}", self.index(step), restored]), restored


class Rsync:
    """A mirror, not a store: the next day goes over the first, the sibling to a place of its own."""

    name, program, options = "rsync", "rsync", ()

    def __init__(self, work):
        self.work = os.path.join(work, self.name.replace(" ", ""))
        os.makedirs(self.work)

    def copy(self, path, destination):
        # Both sides are processes of this run, so both are in its CPU.
        cost = measure.run(["rsync", *self.options, "--inplace", "--no-whole-file", "--stats", path, destination])
        counts = re.findall(r"Total bytes (?:sent|received): ([\d,]+)", cost.out)
        moved = sum(int(count.replace(",", "")) for count in counts)
        return as_result(cost, moved)

    def measure(self, case, work):
        result = {"version": measure.run(["rsync", "--version"]).out.split()[2]}
        for step, machine, disk in STEPS:
            result[step] = self.copy(present(case, work, machine, disk), os.path.join(self.work, f"{machine}.raw"))
        check_equal(os.path.join(self.work, "A.raw"), case, "day2")
        result["restore"] = self.copy(os.path.join(self.work, "A.raw"), os.path.join(self.work, "out.raw"))
        return result


class RsyncCompressed(Rsync):
    name, options = "rsync -z", ("-z",)


class Rdiff:
    """One delta: the next day against the first. The signature is made where the first day lies, and is sent too."""

    name, program = "rdiff", "rdiff"
    block_bytes = 4096

    def __init__(self, work):
        self.work = os.path.join(work, self.name)
        os.makedirs(self.work)

    def measure(self, case, work):
        day1, day2 = (os.path.join(case, f"{day}-flat.vmdk") for day in ("day1", "day2"))
        signature, delta, packed, rebuilt = (os.path.join(self.work, name)
                                             for name in ("signature", "delta", "delta.zst", "rebuilt"))
        steps = [measure.run(words) for words in (
            ["rdiff", "-b", str(self.block_bytes), "signature", day1, signature],
            ["rdiff", "delta", signature, day2, delta],
            ["zstd", "-q", "-3", "-T1", delta, "-o", packed],
            ["rdiff", "patch", day1, delta, rebuilt])]
        check_equal(rebuilt, case, "day2")
        both = sum(cost.cpu_s for cost in steps)
        return {"version": measure.run(["rdiff", "--version"]).out.split()[2].rstrip("),"), "next_day": {
            "bytes": os.path.getsize(packed) + os.path.getsize(signature), "cpu_s": both,
            "wall_s": sum(cost.wall_s for cost in steps), "rss_max_bytes": max(cost.rss_max_bytes for cost in steps),
            "delta_bytes": os.path.getsize(delta), "packed_delta_bytes": os.path.getsize(packed),
            "signature_bytes": os.path.getsize(signature),
            "cpu_by_step": dict(zip(("signature", "delta", "zstd", "patch"), (cost.cpu_s for cost in steps)))}}


PEERS = {"restic": Restic, "borg": Borg, "casync": Casync, "rsync": Rsync, "rsync-z": RsyncCompressed, "rdiff": Rdiff}


def measure_all(case, work, names, say):
    """Yields the name and the result of each as soon as it is measured."""
    for name in names:
        program = getattr(PEERS[name], "program", name)
        if shutil.which(program) is None:
            say(f"{program} is not installed (bench/install-peers): left out")
            continue
        say(f"{name} ...")
        peer = PEERS[name](work)
        yield peer.name, peer.measure(case, work)
        shutil.rmtree(peer.work)
