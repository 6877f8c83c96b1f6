/* The called number cannot be moved (docs/identity.md, "Called number and forwarding"): what a
 * BTI, a registration or a peer says never takes a call beyond what its line may do, and the digits
 * under the proof are those that are routed and recorded. */
#include "tests/scenario/forward_world.h"

/* Nothing went to anybody but bob. */
static void nobody_else_is_called(struct bench *b)
{
    static const char *const others[] = {INSIDE,           SPARE,
                                         OUTSIDE,          PSAP,
                                         "127.0.9.8:5060", "127.0.9.9:5060",
                                         "127.0.9.2:5070", "127.0.9.14:5066",
                                         "127.0.6.6:5060"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(reached(b, others[i]), 0);
    }
}

/* ---- what a callee says ------------------------------------------------------------------------
 */
static void a_3xx_of_a_bti_moves_nothing(void **state)
{
    static const unsigned statuses[] = {300, 301, 302, 305, 380};
    static const char *const contacts[] = {"<sip:" ELSE "@127.0.7.1:5080>",
                                           "<sip:" DAVE "@" DOMAIN ">",
                                           "<sip:911@127.0.6.1>",
                                           "<tel:" BLOCK ">",
                                           "<sip:" BOB "@127.0.7.1>",
                                           "<sip:611@" DOMAIN ">",
                                           "<sip:" BOB
                                           "@127.0.6.6?Route=%3Csip:127.0.7.1:5080%3Blr%3E>"};
    (void)state;
    for (size_t i = 0; i < sizeof contacts / sizeof contacts[0]; i++) {
        struct bench *b = world();
        struct dialled_call k;
        struct got invite, got;
        char text[TEXT_MAX], extra[200];
        size_t n = 0;
        phone_register(b, &b->bob);
        phone_register(b, &dave);
        alice_calls(b, BOB, &k);
        expect(b, &b->bob, "INVITE", &invite);
        snprintf(extra, sizeof extra, "Contact: %s\r\nDiversion: <sip:" BOB "@" DOMAIN ">\r\n",
                 contacts[i]);
        assert_int_equal(sip_response(&invite.m, statuses[i % 5], NULL, VIEW("b"), NULL, 0,
                                      view_of(extra), VIEW(""), VIEW(""), text, sizeof text - 1,
                                      &n),
                         E_OK);
        text[n] = 0;
        phone_send(b, &b->bob, text);
        expect(b, &b->alice, "SIP/2.0 480", &got);
        assert_null(sip_header(&got.m, SIP_H_CONTACT, 0)); /* nor is the caller sent there */
        nobody_else_is_called(b);
        expect_cdr(b, 480, BOB, "", 2);
        bench_close(b);
    }
}

/* REFER is only a wish: the call that comes of it is one of whoever makes it, by its own rules.
 * What names the one that asked (Referred-By, Replaces, a claim in History-Info) opens nothing. */
static void a_wish_opens_nothing(void **state)
{
    static const char *const extras[] = {
        "Referred-By: <sip:" BOB "@" DOMAIN ">\r\n", "Replaces: call-1;to-tag=b;from-tag=ft\r\n",
        "History-Info: <sip:" BOB "@" DOMAIN ">;index=1, <sip:" BLOCK "@" DOMAIN
        ">;index=1.1;mp=1\r\n",
        "Diversion: <sip:" BOB "@" DOMAIN ">;reason=unconditional\r\n",
        "P-DCS-Redirect: \"tel:" BOB "\";redirector-uri=\"tel:" BOB "\";count=1\r\n"};
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    char text[TEXT_MAX];
    struct request r;
    (void)state;
    phone_register(b, &b->bob);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    phone_answer(b, &b->bob, &invite, 200, "b", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    r = (struct request){.method = "REFER",
                         .uri = b->alice.contact,
                         .from = "sip:" BOB "@" DOMAIN,
                         .to = "sip:" ALICE "@" DOMAIN,
                         .from_tag = "b",
                         .to_tag = "ft",
                         .call_id = k.r.call_id,
                         .branch = "z9hG4bKrefer",
                         .via = "127.0.9.12:5063",
                         .contact = b->bob.contact,
                         .extra = "Refer-To: <sip:" BLOCK "@" DOMAIN ">\r\n",
                         .cseq = 1};
    phone_send(b, &b->bob, write_request_text(&r, text, sizeof text));
    nobody_else_is_called(b); /* not by us */
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        k.r = invite_of(b, &b->alice, "sip:" BLOCK "@" DOMAIN, k.keep);
        k.r.extra = extras[i];
        phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
        expect(b, &b->alice, "SIP/2.0 403", &got); /* blocked for her */
    }
    nobody_else_is_called(b);
    bench_close(b);
}

