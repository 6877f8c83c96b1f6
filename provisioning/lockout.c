#include "provisioning/lockout.h"

#include "base/crypto.h"
#include "base/mem.h"

enum { DOUBLINGS_MAX = 20, PROBES = 16 };

struct slot {
    uint64_t key; /* 0: free */
    uint64_t until_ms, forget_ms;
    unsigned wrong;
};

struct lockout {
    struct lockout_cfg cfg;
    uint8_t hash_key[16];
    struct slot slot[LOCKOUT_SLOTS];
};

enum err lockout_new(const struct lockout_cfg *cfg, struct lockout **out)
{
    struct lockout *l = mem_zalloc(sizeof *l);
    enum err e = E_OK;

    if (l == NULL) {
        return FAIL(E_NOMEM);
    }
    l->cfg = *cfg;
    e = crypto_random(l->hash_key, sizeof l->hash_key);
    if (e != E_OK) {
        mem_free(l);
        return e;
    }
    *out = l;
    return E_OK;
}

void lockout_free(struct lockout *l)
{
    mem_free(l);
}

static uint64_t hash_of(const struct lockout *l, struct view key)
{
    uint64_t h = siphash64(l->hash_key, key);

    return h != 0 ? h : 1;
}

static struct slot *find(struct lockout *l, uint64_t key)
{
    for (uint64_t i = 0; i < PROBES; i++) {
        struct slot *s = &l->slot[(key + i) % LOCKOUT_SLOTS];
        if (s->key == key) {
            return s;
        }
    }
    return NULL;
}

/* A free or forgotten place near the key's home, else the one whose memory ends first. */
static struct slot *place(struct lockout *l, uint64_t key, uint64_t now_ms)
{
    struct slot *best = NULL;

    for (uint64_t i = 0; i < PROBES; i++) {
        struct slot *s = &l->slot[(key + i) % LOCKOUT_SLOTS];
        if (s->key == 0 || s->forget_ms <= now_ms) {
            best = s;
            break;
        }
        if (best == NULL || s->forget_ms < best->forget_ms) {
            best = s;
        }
    }
    *best = (struct slot){.key = key};
    return best;
}

uint64_t lockout_left(struct lockout *l, struct view key, uint64_t now_ms)
{
    const struct slot *s = find(l, hash_of(l, key));

    return s != NULL && s->until_ms > now_ms ? s->until_ms - now_ms : 0;
}

uint64_t lockout_wrong(struct lockout *l, struct view key, uint64_t now_ms)
{
    uint64_t hash = hash_of(l, key), length = 0;
    struct slot *s = find(l, hash);

    if (s == NULL || s->forget_ms <= now_ms) {
        s = s != NULL ? s : place(l, hash, now_ms);
        *s = (struct slot){.key = hash};
    }
    s->wrong++;
    if (s->wrong >= l->cfg.free_tries) {
        unsigned doublings = s->wrong - l->cfg.free_tries;
        length = l->cfg.first_ms << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
        length = length < l->cfg.max_ms ? length : l->cfg.max_ms;
    }
    s->until_ms = now_ms + length;
    s->forget_ms = s->until_ms + l->cfg.max_ms;
    return length;
}

void lockout_forgive(struct lockout *l, struct view key)
{
    struct slot *s = find(l, hash_of(l, key));

    if (s != NULL) {
        *s = (struct slot){0};
    }
}

struct view lockout_source(const struct net_addr *a)
{
    return view_from(a->ip, a->family == 6 ? 8 : 4);
}
