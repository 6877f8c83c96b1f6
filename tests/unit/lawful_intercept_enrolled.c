/* 611 calls: told when it is known whose they are, with their keys, and then once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/enrolled.h"

#define SECOND 1000000ull
#define BEGIN  (1700000000 * SECOND)
#define ID     "00112233445566aa"
#define CALLID "x@192.0.2.7"
#define SDP                                                                                        \
    "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\n"             \
    "m=application 9 TCP x\r\n"
enum { ALICE = 7, BOB = 8 };

struct world {
    struct li_calls *calls, *gates;
    struct li_enrolled *e;
    struct p256_key keys[2];
    struct li_order order[3];
    size_t n_orders;
    char said[64][64]; /* one for each message: order, kind, which keys */
    unsigned n, copies, gates_said;
    char subject[4000];
    uint64_t at_us, first_us;
    bool from_gates;
};

static bool has_key(struct view sdp, char letter)
{
    /* 44 octets of one letter, as base64 has them */
    const char *inline_key = letter == 'u' ? "inline:dXV1" : "inline:ZGRk";

    return sdp.n > 0 && memmem(sdp.p, sdp.n, inline_key, 11) != NULL;
}

static void call_data(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    struct world *w = arg;
    static char octets[CDC_MAX];
    char why[128];
    size_t n = 0;

    assert_int_equal(cdc_write(m, octets, sizeof octets, &n, why, sizeof why), E_OK);
    assert_true(w->n < 64);
    w->first_us = w->n == 0 ? m->at_us : w->first_us;
    snprintf(w->said[w->n++], sizeof w->said[0], "%u %s%s%s", (unsigned)o->id,
             cdc_kind_name(m->kind), has_key(m->subject, 'u') ? " up" : "",
             has_key(m->associate, 'd') ? " down" : "");
    if (o->type != LI_CONTENT) {
        assert_null(memmem(octets, n, "inline:", 7));
    }
    if (m->subject.n > 0) {
        snprintf(w->subject, sizeof w->subject, "%.*s", (int)m->subject.n, m->subject.p);
    }
}

static void signaling(void *arg, const struct li_order *o, enum li_direction direction,
                      uint64_t correlation, const struct tap_record *r, struct view octets)
{
    struct world *w = arg;

    (void)o;
    (void)direction;
    (void)correlation;
    (void)r;
    assert_null(memmem(octets.p, octets.n, "inline:", 7));
    w->copies++;
}

static void call_data_of_gates(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    ((struct world *)arg)->gates_said++;
    call_data(arg, o, m);
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct secret key;
    struct li_calls_cfg cfg = {.element = "GC1", .key = &key, .sink = {call_data, signaling, w}};
    struct li_enrolled_cfg enrolled;

    assert_int_equal(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &w->calls), E_OK);
    cfg.sink.call_data = call_data_of_gates;
    assert_int_equal(li_calls_new(&cfg, &w->gates), E_OK);
    assert_int_equal(p256_generate(&w->keys[0]), E_OK);
    assert_int_equal(p256_generate(&w->keys[1]), E_OK);
    enrolled = (struct li_enrolled_cfg){w->calls, w->gates, w->keys, 2};
    assert_int_equal(li_enrolled_new(&enrolled, &w->e), E_OK);
    w->at_us = BEGIN;
    *state = w;
    return 0;
}

static int leave_world(void **state)
{
    struct world *w = *state;

    li_enrolled_free(w->e);
    li_calls_free(w->calls);
    li_calls_free(w->gates);
    free(w);
    return 0;
}

static void order(struct world *w, enum li_type type, uint64_t line)
{
    struct li_order *o = &w->order[w->n_orders++];
    struct li_orders all = {w->order, w->n_orders};

    *o = (struct li_order){.id = w->n_orders,
                           .type = type,
                           .line = line,
                           .starts_us = BEGIN,
                           .ends_us = BEGIN + 3600 * SECOND,
                           .case_id = "CASE-1",
                           .version = 4};
    assert_int_equal(li_calls_orders(w->calls, &all), E_OK);
    assert_int_equal(li_calls_orders(w->gates, &all), E_OK);
}

static void feed_as(struct world *w, struct tap_record r, bool silent)
{
    w->at_us += 1000;
    r.at_us = w->at_us;
    r.remote = (struct net_addr){4, 5060, {192, 0, 2, 7}};
    li_enrolled_record(w->e, &r, silent);
}

static void feed(struct world *w, struct tap_record r)
{
    feed_as(w, r, false);
}

