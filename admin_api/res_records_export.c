/* Call records as a file: CSV or JSON Lines, oldest first, as one snapshot of the table. A cursor
 * of the database holds the place, on a connection that the export has for itself, so that memory
 * is bounded here and there; who reads too slowly loses it (LIMITS). */
#include <stdio.h>
#include <string.h>

#include "admin_api/csv.h"
#include "admin_api/res_records.h"
#include "base/log.h"
#include "base/mem.h"

/* EXPORTS: at a time, over all headgate-admin of a database. */
enum { ROWS = 200, LINE_MAX_BYTES = 16 * 1024, EXPORTS = 4, LOCK_CLASS = 7620, SILENT_MS = 70000 };
#define LIMITS                                                                                     \
    "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '120s'; BEGIN "      \
    "TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

struct export
{
    struct pg_sync *db;
    bool is_csv, failed;
    struct pg_result *rows;
    size_t row;
    char line[LINE_MAX_BYTES];
    size_t n, at; /* of line: how long, how much of it went */
};

static const char *const COLUMNS[] = {
    "cdr_id",      "started_at",  "answered_at",  "ended_at", "seconds",
    "caller_line", "callee_line", "caller",       "called",   "routed",
    "route",       "status",      "ended_by",     "private",  "forwarded_by",
    "attest",      "priority",    "preempted_by", "call_id",  "node",
};
enum { N_COLUMNS = sizeof COLUMNS / sizeof *COLUMNS };

#define FIELDS                                                                                     \
    "c.cdr_id, " CDR_STARTED_AT ", " CDR_ANSWERED_AT ", " CDR_ENDED_AT ", " CDR_SECONDS            \
    ", c.caller_line, c.callee_line, c.caller, c.called, c.routed, c.route, c.status, c.end_by, "  \
    "c.private::text, c.forwarded_by, c.attest, c.priority, c.preempted_by, c.call_id, c.node"
/* The list's parameters begin at $3: $1 and $2 are there for the sake of the numbers alone. */
#define CURSOR(what)                                                                               \
    "DECLARE export NO SCROLL CURSOR FOR SELECT " what " FROM cdr.call c WHERE $1::text IS NULL "  \
    "AND $2::text IS NULL AND " CDR_FILTER " ORDER BY c.started_at, c.cdr_id"

static void forget(void *arg)
{
    struct export *x = arg;

    pg_result_free(x->rows);
    pg_sync_close(x->db);
    mem_free(x);
}

/* ---- lines ---- */

static enum err put_header(struct export *x)
{
    enum err e = E_OK;

    for (size_t i = 0; i < N_COLUMNS; i++) {
        TRY(csv_field(view_of(COLUMNS[i]), i == 0, x->line, sizeof x->line, &x->n));
    }
    TRY(csv_end(x->line, sizeof x->line, &x->n));
out:
    return e;
}

static enum err put_csv(struct export *x)
{
    enum err e = E_OK;

    for (size_t i = 0; i < N_COLUMNS; i++) {
        TRY(csv_field(pg_text(x->rows, x->row, i), i == 0, x->line, sizeof x->line, &x->n));
    }
    TRY(csv_end(x->line, sizeof x->line, &x->n));
out:
    return e;
}

static enum err put_json(struct export *x)
{
    struct view v = pg_text(x->rows, x->row, 0);

    if (v.n + 1 > sizeof x->line) {
        return FAIL(E_RANGE);
    }
    memcpy(x->line, v.p, v.n);
    x->line[v.n] = '\n';
    x->n = v.n + 1;
    return E_OK;
}

/* The next line into x->line; E_NOTFOUND: there is none. */
static enum err next_line(struct export *x)
{
    char fetch[32];
    enum err e = E_OK;

