#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "signaling/sdp.h"

#define KEY  "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define HEAD "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\n"
#define C    "c=IN IP4 127.0.0.1\r\n"
#define T    "t=0 0\r\n"
#define AU   "m=audio 4000 RTP/SAVP 0 101\r\n"

static const char offer[] =
    "v=0\r\no=bti 18446744073709551615 7 IN IP4 127.0.0.1\r\ns=enrol\r\nc=IN IP4 127.0.0.1\r\n"
    "b=AS:64\r\nt=0 0\r\na=sendonly\r\na=setup:actpass\r\n"
    "m=audio 49170 RTP/SAVP 0 8 101\r\n"
    "a=crypto:1 AEAD_AES_256_GCM inline:" KEY "\r\n"
    "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" KEY "|2^20\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
    "m=application 9 TCP headgate-control\r\nc=IN IP6 "
    "::1\r\na=setup:passive\r\na=connection:new\r\n"
    "m=video 0 RTP/AVP 31\r\n";

static void takes_an_offer_apart(void **state)
{
    (void)state;
    struct sdp s;
    const char *why = NULL;
    char text[NET_TEXT_MAX];
    assert_int_equal(sdp_parse(view_of(offer), &s, &why), E_OK);
    assert_true(view_eq(s.origin_username, VIEW("bti")));
    assert_true(s.session_id == UINT64_MAX && s.session_version == 7);
    assert_int_equal(s.n_media, 3);
    const struct sdp_media *m = sdp_find(&s, VIEW("audio"));
    assert_ptr_equal(m, &s.media[0]);
    assert_true(view_eq(m->proto, VIEW("RTP/SAVP")));
    assert_int_equal(m->port, 49170);
    assert_int_equal(m->n_formats, 3);
    assert_true(view_eq(m->format[1], VIEW("8")));
    assert_int_equal(m->event_format, 101);
    assert_int_equal(m->direction, SDP_SENDRECV);
    net_text(&m->address, text);
    assert_string_equal(text, "127.0.0.1:49170");
    assert_int_equal(m->n_crypto, 2);
    assert_int_equal(m->crypto[0].tag, 1);
    assert_true(view_eq(m->crypto[0].suite, VIEW("AEAD_AES_256_GCM")));
    assert_true(view_eq(m->crypto[1].key_base64, VIEW(KEY)));
    assert_true(view_eq(m->setup, VIEW("actpass"))); /* the session's */
    m = sdp_find(&s, VIEW("application"));
    assert_true(view_eq(m->proto, VIEW("TCP")));
    assert_true(view_eq(m->format[0], VIEW("headgate-control")));
    net_text(&m->address, text);
    assert_string_equal(text, "[::1]:9");
    assert_true(view_eq(m->setup, VIEW("passive")) && view_eq(m->connection, VIEW("new")));
    assert_int_equal(m->direction, SDP_SENDONLY); /* the session's */
    assert_int_equal(m->event_format, -1);
    assert_int_equal(s.media[2].port, 0);
    assert_null(sdp_find(&s, VIEW("Audio")));
}

