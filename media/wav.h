/* media/wav.h - RIFF WAVE files, 8 kHz mono, PCM16 or u-law.
 * Limits     10 minutes of samples. Memory: wav_free(). Threads: safe on distinct objects. */
#ifndef MEDIA_WAV_H
#define MEDIA_WAV_H

#include <stdio.h>

#include "base/view.h"

#define WAV_MAX_SAMPLES (8000 * 600)

struct wav {
    int16_t *pcm;
    size_t n;
};
/* E_PARSE: not a WAVE file or chunk beyond the end; E_DENIED: not 8 kHz mono PCM16/u-law; E_RANGE:
 * too long. */
MUST_CHECK enum err wav_parse(struct view file, struct wav *out);
MUST_CHECK enum err wav_load(const char *path, struct wav *out); /* and E_NOTFOUND, E_IO */
void wav_free(struct wav *w);

/* Writing: PCM16. The header is right after wav_end() only. */
struct wav_out {
    FILE *f;
    uint32_t samples;
};
MUST_CHECK enum err wav_begin(const char *path, struct wav_out *out);
MUST_CHECK enum err wav_add(struct wav_out *w, const int16_t *pcm, size_t n); /* E_RANGE, E_IO */
MUST_CHECK enum err wav_end(struct wav_out *w);                               /* closes always */

#endif
