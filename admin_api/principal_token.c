#include <string.h>

#include "admin_api/principal_int.h"
#include "base/secret.h"

enum { TOKEN_OCTETS = 32, TOKEN_HEAD = 4 };

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 4648 section 5 without padding: 32 octets, 43 characters. */
static void put(const uint8_t in[TOKEN_OCTETS], char *to)
{
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < TOKEN_OCTETS; i++) {
        bits = bits << 8 | in[i];
        for (held += 8; held >= 6; held -= 6) {
            *to++ = DIGITS[bits >> (held - 6) & 63];
        }
    }
    *to++ = DIGITS[bits << (6 - held) & 63];
    *to = 0;
}

enum err token_hash(struct view text, uint8_t hash[SHA256_BYTES])
{
    if (text.n != TOKEN_CHARS || !view_starts(text, VIEW("hga_"))) {
        return FAIL(E_PARSE);
    }
    for (size_t i = TOKEN_HEAD; i < text.n; i++) {
        if (text.p[i] == 0 || strchr(DIGITS, text.p[i]) == NULL) {
            return FAIL(E_PARSE);
        }
    }
    return sha256(text, hash);
}

enum err token_new(char out[TOKEN_CHARS + 1], uint8_t hash[SHA256_BYTES])
{
    struct secret s = {.n = 0};
    char text[TOKEN_CHARS + 1] = "hga_";
    enum err e = secret_random(&s, TOKEN_OCTETS);

    if (e == E_OK) {
        put(s.b, text + TOKEN_HEAD);
        e = token_hash(view_of(text), hash);
    }
    if (e == E_OK) {
        memcpy(out, text, sizeof text);
    }
    secret_wipe(&s);
    wipe(text, sizeof text);
    return e;
}
