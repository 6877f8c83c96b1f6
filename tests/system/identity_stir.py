"""STIR/SHAKEN with the real daemon: tokens that a second implementation reads and signs, certificates from an https server, the ways
in which a signer's URL could be turned against us, and Kamailio's module secsipid as signer and verifier."""
import base64
import http.server
import ipaddress
import json
import os
import re
import ssl
import threading
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hglib import Wire, sip_request, wait_for
from peered import PeerTest
from peers import Kamailio, Sipp
from proxy_tls import DAY, Authority
from sippline import SDP, ack, answering, bye, call, expect, pause, scenario

ALICE, PEER = "+12125550101", "+442079460100"
TN_LIST = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26"), bytes.fromhex("3008a006160431323334"))
PORT = 8443


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def plain(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


class Signer:
    """A key, its certificate for a service provider code, and tokens by them."""

    def __init__(self, authority):
        self.key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(True, *[False] * 8)
        known = authority.key.public_key()
        self.cert = authority.pem(authority.sign(
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SHAKEN 1234")]), self.key.public_key(), 30 * DAY,
            [(x509.BasicConstraints(False, None), True), (usage, True), (TN_LIST, False),
             (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
             (x509.AuthorityKeyIdentifier.from_issuer_public_key(known), False)]))

    def private(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()

    def identity(self, url, orig=PEER, dest=ALICE, attest="A", age=0, key=None):
        """The header line of a call from orig to dest."""
        claims = {"attest": attest, "dest": {"tn": [dest.lstrip("+")]}, "iat": int(time.time()) - age, "orig": {"tn": orig.lstrip("+")},
                  "origid": "123e4567-e89b-42d3-a456-426655440000"}
        signed = b64(plain({"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": url})) + "." + b64(plain(claims))
        r, s = decode_dss_signature((key or self.key).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f'Identity: {signed}.{b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))};info=<{url}>;alg=ES256;ppt="shaken"'

    def read(self, identity):
        """(header, payload) of a token of ours; raises when the signature does not hold."""
        header, payload, signature = identity.split(";")[0].strip().split(".")
        octets = unb64(signature)
        der = encode_dss_signature(int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:], "big"))
        self.key.public_key().verify(der, f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
        return json.loads(unb64(header)), json.loads(unb64(payload))


class StirAuthority(Authority):
    """RFC 5280 to the letter: key identifiers and usage too."""

    def sign(self, subject, public, life, extensions=(), age=DAY):
        if subject == self.name:
            extensions = [*extensions, (x509.SubjectKeyIdentifier.from_public_key(public), False),
                          (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)]
        return super().sign(subject, public, life, extensions, age)


class Repository:
    """An https server with good and bad answers."""

    def __init__(self, ip, files, pem):
        self.asked, self.pem, self.go_on = [], pem, threading.Event()
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                repository.asked.append(self.path)
                getattr(self, "get_" + re.sub(r"\W", "_", self.path.strip("/").split(".")[0]), self.get_nothing)()

            def say(self, status, body=b"", *headers):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def get_signer(self):
                self.say(200, repository.pem.encode(), ("Cache-Control", "public, max-age=300"))

            def get_again(self):
                self.say(302, b"", ("Location", f"https://{ip}:{PORT}/signer.pem"))

            def get_huge(self):
                self.say(200, b"x" * 200000)

            def get_slow(self):
                self.say(200, b"-----BEGIN")
                self.wfile.flush()
                repository.go_on.wait(20)

            def get_text(self):
                self.say(200, b"no certificate")

            def get_nothing(self):
                self.say(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ip, PORT), Handler)
        self.server.handle_error = lambda *_: None  # a client that breaks off is what is tested
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()


def web_files(authority, stack, ip):
    """Certificate and key of an https server at that address."""
    key = ec.generate_private_key(ec.SECP256R1())
    san = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ip)), x509.DNSName("localhost")])
    cert = authority.sign(x509.Name([]), key.public_key(), 30 * DAY, [(san, True)])
    return (stack.write(f"web-{ip}.pem", authority.pem(cert)),
            stack.write(f"web-{ip}.key", key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                           serialization.NoEncryption()).decode()))


