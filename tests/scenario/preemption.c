/* Calls of priority that meet a limit, their victims, administrators' orders, emergency modes. */
#include <unistd.h>

#include "gc/displace.h"
#include "gc/emergency_mode.h"
#include "gc/preempt.h"
#include "gc/trunks.h"
#include "lawful_intercept/tap_read.h"
#include "tests/scenario/bench.h"

static struct bench bench;

#define GW        "127.0.8.1:5060"
#define ABROAD    "sip:+441632960001@" DOMAIN
#define TO_BOB    "sip:" BOB "@" DOMAIN
#define FLASH     "Resource-Priority: dsn.flash\r\n"
#define LOWEST    "Resource-Priority: dsn.routine\r\n"
#define DISPLACED "Reason: preemption;cause=2;text=\"Reserved Resources Preempted\"\r\n"

/* ---- the world ---------------------------------------------------------------------------------
 */
static struct emergency_mode mode;

/* alice is an administrator with dsn.flash-override, bob a user with dsn.flash; a trunk abroad. */
static void world(uint32_t channels, void (*tune)(struct bench *b))
{
    struct bench *b = &bench;
    const struct line lines[] = {
        {.line_id = 1,
         .account_id = 1,
         .number = VIEW(ALICE),
         .level = 1,
         .priority = VIEW("ets.0 dsn.flash-override")},
        {.line_id = 2, .account_id = 2, .number = VIEW(BOB), .priority = VIEW("dsn.flash")}};
    const struct number_row numbers[] = {{VIEW(ALICE), 1}, {VIEW(BOB), 2}};
    const struct trunk trunk = {.trunk_id = 1,
                                .name = VIEW("gw"),
                                .host = VIEW("127.0.8.1"),
                                .port = 5060,
                                .proto = SIP_UDP + 1,
                                .sources = VIEW("127.0.8.1/32"),
                                .trusts_identity = true,
                                .sends_identity = true,
                                .max_channels = channels,
                                .priority = VIEW("dsn.immediate")};
    const struct route route = {
        .route_id = 7, .name = VIEW("uk"), .prefix = VIEW("+44"), .trunk_id = 1};
    struct snapshot_input in = {.lines = lines,
                                .n_lines = 2,
                                .numbers = numbers,
                                .n_numbers = 2,
                                .trunks = &trunk,
                                .n_trunks = 1,
                                .routes = &route,
                                .n_routes = 1,
                                .modes = &mode,
                                .n_modes = mode.mode_id != 0,
                                .change_seq = 99};
    bench_open(b, tune);
    snapshot_free(b->snap);
    assert_int_equal(snapshot_build(&in, &b->snap, NULL, 0), E_OK);
    b->w->snap = NULL;
    pass_ms(b, 1100);
    phone_register(b, &b->bob);
    forget_sent(b);
}

static void done(void)
{
    memset(&mode, 0, sizeof mode);
    bench_close(&bench);
}

static void turn(struct bench *b)
{
    for (unsigned i = 0; i < 4; i++) {
        loop_run_once(b->w->loop, false);
    }
}

/* Only what comes in: nothing that it gives to a queue is looked at before turn(). */
static void only_in(struct bench *b, struct phone *p, const char *text)
{
    char buf[TEXT_MAX];
    size_t n = strlen(text);
    struct sip_rx rx = {.is_datagram = true, .flow = p->flow};
    memcpy(buf, text, n + 1);
    n = phone_seal(p, buf, n, sizeof buf, proof_name(buf));
    rx.raw = view_from(buf, n);
    worker_rx(b->w, &rx);
}

struct ask {
    char keep[3][96], text[TEXT_MAX];
    struct request r;
};

static const char *invite(struct bench *b, struct phone *p, const char *uri, const char *extra,
                          struct ask *a)
{
    a->r = invite_of(b, p, uri, a->keep);
    a->r.extra = extra;
    return write_request_text(&a->r, a->text, sizeof a->text);
}

/* A call abroad that is answered. */
static void talk(struct bench *b, struct phone *p, const char *extra, struct ask *a,
                 struct got *at_gw)
{
    struct got got;
    phone_send(b, p, invite(b, p, ABROAD, extra, a));
    turn(b);
    expect_peer(b, GW, "INVITE", at_gw);
    peer_answer(b, GW, at_gw, 200, "gt");
    expect(b, p, "SIP/2.0 200", &got);
    b->clock.wall_us += 1000; /* the next one is newer */
}

