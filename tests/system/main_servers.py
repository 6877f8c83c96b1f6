"""The daemons as an operator meets them: provisioning servers that die, configurations that change, draining, and what is told over
HTTP."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

from hglib import wait_for
from macsip import MacBti
from stacked import SDP, StackTest, telephone

ALICE, BOB = "+12125550101", "+12125550102"
EX_CONFIG = 78


class Servers(StackTest):
    last = 20

    @classmethod
    def prepare(cls, stack):
        """A second provisioning server; the gate controller asks both, often."""
        stack.ctl("pki", "ps", stack.path("pki"), "ps2." + stack.domain)
        stack.start_ps("ps2", stack.net + "3")
        stack.daemons["gc1"].stop()
        stack.start_gc(config=stack.gc_config(ps=[stack.net + "2", stack.net + "3"], settings={"provisioning.ping": "200ms"}))
        stack.wait_ps_healthy(2)

    def new(self):
        """A BTI with an address and an order of its own."""
        cls = type(self)
        cls.last += 1
        name = f"bti{cls.last}"
        account = self.stack.ctl_json("account", "add", name)["account"]
        line = self.stack.ctl_json("line", "add", account, f"+121255502{cls.last}")["line"]
        bti = self.stack.bti(name, f"{self.stack.net}{cls.last}")
        bti.order = self.stack.quick_order(line)
        return bti

    def log_text(self, name):
        return pathlib.Path(self.stack.log(name)).read_text(encoding="utf-8")

    def hup(self, name, event):
        """SIGHUP, and the lines of the log since then, once one has this event."""
        before = len(self.log_text(name))
        self.stack.daemons[name].signal(signal.SIGHUP)
        return wait_for(f"{event} in {self.stack.log(name)}",
                        lambda: (text := self.log_text(name)[before:]) and f'"{event}"' in text and text.endswith("\n") and text)

    def healthy(self):
        return sum(bool(s["healthy"]) for s in self.stack.ctl_json("ps"))

    def ask(self, path, ip=None, port=9070):
        """(status, content type, text)"""
        try:
            with urllib.request.urlopen(f"http://{ip or self.stack.gc_ip}:{port}{path}", timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers["Content-Type"], answer.read().decode()

    def asked_for_611(self):
        """A stranger's call to 611: the final response."""
        type(self).last += 1
        with MacBti(None, None, None, "x", self.stack.domain, (self.stack.gc_ip, 5060), f"{self.stack.net}{self.last}") as phone:
            return phone.final(phone.invite(f"sip:611@{self.stack.domain}", SDP))

    # ---- provisioning servers
    def test_one_dies_then_the_other(self):
        ps1, ps2 = self.stack.daemons["ps1"], self.stack.daemons["ps2"]
        enrolled = 'headgate_prov_enrolments_total{outcome="enrolled"}'
        before = self.stack.metric(enrolled, self.stack.net + "3", 9071)
        bti, other = self.new(), self.new()
        ps1.kill()
        try:
            bti.enroll(bti.order)  # nobody has told the gate controller
            wait_for("the gate controller to see it", lambda: self.healthy() == 1)
            other.enroll(other.order)
            self.assertEqual(self.stack.metric(enrolled, self.stack.net + "3", 9071), before + 2)
            ps2.kill()
            wait_for("the gate controller to see that too", lambda: self.healthy() == 0)
            answer = self.asked_for_611()
            self.assertEqual(answer.status, 503)
            self.assertGreater(int(answer.get("retry-after")), 0)
            self.assertEqual(self.ask("/readyz")[0], 200, "calls go on")
        finally:
            for d in (ps1, ps2):
                d.kill()
                d.start().ready()
        self.stack.wait_ps_healthy(2)
        self.assertEqual(self.asked_for_611().status, 488, "a provisioning server's own answer to an offer without control channel")

    def test_a_new_certificate_without_a_restart(self):
        """The new pair has another name, so the BTI tells which one it was shown."""
        s, old, new = self.stack, f"ps1.{self.stack.domain}", f"ps1b.{self.stack.domain}"
        paths = [s.path(f"pki/{old}{end}") for end in (".pem", ".key")]
        kept = [shutil.copy2(p, p + ".kept") for p in paths]
        s.ctl("pki", "ps", s.path("pki"), new)
        self.only(s.net + "2")
        bti, pid = self.new(), s.daemons["ps1"].process.pid
        try:
            bad = self.new()
            os.replace(shutil.copy2(s.path(f"pki/{new}.pem"), paths[0] + ".new"), paths[0])  # the key is still the old one
            before = self.log_text("ps1").count('"prov.reloaded"')
            said = len(self.log_text("ps1"))
            s.daemons["ps1"].signal(signal.SIGHUP)
            wait_for("the pair to be refused", lambda: '"level":"error"' in self.log_text("ps1")[said:])
            self.assertEqual(self.log_text("ps1").count('"prov.reloaded"'), before)
            bad.enroll(bad.order, None, None, "--ps-name", old)
            os.replace(shutil.copy2(s.path(f"pki/{new}.key"), paths[1] + ".new"), paths[1])
            self.hup("ps1", "prov.reloaded")
            self.assertEqual(bti.enroll(bti.order, None, None, "--ps-name", old, check=False).returncode, 4)
            bti.enroll(bti.order, None, None, "--ps-name", new)
            self.assertEqual(s.daemons["ps1"].process.pid, pid)
        finally:
            for path, was in zip(paths, kept):
                os.replace(was, path)
            self.hup("ps1", "prov.reloaded")
            s.daemons["ps2"].start().ready()
        s.wait_ps_healthy(2)

    def only(self, ip):
        """The other provisioning server is stopped, and not asked any more."""
        self.assertEqual(self.stack.daemons["ps2"].stop(), 0)
        wait_for("the gate controller to see it", lambda: [ip in json.dumps(p) for p in self.stack.ctl_json("ps") if p["healthy"]] == [True])

    # ---- configurations
    def test_reload(self):
        phone = self.closing(telephone(self.stack, "+12125550111", self.stack.net + "111"))
        path = pathlib.Path(self.stack.path("gc1.yaml"))
        good = path.read_text(encoding="utf-8")
        try:
            for bad in (good + "nonsense:\n  at: all\n", good.replace("udp:", "carrier-pigeon:"), "]["):
                path.write_text(bad, encoding="utf-8")
                text = self.hup("gc1", "gc.reload_failed")
                self.assertNotIn('"gc.reloaded"', text)
                self.assertEqual(phone.register().status, 200)
                self.assertEqual(self.ask("/readyz")[0], 200)
            path.write_text(good + "limits:\n  drain: 20s\n", encoding="utf-8")
            text = self.hup("gc1", "gc.reloaded")
            self.assertNotIn('"gc.reload_needs_restart"', text)
            path.write_text(good.replace("sip:\n", "sip:\n  timer_c: 99s\n", 1), encoding="utf-8")
            text = self.hup("gc1", "gc.reloaded")
            self.assertRegex(text, r'"gc\.reload_needs_restart"[^\n]*sip\.timer_c')
        finally:
            path.write_text(good, encoding="utf-8")
        self.assertNotIn('"gc.reload_needs_restart"', self.hup("gc1", "gc.reloaded"))
        self.assertEqual(phone.register(expires=0).status, 200)

    def run_daemon(self, program, config, word):
        return subprocess.run([self.stack.bin / program, "--config", config, word], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=20, check=False)

    def test_check_config(self):
        for program, node in (("headgate", "gc1"), ("headgate-prov", "ps1")):
            with self.subTest(program=program):
                good = pathlib.Path(self.stack.path(f"{node}.yaml"))
                done = self.run_daemon(program, good, "--check-config")
                self.assertEqual(done.returncode, 0, done.stderr)
                text = good.read_text(encoding="utf-8")
                for bad in ("limits:\n  drain: soon\n", "limits:\n  dräin: 1s\n", "limits:\n  no_such_thing: 1\n"):
                    path = self.stack.write("bad.yaml", text + bad)
                    line = (text + bad).count("\n")
                    done = self.run_daemon(program, path, "--check-config")
                    self.assertEqual(done.returncode, EX_CONFIG, bad)
                    self.assertRegex(done.stderr, rf"bad\.yaml:{line}:\d+: ")
                self.assertEqual(self.run_daemon(program, self.stack.path("none.yaml"), "--check-config").returncode, EX_CONFIG)

    def test_print_config_shows_no_secret(self):
        secret = "s3cret-" + os.urandom(8).hex()
        file = self.stack.write("redis.password", secret + "\n")
        os.chmod(file, 0o600)
        for program, node in (("headgate", "gc1"), ("headgate-prov", "ps1")):
            with self.subTest(program=program):
                text = pathlib.Path(self.stack.path(f"{node}.yaml")).read_text(encoding="utf-8")
                path = self.stack.write("secret.yaml", text.replace("redis:\n", f'redis:\n  password: "${{file:{file}}}"\n', 1))
                done = self.run_daemon(program, path, "--print-config")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(self.stack.redis, done.stdout)
                self.assertIn("password:", done.stdout)
                self.assertNotIn(secret, done.stdout + done.stderr)
                self.assertEqual(self.run_daemon(program, self.stack.write("printed.yaml", done.stdout), "--check-config").returncode, 0)

    # ---- told over HTTP
    def test_health_and_metrics(self):
        for ip, port, name in ((None, 9070, "headgate_calls_total"), (self.stack.net + "2", 9071, "headgate_prov_enrolments_total")):
            with self.subTest(server=name):
                status, kind, text = self.ask("/livez", ip, port)
                self.assertEqual((status, json.loads(text)), (200, {"live": True}))
                status, kind, text = self.ask("/readyz", ip, port)
                self.assertEqual((status, [json.loads(text)[k] for k in ("postgres", "redis", "draining")]), (200, ["up", "up", False]))
                status, kind, text = self.ask("/metrics", ip, port)
                self.assertEqual(status, 200)
                self.assertTrue(kind.startswith("text/plain"), kind)
                self.assertIn(f"\n# TYPE {name} counter\n", text)
                self.assertRegex(text, rf"(?m)^{name}\{{[^}}]+\}} \d+$")
                self.assertEqual(self.ask("/etc/passwd", ip, port)[0], 404)

    # ---- draining
    def test_told_again_and_again_to_stop(self):
        """What it does at the end (call records, goodbyes) is not cut short by further signals."""
        for name in ("gc1", "ps2"):
            d = self.stack.daemons[name]
            try:
                with self.subTest(daemon=name):
                    end = time.monotonic() + 10
                    while d.process.poll() is None and time.monotonic() < end:
                        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                            d.signal(number)
                    self.assertEqual(d.process.wait(1), 0)
            finally:
                d.stop()
                d.start().ready()
        self.stack.wait_ps_healthy(2)

    def test_drain_waits_for_the_last_call(self):
        alice, bob = (self.closing(telephone(self.stack, n, f"{self.stack.net}{i}")) for n, i in ((ALICE, 11), (BOB, 12)))
        self.assertEqual(bob.register().status, 200)
        d = self.stack.daemons["gc1"]
        live = alice.invite(BOB, SDP)
        bob.answer(bob.expect_request("INVITE"), SDP, timeout=0)
        self.assertEqual(alice.final(live).status, 200)
        self.assertIsNotNone(bob.expect_request("ACK"))
        d.signal(signal.SIGTERM)
        try:
            ready = wait_for("it to be told", lambda: (r := self.ask("/readyz"))[0] == 503 and json.loads(r[2]))
            self.assertEqual((ready["ready"], ready["draining"]), (False, True))
            self.assertEqual(self.ask("/livez")[0], 200)
            refused = 'headgate_calls_refused_total{reason="draining"}'
            before = self.gc(refused)
            answer = alice.final(alice.invite(BOB, SDP))
            self.assertEqual(answer.status, 503)
            self.assertGreater(int(answer.get("retry-after")), 0)
            self.assertEqual(self.asked_for_611().status, 503)
            self.grown(self.gc, refused, before, 2)
            self.assertIsNone(d.process.poll(), "the call is still there")
            bye = alice.bye_message(live.dialog)
            alice.send(bye)
            bob.send(bob.response_message(bob.expect_request("BYE"), 200, "OK"))
            self.assertEqual(alice.expect_response(bye).status, 200)
            self.assertEqual(d.process.wait(10), 0)
            self.assertNotIn("gc.drain_limit", self.log_text("gc1"))
        finally:
            d.stop()
            d.start().ready()
        self.stack.wait_ps_healthy(2)
