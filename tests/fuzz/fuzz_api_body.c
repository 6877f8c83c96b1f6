/* Every body there is: the first line names an operation of the real document that takes one (or
 * some number of its octets picks one), the rest is that body. And schemas that are anybody's: with
 * the name "schema", the rest is a schema and a value, one on each line. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/api_doc_alone.h"

static struct {
    struct api_doc *doc;
    const struct api_op *op[1024];
    size_t n;
} t;

static void must(bool good)
{
    BUG_ON(!good);
}

static void begin(void)
{
    if (t.doc == NULL) {
        t.doc = api_doc_alone();
        for (size_t i = 0; api_doc_op(t.doc, i) != NULL && t.n < 1024; i++) {
            if (api_doc_op(t.doc, i)->body_kind != API_BODY_NONE) {
                t.op[t.n++] = api_doc_op(t.doc, i);
            }
        }
    }
}

static const struct api_op *picked(struct view name)
{
    size_t sum = 0;

    for (size_t i = 0; i < t.n; i++) {
        if (view_eq(name, view_of(t.op[i]->id))) {
            return t.op[i];
        }
    }
    for (size_t i = 0; i < name.n; i++) {
        sum = sum * 31 + (unsigned char)name.p[i];
    }
    return t.n > 0 ? t.op[sum % t.n] : NULL;
}

/* In each mode; what is good as a whole is good as a patch. */
static void check(const struct schema *s, const json_t *v)
{
    struct schema_errors errors = {0};
    bool whole = schema_check(s, v, SCHEMA_WHOLE, &errors);

    must(whole == (errors.n == 0));
    (void)schema_check(s, v, SCHEMA_ANSWER, NULL);
    bool patch = schema_check(s, v, SCHEMA_PATCH, NULL);
    must(patch || !whole);
    (void)schema_check(s, v, SCHEMA_MERGED, NULL);
}

static void any_schema(struct view text)
{
    char why[256] = "";
    size_t at = 0;
    json_t *schema = NULL, *value = NULL, *document = NULL;
    struct schemas *all = NULL;
    const struct schema *s = NULL;

    if (!view_find(text, '\n', &at) ||
        api_json_read(view_sub(text, 0, at), &schema, why, sizeof why) != E_OK) {
        return;
    }
    document = json_pack("{s:{s:{s:O}}}", "components", "schemas", "A", schema);
    must(document != NULL && schemas_new(document, &all) == E_OK);
    if (schemas_add(all, schema, &s, why, sizeof why) == E_OK &&
        api_json_read(view_sub(text, at + 1, text.n), &value, why, sizeof why) == E_OK) {
        struct schema_errors errors = {0};
        must(schema_check(s, value, SCHEMA_WHOLE, &errors) == (errors.n == 0));
        (void)schema_check(s, value, SCHEMA_PATCH, NULL);
        json_decref(value);
    }
    schemas_free(all);
    json_decref(document);
    json_decref(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_from(data, size), name, rest;
    char why[256];
    json_t *body = NULL;
    size_t at = 0;

    begin();
    if (!view_find(text, '\n', &at)) {
        return 0;
    }
    name = view_sub(text, 0, at);
    rest = view_sub(text, at + 1, text.n);
    if (view_eq(name, VIEW("schema"))) {
        any_schema(rest);
    } else if (api_json_read(rest, &body, why, sizeof why) == E_OK) {
        const struct api_op *op = picked(name);
        if (op != NULL) {
            check(op->body, body);
        }
        json_decref(body);
    } else {
        must(why[0] != 0);
    }
    return 0;
}
