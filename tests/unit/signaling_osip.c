#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "signaling/sip_osip.h"

#define LINE "INVITE sip:+12125551212@gc.example.net;user=phone SIP/2.0\r\n"
#define VIA  "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc;rport\r\n"
#define FROM "From: \"Alice \\\"A\\\"\" <sip:+12125550001@example.net>;tag=f1\r\n"
#define TO   "To: <sip:+12125551212@example.net>\r\n"
#define ID   "Call-ID: a84b4c76e66710@127.0.0.1\r\n"
#define CSEQ "CSeq: 314159 INVITE\r\n"
#define FIVE VIA FROM TO ID CSEQ
#define END  "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
#define BODY "Content-Type: multipart/mixed;boundary=x\r\nContent-Length: 4\r\n\r\nv=0\n"

static struct sip_msg msg; /* the framed message of the case at hand */

static enum err check(const char *text, const char **why)
{
    const char *frame_why = NULL;
    enum err e = sip_frame(view_of(text), true, &msg, &frame_why);
    if (e != E_OK) {
        fail_msg("framer: %s: %s", frame_why, text);
    }
    *why = NULL;
    return sip_osip_check(&msg, why);
}

static void both_readings_agree(void **state)
{
    (void)state;
    static const char *const texts[] = {
        LINE FIVE BODY,
        LINE FIVE END,
        LINE FIVE "Contact: <sip:a@127.0.0.1:5070;transport=udp>;expires=60;q=0.5\r\n" END,
        LINE FIVE "m: \"A, B\" <sip:a@b.example>, C <sips:c@[::1]:5061;lr>\r\n" END,
        LINE FIVE "Contact: *\r\n" END,
        LINE FIVE "Route: <sip:a.example;lr>,\r\n\t<sip:b.example:5060;lr;x=y>\r\n"
                  "Route: <sip:c.example;lr>\r\nRecord-Route: <sip:d.example;lr>\r\n" END,
        LINE "v: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1;received=2001:db8::2;rport=7,"
             " SIP/2.0/TCP b.example ; branch=z9hG4bK2;x=\"a;b\"\r\n" FROM TO ID CSEQ END,
        LINE VIA
        "From: sip:a@b.example;tag=1\r\nTo: <tel:+1-212-555-1212;phone-context=x>\r\n" ID CSEQ END,
        LINE VIA "From: A Lice<sip:a@b.example>;tag=1\r\nTo: <sip:%61b%20c;d=e:p%40w@b.example>\r\n"
                 "i: plain\r\n" CSEQ END,
        "INVITE urn:service:sos SIP/2.0\r\n" VIA FROM "To: <urn:service:sos>\r\n" ID CSEQ END,
        "INVITE foo:bar SIP/2.0\r\n" VIA FROM TO ID CSEQ END,
        "REGISTER sip:b.example SIP/2.0\r\n" VIA FROM TO ID "CSeq: 1 REGISTER\r\n" END,
        "SIP/2.0 200 OK then\r\n" FIVE END,
        "SIP/2.0 200 \r\n" FIVE END,
        LINE FIVE "Proxy-Authorization: BTI-MAC kid=\"00112233445566778899aabbccddeeff\", seq=7,"
                  " mac=\"00\"\r\nAuthorization: Digest x\r\nWWW-Authenticate: x\r\n" END,
        LINE FIVE
        "Call-Info: <urn:emergency:uid:callid:a:b.example>;purpose=emergency-CallId\r\n"
        "Geolocation: <cid:a@b.example>\r\nAlert-Info: <urn:alert:service:normal>\r\n"
        "Accept: application/sdp, application/pidf+xml\r\nAccept: \r\nAllow: INVITE, ACK\r\n"
        "Allow:\r\nAccept-Language: en;q=0.5\r\nMIME-Version: 1.0\r\nSubject:\r\n"
        "P-DCS-Billing-Info: a/b@c<x>\r\nSupported:\r\nk: 100rel\r\nX: \"\r\n"
        "Content-Encoding: \r\nContent-Disposition: render\r\n" END,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *why = NULL;
        enum err e = check(texts[i], &why);
        if (e != E_OK) {
            fail_msg("%zu: %s: %s", i, err_name(e), why);
        }
    }
}

