"""Standard phones at a gate controller: baresip and linphone register by Digest, call a BTI and each other, are called, hold, give up,
are busy, and hand calls over, on every transport."""
from hglib import wait_for
from peered import PeerTest, at_once, phone_credential
from softphones import Baresip, Linphone

ALICE, BERT, LISA, LARS, LENA, BEA = (f"+1212555010{i}" for i in range(1, 7))
PASSWORD = "correct-horse-battery"


class Phones(PeerTest):
    gc_settings = {"digest.md5": "true"}
    transport, port = "udp", 5060
    kinds = {"bert": (Baresip, 21, BERT), "bea": (Baresip, 22, BEA), "lisa": (Linphone, 31, LISA)}
    phones = {}

    @classmethod
    def set_out(cls, stack):
        cls.phones = {}
        cls.alice, *_ = at_once(lambda: stack.enrolled("alice", stack.net + "11", ALICE),
                                *[lambda n=name: cls.phone(stack, n) for name in cls.kinds])

    @classmethod
    def phone(cls, stack, name):
        kind, last, number = cls.kinds[name]
        account = stack.ctl_json("account", "add", name)["account"]
        line = stack.ctl_json("line", "add", account, number, "--name", name, "--caller-id", "yes")["line"]
        phone_credential(stack, line, number, PASSWORD, "md5" if kind is Baresip else "sha-256")
        phone = cls.phones[name] = kind(stack, name, f"{stack.net}{last}", number, PASSWORD, f"sip:{stack.gc_ip}:{cls.port}", cls.transport,
                                        ca=cls.ca(stack))
        phone.line = line
        phone.register()

    @classmethod
    def ca(cls, stack):
        return None

    @classmethod
    def take_in(cls):
        for phone in cls.phones.values():
            phone.stop()

    def setUp(self):
        for phone in self.phones.values():
            phone.fresh()
        self.bert, self.bea, self.lisa = (self.phones[n] for n in ("bert", "bea", "lisa"))

    def uri(self, number):
        return f"sip:{number}@{self.stack.domain}"

    def tearDown(self):
        """Nothing is left of a test's calls, whatever became of it."""
        super().tearDown()
        wait_for("every call to be over", lambda: not self.stack.ctl_json("calls"), 5)

    # ---- with a BTI
    def test_registered(self):
        for phone in self.phones.values():
            found = [r for r in self.stack.ctl_json("registrations") if str(r["line"]) == str(phone.line)]
            self.assertEqual(len(found), 1, phone.name)
            self.assertEqual(found[0]["transport"].lower(), self.transport)

    def test_a_phone_calls_a_bti(self):
        ear = self.stopping(self.alice.listen("--transport", "tcp", "--audio", "tone"))
        self.bert.dial(self.uri(ALICE))
        self.bert.expect("CALL_RTPESTAB")
        ear.wait("answered")
        self.assertEqual(ear.seen("incoming")[0]["from"], BERT)
        self.bert.expect("CALL_ESTABLISHED")
        for change in (self.bert.hold, self.bert.resume):
            self.bert.fresh()
            change()
            self.bert.expect("CALL_REMOTE_SDP", param="answer")
        self.bert.hangup()
        ear.wait("ended", by="peer")
        self.bert.expect("CALL_CLOSED")

    def test_a_bti_calls_a_phone(self):
        call = self.stopping(self.alice.call(BERT, "--transport", "tcp", "--audio", "tone"))
        rings = self.bert.expect("CALL_INCOMING")
        self.assertIn(ALICE, rings["peeruri"])
        call.wait("ringing", status=180)
        self.bert.accept()
        call.wait("answered")
        self.bert.expect("CALL_RTPESTAB")
        self.bert.hangup()
        self.assertEqual(call.exit(), 0)
        self.assertEqual(call.seen("ended")[0]["by"], "peer")

    def test_given_up(self):
        """CANCEL, by a phone and of a phone."""
        ear = self.stopping(self.alice.listen("--transport", "tcp", "--answer-after", "60000"))
        self.bert.dial(self.uri(ALICE))
        self.bert.expect("CALL_RINGING")
        self.bert.hangup()
        ear.wait("ended", by="cancelled")
        self.bert.expect("CALL_CLOSED")
        call = self.stopping(self.alice.call(BERT, "--transport", "tcp"))
        call.wait("ringing", status=180)
        self.bert.expect("CALL_INCOMING")
        call.process.terminate()
        self.assertEqual(call.exit(), 10)
        self.bert.expect("CALL_CLOSED")

    def test_busy(self):
        call = self.stopping(self.alice.call(BERT, "--transport", "tcp"))
        self.bert.expect("CALL_INCOMING")
        self.bert.busy()
        self.assertEqual(call.exit(), 7)
        self.assertEqual([e["status"] for e in call.seen("rejected")], [486])

    # ---- with each other
    def test_one_kind_calls_the_other(self):
        self.bert.dial(self.uri(LISA))
        self.lisa.expect("LinphoneCallIncomingReceived")
        self.lisa.accept()
        self.lisa.expect("LinphoneCallStreamsRunning")
        self.lisa.play()
        self.bert.expect("CALL_RTPESTAB")
        self.bert.hangup()
        self.lisa.expect("LinphoneCallReleased")
        self.lisa.dial(self.uri(BERT))
        self.bert.expect("CALL_INCOMING")
        self.bert.accept()
        self.lisa.expect("LinphoneCallStreamsRunning")
        self.lisa.play()
        self.bert.expect("CALL_RTPESTAB")
        self.lisa.hold()
        self.lisa.expect("LinphoneCallPaused")
        self.lisa.resume()
        self.lisa.expect("LinphoneCallStreamsRunning")
        self.lisa.hangup()
        self.bert.expect("CALL_CLOSED")
        self.lisa.expect("LinphoneCallReleased")

    def test_linphone_and_a_bti(self):
        ear = self.stopping(self.alice.listen("--transport", "udp", "--audio", "tone"))
        self.lisa.dial(self.uri(ALICE))
        ear.wait("answered")
        self.lisa.expect("LinphoneCallStreamsRunning")
        self.lisa.hangup()
        ear.wait("ended", by="peer")
        self.lisa.expect("LinphoneCallReleased")
        ear.stop()
        call = self.stopping(self.alice.call(LISA, "--transport", "udp"))
        self.lisa.expect("LinphoneCallIncomingReceived")
        self.lisa.accept()
        call.wait("answered")
        self.lisa.expect("LinphoneCallStreamsRunning")
        call.process.terminate()
        self.assertEqual(call.exit(), 0)
        self.lisa.expect("LinphoneCallReleased")

    # ---- handed over
    def test_handed_over_unasked(self):
        """A blind transfer (REFER): Bert talks to Bea, who sends him to Lisa."""
        self.bert.dial(self.uri(BEA))
        self.bea.expect("CALL_INCOMING")
        self.bea.accept()
        self.bert.expect("CALL_ESTABLISHED")
        self.bea.expect("CALL_ESTABLISHED")
        self.bea.transfer(self.uri(LISA))
        self.lisa.expect("LinphoneCallIncomingReceived")
        self.lisa.accept()
        self.bert.expect("CALL_ESTABLISHED")
        self.bea.expect("CALL_CLOSED")
        self.lisa.expect("LinphoneCallStreamsRunning")
        self.bert.hangup()
        self.lisa.expect("LinphoneCallReleased")


