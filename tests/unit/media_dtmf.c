/* Tones, in band and as events: every digit, what is none, what is lost or comes twice; u-law. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "media/dtmf.h"
#include "media/g711.h"
#include "media/rfc4733.h"
#include "media/tone.h"

static const char DIGITS[] = "0123456789*#ABCD";

static uint32_t seed = 1;

static double noise(void) /* -1..1 */
{
    seed = seed * 1664525u + 1013904223u;
    return (double)(int32_t)seed / 2147483648.0;
}

/* ---- in band --------------------------------------------------------------------------------- */
#define MAX_PCM 80000
static int16_t pcm[MAX_PCM];

static size_t generate(const char *digits, uint32_t tone_ms, uint32_t gap_ms)
{
    size_t n = 0;
    for (; *digits != 0; digits++) {
        struct dtmf_gen g = {0};
        size_t all = 8 * (tone_ms + gap_ms);
        assert_true(n + all <= MAX_PCM);
        assert_int_equal(dtmf_gen_start(&g, *digits, tone_ms, gap_ms), E_OK);
        assert_true(dtmf_gen_fill(&g, pcm + n, all));
        assert_false(dtmf_gen_fill(&g, pcm, 1));
        n += all;
    }
    return n;
}

/* What is heard when the signal comes in pieces of any size. */
static void hear(size_t n, size_t piece, char *out, size_t max)
{
    struct dtmf_det d = {0};
    size_t found = 0;
    for (size_t at = 0; at < n; at += piece) {
        found += dtmf_det_feed(&d, pcm + at, n - at < piece ? n - at : piece, out + found,
                               max - 1 - found);
    }
    out[found] = 0;
}

static void every_digit(void **state)
{
    (void)state;
    char got[64];
    size_t n = generate(DIGITS, 60, 60);
    const size_t pieces[] = {160, 1, 7, 102, 4000};
    for (size_t i = 0; i < 5; i++) {
        hear(n, pieces[i], got, sizeof got);
        assert_string_equal(got, DIGITS);
    }
    n = generate("11122#", 60, 40);
    hear(n, 160, got, sizeof got);
    assert_string_equal(got, "11122#");
    n = generate("5", 1000, 40);
    hear(n, 160, got, sizeof got);
    assert_string_equal(got, "5"); /* once, however long */
    n = generate("5", 20, 60);
    hear(n, 160, got, sizeof got);
    assert_string_equal(got, "");                                 /* too short */
    for (uint32_t offset = 0; offset < DTMF_BLOCK; offset += 3) { /* at any place in the blocks */
        n = generate("7", 60, 60);
        memmove(pcm + offset, pcm, n * sizeof *pcm);
        memset(pcm, 0, offset * sizeof *pcm);
        hear(n + offset, 160, got, sizeof got);
        assert_string_equal(got, "7");
    }
}

static void gen_refuses(void **state)
{
    (void)state;
    struct dtmf_gen g = {0};
    int16_t out[4] = {9, 9, 9, 9};
    size_t good = 0;
    assert_false(dtmf_gen_fill(&g, out, 4));
    assert_int_equal(out[0], 9);
    for (int c = 0; c < 256; c++) {
        enum err e = dtmf_gen_start(&g, (char)c, 50, 0);
        assert_true(e == E_OK || e == E_RANGE);
        good += e == E_OK;
        assert_int_equal(e == E_OK, event_of_digit((char)c) >= 0);
    }
    assert_int_equal(good, 20); /* a-d too */
}

static void add_pair(size_t n, double row, double column, double row_amp, double column_amp)
{
    for (size_t i = 0; i < n; i++) {
        double x = (double)i / 8000.0 * 6.283185307179586;
        pcm[i] = (int16_t)(row_amp * sin(row * x) + column_amp * sin(column * x));
    }
}

