/* signaling/sip_stream.h - one TCP or TLS connection of the transport.
 *
 * Private to the transport. States     connecting -> handshake (TLS) -> open -> half (the peer
 * sends no more, answers are owed) -> dead; any state may die. Framing    messages go up one by one
 * as sip_stream_cut() finds them. Ownership  the transport owns a stream; stream_close() shuts it
 * and reports on_dead once, the memory lives until sip_stream_free(), which must not run inside a
 * callback of the stream. Threads    the loop's. */
#ifndef SIGNALING_SIP_STREAM_H
#define SIGNALING_SIP_STREAM_H

#include "base/hlist.h"
#include "base/loop.h"
#include "base/tls.h"
#include "signaling/sip_flow.h"
#include "signaling/sip_transport.h"

#define STREAM_OUT_MAX (256u << 10)

struct sip_stream;

struct sip_stream_env {
    struct loop *loop;
    struct sip_transport_stats *stats;
    uint64_t idle_ms, first_message_ms;
    struct net_addr connect_from; /* port 0; family 0: any */
    struct sip_peers *peers;      /* NULL: flow.peer stays 0 */
    void (*on_message)(void *arg, struct sip_stream *s, struct view raw);
    void (*on_dead)(void *arg, struct sip_stream *s);
    void *arg;
};

enum stream_state { STREAM_CONNECTING, STREAM_HANDSHAKE, STREAM_OPEN, STREAM_HALF, STREAM_DEAD };

/* Octets that wait: [at, n) of room. */
struct stream_queue {
    char *p;
    size_t at, n, room;
};

struct sip_stream {
    const struct sip_stream_env *env;
    int fd;
    struct loop_io *io;
    enum stream_state state;
    enum err why; /* of its death */
    bool is_client;
    bool is_known;        /* the user holds the flow: its end must be told */
    struct sip_flow flow; /* worker and conn: filled in by the transport */
    struct tls_conn *tls; /* NULL: TCP */
    struct loop_timer alarm;
    uint64_t since_ms;  /* the state, or the unfinished message, began */
    uint64_t active_ms; /* last whole message or keep-alive, either way */
    bool is_partial;    /* an unfinished message waits in `in` */
    unsigned owed;      /* requests that got no final response yet */
    char *in;           /* SIP_MAX_BYTES + 4; NULL while nothing waits */
    size_t in_n;
    struct stream_queue out;   /* for the wire */
    struct stream_queue plain; /* sent by the user before the handshake was done */
    /* The transport's: */
    struct hlink by_source;
    struct sip_stream *next_dead;
};

/* Takes over fd on E_OK. tls NULL: TCP. */
MUST_CHECK enum err sip_stream_accept(const struct sip_stream_env *env, int fd,
                                      const struct net_addr *remote, struct tls_ctx *tls,
                                      struct sip_stream **out);
/* tls NULL: TCP. E_IO: refused at once. */
MUST_CHECK enum err sip_stream_connect(const struct sip_stream_env *env,
                                       const struct net_addr *remote, struct tls_ctx *tls,
                                       struct view identity, const struct secret *psk,
                                       struct sip_stream **out);
MUST_CHECK enum err sip_stream_connect_named(const struct sip_stream_env *env,
                                             const struct net_addr *remote, struct tls_ctx *tls,
                                             const struct tls_names *names,
                                             struct sip_stream **out);
/* Any error has closed the stream. */
MUST_CHECK enum err sip_stream_send(struct sip_stream *s, struct view octets);
void sip_stream_close(struct sip_stream *s, enum err why);
void sip_stream_free(struct sip_stream *s); /* without on_dead; NULL is fine */

#endif
