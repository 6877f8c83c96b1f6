"""BTIs that hold good keys and mean no good: thousands of messages that are changed and then sealed, answers nobody asked for, floods of
2xx and ACK, races at every step of a call; enrolments and session requests changed at every step. The daemons must go on, serve the
honest, and forget it all afterwards. HEADGATE_SEED=N: another run, or the same one again."""
import re
import socket
import struct
import sys
import time

import headgate_ref as ref
from hglib import wait_for
from macsip import Call
from mutate import SDP, SEED, Mutator
from rogue import Asking, Enrolling, Rogue, change_fields
from stacked import StackTest, read_frames, telephone

ROUNDS = 600
CALLS_PER_LINE = 60
TRIES = 12  # of each step of an enrolment


class Hostile(StackTest):
    """The tests run in the order of their names: the last one looks at what the others have left behind."""
    gc_settings = {"sip.t1": "50ms", "sip.timer_c": "1500ms", "limits.calls_per_line": str(CALLS_PER_LINE),
                   "limits.unproven_per_source": "100", "limits.unproven_total": "10000"}
    ps_settings = {"limits.lockout": "100ms", "limits.lockout_max": "100ms", "limits.max_calls": "2000", "control.max_half_open": "2000",
                   "control.step": "2s", "control.voice": "5s"}

    @classmethod
    def prepare(cls, stack):
        names = ("+12125550101", "+12125550102", "+12125550103", "+12125550104")
        cls.alice, cls.bob, cls.mallory, cls.other = (telephone(stack, n, f"{stack.net}{11 + i}") for i, n in enumerate(names))
        cls.mutator, cls.last_ip = Mutator(SEED), 29
        print(f"seed {SEED}", file=sys.stderr)

    @classmethod
    def tearDownClass(cls):
        for phone in (cls.alice, cls.bob, cls.mallory, cls.other):
            phone.close()
        super().tearDownClass()

    def until(self, what, send, heard):
        """Sends the same octets again and again, as UDP wants it, until heard() gives something."""
        for wait in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2):
            send()
            got = heard(wait)
            if got is not None:
                return got
        return self.fail(what)

    def honest_call(self, i):
        """From SETUP to BYE, as if nobody else were there."""
        alice, bob = self.alice, self.bob
        self.assertEqual(alice.register(timeout=20).status, 200)
        octets = alice.invite_message(bob.number, SDP)
        call = Call(octets)
        invite = self.until(f"call {i} does not ring", lambda: alice.send(octets), lambda wait: bob.expect(
            lambda m: m.method == "INVITE" and m.call_id == call.request.call_id and not m.repeat, wait))
        ok = bob.response_message(invite, 200, "OK", body=SDP)
        answer = self.until(f"call {i} is not answered", lambda: bob.send(ok), lambda wait: alice.expect_response(call.request, wait))
        self.assertEqual(answer.status, 200, f"call {i}")
        ack = alice.ack_message(call, answer)
        self.until(f"call {i} has no ACK", lambda: alice.send(ack), lambda wait: bob.expect(
            lambda m: m.method == "ACK" and m.call_id == invite.call_id, wait))
        bye = alice.bye_message(call.dialog)
        asked = self.until(f"call {i} has no BYE", lambda: alice.send(bye), lambda wait: bob.expect(
            lambda m: m.method == "BYE" and m.call_id == invite.call_id, wait))
        ok = bob.response_message(asked, 200, "OK")
        self.assertEqual(self.until(f"BYE of call {i}", lambda: bob.send(ok), lambda wait: alice.expect_response(bye, wait)).status, 200)
        alice.waiting, bob.waiting = [], []

    # ---- calls
    def test_1_calls(self):
        self.assertEqual(self.bob.register().status, 200)
        self.assertEqual(self.other.register().status, 200)
        rogue = Rogue(self.mutator, self.mallory, self.other, self.stack.domain)
        before, began = self.gc("headgate_messages_received_total"), time.monotonic()
        for i in range(ROUNDS):
            rogue.round()
            if i % 5 == 0:  # at the pace of whoever reads it
                seen, read = -1, 0
                while seen < read:
                    seen, read = read, self.gc("headgate_messages_received_total")
            if i % 50 == 0:
                self.honest_call(i)
        taken = self.gc("headgate_messages_received_total") - before
        print(f"{rogue.sent} messages, {taken:g} taken in, {time.monotonic() - began:.1f} s", file=sys.stderr)
        self.assertGreater(taken, rogue.sent / 2, "it was not the network that held them up")
        self.calls_end()
        self.nothing_is_kept_of_the_line()
        self.honest_call(ROUNDS)

    def calls_end(self):
        """Those that nobody answered by their timers. What the rogue answered and acknowledged is a call: the operator ends it."""
        wait_for("what was not answered to end", lambda: all(c["state"] == "answered" for c in self.stack.ctl_json("calls")), 15)
        for call in self.stack.ctl_json("calls"):
            self.stack.ctl("call", "end", call["id"], check=False)
        wait_for("the calls to end", lambda: self.gc("headgate_calls") == 0, 10)

    def nothing_is_kept_of_the_line(self):
        """As many calls at a time as the line may have: none of those above counts any more."""
        self.mallory.waiting.clear()
        self.other.reg_call_id = self.other.fresh()  # the rogue has used up the numbers of the other one
        self.assertEqual(self.other.register().status, 200)
        calls = []
        for _ in range(CALLS_PER_LINE):
            calls.append(self.mallory.invite(self.other.number, SDP))
            self.assertIsNotNone(self.other.expect(lambda m: m.method == "INVITE" and m.call_id == calls[-1].request.call_id))
        full = self.mallory.invite(self.other.number, SDP)
        self.assertEqual(self.mallory.final(full).status, 403, "one more")
        for call in calls:
            self.mallory.send(self.mallory.cancel_message(call))
        wait_for("them to end", lambda: self.gc("headgate_calls") == 0, 20)

    # ---- enrolments
    def address(self):
        type(self).last_ip = 30 + (self.last_ip - 29) % 200
        return f"{self.stack.net}{self.last_ip}"

    def at(self, stage, how):
        """change() for Enrolling that touches one stage only."""
        return lambda where, octets: how(octets) if where == stage else octets

    def fields(self, octets):
        return change_fields(self.mutator, octets)

    def framed(self, octets):
        body = self.fields(octets[4:])
        return struct.pack(">BBH", 1, self.mutator.one((octets[1],) * 9 + (3, 9)), len(body) & 0xffff) + body

    def raw(self, octets):
        out = self.mutator.octets(octets + b"\r\n")[:-2]
        return self.mutator.one((out, out, octets * 2, octets[:-1], octets[:4], out + octets, b"\1\x08\0\0" + octets))

    def other_length(self, octets):
        return octets[:self.mutator.one((0, 1, 31, 32))] + bytes(self.mutator.one((0, 1, 400)))

    def test_2_enrolments(self):
        hows = [("yo", self.framed), ("yo", self.raw), ("keys", self.raw), ("keys body", self.fields), ("info", self.fields),
                ("wrapped", self.mutator.octets), ("k", self.other_length)]
        for stage, how in hows:
            for _ in range(TRIES):
                with Enrolling(self.stack, self.address(), self.at(stage, how)) as e:
                    self.to_the_end(e, e.proof)
        self.still_enrols("+12125550201")

    def to_the_end(self, e, step):
        """Whatever the other end says to it: an error, the end of the connection, even the next frame."""
        e.patience = 0.3
        try:
            step()
        except (ref.Refused, IndexError, OSError, RuntimeError, ValueError):
            pass

    def still_enrols(self, number):
        stack = self.stack
        self.assertTrue(stack.enrolled("honest" + number, self.address(), number).line)

    def line_for(self, number):
        account = self.stack.ctl_json("account", "add", number)["account"]
        line = self.stack.ctl_json("line", "add", account, number, "--caller-id", "yes")["line"]
        return line, self.stack.quick_order(line)

    def test_3_keys_voice_and_sessions(self):
        line, order = self.line_for("+12125550202")
        k_u = b"\7" * 32
        for i in range(TRIES):
            change = self.at("user key fields", self.fields) if i % 3 else self.at("user key", self.raw)
            with Enrolling(self.stack, self.address(), change, k_u, self.mutator.one((1, 2)) if i % 4 == 3 else 1) as e:
                if e.bti.kind == 2:
                    e.bti.k_u = k_u * 2
                e.proof()
                if e.verdict(order)[0] == 1:
                    self.to_the_end(e, lambda e=e: (e.user_key(), e.frames()))
        with Enrolling(self.stack, self.address()) as e:
            e.proof()
            self.strange_voice(e)
            self.to_the_end(e, lambda: (e.dial("*" + order + "#"), e.frames()))
        line, order = self.line_for("+12125550203")
        with Enrolling(self.stack, self.address(), None, k_u) as e:
            e.proof()
            self.assertEqual(e.verdict(order)[0], 1, "an enrolment by hand goes its way")
            e.user_key()
            done = e.bti.done(e.frames()[0][0])
        self.strange_sessions(done, k_u, e.trust)
        self.still_enrols("+12125550204")

    def strange_voice(self, e):
        """Packets that verify, and say anything."""
        m = self.mutator
        for _ in range(400):
            first = m.one((0x80, 0x80, 0x80, 0x8f, 0x90, 0xa0, 0xbf))
            more = m.random.randbytes(m.one((0, 4, 60))) if first != 0x80 else b""
            event = struct.pack(">BBH", m.random.randrange(16), 10, 160)
            body = m.one((b"", event, m.random.randbytes(m.one((1, 3, 4, 5, 160, 960, 961, 1400)))))
            ssrc = m.one((0x5eed, 0x5eed, m.random.randrange(2 ** 32)))
            try:
                e.rtp(m.one((0, 101, 101, 13, 72, 127)), m.random.randrange(2 ** 32), body, ssrc, m.chance(0.1), first, more)
            except OSError:
                pass
            e.seq += m.one((0, 0, 0, 1, 200, 40000))

    def strange_sessions(self, enrolled, k_u, trust):
        hows = [("asked", self.fields), ("request", self.fields), ("asked", lambda o: o), ("request", lambda o: o + self.mutator.octets(o))]
        answers = []
        for i in range(2 * TRIES):
            stage, how = self.mutator.one(hows)
            form = 1 + i % 2
            bti = Asking(self.at(stage, how), ref.Octets(), trust, b"\2\1", form, k_u if form == 1 else enrolled["ltk"],
                         enrolled["bti_id"], i + 1, self.mutator.one(("gc1", "", "x" * 255, "\0", "' OR 1=1")))
            with socket.create_connection((self.stack.net + "2", 7611), 5, source_address=(self.address(), 0)) as s:
                s.sendall(bti.yo())
                bti.offer(read_frames(s)[0][0])
                octets = bti.request()
                s.sendall(octets if self.mutator.chance(0.8) else self.raw(octets))
                answers.append([f[1] for f in read_frames(s, 1)[0]])
        self.assertIn([ref.SESSION_ANSWER], answers, "some of them were not changed beyond use")

    # ---- what is left
    def test_4_all_is_forgotten(self):
        wait_for("the transactions to end", lambda: self.gc("headgate_transactions") <= 2, 45)
        self.assertEqual(self.gc("headgate_calls"), 0)
        wait_for("the control connections to end", lambda: self.ps("headgate_prov_half_open") == 0, 10)
        wait_for("the 611 calls to end", lambda: self.ps("headgate_prov_calls") == 0, 10)
        with open(self.stack.log("gc1"), encoding="utf-8") as log:  # what it wanted to say, it could
            bad = [line for line in log if re.search('"event":"(call.own_request_failed|answer.impossible|call.cancel_failed)"', line)]
        self.assertEqual(bad, [])
