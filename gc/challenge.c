/* Answers without a context: 400, 401, 407, 505 and other refusals. To a sender without proof they
 * are stateless, the same for every cause, and limited by source; past the limit there is silence.
 */
#include <stdio.h>
#include <string.h>

#include "gc/call.h"
#include "gc/tapping.h"
#include "gc/worker_int.h"

enum { CHALLENGE_TEXT_MAX = 1280 };

/* The same for each retransmission, so that a stateless answer always carries the same tag
 * (RFC 3261 section 8.2.7). */
static void tag_of(const struct worker *w, const struct sip_msg *m, char out[TAG_MAX])
{
    uint64_t a = worker_hash(w, m->call_id), b = worker_hash(w, m->via.first_value);

    snprintf(out, TAG_MAX, "gc%016llx", (unsigned long long)(a ^ (b << 1 | b >> 63)));
}

size_t make_response(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                     const struct party *to, unsigned status, const char *reason, struct view extra)
{
    char tag[TAG_MAX], ip[NET_TEXT_MAX];
    size_t n = 0;
    enum err e = E_OK;

    tag_of(w, m, tag);
    net_ip_text(&flow->remote, ip);
    TRY(sip_response(m, status, reason, view_of(tag), ip, flow->remote.port, extra, VIEW(""),
                     VIEW(""), w->out, sizeof w->out - SEAL_ROOM, &n));
    e = seal_any(w, to, w->out, sizeof w->out, &n);
    if (e == E_NOTFOUND) { /* nobody will believe it, but the transaction must end */
        LOG(LV_INFO, "answer.unsealed", KV("status", status), KV("line", to->line));
        e = E_OK;
    }
out:
    if (e != E_OK) {
        LOG(LV_WARN, "answer.impossible", KV("status", status), KV_ERR(e));
        return 0;
    }
    return n;
}

static void send_stateless(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                           const struct party *to, unsigned status, const char *reason,
                           struct view extra)
{
    size_t n = make_response(w, m, flow, to, status, reason, extra);

    if (n > 0) {
        if (to->kind != PARTY_STRANGER) {
            tapped_out(w, NULL, flow, to, view_from(w->out, n));
        }
        IGNORE(worker_send(w, flow, view_from(w->out, n)), "the sender asks again");
    }
}

static bool may_answer(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow)
{
    if (!m->is_request || m->method == SIP_M_ACK || !m->can_answer) {
        return false;
    }
    if (limits_take(w->ws->limits, LIMIT_ANSWER, &flow->remote, loop_now_ms(w->loop))) {
        return true;
    }
    meter(w, METER_ANSWERS_LIMITED);
    return false;
}

void challenge(struct worker *w, const struct inbound *in)
{
    bool is_register = in->m->method == SIP_M_REGISTER;
    const struct party nobody = {.kind = PARTY_STRANGER};
    const char *header = is_register ? "WWW-Authenticate" : "Proxy-Authenticate";
    char extra[CHALLENGE_TEXT_MAX];
    struct sip_text t = {.p = extra, .max = sizeof extra};

    if (!in->proof.is_bad) { /* a bad one was counted where it was found */
        meter(w, METER_AUTH_MISSING);
    }
    if (!may_answer(w, in->m, &in->flow)) {
        return;
    }
    meter(w, METER_CHALLENGES);
    /* Phones in the field give up, or crash, at a challenge that is none of theirs. */
    if (in->proof.has_mac) {
        sip_text_add(&t, "%s: BTI-MAC realm=\"%.200s\"\r\n", header, w->set->domain);
    } else {
        digest_challenges(w, in, header, &t);
    }
    if (t.bad) {
        LOG(LV_ERROR, "challenge.impossible", KV("domain", w->set->domain));
        return;
    }
    send_stateless(w, in->m, &in->flow, &nobody, is_register ? 401 : 407, NULL,
                   view_from(extra, t.n));
}

void answer(struct worker *w, const struct inbound *in, unsigned status, const char *reason,
            struct view extra)
{
    struct sip_stxn *t = NULL;
    bool from_caller = false;
    size_t n = 0;

    if (in->m->method == SIP_M_ACK) {
        return;
    }
    if (in->proof.class == PROOF_UNKNOWN) {
        if (may_answer(w, in->m, &in->flow)) {
            send_stateless(w, in->m, &in->flow, &in->proof.who, status, reason, extra);
        }
        return;
    }
    if (sip_stxn_new(w->txns, in->m, &in->flow, in->fingerprint, NULL, &t) != E_OK) {
        send_stateless(w, in->m, &in->flow, &in->proof.who, status, reason, extra);
        return;
    }
    n = make_response(w, in->m, &in->flow, &in->proof.who, status, reason, extra);
    if (n > 0) {
        tapped_out(w, call_find(w, in->m, NULL, &from_caller), &in->flow, &in->proof.who,
                   view_from(w->out, n));
        IGNORE(sip_stxn_respond(t, status, view_from(w->out, n)), "sent again with its timers");
    }
}

void answer_busy(struct worker *w, const struct inbound *in)
{
    send_stateless(w, in->m, &in->flow, &in->proof.who, 503, NULL, VIEW("Retry-After: 5\r\n"));
}

void answer_malformed(struct worker *w, const struct sip_rx *rx, const struct sip_msg *m,
                      const char *why)
{
    const struct party nobody = {.kind = PARTY_STRANGER};

    if (may_answer(w, m, &rx->flow)) {
        send_stateless(w, m, &rx->flow, &nobody, m->refuse_status, why, VIEW(""));
    }
}
