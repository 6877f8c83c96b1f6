#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "signaling/sip_txn.h"

/* ---- a wire and a user -------------------------------------------------------------------------
 */
enum { SENT_MAX = 64, TEXT = 2048 };

struct sent {
    uint64_t at_ms;
    size_t n;
    char octets[TEXT];
};

struct bench {
    struct clock_fake clock;
    struct loop *loop;
    struct sip_txn_layer *layer;
    uint64_t zero_ms;
    enum err send_result;
    bool seal_fails;
    unsigned n_sent, n_seal, n_first, n_stxn_gone, n_ctxn_gone, n_h;
    void *last_gone;
    struct sent sent[SENT_MAX];
    unsigned n_event[TXN_TIMER_C + 1], n_up, last_status;
    uint64_t event_ms;
    void (*in_callback)(struct bench *b, struct sip_ctxn *t, enum txn_event ev);
    struct sip_ctxn *made;
    size_t live;
};

static enum err on_send(void *arg, const struct sip_flow *to, struct view octets)
{
    struct bench *b = arg;
    (void)to;
    if (b->send_result != E_OK) {
        return b->send_result;
    }
    assert_true(b->n_sent < SENT_MAX && octets.n < TEXT);
    struct sent *s = &b->sent[b->n_sent++];
    s->at_ms = loop_now_ms(b->loop) - b->zero_ms;
    s->n = octets.n;
    memcpy(s->octets, octets.p, octets.n);
    s->octets[octets.n] = 0;
    return E_OK;
}

static enum err on_seal(void *arg, void *client_user, const struct sip_flow *to, char *buf,
                        size_t buf_bytes, size_t *n)
{
    struct bench *b = arg;
    (void)to;
    assert_ptr_equal(client_user, b);
    assert_true(buf_bytes >= *n + 16);
    if (b->seal_fails) {
        return E_CRYPTO;
    }
    int more = snprintf(buf + *n - 2, buf_bytes - *n, "Sealed: %u\r\n\r\n", b->n_seal++);
    *n += (size_t)more - 2;
    return E_OK;
}

static void on_stxn_gone(void *arg, void *user)
{
    struct bench *b = arg;
    b->n_stxn_gone++;
    b->last_gone = user;
}

static void on_ctxn_gone(void *arg, void *user)
{
    struct bench *b = arg;
    b->n_ctxn_gone++;
    b->last_gone = user;
}

static void on_h(void *arg, void *user)
{
    struct bench *b = arg;
    (void)user;
    b->n_h++;
}

static void on_event(void *user, struct sip_ctxn *t, enum txn_event ev, const struct sip_msg *m,
                     const struct sip_flow *from)
{
    struct bench *b = user;
    assert_non_null(from);
    assert_true((ev == TXN_RESPONSE) == (m != NULL));
    b->n_event[ev]++;
    b->event_ms = loop_now_ms(b->loop) - b->zero_ms;
    if (m != NULL) {
        b->n_up++;
        b->last_status = m->status;
    }
    if (b->in_callback != NULL) {
        b->in_callback(b, t, ev);
    }
}

static struct bench *bench_new(const struct sip_txn_cfg *cfg)
{
    static const struct sip_txn_ops ops = {.send = on_send,
                                           .seal = on_seal,
                                           .stxn_gone = on_stxn_gone,
                                           .ctxn_gone = on_ctxn_gone,
                                           .stxn_timeout = on_h};
    const struct sip_txn_cfg none = {0};
    size_t live = mem_live();
    struct bench *b = mem_zalloc(sizeof *b);
    assert_non_null(b);
    b->live = live;
    clock_fake_init(&b->clock, 1);
    assert_int_equal(loop_new(&b->clock.clock, &b->loop), E_OK);
    b->zero_ms = loop_now_ms(b->loop);
    assert_int_equal(sip_txn_layer_new(b->loop, cfg != NULL ? cfg : &none, &ops, b, &b->layer),
                     E_OK);
    return b;
}

static void bench_free(struct bench *b)
{
    size_t live = b->live;
    sip_txn_layer_free(b->layer);
    assert_int_equal(loop_timers(b->loop), 0);
    loop_free(b->loop);
    mem_free(b);
    assert_int_equal(mem_live(), live);
}

static void pass(struct bench *b, uint64_t ms)
{
    loop_advance(b->loop, &b->clock, ms);
}

/* The moments at which something left since `from`. */
static void assert_times(const struct bench *b, unsigned from, const unsigned *ms, unsigned n)
{
    assert_int_equal(b->n_sent - from, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(b->sent[from + i].at_ms, ms[i]);
    }
}

static bool same_octets(const struct sent *a, const struct sent *b)
{
    return a->n == b->n && memcmp(a->octets, b->octets, a->n) == 0;
}

static struct sip_flow flow_of(enum sip_proto proto, uint64_t conn)
{
    struct sip_flow f = {.proto = proto, .conn = conn};
    assert_int_equal(net_parse(VIEW("127.0.0.9:5060"), 0, &f.remote), E_OK);
    return f;
}

/* ---- messages ----------------------------------------------------------------------------------
 */
struct text {
    struct sip_msg m;
    char raw[TEXT];
};

static void frame(struct text *t)
{
    const char *why = "";
    enum err e = sip_frame(view_of(t->raw), true, &t->m, &why);
    if (e != E_OK) {
        print_message("%s\n%s\n", why, t->raw);
    }
    assert_int_equal(e, E_OK);
}

static struct text *request(struct text *t, const char *method, const char *via, const char *to_tag)
{
    snprintf(t->raw, sizeof t->raw,
             "%s sip:b@example.net SIP/2.0\r\nVia: SIP/2.0/UDP %s\r\nMax-Forwards: 70\r\n"
             "Route: <sip:127.0.0.9;lr>\r\nFrom: <sip:a@example.net>;tag=f\r\n"
             "To: <sip:b@example.net>%s%s\r\nCall-ID: c1\r\nCSeq: 7 %s\r\n"
             "Content-Length: 0\r\n\r\n",
             method, via, to_tag[0] != 0 ? ";tag=" : "", to_tag, method);
    frame(t);
    return t;
}

static struct text *response(struct text *t, unsigned status, const char *branch,
                             const char *method, const char *to_tag)
{
    snprintf(t->raw, sizeof t->raw,
             "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=%s\r\n"
             "From: <sip:a@example.net>;tag=f\r\nTo: <sip:b@example.net>;tag=%s\r\n"
             "Call-ID: c1\r\nCSeq: 7 %s\r\nContent-Length: 0\r\n\r\n",
             status, branch, to_tag, method);
    frame(t);
    return t;
}

#define BRANCH "z9hG4bKone"
#define VIA    "127.0.0.1;branch=" BRANCH

static struct sip_ctxn *start(struct bench *b, const char *method, enum sip_proto proto,
                              bool timer_c)
{
    struct text t;
    struct sip_ctxn *c = NULL;
    request(&t, method, VIA, "");
    const struct sip_ctxn_cfg cfg = {.to = flow_of(proto, 1),
                                     .octets = view_of(t.raw),
                                     .timer_c = timer_c,
                                     .fn = on_event,
                                     .user = b};
    assert_int_equal(sip_ctxn_new(b->layer, &cfg, &c), E_OK);
    return c;
}

static enum err answer_as(struct bench *b, unsigned status, const char *method, const char *to_tag,
                          bool is_repeat)
{
    struct text t;
    struct sip_flow f = flow_of(SIP_UDP, 0);
    response(&t, status, BRANCH, method, to_tag);
    return sip_txn_response(b->layer, &t.m, &f, sip_fingerprint(b->layer, t.m.raw), is_repeat);
}

