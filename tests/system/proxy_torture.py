"""A stranger with the messages of RFC 4475 and RFC 5118, and worse, against the real daemon: over UDP, TCP and IPv6. It gets the
RFC's answer or silence, the daemon lives on, calls go through afterwards, and nothing that the daemon sent is malformed."""
import pathlib
import random
import socket
import unittest

from hglib import TOP, wait_for
from peered import WARNING, PeerTest
from proxy_ipv6 import free_ports
from stacked import SDP, telephone

ALICE, BOB = "+12125550101", "+12125550102"
DATA = pathlib.Path(TOP) / "tests" / "data"
# What a stranger gets over UDP (tests/scenario/torture.c has the reasons); 0: silence.
VERDICTS = {
    "wsinv": 407, "intmeth": 407, "esc01": 407, "escnull": 401, "esc02": 407, "lwsdisp": 407, "longreq": 407, "dblreq": 401,
    "semiuri": 407, "transports": 407, "mpart01": 407, "unreason": 0, "noreason": 0, "badinv01": 400, "clerr": 400, "ncl": 400,
    "scalar02": 400, "scalarlg": 0, "quotbal": 400, "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400,
    "baddate": 407, "regbadct": 400, "badaspec": 400, "baddn": 400, "badvers": 505, "mismatch01": 400, "mismatch02": 501,
    "bigcode": 0, "badbranch": 407, "insuf": 400, "unkscm": 416, "novelsc": 416, "unksm2": 401, "bext01": 420, "invut": 407,
    "regaut01": 401, "multi01": 400, "mcl01": 400, "bcast": 0, "zeromf": 200, "cparam01": 401, "cparam02": 401, "regescrt": 401,
    "sdp01": 407, "inv2543": 407, "test": 0}
# The framing is lost: the connection closes, whatever else is said (18.3).
LOST = ["clerr", "ncl", "mcl01", "inv2543"]

HEAD = (b"INVITE sip:%s@gate.test SIP/2.0\r\nVia: SIP/2.0/UDP h.example;branch=z9hG4bK%d\r\nFrom: <sip:a@b.example>;tag=1\r\n"
        b"To: <sip:c@d.example>\r\nCall-ID: smuggled-%d\r\nCSeq: 1 INVITE\r\nMax-Forwards: 9\r\n")
LINES = [b"Subject: x\rP-Asserted-Identity: <sip:e@x>\r\n", b"Subject: x\nP-Asserted-Identity: <sip:e@x>\r\n", b"X: \x00\r\n",
         b"X: y\r\n \r\n", b"f: <sip:e@x>;tag=2\r\n", b"l: 4\r\n", b"Content-Length: 4\r\n", b"Content-Length: -1\r\n",
         b"Content-Length: 99999999999999999999\r\n", b"From\xc2\xa0: <sip:e@x>\r\n", b"P-Asserted-\r\n Identity: <sip:e@x>\r\n",
         b"\xef\xbb\xbfFrom: <sip:e@x>\r\n", b"Via: ;;;,,\r\n", b"Contact: <sip:e@x\r\n", b"Route: <sip:127.0.0.1;lr>,,\r\n",
         b"Contact: *, *\r\n", b"Max-Forwards: 1\r\n", b": x\r\n", b"no colon\r\n", b"X" * 4000 + b": y\r\n", b"X: " + b"a," * 3000 + b"\r\n"]
OTHERS = [b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
          b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", b"\x81\x84\x01\x02\x03\x04\x48\x47\x4f\x4a", b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"a" * 12,
          b"\r\n\r\n" * 20, b"\x00" * 1200, b"INVITE ", b"SIP/2.0 200 OK\r\n\r\n", b"A" * 65000, bytes(range(256)) * 4]


def rfc4475():
    return {p.stem: p.read_bytes() for p in sorted((DATA / "rfc4475").glob("*.dat"))}


def rfc5118():
    """With CRLF in their heads and the empty line, which the archive lacks (tests/scenario/wild.h)."""
    found = {}
    for path in sorted((DATA / "rfc5118").glob("*.dat")):
        head, _, body = path.read_bytes().partition(b"\n\n")
        found[path.stem] = head.strip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body
    return found


def smuggled():
    good = [HEAD % (BOB.encode(), i, i) + line + b"Content-Length: 0\r\n\r\n" for i, line in enumerate(LINES)]
    return good + OTHERS


def mutants(n):
    """The same messages with octets exchanged, cut out and doubled; the same ones in each run."""
    dice, base = random.Random(4475), [*rfc4475().values(), *rfc5118().values(), *smuggled()]
    for _ in range(n):
        octets = bytearray(dice.choice(base)[:8000])
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(octets))
            octets[at:at + dice.randint(0, 9)] = dice.choice([bytes([dice.randrange(256)]), b"\r\n", b"\r", b"\n ", b"", b"\x00", b",", b'"'])
            octets = octets or bytearray(b"x")
        yield bytes(octets[:60000])


