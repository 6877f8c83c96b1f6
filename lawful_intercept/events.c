/* What is told of a call to those whose orders concern it: docs/lawful-intercept.md has the table.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lawful_intercept/calls_int.h"

/* ---- parties -----------------------------------------------------------------------------------
 */
static bool is_e164(struct view v)
{
    return v.n > 1 && v.n <= 16 && v.p[0] == '+';
}

struct cdc_party li_party_of_number(struct view number, struct li_party_texts *t)
{
    struct cdc_party p = {0};

    if (is_e164(number)) {
        p.dn = cdc_visible(view_sub(number, 1, number.n), sizeof t->digits - 1, t->digits);
    } else if (number.n > 0) {
        p.user_provided = cdc_visible(number, sizeof t->digits - 1, t->digits);
    }
    return p;
}

struct cdc_party li_party_of(const struct li_side_state *s, struct li_party_texts *t)
{
    struct cdc_party p = li_party_of_number(view_of(s->number), t);

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
    if (s->line == 0 && s->uri[0] != 0 && li_uri_number(view_of(s->uri)).n == 0) {
        p.generic_address = cdc_visible(view_of(s->uri), sizeof t->address - 1, t->address);
    }
    return p;
}

/* ---- telling -----------------------------------------------------------------------------------
 */
