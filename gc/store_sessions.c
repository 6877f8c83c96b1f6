/* Sessions as they came through Redis, still sealed: what is written back when Redis lost them,
 * what is listed, and which replay marks are told. The keys themselves are in authz/sessions.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_keeper.h"

/* A fail-over may be a second behind: no number that the other node may have used is used again. */
#define SENT_MARGIN 65536

void kept_key(const char *prefix, const uint8_t kid[BTI_KID_BYTES], char dst[64])
{
    char hex[2 * BTI_KID_BYTES + 1];

    hex_put(kid, BTI_KID_BYTES, hex);
    snprintf(dst, 64, "%s%s", prefix, hex);
}

void kept_init(struct keeper *k)
{
    BUG_ON(pthread_mutex_init(&k->lock, NULL) != 0);
}

void kept_fini(struct keeper *k)
{
    for (size_t i = 0; k->bucket != NULL && i < KEPT_BUCKETS; i++) {
        for (struct hlink *next = NULL, *l = k->bucket[i]; l != NULL; l = next) {
            next = l->next;
            mem_free(HLIST_OF(l, struct kept, in));
        }
    }
    mem_free(k->bucket);
    pthread_mutex_destroy(&k->lock);
}

static struct hlink **bucket_of(const struct keeper *k, const uint8_t kid[BTI_KID_BYTES])
{
    return &k->bucket[siphash64(k->hash_key, view_from(kid, BTI_KID_BYTES)) % KEPT_BUCKETS];
}

struct kept *kept_find(const struct keeper *k, const uint8_t kid[BTI_KID_BYTES])
{
    for (struct hlink *l = *bucket_of(k, kid); l != NULL; l = l->next) {
        struct kept *x = HLIST_OF(l, struct kept, in);
        if (memcmp(x->kid, kid, BTI_KID_BYTES) == 0) {
            return x;
        }
    }
    return NULL;
}

static void drop(struct keeper *k, struct kept *x)
{
    pthread_mutex_lock(&k->lock);
    hlist_drop(&x->in);
    k->n_kept--;
    pthread_mutex_unlock(&k->lock);
    mem_free(x);
}

static void keep(struct keeper *k, const struct session_record *r, struct view blob)
{
    struct kept *old = kept_find(k, r->kid);
    struct kept *x = mem_zalloc(sizeof *x + blob.n);

    if (old != NULL) {
        drop(k, old);
    }
    if (x == NULL) { /* it works all the same; only Redis will not get it back from us */
        LOG(LV_ERROR, "session.not_kept", KV_ERR(E_NOMEM));
        return;
    }
    x->line_id = r->line_id;
    x->expires_us = r->expires_us;
    x->scan = k->scan;
    x->blob_n = (uint16_t)blob.n;
    memcpy(x->kid, r->kid, sizeof x->kid);
    memcpy(x->bti_id, r->bti_id, sizeof x->bti_id);
    memcpy(x->blob, blob.p, blob.n);
    pthread_mutex_lock(&k->lock);
    hlist_push(bucket_of(k, r->kid), &x->in);
    k->n_kept++;
    pthread_mutex_unlock(&k->lock);
}

/* ---- replay marks ------------------------------------------------------------------------------
 */
static bool marks_read(struct keeper *k, const uint8_t kid[BTI_KID_BYTES], struct view sealed,
                       struct mirror_marks *out)
{
    uint8_t plain[MIRROR_TEXT_MAX];
    char hex[2 * BTI_KID_BYTES + 1];
    size_t n = 0;

    hex_put(kid, BTI_KID_BYTES, hex);
    return sealed.n > 0 &&
           mirror_open(k->mirror, VIEW("mark"), view_of(hex), sealed, plain, sizeof plain, &n) ==
               E_OK &&
           mirror_marks_read(view_from(plain, n), out) == E_OK &&
           memcmp(out->kid, kid, BTI_KID_BYTES) == 0;
}

/* What another node, or our own earlier life, used up. */
static void marks_take(struct keeper *k, struct kept *x, const struct mirror_marks *m)
{
    struct session *held = NULL;
    uint64_t sent = m->sent < UINT64_MAX - SENT_MARGIN ? m->sent + SENT_MARGIN : UINT64_MAX;

    if (session_hold(k->s->cfg.sessions, x->kid, loop_wall_us(k->s->l), &held) == E_OK) {
        session_restore(held, sent, m->seen);
        session_marks(held, &x->sent, &x->seen); /* not news of ours */
        session_release(held);
    }
}

