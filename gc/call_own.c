/* Requests that the gate makes itself inside a call: BYE when it ends one, ACK and BYE for an
 * answer that nobody waits for. */
#include <stdio.h>
#include <string.h>

#include "gc/context.h"
#include "gc/identity.h"
#include "routing/snapshot.h"

struct own_request {
    const char *method;
    const struct side *from, *to;
    uint32_t cseq;
    const char *reason; /* NULL: no Reason header */
    enum naming naming; /* of the caller, in this dialog */
};

/* The tags tell a dialog from others: a name that was too long to be kept may be any other. */
static const char *name_of(const struct side *s)
{
    return s->uri[0] != 0 ? s->uri : "sip:anonymous@anonymous.invalid";
}

/* addr: a name-addr; NULL: the side's own name. Who answers without a tag (RFC 2543) is asked
 * without one. */
static void add_name(struct sip_text *t, const char *header, const struct side *s, const char *addr)
{
    sip_text_add(t, "%s: ", header);
    sip_text_add(t, addr != NULL ? "%s" : "<%s>", addr != NULL ? addr : name_of(s));
    sip_text_add(t, "%s%s\r\n", s->tag[0] != 0 ? ";tag=" : "", s->tag);
}

/* Of a request in the name of a side that used up to `last`. Nothing is above the highest number;
 * a BYE that repeats it is still more than none. */
static uint32_t cseq_after(uint32_t last)
{
    return last < INT32_MAX ? last + 1 : INT32_MAX;
}

static size_t write_request(struct worker *w, const struct call *c, const struct own_request *r,
                            const struct sip_flow *flow, const char *branch)
{
    struct sip_text t = {.p = w->out, .max = sizeof w->out - SEAL_ROOM};
    struct net_addr own = worker_address(w, flow);
    struct target way;
    char text[NET_TEXT_MAX], room[ASSERTED_MAX], preempted[PREEMPT_REASON_BYTES];
    bool to_callee = r->from == &c->caller;

    route_towards(r->to, &way);
    net_text(&own, text);
    sip_text_add(&t, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=%s;rport\r\nMax-Forwards: 70\r\n",
                 r->method, way.uri[0] != 0 ? way.uri : name_of(r->to), sip_proto_name(flow->proto),
                 text, branch);
    if (way.route[0] != 0) {
        sip_text_add(&t, "Route: %s\r\n", way.route);
    }
    add_name(&t, "From", r->from,
             to_callee ? names_of_caller(w, c, r->naming, &r->to->who, room) : NULL);
    add_name(&t, "To", r->to, to_callee ? c->to_shown : NULL);
    sip_text_add(&t, "Call-ID: %s\r\nCSeq: %u %s\r\n", c->call_id, r->cseq, r->method);
    if (preempt_reason(c, &r->to->who, preempted)) {
        sip_text_add(&t, "Reason: %s\r\n", preempted);
    } else if (r->reason != NULL) {
        sip_text_add(&t, "Reason: Q.850;cause=31;text=\"%s\"\r\n", r->reason);
    }
    sip_text_add(&t, "Content-Length: 0\r\n\r\n");
    return t.bad ? 0 : t.n;
}

/* Over the side's own way, else over that of its registration. */
static enum err send_own(struct call *c, const struct own_request *r, struct leg *leg)
{
    struct worker *w = c->w;
    struct target t = {.who = r->to->who, .flow = r->to->flow};
    char note[PREEMPT_BY_BYTES + 32];
    size_t n = write_request(w, c, r, &t.flow, leg->branch);
    enum err e = n > 0 ? seal(w, &t.who, w->out, sizeof w->out, &n) : FAIL(E_RANGE);

    if (e == E_NOTFOUND && is_bti(&t.who) && target_of_bti(w, &r->to->who, &t)) {
        n = write_request(w, c, r, &t.flow, leg->branch);
        e = n > 0 ? seal(w, &t.who, w->out, sizeof w->out, &n) : FAIL(E_RANGE);
        leg->who = t.who;
    }
    if (e != E_OK) {
        leg_abandon(leg);
        return e;
    }
    snprintf(note, sizeof note, "made here%s%s",
             c->preempt_cause != PREEMPTED_NOT ? ": preempted by " : "", c->preempted_by);
    call_trace_out(c, &t.flow, &t.who, view_from(w->out, n), note);
    if (strcmp(r->method, "ACK") == 0) {
        leg_abandon(leg);
        return worker_send(w, &t.flow, view_from(w->out, n));
    }
    meter(w, METER_GATE_BYES);
    return leg_send(leg, &t.flow, view_from(w->out, n));
}

