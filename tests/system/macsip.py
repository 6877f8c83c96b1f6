"""A BTI on UDP for system tests: builds, seals, sends and verifies SIP by docs/protocol.md section 14, on tests/vectors/headgate_ref.py
alone. Sessions can be made here too and put into Redis as a provisioning server does (section 15).

    session = Session(line_id=7, bti_id=bti_id)
    inject(Redis(unix_path, user, password), cluster_key, session)
    a = MacBti(session.kid, session.mac_up, session.mac_down, "+12125550100", "example.net", ("127.0.0.1", 5060))
    ok = a.register()
    call = a.invite("+12125550199", sdp)
    final = a.final(call)

Nothing here retransmits by itself but transact(), and nothing is hidden: what came without proof is in .unproven. Needs
/usr/bin/python3 (python3-cryptography)."""
import os
import pathlib
import select
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "vectors"))
import headgate_ref as ref  # noqa: E402

COMPACT = {"i": "call-id", "m": "contact", "l": "content-length", "c": "content-type", "f": "from", "t": "to", "v": "via",
           "k": "supported", "s": "subject", "e": "content-encoding"}
LIST_HEADERS = ("via", "record-route", "route", "contact", "require", "supported", "allow")
T1, T2 = 0.5, 4.0


def split_list(value):
    """Splits at commas that are outside of quotes and <>."""
    parts, depth, quoted, start, skip = [], 0, False, 0, False
    for i, c in enumerate(value):
        if skip:
            skip = False
        elif quoted:
            skip, quoted = c == "\\", c != '"'
        elif c == '"':
            quoted = True
        elif c in "<>":
            depth += 1 if c == "<" else -1
        elif c == "," and depth == 0:
            parts.append(value[start:i].strip())
            start = i + 1
    return parts + [value[start:].strip()]


def uri_of(value):
    """The URI of a From, To, Contact or Route value."""
    return value.split("<", 1)[1].split(">", 1)[0] if "<" in value else value.split(";", 1)[0].strip()


def tag_of(value):
    tail = value.rsplit(">", 1)[-1] if ">" in value else value
    return next((p.split("=", 1)[1] for p in tail.split(";")[1:] if p.startswith("tag=")), None)


