/* Standard phones: Digest credentials of a line (RFC 3261 section 22, RFC 8760), issued by the
 * operator or derived from the session of a BTI. Which flow a phone may speak by without them:
 * docs/protocol.md section 18. */
#include "authz/digest.h"

#include <stdio.h>
#include <string.h>

#include "authz/sealed.h"
#include "gc/worker_int.h"

static uint64_t now_ms(const struct worker *w)
{
    return worker_now_us(w) / 1000;
}

static struct view realm(const struct worker *w)
{
    return view_of(w->set->domain);
}

/* ---- challenges --------------------------------------------------------------------------------
 */
static void one_challenge(struct worker *w, const char *header, const char *algorithm,
                          const char *nonce, bool is_stale, struct sip_text *t)
{
    sip_text_add(t, "%s: Digest realm=\"%.200s\", nonce=\"%s\", ", header, w->set->domain, nonce);
    sip_text_add(t, "algorithm=%s, qop=\"auth,auth-int\"%s\r\n", algorithm,
                 is_stale ? ", stale=true" : "");
}

/* Phones that know MD5 alone give up at the sight of SHA-256, so a phone whose From names an MD5
 * credential, and none for SHA-256, is asked for that only. */
static bool knows_md5_only(struct worker *w, const struct sip_msg *m)
{
    const struct snapshot *snap = worker_snapshot(w);
    struct sip_name_addr from;

    return w->set->digest_md5 && snap != NULL &&
           sip_name_addr_parse(sip_header_value(m, SIP_H_FROM), &from) == E_OK &&
           snapshot_credential(snap, from.uri.user, DIGEST_SHA256) == NULL &&
           snapshot_credential(snap, from.uri.user, DIGEST_MD5) != NULL;
}

void digest_challenges(struct worker *w, const struct inbound *in, const char *header,
                       struct sip_text *t)
{
    char nonce[NONCE_TEXT_MAX];
    bool is_stale = in->proof.is_stale;

    if (nonce_make(w->ws->nonces, now_ms(w), nonce) != E_OK) {
        LOG(LV_ERROR, "challenge.no_nonce", KV("header", header));
        return; /* BTIs need none */
    }
    if (!knows_md5_only(w, in->m)) {
        one_challenge(w, header, "SHA-256", nonce, is_stale, t);
    }
    if (w->set->digest_md5) {
        one_challenge(w, header, "MD5", nonce, is_stale, t);
    }
}

/* ---- the message -------------------------------------------------------------------------------
 */
/* The first answer for our realm whose algorithm we take: a phone may have answered both. */
static enum err find_digest(struct worker *w, const struct sip_msg *m, struct digest_auth *out)
{
    enum sip_hdr_id id =
        m->method == SIP_M_REGISTER ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION;
    enum err found = E_NOTFOUND;

    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        struct digest_auth a;
        enum err e = digest_is(h->value) ? digest_parse(h->value, &a) : E_NOTFOUND;
        if (e == E_OK && !view_eq(a.realm, realm(w))) {
            e = E_NOTFOUND; /* another proxy's */
        }
        if (e == E_OK && (a.hash == HASH_SHA256 || w->set->digest_md5) && a.qop != DIGEST_NO_QOP) {
            *out = a;
            return E_OK;
        }
        found = e == E_NOTFOUND ? found : E_PARSE;
    }
    return found;
}

static bool same_param(const struct sip_uri *a, const struct sip_uri *b, struct view name,
                       bool may_lack)
{
    struct view x = {0}, y = {0};
    bool has_x = sip_param(a->params, name, &x), has_y = sip_param(b->params, name, &y);

    return has_x && has_y ? view_eq_nocase(x, y) : may_lack || has_x == has_y;
}

