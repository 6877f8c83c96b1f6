/* gc/store_int.h - what the parts of the store share; for gc/store*.c alone.
 *
 * Parts      store.c (thread, pinning, health), store_snapshot.c (what changed in PostgreSQL),
 * store_rounds.c (its rows), store_build.c (snapshots of them), store_load.c (everything from
 * PostgreSQL), store_keys.c, store_patch.c (old snapshot + changed rows -> new one),
 * store_sessions.c and store_mirror.c (Redis), store_cdr.c and store_spill.c (call records),
 * store_ask.c (service records), store_job.c (work that takes long).
 * Threads    the store's loop unless said otherwise: parts are made before the thread starts and
 * freed after it ended. */
#ifndef GC_STORE_INT_H
#define GC_STORE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pg.h"
#include "base/redis.h"
#include "gc/store.h"

/* ---- store_job.c: one piece of work at a time on a thread of its own ---------------------------
 */
struct job;
/* work runs on the job's thread; done then on the loop's. */
MUST_CHECK enum err job_new(struct loop *l, struct job **out);
void job_run(struct job *j, void (*work)(void *arg), void (*done)(void *arg),
             void *arg); /* only when not busy */
bool job_busy(const struct job *j);
void job_free(struct job *j); /* waits for the work; done is not called any more */

/* ---- store_patch.c: changed rows ---------------------------------------------------------------
 */
struct patch_line {
    struct line row;
    bool gone;
    uint64_t order; /* the later reading of a row counts */
};

struct patch_number {
    struct number_row row;
    uint64_t order; /* counts with the reading of its line of the same order */
};

struct patch_credential {
    struct credential row;
    uint64_t order; /* as of a number */
};

struct patch_bti {
    struct bti_row row;
    bool gone;
    uint64_t order;
};

struct patch {
    struct arena text;
    struct patch_line *lines;
    struct patch_number *numbers;
    struct patch_bti *btis;
    struct patch_credential *credentials;
    struct trunk *trunks;
    struct route *routes;
    struct dial_rule *rules;
    struct emergency_mode *modes;
    size_t n_lines, n_numbers, n_btis, n_credentials, n_trunks, n_routes, n_rules, n_modes;
    size_t max_lines, max_numbers, max_btis, max_credentials, max_trunks, max_routes, max_rules,
        max_modes;
    bool has_plan; /* all trunks, routes, rules and modes were read again */
    uint64_t order, plan_order;
    uint64_t horizon; /* changes before this transaction number are contained; 0: as before */
};

MUST_CHECK enum err patch_new(struct patch **out);
void patch_free(struct patch *p);
bool patch_is_empty(const struct patch *p);
MUST_CHECK enum err patch_add_line(struct patch *p, const struct line *l, bool gone);
MUST_CHECK enum err patch_add_number(struct patch *p, uint64_t line_id, struct view number);
MUST_CHECK enum err patch_add_bti(struct patch *p, const struct bti_row *b, bool gone);
/* Of the line that was added last. */
MUST_CHECK enum err patch_add_credential(struct patch *p, const struct credential *c);
/* What was added after `order` (0: all). */
MUST_CHECK enum err patch_copy(const struct patch *p, uint64_t order, struct patch **out);
size_t patch_rows(const struct patch *p);
/* NULL: says nothing of it. The latest reading. */
const struct patch_bti *patch_find_bti(const struct patch *p, const uint8_t bti_id[16]);

/* store_plan.c: trunks, routes, dial rules, emergency modes, which come all or not at all, and
 * credentials */
void patch_plan(struct patch *p); /* all of them follow, those of before are void */
MUST_CHECK enum err patch_add_trunk(struct patch *p, const struct trunk *t);
MUST_CHECK enum err patch_add_route(struct patch *p, const struct route *r);
MUST_CHECK enum err patch_add_rule(struct patch *p, const struct dial_rule *r);
MUST_CHECK enum err patch_add_mode(struct patch *p, const struct emergency_mode *m);
MUST_CHECK enum err patch_copy_plan(const struct patch *from, struct patch *to);
MUST_CHECK enum err patch_copy_credentials(const struct patch *from, uint64_t order,
                                           struct patch *to);
