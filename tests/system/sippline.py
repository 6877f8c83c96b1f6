"""sipp scenarios in few words. A scenario is a list of steps; scenario() makes its XML.

    caller = scenario(*call(), expect(100, optional=True), expect(180), expect(200, rrs=True), ack(), pause(100), bye(), expect(200))

Answers are not repeated: on the loopback nothing is lost, and sipp would wait for the ACK of a 200 to UPDATE.
[service] is the number, [domain] and [from] are keys of the run. Bodies are SDP where one is needed."""
SDP = """v=0
o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
HOLD = SDP + "a=sendonly\n"


def scenario(*steps):
    return ('<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n<scenario name="steps">\n'
            + "\n".join(steps) + "\n</scenario>\n")


def send(text, retrans=True):
    how = ' retrans="500"' if retrans else ""
    return f"<send{how}><![CDATA[\n{text}\n]]></send>"


def pause(ms):
    return f'<pause milliseconds="{ms}"/>'


def expect(what, optional=False, rrs=False, check=None, crlf=False):
    """A response by its status, or a request by its method. check: (header, pattern) that it must have."""
    kind = f'response="{what}"' if isinstance(what, int) else f'request="{what}"'
    words = (' optional="true"' if optional else "") + (' rrs="true"' if rrs else "") + (' crlf="true"' if crlf else "")
    if check is None:
        return f"<recv {kind}{words}/>"
    header, pattern = check
    return (f'<recv {kind}{words}><action><ereg regexp="{pattern}" search_in="hdr" header="{header}:" check_it="true" '
            f'assign_to="9"/></action></recv>\n<Reference variables="9"/>')


def request(method, cseq, uri="sip:[service]@[domain]", to="<sip:[service]@[domain]>", extra="", body="", kind="application/sdp",
            branch="[branch]", routes=""):
    lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}", "Max-Forwards: 70",
             "From: <sip:[from]@[domain]>;tag=[pid]c[call_number]", f"To: {to}", "Call-ID: [call_id]", f"CSeq: {cseq} {method}",
             "Contact: <sip:[from]@[local_ip]:[local_port];transport=[transport]>"]
    lines += [routes] if routes else []
    lines += extra.splitlines()
    lines += [f"Content-Type: {kind}", "Content-Length: [len]", "", body] if body else ["Content-Length: 0", ""]
    return "\n".join(lines)


def alone(method, extra="", body="", kind="text/plain"):
    """A request outside of dialogs."""
    return send(request(method, 1, extra=extra, body=body, kind=kind))


def call(extra="", body=SDP):
    return send(request("INVITE", 1, extra=extra, body=body))


def inside(method, cseq, extra="", body="", retrans=True):
    """A request in the dialog that [routes] and [next_url] tell of."""
    return send(request(method, cseq, "[next_url]", "<sip:[service]@[domain]>[peer_tag_param]", extra, body, routes="[routes]"), retrans)


def ack(cseq=1):
    return inside("ACK", cseq, retrans=False)


def give_up(cseq=1):
    """ACK for a refusal: in the transaction of the INVITE, whose Via the refusal has brought back."""
    lines = ["ACK sip:[service]@[domain] SIP/2.0", "[last_Via:]", "Max-Forwards: 70", "[last_From:]", "[last_To:]", "Call-ID: [call_id]",
             f"CSeq: {cseq} ACK", "Content-Length: 0", ""]
    return send("\n".join(lines), retrans=False)


def bye(cseq=2):
    return inside("BYE", cseq)


def answer(status, reason="OK", extra="", body="", routes=True):
    """To the request that came last. routes: give back Record-Route and Contact, as what begins a dialog does."""
    lines = [f"SIP/2.0 {status} {reason}", "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]s[call_number]", "[last_Call-ID:]",
             "[last_CSeq:]"]
    lines += ["[last_Record-Route:]", "Contact: <sip:[local_ip]:[local_port];transport=[transport]>"] if routes else []
    lines += extra.splitlines()
    lines += ["Content-Type: application/sdp", "Content-Length: [len]", "", body] if body else ["Content-Length: 0", ""]
    return send("\n".join(lines), retrans=False)


def taken(status=200, reason="OK", extra=""):
    """To a request that makes no dialog."""
    return answer(status, reason, extra, routes=False)


def again(status, reason="OK", extra="", body=""):
    """To a request within the dialog: its To has our tag already."""
    return answer(status, reason, extra, body, routes=True).replace("[last_To:];tag=[pid]s[call_number]", "[last_To:]").replace(
        "[last_Record-Route:]\n", "")


# ---- a callee with more to say than answers ------------------------------------------------------------------------------------
KEPT = ("Via", "From", "To", "CSeq", "Record-Route", "Via")  # two of Via: the gate controller's and the caller's


def invited(*checks, method="INVITE"):
    """The INVITE (or what begins a dialog as well) comes and is kept: later() answers it whatever came in between.
    checks: (header, pattern) that it must have."""
    saves = "".join(f'<ereg regexp=".*" search_in="hdr" header="{name}:"{" occurence=" + chr(34) + "2" + chr(34) if i == 6 else ""} '
                    f'assign_to="{i}"/>' for i, name in enumerate(KEPT, 1))
    saves += "".join(f'<ereg regexp="{pattern}" search_in="hdr" header="{name}:" check_it="true" assign_to="{i}"/>'
                     for i, (name, pattern) in enumerate(checks, 20))
    used = ",".join(str(i) for i in [*range(1, len(KEPT) + 1), *range(20, 20 + len(checks))])
    return f'<recv request="{method}" rrs="true"><action>{saves}</action></recv>\n<Reference variables="{used}"/>'


def later(status, reason="OK", extra="", body=""):
    """An answer to the INVITE that invited() has kept."""
    lines = [f"SIP/2.0 {status} {reason}", "Via:[$1]", "Via:[$6]", "From:[$2]", "To:[$3];tag=[pid]s[call_number]", "Call-ID: [call_id]", "CSeq:[$4]",
             "Record-Route:[$5]", "Contact: <sip:[local_ip]:[local_port];transport=[transport]>"]
    lines += extra.splitlines()
    lines += ["Content-Type: application/sdp", "Content-Length: [len]", "", body] if body else ["Content-Length: 0", ""]
    return send("\n".join(lines), retrans=False)


def callee_says(method, cseq, extra="", body="", retrans=True):
    """A request of the callee's in the dialog."""
    lines = [f"{method} [next_url] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]", "Max-Forwards: 70",
             "From:[$3];tag=[pid]s[call_number]", "To:[$2]", "Call-ID: [call_id]", f"CSeq: {cseq} {method}",
             "Contact: <sip:[local_ip]:[local_port];transport=[transport]>", "[routes]", *extra.splitlines()]
    lines += ["Content-Type: application/sdp", "Content-Length: [len]", "", body] if body else ["Content-Length: 0", ""]
    return send("\n".join(lines), retrans)


# ---- what most tests want ----------------------------------------------------------------------------------------------------
def answering(*between):
    """A callee that rings, answers, and is hung up on; between: steps while it talks."""
    return scenario(expect("INVITE", rrs=True), answer(180, "Ringing"), answer(200, body=SDP), expect("ACK"), *between,
                    expect("BYE"), again(200))


def refusing(status, reason="Refused", extra=""):
    return scenario(expect("INVITE"), answer(status, reason, extra), expect("ACK"))
