/* bti/mac.h - one session of this BTI and the MAC on its messages (authz/bti_mac.h).
 *
 * Sequence   sent numbers ascend by one; what comes in passes a replay window. A session belongs to
 * one process at a time (bti/slot.h).
 * Memory     secret_alloc().
 * Threads    one. */
#ifndef BTI_MAC_H
#define BTI_MAC_H

#include "authz/replay.h"
#include "authz/session_blob.h"
#include "provisioning/enrol_bti.h"
#include "signaling/sip_msg.h"

struct session {
    uint8_t kid[BTI_KID_BYTES];
    struct session_keys keys;
    struct hmac_key *up, *down;
    uint64_t next_seq;
    struct replay seen;
    uint64_t expires_us; /* wall, our clock */
    struct enrol_texts gates;
};

/* Copies the keys. */
MUST_CHECK enum err session_new(const uint8_t kid[BTI_KID_BYTES], const struct session_keys *keys,
                                struct session **out);
void session_free(struct session *s); /* NULL is fine */

/* Adds the header with the MAC to a whole message, in place: Proxy-Authorization (REGISTER:
 * Authorization), in a response Authentication-Info. E_RANGE: no room. E_EXISTS: it has one.
 * E_PARSE: no SIP message. */
MUST_CHECK enum err mac_seal(struct session *s, char *buf, size_t max, size_t *n);
/* E_NOTFOUND: carries none; E_PARSE: more than one, or malformed; E_DENIED: another session's;
 * E_AUTH; E_REPLAY: older than the window. *out_repeat: seen before. */
MUST_CHECK enum err mac_check(struct session *s, const struct sip_msg *m, bool *out_repeat);

#endif
