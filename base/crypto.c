#include "base/crypto.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/mem.h"

#define DER_SIG_BYTES 80

static const unsigned char *octets(struct view v)
{
    return (const unsigned char *)(v.n ? v.p : "");
}

enum err crypto_random(void *dst, size_t n)
{
    if (n > INT_MAX || RAND_bytes(dst, (int)n) != 1) {
        return FAIL(E_CRYPTO);
    }
    return E_OK;
}

/* ---- SHA-256 ---- */

struct sha256_ctx {
    EVP_MD_CTX *md;
};

enum err sha256(struct view in, uint8_t out[SHA256_BYTES])
{
    unsigned n = 0;
    if (!EVP_Digest(octets(in), in.n, out, &n, EVP_sha256(), NULL)) {
        return FAIL(E_CRYPTO);
    }
    return E_OK;
}

enum err sha256_new(struct sha256_ctx **out)
{
    struct sha256_ctx *c = mem_zalloc(sizeof *c);
    if (!c) {
        return FAIL(E_NOMEM);
    }
    c->md = EVP_MD_CTX_new();
    if (!c->md || !EVP_DigestInit_ex(c->md, EVP_sha256(), NULL)) {
        sha256_free(c);
        return FAIL(E_CRYPTO);
    }
    *out = c;
    return E_OK;
}

enum err sha256_add(struct sha256_ctx *c, struct view in)
{
    return EVP_DigestUpdate(c->md, octets(in), in.n) ? E_OK : FAIL(E_CRYPTO);
}

enum err sha256_peek(const struct sha256_ctx *c, uint8_t out[SHA256_BYTES])
{
    unsigned n = 0;
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool ok = copy && EVP_MD_CTX_copy_ex(copy, c->md) && EVP_DigestFinal_ex(copy, out, &n);
    EVP_MD_CTX_free(copy);
    return ok ? E_OK : FAIL(E_CRYPTO);
}

void sha256_free(struct sha256_ctx *c)
{
    if (c) {
        EVP_MD_CTX_free(c->md);
        mem_free(c);
    }
}

/* ---- scrypt ---- */

enum err crypto_passphrase_key(struct view passphrase, struct view salt, unsigned log2_n, size_t n,
                               struct secret *out)
{
    uint64_t cost = 1ull << (log2_n & 63), memory = 0;
    uint32_t r = 8, p = 1;
    struct secret key = {.n = n};
    bool good = false;
    if (log2_n < 10 || log2_n > 20 || passphrase.n == 0 || n == 0 || n > SECRET_MAX) {
        return FAIL(E_RANGE);
    }
    memory = cost * 128 * r + (1u << 20);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)passphrase.p,
                                          passphrase.n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.p, salt.n),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &cost),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    EVP_KDF_CTX *c = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    good = c && EVP_KDF_derive(c, key.b, n, params) > 0;
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    if (good) {
        *out = key;
    }
    secret_wipe(&key);
    return good ? E_OK : FAIL(E_CRYPTO);
}

/* ---- AES-GCM ---- */

static const EVP_CIPHER *gcm_cipher(const struct secret *key)
{
    switch (key->n) {
    case 16:
        return EVP_aes_128_gcm();
    case 32:
        return EVP_aes_256_gcm();
    default:
        return NULL;
    }
}

enum err gcm_seal(const struct secret *key, const uint8_t nonce[GCM_NONCE_BYTES], struct view aad,
                  struct view pt, uint8_t *out)
{
    const EVP_CIPHER *cipher = gcm_cipher(key);
    int n = 0;
    if (!cipher || aad.n > INT_MAX || pt.n > INT_MAX - GCM_TAG_BYTES) {
        return FAIL(E_RANGE);
    }
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c && EVP_EncryptInit_ex(c, cipher, NULL, key->b, nonce) &&
              EVP_EncryptUpdate(c, NULL, &n, octets(aad), (int)aad.n) &&
              EVP_EncryptUpdate(c, out, &n, octets(pt), (int)pt.n) &&
              EVP_EncryptFinal_ex(c, out + pt.n, &n) &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_BYTES, out + pt.n);
    EVP_CIPHER_CTX_free(c);
    return ok ? E_OK : FAIL(E_CRYPTO);
}

