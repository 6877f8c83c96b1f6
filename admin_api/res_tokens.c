/* Tokens: made once, told once, ended for good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/res_privileges.h"
#include "base/secret.h"

#define TOKEN                                                                                      \
    "jsonb_build_object('token_id', t.token_id, 'administrator_id', t.admin_id, 'administrator', " \
    "a.name, 'name', t.name, 'prefix', t.prefix, 'scopes', to_jsonb(t.scopes), 'state', CASE "     \
    "WHEN t.revoked_at IS NOT NULL THEN 'revoked' WHEN t.expires_at <= now() THEN 'expired' ELSE " \
    "'active' END, 'created_at', " PRIV_TIME("t.created_at") ", 'expires_at', " PRIV_TIME(         \
        "t.expires_at") ", 'last_used_at', " PRIV_TIME("t.last_used_at") ", 'revoked_at', "        \
                                                                         "" PRIV_TIME(             \
                                                                             "t.revoked_at") ")"
#define FROM_TOKEN  " FROM core.token t JOIN core.administrator a USING (admin_id) "
#define TOKEN_BY_ID "SELECT " TOKEN FROM_TOKEN "WHERE t.token_id = $1::bigint"
#define TOKEN_LIST                                                                                 \
    "SELECT " TOKEN ", t.token_id" FROM_TOKEN "WHERE ($1::bigint IS NULL OR t.token_id > "         \
    "$1::bigint) AND ($3::bigint IS NULL OR t.admin_id = $3::bigint) ORDER BY t.token_id LIMIT "   \
    "$2::bigint"

enum { TOKENS_OF_ONE = 100 };

static const char *const POINTERS[] = {"token_check", "/expires_at", "token_admin_id_fkey",
                                       "/administrator_id", NULL};

/* What the asker said, and what limits it. */
struct wish {
    uint64_t owner;
    const json_t *body;
};

/* ---- reading -----------------------------------------------------------------------------------
 */
void priv_list_tokens(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p = priv_param(r, "administrator_id");

    api_list(r, a, TOKEN_LIST, &p, 1);
}

void priv_list_own_tokens(struct api_request *r, struct api_answer *a)
{
    char id[PRIV_ID_TEXT];
    const struct pg_param p = priv_number(r->who.admin_id, id);

    api_list(r, a, TOKEN_LIST, &p, 1);
}

void priv_get_token(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = priv_param(r, "token_id");

    api_get(r, a, TOKEN_BY_ID, &id, 1);
}

/* ---- making ------------------------------------------------------------------------------------
 */
/* A scope that its owner has not would open nothing; one that its maker has not would be a way
 * around. */
static void read_scopes(struct api_answer *a, const json_t *scopes, const struct principal *owner,
                        struct permissions *out)
{
    char pointer[40];

    for (size_t i = 0; i < json_array_size(scopes); i++) {
        unsigned p = 0;
        if (!permission_find(view_of(json_string_value(json_array_get(scopes, i))), &p) ||
            !principal_may(owner, p)) {
            snprintf(pointer, sizeof pointer, "/scopes/%zu", i);
            api_problem(a, 422, "invalid", pointer, "its owner has no such permission");
        } else {
            permissions_add(out, p);
        }
    }
}

static bool check_scopes(struct api_request *r, struct api_answer *a, const struct wish *w)
{
    const json_t *scopes = json_object_get(w->body, "scopes");
    struct principal owner = {.how = ""};
    struct permissions wanted = {{0}};

    if (!principals_find(api_cfg(r->api)->principals, w->owner, &owner)) {
        api_problem(a, 422, "invalid", "/administrator_id",
                    "there is no such administrator, or he is disabled");
        return false;
    }
    read_scopes(a, scopes, &owner, &wanted);
    if (api_failed(a)) {
        return false;
    }
    if (json_array_size(scopes) > 0) {
        return priv_covers(r, a, "/scopes", &wanted);
    }
    if (w->owner == r->who.admin_id) {
        return true; /* what the asker himself may: SQL_MAKE */
    }
    if (!r->who.grants_all) { /* it grows with its owner, whoever has it */
        api_problem(a, 403, "forbidden", "",
                    "this takes the role security: without scopes, a token may what its owner may "
                    "some day");
    }
    return !api_failed(a);
}

/* A token that makes a token: no further and no longer than itself. */
static const char SQL_MAKE[] =
    "INSERT INTO core.token (admin_id, name, hash, prefix, scopes, made_with, expires_at) SELECT "
    "$1::bigint, coalesce($2, ''), $3, $4, CASE WHEN $7 = 'own' AND m.token_id IS NOT NULL AND "
    "cardinality(w.scopes) = 0 THEN m.scopes ELSE w.scopes END, m.token_id, coalesce("
    "$6::timestamptz, CASE WHEN $7 = 'own' THEN least(m.expires_at, now() + interval '90 days') "
    "ELSE now() + interval '90 days' END) FROM (SELECT ARRAY(SELECT "
    "jsonb_array_elements_text($5::jsonb)) AS scopes) w LEFT JOIN core.token m ON m.token_id = "
    "nullif($8::bigint, 0) RETURNING token_id";

