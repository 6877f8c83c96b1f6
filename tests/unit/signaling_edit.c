#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "signaling/sip_edit.h"
#include "signaling/sip_flow.h"

#define LINE   "INVITE sip:b@gc.example.net SIP/2.0\r\n"
#define VIA1   "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc;rport\r\n"
#define VIA2   "Via: SIP/2.0/TCP c.example;branch=z9hG4bK2,SIP/2.0/TCP d.example;branch=z9hG4bK3\r\n"
#define FROM   "From: <sip:a@example.net>;tag=f1\r\n"
#define TO     "To: <sip:b@example.net>\r\n"
#define ID     "Call-ID: a84b4c76e66710\r\n"
#define CSEQ   "CSeq: 7 INVITE\r\n"
#define MF     "Max-Forwards: 70\r\n"
#define RTE    "Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nRoute: <sip:p3.example;lr>\r\n"
#define CT     "Content-Type: application/sdp\r\n"
#define CL     "Content-Length: 4\r\n"
#define BODY   "\r\nv=0\n"
#define INVITE LINE VIA1 VIA2 RTE FROM TO ID CSEQ MF CT CL BODY

static struct sip_msg msg, again;
static struct sip_edit edit;
static char out[2 * SIP_MAX_BYTES];
static size_t out_n;

static void begin(const char *text)
{
    const char *why = NULL;
    if (sip_frame(view_of(text), true, &msg, &why) != E_OK) {
        fail_msg("framer: %s: %s", why, text);
    }
    sip_edit_begin(&edit, &msg);
}

/* Renders, compares, and frames the result again: an edit never makes a message that we refuse. */
static void renders(const char *want)
{
    const char *why = NULL;
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_OK);
    out[out_n] = 0;
    assert_string_equal(out, want);
    if (sip_frame(view_from(out, out_n), false, &again, &why) != E_OK) {
        fail_msg("framed again: %s", why);
    }
}

static void nothing_changed_is_the_same_octets(void **state)
{
    (void)state;
    begin(INVITE);
    renders(INVITE);
}

static void a_datagram_without_length_gets_one(void **state)
{
    (void)state;
    begin(LINE VIA1 FROM TO ID CSEQ CT BODY);
    renders(LINE VIA1 FROM TO ID CSEQ CT CL BODY);
}

static void what_a_proxy_does(void **state)
{
    (void)state;
    begin(INVITE);
    sip_edit_uri(&edit, VIEW("sip:b@127.0.0.7:5080"));
    sip_edit_remove_top_value(&edit, sip_header(&msg, SIP_H_ROUTE, 0));
    sip_edit_value(&edit, sip_header(&msg, SIP_H_MAX_FORWARDS, 0), VIEW("69"));
    sip_edit_insert(&edit, SIP_H_VIA, "Via: SIP/2.0/UDP %s;branch=%s", "127.0.0.2", "z9hG4bKx");
    sip_edit_via_source(&edit, "127.0.0.9", 5099);
    sip_edit_insert(&edit, SIP_H_VIA, "Record-Route: <sip:127.0.0.2;lr>");
    sip_edit_insert(&edit, SIP_H_OTHER, "P-Asserted-Identity: <sip:+1@x.example>");
    sip_edit_insert(&edit, SIP_H_PRIVACY, "Privacy: id"); /* absent: last, too */
    renders(
        "INVITE sip:b@127.0.0.7:5080 SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bKx\r\n"
        "Record-Route: <sip:127.0.0.2;lr>\r\n"
        "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc;received=127.0.0.9;rport=5099\r\n" VIA2
        "Route: <sip:p2.example;lr>\r\nRoute: <sip:p3.example;lr>\r\n" FROM TO ID CSEQ
        "Max-Forwards: 69\r\n" CT CL "P-Asserted-Identity: <sip:+1@x.example>\r\n"
        "Privacy: id\r\n" BODY);
}

static void the_last_list_element_takes_its_line_along(void **state)
{
    (void)state;
    begin(LINE VIA1 "Route: <sip:p1.example;lr>\r\n" FROM TO ID CSEQ CT CL BODY);
    sip_edit_remove_top_value(&edit, sip_header(&msg, SIP_H_ROUTE, 0));
    renders(LINE VIA1 FROM TO ID CSEQ CT CL BODY);
    begin(
        LINE VIA1
        "Route: <sip:a,b@p1.example;lr>,\r\n  <sip:p2.example;lr>\r\n" FROM TO ID CSEQ CT CL BODY);
    sip_edit_remove_top_value(&edit, sip_header(&msg, SIP_H_ROUTE, 0));
    renders(LINE VIA1 "Route: <sip:p2.example;lr>\r\n" FROM TO ID CSEQ CT CL BODY);
}

