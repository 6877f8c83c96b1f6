/* The authentication service (RFC 8224 section 6.1, RFC 8588, RFC 8946). */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/crypto.h"
#include "gc/stir_int.h"
#include "routing/snapshot.h"

/* ---- who calls, and how well that is known -----------------------------------------------------
 */
struct claim {
    char attest;
    char kind;   /* of what origid stands for: 'l' line, 't' trunk */
    uint64_t of; /* line or trunk */
    char number[PASSPORT_TN_MAX];
};

/* The number that the far end is shown; the same rules as for P-Asserted-Identity. */
static bool shown_number(struct worker *w, const struct stir_call *c, const struct trunk *to,
                         char out[PASSPORT_TN_MAX])
{
    if (c->id->is_private && c->to->is_outside) {
        return false; /* a token would tell what the message hides */
    }
    if (c->id->number[0] != 0) {
        return passport_canonical_tn(view_of(c->id->number), out);
    }
    if (c->id->asserted[0] != 0) {
        return stir_number_of(w, view_of(c->id->asserted), out);
    }
    return to->default_number.n > 0 && passport_canonical_tn(to->default_number, out);
}

static bool owns(struct worker *w, uint64_t line, const char *tn)
{
    const struct snapshot *snap = worker_snapshot(w);
    char e164[PASSPORT_TN_MAX + 1];

    snprintf(e164, sizeof e164, "+%s", tn);
    return snap != NULL && snapshot_owns_number(snap, line, view_of(e164));
}

static bool is_number(const char *tn) /* no service code, no URN */
{
    return tn[0] != 0 && strspn(tn, "0123456789") == strlen(tn);
}

/* False: this call is not ours to sign. */
static bool claim_of(struct worker *w, const struct stir_call *c, const struct trunk *to,
                     struct claim *out)
{
    struct claim q = {.kind = is_line(c->from) ? 'l' : 't'};

    if (!is_line(c->from) && c->from->kind != PARTY_GATEWAY) {
        return false; /* unproven, or a provisioning server */
    }
    if (!shown_number(w, c, to, q.number) || !is_number(q.number)) {
        return false;
    }
    q.of = is_line(c->from) ? c->from->line : c->from->trunk;
    q.attest = !is_line(c->from) ? 'C' : owns(w, c->from->line, q.number) ? 'A' : 'B';
    *out = q;
    return true;
}

/* A name for the line or trunk that says nothing to others, but the same one for each of its calls,
 * by a keyed hash. In the form of a UUID by name. */
static enum err origid_of(const struct stir *s, const struct claim *q,
                          char out[PASSPORT_ORIGID_MAX])
{
    uint8_t h[SHA256_BYTES], in[1 + sizeof q->of];
    char hex[33];
    enum err e = E_OK;

    in[0] = (uint8_t)q->kind;
    for (unsigned i = 0; i < sizeof q->of; i++) {
        in[1 + i] = (uint8_t)(q->of >> (8 * i));
    }
    TRY(hmac_sha256(s->origid, view_from(in, sizeof in), h));
    h[6] = (uint8_t)((h[6] & 0x0f) | 0x50);
    h[8] = (uint8_t)((h[8] & 0x3f) | 0x80);
    hex_put(h, 16, hex);
    snprintf(out, PASSPORT_ORIGID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
             hex + 16, hex + 20);
out:
    return e;
}

/* ---- tokens ------------------------------------------------------------------------------------
 */
static enum err sign(const struct stir_live *l, struct passport *p, const char *orig,
                     const char *dest, char out[PASSPORT_HEADER_MAX])
{
    char token[PASSPORT_MAX];
    enum err e = E_OK;

    TRY(view_to_cstr(view_of(l->url), p->x5u, sizeof p->x5u));
    TRY(view_to_cstr(view_of(orig), p->orig.tn, sizeof p->orig.tn));
    p->n_dest = 1;
    TRY(passport_canonical_tn(view_of(dest), p->dest[0].tn) ? E_OK : E_STATE);
    TRY(passport_make(p, l->key, token, sizeof token));
    TRY(identity_header_write(p, token, out, PASSPORT_HEADER_MAX));
out:
    return e;
}

