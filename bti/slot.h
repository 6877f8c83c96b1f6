/* bti/slot.h - sessions that outlive a process, so that a call needs no provisioning server.
 *
 * A session's sequence numbers must never be used twice and its replay window never reopen, so a
 * session has one owner: STORE.session-N (N 1..4) belongs to the process that holds byte N of
 * STORE.lock, for as long as it runs. Taking a session removes the file; only a process that ended
 * in order puts it back, with the numbers it got to. After a crash there is no file: a new session
 * is asked for. Sealed like the store. Threads: one. */
#ifndef BTI_SLOT_H
#define BTI_SLOT_H

#include "bti/mac.h"
#include "bti/store.h"

#define SLOTS 4

struct slot { /* zero value: none */
    unsigned n;
    int lock;
};

/* Takes a free slot (slot->n 0: all in use, sessions are then not kept) and the session in it, if
 * there is one that lives at least min_left_us longer: else *out NULL. */
MUST_CHECK enum err slot_take(struct store *s, uint64_t now_us, uint64_t min_left_us,
                              struct slot *out_slot, struct session **out);
/* Puts a session back (NULL: none) and gives the slot up. */
void slot_release(struct store *s, struct slot *slot, const struct session *session);

MUST_CHECK enum err session_encode(const struct session *s, uint8_t *body, size_t max,
                                   size_t *out_n);
MUST_CHECK enum err session_decode(struct view body, struct session **out);
void slot_forget_all(const struct store *s); /* an enrolment made them worthless */
/* The latest expiry of the sessions that are kept; 0: none. For bti status. */
uint64_t slot_latest_expiry(struct store *s);

#endif
