/* REGISTER: whose, what for, how long, and what becomes of it when the connection dies. */
#include "tests/scenario/bench.h"

static struct bench bench;

struct ask {
    const char *to, *contact_lines, *call_id;
    unsigned cseq;
};

static void ask(struct bench *b, struct phone *p, const struct ask *a)
{
    char text[TEXT_MAX], via[NET_TEXT_MAX];
    int n = 0;
    net_text(&p->flow.remote, via);
    n = snprintf(text, sizeof text,
                 "REGISTER sip:" DOMAIN
                 " SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bKr%u\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:%s>;tag=x\r\nTo: <sip:%s>\r\nCall-ID: %s\r\n"
                 "CSeq: %u REGISTER\r\n%sContent-Length: 0\r\n\r\n",
                 via, ++b->unique, a->to, a->to, a->call_id, a->cseq, a->contact_lines);
    assert_true(n > 0 && (size_t)n < sizeof text);
    phone_send(b, p, text);
}

#define BOB_AOR BOB "@" DOMAIN

static void refusals(void **state)
{
    static const struct {
        struct ask a;
        const char *status;
    } rows[] = {
        {{ALICE "@" DOMAIN, "Contact: <sip:b@127.0.9.12>\r\n", "c1", 1}, "SIP/2.0 403"},
        {{BOB "@other.test", "Contact: <sip:b@127.0.9.12>\r\n", "c2", 1}, "SIP/2.0 403"},
        {{BOB_AOR, "Contact: <sip:b@127.0.9.12>;expires=10\r\n", "c3", 1}, "SIP/2.0 423"},
        {{BOB_AOR, "Contact: <mailto:b@x>\r\n", "c4", 1}, "SIP/2.0 400"},
        {{BOB_AOR, "Contact: <tel:+1>\r\n", "c5", 1}, "SIP/2.0 400"},
        {{BOB_AOR, "Contact: *\r\n", "c6", 1}, "SIP/2.0 400"},
        {{BOB_AOR, "Contact: *\r\nExpires: 60\r\n", "c7", 1}, "SIP/2.0 400"},
        {{BOB_AOR, "Require: outbound\r\nContact: <sip:b@127.0.9.12>\r\n", "c9", 1}, "SIP/2.0 420"},
        {{BOB_AOR,
          "Contact: <sip:1@x>,<sip:2@x>,<sip:3@x>,<sip:4@x>,<sip:5@x>,<sip:6@x>,<sip:7@x>,"
          "<sip:8@x>,<sip:9@x>\r\n",
          "c10", 1},
         "SIP/2.0 403"}};
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(b, &b->bob, &rows[i].a);
        expect(b, &b->bob, rows[i].status, &got);
        assert_int_equal(location_count(b->location), 0);
        if (got.m.status == 423) {
            assert_true(holds(&got.m, "Min-Expires: 60\r\n"));
        }
        if (got.m.status == 420) {
            assert_true(holds(&got.m, "Unsupported: outbound\r\n"));
        }
    }
    feed(b, &b->bob.flow,
         "REGISTER sip:" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.12:5063;branch=z9hG4bKq\r\n"
         "From: <sip:" BOB_AOR ">;tag=x\r\nTo: <sip:" BOB_AOR ">\r\nCall-ID: q\r\n"
         "CSeq: 1 REGISTER\r\nContact: <sip:b@127.0.9.12>\r\nContent-Length: 0\r\n\r\n");
    assert_true(take(b, &b->bob.flow.remote, "SIP/2.0 401", &got));
    assert_true(holds(&got.m, "WWW-Authenticate: Digest realm=\"" DOMAIN "\", "));
    assert_false(holds(&got.m, "BTI-MAC"));
    bench_close(b);
}

