"""Watching: metrics that promtool finds clean, HEPv3 that sngrep and tshark read, one call id through the logs of all daemons."""
import json
import pathlib
import socket
import struct
import subprocess
import threading
import urllib.request

from hglib import wait_for
from stacked import SDP, StackTest, telephone

CALLER, CALLEE = "+12125550101", "+12125550102"


class Collector:
    """What comes to a UDP port, handed on to another one as it is."""

    def __init__(self, address, onward):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(address)
        self.socket.settimeout(0.1)
        self.onward, self.got, self.closing = onward, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.closing.is_set():
            try:
                octets = self.socket.recv(65536)
            except (TimeoutError, ConnectionRefusedError):
                continue
            self.got.append(octets)
            self.socket.sendto(octets, self.onward)

    def close(self):
        self.closing.set()
        self.thread.join(5)
        self.socket.close()

    def of(self, call_id):
        return [c for c in map(chunks, list(self.got)) if c.get(17) == call_id.encode()]


def chunks(octets):
    """HEPv3 by its specification: {type: octets}."""
    assert octets[:4] == b"HEP3" and struct.unpack(">H", octets[4:6])[0] == len(octets), octets[:64]
    found, at = {}, 6
    while at < len(octets):
        vendor, kind, n = struct.unpack(">HHH", octets[at:at + 6])
        assert vendor == 0 and n >= 6 and at + n <= len(octets) and kind not in found, (kind, octets[at:])
        found[kind] = octets[at + 6:at + n]
        at += n
    return found