void patch_latest_credentials(struct patch *p); /* lines are sorted already */
bool patch_has_username(const struct patch *p, const struct credential *c); /* then */
/* store_patch.c, for store_plan.c */
void *patch_grown(void *rows, size_t n, size_t *max, size_t size);
MUST_CHECK enum err patch_keep(struct patch *p, struct view v, struct view *out);
/* Of sorted lines; NULL. */
const struct patch_line *patch_line_of(const struct patch *p, uint64_t line_id);

/* Who lost rights from one snapshot to the next. */
struct losses {
    uint64_t *lines; /* newly barred or gone */
    uint8_t (*btis)[16];
    size_t n_lines, n_btis, max_lines, max_btis;
};
void losses_fini(struct losses *l);

/* p laid over base, which must outlive the result and be no overlay. E_EXISTS: a number moved away
 * from a line that was not read again; patch_build() can. Sorts p. */
MUST_CHECK enum err patch_overlay(const struct snapshot *base, struct patch *p,
                                  struct snapshot **out, char *why, size_t why_bytes);
/* base (NULL: nothing) with p over it. whole: p is everything, base only tells what was lost.
 * Any thread; sorts p. */
MUST_CHECK enum err patch_build(const struct snapshot *base, struct patch *p, bool whole,
                                struct snapshot **out, struct losses *lost, char *why,
                                size_t why_bytes);

/* ---- store_load.c ------------------------------------------------------------------------------
 */
struct load;
typedef void load_fn(struct store *s, enum err e, struct patch *all); /* takes all over; NULL */
/* Reads every row in one repeatable-read transaction on a connection of its own. fn is called
 * once, from the loop, after which the load must be freed. */
MUST_CHECK enum err load_start(struct store *s, load_fn *fn, struct load **out);
void load_free(struct load *l);
/* Rows as every query of lines gives them: id, account, display, barred, level, primary, numbers
 * joined by ',', credentials joined by ',' and in them by ' ', then the service record (NULLs when
 * there is none). A row whose account is NULL is gone. */
#define LINE_TABLES " LEFT JOIN core.line_service s ON s.line_id = l.line_id "

#define LINE_COLUMNS                                                                               \
    "l.account_id, l.display, l.barred OR a.barred, l.level, "                                     \
    "(SELECT n.number FROM core.number n WHERE n.line_id = l.line_id AND n.is_primary), "          \
    "(SELECT string_agg(n.number, ',') FROM core.number n WHERE n.line_id = l.line_id), "          \
    "(SELECT string_agg(concat_ws(' ', c.credential_id, c.username, c.algorithm, "                 \
    "CASE WHEN c.disabled THEN 1 ELSE 0 END, encode(c.ha1_sealed, 'hex')), ',') "                  \
    "FROM core.credential c WHERE c.line_id = l.line_id), "                                        \
    "s.caller_id, s.private, s.rejects_anonymous, s.no_answer_s, s.forward_always, "               \
    "s.forward_busy, s.forward_no_answer, l.priority"
#define BTI_COLUMNS "b.line_id, b.revoked_at IS NOT NULL"
#define SQL_TRUNKS                                                                                 \
    "SELECT trunk_id, name, host, port, transport, auth, tls_name, "                               \
    "array_to_string(sources, ' '), trusts_identity, sends_identity, may_transit, disabled, "      \
    "number_form, strip, add_digits, default_number, max_channels, max_cps, ping_s, auth_user, "   \
    "auth_sealed, stir_sign, stir_verify, priority, is_operator FROM core.trunk"
#define SQL_ROUTES                                                                                 \
    "SELECT route_id, name, kind, prefix, priority, next_hop, trunk_id, weight, max_channels, "    \
    "days, from_min, to_min, utc_offset_min + 840 FROM core.route"
