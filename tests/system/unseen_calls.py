"""Nobody can tell that a line is tapped: the same calls before an order and with one in force look the same on every subscriber's
wire, in logs, metrics, the admin API and the database, and take the same time."""
import collections
import json
import math
import pathlib
import random
import re
import subprocess
import time
import urllib.request

from capture import Capture
from hglib import wait_for
from lawful import LiTest
from macsip import Call, MacBti
from sight import COUNTS, Same, of_answer, of_files, of_process, of_redis
from stacked import SDP, at_once, telephone

ALICE, BOB, CAROL, DORA, ERIN, FINN, GUS = (f"+1212555010{i}" for i in range(1, 8))
FAR = "+4930123456"  # over the trunk
ROLES = ("hg_gc", "hg_prov", "hg_admin", "hg_api", "hg_trace")
AGENCY, CASE = "zebrafish", "UNSEEN-4711"
WORDS = (AGENCY, CASE, "Judge Two", "Clerk Three", "Officer One")
PAIRS = 100  # of timed calls
ROWS = """
SELECT table_schema || '.' || table_name || '|' ||
       (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', table_schema, table_name), false, true, '')))[1]
FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
  AND has_table_privilege(format('%I.%I', table_schema, table_name), 'SELECT')
UNION ALL SELECT DISTINCT 'session ' || datname || ' ' || usename || '|0' FROM pg_stat_activity
  WHERE usename IS NOT NULL AND usename NOT IN (current_user, 'headgate') AND datname IS NOT NULL
UNION ALL SELECT 'database ' || datname || '|0' FROM pg_stat_database WHERE datname IS NOT NULL
ORDER BY 1"""


def remembered(phone):
    """A telephone whose wire is kept: (sent or received, message), a repetition of the same octets once."""
    phone.wire, seen = [], set()
    send, receive = phone.send, phone.receive

    def keep(way, message):
        if (way, message.raw) not in seen:
            seen.add((way, message.raw))
            phone.wire.append((way, message))
        return message

    def kept_receive(timeout=2.0):
        message = receive(timeout)
        return message and keep("received", message)
    phone.send = lambda octets: keep("sent", send(octets))
    phone.receive = kept_receive
    return phone


def kolmogorov_smirnov(a, b):
    """How probable it is that two samples of one distribution are as different as these."""
    a, b, i, j, d = sorted(a), sorted(b), 0, 0, 0.0
    while i < len(a) and j < len(b):
        x = min(a[i], b[j])
        while i < len(a) and a[i] <= x:
            i += 1
        while j < len(b) and b[j] <= x:
            j += 1
        d = max(d, abs(i / len(a) - j / len(b)))
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    lam = (root + 0.12 + 0.11 / root) * d
    if lam < 0.2:
        return 1.0
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * lam * lam) for k in range(1, 101))))


