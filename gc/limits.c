/* Token buckets and calls of a line. Tokens are counted in thousandths, refilled when looked at. */
#include "gc/limits.h"

#include <pthread.h>
#include <string.h>

#include "base/crypto.h"
#include "base/hlist.h"
#include "base/mem.h"

enum { SHARDS = 32, WAYS = 4, LINE_HEADS = 256, SOURCES = 65536, RATE = 400, BURST = 800 };

struct bucket {
    uint64_t source; /* keyed hash of the address; 0: free */
    uint64_t at_ms;
    uint32_t milli[LIMIT_COUNT]; /* thousandths of a token that are gone */
};

enum live { LIVE_CALLS, LIVE_USAGES, LIVE_KINDS };

struct line_calls {
    struct hlink link;
    uint64_t line_id, live[LIVE_KINDS];
};

struct shard {
    pthread_mutex_t lock;
    struct bucket *bucket; /* rows of WAYS */
    struct hlink *line[LINE_HEADS];
};

struct rate {
    uint64_t tokens, per_ms, burst; /* `tokens` in each `per_ms` */
};

struct limits {
    uint8_t key[16];
    struct rate rate[LIMIT_COUNT];
    uint64_t most[LIVE_KINDS];
    size_t rows;
    struct bucket *all;
    pthread_mutex_t total_lock;
    struct rate total;
    uint64_t total_milli, total_ms;
    struct shard shard[SHARDS];
};

static void lock(pthread_mutex_t *m)
{
    BUG_ON(pthread_mutex_lock(m) != 0);
}

static void unlock(pthread_mutex_t *m)
{
    BUG_ON(pthread_mutex_unlock(m) != 0);
}

static void set_rates(struct limits *l, const struct limits_cfg *cfg)
{
    l->rate[LIMIT_DATAGRAM] =
        (struct rate){cfg->datagram_rate != 0 ? cfg->datagram_rate : RATE, 1000,
                      cfg->datagram_burst != 0 ? cfg->datagram_burst : BURST};
    l->rate[LIMIT_ANSWER] = (struct rate){cfg->answer_per_second, 1000, cfg->answer_per_second};
    l->rate[LIMIT_UNPROVEN] =
        (struct rate){cfg->unproven_per_minute, 60000, cfg->unproven_per_minute};
    l->rate[LIMIT_GUESS] = (struct rate){cfg->guesses_per_source, 60000, cfg->guesses_per_source};
    l->rate[LIMIT_USERNAME] =
        (struct rate){cfg->guesses_per_username, 60000, cfg->guesses_per_username};
    l->total = (struct rate){cfg->unproven_total_per_minute, 60000, cfg->unproven_total_per_minute};
    l->rate[LIMIT_LINE] =
        (struct rate){20 + 10 * cfg->calls_per_line, 1000, 4 * (20 + 10 * cfg->calls_per_line)};
    l->most[LIVE_CALLS] = cfg->calls_per_line;
    l->most[LIVE_USAGES] = cfg->usages_per_line;
}

/* Rates are read under the lock of some shard, and the total's under its own. */
void limits_set(struct limits *l, const struct limits_cfg *cfg)
{
    for (size_t i = 0; i < SHARDS; i++) {
        lock(&l->shard[i].lock);
    }
    lock(&l->total_lock);
    set_rates(l, cfg);
    unlock(&l->total_lock);
    for (size_t i = 0; i < SHARDS; i++) {
        unlock(&l->shard[i].lock);
    }
}

