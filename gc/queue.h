/* gc/queue.h - what other threads hand to a worker: a bounded ring of records, copied in and out.
 *
 * Shape      many writers, one reader; records of any size up to QUEUE_RECORD_MAX, in order.
 * Limits     `bytes` of memory, fixed. queue_push() never waits: false when there is no room.
 * Threads    push: any; pop: the owner. One lock, held for the copy of one record. */
#ifndef GC_QUEUE_H
#define GC_QUEUE_H

#include "base/view.h"

#define QUEUE_RECORD_MAX 10240

struct queue;

MUST_CHECK enum err queue_new(size_t bytes, struct queue **out);
void queue_free(struct queue *q);
/* The parts stand one after the other in the record. */
bool queue_push(struct queue *q, const struct view *parts, size_t n);
/* Octets copied to dst (QUEUE_RECORD_MAX of room); 0: empty. */
size_t queue_pop(struct queue *q, void *dst);

#endif
