"""What an attacker writes into a message, as data: headers, and the ways in which each may be spelled. Every value holds one of MARKS, so that
a trace of it anywhere in what arrives is found without knowing which header it was. {domain} is the service provider's."""
import re
import unicodedata
import urllib.parse

VICTIM = "+12125550103"  # a line of ours that never calls anybody here
MARKS = ("f0rged", "5550103")

_SIP, _TEL = f'"F0rged" <sip:{VICTIM}@{{domain}}>', f"<tel:{VICTIM}>"


def row(name, *values):
    return [(name, value) for value in values]


# Identity: who calls, who vouches for it, whose call it was before (RFC 3325, 3323, 8224, 7044, 5806; drafts before them).
IDENTITY = (
    row("P-Asserted-Identity", _SIP, _TEL, f"{_SIP}, {_TEL}", f"sip:{VICTIM}@{{domain}}", f"tel:{VICTIM}", "<sip:+1%32125550103@{domain}>",
        f"<sips:{VICTIM}@{{domain}};user=phone>", "<tel:+1-212-555-0103>", f"<sip:{VICTIM};verstat=TN-Validation-Passed@{{domain}}>")
    + row("P-Preferred-Identity", _SIP, _TEL)
    + row("Remote-Party-ID", f"{_SIP};party=calling;screen=yes;privacy=off")
    + row("RPID-Privacy", "party=calling;id-type=subscriber;privacy=off;f0rged=1")
    + row("Anonymity", "off-f0rged")
    + row("Identity", 'eyJhbGciOiJFUzI1NiJ9.eyJvcmlnIjoiRjByZ2VkIn0.F0rgedF0rged;info=<https://f0rged.test/c.pem>;alg=ES256;ppt="shaken"')
    + row("Identity-Info", "<https://f0rged.test/c.pem>;alg=rsa-sha1")
    + row("Attestation-Info", "A-f0rged")
    + row("Origination-Id", "f0rged00-0000-4000-8000-000000000000")
    + row("Additional-Identity", _SIP)
    + row("Diversion", f"<sip:{VICTIM}@{{domain}}>;reason=unconditional;counter=1")
    + row("CC-Diversion", f"<sip:{VICTIM}@{{domain}}>;reason=unconditional")
    + row("History-Info", f"<sip:{VICTIM}@{{domain}}>;index=1, <sip:+12125550102@{{domain}}>;index=1.1")
    + row("P-Called-Party-ID", f"<sip:{VICTIM}@{{domain}}>")
    + row("P-Served-User", f"<sip:{VICTIM}@{{domain}}>;sescase=orig;regstate=reg")
    + row("P-Associated-URI", f"<sip:{VICTIM}@{{domain}}>")
    + row("P-Asserted-Service", "urn:urn-7:f0rged")
    + row("P-Preferred-Service", "urn:urn-7:f0rged")
)

# What only gate controllers tell each other (RFC 5503, RFC 3313, RFC 7315, the drafts of 1999 to 2001).
DOMAIN = (
    row("P-DCS-Trace-Party-ID", f"<sip:{VICTIM}@{{domain}};user=phone>;timestamp=3434688831.2327")
    + row("P-DCS-OSPS", "BLV-f0rged", "EI")
    + row("P-DCS-Billing-Info", f'3435343533303631/30303030@f0rged.test;charge="tel:{VICTIM}";calling="tel:{VICTIM}"')
    + row("P-DCS-LAES", "f0rged.test:1234;content=f0rged.test:5678;cccid=00000001")
    + row("P-DCS-Redirect", f'"tel:{VICTIM}";redirector-uri="tel:{VICTIM}";count=1')
    + row("P-DCS-Something-New", "f0rged")
    + row("Dcs-Trace-Party-ID", f"<sip:{VICTIM}@{{domain}}>")
    + row("Dcs-Billing-Info", f"f0rged.test:7000 <tel:{VICTIM}>/<tel:{VICTIM}>")
    + row("Dcs-Billing-Id", "f0rged/1")
    + row("Dcs-Laes", "f0rged.test:1,f0rged.test:2;key")
    + row("Dcs-Redirect", f"<tel:{VICTIM}> <tel:{VICTIM}> 1")
    + row("Dcs-Osps", "BLV-f0rged")
    + row("Dcs-Gate", "f0rged.test:3333/1;key;null 1")
    + row("State", "f0rged.test;blob=00")
    + row("P-Media-Authorization", "F0F0F0F0")
    + row("P-Charging-Vector", "icid-value=f0rged;orig-ioi=f0rged.test")
    + row("P-Charging-Function-Addresses", "ccf=f0rged.test")
    + row("P-Access-Network-Info", "3GPP-UTRAN-TDD; utran-cell-id-3gpp=f0rged")
    + row("P-Visited-Network-ID", '"f0rged"')
    + row("P-Profile-Key", f"<sip:{VICTIM}@{{domain}}>")
    + row("P-User-Database", "<aaa://f0rged.test>")
    + row("P-Early-Media", "f0rged")
    + row("P-Private-Network-Indication", "f0rged.test")
    + row("P-Anything-Unknown", "f0rged")
    + row("P-", "f0rged")
)

