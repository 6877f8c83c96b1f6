/* What is told of a call to those whose orders concern it: docs/lawful-intercept.md has the table.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

/* ---- parties -----------------------------------------------------------------------------------
 */
struct party_texts { /* what a struct cdc_party points into */
    char digits[16], ip[NET_TEXT_MAX], port[8], trunk[24];
};

static bool is_e164(struct view v)
{
    return v.n > 1 && v.n <= 16 && v.p[0] == '+';
}

static struct cdc_party party_of_number(struct view number, struct party_texts *t)
{
    struct cdc_party p = {0};

    if (is_e164(number)) {
        p.dn = cdc_visible(view_sub(number, 1, number.n), sizeof t->digits - 1, t->digits);
    } else if (number.n > 0) {
        p.user_provided = cdc_visible(number, sizeof t->digits - 1, t->digits);
    }
    return p;
}

static struct cdc_party party_of(const struct li_side_state *s, struct party_texts *t)
{
    struct cdc_party p = party_of_number(view_of(s->number), t);

    if (s->remote.family != 0) {
        net_ip_text(&s->remote, t->ip);
        snprintf(t->port, sizeof t->port, "%u", (unsigned)s->remote.port);
        p.ip_address = view_of(t->ip);
        p.port = view_of(t->port);
    }
    if (s->trunk != 0) {
        snprintf(t->trunk, sizeof t->trunk, "%llu", (unsigned long long)s->trunk);
        p.trunk_id = view_of(t->trunk);
    }
    return p;
}

/* ---- telling -----------------------------------------------------------------------------------
 */
static struct cdc_message message_of(const struct li_calls *c, const struct li_call *call,
                                     const struct li_order *o, enum cdc_kind kind)
{
    struct cdc_message m = {.version = o->version,
                            .kind = kind,
                            .case_id = view_of(o->case_id),
                            .element = view_of(c->element),
                            .at_us = c->now_us};

    if (call != NULL) {
        m.call.sequence = view_of(call->sequence);
        m.call.system = view_of(c->element);
    }
    return m;
}

static void tell(struct li_calls *c, const struct li_order *o, const struct cdc_message *m)
{
    if (!c->silent && cdc_has(m->version, m->kind)) {
        c->told++;
        c->cfg.sink.call_data(c->cfg.sink.arg, o, m);
    }
}

static bool has_content(const struct li_order *o)
{
    return o->type == LI_CONTENT;
}

static bool covers(const struct li_order *o, enum li_role role)
{
    return role == LI_ORIGINATES ? (o->type & LI_PEN_REGISTER) != 0
                                 : (o->type & LI_TRAP_AND_TRACE) != 0;
}

/* The order of a leg while it runs; NULL: it is over, or was taken back. */
static const struct li_order *order_of(const struct li_calls *c, const struct li_leg *leg)
{
    struct li_orders all = {c->order, c->n_orders};
    const struct li_order *o = li_order_find(&all, leg->order);

    return o != NULL && li_order_runs(o, c->now_us) ? o : NULL;
}

static enum li_side side_of(const struct li_leg *leg)
{
    return leg->role == LI_ORIGINATES ? LI_CALLER : LI_CALLEE;
}

/* The number of a content stream: of this order and call alone, and the same at a second reading.
 */
static void name_content(const struct li_calls *c, const struct li_call *call, struct li_leg *leg)
{
    uint8_t hash[SHA256_BYTES] = {0};
    char text[80];

    snprintf(text, sizeof text, "content %llu %s %d", (unsigned long long)leg->order, call->id,
             (int)leg->role);
    IGNORE(hmac_sha256(c->key, view_of(text), hash), "then it is 0, and the call id tells");
    snprintf(leg->content, sizeof leg->content, "%02X%02X%02X%02X", hash[0], hash[1], hash[2],
             hash[3]);
}

static bool has_leg(const struct li_call *call, uint64_t order, enum li_role role)
{
    for (unsigned i = 0; i < call->n_legs; i++) {
        if (call->leg[i].order == order && call->leg[i].role == role) {
            return true;
        }
    }
    return false;
}

