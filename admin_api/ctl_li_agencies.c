/* "li agenc...": whom orders are delivered to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/ctl_li.h"
#include "admin_api/ctl_opts.h"

/* ---- what is shown -----------------------------------------------------------------------------
 */
/* An address, with what else there is to know of a place. */
static void form_place(const json_t *item, const json_t *value, char *out, size_t max)
{
    char address[128], name[260];

    (void)item;
    ctl_text(json_object_get(value, "address"), address, sizeof address);
    ctl_text(json_object_get(value, "tls_name"), name, sizeof name);
    snprintf(out, max, "%s%s%s%s", address, name[0] != 0 ? " " : "", name,
             json_is_true(json_object_get(value, "plain")) ? " plain" : "");
}

/* What waits for another officer: its number, and in JSON what it would change. */
static void form_proposed(const json_t *item, const json_t *value, char *out, size_t max)
{
    const json_t *to = json_object_get(value, "to"), *reason = json_object_get(value, "reason");
    char *text = json_dumps(to != NULL ? to : reason, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char number[24], what[16], who[160];

    (void)item;
    ctl_text(json_object_get(value, "change"), number, sizeof number);
    ctl_text(json_object_get(value, "what"), what, sizeof what);
    ctl_text(json_object_get(value, "proposed_by"), who, sizeof who);
    snprintf(out, max, "%s by %s: %s %s", number, who, what, text != NULL ? text : "");
    free(text); /* jansson allocated it */
}

static void form_count(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "%zu", json_array_size(value));
}

static const struct ctl_column AGENCIES[] = {
    {.name = "agency"},
    {.name = "name"},
    {.name = "version"},
    {.name = "cdc", .absent = "-", .form = form_place},
    {.name = "x2", .absent = "-", .form = form_place},
    {.name = "retired_at", .absent = "-"},
    {.name = "proposed", .from = "proposed.change", .absent = "-"},
    {.name = NULL}};

static const struct ctl_column AGENCY[] = {
    {.name = "agency"},
    {.name = "name"},
    {.name = "contact"},
    {.name = "version"},
    {.name = "cdc", .absent = "-", .form = form_place},
    {.name = "x2", .absent = "-", .form = form_place},
    {.name = "entered_by"},
    {.name = "entered_at"},
    {.name = "retired_at", .absent = "-"},
    {.name = "proposed", .absent = "-", .form = form_proposed},
    {.name = "history", .absent = "0", .form = form_count},
    {.name = NULL}};

int ctl_li_agencies(struct ctl *c, struct ctl_args *a)
{
    json_t *rows = NULL;
    int rc = a->n == 0 ? ctl_get(c, "/agencies", &rows)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl li agencies");

    return rc == CTL_OK ? ctl_rows_raw(c, rows, AGENCIES) : rc;
}

int ctl_li_agency(struct ctl *c, struct ctl_args *a)
{
    return ctl_li_one(c, a, "agency", "agencies", AGENCY);
}

/* ---- acts --------------------------------------------------------------------------------------
 */
int ctl_li_agency_add(struct ctl *c, struct ctl_args *a)
{
    struct opts o = {.a = a};

    opt_end(&o, 1, "li agency-add FILE|-");
    return o.rc == CTL_OK ? ctl_li_post_form(c, "/agencies", a->v[0], AGENCY) : o.rc;
}

/* "/agencies/ID/VERB" of the first argument. */
static int path_of(struct ctl *c, const struct ctl_args *a, const char *verb,
                   char path[CTL_PATH_MAX])
{
    char id[CTL_ID_MAX];
    int rc = ctl_id(a->v[0], "agency", id);

    if (rc == CTL_OK) {
        ctl_about(c, "agency %s (li agencies shows them)", id);
        snprintf(path, CTL_PATH_MAX, "/agencies/%s/%s", id, verb);
    }
    return rc;
}

int ctl_li_agency_change(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 2, "li agency-change AGENCY FILE|-");
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a, "change", path);
    }
    return o.rc == CTL_OK ? ctl_li_post_form(c, path, a->v[1], AGENCY) : o.rc;
}

/* Takes the body over. */
static int post(struct ctl *c, const char *path, json_t *body)
{
    json_t *agency = NULL;
    int rc = ctl_post(c, path, body, &agency);

    return rc == CTL_OK ? ctl_li_print(c, agency, AGENCY) : rc;
}

int ctl_li_agency_retire(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX], reason[CTL_REASON_MAX + 2];
    struct opts o = {.a = a};

    o.rc = ctl_li_reason(a, reason);
    opt_end(&o, 1, "li agency-retire AGENCY --reason TEXT|-");
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a, "retire", path);
    }
    return o.rc == CTL_OK ? post(c, path, json_pack("{s:s}", "reason", reason)) : o.rc;
}

static int decide(struct ctl *c, struct ctl_args *a, const char *verb, bool has_reason)
{
    char path[CTL_PATH_MAX], change[CTL_ID_MAX], reason[CTL_REASON_MAX + 2] = "", usage[64];
    struct opts o = {.a = a};

    snprintf(usage, sizeof usage, "li agency-%s AGENCY CHANGE%s", verb,
             has_reason ? " --reason TEXT|-" : "");
    o.rc = has_reason ? ctl_li_reason(a, reason) : CTL_OK;
    opt_end(&o, 2, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[1], "change", change);
    }
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a, verb, path);
    }
    if (o.rc == CTL_OK) {
        json_t *body = json_pack("{s:I}", "change", (json_int_t)strtoll(change, NULL, 10));
        if (has_reason) {
            json_object_set_new(body, "reason", json_string(reason));
        }
        o.rc = post(c, path, body);
    }
    return o.rc;
}

int ctl_li_agency_approve(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "approve", false);
}

int ctl_li_agency_refuse(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "refuse", true);
}
