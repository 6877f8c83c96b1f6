/* Reads call-data messages by the same tables: what a collection function does, and what shows that
 * the writer keeps to them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lawful_intercept/cdc_int.h"

struct reader {
    const char *begin; /* for places in why */
    uint32_t version;
    char *why;
    size_t why_bytes;
};

struct tlv {
    unsigned tag; /* the identifier octet */
    struct view value;
    size_t whole;
};

static enum err refuse(const struct reader *r, const char *at, const char *field, const char *what)
{
    snprintf(r->why, r->why_bytes, "octet %zu: %s %s", (size_t)(at - r->begin), field, what);
    return FAIL(E_PARSE);
}

/* E_RANGE: the octets end before it does. */
static enum err next_tlv(const struct reader *r, struct view octets, struct tlv *out)
{
    const unsigned char *p = (const unsigned char *)octets.p;
    size_t at = 2, length = 0;

    if (octets.n < 2) {
        return FAIL(E_RANGE);
    }
    if ((p[0] & 0x1F) == 0x1F) {
        return refuse(r, octets.p, "a tag", "is above 30");
    }
    length = p[1];
    if (length >= 0x80) {
        size_t n = length & 0x7F;
        if (n == 0 || n > 4) {
            return refuse(r, octets.p, "a length", n == 0 ? "is indefinite" : "is too long");
        }
        if (octets.n < 2 + n) {
            return FAIL(E_RANGE);
        }
        for (length = 0; at < 2 + n; at++) {
            length = length << 8 | p[at];
        }
    }
    if (length > CDC_MAX) {
        return refuse(r, octets.p, "a length", "is past the bound");
    }
    if (octets.n - at < length) {
        return FAIL(E_RANGE);
    }
    *out = (struct tlv){p[0], view_sub(octets, at, length), at + length};
    return E_OK;
}

/* Inside of a message that is all there, an end that comes too early is a fault. */
static enum err inner_tlv(const struct reader *r, struct view octets, struct tlv *out)
{
    enum err e = next_tlv(r, octets, out);

    return e == E_RANGE ? refuse(r, octets.p, "a value", "ends behind what holds it") : e;
}

static enum err read_shape(const struct reader *r, const struct cdc_shape *shape,
                           struct view octets, const char *name, char *into, unsigned depth);

static enum err read_text(const struct reader *r, const struct cdc_field *f, struct view value,
                          char *base)
{
    if (value.n < f->min || value.n > CDC_SDP_MAX) {
        return refuse(r, value.p, f->name, "has a length that it must not have");
    }
    if (f->type == CDC_T_VISIBLE ? !cdc_is_visible_text(value) : !cdc_is_text(value)) {
        return refuse(r, value.p, f->name, "has octets that it must not have");
    }
    *(struct view *)(void *)(base + f->offset) = value;
    return E_OK;
}

static enum err read_number(const struct reader *r, const struct cdc_field *f, struct view value,
                            char *base)
{
    uint32_t n = 0;

    if (value.n == 0 || value.n > 4) {
        return refuse(r, value.p, f->name, "is no number of this size");
    }
    for (size_t i = 0; i < value.n; i++) {
        n = n << 8 | (unsigned char)value.p[i];
    }
    if (n == 0 || n > INT32_MAX) { /* larger ones than we know are a later version's */
        return refuse(r, value.p, f->name, "is no such value");
    }
    *(uint32_t *)(void *)(base + f->offset) = n;
    return E_OK;
}

static bool two(const char *p, int low, int high, int *out)
{
    int n = 0;

    if (!is_digit((unsigned char)p[0]) || !is_digit((unsigned char)p[1])) {
        return false;
    }
    n = (p[0] - '0') * 10 + (p[1] - '0');
    *out = n;
    return n >= low && n <= high;
}

/* "20231114221320.123Z" and nothing else. */
static enum err read_time(const struct reader *r, const struct cdc_field *f, struct view value,
                          char *base)
{
    int century = 0, year = 0, ms_high = 0, ms_low = 0;
    struct tm tm = {0}, back;
    const char *p = value.p;
    time_t seconds = 0;

    if (value.n != 19 || p[14] != '.' || p[18] != 'Z' || !two(p, 19, 99, &century) ||
        !two(p + 2, 0, 99, &year) || !two(p + 4, 1, 12, &tm.tm_mon) ||
        !two(p + 6, 1, 31, &tm.tm_mday) || !two(p + 8, 0, 23, &tm.tm_hour) ||
        !two(p + 10, 0, 59, &tm.tm_min) || !two(p + 12, 0, 60, &tm.tm_sec) ||
        !two(p + 15, 0, 99, &ms_high) || !is_digit((unsigned char)p[17])) {
        return refuse(r, value.p, f->name, "is no time in UTC with milliseconds");
    }
    ms_low = p[17] - '0';
    tm.tm_year = century * 100 + year - 1900;
    tm.tm_mon--;
    back = tm;
    seconds = timegm(&back);
    if (seconds < 0 || back.tm_mday != tm.tm_mday) {
        return refuse(r, value.p, f->name, "is no day of the calendar");
    }
    *(uint64_t *)(void *)(base + f->offset) =
        (uint64_t)seconds * 1000000 + (uint64_t)(ms_high * 10 + ms_low) * 1000;
    return E_OK;
}

