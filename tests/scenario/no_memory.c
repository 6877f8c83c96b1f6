/* Each allocation of a whole call fails once: nothing crashes, nothing leaks, the next call works.
 */
#include "tests/scenario/bench.h"

static struct bench bench;

static bool try_take(struct bench *b, struct phone *p, const char *start, struct got *out)
{
    return take(b, &p->flow.remote, start, out);
}

/* As much of a call as comes about. */
static bool whole_call(struct bench *b)
{
    char keep[3][96], text[TEXT_MAX];
    struct request r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    struct got at_bob, at_bob2, got;
    bool done = false;
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    if (try_take(b, &b->bob2, "INVITE", &at_bob2)) {
        phone_answer(b, &b->bob2, &at_bob2, 180, "b2", NULL);
    }
    if (try_take(b, &b->bob, "INVITE", &at_bob)) {
        phone_answer(b, &b->bob, &at_bob, 180, "bt", NULL);
        phone_answer(b, &b->bob, &at_bob, 200, "bt", sdp_plain);
        if (try_take(b, &b->bob2, "CANCEL", &got)) {
            phone_answer(b, &b->bob2, &at_bob2, 487, "b2", NULL);
        }
        r.to_tag = "bt";
        r.method = "ACK";
        r.body = NULL;
        r.branch = "z9hG4bKack";
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        r.method = "BYE";
        r.cseq = 2;
        r.branch = "z9hG4bKbye";
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        if (try_take(b, &b->bob, "BYE", &got)) {
            phone_answer(b, &b->bob, &got, 200, "bt", NULL);
            done = try_take(b, &b->alice, "SIP/2.0 200", &got);
        }
    }
    forget_sent(b);
    return done;
}

static void every_allocation(void **state)
{
    struct bench *b = &bench;
    unsigned n = 0;
    bool failed = true;
    (void)state;
    for (long i = 0; failed; i++) {
        bench_open(b, NULL);
        phone_register(b, &b->bob);
        phone_register(b, &b->bob2);
        forget_sent(b);
        mem_fail_at(i);
        (void)whole_call(b);
        pass_ms(b, 300000); /* whatever was left ends by its timers */
        forget_sent(b);
        failed = mem_failed();
        mem_fail_at(-1);
        n += failed;
        if (workers_calls(b->ws) != 0) {
            print_message("allocation %ld\n", i);
        }
        assert_int_equal(workers_calls(b->ws), 0);
        assert_true(sip_txn_count(b->w->txns) == 0);
        phone_register(b, &b->bob);
        phone_register(b, &b->bob2);
        forget_sent(b);
        assert_true(whole_call(b));
        bench_close(b);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