static void twist_level_and_frequency(void **state)
{
    (void)state;
    const struct {
        double row, column, row_amp, column_amp;
        const char *want;
    } rows[] = {
        {770, 1336, 5000, 5000, "5"},
        {770, 1336, 5000, 5000 / 2.2, "5"}, /* 7 dB */
        {770, 1336, 5000 / 2.2, 5000, "5"},
        {770, 1336, 5000, 5000 / 3.2, ""}, /* 10 dB */
        {770, 1336, 5000 / 3.2, 5000, ""},
        {770, 1336, 320, 320, "5"}, /* -37 dBm0 */
        {770, 1336, 150, 150, ""},
        {770 * 1.015, 1336 * 0.985, 5000, 5000, "5"}, /* Q.24: 1.5 % must be taken */
        {770, 1336, 5000, 0, ""},
        {770, 0, 5000, 5000, ""},
        {770, 852, 5000, 5000, ""}, /* two of one group */
        {400, 600, 5000, 5000, ""},
        {350, 440, 5000, 5000, ""}, /* dial tone, busy tone, a modem's answer tone */
        {480, 620, 5000, 5000, ""},
        {2100, 0, 9000, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[16];
        add_pair(800, rows[i].row, rows[i].column, rows[i].row_amp, rows[i].column_amp);
        hear(800, 160, got, sizeof got);
        if (strcmp(got, rows[i].want) != 0) {
            fail_msg("row %zu: '%s'", i, got);
        }
    }
}

static void noise_is_no_digit(void **state)
{
    (void)state;
    char got[64];
    size_t n = generate(DIGITS, 80, 60);
    for (size_t i = 0; i < n; i++) { /* 14 dB below the digit does not hide it */
        pcm[i] = (int16_t)(pcm[i] + 1400 * noise());
    }
    hear(n, 160, got, sizeof got);
    assert_string_equal(got, DIGITS);
    for (size_t i = 0; i < MAX_PCM; i++) { /* ten seconds of noise alone */
        pcm[i] = (int16_t)(20000 * noise());
    }
    hear(MAX_PCM, 160, got, sizeof got);
    assert_string_equal(got, "");
    memset(pcm, 0, sizeof pcm);
    hear(MAX_PCM, 160, got, sizeof got);
    assert_string_equal(got, "");
    for (size_t i = 0; i < MAX_PCM; i++) {
        pcm[i] = i % 2 == 0 ? INT16_MAX : INT16_MIN;
    }
    hear(MAX_PCM, 160, got, sizeof got);
    assert_string_equal(got, "");
}

/* A voice: harmonics of a gliding pitch under formants that move, with pauses. */
static void speech_is_no_digit(void **state)
{
    (void)state;
    char got[64];
    double phase = 0;
    for (size_t i = 0; i < MAX_PCM; i++) {
        double at = (double)i / 8000.0, pitch = 120 + 60 * sin(at * 2.1) + 20 * sin(at * 13);
        double f1 = 500 + 250 * sin(at * 5), f2 = 1500 + 500 * sin(at * 3.3), v = 0;
        phase += pitch / 8000.0;
        for (int h = 1; h * pitch < 3400; h++) {
            double hz = h * pitch;
            double gain =
                exp(-pow((hz - f1) / 120, 2)) + 0.6 * exp(-pow((hz - f2) / 160, 2)) + 0.02;
            v += gain * sin(6.283185307179586 * h * phase);
        }
        v = 4000 * v * (sin(at * 9) > -0.3) + 50 * noise();
        pcm[i] = (int16_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v);
    }
    hear(MAX_PCM, 160, got, sizeof got);
    assert_string_equal(got, "");
}

static void more_than_fits(void **state)
{
    (void)state;
    char got[3] = "";
    struct dtmf_det d = {0};
    size_t n = generate("123", 60, 60);
    assert_int_equal(dtmf_det_feed(&d, pcm, n, got, 2), 2);
    assert_string_equal(got, "12");
}

/* Through u-law and back, as on the line. */
static void through_ulaw(void **state)
{
    (void)state;
    char got[64];
    static uint8_t u[MAX_PCM];
    size_t n = generate(DIGITS, 60, 60);
    ulaw_encode(pcm, n, u);
    ulaw_decode(u, n, pcm);
    hear(n, 160, got, sizeof got);
    assert_string_equal(got, DIGITS);
}

static void tones(void **state)
{
    (void)state;
    struct tone t = {0};
    tone_fill(&t, 1000, 32767, pcm, 123);
    tone_fill(&t, 1000, 32767, pcm + 123, 8000 - 123); /* goes on without a step */
    assert_true(tone_share(pcm, 8000, 1000) > 0.999);
    assert_true(tone_share(pcm, 8000, 1100) < 0.001);
    memset(pcm, 0, 800 * sizeof *pcm);
    assert_true(tone_share(pcm, 800, 1000) == 0);
    for (size_t i = 0; i < 8000; i++) {
        pcm[i] = (int16_t)(20000 * noise());
    }
    assert_true(tone_share(pcm, 8000, 1000) < 0.01);
}

/* ---- G.711 ----------------------------------------------------------------------------------- */
static void ulaw(void **state)
{
    (void)state;
    const struct {
        int16_t linear;
        uint8_t code;
        int16_t back;
    } rows[] = {
        {0, 0xff, 0},           {-1, 0x7f, 0},        {4, 0xfe, 8},      {32767, 0x80, 32124},
        {-32768, 0x00, -32124}, {32635, 0x80, 32124}, {1000, 0xce, 988}, {-1000, 0x4e, -988},
        {8031, 0xa0, 7932},     {-8031, 0x20, -7932},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(ulaw_from_linear(rows[i].linear), rows[i].code);
        assert_int_equal(ulaw_to_linear(rows[i].code), rows[i].back);
    }
    assert_int_equal(ulaw_to_linear(ULAW_SILENCE), 0);
    for (int u = 0; u < 256; u++) { /* a code comes back as itself; 0x7f is the other zero */
        uint8_t again = ulaw_from_linear(ulaw_to_linear((uint8_t)u));
        assert_int_equal(again, u == 0x7f ? 0xff : u);
    }
    int16_t last = INT16_MIN;
    for (int v = -32768; v <= 32767; v++) { /* monotonic, and never far off */
        int16_t back = ulaw_to_linear(ulaw_from_linear((int16_t)v));
        int error = v - back, size = v < 0 ? -v : v;
        assert_true(back >= last);
        assert_true((error < 0 ? -error : error) <= 4 + size / 16 || size > 32124);
        last = back;
    }
}

/* ---- RFC 4733 -------------------------------------------------------------------------------- */
static void payloads(void **state)
{
    (void)state;
    uint8_t b[EVENT_PAYLOAD_BYTES];
    struct event_payload p, q = {.event = 99};
    for (unsigned v = 0; v < 65536; v += 5) {
        p = (struct event_payload){(uint8_t)(v % 16), v % 2, (uint8_t)(v % 64), (uint16_t)v};
        event_build(&p, b);
        assert_int_equal(event_parse(view_from(b, 4), &q), E_OK);
        assert_true(p.event == q.event && p.end == q.end && p.volume == q.volume);
        assert_int_equal(p.duration, q.duration);
    }
    for (size_t n = 0; n < 4; n++) {
        assert_int_equal(event_parse(view_from(b, n), &q), E_PARSE);
    }
    assert_int_equal(event_parse(VIEW("\x0b\x8a\x03\x20more"), &q), E_OK); /* redundant rest */
    assert_true(q.event == 11 && q.end && q.volume == 10 && q.duration == 800);
    assert_int_equal(event_parse(VIEW("\x0b\xff\x03\x20"), &q), E_OK); /* the reserved bit */
    assert_int_equal(q.volume, 63);
    q.event = 99;
    for (unsigned e = 16; e < 256; e++) {
        b[0] = (uint8_t)e;
        assert_int_equal(event_parse(view_from(b, 4), &q), E_RANGE);
        assert_int_equal(event_digit((uint8_t)e), 0);
    }
    assert_int_equal(q.event, 99);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(event_of_digit(DIGITS[i]), i);
        assert_int_equal(event_digit((uint8_t)i), DIGITS[i]);
    }
    assert_int_equal(event_of_digit('d'), 15);
    assert_int_equal(event_of_digit('e'), -1);
    assert_int_equal(event_of_digit(0), -1);
}

