/* What a code asks of the database, and what becomes of the answer. */
#include <stdio.h>
#include <string.h>

#include "gc/last_calls.h"
#include "gc/park.h"
#include "gc/setup.h"

enum { PATIENCE_MS = 5000 };

#define RETRY VIEW("Retry-After: 5\r\n")

static void refuse(struct ctx *c, unsigned status)
{
    LOG(LV_INFO, "feature.refused", KV("call", (const char *)c->call->id), KV("status", status),
        KV("line", c->call->caller_line));
    ctx_refuse(c, status, NULL, status == 503 ? RETRY : VIEW(""));
}

/* ---- the answer --------------------------------------------------------------------------------
 */
static const struct line_answer *read_answer(struct ctx *c, const void *answer, size_t n)
{
    const struct line_answer *a = answer;

    if (c->is_final || c->is_cancelled) {
        return NULL;
    }
    if (a == NULL) {
        refuse(c, 503);
        return NULL;
    }
    BUG_ON(n != sizeof *a);
    if (a->e != E_OK) {
        refuse(c, a->e == E_NOTFOUND ? 480 : a->e == E_DENIED ? 403 : 503);
        return NULL;
    }
    return a;
}

static void on_done(struct ctx *c, const void *answer, size_t n)
{
    if (read_answer(c, answer, n) != NULL) {
        own_answer(c);
    }
}

/* Who hid, or was not known, is not called back: the line would learn who it was. */
static void on_last_call(struct ctx *c, const void *answer, size_t n)
{
    const struct line_answer *a = read_answer(c, answer, n);

    if (a == NULL) {
        return;
    }
    if (a->last.started_us == 0 || a->last.is_private || a->last.caller[0] != '+') {
        refuse(c, 480);
        return;
    }
    setup_resume_to(c, a->last.caller);
}

/* ---- the question ------------------------------------------------------------------------------
 */
static enum err send_ask(struct worker *w, const struct line_ask *ask)
{
    const struct workers *ws = w->ws;

    if (ws->seam.line_ask != NULL) {
        return ws->seam.line_ask(ws->seam.arg, ask);
    }
    return ws->store != NULL ? store_line_ask(ws->store, ask) : E_IO;
}

static void ask_for(struct worker *w, struct ctx *c, struct line_ask *ask, park_fn *fn)
{
    enum err e = E_OK;

    ask->worker = w->index;
    ask->ticket = park(c, PATIENCE_MS, fn);
    e = ask->ticket != 0 ? send_ask(w, ask) : E_FULL;
    if (e != E_OK) {
        refuse(c, 503); /* what is parked sees that it is over */
    }
}

/* A number that the line may call itself: not its own, none that must always be free, none that is
 * blocked. 0, and the number; or a status. */
static unsigned number_for(struct worker *w, const struct setup *s, struct view rest,
                           char out[DIAL_E164_MAX])
{
    struct route_query q = way_query(w, s->snap);
    struct route_decision d;
    char keys[SIP_MAX_URI + 8];

    if (rest.n == 0 || dialplan_keys(&w->plan->dialplan, rest, VIEW(""), view_of(w->set->domain),
                                     keys, sizeof keys) != E_OK) {
        return 404;
    }
    q.keys = view_of(keys);
    q.usable = NULL; /* a trunk that is away for now is no reason */
    route_decide(&q, &d);
    switch (d.outcome) {
    case ROUTED_LINE:
        if (d.line_id == s->line->line_id) {
            return 403;
        }
        break;
    case ROUTED_TARGETS:
        break;
    case ROUTED_NOWHERE:
    case ROUTED_NO_TRANSIT:
    case ROUTED_INVALID:
        return 404;
    case ROUTED_PROVISIONING:
    case ROUTED_EMERGENCY:
    case ROUTED_UNUSABLE:
    case ROUTED_BLOCKED:
        return 403;
    }
    if (d.dialled.class != DIAL_SUBSCRIBER || d.is_feature) {
        return 404;
    }
    memcpy(out, d.dialled.e164, DIAL_E164_MAX);
    return 0;
}

/* ---- P-DCS-Trace-Party-ID (RFC 5503 section 5) -------------------------------------------------
 */
/* Target-Dialog (RFC 4538) names the dialog; what P-DCS-Trace-Party-ID says of its caller counts
 * for nothing, who called in it is known here. */
static unsigned dialog_for(struct worker *w, const struct setup *s, struct last_call *out)
{
    const struct sip_msg *m = s->in->m;
    const struct sip_hdr *party = sip_header_named(m, VIEW("P-DCS-Trace-Party-ID"));
    const struct sip_hdr *target = sip_header_named(m, VIEW("Target-Dialog"));
    struct view params, remote, local;
    size_t semi = 0;

    if (party == NULL || target == NULL || !view_find(target->value, ';', &semi)) {
        return 403;
    }
    params = view_sub(target->value, semi + 1, target->value.n);
    if (!sip_param(params, VIEW("remote-tag"), &remote) ||
        !sip_param(params, VIEW("local-tag"), &local) || local.n == 0 ||
        !last_calls_find_dialog(
            w->ws->last_calls, s->line->line_id,
            view_sub(view_trim(view_sub(target->value, 0, semi)), 0, sizeof out->call_id - 1),
            remote, out)) {
        return 403;
    }
    /* By its Call-ID it is told from later calls; the database takes the later one of two. */
    out->started_us = worker_now_us(w);
    return 0;
}

/* ---- the codes ---------------------------------------------------------------------------------
 */
/* 0: *ask is ready. */
static unsigned prepare(struct worker *w, const struct setup *s, struct line_ask *ask)
{
    const struct feature *f = s->feature;
    struct view keys = view_of(s->keys), rest = view_sub(keys, strlen(f->code), keys.n);
    char number[DIAL_E164_MAX] = "";
    unsigned status = 0;

    *ask =
        (struct line_ask){.kind = LINE_ASK_SET, .setting = f->setting, .line_id = s->line->line_id};
    switch (f->does) {
    case FEATURE_SETS_NUMBER:
        status = number_for(w, s, rest, number);
        snprintf(ask->value, sizeof ask->value, "%.31s", number);
        return status;
    case FEATURE_TRACES_DIALOG:
        ask->kind = LINE_ASK_TRACE;
        return dialog_for(w, s, &ask->known);
    case FEATURE_SETS:
        snprintf(ask->value, sizeof ask->value, "%s", f->value);
        break;
    case FEATURE_TRACES:
    case FEATURE_RETURNS:
        ask->kind = f->does == FEATURE_TRACES ? LINE_ASK_TRACE : LINE_ASK_LAST_CALL;
        last_calls_find(w->ws->last_calls, s->line->line_id, &ask->known);
        break;
    case FEATURE_HIDES:
    case FEATURE_SHOWS:
        BUG_ON(true);
    }
    return rest.n > 0 ? 404 : 0; /* nothing follows these */
}

void feature_run(struct worker *w, const struct setup *s, struct ctx *c)
{
    struct line_ask ask;
    unsigned status = 0;

    c->id = s->id;
    c->call->is_private = s->id.is_private;
    call_route(c->call, "feature", 0, s->feature->words);
    ctx_announce(c, s->in, s->feature->words);
    meter(w, METER_FEATURES);
    status = prepare(w, s, &ask);
    if (status == 0 && s->feature->does != FEATURE_RETURNS && !own_can_answer(s->in->m)) {
        status = 488;
    }
    if (status != 0) {
        refuse(c, status);
        return;
    }
    ask_for(w, c, &ask, s->feature->does == FEATURE_RETURNS ? on_last_call : on_done);
}
