/* A call between two BTIs from INVITE to BYE, as the wire shows it. */
#include "tests/scenario/bench.h"

static struct bench bench;

struct scene {
    char keep[3][96];
    struct request invite;
    char text[TEXT_MAX];
    struct got at_bob, at_alice;
};

static void ring(struct bench *b, struct scene *s)
{
    phone_register(b, &b->bob);
    s->invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s->keep);
    phone_send(b, &b->alice, write_request_text(&s->invite, s->text, sizeof s->text));
    expect(b, &b->alice, "SIP/2.0 100", &s->at_alice);
    expect(b, &b->bob, "INVITE", &s->at_bob);
}

static void answer_call(struct bench *b, struct scene *s)
{
    phone_answer(b, &b->bob, &s->at_bob, 180, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &s->at_alice);
    phone_answer(b, &b->bob, &s->at_bob, 200, "bt", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &s->at_alice);
}

/* A request inside the dialog, by Alice (from_alice) or Bob. */
static const char *inside(struct scene *s, struct bench *b, const char *method, bool from_alice,
                          unsigned cseq, const char *branch)
{
    struct request r = s->invite;
    r.method = method;
    r.cseq = cseq;
    r.branch = branch;
    r.body = NULL;
    r.to_tag = "bt";
    r.uri = b->bob.contact;
    if (!from_alice) {
        r.from = s->invite.to;
        r.from_tag = "bt";
        r.to = s->invite.from;
        r.to_tag = "ft";
        r.uri = b->alice.contact;
        r.via = "127.0.9.12:5063";
        r.contact = b->bob.contact;
    }
    return write_request_text(&r, s->text, sizeof s->text);
}

static void talk(struct bench *b, struct scene *s)
{
    struct got ack;
    ring(b, s);
    answer_call(b, s);
    phone_send(b, &b->alice, inside(s, b, "ACK", true, 1, "z9hG4bKack"));
    expect(b, &b->bob, "ACK", &ack);
}

static void call_from_setup_to_release(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    /* the INVITE that Bob gets */
    assert_true(view_eq(s.at_bob.m.uri, view_of(b->bob.contact)));
    assert_true(holds(&s.at_bob.m, "Max-Forwards: 69\r\n"));
    assert_true(holds(&s.at_bob.m, "received=127.0.9.11;rport=5062"));
    assert_true(holds(&s.at_bob.m,
                      "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:" ALICE "@" DOMAIN ">\r\n"));
    assert_null(sip_header(&s.at_bob.m, SIP_H_PROXY_AUTHORIZATION, 0));
    assert_non_null(sip_header(&s.at_bob.m, SIP_H_RECORD_ROUTE, 0));
    assert_true(view_eq(s.at_bob.m.body, view_of(sdp_plain)));
    answer_call(b, &s);
    assert_true(view_eq(s.at_alice.m.body, view_of(sdp_plain)));
    assert_int_equal(workers_calls(b->ws), 1);
    phone_send(b, &b->alice, inside(&s, b, "ACK", true, 1, "z9hG4bKack"));
    expect(b, &b->bob, "ACK", &got);
    pass_ms(b, 60000);
    phone_send(b, &b->bob, inside(&s, b, "BYE", false, 1, "z9hG4bKbye"));
    expect(b, &b->alice, "BYE", &got);
    phone_answer(b, &b->alice, &got, 200, "ft", NULL);
    expect(b, &b->bob, "SIP/2.0 200", &got);
    assert_int_equal(workers_calls(b->ws), 0);
    assert_int_equal(b->n_cdr, 1);
    assert_string_equal(b->cdr[0].caller, ALICE);
    assert_string_equal(b->cdr[0].called, BOB);
    assert_string_equal(b->cdr[0].route, "local");
    assert_string_equal(b->cdr[0].end_by, "callee");
    assert_int_equal(b->cdr[0].status, 200);
    assert_true(b->cdr[0].caller_line == 1 && b->cdr[0].callee_line == 2);
    assert_int_equal((b->cdr[0].end_us - b->cdr[0].answer_us) / 1000000, 60);
    pass_ms(b, 120000);
    assert_int_equal(sip_txn_count(b->w->txns), 0);
    bench_close(b);
}

/* Each copy of a 2xx goes up with a number of its own; so does each ACK down. */
static void answers_are_sealed_anew(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    answer_call(b, &s);
    for (int i = 0; i < 3; i++) {
        phone_answer(b, &b->bob, &s.at_bob, 200, "bt", sdp_plain);
        expect(b, &b->alice, "SIP/2.0 200", &got);
    }
    phone_send(b, &b->alice, inside(&s, b, "ACK", true, 1, "z9hG4bKack1"));
    expect(b, &b->bob, "ACK", &got);
    phone_send(b, &b->alice, inside(&s, b, "ACK", true, 1, "z9hG4bKack2"));
    expect(b, &b->bob, "ACK", &got);
    bench_close(b);
}

