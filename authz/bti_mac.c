#include "authz/bti_mac.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SCHEME VIEW("BTI-MAC ")

static const char zeros[BTI_MAC_DIGITS + 1] =
    "0000000000000000000000000000000000000000000000000000000000000000";

bool bti_mac_is(struct view v)
{
    return view_starts(v, SCHEME);
}

static bool lower_hex(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

enum err bti_mac_parse(struct view header_value, bool with_scheme, struct bti_mac *out)
{
    enum err e = E_OK;
    struct bti_mac m = {0};
    struct cursor c = cursor_over(view_trim(header_value));
    struct view kid;
    struct view seq;
    if (with_scheme) {
        TRY(cur_lit(&c, SCHEME));
    }
    TRY(cur_lit(&c, VIEW("kid=")));
    TRY(cur_until(&c, ',', &kid));
    TRY(cur_lit(&c, VIEW(" seq=")));
    TRY(cur_until(&c, ',', &seq));
    TRY(cur_lit(&c, VIEW(" mac=")));
    m.digits = cur_rest(&c);
    if (kid.n != 2 * sizeof m.kid || !lower_hex(kid) || m.digits.n != BTI_MAC_DIGITS ||
        !lower_hex(m.digits) || seq.n == 0 || seq.p[0] == '0') {
        return FAIL(E_PARSE);
    }
    TRY(hex_get(kid, m.kid, sizeof m.kid));
    TRY(view_to_u64(seq, UINT64_MAX, &m.seq));
    *out = m;
out:
    return e;
}

size_t bti_mac_format(bool with_scheme, const uint8_t kid[BTI_KID_BYTES], uint64_t seq,
                      char out[BTI_MAC_VALUE_MAX])
{
    char hex[2 * BTI_KID_BYTES + 1];
    hex_put(kid, BTI_KID_BYTES, hex);
    int n = snprintf(out, BTI_MAC_VALUE_MAX, "%skid=%s, seq=%" PRIu64 ", mac=%s",
                     with_scheme ? "BTI-MAC " : "", hex, seq, zeros);
    BUG_ON(n < 0 || n >= BTI_MAC_VALUE_MAX);
    return (size_t)n;
}

static enum err mac_over(const struct hmac_key *k, struct view raw, size_t at,
                         uint8_t out[SHA256_BYTES])
{
    struct view parts[3] = {
        view_sub(raw, 0, at),
        view_from(zeros, BTI_MAC_DIGITS),
        view_sub(raw, at + BTI_MAC_DIGITS, raw.n),
    };
    return hmac_parts(k, parts, 3, out);
}

enum err bti_mac_verify(const struct hmac_key *k, struct view raw, struct view digits)
{
    uint8_t want[SHA256_BYTES];
    uint8_t got[SHA256_BYTES];
    uintptr_t base = (uintptr_t)raw.p;
    uintptr_t at = (uintptr_t)digits.p;
    if (digits.n != BTI_MAC_DIGITS || raw.n < BTI_MAC_DIGITS || at < base ||
        at - base > raw.n - BTI_MAC_DIGITS || !lower_hex(digits)) {
        return FAIL(E_PARSE);
    }
    enum err e = hex_get(digits, got, sizeof got);
    if (e == E_OK) {
        e = mac_over(k, raw, at - base, want);
    }
    if (e == E_OK && !bytes_eq(want, got, sizeof want)) {
        e = FAIL(E_AUTH);
    }
    wipe(want, sizeof want);
    return e;
}

enum err bti_mac_fill(const struct hmac_key *k, char *msg, size_t n, size_t at)
{
    uint8_t mac[SHA256_BYTES];
    char hex[BTI_MAC_DIGITS + 1];
    if (n < BTI_MAC_DIGITS || at > n - BTI_MAC_DIGITS) {
        return FAIL(E_RANGE);
    }
    enum err e = mac_over(k, view_from(msg, n), at, mac);
    if (e == E_OK) {
        hex_put(mac, sizeof mac, hex);
        memcpy(msg + at, hex, BTI_MAC_DIGITS);
    }
    return e;
}
