/* Sessions in memory. A session object is immutable and reference-counted: the table holds one
 * reference, each session_hold() one more. What changes (window, send counter) is in a second
 * object, shared by all generations of one kid. Keys are in slots of locked pages. */
#include "authz/sessions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hlist.h"
#include "base/mem.h"

#define SHARDS    64
#define SLOTS_MIN 16
#define WHEEL     1024 /* expiry slots of 2^26 us, about 67 s: 19 hours in one turn */
#define TICK(us)  ((us) >> 26)
#define KEY_BYTES 32
#define CHUNK     65536  /* octets of locked memory taken at a time */
#define NOW_STEP  10000u /* hold() refreshes the known time a hundred times a second */

struct keys { /* all of it secret */
    struct hmac_key up, down;
    uint8_t psk[KEY_BYTES], digest[KEY_BYTES];
};

union slot { /* a free slot is wiped and only links to the next */
    struct keys keys;
    union slot *next_free;
};

#define CHUNK_SLOTS ((CHUNK - sizeof(void *)) / sizeof(union slot))

struct chunk {
    struct chunk *next;
    union slot slots[CHUNK_SLOTS];
};
_Static_assert(sizeof(struct chunk) <= CHUNK, "a chunk is whole pages");

struct pool {
    pthread_mutex_t lock;
    struct chunk *chunks;
    union slot *free;
    size_t used;
};

struct marks { /* shared by the generations of one kid */
    atomic_uint refs;
    atomic_uint_least64_t sent;
    pthread_mutex_t lock; /* window */
    struct replay window;
};

struct session {
    atomic_uint refs;
    struct hlink by_kid, by_bti, by_time; /* under the shard's lock */
    struct session *next_gone;
    struct sessions *home;
    struct marks *marks;
    union slot *slot;
    uint64_t line_id, created_us, expires_us;
    uint8_t kid[BTI_KID_BYTES], bti_id[BTI_ID_BYTES];
};

struct shard {
    pthread_mutex_t lock;
    struct hlink **by_kid, **by_bti; /* heads; `mask + 1` of each */
    struct hlink *wheel[WHEEL];
    uint64_t swept; /* tick: nothing live sits in an earlier one */
};

struct sessions {
    size_t max, mask;
    uint8_t hash_key[16];
    atomic_size_t count;
    atomic_uint_least64_t now_us; /* newest time that a caller told */
    struct pool pool;
    struct hlink **heads;
    struct shard shards[SHARDS];
};

static void lock(pthread_mutex_t *m)
{
    BUG_ON(pthread_mutex_lock(m) != 0);
}

static void unlock(pthread_mutex_t *m)
{
    BUG_ON(pthread_mutex_unlock(m) != 0);
}

/* ---- key slots ---- */

static bool pool_grow(struct pool *p)
{
    struct chunk *c = secret_alloc(sizeof *c);
    if (!c) {
        return false;
    }
    c->next = p->chunks;
    p->chunks = c;
    for (size_t i = 0; i < CHUNK_SLOTS; i++) {
        c->slots[i].next_free = p->free;
        p->free = &c->slots[i];
    }
    return true;
}

static union slot *pool_take(struct pool *p)
{
    union slot *s = NULL;
    lock(&p->lock);
    if (p->free || pool_grow(p)) {
        s = p->free;
        p->free = s->next_free;
        p->used++;
    }
    unlock(&p->lock);
    return s;
}

static void pool_give(struct pool *p, union slot *s)
{
    wipe(s, sizeof *s);
    lock(&p->lock);
    s->next_free = p->free;
    p->free = s;
    p->used--;
    unlock(&p->lock);
}

static void pool_end(struct pool *p)
{
    while (p->chunks) {
        struct chunk *c = p->chunks;
        p->chunks = c->next;
        secret_release(c, sizeof *c);
    }
    pthread_mutex_destroy(&p->lock);
}

/* ---- session objects ---- */

static struct marks *marks_new(void)
{
    struct marks *m = mem_zalloc(sizeof *m);
    if (m && pthread_mutex_init(&m->lock, NULL) != 0) {
        mem_free(m);
        m = NULL;
    }
    if (m) {
        atomic_init(&m->refs, 1);
    }
    return m;
}

static void marks_release(struct marks *m)
{
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_destroy(&m->lock);
        mem_free(m);
    }
}

