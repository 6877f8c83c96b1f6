"""Routing as data: trunks, routes and dial rules typed with headgatectl, decided by the running gate controller."""
import json
import pathlib
import threading
import unittest

from hglib import Failed, wait_for
from stacked import StackTest

ALICE, FAR = "+12125550101", "+442079460100"
MONDAY_NOON, MONDAY_NIGHT, SUNDAY = "2026-11-23T12:00:00Z", "2026-11-23T22:00:00Z", "2026-11-22T12:00:00Z"


class Words(StackTest):
    """What the commands take, refuse and show; what `route test` says of it. No call is made."""

    @classmethod
    def prepare(cls, stack):
        stack.ctl("account", "add", "A. Subscriber")
        stack.ctl("line", "add", "1", ALICE, "--caller-id", "yes")

    def tearDown(self):
        for table in ("route", "trunk", "dial_rule"):
            self.stack.sql(f"DELETE FROM core.{table}")
        super().tearDown()

    def ctl(self, *words):
        return self.stack.ctl(*words)

    def trunk(self, name, *words):
        """Nothing listens there, so it is not asked whether it answers."""
        self.ctl("trunk", "add", name, "127.0.0.1", "--ping", "0", *words)

    def refused(self, says, *words, code=64):
        done = self.stack.ctl(*words, check=False)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertIn(says, done.stderr)

    def told(self, number, *words):
        return json.loads(self.ctl("route", "test", number, *words, "--json"))

    def decided(self, want, number, *words):
        """The decision once the last change has come through (and a new trunk has its addresses)."""
        try:
            wait_for(f"{number} to be {want}", lambda: self.chosen(number, *words) == want, 5)
        except Failed as e:
            raise Failed(f"{e}; it is {self.told(number, *words)}") from e

    def chosen(self, number, *words):
        told = self.told(number, *words)
        return told["outcome"], [(t["route"], t["called"]) for t in told["targets"]]

    def test_trunk_commands(self):
        self.ctl("trunk", "add", "gw-a", "gw.example.net", "--port", "5070", "--transport", "udp", "--source",
                 "192.0.2.0/24,2001:db8::/32", "--number-form", "national", "--strip", "1", "--add", "9", "--max-channels", "30",
                 "--default-number", "+12125550100", "--trusts-identity", "yes", "--transit", "yes")
        shown = json.loads(self.ctl("trunk", "show", "gw-a", "--json"))
        self.assertEqual({k: shown[k] for k in ("host", "port", "transport", "auth", "sources", "trusts_identity", "sends_identity",
                                                "transit", "disabled", "number_form", "strip", "add", "max_channels", "ping")},
                         {"host": "gw.example.net", "port": "5070", "transport": "udp", "auth": "address",
                          "sources": "192.0.2.0/24 2001:db8::/32", "trusts_identity": "yes", "sends_identity": "no", "transit": "yes",
                          "disabled": "no", "number_form": "national", "strip": "1", "add": "9", "max_channels": "30", "ping": "10"})
        self.ctl("trunk", "set", "gw-a", "--host", "192.0.2.1", "--transit", "no", "--source", "none")
        sealed = "SELECT length(auth_sealed) FROM core.trunk"
        with open(self.stack.path("gw-a.password"), "w", encoding="ascii") as f:
            f.write("a long secret\n")
        self.ctl("trunk", "set", "gw-a", "--user", "hg", "--password-file", self.stack.path("gw-a.password"))
        self.assertEqual(self.stack.sql(sealed), str(29 + len("a long secret")))
        self.ctl("trunk", "set", "gw-a", "--ping", "20")
        self.assertEqual(self.stack.sql(sealed), str(29 + len("a long secret")), "another change leaves it alone")
        self.refused("--user needs --password-file", "trunk", "set", "gw-a", "--user", "other")
        self.ctl("trunk", "set", "gw-a", "--user", "")
        self.assertEqual(self.stack.sql(sealed), "0")
        self.ctl("trunk", "disable", "gw-a")
        row = self.stack.ctl_json("trunk", "list")[0]
        self.assertEqual((row["host"], row["sources"], row["disabled"], row["max_channels"]), ("192.0.2.1", "", "yes", "30"))
        self.ctl("trunk", "enable", "gw-a")
        self.refused("exists already", "trunk", "add", "gw-a", "192.0.2.2", code=1)
        self.ctl("route", "add", "uk", "+44", "--trunk", "gw-a")
        self.refused("routes lead over the trunk: uk", "trunk", "remove", "gw-a", code=1)
        self.ctl("route", "remove", "uk")
        self.ctl("trunk", "remove", "gw-a")
        self.refused("no trunk 'gw-a'", "trunk", "remove", "gw-a", code=1)

    def test_what_is_no_trunk(self):
        for says, *words in (("host: neither", "gw", "a b"), ("host: neither", "gw", "192.0.2.256"), ("/name: must match", ".gw", "a"),
                             ("--port takes", "gw", "a", "--port", "65536"), ("--transport takes one of any, udp, tcp, tls", "gw", "a",
                             "--transport", "sctp"), ("a certificate needs tls", "gw", "a", "--auth", "certificate", "--transport", "udp"),
                             ("/sources/0: not", "gw", "a", "--source", "192.0.2.0/33"), ("default_number: not E.164", "gw", "a",
                             "--default-number", "911"), ("/add_digits: must match", "gw", "a", "--add", "9a"), ("--ping takes", "gw", "a",
                             "--ping", "3601"), ("no option '--colour'", "gw", "a", "--colour", "red"), ("no option '--port'", "gw", "a",
                             "--port"), ("--user needs --password-file", "gw", "a", "--user", "u"), ("usage:", "gw")):
            with self.subTest(words=words):
                self.refused(says, "trunk", "add", *words)
        self.assertEqual(self.stack.ctl_json("trunk", "list"), [])

    def test_what_is_no_route_and_no_rule(self):
        for says, code, *words in (("a host name needs a trunk", 64, "r", "+44", "sip:gw.example.net:5060"), ("prefix: none of", 64, "r",
                                   "44x", "sip:192.0.2.1:5060"), ("no trunk 'gone'", 1, "r", "+44", "--trunk", "gone"), ("/hours: not",
                                   64, "r", "+44", "sip:192.0.2.1", "--time", "8-18"), ("--weight takes", 64, "r", "+44",
                                   "sip:192.0.2.1", "--weight", "-1"), ("usage:", 64, "r", "+44"), ("usage:", 64, "r", "+44",
                                   "sip:192.0.2.1", "--trunk", "gw")):
            with self.subTest(words=words):
                self.refused(says, "route", "add", *words, code=code)
        for says, *words in (("prefix: not", "x", "9x"), ("--digits takes", "x", "9", "--digits", "9-7"), ("--strip takes", "x", "9",
                             "--strip", "17"), ("/add_digits: not", "x", "9", "--add", "4+4"), ("--block takes one of no, yes", "x", "9",
                             "--block", "maybe")):
            with self.subTest(words=words):
                self.refused(says, "rule", "add", *words)
        self.assertEqual((self.stack.ctl_json("route", "list"), self.stack.ctl_json("rule", "list")), ([], []))

    def test_routes_by_prefix_hours_weight_and_trunk(self):
        self.trunk("gw-a", "--number-form", "national")
        self.trunk("gw-b", "--number-form", "bare", "--strip", "2", "--add", "0")
        self.ctl("route", "add", "office", "+44", "--trunk", "gw-a", "--priority", "1", "--time", "mon-fri 08:00-18:00")
        self.ctl("route", "add", "light", "+44", "--trunk", "gw-b", "--priority", "2", "--weight", "1")
        self.ctl("route", "add", "heavy", "+44", "--trunk", "gw-a", "--priority", "2", "--weight", "9")
        self.ctl("route", "add", "rest", "+", "sip:127.0.0.1:5999")
        evening = [("heavy", "011442079460100"), ("light", "02079460100"), ("rest", FAR)]
        self.decided(("targets", [("office", "011442079460100")] + evening), FAR, "--at", MONDAY_NOON)
        self.decided(("targets", evening), FAR, "--at", MONDAY_NIGHT)
        self.decided(("targets", evening), FAR, "--at", SUNDAY)
        words = self.ctl("route", "test", FAR, "--at", SUNDAY)
        self.assertIn("route office (prefix +44): not now, it is not its time: mon-fri 08:00-18:00", words)
        self.assertIn("choice 2: route light (prefix +44, priority 2), trunk gw-b, called as 02079460100", words)
        self.assertEqual({r["name"]: r["time"] for r in self.stack.ctl_json("route", "list")},
                         {"office": "mon,tue,wed,thu,fri 08:00-18:00", "light": "always", "heavy": "always", "rest": "always"})
        self.ctl("route", "set", "office", "--time", "sat-sun 06:00-07:30 -05:00", "--max-channels", "5")
        self.assertEqual([r["time"] for r in self.stack.ctl_json("route", "list") if r["name"] == "office"],
                         ["sat,sun 06:00-07:30 -05:00"])
        self.decided(("targets", [("office", "011442079460100")] + evening), FAR, "--at", "2026-11-22T11:30:00Z")
        self.ctl("trunk", "disable", "gw-a")
        self.decided(("targets", [("light", "02079460100"), ("rest", FAR)]), FAR, "--at", MONDAY_NIGHT)
        self.ctl("route", "set", "light", "--next-hop", "sip:127.0.0.1:5998")
        self.decided(("targets", [("light", FAR), ("rest", FAR)]), FAR, "--at", MONDAY_NIGHT)

    def test_dial_rules_and_feature_codes(self):
        self.trunk("features")
        self.ctl("route", "add", "forward", "*72", "--trunk", "features")
        self.ctl("route", "add", "world", "+", "--trunk", "features")
        self.ctl("rule", "add", "outside", "9", "--strip", "1", "--digits", "8-16")
        self.ctl("rule", "add", "premium", "+1900", "--block", "yes")
        self.decided(("blocked", []), "919005550199")
        self.assertEqual(self.told("919005550199")["rule"], "premium")
        self.decided(("targets", [("world", FAR)]), "9 011 44 20 7946 0100")
        self.assertEqual(self.chosen("tel:+44(20)7946-0100"), ("targets", [("world", FAR)]))
        self.assertEqual(self.chosen("tel:20-7946-0100;phone-context=+44"), ("targets", [("world", FAR)]))
        self.refused("neither a telephone number", "route", "test", "tel:7042;phone-context=other.example")
        self.assertEqual(self.chosen("*7212125550199"), ("targets", [("forward", "*7212125550199")]))
        self.assertEqual(self.told("2125550101")["line"], 1)
        self.ctl("rule", "set", "premium", "--block", "no")
        self.decided(("targets", [("world", "+19005550199")]), "919005550199")
        self.ctl("rule", "remove", "outside")
        self.decided(("no number", []), "919005550199")
        self.refused("no rule 'outside'", "rule", "set", "outside", "--rank", "3", code=1)

    def test_nothing_captures_emergency_calls_and_611(self):
        self.trunk("thief")
        for i, prefix in enumerate(("911", "611", "+", "9", "6")):
            self.ctl("route", "add", f"steal{i}", prefix, "--trunk", "thief")
        self.ctl("route", "add", "psap", "urn:service:sos", "--trunk", "thief", "--emergency")
        for prefix in ("", "9", "911", "611"):
            self.ctl("rule", "add", f"block{prefix}", prefix, "--block", "yes")
        self.decided(("blocked", []), FAR)
        self.assertEqual(self.chosen("911"), ("emergency", [("psap", "911")]))
        self.assertEqual(self.chosen("urn:service:sos.fire"), ("emergency", [("psap", "urn:service:sos.fire")]))
        self.assertEqual(self.chosen("611"), ("provisioning", []))
        self.ctl("line", "bar", "1")
        wait_for("the bar", lambda: self.told(FAR, "--from", ALICE)["outcome"] == "refused", 1)
        self.assertEqual(self.told("911", "--from", ALICE)["outcome"], "emergency")
        self.ctl("line", "unbar", "1")

    def test_calls_from_trunks(self):
        self.trunk("pbx")
        self.trunk("carrier", "--transit", "yes")
        self.ctl("route", "add", "back", "+44", "--trunk", "carrier", "--priority", "1")
        self.ctl("route", "add", "on", "+44", "--trunk", "pbx", "--priority", "2")
        self.decided(("targets", [("on", FAR)]), FAR, "--from-trunk", "carrier")
        self.assertEqual(self.chosen(FAR, "--from-trunk", "pbx"), ("no transit", []))
        self.assertEqual(self.told(ALICE, "--from-trunk", "pbx")["line"], 1)
        self.refused("knows no such trunk", "route", "test", FAR, "--from-trunk", "gone")
        self.refused("belongs to no line", "route", "test", FAR, "--from", FAR)
        self.refused("neither a telephone number", "route", "test", "http:x")
        self.refused("--at takes", "route", "test", FAR, "--at", "noon")

    def test_wait_until_it_is_in_force(self):
        self.trunk("good")
        for i in range(4):
            self.ctl("--wait", "route", "add", f"r{i}", f"+4{i}", "--trunk", "good")
            self.assertEqual([s["route"] for s in self.told(f"+4{i}55501234")["targets"]], [f"r{i}"])
        self.ctl("--wait", "route", "remove", "r0")
        self.assertEqual(self.told("+4055501234")["targets"], [])
        # An older transaction that is still open: until it ends nobody knows whether all changes before are in.
        open_now = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
        older = threading.Thread(target=self.stack.sql, args=("SELECT pg_current_xact_id(), pg_sleep(3)",))
        older.start()
        wait_for("it to be open", lambda: self.stack.sql(open_now) == "1")
        self.ctl("--wait", "route", "set", "r2", "--priority", "7")
        self.assertEqual(self.stack.sql(open_now), "0", "it has not waited")
        older.join()
        admin = self.stack.start_admin("lonely", self.stack.net + "7", self.stack.admin_config(
            "lonely", self.stack.net + "7", ["nobody"], {"redis.address": '""', "keys.command": '""'}))
        try:
            done = self.stack.ctl("--socket", self.stack.path("lonely.sock"), "--wait", "route", "remove", "r1", check=False)
        finally:
            admin.stop()
            del self.stack.daemons["lonely"]
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertIn("is headgate running?", done.stderr)
        self.assertNotIn("r1", [r["name"] for r in self.stack.ctl_json("route", "list")])

    def test_a_row_that_makes_no_sense_is_named_and_left_out(self):
        self.trunk("good")
        self.ctl("route", "add", "uk", "+44", "--trunk", "good")
        self.decided(("targets", [("uk", FAR)]), FAR)
        # past headgatectl, and within what the database checks
        self.stack.sql("INSERT INTO core.trunk (name, host) VALUES ('odd', '192.0.2.999')")
        self.stack.sql("INSERT INTO core.route (name, kind, prefix, trunk_id) SELECT 'de', 'next_hop', '+49', trunk_id FROM core.trunk "
                       "WHERE name = 'odd'")
        self.stack.sql("INSERT INTO core.route (name, kind, prefix, next_hop) VALUES ('fr', 'next_hop', '+33', 'sip:host.example')")
        wait_for("all three to be left out", lambda: self.gc("headgate_snapshot_rows_left_out") == 3, 2)
        log = pathlib.Path(self.stack.log("gc1")).read_text()
        for row, why in (("odd", "host: neither"), ("de", "trunk_id: no such trunk"), ("fr", "next_hop: not sip")):
            self.assertRegex(log, f'"event":"snapshot.row_left_out".*"row":"{row}".*"why":"{why}')
        self.assertEqual(self.chosen(FAR), ("targets", [("uk", FAR)]))
        self.assertEqual(self.chosen("+4930123456"), ("no route", []))
        self.ctl("line", "add", "1", "+12125550109")  # other changes go on
        wait_for("the new line", lambda: self.told("+12125550109")["outcome"] == "line", 1)
        self.stack.sql("DELETE FROM core.route WHERE name IN ('de', 'fr')")
        self.stack.sql("DELETE FROM core.trunk WHERE name = 'odd'")
        wait_for("the alarm to end", lambda: self.gc("headgate_snapshot_rows_left_out") == 0, 2)

    def test_old_changes_go(self):
        self.stack.sql("UPDATE core.change_log SET at = now() - interval '8 days'")
        old = int(self.stack.sql("SELECT count(*) FROM core.change_log"))
        self.assertGreaterEqual(old, 3)
        self.ctl("line", "add", "1", "+12125550108")
        gone = self.stack.sql("SELECT core.purge_changes('7 days', 2)", role="hg_gc")
        self.assertEqual(gone, "2")
        self.stack.sql("SELECT core.purge_changes('7 days', 100000)", role="hg_gc")
        self.assertEqual(self.stack.sql("SELECT count(*) FROM core.change_log WHERE at < now() - interval '1 day'"), "0")
        self.assertGreater(int(self.stack.sql("SELECT count(*) FROM core.change_log")), 0, "the young ones stay")
        self.assertNotEqual(self.stack.sql("SELECT xid FROM core.change_purged"), "0")


if __name__ == "__main__":
    unittest.main()
