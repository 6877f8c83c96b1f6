"""Two gate controllers, of which headgate-admin reaches one by its socket and the other through Redis; administrators with tokens;
calls at either; a stream of events."""
import http.client
import json
import socket
import threading

from hglib import Failed, wait_for
from macsip import MacBti
from stacked import SDP, StackTest, telephone


class Events:
    """A listener to server-sent events: (id, name, data) as they come, comments apart."""

    def __init__(self, api, path="/calls/events", last_id=None):
        self.seen, self.comments = [], []
        self.connection = api.connect()
        head = {"Accept": "text/event-stream", **({"Authorization": f"Bearer {api.token}"} if api.token else {}),
                **({"Last-Event-ID": last_id} if last_id else {})}
        self.connection.request("GET", api.base + path, headers=head)
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            raise Failed(f"{path}: {self.response.status} {self.response.read()[:500]}")
        self.last_id, self.ended = None, threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        event = {}
        try:
            for line in iter(self.response.readline, b""):
                line = line.decode().rstrip("\r\n")
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, value = line.split(": ", 1)
                    event[name] = value
                else:
                    self.last_id = event.get("id", self.last_id)
                    if "data" in event:
                        self.seen.append((event["id"], event["event"], json.loads(event["data"])))
                    event = {}
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.ended.set()

    def of(self, call_id):
        """What was said of a call, in order: [(event, node)]."""
        return [(name, data["node"]) for _, name, data in list(self.seen) if data.get("call", {}).get("call_id") == call_id]

    def wait(self, call_id, event):
        return wait_for(f"{event} of {call_id}; seen {[e[:2] for e in self.seen[-6:]]}",
                        lambda: next((e for e in list(self.seen) if e[1] == event and e[2].get("call", {}).get("call_id") == call_id), None))

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # the reader is in the middle of a line
        except OSError:
            pass
        self.thread.join(10)
        self.connection.close()


class NodesTest(StackTest):
    gc2_settings = None

    @classmethod
    def prepare(cls, stack):
        cls.second_ip = stack.net + "5"
        stack.start_gc("gc2", cls.second_ip, stack.gc_config("gc2", cls.second_ip, settings=cls.gc2_settings))
        cls.root = stack.api()
        wait_for("both nodes to be known", lambda: [n["node"] for n in cls.root.get("/nodes")["items"] if n["reached"]] == ["gc1", "gc2"])
        cls.tokens, cls.used = {}, 0

    def admin(self, role, name=None):
        """The API as an administrator of that role."""
        name = name or role
        if name not in self.tokens:
            made = self.root.post("/administrators", {"name": name, "roles": [role]})
            self.tokens[name] = self.root.post("/tokens", {"administrator_id": made["administrator_id"], "name": "test"})["token"]
        api = self.stack.api(self.tokens[name])
        wait_for(f"{name} to be known", lambda: api.ask("GET", "/me").status == 200)
        return api

    def phone(self, node="gc1"):
        """A registered telephone at that node."""
        type(self).used += 1
        n = type(self).used
        phone = telephone(self.stack, f"+1212555{3000 + n}", f"{self.stack.net}{20 + n}")
        if node == "gc2":
            wait_for("its session at the second", lambda: any(s["kid"] == phone.kid.hex() and "gc2" in s["nodes"]
                                                              for s in self.root.get(f"/sessions?line={phone.line}")["items"]))
            moved = MacBti(phone.kid, phone.mac_up, phone.mac_down, phone.number, self.stack.domain, (self.second_ip, 5060),
                           phone.host_port.split(":")[0], first_seq=phone.seq + 100)
            moved.line, moved.bti_id = phone.line, phone.bti_id
            phone.close()
            phone = moved
        self.addCleanup(phone.close)
        self.assertEqual(phone.register().status, 200)
        return phone

    def call(self, node="gc1", answer=True, pair=None):
        """A live call there: (caller, callee, Call-ID, id of the API). answer False: it rings."""
        caller, callee = pair or (self.phone(node), self.phone(node))
        call = caller.invite(callee.number, SDP)
        rung = callee.expect_request("INVITE")
        self.assertIsNotNone(rung, "the callee rings")
        if answer:
            callee.answer(rung, SDP, timeout=0)
            self.assertEqual(caller.final(call).status, 200)
            self.assertIsNotNone(callee.expect_request("ACK"))
        else:
            callee.send(callee.response_message(rung, 180, "Ringing"))
        call_id = call.request.call_id
        row = wait_for("the call to be listed", lambda: [c for c in self.root.get("/calls?limit=1000")["items"] if c["call_id"] == call_id])[0]
        return caller, callee, call_id, row["id"]

    def ended_at(self, *phones):
        """Each got a BYE, and answers it; their Reason headers."""
        reasons = []
        for phone in phones:
            bye = phone.expect_request("BYE")
            self.assertIsNotNone(bye, f"{phone.number} gets a BYE")
            phone.send(phone.response_message(bye, 200, "OK"))
            reasons.append(bye.get("reason"))
        return reasons

    def is_live(self, call):
        return self.root.get(f"/calls/{call}")["state"] == "answered"

    def hang_up(self, caller, callee, call_id):
        """The caller's end of a call that nobody ended yet is taken from what it was told; the API ends the rest."""
        del caller, callee
        for c in self.root.get("/calls?limit=1000")["items"]:
            if c["call_id"] == call_id:
                self.root.ask("POST", f"/calls/{c['id']}/end", {"reason": "the test is over"})


def stays(probe, times=25):
    """Whether it holds each time that it is asked for: for what must not happen. Each question goes to the gates and back."""
    return all(probe() for _ in range(times))
