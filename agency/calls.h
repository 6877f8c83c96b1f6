/* agency/calls.h - which call a message is of, as a small number: 1 is the first that was told of.
 *
 * Call data names a call by its CallId (CCClose by its content alone). X2 has a correlation, whose
 * upper half is the number behind the comma of the CallId (docs/lawful-intercept.md); so both
 * channels, and all cases of the agency, meet in one call. Threads: one at a time on one object. */
#ifndef AGENCY_CALLS_H
#define AGENCY_CALLS_H

#include <stdbool.h>

#include "lawful_intercept/cdc.h"
#include "lawful_intercept/x2.h"

enum { CALLS_ID = 26, CALLS_MAX = 100000 }; /* those beyond have the number 0 */

struct calls;

struct calls_entry {
    char sequence[CALLS_ID]; /* "" while X2 alone told of it */
    bool ended;              /* a Release came */
};

MUST_CHECK enum err calls_new(struct calls **out);
void calls_free(struct calls *c); /* NULL is fine */
/* 0: of no call, of one that never began here, or there are too many. *out_is_new (may be NULL): it
 * has its number since now. */
unsigned calls_of_call_data(struct calls *c, const struct cdc_message *m, bool *out_is_new);
unsigned calls_of_signaling(struct calls *c, const struct x2_pdu *p, bool *out_is_new);
/* NULL: no such number. */
const struct calls_entry *calls_at(const struct calls *c, unsigned number);

/* CCOpen names the calls of a content; of ours each has one. */
struct view calls_id(const struct cdc_message *m);

#endif
