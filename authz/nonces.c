#include "authz/nonces.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum { SHARDS = 64, WAYS = 8, TIME_BYTES = 6, RANDOM_BYTES = 14, MAC_BYTES = 16 };
#define NONCE_BYTES (TIME_BYTES + RANDOM_BYTES + MAC_BYTES)
#define LABEL       "headgate nonce v1"
#define AHEAD_MS    30000 /* another node's clock may be ahead of ours */

_Static_assert(2 * NONCE_BYTES + 1 == NONCE_TEXT_MAX, "text form");

struct entry { /* issued_ms 0: free */
    uint64_t issued_ms;
    uint64_t seen; /* bit i: top - i was used */
    uint32_t top;
    uint8_t id[RANDOM_BYTES];
};

struct row {
    uint64_t floor_ms; /* what was issued then or before is known only if it is here */
    struct entry e[WAYS];
};

struct nonces {
    struct hmac_key key;
    uint64_t lifetime_ms;
    size_t rows;
    struct row *row;
    pthread_mutex_t lock[SHARDS];
};

/* ---- making and reading ------------------------------------------------------------------------
 */
static enum err key_make(const struct secret *cluster_key, struct hmac_key *out)
{
    struct secret ikm = {0}, prk = {0}, key = {0};
    enum err e = E_OK;

    if (cluster_key != NULL) {
        TRY(secret_set(&ikm, cluster_key->b, cluster_key->n));
    } else {
        TRY(secret_random(&ikm, SHA256_BYTES));
    }
    TRY(hkdf_extract(VIEW(LABEL), view_from(ikm.b, ikm.n), &prk));
    TRY(hkdf_expand(&prk, VIEW("key"), SHA256_BYTES, &key));
    TRY(hmac_key_set(out, &key));
out:
    secret_wipe(&ikm);
    secret_wipe(&prk);
    secret_wipe(&key);
    return e;
}

enum err nonces_new(const struct nonces_cfg *cfg, struct nonces **out)
{
    struct nonces *n = secret_alloc(sizeof *n); /* it holds a key */
    enum err e = n != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    n->lifetime_ms = cfg->lifetime_ms;
    n->rows = cfg->max / WAYS + 1;
    n->row = mem_zalloc_array(n->rows, sizeof *n->row);
    if (n->row == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    for (size_t i = 0; i < n->rows; i++) {
        n->row[i].floor_ms = cfg->started_ms - 1;
    }
    TRY(key_make(cfg->cluster_key, &n->key));
    for (size_t i = 0; i < SHARDS; i++) {
        BUG_ON(pthread_mutex_init(&n->lock[i], NULL) != 0);
    }
    *out = n;
    n = NULL; /* moved */
out:
    if (n != NULL) {
        mem_free(n->row);
        secret_release(n, sizeof *n);
    }
    return e;
}

void nonces_free(struct nonces *n)
{
    if (n == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&n->lock[i]);
    }
    mem_free(n->row);
    secret_release(n, sizeof *n);
}

static enum err mac_of(const struct nonces *n, const uint8_t nonce[NONCE_BYTES],
                       uint8_t out[SHA256_BYTES])
{
    const struct view signed_part = view_from(nonce, TIME_BYTES + RANDOM_BYTES);

    return hmac_parts(&n->key, &signed_part, 1, out);
}

enum err nonce_make(const struct nonces *n, uint64_t now_ms, char out[NONCE_TEXT_MAX])
{
    uint8_t b[NONCE_BYTES], mac[SHA256_BYTES];
    enum err e = E_OK;

    for (int i = 0; i < TIME_BYTES; i++) {
        b[i] = (uint8_t)(now_ms >> (8 * (TIME_BYTES - 1 - i)));
    }
    TRY(crypto_random(b + TIME_BYTES, RANDOM_BYTES));
    TRY(mac_of(n, b, mac));
    memcpy(b + TIME_BYTES + RANDOM_BYTES, mac, MAC_BYTES);
    hex_put(b, sizeof b, out);
out:
    return e;
}

struct read {
    uint64_t issued_ms;
    uint8_t id[RANDOM_BYTES];
    uint8_t mac[MAC_BYTES];
};

