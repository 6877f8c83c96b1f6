/* Feature codes (docs/identity.md): what they ask of the database, what the line hears, and when.
 */
#include "gc/features.h"

#include "gc/last_calls.h"
#include "gc/park.h"
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB   "sip:" BOB "@" DOMAIN
#define AS_ALICE "sip:" ALICE "@" DOMAIN

/* ---- the database ------------------------------------------------------------------------------
 */
static struct {
    unsigned n;
    struct line_ask ask;
    enum err at_once; /* of the question itself */
} base;

static enum err on_ask(void *arg, const struct line_ask *ask)
{
    (void)arg;
    base.n++;
    base.ask = *ask;
    return base.at_once;
}

static void replies(struct bench *b, enum err e, const struct last_call *last)
{
    struct line_answer a = {.worker = base.ask.worker, .ticket = base.ask.ticket, .e = e};
    if (last != NULL) {
        a.last = *last;
    }
    park_answer(b->ws, a.worker, a.ticket, &a, sizeof a);
    loop_run_once(b->w->loop, false);
}

static void begin_with(struct bench *b, const struct route *routes, size_t n_routes,
                       const struct dial_rule *rules, size_t n_rules)
{
    static const struct line lines[] = {
        {.line_id = 1, .account_id = 1, .number = {ALICE, 12}, .services = LINE_CALLER_ID},
        {.line_id = 2, .account_id = 2, .number = {BOB, 12}, .services = LINE_CALLER_ID}};
    static const struct number_row numbers[] = {
        {{ALICE, 12}, 1}, {{BOB, 12}, 2}, {{"+12125550111", 12}, 1}};
    struct snapshot_input in = {.lines = lines,
                                .n_lines = 2,
                                .numbers = numbers,
                                .n_numbers = 3,
                                .routes = routes,
                                .n_routes = n_routes,
                                .rules = rules,
                                .n_rules = n_rules};
    char why[128] = "";
    memset(&base, 0, sizeof base);
    bench_open(b, NULL);
    b->ws->seam.line_ask = on_ask;
    in.change_seq = ++b->unique;
    snapshot_free(b->snap);
    if (snapshot_build(&in, &b->snap, why, sizeof why) != E_OK) {
        fail_msg("snapshot: %s", why);
    }
    pass_ms(b, 200);
    phone_register(b, &b->alice);
    phone_register(b, &b->bob);
    b->w->live->set.calls_per_line = 100;
    forget_sent(b);
}

static const struct route uk = {.prefix = {"+44", 3},
                                .priority = 10,
                                .next_hop = {"sip:127.0.9.8:5060", 18},
                                .name = {"uk", 2},
                                .route_id = 1};
static const struct dial_rule no_900 = {
    .prefix = {"+1900", 5}, .blocked = true, .name = {"no900", 5}};

static void begin(struct bench *b)
{
    begin_with(b, &uk, 1, &no_900, 1);
}

struct dialling {
    struct request r;
    char keep[3][96], uri[96];
};

static void dial(struct bench *b, struct phone *p, const char *keys, const char *extra,
                 const char *body, struct dialling *d)
{
    char text[TEXT_MAX];
    snprintf(d->uri, sizeof d->uri, "sip:%s@" DOMAIN, keys);
    d->r = invite_of(b, p, d->uri, d->keep);
    d->r.extra = extra;
    d->r.body = body;
    phone_send(b, p, write_request_text(&d->r, text, sizeof text));
}

/* ACK or BYE of the caller in the dialog that the gate answered. */
static void inside(struct bench *b, struct phone *p, const struct dialling *d, const char *method,
                   const struct got *answer)
{
    char text[TEXT_MAX], branch[64], tag[TAG_MAX] = "";
    struct request r = d->r;
    snprintf(branch, sizeof branch, "z9hG4bKin%u", ++b->unique);
    memcpy(tag, answer->m.to_tag.p, answer->m.to_tag.n);
    r.method = method;
    r.branch = branch;
    r.to_tag = tag;
    r.body = NULL;
    r.cseq = strcmp(method, "ACK") == 0 ? 1 : 2;
    phone_send(b, p, write_request_text(&r, text, sizeof text));
}

