/* The edge of the trust domain: what may not cross it, by the rows of boundary_rules.c. */
#include "gc/boundary.h"

#include <stdio.h>
#include <string.h>

#include "authz/digest.h"
#include "gc/boundary_int.h"
#include "gc/context.h"
#include "gc/priority_gate.h"
#include "routing/snapshot.h"

_Static_assert((int)METER_BOUNDARY_BODY_OPAQUE - (int)METER_BOUNDARY_ASSERTED ==
                   (int)RULE_BODY_OPAQUE - (int)RULE_ASSERTED,
               "a counter for each rule, in the same order");

/* ---- sides -------------------------------------------------------------------------------------
 */
bool boundary_is_peer(const struct party *p)
{
    return p->kind == PARTY_GATEWAY || p->kind == PARTY_PS;
}

bool boundary_is_believed(const struct party *from)
{
    return boundary_is_peer(from) && !from->is_doubted;
}

bool boundary_is_inside(const struct party *to)
{
    return boundary_is_peer(to) && !to->is_outside;
}

bool boundary_is_psap(struct worker *w, const struct party *from)
{
    const struct snapshot *snap = worker_snapshot(w);
    size_t n = snap != NULL ? snapshot_all_routes(snap) : 0;

    if (from->kind != PARTY_GATEWAY) {
        return false;
    }
    for (size_t i = 0; from->trunk != 0 && i < n; i++) {
        const struct route *r = snapshot_route_at(snap, i);
        if (r->kind == ROUTE_EMERGENCY && r->trunk_id == from->trunk) {
            return true;
        }
    }
    return from->trunk == 0;
}

static enum boundary_class class_of(const struct sip_msg *m)
{
    return !m->is_request              ? CLASS_RESPONSE
           : m->to_tag.n > 0           ? CLASS_DIALOG
           : m->method == SIP_M_INVITE ? CLASS_SETUP
                                       : CLASS_OTHER;
}

static enum boundary_way way_in(const struct party *from)
{
    return boundary_is_believed(from) ? WAY_INSIDE_IN : WAY_OUTSIDE_IN;
}

/* ---- values ------------------------------------------------------------------------------------
 */
/* The next of "a;b,c". */
static bool next_level(struct view *rest, struct view *out)
{
    size_t at = 0;

    if (rest->n == 0) {
        return false;
    }
    while (at < rest->n && rest->p[at] != ';' && rest->p[at] != ',') {
        at++;
    }
    *out = view_trim(view_sub(*rest, 0, at));
    *rest = view_sub(*rest, at + 1, rest->n);
    return true;
}

bool boundary_wants(const struct sip_msg *m, struct view value)
{
    for (const struct sip_hdr *h = sip_header(m, SIP_H_PRIVACY, 0); h != NULL;
         h = sip_header(m, SIP_H_PRIVACY, sip_header_index(m, h) + 1)) {
        struct view rest = h->value, level;
        while (next_level(&rest, &level)) {
            if (view_eq_nocase(level, value)) {
                return true;
            }
        }
    }
    return false;
}

/* Of RFC 3323 and its extensions: what is hidden here. "header" and "session" would take an element
 * that stands in for the user agent in signalling and media. */
static bool is_given(struct view level)
{
    static const char *const given[] = {"id", "user", "history", "none", "critical", ""};

    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (view_eq_nocase(level, view_of(given[i]))) {
            return true;
        }
    }
    return false;
}

/* RFC 3323 section 5: the levels that cannot be given, for the reason phrase; false: none. */
static bool lacks_levels(const struct sip_msg *m, char *text, size_t text_bytes)
{
    struct sip_text t = {.p = text, .max = text_bytes - 1};
    bool any = false;

    for (const struct sip_hdr *h = sip_header(m, SIP_H_PRIVACY, 0); h != NULL;
         h = sip_header(m, SIP_H_PRIVACY, sip_header_index(m, h) + 1)) {
        struct view rest = h->value, level, token;
        while (next_level(&rest, &level)) {
            struct cursor c = cursor_over(level);
            if (!is_given(level)) {
                bool is_word = cur_token(&c, 24, &token) == E_OK && cur_done(&c);
                sip_text_add(&t, "%s", any ? ", " : "Privacy not available: ");
                sip_text_view(&t, is_word ? token : VIEW("?"));
                any = true;
            }
        }
    }
    text[t.bad ? 0 : t.n] = 0;
    return any;
}

/* RFC 3326: what a user agent can know of; preemption and STIR verdicts are the network's. */
static bool is_foreign(struct view reason)
{
    struct sip_list l = sip_list_over(reason);
    struct view one;

    while (sip_list_next(&l, &one)) {
        size_t semi = 0;
        if (view_find(one, ';', &semi)) {
            one = view_trim(view_sub(one, 0, semi));
        }
        if (!view_eq_nocase(one, VIEW("SIP")) && !view_eq_nocase(one, VIEW("Q.850"))) {
            return true;
        }
    }
    return false;
}

