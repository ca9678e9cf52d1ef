"""The main job as a user runs it: back up, back up again, list, restore; judged by tools that we did not write."""
import json
import os
import unittest

from vmferry_case import BUILD, Case, run, sha256

REPORT = "/Users/ann/Documents/report.txt"


class MainJob(Case):
    def test_a_default_backup_restores_every_file_and_every_allocated_cluster(self):
        self.init_store()
        disk = self.sample()
        first = self.json("backup", disk, "--name", "sample")
        self.assertEqual(first["point"], 1)
        self.assertEqual(first["data_bytes"] + first["free_bytes"] + first["excluded_bytes"] + first["hole_bytes"],
                         first["disk_bytes"])
        self.assertGreater(first["excluded_bytes"], 0, "the sample has a pagefile")
        self.assertGreater(first["free_bytes"], 0)
        self.assertGreater(first["new_bytes"], 0)
        self.assertGreaterEqual(first["sent_bytes"], first["stored_bytes"])

        self.change(disk)
        second = self.json("backup", disk, "--name", "sample")
        self.assertEqual(second["point"], 2)
        self.assertLess(second["sent_bytes"], first["sent_bytes"] / 2)

        restored = self.directory / "restored.raw"
        self.vmferry("restore", "sample", "--output", restored, "--format", "raw")
        self.assert_equal_but_for_left_out(disk, restored)

        self.vmferry("restore", f"sample:{REPORT}", "--output", self.directory)
        self.assertEqual((self.directory / "report.txt").read_bytes(), self.original_file(disk, REPORT))
        cat = self.vmferry("cat", f"sample@1:{REPORT}").stdout
        self.assertEqual(cat, b"The first version of the report.\n")
        self.json("verify", "sample")
        self.json("verify", "sample@1", "--pull")

    def test_exact_is_equal_bit_by_bit_in_every_format(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk, "--exact")
        for format_name, suffix in (("raw", "raw"), ("flat", "vmdk"), ("sparse", "vmdk"), ("stream", "vmdk"), ("same", "vmdk")):
            with self.subTest(format_name):
                restored = self.directory / f"{format_name}-restored.{suffix}"
                self.vmferry("restore", "sample", "--output", restored, "--format", format_name)
                self.assert_same_disk(self.flat_of(disk), restored)

    def test_an_unchanged_disk_sends_next_to_nothing(self):
        self.init_store()
        disk = self.sample()
        first = self.json("backup", disk)
        again = self.json("backup", disk)
        self.assertEqual(again["new_bytes"], 0)
        self.assertLess(again["sent_bytes"], 64 * 1024)
        self.assertGreater(first["new_chunks"], 100)

    def test_every_file_of_a_directory_comes_back(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        out = self.directory / "out"
        out.mkdir()
        self.vmferry("restore", "sample:/Users", "--output", out)
        listed = self.json("ls", "sample:/Users", "-r")["entries"]
        files = [entry for entry in listed if entry["type"] == "file"]
        self.assertGreater(len(files), 3)
        for entry in files:
            restored = out / entry["path"].lstrip("/")
            self.assertTrue(restored.is_file(), entry["path"])
            self.assertEqual(restored.stat().st_size, entry["bytes"])
        for entry in files[:5]:
            self.assertEqual((out / entry["path"].lstrip("/")).read_bytes(), self.original_file(disk, "/" + entry["path"].lstrip("/")))

    def test_a_name_with_a_colon_lists_the_volumes_and_with_a_slash_the_root(self):
        self.init_store()
        self.vmferry("backup", self.sample())
        self.assertIn("0.2", [volume["volume"] for volume in self.json("ls", "sample:")["volumes"]])
        root = [entry["path"] for entry in self.json("ls", "sample:/")["entries"]]
        self.assertIn("Users", root)
        everything = self.json("ls", "sample:/", "-r")["entries"]
        self.assertGreater(len(everything), len(root))
        self.assertIn("Users/ann/Documents/report.txt", [entry["path"] for entry in everything])

    def test_without_the_catalog_the_backup_is_right_and_the_restore_needs_none(self):
        self.init_store()
        disk = self.sample()
        self.vmferry("backup", disk)
        for file in self.directory.glob("catalog.sqlite*"):
            file.unlink()
        again = self.json("backup", disk)
        self.assertEqual((again["point"], again["new_bytes"]), (2, 0))
        self.catalog = self.directory / "elsewhere" / "none.sqlite"
        self.vmferry("restore", "sample", "--output", self.directory / "r.raw", "--format", "raw")
        self.assertFalse(self.catalog.exists(), "a restore makes no catalog")
        self.assert_equal_but_for_left_out(disk, self.directory / "r.raw")

    def test_a_machine_of_two_disks_comes_back_ready_to_be_registered(self):
        self.init_store()
        machine = self.directory / "web 1"
        machine.mkdir()
        self.sample("web 1/system.vmdk")
        run("qemu-img", "create", "-f", "vmdk", machine / "däta.vmdk", "64M", check=True)
        (machine / "web1.nvram").write_bytes(os.urandom(8684))
        (machine / "web1.vmx").write_text(
            '.encoding = "UTF-8"\nconfig.version = "8"\ndisplayName = "web 1"\nuuid.bios = "56 4d 12 34 56 78 9a bc-de f0 12 34 56 78 9a bc"\n'
            'nvram = "web1.nvram"\nscsi0.present = "TRUE"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "system.vmdk"\n'
            'scsi0:1.present = "TRUE"\nscsi0:1.fileName = "däta.vmdk"\nide1:0.present = "TRUE"\nide1:0.deviceType = "cdrom-image"\n'
            'ide1:0.fileName = "tools.iso"\n')
        point = self.json("backup", machine / "web1.vmx")
        self.assertEqual((point["name"], point["disks"]), ("web 1", 2))
        self.assertEqual(point["machine_uuid"], "564d1234-5678-9abc-def0-123456789abc")
        out = self.directory / "restored"
        self.vmferry("restore", "web 1", "--output", out)
        self.assertEqual((out / "web1.nvram").read_bytes(), (machine / "web1.nvram").read_bytes())
        for line in (out / "web1.vmx").read_text().splitlines():
            if line.startswith("scsi0:") and "fileName" in line:
                self.assertTrue((out / line.split('"')[1]).is_file(), line)
        self.assert_same_disk(machine / "däta.vmdk", out / "däta.vmdk")

    def test_a_running_machine_is_refused_and_its_snapshot_parents_are_read(self):
        self.init_store()
        disk = self.sample()
        run("qemu-img", "create", "-f", "vmdk", "-b", disk, "-F", "vmdk", self.directory / "delta.vmdk", check=True)
        lock = self.directory / "delta.vmdk.lck"
        lock.mkdir()
        (lock / "M12345.lck").write_text("in use")
        point = self.json("backup", self.directory / "delta.vmdk", "--name", "sample")
        self.assertEqual(point["source"], "frozen")
        refused = self.json("backup", self.directory / "delta.vmdk", "--name", "sample", "--source", "off", expect=1)
        self.assertIn("snapshot", refused["error"]["message"])
        base_lock = self.directory / "sample.vmdk.lck"
        base_lock.mkdir()
        (base_lock / "M1.lck").write_text("in use")
        refused = self.json("backup", disk, expect=1)
        self.assertEqual(refused["error"]["code"], "refused")
        self.assertIn("snapshot", refused["error"]["message"])

    def test_a_server_serves_what_an_embedded_target_would(self):
        self.init_store()
        disk = self.sample()
        import subprocess
        socket = self.directory / "s.sock"
        server = subprocess.Popen([str(BUILD / "vmferry-target"), "serve", "--store", str(self.store), "--socket", str(socket)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            url = f"unix://{socket}"
            self.wait_for(lambda: socket.exists() or server.poll() is not None)
            self.assertEqual(socket.stat().st_mode & 0o777, 0o600)
            self.vmferry("backup", disk, target=url)
            busy = self.json("backup", disk, expect=3)  # the file:// way, beside the server
            self.assertEqual(busy["error"]["code"], "busy")
            self.vmferry("restore", "sample", "--output", self.directory / "r.raw", "--format", "raw", target=url)
            self.assert_equal_but_for_left_out(disk, self.directory / "r.raw")
        finally:
            server.terminate()
            self.assertEqual(server.wait(20), 0, server.stderr.read().decode())
            server.stderr.close()
        gone = self.json("points", target=url, expect=3)
        self.assertEqual(gone["error"]["code"], "unreachable")

    @staticmethod
    def wait_for(condition):
        import time
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.01)
        raise AssertionError("it did not happen within ten seconds")


if __name__ == "__main__":
    unittest.main()
