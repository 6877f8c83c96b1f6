/* The way of a request: proof, transaction, RFC 3261 section 16.3, then to the file that knows its
 * kind. */
#include <stdio.h>
#include <string.h>

#include "gc/boundary.h"
#include "gc/context.h"
#include "signaling/sip_osip.h"

bool dialled_keys(const struct worker *w, struct view uri, char *dst, size_t dst_bytes)
{
    char digits[SIP_MAX_URI + 8];
    struct view context = {0};
    struct sip_uri u;

    if (sip_uri_parse(uri, &u) != E_OK) {
        return false;
    }
    if (u.scheme == SIP_SCHEME_URN) {
        return view_to_cstr(uri, dst, dst_bytes) == E_OK;
    }
    (void)sip_uri_phone_context(&u, &context);
    return u.user.n > 0 && sip_uri_digits(&u, digits, sizeof digits) == E_OK &&
           dialplan_keys(&w->plan->dialplan, view_of(digits), context, view_of(w->set->domain), dst,
                         dst_bytes) == E_OK;
}

struct dialled dialled_of(const struct worker *w, struct view uri)
{
    char keys[SIP_MAX_URI + 8];

    return dialled_keys(w, uri, keys, sizeof keys)
               ? dialplan_classify(&w->plan->dialplan, view_of(keys))
               : (struct dialled){.class = DIAL_INVALID};
}

/* ---- RFC 3261 section 16.3 ---------------------------------------------------------------------
 */
static bool is_ours(const struct worker *w, struct view tag)
{
    return w->plan->priority.is_on && view_eq_nocase(tag, VIEW("resource-priority"));
}

