/* One proxied request: targets, legs, the best response (RFC 3261 sections 16.6 to 16.10). */
#include "gc/divert.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/stir.h"

#define ELSEWHERE "SIP;cause=200;text=\"Call completed elsewhere\""

/* ---- life --------------------------------------------------------------------------------------
 */
static struct hlink **setup_head(struct worker *w, uint64_t fingerprint)
{
    return &w->setups[fingerprint % TABLE_HEADS];
}

struct ctx *ctx_of_fingerprint(struct worker *w, uint64_t fingerprint)
{
    for (struct hlink *p = *setup_head(w, fingerprint); p != NULL; p = p->next) {
        struct ctx *c = HLIST_OF(p, struct ctx, by_fingerprint);
        if (c->fingerprint == fingerprint) {
            return c;
        }
    }
    return NULL;
}

static void forget_work(struct ctx *c)
{
    divert_end(c);
    mem_free(c->target);
    mem_free(c->best);
    mem_free(c->more);
    c->more = NULL;
    c->target = NULL;
    c->raw = NULL; /* it stands behind the targets */
    c->best = NULL;
    c->next = c->n_targets = 0;
}

static enum err keep_request(struct ctx *c, const struct sip_msg *m)
{
    size_t targets = TARGETS_MAX * sizeof *c->target;

    c->target = mem_zalloc(targets + m->raw.n);
    if (c->target == NULL) {
        return FAIL(E_NOMEM);
    }
    c->raw = (char *)c->target + targets;
    c->raw_n = m->raw.n;
    memcpy(c->raw, m->raw.p, m->raw.n);
    return E_OK;
}

enum err ctx_new(struct worker *w, const struct inbound *in, enum ctx_kind kind, struct call *call,
                 struct ctx **out)
{
    struct ctx *c = mem_zalloc(sizeof *c);
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    BUG_ON((kind == CTX_PAGE) != (call == NULL));
    TRY(e);
    *c = (struct ctx){.w = w,
                      .kind = kind,
                      .method = in->m->method,
                      .from = in->proof.who,
                      .from_flow = in->flow,
                      .fingerprint = in->fingerprint,
                      .at_us = in->at_us,
                      .is_datagram = in->flow.proto == SIP_UDP};
    c->from.ip = in->flow.remote;
    TRY(keep_request(c, in->m));
    TRY(sip_stxn_new(w->txns, in->m, &in->flow, in->fingerprint, c, &c->stxn));
    c->refs = 1;
    c->call = call;
    if (call != NULL) {
        call_hold(call);
    }
    if (call != NULL && kind == CTX_SETUP) {
        call->setup = c;
        hlist_push(setup_head(w, c->fingerprint), &c->by_fingerprint);
    }
    *out = c;
    c = NULL; /* moved */
out:
    if (c != NULL) {
        forget_work(c);
        mem_free(c);
    }
    return e;
}

void ctx_release(struct ctx *c)
{
    struct call *call = c->call;

    if (--c->refs != 0) {
        return;
    }
    if (call != NULL && call->setup == c) {
        call->setup = NULL;
    }
    loop_timer_stop(c->w->loop, &c->ring);
    hlist_drop(&c->by_fingerprint);
    forget_work(c);
    mem_free(c->names);
    mem_free(c);
    call_release(call);
}

enum err ctx_reframe(const struct ctx *c, struct sip_msg *out)
{
    const char *why = "";

    BUG_ON(c->raw == NULL); /* nothing is asked of it after the final response */
    return sip_frame(view_from(c->raw, c->raw_n), c->is_datagram, out, &why);
}

/* ---- upwards -----------------------------------------------------------------------------------
 */
static void respond(struct ctx *c, unsigned status, size_t n, const char *note)
{
    struct view octets = view_from(c->w->out, n);
    enum err e = E_OK;

    if (c->stxn == NULL || n == 0) {
        return;
    }
    call_trace_out(c->call, &c->from_flow, &c->from, octets, note);
    e = sip_stxn_respond(c->stxn, status, octets);
    if (e != E_OK && e != E_DENIED) {
        LOG(LV_INFO, "answer.not_sent", KV("status", status), KV_ERR(e));
    }
}

