/* Request heads and chunked bodies, read so that there is one reading only. */
#include "base/httpd_head.h"

#include <string.h>

enum { METHOD_MAX = 16, CHUNK_DIGITS = 8, CHUNK_LINE_MAX = 256, CHUNK_OVER_MAX = 8192 };

static unsigned refuse(unsigned status, const char **why, const char *text)
{
    *why = text;
    return status;
}

/* ---- octets ------------------------------------------------------------------------------------
 */
static bool is_field_char(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c <= 0x7e);
}

static bool is_hex(char c)
{
    return is_digit((unsigned char)c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static unsigned hex_value(char c)
{
    return is_digit((unsigned char)c) ? (unsigned)(c - '0') : ((unsigned)c | 0x20u) - 'a' + 10u;
}

/* RFC 9110 section 5.6.2, which is not that of SIP. */
static bool is_http_token(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit((unsigned char)c) &&
            (c == 0 || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return v.n > 0;
}

unsigned http_head_end(struct view octets, size_t *at, size_t *out_n, const char **why)
{
    size_t i = *at, most = octets.n < HTTP_HEAD_MAX ? octets.n : HTTP_HEAD_MAX;

    *out_n = 0;
    for (; i < most; i++) {
        unsigned char c = (unsigned char)octets.p[i];
        if (c == '\n') {
            if (i == 0 || octets.p[i - 1] != '\r') {
                return refuse(400, why, "a line ends in LF without CR");
            }
            if (i >= 3 && octets.p[i - 2] == '\n') {
                *at = i;
                *out_n = i + 1;
                return 0;
            }
        } else if (i > 0 && octets.p[i - 1] == '\r') {
            return refuse(400, why, "a CR without LF");
        } else if (c != '\r' && !is_field_char(c)) {
            return refuse(400, why, "an octet that is no printable ASCII in the head");
        }
    }
    *at = i;
    if (octets.n < HTTP_HEAD_MAX) {
        return 0;
    }
    return memchr(octets.p, '\n', HTTP_LINE_MAX) == NULL
               ? refuse(414, why, "the request target is too long")
               : refuse(431, why, "the head has more than 16384 octets");
}

/* ---- the request line --------------------------------------------------------------------------
 */
/* Unreserved, sub-delims, and what else RFC 3986 allows in a path or query. */
static bool is_target_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit((unsigned char)c) ||
           (c != 0 && strchr("-._~!$&'()*+,;=:@/?%", c) != NULL);
}

static unsigned check_escapes(struct view v, bool is_path, const char **why)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned code = 0;
        if (!is_target_char(v.p[i]) || (is_path && v.p[i] == '?')) {
            return refuse(400, why, "an octet in the request target that must be percent-encoded");
        }
        if (v.p[i] != '%') {
            continue;
        }
        if (v.n - i < 3 || !is_hex(v.p[i + 1]) || !is_hex(v.p[i + 2])) {
            return refuse(400, why, "a percent sign without two hexadecimal digits");
        }
        code = hex_value(v.p[i + 1]) * 16 + hex_value(v.p[i + 2]);
        if (code == 0) {
            return refuse(400, why, "%00 in the request target");
        }
        if (is_path && (code == '/' || code < 0x20 || code == 0x7f)) {
            return refuse(400, why, "an encoded slash or control in the path");
        }
        i += 2;
    }
    return 0;
}

/* "." and "..", encoded or not. */
static bool is_dot_segment(struct view s)
{
    size_t dots = 0;

    while (s.n > 0) {
        size_t n = view_starts(s, VIEW(".")) ? 1 : view_starts_nocase(s, VIEW("%2e")) ? 3 : 0;
        if (n == 0) {
            return false;
        }
        dots++;
        s = view_sub(s, n, s.n);
    }
    return dots == 1 || dots == 2;
}

static unsigned read_target(struct view target, struct http_head *h, const char **why)
{
    size_t at = target.n;
    unsigned status = 0;

    if (target.n == 0 || target.p[0] != '/') {
        return refuse(400, why, "the request target does not begin with a slash");
    }
    h->target = target;
    view_find(target, '?', &at);
    h->path = view_sub(target, 0, at);
    h->query = view_sub(target, at + 1, target.n);
    status = check_escapes(h->path, true, why);
    if (status == 0) {
        status = check_escapes(h->query, false, why);
    }
    for (size_t from = 1; status == 0 && from <= h->path.n;) {
        struct view rest = view_sub(h->path, from, h->path.n);
        size_t end = rest.n;
        view_find(rest, '/', &end);
        if (is_dot_segment(view_sub(rest, 0, end))) {
            return refuse(400, why, "a segment . or .. in the path");
        }
        from += end + 1;
    }
    return status;
}

