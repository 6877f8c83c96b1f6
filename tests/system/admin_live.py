"""Live calls over the API, of two gate controllers: lists, ladders, events, ends; a node that is silent; and commands through Redis
that somebody else made, altered, kept or sent again."""
import json
import os
import signal
import time

import headgate_ref as ref
from hglib import wait_for
from macsip import Redis
from nodes import Events, NodesTest, stays


class Live(NodesTest):
    def test_calls_of_both_nodes(self):
        one, two = self.call("gc1"), self.call("gc2", answer=False)
        all_of_them = self.root.get("/calls")
        self.assertEqual([(n["node"], n["local"], n["reached"]) for n in all_of_them["nodes"]], [("gc1", True, True), ("gc2", False, True)])
        rows = {c["call_id"]: c for c in all_of_them["items"]}
        self.assertEqual((rows[one[2]]["node"], rows[one[2]]["state"], rows[one[2]]["route"]), ("gc1", "answered", "local"))
        self.assertEqual((rows[two[2]]["node"], rows[two[2]]["state"], rows[two[2]]["answered"]), ("gc2", "ringing", None))
        self.assertEqual(str(rows[one[2]]["caller_line"]), one[0].line)
        for query, wanted in ((f"number={one[0].number}", one), (f"number={two[1].number}", two), (f"line={two[0].line}", two),
                              (f"node=gc2&line={two[0].line}", two)):
            self.assertEqual([c["call_id"] for c in self.root.get("/calls?" + query)["items"]], [wanted[2]], query)
        self.assertNotIn(two[2], [c["call_id"] for c in self.root.get("/calls?state=answered")["items"]])
        self.assertEqual(self.root.get(f"/calls?node=gc1&line={two[0].line}")["items"], [])
        self.assertEqual(self.root.get("/calls?trunk=nobody")["items"], [])
        self.assertEqual(self.root.get(f"/calls/{two[3]}")["call_id"], two[2])
        self.assertEqual(self.root.get(f"/calls/{two[2]}")["id"], two[3], "by its Call-ID too")
        self.assertEqual(self.root.ask("GET", "/calls/0123456789abcdef").status, 404)
        self.assertEqual(self.root.ask("GET", "/calls?state=unheard-of").status, 400)

    def test_ladder_as_data(self):
        caller, callee, _, call = self.call("gc2")
        self.assertEqual(self.admin("viewer").ask("GET", f"/calls/{call}/ladder").status, 403)
        ladder = self.admin("support").get(f"/calls/{call}/ladder")
        roles = {p["role"]: p["address"] for p in ladder["parties"]}
        self.assertEqual(roles, {"caller": caller.host_port, "gate": f"{self.second_ip}:5060", "callee": callee.host_port})
        said = [(ladder["parties"][m["from"]]["role"], ladder["parties"][m["to"]]["role"], m["text"].split()[0 if m["text"][0] != "S" else 1])
                for m in ladder["messages"] if m["from"] is not None]
        for step in (("caller", "gate", "INVITE"), ("gate", "callee", "INVITE"), ("callee", "gate", "200"), ("gate", "caller", "200"),
                     ("caller", "gate", "ACK"), ("gate", "callee", "ACK")):
            self.assertIn(step, said)
        self.assertEqual({m["octets"] for m in ladder["messages"]}, {None}, "only when they are asked for")
        self.assertEqual([m["mac"] for m in ladder["messages"]][0], "ok")
        whole = self.root.get(f"/calls/{call}/ladder?octets=true")["messages"][0]["octets"]
        self.assertTrue(whole.startswith("INVITE ") and "m=audio 40000" in whole, whole)

    def test_events_of_both_nodes_as_they_happen(self):
        stream = self.closing(Events(self.admin("viewer")))
        pairs = {n: (self.phone(n), self.phone(n)) for n in ("gc1", "gc2")}
        only = self.closing(Events(self.root, f"/calls/events?line={pairs['gc2'][1].line}"))
        calls = {n: self.call(n, pair=pairs[n]) for n in ("gc1", "gc2")}
        for node, call in calls.items():
            stream.wait(call[2], "answered")
            self.assertEqual(stream.of(call[2]), [("started", node), ("routed", node), ("answered", node)])
        before = stream.last_id
        stream.close()
        self.assertEqual(self.root.post(f"/calls/{calls['gc1'][3]}/end", {"reason": "enough"})["state"], "ended")
        self.ended_at(*calls["gc1"][:2])
        # Whoever comes back hears what he missed, and nothing twice.
        again = self.closing(Events(self.admin("viewer"), last_id=before))
        again.wait(calls["gc1"][2], "ended")
        self.assertEqual(again.of(calls["gc1"][2]), [("ended", "gc1")])
        self.assertEqual(again.of(calls["gc2"][2]), [])
        only.wait(calls["gc2"][2], "answered")
        self.assertEqual(only.of(calls["gc1"][2]), [])
        lost = self.closing(Events(self.root, last_id="0123456789abcdef-7"))
        wait_for("lost to be said", lambda: [e for e in lost.seen if e[1] == "lost"])

    def test_so_many_streams_and_no_more(self):
        api = self.admin("viewer", "watcher")
        streams = [self.closing(Events(api)) for _ in range(8)]
        full = api.ask("GET", "/calls/events")
        self.assertEqual((full.status, full.headers["Retry-After"]), (429, "10"))
        streams[0].close()
        wait_for("a place", lambda: self.joined(api))

    def joined(self, api):
        try:
            self.closing(Events(api))
            return True
        except Exception:  # pylint: disable=broad-except
            return False

    def test_a_call_of_the_other_node_is_ended(self):
        caller, callee, _, call = self.call("gc2")
        refused = self.admin("viewer").ask("POST", f"/calls/{call}/end", {"reason": "I want to"})
        self.assertEqual(refused.status, 403)
        self.assertTrue(stays(lambda: self.is_live(call)), "who may not ends nothing")
        self.assertEqual(self.root.ask("POST", f"/calls/{call}/end", {}).status, 422, "a reason is needed")
        began = time.monotonic()
        ended = self.admin("operator").post(f"/calls/{call}/end", {"reason": "the police asked for it"})
        self.assertEqual((ended["state"], ended["node"], ended["end_by"]), ("ended", "gc2", "gate"))
        self.assertLess(time.monotonic() - began, 10)
        for reason in self.ended_at(caller, callee):
            self.assertIn('text="the police asked for it"', reason)
        self.assertEqual(self.root.ask("POST", f"/calls/{call}/end", {"reason": "again"}).status, 409)
        row = json.loads(self.stack.sql("SELECT row_to_json(a) FROM core.audit a WHERE a.action = 'effect' "
                                        f"AND a.object = 'call {call}' ORDER BY seq LIMIT 1"))
        self.assertEqual((row["person"], row["after"]["reason"], row["after"]["call"]["node"]), ("operator", "the police asked for it", "gc2"))

    # ---- what nodes hold
    def test_nodes_sessions_registrations_servers(self):
        phone = self.phone("gc2")
        nodes = {n["node"]: n for n in self.root.get("/nodes")["items"]}
        self.assertEqual(sorted(nodes), ["gc1", "gc2"])
        self.assertEqual(nodes["gc2"]["state"]["version"], nodes["gc1"]["state"]["version"])
        self.assertGreaterEqual(nodes["gc2"]["state"]["uptime_s"], 0)
        session = self.root.get(f"/sessions?line={phone.line}")["items"]
        self.assertEqual([(s["kid"], s["nodes"]) for s in session], [(phone.kid.hex(), ["gc1", "gc2"])])
        found = wait_for("the registration to be known", lambda: self.root.get(f"/registrations?line={phone.line}")["items"])
        self.assertEqual([(r["number"], r["node"], r["bti"]) for r in found], [(phone.number, "gc2", phone.bti_id.hex())])
        # The server of this stack knows the first node alone and does not answer the other.
        wait_for("each node's view of the provisioning server",
                 lambda: {(s["node"], s["healthy"]) for s in self.root.get("/provisioning-servers")["items"]} == {("gc1", True), ("gc2", False)})
        self.assertIn(("provisioning_down", "gc2", "major"),
                      [(a["alarm"], a["node"], a["severity"]) for a in self.root.get("/alarms")["items"]])
        self.assertEqual([a for a in self.root.get("/alarms")["items"] if a["severity"] == "critical"], [])

    # ---- a node that is silent
    def test_redis_stopped_the_local_node_answers(self):
        here = self.call("gc1")
        halted = self.stack.halt("redis")
        try:
            for _ in range(2):
                answer = self.root.get("/calls")
                self.assertEqual([(n["node"], n["reached"]) for n in answer["nodes"]], [("gc1", True), ("gc2", False)])
                self.assertIn(here[2], [c["call_id"] for c in answer["items"]])
            self.assertEqual(self.root.get(f"/calls/{here[3]}")["state"], "answered")
            unknown = self.root.ask("GET", "/calls/0123456789abcdef")
            self.assertEqual((unknown.status, "gc2" in unknown.json["detail"]), (503, True), "it may be there")
            self.assertIn(("node_unreached", "gc2"), [(a["alarm"], a["node"]) for a in self.root.get("/alarms")["items"]])
        finally:
            self.stack.go_on(halted)
        wait_for("the other one to be heard again", lambda: all(n["reached"] for n in self.root.get("/nodes")["items"]))

    # ---- commands that are not headgate-admin's
    def sealed(self, key, node, request, at_us=None, direction=b"ask"):
        id_ = os.urandom(16)
        at_us = int(time.time() * 1e6) if at_us is None else at_us
        return id_, ref.command_seal(key, direction, node, os.urandom(16), id_, at_us, json.dumps(request).encode())

    def test_forged_stale_and_replayed_commands_do_nothing(self):
        call = self.call("gc2")
        with open(self.stack.path("command.key"), "rb") as f:
            key = f.read()
        redis = self.closing(Redis(self.stack.redis.split(":", 1)[1]))
        order, now = {"op": "end", "id": call[3]}, int(time.time() * 1e6)
        bad = {"no command": b"end it", "another key": self.sealed(bytes(32), b"gc2", order)[1],
               "for another node": self.sealed(key, b"gc1", order)[1], "an answer": self.sealed(key, b"gc2", order, direction=b"answer")[1],
               "too old": self.sealed(key, b"gc2", order, now - 11_000_000)[1],
               "of tomorrow": self.sealed(key, b"gc2", order, now + 86400_000_000)[1]}
        good_id, good = self.sealed(key, b"gc2", {"op": "status"})
        altered = bytearray(self.sealed(key, b"gc2", order)[1])
        altered[-1] ^= 1
        bad["altered"] = bytes(altered)
        for what, octets in bad.items():
            self.assertEqual(redis.command("PUBLISH", "hg:cmd:gc2", octets), 1, what)
        self.assertEqual(redis.command("PUBLISH", "hg:cmd:gc2", good), 1)
        answer = redis.command("BRPOP", f"hg:ans:{good_id.hex()}", 10)
        said = ref.command_open(key, b"answer", b"gc2", answer[1])
        self.assertEqual((said[0], json.loads(said[2])["node"]), (good_id, "gc2"), "what is sealed rightly is answered; after all the others")
        self.assertTrue(self.is_live(call[3]))
        # Once is once.
        self.assertEqual(redis.command("PUBLISH", "hg:cmd:gc2", good), 1)
        further_id, further = self.sealed(key, b"gc2", {"op": "status"})
        redis.command("PUBLISH", "hg:cmd:gc2", further)
        self.assertIsNotNone(redis.command("BRPOP", f"hg:ans:{further_id.hex()}", 10))
        self.assertEqual(redis.command("EXISTS", f"hg:ans:{good_id.hex()}"), 0)
        self.ends_once(redis, key, call)

    def ends_once(self, redis, key, call):
        """The same order under the right key works, so that the others were refused for what they were."""
        id_, order = self.sealed(key, b"gc2", {"op": "end", "id": call[3]})
        redis.command("PUBLISH", "hg:cmd:gc2", order)
        self.assertIsNotNone(redis.command("BRPOP", f"hg:ans:{id_.hex()}", 10))
        self.ended_at(*call[:2])


class Drain(NodesTest):
    def test_streams_end_at_a_drain(self):
        stream = self.closing(Events(self.root))
        d = self.stack.daemons["admin1"]
        d.signal(signal.SIGTERM)
        self.assertTrue(stream.ended.wait(15), "the stream ends")
        self.assertEqual(d.process.wait(15), 0)
        d.start().ready()
        again = self.closing(Events(self.root, last_id=stream.last_id))
        wait_for("what was before is said to be lost", lambda: [e for e in again.seen if e[1] == "lost"])
