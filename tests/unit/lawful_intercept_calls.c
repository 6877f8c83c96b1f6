#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/calls_int.h"

#define SECOND 1000000ull
#define BEGIN  (1700000000 * SECOND)
#define KEY    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n"
#define SDP    "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/SAVP 0\r\n"
#define ID     "00112233445566aa"
enum { ALICE = 7, BOB = 8, CAROL = 9 };

struct world {
    struct li_calls *calls;
    struct li_order order[4];
    size_t n_orders;
    char said[64][200]; /* one line for each message: order, kind, what matters of it */
    unsigned n, copies;
    char copy[2000];
    uint64_t at_us;
};

static struct view or_dash(struct view v)
{
    return v.n > 0 ? v : VIEW("-");
}

static void call_data(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    struct world *w = arg;
    static char octets[CDC_MAX];
    char why[128];
    size_t n = 0;
    struct view from = or_dash(m->calling.dn), to = or_dash(m->called.dn),
                other = or_dash(m->signal.other);

    /* Whatever is told can be sent. */
    if (cdc_write(m, octets, sizeof octets, &n, why, sizeof why) != E_OK) {
        fail_msg("%s: %s", cdc_kind_name(m->kind), why);
    }
    assert_true(w->n < 64);
    snprintf(w->said[w->n++], sizeof w->said[0], "%u %s %.*s>%.*s %s%s %.*s", (unsigned)o->id,
             cdc_kind_name(m->kind), (int)from.n, from.p, (int)to.n, to.p,
             m->subject.n > 0 ? "S" : "", m->associate.n > 0 ? "A" : "", (int)other.n, other.p);
    if (m->subject.n > 0 && o->type != LI_CONTENT) {
        assert_null(memmem(m->subject.p, m->subject.n, "crypto", 6));
    }
    if (m->kind == CDC_CCOPEN) {
        assert_non_null(memmem(m->subject.p, m->subject.n, "inline:", 7));
        assert_non_null(memmem(m->associate.p, m->associate.n, "inline:", 7));
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
    w->copies++;
    snprintf(w->copy, sizeof w->copy, "%.*s", (int)octets.n, octets.p);
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct secret key;
    struct li_calls_cfg cfg = {.element = "GC1", .key = &key, .sink = {call_data, signaling, w}};

    assert_int_equal(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &w->calls), E_OK);
    w->at_us = BEGIN;
    *state = w;
    return 0;
}

static int leave_world(void **state)
{
    struct world *w = *state;

    li_calls_free(w->calls);
    free(w);
    return 0;
}

static void order(struct world *w, enum li_type type, uint64_t line, const char *number)
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
    snprintf(o->number, sizeof o->number, "%s", number);
    assert_int_equal(li_calls_orders(w->calls, &all), E_OK);
}

static void feed(struct world *w, struct tap_record r)
{
    w->at_us += 1000;
    r.at_us = w->at_us;
    r.is_proven = true;
    r.remote = (struct net_addr){4, (uint16_t)(5000 + r.line), {192, 0, 2, (uint8_t)r.line}};
    r.party = r.line != 0 ? TAP_LINE : TAP_GATEWAY;
    li_calls_record(w->calls, &r, false);
}

static void begin(struct world *w, uint64_t line, const char *caller, const char *called)
{
    feed(w, (struct tap_record){.kind = TAP_CALL_BEGIN,
                                .line = line,
                                .trunk = line == 0 ? 3 : 0,
                                .text = {VIEW(ID), VIEW("x@y"), view_of(caller), view_of(called)}});
}

static void route(struct world *w, uint64_t line, const char *routed)
{
    feed(w, (struct tap_record){.kind = TAP_CALL_ROUTE,
                                .line = line,
                                .text = {VIEW(ID), view_of(routed), VIEW("local")}});
}

static void end(struct world *w)
{
    feed(w, (struct tap_record){.kind = TAP_CALL_END, .text = {VIEW(ID), VIEW("caller")}});
}

