"""What the system tests share: a stack for a class, its counters, a telephone with keys, and a hostile network for enrolments."""
import os
import re
import select
import socket
import struct
import threading
import time
import unittest

import headgate_ref as ref
from hglib import TOP, Bti, Failed, Relay, Running, Stack, tail, wait_for
from macsip import MacBti, Redis, Session, inject

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"


class StackTest(unittest.TestCase):
    """One stack for the class. A daemon that ended without being told fails the test after which it was found."""
    gc_settings = ps_settings = None
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        try:
            cls.stack.up(*[s and {k: v.replace("{net}", cls.stack.net) for k, v in s.items()} for s in (cls.gc_settings, cls.ps_settings)])
            cls.prepare(cls.stack)
        except BaseException:
            cls.stack.down(keep=True)
            raise

    @classmethod
    def prepare(cls, stack):
        """Lines and BTIs that the class's tests share."""

    @classmethod
    def tearDownClass(cls):
        cls.stack.down(keep=os.environ.get("HEADGATE_KEEP", "") not in ("", "0"))

    def tearDown(self):
        for d in self.stack.daemons.values():
            self.assertIsNone(d.process.poll(), f"{d.name} ended by itself: {tail(d.log)}")

    # ---- counters: (name, how much it must have grown), seen from before
    def gc(self, name):
        return self.stack.metric(name)

    def ps(self, name):
        return self.stack.metric(name, self.stack.net + "2", 9071)

    def enrolments(self, outcome):
        return self.ps(f'headgate_prov_enrolments_total{{outcome="{outcome}"}}')

    def grown(self, read, name, before, by, seconds=10):
        wait_for(f"{name} to grow by {by} from {before:g}", lambda: read(name) >= before + by, seconds)
        self.assertEqual(read(name), before + by, name)

    def closing(self, thing):
        self.addCleanup(thing.close)
        return thing

    def stopping(self, running):
        self.addCleanup(running.stop)
        return running


def at_once(*jobs):
    """Runs callables at the same time; their results in order. The first failure is raised when all have ended."""
    results, failures = [None] * len(jobs), []

    def one(i, job):
        try:
            results[i] = job()
        except BaseException as why:  # pylint: disable=broad-except
            failures.append(why)
    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


def telephone(stack, number, ip, lifetime_s=3600, gc=None):
    """A line with a BTI that holds a session, without the enrolment: a MacBti with .line and .bti_id."""
    account = stack.ctl_json("account", "add", number)["account"]
    line = stack.ctl_json("line", "add", account, number, "--caller-id", "yes")["line"]
    bti_id = os.urandom(16)
    stack.sql(f"INSERT INTO core.bti (bti_id, line_id) VALUES ('\\x{bti_id.hex()}', {line})")
    phone = with_session(stack, line, bti_id, number, ip, lifetime_s, gc)
    wait_for("the gate controller to know the line", lambda: phone.transact(phone.invite_message("+19999999999"), 5).status == 404, 5)
    return phone


def with_session(stack, line, bti_id, number, ip, lifetime_s=3600, gc=None):
    """A fresh session of that BTI, given to the gate controllers as a provisioning server does it."""
    session = Session(int(line), bti_id, lifetime_s)
    redis = Redis(stack.redis.split(":", 1)[1])
    with open(stack.path("cluster.key"), "rb") as key:
        inject(redis, key.read(), session)
    redis.close()
    phone = MacBti(session.kid, session.mac_up, session.mac_down, number, stack.domain, gc or (stack.gc_ip, 5060), ip)
    phone.line, phone.bti_id, phone.session = str(line), bti_id, session
    wait_for("the session to arrive", lambda: session.kid.hex() in {s["kid"] for s in stack.ctl_json("sessions")}, 5)
    return phone


class Keypad:
    """An enrolment at a terminal: work orders are typed when they are asked for."""

    def __init__(self, bti, *words):
        self.main, other = os.openpty()
        argv = [w for w in bti.argv("enroll", *bti.enroll_argv("0", None, None, *words))]
        at = argv.index("--work-order-file")
        self.bti, self.typed = bti, 0
        self.run = Running(argv[:at] + argv[at + 2:] + ["--machine"], bti.stack.log(bti.name + ".enroll"), stdin=other)
        os.close(other)

    def asked(self, seconds=15):
        wait_for(f"{self.bti.name} to ask for a work order: {self.run.events[-3:]}", lambda: len(self.run.seen("enter")) > self.typed
                 or self.run.seen("eof"), seconds)
        if self.run.seen("eof"):
            raise Failed(f"{self.bti.name} did not ask: {self.run.events[-4:]}")

    def type(self, digits):
        """One try; returns its verdict event."""
        self.asked()
        self.typed += 1
        os.write(self.main, digits.encode() + b"\n")
        return wait_for("a verdict", lambda: len(self.run.seen("verdict")) >= self.typed and self.run.seen("verdict")[-1], 15)

    def exit(self):
        code = self.run.exit(20)
        os.close(self.main)
        return code