/* NULL: no room, or it has one. */
static struct li_leg *add_leg(const struct li_calls *c, struct li_call *call,
                              const struct li_order *o, enum li_role role)
{
    struct li_leg *leg = NULL;

    if (call->n_legs == LI_LEGS_MAX || has_leg(call, o->id, role)) {
        return NULL;
    }
    leg = &call->leg[call->n_legs++];
    *leg = (struct li_leg){.order = o->id, .role = role};
    name_content(c, call, leg);
    return leg;
}

/* ---- beginnings --------------------------------------------------------------------------------
 */
static void say_origination(struct li_calls *c, const struct li_call *call,
                            const struct li_order *o)
{
    struct cdc_message m = message_of(c, call, o, CDC_ORIGINATION);
    struct party_texts from, to;
    char dialled[33];

    m.calling = party_of(&call->side[LI_CALLER], &from);
    m.called = party_of_number(view_of(call->called), &to);
    m.user_input = cdc_visible(view_of(call->called), sizeof dialled - 1, dialled);
    if (m.user_input.n == 0) {
        m.user_input = VIEW("-");
    }
    tell(c, o, &m);
}

static void say_feature_code(struct li_calls *c, const struct li_call *call,
                             const struct li_order *o)
{
    struct cdc_message m = message_of(c, call, o, CDC_SUBJECT_SIGNAL);
    struct party_texts from;
    char dialled[33];

    m.signal.dialed = cdc_visible(view_of(call->called), sizeof dialled - 1, dialled);
    m.signaled = party_of(&call->side[LI_CALLER], &from);
    tell(c, o, &m);
    m = message_of(c, call, o, CDC_SERVICE_INSTANCE);
    m.service = cdc_visible(view_of(call->called), sizeof dialled - 1, dialled);
    m.calling = party_of(&call->side[LI_CALLER], &from);
    tell(c, o, &m);
}

void li_say_begin(struct li_calls *c, struct li_call *call)
{
    const struct li_side_state *caller = &call->side[LI_CALLER];

    for (size_t i = 0; i < c->n_orders; i++) {
        const struct li_order *o = &c->order[i];
        if (!li_order_runs(o, c->now_us) || !covers(o, LI_ORIGINATES) ||
            !li_order_is_of(o, caller->line, view_of(caller->number)) ||
            add_leg(c, call, o, LI_ORIGINATES) == NULL) {
            continue;
        }
        say_origination(c, call, o);
        if (call->called[0] == '*') {
            say_feature_code(c, call, o);
        }
    }
}

static void say_attempt(struct li_calls *c, const struct li_call *call, const struct li_order *o,
                        const struct li_side_state *before)
{
    struct cdc_message m = message_of(c, call, o, CDC_TERMINATION_ATTEMPT);
    struct party_texts from, to, last, original;

    m.calling = party_of(&call->side[LI_CALLER], &from);
    m.called = party_of(&call->side[LI_CALLEE], &to);
    if (before != NULL) {
        m.redirected.last = party_of(before, &last);
        m.redirected.original = party_of_number(view_of(call->called), &original);
        m.redirected.times = call->redirections < 100 ? call->redirections : 100;
    }
    tell(c, o, &m);
}

static void say_redirection(struct li_calls *c, const struct li_call *call,
                            const struct li_order *o, const struct li_side_state *before)
{
    struct cdc_message m = message_of(c, call, o, CDC_REDIRECTION);
    struct party_texts to, from;

    m.redirected_to = party_of(&call->side[LI_CALLEE], &to);
    m.redirected_from = party_of(before, &from);
    tell(c, o, &m);
}

void li_say_route(struct li_calls *c, struct li_call *call, const struct li_side_state *before)
{
    const struct li_side_state *callee = &call->side[LI_CALLEE];

    for (unsigned i = 0; before != NULL && i < call->n_legs; i++) {
        const struct li_order *o = order_of(c, &call->leg[i]);
        if (o != NULL) {
            say_redirection(c, call, o, before);
        }
    }
    for (size_t i = 0; i < c->n_orders; i++) {
        const struct li_order *o = &c->order[i];
        if (li_order_runs(o, c->now_us) && covers(o, LI_TERMINATES) &&
            li_order_is_of(o, callee->line, view_of(callee->number)) &&
            add_leg(c, call, o, LI_TERMINATES) != NULL) {
            say_attempt(c, call, o, before);
        }
    }
}

