/* agency/capture.h - the UDP datagrams of a capture file: pcap (either byte order, micro- and
 * nanoseconds) and pcapng (sections of either byte order, several interfaces).
 *
 * Links      Ethernet with VLAN tags, Linux "any" (both kinds), bare IP, BSD loopback. IPv4 and
 * IPv6. What is no datagram, a fragment, or cut short is counted and passed over.
 * Limits     a packet of 256 KiB, 64 interfaces. The file is read as a stream and believed in
 * nothing. Threads: one at a time on one object. */
#ifndef AGENCY_CAPTURE_H
#define AGENCY_CAPTURE_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/net.h"
#include "base/view.h"

struct capture;

struct capture_datagram {
    uint64_t at_us; /* wall, as the capturing machine had it */
    struct net_addr from, to;
    struct view payload; /* until the next call */
};

struct capture_counts {
    uint64_t packets, datagrams, fragments, cut;
};

/* f stays the caller's, open as long as this. E_PARSE: no capture file; E_IO, E_NOMEM. */
MUST_CHECK enum err capture_open(FILE *f, struct capture **out);
/* E_NOTFOUND: there is no more. E_PARSE: damaged from here on; E_IO, E_NOMEM. */
MUST_CHECK enum err capture_next(struct capture *c, struct capture_datagram *out);
struct capture_counts capture_counts(const struct capture *c);
void capture_close(struct capture *c); /* NULL is fine */

#endif
