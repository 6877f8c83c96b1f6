/* Connections by certificate: who the peer is, when they end, what replaces what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "signaling/sip_msg.h"
#include "signaling/sip_transport.h"
#include "tests/unit/certs.h"

#define OPTIONS "OPTIONS sip:a SIP/2.0\r\nl:0\r\n\r\n"
#define ANSWER  "SIP/2.0 200 OK\r\nl:0\r\n\r\n"

struct side {
    struct sip_transport *t;
    struct sip_peers *peers;
    unsigned rx, closed;
    enum err why;
    struct sip_flow flow; /* of the last message */
    bool answers;
};

static struct {
    char dir[64];
    struct cert ca, gate, other, peer;
    struct clock_fake clock;
    struct loop *l;
    struct side a, b; /* a listens */
} t;

static const char *file(const char *name)
{
    static char paths[4][128];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", t.dir, name);
    return path;
}

static int make_certs(void **state)
{
    (void)state;
    snprintf(t.dir, sizeof t.dir, "/tmp/hg_transport_XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.ca = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    t.gate = cert_make(&(struct cert_spec){.san = "DNS:gate.example", .issuer = &t.ca});
    t.other = cert_make(&(struct cert_spec){.san = "DNS:other.example", .issuer = &t.ca});
    t.peer = cert_make(&(struct cert_spec){.san = "URI:sip:peer.example", .issuer = &t.ca});
    cert_write(&t.ca, file("ca.pem"), NULL);
    return 0;
}

static int drop_certs(void **state)
{
    (void)state;
    cert_free(&t.ca);
    cert_free(&t.gate);
    cert_free(&t.other);
    cert_free(&t.peer);
    (void)unlink(file("ca.pem"));
    (void)unlink(file("c.pem"));
    (void)unlink(file("k.pem"));
    return rmdir(t.dir);
}

static enum err no_psk(void *arg, struct view identity, struct secret *out)
{
    (void)arg;
    (void)identity;
    (void)out;
    return FAIL(E_NOTFOUND);
}

/* Both contexts of somebody with this certificate (NULL: none). */
static void contexts(const struct cert *c, struct tls_ctx **server, struct tls_ctx **client)
{
    struct tls_files f = {.ca = file("ca.pem")};
    struct tls_cred *cred = NULL;
    char why[TLS_WHY_MAX];

    if (c != NULL) {
        f.certificate = file("c.pem");
        f.key = file("k.pem");
        cert_write(c, f.certificate, f.key);
    }
    assert_int_equal(tls_cred_load(&f, &cred, why), E_OK);
    assert_int_equal(tls_server_ctx(no_psk, NULL, server), E_OK);
    if (c != NULL) {
        assert_int_equal(tls_ctx_certify(*server, cred), E_OK);
    }
    assert_int_equal(tls_client_ctx(client), E_OK);
    assert_int_equal(tls_ctx_certify(*client, cred), E_OK);
    tls_cred_free(cred);
}

static void on_rx(void *arg, const struct sip_rx *rx)
{
    struct side *s = arg;

    s->rx++;
    s->flow = rx->flow;
    if (s->answers) {
        assert_int_equal(sip_transport_send(s->t, &rx->flow, VIEW(ANSWER)), E_OK);
    }
}

static void on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct side *s = arg;

    (void)flow;
    s->closed++;
    s->why = why;
}

static void side_init(struct side *s, uint16_t worker, const struct cert *c, unsigned per_source)
{
    struct sip_transport_cfg cfg = {.worker = worker,
                                    .max_per_source = per_source,
                                    .on_rx = on_rx,
                                    .on_closed = on_closed,
                                    .arg = s};

    *s = (struct side){0};
    assert_int_equal(sip_peers_new(16, &s->peers), E_OK);
    cfg.peers = s->peers;
    contexts(c, &cfg.tls_server, &cfg.tls_client);
    assert_int_equal(sip_transport_new(t.l, &cfg, &s->t), E_OK);
    tls_ctx_free(cfg.tls_server); /* the transport holds its own */
    tls_ctx_free(cfg.tls_client);
}

static void rig_init(const struct cert *client, unsigned per_source)
{
    clock_fake_init(&t.clock, 0);
    assert_int_equal(loop_new(&t.clock.clock, &t.l), E_OK);
    side_init(&t.a, 0, &t.gate, per_source);
    side_init(&t.b, 7, client, 0);
    t.a.answers = true;
}