/* ---- media -------------------------------------------------------------------------------------
 */
static void keep_sdp(struct li_side_state *s, struct view sdp, bool *changed)
{
    char *copy = NULL;

    if (sdp.n == 0 || sdp.n > CDC_SDP_MAX || !cdc_is_text(sdp) ||
        (s->sdp != NULL && view_eq(view_from(s->sdp, s->sdp_n), sdp))) {
        return;
    }
    copy = mem_zalloc(sdp.n);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, sdp.p, sdp.n);
    if (s->sdp != NULL) {
        wipe(s->sdp, s->sdp_n);
    }
    mem_free(s->sdp);
    s->sdp = copy;
    s->sdp_n = sdp.n;
    *changed = true;
}

struct media { /* the two session descriptions as an order may have them */
    char *octets[LI_SIDES];
    struct view sdp[LI_SIDES];
};

static void media_of(const struct li_call *call, const struct li_order *o, struct media *out)
{
    *out = (struct media){{NULL}, {{0}}};
    for (unsigned i = 0; i < LI_SIDES; i++) {
        const struct li_side_state *s = &call->side[i];
        if (s->sdp == NULL) {
            continue;
        }
        if (has_content(o)) {
            out->sdp[i] = view_from(s->sdp, s->sdp_n);
            continue;
        }
        out->octets[i] = mem_zalloc(s->sdp_n);
        if (out->octets[i] != NULL) {
            out->sdp[i] = view_from(
                out->octets[i], li_sdp_without_keys(view_from(s->sdp, s->sdp_n), out->octets[i]));
        }
    }
}

static void media_fini(struct media *m)
{
    mem_free(m->octets[0]);
    mem_free(m->octets[1]);
}

static void fill_media(struct cdc_message *m, const struct media *media, const struct li_leg *leg)
{
    enum li_side subject = side_of(leg);

    m->subject = media->sdp[subject];
    m->associate = media->sdp[subject == LI_CALLER ? LI_CALLEE : LI_CALLER];
}

/* CCOpen once both ends are known and the call is answered; CCChange when something is another. For
 * orders without content, and before the answer, MediaReport. */
static void say_media(struct li_calls *c, struct li_call *call, struct li_leg *leg)
{
    const struct li_order *o = order_of(c, leg);
    struct cdc_message m;
    struct media media;

    if (o == NULL) {
        return;
    }
    media_of(call, o, &media);
    if (!has_content(o) || (!leg->is_open && !call->is_answered)) {
        m = message_of(c, call, o, CDC_MEDIA_REPORT);
    } else if (leg->is_open) {
        m = message_of(c, call, o, CDC_CCCHANGE);
        m.resource = CDC_COMMITTED;
    } else {
        m = message_of(c, call, o, CDC_CCOPEN);
        m.n_open = 1;
        m.open[0] = m.call;
        leg->is_open = true;
    }
    m.content.both = view_of(leg->content);
    m.flow = CDC_BOTH;
    fill_media(&m, &media, leg);
    tell(c, o, &m);
    media_fini(&media);
}

static void media_changed(struct li_calls *c, struct li_call *call)
{
    for (unsigned i = 0; i < call->n_legs; i++) {
        say_media(c, call, &call->leg[i]);
    }
}

/* ---- answers and signals -----------------------------------------------------------------------
 */
static void say_answer(struct li_calls *c, struct li_call *call)
{
    struct party_texts who;

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = order_of(c, &call->leg[i]);
        if (o != NULL) {
            struct cdc_message m = message_of(c, call, o, CDC_ANSWER);
            m.answering = party_of(&call->side[LI_CALLEE], &who);
            tell(c, o, &m);
        }
    }
}

