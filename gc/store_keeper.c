/* Redis: connection, heartbeat, and the reading and writing back of everything after a gap. Redis
 * may forget at any time: the heartbeat asks for its own old value, and finds out. */
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_keeper.h"

#define MAX_QUEUE    50000
#define HEARTBEAT_MS 1000
#define MARKS_MS     100 /* a tenth of all sessions each time */
#define SEND_MS      20
#define SEND_MOST    500
#define RESCAN_MS    300000 /* what an eviction took, is written again */
#define PAGE_KEYS    15     /* of one MGET: session and marks each */
#define NODE_TTL     "5"

static void scan_next(struct keeper *k);
static void on_rescan(void *arg);

void keeper_send(struct keeper *k, const struct view *argv, size_t argc)
{
    if (redis_is_up(k->redis)) {
        IGNORE(redis_cmd(k->redis, argv, argc, NULL, NULL), "a resync repeats it");
    }
}

/* ---- writing back, a little at a time ----------------------------------------------------------
 */
static void on_send(void *arg)
{
    struct keeper *k = arg;
    bool more = false;

    if (k->scanning != SCAN_SEND || !redis_is_up(k->redis)) {
        return;
    }
    if (k->send_bucket < KEPT_BUCKETS) {
        more = kept_send_missing(k, &k->send_bucket, SEND_MOST) || k->send_parts > 0;
    } else if (k->send_part < k->send_parts) {
        bindings_send_part(k, k->send_part++, k->send_parts);
        more = k->send_part < k->send_parts;
    }
    if (more) {
        IGNORE(loop_timer_start(k->s->l, &k->send, SEND_MS, on_send, k), "its place is free");
        return;
    }
    k->scanning = SCAN_OFF;
    k->has_synced = true;
    LOG(LV_INFO, "redis.synced", KV("sessions", k->n_kept),
        KV("registrations", location_count(k->s->cfg.location)));
    if (k->scan_again) {
        keeper_resync(k);
    }
}

static void send_start(struct keeper *k)
{
    k->scanning = SCAN_SEND;
    k->send_bucket = 0;
    k->send_part = 0;
    k->send_parts = location_count(k->s->cfg.location) / SEND_MOST + 1;
    on_send(k);
}

/* ---- reading -----------------------------------------------------------------------------------
 */
struct page { /* one MGET */
    struct keeper *k;
    uint32_t scan;
    size_t n;
    bool sessions;
    char key[PAGE_KEYS][96];
    uint8_t kid[PAGE_KEYS][BTI_KID_BYTES];
};

static void page_done(struct keeper *k)
{
    k->asked--;
    if (k->asked == 0) {
        scan_next(k);
    }
}

static void on_page(void *arg, enum err e, const struct redis_reply *r)
{
    struct page *p = arg;
    struct keeper *k = p->k;
    bool current = p->scan == k->scan;

    k->scan_again = k->scan_again || (current && e != E_OK);
    for (size_t i = 0; current && e == E_OK && i < p->n; i++) {
        if (p->sessions) {
            kept_found(k, p->kid[i], redis_text(redis_at(r, 2 * i)),
                       redis_text(redis_at(r, 2 * i + 1)));
        } else if (redis_text(redis_at(r, i)).n > 0) {
            bindings_found(k, view_of(p->key[i]), redis_text(redis_at(r, i)));
        }
    }
    mem_free(p);
    if (current && e != E_IO) {
        page_done(k);
    }
}

static void page_ask(struct keeper *k, struct page *p)
{
    struct view argv[2 * PAGE_KEYS + 1] = {VIEW("MGET")};
    char mark[PAGE_KEYS][64];
    size_t n = 1;

    for (size_t i = 0; i < p->n; i++) {
        argv[n++] = view_of(p->key[i]);
        if (p->sessions) {
            kept_key(MARK_PREFIX, p->kid[i], mark[i]);
            argv[n++] = view_of(mark[i]);
        }
    }
    k->asked++;
    if (redis_cmd(k->redis, argv, n, on_page, p) != E_OK) {
        mem_free(p);
        k->asked--;
        k->scan_again = true;
    }
}

