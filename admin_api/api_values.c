/* Parameters of path and query, and the text of a body. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/api_doc.h"
#include "base/mem.h"

#define JSON_DEPTH_MAX 32
#define JSON_WHOLE_MAX ((json_int_t)1 << 53)

static enum err refuse(struct api_field_error *err, const char *name, bool in_path, const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));
static enum err refuse(struct api_field_error *err, const char *name, bool in_path, const char *fmt,
                       ...)
{
    va_list ap;

    err->name = name;
    err->in_path = in_path;
    va_start(ap, fmt);
    vsnprintf(err->detail, sizeof err->detail, fmt, ap);
    va_end(ap);
    return FAIL(E_PARSE);
}

/* Percent-decoded; '+' is itself (RFC 3986; an E.164 number begins with it). NULL: malformed, too
 * long, or it holds a control. */
static char *decode(struct view v)
{
    char *to = v.n <= (size_t)3 * API_VALUE_MAX ? mem_zalloc(v.n + 1) : NULL;
    size_t n = 0;

    for (size_t i = 0; to != NULL && i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c == '%') {
            if (i + 2 >= v.n || hex_get(view_sub(v, i + 1, 2), &c, 1) != E_OK) {
                mem_free(to);
                return NULL;
            }
            i += 2;
        }
        if (c < 0x20 || c == 0x7F || n >= API_VALUE_MAX) {
            mem_free(to);
            return NULL;
        }
        to[n++] = (char)c;
    }
    return to;
}

static enum err check_value(const struct api_field *f, const char *text,
                            struct api_field_error *err)
{
    static const char *const what = "is no value of its kind";
    struct schema_errors errors = {0};
    json_t *v = schema_value_of_text(f->schema, text);

    if (v == NULL) {
        return refuse(err, f->name, f->in_path, "%s", what);
    }
    bool good = schema_check(f->schema, v, SCHEMA_ANSWER, &errors);
    json_decref(v);
    return good ? E_OK : refuse(err, f->name, f->in_path, "%s", errors.e[0].detail);
}

static enum err take(const struct api_op *op, size_t i, struct view coded, struct api_values *out,
                     struct api_field_error *err)
{
    const struct api_field *f = &op->field[i];

    if (out->v[i] != NULL) {
        return refuse(err, f->name, f->in_path, "is given twice");
    }
    out->v[i] = decode(coded);
    if (out->v[i] == NULL) {
        return refuse(err, f->name, f->in_path, "is not well encoded, or too long");
    }
    return check_value(f, out->v[i], err);
}

static enum err read_path(const struct api_op *op, struct view path, struct api_values *out,
                          struct api_field_error *err)
{
    enum err e = E_OK;
    struct view rest = view_sub(path, sizeof API_BASE - 1, path.n);

    for (size_t s = 0; s < op->path->n; s++) {
        size_t at = 0;
        rest = view_sub(rest, 1, rest.n);
        if (!view_find(rest, '/', &at)) {
            at = rest.n;
        }
        for (size_t i = 0; op->path->is_param[s] && i < op->fields; i++) {
            if (op->field[i].in_path && strcmp(op->field[i].name, op->path->segment[s]) == 0) {
                TRY(take(op, i, view_sub(rest, 0, at), out, err));
            }
        }
        rest = view_sub(rest, at, rest.n);
    }
out:
    return e;
}

static enum err read_pair(const struct api_op *op, struct view pair, struct api_values *out,
                          struct api_field_error *err)
{
    size_t at = pair.n;

    if (!view_find(pair, '=', &at)) {
        at = pair.n;
    }
    char *name = decode(view_sub(pair, 0, at));
    for (size_t i = 0; name != NULL && i < op->fields; i++) {
        if (!op->field[i].in_path && strcmp(op->field[i].name, name) == 0) {
            mem_free(name);
            return take(op, i, view_sub(pair, at + 1, pair.n), out, err);
        }
    }
    if (name != NULL) {
        snprintf(err->unknown, sizeof err->unknown, "%s", name);
    }
    mem_free(name);
    /* half a character at the end of what was cut is none of JSON's */
    for (char *c = err->unknown; *c != 0; c++) {
        *c = (unsigned char)*c > 0x7E ? '?' : *c;
    }
    return refuse(err, err->unknown, false, "there is no such parameter");
}

static enum err read_query(const struct api_op *op, struct view query, struct api_values *out,
                           struct api_field_error *err)
{
    enum err e = E_OK;

    while (query.n > 0) {
        size_t at = 0;
        if (!view_find(query, '&', &at)) {
            at = query.n;
        }
        if (at > 0) {
            TRY(read_pair(op, view_sub(query, 0, at), out, err));
        }
        query = view_sub(query, at + 1, query.n);
    }
out:
    return e;
}

enum err api_values_read(const struct api_op *op, struct view path, struct view query,
                         struct api_values *out, struct api_field_error *err)
{
    enum err e = E_OK;

    TRY(read_path(op, path, out, err));
    TRY(read_query(op, query, out, err));
    for (size_t i = 0; i < op->fields; i++) {
        const struct api_field *f = &op->field[i];
        if (out->v[i] == NULL && f->otherwise != NULL) {
            out->v[i] = mem_strdup(f->otherwise);
            TRY(out->v[i] != NULL ? E_OK : FAIL(E_NOMEM));
        }
        if (out->v[i] == NULL && f->required) {
            TRY(refuse(err, f->name, f->in_path, "is required"));
        }
    }
out:
    return e;
}

void api_values_free(struct api_values *v)
{
    for (size_t i = 0; i < API_FIELDS_MAX; i++) {
        mem_free(v->v[i]);
        v->v[i] = NULL;
    }
}

/* ---- JSON --------------------------------------------------------------------------------------
 */
/* Before anything is built of it: what nests deep would cost the parser's stack. */
static bool is_deep(struct view text)
{
    unsigned depth = 0;
    bool in_text = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_text) {
            i += c == '\\';
            in_text = c != '"';
        } else if (c == '"') {
            in_text = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX) {
                return true;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static bool is_too_big(const json_t *v)
{
    const char *name = NULL;
    json_t *one = NULL;
    size_t i = 0;

    if (json_is_integer(v)) {
        return json_integer_value(v) > JSON_WHOLE_MAX || json_integer_value(v) < -JSON_WHOLE_MAX;
    }
    json_array_foreach(v, i, one)
    {
        if (is_too_big(one)) {
            return true;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)v, name, one)
    {
        if (is_too_big(one)) {
            return true;
        }
    }
    return false;
}

enum err api_json_read(struct view text, json_t **out, char *why, size_t why_bytes)
{
    json_error_t at;

    if (is_deep(text)) {
        snprintf(why, why_bytes, "nested deeper than %d", JSON_DEPTH_MAX);
        return FAIL(E_PARSE);
    }
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    if (j == NULL) { /* up to " near": what follows is the body's, and may be a password */
        const char *near = strstr(at.text, " near ");
        snprintf(why, why_bytes, "line %d, column %d: %.*s", at.line, at.column,
                 (int)(near != NULL ? near - at.text : (ptrdiff_t)strlen(at.text)), at.text);
        return FAIL(E_PARSE);
    }
    if (is_too_big(j)) {
        json_decref(j);
        snprintf(why, why_bytes, "an integer beyond 2^53");
        return FAIL(E_PARSE);
    }
    *out = j;
    return E_OK;
}
