#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"

struct pg_sync *ctl_db(struct ctl *c)
{
    char why[256];

    if (c->db == NULL && pg_sync_open(c->conninfo, &c->db, why, sizeof why) != E_OK) {
        (void)ctl_fail(CTL_UNREACHABLE, "database: %s", why);
        c->db = NULL;
    }
    return c->db;
}

int ctl_query(struct ctl *c, const char *sql, const struct pg_param *p, size_t n,
              struct pg_result **out)
{
    struct pg_result *r = NULL;
    enum err e = E_IO;
    int rc = CTL_OK;

    if (ctl_db(c) == NULL) {
        return CTL_UNREACHABLE;
    }
    e = pg_sync_query(c->db, sql, p, n, &r);
    if (e != E_OK) {
        const char *words = r != NULL ? pg_message(r) : err_text(e);
        rc = ctl_fail(e == E_IO ? CTL_UNREACHABLE : CTL_REFUSED, "%.*s", (int)strcspn(words, "\n"),
                      words);
        pg_result_free(r);
        return rc;
    }
    if (out != NULL) {
        *out = r;
    } else {
        pg_result_free(r);
    }
    return CTL_OK;
}

static size_t count_columns(const char *const *columns)
{
    size_t n = 0;

    while (columns[n] != NULL && n < CTL_SQL_COLUMNS_MAX) {
        n++;
    }
    return n;
}

static void show_json(const struct pg_result *r, const char *const *columns, size_t n)
{
    json_t *all = json_array();

    for (size_t row = 0; row < pg_rows(r); row++) {
        json_t *o = json_object();
        for (size_t c = 0; c < n; c++) {
            struct view v = pg_text(r, row, c);
            json_object_set_new(o, columns[c],
                                pg_is_null(r, row, c) ? json_null() : json_stringn(v.p, v.n));
        }
        json_array_append_new(all, o);
    }
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

static void show_table(const struct pg_result *r, const char *const *columns, size_t n)
{
    size_t width[CTL_SQL_COLUMNS_MAX];

    for (size_t c = 0; c < n; c++) {
        width[c] = strlen(columns[c]);
        for (size_t row = 0; row < pg_rows(r); row++) {
            size_t len = pg_text(r, row, c).n;
            width[c] = len > width[c] ? len : width[c];
        }
    }
    for (size_t c = 0; c < n; c++) {
        printf("%-*s%s", (int)width[c], columns[c], c + 1 < n ? "  " : "\n");
    }
    for (size_t row = 0; row < pg_rows(r); row++) {
        for (size_t c = 0; c < n; c++) {
            struct view v = pg_text(r, row, c);
            printf("%-*.*s%s", (int)width[c], (int)v.n, v.p, c + 1 < n ? "  " : "\n");
        }
    }
}

int ctl_show(const struct ctl *c, const struct pg_result *r, const char *const *columns)
{
    size_t n = count_columns(columns);

    if (c->json) {
        show_json(r, columns, n);
    } else {
        show_table(r, columns, n);
    }
    return CTL_OK;
}

void ctl_say(const struct ctl *c, const char *const *pairs)
{
    json_t *o = json_object();

    for (size_t i = 0; pairs[i] != NULL; i += 2) {
        json_object_set_new(o, pairs[i], json_string(pairs[i + 1]));
        if (!c->json) {
            printf("%s: %s\n", pairs[i], pairs[i + 1]);
        }
    }
    if (c->json) {
        json_dumpf(o, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(o);
}