struct cdc_message li_message_of(const struct li_calls *c, const struct li_call *call,
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

void li_tell(struct li_calls *c, const struct li_order *o, const struct cdc_message *m)
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

/* ---- beginnings --------------------------------------------------------------------------------
 */
static void say_origination(struct li_calls *c, const struct li_call *call,
                            const struct li_order *o)
{
    struct cdc_message m = li_message_of(c, call, o, CDC_ORIGINATION);
    struct li_party_texts from, to;
    char dialled[33];

    m.calling = li_party_of(&call->side[LI_CALLER], &from);
    m.called = li_party_of_number(view_of(call->called), &to);
    m.user_input = cdc_visible(view_of(call->called), sizeof dialled - 1, dialled);
    if (m.user_input.n == 0) {
        m.user_input = VIEW("-");
    }
    li_tell(c, o, &m);
}

static void say_feature_code(struct li_calls *c, const struct li_call *call,
                             const struct li_order *o)
{
    struct cdc_message m = li_message_of(c, call, o, CDC_SUBJECT_SIGNAL);
    struct li_party_texts from;
    char dialled[33];

    m.signal.dialed = cdc_visible(view_of(call->called), sizeof dialled - 1, dialled);
    m.signaled = li_party_of(&call->side[LI_CALLER], &from);
    li_tell(c, o, &m);
    m = li_message_of(c, call, o, CDC_SERVICE_INSTANCE);
    m.service = cdc_visible(view_of(call->called), sizeof dialled - 1, dialled);
    m.calling = li_party_of(&call->side[LI_CALLER], &from);
    li_tell(c, o, &m);
}

void li_say_begin(struct li_calls *c, struct li_call *call)
{
    struct li_match m = li_match_begin(c, &call->side[LI_CALLER]);

    for (const struct li_order *o = li_match_next(c, &m); o != NULL; o = li_match_next(c, &m)) {
        if (!li_order_runs(o, c->now_us) || !li_covers(o, LI_ORIGINATES) ||
            li_add_leg(c, call, o, LI_ORIGINATES) == NULL) {
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
    struct cdc_message m = li_message_of(c, call, o, CDC_TERMINATION_ATTEMPT);
    struct li_party_texts from, to, last, original;

    m.calling = li_party_of(&call->side[LI_CALLER], &from);
    m.called = li_party_of(&call->side[LI_CALLEE], &to);
    if (before != NULL) {
        m.redirected.last = li_party_of(before, &last);
        m.redirected.original = li_party_of_number(view_of(call->called), &original);
        m.redirected.times = call->redirections < 100 ? call->redirections : 100;
    }
    li_tell(c, o, &m);
}

static void say_redirection(struct li_calls *c, const struct li_call *call,
                            const struct li_order *o, const struct li_side_state *before)
{
    struct cdc_message m = li_message_of(c, call, o, CDC_REDIRECTION);
    struct li_party_texts to, from;

    m.redirected_to = li_party_of(&call->side[LI_CALLEE], &to);
    m.redirected_from = li_party_of(before, &from);
    li_tell(c, o, &m);
}

/* Whoever is called from now on is somebody else than the subjects of these legs. */
static void go_on(struct li_call *call)
{
    for (unsigned i = 0; i < call->n_legs; i++) {
        struct li_leg *leg = &call->leg[i];
        leg->is_away = leg->is_away || leg->role == LI_TERMINATES;
    }
}

void li_say_route(struct li_calls *c, struct li_call *call, const struct li_side_state *before)
{
    struct li_match m = li_match_begin(c, &call->side[LI_CALLEE]);

    for (unsigned i = 0; before != NULL && i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        if (o != NULL && li_is_first(call, i)) {
            say_redirection(c, call, o, before);
        }
    }
    if (before != NULL) {
        go_on(call);
    }
    for (const struct li_order *o = li_match_next(c, &m); o != NULL; o = li_match_next(c, &m)) {
        if (li_order_runs(o, c->now_us) && li_covers(o, LI_TERMINATES) &&
            li_add_leg(c, call, o, LI_TERMINATES) != NULL) {
            say_attempt(c, call, o, before);
        }
    }
}

/* ---- media -------------------------------------------------------------------------------------
 */
struct media { /* the two session descriptions as an order may have them */
    char *octets[LI_SIDES];
    struct view sdp[LI_SIDES];
};

/* With the line behind those of its first medium. dst: sdp.n and the line's octets. */
static size_t sdp_with_key(struct view sdp, struct view line, char *dst)
{
    size_t at = 0, end = 0;
    bool is_within = false;

    while (at < sdp.n) {
        struct view rest = view_sub(sdp, at, sdp.n);
        if (view_starts(rest, VIEW("m="))) {
            if (is_within) {
                break;
            }
            is_within = true;
        }
        at += view_find(rest, '\n', &end) ? end + 1 : rest.n;
    }
    memcpy(dst, sdp.p, at);
    memcpy(dst + at, line.p, line.n);
    memcpy(dst + at + line.n, sdp.p + at, sdp.n - at);
    return sdp.n + line.n;
}

static void add_key(struct media *m, unsigned side, const struct li_crypto *crypto)
{
    struct view sdp = m->sdp[side];
    struct view line = view_of(side == LI_CALLER ? crypto->of_caller : crypto->of_callee);

    if (sdp.n > 0 && sdp.n + line.n <= CDC_SDP_MAX) {
        m->octets[side] = mem_zalloc(sdp.n + line.n);
    }
    if (m->octets[side] != NULL) {
        m->sdp[side] = view_from(m->octets[side], sdp_with_key(sdp, line, m->octets[side]));
    }
}

static void media_of(const struct li_call *call, const struct li_order *o, struct media *out)
{
    *out = (struct media){{NULL}, {{0}}};
    for (unsigned i = 0; i < LI_SIDES; i++) {
        const struct li_side_state *s = &call->side[i];
        if (s->sdp.p == NULL) {
            continue;
        }
        if (has_content(o)) {
            out->sdp[i] = view_from(s->sdp.p, s->sdp.n);
            if (call->crypto != NULL) {
                add_key(out, i, call->crypto);
            }
            continue;
        }
        out->octets[i] = mem_zalloc(s->sdp.n);
        if (out->octets[i] != NULL) {
            out->sdp[i] = view_from(
                out->octets[i], li_sdp_without_keys(view_from(s->sdp.p, s->sdp.n), out->octets[i]));
        }
    }
}

static void media_fini(struct media *m)
{
    for (unsigned i = 0; i < LI_SIDES; i++) {
        if (m->octets[i] != NULL) {
            wipe(m->octets[i], m->sdp[i].n);
        }
        mem_free(m->octets[i]);
    }
}

static void fill_media(struct cdc_message *m, const struct media *media, const struct li_leg *leg)
{
    enum li_side subject = li_side_of(leg);

    m->subject = media->sdp[subject];
    m->associate = media->sdp[subject == LI_CALLER ? LI_CALLEE : LI_CALLER];
}

/* CCOpen once both ends are known and the call is answered; CCChange when something is another. For
 * orders without content, and before the answer, MediaReport. */
static void say_media(struct li_calls *c, struct li_call *call, struct li_leg *leg)
{
    const struct li_order *o = li_order_of(c, leg);
    struct cdc_message m;
    struct media media;

    if (o == NULL) {
        return;
    }
    media_of(call, o, &media);
    if (!has_content(o) || (!leg->is_open && !call->is_answered)) {
        m = li_message_of(c, call, o, CDC_MEDIA_REPORT);
    } else if (leg->is_open) {
        m = li_message_of(c, call, o, CDC_CCCHANGE);
        m.resource = CDC_COMMITTED;
    } else {
        m = li_message_of(c, call, o, CDC_CCOPEN);
        m.n_open = 1;
        m.open[0] = m.call;
        leg->is_open = true;
    }
    m.content.both = view_of(leg->content);
    m.flow = CDC_BOTH;
    fill_media(&m, &media, leg);
    li_tell(c, o, &m);
    media_fini(&media);
}

static void media_changed(struct li_calls *c, struct li_call *call)
{
    for (unsigned i = 0; i < call->n_legs; i++) {
        if (li_is_first(call, i)) {
            say_media(c, call, &call->leg[i]);
        }
    }
}

void li_say_keys(struct li_calls *c, struct li_call *call)
{
    bool has_sdp = call->side[LI_CALLER].sdp.p != NULL || call->side[LI_CALLEE].sdp.p != NULL;

    for (unsigned i = 0; i < call->n_legs && has_sdp; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        if (o != NULL && has_content(o) && li_is_first(call, i)) {
            say_media(c, call, &call->leg[i]);
        }
    }
}

/* ---- answers and signals -----------------------------------------------------------------------
 */
static void say_answer(struct li_calls *c, struct li_call *call)
{
    struct li_party_texts who;

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        if (o != NULL && li_is_first(call, i)) {
            struct cdc_message m = li_message_of(c, call, o, CDC_ANSWER);
            m.answering = li_party_of(&call->side[LI_CALLEE], &who);
            li_tell(c, o, &m);
        }
    }
}

/* What the network lets the subject hear. */
static void say_signal(struct li_calls *c, const struct li_call *call, enum li_role role,
                       uint32_t alerting, uint32_t audible)
{
    struct li_party_texts who;

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_leg *leg = &call->leg[i];
        const struct li_order *o = li_order_of(c, leg);
        if (o != NULL && leg->role == role && !leg->is_away) {
            struct cdc_message m = li_message_of(c, call, o, CDC_NETWORK_SIGNAL);
            m.alerting = alerting;
            m.audible = audible;
            m.signaled = li_party_of(&call->side[li_side_of(leg)], &who);
            li_tell(c, o, &m);
        }
    }
}

/* The callee sends who calls elsewhere: the call that comes of it is another one. */
static void say_moved(struct li_calls *c, const struct li_call *call, const struct li_message *m)
{
    struct li_side_state to = {.line = 0};
    struct li_party_texts there, from;
    struct view user = li_user_of(m->contact);

    li_copy_text(to.number, sizeof to.number, user);
    IGNORE(li_uri_read(m->contact, to.uri) ? E_OK : E_PARSE, "then the number alone is told");
    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        if (o != NULL && li_is_first(call, i)) {
            struct cdc_message say = li_message_of(c, call, o, CDC_REDIRECTION);
            say.redirected_to = li_party_of(&to, &there);
            say.redirected_from = li_party_of(&call->side[LI_CALLEE], &from);
            li_tell(c, o, &say);
        }
    }
}

