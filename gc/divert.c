/* Forwarding by the called line's own service record: when, to where, and when not. */
#include "gc/divert.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/identity.h"
#include "gc/tapping.h"

#define NO_ANSWER_REASON "SIP;cause=408;text=\"Nobody answered\""

/* ---- the call's record -------------------------------------------------------------------------
 */
static void give_line(struct call *c)
{
    if (c->forward != NULL && c->forward->line != 0) {
        limits_line_give(c->w->ws->limits, c->forward->line);
        c->forward->line = 0;
    }
}

/* It is a live call of the line that sends it on: who may not make one more forwards none. */
static bool take_line(struct call *c, uint64_t line)
{
    if (c->forward == NULL) {
        c->forward = mem_zalloc(sizeof *c->forward);
    }
    if (c->forward == NULL || limits_line_take(c->w->ws->limits, line) != E_OK) {
        return false;
    }
    give_line(c);
    c->forward->line = line;
    return true;
}

/* After so many hops: 0 is where the call began. */
static void note_hop(struct call *c, const struct diversions *all, unsigned hop)
{
    const char *routed = hop > 0 ? all->d[hop - 1].to : all->d[0].by;

    snprintf(c->forward->routed, sizeof c->forward->routed, "%s", routed);
    snprintf(c->forward->by, sizeof c->forward->by, "%s", hop > 0 ? all->d[hop - 1].by : "");
}

static void note_way(struct call *c, const char *route, uint64_t callee_line)
{
    snprintf(c->route, sizeof c->route, "%s", route);
    c->routed_line = callee_line;
    call_note_way(c);
    trace_route(c->w->trace, c->trace, view_of(c->forward->routed), view_of(route), callee_line);
}

void divert_record(const struct call *c, struct cdr *out)
{
    if (c->forward != NULL && c->forward->routed[0] != 0) {
        snprintf(out->routed, sizeof out->routed, "%s", c->forward->routed);
        snprintf(out->forwarded_by, sizeof out->forwarded_by, "%s", c->forward->by);
    }
}

void divert_forget(struct call *c)
{
    give_line(c);
    mem_free(c->forward);
    c->forward = NULL;
}

/* ---- may it? -----------------------------------------------------------------------------------
 */
/* Numbers and lines that this call has been at: the caller's own line is one, since a call that
 * comes back to its caller reaches nobody. */
static bool has_been_at(const struct ctx *c, const struct divert *v, const struct route_decision *d)
{
    uint64_t line = d->outcome == ROUTED_LINE ? d->line_id : 0;
    const char *number = d->dialled.e164;
    bool hit = strcmp(v->number, number) == 0 || (line != 0 && line == v->line) ||
               (line != 0 && line == c->call->caller_line);

    for (unsigned i = 0; i < v->all.n && !hit; i++) {
        hit = strcmp(v->all.d[i].by, number) == 0 || (line != 0 && v->all.d[i].line == line);
    }
    return hit;
}

/* NULL: line may send the call on, and *d is to where. */
static const char *obstacle(const struct ctx *c, const struct divert *v, const struct line *line,
                            struct view to, struct route_decision *d)
{
    struct route_query q = way_query(c->w, worker_snapshot(c->w));

    q.keys = to;
    if (line->barred) {
        return "barred";
    }
    if (v->all.n + v->before >= DIVERT_MAX) {
        return "forwarded too often";
    }
    route_decide(&q, d);
    if (d->outcome != ROUTED_LINE && d->outcome != ROUTED_TARGETS) {
        return route_outcome_name(d->outcome); /* emergency and 611 among them */
    }
    return v->was_here || has_been_at(c, v, d) ? "a circle" : NULL;
}

static const char *why_name(enum divert_why why)
{
    static const char *const names[] = {[DIVERT_ALWAYS] = "always",
                                        [DIVERT_BUSY] = "busy",
                                        [DIVERT_NO_ANSWER] = "no answer",
                                        [DIVERT_UNREACHABLE] = "unreachable"};
    return names[why];
}

