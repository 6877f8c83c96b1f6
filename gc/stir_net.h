/* gc/stir_net.h - where certificates of other signers may be fetched from: which URLs, which ports,
 * which addresses. A signer's x5u is a stranger's word, and following it is a request made in our
 * name: to nobody inside, and by nothing but https.
 * Pure. Threads: safe. */
#ifndef GC_STIR_NET_H
#define GC_STIR_NET_H

#include "base/net.h"

enum {
    STIR_URL_MAX = 512,     /* with NUL */
    STIR_OWN_URL_MAX = 200, /* of stir.certificate_url: it stands in each request, twice */
    STIR_PORTS_MAX = 8,
    STIR_NETS_MAX = 16,
    STIR_PATH_MAX = 512,
    STIR_HTTPS_PORT = 443
};

struct stir_net {
    struct net_addr net; /* its port means nothing */
    uint8_t bits;
};

struct stir_rules {
    unsigned n_ports;
    uint16_t ports[STIR_PORTS_MAX];
    unsigned n_nets; /* networks of laboratories that are allowed though nobody's on the Internet */
    struct stir_net nets[STIR_NETS_MAX];
    unsigned timeout_ms;    /* of one fetch, from the question for its address to its last octet */
    char ca[STIR_PATH_MAX]; /* authorities of the servers; empty: the system's */
};

/* "192.0.2.0/24", "2001:db8::1". E_PARSE. */
MUST_CHECK enum err stir_net_parse(struct view text, struct stir_net *out);
/* Whether that address may be connected to at that port: one of the Internet, or of rules->nets.
 * Never: loopback, private, link-local, shared, documentation, multicast, unspecified, tunnels and
 * translations that lead to such. */
bool stir_may_connect(const struct stir_rules *rules, const struct net_addr *to);
/* https, a host, no user, an allowed port, printable ASCII without blanks. why: a literal. */
bool stir_url_ok(const struct stir_rules *rules, struct view url, const char **why);

#endif
