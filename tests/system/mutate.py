"""What a hostile BTI that holds good keys may send: SIP messages that are changed first and sealed after, so that the change gets past
the MAC. Seeded: HEADGATE_SEED=N repeats a run."""
import os
import random

import headgate_ref as ref

SEED = int(os.environ.get("HEADGATE_SEED", "1"))
SDP = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
       b"a=sendrecv\r\n")
NUMBERS = (b"0", b"1", b"-1", b"70", b"255", b"256", b"2147483647", b"2147483648", b"4294967295", b"4294967296", b"9" * 30, b"x", b"",
           b"1e3", b" 5 ", b"0x10", b"00000000001")
URIS = (b"sip:", b"sip:@", b"sips:a@b", b"tel:+12125550199", b"tel:911", b"urn:service:sos", b"sip:a@[::1]:5060", b"sip:a@[::",
        b"mailto:a@b",
        b"sip:a@b;transport=tcp", b"sip:a@127.0.0.1:0", b"sip:a@127.0.0.1:99999", b"sip:%00@b", b"sip:%41%@b", b"sip:a:b:c@d;x;y=;=z?h=i&j",
        b"*", b"<sip:a@b>", b"sip:" + b"a" * 490 + b"@b", b"sip:" + b"a" * 600 + b"@b", b"sip:a@" + b"b." * 120 + b"c", b"sip:\xff\xfe@b",
        b"sip:a@b;lr;lr;maddr=127.0.0.1;ttl=256", b"SIP:911@b", b"sip:+1@b;phone-context=;isub=;postd=")
HEADERS = (b"Require: 100rel", b"Require: nonsense, more", b"Proxy-Require: x", b"Supported: 100rel, replaces, timer, path, gruu",
           b"RAck: 1 1 INVITE", b"RSeq: 1", b"RSeq: 4294967295", b"Replaces: a;to-tag=b;from-tag=c", b"Session-Expires: 90;refresher=uas",
           b"Max-Breadth: 0", b"Max-Breadth: 1", b"Privacy: id", b"Privacy: header;user;session;critical",
           b"P-Asserted-Identity: <sip:+19005550000@evil.example>", b"P-Asserted-Identity: <tel:911>, <sip:a@b>",
           b"Remote-Party-ID: <sip:a@b>;party=calling", b"Diversion: <sip:a@b>;reason=unconditional", b"History-Info: <sip:a@b>;index=1",
           b"Record-Route: <sip:127.0.0.1:9;lr>", b"Record-Route: <sip:a@b;lr>, <sip:c;lr>, <sip:d>", b"Route: <sip:127.0.0.1:9;lr>",
           b"Route: " + b", ".join([b"<sip:127.0.0.%d;lr>" % i for i in range(60)]), b"Path: <sip:x;lr>", b"Contact: *",
           b"Contact: <sip:a@127.0.0.1:1>;expires=1, <sip:b@127.0.0.1:2>;q=0.1, <sip:c@[::1]>;q=1.1", b"Expires: 0",
           b"Authentication-Info: kid=1, seq=2, mac=3", b"Proxy-Authorization: Digest username=\"a\", realm=\"b\"",
           b"Authorization: BTI-MAC kid=0, seq=1, mac=0", b"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx", b"Via: SIP/2.0/TCP [::1]",
           b"Reason: Q.850;cause=16;text=\"x\", SIP;cause=200;text=\"Call completed elsewhere\"", b"Content-Encoding: gzip",
           b"Content-Disposition: render;handling=required", b"Subject: " + b"s" * 3000, b"X-" + b"n" * 200 + b": v", b"Event: presence",
           b"Refer-To: <sip:911@b>", b"Date: Sat, 13 Nov 2010 23:29:00 GMT", b"Timestamp: 1 2", b"Accept: */*", b"Retry-After: 1",
           b"Resource-Priority: esnet.0", b"Geolocation: <cid:x@y>", b"Warning: 399 a \"b\"", b"Unsupported: x", b"Min-Expires: 1")
METHODS = (b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"UPDATE", b"INFO", b"MESSAGE", b"REFER", b"NOTIFY",
           b"SUBSCRIBE", b"PUBLISH", b"invite", b"FROB", b"X" * 40)
BODIES = ((b"multipart/mixed;boundary=x", b"--x\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--x\r\n\r\n\r\n--x--\r\n"),
          (b"multipart/mixed;boundary=\"" + b"y" * 80 + b"\"", b"--y\r\n\r\n"), (b"multipart/mixed", b"--\r\n--\r\n----"),
          (b"application/sdp", b"v=0\r\n"), (b"application/sdp", SDP.replace(b"\r\n", b"\n")), (b"application/sdp", b"\0" * 40),
          (b"application/sdp", SDP + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40 + b"\r\n"),
          (b"application/sdp", SDP + b"m=video 1 RTP/AVP 99\r\n" * 60), (b"application/sdp", SDP + b"a=" + b"z" * 5000 + b"\r\n"),
          (b"application/sdp", SDP.replace(b"40000", b"99999")), (b"application/sdp", SDP.replace(b"IP4 127.0.0.1", b"IP6 ::1")),
          (b"APPLICATION/SDP ; charset=\"x\"", SDP), (b"text/plain", b"hello"), (b"application/sdp", b"x" * 6500))


