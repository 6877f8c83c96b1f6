"""Subscribers over the HTTP API, with the real daemons: what is refused and where it points, two clients at once, what reaches the
running gate controller, and what holds when the database does not answer."""
import hashlib
import os
import re
import threading

from hglib import Wire, sip_request, wait_for
from stacked import SDP, StackTest, at_once, telephone

ANNA, BERTA = "hga_" + "A" * 43, "hga_" + "B" * 43  # two administrators' tokens
UNKNOWN = "+19999999999"


def made(api, path, body, **more):
    return api.ask("POST", path, body, expect=201, **more)


class Subscribers(StackTest):
    @classmethod
    def prepare(cls, stack):
        cls.api = stack.api()
        cls.account = cls.api.post("/accounts", {"name": "Example Bakery"})["account_id"]
        cls.count = 0

    @classmethod
    def number(cls):
        cls.count += 1
        return f"+1212555{cls.count:04}"

    def line(self, *numbers, **fields):
        return self.api.post("/lines", {"account_id": self.account, "numbers": list(numbers), **fields})

    def refused(self, status, pointer, method, path, body=None, **more):
        """The detail of a problem that points there (None: nowhere)."""
        answer = self.api.ask(method, path, body, expect=status, **more)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        pointers = [e.get("pointer") for e in answer.json.get("errors", [])]
        self.assertEqual(pointers, [pointer] if pointer else [], answer)
        return answer.json["detail"]

    def etag(self, path):
        return {"If-Match": self.api.ask("GET", path, expect=200).headers["ETag"]}

    def rows(self, table):
        return int(self.stack.sql(f"SELECT count(*) FROM {table}"))

    # ---- accounts and lines
    def test_an_account_lives_and_goes(self):
        answer = made(self.api, "/accounts", {"name": "Florist"})
        account = answer.json["account_id"]
        self.assertEqual(answer.headers["Location"], f"/api/v1/accounts/{account}")
        self.assertEqual((answer.json["barred"], answer.json["line_count"]), (False, 0))
        self.assertEqual(self.api.patch(f"/accounts/{account}", {"name": "Florist & Sons", "barred": True})["name"], "Florist & Sons")
        self.assertIn(account, [a["account_id"] for a in self.api.get("/accounts?name=flor&barred=true")["items"]])
        self.assertEqual(self.api.get("/accounts?name=flor&barred=false")["items"], [])
        line = self.api.post("/lines", {"account_id": account})["line_id"]
        self.assertIn(f"lines: {line}", self.refused(409, None, "DELETE", f"/accounts/{account}", headers=self.etag(f"/accounts/{account}")))
        self.api.ask("DELETE", f"/lines/{line}", headers=self.etag(f"/lines/{line}"), expect=204)
        self.api.ask("DELETE", f"/accounts/{account}", headers=self.etag(f"/accounts/{account}"), expect=204)
        self.refused(404, None, "GET", f"/accounts/{account}")
        self.refused(404, None, "DELETE", f"/accounts/{account}", headers={"If-Match": "*"})

    def test_a_line_and_what_holds_it(self):
        one, two = self.number(), self.number()
        line = self.line(one, two, display="Front desk", level="administrator", priority=["ets.1", "dsn.flash"], services={"caller_id": True})
        path = f"/lines/{line['line_id']}"
        self.assertEqual((line["numbers"], line["level"], line["priority"], line["barred"], line["account_barred"]),
                         ([one, two], "administrator", ["ets.1", "dsn.flash"], False, False))
        self.assertEqual(line["services"], {"caller_id": True, "private": False, "reject_anonymous": False, "forward_always": None,
                                            "forward_busy": None, "forward_no_answer": None, "no_answer_s": 20})
        self.assertEqual(self.api.get(f"/lines?number=%2B{two[1:]}&level=administrator")["items"], [line])
        self.assertEqual(self.api.get(f"/lines?number=%2B{two[1:]}&level=user")["items"], [])
        changed = self.api.patch(path, {"display": "", "level": "user", "priority": [], "barred": True})
        self.assertEqual((changed["display"], changed["level"], changed["priority"], changed["barred"]), ("", "user", [], True))
        self.assertIn(line["line_id"], [x["line_id"] for x in self.api.get(f"/lines?account_id={self.account}&barred=true")["items"]])
        order = self.api.post("/work-orders", {"line_id": line["line_id"]})["work_order_id"]
        self.api.post("/credentials", {"username": "front", "line_id": line["line_id"]})
        bti = os.urandom(16).hex()
        self.stack.sql(f"INSERT INTO core.bti (bti_id, line_id) VALUES ('\\x{bti}', {line['line_id']})")
        says = self.refused(409, None, "DELETE", path, headers=self.etag(path))
        for holder in (one, two, "credentials: front", bti, f"open work orders: {order}"):
            self.assertIn(holder, says)
        for number in (one, two):
            self.api.ask("DELETE", f"/numbers/{number}", headers={"If-Match": "*"}, expect=204)
        self.api.ask("DELETE", "/credentials/front", headers={"If-Match": "*"}, expect=204)
        self.api.post(f"/btis/{bti}/revoke")
        self.assertIn("open work orders", self.refused(409, None, "DELETE", path, headers={"If-Match": "*"}))
        self.api.post(f"/work-orders/{order}/cancel")
        self.api.ask("DELETE", path, headers={"If-Match": "*"}, expect=204)
        self.assertEqual((self.rows(f"core.bti WHERE line_id = {line['line_id']}"), self.rows(f"prov.work_order WHERE work_order_id = {order}")),
                         (0, 0))

    def test_all_of_a_line_or_nothing(self):
        taken, free = self.number(), self.number()
        self.line(taken)
        before = [self.rows(t) for t in ("core.line", "core.number", "core.line_service")]
        self.refused(409, "/numbers/1", "POST", "/lines", {"account_id": self.account, "numbers": [free, taken], "services": {"caller_id": True}})
        self.refused(422, "/services/forward_busy", "POST", "/lines",
                     {"account_id": self.account, "numbers": [free], "services": {"forward_busy": free}})
        self.refused(422, "/account_id", "POST", "/lines", {"account_id": 99999, "numbers": [free]})
        self.assertEqual(before, [self.rows(t) for t in ("core.line", "core.number", "core.line_service")])
        self.assertEqual(self.stack.sql(f"SELECT count(*) FROM core.audit WHERE object = 'number {free}'"), "0")

    def test_fields_that_are_wrong(self):
        number = self.number()
        line = self.line(number)["line_id"]
        for pointer, method, path, body in (
                ("/name", "POST", "/accounts", {"name": ""}),
                ("/name", "POST", "/accounts", {}),
                ("/shoe_size", "POST", "/accounts", {"name": "x", "shoe_size": 44}),
                ("/line_count", "POST", "/accounts", {"name": "x", "line_count": 3}),
                ("/numbers/0", "POST", "/lines", {"account_id": self.account, "numbers": ["12125550101"]}),
                ("/numbers/0", "POST", "/lines", {"account_id": self.account, "numbers": ["+0125550101"]}),
                ("/numbers/0", "POST", "/lines", {"account_id": self.account, "numbers": ["+1212555010x"]}),
                ("/numbers/0", "POST", "/lines", {"account_id": self.account, "numbers": ["+1234567890123456"]}),
                ("/level", "POST", "/lines", {"account_id": self.account, "level": "king"}),
                ("/priority/1", "POST", "/lines", {"account_id": self.account, "priority": ["ets.0", "ets.1"]}),
                ("/priority/0", "POST", "/lines", {"account_id": self.account, "priority": ["ets"]}),
                ("/account_id", "PATCH", f"/lines/{line}", {"account_id": 99999}),
                ("/account_id", "PATCH", f"/lines/{line}", {"account_id": None}),
                ("/numbers", "PATCH", f"/lines/{line}", {"numbers": []}),
                ("/forward_always", "PATCH", f"/lines/{line}/services", {"forward_always": number}),
                ("/forward_busy", "PATCH", f"/lines/{line}/services", {"forward_busy": "911"}),
                ("/no_answer_s", "PATCH", f"/lines/{line}/services", {"no_answer_s": 4}),
                ("/line_id", "POST", "/numbers", {"number": self.number(), "line_id": 99999}),
                ("/line_id", "PATCH", f"/numbers/{number}", {"line_id": 99999}),
                ("/is_primary", "PATCH", f"/numbers/{number}", {"is_primary": False}),
                ("/line_id", "POST", "/work-orders", {"line_id": 99999}),
                ("/hours", "POST", "/work-orders", {"line_id": line, "hours": 0}),
                ("/username", "POST", "/credentials", {"username": "0" * 32, "line_id": line}),
                ("/username", "POST", "/credentials", {"username": "a b", "line_id": line}),
                ("/password", "POST", "/credentials", {"username": "short", "line_id": line, "password": "1234567"}),
                ("/password", "POST", "/credentials", {"username": "ctrl", "line_id": line, "password": "12345678\n"}),
                ("/password", "POST", "/credentials", {"username": "long", "line_id": line, "password": "\u20ac" * 22}),
                ("/algorithms/0", "POST", "/credentials", {"username": "algo", "line_id": line, "algorithms": ["SHA-1"]}),
                ("/services/forward_busy", "POST", "/feature-profiles", {"name": "x", "services": {"forward_busy": "on"}})):
            with self.subTest(path=path, body=body):
                self.refused(422, pointer, method, path, body, headers={"If-Match": "*"} if method == "PATCH" else {})
        for path in ("/lines/0", "/lines/abc", "/numbers/12125550101", "/btis/xyz", "/lines/99999999"):
            self.refused(404, None, "GET", path)
        for query in ("account_id=x", "level=king", "barred=maybe", "number=5", "color=red", "limit=0", "limit=501", "cursor=00"):
            self.assertEqual(self.api.ask("GET", f"/lines?{query}").status, 400, query)
        self.refused(428, None, "PATCH", f"/lines/{line}", {"barred": True})

    # ---- two at once
    def test_two_create_one_number(self):
        for _ in range(5):
            number, lines = self.number(), [self.line()["line_id"] for _ in range(2)]
            jobs = [lambda line=line: self.api.ask("POST", "/numbers", {"number": number, "line_id": line}) for line in lines]
            answers = sorted(at_once(*jobs), key=lambda a: a.status)
            self.assertEqual([a.status for a in answers], [201, 409])
            self.assertEqual(answers[1].json["errors"][0]["pointer"], "/number")

    def test_two_change_one_line(self):
        path = f"/lines/{self.line()['line_id']}"
        for turn in range(5):
            etag = self.etag(path)
            jobs = [lambda name=name: self.api.ask("PATCH", path, {"display": name}, headers=etag) for name in (f"a{turn}", f"b{turn}")]
            answers = at_once(*jobs)
            self.assertEqual(sorted(a.status for a in answers), [200, 412])
            done = next(a for a in answers if a.status == 200)
            self.assertEqual(self.api.get(path)["display"], done.json["display"])

    def test_one_deletes_what_another_uses(self):
        """Whoever comes first: no line without account, no number without line."""
        for _ in range(5):
            account = self.api.post("/accounts", {"name": "Short"})["account_id"]
            line, gone = at_once(lambda: self.api.ask("POST", "/lines", {"account_id": account}),
                                 lambda: self.api.ask("DELETE", f"/accounts/{account}", headers={"If-Match": "*"}))
            self.assertIn((line.status, gone.status), ((201, 409), (422, 204)))
            line = self.line()["line_id"]
            number, gone = at_once(lambda: self.api.ask("POST", "/numbers", {"number": self.number(), "line_id": line}),
                                   lambda: self.api.ask("DELETE", f"/lines/{line}", headers={"If-Match": "*"}))
            self.assertIn((number.status, gone.status), ((201, 409), (422, 204)))

    def test_pages_lose_nothing(self):
        account = self.api.post("/accounts", {"name": "Pages"})["account_id"]
        there = [self.api.post("/lines", {"account_id": account})["line_id"] for _ in range(23)]
        stop = threading.Event()

        def insert():
            mine = self.stack.api()
            while not stop.is_set():
                mine.post("/lines", {"account_id": account})
        writer = threading.Thread(target=insert)
        writer.start()
        seen, path = [], f"/lines?account_id={account}&limit=5"
        try:
            while path:
                page = self.api.get(path)
                seen += [x["line_id"] for x in page["items"]]
                path = page["next"] and len(seen) < 100 and f"/lines?account_id={account}&limit=5&cursor={page['next']}"
        finally:
            stop.set()
            writer.join()
        self.assertEqual(seen[:23], there)
        self.assertEqual(len(seen), len(set(seen)))
        page = self.api.ask("GET", f"/lines?account_id={account}&limit=5", expect=200)
        self.assertIn('rel="next"', page.headers["Link"])
        self.assertEqual(self.api.ask("GET", f"/accounts?cursor={page.json['next']}").status, 400)

    # ---- numbers
    def test_numbers_move_and_one_is_primary(self):
        a, b, c = self.number(), self.number(), self.number()
        one, two = self.line(a, b)["line_id"], self.line(c)["line_id"]
        self.assertEqual([n["number"] for n in self.api.get(f"/numbers?line_id={one}")["items"]], [a, b])
        self.assertEqual(self.api.patch(f"/numbers/{a}", {"line_id": two}), {"number": a, "line_id": two, "is_primary": False})
        self.assertEqual(self.api.get(f"/numbers/{b}")["is_primary"], True)
        self.assertTrue(self.api.patch(f"/numbers/{a}", {"is_primary": True})["is_primary"])
        self.assertEqual(self.api.get(f"/lines/{two}")["numbers"], [a, c])
        self.assertEqual(self.api.patch(f"/numbers/{a}", {"line_id": one, "is_primary": True}), {"number": a, "line_id": one, "is_primary": True})
        self.assertEqual((self.api.get(f"/lines/{one}")["numbers"], self.api.get(f"/lines/{two}")["numbers"]), ([a, b], [c]))
        self.api.ask("DELETE", f"/numbers/{a}", headers=self.etag(f"/numbers/{a}"), expect=204)
        self.assertEqual(self.api.get(f"/numbers/{b}")["is_primary"], True)
        self.assertTrue(made(self.api, "/numbers", {"number": self.number(), "line_id": self.line()["line_id"]}).json["is_primary"])
        self.api.patch(f"/lines/{two}/services", {"forward_busy": b})
        self.refused(422, "/line_id", "PATCH", f"/numbers/{b}", {"line_id": two}, headers={"If-Match": "*"})
        self.assertEqual([n["number"] for n in self.api.get(f"/numbers?prefix=%2B{b[1:]}")["items"]], [b])

    def test_numbers_by_two_people(self):
        self.stack.sql("INSERT INTO core.administrator (name, roles) VALUES ('anna', '{provisioner}'), ('berta', '{provisioner,operator}'); " + "".join(
            f"INSERT INTO core.token (admin_id, hash, prefix, expires_at) SELECT admin_id, '\\x{hashlib.sha256(token.encode()).hexdigest()}', "
            f"'{token[:12]}', now() + interval '1 day' FROM core.administrator WHERE name = '{name}';"
            for name, token in (("anna", ANNA), ("berta", BERTA))))
        anna, berta = self.stack.api(ANNA), self.stack.api(BERTA)
        wait_for("the administrators to be known", lambda: all(x.ask("GET", "/lines?limit=1").status == 200 for x in (anna, berta)))
        a, b, c = self.number(), self.number(), self.number()
        one, two = self.line(a, b)["line_id"], self.line()["line_id"]
        self.addCleanup(self.stack.sql, "SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE core.policy DISABLE TRIGGER a_two_person; UPDATE core.policy "
                        "SET enabled = false; ALTER TABLE core.policy ENABLE ALWAYS TRIGGER a_two_person")
        self.stack.sql("UPDATE core.policy SET enabled = true WHERE name = 'two_person.number'")
        moved = anna.ask("PATCH", f"/numbers/{a}", {"line_id": two}, headers=self.etag(f"/numbers/{a}"), expect=202)
        self.assertRegex(moved.headers["Location"], r"^/api/v1/changes/\d+$")
        self.assertEqual(self.api.get(f"/numbers/{a}")["line_id"], one)
        for change in moved.json["changes"]:  # the move, and another primary number for the line that it leaves
            self.assertEqual(anna.ask("POST", f"/changes/{change}/approve").status, 403)
            berta.post(f"/changes/{change}/approve")
        self.assertEqual((self.api.get(f"/numbers/{a}")["line_id"], self.api.get(f"/numbers/{b}")["is_primary"]), (two, True))
        made_line = anna.ask("POST", "/lines", {"account_id": self.account, "numbers": [c], "services": {"caller_id": True}}, expect=202)
        self.assertEqual(self.api.ask("GET", f"/numbers/{c}").status, 404)
        berta.post(f"/changes/{made_line.json['changes'][0]}/approve")
        line = self.api.get(f"/numbers/{c}")["line_id"]
        self.assertTrue(self.api.get(f"/lines/{line}")["services"]["caller_id"])
        gone = anna.ask("DELETE", f"/numbers/{c}", headers={"If-Match": "*"}, expect=202)
        self.assertEqual(self.api.get(f"/numbers/{c}")["line_id"], line)
        berta.post(f"/changes/{gone.json['changes'][0]}/approve")
        self.refused(404, None, "GET", f"/numbers/{c}")

    # ---- what reaches the gate controller
    def test_a_barred_line_is_refused(self):
        phone = self.closing(telephone(self.stack, self.number(), self.stack.net + "20"))

        def status():
            return phone.transact(phone.invite_message(UNKNOWN), 5).status
        account = self.api.get(f"/lines/{phone.line}")["account_id"]
        for path in (f"/lines/{phone.line}", f"/accounts/{account}"):
            self.api.patch(path, {"barred": True})
            wait_for("the gate controller to refuse", lambda: status() == 403)
            self.assertTrue(self.api.get(f"/lines?number=%2B{phone.number[1:]}&barred=true")["items"])
            self.api.patch(path, {"barred": False})
            wait_for("the gate controller to let it call again", lambda: status() == 404)

    def test_a_revoked_bti_loses_its_session(self):
        phone = self.closing(telephone(self.stack, self.number(), self.stack.net + "21"))
        bti = phone.bti_id.hex()
        self.assertEqual([b["bti_id"] for b in self.api.get(f"/btis?line_id={phone.line}&revoked=false")["items"]], [bti])
        self.assertEqual(self.api.get(f"/btis/{bti}")["number"], phone.number)
        self.assertIsNotNone(self.api.post(f"/btis/{bti}/revoke")["revoked_at"])
        wait_for("its session to go", lambda: phone.session.kid.hex() not in {s["kid"] for s in self.stack.ctl_json("sessions")})
        self.refused(409, None, "POST", f"/btis/{bti}/revoke")
        self.refused(404, None, "POST", f"/btis/{'0' * 32}/revoke")
        self.assertEqual(self.api.get(f"/btis?line_id={phone.line}&revoked=false")["items"], [])

    # ---- services
    def test_services_and_profiles(self):
        number, far = self.number(), self.number()
        line = self.line(number)["line_id"]
        path = f"/lines/{line}/services"
        record = self.api.patch(path, {"forward_busy": far, "no_answer_s": 30, "caller_id": True})
        self.assertEqual((record["forward_busy"], record["no_answer_s"], record["caller_id"]), (far, 30, True))
        record = self.api.patch(path, {"forward_busy": None, "no_answer_s": 20})
        self.assertEqual((record["forward_busy"], record["no_answer_s"], record["caller_id"]), (None, 20, True))
        etag = self.etag(path)
        self.stack.sql(f"SELECT core.set_line_service({line}, 'forward_always', '{far}')", "hg_gc")  # *72, at the phone
        self.assertEqual(self.api.ask("PATCH", path, {"private": True}, headers=etag).status, 412)
        self.assertEqual(self.api.get(path)["forward_always"], far)

        profile = made(self.api, "/feature-profiles", {"name": "office", "services": {"reject_anonymous": True, "forward_always": "off"}}).json
        self.refused(409, "/name", "POST", "/feature-profiles", {"name": "office", "services": {}})
        other = self.line()["line_id"]
        apply = f"/feature-profiles/{profile['profile_id']}/apply"
        self.assertEqual(self.api.post(apply, {"line_ids": [other, line]}), {"lines": 2})
        record = self.api.get(path)
        self.assertEqual((record["reject_anonymous"], record["forward_always"], record["caller_id"]), (True, None, True))
        self.assertEqual(self.api.get("/feature-profiles?name=office")["items"], [profile])
        changed = self.api.patch(f"/feature-profiles/{profile['profile_id']}", {"services": {"forward_always": None, "forward_busy": number}})
        self.assertEqual(changed["services"], {"reject_anonymous": True, "forward_busy": number})
        self.refused(422, "/line_ids/1/forward_busy", "POST", apply, {"line_ids": [other, line]})
        self.refused(422, "/line_ids/1", "POST", apply, {"line_ids": [other, 99999]})
        self.assertEqual(self.api.get(f"/lines/{other}/services")["forward_busy"], None)
        self.api.ask("DELETE", f"/feature-profiles/{profile['profile_id']}", headers={"If-Match": "*"}, expect=204)
        self.assertTrue(self.api.get(path)["reject_anonymous"])

    # ---- secrets that are shown once
    def test_a_work_order_enrols_and_is_told_once(self):
        number = self.number()
        line = self.line(number)["line_id"]
        order = made(self.api, "/work-orders", {"line_id": line, "hours": 1}).json
        digits, path = order.pop("number"), f"/work-orders/{order['work_order_id']}"
        self.assertRegex(digits, r"^\d{12}$")
        self.assertEqual((order["hint"], order["state"]), (digits[-2:], "open"))
        self.assertEqual(self.api.get(path), order)
        self.assertEqual(self.api.get(f"/work-orders?line_id={line}&state=open")["items"], [order])
        self.stack.bti("w-api", self.stack.net + "22").enroll(digits)
        spent = self.api.get(path)
        self.assertEqual((spent["state"], spent["spent_by"]), ("spent", self.api.get(f"/btis?line_id={line}")["items"][0]["bti_id"]))
        self.refused(409, None, "POST", f"{path}/cancel")
        other = self.api.post("/work-orders", {"line_id": line})
        self.assertEqual(self.api.post(f"/work-orders/{other['work_order_id']}/cancel")["state"], "cancelled")
        self.refused(409, None, "POST", f"/work-orders/{other['work_order_id']}/cancel")
        self.nowhere(digits, other["number"])

    def nowhere(self, *secrets):
        """Neither in a log nor in the audit log nor kept as an answer."""
        kept = self.stack.sql("SELECT coalesce(before::text, '') || coalesce(after::text, '') FROM core.audit") + \
            self.stack.sql("SELECT answer FROM core.idempotency")
        for d in self.stack.daemons.values():
            kept += open(d.log, encoding="utf-8", errors="replace").read()
        for secret in secrets:
            self.assertNotIn(secret, kept)

    def register(self, ip, number, user, password):
        """Final status of a REGISTER with that password (RFC 8760), by a gate controller that goes by what is written now."""
        self.stack.ctl("--wait", "line", "list")
        wire = self.closing(Wire(ip, (self.stack.gc_ip, 5060)))
        uri, me = f"sip:{self.stack.domain}", f"sip:{number}@{self.stack.domain}"

        def ask(cseq, *headers):
            wire.send(sip_request("REGISTER", uri, wire.address, list(headers), cseq=cseq, sender=me).replace(f"To: <{uri}>".encode(), f"To: <{me}>".encode()))
            while True:
                octets = wire.receive(5)
                if octets is None or octets[8:9] != b"1":
                    return (octets or b"SIP/2.0 000").decode()
        challenge = ask(1)

        said = dict(re.findall(r'(\w+)="?([^",\r]*)"?', re.search(r"WWW-Authenticate: Digest (.*algorithm=SHA-256.*)", challenge)[1]))

        def h(*parts):
            return hashlib.sha256(":".join(parts).encode()).hexdigest()
        answer = h(h(user, said["realm"], password), said["nonce"], "00000001", "c0ffee", "auth", h("REGISTER", uri))
        return int(ask(2, f'Authorization: Digest username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{uri}", qop=auth, '
                       f'nc=00000001, cnonce="c0ffee", algorithm=SHA-256, response="{answer}"')[8:11])

    def test_credentials_prove_a_phone(self):
        number, phone = self.number(), self.stack.net + "23"
        line = self.line(number)["line_id"]
        answer = made(self.api, "/credentials", {"username": "desk1", "line_id": line, "algorithms": ["SHA-256", "MD5"]})
        self.assertEqual(answer.headers["Location"], "/api/v1/credentials/desk1")
        password = answer.json.pop("password")
        self.assertRegex(password, r"^[a-z2-9]{20}$")
        self.assertEqual((answer.json["algorithms"], answer.json["realm"]), (["SHA-256", "MD5"], self.stack.domain))
        given = made(self.api, "/credentials", {"username": "desk2", "line_id": line, "password": "correct horse battery"})
        self.assertNotIn("password", given.json)
        self.assertIn(f"line {line}", self.refused(409, "/username", "POST", "/credentials", {"username": "desk1", "line_id": line}))
        self.assertEqual(self.register(phone, number, "desk1", password), 200)
        self.assertEqual(self.register(phone, number, "desk2", "correct horse battery"), 200)
        self.assertEqual([c["username"] for c in self.api.get(f"/credentials?line_id={line}")["items"]], ["desk1", "desk2"])
        self.assertTrue(self.api.patch("/credentials/desk1", {"disabled": True})["disabled"])
        self.assertIn(self.register(phone, number, "desk1", password), (401, 403))
        self.assertEqual([c["username"] for c in self.api.get(f"/credentials?line_id={line}&disabled=true")["items"]], ["desk1"])
        self.api.patch("/credentials/desk1", {"disabled": False})
        self.assertEqual(self.register(phone, number, "desk1", password), 200)
        for user in ("desk1", "desk2"):
            self.api.ask("DELETE", f"/credentials/{user}", headers={"If-Match": "*"}, expect=204)
        self.nowhere(password, "correct horse battery")


