#include "authz/passport_json.h"

#include <string.h>

struct json pjson_over(struct view text)
{
    return (struct json){.at = text.p, .end = text.n > 0 ? text.p + text.n : text.p};
}

enum err pjson_bad(struct json *j, const char *why)
{
    if (!j->why) {
        j->why = why;
    }
    return FAIL(E_PARSE);
}

static enum err too_much(struct json *j, const char *why)
{
    if (!j->why) {
        j->why = why;
    }
    return FAIL(E_RANGE);
}

static void blanks(struct json *j)
{
    while (j->at < j->end &&
           (*j->at == ' ' || *j->at == '\t' || *j->at == '\r' || *j->at == '\n')) {
        j->at++;
    }
}

/* The next octet that is no blank; 0 at the end. */
static char peek(struct json *j)
{
    blanks(j);
    return j->at < j->end ? *j->at : '\0';
}

static bool take(struct json *j, char c)
{
    if (peek(j) != c || c == '\0') {
        return false;
    }
    j->at++;
    return true;
}

/* ---- text ---- */

struct sink { /* dst NULL: only checked */
    char *dst;
    size_t n, max;
};

static bool put(struct sink *s, const void *p, size_t n)
{
    if (s->dst) {
        if (n >= s->max - s->n) { /* room for the NUL stays */
            return false;
        }
        memcpy(s->dst + s->n, p, n);
        s->n += n;
    }
    return true;
}

/* Octets of the UTF-8 sequence at p; 0: none (RFC 3629: no overlong form, no surrogate, no more
 * than 10FFFF). */
