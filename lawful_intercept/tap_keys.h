/* lawful_intercept/tap_keys.h - the media keys of a 611 call on their way through the tap: sealed
 * by headgate-prov, which has the public half alone, to the key of headgate-li. With tap.h all that
 * others may include of this folder.
 *
 * Octets     version 1 (1) | name of the key (8: SHA-256 of the public point, its beginning) |
 * HPKE enc (65) | ciphertext: up key, up salt, down key, down salt (32 + 12 octets each way; SRTP
 * AEAD_AES_256_GCM, RFC 7714; "up" is what the BTI sends) and the tag. HPKE base mode (RFC 9180),
 * AES-256-GCM, info "headgate tap enrolment v1", AAD our id of the call "|" its Call-ID: keys of
 * one call open for no other. Threads: pure functions. */
#ifndef LAWFUL_INTERCEPT_TAP_KEYS_H
#define LAWFUL_INTERCEPT_TAP_KEYS_H

#include "base/hpke.h"
#include "base/view.h"

enum {
    TAP_WAY_BYTES = 44, /* key and salt of one direction */
    TAP_KEYS_BYTES = 2 * TAP_WAY_BYTES,
    TAP_KEY_NAME_BYTES = 8,
    TAP_SEALED_BYTES = 1 + TAP_KEY_NAME_BYTES + HPKE_ENC_BYTES + TAP_KEYS_BYTES + GCM_TAG_BYTES
};

/* keys: TAP_KEYS_BYTES. E_CRYPTO, E_PARSE (no point), E_RANGE (ids over 320 octets). */
MUST_CHECK enum err tap_keys_seal(const uint8_t to[P256_POINT_BYTES], struct view call,
                                  struct view call_id, const uint8_t keys[TAP_KEYS_BYTES],
                                  uint8_t out[TAP_SEALED_BYTES]);
/* The first of mine that it names opens it. E_NOTFOUND: none of mine is named; E_AUTH: it does not
 * open; E_PARSE: another version or length. */
MUST_CHECK enum err tap_keys_open(const struct p256_key *mine, size_t n, struct view call,
                                  struct view call_id, struct view sealed,
                                  uint8_t out[TAP_KEYS_BYTES]);

#endif
