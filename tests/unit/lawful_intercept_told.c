/* What orders are told of calls: rows of records, and the rows that come of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/calls.h"

#define SECOND 1000000ull
#define BEGIN  (1700000000 * SECOND)
#define SDP(name)                                                                                  \
    "v=0\r\ns=" name "\r\nm=audio 4000 RTP/SAVP 0\r\n"                                             \
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" name "\r\n"
enum { A = 7, B = 8, C = 9, OUT = 0, NOBODY = 99 }; /* lines; OUT: trunk 3 */
#define A_NUMBER "+12125550101"
#define B_NUMBER "+12125550102"
#define C_NUMBER "+12125550103"

enum { ORDERS_MAX = 3, STEPS_MAX = 96, SAID_MAX = 24 };

struct step {
    char what; /* b begin, r route, i message in, o message out, e end, t time passes (seconds) */
    int call;
    uint64_t line;
    const char *a, *b, *body;
};

/* caller, called; number; start, CSeq ("c" in front: asked by the callee), session description */
#define BEGINS(call, line, caller, called)                                                         \
    {                                                                                              \
        'b', call, line, caller, called, ""                                                        \
    }
#define ROUTE(call, line, number)                                                                  \
    {                                                                                              \
        'r', call, line, number, "", ""                                                            \
    }
#define IN(call, line, start, cseq, body)                                                          \
    {                                                                                              \
        'i', call, line, start, cseq, body                                                         \
    }
#define SENT(call, line, start, cseq, body)                                                        \
    {                                                                                              \
        'o', call, line, start, cseq, body                                                         \
    }
#define ENDS(call)                                                                                 \
    {                                                                                              \
        'e', call, 0, "caller", "", ""                                                             \
    }
#define PASS(seconds)                                                                              \
    {                                                                                              \
        't', seconds, 0, "", "", ""                                                                \
    }
#define SETUP(call)                                                                                \
    BEGINS(call, A, A_NUMBER, B_NUMBER), ROUTE(call, B, B_NUMBER),                                 \
        IN(call, A, "INVITE sip:" B_NUMBER "@h SIP/2.0", "1 INVITE", SDP("a1"))
#define TALK(call)                                                                                 \
    SETUP(call), IN(call, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),                             \
        SENT(call, A, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),                                    \
        IN(call, A, "ACK sip:b@h SIP/2.0", "1 ACK", "")

struct row {
    const char *name;
    struct li_order order[ORDERS_MAX];
    struct step step[STEPS_MAX];
    const char *said[SAID_MAX], *copies[SAID_MAX];
    bool has_copies;
};
#define PEN(l)                                                                                     \
    {                                                                                              \
        .type = LI_PEN_REGISTER, .line = (l)                                                       \
    }
#define TRAP(l)                                                                                    \
    {                                                                                              \
        .type = LI_TRAP_AND_TRACE, .line = (l)                                                     \
    }
#define BOTH(l)                                                                                    \
    {                                                                                              \
        .type = LI_PEN_AND_TRAP, .line = (l)                                                       \
    }
#define CONTENT(l)                                                                                 \
    {                                                                                              \
        .type = LI_CONTENT, .line = (l)                                                            \
    }

struct world {
    struct li_calls *calls;
    const struct row *row;
    char said[SAID_MAX][160], copied[SAID_MAX][160];
    unsigned n, n_copies;
    uint64_t at_us;
};

/* ---- what is said ------------------------------------------------------------------------------
 */
static int shown(struct view v)
{
    return v.n < 60 ? (int)v.n : 60;
}

static struct view or_dash(struct view v)
{
    return v.n > 0 ? v : VIEW("-");
}

/* The "s=" line of a session description. */
static struct view name_of(struct view sdp)
{
    const char *p = sdp.n > 0 ? memmem(sdp.p, sdp.n, "s=", 2) : NULL;
    size_t n = 0;

    if (p == NULL) {
        return VIEW("-");
    }
    while (p[2 + n] != '\r') {
        n++;
    }
    return view_from(p + 2, n);
}

#define TEXT_OF(v) shown(or_dash(v)), or_dash(v).p
static void describe(const struct cdc_message *m, char *out, size_t bytes)
{
    switch (m->kind) {
    case CDC_ORIGINATION:
        snprintf(out, bytes, "%.*s %.*s%.*s", TEXT_OF(m->user_input), TEXT_OF(m->calling.dn),
                 shown(m->calling.generic_address), m->calling.generic_address.p);
        break;
    case CDC_TERMINATION_ATTEMPT:
        snprintf(out, bytes, "%.*s>%.*s %u", TEXT_OF(m->calling.dn), TEXT_OF(m->called.dn),
                 m->redirected.times);
        break;
    case CDC_ANSWER:
        snprintf(out, bytes, "%.*s", TEXT_OF(m->answering.dn));
        break;
    case CDC_REDIRECTION:
        snprintf(out, bytes, "%.*s>%.*s%s", TEXT_OF(m->redirected_from.dn),
                 TEXT_OF(m->redirected_to.dn), m->related.sequence.n > 0 ? " new" : "");
        break;
    case CDC_NETWORK_SIGNAL:
        snprintf(out, bytes, "%u/%u", m->alerting, m->audible);
        break;
    case CDC_SUBJECT_SIGNAL:
        snprintf(out, bytes, "%.*s %.*s", TEXT_OF(m->signal.dialed), TEXT_OF(m->signal.other));
        break;
    case CDC_SERVICE_INSTANCE:
        snprintf(out, bytes, "%.*s%s", TEXT_OF(m->service),
                 m->related.sequence.n > 0 ? " related" : "");
        break;
    case CDC_DIALED_DIGITS:
        snprintf(out, bytes, "%.*s", TEXT_OF(m->digits));
        break;
    case CDC_CCOPEN:
    case CDC_CCCHANGE:
    case CDC_MEDIA_REPORT:
        snprintf(out, bytes, "%.*s/%.*s", TEXT_OF(name_of(m->subject)),
                 TEXT_OF(name_of(m->associate)));
        break;
    case CDC_CCCLOSE:
    case CDC_RELEASE:
    case CDC_CONFERENCE_CHANGE:
        out[0] = 0;
        break;
    }
}

