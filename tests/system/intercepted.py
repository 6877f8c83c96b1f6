"""What came to an agency, beside what was done: the verdict on completeness (intercept_complete), and faults that it must see."""
import collections
import datetime
import hashlib
import json
import time
from typing import NamedTuple

from lawful import Agency

SLACK_S = 0.2  # of the time of an event (J-STD-025: 200 ms)
LATE_S = 8  # of delivery, for 95 of 100 (J-STD-025)


class Event(NamedTuple):
    """A message of call data."""
    case: str
    kind: str
    call: str
    content: str
    at: float
    seen: float
    digest: bytes  # of all that it says


class Copy(NamedTuple):
    """A copy of a SIP message, by X2."""
    xid: str
    sequence: int
    number: int  # of the call, as in the CallIds of its events; 0: of none
    call_id: str
    from_subject: bool
    at: float
    seen: float
    digest: bytes  # of the SIP message


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def digest_of(octets):
    return hashlib.blake2b(octets, digest_size=12).digest()


class Stamped(Agency):
    """An agency that knows when it was told, and keeps little of each message. foreign: how many held one of the words."""

    def __init__(self, *args, words, **more):
        self.words, self.foreign, self.events, self.copies = words, 0, [], []
        self.targets = {}  # {xid: what X2 says that it matched}
        super().__init__(*args, **more)

    def read(self, out):
        for line in out:
            seen, m = time.time(), json.loads(line)
            self.foreign += any(w in line for w in self.words)
            if m["channel"] == "cdc":
                self.events.append(Event(m.get("case"), m["kind"], m.get("call", ""), m.get("content"), seconds(m["at"]), seen, digest_of(line.encode())))
            else:
                self.targets[m["xid"]] = m.get("target", "")
                at = next(h for h in m["sip"].split("\r\n") if h.lower().startswith("call-id:"))
                self.copies.append(Copy(m["xid"], m["sequence"], m["correlation"] >> 32 & 0x7fffffff, at.split(":", 1)[1].strip(),
                                        m["direction"] == 3, seconds(m["at"]), seen, digest_of(m["sip"].encode())))


class Done(NamedTuple):
    """What was done: wanted {(case, Call-ID): kinds}, times {Call-ID: {kind: (from, to)}} of the wall clock within which the gate saw it,
    wires {case: ({digest: name} sent, the same received)}, outages [(from, to)] in which the agency could not be reached."""
    wanted: dict
    times: dict
    wires: dict
    outages: list


def told(events, copies):
    """{(case, Call-ID): events, each once, as they first came}. X2 says which call a number is of."""
    names = {c.number: c.call_id for c in copies if c.number}
    found, numbers = collections.defaultdict(dict), {}
    for e in events:
        if e.call or e.kind == "CCClose":
            number = numbers.get(e.content) if e.kind == "CCClose" else int(e.call.split(",")[1]) & 0x7fffffff
            if e.kind == "CCOpen":
                numbers[e.content] = number
            found[e.case, names.get(number)].setdefault(e.digest, e)
    return {key: list(all_of.values()) for key, all_of in found.items()}


def ready(at, outages):
    """When what happened at that time could be told at the earliest."""
    for since, until in outages:
        if since <= at <= until:
            return until
    return at


def delays(events, outages):
    first = {}
    for e in events:
        first.setdefault(e.digest, e)
    return sorted(max(0.0, e.seen - ready(e.at, outages)) for e in first.values())


