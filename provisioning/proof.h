/* provisioning/proof.h - small parts that both ends' machines share: the wrapping of 304, the proof
 * of possession of 310, sealed rows of fields. docs/protocol.md. Threads: pure. */
#ifndef PROVISIONING_PROOF_H
#define PROVISIONING_PROOF_H

#include "provisioning/enrol_ps.h"

#define HPKE_INFO_ENROL   "headgate v1 enrol"
#define HPKE_INFO_SESSION "headgate v1 session"
#define PROOF_LABEL       "headgate v1 user key"
#define REQUEST_LABEL     "headgate v1 session request"

void out_reset(struct enrol_out *out);
void fields_begin(struct wire_out *w, uint8_t *buf, size_t max); /* no frame head */
/* Seals the fields as one frame into out; wipes the buffer of w. */
MUST_CHECK enum err fields_send(struct channel *c, enum way way, enum wire_type type,
                                struct wire_out *w, struct enrol_out *out);

/* {SK, AK, N0}_K: 96 octets under a key from K, the ECDH secret and the transcript. */
MUST_CHECK enum err wrap_seal(const struct channel *c, const struct secret *k,
                              const uint8_t hash[SHA256_BYTES], struct view pt, uint8_t *out);
MUST_CHECK enum err wrap_open(const struct channel *c, const struct secret *k,
                              const uint8_t hash[SHA256_BYTES], struct view ct, uint8_t *out);

/* K_U: ECDSA (d given) or HMAC over label | transcript | N1 | N2 | key. out: 64 or 32 octets. */
MUST_CHECK enum err possession_make(const struct user_key *u, const struct secret *d,
                                    const uint8_t hash[SHA256_BYTES], const uint8_t *n1,
                                    const uint8_t *n2, uint8_t out[P256_SIG_BYTES], size_t *out_n);
MUST_CHECK enum err possession_check(const struct user_key *u, const uint8_t hash[SHA256_BYTES],
                                     const uint8_t *n1, const uint8_t *n2, struct view proof);

/* What a session request's signature or MAC covers: label | transcript | the fields before it. */
MUST_CHECK enum err request_message(const uint8_t hash[SHA256_BYTES], struct view fields,
                                    uint8_t *buf, size_t max, struct view *out);

#endif