static void call_data(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    static char octets[CDC_MAX];
    struct world *w = arg;
    char why[128], more[128] = "";
    size_t n = 0;

    if (cdc_write(m, octets, sizeof octets, &n, why, sizeof why) != E_OK) {
        fail_msg("%s: %s: %s", w->row->name, cdc_kind_name(m->kind), why);
    }
    if (o->type != LI_CONTENT) {
        assert_null(memmem(octets, n, "inline:", 7));
    }
    describe(m, more, sizeof more);
    assert_true(w->n < SAID_MAX);
    snprintf(w->said[w->n++], sizeof w->said[0], "%u %s%s%s", (unsigned)o->id,
             cdc_kind_name(m->kind), more[0] != 0 ? " " : "", more);
}

static void signaling(void *arg, const struct li_order *o, enum li_direction direction,
                      uint64_t correlation, const struct tap_record *r, struct view octets)
{
    struct world *w = arg;
    size_t end = 0;

    (void)r;
    assert_true(view_find(octets, '\r', &end) && w->n_copies < SAID_MAX);
    if (o->type != LI_CONTENT) {
        assert_null(memmem(octets.p, octets.n, "inline:", 7));
    }
    snprintf(w->copied[w->n_copies++], sizeof w->copied[0], "%u%c %.*s%s", (unsigned)o->id,
             direction == LI_FROM_SUBJECT ? '<' : '>', (int)end, octets.p,
             correlation == 0 ? " alone" : "");
}

/* ---- records -----------------------------------------------------------------------------------
 */
static struct tap_record record(const struct world *w, const struct step *s)
{
    static const enum tap_kind kinds[] = {['b'] = TAP_CALL_BEGIN,
                                          ['r'] = TAP_CALL_ROUTE,
                                          ['i'] = TAP_MESSAGE_IN,
                                          ['o'] = TAP_MESSAGE_OUT,
                                          ['e'] = TAP_CALL_END};

    return (struct tap_record){
        .kind = kinds[(unsigned char)s->what],
        .party = s->line == NOBODY ? TAP_STRANGER
                 : s->line != 0    ? TAP_LINE
                                   : TAP_GATEWAY,
        .is_proven = s->line != NOBODY,
        .line = s->line != NOBODY ? s->line : 0,
        .trunk = s->line != 0 ? 0 : 3,
        .at_us = w->at_us,
        .remote = {4, (uint16_t)(5000 + s->line), {192, 0, 2, (uint8_t)s->line}}};
}

static void say_message(const struct step *s, char *dst, size_t bytes)
{
    bool by_callee = s->b[0] == 'c';
    const char *type = strstr(s->a, "Content-Type:") != NULL || s->body[0] == 0
                           ? ""
                           : "Content-Type: application/sdp\r\n";

    snprintf(dst, bytes,
             "%s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:%s@h>;tag=%s\r\nTo: "
             "<sip:x@h>;tag=%s\r\nCall-ID: %d@y\r\nCSeq: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
             s->a, s->line == OUT ? "bob" : "x", by_callee ? "b" : "a", by_callee ? "a" : "b",
             s->call, s->b + by_callee, type, strlen(s->body), s->body);
}

static void feed(struct world *w, const struct step *s)
{
    struct tap_record r;
    char id[24] = "", octets[2000], call_id[24];

    w->at_us += 1000;
    if (s->what == 't') {
        w->at_us += (uint64_t)(unsigned)s->call * SECOND;
        li_calls_tick(w->calls, w->at_us);
        return;
    }
    r = record(w, s);
    if (s->call != 0) { /* 0: outside of calls */
        snprintf(id, sizeof id, "%016x", (unsigned)s->call);
    }
    snprintf(call_id, sizeof call_id, "%d@y", s->call);
    r.text[0] = view_of(id);
    r.text[1] = view_of(s->what == 'b' ? call_id : s->a);
    r.text[2] = view_of(s->what == 'b' ? s->a : s->b);
    r.text[3] = view_of(s->b);
    if (s->what == 'i' || s->what == 'o') {
        say_message(s, octets, sizeof octets);
        r.text[1] = view_of(octets);
        r.text[2] = r.text[3] = VIEW("");
    }
    li_calls_record(w->calls, &r, false);
}

static void check(const struct row *row, const char *what, char (*got)[160], unsigned n,
                  const char *const *expected)
{
    for (unsigned i = 0; i < SAID_MAX; i++) {
        const char *want = expected[i] != NULL ? expected[i] : "nothing more";
        const char *have = i < n ? got[i] : "nothing more";
        if (strcmp(want, have) != 0) {
            fail_msg("%s: %s %u: wanted '%s', got '%s'", row->name, what, i, want, have);
        }
        if (expected[i] == NULL) {
            return;
        }
    }
}

