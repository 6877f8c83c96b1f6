#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "signaling/sip_msg.h"
#include "signaling/sip_transport.h"

#define KID          "00112233445566778899aabbccddeeff"
#define KID2         "ffeeddccbbaa99887766554433221100"
#define OPTIONS_TAIL "IONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"
#define OPTIONS      "OPT" OPTIONS_TAIL
#define ANSWER       "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
#define TRYING       "SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n"
#define SEEN         400

enum reaction { REACT_NOT, REACT_ANSWER, REACT_CLOSE, REACT_CLOSE_KID, REACT_CLOSE_AND_SEND };

/* One transport on the common loop and what its user saw. */
struct side {
    struct sip_transport *t;
    struct tls_ctx *server, *client;
    enum reaction reaction;
    enum err sent;
    unsigned rx, closed;
    struct sip_flow flow; /* of the last message */
    size_t size[SEEN];
    char last[SIP_MAX_BYTES + 1];
    enum err why;
    struct sip_flow closed_flow;
};

struct rig {
    struct clock_fake clock;
    struct loop *l;
    struct side a, b;
    size_t live;
};

/* The kernel's side of datagrams, with a hand on it: `count` calls fail with `code`, others take at
 * most `most` datagrams. */
static struct {
    int code, count;
    unsigned most;
} hand;

static bool hand_fails(void)
{
    if (hand.code != 0 && hand.count != 0) {
        hand.count -= hand.count > 0;
        errno = hand.code;
        return true;
    }
    return false;
}

int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
    n = hand.most != 0 && hand.most < n ? hand.most : n;
    return hand_fails() ? -1 : (int)syscall(SYS_sendmmsg, fd, v, n, flags);
}

static enum err lookup(void *arg, struct view identity, struct secret *out_psk)
{
    (void)arg;
    if (!view_eq(identity, VIEW(KID)) && !view_eq(identity, VIEW(KID2))) {
        return FAIL(E_NOTFOUND);
    }
    memset(out_psk->b, identity.p[0], 32);
    out_psk->n = 32;
    return E_OK;
}

static void on_rx(void *arg, const struct sip_rx *rx)
{
    struct side *s = arg;

    assert_true(rx->raw.n <= sizeof s->last);
    s->size[s->rx++ % SEEN] = rx->raw.n;
    memcpy(s->last, rx->raw.p, rx->raw.n);
    s->flow = rx->flow;
    assert_int_equal(rx->is_datagram, rx->flow.proto == SIP_UDP);
    if (s->reaction == REACT_ANSWER) {
        s->sent = sip_transport_send(s->t, &rx->flow, VIEW(ANSWER));
    }
    if (s->reaction == REACT_CLOSE || s->reaction == REACT_CLOSE_AND_SEND) {
        sip_transport_close_flow(s->t, &rx->flow);
    }
    if (s->reaction == REACT_CLOSE_KID) {
        sip_transport_close_kid(s->t, rx->flow.kid);
    }
    if (s->reaction == REACT_CLOSE_AND_SEND) {
        s->sent = sip_transport_send(s->t, &rx->flow, VIEW(ANSWER));
    }
}

static void on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct side *s = arg;

    s->closed++;
    s->why = why;
    s->closed_flow = *flow;
    assert_int_equal(sip_transport_send(s->t, flow, VIEW(ANSWER)), E_NOTFOUND);
}

static void side_init(struct rig *r, struct side *s, struct sip_transport_cfg cfg)
{
    assert_int_equal(tls_server_ctx(lookup, r, &s->server), E_OK);
    assert_int_equal(tls_client_ctx(&s->client), E_OK);
    cfg.tls_server = s->server;
    cfg.on_rx = on_rx;
    cfg.on_closed = on_closed;
    cfg.arg = s;
    assert_int_equal(sip_transport_new(r->l, &cfg, &s->t), E_OK);
}

static void rig_init(struct rig *r, struct sip_transport_cfg cfg)
{
    *r = (struct rig){.live = mem_live()};
    clock_fake_init(&r->clock, 0);
    assert_int_equal(loop_new(&r->clock.clock, &r->l), E_OK);
    side_init(r, &r->a, cfg);
    side_init(r, &r->b, (struct sip_transport_cfg){.worker = 7});
}

static void side_fini(struct side *s)
{
    sip_transport_free(s->t);
    tls_ctx_free(s->server);
    tls_ctx_free(s->client);
}

static void rig_fini(struct rig *r)
{
    side_fini(&r->a);
    side_fini(&r->b);
    assert_int_equal(loop_timers(r->l), 0);
    loop_free(r->l);
    assert_int_equal(mem_live(), r->live);
}

