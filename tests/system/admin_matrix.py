"""Every operation of the OpenAPI document x every role, and nobody, and an administrator who is disabled. What is expected comes from the
document (x-permission) and from the table of roles as the server prints it: allowed is anything but 401 and 403, denied is 403 with a body
that tells nothing, and afterwards the database is as it was."""
import http.client
import json
import unittest

from hglib import TOP, UnixHttp

from administered import ROLES, AdminTest, Person, pages

METHODS = ("get", "post", "put", "patch", "delete")
MISSING = 999999999


class Operation:
    """One of the document, with the requests that the matrix makes of it."""

    def __init__(self, document, path, item, method):
        self.document, self.path, self.method = document, path, method.upper()
        entry = item[method]
        self.name, self.permission = entry["operationId"], entry["x-permission"]
        self.parameters = [self.resolved(p) for p in item.get("parameters", []) + entry.get("parameters", [])]
        content = self.resolved(entry.get("requestBody", {})).get("content", {})
        self.media, self.example = None, None
        for self.media, body in content.items():
            self.example = body["example"] if "example" in body else next(iter(body.get("examples", {"": {"value": {}}}).values()))["value"]

    def resolved(self, thing):
        while "$ref" in thing:
            target = self.document
            for step in thing["$ref"].split("/")[1:]:
                target = target[step]
            thing = target
        return thing

    def url(self, number):
        path = self.path
        for p in self.parameters:
            if p["in"] == "path":
                whole = self.resolved(p["schema"]).get("type") == "integer"
                path = path.replace("{" + p["name"] + "}", str(number if whole else p.get("example", "x")).replace("+", "%2B").replace(":", "%3A"))
        given = [f"{p['name']}={p['example']}".replace("+", "%2B").replace(" ", "%20")
                 for p in self.parameters if p["in"] == "query" and p.get("required")]
        return "/api/v1" + path + ("?" + "&".join(given) if given else "")

    def ask(self, connection, token, number, body, extra):
        """(status, problem); a stream is not read to its end."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if self.media:
            headers["Content-Type"] = self.media
        try:
            connection.request(self.method, self.url(number), json.dumps(body) if self.media else None, {**headers, **extra})
            answer = connection.getresponse()
            problem = json.loads(answer.read()) if answer.headers.get_content_type() == "application/problem+json" else None
            return answer.status, problem
        finally:
            connection.close()


class Matrix(AdminTest):
    settings = {"limits.requests_per_second": 100000}

    @classmethod
    def prepare(cls):
        cls.document = cls.root.get("/openapi.json")
        cls.operations = [Operation(cls.document, path, item, method) for path, item in cls.document["paths"].items()
                          for method in METHODS if method in item]
        cls.table = {r["name"]: set(r["permissions"]) for r in pages(cls.root, "/roles")}
        cls.people = {role: cls.person(role, name=role) for role in ROLES}
        cls.people["none"] = cls.person(name="none")
        wide = cls.person(*ROLES, name="wide")
        cls.people["scoped"] = Person(cls.stack, "wide", wide.post("/me/tokens", {"scopes": ["calls.read", "routes.write"]}))
        cls.table.update(none=set(), scoped={"calls.read", "routes.write"})
        cls.stack.sql("INSERT INTO core.account (name) VALUES ('a'); INSERT INTO core.line (account_id) VALUES (1); "
                      "INSERT INTO core.number VALUES ('+12125550101', 1); INSERT INTO core.trunk (name, host) VALUES ('gw1', '192.0.2.1'); "
                      "INSERT INTO core.route (name, kind, prefix, next_hop) VALUES ('uk', 'next_hop', '+44', 'sip:192.0.2.1')")

    def expected(self, role, operation):
        return operation.permission == "self" or operation.permission in self.table[role]

    def local(self):
        return UnixHttp(self.stack.path("admin.sock"))

    def state(self):
        """A fingerprint of each table but the audit log."""
        tables = self.stack.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('core', 'prov', 'cdr', 'trace') "
                                "AND tablename NOT IN ('audit', 'audit_checkpoint', 'token') ORDER BY 1").splitlines()
        one = "SELECT '{0}', md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {1} t"
        tokens = "(SELECT token_id, admin_id, hash, scopes, expires_at, revoked_at FROM core.token)"
        return self.stack.sql(" UNION ALL ".join([one.format(t, t) for t in tables] + [one.format("core.token", tokens)]))

    def test_the_table_is_that_of_the_document(self):
        names = set(self.document["components"]["schemas"]["Permission"]["enum"])
        self.assertEqual(set(self.root.get("/me")["permissions"]), names)
        self.assertLessEqual({o.permission for o in self.operations}, names)
        self.assertEqual(set(ROLES), {r["name"] for r in pages(self.root, "/roles") if r["is_builtin"]})
        self.assertGreater(len(self.operations), 30)

    def test_the_page_tells_the_same(self):
        lines = (TOP / "docs/admin-api.md").read_text().split("| permission | for |")[1].split("\n\n")[0].splitlines()
        roles = [c.strip() for c in lines[0].strip(" |").split("|")]
        page = {}
        for line in lines[2:]:
            permission, _, *has = [c.strip() for c in line[1:-1].split("|")]
            page[permission.strip("`")] = {role for role, x in zip(roles, has) if x == "x"}
        self.assertEqual(page.pop("self"), set(ROLES))
        self.assertEqual(page, {p: {r for r in ROLES if p in self.table[r]} for p in page})
        self.assertEqual(set(page) | {"self"}, set(self.root.get("/me")["permissions"]))

    def test_denied_tells_nothing_and_changes_nothing(self):
        """With whole and valid requests for what is there: only the permission is missing."""
        before, denied = self.state(), 0
        for role, person in self.people.items():
            for o in self.operations:
                if self.expected(role, o):
                    continue
                with self.subTest(role=role, operation=o.name):
                    said = [o.ask(self.local(), person.token, number, o.example, {"If-Match": "*", "X-Request-Id": "r"}) for number in (1, MISSING)]
                    self.assertEqual(said[0][0], 403, said)
                    self.assertEqual(said[0][1], {"type": "https://headgate.invalid/problems/forbidden", "title": "You may not do this", "status": 403,
                                                  "detail": f"this takes the permission {o.permission}", "request_id": "r"})
                    self.assertEqual(said[0], said[1], "it tells what is there")
                    denied += 1
        self.assertEqual(self.state(), before)
        self.assertGreater(denied, 100)

    def test_allowed_is_allowed(self):
        """With requests for what is not there, or that make no sense: past the permission, and no harm."""
        for role, person in self.people.items():
            for o in self.operations:
                if self.expected(role, o):
                    with self.subTest(role=role, operation=o.name):
                        status, problem = o.ask(self.local(), person.token, MISSING, {"no_such_field_of_the_matrix": 1}, {})
                        self.assertNotIn(status, (401, 403, 429, 500), problem)

    def test_nobody_and_a_disabled_one_are_nobody(self):
        person = self.person(*ROLES, name="gone")
        self.root.patch(f"/administrators/{person.id}", {"disabled": True})
        before, bodies = self.state(), set()
        for i, o in enumerate(self.operations):
            for j, token in enumerate((None, person.token, "hga_" + "A" * 43)):
                with self.subTest(operation=o.name, token=j):
                    source = (f"127.77.{i % 250}.{j + 1}", 0)  # an address of its own: what is counted is each one's failures
                    connection = http.client.HTTPConnection(*self.stack.admin_address, timeout=30, source_address=source)
                    status, problem = o.ask(connection, token, 1, o.example, {"If-Match": "*", "X-Request-Id": "r"})
                    self.assertEqual(status, 401, problem)
                    bodies.add(json.dumps(problem, sort_keys=True))
        self.assertEqual(len(bodies), 1, bodies)
        self.assertEqual(self.state(), before)
        missing = http.client.HTTPConnection(*self.stack.admin_address, timeout=30)
        missing.request("GET", "/api/v1/no-such-path")
        self.assertEqual(missing.getresponse().status, 401)
        missing.close()


if __name__ == "__main__":
    unittest.main()
