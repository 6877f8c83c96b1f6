/* What handlers read: parameters, fields of bodies. All of it was checked by the document. */
#include <string.h>

#include "admin_api/api_int.h"

const char *api_param(const struct api_request *r, const char *name)
{
    const struct api_call *c = api_call_of(r);

    for (size_t i = 0; i < c->op->fields; i++) {
        if (strcmp(c->op->field[i].name, name) == 0) {
            return c->values.v[i];
        }
    }
    return NULL;
}

uint64_t api_param_u64(const struct api_request *r, const char *name)
{
    uint64_t u = 0;

    return view_to_u64(view_of(api_param(r, name)), UINT64_MAX, &u) == E_OK ? u : 0;
}

struct view api_text(const json_t *body, const char *name)
{
    const json_t *v = json_object_get(body, name);

    return json_is_string(v) ? view_from(json_string_value(v), json_string_length(v)) : VIEW("");
}

bool api_bool(const json_t *body, const char *name, bool otherwise)
{
    const json_t *v = json_object_get(body, name);

    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

int64_t api_int(const json_t *body, const char *name, int64_t otherwise)
{
    const json_t *v = json_object_get(body, name);

    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

struct pg_param api_text_param(const json_t *body, const char *name)
{
    return json_is_string(json_object_get(body, name)) ? PG_TEXT(api_text(body, name)) : PG_NULL;
}

const struct api_cfg *api_cfg(const struct api *a)
{
    return &a->cfg;
}

json_t *api_openapi(const struct api *a)
{
    return api_doc_json(a->doc);
}
