/* RFC 4028 section 8: the proxy asks for session timers, refreshes none, and forgets a call that
 * nobody refreshed. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB "sip:" BOB "@" DOMAIN

struct scene {
    char keep[3][96], text[TEXT_MAX], branch[32];
    struct request r;
    struct got got, at_bob;
};

static void invite(struct bench *b, struct scene *s, const char *extra)
{
    bench_open(b, NULL);
    phone_register(b, &b->alice);
    phone_register(b, &b->bob);
    s->r = invite_of(b, &b->alice, TO_BOB, s->keep);
    s->r.extra = extra;
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
}

static void answer_with(struct bench *b, const struct got *request, const char *extra)
{
    char text[TEXT_MAX], more[512];
    size_t n = 0;
    snprintf(more, sizeof more, "Contact: <%s>\r\n%s", b->bob.contact, extra);
    assert_int_equal(sip_response(&request->m, 200, NULL, VIEW("bt"), NULL, 0, view_of(more),
                                  VIEW(""), VIEW(""), text, sizeof text - 1, &n),
                     E_OK);
    text[n] = 0;
    phone_send(b, &b->bob, text);
}

static void from_alice(struct bench *b, struct scene *s, const char *method, const char *extra)
{
    snprintf(s->branch, sizeof s->branch, "z9hG4bKs%u", ++b->unique);
    s->r.method = method;
    s->r.to_tag = "bt";
    s->r.branch = s->branch;
    s->r.extra = extra;
    s->r.body = NULL;
    s->r.cseq += strcmp(method, "ACK") != 0;
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
}

/* The call with what the two say; got is the 200 as the caller sees it. */
static void talk(struct bench *b, struct scene *s, const char *asks, const char *says)
{
    invite(b, s, asks);
    expect(b, &b->bob, "INVITE", &s->at_bob);
    answer_with(b, &s->at_bob, says);
    expect(b, &b->alice, "SIP/2.0 100", &s->got);
    expect(b, &b->alice, "SIP/2.0 200", &s->got);
    from_alice(b, s, "ACK", NULL);
    expect(b, &b->bob, "ACK", &s->at_bob);
}

