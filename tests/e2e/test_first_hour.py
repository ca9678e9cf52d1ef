"""The first hour of a new user, as docs/operating.md has it: its commands, typed as they stand there, on three hosts
that share nothing but a line. Each is a copy of this machine's system in a network namespace of its own."""
import re
import shutil
import subprocess
import sys
import unittest

from system_copy import SystemCopy, mount
from vmferry_case import BUILD, ROOT, Case

sys.path.insert(0, str(ROOT / "bench"))
from link import network  # noqa: E402
from link.network import Line, Network  # noqa: E402

COMMANDS_MAX = 10
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


def documented_commands():
    """(host, what is typed there), in the document's order."""
    text = (ROOT / "docs/operating.md").read_text()
    section = text.split("\n### The first hour\n")[1].split("\n### ")[0]
    return re.findall(r"^    (\w+)# +(.+)$", section, re.M)


class Computer:
    """A host with the programs installed, and nothing of vmferry's else."""

    def __init__(self, host, target_address):
        self.host, self.system = host, SystemCopy()
        for program in ("vmferry", "vmferry-target"):
            (self.system / f"/usr/bin/{program}").touch()
            mount("--bind", BUILD / program, self.system / f"/usr/bin/{program}")
        for left in ("/etc/vmferry", "/var/lib/vmferry"):
            shutil.rmtree(self.system / left, ignore_errors=True)
        for directory in ("/backup", "/vmfs/web1", "/vmfs/restored"):
            (self.system / directory).mkdir(parents=True)
        (self.system / "/etc/hosts").write_text(f"127.0.0.1 localhost\n{target_address} backup.example\n")

    def words(self, command):
        return ["chroot", self.system.root, "bash", "-c", command]

    def type(self, command, pasted=""):
        return self.host.run(self.words(command), check=False, input=pasted, env=ENVIRONMENT)

    def leave_running(self, command):
        return self.host.start(self.words(command), env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               text=True)


class FirstHour(Case):
    SAMPLE_MIB = 96

    def setUp(self):
        super().setUp()
        if reason := network.why_not():
            self.skipTest(reason)
        net = self.enterContext(Network("target", ("controller", "desk"), Line(rate="100mbit", round_trip_ms=20)))
        self.computers = {}
        for name in ("target", "controller", "desk"):
            self.computers[name] = Computer(net[name], net["target"].address)
            self.addCleanup(self.computers[name].system.close)

    def end(self, server):
        server.terminate()
        self.assertEqual(server.wait(60), 0)
        server.stdout.close()

    def type_all(self, commands):
        """What each printed; a line that was printed for `enroll` is pasted into the next one."""
        printed, pasted = [], ""
        for name, command in commands:
            if command.split("  #")[0].rstrip().endswith("&"):
                server = self.computers[name].leave_running(command.rstrip("& "))
                self.addCleanup(self.end, server)
                printed.append(server.stdout.readline())
                self.assertIn("Serving", printed[-1])
                continue
            result = self.computers[name].type(command, pasted)
            self.assertEqual(result.returncode, 0, f"{name}# {command}\n{result.stdout}\n{result.stderr}")
            printed.append(result.stdout)
            if "client add" in command:
                pasted = result.stdout
        return printed

    def test_the_documents_commands_bring_a_disk_to_a_third_host(self):
        commands = documented_commands()
        self.assertLessEqual(len(commands), COMMANDS_MAX)
        self.assertEqual({name for name, _ in commands}, set(self.computers))
        controller, desk = self.computers["controller"].system, self.computers["desk"].system
        disk = controller / "/vmfs/web1/web1.vmdk"
        self.run_checked(BUILD / "bench/make-sample-disk", "create", disk, "--size-mib", self.SAMPLE_MIB)
        printed = self.type_all(commands)
        listing = next(text for (_, command), text in zip(commands, printed) if command.startswith("vmferry points"))
        self.assertRegex(listing, r"(?m)^(\S+/)?web1 +1 ")
        self.assert_equal_but_for_left_out(disk, desk / "/vmfs/restored/web1-flat.vmdk")
        self.assertFalse((desk / "/backup/store").exists())
        key = self.computers["target"].system / "/root/vmferry-domain.key"
        self.assertGreater(key.stat().st_size, 100)


if __name__ == "__main__":
    unittest.main()
