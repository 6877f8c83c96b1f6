"""BTIs that mean no good: both ends of calls, each step at random; and enrolments that keep the protocol up to a point. What they send is
changed before it is sealed, so that the change is what the daemon has to deal with."""
import os
import pathlib
import re
import socket
import struct
import time

import headgate_ref as ref
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from macsip import Call, Dialog, MacBti, tag_of, uri_of
from mutate import BODIES, SDP, URIS, seal
from stacked import read_frames

DATAGRAM_MAX = 65507


class Rogue:
    """Two BTIs that play both ends of calls, each step at random. Every message may be changed before it is sealed."""

    def __init__(self, mutator, caller, callee, domain):
        self.m, self.domain = mutator, domain
        self.caller, self.callee = caller, callee
        self.calls, self.dialogs, self.heard = [], [], []  # [(BTI, Dialog)], [requests that came]
        self.sent = 0

    def send(self, bti, octets, p=0.5):
        """octets: without proof. p: how likely it is changed."""
        octets = seal(bti, self.m.message(octets) if self.m.chance(p) else octets)[:DATAGRAM_MAX]
        for _ in range(self.m.one((1, 1, 1, 1, 2, 5))):  # the same octets again: a retransmission
            bti.socket.sendto(octets, bti.gc)
            self.sent += 1

    # ---- the caller
    def invite(self):
        to = self.m.one([self.callee.number] * 8 + [self.caller.number, "+19999999999", f"sip:611@{self.domain}", f"sip:911@{self.domain}",
                                                   f"sip:{self.callee.number}@{self.domain};user=phone"])
        extra = [tuple(h.decode("latin-1").split(": ", 1)) for h in (b"Supported: 100rel",) if self.m.chance(0.3)]
        octets = self.caller.invite_message(to, self.m.one((SDP, b"", BODIES[0][1])), sealed=False, extra=extra)
        self.calls = self.calls[-30:] + [Call(octets)]
        self.send(self.caller, octets, 0.4)

    def register(self):
        bti = self.m.one((self.caller, self.callee))
        self.send(bti, bti.register_message(self.m.one((0, 60, 3600)), sealed=False), 0.7)

    def cancel(self):
        if self.calls:
            self.send(self.caller, self.caller.cancel_message(self.m.one(self.calls), sealed=False), 0.3)

    def page(self):
        bti = self.m.one((self.caller, self.callee))
        method = self.m.one(("OPTIONS", "MESSAGE", "INFO", "REFER", "SUBSCRIBE", "PUBLISH", "PRACK", "UPDATE", "BYE", "ACK"))
        uri = self.m.one([bti.aor(self.callee.number), f"sip:{self.domain}"] + [u.decode("latin-1") for u in URIS])
        self.send(bti, bti.request(method, uri, f"<{bti.aor()}>;tag=p", f"<{bti.aor()}>", bti.fresh(), 1, sealed=False), 0.5)

    # ---- within dialogs, from either side; early ones too
    def within(self):
        if not self.dialogs:
            return
        bti, d = self.m.one(self.dialogs)
        method = self.m.one(("BYE", "INVITE", "UPDATE", "INFO", "PRACK", "MESSAGE", "REFER", "ACK", "CANCEL", "OPTIONS"))
        d.cseq = self.m.one((d.cseq, d.cseq, d.cseq, d.cseq + 7, 0, 2 ** 31 - 3, d.cseq - 2))
        body = SDP if method in ("INVITE", "UPDATE") and self.m.chance(0.7) else b""
        extra = [("RAck", f"{self.m.one((1, 2, 2 ** 32 - 1))} {self.m.one((1, d.cseq))} INVITE")] if method == "PRACK" else []
        if 0 <= d.cseq + 1 < 2 ** 31:
            self.send(bti, bti.in_dialog_message(method, d, extra, body, sealed=False), 0.4)
        else:
            d.cseq = 1

    def ack_flood(self):
        for bti, d in self.dialogs[-3:]:
            for _ in range(self.m.one((1, 8))):
                self.send(bti, bti.request("ACK", d.target, d.local, d.remote, d.call_id, self.m.one((1, d.cseq, 77)),
                                           [("Route", r) for r in d.routes], contact=False, sealed=False), 0.2)

    # ---- the callee
    def answers(self, request):
        """Any row of answers to a request that came: provisional, distinct tags, final ones that contradict each other."""
        for _ in range(self.m.one((0, 1, 2, 3, 6))):
            status = self.m.one((100, 180, 180, 183, 199, 200, 200, 200, 202, 299, 300, 302, 380, 401, 404, 407, 408, 480, 481, 486, 487,
                                 491, 500, 503, 600, 603, 699))
            extra = [("RSeq", str(self.m.one((1, 2, 2 ** 32 - 1)))), ("Require", "100rel")] if self.m.chance(0.2) else []
            if 300 <= status < 400:
                extra.append(("Contact", f"<{self.m.one(URIS).decode('latin-1')}>"))
            octets = self.callee.response_message(request, status, "Whatever", self.m.one((None, "one", "two", self.callee.fresh())), extra,
                                                  SDP if self.m.chance(0.5) else b"", sealed=False)
            self.send(self.callee, octets, 0.3)
            if status < 300 and request.method == "INVITE" and request.get("contact"):
                try:
                    self.dialogs.append((self.callee, self.callee.dialog_of_incoming(request, octets)))
                except (AttributeError, IndexError, ValueError):
                    pass  # from a request of ours that was beyond reading

    def flood_of_2xx(self):
        """Distinct tags, to one INVITE that came: each would be a dialog of its own."""
        invites = [r for r in self.heard if r.method == "INVITE"]
        if invites:
            request = self.m.one(invites)
            for _ in range(self.m.one((3, 20, 40))):
                self.send(self.callee, self.callee.response_message(request, 200, "OK", body=SDP, sealed=False), 0.1)

    def unasked(self):
        """Answers to nothing, or to what somebody else was asked."""
        bti = self.m.one((self.caller, self.callee))
        if not self.heard and not self.calls:
            return
        request = self.m.one(self.heard[-20:] + [c.request for c in self.calls[-5:]])
        octets = bti.response_message(request, self.m.one((100, 180, 200, 481, 486, 603)), "Unasked", "u", sealed=False)
        octets = octets.replace(b"branch=", b"branch=" + self.m.one((b"", b"z9hG4bKnone")), 1)
        octets = octets.replace(request.method.encode() + b"\r\n", self.m.one((b"BYE", b"CANCEL", b"INVITE", b"REGISTER")) + b"\r\n", 1)
        self.send(bti, octets, 0.3)

    # ---- what comes back
    def listen(self):
        for bti in (self.caller, self.callee):
            for _ in range(200):
                try:
                    message = bti.receive(0)
                except (ValueError, IndexError, AttributeError, TypeError):
                    continue  # an answer to one that was beyond reading
                if message is None:
                    break
                try:
                    self.react(bti, message)
                except (ValueError, IndexError, AttributeError, TypeError, KeyError):
                    pass
            bti.unproven, bti.waiting = [], []
        self.dialogs, self.heard = self.dialogs[-60:], self.heard[-60:]

    def react(self, bti, message):
        if message.status is None:
            self.heard.append(message)
            if message.method not in ("ACK",) and self.m.chance(0.8):
                self.answers(message)
            return
        if message.cseq[1] != "INVITE" or bti is not self.caller:
            return
        if message.status < 300 and tag_of(message.get("to", "")):
            d = Dialog(message.get("from"), message.get("to"), message.call_id, uri_of(message.get("contact", f"sip:x@{self.domain}")),
                       message.all("record-route")[::-1], message.cseq[0])
            self.dialogs.append((self.caller, d))
            if message.status >= 200 and self.m.chance(0.7):
                self.send(bti, bti.request("ACK", d.target, d.local, d.remote, d.call_id, d.cseq, [("Route", r) for r in d.routes],
                                           contact=False, sealed=False), 0.3)
        elif message.status >= 300:
            call = next((c for c in self.calls if c.request.call_id == message.call_id), None)
            if call and self.m.chance(0.7):
                self.send(bti, bti.ack_message(call, message, sealed=False), 0.3)

    STEPS = (invite, invite, invite, invite, register, cancel, cancel, page, within, within, within, within, ack_flood,
             flood_of_2xx, unasked)

    def round(self):
        for _ in range(6):
            self.m.one(self.STEPS)(self)
            self.listen()


