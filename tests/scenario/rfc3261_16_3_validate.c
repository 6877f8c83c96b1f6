/* RFC 3261 section 16.3: what a request must be before it is forwarded; and requests for us. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB "sip:" BOB "@" DOMAIN

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
};

static void open_with_bob(struct bench *b, struct scene *s, const char *method, const char *uri)
{
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    s->r = invite_of(b, &b->alice, uri, s->keep);
    s->r.method = method;
    s->r.body = NULL;
}

static void say(struct bench *b, struct scene *s, const char *branch)
{
    s->r.branch = branch;
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
}

/* The text with its Max-Forwards: 70 made into another. */
static void say_with_hops(struct bench *b, struct scene *s, const char *branch, const char *hops)
{
    char *at = NULL;
    s->r.branch = branch;
    write_request_text(&s->r, s->text, sizeof s->text);
    at = strstr(s->text, "Max-Forwards: 70");
    assert_true(strlen(hops) <= 2);
    memcpy(at + 14, "  ", 2);
    memcpy(at + 14, hops, strlen(hops));
    phone_send(b, &b->alice, s->text);
}

static void unknown_methods_and_headers_pass(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_with_bob(b, &s, "FROBNICATE", TO_BOB);
    s.r.extra = "X-Unheard: of <this;\r\n";
    say(b, &s, "z9hG4bKu1");
    expect(b, &b->bob, "FROBNICATE", &s.got);
    assert_true(holds(&s.got.m, "X-Unheard: of <this;\r\n"));
    phone_answer(b, &b->bob, &s.got, 501, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 501", &s.got);
    bench_close(b);
}

static void unknown_scheme_is_416(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_with_bob(b, &s, "MESSAGE", "nobodyknows:this");
    s.r.to = TO_BOB;
    say(b, &s, "z9hG4bKu2");
    expect(b, &b->alice, "SIP/2.0 416", &s.got);
    bench_close(b);
}

static void the_last_hop_is_483(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_with_bob(b, &s, "MESSAGE", TO_BOB);
    say_with_hops(b, &s, "z9hG4bKh1", "0");
    expect(b, &b->alice, "SIP/2.0 483", &s.got);
    say_with_hops(b, &s, "z9hG4bKh2", "1");
    expect(b, &b->bob, "MESSAGE", &s.got);
    assert_true(holds(&s.got.m, "Max-Forwards: 0"));
    bench_close(b);
}

static void options_end_here(struct bench *b, struct scene *s)
{
    expect(b, &b->alice, "SIP/2.0 200", &s->got);
    assert_non_null(sip_header(&s->got.m, SIP_H_ALLOW, 0));
    assert_true(holds(&s->got.m, "Accept: application/sdp\r\n"));
    assert_true(sip_list_has(&s->got.m, SIP_H_SUPPORTED, VIEW("timer")));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "OPTIONS"), 0);
}

/* Section 11: OPTIONS for us, and those that may go no further. */
static void options_to_us_are_answered(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_with_bob(b, &s, "OPTIONS", "sip:" DOMAIN);
    say(b, &s, "z9hG4bKo1");
    options_end_here(b, &s);
    say_with_hops(b, &s, "z9hG4bKo2", "0");
    options_end_here(b, &s);
    s.r.uri = TO_BOB;
    say_with_hops(b, &s, "z9hG4bKo3", "0");
    options_end_here(b, &s);
    say(b, &s, "z9hG4bKo4");
    expect(b, &b->bob, "OPTIONS", &s.got);
    bench_close(b);
}

static void require_counts_only_when_we_are_meant(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_with_bob(b, &s, "OPTIONS", "sip:" DOMAIN);
    s.r.extra = "Require: teleport, 100rel\r\n";
    say(b, &s, "z9hG4bKq1");
    expect(b, &b->alice, "SIP/2.0 420", &s.got);
    assert_true(holds(&s.got.m, "Unsupported: teleport, 100rel\r\n"));
    s.r.uri = TO_BOB;
    say(b, &s, "z9hG4bKq2");
    expect(b, &b->bob, "OPTIONS", &s.got);
    assert_true(holds(&s.got.m, "Require: teleport, 100rel\r\n"));
    bench_close(b);
}