static enum err read_list(const struct reader *r, const struct cdc_field *f, struct view value,
                          char *base, unsigned depth)
{
    size_t n = 0;
    char *first = base + f->offset + f->first;
    enum err e = E_OK;

    while (value.n > 0) {
        struct tlv t;
        TRY(inner_tlv(r, value, &t));
        if (t.tag != CDC_UNIVERSAL_SEQUENCE) {
            return refuse(r, value.p, f->name, "has an element that is no SEQUENCE");
        }
        if (n == f->most) {
            return refuse(r, value.p, f->name, "has too many elements");
        }
        TRY(read_shape(r, f->of, t.value, f->name, first + n * f->stride, depth));
        n++;
        value = view_sub(value, t.whole, value.n - t.whole);
    }
    *(size_t *)(void *)(base + f->offset) = n;
out:
    return e;
}

static enum err read_value(const struct reader *r, const struct cdc_field *f, struct view value,
                           char *base, unsigned depth)
{
    switch ((enum cdc_type)f->type) {
    case CDC_T_VISIBLE:
    case CDC_T_UTF8:
        return read_text(r, f, value, base);
    case CDC_T_ENUM:
    case CDC_T_INTEGER:
        return read_number(r, f, value, base);
    case CDC_T_TIME:
        return read_time(r, f, value, base);
    case CDC_T_LIST:
        return read_list(r, f, value, base, depth);
    case CDC_T_SEQUENCE:
    case CDC_T_WRAPPED:
        return read_shape(r, f->of, value, f->name, base + f->offset, depth);
    case CDC_T_NULL:
        return value.n == 0 ? E_OK : refuse(r, value.p, f->name, "is no NULL");
    }
    return E_OK;
}

static bool is_constructed(const struct cdc_field *f)
{
    return f->type == CDC_T_SEQUENCE || f->type == CDC_T_WRAPPED || f->type == CDC_T_LIST;
}

/* What must be there is there; of each group exactly one. */
static enum err check(const struct reader *r, const struct cdc_shape *shape, const bool *there,
                      struct view octets, const char *name)
{
    unsigned count[4] = {0}, n = 0;

    for (unsigned i = 0; i < shape->n; i++) {
        const struct cdc_field *f = &shape->field[i];
        n += there[i];
        count[f->group] += there[i];
        if (f->must && !there[i] && f->since <= r->version) {
            snprintf(r->why, r->why_bytes, "octet %zu: %s lacks %s", (size_t)(octets.p - r->begin),
                     name, f->name);
            return FAIL(E_PARSE);
        }
    }
    for (unsigned i = 0; i < shape->n; i++) {
        if (shape->field[i].group != 0 && count[shape->field[i].group] != 1) {
            return refuse(r, octets.p, name, "must have exactly one of its choices");
        }
    }
    return shape->at_least_one && n == 0 ? refuse(r, octets.p, name, "is empty") : E_OK;
}

static enum err read_shape(const struct reader *r, const struct cdc_shape *shape,
                           struct view octets, const char *name, char *into, unsigned depth)
{
    bool there[16] = {false};
    int last = -1;
    struct view rest = octets;
    enum err e = E_OK;

    BUG_ON(shape->n > sizeof there);
    if (depth == CDC_DEPTH_MAX) {
        return refuse(r, octets.p, name, "is too deep");
    }
    while (rest.n > 0) {
        struct tlv t;
        unsigned i = 0;
        TRY(inner_tlv(r, rest, &t));
        if ((t.tag & 0xC0) != CDC_CONTEXT || (int)(t.tag & 0x1F) <= last) {
            return refuse(r, rest.p, name, "has a field out of its order");
        }
        last = (int)(t.tag & 0x1F);
        while (i < shape->n && shape->field[i].tag != (unsigned)last) {
            i++;
        }
        if (i < shape->n) {
            const struct cdc_field *f = &shape->field[i];
            if (((t.tag & CDC_CONSTRUCTED) != 0) != is_constructed(f)) {
                return refuse(r, rest.p, f->name, "has the form of another type");
            }
            TRY(read_value(r, f, t.value, into, depth + 1));
            there[i] = true;
        } /* else one that is reserved, or a later version's */
        rest = view_sub(rest, t.whole, rest.n - t.whole);
    }
    TRY(check(r, shape, there, octets, name));
out:
    return e;
}

