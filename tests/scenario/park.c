/* Requests that wait for another thread: answered once, in time or not, in any order. */
#include "gc/park.h"

#include "gc/setup.h"
#include "tests/scenario/bench.h"

static struct bench bench;

static struct {
    unsigned n, n_late;
    char text[PARK_ANSWER_MAX];
    struct ctx *c;
} heard;

static void hear(struct ctx *c, const void *answer, size_t n)
{
    heard.n += answer != NULL;
    heard.n_late += answer == NULL;
    heard.c = c;
    assert_true(n < sizeof heard.text && (uintptr_t)answer % _Alignof(max_align_t) == 0);
    if (n > 0) {
        memcpy(heard.text, answer, n);
    }
    heard.text[n] = 0;
}

static void go_on(struct ctx *c, const void *answer, size_t n)
{
    hear(c, answer, n);
    setup_resume(c);
}

/* A call from alice that rings at bob, and its context. */
static struct ctx *call_of(struct bench *b, struct got *invite)
{
    char keep[3][96], text[TEXT_MAX];
    struct request r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    struct call *c = NULL;
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "INVITE", invite);
    c = call_by_id(b->w, invite->m.call_id);
    assert_non_null(c);
    return c->setup;
}

static void begin(struct bench *b)
{
    memset(&heard, 0, sizeof heard);
    bench_open(b, NULL);
    phone_register(b, &b->bob);
}

static void an_answer_comes(void **state)
{
    struct bench *b = &bench;
    struct got invite;
    struct ctx *c = NULL;
    uint64_t one = 0, two = 0;
    (void)state;
    begin(b);
    c = call_of(b, &invite);
    one = park(c, 1000, hear);
    two = park(c, 1000, hear);
    assert_true(one != 0 && two != 0 && one != two);
    park_answer(b->ws, 0, two, "two", 3);
    park_answer(b->ws, 0, two, "again", 5); /* nobody waits any more */
    park_answer(b->ws, 0, 12345, "stray", 5);
    loop_run_once(b->w->loop, false);
    assert_int_equal(heard.n, 1);
    assert_string_equal(heard.text, "two");
    assert_ptr_equal(heard.c, c);
    pass_ms(b, 1001);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.n_late, 1);
    park_answer(b->ws, 0, one, "late", 4);
    loop_run_once(b->w->loop, false);
    assert_int_equal(heard.n, 1);
    assert_int_equal(counted(b, METER_PARK_TIMEOUTS), 1);
    assert_int_equal(b->w->n_parked, 0);
    bench_close(b);
}

static void it_goes_on_from_its_context(void **state)
{
    struct bench *b = &bench;
    struct got invite, got;
    struct ctx *c = NULL;
    (void)state;
    begin(b);
    c = call_of(b, &invite);
    c->n_targets = c->next = 0;
    assert_true(park(c, 1000, go_on) != 0);
    park_answer(b->ws, 0, b->w->tickets, NULL, 0);
    loop_run_once(b->w->loop, false);
    assert_int_equal(heard.n, 1);
    expect(b, &b->bob, "INVITE", &got); /* once more, as the same request */
    assert_true(view_eq(got.m.call_id, invite.m.call_id));
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 100"), 1);
    bench_close(b);
}

static void only_so_many(void **state)
{
    struct bench *b = &bench;
    struct got invite;
    struct ctx *c = NULL;
    (void)state;
    begin(b);
    b->w->live->set.max_parked = 3;
    c = call_of(b, &invite);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(park(c, 1000, hear) != 0);
    }
    assert_int_equal(park(c, 1000, hear), 0);
    assert_int_equal(counted(b, METER_PARK_REFUSED), 1);
    pass_ms(b, 1001);
    assert_int_equal(heard.n_late, 3);
    assert_true(park(c, 1000, hear) != 0);
    bench_close(b); /* one still waits: it is let go, and hears nothing */
    assert_int_equal(heard.n + heard.n_late, 3);
}

/* The call is over before the answer is there: the function sees it. */
static void the_call_is_over(void **state)
{
    struct bench *b = &bench;
    struct got invite;
    struct ctx *c = NULL;
    (void)state;
    begin(b);
    c = call_of(b, &invite);
    assert_true(park(c, 60000, go_on) != 0);
    phone_answer(b, &b->bob, &invite, 486, "bt", NULL);
    pass_ms(b, 40000); /* its transactions are gone */
    park_answer(b->ws, 0, b->w->tickets, "x", 1);
    loop_run_once(b->w->loop, false);
    assert_int_equal(heard.n, 1);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 1);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes),
        cmocka_unit_test(it_goes_on_from_its_context),
        cmocka_unit_test(only_so_many),
        cmocka_unit_test(the_call_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
