/* authz/sealed.h - small secrets that lie in the database and in the snapshot file (HA1 of phones,
 * passwords for trunks), sealed with AES-256-GCM under a key derived from the cluster key: whoever
 * reads the database learns nothing, and a row that was altered or put in another's place does not
 * open.
 *
 * Wire       docs/protocol.md "sealed secrets": version(1) | nonce(12) | ciphertext | tag(16). The
 *            AAD binds purpose and context, so that nothing opens where it was not sealed for.
 * Who        the gate controller seals (control socket) and opens (at use). Threads: pure. */
#ifndef AUTHZ_SEALED_H
#define AUTHZ_SEALED_H

#include "base/crypto.h"

#define SEALED_EXTRA       (1 + GCM_NONCE_BYTES + GCM_TAG_BYTES)
#define SEALED_MAX         (SEALED_EXTRA + SECRET_MAX)
#define SEALED_CONTEXT_MAX 400

/* Purposes. Context of a credential: username NUL realm NUL "SHA-256" or "MD5"; of a trunk's
 * password: name of the trunk NUL user name. */
#define SEALED_CREDENTIAL VIEW("credential")
#define SEALED_TRUNK      VIEW("trunk password")

/* The one key that seals them all, from the cluster key (32 octets; else E_RANGE). */
MUST_CHECK enum err sealed_key(const struct secret *cluster_key, struct secret *out);
/* E_RANGE: an empty secret, a context of more than SEALED_CONTEXT_MAX octets; E_CRYPTO. */
MUST_CHECK enum err sealed_make(const struct secret *key, struct view purpose, struct view context,
                                const struct secret *plain, uint8_t dst[SEALED_MAX], size_t *out_n);
/* E_PARSE: not of this form; E_AUTH: other key, purpose or context, or altered; E_RANGE as above.
 */
MUST_CHECK enum err sealed_open(const struct secret *key, struct view purpose, struct view context,
                                struct view sealed, struct secret *out);

#endif
