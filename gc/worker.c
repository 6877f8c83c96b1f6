/* Threads, loops, sockets and queues of the workers. */
#include "gc/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "authz/sealed.h"
#include "base/mem.h"
#include "gc/context.h"
#include "gc/last_calls.h"
#include "gc/trunks.h"

enum {
    QUEUE_BYTES = 4 * 1024 * 1024,
    TICK_MS = 100,
    TICKS_A_SECOND = 1000 / TICK_MS,
    RECORDS_A_TURN = 256,
    PEERS_MAX = 1 << 20 /* connections with verified certificates, of the node */
};

/* ---- small things for all files ----------------------------------------------------------------
 */
void meter_by(struct worker *w, enum meter which, int64_t by)
{
    metric_add(w->ws->cfg.metrics, w->index, w->ws->meter_base + which, by);
}

void meter(struct worker *w, enum meter which)
{
    meter_by(w, which, 1);
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

enum err worker_send(struct worker *w, const struct sip_flow *to, struct view octets)
{
    struct workers *ws = w->ws;
    struct record head = {.kind = RECORD_SEND, .origin = w->index, .flow = *to};
    enum err e = E_OK;

    meter(w, METER_TX);
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

/* ---- in ----------------------------------------------------------------------------------------
 */
static void on_rx(void *arg, const struct sip_rx *rx)
{
    worker_rx(arg, rx);
}

static void flow_lost(struct worker *w, const struct sip_flow *flow)
{
    sip_txn_flow_lost(w->txns, flow);
}

static void on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct worker *w = arg;
    struct record head = {.kind = RECORD_CLOSED, .origin = w->index, .flow = *flow};

    LOG(LV_DEBUG, "connection.closed", KV("proto", sip_proto_name(flow->proto)), KV_ERR(why));
    flow_lost(w, flow);
    registrar_conn_closed(w, flow);
    for (unsigned i = 0; i < w->ws->n; i++) {
        if (i != w->index && !worker_post(w->ws->w[i], &head, VIEW(""))) {
            meter(w, METER_QUEUE_FULL); /* then its transactions end by their timers */
        }
    }
}

static void send_for_other(struct worker *w, const struct record *r, struct view octets)
{
    struct record back = {.kind = RECORD_CLOSED, .origin = w->index, .flow = r->flow};

    if (sip_transport_send(w->transport, &r->flow, octets) != E_OK) {
        meter(w, METER_TX_FAILED);
        if (!worker_post(w->ws->w[r->origin], &back, VIEW(""))) {
            meter(w, METER_QUEUE_FULL);
        }
    }
}

static void end_call(struct worker *w, struct view text)
{
    char copy[CONTROL_TEXT_MAX];
    size_t cut = 0;
    struct call *c = NULL;

    if (!view_find(text, 0, &cut) || text.n >= sizeof copy) {
        return;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    c = call_by_id(w, view_sub(text, 0, cut));
    if (c != NULL) {
        LOG(LV_INFO, "call.end_asked", KV("call", (const char *)c->id));
        call_terminate(c, "gate", copy + cut + 1);
    }
}

struct of_kid { /* bindings of a session, copied out under the table's lock */
    const uint8_t *kid;
    unsigned n;
    struct binding found[LOCATION_MAX_CONTACTS];
};

static void collect(void *arg, const struct binding *b)
{
    struct of_kid *k = arg;

    if (k->n < LOCATION_MAX_CONTACTS && memcmp(b->kid, k->kid, sizeof b->kid) == 0) {
        k->found[k->n++] = *b;
    }
}

static void close_kid(struct worker *w, const uint8_t kid[BTI_KID_BYTES])
{
    struct of_kid k = {.kid = kid};

    calls_end_kid(w, kid);
    if (w->transport != NULL) {
        sip_transport_close_kid(w->transport, kid);
    }
    if (w->index != 0) {
        return;
    }
    location_each(w->ws->cfg.location, collect, &k);
    for (unsigned i = 0; i < k.n; i++) {
        IGNORE(
            location_remove(w->ws->cfg.location, k.found[i].line_id, view_of(k.found[i].contact)),
            "gone already: as wished");
    }
}

static void take_record(struct worker *w, const struct record *r, struct view octets)
{
    switch (r->kind) {
    case RECORD_MESSAGE:
        worker_rx_own(w, &r->flow, octets, r->is_datagram);
        break;
    case RECORD_SEND:
        send_for_other(w, r, octets);
        break;
    case RECORD_CLOSED:
        flow_lost(w, &r->flow);
        break;
    case RECORD_END_CALL:
        end_call(w, octets);
        break;
    case RECORD_END_ALL:
        calls_end_all(w);
        break;
    case RECORD_CLOSE_KID:
        close_kid(w, r->flow.kid);
        break;
    case RECORD_PARK:
        park_take(w, octets);
        break;
    }
}

static void on_wake(void *arg)
{
    struct worker *w = arg;
    struct record head;
    size_t n = 0;

    for (unsigned i = 0; i < RECORDS_A_TURN; i++) {
        n = queue_pop(w->queue, w->record);
        if (n == 0) {
            return;
        }
        BUG_ON(n < sizeof head);
        memcpy(&head, w->record, sizeof head);
        take_record(w, &head, view_from(w->record + sizeof head, n - sizeof head));
    }
    loop_wake_send(w->wake); /* the sockets get their turn in between */
}

/* ---- time --------------------------------------------------------------------------------------
 */
static void show(struct worker *w, enum meter which, size_t value)
{
    metric_set(w->ws->cfg.metrics, w->index, w->ws->meter_base + which, (int64_t)value);
}

static void each_tick(struct worker *w)
{
    show(w, METER_TRANSACTIONS, sip_txn_count(w->txns));
    show(w, METER_SUBSCRIPTIONS, w->n_usages);
    show(w, METER_CONNECTIONS, w->transport != NULL ? sip_transport_connections(w->transport) : 0);
    if (w->index == 0) {
        trunks_follow(w);
    }
}

static void each_second(struct worker *w)
{
    const struct workers_cfg *cfg = &w->ws->cfg;

    if (w->index == 0) {
        (void)location_expire(cfg->location, loop_now_ms(w->loop));
        (void)sessions_expire(cfg->sessions, worker_now_us(w));
        trunks_tick(w);
    }
}

static void on_ping(void *arg)
{
    struct worker *w = arg;

    pool_tick(w);
    IGNORE(loop_timer_start(w->loop, &w->ping_timer, w->set->ps_ping_ms, on_ping, w),
           "the heap has room: this timer was in it");
}

/* No callback of ours is under way: whatever snapshot was in use is not any more. */
static void let_go(struct worker *w)
{
    w->snap = NULL;
    if (w->ws->store != NULL) {
        store_quiescent(w->ws->store, w->index);
        atomic_store(&w->follows, store_generation(w->ws->store));
    }
}

static void on_tick(void *arg)
{
    struct worker *w = arg;

    let_go(w);
    registrar_sweep(w); /* before anything else looks at a snapshot */
    worker_follow(w);
    each_tick(w);
    if (++w->ticks % TICKS_A_SECOND == 0) {
        each_second(w);
    }
    IGNORE(loop_timer_start(w->loop, &w->tick, TICK_MS, on_tick, w),
           "the heap has room: this timer was in it");
}

/* ---- making ------------------------------------------------------------------------------------
 */
enum err worker_find_psk(void *arg, struct view identity, struct secret *out_psk)
{
    struct workers *ws = arg;
    struct session *s = NULL;
    uint8_t kid[BTI_KID_BYTES];
    enum err e = hex_get(identity, kid, sizeof kid);

    TRY(e);
    TRY(session_hold(ws->cfg.sessions, kid, clock_wall_us(ws->cfg.clock), &s));
    e = session_psk(s, out_psk);
out:
    session_release(s);
    return e == E_OK ? E_OK : E_NOTFOUND;
}

static enum err listen_all(struct worker *w)
{
    struct gc_live *live = w->live;
    const struct gc_plan *plan = w->plan;
    char text[NET_TEXT_MAX];
    enum err e = E_OK;

    for (unsigned i = 0; i < plan->n_listen; i++) {
        struct net_addr bound = plan->listen[i].address;
        /* A port that was left to the system is the same for all workers. */
        const struct net_addr *a = w->index == 0 ? &plan->listen[i].address : &live->own[i].address;
        e = sip_transport_listen(w->transport, plan->listen[i].proto, a, &bound);
        if (e != E_OK) {
            net_text(a, text);
            LOG(LV_ERROR, "listen.failed", KV("proto", sip_proto_name(plan->listen[i].proto)),
                KV("address", (const char *)text), KV_ERR(e));
            return e;
        }
        if (w->index == 0) {
            live->own[i] = (struct gc_listen){plan->listen[i].proto, bound};
            live->n_own = i + 1;
        }
    }
    return e;
}

static enum err open_transport(struct worker *w)
{
    const struct gc_settings *set = w->set;
    struct sip_transport_cfg cfg = {.worker = w->index,
                                    .reuse_port = w->ws->n > 1,
                                    .max_connections = (unsigned)set->max_connections,
                                    .max_per_source = (unsigned)set->max_connections_per_source,
                                    .tls_server = w->live->tls_server,
                                    .tls_client = w->live->tls_client,
                                    .peers = w->ws->peers,
                                    .on_rx = on_rx,
                                    .on_closed = on_closed,
                                    .arg = w};
    enum err e = sip_transport_new(w->loop, &cfg, &w->transport);

    return e == E_OK ? listen_all(w) : e;
}

static enum err worker_new(struct workers *ws, unsigned index, struct worker **out)
{
    const struct gc_settings *set = &ws->live->set;
    uint64_t most = set->max_transactions;
    struct sip_txn_cfg txn = {
        .t1_ms = (uint32_t)set->t1_ms,
        .timer_c_ms = (uint32_t)set->timer_c_ms,
        /* setup.c keeps to limits.transactions; the rest is for emergencies */
        .max_transactions = (unsigned)(most + most / 4 + 64)};
    struct worker *w = mem_zalloc(sizeof *w);
    enum err e = w != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    *out = w; /* from here on workers_free() ends it */
    w->ws = ws;
    w->index = (uint16_t)index;
    w->live = live_hold(ws->live);
    w->set = &w->live->set;
    w->plan = &w->live->plan;
    TRY(loop_new(ws->cfg.clock, &w->loop));
    TRY(queue_new(QUEUE_BYTES, &w->queue));
    TRY(loop_wake_new(w->loop, on_wake, w, &w->wake));
    TRY(trace_new(w->index, ws->cfg.clock, set->trace_bytes, (unsigned)set->trace_calls,
                  &w->trace));
    if (ws->seam.send == NULL) {
        TRY(open_transport(w));
    }
    TRY(sip_txn_layer_new(w->loop, &txn, &context_txn_ops, w, &w->txns));
    TRY(loop_timer_start(w->loop, &w->tick, TICK_MS, on_tick, w));
    if (index == 0) {
        TRY(loop_timer_start(w->loop, &w->ping_timer, 0, on_ping, w));
        trunks_start(w);
    }
out:
    return e;
}

/* Without a cluster key what we seal and challenge is good here and until the end of this process.
 */
static enum err make_keys(struct workers *ws)
{
    const struct nonces_cfg nonces = {.cluster_key = ws->cfg.cluster_key,
                                      .lifetime_ms = ws->cfg.set->nonce_life_ms,
                                      .started_ms = clock_wall_us(ws->cfg.clock) / 1000,
                                      .max = (size_t)ws->cfg.set->max_nonces};
    struct secret any = {0};
    enum err e = nonces_new(&nonces, &ws->nonces);

    TRY(e);
    ws->sealed = secret_alloc(sizeof *ws->sealed);
    if (ws->sealed == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(secret_random(&any, SHA256_BYTES));
    TRY(sealed_key(ws->cfg.cluster_key != NULL ? ws->cfg.cluster_key : &any, ws->sealed));
out:
    secret_wipe(&any);
    ws->cfg.cluster_key = NULL; /* the caller's, and wiped by it soon */
    return e;
}

static enum err make_shared(struct workers *ws)
{
    const struct gc_settings *set = ws->cfg.set;
    struct limits_cfg limits = limits_of(set);
    uint64_t peers = set->max_connections * ws->n;
    enum err e = crypto_random(ws->key, sizeof ws->key);

    TRY(e);
    snprintf(ws->start_id, sizeof ws->start_id, "%llx",
             (unsigned long long)clock_wall_us(ws->cfg.clock) / 1000);
    TRY(limits_new(&limits, &ws->limits));
    TRY(trunks_new(&ws->trunks));
    TRY(last_calls_new(set->max_last_calls, &ws->last_calls));
    TRY(sip_peers_new((unsigned)(peers < PEERS_MAX ? peers : PEERS_MAX), &ws->peers));
    TRY(make_keys(ws));
    TRY(live_new(set, ws->cfg.plan, &ws->live));
    if (ws->seam.send == NULL) {
        TRY(live_tls(ws, ws->live, ws->cfg.cred));
    } else {
        ws->live->n_own = ws->cfg.plan->n_listen;
        memcpy(ws->live->own, ws->cfg.plan->listen, sizeof ws->live->own);
    }
    ws->meter_base = meters_declare(ws->cfg.metrics);
    metrics_more(ws->cfg.metrics, trunks_metrics, ws->trunks);
out:
    return e;
}

enum err workers_new_with(const struct workers_cfg *cfg, const struct worker_seams *seam,
                          struct workers **out)
{
    struct workers *ws = mem_zalloc(sizeof *ws);
    enum err e = ws != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    ws->cfg = *cfg;
    ws->seam = seam != NULL ? *seam : (struct worker_seams){.arg = NULL};
    BUG_ON(pthread_mutex_init(&ws->live_lock, NULL) != 0);
    if (cfg->n == 0 || cfg->n > sizeof ws->w / sizeof ws->w[0]) {
        TRY(FAIL(E_RANGE));
    }
    ws->n = cfg->n;
    TRY(make_shared(ws));
    for (unsigned i = 0; i < ws->n; i++) {
        TRY(worker_new(ws, i, &ws->w[i]));
    }
    *out = ws;
    ws = NULL; /* moved */
out:
    workers_free(ws);
    return e;
}

enum err workers_new(const struct workers_cfg *cfg, struct workers **out)
{
    return workers_new_with(cfg, NULL, out);
}

static void worker_free(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    if (w->txns != NULL) {
        calls_free(w);
        park_free(w);
        pool_free(w);
        if (w->index == 0) {
            trunks_stop(w);
        }
    }
    sip_txn_layer_free(w->txns);
    sip_transport_free(w->transport);
    live_free(w->live);
    trace_free(w->trace);
    queue_free(w->queue);
    loop_wake_free(w->wake);
    if (w->loop != NULL) {
        loop_timer_stop(w->loop, &w->tick);
        loop_timer_stop(w->loop, &w->ping_timer);
        loop_free(w->loop);
    }
    mem_free(w->sources);
    mem_free(w);
}

void workers_free(struct workers *w)
{
    if (w == NULL) {
        return;
    }
    workers_stop(w);
    for (unsigned i = 0; i < w->n; i++) {
        worker_free(w->w[i]);
    }
    limits_free(w->limits);
    live_free(w->live);
    (void)pthread_mutex_destroy(&w->live_lock);
    nonces_free(w->nonces);
    secret_release(w->sealed, sizeof *w->sealed);
    if (w->trunks != NULL) {
        metrics_more(w->cfg.metrics, NULL, NULL);
    }
    trunks_free(w->trunks);
    last_calls_free(w->last_calls);
    sip_peers_free(w->peers);
    wipe(w->key, sizeof w->key);
    mem_free(w);
}

/* ---- threads -----------------------------------------------------------------------------------
 */
static void *thread_main(void *arg)
{
    struct worker *w = arg;

    loop_run(w->loop);
    let_go(w); /* what the last turn used; only this thread can */
    return NULL;
}

enum err workers_start(struct workers *w, struct store *store)
{
    char name[24];

    w->store = store;
    for (unsigned i = 0; i < w->n; i++) {
        if (pthread_create(&w->w[i]->thread, NULL, thread_main, w->w[i]) != 0) {
            w->n_started = i;
            workers_stop(w);
            return FAIL(E_IO);
        }
        snprintf(name, sizeof name, "worker-%u", i & 63);
        (void)pthread_setname_np(w->w[i]->thread, name);
        w->n_started = i + 1;
    }
    return E_OK;
}

/* The live calls end here: their CDRs must reach the store while it still runs. */
void workers_stop(struct workers *w)
{
    unsigned n = w->n_started;

    w->n_started = 0;
    for (unsigned i = 0; i < n; i++) {
        loop_stop(w->w[i]->loop);
    }
    for (unsigned i = 0; i < n; i++) {
        BUG_ON(pthread_join(w->w[i]->thread, NULL) != 0);
    }
    for (unsigned i = 0; i < n; i++) {
        calls_free(w->w[i]);
    }
}

void workers_drain(struct workers *w)
{
    atomic_store_explicit(&w->draining, true, memory_order_relaxed);
}

size_t workers_calls(const struct workers *w)
{
    size_t sum = 0;

    for (unsigned i = 0; i < w->n; i++) {
        sum += atomic_load_explicit(&w->w[i]->shown_calls, memory_order_relaxed);
    }
    return sum;
}

bool workers_follow(const struct workers *w, uint64_t generation)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (atomic_load(&w->w[i]->follows) < generation ||
            atomic_load(&w->w[i]->reloads) != atomic_load(&w->reloads)) {
            return false;
        }
    }
    return true;
}

struct trace *workers_trace(struct workers *w, unsigned worker)
{
    return worker < w->n ? w->w[worker]->trace : NULL;
}

static void post_all(struct workers *w, const struct record *head, struct view octets)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (!worker_post(w->w[i], head, octets)) {
            LOG(LV_ERROR, "worker.queue_full", KV("worker", i));
        }
    }
}

