/* CANCEL: whose it must be, when it goes on, and what becomes of an answer that crosses it. */
#include "tests/scenario/bench.h"

static struct bench bench;

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request invite, cancel;
    struct got at_bob;
};

static void call_bob(struct bench *b, struct scene *s)
{
    struct got got;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    s->invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s->keep);
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->bob, "INVITE", &s->at_bob);
    s->cancel = s->invite;
    s->cancel.method = "CANCEL";
    s->cancel.body = NULL;
    write_request_text(&s->cancel, s->text, sizeof s->text);
}

static void after_ringing(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_bob(b, &s);
    phone_answer(b, &b->bob, &s.at_bob, 180, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    phone_send(b, &b->alice, s.text);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_int_equal(got.m.method, SIP_M_CANCEL);
    expect(b, &b->bob, "CANCEL", &got);
    assert_true(view_eq(got.m.via.branch, s.at_bob.m.via.branch));
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    phone_answer(b, &b->bob, &s.at_bob, 487, "bt", NULL);
    expect(b, &b->bob, "ACK", &got);
    expect(b, &b->alice, "SIP/2.0 487", &got);
    assert_int_equal(b->cdr[0].status, 487);
    assert_string_equal(b->cdr[0].end_by, "caller");
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

static void before_any_answer_it_waits(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_bob(b, &s);
    phone_send(b, &b->alice, s.text);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "CANCEL"), 0);
    phone_answer(b, &b->bob, &s.at_bob, 100, "", NULL);
    expect(b, &b->bob, "CANCEL", &got);
    phone_answer(b, &b->bob, &s.at_bob, 487, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 487", &got);
    bench_close(b);
}

static void a_silent_phone_ends_with_487(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_bob(b, &s);
    phone_send(b, &b->alice, s.text);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    pass_ms(b, 33000);
    expect(b, &b->alice, "SIP/2.0 487", &got);
    bench_close(b);
}

static void of_somebody_else(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_bob(b, &s);
    phone_answer(b, &b->bob, &s.at_bob, 180, "bt", NULL);
    feed(b, &b->alice.flow, s.text); /* no proof */
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 481", &got));
    phone_send(b, &b->bob2, s.text); /* another's */
    expect(b, &b->bob2, "SIP/2.0 481", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "CANCEL"), 0);
    assert_int_equal(counted(b, METER_AUTH_OTHER_PARTY), 2);
    {
        struct request r = s.cancel;
        r.branch = "z9hG4bKnothing";
        phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    }
    expect(b, &b->alice, "SIP/2.0 481", &got);
    bench_close(b);
}

/* The answer was on its way already: it goes up, and the caller ends the call by BYE. */
static void crossing_an_answer(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_bob(b, &s);
    phone_answer(b, &b->bob, &s.at_bob, 180, "bt", NULL);
    phone_send(b, &b->alice, s.text);
    expect(b, &b->bob, "CANCEL", &got);
    phone_answer(b, &b->bob, &s.at_bob, 200, "bt", sdp_plain);
    take(b, &b->alice.flow.remote, "SIP/2.0 200", &got); /* of the CANCEL */
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_int_equal(got.m.method, SIP_M_INVITE);
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
}

/* The operator ended it while it rang; the late answer is acknowledged and released here. */
static void operator_ends_an_early_call(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct trace_call call;
    struct got got;
    (void)state;
    call_bob(b, &s);
    phone_answer(b, &b->bob, &s.at_bob, 180, "bt", NULL);
    assert_int_equal(trace_list(b->w->trace, false, &call, 1), 1);
    workers_end_call(b->ws, call.id, "ended");
    pass_ms(b, 1);
    expect(b, &b->alice, "SIP/2.0 480", &got);
    expect(b, &b->bob, "CANCEL", &got);
    assert_string_equal(b->cdr[0].end_by, "gate");
    phone_answer(b, &b->bob, &s.at_bob, 200, "bt", sdp_plain);
    expect(b, &b->bob, "ACK", &got);
    assert_int_equal(got.m.cseq, 1);
    expect(b, &b->bob, "BYE", &got);
    assert_int_equal(got.m.cseq, 2);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 0);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_ringing),
        cmocka_unit_test(before_any_answer_it_waits),
        cmocka_unit_test(a_silent_phone_ends_with_487),
        cmocka_unit_test(of_somebody_else),
        cmocka_unit_test(crossing_an_answer),
        cmocka_unit_test(operator_ends_an_early_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
