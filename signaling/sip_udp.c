/* A UDP socket of the transport: recvmmsg, sendmmsg, addresses of packets. */
#include "signaling/sip_udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "signaling/sip_msg.h"

#define BATCH          32
#define BATCHES_A_TURN 4 /* then the other descriptors have their turn */
#define SOCKET_BUFFER  (1 << 20)

/* Room for the one ancillary message that we ask for, of either family. */
struct packet_info {
    _Alignas(struct cmsghdr) char octets[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                         CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct slot {
    char data[SIP_MAX_BYTES + 1]; /* one more: what is too large is seen to be */
    struct iovec iov;
    struct sockaddr_storage peer;
    struct packet_info info;
};

struct sip_udp_inbox {
    struct mmsghdr msg[BATCH];
    struct slot slot[BATCH];
};

struct sip_udp {
    const struct sip_udp_env *env;
    int fd;
    struct loop_io *io;
    struct net_addr bound;
    bool is_wildcard;
    size_t first, n; /* of the batch that waits */
    struct mmsghdr msg[BATCH];
    struct slot slot[BATCH];
};

enum err sip_udp_inbox_new(struct sip_udp_inbox **out)
{
    struct sip_udp_inbox *b = mem_zalloc(sizeof *b);

    if (b == NULL) {
        return FAIL(E_NOMEM);
    }
    *out = b;
    return E_OK;
}

void sip_udp_inbox_free(struct sip_udp_inbox *b)
{
    mem_free(b);
}

/* ---- in -------------------------------------------------------------------------------------- */
static void offer_room(struct sip_udp_inbox *b)
{
    for (size_t i = 0; i < BATCH; i++) {
        struct slot *s = &b->slot[i];
        s->iov = (struct iovec){.iov_base = s->data, .iov_len = sizeof s->data};
        b->msg[i].msg_hdr = (struct msghdr){.msg_name = &s->peer,
                                            .msg_namelen = sizeof s->peer,
                                            .msg_iov = &s->iov,
                                            .msg_iovlen = 1,
                                            .msg_control = &s->info,
                                            .msg_controllen = sizeof s->info};
    }
}

/* The address that a packet was sent to; the bound one when the kernel does not say. */
static void asked_address(const struct sip_udp *u, struct msghdr *m, struct net_addr *out)
{
    struct sockaddr_storage sa = {0};

    *out = u->bound;
    if (!u->is_wildcard) {
        return;
    }
    out->family = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            struct sockaddr_in *in = (struct sockaddr_in *)&sa;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            in->sin_family = AF_INET;
            in->sin_addr = info.ipi_spec_dst;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            in6->sin6_family = AF_INET6;
            in6->sin6_addr = info.ipi6_addr;
        }
    }
    if (sa.ss_family != 0) {
        IGNORE(net_from_sockaddr((const struct sockaddr *)&sa, out), "of two known families");
        out->port = u->bound.port;
    }
}

/* Phones keep their NAT binding open with such things. */
static bool is_keepalive(struct view raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] != '\r' && raw.p[i] != '\n' && raw.p[i] != '\0') {
            return false;
        }
    }
    return raw.n <= 4;
}

static void take(struct sip_udp *u, struct mmsghdr *m)
{
    struct sip_transport_stats *stats = u->env->stats;
    struct view raw = view_from(m->msg_hdr.msg_iov->iov_base, m->msg_len);
    struct net_addr remote, local;

    stats->rx_too_large += raw.n > SIP_MAX_BYTES;
    if (is_keepalive(raw)) {
        stats->rx_keepalive++;
        return;
    }
    /* Port 0 cannot be answered: nobody honest sends from it. */
    if (net_from_sockaddr((const struct sockaddr *)m->msg_hdr.msg_name, &remote) != E_OK ||
        remote.port == 0) {
        return;
    }
    asked_address(u, &m->msg_hdr, &local);
    stats->rx_datagrams++;
    u->env->on_datagram(u->env->arg, raw, &remote, &local);
}

static void receive(struct sip_udp *u)
{
    struct sip_udp_inbox *b = u->env->inbox;

    for (int i = 0; i < BATCHES_A_TURN; i++) {
        int n = 0;
        offer_room(b);
        n = recvmmsg(u->fd, b->msg, BATCH, MSG_DONTWAIT, NULL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        for (int k = 0; k < n; k++) {
            take(u, &b->msg[k]);
        }
        if (n >= 0 && n < BATCH) {
            return;
        }
        /* n < 0: EINTR, or an ICMP error of some earlier datagram: taken off by reading it. */
    }
}

static void on_io(void *arg, int fd, unsigned events)
{
    struct sip_udp *u = arg;

    (void)fd;
    if ((events & LOOP_WRITE) != 0) {
        sip_udp_flush(u);
    }
    if ((events & LOOP_READ) != 0) {
        receive(u);
    }
}

/* ---- out ------------------------------------------------------------------------------------- */
static void set_source(struct msghdr *m, struct packet_info *info, const struct net_addr *local)
{
    struct cmsghdr *c = NULL;

    memset(info, 0, sizeof *info);
    m->msg_control = info;
    if (local->family == 4) {
        struct in_pktinfo p = {0};
        memcpy(&p.ipi_spec_dst, local->ip, 4);
        m->msg_controllen = CMSG_SPACE(sizeof p);
        c = CMSG_FIRSTHDR(m);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof p);
        memcpy(CMSG_DATA(c), &p, sizeof p);
    } else {
        struct in6_pktinfo p = {0};
        memcpy(&p.ipi6_addr, local->ip, 16);
        m->msg_controllen = CMSG_SPACE(sizeof p);
        c = CMSG_FIRSTHDR(m);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof p);
        memcpy(CMSG_DATA(c), &p, sizeof p);
    }
}