def seal(bti, octets, way="up"):
    """The octets of a message with the proof of that BTI as its first header."""
    first, _, rest = octets.partition(b"\r\n")
    name, scheme = ref.header_of(first, way)
    seq, bti.seq = bti.seq, bti.seq + 1
    head = first + b"\r\n" + name + b": " + ref.credentials(bti.kid, seq, scheme)
    octets = head + b"\r\n" + rest
    return octets[:len(head) - 64] + ref.mac256(bti.mac_up, octets).hex().encode() + octets[len(head):]


class Mutator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, p):
        return self.random.random() < p

    def one(self, things):
        return self.random.choice(things)

    def message(self, octets, times=None):
        """The same message with some of its parts changed. It has no proof yet."""
        head, _, body = octets.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        for _ in range(times or self.one((1, 1, 1, 2, 3, 6))):
            lines, body = self.one(self.CHANGES)(self, list(lines), body)
        if self.chance(0.9):  # else it is of another length than it says
            lines = [b"Content-Length: %d" % len(body) if line.lower().startswith(b"content-length") else line for line in lines]
        octets = b"\r\n".join(lines) + b"\r\n\r\n" + body
        return self.octets(octets) if self.chance(0.08) else octets

    def octets(self, octets):
        """Octets of it changed, dropped, doubled; its first line stays a line."""
        out = bytearray(octets)
        for _ in range(self.one((1, 1, 2, 8))):
            at = self.random.randrange(len(out) + 1)
            change = self.random.randrange(4)
            if change == 0:
                out[at:at + 1] = bytes([self.random.randrange(256)])
            elif change == 1:
                del out[at:at + self.one((1, 2, 20))]
            elif change == 2:
                out[at:at] = out[max(0, at - 30):at]
            else:
                out[at:at] = self.one((b"\0", b"\r\n", b"\n", b"\"", b"<", b";", b",", b"%00", b"\t", b"\xc3\x28", b"a" * 900))
        return bytes(out) if b"\r\n" in out else octets

    # ---- single changes; line 0 is the start line
    def at(self, lines):
        return self.random.randrange(1, len(lines)) if len(lines) > 1 else None

    def drop(self, lines, body):
        at = self.at(lines)
        return (lines[:at] + lines[at + 1:] if at else lines), body

    def double(self, lines, body):
        at = self.at(lines)
        return (lines[:at] + [lines[at]] * self.one((1, 1, 3, 90)) + lines[at:] if at else lines), body

    def swap(self, lines, body):
        rest = lines[1:]
        self.random.shuffle(rest)
        return lines[:1] + rest, body

    def number(self, lines, body):
        """One of the numbers in the head becomes another one."""
        at = self.at(lines)
        if at:
            words = lines[at].split(b" ")
            numbers = [i for i, w in enumerate(words) if w.isdigit()] or [len(words) - 1]
            words[self.one(numbers)] = self.one(NUMBERS)
            lines[at] = b" ".join(words)
        return lines, body

    def value(self, lines, body):
        at = self.at(lines)
        if at:
            name = lines[at].split(b":")[0]
            lines[at] = name + b": " + self.one((b"", b"a" * 4000, b"\"", b"<" + self.one(URIS) + b">;tag=" + self.one(NUMBERS), b",,,",
                                                 b"x\r\n y", b"\xff" * 20, b"a;b=\"c;d\";e", b"1 INVITE", b"1 ACK"))
        return lines, body

    def uri(self, lines, body):
        if self.chance(0.4) and not lines[0].startswith(b"SIP/2.0"):
            lines[0] = lines[0].split(b" ")[0] + b" " + self.one(URIS) + b" SIP/2.0"
            return lines, body
        at = self.at(lines)
        if at and b"<" in lines[at]:
            before, after = lines[at].split(b"<", 1)
            lines[at] = before + b"<" + self.one(URIS) + b">" + after.split(b">", 1)[-1]
        return lines, body

    def tag(self, lines, body):
        for i, line in enumerate(lines):
            if b";tag=" in line and self.chance(0.6):
                lines[i] = line.split(b";tag=")[0] + self.one((b"", b";tag=", b";tag=other", b";tag=" + b"t" * 140, b";tag=a;tag=b"))
        return lines, body

    def branch(self, lines, body):
        for i, line in enumerate(lines):
            if b"branch=" in line and self.chance(0.7):
                lines[i] = line.split(b"branch=")[0] + b"branch=" + self.one((b"", b"z9hG4bK", b"1", b"z9hG4bK" + b"q" * 200, b"Z9HG4BKx"))
        return lines, body

    def add(self, lines, body):
        at = self.at(lines) or 1
        return lines[:at] + [self.one(HEADERS) for _ in range(self.one((1, 1, 2, 5)))] + lines[at:], body

    def method(self, lines, body):
        if not lines[0].startswith(b"SIP/2.0"):
            other = self.one(METHODS)
            lines[0] = other + b" " + lines[0].split(b" ", 1)[-1]
            if self.chance(0.7):
                lines = [line.rsplit(b" ", 1)[0] + b" " + other if line.lower().startswith(b"cseq") else line for line in lines]
        return lines, body

    def other_body(self, lines, body):
        kind, body = self.one(BODIES)
        lines = [line for line in lines if not line.lower().startswith(b"content-type")]
        return lines + [b"Content-Type: " + kind], body

    def broken_body(self, lines, body):
        return lines, self.octets(body + b"\r\n") if body else body

    CHANGES = (drop, double, swap, number, number, value, uri, uri, tag, branch, add, add, method, other_body, broken_body)
