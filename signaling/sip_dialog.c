/* Dialog state (RFC 3261 section 12) and the requests that leave inside a dialog. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "signaling/sip_ua_int.h"
#include "signaling/sip_uri.h"

enum { PARTY_MAX = 1024 };

/* ---- reading -----------------------------------------------------------------------------------
 */
static enum err read_target(const struct sip_msg *m, char out[SIP_MAX_URI + 1])
{
    struct sip_list l = sip_list_over(sip_header_value(m, SIP_H_CONTACT));
    struct sip_name_addr a;
    struct view element, uri;
    enum err e = E_PARSE;

    if (!sip_list_next(&l, &element)) {
        TRY(FAIL(E_PARSE));
    }
    TRY(sip_name_addr_parse(element, &a));
    if (a.is_star || (a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS)) {
        TRY(FAIL(E_PARSE));
    }
    uri = a.uri_text;
    if (a.uri.headers.p != NULL) { /* "?..." has no place in a Request-URI */
        uri = view_sub(uri, 0, (size_t)(a.uri.headers.p - uri.p) - 1);
    }
    TRY(view_to_cstr(uri, out, SIP_MAX_URI + 1));
out:
    return e;
}

/* Loose routing only (section 12.1): each element becomes one Route line. */
static enum err read_routes(const struct sip_msg *m, bool reversed, char **out)
{
    struct view route[SIP_MAX_LIST], element;
    char buf[SIP_MAX_BYTES];
    struct sip_text t = {.p = buf, .max = sizeof buf};
    struct sip_name_addr a;
    unsigned n = 0;
    enum err e = E_OK;

    for (const struct sip_hdr *h = sip_header(m, SIP_H_RECORD_ROUTE, 0); h != NULL;
         h = sip_header(m, SIP_H_RECORD_ROUTE, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        while (sip_list_next(&l, &element)) {
            TRY(sip_name_addr_parse(element, &a));
            if (n == SIP_MAX_LIST || a.is_star) {
                TRY(FAIL(E_PARSE));
            }
            route[n++] = a.uri_text;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        sip_text_add(&t, "Route: <");
        sip_text_view(&t, route[reversed ? n - 1 - i : i]);
        sip_text_add(&t, ">\r\n");
    }
    sip_text_add(&t, "%s", ""); /* ends it in NUL */
    if (t.bad) {
        TRY(FAIL(E_RANGE));
    }
    *out = mem_strdup(buf);
    e = *out != NULL ? E_OK : FAIL(E_NOMEM);
out:
    return e;
}

static enum err copy_party(struct view value, const char *tag_or_null, char **out)
{
    char buf[PARTY_MAX];
    struct sip_text t = {.p = buf, .max = sizeof buf};

    sip_text_view(&t, value);
    sip_text_add(&t, "%s%s", tag_or_null != NULL ? ";tag=" : "",
                 tag_or_null != NULL ? tag_or_null : "");
    if (t.bad) {
        return FAIL(E_RANGE);
    }
    *out = mem_strdup(buf);
    return *out != NULL ? E_OK : FAIL(E_NOMEM);
}

enum err dialog_of_request(struct dialog *d, const struct sip_msg *invite, const char *local_tag)
{
    enum err e = E_OK;

    d->remote_cseq = invite->cseq;
    d->has_remote_cseq = true;
    TRY(view_to_cstr(invite->from_tag, d->remote_tag, sizeof d->remote_tag));
    TRY(read_target(invite, d->target));
    TRY(read_routes(invite, false, &d->routes));
    TRY(copy_party(sip_header_value(invite, SIP_H_FROM), NULL, &d->remote_party));
    TRY(copy_party(sip_header_value(invite, SIP_H_TO), local_tag, &d->local_party));
out:
    return e;
}

enum err dialog_of_response(struct dialog *d, const struct sip_msg *ok)
{
    char *routes = NULL, *party = NULL;
    char target[SIP_MAX_URI + 1], tag[sizeof d->remote_tag];
    enum err has_target = read_target(ok, target), e = E_OK;

    TRY(view_to_cstr(ok->to_tag, tag, sizeof tag));
    TRY(read_routes(ok, true, &routes));
    TRY(copy_party(sip_header_value(ok, SIP_H_TO), NULL, &party));
    memcpy(d->remote_tag, tag, sizeof tag);
    if (has_target == E_OK) {
        memcpy(d->target, target, sizeof target);
    }
    mem_free(d->routes);
    mem_free(d->remote_party);
    d->routes = routes;
    d->remote_party = party;
    routes = NULL; /* moved */
    e = has_target;
out:
    mem_free(routes);
    return e;
}

void dialog_refresh(struct dialog *d, const struct sip_msg *m)
{
    char target[SIP_MAX_URI + 1];

    if (read_target(m, target) == E_OK) {
        memcpy(d->target, target, sizeof target);
    }
}

void dialog_fini(struct dialog *d)
{
    mem_free(d->local_party);
    mem_free(d->remote_party);
    mem_free(d->routes);
    d->local_party = d->remote_party = d->routes = NULL;
}

/* ---- requests ----------------------------------------------------------------------------------
 */
static struct ua_head head_of(const struct sip_call *c, const struct dialog *d, const char *method,
                              uint32_t cseq)
{
    return (struct ua_head){.method = method,
                            .uri = view_of(d->target),
                            .from = view_of(d->local_party),
                            .to = view_of(d->remote_party),
                            .call_id = view_of(c->call_id),
                            .routes = view_of(d->routes),
                            .cseq = cseq};
}

enum err dialog_send_ack(const struct sip_call *c, const struct dialog *d)
{
    struct ua_head h = head_of(c, d, "ACK", c->invite_cseq);
    char buf[SIP_MAX_BYTES];
    size_t n = 0;
    enum err e = ua_build(c->ua, &c->flow, &h, buf, &n);

    TRY(e);
    TRY(sip_transport_send(c->ua->transport, &c->flow, view_from(buf, n)));
out:
    return e;
}

enum err dialog_send_bye(struct sip_call *c, struct dialog *d, ua_req_fn *fn, bool is_fork)
{
    struct ua_head h = head_of(c, d, "BYE", ++d->local_cseq);
    char reason[UA_REASON + sizeof "Reason: \r\n"];
    struct ua_req *r = NULL;

    if (c->reason[0] != 0) {
        snprintf(reason, sizeof reason, "Reason: %s\r\n", c->reason);
        h.extra = view_of(reason);
    }
    return ua_start(c->ua, &c->flow, &h, is_fork ? NULL : c, fn, &r);
}
