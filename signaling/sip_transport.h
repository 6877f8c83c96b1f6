/* signaling/sip_transport.h - SIP over UDP, TCP and TLS for one loop (RFC 3261 section 18).
 *
 * UDP        recvmmsg in, batched sendmmsg out (flushed at the end of a turn, at once when sent
 * outside of one), SO_REUSEPORT, IP_PKTINFO so that answers leave from the address that was asked.
 * What the kernel cannot take is lost and counted, as on the wire: retransmission is above.
 * TCP/TLS    framing by sip_stream_cut(), pipelining, keep-alive CRLF, bounded input (SIP_MAX_BYTES
 * + 4) and output (256 KiB, then closed) for each connection. A peer that closed its half still
 * gets the answers to its requests, for 32 s at most.
 * TLS        flow.kid: the session whose PSK the peer has; flow.peer: the identities of the peer's
 * verified certificate, also of the server on connections that we opened; neither: a client that
 * proved nothing but has a private way to us.
 * Limits     connections in all and for each source address (IPv6: /64); idle timeout; time to
 * first whole message and to the end of a begun one (slow-loris); handshake timeout. All in the
 * cfg, 0 = default. Past a limit a new connection is closed and counted. Out of descriptors, a
 * listener rests for 100 ms.
 * Ownership  rx views are valid during the callback only. send() copies.
 * Errors     send: E_NOTFOUND (connection gone), E_FULL (peer does not read), E_RANGE (empty, or
 * more than SIP_MAX_BYTES), E_IO. A connection that the user knows (connect, or a message came)
 * and that dies later, for whatever reason, is reported through on_closed, once, at the end of a
 * turn and never from inside a call. why: E_OK close_flow; E_STATE peer closed; E_IO reset or
 * refused; E_TIMEOUT; E_PARSE, E_RANGE no SIP; E_AUTH TLS failed; E_DENIED close_kid; E_FULL peer
 * does not read; E_NOMEM.
 * Threads    one loop, one thread. flow.worker must equal cfg.worker for streams. Free it from
 * outside its callbacks. */
#ifndef SIGNALING_SIP_TRANSPORT_H
#define SIGNALING_SIP_TRANSPORT_H

#include "base/loop.h"
#include "base/tls.h"
#include "signaling/sip_flow.h"
#include "signaling/sip_peers.h"

struct sip_transport;

struct sip_rx {
    struct view raw; /* one datagram, or exactly one message of a stream. SIP_MAX_BYTES + 1 octets:
                        the beginning of a larger datagram, which the framer refuses with 513 */
    bool is_datagram;
    struct sip_flow flow;
};

struct sip_transport_cfg {
    uint16_t worker;
    bool reuse_port;
    unsigned max_connections;   /* 0: 4096 */
    unsigned max_per_source;    /* 0: 64 */
    uint64_t idle_ms;           /* 0: 1 h */
    uint64_t first_message_ms;  /* 0: 10 s; also the TLS handshake */
    struct tls_ctx *tls_server; /* NULL: TLS listeners are refused. Held, as is tls_client */
    struct tls_ctx *tls_client; /* for connect_named; NULL: that is refused */
    struct sip_peers *peers;    /* NULL: what certificates say is not kept, flow.peer is 0 */
    /* Where outgoing connections of its family leave from (port ignored); family 0: any. */
    struct net_addr connect_from;
    void (*on_rx)(void *arg, const struct sip_rx *rx);
    void (*on_closed)(void *arg, const struct sip_flow *flow, enum err why);
    void *arg;
};

MUST_CHECK enum err sip_transport_new(struct loop *l, const struct sip_transport_cfg *cfg,
                                      struct sip_transport **out);
void sip_transport_free(struct sip_transport *t); /* closes all, without on_closed */
/* Port 0 picks one: out_bound (may be NULL) gets the real address. E_IO with errno; E_STATE: TLS
 * without cfg.tls_server. */