static struct view forward_of(const struct line *line, enum divert_why why)
{
    static const enum line_forward of[] = {[DIVERT_ALWAYS] = FORWARD_ALWAYS,
                                           [DIVERT_BUSY] = FORWARD_BUSY,
                                           [DIVERT_NO_ANSWER] = FORWARD_NO_ANSWER,
                                           [DIVERT_UNREACHABLE] = FORWARD_NO_ANSWER};
    return line->forward[of[why]];
}

static void refuse(const struct ctx *c, const struct line *line, enum divert_why why,
                   const char *obstacle)
{
    meter(c->w, METER_FORWARDS_REFUSED);
    LOG(LV_WARN, "call.not_forwarded", KV("call", (const char *)c->call->id),
        KV("line", line->line_id), KV("why", why_name(why)), KV("obstacle", obstacle));
}

static void add_hop(struct ctx *c, struct divert *v, const struct line *line, enum divert_why why,
                    const struct route_decision *d)
{
    struct diversion *x = &v->all.d[v->all.n++];

    *x = (struct diversion){
        .line = line->line_id, .why = why, .is_private = (line->services & LINE_PRIVATE) != 0};
    memcpy(x->by, v->number, sizeof x->by);
    memcpy(x->to, d->dialled.e164, sizeof x->to);
    memcpy(v->number, d->dialled.e164, sizeof v->number);
    v->line = d->outcome == ROUTED_LINE ? d->line_id : 0;
    v->was_here = false; /* that was said of the number where it came in */
    tapped_route(c->call, &(struct party){.kind = PARTY_BTI, .line = line->line_id},
                 view_of(x->by));
    note_hop(c->call, &v->all, v->all.n);
    meter(c->w, METER_FORWARDED);
    LOG(LV_INFO, "call.forwarded", KV("call", (const char *)c->call->id), KV("line", x->line),
        KV("why", why_name(why)), KV_DIGITS("to", view_of(x->to)));
}

/* Whoever is called next sees To: not for him when the line that was dialled hides. */
static bool hide_dialled(struct call *c, const struct divert *v, const struct line *line)
{
    char *name = NULL;

    if (v->all.n > 0 || (line->services & LINE_PRIVATE) == 0) {
        return true;
    }
    name = mem_strdup(identity_anonymous);
    if (name != NULL) {
        mem_free(c->to_shown);
        c->to_shown = name;
    }
    return name != NULL;
}

/* One hop on. False: the line forwards nothing in that case, or may not; nothing has changed. */
static bool step(struct ctx *c, struct divert *v, const struct line *line, enum divert_why why,
                 struct route_decision *d)
{
    const char *not = NULL;

    if (forward_of(line, why).n == 0) {
        return false;
    }
    not = obstacle(c, v, line, forward_of(line, why), d);
    if (not == NULL && !take_line(c->call, line->line_id)) {
        not = "too many calls of this line";
    }
    if (not == NULL && !hide_dialled(c->call, v, line)) {
        not = "no memory";
    }
    if (not != NULL) {
        refuse(c, line, why, not );
        return false;
    }
    add_hop(c, v, line, why, d);
    return true;
}

/* ---- to where ----------------------------------------------------------------------------------
 */
/* From the line where the call is now to phones or trunks: over lines that always forward, or that
 * nobody is registered for. *d is the decision that led here. */
static void find_targets(struct ctx *c, struct divert *v, const struct sip_msg *m,
                         struct route_decision *d, struct way *y)
{
    const struct snapshot *snap = worker_snapshot(c->w);

