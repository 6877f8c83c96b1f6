#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "signaling/sip_ua.h"

/* ---- two user agents and a bare wire, over real sockets and fake time --------------------------
 */
enum { EVENTS_MAX = 24, HEARD_MAX = 96, TEXT = 4096, SEALS = 4096, RULES_MAX = 4 };

enum what_to_do { ANSWER, RING, RING_AND_ANSWER, PROGRESS_AND_ANSWER, NOTHING, REJECT, HANG_UP };

struct rule { /* the next `times` messages of this kind are lost on their way to this end */
    const char *kind;
    unsigned times;
};

struct end {
    struct bench *b;
    struct sip_transport *t;
    struct sip_ua *ua;
    struct sip_flow to; /* the other one */
    struct net_addr at;
    enum what_to_do what;
    struct sip_call *call; /* the last one */
    unsigned n_events;
    enum sip_call_event ev[EVENTS_MAX];
    unsigned status[EVENTS_MAX];
    struct rule rule[RULES_MAX];
    unsigned n_heard; /* also those that were lost */
    uint64_t heard_ms[HEARD_MAX];
    char heard[HEARD_MAX][24];
    char last[TEXT];
    uint64_t seal_seq;
    bool seal_fails;
    bool seen[SEALS]; /* of the other's seals */
    unsigned n_unsealed;
    unsigned reply_status, n_replies, n_asked, n_closed;
    struct sip_flow from; /* of the last message */
};

struct bench {
    struct clock_fake clock;
    struct loop *loop;
    uint64_t zero_ms;
    size_t live;
    bool sealed;
    struct end a, b, w; /* w has no user agent: raw text in and out */
};

#define SDP                                                                                        \
    "v=0\r\no=x 7 40 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"                   \
    "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"

/* "INVITE", "180 INVITE" */
static void kind_of(const struct sip_msg *m, char out[24])
{
    if (m->is_request) {
        snprintf(out, 24, "%.*s", (int)m->method_text.n, m->method_text.p);
    } else {
        snprintf(out, 24, "%u %.*s", m->status, (int)m->method_text.n, m->method_text.p);
    }
}

static bool is_lost(struct end *e, const char *kind)
{
    for (unsigned i = 0; i < RULES_MAX; i++) {
        if (e->rule[i].times > 0 && strcmp(e->rule[i].kind, kind) == 0) {
            e->rule[i].times--;
            return true;
        }
    }
    return false;
}

static void lose(struct end *e, const char *kind, unsigned times)
{
    for (unsigned i = 0; i < RULES_MAX; i++) {
        if (e->rule[i].times == 0) {
            e->rule[i] = (struct rule){kind, times};
            return;
        }
    }
    fail();
}

static void on_rx(void *arg, const struct sip_rx *rx)
{
    struct end *e = arg;
    struct sip_msg m;
    const char *why = "";
    char kind[24] = "bad";
    if (sip_frame(rx->raw, rx->is_datagram, &m, &why) == E_OK) {
        kind_of(&m, kind);
    }
    assert_true(rx->raw.n < TEXT);
    memcpy(e->last, rx->raw.p, rx->raw.n);
    e->last[rx->raw.n] = 0;
    e->from = rx->flow;
    if (e->n_heard < HEARD_MAX) {
        e->heard_ms[e->n_heard] = loop_now_ms(e->b->loop) - e->b->zero_ms;
        memcpy(e->heard[e->n_heard++], kind, sizeof kind);
    }
    if (!is_lost(e, kind) && e->ua != NULL) {
        sip_ua_rx(e->ua, rx);
    }
}

static void on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct end *e = arg;
    (void)why;
    e->n_closed++;
    if (e->ua != NULL) {
        sip_ua_flow_lost(e->ua, flow);
    }
}

static enum err on_seal(void *arg, const struct sip_flow *to, char *buf, size_t buf_bytes,
                        size_t *n)
{
    struct end *e = arg;
    char line[32];
    (void)to;
    if (!e->b->sealed) {
        return e->seal_fails ? E_CRYPTO : E_OK;
    }
    if (e->seal_fails) {
        return E_CRYPTO;
    }
    int more = snprintf(line, sizeof line, "X-Seal: %llu\r\n", (unsigned long long)++e->seal_seq);
    char *at = memmem(buf, *n, "\r\n", 2);
    assert_non_null(at);
    at += 2;
    assert_true(*n + (size_t)more <= buf_bytes);
    memmove(at + more, at, *n - (size_t)(at - buf));
    memcpy(at, line, (size_t)more);
    *n += (size_t)more;
    return E_OK;
}

static enum err on_check(void *arg, const struct sip_flow *from, const struct sip_msg *m,
                         bool *out_repeat)
{
    struct end *e = arg;
    const struct sip_hdr *h = sip_header_named(m, VIEW("X-Seal"));
    uint64_t seq = 0;
    (void)from;
    if (!e->b->sealed) {
        return E_OK;
    }
    if (h == NULL || view_to_u64(h->value, SEALS - 1, &seq) != E_OK) {
        e->n_unsealed++;
        return E_AUTH;
    }
    *out_repeat = e->seen[seq];
    e->seen[seq] = true;
    return E_OK;
}

static void act(struct sip_call *c, enum what_to_do what)
{
    switch (what) {
    case RING_AND_ANSWER:
        assert_int_equal(sip_call_progress(c, 180, VIEW("")), E_OK);
        /* fall through */
    case ANSWER:
        assert_int_equal(sip_call_answer(c, VIEW(SDP)), E_OK);
        break;
    case PROGRESS_AND_ANSWER:
        assert_int_equal(sip_call_progress(c, 183, VIEW(SDP)), E_OK);
        assert_int_equal(sip_call_answer(c, VIEW(SDP)), E_OK);
        break;
    case RING:
        assert_int_equal(sip_call_progress(c, 180, VIEW("")), E_OK);
        break;
    case NOTHING:
        break;
    case REJECT:
        assert_int_equal(sip_call_reject(c, 486), E_OK);
        break;
    case HANG_UP:
        sip_call_hangup(c, NULL);
        break;
    }
}

static void on_call(void *arg, struct sip_call *c, enum sip_call_event ev, unsigned status,
                    const struct sip_msg *m)
{
    struct end *e = arg;
    assert_true(e->n_events < EVENTS_MAX);
    e->ev[e->n_events] = ev;
    e->status[e->n_events++] = status;
    e->call = c;
    if (ev == SIP_CALL_INCOMING) {
        assert_non_null(m);
        assert_ptr_equal(sip_call_data(c), NULL);
        sip_call_set_data(c, e);
        act(c, e->what);
    } else {
        assert_ptr_equal(sip_call_data(c), e);
    }
    if (ev == SIP_CALL_REJECTED || ev == SIP_CALL_CANCELLED || ev == SIP_CALL_ENDED) {
        sip_call_hangup(c, NULL); /* too late for anything, and harmless */
        assert_int_equal(sip_call_answer(c, VIEW(SDP)), E_STATE);
        assert_int_equal(sip_call_reject(c, 486), E_STATE);
    }
}

static unsigned on_request(void *arg, const struct sip_msg *m, const struct sip_flow *from)
{
    struct end *e = arg;
    (void)from;
    e->n_asked++;
    return m->method == SIP_M_MESSAGE ? 202 : m->method == SIP_M_REGISTER ? 200 : 0;
}

static void on_reply(void *arg, unsigned status, const struct sip_msg *m)
{
    struct end *e = arg;
    assert_true((m == NULL) == (status == 408 || status == 503));
    e->reply_status = status;
    e->n_replies++;
}

static void end_open(struct bench *b, struct end *e, const char *user, enum sip_proto proto,
                     const char *address, unsigned max_calls)
{
    e->b = b;
    const struct sip_transport_cfg tc = {.on_rx = on_rx, .on_closed = on_closed, .arg = e};
    const struct sip_ua_cfg uc = {.user = user,
                                  .domain = "example.net",
                                  .user_agent = "unit/1",
                                  .max_calls = max_calls,
                                  .seal = on_seal,
                                  .check = on_check,
                                  .on_call = on_call,
                                  .on_request = on_request,
                                  .arg = e};
    struct net_addr at;
    assert_int_equal(net_parse(view_of(address), 0, &at), E_OK);
    assert_int_equal(sip_transport_new(b->loop, &tc, &e->t), E_OK);
    assert_int_equal(sip_transport_listen(e->t, proto, &at, &e->at), E_OK);
    if (user != NULL) {
        assert_int_equal(sip_ua_new(b->loop, e->t, &uc, &e->ua), E_OK);
    }
}

static void point(struct end *from, const struct end *to, enum sip_proto proto)
{
    assert_int_equal(
        sip_transport_connect(from->t, proto, &to->at, NULL, VIEW(""), NULL, &from->to), E_OK);
}

