/* What becomes of one proxied request when a leg answers, fails or stays silent. */
#include "gc/context_int.h"
#include "gc/divert.h"
#include "gc/tapping.h"

#define ELSEWHERE "SIP;cause=200;text=\"Call completed elsewhere\""

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

void ctx_patience(void *arg)
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
        ctx_cancel_legs(c, l, NULL);
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
        ctx_cancel_legs(c, l, ELSEWHERE);
    }
}

static void on_failure(struct ctx *c, struct leg *l, unsigned status, const struct sip_msg *m)
{
    unsigned more = 0, breadth = l->breadth;

    l->breadth = 0;
    if (l->is_passed_over || c->is_final) {
        return;
    }
    if (m != NULL && (status == 401 || status == 407) && ctx_prove(c, l, m, breadth)) {
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
        ctx_cancel_legs(c, l, NULL);
        c->next = c->n_targets;
    }
    leg_over(c, status, m == NULL);
}

void ctx_leg_event(struct ctx *c, struct leg *l, enum txn_event ev, const struct sip_msg *m)
{
    if (ev == TXN_RESPONSE && c->w->current != NULL) {
        call_trace_in(c->call, c->w->current, "");
        if (c->kind == CTX_PAGE) {
            tapped_answer(c->w, &l->who, c->w->current);
        }
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
