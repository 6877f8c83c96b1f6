"""Priority with real calls: an entitled line takes the place of the lowest, newest call on a full trunk, who is not entitled changes
nothing, an administrator clears a trunk, an emergency mode limits the others."""
import json
import socket
import urllib.request

from forging import Peer
from hglib import wait_for
from stacked import SDP, StackTest, telephone

FLASH = [("Resource-Priority", "dsn.flash")]
DISPLACED = 'preemption;cause=2;text="Reserved Resources Preempted"'
GENERIC = 'preemption;cause=3;text="Generic Preemption"'


class Priority(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.anna, cls.ben, cls.cora = [telephone(stack, f"+1212555010{i}", f"{stack.net}{10 + i}") for i in (1, 2, 3)]
        cls.gateway = Peer(stack, 31, "+442079460100")
        stack.ctl("trunk", "add", "gw", stack.net + "31", "--port", cls.gateway.host_port.rsplit(":", 1)[1], "--transport", "udp",
                  "--source", stack.net + "31", "--ping", "0", "--max-channels", "2")
        stack.ctl("route", "add", "uk", "+44", "--trunk", "gw")
        stack.sql(f"UPDATE core.line SET priority = 'dsn.flash', level = 1 WHERE line_id = {cls.anna.line}")
        stack.ctl("--wait", "route", "add", "de", "+49", "--trunk", "gw")

    @classmethod
    def tearDownClass(cls):
        for one in (cls.anna, cls.ben, cls.cora, cls.gateway):
            one.close()
        super().tearDownClass()

    def talk(self, phone, extra=()):
        """A call abroad that is answered: (call, dialog of the gateway)."""
        call = phone.invite("+442079460100", SDP, extra=extra)
        dialog, _ = self.gateway.answer(self.of(self.gateway, "INVITE", call), SDP, timeout=0)
        self.assertEqual(phone.final(call).status, 200)
        self.of(self.gateway, "ACK", call)
        return call, dialog

    def hang_up(self, *calls):
        for phone, call in calls:
            phone.send(phone.bye_message(call.dialog))
            bye = self.of(self.gateway, "BYE", call)
            self.gateway.send(self.gateway.response_message(bye, 200, "OK"))
            self.assertIsNotNone(phone.expect(lambda m, c=call: m.status == 200 and m.call_id == c.request.call_id), "the BYE is answered")

    def of(self, end, method, call):
        """A request of that call: another one's may still be repeated."""
        came = end.expect(lambda m: m.status is None and m.method == method and m.call_id == call.request.call_id)
        self.assertIsNotNone(came, f"{end.number} hears {method} of {call.request.call_id}; the caller {call.responses}")
        return came

    def ended(self, phone, call):
        """Both ends hear BYE; the Reason of each."""
        reasons = []
        for end in (phone, self.gateway):
            bye = self.of(end, "BYE", call)
            end.send(end.response_message(bye, 200, "OK"))
            reasons.append(bye.get("reason"))
        return reasons

    def record(self, call):
        return wait_for("the record", lambda: self.stack.sql(
            "SELECT end_by, priority, split_part(preempted_by, ' ', 1) FROM cdr.call WHERE "
            f"call_id = '{call.request.call_id}'"))

    def op(self, **ask):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.stack.path("control.sock"))
            s.sendall(json.dumps(ask).encode() + b"\n")
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        return json.loads(answer)

    def live(self):
        return {c["call_id"] for c in self.op(op="calls")["calls"]}

    def test_the_lowest_newest_call_of_a_full_trunk(self):
        first, _ = self.talk(self.ben)
        newest, _ = self.talk(self.cora)
        plain = self.anna.invite("+442079460100", SDP)
        self.assertEqual(self.anna.final(plain).status, 503, "the trunk is full")
        for extra in ([("Resource-Priority", "dsn.flash-override")], [("Resource-Priority", "ets.4")]):
            self.assertEqual(self.anna.final(self.anna.invite("+442079460100", SDP, extra=extra)).status, 403)
        self.assertEqual(self.ben.final(self.ben.invite("+442079460100", SDP, extra=FLASH)).status, 403)
        self.assertEqual(self.live(), {first.request.call_id, newest.request.call_id}, "nothing has changed")
        mine = self.anna.invite("+442079460100", SDP, extra=FLASH)
        self.assertEqual(self.ended(self.cora, newest), [DISPLACED, DISPLACED])
        came = self.of(self.gateway, "INVITE", mine)
        self.assertEqual(came.get("resource-priority"), "dsn.flash")
        self.gateway.answer(came, SDP, timeout=0)
        self.assertEqual(self.anna.final(mine).status, 200)
        self.of(self.gateway, "ACK", mine)
        self.assertEqual(self.live(), {first.request.call_id, mine.request.call_id})
        self.assertIn("preempted", str(self.record(newest)))
        self.hang_up((self.anna, mine), (self.ben, first))
        self.assertIn("dsn.flash", str(self.record(mine)))

    def test_an_administrator_clears_the_trunk(self):
        calls = [(self.ben, self.talk(self.ben)[0]), (self.cora, self.talk(self.cora)[0])]
        ask = {"op": "preempt", "id": "7", "who": "anna", "approved": "", "scope": "trunk", "trunk": "gw", "max": 0, "below": ""}
        dry = self.op(dry_run=True, **ask)
        self.assertEqual([c["outcome"] for c in dry["calls"]], ["would end"] * 2, dry)
        self.assertEqual(len(self.live()), 2)
        self.assertEqual(self.op(dry_run=False, **ask)["ended"], 2)
        for phone, call in calls:
            self.assertEqual(self.ended(phone, call), [GENERIC, GENERIC])
            self.assertIn("preemption", str(self.record(call)))
        self.assertFalse(self.op(**dict(ask, scope="trunk", trunk="nobody"))["ok"])
        self.assertFalse(self.op(**dict(ask, below="foo.1"))["ok"])

    def ready(self):
        with urllib.request.urlopen(f"http://{self.stack.gc_ip}:9070/readyz", timeout=10) as r:
            return json.load(r)["emergency_modes"]

    def followed(self):
        wait_for("every worker to go by it", lambda: self.op(op="changes")["followed"])

    def test_an_emergency_mode(self):
        self.stack.sql("INSERT INTO core.emergency_mode (declared_by, reason, scope, share, ends_at) "
                       "VALUES ('anna', 'flood', 'all', 0, now() + interval '1 hour')")
        self.addCleanup(self.stack.sql, "UPDATE core.emergency_mode SET ended_at = now(), ended_by = 'anna' WHERE ended_at IS NULL")
        wait_for("the mode to be in force", self.ready)
        self.followed()
        shown = self.op(op="emergency")["emergency_modes"]
        self.assertEqual([(m["scope"], m["share"], m["declared_by"], m["reason"]) for m in shown], [("all", 0, "anna", "flood")])
        self.assertEqual(self.gc("headgate_emergency_modes"), 1)
        self.assertEqual(self.ben.final(self.ben.invite("+442079460100", SDP)).status, 503)
        mine, _ = self.talk(self.anna, [("Resource-Priority", "dsn.routine")])
        self.hang_up((self.anna, mine))
        self.stack.sql("UPDATE core.emergency_mode SET ended_at = now(), ended_by = 'anna' WHERE ended_at IS NULL")
        wait_for("it to be over", lambda: not self.ready())
        self.followed()
        call, _ = self.talk(self.ben)
        self.hang_up((self.ben, call))