enum err gcm_open(const struct secret *key, const uint8_t nonce[GCM_NONCE_BYTES], struct view aad,
                  struct view ct, uint8_t *out)
{
    const EVP_CIPHER *cipher = gcm_cipher(key);
    uint8_t tag[GCM_TAG_BYTES];
    uint8_t nothing[GCM_TAG_BYTES];
    int n = 0;
    if (!cipher || aad.n > INT_MAX || ct.n > INT_MAX) {
        return FAIL(E_RANGE);
    }
    if (ct.n < GCM_TAG_BYTES) {
        return FAIL(E_AUTH);
    }
    size_t pt_n = ct.n - GCM_TAG_BYTES;
    memcpy(tag, ct.p + pt_n, sizeof tag);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ready = c && EVP_DecryptInit_ex(c, cipher, NULL, key->b, nonce) &&
                 EVP_DecryptUpdate(c, NULL, &n, octets(aad), (int)aad.n) &&
                 (!pt_n || EVP_DecryptUpdate(c, out, &n, octets(ct), (int)pt_n)) &&
                 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_BYTES, tag);
    bool good = ready && EVP_DecryptFinal_ex(c, nothing, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!good && pt_n) {
        wipe(out, pt_n);
    }
    return good ? E_OK : FAIL(ready ? E_AUTH : E_CRYPTO);
}

/* ---- P-256 ---- */

static EVP_PKEY *pkey_from(const uint8_t *pub, const struct secret *d)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    BIGNUM *x = d ? BN_secure_new() : NULL;
    bool ok = ctx && bld &&
              OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
              OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, pub, P256_POINT_BYTES);
    if (ok && d) {
        ok = x && BN_bin2bn(d->b, (int)d->n, x) &&
             OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, x);
    }
    params = ok ? OSSL_PARAM_BLD_to_param(bld) : NULL;
    ok = params && EVP_PKEY_fromdata_init(ctx) > 0 &&
         EVP_PKEY_fromdata(ctx, &key, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) > 0;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(x);
    EVP_PKEY_CTX_free(ctx);
    return ok ? key : NULL;
}

enum err p256_from_private(const struct secret *d, struct p256_key *out)
{
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = g ? EC_POINT_new(g) : NULL;
    BIGNUM *x = BN_secure_new();
    uint8_t pub[P256_POINT_BYTES];
    enum err e = E_CRYPTO;
    if (point && x && d->n == 32 && BN_bin2bn(d->b, 32, x)) {
        BN_set_flags(x, BN_FLG_CONSTTIME);
        if (BN_is_zero(x) || BN_cmp(x, EC_GROUP_get0_order(g)) >= 0) {
            e = E_RANGE;
        } else if (EC_POINT_mul(g, point, x, NULL, NULL, NULL) &&
                   EC_POINT_point2oct(g, point, POINT_CONVERSION_UNCOMPRESSED, pub, sizeof pub,
                                      NULL) == sizeof pub) {
            e = E_OK;
        }
    }
    BN_clear_free(x);
    EC_POINT_free(point);
    EC_GROUP_free(g);
    if (e != E_OK) {
        return FAIL(e);
    }
    struct secret copy = *d;
    out->d = copy;
    memcpy(out->pub, pub, sizeof pub);
    secret_wipe(&copy);
    return E_OK;
}

enum err p256_generate(struct p256_key *out)
{
    struct secret d = {0};
    enum err e = E_RANGE;
    /* A random 256-bit number is outside of the group order once in 2^32 tries. */
    for (int tries = 0; tries < 8 && e == E_RANGE; tries++) {
        e = secret_random(&d, 32);
        if (e == E_OK) {
            e = p256_from_private(&d, out);
        }
    }
    secret_wipe(&d);
    return e;
}

enum err p256_check_point(const uint8_t pub[P256_POINT_BYTES])
{
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = g ? EC_POINT_new(g) : NULL;
    bool made = point != NULL;
    /* oct2point refuses what is not on the curve. */
    bool ok = made && pub[0] == 0x04 && EC_POINT_oct2point(g, point, pub, P256_POINT_BYTES, NULL);
    EC_POINT_free(point);
    EC_GROUP_free(g);
    return ok ? E_OK : FAIL(made ? E_PARSE : E_CRYPTO);
}