static void on_answer(struct li_calls *c, struct li_call *call, const struct li_message *m)
{
    if (!call->is_answered) {
        call->is_answered = true;
        call->answer_tag = li_hash(m->to_tag);
        say_answer(c, call);
        media_changed(c, call);
    }
}

static void on_refusal(struct li_calls *c, struct li_call *call, const struct li_message *m)
{
    if (m->status < 400) {
        say_moved(c, call, m);
    } else if (m->status != 487) { /* who gave up hears nothing */
        say_signal(c, call, LI_ORIGINATES, 0,
                   m->status == 486 || m->status == 600 ? CDC_BUSY : CDC_REORDER);
    }
}

static void on_setup_response(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                              const struct li_message *m, enum li_media media)
{
    bool is_in = r->kind == TAP_MESSAGE_IN;

    if (m->status >= 200 && m->status < 300) {
        on_answer(c, call, m);
        return;
    }
    if (call->is_answered) {
        return;
    }
    if (m->status >= 300) {
        if (!is_in) { /* one of several phones may refuse: what goes back to the caller counts */
            on_refusal(c, call, m);
        }
        return;
    }
    if (media == LI_MEDIA_CHANGED) {
        media_changed(c, call);
    }
    if (m->status == 180 && is_in && !call->is_ringing) {
        call->is_ringing = true;
        say_signal(c, call, LI_ORIGINATES, 0, CDC_RINGBACK);
        say_signal(c, call, LI_TERMINATES, CDC_RINGING, 0);
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
    struct li_party_texts who;
    struct view digits = dtmf_of(m, digit);

    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        struct cdc_message say;
        if (o == NULL || li_side_of(&call->leg[i]) != side || call->leg[i].is_away) {
            continue;
        }
        if (digits.n > 0) { /* content, but for orders that have it or ask for digits */
            if (o->wants_digits) {
                say = li_message_of(c, call, o, CDC_DIALED_DIGITS);
                say.digits = digits;
                li_tell(c, o, &say);
            }
            continue;
        }
        say = li_message_of(c, call, o, CDC_SUBJECT_SIGNAL);
        say.signal.other = cdc_visible(m->method, sizeof text - 1, text);
        if (m->refer_to.n > 0) {
            char whole[160];
            snprintf(whole, sizeof whole, "REFER %.*s",
                     m->refer_to.n < 140 ? (int)m->refer_to.n : 140, m->refer_to.p);
            say.signal.other = cdc_visible(view_of(whole), sizeof text - 1, text);
        }
        say.signaled = li_party_of(&call->side[side], &who);
        li_tell(c, o, &say);
    }
}