def cut_frames(octets):
    """Whole frames at the front, and what is left."""
    frames = []
    while len(octets) >= 4 and len(octets) >= 4 + struct.unpack(">H", octets[2:4])[0]:
        n = 4 + struct.unpack(">H", octets[2:4])[0]
        frames.append(octets[:n])
        octets = octets[n:]
    return frames, octets


class Between:
    """A hostile network around one BTI that enrols: SIP through a relay, and the control channel too, because the relay writes its
    own address into the SETUP_ACK. frame(octets, upward) -> octets to hand on, None to drop, Between.CUT to cut the connection.
    serve(socket): takes the BTI's control connection instead of the provisioning server."""
    CUT = object()

    def __init__(self, stack, bti_ip, ip, frame=None, serve=None):
        self.stack, self.bti_ip, self.ip = stack, bti_ip, ip
        self.frame = frame or (lambda octets, upward: octets)
        self.serve = serve
        self.frames = []  # (type, upward), as they came
        self.listener = socket.create_server((ip, 0))
        self.relay = Relay(ip, (stack.gc_ip, 5060), self.sip, source=bti_ip)
        self.gate = f"{ip}:5060"
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def sip(self, octets, upward):
        if upward or b"m=application " not in octets:
            return octets
        head, body = octets.split(b"\r\n\r\n", 1)
        body = re.sub(rb"(m=application )\d+( TCP \S+\r\nc=IN IP4 )[0-9.]+",
                      rb"\g<1>%d\g<2>%s" % (self.listener.getsockname()[1], self.ip.encode()), body)
        head = re.sub(rb"(?i)(Content-Length: *)\d+", rb"\g<1>%d" % len(body), head)
        return head + b"\r\n\r\n" + body

    def run(self):
        while not self.closing.is_set():
            if select.select([self.listener], [], [], 0.1)[0]:
                peer = self.listener.accept()[0]
                with peer:
                    try:
                        (self.serve or self.pump)(peer)
                    except (OSError, Failed):
                        pass

    def pump(self, bti):
        ps = socket.create_connection((self.stack.net + "2", 7611), 5, source_address=(self.bti_ip, 0))
        with ps:
            left = {bti: b"", ps: b""}
            open_ends = {bti, ps}
            while open_ends and not self.closing.is_set():
                for end in select.select(list(open_ends), [], [], 0.1)[0]:
                    got = end.recv(65536)
                    other = ps if end is bti else bti
                    if not got:
                        open_ends.discard(end)
                        other.shutdown(socket.SHUT_WR)
                        continue
                    frames, left[end] = cut_frames(left[end] + got)
                    for octets in frames:
                        self.frames.append((octets[1], end is bti))
                        octets = self.frame(octets, end is bti)
                        if octets is Between.CUT:
                            return
                        if octets is not None:
                            other.sendall(octets)

    def close(self):
        self.closing.set()
        self.thread.join(5)
        self.relay.close()
        self.listener.close()


def read_frames(sock, seconds=5, want=1):
    """Frames until `want` have come or the other end has closed: (frames, closed)."""
    end, octets = time.monotonic() + seconds, b""
    while time.monotonic() < end:
        frames, _ = cut_frames(octets)
        if len(frames) >= want:
            return frames, False
        sock.settimeout(max(0.01, end - time.monotonic()))
        try:
            got = sock.recv(65536)
        except socket.timeout:
            break
        except ConnectionResetError:
            got = b""
        if not got:
            return cut_frames(octets)[0], True
        octets += got
    return cut_frames(octets)[0], False


__all__ = ["SDP", "TOP", "Between", "Bti", "Failed", "Keypad", "Relay", "Running", "Stack", "StackTest", "at_once", "cut_frames",
           "read_frames", "ref", "telephone", "wait_for", "with_session"]
