/* admin_api/api_doc.h - the OpenAPI document as a table of operations: what a method and a path
 * mean, which parameters there are, what a body must be. Knows nothing of connections or databases.
 *
 * Ownership  an api_doc owns all that it hands out. Immutable once made.
 * Errors     api_doc_load: E_PARSE with `why` (the operation and what is wrong with it).
 * Threads    any, after api_doc_load(). */
#ifndef ADMIN_API_API_DOC_H
#define ADMIN_API_API_DOC_H

#include "admin_api/api.h"
#include "admin_api/api_schema.h"

#define API_BASE "/api/v1"

enum { API_GET, API_POST, API_PUT, API_PATCH, API_DELETE, API_METHODS };
enum { API_SEGMENTS_MAX = 12, API_FIELDS_MAX = 32, API_VALUE_MAX = 1024 };
enum api_db { API_DB_NONE, API_DB_READ, API_DB_WRITE };
enum api_body { API_BODY_NONE, API_BODY_JSON, API_BODY_PATCH };

struct api_field { /* parameter of path or query */
    const char *name;
    bool in_path, required;
    const struct schema *schema;
    char *otherwise; /* default, as text; NULL: none */
};

struct api_path;
struct api_op {
    const char *id;
    unsigned permission;
    enum api_db db;
    bool etag; /* GET: answers have one; others: they need one */
    bool idempotent, effect;
    enum api_body body_kind;
    bool body_required;
    const struct schema *body;
    struct api_field field[API_FIELDS_MAX];
    size_t fields;
    unsigned method; /* API_GET ... */
    const struct api_path *path;
    api_handler *handler;
};

struct api_path {
    const char *text; /* "/lines/{line_id}" */
    char *copy;       /* cut into segments */
    const char *segment[API_SEGMENTS_MAX];
    bool is_param[API_SEGMENTS_MAX];
    size_t n;
    struct api_op *op[API_METHODS];
};

/* Made by tools/bundle_api. */
struct view api_document(void);
extern const struct api_bind *const api_tables[]; /* NULL-terminated */

struct api_doc;
/* tables: NULL-terminated list of tables, each ended by an operation of NULL. */
MUST_CHECK enum err api_doc_load(struct view json, const struct api_bind *const *tables,
                                 struct api_doc **out, char *why, size_t why_bytes);
void api_doc_free(struct api_doc *d);
json_t *api_doc_json(const struct api_doc *d); /* borrowed */
/* Every operation, by index; NULL past the last. */
const struct api_op *api_doc_op(const struct api_doc *d, size_t i);
/* The path that a request means (as sent, percent-encoded); NULL: none. */
const struct api_path *api_doc_find(const struct api_doc *d, struct view path);
/* HEAD is GET. NULL: not this method. */
const struct api_op *api_path_op(const struct api_path *p, struct view method);
/* "GET, PATCH" */
void api_path_allow(const struct api_path *p, char *out, size_t bytes);

/* Values of an operation's fields, in their order; NULL: not given. */
struct api_values {
    char *v[API_FIELDS_MAX];
};
struct api_field_error {
    const char *name; /* of the document, or in `unknown` */
    bool in_path;
    char unknown[64];
    char detail[192];
};
/* E_PARSE: err says which; what is a path's fault is for 404. values: to be freed in either case.
 */
MUST_CHECK enum err api_values_read(const struct api_op *op, struct view path, struct view query,
                                    struct api_values *out, struct api_field_error *err);
void api_values_free(struct api_values *v);

/* The text of a body as JSON: no field twice, at most 32 deep, integers within 2^53, no NUL in a
 * text. E_PARSE: why says where. */
MUST_CHECK enum err api_json_read(struct view text, json_t **out, char *why, size_t why_bytes);

#endif