/* RFC 3261 section 22.4 item 4 by the rules of section 19.1.4: equivalent, or another request. */
static bool is_for_uri(struct view digest_uri, struct view request_uri)
{
    struct sip_uri a, b;

    if (view_eq(digest_uri, request_uri)) {
        return true;
    }
    return sip_uri_parse(digest_uri, &a) == E_OK && sip_uri_parse(request_uri, &b) == E_OK &&
           sip_uri_same(&a, &b) && same_param(&a, &b, VIEW("user"), false) &&
           same_param(&a, &b, VIEW("ttl"), false) && same_param(&a, &b, VIEW("method"), false) &&
           same_param(&a, &b, VIEW("maddr"), false) &&
           same_param(&a, &b, VIEW("transport"), true) && view_eq(a.headers, b.headers);
}

/* ---- who ---------------------------------------------------------------------------------------
 */
static enum digest_algorithm algorithm_of(enum hash_kind hash)
{
    return hash == HASH_MD5 ? DIGEST_MD5 : DIGEST_SHA256;
}

/* "username NUL realm NUL algorithm" (authz/sealed.h). */
static struct view credential_context(const char *domain, struct view username,
                                      enum digest_algorithm algorithm, char out[SEALED_CONTEXT_MAX])
{
    int n = snprintf(out, SEALED_CONTEXT_MAX, "%.*s%c%.255s%c%s", (int)username.n, username.p, 0,
                     domain, 0, algorithm == DIGEST_MD5 ? "MD5" : "SHA-256");

    return view_from(out, n > 0 && n < SEALED_CONTEXT_MAX ? (size_t)n : 0);
}

static enum err issued(struct worker *w, const struct digest_auth *a, struct party *who,
                       struct secret *ha1)
{
    const struct snapshot *snap = worker_snapshot(w);
    enum digest_algorithm algorithm = algorithm_of(a->hash);
    const struct credential *c =
        snap != NULL ? snapshot_credential(snap, a->username, algorithm) : NULL;
    char context[SEALED_CONTEXT_MAX];
    enum err e = E_OK;

    if (c == NULL) {
        return E_NOTFOUND;
    }
    e = sealed_open(w->ws->sealed, SEALED_CREDENTIAL,
                    credential_context(w->set->domain, c->username, algorithm, context),
                    c->ha1_sealed, ha1);
    if (e != E_OK) {
        LOG(LV_ERROR, "credential.unusable", KV("credential", c->credential_id), KV_ERR(e));
        return FAIL(E_NOTFOUND);
    }
    who->line = c->line_id;
    who->credential = c->credential_id;
    return c->disabled ? E_DENIED : E_OK;
}

/* docs/protocol.md section 18: the username is the kid. */
static enum err derived(struct worker *w, const struct digest_auth *a, struct party *who,
                        struct secret *ha1)
{
    char password[DIGEST_PASSWORD_BYTES];
    struct session *s = NULL;
    enum err e = a->username.n == 2 * sizeof who->kid ? E_OK : E_NOTFOUND;

    if (e != E_OK || hex_get(a->username, who->kid, sizeof who->kid) != E_OK) {
        return E_NOTFOUND;
    }
    TRY(session_hold(w->ws->cfg.sessions, who->kid, worker_now_us(w), &s));
    TRY(session_digest_password(s, password));
    TRY(digest_ha1(a->hash, a->username, realm(w), view_of(password), ha1));
    who->line = session_line(s);
    memcpy(who->bti, session_bti(s), sizeof who->bti);
out:
    wipe(password, sizeof password);
    session_release(s);
    return e;
}

static bool is_revoked(struct worker *w, const struct party *phone)
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct bti_row *row = snap != NULL ? snapshot_bti(snap, phone->bti) : NULL;

    return row != NULL && (row->revoked || row->line_id != phone->line);
}

bool phone_is_good(struct worker *w, const struct party *phone)
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct credential *c = NULL;
    struct session *s = NULL;

    if (phone->credential == 0) {
        bool lives = session_hold(w->ws->cfg.sessions, phone->kid, worker_now_us(w), &s) == E_OK;
        session_release(s);
        return lives && !is_revoked(w, phone);
    }
    c = snap != NULL ? snapshot_credential(snap, view_of(phone->username),
                                           (enum digest_algorithm)phone->algorithm)
                     : NULL;
    return c != NULL && c->credential_id == phone->credential && c->line_id == phone->line &&
           !c->disabled;
}