/* Contact, Record-Route and To of an answer are where the far end says it is. Of a line's phone
 * none of it counts: its own connection does. */
static void an_answer_moves_nothing(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    struct request r;
    char text[TEXT_MAX], *to = NULL;
    size_t n = 0;
    (void)state;
    phone_register(b, &b->bob);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    assert_int_equal(
        sip_response(&invite.m, 200, NULL, VIEW("b"), NULL, 0,
                     VIEW("Contact: <sip:" ELSE "@127.0.7.1:5080>\r\n"
                          "Record-Route: <sip:127.0.5.1:5060;lr>, <sip:127.0.6.1:5060;lr>\r\n"
                          "P-Asserted-Identity: <sip:" BLOCK "@" DOMAIN ">\r\n"),
                     VIEW("application/sdp"), view_of(sdp_plain), text, sizeof text - 1, &n),
        E_OK);
    text[n] = 0;
    to = strstr(text, "To: <sip:" BOB);
    assert_non_null(to);
    memcpy(to, "To: <sip:" DAVE, strlen("To: <sip:" DAVE)); /* as long */
    phone_send(b, &b->bob, text);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_false(holds(&got.m, BLOCK));
    for (unsigned i = 0; i < 2; i++) {
        r = k.r;
        r.method = i == 0 ? "ACK" : "BYE";
        r.uri = "sip:" ELSE "@127.0.7.1:5080";
        r.extra = "Route: <sip:127.0.5.1:5060;lr>\r\n";
        r.to_tag = "b";
        r.branch = i == 0 ? "z9hG4bKa" : "z9hG4bKb";
        r.body = NULL;
        r.cseq = i + 1;
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        expect(b, &b->bob, r.method, &got); /* his connection, whatever he wrote */
        assert_null(sip_header(&got.m, SIP_H_ROUTE, 0));
    }
    phone_answer(b, &b->bob, &got, 200, "b", NULL);
    nobody_else_is_called(b);
    expect_cdr(b, 200, BOB, "", 2);
    assert_string_equal(b->cdr[0].called, BOB);
    bench_close(b);
}

/* ---- registrations -----------------------------------------------------------------------------
 */
/* Bound is who sends, over the connection that it proved itself on, for the line of its key. */
static void a_registration_binds_its_own_line(void **state)
{
    static const char *const contacts[] = {"sip:" ELSE "@127.0.7.1:5080",
                                           "sip:" DAVE "@127.0.9.14:5066", "sip:911@127.0.6.1"};
    static const char *const aors[] = {"sip:" DAVE "@" DOMAIN, "sip:" ELSE "@" DOMAIN,
                                       "sip:911@" DOMAIN, "sip:" CAROL "@" DOMAIN};
    struct bench *b = world();
    struct dialled_call k;
    struct got got;
    char text[TEXT_MAX];
    struct request r = {.method = "REGISTER",
                        .uri = "sip:" DOMAIN,
                        .from = "sip:" BOB "@" DOMAIN,
                        .from_tag = "rt",
                        .call_id = "steal",
                        .via = "127.0.9.12:5063",
                        .contact = b->bob.contact,
                        .extra = "Expires: 600\r\n"};
    (void)state;
    for (unsigned i = 0; i < sizeof aors / sizeof aors[0]; i++) {
        r.to = aors[i];
        r.branch = (const char *[]){"z9hG4bKs1", "z9hG4bKs2", "z9hG4bKs3", "z9hG4bKs4"}[i];
        r.cseq = i + 1;
        phone_send(b, &b->bob, write_request_text(&r, text, sizeof text));
        expect(b, &b->bob, "SIP/2.0 403", &got);
    }
    alice_calls(b, DAVE, &k);
    expect(b, &b->alice, "SIP/2.0 480", &got); /* nobody is there: not bob */
    for (size_t i = 0; i < sizeof contacts / sizeof contacts[0]; i++) {
        snprintf(b->bob.contact, sizeof b->bob.contact, "%s", contacts[i]);
        forget_sent(b);
        phone_register(b, &b->bob);
        alice_calls(b, BOB, &k);
        expect(b, &b->bob, "INVITE", &got); /* to his own connection */
        phone_answer(b, &b->bob, &got, 486, "b", NULL);
        nobody_else_is_called(b);
    }
    bench_close(b);
}

/* ---- what a peer says --------------------------------------------------------------------------
 */
