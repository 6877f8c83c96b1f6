/* The store: its thread, the pinning of snapshots, health. */
#include "gc/store.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "gc/store_int.h"

#define START_MAX_MS 10000
#define CONNECT_MAX_MS                                                                             \
    1500 /* with a snapshot from the file, a start does not wait longer for                        \
            PostgreSQL to answer at all */
#define TICK_MS     1000
#define STOP_MAX_MS 5000

/* ---- metrics -----------------------------------------------------------------------------------
 */
static const struct {
    enum metric_kind kind;
    const char *name, *labels, *help;
} METERS[SM_COUNT] = {
    [SM_CDR_STORED] = {METRIC_COUNTER, "headgate_cdr_rows_total", "result=\"stored\"",
                       "Call records by where they went"},
    [SM_CDR_SPILLED] = {METRIC_COUNTER, "headgate_cdr_rows_total", "result=\"spilled\"",
                        "Call records by where they went"},
    [SM_CDR_LOST] = {METRIC_COUNTER, "headgate_cdr_rows_total", "result=\"lost\"",
                     "Call records by where they went"},
    [SM_CDR_QUEUED] = {METRIC_GAUGE, "headgate_cdr_queued", NULL, "Call records in memory"},
    [SM_CDR_SPILL_ROWS] = {METRIC_GAUGE, "headgate_cdr_spill_rows", NULL,
                           "Call records in the spill file"},
    [SM_PG_UP] = {METRIC_GAUGE, "headgate_postgres_up", NULL, "1: connected"},
    [SM_REDIS_UP] = {METRIC_GAUGE, "headgate_redis_up", NULL, "1: connected"},
    [SM_SESSIONS] = {METRIC_GAUGE, "headgate_sessions", NULL, "Sessions held"},
    [SM_REGISTRATIONS] = {METRIC_GAUGE, "headgate_registrations", NULL, "Registrations known"},
    [SM_LINES] = {METRIC_GAUGE, "headgate_snapshot_lines", NULL, "Lines in the snapshot"},
    [SM_LEFT_OUT] = {METRIC_GAUGE, "headgate_snapshot_rows_left_out", NULL,
                     "Trunks, routes, dial rules and credentials that make no sense"},
    [SM_REVOKED] = {METRIC_COUNTER, "headgate_sessions_revoked_total", NULL,
                    "Sessions that ended by revocation"},
    [SM_REJECTED] = {METRIC_COUNTER, "headgate_store_rejected_total", NULL,
                     "Sessions and registrations from Redis that were refused"},
    [SM_REBUILDS] = {METRIC_COUNTER, "headgate_snapshot_builds_total", NULL, "Snapshots built"},
    [SM_LOADS] = {METRIC_COUNTER, "headgate_snapshot_loads_total", NULL,
                  "Times that everything was read from PostgreSQL"},
    [SM_BUILD_TIME] = {METRIC_HISTOGRAM, "headgate_snapshot_build_seconds", NULL,
                       "Time to build a snapshot"},
};

void store_count(struct store *s, enum store_meter m, int64_t by)
{
    metric_add(s->cfg.metrics, s->cfg.metrics_slot, s->meter[m], by);
}

void store_gauge(struct store *s, enum store_meter m, int64_t to)
{
    metric_set(s->cfg.metrics, s->cfg.metrics_slot, s->meter[m], to);
}

/* ---- pinning -----------------------------------------------------------------------------------
 */
/* What this thread has pinned between store_snapshot() and store_quiescent(): the contract hands
 * no handle around, and a thread has one turn at a time. */
static _Thread_local struct {
    const struct store *store;
    struct held *held;
} pinned;

static void lock(struct store *s)
{
    BUG_ON(pthread_mutex_lock(&s->lock) != 0);
}

static void unlock(struct store *s)
{
    BUG_ON(pthread_mutex_unlock(&s->lock) != 0);
}

struct held *store_hold(struct store *s)
{
    struct held *h = NULL;

