/* Two phones' voices against each other on loopback, in fake time: tone, digits, recording, SRTP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "bti/leg.h"

static struct {
    char dir[64], wav[96], wav2[96];
    struct clock_fake clock;
    struct loop *loop;
    char *said;
    size_t said_n;
    struct say say;
} t;

static int begin(void **state)
{
    (void)state;
    strcpy(t.dir, "/tmp/btilegXXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.wav, sizeof t.wav, "%s/heard.wav", t.dir);
    snprintf(t.wav2, sizeof t.wav2, "%s/heard-2.wav", t.dir);
    clock_fake_init(&t.clock, 1700000000000000ull);
    assert_int_equal(loop_new(&t.clock.clock, &t.loop), E_OK);
    t.say = (struct say){.machine = true, .to = open_memstream(&t.said, &t.said_n)};
    return 0;
}

static int finish(void **state)
{
    (void)state;
    assert_int_equal(loop_timers(t.loop), 0);
    loop_free(t.loop);
    fclose(t.say.to);
    free(t.said);
    unlink(t.wav);
    unlink(t.wav2);
    return rmdir(t.dir);
}

static struct leg *leg(const struct options *o, unsigned nth)
{
    struct net_addr local;
    struct leg *g = NULL;
    assert_int_equal(net_parse_ip(VIEW("127.0.0.1"), &local), E_OK);
    assert_int_equal(leg_new(t.loop, o, &t.say, &local, nth, &g), E_OK);
    return g;
}

static void pass(unsigned ms)
{
    for (unsigned i = 0; i < ms / 20; i++) {
        loop_advance(t.loop, &t.clock, 20);
        for (int k = 0; k < 3; k++) {
            loop_run_once(t.loop, false);
        }
    }
}

static bool said(const char *text)
{
    fflush(t.say.to);
    return strstr(t.said, text) != NULL;
}

static void connect_legs(struct leg *a, struct leg *b, bool secure)
{
    assert_int_equal(leg_offer(a, secure), E_OK);
    assert_int_equal(leg_take_offer(b, leg_sdp(a), secure), E_OK);
    assert_int_equal(leg_start(b), E_OK);
    assert_int_equal(leg_take_answer(a, leg_sdp(b)), E_OK);
    assert_true(a->secure == secure && b->secure == secure);
}

static void talk(bool secure)
{
    struct options caller = {.audio = AUDIO_TONE, .send_digits = "12#"};
    struct options callee = {.audio = AUDIO_SILENCE, .record = t.wav};
    struct leg *a = leg(&caller, 1), *b = leg(&callee, 2);
    struct wav w = {.n = 0};
    connect_legs(a, b, secure);
    pass(3000);
    assert_true(audio_tone_heard(&b->audio));
    assert_false(audio_tone_heard(&a->audio));
    assert_true(media_stats(b->media)->received > 120);
    assert_true(
        said("{\"event\":\"digit\",\"digit\":\"1\"}\n{\"event\":\"digit\",\"digit\":\"2\"}\n"
             "{\"event\":\"digit\",\"digit\":\"#\"}\n"));
    leg_free(a);
    leg_free(b);
    assert_true(said("\"tone\":true}"));
    assert_true(said(secure ? "\"secured\":true" : "\"secured\":false"));
    assert_int_equal(access(t.wav, F_OK), -1);
    assert_int_equal(wav_load(t.wav2, &w), E_OK); /* the second call's own file */
    assert_true(w.n > 8000);
    wav_free(&w);
}

static void secured(void **state)
{
    (void)state;
    talk(true);
}

static void plain(void **state)
{
    (void)state;
    talk(false);
}

static void digits_as_tones(void **state)
{
    struct options caller = {.send_digits = "1*9", .digits_inband = true};
    struct options callee = {.audio = AUDIO_SILENCE};
    (void)state;
    struct leg *a = leg(&caller, 1), *b = leg(&callee, 1);
    connect_legs(a, b, true);
    pass(2500);
    assert_true(said("\"digit\":\"1\"}\n{\"event\":\"digit\",\"digit\":\"*\"}\n"
                     "{\"event\":\"digit\",\"digit\":\"9\"}"));
    leg_free(a);
    leg_free(b);
}

/* Somebody changed the key in the answer: nothing is heard, all of it is counted. */
static void a_wrong_key_is_silence(void **state)
{
    struct options o = {.audio = AUDIO_TONE};
    char answer[MEDIA_SDP_MAX];
    (void)state;
    struct leg *a = leg(&o, 1), *b = leg(&o, 1);
    assert_int_equal(leg_offer(a, true), E_OK);
    assert_int_equal(leg_take_offer(b, leg_sdp(a), true), E_OK);
    assert_int_equal(leg_start(b), E_OK);
    assert_int_equal(view_to_cstr(leg_sdp(b), answer, sizeof answer), E_OK);
    char *key = strstr(answer, "inline:") + 7;
    *key = *key == 'A' ? 'B' : 'A';
    assert_int_equal(leg_take_answer(a, view_of(answer)), E_OK);
    pass(500);
    assert_int_equal(media_stats(a->media)->received, 0);
    assert_true(media_stats(a->media)->bad_auth > 10);
    assert_false(audio_tone_heard(&a->audio));
    leg_free(a);
    leg_free(b);
}

