"""A field for forgeries: parties around one gate controller, what each of them hears, and the judge of what arrived. An attack is one message;
it ends when its sender has a final answer, or when the far end has what cannot be answered."""
import collections
import select
import time

import forgeries
from hglib import wait_for
from macsip import Call, MacBti, Message, tag_of, uri_of
from peered import PeerTest, phone_credential
from proxy_digest import Phone
from stacked import SDP, telephone

ALICE, BOB, CAROL, DORA = "+12125550101", "+12125550102", forgeries.VICTIM, "+12125550104"
OUTSIDE, INSIDE = "+4930123456", "+442079460100"  # whom a call to a trunk reaches
GATE_ONLY = ("p-asserted-identity", "p-preferred-identity", "remote-party-id", "identity", "y", "identity-info", "diversion", "history-info",
             "resource-priority", "p-media-authorization", "p-charging-vector", "p-called-party-id", "p-served-user")


def lines(*raw):
    """Header lines exactly as they are written, for `extra` of a request or response."""
    return [("User-Agent", "\r\n".join(("hg",) + raw))]


class Peer(MacBti):
    """A gateway: no keys. Known by its address."""

    def __init__(self, stack, last, number):
        super().__init__(None, None, None, number, stack.domain, (stack.gc_ip, 5060), stack.net + str(last))


class Outcome:
    """status: of the final answer, None without one. arrived: {party: [messages]} of that Call-ID, answers: all that the sender heard."""

    def __init__(self):
        self.status, self.arrived, self.answers = None, {}, []

    def all(self):
        return [m for messages in self.arrived.values() for m in messages]


