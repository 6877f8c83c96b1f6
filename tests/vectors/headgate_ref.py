"""Second implementation of Headgate's protocol, written from docs/protocol.md alone. Section numbers are that page's.

It is for tests: nothing here runs in constant time, and random octets can be given. HPKE, HKDF, the deterministic
signatures and the reading of certificate paths are written out on primitives; AES-GCM, ECDH, ECDSA verification and
DER come from python3-cryptography.
"""
import datetime
import hashlib
import hmac
import os
import re
import struct

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# ---- 3, 4, 5: numbers --------------------------------------------------------------------------------------------

TYPES = {"YO": 1, "OFFER": 2, "KEYS": 3, "PROOF": 4, "AUTH_RESULT": 5, "USER_KEY": 6, "DONE": 7, "ERROR": 8,
         "ERROR_SEALED": 9, "SESSION_REQUEST": 16, "SESSION_ANSWER": 17}
(YO, OFFER, KEYS, PROOF, AUTH_RESULT, USER_KEY, DONE, ERROR, ERROR_SEALED, SESSION_REQUEST, SESSION_ANSWER) = TYPES.values()

# number: (name, shortest, longest)
FIELDS = {
    1: ("MODE", 1, 1), 2: ("SUITES", 1, 8), 3: ("CALL_ID", 1, 255), 4: ("RANDOM", 32, 32), 5: ("EPHEMERAL", 65, 65),
    6: ("TRANSCRIPT", 32, 32), 7: ("SUITE", 1, 1), 8: ("CHAIN", 1, 16384), 9: ("HPKE_ENC", 65, 65),
    10: ("HPKE_CT", 16, 512), 11: ("WRAPPED", 112, 112), 12: ("INFO_CT", 16, 256), 20: ("N0", 32, 32),
    21: ("N1", 32, 32), 22: ("N2", 32, 32), 30: ("MAC_ADDR", 6, 6), 31: ("IP", 4, 16), 32: ("MODEL", 0, 63),
    33: ("SOFTWARE", 0, 63), 40: ("VERDICT", 1, 1), 41: ("TRIES_LEFT", 1, 1), 50: ("KEY_KIND", 1, 1),
    51: ("USER_KEY", 64, 65), 52: ("POSSESSION", 32, 64), 60: ("BTI_ID", 16, 16), 61: ("NUMBERS", 0, 16384),
    62: ("GATES", 0, 16384), 63: ("SERVERS", 0, 16384), 70: ("CODE", 2, 2), 71: ("TEXT", 0, 127), 80: ("FORM", 1, 1),
    81: ("SECRET", 32, 32), 82: ("TIME", 8, 8), 83: ("COUNTER", 8, 8), 84: ("GATE_NAME", 1, 255),
    85: ("NONCE", 12, 12), 86: ("KID", 16, 16), 87: ("LIFETIME", 4, 4), 90: ("SIGNATURE", 64, 64), 91: ("MAC", 32, 32),
}
NUMBER = {name: number for number, (name, _, _) in FIELDS.items()}

MALFORMED, ORDER, TOO_LONG, CRITICAL, SUITE, CRYPTO, DISAGREE, UNTRUSTED, NO_CALL = 1, 2, 3, 4, 5, 6, 7, 8, 9
REVOKED, BARRED, STALE, UNKNOWN = 20, 21, 22, 23

BODY_MAX = 16384
USER_KEY_FRAME_MAX = 512
ERROR_BODY_MAX = 256
COVERED_MAX = 965
COUNTER_MAX = 2 ** 63 - 1
CLOCK_DIFFERENCE_US = 300 * 1000000
KEY_LEN = {1: 16, 2: 32}  # by suite
OID_PS = "2.25.180442957304862710548223910573384761.1"
OID_GC = "2.25.180442957304862710548223910573384761.2"


class Refused(Exception):
    """What came from the other end is not accepted; code as in section 5."""

    def __init__(self, code, why):
        super().__init__(f"code {code}: {why}")
        self.code = code


def demand(condition, code, why):
    if not condition:
        raise Refused(code, why)


class Octets:
    """Random octets: one given string taken front to back (appendix A), or the system's."""

    def __init__(self, given=None):
        self.given, self.at = given, 0

    def take(self, n):
        if self.given is None:
            return os.urandom(n)
        piece = self.given[self.at:self.at + n]
        if len(piece) != n:
            raise ValueError("the given random octets are used up")
        self.at += n
        return piece

    def spent(self):
        return self.given is None or self.at == len(self.given)


# ---- 6: primitives -----------------------------------------------------------------------------------------------

P = 2 ** 256 - 2 ** 224 + 2 ** 192 + 2 ** 96 - 1
ORDER_N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
CURVE = ec.SECP256R1()


def private(d):
    return ec.derive_private_key(int.from_bytes(d, "big"), CURVE)


def point_of(d):
    return private(d).public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def read_point(octets):
    demand(len(octets) == 65 and octets[0] == 4, MALFORMED, "form of a point")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, octets)
    except ValueError:
        raise Refused(MALFORMED, "point not on the curve") from None


def ecdh(d, point):
    return private(d).exchange(ec.ECDH(), read_point(point))


def mac256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def ecdsa_sign(d, message):
    """r | s with the deterministic k of RFC 6979, so that vectors can be made again octet for octet."""
    x = int.from_bytes(d, "big")
    digest = hashlib.sha256(message).digest()
    z = int.from_bytes(digest, "big") % ORDER_N
    seed = x.to_bytes(32, "big") + z.to_bytes(32, "big")
    v, k = b"\1" * 32, bytes(32)
    for step in (b"\0", b"\1"):
        k = mac256(k, v + step + seed)
        v = mac256(k, v)
    while True:
        v = mac256(k, v)
        nonce = int.from_bytes(v, "big")
        if 0 < nonce < ORDER_N:
            r = int.from_bytes(point_of(v)[1:33], "big") % ORDER_N
            s = pow(nonce, -1, ORDER_N) * (z + r * x) % ORDER_N
            if r and s:
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        k = mac256(k, v + b"\0")
        v = mac256(k, v)