    lock(s);
    h = s->current;
    h->refs++;
    unlock(s);
    return h;
}

struct held *store_hold_this(struct store *s, struct held *h)
{
    lock(s);
    h->refs++;
    unlock(s);
    return h;
}

/* A snapshot of a million lines takes its time to free: the store's thread does that. */
void store_unhold(struct store *s, struct held *h)
{
    bool garbage = false;

    lock(s);
    BUG_ON(h->refs == 0);
    h->refs--;
    if (h->refs == 0 && h != s->current) {
        h->next = s->garbage;
        s->garbage = h;
        garbage = true;
    }
    unlock(s);
    if (garbage && s->wake != NULL) {
        loop_wake_send(s->wake);
    }
}

const struct snapshot *store_snapshot(struct store *s)
{
    if (pinned.store != s) {
        BUG_ON(pinned.store != NULL);
        pinned.held = store_hold(s);
        pinned.store = s;
    }
    return pinned.held->snap;
}

void store_quiescent(struct store *s, unsigned worker)
{
    BUG_ON(worker > s->cfg.workers);
    if (pinned.store == s) {
        pinned.store = NULL;
        store_unhold(s, pinned.held);
        pinned.held = NULL;
    }
}

static void sweep(struct store *s)
{
    struct held *h = NULL;

    lock(s);
    h = s->garbage;
    s->garbage = NULL;
    unlock(s);
    while (h != NULL) {
        struct held *next = h->next;
        snapshot_free(h->snap);
        if (h->under != NULL) {
            store_unhold(s, h->under);
        }
        mem_free(h);
        h = next;
    }
}

enum err store_wrap(struct store *s, struct snapshot *snap, struct held *under, struct held **out)
{
    struct held *h = mem_zalloc(sizeof *h);

    if (h == NULL) {
        snapshot_free(snap);
        return FAIL(E_NOMEM);
    }
    h->snap = snap;
    h->refs = 1;
    h->under = under != NULL ? store_hold_this(s, under) : NULL;
    *out = h;
    return E_OK;
}

uint64_t store_generation(const struct store *s)
{
    return atomic_load(&s->h_generation);
}

void store_publish(struct store *s, struct held *h, bool from_database)
{
    struct held *old = NULL;

    lock(s);
    old = s->current;
    if (old != NULL) {
        old->refs++;
    }
    s->current = h;
    s->from_database = s->from_database || from_database;
    atomic_fetch_add(&s->h_generation, 1);
    pthread_cond_broadcast(&s->changed);
    unlock(s);
    if (old != NULL) {
        store_unhold(s, old);
    }
    store_gauge(s, SM_LINES, (int64_t)snapshot_lines(h->snap));
    store_gauge(s, SM_LEFT_OUT, (int64_t)snapshot_left_out(h->snap));
    LOG(LV_DEBUG, "snapshot.published", KV("lines", snapshot_lines(h->snap)),
        KV("seq", snapshot_change_seq(h->snap)), KV("overlay", h->under != NULL));
}

static enum err publish_first(struct store *s, struct snapshot *snap)
{
    struct held *h = NULL;
    enum err e = store_wrap(s, snap, NULL, &h);

    if (e == E_OK) {
        store_publish(s, h, false);
        store_unhold(s, h);
    }
    return e;
}

/* ---- rights that end ---------------------------------------------------------------------------
 */
void store_lost_rights(struct store *s, const uint8_t bti_id[16])
{
    keeper_drop_bti(s->keeper, bti_id);
}

void store_lost_line(struct store *s, uint64_t line_id)
{
    keeper_drop_line(s->keeper, line_id);
}

/* ---- the thread --------------------------------------------------------------------------------
 */
