/* lawful_intercept/deliver.h - one spool to one place of one agency, by a thread and a connection
 * of its own, so that nobody waits for anybody else's agency.
 *
 * Wire       call data: CdcPdus one after the other, or each behind its length (4 octets, big
 * endian); X2: PDUs. Mutual TLS over TCP; plain only to loopback addresses.
 * Order      as in the spool. At least once: deliver_window.h says when a record is settled; after
 * a break everything behind that goes again.
 * Waiting    a record waits until the peer's TCP has confirmed it for the first time, whether there
 * is a connection or not (li_delivery_facts.oldest_us): that is what alarms go by. What was
 * confirmed on a connection that broke before it had lived for steady_ms waits again.
 * Alive      X2: keepalives, in front of waiting data, answered within keepalive_ms or the
 * connection is dropped. Call data has none (PCESP): TCP's own, and 30 s in which nothing is taken.
 * Back-off   100 ms doubling to 5 s; from the beginning after a connection that lived for 5 s.
 * Hostile    a peer that says more than it has to is dropped; what it is sent stays bounded.
 * Threads    start, stop, wake, facts: any. */
#ifndef LAWFUL_INTERCEPT_DELIVER_H
#define LAWFUL_INTERCEPT_DELIVER_H

#include "base/net.h"
#include "base/tls.h"
#include "lawful_intercept/spool.h"

enum {
    LI_WHY_MAX = 128,
    LI_RESEND_BYTES = 8 << 20, /* more than Linux gives a socket to receive (tcp_rmem: 6 MiB) */
    LI_STEADY_MS = 5000,       /* a connection that lived so long was a good one */
    LI_SETTLE_MS = 60000,
    LI_SETTLE_LATE_MS = 600000
};

enum li_protocol { LI_CDC_STREAM, LI_CDC_COUNTED, LI_X2 };

struct li_delivery;
struct li_delivery_cfg {
    const char *name; /* for logs: case and place */
    enum li_protocol protocol;
    struct net_addr to, from; /* from: family 0: any */
    struct tls_ctx *tls;      /* certified; NULL: plain, E_DENIED unless `to` is loopback */
    struct tls_names names;   /* of the peer's certificate */
    struct spool *spool;      /* outlives the delivery */
    /* deliver_window.h; 0: as above */
    uint64_t resend_bytes, settle_ms, settle_late_ms;
    unsigned keepalive_ms; /* X2; 0: 30 s */
    unsigned steady_ms;    /* 0: 5 s */
};

struct li_delivery_facts {
    bool is_up;
    bool is_refused;            /* a certificate, theirs or ours, was wrong at the last attempt */
    uint64_t sent, connections; /* records; times that it was connected */
    uint64_t changed_us;        /* wall: since when it is up or down */
    uint64_t confirmed;         /* number: the peer's TCP has had all up to it */
    uint64_t oldest_us;         /* wall: of the oldest record that waits; 0: none */
    char why[LI_WHY_MAX];       /* of the last failure; empty: none yet */
};

MUST_CHECK enum err li_delivery_start(const struct li_delivery_cfg *cfg, struct li_delivery **out);
/* Sends what is there for at most linger_ms, then ends. NULL is fine. */
void li_delivery_stop(struct li_delivery *d, unsigned linger_ms);
/* The same without waiting: li_delivery_stop() returns at once when it is over. */
void li_delivery_ask_stop(struct li_delivery *d, unsigned linger_ms);
bool li_delivery_is_over(const struct li_delivery *d);
void li_delivery_wake(struct li_delivery *d); /* the spool has more */
void li_delivery_facts_of(struct li_delivery *d, struct li_delivery_facts *out);

#endif
