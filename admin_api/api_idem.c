/* Idempotency-Key: the first answer again, kept in the transaction that it tells of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/api_int.h"
#include "base/log.h"

#define KEY_MAX     128
#define PURGE_EVERY 256 /* keys */

/* Method and path, as the row has them. */
static void operation_of(const struct api_request *r, char *out, size_t bytes)
{
    snprintf(out, bytes, "%.*s %.*s", (int)r->http->method.n, r->http->method.p,
             (int)r->http->path.n, r->http->path.p);
}

/* Keyed: a body may hold a password, and what the database has must not tell who guesses it that he
 * is right. */
static bool hash_request(struct api_request *r)
{
    struct view parts[] = {VIEW("request"), r->http->method, VIEW(" "),  r->http->path,
                           VIEW("?"),       r->http->query,  VIEW("\n"), r->http->body};
    struct hmac_key mac;
    bool done =
        hmac_key_set(&mac, &r->api->cursor_key) == E_OK &&
        hmac_parts(&mac, parts, sizeof parts / sizeof *parts, api_call_of(r)->request_hash) == E_OK;

    wipe(&mac, sizeof mac);
    return done;
}

static bool is_key(struct view key)
{
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] <= ' ' || key.p[i] > '~') {
            return false;
        }
    }
    return key.n >= 1 && key.n <= KEY_MAX;
}

/* The first one's row: its answer, or why not. */
static void answer_again(struct api_request *r, struct api_answer *a, const struct pg_result *res)
{
    struct api_call *c = api_call_of(r);
    uint8_t hash[SHA256_BYTES];
    size_t n = 0;

    if (pg_octets(res, 0, 0, hash, sizeof hash, &n) != E_OK ||
        !bytes_eq(hash, c->request_hash, sizeof hash)) {
        api_problem(a, 422, "key-reused", "", "this Idempotency-Key came with another request");
        return;
    }
    if (pg_is_null(res, 0, 1)) {
        api_problem(a, 409, "under-way", "", "the first request with this key has no answer yet");
        return;
    }
    a->status = (unsigned)pg_u64(res, 0, 1);
    IGNORE(view_to_cstr(pg_text(res, 0, 2), a->location, sizeof a->location), "it was ours");
    if (!pg_is_null(res, 0, 3)) {
        json_t *was = api_row_json(a, res, 0, 3);
        if (a->status == 202) {
            a->impl = was; /* a proposal */
        } else {
            a->body = was;
        }
    }
    c->idempotency_key = VIEW(""); /* it is kept already */
}

bool api_idem_begin(struct api_request *r, struct api_answer *a)
{
    static const char find[] =
        "SELECT request_hash, status, location, answer FROM core.idempotency "
        "WHERE principal = $1 AND key = $2 AND at > now() - interval '1 day'";
    struct api_call *c = api_call_of(r);
    struct view key = httpd_header(r->http, "Idempotency-Key");
    struct pg_param p[] = {PG_TEXT(view_of(r->who.name)), PG_TEXT(key)};
    struct pg_result *res = NULL;

    if (key.n == 0) {
        return true;
    }
    if (!is_key(key) || !hash_request(r)) {
        api_problem(a, 400, "bad-request", "", "an Idempotency-Key has 1 to %d visible characters",
                    KEY_MAX);
        return false;
    }
    /* One at a time for each key: the others are told, and do not wait. */
    if (api_query(r, a, "SELECT pg_try_advisory_xact_lock(7614, hashtext($1 || chr(1) || $2))", p,
                  2, NULL, &res) != E_OK) {
        return false;
    }
    bool is_first = pg_bool(res, 0, 0);
    pg_result_free(res);
    if (!is_first) {
        api_problem(a, 409, "under-way", "", "a request with this key is under way");
        return false;
    }
    if (pg_sync_query(r->db, find, p, 2, &res) != E_OK) {
        api_sql_problem(r, a, E_STATE, res, NULL);
        pg_result_free(res);
        return false;
    }
    bool is_new = pg_rows(res) == 0;
    if (is_new) {
        c->idempotency_key = key;
    } else {
        answer_again(r, a, res);
    }
    pg_result_free(res);
    return is_new;
}