/* All packets of one key press. */
static size_t press(char digit, uint32_t hold_ms, struct event_payload *out, bool *marker,
                    size_t max)
{
    struct event_sender s = {0};
    size_t n = 0;
    assert_int_equal(event_start(&s, digit, 4711, hold_ms), E_OK);
    assert_int_equal(event_start(&s, digit, 4711, hold_ms), E_STATE);
    for (int tick = 0; s.active; tick++) {
        assert_true(tick < 300 && n < max);
        n += event_tick(&s, &out[n], &marker[n]);
        assert_int_equal(s.timestamp, 4711);
    }
    bool m = false;
    assert_false(event_tick(&s, &out[n], &m));
    return n;
}

static void sending(void **state)
{
    (void)state;
    static struct event_payload p[200];
    static bool marker[200];
    const struct {
        uint32_t hold_ms;
        size_t packets;
    } rows[] = {{40, 4}, {50, 4}, {100, 5}, {200, 7}, {5000, 103}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = press('#', rows[i].hold_ms, p, marker, 190);
        if (n != rows[i].packets) {
            fail_msg("%u ms: %zu packets", rows[i].hold_ms, n);
        }
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(marker[k], k == 0);
            assert_int_equal(p[k].event, 11);
            assert_int_equal(p[k].end, k + 3 >= n); /* three ends, all of one duration */
            assert_true(k == 0 || k + 3 > n || p[k].duration > p[k - 1].duration);
            assert_true(k + 3 < n || p[k].duration == rows[i].hold_ms * 8);
        }
    }
    struct event_sender s = {0};
    assert_int_equal(event_start(&s, 'x', 0, 100), E_RANGE);
    assert_int_equal(event_start(&s, '1', 0, 39), E_RANGE);
    assert_int_equal(event_start(&s, '1', 0, 5001), E_RANGE);
    assert_false(s.active);
}

