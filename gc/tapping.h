/* gc/tapping.h - where the tap of lawful_intercept/tap.h is called from: for every message and
 * every call the same, whoever they are of.
 *
 * Nobody here knows who reads. Without tap.file nothing is written. Threads: the worker's. */
#ifndef GC_TAPPING_H
#define GC_TAPPING_H

#include "gc/worker_int.h"

/* call NULL: outside of calls. */
void tapped_in(struct worker *w, const struct call *call, const struct inbound *in);
/* An answer to what we passed on outside of calls, of whom it was asked. */
void tapped_answer(struct worker *w, const struct party *who, const struct inbound *in);
void tapped_out(struct worker *w, const struct call *call, const struct sip_flow *to,
                const struct party *who, struct view raw);
void tapped_begin(const struct call *call);
/* It goes to that party, under that number. */
void tapped_route(const struct call *call, const struct party *to, struct view routed);
void tapped_end(const struct call *call, unsigned status, const char *end_by);
/* An attempt that was refused before it was a call. */
void tapped_refused(struct worker *w, const struct inbound *in, struct view caller,
                    struct view called);

#endif
