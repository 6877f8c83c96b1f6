/* Listeners of the transport: they come, accept within limits, rest, and leave. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "signaling/sip_transport_int.h"

#define BACKLOG        1024
#define ACCEPTS_A_TURN 64
#define ACCEPT_REST_MS 100
#define UDP_LINGER_MS  32000 /* 64 * T1 */

/* ---- accepting ------------------------------------------------------------------------------- */
static void on_rested(void *arg)
{
    struct listener *k = arg;

    loop_io_events(k->io, LOOP_READ);
}

/* Without descriptors the listener stays readable: it must rest, not spin. */
static void rest(struct listener *k, int code)
{
    struct sip_transport *t = k->t;

    t->stats.accept_paused++;
    LOG(LV_WARN, "transport.accept_paused", KV("errno", code), KV("connections", t->live));
    if (loop_timer_start(t->loop, &k->rest, ACCEPT_REST_MS, on_rested, k) == E_OK) {
        loop_io_events(k->io, 0);
    }
}

static bool is_within_limits(struct sip_transport *t, const struct net_addr *remote)
{
    if (t->live >= t->cfg.max_connections) {
        t->stats.refused_all++;
        return false;
    }
    if (transport_accepted_from(t, remote) >= t->cfg.max_per_source) {
        t->stats.refused_source++;
        return false;
    }
    return true;
}

static void welcome(struct listener *k, int fd, const struct sockaddr_storage *sa)
{
    struct sip_transport *t = k->t;
    struct tls_ctx *tls = k->proto == SIP_TLS ? t->cfg.tls_server : NULL;
    struct sip_stream *s = NULL;
    struct net_addr remote;

    if (net_from_sockaddr((const struct sockaddr *)sa, &remote) != E_OK ||
        !is_within_limits(t, &remote) ||
        sip_stream_accept(&t->stream_env, fd, &remote, tls, &s) != E_OK) {
        close(fd);
        return;
    }
    t->stats.accepted++;
    transport_add(t, s);
}

static void on_acceptable(void *arg, int fd, unsigned events)
{
    struct listener *k = arg;

    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage sa;
        socklen_t n = sizeof sa;
        int peer = accept4(fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer >= 0) {
            welcome(k, peer, &sa);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(k, errno);
            return;
        }
        /* Anything else belongs to a connection that ended before we took it. */
    }
}

/* ---- listening ------------------------------------------------------------------------------- */
static void listener_free(struct listener *k)
{
    if (k != NULL) {
        loop_timer_stop(k->t->loop, &k->rest);
        loop_io_stop(k->io);
        if (k->fd >= 0) {
            close(k->fd);
        }
        mem_free(k);
    }
}

static enum err udp_adopt(struct sip_transport *t, int fd, struct sip_udp **out)
{
    enum err e = E_NOMEM;
    struct socket_entry *k = mem_zalloc(sizeof *k), **end = &t->sockets;

    if (k == NULL) {
        return FAIL(E_NOMEM);
    }
    k->t = t;
    TRY(sip_udp_adopt(&t->udp_env, fd, &k->u));
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = k;
    *out = k->u;
    k = NULL; /* moved */
out:
    mem_free(k);
    return e;
}

static enum err stream_adopt(struct sip_transport *t, enum sip_proto proto, int fd)
{
    enum err e = E_NOMEM;
    struct listener *k = mem_zalloc(sizeof *k);

    if (k == NULL) {
        return FAIL(E_NOMEM);
    }
    k->t = t;
    k->proto = proto;
    k->fd = fd;
    TRY(loop_io_start(t->loop, k->fd, LOOP_READ, on_acceptable, k, &k->io));
    k->next = t->listeners;
    t->listeners = k;
    k = NULL; /* moved */
out:
    if (k != NULL) {
        k->fd = -1; /* stays the caller's */
        listener_free(k);
    }
    return e;
}

static void close_keeping_errno(int fd)
{
    int keep = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = keep;
}

