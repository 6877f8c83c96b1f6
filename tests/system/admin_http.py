"""headgate-admin's transport: requests that could be read in two ways, clients that stall, floods, who the peer is, certificates that
come and go, the orderly end. What the API answers is of no concern here, only that it was asked or not."""
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hglib import Daemon, Failed, Stack, tail, wait_for

HOST = "Host: x\r\n"
DAY = datetime.timedelta(days=1)


class Line:
    """A connection on which octets are said as they are."""

    def __init__(self, to, tls=None, seconds=20):
        if isinstance(to, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(seconds)
            self.socket.connect(to)
        else:
            self.socket = socket.create_connection(to, seconds)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=to[0])
        self.left, self.body = b"", b""

    def say(self, octets):
        self.socket.sendall(octets.encode() if isinstance(octets, str) else octets)
        return self

    def hear(self):
        try:
            got = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            got = b""
        self.left += got
        return bool(got)

    def answer(self):
        """Status and head of the next answer; its body is read over."""
        while b"\r\n\r\n" not in self.left:
            if not self.hear():
                raise Failed(f"closed before an answer: {self.left!r}")
        head, rest = self.left.split(b"\r\n\r\n", 1)
        n = int((re.search(rb"(?i)\r\ncontent-length: (\d+)", head) or [b"", b"0"])[1])
        while len(rest) < n:
            if not self.hear():
                raise Failed(f"closed within an answer: {self.left!r}")
            rest = self.left.split(b"\r\n\r\n", 1)[1]
        self.body, self.left = rest[:n], rest[n:]
        return int(head.split()[1]), head.decode()

    def all(self):
        """Everything until the other end closes."""
        while self.hear():
            pass
        self.close()
        return self.left

    def close(self):
        self.socket.close()


class AdminTest(unittest.TestCase):
    """An infrastructure and headgate-admin, without gate controller."""
    settings = {}
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        try:
            cls.stack.start_infra()
            cls.stack.make_keys()
            cls.prepare()
            cls.stack.start_admin(config=cls.stack.admin_config(settings=cls.settings))
        except BaseException:
            cls.stack.down(keep=True)
            raise

    @classmethod
    def prepare(cls):
        """What the settings need."""

    @classmethod
    def tearDownClass(cls):
        cls.stack.down(keep=os.environ.get("HEADGATE_KEEP", "") not in ("", "0"))

    def tearDown(self):
        for d in self.stack.daemons.values():
            self.assertIsNone(d.process.poll(), f"{d.name} ended by itself: {tail(d.log)}")

    def line(self, tls=None):
        made = Line(self.stack.admin_address, tls)
        self.addCleanup(made.close)
        return made

    def asked(self):
        """Requests that have reached the API."""
        return self.stack.metric("headgate_admin_requests_total", self.stack.admin_address[0], 9072)

    def connections(self):
        return self.stack.metric("headgate_admin_connections", self.stack.admin_address[0], 9072)

    def events(self, name):
        return [e for e in map(json.loads, open(self.stack.log("admin1"), encoding="utf-8")) if e["event"] == name]


GET = "GET /api/v1/version HTTP/1.1\r\n"
POST = "POST /api/v1/lines HTTP/1.1\r\n"
BODY = "Content-Type: application/json\r\n"
SMUGGLED = "DELETE /api/v1/lines/1 HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = {
    "two lengths": POST + HOST + BODY + "Content-Length: 0\r\nContent-Length: 46\r\n\r\n",
    "two equal lengths": POST + HOST + BODY + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": POST + HOST + BODY + "Content-Length: 0, 0\r\n\r\n",
    "a signed length": POST + HOST + BODY + "Content-Length: +0\r\n\r\n",
    "blank before the colon": POST + HOST + BODY + "Content-Length : 0\r\n\r\n",
    "length and coding": POST + HOST + BODY + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + HOST + BODY + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "another coding": POST + HOST + BODY + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + HOST + BODY + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "coding in 1.0": POST.replace("1.1", "1.0") + HOST + BODY + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that ends in LF": POST + HOST + BODY + "Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk that is longer": POST + HOST + BODY + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    "two hosts": GET + HOST + "Host: y\r\n\r\n",
    "two equal hosts": GET + HOST + HOST + "\r\n",
    "no host": GET + "\r\n",
    "lines that end in LF": GET.replace("\r", "") + "Host: x\n\n",
    "one line that ends in LF": GET + "Host: x\nX: y\r\n\r\n",
    "a bare CR": GET + "Host: x\rX: y\r\n\r\n",
    "a folded line": GET + HOST + "X: a\r\n b\r\n\r\n",
    "NUL in the path": "GET /api/v1/%00version HTTP/1.1\r\n" + HOST + "\r\n",
    "slash in a segment": "GET /api/v1/lines%2F1 HTTP/1.1\r\n" + HOST + "\r\n",
    "dots": "GET /api/v1/../v1/version HTTP/1.1\r\n" + HOST + "\r\n",
    "encoded dots": "GET /api/v1/%2e%2E/version HTTP/1.1\r\n" + HOST + "\r\n",
    "absolute target": "GET http://x/api/v1/version HTTP/1.1\r\n" + HOST + "\r\n",
    "NUL in a field": GET + HOST + "X: a\0b\r\n\r\n",
    "two tokens": GET + HOST + "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two keys": POST + HOST + "Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 0\r\n\r\n",
    "two tags": GET + HOST + 'If-Match: "a"\r\nIf-Match: "b"\r\n\r\n',
}


