"""A served target, a good client of it and whatever a bad one needs."""
import contextlib
import re
import signal
import struct
import uuid

import hostile_peer as peer
from hostile_peer import Link, Session
from network_case import NetworkCase
from vmferry_case import MiB


class Hostile(NetworkCase):
    SAMPLE_MIB = 64
    SERVE_WITH = ()

    def setUp(self):
        super().setUp()
        self.init_store()
        self.serve(*self.SERVE_WITH)
        self.controller = self.host("controller")
        self.url = self.enroll(self.controller, "web")
        self.disk = self.sample()
        self.backups = 0
        self.good_backup()
        self.open = self.enterContext(contextlib.ExitStack())  # lines that are closed in the end

    def tearDown(self):
        """Whatever was done to the server, it serves a good client."""
        self.assertIsNone(self.server.poll(), self.server_log()[-2000:])
        self.open.close()
        self.good_backup()
        self.answer(self.controller, "verify", f"good{self.backups}", "--pull", "--target", self.url)

    def good_backup(self):
        self.backups += 1
        answer = self.answer(self.controller, "backup", self.disk, "--name", f"good{self.backups}", "--target", self.url)
        self.assertEqual(answer["point"], 1)

    def stop(self, server, with_signal=signal.SIGKILL):
        """Sessions that were left lying would be waited for."""
        super().stop(server, with_signal)

    # --- peers
    def identity(self, host=None):
        return next(((host or self.controller).home / "targets").iterdir())

    def client_uuid(self, name="web"):
        record = (self.store / "clients" / f"{name}.toml").read_text()
        return uuid.UUID(re.search(r'client_uuid = "(.*)"', record)[1]).bytes

    def stranger(self):
        key, certificate, both = (self.directory / f"stranger-{word}.pem" for word in ("key", "certificate", "both"))
        self.run_checked("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                         "-out", certificate, "-subj", "/CN=x", "-days", "1")
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        return both

    def kept(self, line):
        self.open.callback(line.close)
        return line

    def tcp(self):
        return self.kept(peer.tcp(self.port))

    def tls(self, identity=None):
        return self.kept(peer.tls(self.port, identity or self.identity()))

    def link(self, **options):
        return Link(self.tls(), **options)

    def session(self, pipe=None, **options):
        return Session(pipe or self.link(), self.client_uuid(), **options)

    def direct(self):
        return self.kept(peer.Direct(self.store / "serve.sock"))

    def memory_kib(self, name="VmHWM"):
        status = open(f"/proc/{self.server.pid}/status").read()
        return int(re.search(rf"{name}:\s+(\d+) kB", status)[1])

    def assert_bounded(self, before_kib, mib):
        """What an attack cost the server's memory at its peak."""
        grown = (self.memory_kib() - before_kib) / 1024
        print(f"{self.id().rsplit('.', 1)[1]}: VmHWM {before_kib / 1024:.0f} MiB before, {grown:.0f} MiB more after", flush=True)
        self.assertLess(grown, mib)

    def largest_plain_frame(self):
        """Of those that did not compress, as the store has it, which is as it was sent."""
        largest = b""
        for pack in self.store.rglob("*"):
            content = pack.read_bytes() if pack.is_file() else b""
            at = content.find(b"VFF1")
            while at >= 0:
                codec, _, chunks, _, stored = struct.unpack("<BBHII", content[at + 4:at + 16])
                frame = content[at:at + 16 + 36 * chunks + stored + 8]
                if codec == 0 and len(frame) > len(largest):
                    largest = frame
                at = content.find(b"VFF1", at + 16)
        self.assertGreater(len(largest), 10_000)
        return largest


def refusal(line):
    kind, _, _, length, _ = struct.unpack("<BBHIQ", peer.receive_exactly(line, 16))
    payload = peer.receive_exactly(line, length)
    if kind != peer.REFUSE:
        raise AssertionError(f"record {kind} instead of a refusal")
    return peer.read_reason(payload[4:])


def frame_ids(frame):
    count = struct.unpack("<H", frame[6:8])[0]
    return [frame[16 + 36 * i:48 + 36 * i] for i in range(count)]
