/* The table of live calls, kept by the tap's records. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

enum { CALLS_MAX = 65536, FEW = 256, SWEEP_US = 5000000, DUE_US = 2000000 };
#define NTP_EPOCH 2208988800u /* seconds from 1900 to 1970 */

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err make_seen_key(struct li_calls *c)
{
    uint8_t hash[SHA256_BYTES] = {0};
    enum err e = hmac_sha256(c->key, VIEW("seen"), hash);

    memcpy(c->seen_key, hash, sizeof c->seen_key);
    return e;
}

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
    c->sip_heads = mem_zalloc_array(c->n_heads, sizeof(struct hlink *));
    c->all = mem_zalloc_array(c->cfg.max_calls, sizeof(struct li_call *));
    c->seen = mem_zalloc_array(2 * (size_t)LI_SEEN_OUTSIDE, sizeof *c->seen);
    c->key = secret_alloc(sizeof *c->key);
    if (c->heads == NULL || c->sip_heads == NULL || c->all == NULL || c->seen == NULL ||
        c->key == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_set(c->key, cfg->key->b, cfg->key->n));
    TRY(make_seen_key(c));
    *out = c;
    c = NULL;
out:
    li_calls_free(c);
    return e;
}

static void free_call(struct li_call *call)
{
    hlist_drop(&call->by_id);
    hlist_drop(&call->by_sip_id);
    li_media_fini(call);
    if (call->crypto != NULL) {
        wipe(call->crypto, sizeof *call->crypto);
    }
    mem_free(call->crypto);
    mem_free(call->leg);
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
    mem_free(c->sip_heads);
    mem_free(c->seen);
    li_match_fini(c);
    secret_release(c->key, sizeof *c->key);
    mem_free(c);
}

enum err li_calls_orders(struct li_calls *c, const struct li_orders *orders)
{
    enum err e = li_match_orders(c, orders);

    c->orders_changed = c->orders_changed || e == E_OK;
    return e;
}

/* ---- the table ---------------------------------------------------------------------------------
 */
uint64_t li_hash(struct view v)
{
    static const uint8_t key[16] = {0}; /* ids and tags are random: nobody gains by a choice */
    uint64_t hash = siphash64(key, v);

    return hash != 0 ? hash : 1;
}

void li_copy_text(char *dst, size_t dst_bytes, struct view v)
{
    size_t n = v.n < dst_bytes ? v.n : dst_bytes - 1;

    if (n > 0) {
        memcpy(dst, v.p, n);
    }
    dst[n] = 0;
}

struct li_call *li_call_of(const struct li_calls *c, struct view id)
{
    struct hlink *p = id.n > 0 ? c->heads[li_hash(id) % c->n_heads] : NULL;

    for (; p != NULL; p = p->next) {
        struct li_call *call = HLIST_OF(p, struct li_call, by_id);
        if (view_eq(view_of(call->id), id)) {
            return call;
        }
    }
    return NULL;
}

struct li_call *li_call_of_sip_id(const struct li_calls *c, struct view call_id)
{
    uint64_t hash = li_hash(call_id);

    for (struct hlink *p = c->sip_heads[hash % c->n_heads]; p != NULL; p = p->next) {
        struct li_call *call = HLIST_OF(p, struct li_call, by_sip_id);
        if (call->sip_id == hash) {
            return call;
        }
    }
    return NULL;
}

static void drop(struct li_calls *c, struct li_call *call)
{
    c->is_changed = c->is_changed || call->n_legs > 0;
    c->n_over -= call->is_over;
    c->all[call->at] = c->all[--c->n];
    c->all[call->at]->at = call->at;
    free_call(call);
}

/* How gladly a call is forgotten. */
static unsigned rank_of(const struct li_call *call)
{
    return (call->is_over ? 3u : 1u) + (call->n_legs == 0);
}

/* The best of n to forget, from place `from` on: one that is over, or else that no order asks for,
 * or else the oldest. */
static struct li_call *worst_of(const struct li_calls *c, size_t from, size_t n)
{
    struct li_call *worst = c->all[from % c->n];

    for (size_t i = 1; i < n; i++) {
        struct li_call *call = c->all[(from + i) % c->n];
        unsigned rank = rank_of(call), of_worst = rank_of(worst);
        if (rank > of_worst || (rank == of_worst && call->begin_us < worst->begin_us)) {
            worst = call;
        }
    }
    return worst;
}

