"""An agency turns what it was given into voice: the capture of the encrypted media, and the keys of the call data."""
import json
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile
import unittest

from capture import Capture
from hglib import TOP, Daemon, wait_for
from lawful import LiTest
from sound import holds, melody, samples_of
from stacked import at_once

ALICE, BOB = "+12125550101", "+12125550102"
BIN = pathlib.Path(os.environ.get("HEADGATE_BIN", TOP / "build/release-gcc/bin"))


class Kept(unittest.TestCase):
    """What was kept, whole and damaged; no daemon is needed."""
    GOOD = (TOP / "tests/fuzz/corpus/fuzz_agency/cdc").read_bytes()[1:]

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="headgate.kept.")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def lea(self, *words):
        return subprocess.run([BIN / "headgate-lea", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)

    def keep(self, octets):
        (self.folder / "cdc.ber").write_bytes(octets)

    def shown(self, code):
        done = self.lea("show", self.folder)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    def test_what_is_whole_is_shown_and_once(self):
        self.keep(self.GOOD)
        whole = self.shown(0)
        self.assertIn("the call is over", whole)
        self.keep(self.GOOD + self.GOOD[:-20])
        self.assertEqual(self.shown(0).split("\n\n(")[0], whole.rstrip("\n"), "what came again, and what is not whole yet")
        self.keep(self.GOOD + b"\x31\x02xx" + self.GOOD)
        self.assertEqual(self.shown(65), whole)
        (self.folder / "cdc.ber").unlink()
        self.assertEqual(self.shown(66), "")

    def test_a_killed_writer_leaves_nothing_that_the_next_one_spoils(self):
        self.keep(self.GOOD[:-20])
        lea = Daemon("lea", [BIN / "headgate-lea", "--cdc", "127.0.0.1:0", "--folder", self.folder],
                     self.folder / "log").start()
        self.addCleanup(lea.stop)
        wait_for("its port", lambda: "cdc at" in (self.folder / "log").read_text())
        self.assertIn("not whole: cut off", (self.folder / "log").read_text())
        self.assertTrue(self.GOOD.startswith((self.folder / "cdc.ber").read_bytes()))
        lea.stop()
        self.keep(b"\x31\x02xx")
        self.assertEqual(self.lea("--cdc", "127.0.0.1:0", "--folder", self.folder).returncode, 73)

    def test_wrong_usage_and_wrong_files(self):
        self.keep(self.GOOD)
        (self.folder / "none.pcap").write_bytes(b"no capture at all, and longer than a head")
        for code, words in ((64, ()), (64, ("--cdc", "here")), (64, ("--cdc", "192.0.2.1:9900")), (64, ("fly",)), (64, ("show",)),
                            (64, ("show", self.folder, "more")), (64, ("show", self.folder, "--call", "0")), (64, ("voice", self.folder)),
                            (64, ("--cdc", "127.0.0.1:0", "--certificate", "x")), (64, ("--no-such",)), (0, ("--help",)), (0, ("--version",)),
                            (73, ("--cdc", "127.0.0.1:0", "--certificate", "x", "--key", "x", "--ca", "x")),
                            (66, ("voice", self.folder, "--capture", self.folder / "nothing", "--wav", self.folder / "w")),
                            (65, ("voice", self.folder, "--capture", self.folder / "none.pcap", "--wav", self.folder / "w"))):
            with self.subTest(words=words):
                done = self.lea(*words)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertTrue(done.stderr or code == 0)


class Wav(LiTest):
    @classmethod
    def prepare(cls, stack):
        cls.alice, cls.bob = at_once(*[lambda n=n, i=i, t=t: stack.enrolled(n, f"{stack.net}{i}", t)
                                       for n, i, t in (("alice", 11, ALICE), ("bob", 12, BOB))])

    def lea(self, *words):
        return subprocess.run([self.stack.bin / "headgate-lea", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)

    def captured_call(self, name):
        """Alice and Bob talk: (capture file, what each spoke)."""
        files = {who: self.stack.path(f"{name}-{who}.wav") for who in ("alice", "bob")}
        spoken = {"alice": melody(files["alice"], (440, 620, 500), 0.5), "bob": melody(files["bob"], (700, 350), 0.5)}
        wire = Capture(self.stack, name)
        try:
            ear = self.stopping(self.bob.listen("--audio", "file:" + files["bob"], "--transport", "tls"))
            call = self.stopping(self.alice.call(BOB, "--duration", "1", "--audio", "file:" + files["alice"], "--transport", "tls"))
            self.assertEqual(call.exit(), 0)
            ear.wait("ended")
            ear.stop()
        finally:
            wire.end()
        return wire.path, spoken

    def test_the_voice_of_a_content_order_is_heard_and_of_a_pen_register_not(self):
        blue, red = self.agency("blue", 21, x2=True), self.agency("red", 22)
        orders = [self.order(blue, {"number": ALICE}, case="BLUE/1"), self.order(red, {"number": ALICE}, "pen_and_trap", "RED-1")]
        capture, spoken = self.captured_call("talk")
        for agency, case in ((blue, "BLUE/1"), (red, "RED-1")):
            agency.wait_for("Release", case)
        for order in orders:
            self.end(order)
        out = pathlib.Path(self.stack.path("heard"))
        done = self.lea("voice", self.stack.path("blue"), "--capture", capture, "--wav", str(out), "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        sides = {r["side"]: r for r in map(json.loads, done.stdout.splitlines()) if r["file"]}
        self.assertEqual({s: r["not_opened"] for s, r in sides.items()}, {"subject": 0, "other": 0})
        self.assertEqual(sides["subject"]["file"], f"call-{sides['subject']['call']}-BLUE_1-subject.wav")
        for side, who in (("subject", "alice"), ("other", "bob")):
            heard = samples_of(out / sides[side]["file"])
            self.assertTrue(holds(heard, spoken[who]), f"{who}: {sides[side]}")
            self.assertFalse(holds(heard, spoken["bob" if who == "alice" else "alice"]), who)
        done = self.lea("voice", self.stack.path("red"), "--capture", capture, "--wav", str(out / "red"))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(list((out / "red").iterdir()), [])
        self.ladder(sides["subject"]["call"])

    def ladder(self, number):
        """What a detective reads of that call."""
        done = self.lea("show", self.stack.path("blue"), "--call", str(number))
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        at = -1
        for words in ("the subject 12125550101 at ", "from the subject: INVITE ", "to the subject:   SIP/2.0 180", "12125550102 at ",
                      "the voice begins, content ", "from the subject: BYE ", "the call is over"):
            found = [i for i, line in enumerate(lines) if words in line and (words != "12125550102 at " or line.endswith(" answers"))]
            self.assertTrue(found, f"{words!r} in {done.stdout}")
            if "subject: " not in words:  # one millisecond holds several: within a channel the order is certain
                self.assertGreater(found[0], at, done.stdout)
                at = found[0]
        self.assertIn(f" dials {BOB}", done.stdout)
        self.assertIn("speaks encrypted (AEAD_AES_256_GCM), key given", done.stdout)

    def test_a_collection_function_outlives_whoever_connects(self):
        green = self.agency("green", 23)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        half_open = [socket.create_connection((green.ip, 9900)) for _ in range(40)]
        for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70000, b"\x30\x84\xff\xff\xff\xff"):
            with socket.create_connection((green.ip, 9900)) as s:
                s.settimeout(20)
                try:
                    s.sendall(octets)
                    while s.recv(4096):
                        pass
                except ConnectionError:
                    pass
        with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)):
            with context.wrap_socket(socket.create_connection((green.ip, 9900))) as s:  # no certificate
                s.settimeout(20)
                s.sendall(b"\x30\x03\x80\x01\x03")
                self.assertEqual(s.recv(1), b"?")
        order = self.order(green, {"number": BOB}, case="GREEN-1")
        wait_for("the delivery to be up", lambda: any(d["order"] == order and d["up"] for d in self.done("anna", "GET", "state")["deliveries"]))
        self.assertIsNone(green.process.poll())
        for s in half_open:
            s.close()
        self.end(order)
