/* gc/boundary.h - the edge of the trust domain (RFC 3325, RFC 5503, RFC 3323): for each header of a
 * message that passes, by its name in any spelling, by where it comes from and where it goes,
 * whether it stays, goes, or makes the message refused. The rules are rows of one table
 * (docs/identity.md prints it; tools/check_identity holds the two together).
 *
 * Sides      a party inside is a trunk whose identities are believed (in) or to which ours go
 * (out), and a provisioning server; BTIs, phones and everybody else are outside. Also       headers
 * in URIs (?P-Asserted-Identity=...) of Refer-To, Referred-By, Contact, Replaces, Request-URI;
 * escapes read; and the parts of multipart bodies (message/sip, message/sipfrag). Threads    the
 * worker's. */
#ifndef GC_BOUNDARY_H
#define GC_BOUNDARY_H

#include "gc/worker_int.h"

enum boundary_verdict { BOUNDARY_PASSES, BOUNDARY_REFUSED };

/* Whether a request may be forwarded at all; asked once, before anything is done with it. status
 * and reason for the answer, why for trace and log (never for the caller): literals. Counted by
 * rule. */
enum boundary_verdict boundary_check(struct worker *w, const struct inbound *in, unsigned *status,
                                     const char **why);
/* Edits that take away what may not pass. tells_all: an emergency call to a certified PSAP. body is
 * room for one that had to be rewritten; it lives until the edit is rendered. Counted by rule. */
void boundary_edit(struct worker *w, struct sip_edit *e, const struct sip_msg *m,
                   const struct party *from, const struct party *to, bool tells_all,
                   char body[SIP_MAX_BYTES]);
bool boundary_is_inside(const struct party *to);     /* private identities may go there */
bool boundary_is_believed(const struct party *from); /* what it asserts counts */
/* Privacy (RFC 3323) of a message holds that value ("id", "header", "user", "none", "critical"). */
bool boundary_wants(const struct sip_msg *m, struct view value);

#endif
