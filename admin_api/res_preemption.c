/* Preemptions: what is asked, two people where policy says so, and what became of it. Written down
 * before a node is told, and again with what each node did. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/preemption.h"
#include "base/log.h"

#define UTC(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define ROW                                                                                        \
    "jsonb_build_object('id', p.id, 'at', " UTC(                                                   \
        "p.at") ", 'by', p.by, 'reason', p.reason, "                                               \
                "'scope', p.scope, 'call', CASE p.scope WHEN 'call' THEN p.what END, "             \
                "'number', CASE p.scope WHEN 'number' THEN p.what END, "                           \
                "'trunk', CASE p.scope WHEN 'trunk' THEN p.what END, 'prefixes', p.prefixes, "     \
                "'max', p.max, "                                                                   \
                "'below', nullif(p.below, ''), 'dry_run', p.dry_run, 'state', p.state, "           \
                "'approved_by', nullif(p.approved_by, ''), 'decided_at', " UTC(                    \
                    "p.decided_at") ", "                                                           \
                                    "'results', p.results)"
#define PREFIXES "ARRAY(SELECT jsonb_array_elements_text(coalesce($5::jsonb, '[]')))"

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static void list(struct api_request *r, struct api_answer *a)
{
    const char *state = api_param(r, "state");
    const struct pg_param p[] = {state != NULL ? PG_TEXT(view_of(state)) : PG_NULL};

    api_list(r, a,
             "SELECT " ROW ", p.id FROM core.preemption p WHERE ($1::bigint IS NULL OR p.id < $1) "
             "AND ($3::text IS NULL OR p.state = $3) ORDER BY p.id DESC LIMIT $2",
             p, 1);
}

static struct pg_param id_param(const struct api_request *r)
{
    return PG_TEXT(view_of(api_param(r, "id")));
}

static void get(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {id_param(r)};

    api_get(r, a, "SELECT " ROW " FROM core.preemption p WHERE p.id = $1", p, 1);
}

/* ---- asking ------------------------------------------------------------------------------------
 */
static const struct {
    const char *scope, *member;
} SCOPES[] = {{"call", "call"}, {"number", "number"}, {"trunk", "trunk"}, {"region", "prefixes"}};

/* The member that scope names is there, and no other. */
static bool check_scope(const struct api_request *r, struct api_answer *a)
{
    for (size_t i = 0; i < sizeof SCOPES / sizeof SCOPES[0]; i++) {
        bool wanted = strcmp(SCOPES[i].scope, text_of(r->body, "scope")) == 0;
        bool there = json_object_get(r->body, SCOPES[i].member) != NULL;
        char pointer[32];
        if (wanted != there) {
            (void)snprintf(pointer, sizeof pointer, "/%s", SCOPES[i].member);
            api_problem(a, 422, "invalid", pointer, "%s",
                        wanted ? "is required by this scope" : "does not go with this scope");
        }
    }
    return !api_failed(a);
}

static const char *what_of(const json_t *body)
{
    for (size_t i = 0; i < 3; i++) {
        const char *what = text_of(body, SCOPES[i].member);
        if (what[0] != 0) {
            return what;
        }
    }
    return "";
}

/* A trunk that does not exist would end nothing, and nobody would know why. */
static bool check_trunk(struct api_request *r, struct api_answer *a)
{
    const char *name = text_of(r->body, "trunk");
    const struct pg_param p[] = {PG_TEXT(view_of(name))};
    struct pg_result *res = NULL;

    if (name[0] == 0) {
        return true;
    }
    if (api_query(r, a, "SELECT FROM core.trunk t WHERE t.name = $1", p, 1, NULL, &res) != E_OK) {
        return false;
    }
    if (pg_rows(res) == 0) {
        api_problem(a, 422, "invalid", "/trunk", "there is no such trunk");
    }
    pg_result_free(res);
    return !api_failed(a);
}

/* The row; NULL: the answer says why not. */
static json_t *insert(struct api_request *r, struct api_answer *a)
{
    static const char sql[] =
        "INSERT INTO core.preemption AS p (by, reason, scope, what, prefixes, max, below, dry_run, "
        "state, request_id) SELECT $1, $2, $3, $4, " PREFIXES ", $6::int, $7, $8::bool, CASE WHEN "
        "coalesce((SELECT c.enabled FROM core.policy c WHERE c.name = 'two_person.preemption'), "
        "true) AND NOT $8::bool THEN 'proposed' ELSE 'approved' END, $9 RETURNING " ROW;
    static const char *const pointers[] = {"preemption_below_check", "/below", NULL};
    json_t *list_of = json_object_get(r->body, "prefixes"), *row = NULL;
    char *prefixes = list_of != NULL ? json_dumps(list_of, JSON_COMPACT) : NULL, max[24];
    struct pg_result *res = NULL;

    (void)snprintf(max, sizeof max, "%lld", (long long)api_int(r->body, "max", 0));
    const struct pg_param p[] = {
        PG_TEXT(view_of(r->who.name)),
        PG_TEXT(api_text(r->body, "reason")),
        PG_TEXT(api_text(r->body, "scope")),
        PG_TEXT(view_of(what_of(r->body))),
        prefixes != NULL ? PG_TEXT(view_of(prefixes)) : PG_NULL,
        PG_TEXT(view_of(max)),
        PG_TEXT(view_of(text_of(r->body, "below"))),
        PG_TEXT(view_of(api_bool(r->body, "dry_run", false) ? "true" : "false")),
        PG_TEXT(view_of(r->http->request_id))};
    if (api_query(r, a, sql, p, sizeof p / sizeof p[0], pointers, &res) == E_OK) {
        row = api_row_json(a, res, 0, 0);
    }
    pg_result_free(res);
    free(prefixes); /* jansson allocated it */
    return row;
}

