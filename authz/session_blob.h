/* authz/session_blob.h - a session's keys on their way from headgate-prov to the gate controllers,
 * through Redis: sealed with AES-256-GCM under the cluster key (32 octets, a file that both read),
 * so that Redis and everyone who reads it learns nothing and can alter nothing.
 *
 * Wire       docs/protocol.md "session hand-over": version(1) | nonce(12) | ciphertext | tag(16);
 * AAD is "headgate session v1" | kid. Redis: SET hg:sess:<kid hex> <blob> EX <lifetime>; PUBLISH
 * hg:sess <blob prefixed by the 16 octets of kid>.  Revocation: PUBLISH hg:revoke <bti_id 16
 * octets>. Who        provisioning seals; gc opens. Threads: pure. */
#ifndef AUTHZ_SESSION_BLOB_H
#define AUTHZ_SESSION_BLOB_H

#include "authz/bti_mac.h"

#define BTI_ID_BYTES          16
#define SESSION_BLOB_MAX      512
#define SESSION_REDIS_PREFIX  "hg:sess:"
#define SESSION_REDIS_CHANNEL "hg:sess"

struct session_keys {       /* all 32 octets; labels in docs/protocol.md "key schedule" */
    struct secret mac_up;   /* BTI -> GC */
    struct secret mac_down; /* GC -> BTI */
    struct secret enc_up, enc_down;
    struct secret tls_psk;
    struct secret digest;
};

struct session_record {
    uint8_t kid[BTI_KID_BYTES];
    uint8_t bti_id[BTI_ID_BYTES];
    uint64_t line_id;
    uint64_t created_us, expires_us; /* wall */
    struct session_keys keys;
};

/* E_RANGE: a key that is not 32 octets, or max too small. */
MUST_CHECK enum err session_blob_seal(const struct secret *cluster_key,
                                      const struct session_record *r, uint8_t *dst, size_t max,
                                      size_t *out_n);
/* E_AUTH; E_PARSE; E_RANGE (cluster key). */
MUST_CHECK enum err session_blob_open(const struct secret *cluster_key,
                                      const uint8_t kid[BTI_KID_BYTES], struct view blob,
                                      struct session_record *out);
void session_record_wipe(struct session_record *r);

#endif
