/* Victims: told to end by their worker; and those that an administrator asks for, in order. */
#include "gc/preempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gc/call.h"
#include "gc/park.h"

/* ---- the victim's worker -----------------------------------------------------------------------
 */
struct preempt_record {
    uint64_t number;
    struct preempt_why why;
    char call_id[HOLDING_CALL_ID_BYTES];
};

bool preempt_kill(struct workers *ws, const struct victim *v, const struct preempt_why *why)
{
    struct preempt_record r = {.number = v->number, .why = *why};
    struct record head = {.kind = RECORD_PREEMPT};

    memcpy(r.call_id, v->call_id, sizeof r.call_id);
    if (worker_post(ws->w[v->worker], &head, view_from(&r, sizeof r))) {
        return true;
    }
    LOG(LV_ERROR, "worker.queue_full", KV("worker", v->worker));
    holdings_let_go(ws->holdings, v);
    return false;
}

static void end_it(struct call *c, const struct preempt_why *why)
{
    LOG(LV_WARN, "call.preempted", KV("call", (const char *)c->id), KV("by", why->by),
        KV("priority", c->priority), KV("line", c->caller_line),
        KV_DIGITS("caller", view_of(c->caller_text)), KV_DIGITS("called", view_of(c->routed)));
    meter(c->w, METER_PREEMPTED);
    c->preempt_cause = why->is_administrator ? PREEMPTED_BY_ADMINISTRATOR : PREEMPTED_BY_CALL;
    snprintf(c->preempted_by, sizeof c->preempted_by, "%s", why->by);
    call_tell(c, CALL_EVENT_PREEMPTED, 0, "preempted");
    call_terminate(c, "preempted", "Preempted");
}

void preempt_take(struct worker *w, struct view record)
{
    struct preempt_record r;
    struct call *c = NULL;

    BUG_ON(record.n != sizeof r);
    memcpy(&r, record.p, sizeof r);
    c = call_of_number(w, view_of(r.call_id), r.number);
    if (c != NULL) { /* else it hung up at the same moment */
        end_it(c, &r.why);
    }
    if (r.why.has_waiter) {
        park_answer(w->ws, r.why.waiter, r.why.ticket, "", 0);
    }
}

bool preempt_reason(const struct call *c, const struct party *to, char out[PREEMPT_REASON_BYTES])
{
    bool hides = c->w->set->priority_hides_reason && (to == NULL || is_line(to));
    bool is_generic = hides || c->preempt_cause == PREEMPTED_BY_ADMINISTRATOR;

    if (c->preempt_cause == PREEMPTED_NOT) {
        return false;
    }
    snprintf(out, PREEMPT_REASON_BYTES, "preemption;cause=%d;text=\"%s\"", is_generic ? 3 : 2,
             is_generic ? "Generic Preemption" : "Reserved Resources Preempted");
    return true;
}

/* ---- an administrator's ------------------------------------------------------------------------
 */
struct found { /* what is needed to put them in order */
    uint64_t number, began_us;
    uint16_t worker;
    uint8_t rank, spared;
    bool is_taken;
};

struct search {
    const struct preempt_order *o;
    struct found *v;
    size_t n, max;
    bool no_room;
};

static bool is_of_region(const struct preempt_order *o, const struct holding *x)
{
    for (unsigned i = 0; i < o->n_prefixes; i++) {
        struct view p = view_of(o->prefix[i]);
        if (view_starts(view_of(x->caller), p) || view_starts(view_of(x->called), p)) {
            return true;
        }
    }
    return false;
}

static bool is_asked(const struct preempt_order *o, const struct holding *x)
{
    if (o->below != 0 && x->rank >= o->below) {
        return false;
    }
    switch (o->scope) {
    case PREEMPT_CALL:
        return strcmp(x->id, o->what) == 0 || strcmp(x->call_id, o->what) == 0;
    case PREEMPT_NUMBER:
        return strcmp(x->caller, o->what) == 0 || strcmp(x->called, o->what) == 0;
    case PREEMPT_TRUNK:
        return o->trunk_id != 0 &&
               (x->way.trunk_in == o->trunk_id || x->way.trunk_out == o->trunk_id);
    case PREEMPT_REGION:
        return is_of_region(o, x);
    }
    return false;
}

static void take_note(void *arg, const struct holding *x)
{
    struct search *s = arg;

    if (!is_asked(s->o, x)) {
        return;
    }
    if (s->n == s->max) {
        s->no_room = true;
        return;
    }
    s->v[s->n++] =
        (struct found){x->number, x->began_us, x->worker, x->rank, x->spared, x->is_taken};
}