static void rig_fini(void)
{
    sip_transport_free(t.a.t);
    sip_transport_free(t.b.t);
    sip_peers_free(t.a.peers);
    sip_peers_free(t.b.peers);
    assert_int_equal(loop_timers(t.l), 0);
    loop_free(t.l);
}

static uint64_t real_ms(void)
{
    return clock_mono_ms(clock_system());
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = real_ms() + 5000;                                                          \
        while (!(condition) && real_ms() < end_) {                                                 \
            loop_run_once(t.l, false);                                                             \
            sched_yield();                                                                         \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void settle(void)
{
    for (int i = 0; i < 50; i++) {
        loop_run_once(t.l, false);
        sched_yield();
    }
}

static struct net_addr listen_on(enum sip_proto proto, const char *text)
{
    struct net_addr a = {0}, bound = {0};

    assert_int_equal(net_parse(view_of(text), 0, &a), E_OK);
    assert_int_equal(sip_transport_listen(t.a.t, proto, &a, &bound), E_OK);
    return bound;
}

static struct tls_names name(const char *text)
{
    struct tls_names n = {.n = 0};

    assert_int_equal(tls_names_add(&n, view_of(text)), E_OK);
    return n;
}

static int tcp_to(const struct net_addr *to)
{
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&sa, n) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static struct sip_transport_stats stats_of(const struct side *s)
{
    struct sip_transport_stats st;

    sip_transport_stats(s->t, &st);
    return st;
}

/* ---- who it is ------------------------------------------------------------------------------- */
static void both_know_each_other(void **state)
{
    static const char *const where[] = {"127.0.0.1:0", "[::1]:0"};
    struct tls_names gate = name("Gate.example"), got;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct sip_flow f, again, elsewhere;
        struct tls_names two = gate;
        struct net_addr to;
        rig_init(&t.peer, 0);
        to = listen_on(SIP_TLS, where[i]);
        assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &f), E_OK);
        assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK); /* waits */
        assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &again), E_OK);
        assert_true(again.conn == f.conn);
        assert_int_equal(tls_names_add(&two, VIEW("peer.example")), E_OK);
        assert_int_equal(sip_transport_connect_named(t.b.t, &to, &two, &elsewhere), E_OK);
        assert_true(elsewhere.conn != f.conn); /* it would take more for an answer */
        UNTIL(t.b.rx == 1);
        assert_int_equal(sip_peers_names(t.a.peers, t.a.flow.peer, &got), E_OK);
        assert_string_equal(got.v[0], "peer.example");
        assert_int_equal(sip_peers_names(t.b.peers, t.b.flow.peer, &got), E_OK);
        assert_string_equal(got.v[0], "gate.example");
        assert_false(t.a.flow.has_kid || t.b.flow.has_kid);
        sip_transport_close_flow(t.b.t, &f);
        UNTIL(t.a.closed == 1);
        settle();
        assert_int_equal(sip_peers_names(t.a.peers, t.a.flow.peer, &got), E_NOTFOUND);
        assert_int_equal(sip_peers_names(t.b.peers, t.b.flow.peer, &got), E_NOTFOUND);
        rig_fini();
    }
}

static void what_proves_nothing(void **state)
{
    struct tls_names gate = name("gate.example"), wrong = name("other.example"), none = {.n = 0};
    struct sip_flow f;
    struct net_addr to, nowhere = {0};

    (void)state;
    rig_init(NULL, 0); /* a phone: it has no certificate */
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &f), E_OK);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 1);
    assert_true(t.a.flow.peer == 0 && !t.a.flow.has_kid);
    /* The server has another name: nothing of ours reaches it. */
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &wrong, &f), E_OK);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.closed == 1);
    assert_int_equal(t.b.why, E_AUTH);
    settle();
    assert_int_equal(t.a.rx, 1);
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &none, &f), E_RANGE);
    assert_int_equal(sip_transport_connect_named(t.b.t, &nowhere, &gate, &f), E_RANGE);
    sip_transport_set_tls(t.b.t, NULL, NULL);
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &f), E_STATE);
    rig_fini();
}

