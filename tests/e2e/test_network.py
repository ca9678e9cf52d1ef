"""A target beyond a line, over TLS: enrolment, roles, revocation, lines that break, a target that restarts."""
import json
import random
import signal
import stat
import subprocess
import time
import unittest

from network_case import NetworkCase, Proxy
from vmferry_case import MiB, run, sha256

REPORT = "/Users/ann/Documents/report.txt"


class Network(NetworkCase):
    SAMPLE_MIB = 128

    def test_the_main_job_between_three_hosts(self):
        self.init_store()
        self.serve()
        controller, desk = self.host("controller"), self.host("desk")
        url = self.enroll(controller, "web", "sender")
        disk = self.sample()
        first = self.answer(controller, "backup", disk, "--name", "sample", "--target", url)
        self.assertEqual(first["point"], 1)
        self.change(disk)
        second = self.answer(controller, "backup", disk, "--name", "sample")  # the one enrolled target is meant
        self.assertEqual(second["point"], 2)
        self.assertLess(second["sent_bytes"], first["sent_bytes"] / 2)

        self.enroll(desk, "desk", "reader")
        restored = self.directory / "restored.raw"
        self.answer(desk, "restore", "sample", "--output", restored, "--format", "raw")
        self.assert_equal_but_for_left_out(disk, restored)
        self.assertEqual(self.ok(desk.run("cat", f"sample@1:{REPORT}")).stdout, b"The first version of the report.\n")
        self.assertIn(b"report.txt", self.ok(desk.run("ls", "sample:/Users/ann/Documents")).stdout)
        self.answer(desk, "verify", "sample")
        self.answer(desk, "verify", "sample@1", "--pull")
        refused = self.answer(desk, "backup", disk, "--name", "sample", expect=1)
        self.assertEqual(refused["error"]["code"], "permission")

    def test_an_enrolment_line_is_good_once_and_the_key_is_private(self):
        self.init_store()
        self.serve()
        one, two = self.host("one"), self.host("two")
        line = self.enrolment_line("web")
        self.assertEqual(len(line.split()), 1)
        self.ok(one.run("enroll", "-", input=line))
        kept = list((one.home / "targets").iterdir())
        self.assertEqual(len(kept), 1)
        self.assertEqual(stat.S_IMODE(kept[0].stat().st_mode), 0o600)
        again = two.run("enroll", "-", "--json", input=line)
        self.assertEqual(json.loads(again.stdout)["error"]["code"], "permission")
        self.assertEqual(self.answer(two, "points", "--target", f"tls://127.0.0.1:{self.port}", expect=1)["error"]["code"],
                         "not_found")
        on_the_command_line = one.run("enroll", line.decode().strip())
        self.assertEqual(on_the_command_line.returncode, 64)
        self.assertEqual(two.run("enroll", "-", input=line[:-9]).returncode, 64)

    def test_a_sender_sees_nothing_of_another_one(self):
        self.init_store()
        self.serve()
        web, db = self.host("web"), self.host("db")
        self.enroll(web, "web", "sender")
        self.enroll(db, "db", "sender", None, "--machines", "db*")
        disk = self.sample()
        self.answer(web, "backup", disk, "--name", "web1")
        self.assertEqual(self.answer(db, "points")["points"], [])
        unknown = self.answer(db, "restore", "web1", "--output", self.directory / "x", expect=1)["error"]
        self.assertEqual((unknown["code"], unknown["object"]), ("not_found", "web1"))
        self.assertEqual(self.answer(db, "backup", disk, "--name", "web1", expect=1)["error"]["code"], "permission")
        self.answer(db, "backup", disk, "--name", "db1")
        self.assertEqual([p["name"] for p in self.answer(db, "points")["points"]], ["db1"])

    def test_revoking_ends_what_is_open_and_locks_out(self):
        self.init_store()
        self.serve()
        web = self.host("web")
        url = self.enroll(web, "web")
        disk = self.sample()
        proxy = Proxy(self.port)
        self.addCleanup(proxy.close)
        slow = self.enrol_through(web, proxy)
        passed = Passed(proxy)
        backup = web.start("backup", disk, "--name", "sample", "--target", slow, "--json", "--retry-for", "60s")
        passed.wait_for(1 << 20)
        self.target_program("client", "revoke", "web2", "--store", self.store)
        out, err = backup.communicate(timeout=90)
        answer = json.loads(out)
        self.assertEqual(answer["error"]["code"], "permission", err.decode())
        self.assertIn("revoked", answer["error"]["message"])
        self.assertEqual(self.answer(web, "points", "--target", slow, expect=1)["error"]["code"], "permission")
        self.assertEqual(self.answer(web, "points", "--target", url)["points"], [])
        listing = json.loads(self.target_program("client", "list", "--store", self.store, "--json").stdout)
        self.assertIn("revoked_ms", next(c for c in listing["clients"] if c["name"] == "web2"))

    def enrol_through(self, host, proxy, name="web2"):
        result = host.run("enroll", "-", input=self.enrolment_line(name, "sender,reader", proxy.port))
        self.ok(result)
        return f"tls://127.0.0.1:{proxy.port}"

    def test_lines_that_break_at_any_byte_cost_only_what_was_in_flight(self):
        self.break_lines("cut", rounds=7, lines=4, seed=20261125)

    def test_a_byte_that_was_flipped_anywhere_is_noticed_and_costs_a_line(self):
        self.break_lines("flip", rounds=4, lines=4, seed=7)

    def break_lines(self, what, rounds, lines, seed):
        """Backups and restores whose next lines break, each at a byte of the seed's choice; the results are equal."""
        self.init_store()
        self.serve()
        host = self.host("web")
        proxy = Proxy(self.port)
        self.addCleanup(proxy.close)
        url = self.enrol_through(host, proxy)
        seeds = random.Random(seed)
        size = 6 * MiB  # random, so all of it travels; and it travels over the first line until 4 MiB have passed
        happened = 0
        for number in range(rounds):
            disk, restored = self.directory / f"disk{number}.raw", self.directory / f"restored{number}.raw"
            disk.write_bytes(seeds.randbytes(size))
            for words, direction in ((("backup", disk, "--name", f"disk{number}"), "up"),
                                     (("restore", f"disk{number}", "--output", restored, "--format", "raw"), "down")):
                plan = [(what, seeds.randrange(1, size // lines)) for _ in range(lines)]
                other = [(what, seeds.randrange(1, 20_000))] if number % 2 else []  # acks and answers are torn, too
                proxy.up, proxy.down = (plan, other) if direction == "up" else (other, plan)
                before, proxy.done = proxy.accepted, 0
                answer = self.answer(host, *words, "--target", url)
                self.assertGreaterEqual(proxy.done, lines - 1, f"round {number}, {direction}")
                self.assertGreater(proxy.accepted - before, proxy.done - 1, "each one cost a line")
                happened += proxy.done
                if direction == "up":
                    self.assertEqual(answer["point"], 1)
            proxy.up, proxy.down = [], []
            self.assertEqual(sha256(restored), sha256(disk))
            self.answer(host, "verify", f"disk{number}", "--pull", "--target", url)
            restored.unlink()
        self.assertGreaterEqual(happened, rounds * 2 * (lines - 1))

    def test_a_target_that_restarts_in_the_middle_gets_nothing_twice(self):
        self.init_store()
        self.serve()
        port = self.port
        host = self.host("web")
        proxy = Proxy(port)
        self.addCleanup(proxy.close)
        url = self.enrol_through(host, proxy)
        disk = self.sample()
        hold = Passed(proxy)
        backup = host.start("backup", disk, "--name", "sample", "--target", url, "--json", "--bwlimit", "40mbit")
        hold.wait_for(5 << 20)
        self.stop(self.server, signal.SIGKILL)
        self.serve(listen=f"tls://127.0.0.1:{port}")
        out, err = backup.communicate(timeout=300)
        self.assertEqual(backup.returncode, 0, err.decode())
        self.assertEqual(json.loads(out)["point"], 1)
        self.answer(host, "verify", "sample", "--target", url)

    def test_a_target_that_is_not_there_is_told_in_a_sentence(self):
        self.init_store()
        server = self.serve()
        host = self.host("web")
        url = self.enroll(host, "web")
        self.stop(server)
        gone = self.answer(host, "points", "--target", url, expect=3)
        self.assertEqual(gone["error"]["code"], "unreachable")
        self.assertIn(str(self.port), gone["error"]["message"])

    def test_a_server_with_another_key_is_not_believed(self):
        self.init_store()
        server = self.serve()
        port = self.port
        host = self.host("web")
        url = self.enroll(host, "web")
        self.stop(server)
        (self.store / "server.key").unlink()
        (self.store / "server.crt").unlink()
        self.serve(listen=f"tls://127.0.0.1:{port}")
        refused = self.answer(host, "points", "--target", url, expect=1)
        self.assertEqual(refused["error"]["code"], "refused")
        self.assertIn("SHA256:", refused["error"]["message"])

    def test_a_renewed_certificate_changes_nothing_for_clients(self):
        self.init_store()
        server = self.serve()
        port = self.port
        host = self.host("web")
        url = self.enroll(host, "web")
        self.stop(server)
        before = (self.store / "server.crt").read_bytes()
        self.target_program("certificate", "renew", "--store", self.store)
        self.assertNotEqual((self.store / "server.crt").read_bytes(), before)
        self.serve(listen=f"tls://127.0.0.1:{port}")
        self.answer(host, "points", "--target", url)

    def test_tls_1_2_and_strangers_are_refused(self):
        self.init_store()
        self.serve()
        old = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_2", input=b"")
        self.assertNotEqual(old.returncode, 0)
        self.assertIn(b"alert protocol version", old.stdout + old.stderr)
        nobody = run("openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_3", "-ign_eof", input=b"hello\n", timeout=60)
        self.assertIn(b"alert certificate required", nobody.stdout + nobody.stderr)


class Passed:
    """Waits until so many bytes have passed through a proxy."""

    def __init__(self, proxy):
        self.proxy, self.start = proxy, proxy.passed

    def wait_for(self, count, seconds=120):
        until = time.monotonic() + seconds
        while self.proxy.passed - self.start < count:
            if time.monotonic() > until:
                raise AssertionError("the bytes did not come")
            time.sleep(0.01)  # polling, since the proxy is another thread's


if __name__ == "__main__":
    unittest.main()
