/* A trunk that asks for a proof: its Digest challenge answered with the trunk's own user name and
 * password (RFC 3261 section 22, RFC 7616, RFC 8760). The caller never sees the challenge. */
#include <stdio.h>
#include <string.h>

#include "authz/digest.h"
#include "authz/sealed.h"
#include "gc/context.h"
#include "routing/snapshot.h"

enum { CHALLENGE_PARAMS = 32 };

struct offer { /* one challenge that we can answer; views into the response */
    struct digest_auth a;
    bool has_opaque;
};

/* ---- reading -----------------------------------------------------------------------------------
 */
/* name=token | name="quoted", and a comma or the end; quotes dropped, escapes as written. */
static enum err next_param(struct cursor *c, struct view *name, struct view *value)
{
    struct view rest;
    size_t n = 0;
    enum err e = E_OK;

    cur_space(c);
    TRY(cur_token(c, DIGEST_TEXT_MAX, name));
    cur_space(c);
    TRY(cur_lit(c, VIEW("=")));
    cur_space(c);
    if (cur_lit(c, VIEW("\"")) == E_OK) {
        rest = cur_rest(c);
        while (n < rest.n && rest.p[n] != '"') {
            n += rest.p[n] == '\\' ? 2 : 1;
        }
        if (n >= rest.n || n > DIGEST_TEXT_MAX) {
            TRY(FAIL(E_PARSE));
        }
        *value = view_sub(rest, 0, n);
        *c = cursor_over(view_sub(rest, n + 1, rest.n));
    } else {
        TRY(cur_token(c, DIGEST_TEXT_MAX, value));
    }
    cur_space(c);
    if (!cur_done(c)) {
        TRY(cur_lit(c, VIEW(",")));
    }
out:
    return e;
}

static bool offers(struct view list, struct view word)
{
    size_t at = 0;

    while (list.n > 0) {
        at = view_find(list, ',', &at) ? at : list.n;
        if (view_eq_nocase(view_trim(view_sub(list, 0, at)), word)) {
            return true;
        }
        list = view_sub(list, at + 1, list.n);
    }
    return false;
}

static enum err take_algorithm(struct view value, struct offer *o)
{
    if (view_eq_nocase(value, VIEW("SHA-256"))) {
        o->a.hash = HASH_SHA256;
        return E_OK;
    }
    return view_eq_nocase(value, VIEW("MD5")) ? E_OK : FAIL(E_NOTFOUND);
}

static enum err take_param(struct view name, struct view value, struct offer *o)
{
    if (view_eq_nocase(name, VIEW("realm"))) {
        o->a.realm = value;
    } else if (view_eq_nocase(name, VIEW("nonce"))) {
        o->a.nonce = value;
    } else if (view_eq_nocase(name, VIEW("opaque"))) {
        o->a.opaque = value;
        o->has_opaque = true;
    } else if (view_eq_nocase(name, VIEW("algorithm"))) {
        return take_algorithm(value, o);
    } else if (view_eq_nocase(name, VIEW("qop"))) {
        o->a.qop = offers(value, VIEW("auth"))       ? DIGEST_AUTH
                   : offers(value, VIEW("auth-int")) ? DIGEST_AUTH_INT
                                                     : DIGEST_NO_QOP;
    }
    return E_OK;
}

/* E_NOTFOUND: another scheme or algorithm. */
static enum err read_challenge(struct view value, struct offer *out)
{
    struct offer o = {.a = {.hash = HASH_MD5, .qop = DIGEST_NO_QOP}};
    struct cursor c;
    struct view name, text;
    enum err e = digest_is(value) ? E_OK : E_NOTFOUND;

    TRY(e);
    c = cursor_over(view_sub(value, 6, value.n));
    for (unsigned i = 0; !cur_done(&c); i++) {
        if (i == CHALLENGE_PARAMS) {
            TRY(FAIL(E_PARSE));
        }
        TRY(next_param(&c, &name, &text));
        TRY(take_param(name, text, &o));
    }
    if (o.a.nonce.n == 0) {
        TRY(FAIL(E_PARSE));
    }
    *out = o;
out:
    return e;
}

