#include "admin_api/ctl_ladder.h"

#include <string.h>

#include "admin_api/ctl_out.h"

/* More addresses than that share no picture: their messages are told in words. */
enum { ENDS_MAX = 5, SPACING = 34, ROW_MAX = ENDS_MAX * SPACING + 64, NAME_MAX_BYTES = 64 };

struct picture {
    size_t n;
    char end[ENDS_MAX][NAME_MAX_BYTES];
};

static const char *text_of(const json_t *m, const char *name)
{
    const char *text = json_string_value(json_object_get(m, name));

    return text != NULL ? text : "";
}

static size_t column_of(const struct picture *p, const char *end)
{
    size_t i = 0;

    while (i < p->n && strcmp(p->end[i], end) != 0) {
        i++;
    }
    return i;
}

static void add_end(struct picture *p, const char *end)
{
    if (column_of(p, end) == p->n && p->n < ENDS_MAX) {
        snprintf(p->end[p->n++], NAME_MAX_BYTES, "%s", end);
    }
}

/* What is put over others' characters takes one place for each octet. */
static void put(char *row, size_t at, const char *text, size_t n)
{
    for (size_t i = 0; i < n && text[i] != 0; i++) {
        row[at + i] = text[i] >= ' ' && text[i] < 0x7F ? text[i] : '?';
    }
}

static void draw_posts(const struct picture *p, char row[ROW_MAX])
{
    memset(row, ' ', ROW_MAX - 1);
    row[ROW_MAX - 1] = 0;
    for (size_t i = 0; i < p->n; i++) {
        row[i * SPACING] = '|';
    }
}

static void draw_arrow(size_t from, size_t to, const char *label, char row[ROW_MAX])
{
    size_t left = (from < to ? from : to) * SPACING, right = (from < to ? to : from) * SPACING;
    size_t room = right - left - 7, n = strlen(label) < room ? strlen(label) : room;

    memset(row + left + 1, '-', right - left - 1);
    row[from < to ? right - 1 : left + 1] = from < to ? '>' : '<';
    row[left + 3] = ' ';
    put(row, left + 4, label, n);
    row[left + 4 + n] = ' ';
}

static void trim(char *row)
{
    size_t n = strlen(row);

    while (n > 0 && row[n - 1] == ' ') {
        row[--n] = 0;
    }
}

static void print_words(FILE *to, const json_t *m)
{
    char text[512];
    const char *mac = text_of(m, "mac"), *note = text_of(m, "note");

    snprintf(text, sizeof text, "mac %s%s%s", mac[0] != 0 ? mac : "-", note[0] != 0 ? "  " : "",
             note);
    ctl_tame(text, false);
    fprintf(to, "  %s\n", text);
}

static void print_message(FILE *to, const struct picture *p, const json_t *m, double ms)
{
    size_t from = column_of(p, text_of(m, "from")), into = column_of(p, text_of(m, "to"));
    char row[ROW_MAX], told[256];

    draw_posts(p, row);
    if (from < p->n && into < p->n && from != into) {
        draw_arrow(from, into, text_of(m, "text"), row);
        row[(p->n - 1) * SPACING + 1] = 0;
    } else {
        snprintf(told, sizeof told, "%.48s -> %.48s  %.120s", text_of(m, "from"), text_of(m, "to"),
                 text_of(m, "text"));
        put(row, 2, told, ROW_MAX - 4);
        trim(row);
    }
    fprintf(to, "%11.3f ms  %s", ms, row);
    print_words(to, m);
}

static void print_octets(FILE *to, const json_t *m)
{
    const char *octets = text_of(m, "octets");
    char text[16384];

    snprintf(text, sizeof text, "%s", octets);
    ctl_tame(text, true);
    fprintf(to, "\n%s\n", text);
}

void ctl_print_ladder(FILE *to, const json_t *ladder, bool octets)
{
    struct picture p = {.n = 0};
    size_t i = 0;
    json_t *m = NULL;
    json_int_t first = 0;
    char row[ROW_MAX];

    json_array_foreach(ladder, i, m)
    {
        add_end(&p, text_of(m, "from"));
        add_end(&p, text_of(m, "to"));
        first = i == 0 ? json_integer_value(json_object_get(m, "at_us")) : first;
    }
    memset(row, ' ', sizeof row);
    for (size_t k = 0; k < p.n; k++) {
        put(row, k * SPACING, p.end[k], SPACING - 1);
    }
    row[ROW_MAX - 1] = 0;
    trim(row);
    fprintf(to, "%14s  %s\n", "", row);
    json_array_foreach(ladder, i, m)
    {
        json_int_t at = json_integer_value(json_object_get(m, "at_us"));
        print_message(to, &p, m, (double)(at - first) / 1000.0);
        if (octets) {
            print_octets(to, m);
        }
    }
}
