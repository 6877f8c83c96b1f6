"""From the "in" of a vector to its "out", one function for each file of docs/protocol.md section 17."""
import headgate_ref as ref

H = bytes.fromhex


def hexed(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k: hexed(v) for k, v in value.items()}
    return value


def hkdf(i):
    prk, keys = ref.schedule(i["what"], H(i["t"]), H(i["s"]), H(i["z"]), i["suite"])
    return hexed({"prk": prk, **keys})


def hpke(i):
    d, recipient_d, info = H(i["ephemeral_d"]), H(i["recipient_d"]), H(i["info"])
    recipient = ref.point_of(recipient_d)
    enc, ct = ref.hpke_seal(i["aead"], d, recipient, info, H(i["aad"]), H(i["pt"]))
    shared, key, nonce = ref.hpke_schedule(i["aead"], ref.ecdh(d, recipient), enc, recipient, info)
    if ref.hpke_open(i["aead"], recipient_d, enc, info, H(i["aad"]), ct) != H(i["pt"]):
        raise AssertionError("HPKE does not open what it sealed")
    return hexed({"enc": enc, "ct": ct, "shared_secret": shared, "key": key, "base_nonce": nonce})


def seal(i):
    channel = ref.Channel(H(i["key"]), H(i["iv"]))
    channel.counter = int(i["counter"])
    nonce, aad = channel.nonce_aad(H(i["t"]), i["type"])
    return hexed({"nonce": nonce, "aad": aad, "frame": ref.frame(i["type"], channel.seal(H(i["t"]), i["type"], H(i["fields"])))})


def trust(i):
    return i["root_pem"], i["ps_name"], int(i["now_us"])


def chain(i):
    return [H(der) for der in i["chain"]]


class EnrolRun:
    """Both ends of one enrolment. to(step) goes on until the frame of that step is the next to be received."""
    STEPS = ("yo", "offer", "keys", "proof", "auth_result", "user_key", "done", "end")

    def __init__(self, i):
        self.i = i
        info = {"MAC_ADDR": H(i["mac_addr"]), "IP": H(i["ip"]), "MODEL": i["model"].encode(), "SOFTWARE": i["software"].encode()}
        self.bti = ref.BtiEnrol(ref.Octets(H(i["bti_random"])), trust(i), H(i["suites"]), i["call_id"].encode(), info,
                                i["key_kind"], H(i["k_u"]))
        self.ps = ref.PsEnrol(ref.Octets(H(i["ps_random"])), H(i["k_ps_d"]), chain(i), [i["call_id"].encode()])

    def to(self, step):
        bti, ps, n = self.bti, self.ps, self.STEPS.index(step)
        self.frame = bti.yo()
        if n >= 1:
            self.frame = ps.yo(self.frame)
        if n >= 2:
            bti.offer(self.frame)
            self.frame = bti.make_keys()
        if n >= 3:
            self.frame = ps.keys_frame(self.frame)
        if n >= 4:
            bti.proof(self.frame)
            self.frame = ps.result(*self.i["verdicts"][0])
        if n >= 5:
            self.verdicts()
            self.frame = bti.user_key()
        if n >= 6:
            ps.user_key(self.frame)
            self.frame = ps.done(H(self.i["bti_id"]), self.i["numbers"], self.i["gates"], self.i["servers"])
        if n >= 7:
            self.enrolled = bti.done(self.frame)
        return self

    def verdicts(self):
        for k, given in enumerate(self.i["verdicts"]):
            octets = self.frame if k == 0 else self.ps.result(*given)
            if list(self.bti.auth_result(octets)) != given:
                raise AssertionError("a verdict arrived as another one")

    def receive(self, side, step, octets):
        bti, ps = self.bti, self.ps
        receiver = {("ps", "yo"): ps.yo, ("bti", "offer"): bti.offer, ("ps", "keys"): ps.keys_frame,
                    ("bti", "proof"): bti.proof, ("bti", "auth_result"): bti.auth_result,
                    ("ps", "user_key"): ps.user_key, ("bti", "done"): bti.done}[side, step]
        receiver(octets)


