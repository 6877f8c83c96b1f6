"""The first thing that a newcomer runs must do what it says, twice in a row, and leave nothing behind."""
import pathlib
import re
import subprocess
import unittest

from hglib import TOP


def processes_of(folder):
    """Processes whose command line names the stack's folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if folder in line:
                found.append(f"{entry.name} {line}")
    return found


class Demo(unittest.TestCase):
    def once(self):
        done = subprocess.run([TOP / "tools/demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-4000:])
        rows = re.findall(r"^   (\S.*?)\s{2,}(\S.*?)\s{2,}(\S.*?)  (ok|WRONG)$", done.stdout, re.M)
        self.assertEqual(len(rows), 13, done.stdout[-4000:])
        self.assertTrue(all(r[3] == "ok" for r in rows), rows)
        for step in ("301", "302", "303", "304", "305", "306", "307", "309", "310"):
            self.assertRegex(done.stdout, rf"\b{step}\b", "every step of the enrolment is shown")
        folder = re.search(r"all in (\S+)", done.stdout).group(1)
        self.assertEqual(processes_of(folder), [], "no process is left behind")
        self.assertFalse(pathlib.Path(folder).exists(), "no file is left behind")
        return done.stdout

    def test_demo_twice_in_a_row(self):
        self.once()
        self.once()


if __name__ == "__main__":
    unittest.main()
