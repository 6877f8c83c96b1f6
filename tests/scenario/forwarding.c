/* Calls that the called line's own service record sends on (docs/identity.md, "Called number and
 * forwarding"): when, to where, and when not. */
#include "tests/scenario/forward_world.h"

/* ---- always ------------------------------------------------------------------------------------
 */
static void always_to_a_line(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_ALWAYS, DAVE);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    alice_calls(b, "5550102", &k); /* seven digits: bob */
    expect(b, &dave, "INVITE", &invite);
    assert_int_equal(reached(b, "127.0.9.12:5063"), 0); /* bob's phone does not ring */
    assert_null(sip_header(&invite.m, SIP_H_HISTORY_INFO, 0));
    assert_null(sip_header(&invite.m, SIP_H_DIVERSION, 0));
    assert_null(sip_header(&invite.m, SIP_H_P_DCS, 0));
    assert_true(holds(&invite.m, "To: <sip:5550102@" DOMAIN ">\r\n"));
    phone_answer(b, &dave, &invite, 200, "d", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    workers_free(b->ws); /* writes what is left */
    b->ws = NULL;
    expect_cdr(b, 200, DAVE, BOB, 4);
    assert_string_equal(b->cdr[0].called, "5550102"); /* the digits under the MAC */
    assert_string_equal(b->cdr[0].route, "local");
    bench_close(b);
}

static void always_to_a_trunk(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got first, second, got;
    (void)state;
    forward(B, FORWARD_ALWAYS, ELSE);
    publish(b);
    phone_register(b, &b->bob);
    alice_calls(b, BOB, &k);
    expect_peer(b, INSIDE, "INVITE sip:" ELSE "@127.0.7.1:5080;user=phone SIP/2.0", &first);
    assert_true(holds(&first.m,
                      "History-Info: <sip:" BOB "@" DOMAIN ";user=phone>;index=1, <sip:" ELSE
                      "@" DOMAIN ";user=phone;cause=302>;index=1.1;mp=1\r\n"));
    assert_true(holds(&first.m, "Diversion: <sip:" BOB "@" DOMAIN ";user=phone>"
                                ";reason=unconditional;counter=1;privacy=off;screen=yes\r\n"));
    assert_true(holds(&first.m, "P-DCS-Redirect: \"tel:" BOB "\";redirector-uri=\"tel:" BOB
                                "\";count=1\r\n"));
    peer_answer(b, INSIDE, &first, 503, "x"); /* fails over as a call that was dialled */
    expect_peer(b, SPARE, "INVITE sip:" ELSE "@", &second);
    assert_true(holds(&second.m, "History-Info: <sip:" BOB));
    peer_answer(b, SPARE, &second, 486, "y");
    expect(b, &b->alice, "SIP/2.0 486", &got);
    expect_cdr(b, 486, ELSE, BOB, 0);
    assert_string_equal(b->cdr[0].called, BOB);
    assert_string_equal(b->cdr[0].route, "uk");
    bench_close(b);
}

/* ---- busy, no answer, nobody there -------------------------------------------------------------
 */
static void busy(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_BUSY, DAVE);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
    phone_answer(b, &b->bob, &invite, 486, "b", NULL);
    expect(b, &b->bob, "ACK", &got);
    expect(b, &dave, "INVITE", &invite);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 486"), 0);
    phone_answer(b, &dave, &invite, 180, "d", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    phone_answer(b, &dave, &invite, 404, "d", NULL); /* what counts is said where the call is now */
    expect(b, &b->alice, "SIP/2.0 404", &got);
    expect_cdr(b, 404, DAVE, BOB, 4);
    bench_close(b);
}

/* A 6xx is the callee's last word, and a refusal of the message says nothing of the line. */
static void other_refusals_stay(void **state)
{
    static const unsigned rows[] = {600, 603, 488, 403, 500};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = world();
        struct dialled_call k;
        struct got invite, got;
        char want[16];
        forward(B, FORWARD_BUSY, DAVE);
        forward(B, FORWARD_NO_ANSWER, DAVE);
        publish(b);
        phone_register(b, &b->bob);
        phone_register(b, &dave);
        alice_calls(b, BOB, &k);
        expect(b, &b->bob, "INVITE", &invite);
        phone_answer(b, &b->bob, &invite, rows[i], "b", NULL);
        snprintf(want, sizeof want, "SIP/2.0 %u", rows[i]);
        expect(b, &b->alice, want, &got);
        assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
        expect_cdr(b, rows[i], BOB, "", 2);
        bench_close(b);
    }
}

