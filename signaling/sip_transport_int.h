/* signaling/sip_transport_int.h - what the files of the transport share: sip_transport.c has the
 * table of connections and the ways out, sip_listen.c the listeners and sockets. Threads    the
 * loop's. */
#ifndef SIGNALING_SIP_TRANSPORT_INT_H
#define SIGNALING_SIP_TRANSPORT_INT_H

#include "base/hlist.h"
#include "signaling/sip_stream.h"
#include "signaling/sip_transport.h"
#include "signaling/sip_udp.h"

#define SOURCE_CHAINS 1024 /* a power of two */
#define PER_SOURCE    64

/* A place in the table; its generation makes the id of a connection unlike that of the one that
 * was here before. */
struct place {
    struct sip_stream *s; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* index + 1; 0: none */
};

struct listener {
    struct sip_transport *t;
    struct listener *next;
    int fd;
    struct loop_io *io;
    enum sip_proto proto;
    struct loop_timer rest;
};

struct socket_entry {
    struct socket_entry *next;
    struct sip_transport *t;
    struct sip_udp *u;
    bool is_leaving;
    struct loop_timer leave;
};

struct sip_transport {
    struct loop *loop;
    struct sip_transport_cfg cfg;
    struct sip_transport_stats stats;
    struct sip_stream_env stream_env;
    struct sip_udp_env udp_env;
    struct listener *listeners;
    struct socket_entry *sockets;
    struct place *places; /* cfg.max_connections */
    uint32_t first_free;  /* index + 1 */
    unsigned live;
    struct hlink *by_source[SOURCE_CHAINS];
    struct sip_stream *dead, **dead_end; /* in order of dying */
    struct loop_hook turn_end;
    struct loop_timer reaper; /* makes a turn when a connection dies outside of one */
    unsigned depth;           /* of our callbacks to the user */
};

/* sip_transport.c */
void transport_add(struct sip_transport *t, struct sip_stream *s); /* there must be room */
unsigned transport_accepted_from(struct sip_transport *t, const struct net_addr *a);

/* sip_listen.c */
/* A UDP socket that is nobody's listener; stays until the transport ends. */
MUST_CHECK enum err transport_udp(struct sip_transport *t, const struct net_addr *a,
                                  struct sip_udp **out);
void transport_close_listeners(struct sip_transport *t);

#endif