/* protocolVersion and the TLV of the message. */
static enum err read_outer(struct reader *r, struct view pdu, struct tlv *out)
{
    struct tlv version, message;
    struct view rest;
    enum err e = E_OK;

    TRY(inner_tlv(r, pdu, &version));
    if (version.tag != CDC_CONTEXT || version.value.n != 1 ||
        (version.value.p[0] != 3 && version.value.p[0] != 4)) {
        return refuse(r, pdu.p, "protocolVersion", "is neither 3 nor 4");
    }
    r->version = (uint32_t)version.value.p[0];
    rest = view_sub(pdu, version.whole, pdu.n - version.whole);
    TRY(inner_tlv(r, rest, &message));
    if (message.tag != (CDC_CONTEXT | CDC_CONSTRUCTED | 1)) {
        return refuse(r, rest.p, "message", "is missing");
    }
    TRY(inner_tlv(r, message.value, out));
    if (out->whole != message.value.n) {
        return refuse(r, message.value.p, "message", "holds more than one");
    }
out:
    return e;
}

enum err cdc_read(struct view octets, struct cdc_message *m, size_t *out_n, char *why,
                  size_t why_bytes)
{
    struct reader r = {.begin = octets.p, .why = why, .why_bytes = why_bytes};
    const struct cdc_message_shape *s = NULL;
    struct cdc_message read = {0};
    struct tlv pdu, body;
    unsigned kind = 0;
    enum err e = E_OK;

    snprintf(why, why_bytes, "the message is not all there");
    if (octets.n > 0 && (unsigned char)octets.p[0] != CDC_UNIVERSAL_SEQUENCE) {
        return refuse(&r, octets.p, "the message", "is no SEQUENCE");
    }
    TRY(next_tlv(&r, octets, &pdu));
    TRY(read_outer(&r, pdu.value, &body));
    kind = body.tag & 0x1F;
    s = cdc_shape_of(kind);
    if ((body.tag & 0xE0) != (CDC_CONTEXT | CDC_CONSTRUCTED) || s == NULL ||
        !cdc_has(r.version, (enum cdc_kind)kind)) {
        return refuse(&r, body.value.p, "message", "is none of this version");
    }
    TRY(read_shape(&r, &s->shape, body.value, s->name, (char *)&read, 0));
    read.version = r.version;
    read.kind = (enum cdc_kind)kind;
    *m = read;
    *out_n = pdu.whole;
out:
    return e;
}

/* How many octets the character at p[i] has by RFC 3629: no overlong forms, no surrogates, nothing
 * past U+10FFFF. 0: it is none. */
static size_t character_at(const unsigned char *p, size_t i, size_t n)
{
    unsigned char c = p[i];
    size_t more = c < 0x80                 ? 0
                  : c >= 0xC2 && c <= 0xDF ? 1
                  : (c & 0xF0) == 0xE0     ? 2
                  : c >= 0xF0 && c <= 0xF4 ? 3
                                           : 4;

    if (more == 4 || n - i <= more) {
        return 0;
    }
    if ((c == 0xE0 && p[i + 1] < 0xA0) || (c == 0xED && p[i + 1] > 0x9F) ||
        (c == 0xF0 && p[i + 1] < 0x90) || (c == 0xF4 && p[i + 1] > 0x8F)) {
        return 0;
    }
    for (size_t k = 1; k <= more; k++) {
        if ((p[i + k] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return more + 1;
}

bool cdc_is_text(struct view text)
{
    for (size_t i = 0, step = 0; i < text.n; i += step) {
        step = character_at((const unsigned char *)text.p, i, text.n);
        if (step == 0) {
            return false;
        }
    }
    return true;
}

void cdc_text(struct view text, char *dst)
{
    for (size_t i = 0; i < text.n;) {
        size_t n = character_at((const unsigned char *)text.p, i, text.n);
        if (n == 0) {
            dst[i++] = '?';
        } else {
            memcpy(dst + i, text.p + i, n);
            i += n;
        }
    }
}