static struct bench *bench_new(enum sip_proto proto, bool sealed)
{
    size_t live = mem_live();
    struct bench *b = mem_zalloc(sizeof *b);
    assert_non_null(b);
    b->live = live;
    b->sealed = sealed;
    clock_fake_init(&b->clock, 1);
    assert_int_equal(loop_new(&b->clock.clock, &b->loop), E_OK);
    b->zero_ms = loop_now_ms(b->loop);
    end_open(b, &b->a, "1001", proto, "127.0.0.21:0", 2);
    end_open(b, &b->b, "1002", proto, "127.0.0.22:0", 2);
    end_open(b, &b->w, NULL, SIP_UDP, "127.0.0.23:0", 0);
    point(&b->a, &b->b, proto);
    if (proto == SIP_UDP) {
        point(&b->b, &b->a, proto);
        point(&b->w, &b->b, proto);
    }
    return b;
}

static void end_close(struct end *e)
{
    sip_ua_free(e->ua);
    sip_transport_free(e->t);
}

static void bench_free(struct bench *b)
{
    size_t live = b->live;
    end_close(&b->a);
    end_close(&b->b);
    end_close(&b->w);
    assert_int_equal(loop_timers(b->loop), 0);
    loop_free(b->loop);
    mem_free(b);
    assert_int_equal(mem_live(), live);
}

/* Loopback delivers at once: a few turns carry a question and its answers. */
static void settle(struct bench *b)
{
    for (unsigned i = 0; i < 12; i++) {
        loop_run_once(b->loop, false);
    }
}

static void pass(struct bench *b, uint64_t ms)
{
    settle(b);
    for (; ms > 0; ms -= ms < 100 ? ms : 100) {
        loop_advance(b->loop, &b->clock, ms < 100 ? ms : 100);
        settle(b);
    }
}

static struct sip_call *call(struct bench *b)
{
    struct sip_call *c = NULL;
    assert_int_equal(
        sip_call_start(b->a.ua, &b->a.to, "sip:1002@example.net", VIEW(SDP), VIEW(""), &b->a, &c),
        E_OK);
    b->a.call = c;
    return c;
}

static unsigned heard(const struct end *e, const char *kind)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->n_heard; i++) {
        n += strcmp(e->heard[i], kind) == 0;
    }
    return n;
}

struct expect {
    enum sip_call_event ev;
    unsigned status;
};

static void expect(struct end *e, const struct expect *want, unsigned n)
{
    for (unsigned i = 0; i < n && i < e->n_events; i++) {
        assert_int_equal(e->ev[i], want[i].ev);
        assert_int_equal(e->status[i], want[i].status);
    }
    assert_int_equal(e->n_events, n);
    e->n_events = 0;
}
#define EXPECT(e, ...)                                                                             \
    expect(e, (const struct expect[]){__VA_ARGS__},                                                \
           sizeof((const struct expect[]){__VA_ARGS__}) / sizeof(struct expect))

static bool has(const struct end *e, const char *text)
{
    return strstr(e->last, text) != NULL;
}

static void quiet(struct bench *b) /* after the longest timers nothing is left of any call */
{
    pass(b, 70000);
    assert_int_equal(sip_ua_calls(b->a.ua), 0);
    assert_int_equal(sip_ua_calls(b->b.ua), 0);
}

/* ---- whole calls -------------------------------------------------------------------------------
 */
static void a_call_and_its_end(void **state)
{
    (void)state;
    static const enum sip_proto protos[] = {SIP_UDP, SIP_TCP};
    for (unsigned i = 0; i < 4; i++) {
        struct bench *b = bench_new(protos[i % 2], i >= 2);
        b->b.what = RING_AND_ANSWER;
        call(b);
        settle(b);
        EXPECT(&b->a, {SIP_CALL_PROGRESS, 180}, {SIP_CALL_ANSWERED, 200});
        EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200});
        assert_int_equal(sip_ua_calls(b->a.ua), 1);
        struct view id = sip_call_id(b->a.call);
        assert_true(view_eq(id, sip_call_id(b->b.call)));
        assert_int_equal(sip_call_local(b->b.call).port, b->b.at.port);
        pass(b, 40000); /* the transactions are over, the call goes on */
        sip_call_hangup(b->a.call, NULL);
        sip_call_hangup(b->a.call, NULL);
        settle(b);
        EXPECT(&b->a, {SIP_CALL_ENDED, 200});
        EXPECT(&b->b, {SIP_CALL_ENDED, 200});
        assert_int_equal(heard(&b->b, "BYE"), 1);
        quiet(b);
        bench_free(b);
    }
}

static void the_callee_hangs_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* on a stream the BYE takes the way that the INVITE came */
        struct bench *b = bench_new(i == 0 ? SIP_UDP : SIP_TCP, true);
        b->b.what = PROGRESS_AND_ANSWER;
        call(b);
        settle(b);
        EXPECT(&b->a, {SIP_CALL_PROGRESS, 183}, {SIP_CALL_ANSWERED, 200});
        sip_call_hangup(b->b.call, "Q.850;cause=16");
        settle(b);
        assert_true(has(&b->a, "Reason: Q.850;cause=16\r\n"));
        EXPECT(&b->a, {SIP_CALL_ENDED, 200});
        EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
        quiet(b);
        bench_free(b);
    }
}

static void both_hang_up_at_once(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    call(b);
    settle(b);
    sip_call_hangup(b->a.call, NULL);
    sip_call_hangup(b->b.call, NULL);
    settle(b);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    quiet(b);
    bench_free(b);
}

static void what_an_invite_carries(void **state)
{
    (void)state;
    static const struct {
        enum sip_proto proto;
        const char *contact;
    } rows[] = {{SIP_UDP, ";transport=udp>"}, {SIP_TCP, ";transport=tcp>"}};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(rows[i].proto, false);
        b->b.what = NOTHING;
        call(b);
        settle(b);
        static const char *const lines[] = {"INVITE sip:1002@example.net SIP/2.0\r\n",
                                            "Max-Forwards: 70\r\n",
                                            "From: <sip:1001@example.net>;tag=",
                                            "To: <sip:1002@example.net>\r\n",
                                            "CSeq: 1 INVITE\r\n",
                                            "User-Agent: unit/1\r\n",
                                            "Contact: <sip:1001@127.0.0.",
                                            ";rport;branch=z9hG4bK",
                                            "Allow: INVITE, ACK, CANCEL, BYE",
                                            "Content-Type: application/sdp\r\n"};
        for (unsigned k = 0; k < sizeof lines / sizeof lines[0]; k++) {
            assert_true(has(&b->b, lines[k]));
        }
        assert_true(has(&b->b, rows[i].contact));
        assert_false(has(&b->b, "sips:"));
        assert_true(strncmp(b->a.last, "SIP/2.0 100", 11) == 0); /* the core quenches */
        assert_false(has(&b->a, "example.net>;tag=\r\n"));
        bench_free(b);
    }
}

/* Each message of a call is lost once, twice, three times: the call comes up and ends on both
 * sides, sealed anew where it must be and never taken for a replay. */
static void any_message_may_be_lost(void **state)
{
    (void)state;
    static const struct {
        bool to_caller;
        const char *kind;
    } rows[] = {{false, "INVITE"}, {true, "180 INVITE"}, {true, "200 INVITE"},
                {false, "ACK"},    {false, "BYE"},       {true, "200 BYE"}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned times = 1; times <= 3; times++) {
            struct bench *b = bench_new(SIP_UDP, true);
            struct end *at = rows[i].to_caller ? &b->a : &b->b;
            lose(at, rows[i].kind, times);
            b->b.what = RING_AND_ANSWER;
            call(b);
            pass(b, 15000);
            bool rang = strcmp(rows[i].kind, "180 INVITE") != 0;
            assert_int_equal(b->a.n_events, rang ? 2 : 1);
            assert_int_equal(b->a.ev[b->a.n_events - 1], SIP_CALL_ANSWERED);
            b->a.n_events = 0;
            EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200});
            sip_call_hangup(b->a.call, NULL);
            pass(b, 10000);
            EXPECT(&b->a, {SIP_CALL_ENDED, 200});
            EXPECT(&b->b, {SIP_CALL_ENDED, 200});
            assert_true(heard(at, rows[i].kind) > times || !rang);
            assert_int_equal(b->a.n_unsealed + b->b.n_unsealed, 0);
            quiet(b);
            bench_free(b);
        }
    }
}

static void a_2xx_is_repeated_until_ack(void **state)
{
    (void)state;
    static const uint64_t when[] = {0,     500,   1500,  3500,  7500, 11500,
                                    15500, 19500, 23500, 27500, 31500};
    for (unsigned stream = 0; stream < 2; stream++) { /* on streams too: hops may be datagrams */
        struct bench *b = bench_new(stream ? SIP_TCP : SIP_UDP, true);
        lose(&b->b, "ACK", 99);
        call(b);
        pass(b, 31900);
        unsigned n = 0;
        for (unsigned i = 0; i < b->a.n_heard; i++) {
            if (strcmp(b->a.heard[i], "200 INVITE") == 0) {
                assert_true(n < 11);
                assert_int_equal(b->a.heard_ms[i], when[n++]);
            }
        }
        assert_int_equal(n, 11);
        assert_int_equal(heard(&b->b, "ACK"), 11); /* one for each */
        EXPECT(&b->a, {SIP_CALL_ANSWERED, 200});
        assert_int_equal(heard(&b->a, "BYE"), 0);
        pass(b, 200);
        assert_int_equal(heard(&b->a, "BYE"), 1); /* never acknowledged */
        EXPECT(&b->a, {SIP_CALL_ENDED, 200});
        EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ENDED, 200});
        quiet(b);
        bench_free(b);
    }
}

