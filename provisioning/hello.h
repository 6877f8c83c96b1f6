/* provisioning/hello.h - steps 302 and 303, which enrolments and later sessions share: YO and
 * OFFER. Errors as a feed sees them: E_PARSE .. E_AUTH the peer's fault (code_of()), E_REPLAY the
 * transcript does not agree, E_NOTFOUND no common suite. Threads: one at a time. */
#ifndef PROVISIONING_HELLO_H
#define PROVISIONING_HELLO_H

#include "provisioning/enrol_bti.h"

/* Which machine a first frame is for; E_PARSE when it is no YO. */
MUST_CHECK enum err hello_mode(struct view frame, enum wire_mode *out);

struct hello_bti {
    struct p256_key ephemeral;
    uint8_t ps_pub[P256_POINT_BYTES]; /* K_PS+ once the OFFER was verified */
    struct view suites;               /* offered, best first, 1..8; see hello_suites() */
};
/* What to offer when nothing special is wanted: 2, 1, or 2 alone. Static octets. */
struct view hello_suites(bool only_256);
/* call_id: NULL in a session. E_RANGE: suites are not 1..8. */
MUST_CHECK enum err hello_yo(struct channel *c, struct hello_bti *h, const char *call_id,
                             wire_random_fn random, void *arg, struct enrol_out *out);
/* Verifies the chain and makes the ECDH secret. E_DENIED with `why` filled: certificate. */
MUST_CHECK enum err hello_offer_read(struct channel *c, struct hello_bti *h,
                                     const struct pki_root *root, const char *ps_name,
                                     uint64_t now_us, struct view frame, char why[PKI_WHY_MAX]);
/* The PS: reads YO of `mode`, writes the OFFER. call_id: 256 octets, or NULL in a session. */
MUST_CHECK enum err hello_offer(struct channel *c, const struct enrol_ps_cfg *cfg,
                                enum wire_mode mode, struct view yo, char *call_id,
                                struct enrol_out *out);

MUST_CHECK enum err hello_random(wire_random_fn random, void *arg, void *dst, size_t n);
MUST_CHECK enum err hello_random_secret(wire_random_fn random, void *arg, struct secret *out,
                                        size_t n);
MUST_CHECK enum err hello_random_key(wire_random_fn random, void *arg, struct p256_key *out);

/* Lists of short texts inside a field: { length(1) | octets }. */
void texts_put(struct wire_out *w, enum wire_field f, const struct enrol_texts *t);
MUST_CHECK enum err texts_get(struct view *body, enum wire_field f, size_t max,
                              struct enrol_texts *out);
/* True for failures of the environment, which are no answer to the peer. */
bool is_environment(enum err e);

#endif
