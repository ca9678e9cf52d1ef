#!/usr/bin/env python3
"""What vmferry sends by kind of change, beside the floor of each: prints a table with pass or FAIL.

  build/release/bench/make-kinds --output /tmp/kinds
  bench/kinds.py --cases /tmp/kinds
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import account
import measure
import ours

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KIB = 1 << 10
FLOOR_SHARE_MOST, FLOOR_EXTRA_BYTES = 1.25, 64 * KIB


def say(text):
    print(text, file=sys.stderr, flush=True)


def flat(cases, name):
    return os.path.join(cases, f"{name}-flat.vmdk")


def allowed(kind, floor_bytes):
    return kind.get("sent_bytes_most") or FLOOR_SHARE_MOST * floor_bytes + FLOOR_EXTRA_BYTES


def restored_right(cases, kind, backup):
    """The disk, restored and compared; where it cannot be read as NTFS, all of its bytes."""
    out = os.path.join(backup.work, "restored.raw")
    backup.run("restore", kind["machine"], "--output", out, "--format", "raw", expect=(0, 2))
    disk = flat(cases, kind["kind"])
    if kind["floor_of"] != kind["kind"]:
        right = subprocess.run(["cmp", "-s", disk, out]).returncode == 0
    else:
        words = [os.path.join(backup.tools, "compare-disks"), disk, out, str(kind["volume_offset"]),
                 str(kind["volume_bytes"])]
        right = measure.run(words, expect=(0, 1)).exit_code == 0
    os.unlink(out)
    return right


class Bench:
    def __init__(self, arguments, work):
        self.cases, self.restore, self.work = arguments.cases, arguments.restore, work
        self.binaries = arguments.vmferry_bin_dir
        self.tools = arguments.tools_dir or os.path.join(self.binaries, "bench")
        self.floors, self.bases = {}, {}

    def floor(self, base, name):
        if name not in self.floors:
            self.floors[name] = account.floor_of(self.tools, flat(self.cases, base), flat(self.cases, name))
        return self.floors[name]

    def with_base(self, base):
        """A store that holds the base's first backup and nothing else: the same one for each of its kinds."""
        if base not in self.bases:
            directory = os.path.join(self.work, base)
            os.makedirs(directory)
            backup = ours.Vmferry(directory, self.binaries, self.tools, False)
            first = backup.backup("A", os.path.join(self.cases, f"{base}.vmdk"))
            backup.save("first")
            self.bases[base] = backup, first
        backup, first = self.bases[base]
        backup.go_back_to("first")
        return backup, first

    def measure(self, kind):
        backup, first = self.with_base(kind["base"])
        result = backup.backup(kind["machine"], os.path.join(self.cases, f"{kind['kind']}.vmdk"))
        floor = self.floor(kind["base"], kind["floor_of"])
        most = allowed(kind, floor["floor_bytes"])
        right = restored_right(self.cases, kind, backup) if self.restore else None
        return {"kind": kind["kind"], "what": kind["what"], "sent_bytes": result["bytes"],
                "floor_bytes": floor["floor_bytes"], "at_most_bytes": most, "cpu_s": result["cpu_s"],
                "rss_max_bytes": result["rss_max_bytes"], "first_bytes": first["bytes"], "restored_right": right,
                "pass": result["bytes"] <= most and right is not False, "report": result["report"],
                "floor": account.without_rows(floor), "changed": kind["changed"]}


def kib(count):
    return f"{count / KIB:.0f}"


def print_table(rows):
    head = ["kind", "data, MiB", "new chunks, KiB", "sent, KiB", "floor, KiB", "sent/floor", "at most, KiB", "CPU s",
            "restored", ""]
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join(["---"] + ["---:"] * (len(head) - 3) + ["---", "---"]) + " |")
    for row in rows:
        share = f"{row['sent_bytes'] / row['floor_bytes']:.2f}" if row["floor_bytes"] else ""
        restored = {None: "", True: "right", False: "WRONG"}[row["restored_right"]]
        print("| " + " | ".join([row["kind"], kib(row["report"]["data_bytes"] / KIB), kib(row["report"]["new_bytes"]),
                                 kib(row["sent_bytes"]), kib(row["floor_bytes"]), share, kib(row["at_most_bytes"]),
                                 f"{row['cpu_s']:.1f}", restored, "pass" if row["pass"] else "FAIL"]) + " |")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", required=True, help="what make-kinds wrote")
    parser.add_argument("--only", action="append", metavar="KIND", help="this kind only; may be repeated")
    parser.add_argument("--vmferry-bin-dir", default=os.path.join(ROOT, "build/release"))
    parser.add_argument("--tools-dir", help="where floor and compare-disks are (default: bench below that)")
    parser.add_argument("--restore", action="store_true", help="restore each disk and compare it too")
    parser.add_argument("--work", help="where stores are made (default: beside the cases); removed in the end")
    parser.add_argument("--json", metavar="FILE", help="write every number here too")
    return parser.parse_args()


def main():
    arguments = parse()
    with open(os.path.join(arguments.cases, "kinds.json")) as file:
        kinds = json.load(file)
    if arguments.only:
        missing = set(arguments.only) - {kind["kind"] for kind in kinds}
        if missing:
            raise measure.Failed(f"not among the cases: {', '.join(sorted(missing))}")
        kinds = [kind for kind in kinds if kind["kind"] in arguments.only]
    rows = []
    work = tempfile.mkdtemp(prefix="kinds-", dir=arguments.work or arguments.cases)
    try:
        bench = Bench(arguments, work)
        for kind in kinds:
            say(f"{kind['kind']} ...")
            rows.append(bench.measure(kind))
            if arguments.json:
                with open(arguments.json, "w") as file:
                    json.dump(rows, file, indent=1)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print_table(rows)
    return 0 if all(row["pass"] for row in rows) else 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (measure.Failed, OSError) as error:
        say(f"kinds: {error}")
        sys.exit(1)
