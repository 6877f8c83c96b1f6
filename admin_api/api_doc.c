/* The document read: paths, operations, what binds them to handlers. */
#include "admin_api/api_doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const METHODS[API_METHODS] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
static const char *const WORDS[API_METHODS] = {"get", "post", "put", "patch", "delete"};

struct api_doc {
    json_t *json;
    struct schemas *schemas;
    struct api_path *path;
    size_t paths;
    struct api_op *op;
    size_t ops;
};

struct loader {
    struct api_doc *d;
    const struct api_bind *const *tables;
    char *why;
    size_t why_bytes;
};

static enum err refuse(struct loader *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static enum err refuse(struct loader *l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(l->why, l->why_bytes, fmt, ap);
    va_end(ap);
    return FAIL(E_PARSE);
}

static const char *text_of(const json_t *j, const char *name)
{
    const char *s = json_string_value(json_object_get(j, name));

    return s != NULL ? s : "";
}

/* "#/components/KIND/NAME" or the thing itself. */
static const json_t *resolve(const struct loader *l, const json_t *j, const char *kind)
{
    const char *ref = json_string_value(json_object_get(j, "$ref"));
    char prefix[48];
    int n = snprintf(prefix, sizeof prefix, "#/components/%s/", kind);

    if (ref == NULL) {
        return j;
    }
    if (strncmp(ref, prefix, (size_t)n) != 0) {
        return NULL;
    }
    return json_object_get(json_object_get(json_object_get(l->d->json, "components"), kind),
                           ref + n);
}

/* ---- parameters --------------------------------------------------------------------------------
 */
static enum err read_default(struct loader *l, const struct api_op *op, const json_t *schema,
                             struct api_field *f)
{
    const json_t *v = json_object_get(schema, "default");

    if (v == NULL) {
        return E_OK;
    }
    f->otherwise = json_is_string(v) ? mem_strdup(json_string_value(v)) : NULL;
    if (!json_is_string(v)) {
        char *dump = json_dumps(v, JSON_ENCODE_ANY);
        f->otherwise = dump != NULL ? mem_strdup(dump) : NULL;
        free(dump); /* jansson allocated it */
    }
    return f->otherwise != NULL ? E_OK : refuse(l, "%s: default of %s", op->id, f->name);
}

static enum err read_field(struct loader *l, struct api_op *op, const json_t *given)
{
    const json_t *j = resolve(l, given, "parameters");
    struct api_field *f = &op->field[op->fields];
    char why[160] = "";

    if (j == NULL) {
        return refuse(l, "%s: a parameter's $ref leads nowhere", op->id);
    }
    const char *in = text_of(j, "in");
    if (strcmp(in, "header") == 0) {
        return E_OK; /* the engine's own: If-Match, Idempotency-Key, Last-Event-ID */
    }
    if (op->fields >= API_FIELDS_MAX || (strcmp(in, "path") != 0 && strcmp(in, "query") != 0)) {
        return refuse(l, "%s: parameter %s: too many, or neither in path, query nor header", op->id,
                      text_of(j, "name"));
    }
    op->fields++;
    f->name = text_of(j, "name");
    f->in_path = strcmp(in, "path") == 0;
    f->required = json_is_true(json_object_get(j, "required"));
    if (schemas_add(l->d->schemas, json_object_get(j, "schema"), &f->schema, why, sizeof why) !=
        E_OK) {
        return refuse(l, "%s: parameter %s: %s", op->id, f->name, why);
    }
    return read_default(l, op, json_object_get(j, "schema"), f);
}

static enum err read_fields(struct loader *l, struct api_op *op, const json_t *list)
{
    size_t i = 0;
    const json_t *j = NULL;
    enum err e = E_OK;

    json_array_foreach(list, i, j)
    {
        TRY(read_field(l, op, j));
    }
out:
    return e;
}

/* The path's parameters and the operation's tell the same story. */
static enum err check_path_fields(struct loader *l, const struct api_op *op)
{
    size_t declared = 0, used = 0;

    for (size_t i = 0; i < op->fields; i++) {
        declared += op->field[i].in_path;
    }
    for (size_t s = 0; s < op->path->n; s++) {
        bool found = !op->path->is_param[s];
        used += op->path->is_param[s];
        for (size_t i = 0; i < op->fields && !found; i++) {
            found = op->field[i].in_path && strcmp(op->field[i].name, op->path->segment[s]) == 0;
        }
        if (!found) {
            return refuse(l, "%s: {%s} of its path is no parameter", op->id, op->path->segment[s]);
        }
    }
    return declared == used ? E_OK : refuse(l, "%s: a path parameter that its path lacks", op->id);
}

/* ---- one operation -----------------------------------------------------------------------------
 */
static enum err read_body(struct loader *l, struct api_op *op, const json_t *given)
{
    const json_t *j = resolve(l, given, "requestBodies");
    const json_t *content = json_object_get(j, "content");
    const json_t *media = json_object_get(content, "application/json");
    char why[160] = "";

    if (given == NULL) {
        return E_OK;
    }
    op->body_kind = API_BODY_JSON;
    if (media == NULL) {
        media = json_object_get(content, "application/merge-patch+json");
        op->body_kind = API_BODY_PATCH;
    }
    op->body_required = json_is_true(json_object_get(j, "required"));
    if (schemas_add(l->d->schemas, json_object_get(media, "schema"), &op->body, why, sizeof why) !=
        E_OK) {
        return refuse(l, "%s: requestBody: %s", op->id, why);
    }
    return E_OK;
}

static enum err read_rights(struct loader *l, struct api_op *op, const json_t *j)
{
    const char *permission = text_of(j, "x-permission"), *db = text_of(j, "x-database");

    if (!permission_find(view_of(permission), &op->permission)) {
        return refuse(l, "%s: x-permission \"%s\" is none", op->id, permission);
    }
    if (strcmp(db, "none") != 0 && strcmp(db, "read") != 0 && strcmp(db, "write") != 0) {
        return refuse(l, "%s: x-database \"%s\" is not none, read or write", op->id, db);
    }
    op->db = db[0] == 'n' ? API_DB_NONE : db[0] == 'r' ? API_DB_READ : API_DB_WRITE;
    op->idempotent = json_is_true(json_object_get(j, "x-idempotent"));
    op->effect = json_is_true(json_object_get(j, "x-effect"));
    if (op->idempotent && op->db != API_DB_WRITE) {
        return refuse(l, "%s: x-idempotent needs x-database: write", op->id);
    }
    return E_OK;
}

static enum err bind_op(struct loader *l, struct api_op *op)
{
    for (size_t t = 0; l->tables[t] != NULL; t++) {
        for (const struct api_bind *b = l->tables[t]; b->operation != NULL; b++) {
            if (strcmp(b->operation, op->id) == 0) {
                if (op->handler != NULL) {
                    return refuse(l, "operation %s has two handlers", op->id);
                }
                op->handler = b->handler;
            }
        }
    }
    return op->handler != NULL ? E_OK : refuse(l, "operation %s has no handler", op->id);
}

static enum err read_op(struct loader *l, struct api_path *p, size_t method, const json_t *shared,
                        const json_t *j)
{
    struct api_op *op = &l->d->op[l->d->ops++];
    enum err e = E_OK;

    p->op[method] = op;
    op->path = p;
    op->method = (unsigned)method;
    op->id = text_of(j, "operationId");
    TRY(op->id[0] != 0 ? E_OK : refuse(l, "%s %s: no operationId", METHODS[method], p->text));
    for (size_t i = 0; i + 1 < l->d->ops; i++) {
        TRY(strcmp(l->d->op[i].id, op->id) != 0 ? E_OK : refuse(l, "two operations %s", op->id));
    }
    TRY(read_rights(l, op, j));
    TRY(read_fields(l, op, shared));
    TRY(read_fields(l, op, json_object_get(j, "parameters")));
    TRY(check_path_fields(l, op));
    TRY(read_body(l, op, json_object_get(j, "requestBody")));
    TRY(bind_op(l, op));
out:
    return e;
}

/* ---- paths -------------------------------------------------------------------------------------
 */
static enum err cut_path(struct loader *l, struct api_path *p, const char *text)
{
    p->text = text;
    p->copy = mem_strdup(text);
    if (p->copy == NULL) {
        return FAIL(E_NOMEM);
    }
    if (text[0] != '/') {
        return refuse(l, "path %s does not begin with /", text);
    }
    for (char *at = p->copy; at != NULL;) {
        char *segment = at + 1;
        size_t n = strcspn(segment, "/");
        if (n == 0 || p->n >= API_SEGMENTS_MAX) {
            return refuse(l, "path %s: an empty segment, or too many", text);
        }
        at = segment[n] == '/' ? segment + n : NULL;
        segment[n] = 0;
        p->is_param[p->n] = segment[0] == '{' && segment[n - 1] == '}';
        if (p->is_param[p->n]) {
            segment[n - 1] = 0;
            segment++;
        }
        p->segment[p->n++] = segment;
    }
    return E_OK;
}

/* x-etag of GET goes for what changes the same thing, unless that says otherwise. GET came first.
 */
static enum err read_etag(struct loader *l, const struct api_path *p, struct api_op *op,
                          const json_t *j)
{
    const json_t *own = json_object_get(j, "x-etag");
    const struct api_op *get = p->op[API_GET];
    bool changes = op->method != API_GET && op->method != API_POST;

    op->etag = own != NULL ? json_is_true(own) : changes && get != NULL && get->etag;
    if (op->etag && changes && (get == NULL || get->db == API_DB_NONE || op->db != API_DB_WRITE)) {
        return refuse(l, "%s: x-etag needs a GET with a database, and x-database: write", op->id);
    }
    return E_OK;
}

static enum err read_path(struct loader *l, const char *text, const json_t *j)
{
    struct api_path *p = &l->d->path[l->d->paths++];
    enum err e = E_OK;

    TRY(cut_path(l, p, text));
    for (size_t m = 0; m < API_METHODS; m++) {
        const json_t *op = json_object_get(j, WORDS[m]);
        if (op != NULL) {
            TRY(read_op(l, p, m, json_object_get(j, "parameters"), op));
            TRY(read_etag(l, p, p->op[m], op));
        }
    }
out:
    return e;
}

static enum err read_paths(struct loader *l, const json_t *paths)
{
    const char *text = NULL;
    json_t *j = NULL;
    enum err e = E_OK;

    l->d->path = mem_zalloc_array(json_object_size(paths) + 1, sizeof *l->d->path);
    l->d->op = mem_zalloc_array((json_object_size(paths) + 1) * API_METHODS, sizeof *l->d->op);
    if (l->d->path == NULL || l->d->op == NULL) {
        return FAIL(E_NOMEM);
    }
    json_object_foreach((json_t *)(uintptr_t)paths, text, j)
    {
        TRY(read_path(l, text, j));
    }
out:
    return e;
}

static enum err every_handler_bound(struct loader *l)
{
    for (size_t t = 0; l->tables[t] != NULL; t++) {
        for (const struct api_bind *b = l->tables[t]; b->operation != NULL; b++) {
            bool found = false;
            for (size_t i = 0; i < l->d->ops && !found; i++) {
                found = strcmp(l->d->op[i].id, b->operation) == 0;
            }
            if (!found) {
                return refuse(l, "handler %s has no operation", b->operation);
            }
        }
    }
    return E_OK;
}

enum err api_doc_load(struct view json, const struct api_bind *const *tables, struct api_doc **out,
                      char *why, size_t why_bytes)
{
    struct loader l = {.tables = tables, .why = why, .why_bytes = why_bytes};
    json_error_t at;
    enum err e = E_OK;

    why[0] = 0;
    l.d = mem_zalloc(sizeof *l.d);
    TRY(l.d != NULL ? E_OK : FAIL(E_NOMEM));
    l.d->json = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &at);
    if (l.d->json == NULL) {
        TRY(refuse(&l, "the document is no JSON: %s", at.text));
    }
    TRY(schemas_new(l.d->json, &l.d->schemas));
    TRY(read_paths(&l, json_object_get(l.d->json, "paths")));
    TRY(every_handler_bound(&l));
    *out = l.d;
    return E_OK;
out:
    if (why[0] == 0) {
        snprintf(why, why_bytes, "%s", err_text(e));
    }
    api_doc_free(l.d);
    return e;
}

