/* Emergency modes: rows that the gate controllers follow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/preemption.h"

#define UTC(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define ROW                                                                                        \
    "jsonb_build_object('id', m.id, 'scope', m.scope, 'prefixes', m.prefixes, 'trunks', "          \
    "m.trunks, "                                                                                   \
    "'share', m.share, 'ends_at', " UTC(                                                           \
        "m.ends_at") ", 'reason', m.reason, "                                                      \
                     "'exempt_lines', m.exempt_lines, 'exempt_trunks', m.exempt_trunks, "          \
                     "'declared_by', m.declared_by, 'declared_at', " UTC(                          \
                         "m.declared_at") ", "                                                     \
                                          "'ended_at', " UTC(                                      \
                                              "m.ended_at") ", 'ended_by', nullif(m.ended_by, "    \
                                                            "''), "                                \
                                                            "'in_force', m.ended_at IS NULL AND "  \
                                                            "m.ends_at > now())"
#define TEXTS(n) "ARRAY(SELECT jsonb_array_elements_text(coalesce($" n "::jsonb, '[]')))"
#define IDS(n)   "ARRAY(SELECT jsonb_array_elements_text(coalesce($" n "::jsonb, '[]'))::bigint)"

enum { LISTS = 4 };
static const char *const LIST_NAMES[LISTS] = {"prefixes", "trunks", "exempt_lines",
                                              "exempt_trunks"};

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

void emergency_list(struct api_request *r, struct api_answer *a)
{
    const char *in_force = api_param(r, "in_force");
    const struct pg_param p[] = {PG_TEXT(view_of(in_force != NULL ? in_force : "false"))};

    api_list(r, a,
             "SELECT " ROW ", m.id FROM core.emergency_mode m WHERE ($1::bigint IS NULL OR m.id < "
             "$1) AND (NOT $3::bool OR (m.ended_at IS NULL AND m.ends_at > now())) "
             "ORDER BY m.id DESC LIMIT $2",
             p, 1);
}

void emergency_get(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {PG_TEXT(view_of(api_param(r, "id")))};

    api_get(r, a, "SELECT " ROW " FROM core.emergency_mode m WHERE m.id = $1", p, 1);
}

/* ---- declaring ---------------------------------------------------------------------------------
 */
static bool check_scope(const struct api_request *r, struct api_answer *a)
{
    static const char *const scopes[2] = {"region", "trunks"};

    for (size_t i = 0; i < 2; i++) { /* the first two lists */
        bool wanted = strcmp(scopes[i], text_of(r->body, "scope")) == 0;
        bool there = json_object_get(r->body, LIST_NAMES[i]) != NULL;
        char pointer[32];
        if (wanted != there) {
            (void)snprintf(pointer, sizeof pointer, "/%s", LIST_NAMES[i]);
            api_problem(a, 422, "invalid", pointer, "%s",
                        wanted ? "is required by this scope" : "does not go with this scope");
        }
    }
    return !api_failed(a);
}

/* Rows that the lists name are there: an exemption of nobody helps nobody. */
static bool check_rows(struct api_request *r, struct api_answer *a, const struct pg_param *p)
{
    static const char sql[] = "SELECT EXISTS (SELECT FROM unnest(" IDS(
        "1") ") x WHERE NOT EXISTS (SELECT FROM "
             "core.trunk t WHERE t.trunk_id = x)), EXISTS (SELECT FROM unnest(" IDS(
                 "2") ") x WHERE NOT "
                      "EXISTS (SELECT FROM core.line l WHERE l.line_id = x)), EXISTS (SELECT FROM "
                      "unnest(" IDS("3") ") x WHERE NOT EXISTS (SELECT FROM core.trunk t WHERE "
                                         "t.trunk_id = x))";
    struct pg_result *res = NULL;

    if (api_query(r, a, sql, p, 3, NULL, &res) != E_OK) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        char pointer[32];
        if (pg_bool(res, 0, i)) {
            (void)snprintf(pointer, sizeof pointer, "/%s", LIST_NAMES[i + 1]);
            api_problem(a, 422, "invalid", pointer, "one of these does not exist");
        }
    }
    pg_result_free(res);
    return !api_failed(a);
}

static void insert(struct api_request *r, struct api_answer *a, const struct pg_param lists[LISTS])
{
    static const char sql[] =
        "INSERT INTO core.emergency_mode AS m (declared_by, ends_at, reason, scope, share, "
        "prefixes, trunks, exempt_lines, exempt_trunks) VALUES ($1, $2::timestamptz, $3, $4, "
        "$5::int, " TEXTS("6") ", " IDS("7") ", " IDS("8") ", " IDS("9") ") RETURNING " ROW;
    static const char *const pointers[] = {"emergency_mode_check3", "/ends_at", NULL};
    struct pg_result *res = NULL;
    char share[24];

    (void)snprintf(share, sizeof share, "%lld", (long long)api_int(r->body, "share", 0));
    const struct pg_param p[] = {PG_TEXT(view_of(r->who.name)),
                                 PG_TEXT(api_text(r->body, "ends_at")),
                                 PG_TEXT(api_text(r->body, "reason")),
                                 PG_TEXT(api_text(r->body, "scope")),
                                 PG_TEXT(view_of(share)),
                                 lists[0],
                                 lists[1],
                                 lists[2],
                                 lists[3]};
    if (api_query(r, a, sql, p, sizeof p / sizeof p[0], pointers, &res) == E_OK) {
        a->body = api_row_json(a, res, 0, 0);
        a->status = 201;
        (void)snprintf(a->location, sizeof a->location, "/api/v1/emergency-modes/%lld",
                       (long long)json_integer_value(json_object_get(a->body, "id")));
    }
    pg_result_free(res);
}

void emergency_create(struct api_request *r, struct api_answer *a)
{
    struct pg_param lists[LISTS];
    char *texts[LISTS];

    if (!check_scope(r, a)) {
        return;
    }
    for (size_t i = 0; i < LISTS; i++) {
        const json_t *list = json_object_get(r->body, LIST_NAMES[i]);
        texts[i] = list != NULL ? json_dumps(list, JSON_COMPACT) : NULL;
        lists[i] = texts[i] != NULL ? PG_TEXT(view_of(texts[i])) : PG_NULL;
    }
    if (check_rows(r, a, lists + 1)) {
        insert(r, a, lists);
    }
    for (size_t i = 0; i < LISTS; i++) {
        free(texts[i]); /* jansson allocated it */
    }
}

/* ---- ending ------------------------------------------------------------------------------------
 */
void emergency_end(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {PG_TEXT(view_of(api_param(r, "id"))),
                                 PG_TEXT(view_of(r->who.name))};
    struct pg_result *res = NULL;

    if (api_query(r, a,
                  "UPDATE core.emergency_mode m SET ended_at = now(), ended_by = $2 "
                  "WHERE m.id = $1 RETURNING m.id",
                  p, 2, NULL, &res) == E_OK &&
        pg_rows(res) == 0) {
        api_problem(a, 404, "not-found", "", "there is no such mode");
    }
    pg_result_free(res);
}