enum err limits_new(const struct limits_cfg *cfg, struct limits **out)
{
    size_t sources = cfg->sources != 0 ? cfg->sources : SOURCES;
    struct limits *l = mem_zalloc(sizeof *l);
    enum err e = l != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    l->rows = sources / SHARDS / WAYS + 1;
    l->all = mem_zalloc_array(l->rows * SHARDS * WAYS, sizeof *l->all);
    if (l->all == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(crypto_random(l->key, sizeof l->key));
    set_rates(l, cfg);
    BUG_ON(pthread_mutex_init(&l->total_lock, NULL) != 0);
    for (size_t i = 0; i < SHARDS; i++) {
        BUG_ON(pthread_mutex_init(&l->shard[i].lock, NULL) != 0);
        l->shard[i].bucket = l->all + i * l->rows * WAYS;
    }
    *out = l;
    l = NULL; /* moved */
out:
    if (l != NULL) {
        mem_free(l->all);
        mem_free(l);
    }
    return e;
}

void limits_free(struct limits *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        for (size_t k = 0; k < LINE_HEADS; k++) {
            while (l->shard[i].line[k] != NULL) {
                struct line_calls *c = HLIST_OF(l->shard[i].line[k], struct line_calls, link);
                hlist_drop(&c->link);
                mem_free(c);
            }
        }
        pthread_mutex_destroy(&l->shard[i].lock);
    }
    pthread_mutex_destroy(&l->total_lock);
    mem_free(l->all);
    mem_free(l);
}

/* ---- buckets -----------------------------------------------------------------------------------
 */
/* IPv6 by its /64: whoever has one has all of its addresses. */
static uint64_t source_hash(const struct limits *l, const struct net_addr *a)
{
    uint8_t in[9] = {a->family};
    uint64_t h = 0;

    memcpy(in + 1, a->ip, a->family == 6 ? 8 : 4);
    h = siphash64(l->key, view_from(in, sizeof in));
    return h != 0 ? h : 1;
}

/* Thousandths that came back since `from_ms`, at most what is gone. */
static uint64_t refill(const struct rate *r, uint64_t gone, uint64_t from_ms, uint64_t now_ms)
{
    uint64_t ms = now_ms > from_ms ? now_ms - from_ms : 0;
    uint64_t back = 0;

    if (ms > 3600000) {
        return gone;
    }
    back = ms * r->tokens * 1000 / r->per_ms;
    return back < gone ? back : gone;
}

static void refresh(const struct limits *l, struct bucket *b, uint64_t now_ms)
{
    for (unsigned i = 0; i < LIMIT_COUNT; i++) {
        b->milli[i] -= (uint32_t)refill(&l->rate[i], b->milli[i], b->at_ms, now_ms);
    }
    b->at_ms = now_ms;
}

static uint64_t debt(const struct bucket *b)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < LIMIT_COUNT; i++) {
        sum += b->milli[i];
    }
    return sum;
}

static struct bucket *bucket_of(const struct limits *l, struct shard *s, uint64_t hash,
                                uint64_t now_ms)
{
    struct bucket *row = s->bucket + hash / SHARDS % l->rows * WAYS, *least = row;

    for (unsigned i = 0; i < WAYS; i++) {
        if (row[i].source == hash) {
            refresh(l, &row[i], now_ms);
            return &row[i];
        }
    }
    for (unsigned i = 0; i < WAYS; i++) {
        refresh(l, &row[i], now_ms);
        least = debt(&row[i]) < debt(least) ? &row[i] : least;
    }
    *least = (struct bucket){.source = hash, .at_ms = now_ms};
    return least;
}

static bool take_total(struct limits *l, uint64_t now_ms)
{
    bool ok = false;

    lock(&l->total_lock);
    l->total_milli -= refill(&l->total, l->total_milli, l->total_ms, now_ms);
    l->total_ms = now_ms;
    ok = l->total_milli + 1000 <= l->total.burst * 1000;
    l->total_milli += ok ? 1000 : 0;
    unlock(&l->total_lock);
    return ok;
}

static bool take(struct limits *l, enum limit kind, uint64_t hash, uint64_t now_ms)
{
    struct shard *s = &l->shard[hash % SHARDS];
    struct bucket *b = NULL;
    bool ok = false;

    lock(&s->lock);
    b = bucket_of(l, s, hash, now_ms);
    ok = b->milli[kind] + 1000 <= l->rate[kind].burst * 1000;
    b->milli[kind] += ok ? 1000 : 0;
    unlock(&s->lock);
    return ok;
}

bool limits_take(struct limits *l, enum limit kind, const struct net_addr *source, uint64_t now_ms)
{
    return take(l, kind, source_hash(l, source), now_ms) &&
           (kind != LIMIT_UNPROVEN || take_total(l, now_ms));
}

