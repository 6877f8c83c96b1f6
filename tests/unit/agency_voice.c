/* The voice of calls: whose key opens what, where a frame lies, what is said of the rest. */
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

#include "agency/calls.h"
#include "agency/voice.h"
#include "base/base64.h"
#include "base/mem.h"
#include "media/g711.h"
#include "media/rtp.h"
#include "media/srtp.h"
#include "media/wav.h"

#define T0            UINT64_C(1700000000000000)
#define CASE          "CASE/../1"
#define FILE_OF(side) "call-1-CASE____1-" side ".wav"

enum { SDP_ROOM = 512, REPORTS = 8 };

static struct {
    char folder[64];
    struct voice *v;
    struct voice_report report[REPORTS];
    size_t n;
} t;

static struct secret key_of(uint8_t fill, enum srtp_suite suite)
{
    struct secret k = {.n = srtp_key_bytes(suite)};

    memset(k.b, fill, k.n);
    return k;
}

/* A description that hears at this port; fill 0: unencrypted; the second key line is another's. */
static struct view sdp(char out[SDP_ROOM], uint16_t port, uint8_t fill, enum srtp_suite suite)
{
    size_t n = (size_t)snprintf(out, SDP_ROOM,
                                "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n"
                                "t=0 0\r\nm=audio %u RTP/%s 0 101\r\n"
                                "a=rtpmap:101 telephone-event/8000\r\n",
                                port, fill != 0 ? "SAVP" : "AVP");

    if (fill != 0) {
        struct secret k = key_of(fill, suite);
        char text[80];
        base64_put(k.b, k.n, text);
        n += (size_t)snprintf(out + n, SDP_ROOM - n,
                              "a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA\r\n"
                              "a=crypto:2 %s inline:%s|2^31\r\n",
                              srtp_suite_name(suite), text);
    }
    return view_from(out, n);
}

static void tell(enum cdc_kind kind, uint64_t at_us, struct view subject, struct view other)
{
    struct cdc_message m = {.version = 4,
                            .kind = kind,
                            .case_id = VIEW(CASE),
                            .at_us = at_us,
                            .call.sequence = VIEW("3909997400,42"),
                            .subject = subject,
                            .associate = other};

    assert_int_equal(voice_tell(t.v, 1, &m), E_OK);
}

static struct net_addr at(uint16_t port)
{
    return (struct net_addr){.family = 4, .port = port, .ip = {192, 0, 2, 1}};
}

struct stream {
    struct srtp_way *way; /* NULL: unencrypted */
    uint16_t from, to, seq;
    uint32_t ssrc;
};

static void hear(struct stream *s, uint64_t at_us, uint8_t type, uint32_t timestamp,
                 struct view payload)
{
    struct rtp_header h = {.type = type, .seq = s->seq++, .timestamp = timestamp, .ssrc = s->ssrc};
    struct capture_datagram d = {.at_us = at_us, .from = at(s->from), .to = at(s->to)};
    uint8_t packet[512] __attribute__((aligned(8)));
    size_t n = RTP_HEAD_BYTES + payload.n;

    rtp_build(&h, packet);
    memcpy(packet + RTP_HEAD_BYTES, payload.p, payload.n);
    if (s->way != NULL) {
        assert_int_equal(srtp_seal(s->way, packet, &n, sizeof packet), E_OK);
    }
    d.payload = view_from(packet, n);
    assert_int_equal(voice_hear(t.v, &d), E_OK);
}

/* A frame of 20 ms that all is this level. */
static void frame(struct stream *s, uint64_t ms, uint32_t timestamp, int16_t level)
{
    char payload[RTP_FRAME];

    memset(payload, ulaw_from_linear(level), sizeof payload);
    hear(s, T0 + ms * 1000, RTP_PCMU, timestamp, view_from(payload, sizeof payload));
}

static void said(void *arg, const struct voice_report *r)
{
    (void)arg;
    assert_true(t.n < REPORTS);
    t.report[t.n++] = *r;
}

static void write_all(void)
{
    assert_int_equal(voice_write(t.v, t.folder, said, NULL), E_OK);
}

