"""Hosts of our own with emulated lines between them: network namespaces in a star, and emulate-link on each spoke.

    with Network("target", ("controller",), Line(rate="100mbit", round_trip_ms=100)) as network:
        network["target"].start(["iperf3", "-s", "-1"])
        network["controller"].run(["iperf3", "-c", network["target"].address])
        print(network.link("controller").counters())

Hosts share files and everything else but the network. Nothing has a name outside of this process, and nothing stays:
when it ends, however it does, each namespace's keeper kills what still runs in it, and the namespace goes with it.
Needs root and /dev/net/tun; `why_not()` says what is missing.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("VMFERRY_BINARY_DIR", os.path.join(ROOT, "build/release"))
UNITS = {"gbit": 1e9, "mbit": 1e6, "kbit": 1e3, "bit": 1}

# Lives in a host's namespace until its standard input ends; then it ends all that is left there.
KEEPER = """
echo ready; read -r _
own=$(readlink /proc/$$/ns/net)
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/ns/net")" != "$own" ] || [ "${process#/proc/}" = $$ ] || kill -9 "${process#/proc/}"
done
"""


class NetworkError(Exception):
    pass


def bits_per_s(rate):
    """ "100mbit" or a number; 0: no limit."""
    for unit, factor in UNITS.items():
        if str(rate).endswith(unit):
            return float(str(rate)[: -len(unit)]) * factor
    return float(rate)


@dataclass
class Line:
    """The same both ways. `queue_bytes` None: what the line carries in a round trip, at least 256 KiB."""

    rate: object = 0
    round_trip_ms: float = 0
    jitter_ms: float = 0
    loss: float = 0
    queue_bytes: int | None = None

    def command(self):
        return {"rate_bits_per_s": bits_per_s(self.rate), "delay_us": round(self.round_trip_ms * 500),
                "jitter_us": round(self.jitter_ms * 1000), "loss": self.loss, "queue_bytes": self.queue_bytes}


class Keeper:
    """A child that ends when its standard input does: when it is closed, or when this process has ended."""

    def __init__(self, words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                        start_new_session=True)  # so that Ctrl-C is ours to handle
        self.first_line = self.process.stdout.readline()
        if not self.first_line:
            self.process.wait()
            raise NetworkError(f"{words[0]} ended at once (what it said is above)")

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Host:
    def __init__(self, name, address):
        self.name, self.address = name, address
        self.keeper = Keeper(["unshare", "--net", "sh", "-c", KEEPER])
        self.namespace_file = f"/proc/{self.keeper.process.pid}/ns/net"
        self.run(["ip", "link", "set", "lo", "up"])

    def words(self, command):
        """The command as it runs in this host: the process becomes the command's own, with its id."""
        return ["nsenter", f"--net={self.namespace_file}", "--", *map(str, command)]

    def run(self, command, check=True, **options):
        """As subprocess.run, with what it wrote as text."""
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **options}
        if "input" in options:
            del options["stdin"]
        result = subprocess.run(self.words(command), **options)
        if check and result.returncode != 0:
            raise NetworkError(f"{command} ended with {result.returncode} on {self.name}: "
                               f"{result.stdout}{result.stderr}"[-2000:])
        return result

    def start(self, command, **options):
        """As subprocess.Popen. What is not ended before the network is will be killed then."""
        return subprocess.Popen(self.words(command), **options)

    def sysctl(self, name, value=None):
        """net.* only: the other settings are the machine's."""
        path = "/proc/sys/" + name.replace(".", "/")
        if value is not None:
            self.run(["sh", "-c", 'printf %s "$2" > "$1"', "sh", path, str(value)])
        return " ".join(self.run(["cat", path]).stdout.split())

    def close(self):
        self.keeper.close()


class Link:
    """A running emulate-link. `up` is from the spoke to the hub, `down` back."""

    def __init__(self, spoke, hub, device, line, program, seed):
        self.line = line
        self.keeper = Keeper([program, "--a-namespace", spoke.namespace_file, "--a-device", device,
                              "--b-namespace", hub.namespace_file, "--b-device", device, "--seed", str(seed)])
        try:
            for host, peer in ((spoke, hub), (hub, spoke)):
                # No link-local IPv6: nothing is on the line but what the hosts send.
                host.run(["ip", "link", "set", device, "addrgenmode", "none", "txqueuelen", "10000"])
                host.run(["ip", "address", "add", host.address, "peer", peer.address, "dev", device])
                host.run(["ip", "link", "set", device, "up"])
            self.say(**line.command())
        except BaseException:
            self.keeper.close()
            raise

    def say(self, **command):
        """What it understands is in control.h; the answer is always the counters since the start."""
        self.keeper.process.stdin.write(json.dumps(command) + "\n")
        answer = json.loads(self.keeper.process.stdout.readline() or '{"error": "emulate-link has ended"}')
        if "error" in answer:
            raise NetworkError(answer["error"])
        return {"up": answer.pop("a_to_b"), "down": answer.pop("b_to_a"), **answer}

    def set(self, **changes):
        """As `set(loss=0.01)`: the names are Line's."""
        self.line = replace(self.line, **changes)
        return self.say(**self.line.command())

    def stall(self, seconds):
        return self.say(stall_us=round(seconds * 1e6))

    def counters(self):
        return self.say()

    def close(self):
        self.keeper.close()


class Network:
    """`hub` is linked to each of `spokes`; two spokes do not see each other."""

    def __init__(self, hub="target", spokes=("controller",), line=Line(), build=BUILD, seed=1):
        self.hub, self.spokes, self.line, self.seed = hub, spokes, line, seed
        self.program = os.path.join(build, "bench/emulate-link")
        self.hosts, self.links = {}, {}

    def __enter__(self):
        try:
            for number, name in enumerate((self.hub, *self.spokes), 1):
                self.hosts[name] = Host(name, f"10.77.0.{number}")
            for number, name in enumerate(self.spokes):
                self.links[name] = Link(self.hosts[name], self.hosts[self.hub], f"line{number}", self.line,
                                        self.program, self.seed + 2 * number)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for part in (*self.links.values(), *self.hosts.values()):
            part.close()
        self.hosts, self.links = {}, {}

    def __getitem__(self, name):
        return self.hosts[name]

    def link(self, spoke=None):
        return self.links[spoke or self.spokes[0]]


def why_not(build=BUILD):
    """Why there can be no such network here, in a few words; None: there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    missing = [program for program in ("unshare", "nsenter", "ip") if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not os.path.exists(os.path.join(build, "bench/emulate-link")):
        return f"there is no {build}/bench/emulate-link"
    try:
        with Network(build=build):
            return None
    except (NetworkError, OSError) as error:
        return f"no network namespaces with tun devices here: {error}"
