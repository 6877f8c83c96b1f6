/* gc/hep.h - every SIP message, in and out, to a collector (Homer and others) as HEPv3 over UDP.
 *
 * Shape      a ring for each worker, of fixed size, with one writer and one reader; a thread of its
 * own reads them each HEP_TURN_MS, takes out keys and P-DCS-LAES as the ladder does (trace.h), and
 * sends. A worker never waits: what finds no room is dropped and counted. The correlation id is the
 * Call-ID.
 *
 * Limits     HEP_RING_BYTES each. A message is cut at HEP_MESSAGE_MAX octets.
 *
 * Secrets    the datagrams hold numbers and names in the clear: a collector belongs on this machine
 * or behind a network that nobody else reads.
 *
 * Threads    hep_put(): the worker whose ring it is. */
#ifndef GC_HEP_H
#define GC_HEP_H

#include "base/metrics.h"
#include "base/net.h"
#include "base/view.h"

enum {
    HEP_RING_BYTES = 1 << 20,
    HEP_TURN_MS = 50,
    HEP_MESSAGE_MAX = 16384,
    HEP_EXTRA_MAX = 1024, /* octets round the message */
    HEP_KEY_MAX = 255,
    HEP_NODE_MAX = 64,
    HEP_CALL_ID_MAX = 255
};

struct hep_packet { /* what a message had round it */
    uint64_t at_us; /* wall */
    struct net_addr from, to;
    bool is_datagram;
};

struct hep;
struct hep_cfg {
    struct net_addr collector;
    uint32_t agent;   /* capture id, says who sends */
    const char *node; /* the same in words */
    const char *key;  /* what the collector wants to see; "": nothing */
    unsigned workers;
    struct metrics *metrics;
    unsigned slot;
};
MUST_CHECK enum err hep_open(const struct hep_cfg *cfg, struct hep **out);
void hep_close(struct hep *h); /* sends what is there; NULL is fine */
/* False: no room. h NULL: nobody wants it, true. */
bool hep_put(struct hep *h, unsigned worker, const struct hep_packet *p, struct view octets);

/* One datagram into dst; 0: no room. cfg: agent, node, key. */
size_t hep_encode(const struct hep_cfg *cfg, const struct hep_packet *p, struct view octets,
                  void *dst, size_t dst_bytes);
/* The Call-ID of a SIP message, in either form of its name; empty: none. */
struct view hep_call_id(struct view octets);

#endif
