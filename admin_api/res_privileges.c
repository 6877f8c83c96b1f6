/* Privileges: the table of operations, what their handlers share, and who asks. */
#include "admin_api/res_privileges.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct api_bind api_bind_privileges[] = {
    {"getMe", priv_get_me},
    {"listOwnTokens", priv_list_own_tokens},
    {"createOwnToken", priv_create_own_token},
    {"revokeOwnToken", priv_revoke_own_token},
    {"listAdministrators", priv_list_administrators},
    {"getAdministrator", priv_get_administrator},
    {"createAdministrator", priv_create_administrator},
    {"updateAdministrator", priv_update_administrator},
    {"deleteAdministrator", priv_delete_administrator},
    {"listRoles", priv_list_roles},
    {"getRole", priv_get_role},
    {"createRole", priv_create_role},
    {"updateRole", priv_update_role},
    {"deleteRole", priv_delete_role},
    {"listTokens", priv_list_tokens},
    {"getToken", priv_get_token},
    {"createToken", priv_create_token},
    {"revokeToken", priv_revoke_token},
    {"listPolicies", priv_list_policies},
    {"getPolicy", priv_get_policy},
    {"updatePolicy", priv_update_policy},
    {"listChanges", priv_list_changes},
    {"getChange", priv_get_change},
    {"approveChange", priv_approve_change},
    {"rejectChange", priv_reject_change},
    {"withdrawChange", priv_withdraw_change},
    {"listAudit", priv_list_audit},
    {"getAuditRow", priv_get_audit_row},
    {"listAuditChain", priv_list_audit_chain},
    {"listAuditCheckpoints", priv_list_audit_checkpoints},
    {"getAuditKey", priv_get_audit_key},
    {NULL, NULL},
};

struct pg_param priv_param(const struct api_request *r, const char *name)
{
    const char *text = api_param(r, name);

    return text != NULL ? PG_TEXT(view_of(text)) : PG_NULL;
}

struct pg_param priv_number(uint64_t n, char text[PRIV_ID_TEXT])
{
    snprintf(text, PRIV_ID_TEXT, "%" PRIu64, n);
    return PG_TEXT(view_of(text));
}

struct pg_param priv_list(const json_t *list, char **keep)
{
    *keep = json_is_array(list) ? json_dumps(list, JSON_COMPACT) : NULL;
    return *keep != NULL ? PG_TEXT(view_of(*keep)) : PG_TEXT(VIEW("[]"));
}

void priv_words(const json_t *list, char out[PRIV_WORDS])
{
    size_t n = 0;

    out[0] = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word != NULL && n + strlen(word) + 2 < PRIV_WORDS) { /* the schema bounds both */
            n += (size_t)snprintf(out + n, PRIV_WORDS - n, "%s%s", n > 0 ? " " : "", word);
        }
    }
}

bool priv_covers(struct api_request *r, struct api_answer *a, const char *pointer,
                 const struct permissions *needed)
{
    if (r->who.grants_all || permissions_cover(&r->who.may, needed)) {
        return true;
    }
    for (unsigned i = 0; permission_name(i) != NULL; i++) {
        if (permissions_have(needed, i) && !permissions_have(&r->who.may, i)) {
            api_problem(a, 403, "forbidden", pointer,
                        "this takes the permission %s, or the role security", permission_name(i));
            break;
        }
    }
    return false;
}

void priv_commit(struct api_request *r, struct api_answer *a)
{
    if (!api_failed(a) && api_commit(r, a)) {
        principals_follow(api_cfg(r->api)->principals);
    }
}

void priv_get_me(struct api_request *r, struct api_answer *a)
{
    json_t *may = json_array();

    for (unsigned i = 0; permission_name(i) != NULL; i++) {
        if (principal_may(&r->who, i)) {
            json_array_append_new(may, json_string(permission_name(i)));
        }
    }
    a->body = json_pack("{s:s, s:s, s:b, s:o}", "name", r->who.name, "how", r->who.how,
                        "grants_all", (int)r->who.grants_all, "permissions", may);
    json_object_set_new(a->body, "administrator_id",
                        r->who.admin_id != 0 ? json_integer((json_int_t)r->who.admin_id)
                                             : json_null());
    json_object_set_new(a->body, "token_id",
                        r->who.token_id != 0 ? json_integer((json_int_t)r->who.token_id)
                                             : json_null());
}