static void retransmission_is_absorbed_replay_is_dropped(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    char copy[TEXT_MAX];
    size_t n = 0;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    s.invite = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, s.keep);
    write_request_text(&s.invite, s.text, sizeof s.text);
    memcpy(copy, s.text, sizeof copy);
    n = phone_seal(&b->alice, copy, strlen(copy), sizeof copy, "Proxy-Authorization");
    feed_view(b, &b->alice.flow, view_from(copy, n));
    expect(b, &b->alice, "SIP/2.0 100", &s.at_alice);
    expect(b, &b->bob, "INVITE", &s.at_bob);
    feed_view(b, &b->alice.flow, view_from(copy, n)); /* UDP lost our 100 */
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 100"), 2);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 1);
    assert_int_equal(counted(b, METER_REPLAYS), 0);
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 100", &got));
    answer_call(b, &s);
    phone_send(b, &b->alice, inside(&s, b, "ACK", true, 1, "z9hG4bKack"));
    forget_sent(b);
    feed_view(b, &b->alice.flow, view_from(copy, n)); /* acknowledged: nobody honest repeats it */
    assert_int_equal(counted(b, METER_REPLAYS), 1);
    phone_send(b, &b->alice, inside(&s, b, "BYE", true, 2, "z9hG4bKbye"));
    expect(b, &b->bob, "BYE", &got);
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    pass_ms(b, 200000);
    forget_sent(b);
    feed_view(b, &b->alice.flow, view_from(copy, n));
    assert_int_equal(counted(b, METER_REPLAYS), 2);
    feed_view(b, &b->bob.flow, view_from(copy, n)); /* from elsewhere */
    assert_int_equal(counted(b, METER_REPLAYS), 3);
    assert_int_equal(b->n_sent, 0);
    bench_close(b);
}

static void only_the_two_ends_may_speak(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct phone thief;
    const char *bye = NULL;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    forget_sent(b);
    bye = inside(&s, b, "BYE", true, 2, "z9hG4bKx1");
    feed(b, &b->alice.flow, bye); /* no proof */
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    thief = b->bob2;
    phone_send(b, &thief, inside(&s, b, "BYE", true, 2, "z9hG4bKx2")); /* another's proof */
    expect(b, &b->bob2, "SIP/2.0 403", &got);
    phone_send(b, &b->alice, inside(&s, b, "BYE", false, 2, "z9hG4bKx3")); /* Alice as Bob */
    expect(b, &b->alice, "SIP/2.0 403", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "BYE"), 0);
    assert_int_equal(counted(b, METER_AUTH_OTHER_PARTY), 2);
    assert_int_equal(workers_calls(b->ws), 1);
    /* An ACK that nobody proved goes nowhere, and nobody hears of it. */
    forget_sent(b);
    feed(b, &b->alice.flow, inside(&s, b, "ACK", true, 1, "z9hG4bKx4"));
    assert_int_equal(b->n_sent, 0);
    /* A dialog that does not exist. */
    phone_send(b, &b->alice,
               "BYE sip:x@127.0.9.12 SIP/2.0\r\nVia: SIP/2.0/UDP "
               "127.0.9.11:5062;rport;branch=z9hG4bKx5\r\nFrom: <sip:" ALICE "@" DOMAIN
               ">;tag=no\r\nTo: <sip:x@y>;tag=no2\r\nCall-ID: "
               "other\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n");
    expect(b, &b->alice, "SIP/2.0 481", &got);
    bench_close(b);
}

static void request_uri_in_a_dialog_does_not_steer(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    {
        struct request r = s.invite;
        r.method = "INFO";
        r.uri = "sip:+19005551234@127.0.9.8";
        r.to_tag = "bt";
        r.cseq = 3;
        r.branch = "z9hG4bKinfo";
        r.extra = "Route: <sip:127.0.9.8;lr>\r\nP-Asserted-Identity: <sip:+1@x>\r\n"
                  "P-DCS-Billing-Info: 1/2@x\r\nRecord-Route: <sip:evil@127.0.9.66;lr>\r\n";
        phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    }
    expect(b, &b->bob, "INFO", &got);
    assert_true(view_eq(got.m.uri, view_of(b->bob.contact)));
    assert_null(sip_header(&got.m, SIP_H_ROUTE, 0));
    assert_null(sip_header(&got.m, SIP_H_RECORD_ROUTE, 0));
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    assert_null(sip_header(&got.m, SIP_H_P_DCS, 0));
    assert_int_equal(count_to(b, &(struct net_addr){0}, ""), 0);
    bench_close(b);
}

