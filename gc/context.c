/* One proxied request: its life, its answers upwards, its end (RFC 3261 sections 16.6 to 16.10). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/context_int.h"
#include "gc/divert.h"
#include "gc/tapping.h"

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
    if (c->call == NULL) {
        tapped_out(c->w, NULL, &c->from_flow, &c->from, octets);
    }
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

void ctx_cancel_legs(struct ctx *c, const struct leg *but, const char *reason)
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

/* ---- CANCEL ------------------------------------------------------------------------------------
 */
static void refuse_forced(struct ctx *c, unsigned status)
{
    char reason[PREEMPT_REASON_BYTES], extra[PREEMPT_REASON_BYTES + 12] = "";

    if (c->call != NULL && preempt_reason(c->call, &c->from, reason)) {
        snprintf(extra, sizeof extra, "Reason: %s\r\n", reason);
    }
    ctx_refuse(c, status, NULL, view_of(extra));
}

void ctx_cancel(struct ctx *c, unsigned forced)
{
    if (c->is_final) {
        return;
    }
    c->is_cancelled = true;
    ctx_cancel_legs(c, NULL, NULL);
    if (forced != 0) {
        refuse_forced(c, forced);
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
