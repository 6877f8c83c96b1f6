/* Registrations between gate controllers: ours are mirrored, others' are taken into the location
 * table with the address of the node that holds the BTI. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_keeper.h"
#include "signaling/sip_flow.h"

#define FAR_FUTURE_US (7ull * 24 * 3600 * 1000000)

/* W */
void keeper_binding(struct keeper *k, const struct binding *b, bool removed)
{
    pthread_mutex_lock(&k->queue_lock);
    if (k->n_queue < BINDINGS_QUEUE) {
        k->queue[k->n_queue++] = (struct queued_binding){*b, removed};
    } else {
        k->queue_overflow = true;
    }
    pthread_mutex_unlock(&k->queue_lock);
    loop_wake_send(k->wake);
}

/* ---- ours --------------------------------------------------------------------------------------
 */
/* "<line>:<16 hex of the contact's hash>", the key without its prefix. */
static enum err place_of(uint64_t line_id, const char *contact, char dst[64])
{
    uint8_t digest[SHA256_BYTES];
    char hex[17];
    enum err e = sha256(view_of(contact), digest);

    if (e == E_OK) {
        hex_put(digest, 8, hex);
        snprintf(dst, 64, "%" PRIu64 ":%s", line_id, hex);
    }
    return e;
}

static void mirror(struct keeper *k, const struct binding *b, bool removed)
{
    struct mirror_binding m = {.sip_address = k->s->cfg.sip_address, .removed = removed, .b = *b};
    uint8_t plain[MIRROR_TEXT_MAX], sealed[MIRROR_TEXT_MAX + MIRROR_SEAL_EXTRA];
    char place[64], key[sizeof REG_PREFIX + 64], seconds[24];
    uint64_t now = loop_wall_us(k->s->l);
    size_t plain_n = 0, n = 0;
    int text_n = 0;

    if (!redis_is_up(k->redis) || (!removed && b->expires_us <= now) ||
        place_of(b->line_id, b->contact, place) != E_OK) {
        return;
    }
    snprintf(m.node, sizeof m.node, "%s", k->s->cfg.node);
    snprintf(key, sizeof key, REG_PREFIX "%s", place);
    plain_n = mirror_binding_write(&m, plain);
    if (mirror_seal(k->mirror, VIEW("reg"), view_of(place), view_from(plain, plain_n), sealed,
                    sizeof sealed, &n) != E_OK) {
        return;
    }
    if (removed) {
        keeper_send(k, (const struct view[]){VIEW("DEL"), view_of(key)}, 2);
    } else {
        text_n = snprintf(seconds, sizeof seconds, "%" PRIu64, (b->expires_us - now) / 1000000 + 1);
        const struct view set[] = {VIEW("SET"), view_of(key), view_from(sealed, n), VIEW("EX"),
                                   view_from(seconds, (size_t)text_n)};
        keeper_send(k, set, sizeof set / sizeof set[0]);
    }
    if (mirror_seal(k->mirror, VIEW("reg"), VIEW("news"), view_from(plain, plain_n), sealed,
                    sizeof sealed, &n) == E_OK) {
        keeper_send(
            k, (const struct view[]){VIEW("PUBLISH"), VIEW(REG_CHANNEL), view_from(sealed, n)}, 3);
    }
}

void bindings_on_wake(void *arg)
{
    struct keeper *k = arg;
    struct queued_binding *q = NULL;
    size_t n = 0;
    bool overflow = false;

    pthread_mutex_lock(&k->queue_lock);
    q = k->queue;
    n = k->n_queue;
    overflow = k->queue_overflow;
    k->queue = k->taken;
    k->taken = q;
    k->n_queue = 0;
    k->queue_overflow = false;
    pthread_mutex_unlock(&k->queue_lock);
    for (size_t i = 0; i < n; i++) {
        mirror(k, &q[i].b, q[i].removed);
    }
    if (overflow) {
        keeper_resync(k);
    }
}

struct part {
    const struct keeper *k;
    size_t part, parts, n, max;
    struct binding *v;
};

