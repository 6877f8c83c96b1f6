/* admin_api/api_int.h - what the files of the engine share. Handlers see api.h alone. */
#ifndef ADMIN_API_API_INT_H
#define ADMIN_API_API_INT_H

#include <stdatomic.h>

#include "admin_api/api.h"
#include "admin_api/api_doc.h"
#include "base/crypto.h"

#define API_PROBLEM_TYPE "https://headgate.invalid/problems/"
#define API_PROBLEM_JSON "application/problem+json"
#define API_RETRY_S      2

enum { API_ETAG_MAX = 36 };

struct api_pool;
struct api_rates;

struct api {
    struct api_cfg cfg;
    struct api_doc *doc;
    struct api_pool *pool;
    struct api_rates *rates;
    struct secret cursor_key;
    atomic_uint keys; /* Idempotency-Keys kept */
};

/* One request under way: api_request.impl. */
struct api_call {
    struct api *a;
    const struct api_op *op; /* whose parameters api_param() knows */
    struct api_values values;
    bool in_transaction, committed, lost; /* lost: the connection is of no more use */
    char proposed[200];                   /* numbers of changes, when a policy made some */
    struct view idempotency_key;          /* empty: none */
    uint8_t request_hash[SHA256_BYTES];
    char link[512];          /* Link */
    char etag[API_ETAG_MAX]; /* ETag */
};

static inline struct api_call *api_call_of(const struct api_request *r)
{
    return r->impl;
}

/* ---- api_problem.c ---- */
/* Title of a type; NULL: no such. */
const char *api_problem_title(const char *type);
/* As api_problem(), for a parameter of the query. */
void api_problem_parameter(struct api_answer *a, const char *name, const char *detail);
/* 422 with a pointer for each; there is at least one. */
void api_problem_fields(struct api_answer *a, const struct schema_errors *errors);
/* The document for the wire, with the request's id. */
char *api_problem_text(const struct api_answer *a, const char *request_id);
void api_unavailable(struct api_answer *a);
void api_internal(struct api_answer *a, const char *where);
/* Nothing of the answer is left. */
void api_answer_clear(struct api_answer *a);

/* ---- api_body.c ---- */
/* The body read and checked into r->body; false: the answer says what is wrong. */
bool api_take_body(struct api_request *r, struct api_answer *a);

/* ---- api_precond.c: within the request's transaction ---- */
/* If-Match against what GET answers now: r->current, and r->merged of a patch. False: the answer is
 * there. */
bool api_precondition(struct api_request *r, struct api_answer *a);

/* ---- api_pool.c: connections of the database; threads: any ---- */
MUST_CHECK enum err api_pool_new(const char *conninfo, unsigned n, struct api_pool **out);
void api_pool_free(struct api_pool *p);
/* E_TIMEOUT: none came free; E_IO: the database is away. */
MUST_CHECK enum err api_pool_take(struct api_pool *p, unsigned wait_ms, struct pg_sync **out);
void api_pool_give(struct api_pool *p, struct pg_sync *db, bool is_lost);
/* A new one, of whoever asks. */
MUST_CHECK enum err api_db_open(const char *conninfo, struct pg_sync **out);

/* ---- api_tx.c: one transaction for one request ---- */
/* False: the answer says why not. */
bool api_begin(struct api_request *r, struct api_answer *a, enum api_db mode);
/* COMMIT, or ROLLBACK when the answer is a refusal; gives the connection back. */
void api_end(struct api_request *r, struct api_answer *a);

/* ---- api_sql.c ---- */
/* What a failed statement means for who asked. res may be NULL. */
void api_sql_problem(struct api_request *r, struct api_answer *a, enum err e,
                     const struct pg_result *res, const char *const *pointers);
/* Whether a policy made proposals of what was done so far: then the answer is 202. */
bool api_take_proposals(struct api_request *r, struct api_answer *a);

/* ---- api_patch.c ---- */
/* RFC 7396; a new reference. NULL: no memory. */
json_t *api_merge(const json_t *target, const json_t *patch);

/* ---- api_etag.c ---- */
/* Strong, of the representation. False: no memory. */
bool api_etag_of(const json_t *body, char out[API_ETAG_MAX]);
/* RFC 9110 section 13.1.1: a list of entity tags, or "*". weak_too: 13.1.2, If-None-Match. */
bool api_etag_in(struct view list, const char *etag, bool weak_too);

/* ---- api_cursor.c ---- */
enum { API_KEY_MAX = 256, API_CURSOR_MAX = 2 * (16 + API_KEY_MAX) + 1 };
/* key: 1 to API_KEY_MAX octets. False: longer. */
bool api_cursor_make(struct api_request *r, struct view key, char out[API_CURSOR_MAX]);
bool api_cursor_open(struct api_request *r, const char *cursor, char key[API_KEY_MAX + 1]);

/* ---- api_idem.c: within the request's transaction ---- */
/* True: go on. False: the answer is there (of the first time, or a refusal). */
bool api_idem_begin(struct api_request *r, struct api_answer *a);
/* Before the commit that makes it final: what to answer the next time. */
bool api_idem_keep(struct api_request *r, struct api_answer *a);
/* After an effect: the final answer in place of "under way". */
void api_idem_settle(struct api_request *r, const struct api_answer *a);
/* Now and then: what is older than a day goes. */
void api_idem_purge(struct api *a);

/* ---- api_rate.c ---- */
MUST_CHECK enum err api_rates_new(unsigned per_second, struct api_rates **out);
void api_rates_free(struct api_rates *r);
/* 0: go on; else seconds to wait. */
unsigned api_rates_take(struct api_rates *r, const char *name, uint64_t now_ms);

/* ---- api_send.c ---- */
/* The one answer on the wire; frees what the answer holds. */
void api_send(struct api_request *r, struct api_answer *a, const char *allow);

#endif
