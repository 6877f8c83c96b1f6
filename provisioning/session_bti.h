/* provisioning/session_bti.h - later sessions, the BTI's side; see provisioning/session_ps.h. */
#ifndef PROVISIONING_SESSION_BTI_H
#define PROVISIONING_SESSION_BTI_H

#include "provisioning/session_ps.h"

struct session_bti_cfg {
    const struct pki_root *root;
    const char *ps_name; /* NULL: any */
    uint64_t now_us;
    uint8_t bti_id[BTI_ID_BYTES];
    uint64_t counter; /* above every one used before; stored before it is sent */
    const char *gate; /* the gate controller it is for: 1..255 octets */
    enum wire_form form;
    const struct p256_key *k_u; /* FORM_SIGNED */
    const struct ltk *ltk;      /* FORM_LTK */
    struct view suites;         /* SUITES as they stand, at most 8; empty: 2, 1 */
    wire_random_fn random;
    void *random_arg;
};

enum session_bti_event { SBTI_NONE, SBTI_DONE, SBTI_REFUSED };

struct session_result {
    uint16_t code; /* enum wire_code; CODE_STALE: server_us and counter say how far off */
    uint8_t kid[BTI_KID_BYTES];
    uint32_t lifetime_s;
    uint64_t server_us, counter;
    struct enrol_texts gates;
    struct session_keys keys; /* wipe with session_keys_wipe() */
    char text[PKI_WHY_MAX];
};

struct session_bti;
MUST_CHECK enum err session_bti_new(const struct session_bti_cfg *cfg, struct session_bti **out);
void session_bti_free(struct session_bti *b);
MUST_CHECK enum err session_bti_start(struct session_bti *b, struct enrol_out *out); /* YO */
MUST_CHECK enum err session_bti_feed(struct session_bti *b, struct view frame,
                                     struct enrol_out *out);
/* After SBTI_DONE or SBTI_REFUSED; owned by b. */
const struct session_result *session_bti_result(const struct session_bti *b);

#endif
