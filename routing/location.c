/* Location table. A binding sits in one shard (by its line) and there in up to four chains: by
 * line, by BTI, by connection, by time. Removing by BTI or connection asks each shard for one
 * chain, so a mass disconnect costs what it removes and never a walk over all bindings. */
#include "routing/location.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/crypto.h"
#include "base/hlist.h"
#include "base/mem.h"

#define SHARDS   LOCATION_PARTS
#define HEADS    16   /* chains of each kind in a shard, at least */
#define WHEEL    1024 /* expiry slots of 4096 ms: 70 minutes in one turn */
#define TICK(ms) ((ms) >> 12)

enum chain { BY_LINE, BY_BTI, BY_CONN, CHAINS };

struct node {
    struct hlink in[CHAINS], by_time;
    struct node *next_gone;
    struct net_addr remote, local, via_node;
    uint64_t line_id, expires_ms, expires_us, conn;
    uint32_t cseq;
    uint16_t worker, call_id_at;
    uint8_t proto;
    bool has_kid, is_phone;
    uint8_t algorithm;
    uint16_t q, username_at;
    uint64_t credential;
    uint8_t kid[16], bti_id[16];
    char texts[]; /* contact, NUL, call_id, NUL, username, NUL */
};

struct shard {
    pthread_mutex_t lock;
    struct hlink **heads[CHAINS];
    struct hlink *wheel[WHEEL];
    uint64_t swept; /* tick: nothing sits in an earlier one */
};

struct location {
    size_t max, mask;
    uint8_t hash_key[16];
    atomic_size_t count;
    struct hlink **heads;
    struct shard *shards;
};

static void lock(struct shard *sh)
{
    BUG_ON(pthread_mutex_lock(&sh->lock) != 0);
}

static void unlock(struct shard *sh)
{
    BUG_ON(pthread_mutex_unlock(&sh->lock) != 0);
}

enum err location_new(size_t max_bindings, struct location **out)
{
    enum err e = E_OK;
    size_t n = HEADS;
    struct location *l = NULL;
    if (max_bindings == 0 || max_bindings > UINT32_MAX) {
        return FAIL(E_RANGE);
    }
    while (n < max_bindings / SHARDS) {
        n *= 2;
    }
    l = mem_zalloc(sizeof *l);
    if (!l) {
        return FAIL(E_NOMEM);
    }
    l->max = max_bindings;
    l->mask = n - 1;
    l->heads = mem_zalloc_array(n * CHAINS * SHARDS, sizeof(struct hlink *));
    l->shards = mem_zalloc_array(SHARDS, sizeof *l->shards);
    if (!l->heads || !l->shards) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(crypto_random(l->hash_key, sizeof l->hash_key));
    for (size_t i = 0; i < SHARDS; i++) {
        BUG_ON(pthread_mutex_init(&l->shards[i].lock, NULL) != 0);
        for (size_t c = 0; c < CHAINS; c++) {
            l->shards[i].heads[c] = l->heads + n * (CHAINS * i + c);
        }
    }
    *out = l;
    l = NULL;
out:
    if (l) {
        mem_free(l->shards);
        mem_free(l->heads);
        mem_free(l);
    }
    return e;
}

/* ---- keys and chains ---- */

static uint64_t hash_octets(const struct location *l, const void *p, size_t n)
{
    return siphash64(l->hash_key, view_from(p, n));
}

static uint64_t hash_line(const struct location *l, uint64_t line_id)
{
    return hash_octets(l, &line_id, sizeof line_id);
}

static uint64_t hash_conn(const struct location *l, uint16_t worker, uint64_t conn)
{
    uint64_t key[2] = {worker, conn};
    return hash_octets(l, key, sizeof key);
}

static bool has_bti(const uint8_t bti_id[16])
{
    static const uint8_t none[16];
    return memcmp(bti_id, none, sizeof none) != 0;
}

/* Another node's connection numbers mean nothing here. */
static bool has_conn(const struct node *n)
{
    return n->conn != 0 && n->via_node.family == 0;
}

static struct hlink **line_head(const struct location *l, uint64_t line_id, struct shard **sh)
{
    uint64_t h = hash_line(l, line_id);
    *sh = &l->shards[h >> 58];
    return &(*sh)->heads[BY_LINE][h & l->mask];
}