static unsigned read_version(struct view v, struct http_head *h, const char **why)
{
    if (v.n != 8 || !view_starts(v, VIEW("HTTP/")) || !is_digit((unsigned char)v.p[5]) ||
        v.p[6] != '.' || !is_digit((unsigned char)v.p[7])) {
        return refuse(400, why, "the request line is not METHOD TARGET HTTP/1.1");
    }
    if (v.p[5] != '1' || v.p[7] > '1') {
        return refuse(505, why, "HTTP/1.1 is spoken here");
    }
    h->minor = (unsigned)(v.p[7] - '0');
    h->closes = h->minor == 0;
    return 0;
}

static unsigned read_request_line(struct view line, struct http_head *h, const char **why)
{
    struct view rest;
    size_t at = 0;
    unsigned status = 0;

    if (line.n > HTTP_LINE_MAX) {
        return refuse(414, why, "the request target is too long");
    }
    if (!view_find(line, ' ', &at)) {
        return refuse(400, why, "the request line is not METHOD TARGET HTTP/1.1");
    }
    h->method = view_sub(line, 0, at);
    rest = view_sub(line, at + 1, line.n);
    if (!is_http_token(h->method) || h->method.n > METHOD_MAX || !view_find(rest, ' ', &at)) {
        return refuse(400, why, "the request line is not METHOD TARGET HTTP/1.1");
    }
    status = read_version(view_sub(rest, at + 1, rest.n), h, why);
    return status != 0 ? status : read_target(view_sub(rest, 0, at), h, why);
}

/* ---- fields ------------------------------------------------------------------------------------
 */
static unsigned read_length(struct view v, struct http_head *h, const char **why)
{
    if (view_to_u64(v, UINT64_MAX / 2, &h->length) != E_OK) {
        return refuse(400, why, "Content-Length is no number");
    }
    h->has_length = true;
    return 0;
}

static unsigned read_coding(struct view v, struct http_head *h, const char **why)
{
    if (!view_eq_nocase(v, VIEW("chunked")) || h->minor == 0) {
        return refuse(400, why, "the only transfer coding is chunked, of HTTP/1.1");
    }
    h->is_chunked = true;
    return 0;
}

static unsigned read_host(struct view v, struct http_head *h, const char **why)
{
    (void)h;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit((unsigned char)c) && strchr(".-_~:[]%", c) == NULL) {
            return refuse(400, why, "Host is no host and port");
        }
    }
    return v.n > 0 ? 0 : refuse(400, why, "Host is empty");
}

static unsigned read_expect(struct view v, struct http_head *h, const char **why)
{
    if (!view_eq_nocase(v, VIEW("100-continue"))) {
        return refuse(417, why, "the only expectation is 100-continue");
    }
    h->expects = h->minor > 0;
    return 0;
}

static unsigned read_any(struct view v, struct http_head *h, const char **why)
{
    (void)v;
    (void)h;
    (void)why;
    return 0;
}

/* Fields that may stand once only. */
static const struct {
    const char *name;
    unsigned (*read)(struct view v, struct http_head *h, const char **why);
    const char *twice;
} ONCE[] = {
    {"Host", read_host, "Host twice"},
    {"Content-Length", read_length, "Content-Length twice"},
    {"Transfer-Encoding", read_coding, "Transfer-Encoding twice"},
    {"Expect", read_expect, "Expect twice"},
    {"Authorization", read_any, "Authorization twice"},
    {"If-Match", read_any, "If-Match twice"},
    {"Idempotency-Key", read_any, "Idempotency-Key twice"},
    {"Content-Type", read_any, "Content-Type twice"},
    {"Last-Event-ID", read_any, "Last-Event-ID twice"},
};

static void read_connection(struct view v, struct http_head *h)
{
    while (v.n > 0) {
        size_t at = v.n;
        view_find(v, ',', &at);
        h->closes |= view_eq_nocase(view_trim(view_sub(v, 0, at)), VIEW("close"));
        v = view_sub(v, at + 1, v.n);
    }
}

static unsigned read_field(struct view line, struct http_head *h, unsigned *seen, const char **why)
{
    struct http_field *f = &h->field[h->n_fields];
    size_t at = 0;

    if (h->n_fields == HTTP_FIELDS_MAX) {
        return refuse(431, why, "more than 100 fields in the head");
    }
    if (!view_find(line, ':', &at) || !is_http_token(view_sub(line, 0, at))) {
        return refuse(400, why, "a field that is not NAME: VALUE");
    }
    f->name = view_sub(line, 0, at);
    f->value = view_trim(view_sub(line, at + 1, line.n));
    h->n_fields++;
    if (view_eq_nocase(f->name, VIEW("Connection"))) {
        read_connection(f->value, h);
    }
    for (unsigned i = 0; i < sizeof ONCE / sizeof ONCE[0]; i++) {
        if (view_eq_nocase(f->name, view_of(ONCE[i].name))) {
            if ((*seen & 1u << i) != 0) {
                return refuse(400, why, ONCE[i].twice);
            }
            *seen |= 1u << i;
            return ONCE[i].read(f->value, h, why);
        }
    }
    return 0;
}

