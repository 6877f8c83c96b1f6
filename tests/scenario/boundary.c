/* What crosses the edge of the trust domain, header by header, and what is written in its place. */
#include "tests/scenario/bench.h"

static struct bench bench;

static struct sip_msg framed(const char *text)
{
    struct sip_msg m;
    const char *why = "";
    if (sip_frame(view_of(text), true, &m, &why) != E_OK) {
        fail_msg("%s in %s", why, text);
    }
    return m;
}

/* ---- names that forward.c writes ---------------------------------------------------------------
 */
#define REQUEST(from, to)                                                                          \
    "INVITE sip:+12125550102@headgate.test SIP/2.0\r\n"                                            \
    "Via: SIP/2.0/UDP 127.0.9.11:5062;branch=z9hG4bKn1\r\nMax-Forwards: 70\r\n" from to            \
    "Call-ID: names\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.9.11>\r\nContent-Length: 0\r\n\r\n"

static struct sip_msg forwarded(struct bench *b, struct forwarding *f)
{
    struct sip_msg m;
    const char *why = "";
    size_t n = 0;
    assert_int_equal(forward_request(b->w, f, &n), E_OK);
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &m, &why), E_OK);
    return m;
}

static void names_of_a_request(void **state)
{
    static const struct {
        const char *message, *from, *to;
    } rows[] = {
        {REQUEST("From: \"A, B\" <sip:+12125550101@headgate.test;x=1>;tag=ft;y=2\r\n",
                 "To: <sip:+12125550102@headgate.test>\r\n"),
         "From: \"New\" <sip:new@h.test>;tag=ft;y=2\r\n", "To: <sip:called@h.test>\r\n"},
        {REQUEST("f: sip:+12125550101@headgate.test;tag=ft\r\n",
                 "t: sip:+12125550102@headgate.test;tag=tt\r\n"),
         "f: \"New\" <sip:new@h.test>;tag=ft\r\n", "t: <sip:called@h.test>;tag=tt\r\n"},
        {REQUEST("From: <foo:bar>\t; tag=ft\r\n", "To: <tel:+12125550102>\r\n"),
         "From: \"New\" <sip:new@h.test>; tag=ft\r\n", "To: <sip:called@h.test>\r\n"},
    };
    struct bench *b = &bench;
    struct target to = {.who = {.kind = PARTY_GATEWAY}, .flow = udp("127.0.9.8:5060")};
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sip_msg m = framed(rows[i].message), got;
        struct forwarding f = {.m = &m,
                               .from = {.kind = PARTY_BTI},
                               .from_flow = udp("127.0.9.11:5062"),
                               .to = &to,
                               .branch = "z9hG4bKown"};
        got = forwarded(b, &f); /* nothing asked, nothing changed */
        assert_true(view_eq(sip_header_value(&got, SIP_H_FROM), sip_header_value(&m, SIP_H_FROM)));
        assert_true(view_eq(sip_header_value(&got, SIP_H_TO), sip_header_value(&m, SIP_H_TO)));
        f.from_addr = "\"New\" <sip:new@h.test>";
        f.to_addr = "<sip:called@h.test>";
        f.n_extra = 2;
        f.extra[0] = "Diversion: <sip:x@h.test>;reason=unconditional";
        f.extra[1] = "History-Info: <sip:x@h.test>;index=1";
        got = forwarded(b, &f);
        assert_true(holds(&got, rows[i].from));
        assert_true(holds(&got, rows[i].to));
        assert_true(holds(&got, "\r\nDiversion: <sip:x@h.test>;reason=unconditional\r\n"));
        assert_true(holds(&got, "\r\nHistory-Info: <sip:x@h.test>;index=1\r\n"));
    }
    bench_close(b);
}

static void no_header_comes_by_a_name(void **state)
{
    struct bench *b = &bench;
    struct target to = {.who = {.kind = PARTY_GATEWAY}, .flow = udp("127.0.9.8:5060")};
    struct sip_msg m = framed(REQUEST("From: <sip:+12125550101@headgate.test>;tag=ft\r\n",
                                      "To: <sip:+12125550102@headgate.test>\r\n"));
    struct forwarding f = {.m = &m,
                           .from = {.kind = PARTY_BTI},
                           .from_flow = udp("127.0.9.11:5062"),
                           .to = &to,
                           .branch = "z9hG4bKown",
                           .from_addr = "\"a\r\nX: 1\" <sip:new@h.test>"};
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    assert_int_equal(forward_request(b->w, &f, &n), E_PARSE);
    f.from_addr = NULL;
    f.n_extra = 1;
    f.extra[0] = "X: 1\r\nY: 2";
    assert_int_equal(forward_request(b->w, &f, &n), E_PARSE);
    bench_close(b);
}

static void names_of_a_response(void **state)
{
    static const char answer[] =
        "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.9.1:5060;branch=z9hG4bKown\r\n"
        "Via: SIP/2.0/UDP 127.0.9.11:5062;branch=z9hG4bKn1\r\n"
        "From: \"New\" <sip:new@h.test>;tag=ft\r\nt: <sip:called@h.test>;tag=tt;z=1\r\n"
        "Call-ID: names\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:lie@x.test>\r\n"
        "Content-Length: 0\r\n\r\n";
    static const char first[] = REQUEST("From: \"A\" <sip:+12125550101@headgate.test>;tag=ft\r\n",
                                        "To: \"B\" <sip:+12125550102@headgate.test>;q=\"x\"\r\n");
    static const char later[] = REQUEST("From: \"A\" <sip:+12125550101@headgate.test>;tag=ft\r\n",
                                        "To: <sip:2@headgate.test>;tag=tt\r\n");
    struct bench *b = &bench;
    struct party bob = {.kind = PARTY_PHONE}, alice = {.kind = PARTY_PHONE},
                 peer = {.kind = PARTY_GATEWAY};
    struct sip_flow up = udp("127.0.9.11:5062"), down = udp("127.0.9.12:5063");
    struct sip_msg m = framed(answer), request = framed(first), got;
    struct passing p = {.m = &m, .from = &bob, .to = &alice, .from_flow = &down, .to_flow = &up};
    const char *why = "";
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    assert_int_equal(forward_response(b->w, &p, &n), E_OK); /* nothing asked */
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    assert_true(holds(&got, "From: \"New\" <sip:new@h.test>;tag=ft\r\n"
                            "t: <sip:called@h.test>;tag=tt;z=1\r\n"));
    p.request = &request;
    p.asserted = "\"Bob\" <sip:+12125550102@headgate.test>";
    assert_int_equal(forward_response(b->w, &p, &n), E_OK);
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    assert_true(holds(&got, "From: \"A\" <sip:+12125550101@headgate.test>;tag=ft\r\n"
                            "t: \"B\" <sip:+12125550102@headgate.test>;q=\"x\";tag=tt\r\n"));
    assert_null(sip_header(&got, SIP_H_P_ASSERTED_IDENTITY, 0)); /* a phone is outside */
    request = framed(later);
    p.to = &peer;
    assert_int_equal(forward_response(b->w, &p, &n), E_OK);
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    assert_true(holds(&got, "t: <sip:2@headgate.test>;tag=tt\r\n"));
    assert_true(
        holds(&got, "\r\nP-Asserted-Identity: \"Bob\" <sip:+12125550102@headgate.test>\r\n"));
    assert_false(holds(&got, "lie@x.test"));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_a_request),
        cmocka_unit_test(no_header_comes_by_a_name),
        cmocka_unit_test(names_of_a_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