void session_release(struct session *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        marks_release(s->marks);
        if (s->slot) {
            pool_give(&s->home->pool, s->slot);
        }
        mem_free(s);
    }
}

static enum err session_make(struct sessions *home, const struct session_record *r,
                             struct session **out)
{
    enum err e = E_OK;
    struct session *s = NULL;
    if (r->keys.mac_up.n != KEY_BYTES || r->keys.mac_down.n != KEY_BYTES ||
        r->keys.tls_psk.n != KEY_BYTES || r->keys.digest.n != KEY_BYTES) {
        return FAIL(E_RANGE);
    }
    s = mem_zalloc(sizeof *s);
    if (!s) {
        return FAIL(E_NOMEM);
    }
    atomic_init(&s->refs, 1);
    s->home = home;
    s->marks = marks_new();
    s->slot = pool_take(&home->pool);
    if (!s->marks || !s->slot) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(hmac_key_set(&s->slot->keys.up, &r->keys.mac_up));
    TRY(hmac_key_set(&s->slot->keys.down, &r->keys.mac_down));
    memcpy(s->slot->keys.psk, r->keys.tls_psk.b, KEY_BYTES);
    memcpy(s->slot->keys.digest, r->keys.digest.b, KEY_BYTES);
    memcpy(s->kid, r->kid, sizeof s->kid);
    memcpy(s->bti_id, r->bti_id, sizeof s->bti_id);
    s->line_id = r->line_id;
    s->created_us = r->created_us;
    s->expires_us = r->expires_us;
    *out = s;
    s = NULL;
out:
    session_release(s);
    return e;
}

/* ---- the table ---- */

static size_t heads_for(size_t max)
{
    size_t n = SLOTS_MIN;
    while (n < max / SHARDS) {
        n *= 2;
    }
    return n;
}

enum err sessions_new(size_t max_sessions, struct sessions **out)
{
    enum err e = E_OK;
    size_t n = heads_for(max_sessions);
    struct sessions *s = NULL;
    if (max_sessions == 0 || max_sessions > UINT32_MAX) {
        return FAIL(E_RANGE);
    }
    s = mem_zalloc(sizeof *s);
    if (!s) {
        return FAIL(E_NOMEM);
    }
    s->max = max_sessions;
    s->mask = n - 1;
    s->heads = mem_zalloc_array(n * 2 * SHARDS, sizeof(struct hlink *));
    if (!s->heads) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(crypto_random(s->hash_key, sizeof s->hash_key));
    BUG_ON(pthread_mutex_init(&s->pool.lock, NULL) != 0);
    for (size_t i = 0; i < SHARDS; i++) {
        BUG_ON(pthread_mutex_init(&s->shards[i].lock, NULL) != 0);
        s->shards[i].by_kid = s->heads + n * 2 * i;
        s->shards[i].by_bti = s->heads + n * (2 * i + 1);
    }
    *out = s;
    s = NULL;
out:
    if (s) {
        mem_free(s->heads);
        mem_free(s);
    }
    return e;
}

static uint64_t hash_of(const struct sessions *s, const uint8_t id[16])
{
    return siphash64(s->hash_key, view_from(id, 16));
}

static struct shard *shard_of(struct sessions *s, uint64_t hash)
{
    return &s->shards[hash >> 58];
}

static struct session *find(const struct sessions *s, const struct shard *sh, uint64_t hash,
                            const uint8_t kid[BTI_KID_BYTES])
{
    for (struct hlink *l = sh->by_kid[hash & s->mask]; l; l = l->next) {
        struct session *x = HLIST_OF(l, struct session, by_kid);
        if (memcmp(x->kid, kid, BTI_KID_BYTES) == 0) {
            return x;
        }
    }
    return NULL;
}

static void link_in(struct sessions *s, struct shard *sh, uint64_t hash, struct session *x)
{
    uint64_t tick = TICK(x->expires_us);
    if (tick < sh->swept) {
        tick = sh->swept; /* the slot that the next sweep looks at in any case */
    }
    hlist_push(&sh->by_kid[hash & s->mask], &x->by_kid);
    hlist_push(&sh->by_bti[hash_of(s, x->bti_id) & s->mask], &x->by_bti);
    hlist_push(&sh->wheel[tick % WHEEL], &x->by_time);
}

