/* signaling/sip_locate.h - where a SIP host is: RFC 3263 section 4 as a small machine over DNS.
 *
 * Shape      numeric host: itself. Port given: A/AAAA. Transport given: its SRV. Else NAPTR -> SRV
 *            -> A/AAAA; no NAPTR: SRV of each transport that we speak (UDP, TCP, TLS); no SRV:
 *            A/AAAA with the default port. TLS only where TLS is asked for. The result is data: who
 *            uses it picks by RFC 2782 each time (sip_places_order()).
 * Limits     LOCATE_MAX places; one question at a time, LOCATE_QUESTIONS_MAX in all;
 * LOCATE_HOPS_MAX aliases (CNAME) of one name. Units      seconds of TTL: the shortest of all that
 * the result is made of, LOCATE_TTL_MIN_S to LOCATE_TTL_MAX_S. Errors     of the result: E_NOTFOUND
 * there is no such host or service (ttl_s: how long that holds); E_TIMEOUT, E_IO, E_PARSE, E_NOMEM:
 * DNS was of no help. Threads    one loop, one thread. */
#ifndef SIGNALING_SIP_LOCATE_H
#define SIGNALING_SIP_LOCATE_H

#include "base/dns.h"
#include "signaling/sip_flow.h"

enum {
    LOCATE_MAX = 16,
    LOCATE_QUESTIONS_MAX = 64,
    LOCATE_HOPS_MAX = 8,
    LOCATE_TTL_MIN_S = 5,
    LOCATE_TTL_MAX_S = 86400,
    LOCATE_TTL_NO_MAX_S = 300 /* of a "no" */
};

struct sip_place {
    enum sip_proto proto;
    struct net_addr address; /* with port */
    uint32_t rank;           /* lower first */
    uint16_t weight;         /* among those of the same rank */
    uint8_t group;           /* addresses of the same SRV target: tried one after the other */
};

struct sip_places {
    unsigned n;
    uint32_t ttl_s;
    struct sip_place p[LOCATE_MAX];
};

struct sip_locate_ask {
    struct view host; /* name or numeric address ([] for IPv6 is fine) */
    uint16_t port;    /* 0: by RFC 3263 */
    bool has_proto;
    enum sip_proto proto; /* with has_proto */
    bool only_tls;        /* sips, or a peer that is known by its certificate */
    bool with_ipv4, with_ipv6;
};

/* places: valid during the callback; NULL only when e is none of E_OK, E_NOTFOUND. */
typedef void sip_locate_fn(void *arg, enum err e, const struct sip_places *places);
/* As dns_query(); a test gives a table. */
typedef enum err sip_locate_query_fn(void *dns, struct view name, enum dns_type type, dns_fn *fn,
                                     void *arg, struct dns_query **out);
enum err sip_locate_by_dns(void *dns, struct view name, enum dns_type type, dns_fn *fn, void *arg,
                           struct dns_query **out); /* dns: a struct dns */

struct sip_locate;

/* fn is called once, perhaps at once (numeric host: then *out is NULL afterwards). E_PARSE: no
 * host; E_NOMEM; the resolver's error: then fn is not called. */
MUST_CHECK enum err sip_locate(sip_locate_query_fn *query, void *dns,
                               const struct sip_locate_ask *ask, sip_locate_fn *fn, void *arg,
                               struct sip_locate **out);
void sip_locate_cancel(struct sip_locate *s); /* its fn will not be called; NULL is fine */

/* The order of one use (RFC 2782): by rank, within it each group with a chance in proportion to
 * its weight. random: fresh for each use. out: indexes of places. Returns places->n. Pure. */
unsigned sip_places_order(const struct sip_places *places, uint64_t random,
                          uint8_t out[LOCATE_MAX]);

#endif
