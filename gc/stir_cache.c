/* Certificates by URL. */
#include "gc/stir_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/crypto.h"
#include "base/hlist.h"
#include "base/mem.h"

enum { HEADS = 1024, WAITERS_MAX = 4096, WAITERS_FIRST = 8 };

enum entry_state { ENTRY_COMING, ENTRY_GOOD, ENTRY_BAD };

struct stir_entry {
    struct hlink by_url;
    atomic_uint refs; /* one of the table's while it is in it */
    /* What follows changes under the lock, and not any more once it is GOOD or BAD. */
    enum entry_state state;
    bool is_outdated; /* COMING: what it brings is not to be kept */
    bool is_over;     /* COMING, and it has come */
    uint64_t until_ms, used_ms;
    struct stir_cert *cert;
    enum stir_fetch_result result;
    const char *why;
    struct stir_waiter *waiters;
    size_t n_waiters, room;
    char url[STIR_URL_MAX];
};

struct stir_cache {
    struct stir_cache_cfg cfg;
    pthread_mutex_t lock;
    uint8_t key[16];
    size_t n;
    struct hlink *heads[HEADS];
};

/* ---- entries -----------------------------------------------------------------------------------
 */
void stir_entry_free(struct stir_entry *e)
{
    if (e != NULL && atomic_fetch_sub(&e->refs, 1) == 1) {
        stir_cert_free(e->cert);
        mem_free(e->waiters);
        mem_free(e);
    }
}

const struct stir_cert *stir_entry_cert(const struct stir_entry *e)
{
    return e->cert;
}

enum stir_fetch_result stir_entry_result(const struct stir_entry *e)
{
    return e->result;
}

const char *stir_entry_why(const struct stir_entry *e)
{
    return e->why != NULL ? e->why : stir_fetch_names[e->result];
}

static void add_waiter(struct stir_entry *e, const struct stir_waiter *waiter)
{
    size_t room = e->room == 0 ? WAITERS_FIRST : e->room * 2;
    struct stir_waiter *more = NULL;

    if (e->n_waiters == e->room && room <= WAITERS_MAX) {
        more = mem_resize(e->waiters, room * sizeof *more);
        if (more != NULL) {
            e->waiters = more;
            e->room = room;
        }
    }
    if (e->n_waiters < e->room) { /* else it waits until its time is over */
        e->waiters[e->n_waiters++] = *waiter;
    }
}

/* ---- the table: under the lock -----------------------------------------------------------------
 */
static struct hlink **head_of(struct stir_cache *c, struct view url)
{
    return &c->heads[siphash64(c->key, url) % HEADS];
}

static struct stir_entry *look_up(struct stir_cache *c, struct view url)
{
    for (struct hlink *p = *head_of(c, url); p != NULL; p = p->next) {
        struct stir_entry *e = HLIST_OF(p, struct stir_entry, by_url);
        if (view_eq(view_of(e->url), url)) {
            return e;
        }
    }
    return NULL;
}

static void take_out(struct stir_cache *c, struct stir_entry *e)
{
    hlist_drop(&e->by_url);
    c->n--;
    stir_entry_free(e);
}

/* Bad ones first: whoever makes up URLs must not drive out the good. */
static bool goes_before(const struct stir_entry *a, const struct stir_entry *b)
{
    return a->state != b->state ? a->state == ENTRY_BAD : a->used_ms < b->used_ms;
}

/* Whoever waits for an entry must find it again: such ones stay. */
static void make_room(struct stir_cache *c)
{
    struct stir_entry *oldest = NULL;

    for (unsigned i = 0; c->n >= c->cfg.entries && i < HEADS; i++) {
        for (struct hlink *p = c->heads[i]; p != NULL; p = p->next) {
            struct stir_entry *e = HLIST_OF(p, struct stir_entry, by_url);
            if (e->state != ENTRY_COMING && (oldest == NULL || goes_before(e, oldest))) {
                oldest = e;
            }
        }
    }
    if (oldest != NULL) {
        take_out(c, oldest);
    }
}

static struct stir_entry *put_in(struct stir_cache *c, struct view url)
{
    struct stir_entry *e = NULL;

    make_room(c);
    if (c->n >= c->cfg.entries) {
        return NULL;
    }
    e = mem_zalloc(sizeof *e);
    if (e == NULL || view_to_cstr(url, e->url, sizeof e->url) != E_OK) {
        mem_free(e);
        return NULL;
    }
    atomic_init(&e->refs, 1);
    e->state = ENTRY_COMING;
    hlist_push(head_of(c, url), &e->by_url);
    c->n++;
    return e;
}

static enum stir_found find(struct stir_cache *c, struct view url, uint64_t now_ms,
                            struct stir_entry **out)
{
    struct stir_entry *e = look_up(c, url);

