"""Who may what through headgate-admin: tokens, certificates, users of the machine, escalation, lock-out, two people, and what the
audit log says of it."""
import concurrent.futures
import datetime
import hashlib
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import unittest

from administered import AdminTest, Person, Session, fault_of, pages, wait_for
from stacked import at_once

BAD = "hga_" + "A" * 43


def in_days(n):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=n)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Tokens(AdminTest):
    settings = {"limits.requests_per_second": 100000}

    def test_its_text_is_told_once_and_kept_nowhere(self):
        anna = self.person("viewer")
        text = anna.token
        self.assertRegex(text, r"^hga_[A-Za-z0-9_-]{43}$")
        told = self.root.get(f"/tokens/{anna.token_id}")
        self.assertEqual((told["prefix"], told["state"], told["administrator"]), (text[:10], "active", anna.name))
        self.assertNotIn("token", told)
        self.assertEqual(self.stack.sql(f"SELECT encode(hash, 'hex') FROM core.token WHERE token_id = {anna.token_id}"),
                         hashlib.sha256(text.encode()).hexdigest())
        hidden = text[10:]
        kept = self.stack.sql(" UNION ALL ".join(f"SELECT t::text FROM core.{table} t" for table in ("token", "audit", "change", "idempotency")))
        self.assertIn(text[:10], kept)
        self.assertNotIn(hidden, kept)
        self.assertNotIn(hashlib.sha256(text.encode()).hexdigest(), self.stack.sql("SELECT string_agg(t::text, ' ') FROM core.audit t"))
        anna.get("/me")
        self.assertNotIn(hidden, pathlib.Path(self.stack.log("admin1")).read_text())

    def test_it_ends_when_its_time_is_over(self):
        anna = self.person("viewer")
        self.assertEqual(anna.get("/me")["name"], anna.name)
        self.stack.sql(f"UPDATE core.token SET created_at = now() - interval '2 s', expires_at = now() + interval '1 ms' WHERE token_id = {anna.token_id}")
        wait_for("the token to end", lambda: anna.ask("GET", "/me").status == 401)
        self.assertEqual(self.root.get(f"/tokens/{anna.token_id}")["state"], "expired")
        for when, says in ((in_days(-1), "is over"), (in_days(500), "400 days")):
            problem = self.refused(self.root.ask("POST", "/tokens", {"administrator_id": anna.id, "expires_at": when}), 422, says)
            self.assertEqual(problem["errors"][0]["pointer"], "/expires_at")
        ends = in_days(30)
        self.assertEqual(self.root.post("/tokens", {"administrator_id": anna.id, "expires_at": ends})["expires_at"], ends)

    def test_it_is_revoked_at_once_with_what_it_made(self):
        self.stack.start_admin("admin2", self.stack.net + "4")
        anna = self.person("security")
        child = Person(self.stack, anna.name, anna.post("/me/tokens", {"name": "child"}, expect=201))
        grandchild = Person(self.stack, anna.name, child.post("/me/tokens", {}, expect=201))
        other = Person(self.stack, anna.name, anna.post("/tokens", {"administrator_id": anna.id}), node="admin2")
        elsewhere = self.stack.api(grandchild.token, node="admin2")
        wait_for("the other daemon to know the token", lambda: elsewhere.ask("GET", "/me").status == 200)
        bert = self.person("viewer")
        self.refused(bert.ask("POST", f"/me/tokens/{child.token_id}/revoke"), 404)
        self.assertEqual(child.get("/me")["token_id"], child.token_id)
        self.assertEqual(anna.post(f"/me/tokens/{child.token_id}/revoke", expect=200)["state"], "revoked")
        self.assertEqual([p.ask("GET", "/me").status for p in (child, grandchild, anna)], [401, 401, 200])
        wait_for("the other daemon to follow", lambda: elsewhere.ask("GET", "/me").status == 401)
        ended = self.root.get(f"/tokens/{child.token_id}")["revoked_at"]
        self.assertEqual(self.root.post(f"/tokens/{child.token_id}/revoke", expect=200)["revoked_at"], ended)
        self.root.post(f"/tokens/{anna.token_id}/revoke")
        self.assertEqual(anna.ask("GET", "/me").status, 401)
        wait_for("the other daemon to follow", lambda: other.ask("GET", "/me").status == 401)
        self.refused(self.root.ask("POST", "/tokens/999999/revoke"), 404)
        self.stack.daemons.pop("admin2").stop()

    def test_scopes_cut_and_never_add(self):
        anna = self.person("auditor")
        made = anna.post("/me/tokens", {"scopes": ["admins.read"]}, expect=201)
        narrow = Person(self.stack, anna.name, made)
        self.assertEqual(narrow.get("/me")["permissions"], ["self", "admins.read"])
        narrow.get("/roles")
        self.refused(narrow.ask("GET", "/audit"), 403, "audit.read")
        problem = self.refused(anna.ask("POST", "/me/tokens", {"scopes": ["admins.read", "admins.write"]}), 422)
        self.assertEqual(problem["errors"], [{"pointer": "/scopes/1", "detail": "its owner has no such permission"}])
        # A narrow one makes no wider one, said or not said, and none that lives longer.
        self.refused(narrow.ask("POST", "/me/tokens", {"scopes": ["audit.read"]}), 403, "audit.read")
        child = narrow.post("/me/tokens", {}, expect=201)
        self.assertEqual((child["scopes"], child["expires_at"]), (["admins.read"], made["expires_at"]))
        self.refused(narrow.ask("POST", "/me/tokens", {"expires_at": in_days(300)}), 422, "later than")
        # What the owner loses, the token loses.
        self.root.patch(f"/administrators/{anna.id}", {"roles": ["viewer"]})
        self.refused(narrow.ask("GET", "/roles"), 403, "admins.read")
        self.assertEqual(narrow.get("/me")["permissions"], ["self"])

    def test_a_disabled_administrator_has_none_from_then_on(self):
        anna = self.person("viewer")
        anna.get("/me")
        self.root.patch(f"/administrators/{anna.id}", {"disabled": True})
        self.assertEqual(anna.ask("GET", "/me").status, 401)
        self.refused(self.root.ask("POST", "/tokens", {"administrator_id": anna.id}), 422, "disabled")
        self.root.patch(f"/administrators/{anna.id}", {"disabled": False})
        self.assertEqual(anna.ask("GET", "/me").status, 401)
        self.assertEqual(self.root.get(f"/tokens/{anna.token_id}")["state"], "revoked")
        again = Person(self.stack, anna.name, self.root.post("/tokens", {"administrator_id": anna.id}))
        again.get("/me")
        self.root.ask("DELETE", f"/administrators/{anna.id}", headers={"If-Match": "*"}, expect=204)
        self.assertEqual(again.ask("GET", "/me").status, 401)

    def test_none_is_made_while_its_maker_ends(self):
        for what, status, says in (("UPDATE core.token SET revoked_at = now() WHERE token_id = {0.token_id}", 403, "revoked"),
                                   ("UPDATE core.administrator SET disabled = true WHERE admin_id = {0.id}", 422, "disabled")):
            anna = self.person("viewer")
            with Session(self.stack) as ender, concurrent.futures.ThreadPoolExecutor(1) as asker:
                ender.run("BEGIN", what.format(anna))
                asking = asker.submit(anna.ask, "POST", "/me/tokens", {})
                wait_for("the request to meet the lock", lambda: asking.done() or ender.run("SELECT pid FROM pg_locks WHERE NOT granted"))
                ender.run("COMMIT")
                self.refused(asking.result(20), status, says)
            self.assertEqual(self.stack.sql(f"SELECT count(*) FROM core.token WHERE admin_id = {anna.id} AND revoked_at IS NULL"), "0")

    def test_nobody_learns_anything(self):
        """Whatever is wrong, the answer is the same."""
        anna, bert = self.person("viewer"), self.person("viewer")
        self.root.patch(f"/administrators/{anna.id}", {"disabled": True})
        self.root.post(f"/tokens/{bert.token_id}/revoke")
        http = self.stack.api_tcp()
        said = set()
        for header in (None, "Bearer " + BAD, "Bearer " + anna.token, "Bearer " + bert.token, "Bearer", "Bearer ", "Basic YTpi", "Bearer x y",
                       "bearer " + anna.token[:-1], "Bearer " + anna.token + "A"):
            answer = http.ask("GET", "/administrators", headers={"Authorization": header} if header else {})
            self.assertEqual(answer.status, 401, header)
            problem = answer.json
            problem.pop("request_id")
            said.add((json.dumps(problem, sort_keys=True), answer.headers["WWW-Authenticate"]))
        self.assertEqual(len(said), 1, said)

    def test_some_are_enough(self):
        anna = self.person("viewer")
        self.stack.sql(f"INSERT INTO core.token (admin_id, hash, prefix, expires_at) SELECT {anna.id}, sha256(n::text::bytea), 'hga_x' || n, "
                       "now() + interval '1 day' FROM generate_series(1000, 1098) n")
        self.refused(anna.ask("POST", "/me/tokens", {}), 409, "100 tokens")
        self.refused(self.root.ask("POST", "/tokens", {"administrator_id": anna.id}), 409, "100 tokens")
        anna.post(f"/me/tokens/{anna.get('/me/tokens')['items'][-1]['token_id']}/revoke")
        anna.post("/me/tokens", {}, expect=201)

    def test_use_is_told_by_the_hour(self):
        anna = self.person("viewer")
        anna.get("/me")
        used = wait_for("the hour of use", lambda: self.root.get(f"/tokens/{anna.token_id}")["last_used_at"])
        self.assertRegex(used, r"T\d\d:00:00Z$")
        self.assertEqual(len(self.rows(object=f"token {anna.token_id}")), 1)  # none of the log's business

    def test_a_user_of_the_machine_has_none(self):
        self.assertEqual(self.root.get("/me")["token_id"], None)
        self.refused(self.root.ask("POST", "/me/tokens", {}), 409, "user of the machine")
        self.assertEqual(self.root.get("/me/tokens")["items"], [])
        self.refused(self.root.ask("POST", "/me/tokens/1/revoke"), 404)
        self.refused(self.root.ask("POST", "/tokens", {"administrator_id": 999999}), 422, "no such administrator")


