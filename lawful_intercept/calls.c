/* The table of live calls, kept by the tap's records. */
#include "lawful_intercept/calls_int.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { CALLS_MAX = 65536 };
#define NTP_EPOCH 2208988800u /* seconds from 1900 to 1970 */

/* ---- life --------------------------------------------------------------------------------------
 */
enum err li_calls_new(const struct li_calls_cfg *cfg, struct li_calls **out)
{
    struct li_calls *c = mem_zalloc(sizeof *c);
    enum err e = E_OK;

    if (c == NULL) {
        return FAIL(E_NOMEM);
    }
    c->cfg = *cfg;
    c->cfg.max_calls = cfg->max_calls != 0 ? cfg->max_calls : CALLS_MAX;
    TRY(view_to_cstr(view_of(cfg->element), c->element, sizeof c->element));
    c->n_heads = c->cfg.max_calls;
    c->heads = mem_zalloc_array(c->n_heads, sizeof(struct hlink *));
    c->all = mem_zalloc_array(c->cfg.max_calls, sizeof(struct li_call *));
    c->key = secret_alloc(sizeof *c->key);
    if (c->heads == NULL || c->all == NULL || c->key == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_set(c->key, cfg->key->b, cfg->key->n));
    *out = c;
    c = NULL;
out:
    li_calls_free(c);
    return e;
}

static void free_call(struct li_call *call)
{
    hlist_drop(&call->by_id);
    for (unsigned i = 0; i < LI_SIDES; i++) {
        if (call->side[i].sdp != NULL) {
            wipe(call->side[i].sdp, call->side[i].sdp_n); /* media keys */
        }
        mem_free(call->side[i].sdp);
    }
    mem_free(call);
}

void li_calls_free(struct li_calls *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; c->all != NULL && i < c->n; i++) {
        free_call(c->all[i]);
    }
    mem_free(c->all);
    mem_free(c->heads);
    mem_free(c->order);
    secret_release(c->key, sizeof *c->key);
    mem_free(c);
}

enum err li_calls_orders(struct li_calls *c, const struct li_orders *orders)
{
    struct li_order *v = NULL;

    if (orders->n > 0) {
        v = mem_zalloc_array(orders->n, sizeof *v);
        if (v == NULL) {
            return FAIL(E_NOMEM);
        }
        memcpy(v, orders->v, orders->n * sizeof *v);
    }
    mem_free(c->order);
    c->order = v;
    c->n_orders = orders->n;
    return E_OK;
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static struct hlink **head_of(const struct li_calls *c, struct view id)
{
    static const uint8_t key[16] = {0}; /* ids are random: nobody chooses them */

    return &c->heads[siphash64(key, id) % c->n_heads];
}

static struct li_call *find(const struct li_calls *c, struct view id)
{
    for (struct hlink *p = *head_of(c, id); id.n > 0 && p != NULL; p = p->next) {
        struct li_call *call = HLIST_OF(p, struct li_call, by_id);
        if (view_eq(view_of(call->id), id)) {
            return call;
        }
    }
    return NULL;
}

static void drop(struct li_calls *c, struct li_call *call)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->all[i] == call) {
            c->all[i] = c->all[--c->n];
            break;
        }
    }
    free_call(call);
}

static void forget_oldest(struct li_calls *c)
{
    struct li_call *oldest = c->all[0];

    for (size_t i = 1; i < c->n; i++) {
        oldest = c->all[i]->begin_us < oldest->begin_us ? c->all[i] : oldest;
    }
    c->forgotten++;
    drop(c, oldest);
}

static void copy_text(char *dst, size_t dst_bytes, struct view v)
{
    size_t n = v.n < dst_bytes ? v.n : dst_bytes - 1;

    if (n > 0) {
        memcpy(dst, v.p, n);
    }
    dst[n] = 0;
}

/* The same number for all who know the call's id: part of CallId and the correlation of X2. */
static uint64_t reference_of(struct view id)
{
    uint8_t hash[SHA256_BYTES] = {0};
    uint64_t n = 0;

    IGNORE(sha256(id, hash), "then calls are told apart by their beginning alone");
    for (unsigned i = 0; i < 8; i++) {
        n = n << 8 | hash[i];
    }
    return n;
}

static void on_begin(struct li_calls *c, const struct tap_record *r)
{
    struct view id = r->text[0];
    struct li_call *call = NULL;

    if (id.n == 0 || id.n >= LI_ID_BYTES || find(c, id) != NULL) {
        return;
    }
    if (c->n == c->cfg.max_calls) {
        forget_oldest(c);
    }
    call = mem_zalloc(sizeof *call);
    if (call == NULL) {
        c->forgotten++;
        return;
    }
    copy_text(call->id, sizeof call->id, id);
    call->begin_us = r->at_us;
    call->reference = reference_of(id);
    call->is_emergency = r->is_emergency;
    snprintf(call->sequence, sizeof call->sequence, "%u,%u",
             (unsigned)(r->at_us / 1000000 + NTP_EPOCH), (unsigned)(call->reference >> 32));
    call->side[LI_CALLER] =
        (struct li_side_state){.line = r->line, .trunk = r->trunk, .remote = r->remote};
    copy_text(call->side[LI_CALLER].number, LI_TEXT_BYTES, r->text[2]);
    copy_text(call->called, sizeof call->called, r->text[3]);
    hlist_push(head_of(c, id), &call->by_id);
    c->all[c->n++] = call;
    li_say_begin(c, call);
}

