"""vmferry-target session --stdio: by itself, and as sshd runs it, with a server of ours (this test) or with the real one."""
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest
from pathlib import Path

from vmferry_case import BUILD, Case, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from sshd import Sshd  # noqa: E402

TIMEOUT_S = 120


class TestServer:
    """Holds a store's lock as its server does, and takes connections. Use as a context manager."""

    def __init__(self, store, path):
        self.store, self.path, self.taken = store, path, []

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(TIMEOUT_S)
        self.lock = open(self.store / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.lock.write(f"pid {os.getpid()}\ncommand a test\nsocket {self.path}\n")
        self.lock.flush()
        return self

    def __exit__(self, *_):
        self.lock.close()
        for line in (*self.taken, self.listener):
            line.close()

    def accept(self):
        """The connection and the preamble's payload."""
        connection, _ = self.listener.accept()
        self.taken.append(connection)
        connection.settimeout(TIMEOUT_S)
        magic, length = struct.unpack("<4sI", receive(connection, 8))
        assert magic == b"VFRL", magic
        preamble = receive(connection, length)
        connection.sendall(b"VFRL")
        return connection, preamble


def receive(connection, count):
    content = b""
    while len(content) < count:
        piece = connection.recv(count - len(content))
        if not piece:
            break
        content += piece
    return content


def receive_all(connection):
    return receive(connection, 1 << 30)


class Session(Case):
    def setUp(self):
        super().setUp()
        self.init_store()
        self.addCleanup(self.end_server)

    def session(self, *words, **options):
        process = subprocess.Popen([BUILD / "vmferry-target", "session", "--stdio", "--store", self.store, *words],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.enterContext(process)
        self.addCleanup(process.kill)
        return process

    def server_pid(self):
        return json.loads(run(BUILD / "vmferry-target", "status", "--store", self.store, "--json").stdout)["writer_pid"]

    def end_server(self):
        pid = self.server_pid()
        if pid and pid != os.getpid():
            ends = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            self.assertTrue(select.select([ends], [], [], TIMEOUT_S)[0], "the server ends")
            os.close(ends)


class Relay(Session):
    def test_bytes_and_ends_pass_both_ways_after_the_preamble(self):
        content = os.urandom(5 << 20)
        with TestServer(self.store, self.directory / "socket") as server:
            session = self.session()
            connection, preamble = server.accept()
            self.assertEqual(preamble, b"")
            feeding = threading.Thread(target=lambda: (session.stdin.write(content), session.stdin.close()))
            feeding.start()
            self.assertEqual(receive_all(connection), content)
            feeding.join()
            answering = threading.Thread(target=lambda: (connection.sendall(content), connection.shutdown(socket.SHUT_WR)))
            answering.start()
            self.assertEqual(session.stdout.read(), content)
            answering.join()
            self.assertEqual((session.wait(TIMEOUT_S), session.stderr.read()), (0, b""))

    def test_a_server_that_dies_ends_it_with_a_failure_and_a_sentence(self):
        with TestServer(self.store, self.directory / "socket") as server:
            session = self.session()
            connection, _ = server.accept()
            connection.sendall(b"half an answ")
            connection.close()
            self.assertEqual(session.stdout.read(), b"half an answ")
            self.assertEqual(session.wait(TIMEOUT_S), 3)
            self.assertIn(b"the other end of the session is gone", session.stderr.read())

    def test_the_client_that_is_named_is_in_the_preamble_and_a_wrong_name_is_refused(self):
        with TestServer(self.store, self.directory / "socket") as server:
            self.session("--client", "web-1")
            self.assertEqual(server.accept()[1], b"client web-1\n")
        for name in ("../web", "we b", "-x", "x" * 256):
            refused = run(BUILD / "vmferry-target", "session", "--stdio", "--store", self.store, f"--client={name}", input=b"")
            self.assertEqual(refused.returncode, 64, name)

    def test_where_no_store_is_it_says_so(self):
        refused = run(BUILD / "vmferry-target", "session", "--stdio", "--store", self.directory / "none", input=b"")
        self.assertEqual((refused.returncode, refused.stdout), (1, b""))
        self.assertIn(b"none", refused.stderr)


class RealServer(Session):
    def test_the_first_session_starts_a_server_that_outlives_it_and_holds_nothing_of_it(self):
        self.session().communicate(b"", TIMEOUT_S)  # would wait for a server that has the pipes
        pid = self.server_pid()
        self.assertIsNotNone(pid)
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/2"), str(self.store / "serve.log"))
        self.session().communicate(b"", TIMEOUT_S)
        self.assertEqual(self.server_pid(), pid, "the second one uses the same server")

    def test_sessions_that_start_at_once_share_one_server(self):
        sessions = [self.session() for _ in range(6)]
        for session in sessions:
            _, said = session.communicate(b"", TIMEOUT_S)
            self.assertNotIn(b"does not start", said)
            self.assertNotIn(b"cannot be reached", said)
        self.assertIsNotNone(self.server_pid())
        self.assertEqual((self.store / "serve.log").read_text().count("busy"), 0)

    def test_an_idle_server_ends_by_itself_and_the_next_session_starts_another(self):
        idle = run(BUILD / "vmferry-target", "serve", "--store", self.store, "--idle-exit", "1", timeout=TIMEOUT_S)
        self.assertEqual((idle.returncode, idle.stderr), (0, b""))
        self.assertFalse((self.store / "serve.sock").exists())
        self.session().communicate(b"", TIMEOUT_S)
        self.assertIsNotNone(self.server_pid())

    def test_after_a_server_that_was_killed_the_next_session_starts_another(self):
        self.session().communicate(b"", TIMEOUT_S)
        first = self.server_pid()
        os.kill(first, signal.SIGKILL)
        self.session().communicate(b"", TIMEOUT_S)
        self.assertNotIn(self.server_pid(), (None, first))


class OverSshd(Session):
    def setUp(self):
        super().setUp()
        self.sshd = Sshd(self.directory / "sshd", path_first=BUILD)
        self.sshd.__enter__()
        self.addCleanup(self.sshd.__exit__)

    def ssh(self, key, command):
        process = subprocess.Popen(["ssh", *self.sshd.ssh_options(key), self.sshd.address, command],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.enterContext(process)
        self.addCleanup(process.kill)
        return process

    def test_a_forced_command_is_the_client_whatever_is_asked_for(self):
        key = self.sshd.add_user_key(options=f'command="vmferry-target session --stdio --store {self.store} --client web",restrict')
        with TestServer(self.store, self.directory / "socket") as server:
            for asked in ("echo somebody else", f"vmferry-target session --stdio --store {self.store}",
                          f"vmferry-target session --stdio --store {self.store} --client db"):
                session = self.ssh(key, asked)
                connection, preamble = server.accept()
                self.assertEqual(preamble, b"client web\n", asked)
                session.stdin.close()
                self.assertEqual(receive_all(connection), b"")
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual((session.wait(TIMEOUT_S), session.stdout.read()), (0, b""))

    def test_a_client_whose_line_breaks_is_no_clean_end_for_the_server(self):
        key = self.sshd.add_user_key()
        with TestServer(self.store, self.directory / "socket") as server:
            session = self.ssh(key, f"vmferry-target session --stdio --store {self.store}")
            connection, _ = server.accept()
            session.stdin.write(b"the beginning")
            session.stdin.flush()
            self.assertEqual(receive(connection, 13), b"the beginning")
            session.kill()
            self.assertEqual(receive(connection, 1), b"")
            # A peer that only ended its own direction could still be written to.
            with self.assertRaises(OSError):
                for _ in range(1000):
                    connection.sendall(bytes(1 << 16))

    def test_a_session_that_is_over_lets_ssh_go_though_its_server_stays(self):
        session = self.ssh(self.sshd.add_user_key(), f"vmferry-target session --stdio --store {self.store}")
        session.communicate(b"", TIMEOUT_S)
        self.assertIsNotNone(self.server_pid())


if __name__ == "__main__":
    unittest.main()
