/* Who sent this message: a BTI by its MAC, a peer by the address that the configuration names, or
 * nobody that we know. And the other way round: our own proof towards a BTI. */
#include <stdio.h>
#include <string.h>

#include "gc/worker_int.h"

bool is_line(const struct party *p)
{
    return p->kind == PARTY_BTI || p->kind == PARTY_PHONE;
}

bool is_bti(const struct party *p)
{
    return p->kind == PARTY_BTI;
}

static enum party_kind configured(const struct worker *w, const struct net_addr *ip)
{
    const struct gc_plan *plan = w->plan;

    for (unsigned i = 0; i < plan->n_ps; i++) {
        if (net_ip_eq(&plan->ps[i].address, ip)) {
            return PARTY_PS;
        }
    }
    for (unsigned i = 0; i < plan->n_trusted; i++) {
        if (net_ip_eq(&plan->trusted[i], ip)) {
            return PARTY_GATEWAY;
        }
    }
    return PARTY_STRANGER;
}

/* Provisioning servers first; a trunk says more of itself than peers.trusted does. */
bool is_peer_flow(struct worker *w, const struct sip_flow *flow, struct party *out)
{
    enum party_kind kind = configured(w, &flow->remote);

    *out = (struct party){.kind = kind, .ip = flow->remote};
    if (kind == PARTY_PS || !trunk_of_flow(w, flow, out)) {
        return kind != PARTY_STRANGER;
    }
    return true;
}

/* ---- messages in -------------------------------------------------------------------------------
 */
static enum sip_hdr_id proof_header(const struct sip_msg *m)
{
    if (!m->is_request) {
        return SIP_H_AUTHENTICATION_INFO;
    }
    return m->method == SIP_M_REGISTER ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION;
}

/* E_NOTFOUND: no MAC at all. E_PARSE: malformed, or two of them. */
static enum err find_mac(const struct sip_msg *m, struct bti_mac *out)
{
    enum sip_hdr_id id = proof_header(m);
    const struct sip_hdr *found = NULL;

    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        if (m->is_request && !bti_mac_is(h->value)) {
            continue; /* another scheme's, not for us */
        }
        if (found != NULL) {
            return FAIL(E_PARSE);
        }
        found = h;
    }
    return found != NULL ? bti_mac_parse(found->value, m->is_request, out) : E_NOTFOUND;
}

/* In whichever header: a BTI that mixes them up is one all the same. */
static bool has_mac(const struct sip_msg *m)
{
    static const enum sip_hdr_id ids[] = {SIP_H_AUTHORIZATION, SIP_H_PROXY_AUTHORIZATION};

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        for (const struct sip_hdr *h = sip_header(m, ids[i], 0); h != NULL;
             h = sip_header(m, ids[i], sip_header_index(m, h) + 1)) {
            if (bti_mac_is(h->value)) {
                return true;
            }
        }
    }
    return false;
}

/* The database's word on the BTI. One that it does not show yet has just been enrolled: its session
 * came from the provisioning server, that is proof enough. */
static bool is_revoked(struct worker *w, const struct session *s)
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct bti_row *row = snap != NULL ? snapshot_bti(snap, session_bti(s)) : NULL;

    return row != NULL && (row->revoked || row->line_id != session_line(s));
}

static void prove(struct proof *p, const struct session *s, enum trace_mac how)
{
    p->class = PROOF_PROVEN;
    p->mac = how;
    p->who.kind = PARTY_BTI;
    p->who.line = session_line(s);
    memcpy(p->who.kid, session_kid(s), sizeof p->who.kid);
    memcpy(p->who.bti, session_bti(s), sizeof p->who.bti);
}

static enum meter verify(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                         const struct bti_mac *mac, struct proof *p)
{
    struct session *s = NULL;
    enum meter failure = METER_COUNT;

    if (flow->has_kid && memcmp(flow->kid, mac->kid, sizeof mac->kid) != 0) {
        return METER_AUTH_KID_MISMATCH;
    }
    if (session_hold(w->ws->cfg.sessions, mac->kid, worker_now_us(w), &s) != E_OK) {
        return METER_AUTH_UNKNOWN_KID;
    }
    if (is_revoked(w, s)) {
        failure = METER_AUTH_REVOKED;
    } else if (session_verify(s, m->raw, mac, &p->is_repeat) != E_OK) {
        failure = METER_AUTH_BAD_MAC;
    } else {
        prove(p, s, p->is_repeat ? TRACE_MAC_REPLAY : TRACE_MAC_OK);
    }
    session_release(s);
    return failure;
}

