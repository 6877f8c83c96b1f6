/* Small things that all files of a worker use: meters, the snapshot, our addresses, ways out. */
#include <string.h>

#include "gc/hep.h"
#include "gc/worker_int.h"

void meter_by(struct worker *w, enum meter which, int64_t by)
{
    metric_add(w->ws->cfg.metrics, w->index, w->ws->meter_base + which, by);
}

void meter(struct worker *w, enum meter which)
{
    meter_by(w, which, 1);
}

uint64_t worker_mono_us(const struct worker *w)
{
    const struct clock *clock = loop_clock(w->loop);

    return clock->mono_us(clock->arg);
}

uint64_t meter_lap(struct worker *w, enum meter which, uint64_t since_us)
{
    uint64_t now = worker_mono_us(w);

    metric_observe_us(w->ws->cfg.metrics, w->index, w->ws->meter_base + which, now - since_us);
    return now;
}

uint64_t worker_now_us(const struct worker *w)
{
    return loop_wall_us(w->loop);
}

uint64_t worker_hash(const struct worker *w, struct view v)
{
    return siphash64(w->ws->key, v);
}

uint64_t worker_draw(struct worker *w)
{
    uint64_t n = ++w->draws;

    return worker_hash(w, view_from(&n, sizeof n));
}

const struct snapshot *worker_snapshot(struct worker *w)
{
    const struct workers *ws = w->ws;

    if (w->snap == NULL && ws->seam.snapshot != NULL) {
        w->snap = ws->seam.snapshot(ws->seam.arg);
    } else if (w->snap == NULL && ws->store != NULL) {
        w->snap = store_snapshot(ws->store);
    }
    return w->snap;
}

static bool is_wildcard(const struct net_addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->ip, zero, sizeof zero) == 0;
}

/* The listener by which peers on that flow can reach us: the very one that it came by, else one of
 * its kind (a connection that we opened has a port of its own, which is no use to anybody). */
struct net_addr worker_address(const struct worker *w, const struct sip_flow *flow)
{
    const struct gc_listen *best = NULL;
    struct net_addr a = w->plan->own;

    for (unsigned i = 0; i < w->live->n_own; i++) {
        const struct gc_listen *l = &w->live->own[i];
        bool is_same_ip = net_ip_eq(&l->address, &flow->local);
        if (l->proto != flow->proto ||
            (flow->local.family != 0 && l->address.family != flow->local.family)) {
            continue;
        }
        if ((is_same_ip || is_wildcard(&l->address)) && l->address.port == flow->local.port) {
            return flow->local;
        }
        best = best == NULL || (is_same_ip && !net_ip_eq(&best->address, &flow->local)) ? l : best;
    }
    if (best != NULL) {
        a = best->address;
    }
    if (is_wildcard(&a) && flow->local.family == a.family) {
        memcpy(a.ip, flow->local.ip, sizeof a.ip);
    }
    return a;
}

static bool is_among(const struct gc_listen *l, unsigned n, const struct net_addr *ip)
{
    for (unsigned i = 0; i < n; i++) {
        if (net_ip_eq(&l[i].address, ip)) {
            return true;
        }
    }
    return false;
}

static bool is_own_ip(const struct worker *w, struct view host)
{
    struct net_addr ip;

    return net_parse_ip(host, &ip) == E_OK && (is_among(w->live->own, w->live->n_own, &ip) ||
                                               is_among(w->live->retired, w->live->n_retired, &ip));
}

bool worker_is_us(const struct worker *w, const struct sip_uri *uri)
{
    struct view maddr;

    if (sip_param(uri->params, VIEW("maddr"), &maddr) && !is_own_ip(w, maddr)) {
        return false; /* RFC 3261 section 16.5: it means that other address */
    }
    if (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS) {
        return false;
    }
    if (view_eq_nocase(uri->host, view_of(w->set->domain))) {
        return true;
    }
    return is_own_ip(w, uri->host);
}

/* ---- out ---------------------------------------------------------------------------------------
 */
bool worker_post(struct worker *to, const struct record *head, struct view octets)
{
    struct view parts[2] = {view_from(head, sizeof *head), octets};
    bool done = queue_push(to->queue, parts, octets.n > 0 ? 2 : 1);

    loop_wake_send(to->wake);
    return done;
}

void worker_show(struct worker *w, const struct sip_flow *flow, bool is_out, struct view octets)
{
    struct hep_packet p = {.is_datagram = flow->proto == SIP_UDP};
    struct net_addr own;

    if (w->ws->cfg.hep == NULL) {
        return;
    }
    own = is_out || flow->local.family == 0 ? worker_address(w, flow) : flow->local;
    p.at_us = worker_now_us(w);
    p.from = is_out ? own : flow->remote;
    p.to = is_out ? flow->remote : own;
    if (!hep_put(w->ws->cfg.hep, w->index, &p, octets)) {
        meter(w, METER_HEP_DROPPED);
    }
}

enum err worker_send(struct worker *w, const struct sip_flow *to, struct view octets)
{
    struct workers *ws = w->ws;
    struct record head = {.kind = RECORD_SEND, .origin = w->index, .flow = *to};
    uint64_t began = worker_mono_us(w);
    enum err e = E_OK;

    meter(w, METER_TX);
    worker_show(w, to, true, octets);
    if (ws->seam.send != NULL) {
        e = ws->seam.send(ws->seam.arg, to, octets);
    } else if (to->proto == SIP_UDP || to->worker == w->index) {
        e = sip_transport_send(w->transport, to, octets);
    } else if (to->worker >= ws->n) {
        e = FAIL(E_NOTFOUND);
    } else {
        e = worker_post(ws->w[to->worker], &head, octets) ? E_OK : FAIL(E_FULL);
    }
    if (e != E_OK) {
        meter(w, METER_TX_FAILED);
    }
    w->sent_us += meter_lap(w, METER_STAGE_SEND, began) - began;
    return e;
}

enum err worker_reach(struct worker *w, enum sip_proto proto, const struct net_addr *to,
                      struct sip_flow *out)
{
    if (proto != SIP_UDP && w->transport != NULL) {
        return sip_transport_connect(w->transport, proto, to, NULL, VIEW(""), NULL, out);
    }
    *out = (struct sip_flow){.proto = proto, .remote = *to, .worker = w->index};
    return E_OK;
}

enum err worker_reach_named(struct worker *w, const struct net_addr *to,
                            const struct tls_names *names, struct sip_flow *out)
{
    if (w->transport != NULL) {
        return sip_transport_connect_named(w->transport, to, names, out);
    }
    *out = (struct sip_flow){.proto = SIP_TLS, .remote = *to, .worker = w->index};
    return E_OK;
}

enum err worker_peer_names(const struct worker *w, const struct sip_flow *flow,
                           struct tls_names *out)
{
    return sip_peers_names(w->ws->peers, flow->peer, out);
}