enum err p256_ecdh(const struct secret *d, const uint8_t peer[P256_POINT_BYTES],
                   struct secret *out_x)
{
    enum err e = p256_check_point(peer);
    struct p256_key mine = {0};
    uint8_t x[32];
    size_t n = sizeof x;
    EVP_PKEY *a = NULL;
    EVP_PKEY *b = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    TRY(e);
    TRY(p256_from_private(d, &mine));
    a = pkey_from(mine.pub, d);
    b = pkey_from(peer, NULL);
    ctx = a ? EVP_PKEY_CTX_new(a, NULL) : NULL;
    if (!b || !ctx || EVP_PKEY_derive_init(ctx) <= 0 || EVP_PKEY_derive_set_peer(ctx, b) <= 0 ||
        EVP_PKEY_derive(ctx, x, &n) <= 0 || n != sizeof x) {
        e = FAIL(E_CRYPTO);
        goto out;
    }
    TRY(secret_set(out_x, x, n));
out:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    secret_wipe(&mine.d);
    wipe(x, sizeof x);
    return e;
}

static enum err sig_to_raw(const uint8_t *der, size_t n, uint8_t out[P256_SIG_BYTES])
{
    const unsigned char *p = der;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
    bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), out, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), out + 32, 32) == 32;
    ECDSA_SIG_free(s);
    return ok ? E_OK : FAIL(E_CRYPTO);
}

static enum err raw_to_sig(const uint8_t raw[P256_SIG_BYTES], uint8_t der[DER_SIG_BYTES],
                           size_t *out_n)
{
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL);
    BIGNUM *t = BN_bin2bn(raw + 32, 32, NULL);
    unsigned char *p = der;
    int n = 0;
    if (s && r && t && ECDSA_SIG_set0(s, r, t)) {
        r = t = NULL; /* owned by s now */
        n = i2d_ECDSA_SIG(s, &p);
    }
    BN_free(r);
    BN_free(t);
    ECDSA_SIG_free(s);
    if (n <= 0) {
        return FAIL(E_CRYPTO);
    }
    *out_n = (size_t)n;
    return E_OK;
}

enum err p256_sign(const struct secret *d, struct view msg, uint8_t out[P256_SIG_BYTES])
{
    struct p256_key mine = {0};
    uint8_t der[DER_SIG_BYTES];
    size_t n = sizeof der;
    enum err e = p256_from_private(d, &mine);
    if (e != E_OK) {
        return e;
    }
    EVP_PKEY *key = pkey_from(mine.pub, d);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = key && c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) > 0 &&
              EVP_DigestSign(c, der, &n, octets(msg), msg.n) > 0;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    secret_wipe(&mine.d);
    return ok ? sig_to_raw(der, n, out) : FAIL(E_CRYPTO);
}

enum err p256_verify(const uint8_t pub[P256_POINT_BYTES], struct view msg,
                     const uint8_t sig[P256_SIG_BYTES])
{
    uint8_t der[DER_SIG_BYTES];
    size_t n = 0;
    enum err e = p256_check_point(pub);
    if (e == E_OK) {
        e = raw_to_sig(sig, der, &n);
    }
    if (e != E_OK) {
        return e;
    }
    EVP_PKEY *key = pkey_from(pub, NULL);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ready = key && c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) > 0;
    bool good = ready && EVP_DigestVerify(c, der, n, octets(msg), msg.n) == 1;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    return good ? E_OK : FAIL(ready ? E_AUTH : E_CRYPTO);
}

/* ---- SipHash-2-4: written out, since it is no secret-keeping primitive here and OpenSSL's costs
 * an EVP_MAC for each hash table look-up ---- */

static uint64_t rol(uint64_t x, unsigned b)
{
    return (x << b) | (x >> (64 - b));
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rol(v[1], 13) ^ v[0];
    v[0] = rol(v[0], 32);
    v[2] += v[3];
    v[3] = rol(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rol(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rol(v[1], 17) ^ v[2];
    v[2] = rol(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    sip_round(v);
    v[0] ^= m;
}

uint64_t siphash64(const uint8_t key[16], struct view in)
{
    uint64_t k0 = get_le(key, 8);
    uint64_t k1 = get_le(key + 8, 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
                     k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull};
    const uint8_t *p = octets(in);
    size_t left = in.n;
    for (; left >= 8; p += 8, left -= 8) {
        sip_word(v, get_le(p, 8));
    }
    sip_word(v, ((uint64_t)in.n << 56) | get_le(p, left));
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
