"""Enrolment under attack: connections that prove nothing, frames that break the protocol, other addresses, false provisioning servers."""
import datetime
import os
import pathlib
import re
import select
import signal
import socket
import struct
import time
import urllib.error
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hglib import wait_for
from macsip import MacBti
from stacked import Between, Keypad, StackTest, at_once, read_frames, ref

STEP_S = 4
HALF_OPEN, PER_SOURCE = 64, 8


def setup_sdp(ip, port=40000):
    return (f"v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/SAVP 0 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
            "m=application 9 TCP headgate\r\na=setup:active\r\na=connection:new\r\n").encode()


def yo(call_id=b"nobody@nowhere", **other):
    values = {"MODE": b"\1", "SUITES": b"\2\1", "CALL_ID": call_id, "RANDOM": os.urandom(32),
              "EPHEMERAL": ref.point_of(b"\1" * 32), **other}
    return ref.fields(**{k: v for k, v in values.items() if v is not None})


class Refused(StackTest):
    gc_settings = {"limits.unproven_per_source": "200"}
    ps_settings = {"control.step": f"{STEP_S}s", "control.max_half_open": str(HALF_OPEN), "control.per_source": str(PER_SOURCE)}

    @classmethod
    def prepare(cls, stack):
        cls.control = (stack.net + "2", 7611)

    def connect(self, ip):
        return self.closing(socket.create_connection(self.control, 5, source_address=(ip, 0)))

    def memory_kb(self):
        status = pathlib.Path(f"/proc/{self.stack.daemons['ps1'].process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def half_open(self):
        return self.ps("headgate_prov_half_open")

    def taken(self):
        return self.ps("headgate_prov_connections_total")

    def refused(self):
        return self.ps("headgate_prov_connections_refused_total")

    def line_for(self, number, digits=None):
        account = self.stack.ctl_json("account", "add", "Somebody")["account"]
        line = self.stack.ctl_json("line", "add", account, number, "--caller-id", "yes")["line"]
        return line, self.stack.quick_order(line, digits)

    # ---- connections
    def test_half_open_connections_are_bounded_in_number_memory_and_time(self):
        wait_for("no connection", lambda: self.half_open() == 0, 15)
        before, taken, refused = self.memory_kb(), self.taken(), self.refused()
        mine = [self.connect(f"{self.stack.net}{100 + i % 20}") for i in range(400)]
        # A body announced and not sent: room grows with what comes, not with what is announced.
        for s in mine:
            try:
                s.sendall(struct.pack(">BBH", 1, ref.YO, 16384) + b"x")
            except OSError:
                pass  # refused already
        # Counters: on a slow machine the first of them have met their timers before the last have come.
        wait_for("every connection to be taken or turned away",
                 lambda: self.taken() - taken + self.refused() - refused >= len(mine), 30)
        self.assertGreaterEqual(self.taken() - taken, HALF_OPEN)
        self.assertLessEqual(self.half_open(), HALF_OPEN)
        self.assertLess(self.memory_kb() - before, 4096)
        one = [s for s in mine if self.still_open(s)]
        self.assertLessEqual(len(one), HALF_OPEN)
        for source in {s.getsockname()[0] for s in one}:
            self.assertLessEqual(sum(s.getsockname()[0] == source for s in one), PER_SOURCE)

        def drip():  # an octet now and then is no progress
            for s in one:
                try:
                    s.send(b"x")
                except OSError:
                    pass
            return self.half_open() == 0
        wait_for("the timers to close them all", drip, STEP_S + 5)
        wait_for("them to be closed", lambda: not any(self.still_open(s) for s in one), 5)
        # And whoever is honest is served again.
        _, order = self.line_for("+12125550301")
        self.assertEqual(self.stack.bti("after", self.stack.net + "30").enroll(order).returncode, 0)

    @staticmethod
    def still_open(s):
        s.setblocking(False)
        try:
            return s.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    # ---- frames
    def test_broken_frames_get_their_code(self):
        point = bytearray(ref.point_of(b"\1" * 32))
        point[40] ^= 1
        good = yo()
        cases = {
            "version": (b"\2" + ref.frame(ref.YO, good)[1:], ref.MALFORMED),
            "too long by its head": (struct.pack(">BBH", 1, ref.YO, 16385), ref.TOO_LONG),
            "KEYS first": (ref.frame(ref.KEYS, good), ref.ORDER),
            "unknown critical field": (ref.frame(ref.YO, good + struct.pack(">HH", 0x8000 + 200, 0)), ref.CRITICAL),
            "MODE 3": (ref.frame(ref.YO, yo(MODE=b"\3")), ref.MALFORMED),
            "no common suite": (ref.frame(ref.YO, yo(SUITES=b"\x09")), ref.SUITE),
            "octets left over": (ref.frame(ref.YO, good + b"\0"), ref.MALFORMED),
            "codes descend": (ref.frame(ref.YO, good[5:] + good[:5]), ref.MALFORMED),
            "RANDOM is missing": (ref.frame(ref.YO, yo(RANDOM=None)), ref.MALFORMED),
            "point not on the curve": (ref.frame(ref.YO, yo(EPHEMERAL=bytes(point))), ref.MALFORMED),
            "nobody's Call-ID": (ref.frame(ref.YO, good), ref.NO_CALL),
            "the same with an unknown field that may be skipped":
                (ref.frame(ref.YO, good + struct.pack(">HH", 200, 3) + b"abc"), ref.NO_CALL),
        }
        before = self.enrolments("protocol")
        for i, (name, (octets, code)) in enumerate(cases.items()):
            with self.subTest(frame=name):
                s = self.connect(f"{self.stack.net}{120 + i}")
                s.sendall(octets)
                frames, closed = read_frames(s, want=2)
                self.assertEqual(len(frames), 1, frames)
                self.assertTrue(closed, "every end is final")
                self.assertEqual(ref.read_error(ref.read_frame(frames[0], ref.ERROR)), code)
        self.grown(self.enrolments, "protocol", before, len(cases))
        # Cut short: no answer, and nothing is kept.
        s = self.connect(self.stack.net + "140")
        s.sendall(ref.frame(ref.YO, good)[:-1])
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(read_frames(s), ([], True))
        wait_for("it to be forgotten", lambda: self.half_open() == 0, STEP_S + 3)

    # ---- addresses
    def set_up(self, ip, sdp_ip=None, port=40000):
        """A SETUP by hand: (telephone, call, status of the first answer above 100)."""
        phone = self.closing(MacBti(None, None, None, "anonymous", self.stack.domain, (self.stack.gc_ip, 5060), ip))
        call = phone.invite(f"sip:611@{self.stack.domain}", setup_sdp(sdp_ip or ip, port))
        answer = phone.expect(lambda m: m.status and m.status > 100)
        return phone, call, answer and answer.status

    def test_control_channel_from_another_address(self):
        ip, thief_ip = self.stack.net + "150", self.stack.net + "151"
        _, call, status = self.set_up(ip)
        self.assertEqual(status, 183)
        call_id = call.request.call_id.encode()
        before = self.enrolments("address")
        thief = self.connect(thief_ip)
        thief.sendall(ref.frame(ref.YO, yo(call_id)))
        frames, closed = read_frames(thief, want=2)
        self.assertEqual((ref.read_error(ref.read_frame(frames[0], ref.ERROR)), closed), (10, True))
        self.grown(self.enrolments, "address", before, 1)
        honest = self.connect(ip)
        honest.sendall(ref.frame(ref.YO, yo(call_id)))
        self.assertEqual([f[1] for f in read_frames(honest)[0]], [ref.OFFER], "the thief has not spoilt the call")
        second = self.connect(ip)
        second.sendall(ref.frame(ref.YO, yo(call_id)))
        self.assertEqual(ref.read_error(ref.read_frame(read_frames(second)[0][0], ref.ERROR)), ref.NO_CALL, "one channel for a call")

    def test_setup_whose_audio_is_elsewhere(self):
        before = self.enrolments("address")
        self.assertEqual(self.set_up(self.stack.net + "152", self.stack.net + "153")[2], 403)
        self.grown(self.enrolments, "address", before, 1)

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.stack.daemons["ps1"].ready_url, timeout=2) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False

    def test_database_is_lost_between_setup_and_yo(self):
        ip = self.stack.net + "156"
        phone, call, status = self.set_up(ip)
        self.assertEqual(status, 183)
        os.kill(self.stack.pid_of("postgres"), signal.SIGQUIT)
        try:
            wait_for("the provisioning server to notice", lambda: not self.is_ready())
            control = self.connect(ip)
            control.sendall(ref.frame(ref.YO, yo(call.request.call_id.encode())))
            frames, closed = read_frames(control, want=2)
            self.assertEqual((ref.read_error(ref.read_frame(frames[0], ref.ERROR)), closed), (13, True))
            self.assertEqual(phone.final(call).status, 603, "its call ends with it")
        finally:
            self.stack.devstack("start")
            wait_for("the provisioning server to be ready again", self.is_ready, 20)
            self.stack.wait_ps_healthy()
        wait_for("nothing to be left of it", lambda: self.ps("headgate_prov_calls") == 0)

    def audio_socket(self, ip):
        s = self.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        s.settimeout(5)
        s.bind((ip, 0))
        return s

    def strange_audio(self, s, port, n):
        """Event packets that say "#", under a key of the attacker's own making."""
        for i in range(n):
            head = struct.pack(">BBHII", 0x80, 0x80 | 101, 1000 + i, 160 * i, 0x5eed)
            s.sendto(head + os.urandom(4) + os.urandom(16), (self.stack.net + "2", port))

    def audio_failures(self, reason):
        return self.ps(f'headgate_prov_auth_failures_total{{reason="{reason}"}}')

    def test_audio_from_another_address(self):
        _, order = self.line_for("+12125550302")
        bti = self.stack.bti("heard", self.stack.net + "31")
        pad = Keypad(bti)
        pad.asked()
        before = self.audio_failures("rtp_source")
        port = self.voice_port(bti.ip)
        self.strange_audio(self.audio_socket(self.stack.net + "154"), port, 7)
        self.strange_audio(self.audio_socket(bti.ip), port, 5)  # its port is known since its first good packet
        self.assertTrue(pad.type(order)["accepted"], "the user is heard all the same")
        self.assertEqual(pad.exit(), 0)
        self.grown(self.audio_failures, "rtp_source", before, 12)

    def test_audio_under_another_key(self):
        ip = self.stack.net + "155"
        audio = self.audio_socket(ip)
        phone, call, status = self.set_up(ip, port=audio.getsockname()[1])
        self.assertEqual(status, 183)
        control = self.connect(ip)
        root = pathlib.Path(self.stack.path("pki/root.pem")).read_text()
        bti = ref.BtiEnrol(ref.Octets(), (root, "ps1." + self.stack.domain, time.time_ns() // 1000), b"\2\1",
                           call.request.call_id.encode(), {"MAC_ADDR": bytes(6), "IP": socket.inet_aton(ip), "MODEL": b"",
                                                           "SOFTWARE": b""}, 1, b"\5" * 32)
        control.sendall(bti.yo())
        bti.offer(read_frames(control)[0][0])
        control.sendall(bti.make_keys())
        bti.proof(read_frames(control)[0][0])
        self.assertEqual(phone.final(call).status, 200)
        before = self.audio_failures("srtp")
        audio.recv(2000)  # the prompt: it listens
        self.strange_audio(audio, self.voice_port(ip), 9)
        while select.select([audio], [], [], 0)[0]:
            audio.recv(2000)
        for _ in range(4):  # the next of it: what came before has been looked at
            audio.recv(2000)
        control.sendall(bti.sealed(ref.ERROR_SEALED, "up", bti.up, ref.error_fields(ref.CRYPTO)))
        self.grown(self.audio_failures, "srtp", before, 9)

    def voice_port(self, ip):
        """Where the provisioning server takes the voice of the live call from this address."""
        calls = [c for c in self.stack.ctl_json("calls") if c["caller"].endswith(ip)]
        self.assertEqual(len(calls), 1, calls)
        ladder = self.stack.ctl_json("call", "show", calls[0]["id"])["ladder"]
        ack = [m["octets"] for m in ladder if m["text"].startswith("SIP/2.0 183")][0]
        return int(re.search(r"m=audio (\d+) RTP/SAVP", ack)[1])

    # ---- false provisioning servers
    def certificate(self, name):
        """(chain as DER, private scalar) of PKI files under pki/ or another folder."""
        cert = x509.load_pem_x509_certificate(pathlib.Path(self.stack.path(name + ".pem")).read_bytes())
        return [cert.public_bytes(serialization.Encoding.DER)], self.scalar(name)

    def scalar(self, name):
        key = serialization.load_pem_private_key(pathlib.Path(self.stack.path(name + ".key")).read_bytes(), None)
        return key.private_numbers().private_value.to_bytes(32, "big")

    def expired(self):
        """Our own provisioning server's certificate, signed anew by the real root with another validity."""
        leaf = x509.load_pem_x509_certificate(pathlib.Path(self.stack.path(f"pki/ps1.{self.stack.domain}.pem")).read_bytes())
        root_key = serialization.load_pem_private_key(pathlib.Path(self.stack.path("pki/root.key")).read_bytes(), None)
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(leaf.subject).issuer_name(leaf.issuer).public_key(leaf.public_key())
                .serial_number(leaf.serial_number + 1).not_valid_before(now - datetime.timedelta(days=8))
                .not_valid_after(now - datetime.timedelta(minutes=1)))
        for oid in ("2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17", "2.5.29.14", "2.5.29.35"):
            critical, value = ref.extensions(leaf).get(ref.oid_der(oid), (False, None))
            if value is not None:
                made = made.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical)
        der = made.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        return [der], self.scalar(f"pki/ps1.{self.stack.domain}")

    def impostors(self):
        s = self.stack
        s.ctl("pki", "init", s.path("rogue"), "--name", "Rogue Root")
        s.ctl("pki", "ps", s.path("rogue"), "ps1." + s.domain)
        s.ctl("pki", "gc", s.path("pki"), "gate." + s.domain)
        s.ctl("pki", "ps", s.path("pki"), "ps2." + s.domain)
        real = self.certificate(f"pki/ps1.{s.domain}")
        return {  # (chain, key it holds), further words, exit, frames that the BTI lets go
            "the real one": (real, [], 5, [ref.YO, ref.KEYS]),
            "another root": (self.certificate(f"rogue/ps1.{s.domain}"), [], 4, [ref.YO, ref.ERROR]),
            "expired": (self.expired(), [], 4, [ref.YO, ref.ERROR]),
            "a gate controller's certificate": (self.certificate(f"pki/gate.{s.domain}"), [], 4, [ref.YO, ref.ERROR]),
            "another name": (self.certificate(f"pki/ps2.{s.domain}"), ["--ps-name", "ps1." + s.domain], 4, [ref.YO, ref.ERROR]),
            "a stolen certificate without its key": ((real[0], b"\7" * 32), [], 5, [ref.YO, ref.KEYS]),
        }

    def test_false_provisioning_servers(self):
        line, order = self.line_for("+12125550303")
        cases = self.impostors()
        seen = at_once(*[lambda i=i, c=c: self.meet(i, c, order) for i, c in enumerate(cases.values())])
        for (name, (_, _, code, frames)), (done, sent, proved) in zip(cases.items(), seen):
            with self.subTest(impostor=name):
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                self.assertEqual([f[1] for f in sent[:2]], frames)
                self.assertEqual(proved, name == "the real one", "whether KEYS could be opened")
                if code == 4:
                    self.assertEqual(ref.read_error(ref.read_frame(sent[1], ref.ERROR)), ref.UNTRUSTED)
                    self.assertNotIn("keyed", done.stdout)
        self.assertEqual(self.stack.sql(f"SELECT count(*) FROM core.bti WHERE line_id = {line}"), "0")
        self.assertEqual(self.stack.sql(f"SELECT count(*) FROM prov.work_order WHERE line_id = {line} AND spent_at IS NULL"), "1")

    def meet(self, i, case, order):
        """A BTI enrols and meets this impostor on its control channel: (bti's end, frames it sent, whether KEYS was opened)."""
        (chain, scalar), words, _, _ = case
        sent, proved = [], []

        def serve(peer):
            end = None
            while True:
                frames, _ = read_frames(peer, 5)
                if not frames:
                    return
                sent.extend(frames)
                if frames[0][1] == ref.YO:
                    end = ref.PsEnrol(ref.Octets(), scalar, chain, AnyCall())
                    peer.sendall(end.yo(frames[0]))
                elif frames[0][1] == ref.KEYS:
                    try:
                        end.keys_frame(frames[0])
                        proved.append(True)
                    except ref.Refused:
                        peer.sendall(ref.frame(ref.PROOF, os.urandom(88)))
                    return
                else:
                    return
        bti = self.stack.bti(f"victim{i}", f"{self.stack.net}{160 + i}")
        net = Between(self.stack, bti.ip, f"{self.stack.net}{170 + i}", serve=serve)
        try:
            done = bti.enroll(order, None, net.gate, *words, check=False)
        finally:
            net.close()
        self.assertFalse(os.path.exists(bti.store) or os.path.exists(bti.store + ".pending"), "nothing is stored")
        return done, sent, bool(proved)


class AnyCall:
    def __contains__(self, call_id):
        return True
