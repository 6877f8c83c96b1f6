/* lawful_intercept/tap.h - what every program that carries signaling writes down of all of it, for
 * headgate-li to choose from: the only header of this folder that others may include.
 *
 * Rule       the same calls with the same work whoever calls whom: nothing here knows of an order,
 * and whether somebody reads makes no difference to the writer, who reads nothing of the reader's.
 * Shape      one file, mapped shared; in it a ring for each writing thread, whose oldest records
 * are overwritten. Each record has a number one above the last of its ring: a reader sees by it how
 * many it missed. A write is one copy of the octets and two stores: no system call, no lock, no
 * wait. The reader looks by itself.
 * File       made new by tap_open() under another name and renamed into place; mode 0640, of the
 * group that headgate-li runs in. What it holds (media keys too) is as secret as the calls: kept
 * out of cores; memory only when it lies on a tmpfs, as /run does.
 * Threads    open, close: one. tap_write(): each ring by one thread at a time. */
#ifndef LAWFUL_INTERCEPT_TAP_H
#define LAWFUL_INTERCEPT_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "base/view.h"

enum {
    TAP_RINGS_MAX = 66,
    TAP_TEXTS_MAX = 6,
    TAP_RECORD_MAX = 80 * 1024, /* with everything; a longer one is cut in its last text */
    TAP_RING_MIN = 256 * 1024
};

enum tap_kind {
    TAP_MESSAGE_IN = 1, /* SIP as it came; of whom: as proven, or as known. Texts: call, octets */
    TAP_MESSAGE_OUT,    /* SIP as it leaves. Texts: call, octets */
    TAP_CALL_BEGIN,     /* texts: call, Call-ID, caller, called as dialled */
    TAP_CALL_ROUTE,     /* where it goes, each time. Texts: call, routed, route */
    TAP_CALL_END,       /* texts: call, by whom */
    TAP_ENROLMENT /* headgate-prov alone: how the enrolment of a 611 call ended. line: whose BTI
                     it is now; 0: nobody's. Texts: call, Call-ID, outcome, sealed keys
                     (tap_keys.h), the line's first number, BTI */
};

enum tap_party { TAP_STRANGER, TAP_LINE, TAP_GATEWAY, TAP_SERVER };

struct tap_record { /* call: our id of a call (gc/trace.h); empty: outside of calls */
    enum tap_kind kind;
    enum tap_party
        party; /* from whom, or to whom; CALL_BEGIN: the caller; CALL_ROUTE: the called */
    bool is_proven, is_emergency;
    uint16_t status;      /* CALL_END: final response */
    uint64_t line, trunk; /* of party; 0: none */
    uint64_t at_us;       /* wall */
    struct net_addr local, remote;
    struct view text[TAP_TEXTS_MAX];
};

struct tap;
struct tap_ring;

/* rings: how many threads will write; ring_bytes: a power of two. group "": none. E_IO, E_NOTFOUND
 * (no such group), E_NOMEM; E_RANGE: sizes. */
MUST_CHECK enum err tap_open(const char *path, const char *group, unsigned rings, size_t ring_bytes,
                             struct tap **out);
/* NULL is fine; removes the file when it is still ours. */
void tap_close(struct tap *t);
struct tap_ring *tap_ring_of(struct tap *t, unsigned i);             /* t NULL: NULL */
void tap_write(struct tap_ring *r, const struct tap_record *record); /* r NULL: nothing */

#endif