/* The first that we can answer: the trunk names them as it likes them best. */
static enum err find_offer(const struct sip_msg *m, enum sip_hdr_id id, struct offer *out)
{
    const struct sip_hdr *h = sip_header(m, id, 0);

    for (; h != NULL; h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        if (read_challenge(h->value, out) == E_OK) {
            return E_OK;
        }
    }
    return E_NOTFOUND;
}

/* ---- answering ---------------------------------------------------------------------------------
 */
static enum err ha1_of(const struct worker *w, const struct trunk *t, const struct offer *o,
                       struct secret *out)
{
    char context[SEALED_CONTEXT_MAX];
    struct secret password = {0};
    int n = snprintf(context, sizeof context, "%.*s%c%.*s", (int)t->name.n, t->name.p, 0,
                     (int)t->auth_user.n, t->auth_user.p);
    enum err e = n > 0 && (size_t)n < sizeof context ? E_OK : FAIL(E_RANGE);

    TRY(e);
    TRY(sealed_open(w->ws->sealed, SEALED_TRUNK, view_from(context, (size_t)n), t->auth_sealed,
                    &password));
    e = digest_ha1(o->a.hash, t->auth_user, o->a.realm, view_from(password.b, password.n), out);
out:
    secret_wipe(&password);
    return e;
}

static void write_credentials(struct sip_text *t, const char *header, const struct offer *o,
                              const char *response)
{
    const struct digest_auth *a = &o->a;

    sip_text_add(t, "%s: Digest username=\"%.*s\", realm=\"%.*s\", nonce=\"%.*s\", uri=\"%.*s\", ",
                 header, (int)a->username.n, a->username.p, (int)a->realm.n, a->realm.p,
                 (int)a->nonce.n, a->nonce.p, (int)a->uri.n, a->uri.p);
    sip_text_add(t, "response=\"%s\", algorithm=%s", response,
                 a->hash == HASH_SHA256 ? "SHA-256" : "MD5");
    if (a->qop != DIGEST_NO_QOP) {
        sip_text_add(t, ", qop=%s, nc=%.*s, cnonce=\"%.*s\"",
                     a->qop == DIGEST_AUTH ? "auth" : "auth-int", (int)a->nc_text.n, a->nc_text.p,
                     (int)a->cnonce.n, a->cnonce.p);
    }
    if (o->has_opaque) {
        sip_text_add(t, ", opaque=\"%.*s\"", (int)a->opaque.n, a->opaque.p);
    }
}

enum err trunk_credentials(struct worker *w, const struct trunk *t, const struct sip_msg *challenge,
                           const struct sip_msg *request, const char *uri,
                           char out[CREDENTIALS_MAX])
{
    bool is_proxy = challenge->status == 407;
    struct sip_text text = {.p = out, .max = CREDENTIALS_MAX - 1};
    struct digest_request r = {.method = request->method_text, .body = request->body};
    struct secret ha1 = {0};
    struct offer o;
    uint8_t random[8];
    char cnonce[2 * sizeof random + 1], response[DIGEST_HEX_MAX];
    enum err e =
        find_offer(challenge, is_proxy ? SIP_H_PROXY_AUTHENTICATE : SIP_H_WWW_AUTHENTICATE, &o);

    TRY(e);
    TRY(crypto_random(random, sizeof random));
    hex_put(random, sizeof random, cnonce);
    o.a.username = t->auth_user;
    o.a.uri = uri[0] != 0 ? view_of(uri) : request->uri;
    o.a.cnonce = view_of(cnonce);
    o.a.nc = 1;
    o.a.nc_text = VIEW("00000001");
    TRY(ha1_of(w, t, &o, &ha1));
    TRY(digest_response(&o.a, &ha1, &r, response));
    write_credentials(&text, is_proxy ? "Proxy-Authorization" : "Authorization", &o, response);
    if (text.bad) {
        TRY(FAIL(E_RANGE));
    }
    out[text.n] = 0;
out:
    secret_wipe(&ha1);
    return e;
}
