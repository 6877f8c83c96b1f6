/* Lines: what a subscriber has numbers, keys and services on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/res_subscribers.h"

#define CREATED_AT JSON_TIME("l.created_at")
#define LINE                                                                                       \
    "jsonb_build_object('line_id', l.line_id, 'account_id', l.account_id, 'display', l.display, "  \
    "'level', CASE l.level WHEN 1 THEN 'administrator' ELSE 'user' END, 'priority', "              \
    "to_jsonb(string_to_array(l.priority, ' ')), 'barred', l.barred, 'account_barred', a.barred, " \
    "'numbers', (SELECT coalesce(jsonb_agg(n.number ORDER BY NOT n.is_primary, n.number), "        \
    "'[]'::jsonb) FROM core.number n WHERE n.line_id = l.line_id), 'services', " JSON_SERVICES     \
    ", 'created_at', " CREATED_AT ")"
#define FROM_LINE                                                                                  \
    " FROM core.line l JOIN core.account a USING (account_id) LEFT JOIN core.line_service s "      \
    "USING (line_id) WHERE "
#define LINE_BY_ID   "SELECT " LINE FROM_LINE "l.line_id = $1::bigint"
#define LEVEL(param) "CASE " param "::text WHEN 'administrator' THEN 1 ELSE 0 END::smallint"

void res_list_lines(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "account_id"), res_param(r, "number"),
                                 res_param(r, "level"), res_param(r, "barred")};

    api_list(r, a,
             "SELECT " LINE ", l.line_id" FROM_LINE
             "($1::bigint IS NULL OR l.line_id > $1::bigint) AND ($3::bigint IS NULL OR "
             "l.account_id = $3::bigint) AND ($4::text IS NULL OR l.line_id = (SELECT n.line_id "
             "FROM core.number n WHERE n.number = $4::text)) AND ($5::text IS NULL OR l.level "
             "= " LEVEL("$5") ") AND ($6::boolean IS NULL OR (l.barred OR a.barred) = "
                              "$6::boolean) ORDER BY l.line_id LIMIT $2::bigint",
             p, 4);
}

void res_get_line(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "line_id");

    api_get(r, a, r->for_update ? LINE_BY_ID " FOR UPDATE OF l" : LINE_BY_ID, &id, 1);
}

/* The index of the first number that somebody has. */
#define TAKEN                                                                                      \
    "SELECT (t.i - 1)::text FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS t (v, "   \
    "i) JOIN core.number n ON n.number = t.v ORDER BY t.i LIMIT 1"

/* In one statement: a policy makes a proposal of each of them, and the request ends there. */
static bool add_numbers(struct api_request *r, struct api_answer *a, const char *line)
{
    static const char *const pointers[] = {"number_pkey", "/numbers", "number", "/numbers", NULL};
    char *numbers = json_dumps(json_object_get(r->body, "numbers"), JSON_COMPACT);
    const struct pg_param p[] = {PG_TEXT(view_of(numbers != NULL ? numbers : "[]")),
                                 PG_TEXT(view_of(line))};
    char taken[RES_INT_TEXT], at[32];
    bool done = res_ask(r, a, TAKEN, p, 1, NULL, taken, sizeof taken);

    if (done && taken[0] != 0) {
        snprintf(at, sizeof at, "/numbers/%.8s", taken);
        api_problem(a, 409, "exists", at, "the number is assigned already");
        done = false;
    }
    done = done && res_do(r, a,
                          "INSERT INTO core.number (number, line_id, is_primary) SELECT t.v, "
                          "$2::bigint, t.i = 1 FROM jsonb_array_elements_text($1::jsonb) WITH "
                          "ORDINALITY AS t (v, i) ORDER BY t.i",
                          p, 2, pointers);
    free(numbers); /* jansson allocated it */
    return done;
}

/* A line that is not there yet has no numbers but these. */
static bool check_own_numbers(const json_t *body, struct api_answer *a)
{
    static const char *const forwards[] = {"forward_always", "forward_busy", "forward_no_answer"};
    const json_t *services = json_object_get(body, "services");
    size_t i = 0;
    json_t *number = NULL;

    for (size_t f = 0; f < sizeof forwards / sizeof *forwards; f++) {
        struct view to = api_text(services, forwards[f]);
        json_array_foreach(json_object_get(body, "numbers"), i, number)
        {
            if (to.n > 0 && view_eq(to, view_of(json_string_value(number)))) {
                char at[64];
                snprintf(at, sizeof at, "/services/%s", forwards[f]);
                api_problem(a, 422, "invalid", at, "a line cannot forward to itself");
                return false;
            }
        }
    }
    return true;
}

