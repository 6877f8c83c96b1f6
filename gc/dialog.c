/* Requests inside dialogs: only the two ends of a call may speak, and only to each other. */
#include <stdio.h>
#include <string.h>

#include "gc/boundary.h"
#include "gc/context.h"
#include "gc/features.h"
#include "gc/tapping.h"

/* Where the far end is: its own connection, its own route set, its own contact. What the sender
 * wrote into Request-URI and Route does not decide. */
static struct target target_of_side(const struct side *s)
{
    struct target t = {.who = s->who, .flow = s->flow};

    route_towards(s, &t);
    return t;
}

/* First its last known way; then, for a BTI that came back meanwhile, that of its registration;
 * for a gateway whose connection is gone, what its own headers name. */
static unsigned targets_of_side(struct worker *w, const struct side *s, struct target out[2])
{
    unsigned n = 0;

    out[n++] = target_of_side(s);
    if (is_bti(&s->who) && target_of_bti(w, &s->who, &out[n])) {
        bool is_same = memcmp(out[n].who.kid, s->who.kid, sizeof s->who.kid) == 0 &&
                       out[n].flow.proto == s->flow.proto && out[n].flow.conn == s->flow.conn &&
                       net_eq(&out[n].flow.remote, &s->flow.remote);
        snprintf(out[n].uri, sizeof out[n].uri, "%s", s->contact);
        n += !is_same;
    }
    if (n == 1 && route_around(w, s, &out[n])) {
        n++;
    }
    return n;
}

/* The sender may have a new session, or a new connection. */
static void follow_sender(struct side *s, const struct inbound *in)
{
    bool is_known = is_line(&s->who);

    if (in->proof.class == PROOF_PROVEN && !is_known) {
        return; /* a stranger that enrolled during its 611 call stays what it was */
    }
    if (is_known && in->proof.class == PROOF_PROVEN) {
        s->who = in->proof.who;
        s->who.ip = in->flow.remote;
    }
    if (is_known || s->who.kind == PARTY_STRANGER) {
        s->flow = in->flow;
    }
}

struct found {
    struct call *call;
    struct dialog *dialog; /* NULL: that far end is not known (yet) */
    bool from_caller;
    struct side *sender;
};

/* What a dialog without a session has no use for (RFC 5057). */
static bool is_of_sessions(enum sip_method m)
{
    return m == SIP_M_INVITE || m == SIP_M_ACK || m == SIP_M_BYE || m == SIP_M_PRACK ||
           m == SIP_M_UPDATE;
}

static bool find(struct worker *w, const struct inbound *in, struct found *f)
{
    const struct sip_msg *m = in->m;

    *f = (struct found){.call = NULL};
    f->call = call_find(w, m, &f->dialog, &f->from_caller);
    if (f->call != NULL && f->call->is_usage && is_of_sessions(m->method)) {
        *f = (struct found){.call = NULL};
    }
    if (f->dialog == NULL && m->method == SIP_M_NOTIFY) {
        f->dialog = usage_of_notify(w, in, &f->call);
        f->from_caller = f->from_caller && f->dialog == NULL;
    }
    if (f->call == NULL || f->dialog == NULL) {
        return false;
    }
    f->sender = f->from_caller ? &f->call->caller : &f->dialog->callee;
    return true;
}

static void refuse_sender(struct worker *w, const struct inbound *in, const struct found *f)
{
    call_trace_in(f->call, in, "refused: not proven to be that party");
    if (in->proof.class == PROOF_UNKNOWN ||
        (is_line(&f->sender->who) && in->proof.class != PROOF_PROVEN)) {
        challenge(w, in);
        return;
    }
    meter(w, METER_AUTH_OTHER_PARTY);
    LOG(LV_WARN, "auth.other_party", KV("method", in->m->method_text),
        KV("call_id", in->m->call_id), KV("line", in->proof.who.line));
    answer(w, in, in->proof.class == PROOF_PROVEN ? 403 : 481, NULL, VIEW(""));
}

