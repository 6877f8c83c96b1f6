/* Requests outside of dialogs that are no INVITE and no REGISTER: MESSAGE, INFO, PUBLISH,
 * SUBSCRIBE, REFER, OPTIONS and methods that we do not know go from line to line; OPTIONS to us is
 * answered here. */
#include <stdio.h>
#include <string.h>

#include "gc/context.h"

static const char allowed[] =
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, "
    "REFER, SUBSCRIBE, NOTIFY, PUBLISH\r\n"
    "Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\n"
    "Supported: timer\r\n";
const struct view allow_header = {allowed, sizeof allowed - 1};

void options_in(struct worker *w, const struct inbound *in)
{
    if (check_extensions(w, in, SIP_H_REQUIRE)) { /* it is meant for us: we are the server */
        answer(w, in, 200, NULL, allow_header);
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
    answer(w, in, status, reason, VIEW(""));
}

static unsigned check_sender(struct worker *w, const struct inbound *in, const struct snapshot *s,
                             char asserted[ASSERTED_MAX])
{
    char number[DIAL_E164_MAX];
    const struct line *line = NULL;

    if (in->proof.class != PROOF_PROVEN) {
        return 0;
    }
    line = s != NULL ? snapshot_line(s, in->proof.who.line) : NULL;
    if (line == NULL || line->barred || identity_of(w, in, line, number, asserted) != E_OK) {
        return 403;
    }
    return 0;
}

/* NULL: answered already. */
static struct ctx *begin(struct worker *w, const struct inbound *in, const struct line *called)
{
    bool is_usage = makes_dialog(in->m->method);
    struct call *usage = NULL;
    struct ctx *c = NULL;
    enum err e = is_usage ? usage_begin(w, in, called->line_id, &usage) : E_OK;

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

void page_in(struct worker *w, const struct inbound *in)
{
    const struct snapshot *s = worker_snapshot(w);
    struct dialled d = dialled_of(w, in->m->uri);
    const struct line *called = NULL;
    char asserted[ASSERTED_MAX] = "";
    struct ctx *c = NULL;
    struct sip_uri uri;
    unsigned status = 0;

    if (in->proof.class == PROOF_UNKNOWN) {
        challenge(w, in);
        return;
    }
    status = check_sender(w, in, s, asserted);
    if (status != 0) {
        refuse(w, in, status, NULL);
        return;
    }
    if (d.class == DIAL_SUBSCRIBER && s != NULL && sip_uri_parse(in->m->uri, &uri) == E_OK &&
        (uri.scheme == SIP_SCHEME_TEL || worker_is_us(w, &uri))) {
        called = snapshot_line_of_number(s, view_of(d.e164));
    }
    if (called == NULL) {
        refuse(w, in, 404, NULL);
        return;
    }
    c = begin(w, in, called);
    if (c == NULL) {
        return;
    }
    memcpy(c->asserted, asserted, sizeof c->asserted);
    c->is_parallel = true;
    c->n_targets = called->barred ? 0 : targets_of_line(w, called->line_id, c->target, TARGETS_MAX);
    if (c->n_targets == 0) {
        ctx_refuse(c, 480, NULL, VIEW(""));
        return;
    }
    ctx_run(c, in->m);
}
