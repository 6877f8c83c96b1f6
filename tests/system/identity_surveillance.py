"""What gate controllers tell each other of interception and of diverted calls (RFC 5503 section 8: P-DCS-LAES, P-DCS-Redirect) passes no
edge, whoever says it, a trunk inside of the trust domain first of all; and what such a trunk has ordered is in no ladder and no count."""
import urllib.request

import forgeries
from forgeries import SPELLINGS, VICTIM
from forging import BOB, DORA, INSIDE, OUTSIDE, Field, lines
from stacked import SDP

WORDS = (("P-DCS-LAES", "f0rged.test:1234;content=f0rged.test:5678;cccid=00000001"),
         ("P-DCS-Redirect", f'"tel:{VICTIM}";redirector-uri="tel:{VICTIM}";count=1'), ("Dcs-Laes", "f0rged.test:1;key"))
IN_URI = ("P-DCS-LAES=f0rged.test%3A1", "P-DCS-Redirect=%22tel:+12125550103%22%3Bcount=1", "Subject=x&p%2Ddcs%2Dlaes=f0rged.test",
          "P-DCS-LAES=f0rged.test&P-DCS-Redirect=%22tel:+12125550103%22")
WAYS = (("near", BOB), ("near", DORA), ("near", OUTSIDE), ("far", BOB), ("far", INSIDE), ("alice", BOB), ("alice", INSIDE),
        ("alice", OUTSIDE), ("dora", INSIDE))
PARTIES = {BOB: "bob", DORA: "dora", INSIDE: "near", OUTSIDE: "far"}
BODY = "message/sipfrag, P-DCS"


