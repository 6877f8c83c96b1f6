/* Call records, and traces of malicious calls (which another database role reads). Who reads traces
 * or takes call records away is in the audit log. */
#include "admin_api/res_records.h"

#include <stdlib.h>
#include <string.h>

/* ---- call records ---- */

/* A position in the order of time: 27 letters, a blank, the record's id. */
#define CDR_KEY                                                                                    \
    "to_char(c.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') || ' ' || "     \
    "c.cdr_id"

const char *const CDR_PARAMS[] = {"from",   "to",    "line_id", "number",
                                  "status", "route", "node",    NULL};

void cdr_filter(const struct api_request *r, struct pg_param out[CDR_FILTERS])
{
    for (size_t i = 0; i < CDR_FILTERS; i++) {
        out[i] = res_param(r, CDR_PARAMS[i]);
    }
}

static void res_list_cdrs(struct api_request *r, struct api_answer *a)
{
    struct pg_param p[CDR_FILTERS];

    cdr_filter(r, p);
    api_list(r, a,
             "SELECT " CDR_JSON ", " CDR_KEY " FROM cdr.call c WHERE ($1::text IS NULL OR "
             "(c.started_at, c.cdr_id) < (left($1::text, 27)::timestamptz, substr($1::text, 29))) "
             "AND " CDR_FILTER " ORDER BY c.started_at DESC, c.cdr_id DESC LIMIT $2::bigint",
             p, CDR_FILTERS);
}

static void res_get_cdr(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "cdr_id");

    api_get(r, a, "SELECT " CDR_JSON " FROM cdr.call c WHERE c.cdr_id = $1", &id, 1);
}

/* ---- what is told to the audit log ---- */

bool records_audit(struct api_request *r, struct api_answer *a, const char *object,
                   const char *const *params, json_t *more)
{
    json_t *detail = more != NULL ? more : json_object();
    char *text = NULL;
    bool done = false;

    for (size_t i = 0; params[i] != NULL; i++) {
        const char *value = api_param(r, params[i]);
        if (value != NULL) {
            json_object_set_new(detail, params[i], json_string(value));
        }
    }
    text = json_dumps(detail, JSON_COMPACT);
    const struct pg_param p[] = {PG_TEXT(view_of(object)), PG_TEXT(view_of(text))};
    done = res_do(r, a, "SELECT core.note_effect($1, $2::jsonb)", p, 2, NULL);
    free(text); /* jansson allocated it */
    json_decref(detail);
    return done;
}

/* ---- traces ---- */

#define TRACE_AT           JSON_TIME("t.at")
#define TRACE_CALL_STARTED JSON_TIME_MS("t.call_started")
#define TRACE                                                                                      \
    "jsonb_build_object('trace_id', t.id, 'at', " TRACE_AT                                         \
    ", 'line_id', t.line_id, 'caller', t.caller, 'called', t.called, 'private', t.private, "       \
    "'call_started_at', " TRACE_CALL_STARTED ", 'call_id', t.call_id, 'node', t.node)"

typedef void trace_read(struct api_request *r, struct api_answer *a);

static void read_list(struct api_request *r, struct api_answer *a)
{
    const struct pg_param line = res_param(r, "line_id");

    api_list(r, a,
             "SELECT " TRACE ", t.id FROM trace.record t WHERE ($1::bigint IS NULL OR t.id < "
             "$1::bigint) AND ($3::bigint IS NULL OR t.line_id = $3::bigint) ORDER BY t.id DESC "
             "LIMIT $2::bigint",
             &line, 1);
}

static void read_one(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "trace_id");

    api_get(r, a, "SELECT " TRACE " FROM trace.record t WHERE t.id = $1::bigint", &id, 1);
}

/* The statement goes over the connection of the role that may read traces, everything else over
 * ours. */
static void as_hg_trace(struct api_request *r, struct api_answer *a, trace_read *read)
{
    struct pg_sync *ours = r->db, *theirs = r->trace_db(r->api);

    if (theirs == NULL) {
        a->retry_after_s = 5;
        api_problem(a, 503, "unavailable", "", "the database of traces cannot be reached");
        return;
    }
    r->db = theirs;
    read(r, a);
    r->db = ours;
    pg_sync_close(theirs);
}

static void res_list_traces(struct api_request *r, struct api_answer *a)
{
    static const char *const params[] = {"line_id", "cursor", "limit", NULL};
    const json_t *items = NULL;
    json_t *ids = NULL, *one = NULL;
    size_t i = 0;

    as_hg_trace(r, a, read_list);
    if (api_failed(a)) {
        return;
    }
    ids = json_array();
    items = json_object_get(a->body, "items");
    json_array_foreach(items, i, one)
    {
        json_array_append(ids, json_object_get(one, "trace_id"));
    }
    (void)records_audit(r, a, "traces read", params, json_pack("{s:o}", "traces", ids));
}

static void res_get_trace(struct api_request *r, struct api_answer *a)
{
    static const char *const params[] = {"trace_id", NULL};

    as_hg_trace(r, a, read_one);
    if (!api_failed(a)) {
        (void)records_audit(r, a, "traces read", params, NULL);
    }
}

const struct api_bind api_bind_records[] = {
    {"listCdrs", res_list_cdrs},     {"getCdr", res_get_cdr},     {"exportCdrs", res_export_cdrs},
    {"listTraces", res_list_traces}, {"getTrace", res_get_trace}, {NULL, NULL},
};
