#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/message.h"
#include "lawful_intercept/order.h"

#define SDP  "v=0\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n"
#define KEYS "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\nk=base64:c2VjcmV0\r\n"
#define HIDDEN                                                                                     \
    "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\na=x:1 INLINE:c2VjcmV0\r\n"
#define OTHER                                                                                      \
    "A=Crypto:2 x\r\na=key-mgmt:mikey c2VjcmV0\r\na=zrtp-hash:1.10 "                               \
    "c2VjcmV0\r\na=X-pc-secret:s\r\n"

static void folded_headers_and_compact_names_are_read(void **state)
{
    (void)state;
    struct li_message m;
    const char *text =
        "INVITE sip:bob@headgate.test SIP/2.0\r\n"
        "v: SIP/2.0/TLS 192.0.2.7\r\n ;branch=z9hG4bK1\r\n"
        "Via: SIP/2.0/TLS 192.0.2.8;branch=z9hG4bK2\r\n"
        "f:\r\n\t\"Anna; tag=no\" <sip:+12125550100@headgate.test;tag=no>;tag=yes\r\n"
        "t: <tel:+12125550101;phone-context=x>\r\n"
        "i: 1@192.0.2.7\r\nm: <sip:anna@192.0.2.7>\r\nr: <sip:carol@h>\r\n"
        "CSeq: 17 INVITE\r\nc: application/sdp\r\nl: 5\r\n\r\nv=0\r\n";

    assert_int_equal(li_message_read(view_of(text), &m), E_OK);
    assert_true(m.is_request && view_eq(m.method, VIEW("INVITE")) && m.cseq == 17);
    assert_true(view_eq(m.branch, VIEW("z9hG4bK1")));
    assert_true(view_eq(m.from_tag, VIEW("yes")));
    assert_int_equal(m.to_tag.n, 0);
    assert_true(view_eq(m.call_id, VIEW("1@192.0.2.7")));
    assert_true(view_eq(m.contact, VIEW("<sip:anna@192.0.2.7>")));
    assert_true(view_eq(m.refer_to, VIEW("<sip:carol@h>")));
    assert_true(view_eq(li_user_of(m.from), VIEW("+12125550100")));
    assert_true(view_eq(li_user_of(m.to), VIEW("+12125550101")));
    assert_true(view_eq(li_user_of(m.uri), VIEW("bob")));
    assert_true(view_eq(li_message_sdp(&m), VIEW("v=0\r\n")));
}

/* What stands in quotes is words: no address, and no parameter. */
static void quoted_strings_hide_nothing(void **state)
{
    (void)state;
    struct li_message m;
    const char *text = "INVITE sip:bob@headgate.test SIP/2.0\r\n"
                       "Via: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\n"
                       "From: \"x> <sip:no@h> \\\" ;tag=no\" "
                       "<sip:+12125550100@h;tag=no>;x=\"a,;tag=no\";tag=yes\r\n"
                       "To: <sip:b@h>\r\nReplaces: a\"b;to-tag=yes\r\n"
                       "Refer-To: \"<sip:dora@h>\" <sip:carol@h>\r\nCSeq: 17\tINVITE\r\n\r\n";
    char uri[LI_URI_MAX];

    assert_int_equal(li_message_read(view_of(text), &m), E_OK);
    assert_true(view_eq(m.from_tag, VIEW("yes")));
    assert_true(view_eq(li_user_of(m.from), VIEW("+12125550100")));
    assert_true(view_eq(li_user_of(m.refer_to), VIEW("carol")));
    assert_true(view_eq(li_parameter(m.replaces, VIEW("to-tag")), VIEW("yes")));
    assert_true(li_uri_read(m.refer_to, uri));
    assert_string_equal(uri, "carol@h");
    assert_int_equal(m.cseq, 17);
    assert_int_equal(li_message_read(VIEW("SIP/2.0 200 OK\r\nCSeq: 17\tINVITE\r\n\r\n"), &m), E_OK);
    assert_true(m.cseq == 17 && view_eq(m.method, VIEW("INVITE")));
}

