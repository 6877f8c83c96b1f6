/* A new INVITE: what was dialled, who may dial it, as whom, and where it goes. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/boundary.h"
#include "gc/displace.h"
#include "gc/emergency_mode.h"
#include "gc/last_calls.h"
#include "gc/priority_gate.h"
#include "gc/setup.h"
#include "gc/stir.h"
#include "gc/tapping.h"

static struct view retry_after(void)
{
    return VIEW("Retry-After: 5\r\n");
}

/* ---- targets -----------------------------------------------------------------------------------
 */
struct target target_of_binding(const struct binding *b)
{
    struct target t = {.q = b->q,
                       .who = {.kind = PARTY_BTI, .line = b->line_id, .ip = b->remote},
                       .flow = {.proto = (enum sip_proto)b->proto,
                                .remote = b->remote,
                                .local = b->local,
                                .worker = b->worker,
                                .conn = b->conn,
                                .has_kid = b->has_kid}};

    memcpy(t.who.kid, b->kid, sizeof t.who.kid);
    memcpy(t.who.bti, b->bti_id, sizeof t.who.bti);
    if (b->is_phone) {
        t.who.kind = PARTY_PHONE;
        t.who.credential = b->credential;
        t.who.algorithm = b->algorithm;
        t.who.way = way_of(&t.flow);
        memcpy(t.who.username, b->username, sizeof t.who.username);
    }
    memcpy(t.flow.kid, b->kid, sizeof t.flow.kid);
    memcpy(t.uri, b->contact, sizeof t.uri);
    return t;
}

static unsigned bindings_here(struct worker *w, uint64_t line_id,
                              struct binding out[LOCATION_MAX_CONTACTS])
{
    size_t n = location_find(w->ws->cfg.location, line_id, loop_now_ms(w->loop), out,
                             LOCATION_MAX_CONTACTS);
    unsigned kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (out[i].via_node.family == 0) { /* another node's connection cannot be used from here */
            out[kept++] = out[i];
        }
    }
    return kept;
}

unsigned targets_of_line(struct worker *w, uint64_t line_id, struct target *out, unsigned max)
{
    struct binding b[LOCATION_MAX_CONTACTS];
    unsigned n = bindings_here(w, line_id, b);

    n = n < max ? n : max;
    for (unsigned i = 0; i < n; i++) { /* what is preferred first; among equals the newest */
        struct target t = target_of_binding(&b[i]);
        unsigned at = i;
        for (; at > 0 && out[at - 1].q < t.q; at--) {
            out[at] = out[at - 1];
        }
        out[at] = t;
    }
    return n;
}

bool target_of_bti(struct worker *w, const struct party *bti, struct target *out)
{
    struct binding b[LOCATION_MAX_CONTACTS];
    unsigned n = is_bti(bti) ? bindings_here(w, bti->line, b) : 0;

    for (unsigned i = 0; i < n; i++) { /* newest first */
        if (!b[i].is_phone && memcmp(b[i].bti_id, bti->bti, sizeof b[i].bti_id) == 0) {
            *out = target_of_binding(&b[i]);
            return true;
        }
    }
    return false;
}

/* ---- may it? -----------------------------------------------------------------------------------
 */
static void refuse(struct worker *w, const struct setup *s, enum meter why, unsigned status,
                   const char *reason)
{
    const char *cause = why == METER_REFUSED_LIMIT        ? "limit"
                        : why == METER_REFUSED_DRAINING   ? "draining"
                        : why == METER_REFUSED_BARRED     ? "barred"
                        : why == METER_REFUSED_IDENTITY   ? "identity"
                        : why == METER_REFUSED_MODE       ? "emergency_mode"
                        : why == METER_REFUSED_UNPROVEN   ? "unproven_limit"
                        : why == METER_REFUSED_MEDIA_KEYS ? "media_keys"
                                                          : "route";

    meter(w, why);
    LOG(LV_INFO, "call.refused", KV("reason", cause), KV("status", status),
        KV("line", s->in->proof.who.line), KV("call_id", s->in->m->call_id));
    answer(w, s->in, status, reason, status == 503 ? retry_after() : VIEW(""));
}

/* Who preempts takes the place of another call at the end (displace.h). */
static bool is_loaded(const struct worker *w, bool preempts)
{
    const struct gc_settings *set = w->set;

    return (w->n_calls >= set->max_calls && !preempts) ||
           sip_txn_count(w->txns) >= set->max_transactions;
}