/* ---- guessing ----------------------------------------------------------------------------------
 */
/* Whoever shuts a phone out by guessing at its name does not shut it out where it is registered. */
static bool is_at_home(struct worker *w, const struct party *who, const struct sip_flow *flow)
{
    struct binding b[LOCATION_MAX_CONTACTS];
    size_t n = location_find(w->ws->cfg.location, who->line, loop_now_ms(w->loop), b,
                             LOCATION_MAX_CONTACTS);
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        found = found || (b[i].is_phone && b[i].via_node.family == 0 &&
                          strcmp(b[i].username, who->username) == 0 &&
                          net_ip_eq(&b[i].remote, &flow->remote));
    }
    return found;
}

/* Tokens are taken first and given back for a right answer. */
struct tokens {
    bool source, username;
};

static bool may_try(struct worker *w, const struct party *who, const struct sip_flow *flow,
                    struct tokens *t)
{
    uint64_t now = loop_now_ms(w->loop);

    t->source = limits_take(w->ws->limits, LIMIT_GUESS, &flow->remote, now);
    t->username = t->source && limits_take_username(w->ws->limits, view_of(who->username), now);
    return t->username || (t->source && is_at_home(w, who, flow));
}

static void was_no_guess(struct worker *w, const struct party *who, const struct sip_flow *flow,
                         const struct tokens *t)
{
    uint64_t now = loop_now_ms(w->loop);

    if (t->source) {
        limits_give(w->ws->limits, LIMIT_GUESS, &flow->remote, now);
    }
    if (t->username) {
        limits_give_username(w->ws->limits, view_of(who->username), now);
    }
}

/* ---- the whole ---------------------------------------------------------------------------------
 */
struct claim {
    struct party who;
    struct secret ha1;
    enum err known; /* E_OK, E_DENIED: taken away, else nobody's */
};

/* A name that is nobody's costs what a wrong password costs. */
static void look_up(struct worker *w, const struct digest_auth *a, struct claim *c)
{
    c->known = derived(w, a, &c->who, &c->ha1);
    if (c->known == E_NOTFOUND) {
        memset(c->who.kid, 0, sizeof c->who.kid);
        c->known = issued(w, a, &c->who, &c->ha1);
    } else if (c->known == E_OK && is_revoked(w, &c->who)) {
        c->known = E_DENIED;
    }
    if (c->ha1.n == 0) {
        c->ha1.n = hash_bytes(a->hash);
    }
}

static enum meter check(const struct sip_msg *m, const struct digest_auth *a, const struct claim *c)
{
    const struct digest_request r = {m->method_text, m->body};
    enum err e = digest_check(a, &c->ha1, &r);

    return e != E_OK              ? METER_AUTH_BAD_DIGEST
           : c->known == E_OK     ? METER_COUNT
           : c->known == E_DENIED ? METER_AUTH_REVOKED
                                  : METER_AUTH_BAD_DIGEST;
}

static void prove(struct proof *p, const struct party *who, const struct sip_flow *flow)
{
    p->class = PROOF_PROVEN;
    p->mac = p->is_repeat ? TRACE_MAC_REPLAY : TRACE_MAC_DIGEST;
    p->who = *who;
    p->who.kind = PARTY_PHONE;
    p->who.way = way_of(flow);
    p->who.ip = flow->remote;
}

/* The response was right. */
static enum meter use_nonce(struct worker *w, const struct digest_auth *a, struct proof *p)
{
    switch (nonce_take(w->ws->nonces, a->nonce, a->nc, now_ms(w))) {
    case NONCE_STALE:
        p->is_stale = true;
        return METER_AUTH_STALE_NONCE;
    case NONCE_SEEN:
        p->is_repeat = true;
        break;
    case NONCE_FRESH:
        break;
    }
    return METER_COUNT;
}