/* Out of the table; the table's reference is now the caller's to release. */
static void link_out(struct session *x)
{
    hlist_drop(&x->by_kid);
    hlist_drop(&x->by_bti);
    hlist_drop(&x->by_time);
}

/* A new kid takes a place out of max; a known one hands window, counter and place on. */
static enum err insert(struct sessions *s, struct session *x)
{
    enum err e = E_OK;
    struct marks *unused = NULL;
    uint64_t hash = hash_of(s, x->kid);
    struct shard *sh = shard_of(s, hash);
    lock(&sh->lock);
    struct session *old = find(s, sh, hash, x->kid);
    if (old) {
        unused = x->marks;
        x->marks = old->marks;
        atomic_fetch_add_explicit(&x->marks->refs, 1, memory_order_relaxed);
        link_out(old);
    } else if (atomic_fetch_add(&s->count, 1) >= s->max) {
        atomic_fetch_sub(&s->count, 1);
        e = FAIL(E_FULL);
    }
    if (e == E_OK) {
        link_in(s, sh, hash, x);
    }
    unlock(&sh->lock);
    marks_release(unused);
    session_release(old);
    return e;
}

enum err sessions_put(struct sessions *s, const struct session_record *r)
{
    struct session *x = NULL;
    enum err e = session_make(s, r, &x);
    if (e != E_OK) {
        return e;
    }
    e = insert(s, x);
    if (e == E_FULL && sessions_expire(s, atomic_load(&s->now_us)) > 0) {
        e = insert(s, x);
    }
    if (e != E_OK) {
        session_release(x);
    }
    return e;
}

void sessions_drop(struct sessions *s, const uint8_t kid[BTI_KID_BYTES])
{
    uint64_t hash = hash_of(s, kid);
    struct shard *sh = shard_of(s, hash);
    lock(&sh->lock);
    struct session *x = find(s, sh, hash, kid);
    if (x) {
        link_out(x);
        atomic_fetch_sub(&s->count, 1);
    }
    unlock(&sh->lock);
    session_release(x);
}

size_t sessions_drop_bti(struct sessions *s, const uint8_t bti_id[BTI_ID_BYTES],
                         void (*fn)(void *arg, const uint8_t kid[BTI_KID_BYTES]), void *arg)
{
    size_t n = 0;
    size_t at = hash_of(s, bti_id) & s->mask;
    struct session *gone = NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *sh = &s->shards[i];
        lock(&sh->lock);
        for (struct hlink *next, *l = sh->by_bti[at]; l; l = next) {
            struct session *x = HLIST_OF(l, struct session, by_bti);
            next = l->next;
            if (memcmp(x->bti_id, bti_id, BTI_ID_BYTES) == 0) {
                link_out(x);
                x->next_gone = gone;
                gone = x;
                n++;
            }
        }
        unlock(&sh->lock);
    }
    atomic_fetch_sub(&s->count, n);
    while (gone) {
        struct session *x = gone;
        gone = x->next_gone;
        if (fn) {
            fn(arg, x->kid);
        }
        session_release(x);
    }
    return n;
}

/* Under the shard's lock: everything expired goes to *gone. */
static size_t sweep(struct shard *sh, uint64_t now_us, struct session **gone)
{
    size_t n = 0;
    uint64_t first = sh->swept;
    uint64_t last = TICK(now_us);
    if (last < first) {
        last = first; /* the wall clock went back */
    }
    if (last - first >= WHEEL) {
        first = last - WHEEL + 1;
    }
    for (uint64_t tick = first; tick <= last; tick++) {
        for (struct hlink *next, *l = sh->wheel[tick % WHEEL]; l; l = next) {
            struct session *x = HLIST_OF(l, struct session, by_time);
            next = l->next;
            if (x->expires_us <= now_us) {
                link_out(x);
                x->next_gone = *gone;
                *gone = x;
                n++;
            }
        }
    }
    sh->swept = last;
    return n;
}

size_t sessions_expire(struct sessions *s, uint64_t now_us)
{
    size_t n = 0;
    struct session *gone = NULL;
    atomic_store(&s->now_us, now_us);
    for (size_t i = 0; i < SHARDS; i++) {
        lock(&s->shards[i].lock);
        n += sweep(&s->shards[i], now_us, &gone);
        unlock(&s->shards[i].lock);
    }
    atomic_fetch_sub(&s->count, n);
    while (gone) {
        struct session *x = gone;
        gone = x->next_gone;
        session_release(x);
    }
    return n;
}