static void no_answer(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, cancel, got;
    (void)state;
    forward(B, FORWARD_NO_ANSWER, DAVE);
    lines[B].no_answer_s = 7;
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    assert_true(holds(&invite.m, "Max-Breadth: 30\r\n")); /* the other half is for dave */
    phone_answer(b, &b->bob, &invite, 180, "b", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    pass_ms(b, 6900);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
    pass_ms(b, 200);
    expect(b, &b->bob, "CANCEL", &cancel);
    assert_true(holds(&cancel.m, "Reason: SIP;cause=408;text=\"Nobody answered\"\r\n"));
    expect(b, &dave, "INVITE", &got); /* at once: bob's phone may be long in ending */
    phone_answer(b, &b->bob, &invite, 487, "b", NULL);
    assert_int_equal(b->n_cdr, 0);
    phone_answer(b, &b->bob, &invite, 180, "b", NULL); /* late: not for the caller */
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 180"), 1);
    phone_answer(b, &dave, &got, 200, "d", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &invite);
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
    expect_cdr(b, 200, DAVE, BOB, 4);
}

/* 20 s are the rule for a line that says nothing; a phone that takes no message counts as well. */
static void nobody_is_there(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_NO_ANSWER, DAVE);
    publish(b);
    phone_register(b, &dave);
    alice_calls(b, BOB, &k); /* bob has no phone */
    expect(b, &dave, "INVITE", &invite);
    phone_answer(b, &dave, &invite, 404, "d", NULL);
    phone_register(b, &b->bob);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite); /* and keeps silent */
    pass_ms(b, 19900);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 1);
    pass_ms(b, 200);
    expect(b, &dave, "INVITE", &got);
    forget_sent(b);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    phone_answer(b, &b->bob, &invite, 480, "b", NULL); /* do not disturb */
    expect(b, &dave, "INVITE", &got);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    phone_answer(b, &b->bob, &invite, 302, "b", NULL); /* no phone moves a call: as 480 */
    expect(b, &dave, "INVITE", &got);
    bench_close(b);
}

static void several_phones(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got first, second, got;
    (void)state;
    forward(B, FORWARD_BUSY, DAVE);
    forward(B, FORWARD_NO_ANSWER, ERIN);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &b->bob2);
    phone_register(b, &dave);
    phone_register(b, &erin);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &first);
    expect(b, &b->bob2, "INVITE", &second);
    assert_true(holds(&first.m, "Max-Breadth: 20\r\n"));
    phone_answer(b, &b->bob, &first, 486, "b1", NULL);
    phone_answer(b, &b->bob2, &second, 180, "b2", NULL);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0); /* the other one rings */
    pass_ms(b, 20100);
    expect(b, &b->bob2, "CANCEL", &got);
    expect(b, &erin, "INVITE", &got);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &first);
    expect(b, &b->bob2, "INVITE", &second);
    phone_answer(b, &b->bob2, &second, 480, "b2", NULL);
    phone_answer(b, &b->bob, &first, 486, "b1", NULL);
    expect(b, &dave, "INVITE", &got); /* in whatever order they say it */
    bench_close(b);
}

/* ---- chains ------------------------------------------------------------------------------------
 */
