/* Which requests are a trunk's: by the identity that a certificate proved, or by their source. */
#include <string.h>

#include "base/mem.h"
#include "gc/worker_int.h"
#include "routing/snapshot.h"

struct source { /* a network whose requests are a trunk's */
    struct net_addr net;
    uint8_t bits;
    uint64_t trunk_id;
};

struct trunk_index { /* of one snapshot; the longest prefixes first */
    uint64_t snapshot_id;
    size_t n, n_named; /* n_named: trunks that are known by their certificates */
    struct source v[];
};

enum { SOURCES_OF_A_TRUNK = 16 };

/* ---- the index ---------------------------------------------------------------------------------
 */
static bool next_word(struct view *rest, struct view *out)
{
    size_t at = 0;

    *rest = view_trim(*rest);
    if (rest->n == 0) {
        return false;
    }
    at = view_find(*rest, ' ', &at) ? at : rest->n;
    *out = view_sub(*rest, 0, at);
    *rest = view_sub(*rest, at, rest->n);
    return true;
}

static bool read_source(struct view word, struct source *out)
{
    size_t slash = 0;
    uint64_t bits = 0;
    bool has_bits = view_find(word, '/', &slash);
    struct view ip = has_bits ? view_sub(word, 0, slash) : word;

    if (net_parse_ip(ip, &out->net) != E_OK) {
        return false;
    }
    bits = out->net.family == 6 ? 128 : 32;
    if (has_bits && view_to_u64(view_sub(word, slash + 1, word.n), bits, &bits) != E_OK) {
        return false;
    }
    out->bits = (uint8_t)bits;
    return true;
}

static size_t add_sources(const struct trunk *t, struct source *out)
{
    struct view rest = t->sources, word;
    size_t n = 0;

    while (n < SOURCES_OF_A_TRUNK && next_word(&rest, &word)) {
        if (read_source(word, &out[n])) {
            out[n].trunk_id = t->trunk_id;
            n++;
        }
    }
    return n;
}

static void sort_longest_first(struct source *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct source one = v[i];
        size_t k = i;
        for (; k > 0 && (v[k - 1].bits < one.bits ||
                         (v[k - 1].bits == one.bits && v[k - 1].trunk_id > one.trunk_id));
             k--) {
            v[k] = v[k - 1];
        }
        v[k] = one;
    }
}

static struct trunk_index *build(const struct snapshot *snap)
{
    size_t trunks = snapshot_trunks(snap);
    struct trunk_index *x = mem_zalloc(sizeof *x + trunks * SOURCES_OF_A_TRUNK * sizeof x->v[0]);

    for (size_t i = 0; x != NULL && i < trunks; i++) {
        const struct trunk *t = snapshot_trunk_at(snap, i);
        if (t->auth == TRUNK_BY_NAME) {
            x->n_named++;
        } else {
            x->n += add_sources(t, &x->v[x->n]);
        }
    }
    if (x != NULL) {
        sort_longest_first(x->v, x->n);
        x->snapshot_id = snapshot_id(snap);
    }
    return x;
}

/* Made anew when the worker looks at another snapshot. Without memory nobody is a trunk. */
static const struct trunk_index *index_of(struct worker *w, const struct snapshot *snap)
{
    struct trunk_index *x = w->sources;

    if (x == NULL || x->snapshot_id != snapshot_id(snap)) {
        mem_free(x);
        w->sources = x = build(snap);
        if (x == NULL) {
            LOG(LV_ERROR, "trunk.no_index", KV_ERR(E_NOMEM));
        }
    }
    return x;
}

static bool is_within(const struct net_addr *a, const struct source *s)
{
    unsigned whole = s->bits / 8, rest = s->bits % 8;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));

    return a->family == s->net.family && memcmp(a->ip, s->net.ip, whole) == 0 &&
           (rest == 0 || ((a->ip[whole] ^ s->net.ip[whole]) & mask) == 0);
}

/* ---- who ---------------------------------------------------------------------------------------
 */
struct party trunk_party(const struct trunk *t, const struct net_addr *ip)
{
    return (struct party){.kind = PARTY_GATEWAY,
                          .trunk = t->trunk_id,
                          .is_certified = t->auth == TRUNK_BY_NAME,
                          .is_doubted = !t->trusts_identity,
                          .is_outside = !t->sends_identity,
                          .ip = *ip};
}

static bool is_named(const struct trunk *t, const struct tls_names *names)
{
    return t->auth == TRUNK_BY_NAME &&
           tls_names_have(names, t->tls_name.n > 0 ? t->tls_name : t->host);
}

static const struct trunk *by_certificate(struct worker *w, const struct snapshot *snap,
                                          const struct sip_flow *flow)
{
    struct tls_names names;

    if (flow->proto != SIP_TLS || flow->peer == 0 || worker_peer_names(w, flow, &names) != E_OK) {
        return NULL;
    }
    for (size_t i = 0; i < snapshot_trunks(snap); i++) {
        const struct trunk *t = snapshot_trunk_at(snap, i);
        if (is_named(t, &names)) {
            return t;
        }
    }
    return NULL;
}

bool trunk_of_flow(struct worker *w, const struct sip_flow *flow, struct party *out)
{
    const struct snapshot *snap = worker_snapshot(w);
    const struct trunk_index *x =
        snap != NULL && snapshot_trunks(snap) > 0 ? index_of(w, snap) : NULL;
    const struct trunk *t = NULL;

    if (x == NULL) {
        return false;
    }
    t = x->n_named > 0 ? by_certificate(w, snap, flow) : NULL;
    for (size_t i = 0; i < x->n && t == NULL; i++) {
        if (is_within(&flow->remote, &x->v[i])) {
            t = snapshot_trunk(snap, x->v[i].trunk_id);
        }
    }
    if (t != NULL) {
        *out = trunk_party(t, &flow->remote);
    }
    return t != NULL;
}
