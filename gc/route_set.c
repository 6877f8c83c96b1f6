/* Where a request inside a dialog goes next (RFC 3261 sections 12.2.1.1 and 16.6 step 6): by the
 * route set that the far end showed, whatever the sender wrote into Route; and gateways that a URI
 * names. */
#include <stdio.h>
#include <string.h>

#include "gc/context.h"

static bool is_loose(const struct sip_name_addr *a)
{
    struct view value;

    return sip_param(a->uri.params, VIEW("lr"), &value);
}

/* A next hop without lr wants its own URI as Request-URI, and the target at the end of the routes
 * (strict routing, RFC 2543). What does not fit goes the loose way: most strict routers take it. */
static void route_strictly(const struct side *s, struct view first, const struct sip_name_addr *a,
                           struct target *out)
{
    struct sip_text t = {.p = out->route, .max = sizeof out->route};
    struct view all = view_of(s->route);
    struct view rest = view_sub(all, (size_t)(first.p - all.p) + first.n, all.n);
    size_t comma = 0;

    if (a->uri_text.n >= sizeof out->uri) {
        return;
    }
    rest = view_find(rest, ',', &comma) ? view_trim(view_sub(rest, comma + 1, rest.n)) : VIEW("");
    sip_text_view(&t, rest);
    sip_text_add(&t, "%s<%s>", rest.n > 0 ? ", " : "", s->contact);
    if (t.bad || t.n >= sizeof out->route) {
        snprintf(out->route, sizeof out->route, "%s", s->route);
        return;
    }
    out->route[t.n] = 0;
    memcpy(out->uri, a->uri_text.p, a->uri_text.n);
    out->uri[a->uri_text.n] = 0;
}

void route_towards(const struct side *s, struct target *out)
{
    struct sip_list l = sip_list_over(view_of(s->route));
    struct sip_name_addr a;
    struct view first;

    snprintf(out->uri, sizeof out->uri, "%s", s->contact);
    snprintf(out->route, sizeof out->route, "%s", s->route);
    if (s->contact[0] != 0 && sip_list_next(&l, &first) && sip_name_addr_parse(first, &a) == E_OK &&
        !is_loose(&a)) {
        route_strictly(s, first, &a, out);
    }
}

/* ---- gateways ----------------------------------------------------------------------------------
 */
bool route_to_gateway(struct worker *w, const struct sip_uri *uri, struct target *out)
{
    struct view transport = {0};
    struct sip_flow flow = {.proto = SIP_UDP};
    struct party who;
    bool is_tcp = sip_param(uri->params, VIEW("transport"), &transport) &&
                  view_eq_nocase(transport, VIEW("tcp"));

    if (uri->scheme != SIP_SCHEME_SIP || uri->headers.n > 0 ||
        net_parse_ip(uri->host, &flow.remote) != E_OK || !is_peer_flow(w, &flow, &who) ||
        who.kind != PARTY_GATEWAY ||
        (transport.n > 0 && !is_tcp && !view_eq_nocase(transport, VIEW("udp")))) {
        return false;
    }
    flow.remote.port = uri->port != 0 ? uri->port : 5060;
    flow.proto = is_tcp ? SIP_TCP : SIP_UDP;
    *out = (struct target){.who = who, .flow = flow};
    return true;
}

bool route_around(struct worker *w, const struct side *s, struct target *out)
{
    struct sip_list l = sip_list_over(view_of(s->route));
    struct sip_name_addr a;
    struct sip_uri uri;
    struct view first;

    if (s->who.kind != PARTY_GATEWAY) {
        return false;
    }
    if (sip_list_next(&l, &first)) {
        if (sip_name_addr_parse(first, &a) != E_OK) {
            return false;
        }
        uri = a.uri;
    } else if (sip_uri_parse(view_of(s->contact), &uri) != E_OK) {
        return false;
    }
    if (!route_to_gateway(w, &uri, out) ||
        (out->flow.proto == SIP_UDP && s->flow.proto == SIP_UDP &&
         net_eq(&out->flow.remote, &s->flow.remote))) {
        return false;
    }
    route_towards(s, out);
    return true;
}