/* Section 8.1: inserted, lowered, raised, refused. */
static void requests(void **state)
{
    static const struct {
        const char *asks, *goes_on, *also;
    } rows[] = {
        {NULL, "Session-Expires: 1800\r\n", NULL},
        {"Supported: timer\r\n", "Session-Expires: 1800\r\n", "Supported: timer\r\n"},
        {"Min-SE: 3000\r\n", "Session-Expires: 3000\r\n", "Min-SE: 3000\r\n"},
        {"Session-Expires: 600;refresher=uas\r\n", "Session-Expires: 600;refresher=uas\r\n", NULL},
        {"x: 7200;refresher=uac\r\n", "Session-Expires: 1800;refresher=uac\r\n", NULL},
        {"Session-Expires: 7200\r\nMin-SE: 4000\r\n", "Session-Expires: 4000\r\n", NULL},
        {"Session-Expires: 30\r\n", "Session-Expires: 90\r\n", NULL},
        {"Session-Expires: 100\r\nMin-SE: 300\r\nSupported: timer\r\n", "Session-Expires: 300\r\n",
         "Min-SE: 300\r\n"},
        {"Session-Expires: soon\r\n", "Session-Expires: soon\r\n", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = &bench;
        struct scene s;
        unsigned n = 0;
        invite(b, &s, rows[i].asks);
        expect(b, &b->bob, "INVITE", &s.at_bob);
        assert_true(holds(&s.at_bob.m, rows[i].goes_on));
        assert_true(rows[i].also == NULL || holds(&s.at_bob.m, rows[i].also));
        for (unsigned k = 0; k < s.at_bob.m.n_headers; k++) {
            n += s.at_bob.m.h[k].id == SIP_H_SESSION_EXPIRES;
        }
        assert_int_equal(n, 1);
        bench_close(b);
    }
}

static void long_least(struct bench *b)
{
    b->set.session_min_s = 300;
}

static void too_small_is_422(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    bench_open(b, long_least);
    phone_register(b, &b->bob);
    s.r = invite_of(b, &b->alice, TO_BOB, s.keep);
    s.r.extra = "Session-Expires: 120\r\nSupported: 100rel, timer\r\n";
    phone_send(b, &b->alice, write_request_text(&s.r, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 100", &s.got);
    expect(b, &b->alice, "SIP/2.0 422", &s.got);
    assert_true(holds(&s.got.m, "Min-SE: 300\r\n"));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    assert_int_equal(b->cdr[0].status, 422);
    /* whoever would not understand a 422 gets what it may have (section 8.1) */
    s.r = invite_of(b, &b->alice, TO_BOB, s.keep);
    s.r.extra = "Session-Expires: 120\r\nMin-SE: 100\r\n";
    phone_send(b, &b->alice, write_request_text(&s.r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.got);
    assert_true(holds(&s.got.m, "Session-Expires: 300\r\n"));
    assert_true(holds(&s.got.m, "Min-SE: 300\r\n") && !holds(&s.got.m, "Min-SE: 100"));
    bench_close(b);
}

/* Section 8.2: the first that knows of it tells the caller to refresh. */
static void an_answer_without_it(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    talk(b, &s, "Supported: timer\r\n", "");
    assert_true(holds(&s.got.m, "Session-Expires: 1800;refresher=uac\r\n"));
    assert_true(sip_list_has(&s.got.m, SIP_H_REQUIRE, VIEW("timer")));
    bench_close(b);
}

static void neither_knows_it(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    talk(b, &s, NULL, "");
    assert_null(sip_header(&s.got.m, SIP_H_SESSION_EXPIRES, 0));
    assert_null(sip_header(&s.got.m, SIP_H_REQUIRE, 0));
    pass_ms(b, 4 * 3600 * 1000);
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
}

static void an_answer_with_it(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    talk(b, &s, NULL, "Require: timer\r\nSession-Expires: 400;refresher=uas\r\n");
    assert_true(holds(&s.got.m, "Session-Expires: 400;refresher=uas\r\n"));
    pass_ms(b, 400 * 1000 + 31000);
    assert_int_equal(workers_calls(b->ws), 1);
    pass_ms(b, 2000);
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

/* Section 8.3: the record ends, and no BYE is made here. */
static void nobody_refreshes(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    talk(b, &s, "Supported: timer\r\n", "");
    pass_ms(b, 1800 * 1000 + 33000);
    assert_int_equal(workers_calls(b->ws), 0);
    assert_int_equal(b->n_cdr, 1);
    assert_string_equal(b->cdr[0].end_by, "session_timer");
    assert_int_equal(b->cdr[0].status, 200);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "BYE"), 0);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "BYE"), 0);
    assert_int_equal(counted(b, METER_SESSIONS_EXPIRED), 1);
    bench_close(b);
}

static void refreshed(void **state)
{
    static const char *const methods[] = {"UPDATE", "INVITE"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench *b = &bench;
        struct scene s;
        talk(b, &s, "Supported: timer\r\n", "");
        for (int round = 0; round < 3; round++) {
            pass_ms(b, 1000 * 1000);
            from_alice(b, &s, methods[i],
                       "Supported: timer\r\nSession-Expires: 1800;refresher=uac\r\n");
            expect(b, &b->bob, methods[i], &s.got);
            assert_true(holds(&s.got.m, "Session-Expires: 1800;refresher=uac\r\n"));
            answer_with(b, &s.got, "");
            if (i == 1) {
                expect(b, &b->alice, "SIP/2.0 100", &s.got);
            }
            expect(b, &b->alice, "SIP/2.0 200", &s.got);
            assert_true(holds(&s.got.m, "Session-Expires: 1800;refresher=uac\r\n"));
            if (i == 1) {
                from_alice(b, &s, "ACK", NULL);
                expect(b, &b->bob, "ACK", &s.got);
            }
            forget_sent(b);
        }
        assert_int_equal(workers_calls(b->ws), 1);
        pass_ms(b, 1833 * 1000);
        assert_int_equal(workers_calls(b->ws), 0);
        bench_close(b);
    }
}

/* Emergency and 611 calls depend on nothing new. */
static void not_in_emergency_calls(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    bench_open(b, NULL);
    s.r = invite_of(b, &b->alice, "sip:911@" DOMAIN, s.keep);
    s.r.extra = "Supported: timer\r\nSession-Expires: 10\r\n";
    phone_send(b, &b->alice, write_request_text(&s.r, s.text, sizeof s.text));
    expect_peer(b, "127.0.9.9:5060", "INVITE", &s.got);
    assert_true(holds(&s.got.m, "Session-Expires: 10\r\n"));
    bench_close(b);
}

static void none_of_ours(struct bench *b)
{
    b->set.session_expires_s = 0;
}

static void switched_off(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    bench_open(b, none_of_ours);
    phone_register(b, &b->bob);
    s.r = invite_of(b, &b->alice, TO_BOB, s.keep);
    phone_send(b, &b->alice, write_request_text(&s.r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.got);
    assert_null(sip_header(&s.got.m, SIP_H_SESSION_EXPIRES, 0));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(too_small_is_422),
        cmocka_unit_test(an_answer_without_it),
        cmocka_unit_test(neither_knows_it),
        cmocka_unit_test(an_answer_with_it),
        cmocka_unit_test(nobody_refreshes),
        cmocka_unit_test(refreshed),
        cmocka_unit_test(not_in_emergency_calls),
        cmocka_unit_test(switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
