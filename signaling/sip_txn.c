/* The transaction layer: tables, identities, timers, reaping. */
#include "signaling/sip_txn.h"

#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "signaling/sip_txn_int.h"

enum {
    FIRST_BUCKETS = 64,
    T1_MS = 500,
    T2_MS = 4000,
    T4_MS = 5000,
    TIMER_C_MS = 185000,
    RESTING_MS = 24 * 3600 * 1000 /* a state without deadline keeps its timer running */
};

/* ---- tables ------------------------------------------------------------------------------------
 */
enum err txn_table_init(struct txn_table *t)
{
    t->bucket = mem_zalloc_array(FIRST_BUCKETS, sizeof(struct txn_link *));
    t->buckets = FIRST_BUCKETS;
    t->n = 0;
    return t->bucket != NULL ? E_OK : FAIL(E_NOMEM);
}

void txn_table_fini(struct txn_table *t)
{
    mem_free(t->bucket);
    t->bucket = NULL;
}

static void chain(struct txn_link **head, struct txn_link *link)
{
    link->next = *head;
    link->at = head;
    if (*head != NULL) {
        (*head)->at = &link->next;
    }
    *head = link;
}

/* Without memory the chains grow longer instead: slower, never wrong. */
static void grow(struct txn_table *t)
{
    size_t buckets = t->buckets * 2;
    struct txn_link **fresh = mem_zalloc_array(buckets, sizeof(struct txn_link *));

    if (fresh == NULL) {
        return;
    }
    for (size_t i = 0; i < t->buckets; i++) {
        for (struct txn_link *link = t->bucket[i], *next = NULL; link != NULL; link = next) {
            next = link->next;
            chain(&fresh[link->hash & (buckets - 1)], link);
        }
    }
    mem_free(t->bucket);
    t->bucket = fresh;
    t->buckets = buckets;
}

void txn_table_put(struct txn_table *t, struct txn_link *link, uint64_t hash)
{
    if (t->n >= t->buckets) {
        grow(t);
    }
    link->hash = hash;
    chain(&t->bucket[hash & (t->buckets - 1)], link);
    t->n++;
}

void txn_table_drop(struct txn_table *t, struct txn_link *link)
{
    if (link->at == NULL) {
        return;
    }
    *link->at = link->next;
    if (link->next != NULL) {
        link->next->at = link->at;
    }
    link->next = NULL;
    link->at = NULL;
    t->n--;
}

struct txn_link *txn_table_first(const struct txn_table *t, uint64_t hash)
{
    return t->bucket[hash & (t->buckets - 1)];
}

/* ---- identities --------------------------------------------------------------------------------
 */