static void on_tick(void *arg)
{
    struct store *s = arg;

    (void)sessions_expire(s->cfg.sessions, loop_wall_us(s->l));
    (void)location_expire(s->cfg.location, loop_now_ms(s->l));
    store_gauge(s, SM_SESSIONS, (int64_t)sessions_count(s->cfg.sessions));
    store_gauge(s, SM_REGISTRATIONS, (int64_t)location_count(s->cfg.location));
    sweep(s);
    IGNORE(loop_timer_start(s->l, &s->tick, TICK_MS, on_tick, s), "its place is free");
}

static void on_flushed(void *arg)
{
    struct store *s = arg;

    loop_stop(s->l);
}

static void on_stop_limit(void *arg)
{
    struct store *s = arg;

    LOG(LV_ERROR, "store.stop_limit", KV("after_ms", STOP_MAX_MS));
    loop_stop(s->l);
}

static void on_wake(void *arg)
{
    struct store *s = arg;

    sweep(s);
    if (atomic_exchange(&s->look, false)) {
        changes_look(s->changes);
    }
    if (atomic_load(&s->draining)) {
        keeper_leave(s->keeper);
    }
    if (atomic_load(&s->stopping) && !loop_timer_active(&s->flush_limit)) {
        keeper_leave(s->keeper);
        IGNORE(loop_timer_start(s->l, &s->flush_limit, STOP_MAX_MS, on_stop_limit, s),
               "its place is free");
        cdrs_flush(s->cdrs, on_flushed, s);
    }
}

