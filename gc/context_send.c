/* One proxied request on its way down: room on the trunk, the proof, the branch, the target. */
#include <stdio.h>

#include "gc/context_int.h"
#include "gc/divert.h"
#include "gc/stir.h"
#include "gc/tapping.h"

static unsigned status_of(enum err e)
{
    switch ((int)e) {
    case E_DENIED:
        return 483;
    case E_RANGE:
    case E_FULL:
        return 513;
    default:
        return 503;
    }
}

/* What makes or renews a dialog: we must see the rest of it. */
static bool stays_in(const struct ctx *c)
{
    return c->method == SIP_M_INVITE || (c->call != NULL && c->call->is_usage &&
                                         (c->method == SIP_M_SUBSCRIBE ||
                                          c->method == SIP_M_NOTIFY || c->method == SIP_M_REFER));
}

struct shot { /* one request down */
    unsigned target, breadth;
    const char *credentials; /* header line; NULL: none */
};

/* What a call that was forwarded says of it. text lives as long as f. */
static void add_history(struct ctx *c, struct forwarding *f, char text[DIVERT_LINES][DIVERT_TEXT])
{
    unsigned n = 0;

    if (c->divert != NULL) {
        n = divert_headers(c->w, &c->divert->all, f->m, &f->from, &f->to->who, text);
    }
    for (unsigned i = 0; i < n && f->n_extra < FORWARD_EXTRA_MAX; i++) {
        f->extra[f->n_extra++] = text[i];
    }
}

static enum err send_leg(struct ctx *c, struct leg *l, const struct sip_msg *m,
                         const struct shot *s)
{
    char history[DIVERT_LINES][DIVERT_TEXT];
    const struct target *t = &c->target[s->target];
    struct forwarding f = {.m = m,
                           .from = c->from,
                           .from_flow = c->from_flow,
                           .to = t,
                           .branch = l->branch,
                           .record_route = stays_in(c) ? c->call->id : NULL,
                           .timer = c->timer.interval_s != 0 ? &c->timer : NULL,
                           .breadth = s->breadth,
                           .credentials = s->credentials,
                           .keeps_keys = c->is_emergency};
    struct names names;
    struct stir_room tokens;
    size_t n = 0;
    enum err e = E_OK;

    names_put(c, l, &names, &f);
    e = names_keep(c, &f);
    add_history(c, &f, history);
    stir_leave(c, &t->who, &f, &tokens);
    e = e == E_OK ? forward_request(c->w, &f, &n) : e;
    if (e != E_OK) {
        leg_abandon(l);
        return e;
    }
    if (c->kind == CTX_SETUP) {
        const struct call_forward *on = c->call->forward;
        tapped_route(c->call, &t->who, view_of(on != NULL ? on->routed : c->call->routed));
    } else if (c->call == NULL) {
        tapped_out(c->w, NULL, &t->flow, &t->who, view_from(c->w->out, n));
    }
    call_trace_out(c->call, &t->flow, &t->who, view_from(c->w->out, n),
                   tokens.note[0] != 0 ? tokens.note : c->w->crossed);
    return leg_send(l, &t->flow, view_from(c->w->out, n));
}

/* Calls take a channel of the target's trunk; what makes none counts for its rate only. */
static enum err enter(struct ctx *c, const struct target *t)
{
    if (c->kind == CTX_SETUP) {
        return trunk_enter(c->call, t);
    }
    if (c->kind == CTX_USAGE) {
        c->call->callee_trunk = t->who.trunk;
    }
    return c->kind == CTX_DIALOG ? E_OK : trunk_pass(c->w, &t->who);
}

/* Room on the target's trunk, and a connection to it. */
static enum err reach(struct ctx *c, struct target *t)
{
    enum err e = enter(c, t);

    if (e != E_OK) {
        c->n_full++;
        return e == E_NOMEM ? e : E_STATE; /* E_FULL is said of messages that are too long */
    }
    if (t->flow.proto == SIP_UDP || t->flow.conn != 0) {
        return E_OK;
    }
    e = t->who.trunk != 0 ? trunk_reach(c->w, t)
                          : worker_reach(c->w, t->flow.proto, &t->flow.remote, &t->flow);
    if (e != E_OK) {
        trunk_failed(c->w, &t->who, &t->flow.remote);
    }
    return e;
}

