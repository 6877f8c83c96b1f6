/* base/laes.h - what a gate controller of others says of interception (P-DCS-LAES, RFC 5503 section
 * 8; Dcs-Laes in the drafts) is for the next one alone: nobody who looks at a copy of the message,
 * an operator's ladder, a collector or an agency, may learn of another's order.
 *
 * Shape      works in place on the text of one SIP message. Of the head the header goes with its
 * folds, and the pair behind the '?' of a URI; what stays is as it was written. Of a body the value
 * is overwritten with '*', since the head tells how long the body is.
 * Threads    pure. */
#ifndef BASE_LAES_H
#define BASE_LAES_H

#include <stddef.h>

/* Returns how many octets are left, n at most. */
size_t laes_cut(char *p, size_t n);

#endif
