"""A real sshd in one of our hosts, with keys of its own, for root; and how OpenSSH's own client reaches it."""

import os
import shutil
import subprocess
import time

CONFIG = """
Port {port}
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
PidFile none
MaxSessions 64
MaxStartups 64
SetEnv PATH={path}
Subsystem sftp internal-sftp
"""


class Sshd:
    """`home` is a HOME with .ssh/id_ed25519 and .ssh/known_hosts for a client that goes by it; `command` is the ssh
    that needs none. `path` comes before the usual directories in what a session runs."""

    def __init__(self, host, directory, path="", port=22):
        self.host, self.directory, self.port = host, directory, port
        self.home = os.path.join(directory, "home")
        self.own = os.path.join(self.home, ".ssh")
        os.makedirs(self.own, mode=0o700)
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd insists on it
        self.key(os.path.join(directory, "host_key"))
        self.key(os.path.join(self.own, "id_ed25519"))
        shutil.copy(os.path.join(self.own, "id_ed25519.pub"), os.path.join(directory, "authorized_keys"))
        name = host.address if port == 22 else f"[{host.address}]:{port}"
        with open(os.path.join(directory, "host_key.pub")) as key, open(f"{self.own}/known_hosts", "w") as known:
            known.write(f"{name} {key.read()}")
        config = os.path.join(directory, "sshd_config")
        with open(config, "w") as file:
            path = ":".join(filter(None, (path, "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")))
            file.write(CONFIG.format(port=port, address=host.address, directory=directory, path=path))
        self.command = (f"ssh -p {port} -i {self.own}/id_ed25519 -o UserKnownHostsFile={self.own}/known_hosts "
                        "-o IdentitiesOnly=yes -o BatchMode=yes")
        log = os.path.join(directory, "log")
        self.process = host.start(["/usr/sbin/sshd", "-D", "-f", config, "-E", log])
        while not (os.path.exists(log) and "Server listening" in open(log).read()):
            if self.process.poll() is not None:
                raise OSError(f"sshd ended: {open(log).read() if os.path.exists(log) else ''}")
            time.sleep(0.02)

    @staticmethod
    def key(path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)

    def close(self):
        self.process.terminate()
        self.process.wait()
