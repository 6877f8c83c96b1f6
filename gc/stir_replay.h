/* gc/stir_replay.h - tokens that came and were good, so that none is good for a second call (RFC
 * 8224 section 12.1).
 *
 * Shape      a table of fixed size, eight places for each hash; a place is free again when the
 *            token in it has gone stale. When eight fresh ones share a hash, the oldest gives way.
 * Threads    any; one lock. */
#ifndef GC_STIR_REPLAY_H
#define GC_STIR_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct stir_replay;

/* entries: rounded up to a multiple of eight; window_s: how long a token stays fresh. */
MUST_CHECK enum err stir_replay_new(size_t entries, unsigned window_s, struct stir_replay **out);
void stir_replay_free(struct stir_replay *r); /* NULL is fine */
/* Whether the token came before with another call. The same call may bring it again, by another way
 * or more than once. token: what was signed, and the first half of the signature: the second half
 * can be turned over by anybody. call: a hash of what tells calls apart. Remembers it. */
bool stir_replay_seen(struct stir_replay *r, struct view signing_input, const uint8_t half[32],
                      uint64_t call, uint64_t now_s);

#endif
