/* The way of a request: who, how often, what, whether he may, with what, and then the handler. */
#include "admin_api/api.h"

#include <stdio.h>
#include <string.h>

#include "admin_api/api_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static bool know(struct api_request *r, struct api_answer *a)
{
    unsigned wait_s = 0;

    switch ((int)principals_who(r->api->cfg.principals, r->http, &r->who)) {
    case E_OK:
        break;
    case E_AUTH:
        api_problem(a, 401, "unauthorized", "", "no valid token or certificate came with it");
        return false;
    case E_DENIED:
        api_problem(a, 429, "rate-limited", "", "too many failures from where you are");
        a->retry_after_s = 60;
        return false;
    default:
        api_unavailable(a);
        return false;
    }
    wait_s = api_rates_take(r->api->rates, r->who.name, clock_mono_ms(clock_system()));
    if (wait_s > 0) {
        api_problem(a, 429, "rate-limited", "", "more than %u requests in a second",
                    r->api->cfg.requests_per_second);
        a->retry_after_s = wait_s;
        return false;
    }
    return true;
}

static bool find(struct api_request *r, struct api_answer *a, char *allow, size_t bytes)
{
    struct api_call *c = api_call_of(r);
    const struct api_path *path = api_doc_find(r->api->doc, r->http->path);

    if (path == NULL) {
        api_problem(a, 404, "not-found", "", "there is nothing at this path");
        return false;
    }
    c->op = api_path_op(path, r->http->method);
    if (c->op == NULL) {
        api_path_allow(path, allow, bytes);
        api_problem(a, 405, "method-not-allowed", "", "this path takes %s", allow);
        return false;
    }
    return true;
}

static bool may(struct api_request *r, struct api_answer *a)
{
    const struct api_op *op = api_call_of(r)->op;

    if (!principal_may(&r->who, op->permission)) {
        api_problem(a, 403, "forbidden", "", "this takes the permission %s",
                    permission_name(op->permission));
    }
    return !api_failed(a);
}

static bool take_values(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);
    struct api_field_error err = {0};
    enum err e = api_values_read(c->op, r->http->path, r->http->query, &c->values, &err);

    if (e == E_OK) {
        return true;
    }
    if (e != E_PARSE) {
        api_internal(a, "parameters");
    } else if (err.in_path) { /* what cannot be named does not exist */
        api_problem(a, 404, "not-found", "", "%s %s", err.name, err.detail);
    } else {
        api_problem_parameter(a, err.name, err.detail);
    }
    return false;
}

/* Within the transaction, or without any. */
static void handle(struct api_request *r, struct api_answer *a)
{
    const struct api_op *op = api_call_of(r)->op;
    bool changes = op->method != API_GET && op->method != API_POST;

    if (op->idempotent && !api_idem_begin(r, a)) {
        return;
    }
    if (op->etag && changes && !api_precondition(r, a)) {
        return;
    }
    op->handler(r, a);
}

static void run(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);
    const struct api_op *op = c->op;

    if (op->etag && op->method != API_GET && op->method != API_POST &&
        httpd_header(r->http, "If-Match").n == 0) {
        api_problem(a, 428, "precondition-required", "", "GET it, and give its ETag in If-Match");
        return;
    }
    if (op->db != API_DB_NONE && !api_begin(r, a, op->db)) {
        return;
    }
    handle(r, a);
    api_end(r, a);
    if (op->effect && c->committed && c->idempotency_key.n > 0 && c->proposed[0] == 0) {
        api_idem_settle(r, a);
    }
    if (c->idempotency_key.n > 0 && c->committed) {
        api_idem_purge(r->api);
    }
}

/* Whoever refused it: the permission, a handler, or the database. */
static void note_refusal(const struct api_request *r, const struct api_answer *a)
{
    const struct api_op *op = api_call_of(r)->op;
    const char *why = json_string_value(json_object_get(a->impl, "detail"));

    if (a->status == 403 && op != NULL) {
        principals_refused(r->api->cfg.principals, r->http, &r->who, op->id,
                           why != NULL ? why : "");
    }
}

/* Of the call that the answer is about, as the logs of the other daemons have it. */
static const char *call_id_of(const struct api_answer *a)
{
    const char *text =
        a->body != NULL ? json_string_value(json_object_get(a->body, "call_id")) : NULL;

    return text != NULL ? text : "";
}