static void refused(struct bench *b, const char *status)
{
    struct got got;
    expect(b, &b->alice, status, &got);
    if (got.m.status != 403 && got.m.status != 404 && got.m.status != 480 && got.m.status != 488 &&
        got.m.status != 503) {
        fail_msg("unexpected: %s", got.octets);
    }
    assert_int_equal(workers_calls(b->ws), 0);
}

/* ---- settings ----------------------------------------------------------------------------------
 */
static void what_is_asked(void **state)
{
    static const struct {
        const char *keys;
        enum line_setting setting;
        const char *value;
    } rows[] = {
        {"*77", LINE_SET_REJECTS_ANONYMOUS, "yes"},
        {"*87", LINE_SET_REJECTS_ANONYMOUS, ""},
        {"*722125550102", LINE_SET_FORWARD_ALWAYS, BOB},
        {"*72" BOB, LINE_SET_FORWARD_ALWAYS, BOB},
        {"*7212125550102", LINE_SET_FORWARD_ALWAYS, BOB},
        {"*725550102", LINE_SET_FORWARD_ALWAYS, BOB},
        {"*72011441234567890", LINE_SET_FORWARD_ALWAYS, "+441234567890"},
        {"*73", LINE_SET_FORWARD_ALWAYS, ""},
        {"*90" BOB, LINE_SET_FORWARD_BUSY, BOB},
        {"*91", LINE_SET_FORWARD_BUSY, ""},
        {"*92" BOB, LINE_SET_FORWARD_NO_ANSWER, BOB},
        {"*93", LINE_SET_FORWARD_NO_ANSWER, ""},
    };
    struct bench *b = &bench;
    (void)state;
    begin(b);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dialling d;
        struct got got, bye;
        forget_sent(b);
        b->n_cdr = 0;
        dial(b, &b->alice, rows[i].keys, "", sdp_plain, &d);
        assert_int_equal(base.n, i + 1);
        assert_int_equal(base.ask.kind, LINE_ASK_SET);
        assert_int_equal(base.ask.setting, rows[i].setting);
        assert_int_equal(base.ask.line_id, 1);
        assert_string_equal(base.ask.value, rows[i].value);
        assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 0); /* not yet */
        replies(b, E_OK, NULL);
        expect(b, &b->alice, "SIP/2.0 200", &got);
        assert_true(got.m.to_tag.n > 0 && sip_header(&got.m, SIP_H_CONTACT, 0) != NULL);
        assert_true(holds(&got.m, "m=audio 9 RTP/AVP 0\r\na=inactive\r\n"));
        inside(b, &b->alice, &d, "ACK", &got);
        expect(b, &b->alice, "BYE ", &bye);
        assert_true(view_eq(bye.m.from_tag, got.m.to_tag));
        assert_null(sip_header(&bye.m, SIP_H_REASON, 0));
        phone_answer(b, &b->alice, &bye, 200, NULL, NULL);
        assert_int_equal(count_to(b, &b->alice.flow.remote, "BYE"), 1);
        assert_int_equal(b->n_cdr, 1);
        assert_string_equal(b->cdr[0].route, "feature");
        assert_string_equal(b->cdr[0].end_by, "gate");
        assert_string_equal(b->cdr[0].called, rows[i].keys);
        assert_int_equal(b->cdr[0].status, 200);
        assert_int_equal(workers_calls(b->ws), 0);
    }
    bench_close(b);
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *keys, *status;
    } rows[] = {
        {"*72911", "SIP/2.0 403"},
        {"*72611", "SIP/2.0 403"},
        {"*72112", "SIP/2.0 403"},
        {"*72" ALICE, "SIP/2.0 403"},
        {"*722125550111", "SIP/2.0 403"},
        {"*7219005551212", "SIP/2.0 403"},
        {"*72+19005551212", "SIP/2.0 403"},
        {"*90+33123456789", "SIP/2.0 404"},
        {"*92", "SIP/2.0 404"},
        {"*72", "SIP/2.0 404"},
        {"*7212", "SIP/2.0 404"},
        {"*72*73", "SIP/2.0 404"},
        {"*732125550102", "SIP/2.0 404"},
        {"*771", "SIP/2.0 404"},
        {"*699", "SIP/2.0 404"},
        {"*57911", "SIP/2.0 404"},
        {"*99", "SIP/2.0 404"},
        {"*67", "SIP/2.0 404"},
        {"*67*72" BOB, "SIP/2.0 404"},
    };
    struct bench *b = &bench;
    (void)state;
    begin(b);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dialling d;
        forget_sent(b);
        dial(b, &b->alice, rows[i].keys, "", sdp_plain, &d);
        refused(b, rows[i].status);
        assert_int_equal(base.n, 0);
    }
    bench_close(b);
}