class Stir(PeerTest):
    hostile = True
    trunks = (("marks", "{net}20", "--port", "5060", "--source", "{net}20", "--transport", "udp", "--trusts-identity", "yes", "--sends-identity", "yes", "--ping",
               "0", "--stir-sign", "yes", "--stir-verify", "mark"),
              ("rejects", "{net}21", "--port", "5060", "--source", "{net}21", "--transport", "udp", "--ping", "0", "--stir-verify", "reject"))
    routes = (("uk", "+44", "--trunk", "marks"),)
    servers = ()

    @classmethod
    def gc_settings_of(cls, stack):
        net = stack.net
        anchors, web, others = StirAuthority(stack, "anchors"), Authority(stack, "web"), Authority(stack, "others")
        cls.ours, cls.theirs, cls.rogue = Signer(anchors), Signer(anchors), ec.generate_private_key(ec.SECP256R1())
        cls.unknown = Signer(StirAuthority(stack, "strangers"))
        cls.web = Repository(net + "60", web_files(web, stack, net + "60"), cls.theirs.cert)
        cls.liar = Repository(net + "61", web_files(others, stack, net + "61"), cls.theirs.cert)
        cls.servers = [cls.web, cls.liar]
        cls.url = f"https://{net}60:{PORT}/signer.pem"
        key = stack.write("stir.key", cls.ours.private())
        os.chmod(key, 0o600)
        return {"stir.key": key, "stir.certificate_url": f"https://{net}60:{PORT}/ours.pem", "stir.anchors": anchors.file,
                "stir.tls_ca": web.file, "stir.fetch_ports": f'["{PORT}"]', "stir.fetch_timeout": "1s", "stir.wait": "5s",
                "stir.fetch_allow": f'["{net}60/31", "{net}62/32"]'}

    @classmethod
    def set_out(cls, stack):
        cls.alice = stack.enrolled("alice", stack.net + "11", ALICE)

    @classmethod
    def take_in(cls):
        for one in cls.servers:
            one.stop()

    def counted(self, what):
        return self.gc(what) or 0

    def status_of(self, identity, ip="21"):
        """What a call from PEER to ALICE is answered; her phone is off, so 480 is the end of a good one."""
        wire = Wire(self.stack.net + ip, (self.stack.gc_ip, 5060), 5060)
        try:
            octets = sip_request("INVITE", f"sip:{ALICE}@{self.stack.domain}", wire.address, [identity] if identity else [], SDP.replace(
                "\n", "\r\n").encode(), sender=f"sip:{PEER}@peer.test")
            wire.send(octets)
            status = wire.status(15)
            via, rest = re.search(rb"(?m)^Via: .*\r\n", octets)[0], dict(re.findall(rb"(?m)^(From|Call-ID): (.*)\r$", octets))
            wire.send(b"ACK sip:%s@%s SIP/2.0\r\n%sMax-Forwards: 70\r\nFrom: %s\r\nTo: <sip:%s@%s>;tag=x\r\nCall-ID: %s\r\nCSeq: 1 ACK\r\n"
                      b"Content-Length: 0\r\n\r\n" % (ALICE.encode(), self.stack.domain.encode(), via, rest[b"From"], ALICE.encode(),
                                                      self.stack.domain.encode(), rest[b"Call-ID"]))
            return status
        finally:
            wire.close()

    def test_a_call_that_leaves(self):
        wire = Wire(self.stack.net + "20", (self.stack.gc_ip, 5060), 5060)
        self.addCleanup(wire.close)
        one = self.stopping(self.alice.call(PEER, "--transport", "udp"))
        request = wire.receive(20)
        self.assertTrue(request and request.startswith(b"INVITE "), request)
        head = request.split(b"\r\n\r\n")[0].decode()
        found = re.findall(r"(?m)^Identity: ([^\r]*)", head)
        self.assertEqual(len(found), 1, head)
        header, claims = self.ours.read(found[0])
        self.assertEqual(header, {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": f"https://{self.stack.net}60:{PORT}/ours.pem"})
        self.assertEqual((claims["attest"], claims["orig"], claims["dest"]), ("A", {"tn": ALICE[1:]}, {"tn": [PEER[1:]]}))
        self.assertLess(abs(claims["iat"] - time.time()), 60)
        self.assertRegex(found[0], r';info=<https://[^>]+/ours.pem>;alg=ES256;ppt="shaken"$')
        self.assertRegex(head, r"(?m)^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r?$")
        lines = [line for line in head.split("\r\n") if re.match("(Via|From|To|Call-ID|CSeq):", line)]
        lines = [line + ";tag=far" if line.startswith("To:") else line for line in lines]
        wire.send(("\r\n".join(["SIP/2.0 486 Busy Here", *lines, "Content-Length: 0"]) + "\r\n\r\n").encode())
        self.assertNotEqual(one.exit(), 0)
        self.assertGreaterEqual(self.counted('headgate_stir_signed_total{attest="A"}'), 1)

    def test_calls_that_come(self):
        self.assertEqual(self.status_of(self.theirs.identity(self.url)), 480)
        self.assertIn("/signer.pem", self.web.asked)
        before = len(self.web.asked)
        for what, identity, status in (("good", self.theirs.identity(self.url, attest="B"), 480),
                                       ("none", None, 428),
                                       ("another's key", self.theirs.identity(self.url, key=self.rogue), 438),
                                       ("another caller", self.theirs.identity(self.url, orig="+442079460101"), 438),
                                       ("another number", self.theirs.identity(self.url, dest="+12125550102"), 438),
                                       ("old", self.theirs.identity(self.url, age=90), 403),
                                       ("ahead", self.theirs.identity(self.url, age=-90), 403)):
            self.assertEqual(self.status_of(identity), status, what)
        again = self.theirs.identity(self.url, attest="C")
        self.assertEqual((self.status_of(again), self.status_of(again)), (480, 438), "a token serves one call")
        self.assertEqual(self.status_of(self.theirs.identity(self.url, key=self.rogue), "20"), 480, "only marked there")
        self.assertEqual(len(self.web.asked), before, "the certificate was known")

    def test_urls_that_lead_elsewhere(self):
        net = self.stack.net
        for what, url, status in (("http", f"http://{net}60:{PORT}/signer.pem", 438),
                                  ("a port that is not allowed", f"https://{net}60:22/signer.pem", 436),
                                  ("a user", f"https://me@{net}60:{PORT}/signer.pem", 436),
                                  ("a name of a private address", f"https://localhost:{PORT}/signer.pem", 436),
                                  ("a private address", f"https://{net}99:{PORT}/signer.pem", 436),
                                  ("in IPv6", f"https://[::ffff:{net}60]:{PORT}/signer.pem", 436),
                                  ("loopback of IPv6", f"https://[::1]:{PORT}/signer.pem", 436),
                                  ("a redirect", f"https://{net}60:{PORT}/again.pem", 436),
                                  ("too much", f"https://{net}60:{PORT}/huge.pem", 436),
                                  ("nothing there", f"https://{net}60:{PORT}/nothing.pem", 436),
                                  ("text", f"https://{net}60:{PORT}/text.pem", 437),
                                  ("a server of nobody", f"https://{net}61:{PORT}/signer.pem", 436)):
            asked = len(self.web.asked)
            self.assertEqual(self.status_of(self.theirs.identity(url)), status, what)
            if what == "a redirect":
                self.assertEqual(self.web.asked[asked:], ["/again.pem"])
        self.assertEqual(self.liar.asked, [], "no request before its name was proven")
        self.assertGreaterEqual(self.counted('headgate_stir_fetches_total{result="refused"}'), 4)
        self.assertGreaterEqual(self.counted('headgate_stir_fetches_total{result="answer"}'), 3)
        self.assertEqual(self.counted('headgate_stir_fetches_total{result="tls"}'), 1)

    def test_a_signer_of_strangers(self):
        good = self.web.pem
        self.web.pem = self.unknown.cert
        try:
            self.assertEqual(self.status_of(self.unknown.identity(self.url + "?strangers")), 437)
        finally:
            self.web.pem = good

    def test_a_repository_that_is_away_costs_no_call(self):
        net = self.stack.net
        for what, url in (("nobody listens", f"https://{net}62:{PORT}/signer.pem"), ("silence", f"https://{net}60:{PORT}/slow.pem")):
            self.assertEqual(self.status_of(self.theirs.identity(url)), 480, what)
            self.assertEqual(self.status_of(self.theirs.identity(url, attest="B")), 480, what)
        self.assertEqual(self.web.asked.count("/slow.pem"), 1, "what failed is not asked again at once")
        self.assertEqual(self.counted('headgate_stir_fetches_total{result="unreachable"}'), 1)
        self.assertEqual(self.counted('headgate_stir_fetches_total{result="timeout"}'), 1)


class Secsipid(PeerTest):
    """Kamailio's module secsipid at the other end: it must take our tokens, and we its."""
    trunks = (("kamailio", "{net}22", "--port", "5060", "--source", "{net}22", "--transport", "udp", "--trusts-identity", "yes",
               "--sends-identity", "yes", "--ping", "0", "--stir-sign", "yes", "--stir-verify", "reject"),)
    routes = (("fr", "+33", "--trunk", "kamailio"),)
    kamailio = web = None
    number = "+33155550100"

    @classmethod
    def gc_settings_of(cls, stack):
        anchors, web = StirAuthority(stack, "anchors"), Authority(stack, "web")
        cls.ours, cls.theirs = Signer(anchors), Signer(anchors)
        cls.web = Repository(stack.net + "60", web_files(web, stack, stack.net + "60"), cls.theirs.cert)
        cls.files = [stack.write(name, text) for name, text in (("stir.key", cls.ours.private()), ("ours.pem", cls.ours.cert),
                                                                ("theirs.key", cls.theirs.private()))]
        for path in cls.files:
            os.chmod(path, 0o600)
        return {"stir.key": cls.files[0], "stir.certificate_url": f"https://{stack.net}60:{PORT}/ours.pem", "stir.anchors": anchors.file,
                "stir.tls_ca": web.file, "stir.fetch_ports": f'["{PORT}"]', "stir.wait": "5s", "stir.fetch_allow": f'["{stack.net}60"]'}

    @classmethod
    def set_out(cls, stack):
        net, cls.behind = stack.net, stack.net + "30"
        cls.alice = stack.enrolled("alice", net + "11", ALICE)
        cls.kamailio = Kamailio(stack, "kamailio", [f"udp:{net}22:5060"], f"""
loadmodule "secsipid.so"
route[OUT] {{
    if ($si == "{cls.behind}") {{
        secsipid_add_identity("$(fU{{s.substr,1,0}})", "$(rU{{s.substr,1,0}})", "B", "", "https://{net}60:{PORT}/signer.pem",
                              "{cls.files[2]}");
        $du = "sip:{stack.gc_ip}:5060";
        t_relay();
        exit;
    }}
    if (!secsipid_check_identity("{cls.files[1]}")) {{ sl_send_reply("438", "Invalid Identity Header"); exit; }}
    $du = "sip:{cls.behind}:5060";
    t_relay();
}}
""")

    @classmethod
    def take_in(cls):
        for one in (cls.kamailio, cls.web):
            if one is not None:
                one.stop()

    @classmethod
    def judge_wire(cls):
        super().judge_wire()
        unittest.TestCase().assertEqual(cls.capture.tshark(f"sip.Identity && ip.dst == {cls.alice.ip}"), [], "no token goes to a line")

    def sipp(self, name, *words, **kw):
        run = Sipp(self.stack, name, self.behind, *words, **kw)
        self.addCleanup(run.stop)
        return run

    def test_it_takes_our_token(self):
        far = self.sipp("far", answering())
        one = self.stopping(self.alice.call(self.number, "--transport", "udp", "--duration", "1"))
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertRegex(far.messages(), r"(?m)^Identity: ey")

    def test_we_take_its_token(self):
        line = self.stopping(self.alice.listen("--transport", "udp"))
        line.wait("registered")
        near = self.sipp("near", scenario(call(body=SDP, extra=f"P-Asserted-Identity: <sip:{self.number}@peer.test>"), expect(100, optional=True),
                                          expect(180, optional=True), expect(200, rrs=True), ack(), pause(500), bye(), expect(200)),
                         remote=(self.stack.net + "22", 5060), service=ALICE, keys={"domain": self.stack.domain, "from": self.number})
        near.done()
        told = line.seen("incoming")[0]
        self.assertEqual((told["from"], told["verstat"]), (self.number, "TN-Validation-Passed"))
        self.assertEqual(self.gc('headgate_stir_verified_total{outcome="passed"}'), 1)
        wait_for("the record of the call", lambda: self.stack.sql("SELECT attest FROM cdr.call WHERE route = 'local'").strip() == "B")
