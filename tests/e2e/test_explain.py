"""`vmferry explain` after real backups: what it says must be what the backups did."""
import json
import unittest

from vmferry_case import Case, MiB


class Explain(Case):
    def sent_by(self, lists):
        return sum(line["sent_bytes"] for line in lists["lines"]) + lists["others"]["sent_bytes"]

    def test_explain_names_what_changed_and_adds_up_to_what_was_sent(self):
        self.init_store()
        disk = self.sample()
        first = self.json("backup", disk, "--name", "web1")
        self.change(disk)
        second = self.json("backup", disk, "--name", "web1")

        for backup in (first, second):
            told = self.json("explain", f"web1@{backup['point']}")
            self.assertEqual(told["id"], backup["id"])
            self.assertEqual(told["sent_bytes"], backup["sent_bytes"])
            self.assertGreater(len(told["files"]["lines"]), 3)
            for lists in (told["files"], told["directories"]):
                total = self.sent_by(lists) + told["trees"]["sent_bytes"] + told["other_sent_bytes"]
                self.assertEqual(total, backup["sent_bytes"])
            for line in told["files"]["lines"]:
                self.assertLessEqual(line["reused_bytes"] + line["delta_bytes"] + line["whole_bytes"], line["read_bytes"] + MiB)
        again = self.json("explain", "web1@2")
        unchanged = again["unchanged"]["bytes"]
        self.assertGreater(unchanged, 0)
        self.assertGreater(sum(line["delta_bytes"] for line in again["files"]["lines"]), 0)

        # For a person: the newest, a sum of all, and no target.
        text = self.vmferry("explain", "web1", target="file:///nowhere").stdout.decode()
        self.assertTrue(text.startswith("web1, point 2 of "), text)
        self.assertIn("DIRECTORY", text)
        self.assertIn("FILE", text)
        self.assertEqual(text.splitlines()[-1].split()[-1], "all")
        self.assertEqual(len(self.json("explain", "web1", "--points")["points"]), 2)

        # The backup itself says it too.
        self.assertGreater(len(second["traffic"]["files"]["lines"]), 0)

    def test_what_is_not_there_is_an_error_that_says_what_to_do(self):
        answer = self.json("explain", "web1", expect=1)
        self.assertIn("--catalog", answer["error"]["message"])
        self.assertFalse(self.catalog.exists(), "explain made a catalog")
        self.init_store()
        self.json("backup", self.sample(mib=64), "--name", "web1")
        self.assertIn("--points", self.json("explain", "web2", expect=1)["error"]["message"])
        self.assertIn("newest 400", self.json("explain", "web1@9", expect=1)["error"]["message"])
        self.json("explain", "web1:/Users", expect=64)
        self.json("explain", expect=64)


if __name__ == "__main__":
    unittest.main()