/* received= and rport= of the sender's own Via would lead answers where he likes. */
static void forged_source_in_via_is_replaced(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"127.0.0.1;received=6.6.6.6;branch=z9hG4bK1;rport=9",
         "127.0.0.1;branch=z9hG4bK1;received=127.0.0.9;rport=5099"},
        {"127.0.0.9;branch=z9hG4bK1;rport=9;received=6.6.6.6;x=y",
         "127.0.0.9;branch=z9hG4bK1;x=y;received=127.0.0.9;rport=5099"},
        {"127.0.0.1 ; RECEIVED = 6.6.6.6 ; branch=z9hG4bK1",
         "127.0.0.1 ; branch=z9hG4bK1;received=127.0.0.9"},
        {"a.example;x=\";received=6.6.6.6;\\\"\";rport",
         "a.example;x=\";received=6.6.6.6;\\\"\";received=127.0.0.9;rport=5099"},
        {"a.example;received=6.6.6.6, SIP/2.0/UDP b.example;received=7.7.7.7",
         "a.example;received=127.0.0.9, SIP/2.0/UDP b.example;received=7.7.7.7"},
        {"a.example", "a.example;received=127.0.0.9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400], want[400];
        snprintf(text, sizeof text, LINE "v: SIP/2.0/UDP %s\r\n" FROM TO ID CSEQ "l: 0\r\n\r\n",
                 cases[i][0]);
        snprintf(want, sizeof want, LINE "v: SIP/2.0/UDP %s\r\n" FROM TO ID CSEQ "l: 0\r\n\r\n",
                 cases[i][1]);
        begin(text);
        sip_edit_via_source(&edit, "127.0.0.9", 5099);
        renders(want);
        assert_true(view_eq(again.via.received, VIEW("127.0.0.9")));
        assert_int_equal(again.via.rport, again.via.has_rport ? 5099 : 0);
        /* and so does a response */
        assert_int_equal(sip_response(&msg, 400, NULL, VIEW(""), "127.0.0.9", 5099, VIEW(""),
                                      VIEW(""), VIEW(""), out, sizeof out, &out_n),
                         E_OK);
        snprintf(want, sizeof want,
                 "SIP/2.0 400 Bad Request\r\nv: SIP/2.0/UDP %s\r\n" FROM TO ID CSEQ
                 "Content-Length: 0\r\n\r\n",
                 cases[i][1]);
        out[out_n] = 0;
        assert_string_equal(out, want);
    }
}

