/* Trunks: gateways, PSAPs, peers. What the options name becomes a body of the API, which checks it.
 */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"
#include "base/secret.h"

#define USAGE_ADD  "trunk add NAME HOST [OPTION ...]"
#define USAGE_SET  "trunk set NAME [--host HOST] [OPTION ...]"
#define NUMBER_MAX 0x7fffffffu

static const char *const TRANSPORTS[] = {"any", "udp", "tcp", "tls", NULL};
static const char *const AUTHS[] = {"address", "certificate", NULL};
static const char *const VERIFY[] = {"off", "mark", "reject", NULL};
static const char *const FORMS[] = {"e164", "bare", "national", NULL};

static const struct opt_field FIELDS[] = {
    {"--host", "host", OPT_TEXT, 0, NULL},
    {"--port", "port", OPT_NUMBER, 65535, NULL},
    {"--transport", "transport", OPT_CHOICE, 0, TRANSPORTS},
    {"--auth", "auth", OPT_CHOICE, 0, AUTHS},
    {"--tls-name", "tls_name", OPT_NULLABLE, 0, NULL},
    {"--source", "sources", OPT_LIST, 0, NULL},
    {"--trusts-identity", "trusts_identity", OPT_YES, 0, NULL},
    {"--sends-identity", "sends_identity", OPT_YES, 0, NULL},
    {"--transit", "may_transit", OPT_YES, 0, NULL},
    {"--operator", "is_operator", OPT_YES, 0, NULL},
    {"--number-form", "number_form", OPT_CHOICE, 0, FORMS},
    {"--strip", "strip", OPT_NUMBER, 15, NULL},
    {"--add", "add_digits", OPT_TEXT, 0, NULL},
    {"--default-number", "default_number", OPT_NULLABLE, 0, NULL},
    {"--max-channels", "max_channels", OPT_NUMBER, NUMBER_MAX, NULL},
    {"--max-cps", "max_cps", OPT_NUMBER, NUMBER_MAX, NULL},
    {"--ping", "ping_s", OPT_NUMBER, 3600, NULL},
    {"--priority", "priority", OPT_LIST, 0, NULL},
    {"--stir-sign", "stir_sign", OPT_YES, 0, NULL},
    {"--stir-verify", "stir_verify", OPT_CHOICE, 0, VERIFY},
    {"--user", "auth_user", OPT_NULLABLE, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

/* ---- the password ------------------------------------------------------------------------------
 */
/* One line of a file, or of standard input. */
static int read_password(const char *path, struct secret *out)
{
    char line[SECRET_MAX + 4];
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    int rc = CTL_OK;
    size_t n = 0;

    if (f == NULL) {
        return ctl_fail(CTL_REFUSED, "%s: cannot be read", path);
    }
    setvbuf(f, NULL, _IONBF, 0); /* no copy of it stays in a buffer */
    n = fread(line, 1, sizeof line, f);
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
        n--;
    }
    if (n == 0 || n > SECRET_MAX || memchr(line, '\n', n) != NULL || memchr(line, 0, n) != NULL ||
        secret_set(out, line, n) != E_OK) {
        rc = ctl_fail(CTL_REFUSED, "%s: one line of 1 to %d octets expected", path, SECRET_MAX);
    }
    wipe(line, sizeof line);
    if (f != stdin) {
        fclose(f);
    }
    return rc;
}

/* --password-file goes with --user, and the other way. */
static int take_password(struct opts *o, json_t *body)
{
    const char *file = o->rc == CTL_OK ? ctl_option(o->a, "--password-file") : NULL;
    bool names_user = json_is_string(json_object_get(body, "auth_user"));
    struct secret password = {.n = 0};
    int rc = o->rc;

    o->taken += file != NULL;
    if (rc == CTL_OK && file == NULL && names_user) {
        rc = ctl_fail(CTL_USAGE, "--user needs --password-file (a file, or - for standard input)");
    }
    if (rc == CTL_OK && file != NULL) {
        rc = read_password(file, &password);
    }
    if (rc == CTL_OK && file != NULL &&
        json_object_set_new(body, "password", json_stringn((const char *)password.b, password.n)) !=
            0) {
        rc = ctl_fail(CTL_REFUSED, "the password is no text in UTF-8");
    }
    secret_wipe(&password);
    return rc;
}

/* jansson frees its texts as they are. */
static void forget(json_t *body)
{
    json_t *password = json_object_get(body, "password");

    if (json_is_string(password)) {
        wipe((void *)(uintptr_t)json_string_value(password), json_string_length(password));
    }
    json_decref(body);
}

/* ---- commands ----------------------------------------------------------------------------------
 */
static int path_of(struct ctl *c, const char *name, char path[CTL_PATH_MAX])
{
    char id[CTL_ID_MAX];
    int rc = ctl_find(c, "/trunks", name, "trunk_id", "trunk", id);

    return rc == CTL_OK ? ctl_path(path, "/trunks/%s", id) : rc;
}

int ctl_trunk_add(struct ctl *c, struct ctl_args *a)
{
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, FIELDS + 1, body); /* the host is an argument here */
    o.rc = take_password(&o, body);
    opt_end(&o, 2, USAGE_ADD);
    if (o.rc == CTL_OK) {
        json_object_set_new(body, "name", json_string(a->v[0]));
        json_object_set_new(body, "host", json_string(a->v[1]));
        o.rc = ctl_post(c, "/trunks", json_incref(body), NULL);
    }
    forget(body);
    return o.rc;
}

