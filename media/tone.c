#include "media/tone.h"

#include <math.h>

static const double TURN = 6.283185307179586;

void tone_fill(struct tone *t, double hz, double amplitude, int16_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (int16_t)(amplitude * sin(TURN * t->phase));
        t->phase += hz / 8000.0;
        t->phase -= floor(t->phase);
    }
}

double tone_share(const int16_t *pcm, size_t n, double hz)
{
    double whole = 0, in_phase = 0, quadrature = 0;

    for (size_t i = 0; i < n; i++) {
        double x = pcm[i], turn = TURN * hz * (double)i / 8000.0;
        whole += x * x;
        in_phase += x * cos(turn);
        quadrature += x * sin(turn);
    }
    if (whole <= 0) {
        return 0;
    }
    return 2 * (in_phase * in_phase + quadrature * quadrature) / ((double)n * whole);
}