def ecdsa_ok(point, message, signature):
    if len(signature) != 64:
        return False
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        read_point(point).verify(der, message, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False


def gcm_seal(key, nonce, aad, plain):
    return AESGCM(key).encrypt(nonce, plain, aad)


def gcm_open(key, nonce, aad, sealed):
    demand(len(sealed) >= 16, CRYPTO, "no room for a tag")
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused(CRYPTO, "tag does not verify") from None


def hkdf_extract(salt, ikm):
    return mac256(salt or bytes(32), ikm)


def hkdf_expand(prk, info, n):
    out, block = b"", b""
    for i in range(1, -(-n // 32) + 1):
        block = mac256(prk, block + info + bytes([i]))
        out += block
    return out[:n]


# ---- 6: HPKE, RFC 9180 sections 4.1 and 5.1, base mode ----------------------------------------------------------

def _labeled_extract(suite_id, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + suite_id + label + ikm)


def _labeled_expand(suite_id, prk, label, info, n):
    return hkdf_expand(prk, struct.pack(">H", n) + b"HPKE-v1" + suite_id + label + info, n)


def hpke_schedule(aead, dh, enc, recipient, info):
    """From the Diffie-Hellman value to (shared_secret, key, base_nonce)."""
    kem_id = b"KEM" + struct.pack(">H", 0x0010)
    eae = _labeled_extract(kem_id, b"", b"eae_prk", dh)
    shared = _labeled_expand(kem_id, eae, b"shared_secret", enc + recipient, 32)
    hpke_id = b"HPKE" + struct.pack(">HHH", 0x0010, 0x0001, aead)
    context = (b"\0" + _labeled_extract(hpke_id, b"", b"psk_id_hash", b"")
               + _labeled_extract(hpke_id, b"", b"info_hash", info))
    secret = _labeled_extract(hpke_id, shared, b"secret", b"")
    return (shared, _labeled_expand(hpke_id, secret, b"key", context, KEY_LEN[aead]),
            _labeled_expand(hpke_id, secret, b"base_nonce", context, 12))


def hpke_seal(aead, ephemeral_d, recipient, info, aad, plain):
    enc = point_of(ephemeral_d)
    _, key, nonce = hpke_schedule(aead, ecdh(ephemeral_d, recipient), enc, recipient, info)
    return enc, gcm_seal(key, nonce, aad, plain)


def hpke_open(aead, recipient_d, enc, info, aad, sealed):
    _, key, nonce = hpke_schedule(aead, ecdh(recipient_d, enc), enc, point_of(recipient_d), info)
    return gcm_open(key, nonce, aad, sealed)


# ---- 3: frames and fields ----------------------------------------------------------------------------------------

def frame(kind, body):
    return struct.pack(">BBH", 1, kind, len(body)) + body


def read_frame(octets, expected):
    """The body of one whole frame. The head is judged before the body is there."""
    demand(octets[:1] == b"\1", MALFORMED, "version")
    demand(len(octets) >= 4, MALFORMED, "no whole head")
    _, kind, length = struct.unpack(">BBH", octets[:4])
    demand(length <= BODY_MAX, TOO_LONG, "body length")
    demand(kind == expected, ORDER, f"type {kind}, expected {expected}")
    demand(len(octets) == 4 + length, MALFORMED, "not one whole frame")
    return octets[4:]


def field(name, value):
    return struct.pack(">HH", 0x8000 + NUMBER[name], len(value)) + value


def fields(**values):
    """A row of fields in ascending order of their codes."""
    return b"".join(field(name, values[name]) for name in sorted(values, key=NUMBER.get))


def walk(body):
    """Yields (number, value, start, end) of each known field; skips what may be skipped."""
    at, last = 0, -1
    while at < len(body):
        demand(len(body) - at >= 4, MALFORMED, "octets left over")
        code, length = struct.unpack(">HH", body[at:at + 4])
        number, start, end = code & 0x7fff, at, at + 4 + length
        demand(end <= len(body), MALFORMED, "field longer than its row")
        demand(number > last, MALFORMED, "codes do not ascend")
        last, at = number, end
        if number not in FIELDS:
            demand(not code & 0x8000, CRITICAL, f"unknown critical field {number}")
            continue
        demand(code & 0x8000, MALFORMED, f"{FIELDS[number][0]} without the critical bit")
        yield number, body[start + 4:end], start, end


def read_fields(body, *names, optional=()):
    found = {}
    for number, value, _, _ in walk(body):
        name, shortest, longest = FIELDS[number]
        demand(name in names or name in optional, MALFORMED, f"{name} does not belong here")
        demand(shortest <= len(value) <= longest, MALFORMED, f"length of {name}")
        check_value(name, value)
        found[name] = value
    for name in names:
        demand(name in found, MALFORMED, f"{name} is missing")
    return found


def check_value(name, value):
    """What section 4 says of single values beyond their length."""
    if name == "IP":
        demand(len(value) in (4, 16), MALFORMED, "length of IP")
    if name in ("CALL_ID", "MODEL", "SOFTWARE", "GATE_NAME"):
        demand(b"\0" not in value, MALFORMED, f"octet 0 in {name}")
    if name in ("EPHEMERAL", "HPKE_ENC"):
        read_point(value)


def texts(*items):
    return b"".join(bytes([len(item)]) + item.encode() for item in items)


def read_texts(value, least, most):
    out, at = [], 0
    while at < len(value):
        n = value[at]
        item = value[at + 1:at + 1 + n]
        demand(n > 0 and len(item) == n and b"\0" not in item, MALFORMED, "texts")
        out.append(item.decode("utf-8", "replace"))
        at += 1 + n
    demand(least <= len(out) <= most, MALFORMED, "number of texts")
    return out


def pack_chain(ders):
    return b"".join(struct.pack(">H", len(der)) + der for der in ders)


def read_chain(value):
    out, at = [], 0
    while at < len(value):
        demand(len(value) - at >= 2, MALFORMED, "CHAIN")
        n = struct.unpack(">H", value[at:at + 2])[0]
        demand(1 <= n <= 4096 and at + 2 + n <= len(value), MALFORMED, "CHAIN")
        out.append(value[at + 2:at + 2 + n])
        at += 2 + n
    demand(1 <= len(out) <= 5, MALFORMED, "number of certificates")
    return out


# ---- 7, 8, 9: transcript, key schedule, sealed frames ------------------------------------------------------------

class Transcript:
    def __init__(self):
        self.frames = []

    def add(self, octets):
        self.frames.append(octets)

    def value(self, *more):
        return hashlib.sha256(b"".join(self.frames) + b"".join(more)).digest()


# label: octets, None where the suite decides. In the order of section 8.
LABELS = {
    "wrap": {"wrap key": None, "wrap iv": 12},
    "channel": {"sk up key": None, "sk up iv": 12, "sk down key": None, "sk down iv": 12},
    "audio": {"audio up key": 32, "audio up salt": 12, "audio down key": 32, "audio down salt": 12},
    "ltk": {"ltk enc up": 16, "ltk mac up": 16, "ltk enc down": 16, "ltk mac down": 16},
    "session": {"session mac up": 32, "session mac down": 32, "session enc up": 32, "session enc down": 32,
                "session tls psk": 32, "session digest": 32},
}
SESSION_KEYS = [label.replace(" ", "_") for label in LABELS["session"]]


def schedule(what, t, s, z, suite):
    """PRK and the keys by their label with _ for spaces."""
    prk = hkdf_extract(t, s + z)
    keys = {label.replace(" ", "_"): hkdf_expand(prk, b"headgate v1 " + label.encode(), n or KEY_LEN[suite])
            for label, n in LABELS[what].items()}
    return prk, keys


class Channel:
    """One direction of the sealed channel."""

    def __init__(self, key, iv):
        self.key, self.iv, self.counter = key, iv, 0

    def nonce_aad(self, t, kind):
        counter = b"\0\0\0\0" + struct.pack(">Q", self.counter)
        return bytes(a ^ b for a, b in zip(self.iv, counter)), t + bytes([1, kind])

    def seal(self, t, kind, plain):
        nonce, aad = self.nonce_aad(t, kind)
        self.counter += 1
        return gcm_seal(self.key, nonce, aad, plain)

    def open(self, t, kind, body):
        nonce, aad = self.nonce_aad(t, kind)
        plain = gcm_open(self.key, nonce, aad, body)
        self.counter += 1
        return plain


def channels(keys):
    return Channel(keys["sk_up_key"], keys["sk_up_iv"]), Channel(keys["sk_down_key"], keys["sk_down_iv"])


# ---- 10: certificates --------------------------------------------------------------------------------------------

EPOCH = datetime.datetime(1970, 1, 1)
BASIC, USAGE, PURPOSE, ALT_NAME = "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"
SUBJECT_KEY, ISSUER_KEY = "2.5.29.14", "2.5.29.35"
USAGE_AGREEMENT, USAGE_CERT_SIGN = 4, 5


def tlv(tag, value):
    n = len(value)
    head = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else b"\x82" + struct.pack(">H", n)
    return bytes([tag]) + head + value


def oid_der(dotted):
    """Contents of an OBJECT IDENTIFIER. Ours have an arc of 117 bits, more than many libraries read."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    out = b""
    for arc in [first * 40 + second] + rest:
        piece = bytes([arc & 0x7f])
        while arc >> 7:
            arc >>= 7
            piece = bytes([0x80 | arc & 0x7f]) + piece
        out += piece
    return out


def der_items(octets):
    """(tag, value) of each element of a row of DER elements."""
    out, at = [], 0
    while at < len(octets):
        if len(octets) - at < 2:
            raise ValueError("DER")
        tag, n, at = octets[at], octets[at + 1], at + 2
        if n & 0x80:
            width = n & 0x7f
            n, at = int.from_bytes(octets[at:at + width], "big"), at + width
        if at + n > len(octets):
            raise ValueError("DER")
        out.append((tag, octets[at:at + n]))
        at += n
    return out


def extensions(cert):
    """{oid contents: (critical, value)}; read here because of the length of our arcs."""
    tbs = der_items(der_items(cert.tbs_certificate_bytes)[0][1])
    found = {}
    for tag, value in tbs:
        if tag == 0xa3:
            for _, ext in der_items(der_items(value)[0][1]):
                parts = der_items(ext)
                if parts[0][1] in found:
                    raise ValueError("an extension twice")
                found[parts[0][1]] = (len(parts) == 3 and parts[1][1] != b"\0", parts[-1][1])
    return found


def _extension(cert, oid):
    return extensions(cert).get(oid_der(oid), (False, None))[1]


def _basic(cert):
    """(is a CA, path length or None)"""
    value = _extension(cert, BASIC)
    parts = der_items(der_items(value)[0][1]) if value else []
    ca = any(tag == 1 and v != b"\0" for tag, v in parts)
    return ca, next((int.from_bytes(v, "big") for tag, v in parts if tag == 2), None)


def _usage(cert, bit):
    value = _extension(cert, USAGE)
    bits = der_items(value)[0][1][1:] if value else b""
    return len(bits) > bit // 8 and bool(bits[bit // 8] & 0x80 >> bit % 8)


def _purposes(cert):
    value = _extension(cert, PURPOSE)
    return [v for _, v in der_items(der_items(value)[0][1])] if value else []


def _dns_names(cert):
    value = _extension(cert, ALT_NAME)
    return [v.decode("latin-1") for tag, v in der_items(der_items(value)[0][1]) if tag == 0x82] if value else []


def _names_key(cert, issuer):
    """authorityKeyIdentifier is there and fits the issuer's subjectKeyIdentifier."""
    mine, its = _extension(cert, ISSUER_KEY), _extension(issuer, SUBJECT_KEY)
    if mine is None or its is None:
        return False
    return next((v for tag, v in der_items(der_items(mine)[0][1]) if tag == 0x80), None) == der_items(its)[0][1]


def _signed_by(cert, issuer):
    key = issuer.public_key()
    if not _names_key(cert, issuer):
        return False
    if cert.issuer != issuer.subject or not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    if not isinstance(cert.signature_hash_algorithm, (hashes.SHA256, hashes.SHA384, hashes.SHA512)):
        return False
    try:
        key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
        return True
    except InvalidSignature:
        return False


def _usable(cert, now):
    """Valid now, and no critical extension that nobody here reads."""
    begin, end = (getattr(cert, f"not_valid_{side}_utc", None) or getattr(cert, f"not_valid_{side}") for side in ("before", "after"))
    if not begin.replace(tzinfo=None) <= now <= end.replace(tzinfo=None):
        return False
    known = [oid_der(oid) for oid in (BASIC, USAGE, PURPOSE, ALT_NAME)]
    return not any(critical and oid not in known for oid, (critical, _) in extensions(cert).items())


def _may_issue(cert, below):
    ca, pathlen = _basic(cert)
    critical = extensions(cert).get(oid_der(BASIC), (False, None))[0]
    return ca and critical and (pathlen is None or below <= pathlen) and _usage(cert, USAGE_CERT_SIGN)


def _path(cert, others, roots, now, below):
    for root in roots:
        if _usable(root, now) and _may_issue(root, below) and _signed_by(cert, root):
            return True
    if below == 3:
        return False
    for i, issuer in enumerate(others):
        if _usable(issuer, now) and _may_issue(issuer, below) and _signed_by(cert, issuer):
            if _path(issuer, others[:i] + others[i + 1:], roots, now, below + 1):
                return True
    return False


def check_chain(ders, roots_pem, ps_name, now_us):
    """K_PS+ as a point, or code 8."""
    now = EPOCH + datetime.timedelta(microseconds=now_us)
    try:
        roots = [x509.load_pem_x509_certificate(pem.encode()) for pem in
                 re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", roots_pem, re.S)]
        certs = [x509.load_der_x509_certificate(der) for der in ders]
        for cert, der in zip(certs, ders):
            demand(cert.public_bytes(serialization.Encoding.DER) == der and len(der) <= 4096, UNTRUSTED, "DER")
        leaf = certs[0]
        demand(_usable(leaf, now) and _path(leaf, certs[1:], roots, now, 0), UNTRUSTED, "path")
        demand(oid_der(OID_PS) in _purposes(leaf), UNTRUSTED, "extended key usage")
        demand(_usage(leaf, USAGE_AGREEMENT), UNTRUSTED, "key usage")
        names = [name.lower() for name in _dns_names(leaf)]
        demand(not ps_name or ps_name.lower() in names, UNTRUSTED, "name")
        key = leaf.public_key()
        demand(isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1", UNTRUSTED, "curve")
    except ValueError as e:
        raise Refused(UNTRUSTED, f"not a certificate: {e}") from None
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


# ---- 11: enrolment -----------------------------------------------------------------------------------------------

POSSESSION_PREFIX = b"headgate v1 user key"
REQUEST_PREFIX = b"headgate v1 session request"
INFO_ENROL, INFO_SESSION = b"headgate v1 enrol", b"headgate v1 session"


def possession_message(kind, t, n1, n2, k_u):
    return POSSESSION_PREFIX + t + n1 + n2 + (point_of(k_u) if kind == 1 else b"")


def possession(kind, t, n1, n2, k_u):
    message = possession_message(kind, t, n1, n2, k_u)
    return ecdsa_sign(k_u, message) if kind == 1 else mac256(k_u, message)


class End:
    """What both ends and both modes share: the transcript and the secrets of this connection."""

    def __init__(self, random):
        self.random, self.transcript, self.log = random, Transcript(), []
        self.t, self.z, self.suite, self.prk, self.keys, self.plain = {}, None, None, {}, {}, {}
        self.up = self.down = None

    def note(self, kind, way, octets):
        """A frame was sent, or was received: a plain one when all of it is good, a sealed one when its tag is."""
        self.transcript.add(octets)
        self.log.append((kind, way, octets))
        return octets

    def derive(self, what, t, s):
        self.prk[what], keys = schedule(what, t, s, self.z, self.suite)
        self.keys.update(keys)

    def refusal(self, code):
        """The error frame for the other end: sealed once this end holds the channel keys."""
        way, channel = ("up", self.up) if isinstance(self, Bti) else ("down", self.down)
        if channel is None:
            return frame(ERROR, error_fields(code))
        return self.sealed(ERROR_SEALED, way, channel, error_fields(code))

    def sealed(self, kind, way, channel, plain):
        body = channel.seal(self.transcript.value(), kind, plain)
        return self.note(kind, way, frame(kind, body))


class Bti(End):
    """The frames YO and OFFER of a BTI; mode 1 with a Call-ID, mode 2 without."""

    def __init__(self, random, trust, suites, call_id=None):
        super().__init__(random)
        self.trust, self.suites, self.call_id = trust, suites, call_id  # trust: root_pem, ps_name, now_us

    def yo(self):
        values = {"MODE": b"\2", "SUITES": self.suites, "RANDOM": self.random.take(32)}
        if self.call_id is not None:
            values.update(MODE=b"\1", CALL_ID=self.call_id)
        self.ephemeral = self.random.take(32)
        octets = frame(YO, fields(**values, EPHEMERAL=point_of(self.ephemeral)))
        self.note(YO, "up", octets)
        self.t["yo"] = self.transcript.value()
        return octets

    def offer(self, octets):
        got = read_fields(read_frame(octets, OFFER), "RANDOM", "EPHEMERAL", "TRANSCRIPT", "SUITE", "CHAIN")
        chain = read_chain(got["CHAIN"])
        demand(got["TRANSCRIPT"] == self.t["yo"], DISAGREE, "TRANSCRIPT")
        demand(got["SUITE"][0] in self.suites and got["SUITE"][0] in KEY_LEN, SUITE, "SUITE was not offered")
        self.k_ps = check_chain(chain, *self.trust)
        self.suite, self.z = got["SUITE"][0], ecdh(self.ephemeral, got["EPHEMERAL"])
        self.note(OFFER, "down", octets)
        self.t["offer"] = self.transcript.value()


class Ps(End):
    """The frames YO and OFFER of a PS. calls: the Call-IDs that wait for a control channel."""

    def __init__(self, random, k_ps_d, chain, calls=()):
        super().__init__(random)
        self.k_ps_d, self.chain, self.calls = k_ps_d, chain, calls

    def yo(self, octets):
        body = read_frame(octets, YO)
        mode = next((value for number, value, _, _ in walk(body) if number == 1), b"")
        demand(mode in (b"\1", b"\2"), MALFORMED, "MODE")
        got = read_fields(body, "MODE", "SUITES", "RANDOM", "EPHEMERAL", *(["CALL_ID"] if mode == b"\1" else []))
        suite = next((s for s in got["SUITES"] if s in KEY_LEN), None)
        demand(suite is not None, SUITE, "no common suite")
        if mode == b"\1":
            demand(got["CALL_ID"] in self.calls, NO_CALL, "no such call")
        self.mode, self.suite = mode[0], suite
        self.note(YO, "up", octets)
        self.t["yo"] = self.transcript.value()
        random, d = self.random.take(32), self.random.take(32)
        offer = frame(OFFER, fields(RANDOM=random, EPHEMERAL=point_of(d), TRANSCRIPT=self.t["yo"],
                                    SUITE=bytes([suite]), CHAIN=pack_chain(self.chain)))
        self.z = ecdh(d, got["EPHEMERAL"])
        self.note(OFFER, "down", offer)
        self.t["offer"] = self.transcript.value()
        return offer


class BtiEnrol(Bti):
    def __init__(self, random, trust, suites, call_id, info, key_kind, k_u):
        super().__init__(random, trust, suites, call_id)
        self.info, self.kind, self.k_u = info, key_kind, k_u  # info: the four fields by name

    def make_keys(self):
        """KEYS, step 304."""
        k, sk, ak, self.n0, ephemeral = (self.random.take(32) for _ in range(5))
        t = self.t["offer"]
        self.k, self.sk, self.ak = k, sk, ak
        self.derive("wrap", t, k)
        self.derive("channel", t, sk)
        self.up, self.down = channels(self.keys)
        enc, ct = hpke_seal(self.suite, ephemeral, self.k_ps, INFO_ENROL, t, k)
        self.wrapped_plain = sk + ak + self.n0
        wrapped = gcm_seal(self.keys["wrap_key"], self.keys["wrap_iv"], t + b"\1\3", self.wrapped_plain)
        self.plain["info"] = fields(**self.info)
        info_ct = self.up.seal(t, KEYS, self.plain["info"])
        octets = frame(KEYS, fields(HPKE_ENC=enc, HPKE_CT=ct, WRAPPED=wrapped, INFO_CT=info_ct))
        self.note(KEYS, "up", octets)
        self.t["keys"] = self.transcript.value()
        self.derive("audio", self.t["keys"], ak)
        return octets

    def _open(self, octets, kind):
        body = read_frame(octets, kind)
        plain = self.down.open(self.transcript.value(), kind, body)
        self.note(kind, "down", octets)
        return plain

    def proof(self, octets):
        got = read_fields(self._open(octets, PROOF), "N0", "N1")
        demand(got["N0"] == self.n0, DISAGREE, "N0")
        self.n1 = got["N1"]

    def auth_result(self, octets):
        got = read_fields(self._open(octets, AUTH_RESULT), "VERDICT", "TRIES_LEFT")
        verdict, left = got["VERDICT"][0], got["TRIES_LEFT"][0]
        demand(verdict in (1, 2, 3), MALFORMED, "VERDICT")
        return verdict, left

    def user_key(self):
        t, self.n2 = self.transcript.value(), self.random.take(32)
        self.plain["possession_message"] = possession_message(self.kind, t, self.n1, self.n2, self.k_u)
        self.plain["user_key"] = fields(
            N1=self.n1, N2=self.n2, KEY_KIND=bytes([self.kind]), POSSESSION=possession(self.kind, t, self.n1, self.n2, self.k_u),
            USER_KEY=point_of(self.k_u) if self.kind == 1 else self.k_u)
        octets = self.sealed(USER_KEY, "up", self.up, self.plain["user_key"])
        self.t["user_key"] = self.transcript.value()
        self.derive("ltk", self.t["user_key"], self.sk)
        return octets

    def done(self, octets):
        plain = self._open(octets, DONE)
        got = read_fields(plain, "N2", "BTI_ID", "NUMBERS", "GATES", "SERVERS")
        numbers = read_texts(got["NUMBERS"], 0, 8)
        gates = read_texts(got["GATES"], 1, 4)
        servers = read_texts(got["SERVERS"], 0, 4)
        demand(got["N2"] == self.n2, DISAGREE, "N2")
        self.plain["done"] = plain
        return {"bti_id": got["BTI_ID"], "numbers": numbers, "gates": gates, "servers": servers, "ltk": ltk_of(self.keys)}


def ltk_of(keys):
    return b"".join(keys[label.replace(" ", "_")] for label in LABELS["ltk"])


class PsEnrol(Ps):
    def keys_frame(self, octets):
        """KEYS in, PROOF out. Keys that could not be accepted are not held: the BTI does not share them."""
        try:
            self._keys(octets)
        except Refused:
            self.up = self.down = None
            raise
        self.n1 = self.random.take(32)
        return self.sealed(PROOF, "down", self.down, fields(N0=self.n0, N1=self.n1))

    def _keys(self, octets):
        got = read_fields(read_frame(octets, KEYS), "HPKE_ENC", "HPKE_CT", "WRAPPED", "INFO_CT")
        demand(len(got["HPKE_CT"]) == 48, MALFORMED, "length of HPKE_CT")
        t = self.t["offer"]
        k = hpke_open(self.suite, self.k_ps_d, got["HPKE_ENC"], INFO_ENROL, t, got["HPKE_CT"])
        self.derive("wrap", t, k)
        wrapped = gcm_open(self.keys["wrap_key"], self.keys["wrap_iv"], t + b"\1\3", got["WRAPPED"])
        self.sk, self.ak, self.n0 = wrapped[:32], wrapped[32:64], wrapped[64:]
        self.derive("channel", t, self.sk)
        self.up, self.down = channels(self.keys)
        self.plain["info"] = self.up.open(t, KEYS, got["INFO_CT"])
        self.info = read_fields(self.plain["info"], "MAC_ADDR", "IP", "MODEL", "SOFTWARE")
        self.note(KEYS, "up", octets)
        self.t["keys"] = self.transcript.value()
        self.derive("audio", self.t["keys"], self.ak)

    def result(self, verdict, left):
        return self.sealed(AUTH_RESULT, "down", self.down, fields(VERDICT=bytes([verdict]), TRIES_LEFT=bytes([left])))

    def user_key(self, octets):
        body = read_frame(octets, USER_KEY)
        demand(len(octets) <= USER_KEY_FRAME_MAX, MALFORMED, "USER_KEY too long")
        t = self.transcript.value()
        plain = self.up.open(t, USER_KEY, body)
        self.note(USER_KEY, "up", octets)
        got = read_fields(plain, "N1", "N2", "KEY_KIND", "USER_KEY", "POSSESSION")
        kind, key, proof = got["KEY_KIND"][0], got["USER_KEY"], got["POSSESSION"]
        demand(kind in (1, 2), MALFORMED, "KEY_KIND")
        demand((len(key), len(proof)) == ((65, 64) if kind == 1 else (64, 32)), MALFORMED, "lengths of this kind")
        demand(got["N1"] == self.n1, DISAGREE, "N1")
        message = POSSESSION_PREFIX + t + self.n1 + got["N2"]
        if kind == 1:
            read_point(key)
            demand(ecdsa_ok(key, message + key, proof), CRYPTO, "POSSESSION")
        else:
            demand(mac256(key, message) == proof, CRYPTO, "POSSESSION")
        self.kind, self.k_u, self.n2, self.plain["user_key"] = kind, key, got["N2"], plain
        self.t["user_key"] = self.transcript.value()
        self.derive("ltk", self.t["user_key"], self.sk)

    def done(self, bti_id, numbers, gates, servers):
        self.plain["done"] = fields(N2=self.n2, BTI_ID=bti_id, NUMBERS=texts(*numbers), GATES=texts(*gates),
                                    SERVERS=texts(*servers))
        return self.sealed(DONE, "down", self.down, self.plain["done"])


def error_fields(code, text=None):
    values = {"CODE": struct.pack(">H", code)}
    if text is not None:
        values["TEXT"] = text.encode("ascii")
    return fields(**values)


def read_error(body):
    demand(len(body) <= ERROR_BODY_MAX, MALFORMED, "error frame too long")
    got = read_fields(body, "CODE", optional=["TEXT"])
    code = struct.unpack(">H", got["CODE"])[0]
    return {0: MALFORMED}.get(code, code if code in list(range(1, 15)) + list(range(20, 24)) else 14)


# ---- 12: sessions ------------------------------------------------------------------------------------------------

class BtiSession(Bti):
    """key: the scalar of K_U (form 1) or the LTK of 64 octets (form 2)."""

    def __init__(self, random, trust, suites, form, key, bti_id, counter, gate_name):
        super().__init__(random, trust, suites)
        self.form, self.key, self.bti_id, self.counter, self.gate_name = form, key, bti_id, counter, gate_name

    def request(self):
        t, self.secret = self.t["offer"], self.random.take(32)
        self.plain["asked"] = fields(BTI_ID=self.bti_id, SECRET=self.secret, TIME=struct.pack(">Q", self.trust[2]),
                                     COUNTER=struct.pack(">Q", self.counter), GATE_NAME=self.gate_name.encode())
        if self.form == 1:
            enc, ct = hpke_seal(self.suite, self.random.take(32), self.k_ps, INFO_SESSION, t, self.plain["asked"])
            body = fields(HPKE_ENC=enc, HPKE_CT=ct, FORM=b"\1")
        else:
            nonce = self.random.take(12)
            ct = gcm_seal(self.key[:16], nonce, t, self.plain["asked"])
            body = fields(HPKE_CT=ct, BTI_ID=self.bti_id, FORM=b"\2", NONCE=nonce)
        self.plain["request_message"] = REQUEST_PREFIX + t + body
        if self.form == 1:
            body += field("SIGNATURE", ecdsa_sign(self.key, self.plain["request_message"]))
        else:
            body += field("MAC", mac256(self.key[16:32], self.plain["request_message"]))
        octets = self.note(SESSION_REQUEST, "up", frame(SESSION_REQUEST, body))
        session_keys(self)
        return octets

    def answer(self, octets):
        body = read_frame(octets, SESSION_ANSWER)
        plain = self.down.open(self.transcript.value(), SESSION_ANSWER, body)
        self.note(SESSION_ANSWER, "down", octets)
        got = read_fields(plain, "GATES", "CODE", "TIME", "COUNTER", "KID", "LIFETIME")
        code, lifetime = struct.unpack(">H", got["CODE"])[0], struct.unpack(">I", got["LIFETIME"])[0]
        gates = read_texts(got["GATES"], 1 if code == 0 else 0, 4)
        if code == 0:
            demand(struct.unpack(">Q", got["COUNTER"])[0] == self.counter, MALFORMED, "COUNTER")
            demand(lifetime >= 1, MALFORMED, "LIFETIME")
        return {"code": code, "gates": gates, "kid": got["KID"], "lifetime": lifetime,
                "time": struct.unpack(">Q", got["TIME"])[0], "counter": struct.unpack(">Q", got["COUNTER"])[0]}


def session_keys(end):
    """Channel and session keys of T(REQUEST); the request is in the transcript."""
    t = end.t["request"] = end.transcript.value()
    end.derive("channel", t, end.secret)
    end.up, end.down = channels(end.keys)
    end.derive("session", t, end.secret)


class PsSession(Ps):
    """book: what the PS knows of a bti_id: {bti_id: {"k_u": point or None, "ltk": .., "state": ok|revoked|barred, "last": n}}"""

    def request(self, octets, book, now_us):
        """Checks in the order of section 12; gives the code for SESSION_ANSWER or raises what an error frame holds."""
        body, t = read_frame(octets, SESSION_REQUEST), self.t["offer"]
        form = next((value for number, value, _, _ in walk(body) if FIELDS[number][0] == "FORM"), b"")
        demand(form in (b"\1", b"\2"), MALFORMED, "FORM")
        names = (("HPKE_ENC", "HPKE_CT", "FORM", "SIGNATURE") if form == b"\1"
                 else ("HPKE_CT", "BTI_ID", "FORM", "NONCE", "MAC"))
        got = read_fields(body, *names)
        start, end = next((s, e) for number, _, s, e in walk(body) if FIELDS[number][0] == names[-1])
        demand(end == len(body), MALFORMED, "something behind SIGNATURE or MAC")
        demand(start <= COVERED_MAX, TOO_LONG, "what SIGNATURE or MAC covers")
        message = REQUEST_PREFIX + t + body[:start]
        if form == b"\1":
            plain = hpke_open(self.suite, self.k_ps_d, got["HPKE_ENC"], INFO_SESSION, t, got["HPKE_CT"])
            asked = read_fields(plain, "BTI_ID", "SECRET", "TIME", "COUNTER", "GATE_NAME")
            self._asked(octets, asked, plain)  # the BTI shares the secret, so a refusal from here on is sealed
            known = book.get(asked["BTI_ID"])
            demand(known and known["k_u"] and ecdsa_ok(known["k_u"], message, got["SIGNATURE"]), UNKNOWN, "SIGNATURE")
        else:
            known = book.get(got["BTI_ID"])
            demand(known and mac256(known["ltk"][16:32], message) == got["MAC"], UNKNOWN, "MAC")
            try:
                plain = gcm_open(known["ltk"][:16], got["NONCE"], t, got["HPKE_CT"])
                asked = read_fields(plain, "BTI_ID", "SECRET", "TIME", "COUNTER", "GATE_NAME")
            except Refused as e:
                raise Refused(UNKNOWN, str(e)) from None
            demand(asked["BTI_ID"] == got["BTI_ID"], UNKNOWN, "the two BTI_ID differ")
            self._asked(octets, asked, plain)
        self.plain["request_message"] = message
        return self._judge(known, asked, now_us)

    def _asked(self, octets, asked, plain):
        self.plain["asked"], self.secret = plain, asked["SECRET"]
        self.note(SESSION_REQUEST, "up", octets)
        session_keys(self)

    def _judge(self, known, asked, now_us):
        self.time, self.counter = (struct.unpack(">Q", asked[name])[0] for name in ("TIME", "COUNTER"))
        self.last = known["last"]
        if known["state"] != "ok":
            return {"revoked": REVOKED, "barred": BARRED}[known["state"]]
        if abs(self.time - now_us) > CLOCK_DIFFERENCE_US or not self.last < self.counter <= COUNTER_MAX:
            return STALE
        return 0

    def answer(self, code, gates, kid, lifetime, now_us):
        values = {"CODE": struct.pack(">H", code), "TIME": struct.pack(">Q", now_us)}
        if code == 0:
            values.update(GATES=texts(*gates), KID=kid, LIFETIME=struct.pack(">I", lifetime),
                          COUNTER=struct.pack(">Q", self.counter))
        else:
            values.update(GATES=b"", KID=bytes(16), LIFETIME=bytes(4), COUNTER=struct.pack(">Q", self.last))
        self.plain["answer"] = fields(**values)
        return self.sealed(SESSION_ANSWER, "down", self.down, self.plain["answer"])


# ---- 14: BTI-MAC -------------------------------------------------------------------------------------------------

CREDENTIALS = re.compile(rb"kid=([0-9a-f]{32}), seq=([1-9][0-9]{0,19}), mac=([0-9a-f]{64})")
ZEROS = b"0" * 64


def read_credentials(value, with_scheme):
    """(kid, seq, mac), or None when malformed."""
    value = value.strip(b" \t")
    if with_scheme:
        if not value.startswith(b"BTI-MAC "):
            return None
        value = value[8:]
    found = CREDENTIALS.fullmatch(value)
    if not found or int(found[2]) > 2 ** 64 - 1:
        return None
    return bytes.fromhex(found[1].decode()), int(found[2]), bytes.fromhex(found[3].decode())


def credentials(kid, seq, with_scheme, mac=ZEROS):
    return (b"BTI-MAC " if with_scheme else b"") + b"kid=%s, seq=%d, mac=%s" % (kid.hex().encode(), seq, mac)


def header_of(start_line, way):
    """(header name, has a scheme) for a message that goes up or down."""
    if start_line.startswith(b"SIP/2.0 "):
        return b"Authentication-Info", False
    return (b"Authorization" if way == "down" or start_line.startswith(b"REGISTER ") else b"Proxy-Authorization"), True


def mac_seal(key, message):
    """The message with the 64 zeros behind its "mac=" replaced. It must hold exactly one BTI-MAC header."""
    at = find_mac(message)[1]
    if message[at:at + 64] != ZEROS:
        raise ValueError("the mac is not 64 zeros")
    return message[:at] + mac256(key, message).hex().encode() + message[at + 64:]


def header_spans(message):
    """Yields (name in lower case, value, offset of the value) for each header line of the head, folds included."""
    head = message.split(b"\r\n\r\n", 1)[0] + b"\r\n"
    for line in re.finditer(rb"([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n", head):
        found = re.match(rb"([^\s:]+)[ \t]*:[ \t]*", line[1])
        if found and line.start():
            yield found[1].lower(), line[1][found.end():], line.start() + found.end()


def find_mac(message):
    """((kid, seq, mac), offset of the mac digits) of the one BTI-MAC header, or (None, 0)."""
    hits = []
    for name, value, offset in header_spans(message):
        if name == b"authentication-info":
            hits.append((value, offset, False))
        elif name in (b"authorization", b"proxy-authorization") and re.match(rb"BTI-MAC(?![^ \t])", value):
            hits.append((value, offset, True))
    if len(hits) != 1:
        return None, 0
    value, offset, scheme = hits[0]
    found = read_credentials(value, scheme)
    return (found, offset + len(value.rstrip(b" \t")) - 64) if found else (None, 0)


def mac_ok(key, message):
    found, at = find_mac(message)
    if not found:
        return False
    return hmac.compare_digest(mac256(key, message[:at] + ZEROS + message[at + 64:]), found[2])


class Window:
    """Replay window of 1024 for one kid and direction."""
    SIZE = 1024

    def __init__(self):
        self.top, self.marked = 0, set()

    def take(self, seq):
        if seq <= self.top - self.SIZE:
            return "old"
        if seq in self.marked:
            return "seen"
        self.marked.add(seq)
        self.top = max(self.top, seq)
        self.marked = {n for n in self.marked if n > self.top - self.SIZE}
        return "fresh"


# ---- 15: session hand-over ---------------------------------------------------------------------------------------

def blob_plain(bti_id, line_id, created_us, expires_us, keys):
    """keys: the six session keys in the order of section 8."""
    if len(bti_id) != 16 or [len(k) for k in keys] != [32] * 6:
        raise ValueError("lengths of a session")
    return bti_id + struct.pack(">QQQ", line_id, created_us, expires_us) + b"".join(keys)


def blob_aad(kid):
    return b"headgate session v1" + kid


def blob_seal(cluster_key, nonce, kid, plain):
    return b"\1" + nonce + gcm_seal(cluster_key, nonce, blob_aad(kid), plain)


def blob_open(cluster_key, kid, blob):
    demand(len(blob) == 261 and blob[0] == 1, MALFORMED, "form of a blob")
    plain = gcm_open(cluster_key, blob[1:13], blob_aad(kid), blob[13:])
    line_id, created, expires = struct.unpack(">QQQ", plain[16:40])
    return {"bti_id": plain[:16], "line_id": line_id, "created_us": created, "expires_us": expires,
            "keys": [plain[40 + 32 * i:72 + 32 * i] for i in range(6)]}


# ---- commands between machines, docs/state.md --------------------------------------------------------------------------

COMMAND_LABEL = b"headgate command v1"


def command_key(key, direction, node, salt):
    info = COMMAND_LABEL + b"\0" + direction + b"\0" + node + b"\0" + salt
    return hkdf_expand(hkdf_extract(COMMAND_LABEL, key), info, 32)


def command_seal(key, direction, node, salt, id_, at_us, plain):
    head = b"\1" + salt + id_ + struct.pack(">Q", at_us)
    return head + gcm_seal(command_key(key, direction, node, salt), bytes(12), head, plain)


def command_open(key, direction, node, sealed):
    """Id, time and plain octets."""
    demand(len(sealed) >= 57 and sealed[0] == 1, MALFORMED, "form of a command")
    plain = gcm_open(command_key(key, direction, node, sealed[1:17]), bytes(12), sealed[:41], sealed[41:])
    return sealed[17:33], struct.unpack(">Q", sealed[33:41])[0], plain


# ---- standard phones, section 18 --------------------------------------------------------------------------------------

DIGEST_LABEL = b"headgate v1 digest password"


def digest_password(session_digest):
    return mac256(session_digest, DIGEST_LABEL)[:16].hex()


def digest_hash(algorithm, *parts):
    return hashlib.new({"SHA-256": "sha256", "MD5": "md5"}[algorithm], b":".join(parts)).hexdigest().encode()


def digest_response(algorithm, qop, ha1, method, uri, body, nonce, nc, cnonce):
    """RFC 7616 section 3.4.1; all octets, ha1 in hex."""
    ha2 = digest_hash(algorithm, method, uri, *([digest_hash(algorithm, body)] if qop == b"auth-int" else []))
    return digest_hash(algorithm, ha1, nonce, nc, cnonce, qop, ha2).decode()
