/* Numbers: assigned to a line, moved to another, released. A line's first number is its primary
 * one, and while it has any, one of them is. With policy two_person.number each statement below
 * that writes becomes a proposal and changes nothing: none of them counts its rows. */
#include "admin_api/res_subscribers.h"

#define NUMBER                                                                                     \
    "jsonb_build_object('number', n.number, 'line_id', n.line_id, 'is_primary', n.is_primary)"
#define NUMBER_BY_NUMBER "SELECT " NUMBER " FROM core.number n WHERE n.number = $1"

static const char *const POINTERS[] = {"number_pkey",    "/number",     "number", "/number",
                                       "number_primary", "/is_primary", NULL};

void res_list_numbers(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "line_id"), res_param(r, "prefix")};

    api_list(r, a,
             "SELECT " NUMBER ", n.number FROM core.number n WHERE ($1::text IS NULL OR n.number > "
             "$1::text) AND ($3::bigint IS NULL OR n.line_id = $3::bigint) AND ($4::text IS NULL "
             "OR starts_with(n.number, $4::text)) ORDER BY n.number LIMIT $2::bigint",
             p, 2);
}

void res_get_number(struct api_request *r, struct api_answer *a)
{
    const struct pg_param number = res_param(r, "number");

    api_get(r, a, r->for_update ? NUMBER_BY_NUMBER " FOR UPDATE" : NUMBER_BY_NUMBER, &number, 1);
}

/* A line that forwards to a number cannot have it. p: number, line. */
static bool check_forwards(struct api_request *r, struct api_answer *a, const struct pg_param *p)
{
    char found[8];

    if (!res_ask(r, a,
                 "SELECT 1 FROM core.line_service s WHERE s.line_id = $2::bigint AND $1::text IN "
                 "(s.forward_always, s.forward_busy, s.forward_no_answer)",
                 p, 2, NULL, found, sizeof found)) {
        return false;
    }
    if (found[0] != 0) {
        api_problem(a, 422, "invalid", "/line_id",
                    "line %.*s forwards its calls to that number: a line cannot forward to itself",
                    (int)p[1].v.n, p[1].v.p);
    }
    return found[0] == 0;
}

void res_create_number(struct api_request *r, struct api_answer *a)
{
    char line[RES_INT_TEXT], made[RES_INT_TEXT];
    const struct pg_param p[] = {api_text_param(r->body, "number"),
                                 res_int(r->body, "line_id", line)};

    if (!res_lock_line(r, a, p[1], "/line_id") || !check_forwards(r, a, p) ||
        !res_ask(r, a,
                 "INSERT INTO core.number (number, line_id, is_primary) VALUES ($1, $2::bigint, "
                 "NOT EXISTS (SELECT FROM core.number WHERE line_id = $2::bigint AND is_primary)) "
                 "RETURNING number",
                 p, 2, POINTERS, made, sizeof made)) {
        return;
    }
    if (made[0] != 0) {
        api_get(r, a, NUMBER_BY_NUMBER, p, 1);
        res_created(a, "numbers", made);
    }
}

/* In one statement, because with the policy all of it has to be proposed before the first row that
 * does not change ends the request. Each part waits for the one before it by counting its rows.
 * $1 number, $2 its line to be, $3 whether it becomes the primary one there, $4 its line so far:
 * another number there, if there is one, takes its place. */
#define PROMOTE_ANOTHER(after)                                                                     \
    "UPDATE core.number SET is_primary = true WHERE (SELECT count(*) FROM " after ") >= 0 AND "    \
    "number = (SELECT min(o.number) FROM core.number o WHERE o.line_id = $4::bigint AND o.number " \
    "<> $1) AND NOT EXISTS (SELECT FROM core.number o WHERE o.line_id = $4::bigint AND "           \
    "o.is_primary AND o.number <> $1)"
#define SET_NUMBER                                                                                 \
    "WITH demoted AS (UPDATE core.number SET is_primary = false WHERE $3::boolean AND line_id = "  \
    "$2::bigint AND is_primary AND number <> $1 RETURNING 1), moved AS (UPDATE core.number n SET " \
    "line_id = $2::bigint, is_primary = $3::boolean OR NOT EXISTS (SELECT FROM core.number o "     \
    "WHERE o.line_id = $2::bigint AND o.is_primary AND o.number <> $1) WHERE n.number = $1 AND "   \
    "(SELECT count(*) FROM demoted) >= 0 RETURNING 1) " PROMOTE_ANOTHER(                           \
        "moved") " AND "                                                                           \
                 "$4::bigint <> $2::bigint"
#define RELEASE                                                                                    \
    "WITH gone AS (DELETE FROM core.number WHERE number = $1 AND $2::text IS NULL AND $3::text "   \
    "IS NULL RETURNING 1) " PROMOTE_ANOTHER("gone")

static void set(struct api_request *r, struct api_answer *a, const struct pg_param *number_line,
                bool is_primary)
{
    char was[RES_INT_TEXT];
    const struct pg_param p[] = {number_line[0], number_line[1],
                                 PG_TEXT(is_primary ? VIEW("true") : VIEW("false")),
                                 res_int(r->current, "line_id", was)};

    if (res_do(r, a, SET_NUMBER, p, 4, POINTERS)) {
        api_get(r, a, NUMBER_BY_NUMBER, p, 1);
    }
}

void res_update_number(struct api_request *r, struct api_answer *a)
{
    char line[RES_INT_TEXT];
    const struct pg_param p[] = {res_param(r, "number"), res_int(r->merged, "line_id", line)};
    bool was_first = api_bool(r->current, "is_primary", false);
    bool asks_first = api_bool(r->body, "is_primary", false);

    if (api_int(r->merged, "line_id", 0) != api_int(r->current, "line_id", 0)) {
        if (res_lock_line(r, a, p[1], "/line_id") && check_forwards(r, a, p)) {
            set(r, a, p, asks_first);
        }
    } else if (was_first && !api_bool(r->merged, "is_primary", true)) {
        api_problem(a, 422, "invalid", "/is_primary",
                    "make another number of the line its primary one instead");
    } else {
        set(r, a, p, was_first || asks_first);
    }
}

void res_delete_number(struct api_request *r, struct api_answer *a)
{
    char line[RES_INT_TEXT];
    const struct pg_param p[] = {res_param(r, "number"), PG_NULL, PG_NULL,
                                 res_int(r->current, "line_id", line)};

    if (res_do(r, a, RELEASE, p, 4, POINTERS)) {
        a->status = 204;
    }
}
