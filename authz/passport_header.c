/* The Identity header: RFC 8224 section 4. */
#include <stdio.h>
#include <string.h>

#include "authz/passport_int.h"

enum { PARAMS_MAX = 16, PARAM_NAME_MAX = 32, PARAM_VALUE_MAX = 256 };

static enum err refuse(const char **why, const char *text)
{
    *why = text;
    return FAIL(E_PARSE);
}

static char next(const struct cursor *c)
{
    return c->at < c->end ? *c->at : '\0';
}

static bool is_token_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit((unsigned char)c) ||
           (c && strchr("-_.", c));
}

/* The dots stand before payload and signature, or both before the signature. */
static const char *read_token(struct cursor *c, struct identity_header *h)
{
    const char *from = c->at;
    size_t dots = 0;
    while (c->at < c->end && is_token_octet(*c->at)) {
        dots += *c->at == '.';
        c->at++;
    }
    h->token = view_from(from, (size_t)(c->at - from));
    h->is_compact = view_starts(h->token, VIEW(".."));
    if (h->token.n > PASSPORT_MAX) {
        return "the token is too long";
    }
    return dots == 2 && (h->is_compact || (from[0] != '.' && !memmem(from, h->token.n, "..", 2))) &&
                   h->token.p[h->token.n - 1] != '.'
               ? NULL
               : "no token of three parts";
}

/* "..." without its quotes; a value with an escape in it is none that we know. */
static bool read_quoted(struct cursor *c, struct view *out)
{
    struct view v = {0};
    if (cur_lit(c, VIEW("\"")) != E_OK || cur_until(c, '"', &v) != E_OK || v.n > PARAM_VALUE_MAX) {
        return false;
    }
    for (size_t i = 0; i < v.n; i++) {
        if ((unsigned char)v.p[i] < ' ' || v.p[i] == 0x7f || v.p[i] == '\\') {
            return false;
        }
    }
    *out = v;
    return true;
}

/* A host in brackets is the one generic value that is neither token nor quoted text. */
static bool read_value(struct cursor *c, struct view *out)
{
    size_t n = 0;
    if (next(c) == '"') {
        return read_quoted(c, out);
    }
    while (c->at + n < c->end && n <= PARAM_VALUE_MAX &&
           (is_token_char((unsigned char)c->at[n]) || strchr("[]:", c->at[n] ? c->at[n] : 'x'))) {
        n++;
    }
    *out = view_from(c->at, n);
    c->at += n;
    return n > 0 && n <= PARAM_VALUE_MAX;
}

static const char *read_info(struct cursor *c, struct identity_header *h)
{
    struct view uri = {0};
    if (cur_lit(c, VIEW("<")) != E_OK || cur_until(c, '>', &uri) != E_OK) {
        return "info is no URI in < >";
    }
    if (h->info.n != 0) {
        return "info twice";
    }
    h->info = uri;
    return uri.n < PASSPORT_X5U_MAX && passport_is_uri(uri) ? NULL : "info is no URI";
}

static const char *keep(struct view *slot, struct view value, const char *why)
{
    if (slot->n != 0) {
        return why;
    }
    *slot = value;
    return NULL;
}

static const char *read_param(struct cursor *c, struct identity_header *h)
{
    struct view name = {0}, value = {0};
    if (cur_token(c, PARAM_NAME_MAX, &name) != E_OK) {
        return "a parameter without name";
    }
    cur_space(c);
    bool with_value = cur_lit(c, VIEW("=")) == E_OK;
    cur_space(c);
    if (with_value && view_eq_nocase(name, VIEW("info"))) {
        return read_info(c, h);
    }
    if (with_value && !read_value(c, &value)) {
        return "a parameter with a bad value";
    }
    if (view_eq_nocase(name, VIEW("alg"))) {
        return view_eq(value, VIEW("ES256")) ? keep(&h->alg, value, "alg twice")
                                             : "alg is not ES256";
    }
    if (view_eq_nocase(name, VIEW("ppt"))) {
        return value.n ? keep(&h->ppt, value, "ppt twice") : "ppt is empty";
    }
    return view_eq_nocase(name, VIEW("info")) ? "info is no URI in < >" : NULL;
}

enum err identity_header_read(struct view value, struct identity_header *out, const char **why)
{
    struct identity_header h = {0};
    struct cursor c = cursor_over(view_trim(value));
    const char *bad = read_token(&c, &h);
    for (unsigned n = 0; !bad; n++) {
        cur_space(&c);
        if (cur_done(&c)) {
            break;
        }
        if (n == PARAMS_MAX) {
            return refuse(why, "too many parameters");
        }
        if (cur_lit(&c, VIEW(";")) != E_OK) {
            return refuse(why, "a semicolon is expected");
        }
        cur_space(&c);
        bad = read_param(&c, &h);
    }
    if (!bad && h.info.n == 0) {
        bad = "no info";
    }
    if (bad) {
        return refuse(why, bad);
    }
    *out = h;
    return E_OK;
}

bool identity_header_agrees(const struct identity_header *h, const struct passport *p,
                            const char **why)
{
    if (!view_eq(h->info, view_of(p->x5u))) {
        *why = "info is not the x5u of the token";
        return false;
    }
    if (!view_eq(h->ppt, view_of(p->ppt))) {
        *why = "ppt is not that of the token";
        return false;
    }
    return true;
}

enum err identity_header_write(const struct passport *p, const char *token, char *out,
                               size_t out_bytes)
{
    const char *ppt = passport_ppt(p->type);
    int n = ppt ? snprintf(out, out_bytes, "Identity: %s;info=<%s>;alg=ES256%s%s%s", token, p->x5u,
                           *ppt ? ";ppt=\"" : "", ppt, *ppt ? "\"" : "")
                : -1;
    if (n < 0 || (size_t)n >= out_bytes) {
        if (out_bytes > 0) {
            out[0] = '\0';
        }
        return FAIL(E_RANGE);
    }
    return E_OK;
}
