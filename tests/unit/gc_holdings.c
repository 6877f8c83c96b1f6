/* Who is the victim: order, who is spared, two who want the same. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/holdings.h"

static struct holding call(uint64_t number, unsigned rank, uint64_t began_us)
{
    return (struct holding){.number = number,
                            .rank = (uint8_t)rank,
                            .began_us = began_us,
                            .caller_line = 1,
                            .way = {.callee_line = 2, .trunk_out = 7, .route_out = 8},
                            .id = "id",
                            .call_id = "call-id",
                            .caller = "+12125550101",
                            .called = "+12125550102"};
}

static struct holdings *table(unsigned workers)
{
    struct holdings *h = NULL;

    assert_int_equal(holdings_new(workers, &h), E_OK);
    return h;
}

static uint64_t taken(struct holdings *h, enum holding_kind kind, uint64_t id, unsigned below)
{
    struct victim v;

    return holdings_take(h, &(struct holding_wish){kind, id, below}, "x", &v) ? v.number : 0;
}

static void lowest_rank_then_newest(void **state)
{
    struct holdings *h = table(2);
    struct holding c[] = {call(1, 2, 100), call(2, 1, 10), call(3, 1, 30), call(4, 0, 5),
                          call(5, 3, 500)};
    (void)state;
    c[1].worker = 1; /* wherever they are */
    for (size_t i = 0; i < 5; i++) {
        holdings_put(h, &c[i]);
    }
    assert_int_equal(taken(h, HELD_TRUNK, 7, 0), 0);
    assert_int_equal(taken(h, HELD_TRUNK, 7, 3), 4);
    assert_int_equal(taken(h, HELD_TRUNK, 7, 3), 3);
    assert_int_equal(taken(h, HELD_TRUNK, 7, 3), 2);
    assert_int_equal(taken(h, HELD_TRUNK, 7, 3), 1);
    assert_int_equal(taken(h, HELD_TRUNK, 7, 3), 0); /* its equal is no victim */
    assert_int_equal(taken(h, HELD_TRUNK, 7, 4), 5);
    for (size_t i = 0; i < 5; i++) {
        holdings_drop(h, &c[i]);
        holdings_drop(h, &c[i]);
    }
    holdings_free(h);
}

static void who_is_spared(void **state)
{
    struct holdings *h = table(1);
    struct holding c[] = {call(1, 0, 1), call(2, 0, 2), call(3, 0, 3)};
    struct victim v;
    (void)state;
    c[1].spared = SPARED_PROVISIONING;
    c[2].spared = SPARED_EMERGENCY;
    for (size_t i = 0; i < 3; i++) {
        holdings_put(h, &c[i]);
    }
    assert_true(holdings_take(h, &(struct holding_wish){HELD_LINE, 1, 9}, "me", &v));
    assert_int_equal(v.number, 1);
    assert_string_equal(v.id, "id");
    assert_string_equal(v.call_id, "call-id");
    assert_string_equal(v.called, "+12125550102");
    assert_int_equal(taken(h, HELD_LINE, 1, 9), 0);
    assert_false(holdings_take_this(h, 0, 1, "x", &v)); /* taken */
    assert_true(holdings_copy(h, 0, 1, &v) && v.is_taken);
    assert_string_equal(v.taken_by, "me");
    assert_false(holdings_take_this(h, 0, 2, "x", &v));
    assert_false(holdings_take_this(h, 0, 3, "x", &v));
    assert_false(holdings_take_this(h, 0, 4, "x", &v)); /* no such call */
    v.number = 1;
    holdings_let_go(h, &v);
    assert_int_equal(taken(h, HELD_LINE, 1, 9), 1);
    v.number = 99; /* one that ended meanwhile */
    holdings_let_go(h, &v);
    for (size_t i = 0; i < 3; i++) {
        holdings_drop(h, &c[i]);
    }
    assert_int_equal(taken(h, HELD_LINE, 1, 9), 0);
    holdings_free(h);
}

static void what_is_held(void **state)
{
    struct holdings *h = table(2);
    struct holding c = call(1, 0, 1);
    struct victim v;
    (void)state;
    c.worker = 1;
    c.way.trunk_in = 6;
    holdings_put(h, &c);
    assert_int_equal(holdings_count(h, HELD_LINE, 1), 1);
    assert_int_equal(holdings_count(h, HELD_LINE, 2), 0); /* it was called */
    assert_int_equal(holdings_count(h, HELD_PHONE, 1), 1);
    assert_int_equal(holdings_count(h, HELD_PHONE, 2), 1);
    assert_int_equal(holdings_count(h, HELD_TRUNK, 6), 1);
    assert_int_equal(holdings_count(h, HELD_TRUNK, 7), 1);
    assert_int_equal(holdings_count(h, HELD_ROUTE, 8), 1);
    assert_int_equal(holdings_count(h, HELD_PLACE, 0), 0);
    assert_int_equal(holdings_count(h, HELD_PLACE, 1), 1);
    assert_int_equal(taken(h, HELD_PLACE, 0, 9), 0);
    holdings_way(h, &c, &(struct holding_way){.callee_line = 3, .trunk_in = 6});
    assert_int_equal(holdings_count(h, HELD_TRUNK, 7), 0);
    assert_int_equal(holdings_count(h, HELD_ROUTE, 8), 0);
    assert_int_equal(holdings_count(h, HELD_PHONE, 3), 1);
    assert_true(holdings_take(h, &(struct holding_wish){HELD_PLACE, 1, 1}, "me", &v));
    assert_true(victim_holds(&v, HELD_PHONE, 3) && victim_holds(&v, HELD_TRUNK, 6));
    assert_false(victim_holds(&v, HELD_TRUNK, 7));
    holdings_drop(h, &c);
    holdings_free(h);
}

