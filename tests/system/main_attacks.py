"""Attacks on the gate controller's SIP: altered, replayed, forged, malformed, too many, and a thief's BTI. What counts is that the
callee sees nothing, and that the counters say what was refused and why."""
import re
import socket
import time

from hglib import Failed, Wire, sip_request, wait_for
from macsip import Call, Message
from stacked import SDP, StackTest, telephone, with_session

ALICE, BOB, MALLORY = "+12125550101", "+12125550102", "+12125550103"
SOURCES = 6        # of the altered messages: none sends so much that it is limited
AT_ONCE = 100      # messages under way to one socket


def total(metrics, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if re.match(name + r"[ {]", line))


class Attacks(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.alice, cls.bob, cls.mallory = (telephone(stack, n, f"{stack.net}{i}")
                                           for n, i in ((ALICE, 11), (BOB, 12), (MALLORY, 13)))

    def setUp(self):
        # A session of its own for each test: no number of another one is in the window.
        self.alice, self.bob = (self.closing(with_session(self.stack, p.line, p.bti_id, p.number, p.host_port.split(":")[0]))
                                for p in (type(self).alice, type(self).bob))
        self.assertEqual(self.bob.register().status, 200)
        self.addCleanup(lambda: self.assertEqual(self.bob.register(expires=0).status, 200))  # runs before close()

    def wire(self, last):
        return self.closing(Wire(f"{self.stack.net}{last}", (self.stack.gc_ip, 5060)))

    def nothing_rang(self):
        """Bob hears nothing until a call that is meant for him, and that is the next thing he hears."""
        call = self.alice.invite(BOB, SDP)
        invite = self.bob.expect_request("INVITE")
        self.assertIsNotNone(invite)
        self.assertEqual((invite.call_id, invite.proven), (call.request.call_id, True))
        dialog, _ = self.bob.answer(invite, SDP, timeout=0)
        self.assertEqual(self.alice.final(call).status, 200)
        self.assertIsNotNone(self.bob.expect_request("ACK"))
        self.bob.send(self.bob.bye_message(dialog))
        bye = self.alice.expect_request("BYE")
        self.alice.send(self.alice.response_message(bye, 200, "OK"))
        self.assertEqual([m for m in self.bob.waiting if m.status is None], [])
        self.assertEqual(self.bob.unproven, [])

    # ---- altered
    def test_every_octet_of_a_setup_changed_once(self):
        """Each octet in three ways; the original at the end is taken: what was refused was refused for the change."""
        original = self.alice.invite_message(BOB, SDP)
        altered = [original[:i] + bytes([original[i] ^ mask]) + original[i + 1:] for i in range(len(original)) for mask in (1, 0x20, 0x80)]
        wires = [self.wire(100 + i) for i in range(SOURCES)]
        before = {name: self.gc(name) for name in ("headgate_calls_total", "headgate_source_limited_total", "headgate_queue_full_total")}
        received = 'headgate_messages_received_total{proto="udp"}'
        for at in range(0, len(altered), AT_ONCE):
            come = self.gc(received)
            batch = altered[at:at + AT_ONCE]
            for i, octets in enumerate(batch):
                wires[i % SOURCES].send(octets)
            wait_for("them to be read", lambda c=come, n=len(batch): self.gc(received) >= c + n)
            time_left = wires[0].receive(0)  # answers are not waited for, only taken away
            self.assertFalse(time_left and time_left.startswith(b"SIP/2.0 2"))
        for name, was in before.items():
            self.assertEqual(self.gc(name), was, name)
        statuses = self.statuses(wires)
        self.assertLessEqual(statuses, {400, 401, 404, 405, 407, 416, 481, 483, 501, 505}, statuses)
        self.assertIn(407, statuses)
        self.nothing_rang()  # what is on its way to Bob would be seen before it
        again = Call(original)
        self.alice.send(original)
        rung = self.bob.expect_request("INVITE")
        self.assertEqual(rung.call_id, again.request.call_id)
        self.bob.send(self.bob.response_message(rung, 486, "Busy Here"))
        self.assertEqual(self.alice.final(again).status, 486)

    @staticmethod
    def statuses(wires):
        found = set()
        for wire in wires:
            while (octets := wire.receive(0)) is not None:
                found.add(int(octets[8:11]) if octets.startswith(b"SIP/2.0 ") else octets[:20])
        return found

    def test_replayed_and_readdressed(self):
        call = self.alice.invite(BOB, SDP)
        invite = self.bob.expect_request("INVITE")
        self.bob.send(self.bob.response_message(invite, 180, "Ringing"))
        self.assertIsNotNone(self.alice.expect(lambda m: m.status == 180))
        attacker = self.wire(110)
        received = 'headgate_messages_received_total{proto="udp"}'
        come = self.gc(received)
        attacker.send(call.invite)  # the transaction lives: at most its own answers are repeated, to the caller
        wait_for("it to be read", lambda: self.gc(received) > come)
        dialog, _ = self.bob.answer(invite, SDP, timeout=0)
        self.assertEqual(self.alice.final(call).status, 200)
        self.assertIsNotNone(self.bob.expect_request("ACK"))
        bye = self.alice.bye_message(call.dialog)
        self.alice.send(bye)
        self.bob.send(self.bob.response_message(self.bob.expect_request("BYE"), 200, "OK"))
        self.assertEqual(self.alice.expect_response(bye).status, 200)
        del dialog
        # Any message of the recorded call, from its own address and from another one, with another branch and without.
        before = self.gc("headgate_replays_total")
        recorded = [call.invite.replace(call.request.branch.encode(), b"z9hG4bKother"), call.invite, bye]
        calls = self.gc("headgate_calls_total")
        for octets in recorded:
            attacker.send(octets)
            self.alice.send(octets)
        self.nothing_rang()
        self.assertEqual(self.gc("headgate_calls_total"), calls + 1, "only the call of nothing_rang()")
        self.assertGreaterEqual(self.gc("headgate_replays_total"), before)
        self.assertNotIn(200, self.statuses([attacker]))

    def test_replay_is_counted_and_not_answered(self):
        """A message whose transaction is over: REGISTER's lives for 32 s, so one that never had an own transaction serves."""
        call = self.alice.invite(BOB, SDP)
        invite = self.bob.expect_request("INVITE")
        self.bob.answer(invite, SDP, timeout=0)
        ack = None

        def remember(octets):
            nonlocal ack
            ack = octets
            return Message(octets)
        final = self.alice.expect_response(call.request)
        self.alice.dialog_of(call, final)
        remember(self.alice.ack_message(call, final))
        self.alice.send(ack)
        self.assertIsNotNone(self.bob.expect_request("ACK"))
        before = self.gc("headgate_replays_total")
        attacker = self.wire(111)
        for _ in range(3):
            attacker.send(ack)
        self.grown(self.gc, "headgate_replays_total", before, 3)
        self.assertEqual(self.statuses([attacker]), set())
        bye = self.alice.bye_message(call.dialog)
        self.alice.send(bye)
        after_ack = self.bob.expect(lambda m: m.status is None)
        self.assertEqual(after_ack.method, "BYE", "no second ACK came through")
        self.bob.send(self.bob.response_message(after_ack, 200, "OK"))
        self.assertEqual(self.alice.expect_response(bye).status, 200)

    # ---- without proof, or with that of another
    def test_strangers_and_liars(self):
        missing, bad = (f'headgate_auth_failures_total{{reason="{r}"}}' for r in ("missing", "bad_mac"))
        before = self.gc(missing), self.gc(bad), self.gc('headgate_calls_refused_total{reason="identity"}')
        stranger = self.wire(112)
        stranger.send(sip_request("INVITE", f"sip:{BOB}@{self.stack.domain}", stranger.address, [], SDP))
        answer = Message(stranger.receive(5))
        self.assertEqual(answer.status, 407)
        self.assertRegex(answer.get("proxy-authenticate"), f'^Digest realm="{self.stack.domain}", ')
        self.assertIsNone(answer.get("authentication-info"), "no MAC for whoever proved nothing")
        stranger.send(sip_request("REGISTER", f"sip:{self.stack.domain}", stranger.address, [], sender=f"sip:{BOB}@{self.stack.domain}"))
        answer = Message(stranger.receive(5))
        self.assertEqual(answer.status, 401)
        self.assertEqual([a.split(" ")[0] for a in answer.all("www-authenticate")], ["Digest"])
        for method, status in (("MESSAGE", 407), ("BYE", 407), ("SUBSCRIBE", 407)):
            stranger.send(sip_request(method, f"sip:{BOB}@{self.stack.domain}", stranger.address, []))
            self.assertEqual(stranger.status(), status, method)
        self.grown(self.gc, missing, before[0], 5)
        # A key of Alice's kid that is not hers; the kid of nobody; her own key, but as Bob.
        forged = self.alice.invite_message(BOB, SDP, key=b"\7" * 32)
        self.assertEqual(self.alice.transact(forged).status, 407)
        self.grown(self.gc, bad, before[1], 1)
        self.assertEqual(self.alice.transact(self.alice.invite_message(BOB, SDP, kid=b"\7" * 16)).status, 407)
        liar = self.alice.transact(self.alice.invite_message(BOB, SDP, from_number=MALLORY))
        self.assertEqual((liar.status, liar.proven), (403, True))
        self.grown(self.gc, 'headgate_calls_refused_total{reason="identity"}', before[2], 1)
        self.nothing_rang()

    def test_nobody_registers_in_anothers_name(self):
        mallory = self.closing(with_session(self.stack, type(self).mallory.line, type(self).mallory.bti_id, MALLORY, self.stack.net + "13"))
        mallory.number = BOB  # To and From say Bob, the MAC says Mallory
        answer = mallory.register()
        self.assertIn(answer.status, (403, 404))
        self.assertEqual({r["bti"] for r in self.stack.ctl_json("registrations") if r["number"] == BOB}, {self.bob.bti_id.hex()})
        self.nothing_rang()

    # ---- too much
    def test_flood_of_611_from_one_source(self):
        """It is limited; another source is served at once."""
        flood, honest = self.wire(113), self.wire(114)
        limited = 'headgate_calls_refused_total{reason="unproven_limit"}'
        before, calls = self.gc(limited), self.gc('headgate_calls_total{class="provisioning"}')
        for _ in range(60):
            flood.send(sip_request("INVITE", f"sip:611@{self.stack.domain}", flood.address, [], SDP))
        self.grown(self.gc, limited, before, 40)
        honest.send(sip_request("INVITE", f"sip:611@{self.stack.domain}", honest.address, [], SDP))
        self.assertEqual(honest.status(), 488, "the provisioning server's answer to an offer without control channel")
        self.grown(self.gc, 'headgate_calls_total{class="provisioning"}', calls, 21)

    def test_flood_of_strangers_is_answered_a_little(self):
        """No amplifier: past the limit of a source there is silence."""
        flood = self.wire(115)
        before = self.gc("headgate_answers_limited_total")
        for _ in range(300):
            flood.send(sip_request("OPTIONS", f"sip:{BOB}@{self.stack.domain}", flood.address, []))
        wait_for("the limit", lambda: self.gc("headgate_answers_limited_total") >= before + 200)
        answers = 0
        while flood.receive(0) is not None:
            answers += 1
        self.assertTrue(0 < answers <= 100, answers)
        self.nothing_rang()

    # ---- malformed
    @staticmethod
    def malformed(source):
        """(octets, status, what the reason must name). Status None: silence, because without a Via and a CSeq there is nothing that an
        answer could be made of (RFC 3261 section 8.2.6.2), or because it is no request at all."""
        good = sip_request("OPTIONS", "sip:x@y", source, [])

        def without(name):
            return re.sub(rb"(?m)^" + name + rb":[^\r]*\r\n", b"", good, count=1)

        def instead(name, value):
            return re.sub(rb"(?m)^(" + name + rb"): [^\r]*", rb"\g<1>: " + value, good, count=1)
        return [
            (instead(b"CSeq", b"1 INVITE"), 400, "CSeq"), (instead(b"Max-Forwards", b"many"), 400, "Max-Forwards"),
            (instead(b"Content-Length", b"-1"), 400, "Content-Length"), (instead(b"Content-Length", b"9999"), 400, "Content-Length"),
            (good.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"), 400, "Content-Length"),
            (good.replace(b"\r\n\r\n", b"\r\nCall-ID: other\r\n\r\n"), 400, "Call-ID"),
            (good.replace(b" SIP/2.0\r\n", b" SIP/3.0\r\n", 1), 505, "Version"),
            *((without(name.encode()), 400, name) for name in ("Call-ID", "From", "To")),
            *((without(name), None, "") for name in (b"CSeq", b"Via")),
            (instead(b"CSeq", b"x OPTIONS"), None, ""), (instead(b"CSeq", b"99999999999 OPTIONS"), 400, "CSeq"),
            (instead(b"Via", b"nonsense"), None, ""), (instead(b"Call-ID", b"a\0b"), None, ""),
            (good.replace(b"OPTIONS sip", b"OPT IONS sip", 1), 400, "request line"), (good.replace(b"sip:x@y SIP", b" SIP", 1), 400, "Request-URI"),
            (good.replace(b"Via:", b"Via\xff:", 1), None, ""), (good.replace(b"From: <", b"From: <<<<<<", 1), 400, "From"),
            (good.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 3000 + b"\r\n"), 513, ""),
            (b"SIP/2.0 200 OK\r\n" + good.split(b"\r\n", 1)[1], None, ""), (b"SIP/2.0 abc OK\r\n\r\n", None, ""),
            (b"INVITE\r\n\r\n", None, ""), (b"\0" * 100 + b"\r\n\r\n", None, ""), (b"A" * 60000, None, ""), (b"", None, ""),
        ]

    def judge(self, seen, status, name):
        """seen: what came before the answer to a good request behind it."""
        if status is None:
            self.assertEqual(seen, [])
        else:
            self.assertEqual([m.status for m in seen], [status])
            self.assertIn(name, seen[0].reason)
            self.assertIsNone(seen[0].get("authentication-info"))

    def test_malformed_over_udp(self):
        before, cases = self.gc("headgate_malformed_total"), self.malformed((self.stack.net + "120", 5060))
        for i, (octets, status, name) in enumerate(cases):
            with self.subTest(octets=octets[:60]):
                wire = self.wire(120 + i)
                wire.send(octets)
                seen = []
                for _ in range(2):  # the first of these may overtake an answer, being another worker's; the second does not
                    wire.send(sip_request("OPTIONS", f"sip:{self.stack.gc_ip}", wire.address, []))
                    while (answer := Message(wire.receive(3))).status != 200:
                        seen.append(answer)
                self.judge(seen, status, name)
        self.assertGreaterEqual(self.gc("headgate_malformed_total"), before + len(cases) - 4)
        self.nothing_rang()

    def connect(self, last, seconds=5):
        return self.closing(socket.create_connection((self.stack.gc_ip, 5060), seconds, source_address=(f"{self.stack.net}{last}", 0)))

    def test_malformed_over_tcp(self):
        for i, (octets, status, name) in enumerate(self.malformed((self.stack.net + "160", 5060))):
            with self.subTest(octets=octets[:60]):
                s = self.connect(160 + i)
                behind = sip_request("OPTIONS", f"sip:{self.stack.gc_ip}", s.getsockname(), [])
                s.sendall((octets + behind).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP"))
                if octets.endswith(b"Content-Length: 9999\r\n\r\n"):
                    s.shutdown(socket.SHUT_WR)  # the rest of the body never comes
                answers = self.until_served_or_closed(s)
                if answers or status == 505:
                    self.judge(answers, status, name)
        self.nothing_rang()

    def until_served_or_closed(self, s):
        """Answers before the 200, or before the connection was closed: a stream with a lost beat cannot go on."""
        octets, seen = b"", []
        while True:
            while b"\r\n\r\n" in octets:
                head, octets = octets.split(b"\r\n\r\n", 1)
                answer = Message(head + b"\r\n\r\n")
                if answer.status == 200:
                    return seen
                seen.append(answer)
            try:
                got = s.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                got = b""
            if not got:
                return seen
            octets += got

    # ---- slow and many
    def test_slow_and_many_connections(self):
        head = sip_request("OPTIONS", f"sip:{self.stack.gc_ip}", (self.stack.net + "200", 5060), []).replace(b"/UDP", b"/TCP")
        connections = lambda: self.gc("headgate_connections")  # noqa: E731
        before = connections()
        mine = [self.connect(200) for _ in range(300)]
        began = time.monotonic()
        most = 64 * self.stack.workers
        wait_for("those past the limit to be closed", lambda: sum(map(self.is_open, mine)) <= most)
        kept = [s for s in mine if self.is_open(s)]
        self.assertGreater(len(kept), 32)
        # Somebody else is served meanwhile.
        other = self.connect(201)
        other.sendall(head)
        self.assertTrue(other.recv(65536).startswith(b"SIP/2.0 200"))
        other.close()
        # An octet at a time, for ever: given up all the same.
        at = 0

        def drip():
            nonlocal at
            for s in kept:
                try:
                    s.send(head[at % 60:at % 60 + 1])
                except OSError:
                    pass
            at += 1
            return not any(self.is_open(s) for s in kept)
        wait_for("the slow ones to be closed", drip, 16)
        self.assertGreater(time.monotonic() - began, 5, "not at once: an honest sender may be slow")
        wait_for("their memory to be given back", lambda: connections() <= before, 5)

    @staticmethod
    def is_open(s):
        s.setblocking(False)
        try:
            return s.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class Revoked(StackTest):
    """A thief's BTI: connections closed, registrations and sessions gone, calls ended and refused, within a second."""

    def test_revoked_within_a_second(self):
        stack = self.stack
        alice, thief = stack.enrolled("alice", stack.net + "11", ALICE), stack.enrolled("thief", stack.net + "12", BOB)
        ear = self.stopping(thief.listen())
        friend = self.stopping(alice.listen())
        call = self.stopping(thief.call(ALICE))
        call.wait("answered")
        bti_id = thief.status()["bti_id"]
        other = self.closing(with_session(stack, thief.line, bytes.fromhex(bti_id), BOB, stack.net + "13"))
        self.assertEqual(other.register().status, 200)
        before = self.connections_of(thief.ip)
        self.assertEqual(len(before), 2, "of listen and of call")
        began = time.monotonic()
        stack.ctl("bti", "revoke", bti_id)
        took = {}
        checks = {"call ended": lambda: friend.seen("ended"),
                  "registrations gone": lambda: not [r for r in stack.ctl_json("registrations") if r["bti"] == bti_id],
                  "sessions gone": lambda: not [s for s in stack.ctl_json("sessions") if s["bti"] == bti_id],
                  "connections closed": lambda: not set(before) & set(self.connections_of(thief.ip)),
                  "refused": lambda: other.transact(other.invite_message(ALICE, SDP), 1).status == 407}
        while len(took) < len(checks):
            for name, check in checks.items():
                if name not in took and check():
                    took[name] = time.monotonic() - began
            self.assertLess(time.monotonic() - began, 20, f"in vain; came: {took}")
        self.assertLess(max(took.values()), 2.0, f"not by the poll, which comes every 2 s: {took}")
        self.assertEqual(len(friend.seen("incoming")), 1)
        # It stays out: no new session, and nobody reaches it.
        again = thief.call(ALICE)
        self.assertEqual(again.exit(), 3, again.events)
        with self.assertRaises(Failed):
            ear.wait("registered", 1.5, gate="nowhere")
        reach = alice.call(BOB)
        self.assertEqual((reach.exit(), [e["status"] for e in reach.seen("rejected")]), (7, [480]))
        self.assertEqual([b["revoked"] != "" for b in stack.ctl_json("bti", "list") if b["bti"] == bti_id], [True])

    def connections_of(self, ip):
        """Local ports of established TCP connections from this address to the gate controller's TLS port."""
        found = []
        quad = bytes(reversed([int(x) for x in ip.split(".")])).hex().upper()
        gate = bytes(reversed([int(x) for x in self.stack.gc_ip.split(".")])).hex().upper()
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                words = line.split()
                if words[1].startswith(quad + ":") and words[2] == f"{gate}:{5061:04X}" and words[3] == "01":
                    found.append(words[1])
        return found
