"""Kamailio as the PSTN gateway, with sipp as the equipment behind it: calls of a BTI to it and from it, and when it will not."""
import re

from peered import PeerTest, at_once
from peers import Sipp, gateway, sipsak
from sippline import HOLD, SDP, ack, again, answer, answering, bye, call, expect, give_up, inside, pause, refusing, scenario

ALICE, BOB = "+12125550101", "+12125550102"
FAR, OUT_OF_ORDER, SILENT = "+442079460100", "+442079460503", "+442079460408"


class Gateways(PeerTest):
    gc_settings = {"peers.trusted": '["{net}9", "{net}8"]'}
    routes = [("uk0", "+44", "sip:{net}9:5060", "--priority", "0"), ("uk1", "+44", "sip:{net}8:5060", "--priority", "1")]
    gateways = ()
    runs = 0

    @classmethod
    def set_out(cls, stack):
        cls.behind = stack.net + "20"
        cls.alice, cls.bob = at_once(lambda: stack.enrolled("alice", stack.net + "11", ALICE),
                                     lambda: stack.enrolled("bob", stack.net + "12", BOB))
        inward = f'if ($si == "{cls.behind}") {{ $du = "sip:{stack.gc_ip}:5060"; t_relay(); exit; }}'
        cls.gateways = [
            gateway(stack, "first", stack.net + "9:5060", cls.behind + ":5060", inward + 'if ($rU =~ "0503$") '
                    '{ sl_send_reply("503", "Out of Order"); exit; } if ($rU =~ "0408$") { exit; }'),
            gateway(stack, "second", stack.net + "8:5060", cls.behind + ":5060", inward)]

    @classmethod
    def take_in(cls):
        for one in cls.gateways:
            one.stop()

    def sipp(self, *words, **kw):
        type(self).runs += 1
        run = Sipp(self.stack, f"sipp{self.runs}", self.behind, *words, **kw)
        self.addCleanup(run.stop)
        return run

    def call(self, number, *words):
        return self.stopping(self.alice.call(number, *words))

    # ---- towards the PSTN
    def test_a_call_abroad(self):
        for transport in ("udp", "tcp"):
            with self.subTest(transport=transport):
                far = self.sipp(answering())
                one = self.call(FAR, "--transport", transport, "--audio", "tone", "--duration", "1")
                self.assertEqual(one.exit(), 0, one.events[-4:])
                far.done()
                heard = one.seen("media")[0]
                self.assertGreater(heard["rtp_received"], 20, "the far end echoes")
                invite = re.search(r"(?s)INVITE sip.*?\n\n", far.messages().replace("\r", ""))[0]
                self.assertIn(f"INVITE sip:{FAR}@", invite)
                self.assertRegex(invite, rf"(?m)^P-Asserted-Identity:.*<sip:\{ALICE}@{self.stack.domain}>")
                self.assertNotIn("BTI-MAC", invite)
                self.assertEqual(len(re.findall(r"(?m)^Record-Route:", invite)), 2)

    def test_the_next_gateway_when_one_will_not(self):
        for number, took_part in ((OUT_OF_ORDER, "503"), (SILENT, "silence")):
            with self.subTest(first=took_part):
                far = self.sipp(answering())
                one = self.call(number, "--transport", "udp", "--duration", "1")
                self.assertEqual(one.exit(), 0, one.events[-4:])
                far.done()
                self.assertRegex(far.messages(), rf"(?m)^Via: SIP/2.0/UDP {self.stack.net}8[:;]", "by the second")

    def test_the_far_end_is_busy(self):
        far = self.sipp(refusing(486, "Busy Here"))
        one = self.call(FAR, "--transport", "udp")
        self.assertEqual(one.exit(), 7)
        self.assertEqual([e["status"] for e in one.seen("rejected")], [486])
        far.done()

    def test_given_up_while_it_rings(self):
        far = self.sipp(scenario(expect("INVITE"), answer(180, "Ringing"), expect("CANCEL"), again(200),
                                 answer(487, "Request Terminated").replace("[last_CSeq:]", "CSeq: 1 INVITE"), expect("ACK")))
        one = self.call(FAR, "--transport", "udp")
        one.wait("ringing", status=180)
        one.process.terminate()
        self.assertEqual(one.exit(), 10)
        far.done()

    # ---- from the PSTN
    def from_pstn(self, *steps, number=ALICE):
        keys = {"domain": self.stack.domain, "from": "+442079460199"}
        return self.sipp(scenario(*steps), remote=(f"{self.stack.net}9", 5060), service=number, keys=keys)

    def test_a_call_from_abroad_with_hold(self):
        ear = self.stopping(self.bob.listen("--transport", "udp", "--audio", "tone"))
        caller = self.from_pstn(call(), expect(100, optional=True), expect(180, optional=True), expect(200, rrs=True), ack(), pause(300),
                                inside("INVITE", 2, body=HOLD), expect(100, optional=True), expect(200), ack(2),
                                inside("INVITE", 3, body=SDP), expect(100, optional=True), expect(200), ack(3), pause(300),
                                bye(4), expect(200), number=BOB)
        caller.done()
        ear.wait("ended", by="peer")
        self.assertEqual([e["from"] for e in ear.seen("incoming")], ["+442079460199"])

    def test_a_number_that_nobody_has(self):
        self.from_pstn(call(), expect(100, optional=True), expect(404), give_up(), number="+12125550177").done()

    def test_no_transit_to_another_gateway(self):
        self.from_pstn(call(), expect(100, optional=True), expect(404), give_up(), number=FAR).done()

    # ---- is it alive?
    def test_options(self):
        code, said = sipsak("-s", f"sip:{self.stack.gc_ip}", "-vv", "-H", self.stack.net + "9")
        self.assertEqual(code, 0, said)
        self.assertIn("SIP/2.0 200", said)


if __name__ == "__main__":
    import unittest
    unittest.main()