static bool is_live(struct bench *b, const struct ask *a)
{
    return call_by_id(b->w, view_of(a->keep[1])) != NULL;
}

static const struct cdr *record_of(struct bench *b, const struct ask *a)
{
    for (unsigned i = 0; i < b->n_cdr; i++) {
        if (strcmp(b->cdr[i].call_id, a->keep[1]) == 0) {
            return &b->cdr[i];
        }
    }
    return NULL;
}

/* ---- by SIP ------------------------------------------------------------------------------------
 */
static void the_newest_of_the_lowest_goes(void **state)
{
    struct bench *b = &bench;
    struct ask a[3], mine;
    struct got at_gw, got;
    (void)state;
    world(3, NULL);
    b->set.calls_per_line = 10;
    talk(b, &b->bob, NULL, &a[0], &at_gw);
    talk(b, &b->bob, NULL, &a[1], &at_gw);
    talk(b, &b->bob, LOWEST, &a[2], &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    expect(b, &b->bob, "BYE", &got);
    assert_true(view_eq(got.m.call_id, view_of(a[1].keep[1])));
    assert_true(holds(&got.m, DISPLACED));
    expect_peer(b, GW, "BYE", &got);
    assert_true(holds(&got.m, DISPLACED));
    expect_peer(b, GW, "INVITE", &got);
    assert_true(holds(&got.m, FLASH));
    assert_true(is_live(b, &a[0]) && !is_live(b, &a[1]) && is_live(b, &a[2]) && is_live(b, &mine));
    assert_string_equal(record_of(b, &a[1])->end_by, "preempted");
    assert_memory_equal(record_of(b, &a[1])->preempted_by, "call ", 5);
    assert_int_equal(counted(b, METER_PREEMPTED), 1);
    peer_answer(b, GW, &got, 486, "gt");
    turn(b);
    assert_string_equal(record_of(b, &mine)->priority, "dsn.flash");
    assert_string_equal(record_of(b, &mine)->preempted_by, "");
    done();
}

static void equals_are_no_victims(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    talk(b, &b->bob, FLASH, &a, &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    expect(b, &b->alice, "SIP/2.0 488", &got);
    assert_true(holds(&got.m, "Warning: 370 " DOMAIN " \"Insufficient Bandwidth\"\r\n"));
    assert_true(is_live(b, &a) && !is_live(b, &mine));
    phone_send(b, &b->alice,
               invite(b, &b->alice, ABROAD, "Resource-Priority: dsn.flash-override\r\n", &mine));
    turn(b);
    assert_true(!is_live(b, &a) && is_live(b, &mine));
    done();
}

/* Who may not changes nothing: 403, and a user's line has the rank and takes no place. */
static void who_may_not(void **state)
{
    static const struct {
        const char *extra, *status;
    } rows[] = {{"Resource-Priority: dsn.flash-override\r\n", "SIP/2.0 403"},
                {"Resource-Priority: ets.4\r\n", "SIP/2.0 403"},
                {"Resource-Priority: dsn.flash, wps.4\r\n", "SIP/2.0 403"},
                {"Resource-Priority: dsn.flash\r\n", "SIP/2.0 503"},
                {"Resource-Priority: foo.1\r\n", "SIP/2.0 503"},
                {NULL, "SIP/2.0 503"}};
    struct bench *b = &bench;
    struct ask a, other;
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    talk(b, &b->alice, NULL, &a, &at_gw);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        phone_send(b, &b->bob, invite(b, &b->bob, ABROAD, rows[i].extra, &other));
        turn(b);
        expect(b, &b->bob, rows[i].status, &got);
        assert_true(is_live(b, &a));
        assert_int_equal(count_to(b, &b->alice.flow.remote, "BYE"), 0);
    }
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, "Resource-Priority: ets.0\r\n", &other));
    turn(b);
    expect(b, &b->alice, "SIP/2.0 503", &got); /* ets queues: it takes nobody's place */
    assert_true(is_live(b, &a));
    done();
}

static void few_calls(struct bench *b)
{
    b->set.max_calls = 1;
}

