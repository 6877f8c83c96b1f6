/* Writes call-data messages: from the end of the buffer to its beginning, so that every length is
 * known when it is written and nothing is counted twice. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lawful_intercept/cdc_int.h"

struct writer {
    uint8_t *begin, *at; /* what is written stands from at on */
    uint32_t version;
    char *why;
    size_t why_bytes;
};

static enum err refuse(const struct writer *w, const char *field, const char *what)
{
    snprintf(w->why, w->why_bytes, "%s %s", field, what);
    return FAIL(E_RANGE);
}

static enum err put(struct writer *w, const void *octets, size_t n)
{
    if ((size_t)(w->at - w->begin) < n) {
        return refuse(w, "the message", "does not fit");
    }
    w->at -= n;
    if (n > 0) {
        memcpy(w->at, octets, n);
    }
    return E_OK;
}

/* Tag and length in front of what was written since end. */
static enum err put_head(struct writer *w, unsigned tag, const uint8_t *end)
{
    size_t n = (size_t)(end - w->at), octets = 0;
    uint8_t head[1 + 1 + sizeof n];
    size_t head_n = 0;

    for (size_t left = n; left > 0; left >>= 8) {
        octets++;
    }
    head[head_n++] = (uint8_t)tag;
    if (n < 0x80) {
        head[head_n++] = (uint8_t)n;
    } else {
        head[head_n++] = (uint8_t)(0x80 | octets);
        for (size_t i = octets; i > 0; i--) {
            head[head_n++] = (uint8_t)(n >> (8 * (i - 1)));
        }
    }
    return put(w, head, head_n);
}

static enum err put_shape(struct writer *w, const struct cdc_shape *shape, const char *base,
                          const char *name);

static enum err put_text(struct writer *w, const struct cdc_field *f, const char *base)
{
    const struct view *v = (const void *)(base + f->offset);
    size_t max = f->max != 0 ? f->max : CDC_SDP_MAX;

    if (v->n < f->min || v->n > max) {
        return refuse(w, f->name, v->n < f->min ? "is too short" : "is too long");
    }
    if (f->type == CDC_T_VISIBLE ? !cdc_is_visible_text(*v) : !cdc_is_text(*v)) {
        return refuse(w, f->name, "has octets that it must not have");
    }
    return put(w, v->p, v->n);
}

static enum err put_number(struct writer *w, const struct cdc_field *f, const char *base)
{
    uint32_t n = *(const uint32_t *)(const void *)(base + f->offset);
    uint8_t octet = (uint8_t)n;

    if (n < f->min || n > f->max) { /* all of them below 128: one octet */
        return refuse(w, f->name, "is no such value");
    }
    return put(w, &octet, 1);
}

/* X.680 section 46: always UTC, always milliseconds. */
static enum err put_time(struct writer *w, const struct cdc_field *f, const char *base)
{
    uint64_t us = *(const uint64_t *)(const void *)(base + f->offset);
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    char text[40];
    size_t n = 0;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900) {
        return refuse(w, f->name, "is no time of this calendar");
    }
    n = strftime(text, sizeof text, "%Y%m%d%H%M%S", &tm);
    n += (size_t)snprintf(text + n, sizeof text - n, ".%03uZ", (unsigned)(us / 1000 % 1000));
    return put(w, text, n);
}

static enum err put_list(struct writer *w, const struct cdc_field *f, const char *base)
{
    size_t n = *(const size_t *)(const void *)(base + f->offset);
    const char *first = base + f->offset + f->first;
    enum err e = E_OK;

    if (n > f->most) {
        return refuse(w, f->name, "has too many elements");
    }
    for (size_t i = n; i > 0; i--) {
        const uint8_t *end = w->at;
        TRY(put_shape(w, f->of, first + (i - 1) * f->stride, f->name));
        TRY(put_head(w, CDC_UNIVERSAL_SEQUENCE, end));
    }
out:
    return e;
}

/* Whether the struct has anything for the field. */
static bool is_there(const struct cdc_field *f, const char *base);

static bool has_content(const struct cdc_shape *shape, const char *base)
{
    for (unsigned i = 0; i < shape->n; i++) {
        if (shape->field[i].type != CDC_T_NULL && is_there(&shape->field[i], base)) {
            return true;
        }
    }
    return false;
}

static bool is_there(const struct cdc_field *f, const char *base)
{
    const void *at = base + f->offset;

    switch ((enum cdc_type)f->type) {
    case CDC_T_VISIBLE:
    case CDC_T_UTF8:
        return ((const struct view *)at)->n > 0;
    case CDC_T_ENUM:
    case CDC_T_INTEGER:
        return *(const uint32_t *)at != 0;
    case CDC_T_LIST:
        return *(const size_t *)at != 0;
    case CDC_T_SEQUENCE:
    case CDC_T_WRAPPED:
        return has_content(f->of, at);
    case CDC_T_NULL:
    case CDC_T_TIME:
        break;
    }
    return true;
}

