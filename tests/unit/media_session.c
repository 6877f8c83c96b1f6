/* Two ends of a voice path over loopback in fake time, and a third who wants to be heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "media/dtmf.h"
#include "media/g711.h"
#include "media/rfc4733.h"
#include "media/session.h"
#include "media/tone.h"

struct end {
    struct media *m;
    struct media_cfg cfg;
    struct tone tone;
    double hz; /* 0: nothing to play */
    struct dtmf_gen keys;
    int16_t heard[8000];
    size_t n;
    char digits[64];
    void (*in_source)(struct end *);
};

static struct {
    struct clock_fake clock;
    struct loop *l;
    struct end a, b;
    size_t live;
} t;

static bool source(void *arg, int16_t pcm[RTP_FRAME])
{
    struct end *e = arg;
    if (e->in_source != NULL) {
        e->in_source(e);
    }
    if (dtmf_gen_fill(&e->keys, pcm, RTP_FRAME)) {
        return true;
    }
    if (e->hz > 0) {
        tone_fill(&e->tone, e->hz, 8000, pcm, RTP_FRAME);
    }
    return e->hz > 0;
}

static void sink(void *arg, const int16_t *pcm, size_t n)
{
    struct end *e = arg;
    for (size_t i = 0; i < n && e->n < sizeof e->heard / sizeof *e->heard; i++) {
        e->heard[e->n++] = pcm[i];
    }
}

static void digit(void *arg, char d)
{
    struct end *e = arg;
    size_t n = strlen(e->digits);
    assert_true(n + 1 < sizeof e->digits);
    e->digits[n] = d;
}

