/* Administrators, their roles and their tokens. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/secret.h"

static const struct opt_field ADMIN_FIELDS[] = {
    {"--roles", "roles", OPT_LIST, 0, NULL},
    {"--os-user", "os_user", OPT_NULLABLE, 0, NULL},
    {"--certificate-name", "certificate", OPT_NULLABLE, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};
static const struct opt_field ROLE_FIELDS[] = {
    {"--permissions", "permissions", OPT_LIST, 0, NULL},
    {"--meaning", "help", OPT_TEXT, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};
static const struct opt_field TOKEN_FIELDS[] = {
    {"--name", "name", OPT_TEXT, 0, NULL},
    {"--scopes", "scopes", OPT_LIST, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

enum { TOKEN_DAYS_MAX = 400 };

/* ---- who asks ----------------------------------------------------------------------------------
 */
int ctl_whoami(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "name"}, {.name = "how"}, {.name = "permissions"}, {0}};
    json_t *me = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "whoami");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, "/me", &me);
    }
    return o.rc == CTL_OK ? ctl_item(c, me, columns) : o.rc;
}

/* ---- administrators ----------------------------------------------------------------------------
 */
static int admin_path(struct ctl *c, const char *name, char path[CTL_PATH_MAX])
{
    char id[CTL_ID_MAX];
    int rc = ctl_find(c, "/administrators", name, "administrator_id", "admin", id);

    return rc == CTL_OK ? ctl_path(path, "/administrators/%s", id) : rc;
}

int ctl_admin_add(struct ctl *c, struct ctl_args *a)
{
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, ADMIN_FIELDS, body);
    opt_end(&o, 1, "admin add NAME [--roles ROLE,...] [--os-user USER] [--certificate-name NAME]");
    if (o.rc == CTL_OK) {
        json_object_set_new(body, "name", json_string(a->v[0]));
        return ctl_post(c, "/administrators", body, NULL);
    }
    json_decref(body);
    return o.rc;
}

int ctl_admin_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "name"},
                                                {.name = "roles"},
                                                {.name = "os_user"},
                                                {.name = "certificate"},
                                                {.name = "disabled"},
                                                {.name = "created", .from = "created_at"},
                                                {0}};
    struct opts o = {.a = a};

    opt_end(&o, 0, "admin list");
    return o.rc == CTL_OK ? ctl_list(c, "/administrators", 0, columns) : o.rc;
}

static int patch_admin(struct ctl *c, const char *name, json_t *body)
{
    char path[CTL_PATH_MAX];
    int rc = admin_path(c, name, path);

    if (rc == CTL_OK) {
        return ctl_patch(c, path, body);
    }
    json_decref(body);
    return rc;
}

int ctl_admin_set(struct ctl *c, struct ctl_args *a)
{
    static const char usage[] = "admin set NAME [--roles ROLE,...|none] [--os-user USER|off] "
                                "[--certificate-name NAME|off]";
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, ADMIN_FIELDS, body);
    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", usage);
    }
    if (o.rc == CTL_OK) {
        return patch_admin(c, a->v[0], body);
    }
    json_decref(body);
    return o.rc;
}

static int switch_admin(struct ctl *c, struct ctl_args *a, const char *usage, bool disabled)
{
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    return o.rc == CTL_OK ? patch_admin(c, a->v[0], json_pack("{s:b}", "disabled", disabled))
                          : o.rc;
}

int ctl_admin_disable(struct ctl *c, struct ctl_args *a)
{
    return switch_admin(c, a, "admin disable NAME", true);
}

int ctl_admin_enable(struct ctl *c, struct ctl_args *a)
{
    return switch_admin(c, a, "admin enable NAME", false);
}

int ctl_admin_remove(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "admin remove NAME");
    if (o.rc == CTL_OK) {
        o.rc = admin_path(c, a->v[0], path);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}

/* ---- roles -------------------------------------------------------------------------------------
 */
int ctl_role_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "role", .from = "name"},
                                                {.name = "meaning", .from = "help"},
                                                {.name = "permissions"},
                                                {0}};
    struct opts o = {.a = a};

    opt_end(&o, 0, "role list");
    return o.rc == CTL_OK ? ctl_list(c, "/roles", 0, columns) : o.rc;
}

int ctl_role_add(struct ctl *c, struct ctl_args *a)
{
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, ROLE_FIELDS, body);
    opt_end(&o, 1, "role add NAME --permissions NAME,... [--meaning TEXT]");
    if (o.rc == CTL_OK && json_object_get(body, "permissions") == NULL) {
        o.rc = ctl_fail(CTL_USAGE, "--permissions: which ones? (role list shows their names)");
    }
    if (o.rc == CTL_OK) {
        json_object_set_new(body, "name", json_string(a->v[0]));
        return ctl_post(c, "/roles", body, NULL);
    }
    json_decref(body);
    return o.rc;
}

int ctl_role_set(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, ROLE_FIELDS, body);
    opt_end(&o, 1, "role set NAME [--permissions NAME,...] [--meaning TEXT]");
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set: --permissions or --meaning");
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "role '%s' (role list shows them)", a->v[0]);
        o.rc = ctl_path(path, "/roles/%s", a->v[0]);
    }
    if (o.rc == CTL_OK) {
        return ctl_patch(c, path, body);
    }
    json_decref(body);
    return o.rc;
}

