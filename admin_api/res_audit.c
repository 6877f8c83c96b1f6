/* The audit log: for people, and as it is hashed for who verifies it elsewhere. */
#include "admin_api/checkpoint.h"
#include "admin_api/res_privileges.h"

#define ROW                                                                                        \
    "jsonb_build_object('seq', x.seq, 'at', " PRIV_TIME_US(                                        \
        "x.at") ", 'actor', x.actor, "                                                             \
                "'person', x.person, 'action', x.action, 'object', x.object, 'request_id', "       \
                "x.request, "                                                                      \
                "'before', x.before, 'after', x.after, 'hash', encode(x.hash, 'hex'))"
#define CHAIN_ROW                                                                                  \
    "jsonb_build_object('seq', x.seq, 'at', " PRIV_TIME_US(                                        \
        "x.at") ", 'actor', x.actor, "                                                             \
                "'person', x.person, 'action', x.action, 'object', x.object, 'before', "           \
                "x.before::text, "                                                                 \
                "'after', x.after::text, 'prev', encode(x.prev, 'hex'), 'request_id', x.request, " \
                "'hash', "                                                                         \
                "encode(x.hash, 'hex'))"

void priv_list_audit(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {priv_param(r, "object"), priv_param(r, "person"),
                                 priv_param(r, "action"), priv_param(r, "request_id"),
                                 priv_param(r, "since"),  priv_param(r, "until")};

    api_list(r, a,
             "SELECT " ROW ", x.seq FROM core.audit x WHERE ($1::bigint IS NULL OR x.seq < "
             "$1::bigint) AND ($3::text IS NULL OR x.object = $3::text) AND ($4::text IS NULL OR "
             "x.person = $4::text) AND ($5::text IS NULL OR x.action = $5::text) AND ($6::text IS "
             "NULL OR x.request = $6::text) AND ($7::timestamptz IS NULL OR x.at >= "
             "$7::timestamptz) AND ($8::timestamptz IS NULL OR x.at < $8::timestamptz) ORDER BY "
             "x.seq DESC LIMIT $2::bigint",
             p, 6);
}

void priv_get_audit_row(struct api_request *r, struct api_answer *a)
{
    const struct pg_param seq = priv_param(r, "seq");

    api_get(r, a, "SELECT " ROW " FROM core.audit x WHERE x.seq = $1::bigint", &seq, 1);
}

void priv_list_audit_chain(struct api_request *r, struct api_answer *a)
{
    const struct pg_param after = priv_param(r, "after");

    api_list(r, a,
             "SELECT " CHAIN_ROW ", x.seq FROM core.audit x WHERE x.seq > coalesce($1::bigint, "
             "$3::bigint, 0) ORDER BY x.seq LIMIT $2::bigint",
             &after, 1);
}

void priv_list_audit_checkpoints(struct api_request *r, struct api_answer *a)
{
    const struct pg_param after = priv_param(r, "after");

    api_list(r, a,
             "SELECT jsonb_build_object('seq', c.seq, 'hash', encode(c.hash, 'hex'), 'at', "
             "" PRIV_TIME_US("c.at") ", 'key_id', c.key_id, 'signature', encode(c.signature, "
                                     "'hex')), c.seq FROM core.audit_checkpoint c WHERE c.seq > "
                                     "coalesce($1::bigint, "
                                     "$3::bigint, 0) ORDER BY c.seq LIMIT $2::bigint",
             &after, 1);
}

void priv_get_audit_key(struct api_request *r, struct api_answer *a)
{
    const struct checkpoints *c = api_cfg(r->api)->checkpoints;

    if (c == NULL) {
        api_problem(a, 404, "not-found", "", "no key is configured: keys.audit");
        return;
    }
    a->body = json_pack("{s:s, s:s}", "key_id", checkpoints_key_id(c), "public_key",
                        checkpoints_public_key(c));
}
