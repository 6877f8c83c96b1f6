#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gc/hep.h"

enum { PATIENCE_MS = 15000 };

#define INVITE                                                                                     \
    "INVITE sip:a@b SIP/2.0\r\nCall-ID: abc@x\r\nP-DCS-LAES: x:1\r\nVia: v\r\n\r\n"                \
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n"

static struct net_addr address(const char *text)
{
    struct net_addr a;

    assert_int_equal(net_parse(view_of(text), 0, &a), E_OK);
    return a;
}

static void encodes_chunk_by_chunk(void **state)
{
    (void)state;
    /* Written by hand from the specification. */
    static const char want[] = "HEP3\0\x85"
                               "\0\0\0\x01\0\x07\x02"
                               "\0\0\0\x02\0\x07\x11"
                               "\0\0\0\x03\0\x0a\xc0\0\x02\x01"
                               "\0\0\0\x04\0\x0a\xc0\0\x02\x02"
                               "\0\0\0\x07\0\x08\x13\xc4"
                               "\0\0\0\x08\0\x08\x13\xce"
                               "\0\0\0\x09\0\x0a\x65\x00\x00\x01"
                               "\0\0\0\x0a\0\x0a\0\0\0\x07"
                               "\0\0\0\x0b\0\x07\x01"
                               "\0\0\0\x0c\0\x0a\0\0\x02\x01"
                               "\0\0\0\x0e\0\x08hi"
                               "\0\0\0\x11\0\x08me"
                               "\0\0\0\x13\0\x09gc1"
                               "\0\0\0\x0f\0\x0fi: me\r\n\r\n";
    const struct hep_cfg cfg = {.agent = 513, .node = "gc1", .key = "hi"};
    struct hep_packet p = {.at_us = 0x65000001ull * 1000000 + 7, .is_datagram = true};
    uint8_t got[512];

    p.from = address("192.0.2.1:5060");
    p.to = address("192.0.2.2:5070");
    assert_int_equal(hep_encode(&cfg, &p, VIEW("i: me\r\n\r\n"), got, sizeof got), sizeof want - 1);
    assert_memory_equal(got, want, sizeof want - 1);
    for (size_t max = 0; max < sizeof want - 1; max++) {
        assert_int_equal(hep_encode(&cfg, &p, VIEW("i: me\r\n\r\n"), got, max), 0);
    }
    p.from = address("[2001:db8::1]:1");
    p.to = address("[2001:db8::2]:2");
    p.is_datagram = false;
    assert_int_equal(hep_encode(&cfg, &p, VIEW("x"), got, sizeof got),
                     sizeof want - 1 + 4 * 6 - (sizeof "i: me\r\n\r\n" - 2) - 8);
    assert_int_equal(got[12], 10);
    assert_int_equal(got[19], 6);
    assert_int_equal(got[23], 5); /* chunk 5: an IPv6 source */
}

static void finds_the_call_id(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id;
    } rows[] = {
        {"INVITE x SIP/2.0\r\nVia: a\r\nCall-ID: abc@x\r\n\r\n", "abc@x"},
        {"SIP/2.0 200 OK\r\ncall-id :\t z \r\n\r\n", "z"},
        {"SIP/2.0 200 OK\ni:q\n\n", "q"},
        {"OPTIONS x SIP/2.0\r\nVia: a\r\n\r\nCall-ID: body\r\n", ""},
        {"Call-ID: no end of line", ""},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(view_eq(hep_call_id(view_of(rows[i].text)), view_of(rows[i].id)));
    }
}

struct world {
    int fd;
    struct metrics *metrics;
    struct hep *hep;
};

static void world_open(struct world *w)
{
    struct net_addr a = address("127.0.0.1:0");
    struct hep_cfg cfg = {.agent = 1, .node = "gc1", .key = "", .workers = 2, .slot = 0};

    assert_int_equal(net_udp_bind(&a, false, &w->fd), E_OK);
    assert_int_equal(net_local(w->fd, &cfg.collector), E_OK);
    assert_int_equal(metrics_new(1, &w->metrics), E_OK);
    cfg.metrics = w->metrics;
    assert_int_equal(hep_open(&cfg, &w->hep), E_OK);
}

static void world_close(struct world *w)
{
    hep_close(w->hep);
    metrics_free(w->metrics);
    close(w->fd);
}

static size_t hear(int fd, char *to, size_t max)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = 0;

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    n = recv(fd, to, max, 0);
    assert_true(n > 0);
    return (size_t)n;
}

static void arrives_without_keys(void **state)
{
    (void)state;
    struct world w;
    struct hep_packet p = {.at_us = 1};
    char got[4096];
    size_t n = 0;

    p.from = address("127.0.0.1:1");
    p.to = address("127.0.0.1:2");
    assert_true(hep_put(NULL, 0, &p, VIEW("x"))); /* nobody wants it */
    world_open(&w);
    for (unsigned worker = 0; worker < 2; worker++) {
        assert_true(hep_put(w.hep, worker, &p, VIEW(INVITE)));
        n = hear(w.fd, got, sizeof got - 1);
        got[n] = 0;
        assert_memory_equal(got, "HEP3", 4);
        assert_non_null(memmem(got, n,
                               "\0\0\0\x11\0\x0b"
                               "abc@x",
                               11));
        assert_non_null(memmem(got, n, "INVITE sip:a@b", 14));
        assert_non_null(memmem(got, n, "inline:********", 15));
        assert_null(memmem(got, n, "c2VjcmV0", 8));
        assert_non_null(memmem(got, n, "abc@x\r\nVia: v\r\n\r\n", 17));
    }
    world_close(&w);
}

/* More than there is room for: the worker goes on at once, and what left is whole. */
static void drops_and_never_waits(void **state)
{
    (void)state;
    static char big[9000];
    struct world w;
    struct hep_packet p = {.at_us = 1};
    unsigned taken = 0, refused = 0;

    memset(big, 'x', sizeof big);
    p.from = address("127.0.0.1:1");
    p.to = address("127.0.0.1:2");
    world_open(&w);
    for (unsigned i = 0; i < 100000 && refused < 100; i++) {
        bool done = hep_put(w.hep, 0, &p, view_from(big, sizeof big));
        taken += done;
        refused += !done;
    }
    assert_int_equal(refused, 100);
    assert_true(taken >= HEP_RING_BYTES / sizeof big - 1);
    hep_close(w.hep); /* sends what is there */
    w.hep = NULL;
    assert_int_equal(metric_sum(w.metrics, 0) + metric_sum(w.metrics, 1), taken);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_chunk_by_chunk),
        cmocka_unit_test(finds_the_call_id),
        cmocka_unit_test(arrives_without_keys),
        cmocka_unit_test(drops_and_never_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
