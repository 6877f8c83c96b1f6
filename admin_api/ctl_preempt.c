/* Preemption: calls end so that others find a way; emergency mode: calls without priority get a
 * share of the limits. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"
#include "base/clock.h"

#define PREEMPT_OPTIONS "--reason TEXT [--dry-run] [--max N] [--below NAMESPACE.VALUE]"
#define DECLARE_USAGE                                                                              \
    "emergency declare --reason TEXT --share PERCENT (--hours N | --until TIME) [--region "        \
    "PREFIX,...] [--trunks NAME,...] [--exempt-lines LINE,...] [--exempt-trunks NAME,...]"

enum { MAX_CALLS = 1000000, HOURS_MAX = 31 * 24 };

static const struct opt_field ASK_FIELDS[] = {
    {"--reason", "reason", OPT_TEXT, 0, NULL},
    {"--max", "max", OPT_NUMBER, MAX_CALLS, NULL},
    {"--below", "below", OPT_TEXT, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

/* ---- preemption --------------------------------------------------------------------------------
 */
static const struct ctl_column ASKED[] = {{.name = "preemption", .from = "id"},
                                          {.name = "at"},
                                          {.name = "by"},
                                          {.name = "state"},
                                          {.name = "scope"},
                                          {.name = "of"},
                                          {.name = "ended"},
                                          {.name = "dry_run"},
                                          {.name = "approved_by"},
                                          {.name = "reason"},
                                          {0}};

/* What it is about, and how many calls that cost, as members of their own. */
static void sum_up(json_t *p)
{
    static const char *const whats[] = {"call", "number", "trunk"};
    char text[512] = "";
    json_int_t ended = 0;
    size_t i = 0;
    json_t *node = NULL;

    for (size_t k = 0; k < sizeof whats / sizeof *whats; k++) {
        if (text[0] == 0) {
            ctl_text(json_object_get(p, whats[k]), text, sizeof text);
        }
    }
    if (text[0] == 0) {
        ctl_text(json_object_get(p, "prefixes"), text, sizeof text);
    }
    json_array_foreach(json_object_get(p, "results"), i, node)
    {
        ended += json_integer_value(json_object_get(node, "ended"));
    }
    json_object_set_new(p, "of", json_string(text));
    json_object_set_new(p, "ended", json_integer(ended));
}

/* Who did not do it, on stderr: false when that was everybody. */
static bool say_faults(const json_t *p)
{
    size_t i = 0, good = 0;
    json_t *node = NULL, *results = json_object_get(p, "results");
    char text[512];

    json_array_foreach(results, i, node)
    {
        const char *error = json_string_value(json_object_get(node, "error"));
        bool reached = json_is_true(json_object_get(node, "reached"));
        good += reached && error == NULL;
        if (!reached || error != NULL) {
            snprintf(text, sizeof text, "%s: %s", json_string_value(json_object_get(node, "node")),
                     error != NULL ? error : "did not answer: its calls go on");
            ctl_tame(text, false);
            fprintf(stderr, "headgatectl: %s\n", text);
        }
    }
    return good > 0 || json_array_size(results) == 0;
}

static json_t *calls_of(const json_t *p)
{
    json_t *all = json_array(), *node = NULL, *call = NULL;
    size_t i = 0, k = 0;

    json_array_foreach(json_object_get(p, "results"), i, node)
    {
        json_array_foreach(json_object_get(node, "calls"), k, call)
        {
            json_t *row = json_copy(call);
            json_object_set(row, "node", json_object_get(node, "node"));
            json_array_append_new(all, row);
        }
    }
    return all;
}

static int show(const struct ctl *c, json_t *p)
{
    static const struct ctl_column calls[] = {
        {.name = "call"}, {.name = "outcome"}, {.name = "caller"}, {.name = "called"},
        {.name = "rank"}, {.name = "had_by"},  {.name = "node"},   {0}};
    const char *state = json_string_value(json_object_get(p, "state"));
    int rc = say_faults(p) ? CTL_OK : CTL_UNREACHABLE;

    if (c->json) {
        ctl_print_json(stdout, p);
    } else {
        json_t *rows = calls_of(p);
        sum_up(p);
        ctl_print_item(stdout, p, ASKED, false);
        if (json_array_size(rows) > 0) {
            ctl_print_table(stdout, rows, calls);
        }
        json_decref(rows);
        if (state != NULL && strcmp(state, "proposed") == 0) {
            printf("another person approves it with headgatectl preempt approve %lld\n",
                   (long long)json_integer_value(json_object_get(p, "id")));
        }
    }
    json_decref(p);
    return rc;
}

