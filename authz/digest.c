#include "authz/digest.h"

#include <string.h>

#define SESSION_LABEL "headgate v1 digest password"

/* ---- reading -----------------------------------------------------------------------------------
 */
enum param {
    P_USERNAME,
    P_REALM,
    P_NONCE,
    P_URI,
    P_RESPONSE,
    P_ALGORITHM,
    P_CNONCE,
    P_OPAQUE,
    P_QOP,
    P_NC,
    P_USERHASH,
    P_COUNT
};

static const struct view names[P_COUNT] = {
    {"username", 8}, {"realm", 5},  {"nonce", 5}, {"uri", 3}, {"response", 8}, {"algorithm", 9},
    {"cnonce", 6},   {"opaque", 6}, {"qop", 3},   {"nc", 2},  {"userhash", 8}};

struct params {
    struct view v[P_COUNT];
    bool has[P_COUNT];
};

/* Blanks, folds among them: the framer has seen that a line end is followed by a blank. */
static void skip_blanks(struct cursor *c)
{
    while (!cur_done(c) && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n')) {
        c->at++;
    }
}

/* What stands between the quotes; the opening one has been read. */
static enum err quoted(struct cursor *c, struct view *out)
{
    struct view rest = cur_rest(c);

    for (size_t i = 0; i < rest.n; i++) {
        unsigned char x = (unsigned char)rest.p[i];
        if (x == '"') {
            *out = view_sub(rest, 0, i);
            c->at += i + 1;
            return E_OK;
        }
        if (x == '\\') {
            i++;
            x = i < rest.n ? (unsigned char)rest.p[i] : 0;
        }
        if (x < ' ' || x == 0x7f) { /* tabs too: nothing of ours holds one */
            break;
        }
    }
    return FAIL(E_PARSE);
}

static enum err one(struct cursor *c, struct view *name, struct view *value)
{
    enum err e = cur_token(c, DIGEST_TEXT_MAX, name);

    TRY(e);
    skip_blanks(c);
    TRY(cur_lit(c, VIEW("=")));
    skip_blanks(c);
    if (cur_lit(c, VIEW("\"")) == E_OK) {
        TRY(quoted(c, value));
    } else {
        TRY(cur_token(c, DIGEST_TEXT_MAX, value));
    }
    skip_blanks(c);
out:
    return e;
}

static enum err note(struct params *p, struct view name, struct view value)
{
    for (unsigned i = 0; i < P_COUNT; i++) {
        if (!view_eq_nocase(name, names[i])) {
            continue;
        }
        if (p->has[i]) {
            return FAIL(E_PARSE);
        }
        if (value.n > (i == P_URI ? DIGEST_URI_MAX : DIGEST_TEXT_MAX)) {
            return FAIL(E_RANGE);
        }
        p->has[i] = true;
        p->v[i] = value;
    }
    return E_OK; /* others say nothing to us */
}

static enum err read_params(struct view text, struct params *p)
{
    struct cursor c = cursor_over(text);
    struct view name, value;
    enum err e = E_OK;

    for (unsigned n = 0;; n++) {
        if (n == DIGEST_PARAMS_MAX) {
            return FAIL(E_RANGE);
        }
        skip_blanks(&c);
        TRY(one(&c, &name, &value));
        TRY(note(p, name, value));
        if (cur_done(&c)) {
            return E_OK;
        }
        TRY(cur_lit(&c, VIEW(",")));
    }
out:
    return e;
}

static enum err read_algorithm(const struct params *p, enum hash_kind *out)
{
    *out = HASH_MD5;
    if (!p->has[P_ALGORITHM] || view_eq_nocase(p->v[P_ALGORITHM], VIEW("MD5"))) {
        return E_OK;
    }
    *out = HASH_SHA256;
    return view_eq_nocase(p->v[P_ALGORITHM], VIEW("SHA-256")) ? E_OK : FAIL(E_PARSE);
}

static enum err read_qop(const struct params *p, struct digest_auth *a)
{
    uint8_t nc[4];

    if (!p->has[P_QOP]) {
        return p->has[P_NC] || p->has[P_CNONCE] ? FAIL(E_PARSE) : E_OK;
    }
    a->qop = view_eq_nocase(p->v[P_QOP], VIEW("auth"))       ? DIGEST_AUTH
             : view_eq_nocase(p->v[P_QOP], VIEW("auth-int")) ? DIGEST_AUTH_INT
                                                             : DIGEST_NO_QOP;
    if (a->qop == DIGEST_NO_QOP || p->v[P_CNONCE].n == 0 || p->v[P_NC].n != 2 * sizeof nc ||
        hex_get(p->v[P_NC], nc, sizeof nc) != E_OK) {
        return FAIL(E_PARSE);
    }
    a->nc = (uint32_t)nc[0] << 24 | (uint32_t)nc[1] << 16 | (uint32_t)nc[2] << 8 | nc[3];
    return a->nc != 0 ? E_OK : FAIL(E_PARSE);
}

bool digest_is(struct view header_value)
{
    return view_starts_nocase(header_value, VIEW("Digest")) && header_value.n > 6 &&
           !is_token_char((unsigned char)header_value.p[6]);
}

