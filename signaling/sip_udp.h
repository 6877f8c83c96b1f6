/* signaling/sip_udp.h - one UDP socket of the transport: batches in, batches out.
 *
 * Private to the transport. Shape   datagrams are received 32 at a time into buffers that all
 * sockets of a transport share, and sent up to 32 at a time from buffers of their own.
 * Addresses   a wildcard socket reports the address that was asked and sends from the one it is
 * told; a socket carries one family. Errors that belong to a peer (ICMP) are
 * nobody's. Threads: the loop's. */
#ifndef SIGNALING_SIP_UDP_H
#define SIGNALING_SIP_UDP_H

#include "base/loop.h"
#include "signaling/sip_flow.h"
#include "signaling/sip_transport.h"

struct sip_udp;
struct sip_udp_inbox;

struct sip_udp_env {
    struct loop *loop;
    struct sip_transport_stats *stats;
    struct sip_udp_inbox *inbox;
    void (*on_datagram)(void *arg, struct view raw, const struct net_addr *remote,
                        const struct net_addr *local);
    void *arg;
};

MUST_CHECK enum err sip_udp_inbox_new(struct sip_udp_inbox **out);
void sip_udp_inbox_free(struct sip_udp_inbox *b);

/* env outlives the socket. E_IO with errno kept. */
MUST_CHECK enum err sip_udp_open(const struct sip_udp_env *env, const struct net_addr *a,
                                 bool reuse_port, struct sip_udp **out);
/* The same around a bound socket; takes over fd on E_OK. */
MUST_CHECK enum err sip_udp_adopt(const struct sip_udp_env *env, int fd, struct sip_udp **out);
void sip_udp_close(struct sip_udp *u); /* what waits is tried once more; NULL is fine */
const struct net_addr *sip_udp_bound(const struct sip_udp *u);
/* How well this socket can send from local (family 0: any) to remote: 0 not at all. */
unsigned sip_udp_fit(const struct sip_udp *u, const struct net_addr *local,
                     const struct net_addr *remote);
/* The address that datagrams to remote would leave from. */
MUST_CHECK enum err sip_udp_source(const struct sip_udp *u, const struct net_addr *remote,
                                   struct net_addr *out);
/* Queues; sends at once when the batch is full. local family 0: the kernel chooses. */
void sip_udp_send(struct sip_udp *u, const struct net_addr *local, const struct net_addr *remote,
                  struct view octets);
void sip_udp_flush(struct sip_udp *u);

#endif
