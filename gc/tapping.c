/* From what a worker knows to records of the tap. */
#include "gc/tapping.h"

#include "gc/context.h"
#include "lawful_intercept/tap.h"

static struct tap_record record_of(const struct worker *w, enum tap_kind kind,
                                   const struct party *who, const struct sip_flow *flow)
{
    static const enum tap_party kinds[] = {[PARTY_STRANGER] = TAP_STRANGER,
                                           [PARTY_BTI] = TAP_LINE,
                                           [PARTY_PHONE] = TAP_LINE,
                                           [PARTY_GATEWAY] = TAP_GATEWAY,
                                           [PARTY_PS] = TAP_SERVER};

    return (struct tap_record){.kind = kind,
                               .party = kinds[who->kind],
                               .is_proven = who->kind != PARTY_STRANGER,
                               .line = is_line(who) ? who->line : 0,
                               .trunk = who->kind == PARTY_GATEWAY ? who->trunk : 0,
                               .at_us = worker_now_us(w),
                               .local = flow->local,
                               .remote = flow->remote};
}

static const struct party *if_is(const struct party *p, const struct inbound *in)
{
    return is_party(p, &in->proof, &in->flow) ? p : NULL;
}

/* Whose message it is: who proved it; or the end of the call that need not prove what it sends
 * (docs/protocol.md section 18: answers, ACK and CANCEL of phones). NULL: nobody that we know. */
static const struct party *sender_of(const struct call *call, const struct inbound *in)
{
    bool has_caller_tag = call != NULL && view_eq(in->m->from_tag, view_of(call->caller.tag));
    const struct party *who = NULL;

    if (in->proof.class != PROOF_UNKNOWN) {
        return &in->proof.who;
    }
    if (call == NULL || in->m->is_request == has_caller_tag) {
        return call != NULL ? if_is(&call->caller.who, in) : NULL;
    }
    for (struct hlink *p = call->dialogs; p != NULL && who == NULL; p = p->next) {
        who = if_is(&HLIST_OF(p, struct dialog, in_call)->callee.who, in);
    }
    for (struct hlink *p = call->setup != NULL ? call->setup->legs : NULL; p != NULL && who == NULL;
         p = p->next) {
        who = if_is(&HLIST_OF(p, struct leg, in_ctx)->who, in);
    }
    return who;
}

void tapped_in(struct worker *w, const struct call *call, const struct inbound *in)
{
    const struct party *who = sender_of(call, in);
    struct tap_record r =
        record_of(w, TAP_MESSAGE_IN, who != NULL ? who : &in->proof.who, &in->flow);

    r.is_proven = who != NULL;
    r.text[0] = call != NULL ? view_of(call->id) : VIEW("");
    r.text[1] = in->m->raw;
    tap_write(w->tap, &r);
}

void tapped_answer(struct worker *w, const struct party *who, const struct inbound *in)
{
    struct tap_record r = record_of(w, TAP_MESSAGE_IN, who, &in->flow);

    r.is_proven = true;
    r.text[1] = in->m->raw;
    tap_write(w->tap, &r);
}

void tapped_out(struct worker *w, const struct call *call, const struct sip_flow *to,
                const struct party *who, struct view raw)
{
    struct tap_record r = record_of(w, TAP_MESSAGE_OUT, who, to);

    r.text[0] = call != NULL ? view_of(call->id) : VIEW("");
    r.text[1] = raw;
    tap_write(w->tap, &r);
}

void tapped_begin(const struct call *call)
{
    const struct side *a = &call->caller;
    struct tap_record r = record_of(call->w, TAP_CALL_BEGIN, &a->who, &a->flow);

    r.is_emergency = call->is_emergency;
    r.text[0] = view_of(call->id);
    r.text[1] = view_of(call->call_id);
    r.text[2] = view_of(call->caller_text);
    r.text[3] = view_of(call->called);
    tap_write(call->w->tap, &r);
}

void tapped_route(const struct call *call, const struct party *to, struct view routed)
{
    const struct sip_flow none = {.local = {.family = 0}};
    struct tap_record r = record_of(call->w, TAP_CALL_ROUTE, to, &none);

    r.text[0] = view_of(call->id);
    r.text[1] = routed;
    r.text[2] = view_of(call->route);
    tap_write(call->w->tap, &r);
}

void tapped_end(const struct call *call, unsigned status, const char *end_by)
{
    const struct side *a = &call->caller;
    struct tap_record r = record_of(call->w, TAP_CALL_END, &a->who, &a->flow);

    r.status = (uint16_t)status;
    r.text[0] = view_of(call->id);
    r.text[1] = view_of(end_by);
    tap_write(call->w->tap, &r);
}

void tapped_refused(struct worker *w, const struct inbound *in, struct view caller,
                    struct view called)
{
    struct tap_record r = record_of(w, TAP_CALL_BEGIN, &in->proof.who, &in->flow);
    char id[TRACE_ID_MAX];
    uint64_t number = worker_hash(w, in->m->call_id) ^ w->draws ^ r.at_us;

    r.is_proven = in->proof.class != PROOF_UNKNOWN;
    hex_put(&number, sizeof number, id);
    r.text[0] = view_of(id);
    r.text[1] = in->m->call_id;
    r.text[2] = caller;
    r.text[3] = called;
    tap_write(w->tap, &r);
    r.kind = TAP_MESSAGE_IN;
    r.text[1] = in->m->raw;
    r.text[2] = r.text[3] = VIEW("");
    tap_write(w->tap, &r);
    r.kind = TAP_CALL_END;
    r.text[1] = VIEW("gate");
    tap_write(w->tap, &r);
}
