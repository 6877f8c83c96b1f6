"""Enrolment, seed steps 301-310: the ways it goes, and what happens when a try is wrong, an order is no good, a frame is lost, two
want the same order, or the provisioning server dies in between."""
import json
import os
import signal
import threading

from hglib import wait_for
from stacked import Between, Keypad, StackTest, at_once, ref

NEVER = "99999"  # a number that is no work order: theirs have four digits here, or twelve


class Enrolment(StackTest):
    ps_settings = {"limits.lockout": "3s"}
    gc_settings = {"limits.unproven_per_source": "200"}
    last_ip, last_number = 20, 100

    def new(self, name):
        """A BTI with an address of its own, a line, and an order for it."""
        cls = type(self)
        cls.last_ip, cls.last_number = cls.last_ip + 1, cls.last_number + 1
        account = self.stack.ctl_json("account", "add", name)["account"]
        line = self.stack.ctl_json("line", "add", account, f"+12125550{cls.last_number}")["line"]
        bti = self.stack.bti(name, f"{self.stack.net}{cls.last_ip}")
        bti.line, bti.number, bti.order = line, f"+12125550{cls.last_number}", self.stack.quick_order(line)
        return bti

    def more(self, name):
        """One more BTI, with an address but no line."""
        type(self).last_ip += 1
        return self.stack.bti(name, f"{self.stack.net}{type(self).last_ip}")

    def stored(self, bti):
        """How many BTIs, and how many long-term keys, the line of this one has."""
        return tuple(int(self.stack.sql(q + f" WHERE b.line_id = {bti.line}")) for q in (
            "SELECT count(*) FROM core.bti b",
            "SELECT count(*) FROM core.bti b JOIN prov.bti_key k USING (bti_id)"))

    def events(self, done):
        return [json.loads(line) for line in done.stdout.splitlines()]

    # ---- the ways it goes
    def test_every_way_at_once(self):
        secret = self.stack.write("pass", "correct horse battery\n")
        os.chmod(secret, 0o600)
        sealed = ["--passphrase-file", secret]
        ways = {"w-udp": [], "w-tcp": ["--transport", "tcp"], "w-symmetric": ["--symmetric"], "w-sealed": sealed,
                "w-inband": ["--digits-inband"], "w-256": ["--only-256", "--ps-name", "ps1." + self.stack.domain]}
        before = self.enrolments("enrolled")
        btis = {name: self.new(name) for name in ways}
        # One of them keys in what headgatectl gives out to customers: twelve digits.
        btis["w-udp"].order = self.stack.ctl_json("workorder", "new", btis["w-udp"].line)["work_order"]
        self.assertRegex(btis["w-udp"].order, r"^\d{12}$")
        done = at_once(*[lambda b=btis[n], w=words: b.enroll(b.order, None, None, *w) for n, words in ways.items()])
        self.grown(self.enrolments, "enrolled", before, len(ways))
        for name, run in zip(ways, done):
            with self.subTest(way=name):
                events = self.events(run)
                self.assertEqual([e["step"] for e in events if "step" in e],
                                 [301, 301, 302, 303, 304, 305, 306, 307, 308, 309, 309, 310, 310])
                self.assertEqual(self.stored(btis[name]), (1, 1))
                last = events[-1]
                self.assertEqual((last["event"], last["number"]), ("enrolled", btis[name].number))
                self.assertEqual(self.stack.sql("SELECT spent_by = b.bti_id FROM prov.work_order w JOIN core.bti b USING (line_id) "
                                                f"WHERE w.line_id = {btis[name].line}"), "t")
                self.assertEqual(os.stat(btis[name].store).st_mode & 0o777, 0o600)
                self.assertFalse(os.path.exists(btis[name].store + ".pending"))
        self.assertEqual(self.stack.sql(f"SELECT k.kind FROM prov.bti_key k JOIN core.bti b USING (bti_id) WHERE b.line_id = "
                                        f"{btis['w-symmetric'].line}"), "2")
        self.sealed_store(btis["w-sealed"], sealed)
        # Each gets a session and is reached by its number: what was enrolled is of use.
        ears = [self.stopping(b.start("listen", *(sealed if n == "w-sealed" else []))) for n, b in btis.items()]
        for ear, bti in zip(ears, btis.values()):
            self.assertEqual(ear.wait("registered", 15)["number"], bti.number)

    def sealed_store(self, bti, sealed):
        self.assertEqual(bti.run("status", machine=False).returncode, 6, "sealed: not without the passphrase")
        wrong = self.stack.write("wrong-pass", "correct horse batterie\n")
        os.chmod(wrong, 0o600)
        self.assertEqual(bti.run("status", "--passphrase-file", wrong, machine=False).returncode, 6)
        told = bti.run("status", "-o", "json", *sealed, machine=False)
        self.assertEqual(json.loads(told.stdout)["numbers"], [bti.number], told.stderr)
        self.assertNotIn(self.stack.domain.encode(), open(bti.store, "rb").read(), "what is sealed cannot be read")

    # ---- wrong tries
    def test_wrong_twice_then_right(self):
        bti = self.new("third")
        before = self.ps("headgate_prov_wrong_tries_total")
        pad = Keypad(bti)
        self.assertEqual([(v["accepted"], v["tries_left"]) for v in map(pad.type, (NEVER, NEVER + "1"))], [(False, 2), (False, 1)])
        self.assertEqual(self.stored(bti), (0, 0))
        self.assertTrue(pad.type(bti.order)["accepted"])
        self.assertEqual(pad.exit(), 0)
        self.assertEqual(self.stored(bti), (1, 1))
        self.grown(self.ps, "headgate_prov_wrong_tries_total", before, 2)
        self.forgiven(bti.ip)

    def forgiven(self, ip):
        """The first wrong try after an enrolment from this address is again just a wrong one."""
        other = self.stack.bti("after", ip)
        pad = Keypad(other)
        verdict = pad.type(NEVER + "12")
        self.assertEqual((verdict["accepted"], verdict["tries_left"]), (False, 2))
        pad.run.stop()

    def test_three_wrong_lock_the_source_for_longer_each_time(self):
        bti = self.new("locked")
        locked = self.enrolments("locked")
        pad = Keypad(bti)
        verdicts = [pad.type(NEVER + digit) for digit in "456"]
        self.assertEqual([v["tries_left"] for v in verdicts], [2, 1, 0])
        self.assertEqual(pad.exit(), 3)
        self.grown(self.enrolments, "locked", locked, 1)
        # The SETUP of a locked source is refused before anything is asked.
        refused = bti.enroll(bti.order, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertNotIn("setup_ack", refused.stdout)
        self.assertRegex(refused.stderr, r"locked for \d+ s \(SIP 480\)")
        self.assertEqual(self.stored(bti), (0, 0))
        # The lock ends; the next wrong try locks at once, and the right one is refused while that lasts.
        pad = wait_for("the first lock to end", lambda: self.keypad_or_none(bti), 15)
        self.assertEqual(pad.type(NEVER + "7")["tries_left"], 0, "locked at once")
        self.assertEqual(pad.exit(), 3)
        self.assertNotEqual(bti.enroll(bti.order, check=False).returncode, 0)
        # Another source is served all the while.
        elsewhere = self.more("elsewhere")
        self.assertEqual(elsewhere.enroll(bti.order).returncode, 0)

    def keypad_or_none(self, bti):
        pad = Keypad(bti)
        wait_for("ask or end", lambda: pad.run.seen("enter") or pad.run.seen("eof"), 10)
        if pad.run.seen("enter"):
            return pad
        pad.exit()
        return None

    def test_three_wrong_from_three_sources_lock_the_number(self):
        guess = "777"
        btis = [self.more(f"guess{i}") for i in range(3)]
        verdicts = [self.verdict_of(b, guess) for b in btis]
        self.assertEqual([v["tries_left"] for v in verdicts], [2, 2, 0], "the third guess at one number locks it")
        honest = self.new("honest")
        pad = Keypad(honest)
        self.assertEqual(pad.type(guess)["tries_left"], 0, "whoever keys it in while it is locked")
        self.assertEqual(pad.exit(), 3)
        self.assertEqual(honest.enroll(honest.order).returncode, 0, "but the source of that is not locked")

    def verdict_of(self, bti, digits):
        done = bti.enroll(digits, check=False)
        self.assertEqual(done.returncode, 3, done.stdout)
        return [e for e in self.events(done) if e["event"] == "verdict"][0]

    # ---- orders that are no good
    def test_orders_that_do_not_serve_any_more(self):
        expired, cancelled, spent = self.new("expired"), self.new("cancelled"), self.new("spent")
        self.stack.sql(f"UPDATE prov.work_order SET expires_at = now() - interval '1 second' WHERE line_id = {expired.line}")
        listed = {w["line"]: w for w in self.stack.ctl_json("workorder", "list")}
        self.stack.ctl("workorder", "cancel", listed[cancelled.line]["id"])
        self.assertEqual(self.stack.ctl("workorder", "cancel", listed[cancelled.line]["id"], check=False).returncode, 1)
        spent.enroll(spent.order)
        thief = self.more("thief")
        before = self.enrolments("spent")
        done = at_once(lambda: expired.enroll(expired.order, check=False), lambda: cancelled.enroll(cancelled.order, check=False),
                       lambda: thief.enroll(spent.order, check=False))
        self.assertEqual([d.returncode for d in done], [3, 3, 3], [d.stderr for d in done])
        self.grown(self.enrolments, "spent", before, 1)
        self.assertEqual([self.stored(b) for b in (expired, cancelled, spent)], [(0, 0), (0, 0), (1, 1)])
        for bti in (expired, cancelled, thief):
            self.assertFalse(os.path.exists(bti.store) or os.path.exists(bti.store + ".pending"), bti.name)
        states = {w["line"]: w["state"] for w in self.stack.ctl_json("workorder", "list")}
        self.assertEqual([states[b.line] for b in (expired, cancelled, spent)], ["expired", "cancelled", "spent"])

    def test_two_race_for_one_order(self):
        first = self.new("racer1")
        second = self.more("racer2")
        both_there = threading.Barrier(2, timeout=20)

        def hold(octets, upward):
            if upward and octets[1] == ref.USER_KEY:
                both_there.wait()
            return octets
        nets = [self.closing(Between(self.stack, b.ip, f"{self.stack.net}{200 + i}", hold)) for i, b in enumerate((first, second))]
        enrolled, spent = self.enrolments("enrolled"), self.enrolments("spent")
        done = at_once(*[lambda b=b, n=n: b.enroll(first.order, None, n.gate, check=False) for b, n in zip((first, second), nets)])
        self.assertEqual(sorted(d.returncode for d in done), [0, 3], [d.stderr for d in done])
        self.grown(self.enrolments, "enrolled", enrolled, 1)
        self.grown(self.enrolments, "spent", spent, 1)
        self.assertEqual(self.stored(first), (1, 1))
        winner, loser = (first, second) if done[0].returncode == 0 else (second, first)
        self.assertEqual(self.stack.sql(f"SELECT encode(spent_by, 'hex') FROM prov.work_order WHERE line_id = {first.line}"),
                         winner.status()["bti_id"])
        self.assertFalse(os.path.exists(loser.store))

    # ---- what is lost on the way
    def test_killed_between_steps(self):
        """SIGKILL when a frame is on its way; nothing is half stored, and the same order serves after a restart."""
        bti = self.new("patient")
        for i, kind in enumerate((ref.YO, ref.KEYS, ref.USER_KEY)):
            def kill(octets, upward, kind=kind):
                if upward and octets[1] == kind:
                    self.stack.daemons["ps1"].kill()
                    return Between.CUT
                return octets
            with self.subTest(frame=kind):
                net = Between(self.stack, bti.ip, f"{self.stack.net}{210 + i}", kill)
                try:
                    done = bti.enroll(bti.order, None, net.gate, check=False)
                finally:
                    net.close()
                self.assertEqual(done.returncode, 5, done.stdout + done.stderr)
                self.assertEqual(self.stack.daemons["ps1"].process.returncode, -signal.SIGKILL)
                self.assertEqual(self.stored(bti), (0, 0))
                self.assertFalse(os.path.exists(bti.store))
                self.stack.start_ps(config=self.stack.path("ps1.yaml"))
                self.stack.wait_ps_healthy()
        self.assertEqual(bti.enroll(bti.order).returncode, 0)
        self.assertEqual(self.stored(bti), (1, 1))

    def test_last_frame_lost_runs_again_with_the_same_key(self):
        bti = self.new("unlucky")
        net = self.closing(Between(self.stack, bti.ip, f"{self.stack.net}220",
                                   lambda octets, upward: octets if upward or octets[1] != ref.DONE else Between.CUT))
        done = bti.enroll(bti.order, None, net.gate, check=False)
        self.assertEqual(done.returncode, 5, done.stdout + done.stderr)
        self.assertIn("same work order", done.stderr)
        self.assertIn((ref.DONE, False), net.frames)
        self.assertEqual(self.stored(bti), (1, 1), "stored before the last frame")
        self.assertFalse(os.path.exists(bti.store))
        keys = ("SELECT encode(b.bti_id, 'hex'), encode(k_u, 'hex') FROM core.bti b JOIN prov.bti_key USING (bti_id) "
                f"WHERE line_id = {bti.line}")
        ltk = keys.replace("encode(k_u, 'hex')", "encode(ltk_sealed, 'hex')")
        before, ltk_before, again = self.stack.sql(keys), self.stack.sql(ltk), self.enrolments("again")
        # Two wrong tries on the way do not lock; the order of a BTI that has one does not forgive them either.
        pad = Keypad(bti)
        self.assertEqual([pad.type(NEVER + d)["tries_left"] for d in "89"], [2, 1])
        self.assertTrue(pad.type(bti.order)["accepted"])
        self.assertEqual(pad.exit(), 0)
        self.assertTrue(pad.run.seen("resumed"))
        self.grown(self.enrolments, "again", again, 1)
        self.assertEqual(self.stack.sql(keys), before, "the same bti_id and K_U")
        self.assertNotEqual(self.stack.sql(ltk), ltk_before, "a new long-term key")
        self.assertEqual(bti.status()["bti_id"], before.split("|")[0])
        self.stopping(bti.listen())
        guesser = self.stack.bti("guesser", bti.ip)
        self.assertEqual(self.verdict_of(guesser, NEVER + "0")["tries_left"], 0, "the third wrong try of this source")

    def test_the_order_again_with_another_key_is_refused(self):
        bti = self.new("twice")
        bti.enroll(bti.order)
        was = open(bti.store, "rb").read()
        self.assertEqual(bti.enroll(bti.order, check=False).returncode, 6, "enrolled already")
        self.assertEqual(bti.enroll(bti.order, None, None, "--force", check=False).returncode, 3)
        self.assertEqual(open(bti.store, "rb").read(), was, "the old key stays in use")
