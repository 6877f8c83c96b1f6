/* media/dtmf.h - in-band DTMF at 8 kHz (ITU-T Q.23, Q.24): generator and Goertzel detector. Pure.
 * Detector   blocks of 102 samples (12.75 ms); a digit counts after three equal blocks (38 ms) and
 *            again only after two blocks without it. Twist up to 8 dB, level from about -36 dBm0;
 *            the two tones must hold most of the block's power, so that speech is not taken for it.
 */
#ifndef MEDIA_DTMF_H
#define MEDIA_DTMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DTMF_BLOCK 102

struct dtmf_gen { /* zero value: silent */
    double row, column, row_phase, column_phase;
    uint32_t tone_left, gap_left; /* samples */
};
/* 0-9 * # A-D; E_RANGE else. A new digit replaces what is left of the old. */
MUST_CHECK enum err dtmf_gen_start(struct dtmf_gen *g, char digit, uint32_t tone_ms,
                                   uint32_t gap_ms);
/* Writes n samples (silence in the gap); false when nothing was left (out untouched). */
bool dtmf_gen_fill(struct dtmf_gen *g, int16_t *out, size_t n);

struct dtmf_det { /* zero value: ready */
    int16_t block[DTMF_BLOCK];
    size_t n;
    char last, sounding; /* 0: none */
    unsigned same;
};
/* Feeds samples; writes digits found (at most max, rest dropped) and returns their count. */
size_t dtmf_det_feed(struct dtmf_det *d, const int16_t *pcm, size_t n, char *out, size_t max);

#endif
