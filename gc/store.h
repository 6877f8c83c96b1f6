/* gc/store.h - the store thread: the only part of headgate that talks to PostgreSQL and Redis, and
 * the only one that waits for anything. Workers never wait for it.
 *
 * Snapshot   loaded from PostgreSQL, kept current by LISTEN hg_change + the numbered table
 * core.change_log (a gap after a reconnect is read from the table), published by pointer swap,
 * saved to the snapshot file after each change (coalesced to one write a second; one that takes
 * long to build, half a minute). With PostgreSQL down at start the file is used. Pinning    a
 * worker calls store_snapshot() at the start of a loop turn and keeps it for that turn;
 * store_quiescent() at the end. An old snapshot is freed when every worker has passed a turn.
 * Sessions   Redis SUBSCRIBE hg:sess, hg:revoke; SCAN of hg:sess:* after each (re)connect; own
 * sessions are written again after a Redis that lost them comes back. Revocations also come by
 * snapshot. Mirror     registrations: SET hg:reg:<line>:<hash> with TTL + PUBLISH hg:reg; replay
 * marks: hg:mark:<kid>, batched each second; heartbeat hg:node:<name> with TTL 5 s. CDRs       a
 * bounded ring; COPY into cdr.call every 200 ms or 500 rows; while PostgreSQL is away rows go to
 * the spill file (fsync each batch), which is loaded and truncated later, each row exactly once
 * (unique cdr_id). A full disk: alarm event "cdr.spill_failed", rows kept in memory up to the
 * ring's bound, then counted as lost; calls go on. Service records    a line's own changes, traces
 * and its last call: a bounded number of questions, each answered once (store_line_ask()).
 * Threads    store_* marked W: any worker thread.
 * Others: main thread before start / after stop. */
#ifndef GC_STORE_H
#define GC_STORE_H

#include "authz/sessions.h"
#include "base/metrics.h"
#include "routing/location.h"
#include "routing/snapshot.h"

struct store;
struct line_answer;

struct store_cfg {
    const char *node;                        /* name of this node, unique in the cluster */
    const char *conninfo;                    /* role hg_gc */
    const char *redis;                       /* "unix:/..." */
    const char *redis_user, *redis_password; /* NULL */
    const char *snapshot_path, *spill_path;
    struct secret cluster_key;
    struct net_addr sip_address; /* of this node, for the registration mirror */
    unsigned workers;
    struct sessions *sessions; /* shared, outlives the store */
    struct location *location;
    struct metrics *metrics;
    unsigned metrics_slot; /* the store thread's own */
    /* Called on the store thread when a BTI was revoked or its line barred: workers close its
     * connections. */
    void (*on_revoked)(void *arg, const uint8_t kid[BTI_KID_BYTES]);
    /* The answer to store_line_ask(), on the store thread, during the call only. NULL: nobody waits
     * for any. */
    void (*on_line_answer)(void *arg, const struct line_answer *a);
    void *arg;
};

/* Starts the thread; returns when a snapshot is published (from PostgreSQL, else from the file), or
 * E_TIMEOUT after 10 s without either (then an empty snapshot serves 911 and 611 and the thread
 * goes on trying: not fatal). */
MUST_CHECK enum err store_start(const struct store_cfg *cfg, struct store **out);
void store_stop(struct store *s); /* flushes CDRs (database or spill), joins */

/* W, and any other thread that ends with store_quiescent(): never NULL; the same one until then. A
 * worker that sleeps in its loop holds none. Other threads say cfg.workers as worker. */
const struct snapshot *store_snapshot(struct store *s);
void store_quiescent(struct store *s, unsigned worker);
/* Any thread. Another number whenever another snapshot was published; read before store_snapshot(),
 * that one is at least as new. (Its change number may stay: it waits for older transactions.) */
uint64_t store_generation(const struct store *s);