static void *run(void *arg)
{
    struct store *s = arg;

    loop_run(s->l);
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err empty_snapshot(struct store *s)
{
    const struct snapshot_input nothing = {.n_lines = 0};
    struct snapshot *snap = NULL;
    char why[128];
    enum err e = snapshot_build(&nothing, &snap, why, sizeof why);

    return e == E_OK ? publish_first(s, snap) : e;
}

/* A file that is not ours or was altered is as good as none. */
static enum err read_file(struct store *s)
{
    struct snapshot *snap = NULL;
    enum err e = snapshot_load(s->cfg.snapshot_path, &snap);

    if (e == E_NOMEM) {
        return e;
    }
    if (e != E_OK) {
        LOG(e == E_NOTFOUND || e == E_IO ? LV_INFO : LV_WARN, "snapshot.no_file",
            KV("file", s->cfg.snapshot_path), KV_ERR(e));
        return E_OK;
    }
    LOG(LV_INFO, "snapshot.from_file", KV("file", s->cfg.snapshot_path),
        KV("lines", snapshot_lines(snap)));
    s->have_snapshot = true;
    return publish_first(s, snap);
}

static struct timespec deadline(unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static enum err wait_ready(struct store *s)
{
    struct timespec soon = deadline(CONNECT_MAX_MS), last = deadline(START_MAX_MS);
    bool timed_out = false, ready = false;

    lock(s);
    while (!s->from_database && !timed_out) {
        bool hopeless = s->have_snapshot && !atomic_load(&s->h_pg);
        timed_out =
            pthread_cond_timedwait(&s->changed, &s->lock, hopeless ? &soon : &last) == ETIMEDOUT;
        if (timed_out && hopeless && atomic_load(&s->h_pg)) {
            timed_out = false; /* it has just come: its rows are on their way */
        }
    }
    ready = s->from_database || s->have_snapshot;
    unlock(s);
    return ready ? E_OK : E_TIMEOUT;
}

static enum err make_parts(struct store *s)
{
    pthread_condattr_t attr;
    enum err e = E_OK;

    BUG_ON(pthread_mutex_init(&s->lock, NULL) != 0);
    BUG_ON(pthread_condattr_init(&attr) != 0);
    BUG_ON(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0);
    BUG_ON(pthread_cond_init(&s->changed, &attr) != 0);
    pthread_condattr_destroy(&attr);
    TRY(empty_snapshot(s));
    TRY(read_file(
        s)); /* before the loop: its clock must not stand still while a large file is read */
    TRY(loop_new(clock_system(), &s->l));
    TRY(loop_wake_new(s->l, on_wake, s, &s->wake));
    TRY(cdrs_new(s, &s->cdrs));
    TRY(asks_new(s, &s->asks));
    TRY(keeper_new(s, &s->keeper));
    TRY(changes_new(s, &s->changes));
    TRY(changes_open(s->changes));
    TRY(cdrs_open(s->cdrs));
    TRY(asks_open(s->asks));
    TRY(keeper_open(s->keeper));
    TRY(loop_timer_start(s->l, &s->tick, TICK_MS, on_tick, s));
out:
    return e;
}

static void free_parts(struct store *s)
{
    changes_free(s->changes);
    keeper_free(s->keeper);
    cdrs_free(s->cdrs);
    asks_free(s->asks);
    if (s->l != NULL) {
        loop_timer_stop(s->l, &s->tick);
        loop_timer_stop(s->l, &s->flush_limit);
        loop_wake_free(s->wake);
        s->wake = NULL;
    }
    if (s->current != NULL) {
        struct held *last = store_hold(s);
        s->current = NULL;
        store_unhold(s, last);
    }
    while (s->garbage != NULL) { /* an overlay frees what it lies on */
        sweep(s);
    }
    loop_free(s->l);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    secret_wipe(&s->cfg.cluster_key);
    secret_release(s, sizeof *s);
}

enum err store_start(const struct store_cfg *cfg, struct store **out)
{
    struct store *s = secret_alloc(sizeof *s); /* it holds the cluster key */
    enum err e = E_OK;

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->cfg = *cfg;
    for (unsigned i = 0; i < SM_COUNT; i++) {
        s->meter[i] = metric_declare(cfg->metrics, METERS[i].kind, METERS[i].name, METERS[i].labels,
                                     METERS[i].help);
    }
    TRY(make_parts(s));
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        TRY(FAIL(E_NOMEM));
    }
    s->started = true;
    e = wait_ready(s);
    if (e == E_TIMEOUT) {
        LOG(LV_ERROR, "snapshot.none", KV("served", "611 and emergency only"));
    }
    *out = s; /* also on E_TIMEOUT, as the header says */
    s = NULL;
out:
    if (s != NULL) {
        free_parts(s);
    }
    return e;
}

void store_stop(struct store *s)
{
    if (s == NULL) {
        return;
    }
    atomic_store(&s->stopping, true);
    loop_wake_send(s->wake);
    pthread_join(s->thread, NULL);
    free_parts(s);
}

/* ---- for others --------------------------------------------------------------------------------
 */
bool store_cdr(struct store *s, unsigned worker, const struct cdr *c)
{
    return cdrs_push(s->cdrs, worker, c);
}

enum err store_line_ask(struct store *s, const struct line_ask *ask)
{
    return asks_push(s->asks, ask);
}

void store_mirror_binding(struct store *s, unsigned worker, const struct binding *b, bool removed)
{
    (void)worker;
    keeper_binding(s->keeper, b, removed);
}

void store_look(struct store *s)
{
    atomic_store(&s->look, true);
    loop_wake_send(s->wake);
}

void store_drain(struct store *s)
{
    atomic_store(&s->draining, true);
    loop_wake_send(s->wake);
}

size_t store_sessions(struct store *s, struct store_session *out, size_t max)
{
    return keeper_list(s->keeper, out, max);
}

void store_health(const struct store *s, struct store_health *out)
{
    union {
        const struct store *in;
        struct store *out;
    } u = {.in = s}; /* the lock is taken, nothing else changes */

    lock(u.out);
    out->have_snapshot = s->have_snapshot || s->from_database;
    unlock(u.out);
    out->postgres_up = atomic_load(&s->h_pg);
    out->redis_up = atomic_load(&s->h_redis);
    out->change_seq = atomic_load(&s->h_seq);
    out->cdr_queued = atomic_load(&s->h_queued);
    out->cdr_spilled = atomic_load(&s->h_spilled);
    out->cdr_lost = atomic_load(&s->h_lost);
    out->sessions = sessions_count(s->cfg.sessions);
}
