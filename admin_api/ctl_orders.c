/* Work orders: the number is made by headgate-admin, shown once, and stored as a keyed hash only.
 */
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"

int ctl_order_new(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "work_order", .from = "number"},
                                                {.name = "id", .from = "work_order_id"},
                                                {.name = "line", .from = "line_id"},
                                                {0}};
    uint32_t hours = 168;
    char line[CTL_ID_MAX];
    uint64_t id = 0;
    json_t *made = NULL;
    struct opts o = {.a = a};

    opt_number(&o, "--hours", 99999, &hours);
    opt_end(&o, 1, "workorder new LINE [--hours N]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "LINE", line);
    }
    if (o.rc == CTL_OK && view_to_u64(view_of(line), INT64_MAX, &id) == E_OK) {
        o.rc = ctl_post(
            c, "/work-orders",
            json_pack("{s:I,s:I}", "line_id", (json_int_t)id, "hours", (json_int_t)hours), &made);
    }
    return o.rc == CTL_OK ? ctl_item(c, made, columns) : o.rc;
}

static void stars(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "**********%s", json_string_value(value) ? json_string_value(value) : "");
}

int ctl_order_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "id", .from = "work_order_id"},
                                                {.name = "number", .from = "hint", .form = stars},
                                                {.name = "line", .from = "line_id"},
                                                {.name = "state"},
                                                {.name = "expires", .from = "expires_at"},
                                                {.name = "bti", .from = "spent_by"},
                                                {0}};
    struct opts o = {.a = a};

    opt_end(&o, 0, "workorder list");
    return o.rc == CTL_OK ? ctl_list(c, "/work-orders", 0, columns) : o.rc;
}

int ctl_order_cancel(struct ctl *c, struct ctl_args *a)
{
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "workorder cancel ID");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "ID", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "work order %s", id);
        o.rc = ctl_path(path, "/work-orders/%s/cancel", id);
    }
    return o.rc == CTL_OK ? ctl_post(c, path, NULL, NULL) : o.rc;
}