class SessionRun:
    STEPS = ("yo", "offer", "request", "answer", "end")

    def __init__(self, i):
        self.i = i
        key = H(i["k_u_d"] if i["form"] == 1 else i["ltk"])
        self.bti = ref.BtiSession(ref.Octets(H(i["bti_random"])), trust(i), H(i["suites"]), i["form"], key, H(i["bti_id"]),
                                  int(i["counter"]), i["gate_name"])
        self.ps = ref.PsSession(ref.Octets(H(i["ps_random"])), H(i["k_ps_d"]), chain(i))
        self.book = {H(i["bti_id"]): {"k_u": ref.point_of(key) if i["form"] == 1 else None,
                                      "ltk": bytes(64) if i["form"] == 1 else key, "state": i["state"],
                                      "last": int(i["last_counter"])}}

    def to(self, step):
        bti, ps, i, n = self.bti, self.ps, self.i, self.STEPS.index(step)
        self.frame = bti.yo()
        if n >= 1:
            self.frame = ps.yo(self.frame)
        if n >= 2:
            bti.offer(self.frame)
            self.frame = bti.request()
        if n >= 3:
            self.code = ps.request(self.frame, self.book, int(i["server_us"]))
            self.frame = ps.answer(self.code, i["gates"], H(i["kid"]), i["lifetime"], int(i["server_us"]))
        if n >= 4:
            self.granted = bti.answer(self.frame)
        return self

    def receive(self, side, step, octets):
        if (side, step) == ("ps", "request"):
            self.ps.request(octets, self.book, int(self.i["server_us"]))
        else:
            {("ps", "yo"): self.ps.yo, ("bti", "offer"): self.bti.offer, ("bti", "answer"): self.bti.answer}[side, step](octets)


def frames(end):
    return [{"type": kind, "way": way, "hex": octets.hex()} for kind, way, octets in end.log]


def agree(bti, ps):
    """Both ends must have come to the same; and all random octets must be used."""
    if (bti.log, bti.t, bti.z, bti.prk, bti.keys) != (ps.log, ps.t, ps.z, ps.prk, ps.keys):
        raise AssertionError("the two ends differ")
    if not (bti.random.spent() and ps.random.spent()):
        raise AssertionError("random octets are left over")


def enrol(i):
    run = EnrolRun(i).to("end")
    bti, ps = run.bti, run.ps
    agree(bti, ps)
    if bti.plain["user_key"] != ps.plain["user_key"] or bti.plain["info"] != ps.plain["info"]:
        raise AssertionError("the two ends differ in sealed fields")
    keys = {k: v for k, v in bti.keys.items() if not k.startswith("ltk")}
    return hexed({
        "frames": frames(bti), "transcripts": bti.t, "z": bti.z,
        **{"prk_" + what: bti.prk[what] for what in ("wrap", "channel", "audio", "ltk")}, **keys,
        "info_fields": bti.plain["info"], "user_key_fields": bti.plain["user_key"], "done_fields": bti.plain["done"],
        "possession_message": bti.plain["possession_message"], "ltk": run.enrolled["ltk"]})


def session(i):
    run = SessionRun(i).to("end")
    bti, ps = run.bti, run.ps
    agree(bti, ps)
    return hexed({
        "frames": frames(bti), "transcripts": bti.t, "z": bti.z, "asked_fields": bti.plain["asked"],
        "request_message": bti.plain["request_message"], "prk": bti.prk["session"], "sk_down_key": bti.keys["sk_down_key"],
        "sk_down_iv": bti.keys["sk_down_iv"], "answer_fields": ps.plain["answer"], "code": run.granted["code"],
        **{k: bti.keys[k] for k in ref.SESSION_KEYS}})


