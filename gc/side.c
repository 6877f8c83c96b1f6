/* The two ends of a call: what their messages teach, in as little memory as it takes. */
#include <string.h>

#include "base/mem.h"
#include "gc/call.h"

/* What does not fit whole is not kept at all: half a URI is another URI. */
static struct view whole(struct view v, size_t max)
{
    return v.n < max ? v : VIEW("");
}

/* ---- texts of a side ---------------------------------------------------------------------------
 */
struct side_texts {
    struct view tag, uri, contact, route;
};

static struct side_texts texts_of(const struct side *s)
{
    return (struct side_texts){view_of(s->tag), view_of(s->uri), view_of(s->contact),
                               view_of(s->route)};
}

const char *side_text(char **at, struct view v)
{
    char *begin = *at;

    if (v.n > 0) {
        memcpy(begin, v.p, v.n);
    }
    begin[v.n] = 0;
    *at = begin + v.n + 1;
    return begin;
}

/* The views may be those of the block that is replaced. E_NOMEM: all stays as it was. */
static enum err side_keep(struct side *s, const struct side_texts *t)
{
    struct side_texts old = texts_of(s);
    char *texts = NULL, *at = NULL;

    if (s->texts != NULL && view_eq(old.tag, t->tag) && view_eq(old.uri, t->uri) &&
        view_eq(old.contact, t->contact) && view_eq(old.route, t->route)) {
        return E_OK;
    }
    texts = mem_zalloc(t->tag.n + t->uri.n + t->contact.n + t->route.n + 4);
    if (texts == NULL) {
        return FAIL(E_NOMEM);
    }
    at = texts;
    s->tag = side_text(&at, t->tag);
    s->uri = side_text(&at, t->uri);
    s->contact = side_text(&at, t->contact);
    s->route = side_text(&at, t->route);
    mem_free(s->texts);
    s->texts = texts;
    return E_OK;
}

enum err side_copy(struct side *dst, const struct side *src)
{
    struct side_texts t = texts_of(src);

    dst->who = src->who;
    dst->flow = src->flow;
    dst->cseq = src->cseq;
    return side_keep(dst, &t);
}

void side_fini(struct side *s)
{
    mem_free(s->texts);
    s->texts = NULL;
}

/* ---- what messages teach -----------------------------------------------------------------------
 */
static void learn_contact(struct side_texts *t, const struct sip_msg *m)
{
    struct sip_list l = sip_list_over(sip_header_value(m, SIP_H_CONTACT));
    struct sip_name_addr a;
    struct view first, uri;

    if (sip_list_next(&l, &first) && sip_name_addr_parse(first, &a) == E_OK && !a.is_star) {
        uri = a.uri_text;
        if (a.uri.headers.n > 0) { /* no Request-URI has them (RFC 3261 section 19.1.1) */
            uri = view_sub(uri, 0, (size_t)(a.uri.headers.p - uri.p) - 1);
        }
        t->contact = whole(uri, LOCATION_URI_MAX);
    }
}

void side_learn(struct side *s, const struct sip_msg *m)
{
    struct side_texts t = texts_of(s);

    if (m->is_request && m->cseq > s->cseq) {
        s->cseq = m->cseq;
    }
    switch ((int)m->method) { /* target refresh requests: RFC 3261, 3311, 3515, 6665 */
    case SIP_M_INVITE:
    case SIP_M_UPDATE:
    case SIP_M_SUBSCRIBE:
    case SIP_M_NOTIFY:
    case SIP_M_REFER:
        learn_contact(&t, m);
        if (side_keep(s, &t) != E_OK) {
            LOG(LV_WARN, "call.contact_not_kept", KV("call_id", m->call_id));
        }
        break;
    default:
        break;
    }
}

struct view side_uri(const struct sip_msg *m, enum sip_hdr_id id)
{
    struct sip_name_addr a;

    return sip_name_addr_parse(sip_header_value(m, id), &a) == E_OK
               ? whole(a.uri_text, LOCATION_URI_MAX)
               : VIEW("");
}

enum { ROUTES_MAX = SIP_MAX_LIST };

static unsigned list_routes(const struct sip_msg *m, struct view out[ROUTES_MAX])
{
    unsigned n = 0;
    const struct sip_hdr *h = sip_header(m, SIP_H_RECORD_ROUTE, 0);

    for (; h != NULL; h = sip_header(m, SIP_H_RECORD_ROUTE, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        while (n < ROUTES_MAX && sip_list_next(&l, &out[n])) {
            n++;
        }
    }
    return n;
}

/* Route set towards a peer, proxies beyond us included, written into buf. Nobody stands behind a
 * BTI. */
static struct view route_of(const struct side *s, const struct sip_msg *m, const char *our_id,
                            char buf[ROUTE_MAX])
{
    struct view route[ROUTES_MAX];
    unsigned n = list_routes(m, route), beyond = 0;
    struct sip_text t = {.p = buf, .max = ROUTE_MAX};

    if (s->who.kind != PARTY_GATEWAY && s->who.kind != PARTY_PS) {
        return VIEW("");
    }
    if (m->is_request) { /* as it stands: the last proxy before us comes first */
        for (unsigned i = 0; i < n; i++) {
            sip_text_add(&t, "%s%.*s", i > 0 ? ", " : "", (int)route[i].n, route[i].p);
        }
    } else { /* what stands above our entry, turned round */
        while (beyond < n &&
               memmem(route[beyond].p, route[beyond].n, our_id, strlen(our_id)) == NULL) {
            beyond++;
        }
        for (unsigned i = beyond; beyond < n && i-- > 0;) {
            sip_text_add(&t, "%s%.*s", i + 1 < beyond ? ", " : "", (int)route[i].n, route[i].p);
        }
    }
    if (t.bad) {
        LOG(LV_WARN, "call.route_set_too_long", KV("call", our_id));
        return VIEW("");
    }
    return view_from(buf, t.n);
}

enum err side_begin(struct side *s, struct view tag, struct view uri, const struct sip_msg *m,
                    const char *our_id)
{
    struct side_texts t = texts_of(s);
    char route[ROUTE_MAX];

    t.tag = view_sub(tag, 0, TAG_MAX - 1);
    t.uri = uri;
    learn_contact(&t, m);
    t.route = route_of(s, m, our_id, route);
    return side_keep(s, &t);
}