static void respond_here(struct ctx *c, unsigned status, const char *reason, struct view extra)
{
    struct sip_msg m;

    if (c->method != SIP_M_INVITE && status == 408) {
        return; /* RFC 4320 4.2: whoever asked has given up by now */
    }
    if (ctx_reframe(c, &m) == E_OK) {
        respond(c, status, make_response(c->w, &m, &c->from_flow, &c->from, status, reason, extra),
                "made here");
    }
}

void ctx_slow(struct ctx *c)
{
    if (!c->is_final) {
        respond_here(c, 100, NULL, VIEW(""));
    }
}

void ctx_trying(struct ctx *c, const struct sip_msg *m)
{
    respond(c, 100, make_response(c->w, m, &c->from_flow, &c->from, 100, NULL, VIEW("")), "");
}

void ctx_announce(struct ctx *c, const struct inbound *in, const char *note)
{
    if (!c->is_announced) {
        c->is_announced = true;
        call_trace_in(c->call, in, note);
        ctx_trying(c, in->m);
    }
}

struct dialog *ctx_dialog(const struct ctx *c)
{
    for (struct hlink *p = c->call->dialogs; p != NULL; p = p->next) {
        struct dialog *d = HLIST_OF(p, struct dialog, in_call);
        if (strcmp(d->callee.tag, c->callee_tag) == 0) {
            return d;
        }
    }
    return NULL;
}

enum err ctx_pass_up(struct ctx *c, const struct sip_msg *m, const struct party *from,
                     const struct sip_flow *from_flow)
{
    struct sip_msg names;
    char contact[LOCATION_URI_MAX], asserted[ASSERTED_MAX];
    struct passing p = {.m = m,
                        .request = names_up(c, &names),
                        .contact = names_contact_up(c, m, contact),
                        .asserted = names_of_answer(c, m, from, asserted),
                        .from = from,
                        .to = &c->from,
                        .from_flow = from_flow,
                        .to_flow = &c->from_flow,
                        .keeps_keys = c->is_emergency,
                        .more = m->status == 401 || m->status == 407 ? c->more : NULL};
    size_t n = 0;
    enum err e = E_OK;
    bool adds = false;

    if (m->status / 100 == 2 && session_timer_of_answer(&c->timer, m, &adds) != 0 && adds) {
        p.session_s = c->timer.interval_s;
    }
    e = forward_response(c->w, &p, &n);

    if (e != E_OK) {
        LOG(LV_WARN, "answer.not_forwarded", KV("status", m->status), KV_ERR(e));
        return e;
    }
    respond(c, m->status, n, c->w->crossed);
    return E_OK;
}

/* ---- the end -----------------------------------------------------------------------------------
 */
static const char *ended_by(const struct ctx *c, unsigned status)
{
    if (c->call->end_by != NULL) {
        return c->call->end_by;
    }
    return c->is_cancelled   ? "caller"
           : status == 408   ? "timeout"
           : c->best != NULL ? "callee"
                             : "gate";
}

void ctx_settle(struct ctx *c, unsigned status)
{
    struct dialog *d = NULL;

    c->is_final = true;
    loop_timer_stop(c->w->loop, &c->ring);
    if (c->kind == CTX_SETUP && !c->is_answered) {
        if (c->is_emergency && !c->is_cancelled) { /* a refusal is as bad as silence */
            meter(c->w, METER_EMERGENCY_FAILED);
            LOG(LV_ERROR, "emergency.failed", KV("call", (const char *)c->call->id),
                KV("status", status));
        }
        call_end(c->call, status, ended_by(c, status));
    } else if (c->kind == CTX_USAGE && status >= 300) {
        call_end(c->call, status, "callee");
    } else if (c->kind == CTX_DIALOG && c->method == SIP_M_BYE) {
        d = ctx_dialog(c);
        if (d != NULL) {
            dialog_end(c->call, d, c->call->end_by);
        }
    }
    forget_work(c);
}