static bool is_service(struct view osps, enum boundary_act act)
{
    struct view v = view_trim(osps);

    return act == BLV ? view_eq_nocase(v, VIEW("BLV"))
                      : view_eq_nocase(v, VIEW("EI")) || view_eq_nocase(v, VIEW("RING"));
}

/* Verifying and breaking in is for trunks that lead to operators, not for each believed peer. */
static bool is_operator(struct worker *w, const struct party *from)
{
    const struct trunk *t = trunk_row(w, from->trunk);

    return boundary_is_believed(from) && t != NULL && t->is_operator;
}

bool boundary_is_blv(struct worker *w, const struct inbound *in)
{
    const struct sip_hdr *h = sip_header(in->m, SIP_H_P_DCS, 0) != NULL
                                  ? sip_header_named(in->m, VIEW("P-DCS-OSPS"))
                                  : NULL;

    return h != NULL && is_service(h->value, BLV) && is_operator(w, &in->proof.who);
}

/* RFC 5503 section 6.2: an operator breaks into a call that began as a verification, and rings back
 * whoever called him. */
static bool barges_here(const struct crossing *c, struct view osps)
{
    bool from_caller = false;
    const struct call *call = call_find(c->w, c->m, NULL, &from_caller);

    if (call == NULL || !is_service(osps, BARGES) || !is_operator(c->w, c->from)) {
        return false;
    }
    return view_eq_nocase(view_trim(osps), VIEW("EI")) ? call->is_blv && from_caller : !from_caller;
}

/* Proof is hop by hop: what was for us goes no further, and nothing that looks like ours passes. */
static bool is_ours(const struct worker *w, const struct sip_hdr *h)
{
    struct digest_auth a;

    return h->id == SIP_H_AUTHENTICATION_INFO || view_starts_nocase(h->value, VIEW("BTI-MAC")) ||
           (digest_is(h->value) && digest_parse(h->value, &a) == E_OK &&
            view_eq(a.realm, view_of(w->set->domain)));
}

/* ---- one header --------------------------------------------------------------------------------
 */
static bool goes_by(const struct crossing *c, enum boundary_act act, const struct sip_hdr *h)
{
    switch (act) {
    case REMOVE:
    case REFUSE:
        return true;
    case UNENTITLED:
        return !priority_passes(c->w, c->from, h->value);
    case PRIVATE:
        return boundary_wants(c->m, VIEW("id"));
    case USER:
    case USER_URIS:
        return boundary_wants(c->m, VIEW("user"));
    case NOT_PEER:
        return c->to == NULL || !boundary_is_peer(c->to);
    case FOREIGN:
        return is_foreign(h->value);
    case CALLS_BACK:
        return view_eq_nocase(view_trim(h->value), VIEW("psap-callback")) &&
               !boundary_is_psap(c->w, c->from);
    case BLV:
    case BARGES:
        return !is_service(h->value, act) || !is_operator(c->w, c->from);
    case OURS:
        return is_ours(c->w, h);
    case PASS:
    case CRITICAL:
    case URIS:
    case BODY:
        break;
    }
    return false;
}

bool boundary_goes(const struct crossing *c, enum boundary_rule_id rule, const struct sip_hdr *h)
{
    const struct boundary_rule *r = &boundary_rules[rule];

    return goes_by(c, (enum boundary_act)r->act[c->in][c->class], h) ||
           (c->is_out && goes_by(c, (enum boundary_act)r->act[WAY_OUT][c->class], h));
}

static bool acts(const struct crossing *c, enum boundary_rule_id rule, enum boundary_act act)
{
    const struct boundary_rule *r = &boundary_rules[rule];

    return r->act[c->in][c->class] == (uint8_t)act ||
           (c->is_out && r->act[WAY_OUT][c->class] == (uint8_t)act);
}

void boundary_count(struct worker *w, enum boundary_rule_id rule)
{
    const char *name = boundary_rule_name(rule);
    size_t n = strlen(w->crossed);

    if (rule == RULE_NONE || rule > RULE_BODY_OPAQUE) {
        return;
    }
    meter(w, (enum meter)((unsigned)METER_BOUNDARY_ASSERTED + (unsigned)rule - RULE_ASSERTED));
    if (strstr(w->crossed, name) == NULL && n + strlen(name) + 12 < sizeof w->crossed) {
        snprintf(w->crossed + n, sizeof w->crossed - n, "%s%s", n == 0 ? "taken out: " : ", ",
                 name);
    }
}

/* ---- what leaves -------------------------------------------------------------------------------
 */
/* That a trusted peer has an order of its own is for no ladder and no counter; who lies about one
 * from outside is. */
