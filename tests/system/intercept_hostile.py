"""Agencies that mean no good, or whose machine is in a bad way, beside one that is served: nobody waits for them, and it shows. And a
disk that is full."""
import datetime
import os
import socket
import ssl
import struct
import subprocess
import threading
import unittest

import lilib
from hglib import wait_for
from lawful import LiTest
from stacked import at_once

ALICE, BOB = "+12125550101", "+12125550102"


def context(stack, name="cf.example", trusts="agencies", version=ssl.TLSVersion.TLSv1_3):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(stack.path(f"{name}.pem"), stack.path(f"{name}.key"))
    c.load_verify_locations(stack.path(f"{trusts}.pem"))
    c.verify_mode = ssl.CERT_REQUIRED
    c.maximum_version = version
    return c


class Peer:
    """A listener; each of its connections is given to behave(self, socket) in a thread of its own."""

    def __init__(self, address, behave, context=None, window=None):
        self.behave, self.context, self.met, self.got = behave, context, 0, b""
        self.over = threading.Event()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if window:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.listener.bind(address)
        self.listener.listen(64)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.over.is_set():
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.met += 1
            threading.Thread(target=self.meet, args=(s,), daemon=True).start()

    def meet(self, s):
        try:
            if self.context:
                s = self.context.wrap_socket(s, server_side=True)
            self.behave(self, s)
        except OSError:
            pass
        finally:
            s.close()

    def close(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


# ---- how they behave
def sleeps(peer, _):
    peer.over.wait()


def resets(_, s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def speaks_http(_, s):
    s.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 100)
    s.recv(1000)


def talks_without_end(peer, s):
    while not peer.over.is_set():
        s.sendall(b"\xff" * 16384)


def sips(peer, s):
    """An octet, and another one a second later."""
    while not peer.over.wait(1) and s.recv(1):
        pass


def asks(peer, s):
    """X2 requests that nobody makes of us: data, and a PDU that is longer than any."""
    head = struct.pack(">HHIIHH16sQ", 5, 1, 40, 0xFFFFFFFF if peer.met % 2 else 0, 9, 1, bytes(16), 0)
    s.sendall(head * 50)
    s.recv(1000)


def reads(peer, s):
    while octets := s.recv(65536):
        peer.got += octets


class Hostile(LiTest):
    @classmethod
    def start_li(cls):
        """The spools have a small file system of their own where that can be had."""
        os.mkdir(cls.stack.path("spool"), 0o700)
        cls.has_disk = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", cls.stack.path("spool")], capture_output=True).returncode == 0
        lilib.start(cls.stack, {"delivery.warn": "500ms", "delivery.late": "1s", "state.spool_bytes": 65536})

    @classmethod
    def down(cls):
        for p in cls.peers:
            p.close()
        for p in cls.tools:
            p.kill()
            p.wait()
        if "li" in cls.stack.daemons:
            cls.stack.daemons["li"].stop()
        if cls.has_disk:
            subprocess.run(["umount", cls.stack.path("spool")], check=False)
        super().down()

    @classmethod
    def prepare(cls, stack):
        cls.alice, cls.bob = at_once(*[lambda n=n, i=i, t=t: stack.enrolled(n, f"{stack.net}{i}", t)
                                       for n, i, t in (("alice", 11, ALICE), ("bob", 12, BOB))])
        cls.red = cls.agency("red", 22, x2=True)

    peers, tools, has_disk = [], [], False

    def talk(self):
        ear = self.stopping(self.bob.listen("--transport", "tls"))
        call = self.stopping(self.alice.call(BOB, "--duration", "1", "--transport", "tls"))
        self.assertEqual(call.exit(), 0)
        ear.wait("ended")
        ear.stop()

    def line_of(self, number):
        return int(self.stack.sql(f"SELECT line_id FROM core.number WHERE number = '{number}'"))

    def hostile(self, name, number, channel):
        """An order for an agency at that address, in force; its number."""
        form = {"name": name, "contact": "nobody", "cdc": {"address": f"{self.stack.net}{number}:9900", "tls_name": "cf.example"}}
        if channel == "x2":
            form["x2"] = {"address": f"{self.stack.net}{number}:9901", "tls_name": "cf.example"}
        agency = self.done("anna", "POST", "agencies", form)["agency"]
        order = self.done("anna", "POST", "orders", {**self.form(self.red, {"line": self.line_of(ALICE)}, case=name), "agency": agency})
        self.done("bert", "POST", f"orders/{order['order']}/approve", {})
        return order["order"]

    def place(self, order, channel="cdc"):
        return next((d for d in self.done("anna", "GET", "state")["deliveries"] if (d["order"], d["channel"]) == (order, channel)), None)

    def alarms(self, order, word, channel="cdc"):
        wait_for(f"{word} of order {order}", lambda: word in (self.place(order, channel) or {"alarms": []})["alarms"], 20)
        return self.place(order, channel)

    def events(self, event, **fields):
        with open(self.stack.log("li"), encoding="utf-8") as f:
            return [line for line in f if f'"event":"{event}"' in line and all(f'"{k}":"{v}"' in line for k, v in fields.items())]

    def server(self, number, *words, says):
        """openssl's, which does by command what no library of a script does."""
        p = subprocess.Popen(["openssl", "s_server", "-accept", f"{self.stack.net}{number}:9900", "-cert", self.stack.path("cf.example.pem"),
                              "-key", self.stack.path("cf.example.key"), "-CAfile", self.stack.path("agencies.pem"), "-Verify", "1", *words],
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.tools.append(p)

        def nag():
            pause = threading.Event()
            try:
                while p.poll() is None:
                    p.stdin.write(says)
                    p.stdin.flush()
                    pause.wait(0.05)
            except OSError:
                pass
        threading.Thread(target=nag, daemon=True).start()

    def test_nobody_waits_for_a_hostile_agency(self):
        plain, tls = None, context(self.stack)
        kinds = {"SLEEPS": (sleeps, tls, 2304), "SIPS": (sips, tls, 2304), "SILENT": (sleeps, plain, None), "RESETS": (resets, plain, None),
                 "HTTP": (speaks_http, plain, None), "TALKS": (talks_without_end, tls, None), "ASKS": (asks, tls, None),
                 "WRONG": (reads, context(self.stack, "anna", "agencies"), None), "STRICT": (reads, context(self.stack, trusts="officers"), None)}
        peers = {}
        for number, (name, (behave, c, window)) in enumerate(kinds.items(), 41):
            peers[name] = Peer((f"{self.stack.net}{number}", 9900), behave, c, window)
            self.peers.append(peers[name])
        for number in (46, 47):  # who talks does so on both channels
            self.peers.append(Peer((f"{self.stack.net}{number}", 9901), talks_without_end if number == 46 else asks, tls))
        self.server(51, "-tls1_2", says=b"R\n")
        self.server(52, "-tls1_3", says=b"K\n")
        numbers = {**{name: n for n, name in enumerate(kinds, 41)}, "RENEGOTIATES": 51, "NEWKEYS": 52}
        orders = {name: self.hostile(name, n, "x2" if n in (46, 47) else "cdc") for name, n in numbers.items()}
        order = self.order(self.red, {"line": self.line_of(ALICE)}, case="RED-1")
        wait_for("all of them to be delivered to", lambda: all(self.place(o) for o in orders.values()))
        before = self.memory()
        for count in (1, 2):
            self.talk()
            self.red.wait_for("Release", "RED-1", count)
        self.assertEqual(self.red.kinds("RED-1").count("CCOpen"), 2)
        self.assertTrue(self.alarms(orders["SLEEPS"], "late")["up"], "connected, and it does not read")
        self.assertTrue(self.alarms(orders["SIPS"], "late")["up"])
        for name in ("SILENT", "RESETS", "HTTP", "WRONG", "STRICT"):
            self.assertIn("late", self.alarms(orders[name], "late")["alarms"])
        for name, why in (("WRONG", "the peer's certificate is not the agency's"), ("STRICT", "the peer does not take our certificate")):
            self.assertEqual(self.alarms(orders[name], "certificate")["why"], why)
            wait_for(f"{name} to be tried again", lambda p=peers[name]: p.met >= 3)
            self.assertEqual(peers[name].got, b"")
        self.assertEqual(len(self.events("delivery.certificate")), 2, "said once of each")
        for name in ("TALKS", "ASKS", "RESETS"):
            wait_for(f"{name} to be tried again", lambda p=peers[name]: p.met >= 4)
        self.talk()
        self.red.wait_for("Release", "RED-1", 3)
        self.assertNotIn("late", self.place(order)["alarms"] + self.place(order, "x2")["alarms"])
        self.assertFalse(self.events("delivery.late", order=order))
        self.assertLess(self.memory() - before, 64 << 10, "KiB that it grew by")
        for o in [order, *orders.values()]:
            self.end(o)

    def memory(self):
        with open(f"/proc/{self.stack.daemons['li'].process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def test_on_a_full_disk_the_one_who_holds_most_pays(self):
        if not self.has_disk:
            raise unittest.SkipTest("needs to mount a small file system: root")
        blue = self.agency("blue", 21, x2=True)
        waits = self.order(blue, {"line": self.line_of(ALICE)}, case="BLUE-9")
        served = self.order(self.red, {"line": self.line_of(ALICE)}, case="RED-9")
        wait_for("blue to be up", lambda: self.place(waits)["up"] and self.place(waits, "x2")["up"])
        blue.kill()
        for count in (1, 2):  # both hold something, and red's is known to have come
            self.talk()
            self.red.wait_for("Release", "RED-9", count)
        wait_for("red's connections to count as good ones", lambda: all(self.age(self.place(served, c)) > 6 for c in ("cdc", "x2")))
        ballast = self.stack.path("spool/ballast")
        with open(ballast, "wb", buffering=0) as f:
            while count < 15 and not self.place(waits, "x2")["lost"]:
                self.fill(f)
                self.talk()
                count += 1
        self.red.wait_for("Release", "RED-9", count)
        self.alarms(waits, "lost", "x2")
        for channel in ("cdc", "x2"):
            self.assertEqual(self.place(served, channel)["lost"], 0, "who is served has lost nothing")
        self.assertTrue(self.events("spool.lost", channel="x2"))
        os.unlink(ballast)
        self.talk()
        blue.start()
        blue.wait_for("Release", "BLUE-9")
        self.red.wait_for("Release", "RED-9", count + 1)
        copies = lambda a, xid: [m["sequence"] for m in list(a.said) if m["channel"] == "x2" and m["xid"] == xid]
        xid = {o["order"]: o["xid"] for o in self.done("anna", "GET", "orders")}
        held = lambda: self.place(waits, "x2")
        wait_for("all that is left to come", lambda: len(set(copies(blue, xid[waits]))) + held()["lost"] == held()["spooled"])
        self.assertEqual(max(copies(blue, xid[waits])) + 1, held()["spooled"], "the gap shows in the numbers")
        self.assertEqual(sorted(set(copies(self.red, xid[served]))), list(range(self.place(served, "x2")["spooled"])), "and here is none")
        self.end(waits)
        self.end(served)

    @staticmethod
    def age(place):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (now - datetime.datetime.strptime(place["since"] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z")).total_seconds() if place["up"] else 0

    @staticmethod
    def fill(f):
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