static void bodies(void **state)
{
    (void)state;
    begin(INVITE);
    sip_edit_body(&edit, VIEW(""), VIEW("v=0\nlonger body"));
    renders(LINE VIA1 VIA2 RTE FROM TO ID CSEQ MF CT "Content-Length: 15\r\n\r\nv=0\nlonger body");
    sip_edit_body(&edit, VIEW("text/plain"), VIEW("x"));
    renders(LINE VIA1 VIA2 RTE FROM TO ID CSEQ MF
            "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    sip_edit_body(&edit, VIEW(""), VIEW("")); /* the last word counts */
    renders(LINE VIA1 VIA2 RTE FROM TO ID CSEQ MF
            "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
    begin(LINE VIA1 FROM TO ID CSEQ "l: 0\r\n\r\n");
    sip_edit_body(&edit, VIEW("a/b"), VIEW("xyz"));
    renders(LINE VIA1 FROM TO ID CSEQ "l: 3\r\nContent-Type: a/b\r\n\r\nxyz");
    begin(LINE VIA1 FROM TO ID CSEQ "l: 0\r\n\r\n");
    sip_edit_body(&edit, VIEW(""), VIEW("xyz"));
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_STATE);
    begin(LINE VIA1 FROM TO ID CSEQ "\r\n");
    sip_edit_body(&edit, VIEW("a/b"), VIEW("x"));
    renders(LINE VIA1 FROM TO ID CSEQ "Content-Type: a/b\r\nContent-Length: 1\r\n\r\nx");
}

static void changes_may_overlap(void **state)
{
    (void)state;
    begin(INVITE);
    sip_edit_value(&edit, sip_header(&msg, SIP_H_MAX_FORWARDS, 0), VIEW("1"));
    sip_edit_value(&edit, sip_header(&msg, SIP_H_MAX_FORWARDS, 0), VIEW("2"));
    sip_edit_remove_top_value(&edit, sip_header(&msg, SIP_H_ROUTE, 0));
    sip_edit_remove_all(&edit, SIP_H_ROUTE);
    sip_edit_remove_all(&edit, SIP_H_ROUTE);
    sip_edit_insert(&edit, SIP_H_ROUTE, "Route: <sip:new.example;lr>");
    sip_edit_via_source(&edit, "127.0.0.9", 1);
    sip_edit_remove(&edit, sip_header(&msg, SIP_H_VIA, 0));
    renders(LINE VIA2 "Route: <sip:new.example;lr>\r\n" FROM TO ID CSEQ
                      "Max-Forwards: 2\r\n" CT CL BODY);
    begin(INVITE);
    sip_edit_remove_top_value(&edit, sip_header(&msg, SIP_H_ROUTE, 0));
    sip_edit_value(&edit, sip_header(&msg, SIP_H_ROUTE, 0), VIEW("<sip:x.example>"));
    sip_edit_remove(&edit, sip_header(&msg, SIP_H_ROUTE, 3)); /* the one behind it */
    renders(LINE VIA1 VIA2 "Route: <sip:x.example>\r\n" FROM TO ID CSEQ MF CT CL BODY);
}

static void no_text_makes_a_second_line(void **state)
{
    (void)state;
    static const char *const bad[] = {"1\r\nX: y", "1\rX", "1\nX", "1\r\n", "\001", "a\177", "1\r"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(INVITE);
        sip_edit_value(&edit, sip_header(&msg, SIP_H_MAX_FORWARDS, 0), view_of(bad[i]));
        assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_PARSE);
        begin(INVITE);
        sip_edit_insert(&edit, SIP_H_OTHER, "X: %s", bad[i]);
        sip_edit_insert(&edit, SIP_H_OTHER, "Y: fine"); /* the first fault stays */
        assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_PARSE);
        begin(INVITE);
        sip_edit_body(&edit, view_of(bad[i]), VIEW("x"));
        assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_PARSE);
        begin(INVITE);
        sip_edit_uri(&edit, view_of(bad[i]));
        assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_PARSE);
    }
    begin(INVITE);
    sip_edit_uri(&edit, VIEW("sip:a b"));
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_PARSE);
    begin(INVITE);
    sip_edit_value(&edit, sip_header(&msg, SIP_H_ROUTE, 3),
                   VIEW("<sip:a.example>,\r\n <sip:b.example>"));
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_OK); /* a fold is none */
}

static void edits_are_limited(void **state)
{
    (void)state;
    begin(INVITE);
    for (int i = 0; i < SIP_EDIT_OPS; i++) {
        sip_edit_insert(&edit, SIP_H_OTHER, "X: %d", i);
    }
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_OK);
    sip_edit_insert(&edit, SIP_H_OTHER, "X: y");
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_FULL);
    begin(INVITE);
    sip_edit_insert(&edit, SIP_H_OTHER, "X: %*d", SIP_EDIT_TEXT - 6, 1);
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_OK);
    sip_edit_insert(&edit, SIP_H_OTHER, "X");
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_FULL);
    begin(INVITE);
    sip_edit_insert(&edit, SIP_H_OTHER, "X: %*d", SIP_EDIT_TEXT, 1);
    assert_int_equal(sip_edit_render(&edit, out, sizeof out, &out_n), E_FULL);
}

static void small_buffers(void **state)
{
    (void)state;
    size_t all = strlen(INVITE) + strlen("X: y\r\n");
    for (size_t n = 0; n < all; n++) {
        begin(INVITE);
        sip_edit_insert(&edit, SIP_H_TO, "X: y");
        char *dst = test_malloc(n + 1); /* a sanitizer watches its end */
        out_n = 12345;
        assert_int_equal(sip_edit_render(&edit, dst, n, &out_n), E_RANGE);
        assert_int_equal(out_n, 12345);
        test_free(dst);
    }
    assert_int_equal(sip_edit_render(&edit, out, all, &out_n), E_OK);
    assert_int_equal(out_n, all);
}

/* ---- built messages -------------------------------------------------------------------------- */
static const struct sip_msg *framed(void)
{
    const char *why = NULL;
    if (sip_frame(view_from(out, out_n), false, &again, &why) != E_OK) {
        fail_msg("%s: %.*s", why, (int)out_n, out);
    }
    return &again;
}