/* Whether a key of the scan is one of ours; then it is the next of the page. */
static bool is_key(struct view key, struct page *p)
{
    return view_to_cstr(key, p->key[p->n], sizeof p->key[p->n]) == E_OK &&
           (!p->sessions || hex_get(view_sub(key, sizeof SESSION_REDIS_PREFIX - 1, key.n),
                                    p->kid[p->n], BTI_KID_BYTES) == E_OK);
}

static void ask_keys(struct keeper *k, const struct redis_reply *keys)
{
    struct page *p = NULL;

    for (size_t i = 0; i < redis_count(keys); i++) {
        if (p == NULL) {
            p = mem_zalloc(sizeof *p);
            if (p == NULL) {
                k->scan_again = true;
                return;
            }
            p->k = k;
            p->scan = k->scan;
            p->sessions = k->scanning == SCAN_SESSIONS;
        }
        p->n += is_key(redis_text(redis_at(keys, i)), p);
        if (p->n == PAGE_KEYS) {
            page_ask(k, p);
            p = NULL;
        }
    }
    if (p != NULL && p->n > 0) {
        page_ask(k, p);
        p = NULL;
    }
    mem_free(p);
}

static void on_scan(void *arg, enum err e, const struct redis_reply *r)
{
    struct keeper *k = arg;

    if (k->scan_stale > 0) {
        k->scan_stale--; /* of a scan that was given up */
        return;
    }
    k->scan_pending = false;
    if (e == E_STATE) { /* it is loading its own file, say */
        IGNORE(loop_timer_start(k->s->l, &k->rescan, HEARTBEAT_MS, on_rescan, k), "as before");
    }
    if (e != E_OK || redis_count(r) != 2 || k->scanning == SCAN_OFF || k->scanning == SCAN_SEND) {
        k->scanning = SCAN_OFF;
        return; /* the next connection scans anew */
    }
    if (view_to_cstr(redis_text(redis_at(r, 0)), k->cursor, sizeof k->cursor) != E_OK) {
        k->cursor[0] = 0;
    }
    k->asked = 1; /* this function's own share */
    ask_keys(k, redis_at(r, 1));
    page_done(k);
}

static void scan_ask(struct keeper *k)
{
    const struct view argv[] = {
        VIEW("SCAN"),
        view_of(k->cursor),
        VIEW("MATCH"),
        k->scanning == SCAN_SESSIONS ? VIEW(SESSION_REDIS_PREFIX "*") : VIEW(REG_PREFIX "*"),
        VIEW("COUNT"),
        VIEW("1000")};

    k->scan_pending = true;
    if (redis_cmd(k->redis, argv, sizeof argv / sizeof argv[0], on_scan, k) != E_OK) {
        k->scan_pending = false;
        k->scanning = SCAN_OFF;
    }
}

static void scan_next(struct keeper *k)
{
    if (strcmp(k->cursor, "0") != 0 && k->cursor[0] != 0) {
        scan_ask(k);
    } else if (k->scanning == SCAN_SESSIONS) {
        k->scanning = SCAN_BINDINGS;
        memcpy(k->cursor, "0", 2);
        scan_ask(k);
    } else if (k->scanning == SCAN_BINDINGS) {
        send_start(k);
    }
}

void keeper_resync(struct keeper *k)
{
    if (!redis_is_up(k->redis)) {
        return;
    }
    if (k->scanning != SCAN_OFF) {
        k->scan_again = true;
        return;
    }
    k->scan_again = false;
    k->scan++;
    k->asked = 0;
    k->scanning = SCAN_SESSIONS;
    memcpy(k->cursor, "0", 2);
    scan_ask(k);
}

static void on_rescan(void *arg)
{
    struct keeper *k = arg;

    keeper_resync(k);
    IGNORE(loop_timer_start(k->s->l, &k->rescan, RESCAN_MS, on_rescan, k), "its place is free");
}

/* ---- heartbeat ---------------------------------------------------------------------------------
 */
