/* One Via value (RFC 3261 sections 20.42 and 25.1). */
#include "signaling/sip_msg.h"
#include "signaling/sip_uri.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks and folds. */
static void skip_lws(struct cursor *c)
{
    while (c->at < c->end && is_blank(*c->at)) {
        c->at++;
    }
}

static enum err slash(struct cursor *c)
{
    enum err e = E_OK;

    skip_lws(c);
    TRY(cur_lit(c, VIEW("/")));
    skip_lws(c);
out:
    return e;
}

/* "SIP" SLASH version SLASH transport LWS, with blanks where the grammar lets them stand. */
static enum err sent_protocol(struct cursor *c, struct sip_via *v)
{
    enum err e = E_OK;

    TRY(cur_lit_nocase(c, VIEW("SIP")));
    TRY(slash(c));
    TRY(cur_token(c, 8, &v->version));
    TRY(slash(c));
    TRY(cur_token(c, 16, &v->transport));
    TRY(c->at < c->end && is_blank(*c->at) ? E_OK : FAIL(E_PARSE));
    skip_lws(c);
out:
    return e;
}

static enum err via_address(struct cursor *c, struct sip_via *v)
{
    struct view rest;
    uint64_t port = 0;
    bool bracketed = false;
    enum err e = E_PARSE;
    size_t n = 0;

    TRY(sent_protocol(c, v));
    rest = cur_rest(c);
    if (cur_lit(c, VIEW("[")) == E_OK) {
        bracketed = true;
        TRY(cur_until(c, ']', &v->host));
    } else {
        while (n < rest.n && rest.p[n] != ':' && rest.p[n] != ';' && !is_blank(rest.p[n])) {
            n++;
        }
        v->host = view_sub(rest, 0, n);
        c->at += n;
    }
    TRY(sip_host_ok(v->host, bracketed) ? E_OK : FAIL(E_PARSE));
    skip_lws(c);
    if (cur_lit(c, VIEW(":")) == E_OK) {
        skip_lws(c);
        TRY(cur_u64(c, 65535, &port));
        TRY(port != 0 ? E_OK : FAIL(E_PARSE));
        skip_lws(c);
    }
    v->port = (uint16_t)port;
out:
    return e;
}

enum err sip_via_parse(struct view value, struct sip_via *out)
{
    struct sip_via v = {.first_value = value};
    struct cursor c = cursor_over(value);
    struct view params, text;
    uint64_t port = 0;
    enum err e = E_PARSE;

    TRY(via_address(&c, &v));
    params = cur_rest(&c);
    if (params.n > 0) {
        TRY(params.p[0] == ';' && params.n > 1 ? E_OK : FAIL(E_PARSE));
        params = view_sub(params, 1, params.n);
        TRY(sip_params_ok(params) ? E_OK : FAIL(E_PARSE));
    }
    (void)sip_param(params, VIEW("branch"), &v.branch);
    (void)sip_param(params, VIEW("received"), &v.received);
    v.has_rport = sip_param(params, VIEW("rport"), &text);
    if (v.has_rport && text.n > 0) {
        TRY(view_to_u64(text, 65535, &port));
        v.rport = (uint16_t)port;
    }
    TRY(v.branch.n <= 255 ? E_OK : FAIL(E_RANGE));
    *out = v;
out:
    return e;
}
