/* RTP headers, SRTP of both suites, WAVE files: bounds, tampering, replays. */
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

#include "base/mem.h"
#include "media/rtp.h"
#include "media/srtp.h"
#include "media/wav.h"

static void headers(void **state)
{
    (void)state;
    const struct rtp_header rows[] = {
        {false, 0, 0, 0, 0},
        {true, 127, 65535, UINT32_MAX, UINT32_MAX},
        {true, 101, 0x1234, 0x01020304, 0xa1b2c3d4},
    };
    uint8_t b[RTP_HEAD_BYTES + 3] = {0};
    for (size_t i = 0; i < 3; i++) {
        struct rtp_header h;
        struct view body;
        rtp_build(&rows[i], b);
        assert_int_equal(rtp_parse(view_from(b, sizeof b), &h, &body), E_OK);
        assert_true(h.marker == rows[i].marker && h.type == rows[i].type && h.seq == rows[i].seq);
        assert_true(h.timestamp == rows[i].timestamp && h.ssrc == rows[i].ssrc);
        assert_true(body.p == (const char *)b + 12 && body.n == 3);
    }
    assert_memory_equal(b, "\x80\xe5\x12\x34\x01\x02\x03\x04\xa1\xb2\xc3\xd4", 12);
}

#define FIX "\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03"

static void packets(void **state)
{
    (void)state;
#define ROW(octets, at, len)                                                                       \
    {                                                                                              \
        octets, sizeof octets - 1, at, len                                                         \
    }
    const struct {
        const char *p;
        size_t n, at; /* 0: refused */
        size_t len;
    } rows[] = {
        ROW("\x80" FIX, 12, 0),
        ROW("\x80" FIX "xy", 12, 2),
        ROW("\x81" FIX "CSRCxy", 16, 2),
        ROW("\x81" FIX "CSR", 0, 0),
        ROW("\x8f" FIX "xy", 0, 0),
        ROW("\x90" FIX "\xbe\xde\x00\x01"
            "ext1xy",
            20, 2),
        ROW("\x90" FIX "\xbe\xde\x00\x00xy", 16, 2),
        ROW("\x90" FIX "\xbe\xde\x00\x01"
            "ext",
            0, 0),
        ROW("\x90" FIX "\xbe\xde\xff\xff"
            "ext1xy",
            0, 0),
        ROW("\x90" FIX "\xbe\xde\x00", 0, 0),
        ROW("\x91" FIX "CSRC\xbe\xde\x00\x01"
            "ext1x",
            24, 1),
        ROW("\x91" FIX "CSR\xbe", 0, 0),
        ROW("\xa0" FIX "xy\x00\x00\x03", 12, 2),
        ROW("\xa0" FIX "\x01", 12, 0),
        ROW("\xa0" FIX "xy\x04", 0, 0), /* more padding than there is */
        ROW("\xa0" FIX "xy\x00", 0, 0), /* padding counts itself */
        ROW("\xa0" FIX, 0, 0),          /* the last octet is the SSRC's */
        ROW("\xa0" FIX "\xff", 0, 0),
        ROW("\x00" FIX, 0, 0), /* versions 0, 1, 3 */
        ROW("\x40" FIX, 0, 0),
        ROW("\xc0" FIX, 0, 0),
        ROW("\x80\x00", 0, 0),
        ROW("", 0, 0),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rtp_header h = {.ssrc = 77};
        struct view body = {0};
        char *copy = malloc(rows[i].n + 1); /* its own place: what reads beyond is seen */
        char *tight = copy + 1;
        memcpy(tight, rows[i].p, rows[i].n);
        enum err e = rtp_parse(view_from(tight, rows[i].n), &h, &body);
        if ((e == E_OK) != (rows[i].at != 0)) {
            fail_msg("row %zu: %s", i, err_name(e));
        }
        if (e == E_OK) {
            assert_int_equal(body.p - tight, rows[i].at);
            assert_int_equal(body.n, rows[i].len);
        } else {
            assert_int_equal(e, E_PARSE);
            assert_true(h.ssrc == 77 && body.p == NULL);
        }
        free(copy);
    }
}