static enum err read_nonce(struct view text, uint8_t raw[NONCE_BYTES], struct read *out)
{
    if (text.n != 2 * NONCE_BYTES || hex_get(text, raw, NONCE_BYTES) != E_OK) {
        return FAIL(E_AUTH);
    }
    out->issued_ms = 0;
    for (int i = 0; i < TIME_BYTES; i++) {
        out->issued_ms = out->issued_ms << 8 | raw[i];
    }
    memcpy(out->id, raw + TIME_BYTES, RANDOM_BYTES);
    memcpy(out->mac, raw + TIME_BYTES + RANDOM_BYTES, MAC_BYTES);
    return E_OK;
}

static bool is_dead(const struct nonces *n, uint64_t issued_ms, uint64_t now_ms)
{
    return issued_ms + n->lifetime_ms <= now_ms;
}

enum err nonce_check(const struct nonces *n, struct view nonce, uint64_t now_ms)
{
    uint8_t raw[NONCE_BYTES], mac[SHA256_BYTES];
    struct read r;
    enum err e = read_nonce(nonce, raw, &r);

    TRY(e);
    TRY(mac_of(n, raw, mac));
    if (!bytes_eq(mac, r.mac, MAC_BYTES)) {
        TRY(FAIL(E_AUTH));
    }
    if (r.issued_ms > now_ms + AHEAD_MS || is_dead(n, r.issued_ms, now_ms)) {
        TRY(FAIL(E_REPLAY));
    }
out:
    return e;
}

/* ---- counts ------------------------------------------------------------------------------------
 */
static enum nonce_use count(struct entry *e, uint32_t nc)
{
    uint32_t back = 0;

    if (nc > e->top) {
        uint32_t by = nc - e->top;
        e->seen = (by < NONCE_NC_WINDOW ? e->seen << by : 0) | 1;
        e->top = nc;
        return NONCE_FRESH;
    }
    back = e->top - nc;
    if (back >= NONCE_NC_WINDOW || (e->seen >> back & 1) != 0) {
        return NONCE_SEEN;
    }
    e->seen |= (uint64_t)1 << back;
    return NONCE_FRESH;
}

/* A place for a nonce that is not in its row: a free one, or the oldest's. NULL: what is as old as
 * this may have been here before. */
static struct entry *place(const struct nonces *n, struct row *row, uint64_t issued_ms,
                           uint64_t now_ms)
{
    struct entry *oldest = &row->e[0];

    for (unsigned i = 1; i < WAYS; i++) {
        oldest = row->e[i].issued_ms < oldest->issued_ms ? &row->e[i] : oldest;
    }
    if (issued_ms <= row->floor_ms ||
        (oldest->issued_ms >= issued_ms && !is_dead(n, oldest->issued_ms, now_ms))) {
        return NULL;
    }
    row->floor_ms = oldest->issued_ms > row->floor_ms ? oldest->issued_ms : row->floor_ms;
    return oldest;
}

enum nonce_use nonce_take(struct nonces *n, struct view nonce, uint32_t nc, uint64_t now_ms)
{
    uint8_t raw[NONCE_BYTES];
    struct read r;
    uint64_t hash = 0;
    struct row *row = NULL;
    struct entry *found = NULL;
    enum nonce_use use = NONCE_STALE;
    size_t at = 0;

    if (read_nonce(nonce, raw, &r) != E_OK) {
        return NONCE_STALE;
    }
    memcpy(&hash, r.id, sizeof hash); /* random, and ours: nobody can choose it */
    at = hash % n->rows;
    row = &n->row[at];
    BUG_ON(pthread_mutex_lock(&n->lock[at % SHARDS]) != 0);
    for (unsigned i = 0; i < WAYS && found == NULL; i++) {
        bool same =
            row->e[i].issued_ms == r.issued_ms && memcmp(row->e[i].id, r.id, sizeof r.id) == 0;
        found = same ? &row->e[i] : NULL;
    }
    if (found == NULL && (found = place(n, row, r.issued_ms, now_ms)) != NULL) {
        *found = (struct entry){.issued_ms = r.issued_ms};
        memcpy(found->id, r.id, sizeof r.id);
    }
    if (found != NULL) {
        use = count(found, nc);
    }
    BUG_ON(pthread_mutex_unlock(&n->lock[at % SHARDS]) != 0);
    return use;
}