static void request_of_ours(struct call *c, const struct own_request *r)
{
    struct leg *leg = leg_new(c->w, LEG_BYE, &r->to->who, NULL);
    enum err e = leg != NULL ? send_own(c, r, leg) : FAIL(E_NOMEM);

    if (e != E_OK) {
        LOG(LV_WARN, "call.own_request_failed", KV("call", (const char *)c->id),
            KV("method", r->method), KV_ERR(e));
    }
}

/* Ours again with the next number and what the trunk asked for (RFC 3261 section 22.2). */
static enum err write_proven(struct worker *w, const struct sip_msg *bye, const char *branch,
                             const char *credentials, size_t *n)
{
    char cseq[32];
    struct sip_edit *e = &w->edit;

    snprintf(cseq, sizeof cseq, "%u BYE", cseq_after(bye->cseq));
    sip_edit_begin(e, bye);
    sip_edit_part(e, bye->via.branch, view_of(branch));
    sip_edit_value(e, sip_header(bye, SIP_H_CSEQ, 0), view_of(cseq));
    sip_edit_insert(e, SIP_H_FROM, "%s", credentials);
    return sip_edit_render(e, w->out, sizeof w->out - SEAL_ROOM, n);
}

void call_prove_bye(const struct leg *asked, const struct sip_msg *challenge)
{
    struct worker *w = asked->w;
    const struct trunk *row = trunk_row(w, asked->who.trunk);
    const struct sip_msg *bye = sip_ctxn_request(asked->txn);
    char credentials[CREDENTIALS_MAX];
    struct leg *leg = NULL;
    size_t n = 0;
    enum err e = E_OK;

    if (row == NULL || row->auth_user.n == 0 || asked->has_credentials || bye == NULL) {
        return;
    }
    TRY(trunk_credentials(w, row, challenge, bye, "", credentials));
    leg = leg_new(w, LEG_BYE, &asked->who, NULL);
    if (leg == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    leg->has_credentials = true;
    e = write_proven(w, bye, leg->branch, credentials, &n);
    if (e != E_OK) {
        leg_abandon(leg);
        goto out;
    }
    e = leg_send(leg, sip_ctxn_flow(asked->txn), view_from(w->out, n));
out:
    if (e != E_OK) {
        LOG(LV_WARN, "trunk.auth_refused", KV("trunk", row->name), KV_ERR(e),
            KV("status", challenge->status));
    }
}

/* Text of a quoted string: what would end it is left out. */
static void clean_reason(char dst[128], const char *reason)
{
    size_t n = 0;

    for (; reason != NULL && *reason != 0 && n < 127; reason++) {
        if (*reason >= ' ' && *reason < 0x7f && *reason != '"' && *reason != '\\') {
            dst[n++] = *reason;
        }
    }
    dst[n] = 0;
}

void call_terminate(struct call *c, const char *end_by, const char *reason)
{
    char text[128];

    if (!c->is_live) {
        return;
    }
    if (c->is_usage) {
        call_end(c, 0, end_by);
        return;
    }
    call_hold(c);
    clean_reason(text, reason);
    c->end_by = end_by;
    if (!c->is_answered && c->setup != NULL) {
        ctx_cancel(c->setup, 480);
    }
    for (struct hlink *p = c->dialogs; c->is_answered && p != NULL; p = p->next) {
        const struct dialog *d = HLIST_OF(p, struct dialog, in_call);
        if (d->is_confirmed) {
            request_of_ours(c, &(struct own_request){"BYE", &d->callee, &c->caller,
                                                     cseq_after(d->callee.cseq),
                                                     text[0] != 0 ? text : NULL, d->naming});
            if (c->own != NULL) {
                continue; /* there is only one side */
            }
            request_of_ours(c, &(struct own_request){"BYE", &c->caller, &d->callee,
                                                     cseq_after(c->caller.cseq), text, d->naming});
        }
    }
    call_end(c, c->is_answered ? 200 : 480, end_by);
    call_release(c);
}

void call_drop_answer(struct call *c, const struct leg *leg, const struct sip_msg *m,
                      const char *reason)
{
    struct side callee = {.cseq = 0};

    if (call_fill_callee(&callee, c, m, leg) != E_OK) {
        return; /* the next copy of the 2xx may find memory */
    }
    request_of_ours(c,
                    &(struct own_request){"ACK", &c->caller, &callee, m->cseq, NULL, leg->naming});
    if (!leg->is_final) { /* once; a further copy of the 2xx gets its ACK only */
        request_of_ours(c, &(struct own_request){"BYE", &c->caller, &callee, cseq_after(m->cseq),
                                                 reason, leg->naming});
    }
    side_fini(&callee);
}