static void answer(struct bench *b, unsigned status, const char *method)
{
    assert_int_equal(answer_as(b, status, method, "t", false), E_OK);
}

/* A request in; a transaction for it when it is new. */
static enum txn_verdict come(struct bench *b, const char *method, const char *via,
                             const char *to_tag, enum sip_proto proto, struct sip_stxn **out)
{
    struct text t;
    struct sip_stxn *invite = NULL;
    enum txn_verdict v = TXN_ABSORBED;
    struct sip_flow f = flow_of(proto, 1);
    request(&t, method, via, to_tag);
    uint64_t fp = sip_fingerprint(b->layer, t.m.raw);
    assert_int_equal(sip_txn_request(b->layer, &t.m, &f, fp, false, &v, &invite), E_OK);
    if (v == TXN_NEW && t.m.method != SIP_M_ACK) {
        assert_int_equal(sip_stxn_new(b->layer, &t.m, &f, fp, b, out), E_OK);
    } else if (v == TXN_CANCEL && out != NULL) {
        *out = invite;
    }
    return v;
}

static enum err respond(struct sip_stxn *s, unsigned status)
{
    struct text t;
    response(&t, status, BRANCH, "INVITE", "t");
    return sip_stxn_respond(s, status, view_of(t.raw));
}

/* ---- client, INVITE ----------------------------------------------------------------------------
 */
static void invite_is_repeated_then_given_up(void **state)
{
    (void)state;
    static const unsigned when[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    assert_int_equal(sip_txn_count(b->layer), 1);
    pass(b, 31999);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
    pass(b, 1);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 1);
    assert_int_equal(b->event_ms, 32000);
    assert_int_equal(b->n_ctxn_gone, 1);
    assert_ptr_equal(b->last_gone, b);
    assert_int_equal(sip_txn_count(b->layer), 0);
    pass(b, 100000);
    assert_times(b, 0, when, 7);
    for (unsigned i = 1; i < 7; i++) {
        assert_true(same_octets(&b->sent[0], &b->sent[i]));
    }
    bench_free(b);
}

static void invite_on_a_stream_is_sent_once(void **state)
{
    (void)state;
    static const enum sip_proto streams[] = {SIP_TCP, SIP_TLS};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(NULL);
        start(b, "INVITE", streams[i], false);
        pass(b, 31999);
        assert_int_equal(b->n_sent, 1);
        assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
        pass(b, 1);
        assert_int_equal(b->n_event[TXN_TIMEOUT], 1);
        bench_free(b);
    }
}

static void a_provisional_stops_a_and_b(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    pass(b, 600);
    answer(b, 100, "INVITE");
    assert_int_equal(b->n_up, 0);
    answer(b, 180, "INVITE");
    answer(b, 183, "INVITE");
    assert_int_equal(b->n_up, 2);
    assert_int_equal(b->last_status, 183);
    pass(b, 3600 * 1000);
    assert_int_equal(b->n_sent, 2);
    assert_int_equal(b->n_event[TXN_TIMEOUT] + b->n_event[TXN_TIMER_C], 0);
    assert_int_equal(sip_txn_count(b->layer), 1);
    bench_free(b);
}

static void a_refusal_is_acknowledged_with_one_text(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    answer(b, 486, "INVITE");
    assert_int_equal(b->n_up, 1);
    assert_int_equal(b->n_sent, 2);
    struct text ack = {.m = {.n_headers = 0}};
    memcpy(ack.raw, b->sent[1].octets, b->sent[1].n + 1);
    frame(&ack);
    assert_true(ack.m.method == SIP_M_ACK && ack.m.cseq == 7);
    assert_true(view_eq(ack.m.uri, VIEW("sip:b@example.net")));
    assert_true(view_eq(ack.m.to_tag, VIEW("t")));
    assert_true(view_eq(ack.m.via.branch, VIEW(BRANCH)));
    assert_non_null(sip_header(&ack.m, SIP_H_ROUTE, 0));
    assert_non_null(strstr(ack.raw, "Sealed: 0"));
    pass(b, 31000);
    assert_int_equal(answer_as(b, 486, "INVITE", "t", true), E_OK);  /* the same octets */
    assert_int_equal(answer_as(b, 486, "INVITE", "t", false), E_OK); /* no replay window */
    assert_int_equal(answer_as(b, 603, "INVITE", "u", false), E_OK); /* "any that match" */
    assert_int_equal(b->n_up, 1);
    assert_int_equal(b->n_sent, 5);
    for (unsigned i = 2; i < 5; i++) {
        assert_true(same_octets(&b->sent[1], &b->sent[i]));
    }
    assert_int_equal(b->n_seal, 1);
    assert_int_equal(answer_as(b, 180, "INVITE", "t", false), E_OK);
    assert_int_equal(answer_as(b, 200, "INVITE", "t", false), E_OK);
    assert_int_equal(b->n_up, 1);
    assert_int_equal(b->n_sent, 5);
    pass(b, 999);
    assert_int_equal(b->n_ctxn_gone, 0);
    pass(b, 1); /* timer D */
    assert_int_equal(b->n_ctxn_gone, 1);
    assert_int_equal(answer_as(b, 486, "INVITE", "t", false), E_NOTFOUND);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
    bench_free(b);
}

static void a_300_is_a_refusal(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    answer(b, 300, "INVITE");
    assert_int_equal(answer_as(b, 300, "INVITE", "t", true), E_OK);
    assert_int_equal(b->n_sent, 3); /* INVITE and two ACKs */
    assert_int_equal(b->n_up, 1);
    bench_free(b);
    b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    answer(b, 200, "INVITE");
    answer(b, 300, "INVITE");
    assert_int_equal(b->n_sent, 1);
    assert_int_equal(b->n_up, 1);
    bench_free(b);
    b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(respond(s, 300), E_OK);
    pass(b, 500);
    assert_int_equal(b->n_sent, 2);
    bench_free(b);
}

static void timer_d_is_32_seconds_at_least(void **state)
{
    (void)state;
    static const struct {
        uint32_t t1_ms;
        uint64_t d_ms;
    } rows[] = {{100, 32000}, {1000, 64000}};
    for (unsigned i = 0; i < 2; i++) {
        const struct sip_txn_cfg cfg = {.t1_ms = rows[i].t1_ms};
        struct bench *b = bench_new(&cfg);
        start(b, "INVITE", SIP_UDP, false);
        answer(b, 404, "INVITE");
        pass(b, rows[i].d_ms - 1);
        assert_int_equal(b->n_ctxn_gone, 0);
        pass(b, 1);
        assert_int_equal(b->n_ctxn_gone, 1);
        bench_free(b);
    }
}

static void a_late_copy_of_a_dropped_answer_hides_no_refusal(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    answer(b, 486, "INVITE");
    answer(b, 180, "INVITE"); /* overtaken by the 486 */
    assert_int_equal(answer_as(b, 486, "INVITE", "t", true), E_OK);
    assert_int_equal(b->n_sent, 3);
    assert_int_equal(answer_as(b, 180, "INVITE", "t", true), E_REPLAY);
    bench_free(b);
}

static void a_refusal_on_a_stream_ends_it_at_once(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_TCP, false);
    answer(b, 486, "INVITE");
    assert_int_equal(b->n_sent, 2);
    assert_int_equal(sip_txn_count(b->layer), 0);
    assert_int_equal(b->n_ctxn_gone, 0); /* not inside the callback's turn */
    pass(b, 0);
    assert_int_equal(b->n_ctxn_gone, 1);
    bench_free(b);
}

