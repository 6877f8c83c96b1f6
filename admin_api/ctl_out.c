#include "admin_api/ctl_out.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const json_t *ctl_at(const json_t *item, const char *path)
{
    char name[64];
    const char *dot = NULL;

    while (item != NULL && (dot = strchr(path, '.')) != NULL) {
        snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        item = json_object_get(item, name);
        path = dot + 1;
    }
    item = json_object_get(item, path);
    return json_is_null(item) ? NULL : item;
}

void ctl_tame(char *text, bool lines)
{
    char *end = text;

    for (const char *p = text; lines && *p != 0; p++) {
        *end = *p;
        end += p[0] != '\r' || p[1] != '\n'; /* the line's end alone */
    }
    *(lines ? end : text + strlen(text)) = 0;
    for (unsigned char *p = (unsigned char *)text; *p != 0; p++) {
        bool c1 = p[0] == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0; /* U+0080..U+009F */
        if (c1) {
            p[1] = '?';
        }
        if (c1 || ((*p < ' ' || *p == 0x7F) && !(lines && (*p == '\n' || *p == '\t')))) {
            *p = '?';
        }
    }
}

/* Cut, when it must be, between two characters. */
static void copy_text(const char *text, char *out, size_t max)
{
    size_t n = strlen(text);

    if (n >= max) {
        for (n = max - 1; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80; n--) {
        }
    }
    memcpy(out, text, n);
    out[n] = 0;
}

