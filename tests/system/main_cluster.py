"""Two gate controllers of one cluster: sessions and revocations reach both, a BTI goes from one to the other, and what was recorded at
one is of no use at the other."""
import pathlib
import signal
import time

from hglib import wait_for
from macsip import MacBti, Redis
from stacked import SDP, StackTest, telephone, with_session

ALICE, BOB = "+12125550101", "+12125550102"
ALONE = {"redis.address": '""', "keys.command": '""'}  # no gate controller but those whose sockets are named


class Cluster(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.second_ip = stack.net + "5"
        gates = [f"{name}=udp:{ip}:5060,tcp:{ip}:5060,tls:{ip}:5061" for name, ip in (("gc1", stack.gc_ip), ("gc2", cls.second_ip))]
        stack.daemons["ps1"].stop()
        stack.start_ps(config=stack.ps_config(controllers=gates))
        stack.start_gc("gc2", cls.second_ip)
        text = pathlib.Path(stack.path("ctl.yaml")).read_text(encoding="utf-8")
        stack.start_admin("admin2", cls.second_ip, stack.admin_config("admin2", cls.second_ip, ["gc2"], ALONE))  # what gc2 alone says
        stack.write("ctl2.yaml", text.replace(stack.path("admin.sock"), stack.path("admin2.sock")))
        stack.wait_ps_healthy()
        wait_for("the second one to see the provisioning server",
                 lambda: all(s["healthy"] for s in stack.ctl_json("ps", config="ctl2.yaml")))

    def ctl(self, node, *words):
        return self.stack.ctl_json(*words, config={"gc1": "ctl.yaml", "gc2": "ctl2.yaml"}[node])

    def second(self, name):
        return self.stack.metric(name, self.second_ip)

    def at_second(self, phone, number=None):
        """The same session, used at the second gate controller from where the first left off."""
        moved = self.closing(MacBti(phone.kid, phone.mac_up, phone.mac_down, number or phone.number, self.stack.domain,
                                    (self.second_ip, 5060), phone.host_port.split(":")[0], first_seq=phone.seq + 100))
        wait_for("the session to arrive", lambda: phone.kid.hex() in {s["kid"] for s in self.ctl("gc2", "sessions")}, 5)
        return moved

    def second_is_current(self, phone):
        """What was published before is known at the second one: a session that comes behind it is."""
        self.closing(with_session(self.stack, phone.line, phone.bti_id, phone.number, phone.host_port.split(":")[0]))
        kids = {s["kid"] for s in self.ctl("gc1", "sessions")}
        wait_for("the second one to know as much as the first", lambda: kids <= {s["kid"] for s in self.ctl("gc2", "sessions")}, 5)

    # ---- a BTI and two gates
    def test_a_gate_dies_and_bti_goes_to_the_other(self):
        alice = self.stack.enrolled("alice", self.stack.net + "11", ALICE)
        bob = self.stack.enrolled("bob", self.stack.net + "12", BOB)
        self.assertEqual(sorted(bob.status()["gates"]), sorted([f"{self.stack.gc_ip}:5060", f"{self.second_ip}:5060"]))
        ear = self.stopping(bob.listen())
        at = ear.seen("registered")[-1]["gate"].split(":")[0]
        dead, left = ("gc1", "gc2") if at == self.stack.gc_ip else ("gc2", "gc1")
        left_ip = self.second_ip if left == "gc2" else self.stack.gc_ip
        d = self.stack.daemons[dead]
        d.kill()
        self.addCleanup(lambda: d.start().ready() if d.process.poll() is not None else None)
        moved = wait_for("the phone to go to the other gate",
                         lambda: [e for e in ear.seen("registered") if e["gate"].startswith(left_ip + ":")], 20)
        self.assertEqual(moved[0]["number"], BOB)
        self.assertTrue([r for r in self.ctl(left, "registrations") if r["number"] == BOB and r["node"] == left])
        call = self.stopping(alice.call(BOB, "--duration", "1"))
        self.assertEqual(call.exit(), 0, call.events)
        self.assertTrue(call.seen("calling")[-1]["gate"].startswith(left_ip + ":"))
        self.assertEqual(len(ear.seen("answered")), 1)
        d.start().ready()

    # ---- sessions in common
    def test_one_session_at_both_and_no_replay_between_them(self):
        caller = self.closing(telephone(self.stack, "+12125550111", self.stack.net + "31"))
        callee = self.closing(telephone(self.stack, "+12125550112", self.stack.net + "32"))
        there = self.at_second(callee)
        self.assertEqual(there.register().status, 200, "a callee at the second gate")
        self.assertEqual(callee.register().status, 200, "and at the first")
        recorded = caller.invite(callee.number, SDP)
        callee.send(callee.response_message(callee.expect_request("INVITE"), 486, "Busy Here"))
        self.assertEqual(caller.final(recorded).status, 486)
        # The highest number seen goes to the cluster once a second.
        redis, mark = Redis(self.stack.redis.split(":", 1)[1]), f"hg:mark:{caller.kid.hex()}"
        self.closing(redis)
        for _ in range(2):
            was = redis.command("GET", mark)
            wait_for("the mark to be written", lambda w=was: caller.transact(caller.request(
                "OPTIONS", f"sip:{self.stack.domain}", f"<{caller.aor()}>;tag=1", f"<sip:{self.stack.domain}>", caller.fresh(), 1), 2)
                and redis.command("GET", mark) not in (w, None), 10)
        self.second_is_current(caller)
        before = self.second("headgate_replays_total"), self.second("headgate_calls_total")
        elsewhere = self.at_second(caller)
        elsewhere.send(recorded.invite)
        self.grown(self.second, "headgate_replays_total", before[0], 1)
        # The same session with numbers above is taken there, and that is the only call that the callee hears of.
        fresh = elsewhere.invite(callee.number, SDP)
        rung = there.expect_request("INVITE")
        self.assertEqual((rung.call_id, rung.proven), (fresh.request.call_id, True))
        there.send(there.response_message(rung, 486, "Busy Here"))
        self.assertEqual(elsewhere.final(fresh).status, 486)
        self.assertEqual(self.second("headgate_calls_total"), before[1] + 1)
        self.assertEqual([m for m in there.waiting if m.method == "INVITE" and m.status is None], [])

    def test_registered_at_the_other_gate(self):
        """Known there, but a connection belongs to the gate that accepted it: 480, never a call into nowhere."""
        here = self.closing(telephone(self.stack, "+12125550121", self.stack.net + "41"))
        other = self.closing(telephone(self.stack, "+12125550122", self.stack.net + "42"))
        self.assertEqual(here.register().status, 200)
        known = wait_for("the second gate to know", lambda: [r for r in self.ctl("gc2", "registrations") if r["number"] == here.number])
        self.assertEqual(known[0]["node"], f"{self.stack.gc_ip}:5060")
        there = self.at_second(other)
        self.assertEqual(there.final(there.invite(here.number, SDP)).status, 480)
        self.assertEqual(here.register(expires=0).status, 200)
        wait_for("the second gate to forget", lambda: not [r for r in self.ctl("gc2", "registrations") if r["number"] == here.number])

    def test_revoked_at_both_within_a_second(self):
        thief = self.closing(telephone(self.stack, "+12125550131", self.stack.net + "51"))
        there = self.at_second(thief)
        self.assertEqual([thief.register().status, there.register().status], [200, 200])
        bti_id = thief.bti_id.hex()
        admins = [self.stack.api(node=n) for n in ("admin1", "admin2")]
        began = time.monotonic()
        self.stack.ctl("bti", "revoke", bti_id)

        def gone():
            return not any(s["bti"] == bti_id for a in admins for what in ("/sessions", "/registrations") for s in a.get(what)["items"])
        wait_for("it to be gone everywhere", gone)
        self.assertLess(time.monotonic() - began, 2.0, "not by the poll, which comes every 2 s")
        for phone in (thief, there):
            self.assertEqual(phone.transact(phone.invite_message(BOB, SDP)).status, 407)

    def test_drained_gate_gets_no_new_bti(self):
        """One that is told to stop leaves the cluster at once: BTIs that enrol from then on are sent to the other."""
        d = self.stack.daemons["gc2"]
        live = self.closing(telephone(self.stack, "+12125550141", self.stack.net + "61"))
        other = self.closing(telephone(self.stack, "+12125550142", self.stack.net + "62"))
        caller, callee = self.at_second(live), self.at_second(other)
        self.assertEqual(callee.register().status, 200)
        call = caller.invite(callee.number, SDP)
        callee.answer(callee.expect_request("INVITE"), SDP, timeout=0)
        self.assertEqual(caller.final(call).status, 200)
        self.assertIsNotNone(callee.expect_request("ACK"))
        d.signal(signal.SIGTERM)
        redis = self.closing(Redis(self.stack.redis.split(":", 1)[1]))
        wait_for("it to leave", lambda: redis.command("EXISTS", "hg:node:gc2") == 0)
        self.assertEqual(redis.command("EXISTS", "hg:node:gc1"), 1)
        wait_for("new BTIs to be sent to the first only", self.enrolled_at_first_only, 20)
        self.assertIsNone(d.process.poll(), "it waits for its call")
        bye = caller.bye_message(call.dialog)
        caller.send(bye)
        callee.send(callee.response_message(callee.expect_request("BYE"), 200, "OK"))
        self.assertEqual(caller.expect_response(bye).status, 200)
        self.assertEqual(d.process.wait(10), 0)
        d.start().ready()

    def enrolled_at_first_only(self):
        type(self).n = getattr(type(self), "n", 0) + 1
        bti = self.stack.enrolled(f"late{self.n}", f"{self.stack.net}{70 + self.n}", f"+1212555015{self.n}")
        return bti.status()["gates"] == [f"{self.stack.gc_ip}:5060"]