/* Mostly some of the table are enough: else a flood of calls would hold up the reading. */
static void forget_one(struct li_calls *c)
{
    size_t some = c->n < FEW ? c->n : FEW;
    struct li_call *worst = worst_of(c, c->looked_at, some);

    c->looked_at = (c->looked_at + some) % c->n;
    if (rank_of(worst) < (c->n_over > 0 ? 3u : 2u)) {
        worst = worst_of(c, 0, c->n);
    }
    c->forgotten += !worst->is_over;
    for (unsigned i = 0; !worst->is_over && i < worst->n_legs; i++) {
        LOG(LV_ERROR, "call.not_followed", KV("order", worst->leg[i].order), KV("calls", c->n));
    }
    drop(c, worst);
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

struct li_call *li_call_add(struct li_calls *c, struct view id, uint64_t begin_us)
{
    struct li_call *call = NULL;

    if (c->n == c->cfg.max_calls) {
        forget_one(c);
    }
    call = mem_zalloc(sizeof *call);
    if (call == NULL) {
        c->forgotten++;
        LOG(LV_ERROR, "call.not_followed", KV_ERR(E_NOMEM));
        return NULL;
    }
    li_copy_text(call->id, sizeof call->id, id);
    call->begin_us = call->last_us = begin_us;
    call->reference = reference_of(id);
    snprintf(call->sequence, sizeof call->sequence, "%u,%u",
             (unsigned)(begin_us / 1000000 + NTP_EPOCH), (unsigned)(call->reference >> 32));
    hlist_push(&c->heads[li_hash(id) % c->n_heads], &call->by_id);
    call->at = c->n;
    c->all[c->n++] = call;
    return call;
}

void li_call_file(struct li_calls *c, struct li_call *call)
{
    hlist_drop(&call->by_sip_id);
    hlist_push(&c->sip_heads[call->sip_id % c->n_heads], &call->by_sip_id);
}

/* ---- beginning, way, end -----------------------------------------------------------------------
 */
static void on_begin(struct li_calls *c, const struct tap_record *r)
{
    struct view id = r->text[0];
    struct li_call *call = li_call_of(c, id);

    if (id.n == 0 || id.n >= LI_ID_BYTES || (call != NULL && !call->is_over)) {
        return;
    }
    if (call != NULL) {
        drop(c, call);
    }
    call = li_call_add(c, id, r->at_us);
    if (call == NULL) {
        return;
    }
    call->sip_id = li_hash(r->text[1]);
    li_call_file(c, call);
    call->side[LI_CALLER] = (struct li_side_state){.line = r->line,
                                                   .trunk = r->trunk,
                                                   .remote = r->remote,
                                                   .is_stranger = r->party == TAP_STRANGER};
    li_copy_text(call->side[LI_CALLER].number, LI_TEXT_BYTES, r->text[2]);
    li_copy_text(call->called, sizeof call->called, r->text[3]);
    li_say_begin(c, call);
    li_say_transfer(c, call);
}

/* Somebody outside is known by what the caller asked for, until the call goes on elsewhere. */
static void name_callee(struct li_call *call)
{
    struct li_side_state *callee = &call->side[LI_CALLEE];

    if (call->is_routed && call->redirections == 0 && callee->line == 0) {
        li_copy_text(callee->uri, sizeof callee->uri, view_of(call->dialled_uri));
    }
}

static void on_route(struct li_calls *c, struct li_call *call, const struct tap_record *r)
{
    struct li_side_state *callee = &call->side[LI_CALLEE];
    struct li_side_state before = *callee;
    bool was_routed = call->is_routed;
    bool is_same = was_routed && before.line == r->line &&
                   view_eq(view_of(before.number), view_sub(r->text[1], 0, LI_TEXT_BYTES - 1));

    li_copy_text(call->route, sizeof call->route, r->text[2]);
    call->is_routed = true;
    if (is_same) { /* another trunk for the same number is another way, and no other callee */
        callee->trunk = r->trunk;
        return;
    }
    call->redirections += was_routed;
    call->is_ringing = false;
    li_media_forget(call, LI_CALLEE);
    before.sdp = before.offer = (struct li_sdp){NULL, 0};
    *callee = (struct li_side_state){.line = r->line, .trunk = r->trunk};
    li_copy_text(callee->number, sizeof callee->number, r->text[1]);
    name_callee(call);
    li_say_route(c, call, was_routed ? &before : NULL);
}

static void on_end(struct li_calls *c, struct li_call *call)
{
    li_say_end(c, call);
    li_media_fini(call);
    call->is_over = true;
    call->over_us = c->now_us;
    c->n_over++;
}

/* ---- messages ----------------------------------------------------------------------------------
 */
bool li_is_party(const struct li_call *call, enum li_side side, const struct tap_record *r)
{
    const struct li_side_state *s = &call->side[side];

    if (r->kind == TAP_MESSAGE_IN && !r->is_proven && !s->is_stranger) {
        return false;
    }
    if (s->line != 0 || r->line != 0) {
        return s->line == r->line;
    }
    /* The ways to one number are many; a call that went on elsewhere has one. */
    return s->trunk == r->trunk || s->trunk == 0 || call->redirections == 0;
}

/* Whose message it is: tags say it (RFC 3261 section 12), unless the message proved to be of the
 * line or trunk that the other side is: who calls chooses its tag. Where they do not, line or
 * trunk, or the address. */
static enum li_side side_of(const struct li_call *call, const struct tap_record *r,
                            const struct li_message *m)
{
    const struct li_side_state *a = &call->side[LI_CALLER];
    bool is_a = li_is_party(call, LI_CALLER, r), is_b = li_is_party(call, LI_CALLEE, r);
    bool by_caller = call->caller_tag == li_hash(m->from_tag);
    bool is_in = r->kind == TAP_MESSAGE_IN;

    if ((r->line != 0 || r->trunk != 0) && is_a != is_b) {
        return is_a ? LI_CALLER : LI_CALLEE;
    }
    if (call->caller_tag != 0 && (by_caller || call->caller_tag == li_hash(m->to_tag))) {
        return by_caller == (is_in == m->is_request) ? LI_CALLER : LI_CALLEE;
    }
    if (is_a != is_b) {
        return is_a ? LI_CALLER : LI_CALLEE;
    }
    return net_ip_eq(&a->remote, &r->remote) && a->remote.port == r->remote.port ? LI_CALLER
                                                                                 : LI_CALLEE;
}

static uint64_t hash_of(const struct li_calls *c, const struct tap_record *r)
{
    return siphash64(c->seen_key, r->text[1]) ^ (uint64_t)r->kind ^ r->line << 8 ^ r->trunk << 40;
}

/* True: these octets went that way before. */
static bool is_again(const struct li_calls *c, struct li_call *call, const struct tap_record *r)
{
    uint64_t hash = hash_of(c, r);

    for (unsigned i = 0; i < LI_SEEN; i++) {
        if (call->seen[i] == hash) {
            return true;
        }
    }
    call->seen[call->n_seen++ % LI_SEEN] = hash;
    return false;
}

static bool is_again_outside(struct li_calls *c, const struct tap_record *r)
{
    uint64_t hash = hash_of(c, r);
    uint64_t *place = &c->seen[2 * (hash % LI_SEEN_OUTSIDE)];
    bool again = place[0] == hash && r->at_us < place[1] + LI_OVER_S * 1000000ull;

    place[0] = hash;
    place[1] = r->at_us;
    return again;
}

/* The INVITE that made the call names both ends. */
static void learn_setup(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                        const struct li_message *m)
{
    struct li_side_state *a = &call->side[LI_CALLER];

    if (call->has_invite || !m->is_request || r->kind != TAP_MESSAGE_IN ||
        !view_eq(m->method, VIEW("INVITE"))) {
        return;
    }
    call->has_invite = true;
    call->invite_cseq = m->cseq;
    call->caller_tag = li_hash(m->from_tag);
    IGNORE(li_uri_read(m->uri, call->dialled_uri) ? E_OK : E_PARSE, "then the number alone counts");
    if (a->line == 0 && !a->is_stranger &&
        li_uri_read(m->asserted.n > 0 ? m->asserted : m->from, a->uri)) {
        li_say_begin(c, call); /* orders on that address */
    }
    name_callee(call);
    if (call->is_routed && call->side[LI_CALLEE].uri[0] != 0) {
        li_say_route(c, call, NULL);
    }
}

static void on_call_message(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                            const struct li_message *m)
{
    bool had_invite = call->has_invite;
    enum li_side side = LI_CALLER;

    if (!call->is_over) {
        li_drop_over(c, call);
        learn_setup(c, call, r, m);
    }
    side = side_of(call, r, m);
    li_copy_of_call(c, call, r, m, side);
    if (call->is_over || !li_is_party(call, side, r)) {
        return; /* it crossed the end, or is of one whom the call left */
    }
    if (side == LI_CALLEE && call->side[LI_CALLEE].remote.family == 0) {
        call->side[LI_CALLEE].remote = r->remote;
    }
    if (!had_invite && m->replaces.n > 0) {
        li_say_replaces(c, call, m);
    }
    if (r->kind == TAP_MESSAGE_IN || !m->is_request) {
        li_say_message(c, call, r, m, side);
    }
}

static void on_message(struct li_calls *c, struct li_call *call, const struct tap_record *r)
{
    struct li_message m;

    if (li_message_read(r->text[1], &m) != E_OK) {
        return;
    }
    if (call == NULL) {
        if (!is_again_outside(c, r)) {
            li_copy_other(c, r, &m);
            li_say_other(c, r, &m);
        }
    } else if (!is_again(c, call, r)) {
        on_call_message(c, call, r, &m);
    }
}

void li_calls_record(struct li_calls *c, const struct tap_record *r, bool silent)
{
    struct li_call *call = r->kind != TAP_ENROLMENT ? li_call_of(c, r->text[0]) : NULL;

    c->silent = silent;
    c->now_us = r->at_us;
    if (call != NULL && r->at_us < call->known_us) {
        return;
    }
    if (call != NULL) {
        call->last_us = r->at_us;
        c->is_changed = c->is_changed || call->n_legs > 0;
    }
    if (r->kind == TAP_CALL_BEGIN) {
        on_begin(c, r);
    } else if (r->kind == TAP_MESSAGE_IN || r->kind == TAP_MESSAGE_OUT) {
        on_message(c, call, r);
    } else if (call != NULL && !call->is_over && r->kind == TAP_CALL_ROUTE) {
        li_drop_over(c, call);
        on_route(c, call, r);
    } else if (call != NULL && !call->is_over && r->kind == TAP_CALL_END) {
        on_end(c, call);
    }
}

void li_calls_forget(struct li_calls *c)
{
    while (c->n > 0) {
        drop(c, c->all[c->n - 1]);
    }
}

static void secure(struct li_calls *c, struct li_call *call, const struct li_crypto *keys)
{
    call->crypto = call->crypto != NULL ? call->crypto : mem_zalloc(sizeof *call->crypto);
    if (call->crypto != NULL) {
        *call->crypto = *keys;
        c->is_changed = true;
        li_say_keys(c, call);
    }
}

void li_calls_secure(struct li_calls *c, struct view id, const struct li_crypto *keys)
{
    struct li_call *call = li_call_of(c, id);

    if (call != NULL) {
        secure(c, call, keys);
    }
}

uint64_t li_calls_line_of(const struct li_calls *c, struct view id)
{
    const struct li_call *call = li_call_of(c, id);

    return call != NULL ? call->side[LI_CALLER].line : 0;
}

bool li_calls_secure_line(struct li_calls *c, struct view call_id, uint64_t line,
                          const struct li_crypto *keys, uint64_t at_us, bool silent)
{
    struct li_call *call = li_call_of_sip_id(c, call_id);

    c->silent = silent;
    c->now_us = at_us;
    if (call == NULL || call->is_over || call->side[LI_CALLER].line != line) {
        return false;
    }
    if (keys != NULL) {
        secure(c, call, keys);
    }
    return true;
}

void li_calls_gone(struct li_calls *c, uint64_t wall_us)
{
    c->silent = false;
    c->now_us = wall_us;
    while (c->n > 0) {
        struct li_call *call = c->all[c->n - 1];
        if (!call->is_over) {
            li_say_end(c, call);
        }
        drop(c, call);
    }
}

/* ---- time --------------------------------------------------------------------------------------
 */
/* When an order begins or ends next, or did just now: what is read of calls is some time behind. */
static uint64_t next_due(const struct li_calls *c)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; i < c->n_orders; i++) {
        const struct li_order *o = &c->order[i];
        due = o->starts_us + DUE_US > c->now_us && o->starts_us < due ? o->starts_us : due;
        due = o->ends_us + DUE_US > c->now_us && o->ends_us < due ? o->ends_us : due;
    }
    return due;
}

