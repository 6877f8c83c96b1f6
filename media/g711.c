#include "media/g711.h"

enum { BIAS = 132, CLIP = 32635 };

uint8_t ulaw_from_linear(int16_t pcm)
{
    int magnitude = pcm < 0 ? -(int)pcm : pcm;
    unsigned sign = pcm < 0 ? 0x80U : 0;
    unsigned segment = 7;

    magnitude = (magnitude > CLIP ? CLIP : magnitude) + BIAS;
    while (segment > 0 && (magnitude & (0x80 << segment)) == 0) {
        segment--;
    }
    return (uint8_t) ~(sign | segment << 4 | ((unsigned)magnitude >> (segment + 3) & 0x0f));
}

int16_t ulaw_to_linear(uint8_t u)
{
    unsigned v = (uint8_t)~u;
    int magnitude = ((int)((v & 0x0f) << 3) + BIAS) << (v >> 4 & 7);

    magnitude -= BIAS;
    return (int16_t)((v & 0x80) != 0 ? -magnitude : magnitude);
}

void ulaw_encode(const int16_t *pcm, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = ulaw_from_linear(pcm[i]);
    }
}

void ulaw_decode(const uint8_t *u, size_t n, int16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = ulaw_to_linear(u[i]);
    }
}