static void an_ack_that_could_not_be_sealed_is_tried_again(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    b->seal_fails = true;
    answer(b, 486, "INVITE");
    assert_int_equal(b->n_up, 1);
    assert_int_equal(b->n_sent, 1);
    b->seal_fails = false;
    answer(b, 486, "INVITE");
    assert_int_equal(b->n_sent, 2);
    assert_int_equal(b->n_up, 1);
    bench_free(b);
}

static void every_2xx_goes_up_until_timer_m(void **state)
{
    (void)state;
    static const enum sip_proto protos[] = {SIP_UDP, SIP_TCP};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(NULL);
        start(b, "INVITE", protos[i], true);
        answer(b, 180, "INVITE");
        answer(b, 200, "INVITE");
        pass(b, 31000);
        answer(b, 200, "INVITE");
        assert_int_equal(answer_as(b, 200, "INVITE", "t", true), E_OK);
        assert_int_equal(answer_as(b, 202, "INVITE", "fork", false), E_OK);
        assert_int_equal(b->n_up, 5);
        answer(b, 180, "INVITE");
        answer(b, 486, "INVITE");
        assert_int_equal(b->n_up, 5);
        assert_int_equal(b->n_sent, 1); /* no ACK of its own */
        pass(b, 999);
        assert_int_equal(b->n_ctxn_gone, 0);
        pass(b, 1);
        assert_int_equal(b->n_ctxn_gone, 1);
        assert_int_equal(answer_as(b, 200, "INVITE", "t", false), E_NOTFOUND);
        assert_int_equal(b->n_event[TXN_TIMEOUT] + b->n_event[TXN_TIMER_C], 0);
        bench_free(b);
    }
}

static void timer_c_asks_the_user(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_ctxn *c = start(b, "INVITE", SIP_UDP, true);
    pass(b, 1000);
    answer(b, 100, "INVITE"); /* does not restart it */
    pass(b, 183999);
    assert_int_equal(b->n_event[TXN_TIMER_C], 0);
    pass(b, 1);
    assert_int_equal(b->n_event[TXN_TIMER_C], 1);
    assert_int_equal(b->event_ms, 185000);
    answer(b, 180, "INVITE"); /* restarts it */
    pass(b, 184999);
    assert_int_equal(b->n_event[TXN_TIMER_C], 1);
    pass(b, 1);
    assert_int_equal(b->n_event[TXN_TIMER_C], 2);
    pass(b, 185000); /* a user who does nothing is asked again */
    assert_int_equal(b->n_event[TXN_TIMER_C], 3);
    sip_ctxn_cancelled(c);
    pass(b, 20000);
    sip_ctxn_cancelled(c); /* moves nothing */
    pass(b, 11999);
    answer(b, 180, "INVITE"); /* no longer life */
    assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
    pass(b, 1);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 1);
    assert_int_equal(b->n_event[TXN_TIMER_C], 3);
    assert_int_equal(b->n_ctxn_gone, 1);
    bench_free(b);
}

static void on_first(void *user, struct sip_ctxn *t)
{
    struct bench *b = user;
    b->n_first++;
    b->made = t;
}

static void a_cancel_waits_for_any_provisional(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_ctxn *c = start(b, "INVITE", SIP_UDP, false);
    sip_ctxn_when_provisional(c, on_first);
    pass(b, 1000);
    assert_int_equal(b->n_first, 0);
    answer(b, 100, "INVITE");
    assert_int_equal(b->n_first, 1);
    assert_ptr_equal(b->made, c);
    answer(b, 180, "INVITE");
    assert_int_equal(b->n_first, 1);
    sip_ctxn_when_provisional(c, on_first); /* now it comes at once */
    assert_int_equal(b->n_first, 2);
    bench_free(b);

    static const unsigned finals[] = {200, 486};
    for (unsigned i = 0; i < 2; i++) {
        b = bench_new(NULL);
        c = start(b, "INVITE", SIP_UDP, false);
        sip_ctxn_when_provisional(c, on_first);
        answer(b, finals[i], "INVITE");
        answer(b, 180, "INVITE");
        assert_int_equal(b->n_first, 0);
        bench_free(b);
    }
    b = bench_new(NULL);
    c = start(b, "INVITE", SIP_UDP, false);
    sip_ctxn_when_provisional(c, on_first);
    sip_ctxn_orphan(c);
    answer(b, 180, "INVITE");
    assert_int_equal(b->n_first, 0);
    bench_free(b);
}

static void an_abandoned_request_is_new_again(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    sip_stxn_abandon(s);
    sip_stxn_abandon(s);
    assert_int_equal(respond(s, 200), E_STATE);
    pass(b, 0);
    assert_int_equal(b->n_stxn_gone, 1);
    assert_int_equal(b->n_sent, 0);
    assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, &s), TXN_NEW);
    bench_free(b);
}

static void cancelled_before_any_answer(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_ctxn *c = start(b, "INVITE", SIP_UDP, false);
    sip_ctxn_cancelled(c);
    pass(b, 20000);
    answer(b, 180, "INVITE");
    pass(b, 31999);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
    answer(b, 487, "INVITE");
    assert_int_equal(b->last_status, 487);
    pass(b, 32000);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
    assert_int_equal(b->n_ctxn_gone, 1);
    bench_free(b);
}

/* ---- client, others ----------------------------------------------------------------------------
 */
static void others_are_repeated_up_to_t2(void **state)
{
    (void)state;
    static const unsigned when[] = {0,     500,   1500,  3500,  7500, 11500,
                                    15500, 19500, 23500, 27500, 31500};
    struct bench *b = bench_new(NULL);
    start(b, "OPTIONS", SIP_UDP, false);
    pass(b, 31999);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 0);
    pass(b, 1);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 1); /* timer F */
    pass(b, 60000);
    assert_times(b, 0, when, 11);
    for (unsigned i = 1; i < 11; i++) {
        assert_true(same_octets(&b->sent[0], &b->sent[i]));
    }
    assert_int_equal(b->n_ctxn_gone, 1);
    bench_free(b);
}

static void others_in_proceeding_repeat_at_t2(void **state)
{
    (void)state;
    static const unsigned when[] = {0, 500, 1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500};
    struct bench *b = bench_new(NULL);
    start(b, "OPTIONS", SIP_UDP, false);
    pass(b, 600);
    answer(b, 100, "OPTIONS");
    assert_int_equal(b->n_up, 0);
    answer(b, 182, "OPTIONS");
    assert_int_equal(b->n_up, 1);
    pass(b, 31400);
    assert_times(b, 0, when, 10);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 1);
    assert_int_equal(b->event_ms, 32000);
    bench_free(b);
}

static void a_refusal_of_others_gets_no_ack(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "BYE", SIP_UDP, false);
    answer(b, 481, "BYE");
    assert_int_equal(answer_as(b, 481, "BYE", "t", true), E_OK);
    assert_int_equal(answer_as(b, 481, "BYE", "t", false), E_OK);
    assert_int_equal(b->n_up, 1);
    assert_int_equal(b->n_sent, 1);
    bench_free(b);
}