#define SQL_RULES                                                                                  \
    "SELECT name, prefix, min_digits, max_digits, rank, strip, add_digits, is_feature, blocked "   \
    "FROM core.dial_rule"
#define SQL_MODES                                                                                  \
    "SELECT id, (extract(epoch FROM declared_at) * 1000000)::bigint, "                             \
    "(extract(epoch FROM ends_at) * 1000000)::bigint, scope, share, "                              \
    "array_to_string(prefixes, ' '), array_to_string(trunks, ' '), "                               \
    "array_to_string(exempt_lines, ' '), array_to_string(exempt_trunks, ' '), declared_by, "       \
    "reason FROM core.emergency_mode WHERE ended_at IS NULL AND ends_at > now() ORDER BY id "      \
    "LIMIT 64"
MUST_CHECK enum err load_line_row(struct patch *p, const struct pg_result *r, size_t row);
MUST_CHECK enum err load_bti_row(struct patch *p, const struct pg_result *r, size_t row);
/* SQL_TRUNKS, SQL_ROUTES, SQL_RULES, SQL_MODES */
MUST_CHECK enum err load_trunk_row(struct patch *p, const struct pg_result *r, size_t row);
MUST_CHECK enum err load_route_row(struct patch *p, const struct pg_result *r, size_t row);
MUST_CHECK enum err load_rule_row(struct patch *p, const struct pg_result *r, size_t row);
MUST_CHECK enum err load_mode_row(struct patch *p, const struct pg_result *r, size_t row);

/* ---- store_keys.c ------------------------------------------------------------------------------
 */
#define KEYS_MAX 20000 /* of one kind; past it everything is read again */
struct id_set {
    uint64_t *v;
    size_t n, max;
};

struct bti_set {
    uint8_t (*v)[16];
    size_t n, max;
};

struct keys { /* what changed */
    struct id_set lines, accounts;
    struct bti_set btis;
    struct id_set heard; /* hashes of keys that a NOTIFY named */
    bool plan;           /* trunks, routes, dial rules or emergency modes */
    uint64_t horizon;    /* after these were read; 0: says nothing */
};

#define RECENT_MAX 4096
struct recent { /* keys that were read since their NOTIFY */
    uint8_t hash_key[16];
    size_t n;
    uint64_t v[RECENT_MAX];
};
uint64_t recent_hash(const struct recent *r, struct view table, struct view key);
void recent_add(struct recent *r,
                uint64_t hash); /* when it is full all are forgotten: read twice */
bool recent_take(struct recent *r, uint64_t hash);

/* One change as core.change_log has it. False: too many. A table that we do not know belongs to a
 * newer schema and means nothing to us. */
bool keys_add(struct keys *k, struct view table, struct view key);
bool keys_add_id(struct id_set *set, uint64_t id);
void keys_unique(struct keys *k);
bool keys_empty(const struct keys *k);
void keys_clear(struct keys *k);
void keys_fini(struct keys *k);
char *keys_ids_text(const struct id_set *set); /* "{1,2,3}"; NULL: no memory */
char *keys_btis_text(const struct bti_set *set);

/* ---- store_purge.c -----------------------------------------------------------------------------
 */
#define CHANGES_KEPT "7 days"
struct purge { /* of old rows of core.change_log */
    uint64_t due_ms;
    bool busy;
    struct loop *l;
};
/* Each some seconds; with a connection that is up. */
void purge_if_due(struct purge *p, struct loop *l, struct pg *pg);

/* ---- store_snapshot.c, store_rounds.c, store_build.c -------------------------------------------
 */
struct changes;
MUST_CHECK enum err changes_new(struct store *s, struct changes **out);
MUST_CHECK enum err changes_open(struct changes *c); /* starts connecting */
void changes_free(struct changes *c);
bool changes_up(const struct changes *c);
uint64_t changes_seq(const struct changes *c);
void changes_look(struct changes *c); /* polls now, unless one is under way */
/* Whether the BTI may have a session: not revoked as far as anybody knows here, pending changes
 * included. One that nobody knows yet may. */