static void open_end(struct end *e, uint8_t last, bool inband)
{
    e->cfg = (struct media_cfg){.local = {.family = 4, .ip = {127, 0, 0, last}},
                                .inband = inband,
                                .source = source,
                                .sink = sink,
                                .digit = digit,
                                .arg = e};
    assert_int_equal(media_open(t.l, &e->cfg, &e->m), E_OK);
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    t.live = mem_live();
    clock_fake_init(&t.clock, 0);
    assert_int_equal(loop_new(&t.clock.clock, &t.l), E_OK);
    open_end(&t.a, 1, true);
    open_end(&t.b, 2, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    media_close(t.a.m);
    media_close(t.b.m);
    media_close(NULL);
    assert_int_equal(loop_timers(t.l), 0);
    loop_free(t.l);
    return mem_live() == t.live ? 0 : -1;
}

static void connect_ends(void)
{
    struct net_addr a = media_local(t.a.m), b = media_local(t.b.m);
    media_set_remote(t.a.m, &b);
    media_set_remote(t.b.m, &a);
    assert_int_equal(media_start(t.a.m), E_OK);
    assert_int_equal(media_start(t.b.m), E_OK);
}

static void run(uint64_t ms)
{
    loop_advance(t.l, &t.clock, ms);
    loop_run_once(t.l, false);
    loop_run_once(t.l, false);
}

static void voice_both_ways(void **state)
{
    (void)state;
    t.a.hz = 1000;
    connect_ends();
    assert_false(media_is_secure(t.a.m));
    run(999);
    const struct media_stats *a = media_stats(t.a.m), *b = media_stats(t.b.m);
    assert_int_equal(a->sent, 50);
    assert_int_equal(b->received, 50);
    assert_int_equal(b->sent, 50);
    assert_int_equal(t.b.n, 8000);
    assert_true(tone_share(t.b.heard, t.b.n, 1000) > 0.99);
    for (size_t i = 0; i < t.a.n; i++) {
        assert_int_equal(t.a.heard[i], 0); /* silence, but sent */
    }
    struct net_addr at = media_local(t.a.m);
    assert_true(net_eq(&b->from, &at));
    assert_int_equal(b->bad_source + b->bad_format + b->bad_auth + b->bad_replay, 0);
    assert_string_equal(t.b.digits, "");
}

static void press(struct end *e, char d)
{
    assert_int_equal(media_send_digit(e->m, d, 100), E_OK);
    assert_true(media_digit_busy(e->m));
    assert_int_equal(media_send_digit(e->m, d, 100), E_STATE);
    run(400);
    assert_false(media_digit_busy(e->m));
}

static void digits_as_events(void **state)
{
    (void)state;
    t.a.hz = 700;
    connect_ends();
    const char *all = "0123456789*#ABCD11";
    for (const char *d = all; *d; d++) {
        press(&t.a, *d);
    }
    assert_string_equal(t.b.digits, all);
    assert_int_equal(media_send_digit(t.a.m, 'x', 100), E_RANGE);
    assert_int_equal(media_send_digit(t.a.m, '1', 10), E_RANGE);
    assert_int_equal(media_stats(t.b.m)->bad_format, 0);
}

/* Tones are listened to until the first event; a peer that sends both is heard once. */
static void digits_in_band(void **state)
{
    (void)state;
    connect_ends();
    assert_int_equal(dtmf_gen_start(&t.a.keys, '5', 100, 60), E_OK);
    run(400);
    assert_string_equal(t.b.digits, "5");
    assert_int_equal(media_send_digit(t.a.m, '6', 100), E_OK);
    run(400);
    assert_int_equal(dtmf_gen_start(&t.a.keys, '6', 100, 60), E_OK);
    run(400);
    assert_string_equal(t.b.digits, "56");
}

static void other_event_type(void **state)
{
    (void)state;
    connect_ends();
    media_set_event_type(t.a.m, 96);
    press(&t.a, '1');
    assert_string_equal(t.b.digits, "");
    assert_true(media_stats(t.b.m)->bad_format >= 4);
    media_set_event_type(t.b.m, 96);
    press(&t.a, '2');
    media_set_event_type(t.a.m, 0); /* what we offer ourselves */
    media_set_event_type(t.b.m, RTP_EVENT);
    press(&t.a, '3');
    assert_string_equal(t.b.digits, "23");
}

static void send_as(uint8_t last, const struct net_addr *to, const void *p, size_t n, int *fd)
{
    struct net_addr from = {.family = 4, .ip = {127, 0, 0, last}};
    struct sockaddr_storage sa;
    socklen_t sa_n = net_to_sockaddr(to, &sa);
    if (*fd < 0) {
        assert_int_equal(net_udp_bind(&from, false, fd), E_OK);
    }
    assert_int_equal(sendto(*fd, p, n, 0, (struct sockaddr *)&sa, sa_n), n);
}

static void make_packet(uint16_t seq, uint8_t type, uint8_t out[RTP_HEAD_BYTES + RTP_FRAME])
{
    struct rtp_header h = {.type = type, .seq = seq, .timestamp = 160u * seq, .ssrc = 9};
    rtp_build(&h, out);
    memset(out + RTP_HEAD_BYTES, 0x55, RTP_FRAME);
}

static void sources(void **state)
{
    (void)state;
    uint8_t p[RTP_HEAD_BYTES + RTP_FRAME];
    struct net_addr remote = {.family = 4, .ip = {127, 0, 0, 3}}, b = media_local(t.b.m);
    const struct media_stats *s = media_stats(t.b.m);
    int good = -1, other_port = -1, other_ip = -1;
    assert_int_equal(media_start(t.b.m), E_STATE); /* no remote */
    media_set_remote(t.b.m, &remote);              /* its port is to be learned */
    assert_int_equal(media_start(t.b.m), E_OK);
    assert_int_equal(media_start(t.b.m), E_OK);
    run(40);
    assert_int_equal(s->sent, 0); /* nowhere to send to yet */
    make_packet(1, RTP_PCMU, p);
    send_as(4, &b, p, sizeof p, &other_ip);
    send_as(3, &b, "rubbish", 7, &other_port); /* this teaches nothing */
    send_as(3, &b, "", 0, &other_port);
    run(0);
    assert_true(s->bad_source == 1 && s->bad_format == 2 && s->received == 0);
    assert_int_equal(s->from.family, 0);
    send_as(3, &b, p, sizeof p, &good);
    run(20);
    assert_true(s->received == 1 && s->sent > 0);
    send_as(3, &b, p, sizeof p, &other_port); /* too late */
    send_as(4, &b, p, sizeof p, &other_ip);
    run(0);
    assert_true(s->received == 1 && s->bad_source == 3);
    char got[400];
    assert_int_equal(recv(good, got, sizeof got, MSG_DONTWAIT), RTP_HEAD_BYTES + RTP_FRAME);
    assert_int_equal(recv(other_port, got, sizeof got, MSG_DONTWAIT), -1);
    assert_int_equal(recv(other_ip, got, sizeof got, MSG_DONTWAIT), -1);
    remote.ip[3] = 4; /* a new SDP */
    media_set_remote(t.b.m, &remote);
    send_as(4, &b, p, sizeof p, &other_ip);
    run(0);
    assert_int_equal(s->received, 2);
    close(good);
    close(other_port);
    close(other_ip);
}

static void formats(void **state)
{
    (void)state;
    static uint8_t p[2000];
    struct net_addr remote = {.family = 4, .ip = {127, 0, 0, 3}}, b = media_local(t.b.m);
    const struct media_stats *s = media_stats(t.b.m);
    int fd = -1;
    media_set_remote(t.b.m, &remote);
    assert_int_equal(media_start(t.b.m), E_OK);
    const struct {
        uint8_t type;
        size_t n;
        bool good;
    } rows[] = {{RTP_PCMU, 160, true},  {RTP_PCMU, 1, true},     {RTP_PCMU, 960, true},
                {RTP_PCMU, 961, false}, {RTP_PCMU, 0, false},    {8, 160, false},
                {RTP_EVENT, 3, false},  {RTP_PCMU, 1488, false}, {RTP_PCMU, 1489, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t bad = s->bad_format;
        size_t before = t.b.n;
        make_packet((uint16_t)i, rows[i].type, p);
        send_as(3, &b, p, RTP_HEAD_BYTES + rows[i].n, &fd);
        run(0);
        if (s->bad_format != bad + !rows[i].good ||
            t.b.n != before + (rows[i].good ? rows[i].n : 0)) {
            fail_msg("row %zu", i);
        }
    }
    make_packet(99, RTP_EVENT, p); /* an event that is no DTMF: allowed, not for us */
    p[RTP_HEAD_BYTES] = 66;
    send_as(3, &b, p, RTP_HEAD_BYTES + 4, &fd);
    run(0);
    assert_string_equal(t.b.digits, "");
    close(fd);
}

static void keys_of(enum srtp_suite s, uint8_t fill, struct secret *out)
{
    uint8_t b[SECRET_MAX];
    memset(b, fill, sizeof b);
    assert_int_equal(secret_set(out, b, srtp_key_bytes(s)), E_OK);
}

static void secure(void **state)
{
    (void)state;
    struct secret up, down, bad = {.n = 7};
    enum srtp_suite s = SRTP_AEAD_AES_256_GCM;
    keys_of(s, 1, &up);
    keys_of(s, 2, &down);
    assert_int_equal(media_secure(t.a.m, s, &up, &bad), E_RANGE);
    assert_false(media_is_secure(t.a.m));
    assert_int_equal(media_secure(t.a.m, s, &up, &down), E_OK);
    assert_int_equal(media_secure(t.b.m, s, &down, &up), E_OK);
    assert_true(media_is_secure(t.a.m));
    t.a.hz = 1000;
    connect_ends();
    assert_int_equal(media_secure(t.a.m, s, &up, &down), E_STATE);
    run(500);
    press(&t.a, '7');
    assert_string_equal(t.b.digits, "7");
    assert_true(tone_share(t.b.heard, 4000, 1000) > 0.99);
    const struct media_stats *b = media_stats(t.b.m);
    assert_int_equal(b->bad_auth + b->bad_replay + b->bad_format + b->bad_source, 0);
    media_stop(t.a.m); /* hold and resume keep the keys and the numbers */
    run(100);
    assert_int_equal(media_start(t.a.m), E_OK);
    uint64_t before = b->received;
    run(100);
    assert_in_range(b->received, before + 5, before + 6);
    assert_int_equal(b->bad_auth + b->bad_replay, 0);
}

/* Without the key nobody is heard, whatever the address says, and no port is learned from them. */
static void secure_takes_nothing_else(void **state)
{
    (void)state;
    struct secret up, down;
    enum srtp_suite s = SRTP_AEAD_AES_256_GCM;
    uint8_t p[RTP_HEAD_BYTES + RTP_FRAME], seen[RTP_PACKET_MAX];
    struct net_addr remote = {.family = 4, .ip = {127, 0, 0, 3}}, b = media_local(t.b.m);
    const struct media_stats *st = media_stats(t.b.m);
    int fd = -1, good = -1;
    keys_of(s, 1, &up);
    keys_of(s, 2, &down);
    assert_int_equal(media_secure(t.b.m, s, &down, &up), E_OK);
    media_set_remote(t.b.m, &remote);
    assert_int_equal(media_start(t.b.m), E_OK);
    make_packet(1, RTP_PCMU, p);
    send_as(3, &b, p, sizeof p, &fd); /* plain RTP */
    send_as(3, &b, p, 20, &fd);
    run(0);
    assert_int_equal(st->received, 0);
    assert_int_equal(st->bad_auth + st->bad_format, 2);
    assert_int_equal(st->from.family, 0);
    struct srtp_way *w = NULL;
    _Alignas(4) uint8_t sealed[RTP_PACKET_MAX];
    size_t n = sizeof p;
    assert_int_equal(srtp_way_new(s, SRTP_SEND, &up, &w), E_OK);
    memcpy(sealed, p, n);
    assert_int_equal(srtp_seal(w, sealed, &n, sizeof sealed), E_OK);
    memcpy(seen, sealed, n);
    send_as(3, &b, sealed, n, &good);
    run(0);
    assert_true(st->received == 1 && st->bad_replay == 0);
    send_as(3, &b, seen, n, &good); /* what was seen on the wire, once more */
    run(0);
    assert_true(st->received == 1 && st->bad_replay == 1);
    srtp_way_free(w);
    close(fd);
    close(good);
}

/* What comes before the start, or during a hold, is not taken later. */
static void nothing_is_kept(void **state)
{
    (void)state;
    uint8_t p[RTP_HEAD_BYTES + RTP_FRAME];
    struct net_addr remote = {.family = 4, .ip = {127, 0, 0, 3}}, b = media_local(t.b.m);
    int fd = -1;
    make_packet(1, RTP_PCMU, p);
    media_set_remote(t.b.m, &remote);
    for (int i = 0; i < 50; i++) {
        send_as(3, &b, p, sizeof p, &fd);
    }
    assert_int_equal(media_start(t.b.m), E_OK);
    run(0);
    assert_int_equal(media_stats(t.b.m)->received, 0);
    send_as(3, &b, p, sizeof p, &fd);
    run(0);
    assert_int_equal(media_stats(t.b.m)->received, 1);
    media_stop(t.b.m);
    media_stop(t.b.m);
    send_as(3, &b, p, sizeof p, &fd);
    run(100);
    assert_int_equal(media_start(t.b.m), E_OK);
    run(0);
    assert_int_equal(media_stats(t.b.m)->received, 1);
    close(fd);
}

static void stop_there(struct end *e)
{
    media_stop(e->m);
}

static void key_there(struct end *e)
{
    e->in_source = NULL;
    assert_int_equal(media_send_digit(e->m, '3', 60), E_OK);
}

static void callbacks_may_call(void **state)
{
    (void)state;
    connect_ends();
    run(100);
    t.a.in_source = key_there;
    run(400);
    assert_string_equal(t.b.digits, "3");
    uint64_t sent = media_stats(t.a.m)->sent;
    t.a.in_source = stop_there;
    run(100);
    assert_int_equal(media_stats(t.a.m)->sent, sent + 1);
    assert_int_equal(loop_timers(t.l), 1); /* b's */
}

/* A process that was stopped for a while does not send all that it missed. */
static void no_burst(void **state)
{
    (void)state;
    connect_ends();
    run(100);
    uint64_t sent = media_stats(t.a.m)->sent;
    clock_fake_advance(&t.clock, 10000000);
    loop_run_once(t.l, false);
    assert_in_range(media_stats(t.a.m)->sent, sent + 1, sent + 2);
    run(1000);
    assert_in_range(media_stats(t.a.m)->sent, sent + 50, sent + 53);
}

static void port_ranges(void **state)
{
    (void)state;
    struct media_cfg cfg = {
        .local = {.family = 4, .ip = {127, 0, 0, 5}}, .port_min = 30001, .port_max = 30006};
    struct media *m[4] = {0};
    for (int i = 0; i < 2; i++) { /* 30002 to 30006 are three even ports */
        assert_int_equal(media_open(t.l, &cfg, &m[i]), E_OK);
    }
    assert_int_equal(media_open(t.l, &cfg, &m[2]), E_OK);
    for (int i = 0; i < 3; i++) {
        uint16_t port = media_local(m[i]).port;
        assert_true(port % 2 == 0 && port >= 30002 && port <= 30006);
    }
    assert_int_equal(media_open(t.l, &cfg, &m[3]), E_FULL);
    assert_null(m[3]);
    for (int i = 0; i < 3; i++) {
        media_close(m[i]);
    }
    cfg.port_max = 30001; /* no even port in it */
    assert_int_equal(media_open(t.l, &cfg, &m[3]), E_FULL);
    cfg.port_min = cfg.port_max = 65534;
    assert_int_equal(media_open(t.l, &cfg, &m[3]), E_OK);
    media_close(m[3]);
    cfg.port_min = cfg.port_max = 65535;
    assert_int_equal(media_open(t.l, &cfg, &m[3]), E_FULL);
    cfg.local.ip[0] = 192;
    cfg.port_min = 0;
    assert_int_equal(media_open(t.l, &cfg, &m[3]), E_IO);
    mem_fail_at(0);
    assert_int_equal(media_open(t.l, &cfg, &m[3]), E_NOMEM);
    mem_fail_at(-1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(voice_both_ways), CASE(digits_as_events),
        CASE(digits_in_band),  CASE(other_event_type),
        CASE(sources),         CASE(formats),
        CASE(secure),          CASE(secure_takes_nothing_else),
        CASE(nothing_is_kept), CASE(callbacks_may_call),
        CASE(no_burst),        CASE(port_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
