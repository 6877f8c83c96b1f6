/* The life of the workers: loops, sockets, queues, threads. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/call.h"
#include "gc/context.h"
#include "gc/emergency_mode.h"
#include "gc/last_calls.h"
#include "gc/trunks.h"
#include "lawful_intercept/tap.h"

enum {
    QUEUE_BYTES = 4 * 1024 * 1024,
    PEERS_MAX = 1 << 20 /* connections with verified certificates, of the node */
};

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
                                    .on_rx = worker_on_rx,
                                    .on_closed = worker_on_closed,
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
    TRY(loop_wake_new(w->loop, worker_on_wake, w, &w->wake));
    w->tap = tap_ring_of(ws->cfg.tap, w->index);
    TRY(trace_new(w->index, ws->cfg.clock, set->trace_bytes, (unsigned)set->trace_calls,
                  &w->trace));
    if (ws->seam.send == NULL) {
        TRY(open_transport(w));
    }
    TRY(sip_txn_layer_new(w->loop, &txn, &context_txn_ops, w, &w->txns));
    TRY(loop_timer_start(w->loop, &w->tick, TICK_MS, worker_on_tick, w));
    if (index == 0) {
        TRY(loop_timer_start(w->loop, &w->ping_timer, 0, worker_on_ping, w));
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
    TRY(holdings_new(ws->n, &ws->holdings));
    TRY(emergency_modes_new(&ws->modes));
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
    holdings_free(w->holdings);
    emergency_modes_free(w->modes);
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
    worker_let_go(w); /* what the last turn used; only this thread can */
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