static int16_t heard_at(const char *name, size_t ms, size_t *out_n)
{
    char path[160];
    struct wav w;
    int16_t sample = 0;

    snprintf(path, sizeof path, "%s/%s", t.folder, name);
    assert_int_equal(wav_load(path, &w), E_OK);
    assert_true(ms * 8 < w.n);
    sample = w.pcm[ms * 8];
    if (out_n != NULL) {
        *out_n = w.n;
    }
    wav_free(&w);
    return sample;
}

static int16_t level(int16_t pcm)
{
    return ulaw_to_linear(ulaw_from_linear(pcm));
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    snprintf(t.folder, sizeof t.folder, "/tmp/agency_voice.XXXXXX");
    return mkdtemp(t.folder) == NULL || voice_new(&t.v) != E_OK;
}

static int teardown(void **state)
{
    (void)state;
    voice_free(t.v);
    for (size_t i = 0; i < t.n; i++) {
        char path[256];
        for (unsigned part = 1; part <= t.report[i].files; part++) {
            snprintf(path, sizeof path, "%s/%s", t.folder, t.report[i].file);
            if (part > 1) {
                snprintf(path + strlen(path) - 4, 16, "-%u.wav", part);
            }
            unlink(path);
        }
    }
    return rmdir(t.folder) != 0 || mem_live() != 0; /* and nothing else lies there */
}

/* ---- tests -------------------------------------------------------------------------------------
 */
static void each_side_by_its_own_key(enum srtp_suite suite)
{
    char a[SDP_ROOM], b[SDP_ROOM];
    struct stream subject = {.from = 4000, .to = 5000, .ssrc = 7},
                  other = {.from = 6000, .to = 4000, .ssrc = 7}, stranger = {.from = 1, .to = 5000};
    struct secret one = key_of(1, suite), two = key_of(2, suite), three = key_of(3, suite);

    assert_int_equal(srtp_way_new(suite, SRTP_SEND, &one, &subject.way), E_OK);
    assert_int_equal(srtp_way_new(suite, SRTP_SEND, &two, &other.way), E_OK);
    assert_int_equal(srtp_way_new(suite, SRTP_SEND, &three, &stranger.way), E_OK);
    tell(CDC_CCOPEN, T0, sdp(a, 4000, 1, suite), sdp(b, 5000, 2, suite));
    frame(&subject, 0, 1000, 8000);
    frame(&other, 20, 77, -8000);
    frame(&subject, 21, 1160, 4000);
    frame(&stranger, 22, 1, 1);
    tell(CDC_RELEASE, T0, VIEW(""), VIEW(""));
    write_all();
    assert_int_equal(t.n, 2);
    assert_int_equal(t.report[0].packets, 2);
    assert_int_equal(t.report[0].not_opened, 1);
    assert_int_equal(t.report[1].packets, 1);
    assert_string_equal(t.report[0].file, FILE_OF("subject"));
    assert_int_equal(heard_at(FILE_OF("subject"), 0, NULL), level(8000));
    assert_int_equal(heard_at(FILE_OF("subject"), 39, NULL), level(4000));
    assert_int_equal(heard_at(FILE_OF("other"), 19, NULL), 0); /* both begin together */
    assert_int_equal(heard_at(FILE_OF("other"), 20, NULL), level(-8000));
    srtp_way_free(subject.way);
    srtp_way_free(other.way);
    srtp_way_free(stranger.way);
}

static void gcm(void **state)
{
    (void)state;
    each_side_by_its_own_key(SRTP_AEAD_AES_256_GCM);
}

static void counter_mode(void **state)
{
    (void)state;
    each_side_by_its_own_key(SRTP_AES_CM_128_HMAC_SHA1_80);
}