void kept_marks_published(struct keeper *k, struct view payload)
{
    struct mirror_marks m;
    struct kept *x = NULL;

    if (payload.n <= BTI_KID_BYTES) {
        return;
    }
    x = kept_find(k, (const uint8_t *)payload.p);
    if (x != NULL && marks_read(k, x->kid, view_sub(payload, BTI_KID_BYTES, payload.n), &m) &&
        strcmp(m.node, k->s->cfg.node) != 0) {
        marks_take(k, x, &m);
    }
}

static void marks_tell(struct keeper *k, const struct kept *x)
{
    struct mirror_marks m = {.sent = x->sent, .seen = x->seen};
    uint8_t plain[MIRROR_TEXT_MAX], payload[BTI_KID_BYTES + 256];
    char key[64], seconds[24];
    uint64_t now = loop_wall_us(k->s->l);
    size_t n = 0;
    int text_n = 0;

    snprintf(m.node, sizeof m.node, "%s", k->s->cfg.node);
    memcpy(m.kid, x->kid, sizeof m.kid);
    n = mirror_marks_write(&m, plain);
    kept_key(MARK_PREFIX, x->kid, key);
    memcpy(payload, x->kid, BTI_KID_BYTES);
    if (now >= x->expires_us ||
        mirror_seal(k->mirror, VIEW("mark"), view_of(key + sizeof MARK_PREFIX - 1),
                    view_from(plain, n), payload + BTI_KID_BYTES, sizeof payload - BTI_KID_BYTES,
                    &n) != E_OK) {
        return;
    }
    text_n = snprintf(seconds, sizeof seconds, "%" PRIu64, (x->expires_us - now) / 1000000 + 1);
    const struct view set[] = {VIEW("SET"), view_of(key), view_from(payload + BTI_KID_BYTES, n),
                               VIEW("EX"), view_from(seconds, (size_t)text_n)};
    const struct view tell[] = {VIEW("PUBLISH"), VIEW(MARK_CHANNEL),
                                view_from(payload, BTI_KID_BYTES + n)};
    keeper_send(k, set, sizeof set / sizeof set[0]);
    keeper_send(k, tell, sizeof tell / sizeof tell[0]);
}

static void marks_look(struct keeper *k, struct kept *x)
{
    struct session *held = NULL;
    uint64_t sent = 0, seen = 0;

    if (session_hold(k->s->cfg.sessions, x->kid, loop_wall_us(k->s->l), &held) != E_OK) {
        drop(k, x); /* expired or dropped */
        return;
    }
    session_marks(held, &sent, &seen);
    session_release(held);
    if (sent != x->sent || seen != x->seen) {
        x->sent = sent;
        x->seen = seen;
        if (redis_is_up(k->redis)) {
            marks_tell(k, x);
        }
    }
}

void kept_marks_slice(struct keeper *k, size_t buckets)
{
    for (size_t i = 0; i < buckets; i++) {
        size_t at = k->mark_bucket++ % KEPT_BUCKETS;
        for (struct hlink *next = NULL, *l = k->bucket[at]; l != NULL; l = next) {
            next = l->next;
            marks_look(k, HLIST_OF(l, struct kept, in));
        }
    }
}

/* ---- coming ------------------------------------------------------------------------------------
 */
static void refuse(struct keeper *k, const uint8_t kid[BTI_KID_BYTES], enum err e, const char *why)
{
    char hex[2 * BTI_KID_BYTES + 1];

    hex_put(kid, BTI_KID_BYTES, hex);
    store_count(k->s, SM_REJECTED, 1);
    LOG(e == E_FULL ? LV_ERROR : LV_WARN, "session.refused", KV("kid", (const char *)hex),
        KV("why", why), KV_ERR(e));
}

static void forget_in_redis(struct keeper *k, const uint8_t kid[BTI_KID_BYTES])
{
    char session[64], mark[64];

    kept_key(SESSION_REDIS_PREFIX, kid, session);
    kept_key(MARK_PREFIX, kid, mark);
    const struct view del[] = {VIEW("DEL"), view_of(session), view_of(mark)};
    keeper_send(k, del, 3);
}

void kept_admit(struct keeper *k, const uint8_t kid[BTI_KID_BYTES], struct view blob,
                struct view marks)
{
    struct session_record r;
    struct mirror_marks m;
    struct kept *x = NULL;
    enum err e = session_blob_open(&k->s->cfg.cluster_key, kid, blob, &r);