void workers_end_call(struct workers *w, const char *id, const char *reason)
{
    char text[CONTROL_TEXT_MAX];
    struct record head = {.kind = RECORD_END_CALL};
    int n = snprintf(text, sizeof text, "%.260s%c%.120s", id, 0, reason != NULL ? reason : "");

    if (n > 0 && (size_t)n < sizeof text) {
        post_all(w, &head, view_from(text, (size_t)n));
    }
}

void workers_end_calls(struct workers *w)
{
    post_all(w, &(struct record){.kind = RECORD_END_ALL}, VIEW(""));
}

void workers_close_kid(struct workers *w, const uint8_t kid[BTI_KID_BYTES])
{
    struct record head = {.kind = RECORD_CLOSE_KID};

    memcpy(head.flow.kid, kid, sizeof head.flow.kid);
    post_all(w, &head, VIEW(""));
}

const char *workers_obstacle(const struct workers *w, const struct route *r, const struct trunk *t)
{
    return trunk_obstacle(w->trunks, r, t, clock_mono_ms(w->cfg.clock));
}

size_t workers_trunks(const struct workers *w, struct trunk_view *out, size_t max)
{
    return trunks_view(w->trunks, clock_mono_ms(w->cfg.clock), out, max);
}

static size_t show_ps(const struct workers *w, const struct gc_plan *plan, struct ps_state *out,
                      size_t max)
{
    size_t n = plan->n_ps < max ? plan->n_ps : max;

    for (size_t i = 0; i < n; i++) {
        const struct ps_health *h = &w->ps[i];
        memcpy(out[i].uri, plan->ps[i].uri, sizeof out[i].uri);
        out[i].healthy = atomic_load_explicit(&h->healthy, memory_order_relaxed);
        out[i].last_answer_us = atomic_load_explicit(&h->last_answer_us, memory_order_relaxed);
        out[i].missed = atomic_load_explicit(&h->missed, memory_order_relaxed);
    }
    return n;
}

size_t workers_ps(struct workers *w, struct ps_state *out, size_t max)
{
    size_t n = 0;

    BUG_ON(pthread_mutex_lock(&w->live_lock) != 0);
    n = show_ps(w, &w->live->plan, out, max);
    BUG_ON(pthread_mutex_unlock(&w->live_lock) != 0);
    return n;
}
