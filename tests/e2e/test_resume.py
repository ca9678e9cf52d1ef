"""Killed at any instant: a restore that is gone on with gives the same disk, and brings over only what was missing."""
import os
import random
import signal
import subprocess
import time
import unittest

from vmferry_case import BUILD, Case, MiB, sha256


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
            for _ in range(6):
                killed += self.kill_in_the_middle(out, seeded.uniform(0.05, took * 1.2), "--format", form)
            result = self.json("restore", "sample", "--output", out, "--format", form, "--resume")
            self.assertEqual(sha256(content), sha256(whole))
            self.assertEqual(result["reused_bytes"] + result["written_bytes"], full["written_bytes"])
            self.assertLess(result["received_bytes"], full["received_bytes"] - result["reused_bytes"] // 4 + MiB)
            self.assertFalse(list(self.directory.glob(f"out-{form}*.partial")))
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


if __name__ == "__main__":
    unittest.main()
