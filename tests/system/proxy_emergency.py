"""911 with equipment of others: PSAPs that are sipp behind a Kamailio, callers that nobody knows (a phone with wrong credentials, a
BTI without a session), databases halted, configuration read again in mid-call."""
import pathlib
import re
import signal

from hglib import Relay, wait_for
from macsip import MacBti
from peered import PeerTest, at_once
from peers import Sipp, gateway
from sippline import answering
from softphones import Baresip
from stacked import SDP

ALICE, BOB = "+12125550101", "+12125550102"


class Psaps(PeerTest):
    """.9 and .8 are the two next hops, each a Kamailio before a PSAP's own telephones at .20."""
    gc_settings = {"emergency.next_hops": '["sip:{net}9:5060", "sip:{net}8:5060"]', "peers.trusted": '["{net}9", "{net}8"]'}
    hops, runs, last_ip = [], 0, 40

    @classmethod
    def set_out(cls, stack):
        cls.psap_ip = stack.net + "20"
        cls.alice, cls.bob = at_once(lambda: stack.enrolled("alice", stack.net + "11", ALICE),
                                     lambda: stack.enrolled("bob", stack.net + "12", BOB))
        cls.hops = [gateway(stack, f"psap{i}", f"{stack.net}{i}:5060", cls.psap_ip + ":5060") for i in (9, 8)]

    @classmethod
    def take_in(cls):
        for hop in cls.hops:
            hop.stop()

    def psap(self):
        type(self).runs += 1
        run = Sipp(self.stack, f"psap-run{self.runs}", self.psap_ip, answering())
        self.addCleanup(run.stop)
        return run

    def address(self):
        """One that nobody has used."""
        type(self).last_ip += 1
        return f"{self.stack.net}{self.last_ip}"

    def by_bti(self, *words):
        psap = self.psap()
        call = self.stopping(self.alice.call("911", "--transport", "udp", "--audio", "tone", "--duration", "1", *words))
        self.assertEqual(call.exit(), 0, call.events[-4:])
        psap.done()
        self.assertGreater(call.seen("media")[0]["rtp_received"], 20)
        return psap.messages()

    def test_a_phone_with_wrong_credentials(self):
        """It cannot register, and yet is heard."""
        for transport in ("udp", "tcp"):
            with self.subTest(transport=transport):
                psap = self.psap()
                phone = Baresip(self.stack, f"lost-{transport}", self.address(), "+12125550199", "wrong", f"sip:{self.stack.gc_ip}:5060",
                                transport)
                self.addCleanup(phone.stop)
                phone.dial(f"sip:911@{self.stack.domain}")
                phone.expect("CALL_ESTABLISHED")
                phone.expect("CALL_RTPESTAB")
                phone.hangup()
                phone.expect("CALL_CLOSED")
                psap.done()
                self.assertNotIn("P-Asserted-Identity", psap.messages(), "nobody vouches for it")

    def test_a_bti_that_nobody_has_provisioned(self):
        psap = self.psap()
        with MacBti(None, None, None, "+19175550000", self.stack.domain, (self.stack.gc_ip, 5060), self.address()) as phone:
            for to in ("urn:service:sos",):
                phone.aor = lambda number=None, p=phone, to=to: to if number == to else MacBti.aor(p, number)
                call = phone.invite(to, SDP)
                self.assertEqual(phone.final(call).status, 200, "at once and unasked")
                self.assertEqual(phone.bye(call.dialog).status, 200)
        psap.done()

    def by_nobody(self, name, *words):
        """A BTI that was never enrolled."""
        psap = self.psap()
        call = self.stopping(self.stack.bti(name, self.address()).call("911", "--audio", "tone", "--duration", "1", *words))
        self.assertEqual(call.exit(), 0, call.events[-4:])
        psap.done()
        self.assertGreater(call.seen("media")[0]["rtp_received"], 20)
        self.assertFalse(call.seen("calling")[-1]["proven"])
        self.assertFalse(call.seen("answered")[0]["secured"], "no key, so plain RTP")
        self.assertNotIn("P-Asserted-Identity", psap.messages(), "nobody vouches for it")
        return call, psap.messages()

    def test_a_bti_without_enrolment(self):
        """No key store, no session, no domain: it is told of gate controllers, of which the first does not live."""
        gates = ["--gc", self.address(), "--gc", self.stack.gc_ip]
        call, _ = self.by_nobody("nobody-tcp", *gates)
        self.assertEqual([(c["transport"], c["gate"]) for c in call.seen("calling")],
                         [("TCP", gates[1] + ":5060"), ("TCP", gates[3] + ":5060")])
        call, said = self.by_nobody("nobody-udp", "--transport", "udp", "--gc", self.stack.gc_ip, "--from", "+19175550000")
        self.assertRegex(said, r"(?m)^From:.*<sip:\+19175550000@anonymous.invalid>")

    def test_a_bti_without_enrolment_calls_nobody_else(self):
        bti = self.stack.bti("nobody-else", self.address())
        for number, words, said in ((BOB, ["--gc", self.stack.gc_ip], "not enrolled"), ("911", [], "with --gc")):
            done = bti.run("call", number, *words)
            self.assertEqual(done.returncode, 6, done.stdout + done.stderr)
            self.assertIn(said, done.stderr)

    def test_a_session_that_the_gate_controller_does_not_know(self):
        """It may be on its way there still. The answers have no MAC then, and the call goes on at once."""
        def other_session(octets, upward):
            return re.sub(rb"kid=[0-9a-f]+", b"kid=" + 32 * b"e", octets) if upward else octets
        relay = Relay(self.address(), (self.stack.gc_ip, 5060), other_session, source=self.address())
        self.addCleanup(relay.close)
        psap = self.psap()
        call = self.stopping(self.alice.call("911", "--transport", "udp", "--gc", f"{relay.up.getsockname()[0]}:5060", "--audio", "tone",
                                             "--duration", "1"))
        self.assertEqual(call.exit(), 0, call.events[-4:])
        psap.done()
        self.assertEqual([c["proven"] for c in call.seen("calling")], [True], "one INVITE, under its session")
        self.assertNotIn(b"Authentication-Info", b"".join(relay.seen_down), "the gate controller could not know it")
        self.assertNotIn("P-Asserted-Identity", psap.messages())

    def test_a_proven_line_is_named(self):
        """Once the gate controller knows its session: a call under a newer one does not wait for that."""
        self.by_bti()  # now it holds a session
        line = self.stack.sql(f"SELECT line_id FROM core.number WHERE number = '{ALICE}'")
        wait_for("the session to arrive", lambda: int(line) in {s["line"] for s in self.stack.ctl_json("sessions")})
        self.assertRegex(self.by_bti(), rf"(?m)^P-Asserted-Identity:.*<sip:\{ALICE}@")

    def test_the_second_when_the_first_is_gone(self):
        first, second = self.hops
        first.stop()
        try:
            said = self.by_bti()
            self.assertRegex(said, rf"(?m)^Via: SIP/2.0/UDP {self.stack.net}8[:;]")
        finally:
            first.start()

    def test_databases_halted(self):
        self.by_bti()  # now it holds a session
        halted = self.stack.halt("postgres", "redis")
        try:
            self.by_bti()
        finally:
            self.stack.go_on(halted)

    def test_read_again_in_mid_call(self):
        """SIGHUP does not touch a call, neither a 911 call nor one between lines."""
        gc = self.stack.daemons["gc1"]
        reloads = pathlib.Path(gc.log).read_text(encoding="utf-8").count('"gc.reloaded"')
        psap = self.psap()
        ear = self.stopping(self.bob.listen("--transport", "tcp", "--audio", "tone"))
        calls = [self.stopping(self.alice.call(number, "--transport", "tcp", "--audio", "tone")) for number in ("911", BOB)]
        for call in calls:
            call.wait("answered")
        gc.signal(signal.SIGHUP)
        wait_for("the reload", lambda: pathlib.Path(gc.log).read_text(encoding="utf-8").count('"gc.reloaded"') > reloads)
        self.assertEqual([c["state"] for c in self.stack.ctl_json("calls")], ["answered", "answered"])
        for call in calls:
            call.process.terminate()
            self.assertEqual(call.exit(), 0, call.events[-4:])
            self.assertEqual(call.seen("ended")[0]["by"], "us")
        ear.wait("ended", by="peer")
        psap.done()


if __name__ == "__main__":
    import unittest
    unittest.main()