MUST_CHECK enum err sip_transport_listen(struct sip_transport *t, enum sip_proto proto,
                                         const struct net_addr *a, struct net_addr *out_bound);
/* The two steps of listening, for sockets that are opened by another thread: any thread makes one,
 * and the transport takes it over on E_OK. */
MUST_CHECK enum err sip_transport_socket(enum sip_proto proto, const struct net_addr *a,
                                         bool reuse_port, int *out_fd, struct net_addr *out_bound);
MUST_CHECK enum err sip_transport_adopt(struct sip_transport *t, enum sip_proto proto, int fd);
/* Takes what already waits, then listens no more at that bound address. Connections stay until they
 * end; a UDP socket stays for 32 s, so that transactions can end (RFC 3261: 64 * T1). E_NOTFOUND.
 */
MUST_CHECK enum err sip_transport_unlisten(struct sip_transport *t, enum sip_proto proto,
                                           const struct net_addr *a);
void sip_transport_set_per_source(struct sip_transport *t, unsigned max); /* for new connections */
/* Opens (or finds) a connection to remote; the flow can be used for sending at once: octets wait
 * for the connect and handshake. TLS: as client with identity and psk (32 octets) through
 * client_ctx. UDP: no connection; binds a port of its own when no listener fits. out_flow->local is
 * filled in. E_FULL: max_connections; E_RANGE: no remote, or no PSK and identity with TLS; E_IO. */
MUST_CHECK enum err sip_transport_connect(struct sip_transport *t, enum sip_proto proto,
                                          const struct net_addr *remote, struct tls_ctx *client_ctx,
                                          struct view identity, const struct secret *psk,
                                          struct sip_flow *out_flow);
/* The same for a TLS server that must prove one of `names` by a certificate (RFC 5922; names[0] is
 * its SNI). Finds connections that we opened to the same address for the same names (RFC 5923: a
 * connection that the peer opened is never used for this). E_STATE: no tls_client; E_RANGE: no
 * remote or no name; E_FULL; E_IO. A wrong name ends it later, by on_closed with E_AUTH. */
MUST_CHECK enum err sip_transport_connect_named(struct sip_transport *t,
                                                const struct net_addr *remote,
                                                const struct tls_names *names,
                                                struct sip_flow *out_flow);
/* From now on handshakes use these; connections keep what they have. server: not NULL while there
 * are TLS listeners. */
void sip_transport_set_tls(struct sip_transport *t, struct tls_ctx *server, struct tls_ctx *client);
MUST_CHECK enum err sip_transport_send(struct sip_transport *t, const struct sip_flow *flow,
                                       struct view octets);
void sip_transport_close_flow(struct sip_transport *t, const struct sip_flow *flow);
/* Closes every connection whose PSK identity is kid (revocation). */
void sip_transport_close_kid(struct sip_transport *t, const uint8_t kid[SIP_PSK_KID_BYTES]);
unsigned sip_transport_connections(const struct sip_transport *t);

/* Since the transport was made. */
struct sip_transport_stats {
    uint64_t rx_datagrams, rx_messages; /* handed to on_rx, of datagrams and of streams */
    uint64_t rx_too_large;              /* datagrams over SIP_MAX_BYTES: of rx_datagrams */
    uint64_t rx_keepalive;              /* empty datagrams, CRLFCRLF of streams */
    uint64_t tx_datagrams, tx_messages;
    uint64_t tx_lost;             /* datagrams that the kernel refused or had no room for */
    uint64_t accepted, connected; /* connected: outgoing ones that came up */
    uint64_t refused_all;         /* past max_connections */
    uint64_t refused_source;      /* past max_per_source */
    uint64_t accept_paused;       /* times a listener rested: no descriptors or no memory */
    uint64_t closed[E__COUNT];    /* connections by the reason of their end */
};
void sip_transport_stats(const struct sip_transport *t, struct sip_transport_stats *out);

#endif
