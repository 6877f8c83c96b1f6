/* 911: from anybody, at any time, by whatever way is left. */
#include "tests/scenario/bench.h"

static struct bench bench;

static const char *const ways[] = {"911", "112", "%39%31%31", "9-1-1"};

static void send_911(struct bench *b, struct phone *p, const char *uri, bool with_proof,
                     struct got *at_psap)
{
    char keep[3][96], text[TEXT_MAX];
    struct request r = invite_of(b, p, uri, keep);
    struct got got;
    write_request_text(&r, text, sizeof text);
    if (with_proof) {
        phone_send(b, p, text);
        expect(b, p, "SIP/2.0 100", &got);
    } else {
        feed(b, &p->flow, text);
        assert_true(take(b, &p->flow.remote, "SIP/2.0 100", &got));
        assert_null(sip_header(&got.m, SIP_H_AUTHENTICATION_INFO, 0));
    }
    expect_peer(b, "127.0.9.9:5060", "INVITE", at_psap);
}

static void from_anybody(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char uri[96];
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < 4; i++) {
        snprintf(uri, sizeof uri, "sip:%s@anywhere.example", ways[i]);
        send_911(b, &b->alice, uri, false, &got);
        assert_true(view_eq(got.m.uri, view_of(uri)));
        assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    }
    send_911(b, &b->alice, "urn:service:sos.fire", false, &got);
    send_911(b, &b->alice, "tel:911", false, &got);
    send_911(b, &b->alice, "sip:911@" DOMAIN, true, &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:" ALICE));
    for (int i = 0; i < 2; i++) { /* by somebody, and by a line: the code hides nobody here */
        send_911(b, &b->alice, "sip:*67911@" DOMAIN, i == 1, &got);
        assert_true(view_starts(got.m.uri, VIEW("sip:911@")));
    }
    assert_true(holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:" ALICE));
    assert_int_equal(counted(b, METER_CHALLENGES), 0);
    assert_int_equal(counted(b, METER_CALLS_EMERGENCY), 9);
    bench_close(b);
}

/* Whatever is wrong with the proof, the call goes through: as that of a stranger. */
static void with_a_bad_proof(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    write_request_text(&r, text, sizeof text);
    n = phone_seal(&b->alice, text, strlen(text), sizeof text, "Proxy-Authorization");
    text[n - 3] ^= 1;
    feed_view(b, &b->alice.flow, view_from(text, n));
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    assert_int_equal(counted(b, METER_AUTH_BAD_MAC), 1);
    /* A BTI that lost count after a restart. */
    b->alice.seq = 100;
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    b->alice.seq = 100;
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    bench_close(b);
}

static void crowded(struct bench *b)
{
    b->set.max_calls = 1;
    b->set.max_transactions = 16;
    b->set.challenge_per_source = 1;
    b->set.unproven_per_source = 1;
    b->set.calls_per_line = 1;
}

static void when_all_is_full_and_draining(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, crowded);
    workers_drain(b->ws);
    b->alice.line = 3; /* as if barred: From does not matter either */
    for (unsigned i = 0; i < 30; i++) {
        send_911(b, &b->alice, "sip:911@" DOMAIN, i % 2 == 0, &got);
    }
    assert_int_equal(workers_calls(b->ws), 30);
    bench_close(b);
}

static void through_a_flooded_limiter(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, crowded);
    for (unsigned i = 0; i < 2000; i++) {
        feed(b, &b->alice.flow, "garbage\r\n\r\n");
    }
    assert_true(counted(b, METER_SOURCE_LIMITED) > 1000);
    forget_sent(b);
    send_911(b, &b->alice, "sip:911@" DOMAIN, false, &got);
    bench_close(b);
}

