"""A served target, and hosts that reach it, each with a home of its own; and a proxy that breaks lines."""
import json
import os
import select
import signal
import socket
import subprocess
import threading
from pathlib import Path

from vmferry_case import BUILD, Case, run


class Host:
    """A controller or a restoring host: its own catalog, configuration and enrolments."""

    def __init__(self, directory):
        self.home = Path(directory)
        self.home.mkdir(parents=True)
        self.environment = {**os.environ, "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"),
                            "XDG_STATE_HOME": str(self.home / "state")}
        for name in ("VMFERRY_TARGET", "SSH_AUTH_SOCK"):
            self.environment.pop(name, None)

    def words(self, *words):
        return [str(word) for word in (BUILD / "vmferry", *words, "--catalog", self.home / "catalog.sqlite",
                                       "--enrolments", self.home / "targets")]

    def run(self, *words, **options):
        return subprocess.run(self.words(*words), capture_output=True, env=self.environment, **options)

    def start(self, *words, **options):
        return subprocess.Popen(self.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, **options)


class Proxy:
    """Between a client and the target: passes bytes on, until told to cut every line, or what to do to the next ones: for each
    that is accepted, one of `up` (bytes toward the target) and of `down` is taken."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.up, self.down = [], []  # ("cut", after so many bytes) or ("flip", that byte), the next line's first
        self.done = 0                # of these, so many have come to pass
        self.lines, self.passed, self.accepted = [], 0, 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            with self.lock:
                self.accepted += 1
                self.lines.append((client, server))
                up = self.up.pop(0) if self.up else (None, 0)
                down = self.down.pop(0) if self.down else (None, 0)
            threading.Thread(target=self.carry, args=(client, server, *up), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, *down), daemon=True).start()

    def carry(self, source, sink, what, at):
        total = 0
        try:
            while data := source.recv(65536):
                here = what is not None and total <= at < total + len(data)
                if here:
                    self.done += 1
                    data = data[:at - total] if what == "cut" else bytes(
                        byte ^ 0x10 if i == at - total else byte for i, byte in enumerate(data))
                total += len(data)
                self.passed += len(data)
                sink.sendall(data)
                if here and what == "cut":
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            lines, self.lines = self.lines, []
        for pair in lines:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.close()
        self.cut()


class NetworkCase(Case):
    def serve(self, *words, listen="tls://127.0.0.1:0"):
        """Starts the server; its port is in self.port."""
        command = [str(word) for word in (BUILD / "vmferry-target", "serve", "--store", self.store, "--listen", listen, "--json", *words)]
        with open(self.directory / "serve.log", "ab") as log:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        self.addCleanup(self.stop, server)
        ready, _, _ = select.select([server.stdout], [], [], 60)
        self.assertTrue(ready, "the server said nothing")
        facts = json.loads(server.stdout.readline())
        self.port = int(facts["listen"][0].rsplit(":", 1)[1])
        self.server = server
        return server

    def stop(self, server, with_signal=signal.SIGTERM):
        if server.poll() is None:
            server.send_signal(with_signal)
            server.wait(timeout=60)
        server.stdout.close()

    def host(self, name):
        return Host(self.directory / "hosts" / name)

    def enrolment_line(self, name, roles="sender,reader", port=None, *words):
        answer = self.target_program("client", "add", name, "--role", roles, "--store", self.store,
                                     "--address", f"127.0.0.1:{port or self.port}", *words)
        return answer.stdout

    def enroll(self, host, name, roles="sender,reader", port=None, *words):
        result = host.run("enroll", "-", input=self.enrolment_line(name, roles, port, *words))
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return f"tls://127.0.0.1:{port or self.port}"

    def ok(self, result, expect=0):
        self.assertEqual(result.returncode, expect, f"{result.args}\n{result.stdout.decode()[-2000:]}\n{result.stderr.decode()[-2000:]}")
        return result

    def answer(self, host, *words, expect=0):
        return json.loads(self.ok(host.run(*words, "--json"), expect).stdout)

    def server_log(self):
        return (self.directory / "serve.log").read_text(errors="replace")
