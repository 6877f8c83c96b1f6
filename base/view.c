#include "base/view.h"

#include <string.h>

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

struct view view_of(const char *cstr)
{
    return cstr != NULL ? (struct view){cstr, strlen(cstr)} : (struct view){"", 0};
}

struct view view_from(const void *p, size_t n)
{
    return (struct view){p, n};
}

bool view_eq(struct view a, struct view b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool view_eq_nocase(struct view a, struct view b)
{
    return a.n == b.n && view_starts_nocase(a, b);
}

bool view_starts(struct view v, struct view prefix)
{
    return v.n >= prefix.n && (prefix.n == 0 || memcmp(v.p, prefix.p, prefix.n) == 0);
}

bool view_starts_nocase(struct view v, struct view prefix)
{
    if (v.n < prefix.n) {
        return false;
    }
    for (size_t i = 0; i < prefix.n; i++) {
        if (lower((unsigned char)v.p[i]) != lower((unsigned char)prefix.p[i])) {
            return false;
        }
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct view view_trim(struct view v)
{
    while (v.n > 0 && is_blank(v.p[0])) {
        v.p++;
        v.n--;
    }
    while (v.n > 0 && is_blank(v.p[v.n - 1])) {
        v.n--;
    }
    return v;
}

struct view view_sub(struct view v, size_t from, size_t n)
{
    if (from > v.n) {
        from = v.n;
    }
    if (n > v.n - from) {
        n = v.n - from;
    }
    return (struct view){from > 0 ? v.p + from : v.p, n}; /* nothing is added to a NULL */
}

bool view_find(struct view v, char c, size_t *out_at)
{
    const char *hit = v.n > 0 ? memchr(v.p, c, v.n) : NULL;
    if (hit == NULL) {
        return false;
    }
    *out_at = (size_t)(hit - v.p);
    return true;
}

enum err view_to_cstr(struct view v, char *dst, size_t dst_bytes)
{
    if (v.n >= dst_bytes || (v.n > 0 && memchr(v.p, 0, v.n) != NULL)) {
        return FAIL(E_RANGE);
    }
    if (v.n > 0) {
        memcpy(dst, v.p, v.n);
    }
    dst[v.n] = 0;
    return E_OK;
}

enum err view_to_u64(struct view v, uint64_t max, uint64_t *out)
{
    enum err e = E_PARSE;
    struct cursor c = cursor_over(v);
    uint64_t u = 0;

    TRY(cur_u64(&c, max, &u));
    if (!cur_done(&c)) {
        TRY(FAIL(E_PARSE));
    }
    *out = u;
out:
    return e;
}

void hex_put(const void *src, size_t n, char *dst)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = src;

    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[b[i] >> 4];
        dst[2 * i + 1] = digits[b[i] & 15];
    }
    dst[2 * n] = 0;
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err hex_get(struct view hex, void *dst, size_t n)
{
    uint8_t *b = dst;

    if (hex.n != 2 * n) {
        return FAIL(E_PARSE);
    }
    for (size_t i = 0; i < hex.n; i++) {
        if (hex_value((unsigned char)hex.p[i]) < 0) {
            return FAIL(E_PARSE);
        }
    }
    for (size_t i = 0; i < n; i++) {
        b[i] = (uint8_t)((unsigned)hex_value((unsigned char)hex.p[2 * i]) << 4 |
                         (unsigned)hex_value((unsigned char)hex.p[2 * i + 1]));
    }
    return E_OK;
}

struct cursor cursor_over(struct view v)
{
    const char *p = v.p != NULL ? v.p : "";

    return (struct cursor){p, p + v.n};
}

bool cur_done(const struct cursor *c)
{
    return c->at == c->end;
}

struct view cur_rest(const struct cursor *c)
{
    return (struct view){c->at, (size_t)(c->end - c->at)};
}

enum err cur_lit(struct cursor *c, struct view literal)
{
    if (!view_starts(cur_rest(c), literal)) {
        return FAIL(E_PARSE);
    }
    c->at += literal.n;
    return E_OK;
}

enum err cur_lit_nocase(struct cursor *c, struct view literal)
{
    if (!view_starts_nocase(cur_rest(c), literal)) {
        return FAIL(E_PARSE);
    }
    c->at += literal.n;
    return E_OK;
}

enum err cur_token(struct cursor *c, size_t max, struct view *out)
{
    const char *p = c->at;

    while (p < c->end && is_token_char((unsigned char)*p)) {
        p++;
    }
    if (p == c->at) {
        return FAIL(E_PARSE);
    }
    if ((size_t)(p - c->at) > max) {
        return FAIL(E_RANGE);
    }
    *out = (struct view){c->at, (size_t)(p - c->at)};
    c->at = p;
    return E_OK;
}

enum err cur_u64(struct cursor *c, uint64_t max, uint64_t *out)
{
    const char *p = c->at;
    uint64_t u = 0;

    for (; p < c->end && is_digit((unsigned char)*p); p++) {
        uint64_t d = (uint64_t)(*p - '0');
        if (u > (UINT64_MAX - d) / 10) {
            return FAIL(E_RANGE);
        }
        u = u * 10 + d;
    }
    if (p == c->at) {
        return FAIL(E_PARSE);
    }
    if (u > max) {
        return FAIL(E_RANGE);
    }
    *out = u;
    c->at = p;
    return E_OK;
}

enum err cur_hex(struct cursor *c, void *dst, size_t n)
{
    struct view rest = cur_rest(c);
    enum err e = E_PARSE;

    if (rest.n / 2 < n) {
        return FAIL(E_PARSE);
    }
    TRY(hex_get(view_sub(rest, 0, 2 * n), dst, n));
    c->at += 2 * n;
out:
    return e;
}

enum err cur_until(struct cursor *c, char stop, struct view *out)
{
    struct view rest = cur_rest(c);
    size_t at = 0;

    if (!view_find(rest, stop, &at)) {
        return FAIL(E_PARSE);
    }
    *out = view_sub(rest, 0, at);
    c->at += at + 1;
    return E_OK;
}

void cur_space(struct cursor *c)
{
    while (c->at < c->end && is_blank(*c->at)) {
        c->at++;
    }
}

bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

bool is_token_char(unsigned char c)
{
    static const char marks[] = "-.!%*_+`'~";
    unsigned char l = lower(c);

    return is_digit(c) || (l >= 'a' && l <= 'z') || (c != 0 && memchr(marks, c, sizeof marks - 1));
}