void api_doc_free(struct api_doc *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->paths; i++) {
        mem_free(d->path[i].copy);
    }
    for (size_t i = 0; i < d->ops; i++) {
        for (size_t f = 0; f < d->op[i].fields; f++) {
            mem_free(d->op[i].field[f].otherwise);
        }
    }
    schemas_free(d->schemas);
    mem_free(d->path);
    mem_free(d->op);
    json_decref(d->json);
    mem_free(d);
}

json_t *api_doc_json(const struct api_doc *d)
{
    return d->json;
}

const struct api_op *api_doc_op(const struct api_doc *d, size_t i)
{
    return i < d->ops ? &d->op[i] : NULL;
}

/* ---- finding -----------------------------------------------------------------------------------
 */
static bool next_segment(struct view *rest, struct view *segment)
{
    size_t at = 0;

    if (rest->n == 0 || rest->p[0] != '/') {
        return false;
    }
    *rest = view_sub(*rest, 1, rest->n);
    if (!view_find(*rest, '/', &at)) {
        at = rest->n;
    }
    *segment = view_sub(*rest, 0, at);
    *rest = view_sub(*rest, at, rest->n);
    return true;
}

/* How well a path fits: 0 not at all, else the higher the more of its words are literal, those at
 * the beginning first. */
static unsigned fit(const struct api_path *p, struct view rest)
{
    struct view segment;
    unsigned score = 1;

    for (size_t i = 0; i < p->n; i++) {
        if (!next_segment(&rest, &segment) || segment.n == 0) {
            return 0;
        }
        if (!p->is_param[i] && !view_eq(segment, view_of(p->segment[i]))) {
            return 0;
        }
        score = score * 2 + !p->is_param[i];
    }
    return rest.n == 0 ? score : 0;
}