static void others_absorb_copies_until_timer_k(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "BYE", SIP_UDP, false);
    answer(b, 200, "BYE");
    answer(b, 200, "BYE");
    assert_int_equal(answer_as(b, 200, "BYE", "t", true), E_OK);
    assert_int_equal(b->n_up, 1);
    assert_int_equal(answer_as(b, 200, "INVITE", "t", false), E_NOTFOUND); /* method counts */
    pass(b, 4999);
    assert_int_equal(b->n_ctxn_gone, 0);
    assert_int_equal(b->n_sent, 1);
    pass(b, 1);
    assert_int_equal(b->n_ctxn_gone, 1);
    assert_int_equal(answer_as(b, 200, "BYE", "t", false), E_NOTFOUND);
    bench_free(b);

    b = bench_new(NULL); /* stream: one octet string out, timer K zero, F as ever */
    start(b, "BYE", SIP_TLS, false);
    pass(b, 10000);
    assert_int_equal(b->n_sent, 1);
    answer(b, 200, "BYE");
    assert_int_equal(answer_as(b, 200, "BYE", "t", false), E_NOTFOUND);
    pass(b, 0);
    assert_int_equal(b->n_ctxn_gone, 1);
    start(b, "BYE", SIP_TLS, false);
    pass(b, 32000);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 1);
    bench_free(b);
}

/* ---- client, errors ----------------------------------------------------------------------------
 */
static void what_cannot_be_sent(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct text t;
    struct sip_ctxn *c = NULL;
    request(&t, "INVITE", VIA, "");
    struct sip_ctxn_cfg cfg = {
        .to = flow_of(SIP_TCP, 1), .octets = view_of(t.raw), .fn = on_event, .user = b};
    b->send_result = E_NOTFOUND;
    assert_int_equal(sip_ctxn_new(b->layer, &cfg, &c), E_NOTFOUND);
    assert_null(c);
    assert_int_equal(sip_txn_count(b->layer), 0);
    pass(b, 40000);
    assert_int_equal(b->n_ctxn_gone + b->n_event[TXN_TRANSPORT], 0);

    static const char *const methods[] = {"INVITE", "OPTIONS"};
    for (unsigned i = 0; i < 2; i++) { /* the same at a retransmission */
        b->send_result = E_OK;
        start(b, methods[i], SIP_UDP, false);
        b->send_result = E_IO;
        pass(b, 500);
        assert_int_equal(b->n_event[TXN_TRANSPORT], i + 1);
        assert_int_equal(b->n_ctxn_gone, i + 1);
    }

    b->send_result = E_OK;
    start(b, "INVITE", SIP_UDP, false);
    cfg.to = flow_of(SIP_UDP, 0);
    assert_int_equal(sip_ctxn_new(b->layer, &cfg, &c), E_EXISTS); /* the branch is in use */
    request(&t, "ACK", "127.0.0.1;branch=z9hG4bKack", "t");
    cfg.octets = view_of(t.raw);
    assert_int_equal(sip_ctxn_new(b->layer, &cfg, &c), E_PARSE);
    cfg.octets = VIEW("INVITE sip:x SIP/2.0\r\n\r\n");
    assert_int_equal(sip_ctxn_new(b->layer, &cfg, &c), E_PARSE);
    bench_free(b);
}

static void on_lost(struct bench *b, struct sip_ctxn *t, enum txn_event ev)
{
    (void)t;
    assert_int_equal(ev, TXN_TRANSPORT);
    if (b->made == NULL) {
        b->made = start(b, "MESSAGE", SIP_TCP, false); /* another one over the same flow */
    }
}

static void a_lost_connection_is_told_to_its_own(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_flow flow = flow_of(SIP_TCP, 1), other = flow_of(SIP_TCP, 2);
    start(b, "INVITE", SIP_TCP, false);
    start(b, "OPTIONS", SIP_TCP, false);
    answer(b, 182, "OPTIONS");
    start(b, "BYE", SIP_TCP, false);
    start(b, "INFO", SIP_UDP, false);
    struct text t;
    struct sip_ctxn *c = NULL;
    request(&t, "INVITE", "127.0.0.1;branch=z9hG4bKaccepted", "");
    const struct sip_ctxn_cfg cfg = {
        .to = flow, .octets = view_of(t.raw), .fn = on_event, .user = b};
    assert_int_equal(sip_ctxn_new(b->layer, &cfg, &c), E_OK);
    response(&t, 200, "z9hG4bKaccepted", "INVITE", "t");
    assert_int_equal(sip_txn_response(b->layer, &t.m, &flow, 1, false), E_OK);

    sip_txn_flow_lost(b->layer, &other);
    assert_int_equal(b->n_event[TXN_TRANSPORT], 0);
    b->in_callback = on_lost;
    sip_txn_flow_lost(b->layer, &flow);
    assert_int_equal(b->n_event[TXN_TRANSPORT], 3); /* not the answered one, not the UDP one */
    assert_int_equal(sip_txn_count(b->layer), 3);
    assert_int_equal(b->n_ctxn_gone, 0);
    pass(b, 0);
    assert_int_equal(b->n_ctxn_gone, 3);
    bench_free(b);
}

static void an_orphan_is_silent_and_mortal(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        unsigned answer_first, then;
        uint64_t lives_ms;
        unsigned n_sent;
    } rows[] = {
        {"INVITE", 0, 0, 32000, 7},     /* calling: timer B */
        {"INVITE", 180, 0, 32000, 1},   /* nobody would end it */
        {"INVITE", 180, 486, 32000, 2}, /* acknowledged all the same; timer D */
        {"INVITE", 200, 200, 32000, 1}, /* timer M */
        {"OPTIONS", 0, 0, 32000, 11},   /* timer F */
        {"OPTIONS", 0, 200, 5000, 1},   /* timer K */
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_ctxn *c = start(b, rows[i].method, SIP_UDP, true);
        if (rows[i].answer_first != 0) {
            answer(b, rows[i].answer_first, rows[i].method);
        }
        unsigned up = b->n_up;
        sip_ctxn_orphan(c);
        if (rows[i].then != 0) {
            answer(b, rows[i].then, rows[i].method);
        }
        pass(b, rows[i].lives_ms - 1);
        assert_int_equal(b->n_ctxn_gone, 0);
        pass(b, 1);
        assert_int_equal(b->n_ctxn_gone, 1);
        assert_int_equal(b->n_up, up);
        assert_int_equal(b->n_event[TXN_TIMEOUT] + b->n_event[TXN_TIMER_C], 0);
        assert_int_equal(b->n_sent, rows[i].n_sent);
        bench_free(b);
    }
}

static void the_request_can_be_looked_at(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    const struct sip_ctxn *c = start(b, "INVITE", SIP_UDP, false);
    const struct sip_msg *m = sip_ctxn_request(c);
    assert_non_null(m);
    assert_true(view_eq(m->raw, view_from(b->sent[0].octets, b->sent[0].n)));
    assert_ptr_equal(sip_ctxn_request(c), m);
    assert_int_equal(sip_ctxn_flow(c)->remote.port, 5060);
    bench_free(b);
}

/* ---- server, INVITE ----------------------------------------------------------------------------
 */
static void a_copy_gets_the_last_provisional(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, &s), TXN_NEW);
    assert_ptr_equal(sip_stxn_user(s), b);
    assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 0); /* nothing to say yet */
    assert_int_equal(respond(s, 100), E_OK);
    assert_int_equal(respond(s, 183), E_OK);
    assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 3);
    assert_true(same_octets(&b->sent[1], &b->sent[2]));
    assert_false(sip_stxn_is_final(s));
    pass(b, 3600 * 1000); /* ringing lasts as long as its user wants */
    assert_int_equal(sip_txn_count(b->layer), 1);
    bench_free(b);
}

