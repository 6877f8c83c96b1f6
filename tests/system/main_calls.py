"""Calls between enrolled BTIs through the real gate controller: every transport, every way to end, what is recorded of them."""
import datetime
import glob
import os
import re

from hglib import Relay, Wire, wait_for
from macsip import MacBti
from stacked import SDP, StackTest, at_once

ALICE, BOB, CAROL, NOBODY = "+12125550101", "+12125550102", "+12125550103", "+12125559999"


class Calls(StackTest):
    gc_settings = {"sip.timer_c": "4s"}

    @classmethod
    def prepare(cls, stack):
        cls.alice, cls.bob, cls.carol = at_once(
            *[lambda n=n, i=i, t=t: stack.enrolled(n, f"{stack.net}{i}", t)
              for n, i, t in (("alice", 11, ALICE), ("bob", 12, BOB), ("carol", 13, CAROL))])

    def listen(self, bti, *words):
        return self.stopping(bti.listen(*words))

    def call(self, bti, number, *words):
        return self.stopping(bti.call(number, *words))

    def last_call(self, called=BOB):
        """The newest call to this number that ended."""
        return wait_for("the call in the trace", lambda: [c for c in self.stack.ctl_json("calls", "--recent") if c["called"] == called],
                        5)[0]

    def cdr(self, call_id):
        rows = wait_for("the call record in PostgreSQL", lambda: self.stack.sql(
            "SELECT caller_line, callee_line, caller, called, route, status, end_by, node, answered_at IS NOT NULL, "
            "extract(epoch FROM started_at), extract(epoch FROM coalesce(answered_at, started_at)), extract(epoch FROM ended_at) "
            f"FROM cdr.call WHERE call_id = '{call_id}'"), 10).splitlines()
        self.assertEqual(len(rows), 1, "once")
        names = "caller_line callee_line caller called route status end_by node answered start answer end".split()
        return dict(zip(names, rows[0].split("|")))

    # ---- transports, directions, voice
    def test_every_transport_in_both_directions(self):
        for transport in ("tls", "tcp", "udp"):
            with self.subTest(transport=transport):
                words = ["--transport", transport, "--audio", "tone"]
                ears = [b.listen(*words) for b in (self.alice, self.bob)]
                calls = [self.alice.call(BOB, *words, "--duration", "1"), self.bob.call(ALICE, *words, "--duration", "1")]
                try:
                    self.assertEqual([c.exit() for c in calls], [0, 0], [c.events[-3:] for c in calls])
                    for ear, call, caller in zip(reversed(ears), calls, (ALICE, BOB)):
                        self.one_way(ear, call, caller, transport)
                finally:
                    for ear in ears:
                        ear.stop()

    def one_way(self, ear, call, caller, transport):
        self.assertEqual([e["from"] for e in ear.seen("incoming")], [caller])
        ear.wait("ended", by="peer")
        self.assertEqual(call.seen("calling")[0]["transport"].lower(), transport)
        for end in (ear, call):
            answered, media = end.seen("answered")[0], end.wait("media")
            self.assertEqual(answered["secured"], transport == "tls", "media keys on TLS only")
            self.assertEqual((media["secured"], media["tone"]), (transport == "tls", True))
            self.assertEqual((media["srtp_auth_failures"], media["malformed"], media["wrong_source"]), (0, 0, 0))
            self.assertGreater(media["rtp_received"], 20)

    def test_digits_in_both_directions(self):
        for transport in ("tls", "udp"):
            ear = self.listen(self.bob, "--transport", transport, "--send-digits", "90#")
            call = self.call(self.alice, BOB, "--transport", transport, "--send-digits", "12*4")
            for end, digits in ((ear, "12*4"), (call, "90#")):
                wait_for(f"digits {digits}: {end.seen('digit')}", lambda e=end, d=digits: len(e.seen("digit")) >= len(d), 10)
            call.stop()
            ear.wait("ended")
            ear.stop()
            self.assertEqual(["".join(e["digit"] for e in end.seen("digit")) for end in (ear, call)], ["12*4", "90#"])

    # ---- no answer, in all its ways
    def test_busy_and_declined(self):
        for status in (486, 603):
            ear = self.listen(self.bob, "--reject", str(status))
            call = self.call(self.alice, BOB)
            self.assertEqual(call.exit(), 7)
            self.assertEqual([e["status"] for e in call.seen("rejected")], [status])
            self.assertEqual(len(ear.seen("incoming")), 1)
            ear.stop()
            done = self.last_call()
            row = self.cdr(done["call_id"])
            self.assertEqual((row["status"], row["answered"], done["state"]), (str(status), "f", "ended"))

    def test_nobody_answers(self):
        ear = self.listen(self.bob, "--answer-after", "60000")
        call = self.call(self.alice, BOB)
        self.assertEqual(call.exit(), 7)
        self.assertIn(call.seen("rejected")[0]["status"], (408, 480))
        ear.wait("ended", by="cancelled")

    def test_cancelled_by_the_caller(self):
        ear = self.listen(self.bob, "--answer-after", "60000")
        call = self.call(self.alice, BOB)
        call.wait("ringing", status=180)
        call.process.terminate()
        self.assertEqual(call.exit(), 10)
        ear.wait("ended", by="cancelled")
        done = self.last_call()
        row = self.cdr(done["call_id"])
        self.assertEqual((row["status"], row["end_by"], row["answered"]), ("487", "caller", "f"))

    def test_not_registered_and_unknown(self):
        call = self.call(self.alice, CAROL)
        self.assertEqual((call.exit(), [e["status"] for e in call.seen("rejected")]), (7, [480]))
        call = self.call(self.alice, NOBODY)
        self.assertEqual((call.exit(), [e["status"] for e in call.seen("rejected")]), (8, [404]))

    # ---- barred
    def test_barred_line_reaches_only_611_and_emergency(self):
        ear = self.listen(self.bob)
        psap = self.closing(Wire(self.stack.net + "9", (self.stack.gc_ip, 5060), 5060))
        self.assertEqual(self.call(self.carol, BOB, "--duration", "1").exit(), 0)
        self.stack.ctl("--wait", "line", "bar", str(self.carol.line))
        self.addCleanup(self.stack.ctl, "line", "unbar", str(self.carol.line))
        refused = 'headgate_calls_refused_total{reason="barred"}'
        before = self.gc(refused)
        self.assertTrue(self.refused_as_barred())
        self.assertGreater(self.gc(refused), before)
        self.assertEqual(len(ear.seen("incoming")), 1)
        emergency = self.call(self.carol, "911", "--transport", "udp")
        invite = psap.receive(5)
        self.assertIsNotNone(invite)
        self.assertTrue(invite.startswith(b"INVITE "), invite)
        self.assertIn(CAROL.encode(), invite)
        emergency.stop()
        with MacBti(None, None, None, "x", self.stack.domain, (self.stack.gc_ip, 5060), self.carol.ip) as phone:
            phone.invite(f"sip:611@{self.stack.domain}", SDP)
            answer = phone.expect(lambda m: m.status and m.status > 100)
            self.assertEqual(answer.status, 488, "the provisioning server's own answer to an offer without control channel")
        self.stack.ctl("--wait", "line", "unbar", str(self.carol.line))
        self.assertEqual(self.call(self.carol, BOB, "--duration", "1").exit(), 0)

    def refused_as_barred(self):
        call = self.call(self.carol, BOB, "--duration", "1")
        return call.exit() == 9 and call.seen("rejected", status=403)

    # ---- ending
    def test_either_side_hangs_up(self):
        for who, words, listen_words in (("caller", ["--duration", "1"], []), ("callee", [], ["--duration", "1"])):
            with self.subTest(by=who):
                began = datetime.datetime.now(datetime.timezone.utc).timestamp()
                ear = self.listen(self.bob, *listen_words)
                call = self.call(self.alice, BOB, *words)
                self.assertEqual(call.exit(), 0)
                self.assertEqual(call.seen("ended")[0]["by"], "us" if who == "caller" else "peer")
                ear.wait("ended", by="peer" if who == "caller" else "us")
                ear.stop()
                self.record(call, who, began)

    def record(self, call, who, began):
        """The row that billing gets."""
        row = self.cdr(call.seen("answered")[0]["call_id"])
        self.assertEqual([row[k] for k in ("caller_line", "callee_line", "caller", "called", "route", "status", "end_by", "node")],
                         [str(self.alice.line), str(self.bob.line), ALICE, BOB, "local", "200", who, "gc1"])
        start, answer, end = (float(row[k]) for k in ("start", "answer", "end"))
        now = datetime.datetime.now(datetime.timezone.utc).timestamp()
        self.assertTrue(began <= start <= answer <= end <= now, row)
        said = call.seen("ended")[0]["duration_ms"] / 1000
        self.assertAlmostEqual(end - answer, said, delta=0.4)

    def test_ended_by_the_operator(self):
        ear = self.listen(self.bob)
        call = self.call(self.alice, BOB)
        call.wait("answered")
        live = wait_for("the live call", lambda: [c for c in self.stack.ctl_json("calls") if c["state"] == "answered"])
        self.assertEqual(len(live), 1)
        byes = self.gc("headgate_gate_byes_total")
        self.stack.ctl("call", "end", live[0]["id"])
        self.assertEqual(call.exit(), 0)
        self.assertEqual(call.seen("ended")[0]["by"], "peer")
        ear.wait("ended", by="peer")
        self.grown(self.gc, "headgate_gate_byes_total", byes, 2)
        ladder = self.stack.ctl_json("call", "show", live[0]["id"])["ladder"]
        made = [m for m in ladder if m["text"].startswith("BYE ") and m["mac"] == "made"]
        self.assertEqual({m["to"].split(":")[0] for m in made}, {self.alice.ip, self.bob.ip})
        for bye in made:
            self.assertRegex(bye["octets"], r"(?m)^Reason: .*ended by the operator")
        self.assertNotIn(self.cdr(live[0]["call_id"])["end_by"], ("caller", "callee"))
        self.assertEqual(self.stack.ctl("call", "end", live[0]["id"], check=False).returncode, 1, "it has ended already")

    # ---- what is shown
    def test_ladder_shows_every_message_and_no_key(self):
        ear = self.listen(self.bob)
        call = self.call(self.alice, BOB, "--duration", "1")
        self.assertEqual(call.exit(), 0)
        ear.wait("ended")
        done = self.last_call()
        told = self.stack.ctl_json("call", "show", done["id"])
        steps = [(m["from"].split(":")[0], m["text"].split(" ")[0 if not m["text"].startswith("SIP") else 1], m["mac"])
                 for m in told["ladder"] if not m["text"].startswith("SIP/2.0 100")]
        a, b, g = self.alice.ip, self.bob.ip, self.stack.gc_ip
        self.assertEqual(steps, [(a, "INVITE", "ok"), (g, "INVITE", "made"), (b, "180", "ok"), (g, "180", "made"), (b, "200", "ok"),
                                 (g, "200", "made"), (a, "ACK", "ok"), (g, "ACK", "made"), (a, "BYE", "ok"), (g, "BYE", "made"),
                                 (b, "200", "ok"), (g, "200", "made")])
        offers = [m["octets"] for m in told["ladder"] if "a=crypto" in m["octets"]]
        self.assertEqual(len(offers), 4, "keys are offered and answered, on both sides")
        for text in (self.stack.ctl("call", "show", done["id"], "--ladder", "--octets"), *(m["octets"] for m in told["ladder"])):
            self.assertEqual(set("".join(re.findall(r"inline:(\S*)", text))) - set("*"), set())
            self.assertEqual(set("".join(re.findall(r"mac=(\w*)", text))), set(), "a MAC is no key, but it is nobody's business")
        self.assertIn("mac=*", told["ladder"][0]["octets"])

    # ---- several phones, several sessions
    def test_several_contacts_all_ring_and_the_first_wins(self):
        quick = self.listen(self.bob, "--answer-after", "400")
        slow = self.listen(self.bob, "--answer-after", "20000")
        where = [r for r in self.stack.ctl_json("registrations") if r["line"] == self.bob.line]
        self.assertEqual(len({r["contact"] for r in where}), len(where))
        call = self.call(self.alice, BOB, "--duration", "1")
        self.assertEqual(call.exit(), 0)
        for ear, by in ((quick, "peer"), (slow, "cancelled")):
            self.assertEqual(len(ear.seen("incoming")), 1)
            ear.wait("ended", by=by)
        self.assertEqual((len(quick.seen("answered")), len(slow.seen("answered"))), (1, 0))

    def test_a_session_is_kept_and_a_new_one_serves_as_well(self):
        ear = self.listen(self.bob)
        kids = []
        for kept in (None, True, False):
            if kept is False:
                for slot in glob.glob(self.alice.store + ".session-*"):
                    os.unlink(slot)
            call = self.call(self.alice, BOB, "--duration", "1")
            self.assertEqual(call.exit(), 0)
            session = call.seen("session")[0]
            kids.append(session["kid"])
            if kept is not None:
                self.assertEqual(session["kept"], kept)
        self.assertEqual(kids[0], kids[1])
        self.assertNotEqual(kids[1], kids[2])
        known = {s["kid"] for s in self.stack.ctl_json("sessions")}
        self.assertLessEqual(set(kids), known)
        self.assertEqual(len(ear.seen("answered")), 3)

    # ---- media keys
    def test_media_keys_travel_on_tls_only(self):
        relay = self.closing(Relay(self.stack.net + "66", (self.stack.gc_ip, 5060)))
        ear = self.listen(self.bob)  # on TLS
        call = self.call(self.alice, BOB, "--transport", "udp", "--gc", f"{self.stack.net}66:5060", "--duration", "1")
        self.assertEqual(call.exit(), 0)
        seen = b"".join(relay.seen_up + relay.seen_down)
        self.assertIn(b"m=audio", seen)
        self.assertNotIn(b"crypto", seen)
        self.assertEqual([ear.seen("incoming")[0]["secured"], call.seen("answered")[0]["secured"]], [False, False])
        ear.wait("ended")
        ear.stop()
        # Offered on TLS, but the callee is on UDP: the call is refused rather than its keys shown, or its voice left open.
        ear = self.listen(self.bob, "--transport", "udp")
        refused = 'headgate_calls_refused_total{reason="media_keys"}'
        before = self.gc(refused)
        call = self.call(self.alice, BOB)
        self.assertEqual((call.exit(), [e["status"] for e in call.seen("rejected")]), (7, [488]))
        self.grown(self.gc, refused, before, 1)
        self.assertEqual(ear.seen("incoming"), [])
