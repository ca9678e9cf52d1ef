"""The Debian packages as an administrator meets them: installed in a copy of this machine's system, looked at, used
(with a real systemd where one boots in namespaces), upgraded, removed and purged."""
import gzip
import re
import shutil
import tempfile
import tomllib
import unittest
from pathlib import Path

from system_copy import SystemCopy, run
from vmferry_case import BUILD, ROOT

STORE = "/var/lib/vmferry-target/store"
SOCKET = f"unix://{STORE}/serve.sock"
SYSTEMD_LIKES = 3.0  # the exposure that `systemd-analyze security` still calls OK ends at 4.9


def setUpModule():
    """Makes the packages and installs them once; every test class changes a copy of that."""
    global installed, packages
    if not shutil.which("dpkg-buildpackage") or not shutil.which("dh"):
        raise unittest.SkipTest("debhelper is not installed; it is in packaging/packages.txt")
    installed = SystemCopy()
    unittest.addModuleCleanup(installed.close)
    packages = Path(tempfile.mkdtemp(prefix="vmferry-packages-"))
    unittest.addModuleCleanup(shutil.rmtree, packages, True)
    made = run(ROOT / "packaging/make-packages", BUILD, packages)
    assert made.returncode == 0, made.stderr
    result = installed.run("apt-get", "install", "-y", "--no-install-recommends", *put_debs_into(installed))
    assert result.returncode == 0, result.stdout + result.stderr
    installed.close()


def put_debs_into(copy):
    """Where they lie, seen from inside."""
    debs = sorted(packages.glob("*.deb"))
    for deb in debs:
        shutil.copy(deb, copy / "/srv")
    return [f"/srv/{deb.name}" for deb in debs]


def control_field(package, field):
    return run("dpkg-deb", "-f", next(packages.glob(f"{package}_*.deb")), field).stdout.strip()


