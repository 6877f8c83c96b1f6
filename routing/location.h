/* routing/location.h - where each line is registered (RFC 3261 section 10), in memory.
 *
 * Shape      64 shards, one lock each; up to LOCATION_MAX_CONTACTS bindings for a line.
 * Mirror     the caller (gc) mirrors changes through Redis; a remote binding carries its node's
 * address. Threads    any; lookups copy out. */
#ifndef ROUTING_LOCATION_H
#define ROUTING_LOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "base/view.h"

#define LOCATION_MAX_CONTACTS 8
#define LOCATION_URI_MAX      256
#define LOCATION_USERNAME_MAX 65 /* with its NUL */

struct binding {
    uint64_t line_id;
    uint8_t kid[16]; /* session that made it: sealing towards it uses this key */
    uint8_t bti_id[16];
    bool is_phone;       /* made with Digest credentials: nothing is sealed towards it */
    uint64_t credential; /* is_phone: of struct credential; 0: of the session kid */
    char username[LOCATION_USERNAME_MAX]; /* is_phone */
    uint8_t algorithm;                    /* is_phone: enum digest_algorithm */
    uint16_t q;                           /* preference in thousandths (RFC 3261 section 20.10) */
    char contact[LOCATION_URI_MAX];       /* URI as registered, C string */
    char call_id[128];                    /* of the REGISTER */
    uint32_t cseq;
    uint64_t expires_ms; /* mono of this node */
    uint64_t expires_us; /* wall, for the mirror */
    /* the way back: transport, peer address, connection */
    uint8_t proto; /* enum sip_proto's value */
    struct net_addr remote, local;
    uint16_t worker;
    uint64_t conn;
    bool has_kid;
    struct net_addr via_node; /* family 0: ours; else the SIP address of the node that holds it */
};

struct location;
MUST_CHECK enum err location_new(size_t max_bindings, struct location **out);
void location_free(struct location *l);
/* Adds or refreshes by (line, contact). E_STATE: same Call-ID with a CSeq not higher (RFC 3261 10.3
 * step 7); E_FULL: too many contacts or bindings (expired ones count until location_expire());
 * E_RANGE: contact empty, or a text without NUL. Contacts are compared octet by octet. */
MUST_CHECK enum err location_put(struct location *l, const struct binding *b);
MUST_CHECK enum err location_remove(struct location *l, uint64_t line_id, struct view contact);
/* bti_id all zero: no BTI, nothing goes. */
size_t location_remove_bti(struct location *l, const uint8_t bti_id[16]);
size_t location_remove_line(struct location *l, uint64_t line_id);
/* A connection died: its bindings on this node go (the BTI registers again); conn 0 is none. */
size_t location_remove_conn(struct location *l, uint16_t worker, uint64_t conn);
size_t location_find_conn(const struct location *l, uint16_t worker, uint64_t conn,
                          struct binding *out, size_t max); /* what that would remove */
size_t location_find(const struct location *l, uint64_t line_id, uint64_t now_ms,
                     struct binding *out, size_t max); /* newest first */
size_t location_expire(struct location *l, uint64_t now_ms);
size_t location_count(const struct location *l);
/* Walks all (for status listings and re-mirroring); fn runs under a shard lock: copy and leave. */
void location_each(const struct location *l, void (*fn)(void *arg, const struct binding *b),
                   void *arg);
/* The same for one part of it, and only phones': LOCATION_PARTS parts hold all. */
#define LOCATION_PARTS 64
void location_each_phone(const struct location *l, unsigned part,
                         void (*fn)(void *arg, const struct binding *b), void *arg);

#endif
