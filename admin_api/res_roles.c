/* Roles: the built-in ones are the program's, others are rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/res_privileges.h"

#define ROLE                                                                                       \
    "jsonb_build_object('name', x.name, 'is_builtin', false, 'help', x.help, 'permissions', "      \
    "to_jsonb(x.permissions))"
#define ROLE_BY_NAME "SELECT " ROLE " FROM core.role x WHERE x.name = $1"
#define TEXTS(n)     "ARRAY(SELECT jsonb_array_elements_text($" n "::jsonb))"

static const char *const POINTERS[] = {
    "role_pkey", "/name", "role_name_check", "/name", "role_help_check", "/help", NULL};

static json_t *names_of(const struct permissions *may)
{
    json_t *list = json_array();

    for (unsigned i = 0; permission_name(i) != NULL; i++) {
        if (permissions_have(may, i)) {
            json_array_append_new(list, json_string(permission_name(i)));
        }
    }
    return list;
}

/* NULL: none of that name is built in. */
static json_t *builtin(const char *name)
{
    for (unsigned i = 0; role_builtin_name(i) != NULL; i++) {
        struct permissions may = {{0}};
        if (strcmp(role_builtin_name(i), name) == 0 && role_builtin(view_of(name), &may)) {
            return json_pack("{s:s, s:b, s:s, s:o}", "name", name, "is_builtin", 1, "help",
                             role_builtin_help(i), "permissions", names_of(&may));
        }
    }
    return NULL;
}

void priv_list_roles(struct api_request *r, struct api_answer *a)
{
    json_t *all = json_array();
    char *text = NULL;

    for (unsigned i = 0; role_builtin_name(i) != NULL; i++) {
        json_array_append_new(all, builtin(role_builtin_name(i)));
    }
    text = json_dumps(all, JSON_COMPACT);
    const struct pg_param p = PG_TEXT(view_of(text));
    api_list(r, a,
             "SELECT t.j, t.name FROM (SELECT " ROLE " AS j, x.name FROM core.role x UNION ALL "
             "SELECT b.j, b.j ->> 'name' FROM jsonb_array_elements($3::jsonb) AS b(j)) t WHERE "
             "($1::text IS NULL OR t.name COLLATE \"C\" > $1::text) ORDER BY t.name COLLATE \"C\" "
             "LIMIT $2::bigint",
             &p, 1);
    free(text); /* jansson allocated it */
    json_decref(all);
}

void priv_get_role(struct api_request *r, struct api_answer *a)
{
    const struct pg_param name = priv_param(r, "role");

    a->body = builtin(api_param(r, "role"));
    if (a->body == NULL) {
        api_get(r, a, r->for_update ? ROLE_BY_NAME " FOR UPDATE" : ROLE_BY_NAME, &name, 1);
    }
}

static bool covers_list(struct api_request *r, struct api_answer *a, const json_t *body)
{
    char words[PRIV_WORDS];
    struct permissions may = {{0}};

    priv_words(json_object_get(body, "permissions"), words);
    (void)permissions_read(view_of(words), &may); /* the schema knows the names */
    return priv_covers(r, a, "/permissions", &may);
}

static bool is_row(struct api_request *r, struct api_answer *a)
{
    if (json_is_true(json_object_get(r->current, "is_builtin"))) {
        api_problem(a, 409, "conflict", "", "a built-in role does not change");
    }
    return !api_failed(a);
}

void priv_create_role(struct api_request *r, struct api_answer *a)
{
    char *list = NULL;
    const struct pg_param help = api_text_param(r->body, "help");
    const struct pg_param p[] = {api_text_param(r->body, "name"),
                                 help.v.p != NULL ? help : PG_TEXT(VIEW("")),
                                 priv_list(json_object_get(r->body, "permissions"), &list)};
    struct permissions unused;

    if (role_builtin(p[0].v, &unused)) {
        api_problem(a, 409, "exists", "/name", "a built-in role has this name");
    } else if (covers_list(r, a, r->body) &&
               api_query(r, a,
                         "INSERT INTO core.role (name, help, permissions) VALUES ($1, $2, " TEXTS(
                             "3") ") RETURNING name",
                         p, 3, POINTERS, NULL) == E_OK) {
        api_get(r, a, ROLE_BY_NAME, p, 1);
        a->status = api_failed(a) ? a->status : 201;
        snprintf(a->location, sizeof a->location, "/api/v1/roles/%.*s", (int)p[0].v.n, p[0].v.p);
        priv_commit(r, a);
    }
    free(list); /* jansson allocated it */
}

void priv_update_role(struct api_request *r, struct api_answer *a)
{
    char *list = NULL;
    const struct pg_param p[] = {priv_param(r, "role"), api_text_param(r->merged, "help"),
                                 priv_list(json_object_get(r->merged, "permissions"), &list)};

    if (is_row(r, a) && covers_list(r, a, r->current) && covers_list(r, a, r->merged) &&
        api_query(r, a,
                  "UPDATE core.role SET help = $2, permissions = " TEXTS(
                      "3") " WHERE name = $1 RETURNING name",
                  p, 3, POINTERS, NULL) == E_OK) {
        api_get(r, a, ROLE_BY_NAME, p, 1);
        priv_commit(r, a);
    }
    free(list); /* jansson allocated it */
}

void priv_delete_role(struct api_request *r, struct api_answer *a)
{
    const struct pg_param name = priv_param(r, "role");

    if (is_row(r, a) && covers_list(r, a, r->current) &&
        api_query(r, a, "DELETE FROM core.role WHERE name = $1", &name, 1, NULL, NULL) == E_OK) {
        a->status = 204;
        priv_commit(r, a);
    }
}
