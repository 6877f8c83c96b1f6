/* Subscribers: the table of operations, and what their handlers share. */
#include "admin_api/res_subscribers.h"

#include <stdio.h>
#include <string.h>

const struct api_bind api_bind_subscribers[] = {
    {"listAccounts", res_list_accounts},
    {"getAccount", res_get_account},
    {"createAccount", res_create_account},
    {"updateAccount", res_update_account},
    {"deleteAccount", res_delete_account},
    {"listLines", res_list_lines},
    {"getLine", res_get_line},
    {"createLine", res_create_line},
    {"updateLine", res_update_line},
    {"deleteLine", res_delete_line},
    {"getLineServices", res_get_line_services},
    {"updateLineServices", res_update_line_services},
    {"listFeatureProfiles", res_list_profiles},
    {"getFeatureProfile", res_get_profile},
    {"createFeatureProfile", res_create_profile},
    {"updateFeatureProfile", res_update_profile},
    {"deleteFeatureProfile", res_delete_profile},
    {"applyFeatureProfile", res_apply_profile},
    {"listNumbers", res_list_numbers},
    {"getNumber", res_get_number},
    {"createNumber", res_create_number},
    {"updateNumber", res_update_number},
    {"deleteNumber", res_delete_number},
    {"listBtis", res_list_btis},
    {"getBti", res_get_bti},
    {"revokeBti", res_revoke_bti},
    {"listWorkOrders", res_list_orders},
    {"getWorkOrder", res_get_order},
    {"createWorkOrder", res_create_order},
    {"cancelWorkOrder", res_cancel_order},
    {"listCredentials", res_list_credentials},
    {"getCredential", res_get_credential},
    {"createCredential", res_create_credential},
    {"updateCredential", res_update_credential},
    {"deleteCredential", res_delete_credential},
    {NULL, NULL},
};

struct pg_param res_text(const struct view v)
{
    return v.p != NULL ? PG_TEXT(v) : PG_NULL;
}

struct pg_param res_param(const struct api_request *r, const char *name)
{
    const char *text = api_param(r, name);

    return text != NULL ? PG_TEXT(view_of(text)) : PG_NULL;
}

struct pg_param res_bool(const json_t *body, const char *name)
{
    const json_t *v = json_object_get(body, name);

    if (!json_is_boolean(v)) {
        return PG_NULL;
    }
    return json_is_true(v) ? PG_TEXT(VIEW("true")) : PG_TEXT(VIEW("false"));
}

struct pg_param res_int(const json_t *body, const char *name, char text[RES_INT_TEXT])
{
    const json_t *v = json_object_get(body, name);

    if (!json_is_integer(v)) {
        return PG_NULL;
    }
    snprintf(text, RES_INT_TEXT, "%lld", (long long)json_integer_value(v));
    return PG_TEXT(view_of(text));
}

bool res_words(const json_t *list, char *text, size_t bytes)
{
    size_t i = 0, n = 0;
    json_t *one = NULL;

    text[0] = 0;
    json_array_foreach(list, i, one)
    {
        n +=
            (size_t)snprintf(text + n, bytes - n, "%s%s", i > 0 ? " " : "", json_string_value(one));
        if (n >= bytes) {
            return false;
        }
    }
    return true;
}

bool res_check_priority(const json_t *priority, struct api_answer *a)
{
    size_t i = 0, j = 0;
    json_t *one = NULL, *other = NULL;

    json_array_foreach(priority, i, one)
    {
        const char *value = json_string_value(one);
        size_t n = strcspn(value, ".") + 1;
        json_array_foreach(priority, j, other)
        {
            if (j < i && strncmp(value, json_string_value(other), n) == 0) {
                char at[40];
                snprintf(at, sizeof at, "/priority/%zu", i);
                api_problem(a, 422, "invalid", at,
                            "a second value of the namespace of %s: the highest one is enough",
                            value);
                return false;
            }
        }
    }
    return true;
}

/* What a field is when nobody has set it, and what it is back to when it is taken away. */
static bool is_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_string(v) && strcmp(json_string_value(v), "user") == 0);
}

bool res_may_entitle(const struct api_request *r, struct api_answer *a, const char *const *fields)
{
    const json_t *wanted = r->merged != NULL ? r->merged : r->body;
    unsigned preempt = 0;

    if (permission_find(VIEW("preempt"), &preempt) && principal_may(&r->who, preempt)) {
        return true;
    }
    for (size_t i = 0; fields[i] != NULL; i++) {
        const json_t *v = json_object_get(wanted, fields[i]);
        char pointer[32];
        if (is_nothing(v) ||
            json_equal((json_t *)(uintptr_t)v, json_object_get(r->current, fields[i]))) {
            continue;
        }
        snprintf(pointer, sizeof pointer, "/%s", fields[i]);
        api_problem(a, 403, "forbidden", pointer,
                    "it entitles to preempt calls: this takes the permission preempt");
        return false;
    }
    return true;
}

struct pg_param res_priority(const json_t *body, char text[RES_LIST_TEXT])
{
    const json_t *list = json_object_get(body, "priority");

    return json_is_array(list) && res_words(list, text, RES_LIST_TEXT) ? PG_TEXT(view_of(text))
                                                                       : PG_NULL;
}

bool res_do(struct api_request *r, struct api_answer *a, const char *sql, const struct pg_param *p,
            size_t n, const char *const *pointers)
{
    return api_query(r, a, sql, p, n, pointers, NULL) == E_OK;
}

bool res_ask(struct api_request *r, struct api_answer *a, const char *sql, const struct pg_param *p,
             size_t n, const char *const *pointers, char *out, size_t out_bytes)
{
    struct pg_result *got = NULL;
    enum err e = api_query(r, a, sql, p, n, pointers, &got);

    out[0] = 0;
    if (e == E_OK && pg_rows(got) > 0 && view_to_cstr(pg_text(got, 0, 0), out, out_bytes) != E_OK) {
        out[0] = 0;
    }
    pg_result_free(got);
    return e == E_OK;
}

void res_created(struct api_answer *a, const char *path, const char *key)
{
    if (!api_failed(a)) {
        a->status = 201;
        snprintf(a->location, sizeof a->location, "/api/v1/%s/%s", path, key);
    }
}

bool res_lock_line(struct api_request *r, struct api_answer *a, struct pg_param line,
                   const char *pointer)
{
    char found[RES_INT_TEXT];

    if (!res_ask(r, a, "SELECT line_id FROM core.line WHERE line_id = $1::bigint FOR UPDATE", &line,
                 1, NULL, found, sizeof found)) {
        return false;
    }
    if (found[0] == 0 && pointer != NULL) {
        api_problem(a, 422, "invalid", pointer, "there is no line %.*s", (int)line.v.n, line.v.p);
    } else if (found[0] == 0) {
        api_problem(a, 404, "not-found", "", "there is no line %.*s", (int)line.v.n, line.v.p);
    }
    return found[0] != 0;
}
