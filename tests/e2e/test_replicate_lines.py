"""Copies between stores beyond a line: push and pull over tls:// and ssh://, and what a client's role allows of them."""
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

TARGET = BUILD / "vmferry-target"


class ReplicateLines(NetworkCase):
    """`here` is the store at hand; `store` is the far one, of the same domain, that is reached over a line."""

    SAMPLE_MIB = 64

    def setUp(self):
        super().setUp()
        self.here = self.directory / "here"
        self.target_program("init", "--store", self.here)
        key = self.directory / "domain.key"
        key.write_bytes(self.target_program("key", "export", "--store", self.here).stdout)
        self.target_program("init", "--store", self.store, "--domain", key)

    # --- steps
    def two_points(self, store):
        self.disk = self.sample()
        for change in (False, True):
            if change:
                self.change(self.disk)
            self.vmferry("backup", self.disk, "--name", "sample", target=f"file://{store}")

    def copy(self, *words, expect=0):
        answer = run(TARGET, *words, "--json")
        self.ok(answer, expect)
        return json.loads(answer.stdout)

    def enrol_store(self, role):
        """The store at hand enrols at the far one; the options by which it is known there."""
        enrolments = ["--enrolments", self.directory / f"targets-of-{role}"]
        self.ok(run(TARGET, "enroll", "-", "--store", self.here, *enrolments, input=self.enrolment_line(role, role)))
        return enrolments

    def over_ssh(self):
        sshd = self.enterContext(Sshd(self.directory / "sshd", path_first=BUILD))
        for store in (self.here, self.store):
            self.addCleanup(self.end_server, store)
        return sshd

    def end_server(self, store):
        """The one that the first session over SSH started, if one did."""
        pid = json.loads(run(TARGET, "status", "--store", store, "--json").stdout)["writer_pid"]
        if pid:
            ends = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            self.assertTrue(select.select([ends], [], [], 60)[0], "the server ends")
            os.close(ends)

    @staticmethod
    def points_of(store):
        return {file.relative_to(store): file.read_bytes() for file in store.glob("points/**/*.point")}

    def assert_copied(self, first, again, to):
        self.assertEqual([point["point"] for point in first["copied"]], [1, 2])
        self.assertEqual(len(self.points_of(to)), 2)
        self.assertEqual(self.points_of(self.store), self.points_of(self.here))
        self.assertEqual((again["copied"], again["there_already"], again["chunks"]), ([], 2, 0))
        restored = self.directory / "restored.raw"
        self.vmferry("restore", "sample", "--output", restored, "--format", "raw", target=f"file://{to}")
        self.assert_equal_but_for_left_out(self.disk, restored)

    # --- what is promised
    def test_push_over_tls(self):
        self.two_points(self.here)
        self.serve()
        push = ["push", "--store", self.here, "--to", f"tls://127.0.0.1:{self.port}", *self.enrol_store("replica")]
        self.assert_copied(self.copy(*push), self.copy(*push), self.store)

    def test_pull_over_tls_with_the_rights_of_a_reader(self):
        self.two_points(self.store)
        self.serve()
        pull = ["pull", "--store", self.here, "--from", f"tls://127.0.0.1:{self.port}", *self.enrol_store("reader")]
        self.assert_copied(self.copy(*pull), self.copy(*pull), self.here)

    def test_who_is_no_replica_may_not_push(self):
        self.two_points(self.here)
        self.serve()
        for role in ("sender", "reader", "operator"):
            refused = self.copy("push", "--store", self.here, "--to", f"tls://127.0.0.1:{self.port}",
                                *self.enrol_store(role), expect=1)
            self.assertEqual({point["error"]["code"] for point in refused["failed"]}, {"refused"})
            self.assertIn("only a client with the role replica", refused["failed"][0]["error"]["message"])
        self.assertEqual(self.points_of(self.store), {})

    def test_push_and_pull_over_ssh(self):
        self.two_points(self.here)
        sshd = self.over_ssh()
        line = ["--ssh-key", sshd.add_user_key("ed25519"), "--known-hosts", sshd.known_hosts()]
        push = ["push", "--store", self.here, "--to", sshd.url(self.store), *line]
        self.assert_copied(self.copy(*push), self.copy(*push), self.store)
        self.change(self.disk)
        self.vmferry("backup", self.disk, "--name", "sample", target=f"file://{self.here}")
        pulled = self.copy("pull", "--store", self.store, "--from", sshd.url(self.here), *line)
        self.assertEqual([point["point"] for point in pulled["copied"]], [3])
        self.assertEqual(self.points_of(self.store), self.points_of(self.here))

    def test_a_confined_replica_pushes_by_the_systems_ssh(self):
        self.two_points(self.here)
        sshd = self.over_ssh()
        added = self.target_program("client", "add", "here", "--role", "replica", "--ssh", "--store", self.store,
                                    "--json")
        key = sshd.add_user_key("ecdsa", options=json.loads(added.stdout)["authorized_keys"])
        push = ["push", "--store", self.here, "--to", sshd.url(self.store), "--ssh-command",
                " ".join(["ssh", *sshd.ssh_options(key)])]
        self.assert_copied(self.copy(*push), self.copy(*push), self.store)


if __name__ == "__main__":
    unittest.main()