/* ---- SRTP ------------------------------------------------------------------------------------ */
static struct srtp_way *tx, *rx;

static void open_both(enum srtp_suite s)
{
    struct secret k = {.n = srtp_key_bytes(s)};
    for (size_t i = 0; i < k.n; i++) {
        k.b[i] = (uint8_t)i;
    }
    assert_int_equal(srtp_way_new(s, SRTP_SEND, &k, &tx), E_OK);
    assert_int_equal(srtp_way_new(s, SRTP_RECEIVE, &k, &rx), E_OK);
}

static void close_both(void)
{
    srtp_way_free(tx);
    srtp_way_free(rx);
    tx = rx = NULL;
}

static _Alignas(4) uint8_t plain[1500], sealed[1500], work[1500];

static size_t seal(uint16_t seq, uint32_t ssrc, size_t body)
{
    struct rtp_header h = {.type = 0, .seq = seq, .timestamp = 160u * seq, .ssrc = ssrc};
    size_t n = RTP_HEAD_BYTES + body;
    rtp_build(&h, plain);
    memset(plain + RTP_HEAD_BYTES, 'v', body);
    memcpy(sealed, plain, n);
    assert_int_equal(srtp_seal(tx, sealed, &n, sizeof sealed), E_OK);
    return n;
}

static enum err unseal(size_t *n)
{
    memcpy(work, sealed, *n);
    return srtp_open(rx, work, n);
}

static void round_trip(void **state)
{
    (void)state;
    for (int s = SRTP_AEAD_AES_256_GCM; s <= SRTP_AES_CM_128_HMAC_SHA1_80; s++) {
        size_t tag = s == SRTP_AEAD_AES_256_GCM ? 16 : 10;
        open_both((enum srtp_suite)s);
        for (size_t body = 0; body < 400; body += 13) {
            size_t n = seal((uint16_t)(body + 1), 5, body);
            assert_int_equal(n, RTP_HEAD_BYTES + body + tag);
            if (body > 16) {
                assert_memory_not_equal(sealed + 12, plain + 12, body);
            }
            assert_int_equal(unseal(&n), E_OK);
            assert_int_equal(n, RTP_HEAD_BYTES + body);
            assert_memory_equal(work, plain, n);
        }
        close_both();
    }
    srtp_way_free(NULL);
}

static void tampering(void **state)
{
    (void)state;
    for (int s = SRTP_AEAD_AES_256_GCM; s <= SRTP_AES_CM_128_HMAC_SHA1_80; s++) {
        open_both((enum srtp_suite)s);
        size_t whole = seal(100, 5, 40), n = 0;
        for (size_t i = 0; i < whole; i++) {
            for (int bit = 0; bit < 8; bit++) {
                n = whole;
                sealed[i] ^= (uint8_t)(1 << bit);
                enum err e = unseal(&n);
                /* the header's first octet holds lengths: it may look malformed instead */
                assert_true(e == E_AUTH || e == E_PARSE || e == E_REPLAY);
                assert_true(i < 4 || e == E_AUTH);
                assert_int_equal(n, whole);
                sealed[i] ^= (uint8_t)(1 << bit);
            }
        }
        for (size_t cut = 0; cut < whole; cut++) {
            n = cut;
            assert_true(unseal(&n) != E_OK);
        }
        n = whole; /* none of that has spoilt the good one */
        assert_int_equal(unseal(&n), E_OK);
        close_both();
    }
}