static void message(struct world *w, enum tap_kind kind, uint64_t line, const char *start,
                    const char *cseq, const char *body)
{
    bool by_callee = atoi(cseq) >= 9; /* the callee's requests have these numbers */
    char octets[2000];

    snprintf(octets, sizeof octets,
             "%s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=%d\r\nTo: "
             "<sip:b@h>;tag=%d\r\nCall-ID: x@y\r\nCSeq: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
             start, by_callee ? 2 : 1, by_callee ? 1 : 2, cseq,
             body[0] != 0 ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
    feed(w, (struct tap_record){.kind = kind, .line = line, .text = {VIEW(ID), view_of(octets)}});
}

static void answered_call(struct world *w)
{
    begin(w, ALICE, "+12125550101", "2125550102");
    message(w, TAP_MESSAGE_IN, ALICE, "INVITE sip:2125550102@h SIP/2.0", "1 INVITE", SDP KEY);
    route(w, BOB, "+12125550102");
    message(w, TAP_MESSAGE_OUT, BOB, "INVITE sip:b@h SIP/2.0", "1 INVITE", SDP KEY);
    message(w, TAP_MESSAGE_IN, BOB, "SIP/2.0 180 Ringing", "1 INVITE", "");
    message(w, TAP_MESSAGE_OUT, ALICE, "SIP/2.0 180 Ringing", "1 INVITE", "");
    message(w, TAP_MESSAGE_IN, BOB, "SIP/2.0 200 OK", "1 INVITE", SDP KEY "a=x\r\n");
    message(w, TAP_MESSAGE_OUT, ALICE, "SIP/2.0 200 OK", "1 INVITE", SDP KEY "a=x\r\n");
    message(w, TAP_MESSAGE_IN, ALICE, "ACK sip:b@h SIP/2.0", "1 ACK", "");
}

static void check(const struct world *w, const char *const *expected, unsigned n)
{
    for (unsigned i = 0; i < n && i < w->n; i++) {
        assert_string_equal(w->said[i], expected[i]);
    }
    assert_int_equal(w->n, n);
}
#define CHECK(w, ...)                                                                              \
    do {                                                                                           \
        static const char *const e_[] = {__VA_ARGS__};                                             \
        check(w, e_, sizeof e_ / sizeof e_[0]);                                                    \
    } while (0)

static void a_call_from_the_subject(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE, "");
    answered_call(w);
    message(w, TAP_MESSAGE_IN, ALICE, "BYE sip:b@h SIP/2.0", "2 BYE", "");
    end(w);
    CHECK(w, "1 Origination 12125550101>-  -", "1 NetworkSignal ->-  -", "1 Answer ->-  -",
          "1 CCOpen ->- SA -", "1 CCClose ->-  -", "1 Release ->-  -");
    assert_int_equal(w->copies, 5); /* the subject's own: INVITE, 180, 200, ACK, BYE */
    end(w);
    assert_int_equal(w->n, 6);
}

static void a_call_to_the_subject_by_its_number_form(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, BOB, "");
    answered_call(w);
    end(w);
    CHECK(w, "1 TerminationAttempt 12125550101>12125550102  -", "1 NetworkSignal ->-  -",
          "1 Answer ->-  -", "1 CCOpen ->- SA -", "1 CCClose ->-  -", "1 Release ->-  -");
    assert_int_equal(w->copies, 3); /* INVITE, 180, 200 */
}

static void a_pen_register_gets_no_keys_and_no_content(void **state)
{
    struct world *w = *state;

    order(w, LI_PEN_REGISTER, ALICE, "");
    order(w, LI_TRAP_AND_TRACE, ALICE, ""); /* of calls to her: none here */
    order(w, LI_PEN_REGISTER, BOB, "");     /* of calls that he makes: none here */
    answered_call(w);
    end(w);
    CHECK(w, "1 Origination 12125550101>-  -", "1 NetworkSignal ->-  -", "1 Answer ->-  -",
          "1 MediaReport ->- SA -", "1 Release ->-  -");
    assert_int_equal(w->copies, 4);
    assert_null(strstr(w->copy, "crypto"));
}

static void nothing_of_others(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, CAROL, "");
    order(w, LI_CONTENT, 0, "+12125550101"); /* a number that a line of ours has: by line alone */
    answered_call(w);
    end(w);
    assert_int_equal(w->n, 0);
    assert_int_equal(w->copies, 0);
}

static void two_orders_on_one_subject_know_nothing_of_each_other(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE, "");
    order(w, LI_CONTENT, ALICE, "");
    order(w, LI_CONTENT, BOB, "");
    answered_call(w);
    end(w);
    assert_int_equal(w->n, 18);
    assert_int_equal(w->copies, 4 + 4 + 3);
}

