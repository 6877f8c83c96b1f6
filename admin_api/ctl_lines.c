/* Accounts, lines, numbers and BTIs. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"

static const char *const YES_NO[] = {"no", "yes", NULL};
static const char *const LEVELS[] = {"user", "administrator", NULL};

static const struct opt_field LINE_FIELDS[] = {
    {"--name", "display", OPT_TEXT, 0, NULL},
    {"--level", "level", OPT_CHOICE, 0, LEVELS},
    {"--priority", "priority", OPT_LIST, 0, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

/* The number of something that was made: "account: 7". */
static int say_made(const struct ctl *c, const char *name, const char *from, json_t *made, int rc)
{
    const struct ctl_column columns[] = {{.name = name, .from = from}, {0}};

    if (made != NULL && ctl_at(made, from) != NULL) {
        ctl_print_item(stdout, made, columns, c->json);
        rc = rc == CTL_PROPOSED ? CTL_OK : rc; /* what is proposed comes in a line of its own */
    }
    json_decref(made);
    return rc;
}

/* "t" and "f", as psql shows it. */
static void flag(const json_t *item, const json_t *value, char *out, size_t max)
{
    (void)item;
    snprintf(out, max, "%s", json_is_true(value) ? "t" : "f");
}

/* ---- accounts ----------------------------------------------------------------------------------
 */
int ctl_account_add(struct ctl *c, struct ctl_args *a)
{
    struct opts o = {.a = a};
    json_t *made = NULL;

    opt_end(&o, 1, "account add NAME");
    if (o.rc == CTL_OK) {
        o.rc = ctl_post(c, "/accounts", json_pack("{s:s}", "name", a->v[0]), &made);
    }
    return say_made(c, "account", "account_id", made, o.rc);
}

int ctl_account_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "account", .from = "account_id"},
                                                {.name = "name"},
                                                {.name = "barred", .form = flag},
                                                {.name = "lines", .from = "line_count"},
                                                {0}};
    struct opts o = {.a = a};

    opt_end(&o, 0, "account list");
    return o.rc == CTL_OK ? ctl_list(c, "/accounts", 0, columns) : o.rc;
}

static int bar(struct ctl *c, struct ctl_args *a, const char *usage, const char *form, bool barred)
{
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], form[1] == 'a' ? "account" : "line", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "%s %s", form[1] == 'a' ? "account" : "line", id);
        o.rc = ctl_path(path, form, id);
    }
    return o.rc == CTL_OK ? ctl_patch(c, path, json_pack("{s:b}", "barred", barred)) : o.rc;
}

int ctl_account_bar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "account bar ACCOUNT", "/accounts/%s", true);
}

int ctl_account_unbar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "account unbar ACCOUNT", "/accounts/%s", false);
}

int ctl_line_bar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "line bar LINE", "/lines/%s", true);
}

int ctl_line_unbar(struct ctl *c, struct ctl_args *a)
{
    return bar(c, a, "line unbar LINE", "/lines/%s", false);
}

/* ---- lines -------------------------------------------------------------------------------------
 */
static json_t *number_of(const char *id)
{
    uint64_t n = 0;

    IGNORE(view_to_u64(view_of(id), INT64_MAX, &n), "ctl_id() has looked at it");
    return json_integer((json_int_t)n);
}

int ctl_line_add(struct ctl *c, struct ctl_args *a)
{
    struct opts o = {.a = a};
    char id[CTL_ID_MAX];
    unsigned caller_id = 0;
    json_t *body = json_object(), *made = NULL;

    opt_body(&o, LINE_FIELDS, body);
    opt_choice(&o, "--caller-id", YES_NO, &caller_id);
    opt_end(&o, 2,
            "line add ACCOUNT NUMBER [--name DISPLAY] [--level user|administrator] [--caller-id "
            "yes|no] [--priority NAMESPACE.VALUE,...]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "ACCOUNT", id);
    }
    if (o.rc != CTL_OK) {
        json_decref(body);
        return o.rc;
    }
    json_object_set_new(body, "account_id", number_of(id));
    json_object_set_new(body, "numbers", json_pack("[s]", a->v[1]));
    if (caller_id != 0) {
        json_object_set_new(body, "services", json_pack("{s:b}", "caller_id", 1));
    }
    o.rc = ctl_post(c, "/lines", body, &made);
    return say_made(c, "line", "line_id", made, o.rc);
}