/* What the network lets the subject hear. */
static void say_signal(struct li_calls *c, const struct li_call *call, enum li_role role,
                       uint32_t alerting, uint32_t audible)
{
    struct party_texts who;

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_leg *leg = &call->leg[i];
        const struct li_order *o = order_of(c, leg);
        if (o != NULL && leg->role == role) {
            struct cdc_message m = message_of(c, call, o, CDC_NETWORK_SIGNAL);
            m.alerting = alerting;
            m.audible = audible;
            m.signaled = party_of(&call->side[side_of(leg)], &who);
            tell(c, o, &m);
        }
    }
}

static void on_answer(struct li_calls *c, struct li_call *call, bool changed)
{
    if (call->is_answered) {
        if (changed) {
            media_changed(c, call);
        }
        return;
    }
    call->is_answered = true;
    say_answer(c, call);
    media_changed(c, call);
}

static void on_invite_response(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                               const struct li_message *m, enum li_side side, bool changed)
{
    bool is_first = !call->has_invite || m->cseq == call->invite_cseq;
    bool is_in = r->kind == TAP_MESSAGE_IN;

    if (m->status >= 200 && m->status < 300) {
        on_answer(c, call, changed);
    } else if (is_first && !call->is_answered && m->status >= 300 && !is_in && side == LI_CALLER) {
        if (m->status != 487) { /* who gave up hears nothing */
            say_signal(c, call, LI_ORIGINATES, 0,
                       m->status == 486 || m->status == 600 ? CDC_BUSY : CDC_REORDER);
        }
    } else if (is_first && !call->is_answered && m->status > 100 && m->status < 200 && is_in) {
        if (changed) {
            media_changed(c, call);
        }
        if (m->status == 180) {
            say_signal(c, call, LI_ORIGINATES, 0, CDC_RINGBACK);
            say_signal(c, call, LI_TERMINATES, CDC_RINGING, 0);
        }
    }
}

/* Signal=5 (application/dtmf-relay), or the digit alone (application/dtmf). */
static struct view dtmf_of(const struct li_message *m, char out[2])
{
    size_t at = 0;
    struct view body = m->body;

    if (!view_starts_nocase(m->content_type, VIEW("application/dtmf"))) {
        return VIEW("");
    }
    if (view_find(body, '=', &at)) {
        body = view_sub(body, at + 1, body.n);
    }
    body = view_trim(body);
    if (body.n == 0 || body.p[0] == 0 || strchr("0123456789*#ABCD", body.p[0]) == NULL) {
        return VIEW("");
    }
    out[0] = body.p[0];
    out[1] = 0;
    return view_from(out, 1);
}

/* What the subject itself signals in a call: REFER, INFO. */
static void say_subject_signal(struct li_calls *c, const struct li_call *call, enum li_side side,
                               const struct li_message *m)
{
    char text[129], digit[2];
    struct party_texts who;
    struct view digits = dtmf_of(m, digit);

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = order_of(c, &call->leg[i]);
        struct cdc_message say;
        if (o == NULL || side_of(&call->leg[i]) != side) {
            continue;
        }
        if (digits.n > 0) { /* content, but for orders that have it or ask for digits */
            if (o->wants_digits) {
                say = message_of(c, call, o, CDC_DIALED_DIGITS);
                say.digits = digits;
                tell(c, o, &say);
            }
            continue;
        }
        say = message_of(c, call, o, CDC_SUBJECT_SIGNAL);
        say.signal.other = cdc_visible(m->method, sizeof text - 1, text);
        if (m->refer_to.n > 0) {
            char whole[160];
            snprintf(whole, sizeof whole, "REFER %.*s",
                     m->refer_to.n < 140 ? (int)m->refer_to.n : 140, m->refer_to.p);
            say.signal.other = cdc_visible(view_of(whole), sizeof text - 1, text);
        }
        say.signaled = party_of(&call->side[side], &who);
        tell(c, o, &say);
    }
}

