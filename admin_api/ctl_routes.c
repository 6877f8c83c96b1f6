/* Routes and dial rules, and what would become of a call. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"

#define ROUTE_ADD                                                                                  \
    "route add NAME PREFIX (NEXT_HOP | --trunk TRUNK) [--emergency] [--priority N] [--weight N] "  \
    "[--max-channels N] [--time HOURS]"
#define ROUTE_SET                                                                                  \
    "route set NAME [--prefix P] [--next-hop URI | --trunk TRUNK] [OPTION ...] [--force]"
#define RULE_ADD   "rule add NAME PREFIX [OPTION ...]"
#define RULE_SET   "rule set NAME [--prefix P] [OPTION ...]"
#define NUMBER_MAX 0x7fffffffu

static const struct opt_field ROUTE_FIELDS[] = {
    {"--prefix", "prefix", OPT_TEXT, 0, NULL},
    {"--next-hop", "next_hop", OPT_NULLABLE, 0, NULL},
    {"--priority", "priority", OPT_NUMBER, 65535, NULL},
    {"--weight", "weight", OPT_NUMBER, 65535, NULL},
    {"--max-channels", "max_channels", OPT_NUMBER, NUMBER_MAX, NULL},
    {"--time", "hours", OPT_TEXT, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

static const struct opt_field RULE_FIELDS[] = {
    {"--prefix", "prefix", OPT_TEXT, 0, NULL},
    {"--rank", "rank", OPT_NUMBER, 65535, NULL},
    {"--strip", "strip", OPT_NUMBER, 16, NULL},
    {"--add", "add_digits", OPT_TEXT, 0, NULL},
    {"--feature", "is_feature", OPT_YES, 0, NULL},
    {"--block", "blocked", OPT_YES, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

/* ---- routes ------------------------------------------------------------------------------------
 */
static const char *text_of(const json_t *item, const char *name)
{
    const char *text = json_string_value(json_object_get(item, name));

    return text != NULL ? text : "";
}

/* Emergency routes are a collection of their own, but share the names. */
static int find_route(struct ctl *c, const char *name, char path[CTL_PATH_MAX])
{
    static const char *const lists[] = {"/routes", "/emergency-routes"};
    char id[CTL_ID_MAX] = "";
    int rc = CTL_OK;

    for (size_t i = 0; rc == CTL_OK && id[0] == 0 && i < 2; i++) {
        json_t *found = NULL;
        snprintf(path, CTL_PATH_MAX, "%s", lists[i]);
        rc = ctl_query_add(path, "name", name);
        if (rc == CTL_OK) {
            rc = ctl_get_all(c, path, 1, &found);
        }
        if (rc == CTL_OK && json_array_size(found) > 0) {
            ctl_text(ctl_at(json_array_get(found, 0), "route_id"), id, sizeof id);
            snprintf(path, CTL_PATH_MAX, "%s/%s", lists[i], id);
        }
        json_decref(found);
    }
    return rc == CTL_OK && id[0] == 0
               ? ctl_fail(CTL_REFUSED, "no route '%s' (route list shows them)", name)
               : rc;
}

/* Also when it is the last emergency route that can be used. Other routes know no force. */
static int put_force(char path[CTL_PATH_MAX], bool force)
{
    bool is_emergency = strncmp(path, "/emergency-routes/", 18) == 0;

    return force && is_emergency ? ctl_query_add(path, "force", "true") : CTL_OK;
}

/* A trunk by its name; it takes the place of a next hop. */
static int put_trunk(struct ctl *c, json_t *body, const char *trunk, bool is_new)
{
    char id[CTL_ID_MAX];
    int rc = ctl_find(c, "/trunks", trunk, "trunk_id", "trunk", id);
    uint64_t n = 0;

    if (rc == CTL_OK && view_to_u64(view_of(id), INT64_MAX, &n) == E_OK) {
        json_object_set_new(body, "trunk_id", json_integer((json_int_t)n));
        if (!is_new) {
            json_object_set_new(body, "next_hop", json_null());
        }
    }
    return rc;
}

static void take_route(struct opts *o, json_t *body, const char **trunk)
{
    opt_body(o, ROUTE_FIELDS, body);
    *trunk = o->rc == CTL_OK ? ctl_option(o->a, "--trunk") : NULL;
    o->taken += *trunk != NULL;
    if (o->rc == CTL_OK && *trunk != NULL && json_object_get(body, "next_hop") != NULL) {
        o->rc = ctl_fail(CTL_USAGE, "--trunk or --next-hop, not both");
    }
}

