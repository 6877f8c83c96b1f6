/* provisioning/lockout.h - who may not try a work order now: wrong tries per key (a source address,
 * a work order's digest), with a back-off that doubles. In memory, bounded, nothing persisted: the
 * keys are kept as keyed hashes only; past LOCKOUT_SLOTS the one that ends first is forgotten.
 * Threads: one. */
#ifndef PROVISIONING_LOCKOUT_H
#define PROVISIONING_LOCKOUT_H

#include "base/net.h"
#include "base/view.h"

#define LOCKOUT_SLOTS 4096

struct lockout;
struct lockout_cfg {
    unsigned free_tries;       /* wrong tries before the first lock-out */
    uint64_t first_ms, max_ms; /* its length; the longest */
};

MUST_CHECK enum err lockout_new(const struct lockout_cfg *cfg, struct lockout **out);
void lockout_free(struct lockout *l);
/* Milliseconds until key may try again; 0: now. */
uint64_t lockout_left(struct lockout *l, struct view key, uint64_t now_ms);
/* One wrong try; returns lockout_left() after it. */
uint64_t lockout_wrong(struct lockout *l, struct view key, uint64_t now_ms);
void lockout_forgive(struct lockout *l, struct view key);
/* The key of a source: the IPv4 address, or the first 64 bits of an IPv6 one, since a customer has
 * all addresses behind those. Points into a. */
struct view lockout_source(const struct net_addr *a);

#endif
