/* 611 calls are told when it is known whose they are. */
#include "lawful_intercept/enrolled.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"

enum { CALLS_MAX = 4096, OCTETS_MAX = 64 << 20, CALL_RECORDS_MAX = 64, ID_BYTES = 20 };
enum { KEPT_S = 60 };

struct kept { /* a record, with its texts */
    struct kept *next;
    struct tap_record r;
    size_t n;
    char octets[];
};

struct held { /* a call of nobody, so far */
    struct held *next;
    char id[ID_BYTES];
    uint64_t ended_us;
    struct kept *first, **last;
    unsigned n;
};

struct li_enrolled {
    struct li_enrolled_cfg cfg;
    struct held *first, **last; /* oldest first */
    size_t n, octets;
    uint64_t forgotten, bad_keys;
};

/* ---- what is kept ------------------------------------------------------------------------------
 */
enum err li_enrolled_new(const struct li_enrolled_cfg *cfg, struct li_enrolled **out)
{
    struct li_enrolled *e = mem_zalloc(sizeof *e);

    if (e == NULL) {
        return FAIL(E_NOMEM);
    }
    e->cfg = *cfg;
    e->last = &e->first;
    *out = e;
    return E_OK;
}

static void forget_records(struct li_enrolled *e, struct held *h)
{
    for (struct kept *k = h->first, *next = NULL; k != NULL; k = next) {
        next = k->next;
        e->octets -= k->n;
        mem_free(k);
    }
    h->first = NULL;
    h->last = &h->first;
    h->n = 0;
}

/* at: what points to it. */
static void drop(struct li_enrolled *e, struct held **at)
{
    struct held *h = *at;

    *at = h->next;
    if (e->last == &h->next) {
        e->last = at;
    }
    e->n--;
    forget_records(e, h);
    mem_free(h);
}

void li_enrolled_gone(struct li_enrolled *e)
{
    while (e->first != NULL) {
        drop(e, &e->first);
    }
}

void li_enrolled_free(struct li_enrolled *e)
{
    if (e != NULL) {
        li_enrolled_gone(e);
        mem_free(e);
    }
}

static struct held **find(struct li_enrolled *e, struct view id)
{
    struct held **at = &e->first;

    while (*at != NULL && !view_eq(view_of((*at)->id), id)) {
        at = &(*at)->next;
    }
    return at;
}

static void forgotten(struct li_enrolled *e)
{
    e->forgotten++;
    LOG(LV_ERROR, "enrolment.forgotten", KV("calls", e->n), KV("octets", e->octets));
}

static void keep(struct li_enrolled *e, struct held *h, const struct tap_record *r)
{
    struct kept *k = NULL;
    size_t n = 0;
    char *to = NULL;

    for (unsigned i = 0; i < TAP_TEXTS_MAX; i++) {
        n += r->text[i].n;
    }
    while (e->octets + n > OCTETS_MAX && e->first != NULL && e->first != h) {
        drop(e, &e->first);
        forgotten(e);
    }
    /* Without its end a call would be told as one that goes on for hours. */
    k = (h->n < CALL_RECORDS_MAX || (r->kind == TAP_CALL_END && h->ended_us == 0)) &&
                e->octets + n <= OCTETS_MAX
            ? mem_zalloc(sizeof *k + n)
            : NULL;
    if (k == NULL) {
        forgotten(e);
        return;
    }
    k->r = *r;
    k->n = n;
    to = k->octets;
    for (unsigned i = 0; i < TAP_TEXTS_MAX; i++) {
        if (r->text[i].n > 0) {
            memcpy(to, r->text[i].p, r->text[i].n);
        }
        k->r.text[i] = view_from(to, r->text[i].n);
        to += r->text[i].n;
    }
    e->octets += n;
    h->n++;
    *h->last = k;
    h->last = &k->next;
}

static void begin(struct li_enrolled *e, const struct tap_record *r)
{
    struct held *h = NULL;

    if (r->text[0].n == 0 || r->text[0].n >= ID_BYTES || *find(e, r->text[0]) != NULL) {
        return;
    }
    if (e->n >= CALLS_MAX && e->first != NULL) {
        drop(e, &e->first);
        forgotten(e);
    }
    h = mem_zalloc(sizeof *h);
    if (h == NULL) {
        forgotten(e);
        return;
    }
    memcpy(h->id, r->text[0].p, r->text[0].n);
    h->last = &h->first;
    *e->last = h;
    e->last = &h->next;
    e->n++;
    keep(e, h, r);
}

