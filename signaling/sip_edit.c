/* Edits: a short list of (where, how much goes, what comes), applied in one pass over the raw
 * octets. */
#include "signaling/sip_edit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "signaling/sip_uri.h"

static void fault(struct sip_edit *e, enum err code)
{
    if (e->bad == E_OK) {
        e->bad = FAIL(code);
    }
}

static size_t place(const struct sip_edit *e, const char *p)
{
    BUG_ON(p < e->m->raw.p || p > e->m->raw.p + e->m->raw.n);
    return (size_t)(p - e->m->raw.p);
}

/* One header line can never become two, whatever text a caller was made to put into it: controls
 * only as a proper fold. */
static bool is_clean(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c >= 0x20 ? c == 0x7f : c != '\t') {
            if (c != '\r' || i + 2 >= v.n || v.p[i + 1] != '\n' ||
                (v.p[i + 2] != ' ' && v.p[i + 2] != '\t')) {
                return false;
            }
            i += 2;
        }
    }
    return true;
}

/* The same octets cut twice: the last text wins. */
static void put(struct sip_edit *e, size_t at, size_t cut, struct view text)
{
    for (unsigned i = 0; cut > 0 && i < e->n; i++) {
        if (e->op[i].at == at && e->op[i].cut == cut) {
            e->op[i].text = text;
            return;
        }
    }
    if (e->n >= SIP_EDIT_OPS) {
        fault(e, E_FULL);
        return;
    }
    e->op[e->n] = (struct sip_edit_op){at, cut, text, e->n};
    e->n++;
}

void sip_edit_begin(struct sip_edit *e, const struct sip_msg *m)
{
    BUG_ON(m->head.n < 4); /* framed well, or there is nothing to edit */
    e->m = m;
    e->bad = E_OK;
    e->n = 0;
    e->used = 0;
    e->has_body = false;
    e->body = e->content_type = VIEW("");
}

void sip_edit_uri(struct sip_edit *e, struct view uri)
{
    for (size_t i = 0; i < uri.n; i++) {
        if ((unsigned char)uri.p[i] <= ' ' || (unsigned char)uri.p[i] >= 0x7f) {
            fault(e, E_PARSE);
        }
    }
    if (!e->m->is_request || uri.n == 0) {
        fault(e, E_STATE);
        return;
    }
    put(e, place(e, e->m->uri.p), e->m->uri.n, uri);
}

void sip_edit_remove(struct sip_edit *e, const struct sip_hdr *h)
{
    put(e, place(e, h->line.p), h->line.n, VIEW(""));
}

void sip_edit_remove_all(struct sip_edit *e, enum sip_hdr_id id)
{
    for (unsigned i = 0; i < e->m->n_headers; i++) {
        if (e->m->h[i].id == (uint8_t)id) {
            sip_edit_remove(e, &e->m->h[i]);
        }
    }
}

void sip_edit_remove_top_value(struct sip_edit *e, const struct sip_hdr *h)
{
    struct sip_list l = sip_list_over(h->value);
    struct view first, next;

    if (!sip_list_next(&l, &first) || !sip_list_next(&l, &next)) {
        sip_edit_remove(e, h);
        return;
    }
    put(e, place(e, h->value.p), (size_t)(next.p - h->value.p), VIEW(""));
}

void sip_edit_value(struct sip_edit *e, const struct sip_hdr *h, struct view value)
{
    if (!is_clean(value)) {
        fault(e, E_PARSE);
        return;
    }
    put(e, place(e, h->value.p), h->value.n, value);
}

void sip_edit_part(struct sip_edit *e, struct view part, struct view text)
{
    BUG_ON(part.n == 0 || place(e, part.p) + part.n > e->m->head.n);
    if (!is_clean(text)) {
        fault(e, E_PARSE);
        return;
    }
    put(e, place(e, part.p), part.n, text);
}