class Case(unittest.TestCase):
    """`system` is a copy with the packages installed."""

    def setUp(self):
        self.system = SystemCopy(installed)
        self.addCleanup(self.system.close)

    def inside(self, *words, user=None, expect=0):
        result = self.system.run(*words, user=user)
        self.assertEqual(result.returncode, expect, f"{words}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
        return result.stdout

    def mode_and_owner(self, path):
        return self.inside("stat", "-c", "%a %U:%G", path).strip()

    def init_store(self):
        self.inside("vmferry-target", "init", "--store", STORE, user="vmferry")

    def sample_disk(self):
        """A disk at a place of its own inside; returns its path there."""
        (self.system / "/vmfs/sample").mkdir(parents=True)
        disk = "/vmfs/sample/sample.vmdk"
        made = run(BUILD / "bench/make-sample-disk", "create", self.system / disk, "--size-mib", 64)
        self.assertEqual(made.returncode, 0, made.stderr)
        return disk


class Installed(Case):
    def test_the_programs_run_and_say_the_packages_version(self):
        for package in ("vmferry", "vmferry-target"):
            version = control_field(package, "Version")
            self.assertEqual(self.inside(package, "--version").strip(), f"{package} {version}")

    def test_every_shared_library_is_of_a_package_that_is_depended_on(self):
        for package in ("vmferry", "vmferry-target"):
            depended = re.findall(r"[a-z0-9.+-]+", re.sub(r"\([^)]*\)", "", control_field(package, "Depends")))
            dynamic = run("readelf", "-d", self.system / f"/usr/bin/{package}").stdout
            for name in re.findall(r"NEEDED.*\[(.*)\]", dynamic):
                owners = re.findall(r"^(?:diversion.*\n)?([^:]+):\S* ", run("dpkg", "-S", f"*/{name}").stdout, re.M)
                self.assertTrue(set(owners) & set(depended), f"{package} needs {name} of {owners}, not {depended}")

    def test_programs_are_stripped_and_hardened(self):
        if "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo" not in (BUILD / "CMakeCache.txt").read_text():
            self.skipTest("not a release build")
        for package in ("vmferry", "vmferry-target"):
            program = self.system / f"/usr/bin/{package}"
            facts = run("readelf", "-W", "-h", "-l", "-d", "-S", program).stdout
            symbols = run("readelf", "--wide", "--dyn-syms", program).stdout
            self.assertRegex(facts, r"Type:\s+DYN", "position independent")
            self.assertIn("GNU_RELRO", facts)
            self.assertRegex(facts, r"FLAGS.*NOW|BIND_NOW")
            self.assertNotRegex(facts, r"GNU_STACK.*RWE")
            self.assertRegex(symbols, r"__stack_chk_fail")
            self.assertRegex(symbols, r"__\w+_chk@", "fortified")
            self.assertNotIn(".debug_info", facts)
            self.assertNotIn(str(ROOT).encode(), program.read_bytes(), "the checkout's path is in the program")

    def test_files_belong_to_whom_they_should(self):
        expected = {"/etc/vmferry": "755 root:root", "/etc/vmferry/config.toml": "644 root:root",
                    "/etc/vmferry/target.toml": "644 root:root", "/etc/vmferry/machines": "755 root:root",
                    "/var/lib/vmferry": "700 root:root", "/var/lib/vmferry-target": "700 vmferry:vmferry",
                    "/usr/bin/vmferry": "755 root:root", "/usr/bin/vmferry-target": "755 root:root"}
        self.assertEqual({path: self.mode_and_owner(path) for path in expected}, expected)
        user = self.inside("getent", "passwd", "vmferry").strip().split(":")
        self.assertEqual(user[5:], ["/var/lib/vmferry-target", "/bin/sh"])
        self.assertLess(int(user[2]), 1000, "a system user")
        self.assertRegex(self.inside("getent", "shadow", "vmferry"), r"^vmferry:[!*]", "no password opens it")

    def test_configuration_is_the_administrators(self):
        for package, file in (("vmferry", "config.toml"), ("vmferry-target", "target.toml")):
            listed = self.inside("dpkg-query", "-W", "-f", "${Conffiles}", package).split()
            self.assertEqual(listed[::2], [f"/etc/vmferry/{file}"])

    def test_the_commented_defaults_of_a_controller_are_settings_that_it_knows(self):
        text = (self.system / "/etc/vmferry/config.toml").read_text()
        (self.system / "/tmp/all.toml").write_text(re.sub(r'^#(\[|"|\w+ = )', r"\1", text, flags=re.M))
        every = tomllib.loads((self.system / "/tmp/all.toml").read_text())
        self.assertGreater(len(every), 4)
        self.assertEqual(len(every["bandwidth"]), 4)
        for config in ("/etc/vmferry/config.toml", "/tmp/all.toml"):
            self.inside("vmferry", "points", "--config", config, "--target", "file:///nowhere", expect=1)  # not 64

    def test_the_commented_defaults_of_a_target_are_settings_that_it_knows(self):
        text = (self.system / "/etc/vmferry/target.toml").read_text()
        self.assertEqual(tomllib.loads(text), {"store": STORE, "listen": ["tls://[::]:7447"]})
        (self.system / "/tmp/all.toml").write_text(re.sub(r"^#(\w+ = )", r"\1", text, flags=re.M))
        for config in ("/etc/vmferry/target.toml", "/tmp/all.toml"):
            self.inside("vmferry-target", "serve", "--config", config, expect=1)  # there is no store; not 64

    def test_man_pages_render_without_a_warning(self):
        for package in ("vmferry", "vmferry-target"):
            page = gzip.decompress((self.system / f"/usr/share/man/man1/{package}.1.gz").read_bytes()).decode()
            self.assertIn(f'"vmferry {control_field(package, "Version")}"', page.splitlines()[0])
            for width in ("80", "140"):
                result = self.system.run("env", f"MANWIDTH={width}", "man", "--warnings", package)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("SYNOPSIS", result.stdout)

    def complete(self, *words):
        script = ('. /usr/share/bash-completion/bash_completion; _completion_loader "$1"; '
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  'complete -p "$1" | sed "s/.*-F \\([^ ]*\\).*/\\1/" >/tmp/function; "$(cat /tmp/function)" "$1"; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        return self.inside("bash", "-c", script, "bash", *words).split()

    def test_completion_is_found_by_bash(self):
        if not (self.system / "/usr/share/bash-completion/bash_completion").exists():
            self.skipTest("bash-completion is not installed")
        self.assertEqual(self.complete("vmferry", "ba"), ["backup"])
        self.assertIn("--compression", self.complete("vmferry", "backup", "--"))
        self.assertEqual(self.complete("vmferry-target", "ser"), ["serve"])

    def test_units_are_right_and_confined(self):
        units = "/lib/systemd/system/"
        for unit in ("vmferry-target.service", "vmferry-backup@sample.service", "vmferry-backup@sample.timer"):
            verified = self.system.run("systemd-analyze", "verify", "--man=no", unit)
            self.assertEqual((verified.returncode, verified.stderr), (0, ""), unit)
        for unit in ("vmferry-target.service", "vmferry-backup@.service"):
            judged = self.inside("systemd-analyze", "security", "--offline=true", "--no-pager", units + unit)
            exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+) ", judged)[1])
            self.assertLess(exposure, SYSTEMD_LIKES, judged)


class LivedIn(Case):
    # What a system keeps of any package that was there: dpkg's and apt's books, the journal.
    KEPT_BY_OTHERS = re.compile(r"/srv/|/var/(lib/(dpkg|apt|systemd)|cache|log)(/|$)|"
                                r"/etc/(\.pwd\.lock|(passwd|group|shadow|gshadow)-)$")

    def left(self):
        """What is left on the system, without what is in the store."""
        return [path for path in self.system.added()
                if not self.KEPT_BY_OTHERS.match(path) and not path.startswith(STORE + "/")]

    def test_what_is_the_administrators_outlives_upgrades_and_removal_and_only_data_a_purge(self):
        config = self.system / "/etc/vmferry/config.toml"
        config.write_text('target = "file:///elsewhere"\n')
        self.init_store()
        (self.system / "/etc/vmferry/machines/web1.conf").write_text("DISK=/vmfs/web1.vmx\n")
        (self.system / "/var/lib/vmferry/catalog.sqlite").write_text("")

        self.inside("dpkg", "--install", *put_debs_into(self.system))
        self.assertEqual(config.read_text(), 'target = "file:///elsewhere"\n')
        self.inside("vmferry-target", "status", "--store", STORE, user="vmferry")

        self.inside("dpkg", "--remove", "vmferry", "vmferry-target")
        self.assertEqual(self.left(), ["/etc/vmferry", "/etc/vmferry/config.toml", "/etc/vmferry/machines",
                                       "/etc/vmferry/machines/web1.conf", "/etc/vmferry/target.toml",
                                       "/var/lib/vmferry", "/var/lib/vmferry-target", STORE,
                                       "/var/lib/vmferry/catalog.sqlite"])

        self.inside("dpkg", "--purge", "vmferry", "vmferry-target")
        self.assertEqual(self.left(), ["/var/lib/vmferry-target", STORE])
        self.assertTrue(list((self.system / STORE).glob("domains/*/*")), "the store was not touched")
        self.inside("getent", "passwd", "vmferry")

    def test_a_purge_of_what_was_never_used_leaves_nothing(self):
        self.inside("dpkg", "--purge", "vmferry", "vmferry-target")
        self.assertEqual(self.left(), [])


class Served(Case):
    """With systemd as process 1: the units as they are, with all that confines them."""

    def setUp(self):
        super().setUp()
        self.system.boot()

    def properties(self, unit, *names):
        shown = self.inside("systemctl", "show", unit, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def journal(self, unit):
        return self.inside("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def wait_for_line(self, pattern):
        follow = f'journalctl -f -n all -o cat -u vmferry-target | grep -q -m 1 "{pattern}"'
        self.inside("timeout", "300", "sh", "-c", follow)

    def serve(self):
        self.inside("systemctl", "enable", "--now", "vmferry-target")

    def test_a_machine_is_backed_up_by_its_timers_service_to_the_targets_service(self):
        self.init_store()
        self.serve()
        self.wait_for_line("^Serving ")
        (self.system / "/etc/vmferry/machines/sample.conf").write_text(
            f'DISK="{self.sample_disk()}"\nOPTIONS="--target {SOCKET}"\n')
        started = self.system.run("systemctl", "start", "vmferry-backup@sample")
        self.assertEqual(started.returncode, 0, self.journal("vmferry-backup@sample") + self.journal("vmferry-target"))
        self.assertIn("sample: point 1", self.journal("vmferry-backup@sample"))
        self.inside("vmferry", "verify", "sample", "--target", SOCKET)
        self.assertIn("files", self.journal("vmferry-backup@sample"))
        self.assertEqual(self.mode_and_owner(f"{STORE}/points"), "700 vmferry:vmferry")

    def test_whom_root_lets_in_the_service_knows(self):
        self.init_store()
        self.serve()
        self.wait_for_line("^Serving ")
        add = f"vmferry-target client add web --role sender,reader --store {STORE} --address localhost"
        self.inside("sh", "-c", f"{add} | vmferry enroll -")
        self.assertEqual(self.mode_and_owner(f"{STORE}/clients/web.toml"), "600 vmferry:vmferry")
        self.inside("vmferry", "backup", self.sample_disk(), "--name", "sample")
        self.inside("vmferry-target", "delete", "sample@1", "--store", STORE)
        self.assertNotIn("sample", self.inside("vmferry", "points"))

    def test_the_target_runs_as_its_user_with_no_rights_at_all(self):
        self.init_store()
        self.serve()
        process = self.properties("vmferry-target", "MainPID")["MainPID"]
        status = dict(re.findall(r"^(\w+):\s*(.*)$", self.inside("cat", f"/proc/{process}/status"), re.M))
        user = self.inside("id", "-u", "vmferry").strip()
        self.assertEqual(status["Uid"].split(), [user] * 4)
        self.assertEqual({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, {"0" * 16})
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_an_upgrade_restarts_a_running_target_and_a_removal_stops_it(self):
        self.init_store()
        self.serve()
        self.wait_for_line("^Serving ")
        before = self.properties("vmferry-target", "MainPID")["MainPID"]
        self.inside("dpkg", "--install", *put_debs_into(self.system))
        now = self.properties("vmferry-target", "MainPID", "ActiveState")
        self.assertEqual(now["ActiveState"], "active")
        self.assertNotIn(now["MainPID"], (before, "0"))
        self.inside("systemctl", "enable", "--now", "vmferry-backup@sample.timer")
        self.inside("dpkg", "--purge", "vmferry", "vmferry-target")
        listed = self.inside("systemctl", "list-units", "--all", "--no-legend", "vmferry*")
        self.assertNotRegex(listed, r"\bactive\b")
        self.assertEqual(list(self.system.root.glob("etc/systemd/system/*.wants/vmferry*")), [])

    def test_a_target_that_cannot_be_reached_is_tried_again(self):
        (self.system / "/etc/vmferry/machines/sample.conf").write_text(
            f'DISK="{self.sample_disk()}"\nOPTIONS="--target unix:///run/nobody.sock"\n')
        self.system.run("systemctl", "start", "vmferry-backup@sample")
        expected = {"ExecMainStatus": "3", "SubState": "auto-restart", "Nice": "10", "IOSchedulingClass": "3"}
        self.assertEqual(self.properties("vmferry-backup@sample", *expected), expected)

    def test_a_client_that_comes_by_ssh_gets_the_command_that_it_was_given(self):
        self.init_store()
        self.inside("sh", "-c", "mkdir -p /run/sshd && ssh-keygen -A && ssh-keygen -q -t ed25519 -N '' -f /root/key")
        key = (self.system / "/root/key.pub").read_text()
        self.inside("install", "-d", "-m", "700", "-o", "vmferry", "-g", "vmferry", "/var/lib/vmferry-target/.ssh")
        keys = self.system / "/var/lib/vmferry-target/.ssh/authorized_keys"
        keys.write_text(f'restrict,command="vmferry-target status --store {STORE}" {key}')
        self.inside("systemctl", "start", "ssh")
        answer = self.inside("ssh", "-i", "/root/key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                             "-o", "UserKnownHostsFile=/dev/null", "vmferry@127.0.0.1", "id")
        self.assertIn(f"in {STORE}", answer)

    def test_a_target_without_a_store_says_what_to_do_and_is_tried_again(self):
        self.serve()
        self.wait_for_line("Main process exited")
        self.assertIn("vmferry-target init", self.journal("vmferry-target"))
        self.assertEqual(self.properties("vmferry-target", "SubState")["SubState"], "auto-restart")


if __name__ == "__main__":
    unittest.main()