static void link_in(struct location *l, struct shard *sh, struct node *n)
{
    uint64_t tick = TICK(n->expires_ms);
    if (tick < sh->swept) {
        tick = sh->swept; /* the slot that the next sweep looks at in any case */
    }
    hlist_push(&sh->heads[BY_LINE][hash_line(l, n->line_id) & l->mask], &n->in[BY_LINE]);
    if (has_bti(n->bti_id)) {
        hlist_push(&sh->heads[BY_BTI][hash_octets(l, n->bti_id, 16) & l->mask], &n->in[BY_BTI]);
    }
    if (has_conn(n)) {
        hlist_push(&sh->heads[BY_CONN][hash_conn(l, n->worker, n->conn) & l->mask],
                   &n->in[BY_CONN]);
    }
    hlist_push(&sh->wheel[tick % WHEEL], &n->by_time);
}

static void link_out(struct node *n)
{
    for (size_t c = 0; c < CHAINS; c++) {
        hlist_drop(&n->in[c]);
    }
    hlist_drop(&n->by_time);
}

static struct node *of(struct hlink *l, enum chain c)
{
    return HLIST_OF(l - c, struct node, in);
}

/* Frees what was taken out, under no lock, and gives the places back. */
static size_t bury(struct location *l, struct node *gone)
{
    size_t n = 0;
    while (gone) {
        struct node *next = gone->next_gone;
        mem_free(gone);
        gone = next;
        n++;
    }
    atomic_fetch_sub(&l->count, n);
    return n;
}

/* ---- binding <-> node ---- */

static enum err node_from(const struct binding *b, struct node **out)
{
    size_t contact = strnlen(b->contact, sizeof b->contact);
    size_t call_id = strnlen(b->call_id, sizeof b->call_id);
    size_t username = strnlen(b->username, sizeof b->username);
    if (contact == 0 || contact == sizeof b->contact || call_id == sizeof b->call_id ||
        username == sizeof b->username) {
        return FAIL(E_RANGE);
    }
    struct node *n = mem_zalloc(sizeof *n + contact + call_id + username + 3);
    if (!n) {
        return FAIL(E_NOMEM);
    }
    n->line_id = b->line_id;
    memcpy(n->kid, b->kid, sizeof n->kid);
    memcpy(n->bti_id, b->bti_id, sizeof n->bti_id);
    n->cseq = b->cseq;
    n->expires_ms = b->expires_ms;
    n->expires_us = b->expires_us;
    n->proto = b->proto;
    n->remote = b->remote;
    n->local = b->local;
    n->worker = b->worker;
    n->conn = b->conn;
    n->has_kid = b->has_kid;
    n->via_node = b->via_node;
    n->is_phone = b->is_phone;
    n->credential = b->credential;
    n->algorithm = b->algorithm;
    n->q = b->q;
    n->call_id_at = (uint16_t)(contact + 1);
    n->username_at = (uint16_t)(contact + call_id + 2);
    memcpy(n->texts, b->contact, contact);
    memcpy(n->texts + n->call_id_at, b->call_id, call_id);
    memcpy(n->texts + n->username_at, b->username, username);
    *out = n;
    return E_OK;
}

static void binding_from(const struct node *n, struct binding *b)
{
    memset(b, 0, sizeof *b);
    b->line_id = n->line_id;
    memcpy(b->kid, n->kid, sizeof b->kid);
    memcpy(b->bti_id, n->bti_id, sizeof b->bti_id);
    b->cseq = n->cseq;
    b->expires_ms = n->expires_ms;
    b->expires_us = n->expires_us;
    b->proto = n->proto;
    b->remote = n->remote;
    b->local = n->local;
    b->worker = n->worker;
    b->conn = n->conn;
    b->has_kid = n->has_kid;
    b->via_node = n->via_node;
    memcpy(b->contact, n->texts, n->call_id_at);
    b->is_phone = n->is_phone;
    b->credential = n->credential;
    b->algorithm = n->algorithm;
    b->q = n->q;
    const char *call_id = n->texts + n->call_id_at;
    memcpy(b->call_id, call_id, strlen(call_id) + 1);
    const char *username = n->texts + n->username_at;
    memcpy(b->username, username, strlen(username) + 1);
}

