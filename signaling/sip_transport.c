/* The transport of one loop: listeners, the table of connections, limits, ends. */
#include "signaling/sip_transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "signaling/sip_msg.h"
#include "signaling/sip_transport_int.h"

#define CONNECTIONS      4096
#define CONNECTIONS_TOP  (1u << 20)
#define IDLE_MS          3600000
#define FIRST_MESSAGE_MS 10000

/* ---- the table of connections ---------------------------------------------------------------- */
/* Who owns an address owns its IPv6 /64 too. */
static bool same_source(const struct net_addr *a, const struct net_addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 8) == 0;
}

static struct hlink **chain_of(struct sip_transport *t, const struct net_addr *a)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < (a->family == 4 ? 4 : 8); i++) {
        h = (h ^ a->ip[i]) * 16777619u;
    }
    return &t->by_source[(h ^ (h >> 16)) & (SOURCE_CHAINS - 1)];
}

void transport_add(struct sip_transport *t, struct sip_stream *s)
{
    uint32_t at = t->first_free - 1;
    struct place *p = &t->places[at];

    BUG_ON(t->first_free == 0);
    t->first_free = p->next_free;
    p->s = s;
    p->generation++;
    s->flow.worker = t->cfg.worker;
    s->flow.conn = (uint64_t)p->generation << 32 | (at + 1);
    hlist_push(chain_of(t, &s->flow.remote), &s->by_source);
    t->live++;
}

static void table_remove(struct sip_transport *t, struct sip_stream *s)
{
    uint32_t at = (uint32_t)s->flow.conn - 1;
    struct place *p = &t->places[at];

    BUG_ON(p->s != s);
    p->s = NULL;
    p->next_free = t->first_free;
    t->first_free = at + 1;
    hlist_drop(&s->by_source);
    t->live--;
}

static struct sip_stream *table_find(const struct sip_transport *t, const struct sip_flow *f)
{
    uint32_t at = (uint32_t)f->conn;
    const struct place *p = NULL;

    if (f->proto == SIP_UDP || f->worker != t->cfg.worker || at == 0 ||
        at > t->cfg.max_connections) {
        return NULL;
    }
    p = &t->places[at - 1];
    return p->s != NULL && p->s->flow.conn == f->conn && p->s->flow.proto == f->proto ? p->s : NULL;
}

unsigned transport_accepted_from(struct sip_transport *t, const struct net_addr *a)
{
    unsigned n = 0;

    for (struct hlink *l = *chain_of(t, a); l != NULL; l = l->next) {
        const struct sip_stream *s = HLIST_OF(l, struct sip_stream, by_source);
        n += !s->is_client && same_source(&s->flow.remote, a);
    }
    return n;
}

/* ---- callbacks from below -------------------------------------------------------------------- */
static void on_datagram(void *arg, struct view raw, const struct net_addr *remote,
                        const struct net_addr *local)
{
    struct sip_transport *t = arg;
    const struct sip_rx rx = {
        .raw = raw,
        .is_datagram = true,
        .flow = {.proto = SIP_UDP, .remote = *remote, .local = *local, .worker = t->cfg.worker}};

    t->depth++;
    t->cfg.on_rx(t->cfg.arg, &rx);
    t->depth--;
}

static void on_message(void *arg, struct sip_stream *s, struct view raw)
{
    struct sip_transport *t = arg;
    const struct sip_rx rx = {.raw = raw, .flow = s->flow};

    t->depth++;
    t->cfg.on_rx(t->cfg.arg, &rx);
    t->depth--;
}

/* Callbacks of the dead end here, each stream told about and freed with nothing of it on the
 * stack. More may die meanwhile: they come to the end of the list. */
static void reap(struct sip_transport *t)
{
    while (t->dead != NULL) {
        struct sip_stream *s = t->dead;
        t->dead = s->next_dead;
        if (t->dead == NULL) {
            t->dead_end = &t->dead;
        }
        if (s->is_known && t->cfg.on_closed != NULL) {
            t->depth++;
            t->cfg.on_closed(t->cfg.arg, &s->flow, s->why);
            t->depth--;
        }
        sip_stream_free(s);
    }
}

static void on_reaper(void *arg)
{
    (void)arg; /* the end of this turn does it */
}

static void on_dead(void *arg, struct sip_stream *s)
{
    struct sip_transport *t = arg;

    table_remove(t, s);
    s->next_dead = NULL;
    *t->dead_end = s;
    t->dead_end = &s->next_dead;
    if (!loop_in_turn(t->loop) && !loop_timer_active(&t->reaper)) {
        IGNORE(loop_timer_start(t->loop, &t->reaper, 0, on_reaper, t),
               "then the next turn comes when something else happens");
    }
}