/* 200 only when the database has it. */
static void the_database_says_no(void **state)
{
    static const struct {
        enum err e;
        const char *status;
    } rows[] = {{E_IO, "SIP/2.0 503"}, {E_DENIED, "SIP/2.0 403"}, {E_NOTFOUND, "SIP/2.0 480"}};
    struct bench *b = &bench;
    struct dialling d;
    (void)state;
    begin(b);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        forget_sent(b);
        dial(b, &b->alice, "*77", "", sdp_plain, &d);
        replies(b, rows[i].e, NULL);
        refused(b, rows[i].status);
    }
    bench_close(b);
    begin(b);
    dial(b, &b->alice, "*77", "", sdp_plain, &d);
    pass_ms(b, 4900);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 503"), 0);
    pass_ms(b, 200); /* it never says anything */
    refused(b, "SIP/2.0 503");
    replies(b, E_OK, NULL); /* too late */
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 0);
    base.at_once = E_FULL;
    forget_sent(b);
    dial(b, &b->alice, "*77", "", sdp_plain, &d);
    refused(b, "SIP/2.0 503");
    bench_close(b);
}

/* ---- the gate as a user agent ------------------------------------------------------------------
 */
static void until_the_ack(void **state)
{
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    (void)state;
    begin(b);
    dial(b, &b->alice, "*77", "", NULL, &d); /* no offer: there is one in the answer */
    replies(b, E_OK, NULL);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_true(holds(&got.m, "m=audio 9 RTP/AVP 0\r\na=inactive\r\n"));
    pass_ms(b, 600);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 2);
    pass_ms(b, 30000);
    assert_true(count_to(b, &b->alice.flow.remote, "SIP/2.0 200") >= 8);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "BYE"), 0);
    pass_ms(b, 10000); /* 72*T1: nobody is there any more */
    assert_true(count_to(b, &b->alice.flow.remote, "BYE") >= 1);
    assert_string_equal(b->cdr[0].end_by, "timeout");
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

static void the_caller_hangs_up(void **state)
{
    struct bench *b = &bench;
    struct dialling d;
    struct got got, other;
    (void)state;
    begin(b);
    dial(b, &b->alice, "*77", "", sdp_plain, &d);
    replies(b, E_OK, NULL);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    inside(b, &b->alice, &d, "UPDATE", &got);
    expect(b, &b->alice, "SIP/2.0 488", &other);
    inside(b, &b->alice, &d, "BYE", &got);
    expect(b, &b->alice, "SIP/2.0 200", &other);
    assert_int_equal(other.m.method, SIP_M_BYE);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "BYE"), 0);
    assert_string_equal(b->cdr[0].end_by, "caller");
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