static void two_readings_disagree(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        /* "sipx" is a SIP URI for the library */
        {"INVITE sipx:a@b.example SIP/2.0\r\n" FIVE END, "Ambiguous start line"},
        /* it takes a comma in an URN for the end of the element */
        {LINE FIVE "Contact: <urn:a,b>\r\n" END, "Ambiguous message"},
        /* it wants a blank, not a tab */
        {LINE "Via: SIP/2.0/UDP\ta.example;branch=x\r\n" FROM TO ID CSEQ END, "Ambiguous message"},
        {LINE VIA FROM TO ID "CSeq: 314159\tINVITE\r\n" END, "Ambiguous message"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = NULL;
        enum err e = check(cases[i].text, &why);
        if (e != E_PARSE || why == NULL || strcmp(why, cases[i].why) != 0) {
            fail_msg("%zu: %s: %s", i, err_name(e), why);
        }
    }
}

/* Both read the same text; here what the framer found is changed behind its back, one field at a
 * time, so that each comparison is seen to bite. */
static void every_field_is_compared(void **state)
{
    (void)state;
    static const char text[] =
        LINE FIVE "Contact: <sip:a@127.0.0.1>\r\nRoute: <sip:r.example;lr>\r\n"
                  "Record-Route: <sip:q.example;lr>\r\n" END;
    static const struct {
        enum sip_hdr_id id;
        struct view value;
        const char *why;
    } cases[] = {
        {SIP_H_VIA, {"SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabd;rport", 50}, "Ambiguous Via"},
        {SIP_H_VIA, {"SIP/2.0/UDP 127.0.0.1:5071;branch=z9hG4bKabc;rport", 50}, "Ambiguous Via"},
        {SIP_H_VIA, {"SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bKabc;rport", 50}, "Ambiguous Via"},
        {SIP_H_VIA, {"SIP/2.0/TCP 127.0.0.1:5070;branch=z9hG4bKabc;rport", 50}, "Ambiguous Via"},
        {SIP_H_VIA, {"SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc;rporu", 50}, "Ambiguous Via"},
        {SIP_H_VIA, {"SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc", 44}, "Ambiguous Via"},
        {SIP_H_FROM,
         {"\"Alice \\\"B\\\"\" <sip:+12125550001@example.net>;tag=f1", 51},
         "Ambiguous From"},
        {SIP_H_FROM,
         {"\"Alice \\\"A\\\"\" <sip:+12125550002@example.net>;tag=f1", 51},
         "Ambiguous From"},
        {SIP_H_FROM,
         {"\"Alice \\\"A\\\"\" <sip:+12125550001@example.net>;tag=f2", 51},
         "Ambiguous From"},
        {SIP_H_FROM,
         {"\"Alice \\\"A\\\"\" <sips:+12125550001@example.net>;tag=f1", 52},
         "Ambiguous From"},
        {SIP_H_TO, {"<sip:+12125551212@example.org>", 30}, "Ambiguous To"},
        {SIP_H_TO, {"<sip:+12125551212@example.net:5060>", 35}, "Ambiguous To"},
        {SIP_H_TO, {"<sip:+12125551212@example.net>;tag=1", 36}, "Ambiguous To"},
        {SIP_H_CONTACT, {"<sip:a@127.0.0.2>", 17}, "Ambiguous Contact"},
        {SIP_H_CONTACT, {"*", 1}, "Ambiguous Contact"},
        {SIP_H_ROUTE, {"<sip:r.example>", 15}, "Ambiguous Route"},
        {SIP_H_ROUTE, {"<sip:r.example;lr>,<sip:s.example>", 34}, "Ambiguous Route"},
        {SIP_H_RECORD_ROUTE, {"<sip:q.example;lr=1>", 20}, "Ambiguous Record-Route"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = NULL;
        assert_int_equal(check(text, &why), E_OK);
        assert_int_equal(strlen(cases[i].value.p), cases[i].value.n);
        msg.h[sip_header_index(&msg, sip_header(&msg, cases[i].id, 0))].value = cases[i].value;
        enum err e = sip_osip_check(&msg, &why);
        if (e != E_PARSE || strcmp(why, cases[i].why) != 0) {
            fail_msg("%zu: %s: %s", i, err_name(e), why);
        }
    }
    const char *why = NULL;
    assert_int_equal(check(text, &why), E_OK);
    msg.call_id = VIEW("a84b4c76e66710@127.0.0.2");
    assert_int_equal(sip_osip_check(&msg, &why), E_PARSE);
    assert_string_equal(why, "Ambiguous Call-ID");
    assert_int_equal(check(text, &why), E_OK);
    msg.cseq++;
    assert_int_equal(sip_osip_check(&msg, &why), E_PARSE);
    assert_string_equal(why, "Ambiguous CSeq");
    assert_int_equal(check(text, &why), E_OK);
    msg.uri = VIEW("sip:+12125551213@gc.example.net;user=phone");
    assert_int_equal(sip_osip_check(&msg, &why), E_PARSE);
    assert_string_equal(why, "Ambiguous start line");
    assert_int_equal(check(text, &why), E_OK);
    msg.method_text = VIEW("INFO");
    assert_int_equal(sip_osip_check(&msg, &why), E_PARSE);
    assert_string_equal(why, "Ambiguous start line");
}

/* Many small parameters: the library's cost is far above the message's size. */
static void memory_is_bounded(void **state)
{
    (void)state;
    static char text[SIP_MAX_BYTES + 1];
    const char *why = NULL;
    size_t n = (size_t)snprintf(text, sizeof text, LINE FIVE);
    for (unsigned line = 0; line < 32; line++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "Route: <sip:r%u.example", line);
        for (unsigned i = 0; i < 32; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, ";%c%c", 'a' + (int)i / 8,
                                  'a' + (int)i % 8);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, ">;");
        for (unsigned i = 0; i < 32; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%c%c%s", 'a' + (int)i / 8,
                                  'a' + (int)i % 8, i < 31 ? ";" : "\r\n");
        }
    }
    snprintf(text + n, sizeof text - n, END);
    assert_int_equal(check(text, &why), E_NOMEM);
    assert_string_equal(why, "Message too complex");
    assert_int_equal(check(LINE FIVE END, &why), E_OK); /* and the next one starts afresh */
}

