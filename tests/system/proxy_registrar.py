"""Kamailio as registrar behind a trunk, with a phone that is registered there and nowhere else; a Kamailio that sends calls on to
another known gateway by 302; two gateways by weight, a route out of its hours, and the longest prefix, by calls."""
import time

from hglib import wait_for
from peered import PeerTest
from peers import Kamailio, Sipp, gateway, registrar
from sippline import SDP, ack, again, answer, answering, bye, call, expect, scenario
from softphones import Baresip

ALICE, OLGA, NOBODY = "+12125550101", "+15035550120", "+15035550121"
MOVED = "+442079460302"
PASSWORD = "open-sesame"
DAYS = "mon tue wed thu fri sat sun".split()


def another_day():
    """Neither today nor tomorrow, wherever midnight is."""
    return DAYS[(time.gmtime().tm_wday + 3) % 7] + " 08:00-18:00"


class Registrar(PeerTest):
    trunks = [("mover", "{net}31", "--port", "5060", "--transport", "udp", "--source", "{net}31/32", "--ping", "0"),
              ("taker", "{net}32", "--port", "5060", "--transport", "tcp", "--source", "{net}32/32", "--ping", "0"),
              ("crowd", "{net}9", "--port", "5060", "--transport", "udp", "--source", "{net}9/32", "--transit", "yes", "--ping", "0"),
              ("light", "{net}20", "--port", "5060", "--transport", "udp", "--source", "{net}20/32", "--ping", "0"),
              ("heavy", "{net}21", "--port", "5060", "--transport", "udp", "--source", "{net}21/32", "--ping", "0")]
    routes = [("uk", "+44", "--trunk", "mover"),
              ("fr1", "+33", "--trunk", "light", "--weight", "1"), ("fr3", "+33", "--trunk", "heavy", "--weight", "3"),
              ("day", "+81", "--trunk", "light", "--priority", "1", "--time", another_day()),
              ("night", "+81", "--trunk", "heavy", "--priority", "2"), ("mobile", "+8190", "--trunk", "light")]
    daemons, phone, runs = (), None, 0

    @classmethod
    def set_out(cls, stack):
        net, cls.behind = stack.net, stack.net + "33"
        cls.alice = stack.enrolled("alice", net + "11", ALICE)
        stack.ctl("trunk", "add", "office", net + "30", "--port", "5060", "--transport", "udp", "--source", net + "30/32", "--ping", "0",
                  "--trusts-identity", "yes", "--user", "gate", "--password-file", stack.write("office.password", PASSWORD + "\n"))
        stack.ctl("--wait", "route", "add", "office", "+1503555", "--trunk", "office")
        cls.daemons = [registrar(stack, "office", net + "30", "office.test", PASSWORD, True,
                                 f'if ($si != "{stack.gc_ip}") {{ append_hf("P-Asserted-Identity: <$fu>\\r\\n"); $rd = "{stack.domain}"; '
                                 f'$du = "sip:{stack.gc_ip}:5060"; t_relay(); exit; }}'),
                       Kamailio(stack, "mover", [f"udp:{net}31:5060"], f"""
route[OUT] {{
    append_to_reply("Contact: <sip:$rU@{net}32:5060;transport=tcp>, <sip:$rU@{net}99:5060>\\r\\n");
    sl_send_reply("302", "Moved Temporarily");
}}
"""),
                       gateway(stack, "taker", net + "32:5060", cls.behind + ":5060")]
        cls.phone = Baresip(stack, "olga", net + "22", OLGA, PASSWORD, f"sip:{net}30:5060", domain="office.test")
        cls.phone.register()
        wait_for("the trunks' addresses to be known", lambda: len({t["trunk"] for t in stack.ctl_json("trunk", "status")}) == 6, 10)

    @classmethod
    def take_in(cls):
        if cls.phone:
            cls.phone.stop()
        for one in cls.daemons:
            one.stop()

    def sipp(self, ip, steps, **kw):
        type(self).runs += 1
        run = Sipp(self.stack, f"sipp{self.runs}", self.stack.net + ip, steps, **kw)
        self.addCleanup(run.stop)
        return run

    # ---- a registrar behind a trunk
    def test_to_its_user(self):
        """Through a password that the registrar asks of us, to the phone that only it knows."""
        self.phone.fresh()
        one = self.stopping(self.alice.call(OLGA, "--transport", "udp", "--audio", "tone"))
        self.assertIn(ALICE, self.phone.expect("CALL_INCOMING")["peeruri"])
        one.wait("ringing", status=180)
        self.phone.accept()
        one.wait("answered")
        self.phone.expect("CALL_RTPESTAB")
        self.phone.hangup()
        self.assertEqual(one.exit(), 0, one.events[-4:])
        self.assertEqual(one.seen("ended")[0]["by"], "peer")

    def test_from_its_user(self):
        """The registrar knows who calls, and is believed."""
        ear = self.stopping(self.alice.listen("--transport", "udp", "--audio", "tone"))
        self.phone.fresh()
        self.phone.dial(f"sip:{ALICE}@office.test")
        self.phone.expect("CALL_ESTABLISHED")
        ear.wait("answered")
        self.assertEqual([e["from"] for e in ear.seen("incoming")], [OLGA])
        self.phone.expect("CALL_RTPESTAB")
        self.phone.hangup()
        ear.wait("ended", by="peer")

    def test_to_a_user_who_is_not_registered(self):
        one = self.stopping(self.alice.call(NOBODY, "--transport", "udp"))
        self.assertEqual(one.exit(), 8, "its 404 is the caller's")

    # ---- a gateway that sends us to another
    def test_moved_to_a_known_gateway(self):
        far = self.sipp("33", answering())
        one = self.stopping(self.alice.call(MOVED, "--transport", "udp", "--duration", "1"))
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertRegex(far.messages(), rf"(?m)^Via: SIP/2.0/TCP {self.stack.gc_ip}[:;]", "to the taker as its contact says")
        self.assertEqual(one.seen("rejected"), [], "the caller hears nothing of it")

    # ---- routes by real calls
    def crowd(self, number, calls):
        """So many calls to that number; how many each of the two gateways got."""
        steps = scenario(expect("INVITE", rrs=True), answer(200, body=SDP), expect("ACK"), expect("BYE"), again(200))
        before, got = self.totals(), [self.sipp(ip, steps, calls=100000) for ip in ("20", "21")]
        self.sipp("9", scenario(call(), expect(100, optional=True), expect(200, rrs=True), ack(), bye(), expect(200)), calls=calls,
                  remote=(self.stack.gc_ip, 5060), service=number, rate=200,
                  keys={"domain": self.stack.domain, "from": ALICE}).done()
        for run in got:
            run.stop()
        return [now - then for now, then in zip(self.totals(), before)]

    def totals(self):
        rows = {t["trunk"]: t["calls_total"] for t in self.stack.ctl_json("trunk", "status")}
        return [rows["light"], rows["heavy"]]

    def test_by_weight(self):
        """1 to 3: of 200 calls 50 are expected at the light one, with a deviation of 6; six of these are as good as never."""
        light, heavy = self.crowd("+33142685300", 200)
        self.assertEqual(light + heavy, 200)
        self.assertTrue(14 <= light <= 86, f"{light} and {heavy}")

    def test_by_hours_and_prefix(self):
        self.assertEqual(self.crowd("+81312345678", 5), [0, 5], "the first route keeps other days")
        self.assertEqual(self.crowd("+819012345678", 5), [5, 0], "the longer prefix wins")


if __name__ == "__main__":
    import unittest
    unittest.main()
