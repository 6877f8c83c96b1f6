/* gc/command.h - the questions of gc/control.h from other machines, through Redis, sealed under the
 * command key (docs/state.md), so that a writer of Redis can order nothing and a reader learns
 * nothing.
 *
 * Way        headgate-admin publishes on hg:cmd:NODE; the node answers by LPUSH to hg:ans:ID (10
 * s). A command carries its time, its node and a random id: older than 10 s, of another node, or
 * seen before: dropped. Needs keys.command in the configuration of both sides; without it a node is
 * driven by its control socket alone.
 * Threads    sealing: any, nothing shared. */
#ifndef GC_COMMAND_H
#define GC_COMMAND_H

#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/view.h"

enum { COMMAND_ID_BYTES = 16, COMMAND_LIFE_S = 10, COMMAND_MAX = 64 * 1024, ANSWER_MAX = 8 << 20 };

struct command_head {
    uint8_t id[COMMAND_ID_BYTES];
    uint64_t at_us; /* wall */
};

/* direction: "ask" or "answer"; node: the node's name. Into dst: *out_n octets. E_RANGE: too long.
 */
MUST_CHECK enum err command_seal(const struct secret *key, struct view direction, struct view node,
                                 const struct command_head *head, struct view plain, void *dst,
                                 size_t dst_bytes, size_t *out_n);
/* E_AUTH: not sealed by this key for that direction and node, or altered. plain goes into dst. */
MUST_CHECK enum err command_open(const struct secret *key, struct view direction, struct view node,
                                 struct view sealed, struct command_head *head, void *dst,
                                 size_t dst_bytes, size_t *out_n);

#endif