/* Who was proven as one number at the start cannot become another one later (RFC 4916 would let
 * it). */
static bool keeps_its_name(const struct found *f, const struct sip_msg *m)
{
    const struct side *s = f->sender;
    bool is_renamed = !f->from_caller && f->call->to_shown != NULL; /* it knows that name */
    struct sip_name_addr now, shown;
    struct sip_uri then;
    enum err e = E_OK;

    if (!is_line(&s->who)) {
        return true;
    }
    if (is_renamed) {
        e = sip_name_addr_parse(view_of(f->call->to_shown), &shown);
        then = shown.uri;
    } else {
        e = sip_uri_parse(view_of(s->uri), &then);
    }
    return e == E_OK && sip_name_addr_parse(sip_header_value(m, SIP_H_FROM), &now) == E_OK &&
           sip_uri_same(&then, &now.uri);
}

static void run(struct worker *w, const struct inbound *in, const struct found *f)
{
    struct side *far = f->from_caller ? &f->dialog->callee : &f->call->caller;
    struct ctx *c = NULL;
    enum err e = ctx_new(w, in, CTX_DIALOG, f->call, &c);

    if (e != E_OK) {
        answer(w, in, 503, NULL, VIEW("Retry-After: 5\r\n"));
        if (in->m->method == SIP_M_BYE) { /* whoever sent it is gone, whatever the answer */
            call_terminate(f->call, f->from_caller ? "caller" : "callee", "Ended");
        }
        return;
    }
    c->from = in->proof.class == PROOF_PROVEN ? in->proof.who : f->sender->who;
    c->from_caller = f->from_caller;
    c->is_emergency = f->call->is_emergency;
    snprintf(c->callee_tag, sizeof c->callee_tag, "%s", f->dialog->callee.tag);
    if (c->method == SIP_M_BYE && f->call->end_by == NULL) {
        f->call->end_by = f->from_caller ? "caller" : "callee";
    }
    if (c->method == SIP_M_INVITE) {
        ctx_trying(c, in->m);
    }
    c->n_targets = targets_of_side(w, far, c->target);
    if (has_media_keys(in->m) && !c->is_emergency &&
        !may_carry_keys(&in->flow, &c->target[0].flow)) {
        meter(w, METER_REFUSED_MEDIA_KEYS);
        ctx_refuse(c, 488, "Media keys need TLS on both sides", VIEW(""));
        return;
    }
    ctx_run(c, in->m);
}

void dialog_request_in(struct worker *w, const struct inbound *in)
{
    struct sip_stxn *invite = NULL;
    enum txn_verdict verdict = TXN_ABSORBED;
    struct found f;
    bool known = find(w, in, &f);
    bool is_repeat = in->proof.class == PROOF_PROVEN && in->proof.is_repeat;
    enum err e = E_OK;

    if (known && !is_party(&f.sender->who, &in->proof, &in->flow)) {
        refuse_sender(w, in, &f);
        return;
    }
    if (known && (f.sender->who.kind == PARTY_GATEWAY || f.sender->who.kind == PARTY_PS)) {
        limits_give(w->ws->limits, LIMIT_DATAGRAM, &in->flow.remote, loop_now_ms(w->loop));
    }
    if (!known && in->proof.class == PROOF_UNKNOWN) {
        no_dialog(w, in);
        return;
    }
    e = sip_txn_request(w->txns, in->m, &in->flow, in->fingerprint, is_repeat, &verdict, &invite);
    if (e == E_REPLAY && in->proof.who.kind == PARTY_PHONE) {
        ask_again(w, in);
        return;
    }
    if (e == E_REPLAY) {
        meter(w, METER_REPLAYS);
        LOG(LV_WARN, "auth.replay", KV("method", in->m->method_text), KV("call_id", in->m->call_id),
            KV("line", in->proof.who.line));
        call_trace_in(f.call, in, "dropped: replay");
        return;
    }
    if (e != E_OK || verdict != TXN_NEW) {
        return;
    }
    if (!known) {
        no_dialog(w, in);
        return;
    }
    if (!check_line_rate(w, in, f.call->is_emergency) ||
        !check_request(w, in, f.call->is_emergency) ||
        !boundary_check(w, in, f.call->is_emergency)) {
        return;
    }
    if (!f.call->is_emergency && !keeps_its_name(&f, in->m)) {
        meter(w, METER_REFUSED_IDENTITY);
        call_trace_in(f.call, in, "refused: another From");
        answer(w, in, 403, "From is not that of this dialog", VIEW(""));
        return;
    }
    call_trace_in(f.call, in, f.from_caller ? "from caller" : "from callee");
    follow_sender(f.sender, in);
    side_learn(f.sender, in->m);
    if (f.call->own != NULL) {
        own_request_in(w, in, f.call);
        return;
    }
    usage_learn(f.call, f.dialog, in->m);
    run(w, in, &f);
}

