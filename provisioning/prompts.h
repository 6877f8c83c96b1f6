/* provisioning/prompts.h - spoken prompts: raw u-law files at 8 kHz, and a player that strings them
 * together. Seed step 307. Threads: one. */
#ifndef PROVISIONING_PROMPTS_H
#define PROVISIONING_PROMPTS_H

#include "media/rtp.h"

#define PROMPT_LIST(X)                                                                             \
    X(ENTER, "enter")                                                                              \
    X(WRONG, "wrong") X(ACCEPTED, "accepted") X(GOODBYE, "goodbye") X(LOCKED, "locked")
#define PROMPT_ENUM(id, name) PROMPT_##id,
enum prompt { PROMPT_LIST(PROMPT_ENUM) PROMPT_COUNT };
#undef PROMPT_ENUM

#define PROMPT_MAX_BYTES (8000 * 30) /* 30 s */

struct prompts {
    uint8_t *ulaw[PROMPT_COUNT];
    size_t n[PROMPT_COUNT];
};
/* Logs the file at fault. E_NOTFOUND, E_IO, E_RANGE, E_NOMEM. */
MUST_CHECK enum err prompts_load(const char *folder, struct prompts *out);
void prompts_free(struct prompts *p);

#define PLAYER_QUEUE 4
struct player { /* zero value: silent */
    enum prompt queue[PLAYER_QUEUE];
    unsigned n;
    size_t at; /* in the first of the queue */
};
void player_add(struct player *p, enum prompt which); /* dropped when the queue is full */
void player_clear(struct player *p);
/* One frame; false when nothing is left. */
bool player_fill(struct player *p, const struct prompts *from, int16_t pcm[RTP_FRAME]);

#endif
