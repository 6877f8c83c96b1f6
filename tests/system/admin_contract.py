"""The document is the contract: each documented request is sent, and each answer must be documented. Then every operation is asked
what it must refuse."""
import copy
import http.client
import json
import os
import pathlib
import signal
import unittest
import urllib.parse

from contract import Document, Judged
from hglib import Stack, tail, wait_for
from stacked import at_once

STREAMS = {"streamCallEvents"}  # have no end
# Need what a replay cannot make: a call, a second person, a phone that a gate seals for, work orders that were used.
NOT_HERE = STREAMS | {"getCall", "getCallLadder", "endCall", "getCdr", "getTrace", "getBti", "revokeBti", "approvePreemption",
                      "rejectPreemption", "approveChange", "rejectChange", "getChange", "withdrawChange", "getAuditKey", "getPreemption"}
UNKNOWN = {"integer": "999999999999", "string": "nosuch9"}


class World:
    """What answers told of ids, to be put in place of those of the examples."""

    def __init__(self):
        self.known = {}

    def learn(self, operation, body):
        """Of a collection its own ids; for everybody else that which is its own name's."""
        if not isinstance(body, dict):
            return
        own = {p["name"] for o in operation.document.operations if o.collection == operation.collection for p in o.path_parameters()}
        for name, value in body.items():
            if isinstance(value, (int, str)) and not isinstance(value, bool):
                self.known[operation.collection, name] = value
                if name in own:
                    self.known[name] = value

    def value(self, operation, name):
        for key in ((operation.collection, name), (operation.collection, {"role": "name", "policy": "name"}.get(name)), name):
            if key in self.known:
                return self.known[key]
        return None

    def path(self, operation, unknown=False):
        path = operation.path
        for p in operation.path_parameters():
            value = None if unknown else self.value(operation, p["name"])
            if unknown:
                schema = operation.document.resolved(p["schema"])
                value = "+19999999999" if schema.get("pattern", "").startswith("^\\+") else UNKNOWN[schema.get("type", "string")]
            elif value is None:
                value = p.get("example", 1)
            path = path.replace("{%s}" % p["name"], urllib.parse.quote(str(value), safe="+"))
        return path

    def body(self, example):
        if isinstance(example, dict):
            return {k: self.known[k] if k in self.known and isinstance(v, int) and not isinstance(v, bool) else self.body(v)
                    for k, v in example.items()}
        return [self.body(v) for v in example] if isinstance(example, list) else example


