"""IPv6: provisioning server, BTIs, phones and a gateway on ::1, and calls between the two families. There is one loopback address of that
family, so ports tell them apart; they are looked for anew in each run."""
import socket

from hglib import wait_for
from peered import PeerTest, at_once, phone_credential
from peers import Sipp, gateway
from sippline import answering
from softphones import Baresip, Linphone
from stacked import SDP, telephone

ALICE, BOB, CAROL, DAN, BERT, LISA = (f"+1212555010{i}" for i in range(1, 7))
FAR, PASSWORD = "+442079460100", "correct-horse-battery"
SIX = SDP.replace(b"IP4 127.0.0.1", b"IP6 ::1")


def free_ports(n):
    """Ports of ::1 in a row that nobody uses for UDP or TCP."""
    while True:
        held = []
        try:
            for i in range(n):
                first = held[0].getsockname()[1] if held else 0
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    held.append(socket.socket(socket.AF_INET6, kind))
                    held[-1].bind(("::1", (first or held[0].getsockname()[1]) + i if len(held) > 1 else 0))
            return [held[0].getsockname()[1] + i for i in range(n)]
        except OSError:
            continue
        finally:
            for s in held:
                s.close()


class Six(PeerTest):
    gate = None

    @classmethod
    def setUpClass(cls):
        ports = cls.port, cls.port_tls, cls.ps_sip, cls.ps_control, cls.gw, cls.far, cls.bert_port, cls.lisa_port = free_ports(8)
        cls.also = f"(ip6 and portrange {ports[0]}-{ports[-1]})"
        cls.decode = PeerTest.decode + [f"udp.port=={p},sip" for p in ports] + [f"tcp.port=={cls.port},sip"]
        cls.routes = [("uk", "+44", f"sip:[::1]:{cls.gw}")]
        cls.gc_settings = {
            "digest.md5": "true",
            "sip.listen": '["udp:{net}1:5060", "tcp:{net}1:5060", "tls:{net}1:5061", ' +
                          f'"udp:[::1]:{cls.port}", "tcp:[::1]:{cls.port}", "tls:[::1]:{cls.port_tls}"]',
            "provisioning.servers": f'["udp:[::1]:{cls.ps_sip}"]'}
        cls.ps_settings = {
            "sip.listen": f'["udp:[::1]:{cls.ps_sip}"]', "control.listen": f'"[::1]:{cls.ps_control}"', "rtp.address": '"::1"',
            "gates.controllers": f'["gc1=udp:[::1]:{cls.port},tcp:[::1]:{cls.port},tls:[::1]:{cls.port_tls}"]'}
        super().setUpClass()

    @classmethod
    def enrolled(cls, stack, name, number):
        account = stack.ctl_json("account", "add", name)["account"]
        bti = stack.bti(name, "::1")
        bti.line = stack.ctl_json("line", "add", account, number, "--name", name, "--caller-id", "yes")["line"]
        bti.enroll(stack.quick_order(bti.line), None, f"[::1]:{cls.port}")
        return bti

    @classmethod
    def set_out(cls, stack):
        cls.alice, cls.carol = at_once(lambda: cls.enrolled(stack, "alice", ALICE), lambda: cls.enrolled(stack, "carol", CAROL))
        cls.gate = gateway(stack, "gateway", f"[::1]:{cls.gw}", f"[::1]:{cls.far}")

    @classmethod
    def take_in(cls):
        if cls.gate:
            cls.gate.stop()

    def test_between_btis(self):
        """Enrolled over IPv6 they are already; voice goes over it too."""
        for transport in ("tls", "tcp", "udp"):
            with self.subTest(transport=transport):
                ear = self.stopping(self.carol.listen("--transport", transport, "--audio", "tone"))
                call = self.stopping(self.alice.call(CAROL, "--transport", transport, "--audio", "tone", "--duration", "1"))
                self.assertEqual(call.exit(8), 0, call.events[-4:])
                ear.wait("ended", by="peer")
                ear.stop()
                for end in (ear, call):
                    self.assertGreater(end.seen("media")[0]["rtp_received"], 20)

    def phone(self, kind, number, port, transport):
        """A standard phone that has registered over IPv6."""
        account = self.stack.ctl_json("account", "add", number)["account"]
        line = self.stack.ctl_json("line", "add", account, number, "--caller-id", "yes")["line"]
        phone_credential(self.stack, line, number, PASSWORD, "md5" if kind is Baresip else "sha-256")
        phone = kind(self.stack, number, "::1", number, PASSWORD, f"sip:[::1]:{self.port}", transport, port=port)
        self.addCleanup(phone.stop)
        phone.register()
        return phone

    def test_phones(self):
        """baresip over TCP and linphone over UDP register and are called. What they would call themselves comes from ::1, which is also
        the provisioning server's and the gateway's only address: they would be taken for these."""
        bert, lisa = self.phone(Baresip, BERT, self.bert_port, "tcp"), self.phone(Linphone, LISA, self.lisa_port, "udp")
        where = {r["number"]: r["remote"] for r in self.stack.ctl_json("registrations")}
        self.assertEqual([where[n][:6] for n in (BERT, LISA)], ["[::1]:", "[::1]:"])
        for number, phone, incoming, up in ((BERT, bert, "CALL_INCOMING", "CALL_ESTABLISHED"),
                                            (LISA, lisa, "LinphoneCallIncomingReceived", "LinphoneCallStreamsRunning")):
            with self.subTest(phone=number):
                call = self.stopping(self.alice.call(number, "--transport", "udp", "--audio", "tone"))
                phone.expect(incoming)
                phone.accept()
                call.wait("answered")
                phone.expect(up)
                call.process.terminate()
                self.assertEqual(call.exit(), 0)
        wait_for("every call to be over", lambda: not self.stack.ctl_json("calls"), 5)

    def test_to_a_gateway(self):
        far = Sipp(self.stack, "far", "::1", answering(), port=self.far)
        self.addCleanup(far.stop)
        call = self.stopping(self.alice.call(FAR, "--transport", "udp", "--audio", "tone", "--duration", "1"))
        self.assertEqual(call.exit(8), 0, call.events[-4:])
        far.done()
        self.assertGreater(call.seen("media")[0]["rtp_received"], 20)
        self.assertRegex(far.messages(), rf"(?m)^INVITE sip:\{FAR}@\[::1\]")
        self.assertRegex(far.messages(), rf"(?m)^Via: SIP/2.0/UDP \[::1\]:{self.gw};")

    def test_from_one_family_to_the_other(self):
        four = telephone(self.stack, BOB, self.stack.net + "12")
        six = telephone(self.stack, DAN, "::1", gc=("::1", self.port))
        for phone in (four, six):
            self.addCleanup(phone.close)
            self.assertEqual(phone.register().status, 200)
        for caller, callee, number in ((four, six, DAN), (six, four, BOB)):
            call = caller.invite(number, SIX if caller is six else SDP)
            invite = callee.expect_request("INVITE")
            self.assertEqual(len(invite.all("record-route")), 2, "one for each side (RFC 5658)")
            callee.answer(invite, SIX if callee is six else SDP, timeout=0)
            self.assertEqual(caller.final(call).status, 200)
            self.assertIsNotNone(callee.expect_request("ACK"))
            bye = caller.bye_message(call.dialog)
            caller.send(bye)
            callee.send(callee.response_message(callee.expect_request("BYE"), 200, "OK"))
            self.assertEqual(caller.expect_response(bye).status, 200)


if __name__ == "__main__":
    import unittest
    unittest.main()
