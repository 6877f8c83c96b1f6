/* What the tap has of calls, and what an order is told of that. */
#include <unistd.h>

#include "lawful_intercept/calls.h"
#include "lawful_intercept/tap.h"
#include "lawful_intercept/tap_read.h"
#include "tests/scenario/dphone.h"

static struct bench bench;

struct ear { /* one order, and what it is told */
    struct tap *tap;
    struct tap_reader *reader;
    struct li_calls *calls;
    char path[64], said[12][40], copied[24][40];
    unsigned n, n_copied;
};

static void call_data(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    struct ear *e = arg;
    (void)o;
    assert_true(e->n < 12);
    snprintf(e->said[e->n++], sizeof e->said[0], "%s", cdc_kind_name(m->kind));
}

static void signaling(void *arg, const struct li_order *o, enum li_direction direction,
                      uint64_t correlation, const struct tap_record *r, struct view octets)
{
    struct ear *e = arg;
    (void)o;
    (void)correlation;
    (void)r;
    assert_true(e->n_copied < 24);
    snprintf(e->copied[e->n_copied++], sizeof e->copied[0], "%c %.*s",
             direction == LI_FROM_SUBJECT ? '<' : '>', octets.n < 11 ? (int)octets.n : 11,
             octets.p);
}

/* What is tapped from now on is told to an order for content of that line. */
static void listen_to(struct bench *b, struct ear *e, uint64_t line)
{
    static const char key_text[33] = "0123456789abcdef0123456789abcdef";
    struct li_order o = {.id = 1,
                         .type = LI_CONTENT,
                         .line = line,
                         .ends_us = UINT64_MAX,
                         .case_id = "CASE-1",
                         .version = 4};
    struct li_orders all = {&o, 1};
    struct secret key;
    struct li_calls_cfg cfg = {.element = "GC1", .key = &key, .sink = {call_data, signaling, e}};
    *e = (struct ear){.tap = NULL};
    assert_int_equal(secret_set(&key, key_text, 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &e->calls), E_OK);
    assert_int_equal(li_calls_orders(e->calls, &all), E_OK);
    snprintf(e->path, sizeof e->path, "/tmp/hg-tapping.%ld", (long)getpid());
    assert_int_equal(tap_open(e->path, "", 1, TAP_RING_MIN, &e->tap), E_OK);
    assert_int_equal(tap_attach(e->path, &e->reader), E_OK);
    b->w->tap = tap_ring_of(e->tap, 0);
}

static void hear_out(struct bench *b, struct ear *e)
{
    struct tap_record r;
    uint64_t number = 0, lost = 0;
    while (tap_next(e->reader, 0, &r, &number, &lost) == E_OK) {
        li_calls_record(e->calls, &r, false);
    }
    b->w->tap = NULL;
    tap_detach(e->reader);
    tap_close(e->tap);
    li_calls_free(e->calls);
}

static void check(const char *what, char (*got)[40], unsigned n, const char *const *want)
{
    for (unsigned i = 0; want[i] != NULL || i < n; i++) {
        const char *have = i < n ? got[i] : "nothing more";
        const char *wanted = want[i] != NULL ? want[i] : "nothing more";
        if (strncmp(have, wanted, strlen(wanted)) != 0) {
            fail_msg("%s %u: wanted '%s', got '%s'", what, i, wanted, have);
        }
    }
}

/* Digest phones prove neither answers nor ACK: they are theirs all the same, and what somebody else
 * sends in their name is nobody's. */
static void call_between_phones(struct bench *b, struct dphone *a, struct dphone *bob)
{
    struct dphone eve = *bob;
    struct words k;
    struct request r;
    struct got invite, got;
    eve.flow = udp("127.0.9.66:5071");
    r = begin_call(b, a, &k);
    must_take(b, bob, "INVITE", &invite);
    answer_it(b, &eve, &invite, 200, "et");
    answer_it(b, bob, &invite, 180, "bt");
    must_take(b, a, "SIP/2.0 180", &got);
    answer_it(b, bob, &invite, 200, "bt");
    must_take(b, a, "SIP/2.0 200", &got);
    r.method = "ACK";
    r.to_tag = "bt";
    r.body = NULL;
    next_try(b, &r, &k);
    r.cseq--;
    send_plain(b, a, &r);
    must_take(b, bob, "ACK", &got);
    r.method = "BYE";
    next_try(b, &r, &k);
    r.cseq++;
    send_plain(b, a, &r);
    take_challenge(b, a, "SIP/2.0 407", false);
    next_try(b, &r, &k);
    send_proven(b, a, &r);
    must_take(b, bob, "BYE", &got);
    answer_it(b, bob, &got, 200, "bt");
    must_take(b, a, "SIP/2.0 200", &got);
}

static void phones_are_heard(void **state)
{
    static const char *const said[2][12] = {
        {"Origination", "NetworkSignal", "Answer", "CCOpen", "CCClose", "Release"},
        {"TerminationAttempt", "NetworkSignal", "Answer", "CCOpen", "CCClose", "Release"}};
    static const char *const copies[2][16] = {{"< INVITE sip", "> SIP/2.0 100", "> SIP/2.0 180",
                                               "> SIP/2.0 200",
                                               "< ACK sip:", "< BYE sip:", "> SIP/2.0 200"},
                                              {"> INVITE sip", "< SIP/2.0 180", "< SIP/2.0 200",
                                               "> ACK sip:b", "> BYE sip:b", "< SIP/2.0 200"}};
    struct bench *b = &bench;
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct dphone a = alice_phone(), bob = bob_phone();
        struct ear e;
        bench_open(b, NULL);
        enter(b, &bob);
        listen_to(b, &e, 1 + i);
        call_between_phones(b, &a, &bob);
        hear_out(b, &e);
        check("message", e.said, e.n, said[i]);
        check("copy", e.copied, e.n_copied, copies[i]);
        bench_close(b);
    }
}

/* Outside of calls what the called phone answers is tapped too. */
static void a_page_and_its_answer(void **state)
{
    static const char *const copies[] = {"> MESSAGE si", "< SIP/2.0 200", NULL};
    struct bench *b = &bench;
    struct dphone a = alice_phone(), bob = bob_phone();
    struct words k;
    struct request r;
    struct got got;
    struct ear e;
    (void)state;
    bench_open(b, NULL);
    enter(b, &bob);
    listen_to(b, &e, 2);
    r = request_of(b, &a, "MESSAGE", "sip:" BOB "@" DOMAIN, &k);
    send_request(b, &a, &r, &k);
    must_take(b, &bob, "MESSAGE", &got);
    answer_it(b, &bob, &got, 200, "bt");
    must_take(b, &a, "SIP/2.0 200", &got);
    hear_out(b, &e);
    assert_int_equal(e.n, 0);
    check("copy", e.copied, e.n_copied, copies);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phones_are_heard),
        cmocka_unit_test(a_page_and_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