def faults_of_events(done, events, copies):
    found = told(events, copies)
    missing = collections.Counter()
    for key, kinds in done.wanted.items():
        got = tuple(e.kind for e in found.get(key, ()))
        if got != kinds:
            missing[key[0], kinds, got] += 1
    yield from (("events", f"{n} calls of {case}: wanted {kinds}, told {got}") for (case, kinds, got), n in missing.most_common(12))
    yield from (("strange", f"{key}: {[e.kind for e in found[key]]}") for key in set(found) - set(done.wanted))
    for (case, call_id), all_of in found.items():
        if [e.at for e in all_of] != sorted(e.at for e in all_of):
            yield "times", f"{case}, {call_id}: times go back: {[(e.kind, e.at) for e in all_of]}"
        for e in all_of:
            first, last = done.times.get(call_id, {}).get(e.kind, (e.at, e.at))
            if not first - SLACK_S <= e.at <= last + SLACK_S:
                yield "times", f"{case}, {e.kind} at {e.at}, was from {first} to {last}"
    late = delays(events, done.outages)
    if late and late[len(late) * 95 // 100] > LATE_S:
        yield "late", f"95 of 100 within {late[len(late) * 95 // 100]} s"


def faults_of_copies(done, cases, copies):
    """cases: {xid: case}."""
    by = collections.defaultdict(lambda: collections.defaultdict(set))
    for c in copies:
        by[c.xid][c.sequence].add(c.digest)
    for xid, numbers in by.items():
        if any(len(digests) > 1 for digests in numbers.values()):
            yield "copies", f"{xid}: a number says two things"
        if sorted(numbers) != list(range(len(numbers))):
            yield "copies", f"{xid}: {len(numbers)} numbers, up to {max(numbers)}"
        if xid not in cases:
            yield "strange", xid
    calls = {call_id for _, call_id in done.wanted}
    for xid, case in cases.items():
        if case not in done.wires:
            continue
        mine = [c for c in copies if c.xid == xid]
        sent, received = done.wires[case]
        have = {c.digest for c in mine}
        if lacking := {**sent, **received}.keys() - have:
            names = collections.Counter(f"{'sent' if d in sent else 'received'} {(sent | received)[d]}" for d in lacking)
            yield "wire", f"{case}: {len(lacking)} messages of {len(sent | received)} were not told: {dict(names)}"
        if invented := {c.digest for c in mine if c.from_subject} - sent.keys():
            yield "wire", f"{case}: {len(invented)} messages that the subject never sent"
        # To the subject more may have gone than it read; but nothing of other calls.
        if others := {c.call_id for c in mine if not c.from_subject and c.number} - calls:
            yield "wire", f"{case}: calls {others}"


def faults(done, cases, events, copies):
    """[(label, text)]: what is wrong; empty is good."""
    return [*faults_of_events(done, events, copies), *faults_of_copies(done, cases, copies)]


# ---- whether these would be seen ---------------------------------------------------------------------------------------------
def _without(events, at):
    gone = events[at].digest
    return [e for e in events if e.digest != gone]


def _swapped(events, copies):
    """Two events of one call, the other way round."""
    firsts = next(all_of for all_of in told(events, copies).values() if len(all_of) > 3)
    one, other = firsts[0].digest, firsts[2].digest
    rows = [e for e in events if e.digest not in (one, other)]
    return [*rows, *(e._replace(seen=e.seen + 1) for e in reversed(firsts[:3:2]))]


def seeded(done, events, copies):
    """(what, label that has to be found, events, copies): each with one fault more than there was."""
    middle = next(i for i, e in enumerate(events) if i >= len(events) // 2 and e.kind == "Answer")
    e, c = events[middle], copies[len(copies) // 2]
    end = max(e.at for e in events) + 1000
    unread = next(c for c in copies if any(c.digest in sent for sent, _ in done.wires.values()))
    return [
        ("an event is lost", "events", _without(events, middle), copies),
        ("an event is told twice", "events", [*events, e._replace(at=e.at + 0.001, digest=b"again")], copies),
        ("events change places", "events", _swapped(events, copies), copies),
        ("of another call", "strange", [*events, e._replace(call="1,77", digest=b"other")], copies),
        ("another's case", "strange", [*events, e._replace(case="NOBODY", digest=b"case")], copies),
        ("a time is wrong", "times", [e._replace(at=e.at + 0.5 + SLACK_S) if e.kind == "Answer" else e for e in events], copies),
        ("a tenth is late", "late", [e._replace(at=end, seen=end + LATE_S + 1) if i % 10 == 0 else e for i, e in enumerate(events)], copies),
        ("a copy is lost", "copies", events, [x for x in copies if (x.xid, x.sequence) != (c.xid, c.sequence)]),
        ("a copy has another text", "copies", events, [*copies, c._replace(digest=b"other")]),
        ("what was sent is in no copy", "wire", events, [x for x in copies if x.digest != unread.digest]),
        ("a copy of what was not sent", "wire", events,
         [x._replace(digest=b"made") if x == unread else x for x in copies]),
        ("a copy for nobody", "strange", events, [*copies, c._replace(xid="00", sequence=0)]),
    ]
