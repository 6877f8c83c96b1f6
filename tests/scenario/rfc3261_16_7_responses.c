/* RFC 3261 section 16.7, RFC 4320: which response goes up, and what becomes of it on the way. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define ONE   "127.0.9.8:5060" /* the two gateways of +44 */
#define TWO   "127.0.9.7:5060"
#define TO_UK "sip:+442079460000@" DOMAIN

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request invite;
    struct got got, one, two;
};

static void call_out(struct bench *b, struct scene *s)
{
    bench_open(b, NULL);
    s->invite = invite_of(b, &b->alice, TO_UK, s->keep);
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->alice, "SIP/2.0 100", &s->got);
    expect_peer(b, ONE, "INVITE", &s->one);
}

/* A response with a header of its own. */
static void peer_says(struct bench *b, const char *peer, const struct got *request, unsigned status,
                      const char *extra)
{
    char text[TEXT_MAX];
    struct sip_flow flow = udp(peer);
    size_t n = 0;
    assert_int_equal(sip_response(&request->m, status, NULL, VIEW("pt"), NULL, 0, view_of(extra),
                                  VIEW(""), VIEW(""), text, sizeof text, &n),
                     E_OK);
    feed_view(b, &flow, view_from(text, n));
}

static unsigned count_headers(const struct sip_msg *m, enum sip_hdr_id id)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->n_headers; i++) {
        n += m->h[i].id == id;
    }
    return n;
}

static void step_7_challenges_are_merged(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_out(b, &s);
    peer_says(b, ONE, &s.one, 407, "Proxy-Authenticate: Digest realm=\"one\", nonce=\"a\"\r\n");
    expect_peer(b, ONE, "ACK", &s.got);
    expect_peer(b, TWO, "INVITE", &s.two);
    peer_says(b, TWO, &s.two, 401,
              "WWW-Authenticate: Digest realm=\"two\", nonce=\"b\"\r\n"
              "Proxy-Authenticate: Digest realm=\"three\", nonce=\"c\"\r\n");
    expect(b, &b->alice, "SIP/2.0 407", &s.got);
    assert_int_equal(count_headers(&s.got.m, SIP_H_PROXY_AUTHENTICATE), 2);
    assert_int_equal(count_headers(&s.got.m, SIP_H_WWW_AUTHENTICATE), 1);
    assert_true(holds(&s.got.m, "Digest realm=\"one\", nonce=\"a\"\r\n"));
    assert_true(holds(&s.got.m, "WWW-Authenticate: Digest realm=\"two\", nonce=\"b\"\r\n"));
    assert_true(holds(&s.got.m, "Proxy-Authenticate: Digest realm=\"three\", nonce=\"c\"\r\n"));
    bench_close(b);
}

static void step_6_a_challenge_is_preferred(void **state)
{
    static const struct {
        unsigned one, two, up;
    } rows[] = {{503, 407, 407}, {407, 404, 407}, {407, 503, 407}, {401, 603, 603},
                {408, 404, 404}, {503, 503, 500}, {407, 484, 407}, {503, 420, 420}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = &bench;
        struct scene s;
        char want[16];
        call_out(b, &s);
        peer_says(b, ONE, &s.one, rows[i].one, "Proxy-Authenticate: Digest realm=\"one\"\r\n");
        expect_peer(b, TWO, "INVITE", &s.two);
        peer_says(b, TWO, &s.two, rows[i].two, "");
        snprintf(want, sizeof want, "SIP/2.0 %u", rows[i].up);
        expect(b, &b->alice, want, &s.got);
        assert_int_equal(b->cdr[0].status, rows[i].up);
        bench_close(b);
    }
}

/* A gateway may name another one that we know, for the number that was dialled. */
static void step_4_a_gateway_redirects_to_another(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_out(b, &s);
    peer_says(b, ONE, &s.one, 302,
              "Contact: <sip:+442079460000@198.51.100.7>, <sip:+15005550000@127.0.9.9>,"
              " <sip:+442079460000@127.0.9.9:5080;transport=udp>, <sip:+442079460000@" ONE ">\r\n");
    expect_peer(b, ONE, "ACK", &s.got);
    expect_peer(b, TWO, "INVITE", &s.two); /* its turn comes first */
    peer_says(b, TWO, &s.two, 503, "");
    expect_peer(b, "127.0.9.9:5080", "INVITE sip:+442079460000@127.0.9.9:5080;user=phone SIP/2.0",
                &s.one); /* of the contact, its address counts */
    peer_answer(b, "127.0.9.9:5080", &s.one, 200, "p");
    expect(b, &b->alice, "SIP/2.0 200", &s.got);
    bench_close(b);
}