/* Calls that ended, and whose enrolment never did. */
static void expire(struct li_enrolled *e, uint64_t now_us)
{
    struct held **at = &e->first;

    while (*at != NULL) {
        const struct held *h = *at;
        if (h->ended_us != 0 && now_us > h->ended_us + KEPT_S * 1000000ull) {
            drop(e, at);
        } else {
            at = &(*at)->next;
        }
    }
}

/* ---- telling -----------------------------------------------------------------------------------
 */
/* As a record of the line's own call. */
static void tell(const struct li_enrolled *e, uint64_t line, struct view number,
                 const struct tap_record *r, bool silent)
{
    struct tap_record own = *r;

    if (r->kind != TAP_CALL_ROUTE) {
        own.party = TAP_LINE;
        own.is_proven = true;
        own.line = line;
    }
    if (r->kind == TAP_CALL_BEGIN) {
        own.text[2] = number;
    }
    li_calls_record(e->cfg.calls, &own, silent);
}

/* One direction as an attribute of a session description (RFC 4568, RFC 7714). */
static void write_attribute(const uint8_t way[TAP_WAY_BYTES], char out[LI_CRYPTO_MAX])
{
    char text[(TAP_WAY_BYTES + 2) / 3 * 4 + 1];

    base64_put(way, TAP_WAY_BYTES, text);
    snprintf(out, LI_CRYPTO_MAX, "a=crypto:1 AEAD_AES_256_GCM inline:%s\r\n", text);
    wipe(text, sizeof text);
}

/* False: there are none that open. */
static bool open_keys(struct li_enrolled *e, const struct tap_record *r, struct li_crypto *out)
{
    uint8_t all[TAP_KEYS_BYTES];
    enum err why =
        tap_keys_open(e->cfg.keys, e->cfg.n_keys, r->text[0], r->text[1], r->text[3], all);

    if (why != E_OK) {
        e->bad_keys++;
        LOG(LV_ERROR, "enrolment.key", KV("call", r->text[0]), KV_ERR(why));
        return false;
    }
    write_attribute(all, out->of_caller);
    write_attribute(all + TAP_WAY_BYTES, out->of_callee);
    wipe(all, sizeof all);
    return true;
}

static void tell_all(struct li_enrolled *e, const struct held *h, const struct tap_record *r,
                     const struct li_crypto *keys, bool silent)
{
    for (const struct kept *k = h->first; k != NULL; k = k->next) {
        tell(e, r->line, r->text[4], &k->r, silent);
        if (k->r.kind == TAP_CALL_BEGIN && keys != NULL) {
            li_calls_secure(e->cfg.calls, r->text[0], keys);
        }
    }
}

static void enrolment(struct li_enrolled *e, const struct tap_record *r, bool silent)
{
    struct held **at = find(e, r->text[0]);
    struct li_crypto keys;
    bool has_keys = r->line != 0 && open_keys(e, r, &keys);

    if (*at == NULL && r->line != 0 && li_calls_line_of(e->cfg.calls, r->text[0]) == 0) {
        LOG(LV_ERROR, "enrolment.lost", KV("call", r->text[0]));
    }
    if (*at != NULL) {
        if (r->line != 0 && !li_calls_secure_line(e->cfg.gates, r->text[1], r->line,
                                                  has_keys ? &keys : NULL, r->at_us, silent)) {
            tell_all(e, *at, r, has_keys ? &keys : NULL, silent);
        }
        drop(e, at);
    }
    if (has_keys) {
        wipe(&keys, sizeof keys);
    }
}

void li_enrolled_record(struct li_enrolled *e, const struct tap_record *r, bool silent)
{
    struct held *h = NULL;
    uint64_t line = 0;

    expire(e, r->at_us);
    if (r->kind == TAP_CALL_BEGIN) {
        begin(e, r);
        return;
    }
    if (r->kind == TAP_ENROLMENT) {
        enrolment(e, r, silent);
        return;
    }
    h = *find(e, r->text[0]);
    if (h != NULL) {
        keep(e, h, r); /* others may go for it */
        h->ended_us = r->kind == TAP_CALL_END ? r->at_us : h->ended_us;
        return;
    }
    line = li_calls_line_of(e->cfg.calls, r->text[0]);
    if (line != 0) { /* it was told, in this run or in the one before */
        tell(e, line, VIEW(""), r, silent);
    }
}

void li_enrolled_facts_of(const struct li_enrolled *e, struct li_enrolled_facts *out)
{
    *out = (struct li_enrolled_facts){e->n, e->forgotten, e->bad_keys};
}