static size_t utf8(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char from, to, from_2, to_2;
        size_t n;
    } forms[] = {
        {0x20, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (p[0] < forms[i].from || p[0] > forms[i].to) {
            continue;
        }
        if (n < forms[i].n ||
            (forms[i].n > 1 && (p[1] < forms[i].from_2 || p[1] > forms[i].to_2))) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].n; k++) {
            if ((p[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[i].n;
    }
    return 0;
}

static bool hex4(struct json *j, unsigned *out)
{
    uint8_t b[2];
    if (j->end - j->at < 4 || hex_get(view_from(j->at, 4), b, 2) != E_OK) {
        return false;
    }
    j->at += 4;
    *out = (unsigned)b[0] << 8 | b[1];
    return true;
}

/* The four digits of \uXXXX, and the second half of a pair of surrogates. */
static bool code_point(struct json *j, unsigned *out)
{
    unsigned low = 0;
    if (!hex4(j, out) || *out == 0 || (*out >= 0xdc00 && *out <= 0xdfff)) {
        return false;
    }
    if (*out >= 0xd800 && *out <= 0xdbff) {
        if (j->end - j->at < 6 || j->at[0] != '\\' || j->at[1] != 'u') {
            return false;
        }
        j->at += 2;
        if (!hex4(j, &low) || low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    }
    return true;
}

static bool put_code_point(struct sink *s, unsigned c)
{
    unsigned char b[4] = {(unsigned char)c};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; n > 1 && i > 0; i--) {
        b[i] = (unsigned char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    if (n > 1) {
        b[0] = (unsigned char)((0xf00u >> n & 0xf0) | c);
    }
    return put(s, b, n);
}

static enum err escape(struct json *j, struct sink *s)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned c = 0;
    char what = j->at < j->end ? *j->at++ : '\0';
    const char *known = what ? strchr(from, what) : NULL;
    if (known) {
        c = (unsigned char)to[known - from];
    } else if (what != 'u' || !code_point(j, &c)) {
        return pjson_bad(j, "bad escape in a JSON text");
    }
    return put_code_point(s, c) ? E_OK : too_much(j, "a text is too long");
}

enum err pjson_text(struct json *j, char *dst, size_t dst_bytes)
{
    struct sink s = {dst, 0, dst_bytes};
    enum err e = E_OK;
    if (!take(j, '"')) {
        return pjson_bad(j, "a JSON text is expected");
    }
    while (j->at < j->end && *j->at != '"') {
        if (*j->at == '\\') {
            j->at++;
            e = escape(j, &s);
            if (e != E_OK) {
                return e;
            }
            continue;
        }
        size_t n = utf8((const unsigned char *)j->at, (size_t)(j->end - j->at));
        if (n == 0) {
            return pjson_bad(j, "a control character, or no UTF-8");
        }
        if (!put(&s, j->at, n)) {
            return too_much(j, "a text is too long");
        }
        j->at += n;
    }
    if (j->at == j->end) {
        return pjson_bad(j, "a JSON text does not end");
    }
    j->at++;
    if (dst) {
        dst[s.n] = '\0';
    }
    return E_OK;
}

/* ---- numbers ---- */

static size_t digits(struct json *j)
{
    size_t n = 0;
    while (j->at < j->end && is_digit((unsigned char)*j->at)) {
        j->at++;
        n++;
    }
    return n;
}

static bool at_one_of(const struct json *j, const char *set)
{
    return j->at < j->end && *j->at && strchr(set, *j->at);
}

enum err pjson_number(struct json *j, uint64_t max, uint64_t *out)
{
    char c = peek(j);
    const char *from = j->at;
    if (c == '-') {
        return pjson_bad(j, "a number without sign is expected");
    }
    size_t n = digits(j);
    if (n == 0 || (n > 1 && c == '0') || at_one_of(j, ".eE")) {
        return pjson_bad(j, "a whole number is expected");
    }
    if (view_to_u64(view_from(from, n), max, out) != E_OK) {
        return too_much(j, "a number is too big");
    }
    return E_OK;
}

/* Any number: RFC 8259 section 6. */
static bool skip_number(struct json *j)
{
    if (at_one_of(j, "-")) {
        j->at++;
    }
    char first = j->at < j->end ? *j->at : '\0';
    size_t n = digits(j);
    if (n == 0 || (n > 1 && first == '0')) {
        return false;
    }
    if (at_one_of(j, ".")) {
        j->at++;
        if (digits(j) == 0) {
            return false;
        }
    }
    if (at_one_of(j, "eE")) {
        j->at++;
        if (at_one_of(j, "+-")) {
            j->at++;
        }
        return digits(j) > 0;
    }
    return true;
}

/* ---- values that hold others ---- */

static enum err enter(struct json *j, char open, const char *why)
{
    if (!take(j, open)) {
        return pjson_bad(j, why);
    }
    return ++j->depth > JSON_DEPTH_MAX ? too_much(j, "nested too deeply") : E_OK;
}

static enum err one_more(struct json *j)
{
    return ++j->values > JSON_VALUES_MAX ? too_much(j, "too many values") : E_OK;
}

static enum err name_of(struct json *j, char seen[][JSON_NAME_MAX], unsigned n)
{
    if (n == JSON_MEMBERS_MAX) {
        return too_much(j, "too many members in an object");
    }
    enum err e = pjson_text(j, seen[n], JSON_NAME_MAX);
    if (e != E_OK) {
        return e;
    }
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(seen[i], seen[n]) == 0) {
            return pjson_bad(j, "a name twice in one object");
        }
    }
    return take(j, ':') ? one_more(j) : pjson_bad(j, "a colon is expected");
}

/* "more" after a comma; neither comma nor end is an error. */
static enum err next(struct json *j, char end, bool *out_more)
{
    *out_more = take(j, ',');
    if (!*out_more && !take(j, end)) {
        return pjson_bad(j, "a comma or the end of an object or array is expected");
    }
    return E_OK;
}

enum err pjson_object(struct json *j, pjson_member_fn *member, void *ctx)
{
    char seen[JSON_MEMBERS_MAX][JSON_NAME_MAX];
    enum err e = enter(j, '{', "a JSON object is expected");
    bool more = e == E_OK && !take(j, '}');
    for (unsigned n = 0; e == E_OK && more; n++) {
        e = name_of(j, seen, n);
        if (e == E_OK) {
            e = member(j, seen[n], ctx);
        }
        if (e == E_OK) {
            e = next(j, '}', &more);
        }
    }
    if (e == E_OK) { /* an error ends the reading */
        j->depth--;
    }
    return e;
}

enum err pjson_array(struct json *j, pjson_element_fn *element, void *ctx)
{
    enum err e = enter(j, '[', "a JSON array is expected");
    bool more = e == E_OK && !take(j, ']');
    while (e == E_OK && more) {
        e = one_more(j);
        if (e == E_OK) {
            e = element(j, ctx);
        }
        if (e == E_OK) {
            e = next(j, ']', &more);
        }
    }
    if (e == E_OK) { /* an error ends the reading */
        j->depth--;
    }
    return e;
}

static enum err skip_member(struct json *j, const char *name, void *ctx)
{
    (void)name;
    (void)ctx;
    return pjson_skip(j);
}

static enum err skip_element(struct json *j, void *ctx)
{
    (void)ctx;
    return pjson_skip(j);
}

enum err pjson_skip(struct json *j) /* NOLINT(misc-no-recursion): JSON_DEPTH_MAX ends it */
{
    static const struct view words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    switch (peek(j)) {
    case '{':
        return pjson_object(j, skip_member, NULL);
    case '[':
        return pjson_array(j, skip_element, NULL);
    case '"':
        return pjson_text(j, NULL, 0);
    default:
        break;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (view_starts(view_from(j->at, (size_t)(j->end - j->at)), words[i])) {
            j->at += words[i].n;
            return E_OK;
        }
    }
    return skip_number(j) ? E_OK : pjson_bad(j, "no JSON value");
}

enum err pjson_end(struct json *j)
{
    blanks(j);
    return j->at == j->end ? E_OK : pjson_bad(j, "something follows a JSON object");
}