const struct api_path *api_doc_find(const struct api_doc *d, struct view path)
{
    const struct api_path *best = NULL;
    unsigned most = 0;

    if (!view_starts(path, VIEW(API_BASE "/"))) {
        return NULL;
    }
    path = view_sub(path, sizeof API_BASE - 1, path.n);
    for (size_t i = 0; i < d->paths; i++) {
        unsigned score = fit(&d->path[i], path);
        if (score > most) {
            most = score;
            best = &d->path[i];
        }
    }
    return best;
}

const struct api_op *api_path_op(const struct api_path *p, struct view method)
{
    for (size_t m = 0; m < API_METHODS; m++) {
        if (view_eq(method, view_of(METHODS[m]))) {
            return p->op[m];
        }
    }
    return view_eq(method, VIEW("HEAD")) ? p->op[0] : NULL;
}

void api_path_allow(const struct api_path *p, char *out, size_t bytes)
{
    size_t n = 0;

    out[0] = 0;
    for (size_t m = 0; m < API_METHODS; m++) {
        if (p->op[m] != NULL && n < bytes) {
            n += (size_t)snprintf(out + n, bytes - n, "%s%s%s", n > 0 ? ", " : "", METHODS[m],
                                  m == 0 ? ", HEAD" : "");
        }
    }
}