static void emergency_calls_and_611_stay(void **state)
{
    static const char *const uris[] = {"sip:911@" DOMAIN, "sip:611@" DOMAIN};
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ask a, mine;
        struct got got;
        world(0, few_calls);
        atomic_store(&b->ws->ps[0].healthy, true);
        phone_send(b, &b->bob, invite(b, &b->bob, uris[i], NULL, &a));
        assert_true(is_live(b, &a));
        phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
        turn(b);
        expect(b, &b->alice, "SIP/2.0 503", &got);
        assert_true(holds(&got.m, "Retry-After: "));
        assert_true(is_live(b, &a));
        done();
    }
}

/* Whatever priority it asks for: an emergency call waits for no victim, and needs none. */
static void an_emergency_call_with_priority(void **state)
{
    static const char *const others[] = {"sip:911@" DOMAIN, ABROAD}; /* no victim; one */
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ask a, mine;
        struct got got;
        world(0, few_calls);
        phone_send(b, &b->bob, invite(b, &b->bob, others[i], NULL, &a));
        assert_true(is_live(b, &a));
        forget_sent(b);
        phone_send(b, &b->alice, invite(b, &b->alice, "sip:911@" DOMAIN, FLASH, &mine));
        expect_peer(b, "127.0.9.9:5060", "INVITE", &got); /* at once */
        turn(b);
        assert_true(is_live(b, &a) && is_live(b, &mine));
        assert_int_equal(counted(b, METER_PREEMPTED), 0);
        done();
    }
}

static void the_place_of_a_worker(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(0, few_calls);
    talk(b, &b->bob, NULL, &a, &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, NULL, &mine));
    expect(b, &b->alice, "SIP/2.0 503", &got);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    assert_true(!is_live(b, &a) && is_live(b, &mine));
    done();
}

static void an_early_victim(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    phone_send(b, &b->bob, invite(b, &b->bob, ABROAD, NULL, &a));
    expect_peer(b, GW, "INVITE", &at_gw);
    peer_answer(b, GW, &at_gw, 180, "gt");
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    expect_peer(b, GW, "CANCEL", &got);
    assert_true(holds(&got.m, DISPLACED));
    expect(b, &b->bob, "SIP/2.0 480", &got);
    assert_true(holds(&got.m, DISPLACED));
    assert_string_equal(record_of(b, &a)->end_by, "preempted");
    assert_int_equal(record_of(b, &a)->status, 480);
    expect_peer(b, GW, "INVITE", &got);
    done();
}

static void hide(struct bench *b)
{
    b->set.priority_hides_reason = true;
}

static void policy_hides_the_reason_from_lines(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(1, hide);
    talk(b, &b->bob, NULL, &a, &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    expect(b, &b->bob, "BYE", &got);
    assert_true(holds(&got.m, "Reason: preemption;cause=3;text=\"Generic Preemption\"\r\n"));
    expect_peer(b, GW, "BYE", &got);
    assert_true(holds(&got.m, DISPLACED));
    done();
}

/* ---- at the same moment ------------------------------------------------------------------------
 */
static void two_want_one(void **state)
{
    struct bench *b = &bench;
    struct ask a, one, two;
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    talk(b, &b->bob, NULL, &a, &at_gw);
    only_in(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &one));
    only_in(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &two));
    expect(b, &b->alice, "SIP/2.0 488", &got);
    assert_true(view_eq(got.m.call_id, view_of(two.keep[1])));
    assert_true(is_live(b, &a)); /* it is not told yet */
    turn(b);
    assert_true(!is_live(b, &a) && is_live(b, &one) && !is_live(b, &two));
    expect_peer(b, GW, "INVITE", &got);
    assert_int_equal(counted(b, METER_PREEMPTED), 1);
    done();
}

