"""Killed at any instant: a restore that is gone on with gives the same disk, and brings over only what was missing."""
import os
import random
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from network_case import NetworkCase
from vmferry_case import BUILD, Case, MiB, sha256

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from sshd import Sshd  # noqa: E402

CHUNK_MAX = 256 << 10
FRAME_MAX = 512 << 10
# All nodes of the sample's trees, each of which may come with each level of the map: 125 KB a time.
MAP_MAX = 3 * 150_000


class Resume(Case):
    SAMPLE_MIB = 160

    def kill_in_the_middle(self, output, delay, *words):
        """True where it was killed before it ended."""
        command = [BUILD / "vmferry", "restore", "sample", "--output", output, "--resume", *words, "--catalog", self.catalog,
                   "--target", self.target]
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        return process.returncode == -signal.SIGKILL

    def test_a_killed_restore_is_gone_on_with(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        whole = self.directory / "whole.raw"
        began = time.monotonic()
        full = self.json("restore", "sample", "--output", whole, "--format", "raw")
        took = time.monotonic() - began
        self.assertEqual(full["reused_bytes"], 0)
        seeded = random.Random(4)
        killed = 0
        for form, data in (("raw", "{}"), ("flat", "{}-flat.vmdk")):
            out = self.directory / f"out-{form}"
            content = self.directory / data.format(f"out-{form}")
            killed_here = 0
            for _ in range(6):
                killed_here += self.kill_in_the_middle(out, seeded.uniform(0.05, took * 1.2), "--format", form)
            left = Path(f"{content}.partial")
            was_written = left.stat().st_blocks * 512 if left.exists() else None
            result = self.json("restore", "sample", "--output", out, "--format", form, "--resume")
            self.assertEqual(sha256(content), sha256(whole))
            self.assertEqual(result["reused_bytes"] + result["written_bytes"], full["written_bytes"])
            # What each kill may leave half done: a chunk, which was being written.
            if was_written is not None:
                self.assertGreaterEqual(result["reused_bytes"], was_written - (killed_here + 1) * CHUNK_MAX)
            # Frames come whole: where a kill fell between two chunks of one, it comes again; and so may those of which
            # the restore asked for a part in another batch.
            self.assertLessEqual(result["received_bytes"],
                                 min(full["received_bytes"], result["written_bytes"] + (killed_here + 2) * FRAME_MAX) + MAP_MAX)
            self.assertFalse(list(self.directory.glob(f"out-{form}*.partial")))
            again = self.json("restore", "sample", "--output", out, "--format", form, "--resume")
            self.assertEqual((again["reused_bytes"], again["written_bytes"]), (full["written_bytes"], 0))
            self.assertLessEqual(again["received_bytes"], MAP_MAX)  # no frame of data
            killed += killed_here
        self.assertGreater(killed, 0)
        self.assert_equal_but_for_left_out(disk, whole)

    def test_without_resume_the_sentence_says_what_to_do(self):
        self.init_store()
        self.vmferry("backup", self.sample())
        out = self.directory / "out.raw"
        (self.directory / "out.raw.partial").write_bytes(os.urandom(MiB))
        refused = self.json("restore", "sample", "--output", out, "--format", "raw", expect=1)
        self.assertEqual(refused["error"]["code"], "exists")
        self.assertIn("--resume", refused["error"]["message"])
        self.json("restore", "sample", "--output", out, "--format", "raw", "--resume")
        self.assertEqual(self.json("restore", "sample:/Users", "--output", self.directory / "d", "--resume", expect=64)
                         ["error"]["code"], "usage")


class ResumeOverALine(NetworkCase):
    SAMPLE_MIB = 96

    def setUp(self):
        super().setUp()
        self.init_store()
        self.serve()
        self.reader = self.host("reader")

    def resume(self, url, *words):
        """Killed again and again, each time a little later, and gone on with; then once more, where nothing is left to do."""
        whole, out = self.directory / "whole.raw", self.directory / "out.raw"
        restore = ("restore", "sample", "--target", url, *words, "--format", "raw", "--resume", "--output")
        full = self.answer(self.reader, *restore, whole)
        killed = 0
        partial = self.directory / "out.raw.partial"
        for part in (1, 2, 3):
            process = self.reader.start(*restore, out)
            while process.poll() is None:
                if partial.exists() and partial.stat().st_blocks * 512 > full["written_bytes"] * part // 4:
                    process.kill()
                    break
                time.sleep(0.001)  # how far it is can only be looked at
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
        self.assertGreater(killed, 0)
        was_written = partial.stat().st_blocks * 512 if partial.exists() else 0
        result = self.answer(self.reader, *restore, out)
        self.assertEqual(sha256(out), sha256(whole))
        self.assertGreaterEqual(result["reused_bytes"], was_written - (killed + 1) * CHUNK_MAX)
        self.assertLessEqual(result["received_bytes"], result["written_bytes"] + (killed + 2) * FRAME_MAX + MAP_MAX)
        again = self.answer(self.reader, *restore, out)
        self.assertEqual((again["reused_bytes"], again["written_bytes"]), (full["written_bytes"], 0))
        self.assertLessEqual(again["received_bytes"], MAP_MAX)

    def test_over_tls(self):
        url = self.enroll(self.reader, "reader")
        self.answer(self.reader, "backup", self.sample(), "--target", url)
        self.resume(url)

    def test_over_ssh(self):
        sshd = self.enterContext(Sshd(self.directory / "sshd", path_first=BUILD))
        url = sshd.url(self.store)
        words = ("--ssh-key", sshd.add_user_key("ed25519"), "--known-hosts", sshd.known_hosts())
        self.answer(self.reader, "backup", self.sample(), "--target", url, *words)
        self.resume(url, *words)


if __name__ == "__main__":
    unittest.main()
