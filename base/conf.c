/* libyaml's event parser, the lower half of libcyaml, is used directly: libcyaml maps YAML onto C
 * types known at compile time and reports no column for a value that is out of range, while here
 * one table for each program gives type, bound, default, documentation and place of every setting.
 */
#include "base/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/view.h"

#define FILE_MAX_BYTES   262144
#define FIELDS_MAX       128
#define LIST_MAX         64
#define SECRET_MAX_BYTES 4096

struct conf {
    struct arena arena;
    const struct conf_field *fields;
    size_t n;
    const char *folder;            /* of the file; "." without one */
    const char *shown[FIELDS_MAX]; /* text as it stands in the file, for printing */
    char *secret[FIELDS_MAX];      /* content of a referenced file: wiped at the end */
    struct conf_list lists[FIELDS_MAX];
};

struct reader {
    struct conf *c;
    const char *path;
    char *err_text;
    size_t err_bytes;
    uint8_t *staged; /* copy of the caller's struct until all is well */
    bool set[FIELDS_MAX];
    bool opened[FIELDS_MAX]; /* the section whose first field this is was read */
};

struct place {
    size_t line, column;
};

static enum err complain(struct reader *r, struct place at, enum err e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static enum err complain(struct reader *r, struct place at, enum err e, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->err_text, r->err_bytes, "%s:%zu:%zu: ", r->path, at.line, at.column);

    if (n > 0 && (size_t)n < r->err_bytes) {
        va_start(ap, fmt);
        vsnprintf(r->err_text + n, r->err_bytes - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return e;
}

static struct place place_of(const yaml_event_t *ev)
{
    return (struct place){ev->start_mark.line + 1, ev->start_mark.column + 1};
}

/* ---- one value ------------------------------------------------------------------------------- */
static enum err parse_ms(struct view text, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct cursor c = cursor_over(text);
    uint64_t n = 0;
    enum err e = cur_u64(&c, UINT64_MAX / 86400000, &n);

    for (size_t i = 0; e == E_OK && i < sizeof units / sizeof units[0]; i++) {
        if (view_eq(cur_rest(&c), view_of(units[i].unit))) {
            *out = n * units[i].ms;
            return E_OK;
        }
    }
    return FAIL(E_PARSE);
}

/* A text of the configuration as a C string of the arena. A NUL would end it early. */
static enum err keep_text(struct reader *r, struct place at, struct view text, const char **out)
{
    size_t nul = 0;

    if (view_find(text, 0, &nul)) {
        return complain(r, at, E_PARSE, "a NUL in a text");
    }
    *out = arena_cstr(&r->c->arena, text);
    return *out != NULL ? E_OK : FAIL(E_NOMEM);
}

static enum err read_reference(struct reader *r, struct place at, size_t i, struct view text,
                               const char **out)
{
    char path[1024], content[SECRET_MAX_BYTES];
    size_t n = 0, nul = 0;
    enum err e = E_PARSE;
    struct view inner = view_sub(text, 7, text.n - 8);

    if (view_to_cstr(inner, path, sizeof path) != E_OK || path[0] != '/') {
        return complain(r, at, E_PARSE, "${file:...} needs a whole path, from / on");
    }
    e = secret_file_read(path, true, content, sizeof content, &n);
    if (e != E_OK) {
        e = complain(r, at, e, "%s: %s", path, err_text(e));
    } else if (view_find(view_from(content, n), 0, &nul)) {
        e = complain(r, at, E_PARSE, "%s: a NUL in a text", path);
    } else {
        n -= n > 0 && content[n - 1] == '\n';
        r->c->secret[i] = arena_cstr(&r->c->arena, view_from(content, n));
        *out = r->c->secret[i];
        e = *out != NULL ? E_OK : FAIL(E_NOMEM);
    }
    wipe(content, sizeof content);
    return e;
}

static enum err join_path(struct reader *r, struct place at, struct view text, const char **out)
{
    char joined[4096];

    if ((size_t)snprintf(joined, sizeof joined, "%s/%.*s", r->c->folder, (int)text.n, text.p) >=
        sizeof joined) {
        return complain(r, at, E_RANGE, "path too long");
    }
    return keep_text(r, at, view_of(joined), out);
}

static enum err put_text(struct reader *r, struct place at, size_t i, struct view text)
{
    const struct conf_field *f = &r->c->fields[i];
    const char *v = r->c->shown[i];
    enum err e = E_OK;

    if (f->type == CONF_TEXT && view_starts(text, VIEW("${file:")) && text.p[text.n - 1] == '}') {
        e = read_reference(r, at, i, text, &v);
    } else if (f->type == CONF_PATH && text.n > 0 && text.p[0] != '/') {
        e = join_path(r, at, text, &v);
    }
    if (e == E_OK) {
        memcpy(r->staged + f->offset, &v, sizeof v);
    }
    return e;
}

/* "min..max", or "at least min" where there is no upper bound. */
static enum err out_of_range(struct reader *r, struct place at, const struct conf_field *f,
                             uint64_t u, const char *what)
{
    unsigned long long have = u, min = f->min, max = f->max;

    if (max == 0) {
        return complain(r, at, E_RANGE, "%s: %llu%s, at least %llu expected", f->name, have, what,
                        min);
    }
    return complain(r, at, E_RANGE, "%s: %llu%s, not within %llu..%llu", f->name, have, what, min,
                    max);
}

static enum err put_number(struct reader *r, struct place at, const struct conf_field *f,
                           struct view text)
{
    uint64_t u = 0;
    enum err e = f->type == CONF_MS ? parse_ms(text, &u) : view_to_u64(text, UINT64_MAX, &u);

    if (e != E_OK) {
        return complain(r, at, E_PARSE, "%s: %s expected, not '%.*s'", f->name,
                        f->type == CONF_MS ? "a duration like 250ms, 5s, 3m or 24h" : "a number",
                        (int)text.n, text.p);
    }
    if (u < f->min || (f->max != 0 && u > f->max)) {
        return out_of_range(r, at, f, u, f->type == CONF_MS ? " ms" : "");
    }
    memcpy(r->staged + f->offset, &u, sizeof u);
    return E_OK;
}

static enum err put_bool(struct reader *r, struct place at, const struct conf_field *f,
                         struct view text)
{
    bool b = view_eq(text, VIEW("true")) || view_eq(text, VIEW("yes"));

    if (!b && !view_eq(text, VIEW("false")) && !view_eq(text, VIEW("no"))) {
        return complain(r, at, E_PARSE, "%s: true or false expected, not '%.*s'", f->name,
                        (int)text.n, text.p);
    }
    memcpy(r->staged + f->offset, &b, sizeof b);
    return E_OK;
}

static enum err put_scalar(struct reader *r, struct place at, size_t i, struct view text)
{
    const struct conf_field *f = &r->c->fields[i];
    enum err e = keep_text(r, at, text, &r->c->shown[i]);

    if (e != E_OK) {
        return e;
    }
    switch (f->type) {
    case CONF_TEXT:
    case CONF_PATH:
        return put_text(r, at, i, text);
    case CONF_UINT:
    case CONF_MS:
        return put_number(r, at, f, text);
    case CONF_BOOL:
        return put_bool(r, at, f, text);
    case CONF_LIST:
        break;
    }
    return complain(r, at, E_PARSE, "%s: a list expected", f->name);
}

static enum err put_list(struct reader *r, struct place at, size_t i, const char **v, size_t n)
{
    const struct conf_field *f = &r->c->fields[i];
    const char **kept = NULL;
    struct conf_list list = {.n = n};

    if (n < f->min || (f->max != 0 && n > f->max)) {
        return out_of_range(r, at, f, n, " elements");
    }
    kept = arena_alloc(&r->c->arena, (n + 1) * sizeof *kept);
    if (kept == NULL) {
        return FAIL(E_NOMEM);
    }
    for (size_t k = 0; k < n; k++) {
        kept[k] = v[k];
    }
    list.v = kept;
    r->c->lists[i] = list;
    memcpy(r->staged + f->offset, &list, sizeof list);
    return E_OK;
}

static enum err split_default(struct reader *r, size_t i)
{
    const char *v[LIST_MAX] = {0};
    size_t n = 0;
    struct view rest = view_of(r->c->fields[i].fallback);
    const struct place nowhere = {0, 0};
    enum err e = E_OK;

    while (e == E_OK && rest.n > 0) {
        size_t comma = rest.n;
        BUG_ON(n == LIST_MAX); /* defaults are ours */
        (void)view_find(rest, ',', &comma);
        e = keep_text(r, nowhere, view_trim(view_sub(rest, 0, comma)), &v[n++]);
        rest = view_sub(rest, comma + 1, rest.n);
    }
    return e == E_OK ? put_list(r, nowhere, i, v, n) : e;
}

/* ---- the file -------------------------------------------------------------------------------- */
static bool find_field(const struct conf *c, const char *section, const char *key, size_t *out)
{
    char name[160];

    snprintf(name, sizeof name, "%s.%s", section, key);
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->fields[i].name, name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* The first field of a section names it. */
static bool find_section(const struct conf *c, const char *section, size_t *out)
{
    size_t n = strlen(section);

    for (size_t i = 0; i < c->n; i++) {
        if (strncmp(c->fields[i].name, section, n) == 0 && c->fields[i].name[n] == '.') {
            *out = i;
            return true;
        }
    }
    return false;
}

static enum err next(struct reader *r, yaml_parser_t *p, yaml_event_t *ev)
{
    if (yaml_parser_parse(p, ev)) {
        return E_OK;
    }
    if (p->error == YAML_MEMORY_ERROR) {
        return FAIL(E_NOMEM);
    }
    return complain(r, (struct place){p->problem_mark.line + 1, p->problem_mark.column + 1},
                    E_PARSE, "%s", p->problem != NULL ? p->problem : "not YAML");
}

static struct view scalar(const yaml_event_t *ev)
{
    return view_from(ev->data.scalar.value, ev->data.scalar.length);
}

static enum err read_list(struct reader *r, yaml_parser_t *p, struct place at, size_t i)
{
    const char *v[LIST_MAX] = {0};
    size_t n = 0;
    yaml_event_t ev;
    enum err e =
        r->c->fields[i].type == CONF_LIST
            ? E_OK
            : complain(r, at, E_PARSE, "%s: one value expected, not a list", r->c->fields[i].name);

    while (e == E_OK) {
        e = next(r, p, &ev);
        if (e != E_OK) {
            return e;
        }
        if (ev.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&ev);
            return put_list(r, at, i, v, n);
        }
        if (ev.type != YAML_SCALAR_EVENT) {
            e = complain(r, place_of(&ev), E_PARSE, "%s: a text expected", r->c->fields[i].name);
        } else if (n == LIST_MAX) {
            e = complain(r, place_of(&ev), E_RANGE, "%s: at most %d texts", r->c->fields[i].name,
                         LIST_MAX);
        } else {
            e = keep_text(r, place_of(&ev), scalar(&ev), &v[n++]);
        }
        yaml_event_delete(&ev);
    }
    return e;
}

static enum err read_value(struct reader *r, yaml_parser_t *p, const char *section, const char *key,
                           struct place key_at)
{
    yaml_event_t ev;
    size_t i = 0;
    enum err e = E_PARSE;

    if (!find_field(r->c, section, key, &i)) {
        return complain(r, key_at, E_PARSE, "no setting %s.%s", section, key);
    }
    if (r->set[i]) {
        return complain(r, key_at, E_PARSE, "%s.%s is set twice", section, key);
    }
    r->set[i] = true;
    e = next(r, p, &ev);
    if (e != E_OK) {
        return e;
    }
    if (ev.type == YAML_SCALAR_EVENT) {
        e = put_scalar(r, place_of(&ev), i, scalar(&ev));
    } else if (ev.type == YAML_SEQUENCE_START_EVENT) {
        e = read_list(r, p, place_of(&ev), i);
    } else {
        e = complain(r, place_of(&ev), E_PARSE, "%s: a value expected", r->c->fields[i].name);
    }
    yaml_event_delete(&ev);
    return e;
}

static enum err read_map(struct reader *r, yaml_parser_t *p, const char *section);

static enum err read_section(struct reader *r, yaml_parser_t *p, const char *name, struct place at)
{
    yaml_event_t ev;
    size_t i = 0;
    enum err e = E_OK;

    if (!find_section(r->c, name, &i)) {
        return complain(r, at, E_PARSE, "no section %s", name);
    }
    if (r->opened[i]) {
        return complain(r, at, E_PARSE, "section %s is there twice", name);
    }
    r->opened[i] = true;
    e = next(r, p, &ev);
    if (e == E_OK) {
        e = ev.type == YAML_MAPPING_START_EVENT
                ? read_map(r, p, name)
                : complain(r, place_of(&ev), E_PARSE, "%s: settings expected", name);
        yaml_event_delete(&ev);
    }
    return e;
}

/* The map of one section, or of the whole file (section NULL). */
static enum err read_map(struct reader *r, yaml_parser_t *p, const char *section)
{
    enum err e = E_OK;

    while (e == E_OK) {
        yaml_event_t ev;
        char key[80];
        struct place at;

        e = next(r, p, &ev);
        if (e != E_OK) {
            return e;
        }
        at = place_of(&ev);
        if (ev.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&ev);
            return E_OK;
        }
        if (ev.type != YAML_SCALAR_EVENT || view_to_cstr(scalar(&ev), key, sizeof key) != E_OK) {
            e = complain(r, at, E_PARSE, "a name expected");
        }
        yaml_event_delete(&ev);
        if (e == E_OK && section != NULL) {
            e = read_value(r, p, section, key, at);
        } else if (e == E_OK) {
            e = read_section(r, p, key, at);
        }
    }
    return e;
}

static enum err read_document(struct reader *r, yaml_parser_t *p)
{
    enum err e = E_OK;
    bool done = false;
    size_t documents = 0;

    while (e == E_OK && !done) {
        yaml_event_t ev;
        e = next(r, p, &ev);
        if (e != E_OK) {
            break;
        }
        if (ev.type == YAML_DOCUMENT_START_EVENT && documents++ > 0) {
            e = complain(r, place_of(&ev), E_PARSE, "one document expected");
        } else if (ev.type == YAML_MAPPING_START_EVENT) {
            e = read_map(r, p, NULL);
        } else if (ev.type == YAML_STREAM_END_EVENT) {
            done = true;
        } else if (ev.type == YAML_SCALAR_EVENT &&
                   (ev.data.scalar.length > 0 || !ev.data.scalar.plain_implicit)) {
            e = complain(r, place_of(&ev), E_PARSE, "sections expected");
        } else if (ev.type == YAML_SEQUENCE_START_EVENT || ev.type == YAML_ALIAS_EVENT) {
            e = complain(r, place_of(&ev), E_PARSE, "sections expected");
        }
        yaml_event_delete(&ev);
    }
    return e;
}

static enum err read_file(struct reader *r, const char *path)
{
    yaml_parser_t p;
    enum err e = E_OK;
    char *text = mem_zalloc(FILE_MAX_BYTES);
    FILE *f = text != NULL ? fopen(path, "re") : NULL;
    size_t n = f != NULL ? fread(text, 1, FILE_MAX_BYTES, f) : 0;

    if (text == NULL) {
        e = FAIL(E_NOMEM);
    } else if (f == NULL || ferror(f) != 0) { /* a folder can be opened, but not read */
        e = complain(r, (struct place){0, 0}, E_IO, "cannot be read: %s", strerror(errno));
    } else if (n == FILE_MAX_BYTES) {
        e = complain(r, (struct place){0, 0}, E_RANGE, "more than %d octets", FILE_MAX_BYTES - 1);
    } else if (!yaml_parser_initialize(&p)) {
        e = FAIL(E_NOMEM);
    } else {
        yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
        e = read_document(r, &p);
        yaml_parser_delete(&p);
    }
    if (f != NULL) {
        fclose(f);
    }
    if (text != NULL) {
        wipe(text, n); /* passwords may stand in it */
        mem_free(text);
    }
    return e;
}

static enum err fill_defaults(struct reader *r)
{
    enum err e = E_OK;

    for (size_t i = 0; e == E_OK && i < r->c->n; i++) {
        const struct conf_field *f = &r->c->fields[i];
        if (r->set[i]) {
            continue;
        }
        if (f->fallback == NULL) {
            e = complain(r, (struct place){0, 0}, E_PARSE, "%s is missing", f->name);
        } else if (f->type == CONF_LIST) {
            e = split_default(r, i);
        } else {
            e = put_scalar(r, (struct place){0, 0}, i, view_of(f->fallback));
        }
    }
    return e;
}

static size_t struct_bytes(const struct conf_field *fields, size_t n)
{
    size_t most = 0;

    for (size_t i = 0; i < n; i++) {
        size_t end = fields[i].offset + sizeof(struct conf_list);
        switch (fields[i].type) {
        case CONF_TEXT:
        case CONF_PATH:
            end = fields[i].offset + sizeof(const char *);
            break;
        case CONF_UINT:
        case CONF_MS:
            end = fields[i].offset + sizeof(uint64_t);
            break;
        case CONF_BOOL:
            end = fields[i].offset + sizeof(bool);
            break;
        case CONF_LIST:
            break;
        }
        most = end > most ? end : most;
    }
    return most;
}

static const char *folder_of(struct arena *a, const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;

    return slash == NULL ? "." : arena_cstr(a, view_from(path, (size_t)(slash - path)));
}

enum err conf_load(const char *path, const struct conf_field *fields, size_t n, void *into,
                   char *err_text_out, size_t err_text_bytes, struct conf **out)
{
    enum err e = E_NOMEM;
    size_t bytes = struct_bytes(fields, n);
    struct conf *c = mem_zalloc(sizeof *c);
    struct reader r = {.c = c,
                       .path = path != NULL ? path : "(defaults)",
                       .err_text = err_text_out,
                       .err_bytes = err_text_bytes,
                       .staged = mem_zalloc(bytes)};

    BUG_ON(n > FIELDS_MAX);
    snprintf(err_text_out, err_text_bytes, "%s: out of memory", r.path);
    if (c == NULL || r.staged == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    arena_init(&c->arena, 0);
    c->fields = fields;
    c->n = n;
    c->folder = folder_of(&c->arena, path);
    if (c->folder == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    memcpy(r.staged, into, bytes);
    e = path != NULL ? read_file(&r, path) : E_OK;
    TRY(e);
    TRY(fill_defaults(&r));
    memcpy(into, r.staged, bytes);
    err_text_out[0] = 0;
    *out = c;
    c = NULL;
out:
    mem_free(r.staged);
    conf_free(c);
    return e;
}

/* Octets of the character at s (good UTF-8: it came out of the YAML reader) when YAML would refuse
 * it or fold it as a line break: C1 controls, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF; else 0. */
static size_t unwelcome(const char *s, unsigned *out)
{
    static const struct {
        const char *octets;
        unsigned code;
    } rows[] = {{"\xe2\x80\xa8", 0x2028},
                {"\xe2\x80\xa9", 0x2029},
                {"\xef\xbb\xbf", 0xfeff},
                {"\xef\xbf\xbe", 0xfffe},
                {"\xef\xbf\xbf", 0xffff}};

    if ((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0) {
        *out = (unsigned char)s[1];
        return 2;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(s, rows[i].octets, 3) == 0) {
            *out = rows[i].code;
            return 3;
        }
    }
    return 0;
}

/* As YAML reads it back. */
static void print_quoted(const char *s, FILE *to)
{
    fputc('"', to);
    for (; *s != 0; s++) {
        unsigned char c = (unsigned char)*s;
        unsigned code = 0;
        size_t n = c >= 0x80 ? unwelcome(s, &code) : 0;
        if (n > 0) {
            fprintf(to, "\\u%04x", code);
            s += n - 1;
        } else if (c == '"' || c == '\\') {
            fprintf(to, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(to, "\\x%02x", c);
        } else {
            fputc(c, to);
        }
    }
    fputc('"', to);
}

void conf_print(const struct conf *c, FILE *to)
{
    char section[80] = "";

    for (size_t i = 0; i < c->n; i++) {
        const struct conf_field *f = &c->fields[i];
        size_t dot = strcspn(f->name, ".");
        if (strncmp(section, f->name, dot) != 0 || section[dot] != 0) {
            snprintf(section, sizeof section, "%.*s", (int)dot, f->name);
            fprintf(to, "%s:\n", section);
        }
        fprintf(to, "  # %s\n  %s:", f->doc, f->name + dot + 1);
        if (f->type == CONF_LIST) {
            fprintf(to, " [");
            for (size_t k = 0; k < c->lists[i].n; k++) {
                fputs(k > 0 ? ", " : "", to);
                print_quoted(c->lists[i].v[k], to);
            }
            fprintf(to, "]\n");
        } else if (f->type == CONF_TEXT || f->type == CONF_PATH) {
            fputc(' ', to);
            print_quoted(c->shown[i], to);
            fputc('\n', to);
        } else {
            fprintf(to, " %s\n", c->shown[i]);
        }
    }
}

void conf_free(struct conf *c)
{
    if (c != NULL) {
        for (size_t i = 0; i < c->n; i++) {
            if (c->secret[i] != NULL) {
                wipe(c->secret[i], strlen(c->secret[i]));
            }
        }
        arena_fini(&c->arena);
        mem_free(c);
    }
}