static void accepts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HEAD T,                           /* no media at all */
        HEAD C T AU,                      /* session's address */
        HEAD T AU C,                      /* the media's own */
        HEAD T "m=audio 0 RTP/AVP 0\r\n", /* refused: no address needed */
        HEAD C T "m=audio 4000/1 RTP/AVP 0\r\n",
        "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 4 RTP/AVP 0",
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=\r\ni=x\r\nu=x\r\ne=x\r\np=x\r\n" C
        "b=x\r\nt=0 0\r\nr=x\r\nt=1 2\r\nz=x\r\nk=x\r\na=x\r\n" AU "i=x\r\nb=x\r\nk=x\r\na=x:y\r\n",
        HEAD C T AU "a=crypto:1 S inline:QUJD\r\na=crypto:2 S inline:QUI=\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sdp s;
        const char *why = NULL;
        enum err e = sdp_parse(view_of(texts[i]), &s, &why);
        if (e != E_OK) {
            fail_msg("%zu: %s", i, why);
        }
    }
}

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "Missing v= line"},
    {"v=0\r\n", "Missing o= line"},
    {"v=1\r\n", "Bad v= line"},
    {"o=- 1 2 IN IP4 127.0.0.1\r\nv=0\r\n", "Missing v= line"},
    {"v=0\r\ns=-\r\n", "Missing o= line"},
    {"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\nt=0 0\r\n", "Missing s= line"},
    {"v=0\r\no=- 1 2 IN IP4\r\ns=-\r\n", "Bad o= line"},
    {"v=0\r\no=- x 2 IN IP4 127.0.0.1\r\ns=-\r\n", "Bad o= line"},
    {"v=0\r\no=- 18446744073709551616 2 IN IP4 127.0.0.1\r\n", "Bad o= line"},
    {"v=0\r\no=- 1 2 IN IP4 127.0.0.1 more\r\n", "Bad o= line"},
    {"v=0\r\no=-  1 2 IN IP4 127.0.0.1\r\n", "Bad o= line"},
    {HEAD, "Missing t= line"},
    {HEAD C AU T, "Missing t= line"},
    {HEAD C T AU T, "t= line in a media"},
    {HEAD C T AU "u=x\r\n", "Session line in a media"},
    {HEAD C T "v=0\r\n", "Unknown line"},
    {HEAD C T "x=y\r\n", "Unknown line"},
    {HEAD C T "A=y\r\n", "Unknown line"},
    {HEAD C T "a\r\n", "Line without type"},
    {HEAD C T " a=x\r\n", "Line without type"},
    {HEAD C T "\r\n", "Line without type"},
    {HEAD C T "a=x\ry\r\n", "Control character"},
    {HEAD C T "a=x\r\r\n", "Control character"},
    {HEAD C T "a=\001\r\n", "Control character"},
    {HEAD C T "a=\177\r\n", "Control character"},
    {HEAD T AU, "Missing c= line"},
    {HEAD C C T AU, "Bad c= line"},
    {HEAD T AU C C, "Bad c= line"},
    {HEAD "c=IN IP6 127.0.0.1\r\n" T, "Bad c= line"},
    {HEAD "c=IN IP4 ::1\r\n" T, "Bad c= line"},
    {HEAD "c=IN IP6 [::1]\r\n" T, "Bad c= line"},
    {HEAD "c=IN IP4 localhost\r\n" T, "Bad c= line"},
    {HEAD "c=IN IP4 224.2.1.1/127\r\n" T, "Bad c= line"},
    {HEAD "c=IN IP4\r\n" T, "Bad c= line"},
    {HEAD "c=IN IP4 \r\n" T, "Bad c= line"},
    {HEAD "c=XX IP4 127.0.0.1\r\n" T, "Bad c= line"},
    {HEAD C T "m=audio\r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000\r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000 RTP/AVP\r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000 RTP/AVP \r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000 RTP/AVP 0 \r\n", "Bad m= line"},
    {HEAD C T "m=audio  4000 RTP/AVP 0\r\n", "Bad m= line"},
    {HEAD C T "m=audio 65536 RTP/AVP 0\r\n", "Bad m= line"},
    {HEAD C T "m=audio -1 RTP/AVP 0\r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000/2 RTP/AVP 0\r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000/0 RTP/AVP 0\r\n", "Bad m= line"},
    {HEAD C T "m=audio 4000/ RTP/AVP 0\r\n", "Bad m= line"},
    {HEAD C T AU "a=\r\n", "Bad a= line"},
    {HEAD C T AU "a=:x\r\n", "Bad a= line"},
    {HEAD C T AU "a=sendonly\r\na=recvonly\r\n", "Bad a= line"},
    {HEAD C T AU "a=inactive:1\r\n", "Bad a= line"},
    {HEAD C T AU "a=setup:both\r\n", "Bad a= line"},
    {HEAD C T AU "a=setup\r\n", "Bad a= line"},
    {HEAD C T AU "a=connection:old\r\n", "Bad a= line"},
    {HEAD C T AU "a=rtpmap:x PCMU/8000\r\n", "Bad a= line"},
    {HEAD C T AU "a=rtpmap:128 PCMU/8000\r\n", "Bad a= line"},
    {HEAD C T AU "a=rtpmap:0\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:x S inline:QUJD\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1000000000 S inline:QUJD\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:QUJ\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:QU?D\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:Q===\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:=QUJ\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:|2^20\r\n", "Bad a= line"},
    {HEAD C T AU "a=crypto:1 S inline:QUJD\r\na=crypto:1 T inline:QUJD\r\n", "Bad a= line"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sdp s = {.n_media = 99};
        const char *why = NULL;
        enum err e = sdp_parse(view_of(bad[i].text), &s, &why);
        if (e == E_OK || why == NULL || strcmp(why, bad[i].why) != 0 || s.n_media != 99) {
            fail_msg("%zu: %s, \"%s\" instead of \"%s\"", i, err_name(e), why != NULL ? why : "-",
                     bad[i].why);
        }
    }
    struct sdp s;
    const char *why = NULL;
    static const char nul[] = HEAD C T "a=x\0y\r\n";
    assert_int_equal(sdp_parse(view_from(nul, sizeof nul - 1), &s, &why), E_PARSE);
    assert_string_equal(why, "Control character");
}

/* What we could not honour is not offered to whoever chooses (RFC 4568 sections 6.1, 6.3.7). */
static void crypto_lines_that_nobody_may_choose(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "a=crypto:1 S inline:QUJD|2^20|1:4\r\n", "a=crypto:1 S inline:QUJD|1:4\r\n",
        "a=crypto:1 S inline:QUJD;inline:QUJE\r\n", "a=crypto:1 S inline:QUJD UNENCRYPTED_SRTP\r\n",
        "a=crypto:1 S uri:QUJD\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[300];
        struct sdp s;
        const char *why = NULL;
        snprintf(text, sizeof text, HEAD C T AU "%sa=crypto:2 S inline:QUJF\r\n", lines[i]);
        assert_int_equal(sdp_parse(view_of(text), &s, &why), E_OK);
        assert_int_equal(s.media[0].n_crypto, 1);
        assert_int_equal(s.media[0].crypto[0].tag, 2);
    }
}

