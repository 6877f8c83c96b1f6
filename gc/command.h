/* gc/command.h - the questions of gc/control.h from other machines, through Redis, sealed under the
 * command key (docs/state.md), so that a writer of Redis can order nothing and a reader learns
 * nothing.
 *
 * Way        headgate-admin publishes on hg:cmd:NODE; the node answers by LPUSH to hg:ans:ID (10
 * s). A command carries its time, its node and a random id: older than 10 s, of another node, or
 * seen before: dropped. Needs keys.command in the configuration of both sides; without it a node is
 * driven by its control socket alone.
 * Threads    sealing: any, nothing shared. A guard: one. */
#ifndef GC_COMMAND_H
#define GC_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/view.h"

enum {
    COMMAND_ID_BYTES = 16,
    COMMAND_LIFE_S = 10,
    COMMAND_KEY_BYTES = 32,
    COMMAND_SEAL_EXTRA = 1 + 16 + COMMAND_ID_BYTES + 8 + 16, /* octets around the plain ones */
    COMMAND_NAME_MAX = 64,                                   /* of a direction and of a node */
    COMMAND_MAX = 64 * 1024,                                 /* sealed */
    ANSWER_MAX = 8 << 20,                                    /* sealed */
    COMMAND_SEEN_MAX = 1 << 14, /* commands that are remembered; more at a time are dropped */
};

struct command_head {
    uint8_t id[COMMAND_ID_BYTES];
    uint64_t at_us; /* wall */
};

/* direction: "ask" or "answer"; node: the node's name. Into dst: *out_n octets. E_RANGE: too long,
 * or a key that has not COMMAND_KEY_BYTES. */
MUST_CHECK enum err command_seal(const struct secret *key, struct view direction, struct view node,
                                 const struct command_head *head, struct view plain, void *dst,
                                 size_t dst_bytes, size_t *out_n);
/* E_AUTH: not sealed by this key for that direction and node, or altered. E_PARSE: no sealed
 * command at all. E_RANGE: too long. plain goes into dst. */
MUST_CHECK enum err command_open(const struct secret *key, struct view direction, struct view node,
                                 struct view sealed, struct command_head *head, void *dst,
                                 size_t dst_bytes, size_t *out_n);

/* What a node remembers, so that no command is obeyed twice. started_us: when the process began,
 * wall: what was sealed before may have been obeyed by the process before. */
struct command_guard;
MUST_CHECK enum err command_guard_new(uint64_t started_us, struct command_guard **out);
void command_guard_free(struct command_guard *g); /* NULL is fine */
/* For a head that command_open() gave. E_REPLAY: too old, ahead of our clock by more than
 * COMMAND_LIFE_S, from before the start, or seen; E_FULL: too many at a time. */
MUST_CHECK enum err command_fresh(struct command_guard *g, const struct command_head *h,
                                  uint64_t now_us);

#endif