static void count_one(void *arg, const struct holding *x)
{
    (void)x;
    ++*(size_t *)arg;
}

/* Lowest rank first, then the newest; those that cannot be ended come last. */
static int order_of(const void *va, const void *vb)
{
    const struct found *a = va, *b = vb;
    int a_last = a->spared != SPARED_NOT || a->is_taken;
    int b_last = b->spared != SPARED_NOT || b->is_taken;

    if (a_last != b_last) {
        return a_last - b_last;
    }
    if (a->rank != b->rank) {
        return (int)a->rank - (int)b->rank;
    }
    return (a->began_us < b->began_us) - (a->began_us > b->began_us);
}

static enum err search(struct workers *w, struct search *s)
{
    size_t all = 256; /* that begin meanwhile */

    for (unsigned i = 0; i < w->n; i++) {
        holdings_each(w->holdings, (uint16_t)i, count_one, &all);
    }
    s->v = mem_zalloc_array(all, sizeof *s->v);
    if (s->v == NULL) {
        return FAIL(E_NOMEM);
    }
    s->max = all;
    for (unsigned i = 0; i < w->n; i++) {
        holdings_each(w->holdings, (uint16_t)i, take_note, s);
    }
    qsort(s->v, s->n, sizeof *s->v, order_of);
    return E_OK;
}

static void name_order(const struct preempt_order *o, char by[PREEMPT_BY_BYTES])
{
    snprintf(by, PREEMPT_BY_BYTES, "preemption %.19s of %.28s", o->id, o->who);
}

static const char *end_one(struct workers *w, const struct preempt_order *o, struct victim *v)
{
    struct preempt_why why = {.is_administrator = true};

    name_order(o, why.by);
    return preempt_kill(w, v, &why) ? "ended" : "busy";
}

static bool can_end(const struct found *f)
{
    return f->spared == SPARED_NOT && !f->is_taken;
}

/* What becomes of it; its texts into row. */
static void decide(struct workers *w, const struct preempt_order *o, const struct found *f,
                   struct preempt_row *row)
{
    struct victim v = {.number = 0};
    char by[PREEMPT_BY_BYTES];
    bool is_ours = false, is_there = false;

    name_order(o, by);
    is_ours =
        can_end(f) && !o->dry_run && holdings_take_this(w->holdings, f->worker, f->number, by, &v);
    is_there = is_ours || holdings_copy(w->holdings, f->worker, f->number, &v);
    *row = (struct preempt_row){.rank = f->rank};
    memcpy(row->call, v.id, sizeof row->call);
    memcpy(row->call_id, v.call_id, sizeof row->call_id);
    memcpy(row->caller, v.caller, sizeof row->caller);
    memcpy(row->called, v.called, sizeof row->called);
    row->outcome = is_ours                            ? end_one(w, o, &v)
                   : !is_there                        ? "gone"
                   : f->spared == SPARED_EMERGENCY    ? "emergency"
                   : f->spared == SPARED_PROVISIONING ? "provisioning"
                   : v.is_taken                       ? "taken"
                                                      : "would end";
    if (is_there && !is_ours && v.is_taken) {
        memcpy(row->had_by, v.taken_by, sizeof row->had_by);
    }
}

static bool counts(const char *outcome)
{
    return strcmp(outcome, "ended") == 0 || strcmp(outcome, "would end") == 0;
}

enum err preempt_run(struct workers *w, const struct preempt_order *o, struct preempt_row *rows,
                     size_t max, struct preempt_found *out)
{
    struct search s = {.o = o};
    struct preempt_row spare;
    enum err e = search(w, &s);

    TRY(e);
    *out = (struct preempt_found){.cut = s.no_room};
    for (size_t i = 0; i < s.n; i++) {
        bool fits = out->rows < max;
        if (can_end(&s.v[i]) && o->max != 0 && out->calls >= o->max) {
            continue;
        }
        decide(w, o, &s.v[i], fits ? &rows[out->rows] : &spare);
        out->calls += counts(fits ? rows[out->rows].outcome : spare.outcome);
        out->rows += fits;
        out->cut = out->cut || !fits;
    }
    LOG(LV_WARN, "preempt.order", KV("id", o->id), KV("who", o->who), KV("approved", o->approved),
        KV("dry_run", o->dry_run ? "yes" : "no"), KV("calls", out->calls));
out:
    mem_free(s.v);
    return e;
}
