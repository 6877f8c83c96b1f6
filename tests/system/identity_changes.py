"""The audit log and changes that need two people: administrators of the API with a token each, and the database roles of two persons."""
import pathlib
import subprocess
import unittest

from hglib import wait_for
from stacked import StackTest

ALICE, FAR = "+12125550101", "+442079460100"
PEOPLE = ("anna", "berta")


class Changes(StackTest):
    @classmethod
    def prepare(cls, stack):
        text = pathlib.Path(stack.path("ctl.yaml")).read_text()
        for name in PEOPLE:
            stack.sql(f"CREATE ROLE {name} LOGIN IN ROLE hg_admin")
            stack.ctl("admin", "add", name, "--roles", "provisioner,operator,security,auditor")
            stack.ctl("token", "new", name, "--file", stack.path(name + ".token"))
            stack.write(f"{name}.yaml", text.replace("admin:\n", f'admin:\n  token_file: "{stack.path(name + ".token")}"\n'))
        cls.anna("account", "add", "A. Subscriber")
        cls.line = cls.json("anna", "line", "add", "1", ALICE)["line"]
        cls.other = cls.json("anna", "line", "add", "1", "+12125550109")["line"]

    @classmethod
    def anna(cls, *words, **more):
        return cls.stack.ctl(*words, config="anna.yaml", **more)

    @classmethod
    def berta(cls, *words, **more):
        return cls.stack.ctl(*words, config="berta.yaml", **more)

    @classmethod
    def json(cls, who, *words):
        return cls.stack.ctl_json(*words, config=f"{who}.yaml")

    def tearDown(self):
        self.stack.sql("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE core.policy DISABLE TRIGGER a_two_person; UPDATE core.policy SET enabled = false; "
                       "ALTER TABLE core.policy ENABLE ALWAYS TRIGGER a_two_person; DELETE FROM core.route; DELETE FROM core.trunk; "
                       "DELETE FROM core.dial_rule; UPDATE core.change SET state = 'rejected' WHERE state = 'proposed'")
        super().tearDown()

    def refused(self, says, who, *words, code=1):
        done = self.stack.ctl(*words, config=f"{who}.yaml", check=False)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertIn(says, done.stderr)

    def not_by_sql(self, says, text, role="anna"):
        with self.assertRaises(subprocess.CalledProcessError, msg=text) as why:
            self.stack.sql(text, role)
        self.assertIn(says, why.exception.stderr)

    def last(self, n=1):
        """The newest rows of the log, oldest first: (who, action, object); who: the API's person, else the database role."""
        return [(r["person"] if r["actor"] == "hg_api" else r["actor"], r["action"], r["object"]) for r in reversed(self.json("anna", "audit", "list", "--limit", str(n)))]

    def proposed(self, who, *words):
        """The number of the change that the words became."""
        said = self.stack.ctl(*words, config=f"{who}.yaml")
        self.assertRegex(said, r"^proposed as change \d+: another person approves it with headgatectl change approve \d+\n$")
        return said.split()[3].rstrip(":")

    # ---- the log
    def test_who_changed_what(self):
        self.anna("trunk", "add", "gw", "127.0.0.1", "--ping", "0")
        self.berta("trunk", "set", "gw", "--max-cps", "3")
        self.anna("route", "add", "uk", "+44", "--trunk", "gw")
        self.berta("route", "remove", "uk")
        self.assertEqual([r[:2] for r in self.last(4)],
                         [("anna", "insert"), ("berta", "update"), ("anna", "insert"), ("berta", "delete")])
        rows = self.json("anna", "audit", "list", "--limit", "3")
        self.assertEqual(rows[2]["change"], "max_cps: 0 -> 3")
        self.assertEqual((rows[2]["actor"], rows[2]["person"]), ("hg_api", "berta"))
        self.assertEqual([r["seq"] for r in self.json("anna", "audit", "list", "--request", rows[2]["request"])], [rows[2]["seq"]])
        self.assertEqual(len(self.json("anna", "audit", "list", "--object", rows[2]["object"])), 2)
        self.anna("service", "set", self.line, "--private", "yes")
        self.assertEqual(self.last(), [("anna", "insert", f"line_service {self.line}")])
        self.stack.sql(f"SELECT core.set_line_service({self.line}, 'forward_busy', '{FAR}')", "hg_gc")
        self.assertEqual(self.last(), [("hg_gc", "update", f"line_service {self.line}")])
        self.anna("line", "bar", self.other)
        self.anna("line", "bar", self.other)  # nothing becomes different: nothing to tell
        self.anna("line", "unbar", self.other)
        self.assertEqual(self.last(2), [("anna", "update", f"line {self.other}")] * 2)
        self.assertEqual(self.json("anna", "audit", "verify")["rows"], self.json("anna", "audit", "list", "--limit", "1")[0]["seq"])

    def test_no_secret_in_the_log(self):
        self.stack.write("password", "of a trunk")
        self.anna("trunk", "add", "gw", "127.0.0.1", "--ping", "0", "--user", "hg", "--password-file", self.stack.path("password"))
        sealed = self.stack.sql("SELECT encode(auth_sealed, 'hex') FROM core.trunk")
        text = self.stack.sql("SELECT string_agg(concat(before, after), ' ') FROM core.audit")
        self.assertGreater(len(sealed), 50)
        self.assertNotIn(sealed[:32], text)
        self.assertRegex(text, r'"auth_sealed": "sha256:[0-9a-f]{16}"')
        self.anna("policy", "set", "two_person.route", "on")
        change = self.proposed("anna", "trunk", "set", "gw", "--max-cps", "9")
        self.assertNotIn(sealed[:32], self.anna("change", "show", change))
        self.berta("change", "approve", change)
        self.assertEqual(self.stack.sql("SELECT encode(auth_sealed, 'hex') || max_cps FROM core.trunk"), sealed + "9")
        for table in ("audit", "change"):
            self.assertNotIn(sealed[:32], self.stack.sql(f"SELECT string_agg(concat(before, after), ' ') FROM core.{table}"))

    def test_nobody_changes_the_log(self):
        for role in ("anna", "hg_gc", "hg_prov"):
            for text in ("UPDATE core.audit SET actor = 'x'", "DELETE FROM core.audit", "TRUNCATE core.audit",
                         "INSERT INTO core.audit SELECT * FROM core.audit"):
                self.not_by_sql("permission denied", text, role)
        for text in ("UPDATE core.audit SET actor = 'x'", "DELETE FROM core.audit", "TRUNCATE core.audit"):
            self.not_by_sql("never changed", text, "headgate")
        self.not_by_sql("permission denied", "CREATE TEMP TABLE route (route_id bigint, name text); CREATE TRIGGER t AFTER INSERT ON "
                        "route FOR EACH ROW EXECUTE FUNCTION core.note_audit('route_id')")

    def spoiled(self, says, text, *words):
        """What verify says of a log in which somebody above the rights did this; afterwards it is as it was."""
        self.stack.sql("CREATE TABLE kept AS SELECT * FROM core.audit")
        free = "ALTER TABLE core.audit DISABLE TRIGGER USER; "
        try:
            self.stack.sql(free + text)
            self.refused(says, "berta", "audit", "verify", *words)
        finally:
            self.stack.sql(free + "DELETE FROM core.audit; INSERT INTO core.audit SELECT * FROM kept; DROP TABLE kept; "
                           "ALTER TABLE core.audit ENABLE ALWAYS TRIGGER append_only; "
                           "ALTER TABLE core.audit ENABLE ALWAYS TRIGGER append_only_all")

    def test_verify_names_the_broken_row(self):
        for name in ("One", "Two, \n3:x,", "Thr\u00e9e"):
            self.anna("account", "add", name)
        head = self.json("anna", "audit", "verify")["head"]
        last = int(head.split(":")[0])
        self.assertEqual(self.json("berta", "audit", "verify", "--head", head)["head"], head)
        row = last - 1
        self.spoiled(f"audit row {row} was altered", f"UPDATE core.audit SET actor = 'other' WHERE seq = {row}")
        self.spoiled(f"audit row {row} was altered", f"UPDATE core.audit SET after = after || '{{\"name\": \"x\"}}' WHERE seq = {row}")
        self.spoiled(f"audit row {row} was altered", f"UPDATE core.audit SET at = at - interval '1 microsecond' WHERE seq = {row}")
        self.spoiled(f"audit row {last} follows a gap", f"DELETE FROM core.audit WHERE seq = {row}")
        again = f"UPDATE core.audit a SET actor = 'other' WHERE seq = {row}; UPDATE core.audit a SET hash = core.audit_hash(a) WHERE seq = {row}"
        self.spoiled(f"audit row {last} does not continue", again)
        again += (f"; UPDATE core.audit a SET prev = (SELECT hash FROM core.audit WHERE seq = {row}) WHERE seq = {last}; "
                  f"UPDATE core.audit a SET hash = core.audit_hash(a) WHERE seq = {last}")
        self.spoiled("the log was written anew", again, "--head", head)
        self.spoiled(f"ends at row {row}", f"DELETE FROM core.audit WHERE seq = {last}", "--head", head)
        self.refused("--head takes", "anna", "audit", "verify", "--head", "17", code=64)
        self.assertEqual(self.json("anna", "audit", "verify")["head"], head)

    def test_many_at_once_make_one_chain(self):
        """Transactions side by side, one of them open for long: it holds up nobody, and the chain has no gap."""
        psql = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.stack.pg_host), "-d", "headgate", "-U"]
        slow = subprocess.Popen([*psql, "anna"], stdin=subprocess.PIPE, text=True)
        slow.stdin.write("BEGIN; INSERT INTO core.account (name) VALUES ('slow');\n")
        slow.stdin.flush()
        wait_for("the open transaction", lambda: self.stack.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'anna' AND "
                                                               "state = 'idle in transaction' AND backend_xid IS NOT NULL") == "1")
        others = [subprocess.Popen([*psql, "berta", *["-c", "INSERT INTO core.account (name) SELECT 'fast' FROM generate_series(1, 20)"] * 5])
                  for _ in range(4)]
        self.assertEqual([o.wait(30) for o in others], [0] * 4)
        slow.stdin.write("COMMIT;\n")
        slow.stdin.close()
        self.assertEqual(slow.wait(30), 0)
        self.assertEqual(self.last()[0][:2], ("anna", "insert"))
        self.assertEqual(self.stack.sql("SELECT count(*) FROM core.audit WHERE after ->> 'name' = 'fast'"), "400")
        self.json("anna", "audit", "verify")

    # ---- two people
    def test_a_route_needs_two_people(self):
        self.anna("trunk", "add", "gw", "127.0.0.1", "--ping", "0", "--source", "192.0.2.0/24,2001:db8::/32")
        self.anna("policy", "set", "two_person.route", "on")
        change = self.proposed("anna", "route", "add", "uk", "+44", "--trunk", "gw", "--weight", "7")
        self.assertEqual(self.json("anna", "route", "list"), [])
        waiting = self.json("berta", "change", "list")
        self.assertEqual([(w["change"], w["person"], w["action"], w["object"], w["state"]) for w in waiting],
                         [(change, "anna", "insert", "route uk", "proposed")])
        self.assertIn("weight: 7", self.berta("change", "show", change))
        self.refused("another person must approve it", "anna", "change", "approve", change)
        self.berta("change", "approve", change)
        self.assertEqual([(r["name"], r["prefix"]) for r in self.json("anna", "route", "list")], [("uk", "+44")])
        self.assertEqual(self.stack.sql("SELECT weight FROM core.route"), "7")
        self.assertEqual(self.json("berta", "change", "list"), [])
        self.refused("was approved already", "berta", "change", "approve", change)
        self.assertEqual([(a, w) for a, w, _ in self.last(2)], [("berta", "insert"), ("berta", "update")])
        change = self.proposed("berta", "trunk", "set", "gw", "--max-channels", "5")
        self.assertEqual(self.json("berta", "change", "show", change)["difference"], "max_channels: 0 -> 5")
        self.anna("change", "approve", change)
        self.assertEqual(self.stack.sql("SELECT max_channels || ' ' || array_to_string(sources, ',') FROM core.trunk"),
                         "5 192.0.2.0/24,2001:db8::/32")
        rule = self.proposed("anna", "rule", "add", "outside", "9", "--strip", "1")
        self.berta("change", "approve", rule)
        self.assertEqual([r["name"] for r in self.json("anna", "rule", "list")], ["outside"])
        change = self.proposed("anna", "route", "remove", "uk")
        self.assertEqual(len(self.json("anna", "route", "list")), 1)
        self.berta("change", "approve", change)
        self.assertEqual(self.json("anna", "route", "list"), [])
        self.json("anna", "audit", "verify")

    def test_no_way_around(self):
        self.anna("route", "add", "uk", "+44", "sip:192.0.2.1:5060")
        self.anna("policy", "set", "two_person.route", "on")
        self.anna("policy", "set", "two_person.number", "on")
        for text in ("UPDATE core.route SET prefix = '+45'", "DELETE FROM core.route", "UPDATE core.number SET line_id = 2",
                     "INSERT INTO core.number VALUES ('+12125550199', 1, false)",
                     "INSERT INTO core.dial_rule (name, prefix) VALUES ('x', '9')", "UPDATE core.policy SET enabled = false",
                     f"DELETE FROM core.line WHERE line_id = {self.line}"):
            for role in ("anna", "headgate"):
                with self.subTest(role=role, text=text):
                    self.not_by_sql("two people agree", text, role)
        self.not_by_sql("two people agree", f"SET headgate.propose = on; DELETE FROM core.line WHERE line_id = {self.line}")
        self.not_by_sql("two people agree", "TRUNCATE core.route", "headgate")
        self.not_by_sql("two people agree", "TRUNCATE core.policy", "headgate")
        self.not_by_sql("two people agree", "SET session_replication_role = replica; DELETE FROM core.route", "headgate")
        for text in ("INSERT INTO core.change (tbl, op, proposer_person) VALUES ('route', 'delete', '')",
                     "UPDATE core.change SET proposer = 'berta'", "SELECT core.apply_change(c) FROM core.change c"):
            self.not_by_sql("permission denied", text)
        change = self.proposed("berta", "route", "set", "uk", "--prefix", "+46")
        self.not_by_sql("two people agree", f"SELECT core.approve_change({change}); DELETE FROM core.route")
        self.assertEqual(self.stack.sql("SELECT prefix FROM core.route"), "+44")
        self.not_by_sql("permission denied", f"SELECT core.approve_change({change})", "hg_gc")

    def test_what_changed_meanwhile_is_not_approved(self):
        self.anna("route", "add", "uk", "+44", "sip:192.0.2.1:5060")
        self.anna("policy", "set", "two_person.route", "on")
        first = self.proposed("anna", "route", "set", "uk", "--weight", "2")
        second = self.proposed("anna", "route", "set", "uk", "--prefix", "+45")
        self.berta("change", "approve", first)
        self.refused("is not what it was", "berta", "change", "approve", second)
        self.assertEqual(self.stack.sql("SELECT prefix || ' ' || weight FROM core.route"), "+44 2")
        self.anna("change", "reject", second)
        self.refused("was rejected already", "berta", "change", "approve", second)
        self.refused("exists already", "anna", "route", "add", "uk", "+44", "sip:192.0.2.1:5060")
        self.refused("no route 'us'", "anna", "route", "remove", "us")
        self.refused("no change 9999", "berta", "change", "approve", "9999")
        self.assertEqual([w["state"] for w in self.json("anna", "change", "list", "--all") if w["change"] in (first, second)],
                         ["approved", "rejected"])

    def test_a_number_and_the_policy_itself(self):
        self.anna("policy", "set", "two_person.number", "on")
        self.assertEqual({p["policy"]: p["state"] for p in self.json("anna", "policy", "list")},
                         {"two_person.admin": "off", "two_person.number": "on", "two_person.os_user": "off", "two_person.preemption": "off",
                          "two_person.route": "off"})
        change = self.json("anna", "number", "add", self.line, "+12125550177")["proposed"]
        self.berta("change", "approve", change)
        self.assertEqual(self.stack.sql("SELECT line_id FROM core.number WHERE number = '+12125550177'"), self.line)
        change = self.proposed("anna", "line", "add", "1", "+12125550178")
        self.berta("change", "approve", change)
        line = self.json("anna", "line", "list")[-1]
        self.assertEqual((line["numbers"], line["account"]), ("+12125550178", "1"))
        change = self.proposed("berta", "number", "remove", "+12125550177")
        self.anna("change", "approve", change)
        self.anna("route", "add", "uk", "+44", "sip:192.0.2.1:5060")  # another policy
        off = self.proposed("anna", "policy", "set", "two_person.number", "off")
        self.refused("another person must approve it", "anna", "change", "approve", off)
        self.berta("change", "approve", off)
        self.anna("number", "add", self.line, "+12125550179")
        self.anna("number", "remove", "+12125550179")
        self.refused("no policy 'x'", "anna", "policy", "set", "x", "on")
        self.refused("on or off", "anna", "policy", "set", "two_person.number", "maybe", code=64)

    def test_other_users_of_the_operating_system(self):
        """With the database's own roles, where who is at the keyboard is only what a program says."""
        self.anna("policy", "set", "two_person.route", "on")
        self.anna("policy", "set", "two_person.os_user", "on")
        here = "SET headgate.person = 'uid 1000 (same)'; "
        self.stack.sql(here + "SET headgate.propose = on; INSERT INTO core.route (name, kind, prefix, next_hop) VALUES "
                       "('uk', 'next_hop', '+44', 'sip:192.0.2.1:5060')", "anna")
        change = self.json("anna", "change", "list")[0]["change"]
        self.not_by_sql("this user of the operating system", here + f"SELECT core.approve_change({change})", "berta")
        self.not_by_sql("this user of the operating system", f"SELECT core.approve_change({change})", "berta")
        self.stack.sql(f"SET headgate.person = 'uid 99999 (other)'; SELECT core.approve_change({change})", "berta")
        self.assertEqual([(r["by"], r["decided_by"], r["decider_person"]) for r in self.json("anna", "change", "list", "--all")
                          if r["change"] == change], [("anna", "berta", "uid 99999 (other)")])


if __name__ == "__main__":
    unittest.main()
