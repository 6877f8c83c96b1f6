/* Several phones of one line: all ring, the first answer wins, the best refusal goes up. */
#include "tests/scenario/bench.h"

static struct bench bench;

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request invite;
    struct got first, second;
};

static void call_both(struct bench *b, struct scene *s)
{
    struct got got;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    phone_register(b, &b->bob2);
    s->invite = invite_of(b, &b->alice, "sip:5550102@" DOMAIN, s->keep);
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->bob, "INVITE", &s->first);
    expect(b, &b->bob2, "INVITE", &s->second);
    assert_false(view_eq(s->first.m.via.branch, s->second.m.via.branch));
    assert_true(holds(&s->first.m, "Max-Breadth: 30\r\n"));
}

static void first_answer_wins(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_both(b, &s);
    phone_answer(b, &b->bob, &s.first, 180, "b1", NULL);
    phone_answer(b, &b->bob2, &s.second, 180, "b2", NULL);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 180"), 2);
    phone_answer(b, &b->bob2, &s.second, 200, "b2", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    expect(b, &b->bob, "CANCEL", &got);
    assert_true(holds(&got.m, "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"));
    assert_int_equal(count_to(b, &b->bob2.flow.remote, "CANCEL"), 0);
    phone_answer(b, &b->bob, &s.first, 487, "b1", NULL);
    expect(b, &b->bob, "ACK", &got);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 487"), 0);
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
}

/* Both answer at once: both answers go up (RFC 3261 16.7), and the call ends with its last dialog.
 */
static void two_answers(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct request r;
    (void)state;
    call_both(b, &s);
    phone_answer(b, &b->bob, &s.first, 200, "b1", sdp_plain);
    phone_answer(b, &b->bob2, &s.second, 200, "b2", sdp_plain);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 2);
    for (int i = 0; i < 2; i++) {
        expect(b, &b->alice, "SIP/2.0 200", &got);
        r = s.invite;
        r.method = "BYE";
        r.to_tag = i == 0 ? "b2" : "b1";
        r.branch = i == 0 ? "z9hG4bKbye2" : "z9hG4bKbye1";
        r.body = NULL;
        r.cseq = 2;
        phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
        expect(b, i == 0 ? &b->bob2 : &b->bob, "BYE", &got);
        phone_answer(b, i == 0 ? &b->bob2 : &b->bob, &got, 200, r.to_tag, NULL);
        assert_int_equal(workers_calls(b->ws), i == 0 ? 1 : 0);
        if (i == 0) {
            struct got ok;
            expect(b, &b->alice, "SIP/2.0 200", &ok);
        }
    }
    bench_close(b);
}

static void best_refusal(void **state)
{
    static const struct {
        unsigned one, two, up;
    } rows[] = {{486, 404, 486}, {404, 486, 404}, {503, 486, 486}, {486, 603, 603}, {500, 302, 480},
                {480, 484, 484}, {407, 480, 403}, {503, 503, 500}, {401, 401, 403}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = &bench;
        struct scene s;
        struct got got;
        char want[16];
        call_both(b, &s);
        phone_answer(b, &b->bob, &s.first, rows[i].one, "b1", NULL);
        assert_int_equal(b->n_cdr, 0);
        phone_answer(b, &b->bob2, &s.second, rows[i].two, "b2", NULL);
        snprintf(want, sizeof want, "SIP/2.0 %u", rows[i].up);
        expect(b, &b->alice, want, &got);
        assert_null(sip_header(&got.m, SIP_H_WWW_AUTHENTICATE, 0));
        assert_int_equal(b->n_cdr, 1);
        assert_int_equal(b->cdr[0].status, rows[i].up);
        bench_close(b);
    }
}

static void a_6xx_ends_the_others(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    call_both(b, &s);
    phone_answer(b, &b->bob2, &s.second, 180, "b2", NULL);
    phone_answer(b, &b->bob, &s.first, 603, "b1", NULL);
    expect(b, &b->bob2, "CANCEL", &got);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 603"), 0);
    phone_answer(b, &b->bob2, &s.second, 487, "b2", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    expect(b, &b->alice, "SIP/2.0 603", &got);
    bench_close(b);
}

static enum err no_way_to_bob(struct bench *b, const struct sip_flow *to)
{
    return net_eq(&to->remote, &b->bob.flow.remote) ? E_IO : E_OK;
}

static void one_way_is_broken(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    phone_register(b, &b->bob2);
    b->send_hook = no_way_to_bob;
    s.invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s.keep);
    phone_send(b, &b->alice, write_request_text(&s.invite, s.text, sizeof s.text));
    expect(b, &b->bob2, "INVITE", &s.second);
    phone_answer(b, &b->bob2, &s.second, 200, "b2", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    bench_close(b);
}

static void breadth_is_not_enough(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    phone_register(b, &b->bob2);
    s.invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s.keep);
    s.invite.extra = "Max-Breadth: 1\r\n";
    phone_send(b, &b->alice, write_request_text(&s.invite, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->alice, "SIP/2.0 440", &got);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_answer_wins), cmocka_unit_test(two_answers),
        cmocka_unit_test(best_refusal),      cmocka_unit_test(a_6xx_ends_the_others),
        cmocka_unit_test(one_way_is_broken), cmocka_unit_test(breadth_is_not_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
