"""A target that is an account on a host with sshd: the main job over ssh://, by libssh2 and by the system's ssh, and clients confined by
authorized_keys."""
import json
import os
import select
import signal
import sys
import unittest
from pathlib import Path

from network_case import NetworkCase
from vmferry_case import BUILD, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from sshd import Sshd  # noqa: E402


class SshTarget(NetworkCase):
    SAMPLE_MIB = 96

    def setUp(self):
        super().setUp()
        self.init_store()
        self.sshd = self.enterContext(Sshd(self.directory / "sshd", path_first=BUILD))
        self.addCleanup(self.end_server)
        self.url = self.sshd.url(self.store)

    def end_server(self):
        """The one that the first session started."""
        pid = json.loads(run(BUILD / "vmferry-target", "status", "--store", self.store, "--json").stdout)["writer_pid"]
        if pid:
            ends = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            self.assertTrue(select.select([ends], [], [], 60)[0], "the server ends")
            os.close(ends)

    def over_ssh(self, host, key, *words, expect=0):
        return self.answer(host, *words, "--target", self.url, "--ssh-key", key, "--known-hosts", self.sshd.known_hosts(),
                           expect=expect)

    def test_the_main_job_by_libssh2_and_by_the_systems_ssh(self):
        host = self.host("controller")
        key = self.sshd.add_user_key("ed25519")
        disk = self.sample()
        first = self.over_ssh(host, key, "backup", disk, "--name", "sample")
        self.assertEqual(first["point"], 1)
        self.change(disk)
        second = self.answer(host, "backup", disk, "--name", "sample", "--target", self.url, "--ssh-command",
                             " ".join(["ssh", *self.sshd.ssh_options(self.sshd.add_user_key("ecdsa"))]))
        self.assertEqual(second["point"], 2)
        self.assertLess(second["sent_bytes"], first["sent_bytes"] / 2)
        restored = self.directory / "restored.raw"
        self.over_ssh(self.host("desk"), key, "restore", "sample", "--output", restored, "--format", "raw")
        self.assert_equal_but_for_left_out(disk, restored)

    def test_a_key_is_confined_to_what_its_client_may_do(self):
        line = self.target_program("client", "add", "web", "--role", "sender", "--machines", "web*", "--ssh", "--store", self.store,
                                   "--json")
        forced = json.loads(line.stdout)["authorized_keys"]
        key = self.sshd.add_user_key("ed25519", options=forced)
        host = self.host("web")
        disk = self.sample()
        self.over_ssh(host, key, "backup", disk, "--name", "web1")
        self.assertEqual(self.over_ssh(host, key, "backup", disk, "--name", "db1", expect=1)["error"]["code"], "permission")
        stolen = self.over_ssh(self.host("thief"), key, "points", expect=1)
        self.assertEqual(stolen["error"]["code"], "refused", "the key is another controller's")
        self.target_program("client", "revoke", "web", "--store", self.store)
        revoked = self.over_ssh(host, key, "points", expect=1)
        self.assertEqual(revoked["error"]["code"], "permission")

    def test_a_host_that_is_not_known_is_refused_with_what_to_do(self):
        key = self.sshd.add_user_key("ed25519")
        empty = self.directory / "empty"
        empty.touch()
        refused = self.answer(self.host("new"), "points", "--target", self.url, "--ssh-key", key, "--known-hosts", empty, expect=1)
        self.assertEqual(refused["error"]["code"], "refused")
        self.assertIn("SHA256:", refused["error"]["message"])


if __name__ == "__main__":
    unittest.main()
