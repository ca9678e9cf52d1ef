"""Target to target: points copied to a further site, a first full that travels on a disk, and what goes wrong."""
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from vmferry_case import BUILD, Case, run

TARGET = BUILD / "vmferry-target"


class Replicate(Case):
    SAMPLE_MIB = 64

    def setUp(self):
        super().setUp()
        self.far = self.directory / "far"
        self.key = self.directory / "domain.key"

    # --- steps
    def target_json(self, *words, expect=0):
        answer = json.loads(self.target_program(*words, "--json", expect=expect).stdout)
        self.assertEqual(answer["exit_code"], expect)
        return answer

    def init_joined(self, directory, store=None):
        self.key.write_bytes(self.target_program("key", "export", "--store", store or self.store).stdout)
        self.target_program("init", "--store", directory, "--domain", self.key)

    def push(self, *names, store=None, to=None, expect=0):
        return self.target_json("push", "--store", store or self.store, "--to", to or f"file://{self.far}", *names,
                                expect=expect)

    def pull(self, *names, store=None, source=None, expect=0):
        return self.target_json("pull", "--store", store or self.far, "--from", source or f"file://{self.store}",
                                *names, expect=expect)

    def serve(self, store, name="far.sock"):
        socket = self.directory / name
        server = subprocess.Popen([str(TARGET), "serve", "--store", str(store), "--socket", str(socket)],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop, server)
        self.assertIn(b"Serving", server.stdout.readline())
        return f"unix://{socket}", server

    def stop(self, server):
        if server.poll() is None:
            server.terminate()
            server.wait(20)
        server.stdout.close()

    def assert_restores(self, disk, target, point="sample"):
        restored = self.directory / "restored.raw"
        self.vmferry("restore", point, "--output", restored, "--format", "raw", "--force", target=target)
        self.assert_equal_but_for_left_out(disk, restored)

    @staticmethod
    def points_of(store):
        return {file.relative_to(store): file.read_bytes() for file in store.glob("points/**/*.point")}

    def two_points(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk, "--name", "sample")
        self.change(disk)
        self.vmferry("backup", disk, "--name", "sample")
        return disk

    # --- what is promised
    def test_points_arrive_byte_for_byte_and_only_once(self):
        disk = self.two_points()
        self.init_joined(self.far)
        would = self.target_json("push", "--store", self.store, "--to", f"file://{self.far}", "--dry-run")
        self.assertEqual([point["point"] for point in would["would_copy"]], [1, 2])
        self.assertEqual(self.points_of(self.far), {})
        first = self.push()
        self.assertEqual([point["point"] for point in first["copied"]], [1, 2])
        self.assertEqual(self.points_of(self.far), self.points_of(self.store))
        again = self.push()
        self.assertEqual((again["copied"], again["there_already"], again["chunks"]), ([], 2, 0))
        self.assertLess(again["sent_bytes"] + again["received_bytes"], 4096)
        self.assert_restores(disk, f"file://{self.far}")
        self.json("verify", "sample@1", "--pull", target=f"file://{self.far}")
        sizes = [sum(file.stat().st_size for file in store.glob("**/*.pack")) for store in (self.store, self.far)]
        self.assertLess(sizes[1], sizes[0] * 1.1)

    def test_pull_brings_the_same_and_from_a_served_store_into_a_served_store(self):
        disk = self.two_points()
        self.init_joined(self.far)
        near, _ = self.serve(self.store, "near.sock")
        one = self.pull("sample@1", source=near)
        self.assertEqual([point["point"] for point in one["copied"]], [1])
        far, server = self.serve(self.far)
        rest = self.pull(source=near)  # through the far store's own server: it is the one writer
        self.assertEqual([point["point"] for point in rest["copied"]], [2])
        self.assertLess(rest["received_bytes"], one["received_bytes"] / 2)
        self.assertEqual(self.points_of(self.far), self.points_of(self.store))
        self.assert_restores(disk, far)

    def test_a_first_full_travels_on_a_disk_and_the_next_backup_sends_only_changes(self):
        self.target_program("init", "--store", self.far)
        far, _ = self.serve(self.far)
        usb = self.directory / "usb"
        self.init_joined(usb, store=self.far)
        disk = self.sample()
        full = self.json("backup", disk, "--name", "sample", target=f"file://{usb}")
        shipped = self.directory / "shipped"  # the disk arrives at the far place
        usb.rename(shipped)
        seeded = self.push(store=shipped, to=far)
        self.assertEqual([point["point"] for point in seeded["copied"]], [1])
        self.change(disk)
        over_the_line = self.json("backup", disk, "--name", "sample", target=far)
        self.assertEqual(over_the_line["point"], 2)
        self.assertLess(over_the_line["sent_bytes"], full["sent_bytes"] / 3)
        self.assertGreater(over_the_line["delta_chunks"], 0, "it builds on the point that was shipped")
        self.assert_restores(disk, far)

    def test_a_chain_of_stores_and_a_deletion_that_stays_where_it_was_made(self):
        disk = self.two_points()
        self.init_joined(self.far)
        third = self.directory / "third"
        self.init_joined(third)
        self.push()
        self.target_program("delete", "sample@1", "--store", self.store)
        self.push()
        self.assertEqual(len(self.points_of(self.far)), 2)
        self.push(store=self.far, to=f"file://{third}")
        self.assertEqual(self.points_of(third), self.points_of(self.far))
        self.assert_restores(disk, f"file://{third}")

    def test_another_domain_is_refused_with_the_way_to_make_a_store_that_joins(self):
        self.two_points()
        self.target_program("init", "--store", self.far)
        refused = self.push(expect=1)
        self.assertEqual(refused["error"]["code"], "refused")
        for word in ("domain", "key export", "init --store DIR --domain FILE"):
            self.assertIn(word, refused["error"]["message"])
        self.assertEqual(self.points_of(self.far), {})
        self.key.write_text("no key at all\n")
        no_key = self.target_json("init", "--store", self.directory / "other", "--domain", self.key, expect=1)
        self.assertIn("key export", no_key["error"]["message"])

    def test_a_machine_backed_up_to_both_stores_keeps_its_points_in_each(self):
        disk = self.two_points()
        self.init_joined(self.far)
        self.push("sample@1")
        self.vmferry("backup", disk, "--name", "sample", target=f"file://{self.far}")
        before = self.points_of(self.far)
        refused = self.push(expect=1)
        self.assertEqual(refused["failed"][0]["error"]["code"], "refused")
        self.assertIn("both stores", refused["failed"][0]["error"]["message"])
        self.assertEqual(self.points_of(self.far), before)

    def test_a_damaged_chunk_is_refused_by_name_and_the_other_machine_is_copied(self):
        self.two_points()
        other = self.sample("other.vmdk")
        self.vmferry("backup", other, "--name", "other", "--exact")
        self.init_joined(self.far)
        pack = max(self.store.glob("journal/*.pack"), key=lambda file: file.stat().st_size)
        with open(pack, "r+b") as file:  # in the first machine's first frames
            file.seek(2000)
            byte = file.read(1)
            file.seek(2000)
            file.write(bytes([byte[0] ^ 0x40]))
        answer = self.push(expect=4)
        self.assertIn(("sample", "damaged"), {(point["name"], point["error"]["code"]) for point in answer["failed"]})
        self.assertIn("chunk", answer["failed"][0]["error"]["message"])
        for point in answer["copied"]:
            self.json("verify", f"{point['name']}@{point['point']}", "--pull", target=f"file://{self.far}")
        self.assertEqual(len(self.points_of(self.far)), len(answer["copied"]))

    def test_a_push_that_is_killed_goes_on_where_it_was(self):
        disk = self.two_points()
        self.init_joined(self.far)
        far, server = self.serve(self.far)
        whole = sum(file.stat().st_size for file in self.store.glob("**/*.pack"))
        command = [str(TARGET), "push", "--store", str(self.store), "--to", far]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while child.poll() is None and sum(file.stat().st_size for file in self.far.glob("**/*.pack")) < whole / 4:
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
        rest = self.push_when_free(far)
        self.assertLess(rest["sent_bytes"], whole)
        self.assertEqual(self.points_of(self.far), self.points_of(self.store))
        self.assert_restores(disk, far)

    def push_when_free(self, far):
        """The server holds a killed push's machine until it has taken in what had arrived."""
        until = time.monotonic() + 60
        while True:
            result = run(TARGET, "push", "--store", self.store, "--to", far, "--json")
            if result.returncode != 3 or time.monotonic() > until:
                self.assertEqual(result.returncode, 0, result.stdout.decode())
                return json.loads(result.stdout)

    def test_two_pushes_at_once_end_with_every_point_there_once(self):
        disk = self.two_points()
        self.init_joined(self.far)
        far, _ = self.serve(self.far)
        children = [subprocess.Popen([str(TARGET), "push", "--store", str(self.store), "--to", far, "--json"],
                                     stdout=subprocess.PIPE) for _ in range(2)]
        answers = [json.loads(child.communicate()[0]) for child in children]
        for answer in answers:
            for failed in answer["failed"]:
                self.assertEqual(failed["error"]["code"], "busy")
        self.push(to=far)
        self.assertEqual(self.points_of(self.far), self.points_of(self.store))
        self.assert_restores(disk, far)

    def test_a_copy_beside_a_running_server_reads_what_is_committed(self):
        disk = self.two_points()
        self.init_joined(self.far)
        near, _ = self.serve(self.store, "near.sock")
        self.change(disk)
        self.vmferry("backup", disk, "--name", "sample", target=near)
        self.assertEqual(len(self.push()["copied"]), 3)
        self.assert_restores(disk, f"file://{self.far}")


if __name__ == "__main__":
    unittest.main()
