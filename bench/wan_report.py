"""What wan.py found, as tables, and the bars: each with the figure that was measured, and pass or MISSED."""

import os

MIB = 1 << 20
STEPS = (("first", "first full"), ("unchanged", "unchanged"), ("day", "day of changes"),
         ("restore", "restore, whole disk"), ("files", "restore, 10,000 files"))
DIRECTION = {"first": "up", "unchanged": "up", "day": "up", "restore": "down", "files": "down"}
REMOTE, SCAN = ("vmferry tls", "vmferry ssh"), "vmferry unix"
CPU_LIMIT_SHARE = 0.9  # of all cores: from here on the machine is the limit, not the line


def payload_rate(result, direction):
    """The better of iperf3's two: several connections disturb each other where one is enough."""
    return max(result["line"][direction].values())


def line_use(result, found, step):
    """The transfer's payload rate beside the line's own, as iperf3 found it; None: too little was sent, or no limit."""
    transfer = found["line"][DIRECTION[step]]["transfer"]
    if not transfer or not result["rate_bits_per_s"]:
        return None
    return transfer[0] * 8 / transfer[1] / payload_rate(result, DIRECTION[step])


def own_cpu_share(found):
    cpu = found["controller_cpu_s"] + found["target_cpu_s"] + found["line"]["emulator_cpu_s"]
    return cpu / found["seconds"] / os.cpu_count()


def row(result, name, found, step):
    use = line_use(result, found, step)
    transfer = found["line"][DIRECTION[step]]["transfer"]
    return [name, f"{found['seconds']:.1f}", f"{found['line']['up']['bytes'] / MIB:.2f}",
            f"{found['line']['down']['bytes'] / MIB:.2f}", f"{transfer[1]:.1f}" if transfer else "",
            f"{100 * use:.1f} %" if use is not None else "", f"{found['controller_cpu_s']:.1f}",
            f"{found['target_cpu_s']:.1f}", f"{found['line']['emulator_cpu_s']:.1f}",
            f"{100 * own_cpu_share(found):.0f} / {100 * found['machine_busy']:.0f} %",
            f"{found['controller_rss_max_bytes'] / MIB:.0f}", f"{found['target_rss_max_bytes'] / MIB:.0f}"]


HEAD = ["", "seconds", "up, MiB", "down, MiB", "transferring, s", "line use", "CPU s, controller", "target", "emulator",
        "CPU in use, own / all", "peak MiB, controller", "target"]


def print_table(head, rows):
    print("| " + " | ".join(head) + " |\n| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


def print_tables(results):
    for scene, result in results.items():
        line = result["line"]
        print(f"\n## {scene}: a disk of {result['disk_bytes'] / MIB:.0f} MiB\n")
        print("iperf3, payload Mbit/s: " + "; ".join(
            f"{direction} {line[direction]['payload_bits_per_s'] / 1e6:.1f} (one connection "
            f"{line[direction]['one_stream_bits_per_s'] / 1e6:.1f})" for direction in ("up", "down"))
              + f"; ping {line['round_trip_ms']:.1f} ms; "
              + ", ".join(f"{name} {value}" for name, value in result["kernel"].items()))
        for step, title in STEPS:
            rows = [row(result, f"{name} {found.get('version', '')}", found[step], step)
                    for name, found in result["contenders"].items() if step in found]
            if rows:
                print(f"\n{title}\n")
                print_table(HEAD, rows)
        for name, found in result["contenders"].items():
            if "failed" in found:
                print(f"\n{name} failed: {found['failed']}")


class Bars:
    """Rows of (what, measured, wanted, passed); passed None: could not be measured in this run."""

    def __init__(self):
        self.rows = []

    def add(self, what, measured, wanted, passed):
        self.rows.append((what, measured, wanted, passed))

    def at_least(self, what, value, least, write=lambda value: f"{100 * value:.1f} %"):
        self.add(what, "not measured" if value is None else write(value), f">= {write(least)}",
                 None if value is None else value >= least)

    def at_most(self, what, value, most, write=lambda value: f"{value:.2f} s"):
        known = value is not None and most is not None
        self.add(what, "not measured" if value is None else write(value),
                 "" if most is None else f"<= {write(most)}", value <= most if known else None)


def seconds_of(result, name, step):
    return result["contenders"].get(name, {}).get(step, {}).get("seconds")


def best_peer_seconds(result, step):
    found = [seconds_of(result, name, step) for name in result["contenders"] if not name.startswith("vmferry")]
    return min((seconds for seconds in found if seconds is not None), default=None)


def use_of(result, name, step):
    found = result["contenders"].get(name, {}).get(step)
    return line_use(result, found, step) if found else None


def full_line_bars(bars, scene, result, name):
    if scene == "100mbit/100ms":
        bars.at_least(f"{scene}, {name}: first full, line use", use_of(result, name, "first"), 0.95)
    if scene == "1gbit/50ms":
        use = use_of(result, name, "first")
        found = result["contenders"].get(name, {}).get("first")
        measured, passed = "not measured", None
        if use is not None:
            measured = (f"{100 * use:.1f} %, CPU {100 * own_cpu_share(found):.0f} % own, "
                        f"{100 * found['machine_busy']:.0f} % all")
            passed = use >= 0.85 or own_cpu_share(found) >= CPU_LIMIT_SHARE
        bars.add(f"{scene}, {name}: first full, line use, or CPU in use", measured,
                 f">= 85 %, or CPU >= {100 * CPU_LIMIT_SHARE:.0f} % own", passed)
    if result["rate_bits_per_s"]:
        for step, title in STEPS[3:]:
            bars.at_least(f"{scene}, {name}: {title}, line use", use_of(result, name, step), 0.90)


def bars_of(results):
    bars = Bars()
    for scene, result in results.items():
        for name in REMOTE:
            if name not in result["contenders"]:
                continue
            full_line_bars(bars, scene, result, name)
            scan, unchanged = seconds_of(result, SCAN, "unchanged"), seconds_of(result, name, "unchanged")
            bars.at_most(f"{scene}, {name}: unchanged, scan time + 4 RTT", unchanged,
                         None if scan is None else scan + 4 * result["line"]["round_trip_ms"] / 1000)
            for step, title in STEPS[:4]:
                bars.at_most(f"{scene}, {name}: {title}, beside the better peer", seconds_of(result, name, step),
                             best_peer_seconds(result, step))
            peer, mine = best_peer_seconds(result, "day"), seconds_of(result, name, "day")
            if scene == "10mbit/80ms":
                bars.at_least(f"{scene}, {name}: day of changes, times faster than the better peer",
                              peer / mine if peer and mine else None, 5, lambda value: f"{value:.1f}")
    return bars.rows


def print_bars(results):
    """True: none was missed."""
    rows = bars_of(results)
    print("\n## Bars\n")
    words = {True: "pass", False: "MISSED", None: "not measured"}
    print_table(["bar", "measured", "wanted", ""], [[what, measured, wanted, words[passed]]
                                                    for what, measured, wanted, passed in rows])
    return all(passed is not False for _, _, _, passed in rows)