static void a_2xx_that_comes_after_the_end_gets_its_ack(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    lose(&b->b, "ACK", 2);
    call(b);
    settle(b);
    sip_call_hangup(b->a.call, NULL);
    lose(&b->b, "BYE", 3);
    pass(b, 3000); /* the 2xx is repeated meanwhile */
    assert_int_equal(heard(&b->b, "ACK"), 3);
    pass(b, 10000);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    quiet(b);
    bench_free(b);
}

/* ---- calls that are not answered ---------------------------------------------------------------
 */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        enum what_to_do what;
        unsigned status;
        const char *lost_to_caller, *lost_to_callee;
        bool tells_callee;
    } rows[] = {
        {REJECT, 486, NULL, NULL, false},          {REJECT, 486, "486 INVITE", NULL, false},
        {REJECT, 486, NULL, "ACK", false},         {HANG_UP, 603, NULL, NULL, true},
        {HANG_UP, 603, "603 INVITE", "ACK", true},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(SIP_UDP, true);
        b->b.what = rows[i].what;
        if (rows[i].lost_to_caller != NULL) {
            lose(&b->a, rows[i].lost_to_caller, 2);
        }
        if (rows[i].lost_to_callee != NULL) {
            lose(&b->b, rows[i].lost_to_callee, 2);
        }
        call(b);
        pass(b, 10000);
        EXPECT(&b->a, {SIP_CALL_REJECTED, rows[i].status});
        assert_int_equal(b->b.n_events, rows[i].tells_callee ? 2 : 1);
        if (rows[i].tells_callee) {
            EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ENDED, rows[i].status});
        }
        assert_int_equal(sip_ua_calls(b->a.ua), 0);
        assert_int_equal(sip_ua_calls(b->b.ua), 0);
        unsigned n = b->a.n_heard;
        pass(b, 40000);
        assert_int_equal(b->a.n_heard, n); /* acknowledged: no more copies */
        bench_free(b);
    }
}

static void a_later_answer_and_a_later_refusal(void **state)
{
    (void)state;
    static const enum what_to_do later[] = {ANSWER, REJECT, HANG_UP};
    for (unsigned i = 0; i < 3; i++) {
        struct bench *b = bench_new(SIP_UDP, true);
        b->b.what = RING;
        call(b);
        pass(b, 100000); /* longer than any transaction timer */
        EXPECT(&b->a, {SIP_CALL_PROGRESS, 180});
        act(b->b.call, later[i]);
        assert_int_equal(b->b.n_events, 1); /* nothing is told from inside */
        settle(b);
        EXPECT(&b->a, {i == 0 ? SIP_CALL_ANSWERED : SIP_CALL_REJECTED, i == 0   ? 200u
                                                                       : i == 1 ? 486u
                                                                                : 603u});
        bench_free(b);
    }
}

static void cancel(void **state)
{
    (void)state;
    static const struct {
        bool to_caller;
        const char *lost;
    } rows[] = {{false, "none"},
                {false, "CANCEL"},
                {true, "200 CANCEL"},
                {true, "487 INVITE"},
                {false, "ACK"}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(SIP_UDP, true);
        b->b.what = RING;
        call(b);
        settle(b);
        lose(rows[i].to_caller ? &b->a : &b->b, rows[i].lost, 2);
        sip_call_hangup(b->a.call, "SIP;cause=487");
        pass(b, 10000);
        EXPECT(&b->a, {SIP_CALL_PROGRESS, 180}, {SIP_CALL_REJECTED, 487});
        EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_CANCELLED, 487});
        assert_int_equal(heard(&b->a, "200 CANCEL") > 0, 1);
        quiet(b);
        bench_free(b);
    }
}

static void a_cancel_waits_for_a_provisional(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    b->b.what = NOTHING;
    lose(&b->a, "100 INVITE", 2);
    call(b);
    settle(b);
    sip_call_hangup(b->a.call, NULL);
    pass(b, 1000);
    assert_int_equal(heard(&b->b, "CANCEL"), 0);
    pass(b, 1000); /* the third copy brings a 100 through */
    assert_int_equal(heard(&b->b, "CANCEL"), 1);
    EXPECT(&b->a, {SIP_CALL_REJECTED, 487});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_CANCELLED, 487});
    quiet(b);
    bench_free(b);
}

static void cancel_and_answer_cross(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    b->b.what = RING;
    call(b);
    settle(b);
    sip_call_hangup(b->a.call, NULL); /* both before either hears of the other */
    act(b->b.call, ANSWER);
    settle(b);
    assert_int_equal(heard(&b->b, "CANCEL"), 1);
    assert_int_equal(heard(&b->b, "ACK"), 1);
    assert_int_equal(heard(&b->b, "BYE"), 1);
    EXPECT(&b->a, {SIP_CALL_PROGRESS, 180}, {SIP_CALL_ENDED, 200}); /* never "answered" */
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    quiet(b);
    bench_free(b);
}

static void nobody_is_there(void **state)
{
    (void)state;
    for (unsigned hangs_up = 0; hangs_up < 2; hangs_up++) {
        struct bench *b = bench_new(SIP_UDP, true);
        lose(&b->b, "INVITE", 99);
        call(b);
        settle(b);
        if (hangs_up) {
            sip_call_hangup(b->a.call, NULL);
        }
        pass(b, 31900);
        assert_int_equal(b->a.n_events, 0);
        pass(b, 100);
        EXPECT(&b->a, {SIP_CALL_REJECTED, 408});
        assert_int_equal(heard(&b->b, "INVITE"), 7);
        assert_int_equal(heard(&b->b, "CANCEL"), 0);
        quiet(b);
        bench_free(b);
    }
}

static void a_cancel_that_nobody_hears_ends_too(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    b->b.what = RING;
    call(b);
    settle(b);
    lose(&b->b, "CANCEL", 99);
    sip_call_hangup(b->a.call, NULL);
    pass(b, 32100);
    EXPECT(&b->a, {SIP_CALL_PROGRESS, 180}, {SIP_CALL_REJECTED, 408});
    bench_free(b);
}

static void ringing_does_not_last_for_ever(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    b->b.what = RING;
    call(b);
    pass(b, 184900);
    EXPECT(&b->a, {SIP_CALL_PROGRESS, 180});
    pass(b, 200);
    assert_int_equal(heard(&b->b, "CANCEL"), 1);
    EXPECT(&b->a, {SIP_CALL_REJECTED, 408});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_CANCELLED, 487});
    quiet(b);
    bench_free(b);
}

static void a_bye_waits_for_the_ack(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    lose(&b->b, "ACK", 2);
    call(b);
    settle(b);
    sip_call_hangup(b->b.call, NULL);
    pass(b, 1400);
    assert_int_equal(heard(&b->a, "BYE"), 0);
    pass(b, 200); /* the second repetition is acknowledged */
    assert_int_equal(heard(&b->a, "BYE"), 1);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ENDED, 200});
    quiet(b);
    bench_free(b);
}

static void a_bye_that_nobody_hears_ends_too(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    call(b);
    settle(b);
    lose(&b->b, "BYE", 99);
    sip_call_hangup(b->a.call, NULL);
    pass(b, 31900);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200});
    pass(b, 100);
    EXPECT(&b->a, {SIP_CALL_ENDED, 0});
    bench_free(b);
}

static void wrong_moments(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    b->b.what = RING;
    call(b);
    settle(b);
    assert_int_equal(sip_call_progress(b->b.call, 100, VIEW("")), E_STATE);
    assert_int_equal(sip_call_progress(b->b.call, 200, VIEW("")), E_STATE);
    assert_int_equal(sip_call_reject(b->b.call, 200), E_STATE);
    assert_int_equal(sip_call_reject(b->a.call, 486), E_STATE);
    assert_int_equal(sip_call_answer(b->a.call, VIEW(SDP)), E_STATE);
    act(b->b.call, ANSWER);
    assert_int_equal(sip_call_answer(b->b.call, VIEW(SDP)), E_STATE);
    assert_int_equal(sip_call_reject(b->b.call, 486), E_STATE);
    assert_int_equal(sip_call_progress(b->b.call, 180, VIEW("")), E_STATE);
    bench_free(b);
}

static void no_more_calls_than_allowed(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    struct sip_call *c = NULL;
    b->b.what = RING;
    call(b);
    call(b);
    assert_int_equal(
        sip_call_start(b->a.ua, &b->a.to, "sip:1002@example.net", VIEW(SDP), VIEW(""), NULL, &c),
        E_FULL);
    assert_null(c);
    settle(b);
    assert_int_equal(sip_ua_calls(b->b.ua), 2);
    b->a.n_events = 0;
    /* a third caller, by the raw wire */
    bench_free(b);
}

