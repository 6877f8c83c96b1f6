/* Requests that we send: branches, transactions, CANCEL; and responses on their way to them. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/context.h"
#include "gc/tapping.h"

static struct hlink **head_of(struct worker *w, struct view branch)
{
    return &w->legs[worker_hash(w, branch) % TABLE_HEADS];
}

static struct leg *leg_of_branch(struct worker *w, struct view branch)
{
    for (struct hlink *p = *head_of(w, branch); p != NULL; p = p->next) {
        struct leg *l = HLIST_OF(p, struct leg, by_branch);
        if (view_eq(view_of(l->branch), branch)) {
            return l;
        }
    }
    return NULL;
}

struct leg *leg_new(struct worker *w, enum leg_kind kind, const struct party *who,
                    const struct sip_msg *m)
{
    struct leg *l = mem_zalloc(sizeof *l);
    enum err e = E_OK;

    if (l == NULL) {
        return NULL;
    }
    e = m != NULL ? branch_new(w, m, l->branch) : sip_branch(l->branch);
    if (e != E_OK) {
        mem_free(l);
        return NULL;
    }
    l->w = w;
    l->kind = kind;
    l->who = *who;
    hlist_push(head_of(w, view_of(l->branch)), &l->by_branch);
    return l;
}

static void leg_free(struct leg *l)
{
    struct ctx *c = l->ctx;

    loop_timer_stop(l->w->loop, &l->patience);
    if (l->kind == LEG_PING && l->w->ping[l->ping] == l) {
        l->w->ping[l->ping] = NULL;
    }
    trunks_ping_gone(l);
    hlist_drop(&l->by_branch);
    hlist_drop(&l->in_ctx);
    mem_free(l);
    if (c != NULL) {
        ctx_release(c);
    }
}

void leg_abandon(struct leg *l)
{
    BUG_ON(l->refs != 0);
    leg_free(l);
}

static void on_event(void *user, struct sip_ctxn *t, enum txn_event ev, const struct sip_msg *m,
                     const struct sip_flow *from)
{
    struct leg *l = user;
    bool is_final = ev == TXN_TIMEOUT || ev == TXN_TRANSPORT || (m != NULL && m->status >= 200);

    (void)t;
    (void)from;
    if (is_final) {
        loop_timer_stop(l->w->loop, &l->patience);
    }
    if (l->kind == LEG_PROXY) {
        ctx_leg_event(l->ctx, l, ev, m);
    } else if (l->kind == LEG_BYE && ev == TXN_RESPONSE && m != NULL && !l->is_final &&
               (m->status == 401 || m->status == 407)) {
        call_prove_bye(l, m);
    }
    l->is_final = l->is_final || is_final;
}

enum err leg_send(struct leg *l, const struct sip_flow *to, struct view octets)
{
    struct sip_ctxn_cfg cfg = {
        .to = *to, .octets = octets, .timer_c = true, .fn = on_event, .user = l};
    enum err e = sip_ctxn_new(l->w->txns, &cfg, &l->txn);

    if (e != E_OK) {
        leg_free(l);
        return e;
    }
    l->refs++;
    return E_OK;
}

/* ---- CANCEL (RFC 3261 section 9.1) -------------------------------------------------------------
 */
static void on_cancel_event(void *user, struct sip_ctxn *t, enum txn_event ev,
                            const struct sip_msg *m, const struct sip_flow *from)
{
    (void)user; /* whatever the answer, the INVITE's own ending counts */
    (void)t;
    (void)ev;
    (void)m;
    (void)from;
}

static enum err send_cancel(struct leg *l, const char *reason)
{
    struct worker *w = l->w;
    const struct sip_msg *invite = sip_ctxn_request(l->txn);
    struct sip_ctxn_cfg cfg = {.to = *sip_ctxn_flow(l->txn), .fn = on_cancel_event, .user = l};
    struct sip_ctxn *t = NULL;
    size_t n = 0;
    enum err e = invite != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(sip_cancel_for(invite, reason, w->out, sizeof w->out - SEAL_ROOM, &n));
    TRY(seal(w, &l->who, w->out, sizeof w->out, &n));
    cfg.octets = view_from(w->out, n);
    TRY(sip_ctxn_new(w->txns, &cfg, &t));
    l->refs++;
    call_trace_out(l->ctx != NULL ? l->ctx->call : NULL, &cfg.to, &l->who, cfg.octets, "");
out:
    return e;
}

