#!/usr/bin/env python3
"""Compares vmferry with restic, borg, casync, rsync and rdiff on one case, in one run: prints a table, the step by step
account of the day of changes, and the bars.

  build/release/bench/make-case --output /tmp/case
  bench/compare.py --case /tmp/case
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

import account
import measure
import ours
import peers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20
STEPS = (("first", "first full"), ("next_day", "next day"), ("sibling", "sibling"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def mib(count):
    return f"{count / MIB:.1f}"


def peak_of(result):
    return max(result[step]["rss_max_bytes"] for step, _ in (*STEPS, ("restore", "")) if step in result)


def table(results):
    head = ["", *[f"{title}, MiB" for _, title in STEPS], *[f"{title}, CPU s" for _, title in STEPS],
            "restore, CPU s", "peak memory, MiB"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, result in results.items():
        def cell(step, write):
            return write(result[step]) if step in result else ""  # not every peer does every step
        rows.append([f"{name} {result['version']}",
                     *[cell(step, lambda found: mib(found["bytes"])) for step, _ in STEPS],
                     *[cell(step, lambda found: f"{found['cpu_s']:.1f}") for step in (*dict(STEPS), "restore")],
                     mib(peak_of(result))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def bars(results, large, floor):
    """(what, measured, at most, unit): every bar of the project that this run could measure."""
    found = []
    mine = results.get("vmferry")
    others = {name: result for name, result in results.items() if name != "vmferry"}
    if mine:
        for step, title, most in (("first", "first full", 0.60), ("next_day", "next day", 0.35)):
            sizes = [result[step]["bytes"] for result in others.values() if step in result]
            if sizes:
                found.append((f"{title}: bytes beside the best of the others", mine[step]["bytes"] / min(sizes), most,
                              "x"))
    if mine and floor:
        found.append(("next day: bytes beside the floor (aim 1.10)",
                      mine["next_day"]["bytes"] / floor["floor_bytes"], 1.20, "x"))
    if mine and "node_wire_bytes" in mine["next_day"]["report"]:
        report = mine["next_day"]["report"]
        data = mine["next_day"]["sent_bytes"] - report["node_wire_bytes"]
        found.append(("next day: metadata trees beside the data", report["node_wire_bytes"] / max(data, 1), 0.02, "x"))
    if mine and "restic" in others:
        for step, title, most in (("first", "first full", 1 / 3), ("next_day", "next day", 1 / 8),
                                  ("restore", "full restore", 1 / 2)):
            share = mine[step]["cpu_s"] / others["restic"][step]["cpu_s"]
            found.append((f"{title}: CPU beside restic's", share, most, "x"))
    if mine and "rsync" in others:
        share = mine["next_day"]["cpu_s"] / others["rsync"]["next_day"]["cpu_s"]
        found.append(("next day: CPU beside rsync --inplace, both sides", share, 1 / 6, "x"))
    if mine:
        found.append(("peak memory, the cracker apart", peak_of(mine) / MIB, 300, "MiB"))
        if mine["first"].get("target_rss_max_bytes"):
            found.append(("peak memory of the target", mine["sibling"]["target_rss_max_bytes"] / MIB, 300, "MiB"))
        found.append(("one small file: time", mine["small_file"]["wall_s"], 0.5, "s"))
        if mine["small_file"]["store_read_bytes"] is not None:
            found.append(("one small file: read of the store", mine["small_file"]["store_read_bytes"] / MIB, 16, "MiB"))
    if large:
        found.append(("peak memory on the larger disk", large["rss_max_bytes"] / MIB, 300, "MiB"))
    return found


def print_bars(found):
    print("\n| bar | measured | at most | |\n| --- | ---: | ---: | --- |")
    for what, measured, most, unit in found:
        print(f"| {what} | {measured:.3f} {unit} | {most:.3f} {unit} | {'pass' if measured <= most else 'FAIL'} |")


def save(path, facts, results, large, floor):
    if path is None:
        return
    found = [{"what": what, "measured": measured, "at_most": most, "unit": unit, "pass": measured <= most}
             for what, measured, most, unit in bars(results, large, floor)]
    with open(path, "w") as file:
        json.dump({"case": facts, "results": results, "large": large, "floor": floor, "bars": found}, file, indent=1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True, help="what make-case wrote")
    parser.add_argument("--only", choices=("vmferry", "peers"), help="measure one half")
    parser.add_argument("--peers", default="restic,borg,casync,rsync,rsync-z,rdiff", help="which (default: %(default)s)")
    parser.add_argument("--peers-from", metavar="FILE",
                        help="take the peers from an earlier run's --json of the same case")
    parser.add_argument("--vmferry-bin-dir", default=os.path.join(ROOT, "build/release"))
    parser.add_argument("--tools-dir", help="where compare-disks is (default: bench below --vmferry-bin-dir)")
    parser.add_argument("--separate-target", action="store_true",
                        help="run vmferry-target serve and count its CPU and memory too")
    parser.add_argument("--large", metavar="CASE", help="a larger case (make-case --size-gib 24), for memory")
    parser.add_argument("--work", help="where stores are made (default: beside the case); removed in the end")
    parser.add_argument("--json", metavar="FILE", help="write every number here too")
    return parser.parse_args()


def main():
    arguments = parse()
    with open(os.path.join(arguments.case, "case.json")) as file:
        facts = json.load(file)
    tools = arguments.tools_dir or os.path.join(arguments.vmferry_bin_dir, "bench")
    results, large, floor = {}, None, None
    # Beside the case, so that its disks can be linked instead of copied.
    work = tempfile.mkdtemp(prefix="compare-", dir=arguments.work or arguments.case)
    try:
        if arguments.only != "peers":
            say("floor ...")
            floor = account.without_rows(account.floor_of(
                tools, *(os.path.join(arguments.case, f"{day}-flat.vmdk") for day in ("day1", "day2"))))
            results["vmferry"] = ours.measure_all(arguments.case, work, facts, arguments.vmferry_bin_dir, tools,
                                                  arguments.separate_target, say)
            if arguments.large:
                large_work = os.path.join(work, "large")
                os.makedirs(large_work)
                large = ours.measure_large(arguments.large, large_work, arguments.vmferry_bin_dir, tools,
                                           arguments.separate_target)
        if arguments.peers_from:
            with open(arguments.peers_from) as file:
                earlier = json.load(file)
            if earlier["case"] != facts:
                raise measure.Failed(f"{arguments.peers_from} is of another case")
            results.update({name: result for name, result in earlier["results"].items() if name != "vmferry"})
            say(f"the peers' numbers are from {arguments.peers_from}")
        elif arguments.only != "vmferry":
            for name, result in peers.measure_all(arguments.case, work, arguments.peers.split(","), say):
                results[name] = result
                save(arguments.json, facts, results, large, floor)  # so that an interrupted run is not lost
    finally:
        shutil.rmtree(work, ignore_errors=True)
    found = bars(results, large, floor)
    save(arguments.json, facts, results, large, floor)
    print(table(results))
    if "vmferry" in results:
        account.print_account(results["vmferry"], floor)
        account.print_kept(results["vmferry"])
        account.print_largest(floor)
    if found:
        print_bars(found)
    return 0 if all(measured <= most for _, measured, most, _ in found) else 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (measure.Failed, OSError) as error:
        say(f"compare: {error}")
        sys.exit(1)