static void a_refusal_is_repeated_until_ack(void **state)
{
    (void)state;
    static const unsigned when[] = {0, 500, 1500, 3500, 7500, 11500};
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(respond(s, 486), E_OK);
    assert_true(sip_stxn_is_final(s));
    assert_int_equal(respond(s, 500), E_STATE);
    assert_int_equal(respond(s, 180), E_STATE);
    pass(b, 12000);
    assert_times(b, 0, when, 6);
    assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 7);
    for (unsigned i = 1; i < 7; i++) {
        assert_true(same_octets(&b->sent[0], &b->sent[i]));
    }
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    pass(b, 4000);
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    pass(b, 999);
    assert_int_equal(b->n_stxn_gone, 0);
    assert_int_equal(b->n_sent, 7);
    pass(b, 1); /* timer I: T4 after the first ACK */
    assert_int_equal(b->n_stxn_gone, 1);
    assert_int_equal(b->n_h, 0);
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_NEW);
    bench_free(b);
}

static void a_refusal_without_ack_ends_by_h(void **state)
{
    (void)state;
    static const struct {
        enum sip_proto proto;
        unsigned n_sent;
    } rows[] = {{SIP_UDP, 11}, {SIP_TCP, 1}};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL;
        come(b, "INVITE", VIA, "", rows[i].proto, &s);
        assert_int_equal(respond(s, 603), E_OK);
        pass(b, 31999);
        assert_int_equal(b->n_h, 0);
        pass(b, 1);
        assert_int_equal(b->n_h, 1);
        assert_int_equal(b->n_stxn_gone, 1);
        assert_int_equal(b->n_sent, rows[i].n_sent);
        bench_free(b);
    }
}

static void an_ack_on_a_stream_ends_it_at_once(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_TCP, &s);
    assert_int_equal(respond(s, 486), E_OK);
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_TCP, NULL), TXN_ABSORBED);
    assert_int_equal(sip_txn_count(b->layer), 0);
    assert_int_equal(respond(s, 486), E_STATE); /* the handle is good until gone */
    pass(b, 0);
    assert_int_equal(b->n_stxn_gone, 1);
    assert_int_equal(b->n_h, 0);
    bench_free(b);
}

static void an_accepted_invite_absorbs_in_silence(void **state)
{
    (void)state;
    static const enum sip_proto protos[] = {SIP_UDP, SIP_TLS};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL;
        come(b, "INVITE", VIA, "", protos[i], &s);
        assert_int_equal(respond(s, 180), E_OK);
        assert_int_equal(respond(s, 200), E_OK);
        assert_int_equal(come(b, "INVITE", VIA, "", protos[i], NULL), TXN_ABSORBED);
        assert_int_equal(b->n_sent, 2);
        assert_int_equal(come(b, "ACK", VIA, "t", protos[i], NULL), TXN_NEW);
        pass(b, 31000);
        assert_int_equal(respond(s, 200), E_OK); /* the user's retransmission; L is not moved */
        assert_int_equal(b->n_sent, 3);
        assert_int_equal(respond(s, 486), E_STATE);
        assert_int_equal(respond(s, 180), E_STATE);
        pass(b, 999);
        assert_int_equal(b->n_stxn_gone, 0);
        pass(b, 1);
        assert_int_equal(b->n_stxn_gone, 1);
        assert_int_equal(b->n_h, 0);
        bench_free(b);
    }
}

static void an_ack_before_any_answer_means_nothing(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(respond(s, 486), E_OK);
    pass(b, 500);
    assert_int_equal(b->n_sent, 2);
    bench_free(b);
}

/* ---- server, others ----------------------------------------------------------------------------
 */
