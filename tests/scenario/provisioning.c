/* 611: to a provisioning server that lives, and on to the next when it does not. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define PS1 "127.0.9.2:5070"
#define PS2 "127.0.9.3:5070"

static void answer_pings(struct bench *b, const char *ps, unsigned status)
{
    struct got got;
    struct net_addr a = addr(ps);
    while (take(b, &a, "OPTIONS", &got)) {
        peer_answer(b, ps, &got, status, "t");
    }
}

static void open_with_servers(struct bench *b)
{
    bench_open(b, NULL);
    b->keep_pings = true;
    pass_ms(b, 10);
    answer_pings(b, PS1, 200);
    answer_pings(b, PS2, 200);
}

static const char *dial_611(struct bench *b, struct got *at_ps)
{
    static char keep[3][96];
    char text[TEXT_MAX];
    struct request r = invite_of(b, &b->alice, "sip:611@" DOMAIN, keep);
    struct got got;
    struct net_addr one = addr(PS1), two = addr(PS2);
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 100", &got));
    if (take(b, &one, "INVITE", at_ps)) {
        return PS1;
    }
    return take(b, &two, "INVITE", at_ps) ? PS2 : NULL;
}

static void setup_and_setup_ack(void **state)
{
    struct bench *b = &bench;
    struct got got, at_ps;
    const char *ps = NULL;
    (void)state;
    open_with_servers(b);
    ps = dial_611(b, &at_ps);
    assert_non_null(ps);
    /* the provisioning server reads the caller's address from the Via below ours */
    assert_true(holds(&at_ps.m, "received=127.0.9.11;rport=5062"));
    assert_null(sip_header(&at_ps.m, SIP_H_AUTHORIZATION, 0));
    peer_answer(b, ps, &at_ps, 183, "pt");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 183", &got));
    assert_null(sip_header(&got.m, SIP_H_AUTHENTICATION_INFO, 0));
    peer_answer(b, ps, &at_ps, 200, "pt");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 200", &got));
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
}

static void fail_over(void **state)
{
    struct bench *b = &bench;
    struct got first, second, got;
    const char *ps = NULL, *other = NULL;
    struct net_addr a;
    (void)state;
    open_with_servers(b);
    ps = dial_611(b, &first);
    other = strcmp(ps, PS1) == 0 ? PS2 : PS1;
    peer_answer(b, ps, &first, 503, "x");
    expect_peer(b, other, "INVITE", &second);
    assert_false(view_eq(first.m.via.branch, second.m.via.branch));
    peer_answer(b, other, &second, 183, "pt");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 183", &got));
    /* one that says nothing at all */
    ps = dial_611(b, &first);
    other = strcmp(ps, PS1) == 0 ? PS2 : PS1;
    a = addr(other);
    pass_ms(b, 2500);
    assert_false(take(b, &a, "INVITE", &got));
    pass_ms(b, 600);
    expect_peer(b, other, "INVITE", &second);
    assert_int_equal(counted(b, METER_FAIL_OVERS), 2);
    /* the first wakes up: it is told that nobody waits for it any more */
    peer_answer(b, ps, &first, 100, "");
    expect_peer(b, ps, "CANCEL", &got);
    peer_answer(b, other, &second, 503, "x");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 408", &got));
    bench_close(b);
}

static void health(void **state)
{
    struct bench *b = &bench;
    struct ps_state s[4];
    struct got got;
    (void)state;
    bench_open(b, NULL);
    b->keep_pings = true;
    assert_int_equal(workers_ps(b->ws, s, 4), 2);
    assert_false(s[0].healthy || s[1].healthy);
    assert_null(dial_611(b, &got));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 503", &got));
    assert_true(holds(&got.m, "Retry-After: 5\r\n"));
    pass_ms(b, 10);
    answer_pings(b, PS1, 200);
    answer_pings(b, PS2, 405);
    assert_int_equal(workers_ps(b->ws, s, 4), 2);
    assert_true(s[0].healthy && s[1].healthy && s[0].last_answer_us > 0);
    for (int i = 0; i < 5; i++) {
        pass_ms(b, 1000);
        answer_pings(b, PS2, 200);
    }
    assert_int_equal(workers_ps(b->ws, s, 4), 2);
    assert_false(s[0].healthy);
    assert_true(s[1].healthy && s[0].missed >= 3);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(dial_611(b, &got), PS2);
    }
    pass_ms(b, 1000);
    answer_pings(b, PS1, 200);
    answer_pings(b, PS2, 503); /* drains */
    assert_int_equal(workers_ps(b->ws, s, 4), 2);
    assert_true(s[0].healthy && !s[1].healthy);
    assert_int_equal(counted(b, METER_PS_HEALTHY), 1);
    bench_close(b);
}

static void forged_health(void **state)
{
    struct bench *b = &bench;
    struct ps_state s[2];
    struct got got;
    struct net_addr a = addr(PS1);
    (void)state;
    bench_open(b, NULL);
    b->keep_pings = true;
    pass_ms(b, 10);
    assert_true(take(b, &a, "OPTIONS", &got));
    peer_answer(b, "127.0.9.66:5070", &got, 200, "t"); /* knows the branch, has another address */
    assert_int_equal(workers_ps(b->ws, s, 2), 2);
    assert_false(s[0].healthy);
    bench_close(b);
}

static void few(struct bench *b)
{
    b->set.unproven_per_source = 3;
    b->set.unproven_total = 5;
}

static void limits_of_strangers(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct got got;
    struct request r;
    (void)state;
    bench_open(b, few);
    b->keep_pings = true;
    pass_ms(b, 10);
    answer_pings(b, PS1, 200);
    for (int i = 0; i < 3; i++) {
        assert_non_null(dial_611(b, &got));
    }
    r = invite_of(b, &b->alice, "sip:611@" DOMAIN, keep);
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 503", &got));
    assert_true(holds(&got.m, "Retry-After: "));
    /* with proof there is no such limit */
    r = invite_of(b, &b->alice, "sip:611@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    b->alice.flow = udp("127.0.9.20:5060"); /* another source, then the node's own bound */
    assert_non_null(dial_611(b, &got));
    assert_non_null(dial_611(b, &got));
    b->alice.flow = udp("127.0.9.21:5060");
    r = invite_of(b, &b->alice, "sip:611@" DOMAIN, keep);
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 503", &got));
    pass_ms(b, 60000);
    answer_pings(b, PS1, 200);
    forget_sent(b);
    assert_non_null(dial_611(b, &got));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setup_and_setup_ack),
        cmocka_unit_test(fail_over),
        cmocka_unit_test(health),
        cmocka_unit_test(forged_health),
        cmocka_unit_test(limits_of_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