static int ask(struct ctl *c, struct ctl_args *a, const char *scope, const char *usage)
{
    bool dry_run = ctl_flag(a, "--dry-run");
    json_t *body = json_object(), *made = NULL;
    struct opts o = {.a = a};

    opt_body(&o, ASK_FIELDS, body);
    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK && json_object_get(body, "reason") == NULL) {
        o.rc = ctl_fail(CTL_USAGE, "--reason: it goes to the parties, the records and the audit "
                                   "log");
    }
    if (o.rc != CTL_OK) {
        json_decref(body);
        return o.rc;
    }
    json_object_set_new(body, "scope", json_string(scope));
    json_object_set_new(body, "dry_run", json_boolean(dry_run));
    if (strcmp(scope, "region") == 0) {
        json_object_set_new(body, "prefixes", opt_list(a->v[0]));
    } else {
        json_object_set_new(body, scope, json_string(a->v[0]));
    }
    o.rc = ctl_post(c, "/preemptions", body, &made);
    return o.rc == CTL_OK ? show(c, made) : o.rc;
}

int ctl_preempt_call(struct ctl *c, struct ctl_args *a)
{
    return ask(c, a, "call", "preempt call CALL " PREEMPT_OPTIONS);
}

int ctl_preempt_number(struct ctl *c, struct ctl_args *a)
{
    return ask(c, a, "number", "preempt number NUMBER " PREEMPT_OPTIONS);
}

int ctl_preempt_trunk(struct ctl *c, struct ctl_args *a)
{
    return ask(c, a, "trunk", "preempt trunk NAME " PREEMPT_OPTIONS);
}

int ctl_preempt_region(struct ctl *c, struct ctl_args *a)
{
    return ask(c, a, "region", "preempt region PREFIX,... " PREEMPT_OPTIONS);
}

int ctl_preempt_list(struct ctl *c, struct ctl_args *a)
{
    uint32_t limit = 50;
    json_t *rows = NULL, *row = NULL;
    size_t i = 0;
    struct opts o = {.a = a};

    opt_number(&o, "--limit", MAX_CALLS, &limit);
    opt_end(&o, 0, "preempt list [--limit N]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get_all(c, "/preemptions", limit, &rows);
    }
    if (o.rc == CTL_OK && c->json) {
        return ctl_rows_raw(c, rows, ASKED);
    }
    json_array_foreach(rows, i, row)
    {
        sum_up(row);
    }
    return o.rc == CTL_OK ? ctl_rows(c, rows, ASKED) : o.rc;
}

static int one(struct ctl *c, struct ctl_args *a, const char *usage, const char *form, bool is_get)
{
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    json_t *p = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "PREEMPTION", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "preemption %s (preempt list shows them)", id);
        o.rc = ctl_path(path, form, id);
    }
    if (o.rc == CTL_OK) {
        o.rc = is_get ? ctl_get(c, path, &p) : ctl_post(c, path, NULL, &p);
    }
    return o.rc == CTL_OK ? show(c, p) : o.rc;
}

int ctl_preempt_show(struct ctl *c, struct ctl_args *a)
{
    return one(c, a, "preempt show PREEMPTION", "/preemptions/%s", true);
}

int ctl_preempt_approve(struct ctl *c, struct ctl_args *a)
{
    return one(c, a, "preempt approve PREEMPTION", "/preemptions/%s/approve", false);
}

int ctl_preempt_reject(struct ctl *c, struct ctl_args *a)
{
    return one(c, a, "preempt reject PREEMPTION", "/preemptions/%s/reject", false);
}

/* ---- emergency mode ----------------------------------------------------------------------------
 */
static const struct ctl_column MODES[] = {{.name = "emergency", .from = "id"},
                                          {.name = "scope"},
                                          {.name = "prefixes"},
                                          {.name = "trunks"},
                                          {.name = "share"},
                                          {.name = "ends", .from = "ends_at"},
                                          {.name = "in_force"},
                                          {.name = "declared_by"},
                                          {.name = "ended_by"},
                                          {.name = "reason"},
                                          {0}};

/* Names of trunks as their numbers. */
static int trunk_ids(struct ctl *c, const char *names, json_t *body, const char *member)
{
    json_t *list = names != NULL ? opt_list(names) : NULL, *ids = json_array(), *name = NULL;
    char id[CTL_ID_MAX];
    uint64_t n = 0;
    size_t i = 0;
    int rc = CTL_OK;

    json_array_foreach(list, i, name)
    {
        rc = rc == CTL_OK ? ctl_find(c, "/trunks", json_string_value(name), "trunk_id", "trunk", id)
                          : rc;
        if (rc == CTL_OK && view_to_u64(view_of(id), INT64_MAX, &n) == E_OK) {
            json_array_append_new(ids, json_integer((json_int_t)n));
        }
    }
    if (rc == CTL_OK && names != NULL) {
        json_object_set(body, member, ids);
    }
    json_decref(ids);
    json_decref(list);
    return rc;
}

