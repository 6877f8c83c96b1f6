"""Call data and X2 by hand: which octets the samples of tests/samples/call_data.c must be. Written from the module of ETSI
TS 101 909-20-1 Annex A and from TS 103 221-2, message by message: nothing here knows the tables of lawful_intercept/cdc_tables.c."""
import struct

SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n"
SDP_KEY = SDP + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2FtcGxl\r\n"
SDP_LONG = SDP + 400 * "a=x\r\n"


class Node:
    """One TLV: its octets, and what a decoder shows of it: (name, text) of each leaf, in order."""

    def __init__(self, octets, leaves):
        self.octets, self.leaves = octets, leaves


def tlv(octet, value):
    n = len(value)
    if n < 0x80:
        return bytes([octet, n]) + value
    count = (n.bit_length() + 7) // 8
    return bytes([octet, 0x80 | count]) + n.to_bytes(count, "big") + value


def text(tag, name, value):
    return Node(tlv(0x80 | tag, value.encode()), [(name, value)])


def number(tag, name, value, word=None):
    """ENUMERATED with the word of the module, or INTEGER."""
    return Node(tlv(0x80 | tag, bytes([value])), [(name, word or str(value))])


def null(tag, name):
    return Node(tlv(0x80 | tag, b""), [(name, None)])


def many(octet, *nodes):
    return Node(tlv(octet, b"".join(n.octets for n in nodes)), [leaf for n in nodes for leaf in n.leaves])


def within(tag, *nodes):
    return many(0xA0 | tag, *nodes)


SEQUENCE = 0x30


def call_parts(event=42):
    return text(0, "sequencenumber", f"3909997400,{event}"), text(1, "systemidentity", "00GC1")


def call(tag, event=42):
    return within(tag, *call_parts(event))


ANNA = (text(6, "dn", "5550100"), text(10, "ipAddress", "10.1.1.5"), text(17, "port", "5060"))
BOB = (text(6, "dn", "5551212"),)
WHOLE = (text(6, "dn", "123456789012345"), text(7, "userProvided", "+12125550100"), text(10, "ipAddress", "2001:db8::1"),
         text(12, "trunkId", "trunk-1"), text(14, "genericAddress", "sip:a@headgate.test"), text(15, "genericDigits", "411"),
         text(16, "genericName", "Anna ~ {1}"), text(17, "port", "65535"), text(18, "context", "+1"))


def comb():
    return text(0, "combCCC", "0000BEEF")


def pair(receive):
    return within(1, text(0, "sepXmitCCC", "00000001"), text(1, "sepRecvCCC", receive))


def flow(tag, value):
    return number(tag, "flowDirection", value, {1: "downstream", 2: "upstream", 3: "downstream-and-upstream"}[value])


def display(*rows):
    return within(6, *(text(tag, name, value) for tag, name, value in rows))


DISPLAY = ("generalDisplay", "calledNumber", "callingNumber", "callingName", "originalCalledNumber", "lastRedirectingNumber",
           "redirectingName", "redirectingReason", "messageWaitingNotif")

