/* media/tone.h - one sine at 8 kHz, and whether a signal is one (tests of the voice path). Pure. */
#ifndef MEDIA_TONE_H
#define MEDIA_TONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tone { /* phase in turns; zero value starts at 0 */
    double phase;
};
/* Adds nothing, writes n samples. hz < 4000; amplitude 0..32767. */
void tone_fill(struct tone *t, double hz, double amplitude, int16_t *out, size_t n);
/* Power at hz as a share of the whole, 0..1; 0 for silence. */
double tone_share(const int16_t *pcm, size_t n, double hz);

#endif