static void note(const struct api_request *r, const struct api_answer *a, uint64_t began_us)
{
    const struct api_call *c = api_call_of(r);
    uint64_t us = clock_system()->mono_us(clock_system()->arg) - began_us;

    LOG(LV_INFO, "admin.request", KV("request", r->http->request_id), KV("method", r->http->method),
        KV("operation", c->op != NULL ? c->op->id : ""), KV("status", a->status),
        KV("person", r->who.name), KV("how", r->who.how != NULL ? r->who.how : ""),
        KV("call_id", call_id_of(a)), KV("us", (unsigned long)us));
}

static struct pg_sync *open_trace_db(struct api *a)
{
    struct pg_sync *db = NULL;

    return a->cfg.trace_conninfo != NULL && a->cfg.trace_conninfo[0] != 0 &&
                   api_db_open(a->cfg.trace_conninfo, &db) == E_OK
               ? db
               : NULL;
}

void api_handle(void *api, const struct httpd_request *http)
{
    struct api *me = api;
    struct api_call c = {.a = me};
    struct api_request r = {.http = http,
                            .trace_db = open_trace_db,
                            .api = me,
                            .gates = me->cfg.gates,
                            .events = me->cfg.events,
                            .impl = &c};
    struct api_answer a = {0};
    uint64_t began_us = clock_system()->mono_us(clock_system()->arg);
    char allow[64] = "";

    if (know(&r, &a) && find(&r, &a, allow, sizeof allow) && may(&r, &a) && take_values(&r, &a) &&
        api_take_body(&r, &a)) {
        run(&r, &a);
    }
    note_refusal(&r, &a);
    api_send(&r, &a, allow);
    note(&r, &a, began_us);
    api_answer_clear(&a);
    api_values_free(&c.values);
    json_decref(r.body);
    json_decref(r.merged);
    json_decref(r.current);
}

/* ---- life --------------------------------------------------------------------------------------
 */
/* From the one key that all headgate-admin of a cluster have; else cursors end with the process. */
static enum err make_cursor_key(struct api *a, char *why, size_t why_bytes)
{
    struct secret file = {0}, prk = {0};
    enum err e = E_OK;

    if (a->cfg.work_order_key == NULL || a->cfg.work_order_key[0] == 0) {
        return secret_random(&a->cursor_key, SHA256_BYTES);
    }
    e = secret_file_read(a->cfg.work_order_key, false, file.b, sizeof file.b, &file.n);
    if (e != E_OK) {
        snprintf(why, why_bytes, "%s: %s", a->cfg.work_order_key, err_text(e));
        goto out;
    }
    TRY(hkdf_extract(VIEW("headgate-admin"), view_from(file.b, file.n), &prk));
    TRY(hkdf_expand(&prk, VIEW("cursor"), SHA256_BYTES, &a->cursor_key));
out:
    secret_wipe(&file);
    secret_wipe(&prk);
    return e;
}

enum err api_new(const struct api_cfg *cfg, struct api **out, char *why, size_t why_bytes)
{
    struct api *a = mem_zalloc(sizeof *a);
    enum err e = E_OK;

    why[0] = 0;
    TRY(a != NULL ? E_OK : FAIL(E_NOMEM));
    a->cfg = *cfg;
    a->cfg.pool = cfg->pool > 0 ? cfg->pool : 8;
    a->cfg.requests_per_second = cfg->requests_per_second > 0 ? cfg->requests_per_second : 50;
    TRY(api_doc_load(api_document(), api_tables, &a->doc, why, why_bytes));
    TRY(make_cursor_key(a, why, why_bytes));
    TRY(api_pool_new(cfg->conninfo, a->cfg.pool, &a->pool));
    TRY(api_rates_new(a->cfg.requests_per_second, &a->rates));
    *out = a;
    return E_OK;
out:
    if (why[0] == 0) {
        snprintf(why, why_bytes, "%s", err_text(e));
    }
    api_free(a);
    return e;
}

void api_free(struct api *a)
{
    if (a != NULL) {
        secret_wipe(&a->cursor_key);
        api_rates_free(a->rates);
        api_pool_free(a->pool);
        api_doc_free(a->doc);
        mem_free(a);
    }
}