static void a_peer_redirects_within_the_number(void **state)
{
    static const struct {
        const char *contact;
        unsigned up; /* 0: it is followed to INSIDE */
    } rows[] = {
        {"<sip:" ELSE "@127.0.5.1:5060>", 0}, /* another trunk, the same number */
        {"<sip:" OTHER "@127.0.7.2:5080>", 480}, {"<sip:" BLOCK "@127.0.7.2:5080>", 480},
        {"<sip:911@127.0.6.1:5060>", 480},       {"<sip:" BOB "@" DOMAIN ">", 480},
        {"<sip:" ELSE "@127.0.6.6:5060>", 480},  /* a stranger */
        {"<sip:" ELSE "@127.0.9.12:5063>", 480}, /* bob's phone is no gateway */
        {"<sip:611@127.0.9.2:5070>", 480},       {"<urn:service:sos>", 480},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = world();
        struct dialled_call k;
        struct got invite, got;
        struct sip_flow peer;
        char text[TEXT_MAX], extra[120];
        size_t n = 0;
        phone_register(b, &b->bob);
        alice_calls(b, ELSE, &k);
        expect_peer(b, INSIDE, "INVITE", &invite);
        snprintf(extra, sizeof extra, "Contact: %s\r\n", rows[i].contact);
        assert_int_equal(sip_response(&invite.m, 302, NULL, VIEW("p"), NULL, 0, view_of(extra),
                                      VIEW(""), VIEW(""), text, sizeof text - 1, &n),
                         E_OK);
        text[n] = 0;
        peer = udp(INSIDE);
        feed(b, &peer, text);
        assert_int_equal(reached(b, PSAP) + reached(b, "127.0.6.6:5060") + reached(b, OUTSIDE) +
                             reached(b, "127.0.9.12:5063") + reached(b, "127.0.9.2:5070"),
                         0);
        if (rows[i].up == 0) {
            expect_peer(b, SPARE, "INVITE", &invite); /* the next route's turn comes first */
            peer_answer(b, SPARE, &invite, 503, "s");
            expect_peer(b, OUTSIDE, "INVITE sip:" ELSE "@127.0.5.1:5060;user=phone SIP/2.0\r\n",
                        &got);
        } else {
            expect(b, &b->alice, "SIP/2.0 480", &got);
            expect_cdr(b, 480, ELSE, "", 0);
        }
        bench_close(b);
    }
}

/* Of a call that was sent on, the new number is what the peer was asked for; the old one is none of
 * its business. A trunk that takes no calls is not reached this way either. */
static void a_peer_redirects_what_was_sent_on(void **state)
{
    static const struct {
        const char *contact;
        bool disabled, follows;
    } rows[] = {{"<sip:" BOB "@127.0.5.1:5060>", false, false},
                {"<sip:" ELSE "@127.0.5.1:5060>", false, true},
                {"<sip:" ELSE "@127.0.5.1:5060>", true, false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = world();
        struct dialled_call k;
        struct got invite, got;
        struct sip_flow peer = udp(INSIDE);
        char text[TEXT_MAX], extra[120];
        size_t n = 0;
        forward(B, FORWARD_ALWAYS, ELSE);
        trunks[2].disabled = rows[i].disabled;
        publish(b);
        alice_calls(b, BOB, &k);
        expect_peer(b, INSIDE, "INVITE", &invite);
        snprintf(extra, sizeof extra, "Contact: %s\r\n", rows[i].contact);
        assert_int_equal(sip_response(&invite.m, 302, NULL, VIEW("p"), NULL, 0, view_of(extra),
                                      VIEW(""), VIEW(""), text, sizeof text - 1, &n),
                         E_OK);
        text[n] = 0;
        feed(b, &peer, text);
        if (rows[i].follows) {
            expect_peer(b, SPARE, "INVITE", &invite);
            peer_answer(b, SPARE, &invite, 503, "s");
        }
        assert_int_equal(reached(b, OUTSIDE), rows[i].follows);
        if (rows[i].follows) {
            expect_peer(b, OUTSIDE, "INVITE sip:" ELSE "@", &got);
            assert_true(holds(&got.m, "History-Info: <sip:" BOB "@" DOMAIN));
        }
        bench_close(b);
    }
}

/* ---- the digits --------------------------------------------------------------------------------
 */
/* One octet of the number altered after it was sealed: nothing is dialled, nothing recorded. */
static void digits_are_under_the_mac(void **state)
{
    struct bench *b = world();
    struct request r;
    struct got got;
    char keep[3][96], text[TEXT_MAX], *at = NULL;
    size_t n = 0;
    (void)state;
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    for (unsigned i = 0; i < 2; i++) { /* in the Request-URI, and in To alone */
        r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
        write_request_text(&r, text, sizeof text);
        n = phone_seal(&b->alice, text, strlen(text), sizeof text, "Proxy-Authorization");
        at = strstr(text, i == 0 ? "sip:" BOB : "To: <sip:" BOB);
        at = strstr(at, BOB);
        memcpy(at, DAVE, strlen(DAVE));
        feed_view(b, &b->alice.flow, view_from(text, n));
        assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE") +
                             count_to(b, &dave.flow.remote, "INVITE"),
                         0);
        assert_false(take(b, &b->alice.flow.remote, "SIP/2.0 1", &got));
        assert_int_equal(workers_calls(b->ws), 0);
    }
    assert_int_equal(b->n_cdr, 0);
    bench_close(b);
}