static void replays(void **state)
{
    (void)state;
    for (int s = SRTP_AEAD_AES_256_GCM; s <= SRTP_AES_CM_128_HMAC_SHA1_80; s++) {
        static uint8_t first[64];
        open_both((enum srtp_suite)s);
        size_t first_n = seal(10, 5, 20), n = first_n;
        memcpy(first, sealed, n);
        assert_int_equal(unseal(&n), E_OK);
        n = first_n;
        assert_int_equal(unseal(&n), E_REPLAY);
        size_t skipped = seal(11, 5, 20); /* overtaken by 1000 packets, but inside the window */
        static uint8_t late[64];
        memcpy(late, sealed, skipped);
        for (uint16_t seq = 12; seq < 12 + 1000; seq++) {
            n = seal(seq, 5, 20);
            assert_int_equal(unseal(&n), E_OK);
        }
        memcpy(sealed, late, skipped);
        n = skipped;
        assert_int_equal(unseal(&n), E_OK);
        for (uint16_t seq = 2000; seq < 2100; seq++) {
            n = seal(seq, 5, 20);
            assert_int_equal(unseal(&n), E_OK);
        }
        memcpy(sealed, first, first_n);
        n = first_n;
        assert_int_equal(unseal(&n), E_REPLAY); /* far too old */
        close_both();
    }
}

/* Over the end of the 16-bit number, which is where keystreams have been used twice. */
static void numbers_roll_over(void **state)
{
    (void)state;
    open_both(SRTP_AEAD_AES_256_GCM);
    for (uint32_t i = 0; i < 300; i++) {
        size_t n = seal((uint16_t)(65400 + i), 5, 20), m = n;
        if (i % 7 != 3) { /* some are lost */
            assert_int_equal(unseal(&n), E_OK);
            assert_int_equal(unseal(&m), E_REPLAY);
        }
    }
    close_both();
}

static void wrong_keys(void **state)
{
    (void)state;
    struct secret k = {.n = 44};
    struct srtp_way *w = NULL;
    enum srtp_suite s = SRTP_AEAD_AES_256_GCM;
    size_t live = mem_live();
    for (size_t n = 0; n <= SECRET_MAX; n++) {
        k.n = n;
        assert_int_equal(n == 44, srtp_way_new(SRTP_AEAD_AES_256_GCM, SRTP_SEND, &k, &w) == E_OK);
        srtp_way_free(w);
        w = NULL;
        assert_int_equal(n == 30,
                         srtp_way_new(SRTP_AES_CM_128_HMAC_SHA1_80, SRTP_SEND, &k, &w) == E_OK);
        srtp_way_free(w);
        w = NULL;
    }
    mem_fail_at(0);
    k.n = 44;
    assert_int_equal(srtp_way_new(s, SRTP_SEND, &k, &w), E_NOMEM);
    mem_fail_at(-1);
    open_both(s);
    srtp_way_free(rx);
    k.b[43] = 1; /* another salt */
    assert_int_equal(srtp_way_new(s, SRTP_RECEIVE, &k, &rx), E_OK);
    size_t n = seal(1, 5, 20);
    assert_int_equal(unseal(&n), E_AUTH);
    n = 100;
    assert_int_equal(srtp_seal(tx, sealed, &n, 131), E_RANGE);
    assert_int_equal(srtp_seal(tx, sealed, &n, 31), E_RANGE);
    close_both();
    assert_int_equal(mem_live(), live);
    assert_int_equal(srtp_suite_of(VIEW("aes_cm_128_hmac_sha1_80"), &s), E_OK);
    assert_int_equal(s, SRTP_AES_CM_128_HMAC_SHA1_80);
    assert_int_equal(srtp_suite_of(VIEW("AES_CM_128_HMAC_SHA1_32"), &s), E_NOTFOUND);
    assert_string_equal(srtp_suite_name(SRTP_AEAD_AES_256_GCM), "AEAD_AES_256_GCM");
}

