"""Bad peers against a real server: slow ones, greedy ones, liars and replays. After each the server serves a good client as before, and its
memory stays bounded."""
import contextlib
import os
import re
import signal
import ssl
import struct
import subprocess
import threading
import unittest
import uuid

import hostile_peer as peer
from hostile_peer import Gone, Link, Refused, Session, packet
from network_case import NetworkCase
from vmferry_case import BUILD, MiB, run


class Hostile(NetworkCase):
    SAMPLE_MIB = 64

    def setUp(self):
        super().setUp()
        self.init_store()
        self.serve()
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

    def largest_frame(self):
        """As the store has it, which is as it was sent."""
        largest = b""
        for pack in self.store.rglob("*"):
            content = pack.read_bytes() if pack.is_file() else b""
            at = content.find(b"VFF1")
            while at >= 0:
                chunks, _, stored = struct.unpack("<HII", content[at + 6:at + 16])
                frame = content[at:at + 16 + 36 * chunks + stored + 8]
                if len(frame) > len(largest):
                    largest = frame
                at = content.find(b"VFF1", at + 16)
        return largest


class SlowPeers(Hostile):
    def test_slow_peers_delay_nobody_and_are_dropped(self):
        hello = peer.link_hello(os.urandom(16), os.urandom(32), 1)
        client_hello = first_flight(self.identity())
        stranger = self.stranger()
        before = self.memory_kib()
        slow = [(self.tcp(), client_hello) for _ in range(300)]                      # in the handshake
        slow += [(self.tls(stranger), packet(1, bytes(100))) for _ in range(40)]     # strangers, before they enrol
        slow += [(self.tls(), hello) for _ in range(40)]                             # a client, in its link's hello
        for _ in range(20):                                                          # a client, in its session's hello
            link = self.link()
            slow.append((link.line, peer.record(peer.DATA, 0, peer.session_hello(self.client_uuid()))))
        with Dripping(slow):
            self.answer(self.controller, "points", "--target", self.url)
            # It was not served because they were gone.
            self.assertGreater(sum(not peer.is_gone(line, 0.001) for line, _ in slow[-60:]), 30)
            self.good_backup()
            for line, _ in slow:
                self.assertTrue(peer.is_gone(line), "dropped after its time")
        self.assert_bounded(before, 64)

    def test_a_client_that_stops_within_its_packets_holds_up_only_itself(self):
        before = self.memory_kib()
        sessions = [self.session() for _ in range(40)]
        for session in sessions:
            half = packet(peer.FRAME, bytes(2 * MiB))[:200_000]
            session.pipe.send(half)
        slow = [(session.pipe.line, peer.record(peer.DATA, session.pipe.sent, bytes(60_000))) for session in sessions]
        with Dripping(slow):
            self.good_backup()
        self.assert_bounded(before, 200)

    def test_more_silent_lines_than_there_is_room_for_keep_no_other_client_out(self):
        other = self.host("other")
        url = self.enroll(other, "other")
        for _ in range(300):
            self.tls()
        stranger = self.stranger()
        for _ in range(300):
            self.tls(stranger)
        self.answer(other, "points", "--target", url)
        self.enroll(self.host("third"), "third")
        direct = self.session(pipe=self.direct())
        direct.list_points()


