/* Dialogs that SUBSCRIBE and REFER make (RFC 6665, RFC 3515): who may speak in them, and until
 * when. They are kept among the calls, but are none: no record, no place in the limits of calls.
 * A NOTIFY that says "terminated", a final refusal or the end of the subscription's time closes
 * one; what crosses that end still passes for 64*T1. */
#include "gc/context.h"

enum { REFER_S = 180, USAGE_S_MAX = 7 * 86400 };

static uint64_t linger_ms(const struct call *c)
{
    return c->w->set->t1_ms * SESSION_GRACE_T1;
}

static void keep_for(struct call *c, struct dialog *d, uint64_t seconds)
{
    uint64_t s = seconds < USAGE_S_MAX ? seconds : USAGE_S_MAX;
    uint64_t due = loop_now_ms(c->w->loop) + s * 1000 + linger_ms(c);

    if (c->is_usage) {
        c->usage_due_ms = due;
        call_arm(c);
    } else if (d != NULL) {
        d->usage_due_ms = due;
    }
}

enum err usage_begin(struct worker *w, const struct inbound *in, uint64_t callee_line,
                     struct call **out)
{
    struct call_start start = {.in = in, .is_usage = true};
    bool is_line = in->proof.class == PROOF_PROVEN;
    struct call *c = NULL;
    enum err e = is_line ? limits_usage_take(w->ws->limits, in->proof.who.line) : E_OK;

    TRY(e);
    e = call_begin(w, &start, &c);
    if (e != E_OK) {
        if (is_line) {
            limits_usage_give(w->ws->limits, in->proof.who.line);
        }
        return e;
    }
    c->has_line = is_line;
    c->line = in->proof.who.line;
    c->callee_line = callee_line;
    keep_for(c, NULL, 0); /* an answer or a NOTIFY says more */
    *out = c;
out:
    return e;
}

/* ---- what messages say -------------------------------------------------------------------------
 */
static void learn_notify(struct call *c, struct dialog *d, const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_header_named(m, VIEW("Subscription-State"));
    struct view state, params = VIEW(""), expires;
    size_t semi = 0;
    uint64_t s = 0;

    if (h == NULL) {
        return;
    }
    state = h->value;
    if (view_find(h->value, ';', &semi)) {
        state = view_trim(view_sub(h->value, 0, semi));
        params = view_sub(h->value, semi + 1, h->value.n);
    }
    if (view_eq_nocase(state, VIEW("terminated"))) {
        keep_for(c, d, 0);
    } else if (sip_param(params, VIEW("expires"), &expires) &&
               view_to_u64(expires, UINT32_MAX, &s) == E_OK) {
        keep_for(c, d, s);
    }
}

void usage_learn(struct call *c, struct dialog *d, const struct sip_msg *m)
{
    uint64_t s = 0;

    if (m->is_request) {
        if (m->method == SIP_M_NOTIFY) {
            learn_notify(c, d, m);
        }
        return;
    }
    if (m->status == 481 && c->is_usage) {
        keep_for(c, d, 0);
    } else if (m->status / 100 == 2 && m->method == SIP_M_REFER) {
        keep_for(c, d, REFER_S);
    } else if (m->status / 100 == 2 && m->method == SIP_M_SUBSCRIBE) {
        keep_for(c, d,
                 view_to_u64(sip_header_value(m, SIP_H_EXPIRES), UINT32_MAX, &s) == E_OK ? s : 0);
    }
}

/* ---- dialogs -----------------------------------------------------------------------------------
 */
/* Whether the SUBSCRIBE or REFER went to them: a phone of the line, or the trunk. */
static bool is_asked(const struct call *c, const struct proof *p)
{
    return p->class == PROOF_PROVEN ? c->callee_line != 0 && c->callee_line == p->who.line
                                    : c->callee_trunk != 0 && c->callee_trunk == p->who.trunk;
}

struct dialog *usage_of_notify(struct worker *w, const struct inbound *in, struct call **out)
{
    struct call *c = in->proof.class != PROOF_UNKNOWN
                         ? call_usage_of_tag(w, in->m->call_id, in->m->to_tag)
                         : NULL;

    if (c == NULL || !is_asked(c, &in->proof) || in->m->from_tag.n == 0) {
        return NULL;
    }
    *out = c;
    return call_dialog_by_request(c, in);
}

void usage_outlive(struct call *c, const struct dialog *d)
{
    uint64_t now = loop_now_ms(c->w->loop);
    struct call *u = NULL;

    if (c->is_usage || d->usage_due_ms <= now) {
        return;
    }
    u = call_usage_from(c, d);
    if (u == NULL) {
        LOG(LV_INFO, "call.subscription_lost", KV("call", (const char *)c->id));
        return;
    }
    u->usage_due_ms = d->usage_due_ms;
    call_arm(u);
}
