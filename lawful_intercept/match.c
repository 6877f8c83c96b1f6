/* Which orders concern a party: found by line, number or address, however many orders there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

/* ---- the index ---------------------------------------------------------------------------------
 */
static int compare(const void *a, const void *b)
{
    const struct li_key *x = a, *y = b;

    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The first place with that key, or with a greater one. */
static size_t lowest(const struct li_index *x, uint64_t key)
{
    size_t low = 0, high = x->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (x->v[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void put(struct li_index *x, uint64_t key, size_t at)
{
    x->v[x->n++] = (struct li_key){key, at};
}

static void sort(struct li_index *x)
{
    if (x->n > 1) {
        qsort(x->v, x->n, sizeof *x->v, compare);
    }
}

static void fini(struct li_index *x)
{
    mem_free(x->v);
    *x = (struct li_index){NULL, 0};
}

void li_match_fini(struct li_calls *c)
{
    mem_free(c->order);
    c->order = NULL;
    c->n_orders = 0;
    fini(&c->by_order);
    fini(&c->by_line);
    fini(&c->by_name);
}

static void fill(const struct li_orders *orders, struct li_index *by_order,
                 struct li_index *by_line, struct li_index *by_name)
{
    for (size_t i = 0; i < orders->n; i++) {
        const struct li_order *o = &orders->v[i];
        put(by_order, o->id, i);
        if (o->line != 0) {
            put(by_line, o->line, i);
        } else {
            put(by_name, li_hash(view_of(o->number[0] != 0 ? o->number : o->uri)), i);
        }
    }
    sort(by_order);
    sort(by_line);
    sort(by_name);
}

enum err li_match_orders(struct li_calls *c, const struct li_orders *orders)
{
    struct li_index by_order = {NULL, 0}, by_line = {NULL, 0}, by_name = {NULL, 0};
    struct li_order *v = NULL;

    if (orders->n > 0) {
        v = mem_zalloc_array(orders->n, sizeof *v);
        by_order.v = mem_zalloc_array(orders->n, sizeof *by_order.v);
        by_line.v = mem_zalloc_array(orders->n, sizeof *by_line.v);
        by_name.v = mem_zalloc_array(orders->n, sizeof *by_name.v);
        if (v == NULL || by_order.v == NULL || by_line.v == NULL || by_name.v == NULL) {
            mem_free(v);
            fini(&by_order);
            fini(&by_line);
            fini(&by_name);
            return FAIL(E_NOMEM);
        }
        memcpy(v, orders->v, orders->n * sizeof *v);
        fill(orders, &by_order, &by_line, &by_name);
    }
    li_match_fini(c);
    c->order = v;
    c->n_orders = orders->n;
    c->by_order = by_order;
    c->by_line = by_line;
    c->by_name = by_name;
    return E_OK;
}

const struct li_order *li_order_by_id(const struct li_calls *c, uint64_t id)
{
    size_t at = lowest(&c->by_order, id);

    return at < c->by_order.n && c->by_order.v[at].key == id ? &c->order[c->by_order.v[at].at]
                                                             : NULL;
}

/* ---- walking -----------------------------------------------------------------------------------
 */
struct li_match li_match_begin(const struct li_calls *c, const struct li_side_state *who)
{
    struct li_match m = {.line = who->line};

    if (who->line != 0) {
        m.index = &c->by_line;
        m.key = who->line;
    } else {
        m.index = &c->by_name;
        m.number = view_of(who->number);
        m.uri = view_of(who->uri);
        m.key = li_hash(m.number);
    }
    m.at = lowest(m.index, m.key);
    return m;
}

const struct li_order *li_match_next(const struct li_calls *c, struct li_match *m)
{
    for (;;) {
        while (m->at < m->index->n && m->index->v[m->at].key == m->key) {
            const struct li_order *o = &c->order[m->index->v[m->at++].at];
            if (li_order_is_of(o, m->line, m->number, m->uri)) {
                return o;
            }
        }
        if (m->is_uri || m->uri.n == 0) {
            return NULL;
        }
        m->is_uri = true;
        m->key = li_hash(m->uri);
        m->at = lowest(m->index, m->key);
    }
}

/* ---- legs --------------------------------------------------------------------------------------
 */
bool li_covers(const struct li_order *o, enum li_role role)
{
    return role == LI_ORIGINATES ? (o->type & LI_PEN_REGISTER) != 0
                                 : (o->type & LI_TRAP_AND_TRACE) != 0;
}

const struct li_order *li_order_of(const struct li_calls *c, const struct li_leg *leg)
{
    const struct li_order *o = li_order_by_id(c, leg->order);

    return o != NULL && li_order_runs(o, c->now_us) ? o : NULL;
}

enum li_side li_side_of(const struct li_leg *leg)
{
    return leg->role == LI_ORIGINATES ? LI_CALLER : LI_CALLEE;
}

bool li_is_first(const struct li_call *call, unsigned i)
{
    for (unsigned k = 0; k < i; k++) {
        if (call->leg[k].order == call->leg[i].order) {
            return false;
        }
    }
    return true;
}

bool li_has_leg(const struct li_call *call, uint64_t order, enum li_role role)
{
    for (unsigned i = 0; i < call->n_legs; i++) {
        if (call->leg[i].order == order && call->leg[i].role == role) {
            return true;
        }
    }
    return false;
}

/* The number of a content stream: of this order and call alone, and the same at a second reading.
 */
static void name_content(const struct li_calls *c, const struct li_call *call, struct li_leg *leg)
{
    uint8_t hash[SHA256_BYTES] = {0};
    char text[80];

    snprintf(text, sizeof text, "content %llu %s %d", (unsigned long long)leg->order, call->id,
             (int)leg->role);
    IGNORE(hmac_sha256(c->key, view_of(text), hash), "then it is 0, and the call id tells");
    snprintf(leg->content, sizeof leg->content, "%02X%02X%02X%02X", hash[0], hash[1], hash[2],
             hash[3]);
}

struct li_leg *li_add_leg(struct li_calls *c, struct li_call *call, const struct li_order *o,
                          enum li_role role)
{
    const struct li_side_state *s = NULL;
    struct li_leg *leg = NULL;

    if (li_has_leg(call, o->id, role)) {
        return NULL;
    }
    if (call->n_legs == call->room) {
        unsigned room = call->room != 0 ? 2 * call->room : 2;
        void *v = mem_resize(call->leg, room * sizeof *call->leg);
        if (v == NULL) {
            c->forgotten++;
            LOG(LV_ERROR, "call.not_followed", KV("order", o->id), KV_ERR(E_NOMEM));
            return NULL;
        }
        call->leg = v;
        call->room = room;
    }
    leg = &call->leg[call->n_legs++];
    c->is_changed = true;
    *leg = (struct li_leg){.order = o->id, .role = role};
    s = &call->side[li_side_of(leg)];
    leg->line = role != LI_TRANSFERRED ? s->line : 0;
    leg->trunk = role != LI_TRANSFERRED ? s->trunk : 0;
    leg->is_away = role == LI_TRANSFERRED;
    name_content(c, call, leg);
    return leg;
}