static void a_chain(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_ALWAYS, DAVE);
    forward(D, FORWARD_BUSY, ERIN);
    forward(E, FORWARD_NO_ANSWER, ELSE);
    publish(b);
    phone_register(b, &dave);
    phone_register(b, &erin);
    alice_calls(b, BOB, &k);
    expect(b, &dave, "INVITE", &invite);
    phone_answer(b, &dave, &invite, 486, "d", NULL);
    expect(b, &erin, "INVITE", &invite);
    phone_answer(b, &erin, &invite, 180, "e", NULL);
    pass_ms(b, 20100);
    expect_peer(b, INSIDE, "INVITE", &got);
    assert_true(holds(&got.m,
                      "History-Info: <sip:" BOB "@" DOMAIN ";user=phone>;index=1, "
                      "<sip:" DAVE "@" DOMAIN
                      ";user=phone;cause=302?Reason=SIP%3Bcause%3D486>;index=1.1;mp=1, "
                      "<sip:" ERIN "@" DOMAIN
                      ";user=phone;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1.1;mp=1.1, "
                      "<sip:" ELSE "@" DOMAIN ";user=phone;cause=408>;index=1.1.1.1;mp=1.1.1\r\n"));
    assert_true(holds(&got.m, "Diversion: <sip:" ERIN "@" DOMAIN ";user=phone>;reason=no-answer;"
                              "counter=1;privacy=off;screen=yes, <sip:" DAVE "@" DOMAIN
                              ";user=phone>;reason=user-busy;counter=1;privacy=off;screen=yes, "
                              "<sip:" BOB "@" DOMAIN ";user=phone>;reason=unconditional;"));
    assert_true(holds(&got.m, "P-DCS-Redirect: \"tel:" BOB "\";redirector-uri=\"tel:" ERIN
                              "\";count=3\r\n"));
    peer_answer(b, INSIDE, &got, 200, "x");
    expect(b, &b->alice, "SIP/2.0 200", &invite);
    bench_close(b);
    expect_cdr(b, 200, ELSE, ERIN, 0);
    assert_string_equal(b->cdr[0].route, "uk");
}

static void in_a_circle(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_ALWAYS, DAVE);
    forward(D, FORWARD_ALWAYS, "+12125550122"); /* bob's other number */
    forward(E, FORWARD_ALWAYS, ALICE);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    phone_register(b, &b->alice);
    phone_register(b, &erin);
    alice_calls(b, BOB, &k);
    expect(b, &b->alice, "SIP/2.0 480", &got);
    expect_cdr(b, 480, DAVE, BOB, 4);
    b->n_cdr = 0;
    alice_calls(b, ERIN, &k); /* back to herself */
    expect(b, &b->alice, "SIP/2.0 480", &got);
    b->n_cdr = 0;
    forward(B, FORWARD_ALWAYS, "");
    forward(B, FORWARD_BUSY, DAVE);
    forward(D, FORWARD_ALWAYS, "");
    forward(D, FORWARD_BUSY, BOB);
    publish(b);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    phone_answer(b, &b->bob, &invite, 486, "b", NULL);
    expect(b, &dave, "INVITE", &invite);
    phone_answer(b, &dave, &invite, 486, "d", NULL);
    expect(b, &b->alice, "SIP/2.0 486", &got); /* what dave said */
    expect_cdr(b, 486, DAVE, BOB, 4);
    assert_int_equal(reached(b, "127.0.9.11:5062"), 0);
    assert_int_equal(counted(b, METER_FORWARDS_REFUSED), 3);
    bench_close(b);
}

/* ---- what a line may not -----------------------------------------------------------------------
 */
static void only_what_the_line_may_dial(void **state)
{
    static const char *const to[] = {BLOCK, SOS, FIXIT, "+8155550000", CAROL};
    (void)state;
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        struct bench *b = world();
        struct dialled_call k;
        struct got invite, got;
        forward(B, FORWARD_ALWAYS, to[i]);
        forward(D, FORWARD_BUSY, to[i]);
        publish(b);
        phone_register(b, &b->bob);
        phone_register(b, &dave);
        alice_calls(b, BOB, &k);
        expect(b, &b->alice, "SIP/2.0 480", &got);
        alice_calls(b, DAVE, &k);
        expect(b, &dave, "INVITE", &invite);
        phone_answer(b, &dave, &invite, 486, "d", NULL);
        expect(b, &b->alice, "SIP/2.0 486", &got);
        assert_int_equal(reached(b, INSIDE) + reached(b, PSAP) + reached(b, "127.0.9.9:5060") +
                             reached(b, "127.0.9.2:5070") + reached(b, "127.0.9.12:5063"),
                         0);
        bench_close(b);
    }
}

