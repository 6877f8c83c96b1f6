/* What the gate controllers hold and say of themselves. */
#include "admin_api/ctl_live.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"
#include "base/clock.h"

enum { IN_FORCE_WAIT_MS = 10000, IN_FORCE_PAUSE_MS = 20 };

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

static bool any_reached(const json_t *nodes)
{
    size_t i = 0;
    json_t *node = NULL;

    json_array_foreach(nodes, i, node)
    {
        if (json_is_true(json_object_get(node, "reached"))) {
            return true;
        }
    }
    return false;
}

/* Who was silent; CTL_UNREACHABLE when all were, or when there is none. */
static int say_silent(const json_t *nodes)
{
    size_t i = 0;
    json_t *node = NULL;

    if (!any_reached(nodes)) {
        return ctl_fail(CTL_UNREACHABLE, "no gate controller answers (is headgate running?)");
    }
    json_array_foreach(nodes, i, node)
    {
        if (!json_is_true(json_object_get(node, "reached"))) {
            fprintf(stderr, "headgatectl: %s did not answer: what it holds is missing here\n",
                    text_of(node, "node"));
        }
    }
    return CTL_OK;
}

static bool is_of(const json_t *item, const char *node)
{
    size_t i = 0;
    json_t *one = NULL;

    json_array_foreach(json_object_get(item, "nodes"), i, one)
    {
        if (strcmp(json_string_value(one) ? json_string_value(one) : "", node) == 0) {
            return true;
        }
    }
    return strcmp(text_of(item, "node"), node) == 0;
}

int live_items(struct ctl *c, const char *path, const char *node, json_t **out)
{
    json_t *answer = NULL, *all = NULL, *item = NULL;
    size_t i = 0;
    int rc = ctl_get(c, path, &answer);

    *out = NULL;
    if (rc == CTL_OK) {
        rc = say_silent(json_object_get(answer, "nodes"));
    }
    if (rc == CTL_OK) {
        all = json_array();
        json_array_foreach(json_object_get(answer, "items"), i, item)
        {
            if (node == NULL || is_of(item, node)) {
                json_array_append(all, item);
            }
        }
        *out = all;
        if (json_is_true(json_object_get(answer, "truncated"))) {
            fputs("headgatectl: there are more than these\n", stderr);
        }
    }
    json_decref(answer);
    return rc;
}

static int list(struct ctl *c, struct ctl_args *a, const char *usage, const char *path,
                const struct ctl_column *columns)
{
    const char *node = ctl_option(a, "--node");
    json_t *rows = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, usage);
    if (o.rc == CTL_OK) {
        o.rc = live_items(c, path, node, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows_raw(c, rows, columns) : o.rc;
}

int ctl_registrations(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "line"},    {.name = "number"},
                                                {.name = "contact"}, {.name = "transport"},
                                                {.name = "remote"},  {.name = "expires_s"},
                                                {.name = "bti"},     {.name = "phone"},
                                                {.name = "node"},    {0}};

    return list(c, a, "registrations [--node NODE]", "/registrations", columns);
}

int ctl_sessions(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "kid"},   {.name = "line"},
                                                {.name = "bti"},   {.name = "expires_s"},
                                                {.name = "nodes"}, {0}};

    return list(c, a, "sessions [--node NODE]", "/sessions", columns);
}

int ctl_ps(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "server"}, {.name = "healthy"}, {.name = "last_answer_s"}, {.name = "node"}, {0}};

    return list(c, a, "ps [--node NODE]", "/provisioning-servers", columns);
}

int ctl_alarms(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "severity"}, {.name = "alarm"},
                                                {.name = "node"},     {.name = "object"},
                                                {.name = "text"},     {0}};

    return list(c, a, "alarms [--node NODE]", "/alarms", columns);
}

/* ---- trunks as nodes see them ------------------------------------------------------------------
 */
