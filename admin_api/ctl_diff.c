#include "admin_api/ctl_diff.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS_MAX = 128 };

static void add(char *out, size_t max, const char *text)
{
    size_t n = strlen(out);

    snprintf(out + n, max - n, "%s", text);
}

static void add_json(char *out, size_t max, const json_t *value)
{
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;

    add(out, max, text != NULL ? text : "null");
    free(text); /* jansson allocated it */
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Borrowed from the row. */
static size_t names_of(const json_t *row, const char *names[MEMBERS_MAX])
{
    json_t *value = NULL; /* nothing of the row is changed */
    const char *name = NULL;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)row, name, value)
    {
        if (n < MEMBERS_MAX) {
            names[n++] = name;
        }
    }
    qsort(names, n, sizeof *names, by_text);
    return n;
}

void ctl_diff(const json_t *before, const json_t *after, const char *separator, bool member_wise,
              char *out, size_t max)
{
    bool is_update = json_is_object(before) && json_is_object(after), any = false;
    const json_t *row = json_is_object(after) ? after : before;
    const char *names[MEMBERS_MAX];
    size_t n = 0;

    out[0] = 0;
    if (!is_update && !member_wise) {
        if (json_is_object(row)) {
            add_json(out, max, row);
        }
        return;
    }
    n = json_is_object(row) ? names_of(row, names) : 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *b = json_object_get(before, names[i]), *a = json_object_get(after, names[i]);
        if (is_update ? json_equal(a, b) : json_is_null(json_object_get(row, names[i]))) {
            continue;
        }
        add(out, max, any ? separator : "");
        add(out, max, names[i]);
        add(out, max, ": ");
        if (is_update) {
            add_json(out, max, b);
            add(out, max, " -> ");
        }
        add_json(out, max, is_update ? a : json_object_get(row, names[i]));
        any = true;
    }
}