static void a_number_outside_is_matched_over_the_trunk(void **state)
{
    struct world *w = *state;

    order(w, LI_PEN_AND_TRAP, 0, "+442079460100");
    begin(w, 0, "+442079460100", "+12125550102");
    route(w, BOB, "+12125550102");
    end(w);
    CHECK(w, "1 Origination 442079460100>12125550102  -", "1 Release ->-  -");
    w->n = 0;
    begin(w, ALICE, "+12125550101", "011442079460100");
    route(w, 0, "+442079460100");
    end(w);
    CHECK(w, "1 TerminationAttempt 12125550101>442079460100  -", "1 Release ->-  -");
}

static void a_forwarded_call(void **state)
{
    struct world *w = *state;

    order(w, LI_PEN_AND_TRAP, BOB, "");
    order(w, LI_PEN_AND_TRAP, CAROL, "");
    begin(w, ALICE, "+12125550101", "2125550102");
    route(w, BOB, "+12125550102");
    route(w, BOB, "+12125550102"); /* said twice is no forwarding */
    route(w, CAROL, "+12125550103");
    end(w);
    CHECK(w, "1 TerminationAttempt 12125550101>12125550102  -", "1 Redirection ->-  -",
          "2 TerminationAttempt 12125550101>12125550103  -", "1 Release ->-  -",
          "2 Release ->-  -");
}

static void busy_and_cancelled_calls_are_reported(void **state)
{
    struct world *w = *state;

    order(w, LI_PEN_AND_TRAP, ALICE, "");
    begin(w, ALICE, "+12125550101", "2125550102");
    message(w, TAP_MESSAGE_IN, ALICE, "INVITE sip:2125550102@h SIP/2.0", "1 INVITE", SDP);
    route(w, BOB, "+12125550102");
    message(w, TAP_MESSAGE_IN, BOB, "SIP/2.0 486 Busy Here", "1 INVITE", "");
    message(w, TAP_MESSAGE_OUT, ALICE, "SIP/2.0 486 Busy Here", "1 INVITE", "");
    message(w, TAP_MESSAGE_OUT, ALICE, "SIP/2.0 486 Busy Here", "1 INVITE", ""); /* again */
    end(w);
    CHECK(w, "1 Origination 12125550101>-  -", "1 NetworkSignal ->-  -", "1 Release ->-  -");
}

static void changes_and_signals_within_a_call(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE, "");
    answered_call(w);
    w->n = 0;
    message(w, TAP_MESSAGE_IN, BOB, "INVITE sip:a@h SIP/2.0", "9 INVITE", SDP KEY "a=sendonly\r\n");
    message(w, TAP_MESSAGE_IN, ALICE, "SIP/2.0 200 OK", "9 INVITE", SDP KEY "a=recvonly\r\n");
    message(w, TAP_MESSAGE_IN, BOB, "INVITE sip:a@h SIP/2.0", "10 INVITE",
            SDP KEY "a=sendonly\r\n");
    message(w, TAP_MESSAGE_IN, ALICE, "SIP/2.0 200 OK", "10 INVITE", SDP KEY "a=recvonly\r\n");
    message(w, TAP_MESSAGE_IN, ALICE, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:c@h>", "3 REFER",
            "");
    CHECK(w, "1 CCChange ->- SA -", "1 SubjectSignal ->-  REFER <sip:c@h>");
}

/* The answer need not be another one than before: what was offered is. */
static void one_side_alone_changes_its_key(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE, "");
    answered_call(w);
    w->n = 0;
    message(w, TAP_MESSAGE_IN, ALICE, "INVITE sip:b@h SIP/2.0", "3 INVITE",
            SDP KEY "a=sendonly\r\n");
    message(w, TAP_MESSAGE_OUT, BOB, "INVITE sip:b@h SIP/2.0", "3 INVITE",
            SDP KEY "a=sendonly\r\n");
    assert_int_equal(w->n, 0);
    message(w, TAP_MESSAGE_IN, BOB, "SIP/2.0 200 OK", "3 INVITE", SDP KEY "a=x\r\n");
    message(w, TAP_MESSAGE_OUT, ALICE, "SIP/2.0 200 OK", "3 INVITE", SDP KEY "a=x\r\n");
    CHECK(w, "1 CCChange ->- SA -");
}

