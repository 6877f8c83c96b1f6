#include "lawful_intercept/tap_keys.h"

#include <string.h>

enum { VERSION = 1, AT_NAME = 1, AT_ENC = AT_NAME + TAP_KEY_NAME_BYTES, AAD_MAX = 321 };
enum { AT_CT = AT_ENC + HPKE_ENC_BYTES };
#define INFO "headgate tap enrolment v1"

static enum err name_of(const uint8_t pub[P256_POINT_BYTES], uint8_t out[TAP_KEY_NAME_BYTES])
{
    uint8_t hash[SHA256_BYTES];
    enum err e = sha256(view_from(pub, P256_POINT_BYTES), hash);

    TRY(e);
    memcpy(out, hash, TAP_KEY_NAME_BYTES);
out:
    return e;
}

static enum err aad_of(struct view call, struct view call_id, char dst[AAD_MAX], struct view *out)
{
    if (call.n + 1 + call_id.n > AAD_MAX) {
        return FAIL(E_RANGE);
    }
    memcpy(dst, call.p, call.n);
    dst[call.n] = '|';
    memcpy(dst + call.n + 1, call_id.p, call_id.n);
    *out = view_from(dst, call.n + 1 + call_id.n);
    return E_OK;
}

enum err tap_keys_seal(const uint8_t to[P256_POINT_BYTES], struct view call, struct view call_id,
                       const uint8_t keys[TAP_KEYS_BYTES], uint8_t out[TAP_SEALED_BYTES])
{
    char octets[AAD_MAX];
    struct view aad;
    enum err e = aad_of(call, call_id, octets, &aad);

    TRY(e);
    out[0] = VERSION;
    TRY(name_of(to, out + AT_NAME));
    TRY(hpke_seal(HPKE_AES_256_GCM, to, VIEW(INFO), aad, view_from(keys, TAP_KEYS_BYTES),
                  out + AT_ENC, out + AT_CT));
out:
    return e;
}

enum err tap_keys_open(const struct p256_key *mine, size_t n, struct view call, struct view call_id,
                       struct view sealed, uint8_t out[TAP_KEYS_BYTES])
{
    uint8_t in[TAP_SEALED_BYTES], name[TAP_KEY_NAME_BYTES];
    char octets[AAD_MAX];
    struct view aad;
    enum err e = E_OK;

    if (sealed.n != TAP_SEALED_BYTES || (uint8_t)sealed.p[0] != VERSION) {
        return FAIL(E_PARSE);
    }
    memcpy(in, sealed.p, sizeof in);
    TRY(aad_of(call, call_id, octets, &aad));
    for (size_t i = 0; i < n; i++) {
        TRY(name_of(mine[i].pub, name));
        if (memcmp(name, in + AT_NAME, sizeof name) == 0) {
            return hpke_open(HPKE_AES_256_GCM, &mine[i], in + AT_ENC, VIEW(INFO), aad,
                             view_from(in + AT_CT, sizeof in - AT_CT), out);
        }
    }
    e = FAIL(E_NOTFOUND);
out:
    return e;
}
