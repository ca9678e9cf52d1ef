"""Who takes part in wan.py: vmferry over TLS, over SSH and over a Unix socket without a line, rsync over ssh, restic
over sftp. All do the same: backups of one disk, and its restore, between the hosts `controller` and `target`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import measure
import peers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests/support"))
from sshd import Sshd  # noqa: E402

PORT = 7447
ARCHIVE = "/Data/Archive 2025"  # of make-kinds: 10,000 small files


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def settled_cpu_of(pid):
    """CPU seconds of a server and of the children that it had: first they must be gone, or they are not counted."""
    deadline = time.monotonic() + 10
    while children_of(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return measure.cpu_of_running(pid)


def forget_peak_rss(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def wait_for(what, ready, process):
    deadline = time.monotonic() + 30
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise measure.Failed(f"{what} did not start")
        time.sleep(0.02)


def listens(pid, port):
    """Whether anyone in this process' network namespace listens there."""
    found = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{name}") as table:
            found += [line.split() for line in table]
    return any(fields[3] == "0A" and fields[1].endswith(f":{port:04X}") for fields in found)


class Contender:
    """`backup` and `restore` run the client in the controller's host and give its Cost. `servers` are the processes at
    the target whose CPU, with that of their children, counts too; the first one's memory does."""

    uses_line = True

    def __init__(self, network, directory, binaries):
        self.controller, self.target = network["controller"], network["target"]
        self.directory, self.binaries = os.path.join(directory, self.name.replace(" ", "-")), binaries
        self.environment, self.servers = {}, []
        os.makedirs(self.directory)

    def run(self, words, **options):
        return measure.run(self.controller.words(words), environment=self.environment, **options)

    def begin(self):
        """Starts what must run at the target; makes an empty store."""

    def end(self):
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
            server.wait()

    def disk(self, case, day):
        return peers.present(case, self.directory, "A", day)

    def start_sshd(self, path=None):
        """In the target's host, on ssh's own port; `ssh` is the command that reaches it, `key` lets in."""
        self.sshd = Sshd(os.path.join(self.directory, "sshd"), address=self.target.address, port=22, path_first=path,
                         lines=("MaxSessions 64", "UseDNS no", "Subsystem sftp internal-sftp"), prefix=self.target.words([]))
        self.sshd.open()
        self.key = self.sshd.add_user_key("ed25519")
        self.ssh = " ".join(["ssh", *self.sshd.ssh_options(self.key)])
        self.servers.append(self.sshd.process)


class Vmferry(Contender):
    """The client knows the store's target by `url`; `local_url` reaches the same store without a line, as its owner."""

    def begin(self):
        self.vmferry = os.path.join(self.binaries, "vmferry")
        self.vmferry_target = os.path.join(self.binaries, "vmferry-target")
        self.store = os.path.join(self.directory, "store")
        self.socket = os.path.join(self.directory, "socket")
        self.local_url = f"unix://{self.socket}"
        self.target.run([self.vmferry_target, "init", "--store", self.store])
        self.options = ["--catalog", os.path.join(self.directory, "catalog.sqlite")]
        self.url = self.local_url

    def serve(self, *options):
        command = [self.vmferry_target, "serve", "--store", self.store, "--socket", self.socket, *options]
        server = self.target.start(command, stdout=subprocess.DEVNULL)
        self.servers.insert(0, server)
        wait_for("vmferry-target serve", lambda: os.path.exists(self.socket), server)

    def version(self):
        return measure.run([self.vmferry, "--version"]).out.split()[-1]

    def disk(self, case, day):
        return os.path.join(case, f"{day}.vmdk")

    def backup(self, disk, _step):
        cost = self.run([self.vmferry, "backup", disk, "--name", "A", "--json", "--target", self.url, *self.options],
                        expect=(0, 2))
        cost.report = json.loads(cost.out)
        return cost

    def restore(self, out):
        return self.run([self.vmferry, "restore", "A", "--output", out, "--format", "raw", "--target", self.url,
                         *self.options], expect=(0, 2))

    def put_files(self, disk):
        """A disk with many small files gets into the store without the line."""
        measure.run([self.vmferry, "backup", disk, "--name", "files", "--target", self.local_url, "--catalog",
                     os.path.join(self.directory, "files.sqlite")], expect=(0, 2))

    def restore_files(self, out):
        os.makedirs(out)
        return self.run([self.vmferry, "restore", f"files:{ARCHIVE}", "--output", out, "--target", self.url,
                         *self.options], expect=(0, 2))


class VmferryUnix(Vmferry):
    name, uses_line = "vmferry unix", False

    def begin(self):
        super().begin()
        self.serve()


class VmferryTls(Vmferry):
    name = "vmferry tls"

    def begin(self):
        super().begin()
        self.serve("--listen", f"tls://0.0.0.0:{PORT}")
        wait_for("vmferry-target serve", lambda: listens(self.servers[0].pid, PORT), self.servers[0])
        address = f"{self.target.address}:{PORT}"
        self.url = f"tls://{address}"
        line = self.target.run([self.vmferry_target, "client", "add", "bench", "--role", "sender,reader", "--store",
                                self.store, "--address", address]).stdout
        self.options += ["--enrolments", os.path.join(self.directory, "targets")]
        self.controller.run([self.vmferry, "enroll", "-", *self.options], input=line)


class VmferrySsh(Vmferry):
    """The session that sshd starts relays to the store's running server."""

    name = "vmferry ssh"

    def begin(self):
        super().begin()
        self.socket = os.path.join(self.store, "serve.sock")  # where a session looks for it
        self.local_url = f"unix://{self.socket}"
        self.serve()
        self.start_sshd(self.binaries)
        self.options += ["--ssh-key", self.key, "--known-hosts", self.sshd.known_hosts()]
        self.url = f"ssh://root@{self.target.address}{self.store}"


class Rsync(Contender):
    name, options = "rsync", ()

    def begin(self):
        self.start_sshd()

    def version(self):
        return measure.run(["rsync", "--version"]).out.split()[2]

    def copy(self, source, destination):
        return self.run(["rsync", *self.options, "--inplace", "--no-whole-file", "-e", self.ssh, source,
                         destination])

    def there(self):
        return f"root@{self.target.address}:{self.directory}/A.raw"

    def backup(self, disk, _step):
        return self.copy(disk, self.there())

    def restore(self, out):
        return self.copy(self.there(), out)


class RsyncCompressed(Rsync):
    name, options = "rsync -z", ("-z",)


class Restic(Contender):
    name = "restic"

    def begin(self):
        self.start_sshd()
        self.environment = {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": os.path.join(self.directory, "cache"),
                            "RESTIC_REPOSITORY": f"sftp:root@{self.target.address}:{self.directory}/store"}
        self.restic("init", "--repository-version", "2")

    def version(self):
        return measure.run(["restic", "version"]).out.split()[1]

    def restic(self, *words):
        command = f"{self.ssh} root@{self.target.address} -s sftp"
        return self.run(["restic", "-o", f"sftp.command={command}", *words])

    def backup(self, disk, step):
        return self.restic("backup", "--quiet", "--tag", step, disk)

    def restore(self, out):
        folder = out + ".restic"
        cost = self.restic("restore", "--quiet", "latest", "--target", folder)
        restored = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
        os.rename(restored[0], out)
        return cost


CONTENDERS = {contender.name: contender for contender in (VmferryUnix, VmferryTls, VmferrySsh, RsyncCompressed, Rsync,
                                                          Restic)}
