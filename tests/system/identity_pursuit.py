"""Who hides stays hidden: everything that comes to a callee during a whole call, octet by octet, does not have the number of a caller who
wished so, or whom the callee is not to see; nor the other way round the number of a private line to which a call was sent on."""
import forgeries
from forging import ALICE, BOB, CAROL, DORA, INSIDE, OUTSIDE, Field, lines
from stacked import SDP


class Pursuit(Field):
    plans = {"bob": BOB, "dora": DORA, "near": INSIDE, "far": OUTSIDE}

    def service(self, number, *words):
        self.stack.ctl("--wait", "service", "set", number, *words)

    def set_for_this_test(self, number, words, back):
        self.service(number, *words)
        self.addCleanup(self.service, number, *back)

    def whole_call(self, caller, callee, dialled, extra=()):
        """From INVITE to BYE, with words of both sides in between; what came to the callee, by party."""
        self.heard.clear()
        mine, theirs = self.connect(caller, callee, dialled, extra)
        a, b = self.people[caller], self.people[callee]
        for who, d in ((a, mine), (b, theirs)):
            for method, body in (("INVITE", SDP), ("UPDATE", SDP), ("INFO", b""), ("OPTIONS", b""), ("MESSAGE", b"")):
                extra = extra if who is a else ()
                out = self.field(who, who.in_dialog_message(method, d, extra, body), reply=lambda party, m: [
                    party.response_message(m, 200, "OK", body=SDP if m.method in ("INVITE", "UPDATE") else b"",
                                           extra=[("Contact", party.contact)])])
                self.assertEqual(out.status, 200, f"{method} of {caller if who is a else callee}")
        last, d = (b, theirs) if len(dialled) % 2 else (a, mine)
        self.assertEqual(self.field(last, last.in_dialog_message("BYE", d, contact=False)).status, 200)
        return self.heard

    def has(self, octets, number):
        return number[2:] in forgeries.plain(octets)

    def hidden(self, number, party):
        messages = self.heard.get(party, [])
        self.assertGreater(len(messages), 3)
        for m in messages:
            self.assertFalse(self.has(m, number), f"{party} was told:\n{m.decode(errors='replace')}")

    # ---- callers
    def test_a_wish_for_this_call(self):
        for caller, number in (("alice", ALICE), ("dora", DORA)):
            for callee, dialled in self.plans.items():
                if callee in (caller, "near"):
                    continue
                with self.subTest(f"{caller} to {callee}"):
                    self.whole_call(caller, callee, dialled, lines("Privacy: id"))
                    self.hidden(number, callee)

    def test_the_line_wishes_it_always(self):
        self.set_for_this_test(ALICE, ("--private", "yes"), ("--private", "no"))
        for callee, dialled in self.plans.items():
            with self.subTest(callee):
                self.whole_call("alice", callee, dialled)
                if callee == "near":
                    self.assertTrue(any(self.has(m, ALICE) for m in self.heard[callee]), "the trust domain is told")
                else:
                    self.hidden(ALICE, callee)

    def test_a_code_for_this_call(self):
        for callee, dialled in (("bob", BOB), ("dora", DORA)):
            with self.subTest(callee):
                self.whole_call("alice", callee, "*67" + dialled)
                self.hidden(ALICE, callee)

    def test_whoever_does_not_subscribe_sees_nobody(self):
        self.set_for_this_test(BOB, ("--caller-id", "no"), ("--caller-id", "yes"))
        self.whole_call("alice", "bob", BOB)
        self.hidden(ALICE, "bob")

    # ---- callees
    def test_sent_on_to_a_private_line(self):
        """Whoever is called knows its own number; the caller does not learn it from a call that was sent on."""
        self.set_for_this_test(BOB, ("--forward-always", CAROL), ("--forward-always", "off"))
        self.set_for_this_test(CAROL, ("--private", "yes"), ("--private", "no"))
        for caller, number in (("alice", ALICE), ("dora", DORA)):
            with self.subTest(caller):
                self.whole_call(caller, "carol", BOB)
                self.hidden(CAROL, caller)

    def test_sent_on_by_a_private_line(self):
        for target, callee in ((CAROL, "carol"), (OUTSIDE, "far")):
            with self.subTest(target):
                self.service(BOB, "--forward-always", target, "--private", "yes")
                self.addCleanup(self.service, BOB, "--forward-always", "off", "--private", "no")
                self.whole_call("alice", callee, BOB, lines("Privacy: id"))
                self.hidden(BOB, callee)
                self.hidden(ALICE, callee)

    def test_a_forged_past_of_a_call_that_is_sent_on(self):
        self.set_for_this_test(BOB, ("--forward-always", OUTSIDE), ("--forward-always", "off"))
        for name, value in forgeries.IDENTITY:
            out = self.field(self.people["alice"], self.people["alice"].invite_message(BOB, SDP, extra=lines(
                f"{name}: {value.format(domain=self.stack.domain)}")))
            for m in out.all():
                with self.subTest(name):
                    self.assertEqual(forgeries.traces(m.raw), [])
            self.assertLessEqual(set(out.arrived), {"far"})

    # ---- features
    def test_last_call_return(self):
        """*69 reaches whoever called last and says nothing of him: nor does a trace (*57)."""
        self.whole_call("alice", "bob", BOB, lines("Privacy: id"))
        self.heard.clear()
        for code in ("*69", "*57"):
            out = self.field(self.people["bob"], self.people["bob"].invite_message(code, SDP))
            self.assertIsNotNone(out.status)
            for m in self.heard["bob"]:
                self.assertFalse(self.has(m, ALICE), f"{code} told:\n{m.decode(errors='replace')}")