static void what_cannot_be_started(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    struct sip_call *c = NULL;
    static const struct {
        const char *uri, *extra;
    } rows[] = {{"1002", ""},
                {"sip:10 02@example.net", ""},
                {"sip:1002@example.net>\r\nX: y", ""},
                {"sip:1002@example.net", "X: no end"},
                {"sip:1002@example.net", "X: a\r\n\r\nbody\r\n"},
                {"sip:1002@example.net", "CSeq: 2 INVITE\r\n"}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_not_equal(sip_call_start(b->a.ua, &b->a.to, rows[i].uri, VIEW(SDP),
                                            view_of(rows[i].extra), NULL, &c),
                             E_OK);
    }
    b->a.seal_fails = true;
    assert_int_equal(
        sip_call_start(b->a.ua, &b->a.to, "sip:1002@example.net", VIEW(SDP), VIEW(""), NULL, &c),
        E_CRYPTO);
    settle(b);
    assert_null(c);
    assert_int_equal(sip_ua_calls(b->a.ua), 0);
    assert_int_equal(b->b.n_heard, 0);
    bench_free(b);
}

/* What cannot be sealed is not sent, and nothing hangs on it. */
static void a_callee_whose_key_is_gone(void **state)
{
    (void)state;
    static const enum what_to_do whats[] = {REJECT, HANG_UP, NOTHING};
    for (unsigned i = 0; i < 3; i++) {
        struct bench *b = bench_new(SIP_UDP, true);
        b->b.what = whats[i];
        b->b.seal_fails = true;
        call(b);
        pass(b, 32100);
        EXPECT(&b->a, {SIP_CALL_REJECTED, 408});
        assert_int_equal(b->a.n_heard, 0);
        bench_free(b);
    }
}

/* ---- the raw wire ------------------------------------------------------------------------------
 */
static void wire(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void wire(struct bench *b, const char *fmt, ...)
{
    char text[TEXT];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert_true(n > 0 && (size_t)n < sizeof text);
    assert_int_equal(sip_transport_send(b->w.t, &b->w.to, view_from(text, (size_t)n)), E_OK);
    settle(b);
}

/* A request from the wire to b. */
static void ask(struct bench *b, const char *method, unsigned cseq, const char *to_tag,
                const char *extra, const char *body)
{
    static unsigned branch;
    b->w.last[0] = 0;
    wire(b,
         "%s sip:1002@127.0.0.22 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23:%u;branch=z9hG4bKw%u\r\n"
         "Max-Forwards: 70\r\nFrom: <sip:w@example.net>;tag=wtag\r\n"
         "To: <sip:1002@example.net>%s%s\r\nCall-ID: wire\r\nCSeq: %u %s\r\n%s"
         "Content-Length: %zu\r\n\r\n%s",
         method, b->w.at.port, branch++, to_tag[0] != 0 ? ";tag=" : "", to_tag, cseq, method, extra,
         strlen(body), body);
}

static unsigned last_status(const struct end *e)
{
    return strncmp(e->last, "SIP/2.0 ", 8) == 0 ? (unsigned)atoi(e->last + 8) : 0;
}

/* The To tag in the last message at the wire. */
static void copy_tag(const struct end *e, const char *header, char out[64])
{
    const char *at = strstr(e->last, header);
    assert_non_null(at);
    at = strstr(at, ";tag=");
    assert_non_null(at);
    at += 5;
    size_t n = strspn(at, "0123456789abcdef");
    assert_true(n > 0 && n < 64);
    memcpy(out, at, n);
    out[n] = 0;
}

#define W_CONTACT "Contact: <sip:w@127.0.0.23:5999;transport=udp>\r\n"
#define TYPE      "Content-Type: application/sdp\r\n"

/* A call from the wire to b, acknowledged. */
static void wire_call(struct bench *b, const char *extra, char tag[64])
{
    char lines[1024];
    b->b.what = ANSWER;
    snprintf(lines, sizeof lines, W_CONTACT TYPE "%s", extra);
    ask(b, "INVITE", 10, "", lines, SDP);
    assert_int_equal(last_status(&b->w), 200);
    copy_tag(&b->w, "\r\nTo:", tag);
    ask(b, "ACK", 10, tag, "", "");
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200});
    b->w.n_heard = 0;
}

static void requests_that_belong_to_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *method, *to_tag, *extra, *body;
        unsigned status;
        const char *line;
    } rows[] = {
        {"BYE", "nodialog", "", "", 481, ""},
        {"BYE", "", "", "", 481, ""},
        {"INFO", "nodialog", "", "", 481, ""},
        {"INVITE", "nodialog", W_CONTACT, "", 481, ""},
        {"OPTIONS", "nodialog", "", "", 481, ""},
        {"UPDATE", "", "", "", 481, ""},
        {"PRACK", "", "", "", 481, ""},
        {"CANCEL", "", "", "", 481, ""},
        {"OPTIONS", "", "", "", 200, "\r\nAllow: INVITE"},
        {"OPTIONS", "", "", "", 200, "\r\nAccept: application/sdp\r\n"},
        {"OPTIONS", "", "", "", 200, "\r\nSupported:"},
        {"MESSAGE", "", "", "", 202, ""},
        {"NOTIFY", "", "", "", 500, ""}, /* the hook gave no status */
        {"OPTIONS", "", "Require: 100rel, x-foo\r\n", "", 420, "\r\nUnsupported: x-foo\r\n"},
        {"INVITE", "", W_CONTACT "Require: timer\r\n", "", 420, "\r\nUnsupported: timer\r\n"},
        {"INVITE", "", "", "", 400, ""}, /* nowhere to send a BYE */
        {"INVITE", "", "Contact: <tel:1>\r\n", "", 400, ""},
        {"INVITE", "", W_CONTACT "Content-Type: text/plain\r\n", "hi", 415,
         "\r\nAccept: application/sdp\r\n"},
        {"INVITE", "", W_CONTACT TYPE "Content-Encoding: gzip\r\n", "hi", 415,
         "\r\nAccept-Encoding: identity\r\n"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(SIP_UDP, false);
        ask(b, rows[i].method, 1, rows[i].to_tag, rows[i].extra, rows[i].body);
        assert_int_equal(last_status(&b->w), rows[i].status);
        assert_true(has(&b->w, rows[i].line));
        char tag[64];
        if (rows[i].to_tag[0] == 0) { /* whoever has none gets one */
            copy_tag(&b->w, "\r\nTo:", tag);
        }
        assert_int_equal(b->b.n_events, 0);
        assert_int_equal(sip_ua_calls(b->b.ua), 0);
        bench_free(b);
    }
}

static void an_ack_for_nothing_is_dropped(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    ask(b, "ACK", 1, "nodialog", "", "");
    ask(b, "ACK", 1, "", "", "");
    assert_int_equal(b->w.n_heard, 0);
    bench_free(b);
}

static void schemes_and_octets(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    static const struct {
        const char *uri;
        unsigned status;
    } rows[] = {{"http://x", 416}, {"urn:service:sos", 416}, {"tel:1", 200}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wire(b,
             "OPTIONS %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKs%u\r\n"
             "From: <sip:w@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: s\r\nCSeq: 1 OPTIONS\r\n\r\n",
             rows[i].uri, i);
        assert_int_equal(last_status(&b->w), rows[i].status);
    }
    /* With a check nothing is said to what cannot be read. */
    b->w.n_heard = 0;
    wire(b, "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKq\r\n"
            "From: <sip:w@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: s\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: x\r\n\r\n");
    assert_int_equal(b->w.n_heard, 0);
    bench_free(b);
}

static void without_a_check_the_unreadable_is_answered(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    struct end *e = &b->b;
    sip_ua_free(e->ua);
    const struct sip_ua_cfg uc = {.user = "1002",
                                  .domain = "example.net",
                                  .user_agent = "unit/1",
                                  .contact_ip_or_null = "192.0.2.7",
                                  .max_calls = 1,
                                  .on_call = on_call,
                                  .arg = e};
    assert_int_equal(sip_ua_new(b->loop, e->t, &uc, &e->ua), E_OK);
    static const char *const methods[] = {"OPTIONS", "ACK"};
    for (unsigned i = 0; i < 2; i++) {
        b->w.n_heard = 0;
        wire(b,
             "%s sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKq\r\n"
             "From: <sip:w@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: s\r\nCSeq: 1 %s\r\n"
             "Content-Length: x\r\n\r\n",
             methods[i], methods[i]);
        assert_int_equal(b->w.n_heard, i == 0 ? 1 : 0);
        assert_int_equal(last_status(&b->w), 400);
    }
    wire(b, "OPTIONS sip:b@x SIP/3.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKr\r\n"
            "From: <sip:w@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: s\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n");
    assert_int_equal(last_status(&b->w), 505);
    ask(b, "NOTIFY", 1, "", "", ""); /* no hook */
    assert_int_equal(last_status(&b->w), 405);
    assert_true(has(&b->w, "\r\nAllow: "));
    ask(b, "FROB", 1, "", "", "");
    assert_int_equal(last_status(&b->w), 501);
    b->b.what = RING;
    ask(b, "INVITE", 1, "", W_CONTACT TYPE, SDP);
    assert_int_equal(last_status(&b->w), 180);
    assert_true(has(&b->w, "Contact: <sip:1002@192.0.2.7:")); /* as the configuration says */
    wire(b, "INVITE sip:1002@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKsecond\r\n"
            "Max-Forwards: 70\r\n" W_CONTACT
            "From: <sip:w@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: second\r\nCSeq: 1 INVITE\r\n\r\n");
    assert_int_equal(last_status(&b->w), 486); /* past max_calls */
    assert_int_equal(b->b.n_events, 1);
    bench_free(b);
}