static void responses_are_read(void **state)
{
    (void)state;
    struct li_message m;

    assert_int_equal(li_message_read(VIEW("SIP/2.0 486 Busy Here\r\nCSeq: 3 INVITE\r\n\r\n"), &m),
                     E_OK);
    assert_true(!m.is_request && m.status == 486 && m.cseq == 3);
    assert_true(view_eq(m.method, VIEW("INVITE")));
    assert_int_equal(li_message_read(VIEW("SIP/2.0 99 x\r\n\r\n"), &m), E_PARSE);
    assert_int_equal(li_message_read(VIEW("SIP/2.0 700 x\r\n\r\n"), &m), E_PARSE);
}

/* Found by fuzz_call_data's sip-half: a line's end is not the head's. */
static void no_part_of_a_head_is_a_message(void **state)
{
    (void)state;
    static const char text[] =
        "INVITE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nContent-Length: 2\r\n\r\nab";
    size_t head = sizeof text - 3;
    struct li_message m;

    for (size_t n = 0; n < sizeof text; n++) {
        char *exact = malloc(n + 1); /* so that a read past its end is seen */
        memcpy(exact, text, n);
        assert_int_equal(li_message_read(view_from(exact, n), &m), n < head ? E_PARSE : E_OK);
        free(exact);
    }
}

static void the_session_description_of_many_parts_is_found(void **state)
{
    (void)state;
    struct li_message m;
    const char *text = "INVITE sip:b@h SIP/2.0\r\n"
                       "Content-Type: multipart/mixed ; boundary=\"a b\"\r\n\r\n"
                       "--a b\r\nContent-Type: application/pidf+xml\r\n\r\n<x/>\r\n"
                       "--a b\r\nContent-Type: Application/SDP;x=y\r\n\r\n" SDP "\r\n--a b--\r\n";
    char cut[512];

    assert_int_equal(li_message_read(view_of(text), &m), E_OK);
    assert_true(view_eq(li_message_sdp(&m), VIEW(SDP)));
    snprintf(cut, sizeof cut, "%.*s", (int)(strlen(text) - 10),
             text); /* the last mark is missing */
    assert_int_equal(li_message_read(view_of(cut), &m), E_OK);
    assert_int_equal(li_message_sdp(&m).n, 0);
}

static struct view sdp_of(const char *type, const char *body)
{
    static char text[2048];
    struct li_message m;

    snprintf(text, sizeof text, "INVITE sip:b@h SIP/2.0\r\n%s\r\n\r\n%s", type, body);
    assert_int_equal(li_message_read(view_of(text), &m), E_OK);
    return li_message_sdp(&m);
}

#define PART "Content-Type: application/sdp\r\n\r\n"
#define LONG                                                                                       \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
static void no_form_of_a_body_hides_the_session_description(void **state)
{
    (void)state;
    static const char *const row[][2] = {
        {"c: Application / Sdp ;x=y", SDP},
        {"Content-Type: multipart/mixed;boundary=\"a,b\"", "--a,b\r\n" PART SDP "\r\n--a,b--"},
        {"Content-Type: multipart / mixed;boundary=\"\\a\"", "--a\r\n" PART SDP "\r\n--a--"},
        {"Content-Type: multipart/mixed;boundary=" LONG,
         "--" LONG "\r\n" PART SDP "\r\n--" LONG "--"},
        {"Content-Type: multipart/mixed;boundary=x",
         "--x\r\nContent-Type: multipart/mixed;boundary=z\r\n\r\n--z--\r\n"
         "--x\r\nContent-Type: multipart/alternative;boundary=xy\r\n\r\n--xy\r\n" PART SDP
         "\r\n--xy--\r\n--x--"},
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        assert_true(view_eq(sdp_of(row[i][0], row[i][1]), VIEW(SDP)));
    }
    assert_true(view_eq(sdp_of("Content-Type: multipart/mixed;boundary=x",
                               "--x\r\n" PART "v=0\r\ns=--x\r\n" KEYS "\r\n--x--"),
                        VIEW("v=0\r\ns=--x\r\n" KEYS)));
}

/* For a pen register it would be keys that nobody took out. */
static void what_is_packed_is_no_session_description(void **state)
{
    (void)state;
    assert_int_equal(sdp_of("Content-Type: application/sdp\r\ne: gzip", SDP).n, 0);
    assert_true(view_eq(sdp_of("Content-Type: application/sdp\r\ne: identity", SDP), VIEW(SDP)));
    assert_int_equal(sdp_of("Content-Type: multipart/mixed;boundary=x",
                            "--x\r\nContent-Transfer-Encoding: base64\r\n" PART
                            "dj0wDQphPWNyeXB0bzo=\r\n--x--")
                         .n,
                     0);
}