/* What is routed and recorded is the Request-URI's number, whatever else the message names. */
static void only_the_request_uri_counts(void **state)
{
    static const char *const extras[] = {"Route: <sip:" DAVE "@127.0.9.14:5066;lr>\r\n",
                                         "P-Called-Party-ID: <sip:" DAVE "@" DOMAIN ">\r\n",
                                         "P-Asserted-Identity: <sip:" DAVE "@" DOMAIN ">\r\n",
                                         "History-Info: <sip:" DAVE "@" DOMAIN ">;index=1\r\n",
                                         "Target-Dialog: x;local-tag=a;remote-tag=b\r\n",
                                         "X-Called: " DAVE "\r\nRemote-Party-ID: <sip:" DAVE
                                         "@" DOMAIN ">;party=called\r\n"};
    struct bench *b = world();
    struct dialled_call k;
    struct got got;
    (void)state;
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        k.r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, k.keep);
        k.r.to = "sip:" DAVE "@" DOMAIN;
        k.r.extra = extras[i];
        b->n_cdr = 0;
        phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
        expect(b, &b->bob, "INVITE", &got);
        phone_answer(b, &b->bob, &got, 486, "b", NULL);
        expect(b, &b->alice, "SIP/2.0 486", &got);
        expect_cdr(b, 486, BOB, "", 2);
        assert_string_equal(b->cdr[0].called, BOB);
    }
    assert_int_equal(count_to(b, &dave.flow.remote, "INVITE"), 0);
    bench_close(b);
}

/* Parameters of a number (RFC 4694: rn= says where it was ported to) would move it at the next hop:
 * what leaves is the number alone. */
static void no_parameter_moves_it(void **state)
{
    static const char *const uris[] = {"sip:" ELSE ";rn=+19005550000;npdi@" DOMAIN,
                                       "sip:" ELSE "@" DOMAIN ";user=phone;rn=" BLOCK,
                                       "tel:" ELSE ";rn=+19005550000;npdi",
                                       "sip:" ELSE "@" DOMAIN ";tgrp=x;trunk-context=y",
                                       "sip:" ELSE ":secret@" DOMAIN,
                                       "sip:" ELSE "@" DOMAIN ";maddr=127.0.9.1",
                                       "tel:" ELSE ";isub=12;ext=9;cic=+16789"};
    (void)state;
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct bench *b = world();
        struct dialled_call k;
        struct got got;
        k.r = invite_of(b, &b->alice, uris[i], k.keep);
        k.r.to = "sip:" ELSE "@" DOMAIN;
        phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
        if (reached(b, INSIDE) > 0) {
            expect_peer(b, INSIDE, "INVITE sip:" ELSE "@127.0.7.1:5080;user=phone SIP/2.0\r\n",
                        &got);
            alice_cancels(b, &k);
        } else {
            assert_true(
                take(b, &b->alice.flow.remote, "SIP/2.0 4", &got)); /* or refused as a whole */
        }
        bench_close(b);
        assert_string_equal(b->n_cdr > 0 ? b->cdr[0].routed : ELSE, ELSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_3xx_of_a_bti_moves_nothing),
        cmocka_unit_test(a_wish_opens_nothing),
        cmocka_unit_test(an_answer_moves_nothing),
        cmocka_unit_test(a_registration_binds_its_own_line),
        cmocka_unit_test(a_peer_redirects_within_the_number),
        cmocka_unit_test(a_peer_redirects_what_was_sent_on),
        cmocka_unit_test(digits_are_under_the_mac),
        cmocka_unit_test(only_the_request_uri_counts),
        cmocka_unit_test(no_parameter_moves_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