static bool check_expiry(struct api_request *r, struct api_answer *a, const struct wish *w)
{
    char id[PRIV_ID_TEXT];
    const struct pg_param p[] = {priv_number(r->who.token_id, id),
                                 api_text_param(w->body, "expires_at")};
    struct pg_result *res = NULL;

    if (p[1].v.p == NULL) {
        return true;
    }
    if (api_query(r, a,
                  "SELECT $2::timestamptz > now(), $2::timestamptz <= now() + interval '400 days', "
                  "NOT EXISTS (SELECT FROM core.token WHERE token_id = $1::bigint AND expires_at < "
                  "$2::timestamptz)",
                  p, 2, (const char *const[]){"", "/expires_at", NULL}, &res) != E_OK) {
        return false;
    }
    if (!pg_bool(res, 0, 0)) {
        api_problem(a, 422, "invalid", "/expires_at", "is over");
    } else if (!pg_bool(res, 0, 1)) {
        api_problem(a, 422, "invalid", "/expires_at", "is more than 400 days from now");
    } else if (w->owner == r->who.admin_id && !pg_bool(res, 0, 2)) {
        api_problem(a, 422, "invalid", "/expires_at",
                    "is later than that of the token which asks for it");
    }
    pg_result_free(res);
    return !api_failed(a);
}

/* Everybody may make himself tokens, and all that are good are in memory: some are enough. */
static bool check_number(struct api_request *r, struct api_answer *a, const struct wish *w)
{
    char id[PRIV_ID_TEXT];
    const struct pg_param p = priv_number(w->owner, id);
    struct pg_result *res = NULL;

    if (api_query(r, a,
                  "SELECT count(*) FROM core.token WHERE admin_id = $1::bigint AND revoked_at IS "
                  "NULL AND expires_at > now()",
                  &p, 1, NULL, &res) != E_OK) {
        return false;
    }
    if (pg_u64(res, 0, 0) >= TOKENS_OF_ONE) {
        api_problem(a, 409, "conflict", "", "he has %d tokens: revoke one first", TOKENS_OF_ONE);
    }
    pg_result_free(res);
    return !api_failed(a);
}

/* 201 or 202: the one answer that has the token's text. */
static void tell(struct api_answer *a, const char *text)
{
    json_t *body = a->status == 202 ? a->impl : a->body;

    if (body != NULL) {
        json_object_set_new(body, "token", json_string(text));
    }
}

static void make(struct api_request *r, struct api_answer *a, const struct wish *w)
{
    char text[TOKEN_CHARS + 1], prefix[TOKEN_PREFIX_CHARS + 1], owner[PRIV_ID_TEXT],
        maker[PRIV_ID_TEXT], *scopes = NULL;
    uint8_t hash[SHA256_BYTES];
    struct pg_result *res = NULL;

    if (!check_scopes(r, a, w) || !check_expiry(r, a, w) || !check_number(r, a, w)) {
        return;
    }
    if (token_new(text, hash) != E_OK) {
        api_problem(a, 503, "unavailable", "", "no random octets can be had");
        return;
    }
    snprintf(prefix, sizeof prefix, "%.*s", (int)TOKEN_PREFIX_CHARS, text);
    const struct pg_param p[] = {priv_number(w->owner, owner),
                                 api_text_param(w->body, "name"),
                                 PG_BYTES(view_from(hash, sizeof hash)),
                                 PG_TEXT(view_of(prefix)),
                                 priv_list(json_object_get(w->body, "scopes"), &scopes),
                                 api_text_param(w->body, "expires_at"),
                                 w->owner == r->who.admin_id ? PG_TEXT(VIEW("own"))
                                                             : PG_TEXT(VIEW("others")),
                                 priv_number(r->who.token_id, maker)};
    if (api_query(r, a, SQL_MAKE, p, 8, POINTERS, &res) == E_OK) {
        const struct pg_param id = PG_TEXT(pg_text(res, 0, 0));
        api_get(r, a, TOKEN_BY_ID, &id, 1);
        a->status = api_failed(a) ? a->status : 201;
        snprintf(a->location, sizeof a->location, "/api/v1/tokens/%.*s", (int)id.v.n, id.v.p);
        tell(a, text);
        priv_commit(r, a);
    } else if (a->status == 202) {
        tell(a, text);
    }
    pg_result_free(res);
    wipe(text, sizeof text);
    free(scopes); /* jansson allocated it */
}

void priv_create_own_token(struct api_request *r, struct api_answer *a)
{
    const struct wish w = {r->who.admin_id, r->body};

    if (w.owner == 0) {
        api_problem(a, 409, "conflict", "",
                    "a user of the machine has no tokens: make an "
                    "administrator, and one for him");
        return;
    }
    make(r, a, &w);
}

void priv_create_token(struct api_request *r, struct api_answer *a)
{
    const struct wish w = {(uint64_t)api_int(r->body, "administrator_id", 0), r->body};

    make(r, a, &w);
}

/* ---- ending ------------------------------------------------------------------------------------
 */
/* owner 0: anybody's. */
static void end_token(struct api_request *r, struct api_answer *a, uint64_t owner)
{
    char id[PRIV_ID_TEXT];
    const struct pg_param p[] = {priv_param(r, "token_id"), priv_number(owner, id)};
    struct pg_result *res = NULL;

    if (api_query(r, a,
                  "UPDATE core.token SET revoked_at = coalesce(revoked_at, now()) WHERE token_id "
                  "= $1::bigint AND $2::bigint IN (0, admin_id) RETURNING token_id",
                  p, 2, NULL, &res) != E_OK) {
        return;
    }
    if (pg_rows(res) == 0) {
        api_problem(a, 404, "not-found", "", "there is no such thing");
    } else {
        api_get(r, a, TOKEN_BY_ID, p, 1);
        priv_commit(r, a);
    }
    pg_result_free(res);
}

void priv_revoke_token(struct api_request *r, struct api_answer *a)
{
    end_token(r, a, 0);
}

void priv_revoke_own_token(struct api_request *r, struct api_answer *a)
{
    if (r->who.admin_id == 0) {
        api_problem(a, 404, "not-found", "", "there is no such thing");
        return;
    }
    end_token(r, a, r->who.admin_id);
}