static uint64_t real_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* Turns the loop until the condition holds; the kernel may need a moment for loopback. */
#define UNTIL(r, condition)                                                                        \
    do {                                                                                           \
        uint64_t end_ = real_ms() + 5000;                                                          \
        while (!(condition) && real_ms() < end_) {                                                 \
            loop_run_once((r)->l, false);                                                          \
            sched_yield();                                                                         \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

/* Enough turns for whatever was going to happen. */
static void settle(struct rig *r)
{
    for (int i = 0; i < 50; i++) {
        loop_run_once(r->l, false);
        sched_yield();
    }
}

static void on_nothing(void *arg)
{
    (void)arg;
}

/* Whether the loop sleeps: no descriptor is ready all the time without anybody taking from it. */
static bool is_quiet(struct rig *r)
{
    struct loop_timer never_due = {0};
    uint64_t begin = 0, took = 0;

    settle(r);
    assert_int_equal(loop_timer_start(r->l, &never_due, 20, on_nothing, NULL), E_OK);
    begin = real_ms();
    loop_run_once(r->l, true);
    took = real_ms() - begin;
    loop_timer_stop(r->l, &never_due);
    return took >= 10;
}

static struct sip_transport_stats stats_of(const struct side *s)
{
    struct sip_transport_stats st;

    sip_transport_stats(s->t, &st);
    return st;
}

static struct net_addr addr(const char *text)
{
    struct net_addr a = {0};

    assert_int_equal(net_parse(view_of(text), 0, &a), E_OK);
    return a;
}

static struct net_addr listen_on(struct side *s, enum sip_proto proto, const char *text)
{
    struct net_addr a = addr(text), bound = {0};

    assert_int_equal(sip_transport_listen(s->t, proto, &a, &bound), E_OK);
    assert_true(bound.port != 0);
    return bound;
}

/* ---- peers of the other kind: bare sockets --------------------------------------------------- */
static int tcp_to_from(const struct net_addr *to, const char *from)
{
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (from != NULL) {
        struct net_addr a = addr(from);
        struct sockaddr_storage own;
        socklen_t m = net_to_sockaddr(&a, &own);
        assert_int_equal(bind(fd, (struct sockaddr *)&own, m), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static int tcp_to(const struct net_addr *to)
{
    return tcp_to_from(to, NULL);
}

static void put(int fd, struct view v)
{
    assert_int_equal(send(fd, v.p, v.n, MSG_NOSIGNAL), v.n);
}

/* The loop turns until n octets or the end came; returns how many. */
static size_t get(struct rig *r, int fd, char *dst, size_t n)
{
    uint64_t end = real_ms() + 5000;
    size_t at = 0;

    while (at < n && real_ms() < end) {
        ssize_t k = recv(fd, dst + at, n - at, MSG_DONTWAIT);
        if (k == 0 || (k < 0 && errno != EAGAIN)) {
            break;
        }
        at += k > 0 ? (size_t)k : 0;
        loop_run_once(r->l, false);
    }
    return at;
}

static bool is_ended(struct rig *r, int fd)
{
    uint64_t end = real_ms() + 5000;
    char c;

    while (real_ms() < end) {
        ssize_t k = recv(fd, &c, 1, MSG_DONTWAIT);
        if (k == 0 || (k < 0 && errno != EAGAIN)) {
            return true;
        }
        loop_run_once(r->l, false);
    }
    return false;
}

static bool is_silent(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static void expect(struct rig *r, int fd, struct view v)
{
    char buf[512];

    assert_true(v.n <= sizeof buf);
    assert_int_equal(get(r, fd, buf, v.n), v.n);
    assert_memory_equal(buf, v.p, v.n);
}

static int udp_on(const char *text)
{
    struct net_addr a = addr(text);
    int fd = -1;

    assert_int_equal(net_udp_bind(&a, false, &fd), E_OK);
    return fd;
}

static void put_to(int fd, const struct net_addr *to, struct view v)
{
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(to, &sa);

    assert_int_equal(sendto(fd, v.p, v.n, 0, (struct sockaddr *)&sa, n), v.n);
}

static bool got_from(struct rig *r, int fd, struct net_addr *from)
{
    struct sockaddr_storage sa;
    uint64_t end = real_ms() + 5000;
    char buf[SIP_MAX_BYTES];

    while (real_ms() < end) {
        socklen_t n = sizeof sa;
        ssize_t k = recvfrom(fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&sa, &n);
        if (k >= 0) {
            assert_int_equal(net_from_sockaddr((struct sockaddr *)&sa, from), E_OK);
            return view_eq(view_from(buf, (size_t)k), VIEW(ANSWER));
        }
        loop_run_once(r->l, false);
    }
    return false;
}

static bool has_ipv6(void)
{
    struct net_addr a = addr("[::1]:0");
    int fd = -1;

    if (net_udp_bind(&a, false, &fd) != E_OK) {
        return false;
    }
    close(fd);
    return true;
}

/* ---- UDP ------------------------------------------------------------------------------------- */
static void udp_answers_leave_from_where_was_asked(void **state)
{
    static const struct {
        const char *bound, *asked, *peer;
        bool needs_ipv6;
    } rows[] = {
        {"0.0.0.0:0", "127.0.0.2:0", "127.0.0.1:0", false},
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.3:0", false},
        {"127.0.0.4:0", "127.0.0.4:0", "127.0.0.1:0", false},
        {"[::1]:0", "[::1]:0", "[::1]:0", true},
        {"[::]:0", "[::1]:0", "[::1]:0", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;
        struct net_addr asked = addr(rows[i].asked), from = {0}, own = {0};
        int fd = -1;
        if (rows[i].needs_ipv6 && !has_ipv6()) {
            print_message("no IPv6 here: row %zu left out\n", i);
            continue;
        }
        rig_init(&r, (struct sip_transport_cfg){.worker = 3});
        r.a.reaction = REACT_ANSWER;
        asked.port = listen_on(&r.a, SIP_UDP, rows[i].bound).port;
        fd = udp_on(rows[i].peer);
        assert_int_equal(net_local(fd, &own), E_OK);
        put_to(fd, &asked, VIEW(OPTIONS));
        assert_true(got_from(&r, fd, &from));
        assert_true(net_eq(&from, &asked));
        assert_true(net_eq(&r.a.flow.local, &asked));
        assert_true(net_eq(&r.a.flow.remote, &own));
        assert_int_equal(r.a.flow.worker, 3);
        assert_true(view_eq(view_from(r.a.last, r.a.size[0]), VIEW(OPTIONS)));
        close(fd);
        rig_fini(&r);
    }
}

/* "All addresses" of either family on one port, as operators write it. */
static void both_families_share_a_port(void **state)
{
    struct rig r;
    struct net_addr any4 = addr("0.0.0.0:0"), any6 = addr("[::]:0"), from = {0};

    (void)state;
    if (!has_ipv6()) {
        skip();
    }
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    any4.port = any6.port = listen_on(&r.a, SIP_UDP, "0.0.0.0:0").port;
    assert_int_equal(sip_transport_listen(r.a.t, SIP_UDP, &any6, NULL), E_OK);
    for (unsigned i = 0; i < 2; i++) {
        int fd = udp_on(i == 0 ? "127.0.0.1:0" : "[::1]:0");
        struct net_addr asked = addr(i == 0 ? "127.0.0.5:0" : "[::1]:0");
        asked.port = any4.port;
        put_to(fd, &asked, VIEW(OPTIONS));
        assert_true(got_from(&r, fd, &from));
        assert_true(net_eq(&from, &asked));
        close(fd);
    }
    rig_fini(&r);
}

static void udp_sizes(void **state)
{
    static char big[SIP_MAX_BYTES + 1000];
    struct rig r;
    struct net_addr to;
    int fd = -1;

    (void)state;
    memset(big, 'x', sizeof big);
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_UDP, "127.0.0.1:0");
    fd = udp_on("127.0.0.1:0");
    put_to(fd, &to, view_from(big, SIP_MAX_BYTES + 1));
    put_to(fd, &to, view_from(big, sizeof big));
    put_to(fd, &to, VIEW("\r\n\r\n"));
    put_to(fd, &to, VIEW(""));
    put_to(fd, &to, VIEW("\0"));
    put_to(fd, &to, view_from(big, SIP_MAX_BYTES));
    put_to(fd, &to, view_from(big, 1));
    UNTIL(&r, r.a.rx == 4);
    settle(&r);
    assert_int_equal(r.a.rx, 4);
    assert_int_equal(r.a.size[0], SIP_MAX_BYTES + 1);
    assert_int_equal(r.a.size[1], SIP_MAX_BYTES + 1); /* its beginning */
    assert_int_equal(r.a.size[2], SIP_MAX_BYTES);
    assert_int_equal(r.a.size[3], 1);
    assert_int_equal(stats_of(&r.a).rx_too_large, 2);
    assert_int_equal(stats_of(&r.a).rx_keepalive, 3);
    assert_int_equal(stats_of(&r.a).rx_datagrams, 4);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, view_from(big, SIP_MAX_BYTES + 1)),
                     E_RANGE);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW("")), E_RANGE);
    close(fd);
    rig_fini(&r);
}

static void udp_batches(void **state)
{
    struct rig r;
    struct net_addr to, from;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_UDP, "127.0.0.1:0");
    fd = udp_on("127.0.0.1:0");
    for (size_t i = 0; i < 150; i++) {
        char text[200] = OPTIONS;
        put_to(fd, &to, view_from(text, sizeof OPTIONS - 1 + i % 40));
    }
    UNTIL(&r, r.a.rx == 150);
    for (size_t i = 0; i < 150; i++) {
        assert_int_equal(r.a.size[i], sizeof OPTIONS - 1 + i % 40); /* in order */
        assert_true(got_from(&r, fd, &from));
    }
    settle(&r);
    assert_true(is_silent(fd));
    assert_int_equal(stats_of(&r.a).tx_datagrams, 150);
    /* Outside of a turn nothing waits for the next one. */
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(ANSWER)), E_OK);
    assert_int_equal(stats_of(&r.a).tx_datagrams, 151);
    close(fd);
    rig_fini(&r);
}

