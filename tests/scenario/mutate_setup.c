/* Every octet of a SETUP under its MAC, changed: nothing is accepted, nothing goes on. */
#include "tests/scenario/bench.h"

static struct bench bench;

static void no_limits(struct bench *b)
{
    b->set.challenge_per_source = 1000000;
}

static size_t make_setup(struct bench *b, char *out)
{
    char keep[3][96];
    struct request r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    write_request_text(&r, out, TEXT_MAX);
    return phone_seal(&b->alice, out, strlen(out), TEXT_MAX, "Proxy-Authorization");
}

/* Nothing but refusals, and those to the sender only. */
static void check_refused(struct bench *b, size_t at, unsigned change)
{
    for (unsigned i = 0; i < b->n_sent; i++) {
        struct view v = view_from(b->sent[i].octets, b->sent[i].n);
        bool to_alice = net_eq(&b->sent[i].to.remote, &b->alice.flow.remote);
        if (!to_alice ||
            !(view_starts(v, VIEW("SIP/2.0 407")) || view_starts(v, VIEW("SIP/2.0 401")) ||
              view_starts(v, VIEW("SIP/2.0 400")) || view_starts(v, VIEW("SIP/2.0 505")) ||
              view_starts(v, VIEW("SIP/2.0 481")) || view_starts(v, VIEW("SIP/2.0 501")))) {
            fail_msg("octet %zu changed by %02x gave: %.60s", at, change, v.p);
        }
        assert_null(memmem(v.p, v.n, "Authentication-Info", 19));
    }
    assert_int_equal(workers_calls(b->ws), 0);
    assert_int_equal(b->n_cdr, 0);
    forget_sent(b);
}

static void sweep(struct bench *b, unsigned change)
{
    char setup[TEXT_MAX];
    size_t n = make_setup(b, setup);
    for (size_t i = 0; i < n; i++) {
        setup[i] = (char)((unsigned char)setup[i] ^ change);
        feed_view(b, &b->alice.flow, view_from(setup, n));
        setup[i] = (char)((unsigned char)setup[i] ^ change);
        check_refused(b, i, change);
        if (i % 64 == 0) {
            pass_ms(b, 1000); /* the limiter of unproven datagrams is not what is tested */
            forget_sent(b);
        }
    }
    assert_int_equal(counted(b, METER_SOURCE_LIMITED), 0); /* all were looked at */
    assert_true(counted(b, METER_CHALLENGES) + counted(b, METER_MALFORMED) >= (int64_t)n * 9 / 10);
    feed_view(b, &b->alice.flow, view_from(setup, n)); /* the message was good all the time */
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 1);
}

static void every_octet(void **state)
{
    static const unsigned changes[] = {0x01, 0x20, 0x80, 0xff};
    (void)state;
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct bench *b = &bench;
        bench_open(b, no_limits);
        phone_register(b, &b->bob);
        forget_sent(b);
        sweep(b, changes[i]);
        bench_close(b);
    }
}

static void every_cut_and_every_insertion(void **state)
{
    struct bench *b = &bench;
    char setup[TEXT_MAX], other[TEXT_MAX];
    size_t n = 0;
    (void)state;
    bench_open(b, no_limits);
    phone_register(b, &b->bob);
    forget_sent(b);
    n = make_setup(b, setup);
    for (size_t i = 1; i < n; i++) {
        feed_view(b, &b->alice.flow, view_from(setup, i));
        check_refused(b, i, 0);
        memcpy(other, setup, i);
        other[i] = ' ';
        memcpy(other + i + 1, setup + i, n - i);
        feed_view(b, &b->alice.flow, view_from(other, n + 1));
        check_refused(b, i, 1);
        if (i % 32 == 0) {
            pass_ms(b, 1000);
            forget_sent(b);
        }
    }
    bench_close(b);
}

/* Moved between kinds of messages, doubled, taken from another header: no proof. */
static void proof_in_the_wrong_place(void **state)
{
    struct bench *b = &bench;
    char text[TEXT_MAX], keep[3][96];
    struct got got;
    struct request r;
    size_t n = 0;
    (void)state;
    bench_open(b, no_limits);
    phone_register(b, &b->bob);
    forget_sent(b);
    static const char *const names[] = {"Authorization", "X-Proxy-Authorization",
                                        "Authentication-Info"};
    for (unsigned i = 0; i < 3; i++) {
        r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
        write_request_text(&r, text, sizeof text);
        n = phone_seal(&b->alice, text, strlen(text), sizeof text, names[i]);
        feed_view(b, &b->alice.flow, view_from(text, n));
        assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
        assert_int_equal(holds(&got.m, "Proxy-Authenticate: BTI-MAC realm=\"" DOMAIN "\"\r\n"),
                         i == 0);
        assert_int_equal(holds(&got.m, "Proxy-Authenticate: Digest "), i != 0);
    }
    r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    write_request_text(&r, text, sizeof text);
    n = phone_seal(&b->alice, text, strlen(text), sizeof text, "Proxy-Authorization");
    n = phone_seal(&b->alice, text, n, sizeof text, "Proxy-Authorization");
    feed_view(b, &b->alice.flow, view_from(text, n));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    /* Bob's octets under Alice's name: the kid decides, and From is no number of that line. */
    r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    write_request_text(&r, text, sizeof text);
    phone_send(b, &b->bob, text);
    expect(b, &b->bob, "SIP/2.0 403", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    bench_close(b);
}

static void sessions_end(void **state)
{
    struct bench *b = &bench;
    char text[TEXT_MAX], keep[3][96];
    struct got got;
    struct request r;
    (void)state;
    bench_open(b, no_limits);
    phone_register(b, &b->bob);
    sessions_drop(b->sessions, b->alice.kid);
    forget_sent(b);
    r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    assert_int_equal(counted(b, METER_AUTH_UNKNOWN_KID), 1);
    /* A connection opened under one key carries no message under another. */
    b->bob.flow.has_kid = true;
    b->bob.flow.proto = SIP_TLS;
    memcpy(b->bob.flow.kid, b->bob2.kid, sizeof b->bob.flow.kid);
    r = invite_of(b, &b->bob, "sip:" ALICE "@" DOMAIN, keep);
    phone_send(b, &b->bob, write_request_text(&r, text, sizeof text));
    assert_true(take(b, &b->bob.flow.remote, "SIP/2.0 407", &got));
    assert_int_equal(counted(b, METER_AUTH_KID_MISMATCH), 1);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_octet),
        cmocka_unit_test(every_cut_and_every_insertion),
        cmocka_unit_test(proof_in_the_wrong_place),
        cmocka_unit_test(sessions_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