class PhonesTcp(Phones):
    transport = "tcp"


class PhonesTls(Phones):
    """They check the gate controller's certificate."""
    gc_settings = {**Phones.gc_settings, "tls.certificate": '"{folder}/pki/headgate.test.pem"', "tls.key": '"{folder}/pki/headgate.test.key"'}
    transport, port = "tls", 5061

    @classmethod
    def before_start(cls, stack):
        stack.ctl("pki", "gc", stack.path("pki"), stack.domain)

    @classmethod
    def ca(cls, stack):
        return stack.path("pki/root.pem")


class Attended(PeerTest):
    """Three linphones: Lars calls Lisa, who asks Lena first and then connects the two (REFER with Replaces)."""
    kinds = {"lisa": (Linphone, 31, LISA), "lars": (Linphone, 32, LARS), "lena": (Linphone, 33, LENA)}
    transport, port, phones = "udp", 5060, {}
    phone, ca, take_in = Phones.phone, Phones.ca, Phones.take_in

    @classmethod
    def set_out(cls, stack):
        cls.phones = {}
        at_once(*[lambda n=name: Phones.phone.__func__(cls, stack, n) for name in cls.kinds])

    def test_handed_over_after_a_word(self):
        lisa, lars, lena = (self.phones[n] for n in ("lisa", "lars", "lena"))
        lars.dial(f"sip:{LISA}@{self.stack.domain}")
        first = lisa.expect("LinphoneCallIncomingReceived")["Id"]
        lisa.accept()
        lisa.expect("LinphoneCallStreamsRunning")
        lisa.hold(first)
        lisa.expect("LinphoneCallPaused")
        lisa.dial(f"sip:{LENA}@{self.stack.domain}")
        lena.expect("LinphoneCallIncomingReceived")
        lena.accept()
        second = lisa.expect("LinphoneCallStreamsRunning")["Id"]
        lisa.transfer(first, second)
        for call in (first, second):
            lisa.expect("LinphoneCallReleased", Id=call)
        lars.expect("LinphoneCallStreamsRunning", Id="2")
        lena.expect("LinphoneCallStreamsRunning", Id="2")
        lars.hangup("2")
        lena.expect("LinphoneCallReleased", Id="2")


if __name__ == "__main__":
    import unittest
    unittest.main()
