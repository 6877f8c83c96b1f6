"""Officers at their command line: headgatectl li, over the network with certificates, at the socket as a user of the machine."""
import json
import os
import socket
import stat
import subprocess
import threading

import lilib
from hglib import UnixHttp, wait_for
from lawful import LiTest

NUMBER, CASE = "+12125550199", "SECRET-CASE-7"


class Officers(LiTest):
    @classmethod
    def prepare(cls, stack):
        for name in ("anna", "bert", "cecil"):
            lilib.officer_config(stack, name)
        stack.write("dora.yaml", f"""
admin:
  token_file: "{stack.path('admin.token')}"
li:
  socket: "{stack.path('li.sock')}"
""")
        stack.write("admin.token", "for.headgate-admin\n")
        os.chmod(stack.path("admin.token"), 0o600)
        stack.write("nobody.yaml", 'li:\n  socket: "/nowhere/at/all"\n')
        subprocess.run(["openssl", "pkey", "-in", stack.path("record.key"), "-pubout", "-out", stack.path("record.pem")], check=True,
                       capture_output=True)
        form = {"name": "green", "contact": "duty desk", "cdc": {"address": "127.0.0.1:9", "plain": True}}
        cls.green = cls.li_json("dora", "agency-add", "-", said=form)["agency"]

    @classmethod
    def li(cls, who, *words, said=None, check=True):
        """What `headgatectl li` of that officer says; with check False (exit code, stdout, stderr)."""
        done = subprocess.run([cls.stack.bin / "headgatectl", "--config", cls.stack.path(f"{who}.yaml"), *words], text=True, timeout=60,
                              input=said if isinstance(said, str) else json.dumps(said), capture_output=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{words}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout if check else (done.returncode, done.stdout, done.stderr)

    @classmethod
    def li_json(cls, who, *words, said=None):
        return json.loads(cls.li(who, "-o", "json", "li", *words, said=said))

    def order_form(self, **more):
        return {"agency": self.green, "case_id": CASE, "type": "content", "target": {"number": NUMBER}, "starts_at": self.when(-60),
                "ends_at": self.when(3600), "presented_by": "Officer One", "signed_by": "Judge Two", "responsible": "Clerk Three", **more}

    def entered(self, who="anna", **more):
        return str(self.li_json(who, "enter", "-", said=self.order_form(**more))["order"])

    def refused(self, code, said, who, *words, text=None):
        got, out, err = self.li(who, "li", *words, said=text, check=False)
        self.assertEqual((got, out), (code, ""), err)
        self.assertIn(said, err)
        return err

    def test_an_order_from_its_form_to_its_end(self):
        form = json.loads(self.li("anna", "li", "form", "order"))
        self.assertEqual(set(form), set(self.order_form()))
        self.stack.write("order.json", json.dumps({**form, **self.order_form(case_id="FORM-1")}))
        shown = self.li("anna", "li", "enter", self.stack.path("order.json"))
        self.assertIn(f"state: entered\nagency: {self.green}\ncase_id: FORM-1\n", shown)
        self.assertIn(f"target: number {NUMBER}\n", shown)
        order = shown.split("\n", maxsplit=1)[0].removeprefix("order: ")
        err = self.refused(1, "nobody approves what he entered himself", "anna", "approve", order)
        self.assertIn("/entered_by: is the one who would approve it", err)
        self.assertIn("state: active\n", self.li("dora", "li", "approve", order))
        self.assertRegex(self.li("bert", "li", "orders", "--state", "active"), rf"(?m)^{order} +active +content +number \{NUMBER} ")
        self.assertEqual(self.li_json("bert", "orders", "--agency", "99"), [])
        wait_for("the delivery", lambda: int(order) in [d["order"] for d in self.li_json("bert", "state")["deliveries"]])
        self.assertRegex(self.li("bert", "li", "state"), rf"(?ms)^tap: yes\n.*^{order} +cdc +no ")
        self.assertEqual(self.li_json("bert", "end", order, "--reason", "-", said="the court said so\n")["reason"], "the court said so")
        self.assertIn("/state: it is over", self.refused(1, "it is not in the state for that", "bert", "end", order, "--reason", "again"))
        self.assertEqual([(o["state"], o["ended_by"]) for o in self.li_json("anna", "orders") if str(o["order"]) == order],
                         [("over", "bert")])
        events = self.li_json("bert", "events")
        self.assertEqual([(e["who"], e["action"]) for e in events if e["object"] == f"order:{order}"],
                         [("anna", "order entered"), ("anna", "own order not approved"), ("dora", "order approved"), ("bert", "order ended")])
        self.assertEqual(self.li_json("bert", "events", "--after", str(events[-1]["seq"])), [])

    def test_a_refused_order_and_words_for_what_is_wrong(self):
        order = self.entered()
        self.refused(64, "--reason: why", "bert", "refuse", order)
        self.assertEqual(self.li_json("bert", "refuse", order, "--reason", "signed by nobody")["state"], "refused")
        err = self.refused(64, "the form cannot be taken", "anna", "enter", "-",
                           text=json.dumps(self.order_form(target={"number": "12125550101"}, signed_by="")))
        self.assertIn("/target/number: an E.164 number with its +", err)
        self.assertIn("/signed_by: ", err)
        self.refused(64, "no JSON object", "anna", "enter", "-", text="[]")
        self.refused(64, "-:1:", "anna", "enter", "-", text="{")
        self.refused(1, "no order 999", "anna", "approve", "999")
        self.refused(64, "order is a positive number", "anna", "order", "x")
        self.refused(64, "headgate-li knows no tokens", "dora", "state", "--token-file", "/x")

    def test_only_officers_and_each_by_his_own_proof(self):
        for words in (("orders",), ("state",), ("events",)):
            err = self.refused(1, "no officer that we know", "cecil", *words)
            self.assertIn("an officer: by a client certificate, or at the socket by his own user", err)
        self.refused(69, "is headgate-li running?", "dora", "state", "--socket", self.stack.path("nobody.sock"))

    def heard(self, *words):
        """The head of what headgatectl asks at a socket of the test's own."""
        path, heads = self.stack.path("ear.sock"), []
        ear = socket.socket(socket.AF_UNIX)
        ear.bind(path)
        ear.listen(1)
        ear.settimeout(20)

        def hear():
            with ear.accept()[0] as peer:
                heads.append(peer.recv(65536).decode())
                peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        thread = threading.Thread(target=hear)
        thread.start()
        self.li("dora", "--socket", path, *words, check=False)
        thread.join(20)
        ear.close()
        os.unlink(path)
        return heads[0]

    def test_credentials_of_one_server_never_go_to_the_other(self):
        asked = self.heard("li", "orders")
        self.assertEqual(asked.split(" HTTP")[0], "GET /li/v1/orders")
        self.assertNotIn("authorization", asked.lower())
        asked = self.heard("whoami")
        self.assertEqual(asked.split(" HTTP")[0], "GET /api/v1/me")
        self.assertIn("Authorization: Bearer for.headgate-admin", asked)

    # ---- the document
    def test_the_document_and_the_server_take_the_same_forms(self):
        self.done("anna", "GET", "openapi.json")
        socket_of = UnixHttp(self.stack.path("li.sock"))
        self.addCleanup(socket_of.close)
        operations = {(o.method, o.path): o for o in self.document.operations}
        for path, vary in (("agencies", {}), ("orders", {"agency": self.green})):
            operation = operations["POST", "/" + path]
            good = {**operation.examples[0], **vary, **({"ends_at": self.when(3600)} if path == "orders" else {})}
            forms = [{**good}, {**good, "more": 1}]
            for name in operation.schema["properties"]:
                forms.append({k: v for k, v in good.items() if k != name})
                forms += [{**good, name: odd} for odd in (None, 0, -1, True, "", "x", "x" * 201, [], {}, {"x": 1}, {"address": 5})]
            for i, form in enumerate(forms):
                if path == "agencies" and form.get("name", "") == good.get("name"):
                    form["name"] = f"agency {i}"
                socket_of.request("POST", f"/li/v1/{path}", json.dumps(form), {"Content-Type": "application/json"})
                answer = socket_of.getresponse()
                status, answer = answer.status, json.loads(answer.read())
                faults = self.document.errors(operation.schema, form)
                with self.subTest(path=path, form=form):
                    self.assertIn(status, (201, 422))
                    self.assertFalse(faults and status == 201, f"taken, and not as documented: {faults}")
                    if not faults and status == 422:  # what no schema can say
                        self.assertTrue({e["pointer"] for e in answer["errors"]} <= {"/cdc", "/agency", "/docket"}, answer)

    def test_a_page_of_another_site_can_ask_for_nothing(self):
        order = self.entered()
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
            at_socket = UnixHttp(self.stack.path("li.sock"))
            at_socket.request("POST", f"/li/v1/orders/{order}/approve", "{}", {"Content-Type": kind} if kind else {})
            answer = at_socket.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["status"]), (415, 415))
            at_socket.close()
        self.assertEqual(self.li_json("bert", "order", order)["state"], "entered")
        self.assertEqual(self.li_json("bert", "approve", order)["state"], "active")

    def test_its_configuration_is_checked(self):
        self.assertIn("program: headgate-li\nverdict: good\n", self.li("dora", "config", "check", self.stack.path("li.yaml")))

    # ---- agencies
    def test_an_agency_changes_when_two_officers_say_so(self):
        form = {"name": "grey", "contact": "duty desk", "cdc": {"address": "127.0.0.1:9", "plain": True}}
        grey = str(self.li_json("anna", "agency-add", "-", said=form)["agency"])
        shown = self.li("anna", "li", "agency-change", grey, "-", said={"version": 3, "cdc": {"address": "127.0.0.1:10", "plain": True}})
        self.assertIn('version: 4\ncdc: 127.0.0.1:9 plain\n', shown)
        self.assertIn('proposed: 1 by anna: change {"cdc": {"address": "127.0.0.1:10", "plain": true}, "version": 3}\n', shown)
        self.refused(1, "nobody approves what he entered himself", "anna", "agency-approve", grey, "1")
        self.refused(1, "/change: no proposal of that number waits", "bert", "agency-approve", grey, "2")
        self.refused(1, "another proposal waits", "bert", "agency-change", grey, "-", text='{"contact": "x"}')
        self.assertIn("version: 3\ncdc: 127.0.0.1:10 plain\n", self.li("bert", "li", "agency-approve", grey, "1"))
        err = self.refused(64, "the form cannot be taken", "bert", "agency-change", grey, "-", text='{"cdc": {"address": "192.0.2.1:9"}}')
        self.assertIn("/cdc/tls_name: ", err)
        self.li("bert", "li", "agency-change", grey, "-", said={"contact": "x"})
        self.assertEqual(self.li_json("bert", "agency-refuse", grey, "2", "--reason", "a mistake")["history"][1]["refusal"], "a mistake")
        order = self.entered(agency=int(grey))
        self.li("anna", "li", "agency-retire", grey, "--reason", "merged")
        self.refused(1, "not all of its orders are over", "bert", "agency-approve", grey, "3")
        self.li("bert", "li", "refuse", order, "--reason", "moved")
        self.assertTrue(self.li_json("bert", "agency-approve", grey, "3")["retired_at"])
        self.assertRegex(self.li("bert", "li", "agencies"), rf"(?m)^{grey} +grey +3 +127.0.0.1:10 plain +- +2\d{{3}}-")
        self.assertIn("/agency: the agency is retired",
                      self.refused(64, "the form", "anna", "enter", "-", text=json.dumps(self.order_form(agency=int(grey)))))
        told = [(e["who"], e["action"]) for e in self.li_json("bert", "events") if e["object"] == f"agency:{grey}"]
        self.assertEqual(told, [("anna", "agency entered"), ("anna", "change of agency proposed"), ("anna", "own proposal not approved"),
                                ("bert", "proposal for agency approved"), ("bert", "change of agency proposed"),
                                ("bert", "proposal for agency refused"), ("anna", "end of agency proposed"),
                                ("bert", "proposal for agency approved")])

    def test_an_act_upon_what_another_node_changed_is_lost_by_nobody(self):
        order = self.entered()
        sealed = self.sealed(order)
        self.li("bert", "li", "approve", order)
        approved = self.sealed(order)
        for octets, state in ((sealed, "entered"), (approved, "active")):  # everything is read that was written so far
            self.seal(order, octets, "version = nextval('item_version'),")
            wait_for(state, lambda state=state: self.li_json("bert", "order", order)["state"] == state)
        self.seal(order, sealed)  # as if another node had written what this one has not read yet
        self.refused(1, "somebody else was quicker: look again", "bert", "end", order, "--reason", "x")
        self.assertEqual(self.sealed(order), sealed)
        self.seal(order, approved)
        self.assertEqual(self.li_json("bert", "end", order, "--reason", "x")["state"], "over")

    def test_a_log_that_was_tampered_with(self):
        self.entered()
        rows = self.li_json("bert", "events")
        head = f"{rows[-1]['seq']}:{rows[-1]['hash']}"
        self.entered()
        self.li("bert", "li", "events", "--head", head)
        self.refused(1, "is another one", "bert", "events", "--head", f"{rows[0]['seq']}:{rows[-1]['hash']}")
        self.refused(1, "taken off the end", "bert", "events", "--head", f"99999:{rows[-1]['hash']}")
        self.refused(64, "--head SEQ:HASH", "bert", "events", "--head", "x")
        change = "ALTER TABLE event DISABLE TRIGGER ALL; UPDATE event SET at = at {} interval '1 hour' WHERE seq = 1"
        self.li_sql(change.format("+"))
        try:
            code, out, err = self.li("bert", "li", "events", check=False)
            self.assertEqual((code, out.split()[:2]), (1, ["seq", "at"]))
            self.assertIn("the log is not sound", err)
        finally:
            self.li_sql(change.format("-") + "; ALTER TABLE event ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_all")
        self.li("bert", "li", "events")

    def li_sql(self, text):
        return subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.stack.pg_host), "-U", "headgate", "-d", "headgate_li",
                               "-c", text], check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    def sealed(self, order):
        return self.li_sql(f"SELECT encode(sealed, 'hex') FROM item WHERE kind = 'order' AND id = {order}")

    def seal(self, order, octets, more=""):
        self.li_sql(f"UPDATE item SET {more} sealed = decode('{octets}', 'hex') WHERE kind = 'order' AND id = {order}")

    def test_a_certified_record_is_verified_without_anybody(self):
        order = self.entered(case_id="RECORD-1", presented_by="Officer Müller")
        path, key = self.stack.path("case.record"), self.stack.path("record.pem")
        self.li("bert", "li", "record", order, "--file", path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.refused(1, "exists", "bert", "record", order, "--file", path)
        self.assertEqual(self.li("nobody", "li", "verify", path, "--key", key).split("\n")[0], "signed, and unaltered")
        said = json.loads(self.li("nobody", "-o", "json", "li", "verify", path, "--key", key))
        self.assertEqual((said["order"], said["case_id"], said["agency"], said["certified_by"]), (order, "RECORD-1", "green", "bert"))
        with open(path, encoding="utf-8") as f:
            good = json.load(f)
        altered = {"record": {**good["record"], "certified_by": "anna"}, "signature": good["signature"], "public_key": good["public_key"]}
        for name, record in (("altered", altered), ("unsigned", {"record": good["record"]}), ("empty", {}), ("list", []),
                             ("half", {**good, "signature": good["signature"][:64]})):
            with self.subTest(name):
                self.refused(1, "not what the owner of that key signed", "nobody", "verify", "-", "--key", key, text=json.dumps(record))
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.stack.path("o.key")],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", self.stack.path("o.key"), "-pubout", "-out", self.stack.path("o.pem")], check=True,
                       capture_output=True)
        self.refused(1, "not what the owner of that key signed", "nobody", "verify", path, "--key", self.stack.path("o.pem"))
        self.refused(64, "--key: ", "nobody", "verify", path)
        self.refused(64, "no P-256 public key in PEM", "nobody", "verify", path, "--key", path)