class Away(StackTest):
    """Parts that do not answer."""

    @classmethod
    def prepare(cls, stack):
        cls.api = stack.api()
        cls.account = cls.api.post("/accounts", {"name": "Example Bakery"})["account_id"]

    def test_the_database_stops(self):
        one = self.closing(telephone(self.stack, "+12125550101", self.stack.net + "20"))
        two = self.closing(telephone(self.stack, "+12125550102", self.stack.net + "21"))
        two.register()
        halted = self.stack.halt("postgres")
        try:
            asks = (("GET", "/lines", None), ("POST", "/accounts", {"name": "Nobody"}), ("GET", "/cdrs/export", None), ("GET", "/traces", None))
            for answer in at_once(*(lambda a=a: self.api.ask(*a, expect=503) for a in asks)):
                self.assertGreater(int(answer.headers["Retry-After"]), 0)
            call = one.invite("+12125550102", SDP)
            two.send(two.response_message(two.expect_request("INVITE"), 200, "OK", body=SDP))
            self.assertEqual(one.final(call).status, 200)
            one.send(one.bye_message(call.dialog))
            two.send(two.response_message(two.expect_request("BYE"), 200, "OK"))
        finally:
            self.stack.go_on(halted)
        wait_for("the API to be back", lambda: self.api.ask("GET", "/lines").status == 200)
        self.assertEqual(self.api.get("/accounts?name=Nobody")["items"], [])

    def test_no_gate_to_seal(self):
        line = self.api.post("/lines", {"account_id": self.account})["line_id"]
        self.stack.daemons["gc1"].stop()
        try:
            answer = self.api.ask("POST", "/credentials", {"username": "desk1", "line_id": line}, expect=503)
            self.assertEqual(answer.json["type"], "https://headgate.invalid/problems/no-gate")
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
        finally:
            self.stack.daemons["gc1"].start().ready()
        self.assertEqual(self.stack.sql("SELECT count(*) FROM core.credential"), "0")