/* What comes free is kept: a call without priority that comes in between does not get it. */
static void nobody_is_faster(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine, other;
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    talk(b, &b->bob, NULL, &a, &at_gw);
    only_in(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    call_terminate(call_by_id(b->w, view_of(a.keep[1])), "gate", "x");
    only_in(b, &b->bob, invite(b, &b->bob, ABROAD, NULL, &other));
    expect(b, &b->bob, "SIP/2.0 503", &got);
    turn(b);
    expect_peer(b, GW, "INVITE", &got);
    assert_true(view_eq(got.m.call_id, view_of(mine.keep[1])));
    assert_int_equal(counted(b, METER_PREEMPTED), 0); /* it had ended by itself */
    assert_string_equal(record_of(b, &a)->end_by, "gate");
    done();
}

static void the_caller_gives_up(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct request cancel;
    char text[TEXT_MAX];
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    talk(b, &b->bob, NULL, &a, &at_gw);
    only_in(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    cancel = mine.r;
    cancel.method = "CANCEL";
    cancel.extra = cancel.body = NULL;
    only_in(b, &b->alice, write_request_text(&cancel, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 487", &got);
    turn(b);
    pass_ms(b, 2000);
    assert_int_equal(count_to(b, &at_gw.to.remote, "INVITE"), 1);
    assert_false(is_live(b, &mine));
    talk(b, &b->bob, NULL, &a, &at_gw); /* the channel is nobody's */
    done();
}

static void stuff_queue(struct bench *b)
{
    static const char text[9000] = "x";
    struct record head = {.kind = RECORD_END_CALL};
    for (size_t n = sizeof text; n > 0; n /= 2) {
        while (worker_post(b->w, &head, view_from(text, n))) {
        }
    }
}

static void a_victim_that_cannot_be_told(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(1, NULL);
    talk(b, &b->bob, NULL, &a, &at_gw);
    stuff_queue(b);
    only_in(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    pass_ms(b, DISPLACE_MS - 100);
    assert_true(is_live(b, &mine));
    pass_ms(b, 200);
    expect(b, &b->alice, "SIP/2.0 488", &got);
    assert_true(is_live(b, &a) && !is_live(b, &mine));
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine)); /* it is free again */
    turn(b);
    assert_true(!is_live(b, &a) && is_live(b, &mine));
    done();
}

static void no_room_to_wait(struct bench *b)
{
    b->set.max_parked = 0;
}

static void without_room_to_wait_nobody_is_harmed(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(1, no_room_to_wait);
    talk(b, &b->bob, NULL, &a, &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    expect(b, &b->alice, "SIP/2.0 488", &got);
    assert_true(is_live(b, &a));
    done();
}

/* ---- lines -------------------------------------------------------------------------------------
 */
static void one_call_each(struct bench *b)
{
    b->set.calls_per_line = 1;
}

static void ones_own_call(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine;
    struct got at_gw, got;
    (void)state;
    world(0, one_call_each);
    talk(b, &b->alice, NULL, &a, &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &mine));
    turn(b);
    assert_true(!is_live(b, &a) && is_live(b, &mine));
    expect_peer(b, GW, "INVITE", &got);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, FLASH, &a));
    expect(b, &b->alice, "SIP/2.0 403", &got); /* its equal */
    assert_true(is_live(b, &mine));
    done();
}

static void a_busy_line(void **state)
{
    struct bench *b = &bench;
    struct ask a, mine, other;
    struct got at_gw, got;
    (void)state;
    world(0, one_call_each);
    talk(b, &b->bob, NULL, &a, &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, TO_BOB, FLASH, &mine));
    turn(b);
    assert_true(!is_live(b, &a) && is_live(b, &mine));
    expect(b, &b->bob, "BYE", &got);
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 200, "bt", NULL);
    snprintf(other.text, sizeof other.text,
             "INVITE " TO_BOB " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.8.1:5060;branch=z9hG4bKt\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:+441632960001@x>;tag=p\r\nTo: <" TO_BOB ">\r\n"
             "Call-ID: from-gw\r\nCSeq: 1 INVITE\r\nContact: <sip:g@127.0.8.1>\r\n"
             "Resource-Priority: dsn.immediate\r\nContent-Length: 0\r\n\r\n");
    feed(b,
         &(struct sip_flow){.proto = SIP_UDP, .remote = addr(GW), .local = addr("127.0.9.1:5060")},
         other.text);
    turn(b);
    assert_true(take(b, &at_gw.to.remote, "SIP/2.0 486", &got)); /* of lower rank */
    assert_true(is_live(b, &mine));
    done();
}

/* ---- an administrator --------------------------------------------------------------------------
 */
static struct preempt_row rows[8];

static struct preempt_found run(struct preempt_order o, size_t max)
{
    struct preempt_found f;
    snprintf(o.id, sizeof o.id, "7");
    snprintf(o.who, sizeof o.who, "anna");
    assert_int_equal(preempt_run(bench.ws, &o, rows, max, &f), E_OK);
    return f;
}

