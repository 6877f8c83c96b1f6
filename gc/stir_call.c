/* Where calls meet STIR: the verdict of one that came from a trunk, the tokens of one that leaves.
 */
#include <stdio.h>
#include <string.h>

#include "gc/park.h"
#include "gc/stir_int.h"
#include "routing/snapshot.h"

/* ---- out ---------------------------------------------------------------------------------------
 */
static bool is_gateway(const struct party *p)
{
    return p->kind == PARTY_GATEWAY;
}

/* Of a parameter verstat that begins at this ';': what is behind it. NULL: it is another. Its name
 * may be escaped, since somebody behind us may read it so. */
static char *behind_verstat(char *at)
{
    static const char name[] = "verstat";

    at++;
    for (size_t i = 0; i < sizeof name - 1; i++) {
        uint8_t c = (uint8_t)*at;
        if (c == '%' && at[1] != 0 && hex_get(view_from(at + 1, 2), &c, 1) == E_OK) {
            at += 2;
        }
        if ((c | 32) != (uint8_t)name[i]) {
            return NULL;
        }
        at++;
    }
    return strchr("=;@>?", *at) != NULL ? at + strcspn(at, ";@>?") : NULL;
}

void stir_clean(struct ctx *c)
{
    char *at = c->stir.outcome != STIR_NONE ? strrchr(c->id.asserted, '<') : NULL;

    while (at != NULL && (at = strchr(at, ';')) != NULL) {
        char *behind = behind_verstat(at);
        if (behind != NULL) {
            memmove(at, behind, strlen(behind) + 1);
        } else {
            at++;
        }
    }
}

/* 3GPP TS 24.229 section 7.2A.20: a parameter of the number, before the "@". False: it is no
 * number, or does not fit. */
static bool put_verstat(const char *asserted, const char *verstat, char out[ASSERTED_MAX])
{
    struct sip_name_addr a;
    const char *at = NULL;
    int n = 0;

    if (sip_name_addr_parse(view_of(asserted), &a) != E_OK || a.uri.user.n == 0) {
        return false;
    }
    at = a.uri.scheme == SIP_SCHEME_TEL ? a.uri_text.p + a.uri_text.n : a.uri.user.p + a.uri.user.n;
    n = snprintf(out, ASSERTED_MAX, "%.*s;verstat=%s%s", (int)(at - asserted), asserted, verstat,
                 at);
    return n > 0 && n < ASSERTED_MAX;
}

/* What a line that may see the caller is told of the check. */
static void show_line(const struct ctx *c, struct forwarding *f, struct stir_room *room)
{
    const char *verstat = stir_verstat(c->stir.outcome);

    if (verstat != NULL && !f->shows_none && c->id.asserted[0] != 0 &&
        put_verstat(c->id.asserted, verstat, room->asserted)) {
        f->asserted = room->asserted;
    }
}

void stir_leave(struct ctx *c, const struct party *to, struct forwarding *f, struct stir_room *room)
{
    struct stir_call call = {.id = &c->id,
                             .via = c->divert != NULL ? &c->divert->all : NULL,
                             .called = c->call != NULL ? c->call->routed : "",
                             .from = &c->from,
                             .to = to,
                             .verdict = &c->stir};
    char attest = 0;
    unsigned n = 0;

    room->note[0] = 0;
    f->drops_identity = !is_gateway(to) || c->stir.outcome == STIR_FAILED;
    if (c->kind != CTX_SETUP || c->is_emergency || c->is_provisioning || !is_gateway(to)) {
        show_line(c, f, room);
        return;
    }
    n = stir_sign(c->w, &call, room->text, &attest);
    if (attest == 0) {
        return;
    }
    f->drops_identity = !stir_keeps(&call);
    for (unsigned i = 0; i < n && f->n_extra < FORWARD_EXTRA_MAX; i++) {
        f->extra[f->n_extra++] = room->text[i];
    }
    if (n > 0) {
        stir_date(c->w, room->date);
        f->date = room->date;
        snprintf(room->note, sizeof room->note, "signed %c", attest);
    }
    c->call->attest = c->call->attest != 0 ? c->call->attest : attest;
}

/* ---- in ----------------------------------------------------------------------------------------
 */
void stir_note(const struct stir_verdict *v, char out[STIR_NOTE_MAX])
{
    static const char *const words[] = {[STIR_PASSED] = "passed",
                                        [STIR_FAILED] = "failed",
                                        [STIR_UNKNOWN] = "unknown",
                                        [STIR_WAITS] = "waits"};

    out[0] = 0;
    if (v->outcome == STIR_PASSED && v->attest != 0) {
        snprintf(out, STIR_NOTE_MAX, " stir=%c", v->attest);
    } else if (v->outcome != STIR_NONE) {
        snprintf(out, STIR_NOTE_MAX, " stir=%s: %.40s", words[v->outcome], v->why);
    }
}

static void on_certificate(struct ctx *c, const void *answer, size_t n)
{
    (void)n;
    if (answer == NULL) {
        c->stir_due_ms = loop_now_ms(c->w->loop);
    }
    setup_resume(c);
}

/* False: it goes on without waiting. */
static bool wait_for_it(struct ctx *c, const struct setup *s)
{
    uint64_t now = loop_now_ms(c->w->loop), ticket = 0;

    ctx_announce(c, s->in, "stir=waits for a certificate");
    c->stir_due_ms = c->stir_due_ms != 0 ? c->stir_due_ms : now + c->w->set->stir_wait_ms;
    ticket = park(c, (unsigned)(c->stir_due_ms - now), on_certificate);
    if (ticket == 0) {
        c->stir_due_ms = now;
        stir_forget(&c->stir);
        return false;
    }
    stir_wait(c->w, &c->stir, ticket);
    return true;
}

static void reject(struct ctx *c, const struct setup *s)
{
    const struct stir_verdict *v = &c->stir;
    char reason[80], note[STIR_NOTE_MAX];

    stir_note(v, note);
    ctx_announce(c, s->in, note + 1);
    meter(c->w, METER_STIR_REJECTED);
    LOG(LV_INFO, "call.refused", KV("reason", "stir"), KV("status", v->status),
        KV("line", c->from.line), KV("call_id", s->in->m->call_id));
    snprintf(reason, sizeof reason, "Reason: STIR;cause=%u;text=\"%s\"\r\n", v->status, v->reason);
    ctx_refuse(c, v->status, v->reason, view_of(reason));
}

bool stir_enter(struct ctx *c, const struct setup *s)
{
    struct worker *w = c->w;
    const struct trunk *from = is_gateway(&c->from) ? trunk_row(w, c->from.trunk) : NULL;
    bool may_wait =
        w->set->stir_wait_ms > 0 && (c->stir_due_ms == 0 || loop_now_ms(w->loop) < c->stir_due_ms);

    if (from == NULL || c->has_verdict || s->is_call_back || s->dialled.class == DIAL_EMERGENCY ||
        s->dialled.class == DIAL_PROVISIONING) {
        return true;
    }
    stir_check(w, s->in, from, may_wait, &c->stir);
    if (c->stir.outcome == STIR_WAITS) {
        if (wait_for_it(c, s)) {
            return false;
        }
        stir_check(w, s->in, from, false, &c->stir);
    }
    c->has_verdict = true;
    c->call->attest = c->stir.outcome == STIR_FAILED ? '-' : c->stir.attest;
    if (from->stir_verify == STIR_VERIFY_REJECT && c->stir.status != 0) {
        reject(c, s);
        return false;
    }
    return true;
}
