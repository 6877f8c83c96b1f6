/* Sealed commands: a key for each, so that no nonce can come twice whoever seals. */
#include "gc/command.h"

#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

#define LABEL      "headgate command v1"
#define VERSION    1
#define SALT_BYTES 16
#define TIME_BYTES 8
#define HEAD_BYTES (1 + SALT_BYTES + COMMAND_ID_BYTES + TIME_BYTES)
#define INFO_MAX   (sizeof LABEL + 2 * (COMMAND_NAME_MAX + 1) + SALT_BYTES)
#define LIFE_US    (COMMAND_LIFE_S * (uint64_t)1000000)
_Static_assert(HEAD_BYTES + GCM_TAG_BYTES == COMMAND_SEAL_EXTRA, "as the header says");

static const uint8_t no_nonce[GCM_NONCE_BYTES]; /* each key seals once */

/* ---- sealing -----------------------------------------------------------------------------------
 */
static size_t add(uint8_t *to, struct view v)
{
    if (v.n > 0) {
        memcpy(to, v.p, v.n);
    }
    return v.n;
}

static bool is_name(struct view v)
{
    size_t at = 0;

    return v.n > 0 && v.n <= COMMAND_NAME_MAX && !view_find(v, 0, &at);
}

static enum err derive(const struct secret *command_key, struct view direction, struct view node,
                       const uint8_t salt[SALT_BYTES], struct secret *out)
{
    struct secret prk = {0};
    uint8_t info[INFO_MAX];
    size_t n = 0;
    enum err e = E_OK;

    if (command_key->n != COMMAND_KEY_BYTES || !is_name(direction) || !is_name(node)) {
        return FAIL(E_RANGE);
    }
    n += add(info + n, view_from(LABEL, sizeof LABEL)); /* with its NUL */
    n += add(info + n, direction);
    info[n++] = 0;
    n += add(info + n, node);
    info[n++] = 0;
    n += add(info + n, view_from(salt, SALT_BYTES));
    TRY(hkdf_extract(VIEW(LABEL), view_from(command_key->b, command_key->n), &prk));
    TRY(hkdf_expand(&prk, view_from(info, n), COMMAND_KEY_BYTES, out));
out:
    secret_wipe(&prk);
    return e;
}

static void put_time(uint8_t *p, uint64_t us)
{
    for (size_t i = 0; i < TIME_BYTES; i++) {
        p[i] = (uint8_t)(us >> (56 - 8 * i));
    }
}

static uint64_t get_time(const uint8_t *p)
{
    uint64_t us = 0;

    for (size_t i = 0; i < TIME_BYTES; i++) {
        us = us << 8 | p[i];
    }
    return us;
}

enum err command_seal(const struct secret *key, struct view direction, struct view node,
                      const struct command_head *head, struct view plain, void *dst,
                      size_t dst_bytes, size_t *out_n)
{
    uint8_t *b = dst;
    struct secret once = {0};
    enum err e = E_OK;

    if (dst_bytes < COMMAND_SEAL_EXTRA || plain.n > dst_bytes - COMMAND_SEAL_EXTRA) {
        return FAIL(E_RANGE);
    }
    b[0] = VERSION;
    TRY(crypto_random(b + 1, SALT_BYTES));
    memcpy(b + 1 + SALT_BYTES, head->id, COMMAND_ID_BYTES);
    put_time(b + 1 + SALT_BYTES + COMMAND_ID_BYTES, head->at_us);
    TRY(derive(key, direction, node, b + 1, &once));
    TRY(gcm_seal(&once, no_nonce, view_from(b, HEAD_BYTES), plain, b + HEAD_BYTES));
    *out_n = plain.n + COMMAND_SEAL_EXTRA;
out:
    secret_wipe(&once);
    return e;
}

enum err command_open(const struct secret *key, struct view direction, struct view node,
                      struct view sealed, struct command_head *head, void *dst, size_t dst_bytes,
                      size_t *out_n)
{
    const uint8_t *b = (const uint8_t *)sealed.p;
    struct secret once = {0};
    enum err e = E_OK;

    if (sealed.n < COMMAND_SEAL_EXTRA || b[0] != VERSION) {
        return FAIL(E_PARSE);
    }
    if (sealed.n - COMMAND_SEAL_EXTRA > dst_bytes) {
        return FAIL(E_RANGE);
    }
    TRY(derive(key, direction, node, b + 1, &once));
    TRY(gcm_open(&once, no_nonce, view_from(b, HEAD_BYTES), view_sub(sealed, HEAD_BYTES, sealed.n),
                 dst));
    memcpy(head->id, b + 1 + SALT_BYTES, COMMAND_ID_BYTES);
    head->at_us = get_time(b + 1 + SALT_BYTES + COMMAND_ID_BYTES);
    *out_n = sealed.n - COMMAND_SEAL_EXTRA;
out:
    secret_wipe(&once);
    return e;
}

/* ---- each once ---------------------------------------------------------------------------------
 */
struct seen {
    uint8_t id[COMMAND_ID_BYTES];
    uint64_t until_us; /* afterwards it is too old by its time; 0: free */
};

struct command_guard {
    uint64_t started_us;
    size_t next; /* the place of whoever came first */
    struct seen seen[COMMAND_SEEN_MAX];
};

enum err command_guard_new(uint64_t started_us, struct command_guard **out)
{
    struct command_guard *g = mem_zalloc(sizeof *g);

    if (g == NULL) {
        return FAIL(E_NOMEM);
    }
    g->started_us = started_us;
    *out = g;
    return E_OK;
}

void command_guard_free(struct command_guard *g)
{
    mem_free(g);
}

enum err command_fresh(struct command_guard *g, const struct command_head *h, uint64_t now_us)
{
    struct seen *place = &g->seen[g->next];

    if (h->at_us < g->started_us || h->at_us > now_us + LIFE_US || now_us > h->at_us + LIFE_US) {
        return FAIL(E_REPLAY);
    }
    for (size_t i = 0; i < COMMAND_SEEN_MAX && g->seen[i].until_us != 0; i++) {
        if (memcmp(g->seen[i].id, h->id, COMMAND_ID_BYTES) == 0) {
            return FAIL(E_REPLAY);
        }
    }
    if (place->until_us >= now_us) {
        return FAIL(E_FULL);
    }
    memcpy(place->id, h->id, COMMAND_ID_BYTES);
    place->until_us = h->at_us + LIFE_US;
    g->next = (g->next + 1) % COMMAND_SEEN_MAX;
    return E_OK;
}