static void the_same_invite_by_two_ways(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    b->b.what = RING;
    ask(b, "INVITE", 1, "", W_CONTACT TYPE, SDP);
    assert_int_equal(last_status(&b->w), 180);
    ask(b, "INVITE", 1, "", W_CONTACT TYPE, SDP); /* another branch */
    assert_int_equal(last_status(&b->w), 482);
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0});
    for (unsigned i = 0; i < 2; i++) { /* the same Call-ID of somebody else is another call */
        wire(b,
             "INVITE sip:1002@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKm%u\r\n"
             "Max-Forwards: 70\r\n" W_CONTACT "From: <sip:w@x>;tag=else\r\nTo: <sip:b@x>\r\n"
             "Call-ID: wire\r\nCSeq: 1 INVITE\r\n\r\n",
             i);
        assert_int_equal(last_status(&b->w), i == 0 ? 180 : 482);
    }
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0});
    bench_free(b);
}

static void a_callee_remembers_the_route(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64];
    wire_call(b,
              "Record-Route: <sip:p2@127.0.0.8;lr>,\r\n <sip:p1@127.0.0.9;lr>;x=y\r\n"
              "Record-Route: \"q\" <sip:p0;lr;z>\r\n",
              tag);
    sip_call_hangup(b->b.call, NULL);
    settle(b);
    assert_true(strncmp(b->w.last, "BYE sip:w@127.0.0.23:5999;transport=udp SIP/2.0\r\n", 49) == 0);
    assert_true(has(&b->w, "Route: <sip:p2@127.0.0.8;lr>\r\nRoute: <sip:p1@127.0.0.9;lr>\r\n"
                           "Route: <sip:p0;lr;z>\r\n"));
    assert_true(has(&b->w, "\r\nTo: <sip:w@example.net>;tag=wtag\r\n"));
    assert_true(has(&b->w, "\r\nMax-Forwards: 70\r\n"));
    char from[64];
    copy_tag(&b->w, "\r\nFrom:", from);
    assert_string_equal(from, tag);
    bench_free(b);
}

static void a_callee_in_every_state_meets_a_bye(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false); /* before the answer */
    char tag[64];
    b->b.what = RING;
    ask(b, "INVITE", 1, "", W_CONTACT TYPE, SDP);
    copy_tag(&b->w, "\r\nTo:", tag);
    b->w.n_heard = 0;
    ask(b, "BYE", 2, tag, "", "");
    assert_int_equal(heard(&b->w, "200 BYE"), 1);
    assert_int_equal(heard(&b->w, "487 INVITE"), 1);
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_CANCELLED, 487});
    ask(b, "BYE", 3, tag, "", "");
    assert_int_equal(last_status(&b->w), 481);
    bench_free(b);

    b = bench_new(SIP_UDP, false); /* before the ACK */
    ask(b, "INVITE", 1, "", W_CONTACT TYPE, SDP);
    copy_tag(&b->w, "\r\nTo:", tag);
    ask(b, "BYE", 2, tag, "", "");
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ENDED, 200});
    b->w.n_heard = 0;
    pass(b, 20000);
    assert_int_equal(heard(&b->w, "200 INVITE"), 0); /* no more copies */
    bench_free(b);
}

/* ---- inside a call -----------------------------------------------------------------------------
 */
static void numbers_grow(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64];
    wire_call(b, "", tag);
    ask(b, "INFO", 9, tag, "", "");
    assert_int_equal(last_status(&b->w), 500);
    ask(b, "INFO", 10, tag, "", "");
    assert_int_equal(last_status(&b->w), 500);
    assert_int_equal(b->b.n_events, 0);
    ask(b, "INFO", 11, tag, "", "");
    assert_int_equal(last_status(&b->w), 200);
    EXPECT(&b->b, {SIP_CALL_INFO, 200});
    ask(b, "OPTIONS", 12, tag, "", "");
    assert_int_equal(last_status(&b->w), 200);
    ask(b, "REFER", 13, tag, "", "");
    assert_int_equal(last_status(&b->w), 405);
    ask(b, "FROB", 14, tag, "", "");
    assert_int_equal(last_status(&b->w), 501);
    ask(b, "BYE", 13, tag, "", "");
    assert_int_equal(last_status(&b->w), 500);
    ask(b, "BYE", 15, "other", "", "");
    assert_int_equal(last_status(&b->w), 481);
    ask(b, "BYE", 15, tag, "", "");
    assert_int_equal(last_status(&b->w), 200);
    EXPECT(&b->b, {SIP_CALL_ENDED, 200});
    bench_free(b);
}

static void offer(const char *direction, const char *media, char out[512])
{
    snprintf(out, 512,
             "v=0\r\no=w 1 2 IN IP4 127.0.0.23\r\ns=-\r\nc=IN IP4 127.0.0.23\r\nt=0 0\r\n"
             "%s%s",
             media, direction);
}

static void hold_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *direction, *answer;
        unsigned version;
    } rows[] = {{"a=sendonly\r\n", "\r\na=recvonly\r\n", 41},
                {"a=sendonly\r\n", "\r\na=recvonly\r\n", 41}, /* nothing new */
                {"a=inactive\r\n", "\r\na=inactive\r\n", 42},
                {"a=recvonly\r\n", "\r\na=sendonly\r\n", 43},
                {"a=sendrecv\r\n", "\r\na=sendrecv\r\n", 44},
                {"", "\r\na=sendrecv\r\n", 44}};
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64], sdp[512], origin[64];
    unsigned cseq = 20;
    wire_call(b, "", tag);
    for (unsigned update = 0; update < 2; update++) {
        for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            offer(rows[i].direction, "m=audio 5000 RTP/AVP 0\r\n", sdp);
            ask(b, update ? "UPDATE" : "INVITE", ++cseq, tag, W_CONTACT TYPE, sdp);
            assert_int_equal(last_status(&b->w), 200);
            snprintf(origin, sizeof origin, "\r\no=x 7 %u IN", rows[i].version + 4 * update);
            assert_true(has(&b->w, origin));
            assert_true(has(&b->w, rows[i].answer));
            assert_true(has(&b->w, "\r\nContact: <sip:1002@"));
            if (!update) {
                ask(b, "ACK", cseq, tag, "", "");
            }
            EXPECT(&b->b, {SIP_CALL_MODIFIED, 200});
        }
    }
    bench_free(b);
}

/* All but origin and directions stays as our user gave it. */
static void an_answer_again_is_whole(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64], sdp[512];
    wire_call(b, "", tag);
    offer("a=sendonly\r\n", "m=audio 5000 RTP/AVP 0\r\n", sdp);
    ask(b, "INVITE", 11, tag, W_CONTACT TYPE, sdp);
    const char *body = strstr(b->w.last, "\r\n\r\n");
    assert_non_null(body);
    assert_string_equal(body + 4,
                        "v=0\r\no=x 7 41 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n"
                        "t=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
                        "a=recvonly\r\n");
    bench_free(b);
}

static void other_offers(void **state)
{
    (void)state;
    static const struct {
        const char *extra, *media;
        unsigned status;
        const char *line;
    } rows[] = {
        {TYPE, "m=audio 0 RTP/AVP 0\r\n", 200, "\r\nm=audio 0 RTP/AVP 0\r\n"},
        {TYPE, "m=video 5000 RTP/AVP 0\r\n", 488, ""},
        {TYPE, "m=audio 5000 RTP/AVP 0\r\nm=video 5002 RTP/AVP 99\r\n", 488, ""},
        {TYPE, "", 488, ""},
        {TYPE, "m=audio x\r\n", 400, ""},
        {"Content-Type: text/plain\r\n", "m=audio 5000 RTP/AVP 0\r\n", 415, ""},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(SIP_UDP, false);
        char tag[64], sdp[512], extra[256];
        wire_call(b, "", tag);
        offer("", rows[i].media, sdp);
        snprintf(extra, sizeof extra, W_CONTACT "%s", rows[i].extra);
        ask(b, "INVITE", 11, tag, extra, sdp);
        assert_int_equal(last_status(&b->w), rows[i].status);
        assert_true(has(&b->w, rows[i].line));
        ask(b, "ACK", 11, tag, "", "");
        assert_int_equal(b->b.n_events, rows[i].status == 200 ? 1 : 0);
        ask(b, "INFO", 12, tag, "", ""); /* the call stands */
        assert_int_equal(last_status(&b->w), 200);
        bench_free(b);
    }
}

