"""Trunks to real proxies of others: hosts by DNS with a target that is dead, UDP and TCP, channels, mutual TLS with a peer."""
import socket
import struct
import threading

from hglib import Failed, wait_for
from peered import PeerTest, at_once
from peers import Kamailio, Sipp, gateway
from proxy_tls import Authority
from sippline import SDP, ack, answering, bye, call, expect, pause, scenario

ALICE = "+12125550101"
A, SRV = 1, 33


class Zone:
    """A DNS server that knows {(name, type): [rdata as text]}, and tells how often it was asked."""

    def __init__(self, ip, rows):
        self.rows, self.asked = rows, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 5353))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"

    def data(self, kind, text):
        if kind == A:
            return socket.inet_aton(text)
        priority, weight, port, target = text.split()
        return struct.pack("!HHH", int(priority), int(weight), int(port)) + self.name(target)

    def answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1:at + 3])[0]
        name = ".".join(labels)
        rows = self.rows.get((name, kind), [])
        known = any(name == n for n, _ in self.rows)
        head = question[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, len(rows), 0, 0)
        body = b"".join(self.name(name) + struct.pack("!HHIH", kind, 1, 60, len(d)) + d for d in (self.data(kind, r) for r in rows))
        return head + question[12:at + 5] + body

    def serve(self):
        while True:
            try:
                question, source = self.socket.recvfrom(512)
                self.asked += 1
                self.socket.sendto(self.answer(question), source)
            except OSError:
                return

    def stop(self):
        self.socket.close()