static void begin(struct world *w, const char *id)
{
    feed(w, (struct tap_record){.kind = TAP_CALL_BEGIN,
                                .text = {view_of(id), VIEW(CALLID), VIEW(""), VIEW("611")}});
}

static void message(struct world *w, const char *id, enum tap_kind kind, const char *start,
                    const char *cseq, const char *body)
{
    char octets[2000];
    bool by_server = strncmp(start, "BYE", 3) == 0;

    snprintf(octets, sizeof octets,
             "%s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=%s\r\n"
             "To: <sip:611@h>;tag=%s\r\nCall-ID: " CALLID "\r\nCSeq: %s\r\n"
             "%sContent-Length: %zu\r\n\r\n%s",
             start, by_server ? "2" : "1", by_server ? "1" : "2", cseq,
             body[0] != 0 ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
    feed(w, (struct tap_record){.kind = kind, .text = {view_of(id), view_of(octets)}});
}

/* Up to the answer. */
static void talk(struct world *w, const char *id)
{
    begin(w, id);
    message(w, id, TAP_MESSAGE_IN, "INVITE sip:611@h SIP/2.0", "1 INVITE", SDP);
    feed(w, (struct tap_record){.kind = TAP_CALL_ROUTE,
                                .party = TAP_SERVER,
                                .text = {view_of(id), VIEW("611"), VIEW("ps1")}});
    message(w, id, TAP_MESSAGE_OUT, "SIP/2.0 183 x", "1 INVITE", SDP);
    message(w, id, TAP_MESSAGE_OUT, "SIP/2.0 200 OK", "1 INVITE", SDP);
    message(w, id, TAP_MESSAGE_IN, "ACK sip:611@h SIP/2.0", "1 ACK", "");
}

static void hang_up(struct world *w, const char *id)
{
    message(w, id, TAP_MESSAGE_OUT, "BYE sip:a@h SIP/2.0", "7 BYE", "");
    feed(w, (struct tap_record){
                .kind = TAP_CALL_END, .status = 200, .text = {view_of(id), VIEW("server")}});
}

static void seal_for(const uint8_t pub[P256_POINT_BYTES], const char *id,
                     uint8_t out[TAP_SEALED_BYTES])
{
    uint8_t keys[TAP_KEYS_BYTES];

    memset(keys, 'u', TAP_WAY_BYTES);
    memset(keys + TAP_WAY_BYTES, 'd', TAP_WAY_BYTES);
    assert_int_equal(tap_keys_seal(pub, view_of(id), VIEW(CALLID), keys, out), E_OK);
}

static void enrolled_as(struct world *w, const char *id, uint64_t line, const uint8_t *sealed,
                        bool silent)
{
    feed_as(w,
            (struct tap_record){.kind = TAP_ENROLMENT,
                                .party = TAP_SERVER,
                                .line = line,
                                .text = {view_of(id), VIEW(CALLID), VIEW("enrolled"),
                                         view_from(sealed, TAP_SEALED_BYTES), VIEW("+12125550107"),
                                         VIEW("ab")}},
            silent);
}

static void enrolled(struct world *w, const char *id, uint64_t line)
{
    uint8_t sealed[TAP_SEALED_BYTES];

    seal_for(w->keys[0].pub, id, sealed);
    enrolled_as(w, id, line, sealed, false);
}

static unsigned count(const struct world *w, const char *what)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n; i++) {
        n += strcmp(w->said[i], what) == 0;
    }
    return n;
}

static struct li_enrolled_facts facts(const struct world *w)
{
    struct li_enrolled_facts f;

    li_enrolled_facts_of(w->e, &f);
    return f;
}

static void a_call_is_told_when_its_line_is_known(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE);
    talk(w, ID);
    assert_int_equal(w->n + w->copies, 0);
    enrolled(w, ID, ALICE);
    assert_string_equal(w->said[0], "1 Origination");
    assert_int_equal(w->first_us, BEGIN + 1000); /* when it was */
    assert_int_equal(count(w, "1 Answer"), 1);
    assert_int_equal(count(w, "1 CCOpen up down"), 1);
    /* The key is the voice's, not the control channel's. */
    assert_non_null(strstr(w->subject, "PCMU/8000\r\na=crypto:1 AEAD_AES_256_GCM inline:dXV1"));
    assert_non_null(strstr(w->subject, "\r\nm=application"));
    assert_int_equal(w->copies, 4);
    hang_up(w, ID);
    assert_int_equal(count(w, "1 CCClose") + count(w, "1 Release"), 2);
    assert_int_equal(w->copies, 5);
    assert_int_equal(facts(w).calls + facts(w).bad_keys + facts(w).forgotten, 0);
}

