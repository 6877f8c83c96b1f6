/* Entity tags: what a representation hashes to, with its names in order. */
#include <stdlib.h>
#include <string.h>

#include "admin_api/api_int.h"

bool api_etag_of(const json_t *body, char out[API_ETAG_MAX])
{
    uint8_t hash[SHA256_BYTES];
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    bool good = text != NULL && sha256(view_of(text), hash) == E_OK;

    free(text); /* jansson allocated it */
    if (good) {
        out[0] = '"';
        hex_put(hash, 16, out + 1);
        memcpy(out + 33, "\"", 2);
    }
    return good;
}

bool api_etag_in(struct view list, const char *etag, bool weak_too)
{
    list = view_trim(list);
    if (view_eq(list, VIEW("*"))) {
        return true;
    }
    while (list.n > 0) { /* a tag of ours holds no comma */
        size_t at = 0;
        if (!view_find(list, ',', &at)) {
            at = list.n;
        }
        struct view one = view_trim(view_sub(list, 0, at));
        if (weak_too && view_starts(one, VIEW("W/"))) {
            one = view_sub(one, 2, one.n);
        }
        if (view_eq(one, view_of(etag))) {
            return true;
        }
        list = view_sub(list, at + 1, list.n);
    }
    return false;
}