static void on_heartbeat_answer(void *arg, enum err e, const struct redis_reply *r)
{
    struct keeper *k = arg;

    if (e != E_OK) {
        k->had_heartbeat = false;
        return;
    }
    if (k->had_heartbeat && redis_is_nil(r)) {
        LOG(LV_WARN, "redis.lost_data", KV("node", k->s->cfg.node));
        keeper_resync(k);
    }
    k->had_heartbeat = true;
}

static void heartbeat(struct keeper *k)
{
    char key[sizeof NODE_PREFIX + 64], address[NET_TEXT_MAX];

    snprintf(key, sizeof key, NODE_PREFIX "%.63s", k->s->cfg.node);
    net_text(&k->s->cfg.sip_address, address);
    const struct view argv[] = {VIEW("SET"), view_of(key),   view_of(address),
                                VIEW("EX"),  VIEW(NODE_TTL), VIEW("GET")};
    if (redis_is_up(k->redis) && !atomic_load(&k->s->draining)) {
        IGNORE(redis_cmd(k->redis, argv, sizeof argv / sizeof argv[0], on_heartbeat_answer, k),
               "the next second");
    }
}

static void on_heartbeat(void *arg)
{
    struct keeper *k = arg;

    heartbeat(k);
    IGNORE(loop_timer_start(k->s->l, &k->heartbeat, HEARTBEAT_MS, on_heartbeat, k),
           "its place is free");
}

void keeper_leave(struct keeper *k)
{
    char key[sizeof NODE_PREFIX + 64];

    snprintf(key, sizeof key, NODE_PREFIX "%.63s", k->s->cfg.node);
    k->had_heartbeat = false;
    keeper_send(k, (const struct view[]){VIEW("DEL"), view_of(key)}, 2);
}

static void on_marks(void *arg)
{
    struct keeper *k = arg;

    kept_marks_slice(k, KEPT_BUCKETS * MARKS_MS / 1000);
    IGNORE(loop_timer_start(k->s->l, &k->marks, MARKS_MS, on_marks, k), "its place is free");
}

/* ---- connection --------------------------------------------------------------------------------
 */
static void on_up(void *arg, bool up)
{
    struct keeper *k = arg;

    atomic_store(&k->s->h_redis, up);
    store_gauge(k->s, SM_REDIS_UP, up);
    k->had_heartbeat = false;
    k->scanning = SCAN_OFF;
    k->scan++; /* pages that are under way belong to an older one */
    k->scan_stale += k->scan_pending;
    k->scan_pending = false;
    if (up) {
        heartbeat(k);
        keeper_resync(k);
    }
}

static void on_message(void *arg, struct view channel, struct view payload)
{
    struct keeper *k = arg;
    uint8_t bti[BTI_ID_BYTES];

    if (view_eq(channel, VIEW(SESSION_REDIS_CHANNEL))) {
        kept_published(k, payload);
    } else if (view_eq(channel, VIEW(REVOKE_CHANNEL)) && payload.n == BTI_ID_BYTES) {
        memcpy(bti, payload.p, sizeof bti);
        keeper_drop_bti(k, bti);
    } else if (view_eq(channel, VIEW(REG_CHANNEL))) {
        bindings_published(k, payload);
    } else if (view_eq(channel, VIEW(MARK_CHANNEL))) {
        kept_marks_published(k, payload);
    }
}

/* The mirror of its registrations goes too: a node that starts must not read them. */
static void forget_bindings(struct keeper *k, const uint8_t bti_id[16])
{
    const struct bti_row *row = snapshot_bti(k->s->current->snap, bti_id);
    struct binding b[LOCATION_MAX_CONTACTS];
    size_t n = row != NULL ? location_find(k->s->cfg.location, row->line_id, loop_now_ms(k->s->l),
                                           b, LOCATION_MAX_CONTACTS)
                           : 0;

    for (size_t i = 0; i < n; i++) {
        if (memcmp(b[i].bti_id, bti_id, sizeof b[i].bti_id) == 0 && b[i].via_node.family == 0) {
            keeper_binding(k, &b[i], true);
        }
    }
}