void sip_udp_send(struct sip_udp *u, const struct net_addr *local, const struct net_addr *remote,
                  struct view octets)
{
    struct msghdr *m = NULL;
    struct slot *s = NULL;

    BUG_ON(octets.n > sizeof s->data);
    if (u->n == BATCH) {
        sip_udp_flush(u);
    }
    if (u->n == BATCH) {
        u->env->stats->tx_lost++;
        return;
    }
    s = &u->slot[u->n];
    m = &u->msg[u->n].msg_hdr;
    memcpy(s->data, octets.p, octets.n);
    s->iov = (struct iovec){.iov_base = s->data, .iov_len = octets.n};
    *m = (struct msghdr){.msg_name = &s->peer,
                         .msg_namelen = net_to_sockaddr(remote, &s->peer),
                         .msg_iov = &s->iov,
                         .msg_iovlen = 1};
    if (u->is_wildcard && local->family != 0) {
        set_source(m, &s->info, local);
    }
    u->n++;
    if (u->n == BATCH || !loop_in_turn(u->env->loop)) {
        sip_udp_flush(u);
    }
}

/* One datagram that cannot go must not hold up the others. */
void sip_udp_flush(struct sip_udp *u)
{
    bool retried = false;

    while (u->first < u->n) {
        int sent = sendmmsg(u->fd, u->msg + u->first, (unsigned)(u->n - u->first), MSG_DONTWAIT);
        if (sent > 0) {
            u->first += (size_t)sent;
            u->env->stats->tx_datagrams += (uint64_t)sent;
            retried = false;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            loop_io_events(u->io, LOOP_READ | LOOP_WRITE);
            return;
        } else if (errno == ECONNREFUSED && !retried) {
            retried = true; /* an ICMP error of an earlier one: this one was not tried yet */
        } else if (errno != EINTR) {
            u->env->stats->tx_lost++;
            u->first++;
            retried = false;
        }
    }
    u->first = u->n = 0;
    loop_io_events(u->io, LOOP_READ);
}

/* ---- the socket ------------------------------------------------------------------------------ */
static bool is_any(const struct net_addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->ip, zero, a->family == 4 ? 4 : 16) == 0;
}

unsigned sip_udp_fit(const struct sip_udp *u, const struct net_addr *local,
                     const struct net_addr *remote)
{
    if (u->bound.family != remote->family || (local->port != 0 && local->port != u->bound.port)) {
        return 0;
    }
    if (local->family != 0) {
        return net_ip_eq(local, &u->bound) ? 4 : u->is_wildcard ? 2 : 0;
    }
    /* Free choice: loopback only for loopback. */
    return u->is_wildcard || net_is_loopback(&u->bound) == net_is_loopback(remote) ? 2 : 1;
}

/* A connected socket that sends nothing knows what the routing table would choose. */
enum err sip_udp_source(const struct sip_udp *u, const struct net_addr *remote,
                        struct net_addr *out)
{
    enum err e = E_IO;
    struct net_addr any = {.family = remote->family}, a = u->bound;
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(remote, &sa);
    int fd = -1;

    if (u->is_wildcard) {
        TRY(net_udp_bind(&any, false, &fd));
        if (connect(fd, (const struct sockaddr *)&sa, n) != 0) {
            TRY(FAIL(E_IO));
        }
        TRY(net_local(fd, &a));
        a.port = u->bound.port;
    }
    *out = a;
    e = E_OK;
out:
    if (fd >= 0) {
        close(fd);
    }
    return e;
}

static enum err set_options(struct sip_udp *u)
{
    int one = 1, size = SOCKET_BUFFER;
    int r = u->bound.family == 4
                ? setsockopt(u->fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one)
                : setsockopt(u->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);

    /* Best effort: the kernel has its own maximum. */
    (void)setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    (void)setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return r == 0 ? E_OK : FAIL(E_IO);
}

enum err sip_udp_adopt(const struct sip_udp_env *env, int fd, struct sip_udp **out)
{
    enum err e = E_NOMEM;
    struct sip_udp *u = mem_zalloc(sizeof *u);

    if (u == NULL) {
        return FAIL(E_NOMEM);
    }
    u->env = env;
    u->fd = fd;
    TRY(net_local(u->fd, &u->bound));
    u->is_wildcard = is_any(&u->bound);
    TRY(set_options(u));
    TRY(loop_io_start(env->loop, u->fd, LOOP_READ, on_io, u, &u->io));
    *out = u;
    u = NULL; /* moved */
out:
    if (u != NULL) {
        u->fd = -1; /* stays the caller's */
        sip_udp_close(u);
    }
    return e;
}

enum err sip_udp_open(const struct sip_udp_env *env, const struct net_addr *a, bool reuse_port,
                      struct sip_udp **out)
{
    int fd = -1, keep = 0;
    enum err e = net_udp_bind(a, reuse_port, &fd);

    TRY(e);
    TRY(sip_udp_adopt(env, fd, out));
    return E_OK;
out:
    keep = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = keep;
    return e;
}

void sip_udp_close(struct sip_udp *u)
{
    int keep = errno;

    if (u == NULL) {
        return;
    }
    if (u->io != NULL) {
        sip_udp_flush(u);
    }
    loop_io_stop(u->io);
    if (u->fd >= 0) {
        close(u->fd);
    }
    mem_free(u);
    errno = keep;
}

const struct net_addr *sip_udp_bound(const struct sip_udp *u)
{
    return &u->bound;
}