int ctl_route_add(struct ctl *c, struct ctl_args *a)
{
    bool is_emergency = ctl_flag(a, "--emergency");
    const char *trunk = NULL;
    json_t *body = json_object();
    struct opts o = {.a = a};

    take_route(&o, body, &trunk);
    opt_end(&o, trunk != NULL || json_object_get(body, "next_hop") != NULL ? 2 : 3, ROUTE_ADD);
    if (o.rc == CTL_OK && trunk != NULL) {
        o.rc = put_trunk(c, body, trunk, true);
    }
    if (o.rc != CTL_OK) {
        json_decref(body);
        return o.rc;
    }
    json_object_set_new(body, "name", json_string(a->v[0]));
    json_object_set_new(body, "prefix", json_string(a->v[1]));
    if (a->n == 3) {
        json_object_set_new(body, "next_hop", json_string(a->v[2]));
    }
    return ctl_post(c, is_emergency ? "/emergency-routes" : "/routes", body, NULL);
}

int ctl_route_set(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    const char *trunk = NULL;
    bool force = ctl_flag(a, "--force");
    json_t *body = json_object();
    struct opts o = {.a = a};

    take_route(&o, body, &trunk);
    opt_end(&o, 1, ROUTE_SET);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", ROUTE_SET);
    }
    if (o.rc == CTL_OK) {
        o.rc = find_route(c, a->v[0], path);
    }
    if (o.rc == CTL_OK && trunk != NULL) {
        o.rc = put_trunk(c, body, trunk, false);
    } else if (o.rc == CTL_OK && json_object_get(body, "next_hop") != NULL) {
        json_object_set_new(body, "trunk_id", json_null());
    }
    if (o.rc == CTL_OK) {
        o.rc = put_force(path, force);
    }
    if (o.rc == CTL_OK) {
        return ctl_patch(c, path, body);
    }
    json_decref(body);
    return o.rc;
}

static int by_place(const json_t *a, const json_t *b)
{
    json_int_t pa = json_integer_value(json_object_get(a, "priority"));
    json_int_t pb = json_integer_value(json_object_get(b, "priority"));
    int order = strcmp(text_of(a, "kind"), text_of(b, "kind"));

    order = order != 0 ? order : strcmp(text_of(a, "prefix"), text_of(b, "prefix"));
    order = order != 0 ? order : (pa > pb) - (pa < pb);
    return order != 0 ? order : strcmp(text_of(a, "name"), text_of(b, "name"));
}

static int add_routes(struct ctl *c, const char *path, const char *kind, json_t *all)
{
    json_t *rows = NULL, *row = NULL;
    size_t i = 0;
    int rc = ctl_get_all(c, path, 0, &rows);

    json_array_foreach(rows, i, row)
    {
        json_object_set_new(row, "kind", json_string(kind));
        json_array_append(all, row);
    }
    json_decref(rows);
    return rc;
}

int ctl_route_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "name"},
                                                {.name = "kind"},
                                                {.name = "prefix"},
                                                {.name = "priority"},
                                                {.name = "weight"},
                                                {.name = "next_hop"},
                                                {.name = "trunk"},
                                                {.name = "max_channels"},
                                                {.name = "time", .from = "hours"},
                                                {0}};
    json_t *all = json_array();
    struct opts o = {.a = a};

    opt_end(&o, 0, "route list");
    if (o.rc == CTL_OK) {
        o.rc = add_routes(c, "/emergency-routes", "emergency", all);
    }
    if (o.rc == CTL_OK) {
        o.rc = add_routes(c, "/routes", "next_hop", all);
    }
    if (o.rc == CTL_OK) {
        return ctl_rows(c, ctl_sorted(all, by_place), columns);
    }
    json_decref(all);
    return o.rc;
}

int ctl_route_remove(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    bool force = ctl_flag(a, "--force");
    struct opts o = {.a = a};

    opt_end(&o, 1, "route remove NAME [--force]");
    if (o.rc == CTL_OK) {
        o.rc = find_route(c, a->v[0], path);
    }
    if (o.rc == CTL_OK) {
        o.rc = put_force(path, force);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}

/* ---- dial rules --------------------------------------------------------------------------------
 */
/* "7", "7-11", "any" */
static void take_digits(struct opts *o, json_t *body)
{
    struct view v = {0};
    uint64_t min = 0, max = 0;
    size_t dash = 0;

    opt_text(o, "--digits", &v);
    if (v.p == NULL) {
        return;
    }
    dash = v.n;
    (void)view_find(v, '-', &dash);
    if (!view_eq(v, VIEW("any")) &&
        (view_to_u64(view_sub(v, 0, dash), 32, &min) != E_OK ||
         view_to_u64(dash < v.n ? view_sub(v, dash + 1, v.n) : v, 32, &max) != E_OK || max < min ||
         max == 0)) {
        o->rc = ctl_fail(CTL_USAGE, "--digits takes N, MIN-MAX (up to 32) or any, not '%.*s'",
                         (int)v.n, v.p);
        return;
    }
    json_object_set_new(body, "min_digits", json_integer((json_int_t)min));
    json_object_set_new(body, "max_digits", json_integer((json_int_t)max));
}

int ctl_rule_add(struct ctl *c, struct ctl_args *a)
{
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, RULE_FIELDS, body);
    take_digits(&o, body);
    opt_end(&o, 2, RULE_ADD);
    if (o.rc != CTL_OK) {
        json_decref(body);
        return o.rc;
    }
    json_object_set_new(body, "name", json_string(a->v[0]));
    json_object_set_new(body, "prefix", json_string(a->v[1]));
    return ctl_post(c, "/dial-rules", body, NULL);
}