static void an_administrator_clears_a_trunk(void **state)
{
    struct bench *b = &bench;
    struct ask a[3], emergency;
    struct got at_gw, got;
    struct preempt_found f;
    (void)state;
    world(0, NULL);
    talk(b, &b->bob, FLASH, &a[0], &at_gw);
    talk(b, &b->bob, NULL, &a[1], &at_gw);
    talk(b, &b->alice, NULL, &a[2], &at_gw);
    phone_send(b, &b->alice, invite(b, &b->alice, "sip:911@" DOMAIN, NULL, &emergency));
    f = run((struct preempt_order){.scope = PREEMPT_TRUNK, .trunk_id = 1, .dry_run = true}, 8);
    assert_true(f.calls == 3 && f.rows == 3 && !f.cut);
    assert_string_equal(rows[0].call_id, a[2].keep[1]);
    assert_string_equal(rows[1].call_id, a[1].keep[1]);
    assert_string_equal(rows[2].call_id, a[0].keep[1]);
    assert_string_equal(rows[0].outcome, "would end");
    turn(b);
    assert_true(is_live(b, &a[0]) && is_live(b, &a[1]) && is_live(b, &a[2]));
    f = run((struct preempt_order){.scope = PREEMPT_TRUNK, .trunk_id = 1, .max = 1}, 8);
    assert_true(f.calls == 1 && f.rows == 1);
    assert_string_equal(rows[0].outcome, "ended");
    f = run((struct preempt_order){.scope = PREEMPT_TRUNK, .trunk_id = 1, .below = 1}, 8);
    assert_true(f.calls == 1 && f.rows == 2); /* another one had the first meanwhile */
    assert_string_equal(rows[1].outcome, "taken");
    assert_string_equal(rows[1].had_by, "preemption 7 of anna");
    turn(b);
    assert_true(is_live(b, &a[0]) && !is_live(b, &a[1]) && !is_live(b, &a[2]));
    expect(b, &b->alice, "BYE", &got);
    assert_true(holds(&got.m, "Reason: preemption;cause=3;text=\"Generic Preemption\"\r\n"));
    assert_string_equal(record_of(b, &a[2])->preempted_by, "preemption 7 of anna");
    f = run((struct preempt_order){.scope = PREEMPT_REGION, .n_prefixes = 1, .prefix = {"+1212"}},
            8);
    turn(b);
    assert_int_equal(f.calls, 1);
    assert_string_equal(rows[1].outcome, "emergency");
    assert_true(is_live(b, &emergency) && !is_live(b, &a[0]));
    done();
}

static void an_administrator_ends_a_call(void **state)
{
    struct bench *b = &bench;
    struct preempt_order o = {.scope = PREEMPT_CALL};
    struct ask a;
    struct got at_gw;
    (void)state;
    world(0, NULL);
    talk(b, &b->bob, NULL, &a, &at_gw);
    snprintf(o.what, sizeof o.what, "none");
    assert_int_equal(run(o, 8).rows, 0);
    snprintf(o.what, sizeof o.what, "%s", a.keep[1]);
    assert_int_equal(run(o, 0).calls, 1); /* no room to say which: it ends all the same */
    turn(b);
    assert_false(is_live(b, &a));
    talk(b, &b->bob, NULL, &a, &at_gw);
    o.scope = PREEMPT_NUMBER;
    snprintf(o.what, sizeof o.what, BOB);
    assert_int_equal(run(o, 8).calls, 1);
    turn(b);
    assert_false(is_live(b, &a));
    done();
}

/* ---- emergency mode ----------------------------------------------------------------------------
 */
static void four_calls(struct bench *b)
{
    b->set.max_calls = 4;
}

