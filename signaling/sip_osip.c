/* The door to libosip2: a second reading of the head, compared with ours field by field. */
#include "signaling/sip_osip.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <osipparser2/osip_message.h>
#include <osipparser2/osip_parser.h>
#include <osipparser2/osip_port.h>

#include "signaling/sip_uri.h"

/* ---- memory: one bounded block for each check, on the checking thread's stack ------------------
 */
#define OSIP_ARENA_BYTES ((size_t)160 * 1024)

/* Behind what is handed out there is room for one message more: a write past the last piece, should
 * the library ever do one, meets nothing of ours. */
struct block {
    size_t used;
    bool failed;
    _Alignas(16) char b[OSIP_ARENA_BYTES + SIP_MAX_BYTES];
};

static _Thread_local struct block *current; /* the library's hooks carry no argument */

static void *take(size_t n)
{
    struct block *a = current;
    char *p = NULL;

    if (a == NULL) {
        return NULL; /* nobody but sip_osip_check() calls the library */
    }
    if (n > OSIP_ARENA_BYTES || a->used + 32 + n > OSIP_ARENA_BYTES) {
        a->failed = true;
        return NULL;
    }
    p = a->b + a->used;
    memcpy(p, &n, sizeof n); /* take_again() needs it */
    a->used += 16 + ((n + 15) & ~(size_t)15);
    return p + 16;
}

static void *take_again(void *old, size_t n)
{
    void *p = take(n);
    size_t had = 0;

    if (p != NULL && old != NULL) {
        memcpy(&had, (char *)old - 16, sizeof had);
        memcpy(p, old, had < n ? had : n);
    }
    return p;
}

static void give(void *p)
{
    (void)p; /* all goes at once */
}

static void silent(const char *file, int line, osip_trace_level_t level, const char *fmt,
                   va_list ap)
{
    (void)file, (void)line, (void)level, (void)fmt, (void)ap;
}

enum err sip_osip_init(void)
{
    /* Before the first parse: the library would print a line for each bad message. */
    osip_trace_initialize_func(OSIP_FATAL, silent);
    osip_set_allocators(take, take_again, give);
    return parser_init() == OSIP_SUCCESS ? E_OK : FAIL(E_STATE);
}

/* ---- comparing ------------------------------------------------------------------------------- */
static bool same(struct view ours, const char *theirs)
{
    return theirs != NULL ? view_eq(ours, view_of(theirs)) : ours.n == 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Where a C string with its escapes undone ends: nothing of it decides anything (sip_uri.h). */
static bool starts_nul(struct view ours, size_t at)
{
    return view_starts(view_sub(ours, at, ours.n), VIEW("%00"));
}

/* Theirs has its escapes undone. */
static bool same_unescaped(struct view ours, const char *theirs)
{
    size_t i = 0;

    if (theirs == NULL) {
        return ours.n == 0;
    }
    for (; i < ours.n && *theirs != 0; theirs++) {
        int c = (unsigned char)ours.p[i++];
        if (c == '%' && i + 1 < ours.n) {
            c = hex_value(ours.p[i]) * 16 + hex_value(ours.p[i + 1]);
            i += 2;
        }
        if (c != (unsigned char)*theirs) {
            return false;
        }
    }
    return (i == ours.n || starts_nul(ours, i)) && *theirs == 0;
}

static bool same_port(uint16_t ours, const char *theirs)
{
    uint64_t n = 0;

    return theirs == NULL ? ours == 0
                          : view_to_u64(view_of(theirs), 65535, &n) == E_OK && n == ours;
}

/* The library's list node holds (gname, gvalue) for URI and header parameters alike. */
static bool same_params(struct view ours, const osip_list_t *theirs, bool unescaped)
{
    struct sip_param_item item;
    int n = 0;

    for (; sip_param_next(&ours, &item); n++) {
        const osip_uri_param_t *p = osip_list_get(theirs, n);
        if (p == NULL || p->gname == NULL) {
            return false;
        }
        if (unescaped
                ? !same_unescaped(item.name, p->gname) || !same_unescaped(item.value, p->gvalue)
                : !view_eq_nocase(item.name, view_of(p->gname)) || !same(item.value, p->gvalue)) {
            return false;
        }
    }
    return n == osip_list_size(theirs);
}

static bool same_uri(struct view text, const osip_uri_t *o)
{
    struct sip_uri u = {.scheme = SIP_SCHEME_SIP};
    enum err e = sip_uri_parse(text, &u);
    size_t colon = 0;

    if (o == NULL || o->scheme == NULL || !view_find(text, ':', &colon) ||
        !view_eq(view_sub(text, 0, colon), view_of(o->scheme))) {
        return false;
    }
    if (e == E_NOTFOUND || u.scheme == SIP_SCHEME_TEL || u.scheme == SIP_SCHEME_URN) {
        return o->string != NULL && same(view_sub(text, colon + 1, text.n), o->string);
    }
    return e == E_OK && o->string == NULL && same_unescaped(u.user, o->username) &&
           same_unescaped(u.password, o->password) && same(u.host, o->host) &&
           same_port(u.port, o->port) && same_params(u.params, &o->url_params, true);
}

static bool same_display(struct view ours, const char *theirs)
{
    struct view v = view_of(theirs);

    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"') {
        v = view_sub(v, 1, v.n - 2);
    }
    return view_eq(ours, v);
}

static bool same_party(struct view element, const osip_from_t *o)
{
    struct sip_name_addr a = {.is_star = false};

    if (o == NULL || sip_name_addr_parse(element, &a) == E_PARSE) {
        return false;
    }
    if (a.is_star) {
        return o->url == NULL && same(VIEW("*"), o->displayname);
    }
    return same_display(a.display, o->displayname) && same_uri(a.uri_text, o->url) &&
           same_params(a.params, &o->gen_params, false);
}