static int rule_path(struct ctl *c, const char *name, char path[CTL_PATH_MAX])
{
    char id[CTL_ID_MAX];
    int rc = ctl_find(c, "/dial-rules", name, "rule_id", "rule", id);

    return rc == CTL_OK ? ctl_path(path, "/dial-rules/%s", id) : rc;
}

int ctl_rule_set(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, RULE_FIELDS, body);
    take_digits(&o, body);
    opt_end(&o, 1, RULE_SET);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", RULE_SET);
    }
    if (o.rc == CTL_OK) {
        o.rc = rule_path(c, a->v[0], path);
    }
    if (o.rc == CTL_OK) {
        return ctl_patch(c, path, body);
    }
    json_decref(body);
    return o.rc;
}

static void digits(const json_t *item, const json_t *value, char *out, size_t max)
{
    long long most = (long long)json_integer_value(value);
    long long least = (long long)json_integer_value(json_object_get(item, "min_digits"));

    if (most == 0) {
        snprintf(out, max, "any");
    } else {
        snprintf(out, max, "%lld-%lld", least, most);
    }
}

static int by_prefix(const json_t *a, const json_t *b)
{
    const char *pa = text_of(a, "prefix"), *pb = text_of(b, "prefix");
    json_int_t ra = json_integer_value(json_object_get(a, "rank"));
    json_int_t rb = json_integer_value(json_object_get(b, "rank"));
    int order = (strlen(pa) < strlen(pb)) - (strlen(pa) > strlen(pb));

    order = order != 0 ? order : strcmp(pa, pb);
    order = order != 0 ? order : (ra > rb) - (ra < rb);
    return order != 0 ? order : strcmp(text_of(a, "name"), text_of(b, "name"));
}

int ctl_rule_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "name"},
        {.name = "prefix"},
        {.name = "digits", .from = "max_digits", .form = digits},
        {.name = "rank"},
        {.name = "strip"},
        {.name = "add", .from = "add_digits"},
        {.name = "feature", .from = "is_feature"},
        {.name = "block", .from = "blocked"},
        {0}};
    json_t *rows = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "rule list");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get_all(c, "/dial-rules", 0, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows(c, ctl_sorted(rows, by_prefix), columns) : o.rc;
}

int ctl_rule_remove(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "rule remove NAME");
    if (o.rc == CTL_OK) {
        o.rc = rule_path(c, a->v[0], path);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}

/* ---- a call that is only thought of ------------------------------------------------------------
 */
/* "2026-11-24T08:30:00Z", "2026-11-24 08:30": UTC. */
static bool read_time(const char *text, char out[32])
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d %H:%M"};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end != NULL && *end == 0) {
            return strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0;
        }
    }
    return false;
}

static void show_decision(const struct ctl *c, json_t *answer)
{
    size_t i = 0;
    json_t *step = NULL, *line = json_object_get(answer, "line_id");
    char text[1024];

    if (c->json) {
        if (json_is_integer(line)) {
            json_object_set(answer, "line", line);
        }
        json_object_del(answer, "line_id");
        ctl_print_json(stdout, answer);
        return;
    }
    json_array_foreach(json_object_get(answer, "steps"), i, step)
    {
        ctl_text(step, text, sizeof text);
        ctl_tame(text, false);
        printf("%2zu  %s\n", i + 1, text);
    }
}

int ctl_route_test(struct ctl *c, struct ctl_args *a)
{
    const char *from = ctl_option(a, "--from"), *trunk = ctl_option(a, "--from-trunk");
    const char *at = ctl_option(a, "--at");
    char when[32];
    json_t *body = NULL, *answer = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "route test NUMBER [--from NUMBER | --from-trunk TRUNK] [--at TIME]");
    if (o.rc == CTL_OK && from != NULL && trunk != NULL) {
        o.rc = ctl_fail(CTL_USAGE, "--from or --from-trunk, not both");
    }
    if (o.rc == CTL_OK && at != NULL && !read_time(at, when)) {
        o.rc = ctl_fail(CTL_USAGE, "--at takes a time as 2026-11-24T08:30:00Z (UTC), not '%s'", at);
    }
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    body = json_pack("{s:s,s:s*,s:s*,s:s*}", "number", a->v[0], "from", from, "from_trunk", trunk,
                     "at", at != NULL ? when : NULL);
    if (body == NULL) {
        return ctl_fail(CTL_USAGE, "NUMBER is no text in UTF-8");
    }
    o.rc = ctl_post(c, "/route-tests", body, &answer);
    if (o.rc == CTL_OK) {
        show_decision(c, answer);
    }
    json_decref(answer);
    return o.rc;
}
