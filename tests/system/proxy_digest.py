"""Standard phones with Digest credentials (RFC 8760) against the real daemon: registered, called and calling, with BTIs and with each
other, at two gate controllers; what the operator gives and takes; what a session gives."""
import hashlib
import json
import os
import pathlib
import re
import socket
import ssl
import time

import headgate_ref as ref
from hglib import Failed, Stack, wait_for
from macsip import MacBti, Message
from proxy_tls import Authority
from stacked import SDP, StackTest, telephone

ALICE, BOB, CAROL = "+12125550101", "+12125550102", "+12125550103"
HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


class Phone(MacBti):
    """Answers challenges of one algorithm; .nonce is the last one given, used again with the next nonce count."""

    def __init__(self, number, domain, gc, local, user, password, algorithm="SHA-256", qop="auth"):
        super().__init__(None, None, None, number, domain, gc, local)
        self.user, self.password, self.algorithm, self.qop = user, password, algorithm, qop
        self.nonce, self.nc, self.stale = None, 0, False

    def digest(self, method, uri, body):
        def h(*parts):
            return HASHES[self.algorithm](b":".join(parts)).hexdigest().encode()
        nc, cnonce = b"%08x" % self.nc, os.urandom(8).hex().encode()
        what = [method.encode(), uri.encode()] + ([h(body)] if self.qop == "auth-int" else [])
        response = h(h(self.user.encode(), self.domain.encode(), self.password.encode()), self.nonce.encode(), nc, cnonce,
                     self.qop.encode(), h(*what))
        return (f'Digest username="{self.user}", realm="{self.domain}", nonce="{self.nonce}", uri="{uri}", '
                f'response="{response.decode()}", algorithm={self.algorithm}, cnonce="{cnonce.decode()}", qop={self.qop}, '
                f'nc={nc.decode()}')

    def seal(self, first, headers, body=b"", body_type=None, sealed=True, **kw):
        method, uri = first.split(" ")[:2]
        if sealed and self.nonce and method not in ("SIP/2.0", "ACK", "CANCEL"):
            self.nc += 1
            name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
            headers = headers + [(name, self.digest(method, uri, body))]
        return super().seal(first, headers, body, body_type, **kw)

    def learn(self, challenge):
        name = "www-authenticate" if challenge.status == 401 else "proxy-authenticate"
        mine = [v for v in challenge.all(name) if v.startswith("Digest ") and f"algorithm={self.algorithm}," in v]
        if not mine:
            return False
        self.nonce, self.nc = re.search(r'nonce="([^"]+)"', mine[0])[1], 0
        self.stale = mine[0].endswith("stale=true")
        return True

    def ask(self, build):
        """The answer to build(), asked again once after a challenge."""
        answer = self.transact(build())
        return self.transact(build()) if answer.status in (401, 407) and self.learn(answer) else answer

    def elsewhere(self):
        """Another Call-ID, so maybe another worker."""
        self.reg_call_id = self.fresh()
        return self

    def enter(self, expires=3600):
        return self.ask(lambda: self.register_message(expires))

    def place(self, to, sdp=SDP):
        """An INVITE that was not challenged any more. (A worker may know a credential a tick later than another.)"""
        for _ in range(4):
            call = self.invite(to, sdp)
            first = self.expect_response(call.request, final=False)
            if first is None or first.status != 407:
                return call
            self.send(self.ack_message(call, first))
            self.learn(first)
        raise Failed(f"{self.user} is challenged for ever")

    def leave(self, dialog):
        return self.ask(lambda: self.bye_message(dialog))


