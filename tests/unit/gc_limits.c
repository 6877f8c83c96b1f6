#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/limits.h"

static const struct limits_cfg small = {.datagram_rate = 10,
                                        .datagram_burst = 20,
                                        .answer_per_second = 5,
                                        .unproven_per_minute = 3,
                                        .unproven_total_per_minute = 7,
                                        .calls_per_line = 2,
                                        .sources = 512};

static struct limits *make(void)
{
    struct limits *l = NULL;
    assert_int_equal(limits_new(&small, &l), E_OK);
    return l;
}

static struct net_addr host(unsigned n)
{
    struct net_addr a = {.family = 4, .port = (uint16_t)n};
    memcpy(a.ip, &n, 4);
    return a;
}

static unsigned take_all(struct limits *l, enum limit kind, const struct net_addr *a, uint64_t now)
{
    unsigned n = 0;
    while (n < 100000 && limits_take(l, kind, a, now)) {
        n++;
    }
    return n;
}

static void burst_and_refill(void **state)
{
    struct limits *l = make();
    struct net_addr a = host(1), same = a, b = host(2);
    (void)state;
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 1000), 20);
    same.port = 9; /* the port is the attacker's to choose */
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &same, 1000), 0);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &b, 1000), 20);
    assert_int_equal(take_all(l, LIMIT_ANSWER, &a, 1000), 5); /* a kind of its own */
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 1099), 0);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 1100), 1);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 2100), 10);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 100000000), 20); /* never more than a burst */
    limits_give(l, LIMIT_DATAGRAM, &a, 100000000);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 100000000), 1);
    limits_give(l, LIMIT_DATAGRAM, &b, 100000000); /* more than was taken is no credit */
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &b, 100000000), 20);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &b, 5), 0); /* a clock that goes back */
    limits_free(l);
}

static void ipv6_by_its_net(void **state)
{
    struct limits *l = make();
    struct net_addr a = {.family = 6, .ip = {0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 1}}, b = a, c = a;
    (void)state;
    b.ip[15] = 9;
    c.ip[7] = 5;
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &a, 1000), 20);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &b, 1000), 0);
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &c, 1000), 20);
    limits_free(l);
}

static void of_the_node(void **state)
{
    struct limits *l = make();
    unsigned sum = 0;
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct net_addr a = host(i);
        sum += take_all(l, LIMIT_UNPROVEN, &a, 60000);
    }
    assert_int_equal(sum, 7);
    struct net_addr late = host(100);
    assert_int_equal(take_all(l, LIMIT_UNPROVEN, &late, 120000), 3);
    limits_free(l);
}

/* More sources than places: what one of them loses is debt, never the use of its limit. */
static void many_sources(void **state)
{
    struct limits *l = make();
    struct net_addr heavy = host(7);
    (void)state;
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &heavy, 1000), 20);
    for (unsigned i = 100; i < 600; i++) { /* as many as there are places, one token each */
        struct net_addr a = host(i);
        assert_true(limits_take(l, LIMIT_DATAGRAM, &a, 1000));
    }
    assert_int_equal(take_all(l, LIMIT_DATAGRAM, &heavy, 1000), 0); /* the one in debt stayed */
    limits_free(l);
}

static void calls_of_lines(void **state)
{
    struct limits *l = make();
    size_t live = mem_live();
    (void)state;
    for (uint64_t line = 1; line < 1000; line++) {
        assert_int_equal(limits_line_take(l, line), E_OK);
        assert_int_equal(limits_line_take(l, line), E_OK);
        assert_int_equal(limits_line_take(l, line), E_FULL);
    }
    for (uint64_t line = 1; line < 1000; line++) {
        limits_line_give(l, line);
        assert_int_equal(limits_line_take(l, line), E_OK);
        limits_line_give(l, line);
        limits_line_give(l, line);
    }
    assert_int_equal(mem_live(), live);
    mem_fail_at(0);
    assert_int_equal(limits_line_take(l, 5), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(limits_line_take(l, 5), E_OK);
    limits_free(l); /* with a call still counted */
}

static void requests_of_a_line(void **state)
{
    struct limits *l = make();
    unsigned n = 0;
    (void)state;
    while (n < 1000 && limits_take_line(l, 1, 1000)) {
        n++;
    }
    assert_int_equal(n, 160); /* 4 s of 20 + 2 * 10 */
    assert_true(limits_take_line(l, 2, 1000));
    assert_true(limits_take_line(l, 1, 1025));
    assert_false(limits_take_line(l, 1, 1025));
    limits_free(l);
}

static void no_memory(void **state)
{
    struct limits *l = NULL;
    size_t live = mem_live();
    (void)state;
    for (long i = 0; i < 2; i++) {
        mem_fail_at(i);
        assert_int_equal(limits_new(&small, &l), E_NOMEM);
        assert_int_equal(mem_live(), live);
    }
    mem_fail_at(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_and_refill), cmocka_unit_test(ipv6_by_its_net),
        cmocka_unit_test(of_the_node),      cmocka_unit_test(many_sources),
        cmocka_unit_test(calls_of_lines),   cmocka_unit_test(requests_of_a_line),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