static void scalar(const json_t *v, char *out, size_t max)
{
    if (json_is_string(v)) {
        copy_text(json_string_value(v), out, max);
    } else if (json_is_integer(v)) {
        snprintf(out, max, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        snprintf(out, max, "%.1f", json_real_value(v));
    } else {
        snprintf(out, max, "%s", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "");
    }
}

void ctl_text(const json_t *value, char *out, size_t max)
{
    size_t n = 0, i = 0;
    json_t *one = NULL;

    if (!json_is_array(value)) {
        scalar(value, out, max);
        return;
    }
    out[0] = 0;
    json_array_foreach(value, i, one)
    {
        n = strlen(out);
        if (n + 2 < max) {
            snprintf(out + n, max - n, "%s", i > 0 ? " " : "");
            scalar(one, out + strlen(out), max - strlen(out));
        }
    }
}

void ctl_form_seconds(const json_t *item, const json_t *value, char *out, size_t max)
{
    char *dot = NULL;

    (void)item;
    ctl_text(value, out, max);
    dot = strchr(out, '.');
    if (dot != NULL && dot > out && strlen(out) > 1 && out[strlen(out) - 1] == 'Z') {
        dot[0] = 'Z';
        dot[1] = 0;
    }
}

void ctl_cell(const json_t *item, const struct ctl_column *c, char *out, size_t max)
{
    const json_t *value = ctl_at(item, c->from != NULL ? c->from : c->name);

    out[0] = 0;
    if (value == NULL && c->absent != NULL) {
        snprintf(out, max, "%s", c->absent);
    } else if (c->form != NULL) {
        c->form(item, value, out, max);
    } else {
        ctl_text(value, out, max);
    }
}

/* By merging, so that equal ones stay in their order. */
static void merge(json_t **v, size_t n, json_t **room,
                  int (*compare)(const json_t *a, const json_t *b))
{
    size_t half = n / 2, i = 0, k = half;

    if (n < 2) {
        return;
    }
    merge(v, half, room, compare);
    merge(v + half, n - half, room, compare);
    for (size_t at = 0; at < n; at++) {
        bool first = k == n || (i < half && compare(v[i], v[k]) <= 0);
        room[at] = first ? v[i++] : v[k++];
    }
    memcpy(v, room, n * sizeof(json_t *));
}

json_t *ctl_sorted(json_t *rows, int (*compare)(const json_t *a, const json_t *b))
{
    size_t n = json_array_size(rows);
    json_t **v = n > 0 ? mem_zalloc_array(2 * n, sizeof(json_t *)) : NULL;
    json_t *sorted = json_array();

    if (v == NULL) {
        json_decref(sorted);
        return rows;
    }
    for (size_t i = 0; i < n; i++) {
        v[i] = json_array_get(rows, i);
    }
    merge(v, n, v + n, compare);
    for (size_t i = 0; i < n; i++) {
        json_array_append(sorted, v[i]);
    }
    mem_free(v);
    json_decref(rows);
    return sorted;
}

static size_t count_columns(const struct ctl_column *columns)
{
    size_t n = 0;

    while (n < CTL_COLUMNS_MAX && columns[n].name != NULL) {
        n++;
    }
    return n;
}

/* How many columns of a terminal a text in UTF-8 takes, as long as no letter is a wide one. */
static size_t width_of(const char *text)
{
    size_t n = 0;

    for (; *text != 0; text++) {
        n += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return n;
}

static void print_row(FILE *to, char *const *cells, const size_t *width, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        const char *text = cells[c] != NULL ? cells[c] : "";
        size_t pad = width[c] - width_of(text);
        /* The last column is padded too: it always was, and nobody sees it. */
        fprintf(to, "%s%*s%s", text, (int)pad, "", c + 1 < n ? "  " : "\n");
    }
}

/* All cells row by row, the heads first; NULL: no memory. */
static char **cells_of(const json_t *rows, const struct ctl_column *columns, size_t n)
{
    size_t i = 0, n_rows = json_array_size(rows);
    char **cells = mem_zalloc_array((n_rows + 1) * n, sizeof *cells);
    char *text = mem_zalloc(CTL_CELL_MAX);
    json_t *row = NULL;

    for (size_t c = 0; cells != NULL && text != NULL && c < n; c++) {
        cells[c] = mem_strdup(columns[c].name);
        json_array_foreach(rows, i, row)
        {
            ctl_cell(row, &columns[c], text, CTL_CELL_MAX);
            ctl_tame(text, false);
            cells[(i + 1) * n + c] = mem_strdup(text);
        }
    }
    mem_free(text);
    return cells;
}

void ctl_print_table(FILE *to, const json_t *rows, const struct ctl_column *columns)
{
    size_t n = count_columns(columns), all = (json_array_size(rows) + 1) * n;
    size_t width[CTL_COLUMNS_MAX] = {0};
    char **cells = cells_of(rows, columns, n);

    for (size_t i = 0; cells != NULL && i < all; i++) {
        size_t w = cells[i] != NULL ? width_of(cells[i]) : 0;
        width[i % n] = w > width[i % n] ? w : width[i % n];
    }
    for (size_t i = 0; cells != NULL && i < all; i += n) {
        print_row(to, cells + i, width, n);
    }
    for (size_t i = 0; cells != NULL && i < all; i++) {
        mem_free(cells[i]);
    }
    mem_free(cells);
}

static json_t *texts_of(const json_t *item, const struct ctl_column *columns, char *text)
{
    json_t *o = json_object();

    for (size_t c = 0; columns[c].name != NULL; c++) {
        ctl_cell(item, &columns[c], text, CTL_CELL_MAX);
        json_object_set_new(o, columns[c].name, json_string(text));
    }
    return o;
}

void ctl_print_json(FILE *to, const json_t *value)
{
    json_dumpf(value, to, JSON_INDENT(2) | JSON_ENCODE_ANY);
    fputc('\n', to);
}

void ctl_print_texts(FILE *to, const json_t *rows, const struct ctl_column *columns)
{
    json_t *all = json_array(), *row = NULL;
    char *text = mem_zalloc(CTL_CELL_MAX);
    size_t i = 0;

    json_array_foreach(rows, i, row)
    {
        if (text != NULL) {
            json_array_append_new(all, texts_of(row, columns, text));
        }
    }
    ctl_print_json(to, all);
    json_decref(all);
    mem_free(text);
}

void ctl_print_item(FILE *to, const json_t *item, const struct ctl_column *columns, bool json)
{
    char *text = mem_zalloc(CTL_CELL_MAX);
    json_t *o = text != NULL ? texts_of(item, columns, text) : NULL;

    if (json) {
        ctl_print_json(to, o);
    }
    for (size_t c = 0; !json && text != NULL && columns[c].name != NULL; c++) {
        ctl_cell(item, &columns[c], text, CTL_CELL_MAX);
        ctl_tame(text, true);
        fprintf(to, "%s: %s\n", columns[c].name, text);
    }
    json_decref(o);
    mem_free(text);
}
