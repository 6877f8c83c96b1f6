/* admin_api/events.h - what happens to calls on all gate controllers, for event streams.
 *
 * Shape      one thread asks every node for its newest events, only while somebody listens; they
 * stand in one ring with numbers of this process, from which each stream reads by itself. A node
 * that is silent is asked less often and delays nobody.
 * Streams    httpd_stream()'s: server-sent events, each with an id; Last-Event-ID of this process
 * goes on there, another one is answered by an event "lost". A comment each EVENTS_BEAT_S, an end
 * after EVENTS_LIFE_S, so that who asks is looked at again.
 * Limits     EVENTS_STREAMS in all, EVENTS_STREAMS_OF_ONE for one principal.
 * Threads    join: any. pull and done: one at a time for each stream. */
#ifndef ADMIN_API_EVENTS_H
#define ADMIN_API_EVENTS_H

#include <stdint.h>
#include <sys/types.h>

#include "admin_api/gates.h"
#include "base/view.h"

enum {
    EVENTS_STREAMS = 64,
    EVENTS_STREAMS_OF_ONE = 8,
    EVENTS_BEAT_S = 15,
    EVENTS_LIFE_S = 600,
    EVENTS_POLL_MS = 200
};

struct events;
struct event_stream;

struct events_filter { /* NULL and 0: all; copied */
    const char *number, *trunk, *node;
    uint64_t line;
};

MUST_CHECK enum err events_open(struct gates *g, struct events **out);
/* At the beginning of a drain: streams end, nobody joins any more. */
void events_end(struct events *e);
void events_close(struct events *e); /* NULL is fine; all streams are done */

/* Returns when all that happened before is behind the stream, a second or two at most, unless it
 * goes on from last_id. E_FULL: too many streams; E_STATE: it ends; E_NOMEM. */
MUST_CHECK enum err events_join(struct events *e, const char *who, const struct events_filter *f,
                                struct view last_id, struct event_stream **out);
ssize_t event_stream_pull(void *stream, char *to, size_t max); /* a httpd_pull_fn */
void event_stream_done(void *stream);

#endif