static enum meter verify(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                         const struct digest_auth *a, struct proof *p)
{
    struct claim c = {.who = {.algorithm = (uint8_t)algorithm_of(a->hash)}};
    struct tokens t = {.source = false};
    enum meter failure = METER_AUTH_GUESSES;

    if (view_to_cstr(a->username, c.who.username, sizeof c.who.username) != E_OK) {
        return METER_AUTH_BAD_DIGEST; /* longer than any */
    }
    memcpy(p->who.username, c.who.username, sizeof c.who.username); /* for the log */
    if (!is_for_uri(a->uri, m->uri)) {
        return METER_AUTH_DIGEST_URI;
    }
    if (nonce_check(w->ws->nonces, a->nonce, now_ms(w)) != E_OK) {
        p->is_stale = true; /* says nothing of the password: it was not looked at */
        return METER_AUTH_STALE_NONCE;
    }
    look_up(w, a, &c);
    if (may_try(w, &c.who, flow, &t)) {
        failure = check(m, a, &c);
    }
    secret_wipe(&c.ha1);
    if (failure == METER_COUNT) {
        was_no_guess(w, &c.who, flow, &t);
        failure = use_nonce(w, a, p);
    }
    if (failure == METER_COUNT) {
        prove(p, &c.who, flow);
    }
    return failure;
}

bool digest_authenticate(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                         struct proof *p)
{
    struct digest_auth a;
    enum err e = find_digest(w, m, &a);

    if (e == E_NOTFOUND) {
        return false;
    }
    p->failure = e == E_OK ? verify(w, m, flow, &a, p) : METER_AUTH_MALFORMED;
    return true;
}

/* ---- for the operator --------------------------------------------------------------------------
 */
const char *workers_realm(const struct workers *w)
{
    return w->cfg.set->domain;
}

enum err workers_seal_credential(const struct workers *w, struct view username,
                                 enum digest_algorithm algorithm, struct view password,
                                 uint8_t sealed[SEALED_MAX], size_t *out_n)
{
    const char *domain = workers_realm(w);
    char context[SEALED_CONTEXT_MAX];
    struct secret ha1 = {0};
    enum err e = E_OK;

    if (username.n == 0 || username.n >= USERNAME_MAX || password.n == 0 ||
        password.n > SECRET_MAX) {
        return FAIL(E_RANGE);
    }
    TRY(digest_ha1(algorithm == DIGEST_MD5 ? HASH_MD5 : HASH_SHA256, username, view_of(domain),
                   password, &ha1));
    TRY(sealed_make(w->sealed, SEALED_CREDENTIAL,
                    credential_context(domain, username, algorithm, context), &ha1, sealed, out_n));
out:
    secret_wipe(&ha1);
    return e;
}

enum err workers_seal_trunk(const struct workers *w, struct view trunk, struct view user,
                            struct view password, uint8_t sealed[SEALED_MAX], size_t *out_n)
{
    char context[SEALED_CONTEXT_MAX];
    struct secret plain = {0};
    int n = snprintf(context, sizeof context, "%.*s%c%.*s", (int)trunk.n, trunk.p, 0, (int)user.n,
                     user.p);
    enum err e = n > 0 && (size_t)n < sizeof context ? E_OK : FAIL(E_RANGE);

    TRY(e);
    TRY(secret_set(&plain, password.p, password.n));
    TRY(sealed_make(w->sealed, SEALED_TRUNK, view_from(context, (size_t)n), &plain, sealed, out_n));
out:
    secret_wipe(&plain);
    return e;
}

/* ---- flows -------------------------------------------------------------------------------------
 */
struct phone_way way_of(const struct sip_flow *flow)
{
    return (struct phone_way){
        .proto = flow->proto, .remote = flow->remote, .worker = flow->worker, .conn = flow->conn};
}

bool is_same_way(const struct phone_way *way, const struct sip_flow *flow)
{
    if (way->proto != flow->proto || !net_eq(&way->remote, &flow->remote)) {
        return false;
    }
    return flow->proto == SIP_UDP || (way->worker == flow->worker && way->conn == flow->conn);
}