enum err digest_parse(struct view header_value, struct digest_auth *out)
{
    static const enum param needed[] = {P_USERNAME, P_REALM, P_NONCE, P_URI, P_RESPONSE};
    struct params p = {.has = {false}};
    struct digest_auth a = {.qop = DIGEST_NO_QOP};
    enum err e = E_OK;

    if (!digest_is(header_value)) {
        return FAIL(E_NOTFOUND);
    }
    TRY(read_params(view_sub(header_value, 6, header_value.n), &p));
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (p.v[needed[i]].n == 0) {
            return FAIL(E_PARSE);
        }
    }
    if (p.has[P_USERHASH] && !view_eq_nocase(p.v[P_USERHASH], VIEW("false"))) {
        return FAIL(E_PARSE); /* we offer none */
    }
    TRY(read_algorithm(&p, &a.hash));
    TRY(read_qop(&p, &a));
    a.username = p.v[P_USERNAME];
    a.realm = p.v[P_REALM];
    a.nonce = p.v[P_NONCE];
    a.uri = p.v[P_URI];
    a.response = p.v[P_RESPONSE];
    a.cnonce = p.v[P_CNONCE];
    a.opaque = p.v[P_OPAQUE];
    a.nc_text = p.v[P_NC];
    *out = a;
out:
    return e;
}

/* ---- computing ---------------------------------------------------------------------------------
 */
#define COLON VIEW(":")

enum err digest_ha1(enum hash_kind hash, struct view username, struct view realm,
                    struct view password, struct secret *out)
{
    const struct view parts[] = {username, COLON, realm, COLON, password};
    uint8_t made[SHA256_BYTES];
    enum err e = hash_parts(hash, parts, sizeof parts / sizeof parts[0], made);

    TRY(e);
    TRY(secret_set(out, made, hash_bytes(hash)));
out:
    wipe(made, sizeof made);
    return e;
}

/* H(method ":" uri), with auth-int ":" H(body) behind it; in hex. */
static enum err ha2(const struct digest_auth *a, const struct digest_request *r,
                    char out[DIGEST_HEX_MAX])
{
    uint8_t made[SHA256_BYTES];
    char body[DIGEST_HEX_MAX] = "";
    struct view parts[5] = {r->method, COLON, a->uri, COLON};
    size_t n = 3;
    enum err e = E_OK;

    if (a->qop == DIGEST_AUTH_INT) {
        TRY(hash_parts(a->hash, &r->body, 1, made));
        hex_put(made, hash_bytes(a->hash), body);
        parts[4] = view_of(body);
        n = 5;
    }
    TRY(hash_parts(a->hash, parts, n, made));
    hex_put(made, hash_bytes(a->hash), out);
out:
    return e;
}

static enum err respond(const struct digest_auth *a, const struct secret *ha1,
                        const struct digest_request *r, uint8_t out[SHA256_BYTES])
{
    char first[DIGEST_HEX_MAX], last[DIGEST_HEX_MAX];
    struct view parts[11] = {[1] = COLON, a->nonce, COLON};
    size_t n = 4;
    enum err e = E_OK;

    if (ha1->n != hash_bytes(a->hash)) {
        return FAIL(E_RANGE);
    }
    hex_put(ha1->b, ha1->n, first);
    TRY(ha2(a, r, last));
    parts[0] = view_of(first);
    if (a->qop != DIGEST_NO_QOP) {
        parts[n++] = a->nc_text;
        parts[n++] = COLON;
        parts[n++] = a->cnonce;
        parts[n++] = COLON;
        parts[n++] = a->qop == DIGEST_AUTH ? VIEW("auth") : VIEW("auth-int");
        parts[n++] = COLON;
    }
    parts[n++] = view_of(last);
    TRY(hash_parts(a->hash, parts, n, out));
out:
    wipe(first, sizeof first);
    return e;
}

enum err digest_response(const struct digest_auth *a, const struct secret *ha1,
                         const struct digest_request *r, char out[DIGEST_HEX_MAX])
{
    uint8_t made[SHA256_BYTES];
    enum err e = respond(a, ha1, r, made);

    if (e == E_OK) {
        hex_put(made, hash_bytes(a->hash), out);
    }
    wipe(made, sizeof made);
    return e;
}

enum err digest_check(const struct digest_auth *a, const struct secret *ha1,
                      const struct digest_request *r)
{
    uint8_t made[SHA256_BYTES], given[SHA256_BYTES];
    size_t n = hash_bytes(a->hash);
    enum err e = respond(a, ha1, r, made);

    TRY(e);
    if (a->response.n != 2 * n || hex_get(a->response, given, n) != E_OK ||
        !bytes_eq(made, given, n)) {
        TRY(FAIL(E_AUTH));
    }
out:
    wipe(made, sizeof made);
    return e;
}

enum err digest_session_password(const struct secret *key, char out[DIGEST_PASSWORD_BYTES])
{
    uint8_t mac[SHA256_BYTES];
    enum err e = hmac_sha256(key, VIEW(SESSION_LABEL), mac);

    if (e == E_OK) {
        hex_put(mac, (DIGEST_PASSWORD_BYTES - 1) / 2, out);
    }
    wipe(mac, sizeof mac);
    return e;
}