static void tell(const struct crossing *c, enum boundary_rule_id rule)
{
    if (rule != RULE_LAES || c->in != WAY_INSIDE_IN) {
        boundary_count(c->w, rule);
    }
}

void boundary_edit(struct worker *w, struct sip_edit *e, const struct party *from,
                   const struct party *to, bool tells_all, char room[SIP_MAX_BYTES])
{
    const struct sip_msg *m = e->m;
    struct crossing c = {.w = w,
                         .m = m,
                         .from = from,
                         .to = to,
                         .in = way_in(from),
                         .class = class_of(m),
                         .is_out = !tells_all && !boundary_is_inside(to)};
    struct sip_text text = {.p = room, .max = SIP_MAX_BYTES};

    w->crossed[0] = 0;
    for (unsigned i = 0; i < m->n_headers; i++) {
        const struct sip_hdr *h = &m->h[i];
        enum boundary_rule_id rule = boundary_rule_of((enum sip_hdr_id)h->id, h->name);
        if (rule == RULE_NONE) {
            continue;
        }
        if (boundary_goes(&c, rule, h)) {
            sip_edit_remove(e, h);
            tell(&c, rule);
        } else if (acts(&c, rule, URIS) || acts(&c, rule, USER_URIS)) {
            tell(&c, boundary_uris(&c, e, h, &text));
        } else if (acts(&c, rule, BODY)) {
            tell(&c, boundary_body(&c, e, &text));
        }
    }
}

/* ---- what is refused ---------------------------------------------------------------------------
 */
struct refusal {
    enum boundary_rule_id rule;
    unsigned status;
    struct view extra;
    char reason[96], room[PRIORITY_LINE_MAX];
};

static void refuse_body(const struct crossing *c, struct refusal *r)
{
    enum boundary_rule_id rule = boundary_body(c, NULL, NULL);

    if (rule == RULE_BODY_SIGNALLING || rule == RULE_BODY_OPAQUE) {
        r->rule = rule;
        r->status = 415;
        r->extra = VIEW("Accept: application/sdp\r\n");
    }
}

static void look_at(const struct crossing *c, const struct sip_hdr *h, struct refusal *r)
{
    enum boundary_rule_id rule = boundary_rule_of((enum sip_hdr_id)h->id, h->name);
    enum boundary_act act = (enum boundary_act)boundary_rules[rule].act[c->in][c->class];

    switch (act) {
    case REFUSE:
        r->status = 403;
        break;
    case BLV:
        r->status = is_service(h->value, BLV) && is_operator(c->w, c->from) ? 0 : 403;
        break;
    case BARGES:
        r->status = barges_here(c, h->value) ? 0 : 403;
        break;
    case UNENTITLED:
        r->status = priority_status(c->w, c->m, c->from, r->room, &r->extra);
        break;
    case CRITICAL:
        r->status = boundary_wants(c->m, VIEW("critical")) &&
                            lacks_levels(c->m, r->reason, sizeof r->reason)
                        ? 500
                        : 0;
        break;
    case URIS:
        rule = boundary_uris(c, NULL, h, NULL);
        r->status = rule == RULE_URI_ODD ? 400 : 0;
        break;
    case BODY:
        refuse_body(c, r);
        return;
    case PASS:
    case REMOVE:
    case PRIVATE:
    case USER:
    case USER_URIS:
    case NOT_PEER:
    case FOREIGN:
    case CALLS_BACK:
    case OURS:
        return;
    }
    r->rule = rule;
}

bool boundary_check(struct worker *w, const struct inbound *in, bool is_emergency)
{
    const struct sip_msg *m = in->m;
    struct crossing c = {
        .w = w, .m = m, .from = &in->proof.who, .in = way_in(&in->proof.who), .class = class_of(m)};
    struct refusal r = {.status = 0};
    bool from_caller = false;
    char note[64];

    if (is_emergency || in->proof.class == PROOF_UNKNOWN || m->method == SIP_M_ACK) {
        return true;
    }
    for (unsigned i = 0; i < m->n_headers && r.status == 0; i++) {
        look_at(&c, &m->h[i], &r);
    }
    if (r.status == 0) {
        return true;
    }
    w->crossed[0] = 0;
    boundary_count(w, r.rule);
    snprintf(note, sizeof note, "refused: %s", boundary_rule_name(r.rule));
    LOG(LV_INFO, "boundary.refused", KV("rule", boundary_rule_name(r.rule)), KV("status", r.status),
        KV("method", m->method_text), KV("line", in->proof.who.line), KV("call_id", m->call_id));
    call_trace_in(call_find(w, m, NULL, &from_caller), in, note);
    answer(w, in, r.status, r.reason[0] != 0 ? r.reason : NULL, r.extra);
    return false;
}