int ctl_trunk_set(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, FIELDS, body);
    o.rc = take_password(&o, body);
    opt_end(&o, 1, USAGE_SET);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", USAGE_SET);
    }
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a->v[0], path);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_patch(c, path, json_incref(body));
    }
    forget(body);
    return o.rc;
}

static void count(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "%zu", json_array_size(value));
}

static void port(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "%lld", (long long)json_integer_value(value));
    if (json_integer_value(value) == 0) {
        out[0] = 0;
    }
}

static int by_name(const json_t *a, const json_t *b)
{
    return strcmp(json_string_value(json_object_get(a, "name")),
                  json_string_value(json_object_get(b, "name")));
}

int ctl_trunk_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "name"},
                                                {.name = "host"},
                                                {.name = "port", .form = port},
                                                {.name = "transport"},
                                                {.name = "auth"},
                                                {.name = "sources"},
                                                {.name = "number_form"},
                                                {.name = "max_channels"},
                                                {.name = "disabled"},
                                                {.name = "routes", .form = count},
                                                {0}};
    json_t *rows = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "trunk list");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get_all(c, "/trunks", 0, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows(c, ctl_sorted(rows, by_name), columns) : o.rc;
}

int ctl_trunk_show(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "name"},
                                                {.name = "host"},
                                                {.name = "port"},
                                                {.name = "transport"},
                                                {.name = "auth"},
                                                {.name = "tls_name"},
                                                {.name = "sources"},
                                                {.name = "trusts_identity"},
                                                {.name = "sends_identity"},
                                                {.name = "transit", .from = "may_transit"},
                                                {.name = "operator", .from = "is_operator"},
                                                {.name = "disabled"},
                                                {.name = "number_form"},
                                                {.name = "strip"},
                                                {.name = "add", .from = "add_digits"},
                                                {.name = "default_number"},
                                                {.name = "max_channels"},
                                                {.name = "max_cps"},
                                                {.name = "ping", .from = "ping_s"},
                                                {.name = "priority"},
                                                {.name = "user", .from = "auth_user"},
                                                {.name = "stir_sign"},
                                                {.name = "stir_verify"},
                                                {.name = "routes"},
                                                {0}};
    char path[CTL_PATH_MAX];
    json_t *trunk = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "trunk show NAME");
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a->v[0], path);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, path, &trunk);
    }
    return o.rc == CTL_OK ? ctl_item(c, trunk, columns) : o.rc;
}

static int switch_trunk(struct ctl *c, struct ctl_args *a, const char *usage, bool disabled)
{
    char path[CTL_PATH_MAX];
    bool force = disabled && ctl_flag(a, "--force");
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a->v[0], path);
    }
    if (o.rc == CTL_OK && force) { /* also when the last emergency route leads over it */
        o.rc = ctl_query_add(path, "force", "true");
    }
    return o.rc == CTL_OK ? ctl_patch(c, path, json_pack("{s:b}", "disabled", disabled)) : o.rc;
}

int ctl_trunk_disable(struct ctl *c, struct ctl_args *a)
{
    return switch_trunk(c, a, "trunk disable NAME [--force]", true);
}

int ctl_trunk_enable(struct ctl *c, struct ctl_args *a)
{
    return switch_trunk(c, a, "trunk enable NAME", false);
}

int ctl_trunk_remove(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "trunk remove NAME");
    if (o.rc == CTL_OK) {
        o.rc = path_of(c, a->v[0], path);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}