static void udp_survives_errors(void **state)
{
    struct rig r;
    struct net_addr to, from;
    struct sip_flow dead = {.proto = SIP_UDP}, wrong = {.proto = SIP_UDP};
    int fd = udp_on("127.0.0.1:0"), gone = udp_on("127.0.0.1:0");

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_UDP, "0.0.0.0:0");
    to.ip[0] = 127;
    to.ip[3] = 1;
    assert_int_equal(net_local(gone, &dead.remote), E_OK);
    close(gone);
    for (int i = 0; i < 5; i++) { /* ICMP port unreachable */
        assert_int_equal(sip_transport_send(r.a.t, &dead, VIEW(ANSWER)), E_OK);
        settle(&r);
    }
    put_to(fd, &to, VIEW(OPTIONS));
    assert_true(got_from(&r, fd, &from));
    /* A source address that is not ours cannot be used; that datagram is lost, no other. */
    wrong.remote = r.a.flow.remote;
    wrong.local = addr("192.0.2.1:0");
    assert_int_equal(sip_transport_send(r.a.t, &wrong, VIEW(ANSWER)), E_OK);
    assert_int_equal(stats_of(&r.a).tx_lost, 1);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(ANSWER)), E_OK);
    assert_true(got_from(&r, fd, &from));
    wrong.local = addr("192.0.2.1:1"); /* no socket on that port */
    assert_int_equal(sip_transport_send(r.a.t, &wrong, VIEW(ANSWER)), E_NOTFOUND);
    close(fd);
    rig_fini(&r);
}

static size_t count_answers(struct rig *r, int fd, size_t want)
{
    struct net_addr from;
    size_t n = 0;

    while (n < want && got_from(r, fd, &from)) {
        n++;
    }
    return is_silent(fd) ? n : n + 1;
}

/* 20 answers in one turn, then 20 more; what the kernel says to the first, and what arrives. */
static void udp_when_the_kernel_will_not(void **state)
{
    static const struct {
        int code, count;
        unsigned most;
        size_t lost;
    } rows[] = {
        {0, 0, 0, 0},
        {0, 0, 7, 0},      /* takes few at a time */
        {EINTR, 3, 0, 0},  /* again */
        {EAGAIN, 1, 0, 0}, /* waits for room */
        {EAGAIN, 2, 3, 0},
        {ENOBUFS, 1, 0, 1}, /* that one is lost, no other */
        {EPERM, 2, 0, 2},
        {ECONNREFUSED, 1, 0, 0},  /* somebody else's ICMP */
        {ECONNREFUSED, 2, 0, 1},  /* or this one's after all */
        {EAGAIN, -1, 0, 40 - 32}, /* no room for long: a batch waits, more is lost */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;
        struct net_addr to;
        int fd = udp_on("127.0.0.1:0");
        rig_init(&r, (struct sip_transport_cfg){0});
        r.a.reaction = REACT_ANSWER;
        to = listen_on(&r.a, SIP_UDP, "127.0.0.1:0");
        hand.code = rows[i].code;
        hand.count = rows[i].count;
        hand.most = rows[i].most;
        for (unsigned k = 1; k <= 40; k++) {
            put_to(fd, &to, VIEW(OPTIONS));
            if (k % 20 == 0) {
                UNTIL(&r, r.a.rx == k);
            }
        }
        settle(&r);
        hand.count = 0;
        assert_int_equal(count_answers(&r, fd, 40 - rows[i].lost), 40 - rows[i].lost);
        settle(&r);
        assert_true(is_silent(fd));
        assert_int_equal(stats_of(&r.a).tx_lost, rows[i].lost);
        assert_int_equal(stats_of(&r.a).tx_datagrams, 40 - rows[i].lost);
        assert_true(is_quiet(&r));
        memset(&hand, 0, sizeof hand);
        close(fd);
        rig_fini(&r);
    }
}

static void udp_connect_needs_no_listener(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow f;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_UDP, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect(r.b.t, SIP_UDP, &to, NULL, VIEW(""), NULL, &f), E_OK);
    assert_true(net_is_loopback(&f.local) && f.local.port != 0);
    assert_int_equal(f.conn, 0);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(&r, r.b.rx == 1);
    assert_true(net_eq(&r.a.flow.remote, &f.local));
    to.port = 0;
    assert_int_equal(sip_transport_connect(r.b.t, SIP_UDP, &to, NULL, VIEW(""), NULL, &f), E_RANGE);
    rig_fini(&r);
}

static void listeners_share_a_port_only_when_told(void **state)
{
    struct rig r;
    struct side c = {0};
    struct net_addr a;

    (void)state;
    for (int proto = SIP_UDP; proto <= SIP_TLS; proto++) {
        rig_init(&r, (struct sip_transport_cfg){.reuse_port = true});
        c = (struct side){0};
        side_init(&r, &c, (struct sip_transport_cfg){.reuse_port = true});
        a = listen_on(&r.a, (enum sip_proto)proto, "127.0.0.1:0");
        assert_int_equal(sip_transport_listen(c.t, (enum sip_proto)proto, &a, NULL), E_OK);
        errno = 0;
        assert_int_equal(sip_transport_listen(r.b.t, (enum sip_proto)proto, &a, NULL), E_IO);
        assert_int_equal(errno, EADDRINUSE);
        side_fini(&c);
        rig_fini(&r);
    }
}

/* ---- TCP: framing ---------------------------------------------------------------------------- */
static void tcp_in_pieces_and_in_one(void **state)
{
    static const char text[] =
        OPTIONS "\r\nMESSAGE sip:a SIP/2.0\r\nl:5\r\n\r\nhello" ANSWER "ACK sip:x SIP/2.0\r\n"
                "Content-Length: 0\r\n\r\n";
    static const size_t pieces[] = {1, 2, 13, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct rig r;
        struct net_addr to;
        struct view all = view_from(text, sizeof text - 1);
        int fd = -1;
        rig_init(&r, (struct sip_transport_cfg){.worker = 2});
        to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
        fd = tcp_to(&to);
        for (size_t at = 0; at < all.n; at += pieces[i]) {
            put(fd, view_sub(all, at, pieces[i]));
            loop_run_once(r.l, false);
        }
        UNTIL(&r, r.a.rx == 4);
        assert_int_equal(r.a.size[0], sizeof OPTIONS - 1);
        assert_int_equal(r.a.size[1], 35);
        assert_int_equal(r.a.size[2], sizeof ANSWER - 1);
        assert_int_equal(r.a.flow.worker, 2);
        assert_true(r.a.flow.conn != 0);
        assert_int_equal(sip_transport_connections(r.a.t), 1);
        assert_int_equal(stats_of(&r.a).rx_messages, 4);
        assert_true(is_silent(fd)); /* one CRLF between messages asks for nothing */
        close(fd);
        rig_fini(&r);
    }
}

