"""What the end-to-end tests share: the built programs, a directory of their own, and judges that we did not write."""
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("VMFERRY_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BUILD = Path(os.environ.get("VMFERRY_BINARY_DIR", ROOT / "build/release"))
MiB = 1 << 20


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MiB):
            digest.update(piece)
    return digest.hexdigest()


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, **options)


def volume_range(raw, number=2):
    """Offset and length in bytes of a GPT partition, as sfdisk reads it."""
    table = json.loads(run("sfdisk", "--json", raw, check=True).stdout)["partitiontable"]
    partition = table["partitions"][number - 1]
    sector = table.get("sectorsize", 512)
    return partition["start"] * sector, partition["size"] * sector


class Case(unittest.TestCase):
    SAMPLE_MIB = 128

    @classmethod
    def setUpClass(cls):
        cls.fixtures = Path(tempfile.mkdtemp(prefix="vmferry-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.fixtures, True)

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(dir=self.fixtures))
        self.store = self.directory / "store"
        self.catalog = self.directory / "catalog.sqlite"
        self.target = f"file://{self.store}"

    # --- programs
    def vmferry(self, *words, expect=0, target=None):
        command = [BUILD / "vmferry", *words, "--catalog", self.catalog, "--target", target or self.target]
        result = run(*command)
        self.assertEqual(result.returncode, expect, f"{command}\n{result.stdout.decode()[-2000:]}\n{result.stderr.decode()[-2000:]}")
        return result

    def json(self, *words, expect=0, target=None):
        result = self.vmferry(*words, "--json", expect=expect, target=target)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["exit_code"], expect)
        return answer

    def target_program(self, *words, expect=0):
        result = run(BUILD / "vmferry-target", *words)
        self.assertEqual(result.returncode, expect, f"{words}\n{result.stdout.decode()}\n{result.stderr.decode()}")
        return result

    def init_store(self):
        self.target_program("init", "--store", self.store)

    # --- disks
    def sample(self, name="sample.vmdk", mib=None):
        """A monolithicFlat VMDK with GPT, a reserved partition and an NTFS volume; its own directory."""
        disk = self.directory / name
        self.run_checked(BUILD / "bench/make-sample-disk", "create", disk, "--size-mib", mib or self.SAMPLE_MIB)
        return disk

    def change(self, disk):
        self.run_checked(BUILD / "bench/make-sample-disk", "change", disk)

    @staticmethod
    def flat_of(disk):
        return disk.parent / (disk.stem + "-flat.vmdk")

    def run_checked(self, *command):
        result = run(*command)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout.decode()[-2000:]}\n{result.stderr.decode()[-2000:]}")
        return result.stdout.decode()

    # --- judges
    def original_file(self, disk, path):
        """The file's bytes, read by ntfscat from a copy of the partition."""
        offset, length = volume_range(self.flat_of(disk))
        volume = self.directory / "volume.img"
        self.run_checked("dd", f"if={self.flat_of(disk)}", f"of={volume}", "bs=1M", f"skip={offset}", f"count={length}",
                         "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none")
        result = run("ntfscat", "-f", volume, path)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout

    def assert_equal_but_for_left_out(self, disk, restored_raw):
        """Nothing differs outside of free clusters and the pagefile, as libntfs-3g sees them in the original."""
        offset, length = volume_range(self.flat_of(disk))
        answer = self.run_checked(BUILD / "bench/compare-disks", self.flat_of(disk), restored_raw, offset, length)
        self.assertEqual(json.loads(answer.splitlines()[-1])["wrong_bytes"], 0)

    def assert_same_disk(self, a, b):
        result = run("qemu-img", "compare", a, b)
        self.assertEqual(result.returncode, 0, result.stdout.decode() + result.stderr.decode())