static bool same_via(struct view element, const osip_via_t *o)
{
    struct sip_via v = {.port = 0};
    struct view params;
    size_t semi = 0;

    if (o == NULL || sip_via_parse(element, &v) != E_OK) {
        return false;
    }
    params = view_find(element, ';', &semi) ? view_sub(element, semi + 1, element.n) : VIEW("");
    return o->comment == NULL && same(VIEW("2.0"), o->version) && same(v.transport, o->protocol) &&
           same(v.host, o->host) && same_port(v.port, o->port) &&
           same_params(params, &o->via_params, false);
}

/* Every element of every line with this id, in order. */
static bool same_list(const struct sip_msg *m, enum sip_hdr_id id, const osip_list_t *theirs)
{
    int n = 0;

    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view element;
        for (; sip_list_next(&l, &element); n++) {
            const void *o = osip_list_get(theirs, n);
            if (id == SIP_H_VIA ? !same_via(element, o) : !same_party(element, o)) {
                return false;
            }
        }
    }
    return n == osip_list_size(theirs);
}

static bool same_call_id(struct view ours, const osip_call_id_t *o)
{
    size_t at = 0;

    if (o == NULL) {
        return false;
    }
    if (!view_find(ours, '@', &at)) {
        return o->host == NULL && same(ours, o->number);
    }
    return same(view_sub(ours, 0, at), o->number) && same(view_sub(ours, at + 1, ours.n), o->host);
}

static bool same_cseq(const struct sip_msg *m, const osip_cseq_t *o)
{
    uint64_t n = 0;

    return o != NULL && o->number != NULL &&
           view_to_u64(view_of(o->number), INT32_MAX, &n) == E_OK && n == m->cseq &&
           same(m->method_text, o->method);
}

static bool same_start(const struct sip_msg *m, const osip_message_t *o)
{
    if (!same(VIEW("SIP/2.0"), o->sip_version)) {
        return false;
    }
    if (!m->is_request) {
        return o->status_code == (int)m->status && same(m->reason, o->reason_phrase);
    }
    return same(m->method_text, o->sip_method) && same_uri(m->uri, o->req_uri);
}

static const char *difference(const struct sip_msg *m, const osip_message_t *o)
{
    if (!same_start(m, o)) {
        return "Ambiguous start line";
    }
    if (!same_list(m, SIP_H_VIA, &o->vias)) {
        return "Ambiguous Via";
    }
    if (!same_party(sip_header_value(m, SIP_H_FROM), o->from)) {
        return "Ambiguous From";
    }
    if (!same_party(sip_header_value(m, SIP_H_TO), o->to)) {
        return "Ambiguous To";
    }
    if (!same_call_id(m->call_id, o->call_id)) {
        return "Ambiguous Call-ID";
    }
    if (!same_cseq(m, o->cseq)) {
        return "Ambiguous CSeq";
    }
    if (!same_list(m, SIP_H_CONTACT, &o->contacts)) {
        return "Ambiguous Contact";
    }
    if (!same_list(m, SIP_H_ROUTE, &o->routes)) {
        return "Ambiguous Route";
    }
    if (!same_list(m, SIP_H_RECORD_ROUTE, &o->record_routes)) {
        return "Ambiguous Record-Route";
    }
    return NULL;
}

/* ---- the check ------------------------------------------------------------------------------- */
/* Lines that speak of a body: the library must not look for one. Credentials: they are no part of
 * the comparison and nobody else's to read. */
static bool is_left_out(unsigned id)
{
    return id == SIP_H_CONTENT_LENGTH || id == SIP_H_CONTENT_TYPE || id == SIP_H_CONTENT_ENCODING ||
           id == SIP_H_AUTHORIZATION || id == SIP_H_PROXY_AUTHORIZATION ||
           id == SIP_H_WWW_AUTHENTICATE || id == SIP_H_PROXY_AUTHENTICATE ||
           id == SIP_H_AUTHENTICATION_INFO;
}

static size_t head_alone(const struct sip_msg *m, char *dst)
{
    size_t n = 0, pos = 0;

    for (unsigned i = 0; i < m->n_headers; i++) {
        const struct sip_hdr *h = &m->h[i];
        size_t at = (size_t)(h->line.p - m->head.p);
        if (is_left_out(h->id)) {
            memcpy(dst + n, m->head.p + pos, at - pos);
            n += at - pos;
            pos = at + h->line.n;
        }
    }
    memcpy(dst + n, m->head.p + pos, m->head.n - pos);
    return n + m->head.n - pos;
}

static enum err read_and_compare(const struct sip_msg *m, struct block *a, const char **why)
{
    char head[SIP_MAX_BYTES];
    osip_message_t *o = NULL;
    size_t n = head_alone(m, head);
    int rc = osip_message_init(&o);
    const char *what = NULL;

    if (rc == OSIP_SUCCESS) {
        rc = osip_message_parse(o, head, n);
    }
    if (a->failed) { /* the library may have called it a success all the same */
        *why = "Message too complex";
        return FAIL(E_NOMEM);
    }
    what = rc == OSIP_SUCCESS ? difference(m, o) : "Ambiguous message";
    if (what != NULL) {
        *why = what;
        return FAIL(E_PARSE);
    }
    return E_OK;
}

enum err sip_osip_check(const struct sip_msg *m, const char **why)
{
    struct block a;
    enum err e = E_PARSE;

    BUG_ON(m->head.n == 0 || m->head.n > SIP_MAX_BYTES); /* not framed */
    a.used = 0;
    a.failed = false;
    current = &a;
    e = read_and_compare(m, &a, why);
    current = NULL;
    return e;
}
