"""Preemption and emergency mode over the API, with calls of two gate controllers: who may, who wins, who is spared."""
import datetime
import json

from hglib import wait_for
from main_emergency import Psap
from nodes import Events, NodesTest, stays
from stacked import SDP, at_once


def in_utc(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Preempt(NodesTest):
    def results(self, said):
        """{call id: outcome} over all nodes."""
        return {c["call"]: c["outcome"] for r in said["results"] for c in r["calls"]}

    def preempted(self, *phones):
        for reason in self.ended_at(*phones):
            self.assertRegex(reason, r"^preemption ?;\s*cause=3")

    def test_an_administrator_ends_a_call_of_the_other_node(self):
        caller, callee, call_id, call = self.call("gc2")
        stream = self.closing(Events(self.root, f"/calls/events?line={caller.line}"))
        ask = {"scope": "call", "call": call, "reason": "way for the fire brigade"}
        for role in ("viewer", "support", "provisioner", "operator", "security", "auditor"):
            self.assertEqual(self.admin(role).ask("POST", "/preemptions", ask).status, 403, role)
        self.assertTrue(stays(lambda: self.is_live(call)), "who may not ends nothing")
        self.assertEqual(self.stack.sql(f"SELECT count(*) FROM core.preemption WHERE what = '{call}'"), "0")
        dry = self.admin("emergency").post("/preemptions", {**ask, "dry_run": True})
        self.assertEqual(self.results(dry), {call: "would end"})
        self.assertTrue(self.is_live(call))
        done = self.admin("emergency").post("/preemptions", ask)
        self.assertEqual((done["state"], done["by"], self.results(done)), ("done", "emergency", {call: "ended"}))
        self.preempted(caller, callee)
        stream.wait(call_id, "ended")
        self.assertEqual(stream.of(call_id), [("preempted", "gc2"), ("ended", "gc2")])
        ended = wait_for("the call to be over", lambda: (c := self.root.get(f"/calls/{call}"))["state"] == "ended" and c)
        self.assertEqual(ended["end_by"], "preempted")
        row = wait_for("its record", lambda: self.stack.sql(f"SELECT preempted_by FROM cdr.call WHERE call_id = '{call_id}'"))
        self.assertIn(f"preemption {done['id']}", row)
        self.assertEqual(self.stack.sql("SELECT string_agg(a.person || ' ' || a.action, ', ' ORDER BY a.seq) FROM core.audit a "
                                        f"WHERE a.object = 'preemption {done['id']}'"), "emergency insert, emergency update")
        self.assertEqual(self.root.get(f"/preemptions/{done['id']}")["results"], done["results"])

    def test_a_region_a_highest_number_and_a_number(self):
        first, second, third = self.call("gc1"), self.call("gc2"), self.call("gc2")
        prefixes = [first[0].number, second[0].number, third[1].number]
        ask = {"scope": "region", "prefixes": prefixes, "reason": "way", "max": 2}
        dry = self.results(self.root.post("/preemptions", {**ask, "dry_run": True, "max": 0}))
        self.assertEqual(dry, {c[3]: "would end" for c in (first, second, third)})
        ended = [c for c, outcome in self.results(self.root.post("/preemptions", ask)).items() if outcome == "ended"]
        self.assertEqual(len(ended), 2, "of all nodes together")
        left = [c for c in (first, second, third) if c[3] not in ended]
        for c in (first, second, third):
            if c not in left:
                self.preempted(*c[:2])
        self.assertTrue(stays(lambda: self.is_live(left[0][3])))
        said = self.results(self.root.post("/preemptions", {"scope": "number", "number": left[0][1].number, "reason": "way"}))
        self.assertEqual(said, {left[0][3]: "ended"})
        self.preempted(*left[0][:2])

    def test_two_administrators_at_once(self):
        """Each call ends once; who came second is told whose it was."""
        calls = [self.call("gc2") for _ in range(3)]
        ask = {"scope": "region", "prefixes": [c[0].number for c in calls], "reason": "way"}
        one, other = at_once(lambda: self.admin("emergency", "emma").post("/preemptions", ask),
                             lambda: self.admin("emergency", "erik").post("/preemptions", ask))
        mine, theirs = self.results(one), self.results(other)
        for c in calls:
            self.assertEqual([mine.get(c[3]), theirs.get(c[3])].count("ended"), 1, (mine, theirs))
            self.preempted(*c[:2])
        for said, winner in ((one, other), (other, one)):
            for row in (c for r in said["results"] for c in r["calls"] if c["outcome"] == "taken"):
                self.assertIn(f"preemption {winner['id']} of {winner['by']}", row["had_by"])
        for phone in (p for c in calls for p in c[:2]):
            self.assertIsNone(phone.expect_request("BYE", 0.1), "no second BYE")

    def test_a_victim_that_hangs_up_at_the_same_moment(self):
        caller, callee, call_id, call = self.call("gc2")
        row = self.root.get(f"/calls/{call}")
        self.assertEqual(row["state"], "answered")

        def hang_up():
            caller.send(caller.bye_message(self.dialog))
        self.dialog = self.dialogs[call_id]
        _, said = at_once(hang_up, lambda: self.root.post("/preemptions", {"scope": "call", "call": call, "reason": "way"}))
        self.assertIn(self.results(said).get(call), ("ended", "gone", None))
        for phone in (caller, callee):
            bye = phone.expect_request("BYE", 1)
            if bye is not None:
                phone.send(phone.response_message(bye, 200, "OK"))
        wait_for("one end of it", lambda: self.root.get(f"/calls/{call}")["state"] == "ended")
        wait_for("one record of it", lambda: self.stack.sql(f"SELECT count(*) FROM cdr.call WHERE call_id = '{call_id}'") == "1")

    def call(self, node="gc1", answer=True, pair=None):
        """As there; keeps the caller's dialog."""
        caller, callee = pair or (self.phone(node), self.phone(node))
        call = caller.invite(callee.number, SDP)
        rung = callee.expect_request("INVITE")
        callee.answer(rung, SDP, timeout=0)
        self.assertEqual(caller.final(call).status, 200)
        self.assertIsNotNone(callee.expect_request("ACK"))
        self.dialogs = {**getattr(self, "dialogs", {}), call.request.call_id: call.dialog}
        row = wait_for("the call to be listed",
                       lambda: [c for c in self.root.get("/calls?limit=1000")["items"] if c["call_id"] == call.request.call_id])[0]
        return caller, callee, call.request.call_id, row["id"]

    def test_redis_stopped_what_was_done_and_what_not_is_kept(self):
        here = self.call("gc1")
        halted = self.stack.halt("redis")
        try:
            said = self.root.post("/preemptions", {"scope": "number", "number": here[0].number, "reason": "way"})
        finally:
            self.stack.go_on(halted)
        self.assertEqual(self.results(said), {here[3]: "ended"})
        self.assertEqual([(r["node"], r["reached"], r["ended"]) for r in said["results"]], [("gc1", True, 1), ("gc2", False, 0)])
        self.preempted(*here[:2])
        self.assertEqual(self.root.get(f"/preemptions/{said['id']}")["results"], said["results"])
        wait_for("the other one to be heard again", lambda: all(n["reached"] for n in self.root.get("/nodes")["items"]))

    def test_an_emergency_call_is_never_ended(self):
        psap = self.closing(Psap(self.stack.net + "9", (self.second_ip, 5060)))
        caller = self.phone("gc2")
        call = caller.invite("911", SDP)
        self.assertEqual(caller.final(call).status, 200)
        self.assertEqual(len(psap.of(call)), 1)
        row = wait_for("the call to be listed", lambda: self.root.get(f"/calls?line={caller.line}")["items"])[0]
        for ask in ({"scope": "call", "call": row["id"]}, {"scope": "number", "number": caller.number}):
            said = self.root.post("/preemptions", {**ask, "reason": "way"})
            self.assertEqual((self.results(said), sum(r["ended"] for r in said["results"])), ({row["id"]: "emergency"}, 0), ask)
        refused = self.root.ask("POST", f"/calls/{row['id']}/end", {"reason": "no more of it"})
        self.assertEqual((refused.status, refused.json["detail"]), (409, "that is an emergency call"))
        self.assertTrue(stays(lambda: self.is_live(row["id"])))
        self.assertIsNone(caller.expect_request("BYE", 0.1))
        self.assertEqual(caller.bye(call.dialog).status, 200)

    def test_two_people(self):
        call = self.call("gc2")
        self.stack.sql("UPDATE core.policy SET enabled = true WHERE name = 'two_person.preemption'")
        try:
            asked = self.admin("emergency", "emma").ask("POST", "/preemptions", {"scope": "call", "call": call[3], "reason": "way"})
            self.assertEqual((asked.status, asked.json["state"]), (202, "proposed"))
            alone = self.admin("emergency", "emma").ask("POST", f"/calls/{call[3]}/end", {"reason": "way"})
            self.assertEqual((alone.status, "two_person.preemption" in alone.json["detail"]), (409, True), alone)
            place = asked.headers["Location"].removeprefix("/api/v1")
            self.assertTrue(stays(lambda: self.is_live(call[3])))
            self.assertEqual(self.admin("emergency", "emma").ask("POST", place + "/approve").status, 403, "not he himself")
            self.assertEqual(self.admin("operator").ask("POST", place + "/approve").status, 403)
            self.assertTrue(self.is_live(call[3]))
            done = self.admin("emergency", "erik").post(place + "/approve", expect=200)
            self.assertEqual((done["state"], done["by"], done["approved_by"], self.results(done)), ("done", "emma", "erik", {call[3]: "ended"}))
            self.preempted(*call[:2])
            self.assertEqual(self.admin("emergency", "emil").ask("POST", place + "/approve").status, 409)
            again = self.admin("emergency", "emma").post("/preemptions", {"scope": "number", "number": call[0].number, "reason": "way"})
            self.assertEqual(self.root.post(f"/preemptions/{again['id']}/reject", expect=200)["state"], "rejected")
        finally:
            off = self.root.ask("PATCH", "/policies/two_person.preemption", {"enabled": False}, {"If-Match": "*"}, expect=202)
            self.admin("security").post(off.headers["Location"].removeprefix("/api/v1") + "/approve", expect=(200, 204))

    def test_what_makes_no_sense(self):
        for ask, pointer in (({"scope": "call", "reason": "x"}, "/call"), ({"scope": "call", "call": "x"}, "/reason"),
                             ({"scope": "trunk", "trunk": "nobody", "reason": "x"}, "/trunk"),
                             ({"scope": "number", "number": "+12125550199", "trunk": "gw1", "reason": "x"}, "/trunk"),
                             ({"scope": "region", "prefixes": ["212"], "reason": "x"}, "/prefixes/0"),
                             ({"scope": "everything", "reason": "x"}, "/scope")):
            said = self.root.ask("POST", "/preemptions", ask)
            self.assertEqual((said.status, pointer in [e.get("pointer") for e in said.json["errors"]]), (422, True), (ask, said))

    # ---- emergency mode
    def in_force(self, mode):
        """Whether both nodes go by it."""
        return all(mode in [m["id"] for m in n["state"]["emergency_modes"]] for n in self.root.get("/nodes")["items"])

    def test_emergency_mode_is_declared_and_ends_by_itself(self):
        ask = {"scope": "all", "share": 50, "ends_at": in_utc(8), "reason": "flood"}
        for role in ("operator", "security", "support"):
            self.assertEqual(self.admin(role).ask("POST", "/emergency-modes", ask).status, 403, role)
        mode = self.admin("emergency").post("/emergency-modes", {**ask, "ends_at": in_utc(8)})
        wait_for("both nodes to go by it", lambda: self.in_force(mode["id"]))
        self.assertTrue(mode["in_force"])
        self.assertEqual({a["node"] for a in self.root.get("/alarms")["items"] if a["object"] == f"emergency mode {mode['id']}"},
                         {"gc1", "gc2"})
        wait_for("its end on both", lambda: not any(mode["id"] in [m["id"] for m in n["state"]["emergency_modes"]]
                                                     for n in self.root.get("/nodes")["items"]))
        self.assertFalse(self.root.get(f"/emergency-modes/{mode['id']}")["in_force"])
        self.assertEqual(self.root.ask("DELETE", f"/emergency-modes/{mode['id']}").status, 409, "it is over")

    def test_emergency_mode_is_ended_before_its_time(self):
        mode = self.admin("emergency").post("/emergency-modes", {"scope": "region", "prefixes": ["+1999"], "share": 0,
                                                                "ends_at": in_utc(3600), "reason": "flood"})
        wait_for("both nodes to go by it", lambda: self.in_force(mode["id"]))
        self.assertEqual(self.admin("operator").ask("DELETE", f"/emergency-modes/{mode['id']}").status, 403)
        self.assertEqual(self.admin("emergency").ask("DELETE", f"/emergency-modes/{mode['id']}").status, 204)
        wait_for("nobody to go by it", lambda: not self.in_force(mode["id"]))
        row = json.loads(self.stack.sql(f"SELECT row_to_json(m) FROM core.emergency_mode m WHERE id = {mode['id']}"))
        self.assertEqual((row["declared_by"], row["ended_by"]), ("emergency", "emergency"))