bool limits_take_line(struct limits *l, uint64_t line_id, uint64_t now_ms)
{
    uint64_t hash = siphash64(l->key, view_from(&line_id, sizeof line_id));

    return take(l, LIMIT_LINE, hash != 0 ? hash : 1, now_ms);
}

static uint64_t username_hash(const struct limits *l, struct view username)
{
    uint64_t hash = siphash64(l->key, username);

    return hash != 0 ? hash : 1;
}

bool limits_take_username(struct limits *l, struct view username, uint64_t now_ms)
{
    return take(l, LIMIT_USERNAME, username_hash(l, username), now_ms);
}

static void give(struct limits *l, enum limit kind, uint64_t hash, uint64_t now_ms)
{
    struct shard *s = &l->shard[hash % SHARDS];
    struct bucket *b = NULL;

    lock(&s->lock);
    b = bucket_of(l, s, hash, now_ms);
    b->milli[kind] -= b->milli[kind] < 1000 ? b->milli[kind] : 1000;
    unlock(&s->lock);
}

void limits_give(struct limits *l, enum limit kind, const struct net_addr *source, uint64_t now_ms)
{
    give(l, kind, source_hash(l, source), now_ms);
}

void limits_give_username(struct limits *l, struct view username, uint64_t now_ms)
{
    give(l, LIMIT_USERNAME, username_hash(l, username), now_ms);
}

/* ---- lines -------------------------------------------------------------------------------------
 */
static struct line_calls *find_line(struct hlink *head, uint64_t line_id)
{
    for (struct hlink *p = head; p != NULL; p = p->next) {
        struct line_calls *c = HLIST_OF(p, struct line_calls, link);
        if (c->line_id == line_id) {
            return c;
        }
    }
    return NULL;
}

static struct hlink **head_of(struct limits *l, uint64_t line_id, struct shard **out)
{
    uint64_t hash = siphash64(l->key, view_from(&line_id, sizeof line_id));

    *out = &l->shard[hash % SHARDS];
    return &(*out)->line[hash / SHARDS % LINE_HEADS];
}

static enum err live_take(struct limits *l, uint64_t line_id, enum live kind)
{
    struct shard *s = NULL;
    struct hlink **head = head_of(l, line_id, &s);
    struct line_calls *c = NULL;
    enum err e = E_OK;

    lock(&s->lock);
    c = find_line(*head, line_id);
    if (c != NULL ? c->live[kind] >= l->most[kind] : l->most[kind] == 0) {
        e = FAIL(E_FULL);
    } else if (c == NULL) {
        c = mem_zalloc(sizeof *c);
        if (c != NULL) {
            c->line_id = line_id;
            hlist_push(head, &c->link);
        }
    }
    if (e == E_OK && c == NULL) {
        e = FAIL(E_NOMEM);
    } else if (e == E_OK) {
        c->live[kind]++;
    }
    unlock(&s->lock);
    return e;
}

static void live_give(struct limits *l, uint64_t line_id, enum live kind)
{
    struct shard *s = NULL;
    struct hlink **head = head_of(l, line_id, &s);
    struct line_calls *c = NULL;

    lock(&s->lock);
    c = find_line(*head, line_id);
    BUG_ON(c == NULL || c->live[kind] == 0);
    c->live[kind]--;
    if (c->live[LIVE_CALLS] == 0 && c->live[LIVE_USAGES] == 0) {
        hlist_drop(&c->link);
        mem_free(c);
    }
    unlock(&s->lock);
}

enum err limits_line_take(struct limits *l, uint64_t line_id)
{
    return live_take(l, line_id, LIVE_CALLS);
}

void limits_line_give(struct limits *l, uint64_t line_id)
{
    live_give(l, line_id, LIVE_CALLS);
}

enum err limits_usage_take(struct limits *l, uint64_t line_id)
{
    return live_take(l, line_id, LIVE_USAGES);
}

void limits_usage_give(struct limits *l, uint64_t line_id)
{
    live_give(l, line_id, LIVE_USAGES);
}
