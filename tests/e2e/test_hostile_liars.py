"""Bad peers against a real server: wrong versions, replays, torn handshakes, wrong and expired certificates, revoked clients. After each the
server serves a good client as before."""
import contextlib
import os
import ssl
import struct
import unittest

import hostile_peer as peer
from hostile_case import Hostile, frame_ids, refusal
from hostile_peer import Gone, Link, Refused, Session, packet
from vmferry_case import run


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
            ids = frame_ids(self.largest_plain_frame())
            session.pipe.send(packet(peer.OFFER, struct.pack("<Q", 5) + ids[0] + os.urandom(32)))
            while (answer := session.receive())[0] != peer.WANT:
                pass
            self.assertEqual(answer[1], struct.pack("<Q", 5) + b"\x02", "it has the first, and wants the second")
            session.pipe.send(packet(peer.FRAME, self.largest_plain_frame()))
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


if __name__ == "__main__":
    unittest.main()
