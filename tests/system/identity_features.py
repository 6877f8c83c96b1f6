"""Feature codes between a standard phone (baresip) and a BTI: each code, dialled by the one or the other, and what the next call
shows of it."""
from hglib import wait_for
from peered import PeerTest, at_once, phone_credential
from softphones import Baresip

ALICE, BERT = "+12125550101", "+12125550102"
OTHER = "+12125550103"
PASSWORD = "correct-horse-battery"


class Features(PeerTest):
    gc_settings = {"digest.md5": "true", "dialing.area": "\"212\""}
    bert = None

    @classmethod
    def set_out(cls, stack):
        cls.alice, _ = at_once(lambda: stack.enrolled("alice", stack.net + "11", ALICE), lambda: cls.phone(stack))
        account = stack.ctl_json("account", "add", "other")["account"]
        stack.ctl("--wait", "line", "add", account, OTHER)

    @classmethod
    def phone(cls, stack):
        account = stack.ctl_json("account", "add", "bert")["account"]
        line = stack.ctl_json("line", "add", account, BERT, "--caller-id", "yes", "--name", "Bert")["line"]
        phone_credential(stack, line, BERT, PASSWORD, "md5")
        cls.bert = Baresip(stack, "bert", stack.net + "12", BERT, PASSWORD, f"sip:{stack.gc_ip}:5060")
        cls.bert.register()

    @classmethod
    def take_in(cls):
        if cls.bert is not None:
            cls.bert.stop()

    def setUp(self):
        self.bert.fresh()
        self.began = self.stack.sql("SELECT now()")

    def tearDown(self):
        super().tearDown()
        wait_for("every call to be over", lambda: not self.stack.ctl_json("calls"), 15)

    # ---- words
    def dial(self, keys):
        self.bert.fresh()
        self.bert.dial(f"sip:{keys}@{self.stack.domain}")

    def code(self, keys):
        """bert dials a code that the gate answers, and hears that it is done."""
        self.dial(keys)
        self.bert.expect("CALL_ESTABLISHED")
        self.bert.expect("CALL_CLOSED")

    def refused(self, keys, status):
        self.dial(keys)
        self.assertIn(str(status), self.bert.expect("CALL_CLOSED")["param"])

    def listen(self):
        return self.stopping(self.alice.listen("--transport", "udp"))

    def call(self, keys):
        return self.stopping(self.alice.call(keys, "--transport", "udp", "--duration", "1"))

    def record(self, called):
        text = ("SELECT caller || '|' || routed || '|' || route || '|' || private || '|' || status FROM cdr.call "
                f"WHERE called = '{called}' AND started_at >= '{self.began}' ORDER BY started_at DESC LIMIT 1")
        return wait_for("the call's record", lambda: self.stack.sql(text), 15).split("|")

    def service(self):
        return self.stack.ctl_json("service", "show", BERT)

    def rings(self, keys):
        """bert calls by these keys; what alice's BTI shows of the caller."""
        ear = self.listen()
        self.dial(keys)
        self.bert.expect("CALL_ESTABLISHED")
        self.bert.hangup()
        ear.wait("ended")
        self.bert.expect("CALL_CLOSED")
        ear.stop()
        return ear.seen("incoming")[0]["from"]

    # ---- *67 *82
    def test_hidden_and_shown(self):
        self.assertEqual(self.rings(ALICE), BERT)
        self.assertNotIn("555", self.rings("*675550101"))
        self.assertEqual(self.record("*675550101"), [BERT, ALICE, "local", "true", "200"])
        self.stack.ctl("--wait", "service", "set", BERT, "--private", "yes")
        self.addCleanup(self.stack.ctl, "--wait", "service", "set", BERT, "--private", "no")
        self.assertNotIn("555", self.rings(ALICE))
        self.assertEqual(self.rings("*82" + ALICE), BERT)
        self.assertEqual(self.record("*82" + ALICE), [BERT, ALICE, "local", "false", "200"])

    def test_a_bti_hides(self):
        one = self.call("*672125550102")
        rings = self.bert.expect("CALL_INCOMING")
        self.assertIn("anonymous.invalid", rings["peeruri"])
        self.assertNotIn("555", rings["peeruri"] + rings.get("peerdisplayname", ""))
        self.bert.accept()
        self.bert.expect("CALL_ESTABLISHED")
        self.assertEqual(one.exit(), 0, one.events[-4:])
        self.bert.expect("CALL_CLOSED")
        self.assertEqual(self.record("*672125550102")[:4], [ALICE, BERT, "local", "true"])

    # ---- what is written
    def test_settings(self):
        for keys, name, value in (("*725550103", "forward_always", OTHER), ("*73", "forward_always", "off"),
                                  ("*90" + OTHER, "forward_busy", OTHER), ("*91", "forward_busy", "off"),
                                  ("*9212125550103", "forward_no_answer", OTHER), ("*93", "forward_no_answer", "off"),
                                  ("*77", "reject_anonymous", "yes"), ("*87", "reject_anonymous", "no")):
            with self.subTest(keys=keys):
                self.code(keys)
                self.assertEqual(self.service()[name], value)  # it was there when the phone heard 200
                self.assertEqual(self.record(keys)[2:], ["feature", "false", "200"])
        for keys, status in (("*72911", 403), ("*72" + BERT, 403), ("*7212", 404), ("*99", 404)):
            with self.subTest(keys=keys):
                self.refused(keys, status)
        self.assertEqual(self.service()["forward_always"], "off")

    def test_a_bti_dials_a_code(self):
        one = self.call("*77")
        one.wait("answered")
        self.assertEqual(one.exit(), 0, one.events[-4:])
        self.assertEqual(self.stack.ctl_json("service", "show", ALICE)["reject_anonymous"], "yes")
        two = self.call("*87")
        self.assertEqual(two.exit(), 0, two.events[-4:])
        self.assertEqual(self.stack.ctl_json("service", "show", ALICE)["reject_anonymous"], "no")

    def test_anonymous_calls_are_refused(self):
        self.code("*77")
        self.addCleanup(self.stack.ctl, "--wait", "service", "set", BERT, "--reject-anonymous", "no")
        wait_for("the gate to know", lambda: self.stack.ctl_json("status")["change_seq"] >= int(
            self.stack.sql("SELECT max(seq) FROM core.change_log")), 15)
        one = self.call("*672125550102")
        one.exit()
        self.assertEqual([e["status"] for e in one.seen("rejected")], [433])
        two = self.call(BERT)
        self.bert.fresh()
        self.bert.expect("CALL_INCOMING")
        self.bert.busy()
        two.exit()
        self.assertEqual([e["status"] for e in two.seen("rejected")], [486])

    # ---- *57 *69
    def missed(self, keys):
        """alice calls bert, who does not take it."""
        one = self.call(keys)
        self.bert.expect("CALL_INCOMING")
        self.bert.busy()
        one.exit()
        self.bert.expect("CALL_CLOSED")

    def test_trace(self):
        self.missed("*672125550102")
        self.code("*57")
        traced = self.stack.sql("SELECT caller || '|' || called || '|' || private FROM trace.record ORDER BY id DESC LIMIT 1")
        self.assertEqual(traced, f"{ALICE}|*672125550102|true")

    def test_last_call_return(self):
        self.missed(BERT)
        self.assertEqual(self.rings("*69"), BERT)
        self.assertEqual(self.record("*69")[:3], [BERT, ALICE, "local"])
        self.missed("*672125550102")
        self.refused("*69", 480)
