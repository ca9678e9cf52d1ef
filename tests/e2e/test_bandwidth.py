"""The bandwidth's timetable in the configuration, and SIGHUP: a running backup reads it again, and is never ended."""
import json
import os
import signal
import time
import unittest
from pathlib import Path

from network_case import NetworkCase


class Bandwidth(NetworkCase):
    SAMPLE_MIB = 96

    def setUp(self):
        super().setUp()
        self.init_store()
        self.config = self.directory / "config.toml"

    def wait_until_it_takes_signals(self, process):
        """Until it has blocked SIGHUP: before that, the kernel ends any program by it."""
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            if int(status.split("SigBlk:")[1].split()[0], 16) & 1 << (signal.SIGHUP - 1):
                return
            time.sleep(0.001)  # polling, since another process' start is no event of ours
        self.fail(process.communicate()[1].decode())

    def finished(self, process):
        out, err = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, err.decode())
        self.assertEqual(json.loads(out)["point"], 1)
        return err.decode()

    def next_note(self, process, words):
        for line in process.stderr:
            if words in line.decode():
                return line.decode()
        self.fail(f"it ended without a word of: {words}")

    def test_sighup_ends_no_backup_to_a_directory_at_no_time(self):
        backup = self.host("web").start("backup", self.sample(), "--name", "sample", "--target", self.target, "--json",
                                        start_new_session=True)
        self.wait_until_it_takes_signals(backup)
        while backup.poll() is None:
            os.killpg(backup.pid, signal.SIGHUP)  # its cracker too, as `systemctl kill` does
            time.sleep(0.005)  # as often as a backup of a second or two can be asked
        self.finished(backup)

    def test_sighup_before_the_target_has_answered_ends_nothing(self):
        server = self.serve()
        host = self.host("web")
        url = self.enroll(host, "web")
        disk = self.sample()
        server.send_signal(signal.SIGSTOP)  # the kernel takes the connection, and nobody answers
        self.addCleanup(server.send_signal, signal.SIGCONT)
        backup = host.start("backup", disk, "--name", "sample", "--target", url, "--json", "--config", self.config_of(""))
        self.wait_until_it_takes_signals(backup)
        backup.send_signal(signal.SIGHUP)
        self.next_note(backup, "the limit is now unlimited")
        backup.send_signal(signal.SIGHUP)
        server.send_signal(signal.SIGCONT)
        self.finished(backup)

    def test_a_running_backup_follows_the_table_that_was_changed(self):
        self.serve()
        host = self.host("web")
        url = self.enroll(host, "web")
        # The first line counts, with which this disk takes some minutes.
        config = self.config_of('[bandwidth]\n"Mon-Sun" = "400kbit"\n"00:00-24:00" = "1gbit"\n')
        backup = host.start("backup", self.sample(), "--name", "sample", "--target", url, "--json", "--config", config)
        self.wait_until_it_takes_signals(backup)
        backup.send_signal(signal.SIGHUP)
        self.next_note(backup, "the limit is now 400 kbit/s")
        self.config_of('[bandwidth]\n"Mon-Sun 08:00" = "5mbit"\n')
        backup.send_signal(signal.SIGHUP)
        note = self.next_note(backup, "the former bandwidth stays")
        self.assertIn("config.toml line 2: not a time of a timetable: Mon-Sun 08:00", note)
        self.config_of('[bandwidth]\n"Mon-Sun" = "unlimited"\n')
        backup.send_signal(signal.SIGHUP)
        self.next_note(backup, "the limit is now unlimited")
        self.finished(backup)

    def test_a_wrong_line_is_an_error_at_the_start(self):
        config = self.config_of('[bandwidth]\nlimit = "5mbit"\n"Mon-Fry 08:00-18:00" = "5mbit"\n')
        refused = self.answer(self.host("web"), "points", "--target", self.target, "--config", config, expect=64)
        self.assertIn(f"{config} line 3: not a time of a timetable: Mon-Fry 08:00-18:00", refused["error"]["message"])

    def config_of(self, text):
        written = self.directory / "config.new"
        written.write_text(text)
        written.rename(self.config)
        return self.config


if __name__ == "__main__":
    unittest.main()