def refused(i, inputs):
    """inputs: {(file, name): the "in" of that enrolment or session}."""
    run = {"enrol": EnrolRun, "session": SessionRun}[i["file"]](inputs[i["file"], i["case"]])
    run.to(i["step"])
    try:
        run.receive(i["side"], i["step"], H(i["frame"]))
    except ref.Refused as e:
        end = run.bti if i["side"] == "bti" else run.ps
        return {"code": e.code, "answer": end.refusal(e.code).hex()}
    return {"code": 0, "answer": ""}


def possession(i):
    args = i["key_kind"], H(i["t"]), H(i["n1"]), H(i["n2"]), H(i["k_u"])
    return hexed({"message": ref.possession_message(*args), "possession": ref.possession(*args)})


def bti_mac(i):
    message, key = H(i["message"]), H(i["key"])
    if "seq" not in i:
        return {"valid": ref.mac_ok(key, message)}
    sealed = ref.mac_seal(key, message)
    found = ref.find_mac(sealed)[0]
    if not ref.mac_ok(key, sealed) or found[:2] != (H(i["kid"]), int(i["seq"])):
        raise AssertionError("a sealed message does not verify")
    return {"message": sealed.hex()}


def bti_mac_header(i):
    found = ref.read_credentials(i["value"].encode(), i["with_scheme"])
    if not found:
        return {"malformed": True}
    return {"kid": found[0].hex(), "seq": str(found[1]), "mac": found[2].hex()}


def replay(i):
    window = ref.Window()
    return {"verdicts": [window.take(int(seq)) for seq in i["seqs"]]}


def session_blob(i):
    kid, cluster = H(i["kid"]), H(i["cluster_key"])
    keys = [H(i[name]) for name in ref.SESSION_KEYS]
    plain = ref.blob_plain(H(i["bti_id"]), int(i["line_id"]), int(i["created_us"]), int(i["expires_us"]), keys)
    blob = ref.blob_seal(cluster, H(i["nonce"]), kid, plain)
    if ref.blob_open(cluster, kid, blob)["keys"] != keys:
        raise AssertionError("a blob does not open")
    return hexed({"plain": plain, "aad": ref.blob_aad(kid), "blob": blob})


def command(i):
    key, direction, node = H(i["command_key"]), i["direction"].encode(), i["node"].encode()
    sealed = ref.command_seal(key, direction, node, H(i["salt"]), H(i["id"]), int(i["at_us"]), H(i["plain"]))
    if ref.command_open(key, direction, node, sealed) != (H(i["id"]), int(i["at_us"]), H(i["plain"])):
        raise AssertionError("a command does not open")
    return hexed({"key": ref.command_key(key, direction, node, H(i["salt"])), "sealed": sealed})


def digest(i):
    password, user = ref.digest_password(H(i["session_digest"])), i["kid"].encode()
    ha1 = ref.digest_hash(i["algorithm"], user, i["realm"].encode(), password.encode())
    response = ref.digest_response(i["algorithm"], i["qop"].encode(), ha1, i["method"].encode(), i["uri"].encode(), H(i["body"]),
                                   i["nonce"].encode(), i["nc"].encode(), i["cnonce"].encode())
    return {"password": password, "ha1": ha1.decode(), "response": response}


def certificate(i):
    try:
        return {"ok": True, "point": ref.check_chain(chain(i), *trust(i)).hex()}
    except ref.Refused as e:
        if e.code != ref.UNTRUSTED:
            raise
        return {"ok": False, "point": ""}


OUT = {"hkdf": hkdf, "hpke": hpke, "seal": seal, "enrol": enrol, "session": session, "possession": possession,
       "bti_mac": bti_mac, "bti_mac_header": bti_mac_header, "replay": replay, "session_blob": session_blob,
       "command": command, "digest": digest, "certificate": certificate}  # and refused, which needs the inputs of enrol and session
