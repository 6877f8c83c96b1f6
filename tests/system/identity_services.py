"""Service records, trunks' signing policy, call records and traces as data: what the commands take and show, what the gate
controller goes by, and who may read what."""
import hashlib
import subprocess
import unittest

from hglib import wait_for
from stacked import StackTest, telephone

ALICE, BOB, FAR = "+12125550101", "+12125550102", "+442079460100"
OFF = {"caller_id": "no", "private": "no", "reject_anonymous": "no", "forward_always": "off", "forward_busy": "off",
       "forward_no_answer": "off", "no_answer_seconds": "20"}


class Data(StackTest):
    @classmethod
    def prepare(cls, stack):
        stack.ctl("account", "add", "A. Subscriber")
        cls.alice = stack.ctl_json("line", "add", "1", ALICE, "--caller-id", "yes")["line"]
        cls.bob = stack.ctl_json("line", "add", "1", BOB)["line"]

    def refused(self, says, *words, code=64):
        done = self.stack.ctl(*words, check=False)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertIn(says, done.stderr)

    def denied(self, text, role):
        with self.assertRaises(subprocess.CalledProcessError, msg=text) as why:
            self.stack.sql(text, role)
        self.assertIn("permission denied", why.exception.stderr)

    def shown(self, line):
        row = self.stack.ctl_json("service", "show", line)
        return {k: row[k] for k in OFF}

    def test_service_commands(self):
        line = self.stack.ctl_json("line", "add", "1", "+12125550103", "--name", "C. Subscriber")["line"]
        self.assertEqual(self.shown(line), OFF)
        self.assertEqual(self.shown(self.alice), dict(OFF, caller_id="yes"))
        self.stack.ctl("service", "set", "+12125550103", "--private", "yes", "--forward-busy", FAR, "--no-answer-seconds", "45")
        self.assertEqual(self.shown(line), dict(OFF, private="yes", forward_busy=FAR, no_answer_seconds="45"))
        self.stack.ctl("service", "set", line, "--forward-busy", "off", "--caller-id", "yes", "--forward-no-answer", BOB)
        self.assertEqual(self.shown("+12125550103"),
                         dict(OFF, private="yes", caller_id="yes", forward_no_answer=BOB, no_answer_seconds="45"))
        for says, code, *words in (("nothing to set", 64), ("/forward_always: must match", 64, "--forward-always", "911"),
                                   ("--no-answer-seconds takes", 64, "--no-answer-seconds", "121"),
                                   ("/no_answer_s: is less than 5", 64, "--no-answer-seconds", "4"),
                                   ("--private takes one of no, yes", 64, "--private", "maybe"), ("no option '--colour'", 64, "--colour", "x")):
            with self.subTest(words=words):
                self.refused(says, "service", "set", line, *words, code=code)
        self.refused("forward to itself", "service", "set", line, "--private", "no", "--forward-always", "+12125550103")
        self.assertEqual(self.shown(line)["private"], "yes")
        self.refused("no line has the number", "service", "set", FAR, "--private", "yes", code=1)
        self.refused("no line 999", "service", "show", "999", code=1)
        self.refused("--caller-id takes one of no, yes", "line", "add", "1", "+12125550104", "--caller-id", "maybe")
        self.assertIn("forward_no_answer: " + BOB, self.stack.ctl("service", "show", line))

    def test_trunk_signing_policy(self):
        self.stack.ctl("trunk", "add", "gw", "127.0.0.1", "--ping", "0", "--stir-sign", "yes", "--stir-verify", "reject")
        shown = self.stack.ctl_json("trunk", "show", "gw")
        self.assertEqual((shown["stir_sign"], shown["stir_verify"]), ("yes", "reject"))
        self.stack.ctl("trunk", "set", "gw", "--stir-verify", "mark")
        self.stack.ctl("trunk", "set", "gw", "--max-cps", "3")
        shown = self.stack.ctl_json("trunk", "show", "gw")
        self.assertEqual((shown["stir_sign"], shown["stir_verify"], shown["max_cps"]), ("yes", "mark", "3"))
        self.refused("--stir-verify takes one of off, mark, reject", "trunk", "set", "gw", "--stir-verify", "on")
        self.stack.ctl("trunk", "remove", "gw")

    def test_the_gate_controller_hears_of_a_changed_record(self):
        """A change of the record alone is a change of its line; it names the line, as a number does."""
        before = int(self.stack.sql("SELECT max(seq) FROM core.change_log"))
        self.stack.ctl("--wait", "service", "set", self.bob, "--private", "yes")
        self.assertEqual(self.stack.sql(f"SELECT tbl || ':' || key FROM core.change_log WHERE seq > {before}"),
                         f"line_service:{self.bob}")
        self.stack.sql(f"DELETE FROM core.line_service WHERE line_id = {self.bob}", "hg_admin")
        self.assertEqual(self.stack.sql(f"SELECT count(*) FROM core.change_log WHERE seq > {before} AND tbl = 'line_service'"), "2")

    def test_who_may_do_what(self):
        """The gate controller changes records and makes traces by its functions alone; operators do not read traces."""
        for role, text in (("hg_gc", "UPDATE core.line_service SET private = true"),
                           ("hg_gc", "INSERT INTO core.line_service (line_id) VALUES (1)"),
                           ("hg_gc", "SELECT * FROM trace.record"), ("hg_gc", "SELECT caller FROM cdr.call"),
                           ("hg_gc", "INSERT INTO trace.record (line_id, caller, called, call_id, call_started, private, node) "
                            "VALUES (1, '', '', '', now(), false, '')"),
                           ("hg_admin", "SELECT * FROM trace.record"), ("hg_admin", "SELECT core.last_call(1)"),
                           ("hg_admin", "SELECT core.set_line_service(1, 'forward_always', NULL)"),
                           ("hg_prov", "SELECT * FROM trace.record"), ("hg_prov", "SELECT core.last_call(1)"),
                           ("hg_trace", "SELECT * FROM core.line"), ("hg_trace", "SELECT * FROM cdr.call"),
                           ("hg_trace", "DELETE FROM trace.record"), ("hg_trace", "UPDATE trace.record SET caller = ''")):
            with self.subTest(role=role, text=text):
                self.denied(text, role)

    def test_traces(self):
        note = "SELECT trace.note_last_call({}, 'gc1', {}, '{}', '5550101', '{}', true)"
        self.assertEqual(self.stack.sql(note.format(self.bob, 0, "", ""), "hg_gc"), "f")
        self.assertEqual(self.stack.sql(note.format(self.alice, 1700000000000001, FAR, "a"), "hg_gc"), "t")
        self.assertEqual(self.stack.sql(note.format(self.alice, 1700000000000001, FAR, "a"), "hg_gc"), "t")
        self.assertEqual(self.stack.sql(note.format(self.bob, 1700000001000000, ALICE, "b"), "hg_gc"), "t")
        rows = self.stack.ctl_json("trace", "list")
        self.assertEqual([(r["line"], r["caller"], r["called"], r["private"], r["call_id"]) for r in rows],
                         [(self.bob, ALICE, "5550101", "yes", "b"), (self.alice, FAR, "5550101", "yes", "a")])
        self.assertEqual(rows[1]["call_started"], "2023-11-14T22:13:20.000Z")
        self.assertEqual([r["caller"] for r in self.stack.ctl_json("trace", "list", "--line", self.alice)], [FAR])
        self.assertEqual([r["caller"] for r in self.stack.ctl_json("trace", "list", "--limit", "1")], [ALICE])
        self.refused("--line is a positive number", "trace", "list", "--line", ALICE)

    def test_call_records_of_a_former_spill_file(self):
        """Rows that a gate controller of before put into its file while the database was away come in too."""
        row = ("gc2-{}\t2026-11-24 08:00:00.000000+00\t\\N\t2026-11-24 08:00:01.000000+00\t1\t\\N\t+12125550101\t5550199\t+12125550199\t"
               "former-{}\t-\t404\tgate\tgc2{}")
        rows = [row.format(1, 1, ""), row.format(2, 2, "\tt\t+12125550102\tB"), row.format(3, 3, "")]
        self.stack.write("gc2.spill", "".join(f"{hashlib.sha256(r.encode()).hexdigest()[:16]} {r}\n" for r in rows))
        gc2 = self.stack.start_gc("gc2", self.stack.net + "7")
        self.addCleanup(self.stack.daemons.pop, "gc2")
        self.addCleanup(gc2.stop)
        wait_for("the former records", lambda: self.stack.sql("SELECT count(*) FROM cdr.call WHERE call_id LIKE 'former-%'") == "3")
        shown = {r["call_id"]: (r["private"], r["forwarded_by"], r["attest"]) for r in self.stack.ctl_json("cdr", "list")}
        self.assertEqual({k: v for k, v in shown.items() if k.startswith("former-")},
                         {"former-1": ("no", "", ""), "former-2": ("yes", "+12125550102", "B"), "former-3": ("no", "", "")})

    def test_a_call_is_recorded(self):
        phone = self.closing(telephone(self.stack, "+12125550105", self.stack.net + "20"))
        wait_for("its call record", lambda: [r for r in self.stack.ctl_json("cdr", "list") if r["caller"] == phone.number
                                             and (r["private"], r["forwarded_by"], r["attest"]) == ("no", "", "")])


if __name__ == "__main__":
    unittest.main()