/* RFC 5923: what a peer opened is not for requests of ours, whatever it proved. */
static void connections_of_peers_are_theirs(void **state)
{
    struct tls_names gate = name("gate.example"), peer = name("peer.example");
    struct sip_flow f, back;
    struct net_addr to;

    (void)state;
    rig_init(&t.peer, 0);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &f), E_OK);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 1);
    assert_int_equal(sip_transport_connect_named(t.a.t, &t.a.flow.remote, &peer, &back), E_OK);
    assert_true(back.conn != t.a.flow.conn);
    rig_fini();
}

/* ---- bounds ---------------------------------------------------------------------------------- */
/* A TLS client of our own hand on a bare socket. */
static SSL *hand_shake(SSL_CTX *c, const struct net_addr *to, int *fd)
{
    SSL *s = SSL_new(c);
    uint64_t end = real_ms() + 5000;
    int r = 0;

    *fd = tcp_to(to);
    assert_true(*fd >= 0 && SSL_set_fd(s, *fd) == 1);
    assert_int_equal(fcntl(*fd, F_SETFL, O_NONBLOCK), 0);
    while ((r = SSL_connect(s)) != 1 && real_ms() < end) {
        loop_run_once(t.l, false);
    }
    assert_int_equal(r, 1);
    return s;
}

static void slow_ones_are_closed(void **state)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    struct net_addr to;
    SSL *s = NULL;
    int silent = -1, dripping = -1, idle = -1;

    (void)state;
    rig_init(NULL, 0);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    silent = tcp_to(&to);
    dripping = tcp_to(&to);
    assert_int_equal(send(dripping, "\x16\x03\x01\x02\x00\x01", 6, 0), 6);
    s = hand_shake(c, &to, &idle); /* a whole handshake, and then no message */
    UNTIL(sip_transport_connections(t.a.t) == 3);
    for (int i = 0; i < 9; i++) { /* an octet now and then is no progress */
        loop_advance(t.l, &t.clock, 1000);
        assert_int_equal(send(dripping, "\0", 1, MSG_NOSIGNAL), 1);
        settle();
    }
    assert_int_equal(sip_transport_connections(t.a.t), 3);
    loop_advance(t.l, &t.clock, 1000);
    settle();
    assert_int_equal(sip_transport_connections(t.a.t), 0);
    assert_int_equal(stats_of(&t.a).closed[E_TIMEOUT], 3);
    SSL_free(s);
    SSL_CTX_free(c);
    close(silent);
    close(dripping);
    close(idle);
    rig_fini();
}

static void begun_messages_and_idle_ones_end_too(void **state)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    struct net_addr to;
    SSL *begun = NULL, *idle = NULL;
    int fd[2];

    (void)state;
    rig_init(NULL, 0);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    begun = hand_shake(c, &to, &fd[0]);
    idle = hand_shake(c, &to, &fd[1]);
    assert_true(SSL_write(begun, OPTIONS "OPTIONS sip:a SIP", sizeof OPTIONS + 16) > 0);
    assert_true(SSL_write(idle, OPTIONS OPTIONS OPTIONS, 3 * (sizeof OPTIONS - 1)) > 0);
    UNTIL(t.a.rx == 4); /* pipelined in one record */
    settle();
    loop_advance(t.l, &t.clock, 9999);
    settle();
    assert_int_equal(sip_transport_connections(t.a.t), 2);
    loop_advance(t.l, &t.clock, 1);
    settle();
    assert_int_equal(sip_transport_connections(t.a.t), 1);
    loop_advance(t.l, &t.clock, 3600000);
    settle();
    assert_int_equal(sip_transport_connections(t.a.t), 0);
    assert_int_equal(t.a.closed, 2);
    assert_int_equal(t.a.why, E_TIMEOUT);
    SSL_free(begun);
    SSL_free(idle);
    SSL_CTX_free(c);
    close(fd[0]);
    close(fd[1]);
    rig_fini();
}

static void who_does_not_read_is_closed(void **state)
{
    static char text[SIP_MAX_BYTES];
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    struct net_addr to;
    enum err e = E_OK;
    unsigned n = 0;
    SSL *s = NULL;
    int fd = -1;

    (void)state;
    rig_init(NULL, 0);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    s = hand_shake(c, &to, &fd);
    assert_true(SSL_write(s, OPTIONS, sizeof OPTIONS - 1) > 0);
    UNTIL(t.a.rx == 1);
    for (; e == E_OK && n < 5000; n++) {
        e = sip_transport_send(t.a.t, &t.a.flow, view_from(text, sizeof text));
    }
    assert_int_equal(e, E_FULL); /* the kernel's buffers, then 256 KiB of ours */
    UNTIL(t.a.closed == 1);
    assert_int_equal(t.a.why, E_FULL);
    SSL_free(s);
    SSL_CTX_free(c);
    close(fd);
    rig_fini();
}

