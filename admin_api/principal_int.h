/* admin_api/principal_int.h - the parts of principal.h: rules, tokens, the table, failures and
 * refusals. Their states are not for others. */
#ifndef ADMIN_API_PRINCIPAL_INT_H
#define ADMIN_API_PRINCIPAL_INT_H

#include <pthread.h>
#include <sys/types.h>

#include "admin_api/principal.h"
#include "base/crypto.h"
#include "base/loop.h"
#include "base/pg.h"

/* ---- principal_rules.c ------------------------------------------------------------------------
 */
#define PERMISSION_LIST(X)                                                                         \
    X(PERMISSION_SELF, "self")                                                                     \
    X(PERMISSION_ACCOUNTS_READ, "accounts.read")                                                   \
    X(PERMISSION_ACCOUNTS_WRITE, "accounts.write")                                                 \
    X(PERMISSION_LINES_READ, "lines.read")                                                         \
    X(PERMISSION_LINES_WRITE, "lines.write")                                                       \
    X(PERMISSION_NUMBERS_READ, "numbers.read")                                                     \
    X(PERMISSION_NUMBERS_WRITE, "numbers.write")                                                   \
    X(PERMISSION_BTIS_READ, "btis.read")                                                           \
    X(PERMISSION_BTIS_WRITE, "btis.write")                                                         \
    X(PERMISSION_ORDERS_READ, "orders.read")                                                       \
    X(PERMISSION_ORDERS_WRITE, "orders.write")                                                     \
    X(PERMISSION_CREDENTIALS_READ, "credentials.read")                                             \
    X(PERMISSION_CREDENTIALS_WRITE, "credentials.write")                                           \
    X(PERMISSION_SERVICES_READ, "services.read")                                                   \
    X(PERMISSION_SERVICES_WRITE, "services.write")                                                 \
    X(PERMISSION_ROUTES_READ, "routes.read")                                                       \
    X(PERMISSION_ROUTES_WRITE, "routes.write")                                                     \
    X(PERMISSION_POLICIES_READ, "policies.read")                                                   \
    X(PERMISSION_POLICIES_WRITE, "policies.write")                                                 \
    X(PERMISSION_CALLS_READ, "calls.read")                                                         \
    X(PERMISSION_CALLS_END, "calls.end")                                                           \
    X(PERMISSION_LADDERS_READ, "ladders.read")                                                     \
    X(PERMISSION_CDRS_READ, "cdrs.read")                                                           \
    X(PERMISSION_CDRS_EXPORT, "cdrs.export")                                                       \
    X(PERMISSION_TRACES_READ, "traces.read")                                                       \
    X(PERMISSION_SESSIONS_READ, "sessions.read")                                                   \
    X(PERMISSION_NODES_READ, "nodes.read")                                                         \
    X(PERMISSION_ALARMS_READ, "alarms.read")                                                       \
    X(PERMISSION_PREEMPT, "preempt")                                                               \
    X(PERMISSION_EMERGENCY_READ, "emergency.read")                                                 \
    X(PERMISSION_EMERGENCY_DECLARE, "emergency.declare")                                           \
    X(PERMISSION_CHANGES_READ, "changes.read")                                                     \
    X(PERMISSION_CHANGES_DECIDE, "changes.decide")                                                 \
    X(PERMISSION_AUDIT_READ, "audit.read")                                                         \
    X(PERMISSION_ADMINS_READ, "admins.read")                                                       \
    X(PERMISSION_ADMINS_WRITE, "admins.write")                                                     \
    X(PERMISSION_TOKENS_WRITE, "tokens.write")

#define PERMISSION_ENUM(id, text) id,
enum permission { PERMISSION_LIST(PERMISSION_ENUM) PERMISSION_COUNT };
#undef PERMISSION_ENUM

void permissions_all(struct permissions *p);
void permissions_join(struct permissions *p, const struct permissions *other);
void permissions_cut(struct permissions *p, const struct permissions *to);
/* Adds the permissions named by words with blanks between them; false: one of them is none. */
bool permissions_read(struct view words, struct permissions *out);
/* What roles (names, with blanks between) come to, with "self"; custom: the permissions of those
 * that are not built in. */
void roles_read(struct view roles, struct view custom, struct permissions *out, bool *is_security);

/* ---- principal_token.c: "hga_" and 43 characters of base64url, 32 random octets ----------------
 */