static void forged_responses_count_for_nothing(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    char text[TEXT_MAX];
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    forget_sent(b);
    feed(b, &b->bob.flow,
         write_answer_text(&s.at_bob, 200, "evil", "sip:e@127.0.9.66", sdp_plain, text,
                           sizeof text));                    /* no proof */
    phone_answer(b, &b->bob2, &s.at_bob, 486, "evil", NULL); /* another phone's proof */
    assert_int_equal(b->n_sent, 0);
    assert_int_equal(counted(b, METER_AUTH_OTHER_PARTY), 2);
    phone_answer(b, &b->bob, &s.at_bob, 486, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 486", &got);
    expect(b, &b->bob, "ACK", &got);
    assert_int_equal(b->cdr[0].status, 486);
    assert_string_equal(b->cdr[0].end_by, "callee");
    bench_close(b);
}

static void operator_ends_a_call(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct trace_call calls[2];
    struct got got;
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    assert_int_equal(trace_list(b->w->trace, false, calls, 2), 1);
    workers_end_call(b->ws, "no such call", "x");
    workers_end_call(b->ws, calls[0].id, "maintenance \"now\"");
    pass_ms(b, 1);
    expect(b, &b->alice, "BYE", &got);
    assert_true(holds(&got.m, "text=\"maintenance now\""));
    assert_true(view_eq(got.m.from_tag, VIEW("bt")) && view_eq(got.m.to_tag, VIEW("ft")));
    phone_answer(b, &b->alice, &got, 200, "ft", NULL);
    expect(b, &b->bob, "BYE", &got);
    assert_int_equal(got.m.cseq, 2);
    assert_true(view_eq(got.m.from_tag, VIEW("ft")) && view_eq(got.m.to_tag, VIEW("bt")));
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    assert_int_equal(b->n_cdr, 1);
    assert_string_equal(b->cdr[0].end_by, "gate");
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

static void an_answer_without_ack_ends(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    answer_call(b, &s);
    pass_ms(b, 40000);
    expect(b, &b->bob, "BYE", &got);
    expect(b, &b->alice, "BYE", &got);
    assert_string_equal(b->cdr[0].end_by, "timeout");
    bench_close(b);
}

static void nobody_answers(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    phone_answer(b, &b->bob, &s.at_bob, 180, "bt", NULL);
    pass_ms(b, 185000); /* timer C */
    expect(b, &b->bob, "CANCEL", &got);
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    phone_answer(b, &b->bob, &s.at_bob, 487, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 408", &got);
    assert_int_equal(b->cdr[0].status, 408);
    assert_string_equal(b->cdr[0].end_by, "timeout");
    bench_close(b);
}

static void a_silent_phone_times_out(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ring(b, &s);
    pass_ms(b, 33000);
    expect(b, &b->alice, "SIP/2.0 408", &got);
    assert_int_equal(b->n_cdr, 1);
    bench_close(b);
}

struct ladder {
    unsigned n;
    char line[32][64], note[TRACE_TEXT_MAX];
};

static void on_entry(void *arg, const struct trace_entry *e)
{
    struct ladder *l = arg;
    bool in = e->from.ip[3] != 1;
    assert_true(l->n < 32);
    if (l->n == 0) {
        assert_int_equal(view_to_cstr(e->note, l->note, sizeof l->note), E_OK);
    }
    snprintf(l->line[l->n++], sizeof l->line[0], "%s %s %.*s", in ? "in" : "out",
             trace_mac_name(e->mac), (int)(e->text.n < 40 ? e->text.n : 40), e->text.p);
}

static void ladder_shows_every_message(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct got got;
    struct trace_call call;
    struct view id;
    struct ladder l = {.n = 0};
    static const char *const want[] = {"in ok INVITE",         "out made SIP/2.0 100",
                                       "out made INVITE",      "in ok SIP/2.0 180",
                                       "out made SIP/2.0 180", "in ok SIP/2.0 200",
                                       "out made SIP/2.0 200", "in ok ACK",
                                       "out made ACK",         "in ok BYE",
                                       "out made BYE",         "in ok SIP/2.0 200",
                                       "out made SIP/2.0 200"};
    (void)state;
    bench_open(b, NULL);
    talk(b, &s);
    phone_send(b, &b->alice, inside(&s, b, "BYE", true, 2, "z9hG4bKbye"));
    expect(b, &b->bob, "BYE", &got);
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    id = view_of(s.keep[1]);
    assert_true(trace_find(b->w->trace, id, &call, on_entry, &l));
    assert_int_equal(call.state, TRACE_ENDED);
    assert_int_equal(l.n, sizeof want / sizeof want[0]);
    for (unsigned i = 0; i < l.n; i++) {
        assert_memory_equal(l.line[i], want[i], strlen(want[i]));
    }
    assert_string_equal(l.note, "class=subscriber line=1 route=local contacts=1");
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_from_setup_to_release),
        cmocka_unit_test(answers_are_sealed_anew),
        cmocka_unit_test(retransmission_is_absorbed_replay_is_dropped),
        cmocka_unit_test(only_the_two_ends_may_speak),
        cmocka_unit_test(request_uri_in_a_dialog_does_not_steer),
        cmocka_unit_test(forged_responses_count_for_nothing),
        cmocka_unit_test(operator_ends_a_call),
        cmocka_unit_test(an_answer_without_ack_ends),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(a_silent_phone_times_out),
        cmocka_unit_test(ladder_shows_every_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
