/* The strict lexer: one pass over the head; everything that a second parser might read otherwise is
 * refused here. */
#include <string.h>

#include "signaling/sip_msg.h"
#include "signaling/sip_uri.h"

#define ELEMENTS_MAX 256 /* of all list headers together */

struct framer {
    struct sip_msg *m;
    const char *why;
    bool has_via, has_cseq; /* as far as an answer needs them, even when one is refused */
    bool has_control;       /* an octet that only a quoted-pair may hide stood in a line */
};

/* The first reason stays; what is read after it only decides whether an answer is possible. */
static enum err refuse_as(struct framer *f, enum err e, unsigned status, const char *why)
{
    if (f->why == NULL) {
        f->why = why;
        f->m->refuse_status = status;
    }
    return FAIL(e);
}

static enum err refuse(struct framer *f, enum err e, const char *why)
{
    return refuse_as(f, e, 400, why);
}

/* Headers that may stand once only. */
static bool is_singleton(enum sip_hdr_id id)
{
    switch ((int)id) {
    case SIP_H_FROM:
    case SIP_H_TO:
    case SIP_H_CALL_ID:
    case SIP_H_CSEQ:
    case SIP_H_MAX_FORWARDS:
    case SIP_H_CONTENT_LENGTH:
    case SIP_H_CONTENT_TYPE:
    case SIP_H_EXPIRES:
    case SIP_H_EVENT:
    case SIP_H_REFER_TO:
    case SIP_H_REPLACES:
    case SIP_H_RACK:
    case SIP_H_RSEQ:
    case SIP_H_SESSION_EXPIRES:
    case SIP_H_MAX_BREADTH:
    case SIP_H_AUTHENTICATION_INFO:
    case SIP_H_SUBJECT:
    case SIP_H_DATE:
    case SIP_H_RETRY_AFTER:
    case SIP_H_MIN_EXPIRES:
    case SIP_H_REFERRED_BY:
        return true;
    default:
        return false;
    }
}

/* Each element is a name-addr whose URI somebody may route, call or show by. */
static bool is_party(enum sip_hdr_id id)
{
    switch ((int)id) {
    case SIP_H_CONTACT:
    case SIP_H_ROUTE:
    case SIP_H_RECORD_ROUTE:
    case SIP_H_PATH:
    case SIP_H_P_ASSERTED_IDENTITY:
    case SIP_H_P_PREFERRED_IDENTITY:
    case SIP_H_REMOTE_PARTY_ID:
    case SIP_H_HISTORY_INFO:
    case SIP_H_DIVERSION:
    case SIP_H_REFER_TO:
    case SIP_H_REFERRED_BY:
        return true;
    default:
        return false;
    }
}

/* Free text: a comma in it parts nothing. */
static bool is_text(enum sip_hdr_id id)
{
    return id == SIP_H_SUBJECT || id == SIP_H_USER_AGENT || id == SIP_H_SERVER || id == SIP_H_DATE;
}

static const char *bad_name(enum sip_hdr_id id)
{
#define BAD(id, name, compact) "Bad " name,
    static const char *const texts[] = {"Bad header", SIP_HEADERS(BAD)};
#undef BAD
    return texts[id];
}

static const char *repeated_name(enum sip_hdr_id id)
{
#define REPEATED(id, name, compact) "Repeated " name,
    static const char *const texts[] = {"Repeated header", SIP_HEADERS(REPEATED)};
#undef REPEATED
    return texts[id];
}

/* Of any scheme: %XX with two hex digits; no control octet, no blank, only ASCII. %00 is for the
 * user part of a sip: URI alone (RFC 4475 section 3.1.1.4). */
