/* Cursors: where a list goes on, with a MAC over that, the operation and its filters. */
#include <string.h>

#include "admin_api/api_int.h"

#define MAC_BYTES 16

/* limit may change on the way; filters must not. */
static bool mac_of(const struct api_request *r, struct view key, uint8_t out[SHA256_BYTES])
{
    const struct api_call *c = api_call_of(r);
    struct view parts[2 * API_FIELDS_MAX + 3];
    struct hmac_key mac;
    size_t n = 0;

    parts[n++] = view_from(c->op->id, strlen(c->op->id) + 1);
    for (size_t i = 0; i < c->op->fields; i++) {
        const char *name = c->op->field[i].name, *v = c->values.v[i];
        if (v != NULL && strcmp(name, "cursor") != 0 && strcmp(name, "limit") != 0) {
            parts[n++] = view_from(name, strlen(name) + 1); /* NUL and all: no two sums are alike */
            parts[n++] = view_from(v, strlen(v) + 1);
        }
    }
    parts[n++] = VIEW("\0");
    parts[n++] = key;
    bool good =
        hmac_key_set(&mac, &r->api->cursor_key) == E_OK && hmac_parts(&mac, parts, n, out) == E_OK;
    wipe(&mac, sizeof mac);
    return good;
}

bool api_cursor_make(struct api_request *r, struct view key, char out[API_CURSOR_MAX])
{
    uint8_t mac[SHA256_BYTES];

    if (key.n == 0 || key.n > API_KEY_MAX || !mac_of(r, key, mac)) {
        return false;
    }
    hex_put(mac, MAC_BYTES, out);
    hex_put(key.p, key.n, out + (size_t)2 * MAC_BYTES);
    return true;
}

bool api_cursor_open(struct api_request *r, const char *cursor, char key[API_KEY_MAX + 1])
{
    uint8_t given[MAC_BYTES], mac[SHA256_BYTES];
    size_t n = strlen(cursor);

    if (n <= (size_t)2 * MAC_BYTES || n % 2 != 0 || n / 2 - MAC_BYTES > API_KEY_MAX ||
        hex_get(view_from(cursor, (size_t)2 * MAC_BYTES), given, MAC_BYTES) != E_OK) {
        return false;
    }
    n = n / 2 - MAC_BYTES;
    if (hex_get(view_from(cursor + (size_t)2 * MAC_BYTES, 2 * n), key, n) != E_OK ||
        !mac_of(r, view_from(key, n), mac) || !bytes_eq(mac, given, MAC_BYTES)) {
        return false;
    }
    key[n] = 0;
    return true;
}