/* Elsewhere, to another number, or without anything: the call is not moved. */
static void step_4_a_redirection_elsewhere_is_not_followed(void **state)
{
    static const char *const contacts[] = {
        "",
        "Contact: <sip:+442079460000@198.51.100.7>\r\n",
        "Contact: <sip:+15005550000@127.0.9.9>\r\n",
        "Contact: <sip:+442079460000@gateway.example>\r\n",
        "Contact: <tel:+442079460000>\r\n",
        "Contact: *\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof contacts / sizeof contacts[0]; i++) {
        struct bench *b = &bench;
        struct scene s;
        call_out(b, &s);
        peer_says(b, ONE, &s.one, 302, contacts[i]);
        expect_peer(b, ONE, "ACK", &s.got);
        expect(b, &b->alice, "SIP/2.0 480", &s.got);
        assert_null(sip_header(&s.got.m, SIP_H_CONTACT, 0));
        bench_close(b);
    }
}

static void step_4_a_phone_does_not_move_a_call(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    s.invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s.keep);
    phone_send(b, &b->alice, write_request_text(&s.invite, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.one);
    phone_answer(b, &b->bob, &s.one, 302, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 480", &s.got);
    assert_null(sip_header(&s.got.m, SIP_H_CONTACT, 0));
    bench_close(b);
}

static void message(struct bench *b, struct scene *s)
{
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    s->invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s->keep);
    s->invite.method = "MESSAGE";
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->bob, "MESSAGE", &s->one);
}

/* RFC 4320 section 4.1: T1 + 2 T1 + 4 T1 after the request, not sooner, and once. */
static void a_slow_non_invite_gets_100(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    message(b, &s);
    pass_ms(b, 3499);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 100"), 0);
    pass_ms(b, 2);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 100"), 1);
    expect(b, &b->alice, "SIP/2.0 100", &s.got);
    pass_ms(b, 8000);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 100"), 1);
    phone_answer(b, &b->bob, &s.one, 200, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 200", &s.got);
    pass_ms(b, 8000);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 "), 2);
    bench_close(b);
}

static void a_quick_non_invite_gets_none(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    message(b, &s);
    phone_answer(b, &b->bob, &s.one, 200, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 200", &s.got);
    pass_ms(b, 10000);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 "), 1);
    bench_close(b);
}

/* RFC 4320 section 4.2: nobody waits for a 408 of a non-INVITE any more when it could come. */
static void a_lost_non_invite_gets_no_408(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    message(b, &s);
    pass_ms(b, 64 * 500 + 100);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 1"), 1);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 4"), 0);
    bench_close(b);
}

/* Step 5: each 2xx of an INVITE goes up, copies too; a provisional response of a non-INVITE none.
 */
static void step_5_each_2xx_goes_up(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_out(b, &s);
    for (unsigned i = 1; i <= 3; i++) {
        peer_answer(b, ONE, &s.one, 200, "p");
        assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), i);
        pass_ms(b, 500);
    }
    bench_close(b);
}

/* Section 16.9: what cannot be sent counts as 503, and the next one is tried. */
static enum err no_way_to_one(struct bench *b, const struct sip_flow *to)
{
    (void)b;
    return to->remote.port == 5060 && to->remote.ip[3] == 8 ? E_IO : E_OK;
}

static void section_9_a_transport_error_is_a_503(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    bench_open(b, NULL);
    b->send_hook = no_way_to_one;
    s.invite = invite_of(b, &b->alice, TO_UK, s.keep);
    phone_send(b, &b->alice, write_request_text(&s.invite, s.text, sizeof s.text));
    expect_peer(b, TWO, "INVITE", &s.two);
    peer_says(b, TWO, &s.two, 404, "");
    expect(b, &b->alice, "SIP/2.0 100", &s.got);
    expect(b, &b->alice, "SIP/2.0 404", &s.got);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_4_a_gateway_redirects_to_another),
        cmocka_unit_test(step_4_a_redirection_elsewhere_is_not_followed),
        cmocka_unit_test(step_4_a_phone_does_not_move_a_call),
        cmocka_unit_test(step_5_each_2xx_goes_up),
        cmocka_unit_test(step_6_a_challenge_is_preferred),
        cmocka_unit_test(step_7_challenges_are_merged),
        cmocka_unit_test(section_9_a_transport_error_is_a_503),
        cmocka_unit_test(a_slow_non_invite_gets_100),
        cmocka_unit_test(a_quick_non_invite_gets_none),
        cmocka_unit_test(a_lost_non_invite_gets_no_408),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