# Message: tag, the version that has it first, and what follows the common head: least, full, other. A part (4, ...) of a tuple
# begins with the version from which on it is there.
MESSAGES = {
    "Answer": (1, 3, [call(3)], [call(3), within(4, *ANNA)], [call(3), within(4, *WHOLE)]),
    "CCClose": (2, 3, [within(3, comb()), flow(4, 1)], [within(3, comb()), flow(4, 3)], [within(3, pair("FFFFFFFF")), flow(4, 2)]),
    "CCOpen": (3, 3, [within(3, many(SEQUENCE, *call_parts())), within(5, comb()), flow(8, 1)],
               [within(3, many(SEQUENCE, *call_parts()), many(SEQUENCE, *call_parts(43))), within(5, comb()), text(6, "subject", SDP),
                text(7, "associate", SDP_KEY), flow(8, 3)],
               [within(3, many(SEQUENCE, *call_parts())), within(5, pair("FFFFFFFF")), text(6, "subject", SDP_LONG),
                text(7, "associate", "s=René\r\n"), flow(8, 2)]),
    "Origination": (5, 3, [call(3), within(4, *BOB), text(6, "userinput", "611"), null(8, "reserved0")],
                    [call(3), within(4, *ANNA), within(5, *BOB), text(6, "userinput", "5551212"), null(8, "reserved0"),
                     text(9, "transitCarrierId", "0288")],
                    [call(3), within(4, *WHOLE), text(7, "translationinput", "12345678901234567890123456789012"), null(8, "reserved0"),
                     text(9, "transitCarrierId", "0288")]),
    "Redirection": (7, 3, [call(3), within(4, *BOB), null(6, "reserved0"), null(7, "reserved1")],
                    [call(3), within(4, *BOB), text(5, "transitCarrierId", "0288"), null(6, "reserved0"), null(7, "reserved1"),
                     call(8, 43), within(9, *ANNA)],
                    [call(3), within(4, *WHOLE), text(5, "transitCarrierId", "0288"), null(6, "reserved0"), null(7, "reserved1"),
                     call(8, 43), within(9, *ANNA)]),
    "Release": (8, 3, [call(3)], [call(3)], [call(3)]),
    "TerminationAttempt": (10, 3, [call(3), null(6, "reserved0")],
                           [call(3), within(4, *ANNA), within(5, *BOB), null(6, "reserved0"),
                            within(7, within(0, *BOB), within(1, *ANNA), number(2, "numRedirections", 3))],
                           [call(3), within(4, *WHOLE), null(6, "reserved0"),
                            within(7, within(1, *WHOLE), number(2, "numRedirections", 100))]),
    "CCChange": (12, 3, [call(3), within(4, comb()), flow(7, 1)],
                 [call(3), within(4, comb()), text(5, "subject", SDP), text(6, "associate", SDP_KEY), flow(7, 3),
                  number(8, "resourceState", 2, "committed")],
                 [call(3), within(4, pair("FFFFFFFF")), text(5, "subject", SDP_LONG), text(6, "associate", "s=René\r\n"), flow(7, 2),
                  number(8, "resourceState", 1, "reserved")]),
    "DialedDigitExtraction": (15, 4, [call(3), text(4, "digits", "0")], [call(3), text(4, "digits", "12#")],
                              [call(3), text(4, "digits", "12#")]),
    "NetworkSignal": (16, 3, [call(3), number(5, "subjectAudibleSignal", 5, "busyTone"), (4, within(8, *BOB))],
                      [call(3), number(4, "alertingSignal", 1, "alertingPattern0"), number(5, "subjectAudibleSignal", 3, "ringbackTone"),
                       display(*((tag, name, "text") for tag, name in enumerate(DISPLAY))), text(7, "other", "announcement"),
                       (4, within(8, *BOB))],
                      [call(3), number(4, "alertingSignal", 15, "alertingPattern9"),
                       number(5, "subjectAudibleSignal", 21, "authenticationFailureTone"), display((1, "calledNumber", "5551212")),
                       text(7, "other", "announcement"), (4, within(8, *WHOLE))]),
    "SubjectSignal": (17, 3, [within(4, text(1, "dialedDigits", "*72")), (4, within(5, *BOB))],
                      [call(3), within(4, text(0, "switchhookFlash", "flash"), text(1, "dialedDigits", "*72"), text(2, "featureKey", "key"),
                                       text(3, "otherSignalingInformation", "REFER")), (4, within(5, *BOB))],
                      [call(3), within(4, text(3, "otherSignalingInformation", "REGISTER")), (4, within(5, *WHOLE))]),
    "MediaReport": (18, 3, [call(3)], [call(3), text(4, "subject", SDP), text(5, "associate", SDP_KEY)],
                    [call(3), text(4, "subject", SDP_LONG), text(5, "associate", "s=René\r\n")]),
    "ServiceInstance": (19, 3, [call(3), text(5, "serviceName", "s")],
                        [call(3), call(4, 43), text(5, "serviceName", "forwarding"), within(6, *ANNA), within(7, *BOB), within(8, *BOB),
                         within(9, *ANNA)],
                        [call(3), call(4, 43), text(5, "serviceName", "forwarding"), within(6, *ANNA), within(7, *BOB),
                         within(9, *WHOLE)]),
    "ConferencePartyChange": (20, 4, [call(3)],
                              [call(3), within(4, many(SEQUENCE, within(0, many(SEQUENCE, *ANNA), many(SEQUENCE, *BOB)), within(1, comb())),
                                               many(SEQUENCE, within(0, many(SEQUENCE)))),
                               within(6, many(SEQUENCE, within(1, pair("00000002"))))],
                              [call(3), within(5, many(SEQUENCE, within(0, many(SEQUENCE, *WHOLE)), within(1, comb()))),
                               within(6, many(SEQUENCE, within(1, pair("00000002"))))]),
}