static void an_update_that_is_no_sdp(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64];
    wire_call(b, "", tag);
    ask(b, "UPDATE", 11, tag, W_CONTACT "Content-Type: text/plain\r\n", "hi");
    assert_int_equal(last_status(&b->w), 415);
    ask(b, "UPDATE", 12, tag, W_CONTACT TYPE, "v=1\r\n");
    assert_int_equal(last_status(&b->w), 400);
    ask(b, "UPDATE", 13, tag, "Contact: <sip:u@127.0.0.23>\r\n", "");
    assert_int_equal(last_status(&b->w), 200);
    assert_int_equal(b->b.n_events, 0); /* no offer, nothing modified */
    sip_call_hangup(b->b.call, NULL);
    settle(b);
    assert_true(strncmp(b->w.last, "BYE sip:u@127.0.0.23 SIP/2.0\r\n", 30) == 0);
    ask(b, "UPDATE", 14, tag, W_CONTACT, "");
    assert_int_equal(last_status(&b->w), 481); /* the BYE is out */
    ask(b, "INVITE", 15, tag, W_CONTACT, "");
    assert_int_equal(last_status(&b->w), 481);
    ask(b, "INFO", 16, tag, "", "");
    assert_int_equal(last_status(&b->w), 481);
    assert_int_equal(b->b.n_events, 0);
    bench_free(b);
}

static void a_content_type_with_parameters(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    b->b.what = RING;
    ask(b, "INVITE", 1, "",
        W_CONTACT "Content-Type: Application/SDP ; x=y\r\nContent-Encoding: identity\r\n", SDP);
    assert_int_equal(last_status(&b->w), 180);
    bench_free(b);
}

static void a_new_contact_is_used(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64];
    wire_call(b, "", tag);
    ask(b, "INVITE", 11, tag, "Contact: <sip:new@127.0.0.23:7;p=1?h=x>\r\n", ""); /* no offer */
    assert_int_equal(last_status(&b->w), 200);
    assert_true(has(&b->w, "m=audio 4000"));
    assert_true(has(&b->w, "\r\na=sendrecv\r\n"));
    assert_true(has(&b->w, "\r\no=x 7 40 IN")); /* nothing has changed */
    ask(b, "ACK", 11, tag, "", "");
    sip_call_hangup(b->b.call, NULL);
    settle(b);
    assert_true(strncmp(b->w.last, "BYE sip:new@127.0.0.23:7;p=1 SIP/2.0\r\n", 38) == 0);
    bench_free(b);
}

static void glare(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false); /* our 2xx is not acknowledged */
    char tag[64];
    ask(b, "INVITE", 10, "", W_CONTACT TYPE, SDP);
    copy_tag(&b->w, "\r\nTo:", tag);
    ask(b, "INVITE", 11, tag, W_CONTACT TYPE, SDP);
    assert_int_equal(last_status(&b->w), 491);
    ask(b, "UPDATE", 12, tag, W_CONTACT TYPE, SDP);
    assert_int_equal(last_status(&b->w), 491);
    ask(b, "ACK", 10, tag, "", "");
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200});
    ask(b, "INVITE", 13, tag, W_CONTACT TYPE, SDP);
    assert_int_equal(last_status(&b->w), 200);
    ask(b, "INVITE", 14, tag, W_CONTACT TYPE, SDP); /* that one is not either */
    assert_int_equal(last_status(&b->w), 491);
    bench_free(b);

    b = bench_new(SIP_UDP, false); /* their first offer is not answered */
    b->b.what = RING;
    ask(b, "INVITE", 10, "", W_CONTACT TYPE, SDP);
    copy_tag(&b->w, "\r\nTo:", tag);
    ask(b, "INVITE", 11, tag, W_CONTACT TYPE, SDP);
    assert_int_equal(last_status(&b->w), 500);
    assert_true(has(&b->w, "\r\nRetry-After: "));
    ask(b, "UPDATE", 12, tag, W_CONTACT, "");
    assert_int_equal(last_status(&b->w), 200); /* without an offer there is no glare */
    act(b->b.call, ANSWER);
    settle(b);
    assert_int_equal(last_status(&b->w), 200);
    bench_free(b);
}

static void a_reinvite_without_ack_ends_the_call(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, false);
    char tag[64];
    wire_call(b, "", tag);
    ask(b, "INVITE", 11, tag, W_CONTACT TYPE, SDP);
    pass(b, 31900);
    assert_int_equal(heard(&b->w, "200 INVITE"), 11);
    assert_int_equal(heard(&b->w, "BYE"), 0);
    pass(b, 200);
    assert_int_equal(heard(&b->w, "BYE"), 1);
    pass(b, 32000);
    EXPECT(&b->b, {SIP_CALL_MODIFIED, 200}, {SIP_CALL_ENDED, 0});
    bench_free(b);
}

/* ---- the wire as callee ------------------------------------------------------------------------
 */
/* The answer to the last request at the wire, from its own lines. */
static void reply(struct bench *b, unsigned status, const char *to_tag, const char *extra)
{
    struct sip_msg m;
    const char *why = "";
    char out[TEXT];
    size_t n = 0;
    static char request[TEXT];
    if (strncmp(b->w.last, "INVITE", 6) == 0) {
        memcpy(request, b->w.last, sizeof request);
    }
    assert_int_equal(sip_frame(view_of(request), true, &m, &why), E_OK);
    assert_int_equal(sip_response(&m, status, NULL, view_of(to_tag), NULL, 0, view_of(extra),
                                  VIEW("application/sdp"), VIEW(SDP), out, sizeof out, &n),
                     E_OK);
    assert_int_equal(sip_transport_send(b->w.t, &b->w.to, view_from(out, n)), E_OK);
    settle(b);
}

static struct bench *calling_the_wire(void)
{
    struct bench *b = bench_new(SIP_UDP, false);
    point(&b->w, &b->a, SIP_UDP);
    point(&b->a, &b->w, SIP_UDP);
    call(b);
    settle(b);
    assert_true(strncmp(b->w.last, "INVITE", 6) == 0);
    return b;
}

static void a_caller_remembers_the_route_backwards(void **state)
{
    (void)state;
    struct bench *b = calling_the_wire();
    reply(b, 180, "early", W_CONTACT);
    /* 2xx responses copy no Record-Route here: the proxies' lines are given as extra */
    reply(b, 200, "final",
          W_CONTACT "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n");
    EXPECT(&b->a, {SIP_CALL_PROGRESS, 180}, {SIP_CALL_ANSWERED, 200});
    assert_true(strncmp(b->w.last, "ACK sip:w@127.0.0.23:5999;transport=udp SIP/2.0\r\n", 49) == 0);
    assert_true(has(&b->w, "Route: <sip:p3;lr>\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p1;lr>\r\n"));
    assert_true(has(&b->w, "\r\nCSeq: 1 ACK\r\n"));
    assert_true(has(&b->w, "\r\nTo: <sip:1002@example.net>;tag=final\r\n"));
    sip_call_hangup(b->a.call, NULL);
    settle(b);
    assert_true(strncmp(b->w.last, "BYE sip:w@127.0.0.23:5999;transport=udp SIP/2.0\r\n", 49) == 0);
    assert_true(has(&b->w, "\r\nCSeq: 2 BYE\r\n"));
    assert_true(has(&b->w, "Route: <sip:p3;lr>\r\n"));
    bench_free(b);
}

static void two_answers_to_one_call(void **state)
{
    (void)state;
    struct bench *b = calling_the_wire();
    reply(b, 200, "one", W_CONTACT);
    assert_int_equal(heard(&b->w, "ACK"), 1);
    reply(b, 200, "two", "Contact: <sip:two@127.0.0.23>\r\n");
    assert_int_equal(heard(&b->w, "ACK"), 2);
    assert_int_equal(heard(&b->w, "BYE"), 1);
    assert_true(strncmp(b->w.last, "BYE sip:two@127.0.0.23 SIP/2.0\r\n", 32) == 0);
    assert_true(has(&b->w, ";tag=two\r\n"));
    reply(b, 200, "two", "Contact: <sip:two@127.0.0.23>\r\n");
    assert_int_equal(heard(&b->w, "ACK"), 3);
    assert_int_equal(heard(&b->w, "BYE"), 1); /* told once */
    reply(b, 200, "one", W_CONTACT);
    assert_int_equal(heard(&b->w, "ACK"), 4);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200});
    assert_int_equal(sip_ua_calls(b->a.ua), 1);
    bench_free(b);
}

static void a_redirection_is_a_refusal(void **state)
{
    (void)state;
    static const unsigned statuses[] = {300, 302, 699};
    for (unsigned i = 0; i < 3; i++) {
        struct bench *b = calling_the_wire();
        reply(b, statuses[i], "one", W_CONTACT);
        EXPECT(&b->a, {SIP_CALL_REJECTED, statuses[i]});
        assert_int_equal(heard(&b->w, "ACK"), 1);
        bench_free(b);
    }
}