/* The framer bounds every field that gets here; LF ends each one and occurs in none. */
void txn_key_add(struct txn_key *k, struct view field, bool lower_case)
{
    BUG_ON(k->n + field.n + 1 > sizeof k->b);
    for (size_t i = 0; i < field.n; i++) {
        char c = field.p[i];
        k->b[k->n++] = lower_case && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    k->b[k->n++] = '\n';
}

void txn_key_add_hash(const struct sip_txn_layer *l, struct txn_key *k, struct view field)
{
    uint64_t h[2] = {siphash64(l->key_a, field), siphash64(l->key_b, field)};

    BUG_ON(k->n + sizeof h > sizeof k->b);
    memcpy(k->b + k->n, h, sizeof h);
    k->n += sizeof h;
}

struct txn_id txn_key_id(const struct sip_txn_layer *l, const struct txn_key *k)
{
    struct view v = view_from(k->b, k->n);

    return (struct txn_id){siphash64(l->key_a, v), siphash64(l->key_b, v)};
}

static struct txn *of_link(struct txn_link *link)
{
    return (struct txn *)(void *)((char *)link - offsetof(struct txn, by_id));
}

struct txn *txn_find(const struct txn_table *t, const struct txn_id *id)
{
    struct txn_link *link = txn_table_first(t, id->a);

    while (link != NULL && !(link->hash == id->a && of_link(link)->id_b == id->b)) {
        link = link->next;
    }
    return link != NULL ? of_link(link) : NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
uint64_t txn_now(const struct txn *t)
{
    return loop_now_ms(t->layer->loop);
}

enum err txn_send(const struct txn *t, struct view octets)
{
    return t->layer->ops.send(t->layer->arg, &t->flow, octets);
}

static uint64_t nearer(const struct txn *t)
{
    if (t->again_ms == 0 || t->end_ms == 0) {
        return t->again_ms + t->end_ms;
    }
    return t->again_ms < t->end_ms ? t->again_ms : t->end_ms;
}

static void on_timer(void *arg);

static enum err start_timer(struct txn *t)
{
    uint64_t due = nearer(t), now = txn_now(t);
    uint64_t after = due == 0 ? RESTING_MS : due > now ? due - now : 0;

    return loop_timer_start(t->layer->loop, &t->timer, after, on_timer, t);
}

void txn_arm(struct txn *t)
{
    if (!t->is_dead) {
        BUG_ON(start_timer(t) != E_OK); /* its place in the heap is kept: see the header */
    }
}

enum err txn_begin(struct txn *t, struct txn_table *table, const struct txn_id *id)
{
    enum err e = start_timer(t);

    if (e == E_OK) {
        t->id_b = id->b;
        txn_table_put(table, &t->by_id, id->a);
    }
    return e;
}

/* Whoever goes on must be armed again before any callback: another timer could take its place. */
static void on_timer(void *arg)
{
    struct txn *t = arg;
    struct sip_txn_layer *l = t->layer;
    uint64_t now = txn_now(t);
    bool is_end = t->end_ms != 0 && now >= t->end_ms;
    bool is_again = !is_end && t->again_ms != 0 && now >= t->again_ms;

    if (!is_end && !is_again) {
        txn_arm(t);
        return;
    }
    l->depth++;
    if (is_end && t->is_server) {
        stxn_on_end((struct sip_stxn *)t);
    } else if (is_end) {
        ctxn_on_end((struct sip_ctxn *)t);
    } else if (t->is_server) {
        stxn_on_again((struct sip_stxn *)t);
    } else {
        ctxn_on_again((struct sip_ctxn *)t);
    }
    l->depth--;
}

static void dispose(struct txn *t)
{
    const struct sip_txn_layer *l = t->layer;
    void (*gone)(void *, void *) = t->is_server ? l->ops.stxn_gone : l->ops.ctxn_gone;

    if (gone != NULL) {
        gone(l->arg, t->user);
    }
    if (t->is_server) {
        stxn_free((struct sip_stxn *)t);
    } else {
        ctxn_free((struct sip_ctxn *)t);
    }
}

static void reap(void *arg)
{
    struct sip_txn_layer *l = arg;

    l->depth++;
    while (l->dead != NULL) {
        struct txn *t = l->dead;
        l->dead = t->next_dead;
        dispose(t);
    }
    l->depth--;
}

void txn_bury(struct txn *t)
{
    struct sip_txn_layer *l = t->layer;

    if (t->is_dead) {
        return;
    }
    t->is_dead = true;
    loop_timer_stop(l->loop, &t->timer);
    txn_table_drop(t->is_server ? &l->server : &l->client, &t->by_id);
    if (!t->is_server) {
        ctxn_unlink((struct sip_ctxn *)t);
    }
    t->next_dead = l->dead;
    l->dead = t;
}

/* ---- the layer ---------------------------------------------------------------------------------
 */
static uint64_t or_default(uint32_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

enum err sip_txn_layer_new(struct loop *l, const struct sip_txn_cfg *cfg,
                           const struct sip_txn_ops *ops, void *arg, struct sip_txn_layer **out)
{
    struct sip_txn_layer *layer = mem_zalloc(sizeof *layer);
    enum err e = layer != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    layer->loop = l;
    layer->ops = *ops;
    layer->arg = arg;
    layer->t1_ms = or_default(cfg->t1_ms, T1_MS);
    layer->t2_ms = or_default(cfg->t2_ms, T2_MS);
    layer->t4_ms = or_default(cfg->t4_ms, T4_MS);
    layer->timer_c_ms = or_default(cfg->timer_c_ms, TIMER_C_MS);
    layer->max_transactions = cfg->max_transactions;
    TRY(crypto_random(layer->key_a, sizeof layer->key_a));
    TRY(crypto_random(layer->key_b, sizeof layer->key_b));
    TRY(txn_table_init(&layer->server));
    TRY(txn_table_init(&layer->client));
    TRY(txn_table_init(&layer->by_conn));
    loop_hook_add(l, &layer->reaper, reap, layer);
    *out = layer;
    layer = NULL; /* moved */
out:
    if (layer != NULL) {
        txn_table_fini(&layer->server);
        txn_table_fini(&layer->client);
        txn_table_fini(&layer->by_conn);
        mem_free(layer);
    }
    return e;
}

static void bury_all(struct txn_table *table)
{
    for (size_t i = 0; i < table->buckets; i++) {
        while (table->bucket[i] != NULL) {
            txn_bury(of_link(table->bucket[i]));
        }
    }
}

void sip_txn_layer_free(struct sip_txn_layer *l)
{
    if (l == NULL) {
        return;
    }
    BUG_ON(l->depth != 0); /* from inside one of its own callbacks */
    while (l->server.n > 0 || l->client.n > 0 || l->dead != NULL) {
        bury_all(&l->server);
        bury_all(&l->client);
        reap(l);
    }
    loop_hook_remove(l->loop, &l->reaper);
    txn_table_fini(&l->server);
    txn_table_fini(&l->client);
    txn_table_fini(&l->by_conn);
    wipe(l->key_a, sizeof l->key_a);
    wipe(l->key_b, sizeof l->key_b);
    mem_free(l);
}

size_t sip_txn_count(const struct sip_txn_layer *l)
{
    return l->server.n + l->client.n;
}

uint64_t sip_fingerprint(const struct sip_txn_layer *l, struct view raw)
{
    return siphash64(l->key_a, raw);
}

enum err sip_branch(char out[SIP_BRANCH_MAX])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32: five bits each */
    static const char cookie[] = "z9hG4bK";
    uint8_t random[20];
    enum err e = crypto_random(random, sizeof random);

    if (e == E_OK) {
        memcpy(out, cookie, sizeof cookie - 1);
        for (size_t i = 0; i < sizeof random; i++) {
            out[sizeof cookie - 1 + i] = letters[random[i] & 31];
        }
        out[sizeof cookie - 1 + sizeof random] = 0;
    }
    return e;
}
