/* bti/here.h - what this machine says of itself. Threads: one. */
#ifndef BTI_HERE_H
#define BTI_HERE_H

#include "base/net.h"

/* The local address that the kernel would use towards `remote` (port 0). E_IO: no route. */
MUST_CHECK enum err here_address(const struct net_addr *remote, struct net_addr *out);
/* Hardware address of the interface that has the address. E_NOTFOUND: none (loopback). */
MUST_CHECK enum err here_mac(const struct net_addr *local, uint8_t out[6]);
/* A number 0..below-1 to spread things in time. */
uint64_t here_jitter(uint64_t below);

#endif
