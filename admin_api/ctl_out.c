#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"

const char *ctl_option(struct ctl_args *a, const char *name)
{
    for (int i = 0; i + 1 < a->n; i++) {
        if (strcmp(a->v[i], name) == 0) {
            const char *value = a->v[i + 1];
            memmove(&a->v[i], &a->v[i + 2], sizeof a->v[0] * (size_t)(a->n - i - 2));
            a->n -= 2;
            return value;
        }
    }
    return NULL;
}

bool ctl_flag(struct ctl_args *a, const char *name)
{
    for (int i = 0; i < a->n; i++) {
        if (strcmp(a->v[i], name) == 0) {
            memmove(&a->v[i], &a->v[i + 1], sizeof a->v[0] * (size_t)(a->n - i - 1));
            a->n--;
            return true;
        }
    }
    return false;
}

int ctl_fail(int code, const char *fmt, ...)
{
    va_list ap;

    fputs("headgatectl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return code;
}

int ctl_id(const char *text, const char *what, char out[24])
{
    uint64_t id = 0;

    if (view_to_u64(view_of(text), INT64_MAX, &id) != E_OK || id == 0) {
        return ctl_fail(CTL_USAGE, "%s is a positive number, not '%s'", what, text);
    }
    snprintf(out, 24, "%llu", (unsigned long long)id);
    return CTL_OK;
}

static size_t count_columns(const char *const *columns)
{
    size_t n = 0;

    while (columns[n] != NULL && n < CTL_COLUMNS_MAX) {
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
    size_t width[CTL_COLUMNS_MAX];

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