class Field(PeerTest):
    """alice attacks, bob is attacked; carol is whom alice would like to be; dora has a standard phone; near is a trunk within the trust
    domain, far one without."""
    hostile = True
    gc_settings = {"limits.calls_per_line": "1000", "limits.challenge_per_source": "100000", "limits.guesses_per_source": "10000",
                   "limits.guesses_per_username": "10000", "limits.subscriptions_per_line": "5000"}
    people = {}
    heard = {}  # all octets that came to each party, since somebody cleared it
    attacks, tally = 0, collections.Counter()  # of (test, "arrived" or the status of a refusal)

    @classmethod
    def set_out(cls, stack):
        cls.people = p = {}
        for i, (name, number) in enumerate((("alice", ALICE), ("bob", BOB), ("carol", CAROL))):
            p[name] = telephone(stack, number, f"{stack.net}{11 + i}")
        account = stack.ctl_json("account", "add", "dora")["account"]
        cls.dora_line = stack.ctl_json("line", "add", account, DORA, *cls.line_words)["line"]
        phone_credential(stack, cls.dora_line, "dora", "a good password")
        p["dora"] = Phone(DORA, stack.domain, (stack.gc_ip, 5060), stack.net + "14", "dora", "a good password")
        for name, last, number, inside in (("near", 31, INSIDE, "yes"), ("far", 32, OUTSIDE, "no")):
            p[name] = Peer(stack, last, number)
            stack.ctl("trunk", "add", name, stack.net + str(last), "--port", p[name].host_port.rsplit(":", 1)[1], "--transport", "udp",
                      "--trusts-identity", inside, "--sends-identity", inside, "--source",
                      stack.net + str(last), "--ping", "0")
        stack.ctl("route", "add", "uk", "+44", "--trunk", "near")
        stack.ctl("--wait", "route", "add", "de", "+49", "--trunk", "far")
        for name in ("bob", "carol"):
            if p[name].register().status != 200:
                raise AssertionError(f"{name} cannot register")
        wait_for("every worker to know the phone", lambda: all(p["dora"].elsewhere().enter().status == 200 for _ in range(6)), 10)
        wait_for("the trunks to be known", lambda: cls.rings("alice", INSIDE) and cls.rings("alice", OUTSIDE), 10)
        for name in p:
            p[name].waiting, p[name].unproven = [], []
    line_words = ("--caller-id", "yes")

    @classmethod
    def rings(cls, who, number):
        return cls.field(cls.people[who], cls.people[who].invite_message(number, SDP), 5).arrived

    @classmethod
    def take_in(cls):
        for party in cls.people.values():
            party.close()

    # ---- one attack
    @classmethod
    def field(cls, who, octets, seconds=15, reply=None, want_final=True):
        """Sends octets and lets everybody answer: 486 to an INVITE, 200 to what else came; reply(party, message) -> octets to
        answer otherwise (a list; None: as usual). Ends with the final answer; without want_final with the first arrival."""
        out, sent = Outcome(), Message(octets)
        sockets = {p.socket: (name, p) for name, p in cls.people.items()}
        end, again, wait = time.monotonic() + seconds, 0.0, 0.5
        while time.monotonic() < end:
            if time.monotonic() >= again:
                who.send(octets)
                again, wait = time.monotonic() + wait, wait * 2
            for ready in select.select(list(sockets), [], [], 0.2)[0]:
                name, party = sockets[ready]
                m = party.receive(0)
                if m is None:
                    continue
                cls.heard.setdefault(name, []).append(m.raw)
                if m.status:
                    if party is who and m.branch == sent.branch and m.cseq[1] == sent.method:
                        out.answers.append(m)
                        if m.status >= 200:
                            out.status = m.status
                            if sent.method == "INVITE":
                                who.send(who.ack_message(Call(octets), m))
                    continue
                if m.call_id != sent.call_id or m.method in ("ACK", "CANCEL") and sent.method != m.method:
                    continue
                out.arrived.setdefault(name, []).append(m)
                if m.method == "ACK":
                    continue
                answer = reply(party, m) if reply else None
                if answer is None:
                    answer = [party.response_message(m, *((486, "Busy Here") if m.method == "INVITE" else (200, "OK")))]
                for octets_up in answer:
                    party.send(octets_up)
            if out.status is not None or (not want_final and out.arrived):
                return out
        return out

    def attack(self, name, who, octets, told=True, only=None, **kw):
        """Runs one attack and judges it by the rules that hold for all of them: no trace of what was forged arrives, and what says who
        calls says what was proven. told: the answers are judged too. only: the one party that it may reach. Returns its outcome."""
        type(self).attacks += 1
        with self.subTest(name):
            out = self.field(who, octets, **kw)
            self.assertTrue(out.status or out.arrived, "neither an answer nor an arrival")
            self.tally[self._testMethodName, "arrived" if out.arrived else out.status] += 1
            for party, messages in out.arrived.items():
                for m in messages:
                    self.judge(m, party, who)
            if only:
                self.assertLessEqual(set(out.arrived), {only})
            for m in out.answers if told else ():
                self.assertEqual(forgeries.traces(m.raw), [], f"the sender was told:\n{m.raw.decode(errors='replace')}")
                for name in GATE_ONLY:
                    self.assertEqual(m.all(name), [], f"the sender was told of {name}")
            return out
        return Outcome()

    def judge(self, m, party, who):
        self.assertEqual(forgeries.traces(m.raw), [], f"{party} was told:\n{m.raw.decode(errors='replace')}")
        for name in GATE_ONLY[1:]:
            self.assertEqual(m.all(name), [], f"{party}: {name}")
        asserted = m.all("p-asserted-identity")
        self.assertLessEqual(len(asserted), 2 if isinstance(who, Phone) or who.kid else int(who is self.people["near"]))
        for value in asserted + m.all("from"):
            self.assertTrue(who.number in value or "anonymous.invalid" in value, value)

    # ---- steps
    def connect(self, caller, callee, to=None, extra=()):
        """A call that is answered and acknowledged: (dialog of the caller, dialog of the callee). to: what is dialled, when it is not the
        callee's number."""
        a, b = self.people[caller], self.people[callee]
        there = {}

        def answer(party, m):
            ok = party.response_message(m, 200, "OK", body=SDP)
            there["dialog"] = party.dialog_of_incoming(m, ok)
            return [ok]
        octets = a.invite_message(to or b.number, SDP, extra=extra)
        out = self.field(a, octets, reply=answer)
        self.assertEqual((out.status, set(out.arrived)), (200, {callee}))
        call = Call(octets)
        return a.dialog_of(call, out.answers[-1]), there["dialog"]
