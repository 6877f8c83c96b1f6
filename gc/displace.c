/* A call of priority that meets a limit: which victims it needs, and the wait for them. */
#include "gc/displace.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/context.h"
#include "gc/park.h"
#include "routing/snapshot.h"

enum { WANTS_MAX = 5, KEEPS_MAX = 2 };

struct displacing {
    bool owes_line, owes_in; /* limits that it met at its beginning */
    bool failed;             /* a victim did not get out of the way in time */
    unsigned rounds, waiting;
    uint64_t until_ms;
    enum holding_kind lack; /* what it waits for: decides the status if it fails */
    unsigned n_keeps;
    struct trunk_use keeps[KEEPS_MAX];
};

struct want {
    enum holding_kind kind;
    uint64_t id;
};

struct wants { /* the limits that it meets now, what is narrow before what is wide */
    unsigned n;
    struct want v[WANTS_MAX];
    struct trunk_use out; /* of the target that it would go to */
};

static struct displacing *of(struct call *c)
{
    if (c->displacing == NULL) {
        c->displacing = mem_zalloc(sizeof *c->displacing);
    }
    return c->displacing;
}

bool displace_owes(struct call *c, enum displace_debt debt)
{
    struct displacing *d = of(c);

    if (d != NULL) {
        d->owes_line = d->owes_line || debt == DEBT_LINE;
        d->owes_in = d->owes_in || debt == DEBT_TRUNK_IN;
    }
    return d != NULL;
}

/* ---- channels that are kept --------------------------------------------------------------------
 */
void displace_keeps(const struct call *c, const struct trunk_use *use, struct trunk_room *room)
{
    const struct displacing *d = c->displacing;

    for (unsigned i = 0; d != NULL && i < d->n_keeps; i++) {
        room->kept_trunk = room->kept_trunk || (use->trunk != 0 && d->keeps[i].trunk == use->trunk);
        room->kept_route = room->kept_route || (use->route != 0 && d->keeps[i].route == use->route);
    }
}

void displace_use(struct call *c, const struct trunk_use *use)
{
    struct displacing *d = c->displacing;

    for (unsigned i = 0; d != NULL && i < d->n_keeps; i++) {
        struct trunk_use *k = &d->keeps[i];
        if ((k->trunk != 0 && k->trunk == use->trunk) ||
            (k->route != 0 && k->route == use->route)) {
            trunks_unkeep(c->w->ws->trunks, k);
        }
    }
}

static void keep(struct call *c, const struct want *w)
{
    struct displacing *d = c->displacing;
    struct trunk_use use = {.trunk = w->kind == HELD_TRUNK ? w->id : 0,
                            .route = w->kind == HELD_ROUTE ? w->id : 0};

    if ((use.trunk != 0 || use.route != 0) && d->n_keeps < KEEPS_MAX) {
        trunks_keep(c->w->ws->trunks, &use);
        d->keeps[d->n_keeps++] = use;
    }
}

void displace_forget(struct call *c)
{
    struct displacing *d = c->displacing;

    for (unsigned i = 0; d != NULL && i < d->n_keeps; i++) {
        trunks_unkeep(c->w->ws->trunks, &d->keeps[i]);
    }
    c->displacing = NULL;
    mem_free(d);
}

/* ---- what is lacking ---------------------------------------------------------------------------
 */
static void add(struct wants *w, enum holding_kind kind, uint64_t id)
{
    w->v[w->n++] = (struct want){kind, id};
}

static void lacks_at_begin(struct call *c, struct wants *w)
{
    struct displacing *d = c->displacing;

    if (d != NULL && d->owes_line) {
        d->owes_line = limits_line_take(c->w->ws->limits, c->line) != E_OK;
        c->has_line = !d->owes_line;
        if (d->owes_line) {
            add(w, HELD_LINE, c->line);
        }
    }
    if (d != NULL && d->owes_in) {
        d->owes_in = trunk_admit(c, false) != E_OK;
        if (d->owes_in) {
            add(w, HELD_TRUNK, c->caller.who.trunk);
        }
    }
}

/* The called line's phones have as many calls as it may make: this one is not counted. */
static void lacks_phone(struct call *c, struct wants *w)
{
    if (c->routed_line != 0 && holdings_count(c->w->ws->holdings, HELD_PHONE, c->routed_line) >
                                   c->w->set->calls_per_line) {
        add(w, HELD_PHONE, c->routed_line);
    }
}

/* No target has a channel: the first that would have one if a call ended. */
static void lacks_channel(const struct ctx *c, struct wants *w)
{
    struct want first = {.id = 0};

    for (unsigned i = 0; i < c->n_targets; i++) {
        const struct target *t = &c->target[i];
        const struct trunk_use use = {.trunk = t->who.trunk, .route = t->route_id};
        struct trunk_room room =
            trunk_room_of(c->call, trunk_row(c->w, t->who.trunk), t->route_channels);
        enum trunk_lack lack = TRUNK_HAS_ROOM;
        displace_keeps(c->call, &use, &room);
        lack = trunks_lack(c->w->ws->trunks, &use, &room, loop_now_ms(c->w->loop));
        if (lack == TRUNK_HAS_ROOM) {
            return;
        }
        if (first.id == 0 && lack != TRUNK_LACKS_RATE) {
            first = lack == TRUNK_LACKS_ROUTE ? (struct want){HELD_ROUTE, t->route_id}
                                              : (struct want){HELD_TRUNK, t->who.trunk};
        }
    }
    if (first.id != 0) {
        add(w, first.kind, first.id);
    }
}

