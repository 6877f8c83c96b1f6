/* Schemas of the document, made into trees. */
#include "admin_api/api_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/api_schema_int.h"
#include "base/mem.h"

#define DEPTH_MAX  24
#define REF_PREFIX "#/components/schemas/"

struct schemas {
    const json_t *named; /* components/schemas */
    struct schema *all;
    char *why;
    size_t why_bytes;
};

struct maker {
    struct schemas *s;
    unsigned depth;
};

static enum err refuse(struct maker *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static enum err refuse(struct maker *m, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(m->s->why, m->s->why_bytes, fmt, ap);
    va_end(ap);
    return FAIL(E_PARSE);
}

static enum err make(struct maker *m, const json_t *j, const char *name, const struct schema **out);

static enum err make_ref(struct maker *m, const char *ref, const struct schema **out)
{
    const char *name = ref + sizeof REF_PREFIX - 1;

    if (strncmp(ref, REF_PREFIX, sizeof REF_PREFIX - 1) != 0) {
        return refuse(m, "$ref \"%s\" leads elsewhere", ref);
    }
    for (struct schema *s = m->s->all; s != NULL; s = s->next) {
        if (s->name != NULL && strcmp(s->name, name) == 0) {
            *out = s;
            return E_OK;
        }
    }
    const json_t *j = json_object_get(m->s->named, name);
    if (j == NULL) {
        return refuse(m, "$ref \"%s\" leads nowhere", ref);
    }
    return make(m, j, name, out);
}

static enum err one_type(struct maker *m, const json_t *j, unsigned *types)
{
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    const char *text = json_string_value(j);

    for (unsigned i = 0; text != NULL && i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            *types |= 1u << i;
            return E_OK;
        }
    }
    return refuse(m, "unknown type \"%s\"", text != NULL ? text : "?");
}

static enum err make_types(struct maker *m, const json_t *j, struct schema *s)
{
    size_t i = 0;
    const json_t *t = NULL;
    enum err e = E_OK;

    if (!json_is_array(j)) {
        return one_type(m, j, &s->types);
    }
    json_array_foreach(j, i, t)
    {
        TRY(one_type(m, t, &s->types));
    }
out:
    return e;
}

static enum err make_properties(struct maker *m, const json_t *j, struct schema *s)
{
    const char *name = NULL;
    json_t *v = NULL;
    enum err e = E_OK;

    if (json_object_size(j) == 0) {
        return E_OK;
    }
    s->property = mem_zalloc_array(json_object_size(j), sizeof *s->property);
    if (s->property == NULL) {
        return FAIL(E_NOMEM);
    }
    json_object_foreach((json_t *)(uintptr_t)j, name, v)
    {
        s->property[s->properties].name = name;
        TRY(make(m, v, NULL, &s->property[s->properties].schema));
        s->properties++;
    }
out:
    return e;
}

/* After the properties. */
static enum err make_required(struct maker *m, const json_t *j, struct schema *s)
{
    const char **wanted = mem_zalloc_array(json_array_size(j) + 1, sizeof *wanted);
    size_t i = 0, at = 0, n = 0;
    const json_t *v = NULL;

    if (wanted == NULL) {
        return FAIL(E_NOMEM);
    }
    s->wanted = wanted;
    json_array_foreach(j, i, v)
    {
        const char *name = json_string_value(v);
        if (name == NULL) {
            return refuse(m, "required names something that is no text");
        }
        for (at = 0; at < s->properties && strcmp(s->property[at].name, name) != 0; at++) {
        }
        if (at < s->properties) {
            s->property[at].required = true;
        } else {
            wanted[n++] = name;
        }
    }
    return E_OK;
}

static enum err make_list(struct maker *m, const json_t *j, const struct schema ***out)
{
    const struct schema **list = mem_zalloc_array(json_array_size(j) + 1, sizeof(void *));
    size_t i = 0;
    const json_t *v = NULL;
    enum err e = E_OK;

    if (list == NULL) {
        return FAIL(E_NOMEM);
    }
    *out = list;
    json_array_foreach(j, i, v)
    {
        TRY(make(m, v, NULL, &list[i]));
    }
out:
    return e;
}

static enum err make_text_rules(struct maker *m, const json_t *j, struct schema *s)
{
    const char *pattern = json_string_value(json_object_get(j, "pattern"));
    const char *format = json_string_value(json_object_get(j, "format"));