static int line_ids(const char *text, json_t *body)
{
    json_t *list = text != NULL ? opt_list(text) : NULL, *ids = json_array(), *one_of = NULL;
    char id[CTL_ID_MAX];
    uint64_t n = 0;
    size_t i = 0;
    int rc = CTL_OK;

    json_array_foreach(list, i, one_of)
    {
        rc = rc == CTL_OK ? ctl_id(json_string_value(one_of), "LINE", id) : rc;
        if (rc == CTL_OK && view_to_u64(view_of(id), INT64_MAX, &n) == E_OK) {
            json_array_append_new(ids, json_integer((json_int_t)n));
        }
    }
    if (rc == CTL_OK && text != NULL) {
        json_object_set(body, "exempt_lines", ids);
    }
    json_decref(ids);
    json_decref(list);
    return rc;
}

/* --hours or --until, one of them. */
static void take_end(struct opts *o, json_t *body)
{
    const char *until = o->rc == CTL_OK ? ctl_option(o->a, "--until") : NULL;
    uint32_t hours = 0;
    char text[32];
    struct tm tm;
    time_t at = 0;

    opt_number(o, "--hours", HOURS_MAX, &hours);
    if (o->rc == CTL_OK && (hours > 0) == (until != NULL)) {
        o->rc = ctl_fail(CTL_USAGE, "when does it end: --hours N or --until 2026-11-24T18:00:00Z");
    }
    if (o->rc != CTL_OK || until != NULL) {
        json_object_set_new(body, "ends_at", json_string(until));
        return;
    }
    at = (time_t)(clock_wall_us(clock_system()) / 1000000) + (time_t)hours * 3600;
    if (gmtime_r(&at, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
        json_object_set_new(body, "ends_at", json_string(text));
    }
}

static const struct opt_field MODE_FIELDS[] = {
    {"--reason", "reason", OPT_TEXT, 0, NULL},
    {"--share", "share", OPT_NUMBER, 100, NULL},
    {"--region", "prefixes", OPT_LIST, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

int ctl_emergency_declare(struct ctl *c, struct ctl_args *a)
{
    const char *trunks = ctl_option(a, "--trunks"), *lines = ctl_option(a, "--exempt-lines");
    const char *spared = ctl_option(a, "--exempt-trunks");
    json_t *body = json_object(), *made = NULL;
    bool is_region = false;
    struct opts o = {.a = a};

    opt_body(&o, MODE_FIELDS, body);
    take_end(&o, body);
    opt_end(&o, 0, DECLARE_USAGE);
    is_region = json_object_get(body, "prefixes") != NULL;
    if (o.rc == CTL_OK &&
        (json_object_get(body, "reason") == NULL || json_object_get(body, "share") == NULL ||
         (is_region && trunks != NULL))) {
        o.rc = ctl_fail(CTL_USAGE, "usage: headgatectl %s", DECLARE_USAGE);
    }
    json_object_set_new(body, "scope",
                        json_string(is_region        ? "region"
                                    : trunks != NULL ? "trunks"
                                                     : "all"));
    o.rc = o.rc == CTL_OK ? trunk_ids(c, trunks, body, "trunks") : o.rc;
    o.rc = o.rc == CTL_OK ? trunk_ids(c, spared, body, "exempt_trunks") : o.rc;
    o.rc = o.rc == CTL_OK ? line_ids(lines, body) : o.rc;
    if (o.rc != CTL_OK) {
        json_decref(body);
        return o.rc;
    }
    o.rc = ctl_post(c, "/emergency-modes", body, &made);
    return o.rc == CTL_OK ? ctl_item(c, made, MODES) : o.rc;
}

int ctl_emergency_end(struct ctl *c, struct ctl_args *a)
{
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "emergency end EMERGENCY");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "EMERGENCY", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "emergency %s (emergency list shows them)", id);
        o.rc = ctl_path(path, "/emergency-modes/%s", id);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}

int ctl_emergency_list(struct ctl *c, struct ctl_args *a)
{
    bool in_force = ctl_flag(a, "--in-force");
    struct opts o = {.a = a};

    opt_end(&o, 0, "emergency list [--in-force]");
    return o.rc == CTL_OK
               ? ctl_list(c, in_force ? "/emergency-modes?in_force=true" : "/emergency-modes", 0,
                          MODES)
               : o.rc;
}
