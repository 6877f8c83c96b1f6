"""All of what an order asks for arrives: many calls of all kinds, while headgate-li and the agency are killed, the link is cut and the
gate starts again. HEADGATE_TAPPED_CALLS: how many (300), HEADGATE_LINK_DOWN: seconds for which the link is cut at least (0).
All of it, on a quiet machine: make test SUITE=complete."""
import contextlib
import os
import socket
import threading
import time

from hglib import wait_for
from intercepted import LATE_S, Done, Stamped, delays, digest_of, faults, seeded, told
from lawful import LiTest
from macsip import Message
from stacked import SDP, at_once, telephone, with_session

COUNT = int(os.environ.get("HEADGATE_TAPPED_CALLS", "300"))
LINK_DOWN_S = float(os.environ.get("HEADGATE_LINK_DOWN", "0"))
ROUNDS = max(1, COUNT // 2500)  # of everything that goes wrong
PAIRS = 3
KINDS = ("talk", "busy", "cancelled", "hold", "forwarded", "nobody", "again")
FORKING = (*KINDS, "forked", "forked_busy")  # of the first pair
BEGIN = ("Origination", "NetworkSignal")
END = ("CCClose", "Release")
EXPECTED = {"talk": (*BEGIN, "Answer", "CCOpen", *END), "hold": (*BEGIN, "Answer", "CCOpen", "CCChange", *END),
            "forwarded": ("Origination", "Redirection", "NetworkSignal", "Answer", "CCOpen", *END), "again": (*BEGIN, "Answer", "CCOpen", *END),
            "busy": (*BEGIN, "Release"), "cancelled": (*BEGIN, "Release"), "nobody": (*BEGIN, "Release"),
            "forked": (*BEGIN, "Answer", "CCOpen", *END), "forked_busy": (*BEGIN, "NetworkSignal", "Release")}
CALLED = {"talk": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", *END),
          "hold": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", "CCChange", *END),
          "forwarded": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", *END),
          "again": ("TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", *END),
          "busy": ("TerminationAttempt", "Release"), "cancelled": ("TerminationAttempt", "NetworkSignal", "Release")}
SENT_ON = ("TerminationAttempt", "Redirection", "Answer", "CCOpen", *END)  # to whom its phones belong


def name_of(message):
    return f"{message.status or ''} {message.method}".strip()


def remembered(phone):
    """A telephone that knows the messages that it sent and received, when it is told to (.wire: {digest: method and status} of both)."""
    phone.wire, before, own = None, set(), set()  # calls of before may go on: they do not count
    send, receive = phone.send, phone.receive

    def kept_send(octets):
        if phone.wire is not None:
            message = Message(octets)
            own.add(message.call_id)
            phone.wire[0][digest_of(octets)] = name_of(message)
        return send(octets)

    def kept_receive(timeout=2.0):
        message = receive(timeout)
        if message is not None and phone.wire is None and message.method == "INVITE":
            before.add(message.call_id)
        elif message is not None and message.status and message.call_id not in own:
            before.add(message.call_id)  # an answer that comes again, of what was asked before
        elif message is not None and phone.wire is not None and message.call_id not in before:
            phone.wire[1][digest_of(message.raw)] = name_of(message)
        return message
    phone.send, phone.receive = kept_send, kept_receive
    return phone


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
        wanted.append((number(PAIRS + 1, 0), f"{stack.net}130"))
        phones = [remembered(p) for p in at_once(*[lambda n=n, ip=ip: telephone(stack, n, ip) for n, ip in wanted])]
        cls.pairs = [phones[3 * i:3 * i + 3] for i in range(PAIRS + 1)]  # caller, callee, whose calls go on to the callee
        cls.two = [phones[-1], cls.second(stack, phones[-1])]  # of one line
        cls.register()
        for _, callee, on in cls.pairs:
            stack.ctl("--wait", "service", "set", on.number, "--forward-always", callee.number)
        cls.blue = Stamped(stack, "blue", f"{stack.net}21", x2=True, words=[p.number[1:] for p in cls.pairs[PAIRS]])
        cls.agencies.append(cls.blue)
        cls.links = [Link((f"{stack.net}22", port), (cls.blue.ip, port)) for port in (9900, 9901)]
        place = {"address": f"{stack.net}22:9900", "tls_name": "cf.example"}
        cls.blue.id = cls.done("anna", "POST", "agencies", {"name": "blue", "contact": "duty desk", "version": 4, "cdc": place,
                                                            "x2": {**place, "address": f"{stack.net}22:9901"}})["agency"]
        cls.calls, cls.outages, cls.lock, cls.is_calm = [], [], threading.Lock(), threading.Event()

    @staticmethod
    def second(stack, phone):
        bti_id = os.urandom(16)
        stack.sql(f"INSERT INTO core.bti (bti_id, line_id) VALUES ('\\x{bti_id.hex()}', {phone.line})")
        return with_session(stack, phone.line, bti_id, phone.number, f"{stack.net}131")

    @classmethod
    def down(cls):
        for link in getattr(cls, "links", []):
            link.close()
        super().down()

    @classmethod
    def register(cls):
        for phone in [*sum(cls.pairs, []), *cls.two]:
            assert phone.register().status == 200

    # ---- calls: each notes when what was to be seen could be seen at the gate, from when to when
    def make(self, kind, pair, hang_up=True):
        a, b, on = pair
        said = {"kind": kind, "pair": pair, "times": {}}
        began = time.time()
        # An untapped line that says that it is tapped, in the words of RFC 5503, is not.
        lie = [("P-DCS-LAES", f"{self.blue.ip}:9900;content={self.blue.ip}:9901")] if pair is self.pairs[PAIRS] else []
        to = {"nobody": "+19999999999", "forwarded": on.number}.get(kind, self.two[0].number if "forked" in kind else b.number)
        call = a.invite(to, SDP, extra=lie)
        said["call_id"] = call.request.call_id
        if kind == "again":
            a.send(call.invite)
        if kind == "nobody":
            self.assertEqual(a.final(call).status, 404)
        else:
            legs = self.two if "forked" in kind else [b]
            invites = [p.expect_request("INVITE") for p in legs]
            said["times"]["Origination"] = (began, time.time())
            if kind == "busy":
                b.answer(invites[0], status=486, reason="Busy Here")
                self.assertEqual(a.final(call).status, 486)
            else:
                self.ringing(kind, a, legs, call, invites, said, hang_up)
        for phone in (*pair, *(self.two if "forked" in kind else ())):
            phone.waiting.clear()
            phone.unproven.clear()
        with self.lock:
            self.calls.append(said)

    def ringing(self, kind, a, legs, call, invites, said, hang_up):
        b, invite = legs[0], invites[0]
        for phone, one in zip(legs, invites):
            rang = time.time()
            phone.send(phone.response_message(one, 180, "Ringing", to_tag=phone.host_port[-4:]))
            self.assertIsNotNone(a.expect(lambda m: m.status == 180))
            wait_for("another millisecond", lambda: time.time() > rang + 0.002)  # which is all that tells such events apart
        if kind == "cancelled":
            a.send(a.cancel_message(call))
            b.send(b.response_message(b.expect_request("CANCEL"), 200, "OK", to_tag=b.host_port[-4:]))
            b.answer(invite, status=487, reason="Request Terminated")
            self.assertEqual(a.final(call).status, 487)
            return
        if kind == "forked_busy":
            for phone, one in zip(legs, invites):
                phone.answer(one, status=486, reason="Busy Here")
            self.assertEqual(a.final(call).status, 486)
            return
        began = time.time()
        answer = b.response_message(invite, 200, "OK", to_tag=b.host_port[-4:], body=SDP.replace(b"40000", b"50000"))
        for _ in range(1 + (kind == "again")):
            b.send(answer)
        self.assertEqual(a.final(call).status, 200)
        said["times"]["Answer"] = (began, time.time())
        self.assertIsNotNone(b.expect_request("ACK"))
        for phone, one in list(zip(legs, invites))[1:]:  # the others need not answer any more
            phone.send(phone.response_message(phone.expect_request("CANCEL"), 200, "OK", to_tag=phone.host_port[-4:]))
            phone.answer(one, status=487, reason="Request Terminated")
        if kind == "hold":
            self.hold(a, b, call)
        if hang_up:
            self.hang_up(kind, a, b, call, said)

    def hang_up(self, kind, a, b, call, said):
        began = time.time()
        bye = a.bye_message(call.dialog)
        for _ in range(1 + (kind == "again")):
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
        """So many calls, and on as long as something is wrong."""
        kinds, i = FORKING if pair is self.pairs[0] else KINDS, 0
        while i < count or not self.is_calm.is_set():
            self.make(kinds[i % len(kinds)], pair)
            i += 1

    # ---- what goes wrong meanwhile
    def disturb(self, count, down_s):
        before = len(self.calls)

        def made(share):
            wait_for("calls", lambda: len(self.calls) - before >= count * share, 600)
        try:
            made(0.2)
            with self.outage():
                self.stack.daemons["li"].kill()
                self.stack.daemons["li"].start().ready()
            made(0.45)
            with self.outage():
                self.blue.kill()
                made(0.55)
                self.blue.start()
            made(0.7)
            with self.outage():
                until = time.monotonic() + down_s
                for link in self.links:
                    link.cut()
                made(0.8)
                wait_for("the link's time to be over", lambda: time.monotonic() >= until, down_s)
                for link in self.links:
                    link.mend()
        finally:
            self.is_calm.set()

    @contextlib.contextmanager
    def outage(self):
        """From a little before: what was on its way then goes once more."""
        since = time.time() - 2
        yield
        self.outages.append((since, time.time()))

    def round(self, number):
        tapped, free, count = self.pairs[:PAIRS], self.pairs[PAIRS], COUNT // ROUNDS
        self.is_calm.clear()
        at_once(lambda: self.disturb(count, LINK_DOWN_S if number == 0 else 0), *[lambda p=p: self.many(p, count // PAIRS) for p in tapped],
                lambda: self.many(free, count // 10))
        # The gate is killed with calls up: they are over when it is there again, and it goes on.
        at_once(*[lambda p=p: self.make("talk", p, hang_up=False) for p in tapped])
        with self.outage():
            self.stack.daemons["gc1"].kill()
            self.stack.daemons["gc1"].start().ready()
        self.register()
        at_once(*[lambda p=p: self.make("talk", p) for p in tapped])

    def test_every_event_of_every_call(self):
        tapped = self.pairs[:PAIRS]
        cases = {f"CALLER-{i}": pair[0] for i, pair in enumerate(tapped)} | {"CALLED": tapped[0][1], "SENT-ON": tapped[1][2]}
        orders = [self.order(self.blue, {"number": phone.number}, case=case) for case, phone in cases.items()]
        for phone in cases.values():
            phone.wire = ({}, {})
        for number in range(ROUNDS):
            self.round(number)
        self.verdict({case: phone.wire for case, phone in cases.items()}, {phone.number[1:]: case for case, phone in cases.items()})
        for order in orders:
            self.end(order)

    # ---- judging
    def to_be_told(self):
        """(case, SIP Call-ID): what is to be told."""
        found = {}
        for said in self.calls:
            i = next((i for i, pair in enumerate(self.pairs[:PAIRS]) if pair is said["pair"]), None)
            if i is None:
                continue
            found[f"CALLER-{i}", said["call_id"]] = EXPECTED[said["kind"]]
            if i == 0 and said["kind"] in CALLED:
                found["CALLED", said["call_id"]] = CALLED[said["kind"]]
            if i == 1 and said["kind"] == "forwarded":
                found["SENT-ON", said["call_id"]] = SENT_ON
        return found

    def verdict(self, wires, numbers):
        done = Done(self.to_be_told(), {said["call_id"]: said["times"] for said in self.calls}, wires, self.outages)

        def came():
            """As it is now: readers go on."""
            events, copies = list(self.blue.events), list(self.blue.copies)
            cases = {xid: next(case for number, case in numbers.items() if number in target)
                     for xid, target in self.blue.targets.items()}
            return cases, events, copies
        try:
            wait_for("every event of every call", lambda: not faults(done, *came()), 60)
        finally:
            cases, events, copies = came()
            found = faults(done, cases, events, copies)
            if found:
                self.fail("\n".join(f"{label}: {text}" for label, text in found[:30]) + f"\n{self.where(done, events, copies)}")
        self.assertEqual(set(cases.values()), set(wires))
        self.assertEqual(self.blue.foreign, 0, "an untapped line")
        self.show(done, events, copies)
        for what, label, *other in seeded(done, events, copies):
            self.assertIn(label, {l for l, _ in faults(done, cases, *other)}, f"a judge must see that {what}")

    def where(self, done, events, copies):
        """When the calls were that lack something, beside what went wrong."""
        known, began = told(events, copies), min(since for since, _ in self.outages)
        lacking = {key[1] for key, kinds in done.wanted.items() if tuple(e.kind for e in known.get(key, ())) != kinds}
        at = sorted(min(first for first, _ in done.times[c].values()) - began for c in lacking if done.times[c])
        return f"outages {[(round(a - began, 1), round(b - began, 1)) for a, b in self.outages]}; calls from {at[:1]} to {at[-1:]}: " + (
            " ".join(f"{t:.1f}" for t in at[:200]))

    def show(self, done, events, copies):
        late, calls = delays(events, done.outages), told(events, copies)
        whole = delays(events, [])
        self.assertLessEqual(late[len(late) * 95 // 100], LATE_S)
        print(f"     {len(self.calls)} calls, {sum(map(len, calls.values()))} events, {len({(c.xid, c.sequence) for c in copies})} copies, "
              f"{len(events) - len(set(e.digest for e in events))} events again; {sum(b - a for a, b in done.outages):.0f} s of outages; "
              f"delivered: median {late[len(late) // 2]:.3f} s, p95 {late[len(late) * 95 // 100]:.3f} s, last {late[-1]:.3f} s; "
              f"outages counted in: p95 {whole[len(whole) * 95 // 100]:.3f} s, last {whole[-1]:.3f} s", flush=True)