static void tcp_largest_message(void **state)
{
    static char text[SIP_MAX_BYTES + 8];
    struct rig r;
    struct net_addr to;
    int fd = -1;
    int head = snprintf(text, sizeof text, "\r\nMESSAGE sip:a SIP/2.0\r\nl:%d\r\n\r\n",
                        SIP_MAX_BYTES - 33);

    (void)state;
    memset(text + head, 'b', sizeof text - (size_t)head);
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    put(fd, view_from(text, (size_t)head + SIP_MAX_BYTES - 33));
    put(fd, VIEW(OPTIONS));
    UNTIL(&r, r.a.rx == 2);
    assert_int_equal(r.a.size[0], (size_t)head - 2 + SIP_MAX_BYTES - 33);
    assert_int_equal(r.a.size[1], sizeof OPTIONS - 1);
    close(fd);
    rig_fini(&r);
}

static void tcp_garbage_is_closed(void **state)
{
    static char huge[SIP_MAX_BYTES * 3];
    static const struct {
        const char *text;
        enum err why;
    } rows[] = {
        {"", E_RANGE}, /* huge: a head that does not end */
        {"INVITE sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n", E_PARSE},
        {"INVITE sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n", E_PARSE},
        {"INVITE sip:a SIP/2.0\r\nContent-Length: 8192\r\n\r\n", E_RANGE},
        {"INVITE sip:a SIP/2.0\r\n\r\n", E_PARSE},
    };

    (void)state;
    memset(huge, 'a', sizeof huge);
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
        struct rig r;
        struct net_addr to;
        struct view bad = view_of(rows[i / 2].text);
        bool is_known = i % 2 == 1;
        int fd = -1;
        rig_init(&r, (struct sip_transport_cfg){0});
        to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
        fd = tcp_to(&to);
        if (is_known) {
            put(fd, VIEW(OPTIONS));
        }
        put(fd, bad.n > 0 ? bad : view_from(huge, sizeof huge));
        assert_true(is_ended(&r, fd));
        settle(&r);
        assert_int_equal(sip_transport_connections(r.a.t), 0);
        assert_int_equal(r.a.rx, is_known);
        assert_int_equal(r.a.closed, is_known); /* nobody knew the other */
        assert_true(stats_of(&r.a).closed[rows[i / 2].why] == 1);
        if (is_known) {
            assert_int_equal(r.a.why, rows[i / 2].why);
            assert_int_equal(r.a.closed_flow.conn, r.a.flow.conn);
        }
        close(fd);
        rig_fini(&r);
    }
}

static void tcp_keep_alive(void **state)
{
    struct rig r;
    struct net_addr to;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    put(fd, VIEW("\r\n\r\n"));
    expect(&r, fd, VIEW("\r\n"));
    put(fd, VIEW("\r\n"));
    settle(&r);
    assert_true(is_silent(fd));
    put(fd, VIEW("\r\n")); /* the ping came in two halves */
    expect(&r, fd, VIEW("\r\n"));
    put(fd, VIEW("\r\n\r\n" OPTIONS "\r\n"));
    UNTIL(&r, r.a.rx == 1);
    expect(&r, fd, VIEW("\r\n"));
    settle(&r);
    assert_true(is_silent(fd));
    assert_int_equal(stats_of(&r.a).rx_keepalive, 3);
    /* The trailing CRLF is no message begun. */
    loop_advance(r.l, &r.clock, 60000);
    assert_int_equal(sip_transport_connections(r.a.t), 1);
    close(fd);
    rig_fini(&r);
}

static void a_client_takes_pongs(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow f;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &f), E_OK);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(sip_transport_send(r.b.t, &f, VIEW("\r\n\r\n")), E_OK);
        UNTIL(&r, stats_of(&r.a).rx_keepalive == i);
        settle(&r);
    }
    assert_int_equal(stats_of(&r.b).rx_keepalive, 0); /* two pongs are no ping */
    assert_int_equal(stats_of(&r.a).rx_keepalive, 4);
    rig_fini(&r);
}

/* ---- limits ---------------------------------------------------------------------------------- */
static void limits_of_connections(void **state)
{
    struct rig r;
    struct net_addr to;
    int fd[8] = {0};

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){.max_connections = 3, .max_per_source = 2});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd[0] = tcp_to(&to);
    fd[1] = tcp_to(&to);
    UNTIL(&r, sip_transport_connections(r.a.t) == 2);
    fd[2] = tcp_to(&to);
    assert_true(is_ended(&r, fd[2]));
    assert_int_equal(stats_of(&r.a).refused_source, 1);
    fd[3] = tcp_to_from(&to, "127.0.0.2:0");
    UNTIL(&r, sip_transport_connections(r.a.t) == 3);
    fd[4] = tcp_to_from(&to, "127.0.0.3:0");
    assert_true(is_ended(&r, fd[4]));
    assert_int_equal(stats_of(&r.a).refused_all, 1);
    assert_int_equal(sip_transport_connect(r.a.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &r.a.flow),
                     E_FULL);
    close(fd[0]);
    UNTIL(&r, sip_transport_connections(r.a.t) == 2);
    fd[5] = tcp_to(&to); /* room again */
    UNTIL(&r, sip_transport_connections(r.a.t) == 3);
    assert_int_equal(stats_of(&r.a).accepted, 4);
    assert_int_equal(r.a.closed, 0);
    for (int i = 1; i < 6; i++) {
        close(fd[i]);
    }
    rig_fini(&r);
}

static void our_own_connections_are_not_their_limit(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow f;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){.max_per_source = 1});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect(r.a.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &f), E_OK);
    assert_int_equal(sip_transport_send(r.a.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(&r, r.a.rx >= 2); /* to itself: the request and the answer */
    assert_int_equal(sip_transport_connections(r.a.t), 2);
    assert_int_equal(stats_of(&r.a).refused_source, 0);
    rig_fini(&r);
}

static void an_ipv6_source_is_a_64(void **state)
{
    struct rig r;
    struct net_addr to;
    int a = -1, b = -1;

    (void)state;
    if (!has_ipv6()) {
        skip();
    }
    rig_init(&r, (struct sip_transport_cfg){.max_per_source = 1});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_TCP, "[::1]:0");
    a = tcp_to(&to);
    put(a, VIEW(OPTIONS));
    expect(&r, a, VIEW(ANSWER));
    assert_int_equal(r.a.flow.remote.family, 6);
    b = tcp_to(&to);
    assert_true(is_ended(&r, b));
    close(a);
    close(b);
    rig_fini(&r);
}

