"""A private Headgate on loopback: databases, keys, certificates, daemons, BTIs. Used by tools/demo, tools/stack and the
system tests. Every stack has a loopback network of its own (127.A.B.0/24), so that stacks never meet and nothing needs a
fixed port. Standard library only."""
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import random
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent
READY_WAIT_S = 20


class Failed(Exception):
    """Something did not come about; the text says what, and where the log is."""


PATIENCE = 20.0  # a busy machine is no fault; what never comes costs this once


def wait_for(what, probe, seconds=PATIENCE):
    """Polls until probe() gives something true; returns it. Never gives up before PATIENCE."""
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


class Daemon:
    """A child of ours with its log in a file; stopped by SIGTERM, then SIGKILL, never by name. own_session False: it keeps our terminal,
    in a process group of its own (sudo passes no signal on that comes from its own group)."""

    def __init__(self, name, argv, log, ready_url=None, env=None, own_session=True):
        self.name, self.argv, self.log, self.ready_url, self.env = name, [str(a) for a in argv], log, ready_url, env
        self.own_session = own_session
        self.process = None

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
                                            start_new_session=self.own_session, preexec_fn=None if self.own_session else os.setpgrp)
        return self

    def ready(self):
        def probe():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}: {tail(self.log)}")
            try:
                with urllib.request.urlopen(self.ready_url, timeout=2) as answer:
                    return answer.status == 200
            except (urllib.error.URLError, OSError):
                return False
        wait_for(f"{self.name} to be ready ({self.log})", probe, READY_WAIT_S)
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=10):
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self):
        self.process.kill()
        return self.process.wait()


def tail(path, lines=12):
    try:
        return "".join(open(path, encoding="utf-8", errors="replace").readlines()[-lines:])
    except OSError:
        return "(no log)"


def free_network():
    """127.A.B. with nobody on its first address's SIP port."""
    while True:
        prefix = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}."
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((prefix + "1", 5060))
                return prefix
            except OSError:
                continue


def with_settings(text, settings):
    """A configuration text with further settings, {"section.name": value as YAML}; one that is there already is replaced."""
    for dotted, value in (settings or {}).items():
        section, name = dotted.split(".")
        head = f"\n{section}:\n"
        if head not in text:
            text += head.lstrip("\n")
        before, after = ("\n" + text).split(head, 1)
        lines = after.split("\n")
        end = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
        kept = [line for line in lines[:end] if not line.startswith(f"  {name}:")]
        text = (before + head + "\n".join([f"  {name}: {value}"] + kept + lines[end:]))[1:]
    return text