static void sweep(struct li_calls *c)
{
    for (size_t i = c->n; i > 0; i--) {
        struct li_call *call = c->all[i - 1];
        if (!call->is_over && c->now_us > call->begin_us + LI_AGE_S * 1000000ull) {
            on_end(c, call); /* its end was lost */
        }
        if (call->is_over && c->now_us > call->over_us + LI_OVER_S * 1000000ull) {
            drop(c, call);
        }
    }
}

void li_calls_tick(struct li_calls *c, uint64_t wall_us)
{
    c->silent = false;
    c->now_us = wall_us;
    if (c->orders_changed || wall_us >= c->due_us) {
        for (size_t i = 0; i < c->n; i++) {
            li_say_orders(c, c->all[i]);
        }
        c->orders_changed = false;
        c->due_us = next_due(c);
    }
    if (wall_us >= c->sweep_us) {
        sweep(c);
        c->sweep_us = wall_us + SWEEP_US;
    }
}

void li_calls_facts_of(const struct li_calls *c, struct li_calls_facts *out)
{
    *out = (struct li_calls_facts){
        .calls = c->n - c->n_over, .told = c->told, .forgotten = c->forgotten};
    for (size_t i = 0; i < c->n; i++) {
        out->legs += c->all[i]->is_over ? 0 : c->all[i]->n_legs;
    }
}