# ---- enrolments ----------------------------------------------------------------------------------------------------

SETUP = ("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/SAVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
         "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
         "m=application 9 TCP headgate\r\na=setup:active\r\na=connection:new\r\n")


def change_fields(m, body):
    """A row of fields with some of them dropped, doubled, out of order, of another length, of another content."""
    rows, at = [], 0
    while at + 4 <= len(body):
        code, n = struct.unpack(">HH", body[at:at + 4])
        rows.append((code, body[at + 4:at + 4 + n]))
        at += 4 + n
    for _ in range(m.one((1, 1, 2))):
        i = m.random.randrange(len(rows)) if rows else 0
        code, value = rows[i] if rows else (0x8001, b"")
        change = m.random.randrange(9)
        if change == 0:
            del rows[i:i + 1]
        elif change == 1:
            rows.insert(i, (code, value))
        elif change == 2:
            m.random.shuffle(rows)
        elif change == 3:
            rows[i:i + 1] = [(code, value[:m.random.randrange(len(value) + 1)])]
        elif change == 4:
            rows[i:i + 1] = [(code, value + m.random.randbytes(m.one((1, 16, 300))))]
        elif change == 5:
            rows[i:i + 1] = [(code, m.random.randbytes(len(value)))]
        elif change == 6:
            rows[i:i + 1] = [(code, m.one((b"\0", b"\xff")) * len(value))]
        elif change == 7:
            rows[i:i + 1] = [(code ^ m.one((0x8000, 1, 0x40)), value)]
        else:
            rows.append((m.one((0x8000 + 200, 200, 0xffff, 0)), b"more"))
    out = b"".join(struct.pack(">HH", code, len(value)) + value for code, value in rows)
    return out if m.chance(0.9) else m.octets(out + b"\r\n")[:len(out)]


