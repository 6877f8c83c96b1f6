/* bti/candidate.h - what an enrolment needs before it dials, and what it leaves when it is through:
 * store, key, pinned root, offer. The functions with `say` tell what is wrong. Threads: one. */
#ifndef BTI_CANDIDATE_H
#define BTI_CANDIDATE_H

#include "bti/options.h"
#include "bti/say.h"
#include "bti/store.h"

/* E_EXISTS: enrolled already, and no --force; or another process enrols. *out_lock is to be closed
 * when the enrolment is over: two at a time would take each other's pending key. */
MUST_CHECK enum err candidate_store(const struct options *o, const struct say *say,
                                    struct store **out, int *out_lock);
/* The key of an enrolment that did not get its last answer, or a new one. */
MUST_CHECK enum err candidate_key(struct store *s, const struct options *o, const struct say *say,
                                  const struct net_addr *local);
/* Reads --root into the store's data and pins it. */
MUST_CHECK enum err candidate_root(struct store *s, const struct options *o, const struct say *say,
                                   struct pki_root **out);
/* SDP of the SETUP. E_RANGE. */
MUST_CHECK enum err candidate_offer(struct net_addr rtp, uint64_t id, char *dst, size_t max,
                                    size_t *out_n);
/* After DONE: writes the enrolled store; the pending key and sessions of an earlier enrolment go.
 * ps: the control channel's address, for a PS that names no servers. */
MUST_CHECK enum err candidate_keep(struct store *s, const struct options *o,
                                   const struct enrol_bti *machine, const struct net_addr *ps);

#endif