unsigned http_head_read(struct view octets, struct http_head *h, const char **why)
{
    size_t at = 0;
    unsigned status = 0, seen = 0;
    bool is_first = true;

    *h = (struct http_head){.minor = 1};
    while (status == 0 && view_find(octets, '\r', &at) && (at > 0 || is_first)) {
        struct view line = view_sub(octets, 0, at);
        status = is_first ? read_request_line(line, h, why) : read_field(line, h, &seen, why);
        octets = view_sub(octets, at + 2, octets.n);
        is_first = false;
    }
    if (status == 0 && (seen & 1u) == 0) {
        status = refuse(400, why, "no Host");
    }
    if (status == 0 && h->is_chunked && h->has_length) {
        status = refuse(400, why, "Content-Length beside Transfer-Encoding");
    }
    return status;
}

struct view http_head_field(const struct http_head *h, struct view name)
{
    for (size_t i = 0; i < h->n_fields; i++) {
        if (view_eq_nocase(h->field[i].name, name)) {
            return h->field[i].value;
        }
    }
    return VIEW("");
}

/* ---- chunks (RFC 9112 section 7.1) -------------------------------------------------------------
 */
enum { CH_SIZE, CH_EXTENSION, CH_SIZE_LF, CH_DATA, CH_DATA_CR, CH_DATA_LF, CH_TRAILER, CH_LAST_LF };

static unsigned bad_chunk(const char **why)
{
    return refuse(400, why, "the chunked body is malformed");
}

static unsigned size_char(struct http_chunked *c, char ch, const char **why)
{
    if (is_hex(ch) && c->digits < CHUNK_DIGITS) {
        c->left = c->left * 16 + hex_value(ch);
        c->digits++;
        return 0;
    }
    if (c->digits == 0 || (ch != '\r' && ch != ';')) {
        return bad_chunk(why);
    }
    c->state = ch == '\r' ? CH_SIZE_LF : CH_EXTENSION;
    return 0;
}

/* Fields after the last chunk are read over: nothing asks for any. */
static unsigned trailer_char(struct http_chunked *c, char ch, const char **why)
{
    if (ch == '\r') {
        c->state = CH_LAST_LF;
        return 0;
    }
    c->line++;
    return is_field_char((unsigned char)ch) ? 0 : bad_chunk(why);
}

static unsigned end_of_line(struct http_chunked *c, char ch, const char **why)
{
    if (ch != '\n') {
        return bad_chunk(why);
    }
    if (c->state == CH_LAST_LF) {
        c->is_done = c->line == 0;
        c->state = CH_TRAILER;
    } else if (c->state == CH_SIZE_LF) {
        c->state = c->left > 0 ? CH_DATA : CH_TRAILER;
    } else {
        c->state = CH_SIZE;
        c->digits = 0;
    }
    c->line = 0;
    return 0;
}

static unsigned framing_char(struct http_chunked *c, char ch, const char **why)
{
    if (++c->over > CHUNK_OVER_MAX) {
        return bad_chunk(why);
    }
    switch (c->state) {
    case CH_SIZE:
        return size_char(c, ch, why);
    case CH_EXTENSION:
        if (ch == '\r') {
            c->state = CH_SIZE_LF;
            return 0;
        }
        c->line++;
        return is_field_char((unsigned char)ch) && c->line <= CHUNK_LINE_MAX ? 0 : bad_chunk(why);
    case CH_DATA_CR:
        c->state = CH_DATA_LF;
        return ch == '\r' ? 0 : bad_chunk(why);
    case CH_TRAILER:
        return trailer_char(c, ch, why);
    default:
        return end_of_line(c, ch, why);
    }
}

unsigned http_chunked_read(struct http_chunked *c, struct view octets, size_t *used,
                           struct view *data, const char **why)
{
    unsigned status = 0;
    size_t i = 0;

    *data = VIEW("");
    while (status == 0 && i < octets.n && !c->is_done && c->state != CH_DATA) {
        status = framing_char(c, octets.p[i++], why);
    }
    if (status == 0 && c->state == CH_DATA && i < octets.n) {
        size_t n = octets.n - i < c->left ? octets.n - i : (size_t)c->left;
        *data = view_sub(octets, i, n);
        i += n;
        c->left -= n;
        c->state = c->left > 0 ? CH_DATA : CH_DATA_CR;
    }
    *used = i;
    return status;
}
