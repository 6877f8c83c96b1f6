/* Bounds: calls of a line and of a worker, transactions, refusals to strangers, draining. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB "sip:" BOB "@" DOMAIN

static void call_bob(struct bench *b, const char *status, struct got *at_bob)
{
    char keep[3][96], text[TEXT_MAX];
    struct request r = invite_of(b, &b->alice, TO_BOB, keep);
    struct got got;
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, status, &got);
    if (got.m.status == 100) {
        expect(b, &b->bob, "INVITE", at_bob);
    } else if (got.m.status == 503) {
        assert_non_null(sip_header(&got.m, SIP_H_RETRY_AFTER, 0));
    }
}

static void calls_of_a_line(void **state)
{
    struct bench *b = &bench;
    struct got one, other;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    call_bob(b, "SIP/2.0 100", &one);
    call_bob(b, "SIP/2.0 100", &other);
    call_bob(b, "SIP/2.0 100", &other);
    call_bob(b, "SIP/2.0 100", &other);
    call_bob(b, "SIP/2.0 403 Too many calls of this line", &other);
    phone_answer(b, &b->bob, &one, 486, "bt", NULL);
    call_bob(b, "SIP/2.0 486", &other); /* what came in between */
    bench_close(b);
}

static void few_calls(struct bench *b)
{
    b->set.max_calls = 2;
}

static void calls_of_a_worker(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, few_calls);
    phone_register(b, &b->bob);
    call_bob(b, "SIP/2.0 100", &got);
    call_bob(b, "SIP/2.0 100", &got);
    call_bob(b, "SIP/2.0 503", &got);
    assert_int_equal(counted(b, METER_REFUSED_LIMIT), 1);
    bench_close(b);
}

static void draining(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    call_bob(b, "SIP/2.0 100", &got);
    workers_drain(b->ws);
    phone_answer(b, &b->bob, &got, 180, "bt", NULL); /* what goes on goes on */
    expect(b, &b->alice, "SIP/2.0 180", &got);
    call_bob(b, "SIP/2.0 503", &got);
    assert_int_equal(counted(b, METER_REFUSED_DRAINING), 1);
    bench_close(b);
}

static void few_transactions(struct bench *b)
{
    b->set.max_transactions = 16;
    b->set.calls_per_line = 1000;
}

static void transactions(void **state)
{
    struct bench *b = &bench;
    struct got got;
    unsigned n = 0;
    (void)state;
    bench_open(b, few_transactions);
    phone_register(b, &b->bob);
    for (; n < 20 && counted(b, METER_REFUSED_LIMIT) == 0; n++) {
        char keep[3][96], text[TEXT_MAX];
        struct request r = invite_of(b, &b->alice, TO_BOB, keep);
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    }
    assert_in_range(n, 3, 16);
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 503", &got));
    pass_ms(b, 100000); /* all time out */
    forget_sent(b);
    call_bob(b, "SIP/2.0 100", &got);
    bench_close(b);
}

static void refusals_to_strangers(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct got got;
    (void)state;
    bench_open(b, NULL);
    for (unsigned i = 0; i < 100; i++) {
        struct request r = invite_of(b, &b->alice, TO_BOB, keep);
        feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    }
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 407"), 20);
    assert_int_equal(counted(b, METER_ANSWERS_LIMITED), 80);
    assert_int_equal(sip_txn_count(b->w->txns), 0); /* a stranger costs no memory */
    feed(b, &b->bob.flow, text);                    /* another source has its own */
    assert_true(take(b, &b->bob.flow.remote, "SIP/2.0 407", &got));
    pass_ms(b, 1000);
    forget_sent(b);
    feed(b, &b->alice.flow, text);
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    bench_close(b);
}

static void silence(void **state)
{
    static const char *const rows[] = {
        "",
        "\r\n\r\n",
        "hello",
        "SIP/2.0 200 OK\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.9.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
        "To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        "ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.11;branch=z9hG4bKx\r\nFrom: "
        "<sip:a@b>;tag=1"
        "\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
        "ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.11;branch=z9hG4bKx\r\nFrom: "
        "<sip:a@b>;tag=1"
        "\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 ACK\r\nContent-Length: x\r\n\r\n",
        "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.11;branch=z9hG4bKx\r\n\r\n"};
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        feed(b, &b->alice.flow, rows[i]);
        assert_int_equal(b->n_sent, 0);
    }
    feed(b, &b->alice.flow,
         "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.9.11;branch=z9hG4bKx\r\nFrom: "
         "<sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nMax-Forwards: x\r\n"
         "Content-Length: 0\r\n\r\n");
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 400 Bad Max-Forwards", &got));
    bench_close(b);
}

/* What cannot be framed is refused for what it is, not with 400 throughout. */
static void refused_by_its_fault(void **state)
{
#define REST                                                                                       \
    "Via: SIP/2.0/UDP 127.0.9.11;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"    \
    "Call-ID: x\r\nCSeq: 1 INVITE\r\nContent-Type: a/b\r\n"
    static const struct {
        const char *start, *end;
        size_t uri_room, body_room; /* octets to put in between, and at the end */
        const char *answer;
    } rows[] = {
        {"INVITE sip:a@b SIP/2.0\r\n" REST "Max-Forwards: x\r\n", "\r\n", 0, 0,
         "SIP/2.0 400 Bad Max-Forwards\r\n"},
        {"INVITE sip:a@b SIP/7.0\r\n" REST, "\r\n", 0, 0, "SIP/2.0 505 Version Not Supported\r\n"},
        {"INVITE sip:", "@b SIP/2.0\r\n" REST "\r\n", SIP_MAX_URI, 0,
         "SIP/2.0 414 Request-URI too long\r\n"},
        {"INVITE sip:a@b SIP/2.0\r\n" REST, "\r\n", 0, SIP_MAX_BYTES,
         "SIP/2.0 513 Message Too Large\r\n"},
    };
    static char text[2 * SIP_MAX_BYTES];
    struct bench *b = &bench;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "%s", rows[i].start);
        memset(text + n, 'u', rows[i].uri_room);
        n += rows[i].uri_room;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s", rows[i].end);
        memset(text + n, 'x', rows[i].body_room);
        feed_view(b, &b->alice.flow, view_from(text, n + rows[i].body_room));
        if (!take(b, &b->alice.flow.remote, rows[i].answer, &got)) {
            fail_msg("no %s", rows[i].answer);
        }
        assert_int_equal(b->n_sent, i + 1);
    }
    bench_close(b);
#undef REST
}

/* Only what does not prove itself counts against the limit of a source. */
static void proof_costs_nothing(void **state)
{
    struct bench *b = &bench;
    (void)state;
    bench_open(b, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        forget_sent(b);
        phone_register(b, &b->bob);
        if (i % 50 == 0) {
            pass_ms(b, 40000); /* ends the transactions: the table of fake sends is small */
        }
    }
    assert_int_equal(counted(b, METER_SOURCE_LIMITED), 0);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_of_a_line),
        cmocka_unit_test(calls_of_a_worker),
        cmocka_unit_test(draining),
        cmocka_unit_test(transactions),
        cmocka_unit_test(refusals_to_strangers),
        cmocka_unit_test(silence),
        cmocka_unit_test(refused_by_its_fault),
        cmocka_unit_test(proof_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
