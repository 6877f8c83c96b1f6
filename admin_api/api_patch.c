/* JSON merge patch (RFC 7396 section 2). The patch is at most as deep as a body may be. */
#include "admin_api/api_int.h"

json_t *api_merge(const json_t *target, const json_t *patch)
{
    const char *name = NULL;
    json_t *v = NULL;

    if (!json_is_object(patch)) {
        return json_deep_copy(patch);
    }
    json_t *out = json_is_object(target) ? json_deep_copy(target) : json_object();
    json_object_foreach((json_t *)(uintptr_t)patch, name, v)
    {
        if (out == NULL) {
            return NULL;
        }
        if (json_is_null(v)) {
            (void)json_object_del(out, name);
        } else if (json_object_set_new(out, name, api_merge(json_object_get(out, name), v)) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}