static bool only_printable(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static bool good_uri_octets(const struct sip_name_addr *a)
{
    return only_printable(a->uri_text) && (a->uri.has_nul || sip_escapes_ok(a->uri_text));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- start line ------------------------------------------------------------------------------ */
static enum err status_line(struct framer *f, struct view line)
{
    struct sip_msg *m = f->m;

    if (line.n < 12 || line.p[11] != ' ' || !is_digit((unsigned char)line.p[8]) ||
        !is_digit((unsigned char)line.p[9]) || !is_digit((unsigned char)line.p[10])) {
        return refuse(f, E_PARSE, "Bad status line");
    }
    m->status = (unsigned)(line.p[8] - '0') * 100 + (unsigned)(line.p[9] - '0') * 10 +
                (unsigned)(line.p[10] - '0');
    if (m->status < 100 || m->status > 699) {
        return refuse(f, E_RANGE, "Bad status code");
    }
    m->reason = view_sub(line, 12, line.n);
    return E_OK;
}

static bool is_other_version(struct view v)
{
    struct cursor c = cursor_over(v);
    uint64_t n = 0;

    return cur_lit_nocase(&c, VIEW("SIP/")) == E_OK && cur_u64(&c, 99, &n) == E_OK &&
           cur_lit(&c, VIEW(".")) == E_OK && cur_u64(&c, 99, &n) == E_OK && cur_done(&c);
}

static enum err request_uri(struct framer *f, struct view uri)
{
    struct sip_uri u = {.scheme = SIP_SCHEME_SIP};

    if (uri.n > SIP_MAX_URI) {
        return refuse_as(f, E_RANGE, 414, "Request-URI too long");
    }
    if (!only_printable(uri) || !sip_escapes_ok(uri) || sip_uri_parse(uri, &u) == E_PARSE) {
        return refuse(f, E_PARSE, "Bad Request-URI");
    }
    /* Headers would be smuggled past everyone who reads the message's own (RFC 3261 19.1.1). */
    return u.headers.n > 0 ? refuse(f, E_PARSE, "Headers in Request-URI") : E_OK;
}

/* "METHOD blanks ... SIP/d.d": somebody waits for an answer, however badly the line is written. */
static bool is_meant_as_request(struct view line, struct view *out_method)
{
    struct view rest = view_trim(line), last = rest;
    struct cursor c = cursor_over(line);
    size_t at = 0;

    while (view_find(last, ' ', &at) || view_find(last, '\t', &at)) {
        last = view_sub(last, at + 1, last.n);
    }
    return cur_token(&c, SIP_MAX_METHOD, out_method) == E_OK && c.at < c.end && is_blank(*c.at) &&
           last.n < rest.n && (view_eq(last, VIEW("SIP/2.0")) || is_other_version(last));
}

static enum err request_line(struct framer *f, struct view line)
{
    struct sip_msg *m = f->m;
    struct cursor c = cursor_over(line);
    struct view method, uri, version;

    m->is_request = is_meant_as_request(line, &m->method_text);
    m->method = m->is_request ? sip_method_of(m->method_text) : SIP_M_OTHER;
    if (cur_token(&c, SIP_MAX_METHOD, &method) != E_OK || cur_lit(&c, VIEW(" ")) != E_OK) {
        return refuse(f, E_PARSE, "Bad method");
    }
    if (cur_until(&c, ' ', &uri) != E_OK || uri.n == 0) {
        return refuse(f, E_PARSE, "Bad Request-URI");
    }
    version = cur_rest(&c);
    if (!view_eq(version, VIEW("SIP/2.0")) && !is_other_version(version)) {
        return refuse(f, E_PARSE, "Bad request line");
    }
    m->uri = uri;
    if (!view_eq(version, VIEW("SIP/2.0"))) {
        return refuse_as(f, E_PARSE, 505, "Version Not Supported");
    }
    return request_uri(f, uri);
}

/* ---- lines ----------------------------------------------------------------------------------- */
static enum err refuse_octet(struct framer *f, char c)
{
    return refuse(f, E_PARSE,
                  c == '\r'   ? "Bare CR"
                  : c == '\n' ? "Bare LF"
                              : "Control character in head");
}

/* The next line without its CRLF; bare CR and bare LF are refused, and so are other controls unless
 * a backslash goes before them (check_controls() looks closer). *at moves past the CRLF. */
static enum err next_line(struct framer *f, struct view raw, size_t *at, struct view *out)
{
    const char *p = raw.p + *at, *end = raw.p + raw.n;

    for (const char *q = p; q < end; q++) {
        unsigned char c = (unsigned char)*q;
        if ((c >= 0x20 && c != 0x7f) || c == '\t') {
            continue;
        }
        if (c == '\r' && q + 1 < end && q[1] == '\n') {
            *out = view_from(p, (size_t)(q - p));
            *at = (size_t)(q + 2 - raw.p);
            return E_OK;
        }
        if (c == '\r' || c == '\n' || q == p || q[-1] != '\\') {
            return refuse_octet(f, (char)c);
        }
        f->has_control = true;
    }
    return refuse(f, E_PARSE, "Head not complete");
}

static bool starts_blank(struct view raw, size_t at)
{
    return at < raw.n && (raw.p[at] == ' ' || raw.p[at] == '\t');
}

/* RFC 3261 lets a quoted-pair hide any octet but CR and LF. Taken only where sip_plain() knows what
 * to make of it: in a quoted string of a header of addresses. */
static bool controls_are_quoted(const struct sip_hdr *h)
{
    enum sip_hdr_id id = (enum sip_hdr_id)h->id;
    bool may_quote = id == SIP_H_FROM || id == SIP_H_TO || is_party(id), quoted = false;

    for (size_t i = 0; i < h->value.n; i++) {
        unsigned char c = (unsigned char)h->value.p[i];
        if (quoted && c == '\\') {
            i++;
            continue; /* next_line() lets no bare CR or LF come here; a fold is no quoted-pair */
        }
        if (c == '"') {
            quoted = !quoted;
        } else if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f) {
            return false;
        }
    }
    return may_quote;
}

static enum err read_name(struct framer *f, struct view line, struct view *out)
{
    struct view name;
    size_t colon = 0;

    if (!view_find(line, ':', &colon) || colon == 0) {
        return refuse(f, E_PARSE, "Header line without name");
    }
    name = view_sub(line, 0, colon);
    while (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t')) {
        name.n--; /* HCOLON allows blanks before the colon */
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!is_token_char((unsigned char)name.p[i])) {
            return refuse(f, E_PARSE, "Bad header name");
        }
    }
    if (name.n == 0) {
        return refuse(f, E_PARSE, "Bad header name");
    }
    *out = name;
    return E_OK;
}