void li_say_message(struct li_calls *c, struct li_call *call, const struct tap_record *r,
                    const struct li_message *m, enum li_side side)
{
    enum li_media media = li_media_learn(call, r, m, side);
    enum li_side asker =
        (r->kind == TAP_MESSAGE_IN) == m->is_request ? side : (enum li_side)(1 - (int)side);

    if (m->is_request && (view_eq(m->method, VIEW("REFER")) || view_eq(m->method, VIEW("INFO")))) {
        say_subject_signal(c, call, side, m);
        li_note_referral(c, call, side, m);
    } else if (!m->is_request && li_is_setup(call, m, asker)) {
        on_setup_response(c, call, r, m, media);
    } else if (!m->is_request && view_eq(m->method, VIEW("REFER"))) {
        li_note_referred(c, call, asker, m);
    } else if (media == LI_MEDIA_CHANGED) {
        media_changed(c, call);
    }
}

/* ---- ends --------------------------------------------------------------------------------------
 */
static void say_close(struct li_calls *c, const struct li_call *call, struct li_leg *leg,
                      const struct li_order *o)
{
    struct cdc_message m = li_message_of(c, call, o, CDC_CCCLOSE);

    if (leg->is_open) {
        m.content.both = view_of(leg->content);
        m.flow = CDC_BOTH;
        li_tell(c, o, &m);
        leg->is_open = false;
    }
}