void keeper_drop_bti(struct keeper *k, const uint8_t bti_id[16])
{
    kept_drop_bti(k, bti_id);
    forget_bindings(k, bti_id);
    (void)location_remove_bti(k->s->cfg.location, bti_id);
}

void keeper_drop_line(struct keeper *k, uint64_t line_id)
{
    struct binding b[LOCATION_MAX_CONTACTS];
    size_t n =
        location_find(k->s->cfg.location, line_id, loop_now_ms(k->s->l), b, LOCATION_MAX_CONTACTS);

    (void)location_remove_line(k->s->cfg.location, line_id);
    for (size_t i = 0; i < n; i++) {
        if (b[i].has_kid && k->s->cfg.on_revoked != NULL) {
            k->s->cfg.on_revoked(k->s->cfg.arg, b[i].kid);
        }
        if (b[i].via_node.family == 0) {
            keeper_binding(k, &b[i], true);
        }
    }
    if (n > 0) {
        LOG(LV_INFO, "line.registrations_dropped", KV("line", line_id), KV("contacts", n));
    }
}

enum err keeper_new(struct store *s, struct keeper **out)
{
    struct keeper *k = mem_zalloc(sizeof *k);
    enum err e = E_OK;

    if (k == NULL) {
        return FAIL(E_NOMEM);
    }
    k->s = s;
    kept_init(k);
    BUG_ON(pthread_mutex_init(&k->queue_lock, NULL) != 0);
    k->bucket = mem_zalloc_array(KEPT_BUCKETS, sizeof(struct hlink *));
    k->queue = mem_zalloc_array(BINDINGS_QUEUE, sizeof *k->queue);
    k->taken = mem_zalloc_array(BINDINGS_QUEUE, sizeof *k->taken);
    if (k->bucket == NULL || k->queue == NULL || k->taken == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(crypto_random(k->hash_key, sizeof k->hash_key));
    TRY(mirror_new(&s->cfg.cluster_key, s->cfg.node, &k->mirror));
    TRY(loop_wake_new(s->l, bindings_on_wake, k, &k->wake));
    *out = k;
    k = NULL;
out:
    keeper_free(k);
    return e;
}

enum err keeper_open(struct keeper *k)
{
    static const char *const channels[] = {SESSION_REDIS_CHANNEL, REVOKE_CHANNEL, REG_CHANNEL,
                                           MARK_CHANNEL, NULL};
    const struct redis_cfg redis = {.address = k->s->cfg.redis,
                                    .channels = channels,
                                    .user = k->s->cfg.redis_user,
                                    .password = k->s->cfg.redis_password,
                                    .max_queue = MAX_QUEUE,
                                    .on_up = on_up,
                                    .on_message = on_message,
                                    .arg = k};
    enum err e = E_OK;

    TRY(loop_timer_start(k->s->l, &k->heartbeat, HEARTBEAT_MS, on_heartbeat, k));
    TRY(loop_timer_start(k->s->l, &k->marks, MARKS_MS, on_marks, k));
    TRY(loop_timer_start(k->s->l, &k->rescan, RESCAN_MS, on_rescan, k));
    TRY(redis_open(k->s->l, &redis, &k->redis));
out:
    return e;
}

void keeper_free(struct keeper *k)
{
    if (k == NULL) {
        return;
    }
    redis_close(k->redis);
    loop_timer_stop(k->s->l, &k->heartbeat);
    loop_timer_stop(k->s->l, &k->marks);
    loop_timer_stop(k->s->l, &k->send);
    loop_timer_stop(k->s->l, &k->rescan);
    loop_wake_free(k->wake);
    kept_fini(k);
    mirror_free(k->mirror);
    pthread_mutex_destroy(&k->queue_lock);
    mem_free(k->queue);
    mem_free(k->taken);
    mem_free(k);
}

bool keeper_up(const struct keeper *k)
{
    return redis_is_up(k->redis);
}