/* Lines are found by an index of their own: it follows each change, and counts nobody twice. */
static void lines_among_many(void **state)
{
    struct holdings *h = table(2);
    struct holding c[] = {call(1, 0, 1), call(2, 0, 2), call(3, 1, 3), call(4, 0, 4)};
    (void)state;
    c[1].way.callee_line = 1;    /* to itself */
    c[2].caller_line = 1 + 4096; /* the same place of the index */
    c[2].way.callee_line = 4096;
    c[2].worker = 1;
    c[3].caller_line = c[3].way.callee_line = 0; /* between trunks */
    for (size_t i = 0; i < 4; i++) {
        holdings_put(h, &c[i]);
    }
    assert_int_equal(holdings_count(h, HELD_LINE, 1), 2);
    assert_int_equal(holdings_count(h, HELD_PHONE, 1), 2);
    assert_int_equal(holdings_count(h, HELD_LINE, 1 + 4096), 1);
    holdings_way(h, &c[2], &(struct holding_way){.callee_line = 1});
    holdings_way(h, &c[1], &(struct holding_way){.callee_line = 0});
    holdings_way(h, &c[3], &(struct holding_way){.callee_line = 5});
    assert_int_equal(holdings_count(h, HELD_PHONE, 1), 3);
    assert_int_equal(holdings_count(h, HELD_PHONE, 4096), 0);
    assert_int_equal(taken(h, HELD_PHONE, 5, 1), 4);
    holdings_drop(h, &c[2]);
    assert_int_equal(holdings_count(h, HELD_PHONE, 1), 2);
    assert_int_equal(taken(h, HELD_PHONE, 1, 9), 2);
    assert_int_equal(taken(h, HELD_PHONE, 1, 9), 1);
    assert_int_equal(taken(h, HELD_PHONE, 1, 9), 0);
    for (size_t i = 0; i < 4; i++) {
        holdings_drop(h, &c[i]);
    }
    holdings_free(h);
}

enum { CALLS = 2000, TAKERS = 4 };
struct taker {
    struct holdings *h;
    pthread_t thread;
    size_t n;
    uint64_t sum;
};

static void *take_all(void *arg)
{
    struct taker *t = arg;
    struct victim v;

    while (holdings_take(t->h, &(struct holding_wish){HELD_TRUNK, 7, 9}, "me", &v)) {
        t->n++;
        t->sum += v.number;
    }
    return NULL;
}

static void of_many_who_want_one_each_gets_another(void **state)
{
    static struct holding c[CALLS];
    struct holdings *h = table(3);
    struct taker t[TAKERS];
    size_t n = 0;
    uint64_t sum = 0;
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        c[i] = call(i + 1, (unsigned)(i % 5), i);
        c[i].worker = (uint16_t)(i % 3);
        holdings_put(h, &c[i]);
    }
    for (size_t i = 0; i < TAKERS; i++) {
        t[i] = (struct taker){.h = h};
        assert_int_equal(pthread_create(&t[i].thread, NULL, take_all, &t[i]), 0);
    }
    for (size_t i = 0; i < CALLS; i += 7) { /* and some end */
        holdings_drop(h, &c[i]);
    }
    for (size_t i = 0; i < TAKERS; i++) {
        assert_int_equal(pthread_join(t[i].thread, NULL), 0);
        n += t[i].n;
        sum += t[i].sum;
    }
    for (size_t i = 0; i < CALLS; i++) {
        n -= c[i].is_taken;
        sum -= c[i].is_taken ? c[i].number : 0;
        assert_true(c[i].is_taken || i % 7 == 0);
        holdings_drop(h, &c[i]);
    }
    assert_int_equal(n, 0); /* nobody was taken twice */
    assert_int_equal(sum, 0);
    holdings_free(h);
}

static void out_of_memory(void **state)
{
    struct holdings *h = NULL;
    size_t live = mem_live();
    (void)state;
    for (long i = 0; i < 2; i++) {
        mem_fail_at(i);
        assert_int_equal(holdings_new(2, &h), E_NOMEM);
    }
    mem_fail_at(-1);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowest_rank_then_newest),
        cmocka_unit_test(who_is_spared),
        cmocka_unit_test(what_is_held),
        cmocka_unit_test(lines_among_many),
        cmocka_unit_test(of_many_who_want_one_each_gets_another),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
