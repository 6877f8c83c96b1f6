"""No key shows anywhere: not on the wire, not in a log, a database, Redis, an operator's screen or /proc; and a stranger's decoder
finds nothing wrong with what is on the wire. Needs tcpdump (with the right to capture) and tshark."""
import base64
import os
import pathlib
import re
import shutil
import struct
import subprocess
import unittest

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from capture import SIP_PORTS, Capture
from hglib import Failed, tail, wait_for
from macsip import Redis
from stacked import StackTest, at_once

ALICE, BOB = "+12125550101", "+12125550102"
STORE, SESSION = 1, 3  # kinds of file, bti/keyfile.h
HEAD, SUM = 38, 32
T_KIND, T_KEY, T_LTK, T_SESSION_KEYS = 1, 2, 10, 2
LOUD = ["--log-level", "debug"]


def keyfile_fields(path, kind):
    """{tag: value} of a key file without passphrase."""
    octets = pathlib.Path(path).read_bytes()
    if octets[:8] != b"HGBTI\1\0\0" or octets[8] != kind or octets[9] != 0:
        raise Failed(f"{path} is no open key file of kind {kind}")
    body, fields = octets[HEAD:-SUM], {}
    while body:
        tag, n = struct.unpack(">BH", body[:3])
        fields[tag], body = body[3:3 + n], body[3 + n:]
    return fields


def in_parts(octets, n):
    return [octets[i:i + n] for i in range(0, len(octets), n)]


