/* Names of transports and the listen strings of the configuration. */
#include "signaling/sip_flow.h"

const char *sip_proto_name(enum sip_proto p)
{
    static const char *const names[] = {"UDP", "TCP", "TLS"};

    BUG_ON((unsigned)p > SIP_TLS);
    return names[p];
}

enum err sip_listen_parse(struct view text, enum sip_proto *proto, struct net_addr *out)
{
    static const struct {
        struct view prefix;
        enum sip_proto proto;
        uint16_t port;
    } kinds[] = {
        {{"udp:", 4}, SIP_UDP, 5060}, {{"tcp:", 4}, SIP_TCP, 5060}, {{"tls:", 4}, SIP_TLS, 5061}};
    struct net_addr a;
    enum err e = E_PARSE;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (view_starts(text, kinds[i].prefix)) {
            TRY(net_parse(view_sub(text, 4, text.n), kinds[i].port, &a));
            *proto = kinds[i].proto;
            *out = a;
            goto out;
        }
    }
    e = FAIL(E_PARSE);
out:
    return e;
}
