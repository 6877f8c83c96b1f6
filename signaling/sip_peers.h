/* signaling/sip_peers.h - what the certificates of connections proved: the verified SIP domain
 * identities (RFC 5922) behind sip_flow.peer, for all transports of a node.
 *
 * Shape      a number stands for the identities of one connection until the connection ends; a
 * message of it that is read later finds nothing, which proves nothing. Numbers do not come again.
 * Memory     bounded: as many entries as were asked for, taken only by connections whose
 * certificate tls.ca vouches for.
 * Threads    all. */
#ifndef SIGNALING_SIP_PEERS_H
#define SIGNALING_SIP_PEERS_H

#include <stdint.h>

#include "base/tls_names.h"

struct sip_peers;

MUST_CHECK enum err sip_peers_new(unsigned max, struct sip_peers **out);
void sip_peers_free(struct sip_peers *p); /* NULL is fine */
/* E_FULL, E_NOMEM. *out is never 0. */
MUST_CHECK enum err sip_peers_add(struct sip_peers *p, const struct tls_names *names,
                                  uint64_t *out);
void sip_peers_remove(struct sip_peers *p, uint64_t peer);
/* E_NOTFOUND: 0, or its connection is gone. */
MUST_CHECK enum err sip_peers_names(struct sip_peers *p, uint64_t peer, struct tls_names *out);
/* Whether the peer proved that very name. */
bool sip_peers_is(struct sip_peers *p, uint64_t peer, struct view name);

#endif