static void proxy_require_is_420(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_with_bob(b, &s, "INVITE", TO_BOB);
    s.r.extra = "Proxy-Require: teleport\r\n";
    say(b, &s, "z9hG4bKp1");
    expect(b, &b->alice, "SIP/2.0 420", &s.got);
    assert_true(holds(&s.got.m, "Unsupported: teleport\r\n"));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    bench_close(b);
}

/* Comes back to us as we sent it: a loop. With another Request-URI: a spiral, which is none. */
static void a_loop_is_482(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct sip_flow peer = udp("127.0.9.8:5060");
    char text[TEXT_MAX];
    const char *rest = NULL;
    int n = 0;
    (void)state;
    open_with_bob(b, &s, "INVITE", "sip:+442079460000@" DOMAIN);
    say(b, &s, "z9hG4bKl1");
    expect_peer(b, "127.0.9.8:5060", "INVITE ", &s.got);
    rest = strstr(s.got.octets, "Via: ");
    n = snprintf(text, sizeof text,
                 "INVITE sip:+442079460000@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP "
                 "127.0.9.8;branch=z9hG4bKback\r\n%.*s",
                 (int)(s.got.m.raw.n - (size_t)(rest - s.got.octets)), rest);
    assert_true(n > 0 && (size_t)n < sizeof text);
    feed(b, &peer, text);
    expect_peer(b, "127.0.9.8:5060", "SIP/2.0 482", &s.got);
    bench_close(b);
}

static void a_spiral_goes_on(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct sip_flow peer = udp("127.0.9.8:5060");
    char text[TEXT_MAX];
    const char *rest = NULL;
    int n = 0;
    (void)state;
    open_with_bob(b, &s, "MESSAGE", TO_BOB);
    say(b, &s, "z9hG4bKl2");
    expect(b, &b->bob, "MESSAGE ", &s.got);
    rest = strstr(s.got.octets, "Via: ");
    n = snprintf(text, sizeof text,
                 "MESSAGE sip:+12125550111@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP "
                 "127.0.9.8;branch=z9hG4bKback\r\n%.*s",
                 (int)(s.got.m.raw.n - (size_t)(rest - s.got.octets)), rest);
    assert_true(n > 0 && (size_t)n < sizeof text);
    phone_register(b, &b->alice);
    feed(b, &peer, text);
    expect(b, &b->alice, "MESSAGE ", &s.got);
    bench_close(b);
}

/* Section 22: proof first, whatever else is wrong; nobody without it learns what dialogs there are.
 */
static void proof_comes_before_481(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    static const char *const methods[] = {"BYE", "PRACK", "UPDATE", "INFO", "SUBSCRIBE"};
    (void)state;
    open_with_bob(b, &s, "BYE", TO_BOB);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        char branch[3][32];
        s.r.method = methods[i];
        for (int j = 0; j < 3; j++) {
            snprintf(branch[j], sizeof branch[j], "z9hG4bKb%zu-%d", i, j);
        }
        s.r.branch = branch[0];
        s.r.to_tag = "nobody";
        feed(b, &b->alice.flow, write_request_text(&s.r, s.text, sizeof s.text));
        assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &s.got));
        say(b, &s, branch[1]);
        expect(b, &b->alice, "SIP/2.0 481", &s.got);
        s.r.to_tag = NULL;
        s.r.branch = branch[2];
        feed(b, &b->alice.flow, write_request_text(&s.r, s.text, sizeof s.text));
        assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &s.got));
    }
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_methods_and_headers_pass),
        cmocka_unit_test(unknown_scheme_is_416),
        cmocka_unit_test(the_last_hop_is_483),
        cmocka_unit_test(options_to_us_are_answered),
        cmocka_unit_test(require_counts_only_when_we_are_meant),
        cmocka_unit_test(proxy_require_is_420),
        cmocka_unit_test(a_loop_is_482),
        cmocka_unit_test(a_spiral_goes_on),
        cmocka_unit_test(proof_comes_before_481),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
