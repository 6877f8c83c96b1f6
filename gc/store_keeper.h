/* gc/store_keeper.h - what the parts of the store that talk to Redis share; for gc/store_*.c alone.
 *
 * Parts      store_keeper.c (connection, heartbeat, scans, re-publishing), store_sessions.c (the
 * sealed sessions that this node holds, replay marks), store_bindings.c (registrations). */
#ifndef GC_STORE_KEEPER_H
#define GC_STORE_KEEPER_H

#include "base/hlist.h"
#include "gc/store_int.h"

#define KEPT_BUCKETS   65536
#define BINDINGS_QUEUE 8192
#define REG_PREFIX     "hg:reg:"
#define REG_CHANNEL    "hg:reg"
#define MARK_PREFIX    "hg:mark:"
#define MARK_CHANNEL   "hg:mark"
#define REVOKE_CHANNEL "hg:revoke"
#define NODE_PREFIX    "hg:node:"

struct kept { /* a session as it came, still sealed */
    struct hlink in;
    uint64_t line_id, expires_us, sent, seen;
    uint32_t scan; /* number of the last scan that found it in Redis */
    uint16_t blob_n;
    uint8_t kid[BTI_KID_BYTES], bti_id[BTI_ID_BYTES];
    uint8_t blob[];
};

struct queued_binding {
    struct binding b;
    bool removed;
};

struct keeper {
    struct store *s;
    struct redis *redis;
    struct mirror *mirror;
    pthread_mutex_t lock; /* buckets, n_kept; written by the store's thread alone */
    struct hlink **bucket;
    size_t n_kept;
    uint8_t hash_key[16];
    uint32_t scan; /* its number */
    enum { SCAN_OFF, SCAN_SESSIONS, SCAN_BINDINGS, SCAN_SEND } scanning;
    char cursor[24];
    unsigned asked;      /* MGETs of this page under way */
    unsigned scan_stale; /* answers to come that belong to a scan that was given up */
    bool scan_pending;
    size_t send_bucket, send_part, send_parts;
    bool scan_again, had_heartbeat, has_synced;
    struct loop_timer heartbeat, marks, send, rescan;
    size_t mark_bucket;
    /* from workers */
    pthread_mutex_t queue_lock;
    struct queued_binding *queue, *taken;
    size_t n_queue;
    bool queue_overflow;
    struct loop_wake *wake;
};

/* ---- store_keeper.c ----------------------------------------------------------------------------
 */
void keeper_resync(struct keeper *k); /* reads Redis again and writes what it lost */
/* A command whose answer does not matter; dropped when Redis is down: the resync repeats it. */
void keeper_send(struct keeper *k, const struct view *argv, size_t argc);

/* ---- store_sessions.c --------------------------------------------------------------------------
 */
void kept_init(struct keeper *k);
void kept_fini(struct keeper *k);
struct kept *kept_find(const struct keeper *k, const uint8_t kid[BTI_KID_BYTES]);
/* Opens, judges, takes. marks: as stored, or empty. */
void kept_admit(struct keeper *k, const uint8_t kid[BTI_KID_BYTES], struct view blob,
                struct view marks);
/* The scan saw it in Redis; blob empty: gone since. */
void kept_found(struct keeper *k, const uint8_t kid[BTI_KID_BYTES], struct view blob,
                struct view marks);
void kept_published(struct keeper *k, struct view payload);
void kept_marks_published(struct keeper *k, struct view payload);
void kept_drop_bti(struct keeper *k, const uint8_t bti_id[BTI_ID_BYTES]);
void kept_marks_slice(struct keeper *k, size_t buckets); /* tells what changed since */
/* Writes those that the scan did not find, from *bucket on, about `most` of them; false: end. */
bool kept_send_missing(struct keeper *k, size_t *bucket, size_t most);
void kept_key(const char *prefix, const uint8_t kid[BTI_KID_BYTES], char dst[64]);

/* ---- store_bindings.c --------------------------------------------------------------------------
 */
void bindings_on_wake(void *keeper);
void bindings_published(struct keeper *k, struct view payload);
void bindings_found(struct keeper *k, struct view key, struct view value);
/* Writes our own registrations of one part of all; parts spread the work. */
void bindings_send_part(struct keeper *k, size_t part, size_t parts);

#endif