static struct wants look(struct ctx *c)
{
    struct wants w = {.n = 0};

    lacks_at_begin(c->call, &w);
    lacks_phone(c->call, &w);
    lacks_channel(c, &w);
    if (c->w->n_calls > c->w->set->max_calls) {
        add(&w, HELD_PLACE, c->w->index);
    }
    return w;
}

/* ---- no ----------------------------------------------------------------------------------------
 */
static void refuse(struct ctx *c, enum holding_kind lack)
{
    bool is_trunk = lack == HELD_TRUNK || lack == HELD_ROUTE;
    unsigned status = lack == HELD_LINE ? 403 : lack == HELD_PHONE ? 486 : is_trunk ? 488 : 503;
    char extra[256] = "";

    if (is_trunk) { /* RFC 4412 section 4.6.5 */
        snprintf(extra, sizeof extra, "Warning: 370 %.200s \"Insufficient Bandwidth\"\r\n",
                 c->w->set->domain);
    } else if (status == 503) {
        snprintf(extra, sizeof extra, "Retry-After: %d\r\n", RETRY_AFTER_S);
    }
    meter(c->w, METER_REFUSED_LIMIT);
    LOG(LV_INFO, "call.refused", KV("reason", "limit"), KV("status", status),
        KV("line", c->call->caller_line), KV("priority", (const char *)c->call->priority),
        KV("call_id", c->call->call_id));
    ctx_refuse(c, status, lack == HELD_LINE ? "Too many calls of this line" : NULL, view_of(extra));
}

/* ---- victims -----------------------------------------------------------------------------------
 */
struct victims {
    unsigned n;
    struct victim v[WANTS_MAX];
};

static void name_it(const struct call *c, char by[PREEMPT_BY_BYTES])
{
    snprintf(by, PREEMPT_BY_BYTES, "call %.40s", c->id);
}

/* All or none; one victim may do for more than one want. */
static bool choose(struct ctx *c, const struct wants *w, struct victims *out)
{
    struct holdings *h = c->w->ws->holdings;
    char by[PREEMPT_BY_BYTES];

    name_it(c->call, by);
    out->n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        const struct want *want = &w->v[i];
        bool is_met = false;
        for (unsigned k = 0; k < out->n; k++) {
            is_met = is_met || victim_holds(&out->v[k], want->kind, want->id);
        }
        if (is_met) {
            continue;
        }
        if (!holdings_take(h, &(struct holding_wish){want->kind, want->id, c->call->may_take}, by,
                           &out->v[out->n])) {
            for (unsigned k = 0; k < out->n; k++) {
                holdings_let_go(h, &out->v[k]);
            }
            refuse(c, want->kind);
            return false;
        }
        out->n++;
    }
    return true;
}

static void on_gone(struct ctx *c, const void *answer, size_t n)
{
    struct displacing *d = c->call->displacing;
    struct sip_msg m;

    (void)n;
    if (d == NULL || c->is_final || c->is_cancelled) {
        return;
    }
    d->waiting--;
    d->failed = d->failed || answer == NULL;
    if (d->waiting > 0) {
        return;
    }
    if (d->failed) {
        refuse(c, d->lack);
    } else if (ctx_reframe(c, &m) != E_OK) {
        ctx_refuse(c, 500, NULL, VIEW(""));
    } else if (displace(c, &m)) {
        ctx_run(c, &m);
    }
}

/* Each victim is told when the wait for it has begun. False: nobody was told. */
static bool wait_for(struct ctx *c, const struct victims *v, uint64_t ms)
{
    struct displacing *d = c->call->displacing;
    struct preempt_why why = {.has_waiter = true, .waiter = c->w->index};

    name_it(c->call, why.by);
    for (unsigned i = 0; i < v->n; i++) {
        why.ticket = d->failed ? 0 : park(c, (unsigned)ms, on_gone);
        if (why.ticket == 0) {
            d->failed = true;
            holdings_let_go(c->w->ws->holdings, &v->v[i]);
            continue;
        }
        d->waiting++;
        IGNORE(preempt_kill(c->w->ws, &v->v[i], &why) ? E_OK : E_FULL,
               "its ticket comes back without an answer");
    }
    return d->waiting > 0;
}

bool displace(struct ctx *c, const struct sip_msg *m)
{
    uint64_t now = loop_now_ms(c->w->loop);
    struct displacing *d = NULL;
    struct victims v;
    struct wants w;

    if (c->call->may_take == 0) {
        return true;
    }
    w = look(c);
    if (w.n == 0) {
        return true;
    }
    d = of(c->call);
    if (d == NULL) {
        ctx_refuse(c, 500, NULL, VIEW(""));
        return false;
    }
    d->lack = w.v[0].kind;
    d->until_ms = d->rounds == 0 ? now + DISPLACE_MS : d->until_ms;
    if (d->rounds++ == DISPLACE_ROUNDS || now >= d->until_ms) {
        refuse(c, d->lack);
        return false;
    }
    if (!choose(c, &w, &v)) {
        return false;
    }
    for (unsigned i = 0; i < w.n; i++) {
        keep(c->call, &w.v[i]);
    }
    meter(c->w, METER_DISPLACING);
    LOG(LV_WARN, "call.displacing", KV("call", (const char *)c->call->id), KV("victims", v.n),
        KV("priority", (const char *)c->call->priority), KV("call_id", m->call_id));
    if (!wait_for(c, &v, d->until_ms - now)) {
        refuse(c, d->lack);
    }
    return false;
}