/* ---- changes ---- */

static struct node *find(struct hlink *head, uint64_t line_id, struct view contact, size_t *of_line)
{
    struct node *found = NULL;
    size_t n = 0;
    for (struct hlink *l = head; l; l = l->next) {
        struct node *x = of(l, BY_LINE);
        if (x->line_id != line_id) {
            continue;
        }
        n++;
        if (view_eq(view_from(x->texts, x->call_id_at - 1u), contact)) {
            found = x;
        }
    }
    *of_line = n;
    return found;
}

/* Whether n may come in place of `old` (NULL: in a new place, which is then taken). */
static enum err admit(struct location *l, const struct node *n, const struct node *old, size_t have)
{
    if (old) {
        bool same_call = strcmp(old->texts + old->call_id_at, n->texts + n->call_id_at) == 0;
        return same_call && n->cseq <= old->cseq ? FAIL(E_STATE) : E_OK;
    }
    if (have >= LOCATION_MAX_CONTACTS) {
        return FAIL(E_FULL);
    }
    if (atomic_fetch_add(&l->count, 1) >= l->max) {
        atomic_fetch_sub(&l->count, 1);
        return FAIL(E_FULL);
    }
    return E_OK;
}

enum err location_put(struct location *l, const struct binding *b)
{
    struct shard *sh;
    struct node *n = NULL;
    struct node *unused;
    size_t have = 0;
    enum err e = node_from(b, &n);
    if (e != E_OK) {
        return e;
    }
    struct hlink **head = line_head(l, n->line_id, &sh);
    lock(sh);
    struct node *old = find(*head, n->line_id, view_from(n->texts, n->call_id_at - 1u), &have);
    e = admit(l, n, old, have);
    if (e == E_OK) {
        if (old) {
            link_out(old);
        }
        link_in(l, sh, n);
        unused = old;
    } else {
        unused = n;
    }
    unlock(sh);
    mem_free(unused);
    return e;
}

enum err location_remove(struct location *l, uint64_t line_id, struct view contact)
{
    struct shard *sh;
    size_t have = 0;
    struct hlink **head = line_head(l, line_id, &sh);
    lock(sh);
    struct node *n = find(*head, line_id, contact, &have);
    if (n) {
        link_out(n);
    }
    unlock(sh);
    return bury(l, n) == 1 ? E_OK : FAIL(E_NOTFOUND);
}

size_t location_remove_line(struct location *l, uint64_t line_id)
{
    struct shard *sh;
    struct node *gone = NULL;
    struct hlink **head = line_head(l, line_id, &sh);
    lock(sh);
    for (struct hlink *next, *x = *head; x; x = next) {
        struct node *n = of(x, BY_LINE);
        next = x->next;
        if (n->line_id == line_id) {
            link_out(n);
            n->next_gone = gone;
            gone = n;
        }
    }
    unlock(sh);
    return bury(l, gone);
}

/* Takes everything like `sample` out of one chain of each shard. */
static size_t remove_like(struct location *l, enum chain c, uint64_t hash,
                          bool (*like)(const struct node *n, const struct node *sample),
                          const struct node *sample)
{
    struct node *gone = NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *sh = &l->shards[i];
        lock(sh);
        for (struct hlink *next, *x = sh->heads[c][hash & l->mask]; x; x = next) {
            struct node *n = of(x, c);
            next = x->next;
            if (like(n, sample)) {
                link_out(n);
                n->next_gone = gone;
                gone = n;
            }
        }
        unlock(sh);
    }
    return bury(l, gone);
}

static bool same_bti(const struct node *n, const struct node *sample)
{
    return memcmp(n->bti_id, sample->bti_id, sizeof n->bti_id) == 0;
}

static bool same_conn(const struct node *n, const struct node *sample)
{
    return n->worker == sample->worker && n->conn == sample->conn;
}

