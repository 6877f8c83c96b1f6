/* Who may say what about himself, and which way nobody can choose. */
#include "tests/scenario/bench.h"

static struct bench bench;

struct attempt {
    const char *uri, *from, *extra, *status;
};

static void attempt(struct bench *b, struct phone *p, const struct attempt *a, struct got *out)
{
    char keep[3][96], text[TEXT_MAX];
    struct request r = invite_of(b, p, a->uri, keep);
    r.from = a->from;
    r.extra = a->extra;
    forget_sent(b);
    phone_send(b, p, write_request_text(&r, text, sizeof text));
    expect(b, p, a->status, out);
}

#define TO_BOB   "sip:" BOB "@" DOMAIN
#define AS_ALICE "sip:" ALICE "@" DOMAIN

static void what_is_refused(void **state)
{
    static const struct attempt rows[] = {
        {TO_BOB, "sip:" BOB "@" DOMAIN, "", "SIP/2.0 403 From is not a number of this line"},
        {TO_BOB, "sip:" ALICE "@evil.test", "", "SIP/2.0 403"},
        {TO_BOB, "sip:alice@" DOMAIN, "", "SIP/2.0 403"},
        {TO_BOB, "sip:911@" DOMAIN, "", "SIP/2.0 403"},
        {TO_BOB, "sip:anonymous@anonymous.invalid", "", "SIP/2.0 403"},
        {"sip:" BOB "@other.test", AS_ALICE, "", "SIP/2.0 404"},
        {"sip:+12125559999@" DOMAIN, AS_ALICE, "", "SIP/2.0 404"},
        {"sip:12@" DOMAIN, AS_ALICE, "", "SIP/2.0 404"},
        {"sip:" DOMAIN, AS_ALICE, "", "SIP/2.0 404"},
        {"mailto:bob@" DOMAIN, AS_ALICE, "", "SIP/2.0 416"},
        {"sip:" CAROL "@" DOMAIN, AS_ALICE, "", "SIP/2.0 480"},
        {TO_BOB, AS_ALICE, "P-Preferred-Identity: <sip:" BOB "@" DOMAIN ">\r\n", "SIP/2.0 403"},
        {TO_BOB, AS_ALICE, "P-Preferred-Identity:\r\n \"x\"  <sip:+19999999999@" DOMAIN ">\r\n",
         "SIP/2.0 403"},
        {TO_BOB, AS_ALICE, "p-preferred-identity: <sip:+12125550111@" DOMAIN ">, <tel:" BOB ">\r\n",
         "SIP/2.0 403"},
        {TO_BOB, AS_ALICE, "Proxy-Require: foo, bar\r\n", "SIP/2.0 420"},
    };
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        attempt(b, &b->alice, &rows[i], &got);
        assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
        if (got.m.status == 420) {
            assert_true(holds(&got.m, "Unsupported: foo, bar\r\n"));
        }
    }
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

static void what_is_allowed(void **state)
{
    static const struct attempt rows[] = {
        {TO_BOB, "sip:2125550101@" DOMAIN, "", "SIP/2.0 100"},
        {TO_BOB, "sip:+1-212-555-0111@" DOMAIN, "", "SIP/2.0 100"}, /* a second number */
        {TO_BOB, "tel:" ALICE, "", "SIP/2.0 100"},
        {"tel:" BOB, AS_ALICE, "", "SIP/2.0 100"},
        {"sip:12125550102@127.0.9.1:5060", "sip:" ALICE "@127.0.9.1", "", "SIP/2.0 100"},
        {TO_BOB, "sip:anonymous@anonymous.invalid", "Privacy: id\r\n", "SIP/2.0 100"},
    };
    struct bench *b = &bench;
    struct got got;
    (void)state;
    b->set.calls_per_line = 0;
    bench_open(b, NULL);
    b->set.calls_per_line = 100;
    phone_register(b, &b->bob);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct got invite;
        attempt(b, &b->alice, &rows[i], &got);
        expect(b, &b->bob, "INVITE", &invite);
        assert_true(holds(&invite.m, "P-Asserted-Identity: ") == !holds(&invite.m, "Privacy: id"));
        if (i == 1) {
            assert_true(holds(&invite.m, "<sip:+12125550111@" DOMAIN ">"));
        }
        phone_answer(b, &b->bob, &invite, 486, "bt", NULL);
    }
    bench_close(b);
}

