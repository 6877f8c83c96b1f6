/* base/hpke.h - RFC 9180 base mode, single shot: DHKEM(P-256, HKDF-SHA256) 0x0010, HKDF-SHA256
 * 0x0001, AES-128-GCM 0x0001 or AES-256-GCM 0x0002. Checked against the RFC's appendix A.3 vectors.
 * Errors E_CRYPTO, E_PARSE (bad point), E_AUTH (does not open). Threads: safe. */
#ifndef BASE_HPKE_H
#define BASE_HPKE_H

#include "base/crypto.h"

enum hpke_aead { HPKE_AES_128_GCM = 1, HPKE_AES_256_GCM = 2 };
#define HPKE_ENC_BYTES P256_POINT_BYTES

/* out_ct: pt.n + 16 octets. */
MUST_CHECK enum err hpke_seal(enum hpke_aead aead, const uint8_t to[P256_POINT_BYTES],
                              struct view info, struct view aad, struct view pt,
                              uint8_t out_enc[HPKE_ENC_BYTES], uint8_t *out_ct);
/* The same with a given ephemeral key: test vectors only. */
MUST_CHECK enum err hpke_seal_with(enum hpke_aead aead, const struct p256_key *ephemeral,
                                   const uint8_t to[P256_POINT_BYTES], struct view info,
                                   struct view aad, struct view pt, uint8_t out_enc[HPKE_ENC_BYTES],
                                   uint8_t *out_ct);
/* out_pt: ct.n - 16 octets. */
MUST_CHECK enum err hpke_open(enum hpke_aead aead, const struct p256_key *mine,
                              const uint8_t enc[HPKE_ENC_BYTES], struct view info, struct view aad,
                              struct view ct, uint8_t *out_pt);

#endif