class Rights(AdminTest):
    settings = {"limits.requests_per_second": 100000}

    def setUp(self):
        self.boss = self.person("security")  # the last one is not to be disabled: the tests need another

    def test_nobody_gives_what_he_has_not(self):
        helper = self.role("admins.read", "admins.write", "tokens.write", "calls.read")
        anna, victim = self.person(helper), self.person("security")
        for roles in (["security"], ["operator"], [helper, "emergency"]):
            self.refused(anna.ask("POST", "/administrators", {"name": "x", "roles": roles}), 403)
            self.refused(anna.ask("PATCH", f"/administrators/{anna.id}", {"roles": roles}, {"If-Match": "*"}), 403)
        for body in ({"roles": [helper]}, {"os_user": "anna"}, {"certificate": "anna"}, {"disabled": True}):
            self.refused(anna.ask("PATCH", f"/administrators/{victim.id}", body, {"If-Match": "*"}), 403, "security")
        self.refused(anna.ask("DELETE", f"/administrators/{victim.id}", headers={"If-Match": "*"}), 403)
        self.refused(anna.ask("POST", "/tokens", {"administrator_id": victim.id}), 403)
        self.refused(anna.ask("POST", "/tokens", {"administrator_id": victim.id, "scopes": ["audit.read"]}), 403)
        self.refused(anna.ask("POST", "/roles", {"name": "wide", "permissions": ["preempt"]}), 403, "preempt")
        self.refused(anna.ask("PATCH", f"/roles/{helper}", {"permissions": ["admins.write", "preempt"]}, {"If-Match": "*"}), 403, "preempt")
        wide = self.role("preempt")
        self.refused(anna.ask("PATCH", f"/roles/{wide}", {"help": "mine"}, {"If-Match": "*"}), 403)
        self.refused(anna.ask("DELETE", f"/roles/{wide}", headers={"If-Match": "*"}), 403)
        # What he has, he may give.
        narrow = anna.post("/roles", {"name": "narrow", "permissions": ["calls.read"]}, expect=201)
        made = anna.post("/administrators", {"name": "newcomer", "roles": [narrow["name"], helper]}, expect=201)
        anna.post("/tokens", {"administrator_id": made["administrator_id"], "scopes": ["calls.read"]}, expect=201)
        # Without scopes it would have what the newcomer is given later.
        self.refused(anna.ask("POST", "/tokens", {"administrator_id": made["administrator_id"]}), 403, "role security")
        self.assertEqual(self.stack.sql(f"SELECT roles, disabled FROM core.administrator WHERE admin_id = {victim.id}"), "{security}|f")
        row = self.row("the refusal", person=anna.name, object="operation createRole")
        self.assertEqual((row["action"], row["actor"], row["after"]["why"]), ("refuse", "hg_api", "this takes the permission preempt, or the role security"))

    def test_who_may_not_preempt_entitles_nobody_to(self):
        """A line's level and priority, a trunk's priority and operators: given by those who may preempt, taken away by anybody who writes."""
        desk, chief = self.person("provisioner", "operator"), self.person("provisioner", "operator", "emergency")
        account = desk.post("/accounts", {"name": "Entitled"})["account_id"]
        for field, value in (("level", "administrator"), ("priority", ["ets.0"])):
            self.refused(desk.ask("POST", "/lines", {"account_id": account, field: value}), 403, "preempt")
            line = desk.post("/lines", {"account_id": account}, expect=201)["line_id"]
            etag = {"If-Match": desk.ask("GET", f"/lines/{line}").headers["ETag"]}
            self.refused(desk.ask("PATCH", f"/lines/{line}", {field: value}, etag), 403, "preempt")
            self.assertEqual(chief.patch(f"/lines/{line}", {field: value})[field], value)
            self.assertEqual(desk.patch(f"/lines/{line}", {"display": "Hall"})[field], value)
            self.assertEqual(desk.patch(f"/lines/{line}", {field: [] if field == "priority" else "user"})[field],
                             [] if field == "priority" else "user")
        for field, value in (("priority", ["ets.0"]), ("is_operator", True)):
            trunk = {"name": f"gw-{field}", "host": "192.0.2.1", "sources": ["192.0.2.1/32"], field: value}
            self.refused(desk.ask("POST", "/trunks", trunk), 403, "preempt")
            made = chief.post("/trunks", trunk, expect=201)
            self.assertEqual(desk.patch(f"/trunks/{made['trunk_id']}", {"max_cps": 3})[field], value)
            desk.patch(f"/trunks/{made['trunk_id']}", {field: [] if field == "priority" else False})
            etag = {"If-Match": desk.ask("GET", f"/trunks/{made['trunk_id']}").headers["ETag"]}
            self.refused(desk.ask("PATCH", f"/trunks/{made['trunk_id']}", {field: value}, etag), 403, "preempt")

    def test_all_rights_of_security_are_not_the_role(self):
        """Who has each of its permissions by another role, or by a token with scopes, gives no more than these."""
        everything = self.root.get("/roles/security")["permissions"]
        alike = self.person(self.role(*everything))
        self.refused(alike.ask("POST", "/administrators", {"name": "x", "roles": ["security"]}), 403, "role security")
        self.refused(alike.ask("POST", "/tokens", {"administrator_id": self.boss.id}), 403, "role security")
        scoped = Person(self.stack, self.boss.name, self.boss.post("/me/tokens", {"scopes": everything}))
        self.assertFalse(scoped.get("/me")["grants_all"])
        self.refused(scoped.ask("POST", "/administrators", {"name": "x", "roles": ["operator"]}), 403)
        self.refused(scoped.ask("PATCH", f"/administrators/{self.boss.id}", {"os_user": "x"}, {"If-Match": "*"}), 403)
        self.assertTrue(self.boss.get("/me")["grants_all"])
        self.boss.post("/administrators", {"name": "given", "roles": ["operator", "emergency"]}, expect=201)

    def test_somebody_is_left(self):
        self.stack.sql("UPDATE core.administrator SET disabled = true WHERE admin_id NOT IN "
                       f"(SELECT admin_id FROM core.administrator WHERE admin_id = {self.boss.id})")
        boss = self.boss
        # A notification is on its way; who is here and enabled is known all the same.
        for body in ({"disabled": True}, {"roles": ["viewer"]}, {"roles": []}):
            self.refused(boss.ask("PATCH", f"/administrators/{boss.id}", body, {"If-Match": "*"}), 409, "nobody would be left")
            self.refused(self.root.ask("PATCH", f"/administrators/{boss.id}", body, {"If-Match": "*"}), 409, "nobody would be left")
        self.refused(self.root.ask("DELETE", f"/administrators/{boss.id}", headers={"If-Match": "*"}), 409, "nobody would be left")
        role = self.role("admins.write")
        other = self.person(role)
        self.root.patch(f"/administrators/{boss.id}", {"roles": ["viewer"]})
        self.refused(self.root.ask("PATCH", f"/roles/{role}", {"permissions": ["calls.read"]}, {"If-Match": "*"}), 409, "nobody would be left")
        self.refused(self.root.ask("DELETE", f"/roles/{role}", headers={"If-Match": "*"}), 409, "administrators have this role")
        self.root.patch(f"/administrators/{boss.id}", {"roles": ["security"]})
        # Two who take the last two away at the same time: one of them is told no.
        answers = at_once(*[lambda i=i: self.stack.api().ask("PATCH", f"/administrators/{i}", {"disabled": True}, {"If-Match": "*"})
                            for i in (boss.id, other.id)])
        self.assertEqual(sorted(a.status for a in answers), [200, 409])

    def test_what_is_wrong_is_named(self):
        self.administrator(name="taken", os_user="taken", certificate="taken")
        for body, status, pointer in (({"name": "taken"}, 409, "/name"), ({"name": "y", "os_user": "taken"}, 409, "/os_user"),
                                      ({"name": "y", "certificate": "taken"}, 409, "/certificate"),
                                      ({"name": "y", "roles": ["nonsense"]}, 422, "/roles"), ({"name": "os:root"}, 422, "/name"),
                                      ({"name": "y", "os_user": "root"}, 422, "/os_user"), ({"name": "y", "roles": ["a", "a"]}, 422, "/roles/1"),
                                      ({"name": "y", "admin_id": 1}, 422, "/admin_id"), ({}, 422, "/name")):
            problem = self.refused(self.root.ask("POST", "/administrators", body), status)
            self.assertIn(pointer, [e["pointer"] for e in problem["errors"]], body)
        self.refused(self.root.ask("POST", "/roles", {"name": "viewer", "permissions": []}), 409)
        self.refused(self.root.ask("POST", "/roles", {"name": "v", "permissions": ["calls.fly"]}), 422)
        for method, path, body in (("PATCH", "/roles/viewer", {"help": "x"}), ("DELETE", "/roles/viewer", None)):
            self.refused(self.root.ask(method, path, body, {"If-Match": "*"}), 409, "built-in")
        made = self.root.ask("POST", "/administrators", {"name": "fresh"})
        self.refused(self.root.ask("PATCH", made.headers["Location"][7:], {"name": "other"}, {"If-Match": "*"}), 422)
        self.assertEqual(self.root.ask("GET", made.headers["Location"][7:]).headers["ETag"], made.headers["ETag"])

    def test_roles_change_for_all_who_have_them_at_once(self):
        role = self.role("calls.read")
        anna = self.person(role)
        self.refused(anna.ask("GET", "/audit"), 403)
        self.root.patch(f"/roles/{role}", {"permissions": ["audit.read"]})
        anna.get("/audit?limit=1")
        self.root.patch(f"/administrators/{anna.id}", {"roles": []})
        self.refused(anna.ask("GET", "/audit"), 403)
        self.root.ask("DELETE", f"/roles/{role}", headers={"If-Match": "*"}, expect=204)
        self.assertEqual([r["name"] for r in pages(self.root, "/roles") if r["name"] == role], [])

    def test_no_way_around_by_the_database_role(self):
        """What hg_api could do on the database, whoever speaks through it; and what others could on the tables of rights."""
        self.denied("hg_api", "SELECT * FROM prov.bti_key", "SELECT digest FROM prov.work_order", "SELECT * FROM trace.record",
                    "SELECT auth_sealed FROM core.trunk", "SELECT ha1_sealed FROM core.credential", "DELETE FROM core.audit",
                    "INSERT INTO core.audit SELECT * FROM core.audit", "UPDATE core.change SET state = 'approved'",
                    "UPDATE core.administrator SET name = 'x'", "UPDATE core.token SET expires_at = now() + interval '1 year'",
                    "UPDATE core.token SET hash = sha256('x')", "DELETE FROM core.token", "DELETE FROM core.audit_checkpoint",
                    "SELECT core.audit_append(NULL)", "INSERT INTO core.effect (object) VALUES ('x')", "UPDATE core.policy SET help = 'x'")
        for role in ("hg_admin", "hg_gc", "hg_prov", "hg_trace"):
            self.denied(role, "INSERT INTO core.administrator (name) VALUES ('x')", "SELECT core.note_refusal('a', 'b', 'c', '{}')",
                        "SELECT * FROM core.token", "INSERT INTO core.role VALUES ('x', '', '{}')")

    def denied(self, role, *statements):
        done = subprocess.run(["psql", "-qAtX", "-h", str(self.stack.pg_host), "-U", role, "-d", "headgate"], input=";\n".join(statements) + ";\n",
                              capture_output=True, text=True, check=False)
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "ERROR:" in line]
        self.assertEqual(len(errors), len(statements), done)
        for text, error in zip(statements, errors):
            self.assertIn("permission denied", error, (role, text))
        self.assertEqual(done.stdout, "")