int ctl_line_set(struct ctl *c, struct ctl_args *a)
{
    static const char usage[] = "line set LINE [--name DISPLAY] [--level user|administrator] "
                                "[--priority NAMESPACE.VALUE,...|none]";
    struct opts o = {.a = a};
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    json_t *body = json_object();

    opt_body(&o, LINE_FIELDS, body);
    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", usage);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "LINE", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "line %s", id);
        o.rc = ctl_path(path, "/lines/%s", id);
    }
    if (o.rc == CTL_OK) {
        return ctl_patch(c, path, body);
    }
    json_decref(body);
    return o.rc;
}

/* Of itself, or with its account. */
static void barred(const json_t *item, const json_t *value, char *out, size_t max)
{
    bool either = json_is_true(value) || json_is_true(json_object_get(item, "account_barred"));

    snprintf(out, max, "%s", either ? "t" : "f");
}

int ctl_line_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "line", .from = "line_id"},
                                                {.name = "account", .from = "account_id"},
                                                {.name = "numbers"},
                                                {.name = "name", .from = "display"},
                                                {.name = "level"},
                                                {.name = "barred", .form = barred},
                                                {0}};
    struct opts o = {.a = a};

    opt_end(&o, 0, "line list");
    return o.rc == CTL_OK ? ctl_list(c, "/lines", 0, columns) : o.rc;
}

int ctl_number_add(struct ctl *c, struct ctl_args *a)
{
    struct opts o = {.a = a};
    char id[CTL_ID_MAX];

    opt_end(&o, 2, "number add LINE NUMBER");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "LINE", id);
    }
    return o.rc == CTL_OK
               ? ctl_post(c, "/numbers",
                          json_pack("{s:s,s:o}", "number", a->v[1], "line_id", number_of(id)), NULL)
               : o.rc;
}

int ctl_number_remove(struct ctl *c, struct ctl_args *a)
{
    struct opts o = {.a = a};
    char path[CTL_PATH_MAX];

    opt_end(&o, 1, "number remove NUMBER");
    if (o.rc == CTL_OK) {
        ctl_about(c, "number %s", a->v[0]);
        o.rc = ctl_path(path, "/numbers/%s", a->v[0]);
    }
    return o.rc == CTL_OK ? ctl_delete(c, path) : o.rc;
}

/* ---- BTIs --------------------------------------------------------------------------------------
 */
static int by_enrolment(const json_t *a, const json_t *b)
{
    const char *at = json_string_value(json_object_get(a, "enrolled_at"));
    const char *bt = json_string_value(json_object_get(b, "enrolled_at"));

    return strcmp(at != NULL ? at : "", bt != NULL ? bt : "");
}

int ctl_bti_list(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {{.name = "bti", .from = "bti_id"},
                                                {.name = "line", .from = "line_id"},
                                                {.name = "number"},
                                                {.name = "mac_address"},
                                                {.name = "model"},
                                                {.name = "software"},
                                                {.name = "enrolled", .from = "enrolled_at"},
                                                {.name = "revoked", .from = "revoked_at"},
                                                {0}};
    json_t *rows = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 0, "bti list");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get_all(c, "/btis", 0, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows(c, ctl_sorted(rows, by_enrolment), columns) : o.rc;
}

int ctl_bti_revoke(struct ctl *c, struct ctl_args *a)
{
    uint8_t id[16];
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "bti revoke BTI");
    if (o.rc == CTL_OK && hex_get(view_of(a->v[0]), id, sizeof id) != E_OK) {
        o.rc = ctl_fail(CTL_USAGE, "BTI is 32 hex digits (bti list shows them)");
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "BTI %s", a->v[0]);
        o.rc = ctl_path(path, "/btis/%s/revoke", a->v[0]);
    }
    return o.rc == CTL_OK ? ctl_post(c, path, NULL, NULL) : o.rc;
}