static void the_next_way(void **state)
{
    struct bench *b = &bench;
    struct got got, psap;
    (void)state;
    bench_open(b, NULL);
    send_911(b, &b->alice, "sip:911@" DOMAIN, false, &psap);
    peer_answer(b, "127.0.9.9:5060", &psap, 503, "x"); /* refuses */
    expect_peer(b, "127.0.9.5:5060", "INVITE", &psap);
    peer_answer(b, "127.0.9.5:5060", &psap, 180, "p");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 180", &got));
    peer_answer(b, "127.0.9.5:5060", &psap, 200, "p");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 200", &got));
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 503"), 0);
    send_911(b, &b->alice, "sip:911@" DOMAIN, false, &psap);
    pass_ms(b, 4100); /* is silent */
    expect_peer(b, "127.0.9.5:5060", "INVITE", &psap);
    peer_answer(b, "127.0.9.5:5060", &psap, 503, "x");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 408", &got)); /* the better of the two */
    assert_int_equal(counted(b, METER_EMERGENCY_FAILED), 1);
    bench_close(b);
}

static enum err nothing_leaves(struct bench *b, const struct sip_flow *to)
{
    return net_eq(&to->remote, &b->alice.flow.remote) ? E_OK : E_IO;
}

static void no_way_at_all(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    b->send_hook = nothing_leaves;
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 503", &got));
    assert_int_equal(counted(b, METER_EMERGENCY_FAILED), 1);
    assert_int_equal(b->n_cdr, 1);
    bench_close(b);
}

/* The stranger's own dialog works without proof, from its address only. */
static void to_the_end(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got, psap;
    (void)state;
    bench_open(b, NULL);
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    r.body = sdp_keys; /* no TLS, and it goes through all the same */
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.9.9:5060", "INVITE", &psap);
    assert_true(holds(&psap.m, "a=crypto"));
    peer_answer(b, "127.0.9.9:5060", &psap, 200, "p");
    r.to_tag = "p";
    r.method = "ACK";
    r.branch = "z9hG4bKa";
    r.body = NULL;
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.9.9:5060", "ACK", &got);
    r.method = "BYE";
    r.branch = "z9hG4bKb";
    r.cseq = 2;
    forget_sent(b);
    feed(b, &b->bob.flow, write_request_text(&r, text, sizeof text)); /* another address */
    assert_int_equal(count_to(b, &psap.to.remote, "BYE"), 0);
    assert_true(take(b, &b->bob.flow.remote, "SIP/2.0 407", &got));
    feed(b, &b->alice.flow, text);
    expect_peer(b, "127.0.9.9:5060", "BYE", &got);
    peer_answer(b, "127.0.9.9:5060", &got, 200, "p");
    assert_int_equal(b->n_cdr, 1);
    assert_string_equal(b->cdr[0].route, "emergency");
    assert_string_equal(b->cdr[0].end_by, "caller");
    bench_close(b);
}

/* The PSAP calls back, even a barred line. */
static void call_back(void **state)
{
    struct bench *b = &bench;
    struct sip_flow psap = udp("127.0.9.9:5060");
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_make(b, &b->bob2, CAROL, 3, "127.0.9.14:5062", 0x44);
    phone_register(b, &b->bob2);
    feed(b, &psap,
         "INVITE sip:" CAROL "@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP "
         "127.0.9.9:5060;branch=z9hG4bKcb\r\nMax-Forwards: 70\r\nFrom: <sip:psap@127.0.9.9>;tag=p"
         "\r\nTo: <sip:" CAROL "@" DOMAIN ">\r\nCall-ID: cb\r\nCSeq: 1 INVITE\r\n"
         "P-Asserted-Identity: <sip:911@psap>\r\nContact: <sip:psap@127.0.9.9>\r\n"
         "Content-Length: 0\r\n\r\n");
    expect(b, &b->bob2, "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: <sip:911@psap>\r\n"));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_anybody),
        cmocka_unit_test(with_a_bad_proof),
        cmocka_unit_test(when_all_is_full_and_draining),
        cmocka_unit_test(through_a_flooded_limiter),
        cmocka_unit_test(the_next_way),
        cmocka_unit_test(no_way_at_all),
        cmocka_unit_test(to_the_end),
        cmocka_unit_test(call_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
