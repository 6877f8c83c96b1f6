#include "authz/sealed.h"

#include <string.h>

#define VERSION    1
#define LABEL      "headgate sealed v1"
#define KEY_BYTES  32
#define LENGTH_MAX 64 /* of a purpose */

struct aad {
    uint8_t b[sizeof LABEL + LENGTH_MAX + 1 + SEALED_CONTEXT_MAX];
    size_t n;
};

static void add(struct aad *a, struct view v)
{
    if (v.n > 0) {
        memcpy(a->b + a->n, v.p, v.n);
        a->n += v.n;
    }
}

static enum err aad_make(struct view purpose, struct view context, struct aad *a)
{
    if (purpose.n == 0 || purpose.n > LENGTH_MAX || context.n > SEALED_CONTEXT_MAX) {
        return FAIL(E_RANGE);
    }
    a->n = 0;
    add(a, view_from(LABEL, sizeof LABEL)); /* with its NUL */
    add(a, purpose);
    a->b[a->n++] = 0;
    add(a, context);
    return E_OK;
}

enum err sealed_key(const struct secret *cluster_key, struct secret *out)
{
    struct secret prk = {0};
    enum err e = E_OK;

    if (cluster_key->n != KEY_BYTES) {
        return FAIL(E_RANGE);
    }
    TRY(hkdf_extract(VIEW(LABEL), view_from(cluster_key->b, cluster_key->n), &prk));
    TRY(hkdf_expand(&prk, VIEW("key"), KEY_BYTES, out));
out:
    secret_wipe(&prk);
    return e;
}

enum err sealed_make(const struct secret *key, struct view purpose, struct view context,
                     const struct secret *plain, uint8_t dst[SEALED_MAX], size_t *out_n)
{
    uint8_t made[SEALED_MAX] = {VERSION};
    struct aad aad;
    enum err e = E_OK;

    if (key->n != KEY_BYTES || plain->n == 0) {
        return FAIL(E_RANGE);
    }
    TRY(aad_make(purpose, context, &aad));
    TRY(crypto_random(made + 1, GCM_NONCE_BYTES));
    TRY(gcm_seal(key, made + 1, view_from(aad.b, aad.n), view_from(plain->b, plain->n),
                 made + 1 + GCM_NONCE_BYTES));
    memcpy(dst, made, sizeof made);
    *out_n = SEALED_EXTRA + plain->n;
out:
    return e;
}

enum err sealed_open(const struct secret *key, struct view purpose, struct view context,
                     struct view sealed, struct secret *out)
{
    const uint8_t *p = (const uint8_t *)sealed.p;
    uint8_t plain[SECRET_MAX];
    struct aad aad;
    enum err e = E_OK;

    if (key->n != KEY_BYTES) {
        return FAIL(E_RANGE);
    }
    if (sealed.n <= SEALED_EXTRA || sealed.n > SEALED_MAX || p[0] != VERSION) {
        return FAIL(E_PARSE);
    }
    TRY(aad_make(purpose, context, &aad));
    TRY(gcm_open(key, p + 1, view_from(aad.b, aad.n),
                 view_sub(sealed, 1 + GCM_NONCE_BYTES, sealed.n), plain));
    TRY(secret_set(out, plain, sealed.n - SEALED_EXTRA));
out:
    wipe(plain, sizeof plain);
    return e;
}