/* ---- ACK: no transaction of its own when it is for a 2xx (RFC 3261 section 13.2.2.4) ------------
 */
static void pass_ack(struct worker *w, const struct inbound *in, const struct found *f)
{
    const struct side *far = f->from_caller ? &f->dialog->callee : &f->call->caller;
    struct target t[2];
    unsigned n = targets_of_side(w, far, t);
    char branch[SIP_BRANCH_MAX];
    struct forwarding fw = {.m = in->m,
                            .from = f->sender->who,
                            .from_flow = in->flow,
                            .branch = branch,
                            .keeps_keys = f->call->is_emergency};
    struct names names;
    size_t out_n = 0;
    enum err e = branch_new(w, in->m, branch);

    for (unsigned i = 0; e == E_OK && i < n; i++) {
        fw.to = &t[i];
        names_inside(w, f->call, f->dialog, f->from_caller, &names, &fw);
        e = forward_request(w, &fw, &out_n);
        e = e == E_OK ? worker_send(w, &t[i].flow, view_from(w->out, out_n)) : e;
        if (e == E_OK) {
            call_trace_out(f->call, &t[i].flow, &t[i].who, view_from(w->out, out_n), w->crossed);
            return;
        }
        e = i + 1 < n ? E_OK : e;
    }
    LOG(LV_WARN, "call.ack_lost", KV("call", (const char *)f->call->id), KV_ERR(e));
}

void ack_in(struct worker *w, const struct inbound *in)
{
    struct sip_stxn *invite = NULL;
    enum txn_verdict verdict = TXN_ABSORBED;
    struct found f;
    bool known = find(w, in, &f);
    const struct side *sender = known ? f.sender : f.call != NULL ? &f.call->caller : NULL;
    bool is_repeat = in->proof.class == PROOF_PROVEN && in->proof.is_repeat;
    enum err e = E_OK;

    if (sender != NULL ? !is_party(&sender->who, &in->proof, &in->flow) : in->proof.is_bad) {
        if (!in->proof.is_bad) {
            meter(w, METER_AUTH_OTHER_PARTY);
        }
        return; /* an ACK is never answered */
    }
    e = sip_txn_request(w->txns, in->m, &in->flow, in->fingerprint, is_repeat, &verdict, &invite);
    if (e == E_REPLAY) {
        meter(w, METER_REPLAYS);
        return;
    }
    if (f.call != NULL && (verdict == TXN_NEW || known)) {
        call_trace_in(f.call, in, "");
    } else if (e == E_OK && verdict == TXN_ABSORBED && in->proof.class != PROOF_UNKNOWN) {
        tapped_in(w, f.call, in); /* of a refusal: it ends here */
    }
    if (e != E_OK || verdict != TXN_NEW || !known) {
        return;
    }
    if (!f.dialog->is_acked) {
        f.dialog->is_acked = true;
        if (f.call->setup != NULL && f.from_caller) {
            f.call->setup->is_acked = true;
        }
    }
    follow_sender(f.sender, in);
    if (f.call->own != NULL) {
        own_acked(f.call);
        return;
    }
    pass_ack(w, in, &f);
}