    x->n = x->at = 0;
    if (x->rows == NULL || x->row >= pg_rows(x->rows)) {
        pg_result_free(x->rows);
        x->rows = NULL;
        x->row = 0;
        snprintf(fetch, sizeof fetch, "FETCH %d FROM export", ROWS);
        TRY(pg_sync_query(x->db, fetch, NULL, 0, &x->rows));
        if (pg_rows(x->rows) == 0) {
            return E_NOTFOUND;
        }
    }
    TRY(x->is_csv ? put_csv(x) : put_json(x));
    x->row++;
out:
    return e;
}

/* Many short lines go at once. A stream that ends early must not look whole: that is an error of
 * the connection. */
static ssize_t pull(void *arg, char *to, size_t max)
{
    struct export *x = arg;
    size_t given = 0;

    while (given < max && !x->failed) {
        enum err e = x->at < x->n ? E_OK : next_line(x);
        size_t n = x->n - x->at < max - given ? x->n - x->at : max - given;
        if (e == E_NOTFOUND) {
            return given > 0 ? (ssize_t)given : HTTPD_PULL_END;
        }
        if (e != E_OK) {
            LOG(LV_WARN, "admin.export_failed", KV("error", err_text(e)));
            x->failed = true;
            break;
        }
        memcpy(to + given, x->line + x->at, n);
        x->at += n;
        given += n;
    }
    return given > 0 ? (ssize_t)given : HTTPD_PULL_FAILED;
}

/* ---- the beginning ---- */

static bool take_turn(struct export *x)
{
    struct pg_result *got = NULL;
    char sql[160];
    bool mine = false;

    snprintf(sql, sizeof sql,
             "SELECT i FROM generate_series(1, %d) AS i WHERE pg_try_advisory_lock(%d, i) LIMIT 1",
             EXPORTS, LOCK_CLASS);
    mine = pg_sync_query(x->db, sql, NULL, 0, &got) == E_OK && pg_rows(got) == 1;
    pg_result_free(got);
    return mine;
}

static bool begin(struct api_request *r, struct export *x)
{
    struct pg_param p[2 + CDR_FILTERS] = {PG_NULL, PG_NULL};
    char why[256];

    cdr_filter(r, p + 2);
    return pg_sync_script(x->db, LIMITS, why, sizeof why) == E_OK &&
           pg_sync_query(x->db, x->is_csv ? CURSOR(FIELDS) : CURSOR(CDR_JSON "::text"), p,
                         2 + CDR_FILTERS, NULL) == E_OK &&
           (!x->is_csv || put_header(x) == E_OK);
}

static bool start(struct api_request *r, struct api_answer *a, struct export *x)
{
    x->db = api_db_of_stream(r->api);
    if (x->db == NULL) {
        a->retry_after_s = 5;
        api_problem(a, 503, "unavailable", "", "the database has no connection for an export");
        return false;
    }
    pg_sync_limit(x->db, SILENT_MS);
    if (!take_turn(x)) {
        a->retry_after_s = 30;
        api_problem(a, 503, "unavailable", "", "%d exports run already", EXPORTS);
        return false;
    }
    if (!begin(r, x)) {
        a->retry_after_s = 5;
        api_problem(a, 503, "unavailable", "", "the database did not begin the export");
        return false;
    }
    return true;
}

void res_export_cdrs(struct api_request *r, struct api_answer *a)
{
    const char *format = api_param(r, "format");
    struct export *x = mem_zalloc(sizeof *x);
    const char *const params[] = {CDR_PARAMS[0], CDR_PARAMS[1], CDR_PARAMS[2],
                                  CDR_PARAMS[3], CDR_PARAMS[4], CDR_PARAMS[5],
                                  CDR_PARAMS[6], "format",      NULL};

    if (x == NULL) {
        api_problem(a, 503, "unavailable", "", "no memory");
        return;
    }
    x->is_csv = format == NULL || strcmp(format, "csv") == 0;
    if (!records_audit(r, a, "cdrs exported", params, NULL) || !start(r, a, x)) {
        forget(x);
        return;
    }
    a->content_type = x->is_csv ? "text/csv; charset=utf-8; header=present" : "application/jsonl";
    a->pull = pull;
    a->done = forget;
    a->arg = x;
}
