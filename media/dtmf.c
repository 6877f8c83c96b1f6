#include "media/dtmf.h"

#include <math.h>
#include <string.h>

/* A block whose louder tone has less than this amplitude is silence: about -36 dBm0. */
#define AMPLITUDE_MIN 260.0
/* Share of the block's power that the pair must hold. A clean pair sits near 1. */
#define PAIR_SHARE 0.70
/* Power ratios: 8 dB between the two, 6 dB over the next candidate of the same group. */
#define TWIST_MAX      6.3
#define LEAD_MIN       4.0
#define TONE_AMPLITUDE 7000.0 /* each tone of the generator: about -10 dBm0 */

enum { GROUP = 4, EQUAL_BLOCKS = 3, QUIET_BLOCKS = 2, SAMPLES_A_MS = 8 };

static const double TURN = 6.283185307179586;
static const double ROW[GROUP] = {697, 770, 852, 941};
static const double COLUMN[GROUP] = {1209, 1336, 1477, 1633};
static const char KEYS[] = "123A456B789C*0#D";

enum err dtmf_gen_start(struct dtmf_gen *g, char digit, uint32_t tone_ms, uint32_t gap_ms)
{
    char up = digit >= 'a' && digit <= 'd' ? (char)(digit - 'a' + 'A') : digit;
    const char *at = up != 0 ? strchr(KEYS, up) : NULL;

    if (at == NULL) {
        return FAIL(E_RANGE);
    }
    *g = (struct dtmf_gen){.row = ROW[(at - KEYS) / GROUP],
                           .column = COLUMN[(at - KEYS) % GROUP],
                           .tone_left = tone_ms * SAMPLES_A_MS,
                           .gap_left = gap_ms * SAMPLES_A_MS};
    return E_OK;
}

static int16_t next_sample(struct dtmf_gen *g)
{
    double v = 0;

    if (g->tone_left > 0) {
        g->tone_left--;
        v = TONE_AMPLITUDE * (sin(TURN * g->row_phase) + sin(TURN * g->column_phase));
        g->row_phase += g->row / 8000.0;
        g->column_phase += g->column / 8000.0;
        g->row_phase -= floor(g->row_phase);
        g->column_phase -= floor(g->column_phase);
    } else if (g->gap_left > 0) {
        g->gap_left--;
    }
    return (int16_t)v;
}

bool dtmf_gen_fill(struct dtmf_gen *g, int16_t *out, size_t n)
{
    if (g->tone_left == 0 && g->gap_left == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = next_sample(g);
    }
    return true;
}

/* Squared amplitude of one frequency in the block (Goertzel's recurrence). */
static double power_at(const int16_t *pcm, double hz)
{
    double k = 2 * cos(TURN * hz / 8000.0), s1 = 0, s2 = 0;

    for (size_t i = 0; i < DTMF_BLOCK; i++) {
        double s0 = pcm[i] + k * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    return (s1 * s1 + s2 * s2 - k * s1 * s2) * 4 / ((double)DTMF_BLOCK * DTMF_BLOCK);
}

/* Index of the loudest of a group, -1 when it does not lead clearly. */
static int loudest(const int16_t *pcm, const double *hz, double *out_power)
{
    double best = 0, second = 0;
    int at = -1;

    for (int i = 0; i < GROUP; i++) {
        double p = power_at(pcm, hz[i]);
        if (p > best) {
            second = best;
            best = p;
            at = i;
        } else if (p > second) {
            second = p;
        }
    }
    *out_power = best;
    return best >= LEAD_MIN * second ? at : -1;
}

static char block_digit(const int16_t *pcm)
{
    double row = 0, column = 0, whole = 0;
    int r = loudest(pcm, ROW, &row), c = loudest(pcm, COLUMN, &column);

    for (size_t i = 0; i < DTMF_BLOCK; i++) {
        whole += (double)pcm[i] * pcm[i];
    }
    whole /= DTMF_BLOCK; /* mean square; a sine of squared amplitude a has a / 2 */
    if (r < 0 || c < 0 || fmax(row, column) < AMPLITUDE_MIN * AMPLITUDE_MIN ||
        row > TWIST_MAX * column || column > TWIST_MAX * row ||
        (row + column) / 2 < PAIR_SHARE * whole) {
        return 0;
    }
    return KEYS[r * GROUP + c];
}

/* A digit that begins to count in this block, or 0. */
static char judge_block(struct dtmf_det *d)
{
    char digit = block_digit(d->block);

    d->same = digit == d->last ? d->same + 1 : 1;
    d->last = digit;
    if (digit == 0) {
        if (d->same >= QUIET_BLOCKS) {
            d->sounding = 0;
        }
        return 0;
    }
    if (d->same == EQUAL_BLOCKS && digit != d->sounding) {
        d->sounding = digit;
        return digit;
    }
    return 0;
}

size_t dtmf_det_feed(struct dtmf_det *d, const int16_t *pcm, size_t n, char *out, size_t max)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        char digit = 0;
        d->block[d->n++] = pcm[i];
        if (d->n < DTMF_BLOCK) {
            continue;
        }
        d->n = 0;
        digit = judge_block(d);
        if (digit != 0 && found < max) {
            out[found++] = digit;
        }
    }
    return found;
}