static void slow_ones_are_closed(void **state)
{
    static const struct {
        const char *first, *then; /* then: after 5 s */
        unsigned rx;
        bool tls;
        uint64_t lives_ms;
    } rows[] = {
        {"", "", 0, false, 10000},
        {"OPT", "IONS", 0, false, 10000},                     /* octets alone win no time */
        {"\r\n\r\n", "\r\n\r\n", 0, false, 10000},            /* nor do pings */
        {OPTIONS, "", 1, false, 20000},                       /* idle */
        {OPTIONS, OPTIONS, 2, false, 25000},                  /* a message restarts it */
        {OPTIONS, "\r\n\r\n", 1, false, 25000},               /* a ping does too */
        {OPTIONS "OPT", "IONS", 1, false, 10000},             /* a message begun must end */
        {OPTIONS, OPTIONS "OPT", 2, false, 15000},            /* its time begins with it */
        {OPTIONS "OPT", OPTIONS_TAIL, 2, false, 25000},       /* and when it does, all is well */
        {OPTIONS "OPT", OPTIONS_TAIL "OPT", 2, false, 15000}, /* but the next has its own time */
        {"", "", 0, true, 10000},                             /* no handshake */
        {"\x16\x03\x01", "\x02", 0, true, 10000},             /* half of one */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;
        struct net_addr to;
        int fd = -1;
        uint64_t lives = rows[i].lives_ms;
        unsigned rx = rows[i].rx;
        rig_init(&r, (struct sip_transport_cfg){.idle_ms = 20000});
        to = listen_on(&r.a, rows[i].tls ? SIP_TLS : SIP_TCP, "127.0.0.1:0");
        fd = tcp_to(&to);
        UNTIL(&r, sip_transport_connections(r.a.t) == 1);
        put(fd, view_of(rows[i].first));
        settle(&r);
        loop_advance(r.l, &r.clock, 5000);
        put(fd, view_of(rows[i].then));
        settle(&r);
        loop_advance(r.l, &r.clock, lives - 5000 - 1);
        assert_int_equal(sip_transport_connections(r.a.t), 1);
        loop_advance(r.l, &r.clock, 1);
        settle(&r);
        assert_int_equal(sip_transport_connections(r.a.t), 0);
        assert_int_equal(r.a.rx, rx);
        assert_int_equal(r.a.closed, rx > 0);
        assert_int_equal(stats_of(&r.a).closed[E_TIMEOUT], 1);
        assert_true(r.a.closed == 0 || r.a.why == E_TIMEOUT);
        close(fd);
        rig_fini(&r);
    }
}

static void a_peer_that_does_not_read(void **state)
{
    static char text[SIP_MAX_BYTES];
    struct rig r;
    struct net_addr to;
    enum err e = E_OK;
    size_t sent = 0;
    int fd = -1;

    (void)state;
    memset(text, 'x', sizeof text);
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    put(fd, VIEW(OPTIONS));
    UNTIL(&r, r.a.rx == 1);
    while (e == E_OK && sent < (64u << 20)) {
        e = sip_transport_send(r.a.t, &r.a.flow, view_from(text, sizeof text));
        sent += sizeof text;
    }
    assert_int_equal(e, E_FULL);
    assert_int_equal(r.a.closed, 0); /* never from inside a call */
    assert_int_equal(sip_transport_connections(r.a.t), 0);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(ANSWER)), E_NOTFOUND);
    loop_run_once(r.l, true); /* there is something to do, although no descriptor says so */
    assert_int_equal(r.a.closed, 1);
    assert_int_equal(r.a.why, E_FULL);
    settle(&r);
    assert_int_equal(r.a.closed, 1);
    close(fd);
    rig_fini(&r);
}

static void a_peer_that_reads_late_gets_all(void **state)
{
    static char text[SIP_MAX_BYTES], back[SIP_MAX_BYTES];
    struct rig r;
    struct net_addr to;
    int fd = -1, small = 4096;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    put(fd, VIEW(OPTIONS));
    UNTIL(&r, r.a.rx == 1);
    for (int i = 0; i < 30; i++) { /* 240 KiB */
        memset(text, 'a' + i, sizeof text);
        assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, view_from(text, sizeof text)), E_OK);
    }
    for (int i = 0; i < 30; i++) {
        memset(text, 'a' + i, sizeof text);
        assert_int_equal(get(&r, fd, back, sizeof back), sizeof back);
        assert_memory_equal(back, text, sizeof text);
    }
    assert_int_equal(sip_transport_connections(r.a.t), 1);
    close(fd);
    rig_fini(&r);
}

static void out_of_descriptors(void **state)
{
    struct rig r;
    struct net_addr to;
    struct rlimit was, low;
    int fd = -1, top = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    top = dup(fd);
    close(top);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    low = was;
    low.rlim_cur = (rlim_t)top;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    UNTIL(&r, stats_of(&r.a).accept_paused == 1);
    settle(&r);
    assert_int_equal(stats_of(&r.a).accept_paused, 1); /* it rests, it does not spin */
    assert_true(is_quiet(&r));
    loop_advance(r.l, &r.clock, 100);
    settle(&r);
    assert_int_equal(stats_of(&r.a).accept_paused, 2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    settle(&r);
    assert_int_equal(sip_transport_connections(r.a.t), 0);
    loop_advance(r.l, &r.clock, 100);
    put(fd, VIEW(OPTIONS));
    expect(&r, fd, VIEW(ANSWER));
    close(fd);
    rig_fini(&r);
}

/* ---- ends ------------------------------------------------------------------------------------ */
static void half_closed_peers_get_what_is_owed(void **state)
{
    struct rig r;
    struct net_addr to;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    put(fd, VIEW(OPTIONS OPTIONS));
    shutdown(fd, SHUT_WR);
    UNTIL(&r, r.a.rx == 2);
    settle(&r);
    assert_int_equal(r.a.closed, 0);
    assert_true(is_quiet(&r));
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(OPTIONS)), E_NOTFOUND);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(TRYING)), E_OK);
    expect(&r, fd, VIEW(TRYING));
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(ANSWER)), E_OK);
    expect(&r, fd, VIEW(ANSWER));
    assert_int_equal(r.a.closed, 0);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(ANSWER)), E_OK);
    expect(&r, fd, VIEW(ANSWER));
    assert_true(is_ended(&r, fd));
    assert_int_equal(r.a.closed, 1);
    assert_int_equal(r.a.why, E_STATE);
    close(fd);
    rig_fini(&r);
}