    while (v->line != 0) {
        const struct line *line = snapshot_line(snap, v->line);
        way_to_phones(c->w, v->line, c, y);
        if (line == NULL || line->barred) {
            y->n = 0;
            return;
        }
        if (v->all.n > 0 && identity_is_unwanted(&c->id, line)) { /* *77; at first setup.c asks */
            y->n = 0;
            y->status = 433;
            y->reason = "Anonymity Disallowed";
            return;
        }
        if (forward_of(line, DIVERT_ALWAYS).n > 0) {
            y->n = 0; /* it does not ring, wherever the call ends */
            if (!step(c, v, line, DIVERT_ALWAYS, d)) {
                return;
            }
            continue;
        }
        way_keep_safe(c, m, y);
        if (y->n > 0 || y->status != 480 || !step(c, v, line, DIVERT_UNREACHABLE, d)) {
            return;
        }
    }
    way_to_gateway(c->w, d, c, y);
    way_keep_safe(c, m, y);
    y->status = y->status == 503 ? 480 : y->status; /* to the caller, the line is not there */
}

/* Whether the caller may learn where the call has come to. */
static void note_callee(struct ctx *c, const struct divert *v)
{
    const struct line *line = v->line != 0 ? snapshot_line(worker_snapshot(c->w), v->line) : NULL;

    c->call->hides_callee = v->all.n > 0 && line != NULL && (line->services & LINE_PRIVATE) != 0;
}

static void on_no_answer(void *arg);

static void watch(struct ctx *c, struct divert *v)
{
    const struct line *line = v->line != 0 ? snapshot_line(worker_snapshot(c->w), v->line) : NULL;
    unsigned s = line != NULL && line->no_answer_s != 0 ? line->no_answer_s : DIVERT_NO_ANSWER_S;

    v->is_watched =
        line != NULL && forward_of(line, DIVERT_NO_ANSWER).n > 0 &&
        loop_timer_start(c->w->loop, &v->timer, (uint64_t)s * 1000, on_no_answer, c) == E_OK;
}

void divert_begin(struct worker *w, const struct setup *s, const struct route_decision *d,
                  struct ctx *c, struct way *y)
{
    struct divert *v = mem_zalloc(sizeof *v);
    struct route_decision on;

    y->status = 503;
    if (v == NULL) {
        return;
    }
    c->divert = v;
    v->line = d->line_id;
    memcpy(v->number, d->dialled.e164, sizeof v->number);
    divert_read(w, s->in->m, &s->in->proof.who, v);
    find_targets(c, v, s->in->m, &on, y);
    note_callee(c, v);
    if (y->n > 0) {
        watch(c, v);
    }
    if (v->all.n > 0) { /* the number; the route is noted with that of all calls */
        trace_route(w->trace, c->call->trace, view_of(v->number), VIEW(""), 0);
    }
}

/* ---- later -------------------------------------------------------------------------------------
 */
/* Phones that the call has left speak no more in it; what one of them answers all the same begins a
 * dialog of its own. */
static void forget_early(struct call *c)
{
    struct hlink *next = NULL;

    for (struct hlink *p = c->dialogs; p != NULL; p = next) {
        struct dialog *d = HLIST_OF(p, struct dialog, in_call);
        next = p->next;
        if (!d->is_confirmed) {
            dialog_end(c, d, NULL);
        }
    }
}

/* After a hop: asks the new targets. False: nothing is under way, the best response counts. */
static bool go_on(struct ctx *c, struct divert *v, const struct sip_msg *m,
                  struct route_decision *d)
{
    struct way y = {.n = 0};

    loop_timer_stop(c->w->loop, &c->ring);
    loop_timer_stop(c->w->loop, &v->timer);
    v->is_watched = false;
    find_targets(c, v, m, d, &y);
    note_callee(c, v);
    note_way(c->call, y.route, y.callee_line);
    c->next = c->n_targets = c->n_full = 0;
    if (y.n == 0) {
        best_note(c, y.status, NULL, NULL);
        return false;
    }
    best_forget(c);
    v->is_busy = v->is_silent = false;
    forget_early(c->call);
    c->n_targets = y.n;
    watch(c, v);
    fork_next(c, m);
    return c->n_pending > 0 || divert_after(c);
}