    if (e != NULL && e->state != ENTRY_COMING && now_ms >= e->until_ms) {
        take_out(c, e);
        e = NULL;
    }
    if (e == NULL) {
        e = put_in(c, url);
        if (e == NULL) {
            return STIR_FOUND_NOTHING;
        }
        if (!c->cfg.ask(c->cfg.arg, e->url)) {
            take_out(c, e);
            return STIR_FOUND_NOTHING;
        }
    }
    e->used_ms = now_ms;
    (void)atomic_fetch_add(&e->refs, 1);
    *out = e;
    return e->state == ENTRY_COMING ? STIR_FOUND_COMING
           : e->state == ENTRY_GOOD ? STIR_FOUND_GOOD
                                    : STIR_FOUND_BAD;
}

/* ---- the door ----------------------------------------------------------------------------------
 */
enum err stir_cache_new(const struct stir_cache_cfg *cfg, struct stir_cache **out)
{
    struct stir_cache *c = mem_zalloc(sizeof *c);
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    c->cfg = *cfg;
    TRY(crypto_random(c->key, sizeof c->key));
    BUG_ON(pthread_mutex_init(&c->lock, NULL) != 0);
    *out = c;
    c = NULL; /* moved */
out:
    mem_free(c);
    return e;
}

void stir_cache_free(struct stir_cache *c)
{
    for (unsigned i = 0; c != NULL && i < HEADS; i++) {
        while (c->heads[i] != NULL) {
            take_out(c, HLIST_OF(c->heads[i], struct stir_entry, by_url));
        }
    }
    if (c != NULL) {
        pthread_mutex_destroy(&c->lock);
        mem_free(c);
    }
}

enum stir_found stir_cache_find(struct stir_cache *c, struct view url, uint64_t now_ms,
                                struct stir_entry **out)
{
    enum stir_found found = STIR_FOUND_NOTHING;

    BUG_ON(pthread_mutex_lock(&c->lock) != 0);
    found = find(c, url, now_ms, out);
    BUG_ON(pthread_mutex_unlock(&c->lock) != 0);
    return found;
}

void stir_cache_wait(struct stir_cache *c, struct stir_entry *e, const struct stir_waiter *waiter)
{
    bool is_coming = false;

    BUG_ON(pthread_mutex_lock(&c->lock) != 0);
    is_coming = e->state == ENTRY_COMING && !e->is_over;
    if (is_coming) {
        add_waiter(e, waiter);
    }
    BUG_ON(pthread_mutex_unlock(&c->lock) != 0);
    if (!is_coming) {
        c->cfg.wake(c->cfg.arg, waiter);
    }
    stir_entry_free(e);
}

static void settle(struct stir_entry *e, enum stir_fetch_result result, struct stir_cert *cert,
                   const char *why, uint64_t until_ms)
{
    e->state = cert != NULL ? ENTRY_GOOD : ENTRY_BAD;
    e->result = result;
    e->cert = cert;
    e->why = why;
    e->until_ms = until_ms;
}

void stir_cache_done(struct stir_cache *c, const char *url, enum stir_fetch_result result,
                     struct stir_cert *cert, const char *why, uint64_t life_ms, uint64_t now_ms)
{
    struct stir_waiter *waiters = NULL;
    size_t n = 0;
    struct stir_entry *e = NULL;

    BUG_ON(pthread_mutex_lock(&c->lock) != 0);
    e = look_up(c, view_of(url));
    if (e != NULL && e->state == ENTRY_COMING) {
        waiters = e->waiters;
        n = e->n_waiters;
        e->waiters = NULL;
        e->n_waiters = e->room = 0;
        e->is_over = true;
        if (e->is_outdated) { /* by what rules was it fetched? */
            take_out(c, e);
        } else {
            settle(e, result, cert, why, now_ms + (cert != NULL ? life_ms : STIR_BAD_MS));
            cert = NULL; /* moved */
        }
    }
    BUG_ON(pthread_mutex_unlock(&c->lock) != 0);
    stir_cert_free(cert);
    for (size_t i = 0; i < n; i++) {
        c->cfg.wake(c->cfg.arg, &waiters[i]);
    }
    mem_free(waiters);
}

void stir_cache_clear(struct stir_cache *c)
{
    BUG_ON(pthread_mutex_lock(&c->lock) != 0);
    for (unsigned i = 0; i < HEADS; i++) {
        struct hlink *next = NULL;
        for (struct hlink *p = c->heads[i]; p != NULL; p = next) {
            struct stir_entry *e = HLIST_OF(p, struct stir_entry, by_url);
            next = p->next;
            e->is_outdated = e->state == ENTRY_COMING;
            if (e->state != ENTRY_COMING) {
                take_out(c, e);
            }
        }
    }
    BUG_ON(pthread_mutex_unlock(&c->lock) != 0);
}

size_t stir_cache_size(struct stir_cache *c)
{
    size_t n = 0;

    BUG_ON(pthread_mutex_lock(&c->lock) != 0);
    n = c->n;
    BUG_ON(pthread_mutex_unlock(&c->lock) != 0);
    return n;
}
