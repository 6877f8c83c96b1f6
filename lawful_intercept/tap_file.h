/* lawful_intercept/tap_file.h - how the file of tap.h looks. Of one machine and one version:
 * numbers as the processor has them.
 *
 * File       a page of struct tap_file_head, then for each ring a page of struct tap_ring_head and
 * ring_bytes of octets, which everybody maps twice in a row, so that no record is cut in two.
 * Ring       positions count octets since the start and never come back. The writer first moves
 * `begun` past what it is going to overwrite, writes, then moves `done` behind it. What stands at
 * position p is sound when begun - p <= ring_bytes is still true after it was copied. */
#ifndef LAWFUL_INTERCEPT_TAP_FILE_H
#define LAWFUL_INTERCEPT_TAP_FILE_H

#include <stdatomic.h>

#include "lawful_intercept/tap.h"

enum { TAP_PAGE = 4096, TAP_VERSION = 1, TAP_ALIGN = 8, TAP_MARKS = 256 };
#define TAP_MAGIC 0x3150415447485548ull

struct tap_file_head {
    uint64_t magic;
    uint32_t version, rings;
    uint64_t ring_bytes;
    uint8_t start[16]; /* of this start: random */
};

struct tap_ring_head {
    _Atomic uint64_t begun, done; /* positions */
    /* Of each TAP_MARKS-th part of the ring: where the first record began that was last written
     * into it, so that a reader that comes late finds a beginning. */
    _Atomic uint64_t mark[TAP_MARKS];
};

/* In front of each record; its texts follow without gaps, and zeros up to TAP_ALIGN. */
struct tap_wire {
    uint32_t bytes; /* of all of it, a multiple of TAP_ALIGN */
    uint16_t kind, status;
    uint64_t number; /* 1, 2, 3 ... in each ring */
    uint64_t at_us, line, trunk;
    uint8_t party, is_proven, is_emergency, is_cut;
    uint32_t text_n[TAP_TEXTS_MAX];
    struct net_addr local, remote;
};

#endif
