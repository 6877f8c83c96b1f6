/* authz/replay.h - sliding replay window over 64-bit sequence numbers (RFC 6479 manner).
 * Window REPLAY_WINDOW numbers behind the highest seen. 0 is never valid. The zero value is a fresh
 * window. replay_check() only looks; replay_mark() after the MAC was verified. Threads: caller
 * serialises. */
#ifndef AUTHZ_REPLAY_H
#define AUTHZ_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define REPLAY_WINDOW 1024

struct replay {
    uint64_t top;
    uint64_t bits[REPLAY_WINDOW / 64 + 1];
};

enum replay_verdict { REPLAY_FRESH, REPLAY_SEEN, REPLAY_TOO_OLD };
enum replay_verdict replay_check(const struct replay *r, uint64_t seq);
void replay_mark(struct replay *r, uint64_t seq);
/* After a failover: nothing at or below `floor` will be accepted. */
void replay_floor(struct replay *r, uint64_t floor);

#endif
