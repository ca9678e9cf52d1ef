"""The house rules that a machine can check: who may include whom, one adapter per vendor library, sizes of files."""
import os
import re
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("VMFERRY_SOURCE_DIR", Path(__file__).resolve().parents[2]))

# A folder may include itself and these.
LAYERS = {
    "protocol": [],
    "engine/disk": ["protocol"],
    "engine/crack": ["protocol"],
    "engine/catalog": ["protocol"],
    "engine/backup": ["protocol", "engine/disk", "engine/crack", "engine/catalog"],
    "engine/restore": ["protocol", "engine/disk", "engine/crack"],
    "engine/measure": ["protocol", "engine/disk", "engine/catalog", "engine/backup"],
    "engine/cli": ["protocol", "engine/disk", "engine/crack", "engine/catalog", "engine/backup",
                   "engine/measure", "engine/restore", "target-server"],
    "target-server": ["protocol"],
}

# A vendor's header and the only places that may include it.
VENDORS = {
    r"libvmdk|libbfio": ["engine/disk/libvmdk_reader.cc"],
    r"ntfs-3g/": ["engine/crack/ntfs/"],
    r"wimlib": ["engine/crack/"],
    r"seccomp": ["engine/crack/syscall_filter.cc"],
    r"sqlite3\.h": ["protocol/sqlite.cc"],
    r"blake3\.h": ["protocol/chunk_id.cc"],
    r"zstd\.h": ["protocol/compression.cc"],
    r"librsync\.h": ["protocol/delta/librsync_patch.cc"],
    r"xxhash\.h": ["protocol/checksum.cc"],
    r"zlib\.h": ["engine/disk/"],
    r"libssh2": ["protocol/transport/ssh_session.cc"],
    r"boost/": ["protocol/transport/"],
    r"openssl/": ["protocol/transport/"],
    r"toml\.hpp": ["engine/cli/settings.cc", "engine/cli/bandwidth_table.cc", "target-server/store/",
                    "target-server/access/client_record.cc", "target-server/cli/target_config.cc"],
}

LINES_MAX = 500


def sources():
    for folder in ("protocol", "engine", "target-server"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield path, path.relative_to(ROOT).as_posix()


def includes(path):
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.M)


def layer_of(name):
    return max((layer for layer in LAYERS if name.startswith(layer + "/")), key=len, default=None)


class Layers(unittest.TestCase):
    def test_dependencies_point_one_way(self):
        wrong = []
        for path, name in sources():
            own = layer_of(name)
            self.assertIsNotNone(own, f"{name} is in no layer: name it in LAYERS")
            for include in includes(path):
                other = layer_of(include)
                if other and other != own and other not in LAYERS[own]:
                    wrong.append(f"{name} includes {include}")
        self.assertEqual(wrong, [])

    def test_each_vendor_library_has_one_adapter(self):
        wrong = []
        for path, name in sources():
            for include in includes(path):
                for vendor, places in VENDORS.items():
                    if re.search(vendor, include) and not any(name.startswith(place) for place in places):
                        wrong.append(f"{name} includes {include}")
        self.assertEqual(wrong, [])

    def test_a_file_holds_one_concept(self):
        long = [f"{name}: {lines} lines" for path, name in sources()
                if (lines := path.read_text().count("\n")) > LINES_MAX]
        self.assertEqual(long, [])

    def test_every_header_says_what_it_is(self):
        bare = [name for path, name in sources() if path.suffix == ".h" and not path.read_text().startswith("//")]
        self.assertEqual(bare, [])


if __name__ == "__main__":
    unittest.main()