static void hold_and_resume(void **state)
{
    struct options o = {.audio = AUDIO_TONE};
    char sdp[MEDIA_SDP_MAX];
    (void)state;
    struct leg *a = leg(&o, 1), *b = leg(&o, 1);
    connect_legs(a, b, false);
    pass(200);
    uint64_t sent = media_stats(a->media)->sent;
    assert_true(sent >= 9);
    assert_int_equal(view_to_cstr(leg_sdp(b), sdp, sizeof sdp), E_OK);
    memcpy(strstr(sdp, "a=sendrecv"), "a=inactive", 10);
    leg_modify(a, view_of(sdp));
    pass(200);
    assert_int_equal(media_stats(a->media)->sent, sent);
    leg_modify(a, leg_sdp(b));
    pass(200);
    assert_true(media_stats(a->media)->sent > sent);
    leg_modify(a, VIEW("nonsense"));
    leg_free(a);
    leg_free(b);
}

static void files_that_are_not_there(void **state)
{
    struct options o = {.audio = AUDIO_FILE, .audio_file = "/nowhere/x.wav"};
    struct net_addr local;
    struct leg *g = NULL;
    (void)state;
    assert_int_equal(net_parse_ip(VIEW("127.0.0.1"), &local), E_OK);
    assert_int_equal(leg_new(t.loop, &o, &t.say, &local, 1, &g), E_NOTFOUND);
    o = (struct options){.audio = AUDIO_SILENCE, .record = "/nowhere/x.wav"};
    assert_int_not_equal(leg_new(t.loop, &o, &t.say, &local, 1, &g), E_OK);
    assert_null(g);
    leg_free(NULL);
}

static void a_file_is_played_once(void **state)
{
    int16_t pcm[400], heard[RTP_FRAME];
    struct wav_out w;
    struct audio a;
    const char *bad = NULL;
    (void)state;
    for (size_t i = 0; i < 400; i++) {
        pcm[i] = (int16_t)(i + 1);
    }
    assert_int_equal(wav_begin(t.wav, &w), E_OK);
    assert_int_equal(wav_add(&w, pcm, 400), E_OK);
    assert_int_equal(wav_end(&w), E_OK);
    assert_int_equal(audio_open(&a, AUDIO_FILE, t.wav, NULL, &bad), E_OK);
    assert_true(audio_play(&a, heard));
    assert_int_equal(heard[159], 160);
    assert_true(audio_play(&a, heard));
    assert_true(audio_play(&a, heard));
    assert_int_equal(heard[79], 400);
    assert_int_equal(heard[80], 0);
    assert_false(audio_play(&a, heard));
    assert_int_equal(audio_close(&a), E_OK);
    assert_int_equal(audio_close(&a), E_OK);
}

static void noise_is_no_tone(void **state)
{
    struct audio a;
    const char *bad = NULL;
    uint32_t x = 7;
    int16_t pcm[RTP_FRAME];
    struct tone tone = {0};
    (void)state;
    assert_int_equal(audio_open(&a, AUDIO_SILENCE, NULL, NULL, &bad), E_OK);
    for (int i = 0; i < 50; i++) {
        for (size_t k = 0; k < RTP_FRAME; k++) {
            x = x * 1664525u + 1013904223u;
            pcm[k] = (int16_t)(x >> 18);
        }
        audio_hear(&a, pcm, RTP_FRAME);
    }
    assert_false(audio_tone_heard(&a));
    for (int i = 0; i < 9; i++) {
        tone_fill(&tone, 1000, 8000, pcm, RTP_FRAME);
        audio_hear(&a, pcm, RTP_FRAME);
    }
    assert_false(audio_tone_heard(&a));
    for (int i = 0; i < 60; i++) {
        tone_fill(&tone, 1000, 8000, pcm, RTP_FRAME);
        audio_hear(&a, pcm, RTP_FRAME);
    }
    assert_true(audio_tone_heard(&a));
    assert_int_equal(audio_close(&a), E_OK);
}

static void typing(void **state)
{
    struct options o = {.audio = AUDIO_SILENCE};
    struct typist y = {.loop = NULL};
    (void)state;
    typist_stop(&y); /* idle */
    struct leg *a = leg(&o, 1), *b = leg(&o, 1);
    connect_legs(a, b, true);
    static const char many[TYPIST_MAX + 1] = "1";
    assert_int_equal(
        typist_start(&y, t.loop, a->media, false, view_from(many, sizeof many), 0, NULL, NULL),
        E_RANGE);
    assert_int_equal(typist_start(&y, t.loop, a->media, false, VIEW("4711"), 0, NULL, NULL), E_OK);
    pass(100);
    assert_int_equal(typist_start(&y, t.loop, a->media, false, VIEW("1"), 0, NULL, NULL), E_STATE);
    typist_stop(&y);
    for (size_t i = 0; i < sizeof y.digits; i++) {
        assert_int_equal(y.digits[i], 0); /* they are somebody's secret */
    }
    assert_int_equal(typist_start(&y, t.loop, a->media, false, VIEW("1"), 0, NULL, NULL), E_OK);
    typist_stop(&y);
    leg_free(a);
    leg_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(secured, begin, finish),
        cmocka_unit_test_setup_teardown(plain, begin, finish),
        cmocka_unit_test_setup_teardown(digits_as_tones, begin, finish),
        cmocka_unit_test_setup_teardown(a_wrong_key_is_silence, begin, finish),
        cmocka_unit_test_setup_teardown(hold_and_resume, begin, finish),
        cmocka_unit_test_setup_teardown(files_that_are_not_there, begin, finish),
        cmocka_unit_test_setup_teardown(a_file_is_played_once, begin, finish),
        cmocka_unit_test_setup_teardown(noise_is_no_tone, begin, finish),
        cmocka_unit_test_setup_teardown(typing, begin, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
