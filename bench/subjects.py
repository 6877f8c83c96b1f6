"""What bench/run measures: Headgate, and Kamailio by one of its two configurations. A subject knows its processes, how calls
are put through it, how many transactions it holds and how many calls it has recorded. Standard library only."""
import glob
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "tools"), str(TOP / "tests/system"), str(TOP / "tests/vectors")]
import macsip  # noqa: E402
from hglib import Daemon, Failed, wait_for  # noqa: E402

KAMAILIO = shutil.which("kamailio") or ("/usr/sbin/kamailio" if os.path.exists("/usr/sbin/kamailio") else None)
KAMCMD = shutil.which("kamcmd") or "/usr/sbin/kamcmd"
LOAD_SECONDS = 400


def cpu_us(pids):
    """On-CPU time of all threads of these processes."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                total += int(pathlib.Path(path).read_text().split()[0])
            except (OSError, IndexError):
                pass
    return total / 1000


def pss_kib(pids):
    """Proportional set size: memory that these processes share counts once."""
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def children_of(pid):
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            found += map(int, pathlib.Path(path).read_text().split())
        except OSError:
            pass
    return found


def pin(pids, cpus):
    """All threads of these processes to these processors; those that come later inherit it."""
    for pid in pids if cpus else ():
        for path in glob.glob(f"/proc/{pid}/task/*"):
            try:
                os.sched_setaffinity(int(path.rsplit("/", 1)[1]), cpus)
            except ProcessLookupError:
                pass


class Subject:
    """name; scheme: the load generator's option and file; cpus: where it runs, None anywhere."""

    def __init__(self, name, stack, cpus, local, proof, parties):
        self.name, self.stack, self.cpus, self.local, self.proof, self.parties = name, stack, cpus, local, proof, parties

    def run(self, calls, rate, *words):
        """One load; its figures, with the CPU time for each call."""
        argv = [TOP / "build/release-gcc/bench/load", "--gc", self.address, "--local", self.local, "--domain", self.stack.domain,
                self.proof, self.parties, "--calls", calls, "--rate", rate, "--uas-port", 5080, *words]
        pids, database = self.pids(), self.database_pids()
        before, db_before, began = cpu_us(pids), cpu_us(database), time.monotonic()
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=LOAD_SECONDS, check=False)
        if not done.stdout:
            raise Failed(f"load on {self.name}: {done.stderr}")
        figures = json.loads(done.stdout)
        used = cpu_us(pids) - before
        figures["offered_rate"] = rate
        figures["said"] = done.stderr.splitlines()[:3]
        figures["cpu_us_per_call"] = used / max(1, figures["ok"])
        figures["cpu_busy"] = used / 1e6 / (time.monotonic() - began)
        figures["database_us_per_call"] = (cpu_us(database) - db_before) / max(1, figures["ok"])
        return figures

    def database_pids(self):
        return []

    def restart(self):
        self.stop()
        self.start()


class Headgate(Subject):
    def __init__(self, stack, cpus, parties, env=None):
        super().__init__("headgate", stack, cpus, stack.net + "30", "--sessions", parties)
        self.address, self.env = f"{stack.gc_ip}:5060", env
        self.n_parties = sum(1 for _ in open(parties, encoding="ascii"))
        pin(self.pids(), cpus)

    def start(self):
        self.stack.start_gc(config=self.stack.path("gc1.yaml"), env=self.env)
        pin(self.pids(), self.cpus)
        wait_for("the sessions", lambda: self.stack.metric("headgate_sessions") >= self.n_parties, 20)

    def stop(self):
        self.stack.daemons["gc1"].stop()

    def pids(self):
        return [self.stack.daemons["gc1"].process.pid]

    def database_pids(self):
        postgres = self.stack.pid_of("postgres")
        return [postgres, *children_of(postgres), self.stack.pid_of("redis")]

    def transactions(self):
        return self.stack.metric("headgate_transactions")

    def records(self):
        return int(self.stack.sql("SELECT count(*) FROM cdr.call"))

    def messages(self):
        return self.stack.metric("headgate_messages_received_total") + self.stack.metric("headgate_messages_sent_total")