/* Option tags in Require or Proxy-Require: we know but one. Listed back in Unsupported. */
bool check_extensions(struct worker *w, const struct inbound *in, enum sip_hdr_id id)
{
    char line[512];
    struct sip_text t = {.p = line, .max = sizeof line};
    const struct sip_hdr *h = sip_header(in->m, id, 0);
    bool any = false;

    for (; h != NULL; h = sip_header(in->m, id, sip_header_index(in->m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view tag;
        while (sip_list_next(&l, &tag)) {
            struct cursor c = cursor_over(tag);
            struct view token;
            if (cur_token(&c, 64, &token) == E_OK && cur_done(&c) && !is_ours(w, token)) {
                sip_text_add(&t, any ? ", " : "Unsupported: ");
                sip_text_view(&t, token);
                any = true;
            }
        }
    }
    if (any) {
        sip_text_add(&t, "\r\n");
        answer(w, in, 420, NULL, t.bad ? VIEW("") : view_from(line, t.n));
    }
    return !any;
}

static bool needs_second_reading(enum sip_method m)
{
    switch ((int)m) {
    case SIP_M_INVITE:
    case SIP_M_REGISTER:
    case SIP_M_UPDATE:
    case SIP_M_REFER:
    case SIP_M_SUBSCRIBE:
    case SIP_M_NOTIFY:
    case SIP_M_PUBLISH:
        return true;
    default:
        return false;
    }
}

bool check_request(struct worker *w, const struct inbound *in, bool is_emergency)
{
    struct view hops = sip_header_value(in->m, SIP_H_MAX_FORWARDS);
    struct sip_uri uri;
    const char *why = "";
    uint64_t left = 70;
    enum err e = sip_uri_parse(in->m->uri, &uri);

    if (e != E_OK) {
        answer(w, in, e == E_NOTFOUND ? 416 : 400, e == E_NOTFOUND ? NULL : "Bad Request-URI",
               VIEW(""));
        return false;
    }
    if (hops.n > 0 && view_to_u64(hops, 255, &left) == E_OK && left == 0 &&
        !(in->m->method == SIP_M_OPTIONS && in->m->to_tag.n == 0)) { /* we answer that ourselves */
        answer(w, in, 483, NULL, VIEW(""));
        return false;
    }
    if (is_loop(w, in->m)) {
        answer(w, in, 482, NULL, VIEW(""));
        return false;
    }
    if (!is_emergency && !check_extensions(w, in, SIP_H_PROXY_REQUIRE)) {
        return false;
    }
    if (needs_second_reading(in->m->method) && sip_osip_check(in->m, &why) != E_OK) {
        meter(w, METER_DISAGREE);
        answer(w, in, 400, why, VIEW(""));
        return false;
    }
    return true;
}

bool check_line_rate(struct worker *w, const struct inbound *in, bool is_emergency)
{
    if (is_emergency || in->proof.class != PROOF_PROVEN || in->m->method == SIP_M_BYE ||
        limits_take_line(w->ws->limits, in->proof.who.line, loop_now_ms(w->loop))) {
        return true;
    }
    meter(w, METER_LINE_LIMITED);
    answer_busy(w, in);
    return false;
}

/* ---- dispatch ----------------------------------------------------------------------------------
 */
static bool takes_strangers(enum dial_class class)
{
    return class == DIAL_EMERGENCY || class == DIAL_PROVISIONING;
}

static void drop_replay(struct worker *w, const struct inbound *in)
{
    char source[NET_TEXT_MAX];
    bool from_caller = false;
    struct call *c = call_find(w, in->m, NULL, &from_caller);

    meter(w, METER_REPLAYS);
    net_text(&in->flow.remote, source);
    LOG(LV_WARN, "auth.replay", KV("source", (const char *)source),
        KV("method", in->m->method_text), KV("call_id", in->m->call_id),
        KV("line", in->proof.who.line));
    call_trace_in(c, in, "dropped: replay");
}

/* A phone that uses a nonce count twice learns that it needs a new nonce (RFC 7616 section 3.3). */
void ask_again(struct worker *w, const struct inbound *in)
{
    struct inbound again = *in;

    meter(w, METER_REPLAYS);
    again.proof = (struct proof){.class = PROOF_UNKNOWN, .is_bad = true, .is_stale = true};
    challenge(w, &again);
}

/* An INVITE that was answered and acknowledged is never sent again by an honest caller. */
static bool is_late_copy(struct worker *w, const struct inbound *in)
{
    const struct ctx *c =
        in->m->method == SIP_M_INVITE ? ctx_of_fingerprint(w, in->fingerprint) : NULL;

    return in->proof.is_repeat && c != NULL && c->is_acked;
}

/* Proof comes before everything else (RFC 3261 section 22): whoever has none learns nothing of our
 * dialogs. */
void no_dialog(struct worker *w, const struct inbound *in)
{
    if (in->proof.class == PROOF_UNKNOWN) {
        challenge(w, in);
    } else {
        answer(w, in, 481, NULL, VIEW(""));
    }
}

/* OPTIONS to us, and those that end here (RFC 3261 sections 11 and 16.3 step 3). */
static bool is_our_options(const struct worker *w, const struct sip_msg *m)
{
    uint64_t left = 70;
    struct sip_uri uri;

    return (view_to_u64(sip_header_value(m, SIP_H_MAX_FORWARDS), 255, &left) == E_OK &&
            left == 0) ||
           (sip_uri_parse(m->uri, &uri) == E_OK && uri.user.n == 0 && worker_is_us(w, &uri));
}

static void alone_in(struct worker *w, const struct inbound *in)
{
    switch ((int)in->m->method) {
    case SIP_M_INVITE:
        setup_in(w, in);
        break;
    case SIP_M_REGISTER:
        register_in(w, in);
        break;
    case SIP_M_BYE:
    case SIP_M_PRACK:
    case SIP_M_UPDATE:
        no_dialog(w, in);
        break;
    case SIP_M_OPTIONS:
        if (is_our_options(w, in->m)) {
            options_in(w, in);
            break;
        }
        page_in(w, in);
        break;
    default:
        page_in(w, in);
        break;
    }
}

/* The transaction layer's word; false: done with it. */
static bool is_new(struct worker *w, struct inbound *in, bool takes_anyone,
                   struct sip_stxn **invite, enum txn_verdict *verdict)
{
    bool is_repeat = in->proof.class == PROOF_PROVEN && in->proof.is_repeat;
    enum err e = E_OK;

    *verdict = TXN_ABSORBED;
    if (is_late_copy(w, in)) {
        e = FAIL(E_REPLAY);
    } else {
        e = sip_txn_request(w->txns, in->m, &in->flow, in->fingerprint, is_repeat, verdict, invite);
    }
    if (e == E_REPLAY && takes_anyone) {
        /* A cry for help, or the 611 call of a BTI that lost count: no proof, and none needed. */
        in->proof.class = PROOF_UNKNOWN;
        in->proof.who = (struct party){.kind = PARTY_STRANGER, .ip = in->flow.remote};
        e = sip_txn_request(w->txns, in->m, &in->flow, in->fingerprint, false, verdict, invite);
    }
    if (e == E_REPLAY && in->proof.who.kind == PARTY_PHONE) {
        ask_again(w, in);
    } else if (e == E_REPLAY) {
        drop_replay(w, in);
    }
    return e == E_OK && *verdict != TXN_ABSORBED;
}

void request_in(struct worker *w, struct inbound *in)
{
    struct sip_stxn *invite = NULL;
    enum txn_verdict verdict = TXN_ABSORBED;
    bool is_setup = in->m->method == SIP_M_INVITE && in->m->to_tag.n == 0;
    enum dial_class class = is_setup ? dialled_of(w, in->m->uri).class : DIAL_INVALID;
    bool takes_anyone = is_setup && takes_strangers(class);

    if (in->m->method == SIP_M_ACK) {
        ack_in(w, in);
        return;
    }
    if (in->m->to_tag.n > 0 && in->m->method != SIP_M_CANCEL && in->m->method != SIP_M_REGISTER) {
        dialog_request_in(w, in);
        return;
    }
    if (in->proof.is_bad && in->m->method != SIP_M_CANCEL && !takes_anyone) {
        challenge(w, in);
        return;
    }
    if (!is_new(w, in, takes_anyone, &invite, &verdict)) {
        return;
    }
    if (verdict == TXN_CANCEL) {
        cancel_in(w, in, invite);
    } else if (check_line_rate(w, in, class == DIAL_EMERGENCY) &&
               check_request(w, in, class == DIAL_EMERGENCY) &&
               boundary_check(w, in, class == DIAL_EMERGENCY)) {
        alone_in(w, in);
    }
}