class Torture(PeerTest):
    hostile = True
    phones = ()

    @classmethod
    def setUpClass(cls):
        cls.port, = free_ports(1)
        cls.also = f"(ip6 and port {cls.port})"
        cls.decode = PeerTest.decode + [f"udp.port=={cls.port},sip", f"tcp.port=={cls.port},sip"]
        cls.gc_settings = {"sip.listen": '["udp:{net}1:5060", "tcp:{net}1:5060", "tls:{net}1:5061", ' +
                                         f'"udp:[::1]:{cls.port}", "tcp:[::1]:{cls.port}"]'}
        super().setUpClass()

    @classmethod
    def set_out(cls, stack):
        cls.phones = [telephone(stack, number, stack.net + ip) for number, ip in ((ALICE, "12"), (BOB, "13"))]
        for phone in cls.phones:
            if phone.register().status != 200:
                raise AssertionError("not registered")

    @classmethod
    def take_in(cls):
        for phone in cls.phones:
            phone.close()

    @classmethod
    def judge_wire(cls):
        """What the daemon sent, over either family; not what ICMP sends back of it. tshark gives up at a method of 42 octets, which
        RFC 4475 section 3.1.1.2 calls valid."""
        cls.capture.end()
        ours = f"(ip.src == {cls.stack.gc_ip} || (ipv6 && (udp.srcport == {cls.port} || tcp.srcport == {cls.port})))"
        case = unittest.TestCase()
        case.assertGreater(len(cls.capture.tshark(f"sip && {ours}", *cls.decode)), 100, "there was SIP to be judged")
        bad = f"sip && (_ws.malformed || _ws.expert.severity >= {WARNING}) && {ours} && !icmp && !icmpv6"
        case.assertEqual(cls.capture.tshark(bad + ' && !(frame contains "interesting-Method0123456789")', *cls.decode), [],
                         f"malformed SIP in {cls.capture.path}")

    def udp(self, last, there=None):
        """A source of its own for each message, so that no limit of answers comes between."""
        family = socket.AF_INET6 if there else socket.AF_INET
        s = self.closing(socket.socket(family, socket.SOCK_DGRAM))
        s.bind(("::1" if there else f"{self.stack.net}{last}", 0))
        s.connect(there or (self.stack.gc_ip, 5060))
        s.settimeout(5)
        return s

    def tcp(self, last):
        s = self.closing(socket.create_connection((self.stack.gc_ip, 5060), 5, source_address=(f"{self.stack.net}{last}", 0)))
        s.settimeout(5)
        return s

    def status(self, s):
        answer = s.recv(65536)
        self.assertRegex(answer, rb"^SIP/2\.0 [1-6]\d\d ")
        return int(answer[8:11])

    def honest_call(self):
        caller, callee = self.phones
        call = caller.invite(BOB, SDP)
        callee.answer(callee.expect_request("INVITE"), SDP, timeout=0)
        self.assertEqual(caller.final(call).status, 200)
        self.assertIsNotNone(callee.expect_request("ACK"))
        bye = caller.bye_message(call.dialog)
        caller.send(bye)
        callee.send(callee.response_message(callee.expect_request("BYE"), 200, "OK"))
        self.assertEqual(caller.expect_response(bye).status, 200)

    def test_the_rfcs_answers_over_udp(self):
        files, silent = rfc4475(), []
        self.assertEqual(set(files), set(VERDICTS))
        for i, (name, octets) in enumerate(files.items()):
            s = self.udp(100 + i)
            s.send(octets)
            if VERDICTS[name] == 0:
                silent.append((name, s))
                continue
            with self.subTest(name=name):
                self.assertEqual(self.status(s), VERDICTS[name])
        self.honest_call()
        for name, s in silent:
            s.setblocking(False)
            with self.subTest(name=name), self.assertRaises(BlockingIOError):
                s.recv(65536)

    def test_the_same_over_tcp(self):
        for i, (name, octets) in enumerate(rfc4475().items()):
            s = self.tcp(100 + i)
            s.sendall(octets)
            if name not in LOST and VERDICTS[name] == 0 or name in ("test", "dblreq"):
                continue  # dblreq: behind its second message there is a rest that is none; an answer and the end of it race
            with self.subTest(name=name):
                if name in LOST:
                    left = b"x"
                    while left:
                        left = s.recv(65536)
                elif name == "baddn":  # the archive left out its empty line: it waits for more
                    s.sendall(b"\r\n")
                    self.assertEqual(self.status(s), 400)
                else:
                    self.assertEqual(self.status(s), VERDICTS[name])
        self.honest_call()

    def test_over_ipv6(self):
        expected = {"ipv6-good": 401, "ipv6-bad": 400, "port-ambiguous": 401, "port-unambiguous": 401, "ipv4-mapped-ipv6": 407,
                    "ipv6-in-sdp": 400, "mult-ip-in-sdp": 400, "mult-ip-in-header": 407, "via-received-param-no-delim": 407,
                    "via-received-param-with-delim": 407, "ipv6-bug-abnf-3-colons": 407, "ipv6-correct-abnf-2-colons": 407}
        files = rfc5118()
        self.assertEqual(set(files), set(expected))
        for name, octets in files.items():
            s = self.udp(0, ("::1", self.port))
            s.send(octets)
            with self.subTest(name=name):
                self.assertEqual(self.status(s), expected[name])
        self.honest_call()

    def test_smuggled_and_mutated(self):
        """Nothing here has one right answer but this: all the others go on."""
        for i, octets in enumerate([*smuggled(), *mutants(400)]):
            s = self.udp(20 + i % 200)
            s.send(octets[:60000])
            if i % 4 == 0:
                stream = self.tcp(20 + i % 200)
                try:
                    stream.sendall(octets)
                except ConnectionError:
                    pass  # the framing was lost half-way
                stream.close()
            s.close()
        self.honest_call()
        wait_for("the malformed ones to be counted", lambda: self.gc("headgate_malformed_total") > 100, 10)


if __name__ == "__main__":
    unittest.main()