size_t location_remove_bti(struct location *l, const uint8_t bti_id[16])
{
    struct node sample = {0};
    memcpy(sample.bti_id, bti_id, sizeof sample.bti_id);
    return remove_like(l, BY_BTI, hash_octets(l, bti_id, 16), same_bti, &sample);
}

size_t location_remove_conn(struct location *l, uint16_t worker, uint64_t conn)
{
    struct node sample = {.worker = worker, .conn = conn};
    return remove_like(l, BY_CONN, hash_conn(l, worker, conn), same_conn, &sample);
}

size_t location_find_conn(const struct location *l, uint16_t worker, uint64_t conn,
                          struct binding *out, size_t max)
{
    uint64_t h = hash_conn(l, worker, conn);
    const struct node sample = {.worker = worker, .conn = conn};
    size_t n = 0;
    for (size_t i = 0; i < SHARDS && conn != 0; i++) {
        struct shard *sh = &l->shards[i];
        lock(sh);
        for (struct hlink *x = sh->heads[BY_CONN][h & l->mask]; x && n < max; x = x->next) {
            if (same_conn(of(x, BY_CONN), &sample)) {
                binding_from(of(x, BY_CONN), &out[n++]);
            }
        }
        unlock(sh);
    }
    return n;
}

/* Under the shard's lock: what has expired joins the list. */
static struct node *sweep(struct shard *sh, uint64_t now_ms, struct node *gone)
{
    uint64_t first = sh->swept;
    uint64_t last = TICK(now_ms);
    if (last < first) {
        last = first;
    }
    if (last - first >= WHEEL) {
        first = last - WHEEL + 1;
    }
    for (uint64_t tick = first; tick <= last; tick++) {
        for (struct hlink *next, *x = sh->wheel[tick % WHEEL]; x; x = next) {
            struct node *n = HLIST_OF(x, struct node, by_time);
            next = x->next;
            if (n->expires_ms <= now_ms) {
                link_out(n);
                n->next_gone = gone;
                gone = n;
            }
        }
    }
    sh->swept = last;
    return gone;
}

size_t location_expire(struct location *l, uint64_t now_ms)
{
    struct node *gone = NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        lock(&l->shards[i]);
        gone = sweep(&l->shards[i], now_ms, gone);
        unlock(&l->shards[i]);
    }
    return bury(l, gone);
}

void location_free(struct location *l)
{
    if (!l) {
        return;
    }
    location_expire(l, UINT64_MAX);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&l->shards[i].lock);
    }
    mem_free(l->shards);
    mem_free(l->heads);
    mem_free(l);
}

/* ---- reading ---- */

size_t location_find(const struct location *l, uint64_t line_id, uint64_t now_ms,
                     struct binding *out, size_t max)
{
    struct shard *sh;
    size_t n = 0;
    struct hlink **head = line_head(l, line_id, &sh);
    lock(sh);
    for (struct hlink *x = *head; x && n < max; x = x->next) { /* newest first: pushed in front */
        struct node *node = of(x, BY_LINE);
        if (node->line_id == line_id && node->expires_ms > now_ms) {
            binding_from(node, &out[n++]);
        }
    }
    unlock(sh);
    return n;
}

size_t location_count(const struct location *l)
{
    return atomic_load(&l->count);
}

void location_each(const struct location *l, void (*fn)(void *arg, const struct binding *b),
                   void *arg)
{
    struct binding b;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *sh = &l->shards[i];
        lock(sh);
        for (size_t at = 0; at <= l->mask; at++) {
            for (struct hlink *x = sh->heads[BY_LINE][at]; x; x = x->next) {
                binding_from(of(x, BY_LINE), &b);
                fn(arg, &b);
            }
        }
        unlock(sh);
    }
}

void location_each_phone(const struct location *l, unsigned part,
                         void (*fn)(void *arg, const struct binding *b), void *arg)
{
    struct shard *sh = &l->shards[part];

    lock(sh);
    for (size_t i = 0; i < WHEEL; i++) {
        for (struct hlink *x = sh->wheel[i]; x; x = x->next) {
            const struct node *n = HLIST_OF(x, struct node, by_time);
            struct binding b;
            if (n->is_phone) {
                binding_from(n, &b);
                fn(arg, &b);
            }
        }
    }
    unlock(sh);
}
