/* base/dns.h - DNS questions, asynchronous in a loop. The only door to c-ares.
 *
 * Standards  RFC 1035, 2782 (SRV), 3403 (NAPTR), 2308 (how long a "no" holds).
 * Shape      one question, one callback, never from inside dns_query(). CNAMEs inside an answer are
 *            followed (DNS_CNAMES_MAX); where they lead out of it, `alias` names the place to ask.
 *            Only DNS is asked: /etc/hosts and search domains play no part.
 * Limits     DNS_RECORDS_MAX records of an answer are kept, cfg.max_queries questions at a time.
 *            Names of answers are checked: letters, digits, '-', '_' and '.' only.
 * Units      seconds of TTL; nothing is cached here.
 * Errors     of an answer: E_NOTFOUND no such name, or no such records (ttl_s: how long that
 *            holds); E_TIMEOUT nobody answered, or every server failed (SERVFAIL, REFUSED);
 *            E_PARSE the answer makes no sense; E_IO the library's own trouble; E_NOMEM.
 * Threads    one loop, one thread; dns_new() and dns_free() from the main thread (c-ares has
 *            process-wide state). */
#ifndef BASE_DNS_H
#define BASE_DNS_H

#include "base/loop.h"
#include "base/net.h"
#include "base/view.h"

enum {
    DNS_NAME_MAX = 256, /* octets incl. NUL */
    DNS_RECORDS_MAX = 16,
    DNS_CNAMES_MAX = 8,
    DNS_SERVERS_MAX = 8,
    DNS_SERVICE_MAX = 33
};

enum dns_type { DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR };

struct dns_record {
    struct net_addr ip;            /* A, AAAA; port 0 */
    uint16_t priority, weight;     /* SRV; NAPTR: order, preference */
    uint16_t port;                 /* SRV */
    char name[DNS_NAME_MAX];       /* SRV: target; NAPTR: replacement; "" is the root */
    char flags[8];                 /* NAPTR, lower case */
    char service[DNS_SERVICE_MAX]; /* NAPTR, upper case */
};

struct dns_answer {
    uint32_t ttl_s; /* the shortest of all records that it took */
    unsigned n;
    struct dns_record r[DNS_RECORDS_MAX];
    char alias[DNS_NAME_MAX]; /* with n == 0: ask there; else "" */
};

/* a: valid during the callback; NULL only with E_TIMEOUT, E_PARSE, E_IO and E_NOMEM. */
typedef void dns_fn(void *arg, enum err e, const struct dns_answer *a);

struct dns;
struct dns_query;

struct dns_cfg {
    const struct net_addr *servers; /* port 0: 53 */
    unsigned n_servers;             /* 0: those of /etc/resolv.conf */
    unsigned timeout_ms;            /* for one try; 0: 2000 */
    unsigned tries;                 /* at each server; 0: 2 */
    unsigned max_queries;           /* 0: 256 */
};

/* E_NOMEM, E_IO (the library does not start), E_RANGE (servers). */
MUST_CHECK enum err dns_new(struct loop *l, const struct dns_cfg *cfg, struct dns **out);
void dns_free(struct dns *d); /* no callbacks any more; NULL is fine */
/* E_PARSE: no name that DNS could know; E_FULL: max_queries; E_NOMEM. out_or_null is good until
 * fn was called. */
MUST_CHECK enum err dns_query(struct dns *d, struct view name, enum dns_type type, dns_fn *fn,
                              void *arg, struct dns_query **out_or_null);
void dns_forget(struct dns_query *q); /* its fn will not be called; NULL is fine */
size_t dns_pending(const struct dns *d);

/* One name of a host or service: 1 to 253 octets, labels of 1 to 63; a dot at the end is fine. */
bool dns_name_ok(struct view name);
/* An answer's octets; for tests and fuzzing. E_PARSE, E_NOTFOUND; E_IO: an error code. */
MUST_CHECK enum err dns_read(const uint8_t *p, size_t n, enum dns_type type,
                             struct dns_answer *out);

#endif