static void who_gives_up_hears_no_tone(void **state)
{
    struct world *w = *state;

    order(w, LI_PEN_AND_TRAP, ALICE, "");
    begin(w, ALICE, "+12125550101", "2125550102");
    message(w, TAP_MESSAGE_IN, ALICE, "INVITE sip:2125550102@h SIP/2.0", "1 INVITE", SDP);
    route(w, BOB, "+12125550102");
    message(w, TAP_MESSAGE_IN, ALICE, "CANCEL sip:2125550102@h SIP/2.0", "1 CANCEL", "");
    message(w, TAP_MESSAGE_OUT, ALICE, "SIP/2.0 487 Request Terminated", "1 INVITE", "");
    end(w);
    CHECK(w, "1 Origination 12125550101>-  -", "1 Release ->-  -");
}

static void calls_of_a_gate_that_was_started_again_are_over(void **state)
{
    struct world *w = *state;
    struct li_calls_facts facts;

    order(w, LI_CONTENT, ALICE, "");
    answered_call(w);
    w->n = 0;
    li_calls_gone(w->calls, w->at_us + SECOND);
    CHECK(w, "1 CCClose ->-  -", "1 Release ->-  -");
    li_calls_facts_of(w->calls, &facts);
    assert_int_equal(facts.calls, 0);
}

static void orders_that_begin_and_end_within_a_call(void **state)
{
    struct world *w = *state;
    struct li_calls_facts facts;

    answered_call(w);
    assert_int_equal(w->n, 0);
    order(w, LI_CONTENT, ALICE, "");
    order(w, LI_PEN_AND_TRAP, BOB, "");
    li_calls_tick(w->calls, w->at_us);
    li_calls_tick(w->calls, w->at_us);
    CHECK(w, "1 ServiceInstance 12125550101>12125550102  -", "1 CCOpen ->- SA -",
          "2 ServiceInstance 12125550101>12125550102  -", "2 MediaReport ->- SA -");
    w->n = 0;
    li_calls_tick(w->calls, BEGIN + 3601 * SECOND);
    CHECK(w, "1 CCClose ->-  -");
    w->at_us = BEGIN + 3602 * SECOND;
    end(w);
    assert_int_equal(w->n, 1);
    li_calls_facts_of(w->calls, &facts);
    assert_true(facts.calls == 0 && facts.legs == 0);
}

static void before_and_after_there_is_nothing(void **state)
{
    struct world *w = *state;

    order(w, LI_CONTENT, ALICE, "");
    w->at_us = BEGIN - 10 * SECOND;
    begin(w, ALICE, "+12125550101", "2125550102");
    end(w);
    w->at_us = BEGIN + 3600 * SECOND;
    begin(w, ALICE, "+12125550101", "2125550102");
    end(w);
    assert_int_equal(w->n, 0);
}

static void a_silent_reading_leads_to_the_same_state(void **state)
{
    struct world *w = *state;
    struct tap_record r = {.kind = TAP_CALL_BEGIN,
                           .line = ALICE,
                           .at_us = BEGIN + 1,
                           .text = {VIEW(ID), VIEW("x@y"), VIEW("+12125550101"), VIEW("*72")}};

    order(w, LI_CONTENT, ALICE, "");
    li_calls_record(w->calls, &r, true);
    assert_int_equal(w->n, 0);
    end(w);
    CHECK(w, "1 Release ->-  -");
    w->n = 0;
    li_calls_record(w->calls, &r, false);
    CHECK(w, "1 Origination 12125550101>-  -", "1 SubjectSignal ->-  -",
          "1 ServiceInstance 12125550101>-  -");
}

static void registrations_are_the_subjects_signals(void **state)
{
    struct world *w = *state;
    struct tap_record r = {
        .kind = TAP_MESSAGE_IN,
        .line = ALICE,
        .text = {VIEW(""), VIEW("REGISTER sip:h SIP/2.0\r\nCSeq: 1 REGISTER\r\n\r\n")}};

    order(w, LI_PEN_REGISTER, ALICE, "");
    feed(w, r);
    r.line = BOB;
    feed(w, r);
    CHECK(w, "1 SubjectSignal ->-  REGISTER sip:h");
}

static void more_calls_than_places(void **state)
{
    struct world *w = *state;
    struct secret key;
    struct li_calls_cfg cfg = {
        .element = "GC1", .key = &key, .max_calls = 4, .sink = {call_data, signaling, w}};
    struct li_calls_facts facts;
    struct li_calls *few = NULL;

    assert_int_equal(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &few), E_OK);
    for (unsigned i = 0; i < 10; i++) {
        char id[17];
        struct tap_record r = {.kind = TAP_CALL_BEGIN, .at_us = BEGIN + i};
        snprintf(id, sizeof id, "%016x", i);
        r.text[0] = view_of(id);
        li_calls_record(few, &r, false);
    }
    li_calls_facts_of(few, &facts);
    assert_true(facts.calls == 4 && facts.forgotten == 6);
    li_calls_free(few);
}