class TwoPeople(AdminTest):
    settings = {"limits.requests_per_second": 100000}

    @classmethod
    def prepare(cls):
        cls.anna, cls.berta = cls.person("security", name="anna"), cls.person("security", name="berta")
        cls.carl = cls.person("operator", name="carl")

    def tearDown(self):
        self.stack.sql("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE core.policy DISABLE TRIGGER a_two_person; UPDATE core.policy SET enabled = false; "
                       "ALTER TABLE core.policy ENABLE ALWAYS TRIGGER a_two_person")
        super().tearDown()

    def on(self, policy):
        self.assertTrue(self.anna.patch(f"/policies/{policy}", {"enabled": True})["enabled"])

    def proposed(self, answer):
        self.assertEqual(answer.status, 202, answer)
        change = answer.json["changes"][0]
        self.assertEqual((answer.json["state"], answer.headers["Location"]), ("proposed", f"/api/v1/changes/{change}"))
        return change

    def test_rights_are_given_by_two(self):
        viewer = self.person("viewer")
        self.on("two_person.admin")
        change = self.proposed(self.anna.ask("POST", "/administrators", {"name": "dora", "roles": ["viewer"]}))
        self.assertEqual(self.root.get("/administrators?name=dora")["items"], [])
        told = self.carl.get(f"/changes/{change}")
        self.assertEqual((told["object"], told["action"], told["proposer_person"], told["after"]["roles"]),
                         ("administrator dora", "insert", "anna", ["viewer"]))
        self.refused(self.anna.ask("POST", f"/changes/{change}/approve"), 403, "another person")
        self.refused(self.carl.ask("POST", f"/changes/{change}/approve"), 403, "admins.write")
        self.refused(viewer.ask("POST", f"/changes/{change}/approve"), 403, "changes.decide")
        done = self.berta.post(f"/changes/{change}/approve", expect=200)
        self.assertEqual((done["state"], done["decider_person"]), ("approved", "berta"))
        dora = self.root.get("/administrators?name=dora")["items"][0]
        self.refused(self.root.ask("POST", f"/changes/{change}/approve"), 409, "approved already")
        path = f"/administrators/{dora['administrator_id']}"
        for body in ({"roles": ["operator"]}, {"os_user": "dora"}, {"certificate": "dora"}):
            change = self.proposed(self.anna.ask("PATCH", path, body, {"If-Match": "*"}))
            self.berta.post(f"/changes/{change}/reject", expect=200)
        self.assertEqual(self.root.get(path), dora)
        # To lock out takes one, to let in again two.
        self.anna.patch(path, {"disabled": True})
        change = self.proposed(self.berta.ask("PATCH", path, {"disabled": False}, {"If-Match": "*"}))
        self.anna.post(f"/changes/{change}/approve")
        self.assertFalse(self.root.get(path)["disabled"])
        self.assertEqual([(r["action"], r["person"]) for r in self.rows(object="administrator dora")][:3],
                         [("update", "anna"), ("update", "anna"), ("insert", "berta")])

    def test_a_token_for_another_is_good_when_two_agree(self):
        self.on("two_person.admin")
        answer = self.anna.ask("POST", "/tokens", {"administrator_id": self.berta.id, "name": "trick"})
        change, token = self.proposed(answer), answer.json["token"]
        stranger = self.stack.api(token)
        self.assertEqual(stranger.ask("GET", "/me").status, 401)
        self.refused(self.anna.ask("POST", f"/changes/{change}/approve"), 403)
        self.assertNotIn(token[10:], json.dumps(self.berta.get(f"/changes/{change}")))
        self.berta.post(f"/changes/{change}/approve")
        self.assertEqual(stranger.get("/me")["name"], "berta")
        own = self.anna.ask("POST", "/me/tokens", {})
        self.assertEqual(own.status, 201)

    def test_policies_too(self):
        self.on("two_person.admin")
        change = self.proposed(self.anna.ask("PATCH", "/policies/two_person.route", {"enabled": True}, {"If-Match": "*"}))
        self.refused(self.carl.ask("POST", f"/changes/{change}/reject"), 403, "policies.write")
        self.refused(self.berta.ask("POST", f"/changes/{change}/withdraw"), 404, "you proposed no such change")
        self.assertEqual(self.anna.post(f"/changes/{change}/withdraw")["state"], "rejected")
        self.assertFalse(self.root.get("/policies/two_person.route")["enabled"])
        off = self.proposed(self.anna.ask("PATCH", "/policies/two_person.admin", {"enabled": False}, {"If-Match": "*"}))
        self.root.post(f"/changes/{off}/approve")
        self.assertFalse(self.root.get("/policies/two_person.admin")["enabled"])
        self.refused(self.root.ask("PATCH", "/policies/nonsense", {"enabled": True}, {"If-Match": "*"}), 404)

    def test_users_of_the_machine_are_one_person(self):
        self.on("two_person.admin")
        change = self.proposed(self.root.ask("POST", "/roles", {"name": "x", "permissions": ["calls.read"]}))
        self.refused(self.root.ask("POST", f"/changes/{change}/approve"), 403, "another person")
        for person in ("os:headgate", "os:x"):
            with self.assertRaises(subprocess.CalledProcessError) as why:
                self.stack.sql(f"SET headgate.person = '{person}'; SELECT core.approve_change({change})", "hg_api")
            self.assertIn("same person", why.exception.stderr)
        with self.assertRaises(subprocess.CalledProcessError) as why:
            self.stack.sql(f"SELECT core.approve_change({change})", "hg_api")  # nobody
        self.anna.post(f"/changes/{change}/approve")
        self.assertEqual(self.root.get("/roles/x")["permissions"], ["calls.read"])

    def test_not_while_nobody_else_could_take_it_back(self):
        self.stack.sql("UPDATE core.administrator SET disabled = true WHERE name <> 'anna'")
        try:
            wait_for("the others to be out", lambda: self.berta.ask("GET", "/me").status == 401)
            for policy in ("two_person.admin", "two_person.route"):
                self.refused(self.anna.ask("PATCH", f"/policies/{policy}", {"enabled": True}, {"If-Match": "*"}), 409, "nobody else could approve")
        finally:
            self.stack.sql("UPDATE core.administrator SET disabled = false")
            for who in ("berta", "carl"):
                person = getattr(type(self), who)
                setattr(type(self), who, Person(self.stack, who, self.root.post("/tokens", {"administrator_id": person.id})))


