/* What needs two people: policies, and changes that another person approves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_diff.h"
#include "admin_api/ctl_opts.h"

int ctl_say_proposed(struct ctl *c, int rc)
{
    char *at = c->proposed, *id = NULL;
    bool alone = rc == CTL_PROPOSED; /* nothing else was printed */

    if ((rc != CTL_OK && !alone) || at[0] == 0) {
        return rc;
    }
    while ((id = strsep(&at, " ")) != NULL) {
        if (alone && c->json) {
            json_t *o = json_pack("{s:s}", "proposed", id);
            ctl_print_json(stdout, o);
            json_decref(o);
        } else {
            fprintf(c->json ? stderr : stdout,
                    "proposed as change %s: another person approves it with headgatectl change "
                    "approve %s\n",
                    id, id);
        }
    }
    return rc;
}

/* ---- policies ----------------------------------------------------------------------------------
 */
static void on_off(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "%s", json_is_true(value) ? "on" : "off");
}

int ctl_policy_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "policy", .from = "name"},
        {.name = "state", .from = "enabled", .form = on_off},
        {.name = "meaning", .from = "help"},
        {0}};
    struct opts o = {.a = a};

    opt_end(&o, 0, "policy list");
    return o.rc == CTL_OK ? ctl_list(c, "/policies", 0, columns) : o.rc;
}

int ctl_policy_set(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    bool on = false;
    struct opts o = {.a = a};

    opt_end(&o, 2, "policy set NAME on|off");
    if (o.rc == CTL_OK) {
        on = strcmp(a->v[1], "on") == 0;
        o.rc = on || strcmp(a->v[1], "off") == 0
                   ? ctl_path(path, "/policies/%s", a->v[0])
                   : ctl_fail(CTL_USAGE, "on or off, not '%s'", a->v[1]);
    }
    ctl_about(c, "policy '%s' (policy list shows them)", a->n > 0 ? a->v[0] : "");
    return o.rc == CTL_OK ? ctl_patch(c, path, json_pack("{s:b}", "enabled", on)) : o.rc;
}

/* ---- changes -----------------------------------------------------------------------------------
 */
static int by_number(const json_t *a, const json_t *b)
{
    json_int_t na = json_integer_value(json_object_get(a, "change_id"));
    json_int_t nb = json_integer_value(json_object_get(b, "change_id"));

    return (na > nb) - (na < nb);
}

int ctl_change_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "change", .from = "change_id"},
                                                {.name = "proposed", .from = "proposed_at"},
                                                {.name = "by", .from = "proposer"},
                                                {.name = "person", .from = "proposer_person"},
                                                {.name = "action"},
                                                {.name = "object"},
                                                {.name = "state"},
                                                {.name = "decided_by", .from = "decider"},
                                                {.name = "decider_person"},
                                                {0}};
    bool all = ctl_flag(a, "--all");
    json_t *rows = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "change list [--all]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get_all(c, all ? "/changes" : "/changes?state=proposed", 0, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows(c, ctl_sorted(rows, by_number), columns) : o.rc;
}

static void difference(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)value;
    ctl_diff(json_object_get(item, "before"), json_object_get(item, "after"), "\n  ", true, out,
             max);
}

int ctl_change_show(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "change", .from = "change_id"},
                                                {.name = "proposed", .from = "proposed_at"},
                                                {.name = "by", .from = "proposer"},
                                                {.name = "person", .from = "proposer_person"},
                                                {.name = "action"},
                                                {.name = "object"},
                                                {.name = "state"},
                                                {.name = "decided", .from = "decided_at"},
                                                {.name = "decided_by", .from = "decider"},
                                                {.name = "decider_person"},
                                                {.name = "difference", .form = difference},
                                                {0}};
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    json_t *change = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "change show CHANGE");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "CHANGE", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "change %s (change list --all shows them)", id);
        o.rc = ctl_path(path, "/changes/%s", id);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, path, &change);
    }
    return o.rc == CTL_OK ? ctl_item(c, change, columns) : o.rc;
}

static int decide(struct ctl *c, struct ctl_args *a, const char *usage, const char *form)
{
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "CHANGE", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "change %s (change list shows them)", id);
        o.rc = ctl_path(path, form, id);
    }
    return o.rc == CTL_OK ? ctl_post(c, path, NULL, NULL) : o.rc;
}

int ctl_change_approve(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "change approve CHANGE", "/changes/%s/approve");
}

int ctl_change_reject(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "change reject CHANGE", "/changes/%s/reject");
}

int ctl_change_withdraw(struct ctl *c, struct ctl_args *a)
{
    return decide(c, a, "change withdraw CHANGE", "/changes/%s/withdraw");
}
