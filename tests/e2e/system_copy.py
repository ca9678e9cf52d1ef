"""A copy of this machine's system that costs nothing: an overlay in which packages are installed and removed, and which
systemd boots in namespaces of its own. Mounts are this process' alone and go with it; close() removes the cgroup."""
import ctypes
import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

CLONE_NEWNS = 0x00020000
SHUT_DOWN_SECONDS = 30

# $0: the copy's root, $1: its cgroup. /sys and /proc/sys are this machine's: systemd may read them, and not write.
BOOT = """echo $$ > "$1/cgroup.procs" &&
  exec unshare --mount --cgroup --pid --uts --ipc --net --fork --kill-child sh -ec '
  mount -t sysfs -o ro sysfs "$0/sys"
  mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup"
  mount -t proc proc "$0/proc"
  mount --bind "$0/proc/sys" "$0/proc/sys"
  mount -o remount,ro,bind "$0/proc/sys"
  cd "$0"
  pivot_root . .  # a process in a chroot may not make a user namespace, as PrivateUsers= does
  umount --lazy .
  exec /lib/systemd/systemd --system --unit=copy.target --log-target=console --show-status=no' "$0"
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace", stdin=subprocess.DEVNULL, **options)


def mount(*words):
    result = run("mount", *words)
    if result.returncode != 0:
        raise unittest.SkipTest(f"no copy of the system can be made here: mount {words[-1]}: {result.stderr.strip()}")


_scratch = None


def scratch():
    """A tmpfs in a mount namespace that is this process' alone: what is mounted below is seen by nobody else."""
    global _scratch
    if _scratch is None:
        if os.geteuid() != 0:
            raise unittest.SkipTest("only root can make a copy of the system")
        if apart := [directory for directory in ("/usr", "/etc", "/var") if os.path.ismount(directory)]:
            raise unittest.SkipTest(f"no copy of the system can be made here: {apart[0]} is a file system of its own")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise unittest.SkipTest(f"no mount namespace here: {os.strerror(ctypes.get_errno())}")
        mount("--make-rprivate", "/")
        directory = tempfile.TemporaryDirectory(prefix="vmferry-system-")
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory.name)
        unittest.addModuleCleanup(_forget, directory)
        _scratch = Path(directory.name)
    return _scratch


def _forget(directory):
    global _scratch
    run("umount", "--recursive", "--lazy", directory.name)
    directory.cleanup()
    _scratch = None


class SystemCopy:
    """`root` shows the lower system (this machine's, or another copy that changes no more) with changes of its own."""

    def __init__(self, below=None):
        place = Path(tempfile.mkdtemp(dir=scratch()))
        place.chmod(0o755)
        self.upper, self.root = place / "upper", place / "root"
        for directory in (self.upper, place / "work", self.root):
            directory.mkdir()
        self.lower = ([below.upper] + below.lower[:-1] if below else []) + [Path("/")]
        layers = f"lowerdir={':'.join(map(str, self.lower))},upperdir={self.upper},workdir={place / 'work'}"
        mount("-t", "overlay", "-o", layers, "overlay", self.root)
        # Devices of its own: daemons put sockets there.
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", self.root / "dev")
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (self.root / "dev" / name).touch()
            mount("--bind", f"/dev/{name}", self.root / "dev" / name)
        (self.root / "dev/pts").mkdir()
        mount("-t", "devpts", "-o", "ptmxmode=0666", "devpts", self.root / "dev/pts")
        (self.root / "dev/ptmx").symlink_to("pts/ptmx")
        for directory, mode in (("run", "0755"), ("tmp", "1777"), ("var/tmp", "1777")):
            mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", self.root / directory)
        mount("-t", "proc", "proc", self.root / "proc")
        (self / "/var/lib/man-db/auto-update").unlink(missing_ok=True)  # the manual's index takes seconds a package
        self.process_id = None  # systemd's, once booted
        self.boot_log = place / "boot.log"
        self._group = None

    def run(self, *words, user=None):
        """Runs a command inside; where systemd was booted, beside it."""
        enter = ["chroot", self.root]
        if self.process_id:
            enter = ["nsenter", "--target", self.process_id, "--all", "--root", "--wd=/"]
        become = ["runuser", "-u", user, "--"] if user else []
        return run(*enter, *become, *words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                                                 "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"})

    def __truediv__(self, path):
        return self.root / str(path).lstrip("/")

    def added(self):
        """The paths in this copy that this machine's own system has not."""
        layers = [self.upper] + self.lower[:-1]
        changed = {"/" + str(path.relative_to(layer)) for layer in layers for path in layer.rglob("*")}
        return sorted(path for path in changed if os.path.lexists(self / path) and not os.path.lexists(path))

    def boot(self):
        """systemd as process 1 of this copy, with the journal and nothing else, no network but loopback."""
        units = self / "/etc/systemd/system"
        for wanted in [*self.root.glob("lib/systemd/system/*.wants/*"), *units.glob("*.wants/*")]:
            if "journald" not in wanted.name:
                wanted.unlink()
        (self / "/etc/fstab").write_text("")
        (self / "/usr/sbin/policy-rc.d").unlink(missing_ok=True)  # a build machine's: nothing may be started
        (units / "systemd-journald-audit.socket").symlink_to("/dev/null")  # the kernel's audit is not the copy's
        (units / "copy.target").write_text(
            "[Unit]\nDescription=A copy for tests\nRequires=sysinit.target\nAfter=sysinit.target\n")
        with open(self.boot_log, "wb") as log:
            self._init = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", BOOT, self.root, self._make_cgroup()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"container": "copy", "PATH": os.environ["PATH"]})
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        while self._init.poll() is None and not self._booted():
            if ids := children.read_text().split():
                self.process_id = ids[0]
        if self._init.poll() is not None:
            self.process_id = None
            raise unittest.SkipTest("systemd does not boot in namespaces here: " + self.boot_log.read_text()[-300:])
        self.run("systemctl", "log-target", "journal")

    def _booted(self):
        return self.process_id and self.run("systemctl", "is-active", "--quiet", "copy.target").returncode == 0

    def _make_cgroup(self):
        """A group of our own, which systemd takes for the root of all."""
        groups = scratch() / "cgroup"
        groups.mkdir(exist_ok=True)
        mount("-t", "cgroup2", "cgroup2", groups)
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line.split(":", 2)[2] for line in lines if line.startswith("0::"))
        self._group = groups / own.lstrip("/") / f"copy-for-tests-{os.getpid()}"
        self._group.mkdir()
        return self._group

    def close(self):
        if self.process_id:
            self.run("systemctl", "exit")
            try:
                self._init.wait(SHUT_DOWN_SECONDS)
            except subprocess.TimeoutExpired:
                os.kill(int(self.process_id), signal.SIGKILL)
                self._init.wait()
            self.process_id = None
        if self._group:
            groups = [path for path in self._group.rglob("*") if path.is_dir()]
            for group in [*sorted(groups, key=lambda path: -len(path.parts)), self._group]:
                group.rmdir()
            run("umount", scratch() / "cgroup")
            self._group = None
        run("umount", "--recursive", "--lazy", self.root)
