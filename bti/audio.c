/* What is played and heard. */
#include "bti/audio.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define TONE_HZ     1000.0
#define TONE_LEVEL  8000.0
#define TONE_SHARE  0.8
#define LOUD_SAMPLE 64

enum { TONE_FRAMES_MIN = 10 };

enum err audio_open(struct audio *a, enum audio_kind kind, const char *file, const char *record,
                    const char **out_bad)
{
    enum err e = E_OK;

    memset(a, 0, sizeof *a);
    a->kind = kind;
    if (kind == AUDIO_FILE) {
        *out_bad = file;
        TRY(wav_load(file, &a->wav));
    }
    if (record != NULL) {
        *out_bad = record;
        TRY(wav_begin(record, &a->record));
        a->recording = true;
    }
out:
    if (e != E_OK) {
        wav_free(&a->wav);
    }
    return e;
}

static bool play_file(struct audio *a, int16_t *pcm)
{
    size_t n = a->wav.n - a->wav_at;

    if (n == 0) {
        return false;
    }
    n = n < RTP_FRAME ? n : RTP_FRAME;
    memcpy(pcm, a->wav.pcm + a->wav_at, n * sizeof *pcm);
    memset(pcm + n, 0, (RTP_FRAME - n) * sizeof *pcm);
    a->wav_at += n;
    return true;
}

static bool play_pipe(struct audio *a, int16_t *pcm)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t n = 0;

    while (a->pipe_n < sizeof a->pipe && poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0) {
        n = read(STDIN_FILENO, a->pipe + a->pipe_n, sizeof a->pipe - a->pipe_n);
        if (n <= 0) {
            break;
        }
        a->pipe_n += (size_t)n;
    }
    if (a->pipe_n < sizeof a->pipe) {
        return false;
    }
    for (size_t i = 0; i < RTP_FRAME; i++) {
        pcm[i] = (int16_t)(uint16_t)(a->pipe[2 * i] | a->pipe[2 * i + 1] << 8);
    }
    a->pipe_n = 0;
    return true;
}

bool audio_play(struct audio *a, int16_t pcm[RTP_FRAME])
{
    switch (a->kind) {
    case AUDIO_TONE:
        tone_fill(&a->tone, TONE_HZ, TONE_LEVEL, pcm, RTP_FRAME);
        return true;
    case AUDIO_FILE:
        return play_file(a, pcm);
    case AUDIO_PIPE:
        return play_pipe(a, pcm);
    case AUDIO_SILENCE:
        break;
    }
    return false;
}

static bool is_loud(const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (pcm[i] > LOUD_SAMPLE || pcm[i] < -LOUD_SAMPLE) {
            return true;
        }
    }
    return false;
}

void audio_hear(struct audio *a, const int16_t *pcm, size_t n)
{
    if (is_loud(pcm, n)) {
        a->loud_frames++;
        a->tone_frames += tone_share(pcm, n, TONE_HZ) > TONE_SHARE;
    }
    if (a->recording && !a->record_failed && wav_add(&a->record, pcm, n) != E_OK) {
        a->record_failed = true; /* said when it is closed */
    }
}

bool audio_tone_heard(const struct audio *a)
{
    return a->tone_frames >= TONE_FRAMES_MIN && 2 * a->tone_frames >= a->loud_frames;
}

enum err audio_close(struct audio *a)
{
    enum err e = E_OK;

    wav_free(&a->wav);
    if (a->recording) {
        a->recording = false;
        e = wav_end(&a->record);
        if (a->record_failed) {
            e = FAIL(E_IO);
        }
    }
    memset(&a->wav, 0, sizeof a->wav);
    return e;
}
