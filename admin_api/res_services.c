/* Service records of lines, and feature profiles: sets of services under a name, applied to lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/res_subscribers.h"

enum { NO_ANSWER_S = 20 }; /* as in the table */

/* ---- a line's record ---- */

#define SERVICES_BY_LINE                                                                           \
    "SELECT " JSON_SERVICES                                                                        \
    " FROM core.line l LEFT JOIN core.line_service s USING (line_id) WHERE l.line_id = $1::bigint"

/* For a change, the record is locked when there is one; when there is none, the line is, which
 * keeps a feature code of the line itself from making one. */
void res_get_line_services(struct api_request *r, struct api_answer *a)
{
    const struct pg_param line = res_param(r, "line_id");

    if (r->for_update &&
        (!res_do(r, a, "SELECT FROM core.line WHERE line_id = $1::bigint FOR UPDATE", &line, 1,
                 NULL) ||
         !res_do(r, a, "SELECT FROM core.line_service WHERE line_id = $1::bigint FOR UPDATE", &line,
                 1, NULL))) {
        return;
    }
    api_get(r, a, SERVICES_BY_LINE, &line, 1);
}

/* "A line cannot forward to itself": p[0] is the line, p[4] to p[6] are the three numbers. */
static bool check_forwards(struct api_request *r, struct api_answer *a, const struct pg_param *p,
                           const char *prefix)
{
    const struct pg_param q[] = {p[0], p[4], p[5], p[6]};
    char which[32], at[64];

    if (!res_ask(r, a,
                 "SELECT CASE n.number WHEN $2::text THEN 'forward_always' WHEN $3::text THEN "
                 "'forward_busy' ELSE 'forward_no_answer' END FROM core.number n WHERE n.line_id = "
                 "$1::bigint AND n.number IN ($2::text, $3::text, $4::text) LIMIT 1",
                 q, 4, NULL, which, sizeof which)) {
        return false;
    }
    if (which[0] != 0) {
        snprintf(at, sizeof at, "%s/%s", prefix, which);
        api_problem(a, 422, "invalid", at, "a line cannot forward to itself");
    }
    return which[0] == 0;
}

/* A forward as a statement takes it: NULL leaves it as it is, "" switches it off. */
static struct pg_param forward_param(const json_t *services, const char *name)
{
    return json_is_null(json_object_get(services, name)) ? PG_TEXT(VIEW(""))
                                                         : api_text_param(services, name);
}

bool res_write_services(struct api_request *r, struct api_answer *a, struct pg_param line,
                        const json_t *services, const char *prefix)
{
    char seconds[RES_INT_TEXT];
    const struct pg_param p[] = {line,
                                 res_bool(services, "caller_id"),
                                 res_bool(services, "private"),
                                 res_bool(services, "reject_anonymous"),
                                 forward_param(services, "forward_always"),
                                 forward_param(services, "forward_busy"),
                                 forward_param(services, "forward_no_answer"),
                                 res_int(services, "no_answer_s", seconds)};

    return check_forwards(r, a, p, prefix) &&
           res_do(r, a,
                  "INSERT INTO core.line_service AS s (line_id, caller_id, private, "
                  "rejects_anonymous, forward_always, forward_busy, forward_no_answer, "
                  "no_answer_s) VALUES ($1::bigint, coalesce($2::boolean, false), "
                  "coalesce($3::boolean, false), coalesce($4::boolean, false), nullif($5::text, "
                  "''), nullif($6::text, ''), nullif($7::text, ''), coalesce($8::smallint, 20)) ON "
                  "CONFLICT (line_id) DO UPDATE SET caller_id = coalesce($2::boolean, "
                  "s.caller_id), private = coalesce($3::boolean, s.private), rejects_anonymous = "
                  "coalesce($4::boolean, s.rejects_anonymous), forward_always = "
                  "nullif(coalesce($5::text, s.forward_always), ''), forward_busy = "
                  "nullif(coalesce($6::text, s.forward_busy), ''), forward_no_answer = "
                  "nullif(coalesce($7::text, s.forward_no_answer), ''), no_answer_s = "
                  "coalesce($8::smallint, s.no_answer_s)",
                  p, 8, NULL);
}

/* What a merge patch took away is what it is without being said. */
static json_t *whole_record(const json_t *merged)
{
    json_t *whole = json_pack("{s:b,s:b,s:b,s:n,s:n,s:n,s:i}", "caller_id", 0, "private", 0,
                              "reject_anonymous", 0, "forward_always", "forward_busy",
                              "forward_no_answer", "no_answer_s", NO_ANSWER_S);

    json_object_update(whole, (json_t *)(uintptr_t)merged);
    return whole;
}

void res_update_line_services(struct api_request *r, struct api_answer *a)
{
    const struct pg_param line = res_param(r, "line_id");
    json_t *services = whole_record(r->merged);

    if (res_write_services(r, a, line, services, "")) {
        api_get(r, a, SERVICES_BY_LINE, &line, 1);
    }
    json_decref(services);
}

/* ---- profiles ---- */

#define CREATED_AT JSON_TIME("f.created_at")
#define PROFILE                                                                                    \
    "jsonb_build_object('profile_id', f.profile_id, 'name', f.name, 'services', "                  \
    "jsonb_strip_nulls(jsonb_build_object('caller_id', f.caller_id, 'private', f.private, "        \
    "'reject_anonymous', f.rejects_anonymous, 'forward_always', f.forward_always, "                \
    "'forward_busy', f.forward_busy, 'forward_no_answer', f.forward_no_answer, 'no_answer_s', "    \
    "f.no_answer_s)), 'created_at', " CREATED_AT ")"
#define PROFILE_BY_ID                                                                              \
    "SELECT " PROFILE " FROM core.feature_profile f WHERE f.profile_id = $1::bigint"