static void a_barred_line_forwards_nothing(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got got;
    (void)state;
    forward(C, FORWARD_ALWAYS, DAVE);
    forward(C, FORWARD_NO_ANSWER, DAVE);
    publish(b);
    phone_register(b, &dave);
    alice_calls(b, CAROL, &k);
    expect(b, &b->alice, "SIP/2.0 480", &got);
    forward(B, FORWARD_NO_ANSWER, DAVE);
    publish(b);
    phone_register(b, &b->bob);
    alice_calls(b, BOB, &k);
    lines[B].barred = true; /* while it rings */
    publish(b);
    pass_ms(b, 21000);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
    bench_close(b);
}

/* The phones ring on when the number cannot be reached; and a line has only so many calls. */
static void it_rings_on(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_NO_ANSWER, BLOCK);
    publish(b);
    phone_register(b, &b->bob);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &invite);
    phone_answer(b, &b->bob, &invite, 180, "b", NULL);
    pass_ms(b, 25000);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "CANCEL"), 0);
    phone_answer(b, &b->bob, &invite, 200, "b", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    bench_close(b);
    expect_cdr(b, 200, BOB, "", 2);
}

static void tune_calls(struct bench *b)
{
    b->set.calls_per_line = 1;
}

static void it_counts_as_a_call_of_the_line(void **state)
{
    struct bench *b = &bench;
    struct dialled_call k;
    struct sip_flow peer;
    struct got bobs, got;
    char text[TEXT_MAX];
    (void)state;
    rows_reset();
    bench_open(b, tune_calls);
    forward(B, FORWARD_ALWAYS, OTHER);
    publish(b);
    alice_calls(b, BOB, &k);
    expect_peer(b, OUTSIDE, "INVITE", &bobs);
    peer_answer(b, OUTSIDE, &bobs, 180, "x");
    peer = udp(INSIDE);
    feed(b, &peer,
         write_request_text(&(struct request){.method = "INVITE",
                                              .uri = "sip:" BOB "@" DOMAIN,
                                              .from = "sip:+442071112222@peer.test",
                                              .to = "sip:" BOB "@" DOMAIN,
                                              .from_tag = "pt",
                                              .call_id = "second",
                                              .branch = "z9hG4bKsecond",
                                              .via = INSIDE,
                                              .contact = "sip:p@" INSIDE,
                                              .cseq = 1},
                            text, sizeof text));
    expect_peer(b, INSIDE, "SIP/2.0 480", &got);
    alice_cancels(b, &k);
    expect_peer(b, OUTSIDE, "CANCEL", &got);
    bench_close(b);
}

/* ---- what crosses ------------------------------------------------------------------------------
 */
static void no_answer_begins(struct bench *b, struct dialled_call *k, struct got *bobs,
                             struct got *next)
{
    forward(B, FORWARD_NO_ANSWER, ELSE);
    publish(b);
    phone_register(b, &b->bob);
    alice_calls(b, BOB, k);
    expect(b, &b->bob, "INVITE", bobs);
    phone_answer(b, &b->bob, bobs, 180, "b", NULL);
    pass_ms(b, 20100);
    expect_peer(b, INSIDE, "INVITE", next);
}

static void an_answer_crosses_the_timer(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got bobs, next, got;
    struct net_addr inside = addr(INSIDE);
    (void)state;
    no_answer_begins(b, &k, &bobs, &next);
    phone_answer(b, &b->bob, &bobs, 200, "b", sdp_plain); /* before the CANCEL reached it */
    expect(b, &b->alice, "SIP/2.0 180", &got);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    peer_answer(b, INSIDE, &next, 180, "x");
    assert_true(take(b, &inside, "CANCEL", &got));
    peer_answer(b, INSIDE, &next, 487, "x");
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 487"), 0);
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
    expect_cdr(b, 200, BOB, "", 2);
    assert_string_equal(b->cdr[0].route, "local");
}