    if (e != E_OK) {
        refuse(k, kid, e, "it was not sealed under our cluster key");
        return;
    }
    if (r.expires_us <= loop_wall_us(k->s->l)) {
        refuse(k, kid, E_TIMEOUT, "it has expired");
    } else if (!changes_bti_allowed(k->s->changes, r.bti_id)) {
        refuse(k, kid, E_DENIED, "its BTI is revoked");
        forget_in_redis(k, kid);
    } else {
        e = sessions_put(k->s->cfg.sessions, &r);
        if (e == E_OK) {
            keep(k, &r, blob);
        } else {
            refuse(k, kid, e, "the table");
        }
    }
    session_record_wipe(&r);
    x = marks.n > 0 ? kept_find(k, kid) : NULL;
    if (x != NULL && marks_read(k, kid, marks, &m)) {
        marks_take(k, x, &m);
    }
}

/* Marks of one that we hold may have come while we could not hear. */
void kept_found(struct keeper *k, const uint8_t kid[BTI_KID_BYTES], struct view blob,
                struct view marks)
{
    struct kept *x = kept_find(k, kid);
    struct mirror_marks m;

    if (blob.n == 0) {
        return;
    }
    if (x == NULL) {
        kept_admit(k, kid, blob, marks);
        return;
    }
    x->scan = k->scan;
    if (marks_read(k, kid, marks, &m) && strcmp(m.node, k->s->cfg.node) != 0) {
        marks_take(k, x, &m);
    }
}

void kept_published(struct keeper *k, struct view payload)
{
    uint8_t kid[BTI_KID_BYTES];

    if (payload.n > BTI_KID_BYTES && payload.n <= BTI_KID_BYTES + SESSION_BLOB_MAX) {
        memcpy(kid, payload.p, sizeof kid);
        kept_admit(k, kid, view_sub(payload, BTI_KID_BYTES, payload.n), VIEW(""));
    }
}

/* ---- going -------------------------------------------------------------------------------------
 */
static void on_dropped(void *arg, const uint8_t kid[BTI_KID_BYTES])
{
    struct keeper *k = arg;
    struct kept *x = kept_find(k, kid);

    if (x != NULL) {
        drop(k, x);
    }
    forget_in_redis(k, kid);
    store_count(k->s, SM_REVOKED, 1);
    if (k->s->cfg.on_revoked != NULL) {
        k->s->cfg.on_revoked(k->s->cfg.arg, kid);
    }
}

void kept_drop_bti(struct keeper *k, const uint8_t bti_id[BTI_ID_BYTES])
{
    char hex[2 * BTI_ID_BYTES + 1];
    size_t n = sessions_drop_bti(k->s->cfg.sessions, bti_id, on_dropped, k);

    if (n > 0) {
        hex_put(bti_id, BTI_ID_BYTES, hex);
        LOG(LV_INFO, "session.revoked", KV("bti", (const char *)hex), KV("sessions", n));
    }
}

/* ---- writing back ------------------------------------------------------------------------------
 */
static void write_back(struct keeper *k, const struct kept *x)
{
    char key[64], seconds[24];
    uint64_t now = loop_wall_us(k->s->l);
    int n = snprintf(seconds, sizeof seconds, "%" PRIu64,
                     x->expires_us > now ? (x->expires_us - now) / 1000000 + 1 : 0);

    if (x->expires_us <= now) {
        return;
    }
    kept_key(SESSION_REDIS_PREFIX, x->kid, key);
    const struct view set[] = {VIEW("SET"),
                               view_of(key),
                               view_from(x->blob, x->blob_n),
                               VIEW("EX"),
                               view_from(seconds, (size_t)n),
                               VIEW("NX")};
    keeper_send(k, set, sizeof set / sizeof set[0]);
    if (x->sent != 0 || x->seen != 0) {
        marks_tell(k, x);
    }
}

bool kept_send_missing(struct keeper *k, size_t *bucket, size_t most)
{
    size_t sent = 0;

    while (*bucket < KEPT_BUCKETS && sent < most) {
        for (struct hlink *l = k->bucket[*bucket]; l != NULL; l = l->next) {
            const struct kept *x = HLIST_OF(l, struct kept, in);
            if (x->scan != k->scan) {
                write_back(k, x);
                sent++;
            }
        }
        (*bucket)++;
    }
    return *bucket < KEPT_BUCKETS;
}

size_t keeper_list(struct keeper *k, struct store_session *out, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < KEPT_BUCKETS && n < max; i++) {
        for (struct hlink *l = k->bucket[i]; l != NULL && n < max; l = l->next) {
            const struct kept *x = HLIST_OF(l, struct kept, in);
            out[n] = (struct store_session){.line_id = x->line_id, .expires_us = x->expires_us};
            memcpy(out[n].kid, x->kid, sizeof out[n].kid);
            memcpy(out[n].bti_id, x->bti_id, sizeof out[n].bti_id);
            n++;
        }
    }
    pthread_mutex_unlock(&k->lock);
    return n;
}
