"""The link emulator, judged by ping, iperf3 and a plain TCP connection: what it says of a line is what they see."""
import json
import os
import select
import signal
import subprocess
import sys
import unittest

from vmferry_case import BUILD, ROOT

sys.path.insert(0, str(ROOT / "bench"))
from link import network  # noqa: E402
from link.network import Line, Network  # noqa: E402

MISSING = network.why_not(str(BUILD))

# Sends what it makes of a seed, or checks that it has received just that, and says how much it was.
SEND = """
import random, socket, sys
content = random.Random(7).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 7000)) as connection: connection.sendall(content)
"""
RECEIVE = """
import random, socket, sys
with socket.create_server((sys.argv[1], 7000)) as listener:
    print("listening", flush=True)
    connection, _ = listener.accept()
    received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
print(len(received) if received == random.Random(7).randbytes(int(sys.argv[2])) else "wrong")
"""
OWNER = """
import sys
sys.path.insert(0, sys.argv[1])
from link.network import Network
with Network(build=sys.argv[2]) as made:
    inside = made["target"].start(["sleep", "600"])
    keepers = [part.keeper.process.pid for part in (*made.hosts.values(), *made.links.values())]
    print(*keepers, inside.pid, flush=True)
    sys.stdin.read()
"""


@unittest.skipIf(MISSING, f"no emulated links: {MISSING}")
class LinkEmulator(unittest.TestCase):
    def network(self, line, **options):
        made = Network(line=line, build=str(BUILD), **options)
        self.addCleanup(made.close)
        return made.__enter__()

    def start_listening(self, host, command):
        process = host.start(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        while line := process.stdout.readline():
            if "listening" in line:
                return process
        return self.fail(f"{command} ended")

    def iperf(self, made, *options):
        """What the receiving side measured. The server is there for one run."""
        self.start_listening(made["target"], ["iperf3", "--server", "--one-off", "--forceflush"])
        answer = json.loads(made["controller"].run(["iperf3", "--client", made["target"].address, "--json", *options],
                                                   check=False).stdout)
        self.assertNotIn("error", answer)
        return answer["end"].get("sum_received") or answer["end"]["sum"]

    def round_trips_ms(self, made, count, spoke="controller"):
        text = made[spoke].run(["ping", "-c", count, "-i", "0.02", "-W", "10", made["target"].address]).stdout
        return [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]

    def test_ping_takes_the_round_trip_that_was_asked_for(self):
        made = self.network(Line(round_trip_ms=60))
        times = self.round_trips_ms(made, 10)
        self.assertEqual(len(times), 10)
        self.assertGreaterEqual(min(times), 60)
        self.assertLess(min(times), 75)
        made.link().set(round_trip_ms=10)
        self.assertLess(min(self.round_trips_ms(made, 10)), 25)

    def test_iperf3_gets_the_rate_that_was_asked_for_at_100_ms(self):
        made = self.network(Line(rate="20mbit", round_trip_ms=100))
        before = made.link().counters()
        seen = self.iperf(made, "--time", "3", "--omit", "1")
        after = made.link().counters()
        self.assertGreater(seen["bits_per_second"], 0.7 * 20e6)
        self.assertLess(seen["bits_per_second"], 1.1 * 20e6)
        bits = 8 * after["up"]["bytes"]
        self.assertLessEqual(bits, 1.001 * 20 * (after["time_us"] - before["time_us"]), "more than the line carries")
        self.assertAlmostEqual(bits / after["up"]["busy_us"], 20, delta=0.1)
        self.assertGreaterEqual(after["up"]["payload_bytes"], seen["bytes"])
        self.assertAlmostEqual(after["up"]["payload_bytes"] / after["up"]["bytes"], 1448 / 1500, delta=0.01)
        self.assertEqual(after["refused"], 0)

    def test_both_directions_are_lines_of_their_own(self):
        made = self.network(Line(rate="20mbit", round_trip_ms=20))
        seen = self.iperf(made, "--time", "2", "--reverse")
        counters = made.link().counters()
        self.assertGreater(counters["down"]["bytes"], seen["bytes"])
        self.assertLess(counters["up"]["bytes"], seen["bytes"] / 5)

    def test_every_lost_packet_is_missed_by_iperf3(self):
        made = self.network(Line(loss=0.05), seed=3)
        seen = self.iperf(made, "--udp", "--length", "1000", "--bitrate", "16M", "--time", "2")
        lost = made.link().counters()["up"]["lost"]
        self.assertAlmostEqual(seen["lost_packets"], lost, delta=5)  # of its control connection, or after the last
        self.assertAlmostEqual(lost / seen["packets"], 0.05, delta=0.02)

    def test_a_full_queue_drops_its_tail_and_never_holds_more_than_it_may(self):
        made = self.network(Line(rate="4mbit", queue_bytes=30000))
        seen = self.iperf(made, "--udp", "--length", "1000", "--bitrate", "16M", "--time", "1")
        counters = made.link().counters()["up"]
        self.assertGreater(counters["dropped"], 0)
        self.assertEqual(counters["lost"], 0)
        self.assertLessEqual(counters["queue_bytes_peak"], 30000)
        self.assertGreater(counters["queue_bytes_peak"], 25000)
        self.assertGreater(seen["lost_percent"], 50)

    def test_tcp_content_is_the_same_after_loss_jitter_and_drops(self):
        made = self.network(Line(rate="200mbit", round_trip_ms=4, jitter_ms=1, loss=0.02, queue_bytes=100000))
        target, count = made["target"], 8 << 20
        receiver = self.start_listening(target, [sys.executable, "-c", RECEIVE, target.address, count])
        made["controller"].run([sys.executable, "-c", SEND, target.address, count])
        self.assertEqual(receiver.stdout.read().strip(), str(count))
        counters = made.link().counters()
        self.assertGreater(counters["up"]["lost"], 10)
        self.assertGreater(counters["up"]["bytes"], count + count // 1460 * 40, "each segment has headers of its own")

    def test_what_is_sent_during_a_stall_arrives_after_it(self):
        made = self.network(Line())
        made.link().stall(3)
        self.assertGreater(min(self.round_trips_ms(made, 1)), 300)
        self.assertLess(min(self.round_trips_ms(made, 10)), 300)

    def test_two_spokes_have_lines_of_their_own_to_the_hub(self):
        made = self.network(Line(round_trip_ms=5), spokes=("controller", "third"))
        self.round_trips_ms(made, 3, spoke="third")
        self.assertEqual(made.link("third").counters()["up"]["packets"], 3)
        self.assertEqual(made.link("controller").counters()["up"]["packets"], 0)

    def test_a_command_that_is_not_understood_changes_nothing(self):
        made = self.network(Line())
        with self.assertRaisesRegex(network.NetworkError, "delay_ms"):
            made.link().say(delay_ms=4)
        with self.assertRaisesRegex(network.NetworkError, "sideways"):
            made.link().say(direction="sideways")
        self.assertLess(min(self.round_trips_ms(made, 3)), 300)

    def test_nothing_stays_when_its_owner_is_killed(self):
        owner = subprocess.Popen([sys.executable, "-c", OWNER, str(ROOT / "bench"), str(BUILD)], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        left = {int(pid) for pid in owner.stdout.readline().split()}
        self.assertEqual(len(left), 4)
        watched = [os.pidfd_open(pid) for pid in left]
        owner.send_signal(signal.SIGKILL)
        owner.communicate()
        for pid in watched:
            poll = select.poll()
            poll.register(pid, select.POLLIN)
            self.assertTrue(poll.poll(20000), "a process is still there")
            os.close(pid)


if __name__ == "__main__":
    unittest.main()