static void a_share_of_all_calls(void **state)
{
    struct bench *b = &bench;
    struct ask a[3], mine;
    struct mode_shown shown[2];
    struct got at_gw, got;
    (void)state;
    mode = (struct emergency_mode){.mode_id = 3,
                                   .scope = MODE_ALL,
                                   .share = 50,
                                   .declared_by = VIEW("anna"),
                                   .reason = VIEW("flood"),
                                   .ends_us = 1700000000000000u + 60000000u};
    world(0, four_calls);
    assert_int_equal(counted(b, METER_MODES), 1);
    assert_int_equal(counted(b, METER_MODE_SHARE), 50);
    assert_int_equal(emergency_modes_view(b->ws, shown, 2), 1);
    assert_string_equal(shown[0].reason, "flood");
    talk(b, &b->bob, NULL, &a[0], &at_gw);
    talk(b, &b->bob, NULL, &a[1], &at_gw);
    phone_send(b, &b->bob, invite(b, &b->bob, ABROAD, NULL, &a[2]));
    expect(b, &b->bob, "SIP/2.0 503", &got);
    assert_int_equal(counted(b, METER_REFUSED_MODE), 1);
    talk(b, &b->bob, LOWEST, &mine, &at_gw); /* any priority is more than none */
    pass_ms(b, 61000);                       /* it ends by the clock */
    assert_int_equal(counted(b, METER_MODES), 0);
    assert_int_equal(counted(b, METER_MODE_SHARE), 100);
    assert_int_equal(emergency_modes_view(b->ws, shown, 2), 0);
    talk(b, &b->bob, NULL, &a[2], &at_gw);
    done();
}

/* Records of an attempt in the tap: its beginning and its end. */
static unsigned tapped(struct tap_reader *t, const struct ask *a)
{
    struct tap_record r;
    uint64_t number = 0, lost = 0;
    unsigned n = 0;
    while (tap_next(t, 0, &r, &number, &lost) == E_OK) {
        n += (r.kind == TAP_CALL_BEGIN && view_eq(r.text[1], view_of(a->keep[1])));
        n += (r.kind == TAP_CALL_END);
    }
    return n;
}

/* Refused by a limit or a mode before it is a call: who may listen hears of it all the same. */
static void refused_attempts_are_tapped(void **state)
{
    struct bench *b = &bench;
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char path[64];
        struct tap *tap = NULL;
        struct tap_reader *reader = NULL;
        struct ask a;
        struct got got;
        mode = (struct emergency_mode){
            .mode_id = i, .scope = MODE_ALL, .share = 0, .ends_us = UINT64_MAX};
        world(0, four_calls);
        b->w->n_calls += i == 0 ? b->set.max_calls : 0;
        snprintf(path, sizeof path, "/tmp/hg-preemption-tap.%ld", (long)getpid());
        assert_int_equal(tap_open(path, "", 1, TAP_RING_MIN, &tap), E_OK);
        assert_int_equal(tap_attach(path, &reader), E_OK);
        b->w->tap = tap_ring_of(tap, 0);
        phone_send(b, &b->bob, invite(b, &b->bob, ABROAD, NULL, &a));
        expect(b, &b->bob, "SIP/2.0 503", &got);
        b->w->n_calls -= i == 0 ? b->set.max_calls : 0;
        assert_int_equal(tapped(reader, &a), 2);
        b->w->tap = NULL;
        tap_detach(reader);
        tap_close(tap);
        done();
    }
}

static void a_share_of_a_trunk(void **state)
{
    struct bench *b = &bench;
    struct ask a[2], mine;
    struct got at_gw, got;
    (void)state;
    mode = (struct emergency_mode){.mode_id = 3,
                                   .scope = MODE_TRUNKS,
                                   .share = 50,
                                   .trunks = VIEW("9 1"),
                                   .exempt_lines = VIEW("1"),
                                   .ends_us = UINT64_MAX};
    world(2, NULL);
    talk(b, &b->bob, NULL, &a[0], &at_gw);
    phone_send(b, &b->bob, invite(b, &b->bob, ABROAD, NULL, &a[1]));
    expect(b, &b->bob, "SIP/2.0 503", &got);
    talk(b, &b->alice, NULL, &mine, &at_gw); /* an exempt line */
    done();
}

static void a_region(void **state)
{
    struct bench *b = &bench;
    struct ask a, other;
    struct got at_gw, got;
    (void)state;
    mode = (struct emergency_mode){
        .mode_id = 3, .scope = MODE_REGION, .prefixes = VIEW("+49 +44163"), .ends_us = UINT64_MAX};
    world(0, NULL);
    phone_send(b, &b->alice, invite(b, &b->alice, ABROAD, NULL, &a));
    expect(b, &b->alice, "SIP/2.0 503", &got);
    phone_send(b, &b->alice, invite(b, &b->alice, TO_BOB, NULL, &a));
    expect(b, &b->bob, "INVITE", &got); /* another region */
    talk(b, &b->alice, "Resource-Priority: ets.4\r\n", &other, &at_gw);
    done();
}