static void note_setup_time(struct ctx *c)
{
    const struct clock *clock = loop_clock(c->w->loop);

    if (c->kind == CTX_SETUP && c->at_us != 0) {
        metric_observe_us(c->w->ws->cfg.metrics, c->w->index,
                          c->w->ws->meter_base + METER_SETUP_TIME,
                          clock->mono_us(clock->arg) - c->at_us);
        c->at_us = 0;
    }
}

/* False: it could not be sent; noted. */
static bool shoot(struct ctx *c, const struct sip_msg *m, const struct shot *s)
{
    struct target *t = &c->target[s->target];
    bool is_more = !c->is_parallel && c->next < c->n_targets;
    struct leg *l = leg_new(c->w, LEG_PROXY, &t->who, m);
    enum err e = l != NULL ? E_OK : FAIL(E_NOMEM);

    if (e == E_OK) {
        l->ctx = c;
        c->refs++;
        hlist_push(&c->legs, &l->in_ctx);
        l->target = s->target;
        l->hop = c->divert != NULL ? c->divert->all.n : 0;
        l->has_credentials = s->credentials != NULL;
        e = reach(c, t);
        if (e != E_OK) {
            leg_abandon(l);
        } else {
            e = send_leg(c, l, m, s);
        }
    }
    if (e != E_OK) {
        LOG(LV_INFO, "call.leg_failed", KV("call_id", m->call_id), KV_ERR(e));
        best_note(c, status_of(e), NULL, NULL);
        return false;
    }
    c->n_pending++;
    l->breadth = s->breadth;
    if (is_more && c->patience_ms != 0) {
        IGNORE(loop_timer_start(c->w->loop, &l->patience, c->patience_ms, ctx_patience, l),
               "then timer B decides");
    }
    note_setup_time(c);
    return true;
}

/* To the next target. */
bool ctx_launch(struct ctx *c, const struct sip_msg *m, unsigned breadth)
{
    struct shot s = {.target = c->next++, .breadth = breadth};

    return shoot(c, m, &s);
}

/* False: answered with 422. */
static bool ask_session_timer(struct ctx *c, const struct sip_msg *m)
{
    const struct gc_settings *set = c->w->set;
    char extra[40];

    if (c->call == NULL || !c->call->is_timed ||
        (c->method != SIP_M_INVITE && c->method != SIP_M_UPDATE) ||
        session_timer_ask(set, m, &c->timer)) {
        return true;
    }
    snprintf(extra, sizeof extra, "Min-SE: %u\r\n", (unsigned)set->session_min_s);
    ctx_refuse(c, 422, NULL, view_of(extra));
    return false;
}

void ctx_run(struct ctx *c, const struct sip_msg *m)
{
    if (!ask_session_timer(c, m)) {
        return;
    }
    if (!fork_fits(c, m)) {
        ctx_refuse(c, 440, NULL, VIEW(""));
        return;
    }
    fork_next(c, m);
    if (c->n_pending == 0 && !divert_after(c)) {
        best_send(c);
    }
}

/* A trunk that knows us by a password: the same request once more with the answer to its challenge,
 * on a new branch. The CSeq stays: it is the caller's (RFC 3261 section 22.3). */
bool ctx_prove(struct ctx *c, const struct leg *l, const struct sip_msg *challenge,
               unsigned breadth)
{
    const struct trunk *row = trunk_row(c->w, l->who.trunk);
    char credentials[CREDENTIALS_MAX];
    struct shot s = {.target = l->target, .breadth = breadth, .credentials = credentials};
    struct sip_msg m;
    enum err e = E_OK;

    if (row == NULL || row->auth_user.n == 0 || c->is_cancelled || ctx_reframe(c, &m) != E_OK) {
        return false;
    }
    e = l->has_credentials
            ? E_DENIED
            : trunk_credentials(c->w, row, challenge, &m, c->target[s.target].uri, credentials);
    if (e != E_OK) {
        LOG(LV_ERROR, "trunk.auth_refused", KV("trunk", row->name), KV_ERR(e),
            KV("status", challenge->status));
        return false;
    }
    return shoot(c, &m, &s);
}