static void an_answer_for_somebody_else(void **state)
{
    (void)state;
    struct bench *b = calling_the_wire();
    char copy[TEXT], *at = NULL;
    memcpy(copy, b->w.last, sizeof copy);
    at = strstr(b->w.last, "Max-Forwards");
    assert_non_null(at); /* the next reply copies both lines */
    snprintf(at, sizeof b->w.last - (size_t)(at - b->w.last),
             "Via: SIP/2.0/UDP x;branch=z9hG4bKx\r\n%s", strstr(copy, "Max-Forwards"));
    reply(b, 200, "one", W_CONTACT);
    assert_int_equal(b->a.n_events, 0);
    assert_int_equal(heard(&b->w, "ACK"), 0);
    bench_free(b);
}

static void an_answer_without_contact(void **state)
{
    (void)state;
    struct bench *b = calling_the_wire();
    reply(b, 200, "one", "");
    assert_int_equal(heard(&b->w, "ACK"), 1);
    assert_int_equal(heard(&b->w, "BYE"), 1);
    assert_true(strncmp(b->w.last, "BYE sip:1002@example.net SIP/2.0\r\n", 34) == 0);
    assert_true(has(&b->w, ";tag=one\r\n"));
    assert_int_equal(b->a.n_events, 0);
    pass(b, 32000);
    EXPECT(&b->a, {SIP_CALL_ENDED, 0});
    bench_free(b);
}

static void late_answers_after_the_end(void **state)
{
    (void)state;
    struct bench *b = calling_the_wire();
    reply(b, 200, "one", W_CONTACT);
    sip_call_hangup(b->a.call, NULL);
    lose(&b->w, "none", 1);
    settle(b);
    pass(b, 31000); /* the BYE is not answered */
    reply(b, 200, "one", W_CONTACT);
    assert_int_equal(heard(&b->w, "ACK"), 2);
    pass(b, 1500);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 0});
    reply(b, 200, "one", W_CONTACT);
    assert_int_equal(heard(&b->w, "ACK"), 2); /* timer M is over */
    bench_free(b);
}

static void a_callee_that_ends_before_it_answers(void **state)
{
    (void)state;
    struct bench *b = calling_the_wire();
    char local[64], id[64];
    copy_tag(&b->w, "\r\nFrom:", local);
    const char *at = strstr(b->w.last, "Call-ID: ");
    assert_non_null(at);
    snprintf(id, sizeof id, "%.32s", at + 9);
    reply(b, 180, "early", W_CONTACT);
    static const char *const methods[] = {"BYE", "INVITE", "UPDATE", "INFO"};
    static const unsigned statuses[] = {481, 491, 200, 200};
    for (unsigned i = 0; i < 4; i++) {
        wire(b,
             "%s sip:1001@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.23;branch=z9hG4bKe%u\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:1002@example.net>;tag=early\r\n"
             "To: <sip:1001@example.net>;tag=%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n\r\n",
             methods[i], i, local, id, i + 1, methods[i]);
        assert_int_equal(last_status(&b->w), statuses[i]);
    }
    assert_int_equal(sip_ua_calls(b->a.ua), 1);
    bench_free(b);
}

/* ---- proof, replay -----------------------------------------------------------------------------
 */
static void what_proves_nothing_is_dropped(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    ask(b, "OPTIONS", 1, "", "", "");
    ask(b, "INVITE", 1, "", W_CONTACT TYPE, SDP);
    ask(b, "BYE", 1, "x", "", "");
    assert_int_equal(b->w.n_heard, 0);
    assert_int_equal(b->b.n_unsealed, 3);
    assert_int_equal(b->b.n_events, 0);
    b->b.what = RING; /* a stranger cannot cancel either, nor answer */
    call(b);
    settle(b);
    point(&b->w, &b->a, SIP_UDP);
    struct sip_msg m;
    const char *why = "";
    char out[TEXT];
    size_t n = 0;
    assert_int_equal(sip_frame(view_of(b->b.last), true, &m, &why), E_OK);
    assert_int_equal(sip_response(&m, 486, NULL, VIEW("x"), NULL, 0, VIEW(""), VIEW(""), VIEW(""),
                                  out, sizeof out, &n),
                     E_OK);
    assert_int_equal(sip_transport_send(b->w.t, &b->w.to, view_from(out, n)), E_OK);
    settle(b);
    EXPECT(&b->a, {SIP_CALL_PROGRESS, 180});
    bench_free(b);
}

static void a_recorded_call_cannot_be_played_again(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    char invite[TEXT];
    b->b.what = REJECT;
    call(b);
    settle(b);
    b->b.n_events = 0;
    assert_true(strncmp(b->b.last, "ACK", 3) == 0);
    b->b.what = NOTHING;
    call(b);
    settle(b);
    memcpy(invite, b->b.last, sizeof invite);
    assert_true(strncmp(invite, "INVITE", 6) == 0);
    sip_call_hangup(b->a.call, NULL);
    pass(b, 40000); /* all transactions are over */
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_CANCELLED, 487});
    wire(b, "%s", invite);
    pass(b, 1000);
    assert_int_equal(b->b.n_events, 0);
    assert_int_equal(b->w.n_heard, 0);
    assert_int_equal(sip_ua_calls(b->b.ua), 0);
    bench_free(b);
}

/* ---- outside calls -----------------------------------------------------------------------------
 */
static void registering(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    assert_int_equal(sip_ua_register(b->a.ua, &b->a.to, 600, on_reply, &b->a), E_OK);
    settle(b);
    assert_true(strncmp(b->b.last, "REGISTER sip:example.net SIP/2.0\r\n", 34) == 0);
    assert_true(has(&b->b, "\r\nTo: <sip:1001@example.net>\r\n"));
    assert_true(has(&b->b, "\r\nFrom: <sip:1001@example.net>;tag="));
    assert_true(has(&b->b, "\r\nCSeq: 1 REGISTER\r\n"));
    assert_true(has(&b->b, "\r\nExpires: 600\r\n"));
    assert_true(has(&b->b, "\r\nContact: <sip:1001@127.0.0.21:"));
    assert_int_equal(b->a.reply_status, 200);
    char id[64];
    const char *at = strstr(b->b.last, "Call-ID: ");
    assert_non_null(at);
    snprintf(id, sizeof id, "%.41s", at);
    sip_ua_set_user(b->a.ua, "1003");
    assert_int_equal(sip_ua_register(b->a.ua, &b->a.to, 0, on_reply, &b->a), E_OK);
    settle(b);
    assert_true(has(&b->b, id)); /* the same registration, the next number */
    assert_true(has(&b->b, "\r\nCSeq: 2 REGISTER\r\n"));
    assert_true(has(&b->b, "\r\nExpires: 0\r\n"));
    assert_true(has(&b->b, "\r\nTo: <sip:1003@example.net>\r\n"));
    assert_int_equal(b->a.n_replies, 2);
    lose(&b->b, "REGISTER", 99);
    assert_int_equal(sip_ua_register(b->a.ua, &b->a.to, 600, on_reply, &b->a), E_OK);
    pass(b, 31900);
    assert_int_equal(b->a.n_replies, 2);
    pass(b, 100);
    assert_int_equal(b->a.n_replies, 3);
    assert_int_equal(b->a.reply_status, 408);
    bench_free(b);
}

static void asking(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    static const struct {
        const char *method, *uri, *extra, *type, *body;
        enum err e;
        unsigned status;
    } rows[] = {
        {"OPTIONS", "sip:1002@example.net", "X-A: b\r\n", "", "", E_OK, 200},
        {"MESSAGE", "sip:1002@example.net", "", "text/plain", "hi", E_OK, 202},
        {"INFO", "sip:1002@example.net", "", "", "", E_OK, 481},
        {"INVITE", "sip:1002@example.net", "", "", "", E_RANGE, 0},
        {"CANCEL", "sip:1002@example.net", "", "", "", E_RANGE, 0},
        {"MESSAGE", "not a uri", "", "", "", E_PARSE, 0},
        {"MESS AGE", "sip:1002@example.net", "", "", "", E_PARSE, 0},
        {"MESSAGE", "sip:1002@example.net", "X-A: b", "", "", E_RANGE, 0},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned before = b->a.n_replies;
        assert_int_equal(sip_ua_request(b->a.ua, &b->a.to, rows[i].method, rows[i].uri,
                                        view_of(rows[i].extra), view_of(rows[i].type),
                                        view_of(rows[i].body), on_reply, &b->a),
                         rows[i].e);
        settle(b);
        assert_int_equal(b->a.n_replies - before, rows[i].e == E_OK ? 1 : 0);
        if (rows[i].e == E_OK) {
            assert_int_equal(b->a.reply_status, rows[i].status);
            assert_true(has(&b->b, rows[i].extra));
            assert_true(has(&b->b, rows[i].body));
        }
    }
    assert_int_equal(b->b.n_asked, 1);
    bench_free(b);
}

/* ---- lost connections --------------------------------------------------------------------------
 */