void li_say_message(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                    const struct li_message *m, enum li_side side)
{
    bool changed = false;
    bool is_out = r->kind == TAP_MESSAGE_OUT;

    if (!is_out) {
        keep_sdp(&call->side[side], li_message_sdp(m), &changed);
    } else if (!call->is_answered && m->status >= 200 && m->status < 300 && side == LI_CALLER) {
        keep_sdp(&call->side[LI_CALLEE], li_message_sdp(m), &changed); /* the gate's own answer */
    }
    if (m->is_request) {
        call->is_offered = call->is_offered || (call->is_answered && changed);
        if (view_eq(m->method, VIEW("INVITE")) && !call->has_invite) {
            call->has_invite = true;
            call->invite_cseq = m->cseq;
        } else if (view_eq(m->method, VIEW("REFER")) || view_eq(m->method, VIEW("INFO"))) {
            say_subject_signal(c, call, side, m);
        } else if (view_eq(m->method, VIEW("ACK")) && changed) {
            call->is_offered = false;
            media_changed(c, call);
        }
        return;
    }
    if (m->status >= 200 && m->status < 300 && call->is_offered &&
        (view_eq(m->method, VIEW("INVITE")) || view_eq(m->method, VIEW("UPDATE")))) {
        call->is_offered =
            false; /* an answer that says what it said before changes the media too */
        changed = true;
    }
    if (view_eq(m->method, VIEW("INVITE"))) {
        on_invite_response(c, call, r, m, side, changed);
    } else if (view_eq(m->method, VIEW("UPDATE")) && m->status >= 200 && m->status < 300 &&
               changed) {
        media_changed(c, call);
    }
}

/* ---- ends --------------------------------------------------------------------------------------
 */
static void say_close(struct li_calls *c, const struct li_call *call, struct li_leg *leg,
                      const struct li_order *o)
{
    struct cdc_message m = message_of(c, call, o, CDC_CCCLOSE);

    if (leg->is_open) {
        m.content.both = view_of(leg->content);
        m.flow = CDC_BOTH;
        tell(c, o, &m);
        leg->is_open = false;
    }
}

void li_say_end(struct li_calls *c, struct li_call *call)
{
    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = order_of(c, &call->leg[i]);
        if (o != NULL) {
            struct cdc_message m = message_of(c, call, o, CDC_RELEASE);
            say_close(c, call, &call->leg[i], o);
            tell(c, o, &m);
        }
    }
}

/* ---- orders that begin or end within a call ----------------------------------------------------
 */
static void say_joined(struct li_calls *c, struct li_call *call, const struct li_order *o,
                       enum li_role role)
{
    struct li_leg *leg = add_leg(c, call, o, role);
    struct cdc_message m;
    struct party_texts from, to;

    if (leg == NULL) {
        return;
    }
    m = message_of(c, call, o, CDC_SERVICE_INSTANCE);
    m.service = VIEW("call in progress when the order began");
    m.calling = party_of(&call->side[LI_CALLER], &from);
    m.called = party_of(&call->side[LI_CALLEE], &to);
    tell(c, o, &m);
    if (call->side[LI_CALLER].sdp != NULL || call->side[LI_CALLEE].sdp != NULL) {
        say_media(c, call, leg);
    }
}

/* An order that is over says so while it is still known: its last content closes. */
static void drop_over(struct li_calls *c, struct li_call *call)
{
    struct li_orders all = {c->order, c->n_orders};
    unsigned kept = 0;

    for (unsigned i = 0; i < call->n_legs; i++) {
        struct li_leg *leg = &call->leg[i];
        const struct li_order *o = li_order_find(&all, leg->order);
        if (o != NULL && li_order_runs(o, c->now_us)) {
            call->leg[kept++] = *leg;
        } else if (o != NULL && leg->is_open) {
            uint64_t now = c->now_us;
            c->now_us = now < o->ends_us ? now : o->ends_us; /* the moment that the order names */
            say_close(c, call, leg, o);
            c->now_us = now;
        }
    }
    call->n_legs = kept;
}

