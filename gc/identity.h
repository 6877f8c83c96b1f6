/* gc/identity.h - who calls, as it was proven; and what of that each side is shown (RFC 3323, RFC
 * 3325, RFC 7044's privacy; seed, Summary).
 *
 * The verified identity is recorded in every call. What leaves us is written from it: From towards
 * anybody (name from the subscriber's record), P-Asserted-Identity towards the trust domain always,
 * towards a line only when it subscribes to caller ID and the call is not private. A call that is
 * private, or whose callee does not subscribe, shows "Anonymous" <sip:anonymous@anonymous.invalid>
 * to that side for the whole life of its dialog.
 * Threads    the worker's. */
#ifndef GC_IDENTITY_H
#define GC_IDENTITY_H

#include "gc/worker_int.h"
#include "routing/snapshot.h"

struct identity {                /* of a caller */
    char number[DIAL_E164_MAX];  /* verified; empty: none (611, 911 without proof, a trunk's) */
    char asserted[ASSERTED_MAX]; /* name-addr with our domain; empty: none */
    char tel[48];                /* "<tel:+12125550101>"; empty: none */
    bool is_private;             /* by the line's default, *67, *82, Privacy, or the trunk's word */
    bool is_known;               /* somebody vouches for it: a line's proof, a believed trunk */
};

extern const char identity_anonymous[]; /* name-addr */

/* Of a proven line: E_DENIED: From or P-Preferred-Identity claims what is no number of it. */
MUST_CHECK enum err identity_of_line(struct worker *w, const struct inbound *in,
                                     const struct line *line, struct identity *out);
/* Of a trunk's call, as far as it is believed. */
void identity_of_trunk(struct worker *w, const struct inbound *in, struct identity *out);
/* The From name-addr that `to` is shown. */
const char *identity_shown(struct worker *w, const struct identity *id, const struct party *to);
/* Whether `to` is given P-Asserted-Identity. */
bool identity_may_see(struct worker *w, const struct identity *id, const struct party *to);

#endif