static void keys_are_taken_out(void **state)
{
    (void)state;
    char out[512];
    size_t n = li_sdp_without_keys(VIEW(SDP KEYS OTHER HIDDEN "a=sendrecv\r\n"), out);

    assert_true(view_eq(view_from(out, n), VIEW(SDP "a=sendrecv\r\n")));
    n = li_sdp_without_keys(VIEW("v=0\ra=crypto:1 x\rs=-\r\n"), out); /* bare CR */
    assert_true(view_eq(view_from(out, n), VIEW("v=0\rs=-\r\n")));
    n = li_sdp_without_keys(VIEW(SDP "a=crypto:1"), out); /* without a line's end */
    assert_true(view_eq(view_from(out, n), VIEW(SDP)));
}

static void without_content(const char *in, const char *want)
{
    struct li_message m;
    char out[1024];
    size_t n = 0;

    assert_int_equal(li_message_read(view_of(in), &m), E_OK);
    assert_int_equal(li_message_without_content(&m, out, sizeof out, &n), E_OK);
    out[n] = 0;
    assert_string_equal(out, want);
    assert_int_equal(li_message_without_content(&m, out, m.head.n + m.body.n + 31, &n), E_RANGE);
}

static void what_is_content_or_tells_a_place_is_left_out(void **state)
{
    (void)state;
    char want[512];

    snprintf(want, sizeof want,
             "INVITE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nContent-Type: application/sdp\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             strlen(SDP), SDP);
    without_content(
        "INVITE sip:b@h SIP/2.0\r\nGeolocation: <sip:x>,\r\n <sip:y>\r\nTo: <sip:b@h>\r\n"
        "P-Access-Network-Info: a\r\ns: hello\r\nContent-Type: application/sdp\r\n"
        "l: 999\r\n\r\n" SDP KEYS,
        want);
    without_content("MESSAGE sip:b@h SIP/2.0\r\nc: application/sdp\r\nContent-Language: fr\r\n"
                    "Call-Info: <http://h/>;call-reason=\"hello\"\r\nGeolocation-X: <sip:x>\r\n"
                    "To: <sip:b@h>\r\n\r\ns=hello\r\n",
                    "MESSAGE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nContent-Length: 0\r\n\r\n");
    without_content(
        "MESSAGE sip:b@h SIP/2.0\r\nSubject: hello\r\nc: text/plain\r\nTo: <sip:b@h>\r\n"
        "Content-Length: 5\r\n\r\nhello",
        "MESSAGE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nContent-Length: 0\r\n\r\n");
    without_content("INVITE sip:b@h SIP/2.0\r\nContent-Type: multipart/mixed;boundary=x\r\n"
                    "MIME-Version: 1.0\r\nUser-to-User: 68656c6c6f\r\nTo: <sip:b@h>\r\n"
                    "Content-Length: 999\r\n\r\n--x\r\nContent-Type: application/pidf+xml\r\n\r\n"
                    "<x/>\r\n--x\r\nContent-Type: application/sdp\r\n\r\n" SDP KEYS "\r\n--x--\r\n",
                    want);
    without_content(
        "INVITE sip:b@h SIP/2.0\r\nContent-Type: multipart/mixed;boundary=x\r\n"
        "To: <sip:b@h>\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n",
        "INVITE sip:b@h SIP/2.0\r\nTo: <sip:b@h>\r\nContent-Length: 0\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_headers_and_compact_names_are_read),
        cmocka_unit_test(quoted_strings_hide_nothing),
        cmocka_unit_test(responses_are_read),
        cmocka_unit_test(no_part_of_a_head_is_a_message),
        cmocka_unit_test(the_session_description_of_many_parts_is_found),
        cmocka_unit_test(no_form_of_a_body_hides_the_session_description),
        cmocka_unit_test(what_is_packed_is_no_session_description),
        cmocka_unit_test(keys_are_taken_out),
        cmocka_unit_test(what_is_content_or_tells_a_place_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