/* A proven BTI's own claims about trust never pass, neither in requests nor in responses. */
static void claims_are_dropped(void **state)
{
    static const struct attempt a = {
        TO_BOB, AS_ALICE,
        "P-Asserted-Identity: <sip:+19999999999@" DOMAIN ">\r\n"
        "P-Preferred-Identity: <sip:+12125550111@" DOMAIN ">\r\n"
        "Remote-Party-ID: <sip:+19999999999@x>\r\nP-DCS-LAES: 127.0.9.66:1\r\n"
        "Identity: abc;info=<http://x>\r\nDiversion: <sip:+19999999999@x>\r\n"
        "History-Info: <sip:+19999999999@x>;index=1\r\n"
        "P-Charging-Vector: icid-value=1\r\nRoute: <sip:127.0.9.66;lr>\r\n"
        "Authorization: BTI-MAC kid=00, seq=1, mac=00\r\n"
        "Record-Route: <sip:127.0.9.66;lr>\r\nAuthentication-Info: kid=1\r\n",
        "SIP/2.0 100"};
    static const char *const gone[] = {
        "19999999999", "P-Preferred-Identity", "Remote-Party-ID", "P-DCS-",     "Identity: abc",
        "Diversion",   "History-Info",         "P-Charging",      "127.0.9.66", "kid=00"};
    struct bench *b = &bench;
    struct got got, invite;
    char text[TEXT_MAX];
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    attempt(b, &b->alice, &a, &got);
    expect(b, &b->bob, "INVITE", &invite);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        assert_false(holds(&invite.m, gone[i]));
    }
    assert_int_equal(sip_response(&invite.m, 180, NULL, VIEW("bt"), NULL, 0,
                                  VIEW("P-Asserted-Identity: <sip:+19999999999@x>\r\n"
                                       "P-DCS-Billing-Info: 1/2@x\r\n"
                                       "Proxy-Authenticate: Digest realm=\"x\"\r\n"),
                                  VIEW(""), VIEW(""), text, sizeof text - 1, &n),
                     E_OK);
    text[n] = 0;
    phone_send(b, &b->bob, text);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    assert_false(holds(&got.m, "19999999999") || holds(&got.m, "P-DCS-") ||
                 holds(&got.m, "Digest"));
    bench_close(b);
}

static void gateways(void **state)
{
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.9.8:5060");
    struct got got;
    static const char from_gw[] =
        "INVITE sip:%s@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKgw%d\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:+441234@uk>;tag=p\r\nTo: <sip:x@" DOMAIN ">\r\n"
        "Call-ID: gw%d\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:+441234@uk>\r\n%s"
        "P-DCS-Billing-Info: 1/2@x\r\nContact: <sip:g@127.0.9.8>\r\nContent-Length: 0\r\n\r\n";
    char text[TEXT_MAX];
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    /* out: the number at the gateway, with the identity that we vouch for */
    attempt(b, &b->alice,
            &(struct attempt){"sip:011441234567890@" DOMAIN, AS_ALICE, "Privacy: id\r\n",
                              "SIP/2.0 100"},
            &got);
    expect_peer(b, "127.0.9.8:5060", "INVITE sip:+441234567890@127.0.9.8:5060;user=phone", &got);
    assert_true(holds(&got.m, "<sip:" ALICE "@" DOMAIN ">"));
    peer_answer(b, "127.0.9.8:5060", &got, 503, "g");
    expect_peer(b, "127.0.9.7:5060", "INVITE sip:+441234567890@127.0.9.7:5060;user=phone", &got);
    /* in */
    snprintf(text, sizeof text, from_gw, BOB, 1, 1, "");
    feed(b, &gw, text);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: <sip:+441234@uk>\r\n"));
    assert_false(holds(&got.m, "P-DCS-"));
    snprintf(text, sizeof text, from_gw, BOB, 2, 2, "Privacy: user;id\r\n");
    feed(b, &gw, text);
    expect(b, &b->bob, "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    /* no transit */
    forget_sent(b);
    snprintf(text, sizeof text, from_gw, "+441234567890", 3, 3, "");
    feed(b, &gw, text);
    assert_true(take(b, &gw.remote, "SIP/2.0 404", &got));
    /* a stranger with the same words */
    gw = udp("127.0.9.66:5060");
    snprintf(text, sizeof text, from_gw, BOB, 4, 4, "");
    feed(b, &gw, text);
    assert_true(take(b, &gw.remote, "SIP/2.0 407", &got));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    bench_close(b);
}

static void hops_and_loops(void **state)
{
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.9.8:5060");
    struct got got, loop;
    char text[TEXT_MAX];
    char *at = NULL;
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    attempt(b, &b->alice,
            &(struct attempt){"sip:+441234567890@" DOMAIN, AS_ALICE, "", "SIP/2.0 100"}, &got);
    expect_peer(b, "127.0.9.8:5060", "INVITE", &got);
    /* back from the gateway as we once got it: a loop */
    n = (size_t)snprintf(text, sizeof text, "INVITE sip:+441234567890@" DOMAIN " SIP/2.0%.*s",
                         (int)(got.m.raw.n - (size_t)(strstr(got.octets, "\r\n") - got.octets)),
                         strstr(got.octets, "\r\n"));
    feed_view(b, &gw, view_from(text, n));
    assert_true(take(b, &gw.remote, "SIP/2.0 482", &loop));
    /* for another number: a spiral, not a loop */
    memcpy(strstr(text, "+441234567890"), "+12125550102", 12);
    memmove(text + 23, text + 24, n - 24);
    phone_register(b, &b->bob);
    at = strstr(text, "z9hG4bK");
    at[7] ^= 1; /* its own transaction */
    feed_view(b, &gw, view_from(text, n - 1));
    expect(b, &b->bob, "INVITE", &loop);
    /* at the end of its way */
    memcpy(strstr(text, "Max-Forwards: 69"), "Max-Forwards: 00", 16);
    at[8] ^= 1;
    feed_view(b, &gw, view_from(text, n - 1));
    assert_true(take(b, &gw.remote, "SIP/2.0 483", &loop));
    bench_close(b);
}

static void messages_outside_of_calls(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, TO_BOB, keep);
    r.method = "MESSAGE";
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    r.branch = "z9hG4bKm1";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "MESSAGE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: "));
    assert_null(sip_header(&got.m, SIP_H_RECORD_ROUTE, 0));
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    r.from = TO_BOB;
    r.branch = "z9hG4bKm2";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 403", &got);
    r.from = AS_ALICE;
    r.method = "SUBSCRIBE";
    r.branch = "z9hG4bKm3";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "SUBSCRIBE", &got);
    assert_non_null(sip_header(&got.m, SIP_H_RECORD_ROUTE, 0)); /* a dialog comes of it */
    r.method = "OPTIONS";
    r.uri = "sip:" DOMAIN;
    r.branch = "z9hG4bKm4";
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 200", &got));
    assert_non_null(sip_header(&got.m, SIP_H_ALLOW, 0));
    r.method = "BYE";
    r.branch = "z9hG4bKm5";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 481", &got);
    bench_close(b);
}

