/* BTIs: seen, and revoked. They come by enrolment alone. */
#include "admin_api/res_subscribers.h"

#define ENROLLED_AT JSON_TIME("b.enrolled_at")
#define REVOKED_AT  JSON_TIME("b.revoked_at")
#define BTI                                                                                        \
    "jsonb_build_object('bti_id', encode(b.bti_id, 'hex'), 'line_id', b.line_id, 'number', "       \
    "(SELECT n.number FROM core.number n WHERE n.line_id = b.line_id AND n.is_primary), "          \
    "'mac_address', b.mac_address, 'model', b.model, 'software', b.software, "                     \
    "'enrolled_at', " ENROLLED_AT ", 'revoked_at', " REVOKED_AT ")"
#define BTI_BY_ID "SELECT " BTI " FROM core.bti b WHERE b.bti_id = decode($1, 'hex')"

void res_list_btis(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "line_id"), res_param(r, "revoked")};

    api_list(r, a,
             "SELECT " BTI ", encode(b.bti_id, 'hex') FROM core.bti b WHERE ($1::text IS NULL OR "
             "b.bti_id > decode($1::text, 'hex')) AND ($3::bigint IS NULL OR b.line_id = "
             "$3::bigint) AND ($4::boolean IS NULL OR (b.revoked_at IS NOT NULL) = $4::boolean) "
             "ORDER BY b.bti_id LIMIT $2::bigint",
             p, 2);
}

void res_get_bti(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "bti_id");

    api_get(r, a, BTI_BY_ID, &id, 1);
}

/* Its sessions end as soon as the gate controllers know. */
void res_revoke_bti(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "bti_id");
    char done[40];

    if (!res_ask(r, a,
                 "UPDATE core.bti SET revoked_at = now() WHERE bti_id = decode($1, 'hex') AND "
                 "revoked_at IS NULL RETURNING encode(bti_id, 'hex')",
                 &id, 1, NULL, done, sizeof done)) {
        return;
    }
    api_get(r, a, BTI_BY_ID, &id, 1);
    if (!api_failed(a) && done[0] == 0) {
        api_problem(a, 409, "conflict", "", "the BTI was revoked before");
    }
}