static void others_answer_copies_until_j(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    assert_int_equal(come(b, "BYE", VIA, "t", SIP_UDP, &s), TXN_NEW);
    assert_int_equal(come(b, "BYE", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 0);
    pass(b, 10000);
    assert_int_equal(respond(s, 200), E_OK);
    assert_int_equal(respond(s, 481), E_STATE);
    assert_int_equal(come(b, "BYE", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 2);
    assert_true(same_octets(&b->sent[0], &b->sent[1]));
    pass(b, 31999);
    assert_int_equal(b->n_stxn_gone, 0);
    assert_int_equal(b->n_sent, 2); /* never by itself */
    pass(b, 1);
    assert_int_equal(b->n_stxn_gone, 1);
    assert_int_equal(b->n_h, 0);
    assert_int_equal(come(b, "BYE", VIA, "t", SIP_TCP, &s), TXN_NEW);
    assert_int_equal(respond(s, 200), E_OK);
    assert_int_equal(sip_txn_count(b->layer), 0); /* J is zero on a stream */
    bench_free(b);
}

static void rfc_4320(void **state)
{
    (void)state;
    static const struct {
        enum sip_proto proto;
        uint64_t after_ms;
        unsigned status;
        enum err want;
    } rows[] = {
        {SIP_UDP, 0, 100, E_DENIED},    {SIP_UDP, 3499, 100, E_DENIED}, {SIP_UDP, 3500, 100, E_OK},
        {SIP_TCP, 0, 100, E_OK},        {SIP_UDP, 5000, 180, E_DENIED}, {SIP_TCP, 0, 182, E_DENIED},
        {SIP_UDP, 5000, 408, E_DENIED}, {SIP_TCP, 0, 408, E_DENIED},    {SIP_UDP, 0, 200, E_OK},
        {SIP_UDP, 0, 504, E_OK},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL;
        come(b, "OPTIONS", VIA, "", rows[i].proto, &s);
        pass(b, rows[i].after_ms);
        assert_int_equal(respond(s, rows[i].status), rows[i].want);
        assert_int_equal(b->n_sent, rows[i].want == E_OK ? 1 : 0);
        if (rows[i].want != E_OK) {
            assert_int_equal(respond(s, 200), E_OK); /* nothing was spoilt */
        } else if (rows[i].status == 100 && rows[i].proto == SIP_UDP) {
            assert_int_equal(come(b, "OPTIONS", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
            assert_int_equal(b->n_sent, 2);
        }
        bench_free(b);
    }
    struct bench *b = bench_new(NULL); /* 408 to INVITE is right */
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(respond(s, 408), E_OK);
    bench_free(b);
}

static void others_that_nobody_answers_end_silently(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "OPTIONS", VIA, "", SIP_TCP, &s);
    pass(b, 31999);
    assert_int_equal(b->n_stxn_gone, 0);
    pass(b, 1);
    assert_int_equal(b->n_stxn_gone, 1);
    assert_int_equal(b->n_sent + b->n_h, 0);
    bench_free(b);
}

static void a_response_that_cannot_be_sent_is_kept(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    b->send_result = E_IO;
    assert_int_equal(respond(s, 180), E_IO);
    b->send_result = E_OK;
    assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 1);
    b->send_result = E_IO;
    assert_int_equal(respond(s, 486), E_IO);
    assert_true(sip_stxn_is_final(s));
    b->send_result = E_OK;
    pass(b, 500); /* timer G runs */
    assert_int_equal(b->n_sent, 2);
    assert_non_null(strstr(b->sent[1].octets, "SIP/2.0 486"));
    bench_free(b);
}

static void long_and_short_responses_are_kept(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 400, 3000, 8192, 100, 8192, 4000};
    static char big[8192];
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(big, 'a' + (int)i, sizeof big);
        b->send_result = E_IO; /* larger than this wire's notebook */
        assert_int_equal(sip_stxn_respond(s, 183, view_from(big, sizes[i])), E_IO);
        b->send_result = E_OK;
        if (sizes[i] < TEXT) {
            assert_int_equal(come(b, "INVITE", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
            assert_int_equal(b->sent[b->n_sent - 1].n, sizes[i]);
            assert_memory_equal(b->sent[b->n_sent - 1].octets, big, sizes[i]);
        }
    }
    assert_int_equal(b->n_sent, 3);
    bench_free(b);
}

/* ---- matching ----------------------------------------------------------------------------------
 */
static void what_belongs_together(void **state)
{
    (void)state;
    static const struct {
        const char *method, *via;
        enum txn_verdict want;
    } rows[] = {
        {"INVITE", "127.0.0.1:5070;branch=z9hG4bKx", TXN_ABSORBED},
        {"INVITE", "127.0.0.1:5070;rport;branch=z9hG4bKx;received=127.0.0.3", TXN_ABSORBED},
        {"INVITE", "127.0.0.1:5071;branch=z9hG4bKx", TXN_NEW},
        {"INVITE", "127.0.0.1;branch=z9hG4bKx", TXN_NEW},
        {"INVITE", "127.0.0.2:5070;branch=z9hG4bKx", TXN_NEW},
        {"INVITE", "127.0.0.1:5070;branch=z9hG4bKy", TXN_NEW},
        {"INVITE", "127.0.0.1:5070;branch=z9hG4bKX", TXN_NEW},
        {"BYE", "127.0.0.1:5070;branch=z9hG4bKx", TXN_NEW},
        {"FROB", "127.0.0.1:5070;branch=z9hG4bKx", TXN_NEW},
        {"ACK", "127.0.0.1:5070;branch=z9hG4bKx", TXN_ABSORBED},
        {"ACK", "127.0.0.1:5070;branch=z9hG4bKother", TXN_NEW},
        {"CANCEL", "127.0.0.1:5070;branch=z9hG4bKx", TXN_CANCEL},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL, *again = NULL;
        come(b, "INVITE", "127.0.0.1:5070;branch=z9hG4bKx", "", SIP_UDP, &s);
        assert_int_equal(respond(s, 404), E_OK);
        assert_int_equal(come(b, rows[i].method, rows[i].via, "", SIP_UDP, &again), rows[i].want);
        if (rows[i].want == TXN_CANCEL) {
            assert_ptr_equal(again, s);
        }
        bench_free(b);
    }
    struct bench *b = bench_new(NULL); /* a host name in any case */
    struct sip_stxn *s = NULL;
    come(b, "INVITE", "Phone.Example;branch=z9hG4bKx", "", SIP_UDP, &s);
    assert_int_equal(come(b, "INVITE", "pHONE.example;branch=z9hG4bKx", "", SIP_UDP, NULL),
                     TXN_ABSORBED);
    bench_free(b);
}

static void cancel_finds_its_invite(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *invite = NULL, *found = NULL, *cancel = NULL;
    struct text t;
    struct sip_flow f = flow_of(SIP_UDP, 0);
    enum txn_verdict v = TXN_NEW;
    found = (struct sip_stxn *)(void *)b;
    assert_int_equal(come(b, "CANCEL", VIA, "", SIP_UDP, &found), TXN_CANCEL);
    assert_null(found); /* 481 */
    come(b, "INVITE", VIA, "", SIP_UDP, &invite);
    request(&t, "CANCEL", VIA, "");
    uint64_t fp = sip_fingerprint(b->layer, t.m.raw);
    assert_int_equal(sip_txn_request(b->layer, &t.m, &f, fp, false, &v, &found), E_OK);
    assert_int_equal(v, TXN_CANCEL);
    assert_ptr_equal(found, invite);
    assert_int_equal(sip_stxn_new(b->layer, &t.m, &f, fp, b, &cancel), E_OK);
    assert_int_equal(respond(cancel, 200), E_OK);
    assert_int_equal(respond(invite, 487), E_OK);
    assert_int_equal(come(b, "CANCEL", VIA, "", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(b->n_sent, 3);
    assert_true(same_octets(&b->sent[0], &b->sent[2]));
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    bench_free(b);

    b = bench_new(NULL); /* an accepted INVITE is found too: its user sees that it is final */
    come(b, "INVITE", VIA, "", SIP_UDP, &invite);
    assert_int_equal(respond(invite, 200), E_OK);
    assert_int_equal(come(b, "CANCEL", VIA, "", SIP_UDP, &found), TXN_CANCEL);
    assert_ptr_equal(found, invite);
    assert_true(sip_stxn_is_final(found));
    bench_free(b);
}

/* Section 17.2.3, second half: no cookie in the branch. */
static void old_branches(void **state)
{
    (void)state;
    static const char *const vias[] = {"127.0.0.1", "127.0.0.1;branch=1"};
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL, *found = NULL;
        assert_int_equal(come(b, "INVITE", vias[i], "", SIP_UDP, &s), TXN_NEW);
        assert_int_equal(come(b, "INVITE", vias[i], "", SIP_UDP, NULL), TXN_ABSORBED);
        assert_int_equal(come(b, "CANCEL", vias[i], "", SIP_UDP, &found), TXN_CANCEL);
        assert_ptr_equal(found, s);
        assert_int_equal(come(b, "CANCEL", vias[i], "else", SIP_UDP, &found), TXN_CANCEL);
        assert_null(found);
        assert_int_equal(come(b, "INVITE", "127.0.0.1;branch=2", "", SIP_UDP, &found), TXN_NEW);
        assert_int_equal(come(b, "INVITE", vias[i], "DIALOG", SIP_UDP, &found), TXN_NEW);
        assert_int_equal(come(b, "INVITE", vias[i], "dialog", SIP_UDP, &found), TXN_NEW);
        assert_int_equal(respond(s, 486), E_OK);
        assert_int_equal(come(b, "ACK", vias[i], "other", SIP_UDP, NULL), TXN_NEW);
        assert_int_equal(come(b, "ACK", vias[i], "t", SIP_UDP, NULL), TXN_ABSORBED);
        unsigned sent = b->n_sent;
        pass(b, 4999);
        assert_int_equal(b->n_sent, sent);
        assert_int_equal(respond(found, 404), E_OK); /* it came with a To tag: not our answer's */
        assert_int_equal(come(b, "ACK", vias[i], "dialog", SIP_UDP, NULL), TXN_NEW);
        bench_free(b);

        b = bench_new(NULL); /* refused inside a dialog */
        assert_int_equal(come(b, "INVITE", vias[i], "t", SIP_UDP, &s), TXN_NEW);
        assert_int_equal(respond(s, 488), E_OK);
        assert_int_equal(come(b, "ACK", vias[i], "t", SIP_UDP, NULL), TXN_ABSORBED);
        pass(b, 4999);
        assert_int_equal(b->n_sent, 1);
        bench_free(b);
    }
}

/* What else names an old-style transaction: each of these changes makes another one. */
static void old_branches_by_every_field(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"sip:b@", "sip:c@"},
                                          {"tag=f", "tag=g"},
                                          {"Call-ID: c1", "Call-ID: c2"},
                                          {"CSeq: 7", "CSeq: 8"},
                                          {"127.0.0.1;", "127.0.0.2;"}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL;
        struct sip_flow f = flow_of(SIP_UDP, 0);
        enum txn_verdict v = TXN_ABSORBED;
        struct text t;
        come(b, "INVITE", "127.0.0.1;x=y", "", SIP_UDP, &s);
        request(&t, "INVITE", "127.0.0.1;x=y", "");
        char *at = strstr(t.raw, rows[i][0]);
        assert_non_null(at);
        memcpy(at, rows[i][1], strlen(rows[i][1]));
        frame(&t);
        assert_int_equal(sip_txn_request(b->layer, &t.m, &f, 1, false, &v, &s), E_OK);
        assert_int_equal(v, TXN_NEW);
        bench_free(b);
    }
}

/* ---- replay ------------------------------------------------------------------------------------
 */
static enum err again(struct bench *b, const char *method, const char *via, const char *to_tag,
                      uint64_t change, enum txn_verdict *v)
{
    struct text t;
    struct sip_stxn *invite = NULL;
    struct sip_flow f = flow_of(SIP_UDP, 0);
    request(&t, method, via, to_tag);
    return sip_txn_request(b->layer, &t.m, &f, sip_fingerprint(b->layer, t.m.raw) ^ change, true, v,
                           &invite);
}

static void replayed_requests(void **state)
{
    (void)state;
    static const char *const methods[] = {"INVITE", "OPTIONS", "CANCEL"};
    for (unsigned i = 0; i < 3; i++) {
        struct bench *b = bench_new(NULL);
        struct sip_stxn *s = NULL;
        struct text t;
        struct sip_flow f = flow_of(SIP_UDP, 0);
        enum txn_verdict v = TXN_NEW;
        assert_int_equal(again(b, methods[i], VIA, "", 0, &v), E_REPLAY); /* no transaction */
        request(&t, methods[i], VIA, "");
        assert_int_equal(
            sip_stxn_new(b->layer, &t.m, &f, sip_fingerprint(b->layer, t.m.raw), b, &s), E_OK);
        assert_int_equal(respond(s, 500), E_OK);
        assert_int_equal(again(b, methods[i], VIA, "", 0, &v), E_OK);
        assert_int_equal(v, TXN_ABSORBED);
        assert_int_equal(b->n_sent, 2); /* answered as a retransmission is */
        v = TXN_CANCEL;
        assert_int_equal(again(b, methods[i], VIA, "", 1, &v), E_REPLAY); /* other octets */
        assert_int_equal(v, TXN_CANCEL);                                  /* outputs only on E_OK */
        assert_int_equal(again(b, methods[i], "127.0.0.1;branch=z9hG4bKtwo", "", 0, &v), E_REPLAY);
        assert_int_equal(b->n_sent, 2);
        pass(b, 32000);
        b->n_sent = 0;
        assert_int_equal(again(b, methods[i], VIA, "", 0, &v), E_REPLAY); /* no more */
        assert_int_equal(b->n_sent, 0);
        bench_free(b);
    }
}

static void replayed_acks(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    enum txn_verdict v = TXN_NEW;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(again(b, "ACK", VIA, "t", 0, &v), E_REPLAY);
    assert_int_equal(respond(s, 486), E_OK);
    assert_int_equal(again(b, "ACK", VIA, "t", 0, &v), E_REPLAY); /* seen, but not here */
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_ABSORBED);
    assert_int_equal(again(b, "ACK", VIA, "t", 0, &v), E_OK);
    assert_int_equal(v, TXN_ABSORBED);
    assert_int_equal(again(b, "ACK", VIA, "t", 1, &v), E_REPLAY);
    bench_free(b);

    b = bench_new(NULL); /* an ACK for a 2xx is the user's: once */
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(respond(s, 200), E_OK);
    assert_int_equal(come(b, "ACK", VIA, "t", SIP_UDP, NULL), TXN_NEW);
    assert_int_equal(again(b, "ACK", VIA, "t", 0, &v), E_REPLAY);
    bench_free(b);
}

