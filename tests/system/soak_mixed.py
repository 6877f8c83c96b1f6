"""Minutes of everything at once: calls between BTIs, calls between phones, registrations and reloads. No call fails, each has one
record, and neither memory nor descriptors grow. MINUTES says how long (10; below 8 the rings are not full, and it says that memory grows); not part of `make test`."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from hglib import Failed, tail, wait_for
from macsip import Redis, Session, inject
from stacked import StackTest

MINUTES = float(os.environ.get("MINUTES", "10"))
LINES = 20  # of each kind: half of them call the other half
BTI_RATE, PHONE_RATE, ROUND_S = 80, 20, 15
TICK_S = 3
WARM = 0.35  # of the time: transactions of 32 s fill up, and the ring of call records is touched once, 8192 for each worker
RSS_GROWTH, DESCRIPTOR_GROWTH = 0.01, 2  # over the time after that


def rss_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:"))


def growth(values):
    """What grows all the time: the least growth of three parts of the time, thrice. A moment with more under way than ever before
    leaves memory taken once; a leak takes some in every part."""
    n = len(values) // 3
    return 3 * min(values[(i + 1) * n - 1] - values[i * n] for i in range(3))


class Rounds(threading.Thread):
    """Loads one after the other until told to end; each registers its parties anew, at the same contacts."""

    def __init__(self, stack, host, proof, parties, rate):
        super().__init__(daemon=True)
        self.argv = [stack.bin.parent / "bench/load", "--gc", f"{stack.gc_ip}:5060", "--local", f"{stack.net}{host}", "--domain",
                     stack.domain, proof, parties, "--calls", rate * ROUND_S, "--rate", rate, "--uas-port", 5080]
        self.calls, self.bad, self.over = 0, [], threading.Event()

    def run(self):
        while not self.over.is_set() and not self.bad:
            try:
                done = subprocess.run([str(a) for a in self.argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      timeout=ROUND_S + 120, check=False)
                result = json.loads(done.stdout)
            except (subprocess.TimeoutExpired, ValueError) as e:
                self.bad.append(f"{self.argv[7]}: {e} {done.stderr if isinstance(e, ValueError) else ''}")
                return
            self.calls += result["ok"]
            if result["failed"] or result["bad_mac"]:
                self.bad.append(f"{result} {done.stderr}")

    def end(self):
        self.over.set()
        self.join(ROUND_S + 130)


class Soak(StackTest):
    gc_settings = {"limits.calls_per_line": 100, "limits.challenge_per_source": 1000, "trace.bytes": 1048576, "trace.calls": 256}

    def lines(self, prefix):
        """[(number, line id)] of fresh lines."""
        rows = self.stack.sql(
            "WITH a AS (INSERT INTO core.account (name) VALUES ('Soak') RETURNING account_id), "
            f"l AS (INSERT INTO core.line (account_id) SELECT account_id FROM a, generate_series(1, {LINES}) RETURNING line_id) "
            f"INSERT INTO core.number (number, line_id) SELECT '{prefix}' || lpad((row_number() OVER ())::text, 4, '0'), line_id FROM l "
            "RETURNING number, line_id").splitlines()
        return [row.split("|") for row in rows]

    def btis(self):
        redis = self.closing(Redis(self.stack.redis.split(":", 1)[1]))
        key, text = pathlib.Path(self.stack.path("cluster.key")).read_bytes(), ""
        for number, line in self.lines("+1646555"):
            s = Session(int(line), os.urandom(16))
            inject(redis, key, s)
            text += f"{number} {s.kid.hex()} {s.mac_up.hex()} {s.mac_down.hex()}\n"
        wait_for("the sessions to arrive", lambda: self.gc("headgate_sessions") >= LINES)
        return self.stack.write("sessions", text)

    def phones(self):
        text, password = "", "of a phone that never sleeps"
        secret = self.stack.write("password", password + "\n")
        os.chmod(secret, 0o600)
        for number, line in self.lines("+1917555"):
            self.stack.ctl("credential", "add", number, line, "--password-file", secret)
            ha1 = hashlib.sha256(f"{number}:{self.stack.domain}:{password}".encode()).hexdigest()
            text += f"{number} {ha1}\n"
        return self.stack.write("credentials", text)

    # ---- what happens meanwhile
    def reload(self, turn):
        """Another value for a setting that can be taken over, and the certificate once more."""
        config = pathlib.Path(self.stack.path("gc1.yaml"))
        text = config.read_text()
        config.write_text(text.replace(f"calls_per_line: {100 + turn % 2}", f"calls_per_line: {101 - turn % 2}"))
        for name in ("gc1", "ps1"):
            self.stack.daemons[name].signal(signal.SIGHUP)

    def sample(self, seen):
        for name in ("gc1", "ps1"):
            pid = self.stack.daemons[name].process.pid
            seen.setdefault(name, []).append((time.monotonic(), rss_kib(pid), len(os.listdir(f"/proc/{pid}/fd"))))

    def soak(self, loads):
        """One tick after the other; (samples, reloads)."""
        seen, turn, end = {}, 0, time.monotonic() + MINUTES * 60
        tick = threading.Event()
        while time.monotonic() < end and not any(load.bad for load in loads):
            self.reload(turn)
            turn += 1
            tick.wait(TICK_S)
            self.sample(seen)
            for name in ("gc1", "ps1"):
                if self.stack.daemons[name].process.poll() is not None:
                    raise Failed(f"{name} ended: {tail(self.stack.log(name))}")
        return seen, turn

    def check_flat(self, name, samples):
        flat = samples[int(len(samples) * WARM):]
        self.assertGreater(len(flat), 5, "too short to say anything")
        seconds = flat[-1][0] - flat[0][0]
        rss = growth([r for _, r, _ in flat])
        self.assertLess(rss, flat[0][1] * RSS_GROWTH, f"{name} grew by {rss:.0f} KiB in {seconds:.0f} s: {[r for _, r, _ in flat]}")
        descriptors = growth([d for _, _, d in flat])
        self.assertLess(descriptors, DESCRIPTOR_GROWTH, f"{name}: descriptors {[d for _, _, d in flat]}")
        print(f"     {name}: {flat[0][1]} KiB, {flat[-1][1]} at the end, {rss:+.0f} all the time; {flat[0][2]} descriptors, {flat[-1][2]} at the end, "
              f"{descriptors:+.0f}; {seconds:.0f} s", flush=True)

    def test_calls_registrations_and_reloads(self):
        loads = [Rounds(self.stack, 70, "--sessions", self.btis(), BTI_RATE), Rounds(self.stack, 80, "--digest", self.phones(), PHONE_RATE)]
        wait_for("the lines to arrive", lambda: self.stack.ctl_json("status")["lines"] >= 2 * LINES)
        for load in loads:
            load.start()
        try:
            seen, turns = self.soak(loads)
        finally:
            for load in loads:
                load.end()
        for load in loads:
            self.assertEqual(load.bad, [])
            self.assertGreater(load.calls, 0)
        calls = sum(load.calls for load in loads)
        count = "SELECT count(*), count(DISTINCT call_id) FROM cdr.call WHERE call_id LIKE '%@load' AND status = 200"
        wait_for("all call records", lambda: self.stack.sql(count).split("|")[0] == str(calls), 30)
        self.assertEqual(self.stack.sql(count), f"{calls}|{calls}", "each exactly once")
        log = pathlib.Path(self.stack.log("gc1")).read_text(errors="replace")
        self.assertNotIn("gc.reload_failed", log)
        self.assertGreater(log.count("gc.reloaded"), turns // 2, "reloads are taken over")  # two that come at once are one
        print(f"     {calls} calls, {turns} reloads", flush=True)
        for name, samples in seen.items():
            self.check_flat(name, samples)
