/* The ring of call events: numbers without gaps, what is lost is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/call_events.h"

static void put(struct call_events *e, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct trace_call c = {.state = TRACE_TRYING};
        snprintf(c.id, sizeof c.id, "%u", i);
        call_events_put(e, CALL_EVENT_STARTED, 1000 + i, &c);
    }
}

static void numbers(void **state)
{
    struct call_events *e = NULL, *other = NULL;
    struct call_events_page page, again;
    struct call_event got[8];
    (void)state;
    assert_int_equal(call_events_new(4, &e), E_OK);
    call_events_read(e, 0, got, 8, &page);
    assert_int_equal(page.n + page.last + page.lost, 0);
    put(e, 3);
    call_events_read(e, 0, got, 8, &page);
    assert_int_equal(page.n, 3);
    assert_int_equal(page.last, 3);
    assert_int_equal(page.lost, 0);
    assert_int_equal(got[0].number, 1);
    assert_int_equal(got[2].number, 3);
    assert_string_equal(got[2].call.id, "2");
    call_events_read(e, 2, got, 8, &page);
    assert_int_equal(page.n, 1);
    call_events_read(e, 3, got, 8, &page);
    assert_int_equal(page.n, 0);
    call_events_read(e, 99, got, 8, &page); /* of another start */
    assert_int_equal(page.n + page.lost, 0);
    call_events_read(e, UINT64_MAX, got, 8, &page);
    assert_int_equal(page.n + page.lost, 0);
    call_events_read(e, 0, got, 2, &page);
    assert_int_equal(page.n, 2);
    assert_int_equal(got[1].number, 2);
    assert_int_equal(call_events_new(4, &other), E_OK);
    call_events_read(other, 0, got, 8, &again);
    assert_string_not_equal(page.start, again.start);
    call_events_free(e);
    call_events_free(other);
}

static void the_oldest_give_way(void **state)
{
    struct call_events *e = NULL;
    struct call_events_page page;
    struct call_event got[8];
    (void)state;
    assert_int_equal(call_events_new(4, &e), E_OK);
    put(e, 10);
    call_events_read(e, 0, got, 8, &page);
    assert_int_equal(page.n, 4);
    assert_int_equal(page.lost, 6);
    assert_int_equal(got[0].number, 7);
    call_events_read(e, 5, got, 8, &page);
    assert_int_equal(page.lost, 1);
    assert_int_equal(page.n, 4);
    call_events_read(e, 6, got, 8, &page);
    assert_int_equal(page.lost, 0);
    assert_int_equal(page.n, 4);
    call_events_free(e);
}

/* More than are copied under one hold of the lock. */
static void a_long_page(void **state)
{
    struct call_events *e = NULL;
    struct call_events_page page;
    static struct call_event got[100];
    (void)state;
    assert_int_equal(call_events_new(64, &e), E_OK);
    put(e, 100);
    for (size_t max = 1; max <= 100; max++) {
        call_events_read(e, 0, got, max, &page);
        assert_int_equal(page.lost, 36);
        assert_int_equal(page.n, max < 64 ? max : 64);
        for (size_t i = 0; i < page.n; i++) {
            assert_int_equal(got[i].number, 37 + i);
        }
    }
    call_events_free(e);
}

static void nobody_watches(void **state)
{
    struct trace_call c = {.state = TRACE_TRYING};
    struct call_events *e = NULL;
    (void)state;
    call_events_put(NULL, CALL_EVENT_ENDED, 1, &c);
    call_events_free(NULL);
    mem_fail_at(0);
    assert_int_equal(call_events_new(0, &e), E_NOMEM);
    mem_fail_at(-1);
    assert_string_equal(call_event_name(CALL_EVENT_PREEMPTED), "preempted");
    assert_string_equal(call_event_name((enum call_event_kind)77), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(the_oldest_give_way),
        cmocka_unit_test(a_long_page),
        cmocka_unit_test(nobody_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