static void half_closed_peers_do_not_stay(void **state)
{
    struct rig r;
    struct net_addr to;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    put(fd, VIEW(OPTIONS));
    shutdown(fd, SHUT_WR);
    UNTIL(&r, r.a.rx == 1);
    settle(&r);
    loop_advance(r.l, &r.clock, 31999);
    assert_int_equal(r.a.closed, 0);
    loop_advance(r.l, &r.clock, 1);
    settle(&r);
    assert_int_equal(r.a.closed, 1);
    assert_int_equal(r.a.why, E_TIMEOUT);
    close(fd);
    fd = tcp_to(&to); /* nothing owed: at once */
    put(fd, VIEW(ANSWER));
    close(fd);
    UNTIL(&r, r.a.closed == 2);
    assert_int_equal(r.a.why, E_STATE);
    rig_fini(&r);
}

static void reset_is_told_once(void **state)
{
    struct linger hard = {.l_onoff = 1};
    struct rig r;
    struct net_addr to;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    fd = tcp_to(&to);
    put(fd, VIEW(OPTIONS));
    UNTIL(&r, r.a.rx == 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    UNTIL(&r, r.a.closed == 1);
    assert_int_equal(r.a.why, E_IO);
    settle(&r);
    assert_int_equal(r.a.closed, 1);
    rig_fini(&r);
}

static void closed_from_inside(void **state)
{
    static const enum reaction how[] = {REACT_CLOSE, REACT_CLOSE_AND_SEND};

    (void)state;
    for (size_t i = 0; i < sizeof how / sizeof how[0]; i++) {
        struct rig r;
        struct net_addr to;
        int fd = -1;
        rig_init(&r, (struct sip_transport_cfg){0});
        r.a.reaction = how[i];
        to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
        fd = tcp_to(&to);
        put(fd, VIEW(OPTIONS OPTIONS OPTIONS));
        assert_true(is_ended(&r, fd));
        settle(&r);
        assert_int_equal(r.a.rx, 1); /* what was pipelined dies with the connection */
        assert_int_equal(r.a.closed, 1);
        assert_int_equal(r.a.why, E_OK);
        assert_int_equal(r.a.sent, i == 0 ? E_OK : E_NOTFOUND);
        sip_transport_close_flow(r.a.t, &r.a.flow); /* gone: nothing happens */
        settle(&r);
        assert_int_equal(r.a.closed, 1);
        close(fd);
        rig_fini(&r);
    }
}

static void two_at_once(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow f[2];
    int fd[2];

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    for (unsigned i = 0; i < 2; i++) {
        fd[i] = tcp_to(&to);
        put(fd[i], VIEW(OPTIONS));
        UNTIL(&r, r.a.rx == i + 1);
        f[i] = r.a.flow;
    }
    sip_transport_close_flow(r.a.t, &f[0]);
    sip_transport_close_flow(r.a.t, &f[1]);
    sip_transport_close_flow(r.a.t, &f[0]);
    assert_int_equal(r.a.closed, 0);
    loop_run_once(r.l, true);
    assert_int_equal(r.a.closed, 2);
    assert_true(r.a.closed_flow.conn == f[1].conn); /* in the order of dying */
    close(fd[0]);
    close(fd[1]);
    rig_fini(&r);
}

static void old_flows_find_nobody(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow first, other;
    int a = -1, b = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){.max_connections = 1, .worker = 1});
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    a = tcp_to(&to);
    put(a, VIEW(OPTIONS));
    UNTIL(&r, r.a.rx == 1);
    first = r.a.flow;
    close(a);
    sip_transport_close_flow(r.a.t, &first);
    UNTIL(&r, r.a.closed == 1);
    b = tcp_to(&to); /* the same place in the table */
    put(b, VIEW(OPTIONS));
    UNTIL(&r, r.a.rx == 2);
    assert_true(r.a.flow.conn != first.conn);
    assert_int_equal(sip_transport_send(r.a.t, &first, VIEW(ANSWER)), E_NOTFOUND);
    sip_transport_close_flow(r.a.t, &first);
    assert_int_equal(sip_transport_connections(r.a.t), 1);
    other = r.a.flow;
    other.worker = 2;
    assert_int_equal(sip_transport_send(r.a.t, &other, VIEW(ANSWER)), E_NOTFOUND);
    other = r.a.flow;
    other.proto = SIP_TLS;
    assert_int_equal(sip_transport_send(r.a.t, &other, VIEW(ANSWER)), E_NOTFOUND);
    other = (struct sip_flow){.proto = SIP_TCP, .worker = 1};
    assert_int_equal(sip_transport_send(r.a.t, &other, VIEW(ANSWER)), E_NOTFOUND);
    other.conn = UINT64_MAX;
    assert_int_equal(sip_transport_send(r.a.t, &other, VIEW(ANSWER)), E_NOTFOUND);
    assert_int_equal(sip_transport_send(r.a.t, &r.a.flow, VIEW(ANSWER)), E_OK);
    close(b);
    rig_fini(&r);
}

/* ---- going out ------------------------------------------------------------------------------- */
static void connect_and_send_at_once(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow f, again;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &f), E_OK);
    assert_int_equal(f.worker, 7);
    assert_true(net_is_loopback(&f.local) && f.local.port != 0);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &again),
                     E_OK);
    assert_true(again.conn == f.conn);
    UNTIL(&r, r.b.rx == 2);
    assert_int_equal(r.a.rx, 2);
    assert_true(net_eq(&r.a.flow.remote, &f.local));
    assert_int_equal(stats_of(&r.b).connected, 1);
    assert_int_equal(sip_transport_connections(r.a.t), 1);
    /* The other side closes: told once, and the next connect makes a new one. */
    sip_transport_close_flow(r.a.t, &r.a.flow);
    UNTIL(&r, r.b.closed == 1);
    assert_true(r.b.closed_flow.conn == f.conn);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &again),
                     E_OK);
    assert_true(again.conn != f.conn);
    /* An outgoing connection need not hear a first message. */
    UNTIL(&r, stats_of(&r.b).connected == 2);
    assert_int_equal(sip_transport_send(r.b.t, &again, VIEW(OPTIONS)), E_OK);
    UNTIL(&r, r.b.rx == 3);
    loop_advance(r.l, &r.clock, 60000);
    assert_int_equal(sip_transport_connections(r.b.t), 1);
    rig_fini(&r);
}

static void connect_wants_both_halves(void **state)
{
    struct rig r;
    struct net_addr to = addr("127.0.0.1:0");
    struct sip_flow f, again;
    int fd = -1, peer = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    assert_int_equal(net_tcp_listen(&to, false, 4, &fd), E_OK);
    assert_int_equal(net_local(fd, &to), E_OK);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &f), E_OK);
    settle(&r);
    peer = accept(fd, NULL, NULL); /* the kernel has it, or the connect would not have begun */
    assert_true(peer >= 0);
    put(peer, VIEW(OPTIONS));
    shutdown(peer, SHUT_WR);
    UNTIL(&r, r.b.rx == 1);
    settle(&r);
    assert_int_equal(r.b.closed, 0);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &again),
                     E_OK);
    assert_true(again.conn != f.conn);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(ANSWER)), E_OK);
    expect(&r, peer, VIEW(ANSWER));
    close(peer);
    close(fd);
    rig_fini(&r);
}

