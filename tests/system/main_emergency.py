"""Emergency calls reach the PSAP: without any proof, with a wrong one, past a dead next hop, without databases, and while draining.
The PSAP is a trusted peer on UDP that answers by itself."""
import os
import pathlib
import signal
import socket
import threading

from hglib import sip_request, wait_for
from macsip import MacBti, Message
from stacked import SDP, StackTest, telephone

ALICE, BOB = "+12125550101", "+12125550102"


class Psap:
    """Answers every INVITE with .status, or not at all when it is None; BYE always with 200. .invites: what has come;
    .answers: statuses of what it has asked itself."""

    def __init__(self, ip, gc):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 5060))
        self.socket.settimeout(0.1)
        self.ip, self.gc, self.status, self.invites, self.answers = ip, gc, 200, [], []
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.closing.is_set():
            try:
                message = Message(self.socket.recvfrom(65536)[0])
            except socket.timeout:
                continue
            if message.status is None and message.method == "INVITE":
                self.invites.append(message)
                if self.status is not None:
                    self.answer(message, self.status)
            elif message.status is None and message.method != "ACK":
                self.answer(message, 200)
            elif message.status is not None:
                self.answers.append(message.status)

    def ask(self, method, uri):
        """The status that a request without any proof gets."""
        n = len(self.answers)
        self.socket.sendto(sip_request(method, uri, (self.ip, 5060), []), self.gc)
        wait_for(f"an answer to {method}", lambda: len(self.answers) > n, 10)
        return self.answers[n]

    def answer(self, request, status):
        to = request.get("to")
        lines = [f"SIP/2.0 {status} Answer"] + [f"Via: {v}" for v in request.all("via")]
        lines += [f"Record-Route: {r}" for r in request.all("record-route")]
        lines += [f"From: {request.get('from')}", f"To: {to if ';tag=' in to else to + ';tag=psap'}", f"Call-ID: {request.call_id}",
                  f"CSeq: {request.get('cseq')}", f"Contact: <sip:psap@{self.ip}:5060>"]
        body = SDP if request.method == "INVITE" and status == 200 else b""
        lines += (["Content-Type: application/sdp"] if body else []) + [f"Content-Length: {len(body)}", "", ""]
        self.socket.sendto("\r\n".join(lines).encode() + body, self.gc)

    def of(self, call):
        return [m for m in self.invites if m.call_id == call.request.call_id]

    def close(self):
        self.closing.set()
        self.thread.join(5)
        self.socket.close()


