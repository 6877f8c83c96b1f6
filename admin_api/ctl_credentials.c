/* Digest credentials of standard phones. headgate-admin has a running gate controller seal what
 * proves them. */
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"
#include "base/secret.h"

enum { PASSWORD_MIN = 8, PASSWORD_MAX = SECRET_MAX };

#define USAGE_ADD                                                                                  \
    "credential add USERNAME LINE [--algorithm sha-256|md5|both] [--password-file FILE]"

static const char *const ALGORITHMS[] = {"sha-256", "md5", "both", NULL};

/* The file's first line and nothing behind it. */
static int read_password(const char *path, char out[PASSWORD_MAX + 2])
{
    size_t n = 0;
    enum err e = secret_file_read(path, false, out, PASSWORD_MAX + 1, &n);

    if (e != E_OK && e != E_RANGE) {
        return ctl_fail(CTL_USAGE, "%s: %s", path,
                        e == E_DENIED ? "only its owner may read a password (chmod 600)"
                                      : err_text(e));
    }
    n -= e == E_OK && n > 0 && out[n - 1] == '\n';
    if (e == E_RANGE || n < PASSWORD_MIN || n > PASSWORD_MAX || memchr(out, 0, n) != NULL ||
        memchr(out, '\n', n) != NULL) {
        return ctl_fail(CTL_USAGE, "%s: one line of %d to %d octets", path, PASSWORD_MIN,
                        PASSWORD_MAX);
    }
    out[n] = 0;
    return CTL_OK;
}

/* "SHA-256, MD5" */
static void joined(const json_t *item, const json_t *value, char *out, size_t max)
{
    size_t i = 0, n = 0;
    json_t *one = NULL;

    (void)item;
    json_array_foreach(value, i, one)
    {
        n = strlen(out);
        snprintf(out + n, max - n, "%s%s", i > 0 ? ", " : "", json_string_value(one));
    }
}

static void show(const struct ctl *c, json_t *made)
{
    static const struct ctl_column columns[] = {
        {.name = "username"},
        {.name = "realm"},
        {.name = "algorithm", .from = "algorithms", .form = joined},
        {.name = "password"},
        {0}};
    struct ctl_column some[5];
    bool is_made = json_is_string(json_object_get(made, "password"));
    json_t *password = json_object_get(made, "password");

    memcpy(some, columns, sizeof some);
    some[3] = is_made ? columns[3] : columns[4];
    ctl_print_item(stdout, made, some, c->json);
    if (is_made) {
        wipe((void *)(uintptr_t)json_string_value(password), json_string_length(password));
    }
}

static json_t *body_of(const char *username, const char *line, unsigned algorithm,
                       const char *password)
{
    uint64_t id = 0;
    json_t *body = NULL;

    IGNORE(view_to_u64(view_of(line), INT64_MAX, &id), "ctl_id() has looked at it");
    body = json_pack("{s:s,s:I,s:s*}", "username", username, "line_id", (json_int_t)id, "password",
                     password);
    json_object_set_new(body, "algorithms",
                        algorithm == 2   ? json_pack("[s,s]", "SHA-256", "MD5")
                        : algorithm == 1 ? json_pack("[s]", "MD5")
                                         : json_pack("[s]", "SHA-256"));
    return body;
}

static int add(struct ctl *c, json_t *body)
{
    json_t *made = NULL, *sent = json_object_get(body, "password");
    int rc = body != NULL ? ctl_post(c, "/credentials", json_incref(body), &made)
                          : ctl_fail(CTL_USAGE, "USERNAME and the password are texts in UTF-8");

    if (rc == CTL_OK) {
        show(c, made);
    }
    if (sent != NULL) {
        wipe((void *)(uintptr_t)json_string_value(sent), json_string_length(sent));
    }
    json_decref(made);
    json_decref(body);
    return rc;
}

int ctl_credential_add(struct ctl *c, struct ctl_args *a)
{
    const char *file = ctl_option(a, "--password-file");
    char password[PASSWORD_MAX + 2] = "", line[CTL_ID_MAX];
    unsigned algorithm = 0;
    struct opts o = {.a = a};

    opt_choice(&o, "--algorithm", ALGORITHMS, &algorithm);
    opt_end(&o, 2, USAGE_ADD);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[1], "LINE", line);
    }
    if (o.rc == CTL_OK && file != NULL) {
        o.rc = read_password(file, password);
    }
    if (o.rc == CTL_OK) {
        o.rc = add(c, body_of(a->v[0], line, algorithm, file != NULL ? password : NULL));
    }
    wipe(password, sizeof password);
    return o.rc;
}

/* A row for each algorithm, as they are kept. */
static json_t *split(json_t *rows)
{
    json_t *all = json_array(), *row = NULL, *one = NULL;
    size_t i = 0, k = 0;

    json_array_foreach(rows, i, row)
    {
        json_array_foreach(json_object_get(row, "algorithms"), k, one)
        {
            json_t *copy = json_copy(row);
            json_object_set(copy, "algorithm", one);
            json_array_append_new(all, copy);
        }
    }
    json_decref(rows);
    return all;
}

static void flag(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "%s", json_is_true(value) ? "t" : "f");
}

int ctl_credential_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "username"},
                                                {.name = "line", .from = "line_id"},
                                                {.name = "number"},
                                                {.name = "algorithm"},
                                                {.name = "disabled", .form = flag},
                                                {.name = "created", .from = "created_at"},
                                                {0}};
    json_t *rows = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "credential list");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get_all(c, "/credentials", 0, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows(c, split(rows), columns) : o.rc;
}

static int path_of(struct ctl *c, struct ctl_args *a, const char *usage, char path[CTL_PATH_MAX])
{
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    ctl_about(c, "credential %s (credential list shows them)", a->n > 0 ? a->v[0] : "");
    return o.rc == CTL_OK ? ctl_path(path, "/credentials/%s", a->v[0]) : o.rc;
}

int ctl_credential_disable(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    int rc = path_of(c, a, "credential disable USERNAME", path);

    return rc == CTL_OK ? ctl_patch(c, path, json_pack("{s:b}", "disabled", 1)) : rc;
}

int ctl_credential_enable(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    int rc = path_of(c, a, "credential enable USERNAME", path);

    return rc == CTL_OK ? ctl_patch(c, path, json_pack("{s:b}", "disabled", 0)) : rc;
}

int ctl_credential_remove(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX];
    int rc = path_of(c, a, "credential remove USERNAME", path);

    return rc == CTL_OK ? ctl_delete(c, path) : rc;
}