enum err sip_transport_socket(enum sip_proto proto, const struct net_addr *a, bool reuse_port,
                              int *out_fd, struct net_addr *out_bound)
{
    int fd = -1;
    enum err e = proto == SIP_UDP ? net_udp_bind(a, reuse_port, &fd)
                                  : net_tcp_listen(a, reuse_port, BACKLOG, &fd);

    TRY(e);
    TRY(net_local(fd, out_bound));
    *out_fd = fd;
    return E_OK;
out:
    close_keeping_errno(fd);
    return e;
}

enum err sip_transport_adopt(struct sip_transport *t, enum sip_proto proto, int fd)
{
    struct sip_udp *u = NULL;

    if (proto == SIP_TLS && t->cfg.tls_server == NULL) {
        return FAIL(E_STATE);
    }
    return proto == SIP_UDP ? udp_adopt(t, fd, &u) : stream_adopt(t, proto, fd);
}

enum err transport_udp(struct sip_transport *t, const struct net_addr *a, struct sip_udp **out)
{
    struct net_addr bound;
    int fd = -1;
    enum err e = sip_transport_socket(SIP_UDP, a, t->cfg.reuse_port, &fd, &bound);

    TRY(e);
    TRY(udp_adopt(t, fd, out));
    return E_OK;
out:
    close_keeping_errno(fd);
    return e;
}

enum err sip_transport_listen(struct sip_transport *t, enum sip_proto proto,
                              const struct net_addr *a, struct net_addr *out_bound)
{
    enum err e = E_STATE;
    struct net_addr bound = {0};
    int fd = -1;

    if (proto == SIP_TLS && t->cfg.tls_server == NULL) {
        TRY(FAIL(E_STATE));
    }
    TRY(sip_transport_socket(proto, a, t->cfg.reuse_port, &fd, &bound));
    TRY(sip_transport_adopt(t, proto, fd));
    if (out_bound != NULL) {
        *out_bound = bound;
    }
    return E_OK;
out:
    close_keeping_errno(fd);
    return e;
}

static void on_udp_left(void *arg)
{
    struct socket_entry *k = arg, **at = &k->t->sockets;

    while (*at != k) {
        at = &(*at)->next;
    }
    *at = k->next;
    sip_udp_close(k->u);
    mem_free(k);
}

static enum err udp_unlisten(struct sip_transport *t, const struct net_addr *a)
{
    for (struct socket_entry *k = t->sockets; k != NULL; k = k->next) {
        if (!k->is_leaving && net_eq(sip_udp_bound(k->u), a)) {
            k->is_leaving = true;
            return loop_timer_start(t->loop, &k->leave, UDP_LINGER_MS, on_udp_left, k);
        }
    }
    return FAIL(E_NOTFOUND);
}

enum err sip_transport_unlisten(struct sip_transport *t, enum sip_proto proto,
                                const struct net_addr *a)
{
    struct net_addr bound;

    if (proto == SIP_UDP) {
        return udp_unlisten(t, a);
    }
    for (struct listener **at = &t->listeners; *at != NULL; at = &(*at)->next) {
        struct listener *k = *at;
        if (k->proto == proto && net_local(k->fd, &bound) == E_OK && net_eq(&bound, a)) {
            on_acceptable(k, k->fd, LOOP_READ); /* their handshake is done: no reset for them */
            *at = k->next;
            listener_free(k);
            return E_OK;
        }
    }
    return FAIL(E_NOTFOUND);
}

void sip_transport_set_per_source(struct sip_transport *t, unsigned max)
{
    t->cfg.max_per_source = max != 0 ? max : PER_SOURCE;
}

void transport_close_listeners(struct sip_transport *t)
{
    while (t->listeners != NULL) {
        struct listener *k = t->listeners;
        t->listeners = k->next;
        listener_free(k);
    }
    while (t->sockets != NULL) {
        struct socket_entry *k = t->sockets;
        t->sockets = k->next;
        loop_timer_stop(t->loop, &k->leave);
        sip_udp_close(k->u);
        mem_free(k);
    }
}