static void tls(struct phone *p)
{
    p->flow.proto = SIP_TLS;
    p->flow.conn = p->line;
    p->flow.has_kid = true;
    memcpy(p->flow.kid, p->kid, sizeof p->flow.kid);
}

static void keys_for_media(void **state)
{
    static const struct {
        bool alice_tls, bob_tls;
        const char *status;
    } rows[] = {{true, true, "SIP/2.0 100"},
                {true, false, "SIP/2.0 488"},
                {false, true, "SIP/2.0 488"},
                {false, false, "SIP/2.0 488"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct bench *b = &bench;
        char keep[3][96], text[TEXT_MAX];
        struct got got, invite;
        struct request r;
        bench_open(b, NULL);
        if (rows[i].alice_tls) {
            tls(&b->alice);
        }
        if (rows[i].bob_tls) {
            tls(&b->bob);
        }
        phone_register(b, &b->bob);
        r = invite_of(b, &b->alice, TO_BOB, keep);
        r.body = sdp_keys;
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        expect(b, &b->alice, "SIP/2.0 100", &got);
        if (strcmp(rows[i].status, "SIP/2.0 100") != 0) {
            expect(b, &b->alice, rows[i].status, &got);
            assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
        } else {
            expect(b, &b->bob, "INVITE", &invite);
            assert_true(view_eq(invite.m.body, view_of(sdp_keys)));
        }
        /* an answer with keys to a call without TLS: the keys do not go on */
        r = invite_of(b, &b->alice, TO_BOB, keep);
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        expect(b, &b->bob, "INVITE", &invite);
        phone_answer(b, &b->bob, &invite, 200, "bt", sdp_keys);
        do {
            assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 ", &got));
        } while (got.m.status != 200);
        assert_true(holds(&got.m, "a=crypto") == (rows[i].alice_tls && rows[i].bob_tls));
        bench_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused),    cmocka_unit_test(what_is_allowed),
        cmocka_unit_test(claims_are_dropped), cmocka_unit_test(gateways),
        cmocka_unit_test(hops_and_loops),     cmocka_unit_test(messages_outside_of_calls),
        cmocka_unit_test(keys_for_media),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