static void on_route(struct li_calls *c, struct li_call *call, const struct tap_record *r)
{
    struct li_side_state *callee = &call->side[LI_CALLEE];
    struct li_side_state before = *callee;
    bool was_routed = call->is_routed;

    callee->line = r->line;
    callee->trunk = r->trunk;
    copy_text(callee->number, sizeof callee->number, r->text[1]);
    copy_text(call->route, sizeof call->route, r->text[2]);
    call->is_routed = true;
    /* Another trunk for the same number is another way, and no other callee. */
    if (was_routed && before.line == callee->line && strcmp(before.number, callee->number) == 0) {
        return;
    }
    call->redirections += was_routed;
    li_say_route(c, call, was_routed ? &before : NULL);
}

/* ---- messages ----------------------------------------------------------------------------------
 */
/* Whose message it is: by line or trunk, and where that does not tell them apart, by address. */
static enum li_side side_of(const struct li_call *call, const struct tap_record *r)
{
    const struct li_side_state *a = &call->side[LI_CALLER], *b = &call->side[LI_CALLEE];
    bool is_a = a->line == r->line && a->trunk == r->trunk;
    bool is_b = b->line == r->line && b->trunk == r->trunk;

    if (is_a != is_b) {
        return is_a ? LI_CALLER : LI_CALLEE;
    }
    return net_ip_eq(&a->remote, &r->remote) && a->remote.port == r->remote.port ? LI_CALLER
                                                                                 : LI_CALLEE;
}

/* True: these octets went that way before. */
static bool is_again(struct li_call *call, const struct tap_record *r)
{
    static const uint8_t key[16] = {0};
    uint64_t hash = siphash64(key, r->text[1]) ^ (uint64_t)r->kind;

    for (unsigned i = 0; i < LI_SEEN; i++) {
        if (call->seen[i] == hash) {
            return true;
        }
    }
    call->seen[call->n_seen++ % LI_SEEN] = hash;
    return false;
}

static void on_message(struct li_calls *c, const struct tap_record *r)
{
    struct li_call *call = find(c, r->text[0]);
    struct li_message m;
    enum li_side side = LI_CALLER;

    if (li_message_read(r->text[1], &m) != E_OK) {
        return;
    }
    if (call == NULL) {
        li_copy_signaling(c, NULL, r, &m);
        li_say_other(c, r, &m);
        return;
    }
    if (is_again(call, r)) {
        return;
    }
    side = side_of(call, r);
    if (side == LI_CALLEE && call->side[LI_CALLEE].remote.family == 0) {
        call->side[LI_CALLEE].remote = r->remote;
    }
    li_copy_signaling(c, call, r, &m);
    if (r->kind == TAP_MESSAGE_IN || !m.is_request) {
        li_say_message(c, call, r, &m, side);
    }
}

void li_calls_record(struct li_calls *c, const struct tap_record *r, bool silent)
{
    struct li_call *call = NULL;

    c->silent = silent;
    c->now_us = r->at_us;
    switch (r->kind) {
    case TAP_CALL_BEGIN:
        on_begin(c, r);
        break;
    case TAP_CALL_ROUTE:
        call = find(c, r->text[0]);
        if (call != NULL) {
            on_route(c, call, r);
        }
        break;
    case TAP_CALL_END:
        call = find(c, r->text[0]);
        if (call != NULL) {
            li_say_end(c, call);
            drop(c, call);
        }
        break;
    case TAP_MESSAGE_IN:
    case TAP_MESSAGE_OUT:
        on_message(c, r);
        break;
    case TAP_ENROLMENT:
        break;
    }
}

void li_calls_gone(struct li_calls *c, uint64_t wall_us)
{
    c->silent = false;
    c->now_us = wall_us;
    while (c->n > 0) {
        struct li_call *call = c->all[c->n - 1];
        li_say_end(c, call);
        drop(c, call);
    }
}

void li_calls_tick(struct li_calls *c, uint64_t wall_us)
{
    c->silent = false;
    c->now_us = wall_us;
    for (size_t i = 0; i < c->n; i++) {
        li_say_orders(c, c->all[i]);
    }
}

void li_calls_facts_of(const struct li_calls *c, struct li_calls_facts *out)
{
    *out = (struct li_calls_facts){.calls = c->n, .told = c->told, .forgotten = c->forgotten};
    for (size_t i = 0; i < c->n; i++) {
        out->legs += c->all[i]->n_legs;
    }
}