static void an_end_before_the_enrolments_is_no_loss(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE);
    talk(w, ID);
    hang_up(w, ID);
    assert_int_equal(facts(w).calls, 1);
    enrolled(w, ID, ALICE);
    assert_int_equal(count(w, "1 CCOpen up down"), 1);
    assert_string_equal(w->said[w->n - 1], "1 Release");
    assert_int_equal(facts(w).calls, 0);
}

/* Nor are many messages before it. */
static void what_a_caller_sends_pushes_no_end_away(void **state)
{
    struct world *w = *state;
    char cseq[24];

    order(w, LI_CONTENT, ALICE);
    talk(w, ID);
    for (unsigned i = 0; i < 80; i++) {
        snprintf(cseq, sizeof cseq, "%u INFO", 10 + i);
        message(w, ID, TAP_MESSAGE_IN, "INFO sip:611@h SIP/2.0", cseq, "");
    }
    hang_up(w, ID);
    enrolled(w, ID, ALICE);
    assert_int_equal(count(w, "1 CCClose"), 1);
    assert_string_equal(w->said[w->n - 1], "1 Release");
}

static void pen_registers_and_others_get_no_keys(void **state)
{
    struct world *w = *state;

    order(w, LI_PEN_REGISTER, ALICE);
    order(w, LI_CONTENT, BOB);
    talk(w, ID);
    enrolled(w, ID, ALICE);
    hang_up(w, ID);
    assert_int_equal(count(w, "1 Origination"), 1);
    assert_int_equal(count(w, "1 Release"), 1);
    for (unsigned i = 0; i < w->n; i++) {
        assert_null(strstr(w->said[i], "CCOpen"));
        assert_true(w->said[i][0] == '1');
    }
}

static void what_became_nobodys_is_forgotten(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE);
    talk(w, ID);
    enrolled(w, ID, 0);
    assert_int_equal(facts(w).calls, 0);
    hang_up(w, ID);
    talk(w, "11112233445566aa");
    hang_up(w, "11112233445566aa"); /* no enrolment at all */
    assert_int_equal(facts(w).calls, 1);
    w->at_us += 61 * SECOND;
    begin(w, "22222233445566aa");
    assert_int_equal(facts(w).calls, 1);
    li_enrolled_gone(w->e);
    assert_int_equal(facts(w).calls, 0);
    assert_int_equal(w->n + w->copies, 0);
}

static void keys_that_do_not_open_raise_an_alarm(void **state)
{
    struct world *w = *state;
    struct p256_key other;
    uint8_t sealed[TAP_SEALED_BYTES];

    order(w, LI_CONTENT, ALICE);
    assert_int_equal(p256_generate(&other), E_OK);
    seal_for(other.pub, ID, sealed);
    talk(w, ID);
    enrolled_as(w, ID, ALICE, sealed, false);
    assert_int_equal(facts(w).bad_keys, 1);
    assert_int_equal(count(w, "1 CCOpen"), 1); /* the call is told all the same */
    hang_up(w, ID);
    /* Those of one call do not open for another, nor when an octet is another. */
    seal_for(w->keys[0].pub, ID, sealed);
    talk(w, "11112233445566aa");
    enrolled_as(w, "11112233445566aa", ALICE, sealed, false);
    assert_int_equal(facts(w).bad_keys, 2);
    seal_for(w->keys[0].pub, "22222233445566aa", sealed);
    sealed[TAP_SEALED_BYTES - 1] ^= 1;
    talk(w, "22222233445566aa");
    enrolled_as(w, "22222233445566aa", ALICE, sealed, false);
    assert_int_equal(facts(w).bad_keys, 3);
    /* The key before the newest opens what was sealed to it. */
    seal_for(w->keys[1].pub, "33332233445566aa", sealed);
    talk(w, "33332233445566aa");
    enrolled_as(w, "33332233445566aa", ALICE, sealed, false);
    assert_int_equal(facts(w).bad_keys, 3);
    assert_int_equal(count(w, "1 CCOpen up down"), 1);
}

/* Its beginning was overwritten before it was read: nothing is made up. */
static void an_enrolment_without_its_call_tells_nothing(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE);
    message(w, ID, TAP_MESSAGE_OUT, "SIP/2.0 200 OK", "1 INVITE", SDP);
    enrolled(w, ID, ALICE);
    hang_up(w, ID);
    assert_int_equal(w->n + w->copies + facts(w).calls, 0);
}