class Kamailio(Subject):
    """full: Digest, identity, location, dialogs, records; else a bare stateful relay."""

    def __init__(self, stack, cpus, parties, host, full):
        name = "kamailio" if full else "kamailio-relay"
        super().__init__(name, stack, cpus, f"{stack.net}{host + 1}", "--digest" if full else "--plain", parties)
        self.address, self.is_full = f"{stack.net}{host}:5060", full
        self.folder = pathlib.Path(stack.path(name))
        for part in ("db", "cdr"):
            (self.folder / part).mkdir(parents=True)
        if full:
            self.write_credentials()
        text = (TOP / "bench" / ("kamailio_full.cfg" if full else "kamailio.cfg")).read_text()
        for word, value in (("DOMAIN", stack.domain), ("LISTEN", self.address), ("CALLEE", f"{self.local}:5080"),
                            ("RUN", str(self.folder)), ("CHILDREN", str(2 * len(cpus or os.sched_getaffinity(0))))):
            text = text.replace(word, value)
        self.config = stack.write(name + ".cfg", text)
        self.daemon = None
        self.start()

    def write_credentials(self):
        rows = [line.split() for line in open(self.parties, encoding="ascii")]
        (self.folder / "db/version").write_text("id(int,auto) table_name(string) table_version(int)\n1:htable:2\n2:version:1\n")
        (self.folder / "db/htable").write_text(
            "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n"
            + "".join(f"{i}:{number}:0:0:{ha1}:0\n" for i, (number, ha1) in enumerate(rows, 1)))

    def start(self):
        argv = [KAMAILIO, "-f", self.config, "-P", self.folder / "pid", "-Y", self.folder, "-m", 4096, "-M", 16, "-b", 4194304, "-DD", "-E"]
        self.daemon = Daemon(self.name, argv, self.stack.log(self.name)).start()
        self.stack.daemons[self.name] = self.daemon
        wait_for(f"{self.name} to answer ({self.stack.log(self.name)})", self.transactions_or_none, 20)
        pin(self.pids(), self.cpus)

    def stop(self):
        self.daemon.stop()

    def pids(self):
        return [self.daemon.process.pid, *children_of(self.daemon.process.pid)]

    def transactions_or_none(self):
        done = subprocess.run([KAMCMD, "-s", f"unix:{self.folder}/ctl", "tm.stats"], capture_output=True, text=True, timeout=10, check=False)
        words = done.stdout.split()
        return (int(words[words.index("current:") + 1]), ) if "current:" in words else None

    def transactions(self):
        return self.transactions_or_none()[0]

    def records(self):
        return sum(path.read_bytes().count(b"\n") for path in (self.folder / "cdr").iterdir()) if self.is_full else None


# ---- parties --------------------------------------------------------------------------------------------------------------
def make_sessions(stack, n):
    """Lines, numbers and BTIs by SQL; sessions sealed as the provisioning server seals them. The load generator's file."""
    stack.sql("""WITH a AS (INSERT INTO core.account (name) VALUES ('bench') RETURNING account_id),
        l AS (INSERT INTO core.line (account_id) SELECT account_id FROM a, generate_series(1, %d) RETURNING line_id),
        r AS (SELECT line_id, row_number() OVER (ORDER BY line_id) - 1 AS i FROM l),
        n AS (INSERT INTO core.number (number, line_id) SELECT '+1908555' || lpad(i::text, 4, '0'), line_id FROM r RETURNING 1)
        INSERT INTO core.bti (bti_id, line_id) SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), line_id FROM r""" % n)
    rows = stack.sql("""SELECT number, line_id, encode(bti_id, 'hex') FROM core.number JOIN core.bti USING (line_id)
        WHERE number LIKE '+1908555%' ORDER BY number""")
    key = pathlib.Path(stack.path("cluster.key")).read_bytes()
    redis = macsip.Redis(stack.redis.removeprefix("unix:"))
    lines = []
    wait_for("the lines in the snapshot", lambda: stack.metric("headgate_snapshot_lines") >= n, 20)
    for row in rows.splitlines():
        number, line, bti = row.split("|")
        session = macsip.Session(line_id=int(line), bti_id=bytes.fromhex(bti))
        macsip.inject(redis, key, session)
        lines.append(f"{number} {session.kid.hex()} {session.mac_up.hex()} {session.mac_down.hex()}")
    wait_for("the sessions", lambda: stack.metric("headgate_sessions") >= n, 20)
    return stack.write("sessions", "\n".join(lines) + "\n")


def make_credentials(stack, sessions):
    """The same numbers with Digest credentials, HA1 of RFC 7616 with SHA-256; and the bare numbers."""
    numbers = [line.split()[0] for line in open(sessions, encoding="ascii")]
    ha1 = [hashlib.sha256(f"{number}:{stack.domain}:of {number}".encode()).hexdigest() for number in numbers]
    return (stack.write("credentials", "".join(f"{number} {h}\n" for number, h in zip(numbers, ha1))),
            stack.write("numbers", "".join(number + "\n" for number in numbers)))
