/* Dialogs of SUBSCRIBE and REFER (RFC 6665, RFC 3515, RFC 5057): held to their two ends, and for
 * no longer than they live. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB "sip:" BOB "@" DOMAIN

struct scene {
    char keep[3][96], text[TEXT_MAX], branch[32];
    struct request r;
    struct got got, first, second;
};

static void begin(struct bench *b, struct scene *s, const char *method, const char *extra)
{
    s->r = invite_of(b, &b->alice, TO_BOB, s->keep);
    s->r.method = method;
    s->r.body = NULL;
    s->r.extra = extra;
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
    expect(b, &b->bob, method, &s->first);
}

static void open_both(struct bench *b)
{
    bench_open(b, NULL);
    phone_register(b, &b->bob);
}

static void answer_with(struct bench *b, struct phone *p, const struct got *request,
                        unsigned status, const char *tag, const char *extra)
{
    char text[TEXT_MAX], more[512];
    size_t n = 0;
    snprintf(more, sizeof more, "Contact: <%s>\r\n%s", p->contact, extra);
    assert_int_equal(sip_response(&request->m, status, NULL, view_of(tag), NULL, 0, view_of(more),
                                  VIEW(""), VIEW(""), text, sizeof text - 1, &n),
                     E_OK);
    text[n] = 0;
    phone_send(b, p, text);
}

/* From the called phone back to the caller. */
static void from_bob(struct bench *b, struct scene *s, struct phone *p, const char *tag,
                     const char *method, const char *extra)
{
    struct request r = s->r;
    char via[NET_TEXT_MAX];
    net_text(&p->flow.remote, via);
    snprintf(s->branch, sizeof s->branch, "z9hG4bKn%u", ++b->unique);
    r.method = method;
    r.uri = b->alice.contact;
    r.from = TO_BOB;
    r.to = "sip:" ALICE "@" DOMAIN;
    r.from_tag = tag;
    r.to_tag = "ft";
    r.via = via;
    r.contact = p->contact;
    r.branch = s->branch;
    r.extra = extra;
    r.body = NULL;
    r.cseq = b->unique + 10;
    phone_send(b, p, write_request_text(&r, s->text, sizeof s->text));
}

static void from_alice(struct bench *b, struct scene *s, const char *tag, const char *method,
                       const char *extra)
{
    snprintf(s->branch, sizeof s->branch, "z9hG4bKs%u", ++b->unique);
    s->r.method = method;
    s->r.to_tag = tag;
    s->r.branch = s->branch;
    s->r.extra = extra;
    s->r.body = NULL;
    s->r.cseq = b->unique + 10;
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
}

static void notify(struct bench *b, struct scene *s, struct phone *p, const char *tag,
                   const char *state)
{
    char extra[96];
    snprintf(extra, sizeof extra, "Event: presence\r\nSubscription-State: %s\r\n", state);
    from_bob(b, s, p, tag, "NOTIFY", extra);
}

static void a_subscription(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    assert_non_null(sip_header(&s.first.m, SIP_H_RECORD_ROUTE, 0));
    assert_int_equal(b->w->n_usages, 1);
    assert_int_equal(workers_calls(b->ws), 0);
    answer_with(b, &b->bob, &s.first, 200, "bt", "Expires: 600\r\n");
    expect(b, &b->alice, "SIP/2.0 200", &s.got);
    notify(b, &s, &b->bob, "bt", "active;expires=600");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    assert_non_null(sip_header(&s.got.m, SIP_H_RECORD_ROUTE, 0));
    phone_answer(b, &b->alice, &s.got, 200, "ft", NULL);
    expect(b, &b->bob, "SIP/2.0 200", &s.got);
    /* refreshed once; without that it would have ended at 632 s */
    pass_ms(b, 500000);
    from_alice(b, &s, "bt", "SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    expect(b, &b->bob, "SUBSCRIBE sip:" BOB "@127.0.9.12:5063", &s.got);
    answer_with(b, &b->bob, &s.got, 200, "bt", "Expires: 600\r\n");
    expect(b, &b->alice, "SIP/2.0 200", &s.got);
    pass_ms(b, 600000);
    assert_int_equal(b->w->n_usages, 1);
    pass_ms(b, 33000);
    assert_int_equal(b->w->n_usages, 0);
    notify(b, &s, &b->bob, "bt", "active");
    expect(b, &b->bob, "SIP/2.0 481", &s.got);
    assert_int_equal(b->n_cdr, 0);
    bench_close(b);
}

/* RFC 6665 section 4.4.1: the NOTIFY may be faster than the 200. */
static void a_notify_before_the_answer(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    notify(b, &s, &b->bob, "bt", "pending;expires=600");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    answer_with(b, &b->bob, &s.first, 200, "bt", "Expires: 600\r\n");
    notify(b, &s, &b->bob, "bt", "active");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    bench_close(b);
}

/* Both phones of the line agree: one answer goes up, both may notify; another line may not. */
static void each_phone_that_agreed_notifies(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct phone carol;
    (void)state;
    open_both(b);
    phone_register(b, &b->bob2);
    phone_make(b, &carol, CAROL, 3, "127.0.9.14:5062", 0x44);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    expect(b, &b->bob2, "SUBSCRIBE", &s.second);
    answer_with(b, &b->bob, &s.first, 200, "b1", "Expires: 600\r\n");
    answer_with(b, &b->bob2, &s.second, 200, "b2", "Expires: 600\r\n");
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 200"), 1);
    notify(b, &s, &b->bob, "b1", "active");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    notify(b, &s, &b->bob2, "b2", "active");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    notify(b, &s, &carol, "c1", "active");
    expect(b, &carol, "SIP/2.0 481", &s.got);
    notify(b, &s, &carol, "b1", "active");
    expect(b, &carol, "SIP/2.0 403", &s.got);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "NOTIFY "), 2);
    bench_close(b);
}

