/* bti/typist.h - keys digits in, one after the other: as telephone events, or as tones in the
 * voice. The digits are a secret (a work order): wiped when they are through or stopped. Threads:
 * the loop's. */
#ifndef BTI_TYPIST_H
#define BTI_TYPIST_H

#include "media/dtmf.h"
#include "media/session.h"

#define TYPIST_MAX 64

struct typist { /* zero value: idle */
    struct loop *loop;
    struct media *media;
    struct loop_timer timer;
    struct dtmf_gen gen;
    bool inband, busy;
    size_t at, n;
    char digits[TYPIST_MAX];
    void (*last)(void *arg);
    void *arg;
};

/* Begins after wait_ms. last is called when the last digit goes out; may be NULL. E_RANGE: too many
 * digits; E_STATE: digits are left to key in. */
MUST_CHECK enum err typist_start(struct typist *t, struct loop *l, struct media *m, bool inband,
                                 struct view digits, uint64_t wait_ms, void (*last)(void *arg),
                                 void *arg);
/* For the media's source: true when a tone or its gap was written. */
bool typist_fill(struct typist *t, int16_t pcm[RTP_FRAME]);
void typist_stop(struct typist *t);

#endif