/* Who holds the key could ask for a new stream with each packet; forged ones use nothing up. */
static void streams_are_counted(void **state)
{
    (void)state;
    open_both(SRTP_AEAD_AES_256_GCM);
    for (uint32_t i = 0; i < 50; i++) {
        size_t n = seal(1, 1000 + i, 20);
        sealed[n - 1] ^= 1;
        assert_int_equal(unseal(&n), E_AUTH);
    }
    for (uint32_t i = 0; i < 12; i++) {
        size_t n = seal(1, i, 20);
        assert_int_equal(unseal(&n), i < 8 ? E_OK : E_FULL);
    }
    size_t n = seal(2, 3, 20); /* the old ones go on */
    assert_int_equal(unseal(&n), E_OK);
    close_both();
}

/* ---- WAVE ------------------------------------------------------------------------------------ */
#define FMT_PCM  "fmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0"
#define FMT_ULAW "fmt \x12\0\0\0\7\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0\0\0"
#define RIFF     "RIFF\0\0\0\0WAVE"

static void wave_table(void **state)
{
    (void)state;
#define WAVE(octets, e, n, first)                                                                  \
    {                                                                                              \
        octets, sizeof octets - 1, e, n, first                                                     \
    }
    const struct {
        const char *p;
        size_t bytes;
        enum err e;
        size_t n;
        int16_t first;
    } rows[] = {
        WAVE(RIFF FMT_PCM "data\4\0\0\0\x34\x12\xff\xff", E_OK, 2, 0x1234),
        WAVE(RIFF FMT_PCM "data\3\0\0\0\x34\x12\xff", E_OK, 1, 0x1234), /* half a sample */
        WAVE(RIFF FMT_PCM "data\0\0\0\0", E_OK, 0, 0),
        WAVE(RIFF FMT_ULAW "data\2\0\0\0\x80\xff", E_OK, 2, 32124),
        WAVE(RIFF "LIST\3\0\0\0abc\0" FMT_PCM "junk\0\0\0\0data\2\0\0\0\1\0", E_OK, 1, 1),
        WAVE(RIFF FMT_PCM "data\2\0\0\0\1\0data\2\0\0\0\2\0", E_OK, 1, 1),
        WAVE(RIFF FMT_PCM "data\5\0\0\0\1\0\1\0", E_PARSE, 0, 0), /* beyond the end */
        WAVE(RIFF FMT_PCM "data\xff\xff\xff\xff\1\0", E_PARSE, 0, 0),
        WAVE(RIFF "junk\xff\xff\xff\x7f" FMT_PCM "data\0\0\0\0", E_PARSE, 0, 0),
        WAVE(RIFF "junk\3\0\0\0abc", E_PARSE, 0, 0), /* no octet to fill it up */
        WAVE(RIFF FMT_PCM, E_PARSE, 0, 0),
        WAVE(RIFF FMT_PCM "data\2\0\0", E_PARSE, 0, 0),
        WAVE(RIFF "data\2\0\0\0\1\0" FMT_PCM, E_PARSE, 0, 0), /* data before its format */
        WAVE(RIFF "fmt \x0e\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0data\0\0\0\0", E_PARSE, 0, 0),
        WAVE("RIFX\0\0\0\0WAVE" FMT_PCM "data\0\0\0\0", E_PARSE, 0, 0),
        WAVE("RIFF\0\0\0\0WAV", E_PARSE, 0, 0),
        WAVE("", E_PARSE, 0, 0),
        /* two channels; 16 kHz; 8-bit PCM; A-law; 16-bit u-law */
        WAVE(RIFF "fmt \x10\0\0\0\1\0\2\0\x40\x1f\0\0\0\x7d\0\0\4\0\x10\0data\0\0\0\0", E_DENIED, 0,
             0),
        WAVE(RIFF "fmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\0\0\0\0", E_DENIED, 0,
             0),
        WAVE(RIFF "fmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0", E_DENIED,
             0, 0),
        WAVE(RIFF "fmt \x10\0\0\0\6\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0", E_DENIED,
             0, 0),
        WAVE(RIFF "fmt \x10\0\0\0\7\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0", E_DENIED,
             0, 0),
    };
    size_t live = mem_live();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wav w = {.n = 77};
        char *copy = malloc(rows[i].bytes + 1);
        memcpy(copy + 1, rows[i].p, rows[i].bytes);
        enum err e = wav_parse(view_from(copy + 1, rows[i].bytes), &w);
        if (e != rows[i].e || w.n != (e == E_OK ? rows[i].n : 77) ||
            (e == E_OK && w.n > 0 && w.pcm[0] != rows[i].first)) {
            fail_msg("row %zu: %s, %zu", i, err_name(e), w.n);
        }
        if (e == E_OK) {
            wav_free(&w);
            wav_free(&w);
        }
        for (size_t n = 0; n < rows[i].bytes; n++) { /* and cut off anywhere */
            if (wav_parse(view_from(copy + 1, n), &w) == E_OK) {
                wav_free(&w);
            }
        }
        free(copy);
    }
    assert_int_equal(mem_live(), live);
}