static enum err put_value(struct writer *w, const struct cdc_field *f, const char *base)
{
    switch ((enum cdc_type)f->type) {
    case CDC_T_VISIBLE:
    case CDC_T_UTF8:
        return put_text(w, f, base);
    case CDC_T_ENUM:
    case CDC_T_INTEGER:
        return put_number(w, f, base);
    case CDC_T_TIME:
        return put_time(w, f, base);
    case CDC_T_LIST:
        return put_list(w, f, base);
    case CDC_T_SEQUENCE:
    case CDC_T_WRAPPED:
        return put_shape(w, f->of, base + f->offset, f->name);
    case CDC_T_NULL:
        break;
    }
    return E_OK;
}

static bool is_constructed(const struct cdc_field *f)
{
    return f->type == CDC_T_SEQUENCE || f->type == CDC_T_WRAPPED || f->type == CDC_T_LIST;
}

/* One field with its head. A SEQUENCE that must be there may be empty: a party of whom nothing is
 * known. */
static enum err put_field(struct writer *w, const struct cdc_field *f, const char *base)
{
    uint8_t *end = w->at;
    enum err e = E_OK;

    if (f->since > w->version) {
        return E_OK; /* not known to that version, whatever the caller has */
    }
    if (!is_there(f, base)) {
        if (!f->must) {
            return E_OK;
        }
        if (f->type != CDC_T_SEQUENCE || f->of->at_least_one) {
            return refuse(w, f->name, "is missing");
        }
    } else {
        TRY(put_value(w, f, base));
    }
    TRY(put_head(w, CDC_CONTEXT | (is_constructed(f) ? CDC_CONSTRUCTED : 0u) | f->tag, end));
out:
    return e;
}

/* Of each group exactly one. */
static enum err check_groups(const struct writer *w, const struct cdc_shape *shape,
                             const char *base, const char *name)
{
    unsigned count[4] = {0};

    for (unsigned i = 0; i < shape->n; i++) {
        count[shape->field[i].group] += is_there(&shape->field[i], base);
    }
    for (unsigned i = 0; i < shape->n; i++) {
        unsigned group = shape->field[i].group;
        if (group != 0 && count[group] != 1) {
            return refuse(w, name,
                          count[group] == 0 ? "lacks one of its choices"
                                            : "has more than one of its choices");
        }
    }
    return E_OK;
}

static enum err put_shape(struct writer *w, const struct cdc_shape *shape, const char *base,
                          const char *name)
{
    enum err e = check_groups(w, shape, base, name);

    TRY(e);
    for (unsigned i = shape->n; i > 0; i--) {
        TRY(put_field(w, &shape->field[i - 1], base));
    }
out:
    return e;
}

enum err cdc_write(const struct cdc_message *m, void *dst, size_t dst_bytes, size_t *out_n,
                   char *why, size_t why_bytes)
{
    const struct cdc_message_shape *s = cdc_shape_of((unsigned)m->kind);
    struct writer w = {.begin = dst,
                       .at = (uint8_t *)dst + dst_bytes,
                       .version = m->version,
                       .why = why,
                       .why_bytes = why_bytes};
    uint8_t *end = w.at, *body = NULL;
    uint8_t version[3] = {CDC_CONTEXT, 1, (uint8_t)m->version};
    enum err e = E_OK;

    if (!cdc_has(m->version, m->kind)) {
        return refuse(&w, s != NULL ? s->name : "the message", "is none of this version");
    }
    body = w.at;
    TRY(put_shape(&w, &s->shape, (const char *)m, s->name));
    TRY(put_head(&w, CDC_CONTEXT | CDC_CONSTRUCTED | (unsigned)m->kind, body));
    TRY(put_head(&w, CDC_CONTEXT | CDC_CONSTRUCTED | 1, end));
    TRY(put(&w, version, sizeof version));
    TRY(put_head(&w, CDC_UNIVERSAL_SEQUENCE, end));
    *out_n = (size_t)(end - w.at);
    memmove(dst, w.at, *out_n);
out:
    return e;
}

/* ---- texts -------------------------------------------------------------------------------------
 */
bool cdc_is_visible_text(struct view text)
{
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < 0x20 || (unsigned char)text.p[i] > 0x7E) {
            return false;
        }
    }
    return true;
}

struct view cdc_visible(struct view text, size_t max, char *dst)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n && n < max; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c & 0xC0) != 0x80) { /* one '?' for a whole character of several octets */
            dst[n++] = c >= 0x20 && c <= 0x7E ? (char)c : '?';
        }
    }
    dst[n] = 0;
    return view_from(dst, n);
}
