/* Digits into a call. */
#include "bti/typist.h"

#include <string.h>

#include "base/secret.h"

enum { TONE_MS = 100, GAP_MS = 80, POLL_MS = 20 };

void typist_stop(struct typist *t)
{
    if (t->loop != NULL) {
        loop_timer_stop(t->loop, &t->timer);
    }
    wipe(t->digits, sizeof t->digits);
    t->busy = false;
    t->at = t->n = 0;
}

static void on_timer(void *arg);

static void rest(struct typist *t, uint64_t ms)
{
    if (loop_timer_start(t->loop, &t->timer, ms, on_timer, t) != E_OK) {
        typist_stop(t); /* as if the caller stopped typing: the other side asks again */
    }
}

static void press(struct typist *t)
{
    char digit = t->digits[t->at];
    enum err e = t->inband ? dtmf_gen_start(&t->gen, digit, TONE_MS, GAP_MS)
                           : media_send_digit(t->media, digit, TONE_MS);

    if (e == E_STATE) {
        rest(t, POLL_MS);
        return;
    }
    t->digits[t->at] = 0;
    t->at++;
    rest(t, TONE_MS + GAP_MS + (t->inband ? POLL_MS : 0));
    if (t->at == t->n && t->last != NULL) {
        t->last(t->arg);
    }
}

static void on_timer(void *arg)
{
    struct typist *t = arg;

    if (!t->inband && media_digit_busy(t->media)) {
        rest(t, POLL_MS);
    } else if (t->at < t->n) {
        press(t);
    } else {
        typist_stop(t);
    }
}

enum err typist_start(struct typist *t, struct loop *l, struct media *m, bool inband,
                      struct view digits, uint64_t wait_ms, void (*last)(void *arg), void *arg)
{
    enum err e = E_OK;

    if (t->busy && t->at < t->n) {
        return FAIL(E_STATE);
    }
    if (digits.n > sizeof t->digits) {
        return FAIL(E_RANGE);
    }
    t->loop = l;
    t->media = m;
    t->inband = inband;
    t->last = last;
    t->arg = arg;
    TRY(loop_timer_start(l, &t->timer, wait_ms, on_timer, t));
    memcpy(t->digits, digits.p, digits.n);
    t->n = digits.n;
    t->at = 0;
    t->busy = true;
out:
    return e;
}

bool typist_fill(struct typist *t, int16_t pcm[RTP_FRAME])
{
    return t->inband && dtmf_gen_fill(&t->gen, pcm, RTP_FRAME);
}
