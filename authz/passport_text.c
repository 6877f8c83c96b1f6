/* The small texts of a token: base64url, numbers, URIs, UUIDs. */
#include <string.h>

#include "authz/passport_int.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

bool base64url_get(struct view text, void *dst, size_t max, size_t *out_n)
{
    uint8_t *out = dst;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    if (text.n % 4 == 1 || text.n / 4 * 3 + text.n % 4 * 3 / 4 > max) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(text.p[i]);
        if (v < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
        bits &= 0xff;
    }
    if ((bits & ((1u << n_bits) - 1)) != 0) {
        return false;
    }
    *out_n = n;
    return true;
}

size_t base64url_put(struct view in, char *dst)
{
    size_t n = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < in.n; i++) {
        bits = bits << 8 | (uint8_t)in.p[i];
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            dst[n++] = alphabet[bits >> n_bits & 63];
        }
        bits &= 63;
    }
    if (n_bits > 0) {
        dst[n++] = alphabet[bits << (6 - n_bits) & 63];
    }
    return n;
}

static bool is_key(char c)
{
    return is_digit((unsigned char)c) || c == '#' || c == '*';
}

bool passport_is_tn(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_key(v.p[i])) {
            return false;
        }
    }
    return v.n > 0 && v.n < PASSPORT_TN_MAX;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool passport_is_uri(struct view v)
{
    size_t colon = 0;
    if (v.n == 0 || !is_alpha(v.p[0]) || !view_find(v, ':', &colon) || colon + 1 == v.n) {
        return false;
    }
    for (size_t i = 0; i < colon; i++) { /* RFC 3986 section 3.1 */
        if (!is_alpha(v.p[i]) && !is_digit((unsigned char)v.p[i]) && !strchr("+-.", v.p[i])) {
            return false;
        }
    }
    for (size_t i = colon + 1; i < v.n; i++) { /* no RFC 3986 URI has the others */
        if (v.p[i] <= ' ' || v.p[i] > '~' || strchr("\"<>\\^`{|}", v.p[i])) {
            return false;
        }
    }
    return true;
}

bool passport_is_x5u(struct view v)
{
    return v.n < PASSPORT_X5U_MAX && view_starts_nocase(v, VIEW("https://")) &&
           passport_is_uri(v) && v.n > sizeof "https://" - 1;
}

bool passport_is_uuid(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = v.p[i];
        if (dash ? c != '-'
                 : !is_digit((unsigned char)c) && !(c >= 'a' && c <= 'f') &&
                       !(c >= 'A' && c <= 'F')) {
            return false;
        }
    }
    return v.n == PASSPORT_UUID_CHARS;
}

bool passport_canonical_tn(struct view number, char out[PASSPORT_TN_MAX])
{
    char tn[PASSPORT_TN_MAX];
    size_t n = 0;
    number = view_trim(number);
    for (size_t i = 0; i < number.n; i++) {
        char c = number.p[i];
        if (is_key(c)) {
            if (n == sizeof tn - 1) {
                return false;
            }
            tn[n++] = c;
        } else if (c == '+' ? i != 0 : !c || !strchr(" -.()", c)) {
            return false;
        }
    }
    if (n == 0) {
        return false;
    }
    tn[n] = '\0';
    memcpy(out, tn, n + 1);
    return true;
}

bool passport_same_party(const struct passport_party *a, const struct passport_party *b)
{
    return strcmp(a->tn, b->tn) == 0 && strcmp(a->uri, b->uri) == 0;
}

const char *passport_ppt(enum passport_type type)
{
    static const char *const names[] = {
        [PASSPORT_BASE] = "", [PASSPORT_SHAKEN] = "shaken", [PASSPORT_DIV] = "div"};
    return type == PASSPORT_OTHER ? NULL : names[type];
}

bool passport_continues(const struct passport *div, const struct passport *earlier, unsigned n)
{
    if (div->type != PASSPORT_DIV) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!passport_same_party(&div->orig, &earlier[i].orig)) {
            continue;
        }
        for (unsigned k = 0; k < earlier[i].n_dest; k++) {
            if (passport_same_party(&div->div, &earlier[i].dest[k])) {
                return true;
            }
        }
    }
    return false;
}
