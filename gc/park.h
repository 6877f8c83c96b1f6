/* gc/park.h - a request waits for an answer of another thread (database, certificate fetcher)
 * without holding up its worker.
 *
 * Ownership  a parked context is held; the function is called exactly once, on the context's
 *            worker: with the answer, or with NULL when max_ms are over. It must look whether the
 *            context is still of interest (c->is_final: its request is gone then). At the end of
 *            the worker it is not called any more.
 * Threads    park(): the worker's. park_answer(): any; an answer that comes too late is dropped. */
#ifndef GC_PARK_H
#define GC_PARK_H

#include "gc/context.h"

enum { PARK_ANSWER_MAX = 1024 };

typedef void park_fn(struct ctx *c, const void *answer, size_t n);

/* A ticket that no other has; 0: no memory, or too many wait (limits.parked). */
uint64_t park(struct ctx *c, unsigned max_ms, park_fn *fn);
/* Copies n <= PARK_ANSWER_MAX octets; the function sees them aligned for any type. */
void park_answer(struct workers *ws, uint16_t worker, uint64_t ticket, const void *answer,
                 size_t n);

#endif
