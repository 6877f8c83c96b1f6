/* bti/audio.h - what is played into a call and what becomes of what is heard.
 *
 * Playing    a tone of 1 kHz, a file once, raw 8 kHz 16-bit little-endian samples from standard
 * input (never waited for: what is missing is silence), or silence.
 * Heard      recorded as it arrives, and judged: a tone was heard when ten frames, and at least
 * half of those that were not silent, were our 1 kHz.
 * Threads    the loop's. */
#ifndef BTI_AUDIO_H
#define BTI_AUDIO_H

#include "bti/options.h"
#include "media/session.h"
#include "media/tone.h"
#include "media/wav.h"

struct audio {
    enum audio_kind kind;
    struct wav wav;
    size_t wav_at;
    struct tone tone;
    size_t pipe_n;
    uint8_t pipe[2 * RTP_FRAME];
    bool recording, record_failed;
    struct wav_out record;
    uint64_t loud_frames, tone_frames;
};

/* file: for AUDIO_FILE. record: path or NULL. *out_bad: the path at fault. */
MUST_CHECK enum err audio_open(struct audio *a, enum audio_kind kind, const char *file,
                               const char *record, const char **out_bad);
bool audio_play(struct audio *a, int16_t pcm[RTP_FRAME]);
void audio_hear(struct audio *a, const int16_t *pcm, size_t n);
bool audio_tone_heard(const struct audio *a);
/* E_IO: the recording is not complete. Safe on the zero value and twice. */
MUST_CHECK enum err audio_close(struct audio *a);

#endif