class StreamPhone(Phone):
    """Over TCP, or over TLS with that context, on one connection that stays."""

    def __init__(self, number, domain, gc, local, user, password, tls=None, **kw):
        super().__init__(number, domain, gc, local, user, password, **kw)
        self.socket.close()
        self.transport, self.octets = "TLS" if tls else "TCP", b""
        self.socket = socket.create_connection(gc, 10, source_address=(local, 0))
        self.socket = tls.wrap_socket(self.socket, server_hostname=domain) if tls else self.socket
        self.host_port = "%s:%d" % self.socket.getsockname()[:2]
        self.contact = f"<sip:{number}@{self.host_port};transport={self.transport.lower()}>"

    def via(self, branch=None):
        return super().via(branch).replace("/UDP", "/" + self.transport)

    def send(self, octets):
        self.socket.sendall(octets)
        return Message(octets)

    def receive(self, timeout=2.0):
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            head, found, rest = self.octets.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?im)^Content-Length: *(\d+)", head)[1]) if found else 0
            if found and len(rest) >= length:
                self.octets = rest[length:]
                message = Message(head + found + rest[:length])
                message.repeat = False
                return message
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(65536)
            except (socket.timeout, ssl.SSLWantReadError):
                return None
            if not got:
                return None
            self.octets += got
        return None


class PhoneTest(StackTest):
    numbers = (ALICE, BOB, CAROL)

    @classmethod
    def prepare(cls, stack):
        cls.line = {}
        for number in cls.numbers:
            account = stack.ctl_json("account", "add", number)["account"]
            cls.line[number] = stack.ctl_json("line", "add", account, number, "--caller-id", "yes")["line"]
        cls.last = 20

    def phone(self, user, number, *words, algorithm="SHA-256", qop="auth", gc=None, password=None):
        if password is None:
            made = self.stack.ctl_json("--wait", "credential", "add", user, self.line[number], *words)
            self.assertEqual(made["realm"], self.stack.domain)
            password = made["password"]
        type(self).last += 1
        p = self.closing(Phone(number, self.stack.domain, gc or (self.stack.gc_ip, 5060), f"{self.stack.net}{self.last}", user,
                               password, algorithm, qop))
        wait_for("every worker to know the credential", lambda: all(p.elsewhere().enter().status == 200 for _ in range(6)), 10)
        self.addCleanup(p.enter, 0)
        return p

    def ring(self, caller, called, to):
        """A call that is answered and acknowledged; both dialogs."""
        call = caller.place(to) if isinstance(caller, Phone) else caller.invite(to, SDP)
        invite = called.expect_request("INVITE")
        self.assertIsNotNone(invite, f"{to} did not ring")
        theirs, _ = self.answered(caller, called, call, invite)
        return call.dialog, theirs, invite

    def answered(self, caller, called, call, invite):
        octets = called.response_message(invite, 200, "OK", body=SDP)
        called.send(octets)
        self.assertEqual(caller.final(call).status, 200)
        ack = called.expect(lambda m: m.method == "ACK" and m.status is None and m.call_id == invite.call_id)
        self.assertIsNotNone(ack, "no ACK")
        return called.dialog_of_incoming(invite, octets), ack

    def hang_up(self, who, dialog, other):
        """The BYE may be challenged first; the other end answers what reaches it."""
        octets = who.bye_message(dialog)
        who.send(octets)
        bye = other.expect_request("BYE")
        self.assertIsNotNone(bye)
        other.send(other.response_message(bye, 200, "OK"))
        self.assertEqual(who.expect_response(octets).status, 200)
        return bye