# What makes the far end do or show something: priority, rings, pictures, places, a voice path without anybody at the phone.
EFFECTS = (
    row("Resource-Priority", "ets.0", "wps.0, esnet.1")
    + row("Alert-Info", "<http://f0rged.test/ring.wav>", "<urn:alert:f0rged>")
    + row("Call-Info", "<http://f0rged.test/face.jpg>;purpose=icon", "<http://f0rged.test/card.json>;purpose=jcard",
          "<sip:f0rged.test>;answer-after=0")
    + row("Answer-Mode", "Auto;f0rged")
    + row("Priv-Answer-Mode", "Auto;f0rged")
    + row("Geolocation-Routing", "yes-f0rged")
    + row("Priority", "psap-callback")
)

COMPACT = {"identity": "y", "referred-by": "b", "refer-to": "r"}


def mixed(name):
    return "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(name))


# Each takes (name, value) and gives header lines, or None where it does not apply.
SPELLINGS = {
    "as in the standard": lambda n, v: [f"{n}: {v}"],
    "lower case": lambda n, v: [f"{n.lower()}: {v}"],
    "upper case": lambda n, v: [f"{n.upper()}: {v}"],
    "mixed case": lambda n, v: [f"{mixed(n)}: {v}"],
    "a blank before the colon": lambda n, v: [f"{n} : {v}"],
    "tabs before the colon": lambda n, v: [f"{n}\t \t: {v}"],
    "nothing behind the colon": lambda n, v: [f"{n}:{v}"],
    "blanks at the end": lambda n, v: [f"{n}: {v} \t  "],
    "folded behind the colon": lambda n, v: [f"{n}:\r\n {v}"],
    "folded, blanks all around": lambda n, v: [f"{n} : \r\n\t {v}"],
    "twice": lambda n, v: [f"{n}: {v}", f"{n.lower()}: {v}"],
    "behind an empty one": lambda n, v: [f"{n}:", f"{n}: {v}"],
    "sixty times": lambda n, v: [f"{mixed(n) if i % 2 else n}: {v}" for i in range(60 if len(v) + len(n) < 90 else 20)],
    "compact": lambda n, v: [f"{COMPACT[n.lower()]}: {v}"] if n.lower() in COMPACT else None,
    "compact, upper case": lambda n, v: [f"{COMPACT[n.lower()].upper()} : {v}"] if n.lower() in COMPACT else None,
}


def plain(octets):
    """What a generous reader could make of octets: no folds, no escapes, no separators, one case."""
    text = octets.decode("utf-8", "replace").replace("\r\n ", " ").replace("\r\n\t", " ")
    for _ in range(2):
        text = urllib.parse.unquote(text, errors="replace")
    text = unicodedata.normalize("NFKC", text).lower()
    return text + "\n" + re.sub(r"[-.() \\]", "", text)


def traces(octets):
    text = plain(octets)
    return [mark for mark in MARKS if mark in text]

