/* A JSON value against a schema. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/api_schema_int.h"
#include "base/mem.h"

#define DEPTH_MAX  64
#define UNIQUE_MAX 1000 /* items of a list in which each is compared with each */

struct walk {
    enum schema_mode mode;
    struct schema_errors *out;
    size_t found;
    char pointer[SCHEMA_POINTER_MAX];
    size_t n; /* of pointer */
    unsigned depth;
};

static void wrong(struct walk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct walk *w, const char *fmt, ...)
{
    struct schema_errors *o = w->out;
    va_list ap;

    w->found++;
    if (o == NULL || o->n >= SCHEMA_ERRORS_MAX) {
        return;
    }
    memcpy(o->e[o->n].pointer, w->pointer, w->n);
    o->e[o->n].pointer[w->n] = 0;
    va_start(ap, fmt);
    vsnprintf(o->e[o->n].detail, sizeof o->e[o->n].detail, fmt, ap);
    va_end(ap);
    o->n++;
}

/* RFC 6901 section 3. A pointer that would be too long stays at what it could still name. */
static size_t enter(struct walk *w, const char *token)
{
    size_t before = w->n;
    char step[SCHEMA_POINTER_MAX];
    size_t n = 0;

    step[n++] = '/';
    for (; *token != 0 && n + 2 < sizeof step; token++) {
        if (*token == '~' || *token == '/') {
            step[n++] = '~';
            step[n++] = *token == '~' ? '0' : '1';
        } else {
            step[n++] = *token;
        }
    }
    if (*token == 0 && w->n + n < sizeof w->pointer) {
        memcpy(w->pointer + w->n, step, n);
        w->n += n;
    }
    return before;
}

static void check(struct walk *w, const struct schema *s, const json_t *v);

/* The same errors or none, without telling. */
static size_t errors_of(const struct walk *w, const struct schema *s, const json_t *v)
{
    struct walk quiet = *w;

    quiet.out = NULL;
    quiet.found = 0;
    check(&quiet, s, v);
    return quiet.found;
}

static unsigned type_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return TYPE_OBJECT;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_INTEGER:
        return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_REAL:
        return TYPE_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return TYPE_BOOLEAN;
    case JSON_NULL:
        break;
    }
    return TYPE_NULL;
}

static void wrong_type(struct walk *w, unsigned types)
{
    static const char *const names[] = {"null",   "true or false", "an integer", "a number",
                                        "a text", "a list",        "an object"};
    char text[128];
    size_t n = 0;

    text[0] = 0;
    for (unsigned i = 1; i <= 7; i++) { /* null last */
        if ((types & (1u << (i % 7))) != 0 && n < sizeof text) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? " or " : "",
                                  names[i % 7]);
        }
    }
    wrong(w, "must be %s", text);
}

static void wrong_choice(struct walk *w, const json_t *choices)
{
    char text[160];
    size_t n = 0, i = 0;
    const json_t *c = NULL;

    text[0] = 0;
    json_array_foreach(choices, i, c)
    {
        if (json_is_string(c) && n < sizeof text) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? ", " : "",
                                  json_string_value(c));
        }
    }
    wrong(w, n == 0 ? "is none of the values that it may have%s" : "must be one of: %s", text);
}

static void check_text(struct walk *w, const struct schema *s, const json_t *v)
{
    struct view text = view_from(json_string_value(v), json_string_length(v));
    json_int_t n = s->min_length < 0 && s->max_length < 0 ? 0 : (json_int_t)schema_characters(text);

    if (s->max_length >= 0 && n > s->max_length) {
        wrong(w, "is longer than %lld characters", (long long)s->max_length);
    } else if (s->min_length >= 0 && n < s->min_length) {
        wrong(w, s->min_length == 1 ? "is empty" : "is shorter than %lld characters",
              (long long)s->min_length);
    } else if (s->has_pattern && regexec(&s->pattern, text.p, 0, NULL, 0) != 0) {
        wrong(w, "must match %s", s->pattern_text);
    } else if (s->format != NULL && !s->format(text)) {
        wrong(w, "is no %s", s->format_name);
    }
}

static void check_number(struct walk *w, const struct schema *s, const json_t *v)
{
    double d = json_number_value(v);

    if (s->has_minimum && d < s->minimum) {
        wrong(w, "is less than %.15g", s->minimum);
    } else if (s->has_maximum && d > s->maximum) {
        wrong(w, "is more than %.15g", s->maximum);
    }
}

static void check_unique(struct walk *w, const json_t *v)
{
    if (json_array_size(v) > UNIQUE_MAX) {
        wrong(w, "has more than %d items", UNIQUE_MAX);
        return;
    }
    for (size_t i = 1; i < json_array_size(v); i++) {
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_array_get(v, i), json_array_get(v, k))) {
                char at[24];
                snprintf(at, sizeof at, "%zu", i);
                size_t before = enter(w, at);
                wrong(w, "is in the list twice");
                w->n = before;
                return; /* one is enough: the list may be long */
            }
        }
    }
}

static void check_array(struct walk *w, const struct schema *s, const json_t *v)
{
    json_int_t n = (json_int_t)json_array_size(v);
    enum schema_mode mode = w->mode;

    if (s->max_items >= 0 && n > s->max_items) {
        wrong(w, "has more than %lld items", (long long)s->max_items);
        return;
    }
    if (s->min_items >= 0 && n < s->min_items) {
        wrong(w, "has less than %lld items", (long long)s->min_items);
    }
    w->mode = mode == SCHEMA_PATCH ? SCHEMA_WHOLE : mode; /* a list is exchanged as a whole */
    for (size_t i = 0; s->items != NULL && i < (size_t)n; i++) {
        char at[24];
        snprintf(at, sizeof at, "%zu", i);
        size_t before = enter(w, at);
        check(w, s->items, json_array_get(v, i));
        w->n = before;
    }
    w->mode = mode;
    if (s->unique) {
        check_unique(w, v);
    }
}