static void replayed_responses(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    assert_int_equal(answer_as(b, 180, "INVITE", "t", true), E_REPLAY); /* never taken here */
    assert_int_equal(b->n_up, 0);
    answer(b, 180, "INVITE");
    assert_int_equal(answer_as(b, 180, "INVITE", "t", true), E_OK);
    assert_int_equal(b->n_up, 1); /* went up once */
    answer(b, 183, "INVITE");
    assert_int_equal(answer_as(b, 180, "INVITE", "t", true), E_REPLAY);
    assert_int_equal(answer_as(b, 200, "INVITE", "t", true), E_REPLAY);
    assert_int_equal(b->n_up, 2);
    answer(b, 200, "INVITE");
    assert_int_equal(answer_as(b, 183, "INVITE", "t", true), E_REPLAY);
    assert_int_equal(answer_as(b, 200, "INVITE", "x", true), E_REPLAY);
    assert_int_equal(b->n_up, 3);
    bench_free(b);
}

/* ---- limits, life ------------------------------------------------------------------------------
 */
static void no_more_than_allowed(void **state)
{
    (void)state;
    const struct sip_txn_cfg cfg = {.max_transactions = 2};
    struct bench *b = bench_new(&cfg);
    struct sip_stxn *s = NULL, *third = NULL;
    struct text t;
    struct sip_flow f = flow_of(SIP_UDP, 0);
    start(b, "INVITE", SIP_UDP, false); /* clients do not count */
    come(b, "INVITE", "127.0.0.1;branch=z9hG4bK1", "", SIP_UDP, &s);
    come(b, "INVITE", "127.0.0.1;branch=z9hG4bK2", "", SIP_UDP, &s);
    request(&t, "INVITE", "127.0.0.1;branch=z9hG4bK3", "");
    assert_int_equal(sip_stxn_new(b->layer, &t.m, &f, 1, b, &third), E_FULL);
    assert_null(third);
    assert_int_equal(respond(s, 200), E_OK);
    assert_int_equal(sip_stxn_new(b->layer, &t.m, &f, 1, b, &third), E_FULL);
    pass(b, 32000);
    assert_int_equal(sip_stxn_new(b->layer, &t.m, &f, 1, b, &third), E_OK);
    bench_free(b);
}

static void busy_callback(struct bench *b, struct sip_ctxn *t, enum txn_event ev)
{
    (void)ev;
    b->in_callback = NULL;
    sip_ctxn_cancelled(t); /* all of it on one that just ended */
    sip_ctxn_orphan(t);
    assert_non_null(sip_ctxn_request(t));
    b->made = start(b, "INVITE", SIP_TCP, false); /* the same branch is free again */
    struct sip_flow f = flow_of(SIP_TCP, 1);
    sip_txn_flow_lost(b->layer, &f);
}

static void callbacks_may_do_what_they_like(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    start(b, "INVITE", SIP_UDP, false);
    b->in_callback = busy_callback;
    pass(b, 32000);
    assert_int_equal(b->n_event[TXN_TIMEOUT], 1);
    assert_int_equal(b->n_event[TXN_TRANSPORT], 1);
    assert_int_equal(b->n_ctxn_gone, 2);
    start(b, "INVITE", SIP_TCP, false);
    b->in_callback = busy_callback;
    answer(b, 486, "INVITE"); /* dead before the callback */
    assert_int_equal(b->n_event[TXN_TRANSPORT], 2);
    pass(b, 0);
    assert_int_equal(b->n_ctxn_gone, 4);
    assert_int_equal(sip_txn_count(b->layer), 0);
    bench_free(b);
}