static bool may_provision(struct worker *w, const struct setup *s)
{
    if (s->in->proof.class == PROOF_UNKNOWN &&
        !limits_take(w->ws->limits, LIMIT_UNPROVEN, &s->in->flow.remote, loop_now_ms(w->loop))) {
        refuse(w, s, METER_REFUSED_UNPROVEN, 503, NULL);
        return false;
    }
    return true;
}

/* RFC 7090: somebody at the PSAP calls back. Only those who get emergency calls can say so. */
static bool is_call_back(struct worker *w, const struct setup *s)
{
    for (unsigned i = 0; i < s->in->m->n_headers; i++) {
        const struct sip_hdr *h = &s->in->m->h[i];
        if (view_eq_nocase(h->name, VIEW("Priority"))) {
            return view_eq_nocase(view_trim(h->value), VIEW("psap-callback")) &&
                   s->in->proof.class == PROOF_TRUSTED && boundary_is_psap(w, &s->in->proof.who);
        }
    }
    return false;
}

/* A gateway's call: the provisioning server answers calls, it makes none. */
static bool may_peer_call(struct worker *w, const struct setup *s)
{
    const struct trunk *from = trunk_row(w, s->in->proof.who.trunk);

    if (s->in->proof.who.kind == PARTY_PS) {
        refuse(w, s, METER_REFUSED_IDENTITY, 403, NULL);
        return false;
    }
    if (from != NULL && from->disabled && !s->is_call_back) {
        refuse(w, s, METER_REFUSED_ROUTE, 503, NULL);
        return false;
    }
    return true;
}

static bool may_call(struct worker *w, struct setup *s)
{
    if (s->in->proof.class == PROOF_UNKNOWN) {
        challenge(w, s->in);
        return false;
    }
    if (s->in->proof.class == PROOF_TRUSTED) {
        return may_peer_call(w, s);
    }
    if (s->snap == NULL) { /* nothing is known yet of anybody */
        refuse(w, s, METER_REFUSED_ROUTE, 503, NULL);
        return false;
    }
    if (s->line == NULL || s->line->barred) {
        refuse(w, s, METER_REFUSED_BARRED, 403, NULL);
        return false;
    }
    if (s->is_forged) {
        refuse(w, s, METER_REFUSED_IDENTITY, 403, "From is not a number of this line");
        return false;
    }
    return true;
}

/* What does not fit is not remembered, and a dialog without names could not be guarded. */
static bool has_usable_names(const struct sip_msg *m)
{
    struct sip_name_addr from, to;

    return sip_name_addr_parse(sip_header_value(m, SIP_H_FROM), &from) == E_OK &&
           sip_name_addr_parse(sip_header_value(m, SIP_H_TO), &to) == E_OK &&
           from.uri_text.n < LOCATION_URI_MAX && to.uri_text.n < LOCATION_URI_MAX;
}

