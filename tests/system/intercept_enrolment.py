"""The 611 call of a subject: told when its line is known, from headgate-prov's own tap, with the keys of its voice for content
orders, and with none for pen registers."""
import array
import json
import pathlib
import subprocess

from capture import Capture
from hglib import TOP
from sound import samples_of
from lawful import LiTest
from stacked import Keypad

NUMBER = "+12125550101"


def prompt(name):
    """Samples of what the provisioning server says."""
    def sample(octet):
        x = ~octet & 255
        value = (((x & 15) << 3) + 132 << (x >> 4 & 7)) - 132
        return -value if x & 128 else value
    return array.array("h", map(sample, pathlib.Path(TOP, "provisioning", "prompts", name + ".ulaw").read_bytes()))


class Enrolment(LiTest):
    @classmethod
    def prepare(cls, stack):
        cls.blue, cls.red = cls.agency("blue", 21, x2=True), cls.agency("red", 22, x2=True)
        account = stack.ctl_json("account", "add", "alice")["account"]
        cls.line = stack.ctl_json("line", "add", account, NUMBER)["line"]
        other = stack.ctl_json("account", "add", "bob")["account"]
        cls.other = stack.ctl_json("line", "add", other, "+12125550102")["line"]

    def said(self, agency, case):
        return [m for m in list(agency.said) if m["channel"] == "cdc" and m["case"] == case]

    def test_the_voice_of_a_611_call_is_decrypted_with_the_key_that_was_delivered(self):
        orders = [self.order(self.blue, {"line": int(self.line)}, case="BLUE-1"),
                  self.order(self.red, {"number": NUMBER}, "pen_register", "RED-1")]
        bti = self.stack.bti("alice", f"{self.stack.net}11")
        wire = Capture(self.stack, "enrolment")
        try:
            bti.enroll(self.stack.quick_order(self.line), None, None, "--digits-inband")
            # Another's enrolment, and one that comes to nothing, are nobody's business.
            self.stack.bti("bob", f"{self.stack.net}12").enroll(self.stack.quick_order(self.other))
            pad = Keypad(self.stack.bti("mallory", f"{self.stack.net}13"))
            pad.type("99999")
            pad.run.stop()
            self.blue.wait_for("Release", "BLUE-1")
            self.red.wait_for("Release", "RED-1")
        finally:
            wire.end()
        said = self.said(self.blue, "BLUE-1")
        self.assertEqual([m["kind"] for m in said], ["Origination", "Answer", "CCOpen", "CCClose", "Release"])
        self.assertEqual(len({m["call"] for m in said if m["call"]}), 1, "one call, though two taps have it")
        self.assertEqual((said[0]["calling"], said[0]["dialled"]), (NUMBER[1:], "611"))
        opened = said[2]
        self.assertTrue(opened["subject_key"] and opened["associate_key"] and opened["subject_key"] != opened["associate_key"])
        starts = [m["sip"].split("\r\n")[0].split(" ")[0] for m in self.blue.said if m["channel"] == "x2"]
        self.assertIn("INVITE", starts)
        self.assertIn("BYE", starts)
        for agency in (self.blue, self.red):
            self.assertEqual({m["case"] for m in agency.said if m["channel"] == "cdc"}, {"BLUE-1" if agency is self.blue else "RED-1"})
        self.assertNotIn("inline:", json.dumps(self.red.said))
        self.assertNotIn("CCOpen", self.red.kinds("RED-1"))
        self.hear(wire.path)
        for order in orders:
            self.end(order)

    def hear(self, capture):
        out = pathlib.Path(self.stack.path("heard"))
        def voice(agency, folder):
            return subprocess.run([self.stack.bin / "headgate-lea", "voice", self.stack.path(agency), "--capture", capture, "--wav",
                                   str(folder), "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        done = voice("blue", out)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        sides = {r["side"]: r for r in map(json.loads, done.stdout.splitlines()) if r["file"]}
        self.assertEqual({s: r["not_opened"] for s, r in sides.items()}, {"subject": 0, "other": 0})
        words = prompt("enter")[400:1200]
        self.assertGreater(max(words), 1000, "words, and no silence")
        heard = samples_of(out / sides["other"]["file"]).tobytes()
        self.assertTrue(words.tobytes() in heard, "what the server says first")
        self.assertGreater(max(samples_of(out / sides["subject"]["file"])), 1000, "the digits, as tones")
        self.assertEqual(voice("red", out / "red").returncode, 1)
