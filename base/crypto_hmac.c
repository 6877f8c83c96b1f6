/* HMAC-SHA-256 and HKDF. The hash states are values of ours, not library objects: EVP puts a copy
 * of a state on the heap for each message and keeps keyed states in ordinary memory. SHA256_CTX
 * has neither fault; libcrypto calls it deprecated and keeps it. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

#define HASH_BLOCK 64

_Static_assert(sizeof(SHA_LONG) == sizeof(uint32_t), "a SHA-256 word");

/* The state of a hash that has taken the padded key, which is one whole block. */
static bool pad_state(const uint8_t key[HASH_BLOCK], uint8_t with, uint32_t out[8])
{
    SHA256_CTX c;
    uint8_t pad[HASH_BLOCK];
    for (size_t i = 0; i < HASH_BLOCK; i++) {
        pad[i] = key[i] ^ with;
    }
    bool ok = SHA256_Init(&c) && SHA256_Update(&c, pad, sizeof pad) && c.num == 0;
    memcpy(out, c.h, sizeof c.h);
    wipe(pad, sizeof pad);
    wipe(&c, sizeof c);
    return ok;
}

static bool state_resume(SHA256_CTX *c, const uint32_t state[8])
{
    if (!SHA256_Init(c)) {
        return false;
    }
    memcpy(c->h, state, sizeof c->h);
    c->Nl = HASH_BLOCK * 8; /* bits so far */
    return true;
}

static enum err hmac_setup(const uint8_t *key, size_t n, struct hmac_key *out)
{
    enum err e = E_OK;
    uint8_t block[HASH_BLOCK] = {0};
    struct hmac_key k;
    if (n > HASH_BLOCK) {
        TRY(sha256(view_from(key, n), block));
    } else if (n) {
        memcpy(block, key, n);
    }
    if (!pad_state(block, 0x36, k.inner) || !pad_state(block, 0x5c, k.outer)) {
        TRY(FAIL(E_CRYPTO));
    }
    *out = k;
out:
    wipe(block, sizeof block);
    wipe(&k, sizeof k);
    return e;
}

enum err hmac_key_set(struct hmac_key *k, const struct secret *key)
{
    return hmac_setup(key->b, key->n, k);
}

enum err hmac_key_new(const struct secret *key, struct hmac_key **out)
{
    struct hmac_key *k = mem_zalloc(sizeof *k);
    if (!k) {
        return FAIL(E_NOMEM);
    }
    enum err e = hmac_key_set(k, key);
    if (e != E_OK) {
        mem_free(k);
        return e;
    }
    *out = k;
    return E_OK;
}

enum err hmac_parts(const struct hmac_key *k, const struct view *parts, size_t n,
                    uint8_t out[SHA256_BYTES])
{
    SHA256_CTX c;
    uint8_t mac[SHA256_BYTES];
    bool ok = state_resume(&c, k->inner);
    for (size_t i = 0; ok && i < n; i++) {
        ok = parts[i].n == 0 || SHA256_Update(&c, parts[i].p, parts[i].n);
    }
    ok = ok && SHA256_Final(mac, &c) && state_resume(&c, k->outer) &&
         SHA256_Update(&c, mac, sizeof mac) && SHA256_Final(mac, &c);
    if (ok) {
        memcpy(out, mac, sizeof mac);
    }
    wipe(mac, sizeof mac);
    wipe(&c, sizeof c);
    return ok ? E_OK : FAIL(E_CRYPTO);
}

void hmac_key_free(struct hmac_key *k)
{
    if (k) {
        wipe(k, sizeof *k);
        mem_free(k);
    }
}

static enum err hmac_once(const uint8_t *key, size_t key_n, const struct view *parts, size_t n,
                          uint8_t out[SHA256_BYTES])
{
    struct hmac_key k;
    enum err e = hmac_setup(key, key_n, &k);
    if (e == E_OK) {
        e = hmac_parts(&k, parts, n, out);
    }
    wipe(&k, sizeof k);
    return e;
}

enum err hmac_sha256(const struct secret *key, struct view in, uint8_t out[SHA256_BYTES])
{
    return hmac_once(key->b, key->n, &in, 1, out);
}

/* ---- RFC 5869 ---- */

enum err hkdf_extract(struct view salt, struct view ikm, struct secret *out_prk)
{
    uint8_t prk[SHA256_BYTES];
    enum err e = hmac_once((const uint8_t *)salt.p, salt.n, &ikm, 1, prk);
    if (e == E_OK) {
        e = secret_set(out_prk, prk, sizeof prk);
    }
    wipe(prk, sizeof prk);
    return e;
}

enum err hkdf_expand(const struct secret *prk, struct view info, size_t n, struct secret *out)
{
    enum err e = E_OK;
    struct hmac_key k = {0};
    uint8_t t[2 * SHA256_BYTES] = {0};
    if (n == 0 || n > SECRET_MAX) {
        return FAIL(E_RANGE);
    }
    TRY(hmac_key_set(&k, prk));
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t number = (uint8_t)(i + 1);
        struct view parts[3] = {view_from(t, i ? SHA256_BYTES : 0), info, view_from(&number, 1)};
        TRY(hmac_parts(&k, parts, 3, t + (size_t)i * SHA256_BYTES));
    }
    TRY(secret_set(out, t, n));
out:
    wipe(&k, sizeof k);
    wipe(t, sizeof t);
    return e;
}
