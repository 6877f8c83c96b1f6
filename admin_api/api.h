/* admin_api/api.h - the engine of the HTTP API: the OpenAPI document decides, handlers do.
 *
 * Document   admin_api/openapi/NAME.yaml (tags, paths and components of one subject each) are put
 * together at build time (tools/bundle_api) and are part of the program. For each operation:
 *
 *   operationId    the name by which a handler is bound (api_bind_NAME, below)
 *   parameters     of path and query, with schemas; requestBody: checked before a handler sees it,
 *                  a refusal carries JSON pointers. application/json; PATCH:
 *                  application/merge-patch+json
 *   x-permission   who may (principal.h); there is no operation without it; "self": whom we know
 *   x-database     none | read | write: a handler of read and write has r->db, in one transaction
 *   x-etag: true   on a GET: its answers carry a strong ETag; PATCH, PUT and DELETE of the same
 *                  path need If-Match (428 without, 412 when it differs; the engine runs the GET
 *                  handler in the same transaction with api_request.for_update to know), unless
 *                  they say x-etag: false. On a POST: the 201 answer is the representation and has
 *                  the ETag of its GET
 *   x-idempotent: true   POST: Idempotency-Key is taken (the same key and body within a day: the
 *                  first answer again; another body: 422; under way: 409). Not for answers with a
 *                  secret in them: they are kept
 *   x-effect: true something happens outside of the database (a call ends, a node is told): it is
 *                  done by the handler after api_commit(), so that what is in the audit log is
 *                  there first
 *
 * An operation without handler, and a handler without operation, stop the start. The answers that
 * the engine gives by itself (400 401 403 404 412 415 422 428 429 503) and the headers that go with
 * them are put into the document by tools/bundle_api: a subject documents its own.
 *
 * Way        head checks (httpd) -> who (401) -> rate of the principal (429) -> route (404, 405
 * with Allow) -> permission (403, audited) -> parameters, media type, body (400, 415, 422) ->
 * BEGIN, who and request id told to the database, idempotency, If-Match -> handler -> COMMIT, or
 * ROLLBACK when the answer is 400 or more. A commit that a two-person policy turned into proposals
 * becomes 202 with Location of the change and {"state":"proposed","changes":[id...]}: document it
 * with $ref "#/components/responses/Proposed". The database being away is 503 with Retry-After.
 *
 * Shape      errors are application/problem+json (RFC 9457): type
 * "https://headgate.invalid/problems/NAME" is a name, listed in docs/admin-api.md and in
 * api_problem.c; errors[] {pointer | parameter, detail}. Nothing of SQL shows; words of RAISE in
 * our own functions do. Lists answer {"items":[...],"next":cursor or null}, Link rel=next; limit
 * 1..500 (100). In a query '+' is itself, not a space.
 * Threads    a request is handled by one thread; handlers run at the same time on several. */
#ifndef ADMIN_API_API_H
#define ADMIN_API_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "admin_api/principal.h"
#include "base/httpd.h"
#include "base/pg.h"

struct api;
struct checkpoints;
struct gates;  /* gates.h: the gate controllers of the cluster */
struct events; /* events.h: what happens there, for streams */

struct api_request {
    const struct httpd_request *http;
    struct principal who;
    json_t *body;       /* valid by its schema; NULL: none. PATCH: the merge patch as it came (RFC
                           7396), valid against the schema without its "required" */
    json_t *merged;     /* PATCH with x-etag: what the resource shall be: current + body */
    json_t *current;    /* x-etag PATCH, PUT, DELETE: what GET answered */
    bool for_update;    /* GET handler run for If-Match: lock the row;
                              it is run twice, so that it sees all as it is under the lock */
    struct pg_sync *db; /* x-database read or write; else NULL */
    struct pg_sync *(*trace_db)(struct api *a); /* as hg_trace, opened for this call, to
                                                 be closed by it; NULL: away */
    struct api *api;
    struct gates *gates;
    struct events *events;
    const char *const *params; /* internal; use api_param() */
    void *impl;
};

struct api_answer { /* zeroed; status 0 means 200, or 204 without body */
    unsigned status;
    json_t *body;       /* owned by the engine once it is here */
    char location[256]; /* "/api/v1/lines/7" */
    unsigned retry_after_s;
    /* Other than JSON (CSV export, event streams): pull != NULL, see httpd_stream(). */
    const char *content_type;
    httpd_pull_fn *pull;
    void (*done)(void *arg);
    void *arg;
    void *impl; /* problem under way */
};