static void life_of_bindings(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    ask(b, &b->bob,
        &(struct ask){BOB_AOR, "Contact: <sip:a@127.0.9.12>;expires=100, <sip:b@127.0.9.12>\r\n",
                      "c", 5});
    expect(b, &b->bob, "SIP/2.0 200", &got);
    assert_true(holds(&got.m, "<sip:a@127.0.9.12>;expires=100\r\n"));
    assert_true(holds(&got.m, "<sip:b@127.0.9.12>;expires=600\r\n"));
    assert_int_equal(b->n_mirror, 2);
    /* an older request changes nothing */
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:a@127.0.9.12>;expires=200\r\n", "c", 5});
    expect(b, &b->bob, "SIP/2.0 500", &got);
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:a@127.0.9.12>;expires=0\r\n", "c", 4});
    expect(b, &b->bob, "SIP/2.0 500", &got);
    assert_int_equal(location_count(b->location), 2);
    pass_ms(b, 101000);
    ask(b, &b->bob, &(struct ask){BOB_AOR, "", "c", 6}); /* a question */
    expect(b, &b->bob, "SIP/2.0 200", &got);
    assert_false(holds(&got.m, "<sip:a@127.0.9.12>"));
    assert_true(holds(&got.m, "<sip:b@127.0.9.12>;expires=499\r\n"));
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:b@127.0.9.12>;expires=0\r\n", "c", 7});
    expect(b, &b->bob, "SIP/2.0 200", &got);
    assert_null(sip_header(&got.m, SIP_H_CONTACT, 0));
    assert_int_equal(b->n_mirror_removed, 1);
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:b@127.0.9.12>\r\n", "c", 8});
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: *\r\nExpires: 0\r\n", "c", 9});
    assert_int_equal(location_count(b->location), 0);
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:b@x>;expires=999999\r\n", "c", 10});
    expect(b, &b->bob, "SIP/2.0 200", &got);
    expect(b, &b->bob, "SIP/2.0 200", &got);
    expect(b, &b->bob, "SIP/2.0 200", &got);
    assert_true(holds(&got.m, ";expires=3600\r\n"));
    bench_close(b);
}

/* A binding ends with its session, and with its connection. */
static void bound_to_session_and_connection(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    pass_ms(b, 86400000u - 120000u);
    b->bob.flow.proto = SIP_TLS;
    b->bob.flow.conn = 77;
    b->bob.flow.has_kid = true;
    memcpy(b->bob.flow.kid, b->bob.kid, sizeof b->bob.flow.kid);
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:b@127.0.9.12>\r\n", "c", 1});
    expect(b, &b->bob, "SIP/2.0 200", &got);
    assert_true(holds(&got.m, ";expires=120\r\n"));
    registrar_conn_closed(b->w, &b->bob.flow);
    assert_int_equal(location_count(b->location), 0);
    assert_int_equal(b->n_mirror_removed, 1);
    ask(b, &b->bob, &(struct ask){BOB_AOR, "Contact: <sip:b@127.0.9.12>\r\n", "c", 2});
    assert_int_equal(location_count(b->location), 1);
    workers_close_kid(b->ws, b->bob.kid); /* revoked */
    pass_ms(b, 1);
    assert_int_equal(location_count(b->location), 0);
    bench_close(b);
}

static void retransmitted(void **state)
{
    struct bench *b = &bench;
    char text[TEXT_MAX];
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    snprintf(text, sizeof text,
             "REGISTER sip:" DOMAIN " SIP/2.0\r\nv: SIP/2.0/UDP 127.0.9.12:5063;branch=z9hG4bKq\r\n"
             "f: <sip:" BOB_AOR ">;tag=x\r\nt: <sip:" BOB_AOR ">\r\ni: q\r\n"
             "CSeq: 1 REGISTER\r\nm: <sip:b@127.0.9.12>\r\nl: 0\r\n\r\n");
    n = phone_seal(&b->bob, text, strlen(text), sizeof text, "Authorization");
    feed_view(b, &b->bob.flow, view_from(text, n));
    feed_view(b, &b->bob.flow, view_from(text, n));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "SIP/2.0 200"), 2);
    assert_memory_equal(b->sent[0].octets, b->sent[1].octets, b->sent[0].n);
    assert_int_equal(counted(b, METER_REPLAYS), 0);
    pass_ms(b, 40000);
    feed_view(b, &b->bob.flow, view_from(text, n));
    assert_int_equal(counted(b, METER_REPLAYS), 1);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(life_of_bindings),
        cmocka_unit_test(bound_to_session_and_connection),
        cmocka_unit_test(retransmitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
