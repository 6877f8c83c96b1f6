/* Inside a call: renewals, new sessions and connections, early requests, names, the end by force.
 */
#include "tests/scenario/bench.h"

static struct bench bench;

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request invite;
    struct got at_bob;
};

static void ring(struct bench *b, struct scene *s)
{
    struct got got;
    phone_register(b, &b->bob);
    s->invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s->keep);
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->bob, "INVITE", &s->at_bob);
}

static struct request of_alice(struct scene *s, const char *method, unsigned cseq,
                               const char *branch)
{
    struct request r = s->invite;
    r.method = method;
    r.cseq = cseq;
    r.branch = branch;
    r.to_tag = "bt";
    r.body = NULL;
    return r;
}

static struct request of_bob(struct bench *b, struct scene *s, const char *method, unsigned cseq,
                             const char *branch)
{
    struct request r = of_alice(s, method, cseq, branch);
    r.from = s->invite.to;
    r.from_tag = "bt";
    r.to = s->invite.from;
    r.to_tag = "ft";
    r.via = "127.0.9.12:5063";
    r.contact = b->bob.contact;
    return r;
}

static void talk(struct bench *b, struct scene *s)
{
    struct got got;
    struct request r;
    ring(b, s);
    phone_answer(b, &b->bob, &s->at_bob, 200, "bt", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    r = of_alice(s, "ACK", 1, "z9hG4bKack");
    phone_send(b, &b->alice, write_request_text(&r, s->text, sizeof s->text));
    expect(b, &b->bob, "ACK", &got);
}

static void renewal(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got, again;
    struct request r;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    r = of_bob(b, &s, "INVITE", 7, "z9hG4bKre");
    r.body = sdp_plain;
    r.contact = "sip:" BOB "@127.0.9.12:9999"; /* target refresh */
    phone_send(b, &b->bob, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "SIP/2.0 100", &got);
    expect(b, &b->alice, "INVITE", &again);
    assert_true(view_eq(again.m.uri, view_of(b->alice.contact)));
    assert_null(sip_header(&again.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    phone_answer(b, &b->alice, &again, 200, "ft", sdp_plain);
    expect(b, &b->bob, "SIP/2.0 200", &got);
    r = of_bob(b, &s, "ACK", 7, "z9hG4bKreack");
    phone_send(b, &b->bob, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->alice, "ACK", &got);
    r = of_alice(&s, "BYE", 2, "z9hG4bKbye");
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "BYE", &got);
    assert_true(view_eq(got.m.uri, VIEW("sip:" BOB "@127.0.9.12:9999")));
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    assert_int_equal(b->n_cdr, 1);
    bench_close(b);
}

/* A refused renewal leaves the call as it is; one with media keys and no TLS goes nowhere. */
static void refused_renewals(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct request r;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    r = of_alice(&s, "INVITE", 2, "z9hG4bKre1");
    r.body = sdp_keys;
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->alice, "SIP/2.0 488", &got);
    r = of_alice(&s, "INVITE", 3, "z9hG4bKre2");
    r.body = sdp_plain;
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 491, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->alice, "SIP/2.0 491", &got);
    assert_int_equal(workers_calls(b->ws), 1);
    assert_int_equal(b->n_cdr, 0);
    bench_close(b);
}

static void early_requests(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct request r;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    r = of_alice(&s, "PRACK", 2, "z9hG4bKp0");
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 481", &got); /* nobody has that tag yet */
    phone_answer(b, &b->bob, &s.at_bob, 183, "bt", sdp_plain);
    r = of_alice(&s, "PRACK", 3, "z9hG4bKp1");
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "PRACK", &got);
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    r = of_bob(b, &s, "UPDATE", 1, "z9hG4bKu");
    phone_send(b, &b->bob, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->alice, "UPDATE", &got);
    bench_close(b);
}

static void nobody_becomes_another(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct request r;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    r = of_alice(&s, "UPDATE", 2, "z9hG4bKu1");
    r.from = "sip:+19005550000@" DOMAIN;
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 403", &got);
    r = of_bob(b, &s, "UPDATE", 2, "z9hG4bKu2");
    r.from = "sip:" BOB "@evil.test";
    phone_send(b, &b->bob, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "SIP/2.0 403", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "UPDATE"), 0);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "UPDATE"), 0);
    bench_close(b);
}