static void thousands_are_told_apart(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    static struct sip_stxn *all[MANY];
    struct bench *b = bench_new(NULL);
    char via[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(via, sizeof via, "127.0.0.1;branch=z9hG4bK%u", i);
        assert_int_equal(come(b, "INVITE", via, "", SIP_UDP, &all[i]), TXN_NEW);
    }
    assert_int_equal(sip_txn_count(b->layer), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct sip_stxn *found = NULL;
        snprintf(via, sizeof via, "127.0.0.1;branch=z9hG4bK%u", i);
        assert_int_equal(come(b, "CANCEL", via, "", SIP_UDP, &found), TXN_CANCEL);
        assert_ptr_equal(found, all[i]);
    }
    sip_txn_layer_free(b->layer); /* with all of them alive */
    assert_int_equal(b->n_stxn_gone, MANY);
    b->layer = NULL;
    bench_free(b);
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    for (long nth = 0;; nth++) {
        struct bench *b = bench_new(NULL);
        struct text t;
        struct sip_stxn *s = NULL;
        struct sip_ctxn *c = NULL;
        struct sip_flow f = flow_of(SIP_UDP, 0);
        static char big[4000];
        memset(big, 'x', sizeof big);
        request(&t, "INVITE", VIA, "");
        const struct sip_ctxn_cfg cfg = {
            .to = f, .octets = view_of(t.raw), .fn = on_event, .user = b};
        mem_fail_at(nth);
        enum err e = sip_ctxn_new(b->layer, &cfg, &c);
        assert_true(e == E_OK || (e == E_NOMEM && c == NULL));
        if (e == E_OK) {
            answer(b, 486, "INVITE");
            answer(b, 486, "INVITE"); /* an ACK that found no memory is made at the next copy */
            assert_true(b->n_sent >= 2);
            assert_int_equal(b->n_up, 1);
        }
        e = sip_stxn_new(b->layer, &t.m, &f, 1, b, &s);
        assert_true(e == E_OK || (e == E_NOMEM && s == NULL));
        if (e == E_OK) {
            b->send_result = E_IO;
            e = sip_stxn_respond(s, 486, view_from(big, sizeof big));
            assert_int_equal(e, E_IO);
            assert_true(sip_stxn_is_final(s)); /* whatever happens, it ends */
        }
        bool failed = mem_failed();
        mem_fail_at(-1);
        bench_free(b);
        if (!failed) {
            assert_true(nth >= 4);
            break;
        }
    }
}

static void the_layer_itself_may_find_no_memory(void **state)
{
    (void)state;
    static const struct sip_txn_ops ops = {.send = on_send};
    const struct sip_txn_cfg cfg = {0};
    struct clock_fake clock;
    struct loop *loop = NULL;
    size_t live = mem_live();
    clock_fake_init(&clock, 1);
    assert_int_equal(loop_new(&clock.clock, &loop), E_OK);
    for (long nth = 0; nth < 4; nth++) {
        struct sip_txn_layer *l = NULL;
        mem_fail_at(nth);
        assert_int_equal(sip_txn_layer_new(loop, &cfg, &ops, NULL, &l), E_NOMEM);
        assert_null(l);
        assert_true(mem_failed());
    }
    mem_fail_at(-1);
    sip_txn_layer_free(NULL);
    loop_free(loop);
    assert_int_equal(mem_live(), live);
}

static void a_usual_transaction_is_one_block(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    size_t before = mem_live();
    start(b, "OPTIONS", SIP_UDP, false);
    come(b, "OPTIONS", VIA, "", SIP_UDP, &s);
    assert_int_equal(respond(s, 486), E_OK);
    assert_true(mem_live() <= before + 3); /* two, and the loop's heap of timers */
    bench_free(b);
}

/* It lives for 64*T1 more, in which nothing of it is sent again. */
static void an_answered_invite_keeps_no_octets(void **state)
{
    (void)state;
    struct bench *b = bench_new(NULL);
    struct sip_stxn *s = NULL;
    struct sip_ctxn *c = start(b, "INVITE", SIP_UDP, false);
    size_t before = 0;
    come(b, "INVITE", VIA, "", SIP_UDP, &s);
    assert_int_equal(respond(s, 180), E_OK);
    assert_non_null(sip_ctxn_request(c));
    before = mem_live();
    answer(b, 200, "INVITE");
    assert_int_equal(mem_live(), before - 2); /* octets and frame */
    assert_null(sip_ctxn_request(c));
    assert_int_equal(respond(s, 200), E_OK);
    assert_int_equal(mem_live(), before - 3);
    bench_free(b);
}

static void branches_differ(void **state)
{
    (void)state;
    char a[SIP_BRANCH_MAX], b[SIP_BRANCH_MAX];
    assert_int_equal(sip_branch(a), E_OK);
    assert_int_equal(sip_branch(b), E_OK);
    assert_int_equal(strlen(a), 27);
    assert_true(strncmp(a, "z9hG4bK", 7) == 0);
    assert_string_not_equal(a, b);
    for (const char *p = a; *p != 0; p++) {
        assert_true(is_token_char((unsigned char)*p));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invite_is_repeated_then_given_up),
        cmocka_unit_test(invite_on_a_stream_is_sent_once),
        cmocka_unit_test(a_provisional_stops_a_and_b),
        cmocka_unit_test(a_refusal_is_acknowledged_with_one_text),
        cmocka_unit_test(a_300_is_a_refusal),
        cmocka_unit_test(timer_d_is_32_seconds_at_least),
        cmocka_unit_test(a_late_copy_of_a_dropped_answer_hides_no_refusal),
        cmocka_unit_test(a_refusal_on_a_stream_ends_it_at_once),
        cmocka_unit_test(an_ack_that_could_not_be_sealed_is_tried_again),
        cmocka_unit_test(every_2xx_goes_up_until_timer_m),
        cmocka_unit_test(timer_c_asks_the_user),
        cmocka_unit_test(cancelled_before_any_answer),
        cmocka_unit_test(a_cancel_waits_for_any_provisional),
        cmocka_unit_test(an_abandoned_request_is_new_again),
        cmocka_unit_test(others_are_repeated_up_to_t2),
        cmocka_unit_test(others_in_proceeding_repeat_at_t2),
        cmocka_unit_test(a_refusal_of_others_gets_no_ack),
        cmocka_unit_test(others_absorb_copies_until_timer_k),
        cmocka_unit_test(what_cannot_be_sent),
        cmocka_unit_test(a_lost_connection_is_told_to_its_own),
        cmocka_unit_test(an_orphan_is_silent_and_mortal),
        cmocka_unit_test(the_request_can_be_looked_at),
        cmocka_unit_test(a_copy_gets_the_last_provisional),
        cmocka_unit_test(a_refusal_is_repeated_until_ack),
        cmocka_unit_test(a_refusal_without_ack_ends_by_h),
        cmocka_unit_test(an_ack_on_a_stream_ends_it_at_once),
        cmocka_unit_test(an_accepted_invite_absorbs_in_silence),
        cmocka_unit_test(an_ack_before_any_answer_means_nothing),
        cmocka_unit_test(others_answer_copies_until_j),
        cmocka_unit_test(rfc_4320),
        cmocka_unit_test(others_that_nobody_answers_end_silently),
        cmocka_unit_test(a_response_that_cannot_be_sent_is_kept),
        cmocka_unit_test(long_and_short_responses_are_kept),
        cmocka_unit_test(what_belongs_together),
        cmocka_unit_test(cancel_finds_its_invite),
        cmocka_unit_test(old_branches),
        cmocka_unit_test(old_branches_by_every_field),
        cmocka_unit_test(replayed_requests),
        cmocka_unit_test(replayed_acks),
        cmocka_unit_test(replayed_responses),
        cmocka_unit_test(no_more_than_allowed),
        cmocka_unit_test(callbacks_may_do_what_they_like),
        cmocka_unit_test(thousands_are_told_apart),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(the_layer_itself_may_find_no_memory),
        cmocka_unit_test(a_usual_transaction_is_one_block),
        cmocka_unit_test(an_answered_invite_keeps_no_octets),
        cmocka_unit_test(branches_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
