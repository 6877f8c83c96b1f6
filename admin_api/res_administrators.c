/* Administrators: who may ask. The guards (somebody is left, tokens end) are the database's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/res_privileges.h"

#define ADMINISTRATOR                                                                              \
    "jsonb_build_object('administrator_id', a.admin_id, 'name', a.name, 'roles', "                 \
    "to_jsonb(a.roles), 'os_user', a.os_user, 'certificate', a.certificate, 'disabled', "          \
    "a.disabled, 'created_at', " PRIV_TIME("a.created_at") ")"
#define ADMINISTRATOR_BY_ID                                                                        \
    "SELECT " ADMINISTRATOR " FROM core.administrator a WHERE a.admin_id = $1::bigint"
#define TEXTS(n) "ARRAY(SELECT jsonb_array_elements_text($" n "::jsonb))"

static const char *const POINTERS[] = {"administrator_name_key",
                                       "/name",
                                       "administrator_os_user_key",
                                       "/os_user",
                                       "administrator_os_user_check",
                                       "/os_user",
                                       "administrator_certificate_key",
                                       "/certificate",
                                       "administrator_roles",
                                       "/roles",
                                       NULL};

void priv_list_administrators(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {priv_param(r, "name")};

    api_list(r, a,
             "SELECT " ADMINISTRATOR ", a.admin_id FROM core.administrator a WHERE ($1::bigint IS "
             "NULL OR a.admin_id > $1::bigint) AND ($3::text IS NULL OR a.name = $3::text) ORDER "
             "BY a.admin_id LIMIT $2::bigint",
             p, 1);
}

void priv_get_administrator(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = priv_param(r, "administrator_id");

    api_get(r, a, r->for_update ? ADMINISTRATOR_BY_ID " FOR UPDATE" : ADMINISTRATOR_BY_ID, &id, 1);
}

/* Who asks has all that these roles come to now, and security is given by who has it. False: the
 * answer holds a problem. */
static bool covers_roles(struct api_request *r, struct api_answer *a, const char *pointer,
                         const json_t *roles)
{
    char words[PRIV_WORDS], *keep = NULL;
    struct permissions may = {{0}};
    struct pg_result *res = NULL;
    bool security = false;
    const struct pg_param p = priv_list(roles, &keep);
    bool ok =
        api_query(r, a,
                  "SELECT coalesce(string_agg(array_to_string(permissions, ' '), ' '), '') FROM "
                  "core.role WHERE name = ANY (" TEXTS("1") ")",
                  &p, 1, NULL, &res) == E_OK;
    if (ok) {
        priv_words(roles, words);
        roles_read(view_of(words), pg_text(res, 0, 0), &may, &security);
        if (security && !r->who.grants_all) {
            api_problem(a, 403, "forbidden", pointer, "this takes the role security");
        }
        ok = !api_failed(a) && priv_covers(r, a, pointer, &may);
    }
    pg_result_free(res);
    free(keep); /* jansson allocated it */
    return ok;
}

void priv_create_administrator(struct api_request *r, struct api_answer *a)
{
    char *roles = NULL;
    const struct pg_param p[] = {
        api_text_param(r->body, "name"), priv_list(json_object_get(r->body, "roles"), &roles),
        api_text_param(r->body, "os_user"), api_text_param(r->body, "certificate"),
        api_bool(r->body, "disabled", false) ? PG_TEXT(VIEW("true")) : PG_TEXT(VIEW("false"))};
    struct pg_result *res = NULL;

    if (covers_roles(r, a, "/roles", json_object_get(r->body, "roles")) &&
        api_query(r, a,
                  "INSERT INTO core.administrator (name, roles, os_user, certificate, disabled) "
                  "VALUES ($1, " TEXTS("2") ", $3, $4, $5::boolean) RETURNING admin_id",
                  p, 5, POINTERS, &res) == E_OK) {
        const struct pg_param id = PG_TEXT(pg_text(res, 0, 0));
        api_get(r, a, ADMINISTRATOR_BY_ID, &id, 1);
        a->status = api_failed(a) ? a->status : 201;
        snprintf(a->location, sizeof a->location, "/api/v1/administrators/%.*s", (int)id.v.n,
                 id.v.p);
        priv_commit(r, a);
    }
    pg_result_free(res);
    free(roles); /* jansson allocated it */
}

/* Who changes somebody has all that he has, before and afterwards: else he could take his place. */
static bool may_change(struct api_request *r, struct api_answer *a, const json_t *then)
{
    return covers_roles(r, a, "", json_object_get(r->current, "roles")) &&
           (then == NULL || covers_roles(r, a, "/roles", json_object_get(then, "roles")));
}

void priv_update_administrator(struct api_request *r, struct api_answer *a)
{
    char *roles = NULL;
    const struct pg_param p[] = {
        priv_param(r, "administrator_id"), priv_list(json_object_get(r->merged, "roles"), &roles),
        api_text_param(r->merged, "os_user"), api_text_param(r->merged, "certificate"),
        api_bool(r->merged, "disabled", false) ? PG_TEXT(VIEW("true")) : PG_TEXT(VIEW("false"))};

    if (may_change(r, a, r->merged) &&
        api_query(r, a,
                  "UPDATE core.administrator SET roles = " TEXTS(
                      "2") ", os_user = $3, certificate = $4, disabled = $5::boolean WHERE "
                           "admin_id = $1::bigint RETURNING admin_id",
                  p, 5, POINTERS, NULL) == E_OK) {
        api_get(r, a, ADMINISTRATOR_BY_ID, p, 1);
        priv_commit(r, a);
    }
    free(roles); /* jansson allocated it */
}

void priv_delete_administrator(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = priv_param(r, "administrator_id");

    if (may_change(r, a, NULL) &&
        api_query(r, a, "DELETE FROM core.administrator WHERE admin_id = $1::bigint", &id, 1, NULL,
                  NULL) == E_OK) {
        a->status = 204;
        priv_commit(r, a);
    }
}
