/* Policies that want two people, and the changes that wait for the second one. */
#include <stdio.h>
#include <string.h>

#include "admin_api/res_privileges.h"

#define POLICY         "jsonb_build_object('name', p.name, 'enabled', p.enabled, 'help', p.help)"
#define POLICY_BY_NAME "SELECT " POLICY " FROM core.policy p WHERE p.name = $1"
#define CHANGE                                                                                     \
    "jsonb_build_object('change_id', c.change_id, 'proposed_at', " PRIV_TIME(                      \
        "c.proposed_at") ", 'proposer', c.proposer, 'proposer_person', c.proposer_person, "        \
                         "'table', replace(c.tbl, "                                                \
                         "'dial_rule', 'rule'), 'object', replace(c.tbl, 'dial_rule', 'rule') || " \
                         "' ' || "                                                                 \
                         "coalesce(coalesce(c.after, c.before) ->> CASE c.tbl WHEN 'number' THEN " \
                         "'number' WHEN 'token' "                                                  \
                         "THEN 'prefix' ELSE 'name' END, ''), 'action', c.op, 'state', CASE "      \
                         "c.state WHEN 'applying' "                                                \
                         "THEN 'proposed' ELSE c.state END, 'decided_at', " PRIV_TIME(             \
                             "c.decided_at") ", 'decider', c.decider, 'decider_person', "          \
                                             "c.decider_person, 'before', "                        \
                                             "core.without_secrets(c.before), 'after', "           \
                                             "core.without_secrets(c.after))"
#define CHANGE_BY_ID "SELECT " CHANGE " FROM core.change c WHERE c.change_id = $1::bigint"

/* ---- policies ----------------------------------------------------------------------------------
 */
void priv_list_policies(struct api_request *r, struct api_answer *a)
{
    api_list(r, a,
             "SELECT " POLICY ", p.name FROM core.policy p WHERE ($1::text IS NULL OR p.name "
             "COLLATE \"C\" > $1::text) ORDER BY p.name COLLATE \"C\" LIMIT $2::bigint",
             NULL, 0);
}

void priv_get_policy(struct api_request *r, struct api_answer *a)
{
    const struct pg_param name = priv_param(r, "policy");

    api_get(r, a, r->for_update ? POLICY_BY_NAME " FOR UPDATE" : POLICY_BY_NAME, &name, 1);
}

/* Off again needs two people: with one alone it would be on for good. */
static bool somebody_could_approve(struct api_request *r, const char *policy)
{
    struct permissions need = {{0}};

    permissions_add(&need, PERMISSION_CHANGES_DECIDE);
    permissions_add(&need, PERMISSION_POLICIES_WRITE); /* that takes the policy back */
    if (strcmp(policy, "two_person.admin") == 0) {
        permissions_add(&need, PERMISSION_ADMINS_WRITE);
    }
    return principals_anybody(api_cfg(r->api)->principals, r->who.admin_id, &need);
}

void priv_update_policy(struct api_request *r, struct api_answer *a)
{
    bool on = api_bool(r->merged, "enabled", false);
    bool was = json_is_true(json_object_get(r->current, "enabled"));
    const char *policy = api_param(r, "policy");
    const struct pg_param p[] = {priv_param(r, "policy"),
                                 on ? PG_TEXT(VIEW("true")) : PG_TEXT(VIEW("false"))};

    if (on && !was && !somebody_could_approve(r, policy)) {
        api_problem(a, 409, "conflict", "/enabled",
                    "nobody else could approve: another administrator needs changes.decide and "
                    "policies.write%s",
                    strcmp(policy, "two_person.admin") == 0 ? " and admins.write" : "");
    } else if (api_query(r, a,
                         "UPDATE core.policy SET enabled = $2::boolean WHERE name = $1 RETURNING "
                         "name",
                         p, 2, NULL, NULL) == E_OK) {
        api_get(r, a, POLICY_BY_NAME, p, 1);
    }
}

/* ---- changes -----------------------------------------------------------------------------------
 */
void priv_list_changes(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p = priv_param(r, "state");

    api_list(r, a,
             "SELECT " CHANGE ", c.change_id FROM core.change c WHERE ($1::bigint IS NULL OR "
             "c.change_id < $1::bigint) AND ($3::text IS NULL OR c.state = $3::text) ORDER BY "
             "c.change_id DESC LIMIT $2::bigint",
             &p, 1);
}

void priv_get_change(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = priv_param(r, "change_id");

    api_get(r, a, CHANGE_BY_ID, &id, 1);
}

/* Rights are given by who may give rights, also as the second of two. */
static bool may_decide(struct api_request *r, struct api_answer *a)
{
    static const struct {
        const char *table;
        unsigned permission;
    } also[] = {
        {"administrator", PERMISSION_ADMINS_WRITE},
        {"role", PERMISSION_ADMINS_WRITE},
        {"token", PERMISSION_ADMINS_WRITE},
        {"policy", PERMISSION_POLICIES_WRITE},
    };
    const struct pg_param id = priv_param(r, "change_id");
    struct pg_result *res = NULL;
    char words[96];

    if (api_query(r, a, "SELECT tbl FROM core.change WHERE change_id = $1::bigint", &id, 1, NULL,
                  &res) != E_OK) {
        return false;
    }
    if (pg_rows(res) == 0) {
        api_problem(a, 404, "not-found", "", "there is no such thing");
    }
    for (size_t i = 0; i < sizeof also / sizeof *also && !api_failed(a); i++) {
        if (view_eq(pg_text(res, 0, 0), view_of(also[i].table)) &&
            !principal_may(&r->who, also[i].permission)) {
            snprintf(words, sizeof words, "this takes the permission %s too",
                     permission_name(also[i].permission));
            api_problem(a, 403, "forbidden", "", "%s", words);
        }
    }
    pg_result_free(res);
    return !api_failed(a);
}

static void decide(struct api_request *r, struct api_answer *a, const char *sql)
{
    const struct pg_param id = priv_param(r, "change_id");

    if (may_decide(r, a) && api_query(r, a, sql, &id, 1, NULL, NULL) == E_OK) {
        api_get(r, a, CHANGE_BY_ID, &id, 1);
        priv_commit(r, a);
    }
}

void priv_approve_change(struct api_request *r, struct api_answer *a)
{
    decide(r, a, "SELECT core.approve_change($1::bigint)");
}

void priv_reject_change(struct api_request *r, struct api_answer *a)
{
    decide(r, a, "SELECT core.reject_change($1::bigint)");
}

void priv_withdraw_change(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = priv_param(r, "change_id");
    struct pg_result *res = NULL;

    if (api_query(r, a, "SELECT core.withdraw_change($1::bigint)", &id, 1, NULL, &res) != E_OK) {
        return;
    }
    if (!pg_bool(res, 0, 0)) {
        api_problem(a, 404, "not-found", "", "you proposed no such change");
    } else {
        api_get(r, a, CHANGE_BY_ID, &id, 1);
    }
    pg_result_free(res);
}
