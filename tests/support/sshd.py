"""OpenSSH's own server on loopback (or any address), for tests and measurements: host keys, users' keys and configuration
of its own in a directory that the caller names. The account is the one that runs this. tests/support/sshd.h is the same.

    with Sshd(directory, path_first=BUILD) as sshd:
        key = sshd.add_user_key("ed25519")
        run("vmferry", ..., "--target", sshd.url(store), ...)        # ssh://127.0.0.1:PORT/STORE
        run("ssh", *sshd.ssh_options(key), "127.0.0.1", "true")
"""
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path


def free_port(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Sshd:
    """Use as a context manager, or open() it and end its `process`. `log` has what sshd said."""

    def __init__(self, directory, host_key_types=("ed25519", "ecdsa"), address="127.0.0.1", port=None, path_first=None,
                 lines=(), prefix=()):
        self.directory = Path(directory)
        self.host_key_types, self.address, self.wanted_port = host_key_types, address, port
        self.path_first, self.lines = path_first, lines
        self.prefix = list(prefix)  # ["ip", "netns", "exec", NAME]: where it runs
        self.user_keys = 0
        self.log = ""

    def __enter__(self):
        return self.open()

    def open(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        for kind in self.host_key_types:
            self.make_key(kind, self.directory / f"host_{kind}")
        (self.directory / "authorized_keys").touch()
        for _ in range(5):  # a port that was free may be taken by now
            if self.start():
                return self
        raise RuntimeError(f"sshd does not start: {self.log}")

    def __exit__(self, *_):
        self.kill_connections()
        self.process.terminate()
        self.process.wait()
        self.drain.join()

    def start(self):
        self.port = self.wanted_port or free_port(self.address)
        paths = ":".join(str(path) for path in (self.path_first, "/usr/local/bin", "/usr/bin", "/bin") if path)
        config = [f"Port {self.port}", f"ListenAddress {self.address}", "PidFile none", "UsePAM no", "StrictModes no",
                  "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
                  "MaxStartups 100", f"AuthorizedKeysFile {self.directory}/authorized_keys", f"SetEnv PATH={paths}"]
        config += [f"HostKey {self.directory}/host_{kind}" for kind in self.host_key_types]
        (self.directory / "sshd_config").write_text("\n".join([*config, *self.lines]) + "\n")
        self.process = subprocess.Popen([*self.prefix, "/usr/sbin/sshd", "-D", "-e", "-f", self.directory / "sshd_config"],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            self.log += line
            if "Server listening on" in line:
                self.drain = threading.Thread(target=self.read_log, daemon=True)
                self.drain.start()
                return True
        self.process.wait()
        return False

    def read_log(self):
        for line in self.process.stderr:
            self.log += line

    @staticmethod
    def make_key(kind, file, passphrase=""):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "made-by-a-test", "-f", file], check=True)

    @staticmethod
    def public_key(private_key):
        return " ".join(Path(f"{private_key}.pub").read_text().split()[:2])

    def add_user_key(self, kind="ed25519", options="", passphrase=""):
        """A new key that may log in; the private half's file. options: as authorized_keys has them before the key."""
        file = self.directory / f"user_{self.user_keys}_{kind}"
        self.user_keys += 1
        self.make_key(kind, file, passphrase)
        with open(self.directory / "authorized_keys", "a") as keys:
            keys.write(f"{options} {self.public_key(file)}".strip() + "\n")
        return file

    def host_key(self, kind):
        return self.public_key(self.directory / f"host_{kind}")

    def known_hosts(self, name=None):
        """A file that knows all of this server's keys; name: what the client calls it, by default its address."""
        file = self.directory / "known_hosts"
        name = name or (self.address if self.port == 22 else f"[{self.address}]:{self.port}")
        file.write_text("".join(f"{name} {self.host_key(kind)}\n" for kind in self.host_key_types))
        return file

    def url(self, store):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"ssh://{host}:{self.port}{store}"

    def ssh_options(self, key):
        """For the system's ssh, which shall see none of the user's own files."""
        return ["-F", "none", "-p", str(self.port), "-i", str(key), "-o", f"UserKnownHostsFile={self.known_hosts()}",
                "-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]

    def kill_connections(self):
        """Kills the processes that serve connections, and leaves the one that accepts them."""
        for child in children_of(self.listener_pid()):
            for pid in (*children_of(child), child):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def listener_pid(self):
        return self.process.pid  # `ip netns exec` becomes what it runs


def children_of(parent):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
        except OSError:
            pass
    return found
