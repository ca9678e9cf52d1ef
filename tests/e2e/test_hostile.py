"""Bad peers against a real server: slow ones and greedy ones. After each the server serves a good client as before, and its memory stays
bounded."""
import contextlib
import os
import ssl
import struct
import subprocess
import threading
import unittest
import uuid

import hostile_peer as peer
from hostile_case import Hostile, frame_ids, refusal
from hostile_peer import Link, Refused, Session, packet
from vmferry_case import BUILD, MiB


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
        for _ in range(10):                                                          # one whose session is over, and who stays
            session = self.session()
            session.pipe.send(packet(200, b""))
            self.assertEqual(session.why_it_ended().code, "malformed")
            slow.append((session.pipe.line, b""))
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


class FewPlaces(Hostile):
    SERVE_WITH = ("--sessions", "5")

    def test_one_client_cannot_take_all_places(self):
        rogue = self.host("rogue")
        self.enroll(rogue, "rogue")
        lines = [self.tls(self.identity(rogue)) for _ in range(12)]
        links = [Link(line) for line in lines]
        for link in links:
            link.send(peer.session_hello(self.client_uuid("rogue")))
        for link in links[:4]:
            link.receive(8)  # it is welcome; the others wait
        self.answer(self.controller, "points", "--target", self.url)
        for line in lines:  # not a word that it goes: its sessions are kept for it, and still nobody else waits
            line.close()
        self.answer(self.controller, "points", "--target", self.url)


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
        frame = packet(peer.FRAME, greatest_frame(self.largest_plain_frame()))
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
        ids = b"".join(frame_ids(self.largest_plain_frame()))
        with self.assertRaises(TimeoutError):
            for request in range(1, 10**6):
                fetches.pipe.send(packet(peer.FETCH, struct.pack("<Q", request) + ids))
        self.assert_bounded(before, 100)

    def test_lengths_above_the_limits(self):
        for kind in (*range(16), 127, 255):
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


def first_flight(identity):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.tls_context(identity).wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def greatest_frame(frame):
    """A plain frame's chunks again and again, to the 2 MiB that a frame's content may have."""
    chunks, content = struct.unpack("<HI", frame[6:12])
    times = min(2 * MiB // content, 1024 // chunks)
    directory, payload = frame[16:16 + 36 * chunks], frame[16 + 36 * chunks:-8]
    body = struct.pack("<4sBBHII", b"VFF1", 0, 0, times * chunks, times * content, times * content) + times * directory + times * payload
    return body + struct.pack("<Q", peer.xxhash.XXH3_64bits(body, len(body)))


if __name__ == "__main__":
    unittest.main()