/* A connection under the session's PSK proves its messages as a MAC does (docs/protocol.md section
 * 13): as long as the session lives, and unless they carry a MAC that says otherwise. */
static enum meter prove_by_connection(struct worker *w, const struct sip_flow *flow,
                                      struct proof *p)
{
    struct session *s = NULL;
    enum meter failure = METER_COUNT;

    if (session_hold(w->ws->cfg.sessions, flow->kid, worker_now_us(w), &s) != E_OK) {
        return METER_AUTH_UNKNOWN_KID;
    }
    if (is_revoked(w, s)) {
        failure = METER_AUTH_REVOKED;
    } else {
        prove(p, s, TRACE_MAC_PSK);
    }
    session_release(s);
    return failure;
}

static const char *cause_of(enum meter failure)
{
    switch ((int)failure) {
    case METER_AUTH_MALFORMED:
        return "auth.malformed";
    case METER_AUTH_UNKNOWN_KID:
        return "auth.unknown_kid";
    case METER_AUTH_KID_MISMATCH:
        return "auth.kid_mismatch";
    case METER_AUTH_REVOKED:
        return "auth.revoked";
    case METER_AUTH_BAD_DIGEST:
        return "auth.bad_digest";
    case METER_AUTH_DIGEST_URI:
        return "auth.digest_uri";
    case METER_AUTH_GUESSES:
        return "auth.guesses";
    default:
        return "auth.bad_mac";
    }
}

static void tell_failure(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                         const struct proof *p)
{
    char source[NET_TEXT_MAX];

    meter(w, p->failure);
    if (p->failure == METER_AUTH_STALE_NONCE) {
        return; /* everyday life of a phone */
    }
    net_text(&flow->remote, source);
    LOG(LV_WARN, cause_of(p->failure), KV("source", (const char *)source),
        KV("proto", sip_proto_name(flow->proto)), KV("method", m->method_text),
        KV("call_id", m->call_id), KV("username", (const char *)p->who.username));
}

static void finish_proof(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                         struct proof *p)
{
    if (p->class == PROOF_PROVEN) {
        limits_give(w->ws->limits, LIMIT_DATAGRAM, &flow->remote, loop_now_ms(w->loop));
        return;
    }
    p->is_bad = true;
    p->mac = TRACE_MAC_BAD;
    tell_failure(w, m, flow, p);
}

/* Credentials in ACK and CANCEL are those of the INVITE (RFC 3261 sections 22.1, 22.3) and prove
 * nothing. What a trusted peer passes on is for others, but a phone's REGISTER behind it. */
static bool may_use_digest(const struct sip_msg *m, const struct sip_flow *flow, bool is_peer)
{
    return m->is_request && m->method != SIP_M_ACK && m->method != SIP_M_CANCEL && !flow->has_kid &&
           (!is_peer || m->method == SIP_M_REGISTER);
}

/* A MAC is checked wherever the message comes from. Without one the connection decides when a BTI
 * opened it with its key, else the address. */
void authenticate(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                  struct proof *out)
{
    struct bti_mac mac;
    enum err e = find_mac(m, &mac);
    struct party peer;
    bool is_peer = !flow->has_kid && is_peer_flow(w, flow, &peer);

    *out = (struct proof){
        .class = PROOF_UNKNOWN, .mac = TRACE_MAC_NONE, .failure = METER_AUTH_MISSING};
    out->who.ip = flow->remote;
    out->has_mac = flow->has_kid || has_mac(m);
    out->asks_none = !m->is_request || m->method == SIP_M_ACK || m->method == SIP_M_CANCEL;
    if (e == E_NOTFOUND && may_use_digest(m, flow, is_peer) &&
        digest_authenticate(w, m, flow, out)) {
        finish_proof(w, m, flow, out);
        return;
    }
    if (is_peer && (e == E_NOTFOUND || (e != E_OK && !m->is_request))) {
        out->class = PROOF_TRUSTED; /* a peer's Authentication-Info that is no MAC is Digest's */
        out->who = peer;
        return;
    }
    if (e == E_NOTFOUND && !flow->has_kid) {
        return;
    }
    out->failure = e == E_OK         ? verify(w, m, flow, &mac, out)
                   : e == E_NOTFOUND ? prove_by_connection(w, flow, out)
                                     : METER_AUTH_MALFORMED;
    finish_proof(w, m, flow, out);
}

