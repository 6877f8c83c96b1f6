/* provisioning/session_ps.h - later sessions, the provisioning server's side: docs/protocol.md
 * "Sessions"; seed lines 357-362 ("in future sessions ..."). No voice, no user.
 *
 * Shape      feed YO (mode session) -> OFFER to send; feed SESSION_REQUEST -> SPS_REQUEST: look the
 *            bti_id up -> session_ps_decide() with the row -> answer to send, and on CODE_OK the
 *            keys. Conventions as provisioning/enrol_ps.h. */
#ifndef PROVISIONING_SESSION_PS_H
#define PROVISIONING_SESSION_PS_H

#include "provisioning/enrol_ps.h"

#define SESSION_SKEW_US     (300ull * 1000000ull) /* accepted difference of clocks */
#define SESSION_COUNTER_MAX ((uint64_t)INT64_MAX) /* the database counts in a bigint */

enum session_ps_event { SPS_NONE, SPS_REQUEST, SPS_REFUSED };

struct session_row { /* what the database knows of the BTI; known = false: nothing */
    bool known, revoked, barred;
    struct user_key key;
    struct ltk ltk;
    uint64_t last_counter;
};

struct session_grant { /* what the PS would answer */
    uint8_t kid[BTI_KID_BYTES];
    uint32_t lifetime_s;
    uint64_t now_us;
    struct enrol_texts gates; /* 1..4 */
};

struct session_ps;
MUST_CHECK enum err session_ps_new(const struct enrol_ps_cfg *cfg, struct session_ps **out);
void session_ps_free(struct session_ps *p);
MUST_CHECK enum err session_ps_feed(struct session_ps *p, struct view frame, struct enrol_out *out);
const uint8_t *session_ps_bti(const struct session_ps *p); /* 16; claimed, from SPS_REQUEST on */
const char *session_ps_gate(const struct session_ps *p);   /* after session_ps_decide() */
uint64_t session_ps_counter(const struct session_ps *p);   /* to store as last_counter on CODE_OK */
/* Verifies with the row and makes the answer (an error answer for every code but CODE_OK).
 * *out_keys is written on CODE_OK only. The caller stores the counter before it sends. */
MUST_CHECK enum err session_ps_decide(struct session_ps *p, const struct session_row *row,
                                      const struct session_grant *grant, uint16_t *out_code,
                                      struct session_keys *out_keys, struct enrol_out *out);
/* Instead of deciding, e.g. CODE_BUSY while the database is away. E_STATE after the end. */
MUST_CHECK enum err session_ps_refuse(struct session_ps *p, enum wire_code code,
                                      struct enrol_out *out);

#endif
