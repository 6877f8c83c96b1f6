/* The verification service (RFC 8224 section 6.2, RFC 8588, RFC 8946 section 4). */
#include <string.h>

#include "base/log.h"
#include "gc/stir_int.h"
#include "routing/snapshot.h"

enum { TOKENS_MAX = 6 /* one of the caller's, and five diversions */ };

static const char wrong_identity[] = "Invalid Identity Header";

struct flaw { /* why a token is worth nothing */
    unsigned status;
    const char *reason, *why;
};

enum token_state {
    TOKEN_OPEN, /* nothing is wrong with it so far */
    TOKEN_GOOD,
    TOKEN_BAD, /* flaw says why */
    TOKEN_WAITS,
    TOKEN_UNCHECKED /* nobody can say: its certificate is not to be had now */
};

struct token {
    struct passport p;
    enum token_state state;
    struct flaw flaw;
    bool is_used; /* part of the chain that is looked at */
};

struct check {
    struct worker *w;
    struct stir *s;
    const struct stir_live *l;
    const struct sip_msg *m;
    uint64_t now_s;
    bool may_wait;
    struct stir_entry *coming; /* the first that a token waits for; held */
    char orig[PASSPORT_TN_MAX], called[PASSPORT_TN_MAX];
    unsigned n, n_seen; /* tokens of kinds that we know; header lines */
    struct token t[TOKENS_MAX];
};

const char *stir_verstat(enum stir_outcome outcome)
{
    static const char *const names[] = {[STIR_PASSED] = "TN-Validation-Passed",
                                        [STIR_FAILED] = "TN-Validation-Failed",
                                        [STIR_UNKNOWN] = "No-TN-Validation"};

    return outcome < sizeof names / sizeof names[0] ? names[outcome] : NULL;
}