static enum err add_header(struct framer *f, struct view line, struct view whole)
{
    struct sip_msg *m = f->m;
    struct sip_hdr h = {.line = whole};
    bool had_control = f->has_control, folded = line.n + 2 < whole.n;
    size_t colon = 0;
    enum err e = E_OK;

    f->has_control = false;
    TRY(read_name(f, line, &h.name));
    h.id = (uint8_t)sip_hdr_id_of(h.name);
    TRY(view_find(line, ':', &colon) ? E_OK : FAIL(E_PARSE));
    h.value = sip_trim(view_sub(whole, colon + 1, whole.n - colon - 3));
    if (had_control && !controls_are_quoted(&h)) {
        return refuse(f, E_PARSE, "Control character in head");
    }
    if (folded && h.id == SIP_H_CONTENT_LENGTH) { /* where a message ends is nothing to guess at */
        return refuse(f, E_PARSE, "Folded Content-Length");
    }
    if (is_singleton((enum sip_hdr_id)h.id) && sip_header(m, (enum sip_hdr_id)h.id, 0) != NULL) {
        return refuse(f, E_PARSE, repeated_name((enum sip_hdr_id)h.id));
    }
    if (m->n_headers == SIP_MAX_HEADERS) {
        return refuse(f, E_RANGE, "Too many headers");
    }
    m->is_odd = m->is_odd || folded || had_control;
    m->h[m->n_headers++] = h;
out:
    return e;
}

