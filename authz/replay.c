#include "authz/replay.h"

#include <string.h>

#define WORDS (REPLAY_WINDOW / 64 + 1)

/* RFC 6479: one word more than the window, so that sliding clears whole words and never shifts. */

enum replay_verdict replay_check(const struct replay *r, uint64_t seq)
{
    if (seq == 0) {
        return REPLAY_TOO_OLD;
    }
    if (seq > r->top) {
        return REPLAY_FRESH;
    }
    if (r->top - seq >= REPLAY_WINDOW) {
        return REPLAY_TOO_OLD;
    }
    uint64_t bit = 1ull << (seq % 64);
    return (r->bits[(seq / 64) % WORDS] & bit) ? REPLAY_SEEN : REPLAY_FRESH;
}

void replay_mark(struct replay *r, uint64_t seq)
{
    if (replay_check(r, seq) != REPLAY_FRESH) {
        return;
    }
    if (seq > r->top) {
        uint64_t from = r->top / 64;
        uint64_t words = seq / 64 - from;
        if (words > WORDS) {
            words = WORDS;
        }
        for (uint64_t i = 1; i <= words; i++) {
            /* The last `words` words up to seq's: also right when seq jumped far. */
            r->bits[(seq / 64 - words + i) % WORDS] = 0;
        }
        r->top = seq;
    }
    r->bits[(seq / 64) % WORDS] |= 1ull << (seq % 64);
}

void replay_floor(struct replay *r, uint64_t floor)
{
    if (floor > r->top) {
        memset(r->bits, 0, sizeof r->bits);
        r->top = floor;
    }
    /* What lies at or below the floor and still in the window counts as seen. */
    uint64_t low = r->top >= REPLAY_WINDOW ? r->top - REPLAY_WINDOW + 1 : 1;
    for (uint64_t seq = low; floor != 0 && seq <= floor && seq >= low; seq++) {
        r->bits[(seq / 64) % WORDS] |= 1ull << (seq % 64);
    }
}
