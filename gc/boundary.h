/* gc/boundary.h - the edge of the trust domain (RFC 3325, RFC 5503, RFC 3323): for each header of a
 * message that passes, by its name in any spelling, by where it comes from and where it goes,
 * whether it stays, goes, or makes the message refused. The rules are rows of one table
 * (gc/boundary_rules.c; docs/identity.md prints it, tools/check_identity holds the two together).
 *
 * Sides: a party inside is a trunk whose identities are believed (in) or to which ours go (out),
 * and a provisioning server; BTIs, phones, strangers and other trunks are outside.
 *
 * What is looked at: headers, headers in URIs (?P-Asserted-Identity=..., escapes read), and the
 * lines of message/sip and message/sipfrag bodies, alone or in a multipart; in requests of every
 * method and in responses.
 *
 * Counted as headgate_boundary_total{rule="..."} is what was refused, and each header that was
 * taken out of a message as it left (once for each place that it left for). Notes for the ladder
 * stand in the worker's .crossed. The peer is never told which rule it was.
 *
 * Threads: the worker's. */
#ifndef GC_BOUNDARY_H
#define GC_BOUNDARY_H

#include "gc/worker_int.h"

/* Whether a request may be forwarded at all; asked once, before anything is done with it. False: it
 * was answered, logged and counted. Emergency calls, ACK, and requests without proof always may:
 * what has to go is taken out. */
bool boundary_check(struct worker *w, const struct inbound *in, bool is_emergency);
/* Edits that take away what may not pass, and proof that was for us. tells_all: an emergency call
 * to a certified PSAP, which is told what a trusted one is told. room: for what had to be
 * rewritten; it lives until the edit is rendered. Sets w->crossed. */
void boundary_edit(struct worker *w, struct sip_edit *e, const struct party *from,
                   const struct party *to, bool tells_all, char room[SIP_MAX_BYTES]);
bool boundary_is_peer(const struct party *p); /* a trunk, gateway or provisioning server */
/* Busy-line verification, asked for by a trunk of operators (RFC 5503 section 6). */
bool boundary_is_blv(struct worker *w, const struct inbound *in);
bool boundary_is_inside(const struct party *to);     /* private identities may go there */
bool boundary_is_believed(const struct party *from); /* what it asserts counts */
/* Whether emergency calls go to that gateway: it alone may call back as a PSAP (RFC 7090). */
bool boundary_is_psap(struct worker *w, const struct party *from);
/* Privacy (RFC 3323) of a message holds that value ("id", "header", "user", "none", "critical"). */
bool boundary_wants(const struct sip_msg *m, struct view value);

#endif