int ctl_trunk_status(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "trunk"},       {.name = "transport"},     {.name = "address"},
        {.name = "state"},       {.name = "last_answer_s"}, {.name = "calls"},
        {.name = "calls_total"}, {.name = "refused"},       {.name = "failed"},
        {.name = "dns"},         {.name = "node"},          {0}};

    return list(c, a, "trunk status [--node NODE]", "/trunk-states", columns);
}

/* ---- nodes -------------------------------------------------------------------------------------
 */
int ctl_nodes(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "node"},
        {.name = "reached"},
        {.name = "local"},
        {.name = "uptime_s", .from = "state.uptime_s"},
        {.name = "calls", .from = "state.calls"},
        {.name = "sessions", .from = "state.sessions"},
        {.name = "registrations", .from = "state.registrations"},
        {.name = "postgres", .from = "state.postgres"},
        {.name = "redis", .from = "state.redis"},
        {.name = "error"},
        {0}};
    json_t *answer = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "nodes");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, "/nodes", &answer);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_rows_raw(c, json_incref(json_object_get(answer, "items")), columns);
    }
    json_decref(answer);
    return o.rc;
}

/* That of the name, or the first one of this machine that answers. */
static const json_t *choose(const json_t *nodes, const char *name)
{
    const json_t *found = NULL;
    size_t i = 0;
    json_t *node = NULL;

    json_array_foreach(nodes, i, node)
    {
        bool fits = name != NULL ? strcmp(text_of(node, "node"), name) == 0
                                 : json_is_true(json_object_get(node, "reached"));
        bool better = found == NULL || (json_is_true(json_object_get(node, "local")) &&
                                        !json_is_true(json_object_get(found, "local")));
        found = fits && better ? node : found;
    }
    return found;
}

int ctl_status(struct ctl *c, struct ctl_args *a)
{
    const char *name = ctl_option(a, "--node"), *key = NULL;
    json_t *answer = NULL, *state = NULL, *value = NULL;
    char text[1024];
    struct opts o = {.a = a};

    opt_end(&o, 0, "status [--node NODE]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, "/nodes", &answer);
    }
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    state = json_object_get(choose(json_object_get(answer, "items"), name), "state");
    if (!json_is_object(state)) {
        o.rc = ctl_fail(CTL_UNREACHABLE, "%s%sno gate controller answers (is headgate running?)",
                        name != NULL ? name : "", name != NULL ? ": " : "");
    } else if (c->json) {
        ctl_print_json(stdout, state);
    } else {
        json_object_foreach(state, key, value)
        {
            ctl_text(value, text, sizeof text);
            ctl_tame(text, false);
            printf("%s: %s\n", key, text);
        }
    }
    json_decref(answer);
    return o.rc;
}

/* ---- waiting -----------------------------------------------------------------------------------
 */
int ctl_in_force(struct ctl *c)
{
    const struct timespec pause = {.tv_nsec = IN_FORCE_PAUSE_MS * 1000000L};
    uint64_t until_ms = clock_mono_ms(clock_system()) + IN_FORCE_WAIT_MS;
    char path[CTL_PATH_MAX] = "/in-force", committed[24];
    bool heard = true;

    while (heard && clock_mono_ms(clock_system()) < until_ms) {
        json_t *answer = NULL;
        int rc = ctl_get(c, path, &answer);
        bool there = json_is_true(json_object_get(answer, "in_force"));
        snprintf(committed, sizeof committed, "%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(answer, "committed")));
        heard = any_reached(json_object_get(answer, "nodes"));
        json_decref(answer);
        if (rc != CTL_OK || there) {
            return rc;
        }
        snprintf(path, sizeof path, "/in-force?committed=%s", committed);
        nanosleep(&pause, NULL);
    }
    return heard ? ctl_fail(CTL_UNREACHABLE,
                            "written, but not every gate controller has taken it over within %d s; "
                            "they do so by themselves",
                            IN_FORCE_WAIT_MS / 1000)
                 : ctl_fail(CTL_UNREACHABLE,
                            "written, but no gate controller answers (is headgate running?)");
}