class Unseen(LiTest):
    @classmethod
    def prepare(cls, stack):
        numbers = (("alice", ALICE, 11), ("bob", BOB, 12), ("carol", CAROL, 13), ("dora", DORA, 14), ("gus", GUS, 17))
        cls.phones = dict(zip([n for n, _, _ in numbers], at_once(
            *[lambda n=n, i=i: remembered(telephone(stack, n, f"{stack.net}{i}")) for _, n, i in numbers])))
        cls.erin, cls.finn = at_once(*[lambda n=n, i=i, t=t: stack.enrolled(n, f"{stack.net}{i}", t)
                                       for n, i, t in (("erin", 15, ERIN), ("finn", 16, FINN))])
        for phone in cls.phones.values():
            assert phone.register().status == 200
        far = MacBti(None, None, None, FAR, stack.domain, (stack.gc_ip, 5060), stack.net + "18")
        stack.ctl("trunk", "add", "far", stack.net + "18", "--port", far.host_port.rsplit(":", 1)[1], "--transport", "udp", "--source",
                  stack.net + "18", "--ping", "0")
        stack.ctl("--wait", "route", "add", "de", "+49", "--trunk", "far")
        cls.phones["far"] = remembered(far)
        stack.ctl("--wait", "service", "set", DORA, "--forward-always", BOB)
        cls.blue = cls.agency(AGENCY, 21, x2=True)

    # ---- the calls
    def talk(self, a, b, number):
        call = a.invite(number, SDP)
        invite = b.expect_request("INVITE")
        b.send(b.response_message(invite, 180, "Ringing", to_tag="ring"))
        b.send(b.response_message(invite, 200, "OK", to_tag="ring", body=SDP))
        self.assertEqual(a.final(call).status, 200)
        self.assertIsNotNone(b.expect_request("ACK"))
        bye = a.bye_message(call.dialog)
        a.send(bye)
        b.send(b.response_message(b.expect_request("BYE"), 200, "OK"))
        self.assertEqual(a.expect_response(bye).status, 200)

    def busy(self, a, b, number):
        call = a.invite(number, SDP)
        b.answer(b.expect_request("INVITE"), status=486, reason="Busy Here")
        self.assertEqual(a.final(call).status, 486)

    def cancelled(self, a, b, number):
        call = a.invite(number, SDP)
        invite = b.expect_request("INVITE")
        b.send(b.response_message(invite, 180, "Ringing", to_tag="ring"))
        a.expect(lambda m: m.status == 180)
        a.send(a.cancel_message(call))
        b.send(b.response_message(b.expect_request("CANCEL"), 200, "OK", to_tag="ring"))
        b.answer(invite, status=487, reason="Request Terminated")
        self.assertEqual(a.final(call).status, 487)

    def over_tls(self):
        """What an onlooker has of a call over TLS: the way and the length of each record of application data."""
        wire = Capture(self.stack, f"tls{time.monotonic_ns()}")
        ear = self.erin.listen("--transport", "tls")
        call = self.finn.call(ERIN, "--duration", "1", "--transport", "tls")
        self.assertEqual(call.exit(), 0)
        ear.wait("ended")
        ear.stop()
        wire.end()
        rows = wire.tshark("tls.record.content_type == 23 || tls.record.opaque_type == 23", "tcp.port==5061,tls",
                           fields=("ip.src", "ip.dst", "tls.record.length"))
        flows = collections.defaultdict(list)
        for row in rows:
            src, dst, lengths = row.split("\t")
            flows[src[len(self.stack.net):], dst[len(self.stack.net):]] += [int(n) for n in lengths.split(",") if int(n) > 150]
        return {flow: lengths for flow, lengths in flows.items() if "1" in flow}  # the gate's

    def play(self):
        """The calls, and what each subscriber's wire had of them."""
        p = self.phones
        for phone in p.values():
            phone.wire.clear()
        # Records of what went before, the enrolments first of all, are in.
        wait_for("no call", lambda: not self.stack.ctl_json("calls"))
        wait_for("all records to be stored", lambda: self.gc("headgate_cdr_queued") == 0)
        before = self.stack.sql("SELECT now()")
        self.talk(p["alice"], p["bob"], BOB)
        self.busy(p["alice"], p["carol"], CAROL)
        self.cancelled(p["alice"], p["carol"], CAROL)
        self.talk(p["carol"], p["bob"], DORA)  # she sends her calls on
        self.talk(p["alice"], p["far"], FAR)
        self.talk(p["far"], p["alice"], ALICE)
        tls = self.over_tls()
        wait_for("the calls' records", lambda: self.cdrs(before) == 7)
        wait_for("all calls to be over", lambda: not self.stack.ctl_json("calls"))
        same = Same()
        return {name: [same.message(way, m.raw) for way, m in phone.wire] for name, phone in p.items()}, tls

    def cdrs(self, since):
        return int(self.stack.sql(f"SELECT count(*) FROM cdr.call WHERE started_at >= '{since}'"))

    # ---- what can be seen of them
    def logged(self):
        lines = collections.Counter()
        for name in ("gc1", "ps1", "admin1"):
            for line in pathlib.Path(self.stack.log(name)).read_text(encoding="utf-8").splitlines():
                try:
                    said = json.loads(line)
                except ValueError:
                    said = {"event": line}
                lines[name, said.get("event"), said.get("level"), tuple(said)] += 1
        return lines

    def measured(self):
        found = {}
        for ip, port in ((self.stack.gc_ip, 9070), (self.stack.net + "2", 9071), (self.stack.gc_ip, 9072)):
            with urllib.request.urlopen(f"http://{ip}:{port}/metrics", timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    if not re.search(r"^#|_bucket\{|_sum[ {]|^headgate_(messages|stage|handed_over)_", line):  # times, what is sent again, and between which workers
                        found[port, line.rsplit(" ", 1)[0]] = float(line.rsplit(" ", 1)[1])
        return found

    def rows(self):
        found = {}
        for role in ROLES:
            done = subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", self.stack.conninfo(role), "-c", ROWS, "-c", COUNTS], check=True,
                                  capture_output=True, text=True, timeout=30)
            found.update({(role, line.split("|")[0]): float(line.split("|")[1]) for line in done.stdout.splitlines()})
        return found

    def counts(self):
        """Of logs, metrics and the database, which counts when a session of its has time for it."""
        wait_for("the database to have counted", lambda: self.stack.sql(
            "SELECT (SELECT count(*) FROM cdr.call) = (SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'cdr' AND relname = 'call') "
            "AND (SELECT n_tup_ins = n_tup_del FROM pg_stat_user_tables WHERE schemaname = 'cdr' AND relname = 'incoming')") == "t", 30)
        return self.logged(), self.measured(), self.rows()

    def answered(self):
        """The API's answers; numbers and names of the moment apart."""
        return {path: of_answer(self.stack.api().get(path)) for path in (
            "/calls", "/cdrs?limit=7", "/nodes", "/alarms", "/sessions", "/registrations", "/trunks", "/routes", "/lines", "/btis", "/me",
            "/administrators", "/roles")}

    def looked_at(self):
        """All else that somebody could look at: Redis, files, processes, the tap from outside."""
        tap = pathlib.Path(self.stack.path("tap")).stat()
        return {"answers": self.answered(), "redis": of_redis(self.stack), "files": of_files(self.stack.folder, self.is_lis),
                **{name: of_process(self.stack.daemons[name].process.pid) for name in ("gc1", "ps1", "admin1")},
                "tap": (tap.st_ino, tap.st_size, tap.st_blocks, tap.st_mode, tap.st_nlink, tap.st_uid, tap.st_gid, tap.st_atime_ns),
                "tap's time": tap.st_mtime_ns}

    @staticmethod
    def is_lis(inside):
        """Of headgate-li, of the agency, or of the database server, whose role is its own."""
        return inside[0] in ("spool", AGENCY, AGENCY + ".log") or inside[0].startswith("li.") or inside[:2] == ("infra", "pg")

    def growth(self):
        """Plays the calls: what the wires had, and by how much each count grew."""
        counts = [self.counts()]
        tap = pathlib.Path(self.stack.path("tap")).stat().st_mtime_ns
        wires, tls = self.play()
        counts.append(self.counts())
        grown = [{k: b.get(k, 0) - a.get(k, 0) for k in set(a) | set(b)} for a, b in zip(*counts)]
        looked = self.looked_at()
        looked["tap's time"] = looked["tap's time"] != tap  # whether the calls moved it
        return wires, tls, grown, looked

    def test_a_tapped_line_looks_like_any_other(self):
        self.growth()  # what happens once only has happened
        before, again = self.growth(), self.growth()
        orders = [self.order(self.blue, {"number": n}, case=CASE) for n in (ALICE, BOB, CAROL, DORA, ERIN)]
        after = self.growth()
        self.blue.wait_for("Release", CASE, 8)
        for name, wire in before[0].items():
            self.assertEqual(after[0][name], wire, f"{name}'s wire")
        self.assertGreater(len(before[0]["alice"]), 15)
        self.assertEqual(set(after[1]), set(before[1]))
        self.assertTrue(before[1])
        for flow, lengths in before[1].items():
            self.assertEqual(len(after[1][flow]), len(lengths), f"records of {flow}")
            for one, other in zip(lengths, after[1][flow]):
                self.assertAlmostEqual(one, other, delta=12, msg=f"{flow}: {lengths} {after[1][flow]}")  # digits of counters
        # What the calls do to a count is what they do to it twice; the rest grows by time.
        for what, a, b, c in zip(("logs", "metrics", "rows"), before[2], again[2], after[2]):
            self.assertEqual(set(c), set(a) | (set(b) & set(c)), what)
            same = {k: n for k, n in a.items() if b.get(k) == n}
            self.assertGreater(sum(1 for n in same.values() if n), 0, what)
            self.assertEqual({k: (n, c[k]) for k, n in same.items() if c[k] != n}, {}, f"{what}: before, with orders")
        self.compare(before[3], again[3], after[3])
        for what, key in (("redis", ("hg:tapped", "string", 1, False)), ("files", "var/order"), ("gc1", "fds"), ("answers", "/lines")):
            with self.assertRaises(AssertionError, msg=f"this test would see {key}"):
                self.compare(before[3], again[3], {**after[3], what: {**after[3][what], key: "another"}})
        with self.assertRaises(AssertionError):
            self.compare(before[3], again[3], {**after[3], "tap": ()})
        self.nowhere_a_word()
        for order in orders:
            self.end(order)

    def compare(self, before, again, after):
        """What is the same twice without an order is so with one."""
        for what, one in before.items():
            if isinstance(one, dict):
                steady = {k: v for k, v in one.items() if again[what].get(k) == v}
                self.assertGreater(len(steady), len(one) // 2, what)
                self.assertEqual({k: (v, after[what].get(k)) for k, v in steady.items() if after[what].get(k) != v}, {}, what)
                self.assertLessEqual(set(after[what]), set(one) | set(again[what]), what)
            else:
                self.assertEqual(one, again[what], what)
                self.assertEqual(one, after[what], what)

    def nowhere_a_word(self):
        """Not in any log or file but headgate-li's and the agency's, not in the dump of the subscribers' database."""
        dump = subprocess.run(["pg_dump", self.stack.conninfo("headgate")], check=True, capture_output=True, timeout=60).stdout
        self.assertIn(ALICE.encode(), dump)
        texts = {"the dump": dump}
        for path in self.stack.folder.rglob("*"):
            inside = path.relative_to(self.stack.folder).parts
            if path.is_file() and inside[0] != "tap" and not self.is_lis(inside):
                texts[str(path)] = path.read_bytes()
        for name, text in texts.items():
            for word in WORDS:
                self.assertNotIn(word.encode().lower(), text.lower(), name)
        self.assertIn(self.stack.log("gc1"), texts)

    # ---- time
    def took(self, a, b, number):
        """From the INVITE of a to its arrival at b, who is busy; and from his answer to its arrival at a."""
        call = Call(a.invite_message(number, SDP))
        began = time.perf_counter()
        a.send(call.invite)
        invite = b.expect_request("INVITE")
        there = time.perf_counter() - began
        answer = b.response_message(invite, 486, "Busy Here")
        began = time.perf_counter()
        b.send(answer)
        self.assertEqual(a.final(call).status, 486)
        back = time.perf_counter() - began
        self.assertIsNotNone(b.expect_request("ACK"))
        return there, back

    def test_a_tapped_call_takes_as_long_as_any_other(self):
        order = self.order(self.blue, {"number": ALICE}, case=CASE + "-T")
        a, g, carol = self.phones["alice"], self.phones["gus"], self.phones["carol"]
        times = {(way, is_tapped): [] for way in ("there", "back") for is_tapped in (True, False)}
        for _ in range(PAIRS):
            pair = [True, False]
            random.shuffle(pair)
            for is_tapped in pair:
                for way, took in zip(("there", "back"), self.took(a if is_tapped else g, carol, CAROL)):
                    times[way, is_tapped].append(took)
        for way in ("there", "back"):
            tapped, free = times[way, True], times[way, False]
            self.assertGreater(kolmogorov_smirnov(tapped, free), 0.001, (way, sorted(tapped)[::10], sorted(free)[::10]))
            more = 3 * sorted(free)[PAIRS // 2]
            self.assertLess(kolmogorov_smirnov(tapped, [t + more for t in free]), 0.001, "this test would see it")
        self.blue.wait_for("Release", CASE + "-T", PAIRS)
        self.end(order)