class GreedyPeers(Hostile):
    def flood(self, sessions, content, count):
        """Sends content so often over each, at once; None: until it is held back."""
        failures = []

        def work(session):
            try:
                for _ in range(count):
                    session.pipe.send(content)
            except Exception as error:  # noqa: BLE001: told below
                failures.append(error)
        threads = [threading.Thread(target=work, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_frames_of_the_greatest_size_for_ever(self):
        frame = packet(peer.FRAME, greatest_frame(self.largest_frame()))
        self.assertGreater(len(frame), 1.5 * MiB)
        for name, pipe in (("link", self.link), ("direct", self.direct), ("stdio", self.stdio)):
            before = self.memory_kib()
            sessions = [self.session(pipe=pipe()) for _ in range(4)]
            for session in sessions:
                session.open_backup(f"{name}-{uuid.uuid4()}")
            self.flood(sessions, frame, 48 * MiB // len(frame))
            for session in sessions:  # it has taken them all
                session.pipe.send(peer.control(peer.CLOSE_BACKUP, request=2))
                session.answer(peer.BACKUP_CLOSED)
            self.assert_bounded(before, 160)

    def stdio(self):
        """A link through the relay that sshd runs."""
        ours, its = peer.socket.socketpair()
        ours.settimeout(peer.TIMEOUT_S)
        relay = subprocess.Popen([BUILD / "vmferry-target", "session", "--stdio", "--store", self.store, "--client", "web"], stdin=its, stdout=its)
        self.addCleanup(relay.wait)
        self.addCleanup(relay.kill)
        its.close()
        return Link(self.kept(ours))

    def test_the_largest_messages_for_ever_without_reading_an_answer(self):
        # A question of 4 MiB, of which all is a member that nobody knows.
        large = peer.control(peer.LIST_POINTS, peer.member(99, bytes(4 * MiB - 64)), request=9)
        before = self.memory_kib()
        sessions = [self.session() for _ in range(4)]
        for session in sessions:
            session.pipe.acknowledges = False
        self.flood(sessions, large, 12)
        self.assert_bounded(before, 160)

    def test_offers_of_a_billion_ids(self):
        for count, length in ((4097, None), (1, (10**9 * 32) % 2**32), (1, 2**32 - 1)):
            session = self.session()
            session.open_backup(f"offers-{uuid.uuid4()}")
            payload = struct.pack("<Q", 1) + bytes(32 * count)
            session.pipe.send(packet(peer.OFFER, payload, length=length))
            self.assertEqual(session.why_it_ended().code, "malformed")
        torn = self.session()
        torn.open_backup("torn")
        torn.pipe.send(packet(peer.OFFER, bytes(8 + 31)))
        self.assertEqual(torn.why_it_ended().code, "malformed")

    def test_offers_whose_answers_nobody_reads_are_held_back(self):
        before = self.memory_kib()
        offers = packet(peer.OFFER, struct.pack("<Q", 1) + os.urandom(32)) * 1000
        for make in (self.link, self.direct):
            session = self.session(pipe=make())
            session.open_backup(f"offers-{uuid.uuid4()}")
            session.pipe.acknowledges = False
            session.pipe.line.settimeout(2)
            with self.assertRaises(TimeoutError):  # the answers wait, and so does the server
                for _ in range(1000):
                    session.pipe.send(offers)
        fetches = self.session()
        fetches.pipe.acknowledges = False
        fetches.pipe.line.settimeout(2)
        ids = b"".join(frame_ids(self.largest_frame()))
        with self.assertRaises(TimeoutError):
            for request in range(1, 10**6):
                fetches.pipe.send(packet(peer.FETCH, struct.pack("<Q", request) + ids))
        self.assert_bounded(before, 100)

    def test_lengths_above_the_limits(self):
        for kind in range(256):
            session = self.session()
            session.pipe.send(packet(kind, b"", length=4 * MiB + 1))
            self.assertEqual(session.why_it_ended().code, "malformed", kind)
        early = self.link()
        early.send(packet(peer.CONTROL, b"", length=64 * 1024 + 1))
        with self.assertRaises(Refused) as refused:
            Session(early, self.client_uuid(), hello=b" ")
        self.assertEqual(refused.exception.code, "malformed")
        for header in (struct.pack("<BBHIQ", peer.DATA, 0, 0, 64 * 1024 + 1, 0), struct.pack("<BBHIQ", peer.ACK, 0, 0, 2**32 - 1, 0),
                       struct.pack("<BBHIQ", peer.DATA, 0, 0, 64 * 1024, 2**63)):
            link = self.link()
            link.line.sendall(header + bytes(64 * 1024))
            with self.assertRaises(Refused) as refused:
                link.receive(1)
            self.assertEqual(refused.exception.code, "malformed")
        for length in (4097, 2**32 - 1):
            line = self.tls()
            line.sendall(struct.pack("<4sHHII", b"VFLK", 1, 0, length, 0))
            self.assertEqual(refusal(line).code, "malformed")
        stranger = self.tls(self.stranger())
        stranger.sendall(packet(peer.CONTROL, b"", length=64 * 1024 - 1) + bytes(64 * 1024))
        self.assertTrue(peer.is_gone(stranger))


class LiarsAndReplays(Hostile):
    def test_another_major_version_is_refused_with_both_in_the_sentence(self):
        for major, advice in ((2, "update vmferry on the target"), (0, "update the client"), (2**32 - 1, "update vmferry on the target")):
            with self.assertRaises(Refused) as refused:
                self.session(hello=peer.session_hello(self.client_uuid(), major=major))
            self.assertEqual(refused.exception.code, "version")
            self.assertIn(f"version {major} ", str(refused.exception))
            self.assertIn("this target 1", str(refused.exception))
            self.assertIn(advice, str(refused.exception))
        line = self.tls()
        line.sendall(peer.link_hello(os.urandom(16), os.urandom(32), 1, version=(2, 0)))
        self.assertEqual(refusal(line).code, "version")

    def test_older_and_newer_minor_versions_of_this_major_work(self):
        for minor, features, common in ((0, 0, (None, None)), (1, 1, (1, 1)), (7, 2**63 | 15, (2, 15))):
            session = self.session(hello=peer.session_hello(self.client_uuid(), minor=minor, features=features))
            self.assertEqual((session.welcome.get(2), session.welcome.get(3)), common)
            points = session.list_points()
            self.assertIn(b"good1", points[1])
            self.assertIn(2, session.open_backup(f"minor{minor}") | {2: 0})
            ids = frame_ids(self.largest_frame())
            session.pipe.send(packet(peer.OFFER, struct.pack("<Q", 5) + ids[0] + os.urandom(32)))
            while (answer := session.receive())[0] != peer.WANT:
                pass
            self.assertEqual(answer[1], struct.pack("<Q", 5) + b"\x02", "it has the first, and wants the second")
            session.pipe.send(packet(peer.FRAME, self.largest_frame()))
            session.pipe.send(packet(peer.FETCH, struct.pack("<Q", 6) + ids[0]))
            while (answer := session.receive())[0] != peer.FETCHED:
                pass
            self.assertIn(ids[0], answer[1])
            session.pipe.send(peer.control(peer.CLOSE_BACKUP, request=8))
            session.answer(peer.BACKUP_CLOSED)
            if not features & 1:
                session.pipe.send(packet(peer.DELTA, bytes(200)))
                self.assertEqual(session.why_it_ended().code, "malformed", "it did not say that it knows deltas")

    def test_a_replayed_hello_and_another_clients_link_are_refused(self):
        other = self.host("other")
        self.enroll(other, "other")
        session = self.session()
        link = session.pipe
        # Its hello as it was recorded: by itself, by another client, by a stranger.
        again = self.tls()
        again.sendall(link.hello)
        self.assertEqual(refusal(again).code, "malformed")
        stolen = self.tls(self.identity(other))
        stolen.sendall(peer.link_hello(link.link, link.secret, 2, create=False))
        unknown = refusal(stolen)
        self.assertEqual(unknown.code, "not_found")
        guessed = self.tls()
        guessed.sendall(peer.link_hello(link.link, os.urandom(32), 2, create=False))
        self.assertEqual(str(refusal(guessed)), str(unknown), "the sentence does not tell that there is one")
        never = self.tls()
        never.sendall(peer.link_hello(os.urandom(16), link.secret, 1, create=False))
        self.assertEqual(str(refusal(never)), str(unknown))
        stranger = self.tls(self.stranger())
        stranger.sendall(link.hello)
        self.assertEqual(refusal(stranger).code, "permission")
        session.list_points()  # it was no harm

    def test_a_replayed_tls_flight_opens_nothing(self):
        """Everything that a client sent in its handshake and after it, from a recording, is worth nothing to who plays it."""
        tape = []
        line = self.tcp()
        shake_hands(line, peer.tls_context(self.identity()), tape)
        line.close()
        replay = self.tcp()
        replay.sendall(b"".join(tape))
        self.assertTrue(peer.is_gone(replay))

    def test_handshakes_and_hellos_that_are_torn_anywhere(self):
        tape = []
        with contextlib.closing(peer.tcp(self.port)) as line:
            shake_hands(line, peer.tls_context(self.identity()), tape)
        first, second = tape[0], b"".join(tape[1:])
        for count in range(len(first)):
            with contextlib.closing(peer.tcp(self.port)) as line:
                line.sendall(first[:count])
        for count in range(0, len(second), 16):
            with contextlib.closing(peer.tcp(self.port)) as line:
                shake_hands(line, peer.tls_context(self.identity()), [], flight_bytes_max=count)
        hello = peer.link_hello(os.urandom(16), os.urandom(32), 1)
        for count in range(len(hello)):
            with contextlib.closing(peer.tls(self.port, self.identity())) as line:
                line.sendall(hello[:count])
        session = peer.session_hello(self.client_uuid())
        for count in range(len(session)):
            with contextlib.closing(self.link().line) as line:
                line.sendall(peer.record(peer.DATA, 0, session[:count]) + peer.record(peer.FINISH, count))
        with contextlib.closing(peer.Direct(self.store / "serve.sock")) as direct:
            direct.send(session[:7])
        self.answer(self.controller, "points", "--target", self.url)

    def test_a_revoked_client_is_told_and_stays_out(self):
        other = self.host("other")
        url = self.enroll(other, "other")
        identity = self.identity(other)
        link = Link(self.tls(identity))
        session = Session(link, self.client_uuid("other"))
        silent = self.tls(identity)
        self.target_program("client", "revoke", "other", "--store", self.store)
        with self.assertRaises(Refused) as refused:
            link.receive(1)
        self.assertEqual(refused.exception.code, "permission")
        self.assertIn("revoked", str(refused.exception))
        self.assertTrue(peer.is_gone(silent))
        for hello in (peer.link_hello(link.link, link.secret, 2, create=False), peer.link_hello(os.urandom(16), os.urandom(32), 1)):
            line = self.tls(identity)
            line.sendall(hello)
            self.assertEqual(refusal(line).code, "permission")
        self.assertEqual(self.answer(other, "points", "--target", url, expect=1)["error"]["code"], "permission")
        self.assertEqual(session.client, self.client_uuid("other"))

    def test_certificates_that_are_wrong_or_have_expired(self):
        with self.assertRaises((ssl.SSLError, Gone, OSError)):  # no certificate at all
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            line = context.wrap_socket(self.tcp())
            line.sendall(peer.link_hello(os.urandom(16), os.urandom(32), 1))
            peer.receive_exactly(line, 1)
        stranger = self.tls(self.stranger())
        stranger.sendall(peer.link_hello(os.urandom(16), os.urandom(32), 1))
        self.assertEqual(refusal(stranger).code, "permission")
        # The server's, of the key that its clients know.
        port = self.port
        self.stop(self.server)
        now = (self.store / "server.crt").read_bytes()
        (self.store / "server.crt").write_bytes(self.expired_certificate(self.store / "server.key"))
        self.serve(listen=f"tls://127.0.0.1:{port}")
        refused = self.answer(self.controller, "points", "--target", self.url, expect=1)
        self.assertEqual(refused["error"]["code"], "refused")
        self.assertIn("expired", refused["error"]["message"])
        self.stop(self.server)
        self.target_program("certificate", "renew", "--store", self.store)
        self.assertNotEqual((self.store / "server.crt").read_bytes(), now)
        self.serve(listen=f"tls://127.0.0.1:{port}")

    def expired_certificate(self, key):
        folder = self.directory / "authority"
        folder.mkdir()
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n")
        (folder / "configuration").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\ndefault_md=sha256\nnew_certs_dir=.\npolicy=any\n"
            "[any]\ncommonName=supplied\n")
        self.run_checked("openssl", "req", "-new", "-key", key, "-subj", "/CN=vmferry-target", "-out", folder / "request")
        made = run("openssl", "ca", "-batch", "-config", "configuration", "-selfsign", "-keyfile", key, "-in", "request", "-notext",
                   "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-out", "certificate", cwd=folder)
        self.assertEqual(made.returncode, 0, made.stderr.decode())
        return (folder / "certificate").read_bytes()


class Dripping:
    """Sends one more byte of each content over its line every second."""

    def __init__(self, lines):
        self.lines, self.ending = lines, threading.Event()
        self.thread = threading.Thread(target=self.drip)

    def drip(self):
        for at in range(10_000):
            if self.ending.wait(1):
                return
            for line, content in self.lines:
                with contextlib.suppress(OSError, ssl.SSLError, ValueError):
                    line.send(content[at:at + 1])

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()


def shake_hands(line, context, tape, flight_bytes_max=None):
    """A handshake whose flights are kept in `tape`; of the second one, only so many bytes are sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    while True:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        if flight := outgoing.read():
            if tape and flight_bytes_max is not None or done and flight_bytes_max is not None:
                flight = flight[:flight_bytes_max]
            tape.append(flight)
            line.sendall(flight)
        if done:
            return
        incoming.write(line.recv(65536))


def first_flight(identity):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.tls_context(identity).wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def refusal(line):
    kind, _, _, length, _ = struct.unpack("<BBHIQ", peer.receive_exactly(line, 16))
    payload = peer.receive_exactly(line, length)
    if kind != peer.REFUSE:
        raise AssertionError(f"record {kind} instead of a refusal")
    return peer.read_reason(payload[4:])


def greatest_frame(frame):
    """A plain frame's chunks again and again, to the 2 MiB that a frame's content may have."""
    codec, _, chunks, content, stored = struct.unpack("<BBHII", frame[4:16])
    assert (codec, content) == (0, stored), "it is compressed"
    times = min(2 * MiB // content, 1024 // chunks)
    directory, payload = frame[16:16 + 36 * chunks], frame[16 + 36 * chunks:-8]
    body = struct.pack("<4sBBHII", b"VFF1", 0, 0, times * chunks, times * content, times * content) + times * directory + times * payload
    return body + struct.pack("<Q", peer.xxhash.XXH3_64bits(body, len(body)))


def frame_ids(frame):
    count = struct.unpack("<H", frame[6:8])[0]
    return [frame[16 + 36 * i:48 + 36 * i] for i in range(count)]


if __name__ == "__main__":
    unittest.main()
