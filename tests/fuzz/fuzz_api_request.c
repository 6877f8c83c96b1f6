/* A request as it comes off the wire, through the engine's reading of it, with the real document
 * and without a database: "METHOD target\nbody". Whatever it is, there is an operation or not,
 * values that the document allows or an error that names the parameter, a body that fits or
 * pointers to what does not. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/api_doc_alone.h"

static struct api_doc *doc;

static void must(bool good)
{
    BUG_ON(!good);
}

static void begin(void)
{
    if (doc == NULL) {
        doc = api_doc_alone();
    }
}

static void body_of(const struct api_op *op, struct view body)
{
    char why[256];
    struct schema_errors errors = {0};
    json_t *j = NULL;
    bool is_patch = op->body_kind == API_BODY_PATCH;

    if (op->body_kind == API_BODY_NONE || api_json_read(body, &j, why, sizeof why) != E_OK) {
        return;
    }
    if (schema_check(op->body, j, is_patch ? SCHEMA_PATCH : SCHEMA_WHOLE, &errors)) {
        must(errors.n == 0);
        json_t *empty = json_object(), *merged = api_merge(empty, j); /* as If-Match would */
        must(merged != NULL);
        json_decref(empty);
        (void)schema_check(op->body, merged, SCHEMA_MERGED, &errors);
        json_decref(merged);
    } else {
        must(errors.n > 0 && errors.n <= SCHEMA_ERRORS_MAX);
        for (size_t i = 0; i < errors.n; i++) {
            json_t *text = json_string(errors.e[i].detail); /* what goes out is UTF-8 */
            must(text != NULL && (errors.e[i].pointer[0] == 0 || errors.e[i].pointer[0] == '/'));
            json_decref(text);
        }
    }
    json_decref(j);
}

static void values_of(const struct api_op *op, struct view path, struct view query)
{
    struct api_values values = {0};
    struct api_field_error err = {0};
    enum err e = api_values_read(op, path, query, &values, &err);

    must(e == E_OK || e == E_PARSE);
    if (e == E_PARSE) {
        json_t *text = json_string(err.name);
        must(text != NULL && err.detail[0] != 0);
        json_decref(text);
    }
    for (size_t i = 0; e == E_OK && i < op->fields; i++) {
        must(values.v[i] != NULL || !op->field[i].required);
    }
    api_values_free(&values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_from(data, size), line, method, path, query = VIEW("");
    char allow[64];
    size_t at = 0;

    begin();
    if (!view_find(text, '\n', &at)) {
        return 0;
    }
    line = view_sub(text, 0, at);
    text = view_sub(text, at + 1, text.n);
    if (!view_find(line, ' ', &at)) {
        return 0;
    }
    method = view_sub(line, 0, at);
    path = view_sub(line, at + 1, line.n);
    if (view_find(path, '?', &at)) {
        query = view_sub(path, at + 1, path.n);
        path = view_sub(path, 0, at);
    }
    const struct api_path *found = api_doc_find(doc, path);
    if (found == NULL) {
        return 0;
    }
    const struct api_op *op = api_path_op(found, method);
    api_path_allow(found, allow, sizeof allow);
    must(allow[0] != 0);
    if (op != NULL) {
        values_of(op, path, query);
        body_of(op, text);
    }
    return 0;
}