void li_say_orders(struct li_calls *c, struct li_call *call)
{
    drop_over(c, call);
    for (size_t i = 0; i < c->n_orders; i++) {
        const struct li_order *o = &c->order[i];
        const struct li_side_state *a = &call->side[LI_CALLER], *b = &call->side[LI_CALLEE];
        if (!li_order_runs(o, c->now_us)) {
            continue;
        }
        if (covers(o, LI_ORIGINATES) && li_order_is_of(o, a->line, view_of(a->number)) &&
            !has_leg(call, o->id, LI_ORIGINATES)) {
            say_joined(c, call, o, LI_ORIGINATES);
        }
        if (call->is_routed && covers(o, LI_TERMINATES) &&
            li_order_is_of(o, b->line, view_of(b->number)) &&
            !has_leg(call, o->id, LI_TERMINATES)) {
            say_joined(c, call, o, LI_TERMINATES);
        }
    }
}

/* ---- outside of calls --------------------------------------------------------------------------
 */
void li_say_other(struct li_calls *c, const struct tap_record *r, const struct li_message *m)
{
    struct li_side_state who = {.line = r->line, .remote = r->remote};
    struct party_texts texts;
    char text[129], whole[160];

    if (!m->is_request || r->kind != TAP_MESSAGE_IN || !r->is_proven || r->line == 0 ||
        view_eq(m->method, VIEW("INVITE")) || view_eq(m->method, VIEW("ACK")) ||
        view_eq(m->method, VIEW("CANCEL")) || view_eq(m->method, VIEW("BYE"))) {
        return;
    }
    for (size_t i = 0; i < c->n_orders; i++) {
        const struct li_order *o = &c->order[i];
        struct cdc_message say;
        if (!li_order_runs(o, c->now_us) || !covers(o, LI_ORIGINATES) ||
            !li_order_is_of(o, r->line, VIEW(""))) {
            continue;
        }
        say = message_of(c, NULL, o, CDC_SUBJECT_SIGNAL);
        snprintf(whole, sizeof whole, "%.*s %.*s", m->method.n < 20 ? (int)m->method.n : 20,
                 m->method.p, m->uri.n < 100 ? (int)m->uri.n : 100, m->uri.p);
        say.signal.other = cdc_visible(view_of(whole), sizeof text - 1, text);
        say.signaled = party_of(&who, &texts);
        tell(c, o, &say);
    }
}

/* ---- X2 ----------------------------------------------------------------------------------------
 */
static bool is_subjects(const struct li_order *o, const struct li_call *call,
                        const struct tap_record *r)
{
    if (r->line != 0) {
        return li_order_is_of(o, r->line, VIEW(""));
    }
    for (unsigned i = 0; call != NULL && i < call->n_legs; i++) {
        const struct li_leg *leg = &call->leg[i];
        const struct li_side_state *s = &call->side[side_of(leg)];
        if (leg->order == o->id && s->line == 0 && s->trunk == r->trunk) {
            return true;
        }
    }
    return false;
}

static bool is_covered(const struct li_order *o, const struct li_call *call)
{
    return call == NULL
               ? covers(o, LI_ORIGINATES)
               : has_leg(call, o->id, LI_ORIGINATES) || has_leg(call, o->id, LI_TERMINATES);
}

void li_copy_signaling(struct li_calls *c, const struct li_call *call, const struct tap_record *r,
                       const struct li_message *m)
{
    enum li_direction direction = r->kind == TAP_MESSAGE_IN ? LI_FROM_SUBJECT : LI_TO_SUBJECT;
    size_t room = m->head.n + m->body.n + 64, n = 0;
    char *bare = NULL;

    for (size_t i = 0; !c->silent && i < c->n_orders; i++) {
        const struct li_order *o = &c->order[i];
        struct view octets = r->text[1];
        if (!li_order_runs(o, c->now_us) || !is_covered(o, call) || !is_subjects(o, call, r)) {
            continue;
        }
        if (!has_content(o)) {
            bare = bare != NULL ? bare : mem_zalloc(room);
            if (bare == NULL || li_message_without_content(m, bare, room, &n) != E_OK) {
                continue;
            }
            octets = view_from(bare, n);
        }
        c->cfg.sink.signaling(c->cfg.sink.arg, o, direction, call != NULL ? call->reference : 0, r,
                              octets);
    }
    mem_free(bare);
}