static void a_connection_dies_under_a_call(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_TCP, true);
    b->b.what = RING;
    call(b);
    settle(b);
    sip_transport_close_flow(b->b.t, &b->b.from);
    settle(b);
    assert_int_equal(b->a.n_closed, 1);
    assert_int_equal(b->b.n_closed, 1);
    EXPECT(&b->a, {SIP_CALL_PROGRESS, 180}, {SIP_CALL_REJECTED, 503});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_CANCELLED, 503});
    bench_free(b);

    b = bench_new(SIP_TCP, true); /* a call that is up outlives it and ends over the next one */
    b->b.what = ANSWER;
    call(b);
    settle(b);
    sip_transport_close_flow(b->a.t, &b->a.to);
    settle(b);
    assert_int_equal(sip_ua_calls(b->a.ua), 1);
    assert_int_equal(sip_ua_calls(b->b.ua), 1);
    point(&b->a, &b->b, SIP_TCP);
    assert_int_equal(sip_ua_register(b->a.ua, &b->a.to, 60, on_reply, &b->a), E_OK);
    settle(b);
    sip_call_hangup(b->a.call, NULL);
    settle(b);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    EXPECT(&b->b, {SIP_CALL_INCOMING, 0}, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 200});
    bench_free(b);

    b = bench_new(SIP_TCP, true); /* without one it ends at home */
    b->b.what = ANSWER;
    call(b);
    settle(b);
    sip_transport_close_flow(b->a.t, &b->a.to);
    settle(b);
    sip_call_hangup(b->a.call, NULL);
    assert_int_equal(b->a.n_events, 1);
    settle(b);
    EXPECT(&b->a, {SIP_CALL_ANSWERED, 200}, {SIP_CALL_ENDED, 0});
    bench_free(b);
}

/* ---- life --------------------------------------------------------------------------------------
 */
/* The second of two equal calls leaves as many blocks behind as the first. */
static void nothing_stays_of_a_call(void **state)
{
    (void)state;
    static const enum what_to_do whats[] = {ANSWER, REJECT, HANG_UP, RING};
    for (unsigned i = 0; i < sizeof whats / sizeof whats[0]; i++) {
        struct bench *b = bench_new(SIP_UDP, true);
        size_t live[3];
        for (unsigned k = 0; k < 3; k++) {
            b->b.what = whats[i];
            call(b);
            settle(b);
            if (sip_ua_calls(b->a.ua) > 0) {
                sip_call_hangup(b->a.call, NULL);
            }
            quiet(b);
            live[k] = mem_live();
            b->a.n_events = b->b.n_events = 0;
            b->a.n_heard = b->b.n_heard = 0;
        }
        assert_int_equal(live[1], live[0]);
        assert_int_equal(live[2], live[0]);
        bench_free(b);
    }
    struct bench *b = bench_new(SIP_TCP, true); /* a callee whose caller is gone */
    size_t live[3];
    for (unsigned k = 0; k < 3; k++) {
        b->b.what = RING;
        call(b);
        settle(b);
        sip_transport_close_flow(b->b.t, &b->b.from);
        quiet(b);
        live[k] = mem_live();
        point(&b->a, &b->b, SIP_TCP);
    }
    assert_int_equal(live[1], live[0]);
    assert_int_equal(live[2], live[0]);
    bench_free(b);
}

static void freed_in_the_middle(void **state)
{
    (void)state;
    static const enum what_to_do whats[] = {NOTHING, RING, ANSWER, REJECT, HANG_UP};
    for (unsigned i = 0; i < sizeof whats / sizeof whats[0]; i++) {
        struct bench *b = bench_new(SIP_UDP, true);
        b->b.what = whats[i];
        call(b);
        for (unsigned k = 0; k < i + 2; k++) {
            loop_run_once(b->loop, false);
        }
        b->a.n_events = b->b.n_events = 0;
        bench_free(b); /* with whatever lives; counts the memory */
    }
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    bool failed = true;
    for (long nth = 0; failed; nth++) {
        struct bench *b = bench_new(SIP_UDP, true);
        struct sip_call *c = NULL;
        b->b.what = NOTHING;
        mem_fail_at(nth);
        enum err e = sip_call_start(b->a.ua, &b->a.to, "sip:1002@example.net", VIEW(SDP), VIEW(""),
                                    &b->a, &c);
        settle(b);
        if (sip_ua_calls(b->b.ua) == 1) {
            b->b.n_events = 0;
            IGNORE(sip_call_progress(b->b.call, 180, VIEW("")), "may find no memory");
            settle(b);
            IGNORE(sip_call_answer(b->b.call, VIEW(SDP)), "the same");
            settle(b);
        }
        if (e == E_OK && sip_ua_calls(b->a.ua) == 1) {
            sip_call_hangup(c, NULL);
        }
        failed = mem_failed();
        pass(b, 70000);
        failed = failed || mem_failed();
        mem_fail_at(-1);
        assert_int_equal(sip_ua_calls(b->a.ua), 0);
        if (sip_ua_calls(b->b.ua) > 0) { /* its user was told nothing good, and lets go */
            sip_call_hangup(b->b.call, NULL);
            pass(b, 70000);
        }
        assert_int_equal(sip_ua_calls(b->b.ua), 0);
        bench_free(b);
        assert_true(nth < 400);
    }
}

static void a_user_agent_may_find_no_memory(void **state)
{
    (void)state;
    struct bench *b = bench_new(SIP_UDP, true);
    const struct sip_ua_cfg uc = {.user = "1",
                                  .domain = "d",
                                  .user_agent = "u",
                                  .contact_ip_or_null = "127.0.0.1",
                                  .max_calls = 1,
                                  .on_call = on_call};
    size_t live = mem_live();
    for (long nth = 0; nth < 10; nth++) {
        struct sip_ua *ua = NULL;
        mem_fail_at(nth);
        enum err e = sip_ua_new(b->loop, b->a.t, &uc, &ua);
        if (!mem_failed()) {
            assert_int_equal(e, E_OK);
            assert_true(nth >= 7);
            sip_ua_free(ua);
            mem_fail_at(-1);
            break;
        }
        assert_int_equal(e, E_NOMEM);
        assert_null(ua);
        assert_int_equal(mem_live(), live);
    }
    mem_fail_at(-1);
    sip_ua_free(NULL);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_and_its_end),
        cmocka_unit_test(the_callee_hangs_up),
        cmocka_unit_test(both_hang_up_at_once),
        cmocka_unit_test(what_an_invite_carries),
        cmocka_unit_test(any_message_may_be_lost),
        cmocka_unit_test(a_2xx_is_repeated_until_ack),
        cmocka_unit_test(a_2xx_that_comes_after_the_end_gets_its_ack),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_later_answer_and_a_later_refusal),
        cmocka_unit_test(cancel),
        cmocka_unit_test(a_cancel_waits_for_a_provisional),
        cmocka_unit_test(cancel_and_answer_cross),
        cmocka_unit_test(nobody_is_there),
        cmocka_unit_test(a_cancel_that_nobody_hears_ends_too),
        cmocka_unit_test(ringing_does_not_last_for_ever),
        cmocka_unit_test(a_bye_waits_for_the_ack),
        cmocka_unit_test(a_bye_that_nobody_hears_ends_too),
        cmocka_unit_test(wrong_moments),
        cmocka_unit_test(no_more_calls_than_allowed),
        cmocka_unit_test(what_cannot_be_started),
        cmocka_unit_test(a_callee_whose_key_is_gone),
        cmocka_unit_test(requests_that_belong_to_nothing),
        cmocka_unit_test(an_ack_for_nothing_is_dropped),
        cmocka_unit_test(schemes_and_octets),
        cmocka_unit_test(without_a_check_the_unreadable_is_answered),
        cmocka_unit_test(the_same_invite_by_two_ways),
        cmocka_unit_test(a_callee_remembers_the_route),
        cmocka_unit_test(a_callee_in_every_state_meets_a_bye),
        cmocka_unit_test(numbers_grow),
        cmocka_unit_test(hold_and_back),
        cmocka_unit_test(an_answer_again_is_whole),
        cmocka_unit_test(other_offers),
        cmocka_unit_test(an_update_that_is_no_sdp),
        cmocka_unit_test(a_content_type_with_parameters),
        cmocka_unit_test(a_new_contact_is_used),
        cmocka_unit_test(glare),
        cmocka_unit_test(a_reinvite_without_ack_ends_the_call),
        cmocka_unit_test(a_caller_remembers_the_route_backwards),
        cmocka_unit_test(two_answers_to_one_call),
        cmocka_unit_test(a_redirection_is_a_refusal),
        cmocka_unit_test(an_answer_for_somebody_else),
        cmocka_unit_test(an_answer_without_contact),
        cmocka_unit_test(late_answers_after_the_end),
        cmocka_unit_test(a_callee_that_ends_before_it_answers),
        cmocka_unit_test(what_proves_nothing_is_dropped),
        cmocka_unit_test(a_recorded_call_cannot_be_played_again),
        cmocka_unit_test(registering),
        cmocka_unit_test(asking),
        cmocka_unit_test(a_connection_dies_under_a_call),
        cmocka_unit_test(nothing_stays_of_a_call),
        cmocka_unit_test(freed_in_the_middle),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(a_user_agent_may_find_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