bool changes_bti_allowed(const struct changes *c, const uint8_t bti_id[16]);

/* ---- store_sessions.c, store_mirror.c ----------------------------------------------------------
 */
struct keeper; /* sessions and everything else in Redis */
MUST_CHECK enum err keeper_new(struct store *s, struct keeper **out);
MUST_CHECK enum err keeper_open(struct keeper *k);
void keeper_leave(struct keeper *k); /* other parts of the cluster learn at once that we go */
void keeper_free(struct keeper *k);
bool keeper_up(const struct keeper *k);
void keeper_drop_bti(struct keeper *k, const uint8_t bti_id[16]); /* revoked */
void keeper_drop_line(struct keeper *k, uint64_t line_id);        /* barred: registrations */
size_t keeper_list(struct keeper *k, struct store_session *out, size_t max); /* any thread */
/* W */ void keeper_binding(struct keeper *k, const struct binding *b, bool removed);

/* store_mirror.c: sealed under a key that only gate controllers and headgate-prov can derive, so
 * that a writer of Redis can neither invent nor read. */
#define MIRROR_SEAL_EXTRA 41 /* version, salt, counter, tag */
#define MIRROR_TEXT_MAX   1024
struct mirror;
MUST_CHECK enum err mirror_new(const struct secret *cluster_key, const char *node,
                               struct mirror **out);
void mirror_free(struct mirror *m);
/* what: "reg", "mark"; place: the rest of the key, bound to the value. */
MUST_CHECK enum err mirror_seal(struct mirror *m, struct view what, struct view place,
                                struct view plain, uint8_t *dst, size_t max, size_t *out_n);
MUST_CHECK enum err mirror_open(struct mirror *m, struct view what, struct view place,
                                struct view sealed, uint8_t *dst, size_t max, size_t *out_n);

struct mirror_binding { /* with who says so */
    char node[32];
    struct net_addr sip_address;
    bool removed;
    struct binding b;
};
size_t mirror_binding_write(const struct mirror_binding *b, uint8_t dst[MIRROR_TEXT_MAX]);
MUST_CHECK enum err mirror_binding_read(struct view octets, struct mirror_binding *out);

struct mirror_marks {
    char node[32];
    uint8_t kid[BTI_KID_BYTES];
    uint64_t sent, seen;
};
size_t mirror_marks_write(const struct mirror_marks *m, uint8_t dst[MIRROR_TEXT_MAX]);
MUST_CHECK enum err mirror_marks_read(struct view octets, struct mirror_marks *out);

/* ---- store_spill.c: call records in a file -----------------------------------------------------
 */
struct spill;
#define SPILL_LINE_MAX 4096
/* Opens or makes it, cuts a torn last line. limit: octets a file may grow to, 0: as the disk
 * allows. */
MUST_CHECK enum err spill_open(const char *path, struct spill **out);
void spill_close(struct spill *s);
/* Lines ending in '\n', n of them, all or nothing, on the disk when it returns E_OK; E_IO. */
MUST_CHECK enum err spill_append(struct spill *s, struct view lines, size_t n);
uint64_t spill_rows(const struct spill *s); /* not yet taken back */
/* The oldest rows not yet taken back, at most max_rows that fit into dst. Damaged ones are put
 * aside in "<path>.damaged" and counted. *out_rows 0: none left. */
MUST_CHECK enum err spill_peek(struct spill *s, char *dst, size_t max, size_t max_rows,
                               size_t *out_n, size_t *out_rows);
/* What the last peek gave is in the database; the file shrinks to nothing when all is. */
MUST_CHECK enum err spill_taken(struct spill *s);
/* One line that the database will never take: to "<path>.refused". */
MUST_CHECK enum err spill_refuse(struct spill *s, struct view line);
uint64_t spill_damaged(const struct spill *s);

