/* signaling/sip_flow.h - where a message came from and where an answer goes. A value. */
#ifndef SIGNALING_SIP_FLOW_H
#define SIGNALING_SIP_FLOW_H

#include "base/net.h"

enum sip_proto { SIP_UDP, SIP_TCP, SIP_TLS };

#define SIP_PSK_KID_BYTES 16

struct sip_flow {
    enum sip_proto proto;
    struct net_addr remote; /* peer */
    struct net_addr local;  /* our listening or connected address; family 0 = choose */
    uint16_t worker;        /* owner of the connection (streams) */
    uint64_t conn;          /* connection id in that worker's transport; 0 = none yet */
    bool has_kid;           /* TLS with external PSK: the authenticated session */
    uint8_t kid[SIP_PSK_KID_BYTES];
    uint64_t peer; /* TLS with a certificate that tls.ca vouches for: its identities, by
                      signaling/sip_peers.h; 0: none (no certificate proves nothing) */
};

const char *sip_proto_name(enum sip_proto p); /* "UDP" as in Via */
/* "udp:127.0.0.1:5060", "tls:[::1]:5061" -> proto and address. Default ports 5060/5061. */
MUST_CHECK enum err sip_listen_parse(struct view text, enum sip_proto *proto, struct net_addr *out);

#endif
