#include <stdio.h>
#include <string.h>

#include "authz/passport_int.h"

struct text { /* full: more was put into it than it holds */
    char b[PASSPORT_PART_MAX];
    size_t n;
    bool full;
};

static void put(struct text *t, const char *s)
{
    size_t n = strlen(s);
    if (n > sizeof t->b - t->n) {
        t->full = true;
        return;
    }
    memcpy(t->b + t->n, s, n);
    t->n += n;
}

/* Nothing that a claim may hold needs an escape: claims_good() has seen to that. */
static void put_quoted(struct text *t, const char *s)
{
    put(t, "\"");
    put(t, s);
    put(t, "\"");
}

static bool party_good(const struct passport_party *p)
{
    struct view tn = view_from(p->tn, strnlen(p->tn, sizeof p->tn));
    struct view uri = view_from(p->uri, strnlen(p->uri, sizeof p->uri));
    if (tn.n == sizeof p->tn || uri.n == sizeof p->uri) {
        return false;
    }
    return tn.n ? passport_is_tn(tn) && uri.n == 0 : passport_is_uri(uri);
}

static bool claims_good(const struct passport *p)
{
    if (!passport_ppt(p->type) || p->n_dest == 0 || p->n_dest > PASSPORT_DEST_MAX ||
        p->iat > PASSPORT_IAT_MAX || !party_good(&p->orig) ||
        !passport_is_x5u(view_from(p->x5u, strnlen(p->x5u, sizeof p->x5u)))) {
        return false;
    }
    for (unsigned i = 0; i < p->n_dest; i++) {
        if (!party_good(&p->dest[i])) {
            return false;
        }
    }
    if (p->type == PASSPORT_SHAKEN &&
        (!p->attest || !strchr("ABC", p->attest) ||
         !passport_is_uuid(view_from(p->origid, strnlen(p->origid, sizeof p->origid))))) {
        return false;
    }
    return p->type != PASSPORT_DIV || party_good(&p->div);
}

static void put_party(struct text *t, const char *name, const struct passport_party *p)
{
    put_quoted(t, name);
    put(t, p->tn[0] ? ":{\"tn\":" : ":{\"uri\":");
    put_quoted(t, p->tn[0] ? p->tn : p->uri);
    put(t, "}");
}

static const char *value_of(const struct passport_party *p, bool of_tn)
{
    return of_tn ? p->tn : p->uri;
}

/* "tn":["..."], in the order of their octets (RFC 8225 section 5.2.1). False: there is none. */
static bool put_values(struct text *t, const struct passport *p, bool of_tn)
{
    const char *sorted[PASSPORT_DEST_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < p->n_dest; i++) {
        const char *v = value_of(&p->dest[i], of_tn);
        unsigned at = n;
        if (!v[0]) {
            continue;
        }
        for (; at > 0 && strcmp(sorted[at - 1], v) > 0; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = v;
        n++;
    }
    for (unsigned i = 0; i < n; i++) {
        put(t, i ? "," : of_tn ? "\"tn\":[" : "\"uri\":[");
        put_quoted(t, sorted[i]);
    }
    put(t, n ? "]" : "");
    return n > 0;
}

static void put_dest(struct text *t, const struct passport *p)
{
    bool both = false;
    put(t, "\"dest\":{");
    for (unsigned i = 0; i < p->n_dest; i++) {
        both = both || (p->dest[i].tn[0] != '\0') != (p->dest[0].tn[0] != '\0');
    }
    (void)put_values(t, p, true);
    put(t, both ? "," : "");
    (void)put_values(t, p, false);
    put(t, "}");
}

static void header_of(const struct passport *p, struct text *t)
{
    put(t, "{\"alg\":\"ES256\",");
    if (p->type != PASSPORT_BASE) {
        put(t, "\"ppt\":");
        put_quoted(t, passport_ppt(p->type));
        put(t, ",");
    }
    put(t, "\"typ\":\"passport\",\"x5u\":");
    put_quoted(t, p->x5u);
    put(t, "}");
}

/* RFC 8225 section 9: names in the order of their letters, nothing between them. */
static void payload_of(const struct passport *p, struct text *t)
{
    char attest[2] = {p->attest, '\0'};
    char iat[24];
    put(t, "{");
    if (p->type == PASSPORT_SHAKEN) {
        put(t, "\"attest\":");
        put_quoted(t, attest);
        put(t, ",");
    }
    put_dest(t, p);
    if (p->type == PASSPORT_DIV) {
        put(t, ",");
        put_party(t, "div", &p->div);
    }
    (void)snprintf(iat, sizeof iat, ",\"iat\":%llu,", (unsigned long long)p->iat);
    put(t, iat);
    put_party(t, "orig", &p->orig);
    if (p->type == PASSPORT_SHAKEN) {
        put(t, ",\"origid\":");
        put_quoted(t, p->origid);
    }
    put(t, "}");
}

static size_t encoded(size_t n)
{
    return (n * 4 + 2) / 3;
}

enum err passport_make(const struct passport *p, const struct ec_key *key, char *out,
                       size_t out_bytes)
{
    struct text header = {.n = 0}, payload = {.n = 0};
    uint8_t signature[EC_SIGNATURE_BYTES];
    char token[PASSPORT_MAX];
    size_t n = 0;
    if (!claims_good(p)) {
        return FAIL(E_STATE);
    }
    header_of(p, &header);
    payload_of(p, &payload);
    n = encoded(header.n) + 1 + encoded(payload.n) + 1 + PASSPORT_SIGNATURE_CHARS;
    if (header.full || payload.full || n > sizeof token || n >= out_bytes) {
        return FAIL(E_RANGE);
    }
    n = base64url_put(view_from(header.b, header.n), token);
    token[n++] = '.';
    n += base64url_put(view_from(payload.b, payload.n), token + n);
    enum err e = ec_sign(key, view_from(token, n), signature);
    if (e != E_OK) {
        return e;
    }
    token[n++] = '.';
    n += base64url_put(view_from(signature, sizeof signature), token + n);
    memcpy(out, token, n);
    out[n] = '\0';
    return E_OK;
}
