/* Work orders: the number by which a BTI may enrol for a line. It is in the answer that makes it,
 * and nowhere after that. */
#include "admin_api/res_subscribers.h"
#include "admin_api/work_order.h"
#include "base/log.h"
#include "base/secret.h"

#define CREATED_AT   JSON_TIME("w.created_at")
#define EXPIRES_AT   JSON_TIME("w.expires_at")
#define SPENT_AT     JSON_TIME("w.spent_at")
#define CANCELLED_AT JSON_TIME("w.cancelled_at")
#define STATE                                                                                      \
    "CASE WHEN w.cancelled_at IS NOT NULL THEN 'cancelled' WHEN w.spent_at IS NOT NULL THEN "      \
    "'spent' WHEN w.expires_at < now() THEN 'expired' ELSE 'open' END"
#define ORDER                                                                                      \
    "jsonb_build_object('work_order_id', w.work_order_id, 'line_id', w.line_id, 'hint', w.hint, "  \
    "'state', " STATE ", 'created_at', " CREATED_AT ", 'expires_at', " EXPIRES_AT                  \
    ", 'spent_at', " SPENT_AT                                                                      \
    ", 'spent_by', encode(w.spent_by, 'hex'), 'cancelled_at', " CANCELLED_AT ")"
#define ORDER_BY_ID "SELECT " ORDER " FROM prov.work_order w WHERE w.work_order_id = $1::bigint"

void res_list_orders(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "line_id"), res_param(r, "state")};

    api_list(r, a,
             "SELECT " ORDER ", w.work_order_id FROM prov.work_order w WHERE ($1::bigint IS NULL "
             "OR w.work_order_id > $1::bigint) AND ($3::bigint IS NULL OR w.line_id = $3::bigint) "
             "AND ($4::text IS NULL OR " STATE " = $4::text) ORDER BY w.work_order_id LIMIT "
             "$2::bigint",
             p, 2);
}

void res_get_order(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "work_order_id");

    api_get(r, a, ORDER_BY_ID, &id, 1);
}

static void store(struct api_request *r, struct api_answer *a, const struct work_order *w)
{
    static const char *const pointers[] = {"work_order_line_id_fkey", "/line_id", NULL};
    char line[RES_INT_TEXT], hours[RES_INT_TEXT], id[RES_INT_TEXT];
    const struct pg_param p[] = {
        PG_BYTES(view_from(w->digest, sizeof w->digest)), PG_TEXT(view_of(work_order_hint(w))),
        res_int(r->body, "line_id", line), res_int(r->body, "hours", hours)};

    if (!res_lock_line(r, a, p[2], "/line_id") ||
        !res_ask(r, a,
                 "INSERT INTO prov.work_order (digest, hint, line_id, expires_at) VALUES ($1, $2, "
                 "$3::bigint, now() + make_interval(hours => coalesce($4::int, 168))) RETURNING "
                 "work_order_id",
                 p, 4, pointers, id, sizeof id)) {
        return;
    }
    api_get(r, a, ORDER_BY_ID, &(struct pg_param){view_of(id), false}, 1);
    res_created(a, "work-orders", id);
    if (!api_failed(a)) {
        json_object_set_new(a->body, "number", json_string(w->digits));
    }
}

void res_create_order(struct api_request *r, struct api_answer *a)
{
    struct work_order w = {.digits = ""};
    enum err e = work_order_make(api_cfg(r->api)->work_order_key, &w);

    if (e != E_OK) {
        LOG(LV_ERROR, "admin.work_order_key", KV("error", err_text(e)));
        api_problem(a, 503, "unavailable", "",
                    "the work-order key of headgate-admin cannot be used: its log says why");
    } else {
        store(r, a, &w);
    }
    wipe(&w, sizeof w);
}

void res_cancel_order(struct api_request *r, struct api_answer *a)
{
    const struct pg_param id = res_param(r, "work_order_id");
    char done[RES_INT_TEXT];

    if (!res_ask(r, a,
                 "UPDATE prov.work_order SET cancelled_at = now() WHERE work_order_id = $1::bigint "
                 "AND spent_at IS NULL AND cancelled_at IS NULL RETURNING work_order_id",
                 &id, 1, NULL, done, sizeof done)) {
        return;
    }
    api_get(r, a, ORDER_BY_ID, &id, 1);
    if (!api_failed(a) && done[0] == 0) {
        api_problem(a, 409, "conflict", "", "the work order was spent or cancelled before");
    }
}