void li_say_end(struct li_calls *c, struct li_call *call)
{
    li_drop_over(c, call);
    for (unsigned i = 0; i < call->n_legs; i++) {
        const struct li_order *o = li_order_of(c, &call->leg[i]);
        if (o != NULL) {
            struct cdc_message m = li_message_of(c, call, o, CDC_RELEASE);
            say_close(c, call, &call->leg[i], o);
            if (li_is_first(call, i)) {
                li_tell(c, o, &m);
            }
        }
    }
}

void li_say_so_far(struct li_calls *c, struct li_call *call, struct li_leg *leg)
{
    const struct li_order *o = li_order_of(c, leg);
    struct li_party_texts who;
    struct cdc_message m;

    if (o != NULL && call->is_answered) {
        m = li_message_of(c, call, o, CDC_ANSWER);
        m.answering = li_party_of(&call->side[LI_CALLEE], &who);
        li_tell(c, o, &m);
    }
    if (call->side[LI_CALLER].sdp.p != NULL || call->side[LI_CALLEE].sdp.p != NULL) {
        say_media(c, call, leg);
    }
    if (o != NULL && call->is_over) {
        m = li_message_of(c, call, o, CDC_RELEASE);
        li_tell(c, o, &m);
    }
}

/* ---- orders that begin or end within a call ----------------------------------------------------
 */
static void say_joined(struct li_calls *c, struct li_call *call, enum li_side side,
                       enum li_role role)
{
    struct li_match match = li_match_begin(c, &call->side[side]);
    struct li_party_texts from, to;

    for (const struct li_order *o = li_match_next(c, &match); o != NULL;
         o = li_match_next(c, &match)) {
        struct cdc_message m;
        if (!li_order_runs(o, c->now_us) || !li_covers(o, role) ||
            li_add_leg(c, call, o, role) == NULL || !li_is_first(call, call->n_legs - 1)) {
            continue;
        }
        m = li_message_of(c, call, o, CDC_SERVICE_INSTANCE);
        m.service = VIEW("call in progress when the order began");
        m.calling = li_party_of(&call->side[LI_CALLER], &from);
        m.called = li_party_of(&call->side[LI_CALLEE], &to);
        li_tell(c, o, &m);
        if (call->side[LI_CALLER].sdp.p != NULL || call->side[LI_CALLEE].sdp.p != NULL) {
            say_media(c, call, &call->leg[call->n_legs - 1]);
        }
    }
}

/* An order that is over says so while it is still known: its last content closes. */
void li_drop_over(struct li_calls *c, struct li_call *call)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < call->n_legs; i++) {
        struct li_leg *leg = &call->leg[i];
        const struct li_order *o = li_order_by_id(c, leg->order);
        if (o != NULL && c->now_us < o->ends_us) {
            call->leg[kept++] = *leg;
        } else if (o != NULL && leg->is_open) {
            uint64_t now = c->now_us;
            c->now_us = o->ends_us; /* the moment that the order names */
            say_close(c, call, leg, o);
            c->now_us = now;
        }
    }
    c->is_changed = c->is_changed || kept != call->n_legs;
    call->n_legs = kept;
}

void li_say_orders(struct li_calls *c, struct li_call *call)
{
    li_drop_over(c, call);
    if (!call->is_over) {
        say_joined(c, call, LI_CALLER, LI_ORIGINATES);
    }
    if (!call->is_over && call->is_routed) {
        say_joined(c, call, LI_CALLEE, LI_TERMINATES);
    }
}