/* A CANCEL may only follow a provisional response; until there is one it waits. */
void leg_cancel(struct leg *l, const char *reason)
{
    char preempted[PREEMPT_REASON_BYTES];

    if (l->is_final || l->is_cancelled || l->txn == NULL) {
        return;
    }
    if (!l->is_provisional) {
        l->wants_cancel = true;
        return;
    }
    if (reason == NULL && l->ctx != NULL && l->ctx->call != NULL &&
        preempt_reason(l->ctx->call, &l->who, preempted)) {
        reason = preempted;
    }
    l->is_cancelled = true;
    sip_ctxn_cancelled(l->txn);
    if (send_cancel(l, reason) != E_OK) {
        LOG(LV_WARN, "call.cancel_failed", KV("branch", (const char *)l->branch));
    }
}

/* ---- responses in ------------------------------------------------------------------------------
 */
/* Only the party that was asked may answer. */
static bool is_from_party(struct worker *w, const struct leg *l, const struct inbound *in)
{
    if (is_party(&l->who, &in->proof, &in->flow)) {
        limits_give(w->ws->limits, LIMIT_DATAGRAM, &in->flow.remote, loop_now_ms(w->loop));
        return true;
    }
    if (!in->proof.is_bad) {
        meter(w, METER_AUTH_OTHER_PARTY);
        LOG(LV_WARN, "auth.other_party", KV("status", in->m->status), KV("call_id", in->m->call_id),
            KV("line", in->proof.who.line));
    }
    call_trace_in(l->ctx != NULL ? l->ctx->call : NULL, in, "dropped: not proven");
    return false;
}

static void after_response(struct worker *w, struct leg *l, const struct inbound *in)
{
    if (in->m->method == SIP_M_CANCEL) {
        tapped_in(w, l->ctx != NULL ? l->ctx->call : NULL, in);
        return;
    }
    if (in->m->status >= 200) {
        return;
    }
    l->is_provisional = true;
    loop_timer_stop(w->loop, &l->patience);
    if (in->m->status == 100) {
        call_trace_in(l->ctx != NULL ? l->ctx->call : NULL, in, "");
    }
    if (l->wants_cancel) {
        leg_cancel(l, NULL);
    }
}

void response_in(struct worker *w, struct inbound *in)
{
    struct leg *l = leg_of_branch(w, in->m->via.branch);
    bool is_repeat = in->proof.class == PROOF_PROVEN && in->proof.is_repeat;
    enum err e = E_OK;

    if (l == NULL) {
        meter(w, METER_NO_TRANSACTION);
        return;
    }
    if (!is_from_party(w, l, in)) {
        return;
    }
    if (l->kind == LEG_PING) {
        pool_answer(l, in->m->status);
        return;
    }
    if (l->kind == LEG_TRUNK) {
        trunks_answer(l, in->m->status);
        return;
    }
    w->current = in;
    e = sip_txn_response(w->txns, in->m, &in->flow, in->fingerprint, is_repeat);
    w->current = NULL;
    if (e == E_OK) {
        after_response(w, l, in); /* legs are freed at the end of a turn only */
    } else if (e == E_REPLAY) {
        meter(w, METER_REPLAYS);
        LOG(LV_WARN, "auth.replay", KV("status", in->m->status), KV("call_id", in->m->call_id),
            KV("line", in->proof.who.line));
    } else {
        meter(w, METER_NO_TRANSACTION);
    }
}

/* ---- for the transaction layer -----------------------------------------------------------------
 */
static enum err on_send(void *arg, const struct sip_flow *to, struct view octets)
{
    return worker_send(arg, to, octets);
}

static enum err on_seal(void *arg, void *client_user, const struct sip_flow *to, char *buf,
                        size_t buf_bytes, size_t *n)
{
    const struct leg *l = client_user;
    enum err e = seal(arg, &l->who, buf, buf_bytes, n);

    if (e == E_OK) {
        call_trace_out(l->ctx != NULL ? l->ctx->call : NULL, to, &l->who, view_from(buf, *n), "");
    }
    return e;
}

static void on_stxn_gone(void *arg, void *user)
{
    struct ctx *c = user;

    (void)arg;
    if (c != NULL) {
        c->stxn = NULL;
        ctx_release(c);
    }
}

static void on_ctxn_gone(void *arg, void *user)
{
    struct leg *l = user;

    (void)arg;
    if (--l->refs == 0) {
        leg_free(l);
    }
}

static void on_stxn_timeout(void *arg, void *user)
{
    (void)user;
    meter(arg, METER_NO_ACK);
}

static void on_stxn_slow(void *arg, void *user)
{
    (void)arg;
    ctx_slow(user);
}

const struct sip_txn_ops context_txn_ops = {.send = on_send,
                                            .seal = on_seal,
                                            .stxn_gone = on_stxn_gone,
                                            .ctxn_gone = on_ctxn_gone,
                                            .stxn_timeout = on_stxn_timeout,
                                            .stxn_slow = on_stxn_slow};