static void responses(void **state)
{
    (void)state;
    begin(LINE VIA1 VIA2
          "Record-Route: <sip:r.example;lr>\r\nTimestamp: 54\r\n" FROM TO ID CSEQ CT CL BODY);
    assert_int_equal(sip_response(&msg, 200, "Fine", VIEW("t1"), "127.0.0.9", 5099,
                                  VIEW("Contact: <sip:b@127.0.0.3>\r\n"), VIEW("application/sdp"),
                                  VIEW("v=0\r\n"), out, sizeof out, &out_n),
                     E_OK);
    out[out_n] = 0;
    assert_string_equal(
        out,
        "SIP/2.0 200 Fine\r\n"
        "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc;received=127.0.0.9;rport=5099\r\n" VIA2
        "Record-Route: <sip:r.example;lr>\r\n" FROM "To: <sip:b@example.net>;tag=t1\r\n" ID CSEQ
        "Contact: <sip:b@127.0.0.3>\r\nContent-Type: application/sdp\r\n"
        "Content-Length: 5\r\n\r\nv=0\r\n");
    assert_true(view_eq(framed()->to_tag, VIEW("t1")));
    assert_int_equal(sip_response(&msg, 100, NULL, VIEW("t1"), NULL, 0, VIEW(""), VIEW(""),
                                  VIEW(""), out, sizeof out, &out_n),
                     E_OK);
    out[out_n] = 0;
    assert_string_equal(out, "SIP/2.0 100 Trying\r\n" VIA1 VIA2 FROM TO ID CSEQ
                             "Timestamp: 54\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(sip_response(&msg, 486, NULL, VIEW("t1"), NULL, 0, VIEW(""), VIEW(""),
                                  VIEW(""), out, sizeof out, &out_n),
                     E_OK);
    assert_null(sip_header(framed(), SIP_H_RECORD_ROUTE, 0));
    assert_true(view_eq(again.to_tag, VIEW("t1")));
    begin(LINE VIA1 FROM "To: <sip:b@example.net>;tag=old\r\n" ID CSEQ CT CL BODY);
    assert_int_equal(sip_response(&msg, 486, NULL, VIEW("new"), NULL, 0, VIEW(""), VIEW(""),
                                  VIEW(""), out, sizeof out, &out_n),
                     E_OK);
    assert_true(view_eq(framed()->to_tag, VIEW("old")));
}

static void a_refused_request_can_be_answered(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_int_equal(
        sip_frame(VIEW("INVITE sip:a@b.example SIP/7.0\r\n" VIA1 FROM TO ID CSEQ "\r\n"), true,
                  &msg, &why),
        E_PARSE);
    assert_int_equal(sip_response(&msg, msg.refuse_status, why, VIEW("t"), "127.0.0.9", 1, VIEW(""),
                                  VIEW(""), VIEW(""), out, sizeof out, &out_n),
                     E_OK);
    assert_int_equal(framed()->status, 505);
    assert_int_equal(
        sip_frame(VIEW("ACK sip:a@b.example SIP/2.0\r\n" VIA1 FROM TO ID "\r\n"), true, &msg, &why),
        E_PARSE);
    assert_int_equal(sip_response(&msg, 400, why, VIEW("t"), "127.0.0.9", 1, VIEW(""), VIEW(""),
                                  VIEW(""), out, sizeof out, &out_n),
                     E_STATE);
}