/* While the database is asked: the change may still be made, the caller hears of neither. */
static void given_up(void **state)
{
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    char text[TEXT_MAX];
    (void)state;
    begin(b);
    dial(b, &b->alice, "*77", "", sdp_plain, &d);
    d.r.method = "CANCEL";
    d.r.body = NULL;
    phone_send(b, &b->alice, write_request_text(&d.r, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 487", &got);
    replies(b, E_OK, NULL);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 1); /* the CANCEL's */
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
}

static void offers(void **state)
{
    static const char secure[] =
        "v=0\r\no=- 1 1 IN IP4 127.0.9.11\r\ns=-\r\nc=IN IP4 127.0.9.11\r\n"
        "t=0 0\r\nm=audio 4000 RTP/SAVP 0 8\r\nm=video 4002 RTP/AVP 96\r\n"
        "m=image 0 udptl t38\r\n";
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    (void)state;
    begin(b);
    dial(b, &b->alice, "*77", "", secure, &d);
    replies(b, E_OK, NULL);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_true(holds(&got.m, "m=audio 0 RTP/SAVP 0 8\r\na=inactive\r\nm=video 9 RTP/AVP 96\r\n"
                              "a=inactive\r\nm=image 0 udptl t38\r\na=inactive\r\n"));
    inside(b, &b->alice, &d, "ACK", &got);
    dial(b, &b->alice, "*77", "", "v=1\r\n", &d); /* no answer to that: nothing is changed */
    refused(b, "SIP/2.0 488");
    assert_int_equal(base.n, 1);
    dial(b, &b->alice, "*77", "Require: 100rel\r\n", sdp_plain, &d);
    expect(b, &b->alice, "SIP/2.0 420", &got);
    assert_int_equal(base.n, 1);
    bench_close(b);
}

/* ---- an operator's own -------------------------------------------------------------------------
 */
static void a_route_wins(void **state)
{
    static const struct route routes[] = {{.prefix = {"*72", 3},
                                           .next_hop = {"sip:127.0.9.8:5060", 18},
                                           .name = {"features", 8},
                                           .route_id = 7}};
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    (void)state;
    begin_with(b, routes, 1, NULL, 0);
    dial(b, &b->alice, "*722125550102", "", sdp_plain, &d);
    expect_peer(b, "127.0.9.8:5060", "INVITE sip:*722125550102@", &got);
    assert_int_equal(base.n, 0);
    dial(b, &b->alice, "*73", "", sdp_plain, &d);
    assert_int_equal(base.n, 1);
    bench_close(b);
}

/* ---- *57 and *69 -------------------------------------------------------------------------------
 */
static void call_alice(struct bench *b, const char *keys, struct got *invite)
{
    struct dialling d;
    dial(b, &b->bob, keys, "", sdp_plain, &d);
    expect(b, &b->alice, "INVITE", invite);
    phone_answer(b, &b->alice, invite, 486, "at", NULL);
    forget_sent(b);
}

static void trace(void **state)
{
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    (void)state;
    begin(b);
    dial(b, &b->alice, "*57", "", sdp_plain, &d);
    assert_int_equal(base.ask.kind, LINE_ASK_TRACE);
    assert_int_equal(base.ask.known.started_us, 0); /* the database may know of one */
    replies(b, E_NOTFOUND, NULL);
    refused(b, "SIP/2.0 480");
    call_alice(b, "*67" ALICE, &got);
    dial(b, &b->alice, "*57", "", sdp_plain, &d);
    assert_int_equal(base.ask.line_id, 1);
    assert_string_equal(base.ask.known.caller, BOB);
    assert_string_equal(base.ask.known.called, "*67" ALICE);
    assert_true(base.ask.known.is_private && base.ask.known.started_us > 0);
    replies(b, E_OK, NULL);
    expect(b, &b->alice, "SIP/2.0 200", &got);
    for (unsigned i = 0; i < b->n_sent; i++) { /* nothing says whom it was about */
        assert_true(!net_eq(&b->sent[i].to.remote, &b->alice.flow.remote) ||
                    memmem(b->sent[i].octets, b->sent[i].n, "5550102", 7) == NULL);
    }
    bench_close(b);
}

static void back_to_the_last_caller(void **state)
{
    struct last_call last = {.started_us = 1, .caller = BOB};
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    (void)state;
    begin(b);
    call_alice(b, ALICE, &got);
    dial(b, &b->alice, "*69", "", sdp_plain, &d);
    assert_int_equal(base.ask.kind, LINE_ASK_LAST_CALL);
    assert_string_equal(base.ask.known.caller, BOB);
    assert_false(base.ask.known.is_private);
    replies(b, E_OK, &last);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
    assert_true(holds(&got.m, "To: <" TO_BOB ">\r\n"));
    phone_answer(b, &b->bob, &got, 486, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 486", &got);
    assert_true(holds(&got.m, "To: <sip:*69@" DOMAIN ">;tag=bt\r\n"));
    assert_string_equal(b->cdr[b->n_cdr - 1].called, "*69");
    assert_string_equal(b->cdr[b->n_cdr - 1].routed, BOB);
    assert_int_equal(b->cdr[b->n_cdr - 1].callee_line, 2);
    bench_close(b);
}

static void not_back_to_who_hid(void **state)
{
    static const struct last_call rows[] = {
        {.started_us = 1, .caller = BOB, .is_private = true},
        {.started_us = 1, .caller = "peer 127.0.9.22"},
        {.started_us = 1, .caller = ""},
        {.started_us = 0, .caller = BOB},
    };
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    (void)state;
    begin(b);
    call_alice(b, "*67" ALICE, &got);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        forget_sent(b);
        dial(b, &b->alice, "*69", "", sdp_plain, &d);
        assert_true(base.ask.known.is_private);
        replies(b, E_OK, &rows[i]);
        for (unsigned n = 0; n < b->n_sent; n++) {
            assert_null(memmem(b->sent[n].octets, b->sent[n].n, "5550102", 7));
        }
        refused(b, "SIP/2.0 480");
    }
    /* a number that this line may not call, or that is none */
    forget_sent(b);
    dial(b, &b->alice, "*69", "", sdp_plain, &d);
    replies(b, E_OK, &(struct last_call){.started_us = 1, .caller = "+19005551212"});
    refused(b, "SIP/2.0 403");
    bench_close(b);
}

/* ---- RFC 5503 section 5 ------------------------------------------------------------------------
 */
/* The pattern with a Call-ID in place of "$". */
static void with_call_id(char extra[256], const char *pattern, const char *call_id)
{
    const char *at = strchr(pattern, '$');
    int head = at != NULL ? (int)(at - pattern) : (int)strlen(pattern);
    snprintf(extra, 256, "%.*s%s%s", head, pattern, at != NULL ? call_id : "",
             at != NULL ? at + 1 : "");
}

static void call_trace(void **state)
{
    static const struct {
        const char *lines;
        bool is_good;
    } rows[] = {
        {"P-DCS-Trace-Party-ID: <sip:+19999999999@x>\r\n"
         "Target-Dialog: $;local-tag=at;remote-tag=ft\r\n",
         true},
        {"", false},
        {"Target-Dialog: $;local-tag=at;remote-tag=ft\r\n", false},
        {"P-DCS-Trace-Party-ID: <sip:+19999999999@x>\r\n", false},
        {"P-DCS-Trace-Party-ID: <sip:a@x>\r\nTarget-Dialog: $;local-tag=at;remote-tag=xx\r\n",
         false},
        {"P-DCS-Trace-Party-ID: <sip:a@x>\r\nTarget-Dialog: $;remote-tag=ft\r\n", false},
        {"P-DCS-Trace-Party-ID: <sip:a@x>\r\nTarget-Dialog: other;local-tag=at;remote-tag=ft\r\n",
         false},
        {"P-DCS-Trace-Party-ID: <sip:a@x>\r\nTarget-Dialog: $\r\n", false},
    };
    struct bench *b = &bench;
    struct dialling d;
    struct got got;
    char call_id[96] = "", extra[256];
    (void)state;
    begin(b);
    call_alice(b, "*67" ALICE, &got);
    memcpy(call_id, got.m.call_id.p, got.m.call_id.n);
    call_alice(b, ALICE, &got); /* a later one, of which it is not */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned n = base.n;
        forget_sent(b);
        with_call_id(extra, rows[i].lines, call_id);
        dial(b, &b->alice, "call-trace", extra, sdp_plain, &d);
        if (!rows[i].is_good) {
            refused(b, "SIP/2.0 403");
            assert_int_equal(base.n, n);
            continue;
        }
        assert_int_equal(base.ask.kind, LINE_ASK_TRACE);
        assert_string_equal(base.ask.known.caller, BOB);
        assert_string_equal(base.ask.known.call_id, call_id);
        replies(b, E_OK, NULL);
        expect(b, &b->alice, "SIP/2.0 200", &got);
        inside(b, &b->alice, &d, "ACK", &got);
    }
    /* somebody else's dialog, even by who called in it */
    forget_sent(b);
    with_call_id(extra, rows[0].lines, call_id);
    dial(b, &b->bob, "call-trace", extra, sdp_plain, &d);
    expect(b, &b->bob, "SIP/2.0 403", &got);
    assert_int_equal(base.n, 1);
    bench_close(b);
}