static void receiving(void **state)
{
    (void)state;
    static struct event_payload p[200];
    static bool marker[200];
    size_t n = press('9', 200, p, marker, 190);
    for (unsigned lost = 0; lost < 1u << n; lost++) { /* every pattern of loss */
        struct event_receiver r = {0};
        unsigned heard = 0;
        char digit = 0;
        for (size_t k = 0; k < n; k++) {
            if ((lost >> k & 1) == 0) {
                heard += event_receive(&r, 1, 4711, &p[k], &digit);
            }
        }
        assert_int_equal(heard, lost != (1u << n) - 1);
        assert_true(heard == 0 || digit == '9');
    }
    struct event_receiver r = {0};
    struct event_payload e = {.event = 1, .end = true};
    char d = 0;
    const struct {
        uint32_t ssrc, timestamp;
        bool heard;
    } rows[] = {
        {5, 0xffffff00, true},  {5, 0xffffff00, false}, {5, 0x100, true}, /* wrapped */
        {5, 0xffffff00, false},                                           /* overtaken */
        {5, 0x100, false},      {6, 0x50, true},        {6, 0x50, false}, {5, 0x200, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (event_receive(&r, rows[i].ssrc, rows[i].timestamp, &e, &d) != rows[i].heard) {
            fail_msg("row %zu", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_digit),
        cmocka_unit_test(gen_refuses),
        cmocka_unit_test(twist_level_and_frequency),
        cmocka_unit_test(noise_is_no_digit),
        cmocka_unit_test(speech_is_no_digit),
        cmocka_unit_test(more_than_fits),
        cmocka_unit_test(through_ulaw),
        cmocka_unit_test(tones),
        cmocka_unit_test(ulaw),
        cmocka_unit_test(payloads),
        cmocka_unit_test(sending),
        cmocka_unit_test(receiving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
