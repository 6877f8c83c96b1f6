/* RFC 3261 sections 16.6 and 16.7, RFC 5393: phones of one line by preference, one group after the
 * other, within the breadth that came in. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB "sip:" BOB "@" DOMAIN

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request invite;
    struct got got, first, second, third;
    struct phone bob3;
};

static void prefer(struct bench *b, const struct phone *p, unsigned q)
{
    struct binding found[LOCATION_MAX_CONTACTS];
    size_t n =
        location_find(b->location, p->line, loop_now_ms(b->w->loop), found, LOCATION_MAX_CONTACTS);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(found[i].contact, p->contact) == 0) {
            found[i].q = (uint16_t)q;
            found[i].cseq++;
            assert_int_equal(location_put(b->location, &found[i]), E_OK);
            return;
        }
    }
    fail_msg("not registered");
}

/* Two phones first, one after them. */
static void call_three(struct bench *b, struct scene *s, const char *extra)
{
    bench_open(b, NULL);
    phone_make(b, &s->bob3, BOB, 2, "127.0.9.15:5065", 0x55);
    phone_register(b, &b->bob);
    phone_register(b, &b->bob2);
    phone_register(b, &s->bob3);
    prefer(b, &b->bob, 900);
    prefer(b, &b->bob2, 900);
    prefer(b, &s->bob3, 100);
    s->invite = invite_of(b, &b->alice, TO_BOB, s->keep);
    s->invite.extra = extra;
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->alice, "SIP/2.0 100", &s->got);
    expect(b, &b->bob, "INVITE", &s->first);
    expect(b, &b->bob2, "INVITE", &s->second);
    assert_int_equal(count_to(b, &s->bob3.flow.remote, "INVITE"), 0);
}

static void the_next_preference_after_refusals(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_three(b, &s, NULL);
    assert_true(holds(&s.first.m, "Max-Breadth: 20\r\n"));
    phone_answer(b, &b->bob, &s.first, 486, "b1", NULL);
    assert_int_equal(count_to(b, &s.bob3.flow.remote, "INVITE"), 0);
    phone_answer(b, &b->bob2, &s.second, 480, "b2", NULL);
    expect(b, &s.bob3, "INVITE", &s.third);
    assert_true(holds(&s.third.m, "Max-Breadth: 60\r\n")); /* the others are over */
    phone_answer(b, &s.bob3, &s.third, 200, "b3", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &s.got);
    bench_close(b);
}

/* Two ring in vain, and are cancelled; the third gets what breadth is left while they say so. */
static void the_next_preference_after_its_time(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_three(b, &s, "Max-Breadth: 5\r\n");
    assert_true(holds(&s.first.m, "Max-Breadth: 1\r\n"));
    phone_answer(b, &b->bob, &s.first, 180, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 180, "b2", NULL);
    pass_ms(b, 19900);
    assert_int_equal(count_to(b, &s.bob3.flow.remote, "INVITE"), 0);
    pass_ms(b, 200);
    expect(b, &b->bob, "CANCEL", &s.got);
    expect(b, &b->bob2, "CANCEL", &s.got);
    expect(b, &s.bob3, "INVITE", &s.third);
    assert_true(holds(&s.third.m, "Max-Breadth: 3\r\n"));
    phone_answer(b, &b->bob, &s.first, 487, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 487, "b2", NULL);
    phone_answer(b, &s.bob3, &s.third, 486, "b3", NULL);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 487"), 0);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 486"), 1);
    bench_close(b);
}

/* No breadth is left until the first group says that it is over. */
static void the_next_preference_waits_for_breadth(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_three(b, &s, "Max-Breadth: 2\r\n");
    phone_answer(b, &b->bob, &s.first, 180, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 180, "b2", NULL);
    pass_ms(b, 20100);
    assert_int_equal(count_to(b, &s.bob3.flow.remote, "INVITE"), 0);
    phone_answer(b, &b->bob, &s.first, 487, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 487, "b2", NULL);
    expect(b, &s.bob3, "INVITE", &s.third);
    assert_true(holds(&s.third.m, "Max-Breadth: 2\r\n"));
    bench_close(b);
}

static void an_answer_that_crosses_the_cancel(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_three(b, &s, NULL);
    phone_answer(b, &b->bob, &s.first, 180, "b1", NULL);
    pass_ms(b, 20100);
    expect(b, &s.bob3, "INVITE", &s.third);
    phone_answer(b, &s.bob3, &s.third, 180, "b3", NULL);
    phone_answer(b, &b->bob, &s.first, 200, "b1", sdp_plain);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 1);
    expect(b, &s.bob3, "CANCEL", &s.got);
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
}

static void a_6xx_ends_the_search(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_three(b, &s, NULL);
    phone_answer(b, &b->bob, &s.first, 486, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 603, "b2", NULL);
    expect(b, &b->alice, "SIP/2.0 603", &s.got);
    assert_int_equal(count_to(b, &s.bob3.flow.remote, "INVITE"), 0);
    bench_close(b);
}

/* The caller gives up: nobody else is asked. */
static void a_cancel_ends_the_search(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_three(b, &s, NULL);
    phone_answer(b, &b->bob, &s.first, 180, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 180, "b2", NULL);
    s.invite.method = "CANCEL";
    s.invite.body = NULL;
    phone_send(b, &b->alice, write_request_text(&s.invite, s.text, sizeof s.text));
    phone_answer(b, &b->bob, &s.first, 487, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 487, "b2", NULL);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 487"), 1);
    pass_ms(b, 25000);
    assert_int_equal(count_to(b, &s.bob3.flow.remote, "INVITE"), 0);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_preference_after_refusals),
        cmocka_unit_test(the_next_preference_after_its_time),
        cmocka_unit_test(the_next_preference_waits_for_breadth),
        cmocka_unit_test(an_answer_that_crosses_the_cancel),
        cmocka_unit_test(a_6xx_ends_the_search),
        cmocka_unit_test(a_cancel_ends_the_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
