"""Routing over the HTTP API: what is refused points at its field, what is accepted decides real calls, and two people make what one
may not."""
import hashlib
import json
import pathlib
import threading

from hglib import wait_for
from macsip import MacBti
from stacked import SDP, StackTest, at_once, telephone

ALICE, FAR = "+12125550101", "+442079460100"
MONDAY_NOON, SUNDAY = "2026-11-23T12:00:00Z", "2026-11-22T12:00:00Z"
PASSWORD = "correct horse battery staple 7"


class Routing(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.api = stack.api()
        cls.alice = telephone(stack, ALICE, stack.net + "11")
        cls.person = {}
        for name in ("anna", "berta"):
            admin = cls.api.post("/administrators", {"name": name, "roles": ["operator", "security"]})["administrator_id"]
            cls.person[name] = stack.api(cls.api.post("/tokens", {"administrator_id": admin})["token"])

    @classmethod
    def tearDownClass(cls):
        cls.alice.close()
        super().tearDownClass()

    def tearDown(self):
        self.stack.sql("UPDATE core.change SET state = 'rejected' WHERE state = 'proposed'; SET CONSTRAINTS ALL IMMEDIATE; "
                       "ALTER TABLE core.policy DISABLE TRIGGER a_two_person; UPDATE core.policy SET enabled = false; "
                       "SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE core.policy ENABLE ALWAYS TRIGGER a_two_person")
        for table in ("route", "trunk", "dial_rule"):
            self.stack.sql(f"DELETE FROM core.{table}")
        super().tearDown()

    def make(self, path, expect=201, api=None, **body):
        return (api or self.api).post(path, body, expect=expect)

    def trunk(self, name="gw", **more):
        """Nothing listens there, so it is not asked whether it answers."""
        return self.make("/trunks", **{"name": name, "host": "127.0.0.1", "ping_s": 0, **more})["trunk_id"]

    def edit(self, path, api=None, expect=200, **body):
        return (api or self.api).patch(path, body, expect=expect)

    def drop(self, path, expect=204, api=None):
        api = api or self.api
        tag = api.ask("GET", path.split("?")[0], expect=200).headers["ETag"]
        return api.ask("DELETE", path, headers={"If-Match": tag}, expect=expect)

    def problem(self, status, method, path, body, *pointers, says=""):
        """A problem document with that status; it names exactly these fields."""
        headers = {}
        if method in ("PATCH", "DELETE"):
            headers["If-Match"] = self.api.ask("GET", path.split("?")[0], expect=200).headers["ETag"]
        answer = self.api.ask(method, path, body, headers=headers, expect=status)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        told = answer.json
        self.assertEqual({e.get("pointer") for e in told.get("errors", [])}, set(pointers), told)
        self.assertIn(says, f"{told['detail']} {told.get('errors')}")
        return told

    def chosen(self, number, **more):
        told = self.make("/route-tests", 200, number=number, **more)
        return told["outcome"], [(t["route"], t["called"]) for t in told["targets"]]

    def decided(self, want, number, **more):
        """Within a moment: every worker has the change by then."""
        wait_for(f"{number} to be {want}", lambda: self.chosen(number, **more) == want)
        self.stack.ctl("--wait", "trunk", "list")


    # ---- fields: no call is made
    def test_a_trunk_from_its_making_to_its_end(self):
        made = self.api.ask("POST", "/trunks", {
            "name": "gw-a", "host": "gw.example.net", "port": 5070, "transport": "udp", "sources": ["192.0.2.0/24", "2001:db8::/32"],
            "number_form": "national", "strip": 1, "add_digits": "9", "max_channels": 30, "default_number": "+12125550100",
            "trusts_identity": True, "may_transit": True, "priority": ["ets.1", "dsn.flash"], "is_operator": True,
            "stir_sign": True, "stir_verify": "mark"}, expect=201)
        row = made.json
        path = f"/trunks/{row['trunk_id']}"
        self.assertEqual(made.headers["Location"], "/api/v1" + path)
        self.assertEqual({k: row[k] for k in ("auth", "tls_name", "sends_identity", "disabled", "max_cps", "ping_s", "auth_user",
                                              "routes", "priority", "sources", "strip")},
                         {"auth": "address", "tls_name": None, "sends_identity": False, "disabled": False, "max_cps": 0, "ping_s": 10,
                          "auth_user": None, "routes": [], "priority": ["ets.1", "dsn.flash"],
                          "sources": ["192.0.2.0/24", "2001:db8::/32"], "strip": 1})
        self.assertEqual(self.api.get(path), row)
        self.assertEqual(self.api.get("/trunks?name=gw-a")["items"], [row])
        self.assertEqual(self.api.get("/trunks?disabled=true")["items"], [])
        self.assertEqual(self.edit(path, host="192.0.2.1", sources=[], default_number=None, strip=0),
                         {**row, "host": "192.0.2.1", "sources": [], "default_number": None, "strip": 0})
        self.assertTrue(self.edit(path, disabled=True)["disabled"])
        self.assertEqual(self.stack.ctl_json("trunk", "list")[0]["disabled"], "yes")
        self.assertFalse(self.edit(path, disabled=False)["disabled"])
        self.problem(409, "POST", "/trunks", {"name": "gw-a", "host": "192.0.2.2"}, "/name")
        route = self.make("/routes", name="uk", prefix="+44", trunk_id=row["trunk_id"])
        self.assertEqual(self.api.get(path)["routes"], ["uk"])
        self.problem(409, "DELETE", path, None, says="uk")
        self.drop(f"/routes/{route['route_id']}")
        self.drop(path)
        self.api.ask("GET", path, expect=404)

    def test_what_is_no_trunk(self):
        for pointer, body in (
                ("/host", {"host": "a b"}), ("/host", {"host": "192.0.2.256"}), ("/host", {"host": "a..b"}), ("/name", {"name": ".gw"}),
                ("/name", {"name": None}), ("/name", {"name": "x" * 64}), ("/port", {"port": 65536}), ("/port", {"port": "5060"}),
                ("/transport", {"transport": "sctp"}), ("/transport", {"transport": "udp", "auth": "certificate"}),
                ("/sources/1", {"sources": ["192.0.2.1", "192.0.2.0/33"]}), ("/sources/0", {"sources": ["192.0.2.1/24"]}),
                ("/sources/0", {"sources": ["gw.example.net"]}), ("/sources/1", {"sources": ["192.0.2.1"] * 2}),
                ("/default_number", {"default_number": "911"}), ("/add_digits", {"add_digits": "9a"}), ("/ping_s", {"ping_s": 3601}),
                ("/tls_name", {"tls_name": "a b"}), ("/strip", {"strip": 16}), ("/max_cps", {"max_cps": -1}),
                ("/priority/0", {"priority": ["ets"]}), ("/priority/1", {"priority": ["ets.1", "ets.0"]}),
                ("/stir_verify", {"stir_verify": "maybe"}), ("/auth_user", {"auth_user": "a b", "password": "x"}),
                ("/password", {"auth_user": "hg"}), ("/auth_user", {"password": "x"}), ("/password", {"auth_user": "hg", "password": ""}),
                ("/password", {"auth_user": "hg", "password": "x" * 65}), ("/colour", {"colour": "red"}), ("/trunk_id", {"trunk_id": 9})):
            with self.subTest(body=body):
                whole = {k: v for k, v in {"name": "gw", "host": "192.0.2.1", **body}.items() if v is not None}
                self.problem(422, "POST", "/trunks", whole, pointer)
        self.assertEqual(self.api.get("/trunks"), {"items": [], "next": None})
        path = f"/trunks/{self.trunk()}"
        self.problem(422, "PATCH", path, {"host": "192.0.2.256", "max_channels": 3}, "/host")
        self.problem(422, "PATCH", path, {"host": None}, "/host")
        self.assertEqual(self.api.get(path)["max_channels"], 0, "all of a change or nothing")

    def test_what_is_no_route(self):
        for pointer, body in (
                ("/next_hop", {"next_hop": "sip:gw.example.net:5060"}), ("/next_hop", {"next_hop": "sip:0.0.0.0"}), ("/next_hop", {}),
                ("/prefix", {"prefix": "44x", "next_hop": "sip:192.0.2.1"}), ("/prefix", {"prefix": "urn:service:police",
                 "next_hop": "sip:192.0.2.1"}), ("/trunk_id", {"trunk_id": 4711}), ("/next_hop", {"trunk_id": 1, "next_hop": "sip:192.0.2.1"}),
                ("/hours", {"next_hop": "sip:192.0.2.1", "hours": "8-18"}), ("/hours", {"next_hop": "sip:192.0.2.1",
                 "hours": "mon-fri 25:00-26:00"}), ("/weight", {"next_hop": "sip:192.0.2.1", "weight": -1}),
                ("/weight", {"next_hop": "sip:192.0.2.1", "weight": 65536}), ("/priority", {"next_hop": "sip:192.0.2.1", "priority": 0.5}),
                ("/name", {"name": "a\nb", "next_hop": "sip:192.0.2.1"}), ("/name", {"name": "\u00e9" * 33, "next_hop": "sip:192.0.2.1"}),
                ("/max_channels", {"next_hop": "sip:192.0.2.1", "max_channels": 2147483648})):
            for path in ("/routes", "/emergency-routes"):
                with self.subTest(path=path, body=body):
                    self.problem(422, "POST", path, {"name": "r", "prefix": "+44", **body}, pointer)
        self.assertEqual(self.stack.sql("SELECT count(*) FROM core.route"), "0")
        self.make("/routes", name="r", prefix="+44", next_hop="sip:192.0.2.1")
        self.problem(409, "POST", "/emergency-routes", {"name": "r", "prefix": "911", "next_hop": "sip:192.0.2.1"}, "/name")

    def test_what_is_no_dial_rule(self):
        for pointers, body in (
                ({"/prefix"}, {"prefix": "9x"}), ({"/min_digits", "/max_digits"}, {"min_digits": 9, "max_digits": 7}),
                ({"/max_digits"}, {"max_digits": 33}), ({"/strip"}, {"strip": 17}), ({"/add_digits"}, {"add_digits": "4+4"}),
                ({"/blocked"}, {"blocked": "maybe"}), ({"/rank"}, {"rank": 65536}), ({"/name"}, {"name": ""})):
            with self.subTest(body=body):
                self.problem(422, "POST", "/dial-rules", {"name": "x", "prefix": "9", **body}, *pointers)
        rule = self.make("/dial-rules", name="outside", prefix="9", min_digits=8, max_digits=16, strip=1)
        self.assertEqual(rule, {"rule_id": rule["rule_id"], "name": "outside", "prefix": "9", "min_digits": 8, "max_digits": 16,
                                "rank": 100, "strip": 1, "add_digits": "", "is_feature": False, "blocked": False})
        path = f"/dial-rules/{rule['rule_id']}"
        self.problem(422, "PATCH", path, {"max_digits": 7}, "/min_digits", "/max_digits")
        self.assertEqual(self.edit(path, blocked=True, prefix=""), {**rule, "blocked": True, "prefix": ""})
        self.drop(path)

    def test_kinds_do_not_mix(self):
        route = self.make("/routes", name="uk", prefix="+44", next_hop="sip:192.0.2.1")["route_id"]
        self.make("/emergency-routes", name="psap", prefix="911", next_hop="sip:192.0.2.9:5060")
        self.assertEqual([r["name"] for r in self.api.get("/routes")["items"]], ["uk"])
        self.assertEqual([r["name"] for r in self.api.get("/emergency-routes")["items"]], ["psap"])
        self.api.ask("GET", f"/emergency-routes/{route}", expect=404)
        self.api.ask("DELETE", f"/emergency-routes/{route}", headers={"If-Match": "*"}, expect=404)
        self.assertEqual([r["name"] for r in self.api.get("/routes?prefix=%2B44&name=uk")["items"]], ["uk"])
        self.assertEqual(self.api.get("/routes?prefix=%2B49")["items"], [])
        self.problem(422, "PATCH", f"/routes/{route}", {"kind": "emergency"}, "/kind")

    def test_pages(self):
        for i in range(7):
            self.make("/routes", name=f"r{i}", prefix=f"+4{i}", next_hop="sip:192.0.2.1")
        seen, path = [], "/routes?limit=3"
        while path:
            page = self.api.get(path)
            self.assertLessEqual(len(page["items"]), 3)
            seen += [r["name"] for r in page["items"]]
            path = page["next"] and f"/routes?limit=3&cursor={page['next']}"
        self.assertEqual(seen, [f"r{i}" for i in range(7)])

    def test_hours_come_back_as_they_are_read(self):
        for said, told in (("mon-fri 08:00-18:00", "mon,tue,wed,thu,fri 08:00-18:00"), ("always", "always"), ("daily", "always"),
                           ("sat-sun 06:00-07:30 -05:00", "sat,sun 06:00-07:30 -05:00"), ("22:00-06:00 +05:30", "daily 22:00-06:00 +05:30"),
                           ("mon", "mon"), ("00:00-24:00", "always")):
            with self.subTest(said=said):
                row = self.make("/routes", name="h", prefix="+1", next_hop="sip:192.0.2.1", hours=said)
                path = f"/routes/{row['route_id']}"
                self.assertEqual((row["hours"], self.edit(path, hours=told)["hours"]), (told, told))
                self.drop(path)

    def test_the_last_emergency_route(self):
        gw = self.trunk("psap")
        first = self.make("/emergency-routes", name="first", prefix="911", trunk_id=gw)["route_id"]
        second = self.make("/emergency-routes", name="second", prefix="urn:service:sos", next_hop="sip:192.0.2.9:5060")["route_id"]
        self.drop(f"/emergency-routes/{second}")
        self.problem(409, "DELETE", f"/emergency-routes/{first}", None, says="force=true")
        self.problem(409, "PATCH", f"/trunks/{gw}", {"disabled": True}, says="force=true")
        off = self.trunk("off", disabled=True)
        self.problem(409, "PATCH", f"/emergency-routes/{first}", {"trunk_id": off}, says="force=true")
        self.assertTrue(self.api.ask("PATCH", f"/trunks/{gw}?force=true", {"disabled": True}, headers={"If-Match": "*"}).json["disabled"])
        self.drop(f"/emergency-routes/{first}?force=true")
        self.assertEqual(self.api.get("/emergency-routes")["items"], [])

    def test_headgatectl_needs_force_too(self):
        self.stack.ctl("trunk", "add", "psap", "127.0.0.1", "--ping", "0")
        self.stack.ctl("route", "add", "sos", "911", "--trunk", "psap", "--emergency")
        for words in (("trunk", "disable", "psap"), ("route", "remove", "sos")):
            self.stack.ctl("trunk", "enable", "psap")
            done = self.stack.ctl(*words, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
            self.assertIn("no usable emergency route would be left", done.stderr)
            self.stack.ctl(*words, "--force")
        self.assertEqual(self.api.get("/emergency-routes")["items"], [])
        self.stack.ctl("route", "add", "uk", "+44", "--trunk", "psap")
        self.stack.ctl("route", "remove", "uk", "--force")

    def test_two_who_remove_the_last_two_at_once(self):
        for _ in range(3):
            ids = [self.make("/emergency-routes", name=f"e{i}", prefix="911", next_hop="sip:192.0.2.9:5060")["route_id"] for i in range(2)]
            answers = at_once(*(lambda i=i: self.stack.api().ask("DELETE", f"/emergency-routes/{i}", headers={"If-Match": "*"}) for i in ids))
            self.assertEqual(sorted(a.status for a in answers), [204, 409])
            self.stack.sql("DELETE FROM core.route")

    def test_who_comes_second_is_told(self):
        path = f"/trunks/{self.trunk()}"
        tag = self.api.ask("GET", path).headers["ETag"]
        self.api.ask("PATCH", path, {"max_cps": 1}, expect=428)
        answers = at_once(*(lambda n=n: self.stack.api().ask("PATCH", path, {"max_channels": n}, headers={"If-Match": tag})
                            for n in (1, 2, 3, 4)))
        self.assertEqual(sorted(a.status for a in answers), [200, 412, 412, 412])
        won = next(a for a in answers if a.status == 200)
        self.assertEqual(self.api.get(path), won.json)
        self.api.ask("DELETE", path, headers={"If-Match": tag}, expect=412)
        self.api.ask("DELETE", path, headers={"If-Match": won.headers["ETag"]}, expect=204)

    def test_a_password_is_seen_nowhere(self):
        body = json.dumps({"name": "gw", "host": "127.0.0.1", "ping_s": 0, "auth_user": "hg", "password": PASSWORD}).encode()
        row = self.api.ask("POST", "/trunks", body, headers={"Content-Type": "application/json", "Idempotency-Key": "secret"},
                           expect=201).json
        self.assertNotEqual(self.stack.sql("SELECT encode(request_hash, 'hex') FROM core.idempotency WHERE key = 'secret'"),
                            hashlib.sha256(b"POST /api/v1/trunks?\n" + body).hexdigest(), "who guesses the password cannot tell")
        path = f"/trunks/{row['trunk_id']}"
        self.assertEqual((row["auth_user"], "password" in row), ("hg", False))
        sealed = self.stack.sql("SELECT encode(auth_sealed, 'hex') FROM core.trunk")
        self.assertEqual(len(sealed) // 2, 29 + len(PASSWORD))
        self.edit(path, ping_s=20)
        self.assertEqual(self.stack.sql("SELECT encode(auth_sealed, 'hex') FROM core.trunk"), sealed, "another change leaves it alone")
        self.problem(422, "PATCH", path, {"auth_user": "other"}, "/password")
        self.problem(422, "PATCH", path, {"name": "gw2"}, "/password")
        self.problem(422, "PATCH", path, {"password": None}, "/password")
        self.edit(path, name="gw2", password=PASSWORD + "x")
        self.assertNotEqual(self.stack.sql("SELECT encode(auth_sealed, 'hex') FROM core.trunk"), sealed)
        shown = self.api.ask("GET", path).body + self.api.ask("GET", "/trunks").body + self.api.ask("GET", "/audit").body
        logs = b"".join(pathlib.Path(self.stack.log(n)).read_bytes() for n in ("gc1", "admin1"))
        rows = self.stack.sql("SELECT string_agg(concat(before, after), ' ') FROM core.audit").encode()
        for secret in (PASSWORD.encode(), sealed[:32].encode()):
            self.assertNotIn(secret, shown + logs + rows)
        self.assertIsNone(self.edit(path, auth_user=None)["auth_user"])
        self.assertEqual(self.stack.sql("SELECT length(auth_sealed) FROM core.trunk"), "0")

    def test_peers_and_states(self):
        self.trunk("peer", host="192.0.2.7", transport="tls", auth="certificate", tls_name="peer.test")
        peers = self.api.get("/peers")
        self.assertEqual((peers["truncated"], peers["nodes"]), (False, [{"node": "gc1", "local": True, "reached": True, "error": None}]))
        self.assertEqual([(p["kind"], p["node"], p["address"], p["certificate_name"]) for p in peers["items"]],
                         [("trusted_address", "gc1", self.stack.net + "9", None),
                          ("emergency_next_hop", "gc1", f"sip:{self.stack.net}9:5060", None),
                          ("certified_trunk", None, "192.0.2.7", "peer.test")])
        wait_for("its address", lambda: [s["address"] for s in self.api.get("/trunk-states")["items"]] == ["192.0.2.7:5061"])
        state = self.api.get("/trunk-states")["items"][0]
        self.assertEqual((state["node"], state["trunk"], state["transport"], state["state"], state["calls"]), ("gc1", "peer", "TLS", "up", 0))

    def test_the_idempotency_key(self):
        body = {"name": "once", "prefix": "+44", "next_hop": "sip:192.0.2.1"}
        first = self.api.ask("POST", "/routes", body, headers={"Idempotency-Key": "one"}, expect=201)
        again = self.api.ask("POST", "/routes", body, headers={"Idempotency-Key": "one"}, expect=201)
        self.assertEqual((first.json, first.headers["Location"]), (again.json, again.headers["Location"]))
        self.api.ask("POST", "/routes", {**body, "name": "twice"}, headers={"Idempotency-Key": "one"}, expect=422)
        self.assertEqual(len(self.api.get("/routes")["items"]), 1)


    # ---- two people
    def policy(self, on):
        self.api.patch("/policies/two_person.route", {"enabled": on})

    def proposed(self, answer):
        self.assertEqual(answer.status, 202, answer)
        change = answer.json["changes"][0]
        self.assertEqual(answer.headers["Location"], f"/api/v1/changes/{change}")
        return f"/changes/{change}"

    def test_one_proposes_another_approves(self):
        anna, berta = self.person["anna"], self.person["berta"]
        gw = self.trunk()
        self.policy(True)
        change = self.proposed(anna.ask("POST", "/routes", {"name": "uk", "prefix": "+44", "trunk_id": gw}))
        self.assertEqual(self.api.get("/routes")["items"], [])
        self.problem(422, "POST", "/routes", {"name": "uk", "prefix": "x", "trunk_id": gw}, "/prefix")
        anna.ask("POST", change + "/approve", expect=(403, 409))
        self.assertEqual(self.api.get("/routes")["items"], [], "nobody approves what he proposed")
        berta.ask("POST", change + "/approve", expect=200)
        route = self.api.get("/routes")["items"][0]
        self.assertEqual((route["name"], route["trunk"]), ("uk", "gw"))
        self.decided(("targets", [("uk", FAR)]), FAR)
        path = f"/routes/{route['route_id']}"
        tag = anna.ask("GET", path).headers["ETag"]
        change = self.proposed(anna.ask("PATCH", path, {"priority": 5}, headers={"If-Match": tag}))
        self.assertEqual(self.api.get(path)["priority"], 100)
        berta.ask("POST", change + "/approve", expect=200)
        self.assertEqual(self.api.get(path)["priority"], 5)
        change = self.proposed(berta.ask("DELETE", path, headers={"If-Match": "*"}))
        self.api.ask("GET", path, expect=200)
        anna.ask("POST", change + "/approve", expect=200)
        self.api.ask("GET", path, expect=404)

    def test_two_proposals_for_the_last_two_emergency_routes(self):
        anna, berta = self.person["anna"], self.person["berta"]
        gw = self.trunk("psap")
        paths = [f"/emergency-routes/{self.make('/emergency-routes', name=n, prefix='911', **way)['route_id']}"
                 for n, way in (("first", {"trunk_id": gw}), ("second", {"next_hop": "sip:192.0.2.9:5060"}))]
        self.policy(True)
        change = self.proposed(anna.ask("DELETE", paths[1], headers={"If-Match": "*"}))
        anna.ask("DELETE", paths[0], headers={"If-Match": "*"}, expect=409)
        anna.ask("PATCH", f"/trunks/{gw}", {"disabled": True}, headers={"If-Match": "*"}, expect=409)
        berta.ask("POST", change + "/reject", expect=200)
        self.proposed(anna.ask("PATCH", f"/trunks/{gw}", {"disabled": True}, headers={"If-Match": "*"}))
        anna.ask("DELETE", paths[1], headers={"If-Match": "*"}, expect=409)

    def test_a_proposed_password(self):
        anna, berta = self.person["anna"], self.person["berta"]
        self.policy(True)
        change = self.proposed(anna.ask("POST", "/trunks", {"name": "gw", "host": "127.0.0.1", "auth_user": "hg", "password": PASSWORD}))
        sealed = self.stack.sql("SELECT after ->> 'auth_sealed' FROM core.change WHERE state = 'proposed'")
        self.assertNotIn(sealed[2:34], berta.ask("GET", change).body.decode())
        berta.ask("POST", change + "/approve", expect=200)
        self.assertEqual(self.stack.sql("SELECT auth_sealed FROM core.trunk"), sealed)
        self.assertNotIn(sealed[2:34], self.stack.sql("SELECT string_agg(concat(before, after), ' ') FROM core.audit"))

    # ---- calls
    def gateway(self, last):
        """A peer on the port of its own socket."""
        phone = self.closing(MacBti(None, None, None, "gw", self.stack.domain, (self.stack.gc_ip, 5060), f"{self.stack.net}{last}"))
        host, port = phone.host_port.rsplit(":", 1)
        return phone, {"host": host, "port": int(port), "transport": "udp"}

    def answered(self, gateway):
        """Takes the call that comes; its Request-URI."""
        invite = gateway.expect_request("INVITE")
        self.assertIsNotNone(invite, "no call came to the gateway")
        dialog, _ = gateway.answer(invite, SDP)
        return invite.uri, dialog

    def call(self, number, gateway):
        """A call from start to end; the number as the gateway saw it."""
        call = self.alice.invite(number, SDP)
        answer = threading.Thread(target=lambda: self.alice.final(call))
        answer.start()
        uri, _ = self.answered(gateway)
        answer.join()
        self.assertEqual(call.responses[-1].status, 200)
        bye = self.alice.bye_message(call.dialog)
        self.alice.send(bye)
        request = gateway.expect_request("BYE")
        gateway.send(gateway.response_message(request, 200, "OK"))
        self.assertEqual(self.alice.expect_response(bye).status, 200)
        return uri.split(":")[1].split("@")[0]

    def refusal(self, number):
        call = self.alice.invite(number, SDP)
        return self.alice.final(call).status

    def test_a_route_carries_a_call_until_its_trunk_is_disabled(self):
        gateway, where = self.gateway(21)
        path = f"/trunks/{self.trunk(**where, number_form='bare')}"
        trunk = self.api.get(path)["trunk_id"]
        self.make("/routes", name="uk", prefix="+44", trunk_id=trunk)
        self.make("/dial-rules", name="outside", prefix="9", strip=1, min_digits=8, max_digits=16)
        self.decided(("targets", [("uk", FAR[1:])]), "9011442079460100", **{"from": ALICE})
        self.assertEqual(self.call("9011442079460100", gateway), FAR[1:], "the route test told what the call does")
        self.edit(path, disabled=True)
        self.decided(("no usable route", []), FAR)
        self.assertEqual(self.refusal(FAR), 503)
        self.assertIsNone(gateway.expect_request("INVITE", 0.2))
        self.edit(path, disabled=False)
        self.decided(("targets", [("uk", FAR[1:])]), FAR)
        self.assertEqual(self.call(FAR, gateway), FAR[1:])

    def test_route_test(self):
        gw = self.trunk(may_transit=True)
        self.make("/routes", name="office", prefix="+44", trunk_id=gw, hours="mon-fri 08:00-18:00", priority=1)
        self.make("/routes", name="rest", prefix="+", next_hop="sip:127.0.0.1:5999")
        self.decided(("targets", [("office", FAR), ("rest", FAR)]), FAR, at=MONDAY_NOON)
        self.assertEqual(self.chosen(FAR, at=SUNDAY), ("targets", [("rest", FAR)]))
        told = self.make("/route-tests", 200, number=FAR, at=SUNDAY, node="gc1")
        self.assertIn("route office (prefix +44): not now, it is not its time: mon-fri 08:00-18:00", " ".join(told["steps"]))
        self.assertEqual((told["node"], told["number"], told["rule"], told["line_id"]), ("gc1", FAR, None, None))
        self.assertEqual(self.make("/route-tests", 200, number=ALICE)["line_id"], int(self.alice.line))
        self.assertEqual(self.chosen(FAR, from_trunk="gw"), ("targets", [("rest", FAR)]))
        for pointer, body in (("/number", {"number": "http:x"}), ("/number", {}), ("/from", {"number": FAR, "from": FAR}),
                              ("/from_trunk", {"number": FAR, "from_trunk": "gone"}), ("/at", {"number": FAR, "at": "noon"}),
                              ("/node", {"number": FAR, "node": "elsewhere"}),
                              ("/from_trunk", {"number": FAR, "from": ALICE, "from_trunk": "gw"})):
            with self.subTest(body=body):
                self.problem(422, "POST", "/route-tests", body, pointer)

    def test_without_a_gate_controller(self):
        self.stack.daemons.pop("gc1").stop()
        try:
            told = self.problem(503, "POST", "/route-tests", {"number": FAR})
            self.assertTrue(told["type"].endswith("/no-gate"))
            self.problem(503, "POST", "/trunks", {"name": "gw", "host": "127.0.0.1", "auth_user": "hg", "password": "x"}, "/password")
            self.assertEqual(self.api.get("/trunks")["items"], [])
            self.make("/trunks", name="gw", host="127.0.0.1")
        finally:
            self.stack.start_gc()