static void ten_minutes_at_most(void **state)
{
    (void)state;
    size_t n = WAV_MAX_SAMPLES + 1, head = sizeof RIFF FMT_ULAW - 1;
    char *file = calloc(1, head + 8 + n);
    struct wav w = {0};
    memcpy(file, RIFF FMT_ULAW "data", head + 4);
    for (int over = 1; over >= 0; over--) {
        uint32_t bytes = (uint32_t)(n - 1) + (uint32_t)over;
        memcpy(file + head + 4, &bytes, 4);
        assert_int_equal(wav_parse(view_from(file, head + 8 + bytes), &w), over ? E_RANGE : E_OK);
    }
    assert_int_equal(w.n, WAV_MAX_SAMPLES);
    wav_free(&w);
    mem_fail_at(0);
    assert_int_equal(wav_parse(view_from(file, head + 8 + n - 1), &w), E_NOMEM);
    mem_fail_at(-1);
    free(file);
}

static void written_and_read(void **state)
{
    (void)state;
    char dir[] = "/tmp/wavXXXXXX", path[64];
    int16_t pcm[500];
    struct wav_out out;
    struct wav w;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.wav", dir);
    assert_int_equal(wav_load(path, &w), E_NOTFOUND);
    for (int i = 0; i < 500; i++) {
        pcm[i] = (int16_t)(i * 131 - 32768);
    }
    assert_int_equal(wav_begin("/nowhere/x.wav", &out), E_IO);
    assert_int_equal(wav_begin(path, &out), E_OK);
    assert_int_equal(wav_add(&out, pcm, 499), E_OK);
    assert_int_equal(wav_add(&out, pcm + 499, 1), E_OK);
    assert_int_equal(wav_add(&out, pcm, WAV_MAX_SAMPLES - 499), E_RANGE);
    assert_int_equal(wav_end(&out), E_OK);
    assert_int_equal(wav_load(path, &w), E_OK);
    assert_int_equal(w.n, 500);
    assert_memory_equal(w.pcm, pcm, sizeof pcm);
    wav_free(&w);
    assert_int_equal(truncate(path, WAV_MAX_SAMPLES * 2 + 65536), 0); /* larger than any good one */
    assert_int_equal(wav_load(path, &w), E_RANGE);
    assert_int_equal(wav_load(dir, &w), E_IO);
    mem_fail_at(0);
    assert_int_equal(wav_load(path, &w), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(wav_begin("/dev/full", &out), E_OK); /* a full disk shows at the end */
    assert_int_equal(wav_add(&out, pcm, 500), E_OK);
    assert_int_equal(wav_end(&out), E_IO);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),          cmocka_unit_test(packets),
        cmocka_unit_test(round_trip),       cmocka_unit_test(tampering),
        cmocka_unit_test(replays),          cmocka_unit_test(numbers_roll_over),
        cmocka_unit_test(wrong_keys),       cmocka_unit_test(streams_are_counted),
        cmocka_unit_test(wave_table),       cmocka_unit_test(ten_minutes_at_most),
        cmocka_unit_test(written_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
