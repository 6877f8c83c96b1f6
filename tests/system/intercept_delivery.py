"""Lawful intercept through the real daemons: what the order says, to whom it says, and nothing of anybody else."""
import hashlib
import json
import time

from hglib import Failed, wait_for
from lawful import Agency, LiTest
from stacked import SDP, at_once, telephone

ALICE, BOB, CAROL = "+12125550101", "+12125550102", "+12125550103"


class Delivery(LiTest):
    gc_settings = {"tap.bytes": 262144}  # the least: what was written some hundred calls ago is gone

    @classmethod
    def prepare(cls, stack):
        cls.alice, cls.bob, cls.carol = at_once(
            *[lambda n=n, i=i, t=t: stack.enrolled(n, f"{stack.net}{i}", t)
              for n, i, t in (("alice", 11, ALICE), ("bob", 12, BOB), ("carol", 13, CAROL))])
        cls.blue = cls.agency("blue", 21, x2=True)
        cls.red = cls.agency("red", 22)

    def talk(self, a, b, number, *words):
        ear = self.stopping(b.listen(*words))
        call = self.stopping(a.call(number, "--duration", "1", *words))
        self.assertEqual(call.exit(), 0)
        ear.wait("ended")
        ear.stop()
        return call

    def line_of(self, number):
        return int(self.stack.sql(f"SELECT line_id FROM core.number WHERE number = '{number}'"))

    def test_a_call_is_delivered_with_the_key_of_its_media(self):
        order = self.order(self.blue, {"line": self.line_of(ALICE)}, case="BLUE-1")
        self.talk(self.alice, self.bob, BOB, "--transport", "tls")
        self.blue.wait_for("Release", "BLUE-1")
        said = [m for m in self.blue.said if m["channel"] == "cdc" and m["case"] == "BLUE-1"]
        kinds = [m["kind"] for m in said if m["kind"] not in ("SubjectSignal", "MediaReport")]
        self.assertEqual([k for k in kinds if k != "NetworkSignal"], ["Origination", "Answer", "CCOpen", "CCClose", "Release"])
        by = {m["kind"]: m for m in said}
        self.assertEqual((by["Origination"]["calling"], by["Origination"]["dialled"]), (ALICE[1:], BOB))
        self.assertEqual(by["Answer"]["answering"], BOB[1:])
        self.assertEqual(len({m["call"] for m in said if m["call"]}), 1, "one call id in all of them")
        self.assertTrue(by["CCOpen"]["subject_key"] and by["CCOpen"]["associate_key"])
        self.assertEqual(by["CCOpen"]["content"], by["CCClose"]["content"])
        wait_for("the subject's BYE by X2", lambda: any(m["sip"].startswith("BYE ") for m in self.blue.said if m["channel"] == "x2"))
        copies = [m["sip"].split("\r\n")[0] for m in self.blue.said if m["channel"] == "x2"]
        self.assertTrue(any(c.startswith("INVITE ") for c in copies) and "SIP/2.0 200 OK" in copies, copies)
        self.assertEqual(self.red.said, [])
        self.end(order)

    def test_a_pen_register_has_no_keys_and_no_incoming_calls(self):
        order = self.order(self.red, {"sip_uri": f"sip:{CAROL}@{self.stack.domain};user=phone"}, "pen_register", "RED-1")
        self.talk(self.carol, self.alice, ALICE, "--transport", "tls")
        self.talk(self.alice, self.carol, CAROL, "--transport", "tls")
        self.red.wait_for("Release", "RED-1")
        self.end(order)
        wait_for("the delivery to end", lambda: self.done("bert", "GET", f"orders/{order}")["state"] == "over")
        said = [m for m in self.red.said if m["case"] == "RED-1"]
        self.assertEqual(self.red.kinds("RED-1").count("Origination"), 1)
        self.assertFalse({"CCOpen", "TerminationAttempt"} & set(self.red.kinds("RED-1")))
        self.assertNotIn("inline:", json.dumps(said))
        self.assertTrue(any(m["subject_sdp"] for m in said), "the session descriptions themselves are call data")

    def test_two_agencies_on_one_subject_see_their_own_case(self):
        one = self.order(self.blue, {"line": self.line_of(BOB)}, case="BLUE-2")
        two = self.order(self.red, {"line": self.line_of(BOB)}, case="RED-2")
        self.talk(self.bob, self.carol, CAROL, "--transport", "tls")
        contents = []
        for agency, case, other in ((self.blue, "BLUE-2", "RED-2"), (self.red, "RED-2", "BLUE-2")):
            agency.wait_for("Release", case)
            self.assertNotIn(other, json.dumps(agency.said))
            contents += [m["content"] for m in agency.said if m.get("kind") == "CCOpen" and m["case"] == case]
        self.assertEqual(len(set(contents)), 2)
        self.end(one)
        self.end(two)

    def test_an_agency_that_is_away_gets_it_later_in_order(self):
        order = self.order(self.red, {"line": self.line_of(CAROL)}, case="RED-3")
        self.red.kill()
        for _ in range(2):
            self.talk(self.carol, self.bob, BOB, "--transport", "udp")
        wait_for("the delivery to be down", lambda: any(d["order"] == order and not d["up"] and d["spooled"] > 8
                                                        for d in self.done("anna", "GET", "state")["deliveries"]))
        self.red.start()
        self.red.wait_for("Release", "RED-3", 2)
        at = [m["at"] for m in self.red.said if m["case"] == "RED-3"]
        self.assertEqual(at, sorted(at))
        self.end(order)

    def test_a_killed_headgate_li_goes_on_where_it_was(self):
        order = self.order(self.blue, {"line": self.line_of(ALICE)}, case="BLUE-4")
        ear = self.stopping(self.carol.listen("--transport", "tls"))
        call = self.stopping(self.alice.call(CAROL, "--duration", "60", "--transport", "tls"))
        self.blue.wait_for("CCOpen", "BLUE-4")
        self.stack.daemons["li"].kill()
        call.stop()
        ear.wait("ended")
        self.stack.daemons["li"].start().ready()
        self.blue.wait_for("Release", "BLUE-4")
        kinds = [m["kind"] for m in self.blue.said if m.get("case") == "BLUE-4"]
        first = list(dict.fromkeys(k for k in kinds if k in ("Origination", "Answer", "CCOpen", "CCClose", "Release")))
        self.assertEqual(first, ["Origination", "Answer", "CCOpen", "CCClose", "Release"])
        opened = {m["content"] for m in self.blue.said if m.get("kind") in ("CCOpen", "CCClose") and m["case"] == "BLUE-4"}
        self.assertEqual(len(opened), 1, "the same content id before and after")
        self.end(order)

    def test_an_agency_that_moves_gets_what_waits_at_its_new_place(self):
        mauve = self.agency("mauve", 23, tls=False)
        order = self.order(mauve, {"line": self.line_of(BOB)}, case="MAUVE-1")
        self.talk(self.bob, self.carol, CAROL, "--transport", "udp")
        mauve.wait_for("Release", "MAUVE-1")
        mauve.stop()
        self.talk(self.bob, self.carol, CAROL, "--transport", "udp")
        moved = Agency(self.stack, "moved", f"{self.stack.net}24", tls=False)
        self.addCleanup(moved.stop)
        self.done("anna", "POST", f"agencies/{mauve.id}/change", {"cdc": {"address": f"{moved.ip}:9900", "plain": True}})
        self.assertEqual(moved.said, [])
        self.done("bert", "POST", f"agencies/{mauve.id}/approve", {"change": 1})
        released = lambda: {m["call"] for a in (mauve, moved) for m in a.said if m["kind"] == "Release"}
        wait_for("what waited, at the new place", lambda: len(released()) == 2)
        self.talk(self.bob, self.carol, CAROL, "--transport", "udp")
        wait_for("the call after the move", lambda: len(released()) == 3)
        at = [m["at"] for m in moved.said]
        self.assertEqual(at, sorted(at))
        self.end(order)

    def test_a_call_that_began_before_all_that_the_tap_still_has(self):
        order = self.order(self.blue, {"line": self.line_of(ALICE)}, case="BLUE-5")
        phone = telephone(self.stack, "+12125550177", f"{self.stack.net}77")
        ear = self.stopping(self.carol.listen("--transport", "tls"))
        call = self.stopping(self.alice.call(CAROL, "--duration", "60", "--transport", "tls"))
        self.blue.wait_for("CCOpen", "BLUE-5")
        state, told = self.stack.folder / "li.position.calls", time.time()
        phone.transact(phone.invite_message(ALICE), 5)  # another call of the order: there is something to keep again
        wait_for("the call to be kept as it was told", lambda: state.exists() and state.stat().st_mtime > told)
        self.stack.daemons["li"].kill()
        self.assertNotIn(ALICE[1:].encode(), state.read_bytes())
        written = 0
        for _ in range(3000):  # 503: more than the gate takes of one phone at a time
            written += phone.transact(phone.invite_message("+19999999999", extra=[("X-Long", "x" * 3000)]), 5).status == 404
            if written == 300:
                break
        self.assertEqual(written, 300)
        self.stack.daemons["li"].start().ready()
        call.stop()
        ear.wait("ended")
        self.blue.wait_for("Release", "BLUE-5")
        self.assertEqual({m["content"] for m in self.blue.said if m.get("kind") == "CCOpen" and m["case"] == "BLUE-5"},
                         {m["content"] for m in self.blue.wait_for("CCClose", "BLUE-5")})
        self.end(order)

    def test_a_silent_database_stops_officers_and_no_delivery(self):
        order = self.order(self.blue, {"line": self.line_of(CAROL)}, case="SILENT-1")
        self.talk(self.carol, self.bob, BOB, "--transport", "udp")  # from here on both have sessions
        ear = self.stopping(self.bob.listen("--transport", "udp"))
        halted = self.stack.halt("postgres")
        try:
            status, answer = self.officer("anna", "POST", "orders", self.form(self.blue, {"line": 1}))
            self.assertEqual((status, answer["title"]), (503, "the database is away: nothing was changed"))
            self.assertEqual(self.officer("bert", "POST", f"orders/{order}/end", {"reason": "x"})[0], 503)
            self.assertEqual(self.done("bert", "GET", f"orders/{order}")["state"], "active")
            call = self.stopping(self.carol.call(BOB, "--duration", "1", "--transport", "udp"))
            self.assertEqual(call.exit(), 0)
            self.blue.wait_for("Release", "SILENT-1", 2)
            wait_for("it to be seen", lambda: not self.done("bert", "GET", "state")["database"])
        finally:
            self.stack.go_on(halted)
        ear.stop()
        wait_for("the database again", lambda: self.done("bert", "GET", "state")["database"])
        self.end(order)

    def test_a_call_into_which_the_subject_transfers_its_other_end(self):
        a, b, c = at_once(*[lambda i=i: telephone(self.stack, f"+1212555018{i}", f"{self.stack.net}8{i}") for i in range(3)])
        for phone in (a, b, c):
            self.assertEqual(phone.register().status, 200)
        order = self.order(self.blue, {"number": a.number}, case="BLUE-6")
        first = a.invite(b.number, SDP)
        b.send(b.response_message(b.expect_request("INVITE"), 200, "OK", to_tag="b", body=SDP))
        self.assertEqual(a.final(first).status, 200)
        self.assertIsNotNone(b.expect_request("ACK"))
        refer = a.in_dialog_message("REFER", first.dialog, [("Refer-To", f"<{c.aor()}>")])
        a.send(refer)
        b.send(b.response_message(b.expect_request("REFER"), 202, "Accepted"))
        self.assertEqual(a.expect_response(refer).status, 202)
        second = b.invite(c.number, SDP.replace(b"40000", b"40002"))
        c.send(c.response_message(c.expect_request("INVITE"), 200, "OK", to_tag="c", body=SDP.replace(b"40000", b"50002")))
        self.assertEqual(b.final(second).status, 200)
        self.blue.wait_for("CCOpen", "BLUE-6", 2)
        for caller, callee, call in ((a, b, first), (b, c, second)):
            bye = caller.bye_message(call.dialog)
            caller.send(bye)
            callee.send(callee.response_message(callee.expect_request("BYE"), 200, "OK"))
            self.assertEqual(caller.expect_response(bye).status, 200)
        self.blue.wait_for("Release", "BLUE-6", 2)
        said = [m for m in self.blue.said if m["channel"] == "cdc" and m["case"] == "BLUE-6"]
        redirection = next(m for m in said if m["kind"] == "Redirection")
        old, new = redirection["call"], next(m["call"] for m in said if m["call"] not in (None, "", redirection["call"]))
        by = {call: [m["kind"] for m in said if m["call"] == call] for call in (old, new)}
        self.assertEqual(by[old], ["Origination", "Answer", "CCOpen", "SubjectSignal", "Redirection", "Release"])
        self.assertEqual(by[new], ["Answer", "CCOpen", "Release"])
        self.assertEqual((redirection["redirected_from"], redirection["redirected_to"]), (a.number[1:], c.number[1:]))
        opened = {m["call"]: m for m in said if m["kind"] == "CCOpen"}
        self.assertIn("50002", opened[new]["subject_sdp"])
        self.assertEqual({m["content"] for m in said if m["kind"] == "CCClose"}, {m["content"] for m in opened.values()})
        copies = [m["sip"] for m in self.blue.said if m["channel"] == "x2" and second.request.call_id in m["sip"]]
        self.assertEqual(copies, [], "the subject is not in the second call")
        self.end(order)

    # ---- officers
    def refused(self, name, body, pointer, path="orders"):
        status, answer = self.officer(name, "POST", path, body)
        self.assertEqual(status, 422, answer)
        self.assertIn(pointer, [e["pointer"] for e in answer["errors"]])

    def test_forms_that_lack_something_or_contradict_themselves(self):
        form = self.form(self.blue, {"line": 1})
        for field in ("agency", "case_id", "type", "target", "starts_at", "ends_at", "presented_by", "signed_by", "responsible"):
            with self.subTest(missing=field):
                self.refused("anna", {k: v for k, v in form.items() if k != field}, "/" + field)
        for field, value in (("ends_at", self.when(-3600)), ("ends_at", form["starts_at"]), ("target", {"line": 1, "number": ALICE}),
                             ("type", "all"), ("case_id", "x" * 26), ("agency", 99), ("digits", "yes"), ("more", 1)):
            with self.subTest(field=field, value=value):
                self.refused("anna", {**form, field: value}, "/" + field)
        self.refused("anna", {**form, "target": {"number": "12125550101"}}, "/target/number")
        self.refused("anna", {"name": "x", "contact": "y", "cdc": {"address": "192.0.2.1:9", "plain": True}}, "/cdc/plain", "agencies")

    def test_nobody_activates_alone_and_strangers_learn_nothing(self):
        form = self.form(self.blue, {"line": 1})
        order = self.done("anna", "POST", "orders", form)["order"]
        self.assertEqual(self.officer("anna", "POST", f"orders/{order}/approve", {})[0], 403)
        for stranger in ("cecil", None):
            for method, path in (("GET", "orders"), ("GET", f"orders/{order}"), ("POST", f"orders/{order}/approve")):
                status, answer = self.officer(stranger, method, path, {} if method == "POST" else None)
                self.assertEqual((status, answer), (401, {"status": 401, "title": "no officer that we know"}))
        self.done("bert", "POST", f"orders/{order}/refuse", {"reason": "the wrong line"})
        self.assertEqual(self.officer("bert", "POST", f"orders/{order}/approve", {})[0], 409)
        events = self.done("bert", "GET", "events")
        self.assertTrue(events["sound"])
        self.assertIn(("anna", "own order not approved", f"order:{order}"), [(e["who"], e["action"], e["object"]) for e in events["events"]])

    def test_a_certified_record(self):
        order = self.done("anna", "POST", "orders", self.form(self.blue, {"line": 1}, case="REC-1"))["order"]
        certified = self.done("bert", "GET", f"orders/{order}/record")
        record = certified["record"]
        self.assertEqual((record["certified_by"], record["order"]["case_id"], record["order"]["signed_by"]), ("bert", "REC-1", "Judge Two"))
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        key = serialization.load_pem_public_key(certified["public_key"].encode())
        octets = bytes.fromhex(certified["signature"])
        der = utils.encode_dss_signature(int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:], "big"))
        text = json.dumps(record, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
        key.verify(der, text, ec.ECDSA(hashes.SHA256()))

    def test_what_lies_on_disk_and_in_the_database_is_sealed(self):
        order = self.order(self.blue, {"number": BOB}, case="HIDDEN-1")
        self.talk(self.alice, self.bob, BOB)
        self.blue.wait_for("Release", "HIDDEN-1")
        found = [p for p in [*self.stack.folder.glob("spool/*/*"), self.stack.folder / "li.orders"]
                 if b"HIDDEN-1" in p.read_bytes() or BOB[1:].encode() in p.read_bytes()]
        self.assertEqual(found, [])
        self.assertNotIn("HIDDEN-1", self.stack.sql("SELECT count(*) FROM pg_database"))
        for role in ("hg_gc", "hg_prov", "hg_admin", "hg_api", "hg_trace"):
            with self.assertRaises(Exception):
                self.li_sql("SELECT count(*) FROM item", role)
        self.assertNotIn(b"HIDDEN-1".hex(), self.li_sql("SELECT string_agg(encode(sealed, 'hex'), ' ') FROM item", "headgate"))
        self.end(order)

    def li_sql(self, text, role):
        import subprocess
        return subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.stack.pg_host), "-U", role, "-d", "headgate_li", "-c",
                               text], check=True, capture_output=True, text=True, timeout=30).stdout.strip()