size_t sessions_count(const struct sessions *s)
{
    return atomic_load(&s->count);
}

void sessions_free(struct sessions *s)
{
    if (!s) {
        return;
    }
    sessions_expire(s, UINT64_MAX);
    BUG_ON(s->pool.used != 0); /* somebody still holds a session */
    pool_end(&s->pool);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&s->shards[i].lock);
    }
    mem_free(s->heads);
    wipe(s->hash_key, sizeof s->hash_key);
    mem_free(s);
}

/* ---- one session ---- */

enum err session_hold(struct sessions *s, const uint8_t kid[BTI_KID_BYTES], uint64_t now_us,
                      struct session **out)
{
    uint64_t hash = hash_of(s, kid);
    struct shard *sh = shard_of(s, hash);
    if (now_us > atomic_load_explicit(&s->now_us, memory_order_relaxed) + NOW_STEP) {
        atomic_store(&s->now_us, now_us);
    }
    lock(&sh->lock);
    struct session *x = find(s, sh, hash, kid);
    if (x && now_us >= x->expires_us) {
        x = NULL;
    }
    if (x) {
        atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
    }
    unlock(&sh->lock);
    if (!x) {
        return FAIL(E_NOTFOUND);
    }
    *out = x;
    return E_OK;
}

uint64_t session_line(const struct session *s)
{
    return s->line_id;
}

const uint8_t *session_bti(const struct session *s)
{
    return s->bti_id;
}

const uint8_t *session_kid(const struct session *s)
{
    return s->kid;
}

uint64_t session_expires_us(const struct session *s)
{
    return s->expires_us;
}

enum err session_psk(const struct session *s, struct secret *out)
{
    return secret_set(out, s->slot->keys.psk, KEY_BYTES);
}

enum err session_digest_password(const struct session *s, char out[DIGEST_PASSWORD_BYTES])
{
    struct secret key = {0};
    enum err e = secret_set(&key, s->slot->keys.digest, KEY_BYTES);

    if (e == E_OK) {
        e = digest_session_password(&key, out);
    }
    secret_wipe(&key);
    return e;
}

enum err session_verify(struct session *s, struct view raw, const struct bti_mac *mac,
                        bool *out_repeat)
{
    if (memcmp(mac->kid, s->kid, sizeof s->kid) != 0) {
        return FAIL(E_AUTH);
    }
    enum err e = bti_mac_verify(&s->slot->keys.up, raw, mac->digits);
    if (e != E_OK) {
        return e;
    }
    lock(&s->marks->lock);
    enum replay_verdict v = replay_check(&s->marks->window, mac->seq);
    if (v == REPLAY_FRESH) {
        replay_mark(&s->marks->window, mac->seq);
    }
    unlock(&s->marks->lock);
    *out_repeat = v != REPLAY_FRESH;
    return E_OK;
}

uint64_t session_next_seq(struct session *s)
{
    uint64_t now_us = atomic_load_explicit(&s->home->now_us, memory_order_relaxed);
    uint_least64_t unused = 0;

    if (atomic_load(&s->marks->sent) == 0 && now_us > s->created_us) {
        atomic_compare_exchange_strong(&s->marks->sent, &unused, (now_us - s->created_us) / 1000);
    }
    return atomic_fetch_add(&s->marks->sent, 1) + 1;
}

enum err session_fill(struct session *s, char *msg, size_t n, size_t at)
{
    return bti_mac_fill(&s->slot->keys.down, msg, n, at);
}

void session_marks(const struct session *s, uint64_t *out_sent, uint64_t *out_seen)
{
    lock(&s->marks->lock);
    *out_seen = s->marks->window.top;
    unlock(&s->marks->lock);
    *out_sent = atomic_load(&s->marks->sent);
}

void session_restore(struct session *s, uint64_t sent_floor, uint64_t seen_floor)
{
    uint_least64_t sent = atomic_load(&s->marks->sent);
    while (sent < sent_floor && !atomic_compare_exchange_weak(&s->marks->sent, &sent, sent_floor)) {
    }
    lock(&s->marks->lock);
    replay_floor(&s->marks->window, seen_floor);
    unlock(&s->marks->lock);
}