static const struct line *line_now(const struct ctx *c)
{
    const struct divert *v = c->divert;
    bool is_open = v != NULL && v->line != 0 && !c->is_cancelled && !c->is_answered && !c->is_final;

    return is_open ? snapshot_line(worker_snapshot(c->w), v->line) : NULL;
}

void divert_note(struct ctx *c, unsigned status)
{
    if (c->divert != NULL) {
        c->divert->is_busy = c->divert->is_busy || status == 486;
        c->divert->is_silent = c->divert->is_silent || status == 408;
    }
}

/* Whether what the caller would hear means that the line is not to be had: a 6xx is the callee's
 * last word (RFC 3261 section 16.7 step 5), other refusals are about the call. A line is busy when
 * one phone is and none of the others rang to the end. */
static bool why_of(const struct ctx *c, enum divert_why *out)
{
    unsigned status = c->best_status;

    *out = c->divert->is_silent ? DIVERT_NO_ANSWER
           : c->divert->is_busy ? DIVERT_BUSY
                                : DIVERT_UNREACHABLE;
    return status == 486 || status == 480 || status == 408 || status == 503;
}

bool divert_after(struct ctx *c)
{
    const struct line *line = line_now(c);
    struct route_decision d;
    enum divert_why why;
    struct sip_msg m;

    return line != NULL && why_of(c, &why) && ctx_reframe(c, &m) == E_OK &&
           step(c, c->divert, line, why, &d) && go_on(c, c->divert, &m, &d);
}

/* Their phones stop ringing. is_left: the call does not wait for their end. */
static void stop_phones(struct ctx *c, bool is_left)
{
    for (struct hlink *p = c->legs; p != NULL; p = p->next) {
        struct leg *l = HLIST_OF(p, struct leg, in_ctx);
        if (!l->is_final && !l->is_passed_over) {
            l->is_timed_out = true;
            l->is_passed_over = is_left;
            c->n_pending -= is_left;
            leg_cancel(l, NO_ANSWER_REASON);
        }
    }
}

/* A number that cannot be reached does not silence the phones: they ring on. Without breadth for
 * one request more (RFC 5393) the phones must end first, then divert_after() is asked. */
static void on_no_answer(void *arg)
{
    struct ctx *c = arg;
    const struct line *line = line_now(c);
    struct route_decision d;
    struct sip_msg m;

    c->divert->is_watched = false;
    if (line == NULL || ctx_reframe(c, &m) != E_OK) {
        return;
    }
    if (!fork_can_add(c, &m)) {
        if (obstacle(c, c->divert, line, forward_of(line, DIVERT_NO_ANSWER), &d) == NULL) {
            c->next = c->n_targets;
            stop_phones(c, false);
        }
        return;
    }
    if (step(c, c->divert, line, DIVERT_NO_ANSWER, &d)) {
        stop_phones(c, true);
        if (!go_on(c, c->divert, &m, &d)) {
            best_send(c);
        }
    }
}

void divert_answered(struct ctx *c, const struct leg *l)
{
    const struct divert *v = c->divert;

    if (v == NULL || c->call->forward == NULL || l->hop >= v->all.n) {
        return;
    }
    note_hop(c->call, &v->all, l->hop);
    note_way(c->call, "local", l->who.line);
    give_line(c->call); /* the number that it had gone on to is out of it */
    trunks_give(c->w->ws->trunks, &c->call->way_out);
    call_show_trunks(c->call);
}

void divert_end(struct ctx *c)
{
    if (c->divert != NULL) {
        loop_timer_stop(c->w->loop, &c->divert->timer);
        mem_free(c->divert);
        c->divert = NULL;
    }
}

bool divert_keeps_share(const struct ctx *c)
{
    return c->divert != NULL && c->divert->is_watched;
}
