/* SDP of calls: what is offered, what is taken, and that media keys stay where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "bti/candidate.h"
#include "bti/media_sdp.h"

static struct net_addr at(const char *text)
{
    struct net_addr a;
    assert_int_equal(net_parse(view_of(text), 0, &a), E_OK);
    return a;
}

static void offer(struct media_offer *o, bool secure, char *text, size_t max)
{
    size_t n = 0;
    *o = (struct media_offer){
        .rtp = at("127.0.0.9:4000"), .id = 7, .version = 1, .event_type = 101, .secure = secure};
    if (secure) {
        assert_int_equal(media_offer_keys(o), E_OK);
    }
    assert_int_equal(media_offer_write(o, text, max - 1, &n), E_OK);
    text[n] = 0;
}

static void base64_table(void **state)
{
    static const struct {
        const char *plain, *text;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        uint8_t b[32] = {0};
        size_t n = strlen(rows[i].plain);
        assert_int_equal(base64_put((const uint8_t *)rows[i].plain, n, text), strlen(rows[i].text));
        assert_string_equal(text, rows[i].text);
        assert_int_equal(base64_get(view_of(text), b, n), E_OK);
        assert_memory_equal(b, rows[i].plain, n);
        assert_int_equal(base64_get(view_of(text), b, n + 1), E_PARSE);
        if (n > 0) {
            assert_int_equal(base64_get(view_of(text), b, n - 1), E_PARSE);
        }
    }
    uint8_t b[8];
    assert_int_equal(base64_get(VIEW("Zm9v\n"), b, 3), E_PARSE);
    assert_int_equal(base64_get(VIEW("Zm.v"), b, 3), E_PARSE);
    assert_int_equal(base64_get(VIEW("Zg"), b, 1), E_OK); /* padding left out */
}

/* Caller and callee agree, and each sends under the key that it made itself. */
static void agree(const char *drop, enum srtp_suite want)
{
    struct media_offer caller, callee = {.rtp = at("127.0.0.8:5000"), .id = 1, .version = 1};
    struct media_choice a, b;
    char text[MEDIA_SDP_MAX], answer[MEDIA_SDP_MAX];
    size_t n = 0;
    offer(&caller, true, text, sizeof text);
    if (drop) {
        char *line = strstr(text, drop), *next = strstr(line, "\r\n") + 2;
        memmove(line, next, strlen(next) + 1);
    }
    assert_int_equal(
        media_offer_answer(&callee, view_of(text), true, &b, answer, sizeof answer, &n), E_OK);
    assert_int_equal(media_answer_read(&caller, view_from(answer, n), &a), E_OK);
    assert_true(a.secure && b.secure && a.may_send && b.may_send);
    assert_int_equal(a.suite, want);
    assert_int_equal(b.suite, want);
    assert_true(secret_eq(&a.send, &b.receive));
    assert_true(secret_eq(&b.send, &a.receive));
    assert_false(secret_eq(&a.send, &a.receive));
    assert_int_equal(a.send.n, srtp_key_bytes(want));
    assert_int_equal(a.remote.port, 5000);
    assert_int_equal(b.remote.port, 4000);
    assert_int_equal(a.event_type, 101);
    media_choice_wipe(&a);
    media_choice_wipe(&b);
}

static void secure_agreement(void **state)
{
    (void)state;
    agree(NULL, SRTP_AEAD_AES_256_GCM);
    agree("a=crypto:1", SRTP_AES_CM_128_HMAC_SHA1_80);
    agree("a=crypto:2", SRTP_AEAD_AES_256_GCM);
}

static void no_keys_without_tls(void **state)
{
    struct media_offer caller, callee = {.rtp = at("127.0.0.8:5000")};
    struct media_choice c;
    char text[MEDIA_SDP_MAX], answer[MEDIA_SDP_MAX];
    size_t n = 0;
    (void)state;
    offer(&caller, false, text, sizeof text);
    assert_null(strstr(text, "crypto"));
    assert_non_null(strstr(text, "RTP/AVP 0 101"));
    /* An offer with keys came over UDP: we do not answer with ours. */
    offer(&caller, true, text, sizeof text);
    assert_int_equal(
        media_offer_answer(&callee, view_of(text), false, &c, answer, sizeof answer, &n),
        E_NOTFOUND);
    /* Keys in a plain offer are as if they were not there. */
    char *savp = strstr(text, "RTP/SAVP");
    memmove(savp + 4, savp + 5, strlen(savp + 5) + 1);
    assert_int_equal(
        media_offer_answer(&callee, view_of(text), false, &c, answer, sizeof answer - 1, &n), E_OK);
    answer[n] = 0;
    assert_false(c.secure);
    assert_null(strstr(answer, "crypto"));
    assert_non_null(strstr(answer, "RTP/AVP"));
}

