/* base/crypto.h - the cryptographic primitives of docs/protocol.md on OpenSSL 3.0 EVP. One of the
 * doors to libcrypto (the others: base/secret.c, base/hpke.c, base/pki.c, base/tls.c,
 * base/ec_sign.c, base/stir_*.c).
 *
 * Standards  FIPS 180-4 SHA-256, RFC 2104 HMAC, RFC 5869 HKDF, SP 800-38D AES-GCM, FIPS 186-5 ECDSA
 * and SP 800-56A ECDH on P-256. Shape      P-256 points are 65 octets uncompressed (04 || X || Y);
 * private scalars 32 octets in a struct secret; ECDSA signatures are 64 octets r || s; tags are 16
 * octets, GCM nonces 12. Errors     E_CRYPTO: library failure; E_AUTH: tag or signature does not
 * verify; E_PARSE: a point that is not on the curve. Outputs untouched on error. Threads: safe. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/view.h"

#define SHA256_BYTES     32
#define P256_POINT_BYTES 65
#define P256_SIG_BYTES   64
#define GCM_TAG_BYTES    16
#define GCM_NONCE_BYTES  12

MUST_CHECK enum err crypto_random(void *dst, size_t n); /* public randomness: nonces, tags, ids */

MUST_CHECK enum err sha256(struct view in, uint8_t out[SHA256_BYTES]);
struct sha256_ctx; /* running transcript hash; can be read without ending it */
MUST_CHECK enum err sha256_new(struct sha256_ctx **out);
MUST_CHECK enum err sha256_add(struct sha256_ctx *c, struct view in);
MUST_CHECK enum err sha256_peek(const struct sha256_ctx *c, uint8_t out[SHA256_BYTES]);
void sha256_free(struct sha256_ctx *c);

/* A hash over parts, one after the other; takes no heap. MD5 (RFC 1321) is here for SIP Digest with
 * phones that know nothing better, where the operator allows it. */
enum hash_kind { HASH_SHA256, HASH_MD5 };
size_t hash_bytes(enum hash_kind kind); /* 32, 16 */
MUST_CHECK enum err hash_parts(enum hash_kind kind, const struct view *parts, size_t n,
                               uint8_t out[SHA256_BYTES]);

/* A keyed HMAC-SHA-256 that is set up once and used for many messages: the hash states after the
 * padded key, 64 octets that are as secret as the key (the holder wipes them). Immutable once set;
 * hmac_parts() hashes the parts one after the other and takes no heap. Threads: any number on one
 * object. */
struct hmac_key {
    uint32_t inner[8], outer[8];
};
MUST_CHECK enum err hmac_key_set(struct hmac_key *k, const struct secret *key);
MUST_CHECK enum err hmac_key_new(const struct secret *key, struct hmac_key **out);
MUST_CHECK enum err hmac_parts(const struct hmac_key *k, const struct view *parts, size_t n,
                               uint8_t out[SHA256_BYTES]);
void hmac_key_free(struct hmac_key *k);
MUST_CHECK enum err hmac_sha256(const struct secret *key, struct view in,
                                uint8_t out[SHA256_BYTES]);

/* RFC 5869. ikm/salt/info are octets; out->n = n (<= 64). */
MUST_CHECK enum err hkdf_extract(struct view salt, struct view ikm, struct secret *out_prk);
MUST_CHECK enum err hkdf_expand(const struct secret *prk, struct view info, size_t n,
                                struct secret *out);

/* Key from a passphrase: scrypt (RFC 7914), N = 2^log2_n, r = 8, p = 1; takes 1 KiB * N of memory.
 * E_RANGE: log2_n not 10..20, an empty passphrase, or n > 64. */
MUST_CHECK enum err crypto_passphrase_key(struct view passphrase, struct view salt, unsigned log2_n,
                                          size_t n, struct secret *out);

/* AES-128-GCM (16-octet key) or AES-256-GCM (32). out: pt.n + 16 octets, ciphertext || tag. */
MUST_CHECK enum err gcm_seal(const struct secret *key, const uint8_t nonce[GCM_NONCE_BYTES],
                             struct view aad, struct view pt, uint8_t *out);
/* ct includes the tag; out: ct.n - 16 octets. E_AUTH (and out is wiped). */
MUST_CHECK enum err gcm_open(const struct secret *key, const uint8_t nonce[GCM_NONCE_BYTES],
                             struct view aad, struct view ct, uint8_t *out);

struct p256_key { /* a key pair; wipe with secret_wipe(&k.d) */
    struct secret d;
    uint8_t pub[P256_POINT_BYTES];
};
MUST_CHECK enum err p256_generate(struct p256_key *out);
MUST_CHECK enum err p256_from_private(const struct secret *d, struct p256_key *out);
MUST_CHECK enum err p256_check_point(const uint8_t pub[P256_POINT_BYTES]); /* E_PARSE */
MUST_CHECK enum err p256_ecdh(const struct secret *d, const uint8_t peer[P256_POINT_BYTES],
                              struct secret *out_x); /* 32 octets: the x coordinate */
MUST_CHECK enum err p256_sign(const struct secret *d, struct view msg, uint8_t out[P256_SIG_BYTES]);
MUST_CHECK enum err p256_verify(const uint8_t pub[P256_POINT_BYTES], struct view msg,
                                const uint8_t sig[P256_SIG_BYTES]);

/* Keyed SipHash-2-4, 64-bit, for hash tables whose keys an attacker chooses. key: 16 octets. */
uint64_t siphash64(const uint8_t key[16], struct view in);

#endif
