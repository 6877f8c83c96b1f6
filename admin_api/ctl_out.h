/* admin_api/ctl_out.h - what headgatectl prints: JSON of the API as tables of texts.
 *
 * Columns    a table of them says which member of each item is shown, and how. The same texts make
 * the table and -o json: an array of objects with the columns' names, every value a text, so that
 * a script may give one back as an argument. What moves a terminal's cursor is shown as '?'.
 * Errors     none: a member that is not there is its `absent` text; no memory: the cell is empty.
 * Threads    one. */
#ifndef ADMIN_API_CTL_OUT_H
#define ADMIN_API_CTL_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CTL_COLUMNS_MAX = 24, CTL_CELL_MAX = 16384 };

struct ctl_column {
    const char *name;   /* head of the column */
    const char *from;   /* member of the item, "a.b" of a member's member; NULL: as the name */
    const char *absent; /* for null and what is not there; NULL: "" */
    /* NULL: texts and numbers as they are, yes and no, lists with blanks between. value: NULL when
     * it is not there; item: the whole. */
    void (*form)(const json_t *item, const json_t *value, char *out, size_t max);
};

/* The value at "a.b" of an item; NULL: not there. Borrowed. */
const json_t *ctl_at(const json_t *item, const char *path);
/* One cell; always ends in NUL. */
void ctl_cell(const json_t *item, const struct ctl_column *c, char *out, size_t max);
/* A scalar or a list of them as text; "" for anything else. */
void ctl_text(const json_t *value, char *out, size_t max);
void ctl_form_seconds(const json_t *item, const json_t *value, char *out, size_t max); /* no .ms */

/* Items in another order; takes rows over. */
json_t *ctl_sorted(json_t *rows, int (*compare)(const json_t *a, const json_t *b));

/* columns end with a NULL name. Rows that are no array are none. */
void ctl_print_table(FILE *to, const json_t *rows, const struct ctl_column *columns);
void ctl_print_texts(FILE *to, const json_t *rows, const struct ctl_column *columns);
/* One item: "name: text" lines, or an object of texts. */
void ctl_print_item(FILE *to, const json_t *item, const struct ctl_column *columns, bool json);
void ctl_print_json(FILE *to, const json_t *value); /* as it is, indented */
/* A text without what moves a cursor; `lines`: ends of lines stay. In place. */
void ctl_tame(char *text, bool lines);

#endif
