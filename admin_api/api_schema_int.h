/* admin_api/api_schema_int.h - the tree that api_schema.c makes and api_check.c walks. */
#ifndef ADMIN_API_API_SCHEMA_INT_H
#define ADMIN_API_API_SCHEMA_INT_H

#include <regex.h>
#include <stdint.h>

#include "admin_api/api_schema.h"
#include "base/view.h"

enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64
};

struct schema_property {
    const char *name;
    const struct schema *schema;
    bool required;
};

struct schema {
    struct schema *next; /* of all, to be freed */
    const struct schema *ref;
    const char *name;      /* in components, or NULL */
    unsigned types;        /* 0: any */
    const json_t *choices; /* enum */
    const json_t *only;    /* const */
    struct schema_property *property;
    size_t properties;
    const char *const *wanted; /* required, without a property of their own; NULL-terminated */
    bool closed, read_only, unique, has_pattern, has_minimum, has_maximum;
    regex_t pattern;
    const char *pattern_text;
    json_int_t min_length, max_length, min_items, max_items; /* -1: none */
    double minimum, maximum;
    const struct schema *items;
    const struct schema **one_of, **all_of; /* NULL-terminated, or NULL */
    bool (*format)(struct view text);
    const char *format_name;
};

/* The check of a format; NULL: none that we check. */
bool (*schema_format(const char *name))(struct view text);
size_t schema_characters(struct view utf8);

#endif