static char *answer_text(const struct api_answer *a)
{
    const json_t *body = a->impl != NULL ? a->impl : a->body;

    return body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
}

static unsigned status_of(const struct api_answer *a)
{
    return a->status != 0 ? a->status : a->body != NULL ? 200 : 204;
}

bool api_idem_keep(struct api_request *r, struct api_answer *a)
{
    static const char keep[] =
        "INSERT INTO core.idempotency (principal, key, operation, request_hash, status, location, "
        "answer) VALUES ($1, $2, $3, $4, $5::smallint, $6, $7) ON CONFLICT (principal, key) DO "
        "UPDATE SET operation = $3, request_hash = $4, status = $5::smallint, location = $6, "
        "answer = $7, at = now()";
    struct api_call *c = api_call_of(r);
    char operation[512], status[16];
    char *text = answer_text(a);
    bool is_open = c->op->effect && c->proposed[0] == 0; /* the answer is not known yet */

    operation_of(r, operation, sizeof operation);
    snprintf(status, sizeof status, "%u", status_of(a));
    struct pg_param p[] = {PG_TEXT(view_of(r->who.name)),
                           PG_TEXT(c->idempotency_key),
                           PG_TEXT(view_of(operation)),
                           PG_BYTES(view_from(c->request_hash, sizeof c->request_hash)),
                           is_open ? PG_NULL : PG_TEXT(view_of(status)),
                           PG_TEXT(view_of(a->location)),
                           is_open || text == NULL ? PG_NULL : PG_TEXT(view_of(text))};
    struct pg_result *res = NULL;
    enum err e = pg_sync_query(r->db, keep, p, sizeof p / sizeof *p, &res);
    if (e != E_OK) {
        api_answer_clear(a);
        c->proposed[0] = 0; /* all of it is taken back */
        api_sql_problem(r, a, e, res, NULL);
    }
    pg_result_free(res);
    free(text); /* jansson allocated it */
    return e == E_OK;
}

void api_idem_settle(struct api_request *r, const struct api_answer *a)
{
    static const char settle[] =
        "UPDATE core.idempotency SET status = $3::smallint, location = $4, "
        "answer = $5 WHERE principal = $1 AND key = $2";
    struct api_call *c = api_call_of(r);
    struct pg_sync *db = NULL;
    char status[16];

    if (api_pool_take(r->api->pool, 2000, &db) != E_OK) {
        return; /* "under way" stays, which is no lie to anybody who asks again */
    }
    char *text = answer_text(a);
    snprintf(status, sizeof status, "%u", status_of(a));
    struct pg_param p[] = {PG_TEXT(view_of(r->who.name)), PG_TEXT(c->idempotency_key),
                           PG_TEXT(view_of(status)), PG_TEXT(view_of(a->location)),
                           text != NULL ? PG_TEXT(view_of(text)) : PG_NULL};
    enum err e = pg_sync_query(db, settle, p, sizeof p / sizeof *p, NULL);
    if (e != E_OK) {
        LOG(LV_WARN, "admin.idempotency", KV_ERR(e), KV("operation", c->op->id));
    }
    api_pool_give(r->api->pool, db, e == E_IO);
    free(text); /* jansson allocated it */
}

void api_idem_purge(struct api *a)
{
    struct pg_sync *db = NULL;

    if (atomic_fetch_add(&a->keys, 1) % PURGE_EVERY != 0 ||
        api_pool_take(a->pool, 0, &db) != E_OK) {
        return;
    }
    enum err e = pg_sync_query(db, "SELECT core.purge_idempotency()", NULL, 0, NULL);
    if (e != E_OK) {
        LOG(LV_WARN, "admin.idempotency", KV_ERR(e), KV("operation", "purge"));
    }
    api_pool_give(a->pool, db, e == E_IO);
}
