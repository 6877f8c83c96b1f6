#include "base/ec_sign.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/crypto.h"
#include "base/ec_sign_int.h"
#include "base/mem.h"
#include "base/secret.h"

enum { KEY_FILE_MAX = 4096, DER_MAX = 80, HALF = EC_SIGNATURE_BYTES / 2 };

struct ec_key {
    EVP_PKEY *key;
};
struct ec_public {
    EVP_PKEY *key;
};

static const unsigned char *octets(struct view v)
{
    return (const unsigned char *)(v.n ? v.p : "");
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32] = "";
    size_t n = 0;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

enum err ec_key_load(const char *path, struct ec_key **out)
{
    char pem[KEY_FILE_MAX];
    size_t n = 0;
    struct ec_key *k = NULL;
    enum err e = secret_file_read(path, false, pem, sizeof pem, &n);
    if (e != E_OK) {
        return e;
    }
    BIO *in = BIO_new_mem_buf(pem, (int)n);
    /* An empty pass phrase, never a prompt on a terminal. */
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    if (!key || !is_p256(key)) {
        e = FAIL(E_PARSE);
    } else if ((k = mem_zalloc(sizeof *k)) == NULL) {
        e = FAIL(E_NOMEM);
    } else {
        k->key = key;
        key = NULL;
        *out = k;
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(in);
    wipe(pem, sizeof pem);
    return e;
}

void ec_key_free(struct ec_key *k)
{
    if (k) {
        EVP_PKEY_free(k->key);
        mem_free(k);
    }
}

enum err ec_key_public(const struct ec_key *k, char *pem, size_t pem_bytes, uint8_t spki_sha256[32])
{
    unsigned char *der = NULL;
    char *text = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    int n = i2d_PUBKEY(k->key, &der);
    long chars = out && PEM_write_bio_PUBKEY(out, k->key) == 1 ? BIO_get_mem_data(out, &text) : 0;
    enum err e = n > 0 && chars > 0 ? E_OK : FAIL(E_CRYPTO);

    if (e == E_OK && (size_t)chars >= pem_bytes) {
        e = FAIL(E_RANGE);
    }
    if (e == E_OK) {
        e = sha256(view_from(der, (size_t)n), spki_sha256);
    }
    if (e == E_OK) {
        memcpy(pem, text, (size_t)chars);
        pem[chars] = 0;
    }
    OPENSSL_free(der);
    BIO_free(out);
    ERR_clear_error();
    return e;
}

enum err ec_public_of(EVP_PKEY *key, struct ec_public **out)
{
    struct ec_public *p = NULL;
    if (!is_p256(key)) {
        return FAIL(E_PARSE);
    }
    p = mem_zalloc(sizeof *p);
    if (!p) {
        return FAIL(E_NOMEM);
    }
    if (EVP_PKEY_up_ref(key) != 1) {
        mem_free(p);
        return FAIL(E_CRYPTO);
    }
    p->key = key;
    *out = p;
    return E_OK;
}

enum err ec_public_read(struct view pem, struct ec_public **out)
{
    BIO *in = pem.n > 0 && pem.n <= KEY_FILE_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    enum err e = key ? ec_public_of(key, out) : FAIL(E_PARSE);
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(in);
    return e;
}

void ec_public_free(struct ec_public *k)
{
    if (k) {
        EVP_PKEY_free(k->key);
        mem_free(k);
    }
}

/* RFC 7518 section 3.4 has r and s side by side where the library has them in DER. */
static bool raw_of(const uint8_t *der, size_t n, uint8_t out[EC_SIGNATURE_BYTES])
{
    const unsigned char *p = der;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
    bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), out, HALF) == HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), out + HALF, HALF) == HALF;
    ECDSA_SIG_free(s);
    return ok;
}

static size_t der_of(const uint8_t raw[EC_SIGNATURE_BYTES], uint8_t out[DER_MAX])
{
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, HALF, NULL);
    BIGNUM *t = BN_bin2bn(raw + HALF, HALF, NULL);
    unsigned char *p = out;
    int n = 0;
    if (s && r && t && ECDSA_SIG_set0(s, r, t)) {
        r = t = NULL; /* owned by s now */
        n = i2d_ECDSA_SIG(s, &p);
    }
    BN_free(r);
    BN_free(t);
    ECDSA_SIG_free(s);
    return n > 0 ? (size_t)n : 0;
}

enum err ec_sign(const struct ec_key *k, struct view data, uint8_t out[EC_SIGNATURE_BYTES])
{
    uint8_t der[DER_MAX];
    uint8_t raw[EC_SIGNATURE_BYTES];
    size_t n = sizeof der;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, k->key) > 0 &&
              EVP_DigestSign(c, der, &n, octets(data), data.n) > 0 && raw_of(der, n, raw);
    EVP_MD_CTX_free(c);
    if (!ok) {
        ERR_clear_error();
        return FAIL(E_CRYPTO);
    }
    memcpy(out, raw, sizeof raw);
    return E_OK;
}

enum err ec_verify(const struct ec_public *k, struct view data,
                   const uint8_t signature[EC_SIGNATURE_BYTES])
{
    uint8_t der[DER_MAX];
    size_t n = der_of(signature, der);
    EVP_MD_CTX *c = n ? EVP_MD_CTX_new() : NULL;
    bool ready = c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k->key) > 0;
    bool good = ready && EVP_DigestVerify(c, der, n, octets(data), data.n) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return good ? E_OK : FAIL(ready ? E_AUTH : E_CRYPTO);
}