static void keep(enum err *first, enum err e)
{
    *first = *first == E_OK ? e : *first;
}

/* A refused line does not hide those behind it: they tell whom to answer. Only when nobody can say
 * where a line ends, reading ends with it. */
static enum err read_headers(struct framer *f, struct view raw, size_t *at)
{
    enum err first = E_OK;

    for (;;) {
        size_t begin = *at;
        struct view line = {0}, more = {0};
        enum err e = next_line(f, raw, at, &line);
        if (e != E_OK) {
            return e;
        }
        if (line.n == 0) {
            return first;
        }
        while (starts_blank(raw, *at)) {
            e = next_line(f, raw, at, &more);
            if (e != E_OK) {
                return e;
            }
            if (view_trim(more).n == 0) { /* some readers take it for the end of the head */
                return refuse(f, E_PARSE, "Blank line in head");
            }
        }
        keep(&first, add_header(f, line, view_sub(raw, begin, *at - begin)));
    }
}

/* ---- meaning of the mandatory headers -------------------------------------------------------- */
static bool is_our_version(const struct sip_via *v)
{
    return view_eq(v->version, VIEW("2.0"));
}

/* Its parameters may be nonsense: the answer goes to where the request came from. */
static bool names_a_sender(struct view element)
{
    struct sip_via v;
    size_t semi = 0;

    return view_find(element, ';', &semi) && sip_via_parse(view_sub(element, 0, semi), &v) == E_OK;
}

static enum err read_via(struct framer *f)
{
    struct sip_msg *m = f->m;
    const struct sip_hdr *h = sip_header(m, SIP_H_VIA, 0);
    struct sip_list list;
    struct view first = VIEW("");

    if (h == NULL) {
        return refuse(f, E_PARSE, "Missing Via");
    }
    list = sip_list_over(h->value);
    if (!sip_list_next(&list, &first) || sip_via_parse(first, &m->via) != E_OK) {
        f->has_via = names_a_sender(first);
        return refuse(f, E_PARSE, "Bad Via");
    }
    f->has_via = true;
    return is_our_version(&m->via) ? E_OK : refuse(f, E_PARSE, "Bad Via");
}

static enum err read_call_id(struct framer *f)
{
    struct view v = sip_header_value(f->m, SIP_H_CALL_ID);

    if (v.n == 0) {
        return refuse(f, E_PARSE, "Missing Call-ID");
    }
    if (v.n > SIP_MAX_CALL_ID) {
        return refuse(f, E_RANGE, "Call-ID too long");
    }
    for (size_t i = 0; i < v.n; i++) {
        if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7f) {
            return refuse(f, E_PARSE, "Bad Call-ID");
        }
    }
    f->m->call_id = v;
    return E_OK;
}

/* 1*DIGIT LWS Method, the number of any size: such a line can go into an answer. */
static bool split_cseq(struct view v, struct view *number, struct view *method)
{
    size_t n = 0;
    struct cursor c;

    while (n < v.n && is_digit((unsigned char)v.p[n])) {
        n++;
    }
    *number = view_sub(v, 0, n);
    c = cursor_over(sip_trim(view_sub(v, n, v.n)));
    return n > 0 && n < v.n && is_blank(v.p[n]) && cur_token(&c, SIP_MAX_METHOD, method) == E_OK &&
           cur_done(&c);
}

static enum err read_cseq(struct framer *f)
{
    struct sip_msg *m = f->m;
    struct view v = sip_header_value(m, SIP_H_CSEQ), number, method;
    uint64_t n = 0;

