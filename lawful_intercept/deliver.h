/* lawful_intercept/deliver.h - one spool to one place of one agency, by a thread and a connection
 * of its own, so that nobody waits for anybody else's agency.
 *
 * Wire       call data: CdcPdus one after the other, or each behind its length (4 octets, big
 * endian); X2: PDUs. Mutual TLS over TCP; plain only to loopback addresses.
 * Order      as in the spool. At least once: a record counts as delivered when the peer's TCP has
 * confirmed it and either resend_bytes more, or LI_SETTLE_MS of a living connection, lie behind it;
 * after a break everything behind that goes again.
 * Alive      X2: keepalives, in front of waiting data, answered within keepalive_ms or the
 * connection is dropped. Call data has none (PCESP): TCP's own. Back-off   100 ms doubling to 5 s.
 * Threads    start, stop, wake, facts: any. */
#ifndef LAWFUL_INTERCEPT_DELIVER_H
#define LAWFUL_INTERCEPT_DELIVER_H

#include "base/net.h"
#include "base/tls.h"
#include "lawful_intercept/spool.h"

enum { LI_SETTLE_MS = 60000, LI_WHY_MAX = 128 };

enum li_protocol { LI_CDC_STREAM, LI_CDC_COUNTED, LI_X2 };

struct li_delivery;
struct li_delivery_cfg {
    const char *name; /* for logs: case and place */
    enum li_protocol protocol;
    struct net_addr to, from; /* from: family 0: any */
    struct tls_ctx *tls;      /* certified; NULL: plain, E_DENIED unless `to` is loopback */
    struct tls_names names;   /* of the peer's certificate */
    struct spool *spool;      /* outlives the delivery */
    size_t resend_bytes;      /* 0: 64 KiB */
    unsigned keepalive_ms;    /* X2; 0: 30 s */
};

struct li_delivery_facts {
    bool is_up;
    uint64_t sent, connections; /* records; times that it was connected */
    uint64_t changed_us;        /* wall: since when it is up or down */
    char why[LI_WHY_MAX];       /* of the last failure; empty: none yet */
};

MUST_CHECK enum err li_delivery_start(const struct li_delivery_cfg *cfg, struct li_delivery **out);
/* Sends what is there for at most linger_ms, then ends. NULL is fine. */
void li_delivery_stop(struct li_delivery *d, unsigned linger_ms);
void li_delivery_wake(struct li_delivery *d); /* the spool has more */
void li_delivery_facts_of(struct li_delivery *d, struct li_delivery_facts *out);

#endif