    if (pattern != NULL) {
        if (regcomp(&s->pattern, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
            return refuse(m, "pattern \"%s\" is no extended regular expression", pattern);
        }
        s->has_pattern = true;
        s->pattern_text = pattern;
    }
    if (format != NULL) {
        s->format = schema_format(format);
        s->format_name = format;
    }
    return E_OK;
}

static json_int_t count(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);

    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static void make_bounds(const json_t *j, struct schema *s)
{
    const json_t *low = json_object_get(j, "minimum"), *high = json_object_get(j, "maximum");

    s->min_length = count(j, "minLength");
    s->max_length = count(j, "maxLength");
    s->min_items = count(j, "minItems");
    s->max_items = count(j, "maxItems");
    s->has_minimum = json_is_number(low);
    s->has_maximum = json_is_number(high);
    s->minimum = json_number_value(low);
    s->maximum = json_number_value(high);
    s->unique = json_is_true(json_object_get(j, "uniqueItems"));
    s->closed = json_is_false(json_object_get(j, "additionalProperties"));
    s->read_only = json_is_true(json_object_get(j, "readOnly"));
    s->choices = json_object_get(j, "enum");
    s->only = json_object_get(j, "const");
}

static enum err make_body(struct maker *m, const json_t *j, struct schema *s)
{
    const json_t *v = NULL;
    enum err e = E_OK;

    make_bounds(j, s);
    if ((v = json_object_get(j, "$ref")) != NULL) {
        if (!json_is_string(v)) {
            TRY(refuse(m, "$ref is no text"));
        }
        TRY(make_ref(m, json_string_value(v), &s->ref));
    }
    if ((v = json_object_get(j, "type")) != NULL) {
        TRY(make_types(m, v, s));
    }
    if ((v = json_object_get(j, "properties")) != NULL) {
        TRY(make_properties(m, v, s));
    }
    TRY(make_required(m, json_object_get(j, "required"), s));
    if ((v = json_object_get(j, "items")) != NULL) {
        TRY(make(m, v, NULL, &s->items));
    }
    if ((v = json_object_get(j, "oneOf")) != NULL) {
        TRY(make_list(m, v, &s->one_of));
    }
    if ((v = json_object_get(j, "allOf")) != NULL) {
        TRY(make_list(m, v, &s->all_of));
    }
    TRY(make_text_rules(m, j, s));
out:
    return e;
}

/* Words that mean something to a schema and that we do not know must not pass in silence. */
static enum err only_known(struct maker *m, const json_t *j)
{
    static const char *const known[] = {
        "$ref",        "type",      "properties", "required",    "additionalProperties",
        "enum",        "const",     "pattern",    "minLength",   "maxLength",
        "minimum",     "maximum",   "items",      "minItems",    "maxItems",
        "uniqueItems", "oneOf",     "allOf",      "format",      "default",
        "readOnly",    "writeOnly", "title",      "description", "example",
        "examples",    "deprecated"};
    const char *name = NULL;
    json_t *v = NULL;

    json_object_foreach((json_t *)(uintptr_t)j, name, v)
    {
        bool is_known = strncmp(name, "x-", 2) == 0;
        for (size_t i = 0; i < sizeof known / sizeof *known && !is_known; i++) {
            is_known = strcmp(known[i], name) == 0;
        }
        if (!is_known) {
            return refuse(m, "\"%s\" is no word of a schema that this program knows", name);
        }
    }
    return E_OK;
}

static enum err make(struct maker *m, const json_t *j, const char *name, const struct schema **out)
{
    struct schema *s = NULL;
    enum err e = E_OK;

    if (!json_is_object(j)) {
        return refuse(m, "a schema is no object");
    }
    if (m->depth >= DEPTH_MAX) {
        return refuse(m, "schemas within schemas, more than %d", DEPTH_MAX);
    }
    s = mem_zalloc(sizeof *s);
    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->next = m->s->all; /* known before it is complete: it may lead back to itself */
    m->s->all = s;
    s->name = name;
    m->depth++;
    TRY(only_known(m, j));
    TRY(make_body(m, j, s));
    *out = s;
out:
    m->depth--;
    return e;
}

enum err schemas_new(const json_t *document, struct schemas **out)
{
    struct schemas *s = mem_zalloc(sizeof *s);

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->named = json_object_get(json_object_get(document, "components"), "schemas");
    *out = s;
    return E_OK;
}

void schemas_free(struct schemas *s)
{
    while (s != NULL && s->all != NULL) {
        struct schema *one = s->all;
        s->all = one->next;
        if (one->has_pattern) {
            regfree(&one->pattern);
        }
        mem_free(one->property);
        mem_free((void *)(uintptr_t)one->wanted);
        mem_free(one->one_of);
        mem_free(one->all_of);
        mem_free(one);
    }
    mem_free(s);
}

enum err schemas_add(struct schemas *s, const json_t *schema, const struct schema **out, char *why,
                     size_t why_bytes)
{
    struct maker m = {.s = s};

    s->why = why;
    s->why_bytes = why_bytes;
    return make(&m, schema, NULL, out);
}
