/* What an agency reads: each message in words, each call under one number, no octet that a terminal
 * obeys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "agency/calls.h"
#include "agency/words.h"
#include "base/mem.h"

#define ALICE                                                                                      \
    {                                                                                              \
        .dn = VIEW("12125550101"), .ip_address = VIEW("192.0.2.1"), .port = VIEW("5060")           \
    }
#define BOB                                                                                        \
    {                                                                                              \
        .dn = VIEW("12125550102")                                                                  \
    }
#define TRUNK                                                                                      \
    {                                                                                              \
        .dn = VIEW("13125550188"), .trunk_id = VIEW("3")                                           \
    }
#define SDP(proto, more)                                                                           \
    VIEW("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"               \
         "m=audio 4000 " proto " 0\r\n" more)
#define CRYPTO                                                                                     \
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"

static void messages(void **state)
{
    (void)state;
    const struct {
        struct cdc_message m;
        const char *words;
    } rows[] = {
        {{.kind = CDC_ORIGINATION, .calling = ALICE, .user_input = VIEW("*72")},
         "the subject 12125550101 at 192.0.2.1:5060 dials *72"},
        {{.kind = CDC_ORIGINATION, .translation_input = VIEW("911")},
         "the subject somebody dials 911"},
        {{.kind = CDC_TERMINATION_ATTEMPT, .calling = TRUNK, .called = BOB},
         "13125550188 over trunk 3 calls the subject 12125550102"},
        {{.kind = CDC_TERMINATION_ATTEMPT,
          .calling = ALICE,
          .redirected = {.last = BOB, .original = TRUNK, .times = 2}},
         "12125550101 at 192.0.2.1:5060 calls the subject; sent on 2 times, last by 12125550102, "
         "at "
         "first to 13125550188 over trunk 3"},
        {{.kind = CDC_ANSWER, .answering = BOB}, "12125550102 answers"},
        {{.kind = CDC_RELEASE}, "the call is over"},
        {{.kind = CDC_REDIRECTION,
          .redirected_to = BOB,
          .redirected_from = TRUNK,
          .related.sequence = VIEW("1,2")},
         "the call is sent on from 13125550188 over trunk 3 to 12125550102, where it is call 1,2"},
        {{.kind = CDC_CCOPEN,
          .content.both = VIEW("0000BEEF"),
          .subject = SDP("RTP/SAVP", CRYPTO),
          .associate = SDP("RTP/AVP", "")},
         "the voice begins, content 0000BEEF; the subject hears at 192.0.2.9:4000, speaks "
         "encrypted "
         "(AES_CM_128_HMAC_SHA1_80), key given; the other hears at 192.0.2.9:4000, speaks "
         "unencrypted"},
        {{.kind = CDC_CCCHANGE, .content.both = VIEW("0000BEEF")},
         "the voice goes another way, content 0000BEEF"},
        {{.kind = CDC_CCCLOSE, .content.both = VIEW("0000BEEF")},
         "the voice ends, content 0000BEEF"},
        {{.kind = CDC_MEDIA_REPORT,
          .subject = SDP("RTP/SAVP", ""),
          .associate = VIEW("v=0\r\nrubbish")},
         "the phones agree on voice; the subject hears at 192.0.2.9:4000, speaks encrypted, key "
         "not "
         "given; the other: a session description without voice that can be read"},
        {{.kind = CDC_NETWORK_SIGNAL, .alerting = CDC_RINGING}, "the subject's phone rings"},
        {{.kind = CDC_NETWORK_SIGNAL, .alerting = CDC_CALL_WAITING, .audible = CDC_BUSY},
         "the subject hears that a call waits; the subject hears the busy tone"},
        {{.kind = CDC_NETWORK_SIGNAL, .audible = 21}, "the subject hears a tone"},
        {{.kind = CDC_NETWORK_SIGNAL, .display.text[3] = VIEW("Bob")}, "the display shows Bob"},
        {{.kind = CDC_NETWORK_SIGNAL, .other = VIEW("486")}, "the network signals 486"},
        {{.kind = CDC_SUBJECT_SIGNAL, .signal = {.dialed = VIEW("*72"), .other = VIEW("REFER")}},
         "the subject signals: dials *72: REFER"},
        {{.kind = CDC_DIALED_DIGITS, .digits = VIEW("1234#")}, "the subject keys in 1234#"},
        {{.kind = CDC_SERVICE_INSTANCE,
          .service = VIEW("call in progress"),
          .related.sequence = VIEW("1,2")},
         "a service: call in progress, with call 1,2"},
        {{.kind = CDC_CONFERENCE_CHANGE,
          .communicating = {.n = 1, .set[0] = {.n = 2, .party = {BOB, TRUNK}}},
          .removed = {.n = 1, .set[0] = {.n = 1, .party = {ALICE}}}},
         "a conference; talking: 12125550102, 13125550188 over trunk 3; gone: 12125550101 at "
         "192.0.2.1:5060"},
        {{.kind = CDC_DIALED_DIGITS, .digits = VIEW("\x1b[2J\xff\n7")},
         "the subject keys in ?[2J??7"},
        {{.kind = (enum cdc_kind)99}, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char words[WORDS_MAX];
        words_of_call_data(&rows[i].m, words);
        assert_string_equal(words, rows[i].words);
    }
}

static void signaling(void **state)
{
    (void)state;
    const struct {
        uint16_t direction;
        struct view payload;
        const char *words;
    } rows[] = {
        {X2_FROM_TARGET, VIEW("BYE sip:a SIP/2.0\r\nVia: x"),
         "from the subject: BYE sip:a SIP/2.0"},
        {X2_TO_TARGET, VIEW("SIP/2.0 200 OK\n"), "to the subject:   SIP/2.0 200 OK"},
        {X2_MULTIPLE, VIEW("\x1b]0;x\a"), "signaling:        ?]0;x?"},
        {999, VIEW(""), "signaling:        "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct x2_pdu p = {.direction = rows[i].direction, .payload = rows[i].payload};
        char words[WORDS_MAX];
        words_of_signaling(&p, words);
        assert_string_equal(words, rows[i].words);
    }
}

/* However long what came is, the line is not. */
static void long_texts(void **state)
{
    (void)state;
    static char text[4000];
    char words[WORDS_MAX], at[WORDS_TIME];
    struct cdc_message m = {.kind = CDC_SUBJECT_SIGNAL};

    memset(text, 'x', sizeof text);
    m.signal = (struct cdc_signal){view_from(text, sizeof text), view_from(text, sizeof text),
                                   view_from(text, sizeof text), view_from(text, sizeof text)};
    words_of_call_data(&m, words);
    assert_int_equal(strlen(words), WORDS_MAX - 1);
    words_of_time(UINT64_C(1700000000123456), at);
    assert_string_equal(at, "2023-11-14T22:13:20.123Z");
    words_of_time(UINT64_MAX, at);
    assert_true(strlen(at) < WORDS_TIME);
}

