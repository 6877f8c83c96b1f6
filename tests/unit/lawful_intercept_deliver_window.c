/* What counts as delivered: octets and milliseconds from a table, no socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/deliver_window.h"

enum { RESEND = 1000, SETTLE = 60, LATE = 600 };

static struct li_window window(void)
{
    struct li_window w = {.resend_bytes = RESEND, .settle_ms = SETTLE, .settle_late_ms = LATE};

    return w;
}

/* n records of 100 octets, from that number on. */
static void send(struct li_window *w, uint64_t first, unsigned n)
{
    uint64_t at = w->n > 0 ? w->mark[w->n - 1].end : 0;

    for (unsigned i = 0; i < n; i++, at += 100) {
        li_window_sent(w, first + i, 1000 + first + i, at, at + 100);
    }
}

static void octets_alone_settle_nothing(void **state)
{
    struct li_window w = window();

    (void)state;
    send(&w, 1, 30);
    assert_int_equal(li_window_settle(&w, 10), 0);
    li_window_acked(&w, 3000, 10);
    assert_int_equal(li_window_settle(&w, 10 + SETTLE - 1), 0);
    assert_int_equal(li_window_settle(&w, 10 + SETTLE), 20); /* 1000 octets lie behind that */
    assert_int_equal(li_window_settle(&w, 10 + SETTLE), 0);
    assert_int_equal(w.n, 10);
}

/* A quiet case: nothing follows, and the peer's kernel may hold it for a program that sleeps. */
static void time_alone_takes_long(void **state)
{
    struct li_window w = window();

    (void)state;
    send(&w, 1, 3);
    li_window_acked(&w, 200, 10);
    assert_int_equal(li_window_settle(&w, 10 + LATE - 1), 0);
    assert_int_equal(li_window_settle(&w, 10 + LATE), 2);
    assert_int_equal(li_window_settle(&w, 100 + LATE), 0); /* the third was not confirmed */
    assert_int_equal(w.n, 1);
}

static void an_answer_settles_what_lies_before_it(void **state)
{
    struct li_window w = window();

    (void)state;
    send(&w, 1, 3);
    li_window_acked(&w, 300, 10);
    li_window_answered(&w, 200);
    assert_int_equal(li_window_settle(&w, 10 + SETTLE - 1), 0);
    assert_int_equal(li_window_settle(&w, 10 + SETTLE), 2);
    li_window_clear(&w); /* and says nothing of another connection */
    li_window_sent(&w, 3, 1003, 0, 100);
    li_window_acked(&w, 100, 20);
    assert_int_equal(li_window_settle(&w, 20 + SETTLE), 0);
}

static void who_was_confirmed_once_does_not_wait_again(void **state)
{
    struct li_window w = window();

    (void)state;
    assert_int_equal(li_window_oldest(&w), 0);
    send(&w, 1, 3);
    assert_int_equal(li_window_oldest(&w), 1001);
    li_window_acked(&w, 250, 10);
    assert_int_equal(w.confirmed, 2);
    assert_int_equal(li_window_oldest(&w), 1003);
    li_window_clear(&w);
    assert_int_equal(w.confirmed, 2);
    send(&w, 1, 2);
    assert_int_equal(li_window_oldest(&w), 0);
    li_window_sent(&w, 3, 1003, 200, 300);
    assert_int_equal(li_window_oldest(&w), 1003);
    li_window_acked(&w, 300, 20);
    assert_int_equal(li_window_oldest(&w), 0);
}

/* However much goes out at once: no more marks, nothing settled before its time, all of it then. */
static void memory_stays_flat(void **state)
{
    struct li_window w = window();
    uint64_t settled = 0, last = 0;

    (void)state;
    for (uint64_t i = 1; i <= 100000; i++) {
        li_window_sent(&w, i, 1000 + i, (i - 1) * 100, i * 100);
        assert_true(w.n <= LI_MARKS);
        if (i > 5) {
            li_window_acked(&w, (i - 5) * 100, i); /* a record each millisecond */
        }
        settled = li_window_settle(&w, i);
        assert_true(settled == 0 || (settled > last && settled + SETTLE <= i));
        last = settled != 0 ? settled : last;
    }
    assert_true(last > 99000);
    assert_int_equal(li_window_oldest(&w), 1000 + 100000 - 4);
    li_window_acked(&w, 10000000, 100000);
    assert_int_equal(li_window_settle(&w, 100000 + LATE), 100000);
    assert_int_equal(w.n, 0);
}

static void a_slow_peer_does_not_grow_it_either(void **state)
{
    struct li_window w = window();
    uint64_t last = 0;

    (void)state;
    w.resend_bytes = 1; /* each record a mark of its own */
    for (uint64_t i = 1; i <= 100000; i++) {
        li_window_sent(&w, i, 1000 + i, (i - 1) * 100, i * 100);
        li_window_acked(&w, i * 50, 1 + i);
        assert_true(w.n <= LI_MARKS);
    }
    assert_true(w.confirmed <= 50000);
    assert_true(li_window_oldest(&w) <= 1000 + 50001);
    li_window_acked(&w, 10000000, 200000);
    for (uint64_t n = 1; n != 0; last = n > last ? n : last) {
        n = li_window_settle(&w, 200000 + LATE);
    }
    assert_int_equal(last, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(octets_alone_settle_nothing),
        cmocka_unit_test(time_alone_takes_long),
        cmocka_unit_test(an_answer_settles_what_lies_before_it),
        cmocka_unit_test(who_was_confirmed_once_does_not_wait_again),
        cmocka_unit_test(memory_stays_flat),
        cmocka_unit_test(a_slow_peer_does_not_grow_it_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
