/* authz/sessions.h - the sessions that this gate controller holds: keys, replay windows, send
 * counters.
 *
 * Shape      a table by kid in 64 shards, one lock each (a key's messages reach any worker, since
 * calls are spread by Call-ID; its window is one). Looking a session up takes a lock for under 1
 * us; the HMAC is computed outside of the lock on keys that are immutable and reference-counted
 * ("held"). Memory     keys live in secret_alloc() pages, wiped on removal after the last holder
 * let go. Limits     max_sessions (E_FULL past it; the oldest-expired go first). Threads    all
 * functions: any thread. */
#ifndef AUTHZ_SESSIONS_H
#define AUTHZ_SESSIONS_H

#include "authz/digest.h"
#include "authz/replay.h"
#include "authz/session_blob.h"

struct sessions;
struct session; /* held reference */

MUST_CHECK enum err sessions_new(size_t max_sessions, struct sessions **out);
void sessions_free(struct sessions *s); /* aborts when a session is still held */
/* Adds or replaces (a replacement keeps the replay window and counter of the same kid). Takes a
 * copy of what is used: MAC keys, TLS PSK, Digest key. When full, what had expired by the newest
 * time told to session_hold() or sessions_expire() goes; E_FULL when nothing had. E_RANGE: a key
 * that is not 32 octets. */
MUST_CHECK enum err sessions_put(struct sessions *s, const struct session_record *r);
void sessions_drop(struct sessions *s, const uint8_t kid[BTI_KID_BYTES]);
/* Revocation; returns how many went; calls fn for each (under no lock). */
size_t sessions_drop_bti(struct sessions *s, const uint8_t bti_id[BTI_ID_BYTES],
                         void (*fn)(void *arg, const uint8_t kid[BTI_KID_BYTES]), void *arg);
size_t sessions_expire(struct sessions *s, uint64_t now_us);
size_t sessions_count(const struct sessions *s);

/* Hold a session: E_NOTFOUND (unknown or expired). Every hold needs a session_release(). */
MUST_CHECK enum err session_hold(struct sessions *s, const uint8_t kid[BTI_KID_BYTES],
                                 uint64_t now_us, struct session **out);
void session_release(struct session *s);
uint64_t session_line(const struct session *s);
const uint8_t *session_bti(const struct session *s); /* 16 octets */
const uint8_t *session_kid(const struct session *s);
uint64_t session_expires_us(const struct session *s);
MUST_CHECK enum err session_psk(const struct session *s, struct secret *out);
/* Of the phone behind that BTI; the caller wipes it. */
MUST_CHECK enum err session_digest_password(const struct session *s,
                                            char out[DIGEST_PASSWORD_BYTES]);

/* Verifies a message of the BTI: MAC first, then window. E_AUTH: wrong MAC or another kid; E_PARSE:
 * digits outside of raw. *out_repeat: the number
 * was seen or is too old (the transaction layer may still know it as a retransmission); a fresh one
 * is marked. */
MUST_CHECK enum err session_verify(struct session *s, struct view raw, const struct bti_mac *mac,
                                   bool *out_repeat);
/* Next send number and MAC for a message to the BTI: msg holds 64 zeros at `at` ... after the
 * caller put a header made with bti_mac_format(kid, session_next_seq()). The first number here is
 * the session's age in milliseconds, by the newest time told: above whatever another node, or we
 * before a restart, sent in its first moments, of which no mark may have come yet. */
uint64_t session_next_seq(struct session *s);
MUST_CHECK enum err session_fill(struct session *s, char *msg, size_t n, size_t at);

/* Fail-over: the send counter and the highest number seen, to be mirrored and restored. */
void session_marks(const struct session *s, uint64_t *out_sent, uint64_t *out_seen);
void session_restore(struct session *s, uint64_t sent_floor, uint64_t seen_floor);

#endif
