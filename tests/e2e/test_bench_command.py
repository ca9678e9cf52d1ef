"""vmferry bench as a user runs it: what it says of a night is what a backup then sends, and nothing stays behind."""
import json
import os
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree as ElementTree

from vmferry_case import BUILD, Case, run


class BenchCommand(Case):
    def two_days(self):
        first = self.sample("first/disk.vmdk")
        second = self.directory / "second/disk.vmdk"
        second.parent.mkdir()
        for file in (first, self.flat_of(first)):
            self.run_checked("cp", "--sparse=always", file, second.parent / file.name)
        self.run_checked("cp", "-r", first.parent / "disk.databases", second.parent)
        self.change(second)
        return first, second

    def bench(self, *words, expect=0):
        """With a spool, a home and a state of its own, which all must be empty afterwards."""
        for name in ("spool", "home"):
            (self.directory / name).mkdir(exist_ok=True)
        config = self.directory / "config.toml"
        config.write_text(f'spool_directory = "{self.directory}/spool"\n')
        result = run(BUILD / "vmferry", "bench", *words, "--config", config, "--catalog", self.catalog,
                     env={"PATH": os.environ["PATH"], "HOME": str(self.directory / "home")})
        self.assertEqual(result.returncode, expect, result.stderr.decode()[-2000:])
        self.assert_nothing_stayed()
        return result

    def assert_nothing_stayed(self):
        self.assertEqual(list((self.directory / "spool").iterdir()), [])
        self.assertEqual(list((self.directory / "home").iterdir()), [])
        self.assertFalse(self.catalog.exists())
        self.assertFalse(self.store.exists())

    def sent_to_real_stores(self, first, second, *options):
        """Both nights, to three stores: each cuts chunks at its own places, which alone is some percent of a small night."""
        sent = []
        for number in range(3):
            self.store = self.directory / f"store{number}{''.join(options)}"
            self.catalog, self.target = self.store.with_suffix(".catalogs") / "catalog.sqlite", f"file://{self.store}"
            self.init_store()
            sent.append([self.json("backup", disk, "--name", "sample", "--adopt", "--compression", "3", *options)["sent_bytes"]
                         for disk in (first, second)])
        return sent

    def test_a_night_sends_what_the_bench_said_that_it_would(self):
        first, second = self.two_days()
        answer = json.loads(self.bench(first, second, "--json", "--compression", "3").stdout)
        self.assertEqual(answer["exit_code"], 0)
        self.assertEqual([link["link"] for link in answer["links"]], ["10mbit,80ms", "100mbit,40ms", "1gbit,5ms"])
        nights = [{method["method"]: method for method in night["methods"]} for night in answer["nights"]]
        for night in nights:
            self.assertEqual(list(night), ["copy", "sparse_copy", "rsync", "chunks", "vmferry"])

        for method, options in (("vmferry", []), ("chunks", ["--no-delta"])):
            sent = self.sent_to_real_stores(first, second, *options)
            for night, least, most in zip(nights, map(min, zip(*sent)), map(max, zip(*sent))):
                self.assertGreater(night[method]["sent_bytes"], least * 0.92)
                self.assertLess(night[method]["sent_bytes"], most * 1.08)

        disk_bytes = answer["nights"][1]["disk_bytes"]
        self.assertEqual(nights[1]["copy"]["sent_bytes"], disk_bytes)
        self.assertGreaterEqual(nights[0]["rsync"]["sent_bytes"], disk_bytes, "a first night is a full copy")
        self.assertLess(nights[1]["rsync"]["sent_bytes"], disk_bytes)
        self.assertLess(nights[1]["vmferry"]["sent_bytes"], nights[1]["chunks"]["sent_bytes"])
        for method in nights[1].values():
            for link, rate, round_trip in zip(method["links"], (1e7, 1e8, 1e9), (80, 40, 5)):
                bits = 8 * (method["sent_bytes"] + method["received_bytes"])
                self.assertAlmostEqual(link["link_ms"], bits / rate * 1000 + method["round_trips"] * round_trip, delta=1)
                self.assertEqual(link["night_ms"], max(link["link_ms"], method["work_ms"]))

    def test_a_person_reads_a_table_and_a_sentence_and_a_page(self):
        first, second = self.two_days()
        page = self.directory / "nights.html"
        text = self.bench(first, second, "--link", "2mbit,100ms", "--html", page, "--block-size", "1024").stdout.decode()
        self.assertEqual(text.count("compressed chunks  "), 2)
        self.assertRegex(text, r"Night 2 sends [0-9.]+ .iB: .* of rsync, .* of compressed chunks; over 2mbit,100ms in .+\.")

        root = ElementTree.fromstring(page.read_text().replace("<!DOCTYPE html>", ""))
        svg = "{http://www.w3.org/2000/svg}svg"
        self.assertEqual(len(root.findall(".//section")), 2)
        self.assertEqual(len(root.findall(f".//{svg}")), 4)
        self.assertTrue(all(plot.get("aria-label") for plot in root.iter(svg)))
        self.assertEqual(len(root.findall(".//table/tbody/tr")), 10)
        self.assertEqual(root.findall(".//script"), [])
        self.assertNotIn("url(", page.read_text())
        self.assertEqual([e for e in root.iter() if e.get("src") or e.get("href")], [])

    def test_what_is_no_link_is_refused_before_anything_is_read(self):
        result = self.bench("missing.vmdk", "--link", "10mbit", "--json", expect=64)
        error = json.loads(result.stdout)["error"]
        self.assertEqual(error["code"], "usage")
        self.assertIn("10mbit,80ms", error["message"])
        self.bench("missing.vmdk", "--html", "/nowhere/at/all.html", expect=1)

    def test_stopped_by_ctrl_c_it_leaves_nothing_behind(self):
        first, second = self.two_days()
        self.bench("missing.vmdk", expect=1)  # makes the directories
        spool = self.directory / "spool"
        process = subprocess.Popen([BUILD / "vmferry", "bench", first, second, second, second, "--config",
                                    self.directory / "config.toml", "--catalog", self.catalog],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={"PATH": os.environ["PATH"], "HOME": str(self.directory / "home")})
        while process.poll() is None and not any(spool.iterdir()):
            time.sleep(0.01)  # until there is something to remove
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors.decode())
        self.assertIn("stopped", errors.decode())
        self.assert_nothing_stayed()


if __name__ == "__main__":
    unittest.main()
