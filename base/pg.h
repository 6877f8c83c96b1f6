/* base/pg.h - PostgreSQL. The only door to libpq is pg.c.
 *
 * Two manners: (1) asynchronous in a loop, with reconnect by itself (back-off 100 ms doubling to 5
 * s), queries queued and answered in order, one under way at a time (a COPY
 * cannot run inside a pipeline), LISTEN re-issued after each reconnect; (2) blocking, for command
 * line tools and start-up. Shape      parameters are views in text format, or octets (bytea) when
 * .binary; .p NULL = SQL NULL. Results are text; pg_octets() decodes bytea. Errors     a failed
 * query gives its callback E_IO (connection lost: outcome unknown) or E_DENIED/E_EXISTS/E_RANGE by
 * SQLSTATE class (42501 / 23xxx / 22xxx), else E_STATE; the server's message and SQLSTATE are in
 * the result, never any parameter. A text parameter with a NUL in it is E_RANGE. Limits     at most
 * `max_queue` waiting queries (E_FULL past it); statement_timeout is set by us, and 5 s after it
 * (when it is not 0) a connection that says nothing is given up. An idle one is probed each 5 s.
 * Threads    one loop, one thread. */
#ifndef BASE_PG_H
#define BASE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/view.h"

struct pg;
struct pg_result;

struct pg_param {
    struct view v;
    bool binary;
};
#define PG_TEXT(view_)  ((struct pg_param){(view_), false})
#define PG_BYTES(view_) ((struct pg_param){(view_), true})
#define PG_NULL         ((struct pg_param){{0, 0}, false})

/* e E_OK: r valid during the callback only. On failure r may be NULL (connection lost). */
typedef void pg_fn(void *arg, enum err e, const struct pg_result *r);
typedef void pg_notify_fn(void *arg, struct view channel, struct view payload);
typedef void pg_up_fn(void *arg, bool up); /* after LISTENs are in place */

struct pg_cfg {
    const char
        *conninfo; /* libpq keywords; Unix socket or numeric address: nothing here resolves names */
    const char *const *listen; /* channels, NULL-terminated; NULL for none */
    unsigned max_queue;
    unsigned statement_timeout_ms;
    pg_up_fn *on_up;
    pg_notify_fn *on_notify;
    void *arg;
};

MUST_CHECK enum err pg_open(struct loop *l, const struct pg_cfg *cfg,
                            struct pg **out); /* starts connecting; E_PARSE: conninfo */
void pg_close(struct pg *p);                  /* pending callbacks get E_IO first */
bool pg_is_up(const struct pg *p);
/* E_FULL; E_STATE when the connection is down (nothing is queued then: the caller decides). */
MUST_CHECK enum err pg_query(struct pg *p, const char *sql, const struct pg_param *params, size_t n,
                             pg_fn *fn, void *arg);
/* COPY ... FROM STDIN with the given body (text format). One at a time; callback as for a query. */
MUST_CHECK enum err pg_copy(struct pg *p, const char *copy_sql, struct view body, pg_fn *fn,
                            void *arg);

size_t pg_rows(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, size_t row, size_t col);
struct view pg_text(const struct pg_result *r, size_t row, size_t col); /* borrows r */
uint64_t pg_u64(const struct pg_result *r, size_t row, size_t col); /* 0 when NULL or malformed */
bool pg_bool(const struct pg_result *r, size_t row, size_t col);
/* bytea column into dst; E_RANGE when longer than max. */
MUST_CHECK enum err pg_octets(const struct pg_result *r, size_t row, size_t col, void *dst,
                              size_t max, size_t *out_n);
const char *pg_sqlstate(const struct pg_result *r);
const char *pg_message(const struct pg_result *r);
const char *pg_constraint(const struct pg_result *r); /* that an error names, or "" */
const char *pg_column(const struct pg_result *r);     /* the same */
bool pg_is_raised(const struct pg_result *r);         /* a function of the schema said it (RAISE) */
size_t pg_affected(const struct pg_result *r);

/* Blocking. */
struct pg_sync;
MUST_CHECK enum err pg_sync_open(const char *conninfo, struct pg_sync **out, char *err_text,
                                 size_t n);
void pg_sync_close(struct pg_sync *p);
/* A server that says nothing for that long in answer to pg_sync_query() is E_IO, and so is all that
 * follows on this connection. 0: wait for ever. */
void pg_sync_limit(struct pg_sync *p, unsigned ms);
/* out_r may be NULL. On failure *out_r, when wanted, still holds message and SQLSTATE, or is NULL.
 */
MUST_CHECK enum err pg_sync_query(struct pg_sync *p, const char *sql, const struct pg_param *params,
                                  size_t n, struct pg_result **out_r);
/* Several statements separated by ';', no parameters, simple protocol (migrations). */
MUST_CHECK enum err pg_sync_script(struct pg_sync *p, const char *sql, char *err_text, size_t n);
void pg_result_free(struct pg_result *r);

#endif