class Watching(StackTest):
    gc_settings = {"hep.collector": '"{net}7:9060"', "hep.agent": "77", "hep.key": '"open sesame"'}

    @classmethod
    def prepare(cls, stack):
        cls.collector = Collector((stack.net + "7", 9060), (stack.net + "7", 9061))
        cls.sngrep, cls.seen = cls.start_sngrep(stack)
        cls.a = stack.enrolled("alice", stack.net + "21", CALLER)
        cls.b = stack.enrolled("bob", stack.net + "22", CALLEE)

    @staticmethod
    def start_sngrep(stack):
        """It writes what it understands as SIP into a file, by itself."""
        path = stack.path("sngrep.pcap")
        child = subprocess.Popen(["sngrep", "-N", "-q", "-L", f"udp:{stack.net}7:9061", "-O", path], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        return child, path

    @classmethod
    def tearDownClass(cls):
        cls.sngrep.terminate()
        cls.sngrep.wait(10)
        cls.collector.close()
        super().tearDownClass()

    def log(self, name):
        return [json.loads(line) for line in open(self.stack.log(name), encoding="utf-8")]

    def enrolment(self):
        """The Call-ID of a 611 call that enrolled, by the provisioning server's word."""
        return [e for e in self.log("ps1") if e["event"] == "enrol.done"][0]["call_id"]

    def test_metrics_are_clean_by_promtool(self):
        for ip, port in ((self.stack.gc_ip, 9070), (self.stack.net + "2", 9071), (self.stack.gc_ip, 9072)):
            with self.subTest(port):
                with urllib.request.urlopen(f"http://{ip}:{port}/metrics", timeout=10) as answer:
                    text = answer.read()
                done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stdout + done.stderr), (0, b""))
                with urllib.request.urlopen(f"http://{ip}:{port}/livez", timeout=10) as answer:
                    self.assertEqual(answer.status, 200)

    def test_each_stage_is_measured(self):
        for stage in ("framer", "proof", "decision", "send"):
            with self.subTest(stage):
                count = self.gc(f'headgate_stage_seconds_count{{stage="{stage}"}}')
                self.assertGreater(count, 8)  # two enrolments
                self.assertGreaterEqual(self.gc(f'headgate_stage_seconds_bucket{{stage="{stage}",le="+Inf"}}'), count)

    def test_one_enrolment_through_all_logs(self):
        call_id = self.enrolment()
        setup = [e for e in self.log("gc1") if e["event"] == "call.setup" and e["call_id"] == call_id]
        self.assertEqual([e["route"] for e in setup], ["provisioning"])
        wait_for("its end in the log", lambda: any(e["event"] == "call.end" and e["call_id"] == call_id for e in self.log("gc1")))
        ps = [e["event"] for e in self.log("ps1") if e.get("call_id") == call_id]
        self.assertEqual(ps[0], "enrol.setup")
        self.assertIn("enrol.voice", ps)
        self.assertEqual(ps[-1], "enrol.done")
        shown = self.stack.api().get(f"/calls/{setup[0]['call']}")
        self.assertEqual(shown["call_id"], call_id)
        wait_for("the API's log to name it", lambda: any(e["event"] == "admin.request" and e["call_id"] == call_id and
                                                         e["operation"] == "getCall" for e in self.log("admin1")))
        self.assertGreater(len(self.collector.of(call_id)), 8)

    def test_every_message_of_a_call_as_hep(self):
        call_id = self.enrolment()
        wait_for("the call's end at the collector", lambda: any(c[15].startswith(b"SIP/2.0 200") and b" BYE\r\n" in c[15]
                                                                for c in self.collector.of(call_id)))
        # A ring for each worker: they may come out of their order, and say when it was.
        got = sorted(self.collector.of(call_id), key=lambda c: (c[9], c[10]))
        for c in got:
            self.assertEqual((c[1], c[2], c[11]), (b"\x02", b"\x11", b"\x01"))
            self.assertEqual((c[12], c[14], c[19]), (struct.pack(">I", 77), b"open sesame", b"gc1"))
            self.assertIn(socket.inet_aton(self.stack.gc_ip), (c[3], c[4]))
        texts = [c[15] for c in got]
        # In from the BTI and out to the provisioning server, answers the other way round.
        invites = [(socket.inet_ntoa(c[3]), socket.inet_ntoa(c[4])) for c in got if c[15].startswith(b"INVITE ")]
        self.assertEqual(invites[:2], [(self.stack.net + "21", self.stack.gc_ip), (self.stack.gc_ip, self.stack.net + "2")])
        self.assertTrue(any(t.startswith(b"SIP/2.0 200") and b" INVITE\r\n" in t for t in texts))
        # As many as the ladder has.
        ladder = self.stack.ctl_json("call", "show", next(e["call"] for e in self.log("gc1") if e["event"] == "call.setup" and
                                                          e["call_id"] == call_id))
        self.assertGreaterEqual(len(got), sum(bool(m.get("text")) for m in ladder["ladder"]))
        self.assertEqual(self.gc("headgate_hep_dropped_total"), 0)

    def test_keys_stay_here(self):
        key = b"d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
        phone = telephone(self.stack, "+12125550103", self.stack.net + "23")
        message = phone.invite_message("+19999999999", SDP + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + key + b"\r\n")
        self.assertEqual(phone.transact(message, 15).status, 404)
        wait_for("it at the collector", lambda: any(b"inline:***" in o for o in self.collector.got))
        self.assertFalse(any(key in o for o in self.collector.got))
        for octets in list(self.collector.got):
            for line in chunks(octets)[15].split(b"\r\n"):
                if b"inline:" in line:
                    self.assertRegex(line, rb"inline:\*+$")
                if b"mac=" in line:
                    self.assertNotRegex(line, rb'mac="?[0-9a-f]{16}')
        self.assertTrue(any(b'mac="****' in o or b"mac=****" in o for o in self.collector.got), "no message with a MAC")

    def test_sngrep_reads_it(self):
        """What it wrote down is the call, by tshark's word: whose messages they are and between which addresses they went."""
        call_id = self.enrolment()
        wait_for("the call at the collector", lambda: len(self.collector.of(call_id)) > 8)
        wait_for("sngrep to have written the call down", lambda: self.written().count(call_id.encode()) >= len(self.collector.of(call_id)))
        done = subprocess.run(["tshark", "-r", self.seen, "-d", "udp.port==5070,sip", "-Y", f'sip.Call-ID == "{call_id}"', "-T", "fields",
                               "-e", "ip.src", "-e", "ip.dst", "-e", "sip.Method", "-e", "_ws.malformed"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        rows = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
        self.assertIn((self.stack.net + "21", self.stack.gc_ip, "INVITE", ""), rows, done)
        self.assertIn((self.stack.gc_ip, self.stack.net + "2", "INVITE", ""), rows, done)
        self.assertEqual(len(rows), len(self.collector.of(call_id)))

    def written(self):
        path = pathlib.Path(self.seen)
        return path.read_bytes() if path.exists() else b""