static void ack_and_cancel(void **state)
{
    (void)state;
    static struct sip_msg response;
    const char *why = NULL;
    begin(INVITE);
    assert_int_equal(sip_frame(VIEW("SIP/2.0 486 Busy Here\r\n" VIA1 VIA2 FROM
                                    "To: <sip:b@example.net>;tag=t1\r\n" ID CSEQ "l: 0\r\n\r\n"),
                               true, &response, &why),
                     E_OK);
    assert_int_equal(sip_ack_for(&msg, &response, out, sizeof out, &out_n), E_OK);
    out[out_n] = 0;
    assert_string_equal(out, "ACK sip:b@gc.example.net SIP/2.0\r\n" VIA1 MF RTE FROM
                             "To: <sip:b@example.net>;tag=t1\r\n" ID
                             "CSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(framed()->method, SIP_M_ACK);
    assert_int_equal(sip_cancel_for(&msg, "SIP;cause=200", out, sizeof out, &out_n), E_OK);
    out[out_n] = 0;
    assert_string_equal(out,
                        "CANCEL sip:b@gc.example.net SIP/2.0\r\n" VIA1 MF RTE FROM TO ID
                        "CSeq: 7 CANCEL\r\nReason: SIP;cause=200\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(framed()->method, SIP_M_CANCEL);
    assert_int_equal(sip_cancel_for(&msg, NULL, out, sizeof out, &out_n), E_OK);
    assert_null(sip_header(framed(), SIP_H_REASON, 0));
    for (size_t n = 0, all = out_n; n < all; n++) {
        assert_int_equal(sip_cancel_for(&msg, NULL, out, n, &out_n), E_RANGE);
    }
}

/* A topmost Via that shares its line: only its own value goes into ACK and CANCEL. */
static void only_the_top_value_of_a_via_line(void **state)
{
    (void)state;
    begin(LINE VIA2 VIA1 FROM TO ID CSEQ CT CL BODY);
    assert_int_equal(sip_cancel_for(&msg, NULL, out, sizeof out, &out_n), E_OK);
    assert_true(view_eq(framed()->via.branch, VIEW("z9hG4bK2")));
    assert_null(sip_header(&again, SIP_H_VIA, 1));
    assert_true(view_eq(sip_header_value(&again, SIP_H_VIA),
                        VIEW("SIP/2.0/TCP c.example;branch=z9hG4bK2")));
}

static void texts_grow_and_fail_for_good(void **state)
{
    (void)state;
    char buf[8];
    struct sip_text t = {buf, 0, sizeof buf, false};
    sip_text_add(&t, "%d", 1234);
    sip_text_view(&t, VIEW("567"));
    assert_true(!t.bad && t.n == 7);
    sip_text_view(&t, VIEW("8"));
    assert_true(!t.bad && t.n == 8);
    sip_text_view(&t, VIEW("9"));
    assert_true(t.bad && t.n == 8);
    sip_text_add(&t, "%s", "");
    assert_true(t.bad);
    t = (struct sip_text){buf, 0, sizeof buf, false};
    sip_text_add(&t, "%s", "12345678"); /* its NUL does not fit */
    assert_true(t.bad && t.n == 0);
    sip_text_view(&t, VIEW("1"));
    assert_true(t.bad && t.n == 0);
}

/* ---- listen strings -------------------------------------------------------------------------- */
static void listen_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sip_proto proto;
        const char *address;
    } cases[] = {{"udp:127.0.0.1:5070", SIP_UDP, "127.0.0.1:5070"},
                 {"tcp:127.0.0.1", SIP_TCP, "127.0.0.1:5060"},
                 {"tls:[::1]:5062", SIP_TLS, "[::1]:5062"},
                 {"tls:127.0.0.1", SIP_TLS, "127.0.0.1:5061"},
                 {"udp:[::1]", SIP_UDP, "[::1]:5060"},
                 {"udp:127.0.0.1:0", SIP_UDP, "127.0.0.1:0"}};
    static const char *const bad[] = {"",
                                      "udp",
                                      "udp:",
                                      "sctp:127.0.0.1",
                                      "127.0.0.1:5060",
                                      "udp:localhost:5060",
                                      "udp:127.0.0.1:65536",
                                      "UDP:127.0.0.1",
                                      "udp:127.0.0.1:5060 ",
                                      "tls:[::1"};
    enum sip_proto proto = SIP_TLS;
    struct net_addr a = {.port = 9};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(sip_listen_parse(view_of(bad[i]), &proto, &a), E_OK);
        assert_true(proto == SIP_TLS && a.port == 9);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[NET_TEXT_MAX];
        assert_int_equal(sip_listen_parse(view_of(cases[i].text), &proto, &a), E_OK);
        net_text(&a, text);
        assert_string_equal(text, cases[i].address);
        assert_int_equal(proto, cases[i].proto);
    }
    assert_string_equal(sip_proto_name(SIP_UDP), "UDP");
    assert_string_equal(sip_proto_name(SIP_TCP), "TCP");
    assert_string_equal(sip_proto_name(SIP_TLS), "TLS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changed_is_the_same_octets),
        cmocka_unit_test(a_datagram_without_length_gets_one),
        cmocka_unit_test(what_a_proxy_does),
        cmocka_unit_test(the_last_list_element_takes_its_line_along),
        cmocka_unit_test(forged_source_in_via_is_replaced),
        cmocka_unit_test(bodies),
        cmocka_unit_test(changes_may_overlap),
        cmocka_unit_test(no_text_makes_a_second_line),
        cmocka_unit_test(edits_are_limited),
        cmocka_unit_test(small_buffers),
        cmocka_unit_test(responses),
        cmocka_unit_test(a_refused_request_can_be_answered),
        cmocka_unit_test(ack_and_cancel),
        cmocka_unit_test(only_the_top_value_of_a_via_line),
        cmocka_unit_test(texts_grow_and_fail_for_good),
        cmocka_unit_test(listen_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