class UnixHttp(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=30):
        super().__init__("headgate", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """Of headgate-admin: status, headers (case does not matter), body (octets), json."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:2000]}"


class Api:
    """A way to headgate-admin: `connect` makes a connection. Each request has its own, or `keep` them on one."""

    def __init__(self, connect, token=None, base="/api/v1", keep=False):
        self.connect, self.token, self.base, self.keep, self.open = connect, token, base, keep, None

    def ask(self, method, path, body=None, headers=None, expect=None):
        """path: below /api/v1. body: JSON, or octets as they are. expect: a status, or several."""
        head = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None and not isinstance(body, bytes):
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            body, head["Content-Type"] = json.dumps(body).encode(), kind
        head.update(headers or {})
        connection = self.open or self.connect()
        try:
            connection.request(method, self.base + path, body, head)
            answer = Answer(connection.getresponse())
        finally:
            if self.keep:
                self.open = connection
            else:
                connection.close()
        if expect is not None and answer.status not in (expect if isinstance(expect, tuple) else (expect,)):
            raise Failed(f"{method} {path}: {answer}")
        return answer

    def get(self, path, **more):
        return self.ask("GET", path, **{"expect": 200, **more}).json

    def post(self, path, body=None, **more):
        return self.ask("POST", path, body, **{"expect": (200, 201, 202), **more}).json

    def patch(self, path, body, **more):
        """With the ETag of now, unless headers say another."""
        if "headers" not in more:
            more["headers"] = {"If-Match": self.ask("GET", path, expect=200).headers["ETag"]}
        return self.ask("PATCH", path, body, **{"expect": 200, **more}).json


class Stack:
    """gc at .1, provisioning servers at .2, .3 ..., BTIs wherever they like."""

    def __init__(self, folder=None, bin_folder=None, workers=2):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="headgate.", dir="/tmp"))
        self.folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.folder, 0o711)
        self.bin = pathlib.Path(bin_folder or os.environ.get("HEADGATE_BIN", TOP / "build/release-gcc/bin"))
        self.net = free_network()
        self.workers = workers
        self.domain = "headgate.test"
        self.daemons = {}
        self.gc_ip = self.net + "1"

    # ---- paths and addresses
    @property
    def infra(self):
        return self.folder / "infra"

    @property
    def pg_host(self):
        return self.infra / "run"

    @property
    def redis(self):
        return f"unix:{self.infra}/run/redis.sock"

    def conninfo(self, role):
        return f"host={self.pg_host} dbname=headgate user={role}"

    def path(self, name):
        return str(self.folder / name)

    def log(self, name):
        return self.path(name + ".log")

    # ---- making it
    def devstack(self, *words):
        subprocess.run([TOP / "tools/devstack", *words, self.infra], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, env={**os.environ, "DEVSTACK_TEMPLATE": str(TOP / "build/empty-cluster")})

    def write(self, name, text):
        pathlib.Path(self.path(name)).write_text(text, encoding="utf-8")
        return self.path(name)

    def start_infra(self):
        self.devstack("start")
        self.write("ctl.yaml", f"""
admin:
  socket: "{self.path('admin.sock')}"
database:
  conninfo: "{self.conninfo('headgate')}"
  migrations: "{TOP}/migrations"
""")
        self.ctl("migrate")

    def make_keys(self):
        for name in ("cluster", "command", "kek", "work_order"):
            if not os.path.exists(self.path(name + ".key")):
                self.ctl("key", "new", self.path(name + ".key"))
        if not os.path.exists(self.path("pki/root.pem")):
            self.ctl("pki", "init", self.path("pki"), "--name", "Demo Service Provider Root")
            self.ctl("pki", "ps", self.path("pki"), "ps1." + self.domain)

    def gc_config(self, node="gc1", ip=None, ps=None, settings=None):
        ip = ip or self.gc_ip
        servers = ", ".join(f'"udp:{p}:5070"' for p in (ps or [self.net + "2"]))
        return self.write(f"{node}.yaml", with_settings(f"""
node:
  name: "{node}"
  domain: "{self.domain}"
  workers: {self.workers}
sip:
  listen: ["udp:{ip}:5060", "tcp:{ip}:5060", "tls:{ip}:5061"]
health:
  listen: "{ip}:9070"
control:
  socket: "{self.path('control.sock' if node == 'gc1' else node + '.sock')}"
database:
  conninfo: "{self.conninfo('hg_gc')}"
redis:
  address: "{self.redis}"
state:
  snapshot: "{self.path(node + '.snapshot')}"
  spill: "{self.path(node + '.spill')}"
keys:
  cluster: "{self.path('cluster.key')}"
  command: "{self.path('command.key')}"
provisioning:
  servers: [{servers}]
emergency:
  next_hops: ["sip:{self.net}9:5060"]
peers:
  trusted: ["{self.net}9"]
""", settings))

    def ps_config(self, node="ps1", ip=None, pki="pki", certificate=None, controllers=None, settings=None):
        ip = ip or self.net + "2"
        certificate = certificate or f"{pki}/{node}.{self.domain}"
        gates = ", ".join(f'"{g}"' for g in (controllers or [
            f"gc1=udp:{self.gc_ip}:5060,tcp:{self.gc_ip}:5060,tls:{self.gc_ip}:5061"]))
        return self.write(f"{node}.yaml", with_settings(f"""
node:
  name: "{node}"
  domain: "{self.domain}"
sip:
  listen: ["udp:{ip}:5070"]
control:
  listen: "{ip}:7611"
rtp:
  address: "{ip}"
health:
  listen: "{ip}:9071"
database:
  conninfo: "{self.conninfo('hg_prov')}"
redis:
  address: "{self.redis}"
keys:
  certificate: "{self.path(certificate + '.pem')}"
  private_key: "{self.path(certificate + '.key')}"
  kek: "{self.path('kek.key')}"
  work_order: "{self.path('work_order.key')}"
  cluster: "{self.path('cluster.key')}"
gates:
  controllers: [{gates}]
prompts:
  dir: "{TOP}/provisioning/prompts"
""", settings))

    def start_gc(self, node="gc1", ip=None, config=None, env=None):
        ip = ip or self.gc_ip
        config = config or self.gc_config(node, ip)
        d = Daemon(node, [self.bin / "headgate", "--config", config], self.log(node), f"http://{ip}:9070/readyz", env)
        self.daemons[node] = d
        return d.start().ready()

    def start_ps(self, node="ps1", ip=None, config=None):
        ip = ip or self.net + "2"
        config = config or self.ps_config(node, ip)
        d = Daemon(node, [self.bin / "headgate-prov", "--config", config], self.log(node), f"http://{ip}:9071/readyz")
        self.daemons[node] = d
        return d.start().ready()

    @property
    def admin_address(self):
        """Of the API: HTTP, or HTTPS when admin_config() was given certificates."""
        return self.gc_ip, 8443

    def admin_config(self, node="admin1", ip=None, gates=("gc1",), settings=None):
        sockets = ", ".join(f'"{self.path("control.sock" if g == "gc1" else g + ".sock")}"' for g in gates)
        ip = ip or self.admin_address[0]
        return self.write(f"{node}.yaml", with_settings(f"""
admin:
  listen: "{ip}:8443"
  socket: "{self.path('admin.sock' if node == 'admin1' else node + '.sock')}"
health:
  listen: "{ip}:9072"
database:
  conninfo: "{self.conninfo('hg_api')}"
  trace_conninfo: "{self.conninfo('hg_trace')}"
gates:
  sockets: [{sockets}]
redis:
  address: "{self.redis}"
keys:
  command: "{self.path('command.key')}"
  work_order: "{self.path('work_order.key')}"
""", settings))

    def start_admin(self, node="admin1", ip=None, config=None):
        ip = ip or self.admin_address[0]
        config = config or self.admin_config(node, ip)
        d = Daemon(node, [self.bin / "headgate-admin", "--config", config], self.log(node), f"http://{ip}:9072/readyz")
        self.daemons[node] = d
        return d.start().ready()

    def api(self, token=None, node="admin1", keep=False):
        """Over the Unix socket, as who we are; with a token, as its administrator."""
        path = self.path("admin.sock" if node == "admin1" else node + ".sock")
        return Api(lambda: UnixHttp(path), token, keep=keep)

    def api_tcp(self, token=None, tls=None, keep=False):
        """Over TCP: tls is an ssl.SSLContext, or None for plain."""
        ip, port = self.admin_address
        return Api(lambda: http.client.HTTPSConnection(ip, port, timeout=30, context=tls) if tls
                   else http.client.HTTPConnection(ip, port, timeout=30), token, keep=keep)

    def up(self, gc_settings=None, ps_settings=None, admin_settings=None):
        self.start_infra()
        self.make_keys()
        self.start_ps(config=self.ps_config(settings=ps_settings))
        self.start_gc(config=self.gc_config(settings=gc_settings))
        self.start_admin(config=self.admin_config(settings=admin_settings))
        self.wait_ps_healthy()
        return self

    def wait_ps_healthy(self, n=1):
        wait_for("the gate controller to see the provisioning server",
                 lambda: sum(bool(s["healthy"]) for s in self.ctl_json("ps")) >= n, 10)

    def down(self, keep=False):
        for d in reversed(list(self.daemons.values())):
            d.stop()
        self.devstack("stop")
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.down(keep=True)
            raise

    def __exit__(self, kind, value, trace):
        self.down(keep=kind is not None)

    # ---- operating it
    def ctl(self, *words, check=True, config="ctl.yaml"):
        done = subprocess.run([self.bin / "headgatectl", "--config", self.path(config), *words],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode != 0:
            raise Failed(f"headgatectl {' '.join(words)}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout if check else done

    def ctl_json(self, *words, config="ctl.yaml"):
        return json.loads(self.ctl("-o", "json", *words, config=config))

    def sql(self, text, role="headgate"):
        psql = shutil.which("psql") or "/usr/bin/psql"
        return subprocess.run([psql, "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.pg_host), "-U", role, "-d", "headgate",
                               "-c", text], check=True, capture_output=True, text=True,
                              timeout=30).stdout.strip()

    def pid_of(self, which):
        name = {"postgres": "pg/postmaster.pid", "redis": "run/redis.pid"}[which]
        return int((self.infra / name).read_text().split()[0])

    def halt(self, *which):
        """SIGSTOP to PostgreSQL or Redis and what it started, first to whoever starts more; the stopped ones, for go_on()."""
        halted = []
        for pid in map(self.pid_of, which):
            os.kill(pid, signal.SIGSTOP)
            halted.append(pid)
            for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                try:
                    os.kill(int(child), signal.SIGSTOP)
                    halted.append(int(child))
                except ProcessLookupError:
                    pass  # its work was done
        return halted

    @staticmethod
    def go_on(halted):
        for pid in halted:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def metric(self, name, ip=None, port=9070):
        with urllib.request.urlopen(f"http://{ip or self.gc_ip}:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith(name) and line[len(name)] in " {")

    def new_line(self, number, name="Subscriber"):
        """Account, line, number and a work order: (line id, work-order digits)."""
        account = self.ctl_json("account", "add", name)["account"]
        line = self.ctl_json("line", "add", account, number, "--name", name, "--caller-id", "yes")["line"]
        return line, self.ctl_json("workorder", "new", line)["work_order"]

    def quick_order(self, line, digits=None):
        """A work order of four digits, put straight into the database: keying in twelve takes three seconds."""
        digits = digits or f"{random.randrange(10000):04}"
        key = pathlib.Path(self.path("work_order.key")).read_bytes()
        digest = hmac.new(key, digits.encode(), hashlib.sha256).hexdigest()
        done = self.sql(f"INSERT INTO prov.work_order (digest, hint, line_id, expires_at) VALUES ('\\x{digest}', '{digits[-2:]}', "
                        f"{line}, now() + interval '1 day') ON CONFLICT DO NOTHING RETURNING work_order_id")
        return digits if done else self.quick_order(line)

    def bti(self, name, ip):
        return Bti(self, name, ip)

    def enrolled(self, name, ip, number):
        account = self.ctl_json("account", "add", name)["account"]
        line = self.ctl_json("line", "add", account, number, "--name", name, "--caller-id", "yes")["line"]
        bti = self.bti(name, ip)
        bti.enroll(self.quick_order(line))
        bti.line = line
        return bti


class Running:
    """A bti that goes on: its --machine events arrive in a queue."""

    def __init__(self, argv, log, stdin=subprocess.DEVNULL):
        self.argv = [str(a) for a in argv]
        self.log = log
        self.events = []
        self.changed = threading.Condition()
        self.err = open(log, "ab")
        self.process = subprocess.Popen(self.argv, stdin=stdin, stdout=subprocess.PIPE, stderr=self.err,
                                        text=True, start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "text", "text": line.rstrip()}
            with self.changed:
                self.events.append(event)
                self.changed.notify_all()
        with self.changed:
            self.events.append({"event": "eof"})
            self.changed.notify_all()

    def seen(self, name, **fields):
        return [e for e in list(self.events) if e.get("event") == name and all(e.get(k) == v for k, v in fields.items())]

    def wait(self, name, seconds=PATIENCE, **fields):
        """The first event of that name (and with these fields) since the start."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for e in self.events:
                    if e.get("event") == name and all(e.get(k) == v for k, v in fields.items()):
                        return e
                if time.monotonic() > end or self.events and self.events[-1].get("event") == "eof":
                    raise Failed(f"{' '.join(self.argv[:3])}: no event {name} {fields}; saw {self.events[-6:]}; {tail(self.log)}")
                self.changed.wait(0.2)

    def exit(self, seconds=30):
        code = self.process.wait(seconds)
        self.reader.join(5)
        self.err.close()
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.exit()


class Bti:
    def __init__(self, stack, name, ip):
        self.stack, self.name, self.ip = stack, name, ip
        self.store = stack.path(name + ".bti")
        self.line = None

    def argv(self, command, *words):
        return [self.stack.bin / "bti", command, *words, "--store", self.store, "--local", self.ip]

    def run(self, command, *words, seconds=60, machine=True):
        argv = self.argv(command, *words) + (["--machine"] if machine else [])
        return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds, check=False)

    def enroll_argv(self, order, root=None, gc=None, *words):
        secret = self.stack.write(self.name + ".order", order + "\n")
        os.chmod(secret, 0o600)
        return ["--root", root or self.stack.path("pki/root.pem"), "--gc", gc or f"{self.stack.gc_ip}:5060",
                "--domain", self.stack.domain, "--work-order-file", secret, *words]

    def enroll(self, order, root=None, gc=None, *words, check=True):
        done = self.run("enroll", *self.enroll_argv(order, root, gc, *words))
        if check and done.returncode != 0:
            raise Failed(f"{self.name}: enroll: exit {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done

    def status(self):
        return json.loads(self.run("status", "-o", "json", machine=False).stdout)

    def start(self, command, *words):
        return Running(self.argv(command, *words) + ["--machine"], self.stack.log(self.name + "." + command))

    def listen(self, *words):
        running = self.start("listen", *words)
        running.wait("registered", 15)
        return running

    def call(self, number, *words):
        return self.start("call", number, *words)


class Relay:
    """A hostile network between one BTI and the gate controller, on UDP: sees all, may change all, holds no key.
    change(octets, upward) -> octets or None (drop). source: the address under which it speaks to the gate controller."""

    def __init__(self, ip, gc, change=None, source=None):
        self.gc = gc
        self.change = change or (lambda octets, upward: octets)
        self.up = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.up.bind((ip, 5060))
        self.down = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.down.bind((source or ip, 0))
        self.client = None
        self.seen_up, self.seen_down = [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        poll = selectors.DefaultSelector()
        poll.register(self.up, selectors.EVENT_READ)
        poll.register(self.down, selectors.EVENT_READ)
        while not self.stopping.is_set():
            for key, _ in poll.select(0.1):
                octets, source = key.fileobj.recvfrom(65536)
                upward = key.fileobj is self.up
                if upward:
                    self.client = source
                (self.seen_up if upward else self.seen_down).append(octets)
                octets = self.change(octets, upward)
                if octets is None:
                    continue
                if upward:
                    self.down.sendto(octets, self.gc)
                elif self.client:
                    self.up.sendto(octets, self.client)

    def inject(self, octets):
        self.down.sendto(octets, self.gc)

    def close(self):
        self.stopping.set()
        self.thread.join(5)
        self.up.close()
        self.down.close()


def sip_request(method, uri, source, headers, body=b"", content_type=None, cseq=1, call_id=None, branch=None,
                sender="sip:anonymous@anonymous.invalid", tag=None):
    """A plain request as octets; headers: further lines."""
    unique = random.randbytes(8).hex()
    lines = [f"{method} {uri} SIP/2.0",
             f"Via: SIP/2.0/UDP {source[0]}:{source[1]};rport;branch={branch or 'z9hG4bK' + unique}",
             "Max-Forwards: 70", f"From: <{sender}>;tag={tag or unique}", f"To: <{uri}>",
             f"Call-ID: {call_id or unique + '@' + source[0]}", f"CSeq: {cseq} {method}",
             f"Contact: <sip:x@{source[0]}:{source[1]}>", *headers]
    if body:
        lines.append(f"Content-Type: {content_type or 'application/sdp'}")
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Wire:
    """A UDP socket that speaks raw SIP to the gate controller."""

    def __init__(self, ip, gc, port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, port))
        self.gc = gc

    @property
    def address(self):
        return self.socket.getsockname()

    def send(self, octets):
        self.socket.sendto(octets, self.gc)

    def receive(self, seconds):
        """One datagram, or None when nothing came in that time."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recvfrom(65536)[0]
        except (socket.timeout, BlockingIOError):
            return None

    def status(self, seconds=3, above=100):
        """Status of the first response above 100; None for silence."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            octets = self.receive(left) if left > 0 else None
            if octets is None:
                return None
            if octets.startswith(b"SIP/2.0 ") and int(octets[8:11]) > above:
                return int(octets[8:11])

    def close(self):
        self.socket.close()
