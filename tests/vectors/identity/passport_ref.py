"""PASSporT tokens and Identity headers, a second time: written from docs/identity.md and the RFCs it names, for vectors."""
import base64
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import headgate_ref as ref  # noqa: E402  ECDSA

TN = re.compile(r"[0-9#*]{1,19}")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
LAST_SECOND = 253402300799


class Refused(Exception):
    pass


def must(condition, why):
    if not condition:
        raise Refused(why)


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text):
    must(re.fullmatch(r"[A-Za-z0-9_-]*", text), "alphabet")
    must(len(text) % 4 != 1, "length")
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    must(b64(octets) == text, "bits beyond the last octet")
    return octets


# ---- made ------------------------------------------------------------------------------------------------------------

def make(claims, d):
    """claims: type, x5u, dest [{tn} or {uri}], iat, orig, and attest and origid, or div."""
    header = {"alg": "ES256", "typ": "passport", "x5u": claims["x5u"]}
    dest = {kind: sorted(p[kind] for p in claims["dest"] if kind in p) for kind in ("tn", "uri")}
    payload = {"dest": {k: v for k, v in dest.items() if v}, "iat": claims["iat"], "orig": claims["orig"]}
    if claims["type"] != "base":
        header["ppt"] = claims["type"]
    payload.update({k: claims[k] for k in {"shaken": ("attest", "origid"), "div": ("div",)}.get(claims["type"], ())})
    signed = ".".join(b64(json.dumps(o, sort_keys=True, separators=(",", ":")).encode()) for o in (header, payload))
    return signed + "." + b64(ref.ecdsa_sign(d, signed.encode()))


# ---- read ------------------------------------------------------------------------------------------------------------

class Object(list):
    """Pairs, as they came."""


class Number(str):
    pass


def walk(value, depth, count):
    if isinstance(value, (Object, list)):
        must(depth < 6, "depth")
    if isinstance(value, Object):
        names = [n for n, _ in value]
        must(len(names) <= 24 and len(set(names)) == len(names), "members")
        for n, v in value:
            walk(n, depth, count)
            must(len(n.encode()) <= 31, "name")
            count[0] += 1
            walk(v, depth + 1, count)
    elif isinstance(value, list):
        for v in value:
            count[0] += 1
            walk(v, depth + 1, count)
    elif isinstance(value, str):
        must("\0" not in value and not re.search("[\ud800-\udfff]", value), "text")
    must(count[0] <= 128, "values")


def constant(text):
    raise Refused(text)


def object_of(octets):
    try:
        value = json.loads(octets.decode("utf-8"), object_pairs_hook=Object, parse_int=Number, parse_float=float,
                           parse_constant=constant)
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise Refused(str(e)) from e
    must(isinstance(value, Object), "object")
    walk(value, 0, [0])
    return dict(value)


def text_of(value, pattern, most):
    must(isinstance(value, str) and not isinstance(value, Number), "text")
    must(pattern.fullmatch(value) and len(value.encode()) <= most, "form")
    return value


def identity_of(kind, value):
    return text_of(value, TN, 19) if kind == "tn" else text_of(value, URI, 255)


def party_of(value):
    must(isinstance(value, Object), "party")
    found = [{k: identity_of(k, v)} for k, v in value if k in ("tn", "uri")]
    must(len(found) == 1, "one identity")
    return found[0]


def dest_of(value):
    must(isinstance(value, Object), "dest")
    out = []
    for kind, values in value:
        if kind in ("tn", "uri"):
            must(isinstance(values, list) and not isinstance(values, Object) and values, "array")
            out += [{kind: identity_of(kind, v)} for v in values]
    must(1 <= len(out) <= 8, "dest")
    return out


def read(token):
    must(len(token) <= 2048, "length")
    parts = token.split(".")
    must(len(parts) == 3 and all(parts) and len(parts[2]) == 86, "parts")
    header, payload, signature = (unb64(p) for p in parts)
    must(len(signature) == 64, "signature")
    header, payload = object_of(header), object_of(payload)
    must(header.get("alg") == "ES256" and header.get("typ") == "passport" and "crit" not in header, "header")
    must(not isinstance(header.get("alg"), Number), "header")
    x5u = text_of(header.get("x5u"), URI, 511)
    must(x5u.lower().startswith("https://") and len(x5u) > 8, "x5u")
    ppt = text_of(header["ppt"], re.compile(r"[^\0]+", re.S), 15) if "ppt" in header else ""
    iat = payload.get("iat")
    must(isinstance(iat, Number) and re.fullmatch("0|[1-9][0-9]*", iat) and int(iat) <= LAST_SECOND, "iat")
    out = {"type": {"": "base", "shaken": "shaken", "div": "div"}.get(ppt, "other"), "x5u": x5u, "iat": int(iat),
           "dest": dest_of(payload.get("dest")), "orig": party_of(payload.get("orig"))}
    if ppt == "shaken":
        out["attest"] = text_of(payload.get("attest"), re.compile("[ABC]"), 1)
        out["origid"] = text_of(payload.get("origid"), UUID, 36)
    if ppt == "div":
        must("opt" not in payload, "opt")
        out["div"] = party_of(payload.get("div"))
    return out


def verify(token, point):
    signed, signature = token.rsplit(".", 1)
    return ref.ecdsa_ok(point, signed.encode(), unb64(signature))