class Phones(PhoneTest):
    def test_with_each_other(self):
        def records():
            return sorted(c["caller"] for c in self.stack.ctl_json("cdr", "list") if {c["caller"], c["called"]} == {ALICE, BOB})
        before = records()
        alice, bob = self.phone("alice1", ALICE), self.phone("bob1", BOB, qop="auth-int")
        a, b, invite = self.ring(alice, bob, BOB)
        self.assertIn(ALICE, invite.get("p-asserted-identity"))
        self.assertEqual(invite.all("proxy-authorization"), [])
        self.hang_up(alice, a, bob)
        a, b, _ = self.ring(bob, alice, ALICE)
        # a re-INVITE and a BYE without credentials are asked for them
        bare = alice.in_dialog_message("INVITE", b, body=SDP, sealed=False)
        asked = alice.transact(bare)
        self.assertEqual(asked.status, 407)
        self.assertTrue(alice.learn(asked))
        self.hang_up(alice, b, bob)
        wait_for("a record of each call", lambda: records() == sorted(before + [ALICE, BOB]))

    def test_with_a_bti(self):
        carol, bti = self.phone("carol1", CAROL), self.closing(telephone(self.stack, "+12125550104", self.stack.net + "11"))
        self.assertEqual(bti.register().status, 200)
        mine, theirs, invite = self.ring(carol, bti, "+12125550104")
        self.assertTrue(invite.proven, "towards a BTI everything is sealed")
        self.hang_up(bti, theirs, carol)
        mine, theirs, invite = self.ring(bti, carol, CAROL)
        self.assertEqual(invite.all("authorization"), [], "towards a phone nothing is")
        self.hang_up(carol, theirs, bti)

    def test_cancel(self):
        alice, bob = self.phone("alice2", ALICE), self.phone("bob2", BOB)
        call = alice.place(BOB)
        invite = bob.expect_request("INVITE")
        bob.send(bob.response_message(invite, 180, "Ringing"))
        self.assertEqual(alice.expect_response(call.request, final=False).status // 100, 1)
        self.assertEqual(alice.transact(alice.cancel_message(call)).status, 200)
        cancel = bob.expect_request("CANCEL")
        bob.send(bob.response_message(cancel, 200, "OK"))
        bob.send(bob.response_message(invite, 487, "Request Terminated"))
        self.assertEqual(alice.final(call).status, 487)

    def test_identity_is_that_of_the_line(self):
        alice = self.phone("alice3", ALICE)
        self.assertEqual(alice.final(alice.invite(BOB, SDP, from_number=BOB)).status, 403)

    def test_nonce_counts(self):
        alice = self.phone("alice4", ALICE)
        nonce, nc = alice.nonce, alice.nc
        alice.nc = nc - 1  # a count that was used, for another request
        answer = alice.transact(alice.register_message())
        self.assertEqual(answer.status, 401)
        self.assertTrue(alice.learn(answer) and alice.stale)
        alice.nonce, alice.nc = nonce, nc  # the next of the old nonce is still good
        self.assertEqual(alice.transact(alice.register_message()).status, 200)
        alice.nonce = alice.nonce[:-1] + ("0" if alice.nonce[-1] != "0" else "1")
        answer = alice.transact(alice.register_message())
        self.assertTrue(answer.status == 401 and alice.learn(answer) and alice.stale)

    def test_altered_on_the_way(self):
        alice, bob = self.phone("alice5", ALICE, qop="auth-int"), self.phone("bob5", BOB)
        octets = alice.invite_message(BOB, SDP).replace(b"m=audio 40000", b"m=audio 40001")
        before = self.gc('headgate_auth_failures_total{reason="bad_digest"}')
        self.assertEqual(alice.transact(octets).status, 407)
        self.assertEqual(self.gc('headgate_auth_failures_total{reason="bad_digest"}'), before + 1)
        self.assertIsNone(bob.expect_request("INVITE", 0.3))

    def test_md5_is_off(self):
        made = self.stack.ctl_json("--wait", "credential", "add", "old1", self.line[ALICE], "--algorithm", "both")
        p = self.closing(Phone(ALICE, self.stack.domain, (self.stack.gc_ip, 5060), self.stack.net + "17", "old1", made["password"], "MD5"))
        answer = p.transact(p.register_message())
        self.assertEqual([a.split(" ")[0] for a in answer.all("www-authenticate")], ["Digest"])
        self.assertFalse(p.learn(answer), "no MD5 is offered")

    def test_taken_away(self):
        alice, bob = self.phone("alice6", ALICE), self.phone("bob6", BOB)
        a, b, _ = self.ring(alice, bob, BOB)
        self.stack.ctl("credential", "disable", "alice6")
        self.assertIsNotNone(bob.expect_request("BYE", 10), "its call ends")
        wait_for("its registration to go", lambda: "alice6" not in {r["phone"] for r in self.stack.ctl_json("registrations")}, 10)
        self.assertEqual(alice.enter().status, 401)
        self.stack.ctl("credential", "enable", "alice6")
        wait_for("it to be let in again", lambda: alice.enter().status == 200, 10)
        self.stack.ctl("credential", "remove", "alice6")
        wait_for("it to be shut out", lambda: alice.enter().status == 401, 10)
        self.assertNotIn("alice6", self.stack.ctl("credential", "list"))

    def test_of_a_session(self):
        bti = self.closing(telephone(self.stack, "+12125550105", self.stack.net + "12"))
        password = ref.digest_password(bti.session.keys[5])
        ata = self.closing(Phone("+12125550105", self.stack.domain, (self.stack.gc_ip, 5060), self.stack.net + "13", bti.kid.hex(),
                                 password))
        self.assertEqual(ata.enter().status, 200)
        self.assertEqual(bti.register().status, 200)
        alice = self.phone("alice7", ALICE)
        call = alice.place("+12125550105")
        self.assertTrue(bti.expect_request("INVITE").proven)
        invite = ata.expect_request("INVITE")
        self.assertIsNotNone(invite, "both ring")
        _, ack = self.answered(alice, ata, call, invite)
        self.stack.ctl("bti", "revoke", bti.bti_id.hex())
        self.assertIsNotNone(alice.expect_request("BYE", 10), "it ends with the BTI")
        self.assertEqual(ata.enter().status, 401)

    def test_bti_credentials(self):
        """What the program prints lets an ATA in, beside the BTI itself."""
        bti = self.stack.enrolled("house", self.stack.net + "14", "+12125550106")
        said = json.loads(bti.run("credentials", "-o", "json", machine=False).stdout)
        self.assertEqual((said["realm"], said["number"]), (self.stack.domain, "+12125550106"))
        self.assertIn(f"{self.stack.gc_ip}:5060", said["proxies"])
        self.assertNotIn(said["password"], pathlib.Path(self.stack.log("gc1")).read_text(encoding="utf-8"))
        ata = self.closing(Phone(said["number"], said["realm"], (self.stack.gc_ip, 5060), self.stack.net + "15", said["username"],
                                 said["password"]))
        self.assertEqual(ata.enter().status, 200)
        ata.password = ata.password[:-1] + ("0" if ata.password[-1] != "0" else "1")
        self.assertEqual(ata.enter().status, 401)

    def test_no_secret_lies_about(self):
        alice = self.phone("alice8", ALICE)
        ha1 = hashlib.sha256(f"alice8:{self.stack.domain}:{alice.password}".encode()).digest()
        rows = self.stack.sql("SELECT encode(ha1_sealed, 'hex') FROM core.credential WHERE username = 'alice8'")
        self.assertNotIn(ha1.hex(), rows)
        wait_for("the snapshot file", lambda: b"alice8" in pathlib.Path(self.stack.path("gc1.snapshot")).read_bytes(), 40)
        for path in (self.stack.path("gc1.snapshot"), self.stack.log("gc1")):
            octets = pathlib.Path(path).read_bytes()
            for secret in (ha1, ha1.hex().encode(), alice.password.encode()):
                self.assertNotIn(secret, octets, path)

    def test_password_of_the_operator(self):
        path = pathlib.Path(self.stack.path("password"))
        path.write_text("correct horse battery\n", encoding="utf-8")
        path.chmod(0o644)
        words = ("credential", "add", "alice9", self.line[ALICE], "--password-file", str(path))
        self.assertEqual(self.stack.ctl(*words, check=False).returncode, 64, "others could read it")
        path.chmod(0o600)
        said = self.stack.ctl("--wait", *words)
        self.assertNotIn("horse", said)
        self.phone("alice9", ALICE, password="correct horse battery")
        self.assertEqual(self.stack.ctl(*words, check=False).returncode, 1, "it is there already")


class OldPhones(PhoneTest):
    gc_settings = {"digest.md5": "true"}
    numbers = (ALICE,)

    def test_md5(self):
        p = self.phone("old", ALICE, "--algorithm", "both", algorithm="MD5")
        answer = p.transact(p.register_message(sealed=False))
        self.assertEqual([re.sub(r".*algorithm=([^,]+),.*", r"\1", a) for a in answer.all("www-authenticate")], ["SHA-256", "MD5"])


class Streams(PhoneTest):
    """The same over TCP and TLS, on connections that stay."""
    numbers = (ALICE, BOB)

    @classmethod
    def setUpClass(cls):
        cls.stack = stack = Stack()
        try:
            cls.ca = Authority(stack, "ca")
            certificate, key = cls.ca.issue("gate", stack.domain)[:2]
            stack.up({"tls.certificate": f'"{certificate}"', "tls.key": f'"{key}"'})
            cls.prepare(stack)
        except BaseException:
            stack.down(keep=True)
            raise

    def on_stream(self, user, number, tls, **kw):
        made = self.stack.ctl_json("--wait", "credential", "add", user, self.line[number])
        type(self).last += 1
        phone = self.closing(StreamPhone(number, self.stack.domain, (self.stack.gc_ip, 5061 if tls else 5060), f"{self.stack.net}{self.last}",
                                         user, made["password"], tls=ssl.create_default_context(cafile=self.ca.file) if tls else None, **kw))
        wait_for("every worker to know the credential", lambda: all(phone.elsewhere().enter().status == 200 for _ in range(6)), 10)
        self.addCleanup(phone.enter, 0)
        return phone

    def test_calls_both_ways(self):
        """Proof with auth-int over TCP, without over TLS; the requests inside of the calls are proven too."""
        alice, bob = self.on_stream("alice", ALICE, False, qop="auth-int"), self.on_stream("bob", BOB, True)
        self.assertEqual({r["number"]: r["transport"] for r in self.stack.ctl_json("registrations")}, {ALICE: "TCP", BOB: "TLS"})
        for caller, called, number in ((alice, bob, BOB), (bob, alice, ALICE)):
            mine, theirs, invite = self.ring(caller, called, number)
            self.assertIn(caller.number, invite.get("p-asserted-identity"))
            self.assertEqual(invite.all("proxy-authorization"), [])
            self.hang_up(called, theirs, caller)

    def test_proof_is_no_matter_of_connections(self):
        """A nonce given on one serves on another, its counts serve once, and without proof nothing goes: a connection proves nobody."""
        tcp, tls = self.on_stream("alice2", ALICE, False), self.on_stream("bob2", BOB, True)
        for phone in (tcp, tls):
            with self.subTest(over=phone.transport):
                answer = phone.transact(phone.register_message(sealed=False))
                self.assertEqual((answer.status, phone.learn(answer)), (401, True))
                self.assertEqual(phone.transact(phone.register_message()).status, 200)
                phone.nc -= 1
                answer = phone.transact(phone.register_message())
                self.assertTrue(answer.status == 401 and phone.learn(answer) and phone.stale)
                call = phone.transact(phone.seal(f"MESSAGE sip:{ALICE}@{self.stack.domain} SIP/2.0", [
                    ("Via", phone.via()), ("Max-Forwards", "70"), ("From", f"<sip:{phone.number}@{self.stack.domain}>;tag=x"),
                    ("To", f"<sip:{ALICE}@{self.stack.domain}>"), ("Call-ID", phone.fresh()), ("CSeq", "1 MESSAGE")], sealed=False))
                self.assertEqual(call.status, 407)
        tls.nonce, tls.nc = tcp.nonce, 10
        self.assertEqual(tls.transact(tls.register_message()).status, 200)


class TwoGates(PhoneTest):
    numbers = (ALICE,)

    @classmethod
    def prepare(cls, stack):
        super().prepare(stack)
        cls.second_ip = stack.net + "5"
        stack.start_gc("gc2", cls.second_ip)

    def test_a_nonce_of_the_other(self):
        alice = self.phone("alice", ALICE)
        moved = self.phone("alice", ALICE, gc=(self.second_ip, 5060), password=alice.password)
        moved.nonce, moved.nc = alice.nonce, alice.nc
        self.assertEqual(moved.transact(moved.register_message()).status, 200, "known at both")