/* The trunk was quicker: bob's answer is taken down again. */
static void an_answer_comes_too_late(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got bobs, next, got;
    (void)state;
    no_answer_begins(b, &k, &bobs, &next);
    peer_answer(b, INSIDE, &next, 486, "x");
    expect(b, &b->alice, "SIP/2.0 486", &got);
    phone_answer(b, &b->bob, &bobs, 200, "b", sdp_plain);
    expect(b, &b->bob, "ACK", &got);
    expect(b, &b->bob, "BYE", &got);
    expect_cdr(b, 486, ELSE, BOB, 0);
    bench_close(b);
}

static void a_cancel_while_it_goes_on(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got bobs, next, got;
    (void)state;
    no_answer_begins(b, &k, &bobs, &next);
    peer_answer(b, INSIDE, &next, 180, "x");
    alice_cancels(b, &k);
    expect_peer(b, INSIDE, "CANCEL", &got);
    peer_answer(b, INSIDE, &next, 487, "x");
    expect(b, &b->alice, "SIP/2.0 487", &got);
    expect_cdr(b, 487, ELSE, BOB, 0);
    bench_close(b);

    b = world(); /* and when the phone says busy after it */
    forward(B, FORWARD_BUSY, DAVE);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    alice_calls(b, BOB, &k);
    expect(b, &b->bob, "INVITE", &bobs);
    alice_cancels(b, &k);
    phone_answer(b, &b->bob, &bobs, 486, "b", NULL);
    expect(b, &b->alice, "SIP/2.0 486", &got);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
    bench_close(b);
}

static void without_breadth_one_after_the_other(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got bobs, got;
    (void)state;
    forward(B, FORWARD_NO_ANSWER, DAVE);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    k.r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, k.keep);
    k.r.extra = "Max-Breadth: 1\r\n";
    phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
    expect(b, &b->bob, "INVITE", &bobs);
    assert_true(holds(&bobs.m, "Max-Breadth: 1\r\n"));
    phone_answer(b, &b->bob, &bobs, 180, "b", NULL);
    pass_ms(b, 20100);
    expect(b, &b->bob, "CANCEL", &got);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
    phone_answer(b, &b->bob, &bobs, 487, "b", NULL);
    expect(b, &dave, "INVITE", &got);
    assert_true(holds(&got.m, "Max-Breadth: 1\r\n"));
    bench_close(b);
}

/* ---- around it ---------------------------------------------------------------------------------
 */
/* RFC 7090: who calls back from a PSAP wants these very people. */
static void a_call_back_is_not_forwarded(void **state)
{
    struct bench *b = world();
    struct got invite, got;
    (void)state;
    forward(B, FORWARD_ALWAYS, DAVE);
    forward(B, FORWARD_BUSY, DAVE);
    publish(b);
    phone_register(b, &b->bob);
    phone_register(b, &dave);
    peer_calls(b, PSAP, "Priority: psap-callback\r\n");
    expect(b, &b->bob, "INVITE", &invite);
    phone_answer(b, &b->bob, &invite, 486, "b", NULL);
    expect_peer(b, PSAP, "SIP/2.0 486", &got);
    peer_calls(b, INSIDE, "Priority: psap-callback\r\n"); /* which is no PSAP */
    expect(b, &dave, "INVITE", &invite);
    assert_int_equal(reached(b, "127.0.9.12:5063"), 1);
    bench_close(b);
}

/* A trunk's channels are taken by the call that goes there, and given back with it. */
static void channels(void **state)
{
    struct bench *b = world();
    struct dialled_call k[3];
    struct got got, invite;
    (void)state;
    forward(B, FORWARD_BUSY, ELSE);
    publish(b);
    phone_register(b, &b->bob);
    for (unsigned i = 0; i < 3; i++) {
        alice_calls(b, BOB, &k[i]);
        expect(b, &b->bob, "INVITE", &invite);
        phone_answer(b, &b->bob, &invite, 486, "b", NULL);
        expect_peer(b, i < 2 ? INSIDE : SPARE, "INVITE", &got); /* it has two */
    }
    alice_cancels(b, &k[0]);
    pass_ms(b, 33000); /* nobody ends anything: the transactions do */
    bench_close(b);
}