class Surveillance(Field):
    @classmethod
    def set_out(cls, stack):
        super().set_out(stack)
        for name in ("near", "far"):
            stack.ctl("--wait", "trunk", "set", name, "--transit", "yes")

    def said(self):
        """Every header in every spelling, as `extra` of a message."""
        for name, value in WORDS:
            for how, spelling in SPELLINGS.items():
                made = spelling(name, value)
                if made:
                    yield f"{name}, {how}", lines(*made)

    def page(self, who, method, to, extra, body=b"", **kw):
        a = self.people[who]
        return a.request(method, a.aor(to), f"<{a.aor()}>;tag={a.fresh()}", f"<{a.aor(to)}>", a.fresh(), 1, extra, body, **kw)

    def test_requests(self):
        said = list(self.said())
        for who, to in WAYS:
            for i, (how, extra) in enumerate(said if who == "near" else said[::4]):
                p = self.people[who]
                out = self.attack(f"{how}, from {who} to {to}", p, p.invite_message(to, SDP, extra=extra), only=PARTIES[to])
                self.assertTrue(out.arrived or out.status == 400, f"{how}, from {who} to {to}: {out.status}")
                if to in (BOB, DORA):
                    method = ("MESSAGE", "INFO", "SUBSCRIBE", "REFER", "OPTIONS")[i % 5]
                    more = {"SUBSCRIBE": [("Event", "presence")], "REFER": [("Refer-To", f"<sip:+12125550104@{self.stack.domain}>")]}
                    self.attack(f"{method} with {how}, from {who} to {to}", p, self.page(who, method, to, extra + more.get(method, [])))

    def test_in_uris_and_bodies(self):
        kind, body = forgeries.BODIES[BODY]
        body = body.format(domain=self.stack.domain).encode()
        for who, to in WAYS:
            p = self.people[who]
            for text in IN_URI:
                uri = f"<sip:+12125550104@{self.stack.domain}?{text}>"
                contact = f"<sip:x@{p.host_port}?{text}>"
                for name in ("Reply-To", "Referred-By", "Refer-To"):
                    self.attack(f"{name}: {text}, from {who} to {to}", p, p.invite_message(to, SDP, extra=[(name, uri)]))
                self.attack(f"Contact: {text}, from {who} to {to}", p, p.request(
                    "INVITE", p.aor(to), f"<{p.aor()}>;tag={p.fresh()}", f"<{p.aor(to)}>", p.fresh(), 1, [("Contact", contact)],
                    SDP, contact=False))
                if to == BOB:
                    self.attack(f"REFER alone, {text}, from {who}", p, self.page(who, "REFER", BOB, [("Refer-To", uri)]))
            self.attack(f"{kind} of {who} to {to}", p, p.invite_message(to, body, body_type=kind))

    def test_in_a_call(self):
        """Of both ends: of the trunk inside, and of the line that it talks with."""
        methods = ("INVITE", "UPDATE", "INFO", "NOTIFY", "MESSAGE", "REFER", "OPTIONS")
        for ends, to in ((("near", "bob"), BOB), (("alice", "near"), INSIDE), (("near", "far"), OUTSIDE)):
            at = dict(zip(ends, self.connect(*ends, to=to)))
            for i, (how, extra) in enumerate(list(self.said())[::3]):
                for who in ends:
                    method = methods[(i + len(who)) % len(methods)]
                    uri = f"<sip:+12125550104@{self.stack.domain}?{IN_URI[i % len(IN_URI)]}>"
                    more = {"REFER": [("Refer-To", uri)], "NOTIFY": [("Event", "presence"), ("Subscription-State", "active")]}
                    octets = self.people[who].in_dialog_message(method, at[who], extra + more.get(method, []),
                                                                SDP if method in ("INVITE", "UPDATE") else b"")
                    self.attack(f"{method} of {who} in the call of {ends}, {how}", self.people[who], octets)
            who = ends[0]
            self.attack(f"BYE of {who}", self.people[who],
                        self.people[who].in_dialog_message("BYE", at[who], lines(f"P-DCS-LAES: {WORDS[0][1]}"), contact=False))

    def test_answers(self):
        """Of the trunk inside, to a BTI, a phone and a trunk outside; and of a BTI to the trunk inside."""
        finals = ((200, "OK"), (302, "Moved"), (380, "Other"), (486, "Busy Here"), (603, "Decline"))
        for i, (how, extra) in enumerate(self.said()):
            status, reason = finals[i % len(finals)]
            for who, to in (("alice", INSIDE), ("dora", INSIDE), ("far", INSIDE), ("near", BOB)):
                def reply(party, m):
                    tag = party.fresh()
                    there = [("Contact", f"<sip:{VICTIM}@{self.stack.domain}?{IN_URI[i % len(IN_URI)]}>")] if status // 100 == 3 else []
                    return [party.response_message(m, *answer, to_tag=tag, extra=x, body=SDP if answer[0] in (183, 200) else b"")
                            for answer, x in (((183, "Progress"), extra), ((180, "Ringing"), extra), ((status, reason), extra + there),
                                              ((486, "Busy Here"), []))]
                p = self.people[who]
                out = self.attack(f"{status} with {how} from {to} to {who}", p, p.invite_message(to, SDP), reply=reply,
                                  told=who != "near")  # it is told who answered
                self.assertLessEqual(len(out.arrived), 1, "an answer moved the call")
                for m in out.answers:
                    with self.subTest(f"{status} with {how} from {to} to {who}"):
                        self.assertEqual(forgeries.traces(m.raw), [])

    def test_nobody_sees_what_a_trunk_ordered(self):
        """Its header is neither in the ladder nor counted; a line that lies about one is."""
        near, alice = self.people["near"], self.people["alice"]
        for who, is_shown in ((near, False), (alice, True)):
            before = self.counted()
            octets = who.invite_message(BOB, SDP, extra=lines(f"P-DCS-LAES: {WORDS[0][1]}"))
            out = self.attack(f"P-DCS-LAES of {who.number}", who, octets, only="bob")
            self.assertEqual(set(out.arrived), {"bob"})
            call_id = out.arrived["bob"][0].call_id
            call = next(c for c in self.stack.ctl_json("calls", "--recent") if c["call_id"] == call_id)["id"]
            told = self.stack.ctl("-o", "json", "call", "show", call, "--ladder").lower()
            self.assertIn("invite sip:", told)
            self.assertNotIn("f0rged", told)
            self.assertEqual("laes" in told, is_shown, told)
            self.assertEqual(self.counted() - before, int(is_shown))

    def counted(self):
        with urllib.request.urlopen(f"http://{self.stack.gc_ip}:9070/metrics", timeout=10) as answer:
            return sum(int(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                       if line.startswith("headgate_boundary_total{") and 'rule="p_dcs_laes"' in line)