static void run(const struct row *row)
{
    struct world w = {.row = row, .at_us = BEGIN};
    struct secret key;
    struct li_calls_cfg cfg = {.element = "GC1", .key = &key, .sink = {call_data, signaling, &w}};
    struct li_order order[ORDERS_MAX];
    struct li_orders all = {order, 0};
    unsigned steps = 0;

    assert_int_equal(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    assert_int_equal(li_calls_new(&cfg, &w.calls), E_OK);
    for (; all.n < ORDERS_MAX && row->order[all.n].type != 0; all.n++) {
        struct li_order *o = &order[all.n];
        *o = row->order[all.n];
        o->id = all.n + 1;
        o->starts_us += BEGIN;
        o->ends_us = o->ends_us != 0 ? BEGIN + o->ends_us : BEGIN + 86400 * SECOND;
        snprintf(o->case_id, sizeof o->case_id, "CASE-%zu", all.n);
        o->version = 4;
    }
    assert_int_equal(li_calls_orders(w.calls, &all), E_OK);
    for (; steps < STEPS_MAX && row->step[steps].what != 0; steps++) {
        feed(&w, &row->step[steps]);
    }
    check(row, "message", w.said, w.n, row->said);
    if (row->has_copies) {
        check(row, "copy", w.copied, w.n_copies, row->copies);
    }
    li_calls_free(w.calls);
}

/* ---- rows --------------------------------------------------------------------------------------
 */
static const struct row over_delivery[] = {
    {.name = "an octet that is no UTF-8 keeps no media and no key from an agency",
     .order = {CONTENT(A)},
     .step = {BEGINS(1, A, A_NUMBER, B_NUMBER), ROUTE(1, B, B_NUMBER),
              IN(1, A, "INVITE sip:" B_NUMBER "@h SIP/2.0", "1 INVITE",
                 SDP("a\xE9"
                     "1")),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b\xED\xA0\x80")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a?1/b???",
              "1 CCClose", "1 Release"}},
    {.name = "what crosses the end of a call is of that call",
     .order = {PEN(B), TRAP(B)},
     .step = {TALK(1), SENT(1, B, "BYE sip:b@h SIP/2.0", "2 BYE", ""), ENDS(1),
              IN(1, B, "SIP/2.0 200 OK", "2 BYE", ""), ENDS(1)},
     .said = {"2 TerminationAttempt 12125550101>12125550102 0", "2 Answer 12125550102",
              "2 MediaReport b1/a1", "2 Release"},
     .copies = {"2< SIP/2.0 200 OK", "2> BYE sip:b@h SIP/2.0", "2< SIP/2.0 200 OK"},
     .has_copies = true},
    {.name = "outside of calls the direction decides",
     .order = {PEN(A), TRAP(A), BOTH(A)},
     .step = {SENT(0, A, "MESSAGE sip:a@h SIP/2.0", "5 MESSAGE", ""),
              IN(0, A, "SIP/2.0 200 OK", "5 MESSAGE", ""),
              IN(0, A, "MESSAGE sip:b@h SIP/2.0", "6 MESSAGE", ""),
              SENT(0, A, "SIP/2.0 202 Accepted", "6 MESSAGE", "")},
     .said = {"1 SubjectSignal - MESSAGE sip:b@h", "3 SubjectSignal - MESSAGE sip:b@h"},
     .copies = {"2> MESSAGE sip:a@h SIP/2.0 alone", "3> MESSAGE sip:a@h SIP/2.0 alone",
                "2< SIP/2.0 200 OK alone", "3< SIP/2.0 200 OK alone",
                "1< MESSAGE sip:b@h SIP/2.0 alone", "3< MESSAGE sip:b@h SIP/2.0 alone",
                "1> SIP/2.0 202 Accepted alone", "3> SIP/2.0 202 Accepted alone"},
     .has_copies = true},
    {.name = "of a call whose beginning is not known, whoever has both directions",
     .order = {PEN(A), TRAP(A), CONTENT(A)},
     .step = {IN(5, A, "BYE sip:b@h SIP/2.0", "2 BYE", ""),
              IN(5, A, "INFO sip:b@h SIP/2.0", "3 INFO", ""),
              IN(6, A, "NOTIFY sip:b@h SIP/2.0", "3 NOTIFY", "")},
     .said = {"3 SubjectSignal - INFO sip:b@h", "1 SubjectSignal - NOTIFY sip:b@h",
              "3 SubjectSignal - NOTIFY sip:b@h"},
     .copies = {"3< BYE sip:b@h SIP/2.0 alone", "3< INFO sip:b@h SIP/2.0 alone",
                "1< NOTIFY sip:b@h SIP/2.0 alone", "3< NOTIFY sip:b@h SIP/2.0 alone"},
     .has_copies = true},
    {.name = "who forwards is not who is forwarded to",
     .order = {CONTENT(B), CONTENT(C)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 183 Session Progress", "1 INVITE", SDP("b1")),
              ROUTE(1, C, C_NUMBER), IN(1, B, "SIP/2.0 487 Request Terminated", "1 INVITE", ""),
              IN(1, C, "SIP/2.0 180 Ringing", "1 INVITE", ""),
              IN(1, C, "SIP/2.0 200 OK", "1 INVITE", SDP("c1")),
              IN(1, C, "INFO sip:a@h SIP/2.0", "c9 INFO", ""),
              IN(1, B, "INFO sip:a@h SIP/2.0", "c9 INFO", ""), ENDS(1)},
     .said = {"1 TerminationAttempt 12125550101>12125550102 0", "1 MediaReport b1/a1",
              "1 Redirection 12125550102>12125550103",
              "2 TerminationAttempt 12125550101>12125550103 1", "2 NetworkSignal 1/0",
              "1 Answer 12125550103", "2 Answer 12125550103", "1 CCOpen c1/a1", "2 CCOpen c1/a1",
              "2 SubjectSignal - INFO", "1 CCClose", "1 Release", "2 CCClose", "2 Release"},
     .copies = {"1< SIP/2.0 183 Session Progress", "1< SIP/2.0 487 Request Terminated",
                "2< SIP/2.0 180 Ringing", "2< SIP/2.0 200 OK", "2< INFO sip:a@h SIP/2.0",
                "1< INFO sip:a@h SIP/2.0"},
     .has_copies = true},
    {.name = "a number that is a line's is not a trunk's to claim",
     .order = {{.type = LI_CONTENT, .line = A, .number = A_NUMBER}},
     .step = {BEGINS(1, OUT, A_NUMBER, B_NUMBER), ROUTE(1, B, B_NUMBER), ENDS(1)}},
    {.name = "through one trunk and out by it again: the subject's side alone",
     .order = {{.type = LI_CONTENT, .number = "+442079460100"}},
     .step = {BEGINS(1, OUT, "+442079460100", "+442079460200"), ROUTE(1, OUT, "+442079460200"),
              IN(1, OUT, "INVITE sip:+442079460200@h SIP/2.0", "1 INVITE", SDP("a1")),
              SENT(1, OUT, "INVITE sip:+442079460200@x SIP/2.0", "1 INVITE", SDP("a1")),
              IN(1, OUT, "SIP/2.0 486 Busy Here", "1 INVITE", ""),
              SENT(1, OUT, "SIP/2.0 486 Busy  Here", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +442079460200 442079460100", "1 NetworkSignal 0/5", "1 Release"},
     .copies = {"1< INVITE sip:+442079460200@h SIP/2.0", "1> SIP/2.0 486 Busy  Here"},
     .has_copies = true},
};

static const struct row media[] = {
    {.name = "a refused offer is forgotten",
     .order = {CONTENT(A)},
     .step = {TALK(1), IN(1, A, "INVITE sip:b@h SIP/2.0", "2 INVITE", SDP("a2")),
              IN(1, B, "SIP/2.0 488 Not Acceptable Here", "2 INVITE", ""),
              IN(1, B, "UPDATE sip:a@h SIP/2.0", "c9 UPDATE", SDP("b3")),
              IN(1, A, "SIP/2.0 200 OK", "c9 UPDATE", SDP("a3")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCChange a3/b3", "1 CCClose", "1 Release"}},
    {.name = "an offer in the answer holds with its ACK",
     .order = {CONTENT(A)},
     .step = {TALK(1), IN(1, A, "INVITE sip:b@h SIP/2.0", "2 INVITE", ""),
              IN(1, B, "SIP/2.0 200 OK", "2 INVITE", SDP("b2")),
              SENT(1, A, "SIP/2.0 200 OK", "2 INVITE", SDP("b2")),
              IN(1, A, "ACK sip:b@h SIP/2.0", "2 ACK", SDP("a2")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCChange a2/b2", "1 CCClose", "1 Release"}},
    {.name = "a call without an offer at first",
     .order = {PEN(A)},
     .step = {BEGINS(1, A, A_NUMBER, B_NUMBER), ROUTE(1, B, B_NUMBER),
              IN(1, A, "INVITE sip:b@h SIP/2.0", "1 INVITE", ""),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              IN(1, A, "ACK sip:b@h SIP/2.0", "1 ACK", SDP("a1")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102",
              "1 MediaReport -/b1", "1 MediaReport a1/b1", "1 Release"}},
    {.name = "offers that cross: the one that is agreed to",
     .order = {CONTENT(B)},
     .step = {TALK(1), IN(1, A, "INVITE sip:b@h SIP/2.0", "2 INVITE", SDP("a2")),
              IN(1, B, "INVITE sip:a@h SIP/2.0", "c2 INVITE", SDP("b2")),
              IN(1, B, "SIP/2.0 491 Request Pending", "2 INVITE", ""),
              IN(1, A, "SIP/2.0 200 OK", "c2 INVITE", SDP("a3")), ENDS(1)},
     .said = {"1 TerminationAttempt 12125550101>12125550102 0", "1 Answer 12125550102",
              "1 CCOpen b1/a1", "1 CCChange b2/a3", "1 CCClose", "1 Release"}},
    {.name = "a refresh that changes nothing",
     .order = {CONTENT(B)},
     .step = {TALK(1), IN(1, A, "UPDATE sip:b@h SIP/2.0", "2 UPDATE", SDP("a1")),
              IN(1, B, "SIP/2.0 200 OK", "2 UPDATE", SDP("b1")), ENDS(1)},
     .said = {"1 TerminationAttempt 12125550101>12125550102 0", "1 Answer 12125550102",
              "1 CCOpen b1/a1", "1 CCClose", "1 Release"}},
};

static const struct row ways[] = {
    {.name = "busy",
     .order = {BOTH(A), BOTH(B)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 486 Busy Here", "1 INVITE", ""),
              SENT(1, A, "SIP/2.0 486 Busy Here", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101",
              "2 TerminationAttempt 12125550101>12125550102 0", "1 NetworkSignal 0/5", "1 Release",
              "2 Release"}},
    {.name = "nobody answers",
     .order = {BOTH(A), BOTH(B)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 180 Ringing", "1 INVITE", ""),
              SENT(1, A, "SIP/2.0 480 Temporarily Unavailable", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101",
              "2 TerminationAttempt 12125550101>12125550102 0", "1 NetworkSignal 0/3",
              "2 NetworkSignal 1/0", "1 NetworkSignal 0/4", "1 Release", "2 Release"}},
    {.name = "CANCEL",
     .order = {BOTH(A)},
     .step = {SETUP(1), IN(1, A, "CANCEL sip:b@h SIP/2.0", "1 CANCEL", ""),
              SENT(1, A, "SIP/2.0 200 OK", "1 CANCEL", ""),
              SENT(1, A, "SIP/2.0 487 Request Terminated", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Release"}},
    {.name = "CANCEL too late",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, A, "CANCEL sip:b@h SIP/2.0", "1 CANCEL", ""),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              SENT(1, A, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose", "1 Release"}},
    {.name = "three phones ring, one answers",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 180 Ringing\r\nServer: 1", "1 INVITE", ""),
              IN(1, B, "SIP/2.0 180 Ringing\r\nServer: 2", "1 INVITE", ""),
              IN(1, B, "SIP/2.0 486 Busy Here", "1 INVITE", ""),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              IN(1, B, "SIP/2.0 200 OK\r\nServer: 2", "1 INVITE", SDP("b2")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 NetworkSignal 0/3",
              "1 Answer 12125550102", "1 CCOpen a1/b1", "1 CCClose", "1 Release"}},
    {.name = "one way after the other to the same number",
     .order = {BOTH(A)},
     .step = {BEGINS(1, A, A_NUMBER, "+442079460100"), ROUTE(1, OUT, "+442079460100"),
              ROUTE(1, OUT, "+442079460100"), IN(1, A, "INVITE sip:x@h SIP/2.0", "1 INVITE", ""),
              IN(1, OUT, "SIP/2.0 503 Service Unavailable", "1 INVITE", ""),
              ROUTE(1, OUT, "+442079460100"), IN(1, OUT, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              ENDS(1)},
     .said = {"1 Origination +442079460100 12125550101", "1 Answer 442079460100",
              "1 MediaReport -/b1", "1 Release"}},
    {.name = "302: sent elsewhere",
     .order = {BOTH(A), BOTH(B)},
     .step = {SETUP(1),
              IN(1, B, "SIP/2.0 302 Moved\r\nContact: <sip:" C_NUMBER "@h>", "1 INVITE", ""),
              SENT(1, A, "SIP/2.0 302 Moved\r\nContact: <sip:" C_NUMBER "@h>", "1 INVITE", ""),
              ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101",
              "2 TerminationAttempt 12125550101>12125550102 0",
              "1 Redirection 12125550102>12125550103", "2 Redirection 12125550102>12125550103",
              "1 Release", "2 Release"}},
    {.name = "preempted, or ended by an administrator: an end like others",
     .order = {CONTENT(A)},
     .step = {TALK(1),
              SENT(1, A, "BYE sip:a@h SIP/2.0\r\nReason: preemption;cause=1", "c9 BYE", ""),
              SENT(1, B, "BYE sip:b@h SIP/2.0\r\nReason: preemption;cause=1", "2 BYE", ""),
              ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose", "1 Release"}},
    {.name = "refused before it was a call",
     .order = {BOTH(A)},
     .step = {BEGINS(1, A, A_NUMBER, B_NUMBER), IN(1, A, "INVITE sip:b@h SIP/2.0", "1 INVITE", ""),
              ENDS(1), SENT(0, A, "SIP/2.0 403 Forbidden", "1 INVITE", "")},
     .said = {"1 Origination +12125550102 12125550101", "1 Release"},
     .copies = {"1< INVITE sip:b@h SIP/2.0", "1> SIP/2.0 403 Forbidden alone"},
     .has_copies = true},
    {.name = "911 and 611",
     .order = {PEN(A)},
     .step = {BEGINS(1, A, A_NUMBER, "911"), ROUTE(1, OUT, "911"), ENDS(1),
              BEGINS(2, A, A_NUMBER, "611"), ROUTE(2, OUT, "611"),
              IN(2, A, "INVITE sip:611@h SIP/2.0", "1 INVITE", SDP("a1")),
              IN(2, OUT, "SIP/2.0 200 OK", "1 INVITE", SDP("p1")), ENDS(2)},
     .said = {"1 Origination 911 12125550101", "1 Release", "1 Origination 611 12125550101",
              "1 Answer -", "1 MediaReport a1/p1", "1 Release"}},
    {.name = "a feature code that the gate answers itself",
     .order = {CONTENT(A)},
     .step = {BEGINS(1, A, A_NUMBER, "*72"),
              IN(1, A, "INVITE sip:*72@h SIP/2.0", "1 INVITE", SDP("a1")),
              SENT(1, A, "SIP/2.0 200 OK", "1 INVITE", SDP("g1")), ENDS(1)},
     .said = {"1 Origination *72 12125550101", "1 SubjectSignal *72 -", "1 ServiceInstance *72",
              "1 Answer -", "1 CCOpen a1/g1", "1 CCClose", "1 Release"}},
    {.name = "between two subjects",
     .order = {CONTENT(A), CONTENT(B)},
     .step = {TALK(1), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101",
              "2 TerminationAttempt 12125550101>12125550102 0", "1 Answer 12125550102",
              "2 Answer 12125550102", "1 CCOpen a1/b1", "2 CCOpen b1/a1", "1 CCClose", "1 Release",
              "2 CCClose", "2 Release"}},
    {.name = "the subject calls itself: one call, one content",
     .order = {CONTENT(A)},
     .step = {BEGINS(1, A, A_NUMBER, A_NUMBER), ROUTE(1, A, A_NUMBER),
              IN(1, A, "INVITE sip:a@h SIP/2.0", "1 INVITE", SDP("a1")),
              SENT(1, A, "INVITE sip:a@x SIP/2.0", "1 INVITE", SDP("a1")),
              IN(1, A, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")), ENDS(1)},
     .said = {"1 Origination +12125550101 12125550101",
              "1 TerminationAttempt 12125550101>12125550101 0", "1 Answer 12125550101",
              "1 CCOpen a1/b1", "1 CCClose", "1 Release"},
     .copies = {"1< INVITE sip:a@h SIP/2.0", "1> INVITE sip:a@x SIP/2.0", "1< SIP/2.0 200 OK"},
     .has_copies = true},
    {.name = "bound, bound again, and no longer",
     .order = {PEN(A), TRAP(A)},
     .step = {IN(0, A, "REGISTER sip:h SIP/2.0\r\nContact: <sip:a@x>;expires=60", "1 REGISTER", ""),
              IN(0, A, "REGISTER sip:h SIP/2.0\r\nContact: <sip:a@x>;expires=60", "1 REGISTER", ""),
              IN(0, A, "REGISTER sip:h SIP/2.0\r\nContact: <sip:a@x>", "2 REGISTER", ""),
              IN(0, A, "REGISTER sip:h SIP/2.0\r\nContact: *\r\nExpires: 0", "3 REGISTER", "")},
     .said = {"1 SubjectSignal - REGISTER sip:h", "1 SubjectSignal - REGISTER sip:h",
              "1 SubjectSignal - REGISTER sip:h, no longer"}},
};

static const struct row transfers[] = {
    {.name = "the subject transfers its other end",
     .order = {CONTENT(A), PEN(B), CONTENT(C)},
     .step = {TALK(1),
              IN(1, A, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:" C_NUMBER "@h>", "2 REFER", ""),
              IN(1, B, "SIP/2.0 202 Accepted", "2 REFER", ""), BEGINS(2, B, B_NUMBER, C_NUMBER),
              ROUTE(2, C, C_NUMBER), IN(2, B, "INVITE sip:c@h SIP/2.0", "1 INVITE", SDP("b2")),
              IN(2, C, "SIP/2.0 200 OK", "1 INVITE", SDP("c2")), ENDS(1),
              IN(2, C, "INFO sip:b@h SIP/2.0", "c9 INFO", ""), ENDS(2)},
     .said = {"1 Origination +12125550102 12125550101",
              "1 Answer 12125550102",
              "1 CCOpen a1/b1",
              "1 SubjectSignal - REFER <sip:+12125550103@h>",
              "2 Origination +12125550103 12125550102",
              "1 Redirection 12125550101>12125550103 new",
              "3 TerminationAttempt 12125550102>12125550103 0",
              "2 Answer 12125550103",
              "1 Answer 12125550103",
              "3 Answer 12125550103",
              "2 MediaReport b2/c2",
              "1 CCOpen c2/b2",
              "3 CCOpen c2/b2",
              "1 CCClose",
              "1 Release",
              "3 SubjectSignal - INFO",
              "2 Release",
              "1 CCClose",
              "1 Release",
              "3 CCClose",
              "3 Release"}},
    {.name = "the rings told of the new call first, or of all of it",
     .order = {CONTENT(A)},
     .step = {TALK(1),
              IN(1, A, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:" C_NUMBER "@h>", "2 REFER", ""),
              BEGINS(2, B, B_NUMBER, C_NUMBER), ROUTE(2, C, C_NUMBER),
              IN(2, B, "INVITE sip:c@h SIP/2.0", "1 INVITE", SDP("b2")),
              IN(2, C, "SIP/2.0 200 OK", "1 INVITE", SDP("c2")),
              IN(1, B, "SIP/2.0 202 Accepted", "2 REFER", ""), ENDS(2),
              IN(1, A, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:" B_NUMBER "@h>", "3 REFER", ""),
              BEGINS(3, B, B_NUMBER, B_NUMBER), ENDS(3),
              IN(1, B, "SIP/2.0 202 Accepted", "3 REFER", "")},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 SubjectSignal - REFER <sip:+12125550103@h>",
              "1 Redirection 12125550101>12125550103 new", "1 Answer 12125550103", "1 CCOpen c2/b2",
              "1 CCClose", "1 Release", "1 SubjectSignal - REFER <sip:+12125550102@h>",
              "1 Redirection 12125550101>12125550102 new", "1 Release"}},
    {.name = "a transfer that was refused: what is called later is somebody else's",
     .order = {CONTENT(A)},
     .step = {TALK(1),
              IN(1, A, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:" C_NUMBER "@h>", "2 REFER", ""),
              IN(1, B, "SIP/2.0 603 Decline", "2 REFER", ""), BEGINS(2, B, B_NUMBER, C_NUMBER),
              ROUTE(2, C, C_NUMBER), ENDS(2), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 SubjectSignal - REFER <sip:+12125550103@h>", "1 CCClose", "1 Release"}},
    {.name = "the other end transfers the subject",
     .order = {BOTH(A)},
     .step = {TALK(1),
              IN(1, B, "REFER sip:a@h SIP/2.0\r\nRefer-To: <sip:" C_NUMBER "@h>", "c9 REFER", ""),
              IN(1, A, "SIP/2.0 202 Accepted", "c9 REFER", ""), BEGINS(2, A, A_NUMBER, C_NUMBER),
              ENDS(1), BEGINS(3, B, B_NUMBER, C_NUMBER), ENDS(3), ENDS(2)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102",
              "1 MediaReport a1/b1", "1 Origination +12125550103 12125550101",
              "1 Redirection 12125550102>12125550103 new", "1 Release", "1 Release"}},
    {.name = "a call that takes the place of another",
     .order = {BOTH(B), BOTH(C)},
     .step = {TALK(1), BEGINS(2, C, C_NUMBER, B_NUMBER), ROUTE(2, B, B_NUMBER),
              IN(2, C, "INVITE sip:b@h SIP/2.0\r\nReplaces: 1@y;to-tag=b;from-tag=a", "1 INVITE",
                 ""),
              ENDS(2), ENDS(1)},
     .said = {"1 TerminationAttempt 12125550101>12125550102 0", "1 Answer 12125550102",
              "1 MediaReport b1/a1", "2 Origination +12125550102 12125550103",
              "1 TerminationAttempt 12125550103>12125550102 0",
              "1 ServiceInstance takes the place of another call related", "2 Release", "1 Release",
              "1 Release"}},
};

#define BOGUS(n) IN(5, C, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:9" #n "@h>", "9 REFER", "")
#define BOGUS8(n)                                                                                  \
    BOGUS(n##0), BOGUS(n##1), BOGUS(n##2), BOGUS(n##3), BOGUS(n##4), BOGUS(n##5), BOGUS(n##6),     \
        BOGUS(n##7)
static const struct row evasions[] = {
    {.name = "what somebody asks for is pushed away by nobody else",
     .order = {PEN(A), TRAP(B)},
     .step = {TALK(1),
              IN(1, A, "REFER sip:b@h SIP/2.0\r\nRefer-To: <sip:" C_NUMBER "@h>", "2 REFER", ""),
              IN(1, B, "SIP/2.0 202 Accepted", "2 REFER", ""), BEGINS(5, C, C_NUMBER, B_NUMBER),
              ROUTE(5, B, B_NUMBER), BOGUS8(1), BOGUS8(2), BOGUS8(3), BOGUS8(4), BOGUS8(5),
              BOGUS8(6), BOGUS8(7), BOGUS8(8), BEGINS(2, B, B_NUMBER, C_NUMBER), ENDS(2), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101",
              "2 TerminationAttempt 12125550101>12125550102 0", "1 Answer 12125550102",
              "2 Answer 12125550102", "1 MediaReport a1/b1", "2 MediaReport b1/a1",
              "1 SubjectSignal - REFER <sip:+12125550103@h>",
              "2 TerminationAttempt 12125550103>12125550102 0",
              "1 Redirection 12125550101>12125550103 new", "1 Release", "1 Release", "2 Release"}},
    {.name = "escapes and words do not hide where a REFER goes",
     .order = {PEN(A)},
     .step = {TALK(1),
              IN(1, A, "REFER sip:b@h SIP/2.0\r\nRefer-To: \"<sip:1@h>\" <sip:%2b1%3212555-0103@h>",
                 "2 REFER", ""),
              IN(1, B, "SIP/2.0 202 Accepted", "2 REFER", ""), BEGINS(2, B, B_NUMBER, C_NUMBER),
              ENDS(2), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102",
              "1 MediaReport a1/b1",
              "1 SubjectSignal - REFER \"<sip:1@h>\" <sip:%2b1%3212555-0103@h>",
              "1 Redirection 12125550101>12125550103 new", "1 Release", "1 Release"}},
    {.name = "who proved nothing is nobody, whatever it says of itself",
     .order = {{.type = LI_CONTENT, .uri = "x@h"}},
     .step = {BEGINS(1, NOBODY, "unproven 192.0.2.1", "911"), ROUTE(1, OUT, "911"),
              IN(1, NOBODY, "INVITE sip:911@h SIP/2.0\r\nP-Asserted-Identity: <sip:x@h>",
                 "1 INVITE", SDP("a1")),
              IN(1, OUT, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")), ENDS(1)}},
    {.name = "a tag that was chosen to be the other's takes no message out of the call",
     .order = {CONTENT(A)},
     .step = {BEGINS(1, A, A_NUMBER, B_NUMBER), ROUTE(1, B, B_NUMBER),
              IN(1, A, "INVITE sip:" B_NUMBER "@h SIP/2.0\r\nFrom: <sip:x@h>;tag=b", "1 INVITE",
                 SDP("a1")),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              IN(1, A, "INVITE sip:b@h SIP/2.0", "2 INVITE", SDP("a2")),
              IN(1, B, "SIP/2.0 200 OK", "2 INVITE", SDP("b2")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCChange a2/b2", "1 CCClose", "1 Release"},
     .copies = {"1< INVITE sip:" B_NUMBER "@h SIP/2.0", "1< INVITE sip:b@h SIP/2.0"},
     .has_copies = true},
    {.name = "what an UPDATE agreed on before the answer is what the answer without one means",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 183 x", "1 INVITE", SDP("b1")),
              IN(1, A, "UPDATE sip:b@h SIP/2.0", "2 UPDATE", SDP("a2")),
              IN(1, B, "SIP/2.0 200 OK", "2 UPDATE", SDP("b2")),
              IN(1, B, "UPDATE sip:a@h SIP/2.0", "c3 UPDATE", SDP("b3")),
              IN(1, A, "SIP/2.0 200 OK", "c3 UPDATE", SDP("a3")),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 MediaReport a1/b1",
              "1 MediaReport a2/b2", "1 MediaReport a3/b3", "1 Answer 12125550102",
              "1 CCOpen a3/b3", "1 CCClose", "1 Release"}},
    {.name = "a PRACK that asks has its answer",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 183 x", "1 INVITE", SDP("b1")),
              IN(1, A, "PRACK sip:b@h SIP/2.0", "2 PRACK", SDP("a2")),
              IN(1, B, "SIP/2.0 200 OK", "2 PRACK", SDP("b2")),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 MediaReport a1/b1",
              "1 MediaReport a2/b1", "1 MediaReport a2/b2", "1 Answer 12125550102",
              "1 CCOpen a2/b2", "1 CCClose", "1 Release"}},
    {.name = "an UPDATE of the session's time takes no offer back",
     .order = {CONTENT(A)},
     .step = {TALK(1), IN(1, A, "INVITE sip:b@h SIP/2.0", "2 INVITE", SDP("a2")),
              IN(1, A, "UPDATE sip:b@h SIP/2.0", "3 UPDATE", ""),
              IN(1, B, "SIP/2.0 200 OK", "3 UPDATE", ""),
              IN(1, B, "SIP/2.0 200 OK", "2 INVITE", SDP("b2")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCChange a2/b2", "1 CCClose", "1 Release"}},
    {.name = "an answer that comes early and only once",
     .order = {CONTENT(A)},
     .step = {TALK(1), IN(1, A, "INVITE sip:b@h SIP/2.0", "2 INVITE", SDP("a2")),
              IN(1, B, "SIP/2.0 183 x", "2 INVITE", SDP("b2")),
              IN(1, B, "SIP/2.0 200 OK", "2 INVITE", ""),
              IN(1, A, "INVITE sip:b@h SIP/2.0", "3 INVITE", SDP("a3")),
              IN(1, B, "SIP/2.0 183 x", "3 INVITE", SDP("b3")),
              IN(1, B, "SIP/2.0 488 x", "3 INVITE", ""),
              IN(1, A, "UPDATE sip:b@h SIP/2.0", "4 UPDATE", SDP("a4")),
              IN(1, B, "SIP/2.0 200 OK", "4 UPDATE", SDP("b4")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCChange a2/b2", "1 CCChange a4/b4", "1 CCClose", "1 Release"}},
    {.name = "many that ring hide none of them",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f0", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f1", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f2", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f3", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f4", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f5", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f6", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f7", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f8", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f9", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f10", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f11", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f12", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f13", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x\r\nTo: <sip:x@h>;tag=f14", "1 INVITE", SDP("f")),
              IN(1, B, "SIP/2.0 183 x", "1 INVITE", SDP("b1")),
              IN(1, B, "SIP/2.0 200 OK", "1 INVITE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 MediaReport a1/f", "1 MediaReport a1/b1",
              "1 Answer 12125550102", "1 CCOpen a1/b1", "1 CCClose", "1 Release"}},
    {.name = "two phones answer and the first goes: the caller talks to the other",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              IN(1, B, "SIP/2.0 200 OK\r\nTo: <sip:x@h>;tag=b2", "1 INVITE", SDP("b2")),
              IN(1, A, "BYE sip:b@h SIP/2.0", "2 BYE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCChange a1/b2", "1 CCClose", "1 Release"}},
    {.name = "two phones answer and the second goes",
     .order = {CONTENT(A)},
     .step = {SETUP(1), IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")),
              IN(1, B, "SIP/2.0 200 OK\r\nTo: <sip:x@h>;tag=b2", "1 INVITE", SDP("b2")),
              IN(1, A, "BYE sip:b@h SIP/2.0\r\nTo: <sip:x@h>;tag=b2", "2 BYE", ""),
              IN(1, A, "BYE sip:b@h SIP/2.0", "2 BYE", ""), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose", "1 Release"}},
    {.name = "nor does it when the other is outside",
     .order = {CONTENT(A)},
     .step = {BEGINS(1, A, A_NUMBER, B_NUMBER), ROUTE(1, OUT, B_NUMBER),
              IN(1, A, "INVITE sip:" B_NUMBER "@h SIP/2.0\r\nFrom: <sip:x@h>;tag=b", "1 INVITE",
                 SDP("a1")),
              IN(1, OUT, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose", "1 Release"}},
};

static const struct row times[] = {
    {.name = "an order ends within a call: nothing after",
     .order = {{.type = LI_CONTENT, .line = A, .ends_us = 10 * SECOND}},
     .step = {TALK(1), PASS(20), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose"}},
    {.name = "a call that ends just after its order does, before anybody looked",
     .order = {{.type = LI_CONTENT, .line = A, .ends_us = 8 * SECOND / 1000}},
     .step = {TALK(1), PASS(0), ENDS(1)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose"}},
    {.name = "an order begins within a call",
     .order = {{.type = LI_CONTENT, .line = A, .starts_us = 10 * SECOND},
               {.type = LI_PEN_REGISTER, .line = B, .starts_us = 10 * SECOND}},
     .step = {PASS(1), TALK(1), PASS(20), PASS(1), ENDS(1)},
     .said = {"1 ServiceInstance call in progress when the order began", "1 CCOpen a1/b1",
              "1 CCClose", "1 Release"}},
    {.name = "a call whose end was never read is over when no call can live so long",
     .order = {{.type = LI_CONTENT, .line = A, .ends_us = 86400 * SECOND}},
     .step = {TALK(1), PASS(12 * 3600), PASS(3600), PASS(100)},
     .said = {"1 Origination +12125550102 12125550101", "1 Answer 12125550102", "1 CCOpen a1/b1",
              "1 CCClose", "1 Release"}},
};

static const struct row outside[] = {
    {.name = "an address outside calls in",
     .order = {{.type = LI_PEN_AND_TRAP, .uri = "bob@far.example"},
               {.type = LI_PEN_AND_TRAP, .uri = "rob@far.example"}},
     .step =
         {BEGINS(1, OUT, "peer 192.0.2.1", B_NUMBER), ROUTE(1, B, B_NUMBER),
          IN(1, OUT,
             "INVITE sip:b@h SIP/2.0\r\nP-Asserted-Identity: \"Bob\" <sip:bob@FAR.example:5060;x>",
             "1 INVITE", SDP("a1")),
          IN(1, B, "SIP/2.0 200 OK", "1 INVITE", SDP("b1")), ENDS(1)},
     .said = {"1 Origination +12125550102 -bob@far.example", "1 Answer 12125550102",
              "1 MediaReport a1/b1", "1 Release"}},
    {.name = "an address outside is called",
     .order = {{.type = LI_PEN_AND_TRAP, .uri = "bob@far.example"}},
     .step = {BEGINS(1, A, A_NUMBER, ""), ROUTE(1, OUT, ""),
              IN(1, A, "INVITE sip:bob@far.example SIP/2.0", "1 INVITE", SDP("a1")),
              SENT(1, OUT, "INVITE sip:bob@far.example SIP/2.0\r\nx: 1", "1 INVITE", SDP("a1")),
              ENDS(1)},
     .said = {"1 TerminationAttempt 12125550101>- 0", "1 Release"},
     .copies = {"1> INVITE sip:bob@far.example SIP/2.0"},
     .has_copies = true},
    {.name = "what a line says of itself is no such address",
     .order = {{.type = LI_PEN_AND_TRAP, .uri = "x@h"}},
     .step = {BEGINS(1, A, A_NUMBER, B_NUMBER), ROUTE(1, B, B_NUMBER),
              IN(1, A, "INVITE sip:x@h SIP/2.0\r\nP-Asserted-Identity: <sip:x@h>", "1 INVITE", ""),
              ENDS(1)}},
};

static void run_all(const struct row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        run(&row[i]);
    }
}
#define N(a) (sizeof(a) / sizeof((a)[0]))

static void over_delivery_rows(void **state)
{
    (void)state;
    run_all(over_delivery, N(over_delivery));
}

static void media_rows(void **state)
{
    (void)state;
    run_all(media, N(media));
}

static void ways_rows(void **state)
{
    (void)state;
    run_all(ways, N(ways));
}

static void transfers_rows(void **state)
{
    (void)state;
    run_all(transfers, N(transfers));
}

static void evasions_rows(void **state)
{
    (void)state;
    run_all(evasions, N(evasions));
}

static void times_rows(void **state)
{
    (void)state;
    run_all(times, N(times));
}

static void outside_rows(void **state)
{
    (void)state;
    run_all(outside, N(outside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_delivery_rows), cmocka_unit_test(media_rows),
        cmocka_unit_test(ways_rows),          cmocka_unit_test(transfers_rows),
        cmocka_unit_test(times_rows),         cmocka_unit_test(outside_rows),
        cmocka_unit_test(evasions_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