/* A later key while the packets of the earlier one are still on the way; and a packet twice. */
static void keys_that_change(void **state)
{
    (void)state;
    char a[SDP_ROOM], b[SDP_ROOM];
    struct stream s = {.from = 4000, .to = 5000, .ssrc = 7}, late = s;
    enum srtp_suite gcm_suite = SRTP_AEAD_AES_256_GCM;
    struct secret one = key_of(1, gcm_suite), two = key_of(3, gcm_suite);

    assert_int_equal(srtp_way_new(gcm_suite, SRTP_SEND, &one, &late.way), E_OK);
    assert_int_equal(srtp_way_new(gcm_suite, SRTP_SEND, &two, &s.way), E_OK);
    tell(CDC_MEDIA_REPORT, T0, sdp(a, 4000, 1, gcm_suite), VIEW(""));
    tell(CDC_CCOPEN, T0, sdp(a, 4000, 1, gcm_suite), sdp(b, 5000, 2, gcm_suite));
    tell(CDC_CCCHANGE, T0 + 1, sdp(a, 4000, 3, gcm_suite), VIEW(""));
    frame(&late, 0, 0, 1000);
    frame(&s, 20, 160, 2000);
    srtp_way_free(late.way); /* which would not send the same again */
    assert_int_equal(srtp_way_new(gcm_suite, SRTP_SEND, &one, &late.way), E_OK);
    late.seq = 0;
    frame(&late, 21, 0, 1000);
    write_all();
    assert_int_equal(t.report[0].packets, 2);
    assert_int_equal(t.report[0].again, 1);
    assert_int_equal(t.report[0].keys, 3); /* the first before it was known where to */
    assert_int_equal(heard_at(FILE_OF("subject"), 0, NULL), level(1000));
    assert_int_equal(heard_at(FILE_OF("subject"), 20, NULL), level(2000));
    srtp_way_free(s.way);
    srtp_way_free(late.way);
}

/* Without keys the call's own time decides; the port was somebody else's before and after. */
static void unencrypted_in_its_time_alone(void **state)
{
    (void)state;
    char a[SDP_ROOM], b[SDP_ROOM];
    struct stream s = {.from = 4000, .to = 5000, .ssrc = 7};

    tell(CDC_CCOPEN, T0 + 10000000, sdp(a, 4000, 0, 0), sdp(b, 5000, 0, 0));
    tell(CDC_CCCLOSE, T0 + 12000000, VIEW(""), VIEW(""));
    frame(&s, 7999, 0, 100);
    frame(&s, 8000, 160, 200);
    frame(&s, 14000, 48160, 300);
    frame(&s, 14001, 48320, 400);
    write_all();
    assert_int_equal(t.report[0].packets, 2);
    assert_int_equal(heard_at(FILE_OF("subject"), 0, NULL), level(200));
    assert_int_equal(heard_at(FILE_OF("subject"), 6000, NULL), level(300));
    assert_int_equal(t.report[1].keys, 1);
    assert_string_equal(t.report[1].file, "");
}

static void frames_lie_where_their_clock_says(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        uint32_t ssrc, timestamp;
        size_t at_ms;
    } rows[] = {
        {0, 7, UINT32_MAX - 79, 0}, /* the clock goes round */
        {25, 7, 80, 20},            /* late on the way */
        {60, 7, 400, 60},           /* one is missing */
        {61, 7, 240, 40},           /* here it is */
        {2000, 7, 5000000, 2000},   /* the clock leaps */
        {2020, 7, 5000160, 2020},
        {2040, 9, 3, 2040}, /* another sender */
    };
    char a[SDP_ROOM], b[SDP_ROOM];
    struct stream s = {.from = 4000, .to = 5000};
    size_t n = 0;

    tell(CDC_CCOPEN, T0, sdp(a, 4000, 0, 0), sdp(b, 5000, 0, 0));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s.ssrc = rows[i].ssrc;
        frame(&s, rows[i].ms, rows[i].timestamp, (int16_t)(1000 * (i + 1)));
    }
    s.ssrc = 9;
    frame(&s, 2100, 3U - 8 * 2050, 1); /* before the beginning */
    write_all();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(heard_at(FILE_OF("subject"), rows[i].at_ms, &n),
                         level((int16_t)(1000 * (i + 1))));
    }
    assert_int_equal(n, 2100 * 8 + RTP_FRAME); /* which was set right by the capture */
    assert_int_equal(heard_at(FILE_OF("subject"), 1000, NULL), 0);
}