class Trunks(PeerTest):
    gc_settings = {"dns.servers": '["{net}53:5353"]'}
    daemons, zone = (), None
    runs = 0

    @classmethod
    def gc_settings_of(cls, stack):
        ca = Authority(stack, "carriers")
        cls.peer_files = ca.issue("peer", "peer.test")[:2]
        certificate, key = ca.issue("gate", stack.domain)[:2]
        cls.ca_file = ca.file
        return dict(super().gc_settings_of(stack), **{"tls.certificate": certificate, "tls.key": key, "tls.ca": ca.file})

    @classmethod
    def set_out(cls, stack):
        net, cls.behind = stack.net, stack.net + "20"
        cls.alice = stack.enrolled("alice", net + "11", ALICE)
        cls.zone = Zone(net + "53", {("_sip._udp.gw.test", SRV): ["1 1 5060 dead.test", "2 1 5060 good.test"],
                                     ("dead.test", A): [net + "30"], ("good.test", A): [net + "31"]})
        inward = f'if ($si == "{cls.behind}") {{ $du = "sip:{stack.gc_ip}:5061;transport=tls"; t_relay(); exit; }}'
        cls.daemons = [Kamailio(stack, "good", [f"udp:{net}31:5060"], f"""
alias="gw.test"
route[OUT] {{
    $du = "sip:{cls.behind}:5060";
    t_relay();
}}
"""),
                       gateway(stack, "narrow", net + "32:5060", cls.behind + ":5060"),
                       Kamailio(stack, "guarded", [f"udp:{net}34:5060"], f"""
loadmodule "auth.so"
route[OUT] {{
    if (is_method("INVITE|BYE") && !pv_proxy_authenticate("guarded.test", "open sesame", "0")) {{
        proxy_challenge("guarded.test", "0");
        exit;
    }}
    consume_credentials();
    $du = "sip:{cls.behind}:5060";
    t_relay();
}}
"""),
                       Kamailio(stack, "peer", [f"udp:{net}33:5060", f"tls:{net}33:5061"], f"""
enable_tls=yes
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{cls.peer_files[0]}")
modparam("tls", "private_key", "{cls.peer_files[1]}")
modparam("tls", "ca_list", "{cls.ca_file}")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 1)
route[OUT] {{
    {inward}
    $du = "sip:{cls.behind}:5060";
    t_relay();
}}
""")]
        for words in (("gw", "gw.test", "--transport", "udp", "--source", net + "31", "--ping", "1"),
                      ("narrow", net + "32", "--port", "5060", "--transport", "tcp", "--max-channels", "1", "--number-form", "bare",
                       "--ping", "1"),
                      ("peer", net + "33", "--port", "5061", "--transport", "tls", "--auth", "certificate", "--tls-name", "peer.test",
                       "--trusts-identity", "yes", "--sends-identity", "yes", "--ping", "1"),
                      ("guarded", net + "34", "--port", "5060", "--transport", "udp", "--ping", "0", "--user", "gate",
                       "--password-file", stack.write("guarded.password", "open sesame\n"))):
            stack.ctl("trunk", "add", *words)
        for words in (("uk", "+44", "--trunk", "gw"), ("fr", "+33", "--trunk", "narrow", "--priority", "1"),
                      ("fr2", "+33", "--trunk", "gw", "--priority", "2"), ("de", "+49", "--trunk", "peer"),
                      ("es", "+34", "--trunk", "guarded")):
            stack.ctl("route", "add", *words)
        wanted = {(net + "30:5060", "UDP"): "down", (net + "31:5060", "UDP"): "up", (net + "32:5060", "TCP"): "up",
                  (net + "33:5061", "TLS"): "up", (net + "34:5060", "UDP"): "up"}
        try:
            wait_for("every trunk as it should be", lambda: cls.states() == wanted, 30)
        except Failed as e:
            raise Failed(f"{e}: {cls.states()}") from None

    @classmethod
    def states(cls):
        return {(row["address"], row["transport"]): row["state"] for row in cls.stack.ctl_json("trunk", "status")}

    @classmethod
    def take_in(cls):
        for one in cls.daemons:
            one.stop()
        if cls.zone:
            cls.zone.stop()

    def sipp(self, *words, **kw):
        type(self).runs += 1
        run = Sipp(self.stack, f"sipp{self.runs}", self.behind, *words, **kw)
        self.addCleanup(run.stop)
        return run

    def call(self, number, *words):
        return self.stopping(self.alice.call(number, "--transport", "udp", *words))

    def test_the_first_target_is_dead(self):
        far = self.sipp(answering())
        one = self.call("+442079460100", "--duration", "1")
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertIn("INVITE sip:+442079460100@gw.test;user=phone", far.messages())
        rows = {row["address"]: row for row in self.stack.ctl_json("trunk", "status") if row["trunk"] == "gw"}
        self.assertEqual({a: r["state"] for a, r in rows.items()}, {self.stack.net + "30:5060": "down", self.stack.net + "31:5060": "up"})
        self.assertEqual(rows[self.stack.net + "31:5060"]["dns"], "ok")
        self.assertGreaterEqual(rows[self.stack.net + "31:5060"]["calls_total"], 1)
        self.assertEqual(self.gc('headgate_trunk_addresses_down{trunk="gw"}'), 1)

    def test_a_trunk_that_takes_one_call(self):
        far = self.sipp(answering(), calls=2)
        first = self.call("+33123456780", "--duration", "5")
        first.wait("answered")
        second = self.call("+33123456781", "--duration", "3")
        second.wait("answered")
        routes = sorted(c["route"] for c in self.stack.ctl_json("calls"))
        self.assertEqual(routes, ["fr", "fr2"])
        self.assertEqual((first.exit(), second.exit()), (0, 0))
        far.done()
        self.assertIn(f"INVITE sip:33123456780@{self.stack.net}32:5060", far.messages(), "bare, over TCP to the gateway")
        self.assertEqual(self.gc('headgate_trunk_calls{trunk="narrow"}'), 0)

    def test_a_trunk_that_wants_a_password(self):
        far = self.sipp(answering())
        one = self.call("+34911234567", "--duration", "1")
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertNotIn("Authorization", far.messages())
        done = next(c for c in self.stack.ctl_json("calls", "--recent") if c["route"] == "es")
        asked = [row["to"] for row in self.stack.ctl_json("call", "show", done["id"])["ladder"] if row["text"].startswith("SIP/2.0 407")]
        self.assertEqual(set(asked), {f"{self.stack.gc_ip}:5060"}, "from the trunk to us and no further")

    def test_to_a_peer_over_mutual_tls(self):
        far = self.sipp(answering())
        one = self.call("+493012345678", "--duration", "1")
        self.assertEqual(one.exit(), 0, one.events[-4:])
        far.done()
        self.assertRegex(far.messages(), rf"(?m)^P-Asserted-Identity:.*<sip:\{ALICE}@{self.stack.domain}>")

    def test_from_a_peer_over_mutual_tls(self):
        line = self.stopping(self.alice.listen("--transport", "udp"))
        line.wait("registered")
        near = self.sipp(scenario(call(body=SDP, extra="P-Asserted-Identity: <sip:+493012345678@peer.test>"), expect(100, optional=True),
                                  expect(180, optional=True), expect(200, rrs=True), ack(), pause(500), bye(), expect(200)),
                         remote=(self.stack.net + "33", 5060), service=ALICE,
                         keys={"domain": self.stack.domain, "from": "+493012345678"})
        near.done()
        self.assertEqual(line.seen("incoming")[0]["from"], "+493012345678")