typedef void api_handler(struct api_request *r, struct api_answer *a);
struct api_bind {
    const char *operation; /* operationId */
    api_handler *handler;
};
/* One table for each subject, ended by an operation of NULL: admin_api/openapi/NAME.yaml and
 * api_bind_NAME in res_NAME*.c are all that a subject takes. tools/bundle_api lists the tables. */
extern const struct api_bind api_bind_subscribers[], api_bind_routing[], api_bind_live[],
    api_bind_preemption[], api_bind_records[], api_bind_privileges[], api_bind_system[];

/* Path and query parameters, decoded and checked by the document; NULL: not given (and no default
 * in the document). */
const char *api_param(const struct api_request *r, const char *name);
uint64_t api_param_u64(const struct api_request *r, const char *name); /* 0: not given */

/* ---- answers -----------------------------------------------------------------------------------
 */
/* A refusal. type: "not-found", "conflict", "invalid" (422), "unavailable", ... as in
 * docs/admin-api.md; pointer: JSON pointer into the body, "" none (may be called again to add more
 * of errors[]). */
void api_problem(struct api_answer *a, unsigned status, const char *type, const char *pointer,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
bool api_failed(const struct api_answer *a);

/* One statement of r->db. E_OK, else the answer holds the problem: unique violation 409, foreign
 * key 409 (in use) or 422 (no such), check and range 422, insufficient privilege 403, lost or timed
 * out 503. pointers: constraint or column name -> JSON pointer, NULL-terminated pairs, or NULL.
 * *out may be NULL; free with pg_result_free(). */
MUST_CHECK enum err api_query(struct api_request *r, struct api_answer *a, const char *sql,
                              const struct pg_param *p, size_t n, const char *const *pointers,
                              struct pg_result **out);
/* Column `col` of a row holds JSON made by the database (jsonb_build_object): parsed; NULL and a
 * problem (500) when it is none. */
json_t *api_row_json(struct api_answer *a, const struct pg_result *r, size_t row, size_t col);
/* The common GET of one: statement with one row of one JSON column, or 404. */
void api_get(struct api_request *r, struct api_answer *a, const char *sql, const struct pg_param *p,
             size_t n);
/* The common list. sql: "SELECT json, key FROM ... WHERE key > $1 ... ORDER BY key LIMIT $2" (or <
 * and DESC): $1 is the cursor's key as text (NULL at the beginning), $2 limit + 1; p: further
 * parameters, $3 ... . Cursors are opaque and MACed: one of another operation or altered is 400. */
void api_list(struct api_request *r, struct api_answer *a, const char *sql,
              const struct pg_param *p, size_t n);
/* x-effect: commits now what was done so far and audits it; false: it failed, the problem is in the
 * answer, and the effect must not happen. r->db is NULL afterwards. A proposal (two-person policy)
 * is false too, with 202 in the answer. */
bool api_commit(struct api_request *r, struct api_answer *a);
/* After api_commit(): a further transaction, for what the effect was; r->db is there again until
 * the next api_commit(). False: the database is away, a says so. Give it an answer of its own: what
 * happened has happened. */
bool api_again(struct api_request *r, struct api_answer *a);
/* Takes that transaction back and forgets what its answer says. */
void api_abandon(struct api_request *r, struct api_answer *scratch);

/* One more connection, for an answer that goes on after its handler (a stream); the caller closes
 * it. NULL: the database is away. Its limits are those of a request until the caller sets others.
 */
struct pg_sync *api_db_of_stream(struct api *a);

/* Fields of a body that the schema has checked. */
struct view api_text(const json_t *body, const char *name); /* empty: absent or null */
bool api_bool(const json_t *body, const char *name, bool otherwise);
int64_t api_int(const json_t *body, const char *name, int64_t otherwise);
/* As parameters of a statement; the view lives as long as the body, the number's text must. */
struct pg_param api_text_param(const json_t *body, const char *name); /* PG_NULL: absent or null */

/* ---- life --------------------------------------------------------------------------------------
 */
struct api_cfg {
    const char *conninfo, *trace_conninfo;
    unsigned pool; /* database connections, 8; a request waits 2 s for one, then 503 */
    unsigned requests_per_second; /* of one principal, 50; bursts of four times that */
    struct principals *principals;
    struct gates *gates;
    struct events *events;
    const char *work_order_key;      /* file */
    struct checkpoints *checkpoints; /* checkpoint.h; NULL: none are made */
};
MUST_CHECK enum err api_new(const struct api_cfg *cfg, struct api **out, char *why,
                            size_t why_bytes);
void api_free(struct api *a);
void api_handle(void *api, const struct httpd_request *r); /* a httpd_handler */
const struct api_cfg *api_cfg(const struct api *a);
json_t *api_openapi(const struct api *a); /* the document; borrowed, never to be changed */

#endif