static void it_ends_with_terminated(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\nExpires: 3600\r\n");
    answer_with(b, &b->bob, &s.first, 200, "bt", "Expires: 3600\r\n");
    notify(b, &s, &b->bob, "bt", "Terminated;reason=timeout");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    phone_answer(b, &b->alice, &s.got, 200, "ft", NULL);
    pass_ms(b, 33000);
    assert_int_equal(b->w->n_usages, 0);
    bench_close(b);
}

static void it_ends_with_a_refusal(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "SUBSCRIBE", "Event: nothing\r\nExpires: 600\r\n");
    answer_with(b, &b->bob, &s.first, 489, "bt", "");
    expect(b, &b->alice, "SIP/2.0 489", &s.got);
    assert_int_equal(b->w->n_usages, 0);
    bench_close(b);
}

static void it_ends_when_nobody_answers(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\n");
    pass_ms(b, 66000);
    assert_int_equal(b->w->n_usages, 0);
    bench_close(b);
}

static void no_session_requests_in_it(void **state)
{
    static const char *const methods[] = {"BYE", "UPDATE", "PRACK", "INVITE"};
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    answer_with(b, &b->bob, &s.first, 200, "bt", "Expires: 600\r\n");
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        from_alice(b, &s, "bt", methods[i], NULL);
        expect(b, &b->alice, "SIP/2.0 481", &s.got);
        assert_int_equal(count_to(b, &b->bob.flow.remote, methods[i]), 0);
    }
    bench_close(b);
}

static void few_for_a_line(struct bench *b)
{
    b->set.usages_per_line = 2;
}

