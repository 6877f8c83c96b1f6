#include "base/base64.h"

#include <string.h>

#include "base/secret.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_put(const uint8_t *p, size_t n, char *dst)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        dst[at++] = letters[v >> 18];
        dst[at++] = letters[v >> 12 & 63];
        dst[at++] = left > 1 ? letters[v >> 6 & 63] : '=';
        dst[at++] = left > 2 ? letters[v & 63] : '=';
    }
    dst[at] = 0;
    return at;
}

static int value_of(char c)
{
    const char *at = c != 0 ? strchr(letters, c) : NULL;

    return at != NULL ? (int)(at - letters) : -1;
}

enum err base64_get(struct view text, uint8_t *dst, size_t n)
{
    uint8_t out[SECRET_MAX + 2];
    size_t at = 0;
    uint32_t v = 0;
    unsigned bits = 0;
    enum err e = E_OK;

    while (text.n > 0 && text.p[text.n - 1] == '=') { /* padding may be left out: RFC 4568 */
        text.n--;
    }
    if (n > SECRET_MAX || text.n != (4 * n + 2) / 3) {
        return FAIL(E_PARSE);
    }
    for (size_t i = 0; i < text.n; i++) {
        int x = value_of(text.p[i]);
        if (x < 0) {
            TRY(FAIL(E_PARSE));
        }
        v = v << 6 | (uint32_t)x;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[at++] = (uint8_t)(v >> bits);
        }
    }
    if (at != n) {
        TRY(FAIL(E_PARSE));
    }
    memcpy(dst, out, n);
out:
    wipe(out, sizeof out);
    return e;
}