    if (v.n == 0) {
        return refuse(f, E_PARSE, "Missing CSeq");
    }
    if (!split_cseq(v, &number, &method)) {
        return refuse(f, E_PARSE, "Bad CSeq");
    }
    f->has_cseq = true;
    if (view_to_u64(number, INT32_MAX, &n) != E_OK) {
        return refuse(f, E_RANGE, "Bad CSeq");
    }
    m->cseq = (uint32_t)n;
    if (!m->is_request) {
        m->method_text = method;
        m->method = sip_method_of(method);
    } else if (!view_eq(method, m->method_text)) { /* RFC 4475 section 3.1.2.18: 501 for unknown */
        return refuse_as(f, E_PARSE, m->method == SIP_M_OTHER ? 501 : 400,
                         "CSeq method is not the request's");
    }
    return E_OK;
}

static enum err read_party(struct framer *f, enum sip_hdr_id id, struct view *out_tag)
{
    bool is_from = id == SIP_H_FROM;
    struct view v = sip_header_value(f->m, id);
    struct sip_name_addr a;

    if (v.n == 0) {
        return refuse(f, E_PARSE, is_from ? "Missing From" : "Missing To");
    }
    if (sip_name_addr_parse(v, &a) == E_PARSE || a.is_star || !good_uri_octets(&a)) {
        return refuse(f, E_PARSE, bad_name(id));
    }
    if (sip_param(a.params, VIEW("tag"), out_tag)) {
        struct cursor c = cursor_over(*out_tag);
        struct view tag;
        if (cur_token(&c, SIP_MAX_TAG, &tag) != E_OK || !cur_done(&c)) {
            *out_tag = VIEW("");
            return refuse(f, E_PARSE, is_from ? "Bad tag in From" : "Bad tag in To");
        }
    }
    return E_OK;
}

/* Via and CSeq are what an answer is matched by (RFC 3261 section 17.1.3): with them it can be
 * made, whatever is wrong with the rest. */
static enum err read_mandatory(struct framer *f)
{
    struct sip_msg *m = f->m;
    enum err first = read_via(f);

    keep(&first, read_call_id(f));
    keep(&first, read_party(f, SIP_H_FROM, &m->from_tag));
    keep(&first, read_party(f, SIP_H_TO, &m->to_tag));
    keep(&first, read_cseq(f));
    m->can_answer = m->is_request && m->method != SIP_M_ACK && f->has_via && f->has_cseq;
    return first;
}

/* ---- the other headers ----------------------------------------------------------------------- */
static enum err check_element(struct framer *f, const struct sip_hdr *h, struct view element)
{
    enum sip_hdr_id id = (enum sip_hdr_id)h->id;
    struct sip_name_addr a;
    struct sip_via via;

    if (id == SIP_H_VIA) {
        return sip_via_parse(element, &via) == E_OK && is_our_version(&via)
                   ? E_OK
                   : refuse(f, E_PARSE, bad_name(id));
    }
    if (!is_party(id)) {
        return E_OK;
    }
    if (sip_name_addr_parse(element, &a) == E_PARSE) {
        return refuse(f, E_PARSE, bad_name(id));
    }
    if (a.is_star) { /* Contact: *, and nothing else */
        return id == SIP_H_CONTACT && h->value.n == 1 ? E_OK : refuse(f, E_PARSE, bad_name(id));
    }
    return good_uri_octets(&a) && (id == SIP_H_CONTACT || !a.uri.has_nul)
               ? E_OK
               : refuse(f, E_PARSE, bad_name(id));
}

static enum err check_numbers(struct framer *f, const struct sip_hdr *h)
{
    uint64_t n = 0;

    switch ((int)h->id) {
    case SIP_H_MAX_FORWARDS:
        return view_to_u64(h->value, 255, &n) == E_OK ? E_OK
                                                      : refuse(f, E_PARSE, "Bad Max-Forwards");
    case SIP_H_EXPIRES:
    case SIP_H_MIN_EXPIRES:
    case SIP_H_RSEQ:
    case SIP_H_MAX_BREADTH:
        return view_to_u64(h->value, UINT32_MAX, &n) == E_OK
                   ? E_OK
                   : refuse(f, E_PARSE, bad_name((enum sip_hdr_id)h->id));
    default:
        return E_OK;
    }
}

