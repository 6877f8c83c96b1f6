/* tests/unit/vectors.h - reads tests/vectors/<name>.json (docs/protocol.md section 17) for unit
 * tests.
 *
 * Shape      vectors_load(), then VECTORS_EACH over the cases; octets live until the next case.
 * Include after cmocka.h: whatever is missing or malformed fails the test. Tests run with the top
 * of the source tree as their working folder. */
#ifndef TESTS_UNIT_VECTORS_H
#define TESTS_UNIT_VECTORS_H

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/view.h"

struct vectors {
    json_t *root, *cases;
    size_t at;        /* the case that is looked at */
    const char *name; /* of that case */
    json_t *in, *out; /* of that case */
    uint8_t heap[1 << 18];
    size_t used;
};

static inline void vectors_load(struct vectors *v, const char *name)
{
    char path[128];
    json_error_t error;
    memset(v, 0, sizeof *v);
    (void)snprintf(path, sizeof path, "tests/vectors/%s.json", name);
    v->root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!v->root) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    v->cases = json_object_get(v->root, "cases");
    assert_true(json_array_size(v->cases) > 0);
}

static inline void vectors_free(struct vectors *v)
{
    json_decref(v->root);
    v->root = NULL;
}

static inline bool vectors_case(struct vectors *v)
{
    json_t *c = json_array_get(v->cases, v->at);
    v->used = 0;
    v->name = json_string_value(json_object_get(c, "name"));
    v->in = json_object_get(c, "in");
    v->out = json_object_get(c, "out");
    assert_true(!c || (v->name && json_is_object(v->in) && json_is_object(v->out)));
    return c != NULL;
}

#define VECTORS_EACH(v) for (; vectors_case(v); (v)->at++)

/* Goes to the case of that name. */
static inline void vectors_find(struct vectors *v, const char *name)
{
    for (v->at = 0; vectors_case(v); v->at++) {
        if (strcmp(v->name, name) == 0) {
            return;
        }
    }
    fail_msg("no case %s", name);
}

static inline json_t *vector_get(const struct vectors *v, json_t *o, const char *key)
{
    json_t *value = json_object_get(o, key);
    if (!value) {
        fail_msg("%s: no %s", v->name, key);
    }
    return value;
}

static inline const char *vector_text(const struct vectors *v, json_t *o, const char *key)
{
    const char *text = json_string_value(vector_get(v, o, key));
    assert_non_null(text);
    return text;
}

static inline struct view vector_hex(struct vectors *v, const char *hex)
{
    assert_non_null(hex);
    size_t n = strlen(hex) / 2;
    uint8_t *b = v->heap + v->used;
    assert_true(strlen(hex) % 2 == 0 && n <= sizeof v->heap - v->used);
    assert_int_equal(hex_get(view_of(hex), b, n), E_OK);
    v->used += n;
    return view_from(b, n);
}

static inline struct view vector_octets(struct vectors *v, json_t *o, const char *key)
{
    return vector_hex(v, vector_text(v, o, key));
}

/* Exactly n octets. */
static inline const uint8_t *vector_fixed(struct vectors *v, json_t *o, const char *key, size_t n)
{
    struct view octets = vector_octets(v, o, key);
    assert_int_equal(octets.n, n);
    return (const uint8_t *)octets.p;
}

static inline void vector_secret(struct vectors *v, json_t *o, const char *key, struct secret *out)
{
    struct view octets = vector_octets(v, o, key);
    assert_int_equal(secret_set(out, octets.p, octets.n), E_OK);
}

/* A decimal number in a string, or a JSON number. */
static inline uint64_t vector_u64(const struct vectors *v, json_t *o, const char *key)
{
    json_t *value = vector_get(v, o, key);
    uint64_t u = 0;
    if (json_is_integer(value)) {
        return (uint64_t)json_integer_value(value);
    }
    assert_int_equal(view_to_u64(view_of(json_string_value(value)), UINT64_MAX, &u), E_OK);
    return u;
}

/* Fails with case and name of the value when the octets are not those of the vector. */
static inline void vector_same_hex(struct vectors *v, const char *what, struct view got,
                                   const char *hex)
{
    struct view want = vector_hex(v, hex);
    size_t at = 0;
    while (at < got.n && at < want.n && got.p[at] == want.p[at]) {
        at++;
    }
    if (got.n != want.n || at != want.n) {
        fail_msg("%s: %s differs at octet %zu of %zu (have %zu)", v->name, what, at, want.n, got.n);
    }
}

static inline void vector_same(struct vectors *v, const char *key, const void *p, size_t n)
{
    vector_same_hex(v, key, view_from(p, n), vector_text(v, v->out, key));
}

static inline void vector_same_secret(struct vectors *v, const char *key, const struct secret *s)
{
    vector_same(v, key, s->b, s->n);
}

#endif
