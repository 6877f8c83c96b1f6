/* Numbers for what certificates proved: a table of places, each with a generation. */
#include "signaling/sip_peers.h"

#include <pthread.h>

#include "base/mem.h"

struct place {
    struct tls_names *names; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1; 0: none */
};

struct sip_peers {
    pthread_mutex_t lock; /* held for a copy of 2 KiB at most */
    uint32_t n, first_free;
    struct place places[];
};

enum err sip_peers_new(unsigned max, struct sip_peers **out)
{
    struct sip_peers *p = NULL;

    if (max == 0 || max > 1u << 24) {
        return FAIL(E_RANGE);
    }
    p = mem_zalloc(sizeof *p + max * sizeof p->places[0]);
    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    BUG_ON(pthread_mutex_init(&p->lock, NULL) != 0);
    p->n = max;
    for (uint32_t i = max; i > 0; i--) {
        p->places[i - 1].next_free = p->first_free;
        p->first_free = i;
    }
    *out = p;
    return E_OK;
}

void sip_peers_free(struct sip_peers *p)
{
    if (p != NULL) {
        for (uint32_t i = 0; i < p->n; i++) {
            mem_free(p->places[i].names);
        }
        (void)pthread_mutex_destroy(&p->lock);
        mem_free(p);
    }
}

static struct place *find(struct sip_peers *p, uint64_t peer)
{
    uint32_t at = (uint32_t)peer;
    struct place *k = at > 0 && at <= p->n ? &p->places[at - 1] : NULL;

    return k != NULL && k->names != NULL && k->generation == peer >> 32 ? k : NULL;
}

enum err sip_peers_add(struct sip_peers *p, const struct tls_names *names, uint64_t *out)
{
    struct tls_names *copy = mem_zalloc(sizeof *copy);
    enum err e = E_FULL;

    if (copy == NULL) {
        return FAIL(E_NOMEM);
    }
    *copy = *names;
    BUG_ON(pthread_mutex_lock(&p->lock) != 0);
    if (p->first_free != 0) {
        struct place *k = &p->places[p->first_free - 1];
        *out = (uint64_t)++k->generation << 32 | p->first_free;
        p->first_free = k->next_free;
        k->names = copy;
        copy = NULL; /* moved */
        e = E_OK;
    }
    BUG_ON(pthread_mutex_unlock(&p->lock) != 0);
    mem_free(copy);
    return e == E_OK ? E_OK : FAIL(e);
}

void sip_peers_remove(struct sip_peers *p, uint64_t peer)
{
    struct tls_names *old = NULL;
    struct place *k = NULL;

    BUG_ON(pthread_mutex_lock(&p->lock) != 0);
    k = find(p, peer);
    if (k != NULL) {
        old = k->names;
        k->names = NULL;
        k->next_free = p->first_free;
        p->first_free = (uint32_t)peer;
    }
    BUG_ON(pthread_mutex_unlock(&p->lock) != 0);
    mem_free(old);
}

enum err sip_peers_names(struct sip_peers *p, uint64_t peer, struct tls_names *out)
{
    const struct place *k = NULL;
    enum err e = E_NOTFOUND;

    BUG_ON(pthread_mutex_lock(&p->lock) != 0);
    k = find(p, peer);
    if (k != NULL) {
        *out = *k->names;
        e = E_OK;
    }
    BUG_ON(pthread_mutex_unlock(&p->lock) != 0);
    return e == E_OK ? E_OK : FAIL(e);
}

bool sip_peers_is(struct sip_peers *p, uint64_t peer, struct view name)
{
    struct tls_names names;

    return peer != 0 && sip_peers_names(p, peer, &names) == E_OK && tls_names_have(&names, name);
}
