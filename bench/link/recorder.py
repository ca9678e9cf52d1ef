"""What passes a link while something runs, and what iperf3 and ping say that it can pass."""

import json
import subprocess
import threading

SAMPLE_INTERVAL_S = 0.05
EDGE_BYTES = 64 << 10  # a transfer begins when so much has passed, and ends when no more than this is still to come
SEGMENT_SHARE = 1448 / 1500  # of a full TCP/IPv4 packet with timestamps


class Recorder:
    """Use as a context manager around what is to be measured."""

    def __init__(self, link):
        self.link, self.samples = link, []
        self.ended = threading.Event()

    def __enter__(self):
        self.sample()
        self.thread = threading.Thread(target=self.go_on, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.sample()

    def sample(self):
        self.samples.append(self.link.counters())

    def go_on(self):
        while not self.ended.wait(SAMPLE_INTERVAL_S):
            self.sample()

    def passed(self, direction, field="bytes"):
        return self.samples[-1][direction][field] - self.samples[0][direction][field]

    def transfer(self, direction):
        """(payload bytes, seconds) between the edges; None: too little passed to say anything of a rate."""
        begin = self.samples[0][direction]["payload_bytes"]
        end = self.samples[-1][direction]["payload_bytes"]
        inner = [(sample["time_us"], sample[direction]["payload_bytes"]) for sample in self.samples]
        before = [sample for sample in inner if sample[1] <= begin + EDGE_BYTES]
        after = [sample for sample in inner if sample[1] >= end - EDGE_BYTES]
        if end - begin < 16 * EDGE_BYTES or after[0][0] <= before[-1][0]:
            return None
        return after[0][1] - before[-1][1], (after[0][0] - before[-1][0]) / 1e6

    def result(self):
        return {"elapsed_s": (self.samples[-1]["time_us"] - self.samples[0]["time_us"]) / 1e6,
                "emulator_cpu_s": (self.samples[-1]["own_cpu_us"] - self.samples[0]["own_cpu_us"]) / 1e6,
                "refused": self.samples[-1]["refused"] - self.samples[0]["refused"],
                **{direction: {**{field: self.passed(direction, field) for field in
                                  ("bytes", "payload_bytes", "packets", "lost", "dropped")},
                               "transfer": self.transfer(direction)} for direction in ("up", "down")}}


def iperf3(network, spoke, seconds, streams, reverse=False):
    """The payload rate in bit/s, without the first two seconds, as the receiving side counts it."""
    hub = network[network.hub]
    server = hub.start(["iperf3", "--server", "--one-off", "--forceflush"], stdout=subprocess.PIPE, text=True)
    try:
        while "listening" not in (line := server.stdout.readline()):
            if not line:
                raise OSError("iperf3 ended")
        answer = json.loads(network[spoke].run(
            ["iperf3", "--client", hub.address, "--json", "--time", seconds, "--omit", "2", "--parallel", streams,
             *(["--reverse"] if reverse else [])], check=False).stdout)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    if "error" in answer:
        raise OSError(f"iperf3: {answer['error']}")
    return answer["end"]["sum_received"]["bits_per_second"]


def line_facts(network, spoke, rate_bits_per_s, seconds=6):
    """iperf3's figures (four streams, so that no window is the limit), but never more than full packets can carry: its
    receiver also counts what a queue held before."""
    most = rate_bits_per_s * SEGMENT_SHARE if rate_bits_per_s else float("inf")
    found = {}
    for direction, reverse in (("up", False), ("down", True)):
        for name, streams in (("payload_bits_per_s", 4), ("one_stream_bits_per_s", 1)):
            found.setdefault(direction, {})[name] = min(most, iperf3(network, spoke, seconds, streams, reverse))
    text = network[spoke].run(["ping", "-c", "10", "-i", "0.05", network[network.hub].address]).stdout
    found["round_trip_ms"] = float(text.rpartition(" = ")[2].split("/")[0])
    return found