static void events_need_their_format(void **state)
{
    (void)state;
    struct sdp s;
    const char *why = NULL;
    assert_int_equal(sdp_parse(VIEW(HEAD C T AU "a=rtpmap:100 telephone-event/8000\r\n"), &s, &why),
                     E_OK);
    assert_int_equal(s.media[0].event_format, -1); /* 100 is not among the formats */
    assert_int_equal(sdp_parse(VIEW(HEAD C T AU "a=rtpmap:101 Telephone-Event/8000\r\n"), &s, &why),
                     E_OK);
    assert_int_equal(s.media[0].event_format, 101);
    assert_int_equal(
        sdp_parse(VIEW(HEAD C T AU "a=rtpmap:101 telephone-event/16000\r\n"), &s, &why), E_OK);
    assert_int_equal(s.media[0].event_format, -1);
}

static enum err repeated(const char *before, const char *one, unsigned times, const char **why)
{
    static char text[8000];
    struct sdp s;
    size_t n = (size_t)snprintf(text, sizeof text, "%s", before);
    for (unsigned i = 0; i < times; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s", one);
    }
    return sdp_parse(view_from(text, n), &s, why);
}

static void limits(void **state)
{
    (void)state;
    const char *why = NULL;
    char text[600];
    struct sdp s;
    assert_int_equal(repeated(HEAD C T, AU, SDP_MAX_MEDIA, &why), E_OK);
    assert_int_equal(repeated(HEAD C T, AU, SDP_MAX_MEDIA + 1, &why), E_RANGE);
    assert_string_equal(why, "Too many m= lines");
    assert_int_equal(repeated(HEAD C T "m=audio 4 RTP/AVP", " 0", SDP_MAX_FORMATS, &why), E_OK);
    assert_int_equal(repeated(HEAD C T "m=audio 4 RTP/AVP", " 0", SDP_MAX_FORMATS + 1, &why),
                     E_RANGE);
    assert_string_equal(why, "Too many formats");
    for (int k = SDP_MAX_CRYPTO; k <= SDP_MAX_CRYPTO + 1; k++) {
        size_t n = (size_t)snprintf(text, sizeof text, HEAD C T AU);
        for (int i = 0; i < k; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "a=crypto:%d S inline:QUJD\r\n", i);
        }
        assert_int_equal(sdp_parse(view_from(text, n), &s, &why),
                         k == SDP_MAX_CRYPTO ? E_OK : E_RANGE);
    }
    assert_string_equal(why, "Too many a=crypto lines");
    size_t left = SDP_MAX_BYTES - strlen(HEAD T "a=");
    assert_int_equal(repeated(HEAD T "a=", "x", (unsigned)left, &why), E_OK);
    assert_int_equal(repeated(HEAD T "a=", "x", (unsigned)left + 1, &why), E_RANGE);
    assert_string_equal(why, "SDP too large");
}

static bool inside(struct view v, const char *p, size_t n)
{
    return v.n == 0 || (v.p >= p && v.p + v.n <= p + n);
}

static void read_one(const char *text, size_t n)
{
    char *copy = test_malloc(n > 0 ? n : 1);
    struct sdp s;
    const char *why = NULL;
    memcpy(copy, text, n);
    enum err e = sdp_parse(view_from(copy, n), &s, &why);
    assert_true(e == E_OK || why != NULL);
    for (unsigned i = 0; e == E_OK && i < s.n_media; i++) {
        const struct sdp_media *m = &s.media[i];
        assert_true(inside(m->kind, copy, n) && inside(m->proto, copy, n));
        assert_true(inside(m->setup, copy, n) && inside(m->connection, copy, n));
        for (unsigned k = 0; k < m->n_formats; k++) {
            assert_true(inside(m->format[k], copy, n));
        }
        for (unsigned k = 0; k < m->n_crypto; k++) {
            assert_true(inside(m->crypto[k].suite, copy, n));
            assert_true(inside(m->crypto[k].key_base64, copy, n));
        }
    }
    test_free(copy);
}

static void every_octet_changed_every_length(void **state)
{
    (void)state;
    static const char with[] = "\r\n =:/|;amcvt09\x7f\x80"; /* and its NUL */
    char text[sizeof offer];
    for (size_t i = 0; i + 1 < sizeof offer; i++) {
        read_one(offer, i);
        for (size_t k = 0; k < sizeof with; k++) {
            memcpy(text, offer, sizeof offer);
            text[i] = with[k];
            read_one(text, sizeof offer - 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_an_offer_apart),
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(crypto_lines_that_nobody_may_choose),
        cmocka_unit_test(events_need_their_format),
        cmocka_unit_test(limits),
        cmocka_unit_test(every_octet_changed_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