static struct view format(struct sip_edit *e, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static struct view format(struct sip_edit *e, const char *fmt, va_list ap)
{
    size_t room = sizeof e->text - e->used;
    char *at = e->text + e->used;
    int n = vsnprintf(at, room, fmt, ap);

    if (n < 0 || (size_t)n + 2 >= room) {
        fault(e, E_FULL);
        return VIEW("");
    }
    e->used += (size_t)n;
    return view_from(at, (size_t)n);
}

void sip_edit_insert(struct sip_edit *e, enum sip_hdr_id before, const char *fmt, ...)
{
    const struct sip_hdr *h = before != SIP_H_OTHER ? sip_header(e->m, before, 0) : NULL;
    struct view line;
    va_list ap;

    va_start(ap, fmt);
    line = format(e, fmt, ap);
    va_end(ap);
    if (e->bad != E_OK) {
        return;
    }
    if (!is_clean(line)) {
        fault(e, E_PARSE);
        return;
    }
    memcpy(e->text + e->used, "\r\n", 2); /* format() left the room */
    e->used += 2;
    line.n += 2;
    put(e, h != NULL ? place(e, h->line.p) : e->m->head.n - 2, 0, line);
}

bool sip_via_source_param(struct view value, size_t *at, struct view *out)
{
    while (*at < value.n) {
        size_t begin = *at, end = begin + (value.p[begin] == ';'), eq = 0;
        bool quoted = false;
        struct view name;
        while (end < value.n && (quoted || value.p[end] != ';')) {
            if (quoted && value.p[end] == '\\') {
                end++;
            } else if (value.p[end] == '"') {
                quoted = !quoted;
            }
            end++;
        }
        end = end > value.n ? value.n : end;
        *at = end;
        if (value.p[begin] != ';') {
            continue; /* sent-protocol and sent-by */
        }
        *out = view_sub(value, begin, end - begin);
        name = view_sub(*out, 1, out->n);
        name = view_find(name, '=', &eq) ? view_sub(name, 0, eq) : name;
        name = sip_trim(name);
        if (view_eq_nocase(name, VIEW("received")) || view_eq_nocase(name, VIEW("rport"))) {
            return true;
        }
    }
    return false;
}

static struct view format_here(struct sip_edit *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static struct view format_here(struct sip_edit *e, const char *fmt, ...)
{
    struct view v;
    va_list ap;

    va_start(ap, fmt);
    v = format(e, fmt, ap);
    va_end(ap);
    return v;
}

void sip_edit_via_source(struct sip_edit *e, const char *ip, uint16_t port)
{
    const struct sip_via *via = &e->m->via;
    struct view value = via->first_value, param, text;
    size_t at = 0;

    while (sip_via_source_param(value, &at, &param)) {
        put(e, place(e, param.p), param.n, VIEW(""));
    }
    text = via->has_rport ? format_here(e, ";received=%s;rport=%u", ip, port)
                          : format_here(e, ";received=%s", ip);
    put(e, place(e, value.p + value.n), 0, text);
}

void sip_edit_body(struct sip_edit *e, struct view content_type_or_empty, struct view body)
{
    if (!is_clean(content_type_or_empty)) {
        fault(e, E_PARSE);
        return;
    }
    if (body.n > 0 && content_type_or_empty.n == 0 &&
        sip_header(e->m, SIP_H_CONTENT_TYPE, 0) == NULL) {
        fault(e, E_STATE); /* nobody would know what it is, our own framer refuses it */
        return;
    }
    e->has_body = true;
    e->body = body;
    if (content_type_or_empty.n > 0) {
        e->content_type = content_type_or_empty;
    }
}

/* ---- rendering --------------------------------------------------------------------------------
 */
/* Insertions first, then the widest cut, so that a cut swallows the changes inside it. */
static bool goes_before(const struct sip_edit_op *a, const struct sip_edit_op *b)
{
    if (a->at != b->at) {
        return a->at < b->at;
    }
    if (a->cut != b->cut) {
        return a->cut == 0 || (b->cut != 0 && a->cut > b->cut);
    }
    return a->order < b->order;
}

static void sort(struct sip_edit_op *op, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        struct sip_edit_op x = op[i];
        unsigned k = i;
        for (; k > 0 && goes_before(&x, &op[k - 1]); k--) {
            op[k] = op[k - 1];
        }
        op[k] = x;
    }
}

static void append(struct sip_text *t, const char *p, size_t n)
{
    sip_text_view(t, view_from(p, n));
}

/* The lines that follow from the body; texts live in `line`. */
static unsigned body_ops(const struct sip_edit *e, struct sip_edit_op op[2], char line[2][320])
{
    const struct sip_hdr *length = sip_header(e->m, SIP_H_CONTENT_LENGTH, 0);
    const struct sip_hdr *type = sip_header(e->m, SIP_H_CONTENT_TYPE, 0);
    size_t last = e->m->head.n - 2;
    size_t body_bytes = e->has_body ? e->body.n : e->m->body.n;
    unsigned n = 0;
    int k = 0;

    if (e->content_type.n > 0) {
        k = snprintf(line[0], sizeof line[0], type != NULL ? "%.*s" : "Content-Type: %.*s\r\n",
                     (int)e->content_type.n, e->content_type.p);
        op[n] = (struct sip_edit_op){last, 0, view_from(line[0], (size_t)k), SIP_EDIT_OPS};
        if (type != NULL) {
            op[n].at = place(e, type->value.p);
            op[n].cut = type->value.n;
        }
        n++;
    }
    if (length == NULL ||
        e->has_body) { /* the next hop may be a stream: a length is always there */
        k = snprintf(line[1], sizeof line[1], length != NULL ? "%zu" : "Content-Length: %zu\r\n",
                     body_bytes);
        op[n] = (struct sip_edit_op){last, 0, view_from(line[1], (size_t)k), SIP_EDIT_OPS + 1};
        if (length != NULL) {
            op[n].at = place(e, length->value.p);
            op[n].cut = length->value.n;
        }
        n++;
    }
    return n;
}

enum err sip_edit_render(struct sip_edit *e, char *dst, size_t dst_bytes, size_t *out_n)
{
    struct view head = e->m->head;
    struct sip_text t = {dst, 0, dst_bytes, false};
    struct sip_edit_op op[SIP_EDIT_OPS + 2];
    char line[2][320];
    size_t pos = 0;
    unsigned n = e->n;

    if (e->bad != E_OK) {
        return e->bad;
    }
    if (e->content_type.n > 256) {
        return FAIL(E_FULL);
    }
    memcpy(op, e->op, n * sizeof op[0]);
    n += body_ops(e, op + n, line);
    sort(op, n);
    for (unsigned i = 0; i < n; i++) {
        if (op[i].at < pos) { /* inside something that is gone */
            pos = op[i].at + op[i].cut > pos ? op[i].at + op[i].cut : pos;
            continue;
        }
        append(&t, head.p + pos, op[i].at - pos);
        sip_text_view(&t, op[i].text);
        pos = op[i].at + op[i].cut;
    }
    append(&t, head.p + pos, head.n - pos);
    sip_text_view(&t, e->has_body ? e->body : e->m->body);
    if (t.bad) {
        return FAIL(E_RANGE);
    }
    *out_n = t.n;
    return E_OK;
}
