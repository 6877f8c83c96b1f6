/* bench/load_proof.h - how a party of the load generator proves its requests.
 *
 * Schemes    none; BTI-MAC (docs/protocol.md: every message both ways); Digest with SHA-256 and
 * qop=auth (RFC 8760, RFC 7616), the nonce used again with a rising nc as phones do it, a new one
 *            taken from any 401 or 407.
 * Ownership  keys belong to the party, which lives until the program ends. */
#ifndef BENCH_LOAD_PROOF_H
#define BENCH_LOAD_PROOF_H

#include <stdio.h>

#include "authz/bti_mac.h"
#include "base/crypto.h"
#include "signaling/sip_msg.h"

enum { PARTY_MESSAGE_MAX = 4096 };

enum proof_scheme { PROOF_NONE, PROOF_BTI_MAC, PROOF_DIGEST };

struct party {
    enum proof_scheme scheme;
    char number[32];
    uint8_t kid[BTI_KID_BYTES]; /* PROOF_BTI_MAC, as the next three */
    struct hmac_key *up, *down;
    uint64_t seq;
    const char *domain; /* PROOF_DIGEST: the realm; borrowed */
    char ha1[2 * SHA256_BYTES + 1], nonce[128];
    uint32_t nc;
    bool is_registered;
    unsigned register_cseq;
};

/* The next line of a file: "number kid mac_up mac_down" (BTI-MAC), "number ha1" (Digest), "number";
 * keys in hex. first_seq: above every number that an earlier run used. False: no further line. */
bool party_read(FILE *f, enum proof_scheme scheme, const char *domain, uint64_t first_seq,
                struct party *out);

/* Puts the proof into a message of n octets in a buffer of PARTY_MESSAGE_MAX; returns the new
 * length. Requests: method and uri are those of its start line. */
size_t party_prove(struct party *p, bool is_register, const char *method, const char *uri, char *b,
                   size_t n);
size_t party_prove_response(struct party *p, char *b, size_t n);

/* Whether a message that came for the party is proven as its scheme wants. */
bool party_verify(const struct party *p, const struct sip_msg *m);

/* Takes the nonce of a 401 or 407. False: it is none, or it says nothing new. */
bool party_challenged(struct party *p, const struct sip_msg *m);

#endif
