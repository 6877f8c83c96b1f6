/* Work orders: the number is shown once (admin_api/work_order.h). */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"
#include "admin_api/work_order.h"
#include "base/secret.h"

static int store(struct ctl *c, const char *line, const char *hours, const struct work_order *w)
{
    struct pg_result *r = NULL;
    char id[24] = "";
    int rc =
        ctl_query(c,
                  "INSERT INTO prov.work_order (digest, hint, line_id, expires_at) VALUES ($1, $2, "
                  "$3, now() + make_interval(hours => $4::int)) RETURNING work_order_id",
                  (const struct pg_param[]){PG_BYTES(view_from(w->digest, sizeof w->digest)),
                                            PG_TEXT(view_of(work_order_hint(w))),
                                            PG_TEXT(view_of(line)), PG_TEXT(view_of(hours))},
                  4, &r);

    if (rc == CTL_OK && view_to_cstr(pg_text(r, 0, 0), id, sizeof id) == E_OK) {
        ctl_say(c, (const char *const[]){"work_order", w->digits, "id", id, "line", line, NULL});
    }
    pg_result_free(r);
    return rc;
}

static int make(const struct ctl *c, struct work_order *w)
{
    enum err e = work_order_make(c->work_order_key, w);

    return e == E_OK ? CTL_OK
                     : ctl_fail(CTL_BROKEN, "work-order key %s: %s (32 octets, mode 0600)",
                                c->work_order_key, err_text(e));
}

int ctl_order_new(struct ctl *c, struct ctl_args *a)
{
    const char *hours_text = ctl_option(a, "--hours");
    char line[24], hours[24];
    struct work_order w = {.digits = ""};
    int rc = a->n == 1 ? ctl_id(a->v[0], "LINE", line)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl workorder new LINE [--hours N]");

    snprintf(hours, sizeof hours, "%d", WORK_ORDER_HOURS);
    if (rc == CTL_OK && hours_text != NULL) {
        rc = ctl_id(hours_text, "--hours", hours);
    }
    if (rc == CTL_OK && strlen(hours) > 5) {
        rc = ctl_fail(CTL_USAGE, "--hours is at most %d", WORK_ORDER_HOURS_MAX);
    }
    if (rc == CTL_OK) {
        rc = make(c, &w);
    }
    if (rc == CTL_OK) {
        rc = store(c, line, hours, &w);
    }
    wipe(&w, sizeof w);
    return rc;
}

int ctl_order_list(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    int rc = a->n == 0 ? CTL_OK : ctl_fail(CTL_USAGE, "usage: headgatectl workorder list");

    if (rc == CTL_OK) {
        rc = ctl_query(
            c,
            "SELECT work_order_id, '**********' || hint, line_id, CASE WHEN cancelled_at IS NOT "
            "NULL THEN 'cancelled' WHEN spent_at IS NOT NULL THEN 'spent' WHEN expires_at < now() "
            "THEN 'expired' ELSE 'open' END, to_char(expires_at AT TIME ZONE 'UTC', "
            "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), coalesce(encode(spent_by, 'hex'), '') FROM "
            "prov.work_order ORDER BY 1",
            NULL, 0, &r);
    }
    if (rc == CTL_OK) {
        rc = ctl_show(
            c, r, (const char *const[]){"id", "number", "line", "state", "expires", "bti", NULL});
    }
    pg_result_free(r);
    return rc;
}

int ctl_order_cancel(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    char id[24];
    int rc = a->n == 1 ? ctl_id(a->v[0], "ID", id)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl workorder cancel ID");

    if (rc == CTL_OK) {
        rc = ctl_query(
            c,
            "UPDATE prov.work_order SET cancelled_at = now() WHERE work_order_id = $1 AND "
            "spent_at IS NULL AND cancelled_at IS NULL",
            (const struct pg_param[]){PG_TEXT(view_of(id))}, 1, &r);
    }
    if (rc == CTL_OK && pg_affected(r) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no such open work order");
    }
    pg_result_free(r);
    return rc;
}