/* The library never prints (its default is a line for each bad message on standard output). */
static void nothing_is_printed(void **state)
{
    (void)state;
    int out[2], keep = dup(STDOUT_FILENO);
    char octet;
    const char *why = NULL;
    enum err e = E_OK;
    assert_true(keep >= 0 && pipe(out) == 0);
    fflush(stdout);
    assert_true(dup2(out[1], STDOUT_FILENO) >= 0);
    close(out[1]);
    e = check(LINE "Via: SIP/2.0/UDP\ta.example;branch=x\r\n" FROM TO ID CSEQ END, &why);
    fflush(stdout);
    assert_true(dup2(keep, STDOUT_FILENO) >= 0);
    close(keep);
    assert_int_equal(e, E_PARSE);
    assert_int_equal(read(out[0], &octet, 1), 0); /* end of file, and nothing before it */
    close(out[0]);
}

/* No octet changed in a good message crashes the second reading either, nor a cut one. */
static void every_octet_changed(void **state)
{
    (void)state;
    static const char good[] = LINE FIVE
        "Contact: \"x\" <sip:a@b.example:5060;lr>;q=1\r\nRoute: <sip:r.example;lr>\r\n" END;
    static const unsigned char with[] = {'\r', '\n', ' ', ':', ';', ',', '<', '>', '"',  '%', '@',
                                         '=',  '[',  ']', '?', '(', '/', '0', 'x', '\\', 0x80};
    char text[sizeof good];
    unsigned both = 0, differ = 0;
    for (size_t i = 0; i + 1 < sizeof good; i++) {
        for (size_t k = 0; k < sizeof with; k++) {
            struct sip_msg m;
            const char *why = NULL;
            memcpy(text, good, sizeof good);
            text[i] = (char)with[k];
            if (sip_frame(view_from(text, sizeof good - 1), true, &m, &why) == E_OK) {
                enum err e = sip_osip_check(&m, &why);
                assert_true(e == E_OK || (e == E_PARSE && why != NULL));
                both += e == E_OK;
                differ += e != E_OK;
            }
        }
    }
    assert_true(both > 1000);
    assert_true(differ > 0);
}

static void *check_often(void *arg)
{
    static const char *const texts[] = {LINE FIVE END, "SIP/2.0 200 OK\r\n" FIVE BODY};
    static const char tab[] = LINE "Via: SIP/2.0/UDP\ta.example;branch=x\r\n" FROM TO ID CSEQ END;
    uintptr_t *wrong = arg;
    for (unsigned i = 0; i < 3000; i++) {
        struct sip_msg m;
        const char *why = NULL;
        bool is_bad = i % 3 == 2;
        if (sip_frame(view_of(is_bad ? tab : texts[i % 3]), true, &m, &why) != E_OK ||
            sip_osip_check(&m, &why) != (is_bad ? E_PARSE : E_OK)) {
            (*wrong)++;
        }
    }
    return NULL;
}

static void threads_have_memory_of_their_own(void **state)
{
    (void)state;
    pthread_t t[4];
    uintptr_t wrong[4] = {0};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, check_often, &wrong[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(wrong[i], 0);
    }
}

static int start(void **state)
{
    (void)state;
    return sip_osip_init() == E_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_readings_agree),
        cmocka_unit_test(two_readings_disagree),
        cmocka_unit_test(every_field_is_compared),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(nothing_is_printed),
        cmocka_unit_test(every_octet_changed),
        cmocka_unit_test(threads_have_memory_of_their_own),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
