/* authz/nonces.h - nonces of Digest challenges: made without keeping anything, known again by every
 * gate controller of the cluster, good for a bounded time and for one use of each nonce count.
 *
 * Standard   RFC 7616 sections 3.3, 3.4, 5.4 and 5.12.
 * Shape      72 hex digits: time of issue, ms since 1970 (6 octets) | random (14) | the first 16
 *            octets of HMAC-SHA-256 under a key derived from the cluster key. Nothing in it depends
 *            on an address, so that no NAT can spoil it.
 * Counts     A nonce enters the table of this node when it is first used with a good response, so
 *            that strangers cannot fill it. The table is of a fixed size: the oldest give way, and
 *            everything as old as they were is stale from then on, here. So is what was issued
 *            before this node started: what it had counted is forgotten. Counts are a node's own:
 *            a nonce count can be used once at each node (docs/threat-model.md).
 * Threads    any; 64 locks. */
#ifndef AUTHZ_NONCES_H
#define AUTHZ_NONCES_H

#include "base/crypto.h"

#define NONCE_TEXT_MAX  73 /* with its NUL */
#define NONCE_NC_WINDOW 64 /* counts below the highest that may still come */

struct nonces;

struct nonces_cfg {
    const struct secret *cluster_key; /* read, not kept; NULL: a random one, for one node alone */
    uint64_t lifetime_ms;
    uint64_t started_ms; /* wall */
    size_t max;          /* nonces in use at a time */
};

MUST_CHECK enum err nonces_new(const struct nonces_cfg *cfg, struct nonces **out);
void nonces_free(struct nonces *n);
/* now_ms: wall, here and below. */
MUST_CHECK enum err nonce_make(const struct nonces *n, uint64_t now_ms, char out[NONCE_TEXT_MAX]);

/* Whether it is one of ours that is still good; its counts are not looked at. E_AUTH: not of this
 * cluster; E_REPLAY: its time is over, or its counts were forgotten. */
MUST_CHECK enum err nonce_check(const struct nonces *n, struct view nonce, uint64_t now_ms);

enum nonce_use { NONCE_FRESH, NONCE_SEEN, NONCE_STALE };
/* Takes nonce count nc of a nonce that nonce_check() liked, after the response was verified. SEEN:
 * used before, or too far behind the highest. */
enum nonce_use nonce_take(struct nonces *n, struct view nonce, uint32_t nc, uint64_t now_ms);

#endif