class Emergency(StackTest):
    last_ip = 40

    @classmethod
    def prepare(cls, stack):
        """Two next hops, both trusted: their addresses are known only now."""
        hops = [f"{stack.net}9", f"{stack.net}8"]
        cls.settings = {"emergency.next_hops": "[" + ", ".join(f'"sip:{ip}:5060"' for ip in hops) + "]",
                        "peers.trusted": "[" + ", ".join(f'"{ip}"' for ip in hops) + "]",
                        "limits.challenge_per_source": "1000"}
        stack.daemons["gc1"].stop()
        stack.start_gc(config=stack.gc_config(settings=cls.settings))
        cls.alice, cls.bob = telephone(stack, ALICE, stack.net + "11"), telephone(stack, BOB, stack.net + "12")

    @classmethod
    def tearDownClass(cls):
        cls.alice.close()
        cls.bob.close()
        super().tearDownClass()

    def setUp(self):
        self.psap, self.second = (self.closing(Psap(f"{self.stack.net}{i}", (self.stack.gc_ip, 5060))) for i in (9, 8))

    def stranger(self):
        """A phone without a session, at an address that nobody has used."""
        type(self).last_ip += 1
        return self.closing(MacBti(None, None, None, "+19175550000", self.stack.domain, (self.stack.gc_ip, 5060),
                                   f"{self.stack.net}{self.last_ip}"))

    def served(self, phone, to="911", psap=None, **kw):
        """One call, answered by the PSAP and hung up by the caller; what the PSAP saw of it."""
        call = phone.invite(to, SDP, **kw)
        answer = phone.final(call)
        self.assertIsNotNone(answer, f"no answer to {to}")
        self.assertEqual(([m.status for m in call.responses if m.status != 100], answer.body), ([200], SDP), "at once and unasked")
        for m in call.responses:
            self.assertEqual((m.all("proxy-authenticate"), m.all("www-authenticate")), ([], []))
        seen = (psap or self.psap).of(call)
        self.assertEqual(len(seen), 1)
        self.assertEqual(seen[0].body, SDP)
        self.assertEqual(phone.bye(call.dialog).status, 200)
        return seen[0]

    # ---- who calls
    def test_without_any_proof(self):
        before = self.gc('headgate_calls_total{class="emergency"}')
        ways = ("911", "112", "sip:911@somewhere.example", "urn:service:sos", "urn:service:sos.fire")
        for to in ways:
            with self.subTest(to=to):
                phone = self.stranger()
                if to.startswith("urn:"):
                    phone.aor = lambda number=None, p=phone, to=to: to if number == to else MacBti.aor(p, number)
                seen = self.served(phone, to, extra=[("P-Asserted-Identity", f"<sip:{ALICE}@{self.stack.domain}>")])
                self.assertEqual(seen.all("p-asserted-identity"), [], "nobody vouched for it")
        self.grown(self.gc, 'headgate_calls_total{class="emergency"}', before, len(ways))
        self.assertEqual(self.second.invites, [])

    def test_with_a_wrong_proof(self):
        for name, kw in (("another key", {"key": os.urandom(32)}), ("unknown session", {"kid": os.urandom(16)}),
                         ("no credentials", {"raw_header": "Proxy-Authorization: BTI-MAC nonsense"})):
            with self.subTest(wrong=name):
                phone = self.stranger()
                phone.kid, phone.mac_up, phone.mac_down = self.alice.kid, self.alice.mac_up, self.alice.mac_down
                phone.seq = 1000000
                call = phone.invite("911", SDP, **kw)
                answer = phone.final(call)
                self.assertEqual([m.status for m in call.responses if m.status != 100], [200], answer)
                seen = self.psap.of(call)
                self.assertEqual(len(seen), 1)
                self.assertEqual(seen[0].all("p-asserted-identity"), [], "it is not Alice")

    def test_a_proven_line_is_named(self):
        seen = self.served(self.alice, "911", from_number=ALICE)
        identity = seen.get("p-asserted-identity")
        self.assertIsNotNone(identity, seen.raw)
        self.assertIn(ALICE, identity)
        self.assertNotIn(self.alice.kid.hex().encode(), seen.raw, "the session is nobody's business")

    # ---- next hops
    def test_second_next_hop(self):
        for status in (503, None):
            with self.subTest(first=status or "silent"):
                self.psap.status = status
                call_came = len(self.psap.invites)
                self.served(self.stranger(), psap=self.second)
                self.assertGreater(len(self.psap.invites), call_came, "the first was asked first")

    def test_no_next_hop_takes_it(self):
        self.psap.status = self.second.status = 503
        phone, before = self.stranger(), self.stack.metric("headgate_emergency_failed_total")
        answer = phone.final(phone.invite("911", SDP))
        self.assertEqual(answer.status, 503)
        wait_for("the alarm", lambda: self.stack.metric("headgate_emergency_failed_total") == before + 1, 5)
        self.assertIsNotNone(answer.get("retry-after"))
        self.assertEqual((len(self.psap.invites), len(self.second.invites)), (1, 1), "each was asked")

    # ---- what is out of order
    def test_databases_halted_and_no_provisioning_server(self):
        ps = self.stack.daemons["ps1"]
        self.assertEqual(ps.stop(), 0)
        halted = self.stack.halt("postgres", "redis")
        try:
            self.served(self.stranger())
            self.served(self.stranger(), "112")
            self.assertIn(ALICE, self.served(self.alice).get("p-asserted-identity"))
        finally:
            self.stack.go_on(halted)
            ps.start().ready()

    def said(self, event):
        return pathlib.Path(self.stack.daemons["gc1"].log).read_text(encoding="utf-8").count(f'"{event}"')

    def read_again(self, **changed):
        """SIGHUP with these settings; names with __ for the dot."""
        reloads = self.said("gc.reloaded")
        self.stack.gc_config(settings=dict(self.settings, **{k.replace("__", "."): v for k, v in changed.items()}))
        self.stack.daemons["gc1"].signal(signal.SIGHUP)
        wait_for("the reload", lambda: self.said("gc.reloaded") > reloads)
        self.stack.ctl("--wait", "status")  # every worker goes by it

    def test_lists_are_read_again(self):
        """SIGHUP: next hops, peers that are believed, provisioning servers; each as if it had been there from the start."""
        to_bob, ps = f"sip:{BOB}@{self.stack.domain}", f"udp:{self.stack.net}2:5070"
        other = f"udp:{self.stack.net}6:5070"
        self.assertNotEqual(self.psap.ask("MESSAGE", to_bob), 407, "a peer is believed")
        try:
            self.read_again(emergency__next_hops=f'["sip:{self.second.ip}:5060"]', peers__trusted=f'["{self.second.ip}"]',
                            provisioning__servers=f'["{ps}", "{other}"]')
            self.assertEqual([self.psap.ask("MESSAGE", to_bob) for _ in range(6)], [407] * 6)
            self.assertNotEqual(self.second.ask("MESSAGE", to_bob), 407)
            self.served(self.stranger(), psap=self.second)
            self.assertEqual(self.psap.invites, [], "no next hop any more")
            wait_for("the new server to be known", lambda: len(self.stack.ctl_json("ps")) == 2, 5)
            self.read_again(provisioning__servers=f'["{other}"]')
            wait_for("the old one to be forgotten", lambda: len(self.stack.ctl_json("ps")) == 1, 5)
            phone = self.stranger()
            self.assertEqual(phone.final(phone.invite("611", SDP)).status, 503, "that server does not live")
        finally:
            self.read_again()
        wait_for("the first server to be back", lambda: [s["healthy"] for s in self.stack.ctl_json("ps")] == [True], 10)
        self.assertNotIn(407, [self.psap.ask("MESSAGE", to_bob) for _ in range(6)])

    def live_call(self):
        self.assertEqual(self.bob.register().status, 200)
        live = self.alice.invite(BOB, SDP)
        self.bob.answer(self.bob.expect_request("INVITE"), SDP, timeout=0)
        self.assertEqual(self.alice.final(live).status, 200)
        self.assertIsNotNone(self.bob.expect_request("ACK"))
        return live

    def test_the_end_of_a_drain(self):
        """A call that is still up then ends on both sides, by BYE; how long a drain takes is read again by SIGHUP."""
        d = self.stack.daemons["gc1"]
        try:
            self.read_again(limits__drain='"200ms"')
            self.live_call()
            help_wanted = self.stranger()
            call = help_wanted.invite("911", SDP)
            self.assertEqual(help_wanted.final(call).status, 200)
            d.signal(signal.SIGTERM)
            for phone in (self.alice, self.bob):
                bye = phone.expect_request("BYE")
                self.assertIsNotNone(bye)
                self.assertIn("Out of service", bye.get("reason"))
                phone.send(phone.response_message(bye, 200, "OK"))
            self.assertIsNone(help_wanted.expect_request("BYE", 0), "its voice goes on without us")
            self.assertEqual(d.process.wait(10), 0)
        finally:
            d.stop()
            self.stack.gc_config(settings=self.settings)
            d.start().ready()

    def test_while_draining(self):
        d, drains = self.stack.daemons["gc1"], self.said("gc.drain")
        live = self.live_call()
        d.signal(signal.SIGTERM)
        try:
            wait_for("the drain", lambda: self.said("gc.drain") > drains)
            self.served(self.stranger())
            self.served(self.alice)
            bye = self.alice.bye_message(live.dialog)
            self.alice.send(bye)
            self.bob.send(self.bob.response_message(self.bob.expect_request("BYE"), 200, "OK"))
            self.assertEqual(self.alice.expect_response(bye).status, 200)
            self.assertEqual(d.process.wait(10), 0)
        finally:
            d.stop()
            d.start().ready()