/* ---- doing -------------------------------------------------------------------------------------
 */
/* What the nodes did, into the row. Without the database the answer alone has it. */
static void keep(struct api_request *r, json_t *row)
{
    char id[24], *results = json_dumps(json_object_get(row, "results"), JSON_COMPACT);
    struct api_answer scratch = {.status = 0};
    struct pg_result *res = NULL;
    bool kept = false;

    (void)snprintf(id, sizeof id, "%lld",
                   (long long)json_integer_value(json_object_get(row, "id")));
    const struct pg_param p[] = {PG_TEXT(view_of(id)),
                                 PG_TEXT(view_of(results != NULL ? results : "[]"))};
    if (api_again(r, &scratch)) {
        kept = api_query(r, &scratch,
                         "UPDATE core.preemption p SET state = 'done', results = $2::jsonb "
                         "WHERE p.id = $1",
                         p, 2, NULL, &res) == E_OK &&
               api_commit(r, &scratch);
    }
    if (kept) {
        (void)json_object_set_new(row, "state", json_string("done"));
    } else {
        api_abandon(r, &scratch);
        LOG(LV_ERROR, "preemption.not_kept", KV("preemption", (const char *)id));
    }
    pg_result_free(res);
    free(results); /* jansson allocated it */
}

/* row: approved, and in the audit log. */
static void carry_out(struct api_request *r, json_t *row)
{
    (void)json_object_set_new(row, "results", preemption_run(r, row));
    keep(r, row);
}

static void create(struct api_request *r, struct api_answer *a)
{
    json_t *row = check_scope(r, a) && check_trunk(r, a) ? insert(r, a) : NULL;

    if (row == NULL) {
        return;
    }
    (void)snprintf(a->location, sizeof a->location, "/api/v1/preemptions/%lld",
                   (long long)json_integer_value(json_object_get(row, "id")));
    a->body = row;
    a->status = strcmp(text_of(row, "state"), "proposed") == 0 ? 202 : 201;
    json_incref(row); /* api_commit() may clear the answer */
    if (api_commit(r, a) && a->status == 201) {
        carry_out(r, row);
    }
    json_decref(row);
}

/* ---- the second person -------------------------------------------------------------------------
 */
/* The row in its new state; NULL: the answer says why not. */
static json_t *decide(struct api_request *r, struct api_answer *a, const char *state)
{
    static const char sql[] =
        "UPDATE core.preemption p SET state = $2, approved_by = CASE $2 WHEN 'approved' THEN $3 "
        "ELSE '' END WHERE p.id = $1 RETURNING " ROW;
    const struct pg_param p[] = {id_param(r), PG_TEXT(view_of(state)),
                                 PG_TEXT(view_of(r->who.name))};
    const struct pg_param find[] = {id_param(r)};
    struct pg_result *res = NULL;
    json_t *row = NULL;

    if (api_query(r, a, "SELECT p.state FROM core.preemption p WHERE p.id = $1 FOR UPDATE", find, 1,
                  NULL, &res) != E_OK) {
        return NULL;
    }
    if (pg_rows(res) == 0) {
        api_problem(a, 404, "not-found", "", "there is no such preemption");
    } else if (!view_eq(pg_text(res, 0, 0), VIEW("proposed"))) {
        api_problem(a, 409, "conflict", "", "it is %.*s already", (int)pg_text(res, 0, 0).n,
                    pg_text(res, 0, 0).p);
    }
    pg_result_free(res);
    res = NULL;
    if (!api_failed(a) && api_query(r, a, sql, p, 3, NULL, &res) == E_OK) {
        row = api_row_json(a, res, 0, 0);
    }
    pg_result_free(res);
    return row;
}

static void approve(struct api_request *r, struct api_answer *a)
{
    json_t *row = decide(r, a, "approved");

    if (row == NULL) {
        return;
    }
    a->body = json_incref(row);
    if (api_commit(r, a)) {
        carry_out(r, row);
    }
    json_decref(row);
}

static void reject(struct api_request *r, struct api_answer *a)
{
    a->body = decide(r, a, "rejected");
}

const struct api_bind api_bind_preemption[] = {
    {"listPreemptions", list},           {"getPreemption", get},
    {"createPreemption", create},        {"approvePreemption", approve},
    {"rejectPreemption", reject},        {"listEmergencyModes", emergency_list},
    {"getEmergencyMode", emergency_get}, {"createEmergencyMode", emergency_create},
    {"endEmergencyMode", emergency_end}, {NULL, NULL},
};