static bool is_allowed(struct worker *w, struct setup *s)
{
    if (s->dialled.class == DIAL_EMERGENCY) {
        return true;
    }
    if (s->dialled.class != DIAL_PROVISIONING && !may_call(w, s)) {
        return false;
    }
    if (!has_usable_names(s->in->m)) {
        refuse(w, s, METER_REFUSED_IDENTITY, 400, "From or To cannot be used");
        return false;
    }
    if (s->is_call_back) {
        return true;
    }
    if (atomic_load_explicit(&w->ws->draining, memory_order_relaxed)) {
        refuse(w, s, METER_REFUSED_DRAINING, 503, NULL);
        return false;
    }
    if (is_loaded(w, s->preempts)) {
        refuse(w, s, METER_REFUSED_LIMIT, 503, NULL);
        return false;
    }
    return s->dialled.class != DIAL_PROVISIONING || may_provision(w, s);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */
static bool is_call_trace(const struct worker *w, const struct sip_msg *m)
{
    struct sip_uri u;

    return sip_uri_parse(m->uri, &u) == E_OK && view_eq_nocase(u.user, VIEW("call-trace")) &&
           worker_is_us(w, &u);
}

/* A code of ours in front: what follows it is what is dialled. */
static void read_code(struct worker *w, struct setup *s)
{
    const struct dialplan *plan = &w->plan->dialplan;
    char keys[sizeof s->keys];
    struct view rest = VIEW("");

    s->feature = is_call_trace(w, s->in->m) ? &feature_call_trace
                                            : feature_of(s->snap, view_of(s->keys), &rest);
    if (s->feature == NULL || feature_is_answered(s->feature)) {
        return;
    }
    s->wish = s->feature->does == FEATURE_HIDES ? WISH_PRIVATE : WISH_SHOWN;
    if (dialplan_keys(plan, rest, VIEW(""), view_of(w->set->domain), keys, sizeof keys) != E_OK) {
        keys[0] = 0;
    }
    memcpy(s->keys, keys, sizeof keys);
    s->dialled = dialplan_classify(plan, view_of(keys));
}

/* A wrong From costs an emergency call the assertion of that number, not the call. */
static void identify(struct worker *w, struct setup *s)
{
    bool is_emergency = s->dialled.class == DIAL_EMERGENCY;
    char source[NET_TEXT_MAX];

    if (s->line != NULL) {
        s->is_forged = identity_of_line(w, s->in, s->line, s->wish, &s->id) != E_OK;
    } else if (s->in->proof.class == PROOF_TRUSTED) {
        identity_of_trunk(w, s->in, &s->id);
    }
    if (is_emergency || s->dialled.class == DIAL_PROVISIONING) {
        s->id.keeps_names = true;
        s->id.is_private = false;
    }
    net_ip_text(&s->in->flow.remote, source);
    if (s->id.number[0] != 0) {
        memcpy(s->caller, s->id.number, sizeof s->id.number);
    } else {
        snprintf(s->caller, sizeof s->caller, "%s%.50s",
                 s->in->proof.class == PROOF_TRUSTED ? "peer " : "unproven ", source);
    }
}

static void understand(struct worker *w, const struct inbound *in, struct setup *s)
{
    struct sip_uri uri;
    char digits[SIP_MAX_URI + 8] = {0};

    *s = (struct setup){.in = in, .snap = worker_snapshot(w), .dialled = dialled_of(w, in->m->uri)};
    if (sip_uri_parse(in->m->uri, &uri) == E_OK &&
        sip_uri_digits(&uri, digits, sizeof digits) == E_OK) {
        digits[sizeof s->called - 1] = 0;
        memcpy(s->called, digits, sizeof s->called);
    }
    if (!dialled_keys(w, in->m->uri, s->keys, sizeof s->keys)) {
        s->keys[0] = 0;
    }
    s->is_call_back = is_call_back(w, s);
    priority_granted(w, in, &s->ask);
    if (in->proof.class == PROOF_PROVEN && s->snap != NULL) {
        s->line = snapshot_line(s->snap, in->proof.who.line);
    }
    /* From a line only its administrator preempts; a trunk's own switch answers for its callers. */
    s->preempts = s->ask.preempts &&
                  (s->line != NULL ? s->line->level > 0 : in->proof.class == PROOF_TRUSTED);
    if (s->line != NULL) {
        read_code(w, s);
    }
    identify(w, s);
}

static const char *class_name(enum route_outcome outcome)
{
    return outcome == ROUTED_LINE || outcome == ROUTED_TARGETS ? "subscriber"
                                                               : route_outcome_name(outcome);
}

static void count_class(struct worker *w, enum dial_class class)
{
    meter(w, class == DIAL_EMERGENCY      ? METER_CALLS_EMERGENCY
             : class == DIAL_PROVISIONING ? METER_CALLS_PROVISIONING
                                          : METER_CALLS_SUBSCRIBER);
}

/* *77 of the called line (RFC 5079). */
static void refuse_anonymous(struct worker *w, const struct setup *s,
                             const struct route_decision *d, struct ctx *c)
{
    meter(w, METER_REFUSED_ANONYMOUS);
    call_route(c->call, "local", d->line_id, "refused: the line takes no anonymous calls");
    ctx_announce(c, s->in, "refused: the line takes no anonymous calls");
    ctx_refuse(c, 433, "Anonymity Disallowed", VIEW(""));
}

/* After a code the callee is not what was dialled: neither in To nor, where nobody else writes it,
 * in the Request-URI. */
static void name_called(struct worker *w, const struct setup *s, struct ctx *c, unsigned n)
{
    char uri[LOCATION_URI_MAX], name[LOCATION_URI_MAX + 4];
    bool is_coded =
        s->feature != NULL || (s->dialled.class == DIAL_EMERGENCY && s->called[0] == '*');

    if (!is_coded || !number_uri(uri, s->dialled.e164, w->set->domain)) {
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        if (c->target[i].uri[0] == 0) {
            memcpy(c->target[i].uri, uri, sizeof uri);
        }
    }
    if (c->call->to_shown == NULL && !s->id.keeps_names) {
        snprintf(name, sizeof name, "<%.*s>", (int)strcspn(uri, ";"), uri); /* user=phone goes */
        c->call->to_shown = mem_strdup(name); /* without memory the code is seen, no more */
    }
}

/* For *57 and *69 of the called line. */
static void note_last_call(struct worker *w, const struct setup *s, uint64_t line_id,
                           const struct call *call)
{
    struct last_call last = {.started_us = call->start_us,
                             .is_private = s->id.is_private || !s->id.is_known};

    snprintf(last.caller, sizeof last.caller, "%s", s->caller);
    snprintf(last.called, sizeof last.called, "%s", s->called);
    snprintf(last.call_id, sizeof last.call_id, "%.127s", call->call_id);
    last_calls_note(w->ws->last_calls, line_id, &last, s->in->m->from_tag);
}

static void send_it(struct worker *w, const struct setup *s, const struct route_decision *d,
                    struct ctx *c)
{
    struct way y;
    char note[TRACE_TEXT_MAX + STIR_NOTE_MAX], stir[STIR_NOTE_MAX];

    c->id = s->id;
    stir_clean(c);
    c->call->is_private = s->id.is_private;
    if (d->outcome == ROUTED_LINE && !s->is_call_back &&
        identity_is_unwanted(&s->id, snapshot_line(s->snap, d->line_id))) {
        refuse_anonymous(w, s, d, c);
        return;
    }
    if (d->outcome == ROUTED_LINE) {
        note_last_call(w, s, d->line_id, c->call);
    }
    way_find(w, s, d, c, &y);
    name_called(w, s, c, y.n);
    stir_note(&c->stir, stir);
    snprintf(note, sizeof note, "class=%s line=%llu route=%.40s contacts=%u%s",
             class_name(y.outcome), (unsigned long long)s->in->proof.who.line,
             y.route[0] != 0 ? y.route : "none", y.n, stir);
    call_route(c->call, y.route, y.callee_line, note);
    ctx_announce(c, s->in, note);
    c->n_targets = y.n;
    if (y.n > 0) {
        count_class(w, s->dialled.class);
        if (displace(c, s->in->m)) {
            ctx_run(c, s->in->m);
        }
        return;
    }
    meter(w, y.status == 488 ? METER_REFUSED_MEDIA_KEYS : METER_REFUSED_ROUTE);
    if (c->is_provisioning) {
        meter(w, METER_NO_PS);
        LOG(LV_ERROR, "ps.none_healthy", KV("call_id", s->in->m->call_id));
    }
    ctx_refuse(c, y.status, y.reason, y.status == 503 ? retry_after() : VIEW(""));
}

static enum err take_line(struct worker *w, const struct setup *s, struct call *call)
{
    enum err e = E_OK;

    if (s->line == NULL || s->dialled.class == DIAL_EMERGENCY) {
        return E_OK;
    }
    e = limits_line_take(w->ws->limits, s->line->line_id);
    call->has_line = e == E_OK;
    call->line = s->line->line_id;
    return e == E_FULL && s->preempts && displace_owes(call, DEBT_LINE) ? E_OK : e;
}

static void refuse_begun(struct worker *w, const struct setup *s, struct call *call, bool is_line)
{
    unsigned status = is_line ? 403 : 503;

    refuse(w, s, METER_REFUSED_LIMIT, status, is_line ? "Too many calls of this line" : NULL);
    call_end(call, status, "gate");
}

/* False: refused, an emergency mode leaves no room for calls without priority. */
static bool has_share(struct worker *w, const struct setup *s)
{
    bool is_routine = s->dialled.class != DIAL_EMERGENCY && s->dialled.class != DIAL_PROVISIONING &&
                      !s->is_call_back && s->ask.rank == 0;
    const struct mode_question q = {.line = s->line != NULL ? s->line->line_id : 0,
                                    .trunk = s->in->proof.who.trunk,
                                    .caller = view_of(s->caller),
                                    .called = view_of(s->dialled.e164)};
    uint64_t mode = is_routine ? emergency_mode_refuses(w, &q) : 0;

    if (mode != 0) {
        refuse(w, s, METER_REFUSED_MODE, 503, NULL);
    }
    return mode == 0;
}

/* It was refused before it was a call. */
static void tell_refused(struct worker *w, const struct setup *s)
{
    if (s->in->proof.class != PROOF_UNKNOWN) {
        tapped_refused(w, s->in, view_of(s->caller), view_of(s->called));
    }
}

/* A call, its place in all limits, and its context. NULL: refused already. */
static struct ctx *begin(struct worker *w, const struct setup *s)
{
    struct call_start start = {.in = s->in,
                               .dialled = s->dialled,
                               .called = view_of(s->called),
                               .caller = s->caller,
                               .caller_line = s->line != NULL ? s->line->line_id : 0,
                               .is_emergency = s->dialled.class == DIAL_EMERGENCY,
                               .is_call_back = s->is_call_back,
                               .ask = s->ask.is_known ? &s->ask : NULL,
                               .preempts = s->preempts};
    struct call *call = NULL;
    struct ctx *c = NULL;
    enum err e = E_OK;

    if (!has_share(w, s)) {
        tell_refused(w, s);
        return NULL;
    }
    if (call_begin(w, &start, &call) != E_OK) {
        refuse(w, s, METER_REFUSED_LIMIT, 503, NULL);
        tell_refused(w, s);
        return NULL;
    }
    call->is_blv = boundary_is_blv(w, s->in);
    e = take_line(w, s, call);
    if (e != E_OK) {
        refuse_begun(w, s, call, e == E_FULL);
        return NULL;
    }
    e = trunk_admit(call, start.is_emergency || s->is_call_back);
    if (e == E_FULL && s->preempts && displace_owes(call, DEBT_TRUNK_IN)) {
        e = E_OK;
    }
    if (e != E_OK || ctx_new(w, s->in, CTX_SETUP, call, &c) != E_OK) {
        refuse_begun(w, s, call, false);
        return NULL;
    }
    return c;
}

/* What the code means is ours to answer: so are extensions that its caller requires. */
static void run_feature(struct worker *w, const struct setup *s)
{
    struct ctx *c = check_extensions(w, s->in, SIP_H_REQUIRE) ? begin(w, s) : NULL;

    if (c != NULL) {
        feature_run(w, s, c);
    }
}

void setup_in(struct worker *w, const struct inbound *in)
{
    struct setup s;
    struct ctx *c = NULL;
    struct route_decision decision;

    understand(w, in, &s);
    if (!is_allowed(w, &s)) {
        tell_refused(w, &s);
        return;
    }
    if (feature_is_answered(s.feature)) {
        run_feature(w, &s);
        return;
    }
    way_decide(w, &s, &decision);
    c = begin(w, &s);
    if (c != NULL && stir_enter(c, &s)) {
        send_it(w, &s, &decision, c);
    }
}

static enum proof_class class_of(const struct party *p)
{
    switch (p->kind) {
    case PARTY_BTI:
    case PARTY_PHONE:
        return PROOF_PROVEN;
    case PARTY_GATEWAY:
    case PARTY_PS:
        return PROOF_TRUSTED;
    case PARTY_STRANGER:
        break;
    }
    return PROOF_UNKNOWN;
}

static void resume(struct ctx *c, const char *number)
{
    struct worker *w = c->w;
    struct sip_msg m;
    struct inbound in = {.m = &m,
                         .flow = c->from_flow,
                         .proof = {.class = class_of(&c->from), .who = c->from},
                         .fingerprint = c->fingerprint};
    struct setup s;
    struct route_decision decision;

    if (c->is_final || c->is_cancelled) {
        return;
    }
    if (ctx_reframe(c, &m) != E_OK) {
        ctx_refuse(c, 500, NULL, VIEW(""));
        return;
    }
    understand(w, &in, &s);
    if (s.in->proof.class == PROOF_PROVEN && s.dialled.class != DIAL_EMERGENCY &&
        (s.line == NULL || s.line->barred)) { /* meanwhile */
        ctx_refuse(c, 403, NULL, VIEW(""));
        return;
    }
    if (number != NULL) {
        snprintf(s.keys, sizeof s.keys, "%s", number);
        s.dialled = dialplan_classify(&w->plan->dialplan, view_of(number));
        mem_free(c->call->called_back);
        c->call->called_back = mem_strdup(number); /* without memory the record says "*69" */
    }
    way_decide(w, &s, &decision);
    if (stir_enter(c, &s)) {
        send_it(w, &s, &decision, c);
    }
}

void setup_resume(struct ctx *c)
{
    resume(c, NULL);
}

void setup_resume_to(struct ctx *c, const char *number)
{
    resume(c, number);
}
