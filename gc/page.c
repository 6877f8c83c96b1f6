/* Requests outside of dialogs that are no INVITE and no REGISTER: MESSAGE, INFO, PUBLISH,
 * SUBSCRIBE, REFER, OPTIONS and methods that we do not know go where a call would go: to a line's
 * phones, or over a trunk. OPTIONS to us is answered here. Emergency numbers and 611 take calls
 * only. */
#include <stdio.h>
#include <string.h>

#include "gc/priority_gate.h"
#include "gc/setup.h"
#include "gc/tapping.h"
#include "gc/trunks.h"

static const char allowed[] =
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, "
    "REFER, SUBSCRIBE, NOTIFY, PUBLISH\r\n"
    "Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\n"
    "Supported: timer\r\n";
const struct view allow_header = {allowed, sizeof allowed - 1};

/* The long list is nothing to send to an address that may be forged. */
static void answer_options(struct worker *w, const struct inbound *in)
{
    char room[PRIORITY_LINE_MAX], extra[sizeof allowed + PRIORITY_LINE_MAX + 64];
    struct view accepted = in->proof.class != PROOF_UNKNOWN ? priority_accepted(w, room) : VIEW("");

    snprintf(extra, sizeof extra, "%s%s%.*s", allowed,
             w->plan->priority.is_on ? "Supported: resource-priority\r\n" : "", (int)accepted.n,
             accepted.n > 0 ? accepted.p : "");
    answer(w, in, 200, NULL, view_of(extra));
}

void options_in(struct worker *w, const struct inbound *in)
{
    if (check_extensions(w, in, SIP_H_REQUIRE)) { /* it is meant for us: we are the server */
        answer_options(w, in);
    }
}

/* These make dialogs of their own. */
static bool makes_dialog(enum sip_method m)
{
    return m == SIP_M_SUBSCRIBE || m == SIP_M_REFER;
}

static void refuse(struct worker *w, const struct inbound *in, unsigned status, const char *reason)
{
    LOG(LV_INFO, "page.refused", KV("method", in->m->method_text), KV("status", status),
        KV("line", in->proof.who.line));
    answer(w, in, status, reason, status == 503 ? VIEW("Retry-After: 5\r\n") : VIEW(""));
}

static unsigned check_line(struct worker *w, struct setup *s)
{
    s->line = s->snap != NULL ? snapshot_line(s->snap, s->in->proof.who.line) : NULL;
    if (s->line == NULL || s->line->barred ||
        identity_of_line(w, s->in, s->line, WISH_NONE, &s->id) != E_OK) {
        return 403;
    }
    return 0;
}

/* A provisioning server and a trunk that is switched off have nothing to say; a trunk's requests
 * count for its rate as its calls do. */
static unsigned check_peer(struct worker *w, struct setup *s)
{
    const struct party *who = &s->in->proof.who;
    const struct trunk *row = trunk_row(w, who->trunk);

    if (who->kind == PARTY_PS) {
        return 403;
    }
    if (row != NULL && row->disabled) {
        return 503;
    }
    identity_of_trunk(w, s->in, &s->id);
    return trunk_pass(w, who) == E_OK ? 0 : 503;
}

/* NULL: answered already. callee_line 0: somebody behind a trunk. */
static struct ctx *begin(struct worker *w, const struct inbound *in, uint64_t callee_line)
{
    bool is_usage = makes_dialog(in->m->method);
    struct call *usage = NULL;
    struct ctx *c = NULL;
    enum err e = is_usage ? usage_begin(w, in, callee_line, &usage) : E_OK;

    if (e == E_OK) {
        e = ctx_new(w, in, is_usage ? CTX_USAGE : CTX_PAGE, usage, &c);
    }
    if (e != E_OK) {
        if (usage != NULL) {
            call_end(usage, 503, "gate");
        }
        LOG(LV_INFO, "page.refused", KV("method", in->m->method_text), KV("status", 503),
            KV("line", in->proof.who.line), KV_ERR(e));
        answer(w, in, 503, NULL, VIEW("Retry-After: 5\r\n"));
        return NULL;
    }
    return c;
}

static void find_targets(struct worker *w, const struct setup *s, const struct route_decision *d,
                         struct ctx *c, struct way *y)
{
    const struct line *called = NULL;

    if (d->outcome == ROUTED_TARGETS) {
        way_find(w, s, d, c, y);
        return;
    }
    called = snapshot_line(s->snap, d->line_id);
    c->is_parallel = true;
    y->status = 480;
    y->n = called == NULL || called->barred
               ? 0
               : targets_of_line(w, d->line_id, c->target, TARGETS_MAX);
}

/* 0: it goes on. */
static unsigned status_of(const struct setup *s, const struct route_decision *d)
{
    switch ((int)d->outcome) {
    case ROUTED_LINE:
        return identity_is_unwanted(&s->id, snapshot_line(s->snap, d->line_id)) ? 433 : 0;
    case ROUTED_TARGETS:
        return 0;
    case ROUTED_BLOCKED:
        return 403;
    case ROUTED_UNUSABLE:
        return 503;
    default:
        return 404;
    }
}

void page_in(struct worker *w, const struct inbound *in)
{
    struct setup s = {.in = in, .snap = worker_snapshot(w), .dialled = dialled_of(w, in->m->uri)};
    struct route_decision d;
    struct way y = {.status = 480};
    struct ctx *c = NULL;
    unsigned status = 0;

    if (in->proof.class == PROOF_UNKNOWN) {
        challenge(w, in);
        return;
    }
    tapped_in(w, NULL, in);
    status = in->proof.class == PROOF_PROVEN ? check_line(w, &s) : check_peer(w, &s);
    if (status == 0) {
        if (!dialled_keys(w, in->m->uri, s.keys, sizeof s.keys)) {
            s.keys[0] = 0;
        }
        way_decide(w, &s, &d);
        status = status_of(&s, &d);
    }
    if (status != 0) {
        refuse(w, in, status, status == 433 ? "Anonymity Disallowed" : NULL);
        return;
    }
    c = begin(w, in, d.outcome == ROUTED_LINE ? d.line_id : 0);
    if (c == NULL) {
        return;
    }
    c->id = s.id;
    if (c->call != NULL) {
        c->call->is_private = s.id.is_private;
    }
    find_targets(w, &s, &d, c, &y);
    c->n_targets = y.n;
    if (c->n_targets == 0) {
        ctx_refuse(c, y.status, y.reason, y.status == 503 ? VIEW("Retry-After: 5\r\n") : VIEW(""));
        return;
    }
    ctx_run(c, in->m);
}
