"""All of what an order asks for arrives: many calls of all kinds, while headgate-li and the agency are killed, the link is cut and the
gate starts again. HEADGATE_TAPPED_CALLS: how many (300)."""
import collections
import datetime
import json
import os
import socket
import threading
import time

from hglib import wait_for
from lawful import Agency, LiTest
from stacked import SDP, at_once, telephone

COUNT = int(os.environ.get("HEADGATE_TAPPED_CALLS", "300"))
PAIRS = 3
KINDS = ("talk", "busy", "cancelled", "hold", "forwarded", "nobody")
BEGIN = ("Origination", "NetworkSignal")
END = ("CCClose", "Release")
EXPECTED = {"talk": (*BEGIN, "Answer", "CCOpen", *END), "hold": (*BEGIN, "Answer", "CCOpen", "CCChange", *END),
            "forwarded": ("Origination", "Redirection", "NetworkSignal", "Answer", "CCOpen", *END),
            "busy": (*BEGIN, "Release"), "cancelled": (*BEGIN, "Release"), "nobody": (*BEGIN, "Release")}
CALLED = {"talk": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", *END),
          "hold": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", "CCChange", *END),
          "forwarded": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", *END),
          "busy": ("TerminationAttempt", "Release"), "cancelled": ("TerminationAttempt", "NetworkSignal", "Release"), "nobody": ()}
SENT_ON = ("TerminationAttempt", "Redirection", "Answer", "CCOpen", *END)  # to whom its phones belong
SLACK_S = 0.2


class Stamped(Agency):
    """An agency that knows when it was told."""

    def read(self, out):
        for line in out:
            self.said.append({**json.loads(line), "seen": time.time()})