static const char *const line_entitles[] = {"level", "priority", NULL};

void res_create_line(struct api_request *r, struct api_answer *a)
{
    static const char *const pointers[] = {"line_account_id_fkey", "/account_id",
                                           "line_priority_check", "/priority", NULL};
    const json_t *services = json_object_get(r->body, "services");
    char id[RES_INT_TEXT], account[RES_INT_TEXT], priority[RES_LIST_TEXT];
    const struct pg_param p[] = {res_int(r->body, "account_id", account),
                                 api_text_param(r->body, "display"),
                                 api_text_param(r->body, "level"), res_priority(r->body, priority),
                                 res_bool(r->body, "barred")};

    if (!res_may_entitle(r, a, line_entitles) ||
        !res_check_priority(json_object_get(r->body, "priority"), a) ||
        !res_ask(r, a,
                 "INSERT INTO core.line (account_id, display, level, priority, barred) VALUES "
                 "($1::bigint, coalesce($2, ''), " LEVEL(
                     "$3") ", coalesce($4, ''), coalesce($5::boolean, false)) RETURNING line_id",
                 p, 5, pointers, id, sizeof id)) {
        return;
    }
    const struct pg_param line = PG_TEXT(view_of(id));
    if ((services == NULL || check_own_numbers(r->body, a)) &&
        (services == NULL || res_write_services(r, a, line, services, "/services")) &&
        add_numbers(r, a, id)) {
        api_get(r, a, LINE_BY_ID, &line, 1);
        res_created(a, "lines", id);
    }
}

void res_update_line(struct api_request *r, struct api_answer *a)
{
    static const char *const pointers[] = {"line_account_id_fkey", "/account_id",
                                           "line_priority_check", "/priority", NULL};
    char account[RES_INT_TEXT], priority[RES_LIST_TEXT];
    const struct pg_param p[] = {res_param(r, "line_id"),
                                 res_int(r->merged, "account_id", account),
                                 api_text_param(r->merged, "display"),
                                 api_text_param(r->merged, "level"),
                                 res_priority(r->merged, priority),
                                 res_bool(r->merged, "barred")};

    if (res_may_entitle(r, a, line_entitles) &&
        res_check_priority(json_object_get(r->merged, "priority"), a) &&
        res_do(r, a,
               "UPDATE core.line SET account_id = $2::bigint, display = coalesce($3, ''), level "
               "= " LEVEL("$4") ", priority = coalesce($5, ''), barred = coalesce($6::boolean, "
                                "false) WHERE line_id "
                                "= $1::bigint",
               p, 6, pointers)) {
        api_get(r, a, LINE_BY_ID, p, 1);
    }
}

/* What is alive on a line, in words. */
#define LINE_HOLDERS                                                                               \
    "SELECT concat_ws('; ', (SELECT 'numbers: ' || string_agg(number, ', ' ORDER BY number) FROM " \
    "core.number WHERE line_id = $1::bigint), (SELECT 'credentials: ' || string_agg(DISTINCT "     \
    "username, ', ') FROM core.credential WHERE line_id = $1::bigint), (SELECT 'BTIs: ' || "       \
    "string_agg(encode(bti_id, 'hex'), ', ') FROM core.bti WHERE line_id = $1::bigint AND "        \
    "revoked_at IS NULL), (SELECT 'open work orders: ' || string_agg(work_order_id::text, ', ') "  \
    "FROM prov.work_order WHERE line_id = $1::bigint AND spent_at IS NULL AND cancelled_at IS "    \
    "NULL AND expires_at > now()))"

void res_delete_line(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "line_id");
    char holders[4 * RES_LIST_TEXT];

    if (!res_ask(r, a, "SELECT left(t.w, 1000) FROM (" LINE_HOLDERS " AS w) t", &id, 1, NULL,
                 holders, sizeof holders)) {
        return;
    }
    if (holders[0] != 0) {
        api_problem(a, 409, "in-use", "", "the line has %s", holders);
    } else if (res_do(r, a, "SELECT core.delete_line($1::bigint)", &id, 1, NULL)) {
        a->status = 204;
    }
}