/* ---- the table of last calls -------------------------------------------------------------------
 */
static void last_calls(void **state)
{
    struct last_calls *l = NULL;
    struct last_call c = {.started_us = 1, .caller = "+1"}, out;
    size_t live = mem_live(), known = 0;
    (void)state;
    assert_int_equal(last_calls_new(64, &l), E_OK);
    last_calls_find(l, 7, &out);
    assert_int_equal(out.started_us, 0);
    for (uint64_t i = 1; i <= 6; i++) {
        c.started_us = i;
        snprintf(c.call_id, sizeof c.call_id, "c%u", (unsigned)i);
        last_calls_note(l, 7, &c, VIEW("tag"));
    }
    last_calls_find(l, 7, &out);
    assert_int_equal(out.started_us, 6);
    assert_true(last_calls_find_dialog(l, 7, VIEW("c3"), VIEW("tag"), &out));
    assert_int_equal(out.started_us, 3);
    assert_false(last_calls_find_dialog(l, 7, VIEW("c2"), VIEW("tag"), &out)); /* too old */
    assert_false(last_calls_find_dialog(l, 7, VIEW("c3"), VIEW("gat"), &out));
    assert_false(last_calls_find_dialog(l, 7, VIEW("c3"), VIEW(""), &out));
    assert_false(last_calls_find_dialog(l, 8, VIEW("c3"), VIEW("tag"), &out));
    for (uint64_t line = 100; line < 1100; line++) {
        last_calls_note(l, line, &c, VIEW("tag"));
    }
    for (uint64_t line = 1; line < 1100; line++) {
        last_calls_find(l, line, &out);
        known += out.started_us != 0;
    }
    assert_true(known > 0 && known <= 64);
    last_calls_free(l);
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(the_database_says_no),
        cmocka_unit_test(until_the_ack),
        cmocka_unit_test(the_caller_hangs_up),
        cmocka_unit_test(given_up),
        cmocka_unit_test(offers),
        cmocka_unit_test(a_route_wins),
        cmocka_unit_test(trace),
        cmocka_unit_test(back_to_the_last_caller),
        cmocka_unit_test(not_back_to_who_hid),
        cmocka_unit_test(call_trace),
        cmocka_unit_test(last_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
