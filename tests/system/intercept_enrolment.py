"""The 611 call of a subject: told when its line is known, from headgate-prov's own tap, with the keys of its voice for content
orders, and with none for pen registers."""
import array
import json
import pathlib
import subprocess

import lilib
from capture import Capture
from hglib import TOP, wait_for
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
        cls.blue, cls.red, cls.green = cls.agency("blue", 21, x2=True), cls.agency("red", 22, x2=True), cls.agency("green", 23)
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

    # ---- other keys, other processes
    def enrolled(self, case, name, ip):
        """Another BTI of the line enrols; the CCOpen of that case."""
        before = self.green.kinds(case).count("Release")
        self.stack.bti(name, f"{self.stack.net}{ip}").enroll(self.stack.quick_order(self.line))
        self.green.wait_for("Release", case, before + 1)
        return [m for m in self.said(self.green, case) if m["kind"] == "CCOpen"][-1]

    def test_keys_that_do_not_open_are_an_alarm_and_a_new_key_opens(self):
        order = self.order(self.green, {"line": int(self.line)}, case="GREEN-1")
        first = lilib.enrolment_settings(self.stack)
        settings = lilib.ps_settings(self.stack, "other.key")
        self.stack.daemons["ps1"].stop()
        self.stack.start_ps(config=self.stack.ps_config(settings=settings))
        self.stack.wait_ps_healthy()
        log = lambda: open(self.stack.log("li"), encoding="utf-8").read()
        wait_for("the tap of the new headgate-prov", lambda: '"tap.replaced"' in log())
        opened = self.enrolled("GREEN-1", "wrong", 31)
        self.assertFalse(opened.get("subject_key") or opened.get("associate_key"))
        self.assertEqual(log().count('"enrolment.key"'), 1)
        bad = lambda: self.stack.metric("headgate_li_enrolment_keys_bad_total", self.stack.net + "7", 9073)
        wait_for("the alarm in the metrics", lambda: bad() == 1)
        # Killed, and while it is away somebody enrols; with the new key in front it reads on.
        self.stack.daemons["li"].kill()
        self.stack.bti("away", f"{self.stack.net}32").enroll(self.stack.quick_order(self.line))
        both = f'["{self.stack.path("other.key")}", "{self.stack.path("enrolment.key")}"]'
        lilib.start(self.stack, {**first, "keys.enrolment": both})
        wait_for("the call from meanwhile", lambda: len({m["call"] for m in self.said(self.green, "GREEN-1") if m["kind"] == "Release"}) == 2)
        opened = [m for m in self.said(self.green, "GREEN-1") if m["kind"] == "CCOpen"][-1]
        self.assertTrue(opened.get("subject_key") and opened.get("associate_key"))
        self.end(order)