int ctl_role_remove(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "role remove NAME");
    if (o.rc == CTL_OK) {
        ctl_about(c, "role '%s' (role list shows them)", a->v[0]);
        o.rc = ctl_path(path, "/roles/%s", a->v[0]);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}

/* ---- tokens ------------------------------------------------------------------------------------
 */
static void take_days(struct opts *o, json_t *body)
{
    uint32_t days = 0;
    unsigned before = o->taken;
    char text[32];
    time_t at = 0;
    struct tm tm;

    opt_number(o, "--days", TOKEN_DAYS_MAX, &days);
    if (o->rc != CTL_OK || o->taken == before) {
        return;
    }
    if (days == 0) {
        o->rc = ctl_fail(CTL_USAGE, "--days is 1 to %d", TOKEN_DAYS_MAX);
        return;
    }
    at = (time_t)(clock_wall_us(clock_system()) / 1000000) + (time_t)days * 86400;
    if (gmtime_r(&at, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
        json_object_set_new(body, "expires_at", json_string(text));
    }
}

/* The token goes to a new file, or to the screen: once, and nowhere else. */
static int hand_over(const struct ctl *c, json_t *made, const char *file)
{
    static const struct ctl_column columns[] = {{.name = "id", .from = "token_id"},
                                                {.name = "admin", .from = "administrator"},
                                                {.name = "expires", .from = "expires_at"},
                                                {.name = "token"},
                                                {0}};
    struct ctl_column some[5];
    json_t *token = json_object_get(made, "token");
    int rc = CTL_OK;

    memcpy(some, columns, sizeof some);
    if (file != NULL && json_is_string(token)) {
        some[3] = columns[4];
        rc =
            proc_write_file(file, 0600, json_string_value(token), json_string_length(token)) == E_OK
                ? CTL_OK
                : ctl_fail(CTL_BROKEN,
                           "%s: cannot be written; the token is lost, revoke it: headgatectl "
                           "token revoke %lld",
                           file, (long long)json_integer_value(json_object_get(made, "token_id")));
    }
    ctl_print_item(stdout, made, some, c->json);
    if (json_is_string(token)) {
        wipe((void *)(uintptr_t)json_string_value(token), json_string_length(token));
    }
    return rc;
}

static bool exists(const char *path)
{
    FILE *f = path != NULL ? fopen(path, "re") : NULL;

    if (f != NULL) {
        fclose(f);
    }
    return f != NULL;
}

int ctl_token_new(struct ctl *c, struct ctl_args *a)
{
    const char *file = ctl_option(a, "--file");
    char id[CTL_ID_MAX] = "";
    uint64_t n = 0;
    json_t *body = json_object(), *made = NULL;
    struct opts o = {.a = a};

    opt_body(&o, TOKEN_FIELDS, body);
    take_days(&o, body);
    opt_end(&o, a->n == 0 ? 0 : 1,
            "token new [ADMIN] [--name TEXT] [--scopes PERMISSION,...] [--days N] [--file FILE]");
    if (o.rc == CTL_OK && exists(file)) {
        o.rc = ctl_fail(CTL_REFUSED, "%s exists; a token in use is never overwritten", file);
    }
    if (o.rc == CTL_OK && a->n == 1) {
        o.rc = ctl_find(c, "/administrators", a->v[0], "administrator_id", "admin", id);
    }
    if (o.rc != CTL_OK) {
        json_decref(body);
        return o.rc;
    }
    if (view_to_u64(view_of(id), INT64_MAX, &n) == E_OK) {
        json_object_set_new(body, "administrator_id", json_integer((json_int_t)n));
    }
    o.rc = ctl_post(c, a->n == 1 ? "/tokens" : "/me/tokens", body, &made);
    if (made != NULL && json_object_get(made, "token") != NULL) {
        int rc = hand_over(c, made, file);
        o.rc = o.rc == CTL_PROPOSED || o.rc == CTL_OK ? rc : o.rc;
    }
    json_decref(made);
    return o.rc;
}

int ctl_token_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "id", .from = "token_id"},
                                                {.name = "admin", .from = "administrator"},
                                                {.name = "name"},
                                                {.name = "begins", .from = "prefix"},
                                                {.name = "state"},
                                                {.name = "scopes", .absent = "all"},
                                                {.name = "expires", .from = "expires_at"},
                                                {.name = "last_used", .from = "last_used_at"},
                                                {0}};
    const char *admin = ctl_option(a, "--admin");
    bool own = ctl_flag(a, "--own");
    char id[CTL_ID_MAX], path[CTL_PATH_MAX] = "/tokens";
    struct opts o = {.a = a};

    opt_end(&o, 0, "token list [--own | --admin NAME]");
    if (o.rc == CTL_OK && admin != NULL) {
        o.rc = ctl_find(c, "/administrators", admin, "administrator_id", "admin", id);
    }
    if (o.rc == CTL_OK && admin != NULL) {
        o.rc = ctl_query_add(path, "administrator_id", id);
    }
    return o.rc == CTL_OK ? ctl_list(c, own ? "/me/tokens" : path, 0, columns) : o.rc;
}

int ctl_token_revoke(struct ctl *c, struct ctl_args *a)
{
    bool own = ctl_flag(a, "--own");
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "token revoke TOKEN [--own]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "TOKEN", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "token %s (token list shows them)", id);
        o.rc = ctl_path(path, own ? "/me/tokens/%s/revoke" : "/tokens/%s/revoke", id);
    }
    return o.rc == CTL_OK ? ctl_post(c, path, NULL, NULL) : o.rc;
}