class Message:
    """A SIP message that was received or sent; .raw has its octets. proven: its BTI-MAC verified."""

    def __init__(self, raw, source=None):
        self.raw, self.source, self.proven, self.seq = raw, source, False, None
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
        self.first, self.headers = lines[0], []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"no header: {line!r}")
            name = name.strip().lower()
            name = COMPACT.get(name, name)
            values = split_list(value.strip()) if name in LIST_HEADERS else [value.strip()]
            self.headers += [(name, v) for v in values]
        words = self.first.split(" ", 2)
        self.status = int(words[1]) if words[0] == "SIP/2.0" else None
        self.method = self.cseq[1] if self.status else words[0]
        self.uri = None if self.status else words[1]
        self.reason = words[2] if self.status and len(words) == 3 else ""

    def all(self, name):
        return [value for n, value in self.headers if n == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    @property
    def cseq(self):
        number, method = self.get("cseq").split()
        return int(number), method

    @property
    def branch(self):
        return next((p[7:] for p in self.get("via", "").replace(" ", "").split(";") if p.startswith("branch=")), None)

    @property
    def call_id(self):
        return self.get("call-id")

    def __repr__(self):
        return f"<{self.first}{'' if self.proven else ' (no proof)'}>"


class Dialog:
    """What a UAC or UAS keeps of a dialog: enough for ACK, BYE and re-INVITE."""

    def __init__(self, local, remote, call_id, target, routes, cseq):
        self.local, self.remote, self.call_id, self.target, self.routes, self.cseq = local, remote, call_id, target, routes, cseq


class Call:
    """An INVITE of ours and what came of it. invite: the octets as sent."""

    def __init__(self, invite):
        self.invite, self.request, self.responses, self.dialog = invite, Message(invite), [], None


class MacBti:
    """kid, mac_up, mac_down: octets, or None for a BTI without a session. gc: (address, port)."""

    def __init__(self, kid, mac_up, mac_down, number, domain, gc, local="127.0.0.1", first_seq=1):
        self.kid, self.mac_up, self.mac_down = kid, mac_up, mac_down
        self.number, self.domain, self.gc, self.seq = number, domain, gc, first_seq
        self.window, self.unproven, self.waiting = ref.Window(), [], []
        self.socket = socket.socket(socket.AF_INET6 if ":" in gc[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((local, 0))
        host = f"[{local}]" if ":" in local else local
        self.host_port = f"{host}:{self.socket.getsockname()[1]}"
        self.contact = f"<sip:{number}@{self.host_port}>"
        self.reg_call_id, self.reg_cseq, self.reg_tag = self.fresh() + "@" + host, 0, self.fresh()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def fresh():
        return os.urandom(8).hex()

    # ---- building ---------------------------------------------------------------------------------------------

    def seal(self, first, headers, body=b"", body_type=None, seq=None, kid=None, key=None, sealed=True, raw_header=None):
        """Octets of a message. first: its start line. The MAC header goes last but Content-*; seq, kid and key can be
        given wrong on purpose; raw_header: the text of a header that takes the MAC header's place."""
        lines = [first] + [f"{name}: {value}" for name, value in headers]
        at = None
        if raw_header is not None:
            lines.append(raw_header)
        elif sealed and self.kid is not None:
            if seq is None:
                seq, self.seq = self.seq, self.seq + 1
            name, scheme = ref.header_of(first.encode(), "up")
            lines.append(f"{name.decode()}: {ref.credentials(kid or self.kid, seq, scheme).decode()}")
            at = len("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        if body_type or body:
            lines.append(f"Content-Type: {body_type or 'application/sdp'}")
        lines += [f"Content-Length: {len(body)}", "", ""]
        octets = "\r\n".join(lines).encode("utf-8", "surrogateescape") + body
        if at is None:
            return octets
        mac = ref.mac256(key or self.mac_up, octets).hex().encode()
        return octets[:at - 64] + mac + octets[at:]

    def via(self, branch=None):
        return f"SIP/2.0/UDP {self.host_port};branch={branch or 'z9hG4bK' + self.fresh()};rport"

    def request(self, method, uri, from_value, to_value, call_id, cseq, extra=(), body=b"", branch=None, contact=True, **kw):
        headers = [("Via", self.via(branch)), ("Max-Forwards", "70"), ("From", from_value), ("To", to_value),
                   ("Call-ID", call_id), ("CSeq", f"{cseq} {method}")]
        if contact:
            headers.append(("Contact", self.contact))
        return self.seal(f"{method} {uri} SIP/2.0", headers + list(extra), body, **kw)

    def aor(self, number=None):
        return f"sip:{number or self.number}@{self.domain}"

    def register_message(self, expires=3600, **kw):
        self.reg_cseq += 1
        return self.request("REGISTER", f"sip:{self.domain}", f"<{self.aor()}>;tag={self.reg_tag}", f"<{self.aor()}>",
                            self.reg_call_id, self.reg_cseq, [("Expires", str(expires))], **kw)

    def invite_message(self, to, sdp=b"", call_id=None, cseq=1, from_number=None, extra=(), **kw):
        """to: a number, or a whole SIP URI."""
        uri = to if to.startswith("sip:") else self.aor(to)
        call_id = call_id or f"{self.fresh()}@{self.host_port.rsplit(':', 1)[0]}"
        return self.request("INVITE", uri, f"<{self.aor(from_number)}>;tag={self.fresh()}", f"<{uri}>", call_id, cseq, extra, sdp, **kw)

    def ack_message(self, call, response, **kw):
        """For a 2xx a message of its own, sealed anew with each call; for a refusal one of the INVITE's transaction."""
        number = call.request.cseq[0]
        if 200 <= response.status < 300:
            d = call.dialog or self.dialog_of(call, response)
            return self.request("ACK", d.target, d.local, d.remote, d.call_id, number, [("Route", r) for r in d.routes],
                                contact=False, **kw)
        routes = [("Route", r) for r in call.request.all("route")]
        return self.request("ACK", call.request.uri, call.request.get("from"), response.get("to"), call.request.call_id, number,
                            routes, branch=call.request.branch, contact=False, **kw)

    def cancel_message(self, call, **kw):
        r = call.request
        return self.request("CANCEL", r.uri, r.get("from"), r.get("to"), r.call_id, r.cseq[0], branch=r.branch, contact=False, **kw)

    def in_dialog_message(self, method, dialog, extra=(), body=b"", **kw):
        dialog.cseq += 1
        return self.request(method, dialog.target, dialog.local, dialog.remote, dialog.call_id, dialog.cseq,
                            [("Route", r) for r in dialog.routes] + list(extra), body, **kw)

    def bye_message(self, dialog, **kw):
        return self.in_dialog_message("BYE", dialog, contact=False, **kw)

    def response_message(self, request, status, reason, to_tag=None, extra=(), body=b"", **kw):
        """A response to a request that came; Contact where a dialog may begin."""
        to = request.get("to")
        if tag_of(to) is None and status > 100:
            to += f";tag={to_tag or self.fresh()}"
        headers = ([("Via", v) for v in request.all("via")] + [("Record-Route", r) for r in request.all("record-route")]
                   + [("From", request.get("from")), ("To", to), ("Call-ID", request.call_id), ("CSeq", request.get("cseq"))])
        if request.method == "INVITE" and 100 < status < 300:
            headers.append(("Contact", self.contact))
        return self.seal(f"SIP/2.0 {status} {reason}", headers + list(extra), body, **kw)

    # ---- dialogs ----------------------------------------------------------------------------------------------

    @staticmethod
    def dialog_of(call, response):
        call.dialog = Dialog(call.request.get("from"), response.get("to"), call.request.call_id,
                             uri_of(response.get("contact", call.request.uri)), response.all("record-route")[::-1],
                             call.request.cseq[0])
        return call.dialog

    @staticmethod
    def dialog_of_incoming(request, response):
        """request: the INVITE that came; response: our 2xx as octets."""
        return Dialog(Message(response).get("to"), request.get("from"), request.call_id, uri_of(request.get("contact")),
                      request.all("record-route"), 0)

    # ---- wire ---------------------------------------------------------------------------------------------------

    def send(self, octets):
        self.socket.sendto(octets, self.gc)
        return Message(octets)

    def verify(self, message):
        """True when the one BTI-MAC header of the message is ours, verifies under mac_down, and its number is fresh."""
        found = ref.find_mac(message.raw)[0]
        name = ref.header_of(message.raw.split(b"\r\n", 1)[0], "down")[0].decode().lower()
        if not found or not message.all(name) or self.kid is None or found[0] != self.kid or not ref.mac_ok(self.mac_down, message.raw):
            return False
        message.seq = found[1]
        message.repeat = self.window.take(message.seq) != "fresh"
        message.proven = True
        return True

    def receive(self, timeout=2.0):
        """The next message from the network, proven or not (see .proven), or None. Repeats are given too (.repeat)."""
        if not select.select([self.socket], [], [], max(0.0, timeout))[0]:
            return None
        raw, source = self.socket.recvfrom(65535)
        message = Message(raw, source)
        message.repeat = False
        if not self.verify(message):
            self.unproven.append(message)
        return message

    def expect(self, match, timeout=15.0):
        """The next message for which match() holds; others wait for a later expect(). None when time is up."""
        for i, message in enumerate(self.waiting):
            if match(message):
                return self.waiting.pop(i)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            message = self.receive(left)
            if message is None:
                continue
            if match(message):
                return message
            self.waiting.append(message)
        return None

    def expect_request(self, method, timeout=15.0):
        return self.expect(lambda m: m.status is None and m.method == method, timeout)

    def expect_response(self, request, timeout=15.0, final=True):
        """To the transaction of a request that was sent (octets or Message)."""
        sent = request if isinstance(request, Message) else Message(request)
        return self.expect(lambda m: m.status and m.branch == sent.branch and m.cseq[1] == sent.method
                           and (m.status >= 200 or not final), timeout)

    def transact(self, octets, timeout=15.0):
        """Sends until a final response comes: the same octets again after T1, 2 T1, 4 T1 ... The response, or None."""
        end, wait = time.monotonic() + timeout, T1
        while (left := end - time.monotonic()) > 0:
            self.send(octets)
            answer = self.expect_response(octets, min(wait, left))
            if answer is not None:
                return answer
            wait = min(2 * wait, T2)
        return None

    # ---- whole steps ----------------------------------------------------------------------------------------------

    def register(self, expires=3600, timeout=15.0, **kw):
        return self.transact(self.register_message(expires, **kw), timeout)

    def invite(self, to, sdp=b"", **kw):
        call = Call(self.invite_message(to, sdp, **kw))
        self.send(call.invite)
        return call

    def final(self, call, timeout=15.0, **kw):
        """Waits for the final response of an INVITE and acknowledges it."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            answer = self.expect_response(call.request, left, final=False)
            if answer is None:
                return None
            call.responses.append(answer)
            if answer.status >= 200:
                if answer.status < 300:
                    self.dialog_of(call, answer)
                self.send(self.ack_message(call, answer, **kw))
                return answer
        return None

    def answer(self, request, sdp=b"", status=200, reason="OK", timeout=15.0):
        """Answers an INVITE that came and waits for its ACK: (dialog, ACK or None)."""
        octets = self.response_message(request, status, reason, body=sdp)
        self.send(octets)
        ack = self.expect(lambda m: m.method == "ACK" and m.status is None and m.call_id == request.call_id, timeout)
        return self.dialog_of_incoming(request, octets), ack

    def bye(self, dialog, timeout=15.0, **kw):
        return self.transact(self.bye_message(dialog, **kw), timeout)


# ---- sessions into Redis ------------------------------------------------------------------------------------------

class Session:
    """The keys of one session of a line, fresh unless given."""

    def __init__(self, line_id, bti_id, lifetime_s=86400, kid=None, created_us=None):
        self.line_id, self.bti_id, self.lifetime_s = line_id, bti_id, lifetime_s
        self.kid = kid or os.urandom(16)
        self.keys = [os.urandom(32) for _ in ref.SESSION_KEYS]
        self.mac_up, self.mac_down, _, _, self.tls_psk, _ = self.keys
        self.created_us = created_us or time.time_ns() // 1000
        self.expires_us = self.created_us + lifetime_s * 1000000

    def blob(self, cluster_key):
        plain = ref.blob_plain(self.bti_id, self.line_id, self.created_us, self.expires_us, self.keys)
        return ref.blob_seal(cluster_key, os.urandom(12), self.kid, plain)


class RedisError(Exception):
    pass


class Redis:
    """Just enough of RESP 2. where: a path, or (address, port)."""

    def __init__(self, where, user=None, password=None, timeout=5.0):
        unix = isinstance(where, (str, os.PathLike))
        self.socket = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(os.fspath(where) if unix else where)
        self.file = self.socket.makefile("rb")
        if password is not None:
            self.command("AUTH", *([user] if user else []), password)

    def close(self):
        self.file.close()
        self.socket.close()

    def command(self, *args):
        octets = b"*%d\r\n" % len(args)
        for arg in args:
            arg = arg if isinstance(arg, bytes) else str(arg).encode()
            octets += b"$%d\r\n%s\r\n" % (len(arg), arg)
        self.socket.sendall(octets)
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise RedisError("connection closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return rest


def inject(redis, cluster_key, session):
    """SET and PUBLISH as a provisioning server does it. Returns how many gate controllers heard of it."""
    blob = session.blob(cluster_key)
    redis.command("SET", b"hg:sess:" + session.kid.hex().encode(), blob, "EX", session.lifetime_s)
    return redis.command("PUBLISH", "hg:sess", session.kid + blob)


def revoke(redis, bti_id):
    return redis.command("PUBLISH", "hg:revoke", bti_id)