# From of a line that is +12125550101: values, and what else is written. What such a From says of others is refused or replaced.
FROMS = {
    "another's number": f"<sip:{VICTIM}@{{domain}}>",
    "another's number, tel": f"<tel:{VICTIM}>",
    "another's number, user=phone": f"<sip:{VICTIM}@{{domain}};user=phone>",
    "another's number, sips": f"<sips:{VICTIM}@{{domain}}>",
    "another's number, escaped plus": "<sip:%2B12125550103@{domain}>",
    "another's number, every digit escaped": "<sip:%2b%31%32%31%32%35%35%35%30%31%30%33@{domain}>",
    "another's number, separators": "<sip:+1-212-555-0103@{domain};user=phone>",
    "another's number, more separators": "<tel:+1(212)555.0103>",
    "another's number without plus": "<sip:12125550103@{domain}>",
    "another's number as dialled at home": "<sip:2125550103@{domain}>",
    "another's number, local": "<tel:5550103;phone-context=+1212>",
    "another's number elsewhere": f"<sip:{VICTIM}@f0rged.test>",
    "own number elsewhere": "<sip:+12125550101@f0rged.test>",
    "own number, domain in a parameter": "<sip:+12125550101@{domain};maddr=f0rged.test>",
    "own number, other domain behind an escape": "<sip:+12125550101%40{domain}@f0rged.test>",
    "own number, domain that begins like ours": "<sip:+12125550101@{domain}.f0rged.test>",
    "own number with another's in its parameters": f"<sip:+12125550101;ext={VICTIM}@{{domain}}>",
    "own number with another's as password": f"<sip:+12125550101:{VICTIM}@{{domain}}>",
    "own number with another's in the URI": f"<sip:+12125550101@{{domain}};tel={VICTIM}>",
    "own number with another's behind the URI": f"<sip:+12125550101@{{domain}}>;on-behalf-of=\"{VICTIM}\"",
    "own number, NUL, another's": f"<sip:+12125550101%00{VICTIM}@{{domain}}>",
    "own number, escaped newline, another's": f"<sip:+12125550101%0D%0A{VICTIM}@{{domain}}>",
    "own number and headers": f"<sip:+12125550101@{{domain}}?P-Asserted-Identity=%3Ctel:{VICTIM}%3E>",
    "own number said to be verified": "<sip:+12125550101;verstat=TN-Validation-Passed;f0rged=1@{domain}>",
    "another's number as name": f'"{VICTIM}" <sip:+12125550101@{{domain}}>',
    "another's number as name, separators": '"(212) 555-0103" <sip:+12125550101@{domain}>',
    "another's number as name, other digits": '"+１２１２５５５０１０３" <sip:+12125550101@{domain}>',
    "another's name": '"F0rged Bank" <sip:+12125550101@{domain}>',
    "another's name without quotes": "F0rged Bank <sip:+12125550101@{domain}>",
    "another's name, escaped": '"\\F0r\\ged" <sip:+12125550101@{domain}>',
    "another's address as name": f'"<sip:{VICTIM}@{{domain}}>;tag=f0rged" <sip:+12125550101@{{domain}}>',
    "a name that ends its quotes": f'"Bank\\" <sip:{VICTIM}@{{domain}}>;x=\\"" <sip:+12125550101@{{domain}}>',
    "a name from right to left": '"\u202eF0rged\u202c" <sip:+12125550101@{domain}>',
    "a name of zero width": '"F\u200b0rged \ufb00" <sip:+12125550101@{domain}>',
    "a name with a fold": '"F0rged\r\n Bank" <sip:+12125550101@{domain}>',
    "nobody, with a name": '"F0rged" <sip:anonymous@anonymous.invalid>',
    "an emergency service": "<urn:service:f0rged>",
    "a mail address": "<mailto:f0rged@{domain}>",
    "our own name": "\"F0rged\" <sip:{domain}>",
    "no brackets": f"sip:{VICTIM}@{{domain}}",
    "no brackets, own number, parameter": "sip:+12125550101@{domain};f0rged=1",
    "two": f"<sip:+12125550101@{{domain}}>, <sip:{VICTIM}@{{domain}}>",
    "two, the other first": f"<sip:{VICTIM}@{{domain}}>, <sip:+12125550101@{{domain}}>",
    "a second line": f"<sip:+12125550101@{{domain}}>;tag=1\r\nFrom: <sip:{VICTIM}@{{domain}}>",
    "a second line, compact": f"<sip:+12125550101@{{domain}}>;tag=1\r\nf: <sip:{VICTIM}@{{domain}}>",
    "a second line, a blank before the colon": f"<sip:+12125550101@{{domain}}>;tag=1\r\nFROM : <sip:{VICTIM}@{{domain}}>",
    "a second line that is folded away": f"<sip:+12125550101@{{domain}}>\r\n From: <sip:{VICTIM}@{{domain}}>",
}

# Headers inside URIs, and inside bodies.
IN_URI = ("P-Asserted-Identity=%3Csip:+12125550103@{domain}%3E", "p-asserted-identity=%3Ctel:+12125550103%3E",
          "%50-%41sserted-Identity=%3Ctel:+12125550103%3E", "Subject=x&P-Asserted-Identity=%3Ctel:+12125550103%3E",
          "P-Preferred-Identity=%3Ctel:+12125550103%3E", "From=%3Csip:+12125550103@{domain}%3E", "f=%3Csip:+12125550103@{domain}%3E",
          "Remote-Party-ID=%3Ctel:+12125550103%3E", "Identity=f0rged", "y=f0rged", "Diversion=%3Ctel:+12125550103%3E",
          "History-Info=%3Ctel:+12125550103%3E", "P-DCS-Redirect=%22tel:+12125550103%22", "P-DCS-LAES=f0rged.test:1",
          "p%2ddcs%2dbilling-info=f0rged", "P-DCS-Trace-Party-ID=%3Ctel:+12125550103%3E", "Referred-By=%3Ctel:+12125550103%3E",
          "Resource-Priority=f0rged.0", "P-Charging-Vector=icid-value=f0rged", "Authorization=Digest%20f0rged",
          "Via=SIP/2.0/UDP%20f0rged.test", "Route=%3Csip:f0rged.test%3E", "Record-Route=%3Csip:f0rged.test%3E", "Answer-Mode=Auto%3Bf0rged",
          "Call-Info=%3Chttp://f0rged.test%3E%3Bpurpose=icon", "Call-ID=f0rged", "Subject=%0D%0AP-Asserted-Identity:%20f0rged")