static void spoil(struct token *t, unsigned status, const char *reason, const char *why)
{
    t->state = TOKEN_BAD;
    t->flaw = (struct flaw){status, reason, why};
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static bool is_other_kind(struct view ppt)
{
    return ppt.n > 0 && !view_eq(ppt, VIEW("shaken")) && !view_eq(ppt, VIEW("div"));
}

static void read_token(struct check *c, struct view value)
{
    struct token *t = &c->t[c->n];
    struct identity_header h;
    const char *why = "";
    enum err e = identity_header_read(value, &h, &why);

    if (e == E_OK && is_other_kind(h.ppt)) {
        return; /* RFC 8224 section 6.2 step 1 */
    }
    *t = (struct token){.state = TOKEN_OPEN};
    c->n++;
    if (e == E_OK && h.is_compact) {
        spoil(t, 438, wrong_identity, "token in compact form");
        return;
    }
    if (e == E_OK) {
        e = passport_read(h.token, &t->p, &why);
    }
    if (e != E_OK || !identity_header_agrees(&h, &t->p, &why)) {
        spoil(t, 438, wrong_identity, why);
    } else if (t->p.type == PASSPORT_OTHER) {
        c->n--;
    }
}

static void read_all(struct check *c)
{
    for (unsigned i = 0; i < c->m->n_headers; i++) {
        const struct sip_hdr *h = &c->m->h[i];
        if (h->id == SIP_H_IDENTITY) {
            c->n_seen++;
            if (c->n < TOKENS_MAX) {
                read_token(c, h->value);
            }
        }
    }
}

/* What costs nothing to see, before anybody is asked for anything. */
static void look_at(const struct check *c, struct token *t)
{
    if (t->state != TOKEN_OPEN) {
        return;
    }
    if (t->p.iat + STIR_FRESH_S < c->now_s || t->p.iat > c->now_s + STIR_FRESH_S) {
        spoil(t, 403, "Stale Date", "token is not of this minute");
    } else if (t->p.orig.tn[0] == 0 || strcmp(t->p.orig.tn, c->orig) != 0) {
        spoil(t, 438, wrong_identity, "token is about another caller");
    }
}

/* ---- the chain ---------------------------------------------------------------------------------
 */
static bool is_for(const struct passport *p, const char *called)
{
    for (unsigned i = 0; i < p->n_dest; i++) {
        if (p->dest[i].tn[0] != 0 && strcmp(p->dest[i].tn, called) == 0) {
            return true;
        }
    }
    return false;
}

/* Diversions that follow one from the other, until one leads to the number that is called: those
 * are used. False: none does. */
static bool follow(struct check *c, struct token *root)
{
    struct passport chain[TOKENS_MAX];
    unsigned n = 1;
    bool grows = true;

    for (unsigned i = 0; i < c->n; i++) {
        c->t[i].is_used = false;
    }
    root->is_used = true;
    chain[0] = root->p;
    while (grows && !is_for(&chain[n - 1], c->called)) {
        grows = false;
        for (unsigned i = 0; i < c->n && !grows; i++) {
            struct token *t = &c->t[i];
            if (!t->is_used && t->state != TOKEN_BAD && t->p.type == PASSPORT_DIV &&
                passport_continues(&t->p, chain, n)) {
                t->is_used = grows = true;
                chain[n++] = t->p;
            }
        }
    }
    return is_for(&chain[n - 1], c->called);
}

/* ---- certificates and signatures ---------------------------------------------------------------
 */
static void no_certificate(struct token *t, const struct stir_entry *entry)
{
    switch (stir_entry_result(entry)) {
    case STIR_FETCH_OK:
        spoil(t, 437, "Unsupported Credential", stir_entry_why(entry));
        break;
    case STIR_FETCH_REFUSED:
    case STIR_FETCH_ANSWER:
    case STIR_FETCH_TLS:
        spoil(t, 436, "Bad Identity Info", "no certificate at the URL of the token");
        break;
    case STIR_FETCH_TIMEOUT: /* not the caller's fault, nor to its harm */
    case STIR_FETCH_UNREACHABLE:
    case STIR_FETCH_FULL:
    case STIR_FETCH_RESULTS:
        t->state = TOKEN_UNCHECKED;
        break;
    }
}

static void check_signature(const struct check *c, struct token *t, const struct stir_cert *cert)
{
    uint64_t from = 0, until = 0;
    const struct passport_party *who = t->p.type == PASSPORT_DIV ? &t->p.div : &t->p.orig;

    stir_cert_times(cert, &from, &until);
    if (c->now_s < from || c->now_s > until || t->p.iat < from || t->p.iat > until) {
        spoil(t, 437, "Unsupported Credential", "certificate is not valid now");
    } else if (!stir_cert_speaks_for(cert, view_of(who->tn))) {
        spoil(t, 437, "Unsupported Credential", "certificate does not speak for the number");
    } else if (passport_verify(&t->p, stir_cert_key(cert)) != E_OK) {
        spoil(t, 438, wrong_identity, "signature does not hold");
    } else {
        t->state = TOKEN_GOOD;
    }
}

static void verify(struct check *c, struct token *t)
{
    struct stir_entry *entry = NULL;
    const char *why = "";

    if (!stir_url_ok(&c->l->rules, view_of(t->p.x5u), &why)) {
        spoil(t, 436, "Bad Identity Info", why);
        return;
    }
    switch (stir_cache_find(c->s->cache, view_of(t->p.x5u), loop_now_ms(c->w->loop), &entry)) {
    case STIR_FOUND_GOOD:
        check_signature(c, t, stir_entry_cert(entry));
        break;
    case STIR_FOUND_BAD:
        no_certificate(t, entry);
        break;
    case STIR_FOUND_COMING:
        t->state = c->may_wait ? TOKEN_WAITS : TOKEN_UNCHECKED;
        if (c->may_wait && c->coming == NULL) {
            c->coming = entry;
            entry = NULL; /* moved */
        }
        break;
    case STIR_FOUND_NOTHING:
        t->state = TOKEN_UNCHECKED;
        break;
    }
    stir_entry_free(entry);
}

/* ---- the verdict -------------------------------------------------------------------------------
 */
static void fail(struct stir_verdict *v, const struct flaw *f)
{
    *v = (struct stir_verdict){.outcome = STIR_FAILED,
                               .status = f->status,
                               .reason = f->reason,
                               .why = f->why != NULL ? f->why : ""};
}

static bool was_used(const struct check *c, const struct token *t)
{
    uint64_t call = worker_hash(c->w, c->m->call_id) ^ worker_hash(c->w, c->m->from_tag);

    return stir_replay_seen(c->s->replay, t->p.signing_input, t->p.signature, call, c->now_s);
}

/* All tokens of the chain must be good. */
static void judge(struct check *c, const struct token *root, struct stir_verdict *v)
{
    static const struct flaw replay = {438, wrong_identity, "token came with another call before"};
    bool waits = false, is_open = false, is_replay = false;

    for (unsigned i = 0; i < c->n; i++) {
        struct token *t = &c->t[i];
        if (t->is_used && t->state != TOKEN_GOOD) {
            verify(c, t);
        }
        waits = waits || (t->is_used && t->state == TOKEN_WAITS);
        is_open = is_open || (t->is_used && t->state == TOKEN_UNCHECKED);
    }
    for (unsigned i = 0; i < c->n; i++) {
        if (c->t[i].is_used && c->t[i].state == TOKEN_BAD) {
            fail(v, &c->t[i].flaw);
            return;
        }
    }
    if (waits || is_open) {
        *v = (struct stir_verdict){.outcome = waits ? STIR_WAITS : STIR_UNKNOWN,
                                   .why = "no certificate in time"};
        return;
    }
    for (unsigned i = 0; i < c->n; i++) {
        is_replay = is_replay || (c->t[i].is_used && was_used(c, &c->t[i]));
    }
    if (is_replay) {
        fail(v, &replay);
        return;
    }
    *v = (struct stir_verdict){.outcome = STIR_PASSED, .attest = root->p.attest, .why = "passed"};
}

/* How much a verdict is worth: one good token is enough, and what may yet become good comes next.
 */
static int rank(const struct stir_verdict *v)
{
    return v->outcome == STIR_PASSED    ? 4
           : v->outcome == STIR_WAITS   ? 3
           : v->outcome == STIR_UNKNOWN ? 2
           : v->status != 0             ? 1
                                        : 0;
}

static void check_roots(struct check *c, struct stir_verdict *best)
{
    static const struct flaw elsewhere = {438, wrong_identity,
                                          "token is for another called number"};
    static const struct flaw rootless = {438, wrong_identity, "diversion without a caller's token"};
    struct stir_verdict v;

    fail(best, &rootless);
    for (unsigned i = 0; i < c->n && best->outcome != STIR_PASSED; i++) {
        struct token *t = &c->t[i];
        if (t->state == TOKEN_BAD) {
            fail(&v, &t->flaw);
        } else if (t->p.type == PASSPORT_DIV) {
            continue;
        } else if (!follow(c, t)) {
            fail(&v, &elsewhere);
        } else {
            judge(c, t, &v);
        }
        if (rank(&v) > rank(best) || best->why == rootless.why) {
            *best = v;
        }
    }
}

/* The number that claims to call: what a believed trunk asserts, else From. */
static bool caller_number(struct check *c, const struct inbound *in)
{
    struct view asserted = sip_header_value(c->m, SIP_H_P_ASSERTED_IDENTITY);
    struct sip_list l = sip_list_over(asserted);
    struct view one;

    while (!in->proof.who.is_doubted && asserted.n > 0 && sip_list_next(&l, &one)) {
        if (stir_number_of(c->w, one, c->orig)) {
            return true;
        }
    }
    return stir_number_of(c->w, sip_header_value(c->m, SIP_H_FROM), c->orig);
}

static void check_call(struct check *c, const struct inbound *in, struct stir_verdict *v)
{
    *v = (struct stir_verdict){.outcome = STIR_UNKNOWN, .why = "no Identity header"};
    read_all(c);
    if (c->n == 0) {
        v->status = 428;
        v->reason = "Use Identity Header";
        v->why = c->n_seen > 0 ? "tokens of unknown kinds only" : v->why;
        return;
    }
    if (c->l->anchors == NULL) {
        v->why = "no stir.anchors";
        return;
    }
    if (!caller_number(c, in) || !stir_number_of_uri(c->w, c->m->uri, c->called)) {
        fail(v, &(struct flaw){438, wrong_identity, "no number calls, or is called"});
        return;
    }
    for (unsigned i = 0; i < c->n; i++) {
        look_at(c, &c->t[i]);
    }
    check_roots(c, v);
}

static void tell(struct worker *w, const struct inbound *in, const struct stir_verdict *v)
{
    meter(w, v->outcome == STIR_PASSED   ? METER_STIR_PASSED
             : v->outcome == STIR_FAILED ? METER_STIR_FAILED
                                         : METER_STIR_UNKNOWN);
    if (v->outcome == STIR_FAILED) {
        LOG(LV_WARN, "stir.failed", KV("call_id", in->m->call_id), KV("why", v->why),
            KV("status", v->status), KV("trunk", in->proof.who.trunk));
    }
}

static void check_with(struct worker *w, const struct inbound *in, bool may_wait,
                       struct stir_verdict *out)
{
    struct check c = {.w = w,
                      .s = w->ws->cfg.stir,
                      .m = in->m,
                      .may_wait = may_wait,
                      .now_s = worker_now_us(w) / 1000000};
    struct stir_live *l = stir_hold(c.s);

    c.l = l;
    check_call(&c, in, out);
    stir_let_go(l);
    if (out->outcome == STIR_WAITS) {
        out->coming = c.coming;
    } else {
        stir_entry_free(c.coming);
        tell(w, in, out);
    }
}

void stir_check(struct worker *w, const struct inbound *in, const struct trunk *from, bool may_wait,
                struct stir_verdict *out)
{
    *out = (struct stir_verdict){.outcome = STIR_NONE, .why = ""};
    if (w->ws->cfg.stir != NULL && from != NULL && from->stir_verify != STIR_VERIFY_OFF) {
        check_with(w, in, may_wait, out);
    }
}

void stir_wait(struct worker *w, struct stir_verdict *v, uint64_t ticket)
{
    const struct stir_waiter waiter = {w->ws, w->index, ticket};

    stir_cache_wait(w->ws->cfg.stir->cache, v->coming, &waiter);
    v->coming = NULL;
}

void stir_forget(struct stir_verdict *v)
{
    stir_entry_free(v->coming);
    v->coming = NULL;
}
