"""Calls that the called line's own service record sends on: a BTI's line and a standard phone's, to another line, to a trunk inside
of the trust domain and to one outside; what sipp at the trunks and tshark on the wire see of it, and what the call record says."""
import unittest

from hglib import wait_for
from peered import PeerTest, at_once, phone_credential
from peers import Sipp
from sippline import answering
from softphones import Baresip

ALICE, BERT, CAROL = (f"+1212555010{i}" for i in range(1, 4))
INSIDE, OUTSIDE = "+442079460100", "+33155550100"
PASSWORD = "correct-horse-battery"


class Forwarding(PeerTest):
    gc_settings = {"digest.md5": "true", "dialing.area": "\"212\""}
    trunks = (("inside", "{net}20", "--port", "5060", "--transport", "udp", "--trusts-identity", "yes", "--sends-identity", "yes", "--ping", "0"),
              ("outside", "{net}21", "--port", "5060", "--transport", "udp", "--ping", "0"))
    routes = (("uk", "+44", "--trunk", "inside"), ("fr", "+33", "--trunk", "outside"))
    bert, runs = None, 0

    @classmethod
    def set_out(cls, stack):
        cls.alice, cls.carol, _ = at_once(lambda: stack.enrolled("alice", stack.net + "11", ALICE),
                                          lambda: stack.enrolled("carol", stack.net + "13", CAROL), lambda: cls.phone(stack))

    @classmethod
    def phone(cls, stack):
        account = stack.ctl_json("account", "add", "bert")["account"]
        line = stack.ctl_json("line", "add", account, BERT, "--caller-id", "yes")["line"]
        phone_credential(stack, line, BERT, PASSWORD, "md5")
        cls.bert = Baresip(stack, "bert", stack.net + "12", BERT, PASSWORD, f"sip:{stack.gc_ip}:5060")
        cls.bert.line = line
        cls.bert.register()

    @classmethod
    def take_in(cls):
        if cls.bert is not None:
            cls.bert.stop()

    @classmethod
    def judge_wire(cls):
        """The decoder's word on where these headers go."""
        super().judge_wire()
        net, case = cls.stack.net, unittest.TestCase()
        headers = '(sip.History-Info || sip.Diversion || sip.P-DCS-Redirect)'
        case.assertGreaterEqual(len(cls.capture.tshark(f"sip.Method == INVITE && {headers} && ip.dst == {net}20")), 2)
        case.assertGreaterEqual(len(cls.capture.tshark(f"sip.Method == INVITE && {headers} && ip.dst == {net}21")), 1)
        case.assertEqual(cls.capture.tshark(f"{headers} && ip.src == {cls.stack.gc_ip} && !(ip.dst == {net}20) && !(ip.dst == {net}21)",
                                            "tcp.port==5060,sip"), [], "lines are told nothing")
        case.assertEqual(cls.capture.tshark(f"sip.P-DCS-Redirect && !(ip.dst == {net}20)"), [], "inside the trust domain only")
        case.assertEqual(cls.capture.tshark(f'sip.History-Info contains "{CAROL}" && ip.dst == {net}21'), [], "her line is private")

    def setUp(self):
        self.bert.fresh()
        self.began = self.stack.sql("SELECT now()")

    def tearDown(self):
        super().tearDown()
        wait_for("every call to be over", lambda: not self.stack.ctl_json("calls"), 10)

    def record(self, number, *options):
        """The service record of a line for this test."""
        off = [w for kind in ("always", "busy", "no-answer") for w in (f"--forward-{kind}", "off")] + ["--private", "no"]
        self.stack.ctl("--wait", "service", "set", number, *options)
        self.addCleanup(self.stack.ctl, "--wait", "service", "set", number, *off)

    def far(self, last="20"):
        type(self).runs += 1
        run = Sipp(self.stack, f"sipp{self.runs}", self.stack.net + last, answering())
        self.addCleanup(run.stop)
        return run

    def call(self, number):
        return self.stopping(self.alice.call(number, "--transport", "udp", "--duration", "1"))

    def cdr(self, called):
        """The last record of that number, of this test."""
        text = ("SELECT routed || '|' || coalesce(forwarded_by, '') || '|' || coalesce(callee_line::text, '') || '|' || status FROM cdr.call "
                f"WHERE called = '{called}' AND started_at >= '{self.began}' ORDER BY started_at DESC LIMIT 1")
        return wait_for("the call's record", lambda: self.stack.sql(text), 10).split("|")

    def test_always_from_a_bti_to_a_trunk(self):
        self.record(CAROL, "--forward-always", INSIDE)
        ear = self.stopping(self.carol.listen("--transport", "udp"))
        ear.wait("registered")
        far = self.far()
        one = self.call("5550103")  # seven digits: what she dialled is what is recorded
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertEqual(ear.seen("incoming"), [])
        said, home = far.messages(), self.stack.domain
        self.assertIn(f"INVITE sip:{INSIDE}@", said)
        self.assertIn(f"\nHistory-Info: <sip:{CAROL}@{home};user=phone>;index=1, <sip:{INSIDE}@{home};user=phone;cause=302>;index=1.1;mp=1\n",
                      said.replace("\r", ""))
        self.assertIn(f"\nDiversion: <sip:{CAROL}@{home};user=phone>;reason=unconditional;counter=1;privacy=off;screen=yes\n", said.replace("\r", ""))
        self.assertIn(f'\nP-DCS-Redirect: "tel:{CAROL}";redirector-uri="tel:{CAROL}";count=1\n', said.replace("\r", ""))
        self.assertRegex(said, rf"P-Asserted-Identity:.*<sip:\{ALICE}@", "who calls is who called")
        self.assertEqual(self.cdr("5550103"), [INSIDE, CAROL, "", "200"])

    def test_a_private_line_to_a_trunk_outside(self):
        self.record(CAROL, "--forward-always", OUTSIDE, "--private", "yes")
        far = self.far("21")
        one = self.call(CAROL)
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertRegex(far.messages(), r"History-Info: <sip:anonymous@anonymous\.invalid>;index=1, ")
        self.assertRegex(far.messages(), r"Diversion: <sip:anonymous@anonymous\.invalid>;reason=unconditional;.*privacy=full")

    def test_busy_from_a_phone_to_a_bti(self):
        self.record(BERT, "--forward-busy", CAROL)
        ear = self.stopping(self.carol.listen("--transport", "udp"))
        ear.wait("registered")
        one = self.call(BERT)
        self.bert.expect("CALL_INCOMING")
        self.bert.busy()
        one.wait("answered")
        self.assertEqual(one.exit(), 0)
        self.assertEqual([e["from"] for e in ear.seen("incoming")], [ALICE])
        line = self.stack.sql(f"SELECT line_id FROM core.number WHERE number = '{CAROL}'")
        self.assertEqual(self.cdr(BERT), [CAROL, BERT, line, "200"])

    def test_no_answer_from_a_phone_to_a_trunk(self):
        self.record(BERT, "--forward-no-answer", INSIDE, "--no-answer-seconds", "5")
        far = self.far()
        one = self.call(BERT)
        self.bert.expect("CALL_INCOMING")
        one.wait("ringing", status=180)
        self.bert.expect("CALL_CLOSED")  # by our CANCEL
        one.wait("answered")
        self.assertEqual(one.exit(), 0)
        far.done()
        self.assertIn(f"<sip:{BERT}@{self.stack.domain};user=phone?Reason=SIP%3Bcause%3D408>;index=1, ", far.messages())
        self.assertIn("reason=no-answer", far.messages())
        self.assertEqual(self.cdr(BERT)[:2], [INSIDE, BERT])

    def test_in_a_circle_and_switched_off(self):
        self.record(CAROL, "--forward-always", BERT)
        self.record(BERT, "--forward-always", CAROL)
        refused = self.gc("headgate_forwards_refused_total")
        one = self.call(CAROL)
        self.assertEqual(one.exit(), 7)
        self.assertEqual([e["status"] for e in one.seen("rejected")], [480])
        self.grown(self.gc, "headgate_forwards_refused_total", refused, 1)
        self.stack.ctl("--wait", "service", "set", BERT, "--forward-always", "off")
        one = self.call(BERT)
        self.bert.expect("CALL_INCOMING")
        self.bert.accept()
        one.wait("answered")
        self.assertEqual(one.exit(), 0)