class Contract(unittest.TestCase):
    longMessage, maxDiff = True, None

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack()
        try:
            cls.stack.up(admin_settings={"limits.requests_per_second": 100000})
            root = cls.stack.api()
            cls.document = Document(root.get("/openapi.json"))
            cls.stack.sql("""INSERT INTO core.account (name) VALUES ('one'), ('two');
                             INSERT INTO core.line (account_id) SELECT 1 + i % 2 FROM generate_series(1, 8) AS i""")
            root.post("/trunks", {**cls.document.by_id["createTrunk"].examples[0], "name": "gw1"}, expect=201)
            root.post("/emergency-routes", {**cls.document.by_id["createEmergencyRoute"].examples[0], "name": "stays"}, expect=201)
            for name in ("contract", "second"):  # may do everything that roles give; the other one is there to approve
                who = root.post("/administrators", {"name": name, "roles": [r["name"] for r in root.get("/roles")["items"]]}, expect=201)
                cls.token = root.post("/tokens", {"administrator_id": who["administrator_id"]}, expect=201)["token"]
        except BaseException:
            cls.stack.down(keep=True)
            raise

    @classmethod
    def tearDownClass(cls):
        cls.stack.down(keep=os.environ.get("HEADGATE_KEEP", "") not in ("", "0"))

    def setUp(self):
        self.api = Judged(self.stack.api(self.token, keep=True), self.document)
        self.nobody = Judged(self.stack.api_tcp(), self.document)

    def tearDown(self):
        for d in self.stack.daemons.values():
            self.assertIsNone(d.process.poll(), f"{d.name} ended by itself: {tail(d.log)}")
        self.assertEqual(self.api.faults + self.nobody.faults, [])

    def send(self, operation, path, example=None, **headers):
        """With the ETag of now, where one is needed."""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if "If-Match" in operation.headers and "If-Match" not in headers:
            headers["If-Match"] = self.api.ask("GET", path).headers.get("ETag", "*")
        answer = self.api.ask(operation.method, path, example, headers)
        if answer.status in (200, 201) and operation.method != "GET" and answer.headers.get("ETag"):
            where = (answer.headers.get("Location") or "/api/v1" + path).removeprefix("/api/v1")
            now = self.api.ask("GET", where)  # the representation is the same as of GET, and so is its tag
            self.assertEqual((now.status, now.json, now.headers["ETag"]), (200, answer.json, answer.headers["ETag"]), operation)
        return answer

    def replay(self, world, operation):
        """Every example as it stands, and with ids that there are: that must do what it says."""
        wrong = []
        for example in operation.examples or [None]:
            verbatim = self.send(operation, self.example_path(operation), example)
            if verbatim.status < 300:
                self.learn(world, operation, verbatim)
                continue
            answer = self.send(operation, world.path(operation), world.body(example))
            if answer.status >= 300:
                wrong.append(f"{operation}: {example}: {answer.status} {answer.body.decode()}")
            else:
                self.learn(world, operation, answer)
        return wrong

    @staticmethod
    def learn(world, operation, answer):
        if operation.method == "POST" and answer.body and (answer.headers.get("Content-Type") or "").endswith("/json"):
            world.learn(operation, json.loads(answer.body))

    @staticmethod
    def example_path(operation):
        path = operation.path
        for p in operation.path_parameters():
            path = path.replace("{%s}" % p["name"], urllib.parse.quote(str(p.get("example", 1)), safe="+"))
        return path

    def test_1_the_document_is_the_one_that_was_built(self):
        built = pathlib.Path(self.stack.bin).parent / "openapi.json"
        self.assertEqual(self.document.json, json.loads(built.read_text()))
        for path in ("/openapi.json", "/calls/events", "/cdrs/export"):
            head = self.api.ask("HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""), path)

    def test_2_every_example_does_what_it_says(self):
        world, wrong = World(), []
        world.known["/audit", "seq"] = 1
        todo = [o for o in self.document.operations if o.id not in NOT_HERE]
        makes = [o for o in todo if o.method == "POST" and not o.path_parameters()]
        for o in makes:  # an account before its lines, whatever the order of the document
            wrong_now = self.replay(world, o)
            if wrong_now:
                wrong.append((o, wrong_now))
        for _ in range(3):
            wrong = [(o, again) for o, _ in wrong for again in [self.replay(world, o)] if again]
        order = {"GET": 0, "PUT": 1, "PATCH": 1, "POST": 2, "DELETE": 3}
        rest = sorted((o for o in todo if o not in makes), key=lambda o: (order[o.method], -len(o.path) if o.method == "DELETE" else 0))
        last = [o for o in todo if o.id == "updatePolicy"]  # after it some things take two
        for o in (r for r in rest if r.method != "DELETE" and r not in last):
            again = self.replay(world, o)
            wrong += [(o, again)] if again else []
        deletes = [o for o in rest if o.method == "DELETE"]
        for _ in range(4):  # what something else needs goes after it
            deletes = [o for o in deletes if self.send(o, world.path(o)).status >= 300]
        wrong += [(o, [f"{o} {world.path(o)} {self.send(o, world.path(o))}"]) for o in deletes]
        wrong += [(o, self.replay(world, o)) for o in last]
        self.assertEqual([text for _, texts in wrong for text in texts], [])
        quiet = [o.id for o in todo if not any(s < 300 for s in self.api.seen.get(o.id, ()))]
        self.assertEqual(quiet, [], "operations that never did anything")

    def test_3_a_key_gives_the_first_answer_again(self):
        """And another body with it none."""
        for o in (o for o in self.document.operations if o.json.get("x-idempotent") and not o.path_parameters()):
            first, again, other = (self.send(o, o.path, body, Idempotency_Key=f"k-{o.id}")
                                   for body in (o.examples[0], o.examples[0], {**o.examples[0], "x": 1}))
            self.assertEqual(other.status, 422, o)
            if first.status < 300:
                self.assertEqual((first.status, first.json, first.headers.get("Location")),
                                 (again.status, again.json, again.headers.get("Location")), o)

    def test_4_nobody_learns_anything(self):
        for i, o in enumerate(self.document.operations):
            source = f"{self.stack.net}{100 + i % 150}", 0  # who fails often from one address is told to wait
            self.nobody.connect = lambda: http.client.HTTPConnection(*self.stack.admin_address, timeout=30, source_address=source)
            for path in (self.example_path(o), World().path(o, unknown=True)):
                answer = self.nobody.ask(o.method, path, o.examples[0] if o.examples else None)
                self.assertEqual(answer.status, 401, o)
                self.assertEqual({k: v for k, v in answer.json.items() if k != "request_id"},
                                 {"type": "https://headgate.invalid/problems/unauthorized", "title": "Who are you?", "status": 401,
                                  "detail": "no valid token or certificate came with it"})
        self.assertEqual(self.nobody.ask("GET", "/nothing").status, 401)

    def test_5_what_is_not_there_is_404(self):
        for o in (o for o in self.document.operations if o.path_parameters()):
            headers = {"If_Match": "*"} if "If-Match" in o.headers else {}
            answer = self.send(o, World().path(o, unknown=True), o.examples[0] if o.examples else None, **headers)
            self.assertEqual(answer.status, 404, f"{o}: {answer}")
        self.assertEqual(self.api.ask("GET", "/nothing").status, 404)
        for o in self.document.operations:
            missing = next(m for m in ("PUT", "PATCH", "DELETE", "POST", "GET") if self.document.find(m, self.example_path(o)) is None)
            answer = self.api.ask(missing, self.example_path(o))
            self.assertEqual(answer.status, 405, f"{missing} {o.path}")
            self.assertIn(o.method, answer.headers["Allow"])

    def test_6_bodies(self):
        """Of another type, no JSON, with a field that is not there, without one that must be, each with a pointer."""
        for o in (o for o in self.document.operations if o.schema):
            path, match = self.example_path(o), {"If-Match": "*"}
            for body, kind, status in ((b"{}", "text/plain", 415), (b"{}", "application/x-www-form-urlencoded", 415), (b"{", o.media, 400),
                                       (b'{"a":1,"a":2}', o.media, 400), (b"[" * 100, o.media, 400), (b'"\xff"', o.media, 400),
                                       (b'{"a":9007199254740993}', o.media, 400), (b"[]", o.media, 422), (b"null", o.media, 422)):
                answer = self.api.ask(o.method, path, body, {"Content-Type": kind, **match})
                self.assertEqual(answer.status, status, f"{o} {body} {answer}")
            self.wrong_fields(o, path, match)

    def wrong_fields(self, o, path, headers):
        def pointers(body):
            answer = self.api.ask(o.method, path, body, headers)
            self.assertEqual(answer.status, 422, f"{o} {body} {answer}")
            return [e.get("pointer") for e in answer.json["errors"]]
        good, fields = o.examples[0], o.schema.get("properties", {})
        self.assertIn("/nonsense", pointers({**good, "nonsense": 1}), o)
        for name, schema in fields.items():
            if self.document.resolved(schema).get("readOnly"):
                self.assertIn(f"/{name}", pointers({**good, name: 1}), o)
            else:
                self.assertTrue(any(p.startswith(f"/{name}") for p in pointers({**good, name: {"nonsense": [1]}})), f"{o} {name}")
        required = [n for n in o.schema.get("required", []) if not self.document.resolved(fields.get(n, {})).get("readOnly")]
        for name in required if o.method != "PATCH" else []:
            body = copy.deepcopy(good)
            body.pop(name, None)
            self.assertIn(f"/{name}", pointers(body), o)

    def test_7_parameters(self):
        for o in self.document.operations:
            path, query = self.example_path(o), [p for p in o.parameters if p["in"] == "query"]
            headers = {"If-Match": "*"} if "If-Match" in o.headers else {}
            body = o.examples[0] if o.examples else None
            for bad in ["nonsense=1"] + [f"{p['name']}=%01" for p in query]:
                answer = self.api.ask(o.method, f"{path}?{bad}", body, headers)
                self.assertEqual(answer.status, 400, f"{o} {bad} {answer}")
                self.assertEqual([e["parameter"] for e in answer.json["errors"]], [bad.split("=")[0]])
            for p in (p for p in query if self.document.resolved(p["schema"]).get("type") == "integer"):
                for bad in ("x", "", "-99999999999999999999", "1e3", "9" * 30):
                    self.assertEqual(self.api.ask(o.method, f"{path}?{p['name']}={bad}", body, headers).status, 400, f"{o} {bad}")
            if "cursor" in {p["name"] for p in query}:
                for bad in ("0", "00" * 20, "zz" * 20):
                    self.assertEqual(self.api.ask(o.method, f"{path}?cursor={bad}").status, 400, f"{o} {bad}")

    def test_8_states_that_are_changed_are_named(self):
        for o in (o for o in self.document.operations if "If-Match" in o.headers):
            body = o.examples[0] if o.examples else None
            self.assertEqual(self.api.ask(o.method, self.example_path(o), body).status, 428, o)
        world = World()
        for o in (o for o in self.document.operations if o.method == "POST" and not o.path_parameters() and "201" in o.responses and o.id not in NOT_HERE):
            self.replay(world, o)
        for o in (o for o in self.document.operations if "If-Match" in o.headers and o.id not in NOT_HERE):
            path = world.path(o)
            if self.api.ask("GET", path).status == 200:
                answer = self.api.ask(o.method, path, o.examples[0] if o.examples else None, {"If-Match": '"0123456789abcdef0123456789abcdef"'})
                self.assertEqual(answer.status, 412, f"{o} {answer}")

    def changes(self, o, current):
        """Patches of one field each that may be good."""
        for name, schema in o.schema["properties"].items():
            schema, now = self.document.resolved(schema), current.get(name)
            kinds = schema.get("type")
            if schema.get("readOnly") or name not in current:
                continue
            if kinds == "boolean":
                yield {name: not now}
            elif kinds == "integer" and isinstance(now, int):
                yield {name: now + (1 if now < schema.get("maximum", now + 1) else -1)}
            elif "string" in kinds and not {"pattern", "format", "enum"} & set(schema):
                yield {name: (now or "") + "x"}

    def test_85_of_many_who_change_the_same_state_one_does(self):
        world, tried = World(), 0
        for o in (o for o in self.document.operations if o.method == "POST" and not o.path_parameters() and "201" in o.responses and o.id not in NOT_HERE):
            self.replay(world, o)
        for o in (o for o in self.document.operations if o.method == "PATCH" and "If-Match" in o.headers and o.id != "updatePolicy"):
            path = world.path(o)
            before = self.api.ask("GET", path)
            good = next((c for c in self.changes(o, before.json) if self.send(o, path, c).status == 200
                         and self.api.ask("GET", path).headers["ETag"] != before.headers["ETag"]), None) if before.status == 200 else None
            if good is None:
                continue
            now = self.api.ask("GET", path)
            change = next(c for c in self.changes(o, now.json) if set(c) == set(good))
            answers = at_once(*[lambda: self.stack.api(self.token).ask("PATCH", path, change, {"If-Match": now.headers["ETag"]})] * 4)
            self.assertEqual(sorted(a.status for a in answers), [200, 412, 412, 412], f"{o} {change}")
            tried += 1
        self.assertGreater(tried, 5)

    def test_9_without_a_database(self):
        """503 with Retry-After, nothing else; what needs none goes on. And it comes back."""
        limited = self.stack.admin_config("admin2", self.stack.net + "4", settings={"limits.requests_per_second": 1})
        self.stack.start_admin("admin2", self.stack.net + "4", limited)
        few = Judged(self.stack.api(node="admin2"), self.document)
        wait_for("the limit of requests", lambda: few.ask("GET", "/version").status == 429)
        self.assertEqual(few.faults, [])
        postmaster = int((self.stack.infra / "pg/postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)
        wait_for("PostgreSQL to end", lambda: not pathlib.Path(f"/proc/{postmaster}").exists())
        for o in (o for o in self.document.operations if o.id not in STREAMS):
            headers = {"If-Match": "*"} if "If-Match" in o.headers else {}
            answer = self.api.ask(o.method, self.example_path(o), o.examples[0] if o.examples else None, headers)
            if o.json["x-database"] != "none":
                self.assertEqual(answer.status, 503, f"{o} {answer}")
                self.assertTrue(answer.headers["Retry-After"])
            else:
                self.assertIn(answer.status, (200, 404), f"{o} {answer}")
        self.stack.devstack("start")
        wait_for("the database to be back", lambda: self.api.ask("GET", "/lines").status == 200)