static bool is_same_phone(const struct party *a, const struct party *b)
{
    return b->kind == PARTY_PHONE && a->line == b->line && a->credential == b->credential &&
           (a->credential != 0 || memcmp(a->bti, b->bti, sizeof a->bti) == 0);
}

/* docs/protocol.md section 18: what a phone cannot prove, or has proven on this connection. */
static bool comes_its_way(const struct party *phone, const struct proof *proof,
                          const struct sip_flow *flow)
{
    return !proof->is_bad && is_same_way(&phone->way, flow) &&
           (proof->asks_none || flow->proto != SIP_UDP);
}

bool is_party(const struct party *p, const struct proof *proof, const struct sip_flow *flow)
{
    switch (p->kind) {
    case PARTY_BTI:
        return proof->class == PROOF_PROVEN && is_bti(&proof->who) &&
               memcmp(p->bti, proof->who.bti, sizeof p->bti) == 0;
    case PARTY_PHONE:
        return proof->class == PROOF_PROVEN ? is_same_phone(p, &proof->who)
                                            : comes_its_way(p, proof, flow);
    case PARTY_PS:
    case PARTY_GATEWAY: /* a trunk may have more than one address */
        return proof->class != PROOF_PROVEN &&
               ((p->trunk != 0 && proof->who.trunk == p->trunk) ||
                (!p->is_certified && net_ip_eq(&p->ip, &flow->remote)));
    case PARTY_STRANGER:
        break;
    }
    return net_ip_eq(&p->ip, &flow->remote); /* it may have enrolled meanwhile, proof or not */
}

/* ---- messages out ------------------------------------------------------------------------------
 */
/* The proof goes in as the first header, so that its place is known whatever else the message
 * holds. */
static enum err seal_with(struct session *s, char *buf, size_t buf_bytes, size_t *n)
{
    bool is_request = !view_starts(view_from(buf, *n), VIEW("SIP/2.0 "));
    const char *name = is_request ? "Authorization: " : "Authentication-Info: ";
    const char *eol = memmem(buf, *n, "\r\n", 2);
    char value[BTI_MAC_VALUE_MAX], line[SEAL_ROOM];
    size_t at = 0, value_n = 0, line_n = 0;
    enum err e = E_OK;

    BUG_ON(eol == NULL);
    at = (size_t)(eol - buf) + 2;
    value_n = bti_mac_format(is_request, session_kid(s), session_next_seq(s), value);
    line_n = (size_t)snprintf(line, sizeof line, "%s%s\r\n", name, value);
    BUG_ON(line_n >= sizeof line);
    if (line_n > buf_bytes - *n) {
        return FAIL(E_RANGE);
    }
    memmove(buf + at + line_n, buf + at, *n - at);
    memcpy(buf + at, line, line_n);
    TRY(session_fill(s, buf, *n + line_n, at + strlen(name) + value_n - BTI_MAC_DIGITS));
    *n += line_n;
out:
    return e;
}

enum err seal_any(struct worker *w, const struct party *to, char *buf, size_t buf_bytes, size_t *n)
{
    struct target other;
    enum err e = seal(w, to, buf, buf_bytes, n);

    if (e == E_NOTFOUND && target_of_bti(w, to, &other)) {
        e = seal(w, &other.who, buf, buf_bytes, n);
    }
    return e;
}

enum err seal(struct worker *w, const struct party *to, char *buf, size_t buf_bytes, size_t *n)
{
    struct session *s = NULL;
    enum err e = E_OK;

    if (!is_bti(to)) {
        return E_OK;
    }
    TRY(session_hold(w->ws->cfg.sessions, to->kid, worker_now_us(w), &s));
    e = seal_with(s, buf, buf_bytes, n);
out:
    session_release(s);
    return e;
}
