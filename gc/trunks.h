/* gc/trunks.h - what is known of trunks while the node runs: their addresses, whether these answer,
 * the calls over them. Shared by the workers.
 *
 * Addresses  worker 0 finds them out by RFC 3263 in the background and again when their TTL is over
 *            (trunks_dns.c). While DNS is away the old ones stay in use; a call never waits for
 * DNS. Health     worker 0 asks each address by OPTIONS each ping_s (trunks_health.c): down after
 *            TRUNK_MISSES without an answer, or a 503; any other answer is one. An address that
 *            failed a call is suspect for TRUNK_SUSPECT_MS or until it answers, and tried last.
 * Calls      channels and calls a second, of a trunk and of a route: taken when a call is sent over
 *            it, given when it ends. They are kept by id: a new snapshot changes no count, and what
 *            is known of a trunk that was removed goes with its last call.
 * Limits     emergency calls are counted and never refused.
 * Memory     one state for each trunk of the snapshot, or with calls; one for each route with
 * calls. Threads    any, one lock held for some loads and stores; what says so: worker 0. */
#ifndef GC_TRUNKS_H
#define GC_TRUNKS_H

#include "signaling/sip_locate.h"

enum {
    TRUNK_MISSES = 2,
    TRUNK_SUSPECT_MS = 30000,
    TRUNK_RETRY_MS = 10000, /* after DNS was of no help */
    TRUNK_NAME_MAX = 64,
    TRUNK_METRICS_MAX = 256 /* trunks with metrics of their own, by id */
};

struct trunks;
struct snapshot;
struct trunk;

MUST_CHECK enum err trunks_new(struct trunks **out);
void trunks_free(struct trunks *t); /* NULL is fine; after trunks_stop() */

/* ---- calls -------------------------------------------------------------------------------------
 */
struct trunk_use {
    uint64_t trunk, route; /* 0: none */
    bool is_routine;       /* of a call without priority */
};

struct trunk_room { /* 0: no limit */
    uint32_t channels, cps, route_channels;
    bool always;    /* emergency */
    bool only_rate; /* no call: it counts for cps, and there is nothing to give back */
    bool is_shared; /* calls without priority may have no more than routine_most of the trunk */
    uint32_t routine_most;
    bool kept_trunk, kept_route; /* a channel is kept for this call: trunks_keep() */
};

/* All of it or nothing. E_FULL: no channel free; E_DENIED: too many new ones this second; E_NOMEM
 * (not with always, whose count is then not kept: *use is emptied). */
MUST_CHECK enum err trunks_take(struct trunks *t, struct trunk_use *use,
                                const struct trunk_room *room, uint64_t now_ms);
void trunks_give(struct trunks *t, struct trunk_use *use); /* and empties it; twice is harmless */

/* One channel that comes free is kept from others until trunks_unkeep(): for whoever preempts. */
void trunks_keep(struct trunks *t, const struct trunk_use *use);
void trunks_unkeep(struct trunks *t, struct trunk_use *use); /* and empties it */
enum trunk_lack { TRUNK_HAS_ROOM, TRUNK_LACKS_TRUNK, TRUNK_LACKS_ROUTE, TRUNK_LACKS_RATE };
/* What a call would lack now; takes nothing. */
enum trunk_lack trunks_lack(struct trunks *t, const struct trunk_use *use,
                            const struct trunk_room *room, uint64_t now_ms);

#define TRUNK_FULL_TEXT "all channels are in use"
/* Why a call cannot go over that route and its trunk (NULL: a plain next hop) now, in words that
 * stay; NULL: it can. What it says may have changed when the call gets there. */
struct route;
const char *trunk_obstacle(struct trunks *t, const struct route *r, const struct trunk *row,
                           uint64_t now_ms);

/* ---- addresses ---------------------------------------------------------------------------------
 */
struct trunk_address {
    struct sip_place where;
    bool is_down, is_suspect;
    uint32_t missed;
    uint64_t last_answer_us; /* wall; 0: never */
};

struct trunk_addresses {  /* in the order of one call */
    unsigned n, n_usable; /* the first n_usable are not down */
    struct trunk_address a[LOCATE_MAX];
};
void trunks_addresses(struct trunks *t, uint64_t trunk_id, uint64_t random, uint64_t now_ms,
                      struct trunk_addresses *out);
/* A call to it timed out, or could not be sent. */
void trunks_suspect(struct trunks *t, uint64_t trunk_id, const struct net_addr *address,
                    uint64_t now_ms);

/* ---- the operator's view -----------------------------------------------------------------------
 */
struct trunk_view {
    uint64_t trunk_id;
    char name[TRUNK_NAME_MAX];
    uint32_t calls;
    uint64_t calls_total, refused_total, failed_total;
    bool is_known;     /* in the snapshot */
    bool is_stale;     /* DNS is away: these are old */
    enum err resolved; /* the last answer; E_STATE: none yet */
    unsigned n;
    struct trunk_address a[LOCATE_MAX];
};
size_t trunks_view(struct trunks *t, uint64_t now_ms, struct trunk_view *out, size_t max);
/* Appends metrics as text, as snprintf. */
size_t trunks_metrics(void *t, char *dst, size_t dst_bytes);

#endif
