"""What goes wrong at 2 a.m.: wrong names, full disks, killed processes, lost indexes. Each gives a sentence, and nothing is lost."""
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

from vmferry_case import BUILD, Case, run


class BadDays(Case):
    SAMPLE_MIB = 96

    def test_wrong_words_are_told_what_to_do(self):
        missing = self.json("backup", self.directory / "none.vmdk", expect=1)
        self.assertEqual(missing["error"]["code"], "not_found")
        disk = self.sample()
        no_store = self.json("backup", disk, expect=1)
        self.assertIn("init", no_store["error"]["message"])
        self.assertFalse(self.store.exists(), "a backup never makes a store")
        self.init_store()
        self.assertEqual(self.json("restore", "nobody", "--output", self.directory / "x", expect=1)["error"]["code"], "not_found")
        self.vmferry("backup", disk)
        wrong_point = self.json("restore", "sample@99", "--output", self.directory / "x", expect=1)
        self.assertEqual(wrong_point["error"]["code"], "not_found")
        self.assertIn("sample@99", wrong_point["error"]["message"])
        wrong_path = self.json("ls", "sample:/no/such", expect=1)
        self.assertEqual(wrong_path["error"]["code"], "not_found")
        self.json("backup", disk, "--source", "sometimes", expect=64)
        self.json("verify", "sample:/Users", expect=64)
        self.json("points", expect=64, target="ftp://somewhere")
        self.assertIn("bakup", self.json("bakup", disk, expect=64)["error"]["message"])

    def test_nothing_is_overwritten(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        out = self.directory / "there.vmdk"
        out.write_text("precious")
        self.assertEqual(self.json("restore", "sample", "--output", out, expect=1)["error"]["code"], "exists")
        self.assertEqual(out.read_text(), "precious")
        self.vmferry("restore", "sample", "--output", out, "--force", "--format", "sparse")

    def test_a_name_is_never_shared_by_two_machines(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk, "--name", "web1")
        other = self.directory / "other.vmdk"
        run("qemu-img", "create", "-f", "vmdk", other, "32M", check=True)
        descriptor = other.read_bytes()
        refused = self.json("backup", other, "--name", "web1", expect=1)
        self.assertEqual(refused["error"]["code"], "refused")
        self.assertIn("--adopt", refused["error"]["message"])
        self.assertEqual(other.read_bytes(), descriptor)
        self.vmferry("backup", other, "--name", "web1", "--adopt")

    def test_a_killed_backup_loses_nothing_and_the_next_one_ends(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        random_source = random.Random(20261122)
        for round_number in range(6):
            self.change(disk)
            process = subprocess.Popen([str(BUILD / "vmferry"), "backup", str(disk), "--catalog", str(self.catalog), "--target", self.target],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # Not a wait for something: the instant of the kill is the input of this test.
            time.sleep(random_source.uniform(0.0, 2.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.json("verify", "sample")
        last = self.json("backup", disk)
        self.json("verify", "sample")
        self.vmferry("restore", "sample", "--output", self.directory / "r.raw", "--format", "raw")
        self.assert_equal_but_for_left_out(disk, self.directory / "r.raw")
        self.assertGreaterEqual(last["point"], 2)

    def test_a_lost_index_is_rebuilt(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        for file in self.store.glob("index.sqlite*"):
            file.unlink()
        again = self.json("backup", disk)
        self.assertEqual(again["new_bytes"], 0)
        self.json("verify", "sample")

    def test_a_flipped_byte_in_a_pack_is_found_and_never_restored(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        packs = sorted((path for path in self.store.rglob("*.pack")), key=lambda path: path.stat().st_size)
        with open(packs[-1], "r+b") as pack:
            pack.seek(packs[-1].stat().st_size // 2)
            byte = pack.read(1)
            pack.seek(-1, os.SEEK_CUR)
            pack.write(bytes([byte[0] ^ 0x40]))
        found = self.json("verify", "sample", expect=4)
        self.assertTrue(found["damage"])
        result = run(BUILD / "vmferry", "restore", "sample", "--output", self.directory / "r.raw", "--format", "raw",
                     "--target", self.target, "--catalog", self.catalog)
        self.assertNotEqual(result.returncode, 0)
        self.assertFalse((self.directory / "r.raw").exists())

    def test_a_rotten_point_does_not_stop_the_next_backup(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        point = next(self.store.rglob("*.point"))
        times = point.stat()
        content = bytearray(point.read_bytes())
        content[len(content) // 2] ^= 0x10
        point.chmod(0o600)
        point.write_bytes(content)
        os.utime(point, ns=(times.st_atime_ns, times.st_mtime_ns))  # rot changes no times: the list still has it
        again = self.json("backup", disk)
        self.assertEqual((again["point"], again["new_bytes"]), (2, 0))
        self.json("verify", "sample@2")
        self.json("verify", "sample@1", expect=4)

    def test_a_store_put_back_to_an_earlier_day_under_a_newer_catalog(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        shutil.copytree(self.store, self.directory / "day1")
        self.change(disk)
        self.vmferry("backup", disk)
        shutil.rmtree(self.store)
        shutil.copytree(self.directory / "day1", self.store)
        self.vmferry("backup", disk)
        self.json("verify", "sample")
        self.vmferry("restore", "sample", "--output", self.directory / "r.raw", "--format", "raw")
        self.assert_equal_but_for_left_out(disk, self.directory / "r.raw")

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system wants root")
    def test_a_full_store_is_a_sentence_and_room_makes_it_go_on(self):
        small = self.directory / "small"
        small.mkdir()
        if run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", small).returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(run, "umount", "-l", small)
        self.store = small / "store"
        self.target = f"file://{self.store}"
        self.init_store()
        disk = self.sample()
        full = self.json("backup", disk, expect=1)
        self.assertEqual(full["error"]["code"], "no_space")
        run("mount", "-o", "remount,size=512m", small, check=True)
        self.vmferry("backup", disk)
        self.json("verify", "sample")

    def test_deleting_a_point_keeps_its_number_and_the_others(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        self.change(disk)
        self.vmferry("backup", disk)
        self.target_program("delete", "sample@2", "--store", self.store, "--dry-run")
        self.assertEqual(len(self.json("points")["points"]), 2)
        self.target_program("delete", "sample@2", "--store", self.store)
        self.json("verify", "sample@1")
        self.assertEqual(self.json("backup", disk)["point"], 3)

    def test_two_first_backups_of_one_name_at_once_do_not_make_two_machines(self):
        self.init_store()
        disk = self.directory / "plain.raw"  # nothing in it says which disk it is
        disk.write_bytes(os.urandom(16 << 20))
        socket = self.directory / "s.sock"
        server = subprocess.Popen([str(BUILD / "vmferry-target"), "serve", "--store", str(self.store), "--socket", str(socket)],
                                  stdout=subprocess.DEVNULL)
        try:
            while server.poll() is None and not socket.exists():
                time.sleep(0.01)
            command = [str(BUILD / "vmferry"), "backup", str(disk), "--name", "one", "--quiet", "--catalog", str(self.catalog),
                       "--target", f"unix://{socket}"]
            backups = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
            codes = [backup.wait(60) for backup in backups]
        finally:
            server.terminate()
            server.wait(20)
        self.assertTrue(set(codes) <= {0, 3} and 0 in codes, codes)
        points = self.json("points", "one")["points"]
        self.assertEqual(len({point["machine_uuid"] for point in points}), 1)
        self.assertEqual(len({point["point"] for point in points}), len(points))

    def test_two_controllers_may_use_one_name(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk, "--name", "web1")
        self.catalog = self.directory / "second" / "catalog.sqlite"
        self.vmferry("backup", disk, "--name", "web1")
        self.catalog = self.directory / "third" / "catalog.sqlite"
        ambiguous = self.json("ls", "web1:", expect=64)
        self.assertIn("/web1", ambiguous["error"]["message"])


if __name__ == "__main__":
    unittest.main()