/* ---- store_cdr.c -------------------------------------------------------------------------------
 */
struct cdrs;
MUST_CHECK enum err cdrs_new(struct store *s, struct cdrs **out); /* opens the spill file */
MUST_CHECK enum err cdrs_open(struct cdrs *c);                    /* starts connecting */
void cdrs_free(struct cdrs *c);
/* W */ bool cdrs_push(struct cdrs *c, unsigned worker, const struct cdr *r);
/* Last rows: to the database, or after a moment to the file; then fn. */
void cdrs_flush(struct cdrs *c, void (*fn)(void *arg), void *arg);
bool cdrs_up(const struct cdrs *c);
/* One row in COPY text format with its newline; returns its octets. */
size_t cdr_format(const struct cdr *r, char dst[SPILL_LINE_MAX]);
/* A row of the spill file, n octets with its newline, with the columns of today; they may overlap
 * when dst lies before it. Returns its octets, at most 4 more. */
size_t cdr_from_spill(char *dst, const char *row, size_t n);

/* ---- store_ask.c -------------------------------------------------------------------------------
 */
struct asks;
MUST_CHECK enum err asks_new(struct store *s, struct asks **out);
MUST_CHECK enum err asks_open(struct asks *k); /* starts connecting */
void asks_free(struct asks *k);                /* open questions get no answer */
/* W */ MUST_CHECK enum err asks_push(struct asks *k, const struct line_ask *ask);

/* ---- store.c -----------------------------------------------------------------------------------
 */
struct held { /* a snapshot and how many use it */
    struct snapshot *snap;
    struct held *under; /* of an overlay: held as long as it */
    unsigned refs;
    struct held *next;
};

enum store_meter {
    SM_CDR_STORED,
    SM_CDR_SPILLED,
    SM_CDR_LOST,
    SM_CDR_QUEUED,
    SM_CDR_SPILL_ROWS,
    SM_PG_UP,
    SM_REDIS_UP,
    SM_SESSIONS,
    SM_REGISTRATIONS,
    SM_LINES,
    SM_LEFT_OUT,
    SM_REVOKED,
    SM_REJECTED,
    SM_REBUILDS,
    SM_LOADS,
    SM_BUILD_TIME,
    SM_COUNT
};

struct store {
    struct store_cfg cfg;
    struct loop *l;
    pthread_t thread;
    bool started;
    struct loop_wake *wake;
    _Atomic bool stopping, draining, look;
    pthread_mutex_t lock; /* current, garbage, refs, ready */
    pthread_cond_t changed;
    struct held *current, *garbage;
    bool have_snapshot, from_database;
    struct changes *changes;
    struct keeper *keeper;
    struct cdrs *cdrs;
    struct asks *asks;
    struct loop_timer tick, flush_limit;
    unsigned meter[SM_COUNT];
    /* store_health() */
    _Atomic bool h_pg, h_redis;
    _Atomic uint64_t h_generation, h_seq, h_queued, h_spilled, h_lost;
};

void store_count(struct store *s, enum store_meter m, int64_t by); /* store thread */
void store_gauge(struct store *s, enum store_meter m, int64_t to);
/* Takes snap over, also when it fails; the result is held. under: what an overlay lies on. */
MUST_CHECK enum err store_wrap(struct store *s, struct snapshot *snap, struct held *under,
                               struct held **out);
void store_publish(struct store *s, struct held *h, bool from_database); /* the current one now */
/* For work on another thread: holds until store_unhold(). Any thread. */
struct held *store_hold(struct store *s);
struct held *store_hold_this(struct store *s, struct held *h); /* one that is held already */
void store_unhold(struct store *s, struct held *h);
void store_lost_rights(struct store *s, const uint8_t bti_id[16]); /* revoked or deleted */
void store_lost_line(struct store *s, uint64_t line_id);           /* barred or deleted */

#endif