class Link:
    """TCP from one address to another, which can be cut."""

    def __init__(self, here, there):
        self.there, self.whole, self.ends = there, True, []
        self.listener = socket.create_server(here)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                peer = self.listener.accept()[0]
                if not self.whole:
                    peer.close()
                    continue
                far = socket.create_connection(self.there, 5)
                far.settimeout(None)
            except OSError:
                if self.listener.fileno() < 0:
                    return
                peer.close()
                continue
            self.ends += [peer, far]
            for one, other in ((peer, far), (far, peer)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while got := one.recv(65536):
                other.sendall(got)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.whole = False
        while self.ends:
            try:
                self.ends.pop().shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def mend(self):
        self.whole = True

    def close(self):
        self.cut()
        self.listener.close()


class Complete(LiTest):
    @classmethod
    def prepare(cls, stack):
        def number(i, part):
            return f"+121255502{i}{part}"
        wanted = [(number(i, part), f"{stack.net}{100 + 3 * i + part}") for i in range(PAIRS + 1) for part in range(3)]
        phones = at_once(*[lambda n=n, ip=ip: telephone(stack, n, ip) for n, ip in wanted])
        cls.pairs = [phones[3 * i:3 * i + 3] for i in range(PAIRS + 1)]  # caller, callee, whose calls go on to the callee
        cls.register()
        for _, callee, on in cls.pairs:
            stack.ctl("--wait", "service", "set", on.number, "--forward-always", callee.number)
        cls.blue = Stamped(stack, "blue", f"{stack.net}21", x2=True)
        cls.agencies.append(cls.blue)
        cls.links = [Link((f"{stack.net}22", port), (cls.blue.ip, port)) for port in (9900, 9901)]
        place = {"address": f"{stack.net}22:9900", "tls_name": "cf.example"}
        cls.blue.id = cls.done("anna", "POST", "agencies", {"name": "blue", "contact": "duty desk", "version": 4, "cdc": place,
                                                            "x2": {**place, "address": f"{stack.net}22:9901"}})["agency"]
        cls.calls, cls.lock = [], threading.Lock()

    @classmethod
    def down(cls):
        for link in getattr(cls, "links", []):
            link.close()
        super().down()

    @classmethod
    def register(cls):
        for pair in cls.pairs:
            for phone in pair:
                assert phone.register().status == 200

    # ---- calls: each notes when what was to be seen could be seen at the gate, from when to when
    def make(self, kind, pair, hang_up=True):
        a, b, on = pair
        said = {"kind": kind, "pair": pair, "times": {}}
        began = time.time()
        call = a.invite({"nobody": "+19999999999", "forwarded": on.number}.get(kind, b.number), SDP)
        said["call_id"] = call.request.call_id
        if kind == "nobody":
            self.assertEqual(a.final(call).status, 404)
        else:
            invite = b.expect_request("INVITE")
            said["times"]["Origination"] = (began, time.time())
            if kind == "busy":
                b.answer(invite, status=486, reason="Busy Here")
                self.assertEqual(a.final(call).status, 486)
            else:
                self.ringing(kind, a, b, call, invite, said, hang_up)
        with self.lock:
            self.calls.append(said)
        return call, said

    def ringing(self, kind, a, b, call, invite, said, hang_up):
        b.send(b.response_message(invite, 180, "Ringing", to_tag="b"))
        self.assertIsNotNone(a.expect(lambda m: m.status == 180 and m.call_id == invite.call_id or m.status == 180))
        if kind == "cancelled":
            a.send(a.cancel_message(call))
            b.send(b.response_message(b.expect_request("CANCEL"), 200, "OK", to_tag="b"))
            b.answer(invite, status=487, reason="Request Terminated")
            self.assertEqual(a.final(call).status, 487)
            return
        began = time.time()
        b.send(b.response_message(invite, 200, "OK", to_tag="b", body=SDP.replace(b"40000", b"50000")))
        self.assertEqual(a.final(call).status, 200)
        said["times"]["Answer"] = (began, time.time())
        self.assertIsNotNone(b.expect_request("ACK"))
        if kind == "hold":
            self.hold(a, b, call)
        if hang_up:
            began = time.time()
            bye = a.bye_message(call.dialog)
            a.send(bye)
            b.send(b.response_message(b.expect_request("BYE"), 200, "OK"))
            self.assertEqual(a.expect_response(bye).status, 200)
            said["times"]["Release"] = (began, time.time())

    def hold(self, a, b, call):
        """The other side answers as it did before."""
        octets = a.in_dialog_message("INVITE", call.dialog, body=SDP + b"a=sendonly\r\n")
        sent = a.send(octets)
        b.send(b.response_message(b.expect_request("INVITE"), 200, "OK", body=SDP.replace(b"40000", b"50000")))
        answer = a.expect_response(octets)
        self.assertEqual(answer.status, 200)
        again = type(call)(octets)
        again.dialog, again.request = call.dialog, sent
        a.send(a.ack_message(again, answer))
        self.assertIsNotNone(b.expect_request("ACK"))

    def many(self, pair, count):
        for i in range(count):
            self.make(KINDS[i % len(KINDS)], pair)

    # ---- what goes wrong meanwhile
    def disturb(self):
        def made(share):
            wait_for("calls", lambda: len(self.calls) >= COUNT * share, 600)
        made(0.2)
        self.stack.daemons["li"].kill()
        self.stack.daemons["li"].start().ready()
        made(0.45)
        self.blue.kill()
        made(0.55)
        self.blue.start()
        made(0.7)
        for link in self.links:
            link.cut()
        made(0.8)
        for link in self.links:
            link.mend()

    def test_every_event_of_every_call(self):
        tapped, free = self.pairs[:PAIRS], self.pairs[PAIRS]
        orders = [self.order(self.blue, {"number": pair[0].number}, case=f"CALLER-{i}") for i, pair in enumerate(tapped)]
        orders.append(self.order(self.blue, {"number": tapped[0][1].number}, case="CALLED"))
        orders.append(self.order(self.blue, {"number": tapped[1][2].number}, case="SENT-ON"))
        at_once(self.disturb, *[lambda p=p: self.many(p, COUNT // PAIRS) for p in tapped], lambda: self.many(free, COUNT // 10))
        # The gate is killed with calls up: they are over when it is there again, and it goes on.
        at_once(*[lambda p=p: self.make("talk", p, hang_up=False) for p in tapped])
        self.stack.daemons["gc1"].kill()
        self.stack.daemons["gc1"].start().ready()
        self.register()
        at_once(*[lambda p=p: self.make("talk", p) for p in tapped])
        self.judge(tapped)
        self.judge_copies()
        for phone in free:
            self.assertNotIn(phone.number[1:], json.dumps(self.blue.said), "an untapped line")
        for order in orders:
            self.end(order)

    # ---- judging
    def wanted(self, tapped):
        """(case, SIP Call-ID): what is to be told."""
        found = {}
        for said in self.calls:
            i = next((i for i, pair in enumerate(tapped) if pair is said["pair"]), None)
            if i is None:
                continue
            found[f"CALLER-{i}", said["call_id"]] = EXPECTED[said["kind"]]
            if i == 0 and said["kind"] != "nobody":
                found["CALLED", said["call_id"]] = CALLED[said["kind"]]
            if i == 1 and said["kind"] == "forwarded":
                found["SENT-ON", said["call_id"]] = SENT_ON
        return found

    def told(self):
        """(case, SIP Call-ID): messages, first ones of each kind. X2 says which call a number is of."""
        names = {}
        for m in list(self.blue.said):
            if m["channel"] == "x2" and m["correlation"]:
                at = next(line for line in m["sip"].split("\r\n") if line.lower().startswith("call-id:"))
                names[m["correlation"] >> 32 & 0x7fffffff] = at.split(":", 1)[1].strip()
        found, numbers = collections.defaultdict(dict), {}
        for m in list(self.blue.said):
            if m["channel"] == "cdc" and (m["call"] or m["kind"] == "CCClose"):
                number = numbers.get(m["content"]) if m["kind"] == "CCClose" else int(m["call"].split(",")[1]) & 0x7fffffff
                if m["kind"] == "CCOpen":
                    numbers[m["content"]] = number
                found[m["case"], names.get(number)].setdefault(m["kind"], m)
        return found

    def judge(self, tapped):
        wanted = self.wanted(tapped)

        def complete():
            told = self.told()
            return all(set(kinds) <= set(told.get(key, ())) for key, kinds in wanted.items())
        try:
            wait_for("every event of every call", complete)
        finally:
            told = self.told()
            missing = {key: (kinds, tuple(told.get(key, ()))) for key, kinds in wanted.items() if tuple(told.get(key, ())) != kinds}
            order = [said["call_id"] for said in self.calls]
            places = sorted(order.index(call_id) for _, call_id in missing)
            kinds = collections.Counter((case, *both) for (case, _), both in missing.items())
            if missing:
                self.fail(f"{len(missing)} of {len(wanted)}: case, wanted, told: {kinds.most_common(12)}; which calls: {places}")
        self.assertEqual(set(told), set(wanted), "nothing of other calls")
        whens = {said["call_id"]: said["times"] for said in self.calls}
        late = []
        for (case, call_id), messages in told.items():
            for kind, m in messages.items():
                at = datetime.datetime.fromisoformat(m["at"].replace("Z", "+00:00")).timestamp()
                late.append(m["seen"] - at)
                if kind in whens[call_id]:
                    first, last = whens[call_id][kind]
                    self.assertTrue(first - SLACK_S <= at <= last + SLACK_S, (case, kind, first, at, last))
        late.sort()
        print(f"     {len(self.calls)} calls, {len(late)} events; delivered: median {late[len(late) // 2]:.3f} s, "
              f"p95 {late[len(late) * 95 // 100]:.3f} s, last {late[-1]:.3f} s", flush=True)

    def judge_copies(self):
        """X2: no number is missing, and none says two things, whatever happened in between."""
        by = collections.defaultdict(lambda: collections.defaultdict(set))
        for m in list(self.blue.said):
            if m["channel"] == "x2":
                by[m["xid"]][m["sequence"]].add(m["sip"])
        self.assertEqual(len(by), PAIRS + 2)
        for xid, copies in by.items():
            self.assertEqual([n for n, texts in copies.items() if len(texts) > 1], [], xid)
            self.assertEqual(sorted(copies), list(range(len(copies))), xid)