enum { TOKEN_CHARS = 47, TOKEN_PREFIX_CHARS = 10 };
MUST_CHECK enum err token_new(char out[TOKEN_CHARS + 1], uint8_t hash[SHA256_BYTES]);
/* E_PARSE: no token has that form. */
MUST_CHECK enum err token_hash(struct view text, uint8_t hash[SHA256_BYTES]);

/* ---- principal_table.c: everybody, as last read. Immutable but for the marks of use ------------
 */
enum { ADMINISTRATORS_MAX = 20000, TOKENS_MAX = 200000 };
struct principal_table;
/* The statement whose rows principal_table_read() takes: one snapshot. */
extern const char principal_table_sql[];
MUST_CHECK enum err principal_table_read(const struct pg_result *r, struct principal_table **out);
void principal_table_free(struct principal_table *t);
bool principal_by_token(struct principal_table *t, const uint8_t hash[SHA256_BYTES],
                        uint64_t now_us, struct principal *out);
bool principal_by_certificate(const struct principal_table *t, const char *name,
                              struct principal *out);
bool principal_by_os_user(const struct principal_table *t, const char *user, struct principal *out);
bool principal_by_id(const struct principal_table *t, uint64_t admin_id, struct principal *out);
bool principal_any(const struct principal_table *t, uint64_t but, const struct permissions *need);
/* Tokens used since the last call whose last_used_at is older than this hour: ids for
 * last_used_at, each once an hour. */
size_t principal_tokens_used(struct principal_table *t, uint64_t *ids, size_t max);

/* ---- principal_source.c: failures of each source, bounded. Not thread-safe --------------------
 */
enum { SOURCES_MAX = 1024, SOURCE_FAILURES = 20, SOURCE_REFILL_MS = 3000 };
struct source_limits;
MUST_CHECK enum err source_limits_new(struct source_limits **out);
void source_limits_free(struct source_limits *s);
/* A failure of that source; true: it had too many lately (more than SOURCE_FAILURES, of which one
 * is forgotten each SOURCE_REFILL_MS). Sources past SOURCES_MAX share what is left. */
bool source_failed(struct source_limits *s, struct view source, uint64_t now_ms);

/* ---- principal_note.c: what goes to the audit log of a flood: bounded. Not thread-safe ---------
 */
enum { NOTES_MAX = 128, NOTE_WINDOW_MS = 60000, NOTE_TEXT_MAX = 160 };
struct note {
    char person[PRINCIPAL_NAME_MAX], object[NOTE_TEXT_MAX], why[NOTE_TEXT_MAX];
    char how[16], source[64], request[65];
    uint64_t token_id; /* 0: none */
};
struct notes;
MUST_CHECK enum err notes_new(struct notes **out);
void notes_free(struct notes *n);
/* Counts it; the first of its person, object and why in a minute is due at once. A note that finds
 * no place is counted with others of its kind that found none. True: something is due now. */
bool notes_add(struct notes *n, const struct note *note, uint64_t now_ms);
/* The next row to write: with how often (1, or the further ones of a minute that is over). The
 * caller says by notes_written() whether it came to be; one row at a time. */
bool notes_due(struct notes *n, uint64_t now_ms, struct note *out, uint64_t *times);
void notes_written(struct notes *n, bool written);
/* As if every minute were over: for the end of the process. */
void notes_flush(struct notes *n);

/* ---- principal.c asks, principal_follow.c keeps it current -------------------------------------
 */
struct principals {
    char *conninfo, *local_group;
    uint64_t stale_ms;
    uid_t own;

    pthread_rwlock_t table_lock; /* table: read by who asks, exchanged by the thread */
    struct principal_table *table;

    pthread_mutex_t lock; /* from here to sources */
    pthread_cond_t turned;
    uint64_t asked, answered; /* which call of principals_follow() the table answers */
    bool is_up, is_fresh, closing;
    uint64_t fresh_ms; /* not fresh: until when it was */
    struct notes *notes;
    struct source_limits *sources;

    pthread_t thread; /* the rest is its own */
    struct loop *l;
    struct loop_wake *wake;
    struct pg *pg;
    struct loop_timer tick, end;
    bool loading, writing;
    uint64_t loading_for; /* the call that the load under way answers */
    uint64_t reload_ms;
    bool again; /* something changed while it was loaded */
};
MUST_CHECK enum err follow_start(struct principals *p);
void follow_stop(struct principals *p);

#endif