static void cancel_legs(struct ctx *c, const struct leg *but, const char *reason)
{
    if (c->method != SIP_M_INVITE) {
        return; /* RFC 3261 section 9.1: nothing else can be cancelled */
    }
    for (struct hlink *p = c->legs; p != NULL; p = p->next) {
        struct leg *l = HLIST_OF(p, struct leg, in_ctx);
        if (l != but) {
            leg_cancel(l, reason);
        }
    }
}

void ctx_refuse(struct ctx *c, unsigned status, const char *reason, struct view extra)
{
    if (!c->is_final) {
        respond_here(c, status, reason, extra);
        ctx_settle(c, status);
    }
}

void ctx_answer(struct ctx *c, size_t n)
{
    respond(c, 200, n, "made here");
    c->is_answered = true;
    ctx_settle(c, 200);
}

/* ---- downwards ---------------------------------------------------------------------------------
 */
static void on_patience(void *arg);

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
        IGNORE(loop_timer_start(c->w->loop, &l->patience, c->patience_ms, on_patience, l),
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

/* ---- events of legs ----------------------------------------------------------------------------
 */
static bool goes_on(const struct ctx *c, unsigned status, bool is_local)
{
    if (c->is_cancelled || c->is_answered || c->is_final || c->next >= c->n_targets ||
        (c->is_parallel && c->n_pending > 0)) {
        return false;
    }
    if (c->is_parallel) {
        return true; /* the next preference; after a 6xx there is none */
    }
    if (c->kind == CTX_DIALOG) {
        return is_local && status == 503; /* nothing was delivered; its registration is newer */
    }
    if (c->is_emergency) {
        return status == 408 || status == 480 || (status >= 500 && status < 600);
    }
    if (c->is_provisioning) {
        return status == 408 || status == 486 || status == 500 || status == 503;
    }
    return status == 408 || status == 503 || status == 401 || status == 407;
}

/* One leg is over, without 2xx. */
static void leg_over(struct ctx *c, unsigned status, bool is_local)
{
    struct sip_msg m;

    c->n_pending--;
    if (goes_on(c, status, is_local) && ctx_reframe(c, &m) == E_OK) {
        if (!c->is_parallel) {
            meter(c->w, METER_FAIL_OVERS);
            LOG(LV_WARN, "call.fail_over", KV("call_id", m.call_id), KV("status", status),
                KV("target", c->next + 1));
        }
        fork_next(c, &m);
    }
    if (c->n_pending == 0 && !divert_after(c)) {
        best_send(c);
    }
}

static void on_patience(void *arg)
{
    struct leg *l = arg;
    struct ctx *c = l->ctx;

    if (l->is_final || l->is_provisional || c->is_final || c->is_cancelled) {
        return;
    }
    trunk_failed(c->w, &l->who, &sip_ctxn_flow(l->txn)->remote);
    l->is_passed_over = true;
    l->breadth = 0;                              /* nothing was heard of it: it asks nobody else */
    l->wants_cancel = c->method == SIP_M_INVITE; /* should it wake up after all */
    best_note(c, 408, NULL, NULL);
    leg_over(c, 408, true);
}

/* The far side of a dialog: it may have a new session, a new connection, a new contact. */
static void follow_answer(struct ctx *c, const struct sip_msg *m)
{
    struct dialog *d = ctx_dialog(c);
    struct side *far = d == NULL ? NULL : c->from_caller ? &d->callee : &c->call->caller;

    if (far != NULL && is_bti(&far->who) && c->w->current != NULL) {
        far->who = c->w->current->proof.who;
        far->flow = c->w->current->flow;
    }
    if (far != NULL) {
        side_learn(far, m);
        usage_learn(c->call, d, m);
    }
}

/* The far ends that a SUBSCRIBE or REFER reached: each that agreed may send its NOTIFY. */
static void learn_usage(struct ctx *c, struct leg *l, const struct sip_msg *m)
{
    struct dialog *d = c->call->is_live ? call_dialog(c->call, m, l) : NULL;

    if (d != NULL) {
        usage_learn(c->call, d, m);
    }
}

static void refresh_session(struct ctx *c, struct dialog *d, const struct sip_msg *m)
{
    bool adds = false;

    if (d != NULL && d->is_confirmed && c->call->is_timed &&
        (c->method == SIP_M_INVITE || c->method == SIP_M_UPDATE)) {
        dialog_refreshed(c->call, d, session_timer_of_answer(&c->timer, m, &adds));
    }
}

static void on_provisional(struct ctx *c, struct leg *l, const struct sip_msg *m)
{
    struct dialog *d = NULL;

    if (c->method != SIP_M_INVITE || c->is_final || l->is_passed_over || !best_has_next_via(m)) {
        return; /* RFC 4320 4.1 for the rest */
    }
    if (c->kind == CTX_SETUP) {
        d = call_dialog(c->call, m, l);
        if (d == NULL && m->to_tag.n > 0) {
            return; /* more early dialogs than anybody has phones */
        }
        trace_state_set(c->w->trace, c->call->trace, TRACE_RINGING);
    }
    IGNORE(ctx_pass_up(c, m, &l->who, sip_ctxn_flow(l->txn)),
           "it was logged; a further one may follow");
}

/* A 2xx that cannot go up: too much for a message, or the caller's session is over. */
static void lose_answer(struct ctx *c, struct leg *l, const struct sip_msg *m)
{
    if (c->kind == CTX_SETUP) {
        call_drop_answer(c->call, l, m, "The caller cannot be reached");
    }
    if (!c->is_final) {
        ctx_refuse(c, 502, NULL, VIEW(""));
        cancel_legs(c, l, NULL);
    }
}

/* Whether a 2xx to the INVITE of a call still has somebody who waits for it. */
static struct dialog *wanted(struct ctx *c, struct leg *l, const struct sip_msg *m)
{
    bool is_late = c->is_final && (!c->is_answered || !c->call->is_live);
    struct dialog *d = is_late ? NULL : call_dialog(c->call, m, l);

    if (d == NULL) {
        call_drop_answer(c->call, l, m, is_late ? "Request was ended before" : "Too many dialogs");
    }
    return d;
}

/* Nothing comes of a 2xx: its leg has failed, and the caller must not wait for it. */
static void waste(struct ctx *c, bool is_first)
{
    if (is_first) {
        best_note(c, 502, NULL, NULL);
        leg_over(c, 502, false);
    }
}

/* Each 2xx goes up, however late and however often: the caller's ACK must follow it. */
static void on_success(struct ctx *c, struct leg *l, const struct sip_msg *m)
{
    struct dialog *d = NULL;
    bool is_first = !l->is_final && !l->is_passed_over;

    if (c->kind == CTX_USAGE) {
        learn_usage(c, l, m);
    }
    if (!best_has_next_via(m) || (c->method != SIP_M_INVITE && c->is_final) ||
        (c->kind == CTX_SETUP && (d = wanted(c, l, m)) == NULL)) {
        waste(c, is_first);
        return;
    }
    c->n_pending -= is_first;
    if (c->kind == CTX_DIALOG) {
        follow_answer(c, m);
    }
    if (ctx_pass_up(c, m, &l->who, sip_ctxn_flow(l->txn)) != E_OK) {
        lose_answer(c, l, m);
        return;
    }
    if (d != NULL) {
        c->is_answered = true;
        divert_answered(c, l);
        call_answered(c->call, d);
    }
    if (c->kind == CTX_SETUP || c->kind == CTX_DIALOG) {
        refresh_session(c, d != NULL ? d : ctx_dialog(c), m);
    }
    if (!c->is_final) {
        ctx_settle(c, m->status);
        cancel_legs(c, l, ELSEWHERE);
    }
}

/* A trunk that knows us by a password: the same request once more with the answer to its challenge,
 * on a new branch. The CSeq stays: it is the caller's (RFC 3261 section 22.3). */
static bool prove_to_trunk(struct ctx *c, const struct leg *l, const struct sip_msg *challenge,
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

static void on_failure(struct ctx *c, struct leg *l, unsigned status, const struct sip_msg *m)
{
    unsigned more = 0, breadth = l->breadth;

    l->breadth = 0;
    if (l->is_passed_over || c->is_final) {
        return;
    }
    if (m != NULL && (status == 401 || status == 407) && prove_to_trunk(c, l, m, breadth)) {
        c->n_pending--;
        return;
    }
    if (m != NULL && status >= 300 && status < 400) {
        more = best_add_redirects(c, l, m);
    }
    if (c->kind == CTX_DIALOG && m != NULL) {
        usage_learn(c->call, ctx_dialog(c), m);
    }
    status = best_status_of(l, status);
    best_note(c, status, m, l);
    if (more > 0) {
        leg_over(c, 503, false); /* goes on whatever came before */
        return;
    }
    if (status >= 600) {
        cancel_legs(c, l, NULL);
        c->next = c->n_targets;
    }
    leg_over(c, status, m == NULL);
}

void ctx_leg_event(struct ctx *c, struct leg *l, enum txn_event ev, const struct sip_msg *m)
{
    if (ev == TXN_RESPONSE && c->w->current != NULL) {
        call_trace_in(c->call, c->w->current, "");
    }
    switch (ev) {
    case TXN_RESPONSE:
        if (m->status < 200) {
            on_provisional(c, l, m);
        } else if (m->status < 300) {
            on_success(c, l, m);
        } else {
            on_failure(c, l, m->status, m);
        }
        break;
    case TXN_TIMEOUT:
        trunk_failed(c->w, &l->who, &sip_ctxn_flow(l->txn)->remote);
        on_failure(c, l, 408, NULL);
        break;
    case TXN_TRANSPORT:
        trunk_failed(c->w, &l->who, &sip_ctxn_flow(l->txn)->remote);
        on_failure(c, l, 503, NULL);
        break;
    case TXN_TIMER_C:
        l->is_timed_out = true;
        l->is_provisional = true;
        leg_cancel(l, "SIP;cause=408;text=\"Nobody answered\"");
        break;
    }
}

/* ---- CANCEL ------------------------------------------------------------------------------------
 */
void ctx_cancel(struct ctx *c, unsigned forced)
{
    if (c->is_final) {
        return;
    }
    c->is_cancelled = true;
    cancel_legs(c, NULL, NULL);
    if (forced != 0) {
        ctx_refuse(c, forced, NULL, VIEW(""));
    } else if (c->n_pending == 0) {
        best_send(c);
    }
}

void cancel_in(struct worker *w, const struct inbound *in, struct sip_stxn *invite)
{
    struct ctx *c = invite != NULL ? sip_stxn_user(invite) : NULL;

    if (invite == NULL) {
        answer(w, in, 481, NULL, VIEW(""));
        return;
    }
    if (c != NULL && !is_party(&c->from, &in->proof, &in->flow)) {
        if (!in->proof.is_bad) {
            meter(w, METER_AUTH_OTHER_PARTY);
        }
        LOG(LV_WARN, "auth.cancel_refused", KV("call_id", in->m->call_id),
            KV("line", in->proof.who.line));
        call_trace_in(c->call, in, "refused: not proven to be the caller");
        answer(w, in, 481, NULL, VIEW(""));
        return;
    }
    if (c != NULL) {
        call_trace_in(c->call, in, "");
    }
    answer(w, in, 200, NULL, VIEW(""));
    if (c != NULL) {
        ctx_cancel(c, 0);
    }
}