def forms(key):
    """Raw, hex and base64, the latter also as a part of something longer: at any of the three positions in a group."""
    shown = {key, key.hex().encode(), key.hex().upper().encode()}
    for before in range(3):
        text = base64.b64encode(bytes(before) + key)
        inner = text[4 * (before > 0):len(text) // 4 * 4 - 4]  # whole groups of the key's own octets only
        shown |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return shown


def found_in(octets, secrets):
    return sorted(name for name, needles in secrets.items() if any(n in octets for n in needles))


class Secrets(StackTest):
    gc_settings = {"log.level": "debug"}  # all talk as much as they can

    @classmethod
    def prepare(cls, stack):
        server = stack.daemons["ps1"]
        server.stop()
        server.argv += LOUD
        server.start().ready()
        stack.wait_ps_healthy()
        cls.capture = Capture(stack)
        cls.screens = {}
        try:
            cls.phones, cls.orders = [], []
            for name, ip, number in (("alice", 11, ALICE), ("bob", 12, BOB)):
                line, order = stack.new_line(number, name)
                cls.phones.append(stack.bti(name, f"{stack.net}{ip}"))
                cls.phones[-1].line = line
                cls.orders.append(order)
            done = at_once(*[lambda p=p, o=o: p.enroll(o, None, None, *LOUD) for p, o in zip(cls.phones, cls.orders)])
            for phone, d in zip(cls.phones, done):
                cls.screens[f"bti enroll of {phone.name}"] = (d.stdout + d.stderr).encode()
            cls.calls = {transport: cls.one_call(stack, transport) for transport in ("tls", "udp")}
        finally:
            cls.capture.end()
        cls.secrets = cls.known_secrets(stack)

    @classmethod
    def one_call(cls, stack, transport):
        alice, bob = cls.phones
        ear = bob.listen("--transport", transport, "--audio", "tone", *LOUD)
        call = alice.call(BOB, "--transport", transport, "--audio", "tone", "--duration", "1", *LOUD)
        try:
            if call.exit() != 0:
                raise Failed(f"call over {transport}: {call.events[-3:]} {tail(call.log)}")
            ear.wait("ended")
        finally:
            ear.stop()
        for run, name in ((ear, "listen"), (call, "call")):
            cls.screens[f"bti {name} on {transport}"] = repr(run.events).encode()
        call_id = call.seen("answered")[0]["call_id"]
        told = wait_for("the call in the trace", lambda: [c for c in stack.ctl_json("calls", "--recent") if c["call_id"] == call_id], 5)
        return {"call_id": call_id, "id": told[0]["id"], "secured": call.seen("answered")[0]["secured"]}

    @classmethod
    def known_secrets(cls, stack):
        """{name: forms} of every key that a file of this stack holds, and of the work orders."""
        keys = {f"{n}.key": pathlib.Path(stack.path(n + ".key")).read_bytes() for n in ("cluster", "kek", "work_order")}
        for path in pathlib.Path(stack.path("pki")).glob("*.key"):
            scalar = load_pem_private_key(path.read_bytes(), None).private_numbers().private_value
            keys[f"pki/{path.name}"] = scalar.to_bytes(32, "big")
        for phone in cls.phones:
            fields = keyfile_fields(phone.store, STORE)
            if fields[T_KIND] not in (b"\1", b"\2"):
                raise Failed(f"{phone.store}: kind of key {fields[T_KIND]}")
            keys[f"{phone.name} K_U"] = fields[T_KEY]
            keys.update({f"{phone.name} LTK {i}": k for i, k in enumerate(in_parts(fields[T_LTK], 16))})
            for slot in sorted(pathlib.Path(stack.folder).glob(f"{phone.name}.bti.session-*")):
                if slot.suffix == ".lock":
                    continue
                kept = keyfile_fields(slot, SESSION)[T_SESSION_KEYS]
                keys.update({f"{slot.name} key {i}": k for i, k in enumerate(in_parts(kept, 32))})
        secrets = {name: forms(key) for name, key in keys.items()}
        secrets.update({f"work order {i}": {o.encode()} for i, o in enumerate(cls.orders)})
        return secrets

    def clean(self, where, octets, control):
        """control: a text that must be there, so that an empty or wrong haystack doesn't pass."""
        self.assertIn(control, octets, f"{where}: the search finds what is there")
        self.assertEqual(found_in(octets, self.secrets), [], where)

    # ---- the search itself
    def test_search_finds_every_key_in_its_own_file(self):
        kinds = {"cluster.key", "kek.key", "work_order.key", "alice K_U", "alice LTK 3", "bob K_U", "work order 1"}
        self.assertLessEqual(kinds, set(self.secrets))
        self.assertTrue([n for n in self.secrets if ".session-" in n], "session keys are searched for")
        self.assertTrue([n for n in self.secrets if n.startswith("pki/ps1.")], self.secrets.keys())
        self.assertEqual([len(o) for o in self.orders], [12, 12])
        self.assertGreaterEqual(min(len(f) for fs in self.secrets.values() for f in fs), 12, "nothing is found by chance")
        files = [p for p in pathlib.Path(self.stack.folder).iterdir() if p.is_file()]
        everything = b"".join(p.read_bytes() for p in files)
        self.assertEqual(sorted(set(self.secrets) - set(found_in(everything, self.secrets))),
                         sorted(n for n in self.secrets if n.startswith("pki/")), "the files that hold keys are right here")

    def test_search_finds_every_form(self):
        key = os.urandom(16)
        for n in range(3):
            for text in (key.hex(), key.hex().upper(), base64.b64encode(bytes(n) + key + b"\xff" * n).decode()):
                self.assertEqual(found_in(f"k={text};".encode(), {"it": forms(key)}), ["it"], text)
        self.assertEqual(found_in(base64.b64encode(os.urandom(600)) + os.urandom(600), {"it": forms(key)}), [])

    # ---- places
    def test_wire(self):
        self.assertRegex(tail(self.capture.log), r"\b0 packets dropped by kernel", "the capture is whole")
        self.clean("the wire", self.capture.octets(), self.calls["udp"]["call_id"].encode())

    def test_logs_and_what_the_programs_said(self):
        logs = sorted(pathlib.Path(self.stack.folder).rglob("*.log"))
        self.assertLessEqual({"gc1.log", "ps1.log", "alice.call.log"}, {p.name for p in logs})
        for path in logs:
            self.assertEqual(found_in(path.read_bytes(), self.secrets), [], path)
        for name, control in (("gc1", b'"level":"debug"'), ("ps1", b'"event":"prov.start"')):
            self.clean(f"log of {name}", pathlib.Path(self.stack.log(name)).read_bytes(), control)
        for name, octets in self.screens.items():
            self.clean(name, octets, b"event")

    def test_files_that_are_not_for_keys(self):
        """The snapshot, the spill, configurations; and PostgreSQL's own files, where a deleted row would linger."""
        self.stack.sql("CHECKPOINT", role="postgres" if self.role_exists("postgres") else "headgate")
        seen = 0
        for path in pathlib.Path(self.stack.folder).rglob("*"):
            meant = path.suffix in (".key", ".order", ".bti") or ".bti.session-" in path.name
            if meant or path.is_symlink() or not path.is_file():
                continue
            try:
                octets = path.read_bytes()
            except FileNotFoundError:  # PostgreSQL goes on working
                continue
            seen += 1
            self.assertEqual(found_in(octets, self.secrets), [], path)
        self.assertGreater(seen, 100)

    def role_exists(self, name):
        return self.stack.sql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{name}'") == "1"

    def test_database(self):
        tool = shutil.which("pg_dump") or "/usr/lib/postgresql/15/bin/pg_dump"
        done = subprocess.run([tool, "-h", str(self.stack.pg_host), "-U", "headgate", "-d", "headgate"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        bti_id = self.stack.sql("SELECT encode(bti_id, 'hex') FROM core.bti ORDER BY 1 LIMIT 1")
        self.assertEqual(len(bti_id), 32)
        self.clean("the database", done.stdout, bti_id.encode())

    def test_redis(self):
        redis = self.closing(Redis(self.stack.redis.split(":", 1)[1]))
        cursor, keys = b"0", set()
        while True:
            cursor, some = redis.command("SCAN", cursor, "COUNT", 1000)
            keys |= set(some)
            if cursor in (b"0", "0", 0):
                break
        self.assertGreaterEqual(sum(k.startswith(b"hg:sess:") for k in keys), 2, keys)
        kid = self.stack.ctl_json("sessions")[0]["kid"].encode()
        dump = []
        for key in sorted(keys):
            kind = redis.command("TYPE", key)
            read = {"string": ["GET"], "hash": ["HGETALL"], "set": ["SMEMBERS"], "list": ["LRANGE", 0, -1], "zset": ["ZRANGE", 0, -1]}
            words = read[kind.decode() if isinstance(kind, bytes) else kind]
            value = redis.command(words[0], key, *words[1:])
            self.assertTrue(value, key)
            dump += [key, *(value if isinstance(value, list) else [value])]
        self.clean("Redis", b"\n".join(dump), kid)

    def test_operators_screen(self):
        ctl = self.stack.ctl
        for transport, call in self.calls.items():
            for words in (["--ladder"], ["--ladder", "--octets"]):
                for machine in ([], ["-o", "json"]):
                    self.clean(f"call show {words} {machine} ({transport})",
                               ctl(*machine, "call", "show", call["id"], *words).encode(), b"INVITE")
        for words in (["calls", "--recent"], ["sessions"], ["registrations"], ["workorder", "list"], ["line", "list"]):
            for machine in ([], ["-o", "json"]):
                done = ctl(*machine, *words, check=False)
                self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
                self.clean(f"{words} {machine}", done.stdout.encode(), b"\n")

    def test_proc(self):
        for name in ("gc1", "ps1"):
            proc = pathlib.Path("/proc") / str(self.stack.daemons[name].process.pid)
            self.clean(f"command line of {name}", (proc / "cmdline").read_bytes(), f"{name}.yaml".encode())
            self.clean(f"environment of {name}", (proc / "environ").read_bytes(), b"PATH=")
            self.assertRegex((proc / "limits").read_text(), r"(?m)^Max core file size +0 +0 ", f"{name} leaves no core")

    # ---- media keys
    def test_media_keys_are_in_no_plain_packet(self):
        self.assertEqual((self.calls["tls"]["secured"], self.calls["udp"]["secured"]), (True, False))
        ladder = self.stack.ctl_json("call", "show", self.calls["tls"]["id"])["ladder"]
        self.assertEqual(sum("a=crypto" in m["octets"] for m in ladder), 4, "there were keys to be seen")
        packets = self.capture.packets()
        self.assertTrue([p for p in packets if self.calls["udp"]["call_id"].encode() in p and b"m=audio" in p])
        self.assertEqual([p for p in packets if self.calls["tls"]["call_id"].encode() in p], [], "all of that call is in TLS")
        self.assertEqual([p for p in packets if re.search(rb"(?i)a=crypto|inline:", p)], [])

    # ---- somebody else's decoder
    def test_a_stranger_decodes_it_all(self):
        ladder = self.stack.ctl_json("call", "show", self.calls["udp"]["id"])["ladder"]
        ports = sorted({p for m in ladder for p in re.findall(r"(?m)^m=audio (\d+) ", m["octets"])})
        self.assertEqual(len(ports), 2, "one on either side")
        rules = SIP_PORTS + [f"udp.port=={p},rtp" for p in ports]
        self.assertNotEqual(self.capture.tshark("_ws.malformed", "udp.port==5060,dns"), [], "it does complain of what is wrong")
        self.assertEqual(self.capture.tshark("_ws.malformed", *rules), [])
        sip = self.capture.tshark(f'sip.Call-ID == "{self.calls["udp"]["call_id"]}"', *rules)
        self.assertGreaterEqual(len(sip), 6, "INVITE to BYE's answer")
        self.assertGreater(len(self.capture.tshark("sip && udp.port == 5070", *rules)), 3, "the enrolments")
        for port in ports:
            self.assertGreater(len(self.capture.tshark(f"rtp && udp.srcport == {port}", *rules)), 20, port)
        self.assertEqual(self.capture.tshark(f"udp.port in {{{','.join(ports)}}} && !rtp && !rtcp && !icmp", *rules), [])


if __name__ == "__main__":
    unittest.main()
