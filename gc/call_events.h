/* gc/call_events.h - what happened to calls, for whoever watches: the last events of this node.
 *
 * Shape      one ring for all workers; numbers go up by one and begin at 1 with each start of the
 *            process, which has an id of its own, so that a reader knows when he missed some. It is
 *            no record: that is the CDR.
 * Memory     fixed when it is made; the oldest give way.
 * Threads    any; one lock, held for some copies. */
#ifndef GC_CALL_EVENTS_H
#define GC_CALL_EVENTS_H

#include "gc/trace.h"

enum call_event_kind {
    CALL_EVENT_STARTED,
    CALL_EVENT_ROUTED, /* it is known where to; again when it goes on elsewhere */
    CALL_EVENT_ANSWERED,
    CALL_EVENT_PREEMPTED, /* it is told to end; ENDED follows */
    CALL_EVENT_ENDED
};
const char *call_event_name(enum call_event_kind k); /* "started" .. */

enum { CALL_EVENT_START_BYTES = 17 };

struct call_event {
    uint64_t number;
    enum call_event_kind kind;
    uint64_t at_us;         /* wall */
    struct trace_call call; /* as it was then; id, caller, called, routed, route, trunks, lines,
                               status, end_by */
};

struct call_events;
/* max: 0: 4096. */
MUST_CHECK enum err call_events_new(size_t max, struct call_events **out);
void call_events_free(struct call_events *e); /* NULL is fine */
/* Numbers it. NULL events: nothing happens. */
void call_events_put(struct call_events *e, enum call_event_kind kind, uint64_t at_us,
                     const struct trace_call *c);
struct call_events_page {
    char start[CALL_EVENT_START_BYTES]; /* of this start of the process */
    uint64_t last, lost; /* number of the newest of all; how many behind `since` are gone */
    size_t n;            /* copied out */
};
/* Those with numbers above since, oldest first, up to max. */
void call_events_read(struct call_events *e, uint64_t since, struct call_event *out, size_t max,
                      struct call_events_page *page);

#endif
