/* Accounts: who has lines, and is barred with all of them. */
#include "admin_api/res_subscribers.h"

#define CREATED_AT JSON_TIME("a.created_at")
#define ACCOUNT                                                                                    \
    "jsonb_build_object('account_id', a.account_id, 'name', a.name, 'barred', a.barred, "          \
    "'line_count', (SELECT count(*) FROM core.line l WHERE l.account_id = a.account_id), "         \
    "'created_at', " CREATED_AT ")"
#define ACCOUNT_BY_ID "SELECT " ACCOUNT " FROM core.account a WHERE a.account_id = $1::bigint"

void res_list_accounts(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "name"), res_param(r, "barred")};

    api_list(r, a,
             "SELECT " ACCOUNT ", a.account_id FROM core.account a WHERE ($1::bigint IS NULL OR "
             "a.account_id > $1::bigint) AND ($3::text IS NULL OR starts_with(lower(a.name), "
             "lower($3::text))) AND ($4::boolean IS NULL OR a.barred = $4::boolean) ORDER BY "
             "a.account_id LIMIT $2::bigint",
             p, 2);
}

void res_get_account(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "account_id");

    api_get(r, a, r->for_update ? ACCOUNT_BY_ID " FOR UPDATE" : ACCOUNT_BY_ID, &id, 1);
}

void res_create_account(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {api_text_param(r->body, "name"), res_bool(r->body, "barred")};
    char id[RES_INT_TEXT];

    if (res_ask(r, a,
                "INSERT INTO core.account (name, barred) VALUES ($1, coalesce($2::boolean, false)) "
                "RETURNING account_id",
                p, 2, NULL, id, sizeof id)) {
        api_get(r, a, ACCOUNT_BY_ID, &(struct pg_param){view_of(id), false}, 1);
        res_created(a, "accounts", id);
    }
}

void res_update_account(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "account_id"), api_text_param(r->merged, "name"),
                                 res_bool(r->merged, "barred")};

    if (res_do(r, a,
               "UPDATE core.account SET name = $2, barred = coalesce($3::boolean, false) WHERE "
               "account_id = "
               "$1::bigint",
               p, 3, NULL)) {
        api_get(r, a, ACCOUNT_BY_ID, p, 1);
    }
}

/* The row is locked by now, so that nobody can put a line into it. */
void res_delete_account(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "account_id");
    char lines[RES_LIST_TEXT];

    if (!res_ask(r, a,
                 "SELECT string_agg(t.line_id::text, ', ' ORDER BY t.line_id) || CASE WHEN "
                 "count(*) = 10 THEN ' ...' ELSE '' END FROM (SELECT line_id FROM core.line WHERE "
                 "account_id = $1::bigint ORDER BY line_id LIMIT 10) t",
                 &id, 1, NULL, lines, sizeof lines)) {
        return;
    }
    if (lines[0] != 0) {
        api_problem(a, 409, "in-use", "", "the account has lines: %s", lines);
    } else if (res_do(r, a, "DELETE FROM core.account WHERE account_id = $1::bigint", &id, 1,
                      NULL)) {
        a->status = 204;
    }
}