static const struct schema_property *property_of(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->properties; i++) {
        if (strcmp(s->property[i].name, name) == 0) {
            return &s->property[i];
        }
    }
    return NULL;
}

static bool is_read_only(const struct schema *s)
{
    return s->read_only || (s->ref != NULL && is_read_only(s->ref));
}

static void missing(struct walk *w, const char *name)
{
    size_t before = enter(w, name);

    wrong(w, "is required");
    w->n = before;
}

static void check_missing(struct walk *w, const struct schema *s, const json_t *v)
{
    for (size_t i = 0; i < s->properties; i++) {
        const struct schema_property *p = &s->property[i];
        if (p->required && json_object_get(v, p->name) == NULL &&
            (w->mode == SCHEMA_ANSWER || !is_read_only(p->schema))) {
            missing(w, p->name);
        }
    }
    for (size_t i = 0; s->wanted[i] != NULL; i++) {
        if (json_object_get(v, s->wanted[i]) == NULL) {
            missing(w, s->wanted[i]);
        }
    }
}

static void check_object(struct walk *w, const struct schema *s, const json_t *v)
{
    const char *name = NULL;
    json_t *field = NULL;
    bool is_request = w->mode == SCHEMA_WHOLE || w->mode == SCHEMA_PATCH;

    json_object_foreach((json_t *)(uintptr_t)v, name, field)
    {
        const struct schema_property *p = property_of(s, name);
        size_t before = enter(w, name);
        if (p == NULL) {
            if (s->closed && w->mode != SCHEMA_MERGED) {
                wrong(w, "there is no such field");
            }
        } else if (is_request && is_read_only(p->schema)) {
            wrong(w, "is set by the server");
        } else {
            check(w, p->schema, field);
        }
        w->n = before;
    }
    if (w->mode != SCHEMA_PATCH) {
        check_missing(w, s, v);
    }
}

/* Exactly one; in a patch, which may leave out what tells them apart, at least one. */
static void check_one_of(struct walk *w, const struct schema *s, const json_t *v)
{
    size_t fit = 0, best = 0, fewest = 0, count_of_fewest = 0;

    for (size_t i = 0; s->one_of[i] != NULL; i++) {
        size_t n = errors_of(w, s->one_of[i], v);
        fit += n == 0;
        if (i == 0 || n < fewest) {
            best = i;
            fewest = n;
            count_of_fewest = 1;
        } else if (n == fewest) {
            count_of_fewest++;
        }
    }
    if (fit == 0 && count_of_fewest == 1) {
        check(w, s->one_of[best], v); /* the nearest one tells what is wrong */
    } else if (fit == 0) {
        wrong(w, "is none of the forms that it may have");
    } else if (fit > 1 && w->mode != SCHEMA_PATCH) {
        wrong(w, "fits %zu forms where one is meant", fit);
    }
}

static bool is_choice(const json_t *choices, const json_t *v)
{
    size_t i = 0;
    const json_t *c = NULL;

    json_array_foreach(choices, i, c)
    {
        if (json_equal(c, v)) {
            return true;
        }
    }
    return false;
}

static void check_value(struct walk *w, const struct schema *s, const json_t *v)
{
    unsigned type = type_of(v);

    if (s->types != 0 && (type & s->types) == 0) {
        wrong_type(w, s->types);
        return;
    }
    if (s->choices != NULL && !is_choice(s->choices, v)) {
        wrong_choice(w, s->choices);
        return;
    }
    if (s->only != NULL && !json_equal(s->only, v)) {
        wrong(w, "is not the one value that it may have");
        return;
    }
    if (type == TYPE_STRING) {
        check_text(w, s, v);
    } else if (type == TYPE_ARRAY) {
        check_array(w, s, v);
    } else if (type == TYPE_OBJECT) {
        check_object(w, s, v);
    } else if ((type & TYPE_NUMBER) != 0) {
        check_number(w, s, v);
    }
}

static void check(struct walk *w, const struct schema *s, const json_t *v)
{
    if (w->depth >= DEPTH_MAX) {
        wrong(w, "is nested too deep");
        return;
    }
    w->depth++;
    if (s->ref != NULL) {
        check(w, s->ref, v);
    }
    check_value(w, s, v);
    for (size_t i = 0; s->all_of != NULL && s->all_of[i] != NULL; i++) {
        check(w, s->all_of[i], v);
    }
    if (s->one_of != NULL) {
        check_one_of(w, s, v);
    }
    w->depth--;
}

bool schema_check(const struct schema *s, const json_t *v, enum schema_mode mode,
                  struct schema_errors *out)
{
    struct walk w = {.mode = mode, .out = out};

    check(&w, s, v);
    return w.found == 0;
}

static unsigned types_of(const struct schema *s)
{
    return s->types != 0 || s->ref == NULL ? s->types : types_of(s->ref);
}

json_t *schema_value_of_text(const struct schema *s, const char *text)
{
    unsigned types = types_of(s);
    bool negative = text[0] == '-';
    uint64_t u = 0;

    if ((types & TYPE_INTEGER) != 0) {
        if (view_to_u64(view_of(text + negative), (uint64_t)1 << 53, &u) != E_OK) {
            return NULL;
        }
        return json_integer(negative ? -(json_int_t)u : (json_int_t)u);
    }
    if ((types & TYPE_BOOLEAN) != 0) {
        bool is_true = strcmp(text, "true") == 0;
        return is_true || strcmp(text, "false") == 0 ? json_boolean(is_true) : NULL;
    }
    return json_string(text); /* NULL: no UTF-8 */
}
