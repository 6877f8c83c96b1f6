/* media/srtp.h - SRTP of one direction (RFC 3711, RFC 7714). The only door to libsrtp2.
 *
 * Key        master key || master salt: AEAD_AES_256_GCM 32 + 12 octets, AES_CM_128_HMAC_SHA1_80
 *            16 + 14. Any SSRC, but at most 8 for each key: each costs memory while the key lives.
 *            Replay window 1024 packets. Threads: one at a time on one object.
 */
#ifndef MEDIA_SRTP_H
#define MEDIA_SRTP_H

#include "base/secret.h"
#include "base/view.h"

enum srtp_suite { SRTP_AEAD_AES_256_GCM, SRTP_AES_CM_128_HMAC_SHA1_80 };
enum srtp_use { SRTP_SEND, SRTP_RECEIVE };

#define SRTP_TRAILER_MAX 32 /* octets that protecting may add */

const char *srtp_suite_name(enum srtp_suite s); /* as in RFC 4568 a=crypto */
/* E_NOTFOUND for others. */
MUST_CHECK enum err srtp_suite_of(struct view name, enum srtp_suite *out);
size_t srtp_key_bytes(enum srtp_suite s); /* key and salt: 44 or 30 */

struct srtp_way;
/* key->n must be srtp_key_bytes(): else E_RANGE. */
MUST_CHECK enum err srtp_way_new(enum srtp_suite s, enum srtp_use use, const struct secret *key,
                                 struct srtp_way **out);
void srtp_way_free(struct srtp_way *w); /* NULL is fine; wipes */
/* In place; *n grows. max: octets at packet; E_RANGE when *n + SRTP_TRAILER_MAX is over max. */
MUST_CHECK enum err srtp_seal(struct srtp_way *w, uint8_t *packet, size_t *n, size_t max);
/* In place; *n shrinks. E_AUTH, E_REPLAY, E_PARSE; E_FULL: a ninth SSRC. packet: 4-aligned. */
MUST_CHECK enum err srtp_open(struct srtp_way *w, uint8_t *packet, size_t *n);

#endif
