/* A TLS connection under the session's PSK proves what comes over it; a MAC that is there is
 * checked all the same. */
#include "tests/scenario/bench.h"

static struct bench bench;

static void over_tls(struct phone *p)
{
    p->flow.proto = SIP_TLS;
    p->flow.local = addr("127.0.9.1:5061");
    p->flow.conn = 7;
    p->flow.has_kid = true;
    memcpy(p->flow.kid, p->kid, sizeof p->flow.kid);
    snprintf(p->contact, sizeof p->contact, "sip:%s@127.0.9.11:5062;transport=tls", p->number);
}

static void call_bob(struct bench *b, const char *extra)
{
    char keep[3][96], text[TEXT_MAX];
    struct request r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);

    r.extra = extra;
    forget_sent(b);
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
}

static void without_a_mac(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    over_tls(&b->alice);
    call_bob(b, "");
    expect(b, &b->bob, "INVITE", &got);
    assert_true(
        holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:" ALICE "@" DOMAIN ">"));
    expect(b, &b->alice, "SIP/2.0 100", &got); /* what we send is sealed on every transport */
    assert_int_equal(counted(b, METER_AUTH_MISSING), 0);
    bench_close(b);
}

static void with_a_mac_that_does_not_hold(void **state)
{
    static const char *const rows[] = {
        /* right kid, wrong digits; somebody else's kid; no MAC at all in the right header */
        "Proxy-Authorization: BTI-MAC kid=11111111111111111111111111111111, seq=1, "
        "mac=0000000000000000000000000000000000000000000000000000000000000000\r\n",
        "Proxy-Authorization: BTI-MAC kid=22222222222222222222222222222222, seq=1, "
        "mac=0000000000000000000000000000000000000000000000000000000000000000\r\n",
        "Proxy-Authorization: BTI-MAC kid=11\r\n",
    };
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    over_tls(&b->alice);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call_bob(b, rows[i]);
        assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
        assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    }
    bench_close(b);
}

/* The same octets over UDP, and over the connection once the session is gone. */
static void nothing_else_proves(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    call_bob(b, "");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    over_tls(&b->alice);
    sessions_drop(b->sessions, b->alice.kid);
    call_bob(b, "");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    bench_close(b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_mac),
        cmocka_unit_test(with_a_mac_that_does_not_hold),
        cmocka_unit_test(nothing_else_proves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