/* A restart of headgate-li reads all again, silently up to where it was. */
static void a_second_reading_goes_on_where_it_was(void **state)
{
    struct world *w = *state;
    uint8_t sealed[TAP_SEALED_BYTES];

    order(w, LI_CONTENT, ALICE);
    talk(w, ID);
    seal_for(w->keys[0].pub, ID, sealed);
    enrolled_as(w, ID, ALICE, sealed, true); /* was told before */
    assert_int_equal(w->n + w->copies, 0);
    hang_up(w, ID);
    assert_int_equal(w->n, 2);
    assert_int_equal(count(w, "1 CCClose") + count(w, "1 Release"), 2);
}

/* headgate knew the caller as a line: its call gets the keys, and there is no second one. */
static void a_call_that_the_gate_knows_is_one_call(void **state)
{
    struct world *w = *state;
    struct tap_record r = {.kind = TAP_CALL_BEGIN,
                           .party = TAP_LINE,
                           .is_proven = true,
                           .line = ALICE,
                           .at_us = BEGIN,
                           .text = {VIEW("99"), VIEW(CALLID), VIEW("+12125550107"), VIEW("611")}};
    static const char *const starts[] = {"INVITE sip:611@h SIP/2.0", "SIP/2.0 200 OK"};
    char octets[1000];

    order(w, LI_CONTENT, ALICE);
    order(w, LI_PEN_REGISTER, ALICE);
    li_calls_record(w->gates, &r, false);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(octets, sizeof octets,
                 "%s\r\nCall-ID: " CALLID "\r\nFrom: <sip:a@h>;tag=1\r\n"
                 "To: <sip:611@h>%s\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
                 "Content-Length: %zu\r\n\r\n" SDP,
                 starts[i], i > 0 ? ";tag=2" : "", strlen(SDP));
        r.kind = i > 0 ? TAP_MESSAGE_OUT : TAP_MESSAGE_IN;
        r.text[1] = view_of(octets);
        li_calls_record(w->gates, &r, false);
    }
    assert_int_equal(count(w, "1 CCOpen"), 1);
    talk(w, ID);
    enrolled(w, ID, ALICE);
    hang_up(w, ID);
    assert_int_equal(w->gates_said, w->n);
    assert_int_equal(count(w, "1 Origination"), 1);
    assert_int_equal(count(w, "1 CCChange up down"), 1);
    assert_int_equal(facts(w).calls, 0);
}

/* The gate's call was over first: then it is told a second time, as nobody has its media. */
static void keys_that_come_after_the_end_are_not_lost(void **state)
{
    struct world *w = *state;

    a_call_that_the_gate_knows_is_one_call(state);
    w->n = 0;
    li_calls_record(w->gates,
                    &(struct tap_record){.kind = TAP_CALL_END,
                                         .at_us = w->at_us,
                                         .text = {VIEW("99"), VIEW("caller")}},
                    false);
    talk(w, ID);
    enrolled(w, ID, ALICE);
    assert_int_equal(count(w, "1 CCOpen up down"), 1);
}

static void a_flood_of_calls_keeps_within_its_limits(void **state)
{
    struct world *w = *state;
    char id[20];

    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "%016x", i);
        begin(w, id);
    }
    assert_int_equal(facts(w).calls, 4096);
    assert_int_equal(facts(w).forgotten, 5000 - 4096);
    for (unsigned i = 0; i < 200; i++) {
        message(w, id, TAP_MESSAGE_IN, "OPTIONS sip:611@h SIP/2.0", "9 OPTIONS", "");
    }
    assert_int_equal(facts(w).forgotten, 5000 - 4096 + 200 - 63);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, leave_world)
    const struct CMUnitTest tests[] = {T(a_call_is_told_when_its_line_is_known),
                                       T(an_end_before_the_enrolments_is_no_loss),
                                       T(what_a_caller_sends_pushes_no_end_away),
                                       T(pen_registers_and_others_get_no_keys),
                                       T(what_became_nobodys_is_forgotten),
                                       T(keys_that_do_not_open_raise_an_alarm),
                                       T(an_enrolment_without_its_call_tells_nothing),
                                       T(a_second_reading_goes_on_where_it_was),
                                       T(a_call_that_the_gate_knows_is_one_call),
                                       T(keys_that_come_after_the_end_are_not_lost),
                                       T(a_flood_of_calls_keeps_within_its_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