class Doors(AdminTest):
    """Certificates, users of the machine, floods, and a database that is away."""
    settings = {"limits.requests_per_second": 100000}

    @classmethod
    def openssl(cls, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=cls.stack.folder)

    @classmethod
    def certificate(cls, name, ca=None):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-days", "2", "-subj", f"/CN={name}")
        more = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-addext", "basicConstraints=critical,CA:FALSE",
                "-addext", f"subjectAltName=IP:{cls.stack.gc_ip}") if ca else ("-addext", "basicConstraints=critical,CA:TRUE")
        if ca:  # openssl req of Debian 12 signs with -CA
            cls.openssl("req", "-x509", *key, "-out", f"{name}.pem", *more)
        else:
            cls.openssl("req", "-x509", *key, "-out", f"{name}.pem")

    @classmethod
    def before_start(cls):
        cls.certificate("authority")
        cls.certificate("rogue-authority")
        for name, ca in (("server", "authority"), ("anna", "authority"), ("strange", "authority"), ("rogue", "rogue-authority")):
            cls.certificate(name, ca)
        cls.settings = {**Doors.settings, "tls.certificate": cls.stack.path("server.pem"), "tls.key": cls.stack.path("server.key"),
                        "tls.client_ca": cls.stack.path("authority.pem"), "admin.socket_group": "nogroup"}

    def tls(self, name=None):
        context = ssl.create_default_context(cafile=self.stack.path("authority.pem"))
        if name:
            context.load_cert_chain(self.stack.path(name + ".pem"), self.stack.path(name + ".key"))
        return self.stack.api_tcp(tls=context)

    def test_a_certificate_is_its_name(self):
        made = self.administrator("viewer", certificate="anna")
        me = self.tls("anna").get("/me")
        self.assertEqual((me["how"], me["name"], me["administrator_id"]), ("certificate", made["name"], made["administrator_id"]))
        self.refused(self.tls("anna").ask("GET", "/audit"), 403, "audit.read")
        for name in (None, "strange"):
            self.refused(self.tls(name).ask("GET", "/me"), 401)
        try:
            self.assertEqual(self.tls("rogue").ask("GET", "/me").status, 401)
        except (ssl.SSLError, OSError):
            pass  # refused in the handshake
        bert = self.person("operator")
        with_token = self.tls("anna")
        with_token.token = bert.token  # says who asks, whatever the certificate says
        self.assertEqual(with_token.get("/me")["name"], bert.name)
        with_token.token = "hga_" + "B" * 43
        self.refused(with_token.ask("GET", "/me"), 401)
        self.root.patch(f"/administrators/{made['administrator_id']}", {"disabled": True})
        self.refused(self.tls("anna").ask("GET", "/me"), 401)

    def as_user(self, user, path="/me"):
        """What that user of the machine hears over the socket: (status, body)."""
        script = ("import http.client,socket,sys,json\nc=http.client.HTTPConnection('h')\nc.sock=socket.socket(socket.AF_UNIX)\n"
                  "c.sock.connect(sys.argv[1])\nc.request('GET','/api/v1'+sys.argv[2])\nr=c.getresponse()\n"
                  "print(json.dumps([r.status,json.loads(r.read())]))")
        done = subprocess.run([sys.executable, "-c", script, self.stack.path("admin.sock"), path], user=user, group="nogroup", extra_groups=[],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    @unittest.skipUnless(os.geteuid() == 0, "becomes another user")
    def test_a_user_of_the_machine_is_who_the_kernel_says(self):
        self.assertEqual(self.root.get("/me")["name"], "os:root")
        self.assertEqual(self.as_user("nobody")[0], 401)
        made = self.administrator("viewer", os_user="nobody")
        status, me = self.as_user("nobody")
        self.assertEqual((status, me["name"], me["how"], me["grants_all"]), (200, made["name"], "peer", False))
        self.assertEqual(self.as_user("nobody", "/audit")[0], 403)
        self.assertEqual(self.as_user("daemon")[0], 401)
        self.root.patch(f"/administrators/{made['administrator_id']}", {"os_user": None})
        self.assertEqual(self.as_user("nobody")[0], 401)
        row = self.row("the user who was refused", object="sign-in from uid " + str(self.uid("nobody")))
        self.assertEqual((row["action"], row["person"], row["after"]["how"]), ("refuse", "", "peer"))

    @staticmethod
    def uid(name):
        return next(int(line.split(":")[2]) for line in pathlib.Path("/etc/passwd").read_text().splitlines() if line.startswith(name + ":"))

    def test_refusals_are_in_the_log(self):
        anna = self.person("viewer")
        answer = anna.ask("GET", "/audit", headers={"X-Request-Id": "my-request.1"})
        self.refused(answer, 403)
        row = self.row("the refusal", request_id="my-request.1")
        self.assertEqual((row["action"], row["actor"], row["person"], row["object"]), ("refuse", "hg_api", anna.name, "operation listAudit"))
        self.assertEqual({**row["after"], "source": ""}, {"why": "this takes the permission audit.read", "how": "token", "token_id": anna.token_id, "source": "",
                                                          "times": 1})
        for _ in range(200):
            anna.ask("GET", "/audit", expect=403)
        self.assertEqual(len(self.rows(person=anna.name, object="operation listAudit")), 1)  # the rest is counted for a minute
        self.refused(anna.ask("GET", "/administrators"), 403)
        self.row("another kind", person=anna.name, object="operation listAdministrators")

    def test_a_flood_of_strangers_is_bounded(self):
        good = self.person("viewer")
        api = self.stack.api_tcp(BAD, tls=ssl.create_default_context(cafile=self.stack.path("authority.pem")), keep=True)
        before = len(self.rows(action="refuse"))
        statuses = [api.ask("GET", "/me").status for _ in range(300)]
        self.assertEqual(statuses[0], 401)
        self.assertEqual(set(statuses), {401, 429})
        self.assertGreater(statuses.count(429), 200)
        api.token = good.token  # from where the flood comes
        self.assertEqual(api.get("/me")["name"], good.name)
        row = wait_for("the flood in the log", lambda: [r for r in self.rows(action="refuse") if r["object"].startswith("sign-in from 127.")])[0]
        self.assertEqual((row["action"], row["person"]), ("refuse", ""))
        self.assertLessEqual(len(self.rows(action="refuse")) - before, 3)

    def test_reading_survives_a_database_that_is_away(self):
        anna = self.person("viewer")
        halted = self.stack.halt("postgres")
        try:
            self.assertEqual(anna.get("/me")["name"], anna.name)
            self.assertEqual(anna.get("/version")["api"], "v1")
            self.assertEqual(self.stack.api(BAD).ask("GET", "/me").status, 401)
        finally:
            self.stack.go_on(halted)
        wait_for("the database to answer again", lambda: self.root.ask("GET", "/administrators").status == 200)


class Stale(AdminTest):
    settings = {"database.stale": "1s"}

    def test_nobody_is_known_for_ever_without_the_database(self):
        anna = self.person("viewer")
        self.assertEqual(anna.get("/me")["name"], anna.name)
        os.kill(self.stack.pid_of("postgres"), signal.SIGQUIT)  # of this stack: it ends at once
        answer = wait_for("the table of administrators to be too old", lambda: (a := anna.ask("GET", "/me")).status == 503 and a)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(self.root.get("/me")["name"], "os:root")  # needs no table
        self.assertEqual(self.root.ask("GET", "/administrators").status, 503)


class Log(AdminTest):
    """Checkpoints, and what they find."""
    settings = {"limits.requests_per_second": 100000, "audit.checkpoint_every": "100ms"}

    @classmethod
    def before_start(cls):
        key = cls.stack.path("audit.key")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True, capture_output=True)
        os.chmod(key, 0o600)
        cls.settings = {**Log.settings, "keys.audit": key}

    def fault(self):
        return fault_of(pages(self.root, "/audit-chain"), pages(self.root, "/audit-checkpoints"), self.key, self.stack.folder)

    def spoiled(self, text):
        """What a verifier says of a log in which somebody above the rights did this; afterwards it is as it was."""
        free = "ALTER TABLE core.audit DISABLE TRIGGER USER; "
        self.stack.sql("CREATE TABLE kept AS SELECT * FROM core.audit")
        try:
            self.stack.sql(free + text)
            done = self.stack.ctl("audit", "verify", "--public-key", self.stack.path("audit.pub"), check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done)
            return self.fault(), done.stderr.strip()
        finally:
            self.stack.sql(free + "DELETE FROM core.audit; INSERT INTO core.audit SELECT * FROM kept; DROP TABLE kept; ALTER TABLE core.audit "
                           "ENABLE ALWAYS TRIGGER append_only; ALTER TABLE core.audit ENABLE ALWAYS TRIGGER append_only_all")

    def test_checkpoints_find_what_the_chain_does_not(self):
        for _ in range(3):
            self.administrator("viewer")
        self.key = self.root.get("/audit-key")["public_key"]
        last = self.rows()[0]["seq"]
        wait_for("a checkpoint", lambda: [c for c in pages(self.root, "/audit-checkpoints") if c["seq"] == last])
        self.assertIsNone(self.fault())
        self.stack.write("audit.pub", self.key)
        said = self.stack.ctl_json("audit", "verify", "--public-key", self.stack.path("audit.pub"))
        self.assertGreater(int(said["checkpoints"]), 0)
        signed = [c["seq"] for c in pages(self.root, "/audit-checkpoints")]
        self.assertEqual(signed[-1], last)
        again = (f"UPDATE core.audit a SET actor = 'other' WHERE seq = {last}; "
                 f"UPDATE core.audit a SET hash = core.audit_hash(a) WHERE seq = {last}")
        for text, fault, product in (
                (f"UPDATE core.audit SET actor = 'other' WHERE seq = {last - 1}", f"row {last - 1} was altered", f"audit row {last - 1} was altered"),
                (f"DELETE FROM core.audit WHERE seq = {last}", f"the log ends at row {last - 1}, row {last} was signed",
                 f"ends at row {last - 1}, a checkpoint says row {last}"),
                (again, f"row {last} is another one than was signed", f"audit row {last} is another one than its checkpoint says")):  # a sound chain
            mine, its = self.spoiled(text)
            self.assertEqual(mine, fault)
            self.assertIn(product, its)
        wait_for("the daemon to see it", lambda: '"event":"audit.broken"' in pathlib.Path(self.stack.log("admin1")).read_text())
        self.assertIsNone(self.fault())
        self.key = self.other_key()
        self.assertIn("not signed by this key", self.fault())
        self.administrator("viewer")
        wait_for("checkpoints to go on", lambda: pages(self.root, f"/audit-checkpoints?after={last}"))

    def other_key(self):
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.stack.path("other.key")],
                       check=True, capture_output=True)
        return subprocess.run(["openssl", "pkey", "-in", self.stack.path("other.key"), "-pubout"], check=True, capture_output=True, text=True).stdout

    def test_the_key_is_where_the_database_is_not(self):
        told = self.root.get("/audit-key")
        der = subprocess.run(["openssl", "pkey", "-in", self.stack.path("audit.key"), "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.assertEqual(told["key_id"], hashlib.sha256(der).hexdigest()[:16])
        for text in ("UPDATE core.audit_checkpoint SET seq = 1", "DELETE FROM core.audit_checkpoint", "TRUNCATE core.audit_checkpoint"):
            with self.assertRaises(subprocess.CalledProcessError) as why:
                self.stack.sql(text)
            self.assertIn("never changed", why.exception.stderr)
        row = self.root.get("/audit/1")
        self.assertEqual((row["seq"], row["action"]), (1, "insert"))
        self.refused(self.root.ask("GET", "/audit/999999"), 404)

    def test_requests_are_found_in_the_log(self):
        self.root.ask("POST", "/administrators", {"name": "found"}, {"X-Request-Id": "req-17"}, expect=201)
        rows = self.rows(request_id="req-17")
        self.assertEqual([(r["object"], r["person"], r["actor"]) for r in rows], [("administrator found", "os:root", "hg_api")])
        self.assertEqual(self.rows(since=rows[0]["at"], object="administrator found"), rows)
        self.assertEqual(self.rows(until=rows[0]["at"], object="administrator found"), [])
        self.assertEqual(len(self.root.get("/audit?limit=1")["items"]), 1)


if __name__ == "__main__":
    unittest.main()
