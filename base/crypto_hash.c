/* Hashes over parts, without heap: for the same reasons as base/crypto_hmac.c. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/crypto.h"

#define MD5_BYTES MD5_DIGEST_LENGTH

size_t hash_bytes(enum hash_kind kind)
{
    return kind == HASH_MD5 ? MD5_BYTES : SHA256_BYTES;
}

static bool sha256_all(const struct view *parts, size_t n, uint8_t out[SHA256_BYTES])
{
    SHA256_CTX c;
    bool ok = SHA256_Init(&c);

    for (size_t i = 0; ok && i < n; i++) {
        ok = SHA256_Update(&c, parts[i].p, parts[i].n);
    }
    ok = ok && SHA256_Final(out, &c);
    wipe(&c, sizeof c);
    return ok;
}

static bool md5_all(const struct view *parts, size_t n, uint8_t out[MD5_BYTES])
{
    MD5_CTX c;
    bool ok = MD5_Init(&c);

    for (size_t i = 0; ok && i < n; i++) {
        ok = MD5_Update(&c, parts[i].p, parts[i].n);
    }
    ok = ok && MD5_Final(out, &c);
    wipe(&c, sizeof c);
    return ok;
}

enum err hash_parts(enum hash_kind kind, const struct view *parts, size_t n,
                    uint8_t out[SHA256_BYTES])
{
    uint8_t made[SHA256_BYTES];
    enum err e = E_OK;

    if (!(kind == HASH_MD5 ? md5_all : sha256_all)(parts, n, made)) {
        e = FAIL(E_CRYPTO);
    } else {
        memcpy(out, made, hash_bytes(kind));
    }
    wipe(made, sizeof made);
    return e;
}
