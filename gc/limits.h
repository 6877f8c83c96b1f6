/* gc/limits.h - who may still do what: token buckets by source address, and live calls by line.
 *
 * Shape      32 shards, one lock each: limits hold for the node, whatever worker a message reaches.
 *            Buckets stand in a table of fixed size, four places to a row; a source without a place
 *            takes that of the fullest bucket of its row, whose owner loses nothing but a little
 *            debt. An attacker who fills the table with addresses so gets full buckets, not memory.
 *            A proven line has its own bucket, so that no BTI can fill the transaction table alone.
 * Units      tokens; each kind has its rate and its burst (struct limits_cfg).
 * Threads    any. */
#ifndef GC_LIMITS_H
#define GC_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "base/view.h"

enum limit {
    LIMIT_DATAGRAM, /* UDP messages that did not prove themselves: a second */
    LIMIT_ANSWER,   /* 400, 401, 407, 481 ... to sources without proof: a second */
    LIMIT_UNPROVEN, /* 611 calls without proof: a minute */
    LIMIT_LINE,     /* new requests with the proof of one line: a second */
    LIMIT_GUESS,    /* wrong Digest answers from one source: a minute */
    LIMIT_USERNAME, /* wrong Digest answers for one username: a minute */
    LIMIT_COUNT
};

struct limits;

struct limits_cfg {
    uint32_t datagram_rate, datagram_burst; /* 0: 400, 800 */
    uint64_t answer_per_second;
    uint64_t unproven_per_minute, unproven_total_per_minute;
    uint64_t guesses_per_source, guesses_per_username; /* a minute */
    uint64_t calls_per_line; /* also sets LIMIT_LINE: 20 + 10 for each, bursts of 4 s */
    uint64_t usages_per_line;
    size_t sources; /* places in the table; 0: 65536 */
};

MUST_CHECK enum err limits_new(const struct limits_cfg *cfg, struct limits **out);
void limits_free(struct limits *l);
void limits_set(struct limits *l, const struct limits_cfg *cfg); /* other rates; sources stays */
/* Takes a token of that source (LIMIT_UNPROVEN: and of the node); false: there is none. */
bool limits_take(struct limits *l, enum limit kind, const struct net_addr *source, uint64_t now_ms);
/* Gives one back: the message turned out to be proven. */
void limits_give(struct limits *l, enum limit kind, const struct net_addr *source, uint64_t now_ms);
/* The same for LIMIT_LINE. */
bool limits_take_line(struct limits *l, uint64_t line_id, uint64_t now_ms);
/* The same for LIMIT_USERNAME; a right answer gives its token back. */
bool limits_take_username(struct limits *l, struct view username, uint64_t now_ms);
void limits_give_username(struct limits *l, struct view username, uint64_t now_ms);
/* A live call of the line: E_FULL past calls_per_line, E_NOMEM. */
MUST_CHECK enum err limits_line_take(struct limits *l, uint64_t line_id);
void limits_line_give(struct limits *l, uint64_t line_id);
/* The same for dialogs of SUBSCRIBE and REFER that are no call: usages_per_line. */
MUST_CHECK enum err limits_usage_take(struct limits *l, uint64_t line_id);
void limits_usage_give(struct limits *l, uint64_t line_id);

#endif
