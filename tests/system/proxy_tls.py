"""TLS with certificates: one port for phones and peers that have certificates and for BTIs that have keys, clients of others on it,
certificates and listeners replaced under live connections."""
import datetime
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hglib import Stack, wait_for
from stacked import StackTest, at_once

ALICE, BOB = "+12125550101", "+12125550102"
DAY = datetime.timedelta(days=1)


class Authority:
    def __init__(self, stack, name):
        self.stack = stack
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self.sign(self.name, self.key.public_key(), DAY, [(x509.BasicConstraints(ca=True, path_length=None), True)])
        self.file = stack.write(name + ".pem", self.pem(self.cert))

    @staticmethod
    def pem(cert):
        return cert.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, subject, public, life, extensions=(), age=DAY):
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
                .serial_number(x509.random_serial_number()).not_valid_before(now - age).not_valid_after(now + life))
        for value, critical in extensions:
            made = made.add_extension(value, critical)
        return made.sign(self.key, hashes.SHA256())

    def issue(self, file, *names, life=30 * DAY, key=None, mode=0o600):
        """(certificate, key) files for a host of these names, and the serial number."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(n) if ":" in n else x509.DNSName(n) for n in names])
        cert = self.sign(x509.Name([]), key.public_key(), life, [(san, True)], age=40 * DAY)
        paths = self.stack.write(file + ".pem", self.pem(cert)), self.stack.path(file + ".key")
        pathlib.Path(paths[1]).unlink(missing_ok=True)
        fd = os.open(paths[1], os.O_WRONLY | os.O_CREAT, mode)
        os.write(fd, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        os.fchmod(fd, mode)
        os.close(fd)
        return paths + (cert.serial_number,)


def options(transport, n):
    return (f"OPTIONS sip:headgate.test SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.1;rport;branch=z9hG4bK{os.urandom(8).hex()}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@b.example>;tag=1\r\nTo: <sip:headgate.test>\r\nCall-ID: {os.urandom(8).hex()}\r\n"
            f"CSeq: {n} OPTIONS\r\nContent-Length: 0\r\n\r\n").encode()


class Conversation:
    """A connection on which OPTIONS are asked and answered."""

    def __init__(self, to, tls=None, name="headgate.test", source=None):
        self.transport, self.asked, self.left = "TLS" if tls else "TCP", 0, b""
        self.socket = socket.create_connection(to, 5, source_address=source and (source, 0))
        if tls:
            try:
                self.socket = tls.wrap_socket(self.socket, server_hostname=name)
            except BaseException:
                self.socket.close()
                raise

    def close(self):
        self.socket.close()

    def ask(self, times=1):
        """Status of each answer; all are asked at once."""
        first = self.asked + 1
        self.asked += times
        self.socket.sendall(b"".join(options(self.transport, first + i) for i in range(times)))
        seen = []
        while len(seen) < times:
            while b"\r\n\r\n" not in self.left:
                got = self.socket.recv(65536)
                if not got:
                    return seen
                self.left += got
            answer, _, self.left = self.left.partition(b"\r\n\r\n")
            seen.append(int(answer.split()[1]))
        return seen

    def is_refused(self):
        """The other end has had enough of us: an alert or the end, at the latest when something is asked."""
        try:
            return self.ask() == []
        except OSError:
            return True

    @property
    def serial(self):
        return x509.load_der_x509_certificate(self.socket.getpeercert(binary_form=True)).serial_number


class Tls(StackTest):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack = Stack()
        try:
            cls.ca, cls.rogue = Authority(stack, "ca"), Authority(stack, "rogue")
            cls.settings = {"tls.certificate": f'"{stack.path("gate.pem")}"', "tls.key": f'"{stack.path("gate.key")}"',
                            "tls.ca": f'"{cls.ca.file}"', "limits.challenge_per_source": "1000"}
            cls.ca.issue("gate", "headgate.test")
            stack.up(cls.settings)
            cls.alice, cls.bob = at_once(lambda: stack.enrolled("alice", stack.net + "11", ALICE),
                                         lambda: stack.enrolled("bob", stack.net + "12", BOB))
        except BaseException:
            stack.down(keep=True)
            raise
        cls.port = (stack.gc_ip, 5061)

    def setUp(self):
        self.ca.issue("gate", "headgate.test")
        self.reload(self.settings)

    # ---- the gate controller
    def events(self, name):
        log = pathlib.Path(self.stack.daemons["gc1"].log).read_text(encoding="utf-8")
        return [e for e in map(json.loads, log.splitlines()) if e["event"] == name]

    def reload(self, settings, ends_in="gc.reloaded"):
        before = len(self.events(ends_in))
        self.stack.gc_config(settings=settings)
        self.stack.daemons["gc1"].signal(signal.SIGHUP)
        wait_for(ends_in, lambda: len(self.events(ends_in)) > before)

    def expiry(self):
        return self.gc("headgate_tls_certificate_expiry_seconds")

    # ---- clients
    def client(self, version=None, certificate=None, ca=None):
        c = ssl.create_default_context(cafile=(ca or self.ca).file)
        if version:
            c.minimum_version = c.maximum_version = version
        if certificate:
            c.load_cert_chain(*certificate[:2])
        return c

    def talk(self, *words, to=None, **more):
        return self.closing(Conversation(to or self.port, *words, **more))

    def becomes(self, serial):
        """New connections see that certificate, on every worker: a tick after the reload at the latest."""
        def one():
            c = Conversation(self.port, self.client())
            seen = c.serial
            c.close()  # a source has only so many
            return seen == serial

        def sees():
            return all([one() for _ in range(8)])
        wait_for("the certificate in use to be the new one", sees)

    # ---- connections
    def test_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                c = self.talk(self.client(version))
                self.assertEqual(c.ask(20), [200] * 20, "pipelined")
        old = self.client(ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(ssl.SSLError):
            self.talk(old)

    def test_rsa(self):
        serial = self.ca.issue("gate", "headgate.test", key=rsa.generate_private_key(65537, 2048))[2]
        self.reload(self.settings)
        self.becomes(serial)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertEqual(self.talk(self.client(version)).ask(), [200])

    def test_what_clients_check(self):
        with self.assertRaisesRegex(ssl.SSLError, "Hostname mismatch|IP address mismatch"):
            self.talk(self.client(), name="other.test")
        with self.assertRaisesRegex(ssl.SSLError, "CERTIFICATE_VERIFY_FAILED"):
            self.talk(self.client(ca=self.rogue))
        self.assertEqual(self.talk(self.client()).ask(), [200], "and others are served on")

    def test_openssl_agrees(self):
        for version in ("-tls1_2", "-tls1_3"):
            done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % self.port, "-CAfile", self.ca.file, version,
                                   "-verify_return_error", "-verify_hostname", "headgate.test", "-brief"], input=b"", timeout=20,
                                  capture_output=True)
            said = (done.stdout + done.stderr).decode()
            self.assertIn("Verification: OK", said)
            self.assertEqual(done.returncode, 0, said)

    def test_certificates_of_clients(self):
        cases = {"ours": (self.ca.issue("peer", "peer.test"), True),
                 "another authority's": (self.rogue.issue("liar", "peer.test"), False),
                 "expired": (self.ca.issue("late", "peer.test", life=-DAY), False)}
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name, (certificate, good) in cases.items():
                with self.subTest(version=version, certificate=name):
                    client = self.client(version, certificate)
                    if good:
                        self.assertEqual(self.talk(client).ask(), [200])
                    else:
                        try:
                            refused = self.talk(client).is_refused()
                        except OSError:  # TLS 1.2 says so within the handshake
                            refused = True
                        self.assertTrue(refused)

    def test_keys_of_sessions_on_the_same_port(self):
        """BTIs have no certificate and look at none, and their media keys pass."""
        peer = self.talk(self.client())
        ear = self.stopping(self.bob.listen("--transport", "tls", "--audio", "tone"))
        call = self.stopping(self.alice.call(BOB, "--transport", "tls", "--audio", "tone", "--duration", "1"))
        self.assertEqual(call.exit(10), 0, call.events[-4:])
        ear.wait("ended", by="peer")
        self.assertGreater(call.seen("media")[0]["rtp_received"], 20)
        self.assertEqual(peer.ask(), [200])

    def test_half_a_handshake_hurts_nobody(self):
        """Clients that say nothing, stop in mid-hello, or talk plain SIP; an honest one is served between them."""
        stuck = [self.closing(socket.create_connection(self.port, 5)) for _ in range(20)]
        for i, s in enumerate(stuck):
            s.sendall((b"", b"\x16\x03\x01\x02\x00\x01\x00", options("TLS", 1))[i % 3])
        for s in stuck[2::3]:
            s.settimeout(5)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        self.assertEqual(self.talk(self.client()).ask(), [200])

    # ---- replacing
    def test_certificate_is_replaced_under_a_live_connection(self):
        old = self.talk(self.client())
        before = old.serial
        serial = self.ca.issue("gate", "headgate.test", life=60 * DAY)[2]
        self.reload(self.settings)
        self.becomes(serial)
        self.assertEqual(old.ask(), [200], "it lives on")
        self.assertNotEqual(before, serial)
        self.assertAlmostEqual(self.expiry(), 60 * 86400, delta=120)

    def test_what_cannot_be_used_changes_nothing(self):
        cases = {"no file": lambda: os.unlink(self.stack.path("gate.pem")),
                 "broken": lambda: self.stack.write("gate.pem", "no certificate"),
                 "another key": lambda: self.ca.issue("other", "headgate.test") and os.replace(self.stack.path("other.key"),
                                                                                              self.stack.path("gate.key")),
                 "a key that others may read": lambda: self.ca.issue("gate", "headgate.test", mode=0o640),
                 "expired": lambda: self.ca.issue("gate", "headgate.test", life=-DAY)}
        for name, spoil in cases.items():
            with self.subTest(pair=name):
                serial = self.ca.issue("gate", "headgate.test")[2]
                self.reload(self.settings)
                self.becomes(serial)
                spoil()
                self.reload(self.settings, ends_in="tls.reload_failed")
                told = self.events("tls.reload_failed")[-1]
                self.assertIn("gate.", told["why"] + told.get("file", ""), "the file is named")
                self.assertEqual(self.talk(self.client()).serial, serial)
                self.assertEqual(self.talk(self.client()).ask(), [200])

    def test_the_end_is_announced(self):
        warned = len(self.events("tls.certificate_expiring"))
        serial = self.ca.issue("gate", "headgate.test", life=13 * DAY)[2]
        self.reload(self.settings)
        self.becomes(serial)
        self.assertEqual(len(self.events("tls.certificate_expiring")), warned + 1)
        self.assertAlmostEqual(self.expiry(), 13 * 86400, delta=120)
        self.assertEqual(self.talk(self.client()).ask(), [200])

    def test_without_certificate_keys_only(self):
        old = self.talk(self.client())
        self.reload({})

        def is_refused():
            try:
                self.talk(self.client()).close()
                return False
            except ssl.SSLError:
                return True
        wait_for("certificates to be out of use", lambda: all(is_refused() for _ in range(8)))
        self.assertEqual(self.expiry(), 0)
        self.assertEqual(old.ask(), [200])

    # ---- listeners
    @staticmethod
    def free_port(ip):
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as s:
            s.bind((ip, 0))
            return s.getsockname()[1]

    @staticmethod
    def is_open(to):
        try:
            socket.create_connection(to, 5).close()
            return True
        except (ConnectionRefusedError, ConnectionResetError):  # reset: it was in the queue of a listener that closed
            return False

    def test_listeners_come_and_go(self):
        ip, six = self.stack.gc_ip, self.free_port("::1")
        old = self.talk(to=(ip, 5060))
        self.assertEqual(old.ask(), [200])
        listen = f'["udp:{ip}:5060", "tls:{ip}:5061", "tcp:{ip}:5070", "tls:[::1]:{six}"]'
        self.reload({**self.settings, "sip.listen": listen})
        wait_for("the old address to be closed", lambda: not any(self.is_open((ip, 5060)) for _ in range(4)))
        self.assertEqual(old.ask(), [200], "its connections stay")
        self.assertEqual(self.talk(to=(ip, 5070)).ask(), [200])
        c = self.talk(self.client(), to=("::1", six))
        self.assertEqual(c.ask(5), [200] * 5)
        self.reload(self.settings)
        wait_for("the old address to be open again", lambda: self.is_open((ip, 5060)))
        wait_for("the other to be closed", lambda: not any(self.is_open(("::1", six)) for _ in range(4)))
        self.assertEqual(c.ask(), [200])

    def test_an_address_that_is_taken(self):
        with socket.create_server((self.stack.gc_ip, 0)) as s:
            port = s.getsockname()[1]
            ip = self.stack.gc_ip
            listen = f'["udp:{ip}:5060", "tcp:{ip}:5060", "tls:{ip}:5061", "tcp:{ip}:{port}"]'
            self.reload({**self.settings, "sip.listen": listen}, ends_in="gc.reload_failed")
            self.assertEqual(self.events("listen.failed")[-1]["address"], f"{ip}:{port}")
        self.assertTrue(self.is_open((ip, 5060)))


if __name__ == "__main__":
    import unittest
    unittest.main()