static void floods_of_one_source(void **state)
{
    struct net_addr to;
    int fd[6];

    (void)state;
    rig_init(NULL, 4);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    for (size_t i = 0; i < 6; i++) {
        fd[i] = tcp_to(&to);
    }
    UNTIL(stats_of(&t.a).refused_source == 2);
    assert_int_equal(sip_transport_connections(t.a.t), 4);
    sip_transport_set_per_source(t.a.t, 5);
    close(fd[5]);
    fd[5] = tcp_to(&to);
    UNTIL(sip_transport_connections(t.a.t) == 5);
    for (size_t i = 0; i < 6; i++) {
        close(fd[i]);
    }
    rig_fini();
}

/* ---- replacing ------------------------------------------------------------------------------- */
static void new_handshakes_see_the_new_certificate(void **state)
{
    struct tls_names gate = name("gate.example"), other = name("other.example");
    struct tls_ctx *server = NULL, *client = NULL;
    struct sip_flow f, g;
    struct net_addr to;

    (void)state;
    rig_init(NULL, 0);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &f), E_OK);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 1);
    contexts(&t.other, &server, &client);
    sip_transport_set_tls(t.a.t, server, client);
    tls_ctx_free(server);
    tls_ctx_free(client);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 2); /* the old one lives on */
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &other, &g), E_OK);
    assert_int_equal(sip_transport_send(t.b.t, &g, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 3);
    assert_int_equal(t.b.closed, 0);
    rig_fini();
}

static void listeners_end_before_their_connections(void **state)
{
    struct tls_names gate = name("gate.example");
    struct sip_flow f;
    struct net_addr to, udp;
    int waiting = -1, late = -1;

    (void)state;
    rig_init(NULL, 0);
    to = listen_on(SIP_TLS, "127.0.0.1:0");
    udp = listen_on(SIP_UDP, "127.0.0.1:0");
    assert_int_equal(sip_transport_connect_named(t.b.t, &to, &gate, &f), E_OK);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 1);
    waiting = tcp_to(&to); /* the kernel took it, we have not yet */
    assert_true(waiting >= 0);
    assert_int_equal(sip_transport_unlisten(t.a.t, SIP_TCP, &to), E_NOTFOUND); /* another kind */
    assert_int_equal(sip_transport_unlisten(t.a.t, SIP_TLS, &to), E_OK);
    assert_int_equal(sip_transport_unlisten(t.a.t, SIP_TLS, &to), E_NOTFOUND);
    assert_int_equal(sip_transport_connections(t.a.t), 2);
    late = tcp_to(&to);
    assert_true(late < 0 && errno == ECONNREFUSED);
    assert_int_equal(sip_transport_send(t.b.t, &f, VIEW(OPTIONS)), E_OK);
    UNTIL(t.b.rx == 2);
    /* A datagram's answer may still leave for the time of a transaction. */
    assert_int_equal(sip_transport_unlisten(t.a.t, SIP_UDP, &udp), E_OK);
    assert_int_equal(sip_transport_unlisten(t.a.t, SIP_UDP, &udp), E_NOTFOUND);
    f = (struct sip_flow){.proto = SIP_UDP, .remote = udp, .local = udp};
    loop_advance(t.l, &t.clock, 31999);
    assert_int_equal(sip_transport_send(t.a.t, &f, VIEW(ANSWER)), E_OK);
    loop_advance(t.l, &t.clock, 1);
    settle();
    assert_int_equal(sip_transport_send(t.a.t, &f, VIEW(ANSWER)), E_NOTFOUND);
    close(waiting);
    rig_fini();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_know_each_other),
        cmocka_unit_test(what_proves_nothing),
        cmocka_unit_test(connections_of_peers_are_theirs),
        cmocka_unit_test(slow_ones_are_closed),
        cmocka_unit_test(begun_messages_and_idle_ones_end_too),
        cmocka_unit_test(who_does_not_read_is_closed),
        cmocka_unit_test(floods_of_one_source),
        cmocka_unit_test(new_handshakes_see_the_new_certificate),
        cmocka_unit_test(listeners_end_before_their_connections),
    };
    return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
