"""What is left when PostgreSQL, Redis, the disk or the gate controller itself goes away: calls go on, and nothing is lost for good."""
import json
import os
import pathlib
import resource
import signal
import subprocess
import threading
import urllib.error
import urllib.request

from hglib import Daemon, Wire, sip_request, tail, wait_for
from macsip import Redis, Session, inject
from stacked import SDP, StackTest, telephone

ALICE, BOB = "+12125550101", "+12125550102"
LINES, CALLS, RATE = 40, 1000, 100  # of the load: half of the lines call the other half


class Outage(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.alice, cls.bob = stack.enrolled("alice", stack.net + "11", ALICE), stack.enrolled("bob", stack.net + "12", BOB)

    # ---- what goes away, and comes back
    def stop(self, which):
        """For good, until all_up()."""
        pid = self.stack.pid_of(which)
        os.kill(pid, signal.SIGQUIT if which == "postgres" else signal.SIGKILL)
        wait_for(f"{which} to be gone", lambda: not os.path.exists(f"/proc/{pid}") or self.is_zombie(pid))
        wait_for(f"the gate controller to see it: {self.ready()}", lambda: self.ready()[which] == "down")

    @staticmethod
    def is_zombie(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    def all_up(self):
        self.stack.devstack("start")
        wait_for("PostgreSQL and Redis to be seen", lambda: self.ready()["postgres"] == self.ready()["redis"] == "up", 15)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.stack.gc_ip}:9070/readyz", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as answer:
            return json.load(answer)

    def redis(self):
        return self.closing(Redis(self.stack.redis.split(":", 1)[1]))

    def restart_gc(self, end=signal.SIGTERM):
        d = self.stack.daemons["gc1"]
        if end == signal.SIGKILL:
            d.kill()
        else:
            self.assertEqual(d.stop(), 0)
        return d.start().ready()

    # ---- calls
    def call_goes(self, *words):
        call = self.stopping(self.alice.call(BOB, "--duration", "1", *words))
        self.assertEqual(call.exit(), 0, call.events[-4:])
        return call.seen("answered")[0]["call_id"]

    def cdrs(self, call_ids):
        """Each of these calls has its one row."""
        listed = ",".join(f"'{c}'" for c in call_ids)
        rows = wait_for("the call records", lambda: self.rows_or_none(listed, len(call_ids)), 20)
        self.assertEqual(sorted(rows), sorted(call_ids))

    def rows_or_none(self, listed, n):
        rows = self.stack.sql(f"SELECT call_id FROM cdr.call WHERE call_id IN ({listed})").split()
        return rows if len(rows) >= n else None

    # ---- Redis
    def test_redis_flushed(self):
        ear = self.stopping(self.bob.listen())
        call = self.stopping(self.alice.call(BOB))
        call.wait("answered")
        redis = self.redis()
        self.assertGreater(len(redis.command("KEYS", "hg:sess:*")), 0)
        redis.command("FLUSHALL")
        live = [c for c in self.stack.ctl_json("calls") if c["called"] == BOB]
        self.assertEqual([c["state"] for c in live], ["answered"], "calls go on")
        call.process.terminate()
        self.assertEqual(call.exit(), 0)
        ear.wait("ended")
        self.call_goes()  # the sessions are in the gate controller's memory
        # With the gate controller's memory gone as well, nobody has a session: BTIs get fresh ones by themselves.
        kids = {e["kid"] for e in ear.seen("session")}
        redis.command("FLUSHALL")
        d = self.stack.daemons["gc1"]
        d.kill()
        redis.command("FLUSHALL")
        d.start().ready()
        self.assertEqual(kids & {s["kid"] for s in self.stack.ctl_json("sessions")}, set())
        fresh = wait_for("a fresh session without the user", lambda: [e for e in ear.seen("session") if e["kid"] not in kids], 20)
        wait_for("the registration", lambda: [r for r in self.stack.ctl_json("registrations") if r["number"] == BOB], 10)
        self.assertIn(fresh[-1]["kid"], {s["kid"] for s in self.stack.ctl_json("sessions")})
        self.call_goes()

    def test_redis_stopped(self):
        ear = self.stopping(self.bob.listen())
        call_id = self.call_goes()
        self.stop("redis")
        self.addCleanup(self.all_up)
        done = [call_id] + [self.call_goes(*w) for w in ([], ["--transport", "udp"])]
        self.assertEqual(self.ready()["ready"], True)
        known = {s["kid"] for s in self.stack.ctl_json("sessions")}
        self.all_up()
        redis = self.redis()
        wait_for("the sessions to be written again", lambda: {k.decode()[-32:] for k in redis.command("KEYS", "hg:sess:*")} >= known, 10)
        wait_for("the registration to be written again", lambda: redis.command("KEYS", f"hg:reg:{self.bob.line}:*"), 10)
        self.cdrs(done)
        self.assertEqual(len(ear.seen("answered")), 3)

    # ---- PostgreSQL
    def test_postgres_stopped_and_headgate_started_without_it(self):
        ear = self.stopping(self.bob.listen())
        first = self.call_goes()
        self.cdrs([first])
        self.stop("postgres")
        self.addCleanup(self.all_up)
        done = [self.call_goes()]
        late = self.stopping(self.alice.listen())  # a registration, with a session that it has already
        self.assertEqual(late.wait("registered")["number"], ALICE)
        late.stop()
        wait_for("the records to be spilled", lambda: self.gc("headgate_cdr_spill_rows") >= 1)
        self.restart_gc()
        self.assertIn("snapshot.from_file", tail(self.stack.log("gc1"), 40))
        self.assertEqual({k: self.ready()[k] for k in ("ready", "degraded", "postgres", "snapshot")},
                         {"ready": True, "degraded": True, "postgres": "down", "snapshot": "present"})
        wait_for("the phone to be registered", lambda: [r for r in self.stack.ctl_json("registrations") if r["number"] == BOB], 15)
        done.append(self.call_goes())
        self.all_up()
        self.cdrs(done + [first])
        wait_for("the spill file to be empty", lambda: self.gc("headgate_cdr_spill_rows") == 0)
        self.assertEqual(len(ear.seen("answered")), 3)

    # ---- both halted under load
    def load(self):
        """Forty lines with sessions, written straight into PostgreSQL and Redis; the file that bench/load reads."""
        rows = self.stack.sql(
            "WITH a AS (INSERT INTO core.account (name) VALUES ('Load') RETURNING account_id), "
            f"l AS (INSERT INTO core.line (account_id) SELECT account_id FROM a, generate_series(1, {LINES}) RETURNING line_id) "
            "INSERT INTO core.number (number, line_id) SELECT '+1646555' || lpad((row_number() OVER ())::text, 4, '0'), line_id FROM l "
            "RETURNING number, line_id").splitlines()
        redis, text = self.redis(), ""
        key = pathlib.Path(self.stack.path("cluster.key")).read_bytes()
        for row in rows:
            number, line = row.split("|")
            s = Session(int(line), os.urandom(16), 3600)
            inject(redis, key, s)
            text += f"{number} {s.kid.hex()} {s.mac_up.hex()} {s.mac_down.hex()}\n"
            last = s.kid.hex()
        wait_for("the sessions to arrive", lambda: last in {s["kid"] for s in self.stack.ctl_json("sessions")})
        wait_for("the lines to arrive", lambda: self.stack.ctl_json("status")["lines"] >= LINES)
        return self.stack.write("sessions", text)

    def run_load(self, sessions, calls, rate):
        path = self.stack.bin.parent / "bench/load"
        return subprocess.Popen([str(path), "--gc", f"{self.stack.gc_ip}:5060", "--local", self.stack.net + "70", "--domain",
                                 self.stack.domain, "--sessions", sessions, "--calls", str(calls), "--rate", str(rate)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_both_halted_during_a_thousand_calls(self):
        run = self.run_load(self.load(), CALLS, RATE)
        try:
            before = self.gc("headgate_calls_answered_total")
            wait_for("a tenth of the calls", lambda: self.gc("headgate_calls_answered_total") >= before + CALLS / 10, 15)
            halted = self.stack.halt("postgres", "redis")
            try:
                out, err = run.communicate(timeout=60)
            finally:
                self.stack.go_on(halted)
        finally:
            if run.poll() is None:
                run.kill()
                run.communicate()
        result = json.loads(out)
        self.assertEqual([result[k] for k in ("ok", "failed", "bad_mac")], [CALLS, 0, 0], f"{result} {err}")
        count = "SELECT count(*), count(DISTINCT call_id) FROM cdr.call WHERE call_id LIKE '%@load' AND status = 200 AND end_by = 'caller'"
        wait_for("all call records", lambda: self.stack.sql(count).split("|")[0] == str(CALLS), 30)
        self.assertEqual(self.stack.sql(count), f"{CALLS}|{CALLS}", "each exactly once")
        self.assertEqual(self.gc('headgate_cdr_rows_total{result="lost"}'), 0)
        wait_for("both to be seen again", lambda: self.ready()["postgres"] == self.ready()["redis"] == "up", 15)

    # ---- the disk
    def test_full_disk_for_the_spill_file(self):
        """Writing to files fails for the daemon (its log is a pipe here): said, calls go on, and no record is lost."""
        self.stack.daemons["gc1"].stop()
        piped = PipedDaemon(self.stack.daemons["gc1"])
        self.stack.daemons["gc1"] = piped
        piped.start().ready()
        ear = self.stopping(self.bob.listen())
        self.call_goes()  # from here on Alice has a session of her own
        soft, hard = resource.prlimit(piped.process.pid, resource.RLIMIT_FSIZE)
        self.stop("postgres")
        self.addCleanup(self.all_up)
        resource.prlimit(piped.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        try:
            done = [self.call_goes() for _ in range(3)]
            wait_for("the alarm", lambda: "cdr.spill_failed" in piped.text())
            self.assertEqual(self.gc('headgate_cdr_rows_total{result="lost"}'), 0)
            self.assertGreaterEqual(self.gc("headgate_cdr_queued"), 1)
            self.all_up()
            self.cdrs(done)
        finally:
            resource.prlimit(piped.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        self.assertEqual(len(ear.seen("answered")), 4)

    # ---- the gate controller itself
    def test_killed_and_started_again(self):
        """Sessions, registrations and replay windows come back from Redis; the BTI has nothing to do."""
        phone = self.closing(telephone(self.stack, "+12125550131", self.stack.net + "31"))
        other = self.closing(telephone(self.stack, "+12125550132", self.stack.net + "32"))
        self.assertEqual(phone.register().status, 200)
        call = other.invite(phone.number, SDP)
        phone.answer(phone.expect_request("INVITE"), SDP, timeout=0)
        taken = other.expect_response(call.request)
        other.dialog_of(call, taken)
        ack = other.ack_message(call, taken)
        other.send(ack)
        self.assertIsNotNone(phone.expect_request("ACK"))
        redis, mark = self.redis(), f"hg:mark:{other.kid.hex()}"
        for _ in range(2):  # what is marked goes to Redis once a second
            was = redis.command("GET", mark)
            wait_for("the replay window to be written", lambda w=was: other.transact(
                other.request("OPTIONS", f"sip:{self.stack.domain}", f"<{other.aor()}>;tag=1", f"<sip:{self.stack.domain}>",
                              other.fresh(), 1), 2) and redis.command("GET", mark) not in (w, None), 10)
        wait_for("the registration to be written", lambda: redis.command("KEYS", f"hg:reg:{phone.line}:*"))
        self.restart_gc(signal.SIGKILL)
        self.assertLessEqual({phone.kid.hex(), other.kid.hex()}, {s["kid"] for s in self.stack.ctl_json("sessions")})
        self.assertEqual([r["number"] for r in self.stack.ctl_json("registrations") if r["line"] == int(phone.line)], [phone.number])
        replays = self.gc("headgate_replays_total")
        other.send(call.invite)
        other.send(ack)
        self.grown(self.gc, "headgate_replays_total", replays, 2)
        again = other.invite(phone.number, SDP)
        rung = phone.expect_request("INVITE")
        self.assertEqual((rung.call_id, rung.proven, rung.repeat), (again.request.call_id, True, False), "sealed above what was sent before")
        phone.send(phone.response_message(rung, 486, "Busy Here"))
        self.assertEqual(other.final(again).status, 486)

    @staticmethod
    def log_since_stop(d):
        return pathlib.Path(d.log).read_text(encoding="utf-8", errors="replace").rsplit('"gc.stop"', 1)[-1]

    def test_zz_nothing_left_but_emergency_calls(self):
        """A snapshot file that was altered is refused; with PostgreSQL, Redis and the provisioning server gone too, 911 still works."""
        psap = self.closing(Wire(self.stack.net + "9", (self.stack.gc_ip, 5060), 5060))
        d = self.stack.daemons["gc1"]
        d.stop()
        path = pathlib.Path(self.stack.path("gc1.snapshot"))
        octets = bytearray(path.read_bytes())
        octets[len(octets) // 2] ^= 1
        path.write_bytes(octets)
        for which in ("postgres", "redis"):
            os.kill(self.stack.pid_of(which), signal.SIGQUIT if which == "postgres" else signal.SIGKILL)
        ps = self.stack.daemons.pop("ps1")
        ps.kill()
        d.start()
        stranger = self.closing(Wire(self.stack.net + "40", (self.stack.gc_ip, 5060)))

        def emergency():
            self.assertIsNone(d.process.poll(), tail(d.log))
            stranger.send(sip_request("INVITE", f"sip:911@{self.stack.domain}", stranger.address, [], SDP))
            return psap.receive(0.5)
        invite = wait_for("the emergency call to come through", emergency, 20)
        self.assertTrue(invite.startswith(b"INVITE "), invite)
        wait_for("it to say what it serves", lambda: "snapshot.none" in self.log_since_stop(d), 15)
        self.assertRegex(self.log_since_stop(d), r'"level":"warn"[^\n]*"snapshot.no_file"[^\n]*E_(PARSE|AUTH)')
        wait_for("readiness to say so", lambda: {k: self.ready()[k] for k in ("ready", "snapshot", "postgres", "redis")} == {
            "ready": False, "snapshot": "missing", "postgres": "down", "redis": "down"}, 15)
        # And when PostgreSQL comes back, so does the rest.
        self.all_up()
        wait_for("a new snapshot", lambda: self.ready()["snapshot"] == "present", 15)


class PipedDaemon(Daemon):
    """The same daemon, but its log comes through a pipe: a limit on its files does not silence it."""

    def __init__(self, like):
        super().__init__(like.name, like.argv, like.log, like.ready_url, like.env)
        self.lines = []

    def start(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, start_new_session=True)
        threading.Thread(target=self.copy, args=(self.process.stderr,), daemon=True).start()
        return self

    def copy(self, pipe):
        with open(self.log, "a", encoding="utf-8") as out:
            for line in pipe:
                self.lines.append(line)
                out.write(line)
                out.flush()

    def text(self):
        return "".join(self.lines)

