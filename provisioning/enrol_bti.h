/* provisioning/enrol_bti.h - the BTI's side of one enrolment: seed steps 302-310. Conventions as
 * provisioning/enrol_ps.h. */
#ifndef PROVISIONING_ENROL_BTI_H
#define PROVISIONING_ENROL_BTI_H

#include "provisioning/enrol_ps.h"

struct enrol_bti_cfg {
    const struct pki_root *root; /* K_SP+, "ROM" */
    const char *ps_name;         /* the DNS name that the certificate must carry; NULL: any */
    uint64_t now_us;             /* wall time, for certificate validity */
    const char *call_id;         /* of the 611 INVITE */
    struct bti_info info;
    bool only_256;      /* offer suite 2 alone */
    struct view suites; /* SUITES as they stand, at most 8; empty: as only_256 says */
    wire_random_fn random;
    void *random_arg;
};

enum enrol_bti_event { BTI_NONE, BTI_AUDIO_READY, BTI_AUTH_RESULT, BTI_DONE, BTI_REFUSED };

struct enrol_bti;
MUST_CHECK enum err enrol_bti_new(const struct enrol_bti_cfg *cfg, struct enrol_bti **out);
void enrol_bti_free(struct enrol_bti *b);
MUST_CHECK enum err enrol_bti_start(struct enrol_bti *b, struct enrol_out *out); /* YO, 302 */
MUST_CHECK enum err enrol_bti_feed(struct enrol_bti *b, struct view frame, struct enrol_out *out);
/* From BTI_AUDIO_READY on. */
MUST_CHECK enum err enrol_bti_audio(const struct enrol_bti *b, struct audio_keys *out);
/* Of the last BTI_AUTH_RESULT. */
enum wire_verdict enrol_bti_verdict(const struct enrol_bti *b, uint8_t *out_tries_left);
/* Step 310 after VERDICT_ACCEPTED: the public half with proof of possession, or 64 random octets.
 */
MUST_CHECK enum err enrol_bti_user_key(struct enrol_bti *b, const struct p256_key *k_u,
                                       struct enrol_out *out);
MUST_CHECK enum err enrol_bti_user_secret(struct enrol_bti *b, const struct secret *k_u,
                                          struct enrol_out *out);
/* From BTI_DONE on. */
const struct enrol_ack *enrol_bti_result(const struct enrol_bti *b);
MUST_CHECK enum err enrol_bti_ltk(const struct enrol_bti *b, struct ltk *out);
/* After BTI_REFUSED: the code (ours or the PS's) and a plain text, e.g. why the certificate is not
 * trusted. */
uint16_t enrol_bti_refusal(const struct enrol_bti *b, const char **out_text);

#endif