static const enum meter signed_meter[] = {METER_STIR_SIGNED_A, METER_STIR_SIGNED_B,
                                          METER_STIR_SIGNED_C};

static enum err sign_shaken(struct worker *w, const struct stir_live *l, const struct claim *q,
                            const char *called, char out[PASSPORT_HEADER_MAX])
{
    struct passport p = {
        .type = PASSPORT_SHAKEN, .iat = worker_now_us(w) / 1000000, .attest = q->attest};
    enum err e = E_OK;

    TRY(origid_of(w->ws->cfg.stir, q, p.origid));
    TRY(sign(l, &p, q->number, called, out));
    meter(w, signed_meter[q->attest - 'A']);
out:
    return e;
}

/* One token for all of our own hops: from the number that was called to where the call goes. */
static enum err sign_div(struct worker *w, const struct stir_live *l, const char *orig,
                         const struct diversions *via, char out[PASSPORT_HEADER_MAX])
{
    struct passport p = {.type = PASSPORT_DIV, .iat = worker_now_us(w) / 1000000};
    enum err e = E_OK;

    TRY(passport_canonical_tn(view_of(via->d[0].by), p.div.tn) ? E_OK : E_STATE);
    TRY(sign(l, &p, orig, via->d[via->n - 1].to, out));
    meter(w, METER_STIR_SIGNED_DIV);
out:
    return e;
}

/* ---- the door ----------------------------------------------------------------------------------
 */
bool stir_keeps(const struct stir_call *c)
{
    return c->verdict != NULL && c->verdict->outcome == STIR_PASSED && c->to->trunk != 0 &&
           !c->from->is_doubted && /* whose headers do not cross the boundary */
           !(c->id->is_private && c->to->is_outside);
}

static unsigned sign_all(struct worker *w, const struct stir_live *l, const struct stir_call *c,
                         const struct trunk *to, char text[STIR_HEADERS_MAX][PASSPORT_HEADER_MAX],
                         char *out_attest)
{
    struct claim q;
    bool is_diverted = c->via != NULL && c->via->n > 0;
    const char *first = is_diverted ? c->via->d[0].by : c->called;
    unsigned n = 0;
    enum err e = E_OK;

    if (!claim_of(w, c, to, &q)) {
        return 0;
    }
    if (stir_keeps(c)) {
        q.attest = c->verdict->attest;
    } else {
        TRY(sign_shaken(w, l, &q, first, text[n]));
        n++;
    }
    *out_attest = q.attest;
    if (is_diverted) {
        TRY(sign_div(w, l, q.number, c->via, text[n]));
        n++;
    }
out:
    if (e != E_OK) { /* the call goes on, unsigned or signed in part */
        meter(w, METER_STIR_SIGN_FAILED);
        LOG(LV_ERROR, "stir.not_signed", KV("trunk", to->name), KV_ERR(e),
            KV("where", err_where()));
    }
    return n;
}

unsigned stir_sign(struct worker *w, const struct stir_call *c,
                   char text[STIR_HEADERS_MAX][PASSPORT_HEADER_MAX], char *out_attest)
{
    const struct trunk *to = trunk_row(w, c->to->trunk);
    struct stir_live *l = NULL;
    unsigned n = 0;

    *out_attest = 0;
    if (w->ws->cfg.stir == NULL || to == NULL || !to->stir_sign) {
        return 0;
    }
    l = stir_hold(w->ws->cfg.stir);
    if (l->key != NULL) {
        n = sign_all(w, l, c, to, text, out_attest);
    }
    stir_let_go(l);
    return n;
}

void stir_date(struct worker *w, char out[STIR_DATE_MAX])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(worker_now_us(w) / 1000000);
    struct tm t;

    BUG_ON(gmtime_r(&now, &t) == NULL);
    snprintf(out, STIR_DATE_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
             months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}
