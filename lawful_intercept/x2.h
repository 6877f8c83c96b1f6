/* lawful_intercept/x2.h - X2 of ETSI TS 103 221-2: one SIP message, or a keepalive, in each PDU.
 *
 * Shape      40 octets of fixed head, conditional attributes (type, length, value), payload; all
 * big endian. Written by us: sequence (8), timestamp (9), addresses and ports (10 to 15), matched
 * target (17). Reading takes any attribute below 1024 and keeps those. Errors     E_RANGE: does not
 * fit, or (reading) is not all there yet. E_PARSE: not that; why says where. Ownership: views of a
 * PDU that was read point into the octets. Threads: pure functions. */
#ifndef LAWFUL_INTERCEPT_X2_H
#define LAWFUL_INTERCEPT_X2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "base/view.h"

enum {
    X2_HEAD = 40,
    X2_PAYLOAD_MAX = 64 * 1024,
    X2_ATTRIBUTES_MAX = 4096, /* octets */
    X2_XID = 16,
    X2_VERSION = 0x0005 /* major 0, minor 5: what collection systems in the field expect */
};

enum x2_type { X2_DATA = 1, X2_KEEPALIVE = 3, X2_KEEPALIVE_ACK = 4 };
enum x2_format { X2_FORMAT_NONE = 0, X2_FORMAT_SIP = 9 };
enum x2_direction { /* of the payload, seen from the target */
                    X2_DIRECTION_NONE,
                    X2_DIRECTION_UNKNOWN,
                    X2_TO_TARGET,
                    X2_FROM_TARGET,
                    X2_MULTIPLE
};

struct x2_pdu {
    uint16_t version; /* 0: X2_VERSION */
    enum x2_type type;
    uint16_t format, direction;
    uint8_t xid[X2_XID];  /* the task; zeros in keepalives */
    uint64_t correlation; /* the same for all of one session */
    bool has_sequence, has_time;
    uint32_t sequence;
    uint64_t at_us;           /* wall */
    struct net_addr from, to; /* family 0: absent */
    struct view target;       /* XML fragment of TS 103 280; empty: absent */
    struct view payload;
};

MUST_CHECK enum err x2_write(const struct x2_pdu *p, void *dst, size_t dst_bytes, size_t *out_n);
MUST_CHECK enum err x2_read(struct view octets, struct x2_pdu *out, size_t *out_n, char *why,
                            size_t why_bytes);

#endif