static void refused_is_told_once(void **state)
{
    struct rig r;
    struct net_addr to = addr("127.0.0.1:0");
    struct sip_flow f;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    assert_int_equal(net_tcp_listen(&to, false, 1, &fd), E_OK);
    assert_int_equal(net_local(fd, &to), E_OK);
    close(fd);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &to, NULL, VIEW(""), NULL, &f), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    assert_int_equal(r.b.closed, 0);
    UNTIL(&r, r.b.closed == 1);
    assert_int_equal(r.b.why, E_IO);
    assert_true(r.b.closed_flow.conn == f.conn);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_NOTFOUND);
    settle(&r);
    assert_int_equal(r.b.closed, 1);
    assert_int_equal(stats_of(&r.b).connected, 0);
    rig_fini(&r);
}

static void connect_queue_is_bounded(void **state)
{
    static char text[SIP_MAX_BYTES];
    static const enum sip_proto protos[] = {SIP_TCP, SIP_TLS};
    struct secret psk = {.n = 32};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        struct net_addr to = addr("127.0.0.1:0");
        struct sip_flow f;
        unsigned n = 0;
        enum err e = E_OK;
        int fd = -1;
        rig_init(&r, (struct sip_transport_cfg){0});
        assert_int_equal(net_tcp_listen(&to, false, 1, &fd), E_OK);
        assert_int_equal(net_local(fd, &to), E_OK);
        assert_int_equal(
            sip_transport_connect(r.b.t, protos[i], &to, r.b.client, VIEW(KID), &psk, &f), E_OK);
        for (; e == E_OK && n < 100; n++) {
            e = sip_transport_send(r.b.t, &f, view_from(text, sizeof text));
        }
        assert_int_equal(e, E_FULL);
        assert_int_equal(n, 33); /* 32 * 8 KiB fit */
        UNTIL(&r, r.b.closed == 1);
        assert_int_equal(r.b.why, E_FULL);
        close(fd);
        rig_fini(&r);
    }
}

static void a_silent_server_times_out(void **state)
{
    struct rig r;
    struct net_addr to = addr("127.0.0.1:0");
    struct secret psk = {.n = 32};
    struct sip_flow f;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    assert_int_equal(net_tcp_listen(&to, false, 1, &fd), E_OK);
    assert_int_equal(net_local(fd, &to), E_OK);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TLS, &to, r.b.client, VIEW(KID), &psk, &f),
                     E_OK);
    settle(&r);
    loop_advance(r.l, &r.clock, 9999);
    assert_int_equal(r.b.closed, 0);
    loop_advance(r.l, &r.clock, 1);
    settle(&r);
    assert_int_equal(r.b.closed, 1);
    assert_int_equal(r.b.why, E_TIMEOUT);
    close(fd);
    rig_fini(&r);
}

/* ---- TLS ------------------------------------------------------------------------------------- */
static enum err tls_dial(struct rig *r, const struct net_addr *to, const char *kid, uint8_t key,
                         struct sip_flow *out)
{
    struct secret psk = {.n = 32};
    enum err e = E_OK;

    memset(psk.b, key, 32);
    e = sip_transport_connect(r->b.t, SIP_TLS, to, r->b.client, view_of(kid), &psk, out);
    secret_wipe(&psk);
    return e;
}

static void tls_both_ways(void **state)
{
    uint8_t kid[SIP_PSK_KID_BYTES];
    struct rig r;
    struct net_addr to;
    struct sip_flow f, again, other;

    (void)state;
    assert_int_equal(hex_get(VIEW(KID), kid, sizeof kid), E_OK);
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_ANSWER;
    to = listen_on(&r.a, SIP_TLS, "127.0.0.1:0");
    assert_int_equal(tls_dial(&r, &to, KID, '0', &f), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK); /* waits */
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    assert_int_equal(tls_dial(&r, &to, KID, '0', &again), E_OK);
    assert_true(again.conn == f.conn);
    assert_int_equal(tls_dial(&r, &to, KID2, 'f', &other), E_OK);
    assert_true(other.conn != f.conn); /* another identity is another connection */
    UNTIL(&r, r.b.rx == 2);
    assert_true(r.a.flow.has_kid && r.b.flow.has_kid);
    assert_memory_equal(r.a.flow.kid, kid, sizeof kid);
    assert_memory_equal(r.b.flow.kid, kid, sizeof kid);
    assert_int_equal(r.a.flow.proto, SIP_TLS);
    UNTIL(&r, stats_of(&r.b).connected == 2);
    /* Revocation takes that one and no other, on either end. */
    sip_transport_close_kid(r.a.t, kid);
    UNTIL(&r, r.a.closed == 1 && r.b.closed == 1);
    assert_int_equal(r.a.why, E_DENIED);
    assert_int_equal(r.b.why, E_STATE); /* close_notify came */
    assert_true(r.b.closed_flow.conn == f.conn);
    assert_int_equal(sip_transport_connections(r.a.t), 1);
    assert_int_equal(sip_transport_send(r.b.t, &other, VIEW(OPTIONS)), E_OK);
    UNTIL(&r, r.b.rx == 3);
    assert_int_equal(hex_get(VIEW(KID2), kid, sizeof kid), E_OK);
    sip_transport_close_kid(r.b.t, kid);
    UNTIL(&r, r.a.closed == 2 && r.b.closed == 2);
    rig_fini(&r);
}

static void tls_large_and_pipelined(void **state)
{
    static char text[SIP_MAX_BYTES];
    struct rig r;
    struct net_addr to;
    struct sip_flow f;
    int head = snprintf(text, sizeof text, "MESSAGE sip:a SIP/2.0\r\nl:%d\r\n\r\n", 8000);

    (void)state;
    memset(text + head, 'b', 8000);
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TLS, "127.0.0.1:0");
    assert_int_equal(tls_dial(&r, &to, KID, '0', &f), E_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sip_transport_send(r.b.t, &f, view_from(text, (size_t)head + 8000)), E_OK);
    }
    UNTIL(&r, r.a.rx == 20);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
        if (i % 50 == 0) {
            loop_run_once(r.l, false);
        }
    }
    UNTIL(&r, r.a.rx == 320);
    for (size_t i = 0; i < 320; i++) {
        assert_int_equal(r.a.size[i], i < 20 ? (size_t)head + 8000 : sizeof OPTIONS - 1);
    }
    rig_fini(&r);
}