static void digits_codecs_and_noise(void **state)
{
    (void)state;
    static const char pressed[][4] = {{5, 10, 0, 50}, {5, (char)0x8a, 1, 0}, {11, 10, 0, 50}};
    char a[SDP_ROOM], b[SDP_ROOM], noise[40] = {(char)0x80, (char)200};
    struct stream s = {.from = 4000, .to = 5000, .ssrc = 7};
    struct capture_datagram d = {.at_us = T0, .from = at(4000), .to = at(5000)};

    tell(CDC_CCOPEN, T0, sdp(a, 4000, 0, 0), sdp(b, 5000, 0, 0));
    hear(&s, T0, 101, 10, view_from(pressed[0], 4));
    hear(&s, T0, 101, 10, view_from(pressed[1], 4));
    hear(&s, T0, 101, 900, view_from(pressed[2], 4));
    hear(&s, T0, 101, 900, VIEW("x"));
    hear(&s, T0, 8, 0, VIEW("an A-law frame"));
    d.payload = view_from(noise, sizeof noise); /* RTCP */
    assert_int_equal(voice_hear(t.v, &d), E_OK);
    d.payload = VIEW("short");
    assert_int_equal(voice_hear(t.v, &d), E_OK);
    write_all();
    assert_string_equal(t.report[0].digits, "5#");
    assert_int_equal(t.report[0].no_pcmu, 1);
    assert_int_equal(t.report[0].samples, 0);
    assert_string_equal(t.report[0].file, "");
}

static void long_calls_have_several_files(void **state)
{
    (void)state;
    char a[SDP_ROOM], b[SDP_ROOM];
    struct stream s = {.from = 4000, .to = 5000, .ssrc = 7};
    size_t n = 0;

    tell(CDC_CCOPEN, T0, sdp(a, 4000, 0, 0), sdp(b, 5000, 0, 0));
    frame(&s, 0, 0, 1000);
    frame(&s, 600010, 600010 * 8, 2000);
    frame(&s, 7200000, 7200000U * 8, 3000); /* more than two hours */
    write_all();
    assert_int_equal(t.report[0].files, 2);
    assert_int_equal(t.report[0].cut, 1);
    assert_int_equal(heard_at(FILE_OF("subject"), 0, &n), level(1000));
    assert_int_equal(n, WAV_MAX_SAMPLES);
    assert_int_equal(heard_at(FILE_OF("subject-2"), 10, NULL), level(2000));
}

/* What cannot be read or opened harms nothing; the keys of a side are bounded. */
static void odd_descriptions(void **state)
{
    (void)state;
    char a[SDP_ROOM], b[SDP_ROOM];
    struct stream s = {.from = 4000, .to = 5000, .ssrc = 7};
    struct secret last = key_of(60, SRTP_AEAD_AES_256_GCM);

    tell(CDC_CCOPEN, T0, VIEW("v=0\r\nrubbish"), VIEW("m=audio"));
    tell(CDC_CCCHANGE, T0, VIEW("v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\n"), VIEW(""));
    for (uint8_t i = 1; i <= 60; i++) {
        tell(CDC_CCCHANGE, T0, sdp(a, 4000, i, SRTP_AEAD_AES_256_GCM),
             sdp(b, 5000, 0, SRTP_AEAD_AES_256_GCM));
    }
    assert_int_equal(srtp_way_new(SRTP_AEAD_AES_256_GCM, SRTP_SEND, &last, &s.way), E_OK);
    frame(&s, 0, 0, 1000);
    write_all();
    assert_int_equal(t.report[0].packets, 1);
    assert_int_equal(t.report[0].keys, 60);
    srtp_way_free(s.way);
}

static void out_of_memory(void **state)
{
    (void)state;
    char a[SDP_ROOM], b[SDP_ROOM];
    struct cdc_message m = {.kind = CDC_CCOPEN,
                            .case_id = VIEW(CASE),
                            .subject = sdp(a, 4000, 1, SRTP_AEAD_AES_256_GCM),
                            .associate = sdp(b, 5000, 2, SRTP_AEAD_AES_256_GCM)};
    enum err e = E_NOMEM;

    for (long i = 0; e == E_NOMEM; i++) {
        mem_fail_at(i);
        e = voice_tell(t.v, 1, &m);
        assert_true(e == E_NOMEM || !mem_failed());
    }
    mem_fail_at(-1);
    assert_int_equal(e, E_OK);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(gcm),
        ONE(counter_mode),
        ONE(keys_that_change),
        ONE(unencrypted_in_its_time_alone),
        ONE(frames_lie_where_their_clock_says),
        ONE(digits_codecs_and_noise),
        ONE(long_calls_have_several_files),
        ONE(odd_descriptions),
        ONE(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