/* However many there are, and though few of them are looked at. */
static void a_flood_of_others_pushes_no_followed_call_away(void **state)
{
    struct world *w = *state;
    struct secret key;
    struct li_calls_cfg cfg = {
        .element = "GC1", .key = &key, .max_calls = 1000, .sink = {call_data, signaling, w}};
    struct li_order one = {.id = 1,
                           .type = LI_TRAP_AND_TRACE,
                           .line = ALICE,
                           .starts_us = BEGIN,
                           .ends_us = BEGIN + SECOND,
                           .version = 4};
    struct li_orders all = {&one, 1};
    struct li_calls_facts facts;
    struct li_calls *few = NULL;

    assert_int_equal(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &few), E_OK);
    assert_int_equal(li_calls_orders(few, &all), E_OK);
    for (unsigned i = 0; i < 3000; i++) {
        char id[17];
        struct tap_record r = {.kind = TAP_CALL_BEGIN, .at_us = BEGIN + i, .line = BOB};
        snprintf(id, sizeof id, "%016x", i);
        r.text[0] = view_of(id);
        li_calls_record(few, &r, true);
        r.kind = i < 990 ? TAP_CALL_ROUTE : TAP_CALL_END;
        r.line = ALICE;
        li_calls_record(few, &r, true);
    }
    li_calls_facts_of(few, &facts);
    assert_true(facts.calls == 990 && facts.legs == 990 && facts.forgotten == 0);
    li_calls_free(few);
}

/* What of a message is kept to know it again, of calls with that key. */
static uint64_t kept_of(struct world *w, const char *key_text)
{
    struct secret key;
    struct li_calls_cfg cfg = {.element = "GC1", .key = &key, .sink = {call_data, signaling, w}};
    struct tap_record r = {.kind = TAP_MESSAGE_IN,
                           .at_us = BEGIN,
                           .text = {VIEW(""), VIEW("OPTIONS sip:h SIP/2.0\r\nCSeq: 1 x\r\n\r\n")}};
    struct li_calls *c = NULL;
    uint64_t kept = 0;

    assert_int_equal(secret_set(&key, key_text, 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &c), E_OK);
    li_calls_record(c, &r, false);
    for (size_t i = 0; i < LI_SEEN_OUTSIDE; i++) {
        kept += c->seen[2 * i];
    }
    li_calls_free(c);
    return kept;
}

/* Else a subject computes two messages that are one, and the second is told to nobody. */
static void who_writes_messages_cannot_know_what_they_are_known_by(void **state)
{
    uint64_t kept = kept_of(*state, "0123456789abcdef0123456789abcdef");

    assert_true(kept != 0 && kept == kept_of(*state, "0123456789abcdef0123456789abcdef"));
    assert_true(kept != kept_of(*state, "0123456789abcdef0123456789abcdeF"));
}

int main(void)
{
#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, make_world, leave_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_call_from_the_subject),
        IN_WORLD(a_call_to_the_subject_by_its_number_form),
        IN_WORLD(a_pen_register_gets_no_keys_and_no_content),
        IN_WORLD(nothing_of_others),
        IN_WORLD(two_orders_on_one_subject_know_nothing_of_each_other),
        IN_WORLD(a_number_outside_is_matched_over_the_trunk),
        IN_WORLD(a_forwarded_call),
        IN_WORLD(busy_and_cancelled_calls_are_reported),
        IN_WORLD(changes_and_signals_within_a_call),
        IN_WORLD(one_side_alone_changes_its_key),
        IN_WORLD(who_gives_up_hears_no_tone),
        IN_WORLD(calls_of_a_gate_that_was_started_again_are_over),
        IN_WORLD(orders_that_begin_and_end_within_a_call),
        IN_WORLD(before_and_after_there_is_nothing),
        IN_WORLD(a_silent_reading_leads_to_the_same_state),
        IN_WORLD(registrations_are_the_subjects_signals),
        IN_WORLD(more_calls_than_places),
        IN_WORLD(a_flood_of_others_pushes_no_followed_call_away),
        IN_WORLD(who_writes_messages_cannot_know_what_they_are_known_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