/* Whoever sends it on: a line that takes no anonymous calls takes none (*77). */
static void to_a_line_without_anonymous_calls(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got got;
    (void)state;
    forward(B, FORWARD_ALWAYS, DAVE);
    lines[D].services |= LINE_REJECTS_ANONYMOUS;
    publish(b);
    phone_register(b, &dave);
    k.r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, k.keep);
    k.r.extra = "Privacy: id\r\n";
    phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
    expect(b, &b->alice, "SIP/2.0 433", &got);
    assert_int_equal(reached(b, "127.0.9.14:5066"), 0);
    forget_sent(b);
    alice_calls(b, BOB, &k);
    expect(b, &dave, "INVITE", &got);
    bench_close(b);
}

/* Keys for media go from TLS to TLS or not at all, wherever the call is sent on to. */
static void media_keys_stay(void **state)
{
    struct bench *b = world();
    struct dialled_call k;
    struct got got;
    (void)state;
    forward(B, FORWARD_ALWAYS, ELSE);
    publish(b);
    k.r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, k.keep);
    k.r.body = sdp_keys;
    phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
    expect(b, &b->alice, "SIP/2.0 488", &got);
    assert_int_equal(reached(b, INSIDE), 0);
    bench_close(b);
}

/* ---- out of memory -----------------------------------------------------------------------------
 */
/* As much as comes about of a call that two lines send on, one at once, one when busy. */
static bool whole_call(struct bench *b)
{
    struct dialled_call k;
    struct got invite, got;
    bool done = false;
    k.r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, k.keep);
    phone_send(b, &b->alice, write_request_text(&k.r, k.text, sizeof k.text));
    if (take(b, &dave.flow.remote, "INVITE", &invite)) {
        phone_answer(b, &dave, &invite, 486, "d", NULL);
        if (take(b, &erin.flow.remote, "INVITE", &invite)) {
            phone_answer(b, &erin, &invite, 486, "e", NULL);
            done = take(b, &b->alice.flow.remote, "SIP/2.0 486", &got);
        }
    }
    forget_sent(b);
    return done;
}

static void every_allocation(void **state)
{
    unsigned n = 0;
    bool failed = true;
    (void)state;
    for (long i = 0; failed; i++) {
        struct bench *b = world();
        forward(B, FORWARD_ALWAYS, DAVE);
        forward(D, FORWARD_BUSY, ERIN);
        forward(E, FORWARD_NO_ANSWER, ELSE);
        publish(b);
        phone_register(b, &dave);
        phone_register(b, &erin);
        mem_fail_at(i);
        (void)whole_call(b);
        pass_ms(b, 300000); /* whatever was left ends by its timers */
        forget_sent(b);
        failed = mem_failed();
        mem_fail_at(-1);
        n += failed;
        assert_int_equal(workers_calls(b->ws), 0);
        assert_true(sip_txn_count(b->w->txns) == 0);
        phone_register(b, &dave);
        phone_register(b, &erin);
        forget_sent(b);
        assert_true(whole_call(b));
        bench_close(b);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(always_to_a_line),
        cmocka_unit_test(always_to_a_trunk),
        cmocka_unit_test(busy),
        cmocka_unit_test(other_refusals_stay),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(nobody_is_there),
        cmocka_unit_test(several_phones),
        cmocka_unit_test(a_chain),
        cmocka_unit_test(in_a_circle),
        cmocka_unit_test(only_what_the_line_may_dial),
        cmocka_unit_test(a_barred_line_forwards_nothing),
        cmocka_unit_test(it_rings_on),
        cmocka_unit_test(it_counts_as_a_call_of_the_line),
        cmocka_unit_test(an_answer_crosses_the_timer),
        cmocka_unit_test(an_answer_comes_too_late),
        cmocka_unit_test(a_cancel_while_it_goes_on),
        cmocka_unit_test(without_breadth_one_after_the_other),
        cmocka_unit_test(a_call_back_is_not_forwarded),
        cmocka_unit_test(channels),
        cmocka_unit_test(to_a_line_without_anonymous_calls),
        cmocka_unit_test(media_keys_stay),
        cmocka_unit_test(every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