static void on_turn_end(void *arg)
{
    struct sip_transport *t = arg;

    reap(t);
    for (struct socket_entry *k = t->sockets; k != NULL; k = k->next) {
        sip_udp_flush(k->u);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */
static void apply_defaults(struct sip_transport_cfg *c)
{
    c->max_connections = c->max_connections != 0 ? c->max_connections : CONNECTIONS;
    c->max_per_source = c->max_per_source != 0 ? c->max_per_source : PER_SOURCE;
    c->idle_ms = c->idle_ms != 0 ? c->idle_ms : IDLE_MS;
    c->first_message_ms = c->first_message_ms != 0 ? c->first_message_ms : FIRST_MESSAGE_MS;
}

static void wire_up(struct sip_transport *t)
{
    t->stream_env = (struct sip_stream_env){.loop = t->loop,
                                            .stats = &t->stats,
                                            .idle_ms = t->cfg.idle_ms,
                                            .first_message_ms = t->cfg.first_message_ms,
                                            .on_message = on_message,
                                            .on_dead = on_dead,
                                            .arg = t};
    t->stream_env.connect_from = t->cfg.connect_from;
    t->stream_env.connect_from.port = 0;
    t->stream_env.peers = t->cfg.peers;
    t->udp_env.loop = t->loop;
    t->udp_env.stats = &t->stats;
    t->udp_env.on_datagram = on_datagram;
    t->udp_env.arg = t;
    t->dead_end = &t->dead;
    for (uint32_t i = t->cfg.max_connections; i > 0; i--) {
        t->places[i - 1].next_free = t->first_free;
        t->first_free = i;
    }
    loop_hook_add(t->loop, &t->turn_end, on_turn_end, t);
}

enum err sip_transport_new(struct loop *l, const struct sip_transport_cfg *cfg,
                           struct sip_transport **out)
{
    enum err e = E_NOMEM;
    struct sip_transport *t = NULL;

    if (cfg->max_connections > CONNECTIONS_TOP) {
        return FAIL(E_RANGE);
    }
    t = mem_zalloc(sizeof *t);
    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    t->loop = l;
    t->cfg = *cfg;
    (void)tls_ctx_hold(cfg->tls_server);
    (void)tls_ctx_hold(cfg->tls_client);
    apply_defaults(&t->cfg);
    t->places = mem_zalloc_array(t->cfg.max_connections, sizeof *t->places);
    if (t->places == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(sip_udp_inbox_new(&t->udp_env.inbox));
    wire_up(t);
    *out = t;
    t = NULL; /* moved */
out:
    sip_transport_free(t);
    return e;
}

static void free_streams(struct sip_transport *t)
{
    while (t->dead != NULL) {
        struct sip_stream *s = t->dead;
        t->dead = s->next_dead;
        sip_stream_free(s);
    }
    for (unsigned i = 0; t->places != NULL && i < t->cfg.max_connections; i++) {
        sip_stream_free(t->places[i].s);
    }
    mem_free(t->places);
}

void sip_transport_free(struct sip_transport *t)
{
    if (t == NULL) {
        return;
    }
    BUG_ON(t->depth > 0);
    free_streams(t);
    transport_close_listeners(t);
    sip_udp_inbox_free(t->udp_env.inbox);
    loop_timer_stop(t->loop, &t->reaper);
    loop_hook_remove(t->loop, &t->turn_end);
    tls_ctx_free(t->cfg.tls_server);
    tls_ctx_free(t->cfg.tls_client);
    mem_free(t);
}

/* ---- going out ------------------------------------------------------------------------------- */
static struct sip_udp *best_socket(const struct sip_transport *t, const struct net_addr *local,
                                   const struct net_addr *remote)
{
    struct sip_udp *best = NULL;
    unsigned top = 0;

    for (struct socket_entry *k = t->sockets; k != NULL; k = k->next) {
        unsigned fit = sip_udp_fit(k->u, local, remote);
        if (fit > top) {
            top = fit;
            best = k->u;
        }
    }
    return best;
}

static enum err udp_connect(struct sip_transport *t, const struct net_addr *remote,
                            struct sip_flow *out)
{
    static const struct net_addr any = {0};
    const struct net_addr own = {.family = remote->family};
    struct sip_udp *u = best_socket(t, &any, remote);
    struct net_addr local;
    enum err e = E_IO;

    if (u == NULL) {
        TRY(transport_udp(t, &own, &u));
    }
    TRY(sip_udp_source(u, remote, &local));
    *out = (struct sip_flow){
        .proto = SIP_UDP, .remote = *remote, .local = local, .worker = t->cfg.worker};
out:
    return e;
}

/* What makes a connection the one that is meant, beside the address. */
struct wish {
    enum sip_proto proto;
    const uint8_t *kid;            /* TLS with a PSK */
    const struct tls_names *names; /* TLS with certificates */
};

static bool is_wished(const struct sip_stream *s, const struct wish *w)
{
    if (s->flow.proto != w->proto || s->state == STREAM_HALF) {
        return false;
    }
    if (w->kid != NULL) {
        return s->flow.has_kid && memcmp(s->flow.kid, w->kid, SIP_PSK_KID_BYTES) == 0;
    }
    return w->names == NULL || tls_is_wanted(s->tls, w->names);
}

static struct sip_stream *find_open(struct sip_transport *t, const struct net_addr *remote,
                                    const struct wish *w)
{
    for (struct hlink *l = *chain_of(t, remote); l != NULL; l = l->next) {
        struct sip_stream *s = HLIST_OF(l, struct sip_stream, by_source);
        if (net_eq(&s->flow.remote, remote) && is_wished(s, w)) {
            return s;
        }
    }
    return NULL;
}

/* Room for one more of ours. */
static enum err may_connect(struct sip_transport *t)
{
    if (t->live >= t->cfg.max_connections) {
        t->stats.refused_all++;
        return FAIL(E_FULL);
    }
    return E_OK;
}

enum err sip_transport_connect(struct sip_transport *t, enum sip_proto proto,
                               const struct net_addr *remote, struct tls_ctx *client_ctx,
                               struct view identity, const struct secret *psk,
                               struct sip_flow *out_flow)
{
    enum err e = E_RANGE;
    struct sip_stream *s = NULL;
    uint8_t kid[SIP_PSK_KID_BYTES];
    struct wish wish = {.proto = proto};

    if (remote->family == 0 || remote->port == 0 ||
        (proto == SIP_TLS && (client_ctx == NULL || psk == NULL))) {
        TRY(FAIL(E_RANGE));
    }
    if (proto == SIP_UDP) {
        return udp_connect(t, remote, out_flow);
    }
    if (proto == SIP_TLS) {
        if (hex_get(identity, kid, sizeof kid) != E_OK) {
            TRY(FAIL(E_RANGE));
        }
        wish.kid = kid;
    }
    s = find_open(t, remote, &wish);
    if (s == NULL) {
        TRY(may_connect(t));
        TRY(sip_stream_connect(&t->stream_env, remote, proto == SIP_TLS ? client_ctx : NULL,
                               identity, psk, &s));
        transport_add(t, s);
    }
    s->is_known = true;
    *out_flow = s->flow;
    e = E_OK;
out:
    return e;
}

enum err sip_transport_connect_named(struct sip_transport *t, const struct net_addr *remote,
                                     const struct tls_names *names, struct sip_flow *out_flow)
{
    const struct wish wish = {.proto = SIP_TLS, .names = names};
    struct sip_stream *s = NULL;
    enum err e = E_OK;

    if (remote->family == 0 || remote->port == 0 || names->n == 0) {
        return FAIL(E_RANGE);
    }
    if (t->cfg.tls_client == NULL) {
        return FAIL(E_STATE);
    }
    s = find_open(t, remote, &wish);
    if (s == NULL) {
        TRY(may_connect(t));
        TRY(sip_stream_connect_named(&t->stream_env, remote, t->cfg.tls_client, names, &s));
        transport_add(t, s);
    }
    s->is_known = true;
    *out_flow = s->flow;
out:
    return e;
}

void sip_transport_set_tls(struct sip_transport *t, struct tls_ctx *server, struct tls_ctx *client)
{
    struct tls_ctx *old[2] = {t->cfg.tls_server, t->cfg.tls_client};

    t->cfg.tls_server = tls_ctx_hold(server);
    t->cfg.tls_client = tls_ctx_hold(client);
    tls_ctx_free(old[0]);
    tls_ctx_free(old[1]);
}

/* A peer that closed its half can get answers, but cannot give any. */
static bool is_useful(const struct sip_stream *s, struct view octets)
{
    return s->state != STREAM_HALF || view_starts(octets, VIEW("SIP/2.0 ")) ||
           view_starts(octets, VIEW("ACK "));
}

enum err sip_transport_send(struct sip_transport *t, const struct sip_flow *flow,
                            struct view octets)
{
    enum err e = E_NOTFOUND;

    if (octets.n == 0 || octets.n > SIP_MAX_BYTES) {
        TRY(FAIL(E_RANGE));
    }
    if (flow->proto == SIP_UDP) {
        struct sip_udp *u = best_socket(t, &flow->local, &flow->remote);
        if (u == NULL || flow->remote.port == 0) {
            TRY(FAIL(E_NOTFOUND));
        }
        sip_udp_send(u, &flow->local, &flow->remote, octets);
        e = E_OK;
    } else {
        struct sip_stream *s = table_find(t, flow);
        if (s == NULL || !is_useful(s, octets)) {
            TRY(FAIL(E_NOTFOUND));
        }
        TRY(sip_stream_send(s, octets));
        t->stats.tx_messages++;
    }
out:
    return e;
}

/* ---- ending ---------------------------------------------------------------------------------- */
void sip_transport_close_flow(struct sip_transport *t, const struct sip_flow *flow)
{
    struct sip_stream *s = table_find(t, flow);

    if (s != NULL) {
        sip_stream_close(s, E_OK);
    }
}

void sip_transport_close_kid(struct sip_transport *t, const uint8_t kid[SIP_PSK_KID_BYTES])
{
    for (unsigned i = 0; i < t->cfg.max_connections; i++) {
        struct sip_stream *s = t->places[i].s;
        if (s != NULL && s->flow.has_kid && memcmp(s->flow.kid, kid, SIP_PSK_KID_BYTES) == 0) {
            sip_stream_close(s, E_DENIED);
        }
    }
}

unsigned sip_transport_connections(const struct sip_transport *t)
{
    return t->live;
}

void sip_transport_stats(const struct sip_transport *t, struct sip_transport_stats *out)
{
    *out = t->stats;
}