static void a_line_has_only_so_many(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    bench_open(b, few_for_a_line);
    phone_register(b, &b->bob);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\n");
    begin(b, &s, "REFER", "Refer-To: <sip:" ALICE "@" DOMAIN ">\r\n");
    s.r = invite_of(b, &b->alice, TO_BOB, s.keep);
    s.r.method = "SUBSCRIBE";
    s.r.body = NULL;
    phone_send(b, &b->alice, write_request_text(&s.r, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 503", &s.got);
    assert_non_null(sip_header(&s.got.m, SIP_H_RETRY_AFTER, 0));
    pass_ms(b, 70000);
    forget_sent(b);
    begin(b, &s, "SUBSCRIBE", "Event: presence\r\n");
    bench_close(b);
}

/* ---- REFER -------------------------------------------------------------------------------------
 */
static void a_refer_alone(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    open_both(b);
    begin(b, &s, "REFER", "Refer-To: <sip:+442079460000@" DOMAIN ">\r\n");
    assert_true(holds(&s.first.m, "Refer-To: <sip:+442079460000@" DOMAIN ">\r\n"));
    answer_with(b, &b->bob, &s.first, 202, "bt", "");
    expect(b, &b->alice, "SIP/2.0 202", &s.got);
    from_bob(b, &s, &b->bob, "bt", "NOTIFY",
             "Event: refer\r\nSubscription-State: active;expires=60\r\n");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    phone_answer(b, &b->alice, &s.got, 200, "ft", NULL);
    from_bob(b, &s, &b->bob, "bt", "NOTIFY",
             "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    pass_ms(b, 33000);
    assert_int_equal(b->w->n_usages, 0);
    bench_close(b);
}

static void talk(struct bench *b, struct scene *s)
{
    open_both(b);
    phone_register(b, &b->alice);
    s->r = invite_of(b, &b->alice, TO_BOB, s->keep);
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
    expect(b, &b->bob, "INVITE", &s->first);
    phone_answer(b, &b->bob, &s->first, 200, "bt", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 100", &s->got);
    expect(b, &b->alice, "SIP/2.0 200", &s->got);
    s->r.method = "ACK";
    s->r.to_tag = "bt";
    s->r.branch = "z9hG4bKack";
    s->r.body = NULL;
    phone_send(b, &b->alice, write_request_text(&s->r, s->text, sizeof s->text));
    expect(b, &b->bob, "ACK", &s->got);
}

/* Blind transfer: the one who transfers hangs up after the 202, and still learns how it went. The
 * call that comes of it is the transferee's own. */
static void a_transfer_whose_call_ends_first(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct request other;
    char keep[3][96];
    (void)state;
    talk(b, &s);
    from_alice(b, &s, "bt", "REFER", "Refer-To: <sip:+442079460000@" DOMAIN ">\r\n");
    expect(b, &b->bob, "REFER", &s.got);
    assert_true(holds(&s.got.m, "Refer-To: <sip:+442079460000@" DOMAIN ">\r\n"));
    answer_with(b, &b->bob, &s.got, 202, "bt", "");
    expect(b, &b->alice, "SIP/2.0 202", &s.got);
    from_bob(b, &s, &b->bob, "bt", "NOTIFY",
             "Event: refer\r\nSubscription-State: active;expires=60\r\n");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    phone_answer(b, &b->alice, &s.got, 200, "ft", NULL);
    from_alice(b, &s, "bt", "BYE", NULL);
    expect(b, &b->bob, "BYE", &s.got);
    phone_answer(b, &b->bob, &s.got, 200, "bt", NULL);
    assert_int_equal(workers_calls(b->ws), 0);
    assert_int_equal(b->n_cdr, 1);
    assert_int_equal(b->w->n_usages, 1);
    /* the transferee's call: routed, counted and recorded as its own */
    other = invite_of(b, &b->bob, "sip:+442079460000@" DOMAIN, keep);
    phone_send(b, &b->bob, write_request_text(&other, s.text, sizeof s.text));
    expect_peer(b, "127.0.9.8:5060", "INVITE", &s.got);
    assert_int_equal(workers_calls(b->ws), 1);
    from_bob(b, &s, &b->bob, "bt", "NOTIFY",
             "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n");
    expect(b, &b->alice, "NOTIFY ", &s.got);
    phone_answer(b, &b->alice, &s.got, 200, "ft", NULL);
    pass_ms(b, 33000);
    assert_int_equal(b->w->n_usages, 0);
    bench_close(b);
}

/* Attended transfer: Replaces goes through as it stands, and names a dialog that both ends know. */
static void replaces_passes(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct request r;
    char keep[3][96];
    (void)state;
    open_both(b);
    r = invite_of(b, &b->alice, TO_BOB, keep);
    r.extra = "Replaces: call-7;to-tag=x;from-tag=y\r\nRequire: replaces\r\n"
              "Referred-By: <sip:" CAROL "@" DOMAIN ">\r\n";
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.got);
    assert_true(holds(&s.got.m, "Replaces: call-7;to-tag=x;from-tag=y\r\n"));
    assert_true(holds(&s.got.m, "Require: replaces\r\n"));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription),
        cmocka_unit_test(a_notify_before_the_answer),
        cmocka_unit_test(each_phone_that_agreed_notifies),
        cmocka_unit_test(it_ends_with_terminated),
        cmocka_unit_test(it_ends_with_a_refusal),
        cmocka_unit_test(it_ends_when_nobody_answers),
        cmocka_unit_test(no_session_requests_in_it),
        cmocka_unit_test(a_line_has_only_so_many),
        cmocka_unit_test(a_refer_alone),
        cmocka_unit_test(a_transfer_whose_call_ends_first),
        cmocka_unit_test(replaces_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