/* A BTI that got a new session goes on under it; what goes to it follows. */
static void new_session(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct request r;
    struct phone fresh;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    phone_make(b, &fresh, ALICE, 1, "127.0.9.11:7777", 0x55);
    memcpy(fresh.bti, b->alice.bti, sizeof fresh.bti);
    {
        struct session_record rec = {.line_id = 1,
                                     .created_us = b->clock.wall_us,
                                     .expires_us = b->clock.wall_us + 86400000000u};
        memcpy(rec.kid, fresh.kid, sizeof rec.kid);
        memcpy(rec.bti_id, fresh.bti, sizeof rec.bti_id);
        rec.keys.mac_up = fresh.up;
        rec.keys.mac_down = fresh.down;
        rec.keys.tls_psk = rec.keys.enc_up = rec.keys.enc_down = rec.keys.digest = fresh.up;
        assert_int_equal(sessions_put(b->sessions, &rec), E_OK);
    }
    r = of_alice(&s, "INFO", 2, "z9hG4bKi");
    phone_send(b, &fresh, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INFO", &got);
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    expect(b, &fresh, "SIP/2.0 200", &got);
    r = of_bob(b, &s, "BYE", 1, "z9hG4bKb");
    phone_send(b, &b->bob, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &fresh, "BYE", &got);
    bench_close(b);
}

/* The old session is over and only the registration knows the new one. */
static void by_the_registration(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct request r;
    struct phone fresh;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    phone_make(b, &fresh, BOB, 2, "127.0.9.12:8888", 0x66);
    memcpy(fresh.bti, b->bob.bti, sizeof fresh.bti);
    {
        struct session_record rec = {.line_id = 2,
                                     .created_us = b->clock.wall_us,
                                     .expires_us = b->clock.wall_us + 86400000000u};
        memcpy(rec.kid, fresh.kid, sizeof rec.kid);
        memcpy(rec.bti_id, fresh.bti, sizeof rec.bti_id);
        rec.keys.mac_up = fresh.up;
        rec.keys.mac_down = fresh.down;
        rec.keys.tls_psk = rec.keys.enc_up = rec.keys.enc_down = rec.keys.digest = fresh.up;
        assert_int_equal(sessions_put(b->sessions, &rec), E_OK);
    }
    phone_register(b, &fresh);
    sessions_drop(b->sessions, b->bob.kid);
    r = of_alice(&s, "BYE", 2, "z9hG4bKb");
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &fresh, "BYE", &got);
    phone_answer(b, &fresh, &got, 200, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

static void revoked(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    forget_sent(b);
    sessions_drop(b->sessions, b->alice.kid);
    workers_close_kid(b->ws, b->alice.kid);
    pass_ms(b, 1);
    expect(b, &b->bob, "BYE", &got);
    assert_int_equal(count_to(b, &b->alice.flow.remote, ""), 0); /* nothing could be sealed */
    assert_int_equal(workers_calls(b->ws), 0);
    assert_string_equal(b->cdr[0].end_by, "gate");
    bench_close(b);
}

/* The caller's session ended while it rang: the answer cannot reach it, so the callee is released.
 */
static void answer_without_caller(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    sessions_drop(b->sessions, b->alice.kid);
    phone_answer(b, &b->bob, &s.at_bob, 200, "bt", sdp_plain);
    expect(b, &b->bob, "ACK", &got);
    expect(b, &b->bob, "BYE", &got);
    assert_int_equal(workers_calls(b->ws), 0);
    assert_int_equal(b->cdr[0].status, 502);
    pass_ms(b, 100000);
    assert_int_equal(sip_txn_count(b->w->txns), 0);
    bench_close(b);
}

/* A 2xx of which no dialog can come: its sender is released, and the caller is told. */
static void answers_without_use(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    char text[TEXT_MAX], tag[16], *from, *to;
    enum { NO_TAG, NO_VIA, TOO_MANY, CASES };
    (void)state;
    for (unsigned i = 0; i < CASES; i++) {
        bench_open(b, NULL);
        ring(b, &s);
        for (unsigned k = 0; i == TOO_MANY && k < DIALOGS_MAX; k++) {
            snprintf(tag, sizeof tag, "early%u", k);
            phone_answer(b, &b->bob, &s.at_bob, 180, tag, NULL);
        }
        (void)write_answer_text(&s.at_bob, 200, "bt", b->bob.contact, "", text, sizeof text);
        if (i == NO_TAG) {
            from = strstr(text, ";tag=bt");
            assert_non_null(from);
            memmove(from, from + strlen(";tag=bt"), strlen(from + strlen(";tag=bt")) + 1);
        } else if (i == NO_VIA) { /* the one of the caller is gone */
            from = strstr(strstr(text, "Via:") + 1, "Via:");
            to = strstr(from, "\r\n") + 2;
            memmove(from, to, strlen(to) + 1);
        }
        phone_send(b, &b->bob, text);
        if (i != NO_VIA) {
            expect(b, &b->bob, "ACK", &got);
            expect(b, &b->bob, "BYE", &got);
            assert_true(view_eq(got.m.to_tag, i == NO_TAG ? VIEW("") : VIEW("bt")));
        }
        while (take(b, &b->alice.flow.remote, "SIP/2.0 180", &got)) {
        }
        b->alice.top = 0;
        expect(b, &b->alice, "SIP/2.0 502", &got);
        assert_int_equal(workers_calls(b->ws), 0);
        pass_ms(b, 100000);
        assert_int_equal(sip_txn_count(b->w->txns), 0);
        bench_close(b);
    }
}

static void one_line_cannot_flood(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char text[TEXT_MAX], keep[3][96];
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    for (unsigned i = 0; i < 400; i++) {
        struct request r = invite_of(b, &b->alice, "sip:" DOMAIN, keep);
        r.method = "OPTIONS";
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        if (i % 100 == 99) {
            b->n_sent = 0;
        }
    }
    assert_int_equal(counted(b, METER_LINE_LIMITED), 160);
    {
        struct request r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        b->alice.top = 0;
        expect(b, &b->alice, "SIP/2.0 503", &got);
        r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    }
    bench_close(b);
}

static void sips_wants_tls(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char text[TEXT_MAX], keep[3][96];
    struct request r;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, "sips:" BOB "@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
    expect(b, &b->alice, "SIP/2.0 480", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    bench_close(b);
}

/* Whatever the ends call themselves and however they count: both are told when the gate ends it. */
#define L100                                                                                       \
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijj" \
    "jjjjjjjj"
#define L300 ";a=" L100 ";b=" L100 ";c=" L100
static const struct odd {
    const char *called, *from, *to, *caller, *callee; /* the last two: Contact; NULL: as usual */
    unsigned cseq;
} odd_ends[] = {
    {BOB, NULL, NULL, NULL, NULL, 1},
    {BOB, NULL, NULL, NULL, NULL, 2147483646},
    {BOB, NULL, NULL, NULL, NULL, 2147483647},
    {BOB, NULL, "sip:x@y?Subject=z", NULL, NULL, 1},
    {BOB, NULL, NULL, "sip:x@127.0.9.11" L300, NULL, 1},
    {BOB, NULL, NULL, "sip:x?y@127.0.9.11?Subject=z", "sip:x@127.0.9.12?Subject=z&Body=x", 1},
    {BOB, NULL, NULL, NULL, "sip:x@127.0.9.12" L300, 1},
    {BOB, NULL, NULL, "tel:+1", "mailto:x@y", 1},
    {"911", "sip:" ALICE "@" DOMAIN L300, "sip:911@" DOMAIN L300, "sip:x@127.0.9.11" L300,
     "sip:x@127.0.9.9" L300, 2147483647},
};
#undef L100
#undef L300

static void one_odd_call(struct bench *b, const struct odd *o)
{
    bool is_bob = strcmp(o->called, BOB) == 0;
    struct net_addr far = is_bob ? b->bob.flow.remote : addr("127.0.9.9:5060");
    struct sip_flow far_flow = is_bob ? b->bob.flow : udp("127.0.9.9:5060");
    struct trace_call calls[2];
    struct request r;
    struct scene s;
    struct got got;
    char uri[96], text[TEXT_MAX];
    snprintf(uri, sizeof uri, "sip:%s@" DOMAIN, o->called);
    s.invite = invite_of(b, &b->alice, uri, s.keep);
    s.invite.from = o->from != NULL ? o->from : s.invite.from;
    s.invite.to = o->to != NULL ? o->to : s.invite.to;
    s.invite.contact = o->caller != NULL ? o->caller : s.invite.contact;
    s.invite.cseq = o->cseq;
    phone_send(b, &b->alice, write_request_text(&s.invite, s.text, sizeof s.text));
    assert_true(take(b, &far, "INVITE", &s.at_bob));
    (void)write_answer_text(&s.at_bob, 200, "bt", o->callee != NULL ? o->callee : b->bob.contact,
                            sdp_plain, text, sizeof text);
    if (is_bob) {
        phone_send(b, &b->bob, text);
    } else {
        feed(b, &far_flow, text);
    }
    expect(b, &b->alice, "SIP/2.0 200", &got);
    r = of_alice(&s, "ACK", o->cseq, "z9hG4bKack");
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    assert_int_equal(trace_list(b->w->trace, false, calls, 2), 1);
    workers_end_call(b->ws, calls[0].id, "x");
    pass_ms(b, 1);
    assert_true(take(b, &far, "BYE", &got));
    assert_true(view_eq(got.m.from_tag, VIEW("ft")) && view_eq(got.m.to_tag, VIEW("bt")));
    expect(b, &b->alice, "BYE", &got);
    assert_true(view_eq(got.m.from_tag, VIEW("bt")) && view_eq(got.m.to_tag, VIEW("ft")));
}

static void no_name_keeps_a_call_up(void **state)
{
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < sizeof odd_ends / sizeof odd_ends[0]; i++) {
        bench_open(b, NULL);
        phone_register(b, &b->bob);
        print_message("# row %zu\n", i);
        one_odd_call(b, &odd_ends[i]);
        bench_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renewal),
        cmocka_unit_test(refused_renewals),
        cmocka_unit_test(early_requests),
        cmocka_unit_test(nobody_becomes_another),
        cmocka_unit_test(new_session),
        cmocka_unit_test(by_the_registration),
        cmocka_unit_test(revoked),
        cmocka_unit_test(answer_without_caller),
        cmocka_unit_test(no_name_keeps_a_call_up),
        cmocka_unit_test(answers_without_use),
        cmocka_unit_test(one_line_cannot_flood),
        cmocka_unit_test(sips_wants_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