enum { PROFILE_PARAMS = 9 };

static const char *const PROFILE_POINTERS[] = {"feature_profile_name_key", "/name", NULL};

/* Id, name and what the profile names; body: a whole profile. */
static void profile_params(const json_t *body, struct pg_param id, char seconds[RES_INT_TEXT],
                           struct pg_param out[PROFILE_PARAMS])
{
    const json_t *services = json_object_get(body, "services");

    out[0] = id;
    out[1] = api_text_param(body, "name");
    out[2] = res_bool(services, "caller_id");
    out[3] = res_bool(services, "private");
    out[4] = res_bool(services, "reject_anonymous");
    out[5] = api_text_param(services, "forward_always");
    out[6] = api_text_param(services, "forward_busy");
    out[7] = api_text_param(services, "forward_no_answer");
    out[8] = res_int(services, "no_answer_s", seconds);
}

void res_list_profiles(struct api_request *r, struct api_answer *a)
{
    const struct pg_param name = res_param(r, "name");

    api_list(r, a,
             "SELECT " PROFILE ", f.profile_id FROM core.feature_profile f WHERE ($1::bigint IS "
             "NULL OR f.profile_id > $1::bigint) AND ($3::text IS NULL OR f.name = $3::text) ORDER "
             "BY f.profile_id LIMIT $2::bigint",
             &name, 1);
}

void res_get_profile(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "profile_id");

    api_get(r, a, r->for_update ? PROFILE_BY_ID " FOR UPDATE" : PROFILE_BY_ID, &id, 1);
}

void res_create_profile(struct api_request *r, struct api_answer *a)
{
    char seconds[RES_INT_TEXT], id[RES_INT_TEXT];
    struct pg_param p[PROFILE_PARAMS];

    profile_params(r->body, PG_NULL, seconds, p);
    if (res_ask(r, a,
                "INSERT INTO core.feature_profile (name, caller_id, private, rejects_anonymous, "
                "forward_always, forward_busy, forward_no_answer, no_answer_s) VALUES ($1, "
                "$2::boolean, $3::boolean, $4::boolean, $5, $6, $7, $8::smallint) RETURNING "
                "profile_id",
                p + 1, PROFILE_PARAMS - 1, PROFILE_POINTERS, id, sizeof id)) {
        api_get(r, a, PROFILE_BY_ID, &(struct pg_param){view_of(id), false}, 1);
        res_created(a, "feature-profiles", id);
    }
}

void res_update_profile(struct api_request *r, struct api_answer *a)
{
    char seconds[RES_INT_TEXT];
    struct pg_param p[PROFILE_PARAMS];

    profile_params(r->merged, res_param(r, "profile_id"), seconds, p);
    if (res_do(r, a,
               "UPDATE core.feature_profile SET name = $2, caller_id = $3::boolean, private = "
               "$4::boolean, rejects_anonymous = $5::boolean, forward_always = $6, forward_busy = "
               "$7, forward_no_answer = $8, no_answer_s = $9::smallint WHERE profile_id = "
               "$1::bigint",
               p, PROFILE_PARAMS, PROFILE_POINTERS)) {
        api_get(r, a, PROFILE_BY_ID, p, 1);
    }
}

/* Lines keep what it gave them: nothing refers to a profile. */
void res_delete_profile(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "profile_id");

    if (res_do(r, a, "DELETE FROM core.feature_profile WHERE profile_id = $1::bigint", &id, 1,
               NULL)) {
        a->status = 204;
    }
}

/* In a profile "off" switches a forward off; in a line's record that is null. */
static json_t *as_services(const json_t *profile)
{
    static const char *const forwards[] = {"forward_always", "forward_busy", "forward_no_answer"};
    json_t *services = json_deep_copy(json_object_get(profile, "services"));

    for (size_t i = 0; i < sizeof forwards / sizeof *forwards; i++) {
        if (view_eq(api_text(services, forwards[i]), VIEW("off"))) {
            json_object_set_new(services, forwards[i], json_null());
        }
    }
    return services;
}

/* All of them at once and in one order: two who apply profiles to the same lines wait for each
 * other and do not meet crosswise. */
static bool lock_lines(struct api_request *r, struct api_answer *a, const json_t *lines)
{
    char *text = json_dumps(lines, JSON_COMPACT);
    const struct pg_param ids = PG_TEXT(view_of(text));
    bool done = res_do(r, a,
                       "SELECT FROM core.line WHERE line_id IN (SELECT v::bigint FROM "
                       "jsonb_array_elements_text($1::jsonb) AS v) ORDER BY line_id FOR UPDATE",
                       &ids, 1, NULL);

    free(text); /* jansson allocated it */
    return done;
}

static void apply_to(struct api_request *r, struct api_answer *a, const json_t *services)
{
    const json_t *lines = json_object_get(r->body, "line_ids");
    size_t i = 0;
    json_t *line = NULL;

    if (!lock_lines(r, a, lines)) {
        return;
    }
    json_array_foreach(lines, i, line)
    {
        char text[RES_INT_TEXT], at[32];
        struct pg_param id;
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(line));
        snprintf(at, sizeof at, "/line_ids/%zu", i);
        id = PG_TEXT(view_of(text));
        if (!res_lock_line(r, a, id, at) || !res_write_services(r, a, id, services, at)) {
            return;
        }
    }
    json_decref(a->body);
    a->body = json_pack("{s:I}", "lines", (json_int_t)json_array_size(lines));
}

void res_apply_profile(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "profile_id");
    json_t *services = NULL;

    api_get(r, a, PROFILE_BY_ID, &id, 1);
    if (!api_failed(a)) {
        services = as_services(a->body);
        apply_to(r, a, services);
        json_decref(services);
    }
}
