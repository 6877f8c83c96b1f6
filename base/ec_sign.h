/* base/ec_sign.h - ECDSA with P-256 and SHA-256 (ES256, RFC 7518 section 3.4): signatures are the
 * 64 octets r, s. Keys from PEM. Threads: a key may be used by several at a time. Secrets: private
 * keys live in OpenSSL's memory only and are never printed. */
#ifndef BASE_EC_SIGN_H
#define BASE_EC_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { EC_SIGNATURE_BYTES = 64 };

struct ec_key;    /* private, P-256 */
struct ec_public; /* P-256 */

/* A file that only its owner may read (base/secret.h): E_DENIED; E_PARSE: no P-256 key in PEM. */
MUST_CHECK enum err ec_key_load(const char *path, struct ec_key **out);
void ec_key_free(struct ec_key *k); /* NULL is fine */
/* What others verify with: SubjectPublicKeyInfo in PEM (a C string), and its SHA-256 over DER,
 * which names the key. E_RANGE: pem is too small (256 octets do). */
MUST_CHECK enum err ec_key_public(const struct ec_key *k, char *pem, size_t pem_bytes,
                                  uint8_t spki_sha256[32]);
/* Of SubjectPublicKeyInfo in PEM. */
MUST_CHECK enum err ec_public_read(struct view pem, struct ec_public **out);
void ec_public_free(struct ec_public *k);
MUST_CHECK enum err ec_sign(const struct ec_key *k, struct view data,
                            uint8_t out[EC_SIGNATURE_BYTES]);
/* E_AUTH: not a signature of that key over data. */
MUST_CHECK enum err ec_verify(const struct ec_public *k, struct view data,
                              const uint8_t signature[EC_SIGNATURE_BYTES]);

#endif