class Smuggling(AdminTest):
    def test_each_is_refused_closed_and_what_follows_is_no_request(self):
        before = self.asked()
        for name, octets in REFUSED.items():
            with self.subTest(name):
                got = self.line().say(octets + SMUGGLED).all()
                self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
                self.assertEqual(got.count(b"HTTP/1.1 "), 1, got)
                head, body = got.decode().split("\r\n\r\n", 1)
                self.assertIn("\r\nContent-Type: application/problem+json\r\n", head)
                self.assertIn("\r\nConnection: close", head)
                problem = json.loads(body)
                self.assertEqual(problem["status"], 400)
                self.assertTrue(problem["type"].startswith("https://headgate.invalid/problems/"), problem)
        self.assertEqual(self.asked(), before)

    def test_over_the_unix_socket_too(self):
        got = Line(self.stack.path("admin.sock")).say(REFUSED["two lengths"] + SMUGGLED).all()
        self.assertTrue(got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1 ") == 1, got)

    def test_a_body_that_looks_like_a_request_is_a_body(self):
        before = self.asked()
        line = self.line().say(POST + HOST + BODY + f"Content-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}" + GET + HOST + "\r\n")
        line.answer()
        line.answer()
        self.assertEqual(self.asked(), before + 2)

    def test_too_long(self):
        for octets, status in ((f"GET /{'a' * 9000} HTTP/1.1\r\n{HOST}\r\n", 414), (GET + HOST + f"X: {'a' * 17000}\r\n\r\n", 431),
                               (GET + HOST + "X: a\r\n" * 101 + "\r\n", 431),
                               (POST + HOST + "Content-Length: 99999999\r\n\r\n", 413),
                               (GET + HOST + "Expect: tea\r\n\r\n", 417), (GET.replace("1.1", "2.0") + HOST + "\r\n", 505)):
            with self.subTest(status):
                got = self.line().say(octets).all()
                self.assertTrue(got.startswith(b"HTTP/1.1 %d " % status), got)

    def test_a_body_past_the_limit_is_not_read(self):
        line = self.line().say(POST + HOST + BODY + "Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(100):
                line.say(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        except OSError:
            pass  # closed before all of it was out
        self.assertIn(line.all()[:13], (b"HTTP/1.1 413 ", b""))
        wait_for("the refusal in the log", lambda: any(e["status"] == 413 for e in self.events("httpd.refused")))


class Crowds(AdminTest):
    settings = {"limits.connections": 12, "limits.per_source": 8, "limits.read_time": "1s", "limits.idle": "2s"}

    def setUp(self):
        wait_for("all connections to be gone", lambda: self.connections() == 0)

    def get(self):
        return self.line().say(GET + HOST + "Connection: close\r\n\r\n")

    def test_stalled_clients_cost_a_bounded_place_for_a_bounded_time(self):
        stalled = [self.line().say(text) for text in ("G", GET, GET + HOST, POST + HOST + "Content-Length: 9\r\n\r\nabc",
                                                      POST + HOST + "Transfer-Encoding: chunked\r\n\r\n9\r\nabc")]
        silent = [self.line(), self.line()]
        self.assertNotEqual(self.get().answer()[0], 503)  # one place of this source is left
        for line in stalled:
            self.assertEqual(line.answer()[0], 408)
        for line in silent:
            self.assertEqual(line.all(), b"")
        wait_for("their places to be free", lambda: self.connections() == 0)

    def test_one_octet_at_a_time_does_not_buy_time(self):
        line, began = self.line(), time.monotonic()
        for octet in GET + HOST + "X: " + "y" * 1000:
            try:
                line.say(octet)
            except OSError:
                break
            line.socket.settimeout(0.02)
            try:
                if not line.hear() or line.left:
                    break
            except TimeoutError:
                pass
        line.socket.settimeout(20)
        self.assertTrue(line.all().startswith(b"HTTP/1.1 408 "), line.left)
        self.assertLess(time.monotonic() - began, 20)

    def test_a_source_has_a_share_and_others_go_on(self):
        held = [self.line().say(GET + HOST + "\r\n") for _ in range(8)]
        for line in held:
            self.assertNotEqual(line.answer()[0], 503)
        status, head = self.get().answer()
        self.assertEqual(status, 503)
        self.assertIn("Retry-After", head)
        self.assertIn("application/problem+json", head)
        local = Line(self.stack.path("admin.sock")).say(GET + HOST + "Connection: close\r\n\r\n")
        self.assertNotEqual(local.answer()[0], 503)
        local.close()
        held.pop().close()
        wait_for("a place to be free", lambda: self.connections() == 7)
        self.assertNotEqual(self.get().answer()[0], 503)

    def test_a_flood_is_refused_and_forgotten(self):
        def one(_):
            try:
                line = Line(self.stack.admin_address)
                try:
                    line.say(GET + HOST + "Connection: close\r\n\r\n")
                    return line.answer()[0]
                finally:
                    line.close()
            except (OSError, Failed):
                return 0
        with concurrent.futures.ThreadPoolExecutor(60) as crowd:
            got = list(crowd.map(one, range(400)))
        self.assertGreater(sum(s not in (0, 503) for s in got), 8, got)
        wait_for("the flood to be over", lambda: self.connections() == 0)
        self.assertNotEqual(self.get().answer()[0], 503)
        threads = len(list(pathlib.Path(f"/proc/{self.stack.daemons['admin1'].process.pid}/task").iterdir()))
        self.assertLess(threads, 12 + 64 + 8 + 20)

    def test_one_that_does_not_read_is_dropped(self):
        line = self.line()
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.socket.settimeout(0.5)
        with self.assertRaises(OSError):  # it takes no more, or has dropped us already
            while True:
                line.say((GET + HOST + "\r\n") * 1000)
        wait_for("it to be dropped", lambda: self.connections() == 0)


class Authority:
    """An authority with its certificates and revocation list, as files of the stack."""

    def __init__(self, stack, name):
        self.stack = stack
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = stack.write(name + ".pem", self.pem(self.sign(self.name, self.key, [(x509.BasicConstraints(True, None), True)])))

    @staticmethod
    def pem(thing):
        return thing.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, subject, key, extensions, life=30 * DAY, age=DAY):
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - age).not_valid_after(now + life))
        for value, critical in extensions:
            made = made.add_extension(value, critical)
        return made.sign(self.key, hashes.SHA256())

    def issue(self, name, usage=ExtendedKeyUsageOID.CLIENT_AUTH, ip=None, file=None, **more):
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [(x509.ExtendedKeyUsage([usage]), False)]
        if ip:
            import ipaddress
            extensions.append((x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ip))]), False))
        cert = self.sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, extensions, **more)
        file = file or name
        self.stack.write(file + ".pem", self.pem(cert))
        path = pathlib.Path(self.stack.path(file + ".key"))
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return cert

    def revoke(self, *certs, life=DAY):
        now = datetime.datetime.utcnow()
        made = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now - DAY).next_update(now + life)
        for cert in certs:
            made = made.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(cert.serial_number)
                                                .revocation_date(now - DAY).build())
        return self.stack.write("clients.crl", self.pem(made.sign(self.key, hashes.SHA256())))