def body(version, kind, form):
    """What stands within a CdcPdu."""
    tag, _, *forms = MESSAGES[kind]
    parts = [p[1] if isinstance(p, tuple) else p for p in forms[("least", "full", "other").index(form)]
             if not isinstance(p, tuple) or version >= p[0]]
    head = (text(0, "caseId", "CASE-0001"), text(1, "accessingElementId", "GC1"), text(2, "eventTime", "20231114221320.123Z"))
    return number(0, "protocolVersion", version, f"v{version}"), within(1, within(tag, *head, *parts))


def call_data():
    """File name: (version, kind, form, its nodes)."""
    return {f"v{version}-{kind}-{form}.ber": (version, kind, form, many(SEQUENCE, *body(version, kind, form)))
            for version in (3, 4) for kind, (_, since, *_) in MESSAGES.items() if version >= since
            for form in ("least", "full", "other")}


# ---- X2 -----------------------------------------------------------------------------------------------------------------------

XID = "7f0e3c0a-4b1d-4c2e-9a5b-112233445566"
TIME = struct.pack("!II", 1700000000, 123000000)
REST = ("Via: SIP/2.0/TLS 192.0.2.7:5061;branch=z9hG4bK1\r\nFrom: <sip:a@headgate.test>;tag=1\r\nTo: <sip:b@headgate.test>\r\n"
        "Call-ID: 1@192.0.2.7\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n").encode()


def x2_pdu(kind, form, direction, xid, correlation, attributes, payload):
    inside = b"".join(struct.pack("!HH", t, len(v)) + v for t, v in attributes)
    return (struct.pack("!HHIIHH", 5, kind, 40 + len(inside), len(payload), form, direction) + xid + struct.pack("!Q", correlation) +
            inside + payload)


def x2():
    """File name: octets."""
    def port(n):
        return struct.pack("!H", n)

    xid, prefix = bytes.fromhex(XID.replace("-", "")), bytes.fromhex("20010db8") + bytes(11)
    alive = [(8, bytes([0, 0, 0, 1]))]
    return {
        "x2-request": x2_pdu(1, 9, 3, xid, 0x42, [
            (8, bytes([0, 0, 0, 7])), (9, TIME), (10, bytes([192, 0, 2, 7])), (14, port(5061)), (11, bytes([192, 0, 2, 1])),
            (15, port(5070)), (17, b"<sipUri>sip:a@headgate.test</sipUri>")], b"INVITE sip:b@headgate.test SIP/2.0\r\n" + REST),
        "x2-response": x2_pdu(1, 9, 2, xid, 2**64 - 1, [
            (8, b"\xff\xff\xff\xff"), (9, TIME), (12, prefix + b"\x01"), (14, port(5070)), (13, prefix + b"\x02"),
            (15, port(5061)), (17, b"<e164Number>12125550100</e164Number>")], b"SIP/2.0 200 OK\r\n" + REST),
        "x2-keepalive": x2_pdu(3, 0, 0, bytes(16), 0, alive, b""),
        "x2-keepalive-ack": x2_pdu(4, 0, 0, bytes(16), 0, alive, b"")}