static void tls_refusals(void **state)
{
    static const struct {
        const char *kid;
        uint8_t key;
    } rows[] = {{KID, '1'}, {"99112233445566778899aabbccddeeff", '9'}};
    struct rig r;
    struct net_addr to;
    struct sip_flow f;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    to = listen_on(&r.a, SIP_TLS, "127.0.0.1:0");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(tls_dial(&r, &to, rows[i].kid, rows[i].key, &f), E_OK);
        assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
        UNTIL(&r, r.b.closed == i + 1);
        assert_int_equal(r.b.why, E_AUTH);
        UNTIL(&r, sip_transport_connections(r.a.t) == 0);
        assert_int_equal(stats_of(&r.a).closed[E_AUTH], i + 1);
    }
    fd = tcp_to(&to);
    put(fd, VIEW(OPTIONS)); /* plain SIP on the TLS port */
    assert_true(is_ended(&r, fd));
    close(fd);
    settle(&r);
    assert_int_equal(stats_of(&r.a).closed[E_AUTH], 3);
    assert_int_equal(r.a.closed, 0); /* nobody up there knew them */
    assert_int_equal(r.a.rx, 0);
    assert_int_equal(tls_dial(&r, &to, "short", '0', &f), E_RANGE);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TLS, &to, NULL, VIEW(KID), NULL, &f),
                     E_RANGE);
    assert_int_equal(sip_transport_connections(r.b.t), 0);
    rig_fini(&r);
}

static void tls_closed_from_inside(void **state)
{
    struct rig r;
    struct net_addr to;
    struct sip_flow f;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    r.a.reaction = REACT_CLOSE_KID;
    to = listen_on(&r.a, SIP_TLS, "127.0.0.1:0");
    assert_int_equal(tls_dial(&r, &to, KID, '0', &f), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(&r, r.a.closed == 1 && r.b.closed == 1);
    assert_int_equal(r.a.rx, 1);
    rig_fini(&r);
}

static void tls_listener_needs_a_context(void **state)
{
    struct loop *l = NULL;
    struct sip_transport *t = NULL;
    struct sip_transport_cfg cfg = {.on_rx = on_rx};
    struct net_addr a = addr("127.0.0.1:0");

    (void)state;
    assert_int_equal(loop_new(clock_system(), &l), E_OK);
    assert_int_equal(sip_transport_new(l, &cfg, &t), E_OK);
    assert_int_equal(sip_transport_listen(t, SIP_TLS, &a, NULL), E_STATE);
    sip_transport_free(t);
    cfg.max_connections = 2000000;
    assert_int_equal(sip_transport_new(l, &cfg, &t), E_RANGE);
    loop_free(l);
}

/* ---- memory ---------------------------------------------------------------------------------- */
static void freed_with_everything_open(void **state)
{
    struct rig r;
    struct net_addr tcp, tls;
    struct sip_flow f, g;
    int fd = -1;

    (void)state;
    rig_init(&r, (struct sip_transport_cfg){0});
    tcp = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
    tls = listen_on(&r.a, SIP_TLS, "127.0.0.1:0");
    fd = tcp_to(&tcp);
    put(fd, VIEW(OPTIONS "half a mess"));
    UNTIL(&r, r.a.rx == 1);
    assert_int_equal(tls_dial(&r, &tls, KID, '0', &f), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &f, VIEW(OPTIONS)), E_OK);
    assert_int_equal(sip_transport_connect(r.b.t, SIP_TCP, &tcp, NULL, VIEW(""), NULL, &g), E_OK);
    assert_int_equal(sip_transport_send(r.b.t, &g, VIEW(OPTIONS)), E_OK);
    sip_transport_close_flow(r.b.t, &g); /* dead, not yet told */
    rig_fini(&r);
    assert_int_equal(r.a.closed + r.b.closed, 0);
    close(fd);
}

/* Every allocation fails once: whatever then happens, nothing crashes, leaks, or is told twice. */
static void allocations_fail(void **state)
{
    bool failed = true;

    (void)state;
    for (long nth = 0; failed; nth++) {
        struct rig r;
        struct net_addr tcp, tls;
        struct sip_flow f = {0}, g = {0};
        enum err e[4];
        rig_init(&r, (struct sip_transport_cfg){0});
        r.a.reaction = REACT_ANSWER;
        tcp = listen_on(&r.a, SIP_TCP, "127.0.0.1:0");
        tls = listen_on(&r.a, SIP_TLS, "127.0.0.1:0");
        mem_fail_at(nth);
        e[0] = tls_dial(&r, &tls, KID, '0', &f);
        e[1] = sip_transport_connect(r.b.t, SIP_TCP, &tcp, NULL, VIEW(""), NULL, &g);
        e[2] = e[0] == E_OK ? sip_transport_send(r.b.t, &f, VIEW(OPTIONS)) : e[0];
        e[3] = e[1] == E_OK ? sip_transport_send(r.b.t, &g, VIEW(OPTIONS)) : e[1];
        for (int i = 0; i < 4; i++) {
            assert_true(e[i] == E_OK || e[i] == E_NOMEM);
        }
        UNTIL(&r, mem_failed() || r.b.rx == 2);
        settle(&r);
        failed = mem_failed();
        mem_fail_at(-1);
        assert_true(r.a.closed <= 1 && r.b.closed <= 1);
        assert_true(failed || nth > 10);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(udp_answers_leave_from_where_was_asked),
        cmocka_unit_test(both_families_share_a_port),
        cmocka_unit_test(udp_sizes),
        cmocka_unit_test(udp_batches),
        cmocka_unit_test(udp_survives_errors),
        cmocka_unit_test(udp_when_the_kernel_will_not),
        cmocka_unit_test(udp_connect_needs_no_listener),
        cmocka_unit_test(listeners_share_a_port_only_when_told),
        cmocka_unit_test(tcp_in_pieces_and_in_one),
        cmocka_unit_test(tcp_largest_message),
        cmocka_unit_test(tcp_garbage_is_closed),
        cmocka_unit_test(tcp_keep_alive),
        cmocka_unit_test(a_client_takes_pongs),
        cmocka_unit_test(limits_of_connections),
        cmocka_unit_test(our_own_connections_are_not_their_limit),
        cmocka_unit_test(an_ipv6_source_is_a_64),
        cmocka_unit_test(slow_ones_are_closed),
        cmocka_unit_test(a_peer_that_does_not_read),
        cmocka_unit_test(a_peer_that_reads_late_gets_all),
        cmocka_unit_test(out_of_descriptors),
        cmocka_unit_test(half_closed_peers_get_what_is_owed),
        cmocka_unit_test(half_closed_peers_do_not_stay),
        cmocka_unit_test(reset_is_told_once),
        cmocka_unit_test(closed_from_inside),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(old_flows_find_nobody),
        cmocka_unit_test(connect_and_send_at_once),
        cmocka_unit_test(connect_wants_both_halves),
        cmocka_unit_test(refused_is_told_once),
        cmocka_unit_test(connect_queue_is_bounded),
        cmocka_unit_test(a_silent_server_times_out),
        cmocka_unit_test(tls_both_ways),
        cmocka_unit_test(tls_large_and_pipelined),
        cmocka_unit_test(tls_refusals),
        cmocka_unit_test(tls_closed_from_inside),
        cmocka_unit_test(tls_listener_needs_a_context),
        cmocka_unit_test(freed_with_everything_open),
        cmocka_unit_test(allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