class Certificates(AdminTest):
    @classmethod
    def prepare(cls):
        cls.servers, cls.clients, cls.rogues = (Authority(cls.stack, n) for n in ("servers", "clients", "rogues"))
        cls.servers.issue("server", ExtendedKeyUsageOID.SERVER_AUTH, ip=cls.stack.admin_address[0])
        cls.certs = {"anna": cls.clients.issue("anna"), "bert": cls.clients.issue("bert"), "gone": cls.clients.issue("gone")}
        cls.rogues.issue("anna", file="rogue")
        cls.clients.issue("anna", ExtendedKeyUsageOID.SERVER_AUTH, file="serves")
        cls.clients.issue("anna", file="over", life=-DAY, age=3 * DAY)
        path = cls.stack.path
        cls.settings = {"tls.certificate": f'"{path("server.pem")}"', "tls.key": f'"{path("server.key")}"',
                        "tls.client_ca": f'"{cls.clients.file}"', "tls.client_crl": f'"{cls.clients.revoke(cls.certs["gone"])}"'}

    def context(self, client=None, authority=None):
        made = ssl.create_default_context(cafile=(authority or self.servers).file)
        if client:
            made.load_cert_chain(self.stack.path(client + ".pem"), self.stack.path(client + ".key"))
        return made

    def hup(self):
        before = len(self.events("admin.reloaded")) + len(self.events("admin.reload_failed"))
        self.stack.daemons["admin1"].signal(signal.SIGHUP)
        wait_for("the reload", lambda: len(self.events("admin.reloaded")) + len(self.events("admin.reload_failed")) > before)

    def served(self, line):
        return line.socket.getpeercert(True)

    def test_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            tls = self.context()
            tls.minimum_version = tls.maximum_version = version
            self.line(tls).say(GET + HOST + "\r\n").answer()
        for word in ("-tls1", "-tls1_1"):
            done = subprocess.run(["openssl", "s_client", word, "-cipher", "ALL:@SECLEVEL=0", "-connect",
                                   "%s:%d" % self.stack.admin_address], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=30, check=False)
            self.assertNotEqual(done.returncode, 0, word)
            self.assertIn("alert protocol version", done.stderr)

    def test_plain_is_no_way_in(self):
        got = self.line().say(GET + HOST + "\r\n").all()
        self.assertNotIn(b"HTTP/", got)

    def test_a_stalled_handshake_is_one_place_less(self):
        lines = [self.line() for _ in range(5)]
        self.line(self.context()).say(GET + HOST + "\r\n").answer()
        for line in lines:
            line.close()

    def test_smuggling_over_tls(self):
        got = self.line(self.context()).say(REFUSED["two lengths"] + SMUGGLED).all()
        self.assertTrue(got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1 ") == 1, got)

    def who(self, client=None, line=None):
        """What /me says: the name, or the status of a refusal."""
        line = line or self.line(self.context(client))
        status, _ = line.say("GET /api/v1/me HTTP/1.1\r\n" + HOST + "\r\n").answer()
        return json.loads(line.body)["name"] if status == 200 else status

    def test_only_a_certificate_that_verifies_is_somebody(self):
        for name in ("anna", "bert", "gone"):
            self.stack.api().post("/administrators", {"name": name, "roles": ["viewer"], "certificate": name})
        bert = self.line(self.context("bert"))
        self.assertEqual(self.who("anna"), "anna")
        self.assertEqual(self.who(line=bert), "bert")
        for stranger in (None, "rogue", "gone", "over", "serves"):
            with self.subTest(stranger):
                self.assertEqual(self.who(stranger), 401)
        self.clients.revoke(self.certs["gone"], self.certs["bert"])
        self.hup()
        self.assertEqual(self.who(line=bert), 401)  # the connection stands, as nobody's
        self.assertEqual(self.who("bert"), 401)
        self.assertEqual(self.who("anna"), "anna")
        self.clients.revoke(life=-DAY / 2)  # a list that has run out
        self.hup()
        self.assertEqual(self.who("anna"), 401)
        self.clients.revoke(self.certs["gone"])
        self.hup()
        self.assertEqual((self.who("anna"), self.who(line=bert)), ("anna", "bert"))

    def test_a_reload_exchanges_the_certificate_and_drops_nobody(self):
        old = self.line(self.context()).say(GET + HOST + "\r\n")
        old.answer()
        first = self.served(old)
        self.servers.issue("server", ExtendedKeyUsageOID.SERVER_AUTH, ip=self.stack.admin_address[0])
        self.hup()
        new = self.line(self.context()).say(GET + HOST + "\r\n")
        new.answer()
        self.assertNotEqual(self.served(new), first)
        old.say(GET + HOST + "\r\n").answer()
        os.chmod(self.stack.path("server.key"), 0o644)  # a key that others can read changes nothing
        self.hup()
        os.chmod(self.stack.path("server.key"), 0o600)
        self.assertIn("server.key", self.events("admin.reload_failed")[-1]["why"])
        newest = self.line(self.context()).say(GET + HOST + "\r\n")
        newest.answer()
        self.assertEqual(self.served(newest), self.served(new))
        old.say(GET + HOST + "\r\n").answer()


class TheEnd(AdminTest):
    def test_drain(self):
        idle = self.line().say(GET + HOST + "\r\n")
        idle.answer()
        begun = self.line().say(POST + HOST + BODY + "Content-Length: 2\r\n\r\n{")
        events = Line(self.stack.path("admin.sock")).say("GET /api/v1/calls/events HTTP/1.1\r\n" + HOST + "\r\n")
        events.answer()
        wait_for("all to be connected", lambda: self.connections() == 3)
        admin = self.stack.daemons.pop("admin1")
        admin.signal(signal.SIGTERM)
        self.assertEqual(idle.all(), b"")  # closed, although it could have asked again
        wait_for("nobody to be let in", self.is_shut)
        self.assertFalse(os.path.exists(self.stack.path("admin.sock")))
        self.assertTrue(events.all().endswith(b"0\r\n\r\n"), events.left)  # a whole end, at once
        _, head = begun.say("}").answer()
        self.assertIn("\r\nConnection: close", head)
        self.assertEqual(admin.process.wait(20), 0)
        self.assertEqual([e["limit_ms"] for e in self.events("admin.drain")], [30000])
        self.stack.start_admin()  # the socket's name is free again

    def is_shut(self):
        try:
            Line(self.stack.admin_address, seconds=5).close()
            return False
        except OSError:
            return not os.path.exists(self.stack.path("admin.sock"))

    def test_what_is_wrong_is_said(self):
        for settings, said in (({"admin.listen": '"0.0.0.0:8443"'}, "admin.listen"), ({"tls.key": '"x.key"'}, "tls.certificate"),
                               ({"health.listen": '"0.0.0.0:1"'}, "health.listen"), ({"log.level": "loud"}, "log.level"),
                               ({"redis.address": '"127.0.0.1:6379"', "keys.command": '""'}, "keys.command"), ({"admin.no_such": "1"}, "admin.no_such")):
            with self.subTest(said):
                config = self.stack.admin_config("wrong", settings=settings)
                done = subprocess.run([self.stack.bin / "headgate-admin", "--config", config, "--check-config"],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
                self.assertEqual(done.returncode, 78, done)
                self.assertIn(said.split(".")[1], done.stderr)
        good = [self.stack.bin / "headgate-admin", "--config", self.stack.admin_config("right")]
        self.assertEqual(subprocess.run(good + ["--check-config"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=20,
                                        check=False).returncode, 0)
        self.assertIn("limits:", subprocess.run(good + ["--print-config"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                                timeout=20, check=True).stdout)

    def test_it_is_ready_when_it_knows_who_may_what(self):
        ip, lost = self.stack.net + "5", '"host=/nowhere dbname=headgate user=hg_api connect_timeout=1"'
        config = self.stack.admin_config("admin2", ip, settings={"database.conninfo": lost})
        other = Daemon("admin2", [self.stack.bin / "headgate-admin", "--config", config], self.stack.log("admin2")).start()
        self.addCleanup(other.stop)
        self.assertEqual(wait_for("its health", lambda: self.health(ip)), (503, False, "down"))
        self.assertEqual(self.health(self.stack.admin_address[0]), (200, True, "up"))

    @staticmethod
    def health(ip):
        try:
            with urllib.request.urlopen(f"http://{ip}:9072/readyz", timeout=10) as answer:
                status, said = answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            status, said = refused.code, json.load(refused)
        except OSError:
            return None
        return status, said["ready"], said["postgres"]

    def test_two_do_not_share_a_socket(self):
        done = subprocess.run([self.stack.bin / "headgate-admin", "--config", self.stack.path("admin1.yaml")], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 78, done)
        self.assertIn("admin.listen", done.stderr)
