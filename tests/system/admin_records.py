"""Call records and traces over the HTTP API: filters, pages, exports that are whole or seen to be none, who may read what, and what
the audit log says of who read it."""
import csv
import http.client
import io
import json
import pathlib
import subprocess

from hglib import wait_for

from administered import AdminTest

EVIL = {"=1+1": "'=1+1", "@SUM(A1)": "'@SUM(A1)", "-x,\"y\"": "'-x,\"y\"", "+12125550101": "+12125550101", "a\r\nb": "a\r\nb", "  =x": "'  =x"}
MANY = 15000  # call records: some 7 MB as JSON


class Records(AdminTest):
    """No gate controller is needed for these."""

    @classmethod
    def prepare(cls):
        stack = cls.stack
        cls.seed(stack, "a", 40)
        cls.seed(stack, "m", MANY, hours=24 * 200, node="big")
        stack.sql("INSERT INTO trace.record (line_id, caller, called, call_id, call_started, private, node) SELECT 1 + i % 2, '+12125550101', "
                  "'+12125550102', i || '@x', '2026-01-01T00:00:00.25Z', true, 'gc1' FROM generate_series(1, 5) AS i")
        stack.sql("INSERT INTO cdr.call (cdr_id, started_at, ended_at, caller, called, routed, call_id, route, status, end_by, node) "
                  "SELECT 'evil-' || i, '2026-03-01T00:00:00Z'::timestamptz + i * interval '1 second', '2026-03-01T01:00:00Z', "
                  "v, '+12125550102', '', v, 'r', 486, 'callee', 'gc2' FROM unnest(ARRAY[" +
                  ", ".join("E'" + t.replace("'", "''").replace("\r", "\\r").replace("\n", "\\n") + "'" for t in EVIL) +
                  "]) WITH ORDINALITY AS t (v, i)")

    @staticmethod
    def seed(stack, name, n, hours=0, node="gc1"):
        """Call records of 2026-01-01, a second apart, two of each second at the same microsecond."""
        stack.sql(f"INSERT INTO cdr.call (cdr_id, started_at, answered_at, ended_at, caller_line, callee_line, caller, called, routed, call_id, route, "
                  f"status, end_by, node, private) SELECT format('{name}-%s', i), t, CASE WHEN i % 4 <> 0 THEN t + interval '2.125 s' END, "
                  f"t + interval '62.5 s', 1 + i % 3, CASE WHEN i % 5 = 0 THEN 9 END, '+1212555' || lpad((i % 3)::text, 4, '0'), '+12125559000', "
                  f"'+12125559001', format('%s@{name}', i), 'route-' || i % 2, CASE WHEN i % 4 <> 0 THEN 200 ELSE 486 END, 'caller', '{node}', i % 2 = 0 "
                  f"FROM generate_series(0, {n - 1}) AS i, LATERAL (SELECT '2026-01-01T00:00:00Z'::timestamptz + {hours} * interval '1 hour' "
                  f"+ i / 2 * interval '1 s' AS t) x")

    def cdrs(self, query=""):
        until = "" if "to=" in query else "to=2026-02-01T00:00:00Z&"
        return self.root.get(f"/cdrs?limit=500&{until}{query}")["items"]

    def audited(self, what):
        return [json.loads(x) for x in self.stack.sql(
            f"SELECT after FROM core.audit WHERE action = 'effect' AND object = '{what}' ORDER BY seq").splitlines()]

    def test_one_record(self):
        self.assertEqual(self.root.get("/cdrs/a-1"), {
            "cdr_id": "a-1", "started_at": "2026-01-01T00:00:00.000Z", "answered_at": "2026-01-01T00:00:02.125Z", "ended_at": "2026-01-01T00:01:02.500Z",
            "seconds": 60.375, "caller_line": 2, "callee_line": None, "caller": "+12125550001", "called": "+12125559000", "routed": "+12125559001",
            "route": "route-1", "status": 200, "ended_by": "caller", "private": False, "forwarded_by": None, "attest": None, "priority": None,
            "preempted_by": None, "call_id": "1@a", "node": "gc1"})
        self.assertEqual(self.root.get("/cdrs/a-0")["seconds"], None)
        self.assertEqual(self.root.ask("GET", "/cdrs/a-99").status, 404)

    def test_filters(self):
        def ids(query):
            return {int(c["cdr_id"].split("-")[1]) for c in self.cdrs(query)}
        everything = set(range(40))
        self.assertEqual(ids(""), everything)
        self.assertEqual(ids("from=2026-01-01T00:00:10Z"), {i for i in everything if i >= 20})
        self.assertEqual(ids("from=2026-01-01T00:00:05.5Z&to=2026-01-01T00:00:07Z"), {12, 13})
        self.assertEqual(ids("line_id=9"), {i for i in everything if i % 5 == 0})
        self.assertEqual(ids("line_id=2"), {i for i in everything if i % 3 == 1})
        self.assertEqual(ids("number=%2B12125550002"), {i for i in everything if i % 3 == 2})
        self.assertEqual(ids("number=%2B12125559001"), everything)
        self.assertEqual(ids("status=486&route=route-0"), {i for i in everything if i % 4 == 0})
        self.assertEqual(ids("node=gc1"), everything)
        self.assertEqual(ids("node=gc3"), set())
        for query in ("from=yesterday", "status=42", "line_id=0", "to=2026-13-01T00:00:00Z", "format=csv"):
            self.assertEqual(self.root.ask("GET", f"/cdrs?{query}").status, 400, query)

    def test_pages(self):
        seen, path = [], "/cdrs?limit=7&to=2026-02-01T00:00:00Z"
        while path:
            page = self.root.get(path)
            seen += [c["cdr_id"] for c in page["items"]]
            path = page["next"] and f"/cdrs?limit=7&to=2026-02-01T00:00:00Z&cursor={page['next']}"
            if len(seen) == 14:
                self.seed(self.stack, "late", 6, hours=2)  # above all of them: none of this list's
        self.assertEqual(seen, [c["cdr_id"] for c in self.cdrs() if c["cdr_id"].startswith("a-")])
        self.stack.sql("DELETE FROM cdr.call WHERE cdr_id LIKE 'late-%'")

    # ---- exports
    def export(self, query):
        return self.root.ask("GET", f"/cdrs/export?{query}", expect=200)

    def test_csv(self):
        answer = self.export("to=2026-02-01T00:00:00Z&line_id=9")
        self.assertTrue(answer.headers["Content-Type"].startswith("text/csv"))
        self.assertTrue(answer.body.endswith(b"\r\n"))
        rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        self.assertEqual([r["cdr_id"] for r in rows], [f"a-{i}" for i in range(0, 40, 5)])
        self.assertEqual(sorted(rows[0]), sorted(self.root.get("/cdrs/a-1")))
        self.assertEqual((rows[1]["answered_at"], rows[1]["seconds"], rows[1]["status"], rows[1]["private"], rows[1]["callee_line"]),
                         ("2026-01-01T00:00:04.125Z", "60.375", "200", "false", "9"))
        self.assertEqual((rows[0]["answered_at"], rows[0]["seconds"]), ("", ""))
        self.assertEqual(self.audited("cdrs exported")[-1], {"to": "2026-02-01T00:00:00Z", "line_id": "9", "format": "csv"})

    def test_a_spreadsheet_runs_nothing(self):
        rows = list(csv.DictReader(io.StringIO(self.export("node=gc2").body.decode(), newline="")))
        self.assertEqual([(r["caller"], r["call_id"]) for r in rows], [(v, v) for v in EVIL.values()])
        lines = [json.loads(x) for x in self.export("node=gc2&format=jsonl").body.decode().splitlines()]
        self.assertEqual([x["caller"] for x in lines], list(EVIL))

    def test_json_lines(self):
        answer = self.export("format=jsonl&to=2026-02-01T00:00:00Z")
        self.assertEqual(answer.headers["Content-Type"], "application/jsonl")
        self.assertEqual([json.loads(x) for x in answer.body.decode().splitlines()], sorted(self.cdrs(), key=lambda c: (c["started_at"], c["cdr_id"])))
        self.assertEqual(self.export("format=jsonl&status=699").body, b"")
        self.assertEqual(self.export("status=699").body.count(b"\r\n"), 1)
        self.assertEqual(self.root.ask("GET", "/cdrs/export?format=xlsx").status, 400)

    # ---- traces
    def told(self):
        return [json.loads(x) for x in self.stack.sql(
            "SELECT after || jsonb_build_object('person', person) FROM core.audit WHERE object = 'traces read' ORDER BY seq").splitlines()]

    def test_each_read_is_told(self):
        before = len(self.told())
        page = self.root.get("/traces?limit=2")
        self.assertEqual([t["trace_id"] for t in page["items"]], [5, 4])
        rest = self.root.get(f"/traces?limit=3&cursor={page['next']}")
        self.assertEqual(([t["trace_id"] for t in rest["items"]], rest["next"]), ([3, 2, 1], None))
        one = self.root.get("/traces/3")
        self.assertEqual(one, rest["items"][0])
        self.assertEqual((one["caller"], one["call_started_at"], one["line_id"], one["private"]), ("+12125550101", "2026-01-01T00:00:00.250Z", 2, True))
        self.assertEqual([t["trace_id"] for t in self.root.get("/traces?line_id=1")["items"]], [4, 2])
        self.assertEqual(self.root.ask("GET", "/traces/99").status, 404)
        told = self.told()[before:]
        self.assertEqual([t.get("traces", t.get("trace_id")) for t in told], [[5, 4], [3, 2, 1], "3", [4, 2]])
        self.assertTrue(all(t["person"].startswith("os:") for t in told), told)

    def test_who_may(self):
        """The matrix has every role; here, that it holds for what is behind the rows."""
        viewer, auditor = self.person("viewer"), self.person("auditor")
        for path in ("/cdrs", "/cdrs/a-1", "/cdrs/export", "/traces", "/traces/1"):
            self.assertEqual(viewer.ask("GET", path).status, 403, path)
        before = len(self.told())
        self.assertEqual(auditor.get("/traces/1")["trace_id"], 1)
        self.assertEqual([t["person"] for t in self.told()[before:]], [auditor.name])

    def test_only_as_hg_trace(self):
        with self.assertRaises(subprocess.CalledProcessError) as why:
            self.stack.sql("SELECT count(*) FROM trace.record", "hg_api")
        self.assertIn("permission denied", why.exception.stderr)

    # ---- big exports: nothing is held in memory, and one that ends early is seen to be none
    def memory(self):
        status = pathlib.Path(f"/proc/{self.stack.daemons['admin1'].process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def begin(self):
        """The answer to an export of which the first piece is read."""
        connection = self.root.connect()
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/cdrs/export?format=jsonl&node=big")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        return connection, answer, answer.read(1000)

    def running(self):
        return self.stack.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7620")

    def test_all_of_it_in_little_memory(self):
        self.root.ask("GET", "/cdrs/export?to=2026-01-01T00:00:10Z", expect=200)
        before = self.memory()
        _, answer, first = self.begin()
        n, most = first.count(b"\n"), 0
        while True:
            piece = answer.read(1 << 20)
            n += piece.count(b"\n")
            most = max(most, self.memory())
            if not piece:
                break
        self.assertEqual(n, MANY)
        self.assertLess(most - before, 4 << 20)
        wait_for("its connection to go", lambda: self.running() == "0")

    def test_one_that_is_cut_is_not_whole(self):
        _, answer, _ = self.begin()
        self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7620")
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()

    def test_four_at_a_time(self):
        open_ones = [self.begin() for _ in range(4)]
        refused = self.root.ask("GET", "/cdrs/export", expect=503)
        self.assertGreater(int(refused.headers["Retry-After"]), 0)
        self.assertEqual(self.root.ask("GET", "/cdrs?limit=1").status, 200)
        for connection, _, _ in open_ones:
            connection.close()
        wait_for("a turn", lambda: self.root.ask("GET", "/cdrs/export?to=2026-01-01T00:00:10Z").status == 200)