/* Its calls are counted as they come, and anew each tick. */
static void a_share_of_a_region(void **state)
{
    struct bench *b = &bench;
    struct ask a[3], local;
    struct got at_gw[2], got;
    (void)state;
    mode = (struct emergency_mode){.mode_id = 3,
                                   .scope = MODE_REGION,
                                   .share = 50,
                                   .prefixes = VIEW("+44"),
                                   .exempt_lines = VIEW("1"),
                                   .ends_us = UINT64_MAX};
    world(0, four_calls);
    phone_send(b, &b->alice, invite(b, &b->alice, TO_BOB, NULL, &local));
    talk(b, &b->alice, NULL, &a[0], &at_gw[0]);
    talk(b, &b->bob, NULL, &a[1], &at_gw[1]);
    phone_send(b, &b->bob, invite(b, &b->bob, ABROAD, NULL, &a[2]));
    expect(b, &b->bob, "SIP/2.0 503", &got);
    assert_int_equal(counted(b, METER_REFUSED_MODE), 1);
    call_end(call_by_id(b->w, view_of(a[0].keep[1])), 200, "caller");
    pass_ms(b, 100);
    talk(b, &b->bob, NULL, &a[2], &at_gw[0]);
    assert_true(is_live(b, &a[1]) && is_live(b, &a[2]) && is_live(b, &local));
    done();
}

/* ---- what is answered --------------------------------------------------------------------------
 */
static void off(struct bench *b)
{
    b->set.priority_enabled = b->plan.priority.is_on = false;
}

static void required_of_us(void **state)
{
    static const struct {
        void (*tune)(struct bench *b);
        const char *extra, *status, *says;
    } cases[] = {
        {NULL, "Require: resource-priority\r\nResource-Priority: foo.1\r\n", "SIP/2.0 417",
         "Accept-Resource-Priority: dsn.flash-override, dsn.flash, "},
        {NULL, "Require: resource-priority\r\nResource-Priority: foo.1, DSN.Flash\r\n",
         "SIP/2.0 100", ""},
        {NULL, "Proxy-Require: resource-priority\r\nResource-Priority: dsn.flash\r\n",
         "SIP/2.0 100", ""},
        {NULL, "Resource-Priority: dsn.flash\r\nResource-Priority: dsn.routine\r\n", "SIP/2.0 400",
         ""},
        {off, "Require: resource-priority\r\nResource-Priority: dsn.flash\r\n", "SIP/2.0 420",
         "Unsupported: resource-priority\r\n"},
        {off, "Resource-Priority: dsn.flash\r\n", "SIP/2.0 100", ""},
    };
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ask a;
        struct got got;
        world(0, cases[i].tune);
        phone_send(b, &b->alice, invite(b, &b->alice, TO_BOB, cases[i].extra, &a));
        expect(b, &b->alice, cases[i].status, &got);
        assert_true(holds(&got.m, cases[i].says));
        if (strstr(cases[i].status, "100") != NULL) {
            expect(b, &b->bob, "INVITE", &got);
            assert_int_equal(holds(&got.m, "Resource-Priority"), cases[i].tune == NULL);
        }
        done();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_the_lowest_goes),
        cmocka_unit_test(equals_are_no_victims),
        cmocka_unit_test(who_may_not),
        cmocka_unit_test(emergency_calls_and_611_stay),
        cmocka_unit_test(an_emergency_call_with_priority),
        cmocka_unit_test(the_place_of_a_worker),
        cmocka_unit_test(an_early_victim),
        cmocka_unit_test(policy_hides_the_reason_from_lines),
        cmocka_unit_test(two_want_one),
        cmocka_unit_test(nobody_is_faster),
        cmocka_unit_test(the_caller_gives_up),
        cmocka_unit_test(a_victim_that_cannot_be_told),
        cmocka_unit_test(without_room_to_wait_nobody_is_harmed),
        cmocka_unit_test(ones_own_call),
        cmocka_unit_test(a_busy_line),
        cmocka_unit_test(an_administrator_clears_a_trunk),
        cmocka_unit_test(an_administrator_ends_a_call),
        cmocka_unit_test(a_share_of_all_calls),
        cmocka_unit_test(refused_attempts_are_tapped),
        cmocka_unit_test(a_share_of_a_trunk),
        cmocka_unit_test(a_region),
        cmocka_unit_test(a_share_of_a_region),
        cmocka_unit_test(required_of_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