class Srtp:
    """AEAD_AES_256_GCM (RFC 7714) towards the provisioning server."""

    def __init__(self, key, salt):
        self.key, self.salt = self.derive(key, salt, 0, 32), self.derive(key, salt, 2, 12)

    @staticmethod
    def derive(key, salt, label, n):
        x = bytearray(salt + b"\0\0\0\0")
        x[7] ^= label
        out = Cipher(algorithms.AES(key), modes.CTR(bytes(x))).encryptor()
        return out.update(bytes(n))

    def packet(self, head, body, roc=0):
        """head: the RTP header with what follows it in the clear."""
        ssrc, seq = head[8:12], head[2:4]
        nonce = bytes(a ^ b for a, b in zip(self.salt, b"\0\0" + ssrc + struct.pack(">I", roc) + seq))
        return head + ref.gcm_seal(self.key, nonce, head, body)


class Enrolling:
    """One enrolment by hand. change(stage, octets) -> octets: of the plaintexts before they are sealed, and of whole frames."""

    def __init__(self, stack, ip, change=None, k_u=None, kind=1):
        self.stack, self.ip = stack, ip
        self.change = change or (lambda stage, octets: octets)
        self.audio = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.audio.bind((ip, 0))
        self.phone = MacBti(None, None, None, "anonymous", stack.domain, (stack.gc_ip, 5060), ip)
        self.call = self.phone.invite(f"sip:611@{stack.domain}", SETUP.format(ip=ip, port=self.audio.getsockname()[1]).encode())
        ack = self.phone.expect(lambda m: m.status and m.status > 100)
        if ack is None or ack.status != 183:
            raise RuntimeError(f"SETUP: {ack}")
        self.voice = (stack.net + "2", int(re.search(rb"m=audio (\d+)", ack.body)[1]))
        self.control = socket.create_connection((stack.net + "2", 7611), 5, source_address=(ip, 0))
        root = pathlib.Path(stack.path("pki/root.pem")).read_text(encoding="ascii")
        self.trust = (root, "ps1." + stack.domain, time.time_ns() // 1000)
        self.bti = ref.BtiEnrol(ref.Octets(), self.trust, b"\2\1", self.call.request.call_id.encode(), {
            "MAC_ADDR": bytes(6), "IP": socket.inet_aton(ip), "MODEL": b"", "SOFTWARE": b""}, kind, k_u or os.urandom(31).rjust(32, b"\1"))
        self.seq, self.stamp, self.patience = 1, 100000, 5

    def close(self):
        for s in (self.control, self.audio, self.phone):
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, stage, octets):
        octets = self.change(stage, octets)
        try:
            self.control.sendall(octets)
        except OSError:
            pass  # closed already
        return octets

    def frames(self):
        return read_frames(self.control, self.patience)

    def offer(self):
        self.send("yo", self.bti.yo())
        self.bti.offer(self.frames()[0][0])

    def keys_frame(self):
        """KEYS as headgate_ref makes it, with its plaintexts open to change."""
        b, t = self.bti, self.bti.t["offer"]
        k, b.sk, b.ak, b.n0, ephemeral = (b.random.take(32) for _ in range(5))
        b.derive("wrap", t, k)
        b.derive("channel", t, b.sk)
        b.up, b.down = ref.channels(b.keys)
        enc, ct = ref.hpke_seal(b.suite, ephemeral, b.k_ps, ref.INFO_ENROL, t, self.change("k", k))
        wrapped = ref.gcm_seal(b.keys["wrap_key"], b.keys["wrap_iv"], t + b"\1\3", self.change("wrapped", b.sk + b.ak + b.n0))
        info = b.up.seal(t, ref.KEYS, self.change("info", ref.fields(**b.info)))
        body = ref.fields(HPKE_ENC=enc, HPKE_CT=ct, WRAPPED=wrapped, INFO_CT=info)
        octets = b.note(ref.KEYS, "up", ref.frame(ref.KEYS, self.change("keys body", body)))
        b.t["keys"] = b.transcript.value()
        b.derive("audio", b.t["keys"], b.ak)
        return octets

    def proof(self):
        self.offer()
        self.send("keys", self.keys_frame())
        self.bti.proof(self.frames()[0][0])
        self.srtp = Srtp(self.bti.keys["audio_up_key"], self.bti.keys["audio_up_salt"])
        answer = self.phone.final(self.call, 2 * self.patience)
        if answer is None or answer.status != 200:
            raise RuntimeError(f"the call was not answered: {answer}")
        self.audio.settimeout(self.patience)
        self.audio.recv(2000)  # the prompt: it listens

    def rtp(self, kind, stamp, body, ssrc=0x5eed, marker=False, first=0x80, more=b""):
        head = struct.pack(">BBHII", first, kind | (0x80 if marker else 0), self.seq & 0xffff, stamp & 0xffffffff, ssrc) + more
        self.audio.sendto(self.srtp.packet(head, body, self.seq >> 16), self.voice)
        self.seq += 1

    def dial(self, digits):
        for digit in digits:
            self.stamp += 2000
            for end, duration in ((0, 160), (0, 480), (0x80, 800), (0x80, 800), (0x80, 800)):
                self.rtp(101, self.stamp, struct.pack(">BBH", "0123456789*#".index(digit), end | 10, duration))

    def verdict(self, order):
        self.dial(order + "#")
        return self.bti.auth_result(self.frames()[0][0])

    def user_key(self):
        b = self.bti
        t, b.n2 = b.transcript.value(), b.random.take(32)
        plain = ref.fields(N1=b.n1, N2=b.n2, KEY_KIND=bytes([b.kind]), POSSESSION=ref.possession(b.kind, t, b.n1, b.n2, b.k_u),
                           USER_KEY=ref.point_of(b.k_u) if b.kind == 1 else b.k_u)
        octets = b.sealed(ref.USER_KEY, "up", b.up, self.change("user key fields", plain))
        b.t["user_key"] = b.transcript.value()
        b.derive("ltk", b.t["user_key"], b.sk)
        self.send("user key", octets)