/* A gate controller or a peer that answers less than was offered. */
static void downgrades_are_refused(void **state)
{
    static const struct {
        const char *answer;
        enum err want;
    } rows[] = {
        {"m=audio 5000 RTP/AVP 0\r\n", E_DENIED},
        {"m=audio 5000 RTP/SAVP 0\r\n", E_DENIED},
        {"m=audio 5000 RTP/SAVP 0\r\na=crypto:3 AEAD_AES_256_GCM inline:AAAA\r\n", E_DENIED},
        {"m=audio 5000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
         "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
         E_DENIED},
        {"m=audio 5000 RTP/SAVP 0\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 "
         "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
         E_OK},
        {"m=audio 5000 RTP/SAVP 0\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 "
         "inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
         E_PARSE},
        {"m=audio 0 RTP/SAVP 0\r\n", E_NOTFOUND},
        {"m=audio 5000 RTP/SAVP 8\r\n", E_NOTFOUND},
        {"m=video 5000 RTP/SAVP 0\r\n", E_NOTFOUND},
        {"", E_NOTFOUND},
        {"m=audio 5000 RTP/SAVP 0\r\nm=audio 5002 RTP/SAVP 0\r\n", E_NOTFOUND},
        {"m=audio x RTP/SAVP 0\r\n", E_PARSE},
    };
    struct media_offer o;
    char text[MEDIA_SDP_MAX];
    (void)state;
    offer(&o, true, text, sizeof text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct media_choice c = {.tag = 99};
        char sdp[1024];
        snprintf(sdp, sizeof sdp,
                 "v=0\r\no=- 1 1 IN IP4 127.0.0.8\r\ns=-\r\nc=IN IP4 127.0.0.8\r\nt=0 0\r\n%s",
                 rows[i].answer);
        enum err e = media_answer_read(&o, view_of(sdp), &c);
        if (e != rows[i].want) {
            fail_msg("row %zu: %s", i, err_name(e));
        }
        if (e != E_OK) {
            assert_int_equal(c.tag, 99); /* nothing written */
        }
    }
    offer(&o, false, text, sizeof text);
    struct media_choice c;
    assert_int_equal(
        media_answer_read(&o,
                          VIEW("v=0\r\no=- 1 1 IN IP4 127.0.0.8\r\ns=-\r\nc=IN IP4 127.0.0.8\r\n"
                               "t=0 0\r\nm=audio 5000 RTP/SAVP 0\r\n"),
                          &c),
        E_DENIED);
}

static void lines_that_we_do_not_take(void **state)
{
    static const char sdp[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.8\r\ns=-\r\nc=IN IP4 127.0.0.8\r\n"
                              "t=0 0\r\nm=video 6000 RTP/AVP 99\r\nm=audio 5000 RTP/AVP 8 0 96\r\n"
                              "a=rtpmap:96 telephone-event/8000\r\na=sendonly\r\n"
                              "m=audio 7000 RTP/AVP 0\r\n";
    struct media_offer o = {.rtp = at("127.0.0.9:4000")};
    struct media_choice c;
    char answer[MEDIA_SDP_MAX];
    size_t n = 0;
    struct sdp *s = mem_zalloc(sizeof *s);
    const char *why = "";
    (void)state;
    assert_int_equal(media_offer_answer(&o, view_of(sdp), true, &c, answer, sizeof answer, &n),
                     E_OK);
    assert_int_equal(sdp_parse(view_from(answer, n), s, &why), E_OK);
    assert_int_equal(s->n_media, 3); /* RFC 3264: as many lines, in their order */
    assert_int_equal(s->media[0].port, 0);
    assert_true(view_eq(s->media[0].kind, VIEW("video")));
    assert_int_equal(s->media[1].port, 4000);
    assert_int_equal(s->media[1].event_format, 96);
    assert_int_equal(s->media[1].direction, SDP_RECVONLY);
    assert_int_equal(s->media[2].port, 0);
    assert_false(c.may_send);
    assert_int_equal(media_offer_answer(&o, view_of(sdp), true, &c, answer, 100, &n), E_RANGE);
    mem_free(s);
}

static void holding(void **state)
{
    struct net_addr a;
    bool may_send = false;
    char text[MEDIA_SDP_MAX];
    struct media_offer o;
    (void)state;
    offer(&o, false, text, sizeof text);
    assert_int_equal(media_modified(view_of(text), &a, &may_send), E_OK);
    assert_true(may_send);
    assert_int_equal(a.port, 4000);
    memcpy(strstr(text, "a=sendrecv"), "a=sendonly", 10);
    assert_int_equal(media_modified(view_of(text), &a, &may_send), E_OK);
    assert_false(may_send);
    assert_int_equal(media_modified(VIEW("nonsense"), &a, &may_send), E_PARSE);
}

/* As docs/protocol.md wants the SETUP. */
static void setup_offer(void **state)
{
    char text[1024];
    size_t n = 0;
    struct sdp *s = mem_zalloc(sizeof *s);
    const char *why = "";
    (void)state;
    assert_int_equal(candidate_offer(at("127.0.0.9:4000"), 5, text, sizeof text, &n), E_OK);
    assert_int_equal(sdp_parse(view_from(text, n), s, &why), E_OK);
    assert_int_equal(s->n_media, 2);
    assert_true(view_eq(s->media[0].proto, VIEW("RTP/SAVP")));
    assert_int_equal(s->media[0].event_format, 101);
    assert_int_equal(s->media[0].n_crypto, 0);
    assert_true(view_eq(s->media[1].kind, VIEW("application")));
    assert_true(view_eq(s->media[1].proto, VIEW("TCP")));
    assert_int_equal(s->media[1].port, 9);
    assert_true(view_eq(s->media[1].setup, VIEW("active")));
    assert_true(view_eq(s->media[1].connection, VIEW("new")));
    assert_int_equal(candidate_offer(at("127.0.0.9:4000"), 5, text, 60, &n), E_RANGE);
    mem_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_table),
        cmocka_unit_test(secure_agreement),
        cmocka_unit_test(no_keys_without_tls),
        cmocka_unit_test(downgrades_are_refused),
        cmocka_unit_test(lines_that_we_do_not_take),
        cmocka_unit_test(holding),
        cmocka_unit_test(setup_offer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