static void gather(void *arg, const struct binding *b)
{
    struct part *p = arg;
    uint64_t hash = siphash64(p->k->hash_key, view_from(&b->line_id, sizeof b->line_id));

    if (b->via_node.family == 0 && hash % p->parts == p->part && p->n < p->max) {
        p->v[p->n++] = *b;
    }
}

void bindings_send_part(struct keeper *k, size_t part, size_t parts)
{
    struct part p = {.k = k, .part = part, .parts = parts, .max = 4096};

    p.v = mem_zalloc_array(p.max, sizeof *p.v);
    if (p.v == NULL) {
        LOG(LV_ERROR, "registration.not_mirrored", KV_ERR(E_NOMEM));
        return;
    }
    location_each(k->s->cfg.location, gather, &p);
    for (size_t i = 0; i < p.n; i++) {
        mirror(k, &p.v[i], false);
    }
    mem_free(p.v);
}

/* ---- theirs ------------------------------------------------------------------------------------
 */
static bool is_ours(struct keeper *k, const struct binding *b)
{
    struct binding have[LOCATION_MAX_CONTACTS];
    size_t n = location_find(k->s->cfg.location, b->line_id, loop_now_ms(k->s->l), have,
                             LOCATION_MAX_CONTACTS);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(have[i].contact, b->contact) == 0) {
            return have[i].via_node.family == 0;
        }
    }
    return false;
}

static bool may_register(struct keeper *k, const struct binding *b)
{
    const struct line *l = snapshot_line(k->s->current->snap, b->line_id);

    return changes_bti_allowed(k->s->changes, b->bti_id) && (l == NULL || !l->barred);
}

/* What we ourselves wrote before we were started again: the way back over UDP needs no connection.
 * Only of the first reading: later ones could bring back what has just been removed. */
static bool is_left_over(struct keeper *k, const struct binding *b)
{
    return !k->has_synced && b->proto == SIP_UDP && b->local.family != 0 && !is_ours(k, b);
}

static void take(struct keeper *k, struct mirror_binding *m, bool is_news)
{
    struct binding *b = &m->b;
    uint64_t now = loop_wall_us(k->s->l);
    enum err e = E_OK;

    if (strcmp(m->node, k->s->cfg.node) == 0) {
        if (is_news || !is_left_over(k, b)) {
            return;
        }
        b->via_node.family = 0;
    }
    if (m->removed) {
        if (is_news && !is_ours(k, b)) {
            IGNORE(location_remove(k->s->cfg.location, b->line_id, view_of(b->contact)),
                   "it may have expired");
        }
        return;
    }
    if (b->expires_us <= now || b->expires_us - now > FAR_FUTURE_US || !may_register(k, b)) {
        return;
    }
    if (!is_news && is_ours(k, b)) {
        return; /* a stored one may be older than the BTI's move to us */
    }
    b->expires_ms = loop_now_ms(k->s->l) + (b->expires_us - now) / 1000;
    e = location_put(k->s->cfg.location, b);
    if (e != E_OK && e != E_STATE) {
        LOG(LV_WARN, "registration.not_taken", KV("line", b->line_id), KV_ERR(e));
    }
}

static bool open_one(struct keeper *k, struct view place, struct view sealed,
                     struct mirror_binding *out)
{
    uint8_t plain[MIRROR_TEXT_MAX];
    size_t n = 0;
    enum err e = mirror_open(k->mirror, VIEW("reg"), place, sealed, plain, sizeof plain, &n);

    if (e == E_OK) {
        e = mirror_binding_read(view_from(plain, n), out);
    }
    if (e != E_OK) {
        store_count(k->s, SM_REJECTED, 1);
        LOG(LV_WARN, "registration.refused", KV("why", "not of this cluster"), KV_ERR(e));
    }
    return e == E_OK;
}

void bindings_published(struct keeper *k, struct view payload)
{
    struct mirror_binding m;

    if (open_one(k, VIEW("news"), payload, &m)) {
        take(k, &m, true);
    }
}

void bindings_found(struct keeper *k, struct view key, struct view value)
{
    struct mirror_binding m;
    struct view place = view_sub(key, sizeof REG_PREFIX - 1, key.n);

    if (place.n > 0 && place.n < 64 && open_one(k, place, value, &m)) {
        take(k, &m, false);
    }
}