/* Elements are counted because the second parser's lists cost the square of their length. */
static enum err check_headers(struct framer *f)
{
    const struct sip_msg *m = f->m;
    unsigned count[SIP_H_COUNT] = {0}, all = 0;
    enum err e = E_OK;

    for (unsigned i = 0; i < m->n_headers; i++) {
        const struct sip_hdr *h = &m->h[i];
        enum sip_hdr_id id = (enum sip_hdr_id)h->id;
        struct sip_list l = sip_list_over(h->value);
        struct view element;
        unsigned in_line = 0;

        TRY(check_numbers(f, h));
        if (is_text(id)) {
            continue;
        }
        if ((is_party(id) || id == SIP_H_VIA) &&
            (h->value.n == 0 || h->value.p[h->value.n - 1] == ',')) {
            return refuse(f, E_PARSE, bad_name(id));
        }
        while (sip_list_next(&l, &element)) {
            bool is_known_list = is_party(id) || id == SIP_H_VIA;
            unsigned n = is_known_list ? ++count[id] : ++in_line;
            if (n > SIP_MAX_LIST || ++all > ELEMENTS_MAX) {
                return refuse(f, E_RANGE, "Too many values in a header");
            }
            TRY(check_element(f, h, element));
        }
    }
out:
    return e;
}

static enum err read_body(struct framer *f, struct view raw, size_t at, bool is_datagram)
{
    struct sip_msg *m = f->m;
    const struct sip_hdr *h = sip_header(m, SIP_H_CONTENT_LENGTH, 0);
    uint64_t n = raw.n - at;

    if (h == NULL && !is_datagram) {
        return refuse(f, E_PARSE, "Missing Content-Length");
    }
    if (h != NULL && view_to_u64(h->value, SIP_MAX_BYTES, &n) != E_OK) {
        return refuse(f, E_PARSE, "Bad Content-Length");
    }
    if (n > raw.n - at || (n < raw.n - at && !is_datagram)) {
        return refuse(f, E_PARSE, "Body is not as long as Content-Length");
    }
    m->head = view_sub(raw, 0, at);
    m->body = view_sub(raw, at, n);
    m->raw = view_sub(raw, 0, at + n);
    if (n > 0 && sip_header(m, SIP_H_CONTENT_TYPE, 0) == NULL) {
        return refuse(f, E_PARSE, "Body without Content-Type");
    }
    return E_OK;
}

static enum err read_all(struct framer *f, struct view raw, bool is_datagram)
{
    struct sip_msg *m = f->m;
    struct view line;
    size_t at = 0;
    enum err e = E_PARSE, first = E_OK;

    if (raw.n > SIP_MAX_BYTES) { /* its beginning tells whom to answer */
        first = refuse_as(f, E_RANGE, 513, "Message Too Large");
        raw = view_sub(raw, 0, SIP_MAX_BYTES);
    }
    TRY(next_line(f, raw, &at, &line));
    TRY(f->has_control ? refuse_octet(f, 0) : E_OK);
    keep(&first,
         view_starts(line, VIEW("SIP/2.0 ")) ? status_line(f, line) : request_line(f, line));
    if (first != E_OK && !m->is_request) {
        return first;
    }
    e = read_headers(f, raw, &at);
    keep(&first, e == E_OK ? read_body(f, raw, at, is_datagram) : e);
    keep(&first, read_mandatory(f));
    keep(&first, first == E_OK ? check_headers(f) : E_OK);
    e = first;
out:
    return e;
}

enum err sip_frame(struct view raw, bool is_datagram, struct sip_msg *out, const char **why)
{
    struct framer f = {.m = out, .why = NULL};
    enum err e = E_PARSE;

    memset(out, 0, offsetof(struct sip_msg, h)); /* the header array is counted, not cleared */
    out->raw = raw;
    e = read_all(&f, raw, is_datagram);
    if (e != E_OK) {
        *why = f.why;
    }
    return e;
}