#define CDR_TEXT_MAX 64
struct cdr {
    char cdr_id[40];                      /* unique: node-start-counter */
    uint64_t start_us, answer_us, end_us; /* wall; 0 = did not happen */
    uint64_t caller_line, callee_line;    /* 0 = none */
    char caller[CDR_TEXT_MAX]; /* verified number, or "anonymous-source" text for 611/911 */
    char called[CDR_TEXT_MAX]; /* digits as dialled */
    char routed[CDR_TEXT_MAX]; /* E.164 or code after the dial plan */
    char call_id[128];
    char route[CDR_TEXT_MAX]; /* "local", route name, "provisioning" */
    uint16_t status;          /* final SIP status */
    char end_by[16];          /* "caller", "callee", "gate", "timeout", "session_timer" */
    bool is_private; /* the caller hid from the callee; `caller` is the truth all the same */
    char forwarded_by[CDR_TEXT_MAX]; /* the number whose service record sent it on; empty: none */
    char attest[4];    /* "A", "B", "C" as signed or verified; "-": bad; empty: none */
    char priority[24]; /* r-value that was granted; empty: routine */
    char preempted_by[CDR_TEXT_MAX]; /* "call ID", "preemption ID of WHO"; empty: nothing */
    char node[32];
};
/* W: never blocks; false when the ring is full (counted). */
bool store_cdr(struct store *s, unsigned worker, const struct cdr *c);
/* W: registration changed here: mirror it. removed: expires at once. */
void store_mirror_binding(struct store *s, unsigned worker, const struct binding *b, bool removed);
/* W: state for /readyz. */
struct store_health {
    bool postgres_up, redis_up, have_snapshot;
    uint64_t change_seq, cdr_queued, cdr_spilled, cdr_lost, sessions;
};
void store_health(const struct store *s, struct store_health *out);
/* A line changes its own service record, or asks for its last incoming call (feature codes). The
 * answer comes when the database has it, on the store's thread, by store_cfg.on_line_answer; with
 * the database away it comes at once with E_IO, and nothing was changed. A connection that breaks
 * in the middle is E_IO too; then it is unknown whether the change was made. */
enum line_ask_kind {
    LINE_ASK_SET,      /* setting, value */
    LINE_ASK_TRACE,    /* *57: a trace record of the last incoming call */
    LINE_ASK_LAST_CALL /* *69: who called last */
};
enum line_setting {
    LINE_SET_REJECTS_ANONYMOUS, /* value "yes", or empty */
    LINE_SET_FORWARD_ALWAYS,    /* value E.164, or empty: off */
    LINE_SET_FORWARD_BUSY,
    LINE_SET_FORWARD_NO_ANSWER
};
struct last_call {             /* of a line, as callee */
    uint64_t started_us;       /* wall; 0: none known */
    char caller[CDR_TEXT_MAX]; /* verified number, whatever its privacy; else what is known */
    char called[CDR_TEXT_MAX]; /* as dialled */
    char call_id[128];
    bool is_private;
};
struct line_ask {
    enum line_ask_kind kind;
    enum line_setting setting;
    uint64_t line_id;
    char value[32];
    struct last_call known; /* TRACE, LAST_CALL: what this node has in memory; the later of it and
                               the database's counts */
    uint16_t worker;
    uint64_t ticket; /* the asker's, gc/park.h */
};
struct line_answer {
    uint16_t worker;
    uint64_t ticket;
    enum err e;            /* E_OK; E_NOTFOUND: no call; E_IO: database away; E_DENIED: refused */
    struct last_call last; /* LINE_ASK_LAST_CALL */
};
/* W: E_FULL: too many questions are open; E_NOMEM: no answer comes after either. Texts that are not
 * printable ASCII are stored with '?'. */
MUST_CHECK enum err store_line_ask(struct store *s, const struct line_ask *ask);
/* Any thread: the database is asked for changes now, not at the next poll. */
void store_look(struct store *s);
/* Any thread: the heartbeat ends, so that no provisioning server sends a BTI here any more. */
void store_drain(struct store *s);

struct store_session { /* a session without its keys, for people */
    uint8_t kid[BTI_KID_BYTES], bti_id[BTI_ID_BYTES];
    uint64_t line_id, expires_us;
};
/* Any thread; copies out up to max. */
size_t store_sessions(struct store *s, struct store_session *out, size_t max);

#endif