/* ---- numbers of calls --------------------------------------------------------------------------
 */
static void one_number_for_both_channels_and_all_cases(void **state)
{
    (void)state;
    const struct {
        struct cdc_message m;
        uint64_t correlation; /* not 0: X2 */
        unsigned number;
        bool is_new;
    } rows[] = {
        {{.kind = CDC_ORIGINATION, .case_id = VIEW("A"), .call.sequence = VIEW("100,7")},
         0,
         1,
         true},
        {{0}, UINT64_C(7) << 32 | 99, 1, false},
        {{0}, UINT64_C(8) << 32 | 1, 2, true}, /* X2 was faster */
        {{.kind = CDC_ORIGINATION, .case_id = VIEW("A"), .call.sequence = VIEW("101,8")},
         0,
         2,
         false},
        {{.kind = CDC_TERMINATION_ATTEMPT, .case_id = VIEW("B"), .call.sequence = VIEW("100,7")},
         0,
         1,
         false},
        {{.kind = CDC_CCOPEN,
          .n_open = 1,
          .open[0].sequence = VIEW("100,7"),
          .content.both = VIEW("AB")},
         0,
         1,
         false},
        {{.kind = CDC_CCCLOSE, .content.both = VIEW("AB")}, 0, 1, false},
        {{.kind = CDC_CCCLOSE, .content.both = VIEW("CD")}, 0, 0, false},
        {{.kind = CDC_SUBJECT_SIGNAL}, 0, 0, false},
        {{0}, 5, 0, false},
        {{.kind = CDC_RELEASE, .call.sequence = VIEW("100,7")}, 0, 1, false},
        {{.kind = CDC_RELEASE, .call.sequence = VIEW("of another maker")}, 0, 3, true},
        {{.kind = CDC_RELEASE, .call.sequence = VIEW("99999999999999999999999999999")}, 0, 4, true},
        {{.kind = CDC_RELEASE, .call.sequence = VIEW("99999999999999999999999999999")},
         0,
         4,
         false},
    };
    struct calls *c = NULL;

    assert_int_equal(calls_new(&c), E_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct x2_pdu p = {.correlation = rows[i].correlation};
        bool is_new = true;
        unsigned number = rows[i].correlation != 0 ? calls_of_signaling(c, &p, &is_new)
                                                   : calls_of_call_data(c, &rows[i].m, &is_new);
        assert_int_equal(number, rows[i].number);
        assert_int_equal(is_new, rows[i].is_new);
    }
    assert_true(calls_at(c, 1)->ended && !calls_at(c, 2)->ended);
    assert_string_equal(calls_at(c, 2)->sequence, "101,8");
    assert_null(calls_at(c, 0));
    assert_null(calls_at(c, 5));
    calls_free(c);
    mem_fail_at(0);
    assert_int_equal(calls_new(&c), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(signaling),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(one_number_for_both_channels_and_all_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
