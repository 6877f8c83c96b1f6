/* base/arena.h - memory that lives and dies together (one message, one transaction, one call).
 *
 * Shape      chunks of 4 KiB or the size asked for; octets are 16-aligned and zeroed.
 * Limits     `max_bytes` bounds the sum of all chunks; past it arena_alloc() returns NULL.
 * Ownership  whatever comes out belongs to the arena until arena_reset() or arena_fini().
 * Threads    one arena, one thread. The zero value is an arena with no limit and no memory. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/view.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head;
    size_t used_bytes, max_bytes; /* max_bytes 0: no limit */
};

void arena_init(struct arena *a, size_t max_bytes);
void *arena_alloc(struct arena *a, size_t n);          /* NULL: out of memory or limit */
struct view arena_dup(struct arena *a, struct view v); /* .p NULL when out of memory */
char *arena_cstr(struct arena *a, struct view v);      /* copy with a NUL behind it */
void arena_reset(struct arena *a);                     /* frees all, keeps the limit */
void arena_fini(struct arena *a);

#endif