class Asking(ref.BtiSession):
    """A session request whose fields are open to change before they are encrypted and signed."""

    def __init__(self, change, *args):
        super().__init__(*args)
        self.change = change

    def request(self):
        t, self.secret = self.t["offer"], self.random.take(32)
        asked = self.change("asked", ref.fields(BTI_ID=self.bti_id, SECRET=self.secret, TIME=struct.pack(">Q", self.trust[2]),
                                                COUNTER=struct.pack(">Q", self.counter), GATE_NAME=self.gate_name.encode()))
        if self.form == 1:
            enc, ct = ref.hpke_seal(self.suite, self.random.take(32), self.k_ps, ref.INFO_SESSION, t, asked)
            body = ref.fields(HPKE_ENC=enc, HPKE_CT=ct, FORM=b"\1")
        else:
            nonce = self.random.take(12)
            body = ref.fields(HPKE_CT=ref.gcm_seal(self.key[:16], nonce, t, asked), BTI_ID=self.bti_id, FORM=b"\2", NONCE=nonce)
        body = self.change("request", body)
        message = ref.REQUEST_PREFIX + t + body
        body += (ref.field("SIGNATURE", ref.ecdsa_sign(self.key, message)) if self.form == 1
                 else ref.field("MAC", ref.mac256(self.key[16:32], message)))
        octets = self.note(ref.SESSION_REQUEST, "up", ref.frame(ref.SESSION_REQUEST, body))
        ref.session_keys(self)
        return octets
