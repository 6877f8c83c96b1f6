/* admin_api/res_privileges.h - what the handlers of administrators, roles, tokens, policies,
 * changes and the audit log share. Threads: any, nothing shared. */
#ifndef ADMIN_API_RES_PRIVILEGES_H
#define ADMIN_API_RES_PRIVILEGES_H

#include "admin_api/api.h"
#include "admin_api/principal_int.h"

/* "2026-11-24T08:30:00Z", and to the microsecond; NULL stays NULL. */
#define PRIV_TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
#define PRIV_TIME_US(column)                                                                       \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

enum { PRIV_ID_TEXT = 24, PRIV_WORDS = 8192 };

/* A parameter of path or query, NULL when it was not given. */
struct pg_param priv_param(const struct api_request *r, const char *name);
/* A number's text. */
struct pg_param priv_number(uint64_t n, char text[PRIV_ID_TEXT]);
/* A list as text of JSON, for ARRAY(SELECT jsonb_array_elements_text($n::jsonb)); "[]"
 * when it is NULL. *keep is to be freed (jansson allocated it). */
struct pg_param priv_list(const json_t *list, char **keep);
/* Words of a list of the body, with blanks between them. */
void priv_words(const json_t *list, char out[PRIV_WORDS]);

/* Nobody gives what he has not, or touches who has more than he: true, or 403. */
bool priv_covers(struct api_request *r, struct api_answer *a, const char *pointer,
                 const struct permissions *needed);
/* Commits, and waits until this process goes by it. */
void priv_commit(struct api_request *r, struct api_answer *a);

/* The handlers; res_privileges.c has the table. */
api_handler priv_get_me, priv_list_own_tokens, priv_create_own_token, priv_revoke_own_token,
    priv_list_administrators, priv_get_administrator, priv_create_administrator,
    priv_update_administrator, priv_delete_administrator, priv_list_roles, priv_get_role,
    priv_create_role, priv_update_role, priv_delete_role, priv_list_tokens, priv_get_token,
    priv_create_token, priv_revoke_token, priv_list_policies, priv_get_policy, priv_update_policy,
    priv_list_changes, priv_get_change, priv_approve_change, priv_reject_change,
    priv_withdraw_change, priv_list_audit, priv_get_audit_row, priv_list_audit_chain,
    priv_list_audit_checkpoints, priv_get_audit_key;

#endif