_FRAGMENT = "INVITE sip:x@{domain} SIP/2.0\r\nFrom: <sip:+12125550101@{domain}>;tag=1\r\n%s\r\n\r\n"


def _mixed(kind, inner, boundary="b"):
    return (f'multipart/{kind};boundary="{boundary}"', f"--{boundary}\r\n{inner}\r\n--{boundary}--\r\n")


_PAI = f"P-Asserted-Identity: <sip:{VICTIM}@{{domain}}>"
BODIES = {
    "message/sip": ("message/sip", _FRAGMENT % _PAI),
    "message/sipfrag": ("message/sipfrag", f"{_PAI}\r\n"),
    "message/sipfrag with version": ("Message/SIPfrag;version=2.0", f"SIP/2.0 200 OK\r\n{_PAI.upper().replace('{DOMAIN}', '{domain}')}\r\n"),
    "message/sipfrag, folded": ("message/sipfrag", f"P-Asserted-Identity :\r\n <tel:{VICTIM}>\r\n"),
    "message/sipfrag, compact": ("message/sipfrag", "y: f0rged;info=<https://f0rged.test>\r\n"),
    "message/sipfrag, P-DCS": ("message/sipfrag", f'P-DCS-Redirect: "tel:{VICTIM}"\r\nP-DCS-LAES: f0rged.test:1\r\n'),
    "sipfrag in mixed": _mixed("mixed", f"Content-Type: message/sipfrag\r\n\r\n{_PAI}\r\n"),
    "sipfrag in alternative": _mixed("alternative", f"content-type:message/sipfrag;version=2.0\r\n\r\n{_PAI}\r\n"),
    "sip in mixed in mixed": _mixed("mixed", "Content-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\nContent-Type: message/sip\r\n\r\n"
                                    + _FRAGMENT % _PAI + "\r\n--c--"),
    "signed": _mixed("signed;protocol=x", f"Content-Type: message/sipfrag\r\n\r\n{_PAI}\r\n"),
    "sipfrag in mixed, folded header of the part": _mixed("mixed", f"Content-Type:\r\n message/sipfrag\r\n\r\n{_PAI}\r\n"),
    "sipfrag in mixed, blanks before the colon": _mixed("mixed", f"CONTENT-TYPE  : Message/SipFrag\r\n\r\n{_PAI}\r\n"),
    "sipfrag in mixed, compact": _mixed("mixed", f"c: message/sipfrag\r\n\r\n{_PAI}\r\n"),
    "sipfrag in mixed, second part": _mixed("mixed", "Content-Type: text/plain\r\n\r\nx\r\n--b\r\n"
                                                   f"Content-Type: message/sipfrag\r\n\r\n{_PAI}\r\n"),
    "sipfrag in mixed, before the first boundary": ("multipart/mixed;boundary=b", f"Content-Type: message/sipfrag\r\n\r\n{_PAI}\r\n--b--\r\n"),
    "sipfrag, bare line feeds": ("message/sipfrag", f"Subject: x\n{_PAI}\n"),
    "sipfrag, a quoted type": ("message/sipfrag;x=\"a,b\"", f"{_PAI}\r\n"),
    "sipfrag, From too": ("message/sipfrag", f"From: <sip:+12125550101@{{domain}}>\r\n{_PAI}\r\nRemote-Party-ID : <tel:{VICTIM}>\r\n"),
    "sipfrag, no end of line": ("message/sipfrag", _PAI),
    "the number in ISUP": ("application/isup;version=itu-t92+", "\1f0rged"),
    "the number in QSIG": ("application/QSIG", "\2f0rged"),
    "ISUP in mixed": _mixed("mixed", "Content-Type: application/ISUP;version=f0rged\r\n"
                            "Content-Disposition: signal;handling=optional\r\n\r\n\1\2"),
}
